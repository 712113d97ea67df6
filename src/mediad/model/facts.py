"""Facts that more than one stage states, in one wording: what a source claimed, what could not be taken, what is gone."""

import base64
from collections.abc import Mapping
from typing import Any

from mediad.model.custody import Draft
from mediad.model.evidence import Docking, SourceFile
from mediad.model.layout import printable

Fields = dict[str, Any]


def b64(raw: bytes) -> str:
    """Bytes as they stand in events and records."""
    return base64.b64encode(raw).decode("ascii")


def claim(file: SourceFile) -> Fields:
    """What a listing says of a file: where, how large, and the times that its file system gave (nanoseconds)."""
    return {
        "volume": file.volume, "path": printable(file.path), "path_b64": b64(file.path),
        "size": file.size, "mtime_ns": file.mtime_ns, "birth_ns": file.birth_ns,
    }  # fmt: skip


def seen(docking: Docking, file: SourceFile) -> Fields:
    """What a docking claims of a file whose bytes were read: enough to know it again without reading."""
    return {
        **claim(file), "docking": docking.id, "source": docking.source.key, "device": file.device, "inode": file.inode,
    }  # fmt: skip


SEEN = ("volume", "path", "path_b64", "size", "mtime_ns", "birth_ns", "docking", "source", "device", "inode")


def sighted(asset: str, told: Mapping[str, Any]) -> Draft:
    """Known bytes were seen; ``told`` holds at least what ``seen`` says."""
    return Draft("asset.sighted", asset, {k: told[k] for k in SEEN})


def failed(docking_id: str, told: Mapping[str, Any], why: str) -> Draft:
    """A file could not be taken; ``told`` is its claim."""
    return Draft("file.failed", docking_id, {k: told[k] for k in ("volume", "path", "path_b64", "size")} | {"why": why})


def lost(vault: str, asset: str, key: str, sha256: str, why: str) -> list[Draft]:
    """An original that a vault was believed to hold is not there as it should be: the replica no longer counts, and a person
    must know."""
    detail = f"{key} in vault {vault}: {why}"
    return [
        Draft("replica.lost", asset, {"vault": vault, "key": key, "why": why}),
        Draft("alarm.raised", asset, {"code": "original-lost", "detail": detail, "key": key, "sha256": sha256}),
    ]


def keys_anew(key: str, name: str) -> Draft:
    """No approver has a key in force any more, though there were keys: one begins anew with a key for which nobody has signed."""
    return Draft(
        "alarm.raised", key, {"code": "keys-anew", "detail": f"a key of {name}, for which no approver could sign"}
    )


def absent(found: int | None) -> str:
    """Why an original counts as lost: nothing of the vault's own is at its key, or a file of another size."""
    return "it is not there" if found is None else f"{found} bytes are there"


def unlike(vault_key: str, asset: str, told: Mapping[str, Any], sha256: str, why: str, then: str) -> list[Draft]:
    """Bytes did not come back from the medium as they went in: the file failed, and a person must know. ``then`` says what
    became of the bytes."""
    detail = {"code": "verify-mismatch", "detail": f"{why}{then}", "key": vault_key, "sha256": sha256}
    return [failed(told["docking"], told, f"not verified: {why}"), Draft("alarm.raised", asset, detail)]
