"""Keys of people: registered by two, withdrawn by one.

Nobody registers their own key: the person shows that they have it, by a signature, and somebody else enters it, for which an
approver signs. Only while no approver has a key in force can that be nobody: then the entry says so (docs/signing.md).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from mediad.catalog import bureau, keys
from mediad.config import Config
from mediad.edges.sshsig import read_key, verified
from mediad.errors import Busy, NotFound, Refused
from mediad.model.acts import ACTS, Actor, no_signature
from mediad.model.calendar import day_of
from mediad.model.custody import Draft
from mediad.model.facts import keys_anew
from mediad.model.handover import person_by
from mediad.model.instants import stamped
from mediad.model.people import Person, Role
from mediad.model.signing import Key, key_id, key_statement
from mediad.wiring.bureau import typed
from mediad.wiring.bureau.acts import Performed, perform
from mediad.wiring.station import open_ledger

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mediad.catalog.ledger import Ledger

LONGEST_REASON = 500

REGISTER, FIRST, WITHDRAW = "register-key", "register-first-key", "withdraw-key"


def statement(config: Config, who: str, public: str) -> bytes:
    """What a person signs with their new key."""
    ledger = open_ledger(config)
    try:
        with ledger.catalog.read() as conn:
            person = _person(conn, config, who, ledger.clock())
    finally:
        ledger.catalog.close()
    return key_statement(config.station.id, person.id, read_key(public).fingerprint)


def add(config: Config, who: str, public: str, proof: str, *, until: datetime | None = None) -> Performed:
    """Register a person's key. It is in force once an approver has signed that; at once while none has a key."""
    ledger = open_ledger(config)
    try:
        with ledger.catalog.read() as conn:
            first = not _approvers(conn, ledger.clock())
    finally:
        ledger.catalog.close()

    def make(ledger: Ledger, actor: Actor) -> list[Draft]:
        now = ledger.clock()
        with ledger.catalog.read() as conn:
            if first and _approvers(conn, now):
                raise Busy("an approver has got a key in this very moment", hint="try again: they sign for this one")
            person = _person(conn, config, who, now)
            known = keys.keys(conn)
        if actor.person is not None and actor.person.id == person.id:
            raise Refused("nobody registers their own key", code="own-key", hint="another registrar enters it")
        if problem := no_signature(Actor("", person)):
            raise Refused(problem.detail, code=problem.code, hint="a key is one person's own")
        if until is not None and until <= now:
            raise Refused("it ends before it begins", code="ends-before-it-begins", hint="give --until a day to come")
        key = read_key(public)
        if any(k.fingerprint == key.fingerprint for k in known):
            raise Refused(
                f"{key.fingerprint} was registered before",
                code="key-taken",
                hint="a key is registered once: make a new one",
            )
        found = verified(proof, key_statement(config.station.id, person.id, key.fingerprint))
        if found.key != key:
            raise Refused(
                "another key has signed than the one that is given", code="other-key", hint="sign with the new one"
            )
        detail = {
            "person": person.id, "public": key.line, "fingerprint": key.fingerprint, "until": stamped(until),
            "proof": found.signature,
        }  # fmt: skip
        draft = Draft("key.registered", key_id(key.fingerprint), detail)
        return [draft, keys_anew(draft.subject, person.name)] if first and known else [draft]

    return perform(config, FIRST if first else REGISTER, make)


def withdraw(config: Config, which: str, why: str) -> Key:
    """A key is not to count any more: for its person, or a registrar. Nothing that was signed before changes."""
    reason, gone = typed.text(why, "the reason", LONGEST_REASON), list[Key]()

    def make(ledger: Ledger, actor: Actor) -> list[Draft]:
        with ledger.catalog.read() as conn:
            found = [k for k in keys.keys(conn) if which in (k.id, k.fingerprint)]
        if not found:
            raise NotFound(f"{which} is no registered key", hint="`mediad key list` shows them")
        (key,) = gone[:] = found
        person = actor.person
        if person is not None and key.person != person.id and not ACTS[REGISTER].roles & person.roles:
            raise Refused(
                f"{person.name} may only withdraw their own key", code="no-right", hint="ask whoever registers keys"
            )
        return [] if key.withdrawn else [Draft("key.withdrawn", key.id, key.gone(reason))]

    perform(config, WITHDRAW, make)
    return gone[0]


def _approvers(conn: Connection, now: datetime) -> list[Person]:
    """Who can sign as an approver: with a key in force."""
    able = {k.person for k in keys.keys(conn) if k.in_force(now)}
    return [p for p in bureau.people(conn) if p.id in able and p.active and not p.shared and Role.APPROVER in p.roles]


def _person(conn: Connection, config: Config, who: str, now: datetime) -> Person:
    people = bureau.people(conn)
    found = [p for p in people if who == p.id or who in p.logins]
    day = day_of(now, config.unit.zone)
    return typed.one(found or person_by(people, who, day), who, day)
