"""The ``derived`` folder of a vault: what was made of recordings for people to look at. Never evidence; made again when gone.

One folder per recording, ``derived/<recording>/``, with a manifest ``about.json``. It is exchanged as a whole in one step: a crash
leaves the old one, the new one or none, never half of one. Nothing here is trusted: folders are opened by descriptor and never
through a link, so that what somebody planted leads nowhere.
"""

import ctypes
import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from mediad.edges import files, handed
from mediad.edges.files import storage_error
from mediad.edges.vault import LocalVault
from mediad.errors import StorageError, VaultFull, VaultOffline
from mediad.model.derived import About, AboutFile, is_file_name, is_recording
from mediad.model.layout import DERIVED, safe_name

ABOUT: Final = "about.json"
_WORK: Final = ".work-"
"""Beside the recordings' folders, so on the same file system; no recording's name begins so."""

_ABOUT_BYTES: Final = 1024 * 1024
_PIECE: Final = 1024 * 1024
_FILE_MODE, _FOLDER_MODE, _OPEN_MODE = 0o440, 0o550, 0o750
_NOREPLACE, _EXCHANGE = 1, 2  # renameat2(2)
_libc = ctypes.CDLL(None, use_errno=True)


class Derived:
    """``reserve``: bytes that must stay free in the vault. Workers of a station may write side by side: each has scratch folders of
    its own, and a preview is put in place in one step."""

    def __init__(self, vault: LocalVault, station: str, reserve: Callable[[], int]) -> None:
        self._vault = vault
        self._work = _WORK + safe_name(station.encode())
        self._reserve = reserve

    # --- making -----------------------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Remove what workers left that ended in the middle. For one that begins and knows that no other of the station lives."""
        with suppress(FileNotFoundError), self._top() as top:
            _remove(top, self._work)

    def room(self) -> int:
        """Bytes that may be written. Raises VaultFull if there are none, VaultOffline if the vault is not there."""
        self._vault.check()
        room = self._vault.space().free - self._reserve()
        if room <= 0:
            raise VaultFull(
                f"vault {self._vault.name} has less room than its reserve",
                hint="make room in it; previews are made when there is",
            )
        return room

    @contextmanager
    def scratch(self, name: str = "job") -> Iterator[Path]:
        """A folder to work in, on the vault's disk, gone afterwards. Raises like ``room``, and StorageError if somebody removes it
        meanwhile."""
        self.room()
        there = False
        unique = f"{safe_name(name.encode())[:40]}-{secrets.token_hex(4)}"
        path = self._vault.root / DERIVED / self._work / unique
        try:
            with self._area() as area:
                with _storage("beginning a preview"):
                    os.mkdir(unique, _OPEN_MODE, dir_fd=area)
                try:
                    yield path
                finally:
                    there = path.is_dir()
                    _remove(area, unique)
        except FileNotFoundError as e:
            if there:  # then it is something else that is missing
                raise
            raise self._removed() from e

    def install(
        self, recording: str, folder: Path, names: Mapping[str, str], about: About, *, most: int
    ) -> About:  # fmt: skip
        """Take files of a folder in a scratch folder (final name: name there) as the recording's preview, in place of the one
        before, durably; returns the manifest as written. ``most`` is how many bytes one may have.

        Raises StorageError if one is not there or no plain file; the preview before is then untouched."""
        _check(recording, names)
        self._vault.check()
        try:
            return self._install(recording, folder, names, about, most)
        except FileNotFoundError as e:
            raise self._removed() from e

    def _install(self, recording: str, folder: Path, names: Mapping[str, str], about: About, most: int) -> About:
        """Raises FileNotFoundError if one of the folders is not there any more."""
        new = f"new-{secrets.token_hex(4)}"
        with self._top(make=True) as top, self._area() as area, _storage(f"storing the preview of {recording}"):
            os.mkdir(new, _OPEN_MODE, dir_fd=area)
            try:
                target, source = handed.open_folder(new, area), handed.open_folder(folder)
                try:
                    taken = [_take(source, old, target, name, most) for name, old in sorted(names.items())]
                    written = about.with_files(taken)
                    _write(target, ABOUT, json.dumps(written.as_json(), ensure_ascii=False, indent=1).encode() + b"\n")
                    os.fsync(target)
                finally:
                    os.close(target)
                    os.close(source)
                _exchange(area, new, top, recording)
                os.fsync(top)
                os.fsync(area)
                _set_mode(top, recording, _FOLDER_MODE)
            finally:
                _remove(area, new)  # the one before, or what was not finished
        return written

    def remove(self, recording: str) -> bool:
        """Remove a recording's preview; whether there was anything. It is made again when somebody wants it."""
        _check(recording)
        self._vault.check()
        gone = f"gone-{secrets.token_hex(4)}"
        try:
            with self._top() as top, self._area() as area, _storage(f"removing the preview of {recording}"):
                os.stat(recording, dir_fd=top, follow_symlinks=False)
                _set_mode(top, recording)
                os.rename(recording, gone, src_dir_fd=top, dst_dir_fd=area)
                os.fsync(top)
                _remove(area, gone)
        except FileNotFoundError:
            return False
        return True

    # --- reading ----------------------------------------------------------------------------------------------------

    def read_about(self, recording: str) -> About | None:
        """The manifest of a recording's preview, if all that it names lies there in its size. None for none, for half of one, and
        for what somebody else put there."""
        _check(recording)
        try:
            with self._top() as top:
                folder = handed.open_folder(recording, top)
                try:
                    about = About.from_json(json.loads(files.read_file(ABOUT, _ABOUT_BYTES, dir_fd=folder) or b"null"))
                    if about is None or about.recording != recording or not about.files:
                        return None
                    whole = all(_size(folder, f.name) == f.size for f in about.files)
                finally:
                    os.close(folder)
        except (OSError, StorageError, ValueError, RecursionError):
            return None
        return about if whole else None

    # --- folders ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _top(self, *, make: bool = False) -> Iterator[int]:
        """The folder of all previews. Raises FileNotFoundError if there is none, VaultOffline if it leads elsewhere."""
        try:
            root = os.open(self._vault.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as e:
            raise storage_error(e, f"opening vault {self._vault.name}") from e
        try:
            if make:
                with _storage("making the folder of the previews"):
                    _make(root, DERIVED)
            top = self._enter(root, DERIVED)
        finally:
            os.close(root)
        try:
            yield top
        finally:
            os.close(top)

    @contextmanager
    def _area(self) -> Iterator[int]:
        """The folder of what is being made."""
        with self._top(make=True) as top:
            with _storage("making a folder for previews"):
                _make(top, self._work)
            area = self._enter(top, self._work)
        try:
            yield area
        finally:
            os.close(area)

    def _enter(self, above: int, name: str) -> int:
        try:
            fd = handed.open_folder(name, above)
        except FileNotFoundError:
            raise
        except OSError as e:
            if e.errno in (errno.ELOOP, errno.ENOTDIR):
                raise self._elsewhere(name, "is a link, or no folder") from e
            raise storage_error(e, f"opening {name}") from e
        if os.fstat(fd).st_dev != os.fstat(above).st_dev:
            os.close(fd)
            raise self._elsewhere(name, "lies on another disk")
        return fd

    def _removed(self) -> StorageError:
        return StorageError(
            f"{self._vault.root / DERIVED} was removed while a preview was being made",
            hint="nothing; it is made anew by itself, and the preview is tried again",
        )

    def _elsewhere(self, name: str, what: str) -> VaultOffline:
        where = name if name == DERIVED else f"{DERIVED}/{name}"
        return VaultOffline(
            f"vault {self._vault.name}: {self._vault.root}/{where} {what}",
            hint="put a real folder in its place, or take it away: previews are made again",
        )


def _check(recording: str, names: Mapping[str, str] | list[str] | tuple[str, ...] = ()) -> None:
    """A wrong name is a fault of ours, never of a user."""
    if not is_recording(recording) or not all(is_file_name(n) and n != ABOUT for n in names):
        raise ValueError(f"not a recording, or not names of a preview's files: {recording!r}, {list(names)!r}")


@contextmanager
def _storage(what: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as e:
        raise storage_error(e, what) from e
    except handed.Planted as e:
        raise StorageError(
            f"{e} ({what})", hint="a decoder was made to write something else; look at the original"
        ) from e


def _make(above: int, name: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, _OPEN_MODE, dir_fd=above)
        os.chmod(name, _OPEN_MODE, dir_fd=above)  # whatever the umask
        os.fsync(above)


def _take(source: int, old: str, target: int, name: str, most: int) -> AboutFile:
    """Move a file over, with a digest of what it is now. Raises OSError, Planted."""
    try:
        fd = handed.open_file(source, old, most)
    except FileNotFoundError:
        raise handed.Planted(f"{old} is not there") from None
    try:
        os.rename(old, name, src_dir_fd=source, dst_dir_fd=target)
        if not os.path.samestat(os.fstat(fd), os.stat(name, dir_fd=target, follow_symlinks=False)):
            raise handed.Planted(f"{old} was exchanged while it was taken")
        os.fchmod(fd, _FILE_MODE)
        digest, size = hashlib.sha256(), 0
        while piece := os.read(fd, _PIECE):
            digest.update(piece)
            size += len(piece)
        os.fsync(fd)
    finally:
        os.close(fd)
    return AboutFile(name, size, digest.hexdigest())


def _write(folder: int, name: str, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, _FILE_MODE, dir_fd=folder)
    try:
        os.fchmod(fd, _FILE_MODE)
        files.write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def _exchange(area: int, new: str, top: int, recording: str) -> None:
    """Put a folder in place of another, in one step; the other then has its name. Where the file system cannot do that, there is
    none for a moment."""
    for _ in range(2):
        if _rename(area, new, top, recording, _NOREPLACE) == 0:
            return
        _set_mode(top, recording)  # the right to move a folder is that to write into it
        code = _rename(area, new, top, recording, _EXCHANGE)
        if code == 0:
            return
        if code != errno.ENOENT:  # else: somebody removed it just now
            break
    if code not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        raise OSError(code, os.strerror(code))
    before = f"old-{secrets.token_hex(4)}"
    with suppress(FileNotFoundError):
        os.rename(recording, before, src_dir_fd=top, dst_dir_fd=area)
    os.rename(new, recording, src_dir_fd=area, dst_dir_fd=top)
    _remove(area, before)


def _rename(source: int, old: str, target: int, new: str, flags: int) -> int:
    failed = _libc.renameat2(source, os.fsencode(old), target, os.fsencode(new), flags) != 0
    return ctypes.get_errno() if failed else 0


def _set_mode(above: int, name: str, mode: int = _OPEN_MODE) -> None:
    """Of a folder, which only then can be moved and emptied. Of a link, or what is no folder, nothing is changed."""
    with suppress(OSError):
        fd = handed.open_folder(name, above)
        try:
            os.fchmod(fd, mode)
        finally:
            os.close(fd)


def _size(folder: int, name: str) -> int:
    """Of a plain file, -1 for anything else."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return -1
    return found.st_size if stat.S_ISREG(found.st_mode) else -1


def _remove(above: int, name: str) -> None:
    """Remove whatever has a name, as far as that goes: of a link the link alone."""
    try:
        found = os.stat(name, dir_fd=above, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=above)
            return
    except OSError:
        return
    _set_mode(above, name)
    with suppress(OSError):
        fd = handed.open_folder(name, above)
        try:
            for inner in os.listdir(fd):
                if stat.S_ISDIR(os.stat(inner, dir_fd=fd, follow_symlinks=False).st_mode):
                    _set_mode(fd, inner)
        finally:
            os.close(fd)
    shutil.rmtree(name, ignore_errors=True, dir_fd=above)
