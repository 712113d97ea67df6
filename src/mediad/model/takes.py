"""Which files are segments of one take, and so one recording.

A take is a chain of segments that follow one another (model/links.py), in which nothing is of the same time as anything else. What
an earlier docking decided stands: a segment that comes later can join takes, never split one. What follows a clock that was reset
in the middle is placed by its sequence number.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from mediad.model.links import links, shared
from mediad.model.probe import Remark
from mediad.model.segments import Rule, Segment


@dataclass(frozen=True, slots=True)
class Gap:
    """What lies between two members; negative where they overlap."""

    after: str
    before: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Inferred:
    """The time of a member whose own cannot be true, by the others of its take."""

    asset: str
    start: datetime
    end: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Take:
    """Members in the order of recording. ``recording`` is the id that survives: that of the member that was ingested first."""

    recording: str
    members: tuple[Segment, ...]
    started_at: datetime
    ended_at: datetime
    trusted: bool
    """Whether its times rest on at least one that can be true."""
    gaps: tuple[Gap, ...] = ()
    inferred: tuple[Inferred, ...] = ()
    remarks: tuple[Remark, ...] = ()


def takes(segments: Iterable[Segment], rule: Rule) -> list[Take]:
    """Every segment in exactly one take, takes by their start. What is one recording already stays one."""
    listed = sorted(segments, key=_key)
    found = _Forest(len(listed))
    same: dict[str, int] = {}
    for n, s in enumerate(listed):
        found.join(same.setdefault(s.recording, n), n)
    linked, remarks = links(listed, rule)
    near: _Near = defaultdict(list)
    for link in linked:
        found.join(link.before, link.after)
        near[link.before].append((link.after, link.distance))
        near[link.after].append((link.before, -link.distance))
    made = [_take(listed, members, near, remarks, rule) for members in found.trees()]
    return sorted(made, key=lambda t: (t.started_at, _key(t.members[0])))


def _key(s: Segment) -> tuple[object, ...]:
    return s.start, s.claimed or s.start, -1 if s.seq is None else s.seq, s.order, s.asset


_Near = dict[int, list[tuple[int, timedelta]]]
"""Links by their ends: what is near a segment, and how much later that began."""


def _take(
    listed: Sequence[Segment], members: Sequence[int], near: _Near, remarks: Mapping[int, Remark], rule: Rule
) -> Take:
    starts, placed = _placed(listed, members, near)
    sure = any(listed[n].trusted for n in members)
    ordered = sorted(members, key=lambda n: (starts[n], _key(listed[n])))
    ends = {n: starts[n] + listed[n].length for n in members}
    gaps, overlap, told = [], False, [remarks[n] for n in ordered if n in remarks]
    for n, m in pairwise(ordered):
        seconds = (starts[m] - ends[n]).total_seconds()
        gaps.append(Gap(listed[n].asset, listed[m].asset, seconds))
        if timedelta(seconds=-seconds) > shared(listed[n], listed[m], rule):
            overlap = True
    if overlap:
        told.append(
            Remark(
                "members-overlap", "it was joined before, and by what is known now its segments are of the same time"
            )
        )
    first = min((listed[n] for n in members), key=lambda s: (s.order, s.asset))
    return Take(
        recording=first.recording,
        members=tuple(listed[n] for n in ordered),
        started_at=min(starts.values()),
        ended_at=max(ends.values()),
        trusted=sure,
        gaps=tuple(gaps),
        inferred=tuple(Inferred(listed[n].asset, starts[n], ends[n], placed[n]) for n in ordered if n in placed),
        remarks=tuple(told),
    )


def _placed(
    listed: Sequence[Segment], members: Sequence[int], near: _Near
) -> tuple[dict[int, datetime], dict[int, str]]:
    """When each member began: what is trusted as it says, the others by their links; and which have their place by that, and why.
    If nothing is trusted, the last ends where its docking bounds it. What was joined before by what is not known any more (its
    clock is not trusted now) is placed behind the others, so that the take does not reach to the docking."""
    starts = {n: listed[n].start for n in members if listed[n].trusted}
    sure, placed = bool(starts), dict[int, str]()
    rest = sorted(
        (n for n in members if n not in starts), key=lambda n: (listed[n].claimed or listed[n].start, n), reverse=sure
    )
    waiting = deque(sorted(starts))
    while waiting or rest:
        if not waiting:
            n = rest.pop()
            if n in starts:
                continue
            starts[n] = _behind(listed, n, starts) if sure else listed[n].start
            if sure:
                placed[n] = "placed behind what it was joined to before"
            elif len(members) > 1:
                placed[n] = _NO_TIME
            waiting.append(n)
        n = waiting.popleft()
        for m, distance in near.get(n, ()):
            if m not in starts:
                starts[m] = starts[n] + distance
                placed[m] = "placed by the segment that it follows" if sure else _NO_TIME
                waiting.append(m)
    return starts, placed


_NO_TIME: Final = "no segment of the take has a time that can be true"


def _behind(listed: Sequence[Segment], n: int, starts: Mapping[int, datetime]) -> datetime:
    """Where the last ends of those that have a place, or of those with a lower number."""
    seq = listed[n].seq
    lower = [m for m in starts if seq is not None and (number := listed[m].seq) is not None and number < seq]
    return max(starts[m] + listed[m].length for m in lower or starts)


class _Forest:
    """Sets that grow together."""

    def __init__(self, size: int) -> None:
        self._above = list(range(size))

    def _root(self, n: int) -> int:
        while self._above[n] != n:
            self._above[n] = self._above[self._above[n]]
            n = self._above[n]
        return n

    def join(self, a: int, b: int) -> None:
        a, b = self._root(a), self._root(b)
        self._above[max(a, b)] = min(a, b)

    def trees(self) -> list[list[int]]:
        found: dict[int, list[int]] = defaultdict(list)
        for n in range(len(self._above)):
            found[self._root(n)].append(n)
        return list(found.values())
