"""What the bytes of an original say, asked of the parsers in their sandbox.

A fault of the file is an answer (a Probe with its condition and a remark); a fault of the machine is a StorageError, so that the
work is tried again later: no sandbox, killed from outside, or starved of time by more urgent work.
"""

import json
import math
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from mediad.edges import handed
from mediad.edges.program import Outcome
from mediad.edges.sandbox import MAX_INPUTS, Limits, Sandbox
from mediad.edges.whole import read_through, unreadable_now
from mediad.errors import StorageError
from mediad.model.evidence import Kind
from mediad.model.probe import Probe, Remark

MODULE: Final = "mediad.parsers"
NO_SANDBOX: Final = "sandbox"
SECONDS = 120.0
CPU_SECONDS = 60
SLOWEST: Final = 10 * 1024**2
"""Bytes a second: a large file gets so much more time."""
MAX_POINTS: Final = 100_000
"""Of the track of a whole recording, each of its files its share: beyond, only some of them are shown."""
RECOVERED: Final = {"h264": "recovered.h264", "h265": "recovered.h265"}

_Point = tuple[str, Any]
"""A time as the parsers name it, perhaps none, and a place."""


@dataclass(frozen=True, slots=True)
class ProbeFile:
    """An original to be asked about. ``kind``: what ingest took it for; ``suffix``: of its name on the recorder, without dot."""

    path: Path
    kind: Kind
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Recovered:
    """The pictures of an unfinished recording, as a bare stream without times. ``rate``: pictures a second, if known."""

    path: Path
    codec: str
    frames: int
    rate: float | None


