"""Facts for Article 28: what is known of recordings, and of files that were seen on a recorder and are not stored."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from mediad.catalog import assembly, bureau, limits
from mediad.model import carrier as carriers
from mediad.model.calendar import day_of
from mediad.model.carrier import Carrier
from mediad.model.deadline import STORAGE, UPLOAD, Part, Receipt, Recorded
from mediad.model.evidence import from_ns, recognisable_time
from mediad.model.ids import named_id
from mediad.model.instants import stamp
from mediad.model.layout import printable
from mediad.model.registers import Move
from mediad.model.trips import Trip, may_cover


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one recording or file. ``uploaded``: the receipt of the supervision platform."""

    facts: Recorded
    carrier: Carrier
    uploaded: Receipt | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


def of_recordings(conn: Connection, recordings: Sequence[str], zone: ZoneInfo) -> list[Known]:
    """What is known of some recordings now. Data is left out."""
    parts = limits.parts_of(conn, recordings)
    names = sorted(parts)
    told = limits.said(conn, names, "carried")
    dated = limits.said(conn, names, "dated")
    receipts = {rule: limits.explained(conn, names, rule) for rule in (STORAGE, UPLOAD)}
    ends = {name: _end(parts[name], dated.get(name)) for name in names}
    opened = [datetime.fromisoformat(row.opened_at) for rows in parts.values() for row in rows]
    recorders = {rows[0].recorder_id for rows in parts.values() if rows[0].recorder_id}
    moves = bureau.moves_since(conn, recorders, min((*ends.values(), *opened), default=None))
    people = bureau.people(conn)
    own: dict[str, Carrier] = {}
    for name in names:
        own[name] = limits.carrier_of(parts[name], people, moves, told.get(name, {}), dated.get(name), zone)
    away = _Away(conn, {name: _whose(parts[name][0].recorder_id, own[name]) for name in names}, ends)
    found = []
    for name in names:
        first = parts[name][0]
        trips = away.trips(name)
        facts = Recorded(
            subject=name, parts=_parts(parts[name], dated.get(name), moves.get(first.recorder_id or "", [])),
            channel=first.channel, trips=trips, docked=away.dockings(first.source, first.recorder_id, own[name], trips),
            receipt=_receipt(receipts[STORAGE].get((name, "receipt"))), legacy=first.channel == "legacy",
        )  # fmt: skip
        found.append(Known(facts, own[name], _receipt(receipts[UPLOAD].get((name, "receipt")))))
    return found


def of_files(conn: Connection, dockings: Iterable[str], zone: ZoneInfo) -> list[Known]:
    """Files that these dockings saw and did not get: each is due by the time of its last write. What came later under the same name
    is met by that. A file that several dockings saw is told of the first one."""
    rows: dict[str, tuple[str, Any]] = {}
    for docking in dockings:
        for row in limits.seen_only(conn, docking):
            name = file_id(row.recorder, row.volume, row.path, row.size, row.mtime_ns)
            if name not in rows or row.opened_at < rows[name][1].opened_at:
                rows[name] = docking, row
    if not rows:
        return []
    ends = {name: _written(row) for name, (_, row) in rows.items()}
    people = bureau.people(conn)
    recorders = {row.recorder_id for _, row in rows.values() if row.recorder_id}
    moves = bureau.moves_since(conn, recorders, min(ends.values()))
    own: dict[str, Carrier] = {}
    for name, (_, row) in rows.items():
        had = moves.get(row.recorder_id or "", [])
        own[name] = carriers.carrier(row.officer, day_of(ends[name], zone), ends[name], people, had)
    away = _Away(conn, {name: _whose(row.recorder_id, own[name]) for name, (_, row) in rows.items()}, ends)
    found = []
    for name, (docking, row) in rows.items():
        trips = away.trips(name)
        stored = datetime.fromisoformat(row.stored_at) if row.stored_at else None
        docked = datetime.fromisoformat(row.opened_at)
        sure = recognisable_time(ends[name], docked, docked)
        facts = Recorded(
            subject=name, channel=row.channel, trips=trips,
            parts=(Part(ends[name] if sure else None, stored, estimated=True, latest=None if sure else docked),),
            docked=away.dockings(row.recorder, row.recorder_id, own[name], trips),
        )  # fmt: skip
        recording = row.asset.replace("ast-", "rec-") if row.asset else ""
        more = {"docking": docking, "path": printable(row.path), "recording": recording}
        found.append(Known(facts, own[name], more=more))
    return found


