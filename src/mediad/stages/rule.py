"""Rule: hold what is there against the unit's limits, and record what is ruled if it is new.

A ruling says what holds whatever the time is (model/deadline.py), so it is recorded when a fact changes it and at no other time.
Subjects are recordings (rec-), files that were seen and not stored (fil-), cases (cas-), dockings (dck-) and
hand-outs of recorders (rcd-...@...).
"""

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from mediad.catalog import bureau, handed, limits, recorded
from mediad.catalog.chunks import chunks
from mediad.catalog.due import TO_SIGN
from mediad.catalog.ledger import Ledger
from mediad.errors import MediadError
from mediad.model.carrier import NOBODY, Carrier
from mediad.model.cases import CaseRules
from mediad.model.cases import rulings as of_case
from mediad.model.custody import Draft
from mediad.model.deadline import RECORDER, SIGNATURE, UPLOAD, Ruling, StorageRule, storage
from mediad.model.instants import stamped
from mediad.model.spans import SpanRules, recorder_back, signature, upload

_log = structlog.get_logger()

_NONE = frozenset({"no-limit", "channel-exempt", "before-the-rule", "before-signing", "nothing-to-sign"})
"""Why a limit beside those of Article 28 and of cases is none: what never had one gets no ruling for it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The unit's limits in force, and its zone."""

    storage: StorageRule
    cases: CaseRules
    spans: SpanRules
    zone: ZoneInfo
    untagged: timedelta | None = None
    """How long a recording may be of no case; None: for ever."""
    tagged_from: datetime | None = None
    """What was there before then wants no case: there was no such rule yet. None: all wants one."""


@dataclass(frozen=True, slots=True)
class Ruled:
    """A ruling, whose it is, what else is told of its subject, and whether it is what stands already."""

    ruling: Ruling
    carrier: Carrier = NOBODY
    more: Mapping[str, Any] = field(default_factory=dict)
    same: bool = False

    def body(self) -> dict[str, Any]:
        """As the event holds it."""
        r = self.ruling
        return {
            "rule": r.rule, "state": r.state, "due_at": stamped(r.due_at), "met_at": stamped(r.met_at),
            "limb": r.limb, "trip": r.trip, "why": r.why, "reason": r.reason, "remarks": list(r.remarks),
            "ended_at": stamped(r.ended_at), "carrier": self.carrier.person, "carrier_by": self.carrier.by, **self.more,
        }  # fmt: skip


def run(ledger: Ledger, rules: Rules, subjects: Sequence[str], failed: MutableMapping[str, str] | None = None) -> int:
    """Rule on subjects, and record what is new of it, some at a time; returns how much was. ``failed``: as ``rule_on`` has it."""
    new = 0
    broken: dict[str, str] = {}
    for some in chunks(subjects):
        with ledger.catalog.read() as conn:
            ruled = rule_on(conn, rules, some, broken)
        drafts = [Draft("deadline.ruled", each.ruling.subject, each.body()) for each in ruled if not each.same]
        if drafts:
            ledger.record(drafts)
        new += len(drafts)
    for subject, why in broken.items():
        _log.error("a limit cannot be worked out", subject=subject, why=why)
    if failed is not None:
        failed.update(broken)
    return new


def rule_on(
    conn: Connection, rules: Rules, subjects: Iterable[str], failed: MutableMapping[str, str] | None = None
) -> list[Ruled]:
    """All rulings of these subjects by what is known now. Writes nothing. One that cannot be ruled on, since its facts are such as
    nobody thought of, holds up nobody else: it is told in ``failed``, with the reason, and has no ruling."""
    names = sorted(set(subjects))
    try:
        return _rule_on(conn, rules, names)
    except (MediadError, SQLAlchemyError):
        raise
    except Exception as e:
        if len(names) > 1:
            halves = names[: len(names) // 2], names[len(names) // 2 :]
            return [each for half in halves for each in rule_on(conn, rules, half, failed)]
        if failed is not None:
            failed[names[0]] = f"cannot be ruled on: {type(e).__name__}: {e}"
        return []


def _rule_on(conn: Connection, rules: Rules, subjects: Sequence[str]) -> list[Ruled]:
    kinds: dict[str, set[str]] = {"rec": set(), "cas": set(), "dck": set(), "rcd": set(), "fil": set()}
    to_sign: set[str] = set()
    for subject in subjects:
        if subject.startswith(TO_SIGN):
            to_sign.add(subject.removeprefix(TO_SIGN))
        elif subject[:3] in kinds:
            kinds[subject[:3]].add(subject)
    to_sign |= kinds["dck"]
    kinds["rec"] |= set(limits.recordings_of_dockings(conn, sorted(kinds["dck"])))
    stands = limits.rulings(conn, to_sign.union(*kinds.values()))
    seen_by = {body["docking"] for (_, subject), body in stands.items() if subject.startswith("fil-")}
    files = recorded.of_files(conn, sorted(kinds["dck"] | seen_by), rules.zone)
    outs = handed.handed_out(conn, kinds["rcd"], rules.spans.back)
    signed = handed.handovers(conn, sorted(to_sign), rules.zone)
    named = (*(k.facts.subject for k in files), *(facts.subject for facts, _ in outs), *(h.docking for h in signed))
    stands |= limits.rulings(conn, named)
    found = [
        *_recordings(conn, rules, sorted(kinds["rec"])),
        *(Ruled(storage(k.facts, rules.storage), k.carrier, _seen_first(k, stands)) for k in files),
        *(Ruled(each) for case in bureau.cases(conn, kinds["cas"]) for each in of_case(case, rules.cases, rules.zone)),
        *(Ruled(signature(h.docking, h.since, h.signed_at, rules.spans), h.giver) for h in signed),
        *(Ruled(recorder_back(facts, rules.spans), own) for facts, own in outs),
    ]
    found = [each for each in found if not _was_never_one(each.ruling, stands)]
    ruled = {(each.ruling.rule, each.ruling.subject) for each in found}
    # What has no such limit any more keeps its ruling as one that is not applicable.
    gone = (key for key in stands if key not in ruled)
    found += [Ruled(Ruling(rule, name, "not-applicable", None, None, "not-begun")) for rule, name in gone]
    return [replace(r, same=stands.get((r.ruling.rule, r.ruling.subject)) == r.body()) for r in found]


def _was_never_one(ruling: Ruling, stands: Mapping[tuple[str, str], Any]) -> bool:
    none = ruling.rule in (UPLOAD, RECORDER, SIGNATURE) and ruling.reason in _NONE
    return none and (ruling.rule, ruling.subject) not in stands


def _recordings(conn: Connection, rules: Rules, names: Sequence[str]) -> list[Ruled]:
    known = recorded.of_recordings(conn, names, rules.zone)
    return [
        *(Ruled(storage(k.facts, rules.storage), k.carrier) for k in known),
        *(Ruled(upload(k.facts, k.uploaded, rules.spans), k.carrier) for k in known),
    ]


def _seen_first(known: recorded.Known, stands: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    """A file that more than one docking saw is told of the first of them, whichever is looked at now."""
    before = [body["docking"] for (_, subject), body in stands.items() if subject == known.facts.subject]
    return {**known.more, **({"docking": before[0]} if before else {})}