class Media:
    """Asks the parsers; holds nothing. ``memory``: bytes that one of them may take."""

    def __init__(self, sandbox: Sandbox, *, memory: int = 2 * 1024**3) -> None:
        self._sandbox = sandbox
        self._memory = memory

    def probe(self, files: Sequence[ProbeFile]) -> list[Probe | StorageError]:
        """One answer for each file, in their order; an error for one that the machine could not be asked about now. Photos and
        sidecars share a sandbox, which takes longer to build than they to read. Answers come in order, so what ended it is the
        first without one, which is asked about alone. Raises StorageError if there is no sandbox."""
        answers: dict[int, Probe | StorageError] = {}
        for group in _groups(files):
            while left := [n for n in group if n not in answers]:
                self._some(files, left, answers)
                if culprit := [n for n in left if n not in answers][:1]:
                    self._some(files, culprit, answers)
        return [answers[n] for n in range(len(files))]

    def _some(self, files: Sequence[ProbeFile], asked: Sequence[int], answers: dict[int, Probe | StorageError]) -> None:
        """Ask about some together; one alone gets an answer in any case."""
        alone = asked[0] if len(asked) == 1 else None
        try:
            told, outcome = self._ask([files[n] for n in asked], {"as": "probe"})
        except StorageError as e:
            if e.code == NO_SANDBOX:
                raise
            if alone is not None:
                answers[alone] = e
            return
        for n, said in zip(asked, told, strict=True):
            if said is not None:
                answers[n] = unreadable_now(files[n].path) if said.get("later") else Probe.from_json(said.get("probe"))
        if alone is not None and alone not in answers:
            try:
                _judge(outcome)
                read_through([files[alone].path], self._sandbox.looked)  # before it is blamed
                answers[alone] = _culprit(files[alone], outcome)
            except StorageError as e:
                answers[alone] = e

    def track(self, files: Sequence[ProbeFile], zone: ZoneInfo) -> bytes | None:
        """The whole GPS track of a recording's originals and sidecars as GeoJSON, made anew of the numbers that the parsers name;
        None if there is none. ``zone`` is that of times without one. Raises StorageError."""
        most = max(2, MAX_POINTS // max(1, len(files)))
        found: list[_Point] = []
        for file in files:
            found += _thinned(list(_points(self._ask_one(file, {"as": "track"}).get("track"))), most)
        return _geojson(_in_order(found, zone))

    def recover(self, file: ProbeFile, output: Path, reference: Path | None = None) -> Recovered | None:
        """Write the pictures of an MP4 or MOV without index into the folder ``output``; None if none can be had.
        ``reference``: a whole recording of the same recorder, for what is missing in this one. Raises StorageError."""
        told = self._ask_one(file, {"as": "recover"}, output=output, reference=reference)
        said = told.get("recovered")
        if not isinstance(said, dict) or said.get("codec") not in RECOVERED or "reason" in said:
            return None
        path, frames, rate = output / RECOVERED[said["codec"]], said.get("frames"), said.get("rate")
        if not _regular(path) or not isinstance(frames, int) or frames < 1:
            return None
        if not isinstance(rate, int | float) or not 0.1 <= rate <= 1000:
            rate = None
        return Recovered(path, said["codec"], frames, rate)

    def _ask_one(self, file: ProbeFile, question: Mapping[str, str], **more: Path | None) -> dict[str, Any]:
        """The answer, empty for none. Raises StorageError."""
        told, outcome = self._ask([file], question, **more)
        _judge(outcome)
        said = told[0] or {}
        if said.get("later"):
            raise unreadable_now(file.path)
        return said

    def _ask(
        self,
        files: Sequence[ProbeFile],
        question: Mapping[str, str],
        *,
        output: Path | None = None,
        reference: Path | None = None,
    ) -> tuple[list[dict[str, Any] | None], Outcome]:
        """The answers by file, None where there is none."""
        names = [f"{n:04}" for n in range(len(files))]
        inputs = dict(zip(names, (f.path for f in files), strict=True))
        asked = [{**question, "name": name, "suffix": file.suffix} for name, file in zip(names, files, strict=True)]
        if reference is not None:
            inputs["reference"] = reference
            asked = [{**a, "reference": "reference"} for a in asked]
        outcome = self._sandbox.run(
            self._sandbox.python(MODULE),
            inputs=inputs,
            output=output,
            limits=_limits([f.path for f in files], self._memory, output is not None),
            stdin=json.dumps({"files": asked}).encode(),
        )
        told = handed.answers(outcome.out)
        return [told.get(name) for name in names], outcome


def _judge(outcome: Outcome) -> None:
    """Raise StorageError for an end that is the machine's fault."""
    if outcome.late:
        raise StorageError(
            "a parser was not done in its time",
            code="sandbox-late",
            hint="the machine is busy with more urgent work; it is tried again later",
        )
    if outcome.code == 137 and not (outcome.too_much or outcome.spent):
        raise StorageError(
            "a parser was killed from outside",
            code="sandbox-killed",
            hint="is memory short? it is tried again later",
        )


def _groups(files: Sequence[ProbeFile]) -> Iterator[list[int]]:
    """Video and sound alone; of the others up to ``MAX_INPUTS`` together."""
    small = [n for n, file in enumerate(files) if file.kind in (Kind.PHOTO, Kind.DATA)]
    for first in range(0, len(small), MAX_INPUTS):
        yield small[first : first + MAX_INPUTS]
    yield from ([n] for n, file in enumerate(files) if file.kind not in (Kind.PHOTO, Kind.DATA))


def _limits(paths: Sequence[Path], memory: int, writes: bool) -> Limits:
    try:
        size = sum(path.stat().st_size for path in paths)
    except OSError as error:
        raise StorageError(f"an original cannot be read: {error}") from error
    more = size / SLOWEST
    limits = Limits(cpu_seconds=CPU_SECONDS + int(more / 4), seconds=SECONDS + more, memory=memory)
    if not writes:
        return limits
    # the original is mapped into memory, which counts as address space
    return replace(limits, file_size=size + 1024**2, folder=size + 2 * 1024**2, memory=memory + size)


def _culprit(file: ProbeFile, outcome: Outcome) -> Probe:
    """The file over which the parsers ended."""
    if outcome.too_much:
        remark = Remark("limit", "the parsers said more than they may")
    elif outcome.spent:
        remark = Remark("limit", "the parsers took more processor time than they may")
    elif outcome.code > 128:
        remark = Remark("limit", f"the parsers were ended by signal {outcome.code - 128}")
    else:
        lines = outcome.err.decode("utf-8", "replace").strip().splitlines()
        remark = Remark("parser-failed", lines[-1] if lines else f"exit status {outcome.code}")
    plain = Probe(file.kind.value, conditions=("unreadable",), remarks=(remark,))
    return Probe.from_json(plain.as_json())


def _points(said: object) -> Iterator[_Point]:
    """Finite numbers and short texts, whatever was said; nothing if there is anything else."""
    if not isinstance(said, dict):
        return
    geometry, properties = said.get("geometry"), said.get("properties")
    if not isinstance(geometry, dict) or not isinstance(properties, dict):
        return
    places, times = geometry.get("coordinates"), properties.get("times")
    if not isinstance(places, list) or not isinstance(times, list) or not 2 <= len(places) == len(times) <= MAX_POINTS:
        return
    if all(isinstance(t, str) and len(t) <= 40 for t in times) and all(map(_is_place, places)):
        yield from zip(times, places, strict=True)


def _in_order(points: Sequence[_Point], zone: ZoneInfo) -> list[_Point]:
    """By time; where there is none, behind the point before. Of a time that is there twice (a sidecar tells the film's own track
    once more) the first point counts."""
    last = datetime.min.replace(tzinfo=UTC)
    timed: list[tuple[datetime, _Point]] = []
    seen: set[datetime] = set()
    for point in points:
        at = _moment(point[0], zone)
        if at in seen:
            continue
        if at is not None:
            seen.add(at)
            last = at
        timed.append((last, point))
    return [point for _, point in sorted(timed, key=itemgetter(0))]


def _thinned(points: list[_Point], most: int) -> list[_Point]:
    """At most so many, evenly, with both ends."""
    if len(points) <= most:
        return points
    return [*points[: -1 : -(-(len(points) - 1) // (most - 1))], points[-1]]


def _moment(text: str, zone: ZoneInfo) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _geojson(points: Sequence[_Point]) -> bytes | None:
    if len(points) < 2:
        return None
    made = {
        "type": "Feature",
        "geometry": {"type": "LineString", "coordinates": [place for _, place in points]},
        "properties": {"times": [at for at, _ in points]},
    }
    return json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode()


def _is_place(place: object) -> bool:
    """Longitude, latitude, and perhaps a height."""
    if not isinstance(place, list) or len(place) not in (2, 3):
        return False
    if not all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in place):
        return False
    return bool(abs(place[0]) <= 180 and abs(place[1]) <= 90)


def _regular(path: Path) -> bool:
    """A file of its own: no link to elsewhere, by either kind of link."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1
