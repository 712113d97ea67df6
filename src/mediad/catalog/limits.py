"""Facts for the rules: what is known of recordings, of files that were seen and not stored; and the rulings that stand."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, and_, exists, func, or_, select

from mediad.catalog import bureau_tables as b
from mediad.catalog import tables as t
from mediad.catalog.bureau import Outs
from mediad.catalog.chunks import chunks
from mediad.model import carrier as carriers
from mediad.model.calendar import day_of
from mediad.model.carrier import Carrier
from mediad.model.deadline import STORAGE, Receipt
from mediad.model.people import Person


def parts_of(conn: Connection, recordings: Sequence[str]) -> dict[str, list[Any]]:
    """Recording to its files: how they are timed, when they were stored, by which docking they came, and what the recording itself
    says. Data is no recording that a limit is about."""
    r, m, a, s, k, v = t.recording.c, t.recording_asset.c, t.asset.c, t.timing.c, t.docking.c, t.replica.c
    counting = list(conn.execute(select(t.vault.c.name).where(t.vault.c.dedicated.is_(True))).scalars())
    dedicated = exists().where(v.vault.in_(counting), v.asset == a.id)
    query = (
        select(
            m.recording, a.id.label("asset"), a.captured_at, a.captured_confidence, a.stored_at, s.ended_at,
            s.confidence, s.detail, r.source, r.officer, r.channel, k.recorder_id, k.officer.label("giver"),
            k.opened_at, dedicated.label("dedicated"),
        )
        .join(t.recording, r.id == m.recording)
        .join(t.asset, a.id == m.asset)
        .join(t.docking, k.id == a.docking)
        .join(t.timing, s.asset == a.id, isouter=True)
        .where(r.kind != "data")
        .order_by(m.recording, m.position)
    )  # fmt: skip
    found: dict[str, list[Any]] = {}
    for chunk in chunks(recordings):
        for row in conn.execute(query.where(m.recording.in_(chunk))):
            found.setdefault(row.recording, []).append(row)
    return found


def _end(row: Any) -> str:
    """When a file ended; where that cannot be true, when it was docked: who had the recorder then had recorded it."""
    untrusted = (row.confidence or row.captured_confidence) == "untrusted"
    return str(row.opened_at if untrusted else row.ended_at or row.captured_at)


def ended(rows: Sequence[Any], dated: Mapping[str, Any] | None) -> datetime:
    """When a recording ended, given as ``parts_of`` does: as a person said (``dated``), else as far as its files are to be
    believed."""
    return datetime.fromisoformat(dated["ended_at"] if dated else max(map(_end, rows)))


def carrier_of(
    rows: Sequence[Any],
    people: Iterable[Person],
    outs: Outs,
    told: Mapping[str, Any],
    dated: Mapping[str, Any] | None,
    zone: ZoneInfo,
) -> Carrier:
    """Who carried the recorder of a recording, given as ``parts_of`` does: by what a person ``told``, or its number, or who had
    it when the recording ended (``dated``: as a person said)."""
    at = ended(rows, dated)
    number = rows[0].officer or rows[0].giver
    had = outs.at(rows[0].recorder_id, at)
    return carriers.carrier(number, day_of(at, zone), at, people, had, told.get("carrier", ""))


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
    query = select(e.rule, e.subject, e.assets, e.detail).where(e.what == "receipt").order_by(e.at, e.said_of)
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


def first_docking(conn: Connection, column: str, name: str, after: str, until: str) -> str | None:
    """When a recorder was docked first after a time and until another: by key (column ``recorder``) or id (``recorder_id``).
    Folders are none."""
    k = t.docking.c
    query = select(k.opened_at).where(k[column] == name, k.opened_at > after, k.opened_at <= until)
    return conn.execute(query.where(~k.recorder.startswith("folder:")).order_by(k.opened_at).limit(1)).scalar()


def seen_only(conn: Connection, docking: str) -> list[Row[Any]]:
    """Files that a docking saw, wanted and did not get: failed, or not reached. What was stored under the same name, size and time
    since then is no longer one of them."""
    f, k, c = t.source_file.c, t.docking.c, t.claim.c
    query = (
        select(
            f.volume, f.path, f.size, f.mtime_ns, f.outcome, k.recorder, k.recorder_id, k.officer, k.channel, k.opened_at,
            k.profile, k.zones, t.asset.c.stored_at, c.asset,
        )
        .join(t.docking, k.id == f.docking)
        .join(
            t.claim,
            and_(c.source == k.recorder, c.volume == f.volume, c.path == f.path, c.size == f.size, c.mtime_ns == f.mtime_ns),
            isouter=True,
        )
        .join(t.asset, t.asset.c.id == c.asset, isouter=True)
        .where(f.docking == docking, or_(f.outcome.is_(None), f.outcome == "failed"), f.mtime_ns > 0)
        .order_by(f.volume, f.path)
    )  # fmt: skip
    return list(conn.execute(query))


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


def bodies(conn: Connection) -> dict[tuple[str, str], dict[str, Any]]:
    """Every ruling that stands, by rule and subject."""
    d = b.deadline.c
    return {
        (row.rule, row.subject): json.loads(row.detail) for row in conn.execute(select(d.rule, d.subject, d.detail))
    }


def pressing(conn: Connection, soon: str, limit: int) -> list[Row[Any]]:
    """What is late, or will be until ``soon``, or has a limit that nobody can know; the most pressing first. What is late is among
    it as long as nobody gave a reason in writing."""
    d = b.deadline.c
    urgent = (
        and_(d.state == "waiting", d.told.is_(False), d.due_at <= soon),
        and_(d.state == "late", d.told.is_(False)),
        and_(d.state == "open", d.told.is_(False)),
        and_(d.state == "untrusted", d.told.is_(False)),
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
        "late": and_(d.state == "waiting", d.told.in_((False, True)), d.due_at < now),
        "soon-late": and_(d.state == "waiting", d.told.in_((False, True)), d.due_at >= now, d.due_at <= soon),
        "late-unexplained": and_(d.state == "late", d.told.is_(False)),
        "open": d.state == "open",
        "untrusted": d.state == "untrusted",
    }
    return {
        (row[0], what): row[1]
        for what, where in each.items()
        for row in conn.execute(select(d.rule, func.count()).where(where).group_by(d.rule))
    }


def untagged(conn: Connection, before: str) -> tuple[int, Row[Any] | None]:
    """How many recordings were of no case since before then, and the one of them that is the oldest."""
    u = b.untagged.c
    oldest = conn.execute(select(b.untagged).where(u.since < before).order_by(u.since, u.recording).limit(1)).first()
    return conn.execute(select(func.count()).where(u.since < before)).scalar_one(), oldest


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
    """Status to how many limits have it, by the rulings that stand."""
    d = b.deadline.c
    found = {row[0]: row[1] for row in conn.execute(select(d.state, func.count()).group_by(d.state))}
    late = and_(d.state == "waiting", d.told.in_((False, True)), d.due_at < now)
    passed = conn.execute(select(func.count()).where(late)).scalar_one()
    waiting = found.pop("waiting", 0)
    return {**found, "due": waiting - passed, "late": found.get("late", 0) + passed}
