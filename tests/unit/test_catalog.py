"""The catalogue: one writer, whole transactions, and tables that are what the migrations make."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, event, insert, select, text

from mediad.catalog import db, evidence, record, tables
from mediad.catalog.db import Catalog
from mediad.catalog.ledger import Ledger
from mediad.errors import Busy, CatalogError, MediadError, Refused, Stopping
from mediad.model import custody
from mediad.model.custody import Draft, Event

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'catalog.db'}"


@pytest.fixture
def catalog(url: str) -> Iterator[Catalog]:
    db.migrate(url)
    with closing(Catalog(url)) as opened:
        yield opened


@pytest.fixture
def ledger(catalog: Catalog) -> Ledger:
    return Ledger(catalog, "test-01", "keeper", lambda: NOW)


def events(catalog: Catalog) -> list[Event]:
    with catalog.read() as conn:
        return [Event(*row) for row in conn.execute(select(tables.custody).order_by(tables.custody.c.seq))]


def named(port: str) -> Draft:
    return Draft("slot.named", port, {"name": port.upper()})


# --- migrations ---------------------------------------------------------------------------------------------------------


def test_the_migrations_make_the_tables_of_the_code(url: str) -> None:
    db.migrate(url)
    engine = create_engine(url)
    with engine.connect() as conn:
        assert compare_metadata(MigrationContext.configure(conn), tables.metadata) == []
    engine.dispose()


def test_the_version_needed_is_the_newest_migration() -> None:
    versions = Path(db.__file__).parent / "migrations/versions"
    assert max(p.stem.split("_")[0] for p in versions.glob("0*.py")) == db.SCHEMA


def test_migrating_twice_changes_nothing(url: str) -> None:
    db.migrate(url)
    db.migrate(url)
    assert db.exists(url)


def test_no_file_and_an_empty_file_are_no_catalogue(url: str, tmp_path: Path) -> None:
    assert not db.exists(url)
    (tmp_path / "catalog.db").touch()
    assert not db.exists(url)
    with pytest.raises(CatalogError, match="there is no catalogue"):
        Catalog(url)
    db.migrate(url)
    assert db.exists(url)


def test_a_log_left_by_a_lost_catalogue_is_not_played_into_a_new_one(url: str, tmp_path: Path) -> None:
    """Its -wal would be taken for the new database's own; it is set aside, not deleted."""
    db.migrate(url)
    with closing(Catalog(url)) as old:
        Ledger(old, "old", "x", lambda: NOW).record([named("a")])
        kept = {p.name: p.read_bytes() for p in tmp_path.glob("catalog.db*")}
    (tmp_path / "catalog.db").unlink()
    (tmp_path / "catalog.db-wal").write_bytes(kept["catalog.db-wal"])
    db.migrate(url)
    with closing(Catalog(url)) as new:
        assert events(new) == []
    assert (tmp_path / "catalog.db.stray-wal").read_bytes() == kept["catalog.db-wal"]


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 5_000])
def test_a_damaged_file_is_refused_and_left_as_it_is(url: str, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "catalog.db").write_bytes(content)
    with pytest.raises(CatalogError):
        Catalog(url)
    assert (tmp_path / "catalog.db").read_bytes() == content


def test_a_catalogue_of_another_version_is_refused(url: str) -> None:
    db.migrate(url)
    engine = create_engine(url)
    with engine.begin() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(CatalogError, match="version 9999, this program needs"):
        Catalog(url)


# --- writing ------------------------------------------------------------------------------------------------------------


def test_a_write_that_returned_is_there_and_durable_settings_hold(catalog: Catalog, ledger: Ledger) -> None:
    ledger.record([named("a")])
    with catalog.read() as conn:
        assert conn.execute(select(tables.slot.c.name)).scalars().all() == ["A"]
    pragmas = catalog.write(
        lambda conn: [
            conn.exec_driver_sql(f"PRAGMA {p}").scalar() for p in ("journal_mode", "synchronous", "foreign_keys")
        ]
    )
    assert pragmas == ["wal", 2, 1]


