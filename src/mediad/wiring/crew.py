"""The threads of a worker behind the ingest: one that keeps facts coming, and those that make previews as well."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

import structlog

from mediad.errors import MediadError, Stopping

_log = structlog.get_logger()

POLL_SECONDS = 2.0
"""How often a worker without work looks for some. The look costs one query."""

MIRROR_SECONDS = 10.0
"""What was recorded reaches the vault's log at the latest after so long."""


class Worker(Protocol):
    """What the threads do, step by step. Safe to use from many threads."""

    def step(self, *, facts: bool = False) -> bool: ...

    def waits(self) -> bool: ...


class Crew:
    """Threads that take steps until there are none (``until_idle``) or until they are stopped. One of them only probes and
    assembles, so that a long film keeps no fresh docking waiting; ``jobs`` others make previews as well. ``failed`` is called
    once if one ends before its time; all end then, and ``check`` says why."""

    name = "derive"

    def __init__(
        self,
        worker: Worker,
        jobs: int,
        stop: threading.Event,
        mirror: Callable[[], None],
        *,
        until_idle: bool,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._worker, self._stop, self._mirror = worker, stop, mirror
        self._until_idle, self._failed = until_idle, failed
        self._over = threading.Event()
        """There is no more work. What others are stopped by is theirs to set."""
        self._wake = threading.Condition()
        self._idle: set[int] = set()
        """Threads that have looked since the last step, and found nothing."""
        self._steps = 0
        self._mirrored = time.monotonic()
        self._trouble: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._run, args=(n == 0,), name=f"derive-{n}", daemon=True) for n in range(jobs + 1)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        with self._wake:
            self._wake.notify_all()

    def join(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def check(self) -> None:
        """Raise what ended a thread before its time."""
        if self._trouble is not None:
            raise self._trouble

    def _run(self, facts: bool) -> None:
        try:
            while not self._stop.is_set() and not self._over.is_set():
                seen = self._steps
                if self._worker.step(facts=facts):
                    self._tell_others()
                elif self._rest(seen):
                    return
        except BaseException as e:  # raised where it is asked for
            self._end(e)

    def _end(self, why: BaseException) -> None:
        """A worker has ended, and nobody is left alone with the work."""
        if isinstance(why, Stopping) and self._stop.is_set():
            return
        with self._wake:
            first, self._trouble = self._trouble is None, self._trouble or why
        if first:
            _log.error("a worker has ended", why=str(why), code=getattr(why, "code", type(why).__name__))
        self.stop()
        if first:
            self._failed()

    def _tell_others(self) -> None:
        """What was done may have made more due."""
        with self._wake:
            self._steps += 1
            self._idle.clear()
            self._wake.notify_all()
        if time.monotonic() - self._mirrored >= MIRROR_SECONDS:
            self._mirror_now()

    def _rest(self, seen: int) -> bool:
        """Wait for work; True if there can be none any more. ``seen`` is how many steps had been done when there was none: if
        one was done since, it is looked for again."""
        with self._wake:
            if seen != self._steps:
                return False
            me = threading.get_ident()
            self._idle.add(me)
            try:
                if len(self._idle) == len(self._threads):
                    self._mirror_now()
                    if self._until_idle and not self._worker.waits():
                        self._over.set()
                        self._wake.notify_all()
                if not self._over.is_set() and not self._stop.is_set():
                    self._wake.wait(POLL_SECONDS)
                return self._stop.is_set() or self._over.is_set()
            finally:
                self._idle.discard(me)

    def _mirror_now(self) -> None:
        self._mirrored = time.monotonic()
        try:
            self._mirror()
        except MediadError as e:  # the facts are safe in the catalogue; the next one makes up for it, and health tells
            _log.error("not mirrored", code=e.code, why=e.message)
