"""Long lists in short statements."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

_CHUNK = 500  # SQLite allows 32,766 variables in one statement; smaller chunks plan as well and stay portable


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """The values, some hundreds at a time."""
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