def _together(catalog: Catalog, works: list[object]) -> list[object]:
    """Hand in several functions while the writer is busy, so that they share its next transaction."""
    busy, go_on = threading.Event(), threading.Event()
    answers: list[object] = [None] * len(works)

    def hold(_conn: Connection) -> None:
        busy.set()
        go_on.wait(30)

    def hand_in(n: int) -> None:
        try:
            answers[n] = catalog.write(works[n])  # type: ignore[arg-type]
        except Exception as e:
            answers[n] = e

    holder = threading.Thread(target=catalog.write, args=(hold,))
    holder.start()
    busy.wait(30)
    threads = []
    for n in range(len(works)):
        threads.append(threading.Thread(target=hand_in, args=(n,)))
        threads[-1].start()
        while catalog._jobs.qsize() <= n:
            threads[-1].join(0.001)
    go_on.set()
    for t in [holder, *threads]:
        t.join(30)
    return answers


def _name(port: str) -> object:
    return lambda conn: conn.execute(insert(tables.slot).values(port=port, name=port)).rowcount


def _fails(error: Exception) -> object:
    def work(conn: Connection) -> None:
        conn.execute(insert(tables.slot).values(port="never", name="never"))
        raise error

    return work


def test_functions_handed_in_together_share_one_commit(catalog: Catalog) -> None:
    commits: list[int] = []
    event.listen(catalog._writer, "commit", lambda _conn: commits.append(1))
    assert _together(catalog, [_name(p) for p in "abcdef"]) == [1] * 6
    assert len(commits) == 2, "the one that held the writer, and one for all six"


@pytest.mark.parametrize("error", [Refused("no"), KeyError("x"), ValueError("y")], ids=lambda e: type(e).__name__)
def test_one_that_fails_is_undone_alone(catalog: Catalog, error: Exception) -> None:
    answers = _together(catalog, [_name("a"), _fails(error), _name("b")])
    assert answers == [1, error, 1]
    with catalog.read() as conn:
        assert conn.execute(select(tables.slot.c.port).order_by(tables.slot.c.port)).scalars().all() == ["a", "b"]


def test_one_that_breaks_a_rule_of_the_tables_is_undone_alone(catalog: Catalog) -> None:
    """A fault in one docking's work must not undo another's."""
    answers = _together(catalog, [_name("a"), _name("a"), _name("b")])
    assert answers[0] == answers[2] == 1
    assert isinstance(answers[1], CatalogError)
    assert "damaged" not in str(answers[1])
    with catalog.read() as conn:
        assert conn.execute(select(tables.slot.c.port).order_by(tables.slot.c.port)).scalars().all() == ["a", "b"]


def test_readers_cannot_write(catalog: Catalog) -> None:
    with pytest.raises(CatalogError, match="readonly"), catalog.read() as conn:
        conn.execute(insert(tables.slot).values(port="a", name="a"))


def test_a_reader_sees_one_state_while_the_writer_goes_on(catalog: Catalog, ledger: Ledger) -> None:
    with catalog.read() as conn:
        assert record.head(conn)[0] == 0
        ledger.record([named("a")])
        assert record.head(conn)[0] == 0
    with catalog.read() as conn:
        assert record.head(conn)[0] == 1


