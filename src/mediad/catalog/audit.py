"""The catalogue as an auditor reads it: read-only, one snapshot at a time, and beside it what the custody log says it must be.

Nothing here goes through ``catalog.db.Catalog``: that class can write.
"""

import fcntl
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, Table, create_engine, event, select, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

from mediad.catalog import record
from mediad.catalog import tables as t
from mediad.catalog.db import SCHEMA, sqlite_path
from mediad.errors import CatalogError
from mediad.model.custody import Event

_CHUNK = 2_000
_DMS_BYTE = 128
"""Where every connection to a WAL database holds a shared lock in its -shm file (SQLite, "WAL-mode File Format")."""


class AuditCatalog:
    """A catalogue opened for looking at. Raises CatalogError if there is none or it cannot be read."""

    def __init__(self, url: str) -> None:
        path = sqlite_path(url)
        if path is not None and (not path.exists() or path.stat().st_size == 0):
            raise CatalogError("there is no catalogue", hint="run `mediad rebuild` if a vault holds its custody log")
        self._engine = create_engine(url) if path is None else _read_only(path)
        try:
            with self.snapshot() as snap:
                version = snap.version()
        except CatalogError:
            self.close()
            raise
        if version != SCHEMA:
            self.close()
            raise CatalogError(
                f"the catalogue has version {version}, this program reads {SCHEMA}", hint="use its own mediad"
            )

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def snapshot(self) -> Iterator["Snapshot"]:
        """One state of the catalogue, whatever is written meanwhile. Do not keep it open for long: it holds the WAL back."""
        try:
            with self._engine.connect() as conn, conn.begin():
                yield Snapshot(conn)
        except DatabaseError as e:
            raise CatalogError(
                f"the catalogue cannot be read: {e.orig}",
                hint="set its file aside and run `mediad rebuild`: the vault holds every fact",
            ) from e


