"""The daemon: the order in which it starts and stops (with parts of paper), and the real `mediad run` as a child."""

import json
import os
import queue
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from mediad import daemon
from mediad.catalog import db
from mediad.edges import systemd
from mediad.edges.board import Board, daemon_runs, read_board
from mediad.edges.folders import FolderReady
from mediad.errors import CatalogError, ConfigError, MediadError, StorageError, VaultFull
from mediad.model.settling import Signature
from mediad.wiring.parts import FolderPart, HttpPart
from tests.support import MIB, Site, complaints, make_card, make_site, noise

PATIENCE = 60.0

# --- in this process --------------------------------------------------------------------------------------------------


class Paper:
    """A station, parts and a service manager that note what happens, and end the daemon after so many beats."""

    def __init__(self, beats: int = 1) -> None:
        self.said: list[str] = []
        self.stop = threading.Event()
        self.beats = beats
        self.sick: Exception | None = None
        self.left: list[float] = []
        self.stuck: threading.Event | None = None

    def finish_open_work(self) -> object:
        self.said.append("finish open work")
        return None

    def healthy(self) -> None:
        self.beats -= 1
        if self.beats <= 0:
            os.kill(os.getpid(), signal.SIGTERM)
        if self.sick:
            raise self.sick

    def close(self) -> None:
        self.said.append("close")

    def notify(self, *states: str) -> None:
        self.said += [s for s in states if not s.startswith(("STATUS", "EXTEND"))]

    def part(self, name: str, error: Exception | None = None) -> "Part":
        return Part(name, self, error)


class Part:
    def __init__(self, name: str, paper: Paper, error: Exception | None) -> None:
        self.name, self._paper, self._error = name, paper, error

    def start(self) -> None:
        if self._error:
            raise self._error
        self._paper.said.append(f"start {self.name}")

    def stop(self) -> None:
        self._paper.said.append(f"stop {self.name}{' after stop' if self._paper.stop.is_set() else ''}")

    def join(self, seconds: float) -> bool:
        self._paper.said.append(f"join {self.name}")
        self._paper.left.append(seconds)
        return self._paper.stuck.wait(seconds) if self._paper.stuck else True


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The daemon sets signal handlers; give the old ones back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_it_starts_and_stops_in_order() -> None:
    paper = Paper()
    daemon.run(paper, [paper.part("http"), paper.part("usb")], paper.notify, 0.01)
    assert paper.said == [
        "finish open work", "start http", "start usb", "READY=1", "WATCHDOG=1",
        "STOPPING=1", "stop usb after stop", "stop http after stop", "join usb", "join http", "close",
    ]  # fmt: skip


def test_all_parts_have_one_time_to_end_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The manager kills after one time, so a part that hangs takes it from the others, and does not add to it."""
    monkeypatch.setattr(daemon, "STOP_SECONDS", 0.3)
    paper = Paper()
    paper.stuck = threading.Event()
    daemon.run(paper, [paper.part(name) for name in "abc"], paper.notify, 0.01)
    assert paper.left[0] <= 0.3
    assert paper.left[1:] == [0.0, 0.0]
    assert paper.said[-1] == "close"


@pytest.mark.parametrize("sees_it", [True, False])
def test_a_stop_while_interrupted_work_is_finished_is_in_order(monkeypatch: pytest.MonkeyPatch, sees_it: bool) -> None:
    """No part is begun, nobody is told that it is ready, and the end is as ever: also if one large file takes longer."""
    monkeypatch.setattr(daemon, "STOP_SECONDS", PATIENCE if sees_it else 0.1)
    paper, never = Paper(), threading.Event()

    def finish() -> object:
        os.kill(os.getpid(), signal.SIGTERM)
        assert (paper.stop if sees_it else never).wait(PATIENCE)
        paper.said.append("left off")
        return None

    monkeypatch.setattr(paper, "finish_open_work", finish)
    daemon.run(paper, [paper.part("usb")], paper.notify, 0.01)
    assert paper.said == ["STOPPING=1", *(["left off"] if sees_it else []), "close"]
    never.set()


def test_work_that_cannot_be_finished_at_the_start_ends_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vault that is gone as a whole: the manager starts it again."""
    paper = Paper()

    def finish() -> object:
        raise StorageError("the vault is offline")

    monkeypatch.setattr(paper, "finish_open_work", finish)
    with pytest.raises(StorageError):
        daemon.run(paper, [paper.part("usb")], paper.notify, 0.01)
    assert paper.said == ["STOPPING=1", "close"]


