"""Moving bytes: any size, short reads, errors on either side, and all within one pool of buffers."""

import errno
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mediad.edges import pump
from mediad.edges.files import resident_pages
from mediad.edges.pump import BUFFER, BufferPool
from mediad.errors import SourceError
from tests.support import MIB, noise

SIZES = [0, 1, 511, 4096, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER, 4 * BUFFER, 4 * BUFFER + 1, 5 * BUFFER + 4095]


def _copy(
    tmp_path: Path,
    data: bytes,
    *,
    size: int | None = None,
    algorithms: tuple[str, ...] = ("sha256",),
    pool: BufferPool | None = None,
    progress: Callable[[int], None] = lambda _n: None,
) -> tuple[pump.Taken, bytes]:
    (tmp_path / "source").write_bytes(data)
    source = os.open(tmp_path / "source", os.O_RDONLY)
    target = os.open(tmp_path / "target", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        taken = pump.copy(
            source, target, len(data) if size is None else size, algorithms, pool or BufferPool(), progress
        )
    finally:
        os.close(source)
        os.close(target)
    return taken, (tmp_path / "target").read_bytes()


@pytest.mark.parametrize("size", SIZES)
def test_every_size_is_copied_hashed_and_read_back(tmp_path: Path, size: int) -> None:
    data = noise(size, size)
    seen: list[int] = []
    taken, written = _copy(tmp_path, data, progress=seen.append)
    assert written == data
    assert (taken.size, taken.digests[0].value, taken.head) == (size, hashlib.sha256(data).digest(), data[:512])
    assert sum(seen) == size
    fd = os.open(tmp_path / "target", os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    found = pump.read_back(tmp_path / "target", "sha256", BufferPool())
    assert (found.digest, found.size) == (taken.digests[0], size)


def test_two_digests_come_of_one_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    real = os.preadv

    def preadv(fd: int, buffers: Any, offset: int, *rest: Any) -> int:
        n = real(fd, buffers, offset, *rest)
        reads.append(n)
        return n

    monkeypatch.setattr(os, "preadv", preadv)
    data = noise(3 * BUFFER + 7, 1)
    taken, _ = _copy(tmp_path, data, algorithms=("sha256", "sm3"))
    assert [d.algorithm for d in taken.digests] == ["sha256", "sm3"]
    assert taken.digests[1].value == hashlib.new("sm3", data).digest()
    assert sum(reads) == len(data)


@pytest.mark.parametrize("size", [1000, 3 * BUFFER, 5 * BUFFER, 5 * BUFFER + 4095])
def test_no_more_is_read_than_was_asked_for(tmp_path: Path, size: int) -> None:
    """A file that has more than its listing says is a part, and a part is never called whole."""
    with pytest.raises(SourceError, match="longer") as caught:
        _copy(tmp_path, noise(size + 5_000, 3), size=size)
    assert caught.value.code == "source-changed"
    assert (tmp_path / "target").stat().st_size <= size


@pytest.mark.parametrize("size", [5 * BUFFER, 5 * BUFFER + 4095])
def test_a_large_source_is_read_past_the_page_cache(tmp_path: Path, size: int) -> None:
    """A card of 128 GB must not push everything else out of memory; and each byte is copied once less."""
    path = tmp_path / "card"
    path.write_bytes(noise(size, 8))
    target = os.open(tmp_path / "target", os.O_WRONLY | os.O_CREAT)
    source = os.open(path, os.O_RDONLY)
    try:
        os.fsync(source)
        os.posix_fadvise(source, 0, 0, os.POSIX_FADV_DONTNEED)
        assert resident_pages(source, size) == 0
        taken = pump.copy(source, target, size, ("sha256",), BufferPool(), lambda _n: None)
        assert resident_pages(source, size) <= 1, "its last, odd block at most"
    finally:
        os.close(source)
        os.close(target)
    assert taken.digests[0].value == hashlib.sha256(path.read_bytes()).digest()


@pytest.mark.parametrize("size", [1000, 3 * BUFFER, 5 * BUFFER, 5 * BUFFER + 4095])
def test_a_source_that_ends_early_says_how_far_it_came(tmp_path: Path, size: int) -> None:
    data = noise(size, 3)
    taken, written = _copy(tmp_path, data, size=size + 9_999)
    assert (taken.size, written) == (size, data)


@pytest.mark.parametrize("chunk", [1_000, 4_096, 65_536])
def test_short_reads_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """MTP and FUSE mounts give what they like."""
    real = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, offset: real(fd, [buffers[0][:chunk]], offset))
    data = noise(BUFFER + 12_345, 4)
    taken, written = _copy(tmp_path, data)
    assert written == data
    assert taken.digests[0].value == hashlib.sha256(data).digest()


@pytest.mark.parametrize("size", [3_000, 3 * BUFFER])
def test_a_read_error_is_the_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    real = os.preadv

    def preadv(fd: int, buffers: Any, offset: int) -> int:
        if offset >= size // 2:  # the second read of a small file, the third of a large one
            raise OSError(errno.EIO, "bad sector")
        return real(fd, [buffers[0][: size // 2]], offset)

    monkeypatch.setattr(os, "preadv", preadv)
    with pytest.raises(SourceError, match=f"Input/output error near byte {1_500 if size == 3_000 else 2 * BUFFER}"):
        _copy(tmp_path, noise(size, 5))


@pytest.mark.parametrize("size", [3_000, 9 * MIB])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_write_error_is_the_vaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, code: int) -> None:
    def write(_fd: int, _data: Any) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match=os.strerror(code)) as caught:
        _copy(tmp_path, noise(size, 5))
    assert caught.value.errno == code


@pytest.mark.parametrize("size", [3_000, 9 * MIB])
def test_every_buffer_comes_back_whatever_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """A pool that leaked one buffer per error would end all copies of a station after a while."""
    pool = BufferPool(3 * BUFFER)

    def stopped(_n: int) -> None:
        raise RuntimeError("stop")

    for _ in range(5):
        with pytest.raises(RuntimeError):
            _copy(tmp_path, noise(size, 6), pool=pool, progress=stopped)
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "x")))
            with pytest.raises(OSError, match="x"):
                _copy(tmp_path, noise(size, 6), pool=pool)
    taken = [pool.take() for _ in range(3)]
    assert len(taken) == 3


def test_many_copies_of_large_files_share_one_small_pool(tmp_path: Path) -> None:
    """Eight at once with fewer buffers than copies: they wait for one another, and none for ever."""
    pool = BufferPool(5 * BUFFER)
    data = noise(4 * BUFFER + 3, 8)
    digests: list[bytes] = []

    def one(n: int) -> None:
        folder = tmp_path / str(n)
        folder.mkdir()
        digests.append(_copy(folder, data, pool=pool)[0].digests[0].value)

    threads = [threading.Thread(target=one, args=(n,), daemon=True) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert digests == [hashlib.sha256(data).digest()] * 8


def test_a_disk_that_takes_the_direct_flag_but_not_the_write_still_gets_every_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    real = os.write

    def write(fd: int, data: Any) -> int:
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(errno.EINVAL, "not like this")
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    data = noise(9 * MIB + 100, 9)
    assert _copy(tmp_path, data)[1] == data
