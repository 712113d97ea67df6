"""The sandbox of every parser of foreign media: bubblewrap around one program, with hard limits.

The program sees the system's programs and libraries, this Python, the inputs it is given (each a read-only bind at a name of
ours), one output folder, an empty /tmp, and nothing else: no network, no other file, no other process, no capability, no
terminal, no variable of the service's environment, no way to a further namespace. Limits on CPU seconds, memory, processes and
the size of each written file are set before it starts (setrlimit(2), by prlimit(1)); the time limit, and the size of all that
it wrote, are watched from outside; it and everything that it started are killed together, and are gone when ``run`` returns.
If the supervisor dies, however it dies, the kernel kills them (``--die-with-parent``), but for what was just being started: a
bubblewrap that is still building its walls outlives its supervisor, so ``end_left`` ends what a worker that is no more has left.

The files in the output folder are whatever the program wanted them to be: open only expected names, without following links.
"""

import importlib.util
import os
import re
import shutil
import signal
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from mediad.edges.bubble import Bubble, wait_for
from mediad.edges.program import LOOK_SECONDS, Outcome
from mediad.edges.program import run as run_program
from mediad.errors import StorageError
from mediad.model.probe import clean

MAX_INPUTS = 200
"""Binds of one sandbox: bubblewrap looks through the mount table for each, 1,000 cost more than a second."""

MAX_ENTRIES = 10_000
"""Files and folders below /out; more is a program that has gone wild."""

TMP_BYTES = 64 * 1024**2

CHECK_SECONDS = 60.0
"""So long each program may take to answer when the sandbox is tried."""
WORKER = "MEDIAD_WORKER"
"""Names, in the environment of bubblewrap itself, the worker that a sandbox belongs to; inside there is no such variable."""

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp", "TZ": "UTC"}  # noqa: S108
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_SYSTEM = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts")
_PARSERS_NEED = ("exifread", "ffmpeg", "PIL", "pillow_heif")
_START = """import runpy, sys
sys.path += {paths!r}
sys.argv[1:] = {args!r}
try:
    runpy.run_module({module!r}, None, "__main__", True)
except ImportError as e:
    print(e, file=sys.stderr)
    sys.exit({unfit})
"""
_UNFIT, _CANNOT_RUN, _NOT_THERE = 125, 126, 127
"""Exit codes of a parser of ours that lacks something of its own, and of programs that cannot be run or are not there."""

