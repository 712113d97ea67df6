"""What is made of a recording, decided from its probes alone."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediad.config import Derive
from mediad.model import preview, tiles
from mediad.model.preview import Member, Overlay, Plan, Settings, Unplayable
from mediad.model.probe import Probe, Stream

VIDEO = Stream(
    "video", "h264", "High", 1920, 1080, "yuv420p", frame_rate=25.0, duration=10.0
)  # fmt: skip
SOUND = Stream("audio", "aac", "LC", sample_rate=48_000, channels=1, duration=10.0)
FILM = Probe("video", container="mov,mp4,m4a,3gp,3g2,mj2", duration=10.0, streams=(VIDEO, SOUND))


def member(probe: Probe = FILM, digest: str = "d", **more: Any) -> Member:
    return Member(probe, 1000, digest, **more)


def planned(*members: Member, settings: Settings | None = None, **more: Any) -> Plan:
    made = preview.plan(members, settings or Settings(), **more)
    assert isinstance(made, Plan), made
    return made


def film(video: Stream | None = VIDEO, sound: Stream | None = SOUND, **more: Any) -> Member:
    return member(replace(FILM, streams=tuple(s for s in (video, sound) if s), **more))


def test_what_every_browser_plays_is_only_wrapped_anew() -> None:
    plan = planned(member())
    assert (plan.video, plan.audio) == ("copy", "copy")
    assert plan.seconds == 10.0 and plan.tolerance == pytest.approx(0.04)
    assert plan.files == ("proxy.mp4", "poster.jpg", "sheet.jpg", "thumbs.jpg", "thumbs.vtt", "wave.png")
    assert plan.ladder == (("copy", "copy"), ("copy", "encode"), ("encode", "encode"))


@pytest.mark.parametrize(
    "change",
    [
        {"codec": "hevc", "profile": "Main"},
        {"codec": "mjpeg"},
        {"profile": "High 10", "pixel_format": "yuv420p10le"},
        {"profile": "High 4:2:2", "pixel_format": "yuv422p"},
        {"profile": ""},
        {"width": 7680, "height": 4320},
        {"width": 3840, "height": 2160, "frame_rate": 60.0},
        {"width": None, "height": None},
    ],
)
def test_a_picture_that_some_browser_does_not_play_is_encoded_and_its_sound_is_not(change: dict[str, Any]) -> None:
    assert (planned(film(replace(VIDEO, **change))).video, planned(film()).audio) == ("encode", "copy")


@pytest.mark.parametrize(
    "change",
    [{"codec": "amr_nb"}, {"codec": "pcm_s16le"}, {"profile": "HE-AAC"}, {"channels": 6}, {"sample_rate": 96_000}],
)
def test_sound_that_some_browser_does_not_play_is_encoded_and_its_picture_is_not(change: dict[str, Any]) -> None:
    plan = planned(film(sound=replace(SOUND, **change)))
    assert (plan.video, plan.audio) == ("copy", "encode")


def test_a_damaged_film_is_encoded_because_a_browser_gives_up_at_errors() -> None:
    plan = planned(film(conditions=("damaged",)))
    assert (plan.video, plan.audio) == ("encode", "encode")


def test_segments_of_different_form_are_encoded_together() -> None:
    small = replace(VIDEO, width=1280, height=720)
    plan = planned(film(), film(small))
    assert (plan.video, plan.audio) == ("encode", "encode")
    assert (plan.width, plan.height) == (1280, 720)
    assert plan.seconds == 20.0 and plan.tolerance == pytest.approx(0.08)


def test_a_segment_without_sound_makes_the_sound_new_and_leaves_the_picture() -> None:
    plan = planned(film(), film(sound=None), film())
    assert (plan.video, plan.audio) == ("copy", "encode")
    assert [s.sound for s in plan.segments] == [True, False, True]


def test_a_take_without_any_sound_gets_none_and_no_waveform() -> None:
    plan = planned(film(sound=None), film(sound=None))
    assert plan.audio == "none" and "wave.png" not in plan.files
    assert plan.ladder == (("copy", "none"), ("encode", "none"))


def test_a_turned_film_is_as_high_as_it_is_seen() -> None:
    plan = planned(film(replace(VIDEO, rotation=90, codec="hevc")))
    assert (plan.width, plan.height) == (404, 720)


def test_a_small_picture_is_never_made_larger() -> None:
    plan = planned(film(replace(VIDEO, width=320, height=240, codec="mjpeg")))
    assert (plan.width, plan.height) == (320, 240)


def test_previews_are_made_by_default_as_the_documented_settings_say() -> None:
    """One default, wherever it stands."""
    shared = ("height", "crf", "preset", "audio_kbps", "overlay")
    assert {k: getattr(Settings(), k) for k in shared} == {k: Derive.model_fields[k].default for k in shared}


def test_writing_into_the_picture_means_encoding_it() -> None:
    start = datetime(2026, 11, 24, 16, 0, tzinfo=timezone(timedelta(hours=8)))
    plan = planned(
        member(start=start), settings=Settings(overlay=True), overlay=Overlay("执法仪 7", "张三 123456")
    )  # fmt: skip
    assert plan.video == "encode" and plan.text == "执法仪 7  张三 123456"
    clock = plan.segments[0].clock
    assert clock is not None
    assert datetime.fromtimestamp(clock, UTC).replace(tzinfo=None) == start.replace(tzinfo=None)
    assert planned(member(start=start), overlay=Overlay("7")).text == ""


@pytest.mark.parametrize(("rate", "way"), [(44_100, "copy"), (48_000, "copy"), (32_000, "copy"), (22_050, "encode")])
def test_mp3_plays_in_an_mp4_at_three_rates_only(rate: int, way: str) -> None:
    assert planned(film(sound=replace(SOUND, codec="mp3", profile="", sample_rate=rate))).audio == way


@pytest.mark.parametrize(("channels", "wanted"), [((1,), 1), ((2,), 2), ((6,), 2), ((1, 2), 2), ((None,), 1)])
def test_a_proxy_has_one_channel_or_two(channels: tuple[int | None, ...], wanted: int) -> None:
    assert planned(*(film(sound=replace(SOUND, channels=n)) for n in channels)).channels == wanted


def test_a_take_is_as_large_as_its_largest_segment_and_has_some_size_in_any_case() -> None:
    """Which of several that is, is by what is seen; of one whose size is not known it shows when it is decoded."""
    narrow, wide = replace(VIDEO, width=640, height=480), replace(VIDEO, width=320, height=640, rotation=90)
    assert (planned(film(wide), film(narrow)).width, planned(film(wide), film(narrow)).height) == (640, 480)
    tall = replace(VIDEO, width=240, height=600)
    assert (planned(film(tall), film(narrow)).width, planned(film(tall), film(narrow)).height) == (640, 480)
    assert (planned(film(wide)).width, planned(film(wide)).height) == (640, 320)
    unknown = film(replace(VIDEO, width=None, height=None))
    assert (planned(unknown).width, planned(unknown, unknown).width, planned(unknown, unknown).height) == (0, 1280, 720)


def test_salvaged_pictures_are_as_large_as_what_is_known_of_them() -> None:
    """By a whole segment of the take, else by the other original that helps."""
    helper = member(replace(FILM, streams=(replace(VIDEO, width=640, height=480),)), digest="r")
    small = film(replace(VIDEO, width=320, height=240), container="avi")
    for members, size in (((lost(),), (640, 480)), ((lost(), lost()), (640, 480)), ((lost(), small), (320, 240))):
        plan = planned(*members, reference=helper)
        assert (plan.width, plan.height) == size and plan.reference == len(members)


def test_a_way_without_sound_is_there_for_what_has_both() -> None:
    mute = planned(film(), film()).mute
    assert mute is not None and mute.ladder == (("copy", "none"), ("encode", "none")) and "wave.png" not in mute.files
    assert planned(film(sound=None)).mute is None
    assert planned(member(replace(FILM, streams=(SOUND,)))).mute is None


def lost() -> Member:
    return member(Probe("video", conditions=("truncated",), container="mov,mp4"))


def test_a_film_without_its_index_is_to_be_salvaged_with_the_help_of_another() -> None:
    alone = planned(lost())
    assert alone.segments[0].salvage and alone.reference is None and alone.seconds is None
    assert planned(member(), lost()).reference == 0
    assert planned(lost(), reference=member(digest="r")).reference == 1
    assert planned(lost(), reference=member(replace(FILM, container="avi"))).reference is None
    assert planned(lost(), reference=film(conditions=("damaged",), duration=None)).reference is None


def test_the_fingerprint_of_a_salvaged_film_does_not_tell_which_other_helped() -> None:
    """Every docking of that recorder brings others: what was salvaged is not made anew for them."""
    helped = [planned(lost(), reference=member(digest=d)).fingerprint for d in "rs"]
    assert helped == [planned(lost()).fingerprint] * 2
    assert planned(lost(), lost()).fingerprint != planned(lost()).fingerprint


def test_a_truncated_film_whose_streams_are_known_needs_no_salvage() -> None:
    plan = planned(film(conditions=("truncated",), container="avi"))
    assert not plan.segments[0].salvage and plan.video == "encode"


@pytest.mark.parametrize(
    ("probe", "code"),
    [
        (replace(FILM, conditions=("encrypted",)), "encrypted"),
        (Probe("video", conditions=("unreadable",)), "unreadable"),
        (Probe("data"), "nothing-to-see"),
        (replace(FILM, container="hls"), "unreadable"),
        (replace(FILM, container="concat"), "unreadable"),
        (replace(FILM, streams=(Stream("subtitle", "mov_text"),)), "nothing-to-see"),
    ],
)
def test_what_cannot_be_shown_says_why(probe: Probe, code: str) -> None:
    made = preview.plan([member(probe)], Settings())
    assert isinstance(made, Unplayable) and made.code == code and made.sentence


def test_an_encrypted_segment_is_left_out_and_the_others_are_shown() -> None:
    plan = planned(film(), member(replace(FILM, conditions=("encrypted",))), film())
    assert plan.skipped == (1,) and [s.member for s in plan.segments] == [0, 2]


def test_sound_alone_becomes_a_proxy_without_pictures() -> None:
    plan = planned(member(Probe("audio", container="amr", duration=5.0, streams=(replace(SOUND, codec="amr_nb"),))))
    assert plan.kind == "audio" and plan.files == ("proxy.mp4", "wave.png") and plan.audio == "encode"


def test_a_photo_gets_a_small_and_a_smaller_picture() -> None:
    plan = planned(
        member(Probe("photo", container="jpeg", streams=(Stream("image", "mjpeg", width=4000, height=3000),)))
    )
    assert plan.kind == "photo" and plan.files == ("poster.jpg", "proxy.jpg")


def test_a_take_of_more_segments_than_anybody_recorded_is_refused() -> None:
    assert isinstance(preview.plan([member()] * preview.MAX_SEGMENTS, Settings()), Plan)
    made = preview.plan([member()] * (preview.MAX_SEGMENTS + 1), Settings())
    assert isinstance(made, Unplayable) and made.code == "too-many-segments"


@pytest.mark.parametrize(
    "other",
    [
        planned(member(digest="e")),
        planned(member(), member()),
        planned(member(), settings=Settings(height=480)),
        planned(member(), settings=Settings(crf=30)),
        planned(film(duration=11.0)),
    ],
)
def test_the_fingerprint_changes_with_all_that_changes_the_result(other: Plan) -> None:
    plan = planned(member())
    assert re.fullmatch("[0-9a-f]{64}", plan.fingerprint)
    assert plan.fingerprint == planned(member()).fingerprint != other.fingerprint


def test_the_fingerprint_knows_the_order_of_the_members_and_what_made_the_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A take whose segments were put in another order plays otherwise; a new version makes all anew."""
    one, other = member(digest="d"), member(digest="e")
    before = planned(one, other).fingerprint
    assert before != planned(other, one).fingerprint
    monkeypatch.setattr(preview, "VERSION", preview.VERSION + 1)
    assert planned(one, other).fingerprint != before


