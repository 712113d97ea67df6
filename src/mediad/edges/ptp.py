"""One question to an MTP device: its DeviceInfo, for the real serial number.

A USB descriptor's serial may be made up by the port or the vendor; DeviceInfo is what the recorder says of
itself.  GetDeviceInfo is the one operation that PTP allows outside a session, so nothing has to be opened or
closed on the device.

Sources: PIMA 15740 (PTP) 10.4.1 and 5.5.1, USB Still Image Capture Device Definition 1.0 (containers on bulk
pipes), the kernel's usbdevfs ioctls (linux/usbdevice_fs.h, 64-bit layout).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from mediad.errors import DeviceError, DeviceGone

GET_DEVICE_INFO = 0x1001
_COMMAND, _DATA, _RESPONSE = 1, 2, 3
_OK = 0x2001
_LIMIT = 1 << 20
_TIMEOUT_MS = 3000
_ALL_SECONDS = 10.0
"""For the whole answer: a device that sends it byte by byte must not hold its slot up."""

_CLAIM = 0x8004550F
_RELEASE = 0x80045510
_BULK = 0xC0185502


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """Claims of the device, in its own words."""

    manufacturer: str
    model: str
    version: str
    serial: str


@dataclass(frozen=True, slots=True)
class Pipes:
    """Interface number and bulk endpoint addresses."""

    interface: int
    out: int
    into: int


def find_pipes(descriptors: bytes) -> Pipes | None:
    """The first interface with a bulk pipe in, a bulk pipe out and an interrupt pipe: still image class
    first, then vendor's own.
    """
    candidates: list[tuple[int, Pipes]] = []
    number, klass, out, into, events = -1, -1, -1, -1, False
    at = 0

    def done() -> None:
        if number >= 0 and out >= 0 and into >= 0 and events and klass in (0x06, 0xFF):
            candidates.append((0 if klass == 0x06 else 1, Pipes(number, out, into)))

    while at + 2 <= len(descriptors) and descriptors[at] >= 2:
        size, kind = descriptors[at], descriptors[at + 1]
        part = descriptors[at : at + size]
        if kind == 4 and size >= 9:
            done()
            number, klass, out, into, events = part[2], part[5], -1, -1, False
        elif kind == 5 and size >= 7:
            address, attributes = part[2], part[3] & 3
            if attributes == 2 and address & 0x80:
                into = address
            elif attributes == 2:
                out = address
            elif attributes == 3:
                events = True
        at += size
    done()
    return min(candidates, key=lambda each: each[0])[1] if candidates else None


class _Reader:
    """Little-endian fields of a PTP dataset; raises DeviceError where it ends early."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        part = self._data[self._at : self._at + count]
        if len(part) != count:
            raise DeviceError("the MTP device sent a short DeviceInfo")
        self._at += count
        return part

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def string(self) -> str:
        count = self.number(1)
        return self.take(2 * count).decode("utf-16-le", "replace").split("\0", 1)[0].strip()

    def codes(self) -> None:
        self.take(2 * self.number(4))


def parse_device_info(data: bytes) -> DeviceInfo:
    """A DeviceInfo dataset.  Raises DeviceError if it is malformed."""
    reader = _Reader(data)
    reader.take(2 + 4 + 2)  # standard version, vendor extension id and version
    reader.string()  # vendor extensions
    reader.take(2)  # functional mode
    for _ in range(5):  # operations, events, properties, capture formats, image formats
        reader.codes()
    return DeviceInfo(reader.string(), reader.string(), reader.string(), reader.string())


def _bulk(descriptor: int, endpoint: int, buffer: ctypes.Array[ctypes.c_char], length: int) -> int:
    request = bytearray(struct.pack("=IIIxxxxQ", endpoint, length, _TIMEOUT_MS, ctypes.addressof(buffer)))
    return int(fcntl.ioctl(descriptor, _BULK, request, True))


def _exchange(descriptor: int, pipes: Pipes) -> bytes:
    """Command, data phase, response; returns the dataset."""
    command = struct.pack("<IHHI", 12, _COMMAND, GET_DEVICE_INFO, 0)
    out = ctypes.create_string_buffer(command, len(command))
    _bulk(descriptor, pipes.out, out, len(command))
    buffer = ctypes.create_string_buffer(16384)
    data, want = b"", 12
    dataset = b""
    end = time.monotonic() + _ALL_SECONDS
    while time.monotonic() < end:
        got = _bulk(descriptor, pipes.into, buffer, len(buffer))
        data += buffer.raw[:got]
        while len(data) >= 12:
            want, kind, code, _ = struct.unpack("<IHHI", data[:12])
            if not 12 <= want <= _LIMIT:
                raise DeviceError("the MTP device sent a malformed container")
            if len(data) < want:
                break
            body, data = data[12:want], data[want:]
            if kind == _RESPONSE:
                if code != _OK:
                    raise DeviceError(f"the MTP device answered {code:#06x} to GetDeviceInfo")
                return dataset
            if kind == _DATA:
                dataset = body
    raise DeviceError("the MTP device did not end its answer in time")


def read_device_info(node: Path) -> DeviceInfo:
    """Ask the device behind ``/dev/bus/usb/BBB/DDD``.  Needs the right to open it (65-mediad.rules), and
    that nobody else uses it.

    Raises DeviceGone or DeviceError, after some seconds at most.
    """
    try:
        descriptor = os.open(node, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        gone = error.errno in (errno.ENOENT, errno.ENODEV)
        raise (DeviceGone if gone else DeviceError)(f"cannot open {node}: {error.strerror}") from error
    try:
        pipes = find_pipes(os.read(descriptor, 1 << 16))
        if pipes is None:
            raise DeviceError(f"{node} has no MTP interface")
        interface = bytearray(struct.pack("=I", pipes.interface))
        fcntl.ioctl(descriptor, _CLAIM, interface, True)
        try:
            return parse_device_info(_exchange(descriptor, pipes))
        finally:
            fcntl.ioctl(descriptor, _RELEASE, interface, True)
    except OSError as error:
        gone = error.errno in (errno.ENODEV, errno.ESHUTDOWN)
        raise (DeviceGone if gone else DeviceError)(f"cannot talk MTP to {node}: {error.strerror}") from error
    finally:
        os.close(descriptor)
