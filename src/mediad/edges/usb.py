"""USB events from udev: what was plugged in or pulled out, told once the port has been quiet for a while.

The watcher blocks in poll(2) on the udev socket and costs nothing while nothing happens; it has a timeout
only while a port is settling.  Partitions come one by one and recorders re-enumerate; both end as one
``SlotChange`` with what is true then. Needs no rights: udevd's netlink group is open to every user.
Everything that decides is in ``mediad.model.slots``.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import pyudev

from mediad.errors import DeviceError
from mediad.model.slots import SIZE_KEY, Ports, SlotChange, UsbDevice, UsbFact, changes

RECEIVE_BUFFER = 8 * 1024 * 1024
"""Bytes of socket buffer: a hub with eight card readers makes some hundred events of 1-2 kB at once."""

PARTITIONS_SECONDS = 15.0
"""How long the partitions of a disk that has a partition table are waited for; a slow card behind a busy hub takes seconds. A card
that shows none by then is a damaged one."""

_SYSFS = Path("/sys")


class FactSource(Protocol):
    """Where facts come from; the real one is udev."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def fileno(self) -> int: ...

    def scan(self) -> list[UsbFact]:
        """All that is there now."""

    def read(self) -> list[UsbFact] | None:
        """What has come in since, without blocking; None if events were lost."""


class Udev:
    """The real source: udevd's netlink group and its database."""

    def __init__(self, sysfs: Path = _SYSFS) -> None:
        self._sysfs = sysfs
        self._context: pyudev.Context | None = None
        self._monitor: pyudev.Monitor | None = None

    def start(self) -> None:
        try:
            self._context = pyudev.Context()
            self._monitor = pyudev.Monitor.from_netlink(self._context)
            self._monitor.filter_by("usb", "usb_device")
            self._monitor.filter_by("block")
            self._monitor.start()
        except (OSError, ImportError) as error:
            raise DeviceError(
                f"cannot listen to udev: {error}", hint="is systemd-udevd running, and AF_NETLINK allowed?"
            ) from error
        # beyond net.core.rmem_max without CAP_NET_ADMIN: an overrun is noticed and answered with a scan
        with contextlib.suppress(OSError):
            self._monitor.set_receive_buffer_size(RECEIVE_BUFFER)

    def stop(self) -> None:
        self._monitor = None
        self._context = None

    def fileno(self) -> int:
        assert self._monitor is not None  # noqa: S101  start() comes first
        return int(self._monitor.fileno())

    def scan(self) -> list[UsbFact]:
        assert self._context is not None  # noqa: S101
        found: list[Any] = []
        for match in ({"subsystem": "usb", "DEVTYPE": "usb_device"}, {"subsystem": "block"}):
            found += self._context.list_devices(**match)
        # what udevd has not finished with will come as an event
        return [self._fact(device, "scan") for device in found if device.is_initialized]

    def read(self) -> list[UsbFact] | None:
        assert self._monitor is not None  # noqa: S101
        facts: list[UsbFact] = []
        try:
            while (device := self._monitor.poll(timeout=0)) is not None:
                facts.append(self._fact(device, str(device.action)))
        except OSError:  # ENOBUFS: the kernel dropped some
            return None
        return facts

    def _fact(self, device: Any, action: str) -> UsbFact:
        properties = {str(key): str(value) for key, value in device.properties.items()}
        if properties.get("SUBSYSTEM") == "block" and action != "remove":
            node = self._sysfs / device.device_path.lstrip("/")
            sectors = _read_int(node / "size")
            if sectors is not None:
                properties[SIZE_KEY] = str(sectors * 512)
            sequence = _disk_seq(node)
            if sequence is not None:
                properties["DISKSEQ"] = str(sequence)
        return UsbFact(action, device.device_path, properties)


