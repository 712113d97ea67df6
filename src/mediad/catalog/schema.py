"""What stands in the catalogue's schema against what the migrations make: a trigger or a view of somebody else's changes what is
written behind the back of every check of rows."""

import tempfile
from collections.abc import Iterator, Mapping
from functools import cache

from sqlalchemy import Connection, create_engine, text

from mediad.catalog import db

_QUERY = text("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")


def differences(conn: Connection) -> Iterator[str]:
    """What is there and does not belong, is missing, or was changed. Only SQLite's schema is looked at."""
    if conn.dialect.name != "sqlite":
        return
    ours, meant = _read(conn), _migrated()
    for kind, name in sorted(ours.keys() | meant.keys()):
        if (kind, name) not in meant:
            yield f"{kind} {name} is none of mediad's"
        elif (kind, name) not in ours:
            yield f"{kind} {name} is missing"
        elif ours[kind, name] != meant[kind, name]:
            yield f"{kind} {name} was changed"


def _read(conn: Connection) -> Mapping[tuple[str, str], str]:
    return {(str(kind), str(name)): str(sql) for kind, name, sql in conn.execute(_QUERY)}


@cache
def _migrated() -> Mapping[tuple[str, str], str]:
    """The schema that the migrations give, made in a temporary file: the same as long as the program runs."""
    with tempfile.TemporaryDirectory(prefix="mediad-") as folder:
        url = f"sqlite:///{folder}/schema.db"
        db.upgrade(url)
        engine = create_engine(url)
        try:
            with engine.connect() as conn:
                return _read(conn)
        finally:
            engine.dispose()
