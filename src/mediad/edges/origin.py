"""Who a path belongs to: the recorder of a mounted card, or just a folder of this machine."""

import os
from dataclasses import dataclass
from pathlib import Path

from mediad.edges import mountinfo
from mediad.model.layout import printable

_NETWORK_OR_NONE = {"nfs", "nfs4", "cifs", "smb3", "tmpfs", "overlay", "proc", "sysfs", "ramfs"}


@dataclass(frozen=True, slots=True)
class Origin:
    """What a path says of itself. ``serial`` and ``uuid`` are empty unless it is the root of a mounted device's file system.

    ``wall_clock`` is true where file times are wall clock read as if it were UTC (FAT mounted with tz=UTC).
    """

    path: Path
    serial: str = ""
    uuid: str = ""
    label: str = ""
    vendor: str = ""
    model: str = ""
    wall_clock: bool = False


def wall_clock(path: Path, table: list[mountinfo.Mount] | None = None) -> bool:
    """Whether the file system at a mount point stores wall clock time and hands it out unchanged."""
    mounted = _mount_at(path, mountinfo.mounts() if table is None else table)
    return mounted is not None and _keeps_wall_clock(mounted)


def _keeps_wall_clock(mounted: mountinfo.Mount) -> bool:
    if mounted.fstype in ("vfat", "msdos"):
        return bool({"tz=UTC", "time_offset=0"} & mounted.super_options)
    return mounted.fstype == "exfat" and "time_offset=0" in mounted.super_options


def _mount_at(path: Path, table: list[mountinfo.Mount]) -> mountinfo.Mount | None:
    found = [m for m in table if m.point == path and m.root == "/"]
    return found[-1] if found else None  # the last one mounted covers the others


def origin(path: Path) -> Origin:
    """Look up a path. Only the root of a block device's own file system has an identity: a folder within one has none."""
    real = path.resolve()
    mounted = _mount_at(real, mountinfo.mounts())
    if mounted is None or mounted.fstype in _NETWORK_OR_NONE or real == Path("/"):
        return Origin(real)
    import pyudev  # only where a device is asked about: a folder's docking starts faster without

    try:
        device = pyudev.Devices.from_device_number(pyudev.Context(), "block", os.stat(real).st_dev)
    except (OSError, LookupError, pyudev.DeviceNotFoundError):
        return Origin(real, wall_clock=_keeps_wall_clock(mounted))
    said = {key: printable(os.fsencode(value)) for key, value in device.properties.items()}
    return Origin(
        real,
        serial=said.get("ID_SERIAL_SHORT", "") if said.get("ID_BUS") == "usb" else "",
        uuid=said.get("ID_FS_UUID", ""),
        label=said.get("ID_FS_LABEL", ""),
        vendor=said.get("ID_VENDOR", ""),
        model=said.get("ID_MODEL", ""),
        wall_clock=_keeps_wall_clock(mounted),
    )
