"""Segments: what is known of a file as far as joining goes, and which of them could be of one take at all."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from mediad.model.coding import Coding
from mediad.model.evidence import Kind
from mediad.model.profile import Profile
from mediad.model.timing import LONGEST


@dataclass(frozen=True, slots=True)
class Segment:
    """One asset as far as joining goes.

    ``trusted``: its times can be true; then ``start`` and ``end`` count. Else they are bounds of the docking, and ``claimed`` is
    when it began by the recorder's wrong clock. ``estimated``: they rest on the last write alone, which copying changes; without
    sequence numbers nothing follows from them. ``signature`` says how it is coded (model/coding.py). ``officer`` is by name,
    sidecar or docking; having none is not having the same. A ``device`` that is not told may be any. ``order`` is that of ingest.
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

    @property
    def joins(self) -> bool:
        """Whether anything can follow from what it says."""
        return (
            self.kind in (Kind.VIDEO, Kind.AUDIO)
            and sane(self.start)
            and timedelta() <= self.length <= LONGEST
            and not (self.estimated and self.seq is None)  # a copied card has thousands of one time
        )


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


def reach(segments: Iterable[Segment], rule: Rule) -> list[tuple[datetime, datetime]]:
    """Between which times others may begin that are one take with any of these; what is near is put together."""
    found: list[tuple[datetime, datetime]] = []
    margin = LONGEST + rule.gap + rule.overlap
    for s in sorted((s for s in segments if rule.join and s.trusted and s.joins), key=lambda s: s.start):
        first, last = s.start - margin, s.end + margin
        if found and first <= found[-1][1]:
            found[-1] = found[-1][0], max(last, found[-1][1])
        else:
            found.append((first, last))
    return found


def sane(at: datetime) -> bool:
    """Whether one can reckon with it; broken clocks give other years too."""
    return 1970 <= at.year < 2200


def groups(listed: Sequence[Segment]) -> list[list[int]]:
    """Indices of segments that could be of one take: same source, kind, lens, officer, device, and coded alike. What one does not
    say (its device, its sound, or how it is coded at all) is as with those nearest to it, if they are all alike."""
    able = {n: s for n, s in enumerate(listed) if s.joins}
    coded = _completed(
        able,
        {n: Coding.read(s.signature) for n, s in able.items()},
        lambda s, _: (s.source, s.kind, s.docking, s.lens),
        lambda s, _: (s.source, s.kind, s.lens),
    )
    form = {n: c and (c.container, c.video) for n, c in coded.items()}
    alike = (
        lambda s, n: (s.source, s.kind, form[n], s.docking, s.lens),
        lambda s, n: (s.source, s.kind, form[n], s.lens),
    )
    rate = _completed(able, {n: c and c.rate for n, c in coded.items()}, *alike)
    audio = {n: c.audio if c else None for n, c in coded.items()}
    mute = _lenses_without_sound(able, audio, alike[0])
    sound = _completed(able, {n: "" if n in mute else heard for n, heard in audio.items()}, *alike)
    # a folder is given files of many recorders: one that tells no device is not of the only one that does
    told = {n: s.device or ("" if s.source.startswith("folder:") else None) for n, s in able.items()}
    device = _completed(able, told, lambda s, _: (s.source, s.docking), lambda s, _: s.source)
    found: dict[Hashable, list[int]] = defaultdict(list)
    for n, s in able.items():
        found[s.source, s.kind, s.lens, s.officer, device[n], form[n], rate[n], sound[n]].append(n)
    return list(found.values())


def _lenses_without_sound(
    able: Mapping[int, Segment], audio: Mapping[int, str | None], circle: Callable[[Segment, int], Hashable]
) -> set[int]:
    """What is without sound where that was filmed beside what has some: another lens that no name tells, and not a microphone that
    was muted. Half of one lies within the other; what follows with the buffer before the button has less."""
    circles: dict[Hashable, list[int]] = defaultdict(list)
    for n, s in able.items():
        if s.trusted:
            circles[circle(s, n)].append(n)
    found: set[int] = set()
    for within in circles.values():
        silent, middle = {n for n in within if audio[n] is None}, dict[bool, datetime]()
        for n in sorted(within, key=lambda n: able[n].start) if silent else ():
            s, mute = able[n], n in silent
            if s.start < middle.get(not mute, s.start):
                found |= silent
            middle[mute] = max(s.start + s.length / 2, middle.get(mute, s.start))
    return found


T = TypeVar("T", bound=Hashable)


def _completed(
    able: Mapping[int, Segment], told: Mapping[int, T | None], *circles: Callable[[Segment, int], Hashable]
) -> dict[int, T | None]:
    """What each says; of one that says nothing, what all others of the nearest circle say in which any says something."""
    said: list[dict[Hashable, set[T]]] = [defaultdict(set) for _ in circles]
    for n, value in told.items():
        if value is not None:
            for within, circle in zip(said, circles, strict=True):
                within[circle(able[n], n)].add(value)

    def meant(n: int) -> T | None:
        near: Iterable[set[T]] = (w.get(c(able[n], n), set()) for w, c in zip(said, circles, strict=True))
        values = next(filter(None, near), set())
        return next(iter(values)) if len(values) == 1 else None

    return {n: meant(n) if value is None else value for n, value in told.items()}
