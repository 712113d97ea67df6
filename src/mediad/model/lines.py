"""What the readers of tables share: what the registers hold, what keeps a line from being taken, and who is meant by a number."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from mediad.model import columns, people
from mediad.model.cases import Case
from mediad.model.columns import Line
from mediad.model.ids import named_id
from mediad.model.people import Numbers, Person
from mediad.model.problems import Problem
from mediad.model.registers import Department, TripEntry

NOTHING: Final = frozenset({"-", "－", "—", "无"})
"""What a cell says that takes a time back. An empty one may be older than the time."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the registers hold, all of it: a table may name anything; the unit's zone, and the time. ``single``: one entry that a
    person makes, who sees what it changes; ``watched``: a table that nobody has looked at. ``actor``: the person who acts.
    ``new_departments``: one that is named, and is not registered yet, is registered as well."""

    zone: ZoneInfo
    now: datetime
    people: Sequence[Person] = ()
    departments: Sequence[Department] = ()
    cases: Sequence[Case] = ()
    trips: Sequence[TripEntry] = ()
    recorders: Mapping[str, str] = field(default_factory=dict)
    """Label, name or serial of a recorder to its id."""
    single: bool = False
    watched: bool = False
    actor: str = ""
    earlier: Callable[[str], Sequence[Any]] = lambda _: ()
    """The states in which an entry ever was, by its id."""
    back: bool = False
    """Whether a person wants what a table sets back to such a state."""
    new_departments: bool = True

    @property
    def today(self) -> date:
        return self.now.astimezone(self.zone).date()


class Bad(Exception):
    """A line that cannot be taken."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = Problem(code, detail)


def good(value: Any) -> Any:
    """A value, if it is none of a problem."""
    if isinstance(value, Problem):
        raise Bad(value.code, value.detail)
    return value


def time_of(line: Line, column: str, before: datetime | None, known: Known) -> datetime | None:
    """A time that may be missing. An empty cell of a table leaves it as it is: an older export must not undo what was entered
    since."""
    cell = line.get(column)
    if not line.has(column) or (not cell and not known.single):
        return before
    if cell in NOTHING:
        return None
    at: datetime | None = good(columns.moment(cell, known.zone))
    return at if at is None else at.astimezone(UTC)


def past(column: str, at: datetime | None, known: Known) -> Iterator[Problem]:
    """What has happened did so before now."""
    if at is not None and at > known.now:
        yield Problem("future", f"{column} lies in the future")


def bearer(number: str, known: Numbers, day: date) -> Person:
    """Who bears a number on a day."""
    found: Person = good(people.only(known.of(number, day), number, day))
    return found


def department_id(name: str, departments: Iterable[Department], *, new: bool = True) -> str:
    """The id of a department, which need not be registered if ``new`` ones may be: its id follows from its name."""
    if not name:
        return ""
    if problem := next(department_problems(name), None):
        raise Bad(problem.code, problem.detail)
    found = next((d.id for d in departments if d.name == name), None)
    if found is None and not new:
        raise Bad("unknown-department", f"{name} is no department yet: somebody who may has to register it first")
    return found or named_id("dep", "department", name)


def department_problems(name: str) -> Iterator[Problem]:
    if not name or len(name) > people.LONGEST_NAME or not name.isprintable():
        yield Problem("bad-name", f"a department's name has 1 to {people.LONGEST_NAME} printable characters")
