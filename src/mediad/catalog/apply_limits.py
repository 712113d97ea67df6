"""What makes limits due to be ruled on, and what the events about them make of their tables: each is due with the fact that may
change it, so that nobody has to look for it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, and_, func, select, update

from mediad.catalog import bureau_tables as b
from mediad.catalog import recordings
from mediad.catalog import tables as t
from mediad.catalog.apply import Batch, becomes_due, upsert
from mediad.catalog.chunks import chunks
from mediad.model import registers
from mediad.model.custody import canonical
from mediad.model.deadline import NO_CASE, RECORDER, STORAGE

RULE: Final = "rule"
MATCH: Final = "match"
EVERYTHING: Final = "everything"
"""What is due when other rules are in force."""


def hand_outs(conn: Connection, recorder: str, at: str) -> list[str]:
    """The hand-outs of a recorder about which a move at that time says something: the newest, and those before it after which it
    was not docked yet."""
    m, k = b.recorder_move.c, t.docking.c
    docked = select(func.max(k.opened_at)).where(k.recorder_id == recorder, k.opened_at <= at).scalar_subquery()
    out = select(m.at, docked.label("docked")).where(m.recorder == recorder, m.state == "issued", m.at <= at)
    rows = conn.execute(out.order_by(m.at.desc(), m.seq.desc())).all()
    return [registers.hand_out(recorder, row.at) for n, row in enumerate(rows) if not n or row.at >= (row.docked or "")]


def ruled_since(conn: Connection, at: str, who: Iterable[str], since: str) -> None:
    """What somebody carried, or a recorder recorded, that ended since then."""
    c = b.deadline.c
    for chunk in chunks(sorted(who)):
        # Whoever went away with a recorder was handed it before.
        out = and_(c.rule == RECORDER, c.state.in_(("waiting", "open", "late")), c.carrier.in_(chunk))
        becomes_due(conn, RULE, [(each, at) for each in conn.execute(select(c.subject).where(out)).scalars()])
        carried_since(conn, at, chunk, since)
        keys = list(conn.execute(select(t.recorder_key.c.key).where(t.recorder_key.c.recorder.in_(chunk))).scalars())
        ruled_again(conn, at, t.recording.c.source.in_([*chunk, *keys]), t.recording.c.ended_at >= since)

    # Of a file that was only seen it may not be known yet who carried it.
    seen = and_(c.state.in_(("waiting", "open")), c.rule == STORAGE, c.subject.startswith("fil-"))
    becomes_due(conn, RULE, [(each, at) for each in conn.execute(select(c.subject).where(seen)).scalars()])


def carried_since(conn: Connection, at: str, who: Sequence[str], since: str) -> None:
    c = b.deadline.c
    carried = select(c.subject).where(c.carrier.in_(who), c.ended_at >= since)
    becomes_due(conn, RULE, [(each, at) for each in conn.execute(carried).scalars()])


def docked_again(conn: Connection, at: str, *where: Any) -> None:
    """What came with some dockings, or was only seen, and who hands it over."""
    becomes_due(conn, RULE, [(each, at) for each in conn.execute(select(t.docking.c.id).where(*where)).scalars()])


def ruled_again(conn: Connection, at: str, *where: Any) -> None:
    r = t.recording.c
    becomes_due(
        conn, RULE, [(each, at) for each in conn.execute(select(r.id).where(r.kind != "data", *where)).scalars()]
    )


def docked(conn: Connection, docking: str, at: str) -> None:
    """A docking was closed: what came with it is ruled, it proves that somebody is back, and may have brought what was only seen
    before. So what waits is looked at again; that is little, for what is stored has its ruling."""
    c = b.deadline.c
    waiting = select(c.subject).where(c.state.in_(("waiting", "open")), c.rule.in_((STORAGE, RECORDER)))
    subjects = [docking, *conn.execute(waiting).scalars()]
    becomes_due(conn, RULE, [(each, at) for each in subjects])
    becomes_due(conn, MATCH, [(docking, at)])


def counted(conn: Connection, batch: Batch) -> None:
    """A vault is the unit's dedicated storage from now on, or is so no longer: what was in it until then had its place. What waits
    may be met by that, and what is late is so no more."""
    c = b.counted.c
    for e, d in batch:
        open_now = conn.execute(select(c.since).where(c.vault == e.subject, c.until.is_(None))).first() is not None
        if d["dedicated"] == open_now:
            continue
        known = conn.execute(select(t.vault.c.name).where(t.vault.c.name == e.subject)).first() is not None
        if d["dedicated"]:
            # Nothing was in it before it was known.
            upsert(conn, b.counted, [{"vault": e.subject, "since": e.at if known else "", "until": None}])
        else:
            conn.execute(update(b.counted).where(c.vault == e.subject, c.until.is_(None)).values(until=e.at))
        if known:
            becomes_due(conn, RULE, [(EVERYTHING, e.at)])


def _ruled(conn: Connection, batch: Batch) -> None:
    """Another carrier than before may have recorded for another case. What the rule exempts need be of none."""
    ruled = [(e, d) for e, d in batch if d["rule"] == STORAGE and e.subject.startswith("rec-")]
    carried = {e.subject: (d["carrier"], e.at) for e, d in ruled}
    freed = {e.subject: d["state"] in NO_CASE for e, d in ruled}
    g, u = b.deadline.c, b.untagged.c
    for chunk in chunks(sorted(freed)):
        for exempt in (True, False):
            now = [each for each in chunk if freed[each] is exempt]
            other = and_(u.recording.in_(now), u.exempt.is_not(exempt))
            conn.execute(update(b.untagged).where(other).values(exempt=exempt))
    for chunk in chunks(sorted(carried)):
        before = select(g.subject, g.carrier).where(g.rule == STORAGE, g.subject.in_(chunk))
        known = {row.subject: row.carrier for row in conn.execute(before)}
        changed = [(each, carried[each][1]) for each in chunk if known.get(each) != carried[each][0]]
        becomes_due(conn, MATCH, changed)
    x = b.explained.c
    given: set[tuple[str, str]] = set()
    for pairs in chunks(sorted({(str(d["rule"]), e.subject) for e, d in batch})):
        of_rules = x.rule.in_(sorted({name for name, _ in pairs}))
        reasons = select(x.rule, x.subject).where(
            of_rules, x.subject.in_([each for _, each in pairs]), x.what == "justified"
        )
        given.update((row.rule, row.subject) for row in conn.execute(reasons))
    rows = [
        {"rule": d["rule"], "subject": e.subject, "state": d["state"], "due_at": d["due_at"], "met_at": d["met_at"],
         "carrier": d["carrier"], "ended_at": d["ended_at"], "justified": (d["rule"], e.subject) in given, "detail": canonical(d)}
        for e, d in batch
    ]  # fmt: skip
    upsert(conn, b.deadline, rows)


def _explained(what: str) -> Callable[[Connection, Batch], None]:
    def rule(conn: Connection, batch: Batch) -> None:
        m = t.recording_asset.c
        for e, d in batch:
            subject = recordings.resolve(conn, e.subject)
            files = conn.execute(select(m.asset).where(m.recording == subject).order_by(m.position)).scalars()
            row = {"rule": d["rule"], "subject": subject, "what": what, "said_of": e.subject, "at": e.at,
                   "assets": canonical(list(files)), "detail": canonical(d)}  # fmt: skip
            upsert(conn, b.explained, [row])
            if what == "justified":
                mine = and_(b.deadline.c.rule == d["rule"], b.deadline.c.subject == subject)
                conn.execute(update(b.deadline).where(mine).values(justified=True))
            else:
                becomes_due(conn, RULE, [(subject, e.at)])

    return rule


def _rules(conn: Connection, batch: Batch) -> None:
    """Other rules make everything due. That is one row: whoever takes it makes the others due, some at a time."""
    upsert(conn, b.rules, [{"station": e.subject, "at": e.at, "detail": canonical(d)} for e, d in batch])
    becomes_due(conn, RULE, [(EVERYTHING, e.at) for e, _ in batch])


APPLY: Final[Mapping[str, Callable[[Connection, Batch], None]]] = {
    "deadline.ruled": _ruled,
    "deadline.justified": _explained("justified"),
    "deadline.receipt": _explained("receipt"),
    "rules.adopted": _rules,
}
