"""The station's screen: what an officer can read from two metres away, at every size of terminal, and that it ends cleanly."""

import fcntl
import itertools
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from typing import Any

import pytest
from rich.cells import cell_len

from mediad.cli import screen
from mediad.cli.paint import SCHEMES, Row, Terminal, cut, wrap
from mediad.cli.screen import Page, grid
from mediad.cli.tile import BREAKS, SHORT, Tile
from mediad.edges import glyphs
from mediad.edges.board import Board, read_board
from mediad.model.board import TOO_EARLY, WORDS, SlotState, SlotView
from tests.support import Site

STATES: list[SlotState] = ["safe", "copying", "attention", "idle", "detecting", "unlocking", "paused"]
FULL = Terminal(shades=True, chinese=True)
CONSOLE = Terminal(shades=False, chinese=False)
WHY = TOO_EARLY


def slot(n: int, state: SlotState, **more: Any) -> dict[str, Any]:
    view = SlotView(f"pci-0000:00:14.0-usb-0:{n}", f"{n}号", state, recorder="DSJ-X5-0042")
    busy = {"files_done": 12, "files_total": 345, "bytes_done": 30, "bytes_total": 100, "seconds": 60.0}
    if state in ("copying", "paused"):
        view = view.but(**busy)
    if state in ("attention", "paused"):
        view = view.but(why=WHY)
    return view.as_json() | more


def board(count: int, message: str = "") -> dict[str, Any]:
    states = itertools.cycle(STATES)
    return {"message": message, "slots": [slot(n + 1, next(states)) for n in range(count)]}


def page(shown: dict[str, Any] | None, terminal: Terminal = FULL, *, running: bool = True) -> Page:
    return Page("大连金普新区卫生健康局", "hq-01", shown, "14:05", terminal, running)


def text(rows: list[Row]) -> str:
    """What stands there in letters of the terminal's own; spaces within Chinese words taken out."""
    lines = ["".join(s.text for s in row) for row in rows]
    return "\n".join(re.sub(r"(?<=[⺀-￿]) (?=[⺀-￿])", "", line) for line in lines)


def drawn(rows: list[Row]) -> int:
    """Cells of large writing."""
    return sum(c in "▀▄█" for row in rows for s in row for c in s.text)


@pytest.fixture
def no_font(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glyphs, "draw", lambda *_: None)
    monkeypatch.setattr(glyphs, "best", lambda *_: None)


SIZES = [(80, 24), (100, 30), (120, 40), (160, 50), (200, 56), (240, 67)]


