"""Recorders that are handed out and come back, or do not (领用, 归还, 丢失, 损坏)."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from mediad.catalog import bureau
from mediad.config import Config
from mediad.errors import NotFound, Refused
from mediad.model import moves
from mediad.model.acts import Actor
from mediad.model.calendar import day_of
from mediad.model.custody import Draft
from mediad.model.registers import Move, RecorderState, move_json
from mediad.wiring.bureau import typed
from mediad.wiring.bureau.acts import perform

if TYPE_CHECKING:
    from mediad.catalog.ledger import Ledger

_HINTS = {
    "future": "give a time that has been", "out-of-order": "moves come in their order", "nobody": "--officer NUMBER",
    "two-carriers": "`mediad recorder return` first", "ends-before-it-begins": "check the times",
    "not-back": "`mediad recorder return` first", "not-out": "`mediad recorder issue` says who had it",
    "no-reason": "--why TEXT, and --presumed TEXT for what was on it",
}  # fmt: skip
"""What to do about each problem of a move."""

LONGEST = 2_000

SAID = {"issued": "已领用 handed out", "returned": "已归还 returned", "lost": "已报失 lost", "broken": "已报损 broken"}


def move(
    config: Config,
    recorder: str,
    state: RecorderState,
    *,
    carrier: str = "",
    at: datetime | None = None,
    expected: datetime | None = None,
    why: str = "",
    presumed: str = "",
) -> dict[str, Any]:
    """Record what became of a recorder. ``carrier`` is a certificate or device user number; ``presumed`` what footage was on it,
    as far as anybody knows. Raises NotFound, or Refused if it cannot have been so."""
    told: dict[str, Any] = {}
    texts = [typed.text(text, "what is told of it", LONGEST, empty=True) for text in (why, presumed)]

    def make(ledger: Ledger, _: Actor) -> list[Draft]:
        now = ledger.clock()
        when = at or now
        with ledger.catalog.read() as conn:
            found = bureau.recorder_names(conn).get(recorder)
            if found is None:
                raise NotFound(
                    f"{recorder} is no registered recorder", hint="`mediad recorder list` shows those that are"
                )
            before = bureau.moves(conn, [found]).get(found, [])
            day = day_of(when, config.unit.zone)
            person = typed.bearer(bureau.people(conn), carrier, day) if carrier else None
        if person is not None and not person.active:
            raise Refused(f"{person.name} is no longer active", code="inactive", hint="hand it to somebody else")
        whose = person.id if person else ""
        new = Move(found, state, when, whose, expected, *texts)
        if problem := next(moves.problems(new, before, now), None):
            raise Refused(problem.detail, code=problem.code, hint=_HINTS[problem.code])
        told.update(id=found, state=state, carrier=whose or None)
        return [Draft("recorder.moved", found, move_json(new))]

    performed = perform(config, "move-recorder", make)
    return performed.answer(SAID[state], **told)
