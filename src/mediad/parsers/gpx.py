"""GPX: the tracks that phones and some recorders write."""

import contextlib
import math
from datetime import datetime

from mediad.model.probe import Position
from mediad.parsers.xmltext import Element


def points(root: Element) -> list[Position]:
    """Every track point (else route or way point), in the order of the file."""
    for name in ("trkpt", "rtept", "wpt"):
        found = [p for e in root.walk() if e.name == name and (p := _point(e))]
        if found:
            return found
    return []


def _point(element: Element) -> Position | None:
    try:
        latitude, longitude = float(element.attributes["lat"]), float(element.attributes["lon"])
    except (KeyError, ValueError):
        return None
    if not (abs(latitude) <= 90 and abs(longitude) <= 180) or (latitude, longitude) == (0, 0):
        return None
    texts = {child.name: child.text.strip() for child in element.children}
    height = None
    with contextlib.suppress(ValueError):
        height = float(texts.get("ele", ""))
    at = ""
    with contextlib.suppress(ValueError):
        at = datetime.fromisoformat(texts.get("time", "")).isoformat()
    return Position(latitude, longitude, height if height is not None and math.isfinite(height) else None, at)
