"""Rule: hold recordings, and files that were only seen, against the limit of Article 28, and record what is ruled if it is new.

A ruling says what holds whatever the time is (model/deadline.py), so it is recorded when a fact changes it and at no other time.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from mediad.catalog import assembly, bureau, limits
from mediad.model import carrier as carriers
from mediad.model.calendar import day_of
from mediad.model.carrier import Carrier
from mediad.model.custody import Draft
from mediad.model.deadline import STORAGE, Part, Receipt, Recorded, Ruling, StorageRule, storage
from mediad.model.instants import stamp
from mediad.model.people import Person
from mediad.model.registers import Move
from mediad.model.trips import Trip

_LEEWAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Ruled:
    """A ruling, whose recording it is about, and whether it is what stands already."""

    ruling: Ruling
    carrier: Carrier
    same: bool

    def body(self) -> dict[str, Any]:
        """As the event holds it."""
        r = self.ruling
        return {
            "rule": r.rule, "state": r.state, "due_at": _at(r.due_at), "met_at": _at(r.met_at), "limb": r.limb, "trip": r.trip,
            "why": r.why, "reason": r.reason, "remarks": list(r.remarks), "ended_at": _at(r.ended_at),
            "carrier": self.carrier.person, "carrier_by": self.carrier.by,
        }  # fmt: skip


def _at(at: datetime | None) -> str | None:
    return None if at is None else stamp(at)


def storage_of(conn: Connection, rule: StorageRule, zone: ZoneInfo, recordings: Sequence[str]) -> list[Ruled]:
    """What Article 28 comes to for some recordings, by what is known now. Writes nothing. Data is left out."""
    parts = limits.parts_of(conn, recordings)
    names = sorted(parts)
    told = limits.said(conn, names, "carried")
    dated = limits.said(conn, names, "dated")
    words = limits.explained(conn, names, STORAGE)
    stands = limits.rulings(conn, names)
    people = bureau.people(conn)
    moves = bureau.moves(conn)
    facts: list[tuple[Recorded, Carrier]] = []
    owners: list[tuple[str, list[Any], Carrier]] = []
    for name in names:
        rows = parts[name]
        own = _carrier(rows, people, moves, told.get(name, {}), dated.get(name), zone)
        owners.append((name, rows, own))
    trips = bureau.trips_of(conn, {who for _, rows, own in owners for who in _whose(rows, own)})
    for name, rows, own in owners:
        mine = [trip for who in sorted(_whose(rows, own)) for trip in trips.get(who, ())]
        unique = tuple({trip.id: trip for trip in mine}.values())
        marked = words.get((name, "marked-met"))
        facts.append(
            (
                Recorded(
                    subject=name,
                    parts=_parts(rows, dated.get(name), moves.get(rows[0].recorder_id or "", [])),
                    channel=rows[0].channel,
                    trips=unique,
                    docked=_docked(conn, rows, own, moves, unique) if unique else (),
                    receipt=Receipt(marked["receipt"], datetime.fromisoformat(marked["at"])) if marked else None,
                    legacy=rows[0].channel == "legacy",
                ),
                own,
            )
        )
    return [_ruled(storage(fact, rule), own, stands.get((STORAGE, fact.subject))) for fact, own in facts]


def _ruled(ruling: Ruling, own: Carrier, stands: Mapping[str, Any] | None) -> Ruled:
    new = Ruled(ruling, own, same=False)
    return Ruled(ruling, own, same=stands is not None and dict(stands) == new.body())


def _whose(rows: Sequence[Any], own: Carrier) -> set[str]:
    """Those whose trips count: the carrier, who had the recorder, and the recorder itself."""
    return {who for who in (own.person, own.assigned, rows[0].recorder_id) if who}


def _carrier(
    rows: Sequence[Any],
    people: Sequence[Person],
    moves: Mapping[str, Sequence[Move]],
    told: Mapping[str, Any],
    dated: Mapping[str, Any] | None,
    zone: ZoneInfo,
) -> Carrier:
    ended = datetime.fromisoformat(dated["ended_at"] if dated else max(row.ended_at or row.captured_at for row in rows))
    number = rows[0].officer or rows[0].giver
    return carriers.carrier(
        number, day_of(ended, zone), ended, people, moves.get(rows[0].recorder_id or "", ()), told.get("carrier", "")
    )


def _parts(rows: Sequence[Any], dated: Mapping[str, Any] | None, moves: Sequence[Move]) -> tuple[Part, ...]:
    """Each file with its end. Where a person said when it was, that is the end of all of them."""
    found = []
    for row in rows:
        stored = datetime.fromisoformat(row.stored_at) if row.dedicated else None
        if dated:
            found.append(Part(datetime.fromisoformat(dated["ended_at"]), stored))
            continue
        confidence = row.confidence or row.captured_confidence
        ended = datetime.fromisoformat(row.ended_at or row.captured_at)
        if confidence != "untrusted":
            found.append(Part(ended, stored, estimated=confidence == "estimated"))
            continue
        docked = datetime.fromisoformat(row.opened_at)
        time = json.loads(row.detail)["time"] if row.detail else {}
        bounds = [datetime.fromisoformat(time["earliest"])] if time.get("earliest") else []
        out = carriers.assigned(moves, docked)
        bounds += [out.at] if out is not None else []
        found.append(Part(None, stored, earliest=max(bounds, default=None), latest=docked))
    return tuple(found)


def _docked(
    conn: Connection, rows: Sequence[Any], own: Carrier, moves: Mapping[str, Sequence[Move]], trips: Sequence[Trip]
) -> tuple[datetime, ...]:
    """When this recorder, or another one that its carrier had, was docked since they left."""
    left = min(v.left for trip in trips for v in trip.versions) - _LEEWAY
    theirs = {
        m.recorder for each in moves.values() for m in each if m.carrier and m.carrier in (own.person, own.assigned)
    }
    recorder = rows[0].recorder_id
    sources = assembly.sources_of(conn, rows[0].source, recorder)
    found = limits.dockings_of(conn, sources, theirs | ({recorder} if recorder else set()), stamp(left))
    return tuple(datetime.fromisoformat(row.opened_at) for row in found)


def drafts(ruled: Iterable[Ruled]) -> list[Draft]:
    """What is to be recorded of it: what is new."""
    return [Draft("deadline.ruled", each.ruling.subject, each.body()) for each in ruled if not each.same]
