"""When a recording began and ended: what its name, bytes, sidecar and file time claim, weighed by the profile's order.

A recorder's clock is a claim too. What was measured of it is applied to what it stamped, never to GPS; what it said before that is
kept. Unknown is never zero: without a measured offset a time is ``claimed``. A time that cannot be true is not mended but bounded:
not before the recorder's last complete docking, not after this one. Nothing here raises, whatever a file says.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from mediad.model.evidence import CLOCK_FLOOR, Kind
from mediad.model.probe import Remark, Stamp
from mediad.model.profile import Moment, NameFacts, Profile, TimeRule, TimeSource

Source = Literal["name", "container", "exif", "sidecar", "gps", "mtime", "docking"]
EndSource = Literal["name", "container", "exif", "sidecar", "gps", "mtime", "docking", "duration", "start"]
Confidence = Literal["corrected", "claimed", "estimated", "untrusted"]
"""``corrected``: by a measured offset of the recorder's clock. ``claimed``: as the file says. ``estimated``: by the last write.
``untrusted``: no source can be true; the recording lies between the bounds."""

LEEWAY: Final = timedelta(minutes=10)
"""A clock that drifts 3 s a day and was set half a year ago is off by so much: what ends so little after the docking, or so little
before the one that took everything, is a clock that is off, not a wrong day."""

AGREE: Final = timedelta(seconds=60)
"""Files are closed some seconds after they end, FAT counts in steps of 2 s: times that differ by less say the same."""

TRACK: Final = "track"
"""Field of stamps that are the first and last place of a track."""

_QUARTER: Final = timedelta(minutes=15)
_ZONES: Final = timedelta(hours=14)
"""All zones of the world differ from UTC by whole quarters of an hour, and by no more than this."""


@dataclass(frozen=True, slots=True)
class Clock:
    """What is known of a recorder's clock at a docking. ``offset`` is the recorder's clock minus true time; None if unknown."""

    offset: timedelta | None = None
    source: Literal["device", "photo", "unknown"] = "unknown"
    why: str = ""
    """How it was measured, or why it could not be."""


UNKNOWN: Final = Clock()


def heard(said: Mapping[str, str] | None, profile: Profile, unit_zone: ZoneInfo) -> Clock:
    """The offset by what the recorder said of its clock before its disk appeared, and the station's time at which it was heard."""
    told = (said or {}).get(profile.clock_said, "") if profile.clock_said else ""
    if not told:
        return replace(UNKNOWN, why="the recorder did not tell its clock")
    own = instant(told, _zone(profile.clock_zone, unit_zone))
    station = instant((said or {}).get("heard_at", ""), ZoneInfo("UTC"))
    if own is None or station is None:
        return replace(UNKNOWN, why=f"the recorder's clock cannot be read: {told[:40]}")
    return Clock(own - station, "device", f"it said {told[:40]}")


@dataclass(frozen=True, slots=True)
class AssetFacts:
    """What is known of one asset. ``duration`` in seconds; ``stamps`` those of its probe and of its sidecar's.

    ``last_complete`` is when this source and volume were docked before and everything on them was taken; None if never, or where it
    says nothing of what is new (a drop folder, which may be given old files).
    """

    asset: str
    kind: Kind
    name: NameFacts
    mtime: datetime | None
    duration: float | None
    stamps: Sequence[Stamp]
    docked_at: datetime
    stored_at: datetime
    last_complete: datetime | None = None

    @property
    def length(self) -> timedelta | None:
        """How long it is; photos and data take no time."""
        if self.kind not in (Kind.VIDEO, Kind.AUDIO):
            return timedelta()
        if self.duration is None or not math.isfinite(self.duration) or not 0 <= self.duration < _LONGEST:
            return None
        return timedelta(seconds=self.duration)


_LONGEST: Final = 1e9


@dataclass(frozen=True, slots=True)
class Candidate:
    """One claim of a time. ``value`` is what was claimed, as an instant; ``started_at`` and ``ended_at`` what follows from it, with
    the clock's offset taken off and None where it says nothing. ``why`` says why it does not count; empty if it could."""

    source: Source
    means: Moment
    value: datetime
    field: str
    started_at: datetime | None
    ended_at: datetime | None
    confidence: Confidence
    why: str = ""


