"""Sign: what was handed over, as one record of facts; and, when it is signed, that record and its page in the vault.

The receiver's signature makes the record. Whoever handed over may sign the same record later: that is a file of its own which names
the record's digest, and a page that tells of both. Nothing is rewritten.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Row

from mediad.catalog import bureau, handovers, limits
from mediad.errors import KeyConflict
from mediad.model.custody import Draft, canonical
from mediad.model.handover import FORMAT, GIVER_FORMAT
from mediad.model.ids import Digest
from mediad.model.instants import stamp
from mediad.model.layout import giver_key, printable, signed_key
from mediad.model.when import when

_TRIES = 100


class Vault(Protocol):
    @property
    def name(self) -> str: ...

    def put(self, key: str, data: bytes) -> bool: ...


@dataclass(frozen=True, slots=True)
class Parties:
    """Who hands over (with ``carrier`` where that is on behalf of them), and who receives, as ``model.handover.party`` tells it;
    None for nobody known."""

    giver: Mapping[str, Any] | None = None
    carrier: Mapping[str, Any] | None = None
    receiver: Mapping[str, Any] | None = None


def describe(
    conn: Connection,
    handover: Row[Any],
    parties: Parties,
    rulings: Iterable[Mapping[str, Any]],
    *,
    unit: str,
    station: str,
    confirmed_at: datetime | None,
    why: str = "",
) -> dict[str, Any]:
    """All that a hand-over's page tells, by what is known now. ``rulings``: what Article 28 comes to for what it brought."""
    parts = handovers.dockings(conn, handover.docking)
    ids = [part.id for part in parts]
    found = limits.recordings_of_dockings(conn, ids)
    recordings = handovers.recordings(conn, found)
    said = handovers.signing(handover)
    return {
        "format": FORMAT, "handover": handover.docking, "version": handover.version + 1 if confirmed_at else 0,
        "unit": unit, "station": station,
        "recorder": {"id": parts[0].recorder_id, "key": parts[0].recorder, "label": parts[0].label,
                     "registered": parts[0].registered},
        "channel": parts[0].channel, "slot": parts[0].slot,
        "dockings": [
            {"docking": p.id, "state": p.state, "began_at": p.opened_at, "ended_at": p.closed_at, "actor": p.actor,
             "record": {"key": p.handover_key, "sha256": p.handover_sha256}}
            for p in parts
        ],
        "giver": parties.giver, "on_behalf_of": parties.carrier, "receiver": parties.receiver,
        "arrived_at": parts[0].opened_at, "stored_at": handovers.stored_at(conn, ids),
        "confirmed_at": stamp(confirmed_at) if confirmed_at else None,
        "counts": {name: sum(getattr(p, name) for p in parts) for name in ("new", "sightings", "skipped", "failed", "bytes")},
        "recordings": _sums(recordings, limits.said(conn, found, "dated")),
        "clock": [{"offset_ms": c.get("offset_ms"), "source": c.get("source", "")} for c in handovers.offsets(conn, ids)],
        "cases": [
            {"id": c.id, "numbers": [n.number for n in c.numbers], "name": c.name}
            for c in bureau.cases(conn, handovers.cases_of(conn, found))
        ],
        "findings": [{"docking": each, **f} for each in ids for f in handovers.findings(conn, each)],
        "rulings": list(rulings),
        "files": [_line(row) for each in ids for row in handovers.files(conn, each)],
        "supersedes": {"version": said["version"], "sha256": said["record"]["sha256"]} if said else None,
        "why": why,
    }  # fmt: skip


