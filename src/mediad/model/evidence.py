"""What travels: claims, assets, recordings, dockings."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo

from mediad.model.ids import Digest

Channel = Literal["body-camera", "terminal", "cctv", "manual", "legacy"]
CHANNELS: Final[tuple[str, ...]] = get_args(Channel)


class Outcome(StrEnum):
    """What became of one source file in one docking."""

    STORED = "stored"
    SIGHTING = "sighting"
    KNOWN = "known"
    REJECTED = "rejected"
    FAILED = "failed"


class Kind(StrEnum):
    """What a recording is, by magic bytes and then by suffix; ``data`` is everything else and is kept like the rest."""

    VIDEO = "video"
    AUDIO = "audio"
    PHOTO = "photo"
    DATA = "data"


class DockingState(StrEnum):
    """``complete``: everything on the source is an asset. ``incomplete``: some files failed or were not reached.
    ``interrupted``: the docking broke off (pulled, killed, power cut)."""

    OPEN = "open"
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A claim made by a recorder or folder; nothing of it is trusted.

    ``path`` is relative to the volume, raw bytes. Times are nanoseconds since 1970 as the file system gave them.
    ``device`` and ``inode`` identify the file only as long as the volume stays mounted. ``changed_ns`` is when anything of it
    last changed by the clock of this machine's kernel, which no writer can set back; 0 where that is not kept.
    """

    volume: str
    path: bytes
    size: int
    mtime_ns: int
    birth_ns: int | None = None
    device: int = 0
    inode: int = 0
    changed_ns: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Rejected:
    """Something on a source that is no file to take, or could not be looked at; ``why`` is for people."""

    volume: str
    path: bytes
    why: str
    outcome: Outcome = Outcome.REJECTED
    size: int = 0


@dataclass(frozen=True, slots=True)
class SourceIdentity:
    """Who a source says it is.

    ``key`` is stable over dockings: ``serial:...``, ``fsuuid:...`` or ``folder:...``; a device that has none of these is
    ``anonymous:...``, another one at each docking. Only an identified source, which proved its key itself, can have its files
    recognised by path, size and time alone: a serial that a person typed is a claim. ``label`` goes into vault keys and onto
    screens. ``doubt`` says why the key names more than one source at this moment, if it does.
    """

    key: str
    label: str
    identified: bool
    recorder_id: str | None = None
    """Of its registration; None if it has none. A drop folder is registered by its name in the settings."""
    registered: bool = False
    profile: str = ""
    """Profile that its registration names, if any."""
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class CapturedAt:
    """When a recording began, by which source (``name``, ``mtime``, ``docking``), and how far to trust it."""

    value: datetime
    source: Literal["name", "mtime", "docking"]
    confidence: Literal["claimed", "estimated", "untrusted"]


@dataclass(frozen=True, slots=True)
class Copied:
    """One source file whose bytes lie in staging: what the one read of the source told."""

    file: SourceFile
    staged: str
    digests: tuple[Digest, ...]
    head: bytes

    @property
    def sha256(self) -> Digest:
        return self.digests[0]


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What a vault's medium gave back for one key: ``method`` says how the page cache was kept out (``direct``,
    ``evicted``, ``get``)."""

    digest: Digest
    size: int
    method: Literal["direct", "evicted", "get"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a person should know. ``code`` is stable, ``subject`` an id, key or path, ``detail`` one sentence."""

    code: str
    subject: str
    detail: str


