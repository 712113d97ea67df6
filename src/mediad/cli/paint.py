"""Painting for the station's screen: rows of exactly so many cells, in the colours that the terminal has."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rich.cells import cell_len, set_cell_size
from rich.color import Color
from rich.console import Console
from rich.segment import Segment
from rich.style import Style

from mediad.edges.glyphs import LEVELS, Bitmap

Row = list[Segment]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Scheme:
    """Colours of a tile: ground, writing, and quieter writing; and the nearest of the eight colours of a plain console."""

    ground: Colour
    ink: Colour
    quiet: Colour
    plain_ground: str
    plain_ink: str

    @property
    def turned(self) -> Scheme:
        """Writing and ground exchanged."""
        return Scheme(self.ink, self.ground, self.ground, self.plain_ink, self.plain_ground)


SCHEMES = {
    "safe": Scheme((14, 128, 52), (255, 255, 255), (206, 242, 215), "green", "bright_white"),
    "copying": Scheme((19, 84, 186), (255, 255, 255), (203, 222, 252), "blue", "bright_white"),
    "attention": Scheme((190, 22, 28), (255, 255, 255), (255, 215, 212), "red", "bright_white"),
    "paused": Scheme((244, 174, 20), (24, 18, 0), (74, 54, 0), "yellow", "black"),
    "detecting": Scheme((11, 108, 122), (255, 255, 255), (200, 236, 240), "cyan", "black"),
    "unlocking": Scheme((98, 58, 158), (255, 255, 255), (226, 212, 248), "magenta", "bright_white"),
    "idle": Scheme((44, 49, 56), (150, 160, 171), (124, 133, 143), "black", "white"),
    "page": Scheme((16, 18, 21), (226, 230, 234), (140, 148, 156), "black", "white"),
}


@dataclass(frozen=True)
class Terminal:
    """What the terminal can do: ``shades`` of a colour (256 colours or more), and ``chinese`` letters of its own."""

    shades: bool
    chinese: bool

    @classmethod
    def of(cls, console: Console) -> Terminal:
        """The Linux console has no Chinese characters; there everything but the large writing is English."""
        return cls(console.color_system in ("256", "truecolor"), os.environ.get("TERM") != "linux")

    def ink(self, scheme: Scheme, *, bold: bool = False, quiet: bool = False) -> Style:
        """Style of plain writing on a scheme's ground."""
        return _style(scheme, self.shades, bold, quiet)

    def words(self, chinese: str, english: str) -> str:
        """Both, or what can be shown."""
        return f"{chinese} {english}" if self.chinese else english

    def small(self, text: str) -> str:
        """Text as the terminal can show it."""
        text = "".join(
            c if c.isprintable() or c == "\N{IDEOGRAPHIC SPACE}" else "\N{REPLACEMENT CHARACTER}" for c in text
        )
        return text if self.chinese else "".join(c for c in text if ord(c) < 0x2E80).strip()

    def row(self, text: str, width: int, style: Style, align: str = "left") -> Row:
        """One row of exactly ``width`` cells; what is too long is cut with an ellipsis."""
        text = cut(self.small(text), width)
        free = width - cell_len(text)
        left = {"left": 0, "center": free // 2, "right": free}[align]
        return [Segment(" " * left + text + " " * (free - left), style)]

    def picture(
        self, bitmap: Bitmap, width: int, scheme: Scheme, *, quiet: bool = False, align: str = "center"
    ) -> list[Row]:
        """A bitmap as rows of half blocks, ``width`` cells wide."""
        free = width - len(bitmap[0])
        left = {"left": 0, "center": free // 2, "right": free}[align]
        ground = self.ink(scheme)
        rows = []
        for y in range(0, len(bitmap), 2):
            row = [Segment(" " * left, ground)] if left else []
            row += self._cells(zip(bitmap[y], bitmap[y + 1], strict=True), scheme, quiet)
            rows.append([*row, Segment(" " * (free - left), ground)])
        return rows

    def _cells(self, pairs: Iterable[tuple[int, int]], scheme: Scheme, quiet: bool) -> Row:
        row: Row = []
        text, style = "", None
        for top, bottom in pairs:
            char, wanted = self._cell(top, bottom, scheme, quiet)
            if wanted is not style and text:
                row.append(Segment(text, style))
                text = ""
            text, style = text + char, wanted
        return [*row, Segment(text, style)] if text else row

    def _cell(self, top: int, bottom: int, scheme: Scheme, quiet: bool) -> tuple[str, Style]:
        if self.shades and (top not in (0, LEVELS - 1) or bottom not in (0, LEVELS - 1)):
            return "▀", _shade(scheme, top, bottom, quiet)
        half = LEVELS // 2 - 1
        return " ▄▀█"[2 * (top > half) + (bottom > half)], self.ink(scheme, quiet=quiet)


def cut(text: str, width: int) -> str:
    """Text of at most ``width`` cells."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + "…" if width > 1 else ""


def wrap(text: str, width: int, most: int) -> list[str]:
    """Text in at most so many rows, broken at spaces where there are some and anywhere between Chinese characters."""
    if not text or width < 2 or most < 1:  # a Chinese character has two cells
        return []
    rows, line = [], ""
    for whole in _words(text):
        word = whole
        if line and cell_len(line + word.rstrip()) > width:
            rows.append(line.rstrip())
            line = ""
        while cell_len(word.rstrip()) > width:
            head = set_cell_size(word, width).rstrip()
            rows.append(head)
            word = word[len(head) :]
        line += word
    rows.append(line.rstrip())
    if len(rows) > most:
        rows[most - 1 :] = [cut(rows[most - 1] + " " * width, width)]
    return [r for r in rows if r]


def _words(text: str) -> list[str]:
    words = [""]
    for c in text:
        if cell_len(c) > 1 and not (words[-1] and c in "，。：；、！？）"):
            words.append(c)
        else:
            words[-1] += c
        if c == " ":
            words.append("")
    return words


def filled(rows: Sequence[Row], height: int, width: int, style: Style) -> list[Row]:
    """Rows, filled or cut to a height."""
    blank = [Segment(" " * width, style)]
    return [*rows[:height], *([blank] * (height - len(rows)))]


@lru_cache(maxsize=256)
def _style(scheme: Scheme, shades: bool, bold: bool, quiet: bool) -> Style:
    if not shades:
        return Style(color=scheme.plain_ink, bgcolor=scheme.plain_ground, bold=bold)
    ink = scheme.quiet if quiet else scheme.ink
    return Style(color=Color.from_rgb(*ink), bgcolor=Color.from_rgb(*scheme.ground), bold=bold)


@lru_cache(maxsize=1024)
def _shade(scheme: Scheme, top: int, bottom: int, quiet: bool) -> Style:
    return Style(color=_blend(scheme, top, quiet), bgcolor=_blend(scheme, bottom, quiet))


def _blend(scheme: Scheme, level: int, quiet: bool) -> Color:
    ink = scheme.quiet if quiet else scheme.ink
    return Color.from_rgb(*(round(g + (i - g) * level / (LEVELS - 1)) for g, i in zip(scheme.ground, ink, strict=True)))
