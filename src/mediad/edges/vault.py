"""A vault on a local file system: keys are paths below its root (docs/architecture.md, vault layout).

Rights are separate on purpose: this port creates and reads. It has no overwrite and no delete of anything that was
admitted; ``set_aside`` moves bytes that are not what they were promised to be, and keeps them.
"""

import errno
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
from mediad.errors import ConfigError, FolderElsewhere, IntegrityError, NotFound, StorageError, VaultOffline
from mediad.model.evidence import ReadBack
from mediad.model.layout import CASES, CUSTODY, HANDOVERS, MARKER, MAX_RECORD_BYTES, ORIGINALS, STAGING, check_key

SET_ASIDE = "set-aside"
_REMEMBERED = 1_000
_ELSEWHERE = (errno.ELOOP, errno.EXDEV, errno.ENOSYS, errno.EPERM)
"""A link or another mount on the way; or no answer, since the kernel is too old or a container keeps it from answering."""


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes of a vault's file system: free for mediad, and in all."""

    free: int
    total: int


class LocalVault:
    """A vault in a folder. ``name`` comes from the configuration, ``marker`` is the id in its marker file."""

    def __init__(self, name: str, root: Path, station: str, pool: pump.BufferPool, *, volatile: bool = False) -> None:
        self.name = name
        self.root = root
        self._area = f"{STAGING}/{station}"  # one area per station: another station's work is not ours to judge
        self._staging = root / self._area
        self._pool = pool
        self._volatile = volatile
        self._one_sync = False
        self._marker: str | None = None
        self._sure: set[Path] = set()

    # --- being there ------------------------------------------------------------------------------------------------

    def read_marker(self) -> str | None:
        """The id in the marker file; None if there is no marker. Raises VaultOffline if the folder cannot be read."""
        try:
            raw = files.read_file(self.root / MARKER, MAX_RECORD_BYTES) or b""
            return str(json.loads(raw)["id"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as e:
            raise VaultOffline(f"vault {self.name}: its marker cannot be read", hint=f"check {self.root}") from e

    def register(self, marker: str) -> None:
        """Make the folder a vault: write its marker, durably. An existing marker is never replaced."""
        try:
            files.make_dirs(self.root)
            self._look_over()
            self._check_lasting()
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
        self._check_lasting()
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
        for folder in (ORIGINALS, HANDOVERS, CASES, CUSTODY, SET_ASIDE, self._area):
            self._within(folder)

    def _check_lasting(self) -> None:
        """Raise ConfigError for a vault in memory: what is read back from there was never on a medium."""
        if not self._volatile and files.is_memory(self.root):
            raise ConfigError(
                f"vault {self.name} lies in memory ({self.root}): what is stored there is gone with the power",
                hint="put vault.path on a disk (for trials alone: volatile = true)",
            )

    def _within(self, folder: str) -> None:
        """Raise if a folder of the vault, or one on the way to it from the root, is a link or lies on another disk: a vault is one
        tree on one disk, and what leads out of it is not its own to write to or to believe. VaultOffline for what everything is
        below; for one folder among the originals or hand-over records, IntegrityError of its own."""
        if folder:
            self._status(f"{folder}/.", folder)

    def _status(self, key: str, what: str) -> os.stat_result | None:
        """Of the name itself, not of what a link points to; None if it is not there. Raises like ``_within`` for the way to it,
        StorageError if the vault does not answer."""
        try:
            return files.stat_beneath(self.root, key)
        except (FileNotFoundError, NotADirectoryError):
            return None  # nothing is there that could lead elsewhere
        except OSError as e:
            if e.errno not in _ELSEWHERE:
                raise storage_error(e, f"looking at {what}") from e
            code = e.errno
        found = self._walk(key, what)
        if code == errno.EXDEV:  # of the same disk, but mounted here: no rename leads into it
            raise self._elsewhere(key.rpartition("/")[0], "lies on another disk")
        return found

    def _walk(self, key: str, what: str) -> os.stat_result | None:
        """The same step by step: to say which folder it is that leads elsewhere, and for kernels without a call for it."""
        here = ""
        above, _, name = key.rpartition("/")
        try:
            device = os.stat(self.root).st_dev
            for part in above.split("/"):
                here = f"{here}/{part}".lstrip("/")
                found = os.lstat(self.root / here)
                if stat.S_ISLNK(found.st_mode) or found.st_dev != device:
                    raise self._elsewhere(here, "is a link" if stat.S_ISLNK(found.st_mode) else "lies on another disk")
            return os.lstat(self.root / here / name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as e:
            raise storage_error(e, f"looking at {what}") from e

    def _elsewhere(self, folder: str, what: str) -> StorageError:
        text = f"vault {self.name}: {self.root}/{folder} {what}"
        hint = "a vault is one folder tree on one disk: put the real folder in its place"
        if "/" not in folder or folder.split("/", maxsplit=1)[0] in (CUSTODY, STAGING):
            return VaultOffline(text, hint=hint)
        return FolderElsewhere(text, hint=hint)

    def is_own(self, key: str) -> bool:
        """Whether the way to a key stays in the vault, as far as there is one yet. Raises StorageError."""
        try:
            self._within(check_key(key).rpartition("/")[0])
        except FolderElsewhere:
            return False
        return True

    def _at(self, key: str) -> Path:
        """The path of a key. Raises like ``_within`` if a folder on the way to it leads elsewhere."""
        self._within(check_key(key).rpartition("/")[0])
        return self.root / key

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
        self._within(f"{self._area}/{owner}")
        area = self._staging / owner
        try:
            files.make_dir(area)
            return StagedBatch(area / batch_id, batch_id, self._pool, one_sync=self._one_sync)
        except OSError as e:
            raise storage_error(e, "beginning a batch") from e

    def admit(self, owner: str, batch_id: str, key: str) -> None:
        """Move a sealed batch to its key by one rename, durably. Raises StorageError; IntegrityError if the key is taken."""
        target = self._at(key)
        self._within(f"{self._area}/{owner}")
        try:
            self._folder(target.parent)
            if self._status(key, key) is not None:
                raise IntegrityError(f"{key} exists already", hint="run `mediad fsck`")
            os.rename(self._staging / owner / batch_id, target)
            files.fsync_dir(target.parent)
            files.fsync_dir(self._staging / owner)
            os.chmod(target, 0o550)
        except OSError as e:
            raise storage_error(e, "moving a batch into the vault") from e

    def confirm(self, key: str) -> None:
        """Make a batch folder that lies at its key durable there: who moved it may have ended before it could do so."""
        self._within(check_key(key))
        folder = self.root / key
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
        found = self._status(f"{self._area}/{owner}/{batch_id}", f"the staging area of {owner}")
        return found is not None and stat.S_ISDIR(found.st_mode)

    def owners(self) -> list[str]:
        """Names of all staging areas, and of links that somebody put there. Raises StorageError."""
        self._within(self._area)
        try:
            with os.scandir(self._staging) as entries:
                return sorted(e.name for e in entries if e.is_dir(follow_symlinks=False) or e.is_symlink())
        except FileNotFoundError:
            return []
        except OSError as e:
            raise storage_error(e, "looking into the staging area") from e

    def clear_staging(self, owner: str) -> None:
        """Remove a dead process's staging area: nothing in it was ever promised. Of a link only the link goes."""
        self._within(self._area)
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
        while not where or self._status(where, where) is not None:
            where = f"{SET_ASIDE}/{secrets.token_hex(4)}-{source.name}"
        self._within(SET_ASIDE)
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
            data = files.read_file(path, MAX_RECORD_BYTES)
        except FileNotFoundError:
            raise NotFound(f"{key} is not in vault {self.name}") from None
        except OSError as e:
            raise storage_error(e, f"reading {key}") from e
        if data is None:
            raise StorageError(f"{key} is larger than any record", hint="look at it by hand")
        return data

    def path_of(self, key: str) -> Path:
        """Where a file of the vault lies, for readers that only take paths. Raises NotFound or StorageError."""
        path, found = self._at(key), self.size_of(key)
        if found is None:
            raise NotFound(f"{key} is not in vault {self.name}")
        return path

    def exists(self, key: str) -> bool:
        """Whether anything lies at a key. Raises StorageError if the vault does not answer."""
        return self._status(check_key(key), key) is not None

    def size_of(self, key: str) -> int | None:
        """Size in bytes of the file at a key, None if there is none that is the vault's own. Raises StorageError if the vault does
        not answer."""
        try:
            found = self._status(check_key(key), key)
        except FolderElsewhere:
            found = None  # what lies elsewhere, this vault does not hold
        if found is None:
            self.check()  # "not there" is only believed of a vault that is
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def read_back(self, key: str, algorithm: str = "sha256") -> ReadBack:
        """Hash an object from the medium. Raises NotFound or StorageError.

        A read that fails is tried once more: a hiccup of the disk or the network must not condemn good bytes.
        """
        path = self.root / check_key(key)
        found = self._status(key, key)
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
        self._within(check_key(key))
        yield from _below(self.root / key, key)


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
