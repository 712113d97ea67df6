"""Behind the ingest: one step of what is due, at a time; and the only place where probe, assemble and preview meet.

Everything that is due is a row that came with a fact (catalog/due.py). A step takes some rows in the name of its worker, does them,
and records the answers; a subject that cannot be done now is put off. Where the world is to blame (the vault is offline or full,
the catalogue is busy), no subject is: its rows are given back, and the whole stage waits. No fact is remembered here: a worker may
be killed at any point.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

import structlog

from mediad.catalog import due
from mediad.catalog.ledger import Ledger
from mediad.errors import Busy, MediadError, Stopping, VaultOffline
from mediad.model.backoff import look_again, put_off
from mediad.stages import assemble, preview, probe

_log = structlog.get_logger()

PROBES = 64
"""Originals that are probed, and recorded, together."""

PHOTOS = 64
"""Photos that are previewed together."""

FACTS = (due.PROBE, due.ASSEMBLE)
PREVIEWS = (due.PHOTO, due.PREVIEW)

OLD_ONES_TURN = 4
"""Of so many takings, one is for what waits longest: the newest previews come first, and old ones all the same in the end."""

WORLDS_CODES = ("sandbox", "catalog-full")
"""Beside ``Busy`` and ``VaultOffline`` what no subject can be blamed for, and what meets the next one as well."""

UNFIT = "sandbox-unfit"
"""A program of ours that ended as if it were not whole; but so may one that a file has taken over, or that a file left no memory to
load a library. Where all of them run over nothing, it was the file."""

PASSING_CODES = ("busy", "catalog-full")
"""What is likely to pass while a person waits for ``mediad derive``, and how often it is waited for."""
PASSING_TIMES = 5


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
    """What steps need of the world. ``alone`` keeps others from assembling at the same time; it raises Busy. ``check`` raises
    MediadError if nothing of a stage can be done now, whatever the subject: the vault is offline, or has no room for previews;
    ``whole`` if what parsers and encoders are made of is not whole."""

    vault: Vault
    parsers: probe.Parsers
    rules: assemble.Rules
    maker: preview.Maker | None
    alone: Callable[[], AbstractContextManager[None]]
    check: Callable[[str], None]
    whole: Callable[[], object]
    live: Callable[[Collection[str]], set[str]]
    """Which of these workers still live."""


@dataclass(slots=True)
class _Pause:
    code: str
    times: int
    since: float
    until: float


class Pauses:
    """Stages that wait for the world. After growing waits one worker at a time tries again; the first success ends the pause for
    all. Safe to use from many threads; ``clock`` in seconds, never set back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._of: dict[str, _Pause] = {}

    def begin(self, stage: str) -> float | None:
        """A try of a stage begins: when, for ``failed`` and ``well``; None if the stage waits."""
        with self._lock:
            now = self._clock()
            if pause := self._of.get(stage):
                if now < pause.until:
                    return None
                pause.until = now + look_again(pause.times)  # for the others, until this one is back
            return now

    def failed(self, stage: str, began: float, error: MediadError, most: float = float("inf")) -> bool:
        """The world let nothing be done; True if it was the last time (of ``most``), and the stage is given up."""
        with self._lock:
            now, pause = self._clock(), self._of.get(stage)
            if pause and began < pause.since:
                return False  # begun before the pause: another one has said so
            told = any(p.code == error.code for p in self._of.values())
            times = pause.times + 1 if pause and pause.code == error.code else 1
            until = now + look_again(times) if times < most else float("inf")
            self._of[stage] = _Pause(error.code, times, now, until)
        if not told:
            _log.warning("waiting", stage=stage, code=error.code, why=error.message, hint=error.hint)
        return until == float("inf")

    def well(self, stage: str, began: float) -> None:
        """Something was done."""
        with self._lock:
            pause = self._of.get(stage)
            if pause is None or began < pause.since:
                return
            del self._of[stage]
            over = all(p.code != pause.code for p in self._of.values())
        if over:
            _log.info("going on", stage=stage, code=pause.code)

    def stages(self) -> list[str]:
        """Those that wait and are not given up."""
        with self._lock:
            return [stage for stage, pause in self._of.items() if pause.until < float("inf")]


