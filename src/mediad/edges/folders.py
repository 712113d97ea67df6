"""Drop folders: which files in them are complete and waiting to be taken.

inotify (by watchdog) says that something happened; what counts is what ``lstat`` shows, judged by
``mediad.model.settling``.  Watched are creation, close after writing, and renames; not single writes, so a
file that is being written costs nothing.  A rescan at start finds what came while the daemon was down, later
ones what inotify cannot see (NFS, SMB mounts) or lost; they are spaced so that they never cost more than a
thousandth of a core, however large the folder is.

Only regular files count; symbolic links are never followed.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

from mediad.model.evidence import in_64_bits
from mediad.model.layout import printable
from mediad.model.settling import Settling, Signature

RESCAN_SHARE = 0.001
"""Share of one core that rescans may take."""

CROWD_SECONDS = 0.1
"""How long events gather before they are looked at; far below any settling time."""

_EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent, FileClosedEvent, FileMovedEvent, FileDeletedEvent, DirCreatedEvent, DirMovedEvent,
]  # fmt: skip


@dataclass(frozen=True)
class FolderReady:
    """These files of the folder are complete.  A docking of the folder takes these and leaves the others
    alone.  None at all: something in the folder (or the folder itself) cannot be read, or can be read again,
    which a docking records; or a file that was to be told again is gone.
    """

    folder: Path
    files: Mapping[bytes, Signature]

    def accepts(self, path: bytes, size: int, mtime_ns: int) -> bool:
        """Whether the file at this relative path, as it looks now, is one of them."""
        settled = self.files.get(path)
        return settled is not None and (settled.size, settled.mtime_ns) == (size, mtime_ns)


@dataclass
class _Folder:
    path: Path
    settling: Settling
    watch: ObservedWatch | None = None
    watched: tuple[int, int] = (0, 0)
    scan_at: float = 0.0
    complaint: str = ""
    unreadable: set[bytes] = field(default_factory=set)
    look: bool = False
    """A docking is to look, even without a settled file: something that cannot be read came or went."""
    look_at: float = math.inf
    """When a docking is to look once more, because the last one could not."""
    owed: set[bytes] = field(default_factory=set)
    """Files that could not be taken and are to be told again."""

    def gone(self, path: bytes) -> None:
        self.settling.gone(path)
        if path in self.owed:
            self.owed.discard(path)
            self.look = True  # whoever waits for it has to know


@dataclass(frozen=True, slots=True)
class _Note:
    """Something for the waiting thread.  Notes travel through a deque without a lock: watchdog calls its
    handlers while it holds a lock that ``schedule`` needs too.
    """

    reason: str
    folder: _Folder | None = None
    path: bytes = b""
    ready: FolderReady | None = None
    delay: float = 0.0


class FolderWatcher:
    """Watches folders and tells which of them have settled files.

    ``wait`` is called by one thread; ``wake`` and ``again`` by any.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        settle_seconds: float,
        *,
        rescan_seconds: float = 300.0,
        gather_seconds: float = 30.0,
        close_seconds: float = 1.0,
        on_problem: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``gather_seconds``: settled files wait so long for others that are on their way, to become one
        docking.  ``close_seconds``: quiet time that is enough after the writer closed the file.
        ``on_problem``: called with one sentence per new problem.
        """
        close = min(close_seconds, settle_seconds)
        self._folders = [
            _Folder(folder, Settling(settle_seconds, close, gather_seconds)) for folder in dict.fromkeys(folders)
        ]
        self._rescan = rescan_seconds
        self._on_problem = on_problem or (lambda _text: None)
        self._clock = clock
        self._observer: BaseObserver | None = None
        self._notes: deque[_Note] = deque()
        self._wake = -1
        self._signalled = False
        self._urgent = False
        self._wake_lock = threading.Lock()

    def start(self) -> None:
        """Begin to watch; the first ``wait`` lists what is there.  A missing folder is a problem, not an
        error: it may be mounted later.
        """
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._observer = Observer()
        self._observer.start()

    def stop(self) -> None:
        """A thread in ``wait`` must have returned before: ``wake``, join it, then stop."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None
        with self._wake_lock:
            if self._wake >= 0:
                os.close(self._wake)
                self._wake = -1

    def wake(self) -> None:
        """Make the running (or next) ``wait`` return at once."""
        self._note(_Note("wake"), urgent=True)

    def again(self, ready: FolderReady, delay_seconds: float) -> None:
        """The files could not be taken (busy, vault full): tell them again after ``delay_seconds``.  Without files
        it is the look that failed.
        """
        self._note(_Note("again", ready=ready, delay=delay_seconds), urgent=True)

    def wait(self, timeout: float | None) -> list[FolderReady]:
        """Block until a folder has settled files, ``wake`` is called, or ``timeout`` seconds are over (None:
        for ever).
        """
        end = None if timeout is None else self._clock() + timeout
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        while True:
            found, woken, until = self._step(self._clock())
            if found or woken:
                return found
            now = self._clock()
            if end is not None and now >= end:
                return []
            limits = [at - now for at in (end, until) if at is not None]
            if poller.poll(max(0.0, min(limits)) * 1000 + 1 if limits else None):
                self._drain()
                # events come in crowds: look at them together, unless somebody wants something now
                if not self._urgent:
                    poller.poll(CROWD_SECONDS * 1000)
                    self._drain()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def _note(self, note: _Note, *, urgent: bool = False) -> None:
        self._notes.append(note)
        if urgent:
            self._urgent = True
        if self._signalled and not urgent:
            return
        self._signalled = True
        with self._wake_lock:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def _step(self, now: float) -> tuple[list[FolderReady], bool, float | None]:
        """All that can be done now: events, rescans, files whose time is over.  Returns what to tell and when
        to come back.
        """
        woken = False
        self._signalled = self._urgent = False  # before the notes are read: one that comes now signals again
        while self._notes:
            note = self._notes.popleft()
            woken |= note.reason == "wake"
            self._handle(note, now)
        found: list[FolderReady] = []
        times: list[float] = []
        for folder in self._folders:
            if now >= folder.look_at:
                folder.look_at, folder.look = math.inf, True
                if b"" in folder.unreadable:  # the folder itself: when it is there again, so are its files
                    folder.scan_at = now
            if now >= folder.scan_at:
                self._scan(folder, now)
            for path in folder.settling.due(now):
                signature = self._look(folder, path)
                if signature is None:
                    folder.gone(path)
                else:
                    folder.settling.checked(path, signature, now)
            taken = folder.settling.take(now)
            if taken or folder.look:
                folder.look = False
                folder.owed -= taken.keys()
                found.append(FolderReady(folder.path, taken))
            times += [folder.scan_at, folder.look_at]
            if (at := folder.settling.next_at()) is not None:
                times.append(at)
        return found, woken, min(times, default=None)

    def _handle(self, note: _Note, now: float) -> None:
        folder, path = note.folder, note.path
        if note.ready is not None:
            for each in self._folders:
                if each.path == note.ready.folder:
                    each.settling.again(dict(note.ready.files), now, note.delay)
                    each.owed |= note.ready.files.keys()
                    if not note.ready.files:
                        each.look_at = min(each.look_at, now + note.delay)
        elif folder is None:
            return
        elif note.reason == "tree":
            for inner, signature in self._walk(folder, path):
                if signature is not _UNREADABLE:
                    folder.settling.seen(inner, signature, now)
        else:
            looked = self._look(folder, path)
            if looked is None:
                folder.gone(path)
            elif note.reason != "gone":
                folder.settling.seen(path, looked, now, closed=note.reason == "closed")

    def _look(self, folder: _Folder, path: bytes) -> Signature | None:
        try:
            return _signature(os.lstat(os.path.join(os.fsencode(folder.path), path)))
        except OSError:
            return None

    def _scan(self, folder: _Folder, now: float) -> None:
        started = time.thread_time()
        self._ensure_watch(folder)
        paths, unreadable = set(), set()
        for path, signature in self._walk(folder, b""):
            if signature is _UNREADABLE:
                unreadable.add(path)
                continue
            paths.add(path)
            folder.settling.seen(path, signature, now)
        if not unreadable:
            folder.settling.only(paths)
            for path in folder.owed - paths:
                folder.gone(path)
        if not folder.unreadable <= unreadable:
            folder.unreadable &= unreadable
            folder.look = True
        cost = time.thread_time() - started
        folder.scan_at = now + max(self._rescan, cost / RESCAN_SHARE)

    def _ensure_watch(self, folder: _Folder) -> None:
        """Watch the directory that is at this path now (it may have been mounted, or replaced, since)."""
        observer = self._observer
        if observer is None:
            return
        try:
            status = os.stat(folder.path)
            here = (status.st_dev, status.st_ino)
            if folder.watch is not None and folder.watched == here:
                return
            if folder.watch is not None:
                observer.unschedule(folder.watch)
                folder.watch = None
            handler = _Handler(lambda reason, path: self._note(_Note(reason, folder, path)), os.fsencode(folder.path))
            folder.watch = observer.schedule(handler, str(folder.path), recursive=True, event_filter=_EVENTS)
            folder.watched = here
            folder.complaint = ""
        except OSError as error:
            hint = "; rescans only" if folder.path.is_dir() else ""
            self._complain(folder, f"cannot watch the folder {folder.path}: {error.strerror or error}{hint}")

    def _complain(self, folder: _Folder, text: str) -> None:
        if folder.complaint != text:
            folder.complaint = text
            self._on_problem(text)

    def _walk(self, folder: _Folder, below: bytes) -> Iterator[tuple[bytes, Signature]]:
        """Regular files under ``below``; a directory that cannot be looked through, or whose entries cannot all be
        looked at, yields (its path, _UNREADABLE).  Only what is not there is nothing to say.
        """
        root = os.fsencode(folder.path)
        stack = [below]
        while stack:
            inner = stack.pop()
            trouble: OSError | None = None
            try:
                with os.scandir(os.path.join(root, inner) if inner else root) as entries:
                    for entry in entries:
                        path = os.path.join(inner, entry.name) if inner else entry.name
                        try:
                            if entry.is_dir(follow_symlinks=False):
                                stack.append(path)
                            elif signature := _signature(entry.stat(follow_symlinks=False)):
                                yield path, signature
                        except FileNotFoundError:
                            continue  # vanished between listing and looking
                        except OSError as error:
                            trouble = error
            except (FileNotFoundError, NotADirectoryError) as error:
                if inner:
                    continue
                trouble = error
            except OSError as error:
                trouble = error
            if trouble is not None:
                self._cannot_read(folder, inner, trouble)
                yield inner, _UNREADABLE

    def _cannot_read(self, folder: _Folder, inner: bytes, error: OSError) -> None:
        if inner in folder.unreadable:
            return
        folder.unreadable.add(inner)
        folder.look = True
        if inner or not folder.complaint:  # of the folder itself the watch has complained
            self._on_problem(f"cannot look through {printable(inner) or folder.path}: {error.strerror}")


