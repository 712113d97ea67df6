"""Moving bytes: one read feeds hashing and writing together; what was written is read back from the medium.

All buffers of a process come from one pool, so that any number of copies of any size stays within its bound. Buffers are
page-aligned (anonymous mappings), as O_DIRECT wants.
"""

import errno
import hashlib
import mmap
import os
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fcntl import F_GETFL, F_SETFL, fcntl
from pathlib import Path
from typing import Literal, Protocol

from mediad.edges.files import resident_pages, write_all
from mediad.errors import SourceError, StorageError
from mediad.model.evidence import HEAD_BYTES, ReadBack
from mediad.model.ids import Digest

BUFFER = 2 * 1024 * 1024
POOL_BYTES = 64 * 1024 * 1024
_IN_FLIGHT = (
    3  # per copy: one being read, one hashed, one written; where the pool is out, copies wait for one another's buffers
)
_DIRECT_FROM = 4 * BUFFER
_ALIGN = 4096


class Hasher(Protocol):
    def update(self, data: memoryview, /) -> None: ...

    def digest(self) -> bytes: ...


def _hasher(algorithm: str) -> Hasher:
    # The named constructor is faster than hashlib.new, which looks the name up; with ten thousand photos that counts.
    return hashlib.sha256() if algorithm == "sha256" else hashlib.new(algorithm)


class BufferPool:
    """At most ``limit`` bytes in buffers of ``BUFFER`` bytes; ``take`` waits for one. Made when first needed; the one given
    back last is taken first."""

    def __init__(self, limit: int = POOL_BYTES) -> None:
        # A ticket for each buffer that may be out: this queue is far quicker than a semaphore, and small files take two each.
        self._tickets: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._free: list[mmap.mmap] = []
        for _ in range(max(2, limit // BUFFER)):
            self._tickets.put(None)

    def take(self) -> mmap.mmap:
        self._tickets.get()
        try:
            return self._free.pop()
        except IndexError:
            return mmap.mmap(-1, BUFFER)

    def give(self, buffer: mmap.mmap) -> None:
        self._free.append(buffer)
        self._tickets.put(None)


class _Line:
    """One step of a copy in a thread of its own: takes filled buffers in order, works on each, hands them on."""

    def __init__(self, work: Callable[[memoryview], None], then: Callable[[mmap.mmap, int], None]) -> None:
        self._work, self._then = work, then
        self._in: queue.SimpleQueue[tuple[mmap.mmap, int] | None] = queue.SimpleQueue()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="pump", daemon=True)
        self._thread.start()

    def put(self, buffer: mmap.mmap, length: int) -> None:
        self._in.put((buffer, length))

    def finish(self) -> None:
        self._in.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._in.get()) is not None:
            buffer, length = item
            if self.error is None:
                try:
                    with memoryview(buffer) as view, view[:length] as part:
                        self._work(part)
                except BaseException as e:
                    self.error = e
            self._then(buffer, length)


def _lines(works: Sequence[Callable[[memoryview], None]], release: Callable[[mmap.mmap, int], None]) -> list[_Line]:
    """Lines one behind another; the last one releases the buffer. In order of flow."""
    lines: list[_Line] = []
    then = release
    for work in reversed(works):
        line = _Line(work, then)
        lines.insert(0, line)
        then = line.put
    return lines


def _flow(read: Callable[[memoryview], int], works: Sequence[Callable[[memoryview], None]], pool: BufferPool) -> None:
    """Run buffers from ``read`` through ``works`` side by side until ``read`` returns 0."""
    room = threading.Semaphore(_IN_FLIGHT)

    def release(buffer: mmap.mmap, _length: int) -> None:
        pool.give(buffer)
        room.release()

    lines = _lines(works, release)
    try:
        while all(line.error is None for line in lines):
            room.acquire()
            buffer = pool.take()
            n = 0
            try:
                with memoryview(buffer) as view:
                    n = read(view)
            finally:
                if n == 0:
                    release(buffer, 0)
            if n == 0:
                break
            lines[0].put(buffer, n)
    finally:
        for line in lines:
            line.finish()
    for line in lines:
        if line.error is not None:
            raise line.error


@dataclass(frozen=True, slots=True)
class Taken:
    """What one read of a source told."""

    size: int
    digests: tuple[Digest, ...]
    head: bytes


