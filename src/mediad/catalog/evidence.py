"""What the catalogue knows of evidence: questions only. Answers are model values or plain rows."""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, Row, and_, func, select

from mediad.catalog import tables as t
from mediad.catalog.chunks import chunks
from mediad.model.custody import Event


def claims(
    conn: Connection, source: str, vault: str, files: Iterable[tuple[str, bytes]]
) -> dict[tuple[str, bytes], Any]:
    """What is known of a source's files: (volume, path) to the newest claim whose asset has a healthy replica in the vault,
    with the time at which the claim's docking began. Costs what the files ask for, however long the source's history is."""
    c, a, r, d = t.claim.c, t.asset.c, t.replica.c, t.docking.c
    query = (
        select(
            c.volume, c.path, c.size, c.mtime_ns, c.birth_ns, c.device, c.inode, c.asset, a.sha256, r.key,
            a.size.label("original_size"), d.opened_at.label("seen_at"),
        )
        .join(t.asset, a.id == c.asset)
        .join(t.replica, and_(r.asset == c.asset, r.vault == vault, r.state == "healthy"))
        .join(t.docking, d.id == c.docking)
        .where(c.source == source)
    )  # fmt: skip
    paths: dict[str, list[bytes]] = {}
    for volume, path in files:
        paths.setdefault(volume, []).append(path)
    return {
        (volume, row.path): row
        for volume, wanted in paths.items()
        for chunk in chunks(wanted)
        for row in conn.execute(query.where(c.volume == volume, c.path.in_(chunk)))
    }


def assets_by_digest(conn: Connection, sha256: Iterable[str]) -> dict[str, Any]:
    """SHA-256 (hex) to the asset row, for those that are assets."""
    a = t.asset.c
    found = {}
    for chunk in chunks(list(sha256)):
        for row in conn.execute(select(a.sha256, a.id, a.size, a.sm3).where(a.sha256.in_(chunk))):
            found[row.sha256] = row
    return found


def held(conn: Connection, vault: str, sha256: Iterable[str]) -> dict[str, Any]:
    """SHA-256 (hex) to asset id, size and key, for those of which this vault has a healthy replica."""
    a, r = t.asset.c, t.replica.c
    query = select(a.sha256, a.id, a.size, r.key).join(
        t.replica, and_(r.asset == a.id, r.vault == vault, r.state == "healthy")
    )
    return {row.sha256: row for chunk in chunks(list(sha256)) for row in conn.execute(query.where(a.sha256.in_(chunk)))}


def replicas_of(conn: Connection, vault: str, assets: Iterable[str]) -> dict[str, Any]:
    """Asset id to its SHA-256 (hex) and its key in a vault."""
    a, r = t.asset.c, t.replica.c
    query = select(a.id, a.sha256, r.key).join(t.replica, and_(r.asset == a.id, r.vault == vault), isouter=True)
    return {row.id: row for chunk in chunks(list(assets)) for row in conn.execute(query.where(a.id.in_(chunk)))}


def registered_recorder(conn: Connection, keys: Iterable[str]) -> Row[Any] | None:
    """The recorder that has the first registered one of the keys, with that ``key``; or None."""
    k = t.recorder_key.c
    wanted = list(keys)
    query = select(k.key, *t.recorder.c).join(t.recorder, t.recorder.c.id == k.recorder).where(k.key.in_(wanted))
    rows = {row.key: row for row in conn.execute(query)}
    return next((rows[key] for key in wanted if key in rows), None)


def slot_names(conn: Connection) -> dict[str, str]:
    """Port path to taught name."""
    return {row.port: row.name for row in conn.execute(select(t.slot))}


def docking(conn: Connection, docking_id: str) -> Row[Any] | None:
    return conn.execute(select(t.docking).where(t.docking.c.id == docking_id)).first()


def dockings(conn: Connection, limit: int = 100) -> list[Row[Any]]:
    """The newest dockings first."""
    return list(conn.execute(select(t.docking).order_by(t.docking.c.seq.desc()).limit(limit)))


def open_dockings(conn: Connection) -> list[Row[Any]]:
    return list(conn.execute(select(t.docking).where(t.docking.c.state == "open").order_by(t.docking.c.id)))


def last_docking(conn: Connection, recorder: str) -> Row[Any] | None:
    """The newest closed docking of a recorder."""
    c = t.docking.c
    query = select(t.docking).where(c.recorder == recorder, c.state != "open").order_by(c.seq.desc()).limit(1)
    return conn.execute(query).first()


def left_behind(conn: Connection, limit: int) -> list[Row[Any]]:
    """The last docking of every recorder or folder of which that one did not take everything, the newest first: something
    may still lie on it. A docking that is open is the last one too, and not yet among them."""
    d = t.docking.c
    whose = func.coalesce(d.recorder_id, d.recorder)
    order = func.row_number().over(partition_by=whose, order_by=(d.opened_at.desc(), d.id.desc()))
    last = select(d.id, order.label("place")).subquery()
    query = select(t.docking).join(last, last.c.id == d.id)
    query = query.where(last.c.place == 1, d.state.in_(("incomplete", "interrupted")))
    return list(conn.execute(query.order_by(d.opened_at.desc(), d.id).limit(limit)))


