"""Looking at a card: everything is listed once, by descriptors, and nothing is believed twice."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mediad.edges import diskerrors, source
from mediad.edges.source import SourceSet, SourceTree
from mediad.errors import DeviceError, SourceError
from mediad.model.evidence import Outcome, Rejected, SourceFile
from tests.support import MIB, OCTOBER, make_card, small_disk

names = st.binary(min_size=1, max_size=40).filter(lambda n: b"/" not in n and b"\0" not in n and n not in (b".", b".."))


@given(st.sets(names, max_size=8), st.sets(names, max_size=3))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_name_that_a_file_system_takes_is_listed_once(
    tmp_path_factory: pytest.TempPathFactory, files: set[bytes], folders: set[bytes]
) -> None:
    root = os.fsencode(tmp_path_factory.mktemp("card"))
    expected = set()
    for folder in folders - files:
        os.mkdir(os.path.join(root, folder))
    for place in [b"", *(f + b"/" for f in folders - files)]:
        for name in files:
            path = os.path.join(root, place + name)
            if not os.path.isdir(path):
                with open(path, "wb") as f:
                    f.write(name)
                expected.add(place + name)
    tree = SourceTree(Path(os.fsdecode(root)), "vol")
    found = list(tree.walk())
    assert all(isinstance(f, SourceFile) for f in found)
    assert sorted(f.path for f in found) == sorted(expected)
    for file in found:
        assert isinstance(file, SourceFile)
        assert file.volume == "vol"
        with tree.open(file) as opened:
            assert os.read(opened.fd, 100) == file.path.rsplit(b"/", 1)[-1]
    tree.close()


def test_a_claim_holds_what_the_file_system_said(tmp_path: Path) -> None:
    card = make_card(tmp_path / "card", {"a": b"12345"})
    tree = SourceTree(card)
    (file,) = tree.walk()
    assert isinstance(file, SourceFile)
    info = (card / "a").stat()
    assert (file.size, file.mtime_ns, file.inode, file.device) == (5, OCTOBER, info.st_ino, info.st_dev)
    assert file.birth_ns is None or file.birth_ns <= info.st_ctime_ns
    tree.close()


def test_a_path_that_is_no_folder_or_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match="not a folder"):
        SourceTree(tmp_path / "file")
    with pytest.raises(DeviceError, match="No such file"):
        SourceTree(tmp_path / "none")


def test_opening_checks_that_the_file_is_still_the_one_listed(tmp_path: Path) -> None:
    card = make_card(tmp_path / "card", {"d/a": b"12345"})
    tree = SourceTree(card)
    (file,) = tree.walk()
    assert isinstance(file, SourceFile)
    (card / "d/a").write_bytes(b"123456")
    with pytest.raises(SourceError) as caught:
        tree.open(file)
    assert caught.value.code == "source-changed"
    again = tree.look_again(file)
    assert again.size == 6
    with tree.open(again) as opened:
        opened.check_unchanged()
    (card / "d/a").unlink()
    with pytest.raises(SourceError, match="it vanished"):
        tree.open(again)
    with pytest.raises(SourceError, match="it vanished"):
        tree.look_again(again)
    (card / "d/a").mkdir()
    with pytest.raises(SourceError, match="no regular file"):
        tree.look_again(again)
    with pytest.raises(SourceError):
        tree.open(again)
    tree.close()


def test_a_pipe_put_in_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    card = make_card(tmp_path / "card", {"a": b"1"})
    tree = SourceTree(card)
    (file,) = tree.walk()
    assert isinstance(file, SourceFile)
    (card / "a").unlink()
    os.mkfifo(card / "a")
    with pytest.raises(SourceError, match="no regular file"):
        tree.open(file)
    tree.close()


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    card = make_card(tmp_path / "card", {f"{n}/{m}": b"x" for n in range(5) for m in range(5)})
    (card / "link").symlink_to("0")
    before = len(os.listdir("/proc/self/fd"))
    tree = SourceTree(card)
    for file in list(tree.walk()):
        if isinstance(file, SourceFile):
            tree.open(file).close()
    with pytest.raises(SourceError):
        tree.open(SourceFile("", b"link/0", 1, 0))
    with pytest.raises(SourceError):
        tree.open(SourceFile("", b"none/0", 1, 0))
    tree.close()
    tree.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_folder_that_cannot_be_listed_is_reported_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad sector under a folder."""
    card = make_card(tmp_path / "card", {"bad/x": b"x", "good/y": b"y"})
    real = os.listdir

    def listdir(fd: int) -> list[str]:
        if os.readlink(f"/proc/self/fd/{fd}").endswith("/bad"):
            raise OSError(5, "Input/output error")
        return real(fd)

    monkeypatch.setattr(os, "listdir", listdir)
    tree = SourceTree(card)
    found = {f.path: f for f in tree.walk()}
    tree.close()
    assert set(found) == {b"bad", b"good/y"}
    bad = found[b"bad"]
    assert isinstance(bad, Rejected)
    assert bad.outcome is Outcome.FAILED
    assert "Input/output error" in bad.why


