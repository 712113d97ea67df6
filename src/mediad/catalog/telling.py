"""What people may have to be told of, what they were told, and what could not be told yet."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, or_, select

from mediad.catalog import bureau
from mediad.catalog import bureau_tables as b
from mediad.catalog import tables as t
from mediad.catalog.apply import upsert
from mediad.catalog.chunks import chunks
from mediad.catalog.due import NOTIFY
from mediad.catalog.recorded import Proofs
from mediad.model import registers, trips
from mediad.model.instants import stamp


def pressing(conn: Connection, since: str, until: str) -> list[Row[Any]]:
    """Rulings with a limit in that time that are not met, or were met late and nobody said in writing why; and those that nobody
    can work out, since when they are so."""
    d, c = b.deadline.c, t.custody.c
    columns = (d.rule, d.subject, d.state, d.due_at, d.ended_at, d.carrier, d.detail)
    known = select(*columns).where(
        or_(
            and_(d.state == "waiting", d.due_at >= since, d.due_at <= until),
            and_(d.state == "late", d.justified.is_(False), d.due_at >= since, d.due_at <= until),
        )
    )
    ruled = (
        select(func.max(c.at))
        .where(c.subject == d.subject, c.kind == "deadline.ruled")
        .correlate(b.deadline)
        .scalar_subquery()
    )
    unknown = select(d.rule, d.subject, d.state, ruled.label("due_at"), d.ended_at, d.carrier, d.detail).where(
        d.state == "untrusted", ruled >= since
    )
    return [*conn.execute(known), *conn.execute(unknown)]


def recorder_of(conn: Connection, subjects: Collection[str]) -> dict[str, str]:
    """Recording, docking or recorder to the label of the recorder."""
    found: dict[str, str] = {}
    for table in (t.recording, t.docking, t.recorder):
        for chunk in chunks(sorted(subjects)):
            rows = conn.execute(select(table.c.id, table.c.label).where(table.c.id.in_(chunk)))
            found |= {row.id: row.label for row in rows}
    return found


def cases_of(conn: Connection, cases: Sequence[str]) -> dict[str, tuple[str, frozenset[str]]]:
    """Case to its department and its handlers."""
    c, h = b.casefile.c, b.case_handler.c
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for chunk in chunks(sorted(cases)):
        handlers: dict[str, set[str]] = {}
        for row in conn.execute(select(h.casefile, h.person).where(h.casefile.in_(chunk))):
            handlers.setdefault(row.casefile, set()).add(row.person)
        for row in conn.execute(select(c.id, c.department).where(c.id.in_(chunk))):
            found[row.id] = (row.department, frozenset(handlers.get(row.id, ())))
    return found


def away(conn: Connection, since: str, until: str) -> list[tuple[str, str, frozenset[str]]]:
    """Trips that were to end in that time and have not, as far as anybody knows: id, when, and whose. A docking of a recorder of
    theirs since they left shows that they are back."""
    c = b.trip.c
    late = select(c.id, c.detail).where(
        c.returned.is_(None), c.void.is_(False), c.expected >= since, c.expected <= until
    )
    entered = {row.id: registers.trip_of(row.id, json.loads(row.detail)) for row in conn.execute(late.order_by(c.id))}
    versions, proofs = bureau.trips_by_id(conn, list(entered)), Proofs(conn)
    found = []
    for trip in entered.values():
        whole = versions[trip.id]
        theirs = [
            *proofs.of([whole], trip.persons),
            *(at for r in trip.recorders for at in proofs.of([whole], (), recorder=r)),
        ]
        if trips.back(whole.versions[-1], theirs)[0] is None:
            found.append((trip.id, stamp(trip.expected), trip.persons))
    return found


def untagged(conn: Connection, since: str, until: str) -> list[Row[Any]]:
    """Recordings that want a case and have none since some time: their recorder, when they ended, and who carried it."""
    u, r, d = b.untagged.c, t.recording.c, b.deadline.c
    query = (
        select(u.recording, u.since, r.label, r.ended_at, func.max(d.carrier).label("carrier"))
        .join(t.recording, r.id == u.recording)
        .join(b.deadline, d.subject == u.recording, isouter=True)
        .where(u.exempt.is_(False), u.since >= since, u.since <= until)
        .group_by(u.recording, u.since, r.label, r.ended_at)
    )
    return list(conn.execute(query))


def told(conn: Connection, subjects: Collection[str], way: str) -> Iterator[tuple[str, str, str, str, int]]:
    """What was told of these subjects in one way: person, rule, subject, limit, newest step."""
    c = b.told.c
    for chunk in chunks(sorted(subjects)):
        query = select(c.person, c.rule, c.subject, c.limit_at, c.step).where(c.subject.in_(chunk), c.way == way)
        for row in conn.execute(query):
            yield row.person, row.rule, row.subject, row.limit_at, row.step


# --- what could not be told: no facts -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that could not be told: how often it was tried, when it is tried again, and why it could not be."""

    tries: int
    not_before: str
    why: str


def failures(conn: Connection) -> dict[str, Failure]:
    """Way, or person and way, to what keeps it back."""
    d = t.due.c
    rows = conn.execute(select(d.subject, d.tries, d.not_before, d.why).where(d.stage == NOTIFY))
    return {row.subject: Failure(row.tries, row.not_before, row.why) for row in rows}


def failed(conn: Connection, subject: str, since: str, again: str, tries: int, why: str) -> None:
    row = {
        "stage": NOTIFY,
        "subject": subject,
        "since": since,
        "tries": tries,
        "not_before": again,
        "owner": None,
        "why": why,
    }
    upsert(conn, t.due, [row], keep=["since"])


def worked(conn: Connection, subjects: Collection[str]) -> None:
    """These could be told, or need not be any more."""
    d = t.due.c
    for chunk in chunks(sorted(subjects)):
        conn.execute(delete(t.due).where(d.stage == NOTIFY, d.subject.in_(chunk)))


def docking_of(detail: str) -> str:
    """The docking that a ruling of a file that was only seen names."""
    return str(json.loads(detail).get("docking", ""))
