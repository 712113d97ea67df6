"""Telemetry: JSON logs (structlog), and metrics and health over HTTP (prometheus-client). Set up by calls, never at import."""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer

from mediad import __version__
from mediad.errors import ConfigError, MediadError

if TYPE_CHECKING:
    from prometheus_client import Metric

    from mediad.model.board import SlotView

METRICS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "mediad_build": ("info", "version of the program", ("version",)),
    "mediad_slots": ("gauge", "slots by what they show", ("state",)),
    "mediad_slot_files": ("gauge", "files of the docking on a slot: done and total", ("slot", "kind")),
    "mediad_slot_bytes": ("gauge", "bytes to read of the docking on a slot: done and total", ("slot", "kind")),
    "mediad_dockings": ("counter", "closed dockings by how they ended", ("state",)),
    "mediad_dockings_open": ("gauge", "dockings under way, or waiting to be closed after a crash", ()),
    "mediad_docking_last_timestamp_seconds": ("gauge", "when the newest docking was closed", ()),
    "mediad_files": ("counter", "source files by outcome", ("outcome",)),
    "mediad_stored_bytes": ("counter", "bytes of originals stored and verified", ()),
    "mediad_assets": ("gauge", "originals in the catalogue", ()),
    "mediad_placements_open": ("gauge", "originals on their way into the vault", ()),
    "mediad_vault_up": ("gauge", "1 if the vault is there and the registered one", ("vault",)),
    "mediad_vault_free_bytes": ("gauge", "free bytes of a vault's file system", ("vault",)),
    "mediad_vault_size_bytes": ("gauge", "size of a vault's file system", ("vault",)),
    "mediad_vault_reserve_bytes": ("gauge", "free bytes below which ingest pauses", ("vault",)),
    "mediad_custody_events": ("counter", "events in the custody log", ()),
    "mediad_custody_unmirrored_events": ("gauge", "custody events that the vault does not hold yet", ("vault",)),
    "mediad_due": (
        "gauge",
        "what waits behind the ingest, by stage; put off: it was tried and is tried again",
        ("stage", "state"),
    ),
    "mediad_due_oldest_timestamp_seconds": ("gauge", "since when the oldest of a stage waits", ("stage",)),
    "mediad_previews_failed": ("gauge", "recordings of which no preview can be made", ()),
    "mediad_deadlines": (
        "gauge",
        "limits that call for a person: late, late and without a reason, late within two hours, not known",
        ("rule", "status"),
    ),
    "mediad_untagged": ("gauge", "recordings of no case for longer than the unit lets them", ()),
    "mediad_trips_overdue": ("gauge", "trips past their expected return of which no return was entered", ()),
    "mediad_messages_waiting": ("gauge", "messages that could not be handed over yet, by way", ("way",)),
    "mediad_alarms": ("counter", "alarms raised, by code", ("code",)),
}
"""Every metric: kind, help, labels. docs/metrics.md is held against it. Counters get ``_total``, infos ``_info``."""

Samples = Iterator[tuple[str, tuple[str, ...], float]]

_log = structlog.get_logger()

_REST = 20
"""How many times as long as gathering took its outcome is kept while the catalogue changes all the time."""


def set_up_logs(level: str = "info") -> None:
    """Log from ``level`` on as JSON on standard error, one line per event, with whatever is bound (docking, asset, slot)."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            # Without what variables held: that may be a password, and a large catalogue takes long to print.
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(serializer=_dump),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def _dump(value: Any, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def slot_samples(views: Sequence[SlotView]) -> Samples:
    """What the slot board shows, as samples."""
    states: dict[str, int] = {}
    for view in views:
        states[view.state] = states.get(view.state, 0) + 1
        if view.state in ("copying", "paused"):
            slot = view.name or view.port
            yield "mediad_slot_files", (slot, "done"), view.files_done
            yield "mediad_slot_files", (slot, "total"), view.files_total
            yield "mediad_slot_bytes", (slot, "done"), view.bytes_done
            yield "mediad_slot_bytes", (slot, "total"), view.bytes_total
    for state, count in states.items():
        yield "mediad_slots", (state,), count


class Remembered:
    """Samples that take a walk over large tables. They are gathered anew only if ``head`` has moved, which says that something was
    recorded since; and on a large catalogue that is written to all the time so seldom that it takes a twentieth of the time."""

    def __init__(
        self, head: Callable[[], object], gather: Callable[[], Samples], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._head, self._gather, self._clock = head, gather, clock
        self._lock = threading.Lock()
        self._known: tuple[object, list[tuple[str, tuple[str, ...], float]]] | None = None
        self._due = 0.0

    def __call__(self) -> Samples:
        with self._lock:
            head, began = self._head(), self._clock()
            if self._known is None or (head != self._known[0] and began >= self._due):
                self._known = head, list(self._gather())
                now = self._clock()
                self._due = now + _REST * (now - began)
            return iter(self._known[1])


class Collector:
    """Gathers every metric anew at each scrape, from the sources that it is given."""

    def __init__(self, *sources: Callable[[], Samples]) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

        families: dict[str, Any] = {}
        for name, (kind, text, labels) in METRICS.items():
            if kind == "info":
                families[name] = InfoMetricFamily(name, text, value={"version": __version__})
            else:
                family = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
                families[name] = family(name, text, labels=labels)
        for source in self._sources:
            for name, values, value in source():
                families[name].add_metric(values, value)
        yield from families.values()


def server(
    listen: str, collector: Collector, alive: Callable[[], None], ready: Callable[[], str | None]
) -> tuple[Callable[[], None], Callable[[], None], str]:
    """Bind the address; returns run, stop, and the address in use. ``alive`` and ``ready`` raise MediadError for no;
    what ``ready`` returns is said beside the yes.

    Raises ConfigError if the address cannot be had.
    """
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)

    class Handler(BaseHTTPRequestHandler):
        server_version = "mediad"
        sys_version = ""
        timeout = 10

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._metrics()
            elif self.path in ("/healthz", "/readyz"):
                self._check(alive if self.path == "/healthz" else ready)
            else:
                self._answer(404, b"not found\n", "text/plain")

        def _metrics(self) -> None:
            try:
                body = generate_latest(registry)
            except MediadError as e:
                self._answer(503, f"{e.code}: {e.message}\n".encode(), "text/plain; charset=utf-8")
            else:
                self._answer(200, body, CONTENT_TYPE_LATEST)

        def _check(self, check: Callable[[], str | None]) -> None:
            try:
                note = check()
            except MediadError as e:
                self._answer(503, f"{e.code}: {e.message}\n".encode(), "text/plain; charset=utf-8")
            else:
                self._answer(200, f"ok\n{note}\n".encode() if note else b"ok\n", "text/plain; charset=utf-8")

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Scrapes are not logged."""

    host, _, port = listen.rpartition(":")

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base's form
            """A client that hangs up is no trouble of ours."""
            if isinstance(sys.exception(), ConnectionError | TimeoutError):
                _log.debug("http client hung up", client=client_address[0])
            else:
                _log.exception("http request failed", client=client_address[0])

    try:
        http = Server((host.strip("[]"), int(port)), Handler)
    except OSError as e:
        raise ConfigError(f"http.listen = {listen!r}: {e.strerror}", hint="choose a free address and port") from e
    http.daemon_threads = True

    def stop() -> None:
        http.shutdown()
        http.server_close()

    return http.serve_forever, stop, f"{host}:{http.server_address[1]}"
