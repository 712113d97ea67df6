"""`mediad run`: the daemon and its parts, put together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from mediad.config import Config
from mediad.edges import files
from mediad.errors import MediadError, StorageError
from mediad.wiring.station import DAEMON_LOCK, Station, lock_folder

if TYPE_CHECKING:
    from mediad.edges.board import Board


def head(station: Station) -> int:
    """How long the custody chain is: what ``catalogue_samples`` says changes only with it."""
    from mediad.catalog import evidence

    with station.ledger.catalog.read() as conn:
        return evidence.head(conn)


def catalogue_samples(station: Station) -> Iterator[tuple[str, tuple[str, ...], float]]:
    """Metrics that are sums over the catalogue's facts."""
    from mediad.catalog import evidence

    with station.ledger.catalog.read() as conn:
        totals = evidence.totals(conn)
        sums = {row.state: row for row in evidence.docking_sums(conn)}
        closed = [row for state, row in sums.items() if state != "open"]
        for row in closed:
            yield "mediad_dockings", (row.state,), row.n
        yield "mediad_dockings_open", (), sums["open"].n if "open" in sums else 0
        for outcome, name in (
            ("stored", "new"),
            ("sighting", "sightings"),
            ("skipped", "skipped"),
            ("failed", "failed"),
        ):
            yield "mediad_files", (outcome,), sum(getattr(row, name) for row in closed)
        if last := evidence.last_closed(conn):
            yield "mediad_docking_last_timestamp_seconds", (), datetime.fromisoformat(last).timestamp()
        yield "mediad_stored_bytes", (), totals["bytes"]
        yield "mediad_assets", (), totals["assets"]
        yield "mediad_custody_events", (), totals["events"]
        for code, n in evidence.alarm_counts(conn).items():
            yield "mediad_alarms", (code,), n


def vault_samples(station: Station) -> Iterator[tuple[str, tuple[str, ...], float]]:
    """Metrics of the first vault, and of what is on its way there."""
    from mediad.catalog import work

    vault = station.vault.name
    with station.ledger.catalog.read() as conn:
        yield "mediad_placements_open", (), len(work.placements(conn, vault))
        yield "mediad_custody_unmirrored_events", (vault,), work.unmirrored(conn, vault)
    try:
        station.vault.check()
        space = station.vault.space()
    except MediadError:
        yield "mediad_vault_up", (vault,), 0
        return
    yield "mediad_vault_up", (vault,), 1
    yield "mediad_vault_free_bytes", (vault,), space.free
    yield "mediad_vault_size_bytes", (vault,), space.total
    yield "mediad_vault_reserve_bytes", (vault,), station.config.ingest.reserve(space.total)


def due_samples(station: Station) -> Iterator[tuple[str, tuple[str, ...], float]]:
    """Metrics of what follows an ingest. Asked here, since the process that works it off can be reached over no network."""
    from mediad.catalog import due, previews

    with station.ledger.catalog.read() as conn:
        backlog, failed = due.backlog(conn), previews.failed(conn)
    for stage in (*due.STAGES, *due.BUREAU):
        waiting, tried, since = backlog.get(stage, (0, 0, ""))
        yield "mediad_due", (stage, "waiting"), waiting - tried
        yield "mediad_due", (stage, "put-off"), tried
        if since:
            yield "mediad_due_oldest_timestamp_seconds", (stage,), datetime.fromisoformat(since).timestamp()
    yield "mediad_previews_failed", (), failed


DUE_SECONDS = 15.0
"""How old the numbers of what is due may be: counting a long backlog is not done for every scrape."""


class Names:
    """Taught names of slots. They are asked again at every pass, so that naming a slot needs no restart."""

    def __init__(self, station: Station, board: Board) -> None:
        self._station, self._board = station, board
        self._known: dict[str, str] | None = None

    def renew(self) -> None:
        from mediad.catalog import evidence

        with self._station.ledger.catalog.read() as conn:
            names = evidence.slot_names(conn)
        if names != self._known:
            self._board.set_names(names)
            self._known = names


def run_daemon(config: Config) -> None:
    """`mediad run`: open everything and run until asked to stop. Raises Busy if another one works on the catalogue: two would
    dock the same ports and fight for the board."""
    with ExitStack() as held:
        _run(config, held)


def _run(config: Config, held: ExitStack) -> None:
    from mediad import daemon, telemetry
    from mediad.edges import systemd
    from mediad.edges.board import Board
    from mediad.edges.hook import Hook
    from mediad.wiring import parts
    from mediad.wiring.bureau.alarms import deadline_samples
    from mediad.wiring.bureau.inbox import InboxPart
    from mediad.wiring.bureau.office import OfficePart
    from mediad.wiring.bureau.telling import TellingPart, tell, ways_of

    log = structlog.get_logger()
    hook = Hook(config.devices.hook, on_problem=lambda text: log.warning("hook failed", why=text))
    board = Board(config.runtime, hook.tell, lambda text: log.error("no screen", why=text))
    busy = "another `mediad run` works on this catalogue already"
    try:
        held.enter_context(files.locked(lock_folder(config) / DAEMON_LOCK, busy=busy, hint="systemctl status mediad"))
        board.start()
        station = Station(config, wait_for_space=True)
    except StorageError as e:
        board.say(f"储存器或目录故障，请叫管理员 {e.message}")
        raise
    board.say("")
    station.each_pass = Names(station, board).renew
    station.each_pass()
    running: list[parts.UsbPart | parts.FolderPart | InboxPart | TellingPart | OfficePart] = [OfficePart(station)]
    if config.devices.usb:
        running.append(parts.UsbPart(station, board))
    told: TellingPart | None = None
    if ways := ways_of(config):
        told = TellingPart(lambda: tell(station, ways), ways=[way.name for way in ways])
        running.append(told)
    running += [parts.FolderPart(station, folder, board) for folder in config.folder]
    running += [InboxPart(station, inbox) for inbox in config.inbox]

    def alive() -> None:
        station.ledger.catalog.check()
        for part in running:
            if not part.healthy():
                raise MediadError(f"{part.name} has stopped", code="part-stopped")

    def ready() -> str | None:
        alive()
        station.vault.check()
        station.vault.check_writable()
        if station.parts.untrue is not None:
            raise station.parts.untrue
        return told.trouble() if told is not None else None

    station.alive = alive
    samples = (
        lambda: telemetry.slot_samples(board.views()),
        telemetry.Remembered(lambda: head(station), lambda: catalogue_samples(station)),
        lambda: vault_samples(station),
        telemetry.Remembered(lambda: int(time.monotonic() // DUE_SECONDS), lambda: due_samples(station)),
        telemetry.Remembered(lambda: int(time.monotonic() // DUE_SECONDS), lambda: deadline_samples(station)),
        *((told.samples,) if told is not None else ()),
    )
    collector = telemetry.Collector(*samples)
    http = parts.HttpPart(lambda: telemetry.server(config.http.listen, collector, alive, ready), board.say)
    daemon.run(station, [http, *running], systemd.notify, systemd.watchdog_seconds())
    board.stop()
    hook.flush(5.0)
