"""`mediad run --only derive` and `mediad derive`: workers behind the ingest, put together."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import structlog

from mediad.edges import files
from mediad.edges.sandbox import end_left
from mediad.errors import Busy, MediadError, NotFound, Refused, StorageError
from mediad.wiring.crew import POLL_SECONDS, Crew
from mediad.wiring.station import OPEN_SECONDS, Station, lock_folder, new_id

if TYPE_CHECKING:
    from mediad.config import Config
    from mediad.deriver import Deriver, Watch
    from mediad.edges.derived import Derived

    class Shown(Watch, Protocol):
        """A watch that also wants to know how much there is."""

        def waits(self, ask: Callable[[], Mapping[str, int]]) -> None:
            """``ask`` says how many are due per stage, for as long as the work goes on."""


_log = structlog.get_logger()

DERIVE_LOCK = "derive.lock"
"""Held by the daemon that derives for all its life."""

BEGIN_LOCK = "workers.lock"
"""Held by a worker that begins, while it looks whether it is the only one."""

ASSEMBLE_LOCK = "assemble.lock"
"""Held while takes are found and recorded: two that did so at once might each join what the other has joined already."""


class Logged:
    """A watch for the daemon: what a person should know is logged, the rest is in the catalogue."""

    def began(self, stage: str, subjects: Sequence[str]) -> None: ...

    def percent(self, subject: str, percent: float) -> None:
        if percent % 25 == 0:
            _log.info("preview", recording=subject, percent=percent)

    def finding(self, subject: str, code: str, detail: str) -> None:
        _log.warning("finding", subject=subject, code=code, why=detail)

    def ended(self, stage: str, subjects: Sequence[str], done: int) -> None:
        _log.debug("derived", stage=stage, count=done, of=len(subjects))

    def waits(self, ask: Callable[[], Mapping[str, int]]) -> None: ...


def _only_one(locks: Path, own: Path) -> bool:
    """Whether no other worker lives; what dead ones left running is ended, and their locks go."""
    alone = True
    for lock in locks.glob("wrk-*.lock"):
        if lock == own:
            continue
        if files.lock_is_free(lock):
            end_left(lock.stem)
            with suppress(OSError):
                lock.unlink()
        else:
            alone = False
    return alone


def _clear(derived: Derived) -> None:
    """Remove what workers left that were killed in the middle. Where that cannot be done, only previews have to wait."""
    try:
        derived.clear()
    except StorageError as e:
        _log.warning("previews cannot be made", code=e.code, why=e.message, hint=e.hint)


@contextmanager
def deriver(
    station: Station,
    watch: Watch,
    *,
    only: Mapping[str, Collection[str]] | None = None,
    once: bool = False,
    anew: Collection[str] = (),
) -> Iterator[Deriver]:
    """A worker of this process, with its lock held; what it took and did not answer is given back at the end. ``once``: what
    was put off is tried at once, and not again. Previews of the recordings ``anew`` are made also if the same are there. Raises
    StorageError if there is no sandbox to be had."""
    from mediad.catalog import due
    from mediad.deriver import FACTS, Deriver, World
    from mediad.edges.derived import Derived
    from mediad.wiring.media import Parsers, StationRules, previews, sandbox

    owner = new_id("wrk")
    config = station.config
    box = sandbox(config.derive, owner, station.stop)
    # twice: what is made for looking at never takes the last room from an ingest
    derived = Derived(station.vault, config.station.id, lambda: 2 * config.ingest.reserve(station.vault.space().total))

    def lock(name: str) -> Path:
        return station.locks / f"{name}.lock"

    def live(owners: Collection[str]) -> set[str]:
        return {o for o in owners if os.path.lexists(lock(o)) and not files.lock_is_free(lock(o))}

    def alone() -> AbstractContextManager[None]:
        busy = "another process is assembling recordings, and takes long"
        return files.locked(station.locks / ASSEMBLE_LOCK, busy=busy, wait_seconds=OPEN_SECONDS)

    def check(stage: str) -> None:
        if stage == due.PROBE:
            station.vault.check()
        elif stage != due.ASSEMBLE:
            derived.room()

    jobs, threads = config.derive.parallel(processors())
    maker = previews(station, box, derived, jobs, threads, anew) if config.derive.previews else None
    world = World(
        station.vault, Parsers(config.derive, box), StationRules(station), maker, alone, check, box.check, live
    )
    with ExitStack() as held:
        beginning = "another worker is beginning, and takes long"
        with files.locked(station.locks / BEGIN_LOCK, busy=beginning, wait_seconds=OPEN_SECONDS):
            held.enter_context(_named(lock(owner)))
            if _only_one(station.locks, lock(owner)):
                _clear(derived)
        box.check()
        catalog = station.ledger.catalog
        due.refill(catalog, due.STAGES if maker is not None else FACTS)
        if once:
            with catalog.read() as conn:
                owners = due.owners(conn)
            due.at_once(catalog, live(owners), only)
        worker = Deriver(station.ledger, world, owner, watch, station.stop, only=only, once=once)
        try:
            yield worker
        finally:
            with suppress(MediadError):  # else it is due again when it is seen that nobody holds the lock
                worker.give_back()


@contextmanager
def _named(lock: Path) -> Iterator[None]:
    """Hold a worker's lock, by which others know that it lives."""
    with files.locked(lock, busy=f"{lock.stem} is there already"):
        try:
            yield
        finally:
            with suppress(OSError):  # a free lock that stays does no harm: the next worker takes it away
                lock.unlink()


