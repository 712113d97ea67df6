"""The auditor of signatures alone: what it makes of a log, event by event, that no command would have written."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from mediad.edges.sshsig import verified
from mediad.fsck.signatures import Approvals
from mediad.model.custody import Event
from mediad.model.signing import approval_statement, key_statement
from tests.signing_support import Pen

TRIP = {"persons": [], "recorders": [], "left": "2026-09-01", "returned": None, "reason": "", "void": False}


@dataclass
class Log:
    """A log of a station; people are called as their accounts."""

    auditor: Approvals = field(default_factory=Approvals)
    events: list[Any] = field(default_factory=list)

    def add(self, kind: str, subject: str, detail: Any, *, actor: str = "root", hour: int = 0) -> Any:
        row = SimpleNamespace(
            seq=len(self.events) + 1, at=f"2026-09-02T{hour:02}:00:00.000000Z", station="s", actor=actor, kind=kind,
            subject=subject, detail=json.dumps(detail), prev="", hash=f"h{len(self.events)}",
        )  # fmt: skip
        self.events.append(row)
        self.auditor.note(row, detail)
        return row

    @property
    def found(self) -> list[str]:
        return [finding.detail.partition(": ")[2] or finding.detail for finding in self.auditor.findings]

    def person(self, who: str, *roles: str, **more: Any) -> None:
        self.add("person.registered", who, {"active": True, "roles": list(roles), "logins": [who], **more})

    def key(
        self, who: str, *, pen: str = "", subject: str = "", by: str = "zhou", proof: str = "", **more: Any
    ) -> None:
        mine = Pen(pen or who)
        statement = key_statement("s", who, mine.fingerprint)
        signature = verified(Pen(proof or mine.name).signature(statement), statement).signature
        told = {"person": who, "public": mine.public.rsplit(" ", 1)[0], "fingerprint": mine.fingerprint, "until": None}
        self.add("key.registered", subject or f"key-{mine.name}", {**told, "proof": signature, "by": by, **more})

    def act(self, *wants: str, handler: str = "li", login: str = "li", effect: Any = ()) -> Any:
        detail = {"what": "tag", "handler": handler, "login": login, "wants": list(wants), "effect": list(effect)}
        return self.add("act.proposed", "act-1", detail)

    def given(self, event: Any, what: str, as_: Any, who: str, blob: Callable[[bytes], str] | None = None) -> Any:
        of = Event(event.seq, event.at, "s", event.actor, event.kind, event.subject, event.detail, "", event.hash)
        statement = approval_statement(of, what, as_)
        signature = blob(statement) if blob else Pen(who).signature(statement)
        return {"key": f"key-{who}", "signature": "".join(signature.splitlines()[1:-1])}

    def sign(self, event: Any, state: str = "done", *, hour: int = 0, actor: str = "", **by: str) -> None:
        given = {role: self.given(event, "tag", role, who) for role, who in by.items()}
        told = {"signed": by, "signatures": given, "state": state}
        self.add("act.signed", "act-1", told, actor=actor or list(by.values())[-1], hour=hour)

    def trip(self, actor: str, **more: Any) -> Any:
        return self.add("trip.registered", "trp-1", {**TRIP, "by": actor, **more}, actor=actor)

    def approve(self, event: Any, who: str, **more: Any) -> Any:
        given = self.given(event, "backdate-trip", "approver", who)
        return self.trip(who, **more, approved_by=who, approval=given)


@pytest.fixture
def log() -> Log:
    """Wang and Zhao approve, Li is an officer, Chen only looks; Zhou enters keys."""
    made = Log()
    for who, role in (("wang", "approver"), ("zhao", "approver"), ("li", "officer"), ("chen", "auditor")):
        made.person(who, role)
    return made


@pytest.fixture
def keyed(log: Log) -> Log:
    log.key("wang")
    return log


def with_key(log: Log, who: str) -> None:
    """As an act that Wang has signed for: what the auditor says of the key is another matter."""
    before = len(log.auditor.findings)
    log.key(who)
    del log.auditor.findings[before:]


def test_what_is_in_order_is_no_finding(keyed: Log) -> None:
    with_key(keyed, "li")
    event = keyed.act("reviewer", "approver", handler="zhou", login="zhou")
    keyed.sign(event, "proposed", reviewer="li")
    keyed.sign(event, reviewer="li", approver="wang")
    keyed.approve(keyed.trip("li"), "wang")
    assert (keyed.found, keyed.auditor.verified) == ([], 5)


def test_before_there_are_keys_nothing_wants_one(log: Log) -> None:
    log.add("department.registered", "dep-1", {"signed": {"handler": "li"}})
    event = log.act("reviewer", "approver")
    log.add("act.signed", "act-1", {"signed": {"reviewer": "wang", "approver": "wang"}, "state": "done"})
    log.trip("li", approved_by="wang")
    assert (event.seq, log.found) == (6, [])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"fingerprint": "SHA256:x"}, f"the fingerprint of its key is {Pen('wang').fingerprint}"),
        ({"proof": "li"}, "its signature does not hold"),
        ({"public": "ssh-rsa " + Pen("wang").public.split()[1]}, "it holds no Ed25519 key"),
        ({"public": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE4" + Pen("wang").public.split()[1][20:]}, "it holds no Ed25519 key"),
        ({"public": Pen("wang").public.split(" ")[0] + " " + Pen("wang").public.split()[1] + "AAAA"}, "it holds no Ed25519 key"),
    ],
)  # fmt: skip
def test_a_key_is_held_against_its_fingerprint_and_its_proof(log: Log, more: dict[str, str], said: str) -> None:
    log.key("wang", **more)
    assert log.found == [said]


def test_a_key_is_registered_once_under_its_name_and_by_itself(keyed: Log) -> None:
    keyed.add("key.withdrawn", "key-wang", {})
    keyed.key("zhao", pen="other", subject="key-wang")
    keyed.key("zhao", pen="wang", subject="key-x")
    assert keyed.found == ["this key was registered before"] * 2


def test_only_an_approver_with_a_key_keeps_another_from_beginning_anew(keyed: Log) -> None:
    with_key(keyed, "li")
    keyed.add("key.withdrawn", "key-wang", {})
    keyed.key("zhao")
    keyed.add("alarm.raised", "key-zhao", {"code": "keys-anew"})
    assert keyed.found == []
    keyed.key("wang", pen="next")
    assert keyed.found == ["no approver has signed for this key, though one could"]


def test_a_key_wants_an_approver_whatever_act_it_came_by(keyed: Log) -> None:
    with_key(keyed, "li")
    mine = Pen("zhao")
    statement = key_statement("s", "zhao", mine.fingerprint)
    told = {
        "person": "zhao", "public": mine.public.rsplit(" ", 1)[0], "fingerprint": mine.fingerprint, "until": None,
        "proof": verified(mine.signature(statement), statement).signature, "by": "zhou",
    }  # fmt: skip
    event = keyed.act(
        "reviewer", handler="zhou", effect=[{"kind": "key.registered", "subject": "key-z", "detail": told}]
    )
    keyed.sign(event, reviewer="wang")
    keyed.add("key.registered", "key-z", {**told, "signed": {"handler": "zhou", "reviewer": "wang"}})
    assert keyed.found == ["no approver has signed for this key, though one could"]


@pytest.mark.parametrize(
    ("roles", "more", "said"),
    [
        (["approver"], {}, []),
        (["officer"], {}, []),
        (["approver"], {"shared": True}, ["its reviewer could sign nothing then"]),
        (["approver"], {"active": False}, ["its reviewer could sign nothing then"]),
        (["auditor"], {}, ["its reviewer could sign nothing then"]),
        ([], {}, ["its reviewer could sign nothing then"]),
    ],
)
def test_who_reviews_is_a_person_of_their_own_who_does_not_only_look(
    keyed: Log, roles: list[str], more: dict[str, Any], said: list[str]
) -> None:
    with_key(keyed, "zhao")
    keyed.person("zhao", *roles, **more)
    keyed.sign(keyed.act("reviewer"), reviewer="zhao")
    assert keyed.found == said


@pytest.mark.parametrize(("handler", "login"), [("wang", "other"), ("", "wang")])
def test_who_handles_an_act_approves_it_under_no_account(keyed: Log, handler: str, login: str) -> None:
    keyed.sign(keyed.act("approver", handler=handler, login=login), approver="wang")
    assert keyed.found == ["its approver has a part in it"]


def test_what_was_refused_is_signed_no_more(keyed: Log) -> None:
    event = keyed.act("approver")
    keyed.add("act.refused", "act-1", {})
    keyed.sign(event, approver="wang")
    assert [finding.code for finding in keyed.auditor.findings] == ["signature-wrong"]


@pytest.mark.parametrize(("hour", "said"), [(9, []), (10, ["the key of its approver was not in force then"])])
def test_a_key_that_ends_at_ten_is_in_force_until_then(log: Log, hour: int, said: list[str]) -> None:
    log.key("wang", until="2026-09-02T10:00:00.000000+00:00")
    log.sign(log.act("approver"), approver="wang", hour=hour)
    assert log.found == said


def test_both_hashes_hold_and_nothing_but_what_stands_around_them(keyed: Log) -> None:
    wang = Pen("wang")
    for blob, said in (
        (lambda m: wang.signature(m, digest=b"sha256"), []),
        (lambda m: wang.signature(m, version=2), ["its signature does not hold"]),
        (lambda m: wang.signature(m, namespace=b"file"), ["its signature does not hold"]),
    ):
        event = keyed.act("approver")
        given = {"approver": keyed.given(event, "tag", "approver", "wang", blob)}
        keyed.add(
            "act.signed", "act-1", {"signed": {"approver": "wang"}, "signatures": given, "state": "done"}, actor="wang"
        )
        assert [keyed.auditor.findings.pop().detail.partition(": ")[2] for _ in keyed.found] == said


# --- trips --------------------------------------------------------------------------------------------------------------


def test_a_trip_is_entered_before_it_is_approved(keyed: Log) -> None:
    keyed.approve(keyed.events[-1], "wang")
    assert keyed.found == ["it was approved before it was entered"]


def test_who_entered_a_part_of_a_trip_does_not_approve_it_nor_by_an_account_of_nobody(keyed: Log) -> None:
    keyed.approve(keyed.trip("wang", by=""), "wang")
    assert keyed.found == ["its approver has a part in it"]


def signed_for(log: Log, by: str, signer: str, *, last: str = "", **more: Any) -> Any:
    """A trip that was entered by an act, which wants an approver; it is recorded by whoever signs ``last``."""
    effect = {"kind": "trip.registered", "subject": "trp-1", "detail": {**TRIP, "by": by, **more}}
    event = log.act("approver", handler=by, login=by, effect=[effect])
    log.sign(event, approver=signer)
    signed = {"handler": by, "approver": signer}
    return log.add("trip.registered", "trp-1", {**effect["detail"], "signed": signed}, actor=last or signer)


def test_who_signed_for_a_trip_has_approved_it_unless_they_went_on_it(keyed: Log) -> None:
    """So whoever entered it may approve what another changes later; else not."""
    with_key(keyed, "zhao")
    signed_for(keyed, "zhao", "wang")
    keyed.approve(keyed.trip("li", reason="x"), "zhao", reason="x")
    assert keyed.found == []
    keyed.approve(signed_for(keyed, "li", "wang", last="zhao", persons=["wang"]), "zhao", persons=["wang"])
    assert keyed.found == [], "who signed last has not entered it"
    signed_for(keyed, "zhao", "wang", persons=["wang"])
    keyed.approve(keyed.trip("li", persons=[]), "zhao")
    assert keyed.found == ["its approver has a part in it"]
