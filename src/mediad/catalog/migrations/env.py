"""Alembic's environment: one URL, handed in by ``catalog.db.migrate``."""

from alembic import context
from sqlalchemy import create_engine

from mediad.catalog.tables import metadata

engine = create_engine(context.config.attributes["url"])
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