@dataclass(slots=True)
class Counts:
    """The sums of a docking, as in ``ingest --json``: files, and bytes newly stored."""

    new: int = 0
    sightings: int = 0
    skipped: int = 0
    failed: int = 0
    bytes: int = 0

    def add(self, outcome: Outcome, size: int) -> None:
        match outcome:
            case Outcome.STORED:
                self.new += 1
                self.bytes += size
            case Outcome.SIGHTING:
                self.sightings += 1
            case Outcome.KNOWN | Outcome.REJECTED:
                self.skipped += 1
            case Outcome.FAILED:
                self.failed += 1


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of a file without reading it: it is known to be this asset."""

    file: SourceFile
    outcome: Outcome
    asset: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """What a look at a source found: files to read, files known without reading, and what is not taken, with reasons."""

    new: Sequence[SourceFile] = ()
    known: Sequence[FileResult] = ()
    rejected: Sequence[Rejected] = ()
    findings: Sequence[Finding] = field(default_factory=tuple)


# --- time -----------------------------------------------------------------------------------------------------------

CLOCK_FLOOR: Final = datetime(2015, 1, 1, tzinfo=UTC)
"""No recorder of today was set before; an earlier time is a clock that was reset (1970, 1980, 2000, 2010 are usual)."""

_AHEAD: Final = timedelta(hours=26)
"""A wall clock may lead UTC by 14 hours, and recorders drift; beyond that a time in the future cannot be true."""


def trusted_time(value: datetime, now: datetime) -> bool:
    """Whether a recorder's time can be true at all."""
    return CLOCK_FLOOR <= value <= now + _AHEAD


_BEHIND: Final = timedelta(days=366)
"""Footage is docked within days. A time that lies further back may be one that a reset clock gives again and again."""


def recognisable_time(value: datetime, seen: datetime, now: datetime) -> bool:
    """Whether a file's time says enough to know the file by it; ``seen`` is when the file was docked. If that lies ahead, the
    station's own clock was wrong at one of the two, and nothing follows from what came before what."""
    return seen <= now and trusted_time(value, now) and value >= seen - _BEHIND


def in_64_bits(ns: int) -> int:
    """A time as far as nanoseconds since 1970 can say it (1677 to 2262): file systems can hold others, databases cannot."""
    return max(-(2**63), min(ns, 2**63 - 1))


def from_ns(ns: int, zone: ZoneInfo | None = None) -> datetime:
    """A file time as an instant in UTC. ``zone`` is given where the file system keeps wall clock time (FAT mounted with tz=UTC).

    Times outside the years 1 to 9999 come back as 1970-01-01: a clock like that says nothing.
    """
    try:
        utc = datetime.fromtimestamp(ns / 1e9, UTC)
        return utc if zone is None else utc.replace(tzinfo=zone).astimezone(UTC)
    except (OverflowError, ValueError, OSError):
        return datetime(1970, 1, 1, tzinfo=UTC)


def captured_at(named: datetime | None, mtime: datetime, docked: datetime) -> CapturedAt:
    """The start of a recording as far as ingest can know: file name, else a trusted mtime, else the docking."""
    if named is not None and trusted_time(named, docked):
        return CapturedAt(named, "name", "claimed")
    if trusted_time(mtime, docked):
        return CapturedAt(mtime, "mtime", "estimated")
    return CapturedAt(docked, "docking", "untrusted")


def shelf_date(captured: CapturedAt, zone: ZoneInfo) -> date:
    """The date label of a batch in the unit's time zone. Fixed at ingest; it never moves."""
    return captured.value.astimezone(zone).date()


# --- kind -----------------------------------------------------------------------------------------------------------

HEAD_BYTES: Final = 512
"""How much of a file the kind is judged by."""

