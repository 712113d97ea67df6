"""The catalogue as an auditor reads it: read-only, one snapshot at a time, and beside it what the custody log says it must be.

Values come as the database holds them, not as their columns promise: SQLite takes text in a column of numbers, and a hand
behind the log's back may have put it there. ``misfits`` names such cells; the questions that fsck goes on working with leave
their rows out. Nothing here goes through ``catalog.db.Catalog``: that class can write.
"""

import fcntl
import json
import sqlite3
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    Table,
    create_engine,
    event,
    func,
    or_,
    select,
    text,
    type_coerce,
)
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import ConnectionPoolEntry

from mediad.catalog import replay, schema
from mediad.catalog import tables as t
from mediad.catalog.db import SCHEMA, sqlite_path
from mediad.catalog.metadata import metadata
from mediad.catalog.replay import name_of, raw
from mediad.errors import CatalogError

_CHUNK = 2_000
_DMS_BYTE = 128
"""Where every connection to a WAL database holds a shared lock in its -shm file (SQLite, "WAL-mode File Format")."""


class AuditCatalog:
    """A catalogue opened for looking at. Raises CatalogError if there is none or it cannot be read."""

    def __init__(self, url: str) -> None:
        path = sqlite_path(url)
        if path is not None and (not path.exists() or path.stat().st_size == 0):
            raise CatalogError(
                "there is no catalogue",
                hint="the first entry makes one; `mediad rebuild` restores one",
            )
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
        raw.text_factory = lambda data: data.decode(
            "utf-8", "surrogateescape"
        )  # text that is none is a finding, no error
        raw.execute("PRAGMA query_only=ON")
        raw.execute("PRAGMA busy_timeout=30000")

    @event.listens_for(engine, "begin")
    def _begin(conn: Connection) -> None:
        conn.exec_driver_sql("BEGIN")

    return engine


def _fits(row: Any, **kinds: type) -> bool:
    return all(isinstance(getattr(row, name), kind) for name, kind in kinds.items())


