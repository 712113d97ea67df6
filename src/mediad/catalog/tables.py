"""The tables. Facts (rebuilt from the custody log by ``record.apply``) and, below them, what is no fact.

Times are RFC 3339 text in UTC, file times integer nanoseconds, paths raw bytes, digests lower-case hex. Everything is
plain SQL that PostgreSQL takes as well.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from mediad.catalog.bureau_tables import BUREAU_FACTS
from mediad.catalog.metadata import metadata

custody = Table(
    "custody",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at", String, nullable=False),
    Column("station", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("detail", Text, nullable=False),
    Column("prev", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("custody_subject", "subject"),
)

# --- facts ----------------------------------------------------------------------------------------------------------

station = Table(
    "station",
    metadata,
    Column("id", String, primary_key=True),
    Column("unit", String, nullable=False),
    Column("founded_at", String, nullable=False),
)

vault = Table(
    "vault",
    metadata,
    Column("name", String, primary_key=True),
    Column("marker", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("dedicated", Boolean, nullable=False),
    Column("registered_at", String, nullable=False),
)

recorder = Table(
    "recorder",
    metadata,
    Column("id", String, primary_key=True),
    Column("label", String, nullable=False),
    Column("name", String, nullable=False),
    Column("profile", String, nullable=False),
    Column("registered_at", String, nullable=False),
)

recorder_key = Table(
    "recorder_key",
    metadata,
    Column("key", String, primary_key=True),
    Column("recorder", String, ForeignKey("recorder.id"), nullable=False),
    Index("recorder_key_recorder", "recorder"),
)

slot = Table(
    "slot",
    metadata,
    Column("port", String, primary_key=True),
    Column("name", String, nullable=False),
)

docking = Table(
    "docking",
    metadata,
    Column("id", String, primary_key=True),
    Column("recorder", String, nullable=False),
    Column("recorder_id", String),
    Column("label", String, nullable=False),
    Column("registered", Boolean, nullable=False),
    Column("slot", String, nullable=False),
    Column("source", String, nullable=False),
    Column("channel", String, nullable=False),
    Column("profile", String, nullable=False),
    Column("officer", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("opened_at", String, nullable=False),
    Column("seq", BigInteger, nullable=False),  # of the event that opened it: their order, whatever the clock said
    Column("continues", String),
    Column("said", Text),  # canonical JSON, as in the event
    Column("zones", Text, nullable=False),
    Column("state", String, nullable=False),
    Column("closed_at", String),
    Column("handover_key", String),
    Column("handover_sha256", String(64)),
    Column("new", Integer, nullable=False, default=0),
    Column("sightings", Integer, nullable=False, default=0),
    Column("skipped", Integer, nullable=False, default=0),
    Column("failed", Integer, nullable=False, default=0),
    Column("bytes", BigInteger, nullable=False, default=0),
    Index("docking_state", "state"),
    Index("docking_recorder", "recorder", "state", "seq"),
    Index("docking_seq", "seq"),
    Index("docking_key_opened", "recorder", "opened_at"),
    Index("docking_id_opened", "recorder_id", "opened_at"),
    Index("docking_officer", "officer"),
)

source_file = Table(
    "source_file",
    metadata,
    Column("docking", String, ForeignKey("docking.id"), primary_key=True),
    Column("volume", String, primary_key=True),
    Column("path", LargeBinary, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("birth_ns", BigInteger),
    Column("outcome", String),
    Column("asset", String),
    Column("why", String, nullable=False),
    Index("source_file_asset", "asset"),
)

asset = Table(
    "asset",
    metadata,
    Column("id", String, primary_key=True),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("sm3", String(64)),
    Column("size", BigInteger, nullable=False),
    Column("kind", String, nullable=False),
    Column("docking", String, ForeignKey("docking.id"), nullable=False),
    Column("volume", String, nullable=False),
    Column("path", LargeBinary, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("captured_at", String, nullable=False),
    Column("captured_source", String, nullable=False),
    Column("captured_confidence", String, nullable=False),
    Column("stored_at", String, nullable=False),
    Index("asset_docking", "docking"),
)

replica = Table(
    "replica",
    metadata,
    Column("vault", String, ForeignKey("vault.name"), primary_key=True),
    Column("asset", String, ForeignKey("asset.id"), primary_key=True),
    Column("key", String, nullable=False),
    Column("version", String),
    Column("method", String, nullable=False),
    Column("verified_at", String, nullable=False),
    Column("state", String, nullable=False),  # healthy | lost; only a healthy one counts
    UniqueConstraint("vault", "key"),
)

recording = Table(
    "recording",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("started_at", String, nullable=False),
    Column("ended_at", String, nullable=False),
    Column("provisional", Boolean, nullable=False),
    Column("source", String, nullable=False),
    Column("label", String, nullable=False),
    Column("officer", String, nullable=False),
    Column("channel", String, nullable=False),
    Column("important", Boolean, nullable=False),
    Column("confidence", String, nullable=False, server_default=""),  # of its start
    Column("lens", String, nullable=False, server_default=""),
    Column("joined", Text),  # canonical JSON of recording.joined: gaps and remarks; null for a recording of one
    Index("recording_started", "started_at"),
    Index("recording_source", "source", "started_at"),
    Index("recording_officer", "officer"),
)

recording_alias = Table(
    "recording_alias",
    metadata,
    Column("alias", String, primary_key=True),
    Column("recording", String, ForeignKey("recording.id"), nullable=False),
    Index("recording_alias_recording", "recording"),
)

recording_asset = Table(
    "recording_asset",
    metadata,
    Column("recording", String, ForeignKey("recording.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("asset", String, ForeignKey("asset.id"), nullable=False, unique=True),
)

claim = Table(
    "claim",
    metadata,
    Column("source", String, primary_key=True),
    Column("volume", String, primary_key=True),
    Column("path", LargeBinary, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("birth_ns", BigInteger),
    Column("device", BigInteger, nullable=False),
    Column("inode", BigInteger, nullable=False),
    Column("docking", String, ForeignKey("docking.id"), nullable=False),
    Column("asset", String, ForeignKey("asset.id"), nullable=False),
)

probe = Table(
    "probe",
    metadata,
    Column("asset", String, ForeignKey("asset.id"), primary_key=True),
    Column("detail", Text, nullable=False),  # canonical JSON of model/probe.py:Probe
)

timing = Table(
    "timing",
    metadata,
    Column("asset", String, ForeignKey("asset.id"), primary_key=True),
    Column("source", String, nullable=False),  # key of the recorder or folder
    Column("kind", String, nullable=False),
    Column("started_at", String, nullable=False),
    Column("ended_at", String, nullable=False),
    Column("confidence", String, nullable=False),
    Column("officer", String, nullable=False),
    Column("important", Boolean, nullable=False),
    Column("lens", String, nullable=False),
    Column("detail", Text, nullable=False),  # canonical JSON of the event
    Index("timing_source", "source", "started_at"),
)

clock = Table(
    "clock",
    metadata,
    Column("docking", String, ForeignKey("docking.id"), primary_key=True),
    Column("detail", Text, nullable=False),  # canonical JSON of the event
)

alarm = Table(
    "alarm",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", String, nullable=False),
    Column("code", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("detail", String, nullable=False),
)

FACTS = (
    station, vault, recorder, recorder_key, slot, docking, source_file, asset, replica, recording, recording_asset, claim,
    recording_alias, probe, timing, clock, alarm, *BUREAU_FACTS,
)  # fmt: skip
"""Every table that ``rebuild`` restores, parents first."""

# --- no facts: reservations, how far the mirrors are, what is due, what can be made again --------------------------------

placement = Table(
    "placement",
    metadata,
    Column("vault", String, primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("key", String, nullable=False),
    Column("batch", String, nullable=False),
    Column("docking", String, nullable=False),
    Column("detail", Text, nullable=False),
    Column("reserved_at", String, nullable=False),
    UniqueConstraint("vault", "key"),
)

mirrored = Table(
    "mirrored",
    metadata,
    Column("vault", String, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)

segment = Table(
    "segment",
    metadata,
    Column("vault", String, primary_key=True),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
)

due = Table(
    "due",
    metadata,
    Column("stage", String, primary_key=True),
    Column("subject", String, primary_key=True),
    Column("since", String, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("not_before", String, nullable=False),  # empty: at once
    Column("owner", String),
    Column("why", String, nullable=False),
    Index("due_ready", "stage", "not_before", "since", "subject"),
    Index("due_owner", "owner"),
)

preview = Table(
    "preview",
    metadata,
    Column("recording", String, primary_key=True),
    Column("state", String, nullable=False),  # made | failed
    Column("made_of", String, nullable=False),
    Column("at", String, nullable=False),
    Column("detail", Text, nullable=False),  # canonical JSON: files, seconds, or code and sentence of a failure
    Index("preview_state", "state"),
)
