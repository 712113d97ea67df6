"""One slot of the station's screen: a tile whose state is as large as it fits, and below it what else there is room for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.cells import cell_len
from rich.segment import Segment

from mediad.cli.paint import SCHEMES, Row, Scheme, Terminal, filled, wrap
from mediad.edges import glyphs

Slot = Mapping[str, Any]

BREAKS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "空闲": (("空闲",),),
    "正在识别": (("正在识别",), ("正在", "识别")),
    "正在解锁": (("正在解锁",), ("正在", "解锁")),
    "正在采集 请勿拔出": (("正在采集", "请勿拔出"), ("正在采集 请勿拔出",)),
    "可取走": (("可取走",),),
    "请叫管理员": (("请叫管理员",), ("请叫", "管理员")),
    "暂停 请叫管理员": (("暂停", "请叫管理员"), ("暂停", "请叫", "管理员"), ("暂停 请叫管理员",)),
    "采集程序未运行": (("采集程序未运行",), ("采集程序", "未运行")),
    "接口情况不明": (("接口情况不明",), ("接口情况", "不明")),
    "请插入执法记录仪": (("请插入执法记录仪",), ("请插入", "执法记录仪")),
}
"""How large words may be broken into lines."""

SHORT: Final[Mapping[str, str]] = {
    "detecting": "识别", "unlocking": "解锁", "copying": "勿拔", "attention": "管理员", "paused": "暂停",
}  # fmt: skip
"""What is drawn large where there is no room for all of it; the words themselves stand below."""


def count(slot: Slot, t: Terminal) -> list[str]:
    """Files done, and minutes left."""
    if slot["state"] not in ("copying", "paused", "safe") or not slot["files_total"]:
        return []
    if slot["state"] == "safe":
        return [f"{slot['files_total']} {t.words('个文件', 'files')}"]
    return [f"{slot['files_done']} / {slot['files_total']} {t.words('个文件', 'files')}", *_minutes(slot, t)]


def _minutes(slot: Slot, t: Terminal) -> list[str]:
    left = slot["minutes_left"]
    if left is None:
        return []
    if left <= 1:
        return [t.words("不到 1 分钟", "under a minute left")]
    return [t.words(f"约 {left} 分钟", f"about {left} min left")]


def why_lines(text: str, width: int, most: int) -> list[str]:
    """The sentence for the administrator: its Chinese part, then the English one on a line of its own."""
    chinese, english = re.fullmatch(r"((?:[\u2e80-\uffff]\S*)?)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    first = wrap(chinese, width, most)
    return first + (wrap(english.strip(), width, most - len(first)) if most > len(first) else [])


class Tile:
    """One slot in ``width`` times ``height`` cells."""

    def __init__(self, slot: Slot, width: int, height: int, terminal: Terminal) -> None:
        self.slot, self.width, self.height, self.t = slot, width, height, terminal
        self.scheme: Scheme = SCHEMES[slot["state"]]
        self.margin = 3 if width >= 40 else 1
        self.inner = max(1, width - 2 * self.margin)
        self.name = slot["name"] or _short(slot["port"])
        self.figures_at = 0

    def rows(self) -> list[Row]:
        t, h = self.t, self.height
        edge = 1 if h >= 9 else 0
        room = h - 2 * edge
        title = [self._title()] if self.name or self.slot["recorder"] else []
        for spacious in (True, False):
            low = self._low(room - len(title) - 1, spacious=spacious)
            free = room - len(title) - len(low)
            word = self._large_word(free)
            if word:
                break
        else:
            low = self._low(room - len(title) - 1, spacious=True)
            free = room - len(title) - len(low)
            word = self._plain_word(free)
        spare = free - len(word)
        if len(word) > 5 and spare >= 6 and self.name:
            title = self._large_title(min(spare, 10)) or title
            spare = room - len(title) - len(low) - len(word)
        if len(word) > 5 and spare >= 8 and (figures := self._figures()):
            low = [*low[: self.figures_at], *figures, *low[self.figures_at :]]
            spare -= len(figures)
        above = (spare + 1) // 2 if len(title) == 1 else spare // 2
        blank = [self._text("")]
        rows = [*title, *blank * above, *word, *blank * (spare - above), *low]
        ground = t.ink(self.scheme)
        left, right = Segment(" " * self.margin, ground), Segment(" " * (self.width - self.inner - self.margin), ground)
        edges = [[Segment(" " * self.width, ground)]] * edge
        return filled([*edges, *([left, *row, right] for row in rows), *edges], h, self.width, ground)

    def _text(self, text: str, align: str = "left", *, bold: bool = False, quiet: bool = False) -> Row:
        return self.t.row(text, self.inner, self.t.ink(self.scheme, bold=bold, quiet=quiet), align)

    def _title(self) -> Row:
        """The slot's name left, the recorder right."""
        name, recorder = self.t.small(self.name), self.t.small(self.slot["recorder"])
        if not recorder:
            return self._text(name, bold=True)
        right = min(cell_len(recorder), self.inner - min(cell_len(name), self.inner // 2) - 1)
        left = self.inner - right
        style = self.t.ink(self.scheme, bold=True)
        return [*self.t.row(name, left, style), *self.t.row(recorder, right, style, "right")]

    def _large_title(self, rows: int) -> list[Row]:
        """The slot's name large, the recorder beside it; none if it does not fit."""
        t, recorder = self.t, self.slot["recorder"]
        name = glyphs.draw((self.name,), self.inner * 3 // 5, min(rows - 1, 9), 18)
        if name is None:
            return []
        left = len(name[0]) + 3
        right, ground = self.inner - left, t.ink(self.scheme)
        beside = glyphs.draw((recorder,), right, min(rows - 1, 7), 13) if recorder else None
        small = t.row(recorder, right, t.ink(self.scheme, bold=True), "right")
        column = t.picture(beside, right, self.scheme, align="right") if beside else [small]
        picture = t.picture(name, left, self.scheme, align="left")
        above = [t.row("", right, ground)] * ((len(picture) - len(column)) // 2)
        column = filled([*above, *column], len(picture), right, ground)
        return [*([*a, *b] for a, b in zip(picture, column, strict=True)), self._text("")]

    def _large_word(self, room: int) -> list[Row]:
        """The state drawn as large as it fits; none if it does not."""
        word, english = self.slot["words"]
        most = 16 if self.slot["state"] == "idle" and self.name else 200
        large = min(room - (room >= 8), max(16, room // 2 if self.slot["state"] == "copying" else room * 3 // 5))
        bitmap = glyphs.best(BREAKS.get(word, (tuple(word.split()),)), self.inner, large, most)
        if bitmap is not None:
            return self.t.picture(bitmap, self.inner, self.scheme)
        if self.slot["state"] in SHORT and room >= 7:
            bitmap = glyphs.draw((SHORT[self.slot["state"]],), self.inner, room - 1)
            if bitmap is not None:
                full = word if self.t.chinese else english
                return [*self.t.picture(bitmap, self.inner, self.scheme), self._text(full, "center", bold=True)]
        return []

    def _plain_word(self, room: int) -> list[Row]:
        """The state in bold on a band."""
        word, english = self.slot["words"]
        lines = self._spaced(word) if self.t.chinese else wrap(english.upper(), self.inner, max(1, room))
        if len(lines) > room:
            lines = [word]
        if self.slot["state"] == "idle":
            return [self._text(line, "center", bold=True) for line in lines]
        band = self.t.ink(self.scheme.turned, bold=True)
        pad = [self.t.row("", self.inner, band)] if room >= len(lines) + 2 else []
        return [*pad, *(self.t.row(line, self.inner, band, "center") for line in lines), *pad]

    def _spaced(self, word: str) -> list[str]:
        """The word with its characters set apart; what belongs together stays in one line."""
        apart = ["  ".join(" ".join(w) for w in word.split())]
        lines = apart if cell_len(apart[0]) <= self.inner else [" ".join(w) for w in word.split()]
        return lines if all(cell_len(line) <= self.inner for line in lines) else word.split()

    def _figures(self) -> list[Row]:
        """Files and minutes, large."""
        slot = self.slot
        if slot["state"] != "copying" or not slot["files_total"]:
            return []
        files, left = f"{slot['files_done']}/{slot['files_total']}", slot["minutes_left"]
        minutes = [] if left is None else [f"约{max(1, left)}分钟"]
        for text in ("  ".join([f"{files}个", *minutes]), *minutes):
            bitmap = glyphs.draw((text,), self.inner, 6, 13)
            if bitmap is not None:
                return [*self.t.picture(bitmap, self.inner, self.scheme), self._text("")]
        return []

    def _low(self, room: int, *, spacious: bool) -> list[Row]:
        """What stands below the word, as much as there is room for: files and minutes, bar, why, English."""
        slot, t = self.slot, self.t
        rows: list[Row] = []
        counted = count(slot, t)
        if counted:
            rows.append(self._text(self._fitting(counted), "center", bold=True))
        if slot["state"] in ("copying", "paused") and room >= 2:
            rows.append(self._bar())
        if slot["why"] and slot["state"] in ("attention", "paused", "idle"):
            most = (4 if room >= 12 else 2 if room >= 4 else 1) if spacious else 1
            rows += [
                self._text(line, "center", bold=room >= 8) for line in why_lines(t.small(slot["why"]), self.inner, most)
            ]
        self.figures_at = 0
        if t.chinese and spacious and room >= len(rows) + 2:
            english = [self._text(slot["words"][1], "center", quiet=True)]
            gap = [self._text("")] if rows and room >= 8 else []
            self.figures_at = len(english) + len(gap)
            rows = english + gap + rows
        return rows[: max(0, room)]

    def _fitting(self, parts: Sequence[str]) -> str:
        """The longest way to say it that fits."""
        text = "  ·  ".join(parts)
        if cell_len(text) <= self.inner:
            return text
        slot = self.slot
        short = f"{slot['files_done']}/{slot['files_total']}" if slot["state"] != "safe" else str(slot["files_total"])
        files, left = self.t.words("个文件", "").strip() or "files", slot["minutes_left"]
        minutes = "" if left is None else f" 约{max(1, left)}分钟" if self.t.chinese else f" {max(1, left)} min"
        for text in (f"{short} {files} ·{minutes}" if minutes else f"{short} {files}", f"{short}{minutes}"):
            if cell_len(text) <= self.inner:
                return text
        return short

    def _bar(self) -> Row:
        slot, width = self.slot, self.inner
        total = slot.get("bytes_total") or 0
        share = min(1.0, (slot.get("bytes_done") or 0) / total) if total else 0.0
        text = f" {int(share * 100):3d} %" if width >= 16 else ""
        cells = width - len(text)
        done = int(share * cells)
        strong, weak = self.t.ink(self.scheme, bold=True), self.t.ink(self.scheme, quiet=True)
        return [Segment("█" * done, strong), Segment("░" * (cells - done), weak), Segment(text, strong)]


def _short(port: str) -> str:
    """What tells a port without a name from the others: the end of its path."""
    return f"接口 {port.rsplit(':', 1)[-1]}" if port else ""
