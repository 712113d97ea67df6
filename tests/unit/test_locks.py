"""Who is kept out by whom: one docking per source however it is reached, one daemon per catalogue, and the locks of both."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mediad.cli.progress import _Plain
from mediad.config import Config
from mediad.edges import files
from mediad.edges.source import SourceSet, SourceTree
from mediad.errors import Busy, StorageError
from mediad.model.custody import Draft
from mediad.model.evidence import SourceIdentity
from mediad.model.profile import DeviceFacts
from mediad.session import Session
from mediad.wiring.docking import dock_path
from mediad.wiring.station import DAEMON_LOCK, OPEN_LOCK, Station, lock_folder
from tests.support import Site, complaints, make_card, needs_root, noise, small_disk

# --- one docking per source -----------------------------------------------------------------------------------------------


@contextmanager
def docking(station: Station, folder: Path, key: str, *, identified: bool = True) -> Iterator[Session]:
    """A session over a folder, as a bay has it, with its locks held."""
    with closing(SourceSet([SourceTree(folder)], lambda: True)) as source:
        identity = SourceIdentity(key, "R1", identified=identified)
        profile = station.profile_for(DeviceFacts("storage"))
        with station.session(source, identity=identity, profile=profile, progress=_Plain("x"), where="usb:1") as held:
            yield held


def test_a_card_in_a_bay_is_not_docked_by_a_command_beside_it(site: Site, tmp_path: Path) -> None:
    """The bay knows its serial, the command only its path: it is the same folder all the same."""
    card = make_card(tmp_path / "card", {"a.mp4": noise(1_000, 1)})
    with closing(site.open()) as station, docking(station, card, "serial:R1"):
        done = site.run("ingest", card)
    assert (done.returncode, done.stderr.splitlines()[0]) == (6, f"mediad: {card} is being docked already")
    assert site.ingest_json(card)["new"] == 1, "and it is free afterwards"


def test_a_card_is_the_same_by_another_path_and_another_mount(site: Site, tmp_path: Path) -> None:
    needs_root("mounting")
    with small_disk(tmp_path / "card", 10**6) as card, closing(site.open()) as station:
        make_card(card, {"a.mp4": noise(1_000, 1)})
        (tmp_path / "link").symlink_to(card)
        second = tmp_path / "second"
        second.mkdir()
        subprocess.run(["mount", "--bind", str(card), str(second)], check=True)
        try:
            with docking(station, card, "anonymous:1", identified=False):
                for path in (card, tmp_path / "link", second):
                    with pytest.raises(Busy):
                        dock_path(station, path, _Plain("x"))
        finally:
            subprocess.run(["umount", str(second)], check=True)


def test_a_recorder_is_docked_once_also_when_it_appears_in_two_places(site: Site, tmp_path: Path) -> None:
    """An old mount of a card that was pulled and put back is another place, and the same recorder."""
    first, second = (make_card(tmp_path / name, {"a.mp4": noise(1_000, 1)}) for name in ("one", "two"))
    with closing(site.open()) as station, docking(station, first, "serial:R1"):
        with pytest.raises(Busy), docking(station, second, "serial:R1"):
            pytest.fail("two at once")
        with docking(station, second, "serial:R2"):
            pass


def test_folders_of_no_known_owner_are_docked_side_by_side(site: Site, tmp_path: Path) -> None:
    first, second = (make_card(tmp_path / name, {"a.mp4": noise(1_000, 1)}) for name in ("one", "two"))
    with closing(site.open()) as station, docking(station, first, "folder:x", identified=False):
        with docking(station, second, "folder:x", identified=False):
            pass


# --- where the locks are --------------------------------------------------------------------------------------------------


def other_state(site: Site) -> Config:
    """The same catalogue by another path, in a configuration that keeps its state elsewhere."""
    link = site.root / "by-another-path"
    link.symlink_to(site.catalogue.parent)
    section = site.config.station.model_copy(update={"state": site.root / "elsewhere"})
    catalog = site.config.catalog.model_copy(update={"url": f"sqlite:///{link}/catalog.db"})
    return site.config.model_copy(update={"station": section, "catalog": catalog})


def test_two_configurations_of_one_catalogue_meet_at_the_same_locks(site: Site, tmp_path: Path) -> None:
    """Else each would call the other's live dockings abandoned, and close them."""
    card = make_card(tmp_path / "card", {"a.mp4": noise(1_000, 1)})
    with closing(site.open()) as station:
        config = other_state(site)
        assert lock_folder(config) == lock_folder(site.config) == site.catalogue.parent / "locks-catalog.db"
        with docking(station, card, "serial:R1") as session:
            from mediad.stages import dock

            dock.open_docking(station.ledger, session.docking)
            with closing(Station(config, wait_for_space=False)) as other:
                assert other.finish_open_work().closed == []
                with pytest.raises(Busy):
                    dock_path(other, card, _Plain("x"))
    assert site.rows("SELECT state FROM docking") == [("open",)]


