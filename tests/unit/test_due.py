"""What is due behind an ingest: it comes with the fact, one worker has it, and nothing that happens to a worker loses it."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mediad.catalog import due
from mediad.catalog import tables as t
from mediad.catalog.ledger import Ledger
from mediad.model.backoff import put_off
from mediad.model.custody import Draft
from mediad.model.instants import stamp
from mediad.wiring.station import open_ledger
from tests.support import Site, make_card, noise

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
FILES = {f"DCIM/2026_1101_08000{n}_000{n}A.mp4": b"\0\0\0\x18ftypmp42" + noise(3_000, n) for n in range(4)}


@pytest.fixture
def docked(site: Site, tmp_path: Path) -> Iterator[Ledger]:
    """A catalogue with one docking of four files."""
    site.ingest(make_card(tmp_path / "card", dict(FILES)))
    ledger = open_ledger(site.config)
    with closing(ledger.catalog):
        yield ledger


def take(
    ledger: Ledger, stage: str, owner: str, *, now: datetime = NOW, live: set[str] | None = None, **more: Any
) -> list[str]:
    def work(conn: Any) -> list[str]:
        rows = due.waiting(conn, stage, now, live=(live or set()) | {owner}, **{"limit": 10, **more})
        due.take(conn, rows, owner, now, put_off)
        return [row.subject for row in rows]

    return ledger.catalog.write(work)


def rows(ledger: Ledger, stage: str, *names: str) -> list[tuple[Any, ...]]:
    """Columns of what is due of a stage, in order of subjects."""
    with ledger.catalog.read() as conn:
        found = conn.execute(t.due.select().where(t.due.c.stage == stage).order_by(t.due.c.subject))
        return [tuple(getattr(row, name) for name in names) for row in found]


def probed(ledger: Ledger, assets: list[str], docking: str, kind: str = "video") -> None:
    ledger.record([Draft("asset.probed", a, {"docking": docking, "probe": {"kind": kind}}) for a in assets])


def docking_of(ledger: Ledger) -> str:
    with ledger.catalog.read() as conn:
        return str(conn.execute(t.docking.select()).one().id)


def test_every_stored_original_is_due_for_its_probe_and_its_docking_waits_for_all_of_them(docked: Ledger) -> None:
    """Takes are found once, when everything of a docking is known, and not piece by piece."""
    assets, docking = take(docked, due.PROBE, "a"), docking_of(docked)
    assert len(assets) == 4
    probed(docked, assets[:3], docking)
    assert take(docked, due.ASSEMBLE, "a") == [], "one is still being probed"
    probed(docked, assets[3:], docking)
    assert take(docked, due.ASSEMBLE, "a") == [docking]


def test_a_probe_that_is_put_off_does_not_keep_its_docking_waiting(docked: Ledger) -> None:
    assets, docking = take(docked, due.PROBE, "a"), docking_of(docked)
    probed(docked, assets[1:], docking)
    docked.catalog.write(
        lambda conn: due.later(conn, due.PROBE, assets[0], "a", NOW + timedelta(hours=1), "its disk is offline")
    )
    assert take(docked, due.ASSEMBLE, "a") == [docking]
    assert take(docked, due.PROBE, "a") == []
    assert take(docked, due.PROBE, "b", now=NOW + timedelta(hours=2)) == [assets[0]]


def test_what_one_worker_has_no_other_takes_until_it_is_dead(docked: Ledger) -> None:
    mine = take(docked, due.PROBE, "a", limit=3)
    assert len(mine) == 3
    rest = take(docked, due.PROBE, "b", live={"a"})
    assert len(rest) == 1
    assert not set(mine) & set(rest)
    assert take(docked, due.PROBE, "b", live={"a"}, now=NOW + timedelta(days=9)) == []
    assert take(docked, due.PROBE, "b", live=set()) == [], "a killed worker's work is put off: it may kill again"
    assert sorted(take(docked, due.PROBE, "b", now=NOW + put_off(1))) == sorted(mine)


def test_a_worker_that_ends_in_order_leaves_everything_as_it_was(docked: Ledger) -> None:
    mine = take(docked, due.PROBE, "a")
    docked.catalog.write(lambda conn: due.give_back(conn, "a"))
    assert rows(docked, due.PROBE, "tries", "not_before", "owner") == [(0, "", None)] * 4
    assert take(docked, due.PROBE, "b") == mine
    assert rows(docked, due.PROBE, "tries", "owner") == [(1, "b")] * 4


def test_what_became_due_anew_while_it_was_worked_on_stays_due(docked: Ledger) -> None:
    """A segment that joins while the preview is being made: that preview is not the answer any more."""
    docking = docking_of(docked)
    probed(docked, take(docked, due.PROBE, "a"), docking)
    assert take(docked, due.ASSEMBLE, "a") == [docking]
    docked.record([Draft("clock.measured", docking, {"offset_ms": 90_000, "source": "photo"})])
    assert not docked.catalog.write(lambda conn: due.done(conn, due.ASSEMBLE, docking, "a"))
    assert take(docked, due.ASSEMBLE, "b", live={"a"}) == [docking]
    assert docked.catalog.write(lambda conn: due.done(conn, due.ASSEMBLE, docking, "b"))
    assert take(docked, due.ASSEMBLE, "b") == []


def test_rows_that_somebody_deleted_come_back_from_the_facts(docked: Ledger) -> None:
    derived = t.due.select().where(t.due.c.stage.in_(due.STAGES))
    with docked.catalog.read() as conn:
        before = sorted((r.stage, r.subject) for r in conn.execute(derived))
    docked.catalog.write(lambda conn: conn.execute(t.due.delete()))
    due.refill(docked.catalog)
    due.refill(docked.catalog)
    with docked.catalog.read() as conn:
        assert sorted((r.stage, r.subject) for r in conn.execute(derived)) == before


def test_the_backlog_tells_what_waits_and_what_was_put_off(docked: Ledger) -> None:
    first = take(docked, due.PROBE, "a", limit=1)[0]
    docked.catalog.write(lambda conn: due.later(conn, due.PROBE, first, "a", NOW, "no sandbox"))
    with docked.catalog.read() as conn:
        waiting, tried, since = due.backlog(conn)[due.PROBE]
        assert (waiting, tried) == (4, 1)
        assert datetime.fromisoformat(since)
        assert [(r.subject, r.why) for r in due.failing(conn)] == [(first, "no sandbox")]


@pytest.mark.parametrize(("tries", "minutes"), [(0, 1), (1, 1), (2, 2), (3, 4), (9, 256), (10, 360), (10_000, 360)])
def test_each_try_doubles_the_wait_up_to_six_hours(tries: int, minutes: int) -> None:
    assert put_off(tries) == timedelta(minutes=minutes)


# --- what events do to recordings -----------------------------------------------------------------------------------


def timed(asset: str, start: int, end: int, **more: Any) -> Draft:
    detail = {
        "docking": "dck-x", "source": "serial:X", "kind": "video", "confidence": "claimed", "officer": "",
        "important": False, "lens": "", "started_at": stamp(NOW + timedelta(minutes=start)),
        "ended_at": stamp(NOW + timedelta(minutes=end)), **more,
    }  # fmt: skip
    return Draft("asset.timed", asset, detail)


def test_a_recording_is_the_sum_of_its_segments_and_old_ids_stay_valid(docked: Ledger) -> None:
    """First start, last end, important if any segment is, the first officer named; the ids that were absorbed are aliases, even
    through a second joining."""
    from mediad.catalog import evidence, recordings

    with docked.catalog.read() as conn:
        born = {r["assets"][0]: r["id"] for r in evidence.recordings(conn)}
    a, b, c, d = sorted(born)
    probed(docked, [a, b, c, d], docking_of(docked))
    docked.record(
        [timed(a, 0, 5), timed(b, 5, 10, officer="000123"), timed(c, 10, 15, important=True), timed(d, 60, 61)]
    )
    docked.record(
        [Draft("recording.joined", born[b], {"assets": [b, c], "absorbed": [born[c]], "gaps": [], "remarks": []})]
    )
    docked.record(
        [Draft("recording.joined", born[a], {"assets": [a, b, c], "absorbed": [born[b]], "gaps": [], "remarks": []})]
    )
    with docked.catalog.read() as conn:
        found = {r["id"]: r for r in evidence.recordings(conn)}
        assert found.keys() == {born[a], born[d]}
        whole = found[born[a]]
        assert whole["assets"] == [a, b, c]
        assert (whole["started_at"], whole["ended_at"]) == (
            stamp(NOW),
            stamp(NOW + timedelta(minutes=15)),
        )
        assert (whole["officer"], bool(whole["important"]), bool(whole["provisional"])) == ("000123", True, False)
        assert {recordings.recording_of(conn, born[x]) for x in (a, b, c)} == {born[a]}
        assert recordings.recording_of(conn, c) == born[a]
        assert recordings.recording_of(conn, "rec-nothing") is None
        waiting = due.waiting(conn, due.PREVIEW, NOW + timedelta(days=999), live=set(), limit=9)
        assert {row.subject for row in waiting} == set(born.values()), "what was absorbed is cleared away"


def test_a_recording_stays_provisional_until_all_of_it_is_probed(docked: Ledger) -> None:
    """Its docking is assembled although one probe is put off: that one's times are by name and file alone."""
    from mediad.catalog import evidence

    assets, docking = take(docked, due.PROBE, "a"), docking_of(docked)
    docked.record([timed(assets[0], 0, 0)])
    with docked.catalog.read() as conn:
        assert all(r["provisional"] for r in evidence.recordings(conn))
        assert due.waiting(conn, due.PREVIEW, NOW, live=set(), limit=9) == []
    probed(docked, assets[:1], docking)
    docked.record([timed(assets[0], 0, 5)])
    with docked.catalog.read() as conn:
        assert {r["assets"][0] for r in evidence.recordings(conn) if not r["provisional"]} == {assets[0]}
        assert len(due.waiting(conn, due.PREVIEW, NOW + timedelta(days=1), live=set(), limit=9)) == 1


