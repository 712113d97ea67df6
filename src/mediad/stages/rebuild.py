"""Rebuild: make the catalogue anew from a vault alone.

1. The vault's custody segments are read and checked; a chain that does not hold is refused, and nothing is made.
2. A new catalogue is written beside the place of the old one: the same ``apply`` runs over the same events.
3. Batches that lie among the originals but are in no event (the power went between the rename and the record, and then the
   catalogue was lost) get their reservations back from their sidecars: from then on they are like any interrupted batch.
4. The new catalogue takes its place. Up to here the vault was only read.
5. Whoever calls this finishes what is open, as every start does: what was reserved is read back from the medium and recorded,
   open dockings are closed as interrupted, the log is mirrored.
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
from mediad.errors import IntegrityError, NotFound, StorageError
from mediad.model import facts, sidecar
from mediad.model.custody import GENESIS, Draft, Event, canonical, check_chain, parse_segment
from mediad.model.evidence import DockingState, Finding
from mediad.model.layout import ORIGINALS, SIDECAR, parse_segment_key, segment_prefix

_CHUNK = 2_000


class Log(Protocol):
    """A vault, for reading its custody segments."""

    @property
    def name(self) -> str: ...

    def get(self, key: str) -> bytes: ...

    def list(self, prefix: str) -> Iterator[str]: ...


class Vault(Log, Protocol):
    """A vault whose originals are looked at."""

    def size_of(self, key: str) -> int | None: ...

    def check(self) -> None: ...


class Surplus(Protocol):
    """A vault out of whose originals bytes are moved that lie there twice."""

    @property
    def name(self) -> str: ...

    def set_aside(self, key: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Mirror:
    """A custody log that holds: how far it reaches, its last hash, and the marker that each vault was registered with."""

    reached: int
    hash: str
    markers: Mapping[str, str]


@dataclass
class Adopted:
    """What lies among the originals and in no event."""

    reserved: list[str] = field(default_factory=list)
    """SHA-256 of originals that have their reservation again."""
    surplus: list[Mapping[str, Any]] = field(default_factory=list)
    """Files, as their sidecars describe them, whose bytes are somebody else's to place."""
    misfits: list[str] = field(default_factory=list)
    """Keys of lost originals under which a file of another size lies."""
    findings: list[Finding] = field(default_factory=list)
    """What could not be taken in and was left where it is, for a person to look at."""


# --- the log --------------------------------------------------------------------------------------------------------


def read_log(vault: Log, station: str) -> Iterator[list[Event]]:
    """The vault's custody log, segment by segment. Raises IntegrityError at the first link that does not hold, NotFound
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
        yield events
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
    for segment in read_log(vault, station):
        last = segment[-1]
        for event in segment:
            if event.kind == "vault.registered":
                markers[event.subject] = str(event.body().get("marker"))
    assert last is not None  # noqa: S101 - an empty log raised NotFound
    return Mirror(last.seq, last.hash, markers)


def play(catalog: Catalog, vault: Log, station: str, told: Callable[[int], None]) -> None:
    """Write the log into an empty catalogue and apply it; and note what of it the vault's mirror holds: all."""
    for segments in _chunks(read_log(vault, station)):

        def put(conn: Connection, segments: Sequence[Sequence[Event]] = segments) -> None:
            events = [event for segment in segments for event in segment]
            record.append(conn, events)
            record.apply(conn, events)
            parts = [(segment[0].seq, segment[-1].seq) for segment in segments]
            work.note_mirrored(conn, vault.name, parts, events[-1].seq, events[-1].hash)

        catalog.write(put)
        told(segments[-1][-1].seq)


def _chunks(log: Iterator[list[Event]]) -> Iterator[list[list[Event]]]:
    """Segments, several in one transaction: most are small."""
    chunk: list[list[Event]] = []
    for segment in log:
        chunk.append(segment)
        if sum(map(len, chunk)) >= _CHUNK:
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
    """Give batches that lie in the vault, but that no event names, their docking and their reservations back. The vault is only
    read. Raises StorageError if it does not answer."""
    result = Adopted()
    known = _known_keys(ledger, vault.name)
    for folder, keys in _folders(vault):
        try:
            body = sidecar.read(vault.get(f"{folder}/{SIDECAR}"), folder, ledger.station)
        except NotFound:
            body = {"files": []}
        except (StorageError, ValueError) as e:
            vault.check()  # a vault that is gone altogether says nothing about single files
            result.findings.append(
                Finding("sidecar-broken", f"{folder}/{SIDECAR}", f"{e}; its batch was left as it is")
            )
            continue
        if body is None:
            continue
        told = {f["key"]: f for f in body["files"]}
        for key in sorted(keys - known - told.keys()):
            result.findings.append(Finding("original-orphan", key, "no sidecar explains it; it was left where it is"))
        if files := [file for key, file in told.items() if key not in known]:
            _adopt_batch(ledger, vault, body, files, result)
    return result


def _known_keys(ledger: Ledger, vault: str) -> set[str]:
    """Keys that the log speaks of: originals, and those that an alarm says were set aside."""
    with ledger.catalog.read() as conn:
        look = audit.Snapshot(conn)
        known = {row.key for row in look.originals(vault)} | {row.key for row in look.placements(vault)}
        return known | {str(json.loads(e.detail).get("key")) for e in look.events(kind="alarm.raised")}


def _folders(vault: Log) -> Iterator[tuple[str, set[str]]]:
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


