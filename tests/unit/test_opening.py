"""Opening a station: by its own user, on its own disk, with nobody rebuilding, from whatever older version."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mediad.catalog import db
from mediad.edges import mountinfo
from mediad.errors import Busy, CatalogError, IntegrityError, Refused, VaultOffline
from mediad.wiring import audit
from mediad.wiring import station as opening
from mediad.wiring.station import Station
from tests.support import Site, complaints, make_card, needs_root, noise

DATA = noise(1_000, 1)


@pytest.fixture
def used(site: Site, tmp_path: Path) -> Site:
    """A station that has taken a card."""
    site.ingest(make_card(tmp_path / "card", {"a.mp4": DATA}))
    return site


# --- by its own user --------------------------------------------------------------------------------------------------------


@contextmanager
def given_to(uid: int, path: Path) -> Iterator[None]:
    os.chown(path, uid, -1)
    try:
        yield
    finally:
        os.chown(path, os.geteuid(), -1)


def test_a_command_run_as_another_user_writes_nothing(used: Site, tmp_path: Path) -> None:
    """What root writes into the vault the service could never read again; only looking is allowed."""
    needs_root("giving a file away")
    before = sorted(used.root.rglob("*"))
    with given_to(65534, used.catalogue):
        for command in (
            ["ingest", tmp_path / "card"],
            ["recorder", "add", "X1"],
            ["rebuild", "--replace"],
            ["catalog", "upgrade"],
        ):
            done = used.run(*command)
            assert done.returncode == 4, (command, done.stderr)
            assert "sudo -u nobody mediad" in done.stderr
        assert used.run("status").returncode == 0
    assert sorted(used.root.rglob("*")) == before


def test_root_makes_no_catalogue_in_another_users_folder(site: Site) -> None:
    needs_root("giving a folder away")
    site.catalogue.parent.mkdir(parents=True)
    with given_to(65534, site.catalogue.parent), pytest.raises(Refused, match="belongs to the user nobody"):
        site.open()
    site.open().close()


# --- on its own disk --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("behind", [".", "station"])
def test_no_station_is_founded_where_a_disk_is_meant_to_be_mounted(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, behind: str
) -> None:
    """The vault's disk did not come up and the catalogue is gone too: that is no new station."""
    point = site.vault.parent if behind == "station" else site.vault
    fstab = tmp_path / "fstab"
    fstab.write_text(f"# a comment\nUUID=1-2 {point} ext4 defaults 0 2\n\n/dev/sdz none swap sw 0 0\n")
    monkeypatch.setattr(mountinfo, "FSTAB", fstab)
    site.vault.mkdir(parents=True)
    with pytest.raises(VaultOffline, match=f"nothing is mounted at {point}"):
        site.open()
    assert not site.catalogue.exists()
    assert list(site.vault.iterdir()) == []
    fstab.write_text("")
    site.open().close()


def test_a_mount_unit_of_systemd_counts_like_a_line_of_fstab(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "units").mkdir()
    (tmp_path / "units/srv.mount").write_text(f"[Mount]\nWhat=/dev/sdz\nWhere={site.vault}\n")
    monkeypatch.setattr(mountinfo, "UNITS", tmp_path / "units")
    with pytest.raises(VaultOffline, match="nothing is mounted"):
        site.open()


def test_what_is_mounted_is_not_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fstab = tmp_path / "fstab"
    fstab.write_text("proc /proc proc defaults 0 0\n")
    monkeypatch.setattr(mountinfo, "FSTAB", fstab)
    assert mountinfo.missing(Path("/proc/self")) is None


# --- with nobody rebuilding ---------------------------------------------------------------------------------------------------


def elsewhere(site: Site) -> Site:
    """The same vault and station in a configuration with another catalogue."""
    other = Site(site.root.with_name("other"))
    other.root.mkdir()
    text = site.config_file.read_text().replace('path = "var/vault"', f'path = "{site.vault}"')
    other.config_file.write_text(text)
    return other


def test_a_rebuild_into_another_catalogue_does_not_take_a_live_vault_over(used: Site) -> None:
    with closing(used.open()), pytest.raises(Busy, match="vault local is in use"):
        audit.rebuild(elsewhere(used).config, "", lambda _n: None, replace=False)
    assert not (used.root.with_name("other") / "var/catalog.db").exists()


