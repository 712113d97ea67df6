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
from dataclasses import dataclass
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
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool
from sqlalchemy.types import NullType

from mediad.catalog import record, schema
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
        raw.text_factory = lambda data: data.decode(
            "utf-8", "surrogateescape"
        )  # text that is none is a finding, no error
        raw.execute("PRAGMA query_only=ON")
        raw.execute("PRAGMA busy_timeout=30000")

    @event.listens_for(engine, "begin")
    def _begin(conn: Connection) -> None:
        conn.exec_driver_sql("BEGIN")

    return engine


def _raw(*columns: ColumnElement[Any]) -> Any:
    """Select values as they are stored: a 7 in a column of yes and no stays a 7."""
    return select(*(type_coerce(c, NullType()).label(c.name) for c in columns))


def _fits(row: Any, **kinds: type) -> bool:
    return all(isinstance(getattr(row, name), kind) for name, kind in kinds.items())


class Snapshot:
    """Questions to one state of the catalogue."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    def _texts(self, column: ColumnElement[Any], *conditions: ColumnElement[bool]) -> list[str]:
        rows = self._conn.execute(_raw(column).where(*conditions).order_by(column)).scalars()
        return [value for value in rows if isinstance(value, str)]

    def version(self) -> str:
        return str(self._conn.execute(text("SELECT version_num FROM alembic_version")).scalar())

    def station(self) -> str:
        return str(self._conn.execute(_raw(t.station.c.id)).scalar())

    def damage(self) -> list[str]:
        """What the database itself finds wrong with its file."""
        if self._conn.dialect.name != "sqlite":
            return []
        rows = self._conn.execute(text("PRAGMA integrity_check(20)")).scalars()
        return [str(r) for r in rows if r != "ok"]

    def schema_differences(self) -> Iterator[str]:
        """What is not as the migrations made it, such as a trigger that drops what is written."""
        return schema.differences(self._conn)

    def misfits(self, tables: Iterable[Table] = t.metadata.sorted_tables, limit: int = 50) -> Iterator[tuple[str, str]]:
        """Cells that hold what their column may not: which row of which table, and what is wrong. SQLite does not refuse them."""
        if self._conn.dialect.name != "sqlite":
            return
        for table in tables:
            wrong = {c.name: _misfit(c) for c in table.columns}
            told = [condition.label(f"wrong_{name}") for name, condition in wrong.items()]
            query = _raw(*table.primary_key).add_columns(*told).where(or_(*wrong.values())).limit(limit)
            for row in self._conn.execute(query).mappings():
                columns = [name for name in wrong if row[f"wrong_{name}"]]
                key = _name(tuple(row[c.name] for c in table.primary_key))
                yield f"{table.name} {key}", f"{', '.join(columns)}: no such value can stand there"

    def events(self, kind: str | None = None) -> Iterator[Any]:
        """Custody events as they are stored, in order; of one kind, or all."""
        query = _raw(*t.custody.columns).order_by(t.custody.c.seq)
        if kind is not None:
            query = query.where(t.custody.c.kind == kind)
        yield from self._conn.execute(query.execution_options(yield_per=_CHUNK))

    def events_at(self, numbers: Iterable[int]) -> dict[int, Any]:
        """Some custody events by their numbers."""
        wanted, found = iter(sorted(numbers)), {}
        while chunk := list(islice(wanted, 500)):
            for row in self._conn.execute(_raw(*t.custody.columns).where(t.custody.c.seq.in_(chunk))):
                found[row.seq] = row
        return found

    def newest(self, limit: int, subject: str | None = None) -> list[Any]:
        """The newest events, oldest of them first."""
        query = _raw(*t.custody.columns).order_by(t.custody.c.seq.desc()).limit(limit)
        if subject is not None:
            query = query.where(t.custody.c.subject == subject)
        return list(self._conn.execute(query))[::-1]

    def vaults(self) -> dict[str, str]:
        """Registered vaults: name to marker."""
        rows = self._conn.execute(_raw(t.vault.c.name, t.vault.c.marker))
        return {row.name: row.marker for row in rows if _fits(row, name=str, marker=str)}

    def mirrored(self) -> list[Any]:
        """How far the catalogue believes each vault's mirror to reach: vault, seq, hash."""
        return [
            row for row in self._conn.execute(_raw(*t.mirrored.columns)) if _fits(row, vault=str, seq=int, hash=str)
        ]

    def segments(self) -> list[Any]:
        """Which segments the catalogue notes to have written: vault, first and last event; in order."""
        s = t.segment.c
        rows = self._conn.execute(_raw(*t.segment.columns).order_by(s.vault, s.first))
        return [row for row in rows if _fits(row, vault=str, first=int, last=int)]

    def placements(self, vault: str) -> Iterator[Any]:
        """Open reservations: bytes that may lie in the vault before they are assets."""
        p = t.placement.c
        for row in self._conn.execute(_raw(p.key, p.sha256, p.docking, p.detail).where(p.vault == vault)):
            if _fits(row, key=str, docking=str):
                yield row

    def originals(self, vault: str) -> Iterator[Any]:
        """Every replica that a vault is believed to hold, with its asset."""
        a, r = t.asset.c, t.replica.c
        query = (
            _raw(r.key, a.id, a.sha256, a.sm3, a.size, a.kind)
            .join_from(t.replica, t.asset, a.id == r.asset)
            .where(r.vault == vault, r.state == "healthy")
            .order_by(r.key)
        )
        for row in self._conn.execute(query.execution_options(yield_per=_CHUNK)):
            if _fits(row, key=str, id=str, sha256=str, size=int):
                yield row

    def docking(self, docking: str) -> Any:
        """One docking's row, or None."""
        return self._conn.execute(_raw(*t.docking.columns).where(t.docking.c.id == docking)).first()

    def source_files(self, docking: str) -> Iterator[Any]:
        """What became of every file of a docking that was not known before, with the digest of its asset."""
        f, a = t.source_file.c, t.asset.c
        query = (
            _raw(f.volume, f.path, f.size, f.outcome, f.asset, f.why, a.sha256)
            .join_from(t.source_file, t.asset, a.id == f.asset, isouter=True)
            .where(f.docking == docking)
        )
        for row in self._conn.execute(query.execution_options(yield_per=_CHUNK)):
            if _fits(row, path=bytes):
                yield row

    def listed_as_known(self, docking: str) -> Iterator[tuple[Any, ...]]:
        """Volume, path (base64), size and asset of every file that a docking's listing says was known without reading."""
        c = t.custody.c
        query = _raw(c.detail).where(c.subject == docking, c.kind == "docking.listed")
        for detail in self._conn.execute(query).scalars():
            with suppress(
                ValueError, KeyError, TypeError, RecursionError
            ):  # what is wrong with an event is said of the chain
                yield from [(volume, path, size, asset) for volume, path, size, _, asset in json.loads(detail)["known"]]

    def digests(self, assets: Iterable[str]) -> dict[str, Any]:
        """Asset to its SHA-256 (hex)."""
        wanted, found = iter(sorted(assets)), {}
        while chunk := list(islice(wanted, 500)):
            for row in self._conn.execute(_raw(t.asset.c.id, t.asset.c.sha256).where(t.asset.c.id.in_(chunk))):
                found[row.id] = row.sha256
        return found

    def replicas_without_asset(self) -> list[Any]:
        a, r = t.asset.c, t.replica.c
        query = _raw(r.vault, r.asset, r.key).join_from(t.replica, t.asset, a.id == r.asset, isouter=True)
        query = query.where(a.id.is_(None))
        return list(self._conn.execute(query))

    def assets_without_replica(self) -> list[str]:
        a, r = t.asset.c, t.replica.c
        query = _raw(a.id).join_from(t.asset, t.replica, r.asset == a.id, isouter=True).where(r.asset.is_(None))
        return list(self._conn.execute(query).scalars())

    def assets_lost(self) -> list[Any]:
        """Replicas that are lost, of assets of which no vault is believed to hold one."""
        r, other = t.replica.c, t.replica.alias()
        healthy = select(other.c.asset).where(other.c.asset == r.asset, other.c.state == "healthy").exists()
        query = _raw(r.asset, r.vault, r.key).where(r.state == "lost", ~healthy).order_by(r.asset)
        return list(self._conn.execute(query))

    def assets_without_recording(self) -> list[str]:
        a, m, r = t.asset.c, t.recording_asset.c, t.recording.c
        query = (
            _raw(a.id)
            .join_from(t.asset, t.recording_asset, m.asset == a.id, isouter=True)
            .join(t.recording, r.id == m.recording, isouter=True)
            .where(r.id.is_(None))
        )
        return list(self._conn.execute(query).scalars())

    def replicas_by_vault(self) -> set[str]:
        """Names of the vaults that hold any replica."""
        return set(self._texts(t.replica.c.vault))

    def docking_states(self) -> dict[str, str]:
        rows = self._conn.execute(_raw(t.docking.c.id, t.docking.c.state))
        return {row.id: row.state for row in rows if _fits(row, id=str, state=str)}

    def open_dockings(self) -> list[str]:
        return self._texts(t.docking.c.id, t.docking.c.state == "open")

    def differences(self) -> Iterator[tuple[str, str, str]]:
        """Where the fact tables are not what a replay of the custody log gives: table, row, and what is wrong.

        Raises ReplayFailed where the log cannot be played at all.
        """
        # A database without a name lives in memory and spills into an anonymous temporary file when it grows.
        fresh = create_engine(
            "sqlite://", creator=lambda: sqlite3.connect("", isolation_level=None), poolclass=StaticPool
        )
        try:
            with fresh.connect() as replayed:
                replayed.exec_driver_sql("BEGIN")  # ours, so that savepoints are within it
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
                with into.begin_nested():
                    record.apply(into, chunk)
            except Exception:  # the log may hold anything at all
                _apply_singly(into, chunk)


