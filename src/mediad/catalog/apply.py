"""What every rule that applies events to tables uses."""

import binascii
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete
from sqlalchemy.dialects import postgresql, sqlite

from mediad.catalog import tables as t
from mediad.model.custody import Event

Row = dict[str, Any]

Batch = Sequence[tuple[Event, Mapping[str, Any]]]
"""Events of one kind, each with its detail as values."""


def raw_bytes(text: str) -> bytes:
    return binascii.a2b_base64(text, strict_mode=True)


def upsert(conn: Connection, table: Table, rows: list[Row], *, keep: Sequence[str] = ()) -> None:
    """Insert, or replace what has the same primary key; columns in ``keep`` stay as they were there."""
    if rows:
        conn.execute(_upserting(conn.dialect.name, table, tuple(c for c in rows[0] if c not in keep)), rows)


@lru_cache(maxsize=200)
def _upserting(dialect_name: str, table: Table, columns: tuple[str, ...]) -> Any:
    """The statement, which takes longer to put together than to run."""
    statement = (postgresql if dialect_name == "postgresql" else sqlite).insert(table)
    keys = [c.name for c in table.primary_key]
    if others := {c: statement.excluded[c] for c in columns if c not in keys}:
        return statement.on_conflict_do_update(index_elements=keys, set_=others)
    return statement.on_conflict_do_nothing()  # all of it is key


def insert_new(conn: Connection, table: Table, rows: list[Row]) -> None:
    """Insert, leaving alone what has the same primary key."""
    if rows:
        dialect = postgresql if conn.dialect.name == "postgresql" else sqlite
        conn.execute(dialect.insert(table).on_conflict_do_nothing(), rows)


def becomes_due(conn: Connection, stage: str, subjects: Iterable[tuple[str, str]]) -> None:
    """What a fact makes due: written with the fact, so that it is never forgotten, and so that asking for it costs what is due
    and not what there is. No fact itself; ``due.refill`` finds the same again from the facts."""
    rows = [
        {"stage": stage, "subject": s, "since": at, "tries": 0, "not_before": "", "owner": None, "why": ""}
        for s, at in subjects
    ]
    upsert(conn, t.due, rows, keep=["since"])


def no_longer_due(conn: Connection, stage: str, subjects: Iterable[str]) -> None:
    d = t.due.c
    statement = delete(t.due).where(d.stage == stage, d.subject == bindparam("_subject"))
    if rows := [{"_subject": s} for s in subjects]:
        conn.execute(statement, rows)
