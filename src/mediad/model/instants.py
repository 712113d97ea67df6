"""Instants: read as they are written, moved, compared with a zone's wall clock, and written down again. Nothing that a card says
raises here."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo


def stamp(at: datetime) -> str:
    """RFC 3339 in UTC with microseconds: sorts as text."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def stamped(at: datetime | None) -> str | None:
    """The same of an instant that may be missing."""
    return None if at is None else stamp(at)


def local(at: datetime | str, zone: ZoneInfo) -> datetime:
    """An instant by the wall clock of a zone; as it is at the ends of all dates, where no other zone has it."""
    given = datetime.fromisoformat(at) if isinstance(at, str) else at
    try:
        return given.astimezone(zone)
    except OverflowError:
        return given


def rfc3339(at: datetime | str, zone: ZoneInfo) -> str:
    """For programs and people: RFC 3339 with the zone's offset, to the second."""
    return local(at, zone).isoformat(timespec="seconds")


def minute(at: datetime | str | None, zone: ZoneInfo) -> str:
    """For people: day and minute of the zone's wall clock; empty for none."""
    return "" if at is None else local(at, zone).strftime("%Y-%m-%d %H:%M")


def instant(text: str, zone: ZoneInfo) -> datetime | None:
    """A written time (ISO 8601, or 14 digits) as an instant in UTC; one without offset is wall clock of the zone."""
    read = _written(text)
    try:
        return None if read is None else (read if read.tzinfo else read.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def says_zone(text: str) -> bool:
    """Whether a written time names its own offset."""
    read = _written(text)
    return read is not None and read.tzinfo is not None


def _written(text: str) -> datetime | None:
    plain = text.strip()
    try:
        if re.fullmatch(r"[0-9]{14}", plain):
            return datetime.strptime(plain, "%Y%m%d%H%M%S")
        # A day alone is no time.
        return datetime.fromisoformat(plain.replace("/", "-")) if re.search(r"[T ][0-9]{2}", plain) else None
    except (ValueError, OverflowError):
        return None


def zone_of(name: str, unit: ZoneInfo) -> ZoneInfo:
    """The zone of that name, or else the unit's."""
    return ZoneInfo(name) if name else unit


def moved(at: datetime, by: timedelta | None) -> datetime | None:
    """The instant so much later; None where there is no such."""
    try:
        return None if by is None else at + by
    except OverflowError:
        return None


def twice(at: datetime, zone: ZoneInfo) -> bool:
    """Whether the wall clock of the zone showed this time twice."""
    try:
        local = at.astimezone(zone)
        offsets = {local.replace(fold=fold).utcoffset() for fold in (0, 1)}
        return len(offsets) == 2 and local.replace(fold=0).utcoffset() > local.replace(fold=1).utcoffset()  # type: ignore[operator]
    except (ValueError, OverflowError):
        return False


def apart(by: timedelta) -> str:
    """A length of time in the two units that matter."""
    seconds = round(by.total_seconds())
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds % 60} s"
