"""Drop folders on a real file system with real inotify: what is complete is told, what grows is not, idle is idle."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mediad.edges.folders import RESCAN_SHARE, FolderReady, FolderWatcher

LONG = 60.0

Watch = Callable[..., FolderWatcher]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "drop"
    path.mkdir()
    return path


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Makes started watchers; the first wait has been made, so that inotify watches are in place."""
    made: list[FolderWatcher] = []

    def make(*folders: Path, settle: float = 0.2, begin: bool = True, **options: float) -> FolderWatcher:
        watcher = FolderWatcher(folders, settle, **({"close_seconds": 0.05, "gather_seconds": 1.0} | options))
        watcher.start()
        made.append(watcher)
        if begin:
            assert watcher.wait(0) == []
        return watcher

    yield make
    for watcher in made:
        watcher.stop()


def until(watcher: FolderWatcher, *names: str, timeout: float = 60.0) -> list[FolderReady]:
    """All that is told until these files have been told."""
    told: list[FolderReady] = []
    end = time.monotonic() + timeout
    missing = {os.fsencode(name) for name in names}
    while missing:
        assert time.monotonic() < end, f"not told: {missing}"
        for ready in watcher.wait(end - time.monotonic()):
            told.append(ready)
            missing -= set(ready.files)
    return told


def test_what_arrived_while_down_is_found_at_start(folder: Path, watch: Watch) -> None:
    (folder / "a.mp4").write_bytes(b"123")
    (folder / "sub").mkdir()
    (folder / "sub/b.mp4").write_bytes(b"45")
    (ready,) = until(watch(folder, begin=False), "a.mp4", "sub/b.mp4")
    assert ready.folder == folder
    assert {path: signature.size for path, signature in ready.files.items()} == {b"a.mp4": 3, b"sub/b.mp4": 2}


def test_a_closed_file_is_told_long_before_the_settling_time(folder: Path, watch: Watch) -> None:
    watcher = watch(folder, settle=LONG)
    (folder / "a.mp4").write_bytes(b"123")
    until(watcher, "a.mp4")


def test_a_renamed_upload_is_told_under_its_new_name_only(folder: Path, watch: Watch) -> None:
    watcher = watch(folder, settle=LONG)
    with (folder / "a.part").open("wb") as file:
        file.write(b"123")
        file.flush()
        os.rename(folder / "a.part", folder / "a.mp4")
    told = until(watcher, "a.mp4")
    assert [set(ready.files) for ready in told] == [{b"a.mp4"}]


def test_a_growing_file_is_not_told_before_its_writer_is_done(folder: Path, watch: Watch) -> None:
    """Single writes send no event that is watched; only looking again shows the growth."""
    watcher = watch(folder, settle=1.0)
    stop = threading.Event()

    def write() -> None:
        with (folder / "a.mp4").open("wb", buffering=0) as file:
            while not stop.wait(0.02):
                file.write(b"x" * 1000)

    writer = threading.Thread(target=write)
    writer.start()
    assert watcher.wait(2.5) == []
    stop.set()
    writer.join()
    (ready,) = until(watcher, "a.mp4")
    assert ready.files[b"a.mp4"].size == (folder / "a.mp4").stat().st_size


def test_an_unclosed_file_settles_when_it_stays_as_it_is(folder: Path, watch: Watch) -> None:
    watcher = watch(folder, settle=0.3)
    with (folder / "a.mp4").open("wb", buffering=0) as file:
        file.write(b"123")
        until(watcher, "a.mp4")


def test_a_docking_takes_just_the_settled_files(folder: Path, watch: Watch) -> None:
    watcher = watch(folder, settle=LONG, gather_seconds=0.1)
    with (folder / "growing.mp4").open("wb", buffering=0) as file:
        file.write(b"1")
        (folder / "whole.mp4").write_bytes(b"123")
        (ready,) = until(watcher, "whole.mp4")
        for name, expected in (("whole.mp4", True), ("growing.mp4", False)):
            status = (folder / name).stat()
            assert ready.accepts(name.encode(), status.st_size, status.st_mtime_ns) is expected
    (folder / "whole.mp4").write_bytes(b"1234")
    status = (folder / "whole.mp4").stat()
    assert not ready.accepts(b"whole.mp4", status.st_size, status.st_mtime_ns)


def test_a_folder_moved_in_is_taken_with_all_its_files(folder: Path, tmp_path: Path, watch: Watch) -> None:
    outside = tmp_path / "card"
    (outside / "DCIM/100").mkdir(parents=True)
    names = [f"DCIM/100/{n:04d}.jpg" for n in range(20)]
    for name in names:
        (outside / name).write_bytes(name.encode())
    watcher = watch(folder)
    outside.rename(folder / "card")
    until(watcher, *(f"card/{name}" for name in names))
    (folder / "card/DCIM/100/late.jpg").write_bytes(b"1")
    until(watcher, "card/DCIM/100/late.jpg")


