"""Hand-overs on paper and in the vault: their page, who gives and receives, signing and correcting."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mediad.catalog import bureau, handovers, limits
from mediad.config import Config
from mediad.edges import qr, typst
from mediad.errors import IntegrityError, NotDrawn, NotFound, Refused, UsageError
from mediad.model import carrier as carriers
from mediad.model import handover as rules_of_signing
from mediad.model import handover_form as words
from mediad.model.acts import Actor, no_signature
from mediad.model.calendar import day_of
from mediad.model.custody import Draft
from mediad.model.deadline import STORAGE
from mediad.model.instants import stamp
from mediad.model.people import Numbers, Person
from mediad.model.problems import Problem
from mediad.stages import rule, sign
from mediad.stages.sign import Parties
from mediad.wiring.bureau import typed
from mediad.wiring.bureau.acts import acting, perform, perform_at
from mediad.wiring.bureau.rules import rules_of, status
from mediad.wiring.look import read_first_vault
from mediad.wiring.station import open_ledger

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from mediad.catalog.ledger import Ledger
    from mediad.wiring.station import Station

ACT = "sign-handover"
Left = dict[str, str]
"""A hand-over that a batch did not sign: ``handover``, ``code``, ``why``, ``hint``."""
MOST = 100
"""Hand-overs that one command signs: each page takes a third of a second, and other commands wait."""
_LONGEST_REASON = 500


@dataclass(frozen=True)
class Facts:
    """What the catalogue knows at a moment, for as many hand-overs as are asked for."""

    conn: Connection
    config: Config
    now: datetime

    @cached_property
    def people(self) -> list[Person]:
        return bureau.people(self.conn)

    @cached_property
    def departments(self) -> dict[str, str]:
        return {d.id: d.name for d in bureau.departments(self.conn)}

    @cached_property
    def numbers(self) -> Numbers:
        return Numbers(self.people)

    def handover(self, docking: str) -> Row[Any]:
        found = handovers.handover(self.conn, docking)
        if found is None:
            raise NotFound(f"{docking} is no closed docking", hint="`mediad handover list` shows the newest")
        return found

    def person(self, number: str) -> Person:
        """Whose number it is today, or whose id. Raises Refused for nobody's, and for that of several."""
        today = day_of(self.now, self.config.unit.zone)
        found = rules_of_signing.person_by(self.people, number, today) or [p for p in self.people if p.id == number]
        return typed.one(found, number, today)

    def by_id(self, person: str) -> Person | None:
        return next((p for p in self.people if p.id == person), None) if person else None

    def rulings(self, dockings: Sequence[str]) -> list[dict[str, Any]]:
        """What Article 28 comes to for what some dockings brought, or saw and did not bring."""
        ruled = [
            r for r in rule.rule_on(self.conn, rules_of(self.conn, self.config), dockings) if r.ruling.rule == STORAGE
        ]
        said = limits.reasons_given(self.conn, [r.ruling.subject for r in ruled], STORAGE)
        return [
            {
                "subject": r.ruling.subject, "status": status(body, self.now).value, "due_at": body["due_at"],
                "met_at": body["met_at"], "limb": body["limb"], "reason": body["reason"], "remarks": body["remarks"],
                "carrier": r.carrier.person, "justified": said.get((STORAGE, r.ruling.subject), {}).get("text", ""),
            }
            for r in ruled
            for body in (r.body(),)
        ]  # fmt: skip

    def giver(self, handover: Row[Any], parts: Sequence[Row[Any]], rulings: Sequence[Mapping[str, Any]]) -> str:
        """Who hands over, as an id; empty where only a person can say."""
        had = bureau.brought(self.conn, [p.id for p in parts])
        named = []
        for p in parts:
            at = datetime.fromisoformat(p.opened_at)
            day = day_of(at, self.config.unit.zone)
            named.append(carriers.carrier(p.officer, day, self.numbers, had.get(p.id, "")).person)
        return rules_of_signing.giver_of(handover.giver, named, (r["carrier"] for r in rulings))

    def receivers(self) -> list[Person]:
        """Whom the station names."""
        return [self.person(number) for number in self.config.station.receiver]

    def only_receiver(self) -> Person | None:
        """Who will receive, as far as that is known before: a number of the configuration that has run out is a line to fill in."""
        with suppress(Refused):
            if len(found := self.receivers()) == 1:
                return found[0]
        return None

    def party(self, person: Person | None, at: datetime | None = None) -> dict[str, Any] | None:
        """A person as a record names them, with the number that they bore at a moment; else the one of now."""
        return rules_of_signing.party(person, day_of(at or self.now, self.config.unit.zone), self.departments)

    def record(
        self,
        handover: Row[Any],
        parties: Parties,
        rulings: Sequence[Mapping[str, Any]],
        *,
        at: datetime | None,
        why: str = "",
    ) -> dict[str, Any]:
        return sign.describe(
            self.conn, handover, parties, rulings, unit=self.config.unit.name, station=self.config.station.id,
            confirmed_at=at, why=why,
        )  # fmt: skip