@pytest.mark.parametrize("terminal", [FULL, CONSOLE], ids=["colours", "linux console"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_number_of_slots_fills_the_terminal_exactly(width: int, height: int, terminal: Terminal) -> None:
    for count, message in itertools.product(
        (0, 1, 2, 3, 5, 8, 12, 16), ("", "the vault is away 储存器故障，请叫管理员")
    ):
        rows = page(board(count, message), terminal).rows(width, height)
        assert len(rows) == height
        assert {sum(s.cell_length for s in row) for row in rows} == {width}, (count, message)


def test_a_terminal_far_too_small_does_not_break_it() -> None:
    for width, height in ((20, 6), (40, 3), (10, 10)):
        rows = page(board(16)).rows(width, height)
        assert len(rows) >= height - 1


@pytest.mark.parametrize("state", STATES)
def test_each_state_is_said_in_its_colour_in_chinese_and_english(state: SlotState, no_font: None) -> None:
    rows = Tile(slot(1, state), 50, 14, FULL).rows()
    said = text(rows)
    for word in WORDS[state][0].split():
        assert word in said
    assert WORDS[state][1] in said
    grounds = {s.style.bgcolor.triplet for row in rows for s in row if s.style and s.style.bgcolor}
    assert SCHEMES[state].ground in grounds


@pytest.mark.parametrize("state", STATES)
def test_on_a_screen_of_one_slot_the_state_is_drawn_large(state: SlotState) -> None:
    assert glyphs.find_font() is not None, "no font with Chinese characters: apt-get install -y fonts-noto-cjk"
    rows = Tile(slot(1, state), 118, 38, FULL).rows()
    assert drawn(rows) > 300


def test_every_state_has_a_way_to_be_broken_and_shortened() -> None:
    for state, (word, _) in WORDS.items():
        assert word in BREAKS
        assert all("".join(way).replace(" ", "") == word.replace(" ", "") for way in BREAKS[word])
        assert state in SHORT or len(word) <= 3


def test_a_tile_tells_recorder_files_minutes_and_how_far(no_font: None) -> None:
    said = text(Tile(slot(3, "copying"), 60, 16, FULL).rows())
    assert "3号" in said
    assert "DSJ-X5-0042" in said
    assert "12 / 345 个文件" in said
    assert "约 3 分钟" in said
    assert "30 %" in said


def test_the_last_minute_is_not_called_zero_minutes(no_font: None) -> None:
    assert "不到 1 分钟" in text(Tile(slot(1, "copying", minutes_left=0), 80, 16, FULL).rows())
    assert "约1分钟" in text(Tile(slot(1, "copying", minutes_left=0), 30, 7, FULL).rows())


def test_a_small_tile_still_says_state_and_files() -> None:
    said = text(Tile(slot(1, "copying"), 19, 6, FULL).rows())
    assert "正在采集" in said
    assert "请勿拔出" in said
    assert "12/345" in said


def test_the_reason_stands_below_chinese_first(no_font: None) -> None:
    said = text(Tile(slot(1, "attention"), 70, 16, FULL).rows())
    assert said.index("拔出过早，请重新插入") < said.index("it was taken out too early")


def test_a_safe_slot_says_how_many_files_were_taken(no_font: None) -> None:
    assert "214 个文件" in text(Tile(slot(1, "safe", files_total=214), 60, 14, FULL).rows())


def test_the_stations_message_is_a_red_banner() -> None:
    rows = page(board(4, "储存器故障 vault local is offline")).rows(120, 40)
    red = [row for row in rows if "储存器故障" in "".join(s.text for s in row)]
    assert red
    assert all(s.style and s.style.bgcolor and s.style.bgcolor.triplet == SCHEMES["attention"].ground for s in red[0])


def test_clock_unit_and_station_stand_at_the_top() -> None:
    head = text(page(board(2)).rows(80, 24)[:1])
    assert "大连金普新区卫生健康局" in head
    assert "hq-01" in head
    assert head.rstrip().endswith("14:05")


@pytest.mark.parametrize("shown", [None, board(3), board(0, "the vault is away")])
def test_without_a_running_daemon_the_whole_screen_says_so(shown: dict[str, Any] | None, no_font: None) -> None:
    said = text(page(shown, running=False).rows(80, 24))
    assert "采集程序未运行" in said
    assert "not run" in said
    assert "1号" not in said, "an old board is no answer"
    assert (shown or {}).get("message", "") in said


def test_a_board_that_is_old_is_not_shown(no_font: None) -> None:
    """Its daemon runs, but cannot write it: what it says of a slot may have been true once."""
    shown = Page("大连金普新区卫生健康局", "hq-01", board(3), "14:05", FULL, silent=True)
    said = text(shown.rows(80, 24))
    assert "接口情况不明" in said
    assert "no news" in said
    assert "可取走" not in said and "1号" not in said


def test_a_screen_asks_again_and_again_whether_its_board_is_young(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    Board(site.config.runtime).show(SlotView("usb:1", state="safe"))
    drawings: list[bool] = []
    looks = itertools.count()

    def young(_board: object) -> bool:
        if (look := next(looks)) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return look < 2

    monkeypatch.setattr(screen, "Console", console(lambda shown: drawings.append(shown.silent)))
    monkeypatch.setattr(screen, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(screen, "datetime", Noon)
    screen.watch_board("u", "s", lambda: read_board(site.config.runtime), stamp=lambda: 1, young=young)
    assert drawings == [False, True]


def console(drawn: Callable[[Page], None]) -> type:
    """A terminal that only notes what is drawn on it."""

    class Screen:
        def __enter__(self) -> "Screen":
            return self

        def __exit__(self, *_: object) -> None:
            return

        def update(self, page: Page) -> None:
            drawn(page)

    class Console:
        is_terminal, is_dumb_terminal, color_system, size = True, False, "truecolor", (80, 24)

        def screen(self, **_: object) -> Screen:
            return Screen()

    return Console


def test_without_slots_it_asks_for_a_recorder(no_font: None) -> None:
    assert "请插入执法记录仪" in text(page(board(0)).rows(80, 24))


def test_drop_folders_get_a_line_and_no_tile() -> None:
    shown = board(2)
    shown["slots"].append(slot(9, "copying") | {"port": "folder:hall-cctv", "name": "hall-cctv"})
    last = text(page(shown).rows(120, 40)[-1:])
    assert "hall-cctv: 正在采集" in last
    assert "12 / 345" in last
    assert "请勿拔出" not in last, "there is nothing to pull"


def test_slots_stand_in_the_order_of_their_numbers(no_font: None) -> None:
    shown = {"message": "", "slots": [slot(n, "idle") for n in (10, 2, 1)] + [slot(3, "idle") | {"name": ""}]}
    said = text(page(shown).rows(80, 24))
    assert [said.index(f"{n}号") for n in (1, 2, 10)] == sorted(said.index(f"{n}号") for n in (1, 2, 10))
    assert "接口 3" in said, "a slot without a name is called by the end of its port"


def test_a_linux_console_gets_nothing_that_it_cannot_show() -> None:
    rows = page(board(8, "the vault is away 储存器故障"), CONSOLE).rows(120, 40)
    letters = {c for row in rows for s in row for c in s.text}
    assert not {c for c in letters if cell_len(c) > 1}
    assert {s.style.color.name for row in rows for s in row if s.style and s.style.color} <= {
        "bright_white", "black", "white", "green", "blue", "red", "yellow", "cyan", "magenta",
    }  # fmt: skip


@pytest.mark.parametrize(("count", "width", "height"), [(8, 240, 67), (8, 120, 40), (16, 160, 50), (4, 120, 40)])
def test_tiles_are_spread_without_much_empty_room(count: int, width: int, height: int) -> None:
    across, down = grid(count, width, height)
    assert across * down >= count
    assert across * down - count <= 1


def test_hostile_names_cannot_reach_the_terminal() -> None:
    rows = page(
        {"message": "\x1b[2J", "slots": [slot(1, "attention", recorder="\x1b]0;x\x07", why="a\nb\rc\x9b")]}
    ).rows(80, 24)
    assert not [c for row in rows for s in row for c in s.text if not c.isprintable()]


def test_text_is_cut_and_wrapped_by_cells() -> None:
    assert cut("可取走", 4) == "可…"
    assert cut("abc", 3) == "abc"
    assert wrap("拔出过早，请重新插入", 8, 3) == ["拔出过", "早，请重", "新插入"]
    assert wrap("one two three", 7, 2) == ["one two", "three"]
    assert wrap("one two three four", 7, 1)[0].endswith("…")


# --- large writing ----------------------------------------------------------------------------------------------------


def test_large_writing_fits_and_is_as_large_as_it_can_be() -> None:
    for columns, rows in ((40, 8), (60, 20), (200, 40)):
        bitmap = glyphs.draw(("可取走",), columns, rows)
        assert bitmap is not None
        assert len(bitmap) % 2 == 0
        assert len(bitmap) <= 2 * rows
        assert {len(line) for line in bitmap} == {len(bitmap[0])}
        assert len(bitmap[0]) <= columns
        assert len(bitmap) > 2 * rows - 8 or len(bitmap[0]) > columns - 8


def test_what_would_not_be_legible_is_not_drawn() -> None:
    assert glyphs.draw(("请叫管理员",), 40, 20) is None
    assert glyphs.draw(("可取走",), 60, 4) is None


def test_lines_are_broken_where_that_makes_them_larger() -> None:
    ways = BREAKS["请叫管理员"]
    narrow, wide = glyphs.best(ways, 44, 16), glyphs.best(ways, 150, 16)
    assert narrow is not None
    assert wide is not None
    assert narrow == glyphs.draw(ways[1], 44, 16)
    assert wide == glyphs.draw(ways[0], 150, 16)


# --- the command ------------------------------------------------------------------------------------------------------


class Window:
    """``mediad slots --watch`` on a terminal of its own."""

    def __init__(self, site: Site, width: int = 80, height: int = 24) -> None:
        self.master, slave = pty.openpty()
        self.resize(width, height)
        command = [sys.executable, "-m", "mediad.cli.main", "-c", str(site.config_file), "slots", "--watch"]
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            environment.pop(name, None)
        self.child = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
        os.close(slave)
        self.seen = ""

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def until(self, wanted: str, seconds: float = 30.0) -> str:
        """Read until the wanted text has come; returns what was read since the last call."""
        start, end = len(self.seen), time.monotonic() + seconds
        while wanted not in self.seen[start:]:
            ready, _, _ = select.select([self.master], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"{wanted!r} did not come: {self.seen[start:][-400:]!r}"
            got = self.read()
            assert got, f"it ended before {wanted!r} came: {self.seen[start:][-400:]!r}"
            self.seen += got
        return self.seen[start:]

    def read(self) -> str:
        try:
            return os.read(self.master, 65536).decode("utf-8", "replace")
        except OSError:  # the other side is closed
            return ""

    def rest(self) -> None:
        """Read what is left until the program lets go of its terminal."""
        while got := self.read():
            self.seen += got

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        os.close(self.master)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_screen_follows_the_board_and_gives_the_terminal_back(site: Site, number: signal.Signals) -> None:
    window = Window(site)
    try:
        window.until("has not run yet")
        shown = Board(site.config.runtime)
        shown.show(SlotView("usb:1", state="copying", recorder="REC-1", files_done=3, files_total=9, bytes_total=9))
        window.until("3 / 9")
        shown.show(SlotView("usb:1", state="safe", recorder="REC-1", files_total=9))
        window.until("safe to take")
        window.child.send_signal(number)
        window.until("\x1b[?1049l")
        window.rest()
        assert "\x1b[?25h" in window.seen[window.seen.rindex("safe to take") :], "the cursor is shown again"
        assert window.child.wait(10) == 0
        assert "Traceback" not in window.seen
    finally:
        window.close()


def test_an_unchanged_board_is_not_drawn_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at an unchanged board, one that was only written again, and one that says something else: two pictures."""
    shown = Board(site.config.runtime)
    shown.show(SlotView("usb:1", state="safe"))
    drawings: list[str] = []
    looks = itertools.count()
    reads: list[int] = []

    def stamp() -> object:
        look = next(looks)
        if look == 30:
            os.kill(os.getpid(), signal.SIGTERM)
        return look // 10

    def read() -> dict[str, Any]:
        body = json.loads((site.config.runtime / "slots.json").read_bytes())
        reads.append(1)
        return {**body, "beat": len(reads), "message": "" if len(reads) < 3 else "changed"}

    monkeypatch.setattr(screen, "Console", console(lambda page: drawings.append((page.board or {})["message"])))
    monkeypatch.setattr(screen, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(screen, "datetime", Noon)
    screen.watch_board("u", "s", read, stamp=stamp)
    assert drawings == ["", "changed"]
    assert len(reads) == 4


class Noon:
    """A clock that stands."""

    @classmethod
    def now(cls, _zone: object = None) -> "Noon":
        return cls()

    def strftime(self, _form: str) -> str:
        return "12:00"


def test_without_a_terminal_it_says_what_to_use_instead(site: Site) -> None:
    done = site.run("slots", "--watch")
    assert done.returncode == 2
    assert "--json" in done.stderr
