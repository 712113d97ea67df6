"""Hand-overs: the dockings that are one, what they brought, and what was signed."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select

from mediad.catalog import bureau_tables as b
from mediad.catalog import tables as t
from mediad.catalog.chunks import chunks


def handover(conn: Connection, docking: str) -> Row[Any] | None:
    """The hand-over that a docking is, or is part of; None for a docking that is open or none."""
    part = select(b.handover_part.c.handover).where(b.handover_part.c.docking == docking).scalar_subquery()
    return conn.execute(select(b.handover).where(b.handover.c.docking == part)).first()


def signing(handover: Row[Any]) -> dict[str, Any]:
    """The newest signing of a hand-over as its event holds it; empty if it was never signed."""
    return dict(json.loads(handover.detail))


def waiting(conn: Connection, since: str, before: str) -> list[Row[Any]]:
    """Those that wait for a signature since a time, the oldest first."""
    h = b.handover.c
    query = select(b.handover).where(h.state == "waiting", h.since >= since, h.since < before)
    return list(conn.execute(query.order_by(h.since, h.docking)))


def states(conn: Connection, dockings: Sequence[str]) -> dict[str, Row[Any]]:
    """Docking to the hand-over that it is part of."""
    p, h = b.handover_part.c, b.handover.c
    query = select(p.docking.label("part"), *h).join(b.handover, h.docking == p.handover)
    return {row.part: row for chunk in chunks(dockings) for row in conn.execute(query.where(p.docking.in_(chunk)))}


def begun(conn: Connection, since: str, until: str) -> list[Row[Any]]:
    """Those whose first docking began in a time, in the order of beginning."""
    h, k = b.handover.c, t.docking.c
    query = select(b.handover).join(t.docking, k.id == h.docking).where(k.opened_at >= since, k.opened_at < until)
    return list(conn.execute(query.order_by(k.opened_at, h.docking)))


def dockings(conn: Connection, handover_id: str) -> list[Row[Any]]:
    """The dockings of one hand-over, in their order."""
    p = b.handover_part.c
    query = select(t.docking).join(b.handover_part, p.docking == t.docking.c.id).where(p.handover == handover_id)
    return list(conn.execute(query.order_by(t.docking.c.seq)))


def files(conn: Connection, docking: str) -> list[Row[Any]]:
    """Files that a docking stored, saw again, or could not take, in the order of their names."""
    f, a = t.source_file.c, t.asset.c
    query = (
        select(f.docking, f.volume, f.path, f.size, f.outcome, f.asset, f.why, a.sha256, a.sm3, a.stored_at)
        .join(t.asset, a.id == f.asset, isouter=True)
        .where(f.docking == docking, or_(f.outcome.is_(None), f.outcome.in_(("stored", "sighting", "failed"))))
        .order_by(f.volume, f.path)
    )
    return list(conn.execute(query))


def stored_at(conn: Connection, dockings: Sequence[str]) -> str | None:
    """When the last of what some dockings brought was stored."""
    a = t.asset.c
    found = [
        conn.execute(select(func.max(a.stored_at)).where(a.docking.in_(chunk))).scalar() for chunk in chunks(dockings)
    ]
    return max((at for at in found if at), default=None)


def recordings(conn: Connection, ids: Sequence[str]) -> list[Row[Any]]:
    """What recordings are, in the order of their start."""
    r = t.recording.c
    query = select(r.id, r.kind, r.started_at, r.ended_at, r.provisional, r.confidence)
    found: list[Any] = [row for chunk in chunks(ids) for row in conn.execute(query.where(r.id.in_(chunk)))]
    return sorted(found, key=lambda row: (row.started_at, row.id))


def cases_of(conn: Connection, recordings: Sequence[str]) -> list[str]:
    """Cases that recordings are tagged with."""
    g = b.tag.c
    query = select(g.casefile).distinct().where(g.state == "set")
    return sorted(
        {c for chunk in chunks(recordings) for c in conn.execute(query.where(g.recording.in_(chunk))).scalars()}
    )


def offsets(conn: Connection, dockings: Sequence[str]) -> list[dict[str, Any]]:
    """What was measured of the recorder's clock at some dockings."""
    c = t.clock.c
    return [
        json.loads(detail)
        for chunk in chunks(dockings)
        for detail in conn.execute(select(c.detail).where(c.docking.in_(chunk)).order_by(c.docking)).scalars()
    ]


def findings(conn: Connection, docking: str) -> list[dict[str, Any]]:
    """What a docking's own record remarks."""
    c = t.custody.c
    closed = select(c.detail).where(c.subject == docking, c.kind == "docking.closed").order_by(c.seq.desc()).limit(1)
    detail = conn.execute(closed).scalar()
    return [] if detail is None else list(json.loads(detail)["findings"])
