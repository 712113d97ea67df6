"""Recorder profiles: how one family of recorders attaches, lays out, names and stamps its files.

A profile is data (``config/recorders/*.toml``); a new recorder is a new file, no code.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo

from mediad.model.patterns import MAX_PATH
from mediad.model.serials import given

Attach = Literal["storage", "mtp", "folder", "unlock"]
TimeSource = Literal["name", "container", "exif", "sidecar", "gps", "mtime"]
Moment = Literal["start", "end"]
SOURCES: Final[tuple[TimeSource, ...]] = get_args(TimeSource)


@dataclass(frozen=True)
class Match:
    """Patterns (regular expressions, searched without regard to case) that a device must fulfil, all that are given.

    ``root_files`` names what must stand in a volume's root, or in a folder of the root (``DCIM/100ANDRO``). VID:PID alone never
    matches a profile, since unrelated products share them; ``usb_id`` only narrows.
    """

    serial: str = ""
    vendor: str = ""
    model: str = ""
    usb_id: str = ""
    volume_label: str = ""
    root_files: tuple[str, ...] = ()

    @property
    def keys(self) -> int:
        """How many keys are given: the more, the more particular."""
        texts = (self.serial, self.vendor, self.model, self.usb_id, self.volume_label)
        return sum(1 for t in texts if t) + len(self.root_files)


@dataclass(frozen=True)
class Unlock:
    """The external helper that turns a control device into a disk (edges/unlock.py describes how it is called)."""

    command: tuple[str, ...]
    secret_file: str = ""
    timeout_seconds: float = 60.0


@dataclass(frozen=True)
class DeviceFacts:
    """What is known of a device when a profile is chosen."""

    kind: Literal["storage", "mtp", "control", "folder"]
    serial: str = ""
    vendor: str = ""
    model: str = ""
    usb_id: str = ""
    labels: tuple[str, ...] = ()
    root_files: frozenset[str] = frozenset()


@dataclass(frozen=True)
class NameFacts:
    """What a file's path claims. ``important`` also where the folder is one of those that hold what was marked so."""

    device: str = ""
    officer: str = ""
    time: datetime | None = None
    seq: int | None = None
    important: bool = False
    utc: bool = False
    """Whether the time says itself that it is UTC."""
    lens: str = ""
    """As the name writes it, in capitals; empty for a recorder of one lens."""


@dataclass(frozen=True)
class TimeRule:
    """Which of the times that a recording claims to believe, and what each of them means.

    ``order``: the first that can be true wins. A zone is that of wall clock times without an offset; empty means the unit's.
    ``prerecord_seconds``: the name tells when the button was pressed, and the file begins up to so much earlier.
    """

    order: tuple[TimeSource, ...] = SOURCES
    name_means: Moment = "start"
    container_means: Moment = "start"
    mtime_means: Moment = "end"
    """Of video and audio: nearly every recorder closes the file when it ends."""
    container_zone: str = "UTC"
    """Of what the container calls UTC, as the standards say. Many recorders write their wall clock there: then its zone."""
    exif_zone: str = ""
    sidecar_zone: str = ""
    file_zone: str = ""
    prerecord_seconds: float = 0.0


@dataclass(frozen=True)
class TakeRule:
    """When files are segments of one take. ``segment_seconds``: how long a full segment is; 0 if that is not known."""

    gap_seconds: float = 3.0
    segment_seconds: float = 0.0
    join: bool = True