def test_another_process_that_writes_for_long_makes_it_busy(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And when that one is done, the same call succeeds."""
    db.migrate(url)
    monkeypatch.setattr(db, "BUSY_SECONDS", 0.05)
    with (
        closing(Catalog(url)) as catalog,
        closing(sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy) as caught:
            catalog.write(lambda _conn: None)
        assert caught.value.retry == "later"
        other.execute("COMMIT")
        catalog.check()


def test_a_closed_catalogue_finishes_what_was_handed_in_and_takes_no_more(url: str) -> None:
    db.migrate(url)
    catalog = Catalog(url)
    catalog.write(_name("a"))  # type: ignore[arg-type]
    catalog.close()
    catalog.close()
    with pytest.raises(Stopping, match="closed"):
        catalog.write(_name("b"))  # type: ignore[arg-type]
    with pytest.raises(Stopping, match="closed"), catalog.read():
        pytest.fail("it was read")


def test_a_write_that_races_the_close_is_done_or_refused_and_never_hangs(url: str) -> None:
    """Many threads write while the catalogue is closed: each write is durable or raises, and every thread ends."""
    db.migrate(url)
    catalog = Catalog(url)
    said: list[str] = []

    def writer(n: int) -> None:
        for m in range(1_000_000):
            try:
                catalog.write(_name(f"{n}-{m}"))  # type: ignore[arg-type]
            except Stopping:
                return
            said.append(f"{n}-{m}")

    threads = [threading.Thread(target=writer, args=(n,), daemon=True) for n in range(8)]
    for thread in threads:
        thread.start()
    while len(said) < 8:
        threads[0].join(0.01)
    catalog.close()
    for thread in threads:
        thread.join(30)
    assert not any(t.is_alive() for t in threads)
    again = Catalog(url)
    with again.read() as conn:
        assert {row[0] for row in conn.exec_driver_sql("SELECT port FROM slot")} == set(said)
    again.close()


def test_nothing_is_handed_in_behind_the_end(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that has looked, and is held up before it hands its work in, while the catalogue is closed beside it."""
    db.migrate(url)
    catalog = Catalog(url)
    at_it, go_on = threading.Event(), threading.Event()
    real = db._Job

    def slow(work: object) -> object:
        at_it.set()
        go_on.wait(30)
        return real(work)  # type: ignore[arg-type]

    ends: list[object] = []

    def write() -> None:
        try:
            ends.append(catalog.write(_name("late")))  # type: ignore[arg-type]
        except MediadError as e:
            ends.append(type(e))

    monkeypatch.setattr(db, "_Job", slow)
    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    assert at_it.wait(30)
    catalog.close()
    go_on.set()
    thread.join(30)
    assert ends == [Stopping]


def test_a_catalogue_moved_away_while_it_is_open_is_not_healthy_and_takes_nothing(url: str, tmp_path: Path) -> None:
    """What is written into a file that nobody finds again would be lost; put back, it goes on."""
    db.migrate(url)
    catalog = Catalog(url)
    catalog.check()
    path = db.sqlite_path(url)
    assert path is not None
    path.rename(tmp_path / "away.db")
    for stands_there in (False, True):
        if stands_there:
            path.write_bytes(b"another file")
        with pytest.raises(CatalogError, match="moved away"):
            catalog.check()
        with pytest.raises(CatalogError, match="moved away"):
            catalog.write(_name("a"))  # type: ignore[arg-type]
    (tmp_path / "away.db").rename(path)
    catalog.check()
    catalog.close()


# --- facts --------------------------------------------------------------------------------------------------------------


def test_events_are_chained_and_applied_in_one_transaction(catalog: Catalog, ledger: Ledger) -> None:
    ledger.record([named("a"), named("b")])
    ledger.record([named("a")])
    found = events(catalog)
    assert [e.seq for e in found] == [1, 2, 3]
    assert custody.check_chain(found, station="test-01") is None
    assert {e.actor for e in found} == {"keeper"}


@pytest.mark.parametrize(
    "bad",
    [
        Draft("slot.named", "x", {}),
        Draft("docking.listed", "dck-of-nobody", {"files": [
            {"volume": "", "path": "x", "path_b64": "eA==", "size": 1, "mtime_ns": 0}], "known": []}),
        Draft("slot.named", "x", {"name": float("nan")}),
        Draft("slot.named", "x", {"name": "\udcff"}),
    ],
    ids=["a detail without its fields", "a row without its parent", "no JSON", "no text"],
)  # fmt: skip
def test_an_event_that_cannot_be_applied_is_not_in_the_log_either(catalog: Catalog, ledger: Ledger, bad: Draft) -> None:
    ledger.record([named("a")])
    with pytest.raises((CatalogError, KeyError, ValueError)):
        ledger.record([named("b"), bad])
    assert [e.subject for e in events(catalog)] == ["a"]
    ledger.record([named("c")])
    assert custody.check_chain(events(catalog), station="test-01") is None
    with catalog.read() as conn:
        assert set(conn.execute(select(tables.slot.c.port)).scalars()) == {"a", "c"}


def test_what_goes_along_with_an_event_stands_or_falls_with_it(catalog: Catalog, ledger: Ledger) -> None:
    def also(conn: Connection) -> None:
        conn.execute(insert(tables.slot).values(port="p", name="p"))
        raise Refused("no")

    with pytest.raises(Refused):
        ledger.record([named("a")], also=also)
    assert events(catalog) == []


def test_an_unknown_kind_is_kept_in_the_log_and_changes_no_table(catalog: Catalog, ledger: Ledger) -> None:
    """An older program rebuilds what it understands of a newer one's log."""
    ledger.record([Draft("hologram.made", "x", {"y": 1}), named("a")])
    assert [e.kind for e in events(catalog)] == ["hologram.made", "slot.named"]


def test_many_threads_make_one_chain_without_a_gap(catalog: Catalog, ledger: Ledger) -> None:
    def write(n: int) -> None:
        for m in range(10):
            ledger.record([named(f"{n}-{m}"), named(f"{n}-{m}+")])

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    found = events(catalog)
    assert len(found) == 160
    assert custody.check_chain(found, station="test-01") is None


def test_the_log_applied_anew_gives_the_same_tables(catalog: Catalog, ledger: Ledger, tmp_path: Path) -> None:
    ledger.record([named("a"), named("b"), Draft("slot.named", "a", {"name": "again"})])
    other = f"sqlite:///{tmp_path / 'other.db'}"
    db.migrate(other)
    with closing(Catalog(other)) as copy:

        def replay(conn: Connection) -> None:
            record.append(conn, events(catalog))
            record.apply(conn, events(catalog))

        copy.write(replay)
        with catalog.read() as one, copy.read() as two:
            for table in (*tables.FACTS, tables.custody):
                assert one.execute(select(table)).all() == two.execute(select(table)).all()


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)),
    st.integers(0, 10**9),
    st.integers(-14, 14),
)
def test_stamps_sort_as_text_and_read_back(at: datetime, later: int, hours: int) -> None:
    local = at.astimezone(timezone(timedelta(hours=hours)))
    assert record.stamp(local) == record.stamp(at)
    assert datetime.fromisoformat(record.stamp(at)) == at
    assert record.stamp(at) <= record.stamp(at + timedelta(microseconds=later))


