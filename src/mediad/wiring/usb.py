"""The world of the bays, wired: USB ports, mounts by udisks2, MTP, unlock helpers, and the station they serve."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from mediad.bay import BoardProgress
from mediad.edges.mount import Udisks
from mediad.edges.mtp import Mtp
from mediad.edges.unlock import unlock
from mediad.edges.usb import UsbWatcher
from mediad.errors import DeviceGone, MediadError
from mediad.model.carried import SlotIdentity
from mediad.model.evidence import SourceIdentity
from mediad.model.instants import stamp
from mediad.model.profile import Profile, choose, settle_seconds
from mediad.model.slots import UsbDevice, UsbVolume, with_serial
from mediad.session import Result
from mediad.wiring.docking import device_facts, device_identity, dock_device
from mediad.wiring.station import Station, now

_PULL_GRACE_SECONDS = 1.0
"""The kernel needs a moment to notice a pull: a yes is only believed if it is still true after so long."""


class LiveKeys:
    """Which identity is on which slot at this moment. A key on two slots names neither: serials are cloned, cards are copied."""

    def __init__(self, present: Callable[[UsbDevice], bool]) -> None:
        self._present = present
        self._live: dict[str, tuple[UsbDevice, str]] = {}
        self._lock = threading.Lock()

    def note(self, device: UsbDevice, key: str) -> None:
        with self._lock:
            self._live[device.port] = (device, key)

    def sure(self, device: UsbDevice, identity: SourceIdentity) -> SourceIdentity:
        """The identity, without the right to have files recognised if a device on another slot has the same key."""
        with self._lock:
            others = [d for d, key in self._live.values() if key == identity.key and d.port != device.port]
        twins = sorted(other.port for other in others if self._present(other))
        if not twins:
            return identity
        doubt = (
            f"{identity.key} is on {', '.join(twins)} too: every file was read; dock both again, one after the other"
        )
        return replace(identity, identified=False, doubt=doubt)


class UsbWorld:
    """See ``bay.World``."""

    def __init__(self, station: Station, watcher: UsbWatcher) -> None:
        self._station, self._watcher = station, watcher
        self._udisks, self._mtp = Udisks(), Mtp()
        self._live = LiveKeys(watcher.present)
        self.stop = station.stop

    def control_profile(self, device: UsbDevice) -> Profile | None:
        """The unlock profile of a control device; None for a mouse, or whatever else is no recorder."""
        locked = [p for p in self._station.profiles if p.attach == "unlock"]
        return choose(locked, device_facts(device))

    def unlock(self, device: UsbDevice, profile: Profile) -> SlotIdentity:
        if profile.unlock is None:
            raise ValueError("not an unlock profile")
        u = profile.unlock
        said = unlock(device, u.command, secret_file=u.secret_file, timeout=u.timeout_seconds)
        return replace(said, heard_at=stamp(now()))

    def identify(self, device: UsbDevice, carried: SlotIdentity | None) -> SourceIdentity:
        identity = device_identity(self._station, device, carried)
        self._live.note(device, identity.key)
        return identity

    def wanted(self, identity: SourceIdentity) -> bool:
        """Whether an unregistered device is taken: as configured; footage must not be lost, so by default it is."""
        return identity.registered or self._station.config.devices.unknown == "ingest"

    def mtp_serial(self, device: UsbDevice) -> UsbDevice:
        return with_serial(device, self._mtp.serial(device))

    def settle_seconds(self, device: UsbDevice) -> float:
        return settle_seconds(self._station.profiles, device_facts(device))

    def mount(self, device: UsbDevice, volume: UsbVolume | None) -> Path:
        return self._mtp.mount(device) if volume is None else self._udisks.mount(volume.devnode, volume.fstype)

    def unmount(self, device: UsbDevice) -> None:
        """Unmount every volume; the worst error is raised when all were tried: one that went away is not mounted."""
        if device.kind == "mtp":
            self._mtp.unmount(device)
            return
        errors = []
        for volume in device.volumes:
            try:
                self._udisks.unmount(volume.devnode)
            except MediadError as e:
                errors.append(e)
        if errors:
            raise min(errors, key=lambda e: isinstance(e, DeviceGone))

    def power_off(self, device: UsbDevice) -> bool:
        """Power the device off where that is configured."""
        if not self._station.config.devices.power_off or device.kind != "storage":
            return False
        self._udisks.power_off(device.volumes[0].devnode)
        return True

    def present(self, device: UsbDevice) -> bool:
        return self._watcher.present(device, _PULL_GRACE_SECONDS)

    def vault_trouble(self) -> MediadError | None:
        """Why nothing can be stored now, asked without looking at any recorder; None if it can."""
        try:
            self._station.vault.check()
            self._station.vault.check_writable()
        except MediadError as e:
            return e
        return None

    def dock(
        self,
        device: UsbDevice,
        mounts: Mapping[str, Path],
        broken: Mapping[str, str],
        progress: BoardProgress,
        identity: SourceIdentity,
        said: SlotIdentity | None,
    ) -> Result:
        def docked(identity: SourceIdentity) -> Result:
            return dock_device(
                self._station,
                device,
                mounts,
                broken,
                progress,
                identity=identity,
                said=said,
                present=lambda: self.present(device),
            )

        identity = self._live.sure(device, identity)
        result = docked(identity)
        if result.error is None and not identity.doubt and (later := self._live.sure(device, identity)).doubt:
            return docked(later)  # another one came meanwhile: what was recognised by then is read after all
        return result

    def finish_open_work(self) -> object:
        return self._station.finish_open_work()
