"""Rebuild: make the catalogue anew from a vault alone.

1. The vault's custody segments are read and checked; a chain that does not hold is refused, and nothing is made.
2. A new catalogue is written beside the place of the old one: the same ``apply`` runs over the same events.
3. Batches that lie among the originals but are in no event (the power went between the rename and the record, and then the
   catalogue was lost) are taken in by their sidecars, each file after it was read back from the medium.
4. Dockings that were open are closed as interrupted by whoever calls this, and only then the new catalogue takes its place.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import Connection

from mediad.catalog import audit, evidence, record, work
from mediad.catalog.db import Catalog
from mediad.catalog.ledger import Ledger
from mediad.catalog.record import stamp
from mediad.errors import IntegrityError, NotFound, StorageError
from mediad.model import facts
from mediad.model.custody import GENESIS, Draft, Event, check_chain, parse_segment
from mediad.model.evidence import Finding, ReadBack
from mediad.model.ids import asset_id
from mediad.model.layout import ORIGINALS, SIDECAR, parse_segment_key, segment_prefix

_CHUNK = 2_000


class Log(Protocol):
    """A vault, for reading its custody segments."""

    @property
    def name(self) -> str: ...

    def get(self, key: str) -> bytes: ...

    def list(self, prefix: str) -> Iterator[str]: ...


class Vault(Log, Protocol):
    """A vault whose originals are taken in."""

    def read_back(self, key: str) -> ReadBack: ...

    def confirm(self, key: str) -> None: ...

    def set_aside(self, key: str) -> str: ...

    def size_of(self, key: str) -> int | None: ...

    def check(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Mirror:
    """A custody log that holds: how far it reaches, its last hash, and the marker that each vault was registered with."""

    reached: int
    hash: str
    markers: Mapping[str, str]


@dataclass
class Adopted:
    """What was taken in from the originals. ``findings`` is what could not be, for a person to look at."""

    originals: int = 0
    batches: int = 0
    findings: list[Finding] = field(default_factory=list)


# --- the log --------------------------------------------------------------------------------------------------------


def read_log(vault: Log, station: str) -> Iterator[Event]:
    """Every event of the vault's custody log, in order. Raises IntegrityError at the first link that does not hold, NotFound
    if there is no log."""
    keys = [key for key in vault.list(segment_prefix(station)) if parse_segment_key(key)]
    if not keys:
        raise NotFound(
            f"vault {vault.name} holds no custody log of station {station}",
            hint="check station.id and the vault's mount",
        )
    seq, prev = 0, GENESIS
    for key in keys:
        try:
            events = list(parse_segment(vault.get(key)))
        except ValueError as e:
            raise _broken(f"{key}: {e} (behind event {seq})") from e
        if broken := check_chain(events, station=station, after=seq, prev=prev):
            raise _broken(f"{key}: {broken.detail}", broken.code)
        if not events or parse_segment_key(key) != (key.split("/")[1], seq + 1):
            raise _broken(f"{key}: events from {seq + 1} on are missing", "chain-gap")
        yield from events
        seq, prev = events[-1].seq, events[-1].hash


def _broken(detail: str, code: str = "segment-broken") -> IntegrityError:
    return IntegrityError(
        f"the vault's custody log does not hold: {detail}",
        hint="nothing was changed; see docs/recovery.md, and try another vault with --vault",
        code=code,
    )


def check_log(vault: Log, station: str) -> Mirror:
    """Read the whole log once before anything is made. Raises IntegrityError or NotFound."""
    markers: dict[str, str] = {}
    last: Event | None = None
    for event in read_log(vault, station):
        last = event
        if event.kind == "vault.registered":
            markers[event.subject] = str(event.body().get("marker"))
    assert last is not None  # noqa: S101 - an empty log raised NotFound
    return Mirror(last.seq, last.hash, markers)


def play(catalog: Catalog, vault: Log, station: str, told: Callable[[int], None]) -> None:
    """Write the log into an empty catalogue and apply it; then note how far the vault's mirror reaches."""
    last = (0, GENESIS)
    for chunk in _chunks(read_log(vault, station)):

        def put(conn: Connection, events: Sequence[Event] = chunk) -> None:
            record.append(conn, events)
            record.apply(conn, events)

        catalog.write(put)
        last = (chunk[-1].seq, chunk[-1].hash)
        told(last[0])
    catalog.write(lambda conn: work.note_mirrored(conn, vault.name, *last))


