"""`mediad slots --watch`: the station's own screen, for a tired officer two metres away.

Each slot is a coloured tile, its state as large as it fits. The screen is drawn anew only when the board, the size of the
terminal or the minute has changed.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, tzinfo
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment

from mediad.cli.paint import SCHEMES, Row, Terminal, filled
from mediad.cli.tile import Slot, Tile, count, why_lines
from mediad.edges import glyphs
from mediad.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

POLL_SECONDS = 0.25
ALIVE_EVERY = 8
"""Whether the daemon runs is asked at every so manieth poll."""

FOLDER = "folder:"
"""Begins the port of a drop folder: nothing is plugged in there, so it gets a line instead of a tile."""


def watch_board(
    unit: str,
    station: str,
    read_board: Callable[[], dict[str, Any] | None],
    *,
    stamp: Callable[[], object] = object,
    runs: Callable[[Mapping[str, Any]], bool] = lambda _board: True,
    young: Callable[[Mapping[str, Any]], bool] = lambda _board: True,
    zone: tzinfo | None = None,
) -> None:
    """Show the board until Ctrl-C or SIGTERM. ``stamp`` changes with the file, ``runs`` says whether the board's daemon runs, and
    ``young`` whether it has written it lately: an old board may call a slot safe that no longer is.

    Raises UsageError without a terminal.
    """
    console = Console()
    if not console.is_terminal or console.is_dumb_terminal:
        raise UsageError("--watch needs a terminal", hint="`mediad slots --json` prints the board")
    terminal = Terminal.of(console)
    seen: object = None
    shown: object = None
    board: dict[str, Any] | None = None
    running, silent, polls = True, False, 0
    with _asked_to_stop() as stop, console.screen(hide_cursor=True) as screen:
        while not stop.is_set():
            now = stamp()
            if board is None or now != seen:
                seen, board = now, read_board()
                polls = 0
            if polls % ALIVE_EVERY == 0:
                running = board is not None and runs(board)
                silent = board is not None and not young(board)
            polls += 1
            clock = datetime.now(zone).strftime("%H:%M")
            news = None if board is None else {**board, "beat": 0}
            state = (news, running, silent, clock, console.size)
            if state != shown:
                shown = state
                screen.update(Page(unit, station, board, clock, terminal, running=running, silent=silent))
            stop.wait(POLL_SECONDS)


@contextmanager
def _asked_to_stop() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM and a closed terminal set, so that the screen is always given back."""
    stop = threading.Event()

    def handler(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield stop
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@dataclass
class Page:
    """The whole screen, as rich draws it."""

    unit: str
    station: str
    board: Mapping[str, Any] | None
    clock: str
    terminal: Terminal
    running: bool = True
    silent: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, options.height or console.height
        for n, row in enumerate(self.rows(width, height)):
            if n:
                yield Segment.line()
            yield from row

    def rows(self, width: int, height: int) -> list[Row]:
        """The screen as exactly ``height`` rows of ``width`` cells."""
        board = self.board or {"message": "", "slots": []}
        head = self._head(width, height)
        message = str(board.get("message") or "")
        if self.board is None or not self.running or self.silent:
            return head + self._notice(width, height - len(head), message)
        head += self._banner(message, width, height)
        slots = [s for s in board["slots"] if not s["port"].startswith(FOLDER)]
        foot = self._foot([s for s in board["slots"] if s["port"].startswith(FOLDER)], width, height)
        room = height - len(head) - len(foot)
        body = self._tiles(sorted(slots, key=_order), width, room) if slots else self._empty(width, room)
        return head + body + foot

    # --- around the tiles -------------------------------------------------------------------------------------------

    def _head(self, width: int, height: int) -> list[Row]:
        t, page = self.terminal, SCHEMES["page"]
        station = t.words("采集站", "station") + f" {self.station}"
        if height >= 44 and width >= 100:
            clock = glyphs.draw((self.clock,), 36, 7, 17)
            name = glyphs.draw((self.unit,), width - 40, 7, 13)
            if clock and name:
                return self._large_head(name, clock, station, width)
        left = f" {t.small(self.unit)} · {station}"
        free = width - cell_len(self.clock) - 1
        return [
            [*t.row(left, free, t.ink(page, bold=True)), *t.row(self.clock + " ", width - free, t.ink(page, bold=True))]
        ]

    def _large_head(self, name: glyphs.Bitmap, clock: glyphs.Bitmap, station: str, width: int) -> list[Row]:
        t, page = self.terminal, SCHEMES["page"]
        right = len(clock[0]) + 3
        left = width - right - 2
        gap = [Segment("  ", t.ink(page))]
        names = filled(t.picture(name, left, page, align="left"), 7, left, t.ink(page))
        clocks = filled(t.picture(clock, right, page, align="left"), 7, right, t.ink(page))
        blank = t.row("", width, t.ink(page))
        both = [[*gap, *a, *b] for a, b in zip(names, clocks, strict=True)]
        return [blank, *both, t.row(f"  {station}", width, t.ink(page, quiet=True))]

    def _banner(self, message: str, width: int, height: int) -> list[Row]:
        """What concerns the whole station."""
        if not message:
            return []
        t, red = self.terminal, SCHEMES["attention"]
        lines = why_lines(t.small(message), width - 4, 3 if height >= 30 else 2)
        rows = [t.row(line, width, t.ink(red, bold=True), "center") for line in lines]
        blank = t.row("", width, t.ink(red))
        return [blank, *rows, blank] if height >= 30 else rows

    def _foot(self, folders: Sequence[Slot], width: int, height: int) -> list[Row]:
        """Drop folders, one line each; the ones with trouble first."""
        t = self.terminal
        worst = sorted(folders, key=lambda s: (s["state"] not in ("attention", "paused"), s["state"] == "idle"))
        rows = []
        for s in worst[: max(1, height // 12)]:
            scheme = SCHEMES["page"] if s["state"] == "idle" else SCHEMES[s["state"]]
            said = " · ".join(p for p in (t.words(*_folder_words(s)), *count(s, t), s["why"]) if p)
            text = f" {t.words('文件夹', 'folder')} {s['name'] or s['port'][len(FOLDER) :]}: {said}"
            rows.append(t.row(text, width, t.ink(scheme, quiet=s["state"] == "idle")))
        return rows

    def _notice(self, width: int, height: int, message: str) -> list[Row]:
        """No board, one that nobody writes any more, or one that is old."""
        why = message or self.terminal.words("请叫管理员", "call the administrator: systemctl status mediad")
        if self.board is not None and self.running:
            return self._large("attention", "接口情况不明", "no news of the slots", why, width, height)
        english = "the station's program is not running" if self.board else "the station's program has not run yet"
        return self._large("attention", "采集程序未运行", english, why, width, height)

    def _empty(self, width: int, height: int) -> list[Row]:
        return self._large("idle", "请插入执法记录仪", "dock a recorder", "", width, height)

    def _large(self, scheme: str, word: str, english: str, why: str, width: int, height: int) -> list[Row]:
        """One tile over the whole screen."""
        slot = {"state": scheme, "words": [word, english], "why": why, "name": "", "port": "", "recorder": ""}
        page = self.terminal.ink(SCHEMES["page"])
        tile = Tile(
            {**slot, "files_total": 0, "files_done": 0, "minutes_left": None}, width - 2, height - 1, self.terminal
        )
        body = [[Segment(" ", page), *row, Segment(" ", page)] for row in tile.rows()]
        return [self.terminal.row("", width, page), *body]

    # --- tiles ------------------------------------------------------------------------------------------------------

    def _tiles(self, slots: Sequence[Slot], width: int, height: int) -> list[Row]:
        across, down = grid(len(slots), width, height)
        page = self.terminal.ink(SCHEMES["page"])
        gap_x, gap_y = (2, 1) if width >= 60 and height >= 6 * down else (1, 0)
        wide = _shares(width - gap_x * (across + 1), across)
        tall = _shares(height - gap_y * (down + 1), down)
        blank = [self.terminal.row("", width, page)]
        rows: list[Row] = list(blank * gap_y)
        gap = Segment(" " * gap_x, page)
        for line in range(down):
            tiles = []
            for n in range(across):
                at = line * across + n
                if at < len(slots):
                    tiles.append(Tile(slots[at], wide[n], tall[line], self.terminal).rows())
                else:
                    tiles.append([self.terminal.row("", wide[n], page)] * tall[line])
            for parts in zip(*tiles, strict=True):
                row: Row = [gap]
                for part in parts:
                    row += [*part, gap]
                rows.append(row)
            rows += blank * gap_y
        return filled(rows, height, width, page)


def grid(slots: int, width: int, height: int) -> tuple[int, int]:
    """How many tiles across and down show ``slots`` tiles best: first large words, then few empty places."""

    def worth(across: int) -> tuple[int, float, float]:
        down = -(-slots // across)
        w, h = width // across - 6, height // down - 5
        empty = down * across - slots
        shape = abs((w + 6) / max(1, height / down) - 2.6)  # two by one cells are a square
        # The pixels of two lines of four characters, which copying shows, and of a short word; 14 are plain enough.
        for rank, word in ((2, min(w / 4, h, 14)), (1, min(w / 3, 2 * h - 2, 14))):
            if word >= glyphs.LEAST_PIXELS:
                return rank, round(word) - empty, -shape
        return 0, -empty, -shape

    across = max(range(1, slots + 1), key=worth)
    return across, -(-slots // across)


def _shares(total: int, parts: int) -> list[int]:
    """A length in parts that differ by one at most."""
    return [total // parts + (n < total % parts) for n in range(parts)]


def _order(slot: Slot) -> tuple[bool, list[tuple[int, int, str]]]:
    """Named slots first, 2号 before 10号."""
    parts = re.findall(r"\d+|\D+", slot["name"] or slot["port"])
    return not slot["name"], [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts]


def _folder_words(slot: Slot) -> tuple[str, str]:
    """Nothing can be pulled out of a folder."""
    return ("正在采集", "taking") if slot["state"] == "copying" else tuple(slot["words"])