@dataclass(frozen=True)
class Profile:
    """One family of recorders. ``rank`` decides between profiles that match with equally many keys."""

    name: str
    title: str = ""
    attach: Attach = "storage"
    rank: int = 0
    match: Match = field(default_factory=Match)
    unlock: Unlock | None = None
    settle_seconds: float = 0.0
    """Quiet time that such a recorder needs beyond the station's own before it is mounted."""
    include: tuple[str, ...] = ("**",)
    exclude: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    name_zone: str = ""
    time: TimeRule = field(default_factory=TimeRule)
    takes: TakeRule = field(default_factory=TakeRule)
    clock_said: str = "clock"
    """Which of the things that an unlock helper says is the recorder's own clock; empty if none is."""
    clock_zone: str = ""
    important: tuple[str, ...] = ()
    """Globs of files that the recorder keeps apart because they were marked important."""
    sidecars: tuple[str, ...] = ("xml", "nmea", "gpx", "log")
    """Suffixes of files that tell of the recording beside them."""

    @property
    def file_zone(self) -> str:
        return self.time.file_zone

    @cached_property
    def _include(self) -> list[re.Pattern[str]]:
        return [glob(p) for p in self.include]

    @cached_property
    def _exclude(self) -> list[re.Pattern[str]]:
        return [glob(p) for p in self.exclude]

    @cached_property
    def _important(self) -> list[re.Pattern[str]]:
        return [glob(p) for p in self.important]

    @cached_property
    def _names(self) -> list[re.Pattern[str]]:
        return [re.compile(p, re.IGNORECASE) for p in self.names]

    def wants(self, path: bytes) -> bool:
        """Whether the layout takes this file. What it does not take is listed as rejected, never cleared."""
        text = path.decode("utf-8", "surrogateescape")
        return any(p.match(text) for p in self._include) and not self.excludes(path)

    def excludes(self, path: bytes) -> bool:
        """Whether the layout names this path as one to leave."""
        text = path.decode("utf-8", "surrogateescape")
        return any(p.match(text) for p in self._exclude)

    @property
    def takes_all(self) -> bool:
        return self.include == ("**",) and not self.exclude

    def parse_name(self, path: bytes, zone: ZoneInfo) -> NameFacts:
        """Read device, officer, time, sequence, lens and importance from a file's path, by the first pattern that fits."""
        marked = any(p.match(path.decode("utf-8", "replace")) for p in self._important)
        _, found = self.name_pattern(path)
        if found is None:
            return NameFacts(important=marked)
        return _facts(found.groupdict(), ZoneInfo(self.name_zone) if self.name_zone else zone, marked=marked)

    def name_pattern(self, path: bytes) -> tuple[str, re.Match[str] | None]:
        """The first of ``names`` that fits a path, and how; empty and none if none does, or if the path is longer than recorders'
        are (model/patterns.py says why there is a bound)."""
        text = path.decode("utf-8", "replace")
        for name, pattern in zip(self.names, self._names, strict=True) if len(text) <= MAX_PATH else ():
            if found := pattern.search(text):
                return name, found
        return "", None

    def marks_important(self, paths: Iterable[bytes], zone: ZoneInfo) -> bool:
        """Whether any of the names under which a file was ever seen says that it is important: recorders rename what is marked."""
        return any(self.parse_name(path, zone).important for path in paths)

    def is_sidecar(self, path: bytes) -> bool:
        """Whether a file is a sidecar by its suffix."""
        stem, dot, suffix = path.rpartition(b"/")[2].rpartition(b".")
        return bool(stem and dot) and suffix.lower() in self._sidecars

    @cached_property
    def _sidecars(self) -> frozenset[bytes]:
        return frozenset(s.lower().encode() for s in self.sidecars)


def _facts(groups: Mapping[str, str | None], zone: ZoneInfo, *, marked: bool) -> NameFacts:
    seq, written = groups.get("seq") or "", _written(groups)
    return NameFacts(
        device=given(groups.get("device") or ""),
        officer=given(groups.get("officer") or ""),
        time=_time(written, zone),
        utc=_says_utc(written),
        seq=int(seq) if seq.isascii() and seq.isdigit() and len(seq) <= 9 else None,
        important=marked or bool(groups.get("important")),
        lens=(groups.get("lens") or "").upper(),
    )


def _written(groups: Mapping[str, str | None]) -> str:
    """Of ``time`` (14 digits), ``time12`` (the century is ours) or ``date`` and ``clock``, whatever stands between the digits."""
    text = groups.get("time") or ""
    if not text and (short := groups.get("time12")):
        text = "20" + short
    if not text and (day := groups.get("date")):
        digits = _digits(day)
        text = ("20" + digits if len(digits) == 6 else digits) + (groups.get("clock") or "")
    return text