def test_two_that_saw_the_same_row_do_not_both_take_it(docked: Ledger) -> None:
    with docked.catalog.read() as conn:
        seen = due.waiting(conn, due.PROBE, NOW, live=set(), limit=9)
    assert len(docked.catalog.write(lambda conn: due.take(conn, seen, "a", NOW, put_off))) == 4
    assert docked.catalog.write(lambda conn: due.take(conn, seen, "b", NOW, put_off)) == []


def test_data_wants_no_preview(docked: Ledger) -> None:
    assets = take(docked, due.PROBE, "a")
    docked.record([timed(assets[0], 0, 0, kind="data")])
    assert take(docked, due.PREVIEW, "a") == []


def test_tables_and_log_tell_one_story_about_joined_recordings(site: Site, docked: Ledger) -> None:
    """The auditor replays the log and finds the same tables."""
    from mediad.catalog import evidence

    with docked.catalog.read() as conn:
        born = {r["assets"][0]: r["id"] for r in evidence.recordings(conn)}
    a, b, *_ = sorted(born)
    probed(docked, [a, b], docking_of(docked))
    docked.record([timed(a, 0, 5), timed(b, 5, 10)])
    docked.record(
        [Draft("recording.joined", born[a], {"assets": [a, b], "absorbed": [born[b]], "gaps": [], "remarks": []})]
    )
    with closing(site.open()) as station:
        station.parts.mirror()
    done = site.run("fsck", "--json")
    assert done.returncode == 0, done.stdout
    docked.catalog.close()
    site.catalogue.unlink()
    assert site.run("rebuild").returncode == 0
    assert [r[0] for r in site.rows("SELECT alias FROM recording_alias")] == [born[b]]
    assert site.rows("SELECT count(*) FROM due WHERE stage = 'probe'") == [(2,)]


