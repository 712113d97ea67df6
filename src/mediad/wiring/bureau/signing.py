"""Approvals of what waits for them: the statement that a person signs with their own key, and the signature that comes back.

A private key never comes near mediad. A signature counts if both hold: the account is that person's, and so is the key.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mediad.catalog import keys
from mediad.edges.sshsig import verified
from mediad.errors import NotFound, Refused
from mediad.model.signing import approval_statement, key_id

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mediad.catalog.ledger import Ledger
    from mediad.model.acts import Actor, Signature
    from mediad.model.custody import Event

ACT, TRIP = "act.proposed", "trip.registered"
"""Kinds of event that somebody signs: acts as they were proposed, trips as they were entered last."""

TRIP_ACT = "backdate-trip"

_MOMENT = timedelta(minutes=1)
"""A signature is recorded a moment after it was looked at, and its key must be in force then as well."""


def proposed(conn: Connection, subject: str) -> Event:
    """What is signed of an act (``act-``) or of a trip (``trp-``)."""
    event = keys.newest(conn, subject, TRIP if subject.startswith("trp-") else ACT)
    if event is None:
        raise NotFound(f"{subject} is no act and no trip", hint="`mediad acts` and `mediad trip list` show them")
    return event


def statement(event: Event, as_: Signature) -> bytes:
    """The statement that a reviewer or an approver signs of it."""
    return approval_statement(event, TRIP_ACT if event.kind == TRIP else event.body()["what"], as_)


def approval(ledger: Ledger, signer: Actor, event: Event, as_: Signature, armored: str) -> dict[str, Any]:
    """A signature as events hold it. Raises Refused if it is none of this, or of no key that is the signer's now."""
    found = verified(armored, statement(event, as_))
    with ledger.catalog.read() as conn:
        key = keys.key(conn, key_id(found.key.fingerprint))
    hint = "`mediad key list` shows whose keys are registered"
    if key is None or signer.person is None or key.person != signer.person.id:
        raise Refused(
            f"the key {found.key.fingerprint} is none of whoever has the account {signer.login}",
            code="other-key",
            hint=hint,
        )
    now = ledger.clock()
    if not (key.in_force(now) and key.in_force(now + _MOMENT)):
        raise Refused(f"the key {key.fingerprint} is not in force any more", code="key-over", hint=hint)
    return {"key": key.id, "fingerprint": key.fingerprint, "signature": found.signature}