def _drawn(config: Config, record: Mapping[str, Any], sha256: str, key: str, at: datetime) -> bytes:
    code = {"rows": qr.rows(f"mediad:{record['handover']}:sha256:{sha256}"), "sha256": sha256, "key": key}
    return typst.render("form", words.page(record, config.unit.zone, code), at)


# --- the page --------------------------------------------------------------------------------------------------------


def page(config: Config, docking: str, *, fresh: bool = False) -> bytes:
    """The page of a hand-over as a PDF: as it was signed, or else (or ``fresh``) by what is known now."""
    ledger = open_ledger(config)
    try:
        with ledger.catalog.read() as conn:
            facts = Facts(conn, config, ledger.clock())
            handover = facts.handover(docking)
            signed = handovers.signing(handover) if handover.state == "signed" and not fresh else None
            record = _unsigned(facts, handover) if signed is None else {}
    finally:
        ledger.catalog.close()
    if signed is not None:
        return _as_signed(config, signed.get("countersigned", signed)["page"])
    newest = record["dockings"][-1]["record"]
    return _drawn(config, record, newest["sha256"], newest["key"], facts.now)


def _unsigned(facts: Facts, handover: Row[Any]) -> dict[str, Any]:
    """The record by what is known now, for whoever is to sign it."""
    parts = handovers.dockings(facts.conn, handover.docking)
    rulings = facts.rulings([p.id for p in parts])
    giver = facts.by_id(facts.giver(handover, parts, rulings))
    parties = Parties(facts.party(giver), receiver=facts.party(facts.only_receiver()))
    return facts.record(handover, parties, rulings, at=None)


def signed_record(config: Config, docking: str) -> bytes:
    """The record as it was signed last."""
    ledger = open_ledger(config)
    try:
        with ledger.catalog.read() as conn:
            detail = handovers.signing(Facts(conn, config, ledger.clock()).handover(docking))
    finally:
        ledger.catalog.close()
    if not detail:
        raise NotFound(f"{docking} was never signed", hint="`mediad handover sign` does it")
    return _as_signed(config, detail["record"])


def _as_signed(config: Config, where: Mapping[str, Any]) -> bytes:
    return _untouched(read_first_vault(config, where["key"]), where)


def _untouched(data: bytes, where: Mapping[str, Any]) -> bytes:
    if hashlib.sha256(data).hexdigest() != where["sha256"]:
        raise IntegrityError(
            f"{where['key']} is not what was signed: its digest stands in the custody log",
            hint="keep it as it is and run `mediad fsck`; a backup of the vault may hold what was signed",
        )
    return data


# --- who gives -------------------------------------------------------------------------------------------------------


def name_giver(config: Config, docking: str, number: str) -> dict[str, Any]:
    """Say who carried what is handed over, where nothing tells it."""
    told: dict[str, Any] = {}

    def make(ledger: Ledger, _: Actor) -> list[Draft]:
        with ledger.catalog.read() as conn:
            facts = Facts(conn, config, ledger.clock())
            handover, person = facts.handover(docking), facts.person(number)
        if handover.state == "signed":
            raise Refused(
                f"{handover.docking} is signed", code="signed-already", hint="`mediad handover correct` supersedes it"
            )
        told.update(handover=handover.docking, giver=person.name)
        return [Draft("handover.giver", handover.docking, {"giver": person.id})]

    perform(config, ACT, make)
    return told


