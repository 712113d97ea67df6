"""Who carried the recorder: what a person said, else whose number stands in the recording, else who had it from the unit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal

from mediad.model.people import Person, bearers
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


def assigned(moves: Sequence[Move], at: datetime) -> Move | None:
    """The move by which a recorder was out at a moment; None if it was at the unit, lost or broken. ``moves`` in their order."""
    last = None
    for move in moves:
        if move.at > at:
            break
        last = move
    return last if last is not None and last.state == "issued" else None


def carrier(
    number: str, day: date, at: datetime, people: Iterable[Person], moves: Sequence[Move], told: str = ""
) -> Carrier:
    """``number`` is what the recording says of its officer, ``told`` whom a person named."""
    out = assigned(moves, at)
    had = out.carrier if out is not None else ""
    if told:
        return Carrier(told, "person", had)
    found = bearers(people, number, day) if number else []
    if len(found) == 1:
        return Carrier(found[0].id, "number", had)
    if had:
        return Carrier(had, "assigned", had)
    return Carrier("", "several" if found else "nobody")