class Deriver:
    """Takes steps in the name of one worker. Safe to use from many threads.

    ``only``: per stage the subjects that are wanted, instead of all; ``once``: what failed is not tried again, and what the world
    does not let be done is given up, both with a finding. ``clock`` in seconds, for waiting.
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
        once: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger, self._world, self._owner, self._watch, self._stop = ledger, world, owner, watch, stop
        self._only, self._once, self._began = only, once, ledger.clock()
        self._pauses = Pauses(clock)
        self._taken = dict.fromkeys(due.STAGES, 0)
        self._owed: dict[str, deque[tuple[list[str], str]]] = {stage: deque() for stage in due.STAGES}
        """What could not be given back, since the catalogue did not take it."""

    def step(self, *, facts: bool = False) -> bool:
        """Do some of what is due, probes first (``facts``: no previews); False if nothing is, or if it has to wait. Raises
        MediadError if the catalogue cannot be used, and waiting does not help."""
        if any(self._step(stage) for stage in FACTS):
            return True
        return not facts and any(self._step(stage) for stage in PREVIEWS)

    def waits(self) -> bool:
        """Whether something that is due waits for the world, and will be tried again. What other workers have taken or done since
        does not wait here."""
        try:
            return any(self._owed[stage] or self._seen(stage, 1) for stage in self._pauses.stages())
        except MediadError as e:
            if e.retry != "later":
                raise
            return True

    def give_back(self) -> None:
        """What was taken and not answered is due as before. For the end."""
        self._ledger.catalog.write(lambda conn: due.give_back(conn, self._owner))

    def _step(self, stage: str) -> bool:
        if (began := self._pauses.begin(stage)) is None:
            return False
        rows: list[Any] = []
        try:
            if rows := self._take(stage):
                self._work(stage, rows)
        except MediadError as e:
            if e.retry != "later":
                raise
            most = float("inf") if not self._once else PASSING_TIMES if e.code in PASSING_CODES else 1
            if self._pauses.failed(stage, began, e, most):
                self._watch.finding(rows[0].subject if rows else "catalogue", f"{stage}-later", _reason(e))
            return False
        if rows:
            self._pauses.well(stage, began)
        return bool(rows)

    # --- taking -----------------------------------------------------------------------------------------------------

    def _live(self, owners: Collection[str]) -> set[str]:
        return self._world.live(set(owners) - {self._owner}) | {self._owner}

    def _take(self, stage: str) -> list[Any]:
        """Look without writing, since that is done all the time; and take what is still free then."""
        self._settle(stage)
        if stage in PREVIEWS and self._world.maker is None:
            due.drop(self._ledger.catalog, [stage])  # what the settings do not want would wait for ever
            return []
        seen = self._seen(stage, _MOST[stage])
        if not seen:
            return []
        self._taken[stage] += 1
        return self._ledger.catalog.write(lambda conn: due.take(conn, seen, self._owner, self._ledger.clock(), put_off))

    def _seen(self, stage: str, limit: int) -> list[Any]:
        """What is due and nobody's."""
        only = None if self._only is None else self._only.get(stage, ())
        olds = self._taken[stage] % OLD_ONES_TURN == OLD_ONES_TURN - 1
        with self._ledger.catalog.read() as conn:
            return due.waiting(
                conn, stage, self._ledger.clock(), live=self._live(due.owners(conn)), limit=limit, only=only,
                put_off_until=self._began if self._once else None, newest=stage in PREVIEWS and not olds, tried_first=olds,
            )  # fmt: skip

    def _work(self, stage: str, rows: Sequence[Any]) -> None:
        """Do what was taken, and tell of it. What is raised is the world's fault, or a stop: the rest is given back then."""
        subjects = [row.subject for row in rows]
        done: list[str] = []
        self._watch.began(stage, subjects)
        try:
            with self._guarded(stage, rows):
                done += self._act(stage, rows)
        except BaseException as e:
            self._owed[stage].append(
                (subjects, _reason(e) if isinstance(e, MediadError) and e.retry == "later" else "")
            )
            with suppress(MediadError):  # else before the next taking
                self._settle(stage)
            raise
        finally:
            self._watch.ended(stage, subjects, len(done))

    def _settle(self, stage: str) -> None:
        """Give back what is owed. It is no try: no subject is to blame."""
        owed = self._owed[stage]
        while owed:
            with suppress(IndexError):  # another thread was faster
                one = owed.popleft()
                try:
                    self._ledger.catalog.write(lambda conn, one=one: due.give_back(conn, self._owner, stage, *one))  # type: ignore[misc]
                except BaseException:
                    owed.append(one)
                    raise

    @contextmanager
    def _guarded(self, stage: str, rows: Sequence[Any]) -> Iterator[None]:
        """What goes wrong with what was taken, is due again later, and says why; what goes wrong with the world is raised."""
        subjects = [row.subject for row in rows]
        wait = put_off(max(row.tries for row in rows) + 1)
        try:
            yield
        except MediadError as e:
            self._raise_if_the_worlds(stage, e)
            _log.warning("put off", stage=stage, code=e.code, why=e.message, subjects=subjects[:3])
            self._later(stage, dict.fromkeys(subjects, _reason(e)), wait)
        except Exception as e:  # a fault of ours with one subject must not keep the others waiting for ever
            _log.exception("step failed", stage=stage, subjects=subjects[:3])
            self._later(stage, dict.fromkeys(subjects, f"an unexpected fault: {type(e).__name__}"), wait)

    def _raise_if_the_worlds(self, stage: str, error: MediadError) -> None:
        """Of an error that met a subject: was it the subject? A large film finds no room where there is some, and a read error may
        be the first sign of a disk that was pulled; so the world is asked."""
        if isinstance(error, Stopping | Busy | VaultOffline) or error.code in WORLDS_CODES:
            raise error
        if error.code == UNFIT:
            self._world.whole()
        self._world.check(stage)

    def _later(self, stage: str, why: Mapping[str, str], wait: timedelta) -> None:
        at = self._ledger.clock() + wait

        def write(conn: Any) -> None:
            for subject, reason in why.items():
                due.later(conn, stage, subject, self._owner, at, reason)

        self._ledger.catalog.write(write)
        for subject, reason in why.items():
            self._watch.finding(subject, f"{stage}-later", reason)

    def _together(
        self, stage: str, rows: Sequence[Any], act: Callable[[Sequence[Any]], Sequence[str]]
    ) -> Sequence[str]:
        """Do several at once; if that fails, each by itself: what one of them does to its parser must not hold up the others."""
        try:
            return act(rows)
        except Exception as e:
            if isinstance(e, MediadError):
                self._raise_if_the_worlds(stage, e)
            if len(rows) == 1:
                raise
            _log.warning("done one by one", stage=stage, count=len(rows), why=str(e))
        done: list[str] = []
        for row in rows:
            if self._stop.is_set():
                raise Stopping("mediad is stopping", hint="the rest is done at the next start")
            with self._guarded(stage, [row]):
                done += act([row])
        return done

    # --- the stages -------------------------------------------------------------------------------------------------

    def _act(self, stage: str, rows: Sequence[Any]) -> Sequence[str]:
        if stage == due.PROBE:
            return self._together(stage, rows, self._probe)
        if stage == due.ASSEMBLE:
            return self._assemble(rows[0].subject)
        return self._together(stage, rows, partial(self._preview, stage))

    def _probe(self, rows: Sequence[Any]) -> Sequence[str]:
        outcome = probe.run(self._ledger, self._world.vault, self._world.parsers, [row.subject for row in rows])
        for asset, answer in outcome.done.items():
            for remark in answer.remarks:
                self._watch.finding(asset, remark.code, remark.detail)
        self._answered(due.PROBE, dict.fromkeys(outcome.same))
        for error in outcome.later.values():
            self._raise_if_the_worlds(due.PROBE, error)
        for row in rows:
            if (why := outcome.later.get(row.subject)) is not None:
                self._later(due.PROBE, {row.subject: _reason(why)}, put_off(row.tries + 1))
        return list(outcome.done)

    def _assemble(self, docking: str) -> Sequence[str]:
        with self._world.alone():
            assemble.run(self._ledger, self._world.rules, docking)
        self._answered(due.ASSEMBLE, {docking: None})
        return [docking]

    def _preview(self, stage: str, rows: Sequence[Any]) -> Sequence[str]:
        if (maker := self._world.maker) is None:
            return []
        names = [row.subject for row in rows]
        answers = preview.run(self._ledger, self._world.vault, maker, names, self._watch.percent)
        for answer in answers:
            self._answered(stage, {answer.recording: answer.note})
            if answer.state == "failed":
                self._watch.finding(answer.recording, answer.detail["code"], answer.detail["detail"])
        return [answer.recording for answer in answers if answer.state == "made"]

    def _answered(self, stage: str, answers: Mapping[str, Callable[[Any], None] | None]) -> None:
        """They are done, and what else is to be written with that. If one became due anew meanwhile, or is another worker's by
        now, what was done may be older than what that one does: then it is looked at once more."""

        def write(conn: Any) -> None:
            for subject, also in answers.items():
                if not due.done(conn, stage, subject, self._owner):
                    due.again(conn, stage, [subject], self._ledger.clock())
                elif also is not None:
                    also(conn)

        if answers:
            self._ledger.catalog.write(write)


_MOST = {due.PROBE: PROBES, due.ASSEMBLE: 1, due.PHOTO: PHOTOS, due.PREVIEW: 1}


def _reason(error: MediadError) -> str:
    return f"{error.message} ({error.code})"