def test_work_that_cannot_be_finished_later_is_logged_and_the_daemon_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "DUE_SECONDS", 0.0)
    paper, passes = Paper(beats=1_000), []

    def finish() -> object:
        passes.append(None)
        if len(passes) == 4:
            paper.beats = 0
        if len(passes) > 1:
            raise (StorageError("no"), ValueError("no"))[len(passes) % 2]
        return None

    monkeypatch.setattr(paper, "finish_open_work", finish)
    daemon.run(paper, [], paper.notify, 0.01)
    assert len(passes) >= 4


def test_signals_may_come_between_any_two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler runs in the midst of whatever the main thread is doing: many signals, and none of them hangs it."""
    paper = Paper(beats=1_000_000)
    ended, me = threading.Event(), os.getpid()
    monkeypatch.setattr(daemon, "DUE_SECONDS", 0.0)

    def shower() -> None:
        while not ended.is_set():
            os.kill(me, signal.SIGTERM)

    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # until the daemon has its own
    rain = threading.Thread(target=shower)
    rain.start()
    try:
        for _ in range(50):
            daemon.run(paper, [paper.part("usb")], paper.notify, 1e-6)
    finally:
        ended.set()
        rain.join()
    assert paper.said.count("close") == 50


def test_the_watchdog_is_fed_only_while_it_is_healthy() -> None:
    paper = Paper(beats=4)
    paper.sick = CatalogError("the catalogue cannot be written")
    daemon.run(paper, [], paper.notify, 0.01)
    assert "WATCHDOG=1" not in paper.said
    assert paper.beats <= 0, "it went on and asked again"


def test_a_part_that_cannot_start_stops_the_others_and_ends_the_daemon() -> None:
    paper = Paper()
    with pytest.raises(ConfigError):
        daemon.run(paper, [paper.part("http"), paper.part("usb", ConfigError("no udev"))], paper.notify, None)
    assert paper.said == ["finish open work", "start http", "STOPPING=1", "stop http after stop", "join http", "close"]


def test_what_is_due_is_done_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "DUE_SECONDS", 0.0)
    paper = Paper(beats=3)
    daemon.run(paper, [], paper.notify, 0.01)
    assert paper.said.count("finish open work") >= 3


# --- the service manager's socket -------------------------------------------------------------------------------------


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path: a socket's may have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="md-"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("abstract", [False, True])
def test_states_reach_the_managers_socket(short: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    name = f"mediad-test-{os.getpid()}" if abstract else str(short / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name if abstract else name)
        manager.settimeout(PATIENCE)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name if abstract else name)
        systemd.notify("READY=1", "STATUS=running")
        assert manager.recv(1000) == b"READY=1\nSTATUS=running"


def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/at/all")
    systemd.notify("READY=1")


def test_a_manager_that_reads_nothing_holds_nothing_up(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its queue is short; a daemon that waits for it could not even be stopped."""
    monkeypatch.setattr(systemd, "SEND_SECONDS", 0.05)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(short / "s"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(short / "s"))
        full = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) + 2
        told = threading.Thread(target=lambda: [systemd.notify("WATCHDOG=1") for _ in range(full)], daemon=True)
        told.start()
        told.join(PATIENCE)
        assert not told.is_alive()


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        ("60000000", "", 60.0),
        ("60000000", "ours", 60.0),
        ("60000000", "1", None),
        ("", "", None),
        ("x", "", None),
    ],
)
def test_the_watchdogs_time_is_the_managers(
    monkeypatch: pytest.MonkeyPatch, usec: str, pid: str, seconds: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "ours" else pid)
    assert systemd.watchdog_seconds() == seconds


