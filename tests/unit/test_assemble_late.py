"""What comes with a later docking: sidecars that were rewritten, renamed or late, a clock that is withdrawn; what is looked at."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from mediad.catalog import assembly
from mediad.catalog import tables as t
from mediad.model.custody import Draft
from mediad.stages import assemble
from mediad.wiring.media import StationRules
from tests.support import noise
from tests.unit.test_assemble import MARKED, MONTH, NAME, SHIFT, TOLD, Bureau, at, bureau, name, officers, site, station

__all__ = ["bureau", "site", "station"]  # fixtures

PLAIN = {"kind": "data", "sidecar": {"format": "xml", "officer": "ZHANG01"}}


def waiting(bureau: Bureau) -> set[str]:
    return {row[0] for row in bureau.site.rows("SELECT subject FROM due WHERE stage = 'assemble'")}


def dock(bureau: Bureau, files: Mapping[str, bytes], told: Any = None, written: datetime = SHIFT) -> str:
    """Dock and assemble; whatever is no film says the same. What is due behind it is what assembling woke."""
    probes = {path: told for path in files if not path.lower().endswith(".mp4")}
    docking = bureau.dock(files, probes=probes, written=written)
    bureau.station.ledger.catalog.write(lambda conn: conn.execute(t.due.delete()))
    bureau.assemble(docking)
    return docking


# --- sidecars ----------------------------------------------------------------------------------------------------------


def test_a_sidecar_that_was_rewritten_beside_its_film_counts_whenever_that_was(bureau: Bureau) -> None:
    """The officer marked the recording, and the recorder wrote its sidecar anew; first it named nobody's number."""
    film, xml = f"{NAME}.mp4", f"{NAME}.xml"
    first = dock(bureau, {film: noise(900, 1), xml: b"<a/>"}, PLAIN)
    assert officers(bureau) == [("ZHANG01", False)]
    later = {**MARKED, "sidecar": {**MARKED["sidecar"], "officer": "LI02"}}  # type: ignore[dict-item]
    dock(bureau, {xml: b"<b/>"}, later, written=SHIFT + MONTH)
    assert first in waiting(bureau)
    bureau.assemble(first)
    assert officers(bureau) == [("LI02", True)]


def test_a_mark_in_any_sidecar_that_is_of_the_film_counts(bureau: Bureau) -> None:
    """Also where a newer one does not say so, and the older was never assembled."""
    film, xml = f"{NAME}.mp4", f"{NAME}.xml"
    first = bureau.dock({film: noise(900, 1), xml: b"<a/>"}, probes={xml: MARKED}, written=SHIFT)
    bureau.dock({xml: b"<b/>"}, probes={xml: TOLD}, written=SHIFT + timedelta(hours=1))
    bureau.assemble(first)
    assert officers(bureau) == [("000777", True)]


@pytest.mark.parametrize(("written", "told"), [
    (SHIFT, ("000777", False)), (SHIFT + timedelta(hours=9), ("ZHANG01", False))])  # fmt: skip
def test_a_sidecar_of_a_film_that_could_not_be_taken_is_of_no_other_film_of_that_name(
    bureau: Bureau, written: datetime, told: tuple[str, bool]
) -> None:
    """A formatted card counts from one again, and the next shift is not a day away. But a second try at the same film may fail."""
    film, xml = f"{NAME}.mp4", f"{NAME}.xml"
    first = dock(bureau, {film: noise(900, 1), xml: b"<a/>"}, PLAIN)
    (bureau.card / film).unlink()
    second = dock(bureau, {xml: b"<b/>"}, TOLD, written=SHIFT + timedelta(hours=9))
    failed = {"docking": second, "path": film.encode(), "size": 900, "mtime_ns": int(written.timestamp() * 1e9)}

    def fail(conn: Any) -> None:
        volume = conn.execute(select(t.claim.c.volume).limit(1)).scalar_one()
        conn.execute(t.source_file.insert().values(volume=volume, outcome="failed", why="bad sector", **failed))

    bureau.station.ledger.catalog.write(fail)
    bureau.assemble(first)
    assert officers(bureau) == [told]


