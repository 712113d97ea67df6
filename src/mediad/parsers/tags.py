"""What the tags of a container say: times, place, maker."""

import contextlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from mediad.model.probe import Position, Stamp
from mediad.parsers import boxes, track

MAKE = ("com.apple.quicktime.make", "com.android.manufacturer", "make", "manufacturer")
MODEL = ("com.apple.quicktime.model", "com.android.model", "model", "device_model")
SERIAL = ("serial", "serialnumber", "serial_number", "device_id", "deviceid", "camera_serial", "sn")
SOFTWARE = ("com.apple.quicktime.software", "software", "firmware", "com.android.version", "encoder")
_PLACE = ("com.apple.quicktime.location.iso6709", "location", "location-eng", "com.apple.quicktime.gps")
_STARTED = ("com.apple.quicktime.creationdate", "date_recorded")
_ISO6709 = re.compile(r"\s*([+-]\d{2,7}(?:\.\d+)?)([+-]\d{3,8}(?:\.\d+)?)([+-]\d+(?:\.\d+)?)?")


def tags_of(said: Mapping[str, Any]) -> dict[str, str]:
    """Of the container, then of its streams; lower case."""
    tags: dict[str, str] = {}
    for part in (said["format"], *said["streams"]):
        for key, value in part.get("tags", {}).items():
            tags.setdefault(key.lower(), value)
    return tags


def first(tags: Mapping[str, str], names: Sequence[str]) -> str:
    return next((tags[name] for name in names if tags.get(name, "").strip()), "")


def stamps(
    tags: Mapping[str, str], found: boxes.Found | None, duration: float | None, points: Sequence[Position]
) -> list[Stamp]:
    """The times that its tags, its head and its track name; each with the moment that it is of, where that is said."""
    told = [Stamp("container", moment, "start", field) for field in _STARTED if (moment := iso(tags.get(field, "")))]
    created = tags.get("creation_time") or tags.get("date") or ""
    pair = _written_at_both_ends(found, duration)
    if pair:
        told += [
            Stamp("container", pair[0], "start", "mvhd.creation_time"),
            Stamp("container", pair[1], "end", "mvhd.modification_time"),
        ]
    elif moment := iso(created):
        told.append(Stamp("container", moment, "unsaid", "creation_time"))
    elif found is not None and found.created is not None:
        told.append(Stamp("container", found.created.isoformat(), "unsaid", "mvhd.creation_time"))
    told += track.stamps(points, "container")
    return told


def _written_at_both_ends(found: boxes.Found | None, duration: float | None) -> tuple[str, str] | None:
    """A recorder that wrote its head when it began and again when it ended: the two times are the duration apart."""
    if found is None or found.created is None or found.modified is None or not duration or duration < 10:
        return None
    apart = (found.modified - found.created).total_seconds()
    if abs(apart - duration) > 3:
        return None
    return found.created.isoformat(), found.modified.isoformat()


def iso(text: str) -> str:
    """A tag's time as ISO 8601; nothing if it is not one, or names a day without a time."""
    text = re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", text.strip())
    with contextlib.suppress(ValueError):
        parsed = datetime.fromisoformat(text)
        if ":" in text:
            return parsed.isoformat()
    return ""


def position(tags: Mapping[str, str]) -> Position | None:
    """ISO 6709, as ``+39.9042+116.4074+044.200/``: degrees only, or with minutes and seconds by the number of digits."""
    match = _ISO6709.match(first(tags, _PLACE))
    if not match:
        return None
    latitude, longitude = _degrees(match[1], 2), _degrees(match[2], 3)
    altitude = float(match[3]) if match[3] else None
    if (latitude, longitude) == (0, 0) or abs(latitude) > 90 or abs(longitude) > 180:
        return None
    return Position(latitude, longitude, altitude)


def _degrees(text: str, digits: int) -> float:
    sign, whole, rest = -1 if text[0] == "-" else 1, text[1:].partition(".")[0], text[1:].partition(".")[2]
    degrees, minutes = whole[:digits], whole[digits : digits + 2]
    seconds = whole[digits + 2 : digits + 4]
    if not minutes:
        return sign * float(f"{degrees}.{rest or 0}")
    if not seconds:
        return sign * (float(degrees) + float(f"{minutes}.{rest or 0}") / 60)
    return sign * (float(degrees) + float(minutes) / 60 + float(f"{seconds}.{rest or 0}") / 3600)
