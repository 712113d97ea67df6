"""The slot board: one JSON file in the runtime folder, from which the station's screen is drawn.

It is replaced whole, lives in memory (tmpfs), and is nobody's record: after a crash it is simply written anew.

A screen that says "safe to take" must not outlive its truth. So the board is written again every few seconds even if nothing
changes, and a reader believes it only while it is young and its daemon runs; and a board that cannot be replaced is removed.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mediad.edges.files import make_dirs, replace_atomic
from mediad.model.board import SlotView

FILE = "slots.json"
_EVERY_SECONDS = 0.5

BEAT_SECONDS = 3.0
"""How often the board is written while nothing changes."""

STALE_SECONDS = 10.0
"""How old a board may be that is believed: a loaded station may miss a beat or two."""


class Board:
    """Keeps the views of all slots and writes them out: a change of state at once, progress at most twice a second."""

    def __init__(
        self,
        folder: Path,
        on_state: Callable[[str, str], None] = lambda _slot, _state: None,
        on_problem: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """``on_state`` is called in the order of the changes and must return at once; ``on_problem`` gets one sentence when the
        board cannot be written, and no other until it could be."""
        self._path = folder / FILE
        self._on_state, self._on_problem = on_state, on_problem
        self._views: dict[str, SlotView] = {}
        self._names: Mapping[str, str] = {}
        self._message = ""
        self._lock = threading.Lock()
        self._written = 0.0
        self._failing = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        make_dirs(folder, 0o755)

    def start(self) -> None:
        """Keep the board young from now on."""
        self._thread = threading.Thread(target=self._keep, name="board", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let it grow old, and put out every lamp: nobody knows any more what is plugged in."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            for view in self._views.values():
                if view.state != "idle":
                    self._on_state(view.name or view.port, "idle")

    def _keep(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            with self._lock:
                self._write()

    def set_names(self, names: Mapping[str, str]) -> None:
        """Taught names by port; every named slot is shown, also while nothing is in it, and its lamp is told: it may still
        show what an earlier daemon said."""
        with self._lock:
            self._names = dict(names)
            for port, name in names.items():
                view = self._views[port] = self._views.get(port, SlotView(port)).but(name=name)
                self._on_state(name, view.state)
            self._write()

    def say(self, message: str) -> None:
        """One sentence for the whole station, such as "the vault is offline"; empty takes it away."""
        with self._lock:
            if message != self._message:
                self._message = message
                self._write()

    def view(self, port: str) -> SlotView:
        with self._lock:
            return self._view(port)

    def views(self) -> list[SlotView]:
        with self._lock:
            return [self._views[port] for port in sorted(self._views)]

    def show(self, view: SlotView) -> None:
        """Show a slot anew, whatever it showed before."""
        self.change(view.port, lambda _before: view)

    def change(self, port: str, make: Callable[[SlotView], SlotView]) -> None:
        """Show what ``make`` makes of what is shown, in one step: several threads write about one slot."""
        with self._lock:
            known, before = port in self._views, self._view(port)
            view = make(before)
            view = self._views[port] = view.but(name=self._names.get(port, view.name))
            changed = not known or before.state != view.state or before.why != view.why
            if changed or time.monotonic() - self._written >= _EVERY_SECONDS:
                self._write()
            if not known or before.state != view.state:
                self._on_state(view.name or port, view.state)

    def _view(self, port: str) -> SlotView:
        return self._views.get(port, SlotView(port, self._names.get(port, "")))

    def _write(self) -> None:
        self._written = time.monotonic()
        slots = [self._views[port].as_json() for port in sorted(self._views)]
        daemon = _process(os.getpid())
        body = {"message": self._message, "daemon": daemon, "beat": round(self._written, 1), "slots": slots}
        try:
            replace_atomic(self._path, (json.dumps(body, ensure_ascii=False) + "\n").encode("utf-8"))
        except (
            OSError
        ) as e:  # a screen that cannot be drawn must not stop a docking; the next change or beat tries again
            with suppress(OSError):
                self._path.unlink()
            if not self._failing:
                self._on_problem(f"the slot board {self._path} cannot be written: {e.strerror}")
            self._failing = True
        else:
            self._failing = False


def read_board(folder: Path) -> dict[str, Any] | None:
    """The board as it was last written, or None if there is none."""
    try:
        value = json.loads((folder / FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def known_board(folder: Path) -> dict[str, Any]:
    """The board for who shows it once. ``news`` is empty, or says why nothing is known of the slots."""
    board = read_board(folder)
    if board is None:
        return {"message": "", "slots": [], "news": "采集程序未运行 the daemon has not run yet"}
    if not daemon_runs(board):
        return {**board, "slots": [], "news": "采集程序未运行 the daemon is not running"}
    if not is_young(board):
        return {**board, "slots": [], "news": "接口情况不明 there is no news of the slots: see the daemon's log"}
    return {**board, "news": ""}


def stamp(folder: Path) -> object:
    """Something that changes whenever the board is written; None if there is none."""
    try:
        s = (folder / FILE).stat()
    except OSError:
        return None
    return s.st_ino, s.st_mtime_ns, s.st_size


def is_young(board: Mapping[str, Any]) -> bool:
    """Whether the board was written a moment ago, by the clock that runs since boot."""
    beat = board.get("beat")
    return isinstance(beat, int | float) and -1.0 < time.monotonic() - beat < STALE_SECONDS


def daemon_runs(board: Mapping[str, Any]) -> bool:
    """Whether the daemon that wrote the board still runs: there is a process of its number that began when it did."""
    daemon = board.get("daemon") or {}
    pid = daemon.get("pid")
    return isinstance(pid, int) and daemon.get("began") != 0 and _process(pid) == daemon


def _process(pid: int) -> dict[str, int]:
    """A process's number and the clock tick since boot at which it began (proc(5)); 0 if it is none, or a zombie."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return {"pid": pid, "began": 0 if state == b"Z" else int(rest[18])}
    except (OSError, ValueError, IndexError):
        return {"pid": pid, "began": 0}
