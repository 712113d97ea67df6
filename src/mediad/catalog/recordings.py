"""Recordings and their assets: which is in which, what their ids mean, what is known of them."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, select

from mediad.catalog import bureau_tables as b
from mediad.catalog import tables as t
from mediad.catalog.chunks import chunks


def resolve(conn: Connection, recording_id: str) -> str:
    """The recording that an id means: itself, or the one that it was joined to."""
    found = conn.execute(
        select(t.recording_alias.c.recording).where(t.recording_alias.c.alias == recording_id)
    ).scalar()
    return recording_id if found is None else str(found)


def recording_of(conn: Connection, name: str) -> str | None:
    """The recording that an id of a recording or an asset means now; None if it means nothing."""
    if name.startswith("ast-"):
        return recordings_of(conn, [name]).get(name)
    found = resolve(conn, name)
    return found if conn.execute(select(t.recording.c.id).where(t.recording.c.id == found)).first() else None


def began(conn: Connection, recording: str) -> datetime | None:
    """When a recording began, as a person said, else by its files; None where no time can be true."""
    s, r = b.said_of.c, t.recording.c
    said = conn.execute(select(s.detail).where(s.recording == recording, s.what == "dated")).scalar()
    if said is not None:
        body = json.loads(said)
        return datetime.fromisoformat(body.get("started_at") or body["ended_at"])
    row = conn.execute(select(r.started_at, r.confidence).where(r.id == recording)).first()
    return None if row is None or row.confidence == "untrusted" else datetime.fromisoformat(row.started_at)


def recordings_of(conn: Connection, assets: Iterable[str]) -> dict[str, str]:
    """Asset to the recording that it is in."""
    m = t.recording_asset.c
    query = select(m.asset, m.recording)
    return {
        row.asset: row.recording
        for chunk in chunks(sorted(assets))
        for row in conn.execute(query.where(m.asset.in_(chunk)))
    }


def members(conn: Connection, recording_ids: Iterable[str]) -> dict[str, list[str]]:
    """Recording to its assets in order."""
    m = t.recording_asset.c
    found: dict[str, list[str]] = {}
    for chunk in chunks(sorted(recording_ids)):
        query = select(m.recording, m.asset).where(m.recording.in_(chunk)).order_by(m.recording, m.position)
        for row in conn.execute(query):
            found.setdefault(row.recording, []).append(row.asset)
    return found


def of_kind(conn: Connection, kind: str, recording_ids: Sequence[str]) -> list[str]:
    """Those of some recordings that are of a kind."""
    r = t.recording.c
    query = select(r.id).where(r.kind == kind)
    return [each for chunk in chunks(recording_ids) for each in conn.execute(query.where(r.id.in_(chunk))).scalars()]


def to_probe(conn: Connection, vault: str, assets: Sequence[str]) -> list[Any]:
    """Id, kind, raw path, docking and key of those of which the vault has a healthy replica."""
    a, r = t.asset.c, t.replica.c
    query = select(a.id, a.kind, a.path, a.docking, r.key).join(
        t.replica, and_(r.asset == a.id, r.vault == vault, r.state == "healthy")
    )
    return [row for chunk in chunks(assets) for row in conn.execute(query.where(a.id.in_(chunk)))]


def probes_of(conn: Connection, assets: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Asset to what its bytes say."""
    p = t.probe.c
    return {
        row.asset: json.loads(row.detail)
        for chunk in chunks(assets)
        for row in conn.execute(select(p.asset, p.detail).where(p.asset.in_(chunk)))
    }


def timing_of(conn: Connection, asset: str) -> dict[str, Any] | None:
    detail = conn.execute(select(t.timing.c.detail).where(t.timing.c.asset == asset)).scalar()
    return None if detail is None else dict(json.loads(detail))
