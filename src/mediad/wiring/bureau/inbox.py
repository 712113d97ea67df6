"""Watched folders for tables (`[[inbox]]`): what the enforcement information system exports is imported as soon as it is complete.

Files are read and never touched: they are another system's. Which bytes were imported is a fact, so that nothing is imported twice,
also after a restart; a table that is changed is another one. One of which a line was bad is read again when it is put in anew.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import structlog

from mediad.catalog import bureau
from mediad.config import Inbox
from mediad.edges.folders import FolderReady, FolderWatcher
from mediad.edges.tabular import Table, parse_table, read_bytes
from mediad.errors import MediadError, UsageError
from mediad.model.columns import BadLine
from mediad.model.evidence import in_64_bits
from mediad.model.imports import NOTES
from mediad.model.layout import printable
from mediad.model.settling import Signature
from mediad.wiring.bureau import registers
from mediad.wiring.station import Station
from mediad.wiring.threads import Watching

_log = structlog.get_logger()

SUFFIXES = (".csv", ".json", ".txt", ".tsv", ".xls", ".xlsx")
"""What is a table by its name, or is meant as one: a workbook is refused, and told."""
RETRY_SECONDS = 30.0


class InboxPart(Watching):
    """Watches one such folder."""

    def __init__(self, station: Station, inbox: Inbox) -> None:
        watcher = FolderWatcher(
            [inbox.path], inbox.settle_seconds, rescan_seconds=inbox.rescan_seconds,
            on_problem=lambda text: _log.warning("inbox problem", inbox=inbox.name, why=text),
        )  # fmt: skip
        super().__init__(f"inbox {inbox.name}", watcher)
        self._station, self._inbox = station, inbox

    def _run(self) -> None:
        while not self._stopping.is_set():
            for ready in self._watcher.wait(None):
                self._take(ready)

    def _take(self, ready: FolderReady) -> None:
        again: set[bytes] = set()
        for path in in_order(ready.files):
            if self._stopping.is_set():
                return
            try:
                take_file(self._station, self._inbox, path, partial(ready.accepts, path))
            except MediadError as e:  # the vault or the catalogue; the table is there still
                _log.warning("table put off", inbox=self._inbox.name, table=printable(path), code=e.code, why=e.message)
                again.add(path)
            except Exception:
                _log.exception("table failed", inbox=self._inbox.name, table=printable(path))
                again.add(path)
        if again:
            self._watcher.again(
                FolderReady(ready.folder, {p: s for p, s in ready.files.items() if p in again}), RETRY_SECONDS
            )


def in_order(files: Mapping[bytes, Signature]) -> list[bytes]:
    """The oldest first: what was exported later says what holds."""
    return sorted(files, key=lambda path: (files[path].mtime_ns, path))


def take_file(
    station: Station, inbox: Inbox, path: bytes, accepts: Callable[[int, int], bool] = lambda _size, _mtime_ns: True
) -> bool:
    """Import one file of an inbox; False if its bytes were imported before, or it is no table by its name. One of which a line
    was bad is read again when it is put in anew: what was amiss may have been elsewhere. ``accepts``: whether it is still as it
    was when it was complete, by size and time; one that is not is told again once it is complete anew."""
    if not path.lower().endswith(tuple(os.fsencode(s) for s in SUFFIXES)) or os.path.basename(path).startswith(
        (b".", b"~")
    ):
        return False
    file = Path(os.fsdecode(os.path.join(os.fsencode(inbox.path), path)))
    seen: list[int] = []

    def as_complete(size: int, mtime_ns: int) -> bool:
        seen.append(mtime_ns)
        return accepts(size, mtime_ns)

    try:
        data = read_bytes(file, follow=False, accepts=as_complete)
    except UsageError as e:
        if isinstance(e.__cause__, PermissionError):
            raise  # somebody may mend that: it is tried again
        # gone, no file any more, or written to
        _log.warning("table not read", inbox=inbox.name, table=printable(path), why=e.message)
        return False
    sha256 = hashlib.sha256(data).hexdigest()
    with station.ledger.catalog.read() as conn:
        before = bureau.imported(conn, registers.import_id(inbox.what, sha256))
    watched = registers.Watched(inbox.name, in_64_bits(seen[-1]), before)
    if watched.old:
        return False
    name = os.fsdecode(path)
    try:
        header, rows, encoding = parse_table(data, printable(path))
    except UsageError as e:
        if before is not None:
            return False
        table = Table(name, (), (), "", sha256)
        registers.refuse_for(station, inbox.what, table, BadLine(0, "no-table", e.message), watched)
        _log.warning("no table", inbox=inbox.name, table=printable(path), why=e.message)
        return True
    table = Table(name, header, rows, encoding, sha256)
    plan, performed = registers.take_for(station, inbox.what, table, watched, good=inbox.good)
    if not (performed.drafts or performed.waits):
        return False
    bad = [f for f in plan.findings if f.code not in NOTES]
    told = _log.warning if bad else _log.info
    told(
        "table imported",
        inbox=inbox.name,
        table=printable(path),
        changes=len(plan.changes),
        same=plan.same,
        bad=len(bad),
        waits=performed.waits or None,
    )
    return True
