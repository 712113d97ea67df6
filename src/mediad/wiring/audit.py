"""The composition root's part for looking and for rebuilding: who is handed to the auditor, and in which order a lost
catalogue is made anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mediad.config import CatalogSection, Config, VaultSection
from mediad.edges import files
from mediad.edges.pump import BufferPool
from mediad.edges.reader import VaultReader
from mediad.errors import Busy, CatalogError, IntegrityError, MediadError, NotFound, Refused, VaultOffline
from mediad.model.layout import STAGING
from mediad.wiring.guard import check_owner, vault_held
from mediad.wiring.station import (
    DAEMON_LOCK,
    OPEN_LOCK,
    Station,
    lock_folder,
    now,
    open_ledger,
    open_vault,
)

if TYPE_CHECKING:
    from mediad.catalog.audit import AuditCatalog
    from mediad.fsck import Progress, Report
    from mediad.model.evidence import Finding
    from mediad.stages.rebuild import Adopted


@contextmanager
def audited(config: Config) -> Iterator[AuditCatalog]:
    """The catalogue for looking at. Raises CatalogError if there is none."""
    from mediad.catalog.audit import AuditCatalog

    catalog = AuditCatalog(config.catalog.url)
    try:
        yield catalog
    finally:
        catalog.close()


def _readers(config: Config) -> list[VaultReader]:
    return [VaultReader(section.name, section.path) for section in config.vault]


def abandoned(config: Config) -> Callable[[str], bool]:
    """Whether no process holds a docking's lock."""
    locks = lock_folder(config)
    return lambda docking: files.lock_is_free(locks / f"{docking}.lock")


def fsck(config: Config, progress: Progress, *, quick: bool) -> Report:
    """Check bytes, catalogue and custody chain."""
    from mediad import fsck

    with audited(config) as catalog:
        return fsck.fsck(
            catalog, _readers(config), abandoned(config), station=config.station.id, quick=quick, progress=progress
        )


def verify_custody(config: Config) -> Report:
    """Check the custody chain and its mirrors."""
    from mediad import fsck

    with audited(config) as catalog:
        return fsck.verify_custody(catalog, _readers(config), abandoned(config), station=config.station.id)


@dataclass
class Rebuilt:
    """What a rebuild did. ``replaced`` is where the old catalogue lies now."""

    vault: str
    events: int
    replaced: str | None
    dockings_closed: int = 0
    originals: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "vault": self.vault, "events": self.events, "replaced": self.replaced, "adopted": self.originals,
            "dockings_closed": self.dockings_closed, "notes": self.notes,
            "findings": [{"code": f.code, "subject": f.subject, "detail": f.detail} for f in self.findings],
        }  # fmt: skip


def rebuild(config: Config, vault_name: str, told: Callable[[int], None], *, replace: bool) -> Rebuilt:
    """Make the catalogue anew from a vault. Raises Refused if there is one (unless ``replace``), Busy if one is open,
    IntegrityError if the vault's log does not hold; the old catalogue is then where it was, and no new one is."""
    from mediad.catalog import audit, swap

    url = config.catalog.url
    section = _section(config, vault_name)
    check_owner(config)
    building = swap.beside(url, "rebuilding")  # refuses what is no SQLite
    locks = lock_folder(config)
    opening = "another process is opening or rebuilding the catalogue"
    with files.locked(locks / OPEN_LOCK, busy=opening), ExitStack() as alone:
        # Held to the end: whoever wants to write opens the station first, and waits or is turned away.
        if audit.in_use(url) or not files.lock_is_free(locks / DAEMON_LOCK):  # also one whose catalogue was taken away
            raise Busy("the catalogue is in use", hint="stop mediad first: systemctl stop mediad mediad-derive")
        if not replace and _is_there(url):
            raise Refused("there is a catalogue", hint="`mediad fsck` checks it; --replace sets it aside and rebuilds")
        for used in {s.path: s for s in (config.vault[0], section)}.values():
            if (used.path / STAGING / config.station.id).is_dir():  # also of a station with another catalogue
                alone.enter_context(vault_held(config, used, alone=True))
        swap.discard(building)
        try:
            suffix = swap.free_suffix(url, f"replaced-{now():%Y%m%dT%H%M%SZ}")
            result, adopted = _build(config, section, building, told, replaced=suffix if _anything_left(url) else None)
            result.replaced = swap.set_aside(url, suffix)
            swap.install(building, url)
        except BaseException:
            swap.discard(building)
            raise
        try:
            _finish(config, section, adopted, result)
        except MediadError as e:
            raise type(e)(
                f"the new catalogue is in place, but what was open is not finished: {e.message}",
                hint=f"{e.hint}; then start mediad: it goes on with it".lstrip("; "),
                code=e.code,
            ) from e
    return result