# --- small pictures ---------------------------------------------------------------------------------------------------


def test_thumbnails_say_where_in_the_picture_each_lies() -> None:
    grid = tiles.thumbs_grid(25.0, 1280, 720)
    text = tiles.vtt(grid, 25.0)
    assert (grid.interval, grid.count, grid.columns, grid.rows) == (2.0, 13, 10, 2)
    assert text.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nthumbs.jpg#xywh=0,0,160,90\n")
    assert text.endswith("\n\n00:00:24.000 --> 00:00:25.000\nthumbs.jpg#xywh=320,90,160,90\n")


def test_no_thumbnail_is_promised_between_two_key_frames() -> None:
    assert tiles.thumbs_grid(100.0, 1280, 720, keys=5.0).interval == 5.0
    assert tiles.thumbs_grid(100.0, 1280, 720, keys=1.0).interval == 2.0


@given(st.floats(0, 400 * 86_400), st.integers(1, 10_000), st.integers(1, 10_000))
def test_thumbnails_cover_the_whole_length_and_make_a_picture_that_every_browser_opens(
    seconds: float, width: int, height: int
) -> None:
    grid = tiles.thumbs_grid(seconds, width, height)
    assert 1 <= grid.count <= 200 and grid.count * grid.interval >= seconds - 0.11 * grid.interval
    assert grid.width * grid.columns <= 8_000 and grid.height * grid.rows <= 8_000
    times = re.findall(r"(\d+):(\d\d):(\d\d\.\d{3})", tiles.vtt(grid, seconds))
    values = [int(h) * 3600 + int(m) * 60 + float(s) for h, m, s in times]
    assert values[0] == 0 and all(a < b for a, b in zip(values[::2], values[1::2], strict=True))
    assert values[1:-1:2] == values[2::2]


