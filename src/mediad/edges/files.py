"""Durable file primitives, all on one page.

A name survives a power cut only after its directory was synced, bytes only after the file was; so: write, fsync, rename or
link, fsync the directory. Every function that makes something durable says so in its name or first line.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mediad.errors import Busy, KeyConflict, MediadError, StorageError, VaultFull

_libc = ctypes.CDLL(None, use_errno=True)
_CHUNK = 1024 * 1024

LOCAL_FILE_SYSTEMS = {0xEF53: "ext4", 0x58465342: "xfs", 0x9123683E: "btrfs", 0x01021994: "tmpfs", 0xF2F52010: "f2fs"}
"""Magic numbers (statfs(2)) of file systems whose syncfs reports write errors of a disk on this machine."""

_MEMORY_FILE_SYSTEMS = {0x01021994: "tmpfs", 0x858458F6: "ramfs"}


def storage_error(error: OSError, what: str) -> MediadError:
    """An operating system's error on a vault or the catalogue's disk, as one of ours."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return VaultFull(
            f"no space left while {what}",
            hint="make room on its disk; the daemon goes on by itself, `mediad ingest` is to be run again",
        )
    return StorageError(
        f"{os.strerror(error.errno or 0)} while {what}", hint="check the vault's disk, its mount and its rights"
    )


def fsync_dir(path: str | bytes | Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_dirs(path: Path, mode: int = 0o750) -> None:
    """Create a directory and its missing parents, each durable in its parent before the next is made. Raises StorageError."""
    try:
        if path.is_dir():
            return
        make_dirs(path.parent, mode)
        make_dir(path, mode)
        fsync_dir(path.parent)
    except OSError as e:
        raise storage_error(e, f"creating {path}") from e


def make_dir(path: Path, mode: int = 0o750) -> None:
    """Create one directory with just this mode, whatever the umask. One that is there stays as it is."""
    with suppress(FileExistsError):
        make_new_dir(path, mode)


def make_new_dir(path: Path, mode: int = 0o750) -> None:
    """Like ``make_dir``; raises FileExistsError for one that is there."""
    path.mkdir(mode)
    path.chmod(mode)


def syncfs(fd: int) -> None:
    """Write out the whole file system of ``fd``. Raises OSError for any write error since ``fd`` was opened (Linux 5.8)."""
    if _libc.syncfs(fd) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write every byte; a short write is continued, and the error that cut it short then raises."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def put_exclusive(directory: Path, name: str, data: bytes, scratch: Path, mode: int = 0o440) -> bool:
    """Create ``directory/name`` durably with these bytes, whole or not at all.

    Returns True if it was created, False if it was there with the same bytes. Raises KeyConflict for
    different bytes, and for a folder, a link or whatever else is no file.
    ``scratch`` is a directory of the same file system.
    """
    with _nameless(scratch, mode) as (fd, source), _directory(directory) as target:
        write_all(fd, data)
        os.fsync(fd)
        try:
            # With descriptors, because only linkat(2) can follow the link that a nameless file is reached by.
            os.link(source, name, src_dir_fd=target, dst_dir_fd=target, follow_symlinks=True)
            created = True
        except FileExistsError:
            regular = stat.S_ISREG(os.stat(name, dir_fd=target, follow_symlinks=False).st_mode)
            if not regular or read_file(name, max(len(data), 1), dir_fd=target) != data:
                raise KeyConflict(
                    f"{name} is already stored with other content", hint="run `mediad fsck`: somebody changed the vault"
                ) from None
            created = False
        # Also for the bytes of another process: it may not have got as far as this line.
        os.fsync(target)
    return created


def read_file(name: str | Path, limit: int, dir_fd: int | None = None) -> bytes | None:
    """The bytes of a regular file, None if it has more than ``limit``. A link is not followed, and nothing else than a file is
    opened for long. Raises OSError."""
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if found.st_size > limit:
            return None
        parts: list[bytes] = []
        while part := os.read(fd, _CHUNK):
            parts.append(part)
            limit -= len(part)
            if limit < 0:
                return None
    finally:
        os.close(fd)
    return b"".join(parts)


@contextmanager
def _nameless(scratch: Path, mode: int) -> Iterator[tuple[int, str]]:
    """A new file without a name (so that nothing is left of it if the process is killed), and a path to link it by."""
    try:
        fd = os.open(scratch, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, mode)
    except OSError as e:
        if e.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
    else:
        try:
            os.fchmod(fd, mode)  # whatever the umask
            yield fd, f"/proc/self/fd/{fd}"
        finally:
            os.close(fd)
        return
    # NFS and SMB know no nameless files: there a killed process leaves a file in the scratch directory.
    temporary = scratch / f"put-{secrets.token_hex(8)}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        os.fchmod(fd, mode)
        yield fd, str(temporary)
    finally:
        os.close(fd)
        with suppress(FileNotFoundError):
            os.unlink(temporary)


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_OPENAT2 = 437  # the same on every architecture
_STRAIGHT = _How(os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, 0, 0x01 | 0x04 | 0x08)
"""RESOLVE_NO_XDEV, RESOLVE_NO_SYMLINKS and RESOLVE_BENEATH (openat2(2)): one system call for a way of any length."""


def stat_beneath(root: Path, below: str) -> os.stat_result:
    """The status of what lies below a folder, by a way of real folders on one mount; of a link there, the link's own. Raises
    OSError: ELOOP for a link on the way, EXDEV for another mount, ENOSYS from a kernel before 5.6."""
    start = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = _libc.syscall(
            _OPENAT2, start, os.fsencode(below or "."), ctypes.byref(_STRAIGHT), ctypes.sizeof(_STRAIGHT)
        )
        if fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), below)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)
    finally:
        os.close(start)


