"""What is signed, and whose keys count: approvals are signed with a person's own Ed25519 key (OpenSSH), under a statement.

A statement is a few lines that anybody can read, the same bytes whenever and wherever they are written. It names the event that
was proposed by its hash: with it goes everything that the event says, and all that stood before it in the custody log.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from mediad.model.acts import Signature
from mediad.model.custody import Event
from mediad.model.ids import Digest, named_id

NAMESPACE: Final = "mediad"
"""``ssh-keygen -Y sign -n``: a signature for another purpose is none for this one."""

ROLES: Final[Mapping[Signature, str]] = {"reviewer": "审核人", "approver": "批准人"}


@dataclass(frozen=True, slots=True)
class Key:
    """A person's public key. ``fingerprint`` as OpenSSH writes it. Withdrawn is withdrawn for ever, whatever a clock says."""

    id: str
    person: str
    fingerprint: str
    since: datetime
    until: datetime | None
    withdrawn: bool
    detail: Mapping[str, Any]

    def in_force(self, at: datetime) -> bool:
        return not self.withdrawn and self.since <= at and (self.until is None or at < self.until)

    @property
    def registered_by(self) -> str:
        """Who entered it."""
        return str(self.detail.get("registered_by", self.detail["by"]))

    @property
    def approved_by(self) -> str:
        """Who signed for it; empty while nobody could."""
        return str(self.detail.get("approved_by", self.detail.get("signed", {}).get("approver", "")))

    def gone(self, why: str) -> dict[str, Any]:
        """The key as it is when it is withdrawn."""
        kept = {n: self.detail[n] for n in ("person", "public", "fingerprint", "until", "proof")}
        return {**kept, "registered_by": self.registered_by, "approved_by": self.approved_by, "why": why}


def key_id(fingerprint: str) -> str:
    """What a key is called: made of the key, so that one that was registered once is known for ever."""
    return named_id("key", "ed25519", fingerprint)


def approval_statement(proposed: Event, what: str, as_: Signature) -> bytes:
    """What a reviewer or an approver signs: that what ``proposed`` says is to be."""
    return _lines(
        "签署声明 statement mediad-approval/1",
        f"采集站 station: {proposed.station}",
        f"事项 act: {proposed.subject}",
        f"内容 what: {what}",
        f"身份 as: {as_} {ROLES[as_]}",
        f"记录 event: {proposed.seq} {proposed.hash}",
        f"全文摘要 sha256: {Digest.sha256(proposed.detail.encode('utf-8')).hex}",
    )


def key_statement(station: str, person: str, fingerprint: str) -> bytes:
    """What a person signs with a new key, to show that they have it and that it is to be theirs."""
    return _lines(
        "公钥声明 statement mediad-key/1",
        f"采集站 station: {station}",
        f"人员 person: {person}",
        f"公钥 key: {fingerprint}",
    )


def _lines(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8")
