"""Running a site's own program (unlock helper, lamp hook) with limits: no shell, a bare environment, bounded
time and output.

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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
"""All that a program inherits; nothing of the service's own environment."""

MAX_SECRET = 4096
"""Bytes: a pipe takes them without a reader, so that handing over a secret can never block."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``code`` is the exit status, negative for a signal.  ``late``: killed after the time limit.
    ``too_much``: killed because it wrote more than the limit; ``out`` and ``err`` then hold the beginning.
    """

    code: int
    out: bytes
    err: bytes
    late: bool = False
    too_much: bool = False


def run(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    timeout: float,
    secret: bytes | None = None,
    secret_variable: str = "",
    max_output: int = 65536,
) -> Outcome:
    """Run to the end.  With ``secret`` a pipe with its bytes is inherited; the variable holds the
    descriptor's number.

    Raises OSError if the program cannot be started.
    """
    passed: tuple[int, ...] = ()
    env = ENVIRONMENT | dict(environment)
    if secret is not None:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        passed = (reader,)
        env[secret_variable] = str(reader)
        os.write(writer, secret[:MAX_SECRET])
        os.close(writer)
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            cwd="/",
            pass_fds=passed,
            start_new_session=True,
        )
    finally:
        for descriptor in passed:
            os.close(descriptor)
    return _supervise(process, timeout, max_output)


def _supervise(process: subprocess.Popen[bytes], timeout: float, max_output: int) -> Outcome:
    assert process.stdout is not None and process.stderr is not None  # noqa: S101
    end = time.monotonic() + timeout
    pidfd = os.pidfd_open(process.pid)
    names = {process.stdout.fileno(): "out", process.stderr.fileno(): "err"}
    got = {"out": b"", "err": b""}
    poller = select.poll()
    for descriptor in (pidfd, *names):
        poller.register(descriptor, select.POLLIN)
    late = too_much = ended = False
    try:
        # grandchildren may hold the pipes open: the end of the program itself is the end
        while not (late or too_much or ended):
            ready = poller.poll(max(0.0, end - time.monotonic()) * 1000 + 1)
            late = not ready and time.monotonic() >= end
            ended = any(descriptor == pidfd for descriptor, _ in ready)
            for descriptor, _ in ready:
                if descriptor in names and not _collect(descriptor, names[descriptor], got, max_output):
                    poller.unregister(descriptor)
            too_much = any(len(part) > max_output for part in got.values())
        if ended:
            for descriptor, name in names.items():
                os.set_blocking(descriptor, False)
                while _collect(descriptor, name, got, max_output):
                    pass
            too_much = any(len(part) > max_output for part in got.values())
    finally:
        # not reaped yet, so the number is still ours
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        os.close(pidfd)
        process.stdout.close()
        process.stderr.close()
    return Outcome(code, got["out"][:max_output], got["err"][:max_output], late, too_much)


def _collect(descriptor: int, name: str, got: dict[str, bytes], limit: int) -> bool:
    """Read once; False at the end of the pipe, when it is empty, or when the limit is passed."""
    try:
        chunk = os.read(descriptor, 65536)
    except BlockingIOError:
        return False
    got[name] += chunk
    return bool(chunk) and len(got[name]) <= limit
