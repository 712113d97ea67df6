"""Which segment follows which, within what could be one take at all.

One segment may follow another by what the two alone say (times, sequence numbers). It does, if neither has another to choose:
joining cannot be undone, so what is not clear stays apart. What an earlier docking decided stands. Every question is answered from
sorted lists, and looks at no more than ``CROWD`` others: a card full of files of one moment costs no more than another.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from mediad.model.evidence import Kind
from mediad.model.probe import Remark
from mediad.model.segments import Rule, Segment, groups, sane

FULL: Final = timedelta(seconds=2)
"""Segments of one length differ by so much; they end at a key frame."""

SHORTEST: Final = timedelta(seconds=30)
"""No recorder cuts takes into shorter pieces: short files of equal length prove nothing."""

CROWD: Final = 32
"""No recorder ends, or begins, so many files within the seconds in which one may follow another: of more nothing is clear."""

PHOTOS: Final = 99
"""So many numbers in a row may have gone to photos, or to another lens, while one segment was recorded."""

_Numbers = Callable[[int], Iterable[int]]
"""Which sequence numbers may come next after a segment's."""

_Key = int | str


@dataclass(frozen=True, slots=True)
class Link:
    """``after`` follows ``before`` and begins ``distance`` after its start."""

    before: int
    after: int
    distance: timedelta


def links(listed: Sequence[Segment], rule: Rule) -> tuple[list[Link], dict[int, Remark]]:
    """All links, and why what could have one has none."""
    found: list[Link] = []
    remarks: dict[int, Remark] = {}
    if rule.join:
        bearers = _Bearers(listed, rule)
        for group in groups(listed):
            found += _linked(listed, group, rule, bearers, remarks)
    return found, remarks


def _linked(
    listed: Sequence[Segment], group: Sequence[int], rule: Rule, bearers: "_Bearers", remarks: dict[int, Remark]
) -> Iterator[Link]:
    dockings: dict[str, list[int]] = defaultdict(list)
    for n in group:
        dockings[listed[n].docking].append(n)
    came = sorted(dockings, key=lambda docking: (min(listed[n].order for n in dockings[docking]), docking))
    rank = {n: at for at, docking in enumerate(came) for n in dockings[docking]}
    numbers = bearers.numbers(frozenset(group))
    trusted = {n: listed[n].start for n in group if listed[n].trusted}
    yield from _clear(_Line(listed, trusted, rank, numbers, rule), remarks)
    for docking in dockings.values():
        if any(not listed[n].trusted for n in docking):
            yield from _astray(listed, docking, rule, numbers, remarks)


def _astray(
    listed: Sequence[Segment], docking: Sequence[int], rule: Rule, numbers: _Numbers, remarks: dict[int, Remark]
) -> Iterator[Link]:
    """Links of segments with a wrong clock, by what their own docking brought: among themselves by that clock, and to what stands
    before the reset by sequence number, where a full segment shows that the recorder went on."""
    rank = dict.fromkeys(docking, 0)
    astray = [n for n in docking if not listed[n].trusted]
    right = _Line(listed, {n: listed[n].start for n in docking if listed[n].trusted}, rank, numbers, rule)
    dated = {n: at for n in astray if (at := listed[n].claimed) is not None and sane(at)}
    wrong = _Line(listed, dated, rank, lambda n: _next(listed[n].seq), rule)
    yield from _clear(wrong, remarks)
    by_number: dict[int, list[int]] = defaultdict(list)
    for n in _full(listed, docking, rule):
        if right.ends(n) and wrong.ends(n):
            for number in _next(listed[n].seq):
                by_number[number].append(n)
    for known in by_number.values():
        known.sort(key=lambda n: _set_back_by(listed[n]), reverse=True)
    asked: dict[int, list[int]] = defaultdict(list)
    for n in astray:
        seq = listed[n].seq
        known = [] if seq is None or not wrong.begins(n) else by_number.get(seq, [])
        before = [m for m in known[:2] if _set_back(listed[m], listed[n])]  # if not those, then none behind them
        if len(before) == 1:
            asked[before[0]].append(n)
        elif before:
            remarks[n] = Remark("place-unclear", "it could follow more than one segment: its clock is not trusted")
    for m, waiting in asked.items():
        if len(waiting) == 1:
            yield Link(m, waiting[0], listed[m].length)
        else:
            for n in waiting:
                remarks[n] = Remark(
                    "place-unclear", "another segment could follow the same one: its clock is not trusted"
                )


