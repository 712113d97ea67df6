"""The parts of the daemon, wired: USB ports, drop folders, HTTP. Each runs in threads of its own and blocks while idle."""

import threading
import time
from collections.abc import Callable

import structlog

from mediad.bay import Bays, BoardProgress
from mediad.config import Folder
from mediad.edges.board import Board
from mediad.edges.folders import FolderReady, FolderWatcher
from mediad.edges.usb import UsbWatcher
from mediad.errors import MediadError
from mediad.model.board import SlotView, sentence
from mediad.model.evidence import Outcome, Rejected
from mediad.model.layout import printable
from mediad.wiring.docking import dock_folder
from mediad.wiring.station import Station
from mediad.wiring.usb import UsbWorld

_log = structlog.get_logger()

FOLDER_RETRY_SECONDS = 30.0
FOLDER_RETRY_MOST_SECONDS = 6 * 3600.0
_REMEMBERED = 1_000
HTTP_RETRY_SECONDS = 2.0
HTTP_RETRY_MOST_SECONDS = 300.0


class UsbPart:
    """Watches the ports and lets each device have its bay."""

    name = "usb"

    def __init__(self, station: Station, board: Board) -> None:
        self._watcher = UsbWatcher(station.config.devices.settle_seconds)
        self.bays = Bays(UsbWorld(station, self._watcher), board)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="usb", daemon=True)

    def start(self) -> None:
        self._watcher.start()
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._watcher.wake()

    def join(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        self._thread.join(seconds)
        ended = self.bays.finish(max(0.0, end - time.monotonic())) and not self._thread.is_alive()
        if ended:
            self._watcher.stop()
        return ended

    def healthy(self) -> bool:
        return self._stopping or self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping:
            for change in self._watcher.wait(None):
                if not self._stopping:
                    self.bays.change(change)


class FolderPart:
    """Watches one drop folder and docks what is complete in it."""

    def __init__(self, station: Station, folder: Folder, board: Board) -> None:
        self.name = f"folder {folder.name}"
        self._station, self._folder, self._board = station, folder, board
        self._watcher = FolderWatcher(
            [folder.path],
            folder.settle_seconds,
            rescan_seconds=folder.rescan_seconds,
            on_problem=lambda text: _log.warning("folder problem", folder=folder.name, why=text),
        )
        self._delays: dict[frozenset[bytes], float] = {}
        self._told: set[Rejected] = set()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    def start(self) -> None:
        self._watcher.start()
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._watcher.wake()

    def join(self, seconds: float) -> bool:
        self._thread.join(seconds)
        ended = not self._thread.is_alive()
        if ended:
            self._watcher.stop()
        return ended

    def healthy(self) -> bool:
        return self._stopping or self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping:
            for ready in self._watcher.wait(None):
                self._dock(ready)

    def _dock(self, ready: FolderReady) -> None:
        port = f"folder:{self._folder.name}"
        progress = BoardProgress(lambda make: self._board.change(port, make))
        self._board.show(SlotView(port, self._folder.name, recorder=self._folder.name))
        error: MediadError | None = None
        try:
            result = dock_folder(self._station, self._folder, ready.accepts, progress, self._told)
            error = result.error if result else None
            if result and error is None and result.counts.failed:
                error = MediadError(f"{result.counts.failed} files could not be taken", code="files-failed")
        except MediadError as e:
            error = e
        except Exception as e:
            _log.exception("folder docking failed", folder=self._folder.name)
            error = MediadError(f"an unexpected fault: {type(e).__name__}; see the log", code="unexpected")
        view = SlotView(port, self._folder.name, recorder=self._folder.name)
        if error is not None and not self._stopping:
            _log.error("folder needs a person", folder=self._folder.name, code=error.code, why=error.message)
            view = view.attention(sentence(error))
            self._watcher.again(ready, self._next_delay(ready, error))
        elif lost := sorted(printable(r.path) for r in self._told if r.outcome is Outcome.FAILED):
            view = view.attention(f"有内容无法读取 {lost[0]} cannot be read: {len(lost)} such entries")
        self._board.show(view)

    def _next_delay(self, ready: FolderReady, error: MediadError) -> float:
        """Trouble of the vault passes by itself; files that cannot be taken rarely do, and every try is a docking with its
        record: they are tried less and less often."""
        if error.code != "files-failed":
            return FOLDER_RETRY_SECONDS
        files = frozenset(ready.files)
        delay = self._delays.get(files, FOLDER_RETRY_SECONDS)
        if len(self._delays) >= _REMEMBERED:
            self._delays.clear()
        self._delays[files] = min(2 * delay, FOLDER_RETRY_MOST_SECONDS)
        return delay


Bind = Callable[[], tuple[Callable[[], None], Callable[[], None], str]]
"""Gives run, stop, and the address in use; raises MediadError if it cannot be had now."""


class HttpPart:
    """/metrics, /healthz and /readyz. Evidence does not wait for them: an address that cannot be had is tried again and again."""

    name = "http"

    def __init__(self, bind: Bind, say: Callable[[str], None]) -> None:
        """``say`` puts a sentence on the board, or takes it away."""
        self._bind, self._say = bind, say
        self._shutdown: Callable[[], None] | None = None
        self._stopping = threading.Event()
        self._ending = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()  # whoever is served already is so until the last docking has ended

    def join(self, seconds: float) -> bool:
        with self._lock:
            self._ending = True
        if self._shutdown is not None:
            self._shutdown()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        delay, said = HTTP_RETRY_SECONDS, ""
        while not self._stopping.is_set():
            try:
                run, shutdown, address = self._bind()
            except MediadError as e:
                if e.message != said:
                    said = e.message
                    _log.error("no http", code=e.code, why=e.message)
                    self._say(f"监测端口不可用，收存照常，请告知管理员 {e.message}")
                self._stopping.wait(delay)
                delay = min(2 * delay, HTTP_RETRY_MOST_SECONDS)
                continue
            with self._lock:
                if self._ending:
                    return  # the process ends, and its socket with it
                self._shutdown = shutdown
            _log.info("http", address=address)
            if said:
                self._say("")
            run()
            return
