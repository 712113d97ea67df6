"""Limits: rules applied to facts. A rule says what holds whatever the time is (a ``Ruling``); its status at a moment follows from
that.

So a status is monotone by construction: for fixed facts time can only turn ``due`` into ``late``. Numbers are the unit's
(``Rules``); the shipped ones are those of the Implementation Measures of the Health Bureau of Dalian Jinpu New Area, article by
article.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Literal

from mediad.model import trips
from mediad.model.trips import Backdated, Trip


class Status(StrEnum):
    """What a limit comes to. ``open``: a trip has not ended, so nobody knows the limit yet. ``untrusted``: no time can be true,
    and a person has to say when it was."""

    MET = "met"
    DUE = "due"
    LATE = "late"
    OPEN = "open"
    UNTRUSTED = "untrusted"
    NOT_APPLICABLE = "not-applicable"


STORAGE: Final = "article-28-24h"
URGENT: Final = "article-8-urgent-report"
ARCHIVE: Final = "article-27-archive"
UPLOAD: Final = "article-30-upload"
SIGNATURE: Final = "handover-signature"
RECORDER: Final = "recorder-back"
TAG: Final = "tagged"
RULES: Final = (STORAGE, URGENT, ARCHIVE, UPLOAD, SIGNATURE, RECORDER, TAG)

NO_CASE: Final = ("not-applicable",)
"""States under Article 28 of recordings that need be of no case, for no duty covers them: taken over from an older system, from
before the rule, or of an exempt channel, such as what the hall's CCTV sees day and night. They may be of one all the same."""

SecondLimb = Literal["return-after-limit", "any-trip"]
Basis = Literal["limit", "open", "untrusted", "not-applicable"]


@dataclass(frozen=True, slots=True)
class StorageRule:
    """Article 28 in numbers. ``second_limb``: whether a trip counts only if they were back later than the first limit.
    ``since``: what ended before is not subject to it (Article 37). ``exempt``: channels that are not."""

    limit: timedelta = timedelta(hours=24)
    second_limb: SecondLimb = "return-after-limit"
    backdated: Backdated = "approve"
    since: datetime | None = None
    exempt: frozenset[str] = frozenset({"cctv", "legacy"})


