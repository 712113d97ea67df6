"""When a recording began and ended: the profile's order, the recorder's clock, and times that cannot be true."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediad.model.clock import UNKNOWN, Clock, heard
from mediad.model.evidence import Kind
from mediad.model.instants import instant
from mediad.model.probe import Stamp
from mediad.model.profile import NameFacts, Profile, TimeRule
from mediad.model.timing import LEEWAY, AssetFacts, Timed, time_asset

CHINA = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")
DOCKED = datetime(2026, 11, 23, 10, tzinfo=UTC)
START = datetime(2026, 11, 23, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def facts(**told: Any) -> AssetFacts:
    plain = {
        "asset": "ast-1", "kind": Kind.VIDEO, "name": NameFacts(), "mtime": None, "duration": 600.0, "stamps": (),
        "docked_at": DOCKED, "stored_at": DOCKED + MINUTE,
    }  # fmt: skip
    return AssetFacts(**{**plain, **told})


def named(at: datetime | None) -> NameFacts:
    return NameFacts(time=at)


def timed(clock: Clock = UNKNOWN, rule: TimeRule | None = None, zone: ZoneInfo = CHINA, **told: Any) -> Timed:
    return time_asset(facts(**told), Profile("x", time=rule or TimeRule()), zone, clock)


def codes(result: Timed) -> set[str]:
    return {r.code for r in result.remarks}


# --- which source wins ------------------------------------------------------------------------------------------------


def test_the_name_wins_over_everything_else_and_every_claim_is_kept() -> None:
    stamps = (Stamp("container", "2026-11-23T08:00:20Z"), Stamp("sidecar", "2026-11-23T16:00:30", "start"))
    found = timed(name=named(START), mtime=START + 10 * MINUTE, stamps=stamps)
    assert (found.started_at, found.ended_at) == (START, START + 10 * MINUTE)
    assert (found.source, found.confidence, found.ended_by) == ("name", "claimed", "duration")
    assert [c.source for c in found.candidates] == ["name", "container", "sidecar", "mtime"]
    assert not found.remarks


def test_the_profile_says_which_source_wins() -> None:
    found = timed(
        rule=TimeRule(order=("sidecar", "name")), name=named(START), stamps=(Stamp("sidecar", "2026-11-23T16:02:00"),)
    )
    assert (found.source, found.started_at) == ("sidecar", START + 2 * MINUTE)


def test_a_file_time_is_the_last_write_and_an_estimate() -> None:
    found = timed(mtime=START + 10 * MINUTE)
    assert (found.started_at, found.ended_at, found.confidence) == (START, START + 10 * MINUTE, "estimated")
    begun = timed(mtime=START, rule=TimeRule(mtime_means="start"))
    assert (begun.started_at, begun.ended_at) == (START, START + 10 * MINUTE)


def test_a_name_may_tell_the_end() -> None:
    found = timed(name=named(START + 10 * MINUTE), rule=TimeRule(name_means="end"))
    assert (found.started_at, found.ended_at, found.claimed_start) == (START, START + 10 * MINUTE, START)


def test_what_cannot_be_played_ends_with_its_last_write_marked_estimated() -> None:
    found = timed(name=named(START), mtime=START + 7 * MINUTE, duration=None)
    assert (found.started_at, found.ended_at) == (START, START + 7 * MINUTE)
    assert (found.confidence, found.ended_by, found.end_confidence) == ("claimed", "mtime", "estimated")
    alone = timed(mtime=START, duration=None)
    assert (alone.started_at, alone.ended_at, alone.confidence) == (START, START, "estimated")


def test_a_sidecar_tells_begin_and_end_of_what_cannot_be_played() -> None:
    stamps = (Stamp("sidecar", "2026-11-23T16:05:00", "end"), Stamp("sidecar", "2026-11-23T16:00:00", "start"))
    found = timed(duration=None, stamps=stamps, mtime=START + 30 * MINUTE)
    assert (found.started_at, found.ended_at, found.ended_by) == (START, START + 5 * MINUTE, "sidecar")


def test_a_start_counts_before_an_end_and_the_same_sources_end_before_others() -> None:
    ends, begins = Stamp("sidecar", "2026-11-23T16:12:00", "end"), Stamp("sidecar", "2026-11-23T16:00:00", "start")
    assert timed(stamps=(ends, begins)).started_at == START, "not its end less its length"
    order = TimeRule(order=("mtime", "sidecar"))
    found = timed(rule=order, duration=None, stamps=(ends, begins), mtime=START + 30 * MINUTE)
    assert (found.source, found.ended_by, found.ended_at) == ("sidecar", "sidecar", START + 12 * MINUTE)


def test_a_last_write_days_later_is_no_end() -> None:
    later = timed(name=named(START - timedelta(days=3)), mtime=START, duration=None)
    assert (later.ended_at, later.ended_by) == (later.started_at, "start")


def test_a_photo_takes_no_time() -> None:
    found = timed(kind=Kind.PHOTO, duration=None, stamps=(Stamp("exif", "2026-11-23T16:00:00"),), mtime=START)
    assert (found.started_at, found.ended_at, found.source) == (START, START, "exif")


# --- zones ------------------------------------------------------------------------------------------------------------


def test_the_z_of_a_container_is_the_formats_where_the_recorder_writes_local_time_there() -> None:
    stamps = (Stamp("container", "2026-11-23T16:00:00.000000Z"),)
    assert timed(stamps=stamps, rule=TimeRule(container_zone="")).started_at == START
    assert timed(stamps=stamps).source == "docking", "by the standard it lies after the docking"
    assert timed(stamps=(Stamp("container", "2026-11-23T16:00:00+08:00"),)).started_at == START


def test_text_without_a_zone_in_a_container_is_the_recorders_wall_clock() -> None:
    """A track of positions in a subtitle, and the dates of an AVI."""
    stamps = (Stamp("container", "2026-11-23T16:00:00", "start", "track"),)
    assert timed(stamps=stamps).started_at == START
    utc = time_asset(facts(stamps=(Stamp("container", "2026-11-23T08:00:00"),)), Profile("x", name_zone="UTC"), CHINA)
    assert utc.started_at == START


def test_times_eight_hours_apart_are_a_remark_that_names_the_zone_and_no_distrust() -> None:
    found = timed(name=named(START), stamps=(Stamp("container", "2026-11-23T00:00:00Z"),))
    assert (found.confidence, codes(found)) == ("claimed", {"times-disagree"})
    assert "zone" in found.remarks[0].detail
    other = timed(name=named(START), stamps=(Stamp("container", "2026-11-23T07:50:47Z"),))
    assert "zone" not in other.remarks[0].detail


def test_a_track_that_begins_with_the_first_fix_disagrees_with_nothing() -> None:
    fixed = tuple(Stamp("gps", f"2026-11-23T08:0{m}:00Z", means, "track") for m, means in ((4, "start"), (9, "end")))
    assert not timed(name=named(START), stamps=fixed).remarks
    assert codes(timed(name=named(START - 30 * MINUTE), stamps=fixed)) == {"times-disagree"}


def test_an_hour_that_was_there_twice_is_a_remark() -> None:
    autumn = instant("2026-10-25T02:30:00", BERLIN)
    assert autumn == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    found = timed(zone=BERLIN, name=named(autumn), duration=60.0)
    assert (found.started_at, codes(found)) == (autumn, {"hour-twice"})
    assert instant("2026-03-29T02:30:00", BERLIN) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC), "an hour that never was"
    assert not timed(zone=BERLIN, name=named(datetime(2026, 3, 29, 1, 30, tzinfo=UTC))).remarks


def test_a_recording_may_go_over_midnight() -> None:
    late = instant("20261122235500", CHINA)
    assert late is not None
    assert timed(name=named(late)).ended_at == instant("2026-11-23 00:05:00", CHINA)


# --- the recorder's clock ---------------------------------------------------------------------------------------------


def test_a_measured_offset_is_taken_off_and_the_claim_is_kept() -> None:
    found = timed(Clock(timedelta(minutes=5), "device"), name=named(START))
    assert (found.started_at, found.confidence) == (START - 5 * MINUTE, "corrected")
    assert (found.claimed_start, found.offset_seconds, found.candidates[0].value) == (START, 300.0, START)


def test_an_offset_of_zero_is_known_and_none_is_not_zero() -> None:
    assert timed(Clock(timedelta(), "device"), name=named(START)).confidence == "corrected"
    unknown = timed(name=named(START))
    assert (unknown.confidence, unknown.offset_seconds) == ("claimed", None)


def test_gps_is_true_time_and_gets_no_offset() -> None:
    clock = Clock(timedelta(hours=1), "device")
    found = timed(clock, rule=TimeRule(order=("gps",)), stamps=(Stamp("gps", "2026-11-23T08:00:00Z"),))
    assert (found.started_at, found.claimed_start, found.confidence) == (START, START, "claimed")


def test_a_clock_that_stood_at_2000_is_mended_by_its_offset() -> None:
    reset = datetime(2000, 1, 1, tzinfo=UTC)
    found = timed(Clock(reset - START, "device"), name=named(reset))
    assert (found.started_at, found.confidence, found.claimed_start) == (START, "corrected", reset)


def test_a_helper_tells_how_far_the_clock_is_off() -> None:
    said = {"clock": "2026-11-23 18:05:00", "heard_at": "2026-11-23T10:00:00.000000Z"}
    assert heard(said, Profile("x"), CHINA).offset == timedelta(minutes=5)
    assert heard(said, Profile("x", clock_zone="UTC"), CHINA).offset == timedelta(hours=8, minutes=5)
    assert heard({**said, "clock": "20261123180500"}, Profile("x"), CHINA).offset == timedelta(minutes=5)
    assert heard(said, Profile("x", clock_said=""), CHINA).source == "unknown"


@pytest.mark.parametrize("told", ["noon", "1764000000", "2026-11-23", "20261123", "", "2026-13-01 00:00:00"])
def test_a_clock_that_cannot_be_read_is_unknown(told: str) -> None:
    assert heard({"clock": told, "heard_at": "2026-11-23T10:00:00Z"}, Profile("x"), CHINA).offset is None


@pytest.mark.parametrize("said", [None, {}, {"clock": "2026-11-23 18:05:00"}, {"heard_at": "2026-11-23T10:00:00Z"}])
def test_without_both_clocks_the_offset_is_unknown(said: dict[str, str] | None) -> None:
    assert heard(said, Profile("x"), CHINA).offset is None


# --- what cannot be true ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("year", [1970, 1980, 2000, 2010])
def test_a_reset_clock_is_not_believed_and_the_recording_is_bounded(year: int) -> None:
    before, reset = DOCKED - timedelta(days=1), datetime(year, 1, 1, tzinfo=UTC)
    found = timed(name=named(reset), mtime=reset, last_complete=before)
    assert (found.source, found.confidence, found.ended_at) == ("docking", "untrusted", DOCKED)
    assert (found.earliest, found.latest, found.claimed_start) == (before, DOCKED, reset)
    assert all(c.why for c in found.candidates)


def test_a_recording_cannot_end_after_its_docking_but_a_clock_may_be_a_little_ahead() -> None:
    assert timed(name=named(DOCKED + LEEWAY)).confidence == "untrusted"
    near = timed(name=named(DOCKED - 9 * MINUTE))
    assert (near.confidence, codes(near)) == ("claimed", {"clock-ahead"})


def test_a_recording_that_the_docking_before_would_have_found_is_not_of_that_time() -> None:
    last = START + 60 * MINUTE
    assert timed(name=named(START), last_complete=last).confidence == "untrusted"
    assert timed(name=named(last - 15 * MINUTE), last_complete=last).confidence == "claimed"


def test_the_next_source_counts_where_the_first_cannot_be_true() -> None:
    found = timed(name=named(datetime(2000, 1, 1, tzinfo=UTC)), stamps=(Stamp("gps", "2026-11-23T08:00:00Z"),))
    assert (found.source, found.started_at) == ("gps", START)
    assert "2015" in found.candidates[0].why


def test_nothing_tells_a_time() -> None:
    found = timed()
    assert (found.source, found.ended_at, found.claimed_start, found.earliest) == ("docking", DOCKED, None, None)


# --- a length that cannot be true -------------------------------------------------------------------------------------


def test_a_nonsense_length_takes_nothing_from_a_good_name() -> None:
    """A leap in the time stamps of a transport stream: 11 s claim to be 25 hours, or some."""
    for nonsense in (90_005.0, 4 * 3600.0):
        found = timed(name=named(START), mtime=START + timedelta(seconds=11), duration=nonsense)
        assert (found.source, found.started_at, found.confidence) == ("name", START, "claimed")
        assert (found.ended_by, found.ended_at, found.end_confidence) == (
            "mtime",
            START + timedelta(seconds=11),
            "estimated",
        )
        assert codes(found) == {"length-impossible"}


def test_where_nothing_else_tells_an_end_it_is_not_known() -> None:
    found = timed(name=named(START), duration=4 * 3600.0)
    assert (found.started_at, found.ended_at, found.ended_by, codes(found)) == (
        START,
        START,
        "start",
        {"length-impossible"},
    )


@pytest.mark.parametrize("days", [1.1, 346, 1e9, 1e300, float("inf")])
def test_no_start_is_reckoned_from_an_end_and_a_length_of_more_than_a_day(days: float) -> None:
    found = timed(mtime=START, duration=days * 86_400)
    assert (found.started_at, found.ended_at, codes(found)) == (START, START, {"length-impossible"})
    untold = timed(duration=days * 86_400)
    assert (untold.started_at, untold.confidence) == (DOCKED, "untrusted")
    assert codes(untold) == {"length-impossible", "no-true-time"}


def test_a_photo_has_no_length_to_doubt() -> None:
    assert not timed(kind=Kind.PHOTO, duration=1e7, name=named(START)).remarks


def test_where_the_last_write_lies_after_the_docking_too_it_is_the_clock_that_is_ahead() -> None:
    """Two hours of recording on a clock that is an hour ahead: the length is right."""
    begun = DOCKED - timedelta(hours=1)
    found = timed(name=named(begun), mtime=begun + timedelta(hours=2), duration=7200.0)
    assert (found.source, found.started_at, codes(found)) == ("docking", DOCKED - timedelta(hours=2), {"no-true-time"})


def test_a_source_that_would_have_counted_first_is_told_with_the_reason() -> None:
    found = timed(name=named(datetime(2000, 1, 1, tzinfo=UTC)), mtime=START)
    assert (found.source, [r.code for r in found.remarks]) == ("mtime", ["time-rejected"])
    assert "name says 2000-01-01" in found.remarks[0].detail
    assert "reset" in found.remarks[0].detail
    assert not timed(name=named(START), mtime=datetime(2000, 1, 1, tzinfo=UTC)).remarks, "it would not have counted"


# --- the buffer before the button -------------------------------------------------------------------------------------


def test_a_file_begins_before_the_button_by_what_its_last_write_and_length_say() -> None:
    rule = TimeRule(prerecord_seconds=30)
    found = timed(rule=rule, name=named(START), mtime=START + 10 * MINUTE - timedelta(seconds=20))
    assert (found.started_at, codes(found)) == (START - timedelta(seconds=20), {"pre-record"})
    assert (found.ended_at, found.claimed_start) == (START + 10 * MINUTE - timedelta(seconds=20), START)


def test_without_a_last_write_the_button_is_the_start() -> None:
    rule = TimeRule(prerecord_seconds=30)
    assert timed(rule=rule, name=named(START)).started_at == START
    copied = timed(rule=rule, name=named(START), mtime=START + 5 * MINUTE)
    assert (copied.started_at, codes(copied)) == (START, {"times-disagree"}), "more than the buffer holds"


# --- properties -------------------------------------------------------------------------------------------------------

instants = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(lambda d: d.replace(tzinfo=UTC))
likely = st.datetimes(datetime(2026, 11, 20), datetime(2026, 11, 24)).map(lambda d: d.replace(tzinfo=UTC))
times = st.one_of(likely, instants)
durations = st.one_of(st.none(), st.floats(), st.floats(0, 4000))
written = st.one_of(
    times.map(lambda d: d.isoformat()), times.map(lambda d: d.replace(tzinfo=None).isoformat()), st.text(max_size=30)
)
moments = st.sampled_from(["start", "end"])
stamps = st.builds(
    Stamp,
    st.sampled_from(["container", "exif", "sidecar", "gps"]),
    written,
    st.sampled_from(["start", "end", "unsaid"]),
)
rules = st.builds(
    TimeRule,
    order=st.permutations(["name", "container", "exif", "sidecar", "gps", "mtime"]).map(tuple),
    name_means=moments,
    container_means=moments,
    mtime_means=moments,
    container_zone=st.sampled_from(["", "UTC", "Europe/Berlin"]),
    prerecord_seconds=st.sampled_from([0.0, 30.0]),
)
clocks = st.builds(Clock, st.one_of(st.none(), st.timedeltas(), st.timedeltas(-timedelta(hours=9), timedelta(hours=9))))
assets = st.builds(
    facts,
    kind=st.sampled_from(list(Kind)),
    name=st.builds(NameFacts, time=st.one_of(st.none(), times)),
    mtime=st.one_of(st.none(), times),
    duration=durations,
    stamps=st.lists(stamps, max_size=4),
    last_complete=st.one_of(st.none(), times),
)


@given(assets, rules, clocks)
def test_every_asset_gets_a_time_whatever_it_claims(asset: AssetFacts, rule: TimeRule, clock: Clock) -> None:
    found = time_asset(asset, Profile("x", time=rule), BERLIN, clock)
    assert found.started_at <= found.ended_at
    assert found.started_at.tzinfo is UTC
    assert found.trusted == (found.source != "docking")
    assert found.as_json()["started_at"].endswith("Z")
    if found.trusted:
        assert found.ended_at <= DOCKED + LEEWAY
    elif found.earliest is not None:
        assert found.earliest <= DOCKED == found.latest


@given(assets, rules, clocks)
def test_the_claim_is_never_lost(asset: AssetFacts, rule: TimeRule, clock: Clock) -> None:
    """Whatever is corrected, the candidates hold what the name and the file time said."""
    found = time_asset(asset, Profile("x", time=rule), BERLIN, clock)
    for source, value in (("name", asset.name.time), ("mtime", asset.mtime)):
        assert [c.value for c in found.candidates if c.source == source] == ([] if value is None else [value])
    assert (found.claimed_start is None) == (not found.candidates)


@given(
    st.one_of(st.none(), likely), st.one_of(st.none(), likely), st.lists(likely, max_size=2), st.floats(0, 4000), rules,
    st.timedeltas(-timedelta(days=9000), timedelta(days=9000)), st.timedeltas(-timedelta(hours=2), timedelta(hours=2)),
)  # fmt: skip
def test_a_clock_that_is_off_by_more_and_known_to_be_so_gives_the_same_instants(
    name: datetime | None, mtime: datetime | None, container: list[datetime], duration: float, rule: TimeRule,
    shift: timedelta, offset: timedelta,
) -> None:  # fmt: skip
    utc = Profile("x", time=replace(rule, container_zone="UTC"))

    def at(by: timedelta) -> tuple[Any, ...]:
        asset = facts(
            name=NameFacts(time=name and name + by), mtime=mtime and mtime + by, duration=duration,
            stamps=[Stamp("container", (c + by).isoformat()) for c in container],
            last_complete=DOCKED - timedelta(days=2),
        )  # fmt: skip
        found = time_asset(asset, utc, CHINA, Clock(offset + by, "device"))
        return found.started_at, found.ended_at, found.source, found.confidence

    assert at(timedelta()) == at(shift)


@given(likely, st.timedeltas(timedelta(), timedelta(hours=3)), st.floats(0, 4000))
def test_what_claims_to_be_later_is_not_earlier(at: datetime, by: timedelta, duration: float) -> None:
    one, other = timed(name=named(at), duration=duration), timed(name=named(at + by), duration=duration)
    if one.trusted and other.trusted:
        assert one.started_at <= other.started_at
        assert one.ended_at <= other.ended_at or other.ended_by == "start", "an end that is not known is not later"


@given(likely, st.one_of(st.none(), likely), durations)
def test_no_length_takes_a_possible_start_away_unless_the_last_write_agrees_with_it(
    name: datetime, mtime: datetime | None, duration: float | None
) -> None:
    found = timed(name=named(name), mtime=mtime, duration=duration)
    if name <= DOCKED and (mtime is None or mtime <= DOCKED + LEEWAY):
        assert (found.source, found.started_at) == ("name", name)


@given(assets, rules, clocks)
def test_what_counted_for_nothing_before_the_winner_is_told(asset: AssetFacts, rule: TimeRule, clock: Clock) -> None:
    found = time_asset(asset, Profile("x", time=rule), BERLIN, clock)
    if found.trusted:
        order = [*rule.order]
        ranks = [order.index(c.source) for c in found.candidates if c.why and c.source != found.source]
        assert sum(r.code == "time-rejected" for r in found.remarks) >= len(
            {r for r in ranks if r < order.index(found.source)}
        )  # type: ignore[arg-type]


@given(st.text(max_size=40))
def test_reading_a_time_never_fails(text: str) -> None:
    found = instant(text, BERLIN)
    assert found is None or found.tzinfo is UTC
