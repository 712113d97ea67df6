"""Trips after they were entered: back, void, approved. Each is a further version of the trip; none is overwritten."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mediad.catalog import acts as memory
from mediad.catalog import bureau
from mediad.config import Config
from mediad.errors import NotFound, Refused
from mediad.model.acts import Act, Actor, signing_refusal
from mediad.model.custody import Draft
from mediad.model.lines_trips import trip_problems
from mediad.model.problems import Problem
from mediad.model.registers import TripEntry, trip_json
from mediad.wiring.bureau.acts import perform
from mediad.wiring.bureau.signing import TRIP_ACT, approval, proposed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

    from mediad.catalog.ledger import Ledger


def come_back(config: Config, trip_id: str, at: datetime | None) -> dict[str, Any]:
    """They are back, at a time or now."""

    def change(ledger: Ledger, _: Actor, trip: TripEntry) -> TripEntry:
        now = ledger.clock()
        if at is not None and at > now:
            # A return always counts, and moves limits: one that has not been yet would put them off.
            raise Refused("that is in the future", code="future", hint="give a time that has been")
        return replace(trip, returned=at or now, approved_by="")

    return _change(config, "enter-trip", trip_id, change, "已返回 back")


def make_void(config: Config, trip_id: str, reason: str) -> dict[str, Any]:
    """It was entered by mistake, and never was."""
    if not reason.strip():
        raise Refused("a trip is made void for a reason", hint="--reason TEXT")

    def change(_ledger: Ledger, _: Actor, trip: TripEntry) -> TripEntry:
        return replace(trip, void=True, reason=f"{trip.reason}; {reason}" if trip.reason else reason, approved_by="")

    return _change(config, "enter-trip", trip_id, change, "已作废 void")


def approve(config: Config, trip_id: str, signature: str) -> dict[str, Any]:
    """An approver agrees to what was entered late, by a signature of its statement. Raises Refused to whoever cannot sign, and to
    who entered it or went on it."""
    given: dict[str, Any] = {}

    def change(ledger: Ledger, actor: Actor, trip: TripEntry) -> TripEntry:
        with ledger.catalog.read() as conn:
            problem, event = _refusal(conn, trip, actor), proposed(conn, trip_id)
        if problem is not None:
            raise Refused(
                problem.detail, code=problem.code, hint="an approver (批准人) approves it under an account of their own"
            )
        given["approval"] = approval(ledger, actor, event, "approver", signature)
        return replace(trip, approved_by=actor.person.id if actor.person else "")

    return _change(config, "approve-trip", trip_id, change, "已批准 approved", given)


def _refusal(conn: Connection, trip: TripEntry, actor: Actor) -> Problem | None:
    """Why somebody may not agree to a trip: they have no right to, entered a part of it, or were on it."""
    act = Act(TRIP_ACT, frozenset(), ("approver",))
    known = {p.id: p for p in bureau.people(conn)}
    authors = [
        Actor(login, known.get(by) or bureau.person_at(conn, login)) for login, by in memory.authors(conn, trip.id)
    ]
    travellers = [Actor("", known[each]) for each in sorted(trip.persons) if each in known]
    found = (signing_refusal(act, "approver", actor, other, {}) for other in (Actor(""), *authors, *travellers))
    return next((problem for problem in found if problem is not None), None)


def _change(
    config: Config,
    act: str,
    trip_id: str,
    change: Callable[[Ledger, Actor, TripEntry], TripEntry],
    said: str,
    besides: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """``besides``: what the event tells of this change alone."""

    def make(ledger: Ledger, actor: Actor) -> list[Draft]:
        with ledger.catalog.read() as conn:
            trip = bureau.trip(conn, trip_id)
        if trip is None:
            raise NotFound(f"{trip_id} is no trip", hint="`mediad trip list` shows those that were entered")
        after = change(ledger, actor, trip)
        if problem := next(iter(trip_problems(after)), None):
            raise Refused(problem.detail, code=problem.code, hint="nothing was recorded")
        return [] if after == trip else [Draft("trip.registered", trip_id, {**trip_json(after), **(besides or {})})]

    return perform(config, act, make).answer(said, id=trip_id)
