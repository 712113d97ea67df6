"""What is plugged in where: udev facts in, the device on each port out.  Pure: no files, no clock, no D-Bus.

A *slot* is the USB port path of the station, taken from udev's ``ID_PATH`` with everything from the interface
on cut off (``pci-0000:00:03.0-usb-0:1.2``).  It survives re-enumeration, which a bus and device number do
not.

A *stay* is one enumeration of one device on a port, with the media it had then.  A recorder that
re-enumerates, or a card that is swapped in a reader, begins a new stay; a partition that shows up late does
not.

Sources: kernel ABI of usb and block (DEVPATH, DEVTYPE, BUSNUM, DEVNUM, DISKSEQ), systemd's udev builtins
path_id, usb_id and blkid (ID_PATH, ID_USB_INTERFACES, ID_FS_*, ID_PART_ENTRY_*), libmtp's rules
(ID_MTP_DEVICE).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from mediad.model.layout import printable

Kind = Literal["storage", "mtp", "control"]

SIZE_KEY = "MEDIAD_SIZE"
"""Extra property that the edge adds to a block device: its size in bytes (udev has none for whole disks)."""

_PORT = re.compile(r"^(?P<port>.*-usb(?:v\d)?-\d+:[\d.]+)(?::\d+\.\d+.*)?$")
_USB_PARENT = re.compile(r"^(?P<dev>.*/(?P<name>\d+-[\d.]+))/(?P=name):\d+\.\d+/")
_PCI = re.compile(r"^[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$")
_ESCAPED = re.compile(rb"\\x([0-9a-fA-F]{2})")
_CONTAINERS = frozenset({"0x5", "0xf", "0x85"})
_BLANK = b" \t\r\n\0"
_GONE = frozenset({"remove", "offline"})


@dataclass(frozen=True, slots=True)
class UsbFact:
    """One thing udev said.  ``action`` is ``add``, ``change``, ``bind``, ``remove`` ... or ``scan`` for what
    was found at start.
    """

    action: str
    devpath: str
    properties: Mapping[str, str]

    @property
    def subsystem(self) -> str:
        return self.properties.get("SUBSYSTEM", "")

    @property
    def devtype(self) -> str:
        return self.properties.get("DEVTYPE", "")


@dataclass(frozen=True, slots=True)
class UsbVolume:
    """One thing that could be mounted.  ``partition`` is 0 for a whole disk, ``size`` is in bytes.

    ``fstype`` is empty where udev recognised nothing: a damaged card is shown, not hidden.  ``disk_seq`` is
    the kernel's number of this medium in this drive (0 if unknown): it grows with every media change.
    """

    devnode: str
    fstype: str
    uuid: str
    label: str
    partition: int
    size: int
    disk_seq: int = 0


@dataclass(frozen=True, slots=True)
class UsbDevice:
    """What is on a port now.  All strings come from the device: claims, never trusted."""

    port: str
    kind: Kind
    serial: str
    vendor: str
    model: str
    vid: str
    pid: str
    bus: int
    dev: int
    volumes: tuple[UsbVolume, ...] = ()
    stay: str = ""
    sysfs: str = ""


@dataclass(frozen=True, slots=True)
class SlotChange:
    """The port now holds ``device``, or nothing (None)."""

    port: str
    device: UsbDevice | None


def port_of(id_path: str) -> str:
    """The port part of a udev ID_PATH, or "" if it is not a USB path."""
    match = _PORT.match(id_path)
    return match["port"] if match else ""


def port_from_devpath(devpath: str) -> str:
    """The same port, worked out from a usb_device's DEVPATH, for the rare event that carries no ID_PATH."""
    parts = devpath.strip("/").split("/")
    for index, part in enumerate(parts):
        if index and re.fullmatch(r"usb\d+", part):
            name = parts[-1]
            if not re.fullmatch(r"\d+-[\d.]+", name):
                return ""
            controller = parts[index - 1]
            bus = "pci" if _PCI.match(controller) else "platform"
            return f"{bus}-{controller}-usb-0:{name.split('-', 1)[1]}"
    return ""


def _number(text: str, base: int = 10) -> int:
    try:
        return int(text, base)
    except ValueError:
        return 0


def _text(properties: Mapping[str, str], encoded: str, *plain: str) -> str:
    r"""The first property that is there; udev's ``*_ENC`` forms carry ``\xNN`` escapes and keep spaces and
    other scripts.  A device chooses these texts: control characters in them come out as visible escapes, so that no
    screen or log ever obeys one."""
    raw = _raw(properties.get(encoded, ""))
    data = _ESCAPED.sub(lambda m: bytes([int(m[1], 16)]), raw)
    return printable((data or next((_raw(properties[key]) for key in plain if properties.get(key)), b"")).strip(_BLANK))


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _interfaces(properties: Mapping[str, str]) -> list[str]:
    return [part for part in properties.get("ID_USB_INTERFACES", "").split(":") if part]


