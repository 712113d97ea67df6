"""The only way a fact gets into the catalogue: append it to the custody log and apply it to the tables, in one transaction.

``rebuild`` runs the same ``apply`` over the mirrored log, so an event's detail holds the whole new state.
"""

import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Table, and_, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from mediad.catalog import tables as t
from mediad.model import custody
from mediad.model.custody import GENESIS, Draft, Event, canonical
from mediad.model.evidence import Outcome

Row = dict[str, Any]


def stamp(at: datetime) -> str:
    """RFC 3339 in UTC with microseconds: sorts as text."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def head(conn: Connection) -> tuple[int, str]:
    """Sequence number and hash of the newest event; (0, GENESIS) for none."""
    row = conn.execute(select(t.custody.c.seq, t.custody.c.hash).order_by(t.custody.c.seq.desc()).limit(1)).first()
    return (row.seq, row.hash) if row else (0, GENESIS)


def record(conn: Connection, drafts: Sequence[Draft], *, at: datetime, station: str, actor: str) -> list[Event]:
    """Chain the drafts behind the head and apply them. Call it inside ``Catalog.write``; returns the events."""
    seq, prev = head(conn)
    when = stamp(at)
    events: list[Event] = []
    for draft in drafts:
        seq += 1
        event = custody.link(prev, seq, when, station, actor, draft)
        prev = event.hash
        events.append(event)
    append(conn, events)
    _apply(conn, [(event, draft.detail) for event, draft in zip(events, drafts, strict=True)])
    return events


def append(conn: Connection, events: Iterable[Event]) -> None:
    """Put events into the custody table as they are."""
    rows = [
        {"seq": e.seq, "at": e.at, "station": e.station, "actor": e.actor, "kind": e.kind, "subject": e.subject,
         "detail": e.detail, "prev": e.prev, "hash": e.hash}
        for e in events
    ]  # fmt: skip
    if rows:
        conn.execute(insert(t.custody), rows)


def apply(conn: Connection, events: Iterable[Event]) -> None:
    """Bring the fact tables to what the events say. Unknown kinds are kept in the log and change no table: an older
    program can rebuild what it understands of a newer one's log."""
    _apply(conn, [(event, event.body()) for event in events])


def _apply(conn: Connection, facts: Iterable[tuple[Event, Mapping[str, Any]]]) -> None:
    for kind, group in groupby(facts, key=lambda fact: fact[0].kind):
        if rule := _APPLY.get(kind):
            rule(conn, list(group))


Batch = Sequence[tuple[Event, Mapping[str, Any]]]


def _bytes(text: str) -> bytes:
    return binascii.a2b_base64(text, strict_mode=True)


def upsert(conn: Connection, table: Table, rows: list[Row], *, keep: Sequence[str] = ()) -> None:
    """Insert, or replace what has the same primary key; columns in ``keep`` stay as they were there."""
    if not rows:
        return
    dialect = postgresql if conn.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    keys = [c.name for c in table.primary_key]
    others = {c: statement.excluded[c] for c in rows[0] if c not in keys and c not in keep}
    conn.execute(statement.on_conflict_do_update(index_elements=keys, set_=others), rows)


def _insert_new(conn: Connection, table: Table, rows: list[Row]) -> None:
    """Insert, leaving alone what has the same primary key."""
    if rows:
        dialect = postgresql if conn.dialect.name == "postgresql" else sqlite
        conn.execute(dialect.insert(table).on_conflict_do_nothing(), rows)


def _station_founded(conn: Connection, batch: Batch) -> None:
    upsert(conn, t.station, [{"id": e.subject, "unit": d["unit"], "founded_at": e.at} for e, d in batch])


def _vault_registered(conn: Connection, batch: Batch) -> None:
    rows = [
        {
            "name": e.subject,
            "marker": d["marker"],
            "kind": d["kind"],
            "dedicated": d["dedicated"],
            "registered_at": e.at,
        }
        for e, d in batch
    ]
    upsert(conn, t.vault, rows, keep=["registered_at"])


