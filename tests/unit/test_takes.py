"""Segments of one take become one recording, and nothing else does."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations, count, permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediad.model.evidence import Kind
from mediad.model.profile import Profile, TakeRule, TimeRule
from mediad.model.segments import Rule, Segment
from mediad.model.takes import Take, takes

ZERO = datetime(2026, 11, 23, 8, tzinfo=UTC)
DOCKED = datetime(2026, 11, 23, 18, tzinfo=UTC)
S = timedelta(seconds=1)
RULE = Rule()


def seg(name: str, start: float, end: float, seq: int | None = None, **more: Any) -> Segment:
    plain = {
        "asset": f"ast-{name}", "recording": f"rec-{name}", "source": "serial:A", "volume": "", "kind": Kind.VIDEO,
        "start": ZERO + start * S, "end": ZERO + end * S, "trusted": True, "seq": seq, "device": "8888888",
        "signature": "h264 1920x1080 30", "order": ord(name[0]), "docking": "dck-1", "claimed": ZERO + start * S,
    }  # fmt: skip
    return Segment(**{**plain, **more})


def astray(name: str, length: float, seq: int | None = None, claimed: float | None = None, **more: Any) -> Segment:
    """A segment whose clock stood at the year 2000."""
    own = None if claimed is None else datetime(2000, 1, 1, tzinfo=UTC) + claimed * S
    s = seg(name, 0, 0, seq, **{"trusted": False, "claimed": own, **more})
    return replace(s, start=DOCKED - length * S, end=DOCKED)


def parts(found: list[Take]) -> list[str]:
    """Members of the takes by their names."""
    return ["".join(s.asset[4:] for s in take.members) for take in found]


def test_segments_that_follow_one_another_are_one_take_under_the_first_ingested_id() -> None:
    (take,) = takes([seg("c", 1200, 1500, 3), seg("a", 0, 600, 1), seg("b", 600, 1200, 2, order=9)], RULE)
    assert [s.asset for s in take.members] == ["ast-a", "ast-b", "ast-c"]
    assert (take.recording, take.started_at, take.ended_at) == ("rec-b", ZERO, ZERO + 1500 * S)
    assert [g.seconds for g in take.gaps] == [0, 0]
    assert take.trusted


def test_a_longer_gap_parts_takes() -> None:
    assert parts(takes([seg("a", 0, 600), seg("b", 603, 700), seg("c", 703.5, 800)], RULE)) == ["ab", "c"]


def test_short_clips_of_the_same_moment_are_no_take() -> None:
    assert parts(takes([seg("a", 0, 2), seg("b", 0, 2)], RULE)) == ["a", "b"]


def test_the_profile_says_how_long_a_gap_may_be_and_whether_to_join_at_all() -> None:
    two = [seg("a", 0, 600), seg("b", 608, 700)]
    assert parts(takes(two, Rule.of(Profile("x", takes=TakeRule(gap_seconds=10))))) == ["ab"]
    assert parts(takes(two, Rule.of(Profile("x", takes=TakeRule(gap_seconds=10, join=False))))) == ["a", "b"]


@pytest.mark.parametrize("other", [
    {"source": "serial:B"}, {"device": "7777777"}, {"officer": "000002"}, {"officer": ""}, {"lens": "B"}, {"signature": "hevc"},
    {"kind": Kind.AUDIO}])  # fmt: skip
def test_what_differs_is_never_one_take(other: dict[str, Any]) -> None:
    """Two recorders of one officer, two officers, an officer and nobody, front and rear, another coding, sound alone."""
    one = {"officer": "000001"}
    assert parts(takes([seg("a", 0, 600, **one), seg("b", 600, 900, **{**one, **other})], RULE)) == ["a", "b"]


@pytest.mark.parametrize("kind", [Kind.PHOTO, Kind.DATA])
def test_photos_and_data_are_never_joined(kind: Kind) -> None:
    assert parts(takes([seg("a", 0, 0, kind=kind), seg("b", 1, 1, kind=kind)], RULE)) == ["a", "b"]


def test_front_and_rear_are_two_takes() -> None:
    both = [seg(n, t, t + 60, q, lens=lens) for n, t, q, lens in [
        ("a", 0, 1, "A"), ("b", 0, 1, "B"), ("c", 60, 2, "A"), ("d", 60, 2, "B")]]  # fmt: skip
    assert sorted(parts(takes(both, RULE))) == ["ac", "bd"]


def test_a_missing_number_parts_takes_and_the_late_segment_joins_them() -> None:
    first, last, late = seg("a", 0, 600, 1), seg("c", 1200, 1800, 3), seg("b", 600, 1200, 2, docking="dck-2", order=200)
    assert parts(takes([first, last], RULE)) == ["a", "c"]
    assert parts(takes([first, seg("c", 601, 1200, 3)], RULE)) == ["a", "c"], "times alone bridge no missing number"
    (whole,) = takes([first, last, late], RULE)
    assert (parts([whole]), whole.recording) == (["abc"], "rec-a")


@pytest.mark.parametrize(("before", "after", "one"), [
    (9999, 0, True), (9999, 1, True), (999, 1, True), (9999, 2, False), (9, 1, False),
    (4, 1, False), (4, 4, False), (None, 7, True)])  # fmt: skip
def test_numbers_run_on_over_the_wrap_and_begin_anew_with_a_take(before: int | None, after: int, one: bool) -> None:
    assert parts(takes([seg("a", 0, 600, before), seg("b", 601, 900, after)], RULE)) == (["ab"] if one else ["a", "b"])


def test_the_buffer_before_the_button_may_overlap_what_was_recorded_before() -> None:
    two = [seg("a", 0, 600), seg("b", 570, 900)]
    assert parts(takes(two, RULE)) == ["a", "b"]
    (take,) = takes(two, Rule.of(Profile("x", time=TimeRule(prerecord_seconds=30))))
    assert [g.seconds for g in take.gaps] == [-30]


def test_a_take_goes_on_over_midnight() -> None:
    assert parts(takes([seg("a", 28_500, 29_100, 1), seg("b", 29_100, 29_700, 2)], RULE)) == ["ab"]


def test_a_recorder_with_two_volumes_may_go_on_on_the_other() -> None:
    assert parts(takes([seg("a", 0, 600, 1), seg("b", 600, 900, 2, volume="other")], RULE)) == ["ab"]


def test_what_is_one_recording_stays_one() -> None:
    assert parts(takes([seg("a", 0, 600, recording="r"), seg("b", 9000, 9900, recording="r")], RULE)) == ["ab"]


def test_what_is_one_recording_and_lies_over_one_another_is_told() -> None:
    (take,) = takes([seg("a", 0, 60, recording="r"), seg("b", 30, 120, recording="r")], RULE)
    assert [r.code for r in take.remarks] == ["members-overlap"]


def test_two_that_could_follow_the_same_segment_do_not_and_say_so() -> None:
    """Two lenses without a mark in their names, or two copies; what is clear before and behind them is joined."""
    card = [seg("x", -60, 0), seg("a", 0, 60), seg("b", 60, 120), seg("c", 60.5, 120.5), seg("d", 120.2, 180)]
    found = takes([*card, seg("e", 180, 200)], RULE)
    assert parts(found) == ["xa", "b", "c", "de"]
    assert [[r.code for r in take.remarks] for take in found] == [
        [],
        ["place-unclear"],
        ["place-unclear"],
        ["place-unclear"],
    ]


def test_what_an_earlier_docking_joined_stays_when_a_rival_comes() -> None:
    first = [seg("a", 0, 600), seg("b", 600, 1200)]
    late = seg("r", 600, 900, docking="dck-2", order=1000)
    assert parts(takes([*first, late], RULE)) == ["ab", "r"]


def test_a_segment_shorter_than_the_gap_stands_between_its_neighbours() -> None:
    assert parts(takes([seg("a", 0, 600), seg("b", 600, 601), seg("c", 602, 900)], RULE)) == ["abc"]


def test_clips_copied_with_one_file_time_are_no_take() -> None:
    """A card copied without its times: every clip seems to end with the copy."""
    clips = [seg(n, -length, 0, estimated=True) for n, length in [("a", 40), ("b", 60), ("c", 90), ("d", 2)]]
    one_by_one = [replace(c, start=c.start + n * S, end=c.end + n * S) for n, c in enumerate(clips)]
    assert sorted(parts(takes(clips, RULE))) == sorted(parts(takes(one_by_one, RULE))) == ["a", "b", "c", "d"]
    numbered = [replace(clip, seq=n) for n, clip in enumerate(clips, 1)]
    assert sorted(parts(takes(numbered, RULE))) == ["a", "b", "c", "d"], "nor do numbers make it one"


@pytest.mark.parametrize(
    ("before", "after", "one"), [(1, 2, True), (None, None, False), (1, None, False), (1, 3, False)]
)
def test_estimated_times_join_by_consecutive_numbers_alone(before: int | None, after: int | None, one: bool) -> None:
    wanted = ["ab"] if one else ["a", "b"]
    for sure in ("", "a", "b"):
        two = [seg("a", 0, 600, before, estimated=sure != "a"), seg("b", 600, 900, after, estimated=sure != "b")]
        assert parts(takes(two, RULE)) == wanted


@pytest.mark.parametrize(("seq", "one"), [(None, False), (1, True)])
def test_what_has_no_known_end_is_followed_by_number_alone(seq: int | None, one: bool) -> None:
    two = [seg("a", 0, 0, seq), seg("b", 2, 600, None if seq is None else seq + 1)]
    assert parts(takes(two, RULE)) == (["ab"] if one else ["a", "b"])


@pytest.mark.parametrize(("before", "start", "end", "one"), [
    (40, 5, 600, False), (40, 19, 600, False), (40, 20, 600, True), (600, 580, 598, False), (600, 580, 600, False),
    (600, 591, 609, True), (600, 539, 900, False), (600, 540, 900, True)])  # fmt: skip
def test_the_buffer_holds_no_more_than_half_of_either(before: float, start: float, end: float, one: bool) -> None:
    """With a buffer of a minute, short clips would else join anything."""
    buffered = replace(RULE, overlap=60 * S)
    assert parts(takes([seg("a", 0, before), seg("b", start, end)], buffered)) == (["ab"] if one else ["a", "b"])


# --- a clock that was reset in the middle -----------------------------------------------------------------------------


def test_a_clock_reset_in_the_middle_of_a_take_is_bridged_by_the_sequence() -> None:
    card = [seg("a", 0, 600, 1), seg("b", 600, 1200, 2), astray("c", 600, 3, 5), astray("d", 100, 4, 605)]
    (take,) = takes(card, RULE)
    assert parts([take]) == ["abcd"]
    assert [(i.asset, i.start, i.end) for i in take.inferred] == [
        ("ast-c", ZERO + 1200 * S, ZERO + 1800 * S), ("ast-d", ZERO + 1800 * S, ZERO + 1900 * S)]  # fmt: skip
    assert (take.trusted, take.ended_at) == (True, ZERO + 1900 * S)


def test_a_clock_may_also_leap_ahead() -> None:
    leapt = astray("c", 600, 3, 36 * 365 * 86_400)
    assert parts(takes([seg("a", 0, 600, 1), seg("b", 600, 1200, 2), leapt], RULE)) == ["abc"]


def test_after_a_segment_that_is_not_full_nothing_is_inferred() -> None:
    assert parts(takes([seg("a", 0, 600, 1), seg("b", 600, 800, 2), astray("c", 600, 3, 5)], RULE)) == ["ab", "c"]
    rule = Rule.of(Profile("x", takes=TakeRule(segment_seconds=900)))
    assert parts(takes([seg("a", 0, 600, 1), seg("b", 600, 1200, 2), astray("c", 600, 3)], rule)) == ["ab", "c"]
    assert parts(takes([seg("a", 0, 899, 1), astray("c", 100, 2)], rule)) == ["ac"]


def test_what_is_followed_already_is_followed_by_nothing_else() -> None:
    card = [seg("a", 0, 600, 1), seg("b", 600, 700, 2), seg("x", 5000, 5600, 7), astray("c", 500, 2, 0)]
    assert parts(takes(card, RULE)) == ["ab", "x", "c"]


def test_short_files_of_equal_length_are_no_full_segments() -> None:
    assert parts(takes([seg("a", 0, 8, 1), seg("b", 500, 508, 2), astray("c", 8, 3)], RULE)) == ["a", "b", "c"]


def test_nothing_is_inferred_across_dockings_or_without_a_number() -> None:
    two = [seg("a", 0, 600, 1), seg("b", 600, 1200, 2)]
    assert parts(takes([*two, astray("c", 600, 3, docking="dck-2")], RULE)) == ["ab", "c"]
    assert parts(takes([*two, astray("c", 600, None)], RULE)) == ["ab", "c"]


def test_what_could_follow_two_segments_stays_alone_and_says_so() -> None:
    """A recorder that counts from 1 in every take."""
    found = takes([seg("a", 0, 600, 1), seg("b", 5000, 5600, 1), astray("c", 600, 2, 5)], RULE)
    assert parts(found) == ["a", "b", "c"]
    assert [r.code for r in found[2].remarks] == ["place-unclear"]


def test_two_that_could_follow_the_same_segment_stay_alone_and_say_so() -> None:
    found = takes([seg("a", 0, 600, 1), astray("b", 600, 2, 0), astray("c", 600, 2, 5000)], RULE)
    assert sorted(parts(found)) == ["a", "b", "c"]
    assert [r.code for t in found[1:] for r in t.remarks] == ["place-unclear"] * 2


def test_a_wrong_clock_that_went_on_parts_takes_as_a_right_one_does() -> None:
    card = [astray("a", 600, 1, 0), astray("b", 600, 2, 9000)]
    assert sorted(parts(takes(card, RULE))) == ["a", "b"]
    (twice_reset,) = takes([astray("a", 600, 1, 700), astray("b", 600, 2, 0)], RULE)
    assert parts([twice_reset]) == ["ab"]


def test_a_whole_take_by_a_wrong_clock_is_one_and_not_trusted() -> None:
    (take,) = takes([astray("a", 600, 1, 0), astray("b", 600, 2, 600), astray("c", 60, 3, 1200)], RULE)
    assert parts([take]) == ["abc"]
    assert (take.trusted, take.started_at, take.ended_at) == (False, DOCKED - 1260 * S, DOCKED)


def test_what_is_one_recording_without_a_link_does_not_stretch_it_to_the_docking() -> None:
    """It was joined once by a clock that is not trusted any more: its place is by number, else behind the others."""
    kept = [seg("a", 0, 600, 1, recording="r"), seg("d", 1300, 1900, 12, recording="r")]
    lost = [astray("b", 300, 8, 5, recording="r"), astray("c", 400, 9, 305, recording="r")]
    (take,) = takes([*kept, *lost], RULE)
    assert (parts([take]), take.ended_at, take.trusted) == (["abcd"], ZERO + 1900 * S, True)
    assert [(i.start, i.end) for i in take.inferred] == [
        (ZERO + 600 * S, ZERO + 900 * S), (ZERO + 900 * S, ZERO + 1300 * S)]  # fmt: skip
    (take,) = takes([*kept, *(replace(s, seq=None) for s in lost)], RULE)
    assert (parts([take]), take.ended_at) == (["adbc"], ZERO + 2600 * S)


# --- properties -------------------------------------------------------------------------------------------------------


@st.composite
def cards(draw: st.DrawFn, *, trusted_only: bool = False) -> list[Segment]:
    one = st.tuples(
        st.integers(0, 40), st.integers(1, 8), st.one_of(st.none(), st.integers(0, 5)), st.sampled_from("AB"),
        st.sampled_from(["dck-1", "dck-2"]), st.booleans(), st.booleans(),
    )  # fmt: skip
    found = []
    for n, (start, length, seq, lens, docking, trusted, estimated) in enumerate(draw(st.lists(one, max_size=8))):
        s = seg(chr(97 + n), start * 10, (start + length) * 10, seq, lens=lens, docking=docking, estimated=estimated)
        found.append(s if trusted or trusted_only else replace(s, trusted=False, claimed=s.start))
    return found


def grouped(found: list[Take]) -> set[frozenset[str]]:
    return {frozenset(s.asset for s in t.members) for t in found}


@given(cards(), st.randoms())
def test_the_order_of_segments_does_not_matter(card: list[Segment], chance: Any) -> None:
    mixed = list(card)
    chance.shuffle(mixed)
    assert takes(mixed, RULE) == takes(card, RULE)


@given(cards())
def test_every_segment_is_in_exactly_one_take(card: list[Segment]) -> None:
    found = takes(card, RULE)
    assert sorted(s.asset for t in found for s in t.members) == sorted(s.asset for s in card)
    assert len({t.recording for t in found}) == len(found)
    for t in found:
        assert t.recording in {s.recording for s in t.members}
        assert len(t.gaps) == len(t.members) - 1
        astray = {s.asset for s in t.members if not s.trusted}
        assert {i.asset for i in t.inferred} == (astray if len(t.members) > 1 else set())


@given(cards(), cards(trusted_only=True))
def test_a_segment_that_comes_later_splits_nothing(card: list[Segment], later: list[Segment]) -> None:
    """Whatever another docking brings."""
    late = [replace(s, asset=s.asset + "'", recording=s.recording + "'", docking="dck-3", order=1000) for s in later]
    whole = grouped(takes([*card, *late], RULE))
    for part in grouped(takes(card, RULE)):
        assert any(part <= w for w in whole)


@given(cards(trusted_only=True))
def test_trusted_segments_are_joined_as_by_brute_force(card: list[Segment]) -> None:
    linked = {frozenset({a.asset}) for a in card}
    for lens in "AB":
        own = [s for s in card if s.lens == lens]
        came = {s.docking: min(o.order for o in own if o.docking == s.docking) for s in own}
        able = {(a, b): max(came[a.docking], came[b.docking]) for a, b in permutations(own, 2) if follows(a, b, card)}
        for (a, b), at in able.items():
            rivals = [(x, y) for (x, y), its in able.items() if (x is a) != (y is b) and its <= at]
            earlier = any(able[pair] < at for pair in rivals)
            if not earlier and all(apart(x, a) if y is b else apart(b, y) for x, y in rivals):
                one = frozenset[str]().union(*(g for g in linked if a.asset in g or b.asset in g))
                linked = {g for g in linked if not g & one} | {one}
    assert grouped(takes(card, RULE)) == linked


def apart(a: Segment, b: Segment) -> bool:
    """Whether the second begins after the first, and not within it."""
    return b.start > a.start and b.start >= a.end - min(3 * S, a.length / 2, b.length / 2)


def follows(a: Segment, b: Segment, card: list[Segment]) -> bool:
    numbered = not (a.estimated or b.estimated)
    if a.seq is not None and b.seq is not None:
        others = {
            s.seq
            for s in card
            if (s.docking, s.lens != a.lens) == (a.docking, True) and a.start - 3 * S <= s.start <= a.end + 3 * S
        }
        free = next(number for number in count(a.seq + 1) if number not in others)
        numbered = b.seq in (a.seq + 1, free)
    return apart(a, b) and b.start <= a.end + 3 * S and numbered


@given(cards(trusted_only=True))
def test_no_two_members_are_of_the_same_time(card: list[Segment]) -> None:
    for take in takes(card, RULE):
        assert all(apart(a, b) for a, b in combinations(take.members, 2))


wild = st.datetimes().map(lambda d: d.replace(tzinfo=UTC))


@given(
    st.lists(
        st.builds(
            lambda start, end, seq, trusted, claimed: replace(
                seg("x", 0, 0, seq), start=start, end=end, trusted=trusted, claimed=claimed
            ),
            wild, wild, st.one_of(st.none(), st.integers(0, 3)), st.booleans(), st.one_of(st.none(), wild),
        ),
        max_size=5,
    )
)  # fmt: skip
def test_times_out_of_all_reason_raise_nothing(card: list[Segment]) -> None:
    alone = [replace(s, recording=f"rec-{n}", asset=f"ast-{n}") for n, s in enumerate(card)]
    assert sum(len(t.members) for t in takes(alone, RULE)) == len(card)