@dataclass(frozen=True, slots=True)
class Timed:
    """When a recording began and ended, in UTC, and everything that led there.

    ``claimed_start`` is the start by the winning source before any correction (if none won, by the first that claimed one; None if
    none did). ``earliest`` and ``latest`` bound what is untrusted: it began not before, and ended not after.
    """

    asset: str
    started_at: datetime
    ended_at: datetime
    source: Source
    confidence: Confidence
    ended_by: EndSource
    end_confidence: Confidence
    claimed_start: datetime | None
    offset_seconds: float | None
    offset_source: str
    earliest: datetime | None
    latest: datetime | None
    candidates: tuple[Candidate, ...]
    remarks: tuple[Remark, ...]

    @property
    def trusted(self) -> bool:
        return self.confidence != "untrusted"

    def as_json(self) -> dict[str, Any]:
        """Plain values, times in RFC 3339."""
        return {
            "started_at": _text(self.started_at), "ended_at": _text(self.ended_at), "source": self.source,
            "confidence": self.confidence, "ended_by": self.ended_by, "end_confidence": self.end_confidence,
            "claimed_start": _text(self.claimed_start), "offset_seconds": self.offset_seconds,
            "offset_source": self.offset_source, "earliest": _text(self.earliest), "latest": _text(self.latest),
            "candidates": [
                {
                    "source": c.source, "means": c.means, "value": _text(c.value), "field": c.field,
                    "started_at": _text(c.started_at), "ended_at": _text(c.ended_at), "confidence": c.confidence,
                    "why": c.why,
                }
                for c in self.candidates
            ],
            "remarks": [{"code": r.code, "detail": r.detail} for r in self.remarks],
        }  # fmt: skip


def time_asset(facts: AssetFacts, profile: Profile, unit_zone: ZoneInfo, clock: Clock = UNKNOWN) -> Timed:
    """When the asset was recorded."""
    rule = profile.time
    candidates = [
        _judged(facts, clock, *claim)
        for source in rule.order
        for claim in _claims(facts, profile, unit_zone, source)
    ]  # fmt: skip
    usable = [c for c in candidates if not c.why and c.started_at is not None]
    if usable:
        return _won(facts, rule, unit_zone, clock, usable[0], candidates)
    if (by_end := next((c for c in candidates if not c.why and c.ended_at is not None), None)) is not None:
        # Only the end is known, and no length: what cannot be played counts by its last write.
        alone = replace(by_end, started_at=by_end.ended_at)
        return _won(facts, rule, unit_zone, clock, alone, candidates)
    return _bounded(facts, clock, candidates)


def _claims(
    facts: AssetFacts, profile: Profile, unit_zone: ZoneInfo, source: TimeSource
) -> Iterator[tuple[Source, Moment, datetime, str]]:
    """What one source says, starts first."""
    rule = profile.time
    if source == "name":
        if facts.name.time is not None:
            yield source, rule.name_means, facts.name.time, ""
    elif source == "mtime":
        if facts.mtime is not None:
            yield source, rule.mtime_means, facts.mtime, ""
    else:
        # In a container only what it calls UTC has its zone; text without one (of a subtitle, an AVI) is the recorder's wall clock.
        own = {"container": profile.name_zone, "exif": rule.exif_zone, "sidecar": rule.sidecar_zone, "gps": "UTC"}[
            source
        ]
        wall, utc = _zone(own, unit_zone), _zone(rule.container_zone, unit_zone)
        default: Moment = rule.container_means if source == "container" else "start"
        read = [
            (source, default if s.means == "unsaid" else s.means, value, s.field)
            for s in facts.stamps
            if s.source == source and (value := _stamped(s, wall, utc)) is not None
        ]  # fmt: skip
        yield from sorted(read, key=lambda claim: claim[1] != "start")


def _stamped(stamp: Stamp, wall: ZoneInfo, utc: ZoneInfo) -> datetime | None:
    """A stamp as an instant. The ``Z`` of a container is the format's, not the recorder's: where the profile says that the
    recorder writes its wall clock there, it is that of ``utc``. What has no offset is of ``wall``."""
    bare = re.sub(r"(?:Z|[+-]00:?00)$", "", stamp.value) if stamp.source == "container" else stamp.value
    return instant(bare, wall if bare == stamp.value else utc)


