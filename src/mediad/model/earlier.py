"""What a table would set back to what it was before. Nobody can tell an older export from a newer one by itself; that somebody has
said otherwise since can be told."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any


def going_back(before: Any, after: Any, earlier: Sequence[Any]) -> tuple[str, ...]:
    """The fields that an entry would have again as in one of its ``earlier`` states. Of numbers, which gather, each counts for
    itself."""
    return tuple(name for name in after.__slots__ if any(_again(name, before, after, each) for each in earlier))


def _again(name: str, before: Any, after: Any, then: Any) -> bool:
    now, new, old = (getattr(each, name) for each in (before, after, then))
    return (new == old and new != now) or (isinstance(new, tuple) and any(n in old and n not in now for n in new))


def kept(before: Any, after: Any, fields: Sequence[str], earlier: Sequence[Any]) -> Any:
    """What it is to be with these fields as they are now. Numbers that are new are taken beside those that stay."""
    return replace(after, **{name: _kept(name, before, after, earlier) for name in fields})


def _kept(name: str, before: Any, after: Any, earlier: Sequence[Any]) -> Any:
    now, new = getattr(before, name), getattr(after, name)
    if not isinstance(new, tuple):
        return now
    had = {n for each in earlier for n in getattr(each, name)} - set(now)
    fresh = tuple(n for n in new if n not in had)
    return fresh if set(now) <= set(fresh) else now
