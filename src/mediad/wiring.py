"""The composition root: the only file that knows all names. Heavy parts are imported where they are used."""

from __future__ import annotations

import getpass
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from mediad.config import Config, Folder, VaultSection
from mediad.edges import files
from mediad.edges.profiles import GENERIC, load_profiles
from mediad.edges.pump import BufferPool
from mediad.edges.source import BrokenVolume, SettledTree, SourceSet, SourceTree
from mediad.edges.vault import LocalVault
from mediad.errors import CatalogError, Refused
from mediad.model.custody import Draft
from mediad.model.evidence import Docking, DockingState, SourceIdentity
from mediad.model.ids import short_digest, stamped_id
from mediad.model.layout import safe_name, segment_prefix
from mediad.model.profile import DeviceFacts, Profile, choose
from mediad.model.slots import SlotIdentity, UsbDevice, plausible_serial

if TYPE_CHECKING:
    from mediad.catalog.ledger import Ledger
    from mediad.session import Progress, Result, Session


def now() -> datetime:
    """The station's clock."""
    return datetime.now(UTC)


def new_id(prefix: str) -> str:
    """An id that was never given before."""
    return stamped_id(prefix, now(), os.urandom(10))


def login() -> str:
    """The operating system's login that acts. Under sudo it is the person, not root."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


def open_vault(section: VaultSection, config: Config, pool: BufferPool) -> LocalVault:
    """A vault of the configuration, not yet checked to be the registered one."""
    return LocalVault(section.name, section.path, config.station.id, pool)


def open_ledger(config: Config, actor: str | None = None) -> Ledger:
    """The catalogue as it is. Raises CatalogError if there is none."""
    from mediad.catalog.db import Catalog
    from mediad.catalog.ledger import Ledger

    return Ledger(Catalog(config.catalog.url), config.station.id, actor or login(), now)


class Station:
    """Everything that docking needs, opened and checked: catalogue, first vault, profiles, locks."""

    def __init__(self, config: Config, *, wait_for_space: bool, actor: str | None = None) -> None:
        from mediad.session import Parts

        self.config = config
        self.zone: ZoneInfo = config.unit.zone
        self.pool = BufferPool()
        self.stop = threading.Event()
        self.profiles: list[Profile] = [*load_profiles(config.devices.profiles), GENERIC]
        self.locks = config.state / "locks"
        files.make_dirs(self.locks)
        section = config.vault[0]
        self.vault = open_vault(section, config, self.pool)
        self.ledger = self._open_catalogue(actor)
        try:
            self._open_vault(section)
        except BaseException:
            self.ledger.catalog.close()
            raise
        self.parts = Parts(
            self.ledger, self.vault, config.unit.name, config.ingest, new_id, self.stop, self.finish_open_work,
            wait_for_space=wait_for_space,
        )  # fmt: skip

    def close(self) -> None:
        self.ledger.catalog.close()

    # --- opening ----------------------------------------------------------------------------------------------------

    def _open_catalogue(self, actor: str | None) -> Ledger:
        """Open it, or create it anew: only if the first vault holds no custody log of this station (invariant 8)."""
        from mediad.catalog import db, evidence

        url = self.config.catalog.url
        with files.locked(self.locks / "create.lock", busy="another process is creating the catalogue"):
            if not db.exists(url):
                if next(self.vault.list(segment_prefix(self.config.station.id)), None) is not None:
                    raise CatalogError(
                        "the catalogue is missing, but the vault holds this station's custody log",
                        hint="run `mediad rebuild`",
                        code="catalogue-missing",
                    )
                db.migrate(url)
        ledger = open_ledger(self.config, actor)
        with ledger.catalog.read() as conn:
            station = evidence.station(conn)
        if station is None:
            ledger.record([Draft("station.founded", self.config.station.id, {"unit": self.config.unit.name})])
        elif station.id != self.config.station.id:
            ledger.catalog.close()
            raise Refused(
                f"the catalogue belongs to station {station.id}, the configuration says {self.config.station.id}",
                hint="station.id names the custody chain and never changes",
            )
        return ledger

    def _open_vault(self, section: VaultSection) -> None:
        """Check that it is the registered one, or register it; then that its mirror and the catalogue tell one story."""
        from mediad.catalog import evidence
        from mediad.stages import mirror

        with self.ledger.catalog.read() as conn:
            registered = {row.name: row.marker for row in evidence.vaults(conn)}
        if section.name not in registered:
            marker = self.vault.read_marker() or new_id("vault")
            self.vault.register(marker)
            detail = {"marker": marker, "kind": section.kind, "dedicated": section.dedicated}
            self.ledger.record([Draft("vault.registered", section.name, detail)])
            registered[section.name] = marker
        self.vault.open(registered[section.name])
        mirror.reconcile(self.ledger, self.vault)

    # --- docking ----------------------------------------------------------------------------------------------------

    def _lock(self, docking_id: str) -> Path:
        return self.locks / f"{docking_id}.lock"

    def abandoned(self, docking_id: str) -> bool:
        """Whether no process works on a docking any more: nobody holds its lock."""
        return files.lock_is_free(self._lock(docking_id))

    def finish_open_work(self) -> dict[str, int]:
        """Finish what killed processes left. One at a time; whoever finds another at it leaves it to that one."""
        from mediad.errors import Busy
        from mediad.session import finish_open_work

        try:
            with files.locked(self.locks / "recover.lock", busy="another process is recovering"):
                return finish_open_work(self.parts, self.abandoned, unit=self.config.unit.name, zone=self.zone)
        except Busy:
            return {}

    def identify(self, keys: Sequence[str], label: str) -> SourceIdentity:
        """The identity of a source from its possible keys, best first; a registered one counts before the others."""
        from mediad.catalog import evidence

        with self.ledger.catalog.read() as conn:
            row = evidence.registered_recorder(conn, keys)
        if row is not None:
            return SourceIdentity(row.key, row.label, identified=True, registered=True)
        key = keys[0]
        identified = not key.startswith("folder:")
        return SourceIdentity(key, safe_name(label.encode("utf-8", "replace"), "recorder"), identified=identified)

    def profile_for(self, facts: DeviceFacts) -> Profile:
        """The most particular profile; the built-in generic one where none fits, since footage must not be lost."""
        return choose(self.profiles, facts) or GENERIC

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
        wall_clock: Mapping[str, bool] | None = None,
        name_known: bool = True,
    ) -> Iterator[Session]:
        """A session for one docking, with its locks held. Raises Busy if the same source is being docked already.

        ``wall_clock`` says of a volume whether its file times are wall clock; then the profile's zone makes them instants.
        """
        from mediad.catalog import evidence
        from mediad.session import Session

        source_lock = self.locks / f"source-{short_digest((identity.key + where).encode())}.lock"
        with files.locked(source_lock, busy=f"{where or identity.label} is being docked already"):
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
            )
            with self._held(docking.id):
                yield Session(self.parts, docking, source, profile, progress, name_known=name_known)

    @contextmanager
    def _held(self, docking_id: str) -> Iterator[None]:
        """Hold a docking's lock; the file goes when the docking is closed, and stays as a free lock after a failure."""
        path = self._lock(docking_id)
        with files.locked(path, busy=f"{docking_id} is under way"):
            yield
            path.unlink(missing_ok=True)


