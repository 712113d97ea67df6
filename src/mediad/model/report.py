"""The month in figures (Articles 34 and 35): sums over recordings, recorders and cases, for a department, an officer or a recorder.

Each thing is counted in the month in which it belongs, by the unit's day: a recording by its end (where no time can be true, by
when it was stored), a case by the end of the act, what became of a recorder by when it was so.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from typing import Any, Final, Literal

from mediad.model.calendar import Month
from mediad.model.deadline import NO_CASE, Ruling, Status, status_at
from mediad.model.registers import Move

By = Literal["department", "officer", "recorder"]
BYS: Final[tuple[By, ...]] = ("department", "officer", "recorder")
Outcome = Literal[
    "on_time_first",
    "on_time_second",
    "late_with_reason",
    "late_without_reason",
    "untrusted",
    "not_applicable",
    "pending",
]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording of the month as far as figures go. ``state``, ``limb`` and ``due_at`` are those of its ruling by Article 28,
    ``untagged``: nobody and no rule has said of which case it is, or that it is of no duty."""

    carrier: str
    recorder: str
    day: date
    seconds: float
    size: int
    state: str
    limb: int
    due_at: datetime | None
    explained: bool
    untagged: bool

    def outcome(self, now: datetime) -> Outcome:
        """The one column in which it counts."""
        match status_at(self.state, self.due_at, now):
            case Status.MET:
                return "on_time_second" if self.limb == 2 else "on_time_first"
            case Status.UNTRUSTED:
                return "untrusted"
            case Status.NOT_APPLICABLE:
                return "not_applicable"
            case Status.LATE:
                return "late_with_reason" if self.explained else "late_without_reason"
            case _:
                return "pending"


@dataclass(frozen=True, slots=True)
class Device:
    """What became of a recorder: ``not_back``, ``lost`` or ``broken``."""

    recorder: str
    carrier: str
    what: Literal["not_back", "lost", "broken"]


@dataclass(frozen=True, slots=True)
class Filed:
    """A case whose act ended in the month. ``late``: archived after its limit, or not archived although it has passed."""

    department: str
    handlers: frozenset[str]
    incomplete: bool
    late: bool