def test_a_track_that_comes_later_takes_no_officer_away(bureau: Bureau) -> None:
    first = dock(bureau, {f"{NAME}.mp4": noise(900, 1), f"{NAME}.xml": b"<a/>"}, PLAIN)
    dock(bureau, {f"{NAME}.nmea": b"$GP"}, {"kind": "data", "sidecar": {"format": "nmea"}})
    bureau.assemble(first)
    assert officers(bureau) == [("ZHANG01", False)]


@pytest.mark.parametrize(
    "late", [f"{NAME}.mp4.xml", f"{NAME}.MP4.xml", f"{NAME.lower()}.xml", "DCIM/100ANDRO/movi0001.mp4.xml"]
)
def test_a_sidecar_that_comes_later_wakes_its_film_however_it_is_written(bureau: Bureau, late: str) -> None:
    """With the film's whole name, or in other case."""
    first = dock(bureau, {f"{NAME}.mp4": noise(900, 1)})
    second = dock(bureau, {late: b"<a/>"}, MARKED)
    assert first in waiting(bureau)
    bureau.assemble(first)
    assert officers(bureau) == [("ZHANG01", True)]
    assert second != first


def test_a_film_without_suffix_is_woken_as_well(bureau: Bureau) -> None:
    film = {"kind": "video", "container": "mov,mp4", "duration": 60.0, "streams": [{"kind": "video", "codec": "h264"}]}
    first = dock(bureau, {NAME: noise(900, 1)}, film)
    dock(bureau, {f"{NAME}.xml": b"<a/>"}, MARKED)
    assert first in waiting(bureau)
    bureau.assemble(first)
    assert [officer for officer, _ in officers(bureau)] == ["ZHANG01"]


def test_two_names_in_different_case_keep_their_own_sidecars_over_dockings(bureau: Bureau) -> None:
    first = dock(bureau, {"DCIM/Rec.mp4": noise(900, 1), "DCIM/rec.mp4": noise(900, 2)})
    dock(bureau, {"DCIM/rec.xml": b"<a/>"}, PLAIN)
    bureau.assemble(first)
    with bureau.station.ledger.catalog.read() as conn:
        by_path = {row.path: bureau.timing(row.asset)["officer"] for row in assembly.files_of(conn, first)}
    assert by_path == {b"DCIM/Rec.mp4": "", b"DCIM/rec.mp4": "ZHANG01"}


def test_the_sidecar_beside_a_films_new_name_is_found(bureau: Bureau) -> None:
    """The recorder moved the film to another folder; its sidecar was written there."""
    data = noise(900, 1)
    first = dock(bureau, {f"{NAME}.mp4": data})
    (bureau.card / f"{NAME}.mp4").unlink()
    dock(bureau, {"DCIM/101ANDRO/KEPT0001.mp4": data, "DCIM/101ANDRO/KEPT0001.xml": b"<a/>"}, PLAIN)
    assert first in waiting(bureau)
    bureau.assemble(first)
    assert officers(bureau) == [("ZHANG01", False)]


def test_a_thumbnail_beside_a_film_takes_nothing_of_its_sidecar(bureau: Bureau) -> None:
    files = {f"{NAME}.idx": b"index", f"{NAME}.mp4": noise(900, 1), f"{NAME}.xml": b"<a/>"}
    docking = bureau.dock(files, probes={f"{NAME}.xml": MARKED}, written=SHIFT)
    bureau.assemble(docking)
    assert officers(bureau) == [("ZHANG01", True)]


# --- numbers that were never set ---------------------------------------------------------------------------------------


def test_an_officer_of_zeros_is_none_and_gives_way_to_the_sidecar_and_the_docking(bureau: Bureau) -> None:
    unset = [
        "DCIM/100ANDRO/8888888_000000_20260922093000_0001.mp4",
        "DCIM/100ANDRO/8888888_000000_20260922103000_0002.mp4",
    ]
    xml = unset[0].replace(".mp4", ".xml")
    files = {path: noise(900, n) for n, path in enumerate(unset)} | {xml: b"<a/>"}
    docking = bureau.dock(files, probes={xml: TOLD}, officer="A00001")
    assert {r["officer"] for r in bureau.recordings() if r["kind"] == "video"} == {"A00001"}
    bureau.assemble(docking)
    assert sorted(r["officer"] for r in bureau.recordings() if r["kind"] == "video") == ["000777", "A00001"]


