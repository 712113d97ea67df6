"""Drop folders docked again and again: what cannot be taken is on record, once, and makes no docking of its own at every look."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mediad.cli.progress import _Plain
from mediad.config import Folder
from mediad.edges.board import Board
from mediad.edges.folders import FolderReady
from mediad.edges.source import SourceTree
from mediad.errors import Refused
from mediad.model.evidence import DockingState, Rejected
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
    profile = 'name = "drop"\nattach = "folder"\n[layout]\nexclude = ["lost+found"]\n'
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
