"""Previews of real clips, by ffmpeg in the sandbox: they play whole, in time, and nothing of a file makes more of it than that."""

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mediad.edges.encoder import Encoder, font
from mediad.edges.sandbox import Sandbox
from mediad.model import preview
from mediad.model.derived import Made
from mediad.model.preview import Overlay, Plan, Settings
from tests import media
from tests.media import amr, clip, ffmpeg, member_of

ROOM = 2 * 1024**3
SMALL = Settings(height=108, preset="ultrafast")


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(nice=0, idle=False)


@pytest.fixture
def make(sandbox: Sandbox, tmp_path: Path) -> Callable[..., Any]:
    """Plan and make a preview of clips; the folder of its files, and what the encoder said."""

    def made(
        *clips: Path, members: Sequence[Any] = (), settings: Settings = SMALL, overlay: Overlay | None = None,
        reference: Path | None = None, encoder: Encoder | None = None, **more: Any,
    ) -> tuple[Path, Any, Plan]:  # fmt: skip
        plan = preview.plan(
            members or [member_of(c) for c in clips], settings, overlay, member_of(reference) if reference else None
        )
        assert isinstance(plan, Plan), plan
        scratch = tmp_path / f"scratch-{len(os.listdir(tmp_path))}"
        scratch.mkdir()
        encoder = encoder or Encoder(sandbox, prefer="software", threads=2)
        sources = [*clips, *([reference] if reference else [])]
        return scratch / "kept", encoder.make(plan, sources, scratch, room=ROOM, **more), plan

    return made


def holds(folder: Path, made: Any, plan: Plan) -> None:
    """The proxy plays as long as its segments, one frame of each aside; the index is at the front; every picture is there."""
    assert isinstance(made, Made), made
    assert made.files == plan.files and made.remarks == ()
    assert all((folder / name).stat().st_size > 0 for name in made.files)
    proxy = folder / preview.PROXY
    assert abs(media.length(proxy) - (plan.seconds or 0)) <= plan.tolerance + 0.001
    head = proxy.read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")
    if plan.video != "none":
        picture = media.stream_of(proxy, "video")
        assert (picture["codec_name"], picture["pix_fmt"]) == ("h264", "yuv420p")
    if plan.audio != "none":
        assert media.stream_of(proxy, "audio")["codec_name"] == "aac"


def keeps_together(folder: Path, *clips: Path) -> None:
    """Flash and beep of each segment come when they do in the clips played one after the other, within 100 ms of one another,
    also for a player that counts samples."""
    proxy = folder / preview.PROXY
    said = {c: (media.length(c), [f - media.begin(c) for f in media.flashes(c)]) for c in set(clips)}
    starts = [sum(said[c][0] for c in clips[:n]) for n in range(len(clips))]
    seen, heard = media.flashes(proxy), media.beeps(proxy)
    assert seen == pytest.approx([s + f for s, c in zip(starts, clips, strict=True) for f in said[c][1]], abs=0.05)
    sounding = [f for f, c in zip(seen, clips, strict=True) if media.stream_of(c, "audio")]
    assert heard == pytest.approx(sounding, abs=0.1)
    assert media.beeps(proxy, counted=True) == pytest.approx(sounding, abs=0.1)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts", "avi"])
def test_a_film_that_browsers_play_is_wrapped_anew_whatever_container_it_comes_in(
    make: Callable[..., Any], tmp_path: Path, suffix: str
) -> None:
    """Same pictures, same number of them, no encoder at work."""
    film = clip(tmp_path / f"a.{suffix}", beep=1.5, options="-profile:v main")
    folder, made, plan = make(film)
    holds(folder, made, plan)
    assert (made.video, made.encoder) == ("copy", "")
    assert int(media.stream_of(folder / "proxy.mp4", "video")["nb_frames"]) == 50
    keeps_together(folder, film)