class _Source:
    """A source descriptor read once, front to back, at most ``size`` bytes; its errors are the card's.

    Large files are read past the page cache, unless they lie in it already: it costs a copy of every byte, and would keep
    what nobody reads twice.
    """

    def __init__(self, fd: int, size: int, progress: Callable[[int], None]) -> None:
        self.fd, self.size, self.progress = fd, size, progress
        self.done = 0
        self.head = b""
        self.direct = size >= _DIRECT_FROM and not _cached(fd, size) and _set_direct(fd, on=True)

    def read(self, view: memoryview) -> int:
        want = min(len(view), self.size - self.done)
        got = 0
        try:
            while got < want and (n := self._some(view[got:], want - got, self.done + got)):
                got += n
        except OSError as e:
            reason = os.strerror(e.errno or errno.EIO)
            raise SourceError(f"{reason} near byte {self.done + got}", code="source-read", hint="dock it again") from e
        if self.done == 0:
            self.head = bytes(view[: min(got, HEAD_BYTES)])
        self.done += got
        self.progress(got)
        return got

    def _some(self, view: memoryview, want: int, at: int) -> int:
        if self.direct:
            if at % _ALIGN == 0:
                try:
                    # Up to the end of a block, of which the file may hold less; what is more than was claimed is not taken.
                    return min(want, os.preadv(self.fd, [view[: -(-want // _ALIGN) * _ALIGN]], at))
                except OSError as e:
                    if e.errno != errno.EINVAL:
                        raise
            self._through_the_cache()  # this file system takes the flag but not the read, or it ended inside a block
        return os.preadv(self.fd, [view[:want]], at)

    def _through_the_cache(self) -> None:
        if self.direct:
            self.direct = not _set_direct(self.fd, on=False)

    def check_end(self) -> None:
        """Raise SourceError if there is more than was claimed: a part must never be called whole (a file that grew, an MTP
        object beyond 4 GiB, a file system that tells wrong sizes)."""
        self._through_the_cache()
        try:
            more = self.done == self.size and os.preadv(self.fd, [bytearray(1)], self.size) > 0
        except OSError as e:
            raise SourceError(
                f"{os.strerror(e.errno or errno.EIO)} at its end", code="source-read", hint="dock it again"
            ) from e
        if more:
            raise SourceError(
                "it is longer than it says", code="source-changed", hint="dock it again when it is finished"
            )


def _cached(fd: int, size: int) -> bool:
    """Whether any of a source lies in the page cache; also if that cannot be told, as of a file that has shrunk."""
    try:
        return resident_pages(fd, size) > 0
    except (OSError, ValueError):
        return True


class _Target:
    """A staged file written front to back. Large ones go past the page cache, so that they cannot push out anything else."""

    def __init__(self, fd: int, *, direct: bool) -> None:
        self.fd = fd
        self.direct = direct and _set_direct(fd, on=True)

    def write(self, data: memoryview) -> None:
        if self.direct and len(data) % _ALIGN:
            self.direct = not _set_direct(self.fd, on=False)
        try:
            write_all(self.fd, data)
        except OSError as e:
            if not (self.direct and e.errno == errno.EINVAL):
                raise
            # This file system takes the flag but not the write; nothing of this buffer was written.
            self.direct = not _set_direct(self.fd, on=False)
            write_all(self.fd, data)


def _set_direct(fd: int, *, on: bool) -> bool:
    flags = fcntl(fd, F_GETFL)
    try:
        fcntl(fd, F_SETFL, flags | os.O_DIRECT if on else flags & ~os.O_DIRECT)
    except OSError:
        return False
    return True


def copy(
    source: int, target: int, size: int, algorithms: Sequence[str], pool: BufferPool, progress: Callable[[int], None]
) -> Taken:
    """Copy at most ``size`` bytes from one descriptor to another, hashing on the way.

    ``target`` was opened for writing and stands at its start. Raises SourceError for a failed read and OSError for a failed
    write: whoever reads a card must be able to tell the card's faults from the vault's.
    """
    hashers = [_hasher(a) for a in algorithms]
    reader = _Source(source, size, progress)
    if size <= BUFFER:
        buffer = pool.take()
        try:
            with memoryview(buffer) as view, view[: reader.read(view)] as part:
                for hasher in hashers:
                    hasher.update(part)
                write_all(target, part)
        finally:
            pool.give(buffer)
    else:
        writer = _Target(target, direct=size >= _DIRECT_FROM)
        _flow(reader.read, [*(h.update for h in hashers), writer.write], pool)
    reader.check_end()
    digests = tuple(Digest(a, h.digest()) for a, h in zip(algorithms, hashers, strict=True))
    return Taken(reader.done, digests, reader.head)


def read_back(path: Path, algorithm: str, pool: BufferPool) -> ReadBack:
    """Hash a stored file from the medium, never from the page cache.

    ``direct``: opened with O_DIRECT. ``evicted``: where a file system has no O_DIRECT, its pages were dropped and the cache
    was seen to hold none. Raises OSError for a failed read, StorageError if the cache cannot be kept out.
    """
    method: Literal["direct", "evicted"] = "direct"
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(path, flags | os.O_DIRECT)
    except OSError as e:
        if e.errno != errno.EINVAL:
            raise
        method = "evicted"
        fd = os.open(path, flags)
    try:
        size = os.fstat(fd).st_size
        if method == "evicted":
            _evict(fd, size, path)
        hasher = _hasher(algorithm)
        done = _hash(fd, size, hasher, pool)
    finally:
        os.close(fd)
    return ReadBack(Digest(algorithm, hasher.digest()), done, method)


def _evict(fd: int, size: int, path: Path) -> None:
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    if resident_pages(fd, size):
        raise StorageError(
            f"{path.name} cannot be read from the medium: its pages stay in memory",
            hint="this file system suits no vault; use ext4 or XFS",
        )


def _hash(fd: int, size: int, hasher: Hasher, pool: BufferPool) -> int:
    done = 0

    def read(view: memoryview) -> int:
        nonlocal done
        got = 0
        while got < len(view) and done + got < size:
            n = os.preadv(fd, [view[got:]], done + got)
            got += n
            if n == 0 or n % _ALIGN:
                break
        done += got
        return got

    if size <= BUFFER:
        buffer = pool.take()
        try:
            # A vector no longer than the file needs: the kernel pins every page of it for a direct read.
            with memoryview(buffer) as view, view[: -(-size // _ALIGN) * _ALIGN] as vector:
                with vector[: read(vector)] as part:
                    hasher.update(part)
        finally:
            pool.give(buffer)
    else:
        _flow(read, [hasher.update], pool)
    return done
