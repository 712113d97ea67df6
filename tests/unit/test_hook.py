"""The lamp hook is told states and can do no harm.  Real programs that write what they were told."""

from __future__ import annotations

import stat
import time
from pathlib import Path
from threading import Thread

import pytest

from mediad.edges.board import Board
from mediad.edges.hook import Hook
from mediad.model.board import WORDS, SlotView


def program(path: Path, text: str) -> list[str]:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return [str(path)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_each_state_is_told_with_its_slot(tmp_path: Path, log: Path) -> None:
    hook = Hook(program(tmp_path / "lamp", f'echo "$1|$2|$MEDIAD_SLOT|$MEDIAD_STATE" >>{log}'))
    hook.tell("slot 1", "copying")
    assert hook.flush(10)
    hook.tell("slot 1", "safe")
    assert hook.flush(10)
    assert log.read_text().splitlines() == [
        "slot 1|copying|slot 1|copying",
        "slot 1|safe|slot 1|safe",
    ]


def test_the_same_state_is_not_told_twice(tmp_path: Path, log: Path) -> None:
    hook = Hook(program(tmp_path / "lamp", f'echo "$1 $2" >>{log}'))
    for _ in range(3):
        hook.tell("a", "copying")
        assert hook.flush(10)
    assert log.read_text() == "a copying\n"


def test_docking_never_waits_and_only_the_latest_state_follows(tmp_path: Path, log: Path) -> None:
    gate = tmp_path / "gate"
    hook = Hook(
        program(
            tmp_path / "lamp",
            f'echo "$1 $2" >>{log}; mkfifo {gate} 2>/dev/null && cat {gate} >/dev/null; exit 0',
        ),
        timeout=30,
    )
    begin = time.monotonic()
    hook.tell("a", "detecting")
    while not gate.exists():
        assert time.monotonic() - begin < 30
    for state in ("copying", "attention", "safe"):
        hook.tell("a", state)
    hook.tell("b", "copying")
    assert not hook.flush(0)
    gate.open("w").close()
    assert hook.flush(10)
    assert log.read_text().splitlines() == ["a detecting", "a safe", "b copying"]


def test_a_hook_that_hangs_is_killed_and_reported(tmp_path: Path) -> None:
    problems: list[str] = []
    hook = Hook(program(tmp_path / "lamp", "sleep 8173"), timeout=0.2, on_problem=problems.append)
    hook.tell("a", "copying")
    assert hook.flush(10)
    assert len(problems) == 1 and "killed" in problems[0]


@pytest.mark.parametrize(("text", "problem"), [("exit 3", "ended with 3"), ("head -c 200000 /dev/zero", "too much")])
def test_other_failures_are_reported(tmp_path: Path, text: str, problem: str) -> None:
    problems: list[str] = []
    hook = Hook(program(tmp_path / "lamp", text), on_problem=problems.append)
    hook.tell("a", "safe")
    assert hook.flush(10)
    assert len(problems) == 1 and problem in problems[0]


def test_a_missing_hook_is_reported_and_none_is_fine(tmp_path: Path) -> None:
    problems: list[str] = []
    hook = Hook([str(tmp_path / "none")], on_problem=problems.append)
    hook.tell("a", "safe")
    assert hook.flush(10)
    assert len(problems) == 1 and "cannot run" in problems[0]
    silent = Hook([])
    silent.tell("a", "safe")
    assert silent.flush(0)


def test_a_hook_that_hangs_holds_up_nothing_and_nothing_piles_up(tmp_path: Path, log: Path) -> None:
    """A thousand states while one call hangs: told at once, and then only the last of each slot."""
    gate = tmp_path / "gate"
    text = f'echo "$1 $2" >>{log}; mkfifo {gate} 2>/dev/null && cat {gate} >/dev/null; exit 0'
    hook = Hook(program(tmp_path / "lamp", text), timeout=60)
    hook.tell("a", "detecting")
    begin = time.monotonic()
    while not gate.exists():
        assert time.monotonic() - begin < 30
    for _ in range(500):
        hook.tell("a", "copying")
        hook.tell("a", "safe")
    assert hook._pending == {"a": "safe"}
    gate.open("w").close()
    assert hook.flush(30)
    assert log.read_text().splitlines() == ["a detecting", "a safe"]


def test_a_state_that_the_hook_could_not_show_is_worth_telling_again(tmp_path: Path, log: Path) -> None:
    problems: list[str] = []
    hook = Hook(program(tmp_path / "lamp", f'echo "$2" >>{log}; exit 1'), on_problem=problems.append)
    for _ in range(2):
        hook.tell("a", "safe")
        assert hook.flush(10)
    assert log.read_text() == "safe\nsafe\n"
    assert len(problems) == 2


def test_a_state_that_cannot_be_handed_over_does_not_end_the_hook(tmp_path: Path, log: Path) -> None:
    problems: list[str] = []
    hook = Hook(program(tmp_path / "lamp", f'echo "$1" >>{log}'), on_problem=problems.append)
    hook.tell("a\0b", "safe")
    assert hook.flush(10), "its thread died"
    hook.tell("a", "safe")
    assert hook.flush(10)
    assert log.read_text() == "a\n"
    assert len(problems) == 1


def test_without_a_thread_to_be_had_the_next_state_tries_again(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems: list[str] = []
    hook = Hook(program(tmp_path / "lamp", f'echo "$2" >>{log}'), on_problem=problems.append)

    def none_left(_thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", none_left)
        hook.tell("a", "copying")
    assert len(problems) == 1
    hook.tell("a", "safe")
    assert hook.flush(10)
    assert log.read_text() == "safe\n"


def test_the_lamp_of_a_slot_follows_the_board_while_the_hook_is_slow(tmp_path: Path, log: Path) -> None:
    """Whatever a lamp shows in between, in the end it shows what the board shows."""
    hook = Hook(program(tmp_path / "lamp", f'echo "$2" >>{log}'))
    board = Board(tmp_path / "run", hook.tell)
    states = [*WORDS] * 20

    def work() -> None:
        for state in states:
            board.show(SlotView("p1", state=state))

    threads = [Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hook.flush(60)
    assert log.read_text().splitlines()[-1] == board.view("p1").state
