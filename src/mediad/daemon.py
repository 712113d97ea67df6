"""The daemon on one page: open, finish what was interrupted, watch ports and folders, work off what is due, stop in order."""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Protocol

import structlog

from mediad.errors import MediadError

_log = structlog.get_logger()

DUE_SECONDS = 60.0
"""How often what is due without an event is looked for: abandoned dockings, events that no mirror has."""

STOP_SECONDS = 90.0


class Part(Protocol):
    """Something that runs beside the others: USB, folders, HTTP."""

    name: str

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Station(Protocol):
    stop: threading.Event

    def finish_open_work(self) -> object: ...

    def healthy(self) -> None: ...

    def close(self) -> None: ...


def run(station: Station, parts: Sequence[Part], notify: Callable[..., None], watchdog_seconds: float | None) -> None:
    """Run until SIGTERM or SIGINT. The watchdog is fed only after ``Station.healthy`` did not raise."""
    stopping = threading.Event()

    def handler(number: int, _frame: FrameType | None) -> None:
        _log.info("stopping", signal=signal.Signals(number).name)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handler)
    started: list[Part] = []
    try:
        notify("STATUS=finishing what was interrupted", "EXTEND_TIMEOUT_USEC=600000000")
        station.finish_open_work()
        for part in parts:
            part.start()
            started.append(part)
        notify("READY=1", "STATUS=running")
        _log.info("running", parts=[p.name for p in parts])
        _work(station, stopping, notify, watchdog_seconds)
    finally:
        # In order: no new dockings, then the running ones end at a file's border, are handed over and mirrored, then the rest.
        notify("STOPPING=1", "STATUS=ending what is under way")
        station.stop.set()
        for part in reversed(started):
            part.stop()
        station.close()
        _log.info("stopped")


def _work(
    station: Station, stopping: threading.Event, notify: Callable[..., None], watchdog_seconds: float | None
) -> None:
    beat = watchdog_seconds / 3 if watchdog_seconds else DUE_SECONDS
    due = time.monotonic() + DUE_SECONDS
    while not stopping.wait(beat):
        try:
            station.healthy()
            notify("WATCHDOG=1")
            if time.monotonic() >= due:
                due = time.monotonic() + DUE_SECONDS
                station.finish_open_work()
        except MediadError as e:
            _log.error("not healthy", code=e.code, why=e.message)