class Snapshot:
    """Questions to one state of the catalogue."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    def _texts(self, column: ColumnElement[Any], *conditions: ColumnElement[bool]) -> list[str]:
        rows = self._conn.execute(raw(column).where(*conditions).order_by(column)).scalars()
        return [value for value in rows if isinstance(value, str)]

    def version(self) -> str:
        return str(self._conn.execute(text("SELECT version_num FROM alembic_version")).scalar())

    def station(self) -> str:
        return str(self._conn.execute(raw(t.station.c.id)).scalar())

    def damage(self) -> list[str]:
        """What the database itself finds wrong with its file."""
        if self._conn.dialect.name != "sqlite":
            return []
        rows = self._conn.execute(text("PRAGMA integrity_check(20)")).scalars()
        return [str(r) for r in rows if r != "ok"]

    def schema_differences(self) -> Iterator[str]:
        """What is not as the migrations made it, such as a trigger that drops what is written."""
        return schema.differences(self._conn)

    def misfits(self, tables: Iterable[Table] = metadata.sorted_tables, limit: int = 50) -> Iterator[tuple[str, str]]:
        """Cells that hold what their column may not: which row of which table, and what is wrong. SQLite does not refuse them."""
        if self._conn.dialect.name != "sqlite":
            return
        for table in tables:
            wrong = {c.name: _misfit(c) for c in table.columns}
            told = [condition.label(f"wrong_{name}") for name, condition in wrong.items()]
            query = raw(*table.primary_key).add_columns(*told).where(or_(*wrong.values())).limit(limit)
            for row in self._conn.execute(query).mappings():
                columns = [name for name in wrong if row[f"wrong_{name}"]]
                key = name_of(tuple(row[c.name] for c in table.primary_key))
                yield f"{table.name} {key}", f"{', '.join(columns)}: no such value can stand there"

    def events(self, kind: str | None = None) -> Iterator[Any]:
        """Custody events as they are stored, in order; of one kind, or all."""
        query = raw(*t.custody.columns).order_by(t.custody.c.seq)
        if kind is not None:
            query = query.where(t.custody.c.kind == kind)
        yield from self._conn.execute(query.execution_options(yield_per=_CHUNK))

    def events_at(self, numbers: Iterable[int]) -> dict[int, Any]:
        """Some custody events by their numbers."""
        wanted, found = iter(sorted(numbers)), {}
        while chunk := list(islice(wanted, 500)):
            for row in self._conn.execute(raw(*t.custody.columns).where(t.custody.c.seq.in_(chunk))):
                found[row.seq] = row
        return found

    def newest(self, limit: int, subject: str | None = None) -> list[Any]:
        """The newest events, oldest of them first."""
        query = raw(*t.custody.columns).order_by(t.custody.c.seq.desc()).limit(limit)
        if subject is not None:
            query = query.where(t.custody.c.subject == subject)
        return list(self._conn.execute(query))[::-1]

    def vaults(self) -> dict[str, str]:
        """Registered vaults: name to marker."""
        rows = self._conn.execute(raw(t.vault.c.name, t.vault.c.marker))
        return {row.name: row.marker for row in rows if _fits(row, name=str, marker=str)}

    def mirrored(self) -> list[Any]:
        """How far the catalogue believes each vault's mirror to reach: vault, seq, hash."""
        return [row for row in self._conn.execute(raw(*t.mirrored.columns)) if _fits(row, vault=str, seq=int, hash=str)]

    def segments(self) -> list[Any]:
        """Which segments the catalogue notes to have written: vault, first and last event; in order."""
        s = t.segment.c
        rows = self._conn.execute(raw(*t.segment.columns).order_by(s.vault, s.first))
        return [row for row in rows if _fits(row, vault=str, first=int, last=int)]

    def placements(self, vault: str) -> Iterator[Any]:
        """Open reservations: bytes that may lie in the vault before they are assets."""
        p = t.placement.c
        for row in self._conn.execute(raw(p.key, p.sha256, p.docking, p.detail).where(p.vault == vault)):
            if _fits(row, key=str, docking=str):
                yield row

    def originals(self, vault: str) -> Iterator[Any]:
        """Every replica that a vault is believed to hold, with its asset."""
        a, r = t.asset.c, t.replica.c
        query = (
            raw(r.key, a.id, a.sha256, a.sm3, a.size, a.kind)
            .join_from(t.replica, t.asset, a.id == r.asset)
            .where(r.vault == vault, r.state == "healthy")
            .order_by(r.key)
        )
        for row in self._conn.execute(query.execution_options(yield_per=_CHUNK)):
            if _fits(row, key=str, id=str, sha256=str, size=int):
                yield row

    def docking(self, docking: str) -> Any:
        """One docking's row, or None."""
        return self._conn.execute(raw(*t.docking.columns).where(t.docking.c.id == docking)).first()

    def source_files(self, docking: str) -> Iterator[Any]:
        """What became of every file of a docking that was not known before, with the digest of its asset."""
        f, a = t.source_file.c, t.asset.c
        query = (
            raw(f.volume, f.path, f.size, f.outcome, f.asset, f.why, a.sha256)
            .join_from(t.source_file, t.asset, a.id == f.asset, isouter=True)
            .where(f.docking == docking)
        )
        for row in self._conn.execute(query.execution_options(yield_per=_CHUNK)):
            if _fits(row, path=bytes):
                yield row

    def listed_as_known(self, docking: str) -> Iterator[tuple[Any, ...]]:
        """Volume, path (base64), size and asset of every file that a docking's listing says was known without reading."""
        c = t.custody.c
        query = raw(c.detail).where(c.subject == docking, c.kind == "docking.listed")
        for detail in self._conn.execute(query).scalars():
            with suppress(
                ValueError, KeyError, TypeError, RecursionError
            ):  # what is wrong with an event is said of the chain
                yield from [(volume, path, size, asset) for volume, path, size, _, asset in json.loads(detail)["known"]]

    def digests(self, assets: Iterable[str]) -> dict[str, Any]:
        """Asset to its SHA-256 (hex)."""
        wanted, found = iter(sorted(assets)), {}
        while chunk := list(islice(wanted, 500)):
            for row in self._conn.execute(raw(t.asset.c.id, t.asset.c.sha256).where(t.asset.c.id.in_(chunk))):
                found[row.id] = row.sha256
        return found

    def replicas_without_asset(self) -> list[Any]:
        a, r = t.asset.c, t.replica.c
        query = raw(r.vault, r.asset, r.key).join_from(t.replica, t.asset, a.id == r.asset, isouter=True)
        query = query.where(a.id.is_(None))
        return list(self._conn.execute(query))

    def assets_without_replica(self) -> list[str]:
        a, r = t.asset.c, t.replica.c
        query = raw(a.id).join_from(t.asset, t.replica, r.asset == a.id, isouter=True).where(r.asset.is_(None))
        return list(self._conn.execute(query).scalars())

    def assets_lost(self) -> list[Any]:
        """Replicas that are lost, of assets of which no vault is believed to hold one."""
        r, other = t.replica.c, t.replica.alias()
        healthy = select(other.c.asset).where(other.c.asset == r.asset, other.c.state == "healthy").exists()
        query = raw(r.asset, r.vault, r.key).where(r.state == "lost", ~healthy).order_by(r.asset)
        return list(self._conn.execute(query))

    def assets_without_recording(self) -> list[str]:
        a, m, r = t.asset.c, t.recording_asset.c, t.recording.c
        query = (
            raw(a.id)
            .join_from(t.asset, t.recording_asset, m.asset == a.id, isouter=True)
            .join(t.recording, r.id == m.recording, isouter=True)
            .where(r.id.is_(None))
        )
        return list(self._conn.execute(query).scalars())

    def replicas_by_vault(self) -> set[str]:
        """Names of the vaults that hold any replica."""
        return set(self._texts(t.replica.c.vault))

    def docking_states(self) -> dict[str, str]:
        rows = self._conn.execute(raw(t.docking.c.id, t.docking.c.state))
        return {row.id: row.state for row in rows if _fits(row, id=str, state=str)}

    def open_dockings(self) -> list[str]:
        return self._texts(t.docking.c.id, t.docking.c.state == "open")

    def differences(self) -> Iterator[tuple[str, str, str]]:
        """Where the fact tables are not what a replay of the custody log gives: table, row, and what is wrong.

        Raises ReplayFailed where the log cannot be played at all.
        """
        return replay.differences(self._conn, self.events())


_STORED_AS: tuple[tuple[type, str], ...] = ((Integer, "integer"), (LargeBinary, "blob"))


def _misfit(column: Column[Any]) -> ColumnElement[bool]:
    """That a cell holds what its column may not."""
    if isinstance(column.type, Boolean):
        wrong = or_(func.typeof(column) != "integer", type_coerce(column, Integer).not_in((0, 1)))
    else:
        wrong = func.typeof(column) != next(
            (name for kind, name in _STORED_AS if isinstance(column.type, kind)), "text"
        )
    return wrong & column.is_not(None) if column.nullable else wrong


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