def test_nothing_is_told_twice(folder: Path, watch: Watch) -> None:
    (folder / "a.mp4").write_bytes(b"123")
    watcher = watch(folder, begin=False, rescan_seconds=0.1)
    until(watcher, "a.mp4")
    (folder / "a.mp4").read_bytes()
    assert watcher.wait(0.8) == []


def test_a_file_written_again_is_told_again(folder: Path, watch: Watch) -> None:
    watcher = watch(folder)
    (folder / "a.mp4").write_bytes(b"123")
    until(watcher, "a.mp4")
    with (folder / "a.mp4").open("ab") as file:
        file.write(b"4")
    (ready,) = until(watcher, "a.mp4")
    assert ready.files[b"a.mp4"].size == 4


def test_links_devices_and_sockets_are_no_files(folder: Path, tmp_path: Path, watch: Watch) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/inner").write_bytes(b"x")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "dirlink").symlink_to(tmp_path / "tree")
    os.mkfifo(folder / "fifo")
    (folder / "real").write_bytes(b"x")
    (ready,) = until(watch(folder, begin=False), "real")
    assert set(ready.files) == {b"real"}


def test_names_that_are_no_utf_8_are_kept_as_bytes(folder: Path, watch: Watch) -> None:
    watcher = watch(folder, settle=LONG)
    name = b"\xd6\xb4\xb7\xa8\xff\n.mp4"
    (Path(os.fsdecode(os.fsencode(folder) + b"/" + name))).write_bytes(b"1")
    until(watcher, os.fsdecode(name))


def test_a_folder_that_is_missing_is_a_problem_told_once_and_taken_up_when_it_appears(tmp_path: Path) -> None:
    problems: list[str] = []
    folder = tmp_path / "later"
    watcher = FolderWatcher([folder], 0.1, rescan_seconds=0.05, close_seconds=0.05, on_problem=problems.append)
    watcher.start()
    try:
        assert [dict(ready.files) for ready in watcher.wait(0.3)] == [{}], "a docking is to say it on the board"
        assert watcher.wait(0.3) == []
        assert len(problems) == 1 and str(folder) in problems[0]
        folder.mkdir()
        (folder / "a.mp4").write_bytes(b"1")
        until(watcher, "a.mp4")
    finally:
        watcher.stop()


def test_a_folder_that_was_replaced_is_watched_anew(folder: Path, tmp_path: Path, watch: Watch) -> None:
    watcher = watch(folder, rescan_seconds=0.1)
    folder.rename(tmp_path / "old")
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"1")
    until(watcher, "a.mp4")


def test_what_could_not_be_taken_is_told_again(folder: Path, watch: Watch) -> None:
    watcher = watch(folder)
    (folder / "a.mp4").write_bytes(b"123")
    (ready,) = until(watcher, "a.mp4")
    watcher.again(ready, 0.2)
    (second,) = until(watcher, "a.mp4")
    assert second.files == ready.files


def test_several_folders_are_told_apart(folder: Path, tmp_path: Path, watch: Watch) -> None:
    other = tmp_path / "other"
    other.mkdir()
    watcher = watch(folder, other)
    (other / "b.mp4").write_bytes(b"1")
    (ready,) = until(watcher, "b.mp4")
    assert ready.folder == other


def test_wake_makes_wait_return_at_once_from_another_thread(folder: Path, watch: Watch) -> None:
    watcher = watch(folder)
    done = threading.Event()
    thread = threading.Thread(target=lambda: (watcher.wait(None), done.set()))
    thread.start()
    watcher.wake()
    assert done.wait(5)
    thread.join()


class Seconds:
    """A clock that a test moves, and the processor time that a look through a folder is said to have cost."""

    def __init__(self) -> None:
        self.now, self.cost = 100.0, 0.0
        self.read = self.measured = 0

    def clock(self) -> float:
        self.read += 1
        return self.now

    def thread_time(self) -> float:
        self.measured += 1
        return self.measured * self.cost


