"""When a recording began and ended: to the second where a rule begins to hold, and by whose clock a time was written."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mediad.model.probe import Stamp
from mediad.model.profile import NameFacts, Profile, TimeRule
from mediad.model.timing import time_asset
from tests.unit.test_timing import BERLIN, CHINA, DOCKED, MINUTE, START, codes, facts, named, timed

AUTUMN = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
WALL = "2026-10-25T02:30:00"


@pytest.mark.parametrize(("told", "profile", "twice"), [
    ({"name": named(AUTUMN)}, {"name_zone": "Europe/Berlin"}, True),
    ({"name": named(AUTUMN)}, {}, False),
    ({"name": NameFacts(time=AUTUMN, utc=True)}, {"name_zone": "Europe/Berlin"}, False),
    ({"mtime": AUTUMN, "mtime_zone": BERLIN}, {}, True),
    ({"mtime": AUTUMN}, {"name_zone": "Europe/Berlin"}, False),
    ({"stamps": [Stamp("exif", WALL)]}, {"time": TimeRule(exif_zone="Europe/Berlin")}, True),
    ({"stamps": [Stamp("exif", WALL + "+02:00")]}, {"time": TimeRule(exif_zone="Europe/Berlin")}, False),
    ({"stamps": [Stamp("sidecar", WALL)]}, {"time": TimeRule(sidecar_zone="Europe/Berlin")}, True),
    ({"stamps": [Stamp("container", WALL + "Z")]}, {"time": TimeRule(container_zone="Europe/Berlin")}, True),
    ({"stamps": [Stamp("container", WALL)]}, {"name_zone": "Europe/Berlin"}, True),
    ({"stamps": [Stamp("container", "2026-10-25T00:30:00Z")]}, {"name_zone": "Europe/Berlin"}, False),
    ({"stamps": [Stamp("gps", "2026-10-25T00:30:00Z")]}, {"name_zone": "Europe/Berlin"}, False)])  # fmt: skip
def test_an_hour_was_there_twice_where_the_winning_time_was_written(
    told: dict[str, Any], profile: dict[str, Any], twice: bool
) -> None:
    """By the clock of the profile or the volume, whatever the unit's zone; an instant is never ambiguous."""
    found = time_asset(facts(duration=0.0, **told), Profile("x", **profile), CHINA)
    assert (found.started_at, "hour-twice" in codes(found)) == (AUTUMN, twice)


def test_where_the_unit_sets_its_clocks_back_and_the_recorder_does_not_no_hour_is_twice() -> None:
    china = time_asset(facts(duration=0.0, name=named(AUTUMN)), Profile("x", name_zone="Asia/Shanghai"), BERLIN)
    assert "hour-twice" not in codes(china)


@pytest.mark.parametrize(("seconds", "before"), [(2.0, 0), (2.5, 2.5), (30.0, 30), (32.0, 30), (32.5, 0)])
def test_the_buffer_counts_from_two_seconds_on_and_moves_no_more_than_it_holds(seconds: float, before: float) -> None:
    """FAT counts in steps of 2 s."""
    rule, end = TimeRule(prerecord_seconds=30), START + 10 * MINUTE
    found = timed(rule=rule, name=named(START), mtime=end - timedelta(seconds=seconds))
    assert (START - found.started_at).total_seconds() == before
    assert ("pre-record" in codes(found)) is (before > 0)


def test_a_last_write_that_tells_the_start_or_cannot_be_true_says_nothing_of_the_buffer() -> None:
    told = {"name": named(START), "mtime": START + 10 * MINUTE - timedelta(seconds=20)}
    rule = TimeRule(prerecord_seconds=30, mtime_means="start")
    assert timed(rule=rule, **{**told, "mtime": START - timedelta(seconds=20)}).started_at == START
    rule = TimeRule(prerecord_seconds=30)
    assert timed(rule=rule, **told, last_complete=START + 20 * MINUTE + timedelta(seconds=-10)).started_at == START


