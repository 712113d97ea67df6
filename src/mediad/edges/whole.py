"""Whether the disk gives all of an original: before a file is blamed for what came of it, and is not asked about again."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from mediad.errors import StorageError

_STEP: Final = 4 * 1024**2


def read_through(paths: Iterable[Path], looked: Callable[[], None]) -> None:
    """Read files for nothing but the error that there may be. ``looked`` is called now and then; what it raises ends the reading.
    Raises StorageError for what cannot be read now."""
    for path in dict.fromkeys(paths):
        try:
            with path.open("rb", buffering=0) as file:
                while file.read(_STEP):
                    looked()
        except OSError as e:
            raise unreadable_now(path) from e


def unreadable_now(path: Path) -> StorageError:
    """What the disk does is no fact about the file."""
    return StorageError(
        f"{path} cannot be read", hint="check the vault's disk (dmesg, `mediad fsck`); it is tried again later"
    )
