"""Batch folders: what their sidecars say against the custody log, and folders that speak of another station."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from mediad.catalog.audit import AuditCatalog
from mediad.errors import MediadError, NotFound
from mediad.fsck.custody import Chain, loads, stored_keys
from mediad.fsck.records import Report
from mediad.fsck.vault import Look

_LATER = frozenset({"vault", "method", "verified_at", "version"})
"""What an event of a stored original tells beyond the sidecar, which was written before the bytes were read back. (A vault may
be called otherwise after a rebuild.)"""


@dataclass
class Foreign:
    """Batch folders whose sidecars name another station: to be believed only if its own custody log in this vault does."""

    claimed: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Folder to the station and docking that its sidecar names."""
    keys: list[str] = field(default_factory=list)
    """Files in these folders that nothing of ours names."""


def check_sidecars(
    catalog: AuditCatalog,
    vault: Look,
    recorded: Mapping[str, Any],
    explained: AbstractSet[str],
    chain: Chain,
    report: Report,
) -> Foreign:
    """Every batch's sidecar against rows and events; ``explained`` keys are spoken of somewhere."""
    foreign = Foreign()
    by_folder: dict[str, set[str]] = {}
    for key in recorded:
        by_folder.setdefault(_folder(key), set()).add(key)
    for folder in sorted(vault.folders() | set(by_folder)):
        key, ours = f"{folder}/record.json", by_folder.get(folder, set())
        try:
            body = _sidecar(vault.reader.read(key), folder)
        except NotFound:
            if any(vault.reader.stat(k) for k in ours):
                report.add("sidecar-missing", folder, "the batch has no record.json")
            continue
        except (MediadError, ValueError) as e:
            report.add("sidecar-broken", key, str(e))
            continue
        if body["station"] != vault.station and not ours:
            foreign.claimed[folder] = body["station"], str(body.get("docking"))
            continue
        report.count("sidecars")
        if body["station"] != vault.station:
            report.add("sidecar-differs", key, f"it names station {body['station']}, but the originals in it are ours")
        for detail in _contradictions(body, ours, recorded, explained):
            report.add("sidecar-differs", key, detail)
        for detail in _against_events(catalog, vault.name, body, chain):
            report.add("sidecar-differs", key, detail)
    return foreign


def _folder(key: str) -> str:
    return key.rpartition("/")[0]


def _sidecar(data: bytes, folder: str) -> dict[str, Any]:
    body = loads(data)
    if not isinstance(body, dict) or body.get("format") != "mediad-batch/1" or not isinstance(body.get("files"), list):
        raise ValueError("it is no mediad-batch/1 record")
    if body.get("batch") != folder.rpartition("/")[2]:
        raise ValueError("it is the record of another batch")
    described = all(isinstance(f, dict) and isinstance(f.get("key"), str) for f in body["files"])
    if not described or not isinstance(body.get("station"), str):
        raise ValueError("it names no station, or files that it does not describe")
    keys = [f["key"] for f in body["files"]]
    if not keys or len(set(keys)) != len(keys) or any(_folder(key) != folder for key in keys):
        raise ValueError("it names no file, one twice, or one that belongs elsewhere")
    return body


def _contradictions(
    body: Mapping[str, Any], ours: AbstractSet[str], recorded: Mapping[str, Any], explained: AbstractSet[str]
) -> list[str]:
    """What rows alone tell: this holds also where the log is broken."""
    told = {f["key"]: f for f in body["files"]}
    wrong = [f"it does not name {key}" for key in sorted(ours - told.keys())]
    for key, file in told.items():
        row = recorded.get(key)
        if row is None:
            # Bytes that came back wrong leave the batch, and an alarm tells of them. Anything else was taken away.
            if key not in explained:
                wrong.append(f"it names {key}, which the catalogue does not know")
        else:
            known = {"asset": row.id, "sha256": row.sha256, "size": row.size, "kind": row.kind}
            if fields := [name for name, value in known.items() if file.get(name) != value]:
                wrong.append(f"{row.id}: {', '.join(fields)} differ from the catalogue")
    return wrong


def _against_events(catalog: AuditCatalog, vault: str, body: Mapping[str, Any], chain: Chain) -> list[str]:
    """Every field of every file against the event that was recorded when it was stored."""
    wrong: list[str] = []
    numbers = {f["key"]: seq for f in body["files"] if (seq := chain.stored.get((vault, f["key"]))) is not None}
    with catalog.snapshot() as snap:
        events = snap.events_at(numbers.values())
    for file in body["files"]:
        event = events.get(numbers.get(file["key"], 0))
        if event is None:
            continue
        try:
            detail = loads(event.detail)
        except (ValueError, TypeError):
            detail = None
        if not isinstance(detail, dict):
            continue  # changed a moment ago: the next look at the chain says so
        recorder = {"key": detail.get("source"), "label": detail.get("label")}
        told = file | {"batch's docking": body.get("docking"), "batch's recorder": body.get("recorder")}
        meant = detail | {
            "asset": event.subject, "batch's docking": detail.get("docking"), "batch's recorder": recorder,
        }  # fmt: skip
        names = sorted((told.keys() | meant.keys()) - _LATER)
        if fields := [name for name in names if told.get(name, ...) != meant.get(name, ...)]:
            wrong.append(f"{event.subject}: {', '.join(fields)} differ from event {event.seq}")
    return wrong


def check_foreign(vault: Look, foreign: Foreign, report: Report) -> None:
    """Whether another station's custody log in this vault names what lies in the folders that are said to be its own. Asked
    last, when a batch that it was storing had the time to be recorded."""
    stations = {station for station, _ in foreign.claimed.values()}
    logged = {station: _logged(vault, station) for station in stations}
    theirs = 0
    for key in foreign.keys:
        station, docking = foreign.claimed[_folder(key)]
        if key in logged[station]:
            theirs += 1
        elif vault.reader.stat(key) is None:
            continue
        elif vault.reader.stat(f".staging/{station}/{docking}") is not None:
            report.notes.append(f"{key}: station {station} has not recorded it yet, but its docking is at work")
        else:
            detail = (
                f"its sidecar names station {station}, but that station's custody log in this vault does not name it"
            )
            report.add("original-orphan", key, detail)
    if theirs:
        names = ", ".join(sorted(stations))
        report.notes.append(f"vault {vault.name} holds {theirs} files of other stations ({names}): check them there")


def _logged(vault: Look, station: str) -> set[str]:
    return stored_keys(vault.reader, _segments(vault, station), station)


def _segments(vault: Look, station: str) -> Iterable[str]:
    return (key for _, key in vault.segments_of(station))
