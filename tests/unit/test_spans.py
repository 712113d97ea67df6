"""Limits that begin with one fact and end with another: over random facts they are total, monotone, explain themselves, and agree
with the rules read aloud."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from mediad.model.cases import Case, CaseKind, CaseRules, Numbered
from mediad.model.cases import rulings as of_case
from mediad.model.deadline import URGENT, Part, Receipt, Recorded, Ruling, Status
from mediad.model.reasons import REASONS
from mediad.model.registers import Move
from mediad.model.spans import HandedOut, SpanRules, recorder_back, signature, upload
from mediad.model.trips import Trip, Version

ZERO = datetime(2026, 12, 30, tzinfo=UTC)  # so that years end in the middle of it
H = timedelta(hours=1)
ZONE = ZoneInfo("Asia/Shanghai")
hours = st.integers(0, 120)
times = hours.map(lambda n: ZERO + n * H)
maybe = st.none() | times
rules = st.builds(
    SpanRules,
    upload=st.none() | st.just(48 * H), sign=st.none() | st.just(72 * H), back=st.none() | st.just(24 * H),
    backdated=st.sampled_from(["approve", "count"]), since=maybe,
)  # fmt: skip


def sane(ruling: Ruling, now: datetime, later: datetime) -> Status:
    """What holds of every ruling; returns its status now."""
    before, after = ruling.status(min(now, later)), ruling.status(max(now, later))
    assert before is after or (before, after) == (Status.DUE, Status.LATE)
    assert {ruling.reason, *ruling.remarks} <= REASONS.keys()
    assert (ruling.limb == 2) == bool(ruling.trip)
    return ruling.status(now)


def told(met: datetime | None, limit: datetime, now: datetime) -> str:
    """The same for all of them."""
    return ("met" if met <= limit else "late") if met else ("due" if now <= limit else "late")


# --- the platform -------------------------------------------------------------------------------------------------------

recorded = st.builds(
    Recorded,
    subject=st.just("rec-a"),
    parts=st.lists(st.builds(Part, maybe, maybe), min_size=1, max_size=3).map(tuple),
    channel=st.sampled_from(["terminal", "body-camera"]),
)


@given(recorded, st.none() | times.map(lambda at: Receipt("1", at)), rules, times, times)
def test_what_a_terminal_recorded_is_with_the_platform_in_time(
    facts: Recorded, receipt: Receipt | None, by: SpanRules, now: datetime, later: datetime
) -> None:
    found = sane(upload(facts, receipt, by), now, later).value
    ends = [p.ended_at for p in facts.parts]
    if facts.channel != "terminal" or by.upload is None:
        assert found == "not-applicable"
    elif None in ends:
        assert found == "untrusted"
    elif by.since and max(e for e in ends if e) < by.since:
        assert found == "not-applicable"
    else:
        assert found == told(receipt and receipt.at, max(e for e in ends if e) + 48 * H, now)


def test_an_upload_counts_from_the_last_file_and_says_if_any_end_is_estimated() -> None:
    parts = (Part(ZERO, None), Part(ZERO + 2 * H, None, estimated=True), Part(ZERO + H, None))
    by = SpanRules(upload=48 * H)
    found = upload(Recorded("rec-a", parts, "terminal"), None, by)
    assert (found.due_at, found.remarks) == (ZERO + 50 * H, ("end-estimated",))
    assert upload(Recorded("rec-a", parts[::2], "terminal"), None, by).remarks == ()


# --- signatures ---------------------------------------------------------------------------------------------------------


@given(maybe, maybe, rules, times, times)
def test_a_hand_over_is_signed_in_time(
    closed: datetime | None, signed: datetime | None, by: SpanRules, now: datetime, later: datetime
) -> None:
    found = sane(signature("dck-a", closed, signed, by), now, later).value
    none = closed is None or by.sign is None or (by.since is not None and closed < by.since)
    assert found == ("not-applicable" if none or closed is None else told(signed, closed + 72 * H, now))


def test_a_hand_over_whose_time_was_over_when_the_station_began_to_ask_wants_no_signature() -> None:
    by = SpanRules(asked=ZERO)
    found = [signature("dck-a", ZERO - 72 * H + n * timedelta(seconds=1), None, by).reason for n in (-1, 0, 1)]
    assert found == ["before-signing", "after-docking", "after-docking"]
    assert signature("dck-a", None, None, by).reason == "nothing-to-sign"
    assert (
        signature("dck-a", ZERO, None, replace(by, sign=None)).reason
        == signature("dck-a", None, None, SpanRules(sign=None)).reason
        == "no-limit"
    )


# --- recorders, by example -----------------------------------------------------------------------------------------------


def test_a_trip_at_the_end_of_a_hand_out_gives_a_day_from_the_return_and_says_so() -> None:
    trip = Trip("trp-a", "检查", (Version(ZERO, ZERO + H, ZERO + 40 * H, ZERO + 30 * H),))
    facts = HandedOut("rcd-a@x", ZERO, None, (trip,), returned=True)
    found = recorder_back(facts, SpanRules())
    assert (found.due_at, found.reason, found.limb) == (ZERO + 54 * H, "after-return", 2)
    assert found.remarks == ("returned-not-docked",)
    away = replace(trip, versions=(replace(trip.versions[0], returned=None),))
    assert recorder_back(replace(facts, trips=(away,)), SpanRules()).reason == "trip-open"
    for approved, remark, reason in (
        (False, "trip-wants-approval", "after-issue"),
        (True, "backdated", "after-return"),
    ):
        entered = replace(trip.versions[0], entered_at=ZERO + 25 * H, approved=approved)
        late = recorder_back(replace(facts, trips=(replace(trip, versions=(entered,)),)), SpanRules())
        assert (late.reason, remark in late.remarks) == (reason, True)
    for state in ("lost", "broken"):
        gone = replace(facts, ended=Move("rcd-a", state, ZERO + 9 * H, why="落水"))
        assert (recorder_back(gone, SpanRules()).reason, recorder_back(gone, SpanRules()).why) == (
            f"recorder-{state}",
            "落水",
        )
    assert recorder_back(replace(facts, trips=(), expected=ZERO + H), SpanRules()).reason == "after-expected"


# --- urgent reports -----------------------------------------------------------------------------------------------------


@given(times, maybe, maybe, times, times)
def test_what_began_in_an_emergency_is_reported_in_time(
    opened: datetime, reported: datetime | None, since: datetime | None, now: datetime, later: datetime
) -> None:
    case = Case(
        "cas-a", "case", CaseKind.PENALTY, (Numbered("x", "1"),), "x", opened=opened, urgent=True, reported=reported
    )
    (ruling,) = of_case(case, CaseRules(since=since), ZONE)
    assert ruling.rule == URGENT
    found = sane(ruling, now, later).value
    assert found == ("not-applicable" if since and opened < since else told(reported, opened + 24 * H, now))
    assert of_case(replace(case, urgent=False), CaseRules(since=since), ZONE) == []


# --- recorders ----------------------------------------------------------------------------------------------------------


@st.composite
def handed_out(draw: st.DrawFn) -> HandedOut:
    """A recorder, with a trip of one version."""
    issued = draw(times)
    later = st.integers(1, 90).map(lambda n: issued + n * H)
    left = draw(later)
    entered = draw(st.integers(-5, 90).map(lambda n: issued + n * H))
    back = draw(st.none() | st.integers(0, 60).map(lambda n: left + n * H))
    trip = Trip("trp-a", "r", (Version(entered, left, left + H, back, draw(st.booleans())),))
    state = draw(st.sampled_from([None, "lost", "broken"]))
    return HandedOut(
        "rcd-a@x", issued, draw(st.none() | later), draw(st.sampled_from([(), (trip,)])),
        tuple(sorted(draw(st.lists(later, max_size=2)))), draw(st.none() | later),
        Move("rcd-a", state, draw(later), why="w") if state else None, draw(st.booleans()),
    )  # fmt: skip


def oracle(facts: HandedOut, by: SpanRules, now: datetime) -> str:
    """A recorder that was handed out, read aloud: hour by hour until somebody is back."""
    if by.back is None or (by.since and facts.issued < by.since):
        return "not-applicable"
    if facts.ended and not (facts.docked and facts.docked <= facts.ended.at):
        return "not-applicable"
    limit = facts.expected or facts.issued + 24 * H
    for trip in facts.trips:
        (version,) = trip.versions
        if version.entered_at > limit and not version.approved and by.backdated == "approve":
            continue
        hour = version.left
        while (
            hour < version.left + 500 * H
            and hour != version.returned
            and not (hour > version.left and hour in facts.proofs)
        ):
            hour += H
        back = hour if hour < version.left + 500 * H else None
        if version.left <= limit and (back is None or limit <= back):
            if back is None:
                return "met" if facts.docked else "open"
            limit = back + 24 * H
            break
    return told(facts.docked, limit, now)


@settings(max_examples=300)
@given(handed_out(), rules, times, times)
def test_a_recorder_that_was_handed_out_is_docked_in_time(
    facts: HandedOut, by: SpanRules, now: datetime, later: datetime
) -> None:
    ruling = recorder_back(facts, by)
    assert sane(ruling, now, later).value == oracle(facts, by, now)
    assert ("returned-not-docked" in ruling.remarks) <= (facts.returned and facts.docked is None)
    assert recorder_back(replace(facts, returned=not facts.returned), by).state == ruling.state, (
        "handed in is not docked"
    )
