"""What people say about limits: why something is late, that it is met elsewhere."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from mediad.catalog import recordings
from mediad.config import Config
from mediad.errors import NotFound, Refused, UsageError
from mediad.model.acts import Actor
from mediad.model.custody import Draft
from mediad.model.deadline import RULES, STORAGE, UPLOAD
from mediad.model.instants import stamp
from mediad.wiring.bureau import typed
from mediad.wiring.bureau.acts import perform
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
            name = recordings.recording_of(conn, subject) or subject
            body = fresh(conn, rules_of(conn, config), [name]).get((rule, name))
        if body is None:
            raise NotFound(f"{subject} has no limit {rule}", hint="`mediad deadlines --all` lists what has one")
        if (found := status(body, ledger.clock())) != "late":
            raise Refused(f"{subject} is not late: {found}", hint="a reason is wanted for what is late")
        return [Draft("deadline.justified", name, {"rule": rule, "text": reason})]

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
                f"the receipt is older than the recording, which began at {began.isoformat()}",
                code="ends-before-it-begins",
                hint="`mediad recordings set-time` says when a recording was, if its recorder's clock was wrong",
            )
        detail = {"rule": rule, "receipt": number, "at": stamp(at)}
        return [Draft("deadline.receipt", name, detail)]

    return perform(config, "mark-met", make).answer("已登记回执 the receipt is recorded", subject=subject)
