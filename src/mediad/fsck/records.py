"""What the auditor holds against the catalogue besides the originals' bytes: sidecars, hand-over records, mirrors, structure."""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Protocol

from mediad.catalog.audit import AuditCatalog, Snapshot
from mediad.errors import MediadError, NotFound
from mediad.fsck.custody import Chain, check_handover_head, check_mirror
from mediad.fsck.vault import Look, docking_of
from mediad.model.evidence import Finding


class Report(Protocol):
    findings: list[Finding]
    notes: list[str]

    def add(self, code: str, subject: str, detail: str) -> None: ...

    def count(self, what: str, number: int = 1) -> None: ...


def check_structure(snap: Snapshot, report: Report) -> None:
    """Rows that cannot stand alone."""
    for row in snap.replicas_without_asset():
        report.add("replica-without-asset", row.asset, f"{row.key} in vault {row.vault} is a replica of no asset")
    for asset in snap.assets_without_replica():
        report.add("asset-without-replica", asset, "no vault holds it")
    for row in snap.assets_lost():
        report.add("asset-lost", row.asset, f"vault {row.vault} has lost it, and no other vault holds it")
    for asset in snap.assets_without_recording():
        report.add("asset-without-recording", asset, "it belongs to no recording")


# --- sidecars -------------------------------------------------------------------------------------------------------


def check_sidecars(
    vault: Look,
    recorded: Mapping[str, Any],
    explained: AbstractSet[str],
    first: AbstractSet[str],
    report: Report,
) -> set[str]:
    """Every batch's sidecar against the catalogue; ``explained`` keys are spoken of somewhere, ``first`` are those under which
    bytes became assets. Returns the folders that belong to another station."""
    foreign: set[str] = set()
    by_folder: dict[str, set[str]] = {}
    for key in recorded:
        by_folder.setdefault(key.rpartition("/")[0], set()).add(key)
    for folder in sorted(vault.folders() | set(by_folder)):
        key = f"{folder}/record.json"
        try:
            body = _sidecar(vault.reader.read(key), folder)
        except NotFound:
            ours = by_folder.get(folder)
            if ours and any(vault.reader.stat(k) for k in ours):
                report.add("sidecar-missing", folder, "the batch has no record.json")
            continue
        except (MediadError, ValueError) as e:
            report.add("sidecar-broken", key, str(e))
            continue
        if body.get("station", vault.station) != vault.station:
            foreign.add(folder)
            continue
        report.count("sidecars")
        for detail in _contradictions(body, by_folder.get(folder, set()), recorded, explained, first):
            report.add("sidecar-differs", key, detail)
    return foreign


def _sidecar(data: bytes, folder: str) -> dict[str, Any]:
    body = json.loads(data)
    if not isinstance(body, dict) or body.get("format") != "mediad-batch/1" or not isinstance(body.get("files"), list):
        raise ValueError("it is no mediad-batch/1 record")
    if body.get("batch") != folder.rpartition("/")[2]:
        raise ValueError(f"it is the record of batch {body.get('batch')}")
    if not all(isinstance(f, dict) and isinstance(f.get("key"), str) for f in body["files"]):
        raise ValueError("it names files that it does not describe")
    return body


def _contradictions(
    body: Mapping[str, Any],
    ours: AbstractSet[str],
    recorded: Mapping[str, Any],
    explained: AbstractSet[str],
    first: AbstractSet[str],
) -> list[str]:
    told = {f["key"]: f for f in body["files"]}
    wrong = [f"it does not name {key}" for key in sorted(ours - told.keys())]
    for key, file in told.items():
        row = recorded.get(key)
        if row is None:
            # Bytes that came back wrong leave the batch, and an alarm tells of them. Anything else was taken away.
            if key not in explained:
                wrong.append(f"it names {key}, which the catalogue does not know")
        elif fields := [name for name, value in _as_told(row, key in first).items() if _get(file, name) != value]:
            wrong.append(f"{row.id}: {', '.join(fields)} differ from the catalogue")
    return wrong