def dock_path(
    station: Station, path: Path, progress: Progress, *, recorder: str = "", officer: str = "", channel: str = ""
) -> Result:
    """Dock a mounted card or a folder once."""
    from mediad.edges.origin import origin

    found = origin(path)
    tree = SourceTree(found.path)
    with closing(SourceSet([tree], lambda: _is_there(found.path, tree))) as source:
        keys = [f"serial:{recorder}"] if recorder else []
        keys += [f"serial:{found.serial}"] if plausible_serial(found.serial) else []
        keys += [f"fsuuid:{found.uuid}"] if found.uuid else []
        label = recorder or found.serial or found.label or found.uuid or found.path.name or "folder"
        identity = station.identify(keys or [f"folder:{found.path}"], label)
        facts = DeviceFacts("storage", found.serial, found.vendor, found.model, "", (found.label,), tree.root_names())
        with station.session(
            source,
            identity=identity,
            profile=station.profile_for(facts),
            progress=progress,
            where=str(found.path),
            channel=channel or ("body-camera" if identity.identified else "manual"),
            officer=officer,
            wall_clock={"": found.wall_clock},
        ) as session:
            return session.run()


def dock_folder(station: Station, folder: Folder, accepts: Callable[[bytes, int, int], bool], progress: Progress) -> Result | None:
    """Dock what is complete in a drop folder; None if nothing of it is new. The folder's name is its registration."""
    tree = SourceTree(folder.path)
    source = SourceSet([tree], lambda: _is_there(folder.path, tree), [SettledTree(tree, accepts)])
    with closing(source):
        identity = SourceIdentity(f"folder:{folder.path}", folder.name, identified=False, registered=True)
        with station.session(
            source,
            identity=identity,
            profile=station.profile_for(DeviceFacts("folder", root_files=tree.root_names())),
            progress=progress,
            where=str(folder.path),
            channel=folder.channel,
            officer=folder.officer,
            name_known=False,
        ) as session:
            return session.run_if_new()


