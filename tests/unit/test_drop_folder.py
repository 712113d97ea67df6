"""Drop folders docked again and again: what cannot be taken is on record, once, and makes no docking of its own at every look."""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mediad.cli.progress import _Plain
from mediad.config import Folder
from mediad.edges.board import Board
from mediad.edges.folders import FolderReady, FolderWatcher
from mediad.edges.source import OpenFile, SourceTree
from mediad.errors import Refused, SourceError, VaultOffline
from mediad.model.evidence import DockingState, Rejected, SourceFile
from mediad.model.settling import Signature
from mediad.session import Result
from mediad.wiring.docking import dock_folder
from mediad.wiring.parts import FolderPart
from mediad.wiring.station import Station
from tests.support import Site, complaints, make_card, make_site


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "drop").mkdir()
    return Folder(path=tmp_path / "drop", name="drop")


@pytest.fixture
def station(site: Site) -> Iterator[Station]:
    with closing(site.open()) as opened:
        yield opened


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of folders that cannot be listed: tests may run as root, whom no right keeps out."""
    names: set[str] = set()
    real = os.listdir

    def listdir(fd: int) -> list[str]:
        if isinstance(fd, int) and os.readlink(f"/proc/self/fd/{fd}").rsplit("/", 1)[-1] in names:
            raise PermissionError(13, "Permission denied")
        return real(fd)

    monkeypatch.setattr(os, "listdir", listdir)
    return names


def look(station: Station, folder: Folder, told: set[Rejected]) -> Result | None:
    return dock_folder(station, folder, lambda *_: True, _Plain("test"), told)


def named(result: Result | None) -> dict[str, str]:
    assert result is not None
    return {f["path"]: f["outcome"] for f in result.record["files"]}


def test_what_is_no_file_is_in_the_next_record_and_in_that_one_only(
    station: Station, site: Site, folder: Folder
) -> None:
    told: set[Rejected] = set()
    (folder.path / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder.path / "pipe")
    assert look(station, folder, told) is None, "nothing to take: no docking"
    make_card(folder.path, {"a.jpg": b"a"})
    assert named(look(station, folder, told)) == {"a.jpg": "stored", "link": "rejected", "pipe": "rejected"}
    assert look(station, folder, told) is None
    make_card(folder.path, {"b.jpg": b"b"})
    assert "link" not in named(look(station, folder, told))
    (folder.path / "pipe").unlink()
    assert look(station, folder, told) is None
    os.mkfifo(folder.path / "pipe")
    make_card(folder.path, {"c.jpg": b"c"})
    assert named(look(station, folder, told))["pipe"] == "rejected", "it left and is another one now"
    assert complaints(site, [b"a", b"b", b"c"]) == []


def test_an_inner_folder_that_cannot_be_read_makes_one_incomplete_docking(
    station: Station, site: Site, folder: Folder, closed: set[str]
) -> None:
    told: set[Rejected] = set()
    (folder.path / "locked").mkdir()
    closed.add("locked")
    first = look(station, folder, told)
    assert named(first) == {"locked": "failed"}
    assert first is not None
    assert first.state is DockingState.INCOMPLETE
    assert [look(station, folder, told) for _ in range(3)] == [None] * 3
    make_card(folder.path, {"a.jpg": b"a"})
    assert named(look(station, folder, told)) == {"a.jpg": "stored", "locked": "failed"}, "it still is not taken"
    closed.clear()
    assert look(station, folder, told) is None
    assert told == set()
    assert complaints(site, [b"a"]) == []


def test_what_the_profile_leaves_out_calls_for_nobody(tmp_path: Path, folder: Folder, closed: set[str]) -> None:
    profile = 'name = "drop"\nattach = "folder"\nrank = 50\n[layout]\nexclude = ["lost+found"]\n'
    site = make_site(tmp_path / "station")
    (site.root / "recorders").mkdir()
    (site.root / "recorders/drop.toml").write_text(profile)
    (folder.path / "lost+found").mkdir()
    closed.add("lost+found")
    told: set[Rejected] = set()
    with closing(site.open()) as station:
        assert look(station, folder, told) is None
        make_card(folder.path, {"a.jpg": b"a"})
        assert named(look(station, folder, told)) == {"a.jpg": "stored", "lost+found": "rejected"}
        assert told == set(), "nothing that the slot would call for"


def test_a_look_walks_the_folder_once(station: Station, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    walks = []
    real = SourceTree.walk
    monkeypatch.setattr(SourceTree, "walk", lambda self: walks.append(1) or real(self))
    make_card(folder.path, {"a.jpg": b"a"})
    for expected in (1, 2):
        look(station, folder, set())
        assert len(walks) == expected


def test_a_folder_that_was_made_to_lead_into_the_vault_is_refused(station: Station, site: Site, folder: Folder) -> None:
    folder.path.rmdir()
    folder.path.symlink_to(site.vault)
    with pytest.raises(Refused, match="lies inside vault local"):
        look(station, folder, set())


def test_the_slot_calls_for_the_administrator_until_the_folder_can_be_read(
    station: Station, site: Site, folder: Folder, closed: set[str], tmp_path: Path
) -> None:
    """Told by one docking; the looks that follow make none and do not take the call back, until it is mended."""
    board = Board(tmp_path / "run", lambda *_: None)
    part = FolderPart(station, folder, board)
    make_card(folder.path, {"locked/a.jpg": b"a"})
    closed.add("locked")
    ready = FolderReady(
        folder.path, {b"locked/a.jpg": Signature(1, (folder.path / "locked/a.jpg").stat().st_mtime_ns, 0)}
    )
    for _ in range(3):
        part._dock(FolderReady(folder.path, {}))
        assert board.view("folder:drop").state == "attention"
    assert "locked" in board.view("folder:drop").why
    assert site.rows("SELECT count(*) FROM docking") == [(1,)]
    closed.clear()
    part._dock(ready)
    assert board.view("folder:drop").state == "idle"
    assert site.rows("SELECT state FROM docking ORDER BY opened_at, id") == [("incomplete",), ("complete",)]


# --- what a folder's slot calls for -----------------------------------------------------------------------------------


class Asked(FolderWatcher):
    """Keeps what it is asked to tell again."""

    def __init__(self, folder: Path) -> None:
        super().__init__([folder], 0.1)
        self.asked: list[tuple[set[bytes], float]] = []

    def again(self, ready: FolderReady, delay_seconds: float) -> None:
        self.asked.append((set(ready.files), delay_seconds))


@pytest.fixture
def part(station: Station, folder: Folder, tmp_path: Path) -> FolderPart:
    made = FolderPart(station, folder, Board(tmp_path / "run", lambda *_: None))
    made._watcher = Asked(folder.path)
    return made


def ready(folder: Folder, *names: str) -> FolderReady:
    """These files, settled as they are now."""
    found = {}
    for name in names:
        status = (folder.path / name).stat()
        found[os.fsencode(name)] = Signature(status.st_size, status.st_mtime_ns, status.st_ino)
    return FolderReady(folder.path, found)


def shown(part: FolderPart) -> tuple[str, str]:
    view = part._board.view("folder:drop")
    return view.state, view.why


@pytest.fixture
def bad(monkeypatch: pytest.MonkeyPatch) -> set[bytes]:
    """Paths of files that cannot be opened."""
    paths: set[bytes] = set()
    real = SourceTree.open

    def opening(self: SourceTree, file: SourceFile) -> OpenFile:
        if file.path in paths:
            raise SourceError("Input/output error", code="source-open")
        return real(self, file)

    monkeypatch.setattr(SourceTree, "open", opening)
    return paths


def test_a_call_for_one_file_outlives_the_docking_of_another(
    part: FolderPart, folder: Folder, bad: set[bytes], site: Site
) -> None:
    make_card(folder.path, {"bad.mp4": b"bad", "good.mp4": b"good", "more.mp4": b"more"})
    bad.add(b"bad.mp4")
    part._dock(ready(folder, "bad.mp4", "more.mp4"))
    state, why = shown(part)
    assert state == "attention"
    assert "bad.mp4: Input/output error" in why
    part._dock(ready(folder, "good.mp4"))
    assert shown(part) == (state, why)
    assert part._watcher.asked[0] == ({b"bad.mp4"}, 30.0), "what was taken is not tried again"
    bad.clear()
    part._dock(ready(folder, "bad.mp4"))
    assert shown(part) == ("idle", "")
    assert complaints(site, [b"bad", b"good", b"more"]) == []


def test_a_call_for_a_file_ends_when_the_file_is_gone(part: FolderPart, folder: Folder, bad: set[bytes]) -> None:
    make_card(folder.path, {"bad.mp4": b"bad"})
    bad.add(b"bad.mp4")
    part._dock(ready(folder, "bad.mp4"))
    assert shown(part)[0] == "attention"
    (folder.path / "bad.mp4").unlink()
    part._dock(FolderReady(folder.path, {}))
    assert shown(part) == ("idle", "")


def test_a_look_that_met_an_offline_vault_is_made_again(
    part: FolderPart, folder: Folder, closed: set[str], site: Site, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An inner folder that cannot be read has no file that would bring the folder up again."""
    (folder.path / "locked").mkdir()
    closed.add("locked")

    def offline(*_: object, **__: object) -> None:
        raise VaultOffline("the vault is away")

    with monkeypatch.context() as away:
        away.setattr(station, "session", offline)
        part._dock(FolderReady(folder.path, {}))
    assert shown(part)[0] == "attention"
    assert part._watcher.asked == [(set(), 30.0)]
    part._dock(FolderReady(folder.path, {}))
    assert "locked" in shown(part)[1]
    assert site.rows("SELECT state FROM docking") == [("incomplete",)]


