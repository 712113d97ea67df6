"""A catalogue of an older version with everything in it: after the upgrade it is what a rebuild from the log would make."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from mediad.catalog import db, tables
from tests.audit_support import copy_site, fsck, furnish
from tests.support import Site


def made_older(site: Site, version: str) -> None:
    """Put a catalogue of an older version with the same facts in the place of the site's: its tables are made by the migrations
    up to that version, and hold the columns that they had then."""
    older = site.catalogue.with_name("older.db")
    config = Config()
    config.set_main_option("script_location", str(db.MIGRATIONS))
    config.attributes["url"] = f"sqlite:///{older}"
    command.upgrade(config, version)
    with closing(sqlite3.connect(older, isolation_level=None)) as old:
        old.execute("PRAGMA foreign_keys=OFF")
        old.execute("ATTACH ? AS new", (str(site.catalogue),))
        there = {row[0] for row in old.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")}
        for table in (*(t.name for t in tables.metadata.sorted_tables),):
            if table in there:
                columns = ", ".join(f'"{row[1]}"' for row in old.execute(f'PRAGMA main.table_info("{table}")'))
                old.execute(f'INSERT INTO main."{table}" ({columns}) SELECT {columns} FROM new."{table}"')
        old.execute("DETACH new")
    site.lose_catalogue()
    shutil.move(older, site.catalogue)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A station that has seen much, and nothing that the older version did not know."""
    return furnish(tmp_path_factory.mktemp("upgrade"), looked_into_too=False)


def facts(site: Site) -> dict[str, list[str]]:
    return {t.name: sorted(map(repr, site.rows(f'SELECT * FROM "{t.name}"'))) for t in tables.FACTS}


def test_an_upgraded_catalogue_is_what_a_rebuild_makes_of_its_log(template: Site, tmp_path: Path) -> None:
    """Also what is due: everything that is stored is to be looked into."""
    upgraded = copy_site(template, tmp_path / "upgraded")
    made_older(upgraded, "0001")
    upgraded.open().close()
    assert upgraded.rows("SELECT version_num FROM alembic_version") == [(db.SCHEMA,)]
    assert fsck(upgraded).findings == []
    rebuilt = copy_site(template, tmp_path / "rebuilt")
    rebuilt.catalogue.unlink()
    assert rebuilt.run("rebuild").returncode == 0
    wanted = facts(rebuilt)
    wanted.pop("alarm"), wanted.pop("station")
    found = facts(upgraded)
    assert {name: found[name] for name in wanted} == wanted
    due = "SELECT stage, subject FROM due ORDER BY stage, subject"
    assert upgraded.rows(due) == rebuilt.rows(due)
    assert upgraded.rows(due)
