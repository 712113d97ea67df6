"""How long to wait before what failed for no fault of its own is tried again."""

from datetime import timedelta
from typing import Final

FIRST: Final = timedelta(minutes=1)
MOST: Final = timedelta(hours=6)


def put_off(tries: int) -> timedelta:
    """One minute after the first try, twice as long after each further one, at most six hours."""
    return min(FIRST * (1 << min(max(tries - 1, 0), 16)), MOST)


FIRST_LOOK: Final = 2.0
LONGEST_LOOK: Final = 60.0


def look_again(times: int) -> float:
    """Seconds until it is seen whether the world is back: two after the first time, twice as long after each further one, at most
    a minute. A look costs little, and a backlog must not wait for long behind a disk that is mounted again."""
    return min(FIRST_LOOK * (1 << min(max(times - 1, 0), 16)), LONGEST_LOOK)
