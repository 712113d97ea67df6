"""NMEA 0183: the sentences of a GPS receiver, as recorders write them beside or into a recording."""

import re
from datetime import UTC, datetime
from typing import Final

from mediad.model.probe import Position

MAX_POINTS: Final = 1_000_000

_SENTENCE = re.compile(rb"\$(?:G[PNLAB]|BD|QZ)(RMC|GGA),([0-9A-Za-z.,+\- ]{10,120})(?:\*([0-9A-Fa-f]{2}))?")


def points(data: bytes) -> list[Position]:
    """Positions with a fix, one a moment: RMC gives date and place, GGA the altitude. A wrong check sum drops the sentence."""
    found: list[Position] = []
    day = (0, 0, 0)
    for match in _SENTENCE.finditer(data):
        body = match[0][1:].partition(b"*")[0]
        if match[3] and int(match[3], 16) != _sum(body):
            continue
        fields = match[2].decode("ascii").split(",")
        if match[1] == b"RMC":
            day = _day(fields) or day
            point = _point(fields[0], day, fields[2:6], valid=fields[1] == "A") if len(fields) >= 9 else None
        else:
            point = _point(fields[0], day, fields[1:5], valid=fields[5] not in ("", "0")) if len(fields) >= 9 else None
            if point is not None and (height := _altitude(fields[8])) is not None:
                point = Position(point.latitude, point.longitude, height, point.at)
        if point is None:
            continue
        if found and point.at and found[-1].at == point.at:
            point = point if point.altitude is not None else found[-1]
            found[-1] = point
        elif len(found) < MAX_POINTS:
            found.append(point)
    return found


def _point(clock: str, day: tuple[int, int, int], where: list[str], *, valid: bool) -> Position | None:
    if not valid or not all(re.fullmatch(r"\d{1,6}(\.\d{1,10})?", text) for text in (where[0], where[2])):
        return None
    spot = place(degrees(where[0]), where[1], degrees(where[2]), where[3])
    if spot is None:
        return None
    at = ""
    if day[0] and re.match(r"\d{6}", clock):
        at = moment(*day, int(clock[:2]), int(clock[2:4]), int(clock[4:6]), utc=True)
    return Position(*spot, at=at)


def _day(fields: list[str]) -> tuple[int, int, int] | None:
    if len(fields) < 9 or not re.fullmatch(r"\d{6}", fields[8]):
        return None
    day, month, year = int(fields[8][:2]), int(fields[8][2:4]), int(fields[8][4:])
    return 2000 + year if year < 80 else 1900 + year, month, day


def _altitude(text: str) -> float | None:
    return float(text) if re.fullmatch(r"-?\d{1,5}(\.\d{1,6})?", text) else None


def _sum(body: bytes) -> int:
    total = 0
    for byte in body:
        total ^= byte
    return total


def degrees(text: str) -> float:
    """``3954.2520`` is 39 degrees 54.2520 minutes; 99 and more minutes are nonsense, and give a place that is none."""
    whole, dot, rest = text.partition(".")
    minutes = float(f"{whole[-2:] or 0}{dot}{rest}")
    return int(whole[:-2] or 0) + minutes / 60 if minutes < 60 else 1000.0


def place(latitude: float, south: str, longitude: float, west: str) -> tuple[float, float] | None:
    """Signed degrees, or None where there is no such place; 0 north 0 east is what a receiver without a fix says."""
    north = -latitude if south == "S" else latitude
    east = -longitude if west == "W" else longitude
    if abs(north) > 90 or abs(east) > 180 or (north, east) == (0, 0) or south not in "NS" or west not in "EW":
        return None
    return round(north, 8), round(east, 8)


def moment(year: int, month: int, day: int, hour: int, minute: int, second: int, *, utc: bool = False) -> str:
    """ISO 8601, or nothing where there is no such time."""
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC if utc else None).isoformat()
    except ValueError:
        return ""