# --- anything at all --------------------------------------------------------------------------------------------------

words = st.sampled_from(
    ["", "h264", "hevc", "aac", "amr_nb", "High", "Main", "LC", "yuv420p", "mov,mp4", "avi", "hls", "x"]
)
sizes = st.one_of(st.none(), st.integers(1, 1 << 20))
numbers = st.one_of(st.none(), st.floats(0, 1e7))
streams = st.builds(
    Stream,
    kind=st.sampled_from(["video", "audio", "subtitle", "image", "data"]),
    codec=words, profile=words, width=sizes, height=sizes, pixel_format=words,
    frame_rate=st.one_of(st.none(), st.floats(0.001, 10_000)), rotation=st.sampled_from([0, 90, 180, 270]),
    sample_rate=st.one_of(st.none(), st.integers(1, 200_000)), channels=st.one_of(st.none(), st.integers(1, 256)),
    duration=numbers,
)  # fmt: skip
probes = st.builds(
    Probe,
    kind=st.sampled_from(["video", "audio", "photo", "data"]),
    conditions=st.lists(st.sampled_from(["damaged", "truncated", "encrypted", "unreadable"]), max_size=2).map(tuple),
    container=words,
    duration=numbers,
    streams=st.lists(streams, max_size=3).map(tuple),
)
members = st.builds(Member, probes, st.integers(0, 1 << 40), st.text("0123456789abcdef", min_size=1))
settings = st.builds(Settings, height=st.integers(2, 4320), overlay=st.booleans())


@given(st.lists(members, max_size=6), settings, st.one_of(st.none(), members))
def test_any_probes_give_a_plan_that_holds_together(
    given_members: list[Member], chosen: Settings, reference: Member | None
) -> None:
    made = preview.plan(given_members, chosen, Overlay("7", "张三"), reference)
    if isinstance(made, Unplayable):
        assert made.sentence
        return
    assert made.segments and len(made.segments) + len(made.skipped) == len(given_members)
    assert made.height <= max(2, chosen.height) and made.width % 2 == made.height % 2 == 0
    assert all(0 < s.frame <= 1 and s.seconds != 0 for s in made.segments if made.kind != "photo")
    assert made.seconds is None or made.seconds > 0
    if made.kind == "photo":
        return
    assert all(s.demuxers in preview.DEMUXERS.values() for s in made.segments)
    assert made.ladder[0] == (made.video, made.audio) and "copy" not in made.ladder[-1][:1]
    assert all(
        (v == "none") == (made.video == "none") and (a == "none") == (made.audio == "none") for v, a in made.ladder
    )
    if chosen.overlay and made.kind == "video":
        assert made.video == "encode"
    if made.reference is not None:
        assert made.reference == len(given_members) or made.reference in {s.member for s in made.segments}
