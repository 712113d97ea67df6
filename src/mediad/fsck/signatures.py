"""Approvals, verified once more: each signature in the custody log against the key that was in force when it was given.

Nothing of what signs is used. The statement is written in words of its own, and a signature is not parsed: all of it but its last
64 bytes follows from key and statement, so the auditor writes what must stand there and compares.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mediad.model.evidence import Finding

_NAMES = {"reviewer": "reviewer 审核人", "approver": "approver 批准人"}
_RAW = 64


@dataclass
class _Key:
    person: str
    public: bytes
    until: datetime | None
    withdrawn: bool = False

    def in_force(self, at: datetime) -> bool:
        return not self.withdrawn and (self.until is None or at < self.until)


@dataclass
class _Proposed:
    """An event that is signed: what the statement says of it, and what is to come of it."""

    event: Any
    what: str
    parts: frozenset[str]
    """Who has a part in it: persons, and accounts of whoever entered something of it."""
    handler: str = ""
    wants: frozenset[str] = frozenset()
    effect: list[Mapping[str, Any]] = field(default_factory=list)
    signed: dict[str, str] = field(default_factory=dict)

    def statement(self, role: str) -> bytes:
        e = self.event
        full = hashlib.sha256(e.detail.encode("utf-8")).hexdigest()
        return _lines(
            "签署声明 statement mediad-approval/1", "采集站 station: " + e.station, "事项 act: " + e.subject,
            "内容 what: " + self.what, "身份 as: " + _NAMES[role], f"记录 event: {e.seq} {e.hash}", "全文摘要 sha256: " + full,
        )  # fmt: skip


class _Wrong(Exception):
    """What is wrong with an event, with its code."""

    def __init__(self, detail: str, code: str = "signature-wrong") -> None:
        super().__init__(detail)
        self.code = code


@dataclass
class Approvals:
    """Walks the log from its beginning. As long as no key was registered, nobody could sign with one: what was approved until
    then is as the accounts of people gave it, and is no finding."""

    findings: list[Finding] = field(default_factory=list)
    verified: int = 0
    """How many signatures hold."""
    _keys: dict[str, _Key] = field(default_factory=dict)
    _signers: set[str] = field(default_factory=set)
    _approvers: set[str] = field(default_factory=set)
    _logins: dict[str, frozenset[str]] = field(default_factory=dict)
    _proposed: dict[str, _Proposed] = field(default_factory=dict)
    _due: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    """What the events that follow must be, since the last signature was given."""
    _untold: str = ""
    """A key with which one began anew: the alarm of it follows."""

    def note(self, row: Any, detail: Any) -> None:
        """One event, of which it is known that it is as it was recorded."""
        if isinstance(detail, dict):
            try:
                by_act = self._follows(row, detail)
                if rule := _RULES.get(row.kind):
                    rule(self, row, detail, by_act)
            except _Wrong as e:
                self.findings.append(Finding(e.code, row.subject, f"event {row.seq}: {e}"))
            except (KeyError, TypeError, ValueError, AttributeError) as e:
                self.findings.append(
                    Finding("signature-wrong", row.subject, f"event {row.seq} cannot be understood: {type(e).__name__}")
                )

    def _follows(self, row: Any, detail: dict[str, Any]) -> bool:
        """Whether this event is what people have signed for. Raises _Wrong if they have signed for another one, or for none."""
        key, self._untold = self._untold, ""
        if key and (row.kind, row.subject, detail.get("code")) != ("alarm.raised", key, "keys-anew"):
            self.findings.append(
                Finding("signature-missing", key, "no approver has signed for it, and no alarm tells that")
            )
        claims = row.kind[:4] != "act." and "signed" in detail
        if self._due:
            wanted, self._due = self._due[0], self._due[1:]
            if wanted != (row.kind, row.subject, detail):
                self._due = []
                raise _Wrong(f"not this was signed for, but {wanted[0]} of {wanted[1]}")
            return True
        if claims and self._keys:
            raise _Wrong("it names signatures, but nobody has signed for it", "signature-missing")
        return False

    # --- people and keys ----------------------------------------------------------------------------------------------

    def _person(self, row: Any, detail: dict[str, Any], _by_act: bool) -> None:
        roles = set(detail["roles"]) if detail["active"] and not detail.get("shared") else set()
        for able, known in ((roles - {"auditor"}, self._signers), (roles & {"approver"}, self._approvers)):
            (known.add if able else known.discard)(row.subject)
        self._logins[row.subject] = frozenset(detail.get("logins", ()))

    def _registered(self, row: Any, detail: dict[str, Any], by_act: bool) -> None:
        at = datetime.fromisoformat(row.at)
        if row.subject in self._keys:
            raise _Wrong("this key was registered before")
        known = list(self._keys.values())
        able = [k for k in known if k.in_force(at) and k.person in self._approvers]
        kind, _, text = detail["public"].partition(" ")
        public, person = base64.b64decode(text, validate=True), detail["person"]
        head = _text(b"ssh-ed25519")
        printed = "SHA256:" + base64.b64encode(hashlib.sha256(public).digest()).decode().rstrip("=")
        until = None if detail["until"] is None else datetime.fromisoformat(detail["until"])
        # It is in force, right or wrong: what was signed with it is another matter than how it was registered.
        self._keys[row.subject] = _Key(person, public[len(head) + 4 :], until)
        if any(k.public == self._keys[row.subject].public for k in known):
            raise _Wrong("this key was registered before")
        if kind != "ssh-ed25519" or public[: len(head)] != head or len(public) != len(head) + 36:
            raise _Wrong("it holds no Ed25519 key")
        if printed != detail["fingerprint"]:
            raise _Wrong(f"the fingerprint of its key is {printed}")
        self._verify(row.subject, detail["proof"], _lines(
            "公钥声明 statement mediad-key/1", "采集站 station: " + row.station, "人员 person: " + person, "公钥 key: " + printed,
        ))  # fmt: skip
        if able and not (by_act and "approver" in detail["signed"]):
            raise _Wrong("no approver has signed for this key, though one could", "signature-missing")
        if detail["by"] in ("", person):
            raise _Wrong("nobody but its person has entered it")
        self._untold = row.subject if known and not able else ""

    def _withdrawn(self, row: Any, _detail: dict[str, Any], _by_act: bool) -> None:
        self._keys[row.subject].withdrawn = True

    # --- acts and trips -----------------------------------------------------------------------------------------------

    def _propose(self, row: Any, detail: dict[str, Any], _by_act: bool) -> None:
        parts = frozenset((detail["handler"], detail["login"]))
        self._proposed[row.subject] = _Proposed(
            row, detail["what"], parts, detail["handler"], frozenset(detail["wants"]), detail["effect"]
        )

    def _sign(self, row: Any, detail: dict[str, Any], _by_act: bool) -> None:
        act = self._proposed[row.subject]
        new = {role: who for role, who in detail["signed"].items() if act.signed.get(role) != who}
        act.signed = dict(detail["signed"])
        if detail["state"] == "done":
            del self._proposed[row.subject]
            signed = {"handler": act.handler, **detail["signed"]}
            self._due = [(e["kind"], e["subject"], {**e["detail"], "signed": signed}) for e in act.effect]
            if lacking := act.wants - set(signed):
                raise _Wrong(f"it has effect without its {', '.join(sorted(lacking))}", "signature-missing")
        if self._keys and len(set(act.signed.values())) < len(act.signed):
            raise _Wrong("one person has signed in two roles")
        for role, who in new.items() if self._keys else ():
            self._approved(row, act, role, who, detail.get("signatures", {}).get(role))

    def _refuse(self, row: Any, _detail: dict[str, Any], _by_act: bool) -> None:
        self._proposed.pop(row.subject, None)

    def _trip(self, row: Any, detail: dict[str, Any], _by_act: bool) -> None:
        before = self._proposed.get(row.subject)
        who, parts = detail.get("approved_by"), frozenset(detail["persons"])
        signer = detail.get("signed", {}).get("approver", "")
        if not who and (not signer or signer in parts):  # whoever signed for the entry has approved it
            parts |= {detail.get("by", ""), "" if signer else row.actor}
            parts |= before.parts if before else frozenset()  # of it since it was approved last
        self._proposed[row.subject] = _Proposed(row, "backdate-trip", parts)
        if self._keys and who:
            if before is None:
                raise _Wrong("it was approved before it was entered")
            if _entered(detail) != _entered(json.loads(before.event.detail)):
                raise _Wrong("it is not what was approved")
            self._approved(row, before, "approver", who, detail.get("approval"))

    def _approved(self, row: Any, act: _Proposed, role: str, who: str, given: Any) -> None:
        """That a person has signed in a role. Raises _Wrong."""
        if not given:
            raise _Wrong(f"its {role} has given no signature", "signature-missing")
        key = self._keys.get(given["key"])
        if key is None or key.person != who:
            raise _Wrong(f"its {role} has no such key")
        if not key.in_force(datetime.fromisoformat(row.at)):
            raise _Wrong(f"the key of its {role} was not in force then")
        if act.parts & {who, row.actor, *self._logins.get(who, ())}:
            raise _Wrong(f"its {role} has a part in it")
        if who not in self._signers:
            raise _Wrong(f"its {role} could sign nothing then")
        if role == "approver" and who not in self._approvers:
            raise _Wrong("who approved was no approver then")
        self._verify(given["key"], given["signature"], act.statement(role))
        if row.actor not in self._logins[who]:
            raise _Wrong(f"it was not signed under an account of its {role}")

    def _verify(self, key_id: str, text: str, statement: bytes) -> None:
        """That a key has signed a statement. Raises _Wrong."""
        try:
            blob = base64.b64decode(text, validate=True)
        except binascii.Error:
            blob = b""
        public = self._keys[key_id].public
        for name in (b"sha512", b"sha256"):
            digest = _text(b"mediad") + _text(b"") + _text(name)
            around = b"SSHSIG\0\0\0\1" + _text(_text(b"ssh-ed25519") + _text(public)) + digest
            around += (len(_text(b"ssh-ed25519")) + 4 + _RAW).to_bytes(4) + _text(b"ssh-ed25519") + _RAW.to_bytes(4)
            if blob[:-_RAW] == around:
                whole = b"SSHSIG" + digest + _text(hashlib.new(name.decode(), statement).digest())
                try:
                    Ed25519PublicKey.from_public_bytes(public).verify(blob[-_RAW:], whole)
                except (InvalidSignature, ValueError):
                    continue
                self.verified += 1
                return
        raise _Wrong("its signature does not hold")


_RULES: Mapping[str, Callable[[Approvals, Any, dict[str, Any], bool], None]] = {
    "person.registered": Approvals._person,
    "key.registered": Approvals._registered,
    "key.withdrawn": Approvals._withdrawn,
    "act.proposed": Approvals._propose,
    "act.signed": Approvals._sign,
    "act.refused": Approvals._refuse,
    "trip.registered": Approvals._trip,
}


def _entered(trip: Mapping[str, Any]) -> dict[str, Any]:
    """What a trip is, without who said so."""
    return {name: value for name, value in trip.items() if name not in ("by", "signed", "approved_by", "approval")}


def _lines(*lines: str) -> bytes:
    return ("\n".join(lines) + "\n").encode("utf-8")


def _text(value: bytes) -> bytes:
    return len(value).to_bytes(4) + value
