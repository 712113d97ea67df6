"""Dock: open a docking, look at what is on the source, and say which files must be read."""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Protocol

from sqlalchemy import Row

from mediad.catalog import evidence
from mediad.catalog.ledger import Ledger
from mediad.model.custody import Draft
from mediad.model.evidence import (
    Docking,
    FileResult,
    Finding,
    Listing,
    Outcome,
    Planned,
    Rejected,
    SourceFile,
    captured_at,
    trusted_time,
)
from mediad.model.layout import printable
from mediad.model.profile import Profile

_PER_EVENT = 1_000


class Walk(Protocol):
    """One volume of the source."""

    def walk(self) -> Iterator[SourceFile | Rejected]: ...


def open_docking(ledger: Ledger, docking: Docking) -> None:
    """Record that a recorder or folder is here."""
    draft = Draft(
        "docking.opened",
        docking.id,
        {
            "recorder": docking.source.key,
            "label": docking.source.label,
            "registered": docking.source.registered,
            "slot": docking.slot,
            "source": docking.where,
            "channel": docking.channel,
            "profile": docking.profile,
            "officer": docking.officer,
            "continues": docking.continues,
        },
    )
    ledger.record([draft])


def look(
    ledger: Ledger, docking: Docking, volumes: Iterable[Walk], profile: Profile, vault: str, max_files: int
) -> Listing:
    """List a source and tell what is new from what is known without reading. Writes nothing."""
    with ledger.catalog.read() as conn:
        known = evidence.claims(conn, docking.source.key, vault)
    new: list[SourceFile] = []
    recognised: list[FileResult] = []
    rejected: list[Rejected] = []
    findings: list[Finding] = []
    entries = (entry for volume in volumes for entry in volume.walk())
    for entry in islice(entries, max_files):
        if isinstance(entry, Rejected):
            # An unreadable folder fails, unless the profile names it as one to leave (ext4's lost+found is root's alone).
            left = entry.outcome is Outcome.FAILED and profile.excludes(entry.path)
            rejected.append(
                replace(entry, outcome=Outcome.REJECTED, why=f"excluded by the profile; {entry.why}") if left else entry
            )
        elif not profile.takes_all and not profile.wants(entry.path):
            rejected.append(Rejected(entry.volume, entry.path, "excluded by the profile", size=entry.size))
        elif (claim := known.get((entry.volume, entry.path))) is not None and _is_known(docking, entry, claim):
            recognised.append(
                FileResult(entry, Outcome.KNOWN, claim.asset, claim.sha256, claim.sm3, claim.key)
            )  # fmt: skip
        else:
            new.append(entry)
    if next(entries, None) is not None:
        detail = f"more than {max_files} entries: the rest was not looked at"
        findings.append(Finding("too-many-files", docking.id, detail))
        rejected.append(Rejected("", b".", detail, Outcome.FAILED))
    return Listing(new, recognised, rejected, findings)


def _is_known(docking: Docking, file: SourceFile, claim: Row[Any]) -> bool:
    """Known without reading: same path, size, time and birth time, a time that can be true, and a verified replica (the
    claim has one). A source without identity must also show the same file by device and inode."""
    if (claim.size, claim.mtime_ns, claim.birth_ns) != (file.size, file.mtime_ns, file.birth_ns):
        return False
    if not docking.source.identified and (claim.device, claim.inode) != (file.device, file.inode):
        return False
    return trusted_time(docking.file_time(file), docking.opened_at)


def record_listing(ledger: Ledger, docking: Docking, listing: Listing, *, name_known: bool) -> None:
    """Record what the source claims to hold, before anything is read. ``name_known`` also names the files known already
    (a folder that is looked at every few minutes does without)."""
    files = [_claim(f) for f in listing.new]
    for r in listing.rejected:
        claim = _claim(SourceFile(r.volume, r.path, r.size, 0))
        files.append({**claim, "outcome": r.outcome.value, "why": r.why})
    known = [[r.file.volume, _b64(r.file.path), r.file.size, r.file.mtime_ns, r.asset] for r in listing.known]
    if not name_known:
        known = []
    drafts = [Draft("docking.listed", docking.id, {"files": list(part), "known": []}) for part in _parts(files)]
    drafts += [Draft("docking.listed", docking.id, {"files": [], "known": list(part)}) for part in _parts(known)]
    for part in _parts(drafts, 10):
        ledger.record(part)


def _parts(items: Sequence[Any], size: int = _PER_EVENT) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _claim(file: SourceFile) -> Mapping[str, Any]:
    return {
        "volume": file.volume, "path": printable(file.path), "path_b64": _b64(file.path), "size": file.size,
        "mtime_ns": file.mtime_ns, "birth_ns": file.birth_ns,
    }  # fmt: skip


def plan(docking: Docking, profile: Profile, files: Iterable[SourceFile]) -> list[Planned]:
    """What names and times say of the files to read."""
    planned = []
    for file in files:
        name = profile.parse_name(file.path, docking.unit_zone)
        captured = captured_at(name.time, docking.file_time(file), docking.opened_at)
        planned.append(Planned(file, captured, name.officer or docking.officer, name.important))
    return planned
