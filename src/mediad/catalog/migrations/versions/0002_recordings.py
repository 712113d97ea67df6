"""Recordings that can be watched: probes, times, takes, and what is due."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("recording", sa.Column("confidence", sa.String(), nullable=False, server_default=""))
    op.add_column("recording", sa.Column("lens", sa.String(), nullable=False, server_default=""))
    op.add_column("recording", sa.Column("joined", sa.Text(), nullable=True))
    op.create_table(
        "recording_alias",
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("recording", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["recording"], ["recording.id"]),
        sa.PrimaryKeyConstraint("alias"),
    )
    op.create_index("recording_alias_recording", "recording_alias", ["recording"], unique=False)
    op.create_table(
        "probe",
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["asset"], ["asset.id"]),
        sa.PrimaryKeyConstraint("asset"),
    )
    op.create_table(
        "timing",
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("started_at", sa.String(), nullable=False),
        sa.Column("ended_at", sa.String(), nullable=False),
        sa.Column("confidence", sa.String(), nullable=False),
        sa.Column("officer", sa.String(), nullable=False),
        sa.Column("important", sa.Boolean(), nullable=False),
        sa.Column("lens", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["asset"], ["asset.id"]),
        sa.PrimaryKeyConstraint("asset"),
    )
    op.create_index("timing_source", "timing", ["source", "started_at"], unique=False)
    op.create_table(
        "clock",
        sa.Column("docking", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["docking"], ["docking.id"]),
        sa.PrimaryKeyConstraint("docking"),
    )
    op.create_table(
        "due",
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("since", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("why", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("stage", "subject"),
    )
    op.create_index("due_next", "due", ["stage", "since", "subject"], unique=False)
    op.create_index("due_owner", "due", ["owner"], unique=False)
    op.create_table(
        "preview",
        sa.Column("recording", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("made_of", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("recording"),
    )
    op.create_index("preview_state", "preview", ["state"], unique=False)
    # What is stored already has the confidence that its event gave it, and is to be looked at.
    op.execute(
        "UPDATE recording SET confidence = (SELECT a.captured_confidence FROM asset a JOIN recording_asset m"
        " ON m.asset = a.id WHERE m.recording = recording.id AND m.position = 0)"
    )
    op.execute(
        "INSERT INTO due (stage, subject, since, tries, not_before, owner, why)"
        " SELECT 'probe', id, stored_at, 0, '', NULL, '' FROM asset"
    )
    op.execute(
        "INSERT INTO due (stage, subject, since, tries, not_before, owner, why)"
        " SELECT 'assemble', id, closed_at, 0, '', NULL, '' FROM docking WHERE closed_at IS NOT NULL"
    )
