"""The daemon on one page: open, finish what was interrupted, watch ports and folders, work off what is due, stop in order."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from mediad.errors import MediadError

_log = structlog.get_logger()

DUE_SECONDS = 60.0
"""How often what is due without an event is looked for: abandoned dockings, events that no mirror has."""

STOP_SECONDS = 90.0
"""How long all that is under way may take to end, together; the manager waits a little longer."""

EXTEND_SECONDS = 60.0
"""By how much the start is extended at a time while interrupted work is finished."""


class Part(Protocol):
    """Something that runs beside the others: USB, folders, HTTP."""

    name: str

    def start(self) -> None: ...

    def stop(self) -> None:
        """Begin nothing new. Returns at once."""

    def join(self, seconds: float) -> bool:
        """Wait for what is under way, and end; False if that takes longer."""


class Station(Protocol):
    stop: threading.Event

    def finish_open_work(self) -> object: ...

    def healthy(self) -> None: ...

    def close(self) -> None: ...


class _Inbox:
    """What the main thread waits for: signals, and the end of a pass over interrupted work.

    A signal may be delivered to any thread, between any two steps. Only the descriptor that Python's own handler writes its
    number to wakes the main thread at once, and cannot meet a lock that is held.
    """

    def __init__(self) -> None:
        self._out, self._in = socket.socketpair()
        self._in.setblocking(False)
        self._before = signal.set_wakeup_fd(self._in.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: None)

    def finished(self) -> None:
        """A pass has ended. May be called by a thread that outlives the inbox."""
        with suppress(OSError):
            self._in.send(b"\0")

    def get(self, seconds: float) -> int | None:
        """The number of a signal, 0 when a pass has ended, None when nothing came for so long."""
        self._out.settimeout(seconds)
        try:
            number = self._out.recv(1)[0]
        except TimeoutError:
            return None
        if number:
            _log.info("stopping", signal=signal.Signals(number).name)
        return number

    def close(self) -> None:
        signal.set_wakeup_fd(self._before)
        self._in.close()
        self._out.close()


def run(station: Station, parts: Sequence[Part], notify: Callable[..., None], watchdog_seconds: float | None) -> None:
    """Run until SIGTERM or SIGINT. The watchdog is fed only after ``Station.healthy`` did not raise."""
    inbox = _Inbox()
    started: list[Part] = []
    finishing = _Finishing(station)
    try:
        notify("STATUS=finishing what was interrupted")
        if _finish_first(finishing, inbox, notify):
            for part in parts:
                part.start()
                started.append(part)
            notify("READY=1", "STATUS=running")
            _log.info("running", parts=[p.name for p in parts])
            _work(station, finishing, inbox, notify, watchdog_seconds)
    finally:
        notify("STOPPING=1", "STATUS=ending what is under way")
        _end(station, started, finishing)
        inbox.close()
        _log.info("stopped")


class _Finishing:
    """Finishes interrupted work beside the heart beat: reading a large file back takes longer than the watchdog waits."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def begin(self, then: Callable[[], None]) -> bool:
        """Begin a pass and call ``then`` at its end; False if one is under way."""
        if self._thread is not None and self._thread.is_alive():
            return False
        self._error = None
        # A daemon thread: the process does not wait for it, and what it leaves half done is finished by the next start.
        self._thread = threading.Thread(target=self._run, args=(then,), name="finish", daemon=True)
        self._thread.start()
        return True

    def _run(self, then: Callable[[], None]) -> None:
        try:
            self._station.finish_open_work()
        except BaseException as e:  # raised where it is asked for
            self._error = e
        finally:
            then()

    def check(self) -> None:
        """Raise what the last pass raised."""
        if self._error is not None:
            raise self._error

    def join(self, seconds: float) -> bool:
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is None or not self._thread.is_alive()


def _finish_first(finishing: _Finishing, inbox: _Inbox, notify: Callable[..., None]) -> bool:
    """Finish what was interrupted, asking the manager for more time as long as it takes: large files are read back whole.
    False if a signal came first."""
    finishing.begin(inbox.finished)
    while (number := inbox.get(EXTEND_SECONDS / 2)) is None:
        notify(f"EXTEND_TIMEOUT_USEC={int(EXTEND_SECONDS * 1e6)}")
    if number:
        return False
    finishing.check()
    return True


def _work(
    station: Station,
    finishing: _Finishing,
    inbox: _Inbox,
    notify: Callable[..., None],
    watchdog_seconds: float | None,
) -> None:
    beat = watchdog_seconds / 3 if watchdog_seconds else DUE_SECONDS
    due = time.monotonic() + DUE_SECONDS
    while not (number := inbox.get(beat)):
        if number is not None:
            _tell(finishing)
            continue
        _beat(station, notify)
        if time.monotonic() >= due and finishing.begin(inbox.finished):
            due = time.monotonic() + DUE_SECONDS


def _beat(station: Station, notify: Callable[..., None]) -> None:
    try:
        station.healthy()
        notify("WATCHDOG=1")
    except MediadError as e:
        _log.error("not healthy", code=e.code, why=e.message)


def _tell(finishing: _Finishing) -> None:
    try:
        finishing.check()
    except MediadError as e:
        _log.error("what was interrupted cannot be finished now", code=e.code, why=e.message)
    except Exception:
        _log.exception("finishing what was interrupted failed")


def _end(station: Station, started: Sequence[Part], finishing: _Finishing) -> None:
    """In order: no new dockings, then the running ones end at a file's border, are handed over and mirrored, then the rest. All
    are told before any is waited for, and there is one time for all of them; what is still under way then is finished by the
    next start."""
    end = time.monotonic() + STOP_SECONDS
    station.stop.set()
    for part in reversed(started):
        part.stop()
    for part in reversed(started):
        if not part.join(max(0.0, end - time.monotonic())):
            _log.error("it did not end in time; the next start finishes its work", part=part.name)
    if not finishing.join(max(0.0, end - time.monotonic())):
        _log.error("it did not end in time; the next start finishes its work", part="finish")
    station.close()