def _judged(facts: AssetFacts, clock: Clock, source: Source, means: Moment, value: datetime, field: str) -> Candidate:
    """A claim with the offset taken off, and whether it can be true."""
    offset = clock.offset if source != "gps" else None
    confidence: Confidence = "estimated" if source == "mtime" else "corrected" if offset is not None else "claimed"
    true = _moved(value, -offset) if offset is not None else value
    if true is None:
        return Candidate(source, means, value, field, None, None, "untrusted", "with the clock's offset it is no date")
    length = facts.length
    back = -length if length is not None else None
    start, end = (true, _moved(true, length)) if means == "start" else (_moved(true, back), true)
    why = _impossible(facts, start or true, end or true)
    return Candidate(source, means, value, field, start, end, "untrusted" if why else confidence, why)


def _impossible(facts: AssetFacts, start: datetime, end: datetime) -> str:
    """Why a recording cannot have been made then; empty if it can."""
    if start < CLOCK_FLOOR:
        return f"before {CLOCK_FLOOR.year}: a clock that was reset"
    if end > (_moved(facts.docked_at, LEEWAY) or end):
        return "it would have ended after it was docked"
    if facts.last_complete is not None and end < (_moved(facts.last_complete, -LEEWAY) or end):
        return "the docking before, which took everything, did not find it"
    return ""


def _won(
    facts: AssetFacts, rule: TimeRule, unit_zone: ZoneInfo, clock: Clock, won: Candidate, candidates: list[Candidate]
) -> Timed:
    started = won.started_at or facts.docked_at
    remarks = []
    if won.source == "name" and won.means == "start" and (earlier := _before_press(rule, started, candidates)):
        remarks.append(
            Remark("pre-record", f"it begins {(started - earlier).total_seconds():.0f} s before its name says")
        )
        won = replace(won, started_at=earlier, ended_at=_moved(earlier, facts.length))
        started = earlier
    ended, by, sure = _end(facts, rule, won, started, candidates)
    remarks += _disagreements(rule, started, ended, won, candidates)
    if ended > facts.docked_at:
        remarks.append(Remark("clock-ahead", "it ends after it was docked: the recorder's clock is ahead"))
    if _twice(won.value, unit_zone):
        remarks.append(Remark("hour-twice", "the clocks were set back then: this hour was there twice"))
    return Timed(
        asset=facts.asset,
        started_at=started,
        ended_at=ended,
        source=won.source,
        confidence=won.confidence,
        ended_by=by,
        end_confidence=sure,
        claimed_start=_claimed_start(facts, won),
        offset_seconds=clock.offset.total_seconds() if clock.offset is not None else None,
        offset_source=clock.source,
        earliest=None,
        latest=None,
        candidates=tuple(candidates),
        remarks=tuple(remarks),
    )


def _before_press(rule: TimeRule, pressed: datetime, candidates: list[Candidate]) -> datetime | None:
    """Where the file begins, if the last write and the length say that it is before the button was pressed, by no more than the
    recorder's buffer holds."""
    buffer = timedelta(seconds=rule.prerecord_seconds)
    for c in candidates:
        if c.source == "mtime" and not c.why and c.means == "end" and c.started_at is not None:
            before = pressed - c.started_at
            if AGREE_MTIME < before <= buffer + AGREE_MTIME:
                return pressed - min(before, buffer)
    return None


AGREE_MTIME: Final = timedelta(seconds=2)
"""FAT counts file times in steps of 2 s."""


def _end(
    facts: AssetFacts, rule: TimeRule, won: Candidate, started: datetime, candidates: list[Candidate]
) -> tuple[datetime, EndSource, Confidence]:
    """The end: start and length; of what has none, the same source's end, else the best other that fits."""
    if facts.length is not None:
        return won.ended_at or started, "duration", won.confidence
    if won.means == "end":
        return won.ended_at or started, won.source, won.confidence
    ends = [c for c in candidates if not c.why and c.means == "end" and c.ended_at is not None]
    for c in sorted(ends, key=lambda c: (c.source != won.source, rule.order.index(c.source))):
        if c.ended_at is not None and started <= c.ended_at <= started + _UNPLAYED:
            return c.ended_at, c.source, c.confidence
    return started, "start", won.confidence


