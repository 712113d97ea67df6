"""What the registers hold: people, departments, moves of recorders, trips, cases."""

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, exists, func, or_, select

from mediad.catalog import bureau_tables as b
from mediad.catalog import tables as t
from mediad.catalog.chunks import chunks
from mediad.model import registers
from mediad.model.cases import Case
from mediad.model.instants import stamp
from mediad.model.numbers import number_key
from mediad.model.people import Person
from mediad.model.registers import Department, Move, TripEntry
from mediad.model.trips import Trip


def people(conn: Connection) -> list[Person]:
    """Everybody, in the order of ids. A bureau has hundreds, not millions."""
    rows = conn.execute(select(b.person.c.id, b.person.c.detail).order_by(b.person.c.id))
    return [registers.person_of(row.id, json.loads(row.detail)) for row in rows]


def person(conn: Connection, person_id: str) -> Person | None:
    detail = conn.execute(select(b.person.c.detail).where(b.person.c.id == person_id)).scalar()
    return None if detail is None else registers.person_of(person_id, json.loads(detail))


def person_at(conn: Connection, login: str) -> Person | None:
    """Whose account it is."""
    found = conn.execute(select(b.person_login.c.person).where(b.person_login.c.login == login)).scalar()
    return None if found is None else person(conn, found)


def departments(conn: Connection) -> list[Department]:
    rows = conn.execute(select(b.department).order_by(b.department.c.name, b.department.c.id))
    return [Department(row.id, row.name, row.unit, row.active) for row in rows]


def recorder_names(conn: Connection) -> dict[str, str]:
    """Label, name and serial of each registered recorder to its id; what names two of them names none."""
    found: dict[str, str] = {}
    twice: set[str] = set()
    rows = list(conn.execute(select(t.recorder.c.id, t.recorder.c.label, t.recorder.c.name)))
    named = [(name, row.id) for row in rows for name in (row.id, row.label, row.name)]
    named += [(key.partition(":")[2], recorder) for key, recorder in conn.execute(select(t.recorder_key))]
    for name, recorder in named:
        if name and found.setdefault(name, recorder) != recorder:
            twice.add(name)
    return {name: recorder for name, recorder in found.items() if name not in twice}


def keys_of(conn: Connection, recorder: str) -> set[str]:
    """The keys of a registered recorder."""
    return set(conn.execute(select(t.recorder_key.c.key).where(t.recorder_key.c.recorder == recorder)).scalars())


def moves(conn: Connection, recorders: Collection[str] | None = None) -> dict[str, list[Move]]:
    """What became of recorders, each in the order in which it was so; of all of them, or of some."""
    m = b.recorder_move.c
    query = select(m.recorder, m.detail).order_by(m.recorder, m.at, m.seq)
    found: dict[str, list[Move]] = {}
    for chunk in [None] if recorders is None else chunks(sorted(recorders)):
        for row in conn.execute(query if chunk is None else query.where(m.recorder.in_(chunk))):
            found.setdefault(row.recorder, []).append(registers.move_of(row.recorder, json.loads(row.detail)))
    return found


def moves_between(conn: Connection, recorder: str, first: datetime, last: datetime | None) -> list[Move]:
    """What became of a recorder in a time, in its order, both ends included; without an end until now."""
    m = b.recorder_move.c
    query = select(m.detail).where(m.recorder == recorder, m.at >= stamp(first)).order_by(m.at, m.seq)
    rows = conn.execute(query if last is None else query.where(m.at <= stamp(last)))
    return [registers.move_of(recorder, json.loads(row.detail)) for row in rows]