def _is_hub(properties: Mapping[str, str]) -> bool:
    return properties.get("TYPE", "").startswith("9/") or set(_interfaces(properties)) == {"090000"}


def _is_storage(properties: Mapping[str, str]) -> bool:
    return any(interface.startswith("08") for interface in _interfaces(properties))


@dataclass(slots=True)
class _Node:
    """One USB device that is there now, and the block devices under it."""

    properties: Mapping[str, str]
    blocks: dict[str, Mapping[str, str]] = field(default_factory=dict)
    generation: int = 0


def _volume(properties: Mapping[str, str]) -> UsbVolume:
    size = _number(properties.get(SIZE_KEY, "")) or _number(properties.get("ID_PART_ENTRY_SIZE", "")) * 512
    whole = properties.get("DEVTYPE") == "disk"
    number = properties.get("PARTN") or properties.get("ID_PART_ENTRY_NUMBER") or "0"
    return UsbVolume(
        devnode=properties.get("DEVNAME", ""),
        fstype=_text(properties, "", "ID_FS_TYPE"),
        uuid=_text(properties, "", "ID_FS_UUID"),
        label=_text(properties, "ID_FS_LABEL_ENC", "ID_FS_LABEL"),
        partition=0 if whole else _number(number),
        size=size,
        disk_seq=_number(properties.get("DISKSEQ", "")),
    )


def _volumes(blocks: Mapping[str, Mapping[str, str]]) -> tuple[UsbVolume, ...]:
    """Partitions, and whole disks that hold a file system themselves or nothing that is known.

    Left out: disks that are cut into partitions, extended partitions (containers), drives without a medium, optical
    drives without a disc.  A partition table in which no partition is found is a damaged card like any other: there may
    be footage on it, so it is shown.
    """
    partitions = {
        path
        for path, props in blocks.items()
        if props.get("DEVTYPE") == "partition" and props.get("ID_PART_ENTRY_TYPE") not in _CONTAINERS
    }
    parents = _parents(partitions)
    found = []
    for path, properties in blocks.items():
        volume = _volume(properties)
        whole = properties.get("DEVTYPE") == "disk"
        empty = whole and not volume.fstype and volume.size == 0
        if volume.devnode and not empty and (path in partitions or (whole and path not in parents)):
            found.append(volume)
    return tuple(sorted(found, key=lambda volume: (len(volume.devnode), volume.devnode)))


def _parents(partitions: Iterable[str]) -> set[str]:
    """The disks that partitions are cut from."""
    return {path.rsplit("/", 1)[0] for path in partitions}


def _kind(properties: Mapping[str, str], blocks: Mapping[str, object], volumes: Iterable[UsbVolume]) -> Kind:
    """Storage if it has a medium that is no optical disc: phones and recorders show a disc of drivers beside
    MTP.
    """
    if any(volume.fstype != "iso9660" for volume in volumes):
        return "storage"
    if properties.get("ID_MTP_DEVICE") == "1":
        return "mtp"
    return "storage" if blocks or _is_storage(properties) else "control"


def _identity(volume: UsbVolume) -> tuple[str, str, int]:
    return volume.devnode, volume.uuid, volume.disk_seq


