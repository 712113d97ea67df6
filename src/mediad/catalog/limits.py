"""Facts for the rules: what is known of recordings, of files that were seen and not stored; and the rulings that stand."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, and_, bindparam, exists, func, or_, select

from mediad.catalog import bureau_tables as b
from mediad.catalog import tables as t
from mediad.catalog.bureau import Outs
from mediad.catalog.chunks import chunks
from mediad.model import carrier as carriers
from mediad.model.calendar import day_of
from mediad.model.carrier import Carrier
from mediad.model.deadline import STORAGE, UPLOAD, Receipt
from mediad.model.people import Numbers


class Counted:
    """From when until when vaults counted as the unit's dedicated storage: a handful of rows."""

    def __init__(self, conn: Connection) -> None:
        n = b.counted.c
        self._times = [tuple(row) for row in conn.execute(select(n.vault, n.since, n.until).order_by(n.since, n.vault))]
        self.vaults = tuple(dict.fromkeys(vault for vault, _, _ in self._times))

    def since(self, row: Any) -> str | None:
        """When an asset lay for the first time where it counts: since it was stored, or since its vault counts. ``row`` has what
        ``_where_it_lies`` asks for."""
        if row.stored_at is None:
            return None
        there = {vault for n, vault in enumerate(self.vaults) if getattr(row, f"in_{n}")}
        times = (
            max(since, row.stored_at)
            for vault, since, until in self._times
            if vault in there and (until is None or until > row.stored_at)
        )
        return min(times, default=None)


def parts_of(conn: Connection, recordings: Sequence[str], counted: Counted | None = None) -> dict[str, list[Any]]:
    """Recording to its files: how they are timed, when they were stored where it counts, by which docking they came, what the
    recording itself says, and who had the recorder: when the file ended (``had``), and when it was docked (``brought``). Data is no
    recording that a limit is about."""
    found: dict[str, list[Any]] = {}
    query = _parts(counted.vaults if counted else ())
    for chunk in chunks(recordings):
        for row in conn.execute(query, {"recordings": chunk}):
            found.setdefault(row.recording, []).append(row)
    return found


def _where_it_lies(vaults: Sequence[str]) -> list[Any]:
    """When an asset was stored, and whether it lay in each of these vaults ever: one look by key for each."""
    a, v = t.asset.c, t.replica.c
    there = (exists().where(v.vault == vault, v.asset == a.id).label(f"in_{n}") for n, vault in enumerate(vaults))
    return [a.stored_at, *there]


@lru_cache(maxsize=8)
def _parts(vaults: tuple[str, ...]) -> Any:
    r, m, a, s, k = t.recording.c, t.recording_asset.c, t.asset.c, t.timing.c, t.docking.c
    was, moves = b.recorder_move.alias("was"), b.recorder_move.c
    stood = select(moves.seq).where(
        moves.recorder == k.recorder_id, moves.at <= func.coalesce(s.ended_at, a.captured_at)
    )
    newest = stood.order_by(moves.at.desc(), moves.seq.desc()).limit(1).scalar_subquery()
    return (
        select(
            m.recording, a.id.label("asset"), a.captured_at, a.captured_confidence, *_where_it_lies(vaults),
            s.ended_at, s.confidence, s.detail, r.source, r.officer, r.channel, k.recorder_id, k.officer.label("giver"),
            k.opened_at, k.seq, b.brought.c.person.label("brought"), was.c.state.label("had_state"), was.c.carrier.label("had"),
        )
        .join(t.recording, r.id == m.recording)
        .join(t.asset, a.id == m.asset)
        .join(t.docking, k.id == a.docking)
        .join(t.timing, s.asset == a.id, isouter=True)
        .join(b.brought, b.brought.c.docking == k.id, isouter=True)
        .join(was, was.c.seq == newest, isouter=True)
        .where(r.kind != "data", m.recording.in_(bindparam("recordings", expanding=True)))
        .order_by(m.recording, m.position)
    )  # fmt: skip


def _end(row: Any) -> str:
    """When a file ended; where that cannot be true, when it was docked: who had the recorder then had recorded it."""
    return str(row.opened_at if _untrusted(row) else row.ended_at or row.captured_at)


def _untrusted(row: Any) -> bool:
    return bool((row.confidence or row.captured_confidence) == "untrusted")


def ended(rows: Sequence[Any], dated: Mapping[str, Any] | None) -> datetime:
    """When a recording ended, given as ``parts_of`` does: as a person said (``dated``), else as far as its files are to be
    believed."""
    return datetime.fromisoformat(dated["ended_at"] if dated else max(map(_end, rows)))


