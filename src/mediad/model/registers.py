"""Registers as plain JSON, the way events hold them: people, departments, moves of recorders, trips, cases. Whole states, no
changes.

What was written by a newer program may hold more than is known here; that is left alone. What is missing has its default.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Literal

from mediad.model.cases import Archived, Case, CaseKind, Numbered
from mediad.model.instants import stamp, stamped
from mediad.model.people import Dated, Person, Role
from mediad.model.trips import Trip, Version

RecorderState = Literal["issued", "returned", "lost", "broken"]
RECORDER_STATES: Final[tuple[RecorderState, ...]] = ("issued", "returned", "lost", "broken")


@dataclass(frozen=True, slots=True)
class Department:
    """``unit`` is its own producing unit (制作单位), such as an entrusted body (委托执法机构); empty: the station's."""

    id: str
    name: str
    unit: str = ""
    active: bool = True


@dataclass(frozen=True, slots=True)
class Move:
    """What became of a recorder at ``at``: handed out to ``carrier`` and expected back, returned, lost or broken (with what was
    on it, as far as anybody knows)."""

    recorder: str
    state: RecorderState
    at: datetime
    carrier: str = ""
    expected: datetime | None = None
    why: str = ""
    presumed: str = ""


def hand_out(recorder: str, at: str) -> str:
    """What a hand-out of a recorder is called, by when it was (a stamp): each has a limit of its own."""
    return f"{recorder}@{at}"


def handed_out(subject: str) -> str:
    """The recorder of a hand-out; what is none is left as it is."""
    return subject.partition("@")[0]


def out_at(subject: str) -> str:
    """When the recorder of a hand-out was handed out, as a stamp."""
    return subject.partition("@")[2]


@dataclass(frozen=True, slots=True)
class TripEntry:
    """A trip as it is entered: whose it is, and when."""

    id: str
    persons: frozenset[str]
    recorders: frozenset[str]
    left: datetime
    expected: datetime
    returned: datetime | None
    reason: str
    void: bool = False
    approved_by: str = ""


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


# --- people -------------------------------------------------------------------------------------------------------------


def person_json(person: Person) -> dict[str, Any]:
    return {
        "key": person.key, "name": person.name, "department": person.department, "roles": sorted(person.roles),
        "logins": sorted(person.logins), "position": person.position, "shared": person.shared, "active": person.active,
        "certificates": _dated_json(person.certificates), "device_numbers": _dated_json(person.device_numbers),
        "mail": person.mail, "wecom": person.wecom, "dingtalk": person.dingtalk,
    }  # fmt: skip


def person_of(person_id: str, body: Mapping[str, Any]) -> Person:
    return Person(
        id=person_id, key=body["key"], name=body["name"], department=body.get("department", ""),
        roles=frozenset(Role(r) for r in body.get("roles", ()) if r in set(Role)), logins=frozenset(body.get("logins", ())),
        position=body.get("position", ""), shared=body.get("shared", False), active=body.get("active", True),
        certificates=_dated_of(body.get("certificates", ())), device_numbers=_dated_of(body.get("device_numbers", ())),
        mail=body.get("mail", ""), wecom=body.get("wecom", ""), dingtalk=body.get("dingtalk", ""),
    )  # fmt: skip


def _dated_json(numbers: Iterable[Dated]) -> list[dict[str, Any]]:
    return [
        {
            "number": d.number,
            "from": d.start.isoformat() if d.start else None,
            "until": d.until.isoformat() if d.until else None,
        }
        for d in numbers
    ]


def _dated_of(numbers: Iterable[Mapping[str, Any]]) -> tuple[Dated, ...]:
    return tuple(Dated(n["number"], _day(n.get("from")), _day(n.get("until"))) for n in numbers)


def department_json(department: Department) -> dict[str, Any]:
    return {"name": department.name, "unit": department.unit, "active": department.active}


def department_of(department_id: str, body: Mapping[str, Any]) -> Department:
    return Department(department_id, body["name"], body.get("unit", ""), body.get("active", True))


# --- recorders and trips ------------------------------------------------------------------------------------------------


