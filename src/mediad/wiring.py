"""The composition root: the only file that knows all names. Heavy parts are imported where they are used."""

from __future__ import annotations

import getpass
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import structlog

from mediad.config import Config, Folder, VaultSection
from mediad.edges import files
from mediad.edges.profiles import GENERIC, load_profiles
from mediad.edges.pump import BufferPool
from mediad.edges.source import BrokenVolume, SettledTree, SourceSet, SourceTree
from mediad.edges.vault import LocalVault
from mediad.errors import CatalogError, MediadError, Refused, StorageError
from mediad.model.custody import Draft
from mediad.model.evidence import Docking, DockingState, SourceIdentity
from mediad.model.ids import short_digest, stamped_id
from mediad.model.layout import safe_name, segment_prefix
from mediad.model.profile import DeviceFacts, Profile, choose
from mediad.model.slots import SlotIdentity, UsbDevice, plausible_serial

if TYPE_CHECKING:
    from mediad.catalog.ledger import Ledger
    from mediad.session import Finished, Progress, Result, Session


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
        self.alive: Callable[[], None] = self.check_catalogue
        self.stop = threading.Event()
        self.profiles: list[Profile] = [*load_profiles(config.devices.profiles), GENERIC]
        self.locks = config.state / "locks"
        try:
            files.make_dirs(self.locks)
        except OSError as e:
            raise files.storage_error(e, f"creating {self.locks}") from e
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

    def check_catalogue(self) -> None:
        """Raise MediadError unless a transaction can be opened."""
        self.ledger.catalog.check()

    def healthy(self) -> None:
        """Raise MediadError unless the catalogue answers and every part of the daemon runs."""
        self.alive()

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

    def finish_open_work(self) -> Finished:
        """Finish what killed processes left. One at a time; whoever finds another at it leaves it to that one."""
        from mediad.errors import Busy
        from mediad.session import Finished, finish_open_work

        try:
            with files.locked(self.locks / "recover.lock", busy="another process is recovering"):
                done = finish_open_work(self.parts, self.abandoned, zone=self.zone)
                for docking_id in done.closed:
                    self._lock(docking_id).unlink(missing_ok=True)  # an id is never used again, so nobody waits for it
                return done
        except Busy:
            return Finished()

    def identify(self, keys: Sequence[str], label: str) -> SourceIdentity:
        """The identity of a source from its possible keys, best first; a registered one counts before the others."""
        from mediad.catalog import evidence

        with self.ledger.catalog.read() as conn:
            row = evidence.registered_recorder(conn, keys)
        if row is not None:
            return SourceIdentity(row.key, row.label, identified=True, registered=True, profile=row.profile)
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
            with suppress(OSError):  # a free lock that stays does no harm
                path.unlink()


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
            profile=station.profile_for(facts, identity.profile),
            progress=progress,
            where=str(found.path),
            channel=channel or ("body-camera" if identity.identified else "manual"),
            officer=officer,
            wall_clock={"": found.wall_clock},
        ) as session:
            return session.run()