def file_id(source: str, volume: str, path: bytes, size: int, mtime_ns: int) -> str:
    """What a file on a recorder is called before it is an asset: the same at each docking, as long as it is the same file."""
    return named_id("fil", "file", "\0".join((source, volume, path.hex(), str(size), str(mtime_ns))))


def _written(row: Any) -> datetime:
    zones = json.loads(row.zones)
    return from_ns(row.mtime_ns, ZoneInfo(zones[row.volume]) if row.volume in zones else None)


def _end(rows: Sequence[Any], dated: Mapping[str, Any] | None) -> datetime:
    return datetime.fromisoformat(dated["ended_at"] if dated else max(r.ended_at or r.captured_at for r in rows))


def _receipt(said: Mapping[str, Any] | None) -> Receipt | None:
    return Receipt(said["receipt"], datetime.fromisoformat(said["at"])) if said else None


def _whose(recorder: str | None, own: Carrier) -> frozenset[str]:
    """Those whose trips count: the carrier, who had the recorder, and the recorder itself."""
    return frozenset(who for who in (own.person, own.assigned, recorder) if who)


def _parts(rows: Sequence[Any], dated: Mapping[str, Any] | None, moves: Sequence[Move]) -> tuple[Part, ...]:
    """Each file with its end. Where a person said when it was, that is the end of all of them."""
    found = []
    for row in rows:
        stored = datetime.fromisoformat(row.stored_at) if row.dedicated else None
        if dated:
            found.append(Part(datetime.fromisoformat(dated["ended_at"]), stored))
            continue
        confidence = row.confidence or row.captured_confidence
        if confidence != "untrusted":
            ended = datetime.fromisoformat(row.ended_at or row.captured_at)
            found.append(Part(ended, stored, estimated=confidence == "estimated"))
            continue
        docked = datetime.fromisoformat(row.opened_at)
        time = json.loads(row.detail)["time"] if row.detail else {}
        bounds = [datetime.fromisoformat(time["earliest"])] if time.get("earliest") else []
        out = carriers.assigned(moves, docked)
        bounds += [out.at] if out is not None else []
        found.append(Part(None, stored, earliest=max(bounds, default=None), latest=docked))
    return tuple(found)


class _Away:
    """Trips of those that some recordings are about, and the dockings that prove a return; each asked for once."""

    def __init__(self, conn: Connection, whose: Mapping[str, frozenset[str]], ends: Mapping[str, datetime]) -> None:
        self._conn, self._whose, self._ends = conn, whose, ends
        everybody = frozenset(who for some in whose.values() for who in some)
        self._trips = bureau.trips_of(conn, everybody, min(ends.values()), max(ends.values())) if ends else {}
        self._known: dict[tuple[object, ...], tuple[datetime, ...]] = {}

    def trips(self, name: str) -> tuple[Trip, ...]:
        """Those that may cover its end, by anything that was ever entered of them: no others count for it."""
        end = self._ends[name]
        mine = {trip.id: trip for who in sorted(self._whose[name]) for trip in self._trips.get(who, ())}
        return tuple(trip for trip in mine.values() if may_cover(trip, end))

    def dockings(self, source: str, recorder: str | None, own: Carrier, trips: Sequence[Trip]) -> tuple[datetime, ...]:
        if not trips:
            return ()
        left = min(v.left for trip in trips for v in trip.versions)
        key = (source, recorder, own.person, own.assigned, left)
        if key not in self._known:
            self._known[key] = proofs(self._conn, {own.person, own.assigned} - {""}, left, source, recorder)
        return self._known[key]


def proofs(
    conn: Connection, persons: Collection[str], since: datetime, source: str = "", recorder: str | None = None
) -> tuple[datetime, ...]:
    """When this recorder was docked from some time on, or another one that these persons had then: they were back."""
    theirs = bureau.recorders_had(conn, persons)
    moves = bureau.moves_since(conn, theirs, since)
    sources = assembly.sources_of(conn, source, recorder) if source else set()
    found = []
    for row in limits.dockings_of(conn, sources, theirs | ({recorder} if recorder else set()), stamp(since)):
        at = datetime.fromisoformat(row.opened_at)
        out = carriers.assigned(moves.get(row.recorder_id, []), at)
        own = row.recorder in sources or (recorder is not None and row.recorder_id == recorder)
        if own or (out is not None and out.carrier in persons):
            found.append(at)
    return tuple(found)