class UsbWatcher:
    """Tells which recorder is on which port.

    ``wait`` is called by one thread; ``wake`` and ``present`` by any.
    """

    def __init__(
        self,
        settle_seconds: float,
        *,
        source: FactSource | None = None,
        sysfs: Path = _SYSFS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settle = settle_seconds
        self._source: FactSource = source or Udev(sysfs)
        self._sysfs = sysfs
        self._clock = clock
        self._ports = Ports()
        self._told: dict[str, UsbDevice] = {}
        self._restless: dict[str, float] = {}
        self._wake = -1
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to listen, then look at what is plugged in already: nothing falls between.  Raises
        DeviceError.
        """
        self._source.start()
        with self._lock:
            self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._feed(self._source.scan())

    def stop(self) -> None:
        """Stop listening.  A thread in ``wait`` must have returned before: ``wake``, join it, then stop."""
        with self._lock:
            if self._wake >= 0:
                os.close(self._wake)
                self._wake = -1
        self._source.stop()

    def wake(self) -> None:
        """Make the running (or next) ``wait`` return at once."""
        with self._lock:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def wait(self, timeout: float | None) -> list[SlotChange]:
        """Block until ports have settled, ``wake`` is called, or ``timeout`` seconds are over (None: for
        ever).

        Returns what changed, possibly nothing.
        """
        with self._lock:
            wake = self._wake
        if wake < 0:
            return []
        poller = select.poll()
        poller.register(wake, select.POLLIN)
        poller.register(self._source.fileno(), select.POLLIN)
        end = None if timeout is None else self._clock() + timeout
        while True:
            told = self._settled()
            now = self._clock()
            if told or (end is not None and now >= end):
                return told
            limits = [at + self._quiet(port) - now for port, at in self._restless.items()]
            if end is not None:
                limits.append(end - now)
            ready = dict(poller.poll(max(0.0, min(limits)) * 1000 + 1 if limits else None))
            if ready.get(wake):
                _drain(wake)
                return self._settled()
            if ready:
                self._take()

    def present(self, device: UsbDevice, grace_seconds: float = 0.0) -> bool:
        """Is this very stay still there?  Asked of sysfs; without grace it costs some ten microseconds.

        The kernel needs a moment to notice a pull: reads may fail (and FAT directories look empty) before the
        device leaves sysfs. With ``grace_seconds`` the answer yes is only given if it is still true after
        that time.
        """
        end = time.monotonic() + grace_seconds
        while self._present_now(device):
            left = end - time.monotonic()
            if left <= 0:
                return True
            time.sleep(min(0.05, left))
        return False

    def _present_now(self, device: UsbDevice) -> bool:
        node = self._sysfs / device.sysfs.lstrip("/")
        # bConfigurationValue takes the device's lock, so while the kernel is tearing the device down this
        # waits, and is empty after
        if not device.sysfs or not _read(node / "bConfigurationValue"):
            return False
        if (_read_int(node / "busnum"), _read_int(node / "devnum")) != (device.bus, device.dev):
            return False
        for volume in device.volumes:
            block = (self._sysfs / "class/block" / volume.devnode.rsplit("/", 1)[-1]).resolve()
            if not str(block).startswith(f"{node.resolve()}/") or not _read_int(block / "size"):
                return False
            if volume.disk_seq and _disk_seq(block) not in (None, volume.disk_seq):
                return False
        return True

    def _take(self) -> None:
        facts = self._source.read()
        if facts is None:
            now = self._clock()
            for port in self._ports.restart(self._source.scan()):
                self._restless[port] = now
            return
        self._feed(facts)

    def _feed(self, facts: Iterable[UsbFact]) -> None:
        for fact in facts:
            port = self._ports.apply(fact)
            if port is not None:
                self._restless[port] = self._clock()

    def _quiet(self, port: str) -> float:
        """For how many seconds nothing must have happened on a port before it is told."""
        return max(self._settle, PARTITIONS_SECONDS) if self._ports.awaits_partitions(port) else self._settle

    def _settled(self) -> list[SlotChange]:
        """Changes of ports that have been quiet long enough; the others wait."""
        now = self._clock()
        due = {port for port, at in self._restless.items() if now - at >= self._quiet(port)}
        if not due:
            return []
        for port in due:
            del self._restless[port]
            self._ports.settle(port)
        # a port shown as "<port>@usb<n>" settles with the port whose path it shares
        current = self._ports.current()
        told = [change for change in changes(self._told, current) if change.port.split("@", 1)[0] not in self._restless]
        for change in told:
            if change.device is None:
                self._told.pop(change.port, None)
            else:
                self._told[change.port] = change.device
        return told


def _drain(descriptor: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.eventfd_read(descriptor)


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return ""


def _read_int(path: Path) -> int | None:
    text = _read(path)
    return int(text) if text.isdecimal() else None


def _disk_seq(block: Path) -> int | None:
    """The kernel's medium number; a partition has its disk's."""
    number = _read_int(block / "diskseq")
    return number if number is not None else _read_int(block.parent / "diskseq")