class Outs:
    """Who had a recorder at a moment. Each stretch between two moves is asked for once."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._known: dict[str, list[tuple[str, str, str]]] = {}

    def had(self, recorder: str | None, at: datetime) -> str:
        """Who had it then; empty if it was at the unit, lost or broken, or nobody said."""
        if recorder is None:
            return ""
        when, stretches = stamp(at), self._known.setdefault(recorder, [])
        for first, end, had in stretches:
            if first <= when and (not end or when < end):
                return had
        m = b.recorder_move.c
        query = select(m.at, m.state, m.carrier).where(m.recorder == recorder, m.at <= when)
        last = self._conn.execute(query.order_by(m.at.desc(), m.seq.desc()).limit(1)).first()
        following = select(func.min(m.at)).where(m.recorder == recorder, m.at > when)
        end = self._conn.execute(following).scalar() or ""
        had = last.carrier if last is not None and last.state == "issued" else ""
        stretches.append((last.at if last else "", end, had))
        return had


def brought(conn: Connection, dockings: Collection[str]) -> dict[str, str]:
    """Docking to who had had the recorder that was docked."""
    n = b.brought.c
    query = select(n.docking, n.person)
    return {
        row.docking: row.person
        for chunk in chunks(sorted(dockings))
        for row in conn.execute(query.where(n.docking.in_(chunk)))
    }


def trips(conn: Connection, ids: Collection[str] | None = None) -> list[TripEntry]:
    """Every trip, or some, as it was entered last, by when they left."""
    k = b.trip.c
    query = select(k.id, k.detail).order_by(k.left, k.id)
    some = [query] if ids is None else [query.where(k.id.in_(chunk)) for chunk in chunks(sorted(ids))]
    return [registers.trip_of(row.id, json.loads(row.detail)) for each in some for row in conn.execute(each)]


def newest_trips(conn: Connection, *, still_open: bool = False) -> list[str]:
    """Ids of trips, or of those that nobody has come back from, the last to leave first."""
    k = b.trip.c
    query = select(k.id).order_by(k.left.desc(), k.id)
    return list(conn.scalars(query.where(k.returned.is_(None), k.void.is_(False)) if still_open else query))


def trip(conn: Connection, trip_id: str) -> TripEntry | None:
    detail = conn.execute(select(b.trip.c.detail).where(b.trip.c.id == trip_id)).scalar()
    return None if detail is None else registers.trip_of(trip_id, json.loads(detail))


def trip_times(
    conn: Connection, who: Iterable[str], first: datetime, last: datetime
) -> dict[str, list[tuple[str, str, str | None]]]:
    """Person or recorder to their trips of a time (both ends included): each with its id and the time (since, until; None: it may
    not have ended) in which it lies, whichever of its versions counts."""
    o, k = b.trip_of.c, b.trip.c
    query = select(o.who, o.trip, k.since, k.until).join(b.trip, k.id == o.trip)
    query = query.where(k.since <= stamp(last), or_(k.until.is_(None), k.until >= stamp(first)))
    found: dict[str, list[tuple[str, str, str | None]]] = {}
    for chunk in chunks(sorted(set(who))):
        for person, trip, since, until in conn.execute(query.where(o.who.in_(chunk)).order_by(k.since, o.trip)):
            found.setdefault(person, []).append((trip, since, until))
    return found


def trips_by_id(conn: Connection, ids: Collection[str]) -> dict[str, Trip]:
    """Trips with all that was ever entered of them."""
    v = b.trip_version.c
    entered: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for chunk in chunks(sorted(ids)):
        for row in conn.execute(select(v.trip, v.at, v.detail).where(v.trip.in_(chunk)).order_by(v.seq)):
            entered.setdefault(row.trip, []).append((row.at, json.loads(row.detail)))
    return {trip_id: registers.versions(trip_id, entries) for trip_id, entries in sorted(entered.items())}


def case(conn: Connection, case_id: str) -> Case | None:
    detail = conn.execute(select(b.casefile.c.detail).where(b.casefile.c.id == case_id)).scalar()
    return None if detail is None else registers.case_of(case_id, json.loads(detail))


def case_by_number(conn: Connection, number: str) -> Case | None:
    """The case that has a number, however it is written; also by its id."""
    found = conn.execute(select(b.case_number.c.casefile).where(b.case_number.c.key == number_key(number))).scalar()
    return case(conn, found or number)


def numbers_like(conn: Connection, number: str, most: int = 3) -> list[str]:
    """Numbers of cases that begin as one does, such as without its 号."""
    key = b.case_number.c.key
    begins = number_key(number)
    query = select(key).where(key.startswith(begins, autoescape=True)).order_by(key).limit(most)
    return list(conn.scalars(query)) if begins else []


def cases(conn: Connection, ids: Collection[str] | None = None) -> list[Case]:
    """All cases, or some, by id."""
    c = b.casefile.c
    query = select(c.id, c.detail).order_by(c.id)
    some = [query] if ids is None else [query.where(c.id.in_(chunk)) for chunk in chunks(sorted(ids))]
    return [registers.case_of(row.id, json.loads(row.detail)) for each in some for row in conn.execute(each)]


def told_of(conn: Connection, kind: str, subject: str) -> list[Mapping[str, Any]]:
    """All that events of a kind ever said of a subject, the newest last."""
    c = t.custody.c
    query = select(c.detail).where(c.subject == subject, c.kind == kind).order_by(c.seq)
    return [json.loads(detail) for detail in conn.scalars(query)]


def newest_cases(conn: Connection) -> list[str]:
    """Ids of all cases, the last to be opened first, and those last of which nobody said when."""
    c = b.casefile.c
    return list(conn.scalars(select(c.id).order_by(c.opened.desc().nulls_last(), c.id)))


def imported(conn: Connection, import_id: str) -> dict[str, Any] | None:
    """How a table was imported, or refused; None if it was not."""
    detail = conn.execute(select(b.imported.c.detail).where(b.imported.c.id == import_id)).scalar()
    return None if detail is None else dict(json.loads(detail))


def not_all_taken(conn: Connection, limit: int) -> list[dict[str, Any]]:
    """Tables of which a line was bad, the newest first: each as it was imported last under its name."""
    i = b.imported.c
    newer = b.imported.alias()
    again = exists().where(newer.c.what == i.what, newer.c.name == i.name, newer.c.at > i.at)
    query = select(i.id, i.at, i.detail).where(i.bad > 0, ~again).order_by(i.at.desc(), i.id).limit(limit)
    return [{"id": row.id, "at": row.at, **json.loads(row.detail)} for row in conn.execute(query)]


def imports(conn: Connection, limit: int) -> list[dict[str, Any]]:
    """The newest imports first."""
    i = b.imported.c
    rows = conn.execute(select(i.id, i.at, i.detail).order_by(i.at.desc(), i.id).limit(limit))
    return [{"id": row.id, "at": row.at, **json.loads(row.detail)} for row in rows]
