"""MTP recorders, as a read-only FUSE file system made by jmtpfs in a unit of its own.

The daemon may gain no rights (NoNewPrivileges), so it cannot use the set-uid fusermount; it asks systemd for
``mediad-mtp@<bus>-<dev>.service`` instead, which polkit allows to this user only.  The unit mounts at
``/run/mediad/mtp/<bus>-<dev>`` in the host's mount namespace, from where the mount reaches the daemon, and it
stops when the device goes.  systemd reports the start job as done only when the mount is there (jmtpfs forks
after mounting).
"""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path

from jeepney import DBusAddress, MatchRule, Message, message_bus
from jeepney.io.blocking import DBusConnection

from mediad.edges import mountinfo
from mediad.edges.dbus import DBusFailure, call, get_property, system_bus
from mediad.edges.ptp import read_device_info
from mediad.errors import DeviceError, DeviceGone, Refused
from mediad.model.slots import UsbDevice

MOUNTS = Path("/run/mediad/mtp")
_BUS = "org.freedesktop.systemd1"
_MANAGER = DBusAddress("/org/freedesktop/systemd1", bus_name=_BUS, interface=f"{_BUS}.Manager")


class Mtp:
    """Mounts and unmounts MTP recorders.  Keeps nothing open; safe to use from several threads."""

    def __init__(
        self,
        *,
        address: str | None = None,
        mounts: Path = MOUNTS,
        timeout: float = 90.0,
        table: Path = mountinfo.MOUNTINFO,
        devices: Path = Path("/dev/bus/usb"),
        gone_timeout: float = 15.0,
    ) -> None:
        """``timeout``: seconds from asking to the mount; MTP recorders with many files take long to open.
        ``gone_timeout``: how long the mount may outlive its unit, which systemd kills if it hangs.
        """
        self._address = address
        self._mounts = mounts
        self._timeout = timeout
        self._table = table
        self._devices = devices
        self._gone = gone_timeout

    def point(self, device: UsbDevice) -> Path:
        """Where the recorder is mounted, or would be."""
        return self._mounts / f"{device.bus}-{device.dev}"

    def serial(self, device: UsbDevice) -> str:
        """The serial that the recorder itself gives in MTP, else that of its USB descriptor.  To be asked
        before ``mount``: MTP has one user at a time.
        """
        try:
            info = read_device_info(self._devices / f"{device.bus:03d}" / f"{device.dev:03d}")
        except DeviceError:
            return device.serial
        return info.serial or device.serial

    def mount(self, device: UsbDevice) -> Path:
        """Mount read-only and return where.  Raises DeviceError, DeviceGone, Refused."""
        point = self.point(device)
        if not self._is_mounted(point):
            result = self._job("StartUnit", device)
            if result != "done":
                if not (self._devices / f"{device.bus:03d}" / f"{device.dev:03d}").exists():
                    raise DeviceGone(f"the MTP recorder on {device.port} went away while it was opened")
                raise DeviceError(
                    f"cannot open the MTP recorder on {device.port} (unit {_unit(device)}: {result})",
                    hint=f"journalctl -u {_unit(device)}",
                )
            if not mountinfo.wait_for(lambda table: _on(point, table) is not None, 10.0, path=self._table):
                raise DeviceError(
                    f"{_unit(device)} runs, but nothing is mounted at {point}",
                    hint="the service must receive mounts from the host (MountFlags= must not be private)",
                )
        mount = _on(point, mountinfo.mounts(self._table))
        if mount is None or not mount.read_only:
            self._job("StopUnit", device)
            raise DeviceError(f"the MTP recorder on {device.port} was not mounted read-only")
        return point

    def unmount(self, device: UsbDevice) -> None:
        """Stop the unit and wait until the mount is gone.  Not mounted is success."""
        point = self.point(device)
        result = self._job("StopUnit", device)
        if not mountinfo.wait_for(lambda table: _on(point, table) is None, self._gone, path=self._table):
            raise DeviceError(f"{point} is still mounted (unit {_unit(device)}: {result})")

    def _is_mounted(self, point: Path) -> bool:
        return _on(point, mountinfo.mounts(self._table)) is not None

    def _job(self, method: str, device: UsbDevice) -> str:
        """Ask systemd for a job on the unit and wait for its result: ``done``, ``failed``, ``timeout``,
        ``dependency`` ...

        Stopping a unit that is not loaded is ``done``.
        """
        unit = _unit(device)
        removed: deque[Message] = deque(maxlen=256)
        rule = MatchRule(type="signal", interface=f"{_BUS}.Manager", member="JobRemoved", path=_MANAGER.object_path)
        with system_bus(self._address) as bus:
            try:
                bus.send_and_get_reply(message_bus.AddMatch(rule), timeout=10.0)
                with bus.filter(rule, queue=removed):
                    call(bus, _MANAGER, "Subscribe", timeout=10.0)
                    (job,) = call(bus, _MANAGER, method, "ss", (unit, "replace"), timeout=10.0)
                    return self._result(bus, removed, job)
            except DBusFailure as failure:
                if method == "StopUnit" and failure.name.endswith(".NoSuchUnit"):
                    return "done"
                if failure.name.endswith((".AccessDenied", ".InteractiveAuthorizationRequired")):
                    raise Refused(
                        f"not allowed to start {unit}",
                        hint="is 50-mediad.rules installed, and is this the user mediad?",
                    ) from failure
                raise DeviceError(f"systemd refused {method} of {unit}: {failure.text}") from failure
            except OSError as error:  # also that the bus did not answer in time
                raise DeviceError(f"lost the system D-Bus in {method} of {unit}") from error

    def _result(self, bus: DBusConnection, removed: deque[Message], job: str) -> str:
        end = time.monotonic() + self._timeout
        while True:
            try:
                message = bus.recv_until_filtered(removed, timeout=max(0.0, end - time.monotonic()))
            except TimeoutError:
                return "timeout"
            _, path, _, result = message.body
            if path == job:
                return str(result)

    def available(self) -> str:
        """systemd's version, to see that it can be asked.  Raises DeviceError."""
        with system_bus(self._address) as bus:
            try:
                return str(get_property(bus, _MANAGER, "Version", timeout=10.0)[1])
            except DBusFailure as failure:
                raise DeviceError(f"systemd does not answer on the system bus: {failure.text}") from failure


def _unit(device: UsbDevice) -> str:
    return f"mediad-mtp@{device.bus}-{device.dev}.service"


def _on(point: Path, table: list[mountinfo.Mount]) -> mountinfo.Mount | None:
    """The topmost mount at this very path."""
    found = [mount for mount in table if mount.point == point]
    return found[-1] if found else None
