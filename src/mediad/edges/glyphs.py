"""Large writing for a terminal: text drawn with a font of this machine, as rows of half blocks.

A terminal has one size of letters; what must be read from two metres is drawn from ``▀``, ``▄`` and ``█`` instead, two
square pixels to a cell. Fonts come from Debian's fonts-noto-cjk or fonts-wqy-*; without one there is no large writing.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFont import FreeTypeFont

FONTS: tuple[tuple[str, int], ...] = (
    ("/usr/share/fonts/opentype/noto/NotoSansCJK-Bold.ttc", 2),  # the SC face of the collection
    ("/usr/share/fonts/opentype/noto/NotoSansCJK-Medium.ttc", 2),
    ("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc", 2),
    ("/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc", 0),
    ("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc", 0),
    ("/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf", 0),
)
"""Where Debian puts fonts with Chinese characters, best first; and the face in the file."""

LEAST_PIXELS = 11
"""A Chinese character needs about so many pixels to be told from others."""

LEVELS = 7
"""Shades from nothing to full."""

Bitmap = tuple[tuple[int, ...], ...]
"""Rows of pixels, each 0 to LEVELS - 1; an even number of rows."""


@lru_cache(maxsize=1)
def find_font() -> tuple[str, int] | None:
    """A font with Chinese characters and the face in it; None if this machine has none."""
    for path, face in FONTS:
        if Path(path).is_file():
            return path, face
    try:
        asked = ["fc-match", "-f", "%{file}|%{index}|%{lang}", ":lang=zh-cn:bold"]
        told = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True).stdout
        path, face_text, languages = told.split("|", 2)
        return (path, int(face_text)) if "zh-cn" in languages and Path(path).is_file() else None
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


@lru_cache(maxsize=64)
def _font(size: int) -> FreeTypeFont | None:
    found = find_font()
    if found is None:
        return None
    try:
        from PIL import ImageFont

        return ImageFont.truetype(found[0], size, index=found[1])
    except (ImportError, OSError):
        return None


@lru_cache(maxsize=256)
def draw(lines: tuple[str, ...], columns: int, rows: int, most: int = 200) -> Bitmap | None:
    """The lines as large as they fit into ``columns`` times ``rows`` cells, centred line by line, ``most`` pixels at most.

    None if they would not be legible, or there is no font.
    """
    # A character is at most one size wide and, drawn and trimmed, a little less than one size high.
    longest = max(len(line) for line in lines) or 1
    size = min(most, 2 * rows // len(lines) + 3, 2 * columns // longest + 2)
    while size >= LEAST_PIXELS:
        drawn = _at(lines, size)
        if drawn is None:
            return None
        if len(drawn[0]) <= columns and len(drawn) <= 2 * rows:
            return drawn
        size -= 1
    return None


def best(ways: Sequence[tuple[str, ...]], columns: int, rows: int, most: int = 200) -> Bitmap | None:
    """The way of breaking a text into lines that can be drawn largest."""
    found: tuple[float, Bitmap] | None = None
    for lines in ways:
        bitmap = draw(lines, columns, rows, most)
        if bitmap is not None:
            height = len(bitmap) / len(lines)
            if found is None or height > found[0] + 1:  # fewer lines, unless more make it clearly larger
                found = height, bitmap
    return found[1] if found else None


@lru_cache(maxsize=512)
def _at(lines: tuple[str, ...], size: int) -> Bitmap | None:
    """The lines at a size in pixels, trimmed."""
    font = _font(size)
    if font is None:
        return None
    from PIL import Image

    parts = [_trim(_line(text, font, size)) for text in lines]
    gap = max(2, size // 6)
    width = max(p.width for p in parts)
    height = sum(p.height for p in parts) + gap * (len(parts) - 1)
    page = Image.new("L", (width, height + height % 2))
    top = 0
    for part in parts:
        page.paste(part, ((width - part.width) // 2, top))
        top += part.height + gap
    pixels = page.tobytes()
    return tuple(
        tuple(round(v * (LEVELS - 1) / 255) for v in pixels[y * width : (y + 1) * width]) for y in range(page.height)
    )


def _line(text: str, font: FreeTypeFont, size: int) -> Image.Image:
    """One line, every character set on a whole pixel, so that equal strokes look equal."""
    from PIL import Image, ImageDraw

    advances = [max(1, round(font.getlength(c))) for c in text]
    image = Image.new("L", (sum(advances) + size, 2 * size))
    pen = ImageDraw.Draw(image)
    x = size // 2
    for char, advance in zip(text, advances, strict=True):
        pen.text((x, size * 3 // 2), char, fill=255, font=font, anchor="ls")
        x += advance
    return image


def _trim(image: Image.Image) -> Image.Image:
    return image.crop(image.point(lambda v: 255 if v > 40 else 0).getbbox() or (0, 0, 1, 1))
