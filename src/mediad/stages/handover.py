"""Hand over: close a docking with its record (交接记录) in the vault.

The record is made of what the catalogue holds, so that a docking that broke off gets the same record from whoever closes it.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row

from mediad.catalog import evidence, work
from mediad.catalog.ledger import Ledger
from mediad.errors import IntegrityError, KeyConflict
from mediad.model.custody import GENESIS, Draft, canonical
from mediad.model.evidence import Counts, DockingState, Finding, Outcome, from_ns
from mediad.model.ids import Digest
from mediad.model.instants import stamp
from mediad.model.layout import handover_key, printable

FORMAT = "mediad-handover/1"


class Vault(Protocol):
    @property
    def name(self) -> str: ...

    def put(self, key: str, data: bytes) -> bool: ...

    def get(self, key: str) -> bytes: ...


def close_docking(
    ledger: Ledger,
    vault: Vault,
    docking_id: str,
    state: DockingState,
    findings: Sequence[Finding] = (),
    *,
    unit: str,
    zone: ZoneInfo,
    unlisted: int = 0,
) -> tuple[dict[str, Any], Counts]:
    """Write the hand-over record and close the docking; returns the record and its sums. Mirror the log before and after it.

    ``unlisted`` counts files that were known and are not named (folders looked at every few minutes). Durable when it returns.
    """
    with ledger.catalog.read() as conn:
        row = _open_docking(conn, docking_id)  # before anything is written: a record in the vault stays
        files = list(_files(conn, docking_id, vault.name))
        # Only what the mirror holds already: a catalogue that is lost and rebuilt must still know the event named here.
        seq, chain_hash = work.mirrored(conn, vault.name) or (0, GENESIS)
    counts = Counts(skipped=unlisted)
    for f in files:
        counts.add(Outcome(f["outcome"]), f["size"])
    if counts.failed and state is DockingState.COMPLETE:
        state = DockingState.INCOMPLETE
    ended = ledger.clock()
    body = {
        "format": FORMAT,
        "docking": docking_id,
        "unit": unit,
        "station": ledger.station,
        "state": state.value,
        "recorder": {"id": row.recorder_id, "key": row.recorder, "label": row.label, "registered": row.registered},
        "said": None if row.said is None else json.loads(row.said),
        "zones": json.loads(row.zones),
        "slot": row.slot,
        "source": row.source,
        "channel": row.channel,
        "profile": row.profile,
        "officer": row.officer,
        "actor": row.actor,
        "began_at": row.opened_at,
        "ended_at": stamp(ended),
        "continues": row.continues,
        "counts": vars_of(counts),
        "findings": [{"code": f.code, "subject": f.subject, "detail": f.detail} for f in findings],
        "chain": {"seq": seq, "hash": chain_hash},
        "files": files,
    }
    key = handover_key(datetime.fromisoformat(row.opened_at).astimezone(zone).date(), docking_id)
    body, data = _put(vault, key, body)
    detail = {
        "state": body["state"],
        "ended_at": body["ended_at"],
        "counts": body["counts"],
        "findings": body["findings"],
        "handover": {"vault": vault.name, "key": key, "sha256": Digest.sha256(data).hex},
    }
    ledger.record([Draft("docking.closed", docking_id, detail)], given=lambda conn: _open_docking(conn, docking_id))
    return body, counts


def _open_docking(conn: Connection, docking_id: str) -> Row[Any]:
    """A docking is closed once, and not while any of its bytes are on their way: its record would tell of them too early."""
    row = evidence.docking(conn, docking_id)
    if row is None:
        raise IntegrityError(f"docking {docking_id} is not in the catalogue", hint="run `mediad fsck`")
    if row.state != DockingState.OPEN:
        raise IntegrityError(f"docking {docking_id} is closed already", hint="run `mediad fsck`")
    if docking_id in work.dockings_with_placements(conn):
        raise IntegrityError(f"docking {docking_id} has originals that are not verified yet", hint="run `mediad fsck`")
    return row


def vars_of(counts: Counts) -> dict[str, int]:
    """Counts as the fields of ``ingest --json``."""
    return {
        "new": counts.new, "sightings": counts.sightings, "skipped": counts.skipped, "failed": counts.failed,
        "bytes": counts.bytes,
    }  # fmt: skip


def _put(vault: Vault, key: str, body: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    data = (canonical(body) + "\n").encode("utf-8")
    try:
        vault.put(key, data)
    except KeyConflict:
        # The power went between writing the record and closing the docking. That record stands; it is not written again.
        data = vault.get(key)
        try:
            found = json.loads(data)
        except ValueError:
            raise KeyConflict(f"{key} is no hand-over record", hint=_PLANTED) from None
        if not _is_ours(found, body):
            raise KeyConflict(f"{key} tells another story than the catalogue", hint=_PLANTED) from None
        body = found
    return body, data


_PLANTED = "somebody changed the vault: keep that file, but move it away; mediad writes the record anew"
_OF_ITS_TIME = ("state", "ended_at", "findings", "chain")
"""What a record says that another one of the same docking may say otherwise, depending on who closed it, and when."""


def _is_ours(found: Any, body: Mapping[str, Any]) -> bool:
    """Whether a record in the vault is one that we may have written of this docking: what it says becomes a fact in the chain."""
    if not isinstance(found, dict) or found.keys() != body.keys():
        return False
    ours = {k: v for k, v in body.items() if k not in _OF_ITS_TIME}
    theirs = {k: v for k, v in found.items() if k not in _OF_ITS_TIME}
    if body["recorder"]["key"].startswith("folder:") and isinstance(theirs["counts"], dict):
        # How many known files a drop folder held is in no event: only its own docking knew it.
        skipped = theirs["counts"].get("skipped")
        if type(skipped) is int and skipped >= ours["counts"]["skipped"]:
            ours["counts"] = {**ours["counts"], "skipped": skipped}
    states = {DockingState.INCOMPLETE, DockingState.INTERRUPTED}
    if not body["counts"]["failed"]:
        states.add(DockingState.COMPLETE)
    try:
        return (
            canonical(ours) == canonical(theirs)
            and found["state"] in [state.value for state in states]
            and stamp(datetime.fromisoformat(found["ended_at"])) == found["ended_at"]
            and isinstance(found["findings"], list)
            and all(f.keys() == {"code", "subject", "detail"} for f in found["findings"])
            and all(isinstance(text, str) for f in found["findings"] for text in f.values())
            and (type(found["chain"]["seq"]), type(found["chain"]["hash"])) == (int, str)
        )
    except (ValueError, TypeError, LookupError, AttributeError):
        return False


def _files(conn: Any, docking_id: str, vault: str) -> Iterator[dict[str, Any]]:
    """Every file of the docking, in the order of its listing."""
    results = evidence.outcomes(conn, docking_id, vault)
    for event in evidence.events_of(conn, docking_id):
        if event.kind != "docking.listed":
            continue
        body = event.body()
        for claim in body["files"]:
            yield _line(claim, results[claim["volume"], base64.b64decode(claim["path_b64"])])
        yield from _known(conn, body["known"], vault)


def _line(claim: Mapping[str, Any], row: Any) -> dict[str, Any]:
    outcome, why = row.outcome, row.why
    if outcome is None:
        outcome, why = Outcome.FAILED.value, "not reached: the docking broke off"
    return {
        "volume": claim["volume"], "path": claim["path"], "path_b64": claim["path_b64"], "size": row.size,
        "modified": stamp(from_ns(row.mtime_ns)), "outcome": outcome, "asset": row.asset,
        "sha256": row.sha256, **({"sm3": row.sm3} if row.sm3 else {}), "key": row.key, "why": why,
    }  # fmt: skip


def _known(conn: Any, known: Iterable[Sequence[Any]], vault: str) -> Iterator[dict[str, Any]]:
    entries = list(known)
    found = evidence.replicas_of(conn, vault, {e[4] for e in entries})
    for volume, path_b64, size, mtime_ns, asset in entries:
        yield {
            "volume": volume, "path": printable(base64.b64decode(path_b64)), "path_b64": path_b64, "size": size,
            "modified": stamp(from_ns(mtime_ns)), "outcome": Outcome.KNOWN.value, "asset": asset,
            "sha256": found[asset].sha256, "key": found[asset].key, "why": "",
        }  # fmt: skip
