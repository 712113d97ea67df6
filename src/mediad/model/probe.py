"""What the bytes of an asset say: the answer of the sandboxed parsers, as pure values.

Everything here is a claim of the file itself. A parser's answer crosses the sandbox as JSON (``Probe.as_json``) and is read by
``Probe.from_json``, which takes nothing on trust: unknown keys are dropped, wrong types and impossible numbers become unknown,
texts are cut and cleaned. The same JSON stands in the event ``asset.probed``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeVar, get_args

from mediad.model.layout import printable

Condition = Literal["damaged", "truncated", "encrypted", "unreadable"]
"""``damaged``: bytes contradict the format. ``truncated``: the end is missing (a pulled battery leaves an MP4 without its index).
``encrypted``: the container says so, or nothing but noise follows a known head. ``unreadable``: no parser could say anything."""

StreamKind = Literal["video", "audio", "subtitle", "image", "data"]
StampSource = Literal["container", "exif", "sidecar", "gps"]
Means = Literal["start", "end", "unsaid"]
Format = Literal["xml", "nmea", "gpx"]
Found = Literal["video", "audio", "photo", "data"]

MAX_TEXT: Final = 200
MAX_STREAMS: Final = 32
MAX_STAMPS: Final = 16
MAX_FINDINGS: Final = 16
MAX_SECONDS: Final = 400 * 86_400.0
"""A longer duration is nonsense of a damaged index."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream, or a photo's picture (kind ``image``). Sizes in pixels as stored, before ``rotation`` (degrees clockwise that
    a player turns it); ``duration`` and ``start`` in seconds; ``frame_rate`` the average, ``variable`` if frames differ."""

    kind: StreamKind
    codec: str = ""
    profile: str = ""
    width: int | None = None
    height: int | None = None
    pixel_format: str = ""
    frame_rate: float | None = None
    variable: bool = False
    rotation: int = 0
    sample_rate: int | None = None
    channels: int | None = None
    duration: float | None = None
    start: float | None = None
    language: str = ""


@dataclass(frozen=True, slots=True)
class Stamp:
    """A time that the file names. ``value`` is ISO 8601 as read: with offset if the file gave one (``Z`` counts), else wall clock.
    ``means`` says which moment it is of, where the format says so; ``field`` names where it stood."""

    source: StampSource
    value: str
    means: Means = "unsaid"
    field: str = ""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in degrees of WGS 84, altitude in metres; ``at`` as in ``Stamp.value`` (GPS time is UTC and says so)."""

    latitude: float
    longitude: float
    altitude: float | None = None
    at: str = ""


@dataclass(frozen=True, slots=True)
class Track:
    """A summary of a GPS track; the whole of it can be read again from the original. ``box`` is south, west, north, east."""

    points: int
    first: Position
    last: Position
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class SidecarClaims:
    """What a sidecar (a data file beside a recording) claims of the recording of the same name."""

    format: Format
    officer: str = ""
    officer_name: str = ""
    device: str = ""
    unit: str = ""
    case: str = ""
    important: bool = False


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about the file that a person should know; ``code`` is stable (docs/derive.md)."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Probe:
    """All that the bytes say. ``kind`` is what the parsers found (``data`` if nothing else is known)."""

    kind: Found
    conditions: tuple[Condition, ...] = ()
    container: str = ""
    duration: float | None = None
    streams: tuple[Stream, ...] = ()
    make: str = ""
    model: str = ""
    serial: str = ""
    software: str = ""
    stamps: tuple[Stamp, ...] = ()
    position: Position | None = None
    track: Track | None = None
    sidecar: SidecarClaims | None = None
    remarks: tuple[Remark, ...] = ()
    tool: str = ""
    """Which parser said so, with its version."""

    def stream(self, kind: StreamKind) -> Stream | None:
        """The first stream of a kind."""
        return next((s for s in self.streams if s.kind == kind), None)

    def as_json(self) -> dict[str, Any]:
        """Plain values; what is unknown or empty is left out."""
        return {k: v for k, v in _plain(asdict(self)).items() if v not in (None, "", [], {})}

    @classmethod
    def from_json(cls, raw: object) -> "Probe":
        """Read an answer of which nothing is trusted. Never raises: what cannot be read is unknown."""
        d = _Reader(raw)
        return cls(
            kind=d.choice("kind", get_args(Found)) or "data",
            conditions=tuple(c for c in get_args(Condition) if c in d.items("conditions")),
            container=d.text("container"),
            duration=d.number("duration", 0, MAX_SECONDS),
            streams=tuple(_stream(_Reader(s)) for s in d.items("streams")[:MAX_STREAMS]),
            make=d.text("make"),
            model=d.text("model"),
            serial=d.text("serial"),
            software=d.text("software"),
            stamps=tuple(s for raw in d.items("stamps")[:MAX_STAMPS] if (s := _stamp(_Reader(raw)))),
            position=_position(_Reader(d.raw.get("position"))),
            track=_track(_Reader(d.raw.get("track"))),
            sidecar=_sidecar(_Reader(d.raw.get("sidecar"))),
            remarks=tuple(
                Remark(r.text("code"), r.text("detail")) for r in map(_Reader, d.items("remarks")[:MAX_FINDINGS])
            ),
            tool=d.text("tool"),
        )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


