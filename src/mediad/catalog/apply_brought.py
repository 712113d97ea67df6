"""Who had had a recorder when it was docked: kept with each docking, so that nobody has to look through moves for it.

Whoever hands a recorder in is back as surely as whoever docks it, and it is theirs until somebody else is handed it.
"""

from sqlalchemy import Connection, delete, select

from mediad.catalog import bureau_tables as b
from mediad.catalog import tables as t
from mediad.catalog.apply import Row, upsert
from mediad.model import carrier
from mediad.model.instants import stamp
from mediad.model.registers import move_from


def opened(conn: Connection, docking: str, recorder: str | None, key: str, at: str) -> None:
    """A docking was opened. Folders are nobody's."""
    if recorder is not None and not key.startswith("folder:"):
        upsert(conn, b.brought, _brought(conn, docking, recorder, at))


def moved(conn: Connection, recorder: str, since: str) -> None:
    """A recorder was moved at a time that may lie before dockings of it."""
    k = t.docking.c
    ours = select(k.id, k.recorder, k.opened_at).where(k.recorder_id == recorder, k.opened_at >= since)
    for row in conn.execute(ours).all():
        conn.execute(delete(b.brought).where(b.brought.c.docking == row.id))
        opened(conn, row.id, recorder, row.recorder, row.opened_at)


def _brought(conn: Connection, docking: str, recorder: str, at: str) -> list[Row]:
    m = b.recorder_move.c
    newest = select(m.recorder, m.state, m.at, m.carrier).where(m.recorder == recorder, m.at <= at)
    rows = conn.execute(newest.order_by(m.at.desc(), m.seq.desc()).limit(2)).all()
    had = carrier.last_had([move_from(*row) for row in reversed(rows)])
    if had is None:
        return []
    handed_in = at if had.handed_in is None else stamp(had.handed_in)
    return [{"docking": docking, "person": had.person, "handed_in": handed_in, "at": at}]
