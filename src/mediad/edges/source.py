"""Looking at, and reading from, what is docked: a card, a folder, an MTP mount. All of it is hostile.

Nothing is followed: every path is opened component by component below the root, without symbolic links; another file
system mounted inside is not entered; only regular files are read, and only if they still are what the listing said.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from itertools import groupby, islice
from pathlib import Path

from mediad.edges.diskerrors import error_count
from mediad.edges.files import file_system
from mediad.edges.statx import Info, statx
from mediad.errors import DeviceError, SourceError
from mediad.model.evidence import Outcome, Rejected, SourceFile, in_64_bits

_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

MAX_DEPTH = 512
"""Folders below folders; a deeper one is reported and not entered."""

MAX_PATH = 4096
"""Bytes of a path below the root; every file's path stands in several records, so a card must not choose how large those get."""

MAX_NAMES = 1_000
"""So many names of a folder are looked at to match a profile."""

_CUT = 255

_ROOT = b"."
"""What a record calls the root itself; no file has that name."""

_OWN_TIMES = {
    0xEF53: "ext4", 0x58465342: "xfs", 0xF2F52010: "f2fs", 0x3153464A: "jfs", 0x3434: "nilfs2", 0x2FC12FC1: "zfs",
    0x01021994: "tmpfs", 0x794C7630: "overlay",
}  # fmt: skip
"""Magic numbers (statfs(2)) of file systems that note by themselves when a file last changed; FAT, FUSE and networks hand out
what they like."""

_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


def _close(fd: int) -> None:
    """Close what was only read. The mount of a pulled MTP recorder answers even close(2) with ENOTCONN; the descriptor is
    free all the same, and there is nothing to lose."""
    with suppress(OSError):
        os.close(fd)


def _cut(path: bytes) -> bytes:
    """A path for a record, however long it is: its beginning, and a digest that keeps it apart from others."""
    if len(path) <= _CUT:
        return path or _ROOT
    return path[:_CUT] + b"~" + hashlib.sha256(path).hexdigest()[:16].encode()


