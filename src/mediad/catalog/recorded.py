"""Facts for Article 28: what is known of recordings, and of files that were seen on a recorder and are not stored."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from mediad.catalog import bureau, limits
from mediad.model import carrier as carriers
from mediad.model.calendar import day_of
from mediad.model.carrier import Carrier
from mediad.model.deadline import STORAGE, UPLOAD, Part, Receipt, Recorded
from mediad.model.evidence import from_ns, recognisable_time
from mediad.model.ids import born_as, named_id
from mediad.model.instants import stamp
from mediad.model.layout import printable
from mediad.model.people import Numbers
from mediad.model.trips import Trip, may_cover, of

LEGACY: Final = "legacy"
"""The channel of what was taken over from an older system."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one recording or file. ``uploaded``: the receipt of the supervision platform."""

    facts: Recorded
    carrier: Carrier
    uploaded: Receipt | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


def of_recordings(conn: Connection, recordings: Sequence[str], zone: ZoneInfo) -> list[Known]:
    """What is known of some recordings now. Data is left out."""
    counted = limits.Counted(conn)
    parts = limits.parts_of(conn, recordings, counted)
    names = sorted(parts)
    told = limits.said(conn, names, "carried")
    dated = limits.said(conn, names, "dated")
    receipts = limits.receipts(conn, names)
    ends = {name: _end(parts[name], dated.get(name)) for name in names}
    outs, numbers = bureau.Outs(conn), Numbers(bureau.people(conn))
    own = {
        name: limits.carrier_of(parts[name], numbers, outs, told.get(name, {}), dated.get(name), zone) for name in names
    }
    away = _Away(conn, {name: _whose(parts[name][0].recorder_id, own[name]) for name in names}, ends)
    bounds = _Bounds(conn, counted)
    found = []
    for name in names:
        first = parts[name][0]
        trips = away.trips(name)
        facts = Recorded(
            subject=name, parts=_parts(parts[name], dated.get(name), bounds, receipts.get((STORAGE, name), ())),
            channel=first.channel, trips=trips, docked=away.dockings(first.source, first.recorder_id, own[name], trips),
            legacy=first.channel == LEGACY,
        )  # fmt: skip
        uploaded = _uploaded([row.asset for row in parts[name]], receipts.get((UPLOAD, name), ()))
        found.append(Known(facts, own[name], uploaded))
    return found


def of_files(conn: Connection, dockings: Iterable[str], zone: ZoneInfo) -> list[Known]:
    """Files that these dockings saw and did not get: each is due by the time of its last write. What came later under the same name
    is met by that. A file that several dockings saw is told of the first one."""
    rows: dict[str, tuple[str, Any]] = {}
    counted = limits.Counted(conn)
    for docking in dockings:
        for row in limits.seen_only(conn, docking, counted):
            name = file_id(row.recorder, row.volume, row.path, row.size, row.mtime_ns)
            if name not in rows or row.opened_at < rows[name][1].opened_at:
                rows[name] = docking, row
    if not rows:
        return []
    written = {name: _written(row) for name, (_, row) in rows.items()}
    docked = {name: datetime.fromisoformat(row.opened_at) for name, (_, row) in rows.items()}
    sure = {name: recognisable_time(written[name], docked[name], docked[name]) for name in rows}
    ends = {name: written[name] if sure[name] else docked[name] for name in rows}
    outs, numbers = bureau.Outs(conn), Numbers(bureau.people(conn))
    own: dict[str, Carrier] = {}
    for name, (_, row) in rows.items():
        had = outs.had(row.recorder_id, ends[name]) if sure[name] else row.brought or ""
        own[name] = carriers.carrier(row.officer, day_of(ends[name], zone), numbers, had)
    away = _Away(conn, {name: _whose(row.recorder_id, own[name]) for name, (_, row) in rows.items()}, ends)
    found = []
    for name, (docking, row) in rows.items():
        trips = away.trips(name)
        since = counted.since(row)
        stored = datetime.fromisoformat(since) if since else None
        latest = None if sure[name] else docked[name]
        facts = Recorded(
            subject=name, channel=row.channel, trips=trips, legacy=row.channel == LEGACY,
            parts=(Part(ends[name] if sure[name] else None, stored, estimated=True, latest=latest),),
            docked=away.dockings(row.recorder, row.recorder_id, own[name], trips),
        )  # fmt: skip
        recording = born_as(row.asset) if row.asset else ""
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


def _uploaded(assets: Sequence[str], received: Sequence[limits.Received]) -> Receipt | None:
    """The receipt with which the last file was there; None while one has none."""
    each = [limits.receipt_of(asset, received) for asset in assets]
    there = [receipt for receipt in each if receipt is not None]
    return max(there, key=lambda receipt: receipt.at) if there and len(there) == len(each) else None