def device_facts(device: UsbDevice, root_files: frozenset[str] = frozenset()) -> DeviceFacts:
    """What a profile may be matched by."""
    labels = tuple(v.label for v in device.volumes if v.label)
    usb_id = f"{device.vid}:{device.pid}"
    return DeviceFacts(device.kind, device.serial, device.vendor, device.model, usb_id, labels, root_files)


def device_identity(station: Station, device: UsbDevice, carried: SlotIdentity | None) -> SourceIdentity:
    """Who is docked: what it said before its disk appeared, else its serial, else its file system."""
    said = carried.serial if carried else ""
    keys = [f"serial:{said}"] if said else []
    keys += [f"serial:{device.serial}"] if plausible_serial(device.serial) else []
    keys += [f"fsuuid:{v.uuid}" for v in device.volumes if v.uuid]
    labels = [said, device.serial if plausible_serial(device.serial) else "", *(v.label for v in device.volumes)]
    label = next((text for text in labels if text), device.model or "recorder")
    return station.identify(keys or [f"folder:usb-{device.port}"], label)


def dock_device(
    station: Station,
    device: UsbDevice,
    mounts: Mapping[str, Path],
    broken: Mapping[str, str],
    progress: Progress,
    *,
    identity: SourceIdentity,
    officer: str,
    present: Callable[[], bool],
) -> Result:
    """Dock a mounted USB recorder. ``mounts`` is where each volume lies, ``broken`` why a volume could not be mounted."""
    from mediad.edges.origin import wall_clock

    trees: list[SourceTree] = []
    try:
        for volume, path in mounts.items():
            trees.append(SourceTree(path, volume))
        seen = [*trees, *(BrokenVolume(volume, why) for volume, why in broken.items())]
        names = frozenset[str]().union(*(tree.root_names() for tree in trees))
        with station.session(
            SourceSet(trees, present, seen),
            identity=identity,
            profile=station.profile_for(device_facts(device, names)),
            progress=progress,
            slot=device.port,
            where=f"usb:{device.port}",
            officer=officer,
            wall_clock={volume: wall_clock(path) for volume, path in mounts.items()},
        ) as session:
            return session.run()
    finally:
        for tree in trees:
            tree.close()


def _is_there(path: Path, tree: SourceTree) -> bool:
    """Whether a path still is the folder that was opened: after an unmount it is another one, on another device."""
    try:
        return os.stat(path).st_dev == tree.device
    except OSError:
        return False
