"""Putting a new SQLite catalogue in the place of a lost or damaged one. Nothing is ever deleted: what was there is renamed.

The -wal and -journal files belong to their database and to no other: one that is left behind would be played into the new
catalogue, so they go first and come back never.
"""

import os
from itertools import count
from pathlib import Path

from mediad.catalog.db import sqlite_path
from mediad.errors import CatalogError, Refused, StorageError

_PARTS = ("-journal", "-wal", "-shm", "")


def beside(url: str, suffix: str) -> str:
    """The URL of a catalogue in the same folder, for building it. Raises Refused for anything but SQLite."""
    return f"sqlite:///{_path(url)}.{suffix}"


def _path(url: str) -> Path:
    path = sqlite_path(url)
    if path is None:
        raise Refused("only an SQLite catalogue can be rebuilt in place", hint="rebuild into SQLite, then load it")
    return path


def free_suffix(url: str, suffix: str) -> str:
    """The suffix, or it with a number behind it: under that name nothing lies yet."""
    path = _path(url)
    for n in count(1):
        tried = suffix if n == 1 else f"{suffix}-{n}"
        if not any(os.path.lexists(path.with_name(f"{path.name}.{tried}{part}")) for part in _PARTS):
            return tried
    raise AssertionError("there is always one more number")


def set_aside(url: str, suffix: str) -> str | None:
    """Rename whatever is left of a catalogue to ``<name>.<suffix>``, durably; its new name, or None if there was nothing. What
    was set aside under that name before stays: then the suffix gets a number."""
    path = _path(url)
    aside = path.with_name(f"{path.name}.{free_suffix(url, suffix)}")
    moved = False
    try:
        for part in _PARTS:  # the database last: until then it is still found where it was
            old = path.with_name(path.name + part)
            if old.exists():
                os.rename(old, aside.with_name(aside.name + part))
                moved = True
        if moved:
            _sync(path.parent)
    except OSError as e:
        raise StorageError(
            f"{os.strerror(e.errno or 0)} while setting the old catalogue aside", hint="check its folder"
        ) from e
    return str(aside) if moved else None


def install(built: str, url: str) -> None:
    """Rename a finished catalogue, closed by everybody, to its place, durably."""
    new, path = _path(built), _path(url)
    if new.with_name(new.name + "-wal").exists():
        raise CatalogError(
            "the new catalogue is still open", hint="this is a fault of mediad; the old one is untouched"
        )
    try:
        fd = os.open(new, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(new, path)
        _sync(path.parent)
    except OSError as e:
        raise StorageError(
            f"{os.strerror(e.errno or 0)} while putting the new catalogue in place", hint="check its folder"
        ) from e


def discard(built: str) -> None:
    """Remove an unfinished catalogue that was built beside, and what its making may have left: it never was one."""
    path = _path(built)
    for unfinished in (path, path.with_name(f"{path.name}.new")):
        for part in _PARTS:
            unfinished.with_name(unfinished.name + part).unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
