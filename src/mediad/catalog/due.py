"""What is due per stage, who works on it, and how often that was tried. No facts.

A row comes with the fact that makes it due (``record.becomes_due``) and goes with the answer. Its owner is a lock file that the
worker's process holds: a killed worker's rows are nobody's at once. Tries are counted, and the next one put off, when work begins:
something that kills its worker each time waits like any other failure.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, delete, exists, false, func, or_, select, update

from mediad.catalog import tables as t
from mediad.catalog.record import becomes_due
from mediad.model.backoff import MOST
from mediad.model.instants import stamp

PROBE, ASSEMBLE, PHOTO, PREVIEW = STAGES = ("probe", "assemble", "photo", "preview")
"""``photo`` is the preview of photos, many at a time."""


def owners(conn: Connection) -> set[str]:
    """Workers that have taken something."""
    return set(conn.execute(select(t.due.c.owner).where(t.due.c.owner.is_not(None)).distinct()).scalars())


def waiting(
    conn: Connection,
    stage: str,
    now: datetime,
    *,
    live: Collection[str],
    limit: int,
    patient: bool = True,
    only: Collection[str] | None = None,
    without: Collection[str] = (),
) -> list[Row[Any]]:
    """What is due and nobody's, the oldest first. ``live`` are the owners that hold their lock; ``patient``: leave alone what a
    failure has put off; ``only`` and ``without`` narrow it to some subjects."""
    d = t.due.c
    query = select(t.due).where(d.stage == stage, or_(d.owner.is_(None), d.owner.not_in(live)))
    if patient:
        # What is put off for longer than anything ever is, was so by a clock that was ahead then.
        query = query.where(or_(d.not_before <= stamp(now), d.not_before > stamp(now + MOST)))
    if stage == ASSEMBLE:
        query = query.where(_whole(live))
    if only is not None:
        query = query.where(d.subject.in_(only))
    rows = conn.execute(query.order_by(d.since, d.subject).limit(limit + len(without)))
    return [row for row in rows if row.subject not in without][:limit]


def take(
    conn: Connection, rows: Iterable[Row[Any]], owner: str, now: datetime, put_off: Callable[[int], timedelta]
) -> list[Row[Any]]:
    """Take what was seen to be ``waiting``, but for what somebody else has taken since; returns what was taken. Should the owner
    die, it is due again after ``put_off(tries)``: what kills its worker must not do so again and again."""
    d = t.due.c
    taken = []
    for row in rows:
        tries = row.tries + 1
        same = and_(d.stage == row.stage, d.subject == row.subject, d.tries == row.tries, d.since == row.since)
        free = d.owner.is_(None) if row.owner is None else d.owner == row.owner
        values = {"owner": owner, "tries": tries, "not_before": stamp(now + put_off(tries))}
        if conn.execute(update(t.due).where(same, free).values(**values)).rowcount == 1:
            taken.append(row)
    return taken


def _whole(live: Collection[str]) -> ColumnElement[bool]:
    """A docking is assembled when it is closed and nothing of it is being probed or waits for its first probe: takes are then
    found once, not piece by piece."""
    d, first, a = t.due.c, t.due.alias(), t.asset.c
    closed = exists().where(and_(t.docking.c.id == d.subject, t.docking.c.state != "open"))
    fresh = exists().where(
        first.c.stage == PROBE, a.id == first.c.subject, a.docking == d.subject,
        or_(first.c.tries == 0, first.c.owner.in_(live)),
    )  # fmt: skip
    return and_(closed, ~fresh)


def done(conn: Connection, stage: str, subject: str, owner: str) -> bool:
    """It is answered; False if it became due anew meanwhile, or is somebody else's by now."""
    d = t.due.c
    gone = conn.execute(delete(t.due).where(d.stage == stage, d.subject == subject, d.owner == owner))
    return gone.rowcount == 1


def later(conn: Connection, stage: str, subject: str, owner: str, at: datetime, why: str) -> None:
    """It could not be done now, for no fault of its own."""
    d = t.due.c
    mine = and_(d.stage == stage, d.subject == subject, d.owner == owner)
    conn.execute(update(t.due).where(mine).values(owner=None, not_before=stamp(at), why=why))