def events_of(conn: Connection, subject: str) -> list[Event]:
    """The custody events of one subject, in order."""
    rows = conn.execute(select(t.custody).where(t.custody.c.subject == subject).order_by(t.custody.c.seq))
    return [Event(*row) for row in rows]


def outcomes(conn: Connection, docking_id: str, vault: str) -> dict[tuple[str, bytes], Any]:
    """(volume, path) to outcome, asset, digests and key of every file of a docking that was not known before."""
    f, a, r = t.source_file.c, t.asset.c, t.replica.c
    rows = conn.execute(
        select(
            f.volume, f.path, f.size, f.mtime_ns, f.birth_ns, f.outcome, f.asset, f.why, a.sha256, a.sm3, r.key
        )
        .join(t.asset, a.id == f.asset, isouter=True)
        .join(t.replica, and_(r.asset == f.asset, r.vault == vault), isouter=True)
        .where(f.docking == docking_id)
    )  # fmt: skip
    return {(row.volume, row.path): row for row in rows}


def asset(conn: Connection, asset_id: str) -> Row[Any] | None:
    return conn.execute(select(t.asset).where(t.asset.c.id == asset_id)).first()


def replicas(conn: Connection, asset_id: str) -> list[Row[Any]]:
    return list(conn.execute(select(t.replica).where(t.replica.c.asset == asset_id).order_by(t.replica.c.vault)))


def sightings(conn: Connection, asset_id: str) -> list[Row[Any]]:
    """Every file of every docking that had these bytes, oldest first."""
    f = t.source_file.c
    query = (
        select(f.docking, f.volume, f.path, f.outcome, t.docking.c.label, t.docking.c.opened_at)
        .join(t.docking, t.docking.c.id == f.docking)
        .where(f.asset == asset_id)
        .order_by(t.docking.c.seq, f.path)
    )
    return list(conn.execute(query))


def recordings(conn: Connection) -> Iterator[dict[str, Any]]:
    """Recordings in order of start, each with the ids of its assets in order."""
    members: dict[str, list[str]] = {}
    m = t.recording_asset.c
    for row in conn.execute(select(m.recording, m.asset).order_by(m.recording, m.position)):
        members.setdefault(row.recording, []).append(row.asset)
    for row in conn.execute(select(t.recording).order_by(t.recording.c.started_at, t.recording.c.id)):
        yield {**row._mapping, "assets": members.get(row.id, [])}


def recording(conn: Connection, recording_id: str) -> dict[str, Any] | None:
    row = conn.execute(select(t.recording).where(t.recording.c.id == recording_id)).first()
    if row is None:
        return None
    m = t.recording_asset.c
    ids = conn.execute(select(m.asset).where(m.recording == recording_id).order_by(m.position)).scalars()
    return {**row._mapping, "assets": list(ids)}


def vaults(conn: Connection) -> list[Row[Any]]:
    return list(conn.execute(select(t.vault).order_by(t.vault.c.registered_at, t.vault.c.name)))


def station(conn: Connection) -> Row[Any] | None:
    return conn.execute(select(t.station)).first()


def alarms(conn: Connection, limit: int = 100) -> list[Row[Any]]:
    """The newest alarms first."""
    return list(conn.execute(select(t.alarm).order_by(t.alarm.c.seq.desc()).limit(limit)))


def head(conn: Connection) -> int:
    """The number of the newest custody event. As long as it stands, no answer on this page changes."""
    return int(conn.execute(select(func.coalesce(func.max(t.custody.c.seq), 0))).scalar_one())


def totals(conn: Connection) -> dict[str, int]:
    """Sums for status and metrics."""
    n = select(func.count()).select_from
    assets, size = conn.execute(select(func.count(), func.coalesce(func.sum(t.asset.c.size), 0))).one()
    return {
        "assets": assets,
        "bytes": int(size),
        "recordings": conn.execute(n(t.recording)).scalar_one(),
        "dockings": conn.execute(n(t.docking)).scalar_one(),
        "alarms": conn.execute(n(t.alarm)).scalar_one(),
        "events": head(conn),
    }


def docking_sums(conn: Connection) -> list[Any]:
    """Per state of dockings: how many, and the sums of their counts."""
    c = t.docking.c
    names = ("new", "sightings", "skipped", "failed", "bytes")
    sums = [func.coalesce(func.sum(c[n]), 0).label(n) for n in names]
    return list(conn.execute(select(c.state, func.count().label("n"), *sums).group_by(c.state)))


def last_closed(conn: Connection) -> str | None:
    """When the newest docking was closed."""
    return conn.execute(select(func.max(t.docking.c.closed_at))).scalar()


def alarm_counts(conn: Connection) -> dict[str, int]:
    """Alarms ever raised, by code."""
    rows = conn.execute(select(t.alarm.c.code, func.count()).group_by(t.alarm.c.code))
    return {row[0]: row[1] for row in rows}


def recorders(conn: Connection) -> list[dict[str, Any]]:
    """Registered recorders by label, each with its keys."""
    k = t.recorder_key.c
    keys: dict[str, list[str]] = {}
    for row in conn.execute(select(k.recorder, k.key).order_by(k.recorder, k.key)):
        keys.setdefault(row.recorder, []).append(row.key)
    rows = conn.execute(select(t.recorder).order_by(t.recorder.c.label, t.recorder.c.id))
    return [{**row._mapping, "keys": keys.get(row.id, [])} for row in rows]
