"""One look at a vault: what lies where, before the catalogue is asked."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mediad.model.layout import segment_prefix

# The layout is said again here, not taken from the writers' module: a fault there must not hide itself.
_ORIGINAL = re.compile(r"originals/\d{4}/\d\d/\d\d/[^/]+/[^/]+/[^/]+")
_HANDOVER = re.compile(r"handovers/\d{4}/\d\d/\d\d/([^/]+)/record\.json")
_SIGNED = re.compile(r"handovers/\d{4}/\d\d/\d\d/[^/]+/record-\d+(-giver-\d+)?\.(json|pdf)")
_SIGNATURE = re.compile(r"handovers/\d{4}/\d\d/\d\d/[^/]+/[^/]+")
_SEGMENT = re.compile(r"custody/([^/]+)/(\d{12})\.jsonl")
_ARCHIVE = re.compile(r"cases/(cas-[a-z2-7]+)/archive-[1-9]\d*\.json")
_TOPS = ("originals", "handovers", "cases", "custody", "set-aside")
_HALF = re.compile(r"(^\.)|(^put-[0-9a-f]+$)|(\.(part|partial|tmp)$)")

Add = Callable[[str, str, str], None]


class Entry(Protocol):
    """One name in a vault; ``kind`` is ``file``, ``folder`` (an empty one), ``other`` or ``unreadable``."""

    @property
    def key(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def size(self) -> int: ...

    @property
    def mode(self) -> int: ...


class Measured(Protocol):
    """Digests by algorithm (hex), and how the page cache was kept out."""

    @property
    def digests(self) -> dict[str, str]: ...

    @property
    def method(self) -> str: ...


class Reader(Protocol):
    """A vault, for reading."""

    @property
    def name(self) -> str: ...

    def marker(self) -> str | None: ...

    def detour(self, folder: str) -> str | None: ...

    def entries(self, top: str) -> Iterator[Entry]: ...

    def stat(self, key: str) -> Entry | None: ...

    def read(self, key: str) -> bytes: ...

    def measure(self, key: str, algorithms: Sequence[str], moved: Callable[[int], None], /) -> Measured: ...


@dataclass
class Look:
    """What one vault held when it was looked at."""

    reader: Reader
    station: str
    marker: str | None = None
    online: bool = True
    elsewhere: list[str] = field(default_factory=list)
    """Folders that everything is below, and that are links or lie on another disk."""
    originals: dict[str, Entry] = field(default_factory=dict)
    sidecars: dict[str, Entry] = field(default_factory=dict)
    """Batch folder to its sidecar."""
    handovers: dict[str, Entry] = field(default_factory=dict)
    """Key to record; several of one docking would be several keys."""
    archives: dict[str, Entry] = field(default_factory=dict)
    """Key to manifest of an archived case."""
    segments: list[tuple[int, str]] = field(default_factory=list)
    strays: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.reader.name

    def report_strays(self, add: Add) -> None:
        for stray in self.strays:
            add(*stray)

    def is_half(self, key: str) -> bool:
        """Whether a name is one that only unfinished files bear."""
        return _HALF.search(key.rpartition("/")[2]) is not None

    def folders(self) -> set[str]:
        """Every batch folder that holds anything."""
        return {key.rpartition("/")[0] for key in self.originals} | set(self.sidecars)

    def list_segments(self) -> None:
        """Look at the custody segments (again)."""
        self.segments = self.segments_of(self.station)

    def segments_of(self, station: str) -> list[tuple[int, str]]:
        """First number and key of a station's custody segments in this vault, in order."""
        found = []
        for entry in self.reader.entries(segment_prefix(station).rstrip("/")):
            match = _SEGMENT.fullmatch(entry.key)
            if match and entry.kind == "file":
                found.append((int(match[2]), entry.key))
        return sorted(found)


def look(reader: Reader, station: str, *, originals: bool = True) -> Look:
    """List a vault: marker, hand-over records, manifests, segments, and originals. Raises VaultOffline where it cannot be read."""
    seen = Look(reader, station, reader.marker())
    below = (*_TOPS, segment_prefix(station).rstrip("/"), f".staging/{station}")
    seen.elsewhere = sorted({where for top in below if (where := reader.detour(top))})
    if seen.elsewhere:
        return seen
    if originals:
        for entry in reader.entries("originals"):
            _original(seen, entry)
        for entry in (e for e in reader.entries("set-aside") if e.kind != "folder"):
            detail = f"{entry.size} bytes were not what was recorded; an alarm says what happened"
            seen.strays.append(("set-aside", entry.key, detail))
    for entry in reader.entries("handovers"):
        ours = _HANDOVER.fullmatch(entry.key) or _SIGNED.fullmatch(entry.key)
        _record(seen, entry, ours is not None, _SIGNATURE)
        if entry.kind == "file" and _HANDOVER.fullmatch(entry.key):
            seen.handovers[entry.key] = entry
    for entry in reader.entries("cases"):
        _record(seen, entry, _ARCHIVE.fullmatch(entry.key) is not None, _ARCHIVE)
        if entry.kind == "file" and _ARCHIVE.fullmatch(entry.key):
            seen.archives[entry.key] = entry
    # Only our own log: that of another station in the same vault is read by its own auditor.
    for entry in reader.entries(segment_prefix(station).rstrip("/")):
        _record(seen, entry, _SEGMENT.fullmatch(entry.key) is not None, _SEGMENT)
    seen.list_segments()
    return seen


def docking_of(key: str) -> str:
    """The docking that a hand-over record's key speaks of."""
    match = _HANDOVER.fullmatch(key)
    return match[1] if match else ""


def case_of(key: str) -> str:
    """The case that a manifest's key speaks of."""
    match = _ARCHIVE.fullmatch(key)
    return match[1] if match else ""


def _original(seen: Look, entry: Entry) -> None:
    folder, _, name = entry.key.rpartition("/")
    if entry.kind == "unreadable":
        seen.strays.append(("unreadable", entry.key, "it cannot be listed or looked at"))
    elif entry.kind == "folder":
        if _ORIGINAL.match(entry.key):  # an empty folder further up waits for its batch
            seen.strays.append(_stray(entry.key, half=False))
    elif entry.kind == "other" or not _ORIGINAL.fullmatch(entry.key):
        half = entry.kind == "file" and seen.is_half(entry.key)
        seen.strays.append(_stray(entry.key, half=half))
    elif name == "record.json":
        seen.sidecars[folder] = entry
        _writable(seen, entry)
    else:
        seen.originals[entry.key] = entry


def _record(seen: Look, entry: Entry, proper: bool, allowed: re.Pattern[str]) -> None:
    if entry.kind == "unreadable":
        seen.strays.append(("unreadable", entry.key, "it cannot be listed or looked at"))
    elif entry.kind == "folder":
        if allowed.match(entry.key):
            seen.strays.append(_stray(entry.key, half=False))
    elif entry.kind == "other" or not allowed.fullmatch(entry.key) or seen.is_half(entry.key):
        seen.strays.append(_stray(entry.key, half=entry.kind == "file" and seen.is_half(entry.key)))
    elif proper:
        _writable(seen, entry)


def _stray(key: str, *, half: bool) -> tuple[str, str, str]:
    if half:
        return "half-file", key, "an unfinished file lies outside the staging area"
    return "stray-file", key, "nothing of mediad puts such a thing here"


def _writable(seen: Look, entry: Entry) -> None:
    if entry.mode & 0o222:
        seen.strays.append(("record-writable", entry.key, f"it has mode {entry.mode:04o}"))