def derive(
    config: Config,
    watch: Shown,
    stop: threading.Event,
    names: Sequence[str],
    *,
    again: bool = False,
    previews: bool = False,
) -> None:
    """`mediad derive`: work off what is due now, or what a few recordings want; once. ``again``: they are probed anew, and then
    their previews are made, whatever is there; ``previews``: every recording's preview is looked at. Raises NotFound for a name
    that is nothing, MediadError if the world is not there. What a single recording cannot have is told to ``watch``."""
    from mediad.catalog import due
    from mediad.wiring.bureau.office import work_once

    with closing(Station(config, wait_for_space=False)) as station:
        station.stop = stop
        if previews and not config.derive.previews:
            raise Refused("no previews are made at this station", hint="derive.previews is false in the configuration")
        if previews:
            due.every_preview(station.ledger.catalog, station.ledger.clock())
        if again:  # what they are may be another recording then
            facts = {k: v for k, v in _wanted(station, names, again=True).items() if k in (due.PROBE, due.ASSEMBLE)}
            _work_off(station, watch, facts)
        only = _wanted(station, names, again=False) if names else None
        _work_off(station, watch, only, anew=only[due.PREVIEW] if only and again else ())
        with suppress(Busy):  # the daemon is at it
            work_once(station)
        station.parts.mirror()


def _work_off(
    station: Station, watch: Shown, only: Mapping[str, Collection[str]] | None, *, anew: Collection[str] = ()
) -> None:  # fmt: skip
    from mediad.catalog import due

    def waits() -> Mapping[str, int]:
        with station.ledger.catalog.read() as conn:
            return due.left(conn, only)

    watch.waits(waits)
    jobs, _ = station.config.derive.parallel(processors())
    with deriver(station, watch, only=only, once=True, anew=anew) as worker:
        crew = Crew(worker, jobs, station.stop, station.parts.mirror, until_idle=True)
        crew.start()
        while not crew.join(POLL_SECONDS):
            pass
        crew.check()


def processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def _wanted(station: Station, names: Sequence[str], *, again: bool) -> dict[str, set[str]]:
    """What has to be done, per stage, for these recordings or assets: their previews, and what is due of the dockings that they
    came with; ``again``: their own probes, and whatever comes of them. Raises NotFound."""
    from mediad.catalog import due, previews, recordings
    from mediad.catalog.chunks import chunks

    shown: set[str] = set()
    own: set[str] = set()
    dockings: set[str] = set()
    with station.ledger.catalog.read() as conn:
        for name in names:
            recording = recordings.recording_of(conn, name)
            if recording is None:
                raise NotFound(f"{name} is no recording", hint="`mediad recordings` lists what is there")
            rows = previews.to_show(conn, recording, station.vault.name)
            shown.add(recording)
            own |= {row.asset for row in rows}
            dockings |= {row.docking for row in rows}
        if again:
            asked = {due.PROBE: sorted(own), due.ASSEMBLE: sorted(dockings)}
        else:
            asked = {
                due.PHOTO: recordings.of_kind(conn, "photo", sorted(shown)),
                due.PREVIEW: [r for kind in ("video", "audio") for r in recordings.of_kind(conn, kind, sorted(shown))],
            }
        unprobed = due.unprobed(conn, dockings)
    at = station.ledger.clock()
    for stage, subjects in asked.items():
        for some in chunks(subjects):
            station.ledger.catalog.write(lambda conn, s=stage, some=some: due.again(conn, s, some, at))  # type: ignore[misc]
    probes = own if again else set(unprobed)
    return {due.PROBE: probes, due.ASSEMBLE: dockings, due.PHOTO: shown, due.PREVIEW: shown}


class _DaemonStation:
    """What ``daemon.run`` wants of a station, for a process that docks nothing."""

    def __init__(self, station: Station, crew: Crew) -> None:
        self._station, self._crew = station, crew
        self.stop = station.stop

    def finish_open_work(self) -> None:
        self._station.parts.mirror()

    def healthy(self) -> None:
        self._crew.check()
        try:
            self._station.ledger.catalog.check()
        except MediadError as e:
            # What passes by itself, the crew waits for; starting again would only end what it makes.
            if e.retry != "later":
                raise

    def close(self) -> None:
        """Closed by who opened it, behind the worker."""


def run_deriver(config: Config) -> None:
    """`mediad run --only derive`: work off what is due until asked to stop. Raises Busy if another one does so already."""
    from mediad import daemon
    from mediad.edges import systemd

    busy = "another `mediad run --only derive` works on this catalogue already"
    lock = files.locked(lock_folder(config) / DERIVE_LOCK, busy=busy, hint="systemctl status mediad-derive")
    with lock, closing(Station(config, wait_for_space=False)) as station, deriver(station, Logged()) as worker:
        jobs, _ = config.derive.parallel(processors())
        # a crew that has failed ends the daemon in order; then it says why, and the manager starts it again
        crew = Crew(
            worker, jobs, station.stop, station.parts.mirror, until_idle=False,
            failed=lambda: signal.raise_signal(signal.SIGTERM),
        )  # fmt: skip
        daemon.run(_DaemonStation(station, crew), [crew], systemd.notify, systemd.watchdog_seconds())
        crew.check()
