"""A vault on a local file system: keys are paths below its root (docs/architecture.md, vault layout).

Rights are separate on purpose: this port creates and reads. It has no overwrite and no delete of anything that was
admitted; ``set_aside`` moves bytes that are not what they were promised to be, and keeps them.
"""

import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mediad.edges import files, pump
from mediad.edges.files import storage_error
from mediad.errors import IntegrityError, NotFound, StorageError, VaultOffline
from mediad.model.evidence import ReadBack
from mediad.model.layout import MARKER, STAGING, check_key

SET_ASIDE = "set-aside"
_FEW = 4
_REMEMBERED = 1_000


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes of a vault's file system: free for mediad, and in all."""

    free: int
    total: int


class StagedBatch:
    """A batch folder being filled below ``.staging``. Nothing in it is visible as evidence before ``LocalVault.admit``."""

    def __init__(self, path: Path, batch_id: str, pool: pump.BufferPool, *, one_sync: bool) -> None:
        self.id = batch_id
        self.path = path
        self._pool = pool
        self._one_sync = one_sync
        path.mkdir(mode=0o750)
        self._fd = os.open(
            path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        )  # before any write: syncfs reports from here on
        self._names: list[str] = []

    def take(
        self, source: int, name: str, size: int, algorithms: Sequence[str], progress: Callable[[int], None]
    ) -> pump.Taken:
        """Copy a source descriptor into a new file of the batch. Raises SourceError, StorageError or VaultFull; then the
        file is gone again."""
        fd = -1
        try:
            fd = os.open(
                name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o440, dir_fd=self._fd
            )
            taken = pump.copy(source, fd, size, algorithms, self._pool, progress)
            if size > pump.BUFFER:
                os.fsync(fd)  # large files one by one, while the next is read; small ones together in ``seal``
        except BaseException as e:
            if fd >= 0:
                with suppress(StorageError):
                    self.drop(name)  # if it stays, ``seal`` will not have it
            if isinstance(e, OSError):
                raise storage_error(e, "writing to the vault") from e
            raise
        finally:
            if fd >= 0:
                os.close(fd)
        self._names.append(name)
        return taken

    def rename(self, old: str, new: str) -> None:
        """Give a staged file its final name, once its digest is known."""
        try:
            os.rename(old, new, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        except OSError as e:
            raise storage_error(e, "naming a file of a batch") from e
        self._names[self._names.index(old)] = new

    def drop(self, name: str) -> None:
        """Take a file out of the batch again: its bytes are in the vault already."""
        try:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._fd)
        except OSError as e:
            raise storage_error(e, "taking a file out of a batch") from e
        with suppress(ValueError):
            self._names.remove(name)

    def seal(self, sidecar_name: str, sidecar: bytes) -> None:
        """Write the sidecar and make the whole batch durable. Raises StorageError for any write error since it was begun."""
        try:
            with suppress(FileNotFoundError):
                os.unlink(sidecar_name, dir_fd=self._fd)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(sidecar_name, flags, 0o440, dir_fd=self._fd)
            try:
                files.write_all(fd, sidecar)
                os.fsync(fd)
            finally:
                os.close(fd)
            if odd := set(os.listdir(self._fd)) ^ {*self._names, sidecar_name}:
                raise StorageError(f"a batch holds other files than it should: {min(odd)}", hint="dock it again")
            if self._one_sync and len(self._names) > _FEW:
                files.syncfs(self._fd)
            else:
                for name in self._names:
                    self._fsync(name)
            os.fsync(self._fd)
        except OSError as e:
            raise storage_error(e, "making a batch durable") from e

    def _fsync(self, name: str) -> None:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._fd)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def discard(self) -> None:
        """Remove the batch folder and what is in it."""
        self.close()
        shutil.rmtree(self.path, ignore_errors=True)


