"""The parts of the daemon, wired: USB ports, drop folders, HTTP. Each runs in threads of its own and blocks while idle."""

import base64
import os
import threading
import time
from collections.abc import Callable

import structlog

from mediad.bay import Bays, BoardProgress
from mediad.config import Folder
from mediad.edges.board import Board
from mediad.edges.folders import FolderReady, FolderWatcher
from mediad.edges.usb import UsbWatcher
from mediad.errors import ConfigError, MediadError
from mediad.model.board import SlotView, sentence
from mediad.model.evidence import Outcome, Rejected
from mediad.model.layout import printable
from mediad.session import Result
from mediad.wiring.docking import dock_folder
from mediad.wiring.station import Station
from mediad.wiring.threads import Watching
from mediad.wiring.usb import UsbWorld

_log = structlog.get_logger()

FOLDER_RETRY_SECONDS = 30.0
FOLDER_RETRY_MOST_SECONDS = 6 * 3600.0
FOLDER_LOOK_SECONDS = 600.0
"""How soon a folder that calls for a person is looked at again although nothing in it has changed."""

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


class FolderPart(Watching):
    """Watches one drop folder and docks what is complete in it."""

    def __init__(self, station: Station, folder: Folder, board: Board) -> None:
        self._station, self._folder, self._board = station, folder, board
        watcher = FolderWatcher(
            [folder.path],
            folder.settle_seconds,
            rescan_seconds=folder.rescan_seconds,
            on_problem=lambda text: _log.warning("folder problem", folder=folder.name, why=text),
        )
        super().__init__(f"folder {folder.name}", watcher)
        self._delays: dict[frozenset[bytes], float] = {}
        self._told: set[Rejected] = set()
        self._untaken: dict[bytes, str] = {}
        """Files that could not be taken, and why: they call for a person until they are docked or gone."""
        self._trouble = self._said = ""

    def _run(self) -> None:
        while not self._stopping.is_set():
            for ready in self._watcher.wait(None):
                self._dock(ready)

    def _dock(self, ready: FolderReady) -> None:
        port = f"folder:{self._folder.name}"
        progress = BoardProgress(lambda make: self._board.change(port, make))
        # what it calls for stays until this docking has an answer
        self._board.change(port, lambda v: v.but(name=self._folder.name, recorder=self._folder.name))
        error: MediadError | None = None
        result: Result | None = None
        try:
            result = dock_folder(self._station, self._folder, ready.accepts, progress, self._told)
            error = result.error if result else None
        except MediadError as e:
            error = e
        except Exception as e:
            _log.exception("folder docking failed", folder=self._folder.name)
            error = MediadError(f"an unexpected fault: {type(e).__name__}; see the log", code="unexpected")
        self._trouble = sentence(error) if error else ""
        left = self._settle(ready, result, error)
        if error is None and left.files:
            error = MediadError(f"{len(left.files)} files could not be taken", code="files-failed")
        why = self._call()
        if self._stopping.is_set():
            why = ""
        elif error is not None:
            self._watcher.again(left, self._next_delay(left, error))
        elif why:
            self._watcher.again(FolderReady(ready.folder, {}), FOLDER_LOOK_SECONDS)
        if why and why != self._said:
            _log.error("folder needs a person", folder=self._folder.name, why=why)
        self._said = why
        view = SlotView(port, self._folder.name, recorder=self._folder.name)
        self._board.show(view.attention(why) if why else view)

    def _settle(self, ready: FolderReady, result: Result | None, error: MediadError | None) -> FolderReady:
        """Keep what this docking could not take, let go of what it took and what is not there any more; returns what of its own
        files is left to be tried again."""
        done = {base64.b64decode(f["path_b64"]): f for f in result.record["files"]} if result else {}
        for path in ready.files:
            file = done.get(path)
            if file is None and error is not None:
                self._untaken[path] = error.message
            elif file is not None and file["outcome"] == Outcome.FAILED:
                self._untaken[path] = file["why"]
            else:
                self._untaken.pop(path, None)
        root = os.fsencode(self._folder.path)
        self._untaken = {p: why for p, why in self._untaken.items() if os.path.lexists(os.path.join(root, p))}
        return FolderReady(ready.folder, {p: s for p, s in ready.files.items() if p in self._untaken})

    def _call(self) -> str:
        """What a person is to be called for: the last docking's trouble, files that could not be taken yet, or what cannot be
        read. Empty if nobody is."""
        if self._trouble:
            return self._trouble
        if self._untaken:
            path = min(self._untaken)
            text = f"{printable(path)}: {self._untaken[path]}; {len(self._untaken)} files could not be taken"
            return sentence(MediadError(text, code="files-failed"))
        if lost := sorted(printable(r.path) for r in self._told if r.outcome is Outcome.FAILED):
            return f"有内容无法读取 {lost[0]} cannot be read: {len(lost)} such entries"
        return ""

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
            except (MediadError, UnicodeError) as e:  # the latter for a host name that cannot even be asked for
                error = e if isinstance(e, MediadError) else ConfigError(f"http.listen is no address: {e}")
                if error.message != said:
                    said = error.message
                    _log.error("no http", code=error.code, why=said)
                    self._say(f"监测端口不可用，收存照常，请告知管理员 {said}")
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
