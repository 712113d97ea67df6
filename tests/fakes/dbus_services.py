"""Small fakes of udisks2 and systemd on a real, private dbus-daemon.

They answer the few calls that mediad makes, with the wire types of the real interfaces, and "mount" by writing a
mountinfo file.  That the real services answer alike is proven in the virtual dock, not here.
"""

from __future__ import annotations

import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jeepney import (
    DBusAddress,
    Message,
    MessageType,
    message_bus,
    new_error,
    new_method_return,
    new_signal,
)
from jeepney.io.blocking import open_dbus_connection

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
</policy></busconfig>
"""


@contextmanager
def private_bus(directory: Path) -> Iterator[str]:
    """A message bus of its own; yields its address."""
    config = directory / "bus.conf"
    config.write_text(CONFIG.format(path=directory / "bus"))
    process = subprocess.Popen(
        ["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--print-address"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip().split(",guid=")[0]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


class Failure(Exception):
    def __init__(self, name: str, text: str = "no") -> None:
        super().__init__(name)
        self.name, self.text = name, text


class Service(ABC):
    """A name on the bus whose ``answer(path, interface, member, body)`` returns (signature, body) or raises Failure."""

    def __init__(self, address: str, name: str) -> None:
        self._bus = open_dbus_connection(bus=address)
        self._bus.send_and_get_reply(message_bus.RequestName(name))
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @abstractmethod
    def answer(self, path: str, interface: str, member: str, body: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
        """What the service does: signature and body of its answer, or Failure raised."""

    def after(self, member: str) -> list[Message]:
        """Signals to send once the answer is out."""
        return []

    def _serve(self) -> None:
        while True:
            try:
                message = self._bus.receive()
            except (OSError, ValueError):
                return
            header = message.header
            if header.message_type is not MessageType.method_call:
                continue
            fields = {key.name: value for key, value in header.fields.items()}
            if fields["member"] == "Quit":
                return
            self.calls.append((fields["member"], message.body))
            try:
                signature, body = self.answer(fields["path"], fields["interface"], fields["member"], message.body)
                self._bus.send(new_method_return(message, signature or None, body))
            except Failure as failure:
                self._bus.send(new_error(message, failure.name, "s", (failure.text,)))
            for signal in self.after(fields["member"]):
                self._bus.send(signal)

    def stop(self, address: str) -> None:
        with open_dbus_connection(bus=address) as bus:
            target = DBusAddress("/", bus_name=self._bus.unique_name, interface="x.Fake")
            from jeepney import new_method_call

            bus.send(new_method_call(target, "Quit"))
            self._thread.join()
        self._bus.close()


class FakeUdisks(Service):
    """One block device, sda1; ``mount_as`` is the mountinfo line that Mount makes appear."""

    path = "/org/freedesktop/UDisks2/block_devices/sda1"

    def __init__(self, address: str, table: Path, line: str) -> None:
        self.table, self.line = table, line
        self.fail: list[str] = []
        self.busy = False
        super().__init__(address, "org.freedesktop.UDisks2")

    def answer(self, path: str, interface: str, member: str, body: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
        if self.fail:
            raise Failure(self.fail.pop(0))
        if member == "Get" and body[1] == "Version":
            return "v", (("s", "2.9.4"),)
        if path != self.path and interface.endswith("Filesystem"):
            raise Failure("org.freedesktop.DBus.Error.UnknownMethod")
        if member == "Mount":
            self.table.write_text(self.table.read_text() + self.line)
            return "s", ("/media/mediad/REC",)
        if member == "Unmount":
            if self.line not in self.table.read_text():
                raise Failure("org.freedesktop.UDisks2.Error.NotMounted")
            if self.busy:
                raise Failure("org.freedesktop.UDisks2.Error.DeviceBusy", "target is busy")
            self.table.write_text(self.table.read_text().replace(self.line, "", 1))
            return "", ()
        if member == "Get" and body[1] == "Drive":
            return "v", (("o", "/org/freedesktop/UDisks2/drives/REC"),)
        if member == "PowerOff" and path == "/org/freedesktop/UDisks2/drives/REC":
            return "", ()
        raise Failure("org.freedesktop.DBus.Error.UnknownMethod")


class FakeSystemd(Service):
    """StartUnit and StopUnit with their JobRemoved signals; ``on_start`` and ``on_stop`` return the job's result, "" for a
    job that does not end."""

    def __init__(self, address: str, on_start: Callable[[str], str], on_stop: Callable[[str], str]) -> None:
        self.on = {"StartUnit": on_start, "StopUnit": on_stop}
        self.fail = ""
        self._job: tuple[int, str, str] | None = None
        self._number = 0
        super().__init__(address, "org.freedesktop.systemd1")

    def answer(self, path: str, interface: str, member: str, body: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
        if member in self.on:
            if self.fail:
                raise Failure(self.fail)
            self._number += 1
            self._job = (self._number, body[0], self.on[member](body[0]))
            return "o", (f"/org/freedesktop/systemd1/job/{self._number}",)
        return "", ()

    def after(self, member: str) -> list[Message]:
        if member not in self.on or self._job is None or not self._job[2]:
            return []
        number, unit, result = self._job
        emitter = DBusAddress("/org/freedesktop/systemd1", interface="org.freedesktop.systemd1.Manager")
        other = (900 + number, f"/org/freedesktop/systemd1/job/{900 + number}", "other.service", "failed")
        ours = (number, f"/org/freedesktop/systemd1/job/{number}", unit, result)
        self._job = None
        return [new_signal(emitter, "JobRemoved", "uoss", body) for body in (other, ours)]
