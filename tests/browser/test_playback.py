"""The proxies in a real browser: they play to the end, as long as the originals, and sound and picture come together.

Each original is black and silent but for a flash and a beep; the browser is asked whether it is white where the flash has to be and
black around it, and where its own decoder hears the beep.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mediad.edges.encoder import Encoder
from mediad.edges.sandbox import Sandbox
from mediad.model import preview
from mediad.model.derived import Made
from mediad.model.preview import Plan, Settings
from tests import media
from tests.browser.browser import report
from tests.media import clip, member_of

pytestmark = pytest.mark.browser


@dataclass(frozen=True)
class Shown:
    """A proxy, what it was made of, and what the browser says of it."""

    plan: Plan
    made: Made
    starts: tuple[float, ...]
    said: Mapping[str, Any]


def originals(folder: Path) -> dict[str, list[Path]]:
    plain = "-profile:v main -preset veryfast"
    film = clip(folder / "a.mp4", beep=1.0, seconds=1.52, options=f"{plain} -bf 2")
    silent = clip(folder / "b.mp4", beep=1.0, seconds=1.52, options=plain, audio="")
    mjpeg = clip(folder / "c.avi", beep=1.0, seconds=1.52, video="mjpeg", audio="pcm_s16le", size="160x120", rate=20)
    hevc = clip(folder / "d.mp4", beep=1.0, seconds=1.52, video="libx265")
    stream = clip(folder / "e.ts", beep=1.0, seconds=1.52, options=plain)
    return {
        "rewrapped": [film],
        "joined": [film] * 6,
        "mixed": [film, mjpeg, silent, hevc, stream, film],
        "hevc": [hevc],
        "mjpeg": [mjpeg],
        "segments without sound": [silent, film, silent],
        "transport stream": [stream],
    }


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Shown]:
    """All films, looked at by one browser."""
    root = tmp_path_factory.mktemp("browser")
    (root / "www").mkdir()
    encoder = Encoder(Sandbox(nice=0, idle=False), prefer="software", threads=2)
    made: dict[str, tuple[Plan, Made, tuple[float, ...]]] = {}
    films = {}
    for n, (name, clips) in enumerate(originals(root).items()):
        plan = preview.plan([member_of(c) for c in clips], Settings(height=108, preset="ultrafast"))
        assert isinstance(plan, Plan)
        (root / f"{n}").mkdir()
        answer = encoder.make(plan, clips, root / f"{n}", room=2**30)
        assert isinstance(answer, Made), answer
        shutil.copytree(root / f"{n}/kept", root / f"www/{n}")
        starts = tuple(sum(media.length(c) for c in clips[:i]) for i in range(len(clips)))
        flashes = [s + 1.0 for s in starts]
        sound = plan.audio != "none"
        frame = max(s.frame for s in plan.segments)
        films[name] = {
            "src": f"{n}/proxy.mp4", "thumbs": f"{n}/thumbs.vtt", "flashes": flashes, "frame": frame, "sound": sound,
        }  # fmt: skip
        made[name] = plan, answer, starts
    (root / "www/films.json").write_text(json.dumps(films))
    shutil.copy(Path(__file__).parent / "watch.html", root / "www")
    said = report(root / "www", "watch.html", root)
    return {name: Shown(*made[name], said=said[name]) for name in films}


def test_proxies_play_in_a_browser_whole_in_time_and_with_their_sound(shown: Mapping[str, Shown]) -> None:
    """One test, since one browser looks at all of them."""
    for film, it in shown.items():
        assert "error" not in it.said, (film, it.said)
        plays_whole(film, it)
        shows_flashes(film, it)
        beeps_with_them(film, it)
        has_thumbnails(film, it)


def plays_whole(film: str, it: Shown) -> None:
    """To the end; within one frame per segment as long as the originals, as the browser counts."""
    assert it.plan.seconds is not None and it.made.remarks == (), film
    assert abs(it.said["duration"] - it.plan.seconds) <= it.plan.tolerance + 0.001, film
    assert it.said["ended"] == pytest.approx(it.said["duration"], abs=0.05), film
    assert (it.said["width"], it.said["height"]) == (it.plan.width, it.plan.height), film


def shows_flashes(film: str, it: Shown) -> None:
    """White at the flash of every segment and black shortly before and after: nothing is lost, doubled or late."""
    assert all(b > 150 for b in it.said["bright"]), (film, it.said)
    assert all(d < 60 for pair in it.said["dark"] for d in pair), (film, it.said)


def beeps_with_them(film: str, it: Shown) -> None:
    """Every beep within 100 ms of its flash, also in the last segment; silence where a segment had none."""
    sounding = [s for s, segment in zip(it.starts, it.plan.segments, strict=True) if segment.sound]
    assert it.said["sound"]["beeps"] == pytest.approx([s + 1.0 for s in sounding], abs=0.1), film


def has_thumbnails(film: str, it: Shown) -> None:
    cues = it.said["cues"]
    assert cues and cues[0][0] == 0 and cues[-1][1] == pytest.approx(it.said["duration"], abs=0.05), film
    assert all(text.startswith("thumbs.jpg#xywh=") for _, _, text in cues), film