def move_json(move: Move) -> dict[str, Any]:
    return {
        "state": move.state, "at": stamp(move.at), "carrier": move.carrier, "expected": stamped(move.expected),
        "why": move.why, "presumed": move.presumed,
    }  # fmt: skip


def move_of(recorder: str, body: Mapping[str, Any]) -> Move:
    return Move(
        recorder, body["state"], datetime.fromisoformat(body["at"]), body.get("carrier", ""), _instant(body.get("expected")),
        body.get("why", ""), body.get("presumed", ""),
    )  # fmt: skip


def move_from(recorder: str, state: RecorderState, at: str, carrier: str) -> Move:
    """The same, as far as the columns of the table say it."""
    return Move(recorder, state, datetime.fromisoformat(at), carrier)


def trip_json(trip: TripEntry) -> dict[str, Any]:
    return {
        "persons": sorted(trip.persons), "recorders": sorted(trip.recorders), "left": stamp(trip.left),
        "expected": stamp(trip.expected), "returned": stamped(trip.returned), "reason": trip.reason, "void": trip.void,
        "approved_by": trip.approved_by,
    }  # fmt: skip


def trip_of(trip_id: str, body: Mapping[str, Any]) -> TripEntry:
    return TripEntry(
        trip_id, frozenset(body["persons"]), frozenset(body.get("recorders", ())), datetime.fromisoformat(body["left"]),
        datetime.fromisoformat(body["expected"]), _instant(body.get("returned")), body.get("reason", ""),
        body.get("void", False), _agreed(body),
    )  # fmt: skip


def _agreed(body: Mapping[str, Any]) -> str:
    """The approver who agreed to a trip as it was entered: with an approval of its own; or by signing for the entry, if that wants
    an approver and they were not on the trip."""
    signer = body.get("signed", {}).get("approver", "")
    return str(body.get("approved_by") or ("" if signer in body["persons"] else signer))


def versions(trip_id: str, entries: Iterable[tuple[str, Mapping[str, Any]]]) -> Trip:
    """All that was ever entered of a trip: when, and what. An approval is an entry of its own, which says the same once more."""
    found: list[Version] = []
    reason = ""
    for at, body in entries:
        entry = trip_of(trip_id, body)
        reason = entry.reason
        found.append(
            Version(
                datetime.fromisoformat(at),
                entry.left,
                entry.expected,
                entry.returned,
                bool(entry.approved_by),
                entry.void,
                entry.persons | entry.recorders,
            )
        )
    return Trip(trip_id, reason, tuple(found))


# --- cases --------------------------------------------------------------------------------------------------------------


def case_json(case: Case) -> dict[str, Any]:
    a = case.archived
    return {
        "form": case.form, "kind": case.kind.value, "numbers": [{"type": n.type, "number": n.number} for n in case.numbers],
        "name": case.name, "party": case.party, "handlers": sorted(case.handlers), "department": case.department,
        "opened": stamped(case.opened), "urgent": case.urgent, "reported": stamped(case.reported),
        "act_ended": stamped(case.act_ended), "concluded": stamped(case.concluded), "merged_into": case.merged_into,
        "archived": None if a is None else {
            "at": stamp(a.at), "file_number": a.file_number, "term": a.term, "place": a.place, "receiver": a.receiver,
            "manifest": a.manifest,
        },
    }  # fmt: skip


def case_of(case_id: str, body: Mapping[str, Any]) -> Case:
    a = body.get("archived")
    return Case(
        id=case_id, form=body["form"], kind=CaseKind(body["kind"]),
        numbers=tuple(Numbered(n["type"], n["number"]) for n in body["numbers"]), name=body["name"],
        party=body.get("party", ""), handlers=frozenset(body.get("handlers", ())), department=body.get("department", ""),
        opened=_instant(body.get("opened")), urgent=body.get("urgent", False), reported=_instant(body.get("reported")),
        act_ended=_instant(body.get("act_ended")), concluded=_instant(body.get("concluded")),
        archived=None if a is None else Archived(
            datetime.fromisoformat(a["at"]), a["file_number"], a["term"], a["place"], a["receiver"], a["manifest"]
        ),
        merged_into=body.get("merged_into", ""),
    )  # fmt: skip