@pytest.mark.parametrize(("suffix", "samples"), [("ts", 8_000), ("mkv", 16_000)])
def test_long_blocks_of_sound_are_no_reason_to_encode_a_film(
    make: Callable[..., Any], tmp_path: Path, suffix: str, samples: int
) -> None:
    """At a low rate one block of sound is longer than a picture, and the last one stands over the end of the film."""
    film = clip(tmp_path / f"a.{suffix}", beep=1.5, samples=samples, options="-profile:v main")
    folder, made, plan = make(film)
    holds(folder, made, plan)
    assert (made.video, made.audio) == ("copy", "copy")
    assert float(media.stream_of(folder / "proxy.mp4", "video")["duration"]) == pytest.approx(2.0, abs=0.04)
    keeps_together(folder, film)


@pytest.mark.parametrize(
    ("suffix", "video", "audio"),
    [
        ("mp4", "libx265", "aac"), ("mov", "mjpeg", "pcm_s16le"), ("avi", "mjpeg", "pcm_s16le"), ("mkv", "libx265", ""),
        ("ts", "mpeg2video", "mp2"), ("avi", "mpeg4", "libmp3lame"),
    ],
)  # fmt: skip
def test_a_film_that_no_browser_plays_is_encoded(
    make: Callable[..., Any], tmp_path: Path, suffix: str, video: str, audio: str
) -> None:
    film = clip(tmp_path / f"a.{suffix}", video=video, audio=audio, beep=1.5)
    folder, made, plan = make(film)
    holds(folder, made, plan)
    assert (made.video, made.encoder) == ("encode", "software")
    if audio:
        keeps_together(folder, film)