def carrier_of(
    rows: Sequence[Any],
    numbers: Numbers,
    outs: Outs,
    told: Mapping[str, Any],
    dated: Mapping[str, Any] | None,
    zone: ZoneInfo,
) -> Carrier:
    """Who carried the recorder of a recording, given as ``parts_of`` does: by what a person ``told``, or its number, or who had
    it when the recording ended (``dated``: as a person said)."""
    last = max(rows, key=_end)
    at = ended(rows, dated)
    if dated:
        had = outs.had(rows[0].recorder_id, at)
    elif _untrusted(last):
        had = last.brought or ""
    else:
        had = last.had if last.had_state == "issued" else ""
    number = rows[0].officer or rows[0].giver
    return carriers.carrier(number, day_of(at, zone), numbers, had, told.get("carrier", ""))


def said(conn: Connection, recordings: Sequence[str], what: str) -> dict[str, dict[str, Any]]:
    """Recording to what a person said about it."""
    s = b.said_of.c
    return {
        row.recording: json.loads(row.detail)
        for chunk in chunks(recordings)
        for row in conn.execute(select(s.recording, s.detail).where(s.what == what, s.recording.in_(chunk)))
    }


def reasons_given(
    conn: Connection, subjects: Sequence[str] | None = None, rule: str | None = None
) -> dict[tuple[str, str], dict[str, Any]]:
    """(Rule, subject) to the reason in writing for its being late; of all of them, or some. What was said of several recordings
    that are one now is told together, with the newest's author."""
    e = b.explained.c
    query = select(e.rule, e.subject, e.detail).where(e.what == "justified").order_by(e.at, e.said_of)
    query = query if rule is None else query.where(e.rule == rule)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for chunk in [None] if subjects is None else chunks(subjects):
        for row in conn.execute(query if chunk is None else query.where(e.subject.in_(chunk))):
            said, before = json.loads(row.detail), found.get((row.rule, row.subject))
            if before is not None and said["text"] not in before["text"]:
                said["text"] = f"{before['text']}；{said['text']}"
            found[row.rule, row.subject] = said
    return found


@dataclass(frozen=True, slots=True)
class Received:
    """A receipt, and the files that it is for: those which the recording had when it was entered. What came later has none."""

    receipt: Receipt
    assets: frozenset[str]


def receipts(conn: Connection, recordings: Sequence[str] | None = None) -> dict[tuple[str, str], list[Received]]:
    """(Rule, recording) to its receipts, the earliest first; of all recordings, or some."""
    e = b.explained.c
    query = select(e.rule, e.subject, e.assets, e.detail).where(e.rule.in_((STORAGE, UPLOAD)), e.what == "receipt")
    query = query.order_by(e.at, e.said_of)
    found: dict[tuple[str, str], list[Received]] = {}
    for chunk in [None] if recordings is None else chunks(recordings):
        for row in conn.execute(query if chunk is None else query.where(e.subject.in_(chunk))):
            said = json.loads(row.detail)
            receipt = Receipt(said["receipt"], datetime.fromisoformat(said["at"]))
            found.setdefault((row.rule, row.subject), []).append(Received(receipt, frozenset(json.loads(row.assets))))
    return found


def receipt_of(asset: str, received: Iterable[Received]) -> Receipt | None:
    """The earliest receipt for a file."""
    return min((r.receipt for r in received if asset in r.assets), key=lambda r: (r.at, r.number), default=None)


def _proof() -> Any:
    """The dockings of a recorder, by key and by id, and of whatever recorder either of two persons brought, that were the first
    after somebody left and until another time. Folders prove nothing, and neither does what was handed in before they left."""
    k, n = t.docking.c, b.brought.c
    left: Any = bindparam("left")
    back: Any = bindparam("back")

    def own(column: Any, name: str) -> Any:
        mine = select(k.opened_at).where(column == bindparam(name), k.opened_at > left, k.opened_at <= back)
        return mine.where(~k.recorder.startswith("folder:")).order_by(k.opened_at).limit(1).scalar_subquery()

    def theirs(name: str) -> Any:
        brought = select(n.at).where(n.person == bindparam(name), n.at > left, n.at <= back, n.handed_in > left)
        return brought.order_by(n.at).limit(1).scalar_subquery()

    return select(own(k.recorder, "source"), own(k.recorder_id, "recorder"), theirs("one"), theirs("other"))


_PROOF = _proof()


