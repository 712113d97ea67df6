"""What previews ask: what a recording is made of, what helps, and what became of its preview."""

from typing import Any

from sqlalchemy import Connection, Row, and_, func, select

from mediad.catalog import tables as t
from mediad.catalog.apply import upsert
from mediad.model.custody import canonical


def to_show(conn: Connection, recording_id: str, vault: str) -> list[Row[Any]]:
    """The assets of a recording in order: digest, size, raw path, probe, timing, and key of the healthy replica (or null)."""
    m, a, r = t.recording_asset.c, t.asset.c, t.replica.c
    query = (
        select(
            a.id.label("asset"), a.sha256, a.size, a.path, r.key, t.probe.c.detail.label("probe"),
            t.timing.c.detail.label("timing"), a.docking,
        )
        .join(t.asset, a.id == m.asset)
        .join(t.replica, and_(r.asset == a.id, r.vault == vault, r.state == "healthy"), isouter=True)
        .join(t.probe, t.probe.c.asset == a.id, isouter=True)
        .join(t.timing, t.timing.c.asset == a.id, isouter=True)
        .where(m.recording == recording_id)
        .order_by(m.position)
    )  # fmt: skip
    return list(conn.execute(query))


def siblings(conn: Connection, source: str, kind: str, vault: str, at: str, limit: int) -> list[Row[Any]]:
    """Assets of a source (as their timing names it) that are of one kind and probed: so many that began before a time, and so many
    from then on, the nearest of each first; rows as of ``to_show``."""
    s, r, a = t.timing.c, t.replica.c, t.asset.c
    query = (
        select(
            a.id.label("asset"), a.sha256, a.size, a.path, r.key, t.probe.c.detail.label("probe"),
            s.detail.label("timing"), a.docking,
        )
        .join(t.probe, t.probe.c.asset == s.asset)
        .join(t.asset, a.id == s.asset)
        .join(t.replica, and_(r.asset == s.asset, r.vault == vault, r.state == "healthy"))
        .where(s.source == source, s.kind == kind)
        .limit(limit)
    )  # fmt: skip
    before = query.where(s.started_at < at).order_by(s.started_at.desc())
    after = query.where(s.started_at >= at).order_by(s.started_at)
    return [*conn.execute(before), *conn.execute(after)]


def beside(conn: Connection, recording_id: str) -> list[Row[Any]]:
    """Recordings of the same source by another lens that were taken at the same time."""
    mine, other = t.recording.alias(), t.recording
    query = (
        select(other.c.id, other.c.lens)
        .join(mine, and_(mine.c.source == other.c.source, mine.c.id == recording_id))
        .where(
            other.c.id != recording_id, other.c.lens != mine.c.lens, other.c.lens != "", mine.c.lens != "",
            other.c.started_at < mine.c.ended_at, other.c.ended_at > mine.c.started_at,
        )
    )  # fmt: skip
    return list(conn.execute(query))


def note(conn: Connection, recording_id: str, state: str, made_of: str, at: str, detail: dict[str, Any]) -> None:
    """What became of a recording's preview."""
    row = {"recording": recording_id, "state": state, "made_of": made_of, "at": at, "detail": canonical(detail)}
    upsert(conn, t.preview, [row])


def forget(conn: Connection, recording_id: str) -> None:
    conn.execute(t.preview.delete().where(t.preview.c.recording == recording_id))


def outcome(conn: Connection, recording_id: str) -> Row[Any] | None:
    return conn.execute(select(t.preview).where(t.preview.c.recording == recording_id)).first()


def failed(conn: Connection) -> int:
    """How many recordings can have no preview."""
    query = select(func.count()).select_from(t.preview).where(t.preview.c.state == "failed")
    return int(conn.execute(query).scalar_one())