class LocalVault:
    """A vault in a folder. ``name`` comes from the configuration, ``marker`` is the id in its marker file."""

    def __init__(self, name: str, root: Path, station: str, pool: pump.BufferPool) -> None:
        self.name = name
        self.root = root
        self._staging = root / STAGING / station  # one area per station: another station's work is not ours to judge
        self._pool = pool
        self._one_sync = False
        self._marker: str | None = None
        self._sure: set[Path] = set()

    # --- being there ------------------------------------------------------------------------------------------------

    def read_marker(self) -> str | None:
        """The id in the marker file; None if there is no marker. Raises VaultOffline if the folder cannot be read."""
        try:
            raw = (self.root / MARKER).read_bytes()
            return str(json.loads(raw)["id"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise VaultOffline(f"vault {self.name}: its marker cannot be read", hint=f"check {self.root}") from e

    def register(self, marker: str) -> None:
        """Make the folder a vault: write its marker, durably. An existing marker is never replaced."""
        try:
            files.make_dirs(self.root)
            self._staging.mkdir(mode=0o750, parents=True, exist_ok=True)
            data = json.dumps({"format": "mediad-vault/1", "id": marker}).encode() + b"\n"
            files.put_exclusive(self.root, MARKER, data, self._staging)
            files.fsync_dir(self.root)
        except OSError as e:
            raise storage_error(e, f"registering vault {self.name}") from e

    def open(self, marker: str) -> None:
        """Check that this is the registered vault. Raises VaultOffline if it is missing or another one: it is never written to."""
        found = self.read_marker()
        if found != marker:
            what = "is not mounted or empty" if found is None else "holds the marker of another vault"
            raise VaultOffline(
                f"vault {self.name} {what} ({self.root})", hint="mount the right disk; mediad writes to no other"
            )
        self._marker = marker
        self._one_sync = files.is_local(self.root)
        try:
            files.make_dirs(self._staging)
        except OSError as e:
            raise storage_error(e, f"opening vault {self.name}") from e

    def check(self) -> None:
        """Raise VaultOffline unless the vault that was opened is still there."""
        if self._marker is None or self.read_marker() != self._marker:
            raise VaultOffline(f"vault {self.name} is not mounted ({self.root})", hint="mount its disk again")

    def expect(self, marker: str | None) -> None:
        """Like ``open``, for readers: nothing is made. Raises VaultOffline."""
        if marker is None:
            raise VaultOffline(
                f"vault {self.name} is not registered yet", hint="`mediad run` or `mediad ingest` registers it"
            )
        self._marker = marker
        self.check()

    def probe_medium(self) -> str:
        """Write, read back from the medium and remove a small file; returns by which method. Raises StorageError."""
        probe = self._staging / f"probe-{secrets.token_hex(4)}"
        data = secrets.token_bytes(8192)
        try:
            fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                files.write_all(fd, data)
                os.fsync(fd)
            finally:
                os.close(fd)
            try:
                answer = pump.read_back(probe, "sha256", self._pool)
            finally:
                os.unlink(probe)
        except OSError as e:
            raise storage_error(e, f"trying out vault {self.name}") from e
        if answer.size != len(data):
            raise StorageError(f"vault {self.name} gave back {answer.size} of {len(data)} bytes", hint="check its disk")
        return answer.method

    def check_writable(self) -> None:
        """Raise StorageError unless a file can be made in the staging area."""
        probe = self._staging / f"probe-{secrets.token_hex(4)}"
        try:
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            os.unlink(probe)
        except OSError as e:
            raise storage_error(e, f"writing to vault {self.name}") from e

    def space(self) -> Space:
        try:
            s = os.statvfs(self.root)
        except OSError as e:
            raise VaultOffline(f"vault {self.name} cannot be reached", hint=f"check {self.root}") from e
        return Space(s.f_bavail * s.f_frsize, s.f_blocks * s.f_frsize)

    # --- originals, by batches --------------------------------------------------------------------------------------

    def begin(self, owner: str, batch_id: str) -> StagedBatch:
        """A new batch folder in the staging area of this process (``owner``)."""
        area = self._staging / owner
        try:
            area.mkdir(mode=0o750, exist_ok=True)
            return StagedBatch(area / batch_id, batch_id, self._pool, one_sync=self._one_sync)
        except OSError as e:
            raise storage_error(e, "beginning a batch") from e

    def admit(self, owner: str, batch_id: str, key: str) -> None:
        """Move a sealed batch to its key by one rename, durably. Raises StorageError; IntegrityError if the key is taken."""
        target = self.root / check_key(key)
        try:
            self._folder(target.parent)
            if target.exists():
                raise IntegrityError(f"{key} exists already", hint="run `mediad fsck`")
            os.rename(self._staging / owner / batch_id, target)
            files.fsync_dir(target.parent)
            files.fsync_dir(self._staging / owner)
            os.chmod(target, 0o550)
        except OSError as e:
            raise storage_error(e, "moving a batch into the vault") from e

    def confirm(self, key: str) -> None:
        """Make a batch folder that lies at its key durable there: who moved it may have ended before it could do so."""
        folder = self.root / check_key(key)
        try:
            files.fsync_dir(folder)
            for above in folder.parents:
                files.fsync_dir(above)
                if above == self.root:
                    break
            os.chmod(folder, 0o550)
        except OSError as e:
            raise storage_error(e, f"looking after {key}") from e

    def _folder(self, path: Path) -> None:
        """Create a folder of the vault, durably up to the root. One that is there already may be the work of a process that
        ended before it was durable; so the first use by this process makes sure."""
        if path in self._sure:
            return
        if path == self.root:
            self.check()  # an unmounted vault leaves an empty mount point: nothing is made in it
            return
        self._folder(path.parent)
        with suppress(FileExistsError):
            path.mkdir(0o750)
        files.fsync_dir(path.parent)
        if len(self._sure) > _REMEMBERED:
            self._sure.clear()
        self._sure.add(path)

    def staged(self, owner: str, batch_id: str) -> bool:
        """Whether a batch still lies in a staging area."""
        return (self._staging / owner / batch_id).is_dir()

    def owners(self) -> list[str]:
        """Names of all staging areas."""
        try:
            return sorted(e.name for e in os.scandir(self._staging) if e.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            return []

    def clear_staging(self, owner: str) -> None:
        """Remove a dead process's staging area: nothing in it was ever promised."""
        shutil.rmtree(self._staging / owner, ignore_errors=True)

    def set_aside(self, key: str) -> str:
        """Move bytes that are not what they should be out of the originals, keeping them; returns where they lie now."""
        source = self.root / check_key(key)
        where = f"{SET_ASIDE}/{secrets.token_hex(4)}-{source.name}"
        try:
            self._folder(self.root / SET_ASIDE)
            os.chmod(source.parent, 0o750)
            try:
                os.rename(source, self.root / where)
            finally:
                os.chmod(source.parent, 0o550)
            files.fsync_dir(source.parent)
            files.fsync_dir(self.root / SET_ASIDE)
        except OSError as e:
            raise storage_error(e, "setting bytes aside") from e
        return where

    # --- any key ----------------------------------------------------------------------------------------------------

    def put(self, key: str, data: bytes) -> bool:
        """Create a small object durably; True if new, False if the same bytes were there. Raises KeyConflict for other bytes."""
        path = self.root / check_key(key)
        self.check()
        try:
            self._folder(path.parent)
            return files.put_exclusive(path.parent, path.name, data, self._staging)
        except OSError as e:
            raise storage_error(e, f"writing {key}") from e

    def get(self, key: str) -> bytes:
        """A small object's bytes. Raises NotFound."""
        try:
            return (self.root / check_key(key)).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"{key} is not in vault {self.name}") from None
        except OSError as e:
            raise storage_error(e, f"reading {key}") from e

    def exists(self, key: str) -> bool:
        return (self.root / check_key(key)).exists()

    def size_of(self, key: str) -> int | None:
        """Size in bytes of the file at a key, None if there is no file. Raises StorageError if the vault does not answer."""
        try:
            found = os.lstat(self.root / check_key(key))
        except (FileNotFoundError, NotADirectoryError):
            self.check()  # "not there" is only believed of a vault that is
            return None
        except OSError as e:
            raise storage_error(e, f"looking at {key}") from e
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def read_back(self, key: str, algorithm: str = "sha256") -> ReadBack:
        """Hash an object from the medium. Raises NotFound or StorageError.

        A read that fails is tried once more: a hiccup of the disk or the network must not condemn good bytes.
        """
        path = self.root / check_key(key)
        try:
            try:
                return pump.read_back(path, algorithm, self._pool)
            except FileNotFoundError:
                raise
            except OSError:
                return pump.read_back(path, algorithm, self._pool)
        except FileNotFoundError:
            raise NotFound(f"{key} is not in vault {self.name}") from None
        except OSError as e:
            raise storage_error(e, f"reading back {key}") from e

    def list(self, prefix: str) -> Iterator[str]:
        """Keys below a folder key, sorted within each folder. Staging is never listed."""
        yield from _below(self.root / check_key(prefix.rstrip("/")), prefix.rstrip("/"))


def _below(folder: Path, key: str) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda e: e.name)
    except FileNotFoundError:
        return
    except OSError as e:
        raise StorageError(f"{key} cannot be listed: {os.strerror(e.errno or 0)}", hint="check the vault's disk") from e
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _below(folder / entry.name, f"{key}/{entry.name}")
        else:
            yield f"{key}/{entry.name}"