def _recorder_registered(conn: Connection, batch: Batch) -> None:
    for e, d in batch:
        row = {"id": e.subject, "label": d["label"], "name": d["name"], "profile": d["profile"], "registered_at": e.at}
        upsert(conn, t.recorder, [row], keep=["registered_at"])
        conn.execute(delete(t.recorder_key).where(t.recorder_key.c.recorder == e.subject))
        upsert(conn, t.recorder_key, [{"key": key, "recorder": e.subject} for key in d["keys"]])


def _slot_named(conn: Connection, batch: Batch) -> None:
    upsert(conn, t.slot, [{"port": e.subject, "name": d["name"]} for e, d in batch])


def _docking_opened(conn: Connection, batch: Batch) -> None:
    names = (
        "recorder", "recorder_id", "label", "registered", "slot", "source", "channel", "profile", "officer", "continues",
    )  # fmt: skip
    rows = [
        {"id": e.subject, "actor": e.actor, "opened_at": e.at, "seq": e.seq, "state": "open",
         **{n: d[n] for n in names},
         "said": None if d["said"] is None else canonical(d["said"]), "zones": canonical(d["zones"])}
        for e, d in batch
    ]  # fmt: skip
    conn.execute(insert(t.docking), rows)


def _docking_listed(conn: Connection, batch: Batch) -> None:
    rows = [
        {"docking": e.subject, "volume": f["volume"], "path": _bytes(f["path_b64"]), "size": f["size"],
         "mtime_ns": f["mtime_ns"], "birth_ns": f.get("birth_ns"), "outcome": f.get("outcome"), "asset": None,
         "why": f.get("why", "")}
        for e, d in batch for f in d["files"]
    ]  # fmt: skip
    _insert_new(conn, t.source_file, rows)


def _docking_closed(conn: Connection, batch: Batch) -> None:
    for e, d in batch:
        values = {"state": d["state"], "closed_at": d["ended_at"], **d["counts"],
                  "handover_key": d["handover"]["key"], "handover_sha256": d["handover"]["sha256"]}  # fmt: skip
        conn.execute(update(t.docking).where(t.docking.c.id == e.subject).values(**values))


_OUTCOME = (
    update(t.source_file)
    .where(
        and_(
            t.source_file.c.docking == bindparam("_docking"),
            t.source_file.c.volume == bindparam("_volume"),
            t.source_file.c.path == bindparam("_path"),
        )
    )
    .values(
        outcome=bindparam("_outcome"), asset=bindparam("_asset"), why=bindparam("_why"),
        size=func.coalesce(bindparam("_size"), t.source_file.c.size),
        mtime_ns=func.coalesce(bindparam("_mtime_ns"), t.source_file.c.mtime_ns),
    )
)  # fmt: skip


def _outcomes(conn: Connection, rows: list[Row]) -> None:
    conn.execute(_OUTCOME, rows)


def _outcome(detail: Mapping[str, Any], docking: str, outcome: Outcome, asset: str | None, why: str = "") -> Row:
    return {
        "_docking": docking, "_mtime_ns": detail.get("mtime_ns"),
        "_volume": detail["volume"], "_path": _bytes(detail["path_b64"]), "_size": detail["size"],
        "_outcome": outcome.value, "_asset": asset, "_why": why,
    }  # fmt: skip


def _claim(detail: Mapping[str, Any], asset: str) -> Row:
    return {
        "source": detail["source"], "volume": detail["volume"], "path": _bytes(detail["path_b64"]),
        "size": detail["size"], "mtime_ns": detail["mtime_ns"], "birth_ns": detail.get("birth_ns"),
        "device": detail.get("device", 0), "inode": detail.get("inode", 0), "docking": detail["docking"], "asset": asset,
    }  # fmt: skip