class SourceTree:
    """One volume of a source, below its mount point or folder."""

    def __init__(self, root: Path, volume: str = "", own: Collection[tuple[int, int]] = ()) -> None:
        """``own``: folders that mediad itself writes, as device and inode. They are never entered, wherever they are mounted."""
        self.root = root
        self.volume = volume
        self._own = own
        try:
            self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except NotADirectoryError:
            raise SourceError(
                f"{root} is not a folder", code="source-not-folder", hint="give a card's mount or a folder"
            ) from None
        except OSError as e:
            raise DeviceError(
                f"{root}: {os.strerror(e.errno or 0)}", hint="check that it is mounted and readable"
            ) from e
        root_info = os.fstat(self._fd)
        self.device = root_info.st_dev
        self.place = (root_info.st_dev, root_info.st_ino)
        self._notes_changes = file_system(self._fd) in _OWN_TIMES
        self._last: tuple[bytes, int] | None = None

    def close(self) -> None:
        self._forget()
        if self._fd >= 0:
            _close(self._fd)
            self._fd = -1

    def root_names(self) -> frozenset[str]:
        """Names in the root, and in the folders of the root as ``folder/name``, for matching profiles; what cannot be read is left
        out, and of a crowd a part."""
        names = self._names(self._fd)
        inner: list[str] = []
        for name in names[:MAX_NAMES]:
            with suppress(OSError):
                info = statx(self._fd, os.fsencode(name))
                if stat.S_ISDIR(info.mode) and info.device == self.device:
                    fd = os.open(name, _DIR, dir_fd=self._fd)
                    try:
                        inner += (f"{name}/{below}" for below in self._names(fd))
                    finally:
                        _close(fd)
        return frozenset([*names, *inner])

    def _names(self, fd: int) -> list[str]:
        try:
            with os.scandir(fd) as entries:
                return [entry.name for entry in islice(entries, MAX_NAMES)]
        except OSError:
            return []

    def walk(self) -> Iterator[SourceFile | Rejected]:
        """Every file below the root, and whatever is no file or cannot be looked at. In no order."""
        errors = error_count(self.device)
        told = False
        for entry in self._walk():
            told |= entry.path == _ROOT
            yield entry
        if not told and errors is not None and (error_count(self.device) or 0) > errors:
            why = "the disk gave read errors while it was listed: names may be missing"
            yield Rejected(self.volume, _ROOT, why, Outcome.FAILED)

    def _walk(self) -> Iterator[SourceFile | Rejected]:
        pending = [b""]
        while pending:
            directory = pending.pop()
            try:
                entries = self._entries(directory)
            except OSError as e:
                reason = f"the folder cannot be read: {os.strerror(e.errno or errno.EIO)}"
                yield Rejected(self.volume, directory or _ROOT, reason, Outcome.FAILED)
                continue
            too_long = 0
            for path, info, error in entries:
                if len(path) > MAX_PATH:
                    too_long += 1
                elif info is None:
                    yield Rejected(self.volume, path, f"cannot be looked at: {error}", Outcome.FAILED)
                elif stat.S_ISREG(info.mode):
                    yield self._file(path, info)
                elif stat.S_ISDIR(info.mode):
                    if info.device != self.device:
                        yield Rejected(self.volume, path, "another file system is mounted here", Outcome.FAILED)
                    elif (info.device, info.inode) in self._own:
                        yield Rejected(self.volume, path, "it is a folder that mediad itself writes", Outcome.FAILED)
                    elif path.count(b"/") >= MAX_DEPTH:
                        yield Rejected(self.volume, path, f"more than {MAX_DEPTH} folders deep", Outcome.FAILED)
                    else:
                        pending.append(path)
                else:
                    yield Rejected(
                        self.volume, path, f"{_KINDS.get(stat.S_IFMT(info.mode), 'no regular file')}, not followed"
                    )
            if too_long:
                why = f"{too_long} entries of this folder were not taken: their paths are longer than {MAX_PATH} bytes"
                yield Rejected(self.volume, _cut(directory), why, Outcome.FAILED)

    def _file(self, path: bytes, info: "Info") -> SourceFile:
        changed = info.changed_ns if self._notes_changes else 0
        return SourceFile(self.volume, path, info.size, info.mtime_ns, info.birth_ns, info.device, info.inode, changed)

    def _entries(self, directory: bytes) -> list[tuple[bytes, "Info | None", str]]:
        fd = self._directory(directory)
        prefix = directory + b"/" if directory else b""
        found: list[tuple[bytes, Info | None, str]] = []
        for text in os.listdir(fd):
            name = os.fsencode(text)
            try:
                found.append((prefix + name, statx(fd, name), ""))
            except OSError as e:
                found.append((prefix + name, None, os.strerror(e.errno or errno.EIO)))
        return found

    def _directory(self, path: bytes) -> int:
        """A descriptor of a folder below the root; the last one stays open, since files come folder by folder."""
        if not path:
            return self._fd
        if self._last and self._last[0] == path:
            return self._last[1]
        fd = os.dup(self._fd)
        try:
            for part in path.split(b"/"):
                below = os.open(part, _DIR, dir_fd=fd)
                _close(fd)
                fd = below
        except BaseException:
            _close(fd)
            raise
        self._forget()
        self._last = (path, fd)
        return fd

    def _forget(self) -> None:
        if self._last:
            _close(self._last[1])
            self._last = None

    def open(self, file: SourceFile) -> "OpenFile":
        """Open a file for reading. Raises SourceError if it cannot be opened or is not what the listing said."""
        directory, _, name = file.path.rpartition(b"/")
        try:
            fd = os.open(name, _FILE, dir_fd=self._directory(directory))
        except OSError as e:
            why = "it vanished" if e.errno == errno.ENOENT else os.strerror(e.errno or errno.EIO)
            raise SourceError(why, code="source-open", hint="dock it again") from e
        opened = OpenFile(fd, file)
        try:
            opened.check_unchanged()
        except BaseException:
            opened.close()
            raise
        return opened

    def read_ahead(self, files: Sequence[SourceFile]) -> None:
        """Ask the kernel to read small files that come next, side by side; only a hint. Not where opening is expensive (MTP,
        network): those have no block device (major number 0)."""
        if os.major(self.device) == 0:
            return
        for file in files:
            directory, _, name = file.path.rpartition(b"/")
            with suppress(OSError):
                fd = os.open(name, _FILE, dir_fd=self._directory(directory))
                try:
                    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED)
                finally:
                    _close(fd)

    def look_again(self, file: SourceFile) -> SourceFile:
        """The claim as it is now, for a file that changed. Raises SourceError if it is no regular file any more."""
        directory, _, name = file.path.rpartition(b"/")
        try:
            info = statx(self._directory(directory), name)
        except OSError as e:
            raise SourceError(
                "it vanished" if e.errno == errno.ENOENT else os.strerror(e.errno or 0), code="source-open"
            ) from e
        if not stat.S_ISREG(info.mode):
            raise SourceError("it is no regular file any more", code="source-changed")
        return self._file(file.path, info)


