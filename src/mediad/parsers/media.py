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
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import ffmpeg

from mediad.model.probe import Condition, Found, Position, Probe, Remark, Stamp, Stream, StreamKind
from mediad.parsers import boxes, riff, track, walls
from mediad.parsers.binary import Bytes, is_noise
from mediad.parsers.walls import SAFE, tool

LOOKED_AT_PACKETS: Final = 600

LONGEST: Final = 24 * 3600.0
"""Seconds: no file of a recorder is longer. What claims to be is measured."""

SLOWEST: Final = 300
"""Bytes a second: no film has fewer, and what claims to be longer than ``SHORT`` with fewer is measured."""

SHORT: Final = 60.0
JUMP, BACK = 10.0, 2.0
"""Seconds forward, or back, between a packet and the one before it: no pause, and no order of pictures, is so long."""

BEHIND: Final = 8 * 1024**2
"""Bytes that a demuxer has read beyond the last packet that it told of, at most."""

_MAKE = ("com.apple.quicktime.make", "com.android.manufacturer", "make", "manufacturer")
_MODEL = ("com.apple.quicktime.model", "com.android.model", "model", "device_model")
_SERIAL = ("serial", "serialnumber", "serial_number", "device_id", "deviceid", "camera_serial", "sn")
_SOFTWARE = ("com.apple.quicktime.software", "software", "firmware", "com.android.version", "encoder")
_PLACE = ("com.apple.quicktime.location.iso6709", "location", "location-eng", "com.apple.quicktime.gps")
_STARTED = ("com.apple.quicktime.creationdate", "date_recorded")
_ISO6709 = re.compile(r"\s*([+-]\d{2,7}(?:\.\d+)?)([+-]\d{3,8}(?:\.\d+)?)([+-]\d+(?:\.\d+)?)?")


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
        walls.disk_said(why, path)
        return _unread(path, kind, structure, why)
    streams, conditions, remarks = _streams(said), list(structure.conditions), list(structure.remarks)
    kinds = {s.kind for s in streams}
    if not kinds & {"video", "audio"}:
        return _unread(path, kind, structure, "no stream of video or sound")
    tags = _tags(said)
    container = structure.container or said["format"].get("format_name", "").split(",")[0]
    places: Sequence[Position] = ()
    duration = None
    try:
        declared = _number(said["format"].get("duration"))
        duration, found = _duration(path, container, declared, pictures="video" in kinds, cut="truncated" in conditions)
        remarks += found
        places = track.of_streams(path, said["streams"])
    except walls.Spent as error:
        remarks.append(Remark("limit", str(error)))
    place = _position(tags)
    return Probe(
        kind="video" if "video" in kinds else "audio",
        conditions=tuple(dict.fromkeys(conditions)),
        container=container,
        duration=duration,
        streams=tuple(streams),
        make=_first(tags, _MAKE),
        model=_first(tags, _MODEL),
        serial=_first(tags, _SERIAL),
        software=_first(tags, _SOFTWARE),
        stamps=tuple(_stamps(tags, structure.found, duration, places)),
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
        moment = _number(packet.get("pts_time", packet.get("dts_time")))
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
        sample_rate=_whole(said.get("sample_rate")),
        channels=said.get("channels"),
        duration=_number(said.get("duration")),
        start=_number(said.get("start_time")),
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
        if (angle := _number(side.get("rotation"))) is not None:
            return round(-angle / 90) * 90 % 360
    angle = _number(said.get("tags", {}).get("rotate"))
    return 0 if angle is None else round(angle / 90) * 90 % 360


def _rate(text: object) -> float | None:
    above, _, below = str(text or "").partition("/")
    top, bottom = _number(above), _number(below or "1")
    return round(top / bottom, 4) if top and bottom else None


# --- how long it plays ------------------------------------------------------------------------------------------------


def _duration(
    path: Path, container: str, declared: float | None, *, pictures: bool, cut: bool
) -> tuple[float | None, list[Remark]]:
    """The container's word, where that can be true; else what a player plays, by the packets. Raises Spent."""
    stamped = container in ("ts", "mpeg")  # only their time stamps say how long they are, and those may jump
    if declared and declared > 0 and not (cut or stamped or _absurd(path, declared, pictures)):
        return declared, []
    played = _played(path)
    if played is None:
        return None, []
    remarks = []
    if played.jumps:
        detail = f"its time stamps jump {played.jumps} times; {played.seconds:.3f} s of it can be played"
        remarks.append(Remark("clock-jumps", detail))
    elif not stamped and declared and declared - played.seconds > 0.2:
        remarks.append(Remark("shorter-than-declared", f"{played.seconds:.3f} s can be read of {declared:.3f} s"))
    return played.seconds, remarks


def _absurd(path: Path, declared: float, pictures: bool) -> bool:
    return declared > LONGEST or (pictures and declared > SHORT and path.stat().st_size < SLOWEST * declared)


class _Played(NamedTuple):
    seconds: float
    jumps: int


class _Clock:
    """One stream's packets, in the order of the file. A step that neither an order of pictures nor a pause explains is a jump: the
    recorder's clock was set, or files were joined byte by byte."""

    def __init__(self) -> None:
        self._before = self._first = self._last = 0.0
        self._done: float | None = None
        self.jumps = 0

    def add(self, shown: float, stored: float, length: float) -> None:
        """When it is shown, and when it stands in the file's own order."""
        jumped = self._done is not None and not -BACK < stored - self._before < JUMP
        if self._done is None or jumped:
            self.jumps += jumped
            self._done = self.seconds
            self._first = self._last = shown
        self._before = stored
        self._first = min(self._first, shown)
        self._last = max(self._last, shown + length)

    @property
    def seconds(self) -> float:
        return (self._done or 0.0) + self._last - self._first


def _played(path: Path) -> _Played | None:
    """How much plays in the part that can be read: the longest stream, without what lies between two jumps of its clock. Raises
    Spent, OSError where it ended for the disk's sake."""
    walls.budget()
    words = [
        *tool("ffprobe"),
        "-show_entries",
        "packet=stream_index,pts_time,dts_time,duration_time,pos",
        "-of",
        "csv=p=0",
    ]
    clocks: dict[str, _Clock] = defaultdict(_Clock)
    seen = 0
    with subprocess.Popen(
        [*words, f"file:{path}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        for line in process.stdout or ():
            stream, pts, dts, length, place = (line.strip().split(",") + [""] * 5)[:5]
            shown, stored = _number(pts), _number(dts)
            seen = max(seen, int(_number(place) or 0))
            shown, stored = stored if shown is None else shown, shown if stored is None else stored
            if shown is not None and stored is not None:
                clocks[stream].add(shown, stored, _number(length) or 0)
    if process.returncode < 0:
        raise walls.Spent("it was not measured to its end: that takes more processor time than it may")
    walls.read_through(path, seen, BEHIND)  # where it ended, the disk may have failed
    if not clocks:
        return None
    longest = max(clocks.values(), key=lambda c: c.seconds)
    return _Played(round(longest.seconds, 6), longest.jumps)


# --- what the container's tags say ------------------------------------------------------------------------------------


def _tags(said: Mapping[str, Any]) -> dict[str, str]:
    """Of the container, then of its streams; lower case."""
    tags: dict[str, str] = {}
    for part in (said["format"], *said["streams"]):
        for key, value in part.get("tags", {}).items():
            tags.setdefault(key.lower(), value)
    return tags


def _first(tags: Mapping[str, str], names: Sequence[str]) -> str:
    return next((tags[name] for name in names if tags.get(name, "").strip()), "")


def _stamps(
    tags: Mapping[str, str], found: boxes.Found | None, duration: float | None, points: Sequence[Position]
) -> list[Stamp]:
    stamps = [Stamp("container", moment, "start", field) for field in _STARTED if (moment := iso(tags.get(field, "")))]
    created = tags.get("creation_time") or tags.get("date") or ""
    pair = _written_at_both_ends(found, duration)
    if pair:
        stamps += [
            Stamp("container", pair[0], "start", "mvhd.creation_time"),
            Stamp("container", pair[1], "end", "mvhd.modification_time"),
        ]
    elif moment := iso(created):
        stamps.append(Stamp("container", moment, "unsaid", "creation_time"))
    elif found is not None and found.created is not None:
        stamps.append(Stamp("container", found.created.isoformat(), "unsaid", "mvhd.creation_time"))
    stamps += track.stamps(points, "container")
    return stamps


def _written_at_both_ends(found: boxes.Found | None, duration: float | None) -> tuple[str, str] | None:
    """A recorder that wrote its head when it began and again when it ended: the two times are the duration apart."""
    if found is None or found.created is None or found.modified is None or not duration or duration < 10:
        return None
    apart = (found.modified - found.created).total_seconds()
    if abs(apart - duration) > 3:
        return None
    return found.created.isoformat(), found.modified.isoformat()


def iso(text: str) -> str:
    """A tag's time as ISO 8601; nothing if it is not one, or names a day without a time."""
    text = re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", text.strip())
    with contextlib.suppress(ValueError):
        parsed = datetime.fromisoformat(text)
        if ":" in text:
            return parsed.isoformat()
    return ""


def _position(tags: Mapping[str, str]) -> Position | None:
    """ISO 6709, as ``+39.9042+116.4074+044.200/``: degrees only, or with minutes and seconds by the number of digits."""
    match = _ISO6709.match(_first(tags, _PLACE))
    if not match:
        return None
    latitude, longitude = _degrees(match[1], 2), _degrees(match[2], 3)
    altitude = float(match[3]) if match[3] else None
    if (latitude, longitude) == (0, 0) or abs(latitude) > 90 or abs(longitude) > 180:
        return None
    return Position(latitude, longitude, altitude)


def _degrees(text: str, digits: int) -> float:
    sign, whole, rest = -1 if text[0] == "-" else 1, text[1:].partition(".")[0], text[1:].partition(".")[2]
    degrees, minutes = whole[:digits], whole[digits : digits + 2]
    seconds = whole[digits + 2 : digits + 4]
    if not minutes:
        return sign * float(f"{degrees}.{rest or 0}")
    if not seconds:
        return sign * (float(degrees) + float(f"{minutes}.{rest or 0}") / 60)
    return sign * (float(degrees) + float(minutes) / 60 + float(f"{seconds}.{rest or 0}") / 3600)


def _number(value: object) -> float | None:
    with contextlib.suppress(TypeError, ValueError):
        number = float(value)  # type: ignore[arg-type]
        if abs(number) < 1e12:
            return number
    return None


def _whole(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


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
