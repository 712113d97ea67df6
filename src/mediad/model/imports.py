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
from mediad.model.earlier import going_back, kept
from mediad.model.headings import CASES, DEPARTMENTS, PEOPLE, TRIPS
from mediad.model.lines import Bad, Known, department_id, department_problems
from mediad.model.lines_cases import Cases
from mediad.model.lines_people import RIGHTS, Departments, People
from mediad.model.lines_trips import Trips
from mediad.model.people import Person
from mediad.model.problems import Problem
from mediad.model.registers import Department, TripEntry

T = TypeVar("T", Person, Department, Case, TripEntry)

NOTES: Final = ("column-unknown", "column-of-rights", "trip-void", "goes-back")
"""What is said of a table and keeps nothing of it back: exports have more columns than anybody needs, and older lines."""


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """One entry as it is to be: by which line, and what of it is different from what was ``before`` (nothing, of what is new)."""

    line: int
    entry: T
    fields: tuple[str, ...] = ()
    before: T | None = None

    @property
    def new(self) -> bool:
        return self.before is None


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
    run = _Run(reads(known), known, twice=what == "people")
    later = [line for line in found if not run.reads(line, wait=True)]
    for line in later:
        run.reads(line, wait=False)
    changes = run.changes()
    findings = tuple(sorted((*wrong, *bad, *run.wrong), key=lambda f: f.line))
    return Plan(changes, run.good - len(changes), findings, _unregistered(found, changes, known.departments))


class _Run:
    """Reads lines one after the other. ``twice``: several may be about the same entry."""

    def __init__(self, reader: Any, known: Known, *, twice: bool) -> None:
        self._reader, self._known, self._twice = reader, known, twice
        self._seen: dict[str, int] = {}
        self._found: dict[str, tuple[Any, Any]] = {}
        self.wrong: list[BadLine] = []
        self.good = 0

    def changes(self) -> tuple[Change[Any], ...]:
        """What has become of each entry by all lines about it, in the order of the last of them."""
        return tuple(
            Change(self._seen[name], after, () if before is None else _different(before, after), before)
            for name, (before, after) in self._found.items()
            if before != after
        )

    def reads(self, line: Line, *, wait: bool) -> bool:
        """Take a line for what it is; False, if there is to be a ``wait``, for one that names what a later line may bring."""
        before, after, wrongs, notes = self._read(line)
        if wait and any(p.code in ("unknown-case", "unknown-person") for p in wrongs):
            return False
        self.wrong += [BadLine(line.number, p.code, p.detail) for p in (*wrongs, *notes)]
        if wrongs:
            return True
        self.good += 1
        self._seen[after.id] = line.number
        first, _ = self._found.pop(after.id, (before, None))
        self._found[after.id] = first, after
        self._reader.take(after)
        return True

    def _read(self, line: Line) -> tuple[Any, Any, list[Problem], list[Problem]]:
        """An entry before and after, what is wrong with it, and what is only said of it."""
        try:
            before, after = self._reader.read(line)
        except Bad as e:
            return None, None, [e.problem], []
        if after.id in self._seen and not self._twice:
            return None, None, [Problem("line-twice", f"line {self._seen[after.id]} is about the same already")], []
        after, notes = self._not_back(before, after)
        return before, after, list(self._reader.problems(after)), notes

    def _not_back(self, before: Any, after: Any) -> tuple[Any, list[Problem]]:
        """What a line comes to, if nothing of it goes back to what it was before, unless a person says so."""
        earlier = self._known.earlier(after.id) if before not in (None, after) else ()
        fields = going_back(before, after, earlier)
        if not fields:
            return after, []
        said = f"{', '.join(fields)}: it is what it was before, as in an older table,"
        if self._known.back:
            return after, [Problem("goes-back", f"{said} and goes back")]
        note = Problem("goes-back", f"{said} and stays as it is now; `import --back` takes it back")
        return kept(before, after, fields, earlier), [note]


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


def turned(what: str, change: Change[Any]) -> dict[str, tuple[Any, Any]]:
    """Each field that is different: as it was, and as it is to be, as events hold it."""
    was, now = ({} if each is None else body(what, each) for each in (change.before, change.entry))
    return {name: (was[name], now[name]) for name in change.fields}


def entry_of(what: str, name: str, body: Mapping[str, Any]) -> Any:
    """What an event holds as an entry."""
    read: Mapping[str, Callable[[str, Mapping[str, Any]], Any]] = {
        "people": registers.person_of, "departments": registers.department_of, "trips": registers.trip_of,
        "cases": registers.case_of,
    }  # fmt: skip
    return read[what](name, body)


def body(what: str, entry: Any) -> dict[str, Any]:
    """An entry as the event holds it."""
    made = {
        "people": registers.person_json, "departments": registers.department_json, "trips": registers.trip_json,
        "cases": registers.case_json,
    }  # fmt: skip
    return made[what](entry)  # type: ignore[operator, no-any-return]
