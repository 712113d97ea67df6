"""Limits beside Article 28 that begin with one fact and end with another: data for the platform (Article 30), a recorder that was
handed out, a hand-over that nobody has signed."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from mediad.model import trips
from mediad.model.deadline import RECORDER, SIGNATURE, UPLOAD, Receipt, Recorded, Ruling, Span, span
from mediad.model.registers import Move
from mediad.model.trips import Backdated, Trip


@dataclass(frozen=True, slots=True)
class SpanRules:
    """These limits in numbers; None: there is none. ``back``: of a recorder that nobody said when to expect. ``asked``: since when
    the station asks for signatures; None: since ever."""

    upload: timedelta | None = None
    sign: timedelta | None = timedelta(days=3)
    back: timedelta | None = timedelta(hours=24)
    backdated: Backdated = "approve"
    since: datetime | None = None
    asked: datetime | None = None

    @property
    def signed_from(self) -> datetime | None:
        """Hand-overs from before had no signature to wait for: their limit was over when the station began to ask for one."""
        return self.asked - self.sign if self.asked and self.sign else None


@dataclass(frozen=True, slots=True)
class HandedOut:
    """A recorder that was handed out: when to be back as was said then; the carrier's trips and what proves their return; when it
    was docked first; and the report that it is lost or broken. ``returned``: it was handed in since, which does not dock it."""

    subject: str
    issued: datetime
    expected: datetime | None
    trips: tuple[Trip, ...] = ()
    proofs: tuple[datetime, ...] = ()
    docked: datetime | None = None
    ended: Move | None = None
    returned: bool = False


def upload(facts: Recorded, receipt: Receipt | None, rules: SpanRules) -> Ruling:
    """Article 30: data of a terminal is with the supervision platform so long after it was recorded."""
    if facts.channel != "terminal" or rules.upload is None:
        return _none(UPLOAD, facts.subject, "channel-exempt" if rules.upload else "no-limit")
    ends = [p.ended_at for p in facts.parts]
    known = [end for end in ends if end is not None]
    met = receipt.at if receipt else None
    if len(known) < len(ends) or not known:
        return Ruling(UPLOAD, facts.subject, "untrusted", None, met, "no-true-time")
    ended = max(known)
    remarks = ("end-estimated",) if any(p.estimated for p in facts.parts) else ()
    if rules.since is not None and ended < rules.since:
        return _none(UPLOAD, facts.subject, "before-the-rule")
    return span(Span(UPLOAD, facts.subject, ended, ended + rules.upload, met, "after-recording", remarks))


def back_by(issued: datetime, expected: datetime | None, limit: timedelta | None) -> datetime | None:
    """Until when a recorder is to be back that nobody takes on a trip; None: there is no such limit."""
    return None if limit is None else expected or issued + limit


def recorder_back(facts: HandedOut, rules: SpanRules) -> Ruling:
    """A recorder that was handed out is docked: by when it was expected, else so long after it was handed out; and if its carrier
    is away at that time, so long after the return. That it is lost or broken ends the limit, and is told. That it is handed in, and
    lies somewhere with all that was recorded, ends nothing."""
    limit, first = rules.back, back_by(facts.issued, facts.expected, rules.back)
    if limit is None or first is None:
        return _none(RECORDER, facts.subject, "no-limit")
    if rules.since is not None and facts.issued < rules.since:
        return _none(RECORDER, facts.subject, "before-the-rule")
    met, end = facts.docked, facts.ended
    if end is not None and (met is None or end.at < met):
        reason = "recorder-lost" if end.state == "lost" else "recorder-broken"
        return Ruling(RECORDER, facts.subject, "not-applicable", None, None, reason, why=end.why, ended_at=facts.issued)
    way, waiting = trips.away(first, facts.trips, facts.proofs, first, rules.backdated)
    remarks = ("trip-wants-approval",) if waiting else ()
    if facts.returned and met is None:
        remarks = (*remarks, "returned-not-docked")
    if way is None:
        reason = "after-expected" if facts.expected else "after-issue"
        return Ruling(RECORDER, facts.subject, "limit", first, met, reason, ended_at=facts.issued, remarks=remarks)
    remarks = (*remarks, *(["backdated"] if way.late else []))
    told = (way.trip.id, way.trip.reason, facts.issued, remarks)
    if way.back is None:
        return Ruling(RECORDER, facts.subject, "open", None, met, "trip-open", 2, *told)
    return Ruling(RECORDER, facts.subject, "limit", way.back + limit, met, "after-return", 2, *told)


def signature(subject: str, closed: datetime | None, signed: datetime | None, rules: SpanRules) -> Ruling:
    """A hand-over that brought something new is signed so long after the docking. ``closed`` None: nothing is to be signed."""
    if closed is None or rules.sign is None:
        return _none(SIGNATURE, subject, "nothing-to-sign" if rules.sign else "no-limit")
    if rules.since is not None and closed < rules.since:
        return _none(SIGNATURE, subject, "before-the-rule")
    if rules.signed_from is not None and closed < rules.signed_from:
        return _none(SIGNATURE, subject, "before-signing")
    return span(Span(SIGNATURE, subject, closed, closed + rules.sign, signed, "after-docking"))


def _none(rule: str, subject: str, reason: str) -> Ruling:
    return Ruling(rule, subject, "not-applicable", None, None, reason)