@pytest.mark.parametrize(("by", "told"), [(60, False), (61, True), (-60, False), (-61, True)])
def test_sources_disagree_from_a_minute_on(by: int, told: bool) -> None:
    stamps = [Stamp("gps", (START + timedelta(seconds=by)).isoformat())]
    assert ("times-disagree" in codes(timed(name=named(START), stamps=stamps))) is told
    rule = TimeRule(prerecord_seconds=30)
    further = [Stamp("gps", (START + timedelta(seconds=by + (30 if by > 0 else -30))).isoformat())]
    assert ("times-disagree" in codes(timed(rule=rule, name=named(START), stamps=further))) is told


def disagreement(by: timedelta) -> str:
    found = timed(
        name=named(START - timedelta(days=2)), stamps=[Stamp("gps", (START - timedelta(days=2) + by).isoformat())]
    )
    return next(r.detail for r in found.remarks if r.code == "times-disagree")


@pytest.mark.parametrize(
    ("minutes", "zone"), [(-840, True), (-855, False), (345, True), (346, True), (347, False), (14, True)]
)
def test_a_zone_is_named_up_to_fourteen_hours_and_to_a_minute_of_a_quarter(minutes: int, zone: bool) -> None:
    said = disagreement(minutes * MINUTE)
    assert ("zone" in said) is zone
    assert ("later" in said) is (minutes > 0)


def test_each_source_disagrees_once_by_its_first_claim_and_an_end_is_held_against_the_end() -> None:
    stamps = [
        Stamp("gps", (START + 5 * MINUTE).isoformat(), "start"),
        Stamp("gps", (START + 40 * MINUTE).isoformat(), "end"),
    ]
    assert [r.code for r in timed(name=named(START), stamps=stamps).remarks] == ["times-disagree"]
    assert not timed(name=named(START), stamps=[Stamp("gps", (START + 10 * MINUTE).isoformat(), "end")]).remarks


def test_of_what_has_no_length_ends_disagree_with_the_end() -> None:
    late = [Stamp("gps", (START + 40 * MINUTE).isoformat(), "end")]
    found = timed(name=named(START), duration=None, mtime=START + 5 * MINUTE, stamps=late)
    assert found.ended_at == START + 40 * MINUTE
    assert [r.detail[:25] for r in found.remarks] == ["mtime says 35 min 0 s ear"]


@pytest.mark.parametrize(("last", "earliest"), [(-1, True), (0, True), (1, False)])
def test_what_has_no_true_time_is_bounded_by_the_docking_before_if_that_was_before(last: int, earliest: bool) -> None:
    before = DOCKED + last * MINUTE
    found = timed(name=named(datetime(2000, 1, 1, tzinfo=UTC)), last_complete=before)
    assert found.earliest == (before if earliest else None)
    assert (found.started_at, found.ended_at, found.latest) == (DOCKED - 10 * MINUTE, DOCKED, DOCKED)


def test_what_was_stored_before_its_docking_by_a_clock_that_was_set_is_bounded_by_the_earlier() -> None:
    found = timed(name=named(datetime(2000, 1, 1, tzinfo=UTC)), stored_at=DOCKED - MINUTE)
    assert (found.ended_at, found.latest) == (DOCKED - MINUTE, DOCKED - MINUTE)


@pytest.mark.parametrize(("written", "at"), [
    ("2026-11-23T16:00:00+00:00", START), ("2026-11-23T16:00:00+0000", START), ("2026-11-23T16:00:00Z", START),
    ("2026-11-23T16:00:00-00:00", START), ("2026-11-23T07:00:00-01:00", START)])  # fmt: skip
def test_whatever_a_container_writes_for_utc_is_the_recorders_wall_clock_there(written: str, at: datetime) -> None:
    rule = TimeRule(container_zone="")
    assert timed(rule=rule, stamps=(Stamp("container", written),)).started_at == at
    told = Stamp("sidecar", "2026-11-23T08:00:00Z")
    assert timed(rule=TimeRule(sidecar_zone="Asia/Shanghai", container_zone=""), stamps=(told,)).started_at == START, (
        "a sidecar means its Z"
    )
