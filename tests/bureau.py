"""A bureau in a real catalogue, made of events at times that the test chooses: people, recorders, trips, dockings and what they
bring. No bytes are moved; what the daemon would have recorded is recorded."""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from mediad.catalog import db, due, evidence, limits
from mediad.catalog.apply_limits import EVERYTHING
from mediad.catalog.db import Catalog
from mediad.catalog.ledger import Ledger
from mediad.config.rules import Deadlines
from mediad.model.calendar import Calendar
from mediad.model.custody import Draft
from mediad.model.ids import asset_id, named_id, recording_id
from mediad.model.instants import stamp
from mediad.stages import rule
from mediad.stages.rule import Rules
from mediad.wiring.bureau import rules as at_work

CHINA = ZoneInfo("Asia/Shanghai")
H = timedelta(hours=1)


def at(text: str) -> datetime:
    """A time of the unit, such as 2026-11-23 09:30."""
    return datetime.fromisoformat(text).replace(tzinfo=CHINA).astimezone(UTC)


def rules(**settings: Any) -> Rules:
    """The shipped limits, but for some."""
    section = Deadlines(**settings)
    untagged = timedelta(days=section.untagged_days)
    return Rules(section.storage(CHINA), section.cases(CHINA, Calendar()), section.spans(CHINA), CHINA, untagged)


def bodies(conn: Connection) -> dict[tuple[str, str], dict[str, Any]]:
    """Every ruling that stands, by rule and subject."""
    return limits.rulings(conn, [subject for _, _, subject in limits.in_order(conn)])


@dataclass(frozen=True)
class File:
    """What a docking brings: a film that ended then. ``stored`` False: seen, and not taken."""

    name: str
    ended: datetime
    confidence: str = "claimed"
    minutes: float = 5
    officer: str = ""
    stored: bool = True
    earliest: datetime | None = None
    kind: str = "video"

    @property
    def asset(self) -> str:
        return asset_id(hashlib.sha256(self.name.encode()).digest())

    @property
    def recording(self) -> str:
        return recording_id(hashlib.sha256(self.name.encode()).digest())

    @property
    def path_b64(self) -> str:
        return base64.b64encode(f"DCIM/{self.name}".encode()).decode()

    @property
    def mtime_ns(self) -> int:
        return int(self.ended.timestamp() * 1e9)


