"""What is made of a recording so that a person can watch it: decided from the probes alone, before a byte is touched.

A recording whose streams play in every current browser is only re-wrapped, any other is encoded; the segments of a take become
one proxy. Derivatives are no facts and no evidence: they may be deleted and are made again. The fingerprint of a plan tells
whether what lies there is still what would be made now.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Final, Literal

from mediad.model.probe import Probe, Stream
from mediad.model.tiles import THUMBS, fit

Kind = Literal["video", "audio", "photo"]
Way = Literal["copy", "encode", "none"]

VERSION: Final = 1
"""Of the files that a plan leads to; a new one makes all of them anew."""

MAX_SEGMENTS: Final = 2_000
"""A week of segments of five minutes. More is no take of a person's."""

PROXY, POSTER, SHEET, WAVE = "proxy.mp4", "poster.jpg", "sheet.jpg", "wave.png"
THUMBS_VTT, PHOTO_PROXY = "thumbs.vtt", "proxy.jpg"

DEMUXERS: Final[dict[str, str]] = {
    **dict.fromkeys(("mov", "mp4", "m4a", "m4v", "3gp", "3g2", "mj2", "qt"), "mov,mp4,m4a,3gp,3g2,mj2"),
    **dict.fromkeys(("matroska", "mkv", "webm"), "matroska,webm"),
    **dict.fromkeys(("mpegts", "ts", "mts", "m2ts"), "mpegts"),
    **dict.fromkeys(("mpeg", "ps", "vob"), "mpeg"),
    **dict.fromkeys(("asf", "wmv", "wma"), "asf"),
    **{n: n for n in ("avi", "flv", "wav", "w64", "amr", "amrnb", "amrwb", "mp3", "aac", "flac", "ogg", "aiff", "caf")},
    **{n: n for n in ("h264", "hevc", "mjpeg", "dv", "ivf")},
}
"""Name of a container to the one demuxer that may open it: playlists and other files that name files are not among them."""

MOV: Final = DEMUXERS["mov"]
AVI: Final = "avi"

_PLAYS: Final = ("Baseline", "Constrained Baseline", "Main", "High", "Progressive High", "Constrained High")
_PIXELS: Final = ("yuv420p", "yuvj420p")
_MOST_BLOCKS, _MOST_BLOCKS_A_SECOND = 36_864, 983_040  # H.264 level 5.1: 4096x2304, or 3840x2160 at 30
_SPOILT: Final = ("encrypted", "unreadable")
_DOUBTFUL: Final = ("damaged", "truncated")
_USUAL_RATE: Final = 25.0
_SAMPLES: Final = 1024  # in a block of AAC
_SLOWEST_RATE: Final = 8_000
_SOUND_FRAME: Final = 0.05  # one AAC frame, and a little


@dataclass(frozen=True, slots=True)
class Settings:
    """How previews are made (docs/settings.md). ``height`` is the most a proxy has, ``crf`` the quality of its picture (less is
    better), ``preset`` the encoder's effort."""

    height: int = 720
    crf: int = 28
    preset: str = "veryfast"
    audio_kbps: int = 64
    overlay: bool = False


@dataclass(frozen=True, slots=True)
class Overlay:
    """What is written into the picture, as people read it. The clock comes from the members."""

    recorder: str = ""
    officer: str = ""

    @property
    def text(self) -> str:
        return "  ".join(t for t in (self.recorder, self.officer) if t)


@dataclass(frozen=True, slots=True)
class Member:
    """One original of a recording. ``start``: when it was taken, in the zone in which people shall read it."""

    probe: Probe
    size: int
    digest: str
    suffix: str = ""
    start: datetime | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """One member, as an encoder has to take it. ``member`` counts from 0; ``demuxers`` are all that may open it; ``salvage``:
    its index is missing, so what plays has to be looked for; ``clock``: seconds since 1970 as the wall clock showed them."""

    member: int
    demuxers: str
    seconds: float | None
    frame: float
    picture: bool
    sound: bool
    salvage: bool = False
    clock: float | None = None


