"""A batch folder in a vault's staging area, from its first file until it is sealed (``edges/vault.py`` admits it)."""

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from mediad.edges import files, pump
from mediad.edges.files import storage_error
from mediad.errors import StorageError

_FEW = 4


class StagedBatch:
    """A batch folder being filled below ``.staging``. Nothing in it is visible as evidence before ``LocalVault.admit``."""

    def __init__(self, path: Path, batch_id: str, pool: pump.BufferPool, *, one_sync: bool) -> None:
        self.id = batch_id
        self.path = path
        self._pool = pool
        self._one_sync = one_sync
        self._names: list[str] = []
        files.make_new_dir(path)
        # Before any write: syncfs reports from here on.
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)

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
            os.fchmod(fd, 0o440)  # whatever the umask
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
                os.fchmod(fd, 0o440)
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
