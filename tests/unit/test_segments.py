"""What a segment does not say, what its number says where others bear numbers too, and what a card full of one moment costs."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from mediad.model import links
from mediad.model.coding import Coding, signature
from mediad.model.evidence import Kind
from mediad.model.probe import Probe, Stream
from mediad.model.profile import Profile, TakeRule
from mediad.model.segments import Rule, Segment, reach
from mediad.model.takes import takes
from tests.unit.test_takes import RULE, ZERO, S, astray, parts, seg

FILM = "mov,mp4, h264 1920x1080 {}"
SOUND = ", aac 48000 1"


# --- how it is coded ---------------------------------------------------------------------------------------------------


def probed(rate: float | None = 25.0, *, sound: bool = True, width: int = 1920) -> str:
    streams = [Stream("video", "h264", width=width, height=1080, frame_rate=rate)]
    streams += [Stream("audio", "aac", sample_rate=48_000, channels=1)] if sound else []
    return signature(Probe("video", container="mov,mp4", streams=tuple(streams)))


def test_a_signature_is_what_older_versions_recorded() -> None:
    """Recorded in events it is compared with that of later versions."""
    assert probed(29.97) == "mov,mp4, h264 1920x1080 30, aac 48000 1"
    assert signature(Probe("video", container="mov,mp4", conditions=("truncated",))) == "unknown"


def test_a_signature_is_read_part_by_part() -> None:
    assert Coding.read(probed()) == Coding("mov,mp4", "h264 1920x1080", 25.0, "aac 48000 1")
    assert Coding.read(probed(None, sound=False)) == Coding("mov,mp4", "h264 1920x1080", None, None)
    assert Coding.read("wav, pcm_s16le None 2") == Coding("wav", "", None, "pcm_s16le None 2")
    assert Coding.read("not probed: ast-x") == Coding("not probed: ast-x", "", None, None)
    assert Coding.read("") is Coding.read("unknown") is None


def joined(before: str, after: str, *others: Segment) -> bool:
    card = [seg("a", 0, 600, 1, signature=before), seg("b", 600, 900, 2, signature=after), *others]
    return "ab" in parts(takes(card, RULE))


@pytest.mark.parametrize(("one", "other", "alike"), [
    (24.4, 24.6, True), (24.9, 25.1, True), (29.97, 30, True), (28.4, 30, True), (12.4, 12.6, True), (25, 30, False),
    (30, 60, False), (None, 25, True)])  # fmt: skip
def test_frame_rates_differ_by_class(one: float, other: float, alike: bool) -> None:
    """An average is off by the frames that the dark cost; another setting is another take."""
    assert joined(probed(one), probed(other)) is joined(probed(other), probed(one)) is alike


def test_a_segment_with_a_muted_microphone_is_of_the_take() -> None:
    assert joined(probed(), probed(sound=False))
    assert joined(probed(sound=False), probed())
    assert not joined(probed(), probed(sound=False, width=1280)), "nothing else may differ"


def test_a_lens_without_microphone_is_not_a_muted_one() -> None:
    """Two lenses of one form, in folders of their own that no pattern reads."""
    card = [seg(n, t, t + 60, q, signature=probed(sound=sound)) for n, t, q, sound in [
        ("a", 0, 1, True), ("b", 0, 1, False), ("c", 60, 2, True), ("d", 60, 2, False), ("e", 120, 3, False)]]  # fmt: skip
    assert sorted(parts(takes(card, RULE))) == ["ac", "bde"]
    later = [*card[:4], replace(card[4], docking="dck-2", order=500)]
    assert sorted(parts(takes(later, RULE))) == ["ac", "bd", "e"], "it might be either's"


def test_a_muted_segment_that_shares_the_buffer_with_what_was_before_is_of_the_take() -> None:
    card = [seg("a", 0, 60, 1, signature=probed()), seg("b", 40, 100, 2, signature=probed(sound=False))]
    assert parts(takes(card, Rule(overlap=33 * S))) == ["ab"]


def test_a_muted_segment_between_two_kinds_of_sound_is_of_neither() -> None:
    pcm = seg("z", 9000, 9100, 50, signature=FILM.format(25) + ", pcm_alaw 8000 1")
    assert not joined(probed(), probed(sound=False), pcm)


def test_what_says_nothing_of_itself_is_coded_as_the_docking_has_it_by_its_lens() -> None:
    """The battery was pulled while both lenses recorded."""
    both = [seg(n, t, t + 60, q, lens=lens, signature=FILM.format(rate)) for n, t, q, lens, rate in [
        ("a", 0, 1, "A", 30), ("b", 0, 1, "B", 25)]]  # fmt: skip
    broken = [seg(n, 60, 80, 2, lens=lens, signature="unknown") for n, lens in [("c", "A"), ("d", "B")]]
    assert sorted(parts(takes([*both, *broken], RULE))) == ["ac", "bd"]


def test_what_says_nothing_and_is_alone_of_its_lens_is_coded_as_that_was_before() -> None:
    """A docking that brought nothing but the broken one."""
    before = [seg("a", 0, 60, 1, lens="A", signature=probed()), seg("b", 0, 60, 1, lens="B", signature=probed(30))]
    late = seg("c", 60, 80, 2, lens="A", signature="unknown", docking="dck-2", order=200)
    assert "ac" in parts(takes([*before, late], RULE))


def test_where_a_lens_is_coded_in_two_ways_what_says_nothing_stays_apart() -> None:
    other = seg("z", 9000, 9100, 50, signature=probed(width=1280))
    assert joined(probed(), "unknown")
    assert not joined(probed(), "unknown", other)


# --- by which device ---------------------------------------------------------------------------------------------------


def test_a_segment_whose_sidecar_is_missing_is_of_the_one_device_that_there_is() -> None:
    card = [seg("a", 0, 600, 1), seg("b", 600, 900, 2, device=""), seg("c", 900, 990, 3)]
    assert parts(takes(card, RULE)) == ["abc"]
    late = [card[0], replace(card[1], docking="dck-2", order=500)]
    assert parts(takes(late, RULE)) == ["ab"], "also where its own docking tells of none"


def test_in_a_folder_for_many_recorders_what_tells_no_device_is_not_of_the_one_that_does() -> None:
    """Recorders that cut by the clock on the wall all begin files when others end theirs."""
    here = {"source": "folder:/srv/drop"}
    assert parts(takes([seg("a", 0, 600, **here), seg("b", 600, 900, device="", **here)], RULE)) == ["a", "b"]
    nobody = [seg("a", 0, 600, device="", **here), seg("b", 600, 900, device="", **here)]
    assert parts(takes(nobody, RULE)) == ["ab"]


def test_where_there_are_two_devices_what_tells_none_is_of_neither() -> None:
    two = [seg("a", 0, 600, 1), seg("b", 600, 900, 2, device=""), seg("c", 9000, 9900, 5, device="7777777")]
    assert parts(takes(two, RULE)) == ["a", "b", "c"]
    elsewhere = [*two[:2], replace(two[2], docking="dck-2", order=500)]
    assert parts(takes(elsewhere, RULE)) == ["ab", "c"], "its own docking tells of one"


# --- numbers that others bear ------------------------------------------------------------------------------------------


def photo(name: str, at: float, seq: int, **more: Any) -> Segment:
    return seg(name, at, at, seq, kind=Kind.PHOTO, **more)


def test_a_number_that_went_to_a_photo_is_not_missing() -> None:
    card = [seg("a", 0, 600, 5), photo("p", 300, 6), photo("q", 310, 7), seg("b", 600, 900, 8)]
    assert parts(takes(card, RULE)) == ["ab", "p", "q"]
    assert parts(takes([*card[:2], card[3]], RULE)) == ["a", "p", "b"], "but seven is"
    assert parts(takes([card[0], *card[1:3], seg("b", 604, 900, 8)], RULE)) == ["a", "p", "q", "b"], (
        "nor do times touch"
    )


@pytest.mark.parametrize("other", [
    {"docking": "dck-2"}, {"source": "serial:B"}, {"kind": Kind.DATA}, {"trusted": False}, {"start": ZERO - 4 * S},
    {"start": ZERO + 604 * S}])  # fmt: skip
def test_a_number_is_missing_if_what_bears_it_is_of_another_time_or_place(other: dict[str, Any]) -> None:
    """A sidecar does not: it may be of the segment that is missing."""
    bearer = replace(photo("p", 300, 6), **other)
    assert "ab" not in parts(takes([seg("a", 0, 600, 5), bearer, seg("b", 600, 900, 7)], RULE))


def test_two_lenses_may_count_together() -> None:
    card = [seg(n, t, t + 60, q, lens=lens) for n, t, q, lens in [
        ("a", 0, 1, "A"), ("b", 0, 2, "B"), ("c", 60, 3, "A"), ("d", 60, 4, "B"), ("e", 120, 5, "A")]]  # fmt: skip
    assert sorted(parts(takes(card, RULE))) == ["ace", "bd"]


def test_two_lenses_that_only_their_pictures_tell_apart_may_count_together() -> None:
    card = [seg(n, t, t + 60, q, signature=how) for n, t, q, how in [
        ("a", 0, 1, probed()), ("b", 0, 2, probed(width=1280)), ("c", 60, 3, probed()), ("d", 60, 4, probed(width=1280)),
        ("e", 120, 5, probed())]]  # fmt: skip
    assert sorted(parts(takes(card, RULE))) == ["ace", "bd"]


@pytest.mark.parametrize("other", [
    {"officer": "7"}, {"device": "7777777"}, {"signature": probed(width=1280)}, {"kind": Kind.AUDIO}])  # fmt: skip
@pytest.mark.parametrize("start", [59.5, 60.0])
def test_what_was_filmed_between_two_takes_parts_them(other: dict[str, Any], start: float) -> None:
    """The officer whose film lies between is not the one who pressed the button before."""
    card = [seg("a", 0, 60, 5), seg("b", start, start + 2, 6, **other), seg("c", 62.5, 120, 7)]
    assert parts(takes(card, RULE)) == ["a", "b", "c"]


def test_a_counter_of_films_alone_goes_on_beside_one_of_photos() -> None:
    card = [seg("a", 0, 600, 5), photo("p", 300, 6), seg("b", 600, 900, 6)]
    assert parts(takes(card, RULE)) == ["ab", "p"]


def test_more_photos_than_anybody_takes_bridge_nothing() -> None:
    shot = [photo(f"p{n}", 5 * n, 5 + n) for n in range(1, links.PHOTOS + 2)]
    assert "ab" in parts(takes([seg("a", 0, 600, 5), *shot[:-1], seg("b", 600, 900, links.PHOTOS + 6)], RULE))
    assert "ab" not in parts(takes([seg("a", 0, 600, 5), *shot, seg("b", 600, 900, links.PHOTOS + 7)], RULE))


# --- where others are looked for ---------------------------------------------------------------------------------------


def test_others_are_looked_for_around_each_cluster_of_segments_and_nowhere_between() -> None:
    day, margin = 86_400, 86_400 + 6
    card = [seg("a", 0, 600), seg("b", day, day + 600), seg("c", 90 * day, 90 * day + 9), photo("p", 50 * day, 1)]
    lost = astray("x", 600, 2, 5)
    assert reach([*card, lost], RULE) == [
        (ZERO - margin * S, ZERO + (day + 600 + margin) * S),
        (ZERO + (90 * day - margin) * S, ZERO + (90 * day + 9 + margin) * S)]  # fmt: skip


def test_where_nothing_is_joined_nothing_is_looked_for() -> None:
    assert reach([seg("a", 0, 600)], replace(RULE, join=False)) == []


# --- what proves nothing -----------------------------------------------------------------------------------------------


def test_a_segment_without_number_is_no_rival_of_one_whose_time_is_its_last_write() -> None:
    for one, other in ((1, None), (None, 2)):
        a = seg("a", 0, 600, one, estimated=one is not None)
        b = seg("b", 600, 900, other, estimated=other is not None)
        found = takes([a, b], RULE)
        assert (parts(found), [t.remarks for t in found]) == (["a", "b"], [(), ()])
    rival = seg("x", 600, 900, 7, estimated=True)
    assert "ab" in parts(takes([seg("a", 0, 600), seg("b", 600, 900), rival], RULE))


@pytest.mark.parametrize(("length", "full"), [(598.0, True), (602.0, True), (597.5, False), (602.5, False)])
def test_segments_that_are_as_long_as_another_to_two_seconds_are_full(length: float, full: bool) -> None:
    card = [seg("a", 0, 600, 1), seg("x", 5000, 5000 + length, 7), astray("c", 60, 8, 5)]
    assert ("xc" in parts(takes(card, RULE))) is full


@pytest.mark.parametrize(("length", "full"), [(898.0, True), (897.5, False)])
def test_a_segment_is_full_to_two_seconds_of_what_the_profile_says(length: float, full: bool) -> None:
    rule = Rule.of(Profile("x", takes=TakeRule(segment_seconds=900)))
    assert ("ac" in parts(takes([seg("a", 0, length, 1), astray("c", 60, 2, 5)], rule))) is full


@pytest.mark.parametrize(("length", "full"), [(30.0, True), (29.9, False)])
def test_files_of_less_than_half_a_minute_are_never_full(length: float, full: bool) -> None:
    card = [seg("a", 0, length, 1), seg("b", 500, 500 + length, 7), astray("c", 8, 8, 5)]
    assert ("bc" in parts(takes(card, RULE))) is full


def test_what_follows_by_the_wrong_clock_is_not_asked_for_its_number() -> None:
    """It follows two: which one is not clear, but before the reset it does not belong."""
    rivals = [astray("b", 600, 2, 0), astray("x", 600, 2, 0.5), astray("c", 60, 3, 600.2)]
    found = takes([seg("a", 0, 600, 2), *rivals], RULE)
    assert "ac" not in parts(found)


def test_what_is_followed_by_the_wrong_clock_is_followed_by_no_number() -> None:
    card = [astray("a", 600, 1, 0), astray("b", 600, 2, 600), astray("c", 600, 2, -5000)]
    assert sorted(parts(takes(card, RULE))) == ["ab", "c"]


def test_of_three_before_which_a_clock_may_have_been_set_back_only_the_later_ones_count() -> None:
    """Two of them could be followed: it is as unclear as it would be without the third."""
    before = [astray(n, 600, 1, claimed) for n, claimed in [("a", 0), ("b", 5000), ("c", 9000)]]
    found = takes([*before, astray("d", 60, 2, 2000)], RULE)
    assert sorted(parts(found)) == ["a", "b", "c", "d"]
    assert [r.code for t in found for r in t.remarks] == ["place-unclear"]
    assert sorted(parts(takes([*before[:2], astray("d", 60, 2, 2000)], RULE))) == ["a", "bd"]


@pytest.mark.parametrize("claimed", [datetime.min, datetime.max])
def test_a_claim_at_the_end_of_all_dates_raises_nothing(claimed: datetime) -> None:
    card = [replace(astray(n, 60, q, 0), claimed=claimed.replace(tzinfo=UTC)) for n, q in (("a", 1), ("b", 2))]
    assert sum(len(t.members) for t in takes(card, RULE)) == 2


@pytest.mark.parametrize(("year", "one"), [(1969, False), (1970, True), (2199, True), (2200, False)])
def test_years_out_of_all_reason_join_nothing(year: int, one: bool) -> None:
    by = datetime(year, 6, 1, tzinfo=UTC) - ZERO
    two = [seg("a", 0, 600, 1), seg("b", 600, 900, 2)]
    moved = [replace(s, start=s.start + by, end=s.end + by) for s in two]
    assert parts(takes(moved, RULE)) == (["ab"] if one else ["a", "b"])


def test_a_file_of_more_than_a_day_joins_nothing() -> None:
    day = 24 * 3600
    assert parts(takes([seg("a", 0, day, 1), seg("b", day, day + 9, 2)], RULE)) == ["ab"]
    assert parts(takes([seg("a", 0, day + 1, 1), seg("b", day + 1, day + 9, 2)], RULE)) == ["a", "b"]


# --- what it costs -----------------------------------------------------------------------------------------------------


def moment(many: int, *numbers: int | None, **more: Any) -> list[Segment]:
    """Half of them end when the others begin."""
    before, after = numbers or (None, None)
    half = range(many // 2)
    return [seg("a", 0, 60, before, order=n) for n in half] + [seg("a", 60, 120, after, order=n, **more) for n in half]


def wrong(many: int) -> list[Segment]:
    return [
        s if s.seq == 1 else replace(astray("a", 60, 2, order=s.order), claimed=ZERO - s.order * S)
        for s in moment(many, 1, 2)
    ]


CROWDS = {
    "of one moment": (20_000, moment),
    "of one number": (2_000, lambda many: moment(many, 1, 2)),
    "numbered in a row": (2_000, lambda many: [seg("a", 0, 60, n, order=n) for n in range(many)]),
    "a tenth of a second each": (2_000, lambda many: [seg("a", n / 10, n / 10 + 0.1, order=n) for n in range(many)]),
    "by a wrong clock": (2_000, wrong),
    "of many dockings": (2_000, lambda many: [replace(s, docking=f"dck-{s.order % 50}") for s in moment(many)]),
    "among photos": (2_000, lambda many: [
        seg("a", 0, 60, n, order=n) if n % 2 else photo("p", 30, n, order=n) for n in range(many)]),
}  # fmt: skip


@pytest.mark.parametrize("crowd", CROWDS)
def test_a_card_full_of_one_moment_costs_no_more_than_another(crowd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs that are looked at, and links that are made, grow with the number of files and not with its square."""
    looked = 0
    pair = links.shared

    def counted(before: Segment, after: Segment, rule: Rule) -> Any:
        nonlocal looked
        looked += 1
        return pair(before, after, rule)

    monkeypatch.setattr(links, "shared", counted)
    many, made_by = CROWDS[crowd]
    made, _ = links.links(made_by(many), RULE)
    assert len(made) < many
    assert looked <= 4 * links.CROWD * many


def test_a_crowd_that_comes_later_parts_nothing() -> None:
    first = [seg("a", 0, 600), seg("b", 600, 1200)]
    late = [seg(f"r{n}", 600, 900, docking="dck-2", order=1000 + n) for n in range(2 * links.CROWD)]
    found = takes([*first, *late], RULE)
    assert "ab" in parts(found)
    assert {r.code for t in found[1:] for r in t.remarks} == {"place-unclear"}