_MAGIC: Final[tuple[tuple[int, bytes, Kind], ...]] = (
    (0, b"\xff\xd8\xff", Kind.PHOTO),
    (0, b"\x89PNG\r\n\x1a\n", Kind.PHOTO),
    (0, b"II*\x00", Kind.PHOTO),
    (0, b"MM\x00*", Kind.PHOTO),
    (8, b"WEBP", Kind.PHOTO),
    (8, b"AVI ", Kind.VIDEO),
    (8, b"WAVE", Kind.AUDIO),
    (0, b"\x1aE\xdf\xa3", Kind.VIDEO),
    (0, b"FLV\x01", Kind.VIDEO),
    (0, b"\x00\x00\x01\xba", Kind.VIDEO),
    (0, b"#!AMR", Kind.AUDIO),
    (0, b"ID3", Kind.AUDIO),
    (0, b"OggS", Kind.AUDIO),
    (0, b"fLaC", Kind.AUDIO),
    (0, b"\xff\xfb", Kind.AUDIO),
    (0, b"\xff\xf1", Kind.AUDIO),
)
_HEIF_BRANDS: Final = {b"heic", b"heix", b"mif1", b"msf1", b"hevc", b"avif"}
_SUFFIXES: Final = {
    Kind.VIDEO: "mp4 mov avi mkv ts m2ts mts 3gp mpg mpeg wmv flv dav h264 h265 264 265 m4v",
    Kind.AUDIO: "wav amr mp3 aac m4a ogg flac wma",
    Kind.PHOTO: "jpg jpeg png heic heif tif tiff bmp webp dng",
}
_BY_SUFFIX: Final = {s.encode(): kind for kind, names in _SUFFIXES.items() for s in names.split()}
_TS_PACKET: Final = re.compile(rb"^(?:.{4})?\x47.{187}\x47", re.DOTALL)


def kind_of(head: bytes, path: bytes) -> Kind:
    """The kind by the first ``HEAD_BYTES`` bytes, else by the suffix, else ``data``."""
    if head[4:8] == b"ftyp":
        return Kind.PHOTO if head[8:12] in _HEIF_BRANDS else Kind.AUDIO if head[8:12] == b"M4A " else Kind.VIDEO
    for offset, magic, kind in _MAGIC:
        if head.startswith(magic, offset):
            return kind
    if _TS_PACKET.match(head):
        return Kind.VIDEO
    return _BY_SUFFIX.get(path.rsplit(b".", 1)[-1].lower(), Kind.DATA)


# --- a docking ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Docking:
    """One stay of one recorder on one slot, or one run over a folder, while it is open.

    ``zones`` names, per volume, the zone of its file times where the file system keeps wall clock time. ``unit_zone`` is the
    unit's; it is the zone of everything else that carries none.
    """

    id: str
    source: SourceIdentity
    slot: str
    where: str
    channel: str
    profile: str
    officer: str
    opened_at: datetime
    unit_zone: ZoneInfo
    zones: Mapping[str, ZoneInfo] = field(default_factory=dict)
    continues: str | None = None
    said: Mapping[str, str] | None = None
    """What the recorder said of itself before its disk appeared, if it said anything; claims."""

    def file_time(self, file: SourceFile) -> datetime:
        """A file's mtime as an instant."""
        return from_ns(file.mtime_ns, self.zones.get(file.volume))


@dataclass(frozen=True, slots=True)
class Planned:
    """A file to read, with what its name and time say."""

    file: SourceFile
    captured: CapturedAt
    officer: str
    important: bool


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Files that enter the vault together: one shelf date, at most 1,000 files or 256 MiB; a larger file is alone."""

    shelf: date
    files: Sequence[Planned]

    @property
    def bytes(self) -> int:
        return sum(p.file.size for p in self.files)


def plan_batches(files: Sequence[Planned], zone: ZoneInfo, *, max_files: int, max_bytes: int) -> list[BatchPlan]:
    """Order files by shelf date and path and cut them into batches."""
    batches: list[BatchPlan] = []
    current: list[Planned] = []
    shelf: date | None = None
    size = 0
    for day, planned in sorted(
        ((shelf_date(p.captured, zone), p) for p in files), key=lambda x: (x[0], x[1].file.volume, x[1].file.path)
    ):
        if current and (day != shelf or len(current) >= max_files or size + planned.file.size > max_bytes):
            batches.append(BatchPlan(shelf or day, current))
            current, size = [], 0
        shelf = day
        current.append(planned)
        size += planned.file.size
    if current and shelf:
        batches.append(BatchPlan(shelf, current))
    return batches