def _whose(recorder: str | None, own: Carrier) -> frozenset[str]:
    """Those whose trips count: the carrier, who had the recorder, and the recorder itself."""
    return frozenset(who for who in (own.person, own.assigned, recorder) if who)


def _parts(
    rows: Sequence[Any], dated: Mapping[str, Any] | None, bounds: "_Bounds", received: Sequence[limits.Received]
) -> tuple[Part, ...]:
    """Each file with its end. Where a person said when it was, that is the end of all of them."""
    found = []
    for row in rows:
        since = bounds.counted.since(row)
        stored = datetime.fromisoformat(since) if since else None
        receipt = limits.receipt_of(row.asset, received)
        if dated:
            found.append(Part(datetime.fromisoformat(dated["ended_at"]), stored, receipt=receipt))
            continue
        confidence = row.confidence or row.captured_confidence
        if confidence != "untrusted":
            ended = datetime.fromisoformat(row.ended_at or row.captured_at)
            found.append(Part(ended, stored, estimated=confidence == "estimated", receipt=receipt))
            continue
        docked = datetime.fromisoformat(row.opened_at)
        found.append(Part(None, stored, earliest=bounds.earliest(row), latest=docked, receipt=receipt))
    return tuple(found)


class _Bounds:
    """Since when files count as stored, and before when a recording without a true time cannot have been made; each docking's
    hand-out is asked for once."""

    def __init__(self, conn: Connection, counted: limits.Counted) -> None:
        self._conn, self.counted = conn, counted
        self._out: dict[tuple[str, str], str | None] = {}

    def earliest(self, row: Any) -> datetime | None:
        time = json.loads(row.detail)["time"] if row.detail else {}
        known = [time.get("earliest"), self._handed_out(row.recorder_id, row.opened_at, row.seq)]
        return max((datetime.fromisoformat(at) for at in known if at), default=None)

    def _handed_out(self, recorder: str | None, docked: str, entered: int) -> str | None:
        if recorder is None:
            return None
        if (recorder, docked) not in self._out:
            self._out[recorder, docked] = limits.out_since(self._conn, recorder, docked, entered)
        return self._out[recorder, docked]


class _Away:
    """Trips of those that some recordings are about, and the dockings that prove a return; each asked for once."""

    def __init__(self, conn: Connection, whose: Mapping[str, frozenset[str]], ends: Mapping[str, datetime]) -> None:
        everybody = frozenset(who for some in whose.values() for who in some)
        times = bureau.trip_times(conn, everybody, min(ends.values()), max(ends.values())) if ends else {}
        self._ends, self._whose = ends, whose
        self._mine: dict[str, list[str]] = {}
        for name, some in whose.items():
            end = stamp(ends[name])
            theirs = (time for who in sorted(some) for time in times.get(who, ()))
            there = (trip for trip, since, until in theirs if since <= end and (until is None or until >= end))
            self._mine[name] = list(dict.fromkeys(there))
        self._trips = bureau.trips_by_id(conn, {trip for some in self._mine.values() for trip in some})
        self._proofs = Proofs(conn)

    def trips(self, name: str) -> tuple[Trip, ...]:
        """Those that may cover its end, by anything that was ever entered of them: no others count for it."""
        mine = (of(self._trips[trip], self._whose[name]) for trip in self._mine[name])
        return tuple(trip for trip in mine if may_cover(trip, self._ends[name]))

    def dockings(self, source: str, recorder: str | None, own: Carrier, trips: Sequence[Trip]) -> tuple[datetime, ...]:
        return self._proofs.of(trips, {own.person, own.assigned} - {""}, source, recorder)


class Proofs:
    """The first dockings after somebody left on a trip: they were back then. Each is asked for once."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._known: dict[tuple[object, ...], list[datetime]] = {}

    def of(
        self, trips: Sequence[Trip], persons: Collection[str], source: str = "", recorder: str | None = None
    ) -> tuple[datetime, ...]:
        """Of a recorder, or of another one that any of these persons had when it was docked, or handed in."""
        if not trips:
            return ()
        # What was docked after a return that was entered says nothing more.
        times = {(stamp(v.left), stamp(v.returned) if v.returned else "9999") for trip in trips for v in trip.versions}
        who = sorted(persons)
        found: set[datetime] = set()
        for left, back in times:
            asked = (left, back, *who, source, recorder)
            if asked not in self._known:
                proofs = limits.proofs(self._conn, left, back, who, source, recorder or "")
                self._known[asked] = [datetime.fromisoformat(at) for at in proofs]
            found.update(self._known[asked])
        return tuple(sorted(found))