def test_what_a_clock_that_was_ahead_put_off_is_due_when_the_clock_is_right_again(docked: Ledger) -> None:
    ahead = NOW + timedelta(days=400)
    mine = take(docked, due.PROBE, "a", now=ahead)
    assert sorted(take(docked, due.PROBE, "b")) == sorted(mine)


# --- in which order, and when again -------------------------------------------------------------------------------------


def since(ledger: Ledger, **minutes: int) -> None:
    """Previews that became due so many minutes after the hour."""
    for name, minute in minutes.items():
        at = NOW + timedelta(minutes=minute)
        ledger.catalog.write(lambda conn, name=name, at=at: due.again(conn, due.PREVIEW, [name], at))  # type: ignore[misc]


def test_the_oldest_comes_first_or_the_newest_if_that_is_asked_for(docked: Ledger) -> None:
    since(docked, b=1, a=2, c=3)
    with docked.catalog.read() as conn:
        for newest, wanted in ((False, ["b", "a"]), (True, ["c", "a"])):
            found = due.waiting(conn, due.PREVIEW, NOW, live=set(), limit=2, newest=newest)
            assert [row.subject for row in found] == wanted


def test_what_was_put_off_until_now_comes_behind_what_was_never_tried_or_before_it(docked: Ledger) -> None:
    since(docked, old=1, new=2)
    assert take(docked, due.PREVIEW, "a", limit=1) == ["old"]
    docked.catalog.write(lambda conn: due.later(conn, due.PREVIEW, "old", "a", NOW, "its disk is busy"))
    with docked.catalog.read() as conn:
        for tried_first, wanted in ((False, ["new", "old"]), (True, ["old", "new"])):
            found = due.waiting(conn, due.PREVIEW, NOW, live=set(), limit=2, tried_first=tried_first)
            assert [row.subject for row in found] == wanted


