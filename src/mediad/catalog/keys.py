"""Public keys of people, and the events that are signed with them."""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from mediad.catalog import bureau_tables as b
from mediad.catalog import tables as t
from mediad.model.custody import Event
from mediad.model.signing import Key


def keys(conn: Connection) -> list[Key]:
    """All keys that were ever registered, the oldest first."""
    k = b.person_key.c
    return [_key(row) for row in conn.execute(select(b.person_key).order_by(k.since, k.id))]


def key(conn: Connection, key_id: str) -> Key | None:
    row = conn.execute(select(b.person_key).where(b.person_key.c.id == key_id)).first()
    return None if row is None else _key(row)


def _key(row: Row[Any]) -> Key:
    return Key(
        row.id, row.person, row.fingerprint, datetime.fromisoformat(row.since),
        datetime.fromisoformat(row.until) if row.until else None, row.withdrawn, json.loads(row.detail),
    )  # fmt: skip


def newest(conn: Connection, subject: str, kind: str) -> Event | None:
    """The newest event of a kind about a subject."""
    c = t.custody.c
    query = select(t.custody).where(c.subject == subject, c.kind == kind).order_by(c.seq.desc()).limit(1)
    row = conn.execute(query).first()
    return None if row is None else Event(**row._mapping)