def test_a_folder_that_is_missing_calls_for_the_administrator_until_it_is_there(
    part: FolderPart, folder: Folder
) -> None:
    folder.path.rmdir()
    part._dock(FolderReady(folder.path, {}))
    state, why = shown(part)
    assert state == "attention"
    assert why.startswith("收件文件夹") and str(folder.path) in why
    assert part._watcher.asked == [(set(), 30.0)]
    folder.path.mkdir()
    part._dock(FolderReady(folder.path, {}))
    assert shown(part) == ("idle", "")


def test_a_retry_does_not_put_out_the_call_before_it_has_an_answer(
    part: FolderPart, folder: Folder, bad: set[bytes], tmp_path: Path
) -> None:
    lamps: list[str] = []
    part._board = Board(tmp_path / "lamps", lambda _slot, state: lamps.append(state))
    folder.path.rmdir()
    for _ in range(3):
        part._dock(FolderReady(folder.path, {}))
    assert lamps == ["idle", "attention"]


# --- files that a watched folder must not pass over in silence --------------------------------------------------------


def until_docked(part: FolderPart, site: Site, query: str, expected: list[tuple[object, ...]]) -> None:
    """What the part's thread does, until the catalogue says so."""
    end = time.monotonic() + 60
    part._watcher.start()
    try:
        while not (site.catalogue.exists() and site.rows(query) == expected):
            assert time.monotonic() < end, site.rows(query)
            for each in part._watcher.wait(1.0):
                part._dock(each)
    finally:
        part._watcher.stop()