def test_each_taking_counts_as_a_try_and_puts_off_what_would_kill_its_worker(docked: Ledger) -> None:
    since(docked, film=0)
    for tries, minutes in ((1, 1), (2, 2), (3, 4)):
        now = NOW + timedelta(days=tries)
        assert take(docked, due.PREVIEW, f"killed-{tries}", now=now) == ["film"]
        assert rows(docked, due.PREVIEW, "tries", "not_before") == [(tries, stamp(now + timedelta(minutes=minutes)))]


def test_a_docking_is_not_assembled_while_files_are_still_being_docked(docked: Ledger) -> None:
    docking = docking_of(docked)
    probed(docked, take(docked, due.PROBE, "a"), docking)
    docked.catalog.write(lambda conn: conn.execute(t.docking.update().values(state="open")))
    assert take(docked, due.ASSEMBLE, "a") == []
    docked.catalog.write(lambda conn: conn.execute(t.docking.update().values(state="complete")))
    assert take(docked, due.ASSEMBLE, "a") == [docking]


def test_what_was_put_off_is_due_at_once_if_that_is_asked_for_and_nobody_has_it(docked: Ledger) -> None:
    """What is tried in that run and fails is put off until later than it began: it is not tried in it again."""
    since(docked, alive=0, dead=0, failed=0, other=0)
    assert len(take(docked, due.PREVIEW, "x", limit=9)) == 4
    docked.catalog.write(lambda conn: due.later(conn, due.PREVIEW, "failed", "x", NOW + timedelta(hours=6), "no room"))
    docked.catalog.write(lambda conn: conn.execute(t.due.update().where(t.due.c.subject == "dead").values(owner="y")))
    only = {due.PREVIEW: ["alive", "dead", "failed"]}
    due.at_once(docked.catalog, {"x"}, only)
    ready = {s for s, at in rows(docked, due.PREVIEW, "subject", "not_before") if at == ""}
    assert ready == {"dead", "failed"}
    began = NOW + timedelta(seconds=1)
    first = take(docked, due.PREVIEW, "z", live={"x"}, now=began, put_off_until=began)
    assert sorted(first) == ["dead", "failed"]
    far = began + timedelta(hours=5)
    docked.catalog.write(lambda conn: due.later(conn, due.PREVIEW, "dead", "z", far + timedelta(hours=6), "no room"))
    assert take(docked, due.PREVIEW, "z", live={"x"}, now=far, put_off_until=began) == []


def test_one_of_those_that_were_given_back_bears_the_reason_and_it_is_told_before_all_that_failed(
    docked: Ledger,
) -> None:
    since(docked, a=0, b=0, c=0)
    take(docked, due.PREVIEW, "x")
    docked.catalog.write(lambda conn: due.later(conn, due.PREVIEW, "a", "x", NOW, "bad film"))
    docked.catalog.write(lambda conn: due.give_back(conn, "x", due.PREVIEW, ["a", "b", "c"], "the vault is offline"))
    with docked.catalog.read() as conn:
        told = [(row.subject, row.tries, row.why) for row in due.failing(conn)]
    assert told == [("b", 0, "the vault is offline"), ("a", 1, "bad film")]
    assert rows(docked, due.PREVIEW, "owner", "tries") == [(None, 1), (None, 0), (None, 0)]


# --- many -----------------------------------------------------------------------------------------------------------


