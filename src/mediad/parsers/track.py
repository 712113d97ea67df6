"""Tracks of positions: summed up for the probe, and whole (GeoJSON) for the preview.

They come as text in a subtitle or data stream (``$G:<date> <time>-N<lat>-E<lon>``, or NMEA sentences), or in a file beside the
recording.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mediad.model.probe import Position, Stamp, StampSource, Track
from mediad.parsers import nmea, walls
from mediad.parsers.walls import tool

MAX_TEXT_BYTES: Final = 64 * 1024**2
MAX_STREAMS: Final = 4
MAX_SHOWN: Final = 20_000

_GROUP = re.compile(
    rb"\$G:\s*(\d{4})[-/.]?(\d\d)[-/.]?(\d\d)[ T_-](\d\d):?(\d\d):?(\d\d)\s*-?\s*([NS])\s*(\d{1,5}(?:\.\d{1,10})?)\s*[-,]?\s*"
    rb"([EW])\s*(\d{1,6}(?:\.\d{1,10})?)"
)


def of_text(data: bytes) -> list[Position]:
    """Positions in a text of either kind, in the order of the text; where there is no fix there is none."""
    points = [p for match in _GROUP.finditer(data) if (p := _point(match))]
    return points or nmea.points(data)


def _point(match: "re.Match[bytes]") -> Position | None:
    year, month, day, hour, minute, second, south, latitude, west, longitude = (g.decode() for g in match.groups())
    place = nmea.place(_plain(latitude, 90), south, _plain(longitude, 180), west)
    if place is None:
        return None
    at = nmea.moment(int(year), int(month), int(day), int(hour), int(minute), int(second))
    return Position(*place, at=at)  # the recorder's clock, in its own zone


def _plain(text: str, most: int) -> float:
    """Degrees, or degrees and minutes in one number as in NMEA, which is then too large for degrees."""
    value = float(text)
    return value if value <= most else nmea.degrees(text)


def of_streams(path: Path, streams: Sequence[Mapping[str, Any]]) -> list[Position]:
    """Positions of the first stream of text or data that has any."""
    for stream in [s for s in streams if s.get("codec_type") in ("subtitle", "data")][:MAX_STREAMS]:
        points = of_text(_packets(path, int(stream["index"])))
        if points:
            return points
    return []


def _packets(path: Path, index: int) -> bytes:
    """The bytes of one stream's packets, at most ``MAX_TEXT_BYTES``. Raises Spent."""
    walls.budget()
    words = [
        *tool("ffmpeg"),
        "-nostdin",
        "-i",
        f"file:{path}",
        "-map",
        f"0:{index}",
        "-c",
        "copy",
        "-f",
        "data",
        "pipe:1",
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        data = process.stdout.read(MAX_TEXT_BYTES) if process.stdout else b""
        process.kill()
    return data


def summary(points: Sequence[Position]) -> Track | None:
    """Two points or more are a track."""
    if len(points) < 2:
        return None
    north_south, west_east = [p.latitude for p in points], [p.longitude for p in points]
    box = (min(north_south), min(west_east), max(north_south), max(west_east))
    return Track(len(points), points[0], points[-1], box)


def stamps(points: Sequence[Position], recorder: StampSource) -> list[Stamp]:
    """When the track begins and ends. GPS time is UTC and says so; a time without a zone is the recorder's own clock, which is
    what ``recorder`` names."""
    timed = [p.at for p in points if p.at]
    if not timed:
        return []
    source: StampSource = "gps" if re.search(r"[+-]\d\d:\d\d\Z", timed[0]) else recorder
    return [Stamp(source, timed[0], "start", "track"), Stamp(source, timed[-1], "end", "track")]


def geojson(points: Sequence[Position]) -> dict[str, Any] | None:
    """A track as a line with a time for each point, thinned beyond ``MAX_SHOWN``; None where there is none."""
    if len(points) < 2:
        return None
    step = -(-len(points) // MAX_SHOWN)
    shown = [*points[:-1:step], points[-1]]
    places = [[p.longitude, p.latitude] if p.altitude is None else [p.longitude, p.latitude, p.altitude] for p in shown]
    return {
        "type": "Feature",
        "geometry": {"type": "LineString", "coordinates": places},
        "properties": {"times": [p.at for p in shown], "points": len(points)},
    }