def test_dockings_are_in_the_order_in_which_they_were_opened_whatever_the_clock_said(tmp_path: Path) -> None:
    """A clock that is set back must not hide the newest docking: `continues` is read from it."""
    url = f"sqlite:///{tmp_path}/c.db"
    db.migrate(url)
    times = [datetime(2026, 5, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)]
    opened = {"recorder": "serial:R1", "recorder_id": None, "said": None, "zones": {}, "label": "R1",
              "registered": False, "slot": "", "source": "x",
              "channel": "body-camera", "profile": "generic", "officer": "", "continues": None}  # fmt: skip
    ended = {"state": "interrupted", "ended_at": "", "findings": [], "handover": {"key": "k", "sha256": "0"},
             "counts": {"new": 0, "sightings": 0, "skipped": 0, "failed": 0, "bytes": 0}}  # fmt: skip
    with closing(db.Catalog(url)) as catalog:
        for n, at in enumerate(times):
            ledger = Ledger(catalog, "s", "me", lambda at=at: at)
            ledger.record([Draft("docking.opened", f"dck-{n}", opened), Draft("docking.closed", f"dck-{n}", ended)])
        with catalog.read() as conn:
            assert evidence.last_docking(conn, "serial:R1").id == "dck-2"
            assert [row.id for row in evidence.dockings(conn, 2)] == ["dck-2", "dck-1"]
