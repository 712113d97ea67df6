"""What the stages behind an ingest ask: originals to probe, what is known of a docking's files, recordings to show."""

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, func, or_, select

from mediad.catalog import tables as t
from mediad.catalog.chunks import chunks
from mediad.catalog.record import upsert
from mediad.model.custody import canonical


def to_probe(conn: Connection, vault: str, assets: Sequence[str]) -> list[Any]:
    """Id, kind, raw path, docking and key of those of which the vault has a healthy replica."""
    a, r = t.asset.c, t.replica.c
    query = select(a.id, a.kind, a.path, a.size, a.docking, r.key).join(
        t.replica, and_(r.asset == a.id, r.vault == vault, r.state == "healthy")
    )
    return [row for chunk in chunks(assets) for row in conn.execute(query.where(a.id.in_(chunk)))]


# --- what assembling asks -------------------------------------------------------------------------------------------


def files_of(conn: Connection, docking: str) -> list[Row[Any]]:
    """Every file of a docking that is an asset, stored then or seen again: with its claims, its probe and its timing (canonical
    JSON, or null), the docking that stored it, and the recording that it is in."""
    f, a, m = t.source_file.c, t.asset.c, t.recording_asset.c
    query = (
        select(
            f.volume, f.path, f.mtime_ns, f.birth_ns, a.id.label("asset"), a.kind, a.docking, a.stored_at,
            t.probe.c.detail.label("probe"), t.timing.c.detail.label("timing"), m.recording, t.recording.c.important,
        )
        .join(t.asset, a.id == f.asset)
        .join(t.recording_asset, m.asset == a.id)
        .join(t.recording, t.recording.c.id == m.recording)
        .join(t.probe, t.probe.c.asset == a.id, isouter=True)
        .join(t.timing, t.timing.c.asset == a.id, isouter=True)
        .where(f.docking == docking, f.outcome.in_(("stored", "sighting")))
        .order_by(f.volume, f.path)
    )  # fmt: skip
    return list(conn.execute(query))


def sources_of(conn: Connection, recorder: str, recorder_id: str | None) -> set[str]:
    """Every name under which files of a recorder may stand: its key, and if it is registered its id and all its keys; it may have
    been registered between two dockings."""
    k = t.recorder_key.c
    keys = conn.execute(select(k.key).where(k.recorder == recorder_id)).scalars() if recorder_id else ()
    return {recorder, *keys} | ({recorder_id} if recorder_id else set())


def around(conn: Connection, sources: Collection[str], first: str, last: str, without: Collection[str]) -> list[Any]:
    """Timed assets of a source that start between two stamps, and whatever is in one recording with any of them or of
    ``without`` (assets that are known to the caller already and are left out)."""
    s, m = t.timing.c, t.recording_asset.c
    columns = (s.asset, s.detail, m.recording, t.asset.c.stored_at, t.asset.c.path)
    query = select(*columns).join(t.recording_asset, m.asset == s.asset).join(t.asset, t.asset.c.id == s.asset)
    near = query.where(s.source.in_(sources), s.started_at >= first, s.started_at <= last)
    found = {row.asset: row for row in conn.execute(near)}
    recordings = {row.recording for row in found.values()} | set(recordings_of(conn, without).values())
    for chunk in chunks(sorted(recordings)):
        found |= {row.asset: row for row in conn.execute(query.where(m.recording.in_(chunk)))}
    return [row for asset, row in found.items() if asset not in without]


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


def last_complete(conn: Connection, sources: Collection[str], before: int) -> dict[str, tuple[str, str]]:
    """Volume to the newest complete docking of this recorder before event ``before`` that listed a file of that volume, and when it
    began. The newest is the one that was opened last, whatever the clock said."""
    d, f = t.docking.c, t.source_file.c
    newest = (
        select(f.volume, func.max(d.seq).label("seq"))
        .join(t.docking, d.id == f.docking)
        .where(d.recorder.in_(sources), d.state == "complete", d.seq < before)
        .group_by(f.volume)
        .subquery()
    )
    query = select(newest.c.volume, d.id, d.opened_at).join(t.docking, d.seq == newest.c.seq)
    return {row.volume: (row.id, row.opened_at) for row in conn.execute(query)}


def listed(conn: Connection, docking: str, volume: str, paths: Sequence[bytes]) -> set[bytes]:
    """Which of these paths a docking listed, taken or not."""
    f = t.source_file.c
    query = select(f.path).where(f.docking == docking, f.volume == volume)
    return {path for chunk in chunks(paths) for path in conn.execute(query.where(f.path.in_(chunk))).scalars()}


def namesakes(conn: Connection, source: str, volume: str, stems: Collection[bytes]) -> dict[bytes, dict[bytes, Any]]:
    """By stem and path: assets that a source showed last in one folder under one name, whatever the suffix; with time, docking and
    probe."""
    c = t.claim.c
    query = (
        select(c.asset, c.path, c.mtime_ns, t.probe.c.detail.label("probe"), t.asset.c.docking.label("first_docking"))
        .join(t.asset, t.asset.c.id == c.asset)
        .join(t.probe, t.probe.c.asset == c.asset, isouter=True)
        .where(c.source == source, c.volume == volume)
    )
    found: dict[bytes, dict[bytes, Any]] = {stem: {} for stem in stems}
    for some in chunks(sorted(stems)):
        ranges = (and_(c.path >= stem + b".", c.path < stem + b"/") for stem in some)
        for row in conn.execute(query.where(or_(*ranges))):
            for stem in _stems(row.path):
                if stem in found:
                    found[stem][row.path] = row
    return found


