"""Progress of a one-shot command: a bar on a terminal, plain lines in a pipe. Always on standard error."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mediad.cli import common
from mediad.errors import MediadError
from mediad.model.evidence import Outcome


class _Plain:
    """A line at most every few seconds."""

    _EVERY_SECONDS = 5.0

    def __init__(self, name: str) -> None:
        self.name = name
        self.files = self.size = self.done_files = self.done = 0
        self._last = time.monotonic()

    def begin(self, files: int, size: int) -> None:
        self.files, self.size = files, size

    def moved(self, size: int) -> None:
        self.done += size
        if time.monotonic() - self._last >= self._EVERY_SECONDS:
            self._last = time.monotonic()
            self._show()

    def settled(self, outcome: Outcome, size: int) -> None:  # noqa: ARG002 - the port's form
        self.done_files += 1

    def paused(self, reason: MediadError | None) -> None:
        common.tell(f"{self.name}: {reason.message if reason else 'going on'}")

    def _show(self) -> None:
        common.tell(f"{self.name}: {self.done_files}/{self.files} files, {self.done // 2**20}/{self.size // 2**20} MiB")


class Count:
    """How many there were so far, told every few seconds; nothing is told of what is soon over."""

    def __init__(self, name: str) -> None:
        self._name, self._n, self._last = name, 0, time.monotonic()

    def add(self, n: int) -> None:
        self._n += n
        if time.monotonic() - self._last >= _Plain._EVERY_SECONDS:
            self._last = time.monotonic()
            common.tell(f"{self._name}: {self._n:,}")


@contextmanager
def for_terminal(name: str) -> Iterator["_Plain"]:
    """Progress for as long as the block runs."""
    if not sys.stderr.isatty():
        yield _Plain(name)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False), BarColumn(),
        TextColumn("{task.fields[files]}"), DownloadColumn(binary_units=True),
        TransferSpeedColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True,
    )  # fmt: skip

    class Bar(_Plain):
        def begin(self, files: int, size: int) -> None:
            super().begin(files, size)
            bar.update(task, total=size)

        def moved(self, size: int) -> None:
            bar.update(task, advance=size)

        def settled(self, outcome: Outcome, size: int) -> None:
            super().settled(outcome, size)
            bar.update(task, files=f"{self.done_files}/{self.files}")

    with bar:
        task = bar.add_task(common.plain(name), total=None, files="")
        yield Bar(name)
