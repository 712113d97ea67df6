"""Recorder profiles: how one family of recorders attaches, lays out, names and stamps its files.

A profile is data (``config/recorders/*.toml``); a new recorder is a new file, no code.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Literal
from zoneinfo import ZoneInfo

Attach = Literal["storage", "mtp", "folder", "unlock"]


@dataclass(frozen=True)
class Match:
    """Patterns (regular expressions, searched without regard to case) that a device must fulfil, all that are given.

    ``root_files`` names entries of a volume's root that must exist. VID:PID alone never matches a profile, since unrelated
    products share them; ``usb_id`` only narrows.
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
    """What a file name claims."""

    device: str = ""
    officer: str = ""
    time: datetime | None = None
    seq: int | None = None
    important: bool = False


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
    file_zone: str = ""

    @cached_property
    def _include(self) -> list[re.Pattern[str]]:
        return [glob(p) for p in self.include]

    @cached_property
    def _exclude(self) -> list[re.Pattern[str]]:
        return [glob(p) for p in self.exclude]

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
        """Read device, officer, time, sequence and importance from a file's path, by the first pattern that fits."""
        text = path.decode("utf-8", "replace")
        for pattern in self._names:
            if found := pattern.search(text):
                return _facts(found.groupdict(), ZoneInfo(self.name_zone) if self.name_zone else zone)
        return NameFacts()


def _facts(groups: Mapping[str, str | None], zone: ZoneInfo) -> NameFacts:
    seq = groups.get("seq") or ""
    return NameFacts(
        device=groups.get("device") or "",
        officer=groups.get("officer") or "",
        time=_time(groups.get("time") or "", zone),
        seq=int(seq) if seq.isascii() and seq.isdigit() else None,
        important=bool(groups.get("important")),
    )


def _time(text: str, zone: ZoneInfo) -> datetime | None:
    digits = re.sub(r"[^0-9]", "", text)
    if len(digits) != 14 or not digits.isascii():
        return None
    try:
        local = datetime.strptime(digits, "%Y%m%d%H%M%S")
        return local.replace(tzinfo=UTC if text.endswith("Z") else zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def glob(pattern: str) -> re.Pattern[str]:
    """``**`` any number of folders, ``*`` and ``?`` within one name; case does not matter, as on FAT. The whole path must fit."""
    out = []
    for part in re.split(r"(\*\*/?|\*|\?)", pattern):
        out.append({"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part)))
    return re.compile("".join(out) + r"\Z", re.IGNORECASE | re.DOTALL)


def fits(profile: Profile, facts: DeviceFacts) -> bool:
    """Whether every key that the profile gives is fulfilled."""
    m = profile.match
    attach = {"control": "unlock"}.get(facts.kind, facts.kind)
    if profile.attach != attach and not (profile.attach == "unlock" and facts.kind == "storage"):
        return False

    def found(pattern: str, text: str) -> bool:
        return not pattern or re.search(pattern, text, re.IGNORECASE) is not None

    return (
        found(m.serial, facts.serial)
        and found(m.vendor, facts.vendor)
        and found(m.model, facts.model)
        and found(m.usb_id, facts.usb_id)
        and (not m.volume_label or any(found(m.volume_label, label) for label in facts.labels))
        and {f.lower() for f in m.root_files} <= {f.lower() for f in facts.root_files}
    )


def choose(profiles: Iterable[Profile], facts: DeviceFacts) -> Profile | None:
    """The most particular profile that fits: most keys, then rank, then name."""
    fitting = [p for p in profiles if fits(p, facts)]
    return max(fitting, key=lambda p: (p.match.keys, p.rank, p.name), default=None)


def settle_seconds(profiles: Iterable[Profile], facts: DeviceFacts) -> float:
    """The longest settling time of the profiles that may be this device's, as far as that shows before it is mounted."""
    outside = (replace(p, match=replace(p.match, root_files=())) for p in profiles if p.settle_seconds)
    return max((p.settle_seconds for p in outside if p.match.keys and fits(p, facts)), default=0.0)
