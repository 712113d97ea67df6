"""Who carried the recorder: what a person said, else whose number stands in the recording, else who had it from the unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal

from mediad.model.people import Numbers
from mediad.model.registers import Move

By = Literal["person", "number", "assigned", "nobody", "several"]


@dataclass(frozen=True, slots=True)
class Carrier:
    """``person`` is an id, empty where nobody is known; ``assigned`` who had the recorder, where that is known too: their trips
    count beside the carrier's."""

    person: str
    by: By
    assigned: str = ""


NOBODY: Final = Carrier("", "nobody")


@dataclass(frozen=True, slots=True)
class Had:
    """Whoever had a recorder last, and when it was handed in; None while it is out."""

    person: str
    handed_in: datetime | None = None


def last_had(moves: Sequence[Move]) -> Had | None:
    """Who had a recorder last, by its moves until a moment in their order. None if nobody did, or it was lost or broken since."""
    newest = moves[-1] if moves else None
    if newest is not None and newest.state == "returned" and len(moves) > 1 and moves[-2].state == "issued":
        return Had(moves[-2].carrier, newest.at)
    return Had(newest.carrier) if newest is not None and newest.state == "issued" else None


def carrier(number: str, day: date, people: Numbers, had: str, told: str = "") -> Carrier:
    """``number`` is what the recording says of its officer, ``had`` who had the recorder, ``told`` whom a person named."""
    if told:
        return Carrier(told, "person", had)
    found = people.of(number, day) if number else []
    if len(found) == 1:
        return Carrier(found[0].id, "number", had)
    if had:
        return Carrier(had, "assigned", had)
    return Carrier("", "several" if found else "nobody")