_UNREADABLE = Signature(-1, -1, -1)


def _signature(status: os.stat_result) -> Signature | None:
    if not stat.S_ISREG(status.st_mode):
        return None
    return Signature(status.st_size, in_64_bits(status.st_mtime_ns), status.st_ino)


class _Handler(FileSystemEventHandler):
    """Turns watchdog's events into notes for the waiting thread; runs in watchdog's thread."""

    def __init__(self, note: Callable[[str, bytes], None], root: bytes) -> None:
        self._note = note
        self._prefix = root.rstrip(b"/") + b"/"

    def on_any_event(self, event: FileSystemEvent) -> None:
        moved = isinstance(event, FileMovedEvent | DirMovedEvent)
        if event.src_path and (moved or isinstance(event, FileDeletedEvent)) and not event.is_directory:
            self._tell("gone", event.src_path)
        path = event.dest_path if moved else event.src_path
        if not path or isinstance(event, FileDeletedEvent):
            return
        if event.is_directory:
            self._tell("tree", path)
        else:
            # a rename into place is how well-behaved writers say that a file is complete
            self._tell("closed" if moved or isinstance(event, FileClosedEvent) else "file", path)

    def _tell(self, reason: str, path: bytes | str) -> None:
        raw = os.fsencode(path)
        if raw.startswith(self._prefix):
            self._note(reason, raw[len(self._prefix) :])
