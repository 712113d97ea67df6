"""A vault on a local file system: keys are paths below its root (docs/architecture.md, vault layout).

Rights are separate on purpose: this port creates and reads. It has no overwrite and no delete of anything that was
admitted; ``set_aside`` moves bytes that are not what they were promised to be, and keeps them.
"""

import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mediad.edges import files, pump
from mediad.edges.files import storage_error
from mediad.edges.staged import StagedBatch
from mediad.errors import IntegrityError, NotFound, StorageError, VaultOffline
from mediad.model.evidence import ReadBack
from mediad.model.layout import CUSTODY, HANDOVERS, MARKER, ORIGINALS, STAGING, check_key

SET_ASIDE = "set-aside"
_REMEMBERED = 1_000
_RECORD_LIMIT = 256 * 1024 * 1024
"""No record or segment is larger; what is, somebody planted."""


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes of a vault's file system: free for mediad, and in all."""

    free: int
    total: int


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
            raw = files.read_file(self.root / MARKER, _RECORD_LIMIT) or b""
            return str(json.loads(raw)["id"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise VaultOffline(f"vault {self.name}: its marker cannot be read", hint=f"check {self.root}") from e

    def register(self, marker: str) -> None:
        """Make the folder a vault: write its marker, durably. An existing marker is never replaced."""
        try:
            files.make_dirs(self.root)
            self._look_over()
            files.make_dirs(self._staging)
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
        self._look_over()
        self._marker = marker
        self._one_sync = files.is_local(self.root)
        try:
            files.make_dirs(self._staging)
        except OSError as e:
            raise storage_error(e, f"opening vault {self.name}") from e

    def check(self) -> None:
        """Raise VaultOffline unless the vault that was opened is still there, in one piece."""
        if self._marker is None or self.read_marker() != self._marker:
            raise VaultOffline(f"vault {self.name} is not mounted ({self.root})", hint="mount its disk again")
        self._look_over()

    def _look_over(self) -> None:
        """Raise VaultOffline if a folder that everything is below lies elsewhere."""
        for folder in (self.root / ORIGINALS, self.root / HANDOVERS, self.root / CUSTODY, self._staging):
            self._within(folder)

    def _within(self, folder: Path) -> None:
        """Raise VaultOffline if a folder, or one on the way to it from the root, is a link or lies on another disk: a vault is one
        tree on one disk, and what leads out of it is not its own to write to or to believe."""
        here = str(self.root)
        try:
            device = os.stat(here).st_dev
            for part in folder.relative_to(self.root).parts:
                here = f"{here}/{part}"
                found = os.lstat(here)
                if stat.S_ISLNK(found.st_mode) or found.st_dev != device:
                    what = "is a link" if stat.S_ISLNK(found.st_mode) else "lies on another disk"
                    raise VaultOffline(
                        f"vault {self.name}: {here} {what}",
                        hint="a vault is one folder tree on one disk: put the real folder in its place",
                    )
        except (FileNotFoundError, NotADirectoryError):
            return  # nothing is there that could lead elsewhere
        except OSError as e:
            raise storage_error(e, f"looking at {here}") from e

    def _at(self, key: str) -> Path:
        """The path of a key. Raises VaultOffline if a folder on the way to it leads elsewhere."""
        path = self.root / check_key(key)
        self._within(path.parent)
        return path

    def _status(self, path: Path, what: str) -> os.stat_result | None:
        """Of the name itself, not of what a link points to; None if it is not there. Raises StorageError."""
        try:
            return os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as e:
            raise storage_error(e, f"looking at {what}") from e

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
        self._within(area)
        try:
            files.make_dir(area)
            return StagedBatch(area / batch_id, batch_id, self._pool, one_sync=self._one_sync)
        except OSError as e:
            raise storage_error(e, "beginning a batch") from e

    def admit(self, owner: str, batch_id: str, key: str) -> None:
        """Move a sealed batch to its key by one rename, durably. Raises StorageError; IntegrityError if the key is taken."""
        target = self._at(key)
        self._within(self._staging / owner)
        try:
            self._folder(target.parent)
            if self._status(target, key) is not None:
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
        self._within(folder)
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
        files.make_dir(path)
        files.fsync_dir(path.parent)
        if len(self._sure) > _REMEMBERED:
            self._sure.clear()
        self._sure.add(path)

    def staged(self, owner: str, batch_id: str) -> bool:
        """Whether a batch still lies in a staging area. Raises StorageError if the vault does not answer."""
        self._within(self._staging / owner)
        found = self._status(self._staging / owner / batch_id, f"the staging area of {owner}")
        return found is not None and stat.S_ISDIR(found.st_mode)

    def owners(self) -> list[str]:
        """Names of all staging areas, and of links that somebody put there. Raises StorageError."""
        self._within(self._staging)
        try:
            with os.scandir(self._staging) as entries:
                return sorted(e.name for e in entries if e.is_dir(follow_symlinks=False) or e.is_symlink())
        except FileNotFoundError:
            return []
        except OSError as e:
            raise storage_error(e, "looking into the staging area") from e

    def clear_staging(self, owner: str) -> None:
        """Remove a dead process's staging area: nothing in it was ever promised. Of a link only the link goes."""
        self._within(self._staging)
        area = self._staging / owner
        if area.is_symlink():
            with suppress(OSError):  # like below: what stays is found again
                area.unlink()
        else:
            shutil.rmtree(area, ignore_errors=True)

    def set_aside(self, key: str) -> str:
        """Move bytes that are not what they should be out of the originals, keeping them; returns where they lie now. Raises
        IntegrityError for what is no original: records and the log are never moved."""
        source = self._at(key)
        if not key.startswith(f"{ORIGINALS}/"):
            raise IntegrityError(f"{key} is no original and stays where it is", hint="run `mediad fsck`")
        where = ""
        while not where or self._status(self.root / where, where) is not None:
            where = f"{SET_ASIDE}/{secrets.token_hex(4)}-{source.name}"
        self._within(self.root / SET_ASIDE)
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
        path = self._at(key)
        self.check()
        try:
            self._folder(path.parent)
            return files.put_exclusive(path.parent, path.name, data, self._staging)
        except OSError as e:
            raise storage_error(e, f"writing {key}") from e

    def get(self, key: str) -> bytes:
        """A small object's bytes. Raises NotFound or StorageError."""
        path = self._at(key)
        try:
            data = files.read_file(path, _RECORD_LIMIT)
        except FileNotFoundError:
            raise NotFound(f"{key} is not in vault {self.name}") from None
        except OSError as e:
            raise storage_error(e, f"reading {key}") from e
        if data is None:
            raise StorageError(f"{key} is larger than any record", hint="look at it by hand")
        return data

    def exists(self, key: str) -> bool:
        """Whether anything lies at a key. Raises StorageError if the vault does not answer."""
        return self._status(self._at(key), key) is not None

    def size_of(self, key: str) -> int | None:
        """Size in bytes of the file at a key, None if there is no file. Raises StorageError if the vault does not answer."""
        found = self._status(self._at(key), key)
        if found is None:
            self.check()  # "not there" is only believed of a vault that is
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def read_back(self, key: str, algorithm: str = "sha256") -> ReadBack:
        """Hash an object from the medium. Raises NotFound or StorageError.

        A read that fails is tried once more: a hiccup of the disk or the network must not condemn good bytes.
        """
        path = self._at(key)
        found = self._status(path, key)
        if found is not None and not stat.S_ISREG(found.st_mode):
            raise StorageError(f"{key} is no file", hint="run `mediad fsck`: somebody changed the vault")
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
        key = prefix.rstrip("/")
        folder = self.root / check_key(key)
        self._within(folder)
        yield from _below(folder, key)


def _below(folder: Path, key: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    except FileNotFoundError:
        return
    except OSError as e:
        raise StorageError(f"{key} cannot be listed: {os.strerror(e.errno or 0)}", hint="check the vault's disk") from e
    for name, is_folder in found:
        if is_folder:
            yield from _below(folder / name, f"{key}/{name}")
        else:
            yield f"{key}/{name}"
