"""How long a film or a sound plays: by its container, or by its packets where that cannot be believed."""

import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Final, NamedTuple

from mediad.model.probe import Remark
from mediad.parsers import walls
from mediad.parsers.numbers import number
from mediad.parsers.walls import tool

LONGEST: Final = 24 * 3600.0
"""Seconds: no file of a recorder is longer. What claims to be is measured."""

SLOWEST: Final = 300
"""Bytes a second: no film has fewer, and what claims to be longer than ``SHORT`` with fewer is measured."""

SHORT: Final = 60.0
JUMP, BACK = 10.0, 2.0
"""Seconds forward, or back, between a packet and the one before it: no pause, and no order of pictures, is so long."""

BEHIND: Final = 8 * 1024**2
"""Bytes that a demuxer has read beyond the last packet that it told of, at most."""


def duration(
    path: Path, container: str, declared: float | None, *, pictures: bool, cut: bool
) -> tuple[float | None, list[Remark]]:
    """The container's word, where that can be true; else what a player plays, by the packets. Raises Spent."""
    stamped = container in ("ts", "mpeg")  # only their time stamps say how long they are, and those may jump
    if declared and declared > 0 and not (cut or stamped or _absurd(path, declared, pictures)):
        return declared, []
    played = _played(path)
    if played is None:
        return None, []
    remarks = []
    if played.jumps:
        detail = f"its time stamps jump {played.jumps} times; {played.seconds:.3f} s of it can be played"
        remarks.append(Remark("clock-jumps", detail))
    elif not stamped and declared and declared - played.seconds > 0.2:
        remarks.append(Remark("shorter-than-declared", f"{played.seconds:.3f} s can be read of {declared:.3f} s"))
    return played.seconds, remarks


def _absurd(path: Path, declared: float, pictures: bool) -> bool:
    return declared > LONGEST or (pictures and declared > SHORT and path.stat().st_size < SLOWEST * declared)


class _Played(NamedTuple):
    seconds: float
    jumps: int


class _Clock:
    """One stream's packets, in the order of the file. A step that neither an order of pictures nor a pause explains is a jump: the
    recorder's clock was set, or files were joined byte by byte."""

    def __init__(self) -> None:
        self._before = self._first = self._last = 0.0
        self._done: float | None = None
        self.jumps = 0

    def add(self, shown: float, stored: float, length: float) -> None:
        """When it is shown, and when it stands in the file's own order."""
        jumped = self._done is not None and not -BACK < stored - self._before < JUMP
        if self._done is None or jumped:
            self.jumps += jumped
            self._done = self.seconds
            self._first = self._last = shown
        self._before = stored
        self._first = min(self._first, shown)
        self._last = max(self._last, shown + length)

    @property
    def seconds(self) -> float:
        return (self._done or 0.0) + self._last - self._first


def _played(path: Path) -> _Played | None:
    """How much plays in the part that can be read: the longest stream, without what lies between two jumps of its clock. Raises
    Spent, OSError where it ended for the disk's sake."""
    walls.budget()
    words = [
        *tool("ffprobe"),
        "-show_entries",
        "packet=stream_index,pts_time,dts_time,duration_time,pos",
        "-of",
        "csv=p=0",
    ]
    clocks: dict[str, _Clock] = defaultdict(_Clock)
    seen = 0
    with subprocess.Popen(
        [*words, f"file:{path}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        for line in process.stdout or ():
            stream, pts, dts, length, place = (line.strip().split(",") + [""] * 5)[:5]
            shown, stored = number(pts), number(dts)
            seen = max(seen, int(number(place) or 0))
            shown, stored = stored if shown is None else shown, shown if stored is None else stored
            if shown is not None and stored is not None:
                clocks[stream].add(shown, stored, number(length) or 0)
    if process.returncode < 0:
        raise walls.Spent("it was not measured to its end: that takes more processor time than it may")
    walls.read_through(path, seen, BEHIND)  # where it ended, the disk may have failed
    if not clocks:
        return None
    longest = max(clocks.values(), key=lambda c: c.seconds)
    return _Played(round(longest.seconds, 6), longest.jumps)
