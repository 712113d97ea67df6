"""People and departments, line by line."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from typing import Any, Final

from mediad.model import columns, people
from mediad.model.columns import Line
from mediad.model.headings import ROLES
from mediad.model.ids import named_id
from mediad.model.lines import Bad, Known, department_id, department_problems, good
from mediad.model.people import Dated, Person, Role, plain_number
from mediad.model.problems import Problem
from mediad.model.registers import Department

RIGHTS: Final = ("roles", "login", "active", "shared")
"""Columns that give or take a right. A table that nobody has looked at says nothing by them."""

_OF_NUMBERS: Final = ("certificate", "formerly", "from", "until", "device_number", "device_from", "device_until")
"""Columns of which each line about a person may say something else."""


class People:
    """Reads people. Several lines may be about one person: numbers that changed hands."""

    def __init__(self, known: Known) -> None:
        self._known: dict[str, Person] = {}
        self._by: dict[str, set[str]] = {}
        self._departments, self._today = known.departments, known.today
        self._single, self._actor, self._new = known.single, known.actor, known.new_departments
        self._told: dict[str, tuple[int, dict[str, str]]] = {}
        self._days: dict[tuple[str, str], list[tuple[int, Dated]]] = {}
        for person in known.people:
            self.take(person)

    def take(self, person: Person) -> None:
        self._known[person.id] = person
        for key in _found_by(person):
            self._by.setdefault(key, set()).add(person.id)

    def _others(self, keys: Iterable[str]) -> list[Person]:
        """Whoever has any of these numbers and accounts, or had it."""
        found = {each for key in keys for each in self._by.get(key, ())}
        return [self._known[each] for each in sorted(found)]

    def problems(self, person: Person) -> Iterator[Problem]:
        yield from people.problems(person, self._others(_found_by(person)))
        before = self._known.get(person.id)
        if before is not None and person.id == self._actor and _gains(before, person):
            yield Problem("own-rights", f"{person.name} cannot give rights to themselves: another person has to")

    def read(self, line: Line) -> tuple[Person | None, Person]:
        certificate = _dated(line, "certificate", "from", "until")
        # Days of their own, or else the same.
        own = line.has("device_from") or line.has("device_until")
        days = ("device_from", "device_until") if own else ("from", "until")
        device = _dated(line, "device_number", *days)
        before, key = self._who(line, certificate)
        roles = frozenset({Role.OFFICER} if certificate.number else ())
        after = before or Person(named_id("per", "person", key), key, "", roles=roles)
        line = self._further(line, after.id)
        after = replace(after, name=line.get("name"), **self._said(line))
        if certificate.number:
            self._once(line.number, after.id, certificate)
            after = replace(after, certificates=_numbered(after.certificates, certificate))
        if device.number:
            self._once(line.number, after.id, device)
            after = replace(after, device_numbers=_numbered(after.device_numbers, device))
        return before, after

    def _said(self, line: Line) -> dict[str, Any]:
        change: dict[str, Any] = {c: line.get(c) for c in ("position", "mail", "wecom", "dingtalk") if line.has(c)}
        if line.has("department"):
            change["department"] = department_id(line.get("department"), self._departments, new=self._new)
        if line.has("roles"):
            words = [good(columns.a_word(word, ROLES, "role")) for word in columns.several(line.get("roles"))]
            change["roles"] = frozenset(Role(word) for word in words)
        if line.has("login"):
            change["logins"] = frozenset(columns.several(line.get("login")))
        for column in ("active", "shared"):
            if line.get(column):
                change[column] = good(columns.yes(line.get(column)))
        return change

    def _who(self, line: Line, new: Dated) -> tuple[Person | None, str]:
        """Whom a line is about, if they are known, and the key of somebody new. A person is found under any number or account
        by the same name. Another name is a change of name only where somebody types it: in a table it may as well be a number
        that was given twice."""
        staff, login, name = plain_number(line.get("staff_number")), line.get("login"), line.get("name")
        key = new.number or (f"staff:{staff}" if staff else f"login:{login}" if login else "")
        if not name:
            raise Bad("bad-name", "a person has a name")
        if not key:
            raise Bad("no-number", "a person wants a certificate number, a staff number or an account")
        if formerly := plain_number(line.get("formerly")):
            return self._formerly(formerly, name), key
        keys = [_number(new.number)] if new.number else []
        keys += [f"key:staff:{staff}"] if staff else []
        keys += [f"login:{each}" for each in columns.several(login)]
        found = self._others([*keys, f"key:{key}"])
        if same := next((p for p in found if p.name == name), None):
            return same, key
        bears = [p for p in found if any(d.number == new.number and d.meets(new) for d in p.certificates)]
        other = next(iter(bears), None) or (self._known.get(named_id("per", "person", key)) if not new.number else None)
        if other is None:
            taken = named_id("per", "person", key) in self._known  # by somebody who bore that number before
            return None, f"{key}@{new.start}" if taken else key
        shown = new.number or staff or login
        if bears and not any(d.number == new.number and d.lasts(self._today) for d in other.certificates):
            raise Bad("number-taken", f"{shown} was borne by {other.name}: say since when it is that of {name}")
        if not self._single:
            raise Bad("name-differs", f"{shown} is {other.name}: a change of name is entered by `mediad officer add`")
        return other, key

    def _formerly(self, number: str, name: str) -> Person:
        """Who has another certificate now than before."""
        found = next((p for p in self._others([_number(number)]) if p.name == name), None)
        if found is None:
            raise Bad("unknown-person", f"{number} was never that of {name}")
        return found

    def _further(self, line: Line, person: str) -> Line:
        """A further line about somebody: what it leaves empty was told before, and nothing may be told in two ways."""
        told = {c: cell for c, cell in line.cells.items() if c not in _OF_NUMBERS}
        first, before = self._told.setdefault(person, (line.number, told))
        if first == line.number:
            return line
        for column, cell in told.items():
            if cell and before.get(column) and cell != before[column]:
                raise Bad("line-twice", f"line {first} says otherwise of the same person: {column}")
        self._told[person] = first, {**told, **{c: cell for c, cell in before.items() if cell}}
        return Line(line.number, {c: cell for c, cell in line.cells.items() if cell or c in _OF_NUMBERS})

    def _once(self, line: int, person: str, new: Dated) -> None:
        days = self._days.setdefault((person, new.number), [])
        for earlier, other in days:
            if other != new and other.meets(new):
                raise Bad("line-twice", f"line {earlier} says otherwise of {new.number} at the same time")
        days.append((line, new))


def _dated(line: Line, number: str, start: str, until: str) -> Dated:
    first, last = good(columns.day(line.get(start))), good(columns.day(line.get(until)))
    return Dated(plain_number(line.get(number)), first, last)


def _found_by(person: Person) -> list[str]:
    numbers = [_number(d.number) for d in (*person.certificates, *person.device_numbers)]
    return [f"key:{person.key}", *numbers, *(f"login:{login}" for login in person.logins)]


def _number(number: str) -> str:
    return f"number:{plain_number(number)}"


def _gains(before: Person, after: Person) -> bool:
    return bool(after.roles - before.roles or after.logins - before.logins or (before.shared and not after.shared))


def _numbered(held: tuple[Dated, ...], new: Dated) -> tuple[Dated, ...]:
    """With another number. One that is told again without days stays as it is; with days it stands for what it overlaps, and an
    end alone ends what was borne then."""
    mine = [d for d in held if d.number == new.number]
    if new.start is None and mine:
        if new.until is None:
            return held
        begun = [d.start or date.min for d in mine if d.meets(new)]
        new = replace(new, start=max(begun)) if begun and max(begun) > date.min else new
    others = [d for d in held if d.number != new.number or not d.meets(new)]
    return tuple(sorted((*others, new), key=lambda d: (d.start or date.min, d.number)))


class Departments:
    """Reads departments."""

    def __init__(self, known: Known) -> None:
        self._known = {d.id: d for d in known.departments}

    def read(self, line: Line) -> tuple[Department | None, Department]:
        name = line.get("name")
        before = self._known.get(named_id("dep", "department", name))
        after = before or Department(named_id("dep", "department", name), name)
        if line.has("unit"):
            after = replace(after, unit=line.get("unit"))
        if line.get("active"):
            after = replace(after, active=good(columns.yes(line.get("active"))))
        return before, after

    def problems(self, department: Department) -> Iterator[Problem]:
        yield from department_problems(department.name)

    def take(self, department: Department) -> None:
        self._known[department.id] = department
