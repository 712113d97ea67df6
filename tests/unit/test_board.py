"""The slot board: one file, always whole, that says what stands on the station's screen."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mediad.edges import board as board_module
from mediad.edges.board import FILE, STALE_SECONDS, Board, daemon_runs, is_young, known_board, read_board, stamp
from mediad.errors import VaultOffline
from mediad.model.board import NOT_BACK, NOT_LET_GO, SENTENCES, TOO_EARLY, WORDS, SlotView, sentence
from tests.unit.test_docs import rows


def slots(folder: Path) -> list[dict[str, object]]:
    board = read_board(folder)
    assert board is not None
    found: list[dict[str, object]] = board["slots"]
    return found


def test_a_change_of_state_is_written_at_once(tmp_path: Path) -> None:
    board = Board(tmp_path)
    for state in WORDS:
        board.show(SlotView("p1", state=state))
        assert [s["state"] for s in slots(tmp_path)] == [state]
        assert slots(tmp_path)[0]["words"] == list(WORDS[state])


def test_another_reason_is_written_at_once_too(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.show(SlotView("p1", state="attention", why="one"))
    board.show(SlotView("p1", state="attention", why="two"))
    assert slots(tmp_path)[0]["why"] == "two"


def test_progress_alone_is_not_written_for_every_piece(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.show(SlotView("p1", state="copying", bytes_total=1000))
    before = stamp(tmp_path)
    for n in range(100):
        board.show(SlotView("p1", state="copying", bytes_total=1000, bytes_done=n))
    assert stamp(tmp_path) == before
    assert board.view("p1").bytes_done == 99, "but nothing is forgotten"


def test_a_reader_never_sees_half_a_board(tmp_path: Path) -> None:
    board = Board(tmp_path)
    done = threading.Event()

    def write() -> None:
        for n in range(200):
            board.show(SlotView("p1", state="attention", why=str(n) * (n + 1)))
        done.set()

    board.say("x")
    thread = threading.Thread(target=write)
    thread.start()
    reads = 0
    while not done.is_set():
        json.loads((tmp_path / FILE).read_bytes())
        reads += 1
    thread.join()
    assert reads
    assert os.listdir(tmp_path) == [FILE], "and nothing lies about beside it"


def test_everybody_may_read_it(tmp_path: Path) -> None:
    Board(tmp_path / "run").say("x")
    assert (tmp_path / "run" / FILE).stat().st_mode & 0o444 == 0o444


def test_taught_names_are_shown_also_while_nothing_is_plugged_in(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.set_names({"p2": "2号", "p1": "1号"})
    assert [(s["port"], s["name"], s["state"]) for s in slots(tmp_path)] == [
        ("p1", "1号", "idle"),
        ("p2", "2号", "idle"),
    ]
    board.show(SlotView("p2", state="copying", recorder="R"))
    assert slots(tmp_path)[1]["name"] == "2号"
    assert board.view("p2").name == "2号"
    assert board.view("p9") == SlotView("p9")


def test_the_stations_message_is_written_and_taken_away(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.say("the vault is away")
    assert (read_board(tmp_path) or {})["message"] == "the vault is away"
    board.say("")
    assert (read_board(tmp_path) or {})["message"] == ""


def test_every_change_of_state_is_told_once_by_the_slots_name(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    board = Board(tmp_path, lambda slot, state: told.append((slot, state)))
    board.set_names({"p1": "1号"})
    board.show(SlotView("p1", state="copying"))
    board.show(SlotView("p1", state="copying", files_done=1))
    board.show(SlotView("p1", state="safe"))
    board.show(SlotView("p2", state="copying"))
    assert told == [("1号", "idle"), ("1号", "copying"), ("1号", "safe"), ("p2", "copying")], (
        "a lamp may still be lit at start"
    )
    board.stop()
    assert told[4:] == [("1号", "idle"), ("p2", "idle")], "nobody knows any more"


@pytest.mark.parametrize("body", [b"", b"{", b"\xff"])
def test_no_board_and_a_broken_one_are_none(tmp_path: Path, body: bytes) -> None:
    assert read_board(tmp_path) is None
    assert stamp(tmp_path) is None
    (tmp_path / FILE).write_bytes(body)
    assert read_board(tmp_path) is None


def test_the_board_of_this_process_is_one_of_a_running_daemon(tmp_path: Path) -> None:
    Board(tmp_path).say("x")
    assert daemon_runs(read_board(tmp_path) or {})


def test_the_board_of_an_ended_process_is_not(tmp_path: Path) -> None:
    write = "import sys, pathlib; from mediad.edges.board import Board; Board(pathlib.Path(sys.argv[1])).say('x')"
    subprocess.run([sys.executable, "-c", write, str(tmp_path)], check=True)
    board = read_board(tmp_path) or {}
    assert not daemon_runs(board)
    assert not daemon_runs({**board, "daemon": {"pid": os.getpid(), "began": 1}}), "another process has its number now"
    assert not daemon_runs({"message": "", "slots": []})


@pytest.mark.parametrize(
    ("view", "minutes"),
    [
        (SlotView("p", state="copying", bytes_done=10, bytes_total=100, seconds=10), 2),
        (SlotView("p", state="copying", bytes_done=99, bytes_total=100, seconds=10), 1),
        (SlotView("p", state="copying", bytes_done=100, bytes_total=100, seconds=10), 0),
        (SlotView("p", state="copying", bytes_done=120, bytes_total=100, seconds=10), 0),
        (SlotView("p", state="copying", bytes_done=0, bytes_total=100, seconds=10), None),
        (SlotView("p", state="copying", bytes_done=10, bytes_total=100, seconds=0.5), None),
        (SlotView("p", state="safe", bytes_done=10, bytes_total=100, seconds=10), None),
    ],
)
def test_minutes_left_are_rounded_up_and_unsaid_where_nothing_is_known(view: SlotView, minutes: int | None) -> None:
    assert view.minutes_left == minutes
    assert view.as_json()["minutes_left"] == minutes


# --- a screen must not outlive its truth --------------------------------------------------------------------------------


def test_a_board_is_believed_only_while_it_is_young(tmp_path: Path) -> None:
    Board(tmp_path).show(SlotView("p1", state="safe"))
    board = read_board(tmp_path) or {}
    assert is_young(board)
    assert not is_young({**board, "beat": board["beat"] - STALE_SECONDS - 1}), "nobody has written it for some time"
    assert not is_young({**board, "beat": board["beat"] + 1000}), "written before the machine was started"
    assert not is_young({**board, "beat": None})
    assert not is_young({})


def test_a_board_on_which_nothing_changes_stays_young(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "BEAT_SECONDS", 0.001)
    board = Board(tmp_path)
    board.show(SlotView("p1", state="safe"))
    before = stamp(tmp_path)
    board.start()
    end = time.monotonic() + 30
    while stamp(tmp_path) == before:
        assert time.monotonic() < end, "never written again"
    board.stop()
    after = stamp(tmp_path)
    assert not [t for t in threading.enumerate() if t.name == "board"]
    assert stamp(tmp_path) == after


def test_what_cannot_be_written_is_taken_away_told_once_and_written_when_it_can(tmp_path: Path) -> None:
    """A folder that takes no new file stands for a full disk: the old word must not stay on the screen."""
    problems: list[str] = []
    board = Board(tmp_path, on_problem=problems.append)
    board.show(SlotView("p1", state="safe"))
    obstacle = tmp_path / f".{FILE}.{os.getpid()}"
    obstacle.mkdir()
    board.show(SlotView("p1", state="copying"))
    board.show(SlotView("p1", state="attention"))
    assert read_board(tmp_path) is None, "it still says safe"
    assert len(problems) == 1 and "cannot be written" in problems[0]
    obstacle.rmdir()
    board.show(SlotView("p1", state="paused"))
    assert slots(tmp_path)[0]["state"] == "paused"
    obstacle.mkdir()
    board.show(SlotView("p1", state="copying"))
    assert len(problems) == 2, "it is another trouble"


def test_who_looks_once_gets_no_slots_from_a_board_that_nobody_keeps(tmp_path: Path) -> None:
    known = known_board(tmp_path)
    assert known["slots"] == [] and known["news"].startswith("采集程序未运行 ")
    board = Board(tmp_path)
    board.show(SlotView("p1", state="safe"))
    board.say("the vault is away")
    known = known_board(tmp_path)
    assert known["news"] == "" and known["slots"][0]["state"] == "safe"
    body = read_board(tmp_path) or {}
    for changed, news in (
        ({**body, "beat": body["beat"] - 60}, "接口情况不明 "),
        ({**body, "daemon": {"pid": os.getpid(), "began": 1}}, "采集程序未运行 "),
    ):
        (tmp_path / FILE).write_text(json.dumps(changed))
        known = known_board(tmp_path)
        assert known["slots"] == [] and known["news"].startswith(news)
        assert known["message"] == "the vault is away"


def test_changes_of_one_slot_by_many_threads_lose_nothing_and_the_lamp_is_told_in_their_order(tmp_path: Path) -> None:
    told: list[str] = []
    board = Board(tmp_path, lambda _slot, state: told.append(state))
    seen: list[str] = []

    def count(view: SlotView) -> SlotView:
        seen.append("copying" if view.state == "paused" else "paused")
        return view.but(files_done=view.files_done + 1, state=seen[-1])

    def work() -> None:
        for _ in range(200):
            board.change("p1", count)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert board.view("p1").files_done == 800
    assert told == seen


# --- sentences ------------------------------------------------------------------------------------------------------------


def test_every_error_has_a_chinese_sentence_and_no_other_has() -> None:
    assert SENTENCES.keys() == {row[0] for row in rows("docs/errors.md", "Errors")}


def test_what_is_said_begins_in_chinese_and_the_first_space_ends_that() -> None:
    for text in [*SENTENCES.values(), *(said.split(" ", 1)[0] for said in (TOO_EARLY, NOT_BACK, NOT_LET_GO))]:
        assert text and all(c > "\u2e80" for c in text), text
    for said in (TOO_EARLY, NOT_BACK, NOT_LET_GO, *(w for _, w in WORDS.values())):
        assert said.split(" ", 1)[-1].isascii()
    assert sentence(VaultOffline("vault local is away")) == "储存器未接好，接好后自动继续 vault local is away"
    assert sentence(VaultOffline("x", code="never-heard-of")) == "出错 x"
