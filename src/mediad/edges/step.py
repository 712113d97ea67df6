"""One step of a preview: one program in the sandbox, and what came of it.

What ended badly is told apart: what the file did (``Spoilt``: trying again gives the same) and what the machine did (a
MediadError to try again later). What was written is taken over as if it were hostile.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

from mediad.edges import commands, files, handed
from mediad.edges.commands import SOFTWARE, Hardware
from mediad.edges.files import storage_error
from mediad.edges.program import Outcome
from mediad.edges.sandbox import Limits
from mediad.errors import StorageError, VaultFull
from mediad.model.derived import PreviewFailed
from mediad.model.probe import clean

MIB: Final = 1024 * 1024
BEYOND: Final = 600.0
"""Seconds beyond twice its length at which a film's time stamps are nonsense: the gaps would be filled until the disk is full."""

LONGEST: Final = 24 * 3600.0 * 190
"""Seconds: 190 days. No limit grows with a length beyond, which a film only claims; no take that a person wears comes near."""

SMALL: Final = 64 * MIB
"""No picture and no list is larger."""

_ANSWER: Final = 8 * MIB
_KILLED: Final = 137
_FILE_OVER = 153
_CRASHES: Final = {132: "SIGILL", 133: "SIGTRAP", 134: "SIGABRT", 135: "SIGBUS", 136: "SIGFPE", 139: "SIGSEGV"}
_NO_MEMORY: Final = re.compile(rb"Cannot allocate memory|malloc of size \d+ failed")
_NO_ROOM: Final = re.compile(rb"No space left on device|Disk quota exceeded")

Told = Callable[[float], None]


class Runs(Protocol):
    """The sandbox, as it is needed here."""

    def run(
        self, argv: Sequence[str], *, inputs: Mapping[str, Path] | None = ..., output: Path | None = ...,
        limits: Limits | None = ..., stdin: bytes = ..., told: Callable[[bytes], None] | None = ...,
        devices: Sequence[str] = ..., threads: int = ...,
    ) -> Outcome: ...  # fmt: skip

    def python(self, module: str, *args: str) -> list[str]: ...


def without_limit(hardware: Hardware, limits: Limits) -> Limits:
    """Graphics drivers reserve far more addresses than they use memory."""
    return replace(limits, memory=0) if hardware.devices else limits


