"""The catalogue by itself, and the custody log's mirrors in the vaults."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from mediad.catalog.audit import AuditCatalog, Snapshot
from mediad.fsck.custody import Chain, Mirror, check_mirror, loads
from mediad.fsck.vault import Look
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


def check_reservations(rows: Iterable[Any], report: Report) -> None:
    """What a reservation says of the bytes that it awaits: an interrupted docking is finished by it."""
    for row in rows:
        try:
            detail = loads(row.detail)
            good = detail["key"] == row.key and detail["sha256"] == row.sha256
        except (KeyError, TypeError, ValueError):
            good = False
        if not good:
            what = "its detail does not describe the original that it reserves a place for"
            report.add("catalogue-damaged", f"placement {row.key}", what)


def check_mirrored(rows: Iterable[Any], vaults: Mapping[str, str], chain: Chain, report: Report) -> None:
    """How far the catalogue believes each mirror to reach, against its own log."""
    for row in rows:
        subject = f"mirrored {row.vault}"
        if row.vault not in vaults:
            report.add("facts-differ", subject, "no such vault was ever registered")
        elif row.seq > chain.head:
            if chain.broken is None:
                report.add("facts-differ", subject, f"it names event {row.seq}, the log ends at {chain.head}")
        elif chain.hash_at(row.seq) != row.hash:
            report.add("facts-differ", subject, f"its hash is not that of event {row.seq}")


def check_noted(rows: Iterable[Any], vaults: Mapping[str, str], chain: Chain, report: Report) -> None:
    """Which segments the catalogue notes to have written, against its own log and each other; rows in order."""
    reached: dict[str, int] = {}
    for row in rows:
        subject = f"segment {row.vault}/{row.first}"
        if row.vault not in vaults:
            report.add("facts-differ", subject, "no such vault was ever registered")
        elif not reached.get(row.vault, 0) < row.first <= row.last:
            report.add(
                "facts-differ", subject, f"no segment of events {row.first} to {row.last} can follow those before it"
            )
        elif row.last > chain.head and chain.broken is None:
            report.add("facts-differ", subject, f"it goes to event {row.last}, the log ends at {chain.head}")
        reached[row.vault] = max(row.last, reached.get(row.vault, 0))


# --- mirrors --------------------------------------------------------------------------------------------------------


def mirrors(
    catalog: AuditCatalog,
    looks: Sequence[Look],
    chain: Chain,
    mirrored: Iterable[Any],
    noted: Iterable[Any],
    abandoned: Callable[[str], bool],
    report: Report,
) -> None:
    """Every mirror by itself and against the chain; that it is behind is said last, when it had the time to catch up."""
    believed = {row.vault: row.seq for row in mirrored}
    noted = list(noted)
    for vault in (v for v in looks if v.online):
        state = check_mirror(vault.reader, vault.segments, chain)
        report.count("segments", state.segments)
        report.findings.extend(state.findings)
        _noted_differ([row for row in noted if row.vault == vault.name], state, report)
        if state.findings or chain.broken is not None or state.reached >= chain.head:
            continue
        vault.list_segments()
        reached = max(state.reached, check_mirror(vault.reader, vault.segments, chain).reached)
        if reached < believed.get(vault.name, 0):
            gone = f"events {reached + 1} to {believed[vault.name]} were in vault {vault.name}, their segments are gone"
            report.add("segment-gap", vault.name, gone)
        elif reached < chain.head:
            _behind(catalog, vault.name, reached, chain, abandoned, report)


def _noted_differ(rows: Iterable[Any], state: Mirror, report: Report) -> None:
    """Notes of segments against the segments that were listed before; what was written since is not judged."""
    for row in rows:
        if state.whole and 1 <= row.first <= row.last <= state.reached and state.ranges.get(row.first) != row.last:
            lies = f"ends at event {state.ranges[row.first]}" if row.first in state.ranges else "is not in the vault"
            report.add(
                "facts-differ", f"segment {row.vault}/{row.first}", f"it goes to event {row.last}; that segment {lies}"
            )


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
