"""Rule: hold what is there against the unit's limits, and record what is ruled if it is new.

A ruling says what holds whatever the time is (model/deadline.py), so it is recorded when a fact changes it and at no other time.
Subjects are recordings (rec-), files that were seen and not stored (fil-), cases (cas-), dockings (dck-) and recorders (rcd-).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from mediad.catalog import assembly, bureau, limits
from mediad.catalog.chunks import chunks
from mediad.catalog.ledger import Ledger
from mediad.model import carrier as carriers
from mediad.model.calendar import day_of
from mediad.model.carrier import Carrier
from mediad.model.cases import CaseRules
from mediad.model.cases import rulings as rulings_of_case
from mediad.model.custody import Draft
from mediad.model.deadline import STORAGE, Part, Receipt, Recorded, Ruling, StorageRule, storage
from mediad.model.evidence import from_ns
from mediad.model.ids import named_id
from mediad.model.instants import stamp
from mediad.model.layout import printable
from mediad.model.registers import Move
from mediad.model.trips import Trip

_NOBODY = Carrier("", "nobody")


@dataclass(frozen=True, slots=True)
class Rules:
    """The unit's limits in force, and its zone."""

    storage: StorageRule
    cases: CaseRules
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Ruled:
    """A ruling, whose it is, what else is told of its subject, and whether it is what stands already."""

    ruling: Ruling
    carrier: Carrier
    more: Mapping[str, Any] = field(default_factory=dict)
    same: bool = False

    def against(self, stands: Mapping[tuple[str, str], Mapping[str, Any]]) -> "Ruled":
        """The same, knowing what stands."""
        return replace(self, same=stands.get((self.ruling.rule, self.ruling.subject)) == self.body())

    def body(self) -> dict[str, Any]:
        """As the event holds it."""
        r = self.ruling
        return {
            "rule": r.rule, "state": r.state, "due_at": _at(r.due_at), "met_at": _at(r.met_at), "limb": r.limb, "trip": r.trip,
            "why": r.why, "reason": r.reason, "remarks": list(r.remarks), "ended_at": _at(r.ended_at),
            "carrier": self.carrier.person, "carrier_by": self.carrier.by, **self.more,
        }  # fmt: skip


def _at(at: datetime | None) -> str | None:
    return None if at is None else stamp(at)


def storage_of(conn: Connection, rules: Rules, recordings: Sequence[str]) -> list[Ruled]:
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
        own = limits.carrier_of(rows, people, moves, told.get(name, {}), dated.get(name), rules.zone)
        owners.append((name, rows, own))
    trips = bureau.trips_of(conn, {who for _, rows, own in owners for who in _whose(rows, own)})
    for name, rows, own in owners:
        mine = [trip for who in sorted(_whose(rows, own)) for trip in trips.get(who, ())]
        unique = tuple({trip.id: trip for trip in mine}.values())
        marked = words.get((name, "receipt"))
        facts.append(
            (
                Recorded(
                    subject=name,
                    parts=_parts(rows, dated.get(name), moves.get(rows[0].recorder_id or "", [])),
                    channel=rows[0].channel,
                    trips=unique,
                    docked=_docked(conn, rows[0].source, rows[0].recorder_id, own, moves, unique) if unique else (),
                    receipt=Receipt(marked["receipt"], datetime.fromisoformat(marked["at"])) if marked else None,
                    legacy=rows[0].channel == "legacy",
                ),
                own,
            )
        )
    return [Ruled(storage(fact, rules.storage), own).against(stands) for fact, own in facts]


def _whose(rows: Sequence[Any], own: Carrier) -> set[str]:
    """Those whose trips count: the carrier, who had the recorder, and the recorder itself."""
    return {who for who in (own.person, own.assigned, rows[0].recorder_id) if who}


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
    conn: Connection,
    source: str,
    recorder: str | None,
    own: Carrier,
    moves: Mapping[str, Sequence[Move]],
    trips: Sequence[Trip],
) -> tuple[datetime, ...]:
    """When this recorder, or another one that its carrier had, was docked since they left."""
    left = min(v.left for trip in trips for v in trip.versions)
    theirs = {
        m.recorder for each in moves.values() for m in each if m.carrier and m.carrier in (own.person, own.assigned)
    }
    sources = assembly.sources_of(conn, source, recorder)
    found = limits.dockings_of(conn, sources, theirs | ({recorder} if recorder else set()), stamp(left))
    return tuple(datetime.fromisoformat(row.opened_at) for row in found)


