"""The threads behind the ingest: none goes home while another may still find work for it, and none is left alone when one fails."""

import threading
from collections.abc import Callable

import pytest

from mediad.errors import CatalogError, MediadError, Stopping
from mediad.wiring.crew import Crew

PATIENCE = 30.0


class Stub:
    """A worker whose steps are the test's."""

    def __init__(self, step: Callable[[bool], bool], waits: Callable[[], bool] = lambda: False) -> None:
        self._step, self._waits = step, waits

    def step(self, *, facts: bool = False) -> bool:
        return self._step(facts)

    def waits(self) -> bool:
        return self._waits()


class Once:
    """One fact that makes one preview due, when the other thread has looked in vain."""

    def __init__(self) -> None:
        self.facts, self.previews = 1, 0
        self._looked = threading.Event()

    def step(self, facts: bool) -> bool:
        if facts:
            self._looked.wait(PATIENCE)
            found, self.facts, self.previews = bool(self.facts), 0, self.previews + self.facts
            return found
        found, self.previews = bool(self.previews), 0
        self._looked.set()
        return found


def crew(stub: Stub, jobs: int = 1, *, stop: threading.Event | None = None, **more: object) -> Crew:
    return Crew(stub, jobs, stop or threading.Event(), lambda: None, **{"until_idle": True, **more})  # type: ignore[arg-type]


def test_one_thread_is_for_facts_alone_beside_as_many_as_are_wanted() -> None:
    seen: dict[str, bool] = {}
    all_there = threading.Barrier(4)

    def step(facts: bool) -> bool:
        name = threading.current_thread().name
        if name not in seen:
            seen[name] = facts
            all_there.wait(PATIENCE)
        return False

    some = crew(Stub(step), jobs=3)
    some.start()
    assert some.join(PATIENCE)
    assert sorted(seen.values()) == [False, False, False, True]


def test_what_becomes_due_while_another_looks_for_work_is_not_left() -> None:
    """It looked before the facts were there and comes to rest after their thread: it has to look again."""
    looking, told = threading.Event(), threading.Event()
    looks = []
    facts_steps = []

    def step(facts: bool) -> bool:
        if facts:
            facts_steps.append(looking.wait(PATIENCE))
            if len(facts_steps) == 1:
                return True
            told.set()
            return False
        looks.append(len(facts_steps))
        looking.set()
        told.wait(PATIENCE)
        return False

    some = crew(Stub(step))
    some.start()
    assert some.join(PATIENCE)
    assert len(looks) >= 2


def test_what_the_last_fact_makes_due_is_done_whoever_wakes_first() -> None:
    """A thread that was told of work and did not wake yet is no idle one."""
    for _ in range(50):
        once = Once()
        some = crew(Stub(once.step))
        some.start()
        assert some.join(PATIENCE)
        assert (once.facts, once.previews) == (0, 0)


def test_nobody_goes_home_while_something_waits_for_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mediad.wiring.crew.POLL_SECONDS", 0.001)
    looks = 0

    def step(facts: bool) -> bool:
        nonlocal looks
        looks += facts
        return False

    some = crew(Stub(step, waits=lambda: looks < 5))
    some.start()
    assert some.join(PATIENCE)
    assert looks >= 5


@pytest.mark.parametrize("error", [CatalogError("moved away"), ZeroDivisionError("ours"), Stopping("closed")])
def test_a_fault_ends_all_and_is_told_once(error: Exception) -> None:
    """No thread goes on while another is gone, and nobody is left waiting."""
    told = []
    stop = threading.Event()

    def step(facts: bool) -> bool:
        if facts:
            raise error
        stop.wait(PATIENCE)
        raise error

    some = crew(Stub(step), stop=stop, until_idle=False, failed=lambda: told.append(1))
    some.start()
    assert some.join(PATIENCE)
    assert (stop.is_set(), told) == (True, [1])
    with pytest.raises(type(error)):
        some.check()


def test_a_step_that_a_stop_breaks_off_is_no_fault() -> None:
    stop = threading.Event()

    def step(_facts: bool) -> bool:
        stop.wait(PATIENCE)
        raise Stopping("mediad is stopping")

    some = crew(Stub(step), stop=stop, until_idle=False)
    some.start()
    some.stop()
    assert some.join(PATIENCE)
    some.check()


def test_a_mirror_that_cannot_be_written_ends_nobody() -> None:
    def mirror() -> None:
        raise MediadError("the vault is offline")

    some = Crew(Stub(lambda _facts: False), 1, threading.Event(), mirror, until_idle=True)
    some.start()
    assert some.join(PATIENCE)
    some.check()
