"""Assemble: when were a docking's files taken, and which of them are one take.

Everything that is known of a docking's files goes into the pure rules (model/timing.py, model/takes.py); what comes out differently
from what is recorded becomes events: ``asset.timed`` and ``recording.joined``. So it may be run again whenever something new is
known: a late sidecar, a clock measured afterwards, a segment that comes with a later docking.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from mediad.catalog import assembly, due, evidence, recordings
from mediad.catalog.ledger import Ledger
from mediad.errors import NotFound
from mediad.model import takes, timing
from mediad.model.beside import is_of, pair_sidecars, stem
from mediad.model.clock import Clock, heard
from mediad.model.coding import signature
from mediad.model.custody import Draft, canonical
from mediad.model.evidence import Kind, from_ns, kind_of
from mediad.model.instants import stamp
from mediad.model.probe import Probe, Remark
from mediad.model.profile import Profile
from mediad.model.segments import Rule, Segment, reach
from mediad.model.serials import given

EVENTS = 250
"""Events of one transaction: ingest writes to the same catalogue, and must not wait for long."""


class Rules(Protocol):
    """What depends on the station's configuration."""

    @property
    def zone(self) -> ZoneInfo: ...

    def profile(self, name: str) -> Profile:
        """Raises NotFound for one that is not there any more: without it names and marks say nothing, and facts would be lost."""

    def known(self, name: str) -> Profile | None: ...