def _asset_stored(conn: Connection, batch: Batch) -> None:
    assets, replicas, recordings, members = [], [], [], []
    for e, d in batch:
        captured = d["captured"]
        assets.append(
            {"id": e.subject, "sha256": d["sha256"], "sm3": d.get("sm3"), "size": d["size"], "kind": d["kind"],
             "docking": d["docking"], "volume": d["volume"], "path": _bytes(d["path_b64"]), "mtime_ns": d["mtime_ns"],
             "captured_at": captured["value"], "captured_source": captured["source"],
             "captured_confidence": captured["confidence"], "stored_at": e.at}
        )  # fmt: skip
        replicas.append(_replica(e, d))
        recordings.append(
            {"id": d["recording"], "kind": d["kind"], "started_at": captured["value"], "ended_at": captured["value"],
             "provisional": True, "source": d["source"], "label": d["label"], "officer": d["officer"],
             "channel": d["channel"], "important": d["important"]}
        )  # fmt: skip
        members.append({"recording": d["recording"], "position": 0, "asset": e.subject})
    conn.execute(insert(t.asset), assets)
    conn.execute(insert(t.replica), replicas)
    conn.execute(insert(t.recording), recordings)
    conn.execute(insert(t.recording_asset), members)
    upsert(conn, t.claim, [_claim(d, e.subject) for e, d in batch])
    _outcomes(conn, [_outcome(d, d["docking"], Outcome.STORED, e.subject) for e, d in batch])


def _replica(event: Event, detail: Mapping[str, Any]) -> Row:
    return {
        "vault": detail["vault"], "asset": event.subject, "key": detail["key"], "version": detail.get("version"),
        "method": detail["method"], "verified_at": detail["verified_at"], "state": "healthy",
    }  # fmt: skip


def _replica_stored(conn: Connection, batch: Batch) -> None:
    """An asset's bytes lie in a vault (again): this replica stands for whatever the vault had of it before."""
    upsert(conn, t.replica, [_replica(e, d) for e, d in batch])


def _replica_lost(conn: Connection, batch: Batch) -> None:
    r = t.replica.c
    for e, d in batch:
        conn.execute(
            update(t.replica).where(r.vault == d["vault"], r.asset == e.subject, r.key == d["key"]).values(state="lost")
        )


def _asset_sighted(conn: Connection, batch: Batch) -> None:
    upsert(conn, t.claim, [_claim(d, e.subject) for e, d in batch])
    _outcomes(conn, [_outcome(d, d["docking"], Outcome.SIGHTING, e.subject) for e, d in batch])


def _file_failed(conn: Connection, batch: Batch) -> None:
    _outcomes(conn, [_outcome(d, e.subject, Outcome.FAILED, None, d["why"]) for e, d in batch])


def _alarm_raised(conn: Connection, batch: Batch) -> None:
    rows = [
        {"seq": e.seq, "at": e.at, "code": d["code"], "subject": e.subject, "detail": d["detail"]} for e, d in batch
    ]
    conn.execute(insert(t.alarm), rows)


_APPLY: Mapping[str, Callable[[Connection, Batch], None]] = {
    "station.founded": _station_founded,
    "vault.registered": _vault_registered,
    "recorder.registered": _recorder_registered,
    "slot.named": _slot_named,
    "docking.opened": _docking_opened,
    "docking.listed": _docking_listed,
    "docking.closed": _docking_closed,
    "asset.stored": _asset_stored,
    "asset.sighted": _asset_sighted,
    "replica.stored": _replica_stored,
    "replica.lost": _replica_lost,
    "file.failed": _file_failed,
    "alarm.raised": _alarm_raised,
    "catalogue.rebuilt": lambda _conn, _batch: None,  # a fact about the catalogue, in none of its tables
}

KINDS = frozenset(_APPLY)
"""Every kind of event that this program writes."""
