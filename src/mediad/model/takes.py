"""Which files are segments of one take, and so one recording.

One segment may follow another by what the two alone say (source, lens, officer, signature, times, sequence numbers). It does, if
neither has another to choose: joining cannot be undone, so what is not clear stays apart, and a take is a chain in which nothing is
of the same time as anything else. What an earlier docking decided stands: a segment that comes later can join takes, never split
one. What follows a clock that was reset in the middle is placed by its sequence number, decided within its docking.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from mediad.model.evidence import Kind
from mediad.model.probe import Remark
from mediad.model.profile import Profile

FULL: Final = timedelta(seconds=2)
"""Segments of one length differ by so much; they end at a key frame."""

SHORTEST: Final = timedelta(seconds=30)
"""No recorder cuts takes into shorter pieces: short files of equal length prove nothing."""

_LONGEST: Final = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Segment:
    """One asset as far as joining goes.

    ``trusted``: its times can be true; then ``start`` and ``end`` count. Else they are bounds of the docking, and ``claimed`` is
    when it began by the recorder's wrong clock. ``estimated``: they rest on the last write alone, which copying changes; without
    sequence numbers nothing follows from them. ``signature`` says how it is coded: what differs cannot be one take. ``officer`` is
    by name, sidecar or docking; having none is not having the same. ``order`` is that of ingest.
    """

    asset: str
    recording: str
    source: str
    volume: str
    kind: Kind
    start: datetime
    end: datetime
    trusted: bool
    seq: int | None = None
    lens: str = ""
    device: str = ""
    signature: str = ""
    order: int = 0
    docking: str = ""
    officer: str = ""
    claimed: datetime | None = None
    estimated: bool = False

    @property
    def length(self) -> timedelta:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Rule:
    """When segments follow one another; the profile's. ``overlap`` is for segments that are at least twice as long."""

    gap: timedelta = timedelta(seconds=3)
    overlap: timedelta = timedelta(seconds=3)
    segment: timedelta = timedelta()
    join: bool = True

    @classmethod
    def of(cls, profile: Profile) -> "Rule":
        gap = timedelta(seconds=profile.takes.gap_seconds)
        buffer = timedelta(seconds=profile.time.prerecord_seconds)
        return cls(gap, gap + buffer, timedelta(seconds=profile.takes.segment_seconds), profile.takes.join)


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
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for n, s in enumerate(listed):
        found.join(same.setdefault(s.recording, n), n)
        if (
            rule.join
            and s.kind in (Kind.VIDEO, Kind.AUDIO)
            and _sane(s.start)
            and s.start <= s.end <= s.start + _LONGEST
            and not (s.estimated and s.seq is None)  # never linked; a copied card has thousands of one time
        ):
            groups[s.source, s.kind, s.lens, s.signature, s.device, s.officer].append(n)
    links: list[_Link] = []
    remarks: dict[int, Remark] = {}
    for group in groups.values():
        links += _linked(listed, group, rule, remarks)
    near: _Near = defaultdict(list)
    for link in links:
        found.join(link.before, link.after)
        near[link.before].append((link.after, link.distance))
        near[link.after].append((link.before, -link.distance))
    made = [_take(listed, members, near, remarks, rule) for members in found.trees()]
    return sorted(made, key=lambda t: (t.started_at, _key(t.members[0])))


def _sane(at: datetime) -> bool:
    """Whether one can reckon with it; broken clocks give other years too."""
    return 1970 <= at.year < 2200


def _key(s: Segment) -> tuple[object, ...]:
    return s.start, s.claimed or s.start, -1 if s.seq is None else s.seq, s.order, s.asset


_Near = dict[int, list[tuple[int, timedelta]]]
"""Links by their ends: what is near a segment, and how much later that began."""


@dataclass(frozen=True, slots=True)
class _Link:
    """``after`` follows ``before`` and begins ``distance`` after its start."""

    before: int
    after: int
    distance: timedelta


