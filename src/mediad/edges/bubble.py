"""What bubblewrap says of itself while it runs, and what the program in it has used by then."""

import json
import os
import select
from contextlib import suppress
from pathlib import Path
from typing import Final

GONE_SECONDS = 10.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Bubble:
    """The pipe on which one bubblewrap tells of itself (``--json-status-fd``), as a context. ``writer`` is for bubblewrap to
    inherit; ``cpu``: the processor seconds that the program had used when it was last looked at."""

    def __init__(self) -> None:
        self.cpu = 0.0
        self._said = b""

    def __enter__(self) -> "Bubble":
        self._reader, self.writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._reader, False)
        return self

    def __exit__(self, *_: object) -> None:
        self._close_writer()
        os.close(self._reader)

    def look(self) -> None:
        """To be called now and then while it runs: what a program has used cannot be asked when it is gone. The limit on processor
        time counts for each process by itself, so the one that has used most counts."""
        first = self._first()
        if first is None:
            return
        with suppress(OSError, ValueError):  # gone meanwhile
            for child in Path(f"/proc/{first}/task/{first}/children").read_text().split():
                fields = Path(f"/proc/{child}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
                self.cpu = max(self.cpu, (int(fields[11]) + int(fields[12])) / _TICKS)

    def wait_until_gone(self) -> bool:
        """Whether the program was started. Waits for the first process of the sandbox, which the kernel ends last of all in it:
        bubblewrap's own end, or its being killed, may be a moment earlier."""
        self._close_writer()  # so that what is read of the pipe ends
        first = self._first()
        if first is not None:
            with suppress(ProcessLookupError):
                process = os.pidfd_open(first)
                try:
                    wait_for(process)
                finally:
                    os.close(process)
        return "exit-code" in self._facts()

    def _first(self) -> int | None:
        found = self._facts().get("child-pid")
        return found if isinstance(found, int) else None

    def _facts(self) -> dict[str, object]:
        with suppress(BlockingIOError):
            while chunk := os.read(self._reader, 4096):
                self._said += chunk
        facts: dict[str, object] = {}
        for line in self._said.splitlines():
            with suppress(ValueError):
                facts |= json.loads(line)
        return facts

    def _close_writer(self) -> None:
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1


def wait_for(process: int) -> None:
    """Until a process (by its descriptor) is gone, but not for ever."""
    poller = select.poll()
    poller.register(process, select.POLLIN)
    poller.poll(GONE_SECONDS * 1000)