def test_a_catalogue_that_is_no_file_has_its_locks_in_the_state_folder(site: Site) -> None:
    catalog = site.config.catalog.model_copy(update={"url": "postgresql://db/mediad"})
    config = site.config.model_copy(update={"catalog": catalog})
    assert lock_folder(config) == site.root / "var/locks"


def test_a_lock_folder_that_cannot_be_made_is_told_in_one_sentence(site: Site) -> None:
    site.catalogue.parent.mkdir(parents=True)
    (site.catalogue.parent / "locks-catalog.db").write_text("a file is in the way")
    done = site.run("ingest", site.root)
    assert done.returncode == 5
    assert "Traceback" not in done.stderr
    assert "locks-catalog.db" in done.stderr
    assert "  -> " in done.stderr


@pytest.fixture
def others_may_enter() -> Iterator[Path]:
    """A folder that every user may enter; those of pytest are for their owner alone."""
    folder = Path(tempfile.mkdtemp(prefix="md-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_lock_that_another_user_left_is_asked_and_taken(others_may_enter: Path) -> None:
    """A command that was run as root leaves its locks behind; they are free, and the service user may know and take them."""
    needs_root("becoming another user")
    lock = others_may_enter / "a.lock"
    before = os.umask(0o077)
    try:
        with files.locked(lock, busy=""):
            pass
    finally:
        os.umask(before)
    child = os.fork()
    if child == 0:
        try:
            os.setuid(65534)
            free = files.lock_is_free(lock)
            with files.locked(lock, busy=""):
                os._exit(0 if free else 2)
        except BaseException:
            os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_lock_that_cannot_be_opened_is_a_storage_error_with_a_hint(tmp_path: Path) -> None:
    loop = tmp_path / "a.lock"
    loop.symlink_to(loop)
    for act in (lambda: files.lock_is_free(loop), lambda: files.locked(loop, busy="").__enter__()):
        with pytest.raises(StorageError, match="locking") as e:
            act()
        assert e.value.hint


def test_a_lock_whose_name_was_taken_away_while_it_was_waited_for_is_taken_anew(tmp_path: Path) -> None:
    """Its holder deletes it: a lock on the deleted file would keep nobody out."""
    lock = tmp_path / "a.lock"
    with files.locked(lock, busy=""):
        lock.unlink()
        with files.locked(lock, busy=""):
            assert not files.lock_is_free(lock)
    fd = os.open(lock, os.O_RDONLY)
    real, calls = fcntl.flock, []

    def deletes_first(where: int, how: int) -> None:
        if not calls:
            lock.unlink()
        calls.append(how)
        real(where, how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcntl, "flock", deletes_first)
        with files.locked(lock, busy=""):
            assert os.path.exists(lock)
            assert not files.lock_is_free(lock)
    assert len(calls) >= 2
    os.close(fd)


# --- a lock file that was deleted -----------------------------------------------------------------------------------------


def test_a_docking_whose_lock_file_was_deleted_is_not_closed_while_its_process_lives(
    site: Site, tmp_path: Path
) -> None:
    """Somebody clears the lock folder away while a recorder is docked; a command beside it must not take the docking up."""
    from mediad.stages import dock

    card = make_card(tmp_path / "card", {"a.mp4": noise(1_000, 1)})
    with closing(site.open()) as station:
        with docking(station, card, "serial:R1") as session:
            dock.open_docking(station.ledger, session.docking)
            shutil.rmtree(lock_folder(site.config))
            with closing(site.open()) as other:
                assert other.finish_open_work().closed == []
            assert station.finish_open_work().closed == []
        assert site.rows("SELECT state FROM docking") == [("open",)]
    with closing(site.open()) as alone:
        assert len(alone.finish_open_work().closed) == 1
    assert complaints(site) == []


def test_a_docking_without_a_lock_file_is_closed_by_the_next_who_is_alone(site: Site) -> None:
    """The power took the lock file: nobody else is here, so nobody works on it."""
    identity = {"recorder": "serial:R1", "recorder_id": None, "label": "R1", "registered": False, "slot": "", "source": "x",
                "channel": "body-camera", "profile": "generic", "officer": "", "continues": None, "said": None,
                "zones": {}}  # fmt: skip
    with closing(site.open()) as station:
        station.ledger.record([Draft("docking.opened", "dck-20260101t000000z-aaaaaaaaaaaaaaaa", identity)])
    with closing(site.open()) as station:
        assert station.finish_open_work().closed == ["dck-20260101t000000z-aaaaaaaaaaaaaaaa"]


# --- one daemon per catalogue ---------------------------------------------------------------------------------------------


def test_a_second_daemon_on_one_catalogue_is_told_so_and_leaves_the_board_alone(site: Site) -> None:
    board = site.config.runtime / "slots.json"
    with closing(site.open()), files.locked(lock_folder(site.config) / DAEMON_LOCK, busy=""):
        done = site.run("run")
    assert done.returncode == 6
    assert done.stderr.splitlines()[0] == "mediad: another `mediad run` works on this catalogue already"
    assert not board.exists()


def test_a_rebuild_beside_a_daemon_whose_catalogue_was_taken_away_is_refused(site: Site, tmp_path: Path) -> None:
    """The file is gone, so nobody has it open; but who docks into the old one is still at it."""
    site.ingest(make_card(tmp_path / "card", {"a.mp4": noise(1_000, 1)}))
    for part in site.catalogue.parent.glob("catalog.db*"):
        part.unlink()
    with files.locked(lock_folder(site.config) / DAEMON_LOCK, busy=""):
        assert site.run("rebuild").returncode == 6
    assert site.run("rebuild").returncode == 0


# --- a rebuild keeps writers out ------------------------------------------------------------------------------------------


def test_a_rebuild_keeps_writers_out_while_it_runs(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wants to write waits at the opening, and finds the new catalogue: nothing goes into the old one meanwhile."""
    from mediad.stages import rebuild as stage
    from mediad.wiring import audit, station

    site.ingest(make_card(tmp_path / "card", {"a.mp4": noise(1_000, 1)}))
    monkeypatch.setattr(station, "OPEN_SECONDS", 0.0)
    looked: list[str] = []

    def while_it_runs(name: str, real: object) -> object:
        def step(*arguments: object, **more: object) -> object:
            with pytest.raises(Busy):
                site.open()
            looked.append(name)
            return real(*arguments, **more)  # type: ignore[operator]

        return step

    for name in ("check_log", "play", "adopt", "note_rebuilt"):
        monkeypatch.setattr(stage, name, while_it_runs(name, getattr(stage, name)))
    audit.rebuild(site.config, "", lambda _n: None, replace=True)
    assert looked == ["check_log", "play", "adopt", "note_rebuilt"]
    assert files.lock_is_free(lock_folder(site.config) / OPEN_LOCK)
    assert not [p for p in site.catalogue.parent.iterdir() if "rebuilding" in p.name]
    site.open().close()
