"""Cells of tables that people keep elsewhere: headers in Chinese or English, and what a cell means. A finding, never a guess."""

import itertools
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Final
from zoneinfo import ZoneInfo

from mediad.model.problems import Problem

LONGEST_CELL: Final = 2_000
YEARS: Final = range(1900, 2200)
"""A year that is none of these was typed wrongly."""
_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
YES: Final = frozenset({"1", "y", "yes", "true", "是", "紧急", "对", "√"})
NO: Final = frozenset({"", "0", "n", "no", "false", "否", "不", "×"})
_DATE: Final = re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?|(\d{4})(\d\d)(\d\d)")
_TIME: Final = re.compile(r"(\d{1,2})[:时](\d{1,2})(?:[:分](\d{1,2})(?:\.\d{1,9})?秒?)?分?")
_SERIAL: Final = re.compile(r"[2-9]\d{4}(\.\d+)?")
"""A day as spreadsheets count them inside."""
_QUOTES: Final = ("'", "‘", "’")
"""In front of a cell they tell a spreadsheet that it is text, and are no part of it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table: its number in the file, and its cells by column."""

    number: int
    cells: Mapping[str, str]

    def get(self, column: str) -> str:
        return self.cells.get(column, "")

    def has(self, column: str) -> bool:
        """Whether the table says anything about it: a column that is missing leaves things as they are, an empty cell empties
        it."""
        return column in self.cells


