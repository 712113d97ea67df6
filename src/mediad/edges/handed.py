"""What a sandbox wrote is hostile: only a regular file with one name, of a bounded size, is taken out of its folder, and only whole
lines of its answer count."""

import json
import os
import stat
from pathlib import Path
from typing import Any

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Planted(Exception):
    """A name holds something else than an honest program would have written."""


def answers(out: bytes) -> dict[str, dict[str, Any]]:
    """The JSON lines of a parser of ours, by name; one that is cut or odd is none, and so is a second one of a name."""
    told: dict[str, dict[str, Any]] = {}
    for line in out.splitlines():
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(said, dict) and isinstance(said.get("name"), str):
            told.setdefault(said["name"], said)
    return told


def open_file(folder: int, name: str, most: int) -> int:
    """A descriptor of a file below an open folder. Raises FileNotFoundError, Planted for what is no plain file or too large."""
    try:
        fd = os.open(name, _FILE, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as e:
        raise Planted(f"{name} is no file") from e
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size > most:
        os.close(fd)
        raise Planted(f"{name} is no plain file of at most {most} bytes")
    return fd


def open_folder(path: str | Path, folder: int | None = None) -> int:
    """A descriptor of a real folder. Raises OSError for a link, too."""
    return os.open(path, _FOLDER, dir_fd=folder)


def take(source: Path, name: str, target: Path, new: str, most: int) -> int:
    """Move a file from a sandbox's folder into one of ours; its size. Raises like ``open_file``. Nothing of the sandbox runs any
    more, so what is looked at is what is moved; the look after the move makes sure."""
    there, here = open_folder(source), open_folder(target)
    try:
        fd = open_file(there, name, most)
        try:
            os.fchmod(fd, 0o640)
            os.rename(name, new, src_dir_fd=there, dst_dir_fd=here)
            found = os.fstat(fd)
            if not os.path.samestat(found, os.stat(new, dir_fd=here, follow_symlinks=False)):
                raise Planted(f"{name} was exchanged while it was taken")
            return found.st_size
        finally:
            os.close(fd)
    finally:
        os.close(there)
        os.close(here)
