"""Looks at originals before they are joined, and at a proxy before it counts: it is held against its plan."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from mediad.edges import commands
from mediad.edges.sandbox import Limits
from mediad.edges.step import MIB, SMALL, Spoilt, Steps, judge
from mediad.model.preview import AVI, MOV, PROXY, Plan, Way

Ways = tuple[Way, Way]

_DRIFT: Final = 0.06
"""Seconds that counted sound may differ from its time stamps; two frames of sound are not heard."""

_SAMPLES: Final = {"aac": 1024, "mp3": 1152}
_TOGETHER: Final = 16
"""Originals that one program has open, each with what it needs for analysing its streams."""

_KEYS_OF: Final = 30  # seconds of a proxy whose key frames are looked at


@dataclass(frozen=True, slots=True)
class Found:
    """What a proxy turned out to be; ``keys``: seconds from key frame to key frame, ``complaint``: what does not hold."""

    seconds: float
    size: tuple[int, int]
    keys: float
    complaint: str


def alike(steps: Steps, plan: Plan, sources: Sequence[Path]) -> tuple[bool, bool]:
    """Whether the segments' pictures, and their sound, can be joined as they are: by the headers of their own streams."""
    segments = plan.segments
    if plan.video == "encode" or any(s.salvage for s in segments):
        return False, False
    if plan.video == "copy" and any(s.demuxers == AVI for s in segments) and not _in_order(steps, plan, sources):
        return False, False
    if len(segments) == 1:
        return True, True
    heads: dict[str, set[tuple[str, ...]]] = {"video": set(), "audio": set()}
    for first in range(0, len(segments), _TOGETHER):
        some = segments[first : first + _TOGETHER]
        inputs = {f"{n:03d}": sources[s.member] for n, s in enumerate(some)}
        opened = [(commands.opened(f"/in/{n:03d}", s.demuxers), s) for n, s in enumerate(some)]
        try:
            steps.ffmpeg(
                [commands.signatures(opened, plan, "/out/heads")], inputs, {"heads": "heads"}, most=SMALL, length=60.0
            )
        except Spoilt:
            return False, False
        for kind, found in _heads((steps.kept / "heads").read_text("ascii", "replace")).items():
            heads[kind] |= found
    return len(heads["video"]) <= 1, len(heads["audio"]) <= 1 and len({s.sound for s in segments}) == 1


def _in_order(steps: Steps, plan: Plan, sources: Sequence[Path]) -> bool:
    """Whether all are AVIs that store their pictures in the order in which they are shown: an AVI says no other order."""
    for segment in plan.segments:
        try:
            said = _asked(steps, sources[segment.member], AVI, "stream=codec_type,has_b_frames")
            reordered = [s["has_b_frames"] for s in said["streams"] if s["codec_type"] == "video"]
        except (Spoilt, KeyError, TypeError):
            return False
        if segment.demuxers != AVI or reordered[:1] != [0]:
            return False
    return True


def look(steps: Steps, plan: Plan, ways: Ways) -> Found:
    """Hold the proxy against the plan."""
    entries = (
        "stream=codec_type,codec_name,width,height,duration,nb_frames,sample_rate:packet=codec_type,pts_time,flags"
    )
    said = _asked(steps, steps.kept / PROXY, MOV, f"format=duration:{entries}", "-read_intervals", f"%+{_KEYS_OF}")
    try:
        return _judged(plan, said, ways)
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise Spoilt("nothing-decoded", "nothing of it can be decoded") from e


def _asked(steps: Steps, path: Path, demuxers: str, entries: str, *more: str) -> Any:
    """What ffprobe says of a file."""
    argv = [
        "ffprobe", "-v", "error", "-protocol_whitelist", "file,pipe", "-format_whitelist", demuxers, "-show_entries",
        entries, *more, "-of", "json", "/in/film",
    ]  # fmt: skip
    limits = Limits(cpu_seconds=120, seconds=600.0, memory=steps.memory, file_size=MIB, output=64 * MIB)
    outcome = steps.sandbox.run(argv, inputs={"film": path}, limits=limits)
    judge(outcome)
    try:
        return json.loads(outcome.out)
    except (ValueError, RecursionError) as e:
        raise Spoilt("nothing-decoded", "nothing of it can be decoded") from e


def _judged(plan: Plan, said: Any, ways: Ways) -> Found:
    seconds = float(said["format"]["duration"])
    streams = {s["codec_type"]: s for s in reversed(said["streams"])}
    if int(streams.get(plan.kind, {}).get("nb_frames", 0)) < 1:
        raise Spoilt("nothing-decoded", "nothing of it can be decoded")
    keys = [
        float(p["pts_time"])
        for p in said.get("packets", ())
        if p["codec_type"] == "video" and "K" in p["flags"] and "pts_time" in p
    ]
    spacing = max((b - a for a, b in pairwise(keys)), default=min(seconds, _KEYS_OF))
    complaint = ""
    if plan.sure and abs(seconds - (plan.seconds or 0.0)) > plan.tolerance + 0.001:
        complaint = f"it plays {seconds:.2f} s, its members say {plan.seconds:.2f} s"
    elif ways[1] != "none" and "audio" not in streams:
        complaint = "its sound is missing"
    elif ways[1] == "copy" and _drifts(streams["audio"]) and len(plan.segments) > 1:
        complaint = "its sound would drift away from the picture"
    picture = streams.get("video", {})
    size = (plan.width, plan.height) if plan.width else (picture.get("width", 0), picture.get("height", 0))
    return Found(seconds, size, spacing, complaint)


def is_whole(path: Path) -> bool:
    """Whether an MP4 is boxes from its first byte to its last, and the index comes before the media."""
    size, place = path.stat().st_size, 0
    found: list[bytes] = []
    with path.open("rb") as file:
        while place < size and len(found) < 16:
            file.seek(place)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            if length < 8:
                return False
            found.append(head[4:8])
            place += length
    return place == size and b"moov" in found and b"mdat" in found[found.index(b"moov") :]


_HEAD: Final = re.compile(r"#(extradata|media_type|codec_id|dimensions|sar|sample_rate|channel\w*) (\d+)[:,] *(.*)")


def _heads(text: str) -> dict[str, set[tuple[str, ...]]]:
    """What ``framehash`` says of the streams, by kind: equal ones once."""
    streams: dict[str, list[str]] = {}
    for line in text.splitlines():
        if m := _HEAD.match(line):
            streams.setdefault(m[2], []).append(f"{m[1]} {m[3]}")
    found: dict[str, set[tuple[str, ...]]] = {"video": set(), "audio": set()}
    for said in streams.values():
        kind = next((s.removeprefix("media_type ") for s in said if s.startswith("media_type")), "")
        if kind in found:
            found[kind].add(tuple(sorted(said)))
    return found


def _drifts(sound: Mapping[str, Any]) -> bool:
    """Whether sound that is played by mere counting would be elsewhere at the end than its time stamps say."""
    samples = _SAMPLES.get(str(sound["codec_name"]))
    if samples is None:
        return False
    counted = int(sound["nb_frames"]) * samples / int(sound["sample_rate"])
    return abs(counted - float(sound["duration"])) > _DRIFT
