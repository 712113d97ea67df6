"""What assembling asks: the files of a docking, what stands near them, and what was known before."""

import json
from base64 import b64decode
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, or_, select

from mediad.catalog import tables as t
from mediad.catalog.chunks import chunks
from mediad.catalog.recordings import recordings_of
from mediad.model.beside import spellings


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


def names_of(conn: Connection, assets: Sequence[str]) -> dict[str, list[Any]]:
    """Asset to every volume and raw path that it was seen under, each with the profile of that docking, in order of dockings."""
    f, d = t.source_file.c, t.docking.c
    query = select(f.asset, f.volume, f.path, d.profile).join(t.docking, d.id == f.docking)
    found: dict[str, list[Any]] = {}
    for chunk in chunks(assets):
        for row in conn.execute(query.where(f.asset.in_(chunk)).order_by(d.seq, f.path)):
            found.setdefault(row.asset, []).append(row)
    return found


def sources_of(conn: Connection, recorder: str, recorder_id: str | None) -> set[str]:
    """Every name under which files of a recorder may stand: its key, and if it is registered its id and all its keys; it may have
    been registered between two dockings."""
    k = t.recorder_key.c
    keys = conn.execute(select(k.key).where(k.recorder == recorder_id)).scalars() if recorder_id else ()
    return {recorder, *keys} | ({recorder_id} if recorder_id else set())


def around(
    conn: Connection, sources: Collection[str], windows: Sequence[tuple[str, str]], without: Collection[str]
) -> list[Any]:
    """Timed assets of a source that start within any of these windows (first and last stamp), and whatever is in one recording with
    any of them or of ``without`` (assets that are known to the caller already and are left out)."""
    s, m = t.timing.c, t.recording_asset.c
    columns = (s.asset, s.detail, m.recording, t.asset.c.stored_at, t.asset.c.path)
    query = select(*columns).join(t.recording_asset, m.asset == s.asset).join(t.asset, t.asset.c.id == s.asset)
    found: dict[str, Any] = {}
    for some in chunks(windows):
        near = (and_(s.source.in_(sources), s.started_at >= first, s.started_at <= last) for first, last in some)
        found |= {row.asset: row for row in conn.execute(query.where(or_(*near)))}
    recordings = {row.recording for row in found.values()} | set(recordings_of(conn, without).values())
    for chunk in chunks(sorted(recordings)):
        found |= {row.asset: row for row in conn.execute(query.where(m.recording.in_(chunk)))}
    return [row for asset, row in found.items() if asset not in without]


def last_complete(
    conn: Connection, sources: Collection[str], before: int, volumes: Collection[str]
) -> dict[str, tuple[str, str]]:
    """Volume to the newest complete docking of this recorder before event ``before`` that listed a file of that volume, and when it
    began. The newest is the one that was opened last, whatever the clock said."""
    d, f = t.docking.c, t.source_file.c
    found: dict[str, tuple[str, str]] = {}
    for volume in volumes:
        there = select(f.path).where(f.docking == d.id, f.volume == volume).exists()
        query = select(d.id, d.opened_at).where(d.recorder.in_(sources), d.state == "complete", d.seq < before, there)
        if row := conn.execute(query.order_by(d.seq.desc()).limit(1)).first():
            found[volume] = (row.id, row.opened_at)
    return found


def listed(conn: Connection, docking: str, volume: str, paths: Sequence[bytes]) -> set[bytes]:
    """Which of these paths a docking listed, taken or not."""
    f = t.source_file.c
    query = select(f.path).where(f.docking == docking, f.volume == volume)
    return {path for chunk in chunks(paths) for path in conn.execute(query.where(f.path.in_(chunk))).scalars()}


def namesakes(conn: Connection, source: str, volume: str, stems: Collection[bytes]) -> dict[bytes, dict[bytes, Any]]:
    """By stem (in capitals: case does not matter) and path: assets that a source showed last in one folder under one name, whatever
    the suffix; with kind, time, probe, the docking that stored them, and its order."""
    c, a = t.claim.c, t.asset.c
    query = (
        select(
            c.asset, c.path, c.mtime_ns, a.kind, t.probe.c.detail.label("probe"), a.docking.label("first_docking"),
            t.docking.c.seq,
        )
        .join(t.asset, a.id == c.asset)
        .join(t.docking, t.docking.c.id == a.docking)
        .join(t.probe, t.probe.c.asset == c.asset, isouter=True)
    )  # fmt: skip
    there = (c.source == source, c.volume == volume)
    found: dict[bytes, dict[bytes, Any]] = {stem.upper(): {} for stem in stems}
    for some in chunks(sorted({spelling for stem in stems for spelling in spellings(stem)})):
        for row in conn.execute(query.where(_named(c.path, some, *there))):
            for stem in _stems(row.path.upper()):
                if stem in found:
                    found[stem][row.path] = row
    return found


def _named(path: Any, stems: Sequence[bytes], *where: Any) -> Any:
    """Whether a path is one of these, with or without a suffix. ``where`` is what else must hold, said of each: so each is looked
    up by itself in the index."""
    ranges = (and_(*where, path >= stem + b".", path < stem + b"/") for stem in stems)
    return or_(and_(*where, path.in_(stems)), *ranges)


def _stems(path: bytes) -> list[bytes]:
    """Whatever stands before a dot, and the whole."""
    return [path[:n] for n, byte in enumerate(path) if byte == ord(".")] + [path]


def beside_in(conn: Connection, docking: str, volume: str, stem: bytes) -> list[Row[Any]]:
    """The same of one docking, with what could not be taken: path, time, asset and kind, both null of what could not."""
    f = t.source_file.c
    query = select(f.path, f.mtime_ns, f.asset, t.asset.c.kind).join(t.asset, t.asset.c.id == f.asset, isouter=True)
    named = _named(f.path, sorted(spellings(stem)), f.docking == docking, f.volume == volume)
    return list(conn.execute(query.where(named)))


def known_in(conn: Connection, docking: str) -> Iterator[tuple[str, bytes, str]]:
    """What a docking knew without reading it, and so has no row of: volume, raw path and asset."""
    c = t.custody.c
    query = select(c.detail).where(c.subject == docking, c.kind == "docking.listed").order_by(c.seq)
    for detail in conn.execute(query).scalars():
        for volume, path, _size, _mtime, asset in json.loads(detail)["known"]:
            yield volume, b64decode(path), asset


def clock(conn: Connection, docking: str) -> dict[str, Any] | None:
    """What was measured of the recorder's clock at a docking, as the event tells it."""
    detail = conn.execute(select(t.clock.c.detail).where(t.clock.c.docking == docking)).scalar()
    return None if detail is None else dict(json.loads(detail))
