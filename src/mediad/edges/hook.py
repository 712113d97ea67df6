"""The optional lamp or beep: a program that is told a slot's state.  It can be slow, hang or fail: docking
never waits for it.

Contract: ``argv... <slot> <state>``, no shell; stdin is /dev/null, what it prints is dropped; environment
PATH, LANG and the two arguments again as ``MEDIAD_SLOT`` and ``MEDIAD_STATE``; killed, with all its children,
after the time limit.  States are those of slots.json: idle, detecting, unlocking, copying, safe, attention,
paused.  One call at a time; of states that pass while a call runs, only the latest of each slot waits, so
however long a call takes nothing piles up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from mediad.edges.program import run


class Hook:
    """Calls the program from one background thread, which exists only while there is something to tell."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        timeout: float = 5.0,
        on_problem: Callable[[str], None] | None = None,
    ) -> None:
        """An empty ``argv`` does nothing.  ``on_problem`` is called from the background thread, with one
        sentence.
        """
        self._argv = tuple(argv)
        self._timeout = timeout
        self._on_problem = on_problem or (lambda _text: None)
        self._state = threading.Condition()
        self._pending: dict[str, str] = {}
        self._told: dict[str, str] = {}
        self._running = False

    def tell(self, slot: str, state: str) -> None:
        """Returns at once.  A state that the slot already has is not told again."""
        if not self._argv:
            return
        with self._state:
            self._pending[slot] = state
            if self._running:
                return
            try:
                threading.Thread(target=self._work, name="mediad-hook", daemon=True).start()
            except RuntimeError as error:  # no more threads: the next state tries again
                self._on_problem(f"the slot hook cannot be run now: {error}")
            else:
                self._running = True

    def flush(self, timeout: float) -> bool:
        """Wait until everything is told; False after ``timeout`` seconds.  For shutdown."""
        with self._state:
            return self._state.wait_for(lambda: not self._running, timeout)

    def _work(self) -> None:
        while True:
            with self._state:
                if not self._pending:
                    self._running = False
                    self._state.notify_all()
                    return
                slot, state = next(iter(self._pending.items()))
                del self._pending[slot]
                if self._told.get(slot) == state:
                    continue
                self._told[slot] = state
            if not self._call(slot, state):
                with self._state:  # nobody knows what it shows now, so the same state is worth telling again
                    self._told.pop(slot, None)

    def _call(self, slot: str, state: str) -> bool:
        name = self._argv[0]
        try:
            outcome = run(
                [*self._argv, slot, state],
                environment={"MEDIAD_SLOT": slot, "MEDIAD_STATE": state},
                timeout=self._timeout,
            )
        except OSError as error:
            self._on_problem(f"cannot run the slot hook {name}: {error.strerror}")
            return False
        except Exception as error:  # this thread ends only when there is nothing to tell
            self._on_problem(f"cannot run the slot hook {name}: {error}")
            return False
        if outcome.late:
            self._on_problem(f"the slot hook {name} took over {self._timeout:g} s for {slot} {state}; killed")
        elif outcome.too_much:
            self._on_problem(f"the slot hook {name} wrote too much for {slot} {state}; killed")
        elif outcome.code:
            self._on_problem(f"the slot hook {name} ended with {outcome.code} for {slot} {state}")
        return not (outcome.late or outcome.too_much or outcome.code)
