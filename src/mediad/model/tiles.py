"""Small pictures of a film at equal distances, as tiles of one picture: for scrubbing, and as a contact sheet."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

THUMBS: Final = "thumbs.jpg"

_MOST_THUMBS, _THUMB_COLUMNS, _THUMB_HEIGHT, _THUMB_SECONDS = 200, 10, 90, 2.0
_SHEET_TILES, _SHEET_COLUMNS, _SHEET_HEIGHT = 16, 4, 180


@dataclass(frozen=True, slots=True)
class Grid:
    """Small pictures at equal distances, as tiles of one picture."""

    interval: float
    count: int
    columns: int
    width: int
    height: int

    @property
    def rows(self) -> int:
        return -(-self.count // self.columns)


def fit(width: int, height: int, most: int) -> tuple[int, int]:
    """The size made even, at most ``most`` high, in the same proportion."""
    share = min(Fraction(1), Fraction(most, height))
    return max(2, round(width * share) // 2 * 2), max(2, round(height * share) // 2 * 2)


def thumbs_grid(seconds: float, width: int, height: int, keys: float = 0.0) -> Grid:
    """Tiles for scrubbing: one every two seconds, no more than 200, and none between key frames that are ``keys`` seconds apart."""
    interval = max(_THUMB_SECONDS, math.ceil(seconds / _MOST_THUMBS), keys)
    count = max(1, min(_MOST_THUMBS, math.ceil(seconds / interval - 0.05)))
    return Grid(interval, count, min(_THUMB_COLUMNS, count), *_tile(width, height, _THUMB_HEIGHT))


def sheet_grid(seconds: float, width: int, height: int) -> Grid:
    """A contact sheet of 16 pictures over the whole length."""
    return Grid(max(seconds, 0.1) / _SHEET_TILES, _SHEET_TILES, _SHEET_COLUMNS, *_tile(width, height, _SHEET_HEIGHT))


def _tile(width: int, height: int, most: int) -> tuple[int, int]:
    wide, high = fit(width, height, most)
    return min(wide, most * 4), high


def vtt(grid: Grid, seconds: float) -> str:
    """The WebVTT that tells a player which tile to show while scrubbing."""
    lines = ["WEBVTT"]
    for n in range(grid.count):
        end = seconds if n == grid.count - 1 else (n + 1) * grid.interval
        x, y = n % grid.columns * grid.width, n // grid.columns * grid.height
        lines += ["", f"{_clock(n * grid.interval)} --> {_clock(max(end, n * grid.interval + 0.001))}"]
        lines.append(f"{THUMBS}#xywh={x},{y},{grid.width},{grid.height}")
    return "\n".join(lines) + "\n"


def _clock(seconds: float) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"