def _stems(path: bytes) -> list[bytes]:
    """Whatever stands before a dot."""
    return [path[:n] for n, byte in enumerate(path) if byte == ord(".")]


def beside_in(conn: Connection, docking: str, volume: str, stem: bytes) -> dict[bytes, str]:
    """The same of one docking: path to asset."""
    f = t.source_file.c
    query = select(f.path, f.asset).where(
        f.docking == docking, f.volume == volume, f.path >= stem + b".", f.path < stem + b"/", f.asset.is_not(None)
    )
    return {row.path: row.asset for row in conn.execute(query)}


def clock(conn: Connection, docking: str) -> dict[str, Any] | None:
    """What was measured of the recorder's clock at a docking, as the event tells it."""
    detail = conn.execute(select(t.clock.c.detail).where(t.clock.c.docking == docking)).scalar()
    return None if detail is None else dict(json.loads(detail))


# --- what previews ask ----------------------------------------------------------------------------------------------


def resolve(conn: Connection, recording_id: str) -> str:
    """The recording that an id means: itself, or the one that it was joined to."""
    found = conn.execute(
        select(t.recording_alias.c.recording).where(t.recording_alias.c.alias == recording_id)
    ).scalar()
    return recording_id if found is None else str(found)


def to_show(conn: Connection, recording_id: str, vault: str) -> list[Row[Any]]:
    """The assets of a recording in order: digest, size, raw path, probe, timing, and key of the healthy replica (or null)."""
    m, a, r = t.recording_asset.c, t.asset.c, t.replica.c
    query = (
        select(
            a.id.label("asset"), a.sha256, a.size, a.path, a.kind, r.key, t.probe.c.detail.label("probe"),
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


def siblings(conn: Connection, source: str, kind: str, vault: str, limit: int) -> list[Row[Any]]:
    """Assets of a source (as their timing names it) that are of one kind and probed, the newest first; rows as of ``to_show``."""
    s, r, a = t.timing.c, t.replica.c, t.asset.c
    query = (
        select(
            a.id.label("asset"), a.sha256, a.size, a.path, a.kind, r.key, t.probe.c.detail.label("probe"),
            s.detail.label("timing"), a.docking,
        )
        .join(t.probe, t.probe.c.asset == s.asset)
        .join(t.asset, a.id == s.asset)
        .join(t.replica, and_(r.asset == s.asset, r.vault == vault, r.state == "healthy"))
        .where(s.source == source, s.kind == kind)
        .order_by(s.started_at.desc())
        .limit(limit)
    )  # fmt: skip
    return list(conn.execute(query))


def note_preview(
    conn: Connection, recording_id: str, state: str, made_of: str, at: str, detail: dict[str, Any]
) -> None:
    """What became of a recording's preview."""
    row = {"recording": recording_id, "state": state, "made_of": made_of, "at": at, "detail": canonical(detail)}
    upsert(conn, t.preview, [row])


def forget_preview(conn: Connection, recording_id: str) -> None:
    conn.execute(t.preview.delete().where(t.preview.c.recording == recording_id))


def preview(conn: Connection, recording_id: str) -> Row[Any] | None:
    return conn.execute(select(t.preview).where(t.preview.c.recording == recording_id)).first()


def failed_previews(conn: Connection) -> int:
    """How many recordings can have no preview."""
    query = select(func.count()).select_from(t.preview).where(t.preview.c.state == "failed")
    return int(conn.execute(query).scalar_one())


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


def recording_of(conn: Connection, name: str) -> str | None:
    """The recording that an id of a recording or an asset means now; None if it means nothing."""
    if name.startswith("ast-"):
        return recordings_of(conn, [name]).get(name)
    found = resolve(conn, name)
    return found if conn.execute(select(t.recording.c.id).where(t.recording.c.id == found)).first() else None


def assets_of(conn: Connection, docking: str) -> list[str]:
    """Assets that were first stored by a docking."""
    return list(conn.execute(select(t.asset.c.id).where(t.asset.c.docking == docking)).scalars())


def names_of(conn: Connection, assets: Sequence[str]) -> dict[str, list[tuple[bytes, str]]]:
    """Asset to every raw path that it was seen under, each with the profile of that docking, in order of dockings."""
    f, d = t.source_file.c, t.docking.c
    query = select(f.asset, f.path, d.profile).join(t.docking, d.id == f.docking)
    found: dict[str, list[tuple[bytes, str]]] = {}
    for chunk in chunks(assets):
        for row in conn.execute(query.where(f.asset.in_(chunk)).order_by(d.seq, f.path)):
            found.setdefault(row.asset, []).append((row.path, row.profile))
    return found


def of_kind(conn: Connection, kind: str, recording_ids: Sequence[str]) -> list[str]:
    """Those of some recordings that are of a kind."""
    r = t.recording.c
    query = select(r.id).where(r.kind == kind)
    return [each for chunk in chunks(recording_ids) for each in conn.execute(query.where(r.id.in_(chunk))).scalars()]
