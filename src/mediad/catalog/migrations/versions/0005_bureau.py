"""The bureau: people, recorders handed out, trips, cases, tags, limits, acts, hand-overs."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "person",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("department", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "person_login",
        sa.Column("login", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["person"], ["person.id"]),
        sa.PrimaryKeyConstraint("login"),
    )
    op.create_index("person_login_person", "person_login", ["person"], unique=False)
    op.create_table(
        "person_number",
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("start", sa.String(), nullable=False),
        sa.Column("until", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["person"], ["person.id"]),
        sa.PrimaryKeyConstraint("number", "kind", "person", "position"),
    )
    op.create_index("person_number_person", "person_number", ["person"], unique=False)
    op.create_table(
        "person_key",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("since", sa.String(), nullable=False),
        sa.Column("until", sa.String(), nullable=True),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["person"], ["person.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("person_key_person", "person_key", ["person"], unique=False)
    op.create_table(
        "department",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "recorder_move",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recorder", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("carrier", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("recorder_move_carrier", "recorder_move", ["carrier", "at"], unique=False)
    op.create_index("recorder_move_recorder", "recorder_move", ["recorder", "at", "seq"], unique=False)
    op.create_table(
        "trip",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("left", sa.String(), nullable=False),
        sa.Column("expected", sa.String(), nullable=False),
        sa.Column("returned", sa.String(), nullable=True),
        sa.Column("void", sa.Boolean(), nullable=False),
        sa.Column("since", sa.String(), nullable=False),
        sa.Column("until", sa.String(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("trip_open", "trip", ["returned", "expected"], unique=False)
    op.create_table(
        "trip_version",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("trip", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["trip"], ["trip.id"]),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("trip_version_trip", "trip_version", ["trip"], unique=False)
    op.create_table(
        "trip_of",
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("trip", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["trip"], ["trip.id"]),
        sa.PrimaryKeyConstraint("who", "trip"),
    )
    op.create_index("trip_of_trip", "trip_of", ["trip"], unique=False)
    op.create_table(
        "casefile",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("form", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("department", sa.String(), nullable=False),
        sa.Column("opened", sa.String(), nullable=True),
        sa.Column("act_ended", sa.String(), nullable=True),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.Column("merged_into", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("casefile_merged", "casefile", ["merged_into"], unique=False)
    op.create_index("casefile_opened", "casefile", ["opened"], unique=False)
    op.create_table(
        "case_number",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("casefile", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["casefile"], ["casefile.id"]),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("case_number_casefile", "case_number", ["casefile"], unique=False)
    op.create_table(
        "case_handler",
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("casefile", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["casefile"], ["casefile.id"]),
        sa.PrimaryKeyConstraint("person", "casefile"),
    )
    op.create_index("case_handler_casefile", "case_handler", ["casefile"], unique=False)
    op.create_table(
        "case_activity",
        sa.Column("casefile", sa.String(), nullable=False),
        sa.Column("activity", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["casefile"], ["casefile.id"]),
        sa.PrimaryKeyConstraint("casefile", "activity"),
    )
    op.create_table(
        "case_archive",
        sa.Column("casefile", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("vault", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["casefile"], ["casefile.id"]),
        sa.PrimaryKeyConstraint("casefile", "number"),
    )
    op.create_table(
        "tag",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("recording", sa.String(), nullable=False),
        sa.Column("casefile", sa.String(), nullable=False),
        sa.Column("activity", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("by_rule", sa.Boolean(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("tag_casefile", "tag", ["casefile", "state"], unique=False)
    op.create_index("tag_recording", "tag", ["recording", "state"], unique=False)
    op.create_table(
        "said_of",
        sa.Column("recording", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("recording", "what"),
    )
    op.create_index("said_of_what", "said_of", ["what"], unique=False)
    op.create_table(
        "deadline",
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("due_at", sa.String(), nullable=True),
        sa.Column("met_at", sa.String(), nullable=True),
        sa.Column("carrier", sa.String(), nullable=False),
        sa.Column("ended_at", sa.String(), nullable=True),
        sa.Column("justified", sa.Boolean(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("rule", "subject"),
    )
    op.create_index("deadline_carrier", "deadline", ["carrier", "ended_at"], unique=False)
    op.create_index("deadline_ended", "deadline", ["rule", "ended_at"], unique=False)
    op.create_index("deadline_state", "deadline", ["state", "justified", "due_at"], unique=False)
    op.create_index("deadline_subject", "deadline", ["subject"], unique=False)
    op.create_table(
        "explained",
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("said_of", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("assets", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("rule", "subject", "what", "said_of"),
    )
    op.create_table(
        "act",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("act_state", "act", ["state"], unique=False)
    op.create_index("act_subject", "act", ["subject"], unique=False)
    op.create_table(
        "rules",
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("station"),
    )
    op.create_table(
        "handover",
        sa.Column("docking", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("since", sa.String(), nullable=False),
        sa.Column("signed_at", sa.String(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("giver", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("docking"),
    )
    op.create_index("handover_state", "handover", ["state", "since"], unique=False)
    op.create_table(
        "handover_part",
        sa.Column("docking", sa.String(), nullable=False),
        sa.Column("handover", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("docking"),
    )
    op.create_index("handover_part_handover", "handover_part", ["handover"], unique=False)
    op.create_table(
        "imported",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("taken", sa.Boolean(), nullable=False),
        sa.Column("bad", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("imported_at", "imported", ["at"], unique=False)
    op.create_table(
        "told",
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("limit_at", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("way", sa.String(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "rule", "limit_at", "person", "way"),
    )
    op.create_table(
        "proposal",
        sa.Column("recording", sa.String(), nullable=False),
        sa.Column("casefile", sa.String(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("reasons", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("recording", "casefile"),
    )
    op.create_index("proposal_casefile", "proposal", ["casefile"], unique=False)
    op.create_table(
        "mention",
        sa.Column("recording", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("recording", "text"),
    )
    op.create_index("mention_text", "mention", ["text"], unique=False)
    op.create_table(
        "mention_part",
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("part", "text"),
    )
    op.create_table(
        "untagged",
        sa.Column("recording", sa.String(), nullable=False),
        sa.Column("since", sa.String(), nullable=False),
        sa.Column("exempt", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("recording"),
    )
    op.create_index("untagged_since", "untagged", ["exempt", "since"], unique=False)
    op.create_index("docking_key_opened", "docking", ["recorder", "opened_at"], unique=False)
    op.create_index("docking_id_opened", "docking", ["recorder_id", "opened_at"], unique=False)
    op.create_table(
        "brought",
        sa.Column("docking", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("handed_in", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("docking"),
    )
    op.create_index("brought_person", "brought", ["person", "at"], unique=False)
    op.create_table(
        "counted",
        sa.Column("vault", sa.String(), nullable=False),
        sa.Column("since", sa.String(), nullable=False),
        sa.Column("until", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("vault", "since"),
    )
    op.create_index("docking_officer", "docking", ["officer"], unique=False)
    op.create_index("recording_officer", "recording", ["officer"], unique=False)
    # What is stored already wants its rulings and its case.
    op.execute(
        "INSERT INTO due (stage, subject, since, tries, not_before, owner, why)"
        " SELECT 'rule', id, closed_at, 0, '', NULL, '' FROM docking WHERE closed_at IS NOT NULL"
    )
    op.execute(
        "INSERT INTO due (stage, subject, since, tries, not_before, owner, why)"
        " SELECT 'match', id, closed_at, 0, '', NULL, '' FROM docking WHERE closed_at IS NOT NULL"
    )
    op.execute(
        "INSERT INTO untagged (recording, since, exempt)"
        " SELECT id, ended_at, false FROM recording WHERE kind <> 'data' AND NOT provisional"
    )
    _hand_overs()
    _counted()


def _hand_overs() -> None:
    """Dockings that were closed before: each is a hand-over, or part of the one that it continues."""
    conn = op.get_bind()
    docking = sa.table("docking", *(sa.column(c) for c in ("id", "continues", "closed_at", "new", "seq")))
    part = sa.table("handover_part", sa.column("docking"), sa.column("handover"))
    handover = sa.table("handover", *(sa.column(c) for c in _HANDOVER))
    closed = sa.select(docking).where(docking.c.closed_at.is_not(None))
    root: dict[str, str] = {}
    rows: dict[str, tuple[str, str]] = {}
    for row in conn.execute(closed.order_by(docking.c.seq)).all():
        first = root[row.id] = root.get(row.continues, row.id)
        if row.new or first == row.id:
            rows[first] = ("waiting" if row.new else "nothing", row.closed_at)
    for first, (state, since) in rows.items():
        values = (first, state, since, None, 0, "", "{}")
        conn.execute(sa.insert(handover).values(**dict(zip(_HANDOVER, values, strict=True))))
    for each, first in root.items():
        conn.execute(sa.insert(part).values(docking=each, handover=first))


def _counted() -> None:
    """Since when, and until when, vaults were the unit's dedicated storage: by the log."""
    conn = op.get_bind()
    log = sa.table("custody", *(sa.column(c) for c in ("seq", "at", "kind", "subject", "detail")))
    counted = sa.table("counted", *(sa.column(c) for c in ("vault", "since", "until")))
    since: dict[str, str] = {}
    rows: list[dict[str, str | None]] = []
    told = sa.select(log).where(log.c.kind == "vault.registered").order_by(log.c.seq)
    known: set[str] = set()
    for row in conn.execute(told).all():
        if json.loads(row.detail)["dedicated"]:
            since.setdefault(row.subject, row.at if row.subject in known else "")
        elif row.subject in since:
            rows.append({"vault": row.subject, "since": since.pop(row.subject), "until": row.at})
        known.add(row.subject)
    rows += [{"vault": vault, "since": at, "until": None} for vault, at in since.items()]
    if rows:
        conn.execute(sa.insert(counted), rows)


_HANDOVER = ("docking", "state", "since", "signed_at", "version", "giver", "detail")