# --- the real one -----------------------------------------------------------------------------------------------------

SETTINGS = """
[devices]
usb = false
profiles = []
[http]
listen = "127.0.0.1:0"
[[folder]]
name = "drop"
path = "drop"
channel = "cctv"
settle_seconds = 0.2
"""


class Running:
    """``mediad run`` in a process of its own, with a service manager that listens."""

    def __init__(self, site: Site, sockets: Path, watchdog_seconds: float = 0.6) -> None:
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(sockets / f"s{time.monotonic_ns()}"))
        environment = os.environ | {
            "NOTIFY_SOCKET": self.manager.getsockname(), "WATCHDOG_USEC": str(int(watchdog_seconds * 1e6)),
        }  # fmt: skip
        environment.pop("WATCHDOG_PID", None)
        command = [sys.executable, "-m", "mediad.cli.main", "-c", str(site.config_file), "run"]
        self.child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        self.log: list[dict[str, Any]] = []
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._states: queue.Queue[list[str]] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        """Like a manager: whoever is told something must not wait until somebody wants to know it."""
        while said := self.manager.recv(4096):
            self._states.put(said.decode().split("\n"))

    def _read(self) -> None:
        assert self.child.stderr is not None
        for line in self.child.stderr:
            with suppress(ValueError):
                self._lines.put(json.loads(line))
        self._lines.put(None)

    def until(self, event: str, **fields: Any) -> dict[str, Any]:
        """Wait for a line of the log."""
        end = time.monotonic() + PATIENCE
        while True:
            line = self._lines.get(timeout=max(0.1, end - time.monotonic()))
            assert line is not None, f"it ended before it said {event!r}: {self.log[-5:]}"
            self.log.append(line)
            if line["event"] == event and all(line.get(k) == v for k, v in fields.items()):
                return line

    def told(self, state: str) -> None:
        """Wait until the manager is told a state."""
        while state not in self._states.get(timeout=PATIENCE):
            pass

    def silent(self, seconds: float, state: str) -> bool:
        """Whether a state stays unsaid for so long; tried until it does or patience ends."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                if state not in self._states.get(timeout=seconds):
                    continue
            except queue.Empty:
                return True
        return False

    def started(self) -> "Running":
        self.address = self.until("http")["address"]
        self.told("READY=1")
        return self

    def get(self, page: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{self.address}{page}", timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.read().decode()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.child.send_signal(number)
        return self.child.wait(PATIENCE)

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        self._reader.join()
        assert self.child.stderr is not None
        self.child.stderr.close()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", self.manager.getsockname())
        self._listener.join()
        self.manager.close()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "station/drop").mkdir(parents=True)
    return make_site(tmp_path / "station", more=SETTINGS)


@pytest.fixture
def run(site: Site, short: Path) -> Iterator[Callable[[], Running]]:
    """Starts daemons, and leaves none behind."""
    started: list[Running] = []

    def start() -> Running:
        started.append(Running(site, short))
        return started[-1].started()

    yield start
    for child in started:
        child.close()


Run = Callable[[], Running]


def test_what_came_while_it_was_down_and_what_comes_later_is_taken(site: Site, run: Run) -> None:
    early, late = noise(300_000, 1), noise(200_000, 2)
    make_card(site.root / "drop", {"early.mp4": early})
    child = run()
    child.until("handed over", state="complete")
    make_card(site.root / "drop", {"sub/late.mp4": late})
    child.until("handed over", state="complete")
    assert child.end() == 0
    assert complaints(site, [early, late]) == []
    assert site.rows("SELECT label, channel, state, new FROM docking ORDER BY opened_at") == [
        ("drop", "cctv", "complete", 1), ("drop", "cctv", "complete", 1),
    ]  # fmt: skip
    assert json.loads(site.run("fsck", "--json").stdout)["findings"] == []


def test_a_second_start_takes_nothing_twice(site: Site, run: Run) -> None:
    make_card(site.root / "drop", {"a.mp4": noise(1000, 1)})
    child = run()
    child.until("handed over")
    child.end()
    child = run()
    make_card(site.root / "drop", {"b.mp4": noise(1000, 2)})
    child.until("handed over")
    child.end()
    assert site.rows("SELECT new, sightings, failed FROM docking ORDER BY opened_at") == [(1, 0, 0), (1, 0, 0)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_in_the_middle_of_a_large_copy_is_in_order_and_goes_on_at_the_next_start(
    site: Site, run: Run, number: signal.Signals
) -> None:
    large = noise(MIB, 3) * 256
    (site.root / "drop/large.mp4").write_bytes(large)
    child = run()
    child.until("docked")
    assert child.end(number) == 0
    child.told("STOPPING=1")
    assert site.rows("SELECT state, new FROM docking") == [("interrupted", 0)]
    assert complaints(site) == [], "nothing half is visible, and it is handed over"
    assert json.loads(site.run("fsck", "--json").stdout)["findings"] == []
    child = run()
    child.until("handed over", state="complete")
    assert child.end() == 0
    assert [r[0] for r in site.rows("SELECT state FROM docking ORDER BY opened_at")] == ["interrupted", "complete"]
    assert complaints(site, [large]) == []


def test_a_kill_in_the_middle_is_closed_as_interrupted_by_the_next_start(site: Site, run: Run) -> None:
    large = noise(MIB, 4) * 128
    (site.root / "drop/large.mp4").write_bytes(large)
    child = run()
    child.until("docked")
    child.end(signal.SIGKILL)
    child = run()
    child.until("handed over", state="complete")
    assert child.end() == 0
    assert [r[0] for r in site.rows("SELECT state FROM docking ORDER BY opened_at")] == ["interrupted", "complete"]
    assert complaints(site, [large]) == []


def test_the_manager_hears_ready_watchdog_and_stopping(run: Run) -> None:
    child = run()
    child.told("WATCHDOG=1")
    child.told("WATCHDOG=1")
    child.child.send_signal(signal.SIGTERM)
    child.told("STOPPING=1")
    assert child.child.wait(PATIENCE) == 0


def test_the_watchdog_is_not_fed_while_the_catalogue_cannot_be_written(site: Site, run: Run) -> None:
    child = run()
    child.told("WATCHDOG=1")
    with closing(sqlite3.connect(site.catalogue, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert child.silent(3.0, "WATCHDOG=1"), "it is fed by a daemon that can record nothing"
        other.execute("ROLLBACK")
    child.told("WATCHDOG=1")
    assert child.end() == 0


def test_without_its_vault_it_is_alive_but_not_ready(site: Site, run: Run, tmp_path: Path) -> None:
    child = run()
    assert child.get("/readyz") == (200, "ok\n")
    site.vault.rename(tmp_path / "away")
    status, why = child.get("/readyz")
    assert (status, why.split(":")[0]) == (503, "vault-offline")
    assert child.get("/healthz") == (200, "ok\n")
    (tmp_path / "away").rename(site.vault)
    assert child.get("/readyz") == (200, "ok\n")
    assert child.end() == 0


def test_a_station_whose_catalogue_cannot_be_written_is_not_healthy(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "BUSY_SECONDS", 0)
    with closing(site.open()) as station, closing(sqlite3.connect(site.catalogue, isolation_level=None)) as other:
        station.healthy()
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(MediadError):
            station.healthy()
        other.execute("ROLLBACK")
        station.healthy()


def test_the_board_says_whether_it_runs(site: Site, run: Run) -> None:
    child = run()
    assert daemon_runs(read_board(site.config.runtime) or {})
    child.end()
    assert not daemon_runs(read_board(site.config.runtime) or {})


def test_an_ingest_beside_it_shares_the_station(site: Site, run: Run, tmp_path: Path) -> None:
    child = run()
    data = noise(100_000, 5)
    told = site.ingest_json(make_card(tmp_path / "card", {"a.mp4": data}))
    assert told["new"] == 1
    (site.root / "drop/same.mp4").write_bytes(data)
    child.until("handed over", state="complete")
    assert child.end() == 0
    assert site.rows("SELECT new, sightings FROM docking ORDER BY opened_at") == [(1, 0), (0, 1)]
    assert complaints(site, [data]) == []


def test_a_vault_that_is_away_at_start_is_told_on_the_screen_and_by_the_exit_code(
    site: Site, run: Run, tmp_path: Path
) -> None:
    run().end()
    site.vault.rename(tmp_path / "away")
    site.vault.mkdir()
    done = site.run("run")
    assert done.returncode == 5
    assert "请叫管理员" in (read_board(site.config.runtime) or {})["message"]


def test_a_signal_that_another_thread_gets_wakes_the_daemon_at_once() -> None:
    """The kernel may give it to any thread, and the main thread waits for a long beat: it must not go on doing so."""
    paper = Paper()
    began = time.monotonic()
    done = threading.Event()

    def other() -> None:
        while "READY=1" not in paper.said:
            done.wait(0.01)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    thread = threading.Thread(target=other)
    thread.start()
    daemon.run(paper, [], paper.notify, 3 * PATIENCE)
    thread.join()
    assert time.monotonic() - began < PATIENCE / 2


# --- without its port, and with rude clients --------------------------------------------------------------------------


def test_a_port_in_use_does_not_keep_evidence_waiting_and_is_taken_when_it_is_free(
    site: Site, short: Path, tmp_path: Path
) -> None:
    """Another program has the port: recorders and folders are served all the same, and the board says so until it is had."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        site.config_file.write_text(site.config_file.read_text().replace("127.0.0.1:0", address))
        child = Running(site, short)
        try:
            assert address in child.until("no http")["why"]
            child.told("READY=1")
            (site.root / "drop/a.mp4").write_bytes(noise(1_000, 1))
            child.until("handed over", state="complete")
            assert "监测端口不可用" in (read_board(site.config.runtime) or {})["message"]
            other.close()
            child.address = child.until("http")["address"]
            assert child.get("/healthz") == (200, "ok\n")
            assert (read_board(site.config.runtime) or {})["message"] == ""
            assert child.end() == 0
        finally:
            child.close()


