"""Reading a vault, and nothing else: what the auditor sees the world through.

It shares no code with the writers (edges/vault.py, edges/pump.py) and opens nothing for writing. Bytes are read past the
page cache; where a file system does not allow that, the answer says so.
"""

import ctypes
import errno
import hashlib
import json
import mmap
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mediad.errors import MediadError, NotFound, StorageError, VaultOffline

_MARKER = ".mediad-vault.json"  # said again here on purpose: an auditor does not ask the writers where to look
_OCTAL = re.compile(rb"\\([0-7]{3})")
_CHUNK = 4 * 1024 * 1024
_RECORD_LIMIT = 512 * 1024**2  # and this: no record is larger, and records are read as a whole

Method = Literal["direct", "evicted", "cached"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a vault. ``kind`` is ``file``, ``folder`` (one that holds nothing), ``unreadable`` (a folder that could not be
    listed) or ``other``; ``mode`` holds the permission bits."""

    key: str
    kind: Literal["file", "folder", "other", "unreadable"]
    size: int
    mode: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What the medium gave: digests in hex by algorithm, bytes read, and how the page cache was kept out.

    ``direct``: O_DIRECT. ``evicted``: cache dropped and seen to be empty. ``cached``: it could not be kept out, so this says
    nothing of the medium.
    """

    digests: dict[str, str]
    size: int
    method: Method


class VaultReader:
    """A vault in a folder, for reading."""

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.root = root
        self._mounts = _mounted_below(root)

    def detour(self, folder: str) -> str | None:
        """The first folder on the way from the root to this one, itself included, that is a link or where another disk is
        mounted: what is behind it is not the vault's. None if there is none, or nothing at all."""
        here = ""
        for part in folder.split("/"):
            here = f"{here}/{part}".lstrip("/")
            try:
                status = os.lstat(self.root / here)
            except OSError:
                return None
            if stat.S_ISLNK(status.st_mode) or here in self._mounts:
                return here
        return None

    def marker(self) -> str | None:
        """The id in the vault's marker file; None if there is none or it says none. Raises VaultOffline if the folder is not
        there or does not answer."""
        try:
            os.listdir(self.root)
        except OSError as e:
            raise VaultOffline(
                f"vault {self.name} cannot be read: {os.strerror(e.errno or 0)} ({self.root})", hint="mount its disk"
            ) from e
        try:
            found = json.loads(self.read(_MARKER))["id"]
        except (MediadError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return found if isinstance(found, str) else None

    def entries(self, top: str) -> Iterator[Entry]:
        """Everything below one top folder that is no folder itself, and empty folders, in order of keys. Links are not followed,
        nor other disks entered."""
        if (away := self.detour(top)) is not None:
            yield Entry(away, "other", 0, 0)
            return
        pending = [top]
        while pending:
            key = pending.pop()
            folders: list[str] = []
            empty = key != top
            try:
                with os.scandir(self.root / key) as listing:
                    for item in sorted(listing, key=lambda i: i.name):
                        below, empty = f"{key}/{item.name}", False
                        if below in self._mounts:
                            yield Entry(below, "other", 0, 0)
                        elif item.is_dir(follow_symlinks=False):
                            folders.append(below)
                        elif (entry := self.stat(below)) is not None:
                            yield entry
                if empty:
                    yield Entry(key, "folder", 0, 0)
            except FileNotFoundError:
                continue
            except OSError:
                yield Entry(key, "unreadable", 0, 0)
            pending.extend(reversed(folders))

    def stat(self, key: str) -> Entry | None:
        """One name as it is now, or None."""
        try:
            status = os.lstat(self._path(key))
        except (FileNotFoundError, NotADirectoryError, NotFound):
            return None
        except OSError:
            return Entry(key, "unreadable", 0, 0)
        kind: Literal["file", "other"] = "file" if stat.S_ISREG(status.st_mode) else "other"
        return Entry(key, kind, status.st_size, stat.S_IMODE(status.st_mode))

    def read(self, key: str) -> bytes:
        """A record's bytes, from the medium where possible. Raises NotFound or StorageError."""
        parts: list[bytes] = []

        def keep(part: memoryview) -> None:
            parts.append(bytes(part))
            if len(parts) * _CHUNK > _RECORD_LIMIT:
                raise StorageError(f"{key} is larger than any record", hint="look at it by hand")

        self._through(key, keep)
        return b"".join(parts)

    def measure(self, key: str, algorithms: Sequence[str], moved: Callable[[int], None] = lambda _n: None) -> Measured:
        """Digest a file from the medium. ``moved`` hears of bytes as they come. Raises NotFound or StorageError."""
        hashers = {a: hashlib.new(a) for a in algorithms}

        def feed(part: memoryview) -> None:
            for hasher in hashers.values():
                hasher.update(part)
            moved(len(part))

        size, method = self._through(key, feed)
        return Measured({a: h.hexdigest() for a, h in hashers.items()}, size, method)

    def _through(self, key: str, feed: Callable[[memoryview], None]) -> tuple[int, Method]:
        path = self._path(key)
        try:
            return _read_file(path, feed)
        except FileNotFoundError:
            raise NotFound(f"{key} is not in vault {self.name}") from None
        except OSError as e:
            raise StorageError(f"{key}: {os.strerror(e.errno or 0)}", hint="check the vault's disk") from e

    def _path(self, key: str) -> Path:
        """Where a key lies. Keys come from records and tables that anybody may have changed: raises NotFound for one that names
        nothing in the vault."""
        try:
            os.fsencode(key)
        except ValueError:
            key = ""
        if "\0" in key or not all(part not in ("", ".", "..") for part in key.split("/")):
            raise NotFound(f"{key!r} names nothing in vault {self.name}")
        if away := self.detour(key.rpartition("/")[0]):
            raise NotFound(f"{key} is not in vault {self.name}: {away} leads out of it")
        return self.root / key


def _mounted_below(root: Path) -> frozenset[str]:
    """Where other file systems, or other parts of this one, are mounted in a vault; by mounts, since a subvolume has another
    device and still is the same disk."""
    real = os.path.realpath(root)
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()  # proc(5): the fifth field, blanks as \\040
    except OSError:
        return frozenset()
    plain = [_OCTAL.sub(lambda found: bytes([int(found[1], 8)]), line.split(b" ")[4]) for line in lines]
    points = map(os.fsdecode, plain)
    return frozenset(point[len(real) + 1 :] for point in points if point.startswith(f"{real}/"))


def _read_file(path: Path, feed: Callable[[memoryview], None]) -> tuple[int, Method]:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    done = 0
    try:
        fd = os.open(path, flags | os.O_DIRECT)
        try:
            _check_regular(fd)
            done = _pour(fd, 0, feed)
        finally:
            os.close(fd)
        return done, "direct"
    except OSError as e:
        if e.errno != errno.EINVAL or done:
            raise  # EINVAL is how a file system says that it has no O_DIRECT, at open or at the first read
    fd = os.open(path, flags)
    try:
        _check_regular(fd)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        method: Method = "cached" if _resident(fd) else "evicted"
        return _pour(fd, 0, feed), method
    finally:
        os.close(fd)


def _check_regular(fd: int) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))


