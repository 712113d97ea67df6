"""What closed dockings and the events of hand-overs make of their tables.

A hand-over is the dockings that belong together: one, or a broken one and what continued it. It bears the id of the first of them.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import Connection, select, update

from mediad.catalog import bureau_tables as b
from mediad.catalog import tables as t
from mediad.catalog.apply import Batch, Row, becomes_due, upsert
from mediad.model.custody import canonical


def closed(conn: Connection, docking: str, at: str, body: Mapping[str, Any]) -> None:
    """A docking was closed: a hand-over of its own, or more of the one that it continues. What brought nothing new wants no
    signature; what brought more than was signed wants another one."""
    before = select(t.docking.c.continues).where(t.docking.c.id == docking).scalar_subquery()
    part = b.handover_part.c
    root = conn.execute(select(part.handover).where(part.docking == before)).scalar() or docking
    upsert(conn, b.handover_part, [{"docking": docking, "handover": root}])
    h = b.handover.c
    if root == docking:
        row: Row = {"docking": docking, "state": "nothing", "since": body["ended_at"], "signed_at": None, "version": 0,
                    "giver": "", "detail": "{}"}  # fmt: skip
        upsert(conn, b.handover, [row])
    if body["counts"]["new"]:
        again = {"state": "waiting", "since": body["ended_at"], "signed_at": None}
        conn.execute(update(b.handover).where(h.docking == root).values(**again))
    becomes_due(conn, "rule", [(root, at)])


def _giver(conn: Connection, batch: Batch) -> None:
    for e, d in batch:
        conn.execute(update(b.handover).where(b.handover.c.docking == e.subject).values(giver=d["giver"]))
    becomes_due(conn, "rule", [(e.subject, e.at) for e, _ in batch])


def _signed(conn: Connection, batch: Batch) -> None:
    """Signed, signed anew, or signed by whoever handed over as well: the newest stands for all before. Who carried it stays so,
    should more of it be docked."""
    for e, d in batch:
        values = {"state": "signed", "signed_at": d["confirmed_at"], "version": d["version"],
                  "giver": d["on_behalf_of"] or d["giver"], "detail": canonical(d)}  # fmt: skip
        conn.execute(update(b.handover).where(b.handover.c.docking == e.subject).values(**values))
    becomes_due(conn, "rule", [(e.subject, e.at) for e, _ in batch])


APPLY: Final[Mapping[str, Callable[[Connection, Batch], None]]] = {
    "handover.giver": _giver,
    "handover.signed": _signed,
    "handover.corrected": _signed,
    "handover.countersigned": _signed,
}
