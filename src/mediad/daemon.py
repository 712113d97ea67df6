"""The daemon on one page: open, finish what was interrupted, watch ports and folders, work off what is due, stop in order."""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import FrameType
from typing import Protocol

import structlog

from mediad.errors import MediadError

_log = structlog.get_logger()

DUE_SECONDS = 60.0
"""How often what is due without an event is looked for: abandoned dockings, events that no mirror has."""

STOP_SECONDS = 90.0

EXTEND_SECONDS = 60.0
"""By how much the start is extended at a time while interrupted work is finished."""


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
    # What is due runs beside the heart beat: reading a large file back takes longer than the watchdog waits.
    pool = ThreadPoolExecutor(1, thread_name_prefix="finish")
    try:
        notify("STATUS=finishing what was interrupted")
        _finish_first(station, pool, notify)
        for part in parts:
            part.start()
            started.append(part)
        notify("READY=1", "STATUS=running")
        _log.info("running", parts=[p.name for p in parts])
        _work(station, pool, stopping, notify, watchdog_seconds)
    finally:
        # In order: no new dockings, then the running ones end at a file's border, are handed over and mirrored, then the rest.
        notify("STOPPING=1", "STATUS=ending what is under way")
        station.stop.set()
        for part in reversed(started):
            part.stop()
        pool.shutdown()  # last: dockings must not wait until a large file has been read back
        station.close()
        _log.info("stopped")


def _finish_first(station: Station, pool: ThreadPoolExecutor, notify: Callable[..., None]) -> None:
    """Finish what was interrupted, asking the manager for more time as long as it takes: large files are read back whole."""
    work = pool.submit(station.finish_open_work)
    while not wait([work], EXTEND_SECONDS / 2).done:
        notify(f"EXTEND_TIMEOUT_USEC={int(EXTEND_SECONDS * 1e6)}")
    work.result()


def _work(
    station: Station,
    pool: ThreadPoolExecutor,
    stopping: threading.Event,
    notify: Callable[..., None],
    watchdog_seconds: float | None,
) -> None:
    beat = watchdog_seconds / 3 if watchdog_seconds else DUE_SECONDS
    due = time.monotonic() + DUE_SECONDS
    work: Future[None] | None = None
    while not stopping.wait(beat):
        try:
            station.healthy()
            notify("WATCHDOG=1")
        except MediadError as e:
            _log.error("not healthy", code=e.code, why=e.message)
        if time.monotonic() >= due and (work is None or work.done()):
            due = time.monotonic() + DUE_SECONDS
            work = pool.submit(_finish, station)


def _finish(station: Station) -> None:
    try:
        station.finish_open_work()
    except MediadError as e:
        _log.error("what was interrupted cannot be finished now", code=e.code, why=e.message)
    except Exception:
        _log.exception("finishing what was interrupted failed")
