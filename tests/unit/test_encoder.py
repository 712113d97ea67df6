"""Previews of real clips, by ffmpeg in the sandbox: they play whole, in time, and nothing of a file makes more of it than that."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mediad.edges.encoder import Encoder
from mediad.edges.sandbox import Sandbox
from mediad.model import preview
from mediad.model.derived import Made
from mediad.model.preview import Overlay, Plan, Settings
from tests import media
from tests.media import clip, member_of

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