def _linked(listed: Sequence[Segment], group: Sequence[int], rule: Rule, remarks: dict[int, Remark]) -> Iterator[_Link]:
    """All links within what could be one take at all."""
    dockings: dict[str, list[int]] = defaultdict(list)
    for n in group:
        dockings[listed[n].docking].append(n)
    came = sorted(dockings, key=lambda docking: (min(listed[n].order for n in dockings[docking]), docking))
    rank = {n: at for at, docking in enumerate(came) for n in dockings[docking]}
    trusted = [n for n in group if listed[n].trusted]
    times = {n: listed[n].start for n in trusted}
    yield from _clear(listed, list(_by_time(listed, times, rule)), times, rank, rule, remarks)
    for docking in dockings.values():
        astray = [n for n in docking if not listed[n].trusted]
        if astray:
            yield from _astray(listed, docking, astray, rule, remarks)


def _astray(
    listed: Sequence[Segment], docking: Sequence[int], astray: Sequence[int], rule: Rule, remarks: dict[int, Remark]
) -> Iterator[_Link]:
    """Links of segments with a wrong clock, by what their own docking brought: among themselves by that clock, and to what stands
    before the reset by sequence number, where a full segment shows that the recorder went on."""
    dated = [n for n in astray if (claimed := listed[n].claimed) is not None and _sane(claimed)]
    times = {n: listed[n].claimed or listed[n].start for n in dated}
    own = list(_by_time(listed, times, rule))
    yield from _clear(listed, own, times, dict.fromkeys(dated, 0), rule, remarks)
    followed = {k.before for k in _by_time(listed, {n: listed[n].start for n in docking if listed[n].trusted}, rule)}
    followed |= {k.before for k in own}
    preceded = {k.after for k in own}
    by_number: dict[int, list[int]] = defaultdict(list)
    for n in _full(listed, docking, rule):
        if n not in followed:
            for number in _next(listed[n].seq):
                by_number[number].append(n)
    asked: dict[int, list[int]] = defaultdict(list)
    for n in astray:
        seq = listed[n].seq
        known = () if seq is None or n in preceded else by_number.get(seq, ())
        before = [m for m in known if _set_back(listed[m], listed[n])]
        if len(before) == 1:
            asked[before[0]].append(n)
        elif before:
            remarks[n] = Remark(
                "place-unclear", f"it could follow any of {len(before)} segments: its clock is not trusted"
            )
    for m, waiting in asked.items():
        if len(waiting) == 1:
            yield _Link(m, waiting[0], listed[m].length)
        else:
            for n in waiting:
                remarks[n] = Remark(
                    "place-unclear", "another segment could follow the same one: its clock is not trusted"
                )


def _by_time(listed: Sequence[Segment], times: Mapping[int, datetime], rule: Rule) -> Iterator[_Link]:
    """What may follow what, by ``times`` of one clock."""
    ordered = sorted((start, n) for n, start in times.items())
    begins = [start for start, _ in ordered]
    for start, n in ordered:
        end = start + listed[n].length
        for at in range(max(bisect_right(begins, start), bisect_left(begins, end - rule.overlap)), len(ordered)):
            later, m = ordered[at]
            if later > end + rule.gap:
                break
            if later >= end - _shared(listed[n], listed[m], rule) and _counted(listed[n], listed[m]):
                yield _Link(n, m, later - start)


def _shared(before: Segment, after: Segment, rule: Rule) -> timedelta:
    """How much of the same time two segments of one take may have: what the buffer holds, but no more than half of either."""
    return min(rule.overlap, before.length / 2, after.length / 2)


def _counted(before: Segment, after: Segment) -> bool:
    """Whether sequence numbers let them follow one another. They must say so where times are estimated, or an end is not known."""
    if before.seq is None or after.seq is None:
        return not before.estimated and not after.estimated and before.length > timedelta()
    return after.seq in _next(before.seq)