_own = threading.local()


def _buffer() -> mmap.mmap:
    """One buffer per thread, used again and again: the kernel has to pin and clear the pages of a new one for each read. An
    anonymous mapping, since it is aligned as O_DIRECT wants."""
    if not hasattr(_own, "buffer"):
        _own.buffer = mmap.mmap(-1, _CHUNK)
    buffer: mmap.mmap = _own.buffer
    return buffer


def _pour(fd: int, done: int, feed: Callable[[memoryview], None]) -> int:
    left = os.fstat(fd).st_size
    with memoryview(_buffer()) as whole:
        while True:
            pages = -(
                -max(left - done, 1) // mmap.PAGESIZE
            )  # no more than the file needs, so that a small one is cheap
            with whole[: min(_CHUNK, pages * mmap.PAGESIZE)] as view:
                got = os.preadv(fd, [view], done)
                if got == 0:
                    return done
                with view[:got] as part:
                    feed(part)
            done += got
            if got % mmap.PAGESIZE:
                return done  # an unaligned end is the end of the file; a direct read must not go on from there


def _resident(fd: int) -> bool:
    """Whether the page cache holds any of the file."""
    size = os.fstat(fd).st_size
    if size == 0:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    vector = (ctypes.c_ubyte * ((size + mmap.PAGESIZE - 1) // mmap.PAGESIZE))()
    with mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE) as mapped:
        start = ctypes.c_char.from_buffer(mapped)
        answer = libc.mincore(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(size), vector)
        del start
    return answer != 0 or any(v & 1 for v in vector)
