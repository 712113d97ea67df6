"""What every vault must do, on every kind of disk that it may lie on. A new implementation joins by one more fixture line."""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from mediad.edges import files
from mediad.edges.pump import BufferPool
from mediad.edges.vault import LocalVault
from mediad.errors import (
    ConfigError,
    FolderElsewhere,
    IntegrityError,
    KeyConflict,
    NotFound,
    StorageError,
    VaultOffline,
)
from tests.support import MIB, needs_root, noise, small_disk

FOLDER = "originals/2026/11/24/cam"


@pytest.fixture(params=["local-on-the-tests-disk", "local-on-tmpfs", "local-on-ext4"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder on each kind of file system."""
    if request.param == "local-on-the-tests-disk":
        yield tmp_path / "vault"
        return
    kind = "tmpfs" if request.param.endswith("tmpfs") else "ext4"
    with small_disk(tmp_path / "disk", 48 * MIB, kind) as mounted:
        yield mounted / "vault"


@pytest.fixture
def vault(root: Path) -> LocalVault:
    made = LocalVault("local", root, "test-01", BufferPool(8 * MIB), volatile=True)
    made.register("vault-1")
    made.open("vault-1")
    return made


def stage(vault: LocalVault, files: dict[str, bytes], batch_id: str = "bat-1", owner: str = "dck-1") -> Any:
    """A sealed batch with these files."""
    batch = vault.begin(owner, batch_id)
    for n, (name, data) in enumerate(files.items()):
        source = os.memfd_create(name)
        try:
            os.write(source, data)
            taken = batch.take(source, f"{n}.part", len(data), ("sha256",), lambda _n: None)
        finally:
            os.close(source)
        assert taken.digests[0].value == hashlib.sha256(data).digest()
        batch.rename(f"{n}.part", name)
    batch.seal("record.json", b"{}")
    batch.close()
    return batch


def admitted(vault: LocalVault, files: dict[str, bytes]) -> str:
    stage(vault, files)
    vault.admit("dck-1", "bat-1", f"{FOLDER}/bat-1")
    return f"{FOLDER}/bat-1"


# --- small objects ----------------------------------------------------------------------------------------------------


def test_an_object_is_created_once_and_read_back(vault: LocalVault) -> None:
    assert vault.put("custody/test-01/000000000001.jsonl", b"one\n") is True
    assert vault.get("custody/test-01/000000000001.jsonl") == b"one\n"
    assert vault.exists("custody/test-01/000000000001.jsonl")


def test_the_same_bytes_again_are_success(vault: LocalVault) -> None:
    assert vault.put("handovers/x/record.json", b"x") is True
    assert vault.put("handovers/x/record.json", b"x") is False


@pytest.mark.parametrize("other", [b"y", b"", b"xx"])
def test_other_bytes_are_a_conflict_and_change_nothing(vault: LocalVault, other: bytes) -> None:
    vault.put("handovers/x/record.json", b"x")
    with pytest.raises(KeyConflict) as caught:
        vault.put("handovers/x/record.json", other)
    assert caught.value.retry == "never"
    assert vault.get("handovers/x/record.json") == b"x"


def test_of_many_writers_at_once_one_creates_and_the_others_learn_it(vault: LocalVault) -> None:
    """With equal bytes all succeed, and exactly one of them created the object."""
    gate = threading.Barrier(8)
    answers: list[bool] = []

    def put() -> None:
        gate.wait()
        answers.append(vault.put("handovers/x/record.json", b"same"))

    threads = [threading.Thread(target=put) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(answers) == [False] * 7 + [True]


def test_objects_are_read_only_and_nothing_is_left_in_staging(vault: LocalVault) -> None:
    vault.put("handovers/x/record.json", b"x")
    assert (vault.root / "handovers/x/record.json").stat().st_mode & 0o777 == 0o440
    assert [p for p in (vault.root / ".staging").rglob("*") if p.is_file()] == []


def test_what_is_not_there_is_not_found(vault: LocalVault) -> None:
    with pytest.raises(NotFound):
        vault.get("handovers/none")
    with pytest.raises(NotFound):
        vault.read_back("originals/none")
    assert not vault.exists("originals/none")
    assert list(vault.list("originals")) == []


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "originals/../../x", "a//b", "a\n", ""])
def test_a_key_that_leads_out_is_refused(vault: LocalVault, key: str) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: vault.put(key, b""), lambda: vault.get(key), lambda: vault.exists(key), lambda: vault.read_back(key),
        lambda: list(vault.list(key)), lambda: vault.set_aside(key), lambda: vault.admit("d", "b", key),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError, match="not a vault key"):
            call()


def test_the_port_cannot_overwrite_or_delete(vault: LocalVault) -> None:
    """Rights are separate on purpose: whoever adds such a call here has to answer this test."""
    public = {name for name in dir(vault) if not name.startswith("_")}
    assert public == {
        "name", "root", "read_marker", "register", "open", "check", "space", "begin", "admit", "confirm", "staged", "owners",
        "clear_staging", "set_aside", "put", "get", "exists", "size_of", "read_back", "list", "expect", "probe_medium",
        "check_writable", "is_own", "path_of",
    }  # fmt: skip


def test_a_size_is_told_of_files_alone_and_only_by_a_vault_that_is_there(vault: LocalVault) -> None:
    """Known files are judged by it: an unmounted vault must not seem to have lost everything."""
    vault.put("handovers/x/record.json", b"12345")
    assert vault.size_of("handovers/x/record.json") == 5
    assert vault.size_of("handovers/x") is None
    assert vault.size_of("handovers/y/record.json") is None
    vault.root.rename(vault.root.with_name("elsewhere"))
    with pytest.raises(VaultOffline):
        vault.size_of("handovers/x/record.json")


# --- batches ----------------------------------------------------------------------------------------------------------


def test_a_batch_enters_whole_and_read_only(vault: LocalVault) -> None:
    files = {
        "ast-a.jpg": noise(5_000, 1),
        "ast-b.mp4": noise(9 * MIB + 3, 2),
        "ast-c": b"",
        "ast-d.mp4": noise(3 * MIB, 3),
    }
    key = admitted(vault, files)
    assert list(vault.list("originals")) == [f"{key}/{n}" for n in [*sorted(files), "record.json"]]
    for name, data in files.items():
        path = vault.root / key / name
        assert path.read_bytes() == data
        assert path.stat().st_mode & 0o777 == 0o440
    assert (vault.root / key).stat().st_mode & 0o777 == 0o550


def test_what_is_staged_is_not_listed(vault: LocalVault) -> None:
    stage(vault, {"ast-a.jpg": b"a"})
    assert list(vault.list("originals")) == []
    assert vault.staged("dck-1", "bat-1")
    assert vault.owners() == ["dck-1"]


def test_a_taken_key_refuses_another_batch_and_keeps_the_first(vault: LocalVault) -> None:
    key = admitted(vault, {"ast-a.jpg": b"first"})
    stage(vault, {"ast-a.jpg": b"second"})
    with pytest.raises(IntegrityError):
        vault.admit("dck-1", "bat-1", key)
    assert (vault.root / key / "ast-a.jpg").read_bytes() == b"first"
    assert vault.staged("dck-1", "bat-1"), "the loser stays where it was"


def test_a_batch_that_is_gone_cannot_be_admitted(vault: LocalVault) -> None:
    with pytest.raises(StorageError):
        vault.admit("dck-1", "bat-1", f"{FOLDER}/bat-1")
    assert not vault.exists(f"{FOLDER}/bat-1")


def test_a_dropped_file_does_not_enter(vault: LocalVault) -> None:
    batch = stage(vault, {"ast-a.jpg": b"a", "ast-b.jpg": b"b"})
    again = vault.begin("dck-1", "bat-2")
    again.discard()
    assert not vault.staged("dck-1", "bat-2")
    assert batch.id == "bat-1"
    vault.admit("dck-1", "bat-1", f"{FOLDER}/bat-1")
    with pytest.raises(StorageError):
        vault.begin("dck-1", "bat-3/../../../x")


def test_a_batch_with_a_file_too_many_or_too_few_is_not_sealed(vault: LocalVault) -> None:
    """Half a file whose removal failed must not come along."""
    batch = vault.begin("dck-1", "bat-1")
    (batch.path / "0.part").write_bytes(b"half")
    with pytest.raises(StorageError, match="other files than it should"):
        batch.seal("record.json", b"{}")


def test_staging_of_a_dead_process_goes(vault: LocalVault) -> None:
    stage(vault, {"ast-a.jpg": b"a"})
    vault.clear_staging("dck-1")
    assert vault.owners() == []


def test_stations_do_not_see_each_others_staging(vault: LocalVault) -> None:
    other = LocalVault("local", vault.root, "test-02", BufferPool(4 * MIB), volatile=True)
    other.open("vault-1")
    stage(vault, {"ast-a.jpg": b"a"})
    assert other.owners() == []
    assert not other.staged("dck-1", "bat-1")


# --- reading back -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 2 * MIB, 2 * MIB + 1, 9 * MIB + 17])
def test_reading_back_gives_digest_size_and_how(vault: LocalVault, size: int) -> None:
    data = noise(size, 7)
    key = admitted(vault, {"ast-a": data})
    found = vault.read_back(f"{key}/ast-a")
    assert (found.digest.value, found.size) == (hashlib.sha256(data).digest(), size)
    assert found.method in ("direct", "evicted")


def test_reading_back_says_direct_only_if_the_cache_was_passed_by(
    vault: LocalVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``direct`` means the descriptor was opened with O_DIRECT and read like that to the end."""
    key = admitted(vault, {"ast-a": noise(3 * MIB + 5, 7)})
    flags: list[int] = []
    real = os.preadv

    def preadv(fd: int, buffers: Any, offset: int, /, *rest: Any) -> int:
        import fcntl

        flags.append(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT)
        return real(fd, buffers, offset, *rest)

    monkeypatch.setattr(os, "preadv", preadv)
    found = vault.read_back(f"{key}/ast-a")
    assert flags
    assert all(flags) == (found.method == "direct")
    assert any(flags) == (found.method == "direct")


def test_reading_back_without_o_direct_drops_the_pages_and_checks_that_none_is_left(
    vault: LocalVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where pages cannot be dropped, reading back refuses rather than believe the cache (tmpfs is nothing but cache)."""
    import errno

    key = admitted(vault, {"ast-a": noise(3 * MIB, 7)})
    real = os.open

    def without_direct(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no O_DIRECT here")
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", without_direct)
    on_tmpfs = "tmpfs" in _type_of(vault.root)
    if on_tmpfs:
        with pytest.raises(StorageError, match="cannot be read from the medium"):
            vault.read_back(f"{key}/ast-a")
    else:
        assert vault.read_back(f"{key}/ast-a").method == "evicted"


def _type_of(path: Path) -> str:
    best = ("", "")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind = line.split(" ")[:3]
        if str(path).startswith(point) and len(point) > len(best[0]):
            best = (point, kind)
    return best[1]


def test_a_bit_changed_on_the_medium_is_seen(vault: LocalVault) -> None:
    needs_root("writing to a read-only file")
    data = noise(100_000, 7)
    key = admitted(vault, {"ast-a": data})
    path = vault.root / key / "ast-a"
    with open(path, "r+b") as f:
        f.seek(50_000)
        f.write(bytes([data[50_000] ^ 1]))
        os.fsync(f.fileno())
    assert vault.read_back(f"{key}/ast-a").digest.value != hashlib.sha256(data).digest()


def test_a_link_in_place_of_an_original_is_not_followed(vault: LocalVault, tmp_path: Path) -> None:
    needs_root("changing a read-only folder")
    key = admitted(vault, {"ast-a": b"a"})
    secret = tmp_path / "secret"
    secret.write_bytes(b"a")
    (vault.root / key / "ast-a").unlink()
    (vault.root / key / "ast-a").symlink_to(secret)
    with pytest.raises(StorageError):
        vault.read_back(f"{key}/ast-a")


def test_what_is_set_aside_is_kept_and_no_original_any_more(vault: LocalVault) -> None:
    key = admitted(vault, {"ast-a": b"wrong", "ast-b": b"right"})
    where = vault.set_aside(f"{key}/ast-a")
    assert (vault.root / where).read_bytes() == b"wrong"
    assert list(vault.list("originals")) == [f"{key}/ast-b", f"{key}/record.json"]
    assert (vault.root / key).stat().st_mode & 0o777 == 0o550


# --- the marker -------------------------------------------------------------------------------------------------------


def test_a_vault_whose_marker_is_missing_or_another_is_offline_and_never_written_to(root: Path, tmp_path: Path) -> None:
    """An unmounted disk leaves an empty folder; another disk has another marker."""
    made = LocalVault("local", root, "test-01", BufferPool(4 * MIB), volatile=True)
    root.mkdir(parents=True)
    with pytest.raises(VaultOffline):
        made.open("vault-1")
    assert list(root.iterdir()) == []
    (root / ".mediad-vault.json").write_text(json.dumps({"format": "mediad-vault/1", "id": "vault-2"}))
    with pytest.raises(VaultOffline):
        made.open("vault-1")
    assert [p.name for p in root.iterdir()] == [".mediad-vault.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"x": 1}', b"\xff", b"[" * 200_000])
def test_a_marker_that_cannot_be_understood_is_offline(root: Path, content: bytes) -> None:
    root.mkdir(parents=True)
    (root / ".mediad-vault.json").write_bytes(content)
    with pytest.raises(VaultOffline):
        LocalVault("local", root, "test-01", BufferPool(4 * MIB), volatile=True).open("vault-1")


def test_a_marker_is_never_replaced(vault: LocalVault) -> None:
    vault.register("vault-1")
    with pytest.raises(KeyConflict):
        vault.register("vault-2")
    assert vault.read_marker() == "vault-1"


def test_nothing_is_made_in_the_mount_point_that_a_vault_leaves_behind(vault: LocalVault) -> None:
    """Unmounted while it is open and in use: what is under the mount point is another disk."""
    assert vault.put("handovers/x/first.json", b"x")
    vault.root.rename(vault.root.with_name("elsewhere"))
    vault.root.mkdir()
    with pytest.raises(StorageError):
        vault.put("handovers/x/record.json", b"x")
    with pytest.raises(StorageError):
        vault.begin("dck-1", "bat-1")
    assert list(vault.root.iterdir()) == []


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_vault_in_memory_is_refused_unless_it_is_a_trial(tmp_path: Path, kind: Literal["tmpfs", "ext4"]) -> None:
    """Neither made nor opened: nothing there was ever on a medium. A disk is taken."""
    with small_disk(tmp_path / "disk", 16 * MIB, kind) as mounted:
        vault = LocalVault("local", mounted / "vault", "test-01", BufferPool(4 * MIB))
        trial = LocalVault("local", mounted / "vault", "test-01", BufferPool(4 * MIB), volatile=True)
        for use in (vault.register, trial.register, vault.open):
            if kind == "tmpfs" and use != trial.register:
                with pytest.raises(ConfigError, match="memory") as e:
                    use("vault-1")
                assert "volatile" in e.value.hint
                assert (mounted / "vault/.mediad-vault.json").exists() is (use == vault.open)
            else:
                use("vault-1")


def test_a_vault_that_goes_away_is_noticed(vault: LocalVault) -> None:
    vault.check()
    vault.root.rename(vault.root.with_name("elsewhere"))
    with pytest.raises(VaultOffline):
        vault.check()
    with pytest.raises(VaultOffline):
        vault.space()


def test_space_is_that_of_the_disk(vault: LocalVault) -> None:
    space = vault.space()
    assert 0 < space.free <= space.total


# --- one tree on one disk ---------------------------------------------------------------------------------------------

KEYS = {
    "originals": f"{FOLDER}/bat-1/ast-a",
    "originals/2026/11": f"{FOLDER}/bat-1/ast-a",
    "handovers": "handovers/x/record.json",
    "handovers/x": "handovers/x/record.json",
    "custody": "custody/test-01/000000000001.jsonl",
    "custody/test-01": "custody/test-01/000000000001.jsonl",
}


def _uses(vault: LocalVault, key: str) -> dict[str, Callable[[], Any]]:
    return {
        "put": lambda: vault.put(f"{key}x", b"x"), "get": lambda: vault.get(key), "exists": lambda: vault.exists(key),
        "read_back": lambda: vault.read_back(key), "size_of": lambda: vault.size_of(key),
        "list": lambda: list(vault.list(key.rpartition("/")[0])), "set_aside": lambda: vault.set_aside(key),
        "admit": lambda: vault.admit("dck-1", "bat-2", key.rpartition("/")[0] + "/bat-2"),
        "confirm": lambda: vault.confirm(key.rpartition("/")[0]),
    }  # fmt: skip


def _filled(vault: LocalVault) -> LocalVault:
    admitted(vault, {"ast-a": b"a"})
    vault.put(KEYS["handovers"], b"x")
    vault.put(KEYS["custody"], b"x")
    stage(vault, {"ast-b": b"b"}, batch_id="bat-2")
    return vault


def _refused(uses: dict[str, Callable[[], Any]], folder: str, what: str) -> None:
    """Every call says so. The vault as a whole is offline only for what everything is below; one folder deeper down is a matter
    for itself, and of what is there the vault holds nothing."""
    whole = "/" not in folder or folder.startswith("custody")
    if not whole:
        assert uses.pop("size_of")() is None
    for name, use in uses.items():
        with pytest.raises(StorageError, match=what) as e:
            use()
        assert e.value.hint, name
        assert (type(e.value), e.value.retry) == ((VaultOffline, "later") if whole else (FolderElsewhere, "never")), (
            name
        )


@pytest.mark.parametrize("old_kernel", [False, True], ids=["", "kernel before 5.6"])
@pytest.mark.parametrize("fresh", [False, True], ids=["in use", "another process"])
@pytest.mark.parametrize("folder", KEYS)
def test_a_folder_that_is_a_link_is_refused_by_every_call(
    vault: LocalVault, tmp_path: Path, folder: str, fresh: bool, old_kernel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody moved it to another disk and left a link: what is written there is not in the vault."""
    if old_kernel:
        monkeypatch.setattr(files, "_OPENAT2", 10_000)
    _filled(vault)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    real = vault.root / folder
    moved = real.with_name("moved")
    real.rename(moved)
    real.symlink_to(elsewhere)
    port = LocalVault("local", vault.root, "test-01", BufferPool(4 * MIB), volatile=True) if fresh else vault
    if fresh:
        port._marker = "vault-1"
    _refused(_uses(port, KEYS[folder]), folder, "is a link")
    assert list(elsewhere.iterdir()) == []
    assert vault.staged("dck-1", "bat-2")


@pytest.mark.parametrize("top", ["originals", "handovers", "custody", ".staging", ".staging/test-01"])
def test_a_vault_one_of_whose_folders_is_a_link_is_offline(vault: LocalVault, tmp_path: Path, top: str) -> None:
    """To open it, to look at it, and while it is in use."""
    _filled(vault)
    (vault.root / top).rename(vault.root / "moved")
    (vault.root / top).symlink_to(tmp_path)
    port = LocalVault("local", vault.root, "test-01", BufferPool(4 * MIB), volatile=True)
    for use in (
        lambda: port.open("vault-1"),
        lambda: port.expect("vault-1"),
        vault.check,
        lambda: port.register("vault-1"),
    ):
        with pytest.raises(VaultOffline, match="is a link"):
            use()
    if top.startswith(".staging"):
        for use in (lambda: vault.begin("dck-9", "bat-9"), vault.owners, lambda: vault.clear_staging("dck-1")):
            with pytest.raises(VaultOffline, match="is a link"):
                use()


@pytest.mark.parametrize("folder", KEYS)
def test_a_folder_on_another_disk_is_refused_by_every_call(vault: LocalVault, folder: str) -> None:
    """Another disk is mounted over it: a rename into it is none, and it may go away by itself."""
    _filled(vault)
    real = vault.root / folder
    real.rename(real.with_name("moved"))
    with small_disk(real, 16 * MIB):
        _refused(_uses(vault, KEYS[folder]), folder, "lies on another disk")
        assert [p.name for p in real.iterdir() if p.name != "lost+found"] == []


def test_a_link_in_the_staging_area_goes_and_what_it_points_to_stays(vault: LocalVault, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_bytes(b"x")
    link = vault.root / ".staging/test-01/dck-link"
    link.symlink_to(elsewhere)
    with pytest.raises(StorageError):
        vault.begin("dck-link", "bat-1")
    assert vault.owners() == ["dck-link"]
    vault.clear_staging("dck-link")
    assert vault.owners() == []
    assert [p.name for p in elsewhere.iterdir()] == ["kept"]


def test_ten_thousand_looks_cost_little_more_than_the_system_calls(
    vault: LocalVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recorder that comes again is looked through at once: one walk by the kernel for each file, whatever its depth."""
    key = f"{admitted(vault, {'ast-a': b'a'})}/ast-a"
    calls: list[str] = []
    for name in ("stat", "lstat", "open", "fstat"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, real=real, name=name, **k: (calls.append(name), real(*a, **k))[1])
    assert [vault.size_of(key) for _ in range(100)] == [1] * 100
    assert len(calls) == 200


def test_a_folder_swapped_for_a_link_is_refused_at_the_very_next_look(vault: LocalVault) -> None:
    key = f"{admitted(vault, {'ast-a': b'a'})}/ast-a"
    assert vault.size_of(key) == 1
    (vault.root / FOLDER).rename(vault.root / "moved")
    (vault.root / FOLDER).symlink_to(vault.root / "moved")
    assert vault.size_of(key) is None
    with pytest.raises(FolderElsewhere):
        vault.read_back(key)


@pytest.mark.parametrize("planted", ["link", "pipe", "folder"])
def test_what_is_no_file_is_never_read_nor_taken_for_the_same_bytes(
    vault: LocalVault, tmp_path: Path, planted: str
) -> None:
    """A link to equal bytes, a pipe that would block for ever, a folder."""
    (tmp_path / "same").write_bytes(b"x")
    path = vault.root / "handovers/x/record.json"
    vault.put("handovers/x/other.json", b"x")
    make = {"link": lambda: path.symlink_to(tmp_path / "same"), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}
    make[planted]()
    for use in (lambda: vault.get("handovers/x/record.json"), lambda: vault.read_back("handovers/x/record.json"),
                lambda: vault.put("handovers/x/record.json", b"x")):  # fmt: skip
        with pytest.raises(StorageError):
            use()
    with pytest.raises(KeyConflict):
        vault.put("handovers/x/record.json", b"x")
    assert vault.exists("handovers/x/record.json")


def test_a_record_larger_than_any_is_not_read(vault: LocalVault) -> None:
    vault.put("handovers/x/record.json", b"x")
    path = vault.root / "handovers/x/record.json"
    path.chmod(0o640)
    os.truncate(path, 2**40) if "tmpfs" not in _type_of(vault.root) else os.truncate(path, 600 * MIB)
    with pytest.raises(StorageError, match="larger than any record"):
        vault.get("handovers/x/record.json")


def test_only_originals_are_ever_set_aside(vault: LocalVault) -> None:
    _filled(vault)
    for key in (KEYS["custody"], KEYS["handovers"], "originals"):
        with pytest.raises(IntegrityError, match="no original"):
            vault.set_aside(key)
    assert vault.get(KEYS["custody"]) == vault.get(KEYS["handovers"]) == b"x"
    assert not (vault.root / "set-aside").exists()


def test_what_is_set_aside_under_one_name_is_all_kept(vault: LocalVault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chance gives the same characters twice."""
    from mediad.edges import vault as module

    given = iter(["aaaaaaaa", "aaaaaaaa", "bbbbbbbb"])
    for n, data in enumerate((b"one", b"two"), start=1):
        stage(vault, {"ast-a": data}, batch_id=f"bat-{n}")
        vault.admit("dck-1", f"bat-{n}", f"{FOLDER}/bat-{n}")
    monkeypatch.setattr(module.secrets, "token_hex", lambda _n: next(given))
    kept = [vault.set_aside(f"{FOLDER}/bat-{n}/ast-a") for n in (1, 2)]
    assert [(vault.root / where).read_bytes() for where in kept] == [b"one", b"two"]


# --- a disk that does not answer --------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["EIO", "ESTALE", "EACCES"])
def test_a_disk_that_does_not_answer_is_not_taken_for_one_that_has_nothing(
    vault: LocalVault, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """ "Not there" is an answer, an error is none; and it comes as one of ours, with a hint."""
    import errno

    _filled(vault)
    error = OSError(getattr(errno, code), code)

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    with monkeypatch.context() as patch:
        for name in ("fstat", "scandir", "statvfs"):
            patch.setattr(os, name, fail)
        for use in (
            lambda: vault.exists(KEYS["originals"]), lambda: vault.size_of(KEYS["originals"]), vault.owners, vault.space,
            lambda: vault.staged("dck-1", "bat-2"), lambda: list(vault.list("originals")),
        ):  # fmt: skip
            with pytest.raises(StorageError) as e:
                use()
            assert e.value.hint
    for name in ("scandir", "statvfs"):  # each by itself as well, behind a look that succeeds
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(StorageError):
                (vault.space if name == "statvfs" else vault.owners)()
            if name == "scandir":
                with pytest.raises(StorageError, match="originals"):
                    list(vault.list("originals"))


# --- modes, and descriptors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_modes_are_those_that_are_meant_whatever_the_umask(root: Path, umask: int) -> None:
    """A command that an administrator runs has another umask than the service."""
    before = os.umask(umask)
    try:
        made = LocalVault("local", root, "test-01", BufferPool(8 * MIB), volatile=True)
        made.register("vault-1")
        made.open("vault-1")
        _filled(made)
        made.set_aside(f"{FOLDER}/bat-1/ast-a")
    finally:
        os.umask(before)
    modes = {(p.is_dir(), p.stat().st_mode & 0o777) for p in root.rglob("*")}
    assert modes == {(True, 0o750), (True, 0o550), (False, 0o440)}
    assert root.stat().st_mode & 0o777 == 0o750
    assert [p.name for p in root.rglob("*") if p.stat().st_mode & 0o777 == 0o550] == ["bat-1"]


def test_no_descriptor_is_left_open_where_a_batch_cannot_be_begun_or_copied(
    vault: LocalVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon lives for months."""
    from mediad.stages import ingest

    def descriptors() -> set[str]:
        return set(os.listdir("/proc/self/fd"))

    class Unreadable:
        def read_ahead(self, files: object) -> None:
            raise RuntimeError("a fault of ours")

    class Plan:
        files = (None,)

    stage(vault, {"ast-a": b"a"})
    before = descriptors()
    with pytest.raises(StorageError):
        vault.begin("dck-1", "bat-1")  # is there already
    batch = vault.begin("dck-1", "bat-2")
    with pytest.raises(AttributeError):
        ingest.copy_batch(Plan, batch, Unreadable(), ("sha256",), lambda _n: None)  # type: ignore[arg-type]
    assert descriptors() == before
    assert not vault.staged("dck-1", "bat-2")