@contextmanager
def _directory(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def replace_atomic(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace a file in one step. Not durable: for state that may be lost, such as the slot board."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        write_all(fd, data)
    finally:
        os.close(fd)
    os.rename(temporary, path)


_LOCK_POLL_SECONDS = 0.02
_LOCK_HINT = "check the folder and the owner of the file; mediad runs as its service user, not as root"


@contextmanager
def locked(
    path: Path, *, busy: str, hint: str = "try again when it has finished", wait_seconds: float = 0.0
) -> Iterator[None]:
    """Hold an exclusive lock on a file for the time of the block. Raises Busy with the given sentence if it is held, and still
    is after ``wait_seconds``; StorageError if the file cannot be made or opened."""
    end = time.monotonic() + wait_seconds
    while True:
        fd = _open_lock(path)
        try:
            if _take(fd):
                if _is_at(fd, path):
                    yield
                    return
                continue  # whoever held it took its name away: this file locks nobody out any more
        finally:
            os.close(fd)
        if time.monotonic() >= end:
            raise Busy(busy, hint=hint)
        time.sleep(_LOCK_POLL_SECONDS)


def lock_is_free(path: Path) -> bool:
    """Whether nobody holds the lock (or there is no such file): its owner is gone. Raises StorageError if it cannot be asked."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError as e:
        raise _lock_error(e, path) from e
    try:
        return _take(fd)
    finally:
        os.close(fd)


def _open_lock(path: Path) -> int:
    """A descriptor of a lock file. Only for reading, and readable for all who may enter its folder: one that another user
    left behind must not keep the service out."""
    try:
        make_dirs(path.parent)
        fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if os.fstat(fd).st_uid == os.geteuid():
            os.fchmod(fd, 0o644)  # whatever the umask says
    except OSError as e:
        raise _lock_error(e, path) from e
    return fd


def _take(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(fd: int, path: Path) -> bool:
    """Whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _lock_error(error: OSError, path: Path) -> MediadError:
    if isinstance(error, PermissionError):
        return StorageError(f"{os.strerror(error.errno or 0)} while locking {path}", hint=_LOCK_HINT)
    return storage_error(error, f"locking {path}")


_NO_FOLDER_LOCKS = {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
"""What network file systems answer that cannot lock a folder."""


@contextmanager
def folder_locked(folder: Path, *, alone: bool, busy: str, hint: str) -> Iterator[None]:
    """Hold a lock on a folder itself for the time of the block, together with others or alone. Raises Busy with the given
    sentence if others stand in the way. Where folders cannot be locked it keeps nobody out."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as e:
        raise _lock_error(e, folder) from e
    try:
        try:
            fcntl.flock(fd, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(busy, hint=hint) from None
        except OSError as e:
            if e.errno not in _NO_FOLDER_LOCKS:
                raise _lock_error(e, folder) from e
        yield
    finally:
        os.close(fd)


class Presence:
    """That a process works in a folder: a shared lock on the folder itself, which nobody can delete while anything lies in it.

    ``alone`` says whether nobody else did when it began. Whoever begins holds a lock that keeps others from beginning
    at the same moment.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self.alone = _take(self._fd)
            fcntl.flock(self._fd, fcntl.LOCK_SH)
        except OSError as e:
            raise _lock_error(e, folder) from e

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _Statfs(ctypes.Structure):
    _fields_ = (("f_type", ctypes.c_long), ("rest", ctypes.c_byte * 248))


def is_local(path: Path) -> bool:
    """Whether a path lies on a file system for which one checked syncfs may stand for many fsyncs."""
    return file_system(path) in LOCAL_FILE_SYSTEMS


def is_memory(path: Path) -> bool:
    """Whether a path lies on a file system that ends with the machine's power."""
    return file_system(path) in _MEMORY_FILE_SYSTEMS


def file_system(where: Path | int) -> int:
    """The magic number of the file system that a path or a descriptor lies on; 0 if it does not answer."""
    answer = _Statfs()
    if isinstance(where, int):
        failed = _libc.fstatfs(where, ctypes.byref(answer)) != 0
    else:
        failed = _libc.statfs(os.fsencode(where), ctypes.byref(answer)) != 0
    return 0 if failed else answer.f_type & 0xFFFFFFFF


def resident_pages(fd: int, size: int) -> int:
    """How many pages of a file the page cache holds (mincore(2))."""
    if size == 0:
        return 0
    page = mmap.PAGESIZE
    pages = (size + page - 1) // page
    vector = (ctypes.c_ubyte * pages)()
    # A private writable mapping, since from_buffer wants one; nothing is written through it.
    with mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE) as mapped:
        holder = ctypes.c_char.from_buffer(mapped)
        try:
            failed = _libc.mincore(ctypes.c_void_p(ctypes.addressof(holder)), ctypes.c_size_t(size), vector) != 0
        finally:
            del holder
    if failed:
        raise OSError(ctypes.get_errno(), "mincore")
    return sum(v & 1 for v in vector)