def _anything_left(url: str) -> bool:
    """Whether anything lies where the catalogue belongs."""
    from mediad.catalog.db import sqlite_path

    path = sqlite_path(url)
    return path is not None and any(
        path.with_name(path.name + part).exists() for part in ("", "-journal", "-wal", "-shm")
    )


def _is_there(url: str) -> bool:
    """Whether there is a catalogue, be it damaged."""
    from mediad.catalog.db import sqlite_path

    path = sqlite_path(url)
    return path is not None and path.exists() and path.stat().st_size > 0


def _section(config: Config, name: str) -> VaultSection:
    if not name:
        return config.vault[0]
    found = next((section for section in config.vault if section.name == name), None)
    if found is None:
        raise NotFound(f"no vault is called {name}", hint="one of " + ", ".join(v.name for v in config.vault))
    return found


def _build(
    config: Config, section: VaultSection, building: str, told: Callable[[int], None], *, replaced: str | None
) -> tuple[Rebuilt, Adopted]:
    """The new catalogue, beside the place of the old one. The vaults are only read."""
    from mediad.catalog import db
    from mediad.stages import mirror, rebuild

    station = config.station.id
    vault = open_vault(section, config, BufferPool())
    marker = vault.read_marker()
    log = rebuild.check_log(vault, station)
    if marker is None or log.markers.get(section.name) != marker:
        raise IntegrityError(
            f"the custody log in {section.path} is not of this vault: its marker is {marker or 'missing'},"
            f" registered as {section.name} is {log.markers.get(section.name) or 'none'}",
            hint="mount the right disk, or mend the vault's name in the configuration",
            code="vault-other",
        )
    result = Rebuilt(section.name, log.reached, replaced, notes=_lost(config.catalog.url, log.reached))
    adopted = rebuild.Adopted()
    db.migrate(building)
    ledger = open_ledger(config.model_copy(update={"catalog": CatalogSection(url=building)}))
    try:
        rebuild.play(ledger.catalog, vault, station, told)
        first = open_vault(config.vault[0], config, BufferPool())
        try:
            first.expect(log.markers.get(first.name))
        except VaultOffline as e:
            if section.name == first.name:
                raise
            result.notes.append(f"{e.message}: what it holds and the log does not know was not taken in")
        else:
            mirror.look(ledger, first)  # a log that goes further, or tells another story, would stop every later start
            adopted = rebuild.adopt(ledger, first)
        rebuild.note_rebuilt(ledger, section.name, log, replaced)
    finally:
        ledger.catalog.close()
    return result, adopted


def _lost(url: str, reached: int) -> list[str]:
    """What an old catalogue, as far as it can be read, knows and the vault does not."""
    from mediad.catalog.audit import AuditCatalog

    try:
        catalog = AuditCatalog(url)
    except CatalogError:
        return []
    try:
        with catalog.snapshot() as snap:
            newest = snap.newest(1)
    except CatalogError:
        return []
    finally:
        catalog.close()
    if not newest or newest[0].seq <= reached:
        return []
    return [
        f"the old catalogue goes on to event {newest[0].seq}, the vault's log ends at {reached}: keep it, and look at both"
    ]


def _finish(config: Config, section: VaultSection, adopted: Adopted, result: Rebuilt) -> None:
    """On the new catalogue, in its place: finish what is open. If this breaks off, the next start goes on with it."""
    from mediad.stages import mirror, rebuild

    result.findings += adopted.findings
    try:
        station = Station(config, wait_for_space=False, held=lock_folder(config))
    except VaultOffline:
        if section.name == config.vault[0].name:
            raise
        return  # said already: what is open waits for that vault
    try:
        done = station.finish_open_work()
        result.dockings_closed = len(done.closed)
        result.originals, wrong = rebuild.outcome(station.ledger, station.vault.name, adopted, result.events)
        twice = rebuild.set_surplus_aside(station.ledger, station.vault, adopted)
        mirror.mirror(station.ledger, station.vault)  # raises where there is no room: done is only what the vault knows
        result.findings += [*done.trouble, *wrong, *twice]
    finally:
        station.close()
