"""Work behind the reader's back: one thread that settles batches in order, at most one ahead of the reader."""

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

import structlog

_log = structlog.get_logger()

T = TypeVar("T")


class Settler(Generic[T]):
    """Hands each job to ``settle`` in a thread of its own. Its first error stops it and is raised at the next call here;
    jobs behind it go to ``abandon``."""

    def __init__(self, settle: Callable[[T], None], abandon: Callable[[T], None]) -> None:
        self._settle, self._abandon = settle, abandon
        self._jobs: queue.Queue[T | None] = queue.Queue(maxsize=1)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="settler", daemon=True)

    def __enter__(self) -> "Settler[T]":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._jobs.put(None)
        self._thread.join()
        if kind is None:
            self.check()
        elif self._error is not None:
            # The reader has an error of its own, which is raised; this one must not get lost beside it.
            _log.error("settling failed as well", why=str(self._error), error=type(self._error).__name__)

    def put(self, job: T) -> None:
        self._jobs.put(job)

    def drain(self) -> None:
        """Wait until everything handed in is settled."""
        self._jobs.join()
        self.check()

    def check(self) -> None:
        """Raise the error that stopped the settler, if any."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                if self._error is None:
                    self._settle(job)
                else:
                    self._abandon(job)
            except BaseException as e:  # raised in the reader's thread
                self._error = self._error or e
            finally:
                self._jobs.task_done()  # whatever happens: the reader may be waiting for it
