"""What can be scraped: every metric by its name, what the numbers say, and when health and readiness say no."""

import http.client
import itertools
import json
import socket
import struct
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

import mediad
from mediad.errors import ConfigError, MediadError, StorageError, VaultOffline
from mediad.model.board import SlotView
from mediad.telemetry import METRICS, Collector, Remembered, Samples, server, slot_samples
from mediad.wiring.daemon import catalogue_samples, head, vault_samples
from mediad.wiring.station import Station
from tests.support import Site, make_card, noise


class Served:
    """The server on a free port, with sources and checks that the test sets."""

    def __init__(self, *sources: Any) -> None:
        self.alive: MediadError | None = None
        self.ready: MediadError | None = None
        run, self.stop, self.address = server(
            "127.0.0.1:0", Collector(*sources), lambda: self._say(self.alive), lambda: self._say(self.ready)
        )
        self._thread = threading.Thread(target=run)
        self._thread.start()

    @staticmethod
    def _say(error: MediadError | None) -> None:
        if error is not None:
            raise error

    def get(self, page: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{self.address}{page}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.read().decode()

    def samples(self) -> dict[tuple[str, tuple[str, ...]], float]:
        status, text = self.get("/metrics")
        assert status == 200
        return {
            (s.name, tuple(s.labels[label] for label in METRICS[family.name][2])): s.value
            for family in text_string_to_metric_families(text)
            if family.name in METRICS
            for s in family.samples
        }

    def close(self) -> None:
        self.stop()
        self._thread.join()


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served(lambda: slot_samples([]))
    yield made
    made.close()


def test_every_metric_is_named_with_its_kind_and_help_even_while_it_has_no_value(served: Served) -> None:
    status, text = served.get("/metrics")
    assert status == 200
    for name, (kind, about, _) in METRICS.items():
        shown = name + {"counter": "_total", "info": "_info", "gauge": ""}[kind]
        assert f"# HELP {shown} {about}" in text
        assert f"# TYPE {shown} {'gauge' if kind == 'info' else kind}" in text
    assert f'mediad_build_info{{version="{mediad.__version__}"}} 1.0' in text


def test_names_follow_the_rules_of_the_house() -> None:
    for name, (kind, about, labels) in METRICS.items():
        assert name.startswith("mediad_")
        assert kind in ("counter", "gauge", "info")
        assert not name.endswith("_total"), "added by itself"
        assert about and not about.endswith(".")
        assert len(labels) <= 2


def test_slots_are_counted_by_state_and_measured_while_they_copy() -> None:
    views = [
        SlotView("p1", "1号", "copying", files_done=3, files_total=9, bytes_done=10, bytes_total=100),
        SlotView("p2", "", "paused", files_done=1, files_total=2),
        SlotView("p3", "3号", "safe", files_done=9, files_total=9),
        SlotView("p4", "4号", "safe"),
    ]
    with closing(Served(lambda: slot_samples(views))) as shown:
        samples = shown.samples()
    assert samples["mediad_slots", ("copying",)] == 1
    assert samples["mediad_slots", ("safe",)] == 2
    assert samples["mediad_slot_files", ("1号", "done")] == 3
    assert samples["mediad_slot_bytes", ("1号", "total")] == 100
    assert samples["mediad_slot_files", ("p2", "total")] == 2
    assert ("mediad_slot_files", ("3号", "done")) not in samples


def both(station: Station) -> tuple[Callable[[], Samples], ...]:
    return Remembered(lambda: head(station), lambda: catalogue_samples(station)), lambda: vault_samples(station)


def test_the_catalogue_answers_with_what_was_ingested(site: Site, tmp_path: Path) -> None:
    card = make_card(tmp_path / "card", {"a.mp4": noise(5_000, 1), "b.mp4": noise(7_000, 2), "c.mp4": noise(5_000, 1)})
    site.ingest(card)
    with closing(site.open()) as station, closing(Served(*both(station))) as shown:
        samples = shown.samples()
        assert samples["mediad_dockings_total", ("complete",)] == 1
        assert samples["mediad_dockings_open", ()] == 0
        assert samples["mediad_files_total", ("stored",)] == 2
        assert samples["mediad_files_total", ("sighting",)] == 1
        assert samples["mediad_stored_bytes_total", ()] == 12_000
        assert samples["mediad_assets", ()] == 2
        assert samples["mediad_placements_open", ()] == 0
        assert samples["mediad_custody_events_total", ()] == site.rows("SELECT max(seq) FROM custody")[0][0]
        assert samples["mediad_custody_unmirrored_events", ("local",)] == 0
        assert samples["mediad_vault_up", ("local",)] == 1
        assert 0 < samples["mediad_vault_free_bytes", ("local",)] <= samples["mediad_vault_size_bytes", ("local",)]
        assert samples["mediad_docking_last_timestamp_seconds", ()] > 1.7e9
        site.vault.rename(tmp_path / "away")
        samples = shown.samples()
        assert samples["mediad_vault_up", ("local",)] == 0
        assert ("mediad_vault_free_bytes", ("local",)) not in samples


def test_sums_are_made_anew_only_when_something_was_recorded(site: Site, tmp_path: Path) -> None:
    """Any fact moves the head: nothing that is summed up can change without it."""
    site.ingest(make_card(tmp_path / "one", {"a.mp4": b"x"}))
    gathered: list[int] = []

    with closing(site.open()) as station:

        def gather() -> Samples:
            gathered.append(1)
            return catalogue_samples(station)

        sums = Remembered(lambda: head(station), gather, clock=lambda: 0.0)
        first = list(sums())
        assert list(sums()) == first == list(catalogue_samples(station))
        assert len(gathered) == 1
        site.ingest(make_card(tmp_path / "two", {"b.mp4": b"y"}))
        assert list(sums()) == list(catalogue_samples(station)) != first
        assert len(gathered) == 2


def test_making_sums_takes_a_twentieth_of_the_time_at_most() -> None:
    now, heads, gathered = [0.0], itertools.count(), []

    def gather() -> Samples:
        gathered.append(now[0])
        now[0] += 3.0  # a large catalogue
        yield "mediad_assets", (), len(gathered)

    sums = Remembered(lambda: next(heads), gather, lambda: now[0])
    while now[0] < 600:
        assert [value for _, _, value in sums()] == [len(gathered)]
        now[0] += 1.0
    assert len(gathered) == pytest.approx(600 / 63, abs=1)


def test_sums_that_could_not_be_made_are_not_remembered() -> None:
    trouble: list[Exception] = [StorageError("locked")]

    def gather() -> Samples:
        if trouble:
            raise trouble.pop()
        yield "mediad_assets", (), 7

    sums = Remembered(lambda: 1, gather)
    with pytest.raises(StorageError):
        sums()
    assert [value for _, _, value in sums()] == [7]


def test_a_client_that_hangs_up_leaves_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    """It asks, and is gone with a reset before the answer comes."""
    asked, go = threading.Event(), threading.Event()

    def slow() -> Samples:
        asked.set()
        assert go.wait(30)
        yield from (("mediad_assets", (), 1.0) for _ in range(1))

    with capture_logs() as logs, closing(Served(slow)) as shown:
        host, port = shown.address.split(":")
        client = socket.create_connection((host, int(port)))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert asked.wait(30)
        client.close()
        ended = [t for t in threading.enumerate() if "process_request" in t.name]
        go.set()
        assert ended
        for thread in ended:
            thread.join(30)
    assert [line["event"] for line in logs] == ["http client hung up"]
    assert capfd.readouterr().err == ""


def test_a_fault_in_a_scrape_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    def broken() -> Samples:
        raise KeyError("a fault of ours")
        yield

    with (
        capture_logs() as logs,
        closing(Served(broken)) as shown,
        pytest.raises((urllib.error.URLError, ConnectionError, http.client.HTTPException)),
    ):
        shown.get("/metrics")
    assert [line["event"] for line in logs] == ["http request failed"]
    assert capfd.readouterr().err == "", "logs are JSON, also then"


def test_a_source_yields_only_known_metrics_with_their_labels(site: Site, tmp_path: Path) -> None:
    site.ingest(make_card(tmp_path / "card", {"a.mp4": b"x"}))
    with closing(site.open()) as station:
        for name, labels, value in [*catalogue_samples(station), *vault_samples(station)]:
            assert len(labels) == len(METRICS[name][2]), name
            assert value >= 0


def test_alive_and_ready_say_ok(served: Served) -> None:
    assert served.get("/healthz") == (200, "ok\n")
    assert served.get("/readyz") == (200, "ok\n")


def test_a_daemon_without_its_catalogue_is_not_alive(served: Served) -> None:
    served.alive = StorageError("the catalogue cannot be written")
    assert served.get("/healthz") == (503, "storage: the catalogue cannot be written\n")


def test_a_daemon_without_its_vault_is_alive_but_not_ready(served: Served) -> None:
    served.ready = VaultOffline("储存器 local is not mounted")
    assert served.get("/readyz") == (503, "vault-offline: 储存器 local is not mounted\n")
    assert served.get("/healthz")[0] == 200


def test_metrics_that_cannot_be_gathered_are_503() -> None:
    def broken() -> Samples:
        raise StorageError("the catalogue is locked")
        yield

    with closing(Served(broken)) as shown:
        assert shown.get("/metrics") == (503, "storage: the catalogue is locked\n")


def test_other_pages_do_not_exist(served: Served) -> None:
    assert served.get("/")[0] == 404
    assert served.get("/metrics/../secret")[0] == 404


def test_an_address_in_use_is_refused_with_the_setting(served: Served) -> None:
    with pytest.raises(ConfigError, match=r"http\.listen = "):
        server(served.address, Collector(), lambda: None, lambda: None)


def test_clients_that_go_away_in_the_middle_print_nothing(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    """A reset before the request, in the midst of it, and before the answer is read."""
    host, port = served.address.split(":")
    for said in (b"", b"GET /met", b"GET /metrics HTTP/1.1\r\n\r\n"):
        for _ in range(5):
            with socket.create_connection((host, int(port))) as client:
                client.sendall(said)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close by a reset
    never = threading.Event()
    while any("process_request" in thread.name for thread in threading.enumerate()):  # some may not even have begun
        never.wait(0.01)
    assert served.get("/healthz") == (200, "ok\n")
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_fault_of_ours_in_a_request_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    def broken() -> Samples:
        raise ValueError("ours")
        yield

    with closing(Served(broken)) as shown, pytest.raises(OSError):
        shown.get("/metrics")
    assert "http request failed" in "".join(capfd.readouterr())


def test_it_listens_on_ipv6_too() -> None:
    if not socket.has_ipv6:
        pytest.fail("this kernel has no IPv6")
    run, stop, address = server("[::1]:0", Collector(), lambda: None, lambda: None)
    thread = threading.Thread(target=run)
    thread.start()
    try:
        with urllib.request.urlopen(f"http://{address}/healthz", timeout=30) as answer:
            assert answer.status == 200
    finally:
        stop()
        thread.join()


LOGS = """
import structlog
from mediad import telemetry
telemetry.set_up_logs("info")
log = structlog.get_logger().bind(docking="dck-1")
log.debug("quiet")
log.info("可取走", size=3)
secret = "correct horse"
try:
    1 / 0
except ZeroDivisionError:
    log.exception("slot failed")
"""


def test_logs_are_one_json_object_a_line_on_standard_error() -> None:
    done = subprocess.run([sys.executable, "-c", LOGS], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    first, second = [json.loads(line) for line in done.stderr.splitlines()]
    assert (first["event"], first["docking"], first["size"], first["level"]) == ("可取走", "dck-1", 3, "info")
    assert first["at"].endswith("Z")
    assert "可取走" in done.stderr
    assert second["exception"][0]["exc_type"] == "ZeroDivisionError"
    assert "correct horse" not in done.stderr, "what a variable held is nobody's business: it may be a password"