def _says_utc(written: str) -> bool:
    return written.endswith(("Z", "z"))


def _time(written: str, zone: ZoneInfo) -> datetime | None:
    digits = _digits(written)
    if len(digits) != 14 or not digits.isascii():
        return None
    try:
        local = datetime.strptime(digits, "%Y%m%d%H%M%S")
        return local.replace(tzinfo=UTC if _says_utc(written) else zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _digits(text: str) -> str:
    return re.sub(r"[^0-9]", "", text)


def glob(pattern: str) -> re.Pattern[str]:
    """``**`` any number of folders, ``*`` and ``?`` within one name; case does not matter, as on FAT. The whole path must fit.

    What stands between two ``**/``, or between two ``*`` of a name, is not looked for again once it was found (``(?>...)``): a
    later place could not do better, and no path that a hostile card holds makes the search long.
    """
    first, *rest = (_parts(part) for part in _FOLDERS.split(pattern))
    found = "".join(f"(?>(?:.*?/)??{part})" for part in rest[:-1])
    last = f"(?:.*/)?{rest[-1]}" if rest else ""
    return re.compile(first + found + last + r"\Z", re.IGNORECASE | re.DOTALL)


_FOLDERS: Final = re.compile(r"(?<![^/])\*\*/")


def _parts(pattern: str) -> str:
    return "/".join(_part(part) for part in pattern.split("/"))


def _part(part: str) -> str:
    """One name of a path; ``**`` within a name is whatever there is, folders too."""
    if "**" in part:
        return ".*?".join(_part(p) for p in part.split("**"))
    first, *rest = (re.escape(p).replace(r"\?", "[^/]") for p in part.split("*"))
    return first + "".join(f"(?>[^/]*?{p})" for p in rest[:-1]) + (f"[^/]*{rest[-1]}" if rest else "")


@dataclass(frozen=True, slots=True)
class KeyFit:
    """One key that a profile gives: what it wants, what the device has, and whether that fits."""

    key: str
    wanted: str
    found: str
    fits: bool


def key_fits(profile: Profile, facts: DeviceFacts) -> list[KeyFit]:
    """How a device fulfils every key that the profile gives; the first is its way of attaching."""
    m = profile.match
    attach = {"control": "unlock"}.get(facts.kind, facts.kind)
    attaches = profile.attach == attach or (profile.attach == "unlock" and facts.kind == "storage")
    told = [KeyFit("attach", profile.attach, attach, attaches)]
    for key in ("serial", "vendor", "model", "usb_id"):
        if pattern := getattr(m, key):
            has = getattr(facts, key)
            told.append(KeyFit(f"match.{key}", pattern, has, re.search(pattern, has, re.IGNORECASE) is not None))
    if m.volume_label:
        fitting = any(re.search(m.volume_label, label, re.IGNORECASE) for label in facts.labels)
        told.append(KeyFit("match.volume_label", m.volume_label, ", ".join(facts.labels), fitting))
    names = {f.lower() for f in facts.root_files}
    for file in m.root_files:
        there = file.lower() in names
        told.append(KeyFit("match.root_files", file, file if there else "", there))
    return told


def fits(profile: Profile, facts: DeviceFacts) -> bool:
    """Whether every key that the profile gives is fulfilled."""
    return all(k.fits for k in key_fits(profile, facts))


def choose(profiles: Iterable[Profile], facts: DeviceFacts) -> Profile | None:
    """The most particular profile that fits: most keys, then rank, then name."""
    fitting = [p for p in profiles if fits(p, facts)]
    return max(fitting, key=lambda p: (p.match.keys, p.rank, p.name), default=None)


def settle_seconds(profiles: Iterable[Profile], facts: DeviceFacts) -> float:
    """The longest settling time of the profiles that may be this device's, as far as that shows before it is mounted."""
    outside = (replace(p, match=replace(p.match, root_files=())) for p in profiles if p.settle_seconds)
    return max((p.settle_seconds for p in outside if p.match.keys and fits(p, facts)), default=0.0)