def test_a_large_folder_costs_little_while_nothing_happens(
    folder: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that costs much waits the longer for the next, whatever the settings say."""
    seconds = Seconds()
    monkeypatch.setattr("mediad.edges.folders.time.thread_time", seconds.thread_time)
    seconds.cost = 3 * RESCAN_SHARE
    watcher = watch(folder, rescan_seconds=0.05, clock=seconds.clock)
    assert seconds.measured == 2  # before and after a look
    for later, looks in ((2.9, 1), (0.2, 2), (2.9, 2), (0.2, 3)):
        seconds.now += later
        assert watcher.wait(0) == []
        assert seconds.measured == 2 * looks


def test_an_idle_watcher_sleeps(folder: Path, watch: Watch) -> None:
    """It is counted how often it wakes up to look at the time: processor time on a busy machine would tell nothing."""
    seconds = Seconds()

    def clock() -> float:
        seconds.clock()
        return time.monotonic()

    for n in range(100):
        (folder / f"{n:05d}.jpg").touch()
    watcher = watch(folder, begin=False, settle=0.05, clock=clock)
    told = 0
    while told < 100:
        told += sum(len(ready.files) for ready in watcher.wait(10))
    watcher.wait(0.2)
    seconds.read = 0
    assert watcher.wait(0.3) == []
    assert seconds.read < 10


def _closed(monkeypatch: pytest.MonkeyPatch, closed: set[str]) -> None:
    """Folders of these names cannot be listed: tests may run as root, whom no right keeps out."""
    real = os.scandir

    def scandir(path: bytes) -> object:
        if os.fsdecode(path).rsplit("/", 1)[-1] in closed:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_an_inner_folder_that_cannot_be_read_is_told_once_and_again_when_it_can(
    folder: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any file: a docking has to put it on record, and another look to take it back."""
    for name in ("one", "two"):
        (folder / name).mkdir()
    closed = {"one", "two"}
    _closed(monkeypatch, closed)
    problems: list[str] = []
    now = [0.0]
    watcher = watch(folder, begin=False, rescan_seconds=10.0, on_problem=problems.append, clock=lambda: now[0])

    def look() -> list[dict[bytes, object]]:
        now[0] += 1_000.0
        found, _, _ = watcher._step(now[0])
        return [dict(ready.files) for ready in found]

    assert look() == [{}]
    assert [look() for _ in range(3)] == [[]] * 3
    assert len(problems) == 2
    closed.remove("two")
    assert [look(), look()] == [[{}], []]
    closed.add("two")
    assert [look(), look()] == [[{}], []]
    assert len(problems) == 3


def test_a_folder_whose_entries_cannot_all_be_looked_at_is_told_like_one_that_cannot_be_listed(
    folder: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of mode 0744 lists names to everybody, and shows none of them."""
    (folder / "inner").mkdir()
    for name in ("inner/a.mp4", "inner/b.mp4", "c.mp4"):
        (folder / name).write_bytes(b"1")
    real = os.scandir

    def scandir(path: bytes) -> object:
        if not path.endswith(b"/inner"):
            return real(path)
        with real(path) as entries:
            return contextlib.nullcontext([Hidden(e) for e in entries])

    class Hidden:
        def __init__(self, entry: os.DirEntry[bytes]) -> None:
            self.name = entry.name

        def is_dir(self, **_: bool) -> bool:
            return False

        def stat(self, **_: bool) -> object:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", scandir)
    problems: list[str] = []
    now = [0.0]
    watcher = watch(folder, begin=False, on_problem=problems.append, clock=lambda: now[0])
    monkeypatch.setattr(watcher, "_ensure_watch", lambda _folder: None)  # watchdog lists in its own way
    told = []
    for _ in range(3):
        now[0] += 1_000.0
        told += [set(ready.files) for ready in watcher._step(now[0])[0]]
    assert told == [set(), {b"c.mp4"}]
    assert problems == ["cannot look through inner: Permission denied"]


def test_a_look_that_failed_is_asked_for_again(folder: Path, watch: Watch) -> None:
    now = [0.0]
    watcher = watch(folder, clock=lambda: now[0])
    watcher.again(FolderReady(folder, {}), 30.0)
    assert watcher._step(0.0)[0] == watcher._step(29.0)[0] == []
    (ready,) = watcher._step(31.0)[0]
    assert dict(ready.files) == {}
    assert watcher._step(62.0)[0] == []


def test_a_file_that_was_to_be_told_again_and_is_gone_is_told_as_gone(folder: Path, watch: Watch) -> None:
    """Else whoever waits for it would call for a person for ever."""
    watcher = watch(folder)
    (folder / "a.mp4").write_bytes(b"123")
    (ready,) = until(watcher, "a.mp4")
    watcher.again(ready, LONG)
    (folder / "a.mp4").unlink()
    (empty,) = watcher.wait(20.0)
    assert dict(empty.files) == {}


def test_a_folder_that_is_there_again_is_listed_at_the_next_look(tmp_path: Path, watch: Watch) -> None:
    """Not only at the next rescan: the look is made because the folder was missing."""
    now = [0.0]
    later = tmp_path / "later"
    watcher = watch(later, begin=False, settle=1.0, gather_seconds=0.0, rescan_seconds=10_000.0, clock=lambda: now[0])
    (missing,) = watcher._step(0.0)[0]
    assert dict(missing.files) == {}
    watcher.again(missing, 30.0)
    assert watcher._step(1.0)[0] == []
    later.mkdir()
    (later / "a.mp4").write_bytes(b"1")
    assert [dict(ready.files) for ready in watcher._step(32.0)[0]] == [{}]
    assert [set(ready.files) for ready in watcher._step(40.0)[0]] == [{b"a.mp4"}]
