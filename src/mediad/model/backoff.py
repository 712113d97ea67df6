"""How long to wait before something that failed for no fault of its own is tried again."""

from datetime import timedelta
from typing import Final

FIRST: Final = timedelta(minutes=1)
MOST: Final = timedelta(hours=6)


def put_off(tries: int) -> timedelta:
    """One minute after the first try, twice as long after each further one, at most six hours."""
    return min(FIRST * (1 << min(max(tries - 1, 0), 16)), MOST)
