"""Facts of recorders that were handed out, and of hand-overs."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, or_, select

from mediad.catalog import assembly, bureau
from mediad.catalog import bureau_tables as b
from mediad.catalog import tables as t
from mediad.catalog.chunks import chunks
from mediad.catalog.recorded import Proofs
from mediad.model import carrier as carriers
from mediad.model import registers, trips
from mediad.model.calendar import day_of
from mediad.model.carrier import Carrier
from mediad.model.instants import stamp
from mediad.model.people import Numbers
from mediad.model.registers import Move
from mediad.model.spans import HandedOut, back_by
from mediad.model.trips import Trip


def handed_out(conn: Connection, subjects: Collection[str], limit: timedelta | None) -> list[tuple[HandedOut, Carrier]]:
    """Hand-outs of recorders, and what came of each. A recorder stands for all of its own. ``limit``: within what a recorder is
    to be back that nobody said when to expect."""
    bare = {subject for subject in subjects if registers.handed_out(subject) == subject}
    all_of_them = (
        registers.hand_out(recorder, stamp(m.at)) for recorder, moves in bureau.moves(conn, bare).items() for m in moves
    )
    found = []
    for name in sorted({*subjects, *all_of_them} - bare):
        recorder, at = registers.handed_out(name), datetime.fromisoformat(registers.out_at(name))
        docked = first_docking(conn, recorder, at)
        moves = bureau.moves_between(conn, recorder, at, docked)
        # Of two at the same moment the one that was entered later stands for both.
        out = max((n for n, m in enumerate(moves) if m.state == "issued" and m.at == at), default=None)
        if out is not None:
            who = moves[out].carrier
            found.append((_came_of(conn, moves, out, limit, docked), Carrier(who, "assigned", who)))
    return found


def of_move(
    conn: Connection, moves: Sequence[Move], position: int, limit: timedelta | None, until: datetime
) -> HandedOut:
    """One hand-out, by the recorder's moves in their order, and by what was docked until a moment."""
    docked = first_docking(conn, moves[position].recorder, moves[position].at)
    facts = _came_of(conn, moves, position, limit, docked if docked is not None and docked <= until else None)
    return replace(facts, proofs=tuple(at for at in facts.proofs if at <= until))


def _came_of(
    conn: Connection, moves: Sequence[Move], position: int, limit: timedelta | None, docked: datetime | None
) -> HandedOut:
    issued, after = moves[position], moves[position + 1 :]
    away = trips_at(conn, issued, back_by(issued.at, issued.expected, limit))
    return HandedOut(
        subject=registers.hand_out(issued.recorder, stamp(issued.at)), issued=issued.at, expected=issued.expected, trips=away,
        proofs=Proofs(conn).of(away, {issued.carrier}), docked=docked,
        ended=next((m for m in after if m.state in ("lost", "broken")), None),
        returned=any(m.state == "returned" for m in after),
    )  # fmt: skip


def trips_at(conn: Connection, issue: Move, at: datetime | None) -> tuple[Trip, ...]:
    """The trips of a carrier, and of the recorder, that may cover an instant: no others count for a hand-out that ends there."""
    if at is None:
        return ()
    who = {issue.carrier, issue.recorder}
    times = bureau.trip_times(conn, who, at, at)
    found = bureau.trips_by_id(conn, {trip for rows in times.values() for trip, _, _ in rows})
    return tuple(mine for mine in (trips.of(trip, who) for trip in found.values()) if trips.may_cover(mine, at))


def first_docking(conn: Connection, recorder: str, since: datetime) -> datetime | None:
    """When a registered recorder was docked first after a time."""
    k = t.docking.c
    names = assembly.sources_of(conn, recorder, recorder)
    ours = or_(k.recorder_id == recorder, k.recorder.in_(sorted(names)))
    query = select(k.opened_at).where(ours, k.opened_at > stamp(since)).order_by(k.opened_at).limit(1)
    found = conn.execute(query).scalar()
    return None if found is None else datetime.fromisoformat(found)


@dataclass(frozen=True, slots=True)
class ToSign:
    """A hand-over: since when it is to be signed (None: it brought nothing new), when it was, and who gives."""

    docking: str
    since: datetime | None
    signed_at: datetime | None
    giver: Carrier


def handovers(conn: Connection, dockings: Sequence[str], zone: ZoneInfo) -> list[ToSign]:
    """The hand-overs that these dockings belong to."""
    h, part, k = b.handover.c, b.handover_part.c, t.docking.c
    query = select(h.docking, h.state, h.since, h.signed_at, h.giver, k.officer, k.recorder_id, k.opened_at)
    query = query.distinct().join(b.handover_part, part.handover == h.docking).join(t.docking, k.id == h.docking)
    rows = {r.docking: r for chunk in chunks(dockings) for r in conn.execute(query.where(part.docking.in_(chunk)))}
    numbers = Numbers(bureau.people(conn) if rows else ())
    had = bureau.brought(conn, rows)
    found = []
    for row in rows.values():
        at = datetime.fromisoformat(row.opened_at)
        found.append(
            ToSign(
                row.docking,
                None if row.state == "nothing" else datetime.fromisoformat(row.since),
                datetime.fromisoformat(row.signed_at) if row.signed_at else None,
                carriers.carrier(row.officer, day_of(at, zone), numbers, had.get(row.docking, ""), row.giver),
            )
        )
    return found