class Ports:
    """The reducer: ``apply`` facts as they come, ``current`` says what is on each port.

    It never forgets half a device: a block event of an unknown USB device creates a place for it, and a
    ``remove`` of a USB device takes its block devices along, whatever order udev's workers deliver them in.
    """

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}
        self._ports: dict[str, str] = {}
        self._shown: dict[str, frozenset[tuple[str, str, int]]] = {}

    def apply(self, fact: UsbFact) -> str | None:
        """Take one fact in.  Returns the port (path) that it may have changed, None if it says nothing about
        a port.
        """
        if fact.subsystem == "usb" and fact.devtype == "usb_device":
            return self._apply_usb(fact)
        if fact.subsystem == "block" and fact.devtype in {"disk", "partition"}:
            return self._apply_block(fact)
        return None

    def restart(self, facts: Iterable[UsbFact]) -> set[str]:
        """Events were lost: the facts are all there is now.  Returns every port that was or is taken."""
        before = {port.split("@", 1)[0] for port in self.current()}
        old, self._nodes = self._nodes, {}
        for fact in facts:
            self.apply(fact)
        for devpath, node in self._nodes.items():
            if devpath in old and _enumeration(old[devpath].properties) == _enumeration(node.properties):
                node.generation = old[devpath].generation
            else:
                self._shown.pop(devpath, None)
        return before | {port.split("@", 1)[0] for port in self.current()}

    def _apply_usb(self, fact: UsbFact) -> str | None:
        if _is_hub(fact.properties):
            return None
        path = fact.devpath
        if fact.action in _GONE:
            node = self._nodes.pop(path, None)
            self._shown.pop(path, None)
            return self._port(path, node.properties) if node else None
        node = self._nodes.get(path)
        if node is None or (node.properties and _enumeration(node.properties) != _enumeration(fact.properties)):
            node = self._nodes[path] = _Node(fact.properties)
            self._shown.pop(path, None)
        else:
            node.properties = fact.properties
        return self._port(path, fact.properties)

    def _apply_block(self, fact: UsbFact) -> str | None:
        match = _USB_PARENT.match(fact.devpath)
        if match is None:
            return None
        path = match["dev"]
        if fact.action in _GONE:
            node = self._nodes.get(path)
            if node is None or node.blocks.pop(fact.devpath, None) is None:
                return None
        else:
            node = self._nodes.setdefault(path, _Node({}))
            node.blocks[fact.devpath] = fact.properties
        return self._port(path, node.properties)

    def _port(self, devpath: str, properties: Mapping[str, str]) -> str | None:
        """The port path of a USB device; None for what has none (a root hub)."""
        return port_of(properties.get("ID_PATH", "")) or port_from_devpath(devpath) or None

    def settle(self, port: str) -> None:
        """The port is quiet: if a volume that was there when it last was quiet is gone or another, a new stay
        has begun.
        """
        for path, node in self._nodes.items():
            if node.properties and self._port(path, node.properties) == port:
                seen = frozenset(map(_identity, _volumes(node.blocks)))
                if not self._shown.get(path, frozenset()) <= seen:
                    node.generation += 1
                self._shown[path] = seen

    def awaits_partitions(self, port: str) -> bool:
        """Whether a disk on the port has a partition table, but none of its partitions has been told yet: udev tells the disk
        first, and a slow card takes its time over the rest.
        """
        for path, node in self._nodes.items():
            if node.properties and self._port(path, node.properties) == port:
                cut = _parents(p for p, props in node.blocks.items() if props.get("DEVTYPE") == "partition")
                disks = {p for p, props in node.blocks.items() if props.get("DEVTYPE") == "disk"}
                if any(node.blocks[disk].get("ID_PART_TABLE_TYPE") for disk in disks - cut):
                    return True
        return False

    def current(self) -> dict[str, UsbDevice]:
        """Every taken port and what is on it.

        The USB 2 and the USB 3 half of a controller number their ports separately, so two devices can claim
        one port path.  They are never mixed: while both are there, the later one is shown as
        ``<port>@usb<bus>``.
        """
        for gone in [path for path in self._ports if path not in self._nodes]:
            del self._ports[gone]
        devices: dict[str, UsbDevice] = {}
        # those that already have a name keep it; only a path that left and came back may be renamed
        for path, node in sorted(self._nodes.items(), key=lambda item: (item[0] not in self._ports, item[0])):
            if not node.properties:
                continue
            port = self._ports.get(path) or self._port(path, node.properties)
            if port is None:
                continue
            if port in devices:
                port = f"{port}@usb{_number(node.properties.get('BUSNUM', ''))}"
            self._ports[path] = port
            devices[port] = self._device(path, port, node)
        return devices

    def _device(self, path: str, port: str, node: _Node) -> UsbDevice:
        properties, volumes = node.properties, _volumes(node.blocks)
        bus, dev, since = _enumeration(properties)
        return UsbDevice(
            port=port,
            kind=_kind(properties, node.blocks, volumes),
            serial=_text(properties, "", "ID_SERIAL_SHORT"),
            vendor=_text(properties, "ID_VENDOR_ENC", "ID_VENDOR", "ID_VENDOR_FROM_DATABASE"),
            model=_text(properties, "ID_MODEL_ENC", "ID_MODEL", "ID_MODEL_FROM_DATABASE"),
            vid=properties.get("ID_VENDOR_ID", "").lower(),
            pid=properties.get("ID_MODEL_ID", "").lower(),
            bus=_number(bus),
            dev=_number(dev),
            volumes=volumes,
            stay=f"{_number(bus)}-{_number(dev)}-{since or '0'}.{node.generation}",
            sysfs=path,
        )


def _enumeration(properties: Mapping[str, str]) -> tuple[str, str, str]:
    """What differs between two enumerations on one port: numbers, and when udev first handled the device (µs
    since boot).
    """
    return properties.get("BUSNUM", ""), properties.get("DEVNUM", ""), properties.get("USEC_INITIALIZED", "")


def changes(before: Mapping[str, UsbDevice], now: Mapping[str, UsbDevice]) -> list[SlotChange]:
    """What to tell: ports that were left first, then what is new or different.  A port whose device was
    replaced within one settling time is told once, with the new stay.
    """
    left = [SlotChange(port, None) for port in sorted(before) if port not in now]
    return left + [SlotChange(port, now[port]) for port in sorted(now) if before.get(port) != now[port]]


def with_serial(device: UsbDevice, serial: str) -> UsbDevice:
    """The same device with the serial that was read from itself (MTP) instead of from its USB descriptor."""
    return replace(device, serial=printable(_raw(serial))) if serial else device
