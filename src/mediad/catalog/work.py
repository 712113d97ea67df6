"""What is under way: reservations of places in a vault, and how far the custody log is mirrored there. No facts.

A docking's lease is a lock file named after it, held as long as its session lives; so a killed one is void at once.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select

from mediad.catalog import tables as t
from mediad.catalog.apply import upsert
from mediad.catalog.evidence import held
from mediad.model.custody import GENESIS, Event
from mediad.model.instants import stamp


def reserve(conn: Connection, rows: Sequence[dict[str, Any]], at: datetime) -> set[str]:
    """Reserve places for digests in a vault: all of them, or none and the digests that stand in the way.

    In the way is a digest of which the vault has a healthy replica already, or that another batch has reserved: its bytes are
    somebody else's to place.
    """
    taken = set(held(conn, rows[0]["vault"], [r["sha256"] for r in rows])) if rows else set()
    for start in range(0, len(rows), 500):
        chunk = [r["sha256"] for r in rows[start : start + 500]]
        p = t.placement.c
        reserved = select(p.sha256).where(p.vault == rows[0]["vault"], p.sha256.in_(chunk))
        taken.update(conn.execute(reserved).scalars())
    if not taken:
        reserved_at = stamp(at)
        conn.execute(insert(t.placement), [{**r, "reserved_at": reserved_at} for r in rows])
    return taken


def settle(conn: Connection, vault: str, sha256: Iterable[str]) -> None:
    """End reservations: the bytes are recorded, dropped, or set aside."""
    digests = list(sha256)
    for start in range(0, len(digests), 500):
        chunk = digests[start : start + 500]
        conn.execute(delete(t.placement).where(t.placement.c.vault == vault, t.placement.c.sha256.in_(chunk)))


def placements(conn: Connection, vault: str) -> list[Row[Any]]:
    """Open reservations, batch by batch."""
    p = t.placement.c
    return list(conn.execute(select(t.placement).where(p.vault == vault).order_by(p.batch, p.key)))


def promised_elsewhere(conn: Connection, vault: str) -> list[Row[Any]]:
    """Vaults but this one, and dockings whose bytes are on their way there, with how many there are."""
    p = t.placement.c
    counted = select(p.vault, p.docking, func.count().label("n")).where(p.vault != vault)
    return list(conn.execute(counted.group_by(p.vault, p.docking).order_by(p.vault, p.docking)))


def dockings_with_placements(conn: Connection) -> set[str]:
    """Dockings whose bytes are on their way into some vault."""
    return set(conn.execute(select(t.placement.c.docking).distinct()).scalars())


def mirrored(conn: Connection, vault: str) -> tuple[int, str] | None:
    """Up to which event the vault's mirror is known to reach, and that event's hash; None if never looked at."""
    row = conn.execute(select(t.mirrored).where(t.mirrored.c.vault == vault)).first()
    return (row.seq, row.hash) if row else None


def note_mirrored(conn: Connection, vault: str, parts: Sequence[tuple[int, int]], seq: int, event_hash: str) -> None:
    """Note segments that lie in a vault (first and last event), and that its mirror reaches at least so far."""
    upsert(conn, t.segment, [{"vault": vault, "first": first, "last": last} for first, last in parts])
    known = mirrored(conn, vault)
    if known is None or seq > known[0]:
        upsert(conn, t.mirrored, [{"vault": vault, "seq": seq, "hash": event_hash}])


def segments(conn: Connection, vault: str) -> dict[int, int]:
    """First to last event of every segment that was written to a vault."""
    s = t.segment.c
    return {row.first: row.last for row in conn.execute(select(s.first, s.last).where(s.vault == vault))}


def newest_segment(conn: Connection, vault: str) -> int:
    """The last event of the newest segment that was noted for a vault; 0 for none."""
    s = t.segment.c
    row = conn.execute(select(s.last).where(s.vault == vault).order_by(s.first.desc()).limit(1)).first()
    return row.last if row else 0


def events_after(conn: Connection, seq: int, upto: int | None = None) -> Iterator[Event]:
    """Custody events behind ``seq``, in order; at most to event ``upto``."""
    query = select(t.custody).where(t.custody.c.seq > seq).order_by(t.custody.c.seq)
    if upto is not None:
        query = query.where(t.custody.c.seq <= upto)
    for row in conn.execute(query):
        yield Event(*row)


def event_at(conn: Connection, seq: int) -> Event | None:
    row = conn.execute(select(t.custody).where(t.custody.c.seq == seq)).first()
    return Event(*row) if row else None


def unmirrored(conn: Connection, vault: str) -> int:
    """How many events the vault's mirror still lacks."""
    reached = mirrored(conn, vault) or (0, GENESIS)
    top = conn.execute(select(func.coalesce(func.max(t.custody.c.seq), 0))).scalar_one()
    return int(top) - reached[0]
