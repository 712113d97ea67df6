"""The slot board: one JSON file in the runtime folder, from which the station's screen is drawn.

It is replaced whole, lives in memory (tmpfs), and is nobody's record: after a crash it is simply written anew.
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


class Board:
    """Keeps the views of all slots and writes them out: a change of state at once, progress at most twice a second."""

    def __init__(self, folder: Path, on_state: Callable[[str, str], None] = lambda _slot, _state: None) -> None:
        self._path = folder / FILE
        self._on_state = on_state
        self._views: dict[str, SlotView] = {}
        self._names: Mapping[str, str] = {}
        self._message = ""
        self._lock = threading.Lock()
        self._written = 0.0
        make_dirs(folder, 0o755)

    def set_names(self, names: Mapping[str, str]) -> None:
        """Taught names by port; every named slot is shown, also while nothing is in it."""
        with self._lock:
            self._names = dict(names)
            for port, name in names.items():
                self._views[port] = self._views.get(port, SlotView(port)).but(name=name)
            self._write()

    def say(self, message: str) -> None:
        """One sentence for the whole station, such as "the vault is offline"; empty takes it away."""
        with self._lock:
            if message != self._message:
                self._message = message
                self._write()

    def view(self, port: str) -> SlotView:
        with self._lock:
            return self._views.get(port, SlotView(port, self._names.get(port, "")))

    def views(self) -> list[SlotView]:
        with self._lock:
            return [self._views[port] for port in sorted(self._views)]

    def show(self, view: SlotView) -> None:
        """Show a slot anew."""
        with self._lock:
            view = view.but(name=self._names.get(view.port, view.name))
            before = self._views.get(view.port)
            self._views[view.port] = view
            changed = before is None or before.state != view.state or before.why != view.why
            if changed or time.monotonic() - self._written >= _EVERY_SECONDS:
                self._write()
        if before is None or before.state != view.state:
            self._on_state(view.name or view.port, view.state)

    def _write(self) -> None:
        self._written = time.monotonic()
        slots = [self._views[port].as_json() for port in sorted(self._views)]
        body = {"message": self._message, "daemon": _process(os.getpid()), "slots": slots}
        with suppress(OSError):  # a screen that cannot be drawn must not stop a docking; the next change tries again
            replace_atomic(self._path, (json.dumps(body, ensure_ascii=False) + "\n").encode("utf-8"))


def read_board(folder: Path) -> dict[str, Any] | None:
    """The board as it was last written, or None if there is none."""
    try:
        value: dict[str, Any] = json.loads((folder / FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return value


def stamp(folder: Path) -> object:
    """Something that changes whenever the board is written; None if there is none."""
    try:
        s = (folder / FILE).stat()
    except OSError:
        return None
    return s.st_ino, s.st_mtime_ns, s.st_size


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