def _as_told(row: Any, first: bool) -> dict[str, Any]:
    """What a sidecar must say. ``first``: the batch made it an asset; a later replica came from another docking and path."""
    bytes_alone = {"asset": row.id, "sha256": row.sha256, "size": row.size, "kind": row.kind}
    return bytes_alone if not first else {
        **bytes_alone, "sm3": row.sm3, "docking": row.docking,
        "volume": row.volume, "path_b64": base64.b64encode(row.path).decode("ascii"), "mtime_ns": row.mtime_ns,
        "captured.value": row.captured_at,
    }  # fmt: skip


def _get(file: Mapping[str, Any], name: str) -> Any:
    first, _, rest = name.partition(".")
    value = file.get(first)
    return (value.get(rest) if isinstance(value, dict) else None) if rest else value


# --- hand-over records ----------------------------------------------------------------------------------------------


def check_handovers(
    looks: Sequence[Look], chain: Chain, states: Mapping[str, str], report: Report, *, custody_only: bool = False
) -> None:
    """Hand-over records against the custody log, both ways. ``custody_only`` asks only what the chain itself depends on."""
    for vault in (v for v in looks if v.online):
        for key in vault.handovers:
            _one_handover(vault, key, chain, states, report, custody_only=custody_only)
        for docking, handover in chain.closed.items():
            key = str(handover.get("key"))
            if handover.get("vault") == vault.name and key not in vault.handovers:
                if vault.reader.stat(key) is None:
                    report.add("handover-missing", docking, f"{key} is not in vault {vault.name}")
                else:  # closed after the vault was listed
                    _one_handover(vault, key, chain, states, report, custody_only=custody_only)


def _one_handover(
    vault: Look, key: str, chain: Chain, states: Mapping[str, str], report: Report, *, custody_only: bool
) -> None:
    docking = docking_of(key)
    recorded = chain.closed.get(docking, {})
    ours = recorded.get("key") == key
    try:
        data = vault.reader.read(key)
    except MediadError as e:
        report.add("handover-differs" if ours else "unreadable", docking if ours else key, e.message)
        return
    body = _json(data)
    if not ours and body.get("station", vault.station) != vault.station:
        return  # another station's
    report.count("handovers")
    if ours and hashlib.sha256(data).hexdigest() != recorded.get("sha256"):
        report.add("handover-differs", docking, f"{key} is not the record whose digest stands in the custody log")
        return
    broken_off = chain.broken is not None  # then the log was not read to its end
    if not ours and states.get(docking) != "open" and not custody_only and not (broken_off and docking in states):
        report.add("handover-orphan", docking, f"{key}: the catalogue knows no such hand-over")
    if body and (finding := check_handover_head(docking, body, chain)) is not None:
        report.findings.append(finding)


def _json(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


# --- mirrors --------------------------------------------------------------------------------------------------------


def mirrors(
    catalog: AuditCatalog,
    looks: Sequence[Look],
    chain: Chain,
    mirrored: Mapping[str, int],
    abandoned: Callable[[str], bool],
    report: Report,
) -> None:
    """Every mirror by itself and against the chain; that it is behind is said last, when it had the time to catch up."""
    for vault in (v for v in looks if v.online):
        state = check_mirror(vault.reader, vault.segments, chain)
        report.count("segments", state.segments)
        report.findings.extend(state.findings)
        if state.findings or chain.broken is not None or state.reached >= chain.head:
            continue
        vault.list_segments()
        reached = max(state.reached, check_mirror(vault.reader, vault.segments, chain).reached)
        if reached < mirrored.get(vault.name, 0):
            gone = f"events {reached + 1} to {mirrored[vault.name]} were in vault {vault.name}, their segments are gone"
            report.add("segment-gap", vault.name, gone)
        elif reached < chain.head:
            _behind(catalog, vault.name, reached, chain, abandoned, report)


def _behind(
    catalog: AuditCatalog, vault: str, reached: int, chain: Chain, abandoned: Callable[[str], bool], report: Report
) -> None:
    with catalog.snapshot() as snap:
        at_work = set(snap.open_dockings())
    # A docking holds its lock until its last event is mirrored, so the subjects of what is missing tell who is at it.
    at_work |= {s for seq, s in chain.subjects.items() if seq > reached and s.startswith("dck-")}
    detail = f"it lacks {chain.head - reached} events from event {reached + 1} on"
    if any(not abandoned(docking) for docking in at_work):
        report.notes.append(f"the mirror in vault {vault} is behind while something is running: {detail}")
    else:
        report.add("mirror-behind", vault, detail)