@dataclass(frozen=True, slots=True)
class Receipt:
    """That it went straight into the enforcement information system: the number given there, and when."""

    number: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a recording. ``ended_at`` is None where no time can be true; then it ended between ``earliest`` and ``latest``.
    ``stored_at``: when as many verified replicas as are wanted lay in dedicated storage for the first time; None if never yet.
    ``receipt``: that of the enforcement information system, if there is one for this file."""

    ended_at: datetime | None
    stored_at: datetime | None
    estimated: bool = False
    earliest: datetime | None = None
    latest: datetime | None = None
    receipt: Receipt | None = None

    @property
    def received(self) -> bool:
        """Whether it is the receipt that meets the limit: it was there before it was here."""
        return self.receipt is not None and (self.stored_at is None or self.receipt.at < self.stored_at)

    @property
    def met_at(self) -> datetime | None:
        return self.receipt.at if self.receipt is not None and self.received else self.stored_at


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is known of a recording, or of a file that was seen on a recorder and is not stored.

    ``trips`` are those of its carrier, of the recorder and of who wears it; ``docked`` when the recorder, or another one of the
    carrier's, was docked at any station of the unit. ``legacy``: taken over from an older system.
    """

    subject: str
    parts: tuple[Part, ...]
    channel: str = "body-camera"
    trips: tuple[Trip, ...] = ()
    docked: tuple[datetime, ...] = ()
    legacy: bool = False


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a rule says of a subject. ``due_at`` is None where nobody can know it yet; ``met_at`` None while something is missing.
    ``limb``: which of Article 28's limits counted (1: after the recording, 2: after the return), 0 for none. ``reason`` is a code
    of ``model/reasons.py``, ``remarks`` more of them."""

    rule: str
    subject: str
    basis: Basis
    due_at: datetime | None
    met_at: datetime | None
    reason: str
    limb: int = 0
    trip: str = ""
    why: str = ""
    ended_at: datetime | None = None
    remarks: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """What holds whatever the time is: ``met``, ``late`` (met, but late), ``waiting``, ``open``, ``untrusted`` or
        ``not-applicable``."""
        if self.basis in ("not-applicable", "untrusted"):
            return self.basis
        if self.met_at is not None:
            return "met" if self.due_at is None or self.met_at <= self.due_at else "late"
        return "open" if self.basis == "open" else "waiting"

    def status(self, now: datetime) -> Status:
        """Total, and monotone in ``now``."""
        return status_at(self.state, self.due_at, now)


def status_at(state: str, due_at: datetime | None, now: datetime) -> Status:
    """What the state of a ruling comes to at a moment: only what is ``waiting`` depends on it. The limit itself is in time."""
    if state != "waiting":
        return Status(state)
    return Status.DUE if due_at is not None and now <= due_at else Status.LATE


def storage(facts: Recorded, rule: StorageRule) -> Ruling:
    """Article 28: within 24 hours of the recording in dedicated storage, or within 24 hours of the return to the unit for those who
    could not hand it over in time."""
    known = [p.ended_at for p in facts.parts if p.ended_at is not None]
    sure = len(known) == len(facts.parts)
    ended = max(known) if sure and known else None
    remarks = ("end-estimated",) if any(p.estimated for p in facts.parts) else ()
    if reason := _exempt(facts, rule, ended):
        return Ruling(STORAGE, facts.subject, "not-applicable", None, None, reason, ended_at=ended)
    met = _all_met(facts.parts)
    if any(p.received for p in facts.parts):
        remarks = (*remarks, "receipt")
    if ended is None:
        return _bounded(facts, rule, met, remarks)
    first = ended + rule.limit
    way, waiting = trips.away(ended, facts.trips, facts.docked, first, rule.backdated)
    if waiting:
        remarks = (*remarks, "trip-wants-approval")
    if way is not None:
        remarks = (
            *remarks,
            *(["return-after-docking"] if way.docked_first else []),
            *(["backdated"] if way.late else []),
        )
        if way.back is None:
            # Whatever they do from now on, the limit lies behind what is stored already.
            reason = "stored-before-return" if met is not None else "trip-open"
            return Ruling(
                STORAGE, facts.subject, "open", None, met, reason, 2, way.trip.id, way.trip.reason, ended, remarks
            )
        if rule.second_limb == "any-trip" or way.back > first:
            due = way.back + rule.limit
            return Ruling(
                STORAGE,
                facts.subject,
                "limit",
                due,
                met,
                "after-return",
                2,
                way.trip.id,
                way.trip.reason,
                ended,
                remarks,
            )
        remarks = (*remarks, "back-in-time")
    return Ruling(STORAGE, facts.subject, "limit", first, met, "after-recording", 1, ended_at=ended, remarks=remarks)


def _exempt(facts: Recorded, rule: StorageRule, ended: datetime | None) -> str:
    if facts.legacy:
        return "legacy"
    if facts.channel in rule.exempt:
        return "channel-exempt"
    ends = [ended] if ended else [p.ended_at or p.latest for p in facts.parts]
    if rule.since is not None and all(end is not None and end < rule.since for end in ends):
        return "before-the-rule"
    return ""


def _all_met(parts: Sequence[Part]) -> datetime | None:
    """When the last file was there; None while one is missing."""
    met = [p.met_at for p in parts if p.met_at is not None]
    return max(met) if met and len(met) == len(parts) else None


def _bounded(facts: Recorded, rule: StorageRule, met: datetime | None, remarks: tuple[str, ...]) -> Ruling:
    """Of a recording whose time cannot be true it is known that it ended not before this: if even then it was in time, it is
    met."""
    starts = [p.ended_at or p.earliest for p in facts.parts]
    # The last file decides: the recording cannot have ended before the latest of what its files can have at the earliest.
    at_least = max((s for s in starts if s is not None), default=None)
    if met is not None and at_least is not None and met <= at_least + rule.limit:
        return Ruling(STORAGE, facts.subject, "limit", None, met, "bounded", 1, remarks=remarks)
    return Ruling(STORAGE, facts.subject, "untrusted", None, met, "no-true-time", remarks=remarks)


# --- limits that begin at one moment and end at another ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Span:
    """A limit without ifs: ``due_at`` after what began it, met by what ended it. Without ``due_at`` it has not begun, and there is
    none."""

    rule: str
    subject: str
    begun: datetime | None
    due_at: datetime | None
    met_at: datetime | None
    reason: str
    remarks: tuple[str, ...] = field(default=())
    why: str = ""


def span(facts: Span) -> Ruling:
    """The ruling of such a limit."""
    if facts.due_at is None:
        return Ruling(facts.rule, facts.subject, "not-applicable", None, None, "not-begun")
    return Ruling(
        facts.rule, facts.subject, "limit", facts.due_at, facts.met_at, facts.reason, ended_at=facts.begun,
        remarks=facts.remarks, why=facts.why,
    )  # fmt: skip