def test_several_volumes_are_told_apart(tmp_path: Path) -> None:
    one = SourceTree(make_card(tmp_path / "1", {"same": b"one"}), "v1")
    two = SourceTree(make_card(tmp_path / "2", {"same": b"two"}), "v2")
    source = SourceSet([one, two], lambda: True)
    files = [f for volume in source.volumes() for f in volume.walk()]
    contents = {}
    for file in files:
        assert isinstance(file, SourceFile)
        with source.open(file) as opened:
            contents[file.volume] = os.read(opened.fd, 10)
    assert contents == {"v1": b"one", "v2": b"two"}
    assert one.root_names() == two.root_names() == {"same"}
    source.close()


def test_when_a_file_last_changed_is_told_where_the_file_system_notes_it_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer can set a file's mtime back, not this. FAT, FUSE and networks hand out what they like: there it is 0."""
    with small_disk(tmp_path / "disk", MIB) as disk:
        card = make_card(disk / "card", {"a": b"1"})
        for noted in (True, False):
            if not noted:
                monkeypatch.setattr(source, "_OWN_TIMES", {0x4D44: "vfat"})
            tree = SourceTree(card)
            (file,) = tree.walk()
            tree.close()
            assert isinstance(file, SourceFile)
            assert file.changed_ns == ((card / "a").stat().st_ctime_ns if noted else 0)


# --- a disk that gives errors while it is listed ------------------------------------------------------------------------


@pytest.fixture
def errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The kernel's error count of the disk on whose partition this test's folder seems to lie."""
    device = tmp_path.stat().st_dev
    partition = tmp_path / "devices/sda/sda1"
    (tmp_path / "devices/sda/device").mkdir(parents=True)
    partition.mkdir()
    (partition / "partition").write_text("1\n")
    (tmp_path / "block").mkdir()
    (tmp_path / f"block/{os.major(device)}:{os.minor(device)}").symlink_to(partition)
    monkeypatch.setattr(diskerrors, "SYSFS", tmp_path / "block")
    count = tmp_path / "devices/sda/device/ioerr_cnt"
    count.write_text("0xe\n")
    return count


def test_a_listing_during_which_the_disk_gave_errors_is_not_whole(errors: Path, tmp_path: Path) -> None:
    """Names that the FAT driver left out are told by nothing else."""
    tree = SourceTree(make_card(tmp_path / "card", {"a": b"1", "b": b"2"}), "vol")
    walk = tree.walk()
    first = next(walk)
    errors.write_text("0x10\n")
    second, said = walk
    assert {first.path, second.path} == {b"a", b"b"}
    assert isinstance(said, Rejected)
    assert (said.volume, said.path, said.outcome) == ("vol", b".", Outcome.FAILED)
    assert "names may be missing" in said.why
    assert len(list(tree.walk())) == 2, "errors of before say nothing of this listing"
    tree.close()


def test_a_root_that_cannot_be_read_is_told_once_also_if_the_disk_gave_errors(
    errors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record names the root of a volume once."""

    def broken(_fd: int) -> list[str]:
        errors.write_text("0x10\n")
        raise OSError(5, "Input/output error")

    tree = SourceTree(make_card(tmp_path / "card", {"a": b"1"}))
    monkeypatch.setattr(os, "listdir", broken)
    (said,) = tree.walk()
    assert isinstance(said, Rejected)
    assert "cannot be read" in said.why
    tree.close()


@pytest.mark.parametrize("count", ["", "many\n", None])
def test_a_disk_without_an_error_count_says_nothing(errors: Path, tmp_path: Path, count: str | None) -> None:
    device = tmp_path.stat().st_dev
    assert diskerrors.error_count(device) == 0xE
    if count is None:
        errors.unlink()
    else:
        errors.write_text(count)
    assert diskerrors.error_count(device) is None
    assert diskerrors.error_count(os.makedev(4000, 4000)) is None
    tree = SourceTree(make_card(tmp_path / "card", {"a": b"1"}))
    assert [f.path for f in tree.walk()] == [b"a"]
    tree.close()