def test_a_daemon_that_never_got_its_port_stops_in_order(site: Site, short: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        site.config_file.write_text(site.config_file.read_text().replace("127.0.0.1:0", address))
        child = Running(site, short)
        try:
            child.until("no http")
            child.told("READY=1")
            assert child.end() == 0
        finally:
            child.close()


def test_a_host_name_that_cannot_be_asked_for_is_an_address_that_cannot_be_had() -> None:
    """It passes the form of an address, and the resolver's codec raises what is no OSError."""
    said: list[str] = []

    def bind() -> tuple[Callable[[], None], Callable[[], None], str]:
        if not said:
            "a..b".encode("idna")
        return lambda: None, lambda: None, "127.0.0.1:1"

    part = HttpPart(bind, said.append)
    part._stopping.wait = lambda _seconds: False  # type: ignore[method-assign]
    part._run()
    assert len(said) == 2
    assert said[0].startswith("监测端口不可用") and "http.listen" in said[0]
    assert said[1] == ""


# --- files that cannot be taken ---------------------------------------------------------------------------------------


def test_files_that_cannot_be_taken_are_tried_less_and_less_often(site: Site) -> None:
    """From 30 seconds, doubled each time, to 6 hours; other files and other trouble have a time of their own."""
    with closing(site.open()) as station:
        part = FolderPart(station, site.config.folder[0], Board(site.config.runtime))
        failed = MediadError("2 files could not be taken", code="files-failed")
        mine = FolderReady(site.root / "drop", {b"a.mp4": Signature(1, 2, 3)})
        delays = [part._next_delay(mine, failed) for _ in range(13)]
        assert delays[:11] == [30.0 * 2**n for n in range(10)] + [6 * 3600.0]
        assert delays[11:] == [6 * 3600.0] * 2
        other = FolderReady(site.root / "drop", {b"b.mp4": Signature(1, 2, 3)})
        assert part._next_delay(other, failed) == 30.0
        assert part._next_delay(mine, VaultFull("no space left")) == 30.0