def _chunks(events: Iterator[Event]) -> Iterator[list[Event]]:
    chunk: list[Event] = []
    for event in events:
        chunk.append(event)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def note_rebuilt(ledger: Ledger, vault: str, mirror: Mirror, replaced: str | None) -> None:
    """That the catalogue was made anew is a fact of its own."""
    detail = {"vault": vault, "reached": mirror.reached, "hash": mirror.hash, "replaced": replaced}
    ledger.record([Draft("catalogue.rebuilt", ledger.station, detail)])


# --- what the log does not know -------------------------------------------------------------------------------------


def adopt(ledger: Ledger, vault: Vault) -> Adopted:
    """Take in batches that lie in the vault but that no event names. Raises StorageError if the vault does not answer."""
    result = Adopted()
    known = _known_keys(ledger, vault.name)
    for folder, keys in _folders(vault):
        body = _sidecar(vault, folder)
        if body is not None and body.get("station", ledger.station) != ledger.station:
            continue
        told = {f["key"]: f for f in body["files"]} if body else {}
        for key in keys - known - told.keys():
            result.findings.append(Finding("original-orphan", key, "no sidecar explains it; it was left where it is"))
        files = [file for key, file in told.items() if key not in known]
        if files and body:
            vault.confirm(folder)
            _adopt_batch(ledger, vault, body, files, result)
    return result


def _known_keys(ledger: Ledger, vault: str) -> set[str]:
    """Keys that the log speaks of: originals, and those that an alarm says were set aside."""
    with ledger.catalog.read() as conn:
        look = audit.Snapshot(conn)
        known = {row.key for row in look.originals(vault)} | {row.key for row in look.placements(vault)}
        return known | {str(json.loads(e.detail).get("key")) for e in look.events(kind="alarm.raised")}


def _folders(vault: Vault) -> Iterator[tuple[str, set[str]]]:
    """Batch folders with the keys of their originals."""
    folder, keys = "", set[str]()
    for key in vault.list(ORIGINALS):
        here, _, name = key.rpartition("/")
        if here != folder:
            if folder:
                yield folder, keys
            folder, keys = here, set()
        if name != SIDECAR:
            keys.add(key)
    if folder:
        yield folder, keys


_NEEDED = ("key", "asset", "sha256", "size", "docking", "volume", "path_b64", "mtime_ns", "source", "captured", "kind",
           "recording", "recorder", "officer", "channel", "important")  # fmt: skip


def _sidecar(vault: Vault, folder: str) -> dict[str, Any] | None:
    """A batch's sidecar, if it is one and describes every file that it names; else None."""
    try:
        body = json.loads(vault.get(f"{folder}/{SIDECAR}"))
        if body["format"] != "mediad-batch/1" or body["batch"] != folder.rpartition("/")[2]:
            return None
        for file in body["files"]:
            base64.b64decode(file["path_b64"], validate=True)
            if any(name not in file for name in _NEEDED) or file["docking"] != body["docking"]:
                return None
            if file["asset"] != asset_id(bytes.fromhex(file["sha256"])):
                return None
    except (NotFound, ValueError, KeyError, TypeError, RecursionError):
        return None
    result: dict[str, Any] = body
    return result


