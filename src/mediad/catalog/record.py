"""The only way a fact gets into the catalogue: append it to the custody log and apply it to the tables, in one transaction.

``rebuild`` runs the same ``apply`` over the mirrored log, so an event's detail holds the whole new state.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select, update

from mediad.catalog import apply_brought, apply_bureau, apply_handover, apply_limits
from mediad.catalog import tables as t
from mediad.catalog.apply import Batch, Row, becomes_due, insert_new, no_longer_due, raw_bytes, upsert
from mediad.catalog.chunks import chunks
from mediad.model import custody
from mediad.model.custody import GENESIS, Draft, Event, canonical
from mediad.model.evidence import Outcome
from mediad.model.instants import stamp


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


def _station_founded(conn: Connection, batch: Batch) -> None:
    upsert(conn, t.station, [{"id": e.subject, "unit": d["unit"], "founded_at": e.at} for e, d in batch])


def _vault_registered(conn: Connection, batch: Batch) -> None:
    apply_limits.counted(conn, batch)
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
    for row in rows:
        apply_brought.opened(conn, row["id"], row["recorder_id"], row["recorder"], row["opened_at"])


def _docking_listed(conn: Connection, batch: Batch) -> None:
    rows = [
        {"docking": e.subject, "volume": f["volume"], "path": raw_bytes(f["path_b64"]), "size": f["size"],
         "mtime_ns": f["mtime_ns"], "birth_ns": f.get("birth_ns"), "outcome": f.get("outcome"), "asset": None,
         "why": f.get("why", "")}
        for e, d in batch for f in d["files"]
    ]  # fmt: skip
    insert_new(conn, t.source_file, rows)


def _docking_closed(conn: Connection, batch: Batch) -> None:
    for e, d in batch:
        values = {"state": d["state"], "closed_at": d["ended_at"], **d["counts"],
                  "handover_key": d["handover"]["key"], "handover_sha256": d["handover"]["sha256"]}  # fmt: skip
        conn.execute(update(t.docking).where(t.docking.c.id == e.subject).values(**values))
    becomes_due(conn, "assemble", [(e.subject, e.at) for e, _ in batch])
    for e, d in batch:
        apply_limits.docked(conn, e.subject, e.at)
        apply_handover.closed(conn, e.subject, e.at, d)


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
        "_volume": detail["volume"], "_path": raw_bytes(detail["path_b64"]), "_size": detail["size"],
        "_outcome": outcome.value, "_asset": asset, "_why": why,
    }  # fmt: skip


def _claim(detail: Mapping[str, Any], asset: str) -> Row:
    return {
        "source": detail["source"], "volume": detail["volume"], "path": raw_bytes(detail["path_b64"]),
        "size": detail["size"], "mtime_ns": detail["mtime_ns"], "birth_ns": detail.get("birth_ns"),
        "device": detail.get("device", 0), "inode": detail.get("inode", 0), "docking": detail["docking"], "asset": asset,
    }  # fmt: skip


def _asset_stored(conn: Connection, batch: Batch) -> None:
    assets, replicas, recordings, members = [], [], [], []
    for e, d in batch:
        captured = d["captured"]
        assets.append(
            {"id": e.subject, "sha256": d["sha256"], "sm3": d.get("sm3"), "size": d["size"], "kind": d["kind"],
             "docking": d["docking"], "volume": d["volume"], "path": raw_bytes(d["path_b64"]), "mtime_ns": d["mtime_ns"],
             "captured_at": captured["value"], "captured_source": captured["source"],
             "captured_confidence": captured["confidence"], "stored_at": e.at}
        )  # fmt: skip
        replicas.append(_replica(e, d))
        recordings.append(
            {"id": d["recording"], "kind": d["kind"], "started_at": captured["value"], "ended_at": captured["value"],
             "provisional": True, "source": d["source"], "label": d["label"], "officer": d["officer"],
             "channel": d["channel"], "important": d["important"], "confidence": captured["confidence"]}
        )  # fmt: skip
        members.append({"recording": d["recording"], "position": 0, "asset": e.subject})
    conn.execute(insert(t.asset), assets)
    conn.execute(insert(t.replica), replicas)
    conn.execute(insert(t.recording), recordings)
    conn.execute(insert(t.recording_asset), members)
    upsert(conn, t.claim, [_claim(d, e.subject) for e, d in batch])
    _outcomes(conn, [_outcome(d, d["docking"], Outcome.STORED, e.subject) for e, d in batch])
    becomes_due(conn, "probe", [(e.subject, e.at) for e, _ in batch])


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


def _asset_probed(conn: Connection, batch: Batch) -> None:
    rows = [{"asset": e.subject, "detail": canonical(d["probe"])} for e, d in batch]
    upsert(conn, t.probe, rows)
    no_longer_due(conn, "probe", [e.subject for e, _ in batch])
    becomes_due(conn, "assemble", {d["docking"]: e.at for e, d in batch}.items())


def _clock_measured(conn: Connection, batch: Batch) -> None:
    rows = [{"docking": e.subject, "detail": canonical(d)} for e, d in batch]
    upsert(conn, t.clock, rows)
    becomes_due(conn, "assemble", [(e.subject, e.at) for e, _ in batch])


def _clock_withdrawn(conn: Connection, batch: Batch) -> None:
    for e, _ in batch:
        conn.execute(delete(t.clock).where(t.clock.c.docking == e.subject))
    becomes_due(conn, "assemble", [(e.subject, e.at) for e, _ in batch])


def _asset_timed(conn: Connection, batch: Batch) -> None:
    names = ("source", "kind", "started_at", "ended_at", "confidence", "officer", "important", "lens")
    rows = [{"asset": e.subject, **{n: d[n] for n in names}, "detail": canonical(d)} for e, d in batch]
    upsert(conn, t.timing, rows)
    m, r = t.recording_asset.c, t.recording.c
    at = {e.subject: e.at for e, _ in batch}
    where = {
        row.recording: at[row.asset]
        for chunk in chunks(list(at))
        for row in conn.execute(select(m.recording, m.asset).where(m.asset.in_(chunk)))
    }
    _sum_up(conn, list(where))
    apply_bureau.timed(conn, where)
    for chunk in chunks(list(where)):
        for kind, stage in (("photo", "photo"), ("video", "preview"), ("audio", "preview")):
            shown = conn.execute(
                select(r.id).where(r.id.in_(chunk), r.kind == kind, r.provisional.is_(False))
            ).scalars()
            becomes_due(conn, stage, [(each, where[each]) for each in shown])


def _recording_joined(conn: Connection, batch: Batch) -> None:
    m, a = t.recording_asset.c, t.recording_alias.c
    for e, d in batch:
        gone = [r for r in d["absorbed"] if r != e.subject]
        conn.execute(delete(t.recording_asset).where(m.asset.in_(d["assets"])))
        rows = [{"recording": e.subject, "position": n, "asset": asset} for n, asset in enumerate(d["assets"])]
        conn.execute(insert(t.recording_asset), rows)
        conn.execute(update(t.recording_alias).where(a.recording.in_(gone)).values(recording=e.subject))
        upsert(conn, t.recording_alias, [{"alias": r, "recording": e.subject} for r in gone])
        conn.execute(delete(t.recording).where(t.recording.c.id.in_(gone)))
        told = canonical({"gaps": d["gaps"], "remarks": d["remarks"]})
        conn.execute(update(t.recording).where(t.recording.c.id == e.subject).values(joined=told))
        _sum_up(conn, [e.subject])
        becomes_due(conn, "preview", [(r, e.at) for r in [e.subject, *gone]])  # of what is gone, to be cleared away
        apply_bureau.joined(conn, e.subject, gone, e.at)


_SUMMED = (
    update(t.recording)
    .where(t.recording.c.id == bindparam("_recording"))
    .values(
        started_at=bindparam("_start"), ended_at=bindparam("_end"), confidence=bindparam("_confidence"),
        kind=bindparam("_kind"), lens=bindparam("_lens"), officer=bindparam("_officer"),
        important=bindparam("_important"), provisional=bindparam("_provisional"),
    )
)  # fmt: skip


def _sum_up(conn: Connection, recordings: Sequence[str]) -> None:
    """A recording's own facts are those of its segments: first start, last end, the first one's kind and confidence, the first
    officer that is named, and important if any is. A segment that is not timed yet says nothing; as long as one was never probed,
    what the recording says is provisional."""
    m, s = t.recording_asset.c, t.timing.c
    columns = (m.recording, s.started_at, s.ended_at, s.confidence, s.kind, s.officer, s.important, s.lens)
    query = select(*columns, t.probe.c.asset.label("probed")).join(t.recording_asset, m.asset == s.asset)
    query = query.join(t.probe, t.probe.c.asset == s.asset, isouter=True)
    parts: dict[str, list[Any]] = {}
    for chunk in chunks(recordings):
        for row in conn.execute(query.where(m.recording.in_(chunk)).order_by(m.recording, m.position)):
            parts.setdefault(row.recording, []).append(row)
    rows = [
        {"_recording": recording, "_start": min(p.started_at for p in own), "_end": max(p.ended_at for p in own),
         "_confidence": own[0].confidence, "_kind": own[0].kind, "_lens": own[0].lens,
         "_officer": next((p.officer for p in own if p.officer), ""), "_important": any(p.important for p in own),
         "_provisional": any(p.probed is None for p in own)}
        for recording, own in parts.items()
    ]  # fmt: skip
    if rows:
        conn.execute(_SUMMED, rows)


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
    "asset.probed": _asset_probed,
    "asset.timed": _asset_timed,
    "recording.joined": _recording_joined,
    "clock.measured": _clock_measured,
    "clock.withdrawn": _clock_withdrawn,
    "alarm.raised": _alarm_raised,
    **apply_bureau.APPLY,
    **apply_limits.APPLY,
    **apply_handover.APPLY,
    "catalogue.rebuilt": lambda _conn, _batch: None,  # a fact about the catalogue, in none of its tables
}

KINDS = frozenset(_APPLY)
"""Every kind of event that this program writes."""