def proofs(
    conn: Connection, left: str, back: str, persons: Sequence[str], source: str = "", recorder: str = ""
) -> list[str]:
    """When a recorder, or one that any of these persons (two at most) had, was docked first after a time and until another."""
    one, other = (*persons, "", "")[:2]
    asked = {"left": left, "back": back, "source": source, "recorder": recorder, "one": one, "other": other}
    return [at for at in conn.execute(_PROOF, asked).one() if at is not None]


def out_since(conn: Connection, recorder: str, docked: str, entered: int) -> str | None:
    """When a recorder was handed out first since the last time that all of it was taken, before a docking: what is found on it
    cannot be older. None if nobody said so before it was docked (``entered``: as the docking's event stands in the log): what is
    entered afterwards helps nobody."""
    k, m = t.docking.c, b.recorder_move.c
    last = select(func.max(k.opened_at)).where(k.recorder_id == recorder, k.opened_at < docked, k.state == "complete")
    taken = conn.execute(last).scalar() or ""
    out = (m.recorder == recorder, m.state == "issued", m.at >= taken, m.at <= docked)
    first, seq = conn.execute(select(func.min(m.at), func.min(m.seq)).where(*out)).one()
    return None if seq is None or seq > entered else str(first)


def seen_only(conn: Connection, docking: str, counted: Counted) -> list[Row[Any]]:
    """Files that a docking saw, wanted and did not get: failed, or not reached. What was stored under the same name, size and time
    since then is no longer one of them. What failed and has no time is a folder that could not be read."""
    f, k, c = t.source_file.c, t.docking.c, t.claim.c
    query = (
        select(
            f.volume, f.path, f.size, f.mtime_ns, f.outcome, k.recorder, k.recorder_id, k.officer, k.channel, k.opened_at,
            k.profile, k.zones, b.brought.c.person.label("brought"), *_where_it_lies(counted.vaults), c.asset,
        )
        .join(t.docking, k.id == f.docking)
        .join(b.brought, b.brought.c.docking == k.id, isouter=True)
        .join(
            t.claim,
            and_(c.source == k.recorder, c.volume == f.volume, c.path == f.path, c.size == f.size, c.mtime_ns == f.mtime_ns),
            isouter=True,
        )
        .join(t.asset, t.asset.c.id == c.asset, isouter=True)
        .where(f.docking == docking, or_(f.outcome.is_(None), and_(f.outcome == "failed", f.mtime_ns != 0)))
        .order_by(f.volume, f.path)
    )  # fmt: skip
    return list(conn.execute(query))


def docked_last(conn: Connection, recording: str) -> datetime | None:
    """When the docking began that brought the last file of a recording; nobody was recording any more by then."""
    m, a, k = t.recording_asset.c, t.asset.c, t.docking.c
    query = select(func.max(k.opened_at)).join(t.asset, a.docking == k.id).join(t.recording_asset, m.asset == a.id)
    found = conn.execute(query.where(m.recording == recording)).scalar()
    return None if found is None else datetime.fromisoformat(found)


def recordings_of_dockings(conn: Connection, dockings: Sequence[str]) -> list[str]:
    """Recordings of which a docking brought a file."""
    m, a = t.recording_asset.c, t.asset.c
    query = select(m.recording).distinct().join(t.asset, a.id == m.asset)
    return [each for chunk in chunks(dockings) for each in conn.execute(query.where(a.docking.in_(chunk))).scalars()]


def rulings(conn: Connection, subjects: Iterable[str]) -> dict[tuple[str, str], dict[str, Any]]:
    """(Rule, subject) to the ruling that stands."""
    d = b.deadline.c
    return {
        (row.rule, row.subject): json.loads(row.detail)
        for chunk in chunks(sorted(set(subjects)))
        for row in conn.execute(select(d.rule, d.subject, d.detail).where(d.subject.in_(chunk)))
    }


def in_order(conn: Connection) -> Iterator[tuple[str, str, str]]:
    """Rule, limit (empty for none) and subject of every ruling that stands, in that order."""
    d = b.deadline.c
    limit = func.coalesce(d.due_at, "")
    for row in conn.execute(select(d.rule, limit, d.subject).order_by(d.rule, limit, d.subject)):
        yield row[0], row[1], row[2]


