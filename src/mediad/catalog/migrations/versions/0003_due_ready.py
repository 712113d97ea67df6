"""What is due is found by when it may be tried: what is put off costs nothing to pass over."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_index("due_ready", "due", ["stage", "not_before", "since", "subject"], unique=False)
    op.drop_index("due_next", table_name="due")
