"""What is near is found by its source: the dockings of a recorder before another, and the recordings of a source by time."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.drop_index("docking_recorder", table_name="docking")
    op.create_index("docking_recorder", "docking", ["recorder", "state", "seq"], unique=False)
    op.create_index("recording_source", "recording", ["source", "started_at"], unique=False)