@dataclass(frozen=True, slots=True)
class Unplayable:
    """Nothing can be made of it, and why; the codes stand in docs/derive.md."""

    code: Literal["encrypted", "unreadable", "nothing-to-see", "too-many-segments"]
    sentence: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What to make. Sizes are of the picture as seen; ``skipped`` are members that nothing can be made of."""

    kind: Kind
    segments: tuple[Segment, ...]
    video: Way = "none"
    audio: Way = "none"
    width: int = 0
    height: int = 0
    rate: float = _USUAL_RATE
    channels: int = 1
    size: int = 0
    settings: Settings = Settings()
    text: str = ""
    skipped: tuple[int, ...] = ()
    reference: int | None = None
    """The segment whose parameters help to read those without an index; None if there is none."""
    fingerprint: str = ""

    @property
    def seconds(self) -> float | None:
        """How long the whole should play; None if that cannot be known before."""
        known = [s.seconds for s in self.segments]
        return None if None in known else sum(s for s in known if s is not None)

    @property
    def tolerance(self) -> float:
        """How far the proxy may be from that: one frame of each segment."""
        return sum(s.frame for s in self.segments)

    @property
    def sure(self) -> bool:
        """Whether the probes say how long it plays, and nothing is known to be wrong with it."""
        return self.seconds is not None and not any(s.salvage for s in self.segments)

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all that belongs to it, apart from the manifest."""
        if self.kind == "photo":
            return (POSTER, PHOTO_PROXY)
        seen = (POSTER, SHEET, THUMBS, THUMBS_VTT) if self.video != "none" else ()
        return (PROXY, *seen, *((WAVE,) if self.audio != "none" else ()))

    @property
    def ladder(self) -> tuple[tuple[Way, Way], ...]:
        """Ways for picture and sound, the cheapest first; each is tried if what the one before gave does not hold."""
        cheap: list[tuple[Way, Way]] = [(self.video, self.audio)]
        if self.audio == "copy":
            cheap.append((self.video, "encode"))
        if self.video == "copy":
            cheap.append(("encode", "none" if self.audio == "none" else "encode"))
        return tuple(cheap)

    @property
    def mute(self) -> "Plan | None":
        """The same film without its sound, for when nobody can decode that; None if it has none, or no picture."""
        return None if "none" in (self.video, self.audio) else replace(self, audio="none")


def plan(
    members: Sequence[Member],
    settings: Settings,
    overlay: Overlay | None = None,
    reference: Member | None = None,
) -> Plan | Unplayable:
    """What to make of a recording: its members in order, and (for one without an index) another original of the same recorder,
    which then has the number after the last member."""
    usable = [n for n, m in enumerate(members) if not _spoilt(m.probe)]
    if not usable:
        return _why_not(members)
    if len(usable) > MAX_SEGMENTS:
        return Unplayable("too-many-segments", f"a take of {len(usable)} segments is too long for one preview")
    kind = _kind(members, usable)
    if kind is None:
        return Unplayable("nothing-to-see", "neither picture nor sound is in it")
    text = overlay.text if overlay and settings.overlay else ""
    made = _photo(members, usable, settings) if kind == "photo" else _moving(kind, members, usable, settings, text)
    # before the help: which other original that is may change with each docking, and what was salvaged is none the worse
    made = replace(made, fingerprint=_fingerprint(made, members))
    return _helped(made, reference, len(members)) if any(s.salvage for s in made.segments) else made


def helps(probe: Probe) -> bool:
    """Whether an original may tell how another of the same recorder was coded."""
    return not probe.conditions and probe.stream("video") is not None and _demuxers(probe) == MOV


def _spoilt(probe: Probe) -> bool:
    return any(c in _SPOILT for c in probe.conditions) or not (probe.kind == "photo" or _moves(probe))


