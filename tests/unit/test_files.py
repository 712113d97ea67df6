"""The durable file primitives, on a real disk, with the disk's errors put in their way."""

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from mediad.edges import files
from mediad.errors import Busy, KeyConflict, MediadError, StorageError, VaultFull


def test_an_object_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk fails while it is written or synced, there is neither an object nor anything left beside it."""
    (tmp_path / "to").mkdir()
    for name in ("write", "fsync"):
        with monkeypatch.context() as patched:

            def fail(*_: Any) -> int:
                raise OSError(errno.EIO, "disk")

            patched.setattr(os, name, fail)
            with pytest.raises(OSError, match="disk"):
                files.put_exclusive(tmp_path / "to", "x", b"data", tmp_path)
        assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
    assert files.put_exclusive(tmp_path / "to", "x", b"data", tmp_path) is True


def test_an_object_is_created_once(tmp_path: Path) -> None:
    assert files.put_exclusive(tmp_path, "x", b"a", tmp_path) is True
    assert files.put_exclusive(tmp_path, "x", b"a", tmp_path) is False
    with pytest.raises(KeyConflict):
        files.put_exclusive(tmp_path, "x", b"b", tmp_path)
    assert (tmp_path / "x").read_bytes() == b"a"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x"]


def test_a_disk_without_nameless_files_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS and SMB: a file with a name, linked to its place, and the name taken away again."""
    real = os.open

    def without(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not here")
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", without)
    test_an_object_is_created_once(tmp_path)


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:7]))
    files.put_exclusive(tmp_path, "x", b"0123456789" * 10, tmp_path)
    assert (tmp_path / "x").read_bytes() == b"0123456789" * 10


def test_folders_are_synced_into_their_parents_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[Path, bool]] = []
    real = files.fsync_dir

    def fsync_dir(path: Path) -> None:
        synced.append((path, (path / "b").exists() if path.name == "a" else True))
        real(path)

    monkeypatch.setattr(files, "fsync_dir", fsync_dir)
    files.make_dirs(tmp_path / "a/b/c")
    assert synced == [(tmp_path, True), (tmp_path / "a", True), (tmp_path / "a/b", True)]
    synced.clear()
    files.make_dirs(tmp_path / "a/b/c")
    assert synced == []


@pytest.mark.parametrize(
    ("code", "kind", "word"),
    [
        (errno.ENOSPC, VaultFull, "no space left"),
        (errno.EDQUOT, VaultFull, "no space left"),
        (errno.EIO, StorageError, "Input/output error"),
        (errno.EROFS, StorageError, "Read-only file system"),
    ],
)
def test_errors_of_the_disk_become_ours(code: int, kind: type[MediadError], word: str) -> None:
    found = files.storage_error(OSError(code, os.strerror(code)), "testing")
    assert type(found) is kind
    assert word in found.message
    assert "testing" in found.message
    assert found.hint
    assert found.retry == "later"


def test_a_lock_is_held_by_one_and_free_when_its_owner_is_gone(tmp_path: Path) -> None:
    lock = tmp_path / "locks/a.lock"
    assert files.lock_is_free(lock)
    with files.locked(lock, busy="a is at it"):
        assert not files.lock_is_free(lock)
        with pytest.raises(Busy, match="a is at it"), files.locked(lock, busy="a is at it"):
            pytest.fail("two at once")
    assert files.lock_is_free(lock)
    with files.locked(lock, busy=""):
        pass


def test_a_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    ready, waiting = os.pipe()
    child = os.fork()
    if child == 0:
        with files.locked(lock, busy=""):
            os.write(waiting, b"x")
            threading.Event().wait()
    os.read(ready, 1)
    assert not files.lock_is_free(lock)
    os.kill(child, 9)
    os.waitpid(child, 0)
    os.close(ready)
    os.close(waiting)
    assert files.lock_is_free(lock)


def test_a_folder_that_cannot_hold_a_lock_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError), files.locked(tmp_path / "file/a.lock", busy=""):
        pytest.fail("locked")


def test_replacing_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "slots.json"
    files.replace_atomic(path, b"one")
    files.replace_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["slots.json"]


def test_pages_in_the_cache_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(10 * 4096 + 1))
    fd = os.open(path, os.O_RDONLY)
    try:
        assert files.resident_pages(fd, 10 * 4096 + 1) == 11
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        assert files.resident_pages(fd, 10 * 4096 + 1) == 0
        assert files.resident_pages(fd, 0) == 0
    finally:
        os.close(fd)


def test_syncing_a_file_system_reports_errors(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    files.syncfs(fd)
    os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        files.syncfs(fd)


def test_a_network_file_system_is_not_local() -> None:
    assert not files.is_local(Path("/proc"))
    assert not files.is_local(Path("/does/not/exist"))
