"""The station as the composition root opens it: catalogue, first vault, profiles, locks."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import structlog

from mediad.config import Config, VaultSection
from mediad.edges import files
from mediad.edges.login import login
from mediad.edges.profiles import GENERIC, load_profiles
from mediad.edges.pump import BufferPool
from mediad.edges.source import SourceSet
from mediad.edges.vault import LocalVault
from mediad.errors import Busy, CatalogError, ConfigError, Refused, StorageError, VaultOffline
from mediad.model.custody import FORMAT, Draft
from mediad.model.evidence import Docking, DockingState, SourceIdentity
from mediad.model.ids import short_digest, stamped_id
from mediad.model.layout import safe_name, segment_prefix
from mediad.model.profile import DeviceFacts, Profile, choose
from mediad.wiring.guard import check_mounted, check_owner, vault_held

if TYPE_CHECKING:
    from mediad.catalog.ledger import Ledger
    from mediad.finish import Finished
    from mediad.session import Progress, Session


OPEN_LOCK = "open.lock"
"""Held while a station is opened, and by a rebuild from its first look to its last."""

OPEN_SECONDS = 60.0
"""How long a process waits for others that open the station at the same moment."""

DAEMON_LOCK = "daemon.lock"
"""Held by the daemon that docks for all its life: there is one per catalogue."""

RECOVER_LOCK = "recover.lock"
"""Held while what killed dockings left is finished: one process at a time."""


def lock_folder(config: Config) -> Path:
    """Where the locks are: beside the catalogue, so that whoever works on one catalogue meets at the same locks, whatever else
    the configurations say. Only a catalogue that is no file has them in ``station.state``."""
    from mediad.catalog.db import sqlite_path

    catalogue = sqlite_path(config.catalog.url)
    if catalogue is None:
        return config.state / "locks"
    real = catalogue.resolve()
    return real.with_name(f"locks-{real.name}")


def now() -> datetime:
    """The station's clock."""
    return datetime.now(UTC)


def new_id(prefix: str) -> str:
    """An id that was never given before."""
    return stamped_id(prefix, now(), os.urandom(10))


def open_vault(section: VaultSection, config: Config, pool: BufferPool) -> LocalVault:
    """A vault of the configuration, not yet checked to be the registered one."""
    return LocalVault(section.name, section.path, config.station.id, pool, volatile=section.volatile)


def open_ledger(config: Config, actor: str | None = None) -> Ledger:
    """The catalogue as it is. Raises CatalogError if there is none."""
    from mediad.catalog.db import Catalog
    from mediad.catalog.ledger import Ledger

    return Ledger(Catalog(config.catalog.url), config.station.id, actor or login(), now)


def renamed_vault(section: VaultSection, config: Config, registered: Mapping[str, str]) -> str | None:
    """The name under which a vault of the configuration is registered, if it is another one."""
    if section.name in registered:
        return None
    try:
        marker = open_vault(section, config, BufferPool()).read_marker()
    except VaultOffline:
        return None
    return next((name for name, known in registered.items() if known == marker), None)


def upgrade_catalogue(url: str, old: str, *, alone: bool) -> None:
    """Bring an older catalogue to this program's version; a copy of it stays. Whoever opens a station does so, or
    ``catalog upgrade``, with the opening lock held."""
    from mediad.catalog import db

    if not alone:
        raise Busy(
            f"the catalogue has version {old} and is to become {db.SCHEMA}, but another process works on it",
            hint="stop mediad first: systemctl stop mediad mediad-derive",
        )
    copy = db.bring_up_to_date(url)
    structlog.get_logger().warning("catalogue upgraded", version=db.SCHEMA, before=old, copy=str(copy))


def upgrade(config: Config) -> None:
    """`mediad catalog upgrade`: the same as a start does, without the vault. Raises CatalogError if there is no catalogue."""
    from mediad.catalog import db

    url, locks = config.catalog.url, lock_folder(config)
    check_owner(config)
    if not db.exists(url):
        raise CatalogError("there is no catalogue", hint="`mediad run` makes one, `mediad rebuild` restores one")
    with files.locked(locks / OPEN_LOCK, busy="another process is opening the station"):
        presence = files.Presence(locks.parent)
        try:
            if old := db.outdated(url):
                upgrade_catalogue(url, old, alone=presence.alone)
        finally:
            presence.close()
    db.Catalog(url).close()  # one of a newer program is told