def _moves(probe: Probe) -> bool:
    """Whether it is film or sound that an encoder may open."""
    return probe.kind != "photo" and bool(_demuxers(probe) or _lost_index(probe))


def _why_not(members: Sequence[Member]) -> Unplayable:
    found = {c for m in members for c in m.probe.conditions}
    if "encrypted" in found:
        return Unplayable("encrypted", "it is encrypted by the recorder")
    if "unreadable" in found or any(m.probe.kind != "data" for m in members):
        return Unplayable("unreadable", "no parser can read it")
    return Unplayable("nothing-to-see", "neither picture nor sound is in it")


def _kind(members: Sequence[Member], usable: Sequence[int]) -> Kind | None:
    moving = [p for n in usable if _moves(p := members[n].probe)]
    if any(p.stream("video") or _lost_index(p) for p in moving):
        return "video"
    if any(p.stream("audio") for p in moving):
        return "audio"
    return "photo" if len(moving) < len(usable) else None


def _lost_index(probe: Probe) -> bool:
    """Whether a film's index is missing: its bytes are there, but nothing says where a frame begins."""
    return "truncated" in probe.conditions and probe.kind == "video" and not probe.streams


def _demuxers(probe: Probe) -> str:
    names = probe.container.lower().replace(" ", "").split(",")
    return next((DEMUXERS[n] for n in names if n in DEMUXERS), "")


def _photo(members: Sequence[Member], usable: Sequence[int], settings: Settings) -> Plan:
    first = next(n for n in usable if members[n].probe.kind == "photo")
    segment = Segment(first, "", None, 0.0, picture=True, sound=False)
    return Plan("photo", (segment,), size=members[first].size, settings=settings, skipped=_left(members, [first]))


def _left(members: Sequence[Member], usable: Sequence[int]) -> tuple[int, ...]:
    return tuple(n for n in range(len(members)) if n not in usable)


def _moving(kind: Kind, members: Sequence[Member], usable: Sequence[int], settings: Settings, text: str) -> Plan:
    moving = [_segment(n, members[n], settings) for n in usable if _moves(members[n].probe)]
    segments = tuple(s for s in moving if (s.picture if kind == "video" else s.sound))
    taken = [members[s.member] for s in segments]
    width, height = _size(taken, settings.height)
    video = _video_way(taken, segments, settings) if kind == "video" else "none"
    audio = _audio_way(taken, segments)
    if video == "encode" and audio == "copy" and len(segments) > 1:
        audio = "encode"  # pieces of compressed sound cannot be joined to pictures that are cut anew
    return Plan(
        kind,
        segments,
        video=video,
        audio=audio,
        width=width,
        height=height,
        rate=max((_rate(v) for m in taken if (v := m.probe.stream("video"))), default=_USUAL_RATE),
        channels=min(2, max((a.channels or 1 for m in taken if (a := m.probe.stream("audio"))), default=1)),
        size=sum(m.size for m in taken),
        settings=settings,
        text=text,
        skipped=_left(members, [s.member for s in segments]),
    )


def _segment(number: int, member: Member, settings: Settings) -> Segment:
    probe = member.probe
    picture, lost = probe.stream("video"), _lost_index(probe)
    clock = None
    if settings.overlay and member.start is not None:
        shift = member.start.utcoffset()
        clock = member.start.timestamp() + (shift.total_seconds() if shift else 0.0)
    return Segment(
        member=number,
        demuxers=_demuxers(probe) or (MOV if lost else ""),
        seconds=None if lost else _seconds(probe),
        frame=max(1 / _rate(picture) if picture or lost else _SOUND_FRAME, _block(probe.stream("audio"))),
        picture=picture is not None or lost,
        sound=probe.stream("audio") is not None,
        salvage=lost,
        clock=clock,
    )


def _seconds(probe: Probe) -> float | None:
    known = [probe.duration, *(s.duration for s in probe.streams if s.kind in ("video", "audio"))]
    return next((d for d in known if d), None)


