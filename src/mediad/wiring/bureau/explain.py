"""What people say about limits: why something is late, that it is met elsewhere."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from mediad.catalog import limits, recordings
from mediad.config import Config
from mediad.errors import NotFound, Refused, UsageError
from mediad.model.acts import Actor
from mediad.model.custody import Draft
from mediad.model.deadline import RULES, STORAGE, UPLOAD
from mediad.model.instants import rfc3339, stamp
from mediad.model.registers import handed_out
from mediad.wiring.bureau import typed
from mediad.wiring.bureau.acts import perform
from mediad.wiring.bureau.called import meant
from mediad.wiring.bureau.rules import fresh, rules_of, status

if TYPE_CHECKING:
    from mediad.catalog.ledger import Ledger

LONGEST = 2_000


def justify(config: Config, subject: str, rule: str, text: str) -> dict[str, Any]:
    """The reason in writing for something late. Raises Refused if it is not late."""
    reason = typed.text(text, "a reason", LONGEST, lines=True)
    if rule not in RULES:
        raise UsageError(f"{rule} is no rule", hint=", ".join(RULES))

    def make(ledger: Ledger, _: Actor) -> list[Draft]:
        with ledger.catalog.read() as conn:
            name = recordings.recording_of(conn, subject) or meant(conn, rule, subject)
            known = fresh(conn, rules_of(conn, config), [name])
            told = limits.reasons_given(conn, sorted({each for _, each in known}), rule)
        mine = {each: body for (of, each), body in known.items() if of == rule and handed_out(each) == handed_out(name)}
        if name in mine:
            mine = {name: mine[name]}
        if not mine:
            raise NotFound(f"{subject} has no limit {rule}", hint="`mediad deadlines --all` lists what has one")
        late = [each for each, body in mine.items() if status(body, ledger.clock()) == "late"]
        if not late:
            states = sorted({status(body, ledger.clock()) for body in mine.values()})
            raise Refused(f"{subject} is not late: {', '.join(states)}", hint="a reason is wanted for what is late")
        # Of all that a recorder was handed out, a reason is wanted for what has none.
        late = [each for each in late if (rule, each) not in told] or late
        if len(late) > 1:
            raise Refused(f"{subject} is late {len(late)} times", hint="one of " + ", ".join(sorted(late)))
        return [Draft("deadline.justified", late[0], {"rule": rule, "text": reason})]

    return perform(config, "late-reason", make).answer("理由已记录 the reason is recorded", subject=subject)


def mark_met(config: Config, subject: str, receipt: str, at: datetime, rule: str = STORAGE) -> dict[str, Any]:
    """It is met by a receipt: of the enforcement information system, or for Article 30 of the supervision platform. Raises
    NotFound for no recording, Refused for a receipt of the future."""
    number = typed.text(receipt, "a receipt's number", LONGEST)
    if rule not in (STORAGE, UPLOAD):
        raise UsageError(f"no receipt meets {rule}", hint=f"{STORAGE}, {UPLOAD}")

    def make(ledger: Ledger, _: Actor) -> list[Draft]:
        if at > ledger.clock():
            raise Refused("a receipt is not of the future", hint="give the time at which it was received")
        with ledger.catalog.read() as conn:
            name = recordings.recording_of(conn, subject)
            began = None if name is None else recordings.began(conn, name)
        if name is None:
            raise NotFound(f"{subject} is no recording", hint="`mediad recordings` lists what is there")
        if began is not None and at < began:
            raise Refused(
                f"the receipt is older than the recording, which began at {rfc3339(began, config.unit.zone)}",
                code="ends-before-it-begins",
                hint="`mediad recordings set-time` says when a recording was, if its recorder's clock was wrong",
            )
        detail = {"rule": rule, "receipt": number, "at": stamp(at)}
        return [Draft("deadline.receipt", name, detail)]

    return perform(config, "mark-met", make).answer("已登记回执 the receipt is recorded", subject=subject)
