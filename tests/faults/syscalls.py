"""A wrapper around the system calls by which mediad changes the world: it counts them, and makes one of them go wrong.

It wraps the functions of ``os`` (which ``pathlib`` and ``shutil`` use as well), the checked syncfs of ``edges/files.py``, the
renameat2 of ``edges/derived.py``, and the start of a program in the sandbox. All threads count in one order under one lock. The
calls themselves are real.
"""

import errno
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Mode = Literal["record", "kill", "eio", "enospc", "full"]
"""``kill``: SIGKILL at that call, half of a write done, a program begun. ``eio``/``enospc``: that one call fails. ``full``: from
that call on every call that needs room fails."""

_ERRORS = {"eio": errno.EIO, "enospc": errno.ENOSPC, "full": errno.ENOSPC}
_NEED_ROOM = {"create", "write", "link", "mkdir"}
_ALWAYS = ("write", "fsync", "fdatasync", "rename", "replace", "link", "symlink", "mkdir", "unlink", "remove", "rmdir", "chmod",
           "ftruncate", "truncate")  # fmt: skip


@dataclass
class Faults:
    """Install with ``install()`` in a process that may be lost."""

    mode: Mode
    at: int = 0
    log: Callable[[str], None] | None = None
    count: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    def install(self) -> None:
        from mediad.edges import derived, files

        for name in _ALWAYS:
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        os.open = self._wrapped("open", os.open)  # type: ignore[assignment]
        files.syncfs = self._wrapped("syncfs", files.syncfs)
        derived._rename = self._wrapped("renameat2", derived._rename)
        subprocess.Popen = self._programs(subprocess.Popen)  # type: ignore[misc]

    def _programs(self, popen: Any) -> Any:
        start = self._wrapped("start", popen)

        def started(command: Any, *args: Any, **kwargs: Any) -> Any:
            return start(command, *args, **kwargs)

        return started

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            kind = _kind(name, args)
            if kind is None:
                return call(*args, **kwargs)
            with self.lock:
                self.count += 1
                if self.log is not None:
                    self.log(f"{self.count} {kind} {args[0] if args else ''!r}")
                hit = self.count == self.at or (self.mode == "full" and self.count >= self.at and kind in _NEED_ROOM)
                if hit and self.mode == "kill":
                    if name == "write":
                        call(args[0], args[1][: len(args[1]) // 2])
                    elif name == "start":
                        call(*args, **kwargs)
                    os.kill(os.getpid(), signal.SIGKILL)
                    signal.pause()
                if hit and self.mode in _ERRORS:
                    code = _ERRORS[self.mode]
                    raise OSError(code, os.strerror(code))
            return call(*args, **kwargs)

        return wrapper


def _kind(name: str, args: tuple[Any, ...]) -> str | None:
    """What is counted: every change, and the re-read past the cache. Results and logs on the first three descriptors are not."""
    if name == "open":
        flags = args[1] if len(args) > 1 else 0
        makes = flags & os.O_CREAT or flags & os.O_TMPFILE == os.O_TMPFILE
        return "create" if makes else "direct" if flags & os.O_DIRECT else None
    if name == "write" and args[0] in (0, 1, 2):
        return None
    return name
