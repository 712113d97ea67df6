"""A hand-over: who gives, who receives, and who may sign for it.

A docking that broke off and what continued it are one hand-over. What brought no new files wants no signature. When it is signed
says nothing about Article 28: the station has stored it long before.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import date
from typing import Any, Final

from mediad.model.acts import Actor, no_signature
from mediad.model.people import Person, bearers, plain_number
from mediad.model.problems import Problem

FORMAT: Final = "mediad-handover-signed/1"
GIVER_FORMAT: Final = "mediad-handover-signature/1"
"""What whoever handed over signs: a file beside the record, which names its digest."""


def person_by(people: Sequence[Person], number: str, day: date) -> list[Person]:
    """Whose number it is on a day: certificate, device user number, or the staff number of somebody without either."""
    staff = f"staff:{plain_number(number).removeprefix('staff:')}"
    return bearers(people, number, day) or [p for p in people if p.key == staff]


def giver_of(told: str, named: Iterable[str], carried: Iterable[str]) -> str:
    """Who hands over, as the id of a person: whom somebody named; else the one that all dockings name; else the one that carried
    all that was recorded. Empty where that is nobody, or several."""
    for known in ([told], named, carried):
        if len(whose := {each for each in known if each}) == 1:
            return whose.pop()
        if whose:
            break
    return ""


def receiving_refusal(signer: Actor, receivers: Collection[str], parties: Iterable[str]) -> Problem | None:
    """Why somebody may not sign as the receiver; None if they may. ``receivers``: whom the station names, by id; nobody: whoever
    has the right. ``parties``: those who hand over."""
    person = signer.person
    if (problem := no_signature(signer)) is not None or person is None:
        return problem
    if receivers and person.id not in receivers:
        return Problem("not-receiver", f"{person.name} is not whom this station names as its receiver (接收人)")
    if person.id in parties:
        return Problem("own-act", f"{person.name} hands over: another person has to receive it")
    return None


def party(person: Person | None, day: date, departments: dict[str, str]) -> dict[str, Any] | None:
    """A person as a hand-over record names them; with the position where there is no certificate number."""
    if person is None:
        return None
    return {
        "person": person.id, "name": person.name, "certificate": person.certificate(day), "position": person.position,
        "department": departments.get(person.department, ""),
    }  # fmt: skip
