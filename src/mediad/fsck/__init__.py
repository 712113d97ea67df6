"""The independent auditor: bytes against catalogue against custody chain, each on its own.

It shares no code with the writers. It lists the vaults first and reads the catalogue after, so that what a running ingest
adds meanwhile is no finding: whatever is in the list was reserved or recorded before the catalogue is asked. What it misses
in that older list it looks up once more before it says so. docs/fsck.md explains every code.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from mediad.catalog.audit import AuditCatalog, Snapshot
from mediad.catalog.replay import ReplayFailed
from mediad.errors import CatalogError, MediadError, NotFound
from mediad.fsck.archives import check_archives
from mediad.fsck.custody import Chain
from mediad.fsck.handovers import check_handovers
from mediad.fsck.records import check_mirrored, check_noted, check_reservations, check_structure, mirrors
from mediad.fsck.sidecars import check_foreign, check_sidecars
from mediad.fsck.vault import Look, Reader, look
from mediad.model.evidence import Finding

CODES: Final = {
    "catalogue-damaged": "the catalogue's file is damaged, or holds values that cannot stand there",
    "catalogue-station": "the catalogue belongs to another station than the configuration",
    "chain-gap": "an event is missing in the custody log",
    "chain-link": "an event does not follow the one before it",
    "chain-hash": "an event was changed after it was recorded",
    "chain-station": "an event of another station stands in the custody log",
    "chain-cut": "a hand-over record names an event that the custody log does not hold",
    "signature-missing": "something that people approve has no signature, though keys were registered",
    "signature-wrong": "a signature does not hold, or is not that of whom the custody log names",
    "log-unplayable": "the custody log holds an event that cannot be applied",
    "facts-differ": "a table is not what the custody log says",
    "asset-without-replica": "an asset lies in no vault",
    "asset-lost": "the only vaults that held an asset have lost it",
    "asset-without-recording": "an asset belongs to no recording",
    "replica-without-asset": "a replica of no asset",
    "closed-twice": "a docking was closed a second time",
    "docking-abandoned": "a docking is open, but no process works on it",
    "vault-offline": "a vault is not there, or is another one",
    "unreadable": "a folder of the vault, or a name in it, cannot be read",
    "original-missing": "an original is not where it must be",
    "original-differs": "an original has another size or other bytes",
    "original-unreadable": "an original cannot be read",
    "original-writable": "an original is not read-only",
    "original-orphan": "bytes among the originals that nothing names",
    "half-file": "an unfinished file outside the staging area",
    "stray-file": "something that has no place there",
    "sidecar-missing": "a batch has no sidecar",
    "sidecar-broken": "a batch's sidecar cannot be understood",
    "sidecar-differs": "a batch's sidecar contradicts the catalogue",
    "handover-missing": "a closed docking has no hand-over record",
    "handover-differs": "a hand-over record is not the one that was recorded, or contradicts the catalogue",
    "handover-orphan": "a hand-over record of a docking that the catalogue does not know",
    "archive-missing": "the manifest of an archived case is not there",
    "archive-differs": "the manifest of an archived case is not the one that was recorded, or contradicts the catalogue",
    "archive-orphan": "a manifest of a case that no event names",
    "record-writable": "a sidecar, hand-over record, manifest or custody segment is not read-only",
    "segment-gap": "events are in no segment of a vault",
    "segment-broken": "a custody segment was changed or damaged",
    "mirror-ahead": "a vault's custody log goes on behind the catalogue's end",
    "mirror-forked": "a vault's custody log and the catalogue tell different stories",
    "mirror-behind": "a vault lacks the newest events, and nothing is running",
    "set-aside": "bytes that came back wrong were set aside",
}
"""Every code that ``fsck`` and ``custody verify`` give; docs/fsck.md is held against it."""

_DIFFERENCES_SHOWN = 50
_SIDE_BY_SIDE = 2
_AT_ONCE = 64
_DOCKING = re.compile(r"dck-[a-z0-9-]{10,60}")


class Progress(Protocol):
    """Where the auditor tells how far it is. ``moved`` is called from several threads."""

    def begin(self, files: int, size: int) -> None: ...

    def moved(self, size: int) -> None: ...

    def done(self) -> None: ...


@dataclass
class Report:
    """What was looked at and what is wrong. ``notes`` are no findings: what could not be judged, or is under way."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, code: str, subject: str, detail: str) -> None:
        self.findings.append(Finding(code, str(subject), detail))

    def count(self, what: str, number: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + number

    @property
    def checked(self) -> int:
        """How many things were looked at."""
        return sum(n for what, n in self.counts.items() if what in _THINGS)


_THINGS = ("events", "originals", "sidecars", "handovers", "archives", "segments")


@dataclass
class _Facts:
    """What the auditor takes from one snapshot of the catalogue."""

    chain: Chain
    originals: dict[str, dict[str, Any]]
    placed: dict[str, set[str]]
    markers: dict[str, str]
    mirrored: list[Any]
    noted: list[Any]
    states: dict[str, str]
    opened: list[str]
    used: set[str]


def fsck(
    catalog: AuditCatalog,
    vaults: Sequence[Reader],
    abandoned: Callable[[str], bool],
    *,
    station: str,
    quick: bool,
    progress: Progress,
) -> Report:
    """Check everything. ``abandoned`` says of a docking whether no process holds its lock. ``quick`` reads no originals.

    Raises VaultOffline or CatalogError where a vault's folder or the catalogue cannot be read at all.
    """
    report = Report()
    abandoned = _careful(abandoned)
    looks = [look(vault, station) for vault in vaults]
    with catalog.snapshot() as snap:
        if (found := snap.station()) != station:
            report.add("catalogue-station", found, f"the configuration says {station}; nothing else was checked")
            return report
        facts = _facts(snap, report, looks, station, quick=quick)
    for vault in looks:
        if _online(vault, facts, report):
            _check_vault(catalog, vault, facts, report, quick=quick, progress=progress)
    for name in sorted(facts.used - {v.name for v in looks}):
        report.add("vault-offline", name, "it holds originals, but is in no configuration")
    check_handovers(catalog, looks, facts.chain, facts.states, report)
    check_archives(catalog, looks, facts.chain, report)
    _check_dockings(catalog, facts.opened, abandoned, report)
    mirrors(catalog, looks, facts.chain, facts.mirrored, facts.noted, abandoned, report)
    return report


def verify_custody(
    catalog: AuditCatalog, vaults: Sequence[Reader], abandoned: Callable[[str], bool], *, station: str
) -> Report:
    """Check the chain alone: in the catalogue, in every reachable mirror, and against what hand-over records say of it."""
    report = Report()
    abandoned = _careful(abandoned)
    looks = [_look_or_note(vault, station, report) for vault in vaults]
    with catalog.snapshot() as snap:
        _check_schema(snap, report)
        chain = _chain(snap, report, station)
        markers, mirrored, noted, states = snap.vaults(), snap.mirrored(), snap.segments(), snap.docking_states()
    check_mirrored(mirrored, markers, chain, report)
    check_noted(noted, markers, chain, report)
    for vault in looks:
        _elsewhere(vault, report)
        if vault.online and markers.get(vault.name) != vault.marker:
            vault.online = False
            report.notes.append(f"vault {vault.name} is not the registered one: its mirror was not compared")
    check_handovers(catalog, looks, chain, states, report, custody_only=True)
    mirrors(catalog, looks, chain, mirrored, noted, abandoned, report)
    return report


def _look_or_note(vault: Reader, station: str, report: Report) -> Look:
    try:
        return look(vault, station, originals=False)
    except MediadError as e:
        report.notes.append(f"{e.message}: its mirror was not compared")
        return Look(vault, station, online=False)


def _careful(abandoned: Callable[[str], bool]) -> Callable[[str], bool]:
    """Ask only about what can be a docking: anything else that stands in its place has no lock, and no process."""
    return lambda docking: _DOCKING.fullmatch(docking) is None or abandoned(docking)


def _chain(snap: Snapshot, report: Report, station: str) -> Chain:
    chain = Chain(station).walk(snap.events())
    report.count("events", chain.head)
    if chain.broken is not None:
        report.findings.append(chain.broken)
    report.findings += chain.approvals.findings
    report.count("signatures", chain.approvals.verified)
    return chain


def _check_schema(snap: Snapshot, report: Report) -> None:
    for what in snap.schema_differences():
        report.add("catalogue-damaged", "schema", what)


def _facts(snap: Snapshot, report: Report, looks: Sequence[Look], station: str, *, quick: bool) -> _Facts:
    if not quick:
        for line in snap.damage():
            report.add("catalogue-damaged", "catalogue", line)
    _check_schema(snap, report)
    for subject, what in snap.misfits():
        report.add("catalogue-damaged", subject, what)
    chain = _chain(snap, report, station)
    check_structure(snap, report)
    if chain.broken is None:
        _replay(snap, report)
    else:
        report.notes.append("the custody log is broken, so the tables were not compared with it")
    names = [v.name for v in looks]
    reserved = {name: list(snap.placements(name)) for name in names}
    opened = snap.open_dockings()
    facts = _Facts(
        chain,
        {name: {row.key: row for row in snap.originals(name)} for name in names},
        # A docking is not closed while its bytes are on their way, so what a closed one has reserved explains nothing.
        {name: {row.key for row in rows if row.docking in opened} for name, rows in reserved.items()},
        snap.vaults(),
        snap.mirrored(),
        snap.segments(),
        snap.docking_states(),
        opened,
        snap.replicas_by_vault(),
    )
    for rows in reserved.values():
        check_reservations(rows, report)
    check_mirrored(facts.mirrored, facts.markers, chain, report)
    check_noted(facts.noted, facts.markers, chain, report)
    return facts


def _replay(snap: Snapshot, report: Report) -> None:
    shown = 0
    try:
        for table, row, what in snap.differences():
            shown += 1
            if shown <= _DIFFERENCES_SHOWN:
                report.add("facts-differ", f"{table} {row}", what)
    except ReplayFailed as e:
        report.add("log-unplayable", f"event {e.seq}", str(e))
    except CatalogError as e:
        report.add("catalogue-damaged", "catalogue", e.message)
    if shown > _DIFFERENCES_SHOWN:
        report.add("facts-differ", "catalogue", f"and {shown - _DIFFERENCES_SHOWN} more rows")


def _elsewhere(vault: Look, report: Report) -> None:
    """A vault of which a part lies elsewhere is none to mediad, and nothing of it is believed here."""
    for folder in vault.elsewhere:
        vault.online = False
        report.add(
            "vault-offline", vault.name, f"{folder} is a link, or lies on another disk; nothing of it was checked"
        )


def _online(vault: Look, facts: _Facts, report: Report) -> bool:
    registered = facts.markers.get(vault.name)
    _elsewhere(vault, report)
    if not vault.online:
        return False
    if registered is None:
        vault.online = False
        report.notes.append(f"vault {vault.name} is not registered yet")
    elif vault.marker != registered:
        vault.online = False
        what = "its marker file is missing" if vault.marker is None else f"its marker says {vault.marker}"
        report.add("vault-offline", vault.name, f"{what}, registered is {registered}; nothing of it was checked")
    return vault.online


def _check_vault(
    catalog: AuditCatalog, vault: Look, facts: _Facts, report: Report, *, quick: bool, progress: Progress
) -> None:
    recorded = facts.originals[vault.name]
    named = {key for name, key in facts.chain.stored if name == vault.name} | set(recorded) | facts.placed[vault.name]
    vault.report_strays(report.add)
    foreign = check_sidecars(catalog, vault, recorded, named | facts.chain.explained, facts.chain, report)
    for key in vault.originals:
        if key in named or vault.reader.stat(key) is None:
            continue
        if vault.is_half(key):
            report.add("half-file", key, "an unfinished file lies outside the staging area")
        elif key.rpartition("/")[0] in foreign.claimed:
            foreign.keys.append(key)
        else:
            report.add("original-orphan", key, "no asset and no reservation names these bytes")
    _read_originals(vault, recorded, report, quick=quick, progress=progress)
    check_foreign(vault, foreign, report)


def _read_originals(vault: Look, recorded: dict[str, Any], report: Report, *, quick: bool, progress: Progress) -> None:
    to_read = list(_by_sight(vault, recorded, report))
    report.count("originals", len(recorded))
    if quick:
        report.notes.append("quick: the bytes of originals were not read")
        return
    progress.begin(len(to_read), sum(row.size for row in to_read))
    with ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="fsck") as pool:
        for start in range(0, len(to_read), _AT_ONCE):
            part = to_read[start : start + _AT_ONCE]
            for what, found in pool.map(lambda row: _measure(vault, row, progress.moved), part):
                report.count(what)
                report.findings.extend(found)
                progress.done()


