"""`mediad derive`: probe, assemble and preview now what is due."""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar

import typer

from mediad.cli import common
from mediad.cli.ingest import stop_on_signal
from mediad.errors import Stopping


def register(app: typer.Typer) -> None:
    app.command()(derive)


def derive(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Recordings (rec-) or assets (ast-); else all that is due."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Probe the given ones anew, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Probe originals, find times and takes, make previews: what is due now, or what the given recordings want. Exit code 1 if
    there is a finding: something damaged, or something that could not be made."""
    from mediad import telemetry
    from mediad.wiring.derive import derive as work_off

    config = common.load_config()
    telemetry.set_up_logs("error")
    stop = threading.Event()
    stopped = stop_on_signal(stop)
    with _watch() as watch:
        work_off(config, watch, stop, ids or [], again=again)
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
    common.say(
        f"已探测 probed {c['probed']} · 已归并 dockings assembled {c['assembled']} · 预览 previews {c['previews']}"
    )
    for f in watch.findings:
        common.say(f"  注意 note: {f['subject']}: {f['detail']} ({f['code']})")


class _Counting:
    """Counts what is done and keeps what a person should know."""

    _NAMES: ClassVar = {"probe": "probed", "assemble": "assembled", "photo": "previews", "preview": "previews"}

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts = dict.fromkeys(self._NAMES.values(), 0)
        self.findings: list[dict[str, Any]] = []

    def began(self, stage: str, subjects: Sequence[str]) -> None: ...

    def percent(self, subject: str, percent: float) -> None: ...

    def finding(self, subject: str, code: str, detail: str) -> None:
        with self._lock:
            self.findings.append({"code": code, "subject": subject, "detail": detail})

    def ended(self, stage: str, subjects: Sequence[str], done: int) -> None:  # noqa: ARG002 - the port's form
        with self._lock:
            self.counts[self._NAMES[stage]] += done


@contextmanager
def _watch() -> Iterator[_Counting]:
    """With a line per step that takes long on a terminal; in a pipe only the end is told."""
    if not sys.stderr.isatty():
        yield _Counting()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

    texts = {"probe": "探测 probe", "assemble": "归并 assemble", "photo": "预览 photos", "preview": "预览 preview"}
    bar = Progress(
        TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), transient=True,
    )  # fmt: skip

    class Bars(_Counting):
        def __init__(self) -> None:
            super().__init__()
            self._tasks: dict[str, TaskID] = {}

        def began(self, stage: str, subjects: Sequence[str]) -> None:
            name = subjects[0] if len(subjects) == 1 else f"{len(subjects)} files"
            task = bar.add_task(f"{texts[stage]} {common.plain(name)}", total=100 if stage == "preview" else None)
            self._tasks[subjects[0]] = task

        def percent(self, subject: str, percent: float) -> None:
            if subject in self._tasks:
                bar.update(self._tasks[subject], completed=percent)

        def ended(self, stage: str, subjects: Sequence[str], done: int) -> None:
            super().ended(stage, subjects, done)
            bar.remove_task(self._tasks.pop(subjects[0]))

    with bar:
        yield Bars()
