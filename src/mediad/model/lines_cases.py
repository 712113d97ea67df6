"""Cases, line by line."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from mediad.model import cases, columns
from mediad.model.cases import Case, CaseKind, Numbered
from mediad.model.columns import Line
from mediad.model.headings import FORMS, KINDS, NUMBER_TYPES
from mediad.model.ids import named_id
from mediad.model.lines import Bad, Known, bearer, department_id, good, past, time_of
from mediad.model.numbers import checked_number, number_key
from mediad.model.people import Numbers
from mediad.model.problems import Problem


class Cases:
    """Reads cases."""

    def __init__(self, known: Known) -> None:
        self._cases = {c.id: c for c in known.cases}
        self._owner = {n.key: c.id for c in known.cases for n in c.numbers}
        self._into = {c.id: c.merged_into for c in known.cases}
        self._known, self._people = known, Numbers(known.people)

    def read(self, line: Line) -> tuple[Case | None, Case]:
        numbers = [Numbered(kind, good(checked_number(text))) for column, kind in NUMBER_TYPES.items()
                   for text in columns.several(line.get(column))]  # fmt: skip
        if not numbers:
            raise Bad("no-number", "a case has at least one number")
        before = self._whose(numbers)
        # A line of a table says what it says, whatever is known; a person who types one thing leaves the others as they are.
        kept = before if self._known.single else None
        said = line.get("kind") or (kept.kind if kept else "")
        kind = CaseKind(good(columns.a_word(said, KINDS, "kind of case")))
        after = before or Case(self._new_id(numbers[0].key), "case", kind, (), "")
        # A number of what was merged into it stays that one's.
        new = {n.key: n for n in reversed(numbers) if n.key not in self._owner}
        added = [n for n in numbers if new.get(n.key) is n]
        after = replace(after, kind=kind, numbers=(*after.numbers, *added))
        after = replace(after, name=line.get("name") or (kept.name if kept else ""))
        filed = [n.number for n in after.numbers if n.type == NUMBER_TYPES["filing_number"]]
        if added and len(filed) > 1:
            raise Bad("two-filing-numbers", f"{filed[0]} is its filing number already, and {filed[1][:40]} another one")
        return before, self._filled(line, after)

    def _new_id(self, key: str) -> str:
        """The id of a case by its first number. If that was another one's, and was taken back, it is made once more."""
        made = named_id("cas", "case", key)
        return made if made not in self._cases else named_id("cas", "case", f"{key}\0{made}")

    def _whose(self, numbers: list[Numbered]) -> Case | None:
        """The case that has one of these numbers. Where several have some, all of them have become part of one."""
        owners = {self._owner[n.key] for n in numbers if n.key in self._owner}
        if len(owners) > 1:
            owners = {cases.merged(self._into, owner) for owner in owners}
        if len(owners) > 1:
            said = ", ".join(n.number[:40] for n in numbers if n.key in self._owner)
            raise Bad("number-taken", f"{said} are numbers of several cases: merge them, or withdraw the wrong one")
        return self._cases[owners.pop()] if owners else None

    def _filled(self, line: Line, case: Case) -> Case:
        change: dict[str, Any] = {}
        if line.get("form"):
            change["form"] = good(columns.a_word(line.get("form"), FORMS, "form of a case"))
        if line.has("party"):
            change["party"] = line.get("party")
        if line.has("department"):
            change["department"] = department_id(
                line.get("department"), self._known.departments, new=self._known.new_departments
            )
        if line.has("urgent"):
            change["urgent"] = good(columns.yes(line.get("urgent")))
        for column in ("opened", "reported", "act_ended", "concluded"):
            change[column] = time_of(line, column, getattr(case, column), self._known)
        if line.has("handlers"):
            opened = change["opened"]
            day = opened.astimezone(self._known.zone).date() if opened else self._known.today
            numbers = columns.several(line.get("handlers"))
            change["handlers"] = frozenset(bearer(n, self._people, day).id for n in numbers)
        if into := line.get("merged_into"):
            found = self._owner.get(number_key(into))
            if found is None:
                raise Bad("unknown-case", f"{into[:40]!r} is the number of no case")
            change["merged_into"] = found
        return replace(case, **change)

    def problems(self, case: Case) -> Iterator[Problem]:
        yield from cases.problems(case, self._owner, self._known.zone)
        for column in ("reported", "act_ended", "concluded"):
            yield from past(column, getattr(case, column), self._known)
        before = self._cases.get(case.id)
        yield from cases.closed(before, case)
        if case.merged_into and (before is None or before.merged_into != case.merged_into):
            yield from cases.merging(case, self._cases.get(case.merged_into), self._into)

    def take(self, case: Case) -> None:
        self._cases[case.id] = case
        self._into[case.id] = case.merged_into
        self._owner |= {n.key: case.id for n in case.numbers}
