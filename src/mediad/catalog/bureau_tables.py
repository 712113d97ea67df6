"""The tables of people, recorders, trips, cases, tags, limits and hand-overs. What stands behind
BUREAU_FACTS is none: it is found again.

``detail`` is the canonical JSON of the newest event; the other columns are what questions ask for.
"""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text

from mediad.catalog.metadata import metadata

person = Table(
    "person",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("department", String, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("detail", Text, nullable=False),
)

person_login = Table(
    "person_login",
    metadata,
    Column("login", String, primary_key=True),
    Column("person", String, ForeignKey("person.id"), nullable=False),
    Index("person_login_person", "person"),
)

person_number = Table(
    "person_number",
    metadata,
    Column("number", String, primary_key=True),
    Column("kind", String, primary_key=True),  # certificate | device
    Column("person", String, ForeignKey("person.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("start", String, nullable=False),  # a day, empty: since ever
    Column("until", String, nullable=False),  # a day, empty: until further notice
    Index("person_number_person", "person"),
)

person_key = Table(
    "person_key",
    metadata,
    Column("id", String, primary_key=True),
    Column("person", String, ForeignKey("person.id"), nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("since", String, nullable=False),
    Column("until", String),  # null: until further notice
    Column("withdrawn", Boolean, nullable=False),
    Column("detail", Text, nullable=False),
    Index("person_key_person", "person"),
)

department = Table(
    "department",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("unit", String, nullable=False),
    Column("active", Boolean, nullable=False),
)

recorder_move = Table(
    "recorder_move",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("recorder", String, nullable=False),
    Column("state", String, nullable=False),  # issued | returned | lost | broken
    Column("at", String, nullable=False),
    Column("carrier", String, nullable=False),
    Column("detail", Text, nullable=False),
    Index("recorder_move_recorder", "recorder", "at", "seq"),
    Index("recorder_move_carrier", "carrier", "at"),
)

brought = Table(
    "brought",
    metadata,
    Column("docking", String, primary_key=True),
    Column("person", String, nullable=False),  # who had had the recorder
    Column("handed_in", String, nullable=False),  # when it was docked, or handed in before
    Column("at", String, nullable=False),  # when it was docked
    Index("brought_person", "person", "at"),
)

trip = Table(
    "trip",
    metadata,
    Column("id", String, primary_key=True),
    Column("left", String, nullable=False),
    Column("expected", String, nullable=False),
    Column("returned", String),
    Column("void", Boolean, nullable=False),
    Column("since", String, nullable=False),  # whatever of it counts, it lies in this time
    Column("until", String),
    Column("detail", Text, nullable=False),
    Index("trip_open", "returned", "expected"),
)

trip_version = Table(
    "trip_version",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("trip", String, ForeignKey("trip.id"), nullable=False),
    Column("at", String, nullable=False),
    Column("detail", Text, nullable=False),
    Index("trip_version_trip", "trip"),
)

trip_of = Table(
    "trip_of",
    metadata,
    Column("who", String, primary_key=True),  # person or recorder
    Column("trip", String, ForeignKey("trip.id"), primary_key=True),
    Index("trip_of_trip", "trip"),
)

casefile = Table(
    "casefile",
    metadata,
    Column("id", String, primary_key=True),
    Column("form", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("name", String, nullable=False),
    Column("department", String, nullable=False),
    Column("opened", String),
    Column("act_ended", String),
    Column("archived", Boolean, nullable=False),
    Column("merged_into", String, nullable=False),
    Column("detail", Text, nullable=False),
    Index("casefile_opened", "opened"),
    Index("casefile_merged", "merged_into"),
)

case_number = Table(
    "case_number",
    metadata,
    Column("key", String, primary_key=True),
    Column("casefile", String, ForeignKey("casefile.id"), nullable=False),
    Index("case_number_casefile", "casefile"),
)

case_handler = Table(
    "case_handler",
    metadata,
    Column("person", String, primary_key=True),
    Column("casefile", String, ForeignKey("casefile.id"), primary_key=True),
    Index("case_handler_casefile", "casefile"),
)

case_activity = Table(
    "case_activity",
    metadata,
    Column("casefile", String, ForeignKey("casefile.id"), primary_key=True),
    Column("activity", String, primary_key=True),
    Column("detail", Text, nullable=False),
)

case_archive = Table(
    "case_archive",
    metadata,
    Column("casefile", String, ForeignKey("casefile.id"), primary_key=True),
    Column("number", Integer, primary_key=True),  # 1, then supplements
    Column("vault", String, nullable=False),
    Column("key", String, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("at", String, nullable=False),
    Column("detail", Text, nullable=False),
)

tag = Table(
    "tag",
    metadata,
    Column("id", String, primary_key=True),
    Column("recording", String, nullable=False),
    Column("casefile", String, nullable=False),
    Column("activity", String, nullable=False),
    Column(
        "state", String, nullable=False
    ),  # set | superseded | lapsed (taken back by the rule) | withdrawn | dismissed
    Column("by_rule", Boolean, nullable=False),
    Column("at", String, nullable=False),
    Column("detail", Text, nullable=False),
    Index("tag_recording", "recording", "state"),
    Index("tag_casefile", "casefile", "state"),
)

said_of = Table(
    "said_of",
    metadata,
    Column("recording", String, primary_key=True),
    Column("what", String, primary_key=True),  # carried | dated | classified | excused
    Column("at", String, nullable=False),
    Column("detail", Text, nullable=False),
    Index("said_of_what", "what"),
)

counted = Table(
    "counted",
    metadata,
    Column("vault", String, primary_key=True),
    Column("since", String, primary_key=True),  # empty: since it was registered
    Column("until", String),
)
"""From when until when a vault was the unit's dedicated storage (Article 28)."""

deadline = Table(
    "deadline",
    metadata,
    Column("rule", String, primary_key=True),
    Column("subject", String, primary_key=True),
    Column("state", String, nullable=False),  # met | late (met, but late) | waiting | open | untrusted | not-applicable
    Column("due_at", String),
    Column("met_at", String),
    Column("carrier", String, nullable=False),
    Column("ended_at", String),
    Column("justified", Boolean, nullable=False),  # a reason in writing was given
    Column("detail", Text, nullable=False),
    Index("deadline_subject", "subject"),
    Index("deadline_state", "state", "justified", "due_at"),
    Index("deadline_carrier", "carrier", "ended_at"),
    Index("deadline_ended", "rule", "ended_at"),
)

explained = Table(
    "explained",
    metadata,
    Column("rule", String, primary_key=True),
    Column("subject", String, primary_key=True),
    Column("what", String, primary_key=True),  # justified | receipt
    Column("said_of", String, primary_key=True),  # the subject; or a recording that was joined to it since
    Column("at", String, nullable=False),
    Column("assets", Text, nullable=False),  # canonical JSON: the files that the recording had when it was said
    Column("detail", Text, nullable=False),
)

act = Table(
    "act",
    metadata,
    Column("id", String, primary_key=True),
    Column("what", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("state", String, nullable=False),  # proposed | done | refused
    Column("at", String, nullable=False),
    Column("detail", Text, nullable=False),
    Index("act_state", "state"),
    Index("act_subject", "subject"),
)

imported = Table(
    "imported",
    metadata,
    Column("id", String, primary_key=True),
    Column("what", String, nullable=False),
    Column("name", String, nullable=False),
    Column("taken", Boolean, nullable=False),
    Column("bad", Integer, nullable=False),
    Column("at", String, nullable=False),
    Column("detail", Text, nullable=False),
    Index("imported_at", "at"),
)

rules = Table(
    "rules",
    metadata,
    Column("station", String, primary_key=True),
    Column("at", String, nullable=False),
    Column("detail", Text, nullable=False),
)

handover = Table(
    "handover",
    metadata,
    Column("docking", String, primary_key=True),  # the first, where others continue it
    Column("state", String, nullable=False),  # nothing (no new files, so nothing to sign) | waiting | signed
    Column("since", String, nullable=False),  # when the newest of its dockings was closed that brought new files
    Column("signed_at", String),
    Column("version", Integer, nullable=False),  # how often it was signed; each signing stands for those before
    Column("giver", String, nullable=False),  # who carried it, as a person named or signed it
    Column("detail", Text, nullable=False),  # of the newest signing
    Index("handover_state", "state", "since"),
)

handover_part = Table(
    "handover_part",
    metadata,
    Column("docking", String, primary_key=True),
    Column("handover", String, nullable=False),
    Index("handover_part_handover", "handover"),
)

told = Table(
    "told",
    metadata,
    Column("subject", String, primary_key=True),
    Column("rule", String, primary_key=True),
    Column("limit_at", String, primary_key=True),  # empty: nobody knows it
    Column("person", String, primary_key=True),
    Column("way", String, primary_key=True),
    Column("step", Integer, nullable=False),  # the newest: minutes from the limit
    Column("at", String, nullable=False),
    Column("message", String, nullable=False),
)

BUREAU_FACTS: Final = (
    person, person_login, person_number, person_key, department, recorder_move, brought, trip, trip_version, trip_of, casefile,
    case_number, case_handler, case_activity, case_archive, tag, said_of, counted, deadline, explained, act, rules, imported,
    handover, handover_part, told,
)  # fmt: skip
"""Parents first."""

proposal = Table(
    "proposal",
    metadata,
    Column("recording", String, primary_key=True),
    Column("casefile", String, primary_key=True),
    Column("score", Integer, nullable=False),
    Column("reasons", String, nullable=False),
    Index("proposal_casefile", "casefile"),
)

mention = Table(
    "mention",
    metadata,
    Column("recording", String, primary_key=True),
    Column("text", String, primary_key=True),  # as model/numbers.py:number_key has it
    Index("mention_text", "text"),
)
"""What stands on folders and in sidecars and may hold the number of a case that is imported later."""

mention_part = Table(
    "mention_part",
    metadata,
    Column("part", String, primary_key=True),  # as model/numbers.py:beginnings has them
    Column("text", String, primary_key=True),
)
"""Each text once, by all places in it where a number may begin. Many recordings lie in one folder, and what none of them bears any
more finds none."""

untagged = Table(
    "untagged",
    metadata,
    Column("recording", String, primary_key=True),
    Column("since", String, nullable=False),  # when it was timed first
    Column("exempt", Boolean, nullable=False),  # it need be of none (model/deadline.py:NO_CASE)
    Index("untagged_since", "exempt", "since"),
)
