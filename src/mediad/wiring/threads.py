"""What every part of the daemon that works in one thread of its own has in common."""

import threading
from abc import ABC, abstractmethod

from mediad.edges.folders import FolderWatcher


class Threaded(ABC):
    """A part that runs until it is asked to stop. It is healthy as long as its thread lives, or was asked to end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def join(self, seconds: float) -> bool:
        """Wait so long for its end; whether it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def healthy(self) -> bool:
        return self._stopping.is_set() or self._thread.is_alive()

    @abstractmethod
    def _run(self) -> None:
        """What it does until ``_stopping`` is set."""


class Watching(Threaded):
    """A part that waits for what settles in a folder."""

    def __init__(self, name: str, watcher: FolderWatcher) -> None:
        super().__init__(name)
        self._watcher = watcher

    def start(self) -> None:
        self._watcher.start()
        super().start()

    def stop(self) -> None:
        super().stop()
        self._watcher.wake()

    def join(self, seconds: float) -> bool:
        ended = super().join(seconds)
        if ended:
            self._watcher.stop()
        return ended
