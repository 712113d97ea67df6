"""Trips, line by line."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from mediad.model import columns
from mediad.model.columns import Line
from mediad.model.ids import named_id
from mediad.model.instants import stamp
from mediad.model.lines import Bad, Known, bearer, good, past, time_of
from mediad.model.people import Numbers
from mediad.model.problems import Problem
from mediad.model.registers import TripEntry


class Trips:
    """Reads trips."""

    def __init__(self, known: Known) -> None:
        self._trips: dict[str, TripEntry] = {}
        self._with: dict[str, set[str]] = {}
        self._known, self._numbers = known, Numbers(known.people)
        for trip in known.trips:
            self.take(trip)

    def read(self, line: Line) -> tuple[TripEntry | None, TripEntry]:
        left, expected = (good(columns.moment(line.get(c), self._known.zone)) for c in ("left", "expected"))
        if left is None or expected is None:
            raise Bad("no-time", "a trip wants when they left and when they are expected back")
        day = left.astimezone(self._known.zone).date()
        numbers = columns.several(line.get("officers"))
        persons = frozenset(bearer(number, self._numbers, day).id for number in numbers)
        recorders = frozenset(self._recorder(name) for name in columns.several(line.get("recorders")))
        before = self._trips.get(trip_id := trip_id_of(persons, recorders, left))
        if before is not None and before.void and not self._known.single:
            raise Bad("trip-void", "this trip was made void, and stays so")
        after = TripEntry(
            trip_id, persons,
            recorders if before is None or line.has("recorders") else before.recorders,
            left, expected, time_of(line, "returned", before.returned if before else None, self._known),
            line.get("reason") if line.has("reason") or before is None else before.reason,
        )  # fmt: skip
        same = before is not None and replace(before, approved_by="") == after
        return before, replace(after, approved_by=before.approved_by) if before and same else after

    def _recorder(self, name: str) -> str:
        found = self._known.recorders.get(name)
        if found is None:
            raise Bad("unknown-recorder", f"{name[:40]!r} is no registered recorder")
        return found

    def problems(self, trip: TripEntry) -> Iterator[Problem]:
        yield from trip_problems(trip)
        yield from past("returned", trip.returned, self._known)
        for recorder in sorted(trip.recorders):
            for other in sorted(self._with.get(recorder, ())):
                if two_carriers(trip, self._trips[other]):
                    yield Problem(
                        "two-carriers", f"{recorder} is on another trip at that time, {other}, with other officers"
                    )

    def take(self, trip: TripEntry) -> None:
        self._trips[trip.id] = trip
        for recorder in trip.recorders:
            self._with.setdefault(recorder, set()).add(trip.id)


def two_carriers(one: TripEntry, other: TripEntry) -> bool:
    """Whether two trips have a recorder with them at one time, and nobody is on both. One that has not ended is over when they
    are expected back."""
    if one.id == other.id or one.void or other.void or not one.recorders & other.recorders:
        return False
    if not one.persons or not other.persons or one.persons & other.persons:
        return False
    ends = [trip.returned or trip.expected for trip in (one, other)]
    return one.left < ends[1] and other.left < ends[0]


def trip_id_of(persons: Iterable[str], recorders: Iterable[str], left: datetime) -> str:
    """The id of a trip: whose it is, and when they left. Which recorders they had with them may be corrected."""
    whose = sorted(persons) or sorted(recorders)
    return named_id("trp", "trip", "\0".join((*whose, stamp(left))))


def trip_problems(trip: TripEntry) -> Iterator[Problem]:
    """What keeps a trip from being entered."""
    if not trip.persons and not trip.recorders:
        yield Problem("nobody", "a trip is somebody's: name officers, or recorders")
    if trip.expected < trip.left:
        yield Problem("ends-before-it-begins", "they are expected back before they left")
    if trip.returned is not None and trip.returned < trip.left:
        yield Problem("ends-before-it-begins", "they came back before they left")
    if len(trip.reason) > columns.LONGEST_CELL or not trip.reason.replace("\n", " ").isprintable():
        yield Problem("bad-reason", "the reason is too long, or holds what is no character")
