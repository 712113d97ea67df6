"""The custody log played into an empty database, and the catalogue's fact tables held against what comes of it."""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, create_engine, select, type_coerce
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import StaticPool
from sqlalchemy.types import NullType

from mediad.catalog import record
from mediad.catalog import tables as t
from mediad.catalog.metadata import metadata
from mediad.errors import CatalogError
from mediad.model.custody import Event

_CHUNK = 2_000


def raw(*columns: ColumnElement[Any]) -> Any:
    """Select values as they are stored: a 7 in a column of yes and no stays a 7."""
    return select(*(type_coerce(c, NullType()).label(c.name) for c in columns))


def differences(actual: Connection, events: Iterator[Any]) -> Iterator[tuple[str, str, str]]:
    """Where the fact tables are not what the events give: table, row, and what is wrong. Raises ReplayFailed where they cannot be
    applied at all."""
    # A database without a name lives in memory and spills into an anonymous temporary file when it grows.
    fresh = create_engine("sqlite://", creator=lambda: sqlite3.connect("", isolation_level=None), poolclass=StaticPool)
    try:
        with fresh.connect() as replayed:
            replayed.exec_driver_sql("BEGIN")  # ours, so that savepoints are within it
            metadata.create_all(replayed)
            _replay(replayed, events)
            for table in t.FACTS:
                yield from _compare(table, actual, replayed)
    finally:
        fresh.dispose()


def _replay(into: Connection, events: Iterator[Any]) -> None:
    while chunk := [Event(*row) for row in islice(events, _CHUNK)]:
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
    query = raw(*table.columns).order_by(*table.primary_key).execution_options(yield_per=_CHUNK)
    try:
        for row in conn.execute(query):
            values = dict(row._mapping)
            key = tuple(values[k] for k in keys)
            yield _Row(tuple(map(_rank, key)), name_of(key), values)
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


def name_of(key: tuple[Any, ...]) -> str:
    return "/".join(part.decode("utf-8", "backslashreplace") if isinstance(part, bytes) else str(part) for part in key)