def give_back(conn: Connection, owner: str, subjects: Collection[str] | None = None) -> None:
    """A worker ends: what it had taken and not answered, or some of it, is as if it had never been taken."""
    d = t.due.c
    tries = case((d.tries > 0, d.tries - 1), else_=0)
    mine = d.owner == owner if subjects is None else and_(d.owner == owner, d.subject.in_(subjects))
    conn.execute(update(t.due).where(mine).values(owner=None, tries=tries, not_before=""))


def drop(conn: Connection, stages: Collection[str]) -> None:
    """Nothing of these stages is wanted here; ``refill`` brings it back when it is."""
    conn.execute(delete(t.due).where(t.due.c.stage.in_(stages)))


def again(conn: Connection, stage: str, subjects: Sequence[str], at: datetime) -> None:
    """Make something due (again) because somebody asked for it."""
    becomes_due(conn, stage, [(s, stamp(at)) for s in subjects])


def every_preview(conn: Connection, at: datetime) -> None:
    """Make the preview of every recording due because somebody asked for it: what is there and right is then taken as it is."""
    r = t.recording.c
    for stage, kinds in ((PHOTO, ("photo",)), (PREVIEW, ("video", "audio"))):
        query = select(r.id).where(r.provisional.is_(False), r.kind.in_(kinds))
        again(conn, stage, list(conn.execute(query).scalars()), at)


def left(conn: Connection, only: Mapping[str, Collection[str]] | None = None) -> dict[str, int]:
    """Per stage how many are due, taken or not; of those in ``only`` alone, if it is given."""
    d = t.due.c
    query = select(d.stage, func.count()).group_by(d.stage)
    if only is not None:
        query = query.where(
            or_(false(), *(and_(d.stage == stage, d.subject.in_(some)) for stage, some in only.items()))
        )
    return {row[0]: row[1] for row in conn.execute(query)}


def backlog(conn: Connection) -> dict[str, tuple[int, int, str]]:
    """Per stage: how many are due, how many of them were tried and put off, and since when the oldest waits."""
    d = t.due.c
    tried = func.sum(case((d.tries > 0, 1), else_=0))
    rows = conn.execute(select(d.stage, func.count(), tried, func.min(d.since)).group_by(d.stage))
    return {row[0]: (row[1], int(row[2] or 0), row[3]) for row in rows}


def failing(conn: Connection, limit: int = 20) -> list[Row[Any]]:
    """What was tried and could not be done, with the reason, the most tried first."""
    d = t.due.c
    query = select(t.due).where(d.tries > 0, d.why != "").order_by(d.tries.desc(), d.subject).limit(limit)
    return list(conn.execute(query))


def missing(conn: Connection) -> list[tuple[str, list[tuple[str, str]]]]:
    """Per stage what the facts say is due and is not among the rows, with since when: nothing, unless somebody deleted rows."""
    a, p, s, k, d = t.asset.c, t.probe.c, t.timing.c, t.docking.c, t.due.c
    r, v = t.recording.c, t.preview.c
    unprobed = select(a.id, a.stored_at).where(~exists().where(p.asset == a.id))
    untimed = select(k.id, k.closed_at).where(
        k.closed_at.is_not(None), exists().where(a.docking == k.id, ~exists().where(s.asset == a.id))
    )
    unseen = select(r.id, r.started_at).where(r.provisional.is_(False), ~exists().where(v.recording == r.id))
    photos, films = unseen.where(r.kind == "photo"), unseen.where(r.kind.in_(("video", "audio")))
    queries = ((PROBE, a.id, unprobed), (ASSEMBLE, k.id, untimed), (PHOTO, r.id, photos), (PREVIEW, r.id, films))
    found = []
    for stage, subject, query in queries:
        absent = query.where(~exists().where(d.stage == stage, d.subject == subject))
        if rows := [(row[0], row[1]) for row in conn.execute(absent)]:
            found.append((stage, rows))
    return found


def refill(conn: Connection) -> None:
    """Put back what is ``missing``."""
    for stage, rows in missing(conn):
        becomes_due(conn, stage, rows)
