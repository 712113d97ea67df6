"""What a writing command of the bureau does: who acts, may they, do others have to sign; and then the facts, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from mediad.catalog import acts as memory
from mediad.catalog import bureau
from mediad.config import Config
from mediad.edges import files
from mediad.errors import NotFound, Refused
from mediad.model import people, registers
from mediad.model.acts import Act, Actor, Signature, refusal, refusing_refusal, signing_refusal
from mediad.model.custody import Draft
from mediad.wiring.bureau import typed
from mediad.wiring.bureau.signing import approval, proposed
from mediad.wiring.station import OPEN_SECONDS, Station, new_id

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mediad.catalog.ledger import Ledger

T = TypeVar("T")
Make = Callable[["Ledger", Actor], Sequence[Draft]]

LONGEST_REASON = 2_000

MERELY_TOLD = frozenset({"table.imported"})
"""What changes nothing by itself, and so waits for no signature: that something was looked at. It is told at once, and of what
waits once more with the last signature."""

REGISTER_LOCK = "register.lock"
"""Held by a command that names or registers something, from its look at what is there until that is recorded."""


@dataclass(frozen=True)
class Performed:
    """What came of it: the facts that were recorded, or the act that waits for signatures."""

    drafts: Sequence[Draft]
    actor: Actor
    waits: str = ""
    wants: tuple[Signature, ...] = ()

    def answer(self, done: str, **about: Any) -> dict[str, Any]:
        """What a command says of it: ``said`` in words (``done`` if it was), and in ``waits`` the act that waits, or None."""
        said = done if self.drafts else "不变 nothing has changed"
        if self.waits:
            said = f"待签 waits for {', '.join(self.wants)}: {self.waits}"
        return {**about, "said": said, "waits": self.waits or None}


def perform(config: Config, name: str, make: Make) -> Performed:
    """Do an act: ``make`` looks, and says which facts are to be. Where the unit wants signatures, they become facts with the last
    one. Raises Refused if the acting person may not."""
    return _at_station(config, lambda station: _perform(station.ledger, config, name, make))


def perform_at(config: Config, name: str, make: Callable[[Station, Actor], Sequence[Draft]]) -> Performed:
    """The same for an act that puts something into a vault as well, before its facts are recorded."""

    def work(station: Station) -> Performed:
        return _perform(station.ledger, config, name, lambda _, actor: make(station, actor))

    return _at_station(config, work)


def perform_for(station: Station, name: str, make: Make, source: str) -> Performed:
    """The same by the daemon itself, for a ``source`` that the configuration names: whoever wrote that has said that it may. What
    wants signatures waits for them as anybody's does."""
    from mediad.stages import mirror

    ledger = replace(station.ledger, actor=source)
    with _alone(station):
        performed = _settle(ledger, station.config.acts.act(name), Actor(source), make(ledger, Actor(source)))
    mirror.mirror(station.ledger, station.vault)
    return performed


def who_may(ledger: Ledger, config: Config, name: str) -> Actor:
    """Who is behind this process, if they may do an act. Raises Refused if not."""
    actor = acting(ledger)
    if problem := refusal(config.acts.act(name), actor, unmapped=config.acts.unmapped):
        hint = "ask somebody who may, or the storage administrator for the role"
        raise Refused(problem.detail, code=problem.code, hint=hint)
    return actor


def _perform(ledger: Ledger, config: Config, name: str, make: Make) -> Performed:
    actor = who_may(ledger, config, name)
    return _settle(ledger, config.acts.act(name), actor, make(ledger, actor))


def _settle(ledger: Ledger, act: Act, actor: Actor, made: Sequence[Draft]) -> Performed:
    """Record what is to be, or propose it."""
    drafts = [_by(draft, actor) for draft in made]
    if not drafts:
        return Performed((), actor)
    if not act.wants or all(draft.kind in MERELY_TOLD for draft in drafts):
        ledger.record(drafts)
        return Performed(drafts, actor)
    return _propose(ledger, act, actor, drafts)


def acting(ledger: Ledger) -> Actor:
    """Who is behind this process."""
    with ledger.catalog.read() as conn:
        return Actor(ledger.actor, bureau.person_at(conn, ledger.actor))


def _by(draft: Draft, actor: Actor) -> Draft:
    """A fact of a person says whose act it was; an account of nobody is flagged by an empty one."""
    return Draft(draft.kind, draft.subject, {**draft.detail, "by": actor.person.id if actor.person else ""})


def _propose(ledger: Ledger, act: Act, actor: Actor, drafts: Sequence[Draft]) -> Performed:
    act_id = new_id("act")
    told = [
        Draft(d.kind, d.subject, {**d.detail, "taken": False, "waits": act_id}) for d in drafts if d.kind in MERELY_TOLD
    ]
    with ledger.catalog.read() as conn:
        stands = {d.subject: memory.newest_event(conn, d.subject) for d in drafts if d.kind not in MERELY_TOLD}
    detail = {
        "what": act.name, "subject": drafts[0].subject, "login": actor.login, "handler": actor.person.id if actor.person else "",
        "wants": list(act.wants), "signed": {}, "state": "proposed", "stands": stands,
        "effect": [{"kind": d.kind, "subject": d.subject, "detail": d.detail} for d in drafts],
    }  # fmt: skip
    ledger.record([Draft("act.proposed", act_id, detail), *told])
    return Performed((), actor, act_id, act.wants)