@dataclass(frozen=True, slots=True)
class BadLine:
    """What is wrong with a line; 0 is the table as a whole."""

    line: int
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one kind of table: name to the headers that people use for it (their own name counts as well)."""

    headers: Mapping[str, Sequence[str]]
    wanted: Sequence[str]

    def named(self, header: Sequence[str]) -> tuple[list[str], list[BadLine]]:
        """The column behind each header, empty for one that means nothing here; and what is wrong with them."""
        names = {_plain(alias): name for name, aliases in self.headers.items() for alias in (name, *aliases)}
        found = [names.get(_plain(text), "") for text in header]
        wrong = [BadLine(1, "column-unknown", f"the column {text[:40]!r} means nothing here, and is left alone")
                 for text, name in zip(header, found, strict=True) if not name and text.strip()]  # fmt: skip
        wrong += [
            BadLine(1, "column-twice", f"two columns mean {name}")
            for name in sorted({n for n in found if n and found.count(n) > 1})
        ]
        wrong += [BadLine(1, "column-missing", f"there is no column {name} ({' or '.join(self.headers[name]) or name})")
                  for name in self.wanted if name not in found]  # fmt: skip
        return found, wrong

    def below(self, rows: Iterable[tuple[int, Sequence[str]]]) -> int:
        """The line among the first ones that names the columns, where a title stands above them; 0 for none."""
        some = ((number, self.named(row)[1]) for number, row in itertools.islice(rows, 10))
        return next((number for number, wrong in some if all(f.code == "column-unknown" for f in wrong)), 0)


def _plain(text: str) -> str:
    return (
        re.sub(r"[:：*（(].*$|[\s_\-]", "", unicodedata.normalize("NFKC", text).strip().casefold())
        or text.strip().casefold()
    )


def _some(names: Iterable[str]) -> str:
    return ", ".join(names)


def lines(
    header: Sequence[str], columns: Sequence[str], rows: Iterable[tuple[int, Sequence[str]]]
) -> tuple[list[Line], list[BadLine]]:
    """Rows with their line numbers, as lines; and what is wrong with them as such. A ``header`` that stands there once more, as on
    each page that is printed, says nothing."""
    found: list[Line] = []
    wrong: list[BadLine] = []
    again = [_plain(text) for text in header] if len(header) > 1 else None
    for number, row in rows:
        if not any(cell.strip() for cell in row) or [_plain(cell) for cell in row] == again:
            continue
        if len(row) > len(columns) and any(cell.strip() for cell in row[len(columns) :]):
            wrong.append(
                BadLine(
                    number,
                    "too-many-cells",
                    f"{len(row)} cells for {len(columns)} columns: is a quotation mark missing?",
                )
            )
            continue
        # Spreadsheets leave out cells at the end: what is not there says nothing.
        cells = {name: _cell(row[n]) for n, name in enumerate(columns[: len(row)]) if name}
        if bad := next((p for p in map(cell_problem, cells.values()) if p), None):
            wrong.append(BadLine(number, bad.code, bad.detail))
            continue
        found.append(Line(number, cells))
    return found, wrong


def _cell(text: str) -> str:
    text = text.strip()
    return text[1:].strip() if text.startswith(_QUOTES) else text


def cell_problem(cell: str) -> Problem | None:
    """What keeps a cell from being taken: a formula does something else wherever the table is opened again."""
    if len(cell) > LONGEST_CELL:
        return Problem("cell-too-long", f"a cell has {len(cell)} characters, at most {LONGEST_CELL} are taken")
    if re.match(r"[=@]|[+-](?![\d.\s-]*$)", unicodedata.normalize("NFKC", cell)) and len(cell) > 1:
        return Problem("formula", f"{cell[:40]!r} is a formula: write its value")
    if any(unicodedata.category(c) in _UNPRINTABLE for c in cell):
        return Problem("unprintable", f"{cell[:40]!r} holds what is no character, or turns others around")
    return None


def yes(cell: str) -> bool | Problem:
    word = cell.casefold()
    if word in YES or word in NO:
        return word in YES
    return Problem("bad-yes-no", f"{cell[:40]!r} is neither 是 yes nor 否 no")


def day(cell: str) -> date | Problem | None:
    """A day; None for an empty cell."""
    if not cell:
        return None
    if (found := _DATE.fullmatch(cell)) is not None:
        try:
            read = date(*_numbers(found))
        except ValueError:
            read = None
        if read is not None and read.year in YEARS:
            return read
    return Problem("bad-date", f"{cell[:40]!r} is no day: {_like(cell, '2026-11-24')}")


def _numbers(found: re.Match[str]) -> list[int]:
    return [int(each) for each in found.groups() if each]


def _like(cell: str, example: str) -> str:
    if _SERIAL.fullmatch(cell):
        return f"a spreadsheet's own count of days? Show its column as dates, like {example}"
    return f"write it like {example}"


def moment(cell: str, zone: ZoneInfo) -> datetime | Problem | None:
    """A day and a time of the unit's zone, or with an offset of its own; None for an empty cell. A day alone is midnight: when it
    began."""
    if not cell:
        return None
    try:
        found = _moment(cell, zone)
    except ValueError:
        found = None
    if found is None or found.year not in YEARS:
        return Problem("bad-time", f"{cell[:40]!r} is no time: {_like(cell, '2026-11-24 09:30')}")
    return found


def _moment(cell: str, zone: ZoneInfo) -> datetime | None:
    plain = re.sub(r"(?<=\d)[T ]+(?=\d)|(?<=日)[T ]*(?=\d)", " ", cell.replace("：", ":"))
    head, _, tail = plain.partition(" ")
    if re.search(r"(Z|[+-]\d\d:?\d\d)$", tail):
        return datetime.fromisoformat(f"{head}T{tail}")
    d = _DATE.fullmatch(head)
    t = _TIME.fullmatch(tail) if tail else None
    if d is None or (t is None and tail):
        return None
    hour, minute, second = (int(n or 0) for n in t.groups()) if t is not None else (0, 0, 0)
    return datetime.combine(date(*_numbers(d)), time(hour, minute, second), zone)


def several(cell: str) -> list[str]:
    """The parts of a cell that names several. A stroke parts nothing: it stands in numbers."""
    return [part for part in (p.strip() for p in re.split(r"[,，、;；]+", cell)) if part]


def a_word(cell: str, words: Mapping[str, str], what: str) -> str | Problem:
    """One of some words, each known by several names."""
    found = words.get(cell.strip().casefold())
    if found is not None:
        return found
    said = (
        f"{cell[:40]!r} is no {what}"
        if cell
        else f"the {what} is empty (a cell that is merged with others stands in one line)"
    )
    return Problem("bad-word", f"{said}: {_some(sorted(set(words.values())))}")