def test_a_take_of_uniform_segments_is_joined_without_encoding_its_pictures(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    """With B-frames and the lead-in that compressed sound has: at the end of ten segments sound still keeps to the picture."""
    film = clip(tmp_path / "a.mp4", beep=1.0, seconds=1.5, options="-bf 2 -profile:v main -preset veryfast")
    folder, made, plan = make(*[film] * 10)
    holds(folder, made, plan)
    assert made.video == "copy"
    assert int(media.stream_of(folder / "proxy.mp4", "video")["nb_frames"]) == 10 * 38
    keeps_together(folder, *[film] * 10)


def test_a_take_of_segments_that_differ_in_everything_becomes_one_proxy_without_a_gap(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    """Sizes, rates, codecs, B-frames, variable rate, and one without sound."""
    clips = [
        clip(tmp_path / "0.mp4", beep=1.0, options="-bf 2 -preset veryfast"),
        clip(tmp_path / "1.avi", beep=1.0, video="mjpeg", audio="pcm_s16le", size="160x120", rate=15),
        clip(tmp_path / "2.mp4", beep=1.0, audio="", rate=30),
        clip(tmp_path / "3.ts", beep=1.0, rate=50, audio="mp2"),
        clip(tmp_path / "4.mkv", beep=1.0, video="libx265", options="-vf drawbox=c=white:t=fill:enable='between(t,1,1.0999)',"
             "select='not(mod(n,3))+lt(t,0.5)' -fps_mode vfr"),
    ]  # fmt: skip
    folder, made, plan = make(*clips)
    holds(folder, made, plan)
    assert (made.video, made.audio) == ("encode", "encode")
    keeps_together(folder, *clips)


def test_segments_with_uncompressed_sound_are_joined_and_their_sound_is_encoded(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    film = clip(tmp_path / "a.avi", audio="pcm_s16le", beep=1.0, seconds=1.5, options="-profile:v main")
    folder, made, plan = make(film, film, film)
    holds(folder, made, plan)
    assert (made.video, made.audio) == ("copy", "encode")
    keeps_together(folder, film, film, film)


def test_a_silent_segment_among_others_costs_no_encoding_of_pictures(make: Callable[..., Any], tmp_path: Path) -> None:
    """Its place in the sound is silence, and what comes after it is in time."""
    silent = clip(tmp_path / "s.mp4", audio="", beep=1.0, seconds=1.5, options="-profile:v main")
    film = clip(tmp_path / "a.mp4", beep=1.0, seconds=1.5, options="-profile:v main")
    folder, made, plan = make(silent, film, silent, film)
    holds(folder, made, plan)
    assert (made.video, made.audio) == ("copy", "encode")
    keeps_together(folder, silent, film, silent, film)


def test_an_avi_whose_pictures_are_stored_in_another_order_is_encoded(make: Callable[..., Any], tmp_path: Path) -> None:
    """It cannot say in which order they are shown; a copy would jump back and forth."""
    film = clip(tmp_path / "a.avi", options="-profile:v main -preset veryfast -bf 2")
    folder, made, plan = make(film)
    holds(folder, made, plan)
    assert made.video == "encode"


def test_a_take_of_more_segments_than_one_sandbox_takes_is_joined_in_rounds(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    """More originals than a sandbox has inputs, as they are: without a gap, and nothing that was only needed on the way stays."""
    one = clip(tmp_path / "a.mp4", options="-profile:v main", seconds=0.4, audio="")
    folder, made, plan = make(*[one] * 205, members=[member_of(one)] * 205)
    holds(folder, made, plan)
    assert (made.video, made.seconds) == ("copy", pytest.approx(205 * 0.4, abs=0.5))
    assert not [p.name for p in folder.iterdir() if p.name.startswith(("part", "joined"))]


@pytest.mark.parametrize("sound", ["pcm", "aac"])
def test_pieces_that_were_brought_into_one_form_are_joined_in_rounds_in_their_order(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sound: str
) -> None:
    """Round after round: flash and tone of each segment are where they belong, and together."""
    monkeypatch.setattr("mediad.edges.encoder.JOINED_AT_ONCE", 2)
    clips = [
        clip(tmp_path / f"{n}.{'mkv' if n % 2 else 'ts'}", beep=0.1 * n + 0.2, seconds=1.5, rate=25 if n % 2 else 30,
             video="mpeg4", audio={"pcm": "pcm_s16le" if n % 2 else "mp2", "aac": "aac"}[sound])
        for n in range(5)
    ]  # fmt: skip
    folder, made, plan = make(*clips)
    holds(folder, made, plan)
    lengths = [s.seconds or 0.0 for s in plan.segments]
    wanted = [sum(lengths[:n]) + 0.1 * n + 0.2 for n in range(5)]
    assert media.flashes(folder / preview.PROXY) == pytest.approx(wanted, abs=0.1)
    keeps_together(folder, *clips)


def test_a_uniform_take_whose_sound_is_encoded_is_joined_in_rounds(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transport streams with sound that no browser plays; the pictures stay as they are."""
    monkeypatch.setattr("mediad.edges.encoder.JOINED_AT_ONCE", 3)
    clips = [clip(tmp_path / f"{n}.ts", options="-profile:v main", audio="mp2") for n in range(7)]
    folder, made, plan = make(*clips)
    holds(folder, made, plan)
    assert (made.video, made.audio) == ("copy", "encode")


def test_amr_sound_becomes_aac_alone_and_beside_a_picture(make: Callable[..., Any], tmp_path: Path) -> None:
    alone = amr(tmp_path / "a.wav")  # named as such recorders name it
    folder, made, plan = make(alone)
    assert plan.kind == "audio"
    assert isinstance(made, Made) and made.files == ("proxy.mp4", "wave.png"), made
    assert media.length(folder / "proxy.mp4") == pytest.approx(2.0, abs=0.1)
    ffmpeg("-i", alone, "-f", "lavfi", "-i", "testsrc2=s=192x108:d=2", "-map", "1:v", "-map", "0:a", "-c:a", "copy",
           "-c:v", "libx264", "-profile:v", "main", "-pix_fmt", "yuv420p", tmp_path / "b.3gp")  # fmt: skip
    folder, made, plan = make(tmp_path / "b.3gp")
    holds(folder, made, plan)
    assert (made.video, made.audio) == ("copy", "encode")


def test_a_film_of_changing_rate_keeps_its_times(make: Callable[..., Any], tmp_path: Path) -> None:
    """Pictures come at the moments at which they were taken, whether they are copied or encoded."""
    uneven = "-vf select='lt(mod(n,25),8)+gt(n,40)' -fps_mode vfr -profile:v main"
    for name, video in (("a.mp4", "libx264"), ("b.mp4", "libx265")):
        film = clip(tmp_path / name, video=video, options=uneven if video == "libx264" else uneven[:-16], seconds=3)
        folder, made, plan = make(film)
        holds(folder, made, plan)
        times = [[p["pts_time"] for p in media.ask(f, "-show_packets", "-select_streams", "v")["packets"]]
                 for f in (film, folder / "proxy.mp4")]  # fmt: skip
        before, after = ([round(float(t) * 50) for t in sorted(ts, key=float)] for ts in times)
        assert before == after


@pytest.mark.parametrize("video", ["libx264", "libx265"])
def test_a_film_that_was_held_sideways_is_seen_upright(make: Callable[..., Any], tmp_path: Path, video: str) -> None:
    clip(tmp_path / "a.mp4", video=video, options="-profile:v main")
    ffmpeg("-i", tmp_path / "a.mp4", "-c", "copy", "-metadata:s:v:0", "rotate=90", tmp_path / "b.mp4")
    folder, made, plan = make(tmp_path / "b.mp4", settings=Settings(height=1080, preset="ultrafast"))
    holds(folder, made, plan)
    assert (plan.width, plan.height) == (108, 192)
    shown = media.stream_of(folder / "proxy.mp4", "video")
    turned = any("rotation" in d for d in shown.get("side_data_list", ()))
    assert (shown["width"], shown["height"], turned) == ((192, 108, True) if video == "libx264" else (108, 192, False))
    with Image.open(folder / "poster.jpg") as poster:
        assert poster.size == (108, 192)


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_thumbnails_and_contact_sheet_show_the_film_where_they_say(make: Callable[..., Any], tmp_path: Path) -> None:
    """A film that is red, then green, then blue: so are the tiles, and the poster is none of the black before."""
    ffmpeg(
        "-f", "lavfi", "-i", "color=black:s=192x108:d=4", "-f", "lavfi", "-i", "color=red:s=192x108:d=4", "-f", "lavfi", "-i",
        "color=lime:s=192x108:d=4", "-f", "lavfi", "-i", "color=blue:s=192x108:d=4", "-filter_complex", "concat=n=4",
        "-c:v", "mpeg4", "-q:v", "2", tmp_path / "a.mp4",
    )  # fmt: skip
    folder, made, plan = make(tmp_path / "a.mp4")
    holds(folder, made, plan)
    cues = [line for line in (folder / "thumbs.vtt").read_text().splitlines() if "#" in line]
    assert len(cues) == 8
    with Image.open(folder / "thumbs.jpg") as sprite:
        seen = []
        for cue in cues:
            x, y, w, h = (int(v) for v in cue.partition("=")[2].split(","))
            assert x + w <= sprite.width and y + h <= sprite.height
            seen.append(_colour(sprite.getpixel((x + w // 2, y + h // 2))))
    assert seen == ["black", "black", "red", "red", "green", "green", "blue", "blue"]
    with Image.open(folder / "sheet.jpg") as sheet:
        assert sheet.size == (4 * 192, 4 * 108)
        tiles = [_colour(sheet.getpixel((c * 192 + 96, r * 108 + 54))) for r in range(4) for c in range(4)]
    assert tiles == ["black"] * 4 + ["red"] * 4 + ["green"] * 4 + ["blue"] * 4
    with Image.open(folder / "poster.jpg") as poster:
        assert _colour(poster.getpixel((96, 54))) != "black"


def test_a_contact_sheet_shows_whole_seconds(make: Callable[..., Any], tmp_path: Path) -> None:
    """The box behind a time is as wide as 00:00:01 needs in the font, and not as 00:00:01.126 does."""
    from PIL import ImageFont

    film = clip(tmp_path / "a.mp4", size="640x360", options="-vf drawbox=c=white:t=fill", audio="", seconds=20)
    folder, made, _ = make(film, settings=Settings(height=360, preset="ultrafast"))
    assert isinstance(made, Made)
    with Image.open(folder / "sheet.jpg") as sheet:
        line = [sheet.convert("L").getpixel((x, 180 - 8)) for x in range(320)]
    dark = [x for x, v in enumerate(line) if v < 190]  # type: ignore[operator]
    box = dark[-1] - dark[0] - 6
    needed = ImageFont.truetype(font(), 20).getlength("00:00:01")
    assert needed * 0.8 < box < needed * 1.2, (box, needed)


def _colour(pixel: Any) -> str:
    return "black" if max(pixel) < 60 else ("red", "green", "blue")[pixel.index(max(pixel))]


def test_a_film_that_is_dark_throughout_has_a_poster_all_the_same(make: Callable[..., Any], tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "color=black:s=192x108:d=2", "-c:v", "mpeg4", tmp_path / "a.mp4")
    folder, made, plan = make(tmp_path / "a.mp4")
    holds(folder, made, plan)


def test_time_and_names_are_written_into_the_picture_and_hostile_ones_are_only_text(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    """What looks like an instruction of ffmpeg is drawn letter by letter."""
    film = clip(tmp_path / "a.mp4", size="640x360", options="-vf drawbox=c=black:t=fill", audio="")
    start = datetime(2026, 11, 24, 16, 0, tzinfo=UTC)
    settings = Settings(height=360, preset="ultrafast", overlay=True)
    hostile = "%{nonsense}%{eif:1:x}',drawbox=c=red:t=fill;[x]movie=/etc/passwd\n\\%{localtime} 张三"
    folder, made, plan = make(
        film, members=[member_of(film, start=start)], settings=settings, overlay=Overlay("执法仪 7", hostile)
    )
    holds(folder, made, plan)
    ffmpeg("-ss", "1", "-i", folder / "proxy.mp4", "-frames:v", "1", tmp_path / "frame.png")
    with Image.open(tmp_path / "frame.png") as frame:
        grey = frame.convert("L")
        top, middle, bottom = (grey.crop((0, y, 640, y + 60)).getextrema() for y in (0, 150, 300))
        assert top[1] > 200 and bottom[1] > 200 and middle[1] < 60  # type: ignore[operator]
        assert max(frame.convert("RGB").getpixel((320, 180))) < 60  # type: ignore[type-var]


def test_nothing_that_the_original_says_of_itself_is_in_the_proxy(make: Callable[..., Any], tmp_path: Path) -> None:
    film = clip(tmp_path / "a.mp4", options="-profile:v main -metadata title=secret -metadata location=+31.2+121.4/")
    folder, made, plan = make(film)
    holds(folder, made, plan)
    assert b"secret" not in (folder / "proxy.mp4").read_bytes() and b"+31.2" not in (folder / "proxy.mp4").read_bytes()


def test_percent_go_up_to_a_hundred(make: Callable[..., Any], tmp_path: Path) -> None:
    told: list[int] = []
    make(clip(tmp_path / "a.mp4", video="mjpeg"), clip(tmp_path / "b.avi", video="mjpeg"), told=told.append)
    assert told == sorted(set(told)) and told[-1] == 100 and len(told) > 3


def test_what_the_listener_raises_ends_the_work(make: Callable[..., Any], tmp_path: Path) -> None:
    class StopNow(Exception):
        pass

    def stop(_: int) -> None:
        raise StopNow

    with pytest.raises(StopNow):
        make(clip(tmp_path / "a.mp4", video="mjpeg"), told=stop)
