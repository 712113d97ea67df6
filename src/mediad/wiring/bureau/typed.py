"""What a person types, as values that can be trusted: a text, the number of somebody, a month. Raises what tells them better."""

import re
from collections.abc import Iterable, Sequence
from datetime import date
from zoneinfo import ZoneInfo

from mediad.errors import Refused, UsageError
from mediad.model.calendar import Month
from mediad.model.people import Person, bearers, only
from mediad.model.problems import Problem


def text(typed: str, what: str, most: int, *, lines: bool = False, empty: bool = False) -> str:
    """A text without space around it, if it has 1 to ``most`` printable characters; it may have several ``lines``, or be ``empty``.
    Raises UsageError."""
    shown = typed.replace("\n", " ") if lines else typed
    if len(typed) > most or not shown.isprintable() or not (empty or typed.strip()):
        raise UsageError(f"{what} has {'at most' if empty else '1 to'} {most} printable characters")
    return typed.strip()


def bearer(people: Iterable[Person], number: str, day: date) -> Person:
    """Whose certificate or device user number it was on a day. Raises Refused for nobody's, and for that of several."""
    return one(bearers(people, number, day), number, day)


def one(found: Sequence[Person], number: str, day: date) -> Person:
    """The one who was found by a number. Raises Refused if that is nobody, or several."""
    person = only(found, number, day)
    if isinstance(person, Problem):
        raise Refused(person.detail, code=person.code, hint="`mediad officer list` shows who is registered")
    return person


def month(typed: str, zone: ZoneInfo) -> Month:
    """A month such as 2026-11. Raises UsageError."""
    found = re.fullmatch(r"(20[0-9]{2})-(0[1-9]|1[0-2])", typed)
    if found is None:
        raise UsageError(f"{typed[:20]!r} is no month", hint="give year and month, such as 2026-11")
    return Month.of(int(found[1]), int(found[2]), zone)
