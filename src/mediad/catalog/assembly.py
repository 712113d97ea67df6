"""What assembling asks: the files of a docking, what stands near them, and what was known before."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, func, or_, select

from mediad.catalog import tables as t
from mediad.catalog.chunks import chunks
from mediad.catalog.recordings import recordings_of


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


def names_of(conn: Connection, assets: Sequence[str]) -> dict[str, list[tuple[bytes, str]]]:
    """Asset to every raw path that it was seen under, each with the profile of that docking, in order of dockings."""
    f, d = t.source_file.c, t.docking.c
    query = select(f.asset, f.path, d.profile).join(t.docking, d.id == f.docking)
    found: dict[str, list[tuple[bytes, str]]] = {}
    for chunk in chunks(assets):
        for row in conn.execute(query.where(f.asset.in_(chunk)).order_by(d.seq, f.path)):
            found.setdefault(row.asset, []).append((row.path, row.profile))
    return found


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
