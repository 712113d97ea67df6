"""What people are told of limits: whom, when, and in which words.

A limit is told of before it (some hours), at it, and then every day. Of several steps that have come by now only the newest is
told, so a station that was switched off does not tell the past. What would be told in a quiet time goes out shortly before it
begins; within it nothing does. The words name a recorder, times and how many there are: no party, no case, nobody else.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from mediad.model.deadline import ARCHIVE, RECORDER, SIGNATURE, STORAGE, TAG, UPLOAD, URGENT, Status, status_at
from mediad.model.instants import minute, stamp
from mediad.model.people import Person, Role

TRIP: Final = "trip-back"
"""A trip that has not ended when it was expected to. No limit of the regulation, and told like one."""

Who = Literal["concerned", "approver", "archivist", "storage-administrator", "dock-operator"]
"""``concerned``: the carrier of a recording or recorder, the handlers of a case, who is on a trip. ``approver``: that of their
department."""

SHIPPED: Final[Mapping[str, tuple[tuple[Who, ...], tuple[Who, ...]]]] = {
    STORAGE: (("concerned",), ("approver",)),
    URGENT: (("concerned",), ("approver",)),
    ARCHIVE: (("concerned",), ("approver", "archivist")),
    UPLOAD: (("concerned",), ("storage-administrator",)),
    SIGNATURE: (("concerned", "dock-operator"), ("storage-administrator",)),
    RECORDER: (("concerned",), ("storage-administrator",)),
    TAG: (("concerned",), ("approver",)),
    TRIP: (("concerned",), ("approver",)),
}
"""Rule to whom it is told at every step, and whom besides once the limit has passed."""

LEAD: Final = timedelta(minutes=15)
"""How long before a quiet time goes out what would be told in it."""

MOST_LINES: Final = 30

_DAY: Final = timedelta(days=1)
_MINUTE: Final = timedelta(minutes=1)
_INSTANT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Topic:
    """Something that people may have to be told of. ``limit``: its limit, or since when it is so (``untrusted``); ``state`` is
    ``waiting`` (not met), ``late`` (met, and wants a written reason) or ``untrusted``. ``persons``: whom it concerns."""

    rule: str
    subject: str
    state: str
    limit: datetime
    persons: frozenset[str] = frozenset()
    department: str = ""
    label: str = ""
    at: datetime | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Another limit of the same subject is told of anew; what has no limit that anybody knows is one and the same."""
        return self.rule, self.subject, "" if self.state == "untrusted" else stamp(self.limit)


@dataclass(frozen=True, slots=True)
class Notice:
    """That a person is to be told of a topic now. ``step``: minutes from the limit, before it negative."""

    topic: Topic
    step: int


@dataclass(frozen=True, slots=True)
class Quiet:
    """Times of the day in the unit's zone in which nobody is told anything; one may go over midnight. They leave
    ``LEAD`` or more of the day free at one stretch."""

    times: tuple[tuple[time, time], ...]
    zone: ZoneInfo

    def within(self, at: datetime) -> bool:
        return any(start <= at < end for start, end in self._around(at))

    def reach(self, now: datetime) -> datetime:
        """What is due until then is told now: shortly before a quiet time all that is due in it. Monotone. Ask it outside of quiet
        times."""
        return next(
            (end - _INSTANT for start, end in self._around(now) if start - LEAD <= now < start),
            now,
        )

    def _around(self, at: datetime) -> list[tuple[datetime, datetime]]:
        """The quiet times of some days, in their order. Those that meet are one, and so are those with so short a pause between
        them that nobody could be told in it."""
        day = at.astimezone(self.zone).date()
        found: list[tuple[datetime, datetime]] = []
        for start, end in sorted(
            (min(self._on(day + n * _DAY, start)), max(self._on(day + (n + (end <= start)) * _DAY, end)))
            for n in range(-2, 3)
            for start, end in self.times
        ):
            if found and start < found[-1][1] + LEAD:
                found[-1] = (found[-1][0], max(end, found[-1][1]))
            else:
                found.append((start, end))
        return found

    def _on(self, day: date, at: time) -> list[datetime]:
        """When a clock shows it, which is twice where it is put back, and not at all where it is put forward: a quiet time is
        then as long as it can be."""
        return [datetime.combine(day, at.replace(fold=fold), self.zone).astimezone(UTC) for fold in (0, 1)]


