"""When a recording was: as its recorder says, unless a person said otherwise (`mediad recordings set-time`)."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any


def when(started_at: str, ended_at: str, dated: Mapping[str, Any] | None) -> tuple[datetime, datetime]:
    """Its start and its end. ``started_at`` and ``ended_at`` are what its recorder says, ``dated`` is what a person said; where
    that is only when it ended, it began so much before as it is long."""
    start, end = datetime.fromisoformat(started_at), datetime.fromisoformat(ended_at)
    if dated is None:
        return start, end
    told = datetime.fromisoformat(dated["ended_at"])
    if dated["started_at"]:
        return datetime.fromisoformat(dated["started_at"]), told
    return told - max(end - start, timedelta()), told