# --- signing ---------------------------------------------------------------------------------------------------------


def sign_all(
    config: Config, dockings: Sequence[str], *, giver: str = "", on_behalf_of: str = "", why: str | None = None
) -> list[dict[str, Any]]:
    """Sign hand-overs as their receiver, or as who handed over what the receiver has signed: all of them, or none if one cannot be
    signed. ``giver`` and ``on_behalf_of`` are numbers of persons, where it is not the carrier who hands over. With ``why`` what is
    signed already is corrected."""
    if len(dockings) > MOST:
        raise UsageError(f"more than {MOST} hand-overs at a time", hint="sign them in parts")
    return _sign(config, dockings, giver, on_behalf_of, why, None)


def _sign(
    config: Config, dockings: Sequence[str], giver: str, on_behalf_of: str, why: str | None, left: list[Left] | None
) -> list[dict[str, Any]]:
    """At most ``MOST`` of them. ``left``: takes those that cannot be signed, or whose page cannot be drawn, with the reason;
    without it one of them ends all."""
    if on_behalf_of and not giver:
        raise UsageError("--on-behalf-of wants --giver: who hands over in their place")
    why = None if why is None else typed.text(why, "the reason of a correction", _LONGEST_REASON)
    told: list[dict[str, Any]] = []

    def make(station: Station, actor: Actor) -> list[Draft]:
        told.clear()
        now = station.ledger.clock()
        with station.ledger.catalog.read() as conn:
            facts = Facts(conn, config, now)
            found = {h.docking: h for h in map(facts.handover, dockings)}
            given = [h for h in found.values() if why is None and not giver and _gave(actor, h)]
            records: list[dict[str, Any]] = []
            for h in found.values():
                if h in given or len(records) == MOST:
                    continue
                with _or_left(h.docking, left):
                    records.append(_ready(facts, h, actor, giver, on_behalf_of, why))
            mine = facts.party(actor.person) or {}
        kind = "handover.signed" if why is None else "handover.corrected"
        drafts = [_countersign(station, h, actor, mine, now) for h in given]
        told.extend(_given(draft, actor) for draft in drafts)
        for record in records:
            with _or_left(record["handover"], left):
                draft = sign.lay(
                    station.vault, record["dockings"][0]["record"]["key"], record,
                    lambda told, sha256, key: _drawn(config, told, sha256, key, now), kind,
                )  # fmt: skip
                drafts.append(draft)
                told.append(_received(draft, record))
        return drafts

    perform_at(config, ACT, make)
    return told


@contextmanager
def _or_left(handover: str, left: list[Left] | None) -> Iterator[None]:
    """Whatever keeps this one from being signed is told, and keeps nothing else back; of a batch that is all or nothing it is the
    end."""
    try:
        yield
    except (Refused, NotDrawn) as e:
        if left is None:
            raise
        left.append({"handover": handover, "code": e.code, "why": e.message, "hint": e.hint})


def _received(draft: Draft, record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "handover": draft.subject, "version": draft.detail["version"], "as": "receiver",
        "confirmed_at": draft.detail["confirmed_at"],
        "giver": record["giver"]["name"], "receiver": record["receiver"]["name"],
        "on_behalf_of": record["on_behalf_of"]["name"] if record["on_behalf_of"] else None,
        "record": draft.detail["record"], "page": draft.detail["page"],
    }  # fmt: skip


def _gave(actor: Actor, handover: Row[Any]) -> bool:
    """Whether it is signed, and its giver, who has not signed it yet, is acting."""
    signed = handovers.signing(handover)
    mine = actor.person is not None and handover.state == "signed" and signed["giver"] == actor.person.id
    return mine and "countersigned" not in signed


def _countersign(station: Station, handover: Row[Any], actor: Actor, mine: Mapping[str, Any], now: datetime) -> Draft:
    """Who handed over signs what the receiver has signed, as it lies in the vault."""
    if problem := no_signature(actor):
        raise _may_not(problem, handover.docking)
    signed = handovers.signing(handover)
    record = json.loads(_untouched(station.vault.get(signed["record"]["key"]), signed["record"]))
    return sign.countersign(
        station.vault, signed, record, mine, actor.login, now,
        lambda told, sha256, key: _drawn(station.config, told, sha256, key, now),
    )  # fmt: skip


