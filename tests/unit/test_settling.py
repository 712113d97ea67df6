"""When a file counts as complete: the pure rule, by cases and by random histories."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mediad.model.settling import Settling, Signature


def sig(size: int, mtime: int = 1, inode: int = 1) -> Signature:
    return Signature(size, mtime, inode)


def settling() -> Settling:
    return Settling(settle=10.0, close=1.0, gather=30.0)


def test_a_file_settles_after_the_quiet_time_and_is_told_once() -> None:
    files = settling()
    files.seen(b"a", sig(5), now=0.0)
    assert files.next_at() == 10.0
    assert files.due(9.9) == []
    assert files.due(10.0) == [b"a"]
    files.checked(b"a", sig(5), now=10.0)
    assert files.take(10.0) == {b"a": sig(5)}
    assert files.take(11.0) == {}
    files.seen(b"a", sig(5), now=300.0)
    assert files.next_at() is None, "a rescan does not tell it again"


def test_a_closed_file_settles_sooner() -> None:
    files = settling()
    files.seen(b"a", sig(5), now=0.0)
    files.seen(b"a", sig(5), now=2.0, closed=True)
    assert files.due(2.9) == []
    assert files.due(3.0) == [b"a"]


def test_growth_that_sent_no_event_is_seen_at_the_end_of_the_quiet_time() -> None:
    files = settling()
    files.seen(b"a", sig(5), now=0.0, closed=True)
    assert files.due(1.0) == [b"a"]
    files.checked(b"a", sig(6), now=1.0)
    assert files.take(1.0) == {}
    assert files.due(10.9) == []
    assert files.due(11.0) == [b"a"], "the full quiet time again: somebody else writes"


def test_settled_files_wait_for_the_others_but_not_for_ever() -> None:
    files = settling()
    files.seen(b"a", sig(5), now=0.0, closed=True)
    files.seen(b"b", sig(5), now=0.0)
    files.due(1.0)
    files.checked(b"a", sig(5), now=1.0)
    assert files.take(1.0) == {}
    for now in range(10, 40, 10):
        for path in files.due(float(now)):
            files.checked(path, sig(now), now=float(now))
    assert files.take(30.0) == {}
    assert files.take(31.0) == {b"a": sig(5)}


def test_a_file_that_changes_after_it_was_told_is_told_again() -> None:
    files = settling()
    files.seen(b"a", sig(5), now=0.0, closed=True)
    files.due(1.0)
    files.checked(b"a", sig(5), now=1.0)
    files.take(1.0)
    files.seen(b"a", sig(6), now=50.0, closed=True)
    files.due(51.0)
    files.checked(b"a", sig(6), now=51.0)
    assert files.take(51.0) == {b"a": sig(6)}


def test_a_file_that_changes_before_it_was_taken_waits_again() -> None:
    files = settling()
    files.seen(b"a", sig(5), now=0.0, closed=True)
    files.due(1.0)
    files.checked(b"a", sig(5), now=1.0)
    files.seen(b"a", sig(6), now=1.5)
    assert files.take(1.5) == {}


def test_what_could_not_be_taken_is_told_again_later() -> None:
    files = settling()
    files.seen(b"a", sig(5), now=0.0, closed=True)
    files.due(1.0)
    files.checked(b"a", sig(5), now=1.0)
    taken = files.take(1.0)
    files.again(taken, now=2.0, delay=60.0)
    assert files.due(61.9) == []
    assert files.due(62.0) == [b"a"]
    files.checked(b"a", sig(5), now=62.0)
    assert files.take(62.0) == taken


def test_files_that_vanish_are_forgotten_and_told_anew_when_they_return() -> None:
    files = settling()
    files.seen(b"a", sig(5), now=0.0, closed=True)
    files.due(1.0)
    files.checked(b"a", sig(5), now=1.0)
    files.take(1.0)
    files.only(set())
    files.seen(b"a", sig(5), now=100.0, closed=True)
    assert files.due(101.0) == [b"a"]


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "close", "event", "scan", "delete", "pass"]),
        st.sampled_from([b"a", b"b", b"c"]),
        st.floats(0.0, 12.0),
    ),
    max_size=60,
)


@given(_STEPS)
def test_whatever_happens_only_files_that_were_quiet_long_enough_are_told(
    steps: list[tuple[str, bytes, float]],
) -> None:
    """Events may be missing (every write is silent unless "event" or "close" says so); looks are truthful."""
    files, now = settling(), 0.0
    disk: dict[bytes, Signature] = {}
    written: dict[bytes, float] = {}
    told: dict[bytes, Signature] = {}
    for step, path, pause in steps:
        # while time passes the watcher comes back whenever it asked to
        end = now + pause
        while (at := files.next_at()) is not None and at <= end:
            now = max(now, at)
            for due in files.due(now):
                if due in disk:
                    files.checked(due, disk[due], now)
                else:
                    files.gone(due)
            for taken, signature in files.take(now).items():
                assert told.get(taken) != signature, "told twice"
                if taken in disk and disk[taken] == signature:
                    assert now - written[taken] >= 1.0 - 1e-6
                told[taken] = signature
        now = end
        if step == "write":
            disk[path] = sig(disk[path].size + 1 if path in disk else 1)
            written[path] = now
        elif step == "delete" and path in disk:
            del disk[path]
            told.pop(path, None)
            files.gone(path)
        elif step in ("close", "event") and path in disk:
            files.seen(path, disk[path], now, closed=step == "close")
        elif step == "scan":
            for each, signature in disk.items():
                files.seen(each, signature, now)
            files.only(set(disk))


@given(st.dictionaries(st.binary(min_size=1, max_size=3), st.integers(0, 9), max_size=20))
def test_after_quiet_everything_that_is_there_has_been_told(there: dict[bytes, int]) -> None:
    files = settling()
    for path, size in there.items():
        files.seen(path, sig(size), now=0.0)
    for path in files.due(10.0):
        files.checked(path, sig(there[path]), now=10.0)
    assert files.take(10.0) == {path: sig(size) for path, size in there.items()}
    assert files.next_at() is None
