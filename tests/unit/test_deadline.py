"""The 24-hour rule as the notes on Article 28 count it: every odd case by name, and over random facts against an oracle."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediad.model.deadline import STORAGE, Part, Receipt, Recorded, Ruling, Span, Status, StorageRule, span, storage
from mediad.model.trips import Trip, Version, away, bounds, may_cover

ZERO = datetime(2026, 11, 23, tzinfo=UTC)
H = timedelta(hours=1)
RULE = StorageRule()
LATER = ZERO + 10_000 * H


def at(hours: float) -> datetime:
    return ZERO + hours * H


def part(ended: float | None, stored: float | None = None, **more: Any) -> Part:
    return Part(None if ended is None else at(ended), None if stored is None else at(stored), **more)


def trip(
    left: float, returned: float | None, *, entered: float = -100, expected: float = 500, name: str = "t", **more: Any
) -> Trip:
    back = None if returned is None else at(returned)
    return Trip(f"trp-{name}", "异地检查", (Version(at(entered), at(left), at(expected), back, **more),))


def rule(*parts: Part, rule: StorageRule = RULE, **facts: Any) -> Ruling:
    return storage(Recorded("rec-a", parts, **facts), rule)


# --- the first limb -----------------------------------------------------------------------------------------------------


def test_what_is_stored_within_24_hours_of_its_end_is_met() -> None:
    found = rule(part(10, 34))
    assert (found.rule, found.limb, found.due_at, found.met_at) == (STORAGE, 1, at(34), at(34))
    assert found.status(LATER) is Status.MET


def test_what_is_stored_a_moment_after_is_late_and_stays_so() -> None:
    found = rule(part(10, 34.001))
    assert (found.status(at(20)), found.status(LATER)) == (Status.LATE, Status.LATE)


def test_what_is_not_stored_is_due_until_its_limit_and_late_from_then_on() -> None:
    found = rule(part(10))
    assert [found.status(at(h)) for h in (10, 34, 34.001)] == [Status.DUE, Status.DUE, Status.LATE]


def test_hours_run_across_midnight_weekends_and_holidays() -> None:
    friday = datetime(2026, 10, 2, 15, 30, tzinfo=UTC)  # National Day, a Friday, half past eleven at night in Dalian
    found = rule(Part(friday, None))
    assert found.due_at == datetime(2026, 10, 3, 15, 30, tzinfo=UTC)


def test_a_recording_in_segments_counts_from_the_end_of_its_last_one() -> None:
    assert rule(part(1, 20), part(2, 20), part(3, 20)).due_at == at(27)


def test_a_recording_is_met_when_its_last_segment_is() -> None:
    assert rule(part(1, 5), part(2, 26)).met_at == at(26)
    assert rule(part(1, 5), part(2)).met_at is None


def test_a_segment_that_arrives_late_reopens_what_was_met() -> None:
    before, after = rule(part(1, 5)), rule(part(1, 5), part(2, 80))
    assert (before.status(LATER), after.status(LATER)) == (Status.MET, Status.LATE)


def test_a_file_that_was_seen_and_is_not_stored_is_due_by_its_estimated_end() -> None:
    found = rule(part(10, estimated=True))
    assert (found.status(at(20)), found.remarks) == (Status.DUE, ("end-estimated",))
    assert rule(part(1, 5), part(2, 5, estimated=True)).remarks == ("end-estimated",), "one file is enough"


# --- the second limb ----------------------------------------------------------------------------------------------------


def test_a_trip_that_ended_after_the_first_limit_gives_24_hours_from_the_return() -> None:
    found = rule(part(10, 70), trips=(trip(0, 50),))
    assert (found.limb, found.due_at, found.trip, found.why) == (2, at(74), "trp-t", "异地检查")
    assert found.status(LATER) is Status.MET


def test_a_trip_that_ended_before_the_first_limit_changes_nothing() -> None:
    found = rule(part(10), trips=(trip(0, 34),))
    assert (found.limb, found.due_at, found.remarks) == (1, at(34), ("back-in-time",))


def test_the_lenient_reading_counts_any_trip() -> None:
    found = rule(part(10), trips=(trip(0, 12),), rule=replace(RULE, second_limb="any-trip"))
    assert (found.limb, found.due_at) == (2, at(36))


@pytest.mark.parametrize(("ended", "limb"), [(8, 2), (7.99, 1), (60, 2), (60.01, 1)])
def test_the_bounds_of_a_trip_belong_to_it(ended: float, limb: int) -> None:
    lenient = replace(RULE, second_limb="any-trip")
    assert rule(part(ended), trips=(trip(8, 60),), rule=lenient).limb == limb


def test_what_was_recorded_before_leaving_has_the_first_limb() -> None:
    assert rule(part(5), trips=(trip(6, 90),)).due_at == at(29)


def test_an_open_trip_leaves_the_limit_open() -> None:
    found = rule(part(10), trips=(trip(0, None, expected=20),))
    assert (found.due_at, found.status(at(15)), found.status(LATER)) == (None, Status.OPEN, Status.OPEN)


def test_what_is_stored_while_they_are_still_away_is_met() -> None:
    found = rule(part(10, 60), trips=(trip(0, None),))
    assert (found.status(LATER), found.reason) == (Status.MET, "stored-before-return")
    assert rule(part(10), trips=(trip(0, None),)).reason == "trip-open"


def test_a_docking_proves_the_return_where_none_was_entered() -> None:
    found = rule(part(10), trips=(trip(0, None),), docked=(at(50),))
    assert (found.due_at, found.remarks) == (at(74), ())


def test_a_docking_counts_before_a_later_return_that_was_entered_and_that_is_a_finding() -> None:
    found = rule(part(10), trips=(trip(0, 90),), docked=(at(50), at(91)))
    assert (found.due_at, found.remarks) == (at(74), ("return-after-docking",))


def test_back_at_two_in_the_morning_of_a_holiday_gives_until_two_the_next_day() -> None:
    returned = datetime(2026, 9, 30, 18, tzinfo=UTC)  # 02:00 of National Day in Dalian
    ended = returned - 40 * H
    away = Trip("trp-n", "", (Version(ended - 50 * H, ended - 2 * H, returned),))
    found = storage(Recorded("rec-a", (Part(ended, None),), trips=(away,), docked=(returned,)), RULE)
    assert (found.due_at, found.limb) == (returned + 24 * H, 2)


def test_that_the_earlier_trip_of_two_never_was_or_ended_sooner_waits_for_an_approver() -> None:
    """It would put the limit off. Of a trip alone it never does, and counts at once."""
    one, other = trip(0, 50, name="a"), trip(0, 90, name="b")
    for less in ({"void": True}, {"returned": at(5)}):
        later = replace(one.versions[0], entered_at=at(60), **less)
        undone = replace(one, versions=(*one.versions, later))
        found = rule(part(10), trips=(undone, other))
        assert (found.due_at, found.trip, found.remarks) == (at(74), "trp-a", ("trip-wants-approval",))
        agreed = replace(one, versions=(*undone.versions, replace(later, entered_at=at(61), approved=True)))
        assert rule(part(10), trips=(agreed, other)).due_at == at(114)
        assert rule(part(10), trips=(undone,)).due_at == at(34)
        lenient = replace(RULE, backdated="count")
        assert rule(part(10), trips=(undone, other), rule=lenient).due_at == at(114)


def test_if_the_trips_of_officer_and_recorder_differ_the_earlier_return_counts() -> None:
    assert rule(part(10), trips=(trip(0, 90, name="a"), trip(0, 50, name="b"))).due_at == at(74)
    assert rule(part(10), trips=(trip(0, None, name="a"), trip(0, 50, name="b"))).due_at == at(74)


def test_who_was_docked_in_the_middle_of_a_trip_was_back_then() -> None:
    """Whoever left again must enter a second trip: the first one ended with the docking."""
    assert rule(part(40), trips=(trip(0, 100),), docked=(at(30),)).limb == 1


def test_a_docking_before_leaving_proves_no_return() -> None:
    assert rule(part(10), trips=(trip(2, 50),), docked=(at(1), at(2))).due_at == at(74)


# --- entered afterwards (补登) --------------------------------------------------------------------------------------------


def test_a_trip_entered_after_the_first_limit_waits_for_an_approver() -> None:
    found = rule(part(10, 60), trips=(trip(0, 50, entered=34.5),))
    assert (found.limb, found.remarks, found.status(LATER)) == (1, ("trip-wants-approval",), Status.LATE)


def test_once_approved_it_counts_and_says_so() -> None:
    found = rule(part(10, 60), trips=(trip(0, 50, entered=34.5, approved=True),))
    assert (found.limb, found.remarks, found.status(LATER)) == (2, ("backdated",), Status.MET)


def test_a_unit_may_let_it_count_at_once() -> None:
    found = rule(part(10, 60), trips=(trip(0, 50, entered=34.5),), rule=replace(RULE, backdated="count"))
    assert (found.limb, found.remarks) == (2, ("backdated",))


def test_a_return_entered_late_is_no_later_entry() -> None:
    away = Trip("trp-t", "", (Version(at(-1), at(0), at(40)), Version(at(60), at(0), at(40), at(55))))
    assert (found := rule(part(10), trips=(away,))).due_at == at(79)
    assert found.remarks == ()


def test_a_trip_that_is_stretched_afterwards_counts_as_it_was() -> None:
    away = Trip("trp-t", "", (Version(at(-1), at(0), at(40), at(50)), Version(at(80), at(0), at(40), at(79))))
    found = rule(part(10, 90), trips=(away,))
    assert (found.due_at, found.status(LATER)) == (at(74), Status.LATE)


def test_a_trip_that_was_entered_by_mistake_covers_nothing() -> None:
    away = trip(0, 50)
    away = replace(away, versions=(*away.versions, replace(away.versions[0], entered_at=at(90), void=True)))
    assert rule(part(10), trips=(away,)).limb == 1


# --- times that cannot be true ------------------------------------------------------------------------------------------


def test_a_clock_at_2000_is_untrusted_without_a_limit() -> None:
    found = rule(part(None, 60, earliest=at(0), latest=at(59)))
    assert (found.due_at, found.status(LATER)) == (None, Status.UNTRUSTED)


def test_what_was_in_time_even_at_the_earliest_possible_end_is_met() -> None:
    found = rule(part(None, 20, earliest=at(0), latest=at(19)))
    assert (found.reason, found.status(LATER)) == ("bounded", Status.MET)


def test_without_a_bound_nothing_is_known() -> None:
    assert rule(part(None, 20)).status(LATER) is Status.UNTRUSTED
    assert rule(part(10, 30), part(None, 30)).reason == "bounded", "but it ended not before any of its files"


# --- what the rule does not reach ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "reason"),
    [({"channel": "cctv"}, "channel-exempt"), ({"legacy": True}, "legacy")],
)
def test_what_is_exempt_is_not_applicable_with_its_reason(facts: dict[str, Any], reason: str) -> None:
    found = rule(part(10), **facts)
    assert (found.reason, found.status(LATER), found.due_at) == (reason, Status.NOT_APPLICABLE, None)


def test_what_ended_before_the_rule_was_in_force_is_not_applicable() -> None:
    in_force = replace(RULE, since=at(10))
    assert rule(part(9.99), rule=in_force).reason == "before-the-rule"
    assert rule(part(10), rule=in_force).reason == "after-recording"
    for latest, reason in ((9, "before-the-rule"), (11, "no-true-time")):
        assert rule(part(5), part(None, latest=at(latest)), rule=in_force).reason == reason
    assert rule(part(None), rule=in_force).reason == "no-true-time", "nor is it known to be older"


def test_a_receipt_of_the_enforcement_system_meets_it() -> None:
    found = rule(part(10, receipt=Receipt("XZZF-1", at(12))))
    assert (found.met_at, found.status(LATER), found.remarks) == (at(12), Status.MET, ("receipt",))


def test_a_receipt_that_comes_after_it_was_stored_takes_nothing_away() -> None:
    found = rule(part(10, 20, receipt=Receipt("XZZF-1", at(60))))
    assert (found.met_at, found.status(LATER), found.remarks) == (at(20), Status.MET, ())
    assert rule(part(10, 20, receipt=Receipt("1", at(20)))).remarks == (), "nor does one of the same moment"


def test_a_receipt_is_for_the_files_that_it_was_given_for() -> None:
    received = part(10, 60, receipt=Receipt("XZZF-1", at(12)))
    found = rule(received, part(11, 61))
    assert (found.met_at, found.status(LATER), found.remarks) == (at(61), Status.LATE, ("receipt",))


def test_a_limit_that_has_not_begun_is_none() -> None:
    assert span(Span("x", "cas-a", None, None, None, "r")).status(LATER) is Status.NOT_APPLICABLE
    assert span(Span("x", "cas-a", at(0), at(24), at(3), "r")).status(LATER) is Status.MET


# --- over random facts --------------------------------------------------------------------------------------------------

hours = st.integers(-5, 130)
maybe = st.none() | hours


@st.composite
def trip_facts(draw: st.DrawFn) -> Trip:
    """A trip with up to three versions, each entered at an odd moment."""
    entered = sorted(draw(st.lists(hours, min_size=1, max_size=3, unique=True)))
    versions = []
    for when in entered:
        left = draw(st.integers(-5, 60))
        returned = draw(st.none() | st.integers(left, 130))
        versions.append(
            Version(at(when), at(left), at(left + 10), None if returned is None else at(returned),
                    draw(st.booleans()), draw(st.integers(0, 9)) == 0)
        )  # fmt: skip
    return Trip(f"trp-{draw(st.integers(0, 9))}", "r", tuple(versions))


facts_of_a_recording = st.builds(
    Recorded,
    subject=st.just("rec-a"),
    parts=st.lists(
        st.builds(
            lambda ended, stored, earliest, receipt: part(
                ended, stored, earliest=at(earliest), latest=at(earliest + 30), receipt=receipt
            ),
            maybe, maybe, hours, st.none() | st.builds(Receipt, st.just("n"), hours.map(at)),
        ),
        min_size=1, max_size=3,
    ).map(tuple),
    channel=st.sampled_from(["body-camera", "body-camera", "manual", "cctv"]),
    trips=st.lists(trip_facts(), max_size=3).map(tuple),
    docked=st.lists(hours.map(at), max_size=3).map(tuple),
)  # fmt: skip
rules = st.builds(
    StorageRule,
    second_limb=st.sampled_from(["return-after-limit", "any-trip"]),
    backdated=st.sampled_from(["approve", "count"]),
    since=st.none() | hours.map(at),
)


def oracle(facts: Recorded, rule: StorageRule, now: datetime) -> str:
    """The notes on Article 28 once more, read aloud: no shared code, hour by hour where it can be."""
    if facts.channel == "cctv":
        return "not-applicable"
    ends = [p.ended_at for p in facts.parts]
    known = [e for e in ends if e]
    bound = (
        max(known or [p.latest for p in facts.parts])
        if None not in ends
        else max(p.ended_at or p.latest for p in facts.parts)
    )
    if rule.since and bound < rule.since:
        return "not-applicable"
    there = [min((at for at in (p.stored_at, p.receipt and p.receipt.at) if at), default=None) for p in facts.parts]
    met = None if None in there else max(there)
    if None in ends:
        sure = max(p.ended_at or p.earliest for p in facts.parts)
        return "met" if met and met <= sure + 24 * H else "untrusted"
    end = max(known)
    limit = end + 24 * H
    returns, undone = [], []
    for t in facts.trips:
        shown, was = None, []
        for v in t.versions:
            helps = not (shown and not shown.void and v.returned and v.left == shown.left
                         and (shown.returned is None or v.returned <= shown.returned))  # fmt: skip
            if v.entered_at > limit and helps and not v.approved and not v.void and rule.backdated == "approve":
                continue
            was = [*was, shown] if v.entered_at > limit and not v.approved and rule.backdated == "approve" else []
            shown = v
        for found, where in ((shown, returns), *((each, undone) for each in was)):
            if found is None or found.void or end < found.left:
                continue
            hour = found.left + H  # walk on until somebody is back
            while hour <= at(200) and hour not in facts.docked and (found.returned is None or hour < found.returned):
                hour += H
            if found.returned is not None and found.returned == found.left:
                hour = found.left
            if end <= hour:
                where.append(hour if hour <= at(200) else None)
    if returns:
        came = [r for r in returns + undone if r is not None]
        if not came:
            return "met" if met else "open"
        if min(came) > limit or rule.second_limb == "any-trip":
            limit = min(came) + 24 * H
    if met:
        return "met" if met <= limit else "late"
    return "due" if now <= limit else "late"


@settings(max_examples=400)
@given(facts_of_a_recording, rules, hours)
def test_it_agrees_with_the_rule_read_aloud(facts: Recorded, rule: StorageRule, hour: int) -> None:
    assert storage(facts, rule).status(at(hour)).value == oracle(facts, rule, at(hour))


@given(facts_of_a_recording, rules, hours, hours)
def test_for_fixed_facts_time_only_turns_due_into_late(facts: Recorded, rule: StorageRule, one: int, two: int) -> None:
    found = storage(facts, rule)
    before, after = found.status(at(min(one, two))), found.status(at(max(one, two)))
    assert before is after or (before, after) == (Status.DUE, Status.LATE)


@given(facts_of_a_recording, rules)
def test_every_ruling_explains_itself(facts: Recorded, rule: StorageRule) -> None:
    found = storage(facts, rule)
    assert found.reason
    assert (found.limb == 2) == bool(found.trip)
    assert (found.due_at is None) == (found.basis != "limit" or found.reason == "bounded")


@settings(max_examples=400)
@given(facts_of_a_recording, rules)
def test_trips_that_cannot_cover_the_end_change_nothing(facts: Recorded, rule: StorageRule) -> None:
    """So nobody has to ask when somebody was docked who came back long before."""
    ends = [p.ended_at for p in facts.parts if p.ended_at is not None]
    if len(ends) == len(facts.parts) and ends:
        left = tuple(trip for trip in facts.trips if may_cover(trip, max(ends)))
        assert storage(replace(facts, trips=left), rule) == storage(facts, rule)


# --- where to look for trips --------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(st.integers(-5, 60), st.integers(0, 20), st.none() | st.integers(0, 60), st.booleans(), st.booleans()),
        min_size=1, max_size=5,
    ),
    st.integers(0, 60),
    st.sampled_from(["approve", "count"]),
)  # fmt: skip
def test_no_version_of_a_trip_covers_what_lies_outside_its_bounds(
    entries: list[Any], ended: int, backdated: Any
) -> None:
    """The catalogue asks only for trips in whose bounds a recording ended: no other could have counted."""
    entered = sorted(entries, key=lambda entry: entry[0])
    versions = tuple(
        Version(at(when), at(left), at(left + 9), None if back is None else at(left + back), approved, void)
        for when, left, back, approved, void in entered
    )
    found = Trip("trp-x", "", versions)
    first, last = bounds(found)
    inside = first <= at(ended) and (last is None or at(ended) <= last)
    way, _ = away(at(ended), [found], [], at(ended) + 24 * H, backdated)
    assert inside or way is None