def sign(config: Config, act_id: str, as_: Signature, signature: str) -> Performed:
    """Sign an act as its reviewer or approver: ``signature`` is one of its statement (``wiring.signing``), by the signer's own key.
    With the last signature its facts are recorded."""

    def work(station: Station) -> Performed:
        ledger = station.ledger
        detail = _open_act(ledger, act_id)
        act = Act(detail["what"], frozenset(), tuple(detail["wants"]))
        signer = acting(ledger)
        with ledger.catalog.read() as conn:
            handler = _handler(conn, detail)
            moved = [f"{s} has changed" for s, seq in detail["stands"].items() if memory.newest_event(conn, s) != seq]
            moved += _taken(conn, detail["effect"])
            event = proposed(conn, act_id)
        if problem := signing_refusal(act, as_, signer, handler, detail["signed"]):
            raise Refused(problem.detail, code=problem.code, hint="`mediad acts` shows who has to sign")
        if moved:
            raise Refused(f"{moved[0]} since this was proposed", hint=f"refuse {act_id}, and propose it anew")
        given = {**detail.get("signatures", {}), as_: approval(ledger, signer, event, as_, signature)}
        signed = {**detail["signed"], as_: signer.person.id if signer.person else ""}
        last = all(wanted in signed for wanted in act.wants)
        told = {**detail, "signed": signed, "signatures": given, "state": "done" if last else "proposed"}
        effect = [
            Draft(e["kind"], e["subject"], {**e["detail"], "signed": {"handler": detail["handler"], **signed}})
            for e in detail["effect"]
        ]
        ledger.record([Draft("act.signed", act_id, told), *(effect if last else [])])
        left = tuple(wanted for wanted in act.wants if wanted not in signed)
        return Performed(effect if last else (), signer, "" if last else act_id, left)

    return _at_station(config, work)


def _taken(conn: Connection, effect: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What of an act has become somebody else's: an account, or a number of a person or a case."""
    entered = {
        e["subject"]: registers.person_of(e["subject"], e["detail"]) for e in effect if e["kind"] == "person.registered"
    }
    everybody = {p.id: p for p in bureau.people(conn)} | entered if entered else {}
    for person in entered.values():
        yield from (problem.detail for problem in people.problems(person, everybody.values()))
    for e in effect:
        for n in e["detail"]["numbers"] if e["kind"] == "case.registered" else ():
            other = bureau.case_by_number(conn, n["number"])
            if other is not None and other.id != e["subject"]:
                yield f"{n['number']} has become a number of {other.name}"


def refuse(config: Config, act_id: str, why: str) -> None:
    """An act has no effect, and never will have: by its handler, or by whoever could sign it."""
    why = typed.text(why, "a reason", LONGEST_REASON)

    def work(station: Station) -> None:
        ledger = station.ledger
        detail = _open_act(ledger, act_id)
        actor = acting(ledger)
        with ledger.catalog.read() as conn:
            handler = _handler(conn, detail)
        if problem := refusing_refusal(actor, handler):
            raise Refused(problem.detail, code=problem.code, hint="its handler refuses it, or who could sign it")
        told = {
            **detail,
            "state": "refused",
            "why": why,
            "refused_by": actor.person.id if actor.person else "",
            "login_of": actor.login,
        }
        ledger.record([Draft("act.refused", act_id, told)])

    _at_station(config, work)


def _handler(conn: Connection, detail: Mapping[str, Any]) -> Actor:
    """Who proposed an act; also whoever has got the account since then, if it was nobody's."""
    login = detail["login"]
    return Actor(login, bureau.person(conn, detail["handler"]) or bureau.person_at(conn, login))


def _open_act(ledger: Ledger, act_id: str) -> Mapping[str, Any]:
    with ledger.catalog.read() as conn:
        detail = memory.act(conn, act_id)
    if detail is None:
        raise NotFound(f"{act_id} is no act", hint="`mediad acts` lists those that wait")
    if detail["state"] != "proposed":
        raise Refused(f"{act_id} is {detail['state']} already", hint="`mediad acts --all` shows what became of it")
    return detail


def _at_station(config: Config, work: Callable[[Station], T]) -> T:
    """One command at a time, mirrored before it returns (invariant 9); first what a killed one recorded, since the same command
    once more may be refused for that."""
    from mediad.stages import mirror

    station = Station(config, wait_for_space=False)
    try:
        mirror.mirror(station.ledger, station.vault)
        with _alone(station):
            result = work(station)
        mirror.mirror(station.ledger, station.vault)
        return result
    finally:
        station.close()


def _alone(station: Station) -> AbstractContextManager[None]:
    busy = "another command is registering something, and takes long"
    return files.locked(station.locks / REGISTER_LOCK, busy=busy, wait_seconds=OPEN_SECONDS)
