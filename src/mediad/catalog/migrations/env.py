"""Alembic's environment: one URL, handed in by ``catalog.db.migrate``."""

import sqlite3
from typing import Any

from alembic import context
from sqlalchemy import Connection, create_engine, event

import mediad.catalog.tables  # noqa: F401 - they are in the collection only then
from mediad.catalog.metadata import metadata

engine = create_engine(context.config.attributes["url"])

if engine.dialect.name == "sqlite":
    # The driver begins no transaction for CREATE or ALTER: a killed migration would leave half of its tables.
    @event.listens_for(engine, "connect")
    def _connect(raw: sqlite3.Connection, _entry: Any) -> None:
        raw.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(conn: Connection) -> None:
        conn.exec_driver_sql("BEGIN IMMEDIATE")


with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