def test_a_station_is_not_opened_on_a_vault_from_which_another_catalogue_is_rebuilt(
    used: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mediad.stages import rebuild as stage

    tried: list[str] = []
    real = stage.play

    def play(*arguments: object) -> object:
        with pytest.raises(Busy, match="is being rebuilt"):
            used.open()
        tried.append("play")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(stage, "play", play)
    audit.rebuild(elsewhere(used).config, "", lambda _n: None, replace=False)
    assert tried == ["play"]
    with pytest.raises(IntegrityError, match="the catalogue ends before it"):
        used.open()  # the vault's log goes on in the other one


def test_a_station_whose_mirror_tells_another_story_says_that_it_is_not_ready(used: Site) -> None:
    """Two catalogues on one vault after all: the one that lost must not look well."""
    from mediad.model.custody import Draft

    with closing(used.open()) as station:
        other = elsewhere(used)
        shutil.copytree(used.catalogue.parent, other.catalogue.parent, ignore=shutil.ignore_patterns("vault", "locks*"))
        with closing(other.open()) as fork:
            fork.ledger.record([Draft("slot.named", "1-1", {"name": "here"})])
            fork.parts.mirror()
        assert station.parts.untrue is None
        station.ledger.record([Draft("slot.named", "1-1", {"name": "there"})])
        with pytest.raises(IntegrityError):
            station.parts.mirror()
        assert isinstance(station.parts.untrue, IntegrityError)


# --- from an older version ------------------------------------------------------------------------------------------------------

NOW = db.SCHEMA
NEWER = """
from alembic import op
import sqlalchemy as sa
revision, down_revision, branch_labels, depends_on = "9999", "{before}", None, None
def upgrade():
    op.create_table("more", sa.Column("id", sa.Integer, primary_key=True))
    {more}
"""


@pytest.fixture
def newer(used: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The program is a newer one, with one more migration; returns that migration's file."""
    folder = tmp_path / "migrations"
    shutil.copytree(db.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    step = folder / "versions/9999_more.py"
    step.write_text(NEWER.format(before=NOW, more=""))
    monkeypatch.setattr(db, "MIGRATIONS", folder)
    monkeypatch.setattr(db, "SCHEMA", "9999")
    return step


def version_of(path: Path) -> str:
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        version: str = file.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    return version


@pytest.mark.usefixtures("newer")
def test_an_older_catalogue_is_upgraded_by_the_next_start_and_a_copy_stays(used: Site) -> None:
    """An update of the package must not stop every station until somebody comes."""
    events = used.rows("SELECT count(*) FROM custody")
    used.open().close()
    copy = used.catalogue.with_name(f"catalog.db.version-{NOW}")
    assert (version_of(used.catalogue), version_of(copy)) == ("9999", NOW)
    with closing(sqlite3.connect(copy)) as file:
        assert file.execute("SELECT count(*) FROM custody").fetchall() == events
    assert complaints(used, [DATA]) == []
    assert not [p for p in used.catalogue.parent.iterdir() if "copying" in p.name]


@pytest.mark.usefixtures("newer")
def test_the_command_upgrades_under_the_same_locks(used: Site) -> None:
    with closing(sqlite3.connect(used.catalogue)):
        opening.upgrade(used.config)
    assert version_of(used.catalogue) == "9999"
    assert used.catalogue.with_name(f"catalog.db.version-{NOW}").exists()
    opening.upgrade(used.config)
    assert not used.catalogue.with_name(f"catalog.db.version-{NOW}-2").exists(), "there was nothing to do"


def test_a_catalogue_at_which_an_older_program_works_is_not_upgraded(
    used: Site, request: pytest.FixtureRequest
) -> None:
    with closing(used.open()):
        request.getfixturevalue("newer")
        for act in (used.open, lambda: opening.upgrade(used.config)):
            with pytest.raises(Busy, match="another process works on it"):
                act()
    assert version_of(used.catalogue) == NOW


def test_an_upgrade_that_fails_leaves_the_catalogue_as_it_was(used: Site, newer: Path) -> None:
    newer.write_text(NEWER.format(before=NOW, more='raise RuntimeError("halfway")'))
    with pytest.raises(RuntimeError):
        used.open()
    assert version_of(used.catalogue) == NOW
    assert used.rows("SELECT name FROM sqlite_master WHERE name = 'more'") == []


@pytest.mark.usefixtures("used")
def test_a_catalogue_of_a_newer_program_is_left_alone(site: Site) -> None:
    with closing(sqlite3.connect(site.catalogue)) as file, file:
        file.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(CatalogError, match="version 9999"):
        Station(site.config, wait_for_space=False)
    with pytest.raises(CatalogError, match="version 9999"):
        opening.upgrade(site.config)


# --- what is asked again while it runs --------------------------------------------------------------------------------------------


def test_a_slot_that_is_named_while_the_daemon_runs_is_shown_by_its_name_after_the_next_pass(site: Site) -> None:
    from mediad.edges.board import Board
    from mediad.wiring.bureau.equipment import name_slot
    from mediad.wiring.daemon import Names

    told: list[str] = []
    board = Board(site.config.runtime, lambda name, _state: told.append(name), lambda _text: None)
    with closing(site.open()) as station:
        station.each_pass = Names(station, board).renew
        station.finish_open_work()
        assert board.views() == []
        name_slot(site.config, "1-2", "3号")
        station.finish_open_work()
        station.finish_open_work()
    assert [(view.port, view.name) for view in board.views()] == [("1-2", "3号")]
    assert told == ["3号"], "lamps are told of what is new, not at every pass"
