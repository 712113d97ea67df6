"""Tables of people, trips and cases, as a plan: what is new, what changes, what stays, and what is wrong, line by line.

A plan writes nothing. The same table imports unchanged on every station: ids are made of certificate numbers, numbers of cases,
and days. A column that is missing leaves things as they are; each line stands for itself, so the good ones can be taken without
the bad.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Final, Generic, TypeVar
from zoneinfo import ZoneInfo

from mediad.model import cases, columns, people, registers
from mediad.model.cases import Case, CaseKind, Numbered
from mediad.model.columns import BadLine, Columns, Line
from mediad.model.headings import CASES, DEPARTMENTS, FORMS, KINDS, NUMBER_TYPES, PEOPLE, ROLES, TRIPS
from mediad.model.ids import named_id
from mediad.model.instants import stamp
from mediad.model.numbers import checked_number, number_key
from mediad.model.people import Dated, Person, Role
from mediad.model.problems import Problem
from mediad.model.registers import Department, TripEntry

T = TypeVar("T", Person, Department, Case, TripEntry)


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """One entry as it is to be: by which line, and what of it is different (empty for something new)."""

    line: int
    entry: T
    fields: tuple[str, ...] = ()
    new: bool = False


@dataclass(frozen=True, slots=True)
class Plan(Generic[T]):
    """What a table comes to. ``same``: how many lines say what is known already. ``departments``: those that its changes name and
    that are not registered; with them they are."""

    changes: tuple[Change[T], ...]
    same: int
    findings: tuple[BadLine, ...]
    departments: tuple[Department, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """What the registers hold, all of it: a table may name anything; and the unit's zone and day."""

    zone: ZoneInfo
    today: date
    people: Sequence[Person] = ()
    departments: Sequence[Department] = ()
    cases: Sequence[Case] = ()
    trips: Sequence[TripEntry] = ()
    recorders: Mapping[str, str] = field(default_factory=dict)
    """Label, name or serial of a recorder to its id."""


