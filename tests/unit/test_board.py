"""The slot board: one file, always whole, that says what stands on the station's screen."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mediad.edges.board import FILE, Board, daemon_runs, read_board, stamp
from mediad.model.board import WORDS, SlotView


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
    assert told == [("1号", "copying"), ("1号", "safe"), ("p2", "copying")]


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
