"""People: who they are, which numbers they bore when, and what they may do.

An officer's certificate number (执法证件编号) and the user number that stands in a recorder's file names are two things, and both
change hands in the course of years: so each is dated, and what counts is who bore it on the day of the recording.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import Final

from mediad.model.numbers import rounded
from mediad.model.problems import Problem

LONGEST_NAME: Final = 60
LONGEST_NUMBER: Final = 40
_MAIL: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,189}[A-Za-z0-9])?")
_HANDLE: Final = re.compile(r"[A-Za-z0-9._@+$:-]{1,64}")


class Role(StrEnum):
    """What somebody is to the station."""

    OFFICER = "officer"
    DOCK_OPERATOR = "dock-operator"
    ARCHIVIST = "archivist"
    STORAGE_ADMINISTRATOR = "storage-administrator"
    APPROVER = "approver"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class Dated:
    """A number borne from ``start`` until ``until``, both days included; None: since ever, until further notice."""

    number: str
    start: date | None = None
    until: date | None = None

    def holds(self, day: date) -> bool:
        return (self.start is None or self.start <= day) and (self.until is None or day <= self.until)

    def lasts(self, day: date) -> bool:
        """Whether it has not ended by a day."""
        return self.until is None or self.until >= day

    def meets(self, other: "Dated") -> bool:
        """Whether there is a day in both."""
        return (self.start is None or other.until is None or self.start <= other.until) and (
            other.start is None or self.until is None or other.start <= self.until
        )


@dataclass(frozen=True, slots=True)
class Person:
    """One person. ``key`` is what the id is made of. ``shared``: an account that several people use. ``position`` stands on forms
    where there is no certificate number. ``mail``, ``wecom`` (企业微信) and ``dingtalk`` (钉钉) are where they are told of
    limits."""

    id: str
    key: str
    name: str
    department: str = ""
    roles: frozenset[Role] = frozenset()
    logins: frozenset[str] = frozenset()
    position: str = ""
    shared: bool = False
    active: bool = True
    certificates: tuple[Dated, ...] = ()
    device_numbers: tuple[Dated, ...] = ()
    mail: str = ""
    wecom: str = ""
    dingtalk: str = ""

    def certificate(self, day: date) -> str:
        """The certificate number on a day; the newest that began last if several do; empty for none."""
        held = [d for d in self.certificates if d.holds(day)]
        return max(held, key=lambda d: (d.start or date.min, d.number)).number if held else ""


@lru_cache(maxsize=4_096)
def plain_number(text: str) -> str:
    """A number of a person whatever widths and blanks it was typed with."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def _same(number: str, plain: str) -> bool:
    return number == plain or plain_number(number) == plain


def bearers(people: Iterable[Person], number: str, day: date) -> list[Person]:
    """Who bore a number on a day. A certificate number goes before a device's user number: it is nobody else's by accident."""
    listed, plain = list(people), plain_number(number)
    for kind in ("certificates", "device_numbers"):
        if found := [p for p in listed if any(_same(d.number, plain) and d.holds(day) for d in getattr(p, kind))]:
            return found
    return []


def only(found: Sequence[Person], number: str, day: date) -> Person | Problem:
    """The one whose number it was on a day, of those who were ``found`` by it."""
    if len(found) == 1:
        return found[0]
    if found:
        return Problem("several-persons", f"{number[:LONGEST_NUMBER]!r} is the number of several on {day}")
    return Problem("unknown-person", f"{number[:LONGEST_NUMBER]!r} is nobody's number on {day}")


class Numbers:
    """Who bears which number, for whoever asks often."""

    def __init__(self, people: Iterable[Person]) -> None:
        self._by: dict[str, list[Person]] = {}
        for person in people:
            held = (*person.certificates, *person.device_numbers)
            for number in dict.fromkeys(plain_number(d.number) for d in held):
                self._by.setdefault(number, []).append(person)

    def of(self, number: str, day: date) -> list[Person]:
        """As ``bearers`` has it."""
        return bearers(self._by.get(plain_number(number), ()), number, day)


def problems(person: Person, others: Iterable[Person]) -> Iterator[Problem]:
    """What keeps a person from being registered beside the others."""
    if not person.name.strip() or len(person.name) > LONGEST_NAME or not person.name.isprintable():
        yield Problem("bad-name", f"a name has 1 to {LONGEST_NAME} printable characters")
    if person.mail and not _MAIL.fullmatch(person.mail):
        yield Problem("bad-mail", f"{person.mail[:LONGEST_NUMBER]!r} is no mail address")
    for handle in (person.wecom, person.dingtalk):
        if handle and (not _HANDLE.fullmatch(handle) or handle.lstrip("@").lower() == "all"):  # that is everybody
            yield Problem("bad-handle", f"{handle[:LONGEST_NUMBER]!r} is no account of a messenger")
    for dated in (*person.certificates, *person.device_numbers):
        if not dated.number or len(dated.number) > LONGEST_NUMBER or not dated.number.isprintable():
            yield Problem("bad-number", f"{dated.number[:LONGEST_NUMBER]!r} is no number of a person")
        elif rounded(dated.number):
            yield Problem("bad-number", f"{dated.number} was rounded by a spreadsheet: keep its column as text")
        elif not any(c.isdigit() for c in dated.number):  # the word of a line below all others, such as 合计
            yield Problem("bad-number", f"{dated.number} is no number of a person: it has no digit")
        if dated.start and dated.until and dated.until < dated.start:
            yield Problem(
                "ends-before-it-begins", f"{dated.number} ends on {dated.until}, before it begins on {dated.start}"
            )
    for other in others:
        if other.id == person.id:
            continue
        for login in sorted(person.logins & other.logins):
            yield Problem("login-taken", f"the account {login} is that of {other.name}")
        for kind in ("certificates", "device_numbers"):
            for mine in getattr(person, kind):
                if any(mine.number == theirs.number and mine.meets(theirs) for theirs in getattr(other, kind)):
                    yield Problem("number-taken", f"{mine.number} is borne by {other.name} at the same time")