def _by_sight(vault: Look, recorded: dict[str, Any], report: Report) -> Iterator[Any]:
    """Originals whose name, size and rights are right, so that their bytes are worth reading."""
    for key, row in recorded.items():
        entry = vault.originals.get(key) or vault.reader.stat(key)
        if entry is None:
            report.add("original-missing", row.id, f"{key} is not in vault {vault.name}")
            continue
        if entry.kind != "file":
            report.add("original-unreadable", row.id, f"{key} is no regular file, or cannot be looked at")
            continue
        if entry.mode & 0o222:
            report.add("original-writable", row.id, f"{key} has mode {entry.mode:04o}")
        if entry.size != row.size:
            report.add("original-differs", row.id, f"{key} has {entry.size} bytes, recorded are {row.size}")
        else:
            yield row


def _measure(vault: Look, row: Any, moved: Callable[[int], None]) -> tuple[str, list[Finding]]:
    wanted = {"sha256": row.sha256} | ({"sm3": row.sm3} if row.sm3 else {})
    try:
        answer = vault.reader.measure(row.key, list(wanted), moved)
    except NotFound as e:
        return "gone", [Finding("original-missing", row.id, e.message)]
    except MediadError as e:
        return "failed", [Finding("original-unreadable", row.id, e.message)]
    wrong = [a for a, digest in wanted.items() if answer.digests[a] != digest]
    found = [Finding("original-differs", row.id, f"{row.key} has other bytes ({', '.join(wrong)})")] if wrong else []
    return f"read_{answer.method}", found


def _check_dockings(
    catalog: AuditCatalog, opened: Iterable[str], abandoned: Callable[[str], bool], report: Report
) -> None:
    left = [docking for docking in opened if abandoned(docking)]
    if not left:
        return
    with catalog.snapshot() as snap:
        still = set(snap.open_dockings())  # one that was closed a moment ago has given its lock back as well
    for docking in left:
        if docking in still:
            report.add(
                "docking-abandoned",
                docking,
                "it is open, but no process works on it: a start or ingest closes it, or raises an alarm",
            )
