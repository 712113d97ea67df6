"""Video and sound: ffprobe, by ffmpeg-python, and what the structure of the file adds where ffprobe cannot say.

Only demuxers that read one file are allowed: a playlist, a script that joins files, a list of pictures or a capture device is never
opened, whatever the name says. That is the second wall; the first is the sandbox, in which no other file and no network is.
"""

import contextlib
import itertools
import json
import re
import statistics
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import ffmpeg

from mediad.model.probe import Condition, Found, Position, Probe, Remark, Stream, StreamKind
from mediad.parsers import boxes, length, riff, tags, track, walls
from mediad.parsers.binary import Bytes, is_noise
from mediad.parsers.numbers import number, whole
from mediad.parsers.walls import SAFE

LOOKED_AT_PACKETS: Final = 600


def probe(path: Path, kind: str) -> Probe:
    """``kind``: by magic or suffix; corrected by what is found."""
    structure = _structure(path)
    try:
        walls.budget()
        # fmt: off
        said = ffmpeg.probe(f"file:{path}", v="error", show_packets=None, read_intervals=f"%+#{LOOKED_AT_PACKETS}", **SAFE)
        # fmt: on
    except ffmpeg.Error as error:
        why = _last_line(error.stderr)
        walls.runs("ffprobe")
        walls.disk_said(why, path)
        return _unread(path, kind, structure, why)
    streams, conditions, remarks = _streams(said), list(structure.conditions), list(structure.remarks)
    kinds = {s.kind for s in streams}
    if not kinds & {"video", "audio"}:
        return _unread(path, kind, structure, "no stream of video or sound")
    named = tags.tags_of(said)
    container = structure.container or said["format"].get("format_name", "").split(",")[0]
    places: Sequence[Position] = ()
    duration = None
    try:
        declared = number(said["format"].get("duration"))
        duration, found = length.duration(
            path, container, declared, pictures="video" in kinds, cut="truncated" in conditions
        )
        remarks += found
        places = track.of_streams(path, said["streams"])
    except walls.Spent as error:
        remarks.append(Remark("limit", str(error)))
    place = tags.position(named)
    return Probe(
        kind="video" if "video" in kinds else "audio",
        conditions=tuple(dict.fromkeys(conditions)),
        container=container,
        duration=duration,
        streams=tuple(streams),
        make=tags.first(named, tags.MAKE),
        model=tags.first(named, tags.MODEL),
        serial=tags.first(named, tags.SERIAL),
        software=tags.first(named, tags.SOFTWARE),
        stamps=tuple(tags.stamps(named, structure.found, duration, places)),
        position=place or (places[0] if places else None),
        track=track.summary(places),
        remarks=tuple(remarks),
        tool=_version(),
    )


def points(path: Path) -> Sequence[Position]:
    """Every position of its streams of text and data; none of a file that cannot be read."""
    try:
        return track.of_streams(path, ffmpeg.probe(f"file:{path}", v="error", **SAFE)["streams"])
    except (ffmpeg.Error, walls.Spent):
        return ()


class _Structure:
    """What the walk through a file's structure says, by its magic bytes."""

    def __init__(self) -> None:
        self.container = ""
        self.found: boxes.Found | None = None
        self.conditions: list[Condition] = []
        self.remarks: list[Remark] = []


def _structure(path: Path) -> _Structure:
    told = _Structure()
    with Bytes(path) as file:
        head = file.at(0, 400)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip", b"pnot", b"styp"):
        found = told.found = boxes.walk(path)
        told.container = "mov" if found.brand in ("", "qt") else "3gp" if found.brand.startswith("3g") else "mp4"
        unfinished = bool(found.media) and not found.index and not found.fragments
        if found.clipped or unfinished:
            told.conditions.append("truncated")
        if found.encrypted or found.noise:
            told.conditions.append("encrypted")
        if found.broken and not unfinished and not found.clipped:
            told.conditions.append("damaged")
        told.remarks = found.remarks
    elif head[:4] == b"RIFF":
        told.container = "avi" if head[8:12] == b"AVI " else "wav"
        told.conditions, told.remarks = riff.riff(path)
    elif head[:4] == b"\x1aE\xdf\xa3":
        told.container = "webm" if b"webm" in head[:64] else "mkv"
        told.conditions, told.remarks = riff.matroska(path)
    elif head[188:189] == b"\x47" == head[:1] or head[196:197] == b"\x47" == head[4:5]:
        told.container = "ts"
        told.conditions, told.remarks = riff.transport(path)
    return told


