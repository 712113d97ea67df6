"""Dock: open a docking, look at what is on the source, and say which files must be read."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any, Protocol

from sqlalchemy import Row

from mediad.catalog import evidence
from mediad.catalog.ledger import Ledger
from mediad.model import facts
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
    from_ns,
    recognisable_time,
)
from mediad.model.profile import Profile

_PER_EVENT = 1_000
_EVENT_BYTES = 256 * 1024
"""An event names so many files, or so many bytes of paths: some cards have names of 4,000 bytes."""


class Walk(Protocol):
    """One volume of the source."""

    def walk(self) -> Iterator[SourceFile | Rejected]: ...


class Vault(Protocol):
    @property
    def name(self) -> str: ...

    def size_of(self, key: str) -> int | None: ...


def open_docking(ledger: Ledger, docking: Docking) -> None:
    """Record that a recorder or folder is here."""
    draft = Draft(
        "docking.opened",
        docking.id,
        {
            "recorder": docking.source.key,
            "recorder_id": docking.source.recorder_id,
            "label": docking.source.label,
            "registered": docking.source.registered,
            "slot": docking.slot,
            "source": docking.where,
            "channel": docking.channel,
            "profile": docking.profile,
            "officer": docking.officer,
            "continues": docking.continues,
            "said": docking.said,
            "zones": {volume: zone.key for volume, zone in docking.zones.items()},
        },
    )
    ledger.record([draft])


def look(
    ledger: Ledger, docking: Docking, volumes: Iterable[Walk], profile: Profile, vault: Vault, max_files: int
) -> Listing:
    """List a source and tell what is new from what is known without reading. Writes nothing.

    Known is only what the vault still holds, in its size. What it has lost is read again, and then stored again.
    """
    new: list[SourceFile] = []
    recognised: list[FileResult] = []
    rejected: list[Rejected] = []
    findings: list[Finding] = []
    wanted: list[SourceFile] = []
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
        else:
            wanted.append(entry)
    with ledger.catalog.read() as conn:
        known = evidence.claims(conn, docking.source.key, vault.name, ((f.volume, f.path) for f in wanted))
    for file in wanted:
        claim = known.get((file.volume, file.path))
        if claim is not None and _is_known(docking, file, claim) and vault.size_of(claim.key) == claim.original_size:
            recognised.append(FileResult(file, Outcome.KNOWN, claim.asset))
        else:
            new.append(file)
    if next(entries, None) is not None:
        detail = f"more than {max_files} entries: the rest was not looked at"
        findings.append(Finding("too-many-files", docking.id, detail))
        rejected.append(Rejected("", b".", detail, Outcome.FAILED))
    return Listing(new, recognised, rejected, findings)


def _is_known(docking: Docking, file: SourceFile, claim: Row[Any]) -> bool:
    """Known without reading: same path, size, time and birth time, a time that says enough, and a healthy replica (the claim
    has one). A source without identity must also show the same file by device and inode, not touched since that docking began:
    who rewrites a file may set its mtime back, but not when it last changed. Where that is not kept (FAT, FUSE, networks), inode
    numbers are made up at each mount as well and name nothing: the file is read."""
    if (claim.size, claim.mtime_ns, claim.birth_ns) != (file.size, file.mtime_ns, file.birth_ns):
        return False
    seen = datetime.fromisoformat(claim.seen_at)
    if not docking.source.identified and (
        not file.changed_ns
        or (claim.device, claim.inode) != (file.device, file.inode)
        or from_ns(file.changed_ns) > seen
    ):
        return False
    return recognisable_time(docking.file_time(file), seen, docking.opened_at)


def record_listing(ledger: Ledger, docking: Docking, listing: Listing, *, name_known: bool) -> None:
    """Record what the source claims to hold, before anything is read. ``name_known`` also names the files known already
    (a folder that is looked at every few minutes does without)."""
    files = [facts.claim(f) for f in listing.new]
    for r in listing.rejected:
        claim = facts.claim(SourceFile(r.volume, r.path, r.size, 0))
        files.append({**claim, "outcome": r.outcome.value, "why": r.why})
    known = [[r.file.volume, facts.b64(r.file.path), r.file.size, r.file.mtime_ns, r.asset] for r in listing.known]
    if not name_known:
        known = []
    parts = _parts(files, lambda f: len(f["path_b64"]))
    drafts = [Draft("docking.listed", docking.id, {"files": part, "known": []}) for part in parts]
    parts = _parts(known, lambda k: len(k[1]))
    drafts += [Draft("docking.listed", docking.id, {"files": [], "known": part}) for part in parts]
    for n in range(0, len(drafts), 10):
        ledger.record(drafts[n : n + 10])


def _parts(items: Iterable[Any], weight: Callable[[Any], int]) -> Iterator[list[Any]]:
    """Cut into lists of at most ``_PER_EVENT`` items and about ``_EVENT_BYTES``."""
    part: list[Any] = []
    size = 0
    for item in items:
        if part and (len(part) >= _PER_EVENT or size + weight(item) > _EVENT_BYTES):
            yield part
            part, size = [], 0
        part.append(item)
        size += weight(item)
    if part:
        yield part


def plan(docking: Docking, profile: Profile, files: Iterable[SourceFile]) -> list[Planned]:
    """What names and times say of the files to read."""
    planned = []
    for file in files:
        name = profile.parse_name(file.path, docking.unit_zone)
        captured = captured_at(name.time, docking.file_time(file), docking.opened_at)
        planned.append(Planned(file, captured, name.officer or docking.officer, name.important))
    return planned
