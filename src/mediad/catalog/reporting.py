"""What the month's figures are summed of."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, func, or_, select

from mediad.catalog import bureau_tables as b
from mediad.catalog import tables as t
from mediad.catalog.chunks import chunks
from mediad.catalog.wanting import answered
from mediad.model.deadline import STORAGE


def recordings(conn: Connection, start: str, end: str) -> Iterator[Row[Any]]:
    """Recordings that ended in that time, with their rulings by Article 28; and those of which nobody knows when, that were stored
    in it. Data is left out: it has no ruling."""
    d = b.deadline.c
    ended = and_(d.ended_at >= start, d.ended_at < end)
    yield from conn.execute(_recordings(ended))
    m, a = t.recording_asset.c, t.asset.c
    stored = (
        select(func.min(a.stored_at))
        .join(t.recording_asset, m.asset == a.id)
        .where(m.recording == d.subject)
        .correlate(b.deadline)
        .scalar_subquery()
    )
    yield from conn.execute(_recordings(and_(d.ended_at.is_(None), stored >= start, stored < end)))


def these(conn: Connection, ids: Sequence[str]) -> Iterator[Row[Any]]:
    """The same of some recordings, whether they have a ruling yet or not."""
    for chunk in chunks(sorted(ids)):
        yield from conn.execute(_recordings(t.recording.c.id.in_(chunk), unruled=True))


def _recordings(where: Any, *, unruled: bool = False) -> Any:
    d, r, e = b.deadline.c, t.recording.c, b.explained.c
    m, a = t.recording_asset.c, t.asset.c
    size, stored = (
        select(what)
        .join(t.recording_asset, m.asset == a.id)
        .where(m.recording == r.id)
        .correlate(t.recording)
        .scalar_subquery()
        for what in (func.sum(a.size), func.min(a.stored_at))
    )
    explained = exists().where(e.rule == STORAGE, e.subject == r.id, e.what == "justified")
    ruled = and_(d.subject == r.id, d.rule == STORAGE)
    tables = t.recording.join(b.deadline, ruled, isouter=True) if unruled else b.deadline.join(t.recording, ruled)
    return (
        select(
            r.id, r.source, r.started_at, r.ended_at, r.label, size.label("size"), stored.label("stored_at"),
            explained.label("explained"), (~answered(r.id)).label("untagged"),
            d.state, d.due_at, d.met_at, d.carrier, d.ended_at.label("ruled_end"), d.detail,
        )
        .select_from(tables)
        .where(r.kind != "data", where)
    )  # fmt: skip


def recorder_keys(conn: Connection) -> dict[str, str]:
    """Key of a registered recorder to its id."""
    return {row.key: row.recorder for row in conn.execute(select(t.recorder_key))}


def recorder_labels(conn: Connection) -> dict[str, str]:
    """Registered recorder to what people call it."""
    return {row.id: row.label for row in conn.execute(select(t.recorder.c.id, t.recorder.c.label))}


def cases(conn: Connection, start: str, end: str) -> list[str]:
    """Cases whose act ended in that time; what was merged into another one counts there."""
    c = b.casefile.c
    query = select(c.id).where(c.act_ended >= start, c.act_ended < end, c.merged_into == "").order_by(c.id)
    return list(conn.execute(query).scalars())


def unstored(conn: Connection, start: str, end: str) -> int:
    """Files that were seen on recorders, ended in that time, and are not stored yet."""
    d = b.deadline.c
    waits = or_(d.state == "waiting", d.state == "open")
    query = select(func.count()).where(
        d.rule == STORAGE, d.ended_at >= start, d.ended_at < end, waits, d.subject.startswith("fil-")
    )
    return int(conn.execute(query).scalar_one())