@dataclass(frozen=True, slots=True)
class Telling:
    """The unit's way of telling. ``before``: so long before a limit; ``after_days``: for so many days after it. ``to`` and
    ``late_to`` stand for what is shipped, rule by rule."""

    before: tuple[timedelta, ...]
    after_days: int
    quiet: Quiet
    to: Mapping[str, tuple[Who, ...]] = field(default_factory=dict)
    late_to: Mapping[str, tuple[Who, ...]] = field(default_factory=dict)

    def step(self, topic: Topic, now: datetime, reach: datetime) -> int | None:
        """The newest step that is due until ``reach``; None if none is, or it is so old that nobody is told any more."""
        if now >= topic.limit + (self.after_days + 1) * _DAY:
            return None
        if reach >= topic.limit:
            return min((reach - topic.limit) // _DAY, self.after_days) * (_DAY // _MINUTE)
        if topic.state != "waiting":
            return None
        return max((-(b // _MINUTE) for b in self.before if topic.limit - b <= reach), default=None)

    def since(self, now: datetime) -> datetime:
        """Limits before that are told of no more."""
        return now - (self.after_days + 1) * _DAY

    def until(self, now: datetime) -> datetime:
        """Limits after that are not told of yet."""
        return now + max(self.before, default=timedelta()) + _DAY + LEAD

    def audience(
        self, topic: Topic, step: int, people: Mapping[str, Person], reached: Collection[str] | None = None
    ) -> set[str]:
        """Who is told. If nobody is left that can be ``reached`` in any way (None: all can), it is the storage administrators:
        nothing is told to nobody."""
        first, late = SHIPPED.get(topic.rule, (("concerned",), ()))
        who = [*self.to.get(topic.rule, first), *(self.late_to.get(topic.rule, late) if step >= 0 else ())]
        found = {p for each in who for p in _people(each, topic, people)}
        if reached is not None:
            found &= set(reached)
        return found or set(_with_role(Role.STORAGE_ADMINISTRATOR, people))


def _people(who: Who, topic: Topic, people: Mapping[str, Person]) -> Iterable[str]:
    if who == "concerned":
        return [p for p in topic.persons if p in people and people[p].active]
    found = _with_role(Role(who), people)
    if who != "approver":
        return found
    theirs = {people[p].department for p in topic.persons if p in people} | {topic.department}
    own = [p for p in found if people[p].department and people[p].department in theirs]
    return own or [p for p in found if not people[p].department] or found


def _with_role(role: Role, people: Mapping[str, Person]) -> list[str]:
    return [p.id for p in people.values() if role in p.roles and p.active]


Told = Mapping[tuple[str, str, str], int]
"""Key of a topic to the newest step that was told of it: to one person, in one way."""


def due(
    topics: Sequence[Topic],
    rules: Telling,
    people: Mapping[str, Person],
    told: Mapping[str, Told],
    now: datetime,
    reached: Collection[str] | None = None,
) -> dict[str, list[Notice]]:
    """Person to what they are to be told now, in one way; ``told`` is what each was told in it, ``reached`` whom any way reaches.
    Nothing in a quiet time."""
    found: dict[str, list[Notice]] = {}
    if rules.quiet.within(now):
        return found
    reach = rules.quiet.reach(now)
    for topic in topics:
        step = rules.step(topic, now, reach)
        if step is None:
            continue
        for person in rules.audience(topic, step, people, reached):
            before = told.get(person, {}).get(topic.key)
            if before is None or before < step:
                found.setdefault(person, []).append(Notice(topic, step))
    return found


# --- in words -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message:
    """What one person is told at a time. ``key`` is the same for the same notices, so that one that goes out twice, because nobody
    could say that it had arrived, can be known for the same."""

    key: str
    title: str
    lines: tuple[str, ...]
    groups: tuple["Group", ...] = ()

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


@dataclass(frozen=True, slots=True)
class Group:
    """Notices that one line speaks of: the same rule, recorder and kind."""

    rule: str
    kind: str
    label: str
    count: int
    limit: datetime | None
    first: datetime | None
    last: datetime | None


KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "late": ("已逾期", "overdue"),
    "reason": ("已逾期办结，待书面说明", "done late, wants a written reason"),
    "untrusted": ("时间不可信，待人员确定", "no time can be true, a person has to set it"),
    "soon": ("将到期", "due soon"),
}
"""Kind of a notice to its words; the most pressing first."""

RULES: Final[Mapping[str, tuple[str, str]]] = {
    STORAGE: ("音像记录入库（第28条）", "recordings to be stored (Article 28)"),
    URGENT: ("紧急情况补报（第8条）", "urgent report to be filed (Article 8)"),
    ARCHIVE: ("案卷归档（第27条）", "case files to be archived (Article 27)"),
    UPLOAD: ("上传监管平台（第30条）", "uploads to the platform (Article 30)"),
    SIGNATURE: ("交接记录待签", "hand-over records to be signed"),
    RECORDER: ("执法记录仪待归还接入", "recorders to be brought back and docked"),
    TAG: ("音像记录待关联案件", "recordings to be tagged to a case"),
    TRIP: ("外出返回待登记", "returns from trips to be entered"),
}


def groups(notices: Iterable[Notice], now: datetime) -> list[Group]:
    """Notices, gathered for their lines; the most pressing first."""
    found: dict[tuple[str, str, str], list[Topic]] = {}
    for notice in notices:
        t = notice.topic
        found.setdefault((t.rule, _kind(t, now), t.label), []).append(t)
    made = []
    for (rule, kind, label), topics in found.items():
        ats = [t.at for t in topics if t.at is not None]
        limit = None if kind == "untrusted" else min(t.limit for t in topics)
        made.append(Group(rule, kind, label, len(topics), limit, min(ats, default=None), max(ats, default=None)))
    order = list(KINDS)
    return sorted(
        made, key=lambda g: (order.index(g.kind), g.limit or datetime.max.replace(tzinfo=UTC), g.rule, g.label)
    )


def _kind(topic: Topic, now: datetime) -> str:
    if topic.state == "waiting":
        return "late" if status_at(topic.state, topic.limit, now) is Status.LATE else "soon"
    return "reason" if topic.state == "late" else "untrusted"


def message(unit: str, station: str, notices: Sequence[Notice], now: datetime, zone: ZoneInfo) -> Message:
    """All that one person is told at a time."""
    made = groups(notices, now)
    counts = {kind: sum(g.count for g in made if g.kind == kind) for kind in KINDS}
    said = [(kind, n) for kind, n in counts.items() if n]
    zh, en = "；".join(f"{KINDS[k][0]} {n} 项" for k, n in said), "; ".join(f"{n} {KINDS[k][1]}" for k, n in said)
    lines = [f"{unit} 采集站 station {station}", ""]
    for g in made[:MOST_LINES]:
        lines += [f"• {_zh(g, now, zone)}", f"  {_en(g, now, zone)}"]
    if rest := sum(g.count for g in made[MOST_LINES:]):
        lines.append(f"• 另有 {rest} 项 and {rest} more")
    lines += ["", "详情请在采集站查看 for the details see `mediad deadlines` at the station"]
    return Message(key_of(notices), f"【执法记录】{zh} {en}", tuple(lines), tuple(made))


def key_of(notices: Iterable[Notice]) -> str:
    """The same for the same notices, whatever their order."""
    named = sorted("\0".join((*n.topic.key, str(n.step))) for n in notices)
    return hashlib.sha256("\n".join(named).encode()).hexdigest()[:32]


def trial(unit: str, station: str, now: datetime, zone: ZoneInfo) -> Message:
    """A message that tells nothing but that messages arrive."""
    at = minute(now, zone)
    lines = (
        f"{unit} 采集站 station {station}",
        "",
        f"测试消息，{at} 发出，无须处理。",
        f"A test of {at}: nothing is to be done.",
    )
    key = hashlib.sha256(f"{station}\0{stamp(now)}".encode()).hexdigest()[:32]
    return Message(key, "【执法记录】测试消息 test message", lines)


def _zh(g: Group, now: datetime, zone: ZoneInfo) -> str:
    rule = RULES.get(g.rule, (g.rule, g.rule))[0]
    parts = [f"记录仪 {g.label}"] if g.label else []
    parts.append(f"{g.count} 项")
    if g.first is not None and g.last is not None:
        parts.append(f"时间 {_span(g.first, g.last, zone)}")
    if g.limit is not None:
        name = "时限" if g.count == 1 else "最早时限"
        parts.append(f"{name} {minute(g.limit, zone)}（{_away(g.limit, now)[0]}）")
    return f"{KINDS[g.kind][0]} · {rule}：" + "，".join(parts)


def _en(g: Group, now: datetime, zone: ZoneInfo) -> str:
    rule = RULES.get(g.rule, (g.rule, g.rule))[1]
    parts = [f"recorder {g.label}"] if g.label else []
    parts.append(f"{g.count} item{'s' * (g.count != 1)}")
    if g.limit is not None:
        name = "limit" if g.count == 1 else "first limit"
        parts.append(f"{name} {minute(g.limit, zone)} ({_away(g.limit, now)[1]})")
    return f"{KINDS[g.kind][1]} · {rule}: " + ", ".join(parts)


def _span(first: datetime, last: datetime, zone: ZoneInfo) -> str:
    start, end = minute(first, zone), minute(last, zone)
    if start == end:
        return start
    return f"{start} 至 {end[11:] if start[:10] == end[:10] else end}"


def _away(limit: datetime, now: datetime) -> tuple[str, str]:
    late = now > limit
    minutes = int(abs(now - limit) / _MINUTE)
    days, hours = minutes // 1440, minutes // 60 % 24
    if days:
        zh, en = f"{days} 天 {hours} 小时", f"{days} d {hours} h"
    elif hours:
        zh, en = f"{hours} 小时 {minutes % 60} 分", f"{hours} h {minutes % 60} min"
    else:
        zh, en = f"{minutes} 分钟", f"{minutes} min"
    return (f"已过 {zh}", f"{en} ago") if late else (f"还有 {zh}", f"in {en}")


def chunked(notices: Sequence[Notice], most: int = 1_000) -> Iterator[Sequence[Notice]]:
    """Notices of one message, in as many events as they need."""
    for n in range(0, len(notices), most):
        yield notices[n : n + most]


def known(told: Iterable[tuple[str, str, str, str, int]]) -> dict[str, dict[tuple[str, str, str], int]]:
    """Rows of what was told (person, rule, subject, limit, step), as ``due`` wants them."""
    found: dict[str, dict[tuple[str, str, str], int]] = {}
    for person, rule, subject, limit, step in told:
        steps = found.setdefault(person, {})
        key = (rule, subject, limit)
        steps[key] = max(step, steps.get(key, step))
    return found


def unknown_rules(names: Collection[str]) -> list[str]:
    """Names among these that are no rule that anybody is told of."""
    return sorted(set(names) - set(SHIPPED))
