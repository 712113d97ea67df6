"""/proc/self/mountinfo: what is mounted where, and waiting for it to change without polling.

Source: proc(5); the kernel raises POLLPRI on the open file whenever the mount table of this mount namespace
changes.
"""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")
FSTAB = Path("/etc/fstab")
UNITS = Path("/etc/systemd/system")
_OCTAL = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line.  ``options`` are of this mount, ``super_options`` of the file system behind it (shared by all
    its mounts).
    """

    device: str
    root: str
    point: Path
    options: frozenset[str]
    fstype: str
    source: str
    super_options: frozenset[str]

    @property
    def read_only(self) -> bool:
        """Read-only for everybody: a read-only bind of a writable file system does not count, its journal was
        replayed.
        """
        return "ro" in self.options and "ro" in self.super_options


def _plain(field: bytes) -> str:
    return os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8)]), field))


def parse(data: bytes) -> list[Mount]:
    """Lines that are not understood are left out: the kernel may add fields, it does not reorder them."""
    mounts = []
    for line in data.splitlines():
        head, separator, tail = line.partition(b" - ")
        left, right = head.split(b" "), tail.split(b" ")
        if not separator or len(left) < 6 or len(right) < 3:
            continue
        mounts.append(
            Mount(
                device=_plain(left[2]),
                root=_plain(left[3]),
                point=Path(_plain(left[4])),
                options=frozenset(_plain(left[5]).split(",")),
                fstype=_plain(right[0]),
                source=_plain(right[1]),
                super_options=frozenset(_plain(right[2]).split(",")),
            )
        )
    return mounts


def mounts(path: Path = MOUNTINFO) -> list[Mount]:
    return parse(path.read_bytes())


def missing(path: Path) -> Path | None:
    """The mount point that a path lies behind, as /etc/fstab or a mount unit of systemd says, and on which nothing is mounted."""
    real = path.resolve()
    behind = _named_points() & {real, *real.parents} - {Path("/")}
    return max(behind - {mount.point for mount in mounts()}, default=None)


def _named_points() -> set[Path]:
    """Where something is meant to be mounted. A file that cannot be read names nothing."""
    points = set()
    with suppress(OSError):
        for line in FSTAB.read_bytes().splitlines():
            fields = line.split()
            if len(fields) > 2 and not fields[0].startswith(b"#"):
                points.add(Path(_plain(fields[1])))
    for unit in sorted(UNITS.glob("*.mount")):
        with suppress(OSError):
            where = re.findall(r"^\s*Where\s*=\s*(\S.*?)\s*$", unit.read_text("utf-8", "replace"), re.MULTILINE)
            points.update(Path(point) for point in where)
    return points


def wait_for(condition: Callable[[list[Mount]], bool], timeout: float, *, path: Path = MOUNTINFO) -> bool:
    """Block until the mount table fulfils ``condition``; False after ``timeout`` seconds."""
    end = time.monotonic() + timeout
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLPRI)
        while True:
            os.lseek(descriptor, 0, os.SEEK_SET)
            chunks = []
            while chunk := os.read(descriptor, 1 << 16):
                chunks.append(chunk)
            if condition(parse(b"".join(chunks))):
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            poller.poll(left * 1000 + 1)
    finally:
        os.close(descriptor)