def _block(sound: Stream | None) -> float:
    """Seconds of one block of compressed sound: at the 8 kHz of some recorders it is longer than three pictures, and what holds
    sound is no shorter than its last block."""
    rate = sound.sample_rate if sound else None
    return _SAMPLES / max(rate, _SLOWEST_RATE) if rate else 0.0


def _rate(stream: Stream | None) -> float:
    """Frames a second; a damaged header says anything."""
    rate = stream.frame_rate if stream else None
    return rate if rate is not None and 1 <= rate <= 240 else _USUAL_RATE


def _seen(stream: Stream) -> tuple[int, int]:
    """Width and height as a player shows them."""
    width, height = stream.width or 0, stream.height or 0
    return (height, width) if stream.rotation in (90, 270) else (width, height)


def _size(members: Sequence[Member], most: int) -> tuple[int, int]:
    """Even width and height of the proxy: those of the largest member, never more than that, at most ``most`` high. 0 if they are
    seen only when it is decoded; but several must have some size in common."""
    sizes = [_seen(s) for m in members if (s := m.probe.stream("video"))]
    width, height = max(sizes, key=lambda s: s[0] * s[1], default=(0, 0))
    if width and height:
        return fit(width, height, most)
    return (0, 0) if len(members) == 1 else fit(16 * most, 9 * most, most)


def _video_way(members: Sequence[Member], segments: Sequence[Segment], settings: Settings) -> Way:
    streams = [m.probe.stream("video") for m in members]
    if settings.overlay or any(s.salvage for s in segments):
        return "encode"
    if any(c in _DOUBTFUL for m in members for c in m.probe.conditions):
        return "encode"  # a browser gives up at an error that an encoder passes over
    plays = all(s is not None and _picture_plays(s) for s in streams)
    return "copy" if plays and len({_picture_kind(s) for s in streams if s}) == 1 else "encode"


def _picture_plays(s: Stream) -> bool:
    blocks = -(-(s.width or 0) // 16) * -(-(s.height or 0) // 16)
    return (
        s.codec == "h264"
        and s.profile in _PLAYS
        and s.pixel_format in _PIXELS
        and 0 < blocks <= _MOST_BLOCKS
        and blocks * _rate(s) <= _MOST_BLOCKS_A_SECOND
    )


def _picture_kind(s: Stream) -> tuple[object, ...]:
    return s.codec, s.profile, s.width, s.height, s.pixel_format, s.rotation


def _audio_way(members: Sequence[Member], segments: Sequence[Segment]) -> Way:
    streams = [m.probe.stream("audio") for m in members]
    if not any(streams):
        return "none"
    if any(c in _DOUBTFUL for m in members for c in m.probe.conditions) or any(s.salvage for s in segments):
        return "encode"
    plays = all(s is not None and _sound_plays(s) for s in streams)  # one without sound gets silence
    return "copy" if plays and len({(s.codec, s.sample_rate, s.channels) for s in streams if s}) == 1 else "encode"


def _sound_plays(s: Stream) -> bool:
    if (s.channels or 0) not in (1, 2):
        return False
    if s.codec == "mp3":
        return s.sample_rate in (32_000, 44_100, 48_000)
    return s.codec == "aac" and s.profile == "LC" and 8_000 <= (s.sample_rate or 0) <= 48_000


def _helped(made: Plan, reference: Member | None, number: int) -> Plan:
    """With a whole original of the same recorder: a segment, else the one that was given."""
    for s in made.segments:
        if not s.salvage and s.demuxers == MOV:
            return replace(made, reference=s.member)
    if reference is None or not helps(reference.probe):
        return made
    known = made.width and any(not s.salvage for s in made.segments)
    width, height = (made.width, made.height) if known else _size([reference], made.settings.height)
    return replace(made, reference=number, width=width, height=height)


def _fingerprint(made: Plan, members: Sequence[Member]) -> str:
    said = {
        "version": VERSION,
        "plan": asdict(made),
        "digests": [m.digest for m in members],
    }
    text = json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