class _Line:
    """Segments by one clock (``times``), found by when they begin or end, and by numbers. Both have one and the later one's comes
    next; or one has none, and then both times must be sure, and the end of the first known."""

    def __init__(
        self,
        listed: Sequence[Segment],
        times: Mapping[int, datetime],
        rank: Mapping[int, int],
        numbers: _Numbers,
        rule: Rule,
    ) -> None:
        self._listed, self._times, self._rank, self._rule = listed, times, rank, rule
        self._after: dict[int, set[_Key]] = {}
        self._begins, self._ends = _Index(), _Index()
        for n, start in times.items():
            s = listed[n]
            sure = not s.estimated and s.length > timedelta()
            next_ = set[_Key](numbers(n))
            self._after[n] = _keys(next_, none=s.seq is not None and sure, any_=s.seq is None and sure)
            self._begins.add(_keys(_own(s), none=s.seq is None, any_=not s.estimated), rank[n], start, n)
            self._ends.add(_keys(next_, none=s.seq is None and sure, any_=sure), rank[n], self._end(n), n)
        self._begins.sort()
        self._ends.sort()

    def __iter__(self) -> Iterator[int]:
        return iter(self._times)

    def _end(self, n: int) -> datetime:
        return self._times[n] + self._listed[n].length

    def followers(self, n: int) -> list[int] | None:
        """What may follow it, of what came first; None if that is a crowd."""
        end = self._end(n)
        near = self._begins.near(self._after[n], self._rank[n], end - self._rule.overlap, end + self._rule.gap)
        return _first(near, lambda m: self._follows(n, m))

    def leaders(self, m: int) -> list[int] | None:
        """What it may follow, of what came first; None if that is a crowd."""
        s, start = self._listed[m], self._times[m]
        keys = _keys(_own(s), none=s.seq is not None and not s.estimated, any_=s.seq is None)
        near = self._ends.near(keys, self._rank[m], start - self._rule.gap, start + self._rule.overlap)
        return _first(near, lambda n: self._follows(n, m))

    def follower(self, n: int) -> int | None:
        """The nearest that may follow it, if it lies before all others; they are that one's to choose."""
        able = self.followers(n) or []
        one = min(able, key=self._times.__getitem__, default=None)
        return one if one is None or all(self._parted(one, m) for m in able if m != one) else None

    def leader(self, m: int) -> int | None:
        """The nearest that it may follow, if it lies behind all others."""
        able = self.leaders(m) or []
        one = max(able, key=self._times.__getitem__, default=None)
        return one if one is None or all(self._parted(n, one) for n in able if n != one) else None

    def ends(self, n: int) -> bool:
        """Whether nothing could follow it by this clock."""
        return n not in self._times or self.followers(n) == []

    def begins(self, m: int) -> bool:
        """Whether it could follow nothing by this clock."""
        return m not in self._times or self.leaders(m) == []

    def distance(self, n: int, m: int) -> timedelta:
        return self._times[m] - self._times[n]

    def _parted(self, n: int, m: int) -> bool:
        """Whether the second begins after the first, and not within it."""
        return self._times[n] < self._times[m] >= self._end(n) - shared(self._listed[n], self._listed[m], self._rule)

    def _follows(self, n: int, m: int) -> bool:
        return self._parted(n, m) and self._times[m] <= self._end(n) + self._rule.gap


def _own(s: Segment) -> set[_Key]:
    return set() if s.seq is None else {s.seq}


def _keys(numbers: set[_Key], *, none: bool, any_: bool) -> set[_Key]:
    """Numbers, what has ``none``, and ``any``: for what has none itself."""
    return numbers | ({"none"} if none else set()) | ({"any"} if any_ else set())