@dataclass(slots=True)
class Sums:
    """The figures of one row."""

    recordings: int = 0
    seconds: float = 0.0
    bytes: int = 0
    on_time_first: int = 0
    on_time_second: int = 0
    late_with_reason: int = 0
    late_without_reason: int = 0
    untrusted: int = 0
    not_applicable: int = 0
    pending: int = 0
    untagged: int = 0
    not_back: int = 0
    lost: int = 0
    broken: int = 0
    cases: int = 0
    cases_incomplete: int = 0
    archived_late: int = 0

    def recording(self, of: Recorded, now: datetime) -> None:
        self.recordings += 1
        self.seconds += of.seconds
        self.bytes += of.size
        self.untagged += of.untagged and of.state not in NO_CASE
        name = of.outcome(now)
        setattr(self, name, getattr(self, name) + 1)

    def device(self, of: Device) -> None:
        setattr(self, of.what, getattr(self, of.what) + 1)

    def case(self, of: Filed) -> None:
        self.cases += 1
        self.cases_incomplete += of.incomplete
        self.archived_late += of.late

    @property
    def on_time(self) -> int:
        return self.on_time_first + self.on_time_second

    @property
    def late(self) -> int:
        return self.late_with_reason + self.late_without_reason

    @property
    def rate(self) -> float | None:
        """How many of a hundred of those that the rule says something of were on time; None where it says nothing of any."""
        judged = self.on_time + self.late + self.untrusted
        return None if not judged else 100 * self.on_time / judged

    def json(self) -> dict[str, Any]:
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "seconds"}
        rate = self.rate
        return {
            "recordings": found.pop("recordings"), "hours": round(self.seconds / 3600, 2), **found,
            "on_time_percent": None if rate is None else round(rate, 1),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Day:
    """Recordings of one day: how many were on time, how many late, and the others."""

    day: date
    on_time: int = 0
    late: int = 0
    other: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """Rows by key; the empty key is what nobody knows. ``total`` counts each thing once, also where two rows do."""

    month: Month
    by: By
    rows: dict[str, Sums]
    total: Sums
    days: list[Day] = field(default_factory=list)


def report(
    month: Month,
    by: By,
    recordings: Iterable[Recorded],
    devices: Iterable[Device],
    cases: Iterable[Filed],
    department_of: Callable[[str], str],
    now: datetime,
) -> Report:
    """The sums. ``department_of``: a person's department, empty for none. A case of several handlers is in the row of each."""
    rows: dict[str, Sums] = {}
    total = Sums()
    daily: dict[date, list[int]] = {}

    def row(carrier: str, recorder: str) -> Sums:
        key = {
            "department": department_of(carrier) if by == "department" else "",
            "officer": carrier,
            "recorder": recorder,
        }[by]
        return rows.setdefault(key, Sums())

    for each in recordings:
        row(each.carrier, each.recorder).recording(each, now)
        total.recording(each, now)
        name = each.outcome(now)
        daily.setdefault(each.day, [0, 0, 0])[
            0 if name.startswith("on_time") else 1 if name.startswith("late") else 2
        ] += 1
    for device in devices:
        row(device.carrier, device.recorder).device(device)
        total.device(device)
    for case in cases:
        total.case(case)
        if by == "department":
            rows.setdefault(case.department, Sums()).case(case)
        elif by == "officer":
            for handler in case.handlers or {""}:
                rows.setdefault(handler, Sums()).case(case)
    days = [Day(d, *daily[d]) for d in sorted(daily)]
    return Report(month, by, rows, total, days)


def devices(
    moves: Iterable[Sequence[Move]],
    ruled: Callable[[Sequence[Move], int, datetime], Ruling],
    month: Month,
    now: datetime,
) -> list[Device]:
    """What became of recorders in a month: lost and broken in it, and not back at its end (or now): handed out, not docked, and
    past the limit. ``ruled``: what the rule of recorders says of a hand-out (a position among the moves), by what had happened
    until a moment."""
    at = min(now, month.end)
    found = []
    for own in moves:
        for n, move in enumerate(own):
            if move.state in ("lost", "broken") and month.holds(move.at):
                found.append(Device(move.recorder, _carrier(own, n), move.state))
        if at > month.start and (carrier := _not_back([m for m in own if m.at < at], ruled, at)) is not None:
            found.append(Device(own[0].recorder, carrier, "not_back"))
    return found


def _not_back(
    moves: Sequence[Move], ruled: Callable[[Sequence[Move], int, datetime], Ruling], at: datetime
) -> str | None:
    """Who had a recorder last that is past the limit of any hand-out; None if it is not. What it was docked after is done with."""
    newest: str | None = None
    for n in reversed(range(len(moves))):
        if moves[n].state != "issued":
            continue
        newest = newest or moves[n].carrier
        ruling = ruled(moves, n, at)
        if _past(ruling, at):
            return newest
        if ruling.state not in ("waiting", "open"):
            return None
    return None


def _past(ruling: Ruling, at: datetime) -> bool:
    return ruling.state == "waiting" and ruling.status(at) is Status.LATE


def _carrier(own: Sequence[Move], position: int) -> str:
    """Who had a recorder when it was lost or broken: whom that says, else to whom it had gone before."""
    if own[position].carrier:
        return own[position].carrier
    before = own[position - 1] if position else None
    return before.carrier if before is not None and before.state == "issued" else ""


OF_CASES: Final = ("cases", "cases_incomplete", "archived_late")
"""Figures that no recorder has: a case is its department's, and its handlers'."""


def figures(sums: Sums, by: By | None) -> dict[str, Any]:
    """The figures of a row, or (None) of the total; None for what the rows of that kind do not have."""
    return sums.json() | (dict.fromkeys(OF_CASES) if by == "recorder" else {})


# --- as a table ---------------------------------------------------------------------------------------------------------

COLUMNS: Final[tuple[tuple[str, str, str], ...]] = (
    ("recordings", "记录数", "recordings"),
    ("hours", "时长 h", "hours"),
    ("bytes", "字节", "bytes"),
    ("on_time_first", "按时（录后）", "on time, after the recording"),
    ("on_time_second", "按时（返回后）", "on time, after the return"),
    ("late_with_reason", "逾期有说明", "late with reason"),
    ("late_without_reason", "逾期无说明", "late without reason"),
    ("untrusted", "时间不可信", "time not true"),
    ("not_applicable", "不适用", "not applicable"),
    ("pending", "未到期", "not due yet"),
    ("on_time_percent", "按时率 %", "on time, percent"),
    ("untagged", "无案件", "of no case"),
    ("not_back", "未归还", "recorders not back"),
    ("lost", "丢失", "recorders lost"),
    ("broken", "损坏", "recorders broken"),
    ("cases", "案件", "cases"),
    ("cases_incomplete", "记录不全", "cases incomplete"),
    ("archived_late", "逾期归档", "archived late"),
)
"""Field, and what stands above it. docs/reports.md is held against it."""

NAMES: Final[dict[By, tuple[str, str]]] = {
    "department": ("部门", "department"), "officer": ("执法人员", "officer"), "recorder": ("执法记录仪", "recorder"),
}  # fmt: skip
UNKNOWN: Final = "未知 unknown"
TOTAL: Final = "合计 total"