def _read_only(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///file:{quote(str(path))}?mode=ro&uri=true")

    @event.listens_for(engine, "connect")
    def _connect(raw: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        raw.isolation_level = None
        raw.execute("PRAGMA query_only=ON")
        raw.execute("PRAGMA busy_timeout=30000")

    @event.listens_for(engine, "begin")
    def _begin(conn: Connection) -> None:
        conn.exec_driver_sql("BEGIN")

    return engine


class Snapshot:
    """Questions to one state of the catalogue."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    def version(self) -> str:
        return str(self._conn.execute(text("SELECT version_num FROM alembic_version")).scalar())

    def station(self) -> str | None:
        return self._conn.execute(select(t.station.c.id)).scalar()

    def damage(self) -> list[str]:
        """What the database itself finds wrong with its file."""
        if self._conn.dialect.name != "sqlite":
            return []
        rows = self._conn.execute(text("PRAGMA integrity_check(20)")).scalars()
        return [str(r) for r in rows if r != "ok"]

    def events(self, kind: str | None = None) -> Iterator[Any]:
        """Custody events as they are stored, in order; of one kind, or all."""
        query = select(t.custody).order_by(t.custody.c.seq)
        if kind is not None:
            query = query.where(t.custody.c.kind == kind)
        yield from self._conn.execute(query.execution_options(yield_per=_CHUNK))

    def newest(self, limit: int, subject: str | None = None) -> list[Any]:
        """The newest events, oldest of them first."""
        query = select(t.custody).order_by(t.custody.c.seq.desc()).limit(limit)
        if subject is not None:
            query = query.where(t.custody.c.subject == subject)
        return list(self._conn.execute(query))[::-1]

    def vaults(self) -> dict[str, str]:
        """Registered vaults: name to marker."""
        return {row.name: row.marker for row in self._conn.execute(select(t.vault.c.name, t.vault.c.marker))}

    def mirrored(self) -> dict[str, int]:
        """How far the catalogue believes each vault's mirror to reach."""
        return {row.vault: row.seq for row in self._conn.execute(select(t.mirrored.c.vault, t.mirrored.c.seq))}

    def placements(self, vault: str) -> Iterator[Any]:
        """Key and docking of open reservations: bytes that may lie in the vault before they are assets."""
        p = t.placement.c
        yield from self._conn.execute(select(p.key, p.docking).where(p.vault == vault))

    def originals(self, vault: str) -> Iterator[Any]:
        """Every replica that a vault is believed to hold, with its asset."""
        a, r = t.asset.c, t.replica.c
        query = (
            select(r.key, a.id, a.sha256, a.sm3, a.size, a.kind, a.docking, a.volume, a.path, a.mtime_ns, a.captured_at)
            .join(t.asset, a.id == r.asset)
            .where(r.vault == vault, r.state == "healthy")
            .order_by(r.key)
        )
        yield from self._conn.execute(query.execution_options(yield_per=_CHUNK))

    def replicas_without_asset(self) -> list[Any]:
        a, r = t.asset.c, t.replica.c
        query = select(r.vault, r.asset, r.key).join(t.asset, a.id == r.asset, isouter=True).where(a.id.is_(None))
        return list(self._conn.execute(query))

    def assets_without_replica(self) -> list[str]:
        a, r = t.asset.c, t.replica.c
        query = select(a.id).join(t.replica, r.asset == a.id, isouter=True).where(r.asset.is_(None))
        return list(self._conn.execute(query).scalars())

    def assets_lost(self) -> list[Any]:
        """Replicas that are lost, of assets of which no vault is believed to hold one."""
        r, other = t.replica.c, t.replica.alias()
        healthy = select(other.c.asset).where(other.c.asset == r.asset, other.c.state == "healthy").exists()
        query = select(r.asset, r.vault, r.key).where(r.state == "lost", ~healthy).order_by(r.asset)
        return list(self._conn.execute(query))

    def assets_without_recording(self) -> list[str]:
        a, m, r = t.asset.c, t.recording_asset.c, t.recording.c
        query = (
            select(a.id)
            .join(t.recording_asset, m.asset == a.id, isouter=True)
            .join(t.recording, r.id == m.recording, isouter=True)
            .where(r.id.is_(None))
        )
        return list(self._conn.execute(query).scalars())

    def replicas_by_vault(self) -> set[str]:
        """Names of the vaults that hold any replica."""
        return set(self._conn.execute(select(t.replica.c.vault).distinct()).scalars())

    def docking_states(self) -> dict[str, str]:
        return {row.id: row.state for row in self._conn.execute(select(t.docking.c.id, t.docking.c.state))}

    def open_dockings(self) -> list[str]:
        c = t.docking.c
        return list(self._conn.execute(select(c.id).where(c.state == "open").order_by(c.id)).scalars())

    def differences(self) -> Iterator[tuple[str, str, str]]:
        """Where the fact tables are not what a replay of the custody log gives: table, row, and what is wrong.

        Raises ReplayFailed where the log cannot be played at all.
        """
        # A database without a name lives in memory and spills into an anonymous temporary file when it grows.
        fresh = create_engine("sqlite://", creator=lambda: sqlite3.connect(""), poolclass=StaticPool)
        try:
            with fresh.connect() as replayed, replayed.begin():
                t.metadata.create_all(replayed)
                self._replay(replayed)
                for table in t.FACTS:
                    yield from _compare(table, self._conn, replayed)
        finally:
            fresh.dispose()

    def _replay(self, into: Connection) -> None:
        rows = self.events()
        while chunk := [Event(*row) for row in islice(rows, _CHUNK)]:
            try:
                record.apply(into, chunk)
            except (DatabaseError, ValueError, KeyError, TypeError) as e:
                raise ReplayFailed(chunk[0].seq, chunk[-1].seq, type(e).__name__) from e


class ReplayFailed(Exception):
    """The custody log holds an event that cannot be applied, between two sequence numbers."""

    def __init__(self, first: int, last: int, why: str) -> None:
        super().__init__(f"the log cannot be played between events {first} and {last} ({why})")


def _compare(table: Table, actual: Connection, expected: Connection) -> Iterator[tuple[str, str, str]]:
    """Walk both in the order of their keys, side by side; memory stays small whatever the size."""
    keys = [c.name for c in table.primary_key]
    ours, theirs = _rows(table, keys, actual), _rows(table, keys, expected)
    mine, wanted = next(ours, None), next(theirs, None)
    while mine is not None or wanted is not None:
        if wanted is None or (mine is not None and mine[0] < wanted[0]):
            assert mine is not None  # noqa: S101 - one of the two is there
            yield table.name, _name(mine[0]), "is in the table, but no event says so"
            mine = next(ours, None)
        elif mine is None or wanted[0] < mine[0]:
            yield table.name, _name(wanted[0]), "is recorded in the custody log, but not in the table"
            wanted = next(theirs, None)
        else:
            if changed := [name for name, value in mine[1].items() if value != wanted[1][name]]:
                yield table.name, _name(mine[0]), f"{', '.join(changed)} is not what the custody log says"
            mine, wanted = next(ours, None), next(theirs, None)


def _rows(table: Table, keys: list[str], conn: Connection) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    query = select(table).order_by(*(table.c[k] for k in keys)).execution_options(yield_per=_CHUNK)
    for row in conn.execute(query):
        values = dict(row._mapping)
        yield tuple(values[k] for k in keys), values


def _name(key: tuple[Any, ...]) -> str:
    return "/".join(part.decode("utf-8", "backslashreplace") if isinstance(part, bytes) else str(part) for part in key)


def in_use(url: str) -> bool:
    """Whether any process has an SQLite catalogue open. Asks for its lock without taking it; False for another database.

    Not for a process that has the catalogue open itself: closing the file here would give up that process's locks (fcntl(2)).
    """
    path = sqlite_path(url)
    if path is None:
        return False
    try:
        with Path(f"{path}-shm").open("rb") as shm:
            ask = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, _DMS_BYTE, 1, 0)
            answer = fcntl.fcntl(shm, fcntl.F_OFD_GETLK, ask)
    except FileNotFoundError:
        return False
    return int(struct.unpack("hhqqi4x", answer)[0]) != fcntl.F_UNLCK
