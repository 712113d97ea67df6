"""When a recording began and ended: what its name, bytes, sidecar and file time claim, weighed by the profile's order.

A recorder's clock is a claim too. What was measured of it is applied to what it stamped, never to GPS; what it said before that is
kept. Unknown is never zero: without a measured offset a time is ``claimed``. A time that cannot be true is not mended but bounded:
not before the recorder's last complete docking, not after this one. The length is a claim as well: it is the first to be doubted,
so that a nonsense length moves no good start. Nothing here raises, whatever a file says.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from mediad.model.clock import UNKNOWN, Clock
from mediad.model.evidence import CLOCK_FLOOR, Kind
from mediad.model.instants import apart, instant, moved, says_zone, stamp, twice, zone_of
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

LONGEST: Final = timedelta(hours=24)
"""No recorder writes a single file for longer: a length above is a leap in the file's own count of time, and a write so much later
than the start came from somewhere else."""

TRACK: Final = "track"
"""Field of stamps that are the first and last place of a track."""

_QUARTER: Final = timedelta(minutes=15)
_ZONES: Final = timedelta(hours=14)
"""All zones of the world differ from UTC by whole quarters of an hour, and by no more than this."""


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
    mtime_zone: ZoneInfo | None = None
    """Whose wall clock the file time was, on a file system that keeps that; None where it is an instant."""

    @property
    def length(self) -> timedelta | None:
        """How long it is; photos and data take no time. None if that is not known or cannot be."""
        if self.kind not in (Kind.VIDEO, Kind.AUDIO):
            return timedelta()
        if self.duration is None or not 0 <= self.duration <= LONGEST.total_seconds():
            return None
        return timedelta(seconds=self.duration)


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
    zone: ZoneInfo | None = None
    """Whose wall clock it was read as; None if it was written as an instant."""


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
            "started_at": _said(self.started_at), "ended_at": _said(self.ended_at), "source": self.source,
            "confidence": self.confidence, "ended_by": self.ended_by, "end_confidence": self.end_confidence,
            "claimed_start": _said(self.claimed_start), "offset_seconds": self.offset_seconds,
            "offset_source": self.offset_source, "earliest": _said(self.earliest), "latest": _said(self.latest),
            "candidates": [
                {
                    "source": c.source, "means": c.means, "value": _said(c.value), "field": c.field,
                    "started_at": _said(c.started_at), "ended_at": _said(c.ended_at), "confidence": c.confidence,
                    "why": c.why,
                }
                for c in self.candidates
            ],
            "remarks": [{"code": r.code, "detail": r.detail} for r in self.remarks],
        }  # fmt: skip


def time_asset(facts: AssetFacts, profile: Profile, unit_zone: ZoneInfo, clock: Clock = UNKNOWN) -> Timed:
    """When the asset was recorded."""
    rule = profile.time
    claims = [c for source in rule.order for c in _claims(facts, profile, unit_zone, source)]
    candidates = [_judged(facts, clock, *claim) for claim in claims]
    doubts = []
    if why := _doubt(facts, clock, candidates):
        doubts = [Remark("length-impossible", why)]
        facts = replace(facts, duration=None)
        candidates = [_judged(facts, clock, *claim) for claim in claims]
    usable = [c for c in candidates if not c.why and c.started_at is not None]
    # If only the end is known, and no length: what cannot be played counts by its last write.
    usable = usable or [replace(c, started_at=c.ended_at) for c in candidates if not c.why and c.ended_at is not None]
    if usable:
        return _won(facts, rule, clock, usable[0], candidates, doubts)
    return _bounded(facts, clock, candidates, doubts)


def _doubt(facts: AssetFacts, clock: Clock, candidates: Sequence[Candidate]) -> str:
    """Why the length cannot be true; empty if it can. It is the length that is wrong, and not the clock, where only by the length
    the first start would end after the docking, while no end that was written lies there."""
    if facts.kind in (Kind.VIDEO, Kind.AUDIO) and facts.duration is not None and facts.length is None:
        return f"a length of {facts.duration:.12g} s is not that of one file"
    if facts.length is None or any(
        c.means == "end" and _late(facts, _true(c.source, c.value, clock)) for c in candidates
    ):
        return ""
    for c in candidates:
        if not c.why:
            return ""
        start = c.started_at
        if (
            c.means == "start"
            and start is not None
            and start <= facts.docked_at
            and not _impossible(facts, start, start)
        ):
            return f"by {c.source} and a length of {apart(facts.length)} it would have ended after it was docked"
    return ""


def _late(facts: AssetFacts, end: datetime | None) -> bool:
    """Whether it would have ended after it was docked, by more than a clock is off."""
    return end is not None and end > (moved(facts.docked_at, LEEWAY) or end)


def _claims(
    facts: AssetFacts, profile: Profile, unit_zone: ZoneInfo, source: TimeSource
) -> Iterator[tuple[Source, Moment, datetime, str, ZoneInfo | None]]:
    """What one source says, starts first."""
    rule = profile.time
    if source == "name":
        if facts.name.time is not None:
            zone = None if facts.name.utc else zone_of(profile.name_zone, unit_zone)
            yield source, rule.name_means, facts.name.time, "", zone
    elif source == "mtime":
        if facts.mtime is not None:
            yield source, rule.mtime_means, facts.mtime, "", facts.mtime_zone
    else:
        # In a container only what it calls UTC has its zone; text without one (of a subtitle, an AVI) is the recorder's wall clock.
        own = {"container": profile.name_zone, "exif": rule.exif_zone, "sidecar": rule.sidecar_zone, "gps": "UTC"}[
            source
        ]
        wall, utc = zone_of(own, unit_zone), zone_of(rule.container_zone, unit_zone)
        default: Moment = rule.container_means if source == "container" else "start"
        read = [
            (source, default if s.means == "unsaid" else s.means, stamped[0], s.field, stamped[1])
            for s in facts.stamps
            if s.source == source and (stamped := _stamped(s, wall, utc)) is not None
        ]  # fmt: skip
        yield from sorted(read, key=lambda claim: claim[1] != "start")


def _stamped(written: Stamp, wall: ZoneInfo, utc: ZoneInfo) -> tuple[datetime, ZoneInfo | None] | None:
    """A stamp as an instant, and whose wall clock it was. The ``Z`` of a container is the format's, not the recorder's: where the
    profile says that the recorder writes its wall clock there, it is that of ``utc``. What has no offset is of ``wall``."""
    bare = re.sub(r"(?:Z|[+-]00:?00)$", "", written.value) if written.source == "container" else written.value
    zone = wall if bare == written.value else utc
    at = instant(bare, zone)
    return None if at is None else (at, None if says_zone(bare) else zone)


def _judged(
    facts: AssetFacts,
    clock: Clock,
    source: Source,
    means: Moment,
    value: datetime,
    field: str,
    zone: ZoneInfo | None,
) -> Candidate:
    """A claim with the offset taken off, and whether it can be true."""
    true = _true(source, value, clock)
    known = clock.offset is not None and source != "gps"
    confidence: Confidence = "estimated" if source == "mtime" else "corrected" if known else "claimed"
    if true is None:
        why = "with the clock's offset it is no date"
        return Candidate(source, means, value, field, None, None, "untrusted", why, zone)
    length = facts.length
    back = -length if length is not None else None
    start, end = (true, moved(true, length)) if means == "start" else (moved(true, back), true)
    why = _impossible(facts, start or true, end or true)
    return Candidate(source, means, value, field, start, end, "untrusted" if why else confidence, why, zone)


def _true(source: Source, value: datetime, clock: Clock) -> datetime | None:
    """What was claimed, by a right clock; None if that is no date. GPS is right."""
    return value if clock.offset is None or source == "gps" else moved(value, -clock.offset)


def _impossible(facts: AssetFacts, start: datetime, end: datetime) -> str:
    """Why a recording cannot have been made then; empty if it can."""
    if start < CLOCK_FLOOR:
        return f"before {CLOCK_FLOOR.year}: a clock that was reset"
    if _late(facts, end):
        return "it would have ended after it was docked"
    if facts.last_complete is not None and end < (moved(facts.last_complete, -LEEWAY) or end):
        return "the docking before, which took everything, did not find it"
    return ""


def _won(
    facts: AssetFacts,
    rule: TimeRule,
    clock: Clock,
    won: Candidate,
    candidates: list[Candidate],
    doubts: list[Remark],
) -> Timed:
    started = won.started_at or facts.docked_at
    remarks = [*doubts, *_rejected(won, candidates)]
    if won.source == "name" and won.means == "start" and (earlier := _before_press(rule, started, candidates)):
        remarks.append(
            Remark("pre-record", f"it begins {(started - earlier).total_seconds():.0f} s before its name says")
        )
        won = replace(won, started_at=earlier, ended_at=moved(earlier, facts.length))
        started = earlier
    ended, by, sure = _end(facts, rule, won, started, candidates)
    remarks += _disagreements(rule, started, ended, won, candidates)
    if ended > facts.docked_at:
        remarks.append(Remark("clock-ahead", "it ends after it was docked: the recorder's clock is ahead"))
    if won.zone is not None and twice(won.value, won.zone):
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


def _rejected(won: Candidate, candidates: Sequence[Candidate]) -> Iterator[Remark]:
    """What would have counted before the winner, if it could be true; each source once."""
    told = set[Source]()
    for c in takewhile(lambda c: (c.source, c.means, c.value) != (won.source, won.means, won.value), candidates):
        if c.why and c.source not in told:
            told.add(c.source)
            yield Remark("time-rejected", f"{c.source} says {_said(c.value)}: {c.why}")


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
        if c.ended_at is not None and timedelta() <= c.ended_at - started <= LONGEST:
            return c.ended_at, c.source, c.confidence
    return started, "start", won.confidence


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
        by = abs(theirs - ours)
        if by <= AGREE + timedelta(seconds=rule.prerecord_seconds):
            continue
        rest = abs(by - round(by / _QUARTER) * _QUARTER)
        zone = by <= _ZONES and rest <= AGREE
        hint = ": perhaps the profile's zone for one of them is wrong" if zone else ""
        later = "later" if theirs > ours else "earlier"
        yield Remark("times-disagree", f"{c.source} says {apart(by)} {later} than {won.source}{hint}")


def _bounded(facts: AssetFacts, clock: Clock, candidates: list[Candidate], doubts: list[Remark]) -> Timed:
    """No source can be true: it is of some time between the docking before and this one."""
    latest = min(facts.docked_at, facts.stored_at)
    earliest = facts.last_complete if facts.last_complete is not None and facts.last_complete <= latest else None
    start = moved(latest, -(facts.length or timedelta())) or latest
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
        remarks=(*doubts, Remark("no-true-time", first.why if first is not None else "nothing tells a time")),
    )


def _claimed_start(facts: AssetFacts, c: Candidate) -> datetime:
    """The start by the recorder's own clock."""
    return c.value if c.means == "start" else moved(c.value, -(facts.length or timedelta())) or c.value


def _said(at: datetime | None) -> str | None:
    return None if at is None else stamp(at)