def _unread(path: Path, kind: str, structure: _Structure, why: str) -> Probe:
    """ffprobe could not read it: what the structure tells, else ``unreadable``, with ffprobe's reason."""
    conditions, remarks = list(structure.conditions), list(structure.remarks)
    if not conditions:
        conditions = ["unreadable"]
        with Bytes(path) as file:
            if is_noise(file, 0):
                remarks.append(Remark("noise", "nothing but noise from its first byte on, as in an encrypted file"))
    remarks.append(Remark("not-read", why))
    return Probe(
        cast(Found, kind),
        conditions=tuple(dict.fromkeys(conditions)),
        container=structure.container,
        remarks=tuple(remarks),
        tool=_version(),
    )


# --- streams ----------------------------------------------------------------------------------------------------------


def _streams(said: Mapping[str, Any]) -> list[Stream]:
    times = defaultdict(list)
    for packet in said.get("packets", ()):
        moment = number(packet.get("pts_time", packet.get("dts_time")))
        if moment is not None:
            times[packet.get("stream_index")].append(moment)
    shown = [s for s in said["streams"] if not _is_picture(s)]
    return [_stream(s, times[s.get("index")]) for s in shown]


def _is_picture(stream: Mapping[str, Any]) -> bool:
    """A cover or preview picture in the container is no stream of the recording."""
    held = stream.get("disposition", {})
    return bool(held.get("attached_pic") or held.get("timed_thumbnails") or held.get("still_image"))


def _stream(said: Mapping[str, Any], times: Sequence[float]) -> Stream:
    kind = said.get("codec_type")
    average = _rate(said.get("avg_frame_rate")) or _rate(said.get("r_frame_rate"))
    is_video = kind == "video"
    return Stream(
        kind=cast(StreamKind, kind) if kind in ("video", "audio", "subtitle") else "data",
        codec=said.get("codec_name", ""),
        profile=said.get("profile", ""),
        width=said.get("width") if is_video else None,
        height=said.get("height") if is_video else None,
        pixel_format=said.get("pix_fmt", ""),
        frame_rate=average if is_video else None,
        variable=is_video and _varies(times),
        rotation=_rotation(said) if is_video else 0,
        sample_rate=whole(said.get("sample_rate")),
        channels=said.get("channels"),
        duration=number(said.get("duration")),
        start=number(said.get("start_time")),
        language=said.get("tags", {}).get("language", "").replace("und", ""),
    )


def _varies(times: Sequence[float]) -> bool:
    """Whether frames are at different distances: more than one in twenty is off by a fifth (a dropped frame is not enough, nor is
    the rounding of a coarse time base)."""
    ordered = sorted(times)
    steps = [b - a for a, b in itertools.pairwise(ordered) if b > a]
    if len(steps) < 8:
        return False
    usual = statistics.median(steps)
    return sum(abs(step - usual) > max(usual * 0.2, 0.0015) for step in steps) > len(steps) * 0.05


def _rotation(said: Mapping[str, Any]) -> int:
    """Degrees clockwise, from the display matrix (which counts the other way round), else the old tag."""
    for side in said.get("side_data_list", ()):
        if (angle := number(side.get("rotation"))) is not None:
            return round(-angle / 90) * 90 % 360
    angle = number(said.get("tags", {}).get("rotate"))
    return 0 if angle is None else round(angle / 90) * 90 % 360


def _rate(text: object) -> float | None:
    above, _, below = str(text or "").partition("/")
    top, bottom = number(above), number(below or "1")
    return round(top / bottom, 4) if top and bottom else None


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    return re.sub(r"^file:\S+: ", "", lines[-1])[-200:] if lines else "ffprobe ended without a word"


@cache
def _version() -> str:
    said = subprocess.run(
        ["ffprobe", "-v", "quiet", "-show_program_version", "-of", "json"],
        capture_output=True,
        check=False,
    )
    with contextlib.suppress(ValueError, KeyError):
        return f"ffprobe {json.loads(said.stdout)['program_version']['version']}"
    return "ffprobe"