class _Bad(Exception):
    """A line that cannot be taken."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def _good(value: Any) -> Any:
    if isinstance(value, Problem):
        raise _Bad(value)
    return value


def plan(
    what: str,
    header: Sequence[str],
    rows: Iterable[tuple[int, Sequence[str]]],
    known: Known,
) -> Plan[Any]:
    """The plan of a table. ``what``: people, departments, trips or cases."""
    table, reads = _TABLES[what]
    names, wrong = table.named(header)
    if any(f.code in ("column-missing", "column-twice") for f in wrong):
        return Plan((), 0, tuple(wrong))
    found, bad = columns.lines(names, rows)
    wrong += bad
    reader = reads(known)
    changes: list[Change[Any]] = []
    same = 0
    seen: dict[str, int] = {}
    for line in found:
        try:
            before, after = reader.read(line)
            if after.id in seen and what != "people":
                raise _Bad(Problem("line-twice", f"line {seen[after.id]} is about the same already"))
            wrongs = list(reader.problems(after))
        except _Bad as e:
            wrongs = [e.problem]
        if wrongs:
            wrong += [BadLine(line.number, p.code, p.detail) for p in wrongs]
            continue
        seen[after.id] = line.number
        if before == after:
            same += 1
            continue
        different = () if before is None else _different(before, after)
        changes.append(Change(line.number, after, different, before is None))
        reader.take(after)
    taken = {c.line for c in changes}
    named = {line.get("department"): None for line in found if line.number in taken}
    return Plan(
        tuple(changes), same, tuple(sorted(wrong, key=lambda f: f.line)), _unregistered(named, known.departments)
    )


def _unregistered(names: Iterable[str], known: Sequence[Department]) -> tuple[Department, ...]:
    """Departments that are named and not known."""
    ids = {d.id for d in known}
    made = (Department(_department(name, known), name) for name in names if name)
    return tuple(d for d in made if d.id not in ids)


def _different(before: Any, after: Any) -> tuple[str, ...]:
    return tuple(name for name in before.__slots__ if getattr(before, name) != getattr(after, name))


class _People:
    """Reads people. Several lines may be about one person: numbers that changed hands."""

    def __init__(self, known: Known) -> None:
        self._known = {p.id: p for p in known.people}
        self._departments = known.departments

    def read(self, line: Line) -> tuple[Person | None, Person]:
        certificate, staff, login = line.get("certificate"), line.get("staff_number"), line.get("login")
        start, until = _good(columns.day(line.get("from"))), _good(columns.day(line.get("until")))
        key = certificate or (f"staff:{staff}" if staff else f"login:{login}" if login else "")
        if not key:
            raise _Bad(Problem("no-number", "a person wants a certificate number, a staff number or an account"))
        before = self._known.get(named_id("per", "person", key)) or self._by_number(certificate, line.get("name"))
        after = before or Person(
            named_id("per", "person", key), key, "", roles=frozenset({Role.OFFICER} if certificate else ())
        )
        after = replace(after, name=line.get("name"))
        if line.has("department"):
            after = replace(after, department=_department(line.get("department"), self._departments))
        if line.has("roles"):
            roles = [_good(columns.a_word(word, ROLES, "role")) for word in columns.several(line.get("roles"))]
            after = replace(after, roles=frozenset(Role(r) for r in roles))
        if line.has("login"):
            after = replace(after, logins=frozenset(columns.several(login)))
        texts: dict[str, Any] = {c: line.get(c) for c in ("position", "mail", "wecom", "dingtalk") if line.has(c)}
        after = replace(after, **texts)
        for column in ("active", "shared"):
            if line.has(column) and line.get(column):
                after = replace(after, **{column: _good(columns.yes(line.get(column)))})
        if certificate:
            after = replace(after, certificates=_numbered(after.certificates, Dated(certificate, start, until)))
        if number := line.get("device_number"):
            after = replace(after, device_numbers=_numbered(after.device_numbers, Dated(number, start, until)))
        return before, after

    def _by_number(self, certificate: str, name: str) -> Person | None:
        """Who bears the number under the same name; another name is another person, to whom the number may have gone."""
        found = (
            p for p in self._known.values() if any(d.number == certificate for d in p.certificates) and p.name == name
        )
        return next(found, None)

    def problems(self, person: Person) -> Iterable[Problem]:
        return people.problems(person, self._known.values())

    def take(self, person: Person) -> None:
        self._known[person.id] = person


def _numbered(held: tuple[Dated, ...], new: Dated) -> tuple[Dated, ...]:
    """With another number. One that is told again without days stays as it is; with days it stands for what began on the same
    day."""
    if new.start is None and new.until is None and any(d.number == new.number for d in held):
        return held
    others = [d for d in held if (d.number, d.start) != (new.number, new.start)]
    return tuple(sorted((*others, new), key=lambda d: (d.start or date.min, d.number)))


def _department(name: str, departments: Iterable[Department]) -> str:
    """The id of a department, which need not be registered: its id follows from its name."""
    return "" if not name else next((d.id for d in departments if d.name == name), named_id("dep", "department", name))


class _Departments:
    def __init__(self, known: Known) -> None:
        self._known = {d.id: d for d in known.departments}

    def read(self, line: Line) -> tuple[Department | None, Department]:
        name = line.get("name")
        before = self._known.get(named_id("dep", "department", name))
        after = before or Department(named_id("dep", "department", name), name)
        if line.has("unit"):
            after = replace(after, unit=line.get("unit"))
        if line.get("active"):
            after = replace(after, active=_good(columns.yes(line.get("active"))))
        return before, after

    def problems(self, department: Department) -> Iterable[Problem]:
        if not department.name or len(department.name) > people.LONGEST_NAME or not department.name.isprintable():
            yield Problem("bad-name", f"a department's name has 1 to {people.LONGEST_NAME} printable characters")

    def take(self, department: Department) -> None:
        self._known[department.id] = department


class _Trips:
    def __init__(self, known: Known) -> None:
        self._known = {t.id: t for t in known.trips}
        self._people, self._recorders, self._zone = known.people, known.recorders, known.zone

    def read(self, line: Line) -> tuple[TripEntry | None, TripEntry]:
        left = _good(columns.moment(line.get("left"), self._zone))
        expected = _good(columns.moment(line.get("expected"), self._zone))
        if left is None or expected is None:
            raise _Bad(Problem("no-time", "a trip wants when they left and when they are expected back"))
        day = left.astimezone(self._zone).date()
        persons = frozenset(_person(number, self._people, day).id for number in columns.several(line.get("officers")))
        recorders = frozenset(self._recorder(name) for name in columns.several(line.get("recorders")))
        trip_id = trip_id_of(persons, recorders, left)
        before = self._known.get(trip_id)
        after = TripEntry(trip_id, persons, recorders, left, expected, before.returned if before else None,
                          before.reason if before else "")  # fmt: skip
        if line.has("returned"):
            after = replace(after, returned=_good(columns.moment(line.get("returned"), self._zone)))
        if line.has("reason"):
            after = replace(after, reason=line.get("reason"))
        if before is not None and not before.void:
            after = replace(after, approved_by=before.approved_by) if _same_trip(before, after) else after
        return before, after

    def _recorder(self, name: str) -> str:
        found = self._recorders.get(name)
        if found is None:
            raise _Bad(Problem("unknown-recorder", f"{name[:40]!r} is no registered recorder"))
        return found

    def problems(self, trip: TripEntry) -> Iterable[Problem]:
        return trip_problems(trip)

    def take(self, trip: TripEntry) -> None:
        self._known[trip.id] = trip


def trip_id_of(persons: Iterable[str], recorders: Iterable[str], left: datetime) -> str:
    """The id of a trip: whose it is, and when they left."""
    return named_id("trp", "trip", "\0".join((*sorted(persons), *sorted(recorders), stamp(left))))


def _same_trip(before: TripEntry, after: TripEntry) -> bool:
    return replace(before, approved_by="") == replace(after, approved_by="")


def trip_problems(trip: TripEntry) -> Iterable[Problem]:
    """What keeps a trip from being entered."""
    if not trip.persons and not trip.recorders:
        yield Problem("nobody", "a trip is somebody's: name officers, or recorders")
    if trip.expected < trip.left:
        yield Problem("ends-before-it-begins", "they are expected back before they left")
    if trip.returned is not None and trip.returned < trip.left:
        yield Problem("ends-before-it-begins", "they came back before they left")
    if len(trip.reason) > columns.LONGEST_CELL or not trip.reason.replace("\n", " ").isprintable():
        yield Problem("bad-reason", "the reason is too long, or holds what is no character")


def _person(number: str, known: Iterable[Person], day: date) -> Person:
    found: Person = _good(people.only(people.bearers(known, number, day), number, day))
    return found


class _Cases:
    def __init__(self, known: Known) -> None:
        self._known = {c.id: c for c in known.cases}
        self._owner = {n.key: c.id for c in known.cases for n in c.numbers}
        self._people, self._departments, self._zone, self._today = (
            known.people,
            known.departments,
            known.zone,
            known.today,
        )

    def read(self, line: Line) -> tuple[Case | None, Case]:
        numbers = [Numbered(kind, _good(checked_number(text))) for column, kind in NUMBER_TYPES.items()
                   for text in columns.several(line.get(column))]  # fmt: skip
        if not numbers:
            raise _Bad(Problem("no-number", "a case has at least one number"))
        owners = {self._owner[n.key] for n in numbers if n.key in self._owner}
        if len(owners) > 1:
            raise _Bad(Problem("number-taken", "its numbers are those of several cases: merge them first"))
        before = self._known[owners.pop()] if owners else None
        kind = CaseKind(_good(columns.a_word(line.get("kind"), KINDS, "kind of case")))
        after = before or Case(named_id("cas", "case", numbers[0].key), "case", kind, (), "")
        held = {n.key for n in after.numbers}
        added: list[Numbered] = []
        for n in numbers:
            if n.key not in held:
                added.append(n)
                held.add(n.key)
        after = replace(after, kind=kind, numbers=(*after.numbers, *added), name=line.get("name"))
        return before, self._filled(line, after)

    def _filled(self, line: Line, case: Case) -> Case:
        change: dict[str, Any] = {}
        if line.get("form"):
            change["form"] = _good(columns.a_word(line.get("form"), FORMS, "form of a case"))
        if line.has("party"):
            change["party"] = line.get("party")
        if line.has("department"):
            change["department"] = _department(line.get("department"), self._departments)
        if line.has("urgent"):
            change["urgent"] = _good(columns.yes(line.get("urgent")))
        for column in ("opened", "reported", "act_ended", "concluded"):
            if line.has(column):
                change[column] = _good(columns.moment(line.get(column), self._zone))
        if line.has("handlers"):
            opened = change.get("opened", case.opened)
            day = opened.astimezone(self._zone).date() if opened else self._today
            change["handlers"] = frozenset(
                _person(n, self._people, day).id for n in columns.several(line.get("handlers"))
            )
        if into := line.get("merged_into"):
            found = self._owner.get(number_key(into))
            if found is None:
                raise _Bad(Problem("unknown-case", f"{into[:40]!r} is the number of no case"))
            change["merged_into"] = found
        return replace(case, **change)

    def problems(self, case: Case) -> Iterable[Problem]:
        return cases.problems(case, self._owner)

    def take(self, case: Case) -> None:
        self._known[case.id] = case
        self._owner |= {n.key: case.id for n in case.numbers}


_TABLES: Final[Mapping[str, tuple[Columns, Callable[[Known], Any]]]] = {
    "people": (PEOPLE, _People), "departments": (DEPARTMENTS, _Departments), "trips": (TRIPS, _Trips), "cases": (CASES, _Cases),
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
