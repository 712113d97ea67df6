"""Recorder profiles as rules: which one fits, which files it takes, what it reads from their names."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mediad.model.profile import DeviceFacts, Match, NameFacts, Profile, choose, fits, glob, key_fits

CHINA = ZoneInfo("Asia/Shanghai")
GAT = r"(?P<device>\d{7})_(?P<officer>\d{6})_(?P<time>\d{14})_(?P<seq>\d{4})(?P<important>IMP)?\.\w+$"
paths = st.binary(max_size=60)


@pytest.mark.parametrize(
    ("pattern", "path", "fitting"),
    [
        ("**", "a/b/c", True),
        ("**", "", True),
        ("*", "a/b", False),
        ("*", "a", True),
        ("DCIM/**", "dcim/x/y.mp4", True),
        ("DCIM/**", "DCIM", False),
        ("**/SEGTEMP/**", "DCIM/SEGTEMP/x.mp4", True),
        ("**/SEGTEMP/**", "SEGTEMP/x.mp4", True),
        ("**/SEGTEMP/**", "DCIM/NOSEGTEMP/x.mp4", False),
        ("**/*.mp4", "a/b/X.MP4", True),
        ("**/*.mp4", "x.mp4", True),
        ("*.mp4", "a/x.mp4", False),
        ("?.jpg", "a.jpg", True),
        ("?.jpg", "/.jpg", False),
        ("a+b(1).[x]", "a+b(1).[x]", True),
        ("a.b", "axb", False),
        ("*.mp4", "x.mp4\n", False),
        ("*.mp4", "x\ny.mp4", True),
        ("**", "a\nb", True),
        ("CARDV/**/RO/**/*.mp4", "cardv/ro/x/RO/a.mp4", True),
        ("CARDV/**/RO/**/*.mp4", "cardv/x/EMR/a.mp4", False),
        ("**/a*b*c/**/d", "a/abc/x/d", True),
        ("DCIM/**.mp4", "DCIM/a/b.mp4", True),
    ],
)
def test_globs(pattern: str, path: str, fitting: bool) -> None:
    assert bool(glob(pattern).match(path)) is fitting


@given(st.text(max_size=20).filter(lambda t: "*" not in t and "?" not in t))
def test_a_glob_without_signs_fits_itself(text: str) -> None:
    assert glob(text).match(text)


def _fits(pattern: str, path: str, start: bool = True) -> bool:
    """What docs/profiles.md says of globs, word by word, in whatever time it takes."""
    if not pattern:
        return not path
    if start and pattern.startswith("**/"):
        return any(
            _fits(pattern[3:], rest) for rest in (path, *(path[n + 1 :] for n, c in enumerate(path) if c == "/"))
        )
    if pattern.startswith("**"):
        return any(_fits(pattern[2:], path[n:], False) for n in range(len(path) + 1))
    if pattern[0] == "*":
        within = len(path.partition("/")[0])
        return any(_fits(pattern[1:], path[n:], False) for n in range(within + 1))
    one = path[:1] and (path[0] == pattern[0] or (pattern[0] == "?" and path[0] != "/"))
    return bool(one) and _fits(pattern[1:], path[1:], pattern[0] == "/")


@settings(max_examples=500)
@given(
    st.lists(st.sampled_from(["**/", "**", "*", "?", "a", "b", "/", "a/", "b/"]), max_size=8).map("".join),
    st.text("ab/", max_size=10),
)
@example("**/a/**/b", "a/x/a/b")
@example("*ab*a", "aaba")
def test_a_glob_means_what_is_written_of_it(pattern: str, path: str) -> None:
    assert bool(glob(pattern).match(path)) is _fits(pattern, path)


@pytest.mark.parametrize("pattern", ["**/a/**/a/**/a/**/b", "a*a*a*a*a*a*b", "**/*a*a*a*a*/**/b"])
def test_no_path_of_a_card_makes_a_glob_take_long(pattern: str) -> None:
    """Each of these would take hours if every way of fitting were tried."""
    assert not glob(pattern).match("a/" * 2_000 + "a")
    assert not glob(pattern).match("/".join(["a" * 255] * 16))


@given(paths)
def test_every_path_is_taken_or_not(path: bytes) -> None:
    """Also one that is no UTF-8; and what is taken by default is everything."""
    profile = Profile("x", include=("DCIM/**",), exclude=("**/*.tmp",))
    assert profile.wants(path) in (True, False)
    assert Profile("x").wants(path)
    assert Profile("x").takes_all
    assert not profile.takes_all


def test_exclude_wins_over_include() -> None:
    profile = Profile("x", include=("**/*.mp4",), exclude=("**/SEGTEMP/**",))
    assert profile.wants(b"DCIM/a.mp4")
    assert not profile.wants(b"DCIM/SEGTEMP/a.mp4")
    assert not profile.wants(b"DCIM/a.jpg")


@given(paths)
@example(b"8888888_000000_99999999999999_0001.mp4")
@example("8888888_000000_２０１６０１２９２０５５４７_0001.mp4".encode())
def test_reading_a_name_never_fails(path: bytes) -> None:
    found = Profile("x", names=(GAT, r"(?P<time>[\dＡ-Ｚ０-９]+)", r"(?P<seq>\w)")).parse_name(path, CHINA)
    assert isinstance(found, NameFacts)
    assert found.time is None or found.time.tzinfo is UTC


def test_a_name_tells_device_officer_time_sequence_and_importance() -> None:
    found = Profile("x", names=(GAT,)).parse_name(b"DCIM/101ANDRO/8888888_000123_20160129205547_0004IMP.mp4", CHINA)
    assert found == NameFacts("8888888", "000123", datetime(2016, 1, 29, 12, 55, 47, tzinfo=UTC), 4, important=True)


def test_the_first_pattern_that_fits_is_read() -> None:
    profile = Profile("x", names=(r"^(?P<device>A)", r"^(?P<device>.)"))
    assert profile.parse_name(b"AB", CHINA).device == "A"
    assert profile.parse_name(b"BA", CHINA).device == "B"


def test_a_path_longer_than_recorders_have_says_nothing() -> None:
    """What a pattern costs grows with the name: docs/profiles.md names the bound."""
    profile = Profile("x", names=(r"(?P<device>\w{7})\.mp4$",), important=("IMP/**",))
    assert profile.parse_name(b"IMP/" + b"a" * 240 + b"1234567.mp4", CHINA).device == "1234567"
    assert profile.parse_name(b"IMP/" + b"a" * 241 + b"1234567.mp4", CHINA) == NameFacts(important=True)


def test_a_time_is_in_the_zone_of_names_unless_it_ends_in_z() -> None:
    axis = Profile("x", names=(r"_(?P<time>\d{8}T\d{6}Z?)",))
    assert axis.parse_name(b"u_s_20260101T000000Z", CHINA).time == datetime(2026, 1, 1, tzinfo=UTC)
    assert axis.parse_name(b"u_s_20260101T080000", CHINA).time == datetime(2026, 1, 1, tzinfo=UTC)
    utc = Profile("x", names=axis.names, name_zone="UTC")
    assert utc.parse_name(b"u_s_20260101T080000", CHINA).time == datetime(2026, 1, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize("text", ["20261301000000", "00000000000000", "99991231235959", "20260230000000", "2026"])
def test_a_time_that_cannot_be_is_none(text: str) -> None:
    found = Profile("x", names=(r"(?P<time>\d+)",), name_zone="Asia/Shanghai").parse_name(text.encode(), CHINA).time
    assert found is None or found.year == 9999


CARD = DeviceFacts("storage", "SN1", "ACME", "Cam 3", "4255:0001", ("NO NAME", "EVIDENCE"), frozenset({"DCIM", "LOGS"}))


@pytest.mark.parametrize(
    ("match", "fitting"),
    [
        (Match(), True),
        (Match(serial="^sn"), True),
        (Match(serial="^n"), False),
        (Match(vendor="acme", model=r"cam \d"), True),
        (Match(vendor="acme", model="other"), False),
        (Match(volume_label="^evid"), True),
        (Match(volume_label="^x"), False),
        (Match(root_files=("dcim",)), True),
        (Match(root_files=("dcim", "x")), False),
        (Match(usb_id="4255:0001", vendor="acme"), True),
    ],
)
def test_a_profile_fits_if_every_key_given_is_fulfilled(match: Match, fitting: bool) -> None:
    assert fits(Profile("p", match=match), CARD) is fitting


def test_a_way_of_attaching_must_fit_too() -> None:
    assert not fits(Profile("p", attach="mtp"), CARD)
    assert fits(Profile("p", attach="unlock"), DeviceFacts("control"))
    assert fits(Profile("p", attach="unlock"), CARD), "the disk that appears behind an unlock"
    assert not fits(Profile("p"), DeviceFacts("control"))


def test_the_most_particular_profile_is_chosen_then_rank_then_name() -> None:
    general, brand = Profile("a"), Profile("b", match=Match(vendor="acme"))
    model = Profile("c", match=Match(vendor="acme", model="cam"))
    assert choose([general, brand, model], CARD) is model
    assert choose([general, brand], CARD) is brand
    ranked = Profile("d", rank=5, match=Match(vendor="acme"))
    assert choose([brand, ranked], CARD) is ranked
    assert choose([Profile("x"), Profile("y")], CARD) == Profile("y")
    assert choose([Profile("x", match=Match(serial="no"))], CARD) is None
    assert choose([], CARD) is None


@given(st.permutations([Profile(n, rank=r, match=m) for n, r, m in [
    ("a", 0, Match()), ("b", 1, Match()), ("c", 0, Match(vendor="acme")), ("d", -1, Match(vendor="acme"))]]))  # fmt: skip
def test_the_choice_does_not_depend_on_the_order_of_files(profiles: list[Profile]) -> None:
    chosen = choose(profiles, CARD)
    assert chosen is not None
    assert chosen.name == "c"


def test_any_name_under_which_a_file_was_seen_may_say_that_it_is_important() -> None:
    """Recorders rename and move what is marked: the same bytes come back under a new name."""
    profile = Profile("x", names=(GAT,), important=("DCIM/101ANDRO/**",))
    plain, renamed, moved = (
        b"DCIM/8888888_000123_20160129205547_0004.mp4",
        b"DCIM/8888888_000123_20160129205547_0004IMP.mp4",
        b"DCIM/101ANDRO/any.mp4",
    )
    assert not profile.marks_important([plain], CHINA)
    assert profile.marks_important([plain, renamed], CHINA)
    assert profile.marks_important([plain, moved], CHINA)
    assert not profile.marks_important([], CHINA)


HALF_PAST = datetime(2026, 5, 4, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("pattern", "path", "wanted"),
    [
        (r"(?P<time12>\d{12})", b"260504083000.mp4", HALF_PAST),
        (r"(?P<date>\d{6})/(?P<clock>\d{6})", b"DCIM/260504/083000.mp4", HALF_PAST),
        (r"(?P<date>\d{4}-\d\d-\d\d)/(?P<clock>\d\d-\d\d-\d\d)", b"2026-05-04/08-30-00.mp4", HALF_PAST),
        (r"(?P<date>\d{6})", b"260504", None),
        (r"(?P<clock>\d{6})", b"083000", None),
        (r"(?P<time12>\d{12})", b"261304083000.mp4", None),
    ],
)  # fmt: skip
def test_a_time_may_be_short_or_stand_in_two_places(pattern: str, path: bytes, wanted: datetime | None) -> None:
    assert Profile("x", names=(pattern,)).parse_name(path, CHINA).time == wanted


def test_each_key_says_whether_it_fits() -> None:
    told = key_fits(Profile("p", match=Match(vendor="acme", root_files=("DCIM", "x"))), CARD)
    assert [(k.key, k.fits) for k in told] == [
        ("attach", True), ("match.vendor", True), ("match.root_files", True), ("match.root_files", False)]  # fmt: skip