class Spoilt(Exception):
    """A step failed because of the file."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.failed = PreviewFailed(code, sentence)


class Steps:
    """Steps in one scratch folder. ``kept`` holds what was taken over; ``room`` is how much all of it may be; ``capped``: because
    of the film's own size, not because there is no more."""

    def __init__(
        self,
        sandbox: Runs,
        scratch: Path,
        *,
        room: int,
        threads: int = 1,
        memory: int = 2048 * MIB,
        slowest: float = 20.0,
        capped: bool = False,
    ) -> None:
        self.sandbox = sandbox
        self.kept = scratch / "kept"
        self._out = scratch / "out"
        self._room = room
        self.threads = threads
        self.memory = memory
        self._slowest = slowest
        self._capped = capped

    def begin(self) -> None:
        """Nothing is kept of what was tried before."""
        try:
            _clear(self.kept)
            files.make_new_dir(self.kept)
        except OSError as e:
            raise storage_error(e, "beginning a preview") from e

    def left(self) -> int:
        """Bytes that may still be written."""
        try:
            used = sum(p.stat().st_size for p in self.kept.iterdir())
        except OSError as e:
            raise storage_error(e, "making a preview") from e
        if (left := self._room - used) < SMALL // 8:
            if self._capped:
                raise too_large()
            raise VaultFull(
                "no room is left for a preview", hint="make room in the first vault; it is tried again later"
            )
        return left

    def full(self) -> bool:
        """Whether the disk has no room, or a quota none, for what a preview takes: it is asked by taking some."""
        trial = self.kept / "room"
        try:
            with trial.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, SMALL // 8)
        except OSError as e:
            return e.errno in (errno.ENOSPC, errno.EDQUOT)
        finally:
            with suppress(OSError):
                _clear(trial)
        return False

    def note(self, name: str, data: bytes) -> Path:
        """A file of our own, for a step to read."""
        path = self.kept / name
        try:
            path.write_bytes(data)
        except OSError as e:
            raise storage_error(e, "preparing a preview") from e
        return path

    def ffmpeg(
        self, nodes: Sequence[Any], inputs: Mapping[str, Path], wanted: Mapping[str, str], *,
        perhaps: Sequence[str] = (), most: int = 0, length: float | None = None, told: Told | None = None,
        hardware: Hardware = SOFTWARE,
    ) -> None:  # fmt: skip
        """Run one command line; take over ``wanted`` (name that it writes, name that it gets) and what there is of ``perhaps``.
        ``length`` is how many seconds of film it should come to, for the progress and for the time it may take."""
        verbose, again = "error", True
        while True:
            out = self.fresh()
            outcome = self.sandbox.run(
                commands.compiled(*nodes, verbose=verbose, before=hardware.before, threads=self.threads),
                inputs=inputs,
                output=out,
                limits=without_limit(hardware, self.limits(most, length)),
                told=_Progress(length, told or (lambda _: None)),
                devices=hardware.devices,
                threads=self.threads,
            )
            if outcome.too_much and len(outcome.err) >= _ANSWER and verbose == "error":
                verbose = "quiet"  # a broken film may complain more than anybody wants to hear
            elif again and _says_no_room(outcome) and not self.full():
                again = False  # there is room by now; or the film itself has these words
            else:
                break
        self._still_there()
        judge(outcome, room=most == 0 and not self._capped, full=self.full)
        for name, new in wanted.items():
            self.take(out, name, new, most)
        for name in perhaps:
            if (out / name).is_symlink() or (out / name).exists():
                self.take(out, name, name, most)
        _clear(out)

    def forget(self, name: str) -> None:
        """Make room: a piece that was taken over is needed no more."""
        _clear(self.kept / name)

    def python(
        self, module: str, *args: str, inputs: Mapping[str, Path], stdin: bytes = b"", seconds: float
    ) -> tuple[Outcome, Path]:
        """Run a parser of ours; what it said, and the folder that it wrote into."""
        out = self.fresh()
        argv = self.sandbox.python(f"mediad.parsers.{module}", *args)
        limits = Limits(int(seconds), 2 * seconds, self.memory, SMALL, _ANSWER, folder=self.left())
        outcome = self.sandbox.run(argv, inputs=inputs, output=out, limits=limits, stdin=stdin)
        self._still_there()
        return outcome, out

    def limits(self, most: int, length: float | None) -> Limits:
        """A film that takes ``slowest`` times its length of every thread's time is at fault itself; the clock on the wall runs
        on while others are served, so it may show twice as much."""
        seconds = self._slowest * (7_200.0 if length is None else min(length, LONGEST))
        return Limits(
            cpu_seconds=int(300 + seconds * self.threads),
            seconds=900 + 2 * seconds,
            memory=self.memory,
            file_size=min(most, self.left()) if most else self.left(),
            output=_ANSWER,
            folder=self.left(),
        )

    def take(self, out: Path, name: str, new: str, most: int = 0) -> None:
        """Take a file over. Raises Spoilt if it is not there or is no plain file."""
        try:
            handed.take(out, name, self.kept, new, most or self._room)
        except FileNotFoundError:
            raise Spoilt("nothing-decoded", "nothing of it can be decoded") from None
        except handed.Planted as e:
            raise Spoilt("hostile", f"the decoder was made to write something else: {e}") from e
        except OSError as e:
            raise storage_error(e, "taking over a preview") from e

    def _still_there(self) -> None:
        """Somebody may remove all previews while one is made: no file is to blame for what was not written then."""
        if not (self._out.is_dir() and self.kept.is_dir()):
            raise StorageError(
                "the folder in which a preview was being made was removed", hint="nothing; it is tried again later"
            )

    def fresh(self) -> Path:
        """An empty folder for the sandbox: nothing of one step may wait there for the next."""
        try:
            _clear(self._out)
            files.make_new_dir(self._out, 0o700)
        except OSError as e:
            raise storage_error(e, "preparing a preview") from e
        return self._out