def pressing(conn: Connection, soon: str, limit: int) -> list[Row[Any]]:
    """What is late, or will be until ``soon``, or has a limit that nobody can know; the most pressing first. What is late is among
    it as long as nobody gave a reason in writing."""
    d = b.deadline.c
    urgent = (
        and_(d.state == "waiting", d.justified.is_(False), d.due_at <= soon),
        and_(d.state == "late", d.justified.is_(False)),
        and_(d.state == "open", d.justified.is_(False)),
        and_(d.state == "untrusted", d.justified.is_(False)),
    )
    # Each by itself in the index; together they would be a walk over all rulings.
    found = [
        row for where in urgent for row in conn.execute(select(b.deadline).where(where).order_by(d.due_at).limit(limit))
    ]
    return sorted(found, key=lambda row: (row.due_at is None, row.due_at or "", row.rule, row.subject))[:limit]


def counts(conn: Connection, now: str, soon: str) -> dict[tuple[str, str], int]:
    """(Rule, what) to how many: ``late`` (and not met), ``late-unexplained`` (met late, without a reason in writing),
    ``soon-late``, ``open``, ``untrusted``."""
    d = b.deadline.c
    each = {
        "late": and_(d.state == "waiting", d.justified.in_((False, True)), d.due_at < now),
        "soon-late": and_(d.state == "waiting", d.justified.in_((False, True)), d.due_at >= now, d.due_at <= soon),
        "late-unexplained": and_(d.state == "late", d.justified.is_(False)),
        "open": d.state == "open",
        "untrusted": d.state == "untrusted",
    }
    return {
        (row[0], what): row[1]
        for what, where in each.items()
        for row in conn.execute(select(d.rule, func.count()).where(where).group_by(d.rule))
    }


def untagged(conn: Connection, before: str, since: str = "") -> tuple[int, Row[Any] | None]:
    """How many recordings that want a case were of none since before then, and the one of them that is the oldest. What was there
    before ``since`` is not counted."""
    u = b.untagged.c
    bare = and_(u.exempt.is_(False), u.since >= since, u.since < before)
    oldest = conn.execute(select(b.untagged).where(bare).order_by(u.since, u.recording).limit(1)).first()
    return conn.execute(select(func.count()).where(bare)).scalar_one(), oldest


def overdue_trips(conn: Connection, now: str) -> list[Row[Any]]:
    """Trips from which they were expected back, and nobody said that they are; the oldest first."""
    k = b.trip.c
    late = select(b.trip).where(k.returned.is_(None), k.expected < now, k.void.is_(False))
    return list(conn.execute(late.order_by(k.expected, k.id)))


def rules_in_force(conn: Connection) -> dict[str, Any] | None:
    """The rules as they were adopted; None for none yet."""
    detail = conn.execute(select(b.rules.c.detail)).scalar()
    return None if detail is None else dict(json.loads(detail))


def storage_rulings(conn: Connection) -> dict[str, dict[str, Any]]:
    """Recording to its ruling by Article 28."""
    d = b.deadline.c
    query = select(d.subject, d.detail).where(d.rule == STORAGE)
    return {row.subject: json.loads(row.detail) for row in conn.execute(query)}


def said_of_all(conn: Connection, what: str) -> dict[str, dict[str, Any]]:
    """The same as ``said`` of every recording of which something was said."""
    s = b.said_of.c
    return {
        row.recording: json.loads(row.detail)
        for row in conn.execute(select(s.recording, s.detail).where(s.what == what))
    }


def without_ruling(conn: Connection) -> list[str]:
    """Recordings that nothing was ruled of yet: a docking is under way, or they are older than the rules."""
    r, d = t.recording.c, b.deadline.c
    ruled = exists().where(d.subject == r.id, d.rule == STORAGE)
    return list(conn.execute(select(r.id).where(r.kind != "data", ~ruled)).scalars())


def body_of(row: Row[Any]) -> dict[str, Any]:
    """A ruling's row as its event holds it."""
    return dict(json.loads(row.detail))


def statuses(conn: Connection, now: str) -> dict[str, int]:
    """Status to how many limits have it, by the rulings that stand; not those that are met or not applicable, which are most of
    what there is after some years and would have to be walked over."""
    d = b.deadline.c
    counted = select(d.state, func.count()).where(d.state.in_(("waiting", "late", "open", "untrusted")))
    found = {row[0]: row[1] for row in conn.execute(counted.group_by(d.state))}
    late = and_(d.state == "waiting", d.justified.in_((False, True)), d.due_at < now)
    passed = conn.execute(select(func.count()).where(late)).scalar_one()
    waiting = found.pop("waiting", 0)
    return {**found, "due": waiting - passed, "late": found.get("late", 0) + passed}