def _sums(rows: Sequence[Row[Any]], dated: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """How many of each kind, how long they last together, and from when to when they are (``dated``: as a person said). What has no
    true time, or was not looked into yet, is counted and told apart."""
    times = {r.id: when(r.started_at, r.ended_at, dated.get(r.id)) for r in rows}
    shown = [r for r in rows if r.kind != "data"]
    timed = [r for r in shown if r.confidence != "untrusted" or r.id in dated]
    true = {r.id for r in timed}
    played = [r for r in rows if r.kind in ("video", "audio")]
    known = [r for r in played if not r.provisional and r.id in true]
    lasts = sum((end - start).total_seconds() for start, end in (times[r.id] for r in known))
    return {
        "count": len(shown),
        "kinds": {kind: n for kind in ("video", "audio", "photo", "data") if (n := sum(r.kind == kind for r in rows))},
        "seconds": round(lasts, 3) if known or not played else None, "without_length": len(played) - len(known),
        "from": min((stamp(times[r.id][0]) for r in timed), default=None),
        "until": max((stamp(times[r.id][1]) for r in timed), default=None),
        "untrusted": len(shown) - len(timed),
    }  # fmt: skip


def _line(row: Row[Any]) -> dict[str, Any]:
    return {
        "docking": row.docking, "volume": row.volume, "path": printable(row.path), "size": row.size,
        "outcome": row.outcome or "failed", "asset": row.asset, "sha256": row.sha256,
        **({"sm3": row.sm3} if row.sm3 else {}), "why": row.why or "",
    }  # fmt: skip


class Page(Protocol):
    """Draws the page of a record, given its digest and the key under which it lies."""

    def __call__(self, record: Mapping[str, Any], sha256: str, key: str, /) -> bytes: ...


def lay(vault: Vault, first_record: str, record: dict[str, Any], page: Page, kind: str) -> Draft:
    """Put a signed record and its page beside ``first_record``, and say so. A number that a killed one had taken, without anybody
    knowing, is passed over: nothing in a vault is rewritten."""
    for version in range(record["version"], record["version"] + _TRIES):
        told = {**record, "version": version}
        data = _bytes(told)
        key, sha256 = signed_key(first_record, version, "json"), Digest.sha256(data).hex
        laid = _put(vault, {key: data, signed_key(first_record, version, "pdf"): page(told, sha256, key)})
        if laid is None:
            continue
        detail = {
            "version": version, "dockings": [d["docking"] for d in told["dockings"]],
            "giver": told["giver"]["person"], "on_behalf_of": told["on_behalf_of"]["person"] if told["on_behalf_of"] else "",
            "receiver": told["receiver"]["person"], "confirmed_at": told["confirmed_at"], "record": laid[0], "page": laid[1],
            "supersedes": told["supersedes"]["version"] if told["supersedes"] else None, "why": told["why"],
        }  # fmt: skip
        return Draft(kind, told["handover"], detail)
    raise _taken(first_record)


def countersign(
    vault: Vault,
    signed: Mapping[str, Any],
    record: Mapping[str, Any],
    giver: Mapping[str, Any],
    login: str,
    at: datetime,
    page: Page,
) -> Draft:
    """Put the signature of whoever handed over beside the record that it is of, with a page that tells of it. ``signed``: the
    newest signing, as its event tells it; ``record``: what was signed, as it lies in the vault."""
    where = signed["record"]
    signature = {
        "format": GIVER_FORMAT, "handover": record["handover"], "version": signed["version"], "unit": record["unit"],
        "station": record["station"], "record": {"key": where["key"], "sha256": where["sha256"]}, "as": "giver",
        "signer": giver, "login": login, "signed_at": stamp(at),
    }  # fmt: skip
    data = _bytes(signature)
    drawn = page({**record, "giver_signed_at": stamp(at)}, where["sha256"], where["key"])
    for number in range(1, _TRIES + 1):
        laid = _put(vault, {giver_key(where["key"], number, kind): it for kind, it in (("json", data), ("pdf", drawn))})
        if laid is not None:
            told = {"person": giver["person"], "at": stamp(at), "record": laid[0], "page": laid[1]}
            return Draft("handover.countersigned", record["handover"], {**signed, "countersigned": told})
    raise _taken(where["key"])


def _bytes(told: Mapping[str, Any]) -> bytes:
    return (canonical(told) + "\n").encode("utf-8")


def _put(vault: Vault, objects: Mapping[str, bytes]) -> list[dict[str, Any]] | None:
    """Where they lie, in their order; None if a key is taken by something else."""
    try:
        for key, data in objects.items():
            vault.put(key, data)
    except KeyConflict:
        return None
    return [{"vault": vault.name, "key": key, "sha256": Digest.sha256(data).hex} for key, data in objects.items()]


def _taken(key: str) -> KeyConflict:
    return KeyConflict(
        f"every number of a signed record is taken beside {key}",
        hint="somebody put files into the vault: move them away",
    )