def _clear(
    listed: Sequence[Segment],
    links: Sequence[_Link],
    times: Mapping[int, datetime],
    rank: Mapping[int, int],
    rule: Rule,
    remarks: dict[int, Remark],
) -> Iterator[_Link]:
    """Links of which neither end has another to choose. What came first (``rank``, by dockings) has chosen first."""
    following: dict[int, list[_Link]] = defaultdict(list)
    leading: dict[int, list[_Link]] = defaultdict(list)
    for k in links:
        following[k.before].append(k)
        leading[k.after].append(k)

    def parted(n: int, m: int) -> bool:
        return times[n] < times[m] >= times[n] + listed[n].length - _shared(listed[n], listed[m], rule)

    def first(of: Sequence[_Link]) -> list[_Link]:
        came = min(max(rank[k.before], rank[k.after]) for k in of)
        return [k for k in of if max(rank[k.before], rank[k.after]) == came]

    chosen: set[_Link] = set()  # by what goes before; what lies behind its nearest follower is that one's to choose
    for of in map(first, following.values()):
        next_ = min(of, key=lambda k: times[k.after])
        chosen |= {next_} if all(parted(next_.after, k.after) for k in of if k is not next_) else set()
    unclear = set(leading)
    for of in map(first, leading.values()):
        last = max(of, key=lambda k: times[k.before])
        if last in chosen and all(parted(k.before, last.before) for k in of if k is not last):
            unclear -= {last.after}
            yield last
    for n in unclear:
        remarks[n] = Remark("place-unclear", "more than one segment could stand at its place, or before it")


def _set_back(before: Segment, after: Segment) -> bool:
    """Whether the clock may have been reset between the two: one that was wrong before and went on tells that they are apart."""
    return before.trusted or before.claimed is None or after.claimed is None or after.claimed < before.claimed


def _next(seq: int | None) -> tuple[int, ...]:
    """The sequence numbers that may come next: after three nines or more they start again at 0 or 1. After less they belong to
    another take."""
    if seq is None:
        return ()
    return (seq + 1, 0, 1) if seq >= 999 and set(str(seq)) == {"9"} else (seq + 1,)


def _full(listed: Sequence[Segment], docking: Sequence[int], rule: Rule) -> Iterator[int]:
    """Segments that are as long as the recorder makes them, so that another was to follow."""
    lengths = sorted(listed[n].length for n in docking)
    for n in docking:
        length = listed[n].length
        if rule.segment:
            if length >= rule.segment - FULL:
                yield n
        elif length >= SHORTEST:
            alike = bisect_right(lengths, length + FULL) - bisect_left(lengths, length - FULL)
            if alike > 1:  # itself and another
                yield n


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
        if timedelta(seconds=-seconds) > _shared(listed[n], listed[m], rule):
            overlap = True
    if overlap:
        told.append(
            Remark(
                "members-overlap", "it was joined before, and by what is known now its segments are of the same time"
            )
        )
    why = "placed by the segment that it follows" if sure else "no segment of the take has a time that can be true"
    first = min((listed[n] for n in members), key=lambda s: (s.order, s.asset))
    return Take(
        recording=first.recording,
        members=tuple(listed[n] for n in ordered),
        started_at=min(starts.values()),
        ended_at=max(ends.values()),
        trusted=sure,
        gaps=tuple(gaps),
        inferred=tuple(Inferred(listed[n].asset, starts[n], ends[n], why) for n in ordered if n in placed),
        remarks=tuple(told),
    )


def _placed(listed: Sequence[Segment], members: Sequence[int], near: _Near) -> tuple[dict[int, datetime], set[int]]:
    """When each member began: what is trusted as it says, the others by their links; and which have their place by that. If
    nothing is trusted, the last ends where its docking bounds it."""
    starts = {n: listed[n].start for n in members if listed[n].trusted}
    sure, placed = bool(starts), set[int]()
    rest = sorted((n for n in members if n not in starts), key=lambda n: (listed[n].claimed or listed[n].start, n))
    waiting = deque(sorted(starts))
    while waiting or rest:
        if not waiting:
            n = rest.pop()
            if n in starts:
                continue
            starts[n] = listed[n].start
            placed |= set() if sure or len(members) == 1 else {n}
            waiting.append(n)
        n = waiting.popleft()
        for m, distance in near.get(n, ()):
            if m not in starts:
                starts[m] = starts[n] + distance
                placed.add(m)
                waiting.append(m)
    return starts, placed


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