def _adopt_batch(
    ledger: Ledger, vault: Vault, body: Mapping[str, Any], files: Sequence[Mapping[str, Any]], result: Adopted
) -> None:
    """Reserve what a batch holds, behind its docking and its listing if the log lost them; a docking of which the log knows
    nothing is taken in with an alarm, for only the sidecar speaks for it. One that was closed without a batch never had it: no
    docking is closed while bytes of it are on their way. Bytes that are in the vault already
    were seen once more; what ``work.reserve`` lets through is verified and recorded by whoever finishes open placements."""
    docking = body["docking"]
    with ledger.catalog.read() as conn:
        row = evidence.docking(conn, docking)
        listed = set(evidence.outcomes(conn, docking, vault.name))
        held = evidence.held(conn, vault.name, [f["sha256"] for f in files])
    if row is not None and row.state != DockingState.OPEN:
        why = f"docking {docking} was closed without it; it was left where it is"
        result.findings += [Finding("original-orphan", file["key"], why) for file in files]
        return
    drafts: list[Draft] = []
    if row is None:
        detail = f"no event of the log tells of this docking, only the record of batch {body['batch']}"
        drafts = [
            _opened(body, files[0]),
            Draft("alarm.raised", docking, {"code": "adopted-unwitnessed", "detail": detail}),
        ]
        result.findings.append(Finding("adopted-unwitnessed", docking, detail))
    if missing := [f for f in files if (f["volume"], base64.b64decode(f["path_b64"])) not in listed]:
        claims = [
            {k: f.get(k) for k in ("volume", "path", "path_b64", "size", "mtime_ns", "birth_ns")} for f in missing
        ]
        drafts.append(Draft("docking.listed", docking, {"files": claims, "known": []}))
    for digest, believed in held.items():
        if (found := vault.size_of(believed.key)) != believed.size:
            drafts += facts.lost(vault.name, believed.id, believed.key, digest, facts.absent(found))
            result.misfits += [believed.key] if found is not None else []
    if drafts:
        ledger.record(drafts)
    rows = [_placement(vault.name, body["batch"], file) for file in files]
    taken = ledger.catalog.write(lambda conn: _reserve(conn, ledger, rows))
    if seen := [facts.sighted(f["asset"], {**_ABSENT, **f}) for f in files if f["sha256"] in taken & held.keys()]:
        ledger.record(seen)
    result.reserved += [f["sha256"] for f in files if f["sha256"] not in taken]
    result.surplus += [f for f in files if f["sha256"] in taken]


_ABSENT = {"birth_ns": None, "device": 0, "inode": 0}
"""What a sidecar need not tell."""


def _placement(vault: str, batch: str, file: Mapping[str, Any]) -> dict[str, Any]:
    detail = canonical({k: v for k, v in {**_ABSENT, **file}.items() if k != "asset"} | {"vault": vault})
    return {
        "vault": vault, "sha256": file["sha256"], "key": file["key"], "batch": batch, "docking": file["docking"],
        "detail": detail,
    }  # fmt: skip


def _reserve(conn: Connection, ledger: Ledger, rows: Sequence[dict[str, Any]]) -> set[str]:
    """Reserve what can be; returns the digests that cannot."""
    taken = work.reserve(conn, rows, ledger.clock())
    if taken and (rest := [row for row in rows if row["sha256"] not in taken]):
        work.reserve(conn, rest, ledger.clock())
    return taken


def _opened(body: Mapping[str, Any], file: Mapping[str, Any]) -> Draft:
    detail = {
        "recorder": body["recorder"]["key"], "label": body["recorder"]["label"], "registered": False,
        "recorder_id": None, "slot": "", "said": None, "zones": {},
        "source": "sidecar of a batch, after the catalogue was lost", "channel": file["channel"], "profile": "",
        "officer": file["officer"], "continues": None,
    }  # fmt: skip
    return Draft("docking.opened", body["docking"], detail)


def set_surplus_aside(ledger: Ledger, vault: Surplus, adopted: Adopted) -> list[Finding]:
    """Move bytes out of the originals that lie there a second time, or in the place of others; keep them, and say so. To be
    called when what was reserved counts or does not: a twin of bytes that came back wrong is left where it is."""
    findings: list[Finding] = []
    for key in adopted.misfits:
        try:
            findings.append(Finding("set-aside", key, f"it had another size than recorded; now {vault.set_aside(key)}"))
        except StorageError as e:
            findings.append(Finding("original-orphan", key, f"it could not be set aside ({e.message})"))
    with ledger.catalog.read() as conn:
        held = evidence.held(conn, vault.name, [file["sha256"] for file in adopted.surplus])
    for file in adopted.surplus:
        if file["sha256"] not in held:
            why = "its twin could not be verified; it was left where it is"
            findings.append(Finding("original-orphan", file["key"], why))
            continue
        try:
            then = f"set aside as {vault.set_aside(file['key'])}"
        except StorageError as e:
            then = f"it could not be set aside ({e.message})"
        detail = f"{file['key']} holds bytes that are an original already; {then}"
        findings.append(Finding("original-twice", file["asset"], detail))
        alarm = {"code": "original-twice", "detail": detail, "key": file["key"], "sha256": file["sha256"]}
        ledger.record([Draft("alarm.raised", file["asset"], alarm)])
    return findings


def outcome(ledger: Ledger, vault: str, adopted: Adopted, since: int) -> tuple[int, list[Finding]]:
    """How many of the reserved originals count now, and the alarms behind event ``since`` about those that do not."""
    with ledger.catalog.read() as conn:
        stored = evidence.held(conn, vault, adopted.reserved)
        raised = [e for e in audit.Snapshot(conn).events(kind="alarm.raised") if e.seq > since]
    alarms = [(e.subject, json.loads(e.detail)) for e in raised]
    return len(stored), [Finding(d["code"], s, d["detail"]) for s, d in alarms if d.get("sha256") in adopted.reserved]