def _adopt_batch(
    ledger: Ledger, vault: Vault, body: Mapping[str, Any], files: Sequence[Mapping[str, Any]], result: Adopted
) -> None:
    """Read back what a sidecar names, and record what matches: the docking first, if the log lost it, then its listing."""
    with ledger.catalog.read() as conn:
        docking = evidence.docking(conn, body["docking"])
        assets = evidence.assets_by_digest(conn, [f["sha256"] for f in files])
        held = evidence.held(conn, vault.name, [f["sha256"] for f in files])
        listed = set(evidence.outcomes(conn, body["docking"], vault.name))
    drafts: list[Draft] = [] if docking is not None else [_opened(body, files[0])]
    missing = [f for f in files if (f["volume"], base64.b64decode(f["path_b64"])) not in listed]
    if missing:
        claims = [
            {k: f.get(k) for k in ("volume", "path", "path_b64", "size", "mtime_ns", "birth_ns")} for f in missing
        ]
        drafts.append(Draft("docking.listed", body["docking"], {"files": claims, "known": []}))
    for file in files:
        believed = held.get(file["sha256"])
        if believed is not None and vault.size_of(believed.key) == believed.size:
            drafts += _aside(vault, file, f"{believed.key} holds these bytes already", result)
            continue
        if believed is not None:
            drafts += facts.lost(vault.name, believed.id, believed.key, file["sha256"], "it is gone")
        if isinstance(answer := _read_back(vault, file), ReadBack):
            detail = {k: v for k, v in file.items() if k != "asset"} | {"vault": vault.name}
            verified = {"method": answer.method, "verified_at": stamp(ledger.clock())}
            if file["sha256"] in assets:
                drafts += [
                    Draft("replica.stored", file["asset"], detail | verified),
                    facts.sighted(file["asset"], {"birth_ns": None, "device": 0, "inode": 0, **file}),
                ]
            else:
                drafts.append(Draft("asset.stored", file["asset"], detail | verified))
            result.originals += 1
        else:
            drafts += _aside(vault, file, answer, result)
    drafts.sort(key=lambda d: _ORDER.index(d.kind))
    ledger.record(drafts)
    result.batches += 1


_ORDER = (
    "docking.opened", "docking.listed", "replica.lost", "asset.stored", "replica.stored", "asset.sighted", "file.failed",
    "alarm.raised",
)  # fmt: skip


def _opened(body: Mapping[str, Any], file: Mapping[str, Any]) -> Draft:
    detail = {
        "recorder": body["recorder"]["key"], "label": body["recorder"]["label"], "registered": False, "slot": "",
        "source": "sidecar of a batch, after the catalogue was lost", "channel": file["channel"], "profile": "",
        "officer": file["officer"], "continues": None,
    }  # fmt: skip
    return Draft("docking.opened", body["docking"], detail)


def _read_back(vault: Vault, file: Mapping[str, Any]) -> ReadBack | str:
    """What the medium gave, or why it does not count."""
    try:
        answer = vault.read_back(file["key"])
    except (StorageError, NotFound) as e:
        vault.check()  # a vault that is gone altogether says nothing about single files
        return e.message
    if answer.digest.hex != file["sha256"] or answer.size != file["size"]:
        return "other bytes came back than its sidecar names"
    return answer


def _aside(vault: Vault, file: Mapping[str, Any], why: str, result: Adopted) -> list[Draft]:
    """Move bytes out of the originals, if there are any, keep them, and say so."""
    try:
        detail = f"{why}; set aside as {vault.set_aside(file['key'])}"
    except StorageError as e:
        detail = f"{why}; nothing could be set aside ({e.message})"
    result.findings.append(Finding("verify-mismatch", file["asset"], detail))
    failed = {k: file.get(k) for k in ("volume", "path", "path_b64", "size")} | {"why": why}
    alarm = {"code": "verify-mismatch", "detail": detail, "key": file["key"], "sha256": file["sha256"]}
    return [Draft("file.failed", file["docking"], failed), Draft("alarm.raised", file["asset"], alarm)]
