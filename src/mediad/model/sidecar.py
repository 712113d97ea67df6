"""The sidecar of a batch, as it is read from a vault: parsed once, every field checked, or refused with a reason.

Whoever can write into a vault can plant one; nothing that it says may lead out of its own folder, or break who reads it.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from mediad.model.custody import canonical
from mediad.model.evidence import Kind
from mediad.model.ids import asset_id, recording_id
from mediad.model.layout import SIDECAR, check_key

_DOCKING = re.compile(r"dck-[a-z0-9-]+")
_HEX_DIGEST = re.compile(r"[0-9a-f]{64}")


def read(data: bytes, folder: str, station: str) -> Mapping[str, Any] | None:
    """The sidecar of the batch in ``folder``; None if it is another station's. Raises ValueError with a reason for people."""
    try:
        body = json.loads(data)
        canonical(body).encode("utf-8")  # no NaN and no half of a surrogate pair, wherever it stands
    except (ValueError, RecursionError) as e:
        raise ValueError("it is no JSON") from e
    if not isinstance(body, dict) or body.get("format") != "mediad-batch/1":
        raise ValueError("it is no mediad-batch/1 record")
    if isinstance(body.get("station"), str) and body["station"] != station:
        return None
    _check(body, _HEAD, "its head")
    if body["batch"] != folder.rpartition("/")[2]:
        raise ValueError("it is the record of another batch")
    _check(body["recorder"], {"key": _text, "label": _text}, "its recorder")
    for file in body["files"]:
        _file(file, folder, body["docking"])
    for unique in ("key", "sha256"):
        if len({file[unique] for file in body["files"]}) != len(body["files"]):
            raise ValueError("it names a file twice")
    return body


def _text(value: object) -> bool:
    return isinstance(value, str)


def _number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _size(value: object) -> bool:
    return _number(value) and value >= 0  # type: ignore[operator]


def _digest(value: object) -> bool:
    return isinstance(value, str) and _HEX_DIGEST.fullmatch(value) is not None


def _base64(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(base64.b64decode(value, validate=True))
    except ValueError:
        return False


def _time(value: object) -> bool:
    """RFC 3339 in UTC, just as events hold it: such texts sort by time."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
        told = at and at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError):
        return False
    return told == value and at is not None and at.tzinfo is not None


Checks = Mapping[str, Callable[[object], bool]]

_HEAD: Checks = {
    "station": _text,
    "batch": _text,
    "docking": lambda value: isinstance(value, str) and _DOCKING.fullmatch(value) is not None,
    "recorder": lambda value: isinstance(value, dict),
    "files": lambda value: isinstance(value, list) and all(isinstance(file, dict) for file in value),
}
_FILE: Checks = {
    "key": _text, "asset": _text, "docking": _text, "source": _text, "volume": _text, "path": _text, "recording": _text,
    "label": _text, "officer": _text, "channel": _text, "path_b64": _base64, "size": _size, "mtime_ns": _number,
    "sha256": _digest, "important": lambda value: isinstance(value, bool), "captured": lambda value: isinstance(value, dict),
    "kind": lambda value: isinstance(value, str) and value in {kind.value for kind in Kind},
}  # fmt: skip
_MAYBE: Checks = {
    "birth_ns": lambda value: value is None or _number(value), "device": _number, "inode": _number, "sm3": _digest,
    "version": lambda value: value is None or _text(value),
}  # fmt: skip
_CAPTURED: Checks = {"value": _time, "source": _text, "confidence": _text}


def _check(values: Mapping[str, Any], checks: Checks, whose: str) -> None:
    for name, good in checks.items():
        if name not in values or not good(values[name]):
            raise ValueError(f"{whose} has no {name} that could be right")


def _file(file: Mapping[str, Any], folder: str, docking: str) -> None:
    _check(file, _FILE, "a file of it")
    _check(file, {name: good for name, good in _MAYBE.items() if name in file}, "a file of it")
    _check(file["captured"], _CAPTURED, "a file of it")
    name = file["key"].removeprefix(f"{folder}/")
    if f"{folder}/{name}" != file["key"] or "/" in name or name == SIDECAR:
        raise ValueError("it names a file outside its own folder")
    check_key(file["key"])
    digest = bytes.fromhex(file["sha256"])
    if file["asset"] != asset_id(digest) or file["recording"] != recording_id(digest) or file["docking"] != docking:
        raise ValueError("the names in it contradict each other")