class Station:
    """Everything that docking needs, opened and checked: catalogue, first vault, profiles, locks."""

    def __init__(
        self, config: Config, *, wait_for_space: bool, actor: str | None = None, held: Path | None = None
    ) -> None:
        """``held``: the lock folder of the catalogue that this one is to replace; the caller holds its opening lock."""
        from mediad.shared import Parts
        from mediad.stages import mirror

        self.config = config
        self.zone: ZoneInfo = config.unit.zone
        self.pool = BufferPool()
        self.alive: Callable[[], None] = self.check_catalogue
        self.each_pass: Callable[[], None] = lambda: None
        self.stop = threading.Event()
        self.profiles: list[Profile] = [*load_profiles(config.devices.profiles), GENERIC]
        if not held:
            check_owner(config)
        self.locks = held or lock_folder(config)
        section = config.vault[0]
        self.vault = open_vault(section, config, self.pool)
        # One at a time: the first creates the catalogue, founds the station and registers the vault; the others find them.
        opening = "another process is opening the station, and takes long"
        lock = files.locked(self.locks / OPEN_LOCK, busy=opening, wait_seconds=OPEN_SECONDS)
        with nullcontext() if held else lock, ExitStack() as opened:
            presence = files.Presence(self.locks.parent)
            opened.callback(presence.close)
            self.ledger = self._open_catalogue(actor, alone=presence.alone)
            opened.callback(self.ledger.catalog.close)
            self._open_vault(section)
            if not held:  # else the rebuild holds it alone
                opened.enter_context(vault_held(config, section, alone=False))
            mirror.reconcile(self.ledger, self.vault)
            self._left_before = self._open_dockings() if presence.alone else set()
            self._only_one = presence.alone and held is not None  # a rebuild lets nobody else in
            self._opened = opened.pop_all()
        self.parts = Parts(
            self.ledger, self.vault, config.unit.name, config.ingest, new_id, self.stop, self.finish_open_work,
            self.worked_on, wait_for_space=wait_for_space,
        )  # fmt: skip

    def close(self) -> None:
        self._opened.close()

    def check_catalogue(self) -> None:
        """Raise MediadError unless a transaction can be opened."""
        self.ledger.catalog.check()

    def healthy(self) -> None:
        """Raise MediadError unless the catalogue answers and every part of the daemon runs."""
        self.alive()

    # --- opening ----------------------------------------------------------------------------------------------------

    def _open_catalogue(self, actor: str | None, *, alone: bool) -> Ledger:
        """Open it, an older one after it was brought to this program's version; or create it anew: only if the first vault holds
        no custody log of this station (invariant 8)."""
        from mediad.catalog import db, evidence

        url = self.config.catalog.url
        if not db.exists(url):
            if next(self.vault.list(segment_prefix(self.config.station.id)), None) is not None:
                raise CatalogError(
                    "the catalogue is missing, but the vault holds this station's custody log",
                    hint="run `mediad rebuild`",
                    code="catalogue-missing",
                )
            check_mounted(self.config.vault[0])
            db.migrate(url)
        elif old := db.outdated(url):
            upgrade_catalogue(url, old, alone=alone)
        ledger = open_ledger(self.config, actor)
        with ledger.catalog.read() as conn:
            station = evidence.station(conn)
        if station is None:
            founded = {"unit": self.config.unit.name, "format": FORMAT}
            ledger.record([Draft("station.founded", self.config.station.id, founded)])
        elif station.id != self.config.station.id:
            ledger.catalog.close()
            raise Refused(
                f"the catalogue belongs to station {station.id}, the configuration says {self.config.station.id}",
                hint="station.id names the custody chain and never changes",
            )
        return ledger

    def _open_vault(self, section: VaultSection) -> None:
        """Check that it is the registered one, or register it."""
        from mediad.catalog import evidence

        with self.ledger.catalog.read() as conn:
            rows = {row.name: row for row in evidence.vaults(conn)}
        registered = {name: row.marker for name, row in rows.items()}
        if section.name not in registered:
            if old := renamed_vault(section, self.config, registered):
                raise ConfigError(
                    f"the vault in {section.path} is registered as {old}, the configuration calls it {section.name}",
                    hint=f'write name = "{old}" there: names of vaults stand in the custody log and do not change',
                )
            check_mounted(section)
            marker = self.vault.read_marker() or new_id("vault")
            self.vault.register(marker)
            self._register(section, marker)
            registered[section.name] = marker
        self.vault.open(registered[section.name])
        row = rows.get(section.name)
        if row is not None and (row.kind, row.dedicated) != (section.kind, section.dedicated):
            self._register(section, row.marker)  # whether it is dedicated counts from now on, not from the first day

    def _register(self, section: VaultSection, marker: str) -> None:
        detail = {"marker": marker, "kind": section.kind, "dedicated": section.dedicated}
        self.ledger.record([Draft("vault.registered", section.name, detail)])

    # --- docking ----------------------------------------------------------------------------------------------------

    def _lock(self, docking_id: str) -> Path:
        return self.locks / f"{docking_id}.lock"

    def abandoned(self, docking_id: str) -> bool:
        """Whether no process works on a docking any more: nobody holds its lock.

        A lock file that is not there says nothing of a docking that is open, for somebody may have deleted it: that one only
        counts if nobody else can have begun it, because it was open before this process found itself alone.
        """
        lock = self._lock(docking_id)
        if os.path.lexists(lock):
            return files.lock_is_free(lock)
        return self._only_one or docking_id in self._left_before or docking_id not in self._open_dockings()

    def worked_on(self, docking_id: str) -> bool:
        """Whether somebody is seen to work on a docking, or on what others left. Not the opposite of ``abandoned``: of a docking
        whose lock file was deleted neither is known."""
        locks = (self._lock(docking_id), self.locks / RECOVER_LOCK)
        with suppress(StorageError):
            return not all(files.lock_is_free(lock) for lock in locks)
        return False  # a lock that cannot be asked

    def _open_dockings(self) -> set[str]:
        from mediad.catalog import evidence

        with self.ledger.catalog.read() as conn:
            return {row.id for row in evidence.open_dockings(conn)}

    def finish_open_work(self) -> Finished:
        """Finish what killed processes left. One at a time; whoever finds another at it leaves it to that one."""
        from mediad.finish import Finished, finish_open_work

        self.each_pass()
        try:
            with files.locked(self.locks / RECOVER_LOCK, busy="another process is recovering"):
                done = finish_open_work(self.parts, self.abandoned, zone=self.zone)
                for docking_id in done.closed:
                    with suppress(OSError):  # a free lock that stays does no harm
                        self._lock(docking_id).unlink()
                return done
        except Busy:
            return Finished()

    def identify(self, keys: Sequence[str], label: str) -> SourceIdentity:
        """The identity of a source from its possible keys, best first; a registered one counts before the others."""
        from mediad.catalog import evidence

        with self.ledger.catalog.read() as conn:
            row = evidence.registered_recorder(conn, keys)
        if row is not None:
            return SourceIdentity(
                row.key, row.label, identified=True, recorder_id=row.id, registered=True, profile=row.profile
            )
        key = keys[0]
        identified = key.startswith(("serial:", "fsuuid:"))
        return SourceIdentity(key, safe_name(label.encode("utf-8", "replace"), "recorder"), identified=identified)

    def profile_for(self, facts: DeviceFacts, named: str = "") -> Profile:
        """The profile that the registration names, else the most particular one that fits, else the built-in generic one:
        footage must not be lost for lack of a profile."""
        by_name = next((p for p in self.profiles if p.name == named), None) if named else None
        return by_name or choose(self.profiles, facts) or GENERIC

    @contextmanager
    def session(
        self,
        source: SourceSet,
        *,
        identity: SourceIdentity,
        profile: Profile,
        progress: Progress,
        slot: str = "",
        where: str = "",
        channel: str = "body-camera",
        officer: str = "",
        said: Mapping[str, str] | None = None,
        wall_clock: Mapping[str, bool] | None = None,
        name_known: bool = True,
    ) -> Iterator[Session]:
        """A session for one docking, with its locks held. Raises Busy if the same source is being docked already.

        ``wall_clock`` says of a volume whether its file times are wall clock; then the profile's zone makes them instants.
        """
        from mediad.catalog import evidence
        from mediad.session import Session

        with self._source_locked(source, identity, busy=f"{where or identity.label} is being docked already"):
            with self.ledger.catalog.read() as conn:
                last = evidence.last_docking(conn, identity.key)
            broken = last is not None and last.state == DockingState.INTERRUPTED
            zone = ZoneInfo(profile.file_zone) if profile.file_zone else self.zone
            docking = Docking(
                id=new_id("dck"),
                source=identity,
                slot=slot,
                where=where,
                channel=channel,
                profile=profile.name,
                officer=officer,
                opened_at=now(),
                unit_zone=self.zone,
                zones={volume: zone for volume, wall in (wall_clock or {}).items() if wall},
                continues=last.id if last is not None and broken else None,
                said=said,
            )
            with self._held(docking.id):
                yield Session(self.parts, docking, source, profile, progress, name_known=name_known)

    @contextmanager
    def _source_locked(self, source: SourceSet, identity: SourceIdentity, *, busy: str) -> Iterator[None]:
        """Hold a source by what it really is: the root of each tree, by whatever path or mount it was reached, and who it says
        it is, if it is known by more than its place."""
        names = [f"place:{device}:{inode}" for device, inode in source.places]
        names += [identity.key] if identity.identified else []
        with ExitStack() as held:
            for lock in sorted(f"source-{short_digest(name.encode())}.lock" for name in names):
                held.enter_context(files.locked(self.locks / lock, busy=busy))
            yield

    @contextmanager
    def _held(self, docking_id: str) -> Iterator[None]:
        """Hold a docking's lock; the file goes when the docking is closed, and stays as a free lock after a failure."""
        path = self._lock(docking_id)
        with files.locked(path, busy=f"{docking_id} is under way"):
            yield
            with suppress(OSError):  # a free lock that stays does no harm
                path.unlink()