@pytest.mark.parametrize("when", ["2400-01-01", "1901-12-14", "1970-01-01", "2262-04-12"])
def test_a_file_time_out_of_all_reason_keeps_no_file_out(
    part: FolderPart, folder: Folder, site: Site, when: str
) -> None:
    """ext4 and XFS hold times that 64 bits of nanoseconds do not; watching and reading must say the same of them."""
    make_card(folder.path, {"a.jpg": b"a"})
    at = int(datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp())
    os.utime(folder.path / "a.jpg", (at, at))
    until_docked(part, site, "SELECT outcome FROM source_file", [("stored",)])
    assert complaints(site, [b"a"]) == []


def test_a_file_whose_whole_path_is_too_long_for_the_watch_is_reported(
    part: FolderPart, folder: Folder, site: Site
) -> None:
    """The path below the folder is short enough for a card, so only the watch cannot reach it."""
    name = b"d" * 250
    levels = (4095 - len(os.fsencode(folder.path))) // (len(name) + 1)
    fd = os.open(folder.path, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=fd)
        fd, above = os.open(name, os.O_RDONLY, dir_fd=fd), fd
        os.close(above)
    rest = 4100 - len(os.fsencode(folder.path)) - levels * 251 - 1
    os.close(os.open(b"f" * rest, os.O_WRONLY | os.O_CREAT, dir_fd=fd))
    os.close(fd)
    until_docked(part, site, "SELECT outcome, why LIKE '%cannot be watched' FROM source_file", [("failed", 1)])
    assert shown(part)[0] == "attention"
