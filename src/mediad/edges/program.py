"""Running another program (unlock helper, lamp hook, a parser in its sandbox) with limits: no shell, a bare environment,
bounded time and output.

The program leads a session of its own; when it ends, or its time is over, it and everything it started are
killed.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
"""All that a program inherits; nothing of the service's own environment."""

MAX_SECRET = 4096
"""Bytes: a pipe takes them without a reader, so that handing over a secret can never block."""

LOOK_SECONDS = 0.5
"""So often ``fits`` is asked."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``code`` is the exit status, negative for a signal.  ``late``: killed after the time limit.
    ``too_much``: killed because it wrote more than the limit; ``out`` and ``err`` then hold the beginning.  ``spent``: it had taken
    the processor time that it may (only a sandbox says so).
    """

    code: int
    out: bytes
    err: bytes
    late: bool = False
    too_much: bool = False
    spent: bool = False


def run(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    timeout: float,
    secret: bytes | None = None,
    secret_variable: str = "",
    max_output: int = 65536,
    stdin: bytes = b"",
    passed: Sequence[int] = (),
    told: Callable[[bytes], None] | None = None,
    fits: Callable[[], bool] | None = None,
) -> Outcome:
    """Run to the end.  With ``secret`` a pipe with its bytes is inherited; the variable holds the
    descriptor's number.

    ``passed``: descriptors that it inherits under the same number.  ``told`` is given standard output as it comes; then none
    of it is kept or counted.  ``fits`` is asked every ``LOOK_SECONDS``: when it says no, the program is killed as having
    written too much.  What either raises ends the program and is raised here.

    Raises OSError if the program cannot be started.
    """
    ours: tuple[int, ...] = ()
    env = ENVIRONMENT | dict(environment)
    if secret is not None:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        ours = (reader,)
        env[secret_variable] = str(reader)
        os.write(writer, secret[:MAX_SECRET])
        os.close(writer)
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=env,
            cwd="/",
            pass_fds=(*ours, *passed),
            start_new_session=True,
        )
    finally:
        for descriptor in ours:
            os.close(descriptor)
    return _supervise(process, time.monotonic() + timeout, _Pipes(process, stdin, max_output, told), fits)


def _supervise(process: subprocess.Popen[bytes], end: float, pipes: _Pipes, fits: Callable[[], bool] | None) -> Outcome:
    late = too_much = ended = False
    look = time.monotonic() + LOOK_SECONDS
    pidfd = -1
    try:
        pidfd = os.pidfd_open(process.pid)
        pipes.poller.register(pidfd, select.POLLIN)
        # grandchildren may hold the pipes open: the end of the program itself is the end
        while not (late or too_much or ended):
            until = min(end, look) if fits else end
            ready = pipes.poller.poll(max(0.0, until - time.monotonic()) * 1000 + 1)
            now = time.monotonic()
            late = now >= end
            ended = any(descriptor == pidfd for descriptor, _ in ready)
            for descriptor, _ in ready:
                if descriptor != pidfd:
                    pipes.serve(descriptor)
            too_much = pipes.too_much
            if fits is not None and now >= look:
                look = now + LOOK_SECONDS
                too_much = too_much or not fits()
        if ended:
            late = False
            pipes.drain()
            too_much = pipes.too_much or (fits is not None and not fits())
    finally:
        # not reaped yet, so the number is still ours
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        if pidfd >= 0:
            os.close(pidfd)
        pipes.close()
    limit = pipes.limit
    return Outcome(code, bytes(pipes.got["out"][:limit]), bytes(pipes.got["err"][:limit]), late, too_much)


@dataclass
class _Pipes:
    """The three standard pipes of a program, none of which it can make us wait for."""

    process: subprocess.Popen[bytes]
    stdin: bytes
    limit: int
    told: Callable[[bytes], None] | None
    got: dict[str, bytearray] = field(default_factory=lambda: {"out": bytearray(), "err": bytearray()})
    poller: select.poll = field(default_factory=select.poll)

    def __post_init__(self) -> None:
        out, err = self.process.stdout, self.process.stderr
        assert out is not None and err is not None  # noqa: S101
        self.names = {out.fileno(): "out", err.fileno(): "err"}
        for descriptor in self.names:
            self.poller.register(descriptor, select.POLLIN)
        if self.process.stdin is not None:
            self.rest = memoryview(self.stdin)
            os.set_blocking(self.process.stdin.fileno(), False)
            self.poller.register(self.process.stdin.fileno(), select.POLLOUT)

    @property
    def too_much(self) -> bool:
        return any(len(part) > self.limit for part in self.got.values())

    def serve(self, descriptor: int) -> None:
        """Move what can be moved now."""
        if descriptor in self.names:
            if not self._collect(descriptor):
                self.poller.unregister(descriptor)
        elif not self._feed(descriptor):
            self.poller.unregister(descriptor)
            assert self.process.stdin is not None  # noqa: S101
            self.process.stdin.close()

    def drain(self) -> None:
        """Read what it left in the pipes, without waiting for whoever may still hold them."""
        for descriptor in self.names:
            os.set_blocking(descriptor, False)
            while self._collect(descriptor):
                pass

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def _feed(self, descriptor: int) -> bool:
        """Write once; False when all is written or nobody reads."""
        try:
            self.rest = self.rest[os.write(descriptor, self.rest[:65536]) :]
        except BlockingIOError:
            return True
        except BrokenPipeError:
            return False
        return len(self.rest) > 0

    def _collect(self, descriptor: int) -> bool:
        """Read once; False at the end of the pipe, when it is empty, or when the limit is passed."""
        try:
            chunk = os.read(descriptor, 65536)
        except BlockingIOError:
            return False
        name = self.names[descriptor]
        if name == "out" and self.told is not None:
            if chunk:
                self.told(chunk)
            return bool(chunk)
        self.got[name] += chunk
        return bool(chunk) and len(self.got[name]) <= self.limit