def _given(draft: Draft, actor: Actor) -> dict[str, Any]:
    signed, name = draft.detail["countersigned"], actor.person.name if actor.person else ""
    return {
        "handover": draft.subject, "version": draft.detail["version"], "as": "giver", "confirmed_at": signed["at"],
        "giver": name, "receiver": None, "on_behalf_of": None, "record": signed["record"], "page": signed["page"],
    }  # fmt: skip


def _ready(
    facts: Facts, handover: Row[Any], actor: Actor, giver: str, on_behalf_of: str, why: str | None
) -> dict[str, Any]:
    """The record of a hand-over that may be signed. Raises Refused with the reason if it may not."""
    name = handover.docking
    if handover.state == "nothing":
        raise Refused(f"{name} brought no new files", code="nothing-to-sign", hint="there is nothing to sign")
    if why is None and handover.state == "signed":
        raise Refused(f"{name} is signed", code="signed-already", hint="`mediad handover correct` supersedes it")
    if why is not None and handover.state != "signed":
        raise Refused(f"{name} is not signed", code="not-signed", hint="`mediad handover sign` does it")
    parts = handovers.dockings(facts.conn, handover.docking)
    rulings = facts.rulings([p.id for p in parts])
    gives, carries = _parties(facts, handover, facts.giver(handover, parts, rulings), giver, on_behalf_of)
    _may_receive(actor, facts, name, [p.id for p in (gives, carries) if p])
    parties = Parties(facts.party(gives), facts.party(carries), facts.party(actor.person))
    return facts.record(handover, parties, rulings, at=facts.now, why=why or "")


def _may_receive(actor: Actor, facts: Facts, name: str, parties: Sequence[str]) -> None:
    receivers = {p.id for p in facts.receivers()}
    if problem := rules_of_signing.receiving_refusal(actor, receivers, parties):
        raise _may_not(problem, name)


def _may_not(problem: Problem, name: str) -> Refused:
    told = f"{name}: {problem.detail}" if name else problem.detail
    hint = "the receiver signs first, then who hands over, each under an account of their own"
    return Refused(told, code=problem.code, hint=hint)


def _parties(
    facts: Facts, handover: Row[Any], known: str, giver: str, on_behalf_of: str
) -> tuple[Person, Person | None]:
    """Who hands over, and on whose behalf if it is not the carrier."""
    signed = handovers.signing(handover) if handover.state == "signed" else {}
    if not giver and signed:
        gave = facts.by_id(signed["giver"])
        if gave is not None:
            return gave, facts.by_id(signed["on_behalf_of"])
    carrier = facts.person(on_behalf_of) if on_behalf_of else facts.by_id(known)
    gives = facts.person(giver) if giver else carrier
    if gives is None:
        raise Refused(
            f"nobody knows who hands over {handover.docking}", code="giver-unknown",
            hint=f"`mediad handover giver {handover.docking} --officer NUMBER`",
        )  # fmt: skip
    return gives, carrier if carrier is not None and carrier.id != gives.id else None


def sign_before(config: Config, before: datetime) -> tuple[list[dict[str, Any]], list[Left], int]:
    """Sign all that waits since before a time. What cannot be signed is told with its reason, and keeps nothing else back; returns
    what was signed, what was not, and how many were left for another time."""
    ledger = open_ledger(config)
    try:
        with ledger.catalog.read() as conn:
            _may_receive(acting(ledger), Facts(conn, config, ledger.clock()), "", ())
            listed = [h.docking for h in waiting(conn, config, stamp(before))]
    finally:
        ledger.catalog.close()
    left: list[Left] = []
    signed = _sign(config, listed, "", "", None, left) if listed else []
    return signed, left, len(listed) - len(signed) - len(left)


def waiting(conn: Connection, config: Config, before: str = "~") -> list[Row[Any]]:
    """What waits for a signature since before a time, the oldest first; without what was over before the station asked for any."""
    asked = rules_of(conn, config).spans.signed_from
    return handovers.waiting(conn, stamp(asked) if asked else "", before)
