"""Mounting recorders through udisks2, read-only and proven to be.

The daemon is not root: udisks2 mounts, polkit (``systemd/50-mediad.rules``) lets exactly this user do so with
removable USB media.  Checked against udisks2 2.9.4, Debian 12:

* ``ro nosuid nodev noexec noload`` are in its built-in list of allowed options for every file system.
* ``norecovery`` (xfs, f2fs, btrfs) and vfat's ``tz=UTC`` are not; ``systemd/65-mediad.rules`` allows them for
  USB media with ``UDISKS_MOUNT_OPTIONS_<FS>_ALLOW``.  Without that file such a card is refused, not mounted
  with other times.
* The kernel shows ext4's ``noload`` as ``norecovery``; ext2 (no journal) refuses it.

A mount counts only if /proc/self/mountinfo shows it in this process's own mount namespace, read-only in the
mount and in the file system behind it, and with the journal left alone.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from jeepney import DBusAddress

from mediad.edges import mountinfo
from mediad.edges.dbus import DBusFailure, call, get_property, system_bus
from mediad.errors import Busy, DeviceError, DeviceGone, Refused

ALWAYS = ("ro", "nosuid", "nodev", "noexec")
NO_REPLAY = {
    "ext3": "noload", "ext4": "noload", "xfs": "norecovery", "btrfs": "norecovery", "f2fs": "norecovery",
}  # fmt: skip
"""What keeps a journal from being replayed; file systems that are not named have none, or do not replay it
read-only.
"""
SHOWN = frozenset({"noload", "norecovery", "rescue=nologreplay", "nologreplay"})
"""How the kernel shows that in mountinfo."""
EXTRA = {"vfat": "tz=UTC"}
"""FAT keeps wall clock time without a zone: read as UTC, a file's time is the recorder's wall clock, whatever
the station's zone.
"""

_BUS = "org.freedesktop.UDisks2"
_ROOT = "/org/freedesktop/UDisks2"
_NO_QUESTIONS = ("auth.no_user_interaction", ("b", True))
_NOT_YET = frozenset(
    {
        "org.freedesktop.DBus.Error.UnknownObject",
        "org.freedesktop.DBus.Error.UnknownMethod",
        "org.freedesktop.DBus.Error.UnknownInterface",
        "org.freedesktop.UDisks2.Error.NoSuchDevice",
    }
)
_DENIED = "org.freedesktop.UDisks2.Error.NotAuthorized"
_ALREADY = "org.freedesktop.UDisks2.Error.AlreadyMounted"
_NOT_MOUNTED = "org.freedesktop.UDisks2.Error.NotMounted"
_BUSY = "org.freedesktop.UDisks2.Error.DeviceBusy"
_OPTION = "org.freedesktop.UDisks2.Error.OptionNotPermitted"


class Udisks:
    """Mounts, unmounts and powers off block devices of recorders.  Keeps nothing open; safe to use from
    several threads.
    """

    def __init__(
        self,
        *,
        address: str | None = None,
        timeout: float = 60.0,
        appear_timeout: float = 10.0,
        table: Path = mountinfo.MOUNTINFO,
        exists: Callable[[str], bool] = os.path.exists,
    ) -> None:
        """``address``: another bus than the system's.  ``timeout``: seconds for one call; mounting a large
        card takes a few. ``appear_timeout``: seconds that udisks2 gets to notice a device that udev has just
        told us about.
        """
        self._address = address
        self._timeout = timeout
        self._appear = appear_timeout
        self._table = table
        self._exists = exists

    def mounted(self, devnode: str) -> Path | None:
        """Where the device is mounted, however that came about; None if it is not."""
        found = self._find(devnode)
        return found[0].point if found else None

    def mount(self, devnode: str, fstype: str) -> Path:
        """Mount read-only and return where.  ``fstype`` as udev names it.

        A read-only mount by somebody else is used.  Raises Refused if it is mounted writable, or mounting is
        not allowed; DeviceGone; DeviceError for what cannot be mounted.
        """
        if not fstype:
            raise DeviceError(
                f"no file system recognised on {devnode}",
                hint="the card may be damaged; keep it for recovery",
            )
        if self._find(devnode):
            return self._proven(devnode, fstype, ours=False)
        options = [*ALWAYS, *(table[fstype] for table in (NO_REPLAY, EXTRA) if fstype in table)]
        arguments = (dict([("options", ("s", ",".join(options))), _NO_QUESTIONS]),)
        filesystem = _block(devnode, "Filesystem")
        with system_bus(self._address) as bus:
            try:
                self._when_known(
                    devnode, lambda: call(bus, filesystem, "Mount", "a{sv}", arguments, timeout=self._timeout)
                )
            except DBusFailure as failure:
                if failure.name != _ALREADY:
                    raise self._error("mount", devnode, failure) from failure
                return self._proven(devnode, fstype, ours=False)
        try:
            return self._proven(devnode, fstype, ours=True)
        except (DeviceError, Refused):
            self._undo(devnode)
            raise

    def unmount(self, devnode: str, *, wait_seconds: float = 10.0) -> None:
        """Unmount every mount of the device; nothing mounted is success.

        If the device is gone its mount is dead weight: udisks2 detaches it by itself, this asks for it
        (forced) and waits. Raises Busy if something still uses it while the device is there, DeviceError if
        it will not go.
        """
        for _ in range(8):  # the same device may be mounted more than once
            if not self._find(devnode):
                return
            gone = not self._exists(devnode)
            with system_bus(self._address) as bus:
                try:
                    arguments = (dict([("force", ("b", gone)), _NO_QUESTIONS]),)
                    filesystem = _block(devnode, "Filesystem")
                    call(bus, filesystem, "Unmount", "a{sv}", arguments, timeout=self._timeout)
                except DBusFailure as failure:
                    if failure.name == _NOT_MOUNTED or (gone or not self._exists(devnode)):
                        break
                    raise self._error("unmount", devnode, failure) from failure
        if not mountinfo.wait_for(lambda table: not self._find(devnode, table), wait_seconds, path=self._table):
            raise DeviceError(f"{devnode} is still mounted at {self.mounted(devnode)}")

    def power_off(self, devnode: str) -> None:
        """Unmounted drives only: flush, stop and cut the power of the whole USB device.  Its slot then looks
        empty.

        Not for recorders that should charge at the dock.  A drive that is gone already is success.
        """
        with system_bus(self._address) as bus:
            try:
                _, drive = get_property(bus, _block(devnode, "Block"), "Drive", timeout=self._timeout)
                if drive in ("", "/"):
                    raise DeviceError(f"udisks2 knows no drive of {devnode}")
                address = DBusAddress(str(drive), bus_name=_BUS, interface=f"{_BUS}.Drive")
                call(bus, address, "PowerOff", "a{sv}", (dict([_NO_QUESTIONS]),), timeout=self._timeout)
            except DBusFailure as failure:
                if failure.name in _NOT_YET and not self._exists(devnode):
                    return
                raise self._error("power off", devnode, failure) from failure

    def available(self) -> str:
        """udisks2's version; starts it if need be.  Raises DeviceError."""
        with system_bus(self._address) as bus:
            try:
                manager = DBusAddress(f"{_ROOT}/Manager", bus_name=_BUS, interface=f"{_BUS}.Manager")
                return str(get_property(bus, manager, "Version", timeout=self._timeout)[1])
            except DBusFailure as failure:
                raise DeviceError(
                    f"udisks2 does not answer: {failure.text}", hint="is the package udisks2 installed?"
                ) from failure

    def _find(self, devnode: str, table: list[mountinfo.Mount] | None = None) -> list[mountinfo.Mount]:
        """By number while the node exists (a stale mount of an earlier sda1 is not this sda1's), else by
        name.
        """
        table = mountinfo.mounts(self._table) if table is None else table
        try:
            status = os.stat(devnode)
        except OSError:
            return [mount for mount in table if mount.source == devnode]
        number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}" if stat.S_ISBLK(status.st_mode) else ""
        # btrfs mounts carry an invented number, so the name must do there
        return [m for m in table if m.device == number or (m.source == devnode and m.device.startswith("0:"))]

    def _proven(self, devnode: str, fstype: str, *, ours: bool) -> Path:
        """Steps: 1 it is in our mount table; 2 read-only, mount and file system; 3 no journal replay; 4 no
        set-uid, devices, programs (of a mount that we asked for).
        """
        if ours:
            mountinfo.wait_for(lambda table: bool(self._find(devnode, table)), 5.0, path=self._table)
        found = self._find(devnode)
        if not found:
            raise DeviceError(
                f"{devnode} is mounted, but not in this process's mount namespace",
                hint="the service must receive mounts from the host (MountFlags= must not be private)",
            )
        mount = found[0]
        if not all(each.read_only for each in found):
            raise Refused(
                f"{devnode} is mounted writable at {mount.point}; it is left alone",
                hint="unmount it, and turn off whatever mounts recorders by itself on this station",
            )
        if fstype in NO_REPLAY and not mount.super_options & SHOWN:
            raise Refused(
                f"{devnode} is mounted at {mount.point} without {NO_REPLAY[fstype]}; its journal may have been replayed"
            )
        if ours and not set(ALWAYS) <= mount.options:
            missing = ", ".join(sorted(set(ALWAYS) - mount.options))
            raise DeviceError(f"udisks2 mounted {devnode} without {missing}")
        return mount.point

    def _undo(self, devnode: str) -> None:
        with contextlib.suppress(DeviceError, Busy, Refused):  # the first error is the one to tell
            self.unmount(devnode)

    def _when_known(self, devnode: str, attempt: Callable[[], object]) -> None:
        """udisks2 hears of a device from the same udev events as we do and may be behind: try again for a
        bounded time.
        """
        end = time.monotonic() + self._appear
        pause = 0.05
        while True:
            try:
                attempt()
            except DBusFailure as failure:
                if failure.name not in _NOT_YET or time.monotonic() >= end or not self._exists(devnode):
                    raise
            else:
                return
            time.sleep(pause)
            pause = min(pause * 2, 1.0)

    def _error(self, verb: str, devnode: str, failure: DBusFailure) -> DeviceError | Refused | Busy:
        if not self._exists(devnode):
            return DeviceGone(f"{devnode} went away during {verb}")
        if failure.name.startswith(_DENIED):
            return Refused(
                f"not allowed to {verb} {devnode}",
                hint="is 50-mediad.rules installed, and is this the user mediad?",
            )
        if failure.name == _OPTION:
            return Refused(f"udisks2 refused an option: {failure.text}", hint="is 65-mediad.rules installed?")
        if failure.name == _BUSY:
            return Busy(f"cannot {verb} {devnode}: {failure.text}")
        return DeviceError(f"cannot {verb} {devnode}: {failure.text}")


def _block(devnode: str, interface: str) -> DBusAddress:
    """udisks2's object of a block device: its name, with all but letters and digits as ``_<hex>``."""
    name = "".join(
        char if char.isascii() and char.isalnum() else "".join(f"_{byte:02x}" for byte in os.fsencode(char))
        for char in devnode.rsplit("/", 1)[-1]
    )
    return DBusAddress(f"{_ROOT}/block_devices/{name}", bus_name=_BUS, interface=f"{_BUS}.{interface}")
