"""Cases (案件) and enforcement activities without a case file (执法活动): what they are, and which limits they carry."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Final, Literal
from zoneinfo import ZoneInfo

from mediad.model.calendar import Calendar, day_of, days_after
from mediad.model.deadline import ARCHIVE, URGENT, Ruling, Span, span
from mediad.model.numbers import number_key
from mediad.model.problems import Problem

LONGEST_NAME: Final = 200


class CaseKind(StrEnum):
    """行政许可, 行政处罚, 行政强制, 行政检查 (Article 2)."""

    LICENSING = "licensing"
    PENALTY = "penalty"
    COMPULSION = "compulsion"
    INSPECTION = "inspection"


Form = Literal["case", "activity"]
"""案件, or 执法活动 without a case file of its own."""

Start = Literal["act-ended", "concluded"]


@dataclass(frozen=True, slots=True)
class Numbered:
    """One number of a case: ``type`` as the unit calls it, such as 检查编号, 立案号, 文号, 案卷号."""

    type: str
    number: str

    @property
    def key(self) -> str:
        return number_key(self.number)


@dataclass(frozen=True, slots=True)
class Archived:
    """The archivist's act (归档): ``file_number`` 案卷号/档号, ``term`` 保管期限, ``place`` of the paper file, ``receiver``
    接收人, and the SHA-256 (hex) of the manifest as it was then."""

    at: datetime
    file_number: str
    term: str
    place: str
    receiver: str
    manifest: str


@dataclass(frozen=True, slots=True)
class Case:
    """One case. ``handlers`` are ids of persons; ``reported`` is when what was begun in an emergency was filed (补报);
    ``act_ended`` when the enforcement act ended (执法行为终结); ``merged_into`` the case that took an inspection over."""

    id: str
    form: Form
    kind: CaseKind
    numbers: tuple[Numbered, ...]
    name: str
    party: str = ""
    handlers: frozenset[str] = frozenset()
    department: str = ""
    opened: datetime | None = None
    urgent: bool = False
    reported: datetime | None = None
    act_ended: datetime | None = None
    concluded: datetime | None = None
    archived: Archived | None = None
    merged_into: str = ""


@dataclass(frozen=True, slots=True)
class ArchiveRule:
    """Article 27 for one kind of case: so many ``days`` after what ``start`` names; ``basis`` is the law that says otherwise.
    ``calendar`` None: a last day that is free does not move."""

    days: int = 30
    start: Start = "act-ended"
    basis: str = ""
    calendar: Calendar | None = None


@dataclass(frozen=True, slots=True)
class CaseRules:
    """The limits of cases. ``kinds``: those of which another law says otherwise."""

    urgent: timedelta = timedelta(hours=24)
    archive: ArchiveRule = field(default_factory=ArchiveRule)
    kinds: Mapping[CaseKind, ArchiveRule] = field(default_factory=dict)
    since: datetime | None = None


def all_of_it(end: datetime, zone: tzinfo) -> datetime:
    """An end at midnight of the unit's ``zone`` is a day of which nobody said the hour: it lasts until that is over."""
    return end + timedelta(days=1) if end.astimezone(zone).timetz().replace(tzinfo=None) == datetime.min.time() else end