def _clear(path: Path) -> None:
    """Remove something of our scratch folder; of a link the link alone."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _never() -> bool:
    return False


def judge(outcome: Outcome, *, room: bool = False, full: Callable[[], bool] = _never) -> None:
    """Raise for a step that did not end well. ``room``: it might write as much as there is room for; ``full`` says whether the disk
    is."""
    if room and outcome.code == _FILE_OVER:
        raise no_room()
    judge_machine(outcome, full)
    judge_file(outcome)


def judge_machine(outcome: Outcome, full: Callable[[], bool]) -> None:
    """Raise MediadError for what is no fault of a file."""
    if outcome.late:
        raise StorageError(
            "a preview took too long", code="preview-slow", hint="the machine is busy; it is tried again later"
        )
    if outcome.code == _KILLED and not (outcome.too_much or outcome.spent):
        raise StorageError(
            "a preview was killed", code="preview-killed", hint="is memory short? it is tried again later"
        )
    if _says_no_room(outcome) and full():
        raise no_room()


def _says_no_room(outcome: Outcome) -> bool:
    """A program that failed speaks of it; but so may the words that a film brings along."""
    return outcome.code != 0 and _NO_ROOM.search(outcome.err) is not None


def judge_file(outcome: Outcome) -> None:
    """Raise Spoilt for what is one."""
    if outcome.too_much or outcome.code == _FILE_OVER:
        raise too_large()
    if crashed := _CRASHES.get(outcome.code):
        raise Spoilt("crashed", f"the decoder crashed ({crashed})")
    if outcome.code != 0 and outcome.spent:
        raise Spoilt("too-slow", "it takes far longer to decode than it plays")
    if outcome.code != 0 and _NO_MEMORY.search(outcome.err):
        raise Spoilt("too-large", "decoding it takes more memory than derive.memory_mib allows")
    if outcome.code != 0:
        raise Spoilt("undecodable", last_line(outcome.err) or "it cannot be decoded")


def too_large() -> Spoilt:
    return Spoilt("too-large", "more comes out of it than a preview may take")


def no_room() -> VaultFull:
    return VaultFull("no room is left for a preview", hint="make room in the first vault; it is tried again later")


_WHERE = re.compile(r"^\[[^\]]*\] |^/in/\S+: | ?@ 0x[0-9a-f]+")


def last_line(err: bytes) -> str:
    """The last line that says something, without addresses and our inner names."""
    lines = [
        ln for ln in err.decode("utf-8", "replace").splitlines() if ln.strip() and ln.strip() != "Conversion failed!"
    ]
    text = lines[-1] if lines else ""
    while (shorter := _WHERE.sub("", text)) != text:
        text = shorter
    return clean(text.strip())


class _Progress:
    """Reads what ``-progress`` writes, and tells the share that is done."""

    def __init__(self, length: float | None, told: Told) -> None:
        self._length = length
        self._told = told
        self._rest = b""

    def __call__(self, data: bytes) -> None:
        *lines, self._rest = (self._rest[-200:] + data).split(b"\n")
        for line in lines:
            key, _, value = line.partition(b"=")
            if key == b"out_time_us" and value.strip().lstrip(b"-").isdigit() and self._length:
                seconds = int(value) / 1e6
                if seconds > 2 * self._length + BEYOND:
                    raise Spoilt("timeline", "its time stamps lead far beyond what plays in it")
                self._told(min(1.0, max(0.0, seconds / self._length)))
