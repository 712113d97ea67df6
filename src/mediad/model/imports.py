"""Tables of people, departments, trips and cases, as a plan: what is new, what changes, what stays, what is wrong, line by line.

A plan writes nothing. The same table imports unchanged on every station: ids are made of certificate numbers, numbers of cases,
and days. A column that is missing leaves things as they are; each line stands for itself, so the good ones can be taken without
the bad.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from mediad.model import columns, registers
from mediad.model.cases import Case
from mediad.model.columns import BadLine, Columns, Line
from mediad.model.headings import CASES, DEPARTMENTS, PEOPLE, TRIPS
from mediad.model.lines import Bad, Known, department_id, department_problems
from mediad.model.lines_cases import Cases
from mediad.model.lines_people import RIGHTS, Departments, People
from mediad.model.lines_trips import Trips
from mediad.model.people import Person
from mediad.model.problems import Problem
from mediad.model.registers import Department, TripEntry

T = TypeVar("T", Person, Department, Case, TripEntry)

NOTES: Final = ("column-unknown", "column-of-rights", "trip-void")
"""What is said of a table and keeps nothing of it back: exports have more columns than anybody needs, and older lines."""


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """One entry as it is to be: by which line, and what of it is different (empty for something new)."""

    line: int
    entry: T
    fields: tuple[str, ...] = ()
    new: bool = False


@dataclass(frozen=True, slots=True)
class Plan(Generic[T]):
    """What a table comes to. ``same``: how many good lines change nothing by themselves. ``departments``: those that its changes
    name and that are not registered; with them they are."""

    changes: tuple[Change[T], ...]
    same: int
    findings: tuple[BadLine, ...]
    departments: tuple[Department, ...] = ()


def plan(
    what: str,
    header: Sequence[str],
    rows: Sequence[tuple[int, Sequence[str]]],
    known: Known,
) -> Plan[Any]:
    """The plan of a table. ``what``: people, departments, trips or cases."""
    table, reads = _TABLES[what]
    names, wrong = table.named(header)
    if any(f.code in ("column-missing", "column-twice") for f in wrong):
        return Plan((), 0, tuple(_beneath_a_title(wrong, table, rows)))
    if known.watched and what == "people":
        names, left = _without_rights(names)
        wrong += left
    found, bad = columns.lines(header, names, rows)
    run = _Run(reads(known), twice=what == "people")
    later = [line for line in found if not run.reads(line, wait=True)]
    for line in later:
        run.reads(line, wait=False)
    changes = run.changes()
    findings = tuple(sorted((*wrong, *bad, *run.wrong), key=lambda f: f.line))
    return Plan(changes, run.good - len(changes), findings, _unregistered(found, changes, known.departments))


class _Run:
    """Reads lines one after the other. ``twice``: several may be about the same entry."""

    def __init__(self, reader: Any, *, twice: bool) -> None:
        self._reader, self._twice = reader, twice
        self._seen: dict[str, int] = {}
        self._found: dict[str, tuple[Any, Any]] = {}
        self.wrong: list[BadLine] = []
        self.good = 0

    def changes(self) -> tuple[Change[Any], ...]:
        """What has become of each entry by all lines about it, in the order of the last of them."""
        return tuple(
            Change(self._seen[name], after, () if before is None else _different(before, after), before is None)
            for name, (before, after) in self._found.items()
            if before != after
        )

    def reads(self, line: Line, *, wait: bool) -> bool:
        """Take a line for what it is; False, if there is to be a ``wait``, for one that names what a later line may bring."""
        before, after, wrongs = self._read(line)
        if wait and any(p.code in ("unknown-case", "unknown-person") for p in wrongs):
            return False
        self.wrong += [BadLine(line.number, p.code, p.detail) for p in wrongs]
        if after is None or wrongs:
            return True
        self.good += 1
        self._seen[after.id] = line.number
        first, _ = self._found.pop(after.id, (before, None))
        self._found[after.id] = first, after
        self._reader.take(after)
        return True

    def _read(self, line: Line) -> tuple[Any, Any, list[Problem]]:
        try:
            before, after = self._reader.read(line)
        except Bad as e:
            return None, None, [e.problem]
        if after.id in self._seen and not self._twice:
            return None, None, [Problem("line-twice", f"line {self._seen[after.id]} is about the same already")]
        return before, after, list(self._reader.problems(after))


def _beneath_a_title(wrong: list[BadLine], table: Columns, rows: Sequence[tuple[int, Sequence[str]]]) -> list[BadLine]:
    """What is wrong with a header, in few words where only a title stands above it."""
    if not (number := table.below(rows)):
        return wrong
    return [BadLine(1, "column-missing", f"line {number} names the columns: delete what stands above it")]


def _without_rights(names: Sequence[str]) -> tuple[list[str], list[BadLine]]:
    """Columns of a table that nobody has looked at."""
    left = [name for name in names if name in RIGHTS]
    said = f"{', '.join(left)}: rights are given by a person, not by a watched folder"
    return ["" if name in RIGHTS else name for name in names], [BadLine(1, "column-of-rights", said)] if left else []


def _unregistered(
    lines: Sequence[Line], changes: Iterable[Change[Any]], known: Sequence[Department]
) -> tuple[Department, ...]:
    """Departments that changes name and that are not known."""
    ids = {d.id for d in known}
    wanted = {getattr(c.entry, "department", "") for c in changes} - ids
    names = dict.fromkeys(line.get("department") for line in lines)
    made = (Department(department_id(name, known), name) for name in names if not list(department_problems(name)))
    return tuple(d for d in made if d.id in wanted)


def _different(before: Any, after: Any) -> tuple[str, ...]:
    return tuple(name for name in before.__slots__ if getattr(before, name) != getattr(after, name))


_TABLES: Final[Mapping[str, tuple[Columns, Callable[[Known], Any]]]] = {
    "people": (PEOPLE, People), "departments": (DEPARTMENTS, Departments), "trips": (TRIPS, Trips), "cases": (CASES, Cases),
}  # fmt: skip

KINDS_OF_EVENTS: Final = {
    "people": "person.registered", "departments": "department.registered", "trips": "trip.registered", "cases": "case.registered",
}  # fmt: skip


def body(what: str, entry: Any) -> dict[str, Any]:
    """An entry as the event holds it."""
    made = {
        "people": registers.person_json, "departments": registers.department_json, "trips": registers.trip_json,
        "cases": registers.case_json,
    }  # fmt: skip
    return made[what](entry)  # type: ignore[operator, no-any-return]
