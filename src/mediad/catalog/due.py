"""What is due per stage, who works on it, and how often that was tried. No facts.

A row comes with the fact that makes it due (``apply.becomes_due``) and goes with the answer. Its owner is a lock file that the
worker's process holds: a killed worker's rows are nobody's at once. Tries are counted, and the next one put off, when work begins:
something that kills its worker each time waits like any other failure.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, and_, case, delete, exists, func, literal, or_, select, update

from mediad.catalog import bureau_tables as b
from mediad.catalog import tables as t
from mediad.catalog.apply import becomes_due
from mediad.catalog.chunks import chunks
from mediad.catalog.db import Catalog
from mediad.model import registers
from mediad.model.backoff import MOST
from mediad.model.deadline import SIGNATURE
from mediad.model.instants import stamp

PROBE, ASSEMBLE, PHOTO, PREVIEW = STAGES = ("probe", "assemble", "photo", "preview")
"""What the second daemon does, in its sandbox. ``photo`` is the preview of photos, many at a time."""

RULE, MATCH = BUREAU = ("rule", "match")
"""What the first daemon does beside its dockings: limits, and cases of recordings."""

TO_SIGN = "sig-"
"""Before the id of a docking: whether its hand-over is signed, and nothing else of it."""

OUT = "out-"
"""Of recorders that were handed out."""

NOTIFY = "notify"
"""What could not be told, by way, or by person and way: when it is tried again, and why."""

ROWS = 1_000
"""Rows that one transaction writes, of many: an ingest waits for it."""


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
    put_off_until: datetime | None = None,
    only: Collection[str] | None = None,
    newest: bool = False,
    tried_first: bool = False,
) -> list[Row[Any]]:
    """What is due and nobody's, the oldest (or ``newest``) first, and behind it (or ``tried_first``) what a failure had put off
    until now, or until another time. ``live`` are the owners that hold their lock; ``only`` narrows it to some subjects."""
    d = t.due.c
    query = select(t.due).where(d.stage == stage, _free(live))
    if stage == ASSEMBLE:
        query = query.where(_whole(live))
    order = (d.since.desc(), d.subject.desc()) if newest else (d.since, d.subject)
    again = (d.not_before, d.since, d.subject)
    parts = [
        query.where(d.not_before == "").order_by(*order),
        query.where(d.not_before > "", d.not_before <= stamp(put_off_until or now)).order_by(*again),
        # What is put off for longer than anything ever is, was so by a clock that was ahead then.
        query.where(d.not_before > stamp(now + MOST)).order_by(*again),
    ]
    found: list[Row[Any]] = []
    for part in (*parts[1:], parts[0]) if tried_first else parts:
        for some in _some(only):
            here = part if some is None else part.where(d.subject.in_(some))
            found += conn.execute(here.limit(limit - len(found)))
            if len(found) == limit:
                return found
    return found


def _free(live: Collection[str]) -> ColumnElement[bool]:
    d = t.due.c
    return or_(d.owner.is_(None), d.owner.not_in(live))


def _some(only: Collection[str] | None) -> Iterator[Sequence[str] | None]:
    """Subjects in as many statements as they need; None once, for all."""
    if only is None:
        yield None
    else:
        yield from chunks(sorted(only))


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


def take_all(
    conn: Connection, rows: Sequence[Row[Any]], owner: str, now: datetime, put_off: Callable[[int], timedelta]
) -> None:
    """The same of rows of one stage that nobody else takes, since the only one that works on it is told apart by a lock."""
    d = t.due.c
    for tries in {row.tries for row in rows}:
        values = {"owner": owner, "tries": tries + 1, "not_before": stamp(now + put_off(tries + 1))}
        for some in chunks([row.subject for row in rows if row.tries == tries]):
            mine = and_(d.stage == rows[0].stage, d.subject.in_(some), d.tries == tries)
            conn.execute(update(t.due).where(mine).values(**values))


def done_all(conn: Connection, stage: str, subjects: Sequence[str], owner: str) -> None:
    """They are answered, but for those that became due anew meanwhile."""
    d = t.due.c
    for some in chunks(subjects):
        conn.execute(delete(t.due).where(d.stage == stage, d.subject.in_(some), d.owner == owner))


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


def give_back(
    conn: Connection, owner: str, stage: str | None = None, subjects: Collection[str] = (), why: str = ""
) -> None:
    """What a worker had taken and not answered (of a stage these subjects, else all) is as if it had never been taken. The first
    one bears the reason for all, so that a person sees it once."""
    d = t.due.c
    tries = case((d.tries > 0, d.tries - 1), else_=0)
    mine = d.owner == owner if stage is None else and_(d.owner == owner, d.stage == stage, d.subject.in_(subjects))
    if why:
        first = select(func.min(d.subject)).where(mine).scalar_subquery()
        conn.execute(update(t.due).where(mine, d.subject == first).values(why=why))
    conn.execute(update(t.due).where(mine).values(owner=None, tries=tries, not_before=""))


def again(conn: Connection, stage: str, subjects: Sequence[str], at: datetime) -> None:
    """Make something due (again) because somebody asked for it."""
    becomes_due(conn, stage, [(s, stamp(at)) for s in subjects])


def unprobed(conn: Connection, dockings: Iterable[str]) -> list[str]:
    """Assets of these dockings whose probe is due."""
    a, d = t.asset.c, t.due.c
    query = select(a.id).join(t.due, and_(d.stage == PROBE, d.subject == a.id))
    return [
        each for some in chunks(sorted(dockings)) for each in conn.execute(query.where(a.docking.in_(some))).scalars()
    ]


def subjects(conn: Connection, stage: str) -> list[str]:
    """Everything that is due of a stage, taken or not."""
    return list(conn.execute(select(t.due.c.subject).where(t.due.c.stage == stage).order_by(t.due.c.subject)).scalars())


def left(conn: Connection, only: Mapping[str, Collection[str]] | None = None) -> dict[str, int]:
    """Per stage how many are due, taken or not; of those in ``only`` alone, if it is given."""
    d = t.due.c
    if only is None:
        return {row[0]: row[1] for row in conn.execute(select(d.stage, func.count()).group_by(d.stage))}
    count = select(func.count()).select_from(t.due)
    return {
        stage: sum(
            conn.execute(count.where(d.stage == stage, d.subject.in_(some))).scalar_one()
            for some in chunks(sorted(subjects))
        )
        for stage, subjects in only.items()
    }


def backlog(conn: Connection) -> dict[str, tuple[int, int, str]]:
    """Per stage: how many are due, how many of them were tried and put off, and since when the oldest waits."""
    d = t.due.c
    tried = func.sum(case((d.tries > 0, 1), else_=0))
    rows = conn.execute(select(d.stage, func.count(), tried, func.min(d.since)).group_by(d.stage))
    return {row[0]: (row[1], int(row[2] or 0), row[3]) for row in rows}


def failing(conn: Connection, limit: int = 20) -> list[Row[Any]]:
    """What could not be done, with the reason: first what whole stages wait for, which counts as no try, then the most tried."""
    d = t.due.c
    query = select(t.due).where(d.why != "").order_by(d.tries > 0, d.tries.desc(), d.subject).limit(limit)
    return list(conn.execute(query))


# --- of many, in transactions that nobody has to wait for ---------------------------------------------------------------


def at_once(catalog: Catalog, live: Collection[str], only: Mapping[str, Collection[str]] | None = None) -> None:
    """What a failure has put off, and nobody has, is due now; of those in ``only`` alone, if it is given."""
    d = t.due.c
    for stage in STAGES:
        query = select(d.subject).where(d.stage == stage, d.not_before > "", _free(live))
        for some in _some(None if only is None else only.get(stage, ())):
            rows = (query if some is None else query.where(d.subject.in_(some))).limit(ROWS)
            _all_of(catalog, update(t.due).where(d.stage == stage, d.subject.in_(rows)).values(not_before=""))


def drop(catalog: Catalog, stages: Collection[str]) -> None:
    """Nothing of these stages is wanted here; ``refill`` brings it back when it is."""
    d = t.due.c
    for stage in stages:
        rows = select(d.subject).where(d.stage == stage).limit(ROWS)
        with catalog.read() as conn:
            there = conn.execute(rows.limit(1)).first() is not None
        if there:
            _all_of(catalog, delete(t.due).where(d.stage == stage, d.subject.in_(rows)))


def _all_of(catalog: Catalog, statement: Any) -> None:
    """Execute a statement that changes ``ROWS`` rows at most, until none is left that it would change."""
    while catalog.write(lambda conn: conn.execute(statement).rowcount) == ROWS:
        pass


def every_preview(catalog: Catalog, at: datetime) -> None:
    """Make the preview of every recording due because somebody asked for it: what is there and right is then taken as it is."""
    r = t.recording.c
    for stage, kinds in _SHOWN.items():
        query = select(r.id, r.started_at).where(r.provisional.is_(False), r.kind.in_(kinds))
        for rows in _pages(catalog, query, r.id):
            catalog.write(lambda conn, s=stage, ids=[row.id for row in rows]: again(conn, s, ids, at))  # type: ignore[misc]


def refill(catalog: Catalog, stages: Iterable[str] = STAGES, *, since: Mapping[str, str] | None = None) -> None:
    """Put back what the facts say is due and is not among the rows: nothing, unless somebody deleted rows, or ``drop`` did. The
    walk over all tables is done without the lock for which an ingest waits. ``since``: from when on there is a limit of hand-overs
    (``TO_SIGN``) and of hand-outs (``OUT``), so that each has a ruling; what is not named has none."""
    for kind, start in (since or {}).items():
        asked, began = _MISSING_SINCE[kind]
        _put_back_all(catalog, RULE, asked.where(began >= start))
    for stage in stages:
        for asked in _MISSING[stage]:
            _put_back_all(catalog, stage, asked)


def everything(catalog: Catalog) -> None:
    """Make due whatever rules are about, because there are others."""
    for asked in (*_RULED, _FILES, _SIGNED, _BROKEN_OFF):
        _put_back_all(catalog, RULE, asked)


def of_rules(catalog: Catalog) -> Iterator[list[str]]:
    """Whatever was ruled about, and each of it once, some at a time."""
    for asked in (*_RULED, _FILES, _SIGNED):
        for rows in _pages(catalog, asked.query, asked.by):
            yield [row[0] for row in rows]


def all_of_rules(conn: Connection) -> list[str]:
    """Whatever rules are about."""
    return [row[0] for asked in (*_RULED, _FILES, _SIGNED, _BROKEN_OFF) for row in conn.execute(asked.query)]


class _Asked(NamedTuple):
    """A question for subjects, with since when they are due: the column of the subject, and the one ``by`` which it is paged. An
    index has that one, else each page would be a walk over all."""

    query: Any
    subject: Any
    by: Any

    def where(self, *more: Any) -> "_Asked":
        return self._replace(query=self.query.where(*more))


def _asked(query: Any, subject: Any, by: Any = None) -> _Asked:
    return _Asked(query, subject, subject if by is None else by)


def _put_back_all(catalog: Catalog, stage: str, asked: _Asked) -> None:
    d = t.due.c
    absent = asked.query.where(~exists().where(d.stage == stage, d.subject == asked.subject))
    for rows in _pages(catalog, absent, asked.by):
        page = absent.where(asked.by.between(rows[0][-1], rows[-1][-1]))
        catalog.write(lambda conn, q=page: _put_back(conn, stage, q))  # type: ignore[misc]


def _put_back(conn: Connection, stage: str, query: Any) -> None:
    """Asked once more in the transaction: what was answered since is not due."""
    becomes_due(conn, stage, [(row[0], row[1]) for row in conn.execute(query)])


def _pages(catalog: Catalog, query: Any, key: Any) -> Iterator[Sequence[Row[Any]]]:
    """The rows of a query, ``ROWS`` at a time in the order of ``key``, which is their last column then; each page in a snapshot
    of its own."""
    query = query.add_columns(key.label("_key")).order_by(key).limit(ROWS)
    rows: Sequence[Row[Any]] = ()
    while True:
        with catalog.read() as conn:
            rows = conn.execute(query.where(key > rows[-1][-1]) if rows else query).all()
        if not rows:
            return
        yield rows


_SHOWN = {PHOTO: ("photo",), PREVIEW: ("video", "audio")}

_OUT, _AGAIN = b.recorder_move, b.recorder_move.alias("again")
_HAND_OUT = _OUT.c.recorder + registers.hand_out("", "") + _OUT.c.at
_OUT_AGAIN = exists().where(
    _AGAIN.c.recorder == _OUT.c.recorder, _AGAIN.c.at == _OUT.c.at, _AGAIN.c.seq > _OUT.c.seq, _AGAIN.c.state == "issued"
)  # fmt: skip
"""The same hand-out, entered once more."""

_RECORDINGS = _asked(
    select(t.recording.c.id, t.recording.c.started_at).where(t.recording.c.kind != "data"), t.recording.c.id
)
_CASES = _asked(select(b.casefile.c.id, func.coalesce(b.casefile.c.opened, "")), b.casefile.c.id)
_HANDED_OUT = _asked(select(_HAND_OUT, _OUT.c.at).where(_OUT.c.state == "issued", ~_OUT_AGAIN), _HAND_OUT, _OUT.c.seq)
_RULED = (_RECORDINGS, _CASES, _HANDED_OUT)
"""What limits are about."""

_LIMIT = (b.deadline.c.subject, func.coalesce(b.deadline.c.due_at, b.deadline.c.ended_at, ""))
_OF_DOCKING = literal(TO_SIGN) + b.handover.c.docking
_SIGNED = _asked(select(_OF_DOCKING, b.handover.c.since), _OF_DOCKING, b.handover.c.docking)
_FILES = _asked(select(*_LIMIT).where(b.deadline.c.subject.between("fil-", "fil.")), b.deadline.c.subject)
_BROKEN_OFF = _asked(
    select(t.docking.c.id, t.docking.c.closed_at).where(t.docking.c.state.in_(("incomplete", "interrupted"))),
    t.docking.c.id,
)
"""Dockings that may have seen files which they did not get."""


def _missing() -> dict[str, tuple[_Asked, ...]]:
    """Per stage what the facts say is due."""
    a, k, r, u = t.asset.c, t.docking.c, t.recording.c, b.untagged.c
    unprobed = select(a.id, a.stored_at).where(~exists().where(t.probe.c.asset == a.id))
    untimed = select(k.id, k.closed_at).where(
        k.closed_at.is_not(None), exists().where(a.docking == k.id, ~exists().where(t.timing.c.asset == a.id))
    )
    unseen = select(r.id, r.started_at).where(r.provisional.is_(False), ~exists().where(t.preview.c.recording == r.id))
    shown = {stage: (_asked(unseen.where(r.kind.in_(kinds)), r.id),) for stage, kinds in _SHOWN.items()}
    # What is met, and what is late with a reason, stands; the rest is little, and each of it may have changed.
    d = b.deadline.c
    unsettled = (
        *(d.state == state for state in ("waiting", "open", "untrusted")),
        and_(d.state == "late", d.justified.is_(False)),
    )
    # Each by itself in the index; together they would be a walk over all rulings.
    waits = tuple(_asked(select(*_LIMIT).where(where), d.subject) for where in unsettled)
    unmatched = select(u.recording, u.since).where(~exists().where(b.proposal.c.recording == u.recording))
    return {
        PROBE: (_asked(unprobed, a.id),), ASSEMBLE: (_asked(untimed, k.id),), **shown,
        RULE: (_unruled(_RECORDINGS), _unruled(_CASES), *waits, _BROKEN_OFF), MATCH: (_asked(unmatched, u.recording),),
    }  # fmt: skip


def _unruled(asked: _Asked) -> _Asked:
    return asked.where(~exists().where(b.deadline.c.subject == asked.subject))


_MISSING = _missing()

_UNSIGNED = _SIGNED.where(
    b.handover.c.state == "waiting",
    ~exists().where(b.deadline.c.rule == SIGNATURE, b.deadline.c.subject == b.handover.c.docking),
)
_MISSING_SINCE = {TO_SIGN: (_UNSIGNED, b.handover.c.since), OUT: (_unruled(_HANDED_OUT), _OUT.c.at)}
"""What may have no limit, with the column that says when it began."""