def _apply_singly(into: Connection, events: Iterable[Event]) -> None:
    """The same, so slowly that the event is known that cannot be applied."""
    for one in events:
        try:
            with into.begin_nested():
                record.apply(into, [one])
        except Exception as e:
            raise ReplayFailed(one.seq, type(e).__name__) from e


class ReplayFailed(Exception):
    """The custody log holds an event that cannot be applied."""

    def __init__(self, seq: int, why: str) -> None:
        super().__init__(f"it cannot be applied ({why}), so the tables were not compared with the log")
        self.seq = seq


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


def _compare(table: Table, actual: Connection, expected: Connection) -> Iterator[tuple[str, str, str]]:
    """Walk both in the order of their keys, side by side; memory stays small whatever the size."""
    ours, theirs = _rows(table, actual), _rows(table, expected)
    mine, wanted = next(ours, None), next(theirs, None)
    while mine is not None or wanted is not None:
        if wanted is None or (mine is not None and mine.order < wanted.order):
            assert mine is not None  # noqa: S101 - one of the two is there
            yield table.name, mine.name, "is in the table, but no event says so"
            mine = next(ours, None)
        elif mine is None or wanted.order < mine.order:
            yield table.name, wanted.name, "is recorded in the custody log, but not in the table"
            wanted = next(theirs, None)
        else:
            if changed := [n for n, value in mine.values.items() if not _same(value, wanted.values[n])]:
                yield table.name, mine.name, f"{', '.join(changed)} is not what the custody log says"
            mine, wanted = next(ours, None), next(theirs, None)


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(a == b)


@dataclass(frozen=True, slots=True)
class _Row:
    order: tuple[Any, ...]
    name: str
    values: dict[str, Any]


def _rows(table: Table, conn: Connection) -> Iterator[_Row]:
    keys = [c.name for c in table.primary_key]
    query = _raw(*table.columns).order_by(*table.primary_key).execution_options(yield_per=_CHUNK)
    try:
        for row in conn.execute(query):
            values = dict(row._mapping)
            key = tuple(values[k] for k in keys)
            yield _Row(tuple(map(_rank, key)), _name(key), values)
    except DatabaseError as e:
        raise CatalogError(f"table {table.name} cannot be read: {e.orig}", hint="check the disk") from e


def _rank(value: Any) -> tuple[int, Any]:
    """Where SQLite puts a value among all others: nothing, numbers, text by its bytes, bytes."""
    match value:
        case None:
            return 0, 0
        case str():
            return 2, value.encode("utf-8", "surrogateescape")
        case bytes():
            return 3, value
        case _:
            return 1, value


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
