"""After a crash, and at every start: what dead dockings left open is finished."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from zoneinfo import ZoneInfo

import structlog

from mediad.errors import Busy, MediadError, Refused, VaultFull, VaultOffline
from mediad.model.evidence import DockingState, Finding, Outcome
from mediad.shared import Parts
from mediad.stages import handover, recover, verify

_log = structlog.get_logger()


@dataclass(slots=True)
class Finished:
    """What was finished after a crash: originals recorded, dockings closed, staging areas cleared; and what could not be."""

    originals: int = 0
    closed: list[str] = field(default_factory=list)
    cleared: int = 0
    trouble: list[Finding] = field(default_factory=list)


def finish_open_work(parts: Parts, abandoned: Callable[[str], bool], *, zone: ZoneInfo) -> Finished:
    """After a crash, and at every start: finish open placements, close broken dockings, clear staging, mirror the log.

    One leftover that cannot be finished is told by an alarm and left as it is, and the others go on; only a vault or a
    catalogue that is gone as a whole raises. Between two of them it ends early if mediad is to stop: nothing is lost, the next
    start goes on.
    """
    ledger, vault, done = parts.ledger, parts.vault, Finished()
    vault.check()  # an unmounted vault looks empty, and what it was promised would seem never to have arrived

    def dead(docking_id: str) -> bool:
        with _Apart(parts, done, docking_id):
            return abandoned(docking_id)
        return False  # in doubt somebody works on it

    for batch in recover.open_batches(ledger, vault, dead):
        if parts.stop.is_set():
            return done
        with _Apart(parts, done, batch.id):
            placed, wrong = recover.take_in(ledger, vault, batch)
            outcomes = verify.verify_batch(ledger, vault, placed, ())
            done.originals += sum(1 for outcome, _ in outcomes if outcome is Outcome.STORED)
            if wrong is not None:
                raise wrong
    for name, originals in recover.out_of_reach(ledger, vault, dead).items():
        with _Apart(parts, done, name):
            raise Refused(
                f"{originals} originals are on their way to vault {name}, which is not the first one any more"
            )
    _mirror(parts, done)
    for docking_id in recover.abandoned_dockings(ledger, dead):
        if parts.stop.is_set():
            return done
        with _Apart(parts, done, docking_id):
            finding = Finding("interrupted", docking_id, "mediad ended in the middle of this docking")
            handover.close_docking(
                ledger, vault, docking_id, DockingState.INTERRUPTED, [finding], unit=parts.unit, zone=zone
            )  # fmt: skip
            done.closed.append(docking_id)
    with _Apart(parts, done, vault.name):
        done.cleared = recover.clear_staging(ledger, vault, dead)
    _mirror(parts, done)
    if done.originals or done.closed:
        _log.warning("finished what was interrupted", originals=done.originals, dockings=len(done.closed))
    return done


def _mirror(parts: Parts, done: Finished) -> None:
    """A full vault takes no more of the log now; the next pass makes up for it."""
    try:
        parts.mirror()
    except VaultFull as e:
        done.trouble.append(Finding(e.code, parts.vault.name, e.message))


class _Apart:
    """Keeps the trouble of one batch or docking away from the others."""

    def __init__(self, parts: Parts, done: Finished, subject: str) -> None:
        self._parts, self._done, self._subject = parts, done, subject

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        if not isinstance(error, Exception) or isinstance(error, VaultOffline | Busy):
            return False  # not this one's trouble
        if not isinstance(error, MediadError):  # a fault of ours, or a system's error that no edge has a word for
            _log.error("finishing failed", subject=self._subject, exc_info=error)
            error = MediadError(f"an unexpected fault: {type(error).__name__}", code="unexpected")
        finding = Finding(error.code, self._subject, error.message)
        if finding not in self._done.trouble:
            _log.error("cannot be finished", subject=self._subject, code=error.code, why=error.message)
            self._done.trouble.append(finding)
            if not isinstance(error, VaultFull):  # that passes, and tells of itself
                self._parts.ledger.raise_alarm("unfinished", self._subject, f"{error.message} ({error.code})")
        return True
