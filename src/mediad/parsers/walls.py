"""What ffprobe and ffmpeg may open: one file, by a demuxer that reads one file.

No playlist (hls, dash), no script that joins files (concat), no list of pictures (image2), no session description (sdp), no graph
that makes its own input (lavfi), no device. The sandbox is the other wall: there is no other file in it, and no network.
"""

import errno
import math
import re
import resource
import shutil
import subprocess
from pathlib import Path
from typing import Final

FORMATS: Final = (
    "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpegts,mpeg,mpegvideo,h264,hevc,m4v,mp3,aac,amr,amrnb,amrwb,wav,w64,flac,ogg,"
    "asf,flv,aiff,au,caf,dv,mxf,ac3,dhav,mjpeg,rm,gsm,g729,ivf"
)
SAFE: Final[dict[str, str]] = {"protocol_whitelist": "file,pipe", "format_whitelist": FORMATS}


def tool(name: str) -> list[str]:
    """The program with the words that hold it to this."""
    return [
        shutil.which(name) or name,
        "-v",
        "quiet",
        *(word for key, value in SAFE.items() for word in (f"-{key}", value)),
    ]


# --- the programs themselves ------------------------------------------------------------------------------------------

PROGRAMS: Final = ("ffprobe", "ffmpeg")


class Unfit(ImportError):
    """A program that parsers need is not there, or cannot run. Like a module that is not there: no file is to blame."""


def whole() -> None:
    """Raise Unfit if a program is not there."""
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        raise Unfit(f"{' and '.join(missing)} cannot be found")


def runs(name: str) -> None:
    """Raise Unfit if a program cannot even say its version: then what it did over a file says nothing of the file."""
    try:
        done = subprocess.run([name, "-version"], capture_output=True, check=False)
    except OSError as error:
        raise Unfit(f"{name} cannot be run: {error.strerror}") from error
    if done.returncode != 0:
        raise Unfit(f"{name} cannot be run: {done.stderr.decode('utf-8', 'replace').strip()[-200:]}")


# --- one limit for all programs of a file -----------------------------------------------------------------------------


class Spent(Exception):
    """Parsing a file took the processor time that it may."""


_budget = [0.0, 0.0]
"""Seconds that one file may take; what programs that ran for others before had taken."""


def begin() -> None:
    """A file is begun. The sandbox's limit on processor time counts for each program by itself; here for all together."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    allowed = _budget[0] or (math.inf if soft == resource.RLIM_INFINITY else float(soft))
    _budget[:] = [allowed, _children()]
    if not math.isinf(allowed):
        resource.setrlimit(resource.RLIMIT_CPU, (int(allowed), hard))


def budget() -> None:
    """To be called before each program that is started for a file: it gets what those before it have left. Raises Spent."""
    allowed, before = _budget
    if not allowed or math.isinf(allowed):
        return
    left = allowed - (_children() - before)
    if left < 1:
        raise Spent("all programs together took the processor time that one file may")
    own = resource.getrusage(resource.RUSAGE_SELF)
    # the limit is this program's too, which needs some to write the answer
    soft = math.ceil(max(left, own.ru_utime + own.ru_stime + 5))
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# --- what the disk does is no fact about the file ---------------------------------------------------------------------


class DiskError(Exception):
    """The original could not be read just now."""


_DISK: Final = (
    errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.EREMOTEIO, errno.ETIMEDOUT, errno.EBADMSG, errno.EUCLEAN,
    errno.ENOTCONN, errno.EACCES, errno.EPERM, errno.ENOENT,
)  # fmt: skip
_SAID: Final = re.compile(r"Input/output error|Stale file handle|No such device|Remote I/O error|Connection timed out")
_STEP: Final = 1024 * 1024


def of_the_disk(error: BaseException) -> bool:
    """Whether it is an error of the medium, or of the way to it, rather than of what is in the file."""
    return isinstance(error, OSError) and error.errno in _DISK


def disk_said(text: str, path: Path) -> None:
    """Raise OSError if a program that complained of its input was right: demuxers call short data an input/output error too."""
    if _SAID.search(text):
        read_through(path)


def read_through(path: Path, start: int = 0, most: int = 1 << 62) -> None:
    """Read a part of a file for nothing but the OSError that it may raise."""
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while most > 0 and (piece := file.read(_STEP)):
            most -= len(piece)
