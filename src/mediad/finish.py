"""After a crash, and at every start: what dead dockings left open is finished."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import structlog

from mediad.model.evidence import DockingState, Finding, Outcome
from mediad.session import Parts
from mediad.stages import handover, mirror, recover, verify

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Finished:
    """What was finished after a crash: originals recorded, dockings closed, staging areas cleared."""

    originals: int = 0
    closed: Sequence[str] = ()
    cleared: int = 0


def finish_open_work(parts: Parts, abandoned: Callable[[str], bool], *, zone: ZoneInfo) -> Finished:
    """After a crash, and at every start: finish open placements, close broken dockings, clear staging, mirror the log."""
    ledger, vault = parts.ledger, parts.vault
    vault.check()  # an unmounted vault looks empty, and what it was promised would seem never to have arrived
    originals = 0
    for batch in recover.open_batches(ledger, vault, abandoned):
        originals += sum(1 for outcome, _ in verify.verify_batch(ledger, vault, batch, ()) if outcome is Outcome.STORED)
    closed = recover.abandoned_dockings(ledger, abandoned)
    with parts.mirroring:
        mirror.mirror(ledger, vault)
    for docking_id in closed:
        finding = Finding("interrupted", docking_id, "mediad ended in the middle of this docking")
        handover.close_docking(
            ledger, vault, docking_id, DockingState.INTERRUPTED, [finding], unit=parts.unit, zone=zone
        )  # fmt: skip
    cleared = recover.clear_staging(ledger, vault, abandoned)
    with parts.mirroring:
        mirror.mirror(ledger, vault)
    if originals or closed:
        _log.warning("finished what was interrupted", originals=originals, dockings=len(closed))
    return Finished(originals, closed, cleared)
