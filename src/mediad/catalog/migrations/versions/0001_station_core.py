"""The station core: custody log, dockings, assets, replicas, recordings.

Migrations are only ever added, never changed: the tables stand here as they were, whatever tables.py says later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "alarm",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_table(
        "custody",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("prev", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("custody_subject", "custody", ["subject"], unique=False)
    op.create_table(
        "docking",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("recorder", sa.String(), nullable=False),
        sa.Column("recorder_id", sa.String(), nullable=True),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("registered", sa.Boolean(), nullable=False),
        sa.Column("slot", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("officer", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("opened_at", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("continues", sa.String(), nullable=True),
        sa.Column("said", sa.Text(), nullable=True),
        sa.Column("zones", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("closed_at", sa.String(), nullable=True),
        sa.Column("handover_key", sa.String(), nullable=True),
        sa.Column("handover_sha256", sa.String(length=64), nullable=True),
        sa.Column("new", sa.Integer(), nullable=False),
        sa.Column("sightings", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("docking_recorder", "docking", ["recorder"], unique=False)
    op.create_index("docking_seq", "docking", ["seq"], unique=False)
    op.create_index("docking_state", "docking", ["state"], unique=False)
    op.create_table(
        "mirrored",
        sa.Column("vault", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("vault"),
    )
    op.create_table(
        "segment",
        sa.Column("vault", sa.String(), nullable=False),
        sa.Column("first", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("vault", "first"),
    )
    op.create_table(
        "placement",
        sa.Column("vault", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("batch", sa.String(), nullable=False),
        sa.Column("docking", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("reserved_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("vault", "sha256"),
        sa.UniqueConstraint("vault", "key"),
    )
    op.create_table(
        "recorder",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("registered_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "recorder_key",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("recorder", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["recorder"],
            ["recorder.id"],
        ),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("recorder_key_recorder", "recorder_key", ["recorder"], unique=False)
    op.create_table(
        "recording",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("started_at", sa.String(), nullable=False),
        sa.Column("ended_at", sa.String(), nullable=False),
        sa.Column("provisional", sa.Boolean(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("officer", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("important", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("recording_started", "recording", ["started_at"], unique=False)
    op.create_table(
        "slot",
        sa.Column("port", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("port"),
    )
    op.create_table(
        "station",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("founded_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "vault",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("marker", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("dedicated", sa.Boolean(), nullable=False),
        sa.Column("registered_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sa.UniqueConstraint("marker"),
    )
    op.create_table(
        "asset",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("sm3", sa.String(length=64), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("docking", sa.String(), nullable=False),
        sa.Column("volume", sa.String(), nullable=False),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("captured_at", sa.String(), nullable=False),
        sa.Column("captured_source", sa.String(), nullable=False),
        sa.Column("captured_confidence", sa.String(), nullable=False),
        sa.Column("stored_at", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["docking"],
            ["docking.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("sha256"),
    )
    op.create_index("asset_docking", "asset", ["docking"], unique=False)
    op.create_table(
        "source_file",
        sa.Column("docking", sa.String(), nullable=False),
        sa.Column("volume", sa.String(), nullable=False),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("birth_ns", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("asset", sa.String(), nullable=True),
        sa.Column("why", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["docking"],
            ["docking.id"],
        ),
        sa.PrimaryKeyConstraint("docking", "volume", "path"),
    )
    op.create_index("source_file_asset", "source_file", ["asset"], unique=False)
    op.create_table(
        "claim",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("volume", sa.String(), nullable=False),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("birth_ns", sa.BigInteger(), nullable=True),
        sa.Column("device", sa.BigInteger(), nullable=False),
        sa.Column("inode", sa.BigInteger(), nullable=False),
        sa.Column("docking", sa.String(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["asset"],
            ["asset.id"],
        ),
        sa.ForeignKeyConstraint(
            ["docking"],
            ["docking.id"],
        ),
        sa.PrimaryKeyConstraint("source", "volume", "path"),
    )
    op.create_table(
        "recording_asset",
        sa.Column("recording", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["asset"],
            ["asset.id"],
        ),
        sa.ForeignKeyConstraint(
            ["recording"],
            ["recording.id"],
        ),
        sa.PrimaryKeyConstraint("recording", "position"),
        sa.UniqueConstraint("asset"),
    )
    op.create_table(
        "replica",
        sa.Column("vault", sa.String(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=True),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("verified_at", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["asset"],
            ["asset.id"],
        ),
        sa.ForeignKeyConstraint(
            ["vault"],
            ["vault.name"],
        ),
        sa.PrimaryKeyConstraint("vault", "asset"),
        sa.UniqueConstraint("vault", "key"),
    )