@dataclass(frozen=True, slots=True)
class File:
    """An asset as it goes into the rules, with what is recorded of it (canonical JSON; empty for nothing yet) and what is to be;
    ``detail`` is empty for one that is another docking's."""

    segment: Segment
    before: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many assets have a new time, and how many takes were joined."""

    timed: int
    joined: int


def run(ledger: Ledger, rules: Rules, docking_id: str) -> Outcome:
    """Assemble one docking. Nobody else may do so at the same time."""
    with ledger.catalog.read() as conn:
        look = _Look(conn, rules, docking_id)
        rule = Rule.of(look.profile)
        files = list(look.files())
        others = list(look.around([f.segment for f in files], rule))
        marked = list(look.marked())
    found = takes.takes([f.segment for f in (*files, *others)], rule)
    own = {f.segment.asset for f in files}
    found = [take for take in found if any(s.asset in own for s in take.members)]  # of the rest not all is seen
    with ledger.catalog.read() as conn:
        before = recordings.members(
            conn, {s.recording for take in found for s in take.members if len(take.members) > 1}
        )
    timed = [*_timed(files, found), *marked]
    joined = list(_joined(found, before))
    elsewhere = look.elsewhere()
    drafts = [*timed, *joined]
    for start in range(0, len(drafts), EVENTS):
        # Only with something new, or two dockings that have a sidecar for each other would wake one another for ever; and in one
        # transaction with it, since it is new only once.
        again = elsewhere if start == 0 else []
        ledger.record(
            drafts[start : start + EVENTS],
            also=lambda conn, again=again: due.again(conn, due.ASSEMBLE, again, ledger.clock()),  # type: ignore[misc]
        )
    return Outcome(len(timed), len(joined))


def _timed(files: Sequence[File], found: Sequence[takes.Take]) -> Iterator[Draft]:
    """What is new of each asset; a time that cannot be true gives way to the place in its take."""
    inferred = {i.asset: i for take in found if take.trusted for i in take.inferred}
    for file in files:
        detail = dict(file.detail)
        if place := inferred.get(file.segment.asset):
            detail |= {
                "started_at": stamp(place.start), "ended_at": stamp(place.end), "confidence": "estimated",
                "remarks": [*detail["remarks"], asdict(Remark("time-inferred", place.why))],
            }  # fmt: skip
        if canonical(detail) != file.before:
            yield Draft("asset.timed", file.segment.asset, detail)


def _joined(found: Sequence[takes.Take], before: Mapping[str, Sequence[str]]) -> Iterator[Draft]:
    """Takes of several that are not yet one recording, or are one in another order; ``before`` is what each recording holds."""
    for take in found:
        assets = [s.asset for s in take.members]
        if len(assets) > 1 and before.get(take.recording) != assets:
            detail = {
                "assets": assets,
                "absorbed": sorted({s.recording for s in take.members} - {take.recording}),
                "gaps": [{"after": g.after, "before": g.before, "seconds": round(g.seconds, 3)} for g in take.gaps],
                "remarks": [asdict(r) for r in take.remarks],
            }
            yield Draft("recording.joined", take.recording, detail)


@dataclass(frozen=True, slots=True)
class _Sidecar:
    """A sidecar of a recording: when it came (the event that opened its docking), and what it says."""

    seq: int
    path: bytes
    asset: str
    told: Probe

    @property
    def worth(self) -> tuple[object, ...]:
        """What names officer and device rather than a track, and the newest of them."""
        return self.told.sidecar is not None and self.told.sidecar.format == "xml", self.seq, self.path


class _Look:
    """What the catalogue knows of a docking's files."""

    def __init__(self, conn: Connection, rules: Rules, docking_id: str) -> None:
        self._conn, self._rules, self._docking = conn, rules, docking_id
        row = evidence.docking(conn, docking_id)
        if row is None:
            raise NotFound(f"{docking_id} is not in the catalogue", hint="run `mediad fsck`")
        self._row = row
        self._opened = datetime.fromisoformat(row.opened_at)
        self._zones = {volume: ZoneInfo(name) for volume, name in json.loads(row.zones).items()}
        self.profile = rules.profile(row.profile)
        self._source = row.recorder_id or row.recorder
        self._sources = assembly.sources_of(conn, row.recorder, row.recorder_id)
        self._clock = self._measured()
        self._all = assembly.files_of(conn, docking_id)
        self._names = assembly.names_of(conn, sorted({f.asset for f in self._all}))
        self._own = {f.asset: f for f in reversed(self._all) if f.docking == docking_id}  # the first of several names
        self._told = {
            (f.volume, f.path): Probe.from_json(json.loads(f.probe)) for f in self._all if f.probe is not None
        }
        self._sidecars = self._paired()
        self._near = self._namesakes()
        self._known: dict[str, dict[tuple[str, bytes], dict[bytes, str]]] = {}

    def _measured(self) -> Clock:
        """By a photo of the station's clock, else by what the recorder said of its own."""
        if measured := assembly.clock(self._conn, self._docking):
            return Clock(timedelta(milliseconds=measured["offset_ms"]), "photo", measured.get("why", ""))
        said = json.loads(self._row.said) if self._row.said is not None else None
        return heard(said, self.profile, self._rules.zone)

    def _paired(self) -> dict[tuple[str, bytes], list[_Sidecar]]:
        """Volume and path of a recording to the sidecars that came with it."""
        by_volume: dict[str, dict[bytes, Any]] = {}
        for f in self._all:
            by_volume.setdefault(f.volume, {})[f.path] = f
        found: dict[tuple[str, bytes], list[_Sidecar]] = {}
        for volume, files in by_volume.items():
            for path, owner in pair_sidecars(self.profile, _kinds(files.values())).items():
                if (told := self._told.get((volume, path))) is not None:
                    sidecar = _Sidecar(self._row.seq, path, files[path].asset, told)
                    found.setdefault((volume, owner), []).append(sidecar)
        return found

    # --- the docking's own ------------------------------------------------------------------------------------------

    def files(self) -> Iterator[File]:
        """Every asset that this docking stored, with its time."""
        complete = self._complete_before()
        order = _order((row.stored_at, row.path, asset) for asset, row in self._own.items())
        for asset, row in self._own.items():
            looked = self._told.get((row.volume, row.path))
            probe = looked or Probe("data")
            kind = Kind(row.kind) if probe.kind == "data" else Kind(probe.kind)
            name = self.profile.parse_name(row.path, self._rules.zone)
            sidecars = self._beside(row, kind)
            sidecar = sidecars[0] if sidecars else None
            facts = timing.AssetFacts(
                asset=asset,
                kind=kind,
                name=name,
                mtime=from_ns(row.mtime_ns, self._zones.get(row.volume)),
                duration=probe.duration,
                stamps=(*probe.stamps, *(sidecar.told.stamps if sidecar else ())),
                docked_at=self._opened,
                stored_at=datetime.fromisoformat(row.stored_at),
                last_complete=complete.get((row.volume, row.path)),
                mtime_zone=self._zones.get(row.volume),
            )
            timed = timing.time_asset(facts, self.profile, self._rules.zone, self._clock)
            claims = sidecar.told.sidecar if sidecar else None
            segment = Segment(
                asset=asset,
                recording=row.recording,
                source=self._source,
                volume=row.volume,
                kind=kind,
                start=timed.started_at,
                end=timed.ended_at,
                trusted=timed.trusted,
                seq=name.seq,
                lens=name.lens,
                device=name.device or (given(claims.device) if claims else ""),
                signature=signature(probe) if looked else f"not probed: {asset}",
                order=order[asset],
                docking=self._docking,
                officer=name.officer or (given(claims.officer) if claims else "") or given(self._row.officer),
                claimed=timed.claimed_start,
                estimated=timed.source == "mtime",
            )
            before = json.loads(row.timing)["important"] if row.timing is not None else bool(row.important)
            important = (  # no mark is ever taken back
                before or self._important(asset) or any(s.told.sidecar and s.told.sidecar.important for s in sidecars)
            )
            detail = self._detail(segment, timed, important=important, sidecar=sidecar)
            yield File(segment, row.timing or "", detail)

    def _detail(
        self, segment: Segment, timed: timing.Timed, *, important: bool, sidecar: _Sidecar | None
    ) -> dict[str, Any]:
        time = timed.as_json()
        return {
            "docking": self._docking,
            "source": segment.source,
            "kind": segment.kind.value,
            "started_at": time.pop("started_at"),
            "ended_at": time.pop("ended_at"),
            "confidence": time.pop("confidence"),
            "officer": segment.officer,
            "important": important,
            "lens": segment.lens,
            "remarks": time.pop("remarks"),
            "time": time,
            "sidecar": sidecar.asset if sidecar else None,
            "segment": {
                "volume": segment.volume, "trusted": segment.trusted, "seq": segment.seq, "device": segment.device,
                "signature": segment.signature, "officer": segment.officer,
            },
        }  # fmt: skip

    def _complete_before(self) -> dict[tuple[str, bytes], datetime]:
        """For each file, when its volume was docked before and everything on it was taken, unless the file was on it then already
        and left. A folder is no such witness (its volume has no name): it may be given old files."""
        found: dict[tuple[str, bytes], datetime] = {}
        volumes = {row.volume for row in self._own.values()} - {""}
        before = assembly.last_complete(self._conn, self._sources, self._row.seq, volumes)
        for volume, (docking, began) in before.items():
            if datetime.fromisoformat(began) > self._opened:
                continue  # a clock that was ahead then witnesses nothing
            paths = [row.path for row in self._own.values() if row.volume == volume]
            left = assembly.listed(self._conn, docking, volume, paths)
            found |= {(volume, path): datetime.fromisoformat(began) for path in paths if path not in left}
        return found

    def _beside(self, row: Any, kind: Kind) -> list[_Sidecar]:
        """Sidecars of a file, the one that counts first; of a take also those of other dockings, beside its names then."""
        found = list(self._sidecars.get((row.volume, row.path), ()))
        own = {s.asset for s in found}
        for volume, path in self._named(row.asset) if kind in (Kind.VIDEO, Kind.AUDIO) else ():
            near = self._near.get((volume, stem(path).upper()), {})
            if path not in near or near[path].asset != row.asset:
                continue  # the name is another recording's by now
            for beside, owner in pair_sidecars(self.profile, _kinds(near.values())).items():
                other = near[beside]
                if owner != path or other.probe is None or other.asset in own:
                    continue
                if self._is_of(other, volume, path, row):
                    told = Probe.from_json(json.loads(other.probe))
                    found.append(_Sidecar(other.seq, beside, other.asset, told))
        return sorted(found, key=lambda s: s.worth, reverse=True)

    def _is_of(self, sidecar: Any, volume: str, path: bytes, row: Any) -> bool:
        """Whether a sidecar of another docking is of this recording; what could not be taken is, if it was written with it."""
        rows = assembly.beside_in(self._conn, sidecar.first_docking, volume, stem(path))
        known = self._known_in(sidecar.first_docking).get((volume, stem(path).upper()), {})
        assets = {**known, **{r.path: r.asset or (row.asset if r.mtime_ns == row.mtime_ns else "") for r in rows}}
        kinds = {p: kind_of(b"", p) for p in assets} | _kinds(r for r in rows if r.asset)
        owner = pair_sidecars(self.profile, kinds).get(sidecar.path)
        apart = timedelta(microseconds=abs(sidecar.mtime_ns - row.mtime_ns) // 1000)
        return is_of(row.asset, None if owner is None else assets[owner], apart)

    def _known_in(self, docking: str) -> dict[tuple[str, bytes], dict[bytes, str]]:
        """By volume and stem: what a docking had that it knew already."""
        if docking not in self._known:
            found = self._known.setdefault(docking, {})
            for volume, path, asset in assembly.known_in(self._conn, docking):
                found.setdefault((volume, stem(path).upper()), {})[path] = asset
        return self._known[docking]

    def _namesakes(self) -> dict[tuple[str, bytes], dict[bytes, Any]]:
        """By volume and stem: what this recorder showed beside the docking's own files, then or before, whatever they were
        called; ``a.mp4.xml`` lies beside ``a.MP4``, too. A photo has no sidecar."""
        stems: dict[str, set[bytes]] = {}
        for row in self._own.values():
            if row.kind != Kind.PHOTO.value:
                for volume, path in self._named(row.asset):
                    stems.setdefault(volume, set()).update((stem(path), stem(stem(path))))
        return {
            (volume, name): near
            for volume, names in stems.items()
            for name, near in assembly.namesakes(self._conn, self._row.recorder, volume, names).items()
        }

    def _named(self, asset: str) -> list[tuple[str, bytes]]:
        """Every volume and path under which an asset was ever seen."""
        return list(dict.fromkeys((name.volume, name.path) for name in self._names.get(asset, ())))

    def _important(self, asset: str) -> bool:
        """Whether any name under which it was ever seen says so: recorders rename what is marked."""
        return any(
            profile.marks_important([name.path], self._rules.zone)
            for name in self._names.get(asset, ())
            if (profile := self._rules.known(name.profile)) is not None
        )

    # --- others ------------------------------------------------------------------------------------------------------

    def around(self, segments: Sequence[Segment], rule: Rule) -> Iterator[File]:
        """Segments of other dockings that may be one take with these, or are."""
        windows = [(stamp(first), stamp(last)) for first, last in reach(segments, rule)]
        rows = assembly.around(self._conn, self._sources, windows, {s.asset for s in segments})
        order = _order((row.stored_at, row.path, row.asset) for row in rows)
        yield from (File(replace(_segment(r, order[r.asset]), source=self._source), r.detail, {}) for r in rows)

    def marked(self) -> Iterator[Draft]:
        """Assets of earlier dockings that this one saw again under a name that marks them."""
        for row in self._all:
            if row.docking == self._docking or row.timing is None:
                continue
            detail = json.loads(row.timing)
            if not detail["important"] and self._important(row.asset):
                yield Draft("asset.timed", row.asset, {**detail, "important": True})

    def elsewhere(self) -> list[str]:
        """Dockings that stored a recording whose sidecar came with this one."""
        found: set[str] = set()
        for row in self._own.values():
            told = self._told.get((row.volume, row.path))
            if told is None or told.sidecar is None:
                continue
            near = self._near.get((row.volume, stem(row.path).upper()), {})
            owner = pair_sidecars(self.profile, _kinds([row, *near.values()])).get(row.path)
            if owner is not None and owner in near and near[owner].first_docking != self._docking:
                found.add(near[owner].first_docking)
        return sorted(found)


def _kinds(rows: Iterable[Any]) -> dict[bytes, Kind]:
    return {row.path: Kind(row.kind) for row in rows}


def _order(stored: Iterable[tuple[str, bytes, str]]) -> dict[str, int]:
    """Assets in the order of their ingest: by time, and within one transaction by path."""
    ranked = enumerate(sorted(stored))
    return {asset: (int(datetime.fromisoformat(at).timestamp() * 1e6) << 24) + n for n, (at, _, asset) in ranked}


def _segment(row: Any, order: int) -> Segment:
    """A segment as it was recorded."""
    detail = json.loads(row.detail)
    told, claimed = detail["segment"], detail["time"]["claimed_start"]
    return Segment(
        asset=row.asset,
        recording=row.recording,
        source=detail["source"],
        volume=told["volume"],
        kind=Kind(detail["kind"]),
        start=datetime.fromisoformat(detail["started_at"]),
        end=datetime.fromisoformat(detail["ended_at"]),
        trusted=told["trusted"],
        seq=told["seq"],
        lens=detail["lens"],
        device=given(told["device"]),
        signature=told["signature"],
        order=order,
        docking=detail["docking"],
        officer=given(told["officer"]),
        claimed=datetime.fromisoformat(claimed) if claimed else None,
        estimated=detail["time"]["source"] == "mtime",
    )
