"""When is a file that somebody else writes complete?  Pure: signatures and times in, settled files out.

A file has settled when its size, time and inode have stayed the same for ``settle`` seconds, or for ``close``
seconds after its writer closed it.  Whether they stayed the same is decided by looking again at the end of
that time (``due`` says whom), never by the absence of events: file systems on the network send none.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import NamedTuple


class Signature(NamedTuple):
    """What must not change: size in bytes, modification time in ns, inode number."""

    size: int
    mtime_ns: int
    inode: int


@dataclass(slots=True)
class _Pending:
    signature: Signature
    since: float
    closed: bool = False


@dataclass(slots=True)
class Settling:
    """The files of one folder.  All times are monotonic seconds; paths are relative to the folder."""

    settle: float
    close: float
    gather: float
    _pending: dict[bytes, _Pending] = field(default_factory=dict)
    _heap: list[tuple[float, bytes]] = field(default_factory=list)
    _ready: dict[bytes, Signature] = field(default_factory=dict)
    _ready_since: float = 0.0
    _told: dict[bytes, int] = field(default_factory=dict)

    def seen(self, path: bytes, signature: Signature, now: float, *, closed: bool = False) -> None:
        """The file looks like this now.  ``closed``: its writer has just closed it."""
        known = self._pending.get(path)
        if known is None:
            if self._told.get(path) == hash(signature) or self._ready.get(path) == signature:
                return
            self._ready.pop(path, None)
            self._pending[path] = known = _Pending(signature, now, closed)
        elif known.signature != signature:
            known.signature, known.since, known.closed = signature, now, closed
            if not closed:
                return  # its place in the heap comes earlier and is moved then
        elif closed and not known.closed:
            known.since, known.closed = now, True
        else:
            return
        heapq.heappush(self._heap, (self._due_at(known), path))

    def gone(self, path: bytes) -> None:
        self._pending.pop(path, None)
        self._ready.pop(path, None)
        self._told.pop(path, None)

    def only(self, paths: set[bytes]) -> None:
        """A complete listing: what is not in it is gone."""
        for table in (self._pending, self._ready, self._told):
            for path in [path for path in table if path not in paths]:
                self.gone(path)

    def due(self, now: float) -> list[bytes]:
        """Files whose time is over: look at each again and say ``checked`` or ``gone``."""
        found: dict[bytes, None] = {}
        while self._heap and self._heap[0][0] <= now:
            _, path = heapq.heappop(self._heap)
            known = self._pending.get(path)
            if known is None or path in found:
                continue
            if (at := self._due_at(known)) > now:
                heapq.heappush(self._heap, (at, path))
            else:
                found[path] = None
        return list(found)

    def checked(self, path: bytes, signature: Signature, now: float) -> None:
        """The answer for a path from ``due``: settled if it is as it was."""
        known = self._pending.get(path)
        if known is None:
            return
        if known.signature == signature:
            del self._pending[path]
            if not self._ready:
                self._ready_since = now
            self._ready[path] = signature
        else:
            known.signature, known.since, known.closed = signature, now, False
            heapq.heappush(self._heap, (self._due_at(known), path))

    def take(self, now: float) -> dict[bytes, Signature]:
        """The settled files, once: when nothing else is on its way, or the first of them has waited
        ``gather`` seconds.
        """
        if not self._ready or (self._pending and now - self._ready_since < self.gather):
            return {}
        taken, self._ready = self._ready, {}
        self._told.update((path, hash(signature)) for path, signature in taken.items())
        return taken

    def again(self, paths: dict[bytes, Signature], now: float, delay: float) -> None:
        """These could not be taken: they are told again after ``delay`` seconds, if they are still there and
        unchanged by then.
        """
        for path, signature in paths.items():
            if self._told.pop(path, None) is not None and path not in self._pending:
                self._pending[path] = known = _Pending(signature, now + delay - self.close, closed=True)
                heapq.heappush(self._heap, (self._due_at(known), path))

    def next_at(self) -> float | None:
        """When to come back; None: not before something happens."""
        times = [self._heap[0][0]] if self._heap else []
        if self._ready:
            times.append(self._ready_since + self.gather)
        return min(times, default=None)

    def _due_at(self, known: _Pending) -> float:
        return known.since + (self.close if known.closed else self.settle)