def problems(case: Case, owners: Mapping[str, str], zone: tzinfo) -> Iterator[Problem]:
    """What keeps a case from being registered. ``owners``: key of a number to the id of the case that has it; ``zone`` that of the
    unit."""
    if not case.numbers:
        yield Problem("no-number", "a case has at least one number")
    seen: set[str] = set()
    for n in case.numbers:
        if n.key in seen:
            yield Problem("number-twice", f"{n.number} is given twice")
        seen.add(n.key)
        if owners.get(n.key, case.id) != case.id:
            yield Problem("number-taken", f"{n.number} is a number of another case")
    if not case.name.strip() or len(case.name) > LONGEST_NAME or not case.name.isprintable():
        yield Problem("bad-name", f"the name of a case has 1 to {LONGEST_NAME} printable characters")
    times = [("opened", case.opened), ("act_ended", case.act_ended), ("concluded", case.concluded)]
    known = [(name, at) for name, at in times if at is not None]
    for (before, start), (after, end) in itertools.pairwise(known):
        if all_of_it(end, zone) <= start and end != start:
            yield Problem("ends-before-it-begins", f"{after} lies before {before}")
    if case.reported is not None and case.opened is not None and case.reported < case.opened:
        yield Problem("ends-before-it-begins", "reported lies before opened")
    if case.urgent and case.opened is None:
        yield Problem("no-start", "an urgent case wants the time when it was begun: its limit counts from there")
    if case.merged_into == case.id:
        yield Problem("merged-into-itself", "a case cannot be merged into itself")


def merging(case: Case, target: Case | None, into: Mapping[str, str]) -> Iterator[Problem]:
    """What keeps a case from becoming part of its ``target``: a circle would be nobody's, and have no limit at all. ``into``: case
    to the one that it was merged into."""
    if case.id == merged(into, case.merged_into) and case.id != case.merged_into:
        yield Problem("merged-already", "it is a part of that case already, or that case itself")
    if case.archived or (target is not None and target.archived):
        yield Problem("archived", "what is archived is closed: tag the recordings, and archive a supplement")


def closed(before: Case | None, after: Case) -> Iterator[Problem]:
    """What may no longer be said of a case that is archived: what its limits are counted from."""
    if before is None or before.archived is None:
        return
    fixed = ("kind", "opened", "act_ended", "concluded")
    if changed := [name for name in fixed if getattr(before, name) != getattr(after, name)]:
        yield Problem("archived", f"the case is archived, and its {' and '.join(changed)} cannot change any more")


def rulings(case: Case, rules: CaseRules, zone: ZoneInfo) -> list[Ruling]:
    """Its limits: the urgent report (Article 8) and the case file (Article 27), also of an activity. What was merged into another
    one has no file of its own; what was begun in an emergency is reported all the same."""
    found = []
    if case.urgent:
        due = case.opened + rules.urgent if case.opened else None
        found.append(_ruling(Span(URGENT, case.id, case.opened, due, case.reported, "after-start"), rules))
    rule = rules.kinds.get(case.kind, rules.archive)
    begun = case.act_ended if rule.start == "act-ended" else case.concluded
    if begun is not None and not case.merged_into:
        due = days_after(begun, rule.days, zone, rule.calendar)
        unknown = rule.calendar is not None and not rule.calendar.known(day_of(due - timedelta(seconds=1), zone))
        met = case.archived.at if case.archived else None
        remarks = ("calendar-unknown",) if unknown else ()
        found.append(_ruling(Span(ARCHIVE, case.id, begun, due, met, "after-act", remarks, rule.basis), rules))
    return found


def _ruling(facts: Span, rules: CaseRules) -> Ruling:
    """What began before the rule was in force is not subject to it."""
    if rules.since is not None and facts.begun is not None and facts.begun < rules.since:
        return Ruling(facts.rule, facts.subject, "not-applicable", None, None, "before-the-rule", ended_at=facts.begun)
    return span(facts)


def merged(into: Mapping[str, str], case_id: str) -> str:
    """The case that one has become part of, over any number of steps; itself if it was not merged. ``into``: case to the one that
    it was merged into. A circle ends where it closes."""
    seen = {case_id}
    while (then := into.get(case_id)) and then not in seen:
        case_id = then
        seen.add(case_id)
    return case_id


def within(case: Case, start: datetime, end: datetime, slack: timedelta) -> bool:
    """Whether a recording lies in the time of a case, give or take: before a case is opened, somebody has looked already."""
    if case.opened is None or end < case.opened - slack:
        return False
    last = case.act_ended or case.concluded
    return last is None or start <= last + slack
