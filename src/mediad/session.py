"""One docking, seen through from "it is here" to "safe to take".

The steps stand in ``run`` in their order. While one batch is read, the one before it is stored, verified, recorded and
mirrored by a second thread: reading is the recorder's time, the rest is the vault's.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import structlog

from mediad.errors import DeviceGone, MediadError, SourceError, Stopping, VaultFull
from mediad.model import facts
from mediad.model.custody import Draft
from mediad.model.evidence import (
    BatchPlan,
    Copied,
    Counts,
    Docking,
    DockingState,
    Finding,
    Listing,
    Outcome,
    Planned,
    Rejected,
    SourceFile,
    plan_batches,
)
from mediad.model.layout import MAX_BATCH_BYTES, MAX_BATCH_FILES
from mediad.model.profile import Profile
from mediad.model.sizes import human
from mediad.settler import Settler
from mediad.shared import Batch, Parts
from mediad.stages import dock, handover, ingest, recover, store, verify

_log = structlog.get_logger()
T = TypeVar("T")


class Progress(Protocol):
    """Where a docking tells how far it is. Called from two threads; must not block."""

    def begin(self, files: int, size: int) -> None: ...

    def moved(self, size: int) -> None: ...

    def settled(self, outcome: Outcome, size: int) -> None: ...

    def paused(self, reason: MediadError | None) -> None: ...


class Source(ingest.Source, Protocol):
    def look_again(self, file: SourceFile) -> SourceFile: ...

    def volumes(self) -> Sequence[dock.Walk]: ...


@dataclass
class Result:
    """How a docking ended. ``error`` is what broke it off, if anything did; ``record`` is its hand-over record."""

    docking: str
    state: DockingState
    counts: Counts
    record: dict[str, Any]
    findings: list[Finding] = field(default_factory=list)
    error: MediadError | None = None


_SPACE_POLL_SECONDS = 2.0

_LOOK_SECONDS, _LOOK_MOST_SECONDS = 0.2, 5.0
"""How long to wait before looking again at bytes that somebody else is storing: at first, and at most."""

_LOOKS = 30
"""How many looks, some two minutes, may find those bytes promised and nobody at work on them, before they are given up."""


class Session:
    """The work on one docking. Use it once."""

    def __init__(
        self,
        parts: Parts,
        docking: Docking,
        source: Source,
        profile: Profile,
        progress: Progress,
        *,
        name_known: bool = True,
    ) -> None:
        self.parts, self.docking, self.source, self.profile, self.progress = parts, docking, source, profile, progress
        self.name_known = name_known
        self.log = _log.bind(docking=docking.id, recorder=docking.source.label, slot=docking.slot)
        self.waiting: list[tuple[Planned, Copied]] = []
        self.unsealed: list[tuple[Planned, VaultFull]] = []
        self.patience = _LOOK_SECONDS
        self.unseen: Counter[str] = Counter()
        """Dockings whose bytes are waited for, and how many looks saw nobody work on them."""

    def run(self) -> Result:
        """1 open · 2 look · 3 read and store, batch by batch · 4 hand over · 5 mirror.

        Raises only what makes closing impossible; the docking then stays open and is closed by ``finish_open_work``.
        """
        return self._run(self._look)

    def run_if_new(self, told: Collection[Rejected] = ()) -> Result | None:
        """The same for a folder that is looked at again and again: without anything new there is no docking at all. What cannot
        be read is new once; ``told`` is what a record names already."""
        listing = self._look()
        fresh = listing.new or any(r.outcome is Outcome.FAILED and r not in told for r in listing.rejected)
        return self._run(lambda: listing) if fresh else None

    def _run(self, look: Callable[[], Listing]) -> Result:
        dock.open_docking(self.parts.ledger, self.docking)
        self.log.info("docked", where=self.docking.where, profile=self.profile.name)
        listing, error = Listing(), None
        try:
            listing = look()
            dock.record_listing(self.parts.ledger, self.docking, listing, name_known=self.name_known)
            self._read(listing)
        except MediadError as e:
            error = e
        except Exception as e:  # a fault of ours must not leave a docking without its record
            self.log.exception("docking failed")
            error = MediadError(
                f"an unexpected fault: {type(e).__name__}", code="unexpected", hint="see the log and report it"
            )
        return self._hand_over(listing, error)

    def _look(self) -> Listing:
        p = self.parts
        listing = dock.look(
            p.ledger, self.docking, self.source.volumes(), self.profile, p.vault, p.limits.max_files
        )  # fmt: skip
        if not self.source.present():
            # A pulled card looks empty: a listing counts only if the device is still there afterwards.
            raise DeviceGone("the recorder was taken away", hint="dock it again")
        return listing

    def _hand_over(self, listing: Listing, error: MediadError | None) -> Result:
        p = self.parts
        state = self._state(error, listing)
        findings = list(listing.findings)
        if not self.docking.source.registered:
            findings.append(Finding("recorder-unregistered", self.docking.source.key, "not a registered recorder"))
        if self.docking.source.doubt:
            findings.append(Finding("identity-not-unique", self.docking.source.key, self.docking.source.doubt))
        if error is not None:
            findings.append(Finding(error.code, self.docking.id, error.message))
        if error is not None:
            try:
                self._finish_own()
            except MediadError as e:
                raise error from e
        self._with_room(p.mirror)  # before the record, which names the newest event that the mirror holds
        body, counts = self._with_room(lambda: handover.close_docking(
            p.ledger, p.vault, self.docking.id, state, findings, unit=p.unit, zone=self.docking.unit_zone,
            unlisted=0 if self.name_known else len(listing.known),
        ))  # fmt: skip
        self._with_room(p.mirror)
        self.log.info("handed over", state=body["state"], **handover.vars_of(counts))
        return Result(self.docking.id, DockingState(body["state"]), counts, body, findings, error)

    def _finish_own(self) -> None:
        """Bytes that were promised a place when the settler stopped: they are verified and recorded now, or the docking stays
        open. Its record is written once and must not say of them that they were not reached."""
        p = self.parts
        for batch in recover.open_batches(p.ledger, p.vault, lambda docking: docking == self.docking.id):
            placed, wrong = recover.take_in(p.ledger, p.vault, batch)
            for outcome, size in verify.verify_batch(p.ledger, p.vault, placed, ()):
                self.progress.settled(outcome, size)
            if wrong is not None:
                raise wrong

    def _with_room(self, act: Callable[[], T]) -> T:
        """What must be written before the recorder may go: on a full vault it is tried until there is room, if one waits at all."""
        while True:
            try:
                return act()
            except VaultFull as full:
                try:
                    self._await_space(0, hurt=full)
                except (Stopping, DeviceGone):
                    raise full from None

    def _state(self, error: MediadError | None, listing: Listing) -> DockingState:
        if isinstance(error, DeviceGone | Stopping):
            return DockingState.INTERRUPTED
        if error is not None or any(r.outcome is Outcome.FAILED for r in listing.rejected):
            return DockingState.INCOMPLETE
        return DockingState.COMPLETE

    # --- reading ----------------------------------------------------------------------------------------------------

    def _read(self, listing: Listing) -> None:
        planned = dock.plan(self.docking, self.profile, listing.new)
        known = len(listing.known)
        self.progress.begin(known + len(planned), sum(f.file.size for f in planned))
        for item in listing.known:
            self.progress.settled(Outcome.KNOWN, item.file.size)
        changed = self._batches(planned, last_try=False)
        if changed:
            again, failed = self._look_again(changed)
            self._record_failures(failed)
            self._batches(dock.plan(self.docking, self.profile, again), last_try=True)
        while self.waiting or self.unsealed:
            if self.unsealed:
                unsealed, self.unsealed = self.unsealed, []
                self._await_space(sum(p.file.size for p, _ in unsealed), hurt=unsealed[-1][1])
                self._batches([p for p, _ in unsealed], last_try=True)
            else:
                self._resolve_waiting()

    def _batches(self, planned: Sequence[Planned], *, last_try: bool) -> list[Planned]:
        """Take files batch by batch; returns those that changed while they were read, unless this was the last try."""
        plans = plan_batches(
            planned, self.docking.unit_zone, max_files=MAX_BATCH_FILES, max_bytes=MAX_BATCH_BYTES
        )  # fmt: skip
        changed: list[Planned] = []
        with Settler(self._settle, lambda job: job.batch.close()) as settler:
            while plans:
                rest: BatchPlan | None = plans.pop(self._next_that_fits(plans))
                while rest is not None:
                    rest = self._one(rest, settler, changed, last_try=last_try)
        return changed

    def _next_that_fits(self, plans: Sequence[BatchPlan]) -> int:
        """The first batch for which there is room, else the first: one that claims more than is free must not hold back others."""
        return next((n for n, plan in enumerate(plans) if self._full(plan.bytes) is None), 0)

    def _one(
        self, plan: BatchPlan, settler: "Settler[Job]", changed: list[Planned], *, last_try: bool
    ) -> BatchPlan | None:
        """Copy one batch and hand it to the settler; returns what is left of it after a full vault."""
        p = self.parts
        settler.check()
        self._check_stop()
        plan = self._without_impossible(plan)
        if not plan.files:
            return None
        self._await_space(plan.bytes)
        batch = p.vault.begin(self.docking.id, p.new_id("bat"))
        copied = ingest.copy_batch(plan, batch, self.source, p.algorithms, self._moved)
        failures: list[Draft] = []
        for planned, why in copied.failed:
            if why.code == "source-changed" and not last_try:
                changed.append(planned)
            else:
                failures.append(self._failure(planned.file, why.message))
        settler.put(Job(batch, copied, failures))
        if isinstance(copied.stopped, VaultFull):
            settler.drain()
            self._await_space(sum(f.file.size for f in copied.unread), hurt=copied.stopped)
            return BatchPlan(plan.shelf, copied.unread)
        if copied.stopped is not None:
            raise copied.stopped
        return None

    def _moved(self, size: int) -> None:
        self.progress.moved(size)
        self._check_stop()

    def _check_stop(self) -> None:
        if self.parts.stop.is_set():
            raise Stopping("mediad is stopping", hint="the rest is taken at the next docking")

    def _settle(self, job: "Job") -> None:
        """Store, verify, record, mirror. Runs in the settler's thread, one batch at a time."""
        p, batch, copied = self.parts, job.batch, job.copied
        try:
            placed = store.store_batch(p.ledger, self.docking, copied.plan, copied.copied, batch, p.vault)
        except BaseException:
            batch.close()  # its folder stays for ``recover``, which knows what was promised
            raise
        if placed.full is not None:
            self.unsealed += [(planned, placed.full) for planned, _ in copied.copied]
        self.waiting.extend(placed.waiting)
        for outcome, size in verify.verify_batch(p.ledger, p.vault, placed.placed, placed.sighted, job.failures):
            self.progress.settled(outcome, size)
        with suppress(VaultFull):  # what comes next waits for room, or ends; the hand-over makes up for it
            p.mirror()

    # --- what can go wrong with single files ------------------------------------------------------------------------

    def _failure(self, file: SourceFile, why: str) -> Draft:
        self.log.warning("file failed", why=why)
        return facts.failed(self.docking.id, facts.claim(file), why)

    def _record_failures(self, drafts: Sequence[Draft]) -> None:
        if drafts:
            self.parts.ledger.record(drafts)
            for draft in drafts:
                self.progress.settled(Outcome.FAILED, draft.detail["size"])

    def _look_again(self, changed: Sequence[Planned]) -> tuple[list[SourceFile], list[Draft]]:
        again: list[SourceFile] = []
        failed: list[Draft] = []
        for planned in changed:
            try:
                again.append(self.source.look_again(planned.file))
            except SourceError as e:
                failed.append(self._failure(planned.file, e.message))
        return again, failed

    def _without_impossible(self, plan: BatchPlan) -> BatchPlan:
        """Files that could not enter even an empty vault (a sparse file on a hostile card claims any size) fail at once."""
        total = self.parts.vault.space().total
        impossible = [f for f in plan.files if f.file.size > total]
        if not impossible:
            return plan
        self._record_failures([self._failure(f.file, "larger than the whole vault") for f in impossible])
        return BatchPlan(plan.shelf, [f for f in plan.files if f.file.size <= total])

    def _await_space(self, needed: int, hurt: VaultFull | None = None) -> None:
        """Wait until the vault has room for ``needed`` bytes above its reserve; the alarm is the paused slot and the metric."""
        paused = False
        while (full := hurt or self._full(needed)) is not None:
            if not self.parts.wait_for_space:
                raise full
            hurt = None
            if not paused:
                self.log.error("paused", why=full.message)
            paused = True
            self.progress.paused(full)
            if self.parts.stop.wait(_SPACE_POLL_SECONDS):
                self._check_stop()
            if not self.source.present():
                raise DeviceGone("the recorder was taken away", hint="dock it again")
        if paused:
            self.log.info("resumed")
            self.progress.paused(None)

    def _full(self, needed: int) -> VaultFull | None:
        space = self.parts.vault.space()
        reserve = self.parts.limits.reserve(space.total)
        if space.free - needed >= reserve:
            return None
        return VaultFull(
            f"vault {self.parts.vault.name} has {human(space.free)} free, needs {human(needed)}"
            f" and keeps {human(reserve)} in reserve",
            hint="make room or add a disk; the daemon goes on by itself, `mediad ingest` is to be run again",
        )

    def _resolve_waiting(self) -> None:
        """Files whose bytes another docking was storing at the same moment: a sighting now, or to be read again."""
        waiting, self.waiting = self.waiting, []
        sighted, unsettled, again = store.resolve(self.parts.ledger, self.docking, waiting, self.parts.vault)
        for outcome, size in verify.verify_batch(self.parts.ledger, self.parts.vault, (), sighted):
            self.progress.settled(outcome, size)
        if again:
            self._batches(again, last_try=True)
        if unsettled:
            self.parts.finish_others()
            self._wait_or_give_up(unsettled)
        if self.waiting:
            if self.parts.stop.wait(self.patience):
                self._check_stop()
            self.patience = min(2 * self.patience, _LOOK_MOST_SECONDS)

    def _wait_or_give_up(self, unsettled: Sequence[tuple[Planned, Copied, str]]) -> None:
        """Bytes that a docking promised and nobody can be seen to bring are not waited for for ever: the recorder has them still,
        and somebody must look at that docking."""
        for docking in {docking for _, _, docking in unsettled}:
            self.unseen[docking] += not self.parts.worked_on(docking)
        lost = {docking for docking, looks in self.unseen.items() if looks > _LOOKS}
        self.waiting += [(planned, item) for planned, item, docking in unsettled if docking not in lost]
        given_up = [(planned, docking) for planned, _, docking in unsettled if docking in lost]
        for docking in {docking for _, docking in given_up}:
            self.parts.ledger.raise_alarm("unfinished", docking, "others wait for its bytes, and nobody works on it")
        self._record_failures([
            self._failure(planned.file, f"its bytes belong to an unfinished docking, see the alarm: {docking}")
            for planned, docking in given_up
        ])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """A batch that was read, on its way to the settler."""

    batch: Batch
    copied: ingest.CopiedBatch
    failures: Sequence[Draft]