_CHECKED: tuple[tuple[str, bytes], ...] = (
    ("mediad.parsers", b'{"files": []}'),
    ("mediad.parsers.thumbs", b'{"photos": []}'),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may take: CPU seconds and wall clock seconds, bytes of address space of a process (0: any; graphics drivers
    reserve far more than they use), of one written file, of all of /out together (0: four times one file), and of the
    answer on standard output."""

    cpu_seconds: int = 60
    seconds: float = 120.0
    memory: int = 2 * 1024**3
    file_size: int = 64 * 1024**2
    output: int = 8 * 1024**2
    folder: int = 0


@dataclass(frozen=True, slots=True)
class Sandbox:
    """How parsers are run. ``nice`` 0 to 19; ``idle`` lets them have only what nobody else wants of CPU and disk; ``worker`` says
    whose they are; ``looked`` is called about twice a second while a program runs, whatever it does: what it raises ends the
    program, and is raised."""

    nice: int = 19
    idle: bool = True
    worker: str = ""
    looked: Callable[[], None] = lambda: None

    def run(
        self,
        argv: Sequence[str],
        *,
        inputs: Mapping[str, Path] | None = None,
        output: Path | None = None,
        limits: Limits | None = None,
        stdin: bytes = b"",
        told: Callable[[bytes], None] | None = None,
        devices: Sequence[str] = (),
        threads: int = 1,
    ) -> Outcome:
        """Run ``argv`` to its end. ``inputs``: names below /in to the files bound there; ``output``: the folder bound at /out.
        ``told`` hears standard output as it comes (progress); then ``Outcome.out`` is empty. ``devices``: device nodes it
        may use (hardware encoders). The code of a program killed by a signal is 128 and the signal's number; 137 without
        ``late``, ``too_much`` or ``spent`` is the machine's own doing (no memory left), not the file's.

        Raises StorageError if the sandbox itself cannot be had, an input is not there, or the program or what it needs is not."""
        limits = limits or Limits()
        with Bubble() as bubble:
            command = [
                *self._courtesy(),
                *_walls(_checked(inputs or {}), output, devices, bubble.writer),
                "--",
                *_rlimits(limits, threads),
                *argv,
            ]
            try:
                outcome = run_program(
                    command,
                    environment={WORKER: self.worker} if self.worker else {},
                    timeout=limits.seconds,
                    max_output=limits.output,
                    stdin=stdin,
                    passed=(bubble.writer,),
                    told=told,
                    fits=self._fits(output, limits, bubble),
                )
            except OSError as error:
                raise _no_sandbox(str(error)) from error
            finally:
                started = bubble.wait_until_gone()
        if not started and not (outcome.late or outcome.too_much):
            if outcome.code < 0:
                raise StorageError(
                    "a parser's sandbox was killed from outside",
                    code="sandbox-killed",
                    hint="is memory short? the work is tried again later",
                )
            raise _no_sandbox(_last_of(outcome))
        if outcome.code in (_UNFIT, _CANNOT_RUN, _NOT_THERE) and not (outcome.late or outcome.too_much):
            raise StorageError(
                f"what reads or shows media files is not whole here: {_last_of(outcome) or argv[0]}",
                code="sandbox-unfit",
                hint="run mediad doctor; install ffmpeg and mediad's own package anew; it is tried again later",
            )
        return replace(outcome, spent=_spent(outcome.code, bubble.cpu, limits, threads))

    def python(self, module: str, *args: str) -> list[str]:
        """The argv that runs a module of this installation inside: the same Python, isolated from environment and user,
        without writing byte code."""
        start = _START.format(paths=list(_paths()), args=list(args), module=module, unfit=_UNFIT)
        return [str(_interpreter()), "-I", "-S", "-B", "-X", "utf8", "-c", start]

    def check(self) -> str:
        """What the sandbox is made of, after all that will be run in it has run in it once, over nothing: a fault of the
        installation must never look like one of a file. It does not give way as other work does: a station that copies on all
        its processors is no faulty one. Raises StorageError saying what is missing."""
        prompt = replace(self, nice=0, idle=False)
        runs = [(self.python(module), asked) for module, asked in _CHECKED]
        for argv, asked in [*runs, (["ffmpeg", "-version"], b""), (["ffprobe", "-version"], b"")]:
            outcome = prompt.run(argv, stdin=asked, limits=Limits(cpu_seconds=30, seconds=CHECK_SECONDS))
            if outcome.late:
                raise _no_sandbox(f"{argv[0]} gave no answer within {CHECK_SECONDS:g} s; is the machine overloaded?")
            if outcome.code != 0:
                raise _no_sandbox(_last_of(outcome) or f"exit status {outcome.code}")
        return str(_tool("bwrap", "bubblewrap"))

    def _fits(self, output: Path | None, limits: Limits, bubble: Bubble) -> Callable[[], bool]:
        watch = _watch(output, limits) if output is not None else lambda: True

        def fits() -> bool:
            self.looked()
            bubble.look()
            return watch()

        return fits

    def _courtesy(self) -> list[str]:
        words = [_tool("nice", "coreutils"), "-n", str(max(0, min(19, self.nice)))]
        if self.idle:
            words += [_tool("ionice", "util-linux"), "-c3", _tool("chrt", "util-linux"), "--idle", "0"]
        return words


def end_left(worker: str) -> None:
    """Kill what a worker that is no more had running."""
    mark = f"{WORKER}={worker}".encode()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # gone meanwhile, or not ours to see
            process = os.pidfd_open(int(name))
            try:
                if mark in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                    wait_for(process)
            finally:
                os.close(process)


def _spent(code: int, cpu: float, limits: Limits, threads: int) -> bool:
    """Whether a program ended since it had taken its processor time. Some, like ffmpeg, hear the signal and end in their own way,
    or are killed by the hard limit; so what was seen of them counts, and what they may have taken since."""
    unseen = 2 * LOOK_SECONDS * max(1, threads) + limits.cpu_seconds / 20
    return code == 128 + signal.SIGXCPU or (code != 0 and cpu >= max(0.5, limits.cpu_seconds - unseen))


def _last_of(outcome: Outcome) -> str:
    return clean(outcome.err.decode("utf-8", "replace").strip().rpartition("\n")[2][:300])


def _no_sandbox(why: str) -> StorageError:
    hint = "run mediad doctor; parsers never run without their sandbox"
    if re.search(r"namespace|uid map|Operation not permitted|setting up", why, re.IGNORECASE):
        hint = "user namespaces are not allowed here: see sysctl user.max_user_namespaces and kernel.unprivileged_userns_clone"
    return StorageError(f"the sandbox of the media parsers cannot be had: {why}", code="sandbox", hint=hint)


def _tool(name: str, package: str) -> str:
    found = shutil.which(name, path="/usr/bin:/bin")
    if found is None:
        raise StorageError(f"{name} is not installed", code="sandbox", hint=f"apt install {package}")
    return found


def _checked(inputs: Mapping[str, Path]) -> Mapping[str, Path]:
    if len(inputs) > MAX_INPUTS:
        raise ValueError(f"{len(inputs)} inputs for one sandbox, {MAX_INPUTS} at most")
    for name, path in inputs.items():
        if not _NAME.match(name) or name in (".", ".."):
            raise ValueError(f"not a name for an input: {name!r}")
        try:
            regular = stat.S_ISREG(os.lstat(path).st_mode)
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror}") from error
        if not regular:
            raise StorageError(f"{path} is not a regular file")
    return inputs


def _walls(inputs: Mapping[str, Path], output: Path | None, devices: Sequence[str], told_to: int) -> list[str]:
    # fmt: off
    words = [
        _tool("bwrap", "bubblewrap"), "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent",
        "--new-session", "--cap-drop", "ALL", "--uid", "65534", "--gid", "65534", "--clearenv",
        "--json-status-fd", str(told_to), "--ro-bind", "/usr", "/usr",
    ]
    # fmt: on
    for name, value in ENVIRONMENT.items():
        words += ["--setenv", name, value]
    for place in ("/bin", "/lib", "/lib64", "/lib32"):
        if os.path.islink(place):
            words += ["--symlink", os.readlink(place), place]
        elif os.path.isdir(place):
            words += ["--ro-bind", place, place]
    for place in _SYSTEM:
        if os.path.exists(place):
            words += ["--ro-bind", place, place]
    words += ["--proc", "/proc", "--dev", "/dev", "--size", str(TMP_BYTES), "--tmpfs", "/tmp"]  # noqa: S108
    for outside, inside in (*_home(), *_code()):
        if not inside.startswith("/usr/"):
            words += ["--ro-bind", outside, inside]
    for device in devices:
        words += ["--dev-bind", device, device]
    if devices:  # libdrm and the drivers look their device up here
        words += ["--ro-bind", "/sys", "/sys"]
    for name, path in inputs.items():
        words += ["--ro-bind", os.path.abspath(path), f"/in/{name}"]
    if output is not None:
        words += ["--bind", os.path.abspath(output), "/out"]
    # What bubblewrap builds these of is memory: without this it could be filled without a limit.
    words += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]  # noqa: S108
    return words


def _rlimits(limits: Limits, threads: int) -> list[str]:
    """The soft limit on CPU seconds tells by a signal of its own (SIGXCPU); the hard one is for who ignores that.
    The number of processes is not counted by the kernel for root."""
    cpu = max(1, limits.cpu_seconds)
    words = [
        _tool("prlimit", "util-linux"),
        f"--cpu={cpu}:{cpu + 2}",
        f"--fsize={limits.file_size}",
        f"--nproc={128 + 32 * max(1, threads)}",
        "--core=0",
        "--nofile=256",
    ]
    if limits.memory:
        words.append(f"--as={limits.memory}")
    return [*words, "--"]


@cache
def _home() -> tuple[tuple[str, str], ...]:
    """Where this Python's own library lies, if not below /usr: it finds it by the place of the program, so that stays."""
    base = os.path.realpath(sys.base_prefix)
    real = str(_interpreter())
    if base == "/usr" or base.startswith("/usr/"):
        return ()
    return ((base, base),) if real.startswith(base + "/") else ((base, base), (real, real))


@cache
def _interpreter() -> Path:
    """The program itself, not the link in a virtual environment (whose folder would have to be seen as well)."""
    name = getattr(sys, "_base_executable", None) or sys.executable
    return Path(os.path.realpath(name))


@cache
def _code() -> tuple[tuple[str, str], ...]:
    """This package alone, not what else lies beside it in a checkout, and the folders that hold the parsers' libraries: where
    they are, and where they are seen inside. What lies below /usr is seen anyway."""
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    places = [(own, own if own.startswith("/usr/") else "/code/own/mediad")]
    for name in _PARSERS_NEED:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            folder = os.path.dirname(os.path.dirname(os.path.realpath(spec.origin)))
            if folder not in [outside for outside, _ in places]:
                places.append((folder, folder if folder.startswith("/usr/") else f"/code/{len(places)}"))
    return tuple(places)


@cache
def _paths() -> tuple[str, ...]:
    """Where the Python inside looks for modules, after its own library."""
    (_, own), *libraries = _code()
    return tuple(dict.fromkeys([os.path.dirname(own), *(inside for _, inside in libraries)]))


def _watch(output: Path, limits: Limits) -> Callable[[], bool]:
    allowed = limits.folder or 4 * limits.file_size

    def fits() -> bool:
        try:
            return _fits(os.fspath(output), allowed)
        except PermissionError:  # a folder that it closed to be unseen
            return False

    return fits


def _fits(folder: str, allowed: int) -> bool:
    size = count = 0
    folders = [folder]
    while folders:
        # what is looked at may go meanwhile
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                count += 1
                if count > MAX_ENTRIES:
                    return False
                with suppress(FileNotFoundError):
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
    return size <= allowed