class _Reader:
    """A mapping that may hold anything."""

    def __init__(self, raw: object) -> None:
        self.raw: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}

    def text(self, key: str) -> str:
        value = self.raw.get(key)
        return clean(value) if isinstance(value, str) else ""

    def number(self, key: str, low: float, high: float) -> float | None:
        value = self.raw.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if math.isfinite(value) and low <= value <= high else None

    def whole(self, key: str, low: int, high: int) -> int | None:
        value = self.raw.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high else None

    def flag(self, key: str) -> bool:
        return self.raw.get(key) is True

    def items(self, key: str) -> Sequence[Any]:
        value = self.raw.get(key)
        return value if isinstance(value, list | tuple) else ()

    def choice(self, key: str, allowed: Sequence[T]) -> T | None:
        value = self.raw.get(key)
        return next((a for a in allowed if a == value), None)


def clean(text: str) -> str:
    """A text of a file as it may be shown and stored: visible, one line, without blanks around it, at most ``MAX_TEXT`` long."""
    return printable(text.encode("utf-8", "replace").strip(b"\0 \t\r\n"))[:MAX_TEXT].strip()


def _stream(d: _Reader) -> Stream:
    return Stream(
        kind=d.choice("kind", get_args(StreamKind)) or "data",
        codec=d.text("codec"),
        profile=d.text("profile"),
        width=d.whole("width", 1, 1 << 20),
        height=d.whole("height", 1, 1 << 20),
        pixel_format=d.text("pixel_format"),
        frame_rate=d.number("frame_rate", 0.001, 10_000),
        variable=d.flag("variable"),
        rotation=d.choice("rotation", (0, 90, 180, 270)) or 0,
        sample_rate=d.whole("sample_rate", 1, 10_000_000),
        channels=d.whole("channels", 1, 256),
        duration=d.number("duration", 0, MAX_SECONDS),
        start=d.number("start", -MAX_SECONDS, MAX_SECONDS),
        language=d.text("language"),
    )


def _stamp(d: _Reader) -> Stamp | None:
    source, value = d.choice("source", get_args(StampSource)), _iso(d.text("value"))
    if source is None or not value:
        return None
    return Stamp(source, value, d.choice("means", get_args(Means)) or "unsaid", d.text("field"))


def _iso(text: str) -> str:
    """The text if it is an ISO 8601 date and time, else nothing."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return ""
    return parsed.isoformat() if "T" in text or " " in text else ""


def _position(d: _Reader) -> Position | None:
    latitude, longitude = d.number("latitude", -90, 90), d.number("longitude", -180, 180)
    if latitude is None or longitude is None:
        return None
    return Position(latitude, longitude, d.number("altitude", -20_000, 100_000), _iso(d.text("at")))


def _track(d: _Reader) -> Track | None:
    first, last = _position(_Reader(d.raw.get("first"))), _position(_Reader(d.raw.get("last")))
    box = [n for n in d.items("box") if isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n)]
    points = d.whole("points", 1, 10**9)
    if first is None or last is None or points is None or len(box) != 4:
        return None
    return Track(points, first, last, (float(box[0]), float(box[1]), float(box[2]), float(box[3])))


def _sidecar(d: _Reader) -> SidecarClaims | None:
    form = d.choice("format", get_args(Format))
    if form is None:
        return None
    return SidecarClaims(
        format=form,
        officer=d.text("officer"),
        officer_name=d.text("officer_name"),
        device=d.text("device"),
        unit=d.text("unit"),
        case=d.text("case"),
        important=d.flag("important"),
    )
