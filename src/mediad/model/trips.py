"""Trips (外出), and when one came back from them.

What a person enters about a trip is a claim with a time of its own. What is entered in time counts. What is entered or changed
later so that it helps (补登) counts only as the unit's rule says; that somebody is back, and a recorder that is docked, always
counts.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

Backdated = Literal["approve", "count"]


@dataclass(frozen=True, slots=True)
class Version:
    """A trip as it was entered at ``entered_at``, and whether an approver (批准人) agreed to that. ``returned`` None: not back
    yet."""

    entered_at: datetime
    left: datetime
    expected: datetime
    returned: datetime | None = None
    approved: bool = False
    void: bool = False
    """It was entered by mistake, and never was."""
    whose: frozenset[str] = frozenset()
    """The persons and recorders that were away by this version; empty: all that are asked for."""


@dataclass(frozen=True, slots=True)
class Trip:
    """All versions of one trip, the oldest first."""

    id: str
    reason: str
    versions: tuple[Version, ...]


@dataclass(frozen=True, slots=True)
class Effective:
    """A trip as it counts for something whose ordinary limit is ``limit``. ``wants``: a later entry waits for an approver and does
    not count yet; ``late``: a later entry counts. ``undone``: what counted before somebody said later, without an approver, that it
    never was, or that they were back earlier."""

    trip: Trip
    version: Version | None
    wants: bool = False
    late: bool = False
    undone: tuple[Version, ...] = ()


@dataclass(frozen=True, slots=True)
class Away:
    """What covers an instant. ``back`` None: nobody is back yet. ``docked_first``: by a docking, before the return that was
    entered."""

    trip: Trip
    back: datetime | None
    expected: datetime
    docked_first: bool = False
    late: bool = False


def of(trip: Trip, who: Collection[str]) -> Trip:
    """A trip as it is some people's or recorders': a version by which none of them was away is none of theirs. So whoever is added
    to it later was entered later."""
    versions = (v if not v.whose or not v.whose.isdisjoint(who) else replace(v, void=True) for v in trip.versions)
    return replace(trip, versions=tuple(versions))


def bounds(trip: Trip) -> tuple[datetime, datetime | None]:
    """The time in which a trip lies, whichever of its versions counts; an end of None: it may not have ended. That they are back is
    sure to count if no version says that they left at another time."""
    backs = [v.returned for v in trip.versions]
    same = len({v.left for v in trip.versions}) == 1
    may_be_open = backs[-1] is None if same else None in backs
    left = min(v.left for v in trip.versions)
    return left, None if may_be_open else max(back for back in backs if back is not None)


def effective(trip: Trip, limit: datetime, backdated: Backdated) -> Effective:
    """The version that counts."""
    counts: Version | None = None
    undone: tuple[Version, ...] = ()
    wants = late = False
    for v in trip.versions:
        sure, less = v.entered_at <= limit or v.approved, v.void or _only_back(counts, v)
        if not (sure or less or backdated == "count"):
            wants = True
            continue
        if sure or backdated == "count":
            undone = ()
        elif counts is not None and not counts.void:
            undone = (*undone, counts)
        counts, wants, late = v, False, late or not (sure or less)
    if counts is not None and counts.void:
        counts = None
    late = late or (counts is not None and counts.approved and counts.entered_at > limit)
    return Effective(trip, counts, wants, late, undone)


def _only_back(before: Version | None, after: Version) -> bool:
    """Whether a change says no more than that they are back, or were so earlier than was said: it never helps anybody."""
    if before is None or before.void or after.returned is None or after.left != before.left:
        return False
    return before.returned is None or after.returned <= before.returned


def may_cover(trip: Trip, at: datetime) -> bool:
    """Whether a trip can cover an instant at all, whichever of its versions counts. A return always counts, so one that left once
    and came back ended then at the latest."""
    if all(v.left > at for v in trip.versions):
        return False
    backs = [v.returned for v in trip.versions if v.returned is not None]
    changed = len({v.left for v in trip.versions}) > 1 or any(v.void for v in trip.versions)
    return changed or not backs or at <= max(backs)


def back(version: Version, proofs: Iterable[datetime]) -> tuple[datetime | None, bool]:
    """When a trip ended: by the return that was entered, or by the first docking after they left (``proofs``), whichever is
    earlier; and whether it was by the docking although another return was entered."""
    proof = min((p for p in proofs if p > version.left), default=None)
    if proof is not None and (version.returned is None or proof < version.returned):
        return proof, version.returned is not None
    return version.returned, False


def away(
    at: datetime, trips: Sequence[Trip], proofs: Sequence[datetime], limit: datetime, backdated: Backdated
) -> tuple[Away | None, tuple[Trip, ...]]:
    """The trip during which ``at`` lies, bounds included; of several the one that ended first. And the trips of which something was
    entered late that would help if an approver agreed. That a trip never was, or ended before ``at``, helps only where it takes the
    earliest return of several away: until then that return counts."""
    found: list[Away] = []
    undone: list[Away] = []
    waiting: list[Trip] = []
    for trip in trips:
        eff = effective(trip, limit, backdated)
        was = (_covering(v, trip, at, proofs) for v in eff.undone)
        undone += [way for way in was if way is not None and way.back is not None]
        if eff.version is not None and (way := _covering(eff.version, trip, at, proofs, late=eff.late)) is not None:
            found.append(way)
        elif eff.wants and any(_covering(v, trip, at, proofs) is not None for v in trip.versions if not v.approved):
            waiting.append(trip)
    first = min(found, key=_ended, default=None)
    if first is not None and (earliest := min((first, *undone), key=_ended)) is not first:
        first = earliest
        waiting.append(earliest.trip)
    return first, tuple(waiting)


def _ended(way: Away) -> tuple[bool, datetime, str]:
    return way.back is None, way.back or way.expected, way.trip.id


def _covering(v: Version, trip: Trip, at: datetime, proofs: Sequence[datetime], *, late: bool = False) -> Away | None:
    came, docked = back(v, proofs)
    if v.void or not v.left <= at or (came is not None and at > came):
        return None
    return Away(trip, came, v.expected, docked, late)