class _Index:
    """Segments by key and rank, in order of time."""

    def __init__(self) -> None:
        self._lines: dict[_Key, dict[int, list[tuple[datetime, int]]]] = defaultdict(lambda: defaultdict(list))

    def add(self, keys: Iterable[_Key], rank: int, at: datetime, n: int) -> None:
        for key in keys:
            self._lines[key][rank].append((at, n))

    def sort(self) -> None:
        for lines in self._lines.values():
            for line in lines.values():
                line.sort()

    def near(self, keys: Iterable[_Key], rank: int, first: datetime, last: datetime) -> Iterator[list[int] | None]:
        """Segments under any of these keys between two times: those up to this rank, then those of each later one; None for a
        crowd."""
        ranks: dict[int, list[tuple[list[tuple[datetime, int]], int, int]]] = defaultdict(list)
        for lines in (self._lines[key] for key in keys if key in self._lines):
            for at, line in lines.items():
                low, high = bisect_left(line, (first, -1)), bisect_left(line, (last, _BEHIND))
                if low < high:
                    ranks[max(at, rank)].append((line, low, high))
        for _, parts in sorted(ranks.items()):
            crowd = sum(high - low for _, low, high in parts) > CROWD
            yield None if crowd else [n for line, low, high in parts for _, n in line[low:high]]


_BEHIND: Final = 1 << 62
"""More than any index."""


def _first(near: Iterable[list[int] | None], able: Callable[[int], bool]) -> list[int] | None:
    """Those that are able, of the first of which any are."""
    for some in near:
        if some is None:
            return None
        if found := [n for n in some if able(n)]:
            return found
    return []


def shared(before: Segment, after: Segment, rule: Rule) -> timedelta:
    """How much of the same time two segments of one take may have: what the buffer holds, but no more than half of either."""
    return min(rule.overlap, before.length / 2, after.length / 2)


def _clear(line: _Line, remarks: dict[int, Remark]) -> Iterator[Link]:
    """Links of which neither end has another to choose."""
    chosen = {n: line.follower(n) for n in line}
    for m in line:
        if not line.begins(m):
            n = line.leader(m)
            if n is not None and chosen[n] == m:
                yield Link(n, m, line.distance(n, m))
            else:
                remarks[m] = Remark("place-unclear", "more than one segment could stand at its place, or before it")


class _Bearers:
    """Which numbers went to files that are no segments of the take: a counter may be shared with photos, or with another lens. Not
    to what was filmed between two takes: by another officer, say."""

    def __init__(self, listed: Sequence[Segment], rule: Rule) -> None:
        self._listed, self._rule = listed, rule
        self._begins: dict[tuple[str, str, int], list[tuple[datetime, int]]] = defaultdict(list)
        for n, s in enumerate(listed):
            if s.seq is not None and s.trusted and s.kind is not Kind.DATA and sane(s.start):
                self._begins[s.source, s.docking, s.seq].append((s.start, n))
        for line in self._begins.values():
            line.sort()

    def numbers(self, group: frozenset[int]) -> _Numbers:
        """For the segments of a group: which numbers may come next."""

        def next_of(n: int) -> Iterator[int]:
            seq = self._listed[n].seq
            yield from _next(seq)
            if seq is not None and self._listed[n].trusted:
                free = next((q for q in range(seq + 1, seq + PHOTOS + 2) if not self._borne(n, q, group)), seq)
                if free > seq + 1:
                    yield free

        return next_of

    def _borne(self, n: int, number: int, group: frozenset[int]) -> bool:
        """Whether a file of the same docking that is none of the group began under this number while the segment was recorded."""
        s = self._listed[n]
        line, gap = self._begins.get((s.source, s.docking, number), []), self._rule.gap
        low, high = bisect_left(line, (s.start - gap, -1)), bisect_left(line, (s.end + gap, _BEHIND))
        return any(m not in group and self._beside(s, self._listed[m]) for _, m in line[low : min(high, low + CROWD)])

    def _beside(self, s: Segment, other: Segment) -> bool:
        """Whether it was taken beside a segment or what follows that, and not between the two: as another lens that no name tells,
        a film goes on while one of them is recorded."""
        if other.kind is Kind.PHOTO or other.lens != s.lens:
            return True
        return other.start < s.end - shared(s, other, self._rule) or other.end > s.end + self._rule.gap


def _set_back_by(before: Segment) -> datetime:
    """The latest time to which a clock may have been reset behind it."""
    return _LAST if before.trusted or before.claimed is None else before.claimed


_LAST: Final = datetime.max.replace(tzinfo=UTC)


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