def dock_folder(
    station: Station, folder: Folder, accepts: Callable[[bytes, int, int], bool], progress: Progress
) -> Result | None:
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
    return station.identify(keys or [f"anonymous:{device.port}/{device.stay}"], label)  # never known: every file is read


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
        seen: list[SourceTree | SettledTree | BrokenVolume] = [*trees]
        seen += [BrokenVolume(volume, why) for volume, why in broken.items()]
        names = frozenset[str]().union(*(tree.root_names() for tree in trees))
        with station.session(
            SourceSet(trees, present, seen),
            identity=identity,
            profile=station.profile_for(device_facts(device, names), identity.profile),
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


def reserve_bytes(config: Config, total: int) -> int:
    """Free bytes of a vault of ``total`` bytes below which ingest pauses."""
    return max(config.ingest.reserve_bytes, int(total * config.ingest.reserve_percent / 100))


def catalogue_samples(station: Station) -> Iterator[tuple[str, tuple[str, ...], float]]:
    """Metrics that the catalogue and the first vault answer."""
    from mediad.catalog import evidence, work

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
        yield "mediad_placements_open", (), len(work.placements(conn, station.vault.name))
        yield "mediad_custody_unmirrored_events", (station.vault.name,), work.unmirrored(conn, station.vault.name)
        for code, n in evidence.alarm_counts(conn).items():
            yield "mediad_alarms", (code,), n
    vault = station.vault.name
    try:
        station.vault.check()
        space = station.vault.space()
    except MediadError:
        yield "mediad_vault_up", (vault,), 0
        return
    yield "mediad_vault_up", (vault,), 1
    yield "mediad_vault_free_bytes", (vault,), space.free
    yield "mediad_vault_size_bytes", (vault,), space.total
    yield "mediad_vault_reserve_bytes", (vault,), reserve_bytes(station.config, space.total)


def run_daemon(config: Config) -> None:
    """`mediad run`: open everything and run until asked to stop."""
    from mediad import daemon, parts, telemetry
    from mediad.catalog import evidence
    from mediad.edges import systemd
    from mediad.edges.board import Board
    from mediad.edges.hook import Hook

    log = structlog.get_logger()
    hook = Hook(config.devices.hook, on_problem=lambda text: log.warning("hook failed", why=text))
    board = Board(config.runtime, hook.tell)
    try:
        station = Station(config, wait_for_space=True)
    except StorageError as e:
        board.say(f"{e.message} 储存器或目录故障，请叫管理员")
        raise
    board.say("")
    with station.ledger.catalog.read() as conn:
        board.set_names(evidence.slot_names(conn))
    running: list[parts.UsbPart | parts.FolderPart] = []
    if config.devices.usb:
        running.append(parts.UsbPart(station, board))
    running += [parts.FolderPart(station, folder, board) for folder in config.folder]

    def alive() -> None:
        station.ledger.catalog.check()
        for part in running:
            if not part.healthy():
                raise MediadError(f"{part.name} has stopped", code="part-stopped")

    def ready() -> None:
        alive()
        station.vault.check()
        station.vault.check_writable()

    station.alive = alive
    samples = (lambda: telemetry.slot_samples(board.views()), lambda: catalogue_samples(station))
    run, stop, address = telemetry.server(config.http.listen, telemetry.Collector(*samples), alive, ready)
    log.info("http", address=address)
    http = parts.HttpPart(lambda: (run, stop))
    daemon.run(station, [http, *running], systemd.notify, systemd.watchdog_seconds())
    hook.flush(5.0)


def vault_state(config: Config, section: VaultSection) -> dict[str, Any]:
    """A vault's state for people: online, or why not; and its space in bytes."""
    from mediad.catalog import evidence

    vault = open_vault(section, config, BufferPool())
    answer: dict[str, Any] = {
        "name": section.name, "kind": section.kind, "path": str(section.path), "dedicated": section.dedicated,
        "free": None, "total": None,
    }  # fmt: skip
    ledger = open_ledger(config)
    try:
        with ledger.catalog.read() as conn:
            markers = {row.name: row.marker for row in evidence.vaults(conn)}
        vault.expect(markers.get(section.name))
        space = vault.space()
        answer |= {"state": "online", "free": space.free, "total": space.total}
    except MediadError as e:
        answer["state"] = e.message
    finally:
        ledger.catalog.close()
    return answer


def read_first_vault(config: Config, key: str) -> bytes:
    """A small object of the first vault."""
    return open_vault(config.vault[0], config, BufferPool()).get(key)


def doctor_checks(config: Config) -> list[tuple[str, bool, Callable[[], str]]]:
    """What to check, whether the station cannot do without it, and the check: it returns a detail or raises MediadError."""
    from mediad.edges.mount import Udisks
    from mediad.edges.mtp import Mtp

    def clock() -> str:
        return f"{now().astimezone(config.unit.zone).isoformat(timespec='seconds')}"

    def catalogue() -> str:
        ledger = open_ledger(config)
        try:
            ledger.catalog.check()
        finally:
            ledger.catalog.close()
        return config.catalog.url

    def profiles() -> str:
        return f"{len(load_profiles(config.devices.profiles))} profiles"

    def vault() -> str:
        state = vault_state(config, config.vault[0])
        if state["state"] != "online":
            raise StorageError(state["state"], hint=f"check {config.vault[0].path}")
        return f"{config.vault[0].path}, {state['free'] // 2**30} GiB free"

    def direct() -> str:
        return open_vault(config.vault[0], config, BufferPool()).probe_medium()

    usb = config.devices.usb
    return [
        ("时钟 clock", True, clock),
        ("目录 catalogue", True, catalogue),
        ("储存器 vault", True, vault),
        ("介质回读 reading from the medium", True, direct),
        ("配置 recorder profiles", True, profiles),
        ("udisks2", usb, lambda: Udisks().available()),
        ("MTP (systemd, jmtpfs)", False, lambda: Mtp().available()),
    ]