def test_zeros_that_an_older_version_recorded_part_no_take(bureau: Bureau) -> None:
    first = dock(bureau, {"DCIM/100ANDRO/8888888_000000_20260922093000_0001.mp4": noise(900, 1)})
    assert first
    (recording,) = bureau.recordings()
    timing = bureau.timing(recording["assets"][0])
    old = {**timing, "officer": "000000", "segment": {**timing["segment"], "officer": "000000"}}
    bureau.station.ledger.record([Draft("asset.timed", recording["assets"][0], old)])
    dock(bureau, {"DCIM/100ANDRO/8888888_000000_20260922093500_0002.mp4": noise(900, 2)})
    (take,) = bureau.recordings()
    assert len(take["assets"]) == 2


# --- what else is looked at --------------------------------------------------------------------------------------------


def test_every_event_is_recorded_however_many_there_are(bureau: Bureau, monkeypatch: pytest.MonkeyPatch) -> None:
    """One transaction holds so many; none is lost where the next begins."""
    monkeypatch.setattr(assemble, "EVENTS", 3)
    docking = bureau.dock({name(60 * n, n + 1): noise(900, n) for n in range(7)})
    assert bureau.assemble(docking).timed == 7
    assert bureau.site.rows("SELECT count(*) FROM timing") == [(7,)]
    assert bureau.assemble(docking).timed == 0


def test_a_film_of_another_year_brings_in_nothing_of_what_lies_between(
    bureau: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in (1, 2):
        dock(bureau, {name(n * 60 * 24 * 10, n): noise(900, n)}, written=SHIFT + MONTH)
    seen: list[int] = []
    around = assembly.around

    def counted(*args: Any) -> list[Any]:
        found = around(*args)
        seen.append(len(found))
        return found

    monkeypatch.setattr(assembly, "around", counted)
    dock(bureau, {name(-60 * 24 * 365, 7): noise(900, 7), name(60 * 24 * 30, 8): noise(900, 8)}, written=SHIFT + MONTH)
    assert seen == [0]


def test_a_docking_joins_nothing_that_it_has_no_part_in(bureau: Bureau) -> None:
    """Of what lies around its own files it has not seen all that could be a rival."""
    shipped = bureau.station.profiles
    bureau.station.profiles = [replace(p, takes=replace(p.takes, join=False)) for p in shipped]
    bureau.rules = StationRules(bureau.station)
    dock(bureau, {name(0, 1): noise(900, 1), name(5, 2): noise(900, 2)})
    bureau.station.profiles = shipped
    bureau.rules = StationRules(bureau.station)
    assert bureau.assemble(bureau.dock({name(300, 3): noise(900, 3)})).joined == 0


def test_the_other_segments_of_a_recording_are_known_though_no_time_can_be_true_any_more(bureau: Bureau) -> None:
    """A clock was measured, and the measure withdrawn: without it the first segment has no true time. It was joined, and so it
    stays, in its place: the recording does not reach from there to the docking."""
    reset = "DCIM/100ANDRO/8888888_000123_20100101000000_0001.mp4"
    by = datetime(2010, 1, 1, tzinfo=SHIFT.tzinfo) - SHIFT
    first = bureau.dock({reset: noise(900, 1)}, written=datetime(2010, 1, 1, 0, 5, tzinfo=SHIFT.tzinfo))
    measured = {"offset_ms": int(by.total_seconds() * 1000), "source": "photo", "why": "x"}
    bureau.station.ledger.record([Draft("clock.measured", first, measured)])
    bureau.assemble(first)
    dock(bureau, {name(5, 2): noise(900, 2)})
    (take,) = bureau.recordings()
    assert (len(take["assets"]), at(take["started_at"])) == (2, SHIFT)
    bureau.station.ledger.record([Draft("clock.withdrawn", first, {})])
    bureau.assemble(first)
    (take,) = bureau.recordings()
    assert len(take["assets"]) == 2
    assert at(take["ended_at"]) - at(take["started_at"]) == timedelta(minutes=10)
