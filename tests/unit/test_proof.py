"""What is held against its plan: originals before they are joined, and a proxy before it counts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mediad.edges import proof
from mediad.edges.sandbox import Sandbox
from mediad.edges.step import Spoilt, Steps
from mediad.model import preview
from mediad.model.preview import Plan, Settings
from tests.media import clip, member_of


def planned(*films: Path) -> Plan:
    plan = preview.plan([member_of(f) for f in films], Settings(height=108))
    assert isinstance(plan, Plan)
    return plan


def steps(scratch: Path) -> Steps:
    made = Steps(Sandbox(nice=0, idle=False), scratch, room=1 << 28)
    made.begin()
    return made


@pytest.mark.parametrize("together", [1, 16])
def test_segments_are_alike_by_their_own_headers_however_many_are_looked_at_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    """Two that no probe can tell apart: one keeps more pictures in mind. Also where each is in a group of its own."""
    monkeypatch.setattr(proof, "_TOGETHER", together)
    one = clip(tmp_path / "a.mp4", options="-profile:v main -refs 1", seconds=0.4)
    other = clip(tmp_path / "b.mp4", options="-profile:v main -refs 4", seconds=0.4)
    for films, wanted in (((one, one), True), ((one, other), False), ((one, other, one), False)):
        plan = planned(*films)
        assert (plan.video, plan.audio) == ("copy", "copy")
        assert proof.alike(steps(tmp_path), plan, films) == (wanted, True)


SAID: dict[str, Any] = {
    "format": {"duration": "2.0"},
    "streams": [
        {"codec_type": "video", "nb_frames": "50", "width": 192, "height": 108},
        {"codec_type": "audio", "codec_name": "aac", "nb_frames": "94", "sample_rate": "48000", "duration": "2.005"},
    ],
    "packets": [{"codec_type": "video", "pts_time": str(t), "flags": "K_"} for t in (0, 0.5, 2.0)],
}


def said(**changes: Any) -> dict[str, Any]:
    return SAID | changes


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    film = clip(tmp_path_factory.mktemp("film") / "a.mp4", options="-profile:v main")
    return planned(film, film)


def test_a_proxy_that_holds_has_no_complaint(plan: Plan) -> None:
    found = proof._judged(plan, said(format={"duration": "4.0"}), ("copy", "copy"))
    assert (found.complaint, found.seconds, found.size, found.keys) == ("", 4.0, (192, 108), 1.5)


def test_what_does_not_hold_is_said(plan: Plan) -> None:
    """Its length, its sound, and sound that would drift away; nothing at all is no proxy."""
    seconds = {"duration": "4.0"}
    mute = said(format=seconds, streams=SAID["streams"][:1])
    assert proof._judged(plan, mute, ("copy", "copy")).complaint == "its sound is missing"
    assert proof._judged(plan, mute, ("copy", "none")).complaint == ""
    assert (
        "it plays 9.00 s, its members say 4.0"
        in proof._judged(plan, said(format={"duration": "9"}), ("copy", "copy")).complaint
    )
    drifting = [SAID["streams"][0], SAID["streams"][1] | {"duration": "2.1"}]
    assert "drift" in proof._judged(plan, said(format=seconds, streams=drifting), ("copy", "copy")).complaint
    assert proof._judged(plan, said(format=seconds, streams=drifting), ("copy", "encode")).complaint == ""
    alone = replace(plan, segments=plan.segments[:1])
    assert proof._judged(alone, said(streams=drifting), ("copy", "copy")).complaint == ""
    with pytest.raises(Spoilt):
        proof._judged(plan, said(streams=SAID["streams"][1:]), ("copy", "copy"))
