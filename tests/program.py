"""The program in a process of its own, without the half second that Python needs to load it.

A server process has loaded it once; each call is a fork of that: another pid, other locks, its own memory and exit code.
Where it matters how the program is started (its environment, its input, what it loads), tests start it as people do.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

TRACEBACK = 70
"""Exit code of a program that ended by an exception, which it never should."""

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["tests.loaded", "tests.program"])


def fork(arguments: Sequence[str], output: Path, *, timeout: float, prepare: Callable[[], None] | None = None) -> int:
    """How ``mediad ARGUMENTS`` ends: its exit code, or the negative number of a signal. What it says is in the files ``stdout``
    and ``stderr`` of a folder. ``prepare`` is called in the new process. Raises subprocess.TimeoutExpired."""
    process = _server.Process(target=_child, args=(arguments, dict(os.environ), os.getcwd(), output, prepare))
    process.start()
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise subprocess.TimeoutExpired(list(arguments), timeout)
    return process.exitcode


def run(arguments: Sequence[str], *, timeout: float) -> "subprocess.CompletedProcess[str]":
    """What ``subprocess.run`` would say of it."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder)
        code = fork(arguments, output, timeout=timeout)
        said = [(output / name).read_text(encoding="utf-8") for name in ("stdout", "stderr")]
    return subprocess.CompletedProcess(list(arguments), code, *said)


def _child(
    arguments: Sequence[str], environment: Mapping[str, str], folder: str, output: Path,
    prepare: Callable[[], None] | None,
) -> None:  # fmt: skip
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, path in enumerate((Path(os.devnull), output / "stdout", output / "stderr")):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(fd, number)
        os.close(fd)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(0, encoding="utf-8", closefd=False),
        os.fdopen(1, "w", encoding="utf-8", closefd=False),
        os.fdopen(2, "w", encoding="utf-8", closefd=False, buffering=1),
    )
    sys.argv = ["mediad", *arguments]
    code = TRACEBACK
    try:
        if prepare:
            prepare()
        from mediad.cli.main import main

        main()
        code = 0
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 0 if e.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