@dataclass
class Bureau:
    """The station, its clock, and what happens there."""

    ledger: Ledger
    clock: list[datetime] = field(default_factory=lambda: [at("2026-11-01 08:00")])
    _dockings: int = 0

    @property
    def now(self) -> datetime:
        return self.clock[0]

    def record(self, when: datetime, *drafts: Draft) -> None:
        self.clock[0] = when
        self.ledger.record(list(drafts))

    def officer(self, name: str, certificate: str, *device_numbers: str) -> str:
        person = named_id("per", "person", certificate)
        numbers = [{"number": n, "from": None, "until": None} for n in (certificate, *device_numbers)]
        detail = {
            "key": certificate, "name": name, "department": "", "roles": ["officer"], "logins": [], "position": "",
            "shared": False, "active": True, "certificates": numbers[:1], "device_numbers": numbers[1:],
        }  # fmt: skip
        self.ledger.record([Draft("person.registered", person, detail)])
        return person

    def recorder(self, label: str) -> str:
        recorder = f"rcd-{label}"
        detail = {"label": label, "name": "", "profile": "", "keys": [f"serial:{label}"]}
        self.ledger.record([Draft("recorder.registered", recorder, detail)])
        return recorder

    def move(self, recorder: str, state: str, when: datetime, carrier: str = "", **more: Any) -> None:
        detail = {
            "state": state,
            "at": stamp(when),
            "carrier": carrier,
            "expected": None,
            "why": "",
            "presumed": "",
            **more,
        }
        self.record(when, Draft("recorder.moved", recorder, detail))

    def trip(
        self, persons: Sequence[str], left: datetime, *, returned: datetime | None = None, entered: datetime | None = None,
        expected: datetime | None = None, reason: str = "异地检查", recorders: Sequence[str] = (), **more: Any,
    ) -> str:  # fmt: skip
        """Enter a trip, or another version of it: it is called after its persons and when they left."""
        trip = named_id("trp", "trip", "\0".join((*sorted(persons), *sorted(recorders), stamp(left))))
        detail = {
            "persons": sorted(persons), "recorders": sorted(recorders), "left": stamp(left),
            "expected": stamp(expected or left + 48 * H), "returned": stamp(returned) if returned else None,
            "reason": reason, "void": False, "approved_by": "", **more,
        }  # fmt: skip
        self.record(entered or left, Draft("trip.registered", trip, detail))
        return trip

    def dock(
        self, recorder: str, when: datetime, *files: File, officer: str = "", channel: str = "body-camera", done: str = "complete",
        continues: str | None = None, folder: bool = False,
    ) -> str:  # fmt: skip
        """Dock a recorder (its label), or what a drop ``folder`` holds: a minute to store it, and then it is timed."""
        self._dockings += 1
        docking = f"dck-{self._dockings:026}"
        key = f"folder:/srv/{recorder}" if folder else f"serial:{recorder}"
        opened = {
            "recorder": key, "recorder_id": None if folder else f"rcd-{recorder}", "label": recorder,
            "registered": not folder, "slot": "1", "source": "", "channel": channel, "profile": "generic", "officer": officer,
            "continues": continues, "said": None, "zones": {},
        }  # fmt: skip
        claims = [{"volume": "", "path_b64": f.path_b64, "size": 10, "mtime_ns": f.mtime_ns} for f in files]
        self.record(
            when,
            Draft("docking.opened", docking, opened),
            Draft("docking.listed", docking, {"files": claims, "known": []}),
        )
        taken = [f for f in files if f.stored]
        self.record(
            when + timedelta(minutes=1), *(self._stored(docking, key, recorder, channel, officer, f) for f in taken)
        )
        counts = {"new": len(taken), "sightings": 0, "skipped": 0, "failed": 0, "bytes": 10 * len(taken)}
        closed = {
            "state": done, "ended_at": stamp(self.now), "counts": counts, "findings": [],
            "handover": {"vault": "local", "key": docking, "sha256": "0" * 64},
        }  # fmt: skip
        self.record(self.now, Draft("docking.closed", docking, closed), *(self._timed(docking, key, f) for f in taken))
        return docking

    def _stored(self, docking: str, key: str, label: str, channel: str, officer: str, f: File) -> Draft:
        detail = {
            "sha256": hashlib.sha256(f.name.encode()).hexdigest(), "size": 10, "kind": f.kind, "docking": docking, "volume": "",
            "path_b64": f.path_b64, "mtime_ns": f.mtime_ns, "recording": f.recording, "source": key, "label": label,
            "captured": {"value": stamp(f.ended), "source": "mtime", "confidence": "estimated"}, "officer": officer or f.officer,
            "channel": channel, "important": False, "vault": "local", "key": f"originals/{f.name}", "method": "direct",
            "verified_at": stamp(self.now),
        }  # fmt: skip
        return Draft("asset.stored", f.asset, detail)

    def _timed(self, docking: str, key: str, f: File) -> Draft:
        detail = {
            "docking": docking, "source": key, "kind": f.kind, "started_at": stamp(f.ended - timedelta(minutes=f.minutes)),
            "ended_at": stamp(f.ended), "confidence": f.confidence, "officer": f.officer, "important": False, "lens": "",
            "time": {"earliest": stamp(f.earliest) if f.earliest else None, "latest": None}, "sidecar": None,
        }  # fmt: skip
        return Draft("asset.timed", f.asset, detail)

    def case(self, case: str, **times: Any) -> None:
        """A case as it is known now; recorded when the last of its times was."""
        at_all = [moment for moment in times.values() if isinstance(moment, datetime)]
        detail = {
            "form": "case", "kind": "penalty", "numbers": [{"type": "立案号", "number": case}], "name": case, "department": "",
            "handlers": [], "archived": None, "merged_into": "", "opened": None, "act_ended": None,
            **{name: stamp(value) if isinstance(value, datetime) else value for name, value in times.items()},
        }  # fmt: skip
        self.record(max(at_all), Draft("case.registered", case, detail))

    def say(self, kind: str, subject: str, when: datetime, **detail: Any) -> None:
        self.record(when, Draft(kind, subject, detail))

    # --- limits ---

    def rule(self, by: Rules | None = None) -> int:
        """Rule on what is due; how many rulings were new."""
        with self.ledger.catalog.read() as conn:
            subjects = due.subjects(conn, due.RULE)
        self.ledger.catalog.write(
            lambda conn: [
                due.take(conn, due.waiting(conn, due.RULE, self.now, live=(), limit=9_999), "t", self.now, lambda _: H)
            ]
        )
        new = rule.run(self.ledger, by or rules(), subjects)
        self.ledger.catalog.write(lambda conn: [due.done(conn, due.RULE, each, "t") for each in subjects])
        return new

    def rule_anew(self, by: Rules | None = None) -> int:
        """The same of everything there is."""
        due.everything(self.ledger.catalog)
        return self.rule(by)

    def rule_everything_due(self, by: Rules | None = None) -> bool:
        """If everything is due because of what rulings depend on: rule on it, and say so."""
        with self.ledger.catalog.read() as conn:
            due_now = EVERYTHING in due.subjects(conn, due.RULE)
        if due_now:
            self.rule_anew(by)
        return due_now

    def ruling(self, subject: str, name: str = "article-28-24h", by: Rules | None = None) -> Mapping[str, Any] | None:
        """What stands, once all that is due is ruled on; with its status now."""
        self.rule(by)
        with self.ledger.catalog.read() as conn:
            body = limits.rulings(conn, [subject]).get((name, subject))
        return None if body is None else {**body, "status": at_work.status(body, self.now).value}

    def status(
        self, subject: str, now: datetime | None = None, name: str = "article-28-24h", by: Rules | None = None
    ) -> str:
        if now is not None:
            self.clock[0] = now
        found = self.ruling(subject, name, by)
        return found["status"] if found else "none"

    def due(self, subject: str, name: str = "article-28-24h", by: Rules | None = None) -> datetime | None:
        found = self.ruling(subject, name, by)
        assert found is not None
        return datetime.fromisoformat(found["due_at"]) if found["due_at"] else None

    def events(self, subject: str) -> list[str]:
        with self.ledger.catalog.read() as conn:
            return [e.kind for e in evidence.events_of(conn, subject)]


@contextmanager
def open_bureau(root: Path) -> Iterator[Bureau]:
    url = f"sqlite:///{root}/catalog.db"
    db.migrate(url)
    catalog = Catalog(url)
    clock = [at("2026-11-01 08:00")]
    ledger = Ledger(catalog, "hq-01", "operator", lambda: clock[0])
    try:
        ledger.record(
            [
                Draft("station.founded", "hq-01", {"unit": "测试", "format": "mediad-custody/1"}),
                Draft("vault.registered", "local", {"marker": "m", "kind": "local", "dedicated": True}),
            ]
        )
        yield Bureau(ledger, clock)
    finally:
        catalog.close()
