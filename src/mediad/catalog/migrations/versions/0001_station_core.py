"""The station core: custody log, dockings, assets, replicas, recordings.

Migrations are only ever added, never changed. The first one takes the tables as they are while the project is young:
from version 1.0 on, each later change of tables.py is a migration of its own.
"""

from alembic import op

from mediad.catalog.tables import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    metadata.create_all(op.get_bind())