_UNPLAYED: Final = timedelta(hours=24)
"""A file without a known length is hardly longer; a later write came from somewhere else."""


def _disagreements(
    rule: TimeRule, started: datetime, ended: datetime, won: Candidate, candidates: list[Candidate]
) -> Iterator[Remark]:
    """What other sources say otherwise; each by its nearest claim."""
    told = {won.source}
    for c in candidates:
        ours, theirs = (started, c.started_at) if c.means == "start" else (ended, c.ended_at)
        if c.source in told or theirs is None or c.why:
            continue
        told.add(c.source)
        if c.field == TRACK and started - AGREE <= theirs <= ended + AGREE:
            continue  # it begins with the first fix, and ends with the last
        apart = abs(theirs - ours)
        if apart <= AGREE + timedelta(seconds=rule.prerecord_seconds):
            continue
        rest = abs(apart - round(apart / _QUARTER) * _QUARTER)
        zone = apart <= _ZONES and rest <= AGREE
        hint = ": perhaps the profile's zone for one of them is wrong" if zone else ""
        later = "later" if theirs > ours else "earlier"
        yield Remark("times-disagree", f"{c.source} says {_apart(apart)} {later} than {won.source}{hint}")


def _bounded(facts: AssetFacts, clock: Clock, candidates: list[Candidate]) -> Timed:
    """No source can be true: it is of some time between the docking before and this one."""
    latest = min(facts.docked_at, facts.stored_at)
    earliest = facts.last_complete if facts.last_complete is not None and facts.last_complete <= latest else None
    start = _moved(latest, -(facts.length or timedelta())) or latest
    first = next(iter(candidates), None)
    return Timed(
        asset=facts.asset,
        started_at=start,
        ended_at=latest,
        source="docking",
        confidence="untrusted",
        ended_by="docking",
        end_confidence="untrusted",
        claimed_start=None if first is None else _claimed_start(facts, first),
        offset_seconds=clock.offset.total_seconds() if clock.offset is not None else None,
        offset_source=clock.source,
        earliest=earliest,
        latest=latest,
        candidates=tuple(candidates),
        remarks=(Remark("no-true-time", first.why if first is not None else "nothing tells a time"),),
    )


def _claimed_start(facts: AssetFacts, c: Candidate) -> datetime:
    """The start by the recorder's own clock."""
    return c.value if c.means == "start" else _moved(c.value, -(facts.length or timedelta())) or c.value


# --- instants ---------------------------------------------------------------------------------------------------------


def instant(text: str, zone: ZoneInfo) -> datetime | None:
    """A written time (ISO 8601, or 14 digits) as an instant in UTC; one without offset is wall clock of the zone."""
    plain = text.strip()
    try:
        if not re.search(r"^[0-9]{14}$|[T ][0-9]{2}", plain):  # a day alone is no time
            return None
        if re.fullmatch(r"[0-9]{14}", plain):
            read = datetime.strptime(plain, "%Y%m%d%H%M%S")
        else:
            read = datetime.fromisoformat(plain.replace("/", "-"))
        return (read if read.tzinfo is not None else read.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _zone(name: str, unit: ZoneInfo) -> ZoneInfo:
    return ZoneInfo(name) if name else unit


def _moved(at: datetime, by: timedelta | None) -> datetime | None:
    try:
        return None if by is None else at + by
    except OverflowError:
        return None


def _twice(at: datetime, zone: ZoneInfo) -> bool:
    """Whether the wall clock of the zone showed this time twice."""
    try:
        local = at.astimezone(zone)
        offsets = {local.replace(fold=fold).utcoffset() for fold in (0, 1)}
        return len(offsets) == 2 and local.replace(fold=0).utcoffset() > local.replace(fold=1).utcoffset()  # type: ignore[operator]
    except (ValueError, OverflowError):
        return False


def _apart(by: timedelta) -> str:
    seconds = round(by.total_seconds())
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds % 60} s"


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
