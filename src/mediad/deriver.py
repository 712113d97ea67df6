"""Behind the ingest: one step of what is due, at a time; and the only place where probe, assemble and preview meet.

Everything that is due is a row that came with a fact (catalog/due.py). A step takes some rows in the name of its worker, does them,
and records the answers; what cannot be done now is put off. Nothing is remembered here: a worker may be killed at any point.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

import structlog

from mediad.catalog import due
from mediad.catalog.ledger import Ledger
from mediad.errors import Busy, MediadError, Stopping, VaultFull, VaultOffline
from mediad.model.backoff import put_off
from mediad.stages import assemble, preview, probe

_log = structlog.get_logger()

PROBES = 64
"""Originals that are probed, and recorded, together."""

PHOTOS = 64
"""Photos that are previewed together."""

BUSY_AGAIN = timedelta(seconds=5)

WORLDS_FAULT = (Stopping, Busy, VaultOffline, VaultFull)
"""Errors that no subject can be blamed for, and that meet the next one as well."""


class Watch(Protocol):
    """Where a worker tells how far it is. Called from several threads; must not block."""

    def began(self, stage: str, subjects: Sequence[str]) -> None: ...

    def percent(self, subject: str, percent: float) -> None: ...

    def finding(self, subject: str, code: str, detail: str) -> None: ...

    def ended(self, stage: str, subjects: Sequence[str], done: int) -> None: ...


class Vault(probe.Vault, preview.Vault, Protocol):
    """The first vault, for reading originals."""


@dataclass(frozen=True)
class World:
    """What steps need of the world. ``alone`` keeps others from assembling at the same time; it raises Busy."""

    vault: Vault
    parsers: probe.Parsers
    rules: assemble.Rules
    maker: preview.Maker | None
    alone: Callable[[], AbstractContextManager[None]]
    live: Callable[[Collection[str]], set[str]]
    """Which of these workers still live."""


class Deriver:
    """Takes steps in the name of one worker. Safe to use from many threads.

    ``only``: per stage the subjects that are wanted, instead of all; ``patient``: what a failure has put off waits.
    """

    def __init__(
        self,
        ledger: Ledger,
        world: World,
        owner: str,
        watch: Watch,
        stop: threading.Event,
        *,
        only: Mapping[str, Collection[str]] | None = None,
        patient: bool = True,
    ) -> None:
        self._ledger, self._world, self._owner, self._watch, self._stop = ledger, world, owner, watch, stop
        self._only, self._patient = only, patient
        self._tried: dict[str, set[str]] = {stage: set() for stage in due.STAGES}
        """What an impatient worker has tried, by stage: once is enough."""

    def step(self) -> bool:
        """Do some of what is due, probes first; False if nothing is."""
        if rows := self._take(due.PROBE, PROBES):
            with self._taken(due.PROBE, rows) as done:
                done.extend(self._together(due.PROBE, rows, self._probe))
            return True
        if rows := self._take(due.ASSEMBLE, 1):
            with self._taken(due.ASSEMBLE, rows) as done:
                done.extend(self._assemble(rows[0].subject))
            return True
        if self._world.maker is None:
            self._unwanted((due.PHOTO, due.PREVIEW))
            return False
        for stage, most in ((due.PHOTO, PHOTOS), (due.PREVIEW, 1)):
            if rows := self._take(stage, most):
                with self._taken(stage, rows) as done:
                    done.extend(self._together(stage, rows, partial(self._preview, stage, self._world.maker)))
                return True
        return False

    def give_back(self) -> None:
        """What was taken and not answered is due as before. For the end."""
        self._ledger.catalog.write(lambda conn: due.give_back(conn, self._owner))

    # --- taking -----------------------------------------------------------------------------------------------------

    def _live(self, owners: Collection[str]) -> set[str]:
        return self._world.live(set(owners) - {self._owner}) | {self._owner}

    def _take(self, stage: str, limit: int) -> list[Any]:
        """Look without writing, since that is done all the time; and take what is still free then."""
        only = None if self._only is None else self._only.get(stage, ())
        with self._ledger.catalog.read() as conn:
            seen = due.waiting(
                conn, stage, self._ledger.clock(), live=self._live(due.owners(conn)), limit=limit,
                patient=self._patient, only=only, without=self._tried[stage],
            )  # fmt: skip
        if not seen:
            return []
        rows = self._ledger.catalog.write(lambda conn: due.take(conn, seen, self._owner, self._ledger.clock(), put_off))
        if not self._patient:
            self._tried[stage].update(row.subject for row in rows)
        return rows

    def _unwanted(self, stages: Sequence[str]) -> None:
        """What the settings do not want is not due: it would wait for ever."""
        with self._ledger.catalog.read() as conn:
            there = any(due.waiting(conn, s, self._ledger.clock(), live=(), limit=1, patient=False) for s in stages)
        if there:
            self._ledger.catalog.write(lambda conn: due.drop(conn, stages))

    @contextmanager
    def _taken(self, stage: str, rows: Sequence[Any]) -> Iterator[list[str]]:
        """Tell of what was taken, and of what of it was done: that goes into the list."""
        done: list[str] = []
        subjects = [row.subject for row in rows]
        self._watch.began(stage, subjects)
        with self._guarded(stage, rows):
            yield done
        self._watch.ended(stage, subjects, len(done))

    @contextmanager
    def _guarded(self, stage: str, rows: Sequence[Any], *, but: tuple[type[BaseException], ...] = ()) -> Iterator[None]:
        """Whatever goes wrong with what was taken, it is due again later, and says why; ``but`` for what is raised."""
        subjects = [row.subject for row in rows]
        tries = max(row.tries for row in rows) + 1
        try:
            yield
        except but:
            raise
        except Stopping:  # no try: it is not the subject's fault
            self._ledger.catalog.write(lambda conn: due.give_back(conn, self._owner, subjects))
        except Busy as e:
            self._later(stage, dict.fromkeys(subjects, e.message), BUSY_AGAIN)
        except MediadError as e:
            _log.warning("put off", stage=stage, code=e.code, why=e.message, subjects=subjects[:3])
            self._later(stage, dict.fromkeys(subjects, f"{e.message} ({e.code})"), put_off(tries))
        except Exception as e:  # a fault of ours with one subject must not keep the others waiting for ever
            _log.exception("step failed", stage=stage, subjects=subjects[:3])
            self._later(stage, dict.fromkeys(subjects, f"an unexpected fault: {type(e).__name__}"), put_off(tries))

    def _later(self, stage: str, why: Mapping[str, str], wait: timedelta) -> None:
        at = self._ledger.clock() + wait

        def write(conn: Any) -> None:
            for subject, reason in why.items():
                due.later(conn, stage, subject, self._owner, at, reason)

        self._ledger.catalog.write(write)
        for subject, reason in why.items():
            if reason:
                self._watch.finding(subject, f"{stage}-later", reason)

    def _together(
        self, stage: str, rows: Sequence[Any], act: Callable[[Sequence[Any]], Sequence[str]]
    ) -> Sequence[str]:
        """Do several at once; if that fails, each by itself: what one of them does to its parser must not hold up the others."""
        try:
            return act(rows)
        except WORLDS_FAULT:
            raise
        except Exception as e:
            if len(rows) == 1:
                raise
            _log.warning("done one by one", stage=stage, count=len(rows), why=str(e))
        done: list[str] = []
        for row in rows:
            if self._stop.is_set():
                raise Stopping("mediad is stopping", hint="the rest is done at the next start")
            with self._guarded(stage, [row], but=WORLDS_FAULT):
                done += act([row])
        return done

    # --- the stages -------------------------------------------------------------------------------------------------

    def _probe(self, rows: Sequence[Any]) -> Sequence[str]:
        outcome = probe.run(self._ledger, self._world.vault, self._world.parsers, [row.subject for row in rows])
        for asset, answer in outcome.done.items():
            for remark in answer.remarks:
                self._watch.finding(asset, remark.code, remark.detail)
        for row in rows:
            if (why := outcome.later.get(row.subject)) is not None:
                self._later(due.PROBE, {row.subject: why}, put_off(row.tries + 1))
        return list(outcome.done)

    def _assemble(self, docking: str) -> Sequence[str]:
        with self._world.alone():
            assemble.run(self._ledger, self._world.rules, docking)
        self._answered(due.ASSEMBLE, docking)
        return [docking]

    def _preview(self, stage: str, maker: preview.Maker, rows: Sequence[Any]) -> Sequence[str]:
        names = [row.subject for row in rows]
        answers = preview.run(self._ledger, self._world.vault, maker, names, self._watch.percent)
        for answer in answers:
            self._answered(stage, answer.recording, answer.note)
            if answer.state == "failed":
                self._watch.finding(answer.recording, answer.detail["code"], answer.detail["detail"])
        return [answer.recording for answer in answers if answer.state == "made"]

    def _answered(self, stage: str, subject: str, also: Callable[[Any], None] | None = None) -> None:
        """It is done. If it became due anew meanwhile, or is another worker's by now, what was done may be older than what that one
        does: then it is looked at once more."""

        def write(conn: Any) -> None:
            if not due.done(conn, stage, subject, self._owner):
                due.again(conn, stage, [subject], self._ledger.clock())
            elif also is not None:
                also(conn)

        self._ledger.catalog.write(write)