class BrokenVolume:
    """A volume that could not be mounted: it is part of the docking, and what is on it counts as not taken."""

    def __init__(self, volume: str, why: str) -> None:
        self.volume = volume
        self._why = why

    def walk(self) -> Iterator[SourceFile | Rejected]:
        yield Rejected(self.volume, _ROOT, f"the volume cannot be read: {self._why}", Outcome.FAILED)


class SettledTree:
    """A drop folder, of which only files that are complete are seen; the others come with a later docking.

    What is no file is seen once: not if it is among ``told``. What cannot be read is seen at every look.
    """

    def __init__(
        self, tree: SourceTree, accepts: Callable[[bytes, int, int], bool], told: Collection[Rejected] = ()
    ) -> None:
        self.tree = tree
        self.rejected: set[Rejected] = set()
        """What the last walk met that is no file to take, told or not."""
        self._accepts, self._told = accepts, told

    def walk(self) -> Iterator[SourceFile | Rejected]:
        self.rejected.clear()
        for found in self.tree.walk():
            entry = self._named(found) if isinstance(found, SourceFile) else found
            if isinstance(entry, Rejected):
                self.rejected.add(entry)
                if entry.outcome is Outcome.FAILED or entry not in self._told:
                    yield entry
            elif self._accepts(entry.path, entry.size, entry.mtime_ns):
                yield entry

    def _named(self, file: SourceFile) -> SourceFile | Rejected:
        """A file whose whole path is too long for a system call cannot be watched, and so never settles."""
        if len(os.fsencode(self.tree.root)) + 1 + len(file.path) < MAX_PATH:
            return file
        why = f"its whole path is {MAX_PATH} bytes or longer: it cannot be watched"
        return Rejected(file.volume, _cut(file.path), why, Outcome.FAILED)


class GivenTree:
    """A folder that a person named. One that holds nothing but what is not followed (a link to the card) is hardly the one that
    was meant: it must not be called complete."""

    def __init__(self, tree: SourceTree) -> None:
        self._tree = tree

    def walk(self) -> Iterator[SourceFile | Rejected]:
        passed_over, other = False, False
        for entry in self._tree.walk():
            if isinstance(entry, Rejected) and entry.outcome is Outcome.REJECTED:
                passed_over = True
            else:
                other = True
            yield entry
        if passed_over and not other:
            yield Rejected(self._tree.volume, _ROOT, "it holds no file, only what is not followed", Outcome.FAILED)


Volume = SourceTree | BrokenVolume | SettledTree | GivenTree


class SourceSet:
    """All volumes of one docked source, and whether it is still there."""

    def __init__(
        self,
        trees: Sequence[SourceTree],
        present: Callable[[], bool],
        seen: Sequence[Volume] = (),
    ) -> None:
        """``seen`` is what a listing walks, where that is not simply the trees."""
        self.trees = {tree.volume: tree for tree in trees}
        self.places = sorted({tree.place for tree in trees})
        """What the trees really are, by whatever path or mount they were reached: device and inode of each root."""
        self.present = present
        self._seen = list(seen) or list(trees)

    def open(self, file: SourceFile) -> "OpenFile":
        return self.trees[file.volume].open(file)

    def read_ahead(self, files: Sequence[SourceFile]) -> None:
        for volume, part in groupby(files, key=lambda file: file.volume):
            self.trees[volume].read_ahead(list(part))

    def look_again(self, file: SourceFile) -> SourceFile:
        return self.trees[file.volume].look_again(file)

    def volumes(self) -> Sequence[Volume]:
        return self._seen

    def close(self) -> None:
        for tree in self.trees.values():
            tree.close()


class OpenFile:
    """A source file while it is read."""

    def __init__(self, fd: int, file: SourceFile) -> None:
        self.fd = fd
        self._file = file

    def __enter__(self) -> "OpenFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.fd >= 0:
            _close(self.fd)
            self.fd = -1

    def check_unchanged(self) -> None:
        """Raise SourceError unless the file still has the size and time that the listing saw."""
        try:
            now = os.fstat(self.fd)
        except OSError as e:
            raise SourceError(os.strerror(e.errno or errno.EIO), code="source-open", hint="dock it again") from e
        if not stat.S_ISREG(now.st_mode):
            raise SourceError("it is no regular file any more", code="source-changed")
        if (now.st_size, in_64_bits(now.st_mtime_ns)) != (self._file.size, self._file.mtime_ns):
            raise SourceError(
                "it changed while it was read", code="source-changed", hint="dock it again when it is finished"
            )
