"""Acts that wait for signatures, and what became of them."""

import json
from typing import Any

from sqlalchemy import Connection, func, select

from mediad.catalog import bureau_tables as b
from mediad.catalog import tables as t
from mediad.model.registers import trip_of


def act(conn: Connection, act_id: str) -> dict[str, Any] | None:
    """An act as its newest event tells it."""
    detail = conn.execute(select(b.act.c.detail).where(b.act.c.id == act_id)).scalar()
    return None if detail is None else dict(json.loads(detail))


def listed(conn: Connection, *, waiting: bool) -> list[dict[str, Any]]:
    """All acts, or those that wait, the oldest first."""
    a = b.act.c
    query = select(a.id, a.at, a.detail).order_by(a.at, a.id)
    rows = conn.execute(query.where(a.state == "proposed") if waiting else query)
    return [{"id": row.id, "at": row.at, **json.loads(row.detail)} for row in rows]


def newest_event(conn: Connection, subject: str) -> int:
    """The number of the newest custody event of a subject; 0 for none."""
    found = conn.execute(select(func.max(t.custody.c.seq)).where(t.custody.c.subject == subject)).scalar()
    return int(found or 0)


def authors(conn: Connection, trip: str) -> list[tuple[str, str]]:
    """Account and person (empty: nobody's) of whoever entered a trip, or changed it since an approver agreed to it. What was signed
    for is recorded under the account of who signed last: there the person alone counts."""
    c = t.custody.c
    found = []
    for row in conn.execute(select(c.actor, c.detail).where(c.subject == trip).order_by(c.seq.desc())):
        detail = json.loads(row.detail)
        if trip_of(trip, detail).approved_by:
            break
        found.append(("" if "signed" in detail else row.actor, detail.get("by", "")))
    return found
