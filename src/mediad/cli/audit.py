"""`mediad fsck`, `mediad custody` and `mediad rebuild`: looking whether everything holds, and what to do when it does not."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mediad.cli import common
from mediad.errors import IntegrityError, NotFound, Refused, StorageError

if TYPE_CHECKING:
    from mediad.fsck import Report
    from mediad.model.custody import Event

custody_app = typer.Typer(help="The custody log: show, verify, export.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.command()(fsck)
    app.command()(rebuild)
    app.add_typer(custody_app, name="custody")


_Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def fsck(
    quick: Annotated[
        bool, typer.Option("--quick", help="Do not read the originals' bytes: names, sizes, records.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Check bytes, catalogue and custody log, each on its own. Exit code 1 for findings (docs/fsck.md)."""
    from mediad.wiring import audit as wiring_audit

    config = common.load_config()
    with _progress() as progress:
        report = wiring_audit.fsck(config, progress, quick=quick)
    _tell(report, as_json=as_json)


@custody_app.command()
def verify(
    file: Annotated[
        Path | None, typer.Option("--file", help="Verify an exported chain instead of the catalogue.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Check the custody log, link by link, and against every mirror that is there. Exit code 1 for findings."""
    if file is not None:
        _tell(_verify_file(file), as_json=as_json)
        return
    from mediad.wiring import audit as wiring_audit

    _tell(wiring_audit.verify_custody(common.load_config()), as_json=as_json)


def _verify_file(file: Path) -> "Report":
    from mediad.fsck import Report
    from mediad.fsck.custody import check_file

    report = Report()
    try:
        with file.open("rb") as lines:
            held, broken = check_file(lines, None)
    except FileNotFoundError:
        raise NotFound(f"{file} does not exist") from None
    except OSError as e:
        raise StorageError(f"{file}: {e.strerror}") from e
    report.count("events", held)
    if broken is not None:
        report.findings.append(broken)
    return report


@custody_app.command()
def show(
    subject: Annotated[str, typer.Option(help="Only events of this asset, docking, vault, ... (its id).")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    as_json: _Json = False,
) -> None:
    """Show what was recorded, oldest first."""
    from mediad.wiring import audit as wiring_audit

    with wiring_audit.audited(common.load_config()) as catalog, catalog.snapshot() as snap:
        rows = snap.newest(limit, subject or None)
    if subject and not rows:
        raise NotFound(f"no event speaks of {subject}")
    if as_json:
        common.print_json([{name: _shown(name, value) for name, value in row._mapping.items()} for row in rows])
        return
    for row in rows:
        common.say(f"{row.seq:>8}  {row.at}  {row.actor}  {row.kind}  {row.subject}")
        if subject:
            common.say(f"          {row.detail}")


def _shown(name: str, value: Any) -> Any:
    """A value of an event as JSON; one that somebody put there in place of the right one, as text."""
    if name == "detail":
        with suppress(ValueError, TypeError, RecursionError):
            return json.loads(value)
    return value if isinstance(value, int | str) else str(value)


@custody_app.command()
def export(
    out: Annotated[Path, typer.Option("--out", help="File to create; one that exists is not touched.")],
) -> None:
    """Write the whole custody log as JSON lines that can be verified on their own (docs/recovery.md)."""
    from mediad.model.custody import Event
    from mediad.wiring import audit as wiring_audit

    with wiring_audit.audited(common.load_config()) as catalog, catalog.snapshot() as snap:
        count = 0
        try:
            with out.open("xb") as file:
                for row in snap.events():
                    file.write(_line(Event(*row)))
                    count += 1
        except IntegrityError:
            out.unlink()
            raise
        except FileExistsError:
            raise Refused(f"{out} exists", hint="name a new file") from None
        except OSError as e:
            raise StorageError(f"{out}: {e.strerror}", hint="check the folder and its space") from e
    common.say(f"导出 exported {count} 条流转记录 events: {out}")


def _line(event: "Event") -> bytes:
    try:
        return event.line().encode("utf-8") + b"\n"
    except (TypeError, ValueError) as e:
        raise IntegrityError(
            f"event {event.seq} of the catalogue is none any more", hint="run `mediad custody verify`"
        ) from e


def rebuild(
    vault: Annotated[str, typer.Option(help="Vault to rebuild from; default: the first one.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Set an existing catalogue aside (it is kept).")] = False,
    as_json: _Json = False,
) -> None:
    """Make a lost catalogue anew from a vault alone: check its custody log, play it, take in what it does not know yet."""
    from mediad import telemetry
    from mediad.wiring import audit as wiring_audit

    config = common.load_config()
    telemetry.set_up_logs("warning")

    def told(seq: int) -> None:
        if not as_json:
            common.tell(f"rebuild: event {seq}")

    result = wiring_audit.rebuild(config, vault, told, replace=replace)
    if as_json:
        common.print_json(result.as_json())
        return
    common.say(f"重建完成 rebuilt from vault {result.vault}: {result.events} 条流转记录 events")
    if result.replaced:
        common.say(f"  旧目录库 old catalogue kept as {result.replaced}")
    if result.originals:
        common.say(f"  补录 taken in from the originals: {result.originals}")
    if result.dockings_closed:
        common.say(f"  中断的接入 dockings closed as interrupted: {result.dockings_closed}")
    for note in result.notes:
        common.say(f"  注意 note: {note}")
    for f in result.findings:
        common.say(f"  发现 finding: {f.code}  {f.subject}: {f.detail}")
    common.say("  下一步 next: mediad fsck")


def _tell(report: "Report", *, as_json: bool) -> None:
    findings = [
        {"code": f.code, "subject": common.plain(f.subject), "detail": common.plain(f.detail)} for f in report.findings
    ]
    if as_json:
        answer: dict[str, Any] = {"checked": report.checked, "findings": findings, "counts": report.counts}
        common.print_json(answer | {"notes": [common.plain(n) for n in report.notes]})
    else:
        for f in findings:
            common.say(f"发现 finding  {f['code']}  {f['subject']}")
            common.say(f"    {f['detail']}")
        for note in report.notes:
            common.say(f"注意 note: {note}")
        counts = ", ".join(f"{what} {n}" for what, n in report.counts.items())
        verdict = f"{len(findings)} 项发现 findings (docs/fsck.md)" if findings else "一切正常 everything holds"
        common.say(f"核查 checked {report.checked} ({counts}): {verdict}")
    if findings:
        sys.exit(1)


class _Lines:
    """A line on standard error now and then."""

    _EVERY = 4 * 1024**3

    def __init__(self) -> None:
        self.files = self.size = self.done_files = self.moved_bytes = 0
        self._lock = Lock()
        self._said = 0

    def begin(self, files: int, size: int) -> None:
        self.files, self.size = self.files + files, self.size + size
        common.tell(f"fsck: {self.files} originals, {self.size // 2**20} MiB")

    def moved(self, size: int) -> None:
        with self._lock:
            self.moved_bytes += size
            if self.moved_bytes - self._said >= self._EVERY:
                self._said = self.moved_bytes
                common.tell(f"fsck: {self.moved_bytes // 2**20} of {self.size // 2**20} MiB")

    def done(self) -> None:
        self.done_files += 1


@contextmanager
def _progress() -> Iterator[_Lines]:
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[files]}"), DownloadColumn(binary_units=True),
        TimeRemainingColumn(), console=Console(stderr=True), transient=True,
    )  # fmt: skip

    class Bar(_Lines):
        def begin(self, files: int, size: int) -> None:
            self.files, self.size = self.files + files, self.size + size
            bar.update(task, total=self.size)

        def moved(self, size: int) -> None:
            bar.update(task, advance=size)

        def done(self) -> None:
            super().done()
            bar.update(task, files=f"{self.done_files}/{self.files}")

    with bar:
        task = bar.add_task("fsck", total=None, files="")
        yield Bar()
