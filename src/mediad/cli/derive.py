"""`mediad derive`: probe, assemble and preview now what is due."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar

import typer

from mediad.cli import common
from mediad.cli.ingest import stop_on_signal
from mediad.errors import Stopping, UsageError


def register(app: typer.Typer) -> None:
    app.command()(derive)


def derive(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Recordings (rec-) or assets (ast-); else all that is due."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Probe the given ones anew, and make their previews anew.")
    ] = False,
    previews: Annotated[
        bool, typer.Option("--previews", help="Look at every preview, and make those that are missing or out of date.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Probe originals, find times and takes, make previews: what is due now, or what the given recordings want. Exit code 1 if
    there is a finding: something damaged, or something that could not be made."""
    from mediad import telemetry
    from mediad.wiring.derive import derive as work_off

    if again and not ids:
        raise UsageError(
            "--again needs to be told what to do again",
            hint="mediad derive --again ID...; mediad derive --previews for all previews that are missing or out of date",
        )
    if previews and ids:
        raise UsageError("--previews is about all recordings", hint="mediad derive ID... makes the previews of some")
    config = common.load_config()
    telemetry.set_up_logs("error")
    stop = threading.Event()
    stopped = stop_on_signal(stop)
    with _watch() as watch:
        work_off(config, watch, stop, ids or [], again=again, previews=previews)
    if as_json:
        common.print_json({**watch.counts, "findings": watch.findings})
    else:
        _print(watch)
    if stopped():
        raise Stopping("stopped before everything was done", hint="what is done stays; the rest stays due")
    if watch.findings:
        sys.exit(1)


def _print(watch: "_Counting") -> None:
    c = watch.counts
    if not any(c.values()) and not watch.findings:
        common.say(
            "没有待处理的 nothing is due: everything that is stored is probed, assembled and shown, or put off (mediad status)"
        )
        return
    common.say(
        f"已探测 probed {c['probed']} · 已归并 dockings assembled {c['assembled']} · 预览 previews {c['previews']}"
    )
    for f in watch.findings:
        common.say(f"  注意 note: {f['subject']}: {f['detail']} ({f['code']})")


_TEXTS = {"probe": "探测 probe", "assemble": "归并 assemble", "photo": "照片 photos", "preview": "预览 preview"}


class _Counting:
    """Counts what is done and keeps what a person should know."""

    _NAMES: ClassVar = {"probe": "probed", "assemble": "assembled", "photo": "previews", "preview": "previews"}

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts = dict.fromkeys(self._NAMES.values(), 0)
        self.findings: list[dict[str, Any]] = []

    def began(self, stage: str, subjects: Sequence[str]) -> None: ...

    def percent(self, subject: str, percent: float) -> None: ...

    def waits(self, ask: Callable[[], Mapping[str, int]]) -> None: ...

    def finding(self, subject: str, code: str, detail: str) -> None:
        with self._lock:
            self.findings.append({"code": code, "subject": subject, "detail": detail})

    def ended(self, stage: str, subjects: Sequence[str], done: int) -> None:  # noqa: ARG002 - the port's form
        with self._lock:
            self.counts[self._NAMES[stage]] += done


class _Lines(_Counting):
    """A line at most every few seconds: per stage how many are done of how many, and how far the films are."""

    EVERY_SECONDS: ClassVar = 5.0

    def __init__(self) -> None:
        super().__init__()
        self._ask: Callable[[], Mapping[str, int]] = dict
        self._done = dict.fromkeys(_TEXTS, 0)
        self._percent: dict[str, int] = {}
        self._last = time.monotonic()

    def waits(self, ask: Callable[[], Mapping[str, int]]) -> None:
        self._ask = ask

    def percent(self, subject: str, percent: float) -> None:
        self._percent[subject] = int(percent)
        self._tell()

    def ended(self, stage: str, subjects: Sequence[str], done: int) -> None:
        super().ended(stage, subjects, done)
        with self._lock:
            self._done[stage] += done
            for subject in subjects:
                self._percent.pop(subject, None)
        self._tell()

    def _tell(self) -> None:
        with self._lock:
            if time.monotonic() - self._last < self.EVERY_SECONDS:
                return
            self._last = time.monotonic()
            done, films = dict(self._done), dict(self._percent)
        left = self._ask()
        parts = [
            f"{text} {done[stage]}/{done[stage] + left.get(stage, 0)}"
            for stage, text in _TEXTS.items()
            if done[stage] or left.get(stage)
        ]
        common.tell(" · ".join([*parts, *(f"{film} {percent} %" for film, percent in sorted(films.items()))]))


@contextmanager
def _watch() -> Iterator[_Counting]:
    """With a bar per step that takes long on a terminal, plain lines in a pipe."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), transient=True,
    )  # fmt: skip

    class Bars(_Counting):
        def __init__(self) -> None:
            super().__init__()
            self._tasks: dict[str, TaskID] = {}

        def began(self, stage: str, subjects: Sequence[str]) -> None:
            name = subjects[0] if len(subjects) == 1 else f"{len(subjects)} 个文件 files"
            task = bar.add_task(f"{_TEXTS[stage]} {common.plain(name)}", total=100 if stage == "preview" else None)
            self._tasks[subjects[0]] = task

        def percent(self, subject: str, percent: float) -> None:
            if subject in self._tasks:
                bar.update(self._tasks[subject], completed=percent)

        def ended(self, stage: str, subjects: Sequence[str], done: int) -> None:
            super().ended(stage, subjects, done)
            bar.remove_task(self._tasks.pop(subjects[0]))

    with bar:
        yield Bars()