def test_of_forty_thousand_that_are_wanted_no_statement_names_more_than_a_database_takes(docked: Ledger) -> None:
    """SQLite takes 32,766 values, unless it was built otherwise."""
    from sqlalchemy import event

    named: list[int] = []

    def count(_c: Any, _cu: Any, _text: str, values: Any, _x: Any, many: bool) -> None:
        named.append(0 if many else len(values))

    (some,) = take(docked, due.PROBE, "a", limit=1)
    many = [*(f"ast-{n}" for n in range(40_000)), some]
    with docked.catalog.read() as conn:
        event.listen(conn, "before_cursor_execute", count)
        found = due.waiting(conn, due.PROBE, NOW, live=set(), limit=1, only=many, put_off_until=NOW + put_off(1))
        assert [row.subject for row in found] == [some]
        assert due.left(conn, {due.PROBE: many}) == {due.PROBE: 1}
        assert due.unprobed(conn, [*many, docking_of(docked)]) != []
    assert max(named) < 1_000
    due.at_once(docked.catalog, set(), {due.PROBE: many})
    assert rows(docked, due.PROBE, "not_before") == [("",)] * 4


def test_no_transaction_holds_up_an_ingest_by_more_than_some_rows(
    docked: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is done to all that is due: two rows of four at a time here, in as many transactions as it takes; all is done."""
    assets, docking = take(docked, due.PROBE, "a"), docking_of(docked)
    probed(docked, assets, docking)
    docked.record([timed(asset, n, n + 1) for n, asset in enumerate(assets)])
    monkeypatch.setattr(due, "ROWS", 2)
    written: list[int] = []
    real = docked.catalog.write

    def counted(work: Any) -> Any:
        def watched(conn: Any) -> Any:
            before = conn.connection.total_changes
            result = work(conn)
            written.append(conn.connection.total_changes - before)
            return result

        return real(watched)

    monkeypatch.setattr(docked.catalog, "write", counted)
    acts = {
        "drop": lambda: due.drop(docked.catalog, (due.PREVIEW,)),
        "refill": lambda: due.refill(docked.catalog),
        "every_preview": lambda: due.every_preview(docked.catalog, NOW),
        "at_once": lambda: due.at_once(docked.catalog, set()),
    }
    for name, act in acts.items():
        if name == "at_once":
            take(docked, due.PREVIEW, "dead")
        written.clear()
        act()
        assert (name, max(written), sum(written)) == (name, 2, 4)
        assert len(rows(docked, due.PREVIEW, "subject")) == (0 if name == "drop" else 4)
    assert rows(docked, due.PREVIEW, "not_before") == [("",)] * 4


def test_stages_that_are_not_wanted_are_not_filled_again(docked: Ledger) -> None:
    assets = take(docked, due.PROBE, "a")
    probed(docked, assets[:1], docking_of(docked))
    docked.record([timed(assets[0], 0, 1)])
    docked.catalog.write(lambda conn: conn.execute(t.due.delete()))
    due.refill(docked.catalog, (due.PROBE, due.ASSEMBLE))
    assert len(rows(docked, due.PROBE, "subject")) == 3
    assert rows(docked, due.PREVIEW, "subject") == []
    due.refill(docked.catalog)
    assert len(rows(docked, due.PREVIEW, "subject")) == 1


def test_what_is_answered_while_missing_rows_are_looked_for_is_not_due_again(
    docked: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    assets, docking = take(docked, due.PROBE, "a"), docking_of(docked)
    docked.catalog.write(lambda conn: conn.execute(t.due.delete()))
    real = docked.catalog.write

    def late(work: Any) -> Any:
        monkeypatch.setattr(docked.catalog, "write", real)
        probed(docked, assets[:1], docking)
        return real(work)

    monkeypatch.setattr(docked.catalog, "write", late)
    due.refill(docked.catalog, (due.PROBE,))
    assert {s for (s,) in rows(docked, due.PROBE, "subject")} == set(assets[1:])


@pytest.mark.parametrize("newest", [False, True])
def test_a_look_costs_what_is_ready_and_not_what_is_put_off(docked: Ledger, newest: bool) -> None:
    """Each of its questions is answered from an index, in the order that the index has."""
    from sqlalchemy import event

    asked: list[tuple[str, Any]] = []
    with docked.catalog.read() as conn:
        event.listen(conn, "before_cursor_execute", lambda _c, _cu, text, values, _x, _m: asked.append((text, values)))
        due.waiting(conn, due.PREVIEW, NOW, live={"a"}, limit=9, newest=newest)
        plans = [[row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {q}", v)] for q, v in list(asked)]
    assert len(plans) == 3
    for plan in plans:
        assert [step.split(" (")[0] for step in plan] == ["SEARCH due USING INDEX due_ready"]