def seen_of(conn: Connection, rules: Rules, dockings: Iterable[str]) -> list[Ruled]:
    """Files that were seen on a recorder and did not come: each is due by the time of its last write. What came later under the
    same name is met by that."""
    rows = [(docking, row) for docking in dockings for row in limits.seen_only(conn, docking)]
    if not rows:
        return []
    people, moves = bureau.people(conn), bureau.moves(conn)
    found = []
    for docking, row in rows:
        zones = json.loads(row.zones)
        ended = from_ns(row.mtime_ns, ZoneInfo(zones[row.volume]) if row.volume in zones else None)
        own = carriers.carrier(
            row.officer, day_of(ended, rules.zone), ended, people, moves.get(row.recorder_id or "", ())
        )
        whose = {who for who in (own.person, own.assigned, row.recorder_id) if who}
        trips = {t.id: t for each in bureau.trips_of(conn, whose).values() for t in each}
        stored = datetime.fromisoformat(row.stored_at) if row.stored_at else None
        facts = Recorded(
            subject=seen_id(row.recorder, row.volume, row.path, row.size, row.mtime_ns),
            parts=(Part(ended, stored, estimated=True),), channel=row.channel, trips=tuple(trips.values()),
            docked=_docked(conn, row.recorder, row.recorder_id, own, moves, tuple(trips.values())) if trips else (),
        )  # fmt: skip
        more = {
            "docking": docking,
            "path": printable(row.path),
            "recording": row.asset.replace("ast-", "rec-") if row.asset else "",
        }
        found.append(Ruled(storage(facts, rules.storage), own, more))
    stands = limits.rulings(conn, [each.ruling.subject for each in found])
    return [each.against(stands) for each in found]


def seen_id(source: str, volume: str, path: bytes, size: int, mtime_ns: int) -> str:
    """What a file on a recorder is called before it is an asset: the same at each docking, as long as it is the same file."""
    return named_id("fil", "file", "\0".join((source, volume, path.hex(), str(size), str(mtime_ns))))


def cases_of(conn: Connection, rules: Rules, cases: Sequence[str]) -> list[Ruled]:
    """The limits of cases. What has none any more keeps its ruling as one that is not applicable."""
    found = [
        Ruled(ruling, _NOBODY)
        for case in bureau.cases(conn, cases)
        for ruling in rulings_of_case(case, rules.cases, rules.zone)
    ]
    stands = limits.rulings(conn, cases)
    ruled = {(each.ruling.rule, each.ruling.subject) for each in found}
    for (rule, subject), body in stands.items():
        if (rule, subject) not in ruled and body["state"] != "not-applicable":
            found.append(Ruled(Ruling(rule, subject, "not-applicable", None, None, "not-begun"), _NOBODY))
    return [each.against(stands) for each in found]


def run(ledger: Ledger, rules: Rules, subjects: Sequence[str]) -> int:
    """Rule on subjects, and record what is new of it, some at a time; returns how much was."""
    recorded = 0
    for some in chunks(subjects):
        with ledger.catalog.read() as conn:
            ruled = rule_on(conn, rules, some)
        drafts = [Draft("deadline.ruled", each.ruling.subject, each.body()) for each in ruled if not each.same]
        if drafts:
            ledger.record(drafts)
        recorded += len(drafts)
    return recorded


def rule_on(conn: Connection, rules: Rules, subjects: Iterable[str]) -> list[Ruled]:
    """All rulings of these subjects by what is known now. Writes nothing."""
    kinds: dict[str, set[str]] = {"rec": set(), "cas": set(), "dck": set()}
    seen: set[str] = set()
    for subject in subjects:
        if subject.startswith("fil-"):
            seen.add(subject)
        elif subject[:3] in kinds:
            kinds[subject[:3]].add(subject)
    dockings = kinds["dck"] | {body["docking"] for body in limits.rulings(conn, seen).values()}
    kinds["rec"] |= set(limits.recordings_of_dockings(conn, sorted(kinds["dck"])))
    return [
        *storage_of(conn, rules, sorted(kinds["rec"])),
        *seen_of(conn, rules, sorted(dockings)),
        *cases_of(conn, rules, sorted(kinds["cas"])),
    ]
