"""The watcher: when it tells, when it blocks, whether a stay is still there.  Real pipe, sysfs as a tree."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mediad.edges.usb import Udev, UsbWatcher
from mediad.model.slots import UsbDevice, UsbFact
from tests.unit.test_slots import PORT_1, PORT_2_3, block, usb

SETTLE = 0.1


class Source:
    """udev's place: what is queued makes the descriptor readable, as a netlink socket would be."""

    def __init__(self, there: list[UsbFact]) -> None:
        self.there = there
        self.queue: deque[UsbFact | None] = deque()
        self.scans = 0
        self.started = False

    def start(self) -> None:
        self.started = True
        self._read, self._write = os.pipe()

    def stop(self) -> None:
        os.close(self._read)
        os.close(self._write)

    def fileno(self) -> int:
        return self._read

    def scan(self) -> list[UsbFact]:
        assert self.started, "listening must begin before looking"
        self.scans += 1
        return self.there

    def send(self, *facts: UsbFact | None) -> None:
        self.queue.extend(facts)
        os.write(self._write, b"x" * len(facts))

    def read(self) -> list[UsbFact] | None:
        facts = []
        os.read(self._read, 1 << 16)
        while self.queue:
            fact = self.queue.popleft()
            if fact is None:
                return None
            facts.append(fact)
        return facts


@pytest.fixture
def source() -> Source:
    return Source([])


@pytest.fixture
def watcher(source: Source) -> Iterator[UsbWatcher]:
    watcher = UsbWatcher(SETTLE, source=source)
    watcher.start()
    yield watcher
    watcher.stop()


def test_what_is_plugged_in_already_is_told_at_start() -> None:
    source = Source([usb("1-1", "scan"), block("1-1", "sda", "scan"), block("1-1", "sda1", "scan")])
    watcher = UsbWatcher(SETTLE, source=source)
    watcher.start()
    (change,) = watcher.wait(5)
    assert change.port == PORT_1
    assert change.device is not None and len(change.device.volumes) == 1
    watcher.stop()


def test_a_port_is_told_once_when_it_has_been_quiet(watcher: UsbWatcher, source: Source) -> None:
    begin = time.monotonic()
    source.send(usb("1-1"), block("1-1", "sda"))
    source.send(block("1-1", "sda1"))
    (change,) = watcher.wait(5)
    assert change.device is not None and [v.devnode for v in change.device.volumes] == ["/dev/sda1"]
    assert time.monotonic() - begin >= SETTLE
    assert watcher.wait(0) == []


def test_a_disk_is_not_told_before_its_partitions(watcher: UsbWatcher, source: Source) -> None:
    """However quiet the port is meanwhile, within reason."""
    source.send(usb("1-1"), block("1-1", "sda"))
    assert watcher.wait(3 * SETTLE) == []
    source.send(block("1-1", "sda1"))
    (change,) = watcher.wait(5)
    assert change.device is not None and [v.devnode for v in change.device.volumes] == ["/dev/sda1"]


def test_a_disk_whose_partitions_never_come_is_told_all_the_same(
    watcher: UsbWatcher, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its table is damaged, and somebody must be called."""
    monkeypatch.setattr("mediad.edges.usb.PARTITIONS_SECONDS", 2 * SETTLE)
    source.send(usb("1-1"), block("1-1", "sda"))
    (change,) = watcher.wait(5)
    assert change.device is not None and [v.devnode for v in change.device.volumes] == ["/dev/sda"]


def test_a_pull_is_told_as_a_port_without_device(watcher: UsbWatcher, source: Source) -> None:
    source.send(usb("1-1"))
    assert len(watcher.wait(5)) == 1
    source.send(usb("1-1", "remove"))
    (change,) = watcher.wait(5)
    assert (change.port, change.device) == (PORT_1, None)


def test_re_enumeration_is_told_once_with_another_stay(watcher: UsbWatcher, source: Source) -> None:
    source.send(usb("1-1"))
    (first,) = watcher.wait(5)
    source.send(usb("1-1", "remove"), usb("1-1", DEVNUM="006", USEC_INITIALIZED="2"))
    (second,) = watcher.wait(5)
    assert first.device is not None and second.device is not None
    assert first.device.stay != second.device.stay


def test_a_device_that_comes_and_goes_within_the_settling_time_is_not_told(watcher: UsbWatcher, source: Source) -> None:
    source.send(usb("1-1"), usb("1-1", "remove"), usb("1-2.3"))
    changes = watcher.wait(5)
    assert [change.port for change in changes] == [PORT_2_3]


def test_after_lost_events_it_looks_again(watcher: UsbWatcher, source: Source) -> None:
    source.send(usb("1-1"))
    assert len(watcher.wait(5)) == 1
    source.there = [usb("1-2.3", "scan")]
    source.send(None)
    told = watcher.wait(5)
    assert {change.port: change.device is not None for change in told} == {PORT_1: False, PORT_2_3: True}
    assert source.scans == 2


def test_wake_makes_wait_return_at_once_from_another_thread(watcher: UsbWatcher) -> None:
    done = threading.Event()
    thread = threading.Thread(target=lambda: (watcher.wait(None), done.set()))
    thread.start()
    watcher.wake()
    assert done.wait(5)
    thread.join()


def test_an_idle_watcher_sleeps(source: Source) -> None:
    """It is counted how often it wakes up to look at the time: processor time on a busy machine would tell nothing."""
    looks = 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        return time.monotonic()

    watcher = UsbWatcher(SETTLE, source=source, clock=clock)
    watcher.start()
    assert watcher.wait(3 * SETTLE) == []
    watcher.stop()
    assert looks < 10


def sysfs(root: Path, device: UsbDevice, seq: int = 11) -> Path:
    """The part of sysfs that ``present`` reads."""
    node = root / device.sysfs.lstrip("/")
    disk = node / "1-1:1.0/host6/block/sda"
    (disk / "sda1").mkdir(parents=True)
    for path, text in {
        node / "busnum": str(device.bus),
        node / "devnum": str(device.dev),
        node / "bConfigurationValue": "1",
        disk / "size": "8000",
        disk / "diskseq": str(seq),
        disk / "sda1/size": "7000",
    }.items():
        path.write_text(f"{text}\n")
    (root / "class/block").mkdir(parents=True)
    (root / "class/block/sda").symlink_to(disk)
    (root / "class/block/sda1").symlink_to(disk / "sda1")
    return node


@pytest.fixture
def docked(tmp_path: Path) -> tuple[UsbWatcher, UsbDevice, Path]:
    source = Source([usb("1-1", "scan"), block("1-1", "sda", "scan"), block("1-1", "sda1", "scan")])
    watcher = UsbWatcher(0, source=source, sysfs=tmp_path)
    watcher.start()
    (change,) = watcher.wait(5)
    watcher.stop()
    assert change.device is not None
    return watcher, change.device, sysfs(tmp_path, change.device)


def test_a_stay_is_present_while_device_and_media_are_the_same(
    docked: tuple[UsbWatcher, UsbDevice, Path],
) -> None:
    watcher, device, _ = docked
    assert watcher.present(device)
    assert watcher.present(device, grace_seconds=0.06)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("devnum", "6"),
        ("bConfigurationValue", ""),
        ("1-1:1.0/host6/block/sda/sda1/size", "0"),
        ("1-1:1.0/host6/block/sda/diskseq", "12"),
    ],
    ids=["re-enumerated", "being torn down", "no medium", "another medium"],
)
def test_a_stay_is_over_when(docked: tuple[UsbWatcher, UsbDevice, Path], path: str, text: str) -> None:
    watcher, device, node = docked
    (node / path).write_text(text)
    assert not watcher.present(device)


def test_a_stay_is_over_when_its_disk_now_belongs_to_another_device(
    docked: tuple[UsbWatcher, UsbDevice, Path], tmp_path: Path
) -> None:
    watcher, device, _ = docked
    link = tmp_path / "class/block/sda1"
    link.unlink()
    other = tmp_path / "devices/other/sda1"
    other.mkdir(parents=True)
    (other / "size").write_text("7000\n")
    link.symlink_to(other)
    assert not watcher.present(device)


def test_a_device_pulled_during_the_grace_time_is_not_present(
    docked: tuple[UsbWatcher, UsbDevice, Path],
) -> None:
    watcher, device, node = docked
    timer = threading.Timer(0.05, lambda: (node / "bConfigurationValue").write_text(""))
    timer.start()
    assert not watcher.present(device, grace_seconds=5)
    timer.join()


def test_an_unknown_device_is_not_present(docked: tuple[UsbWatcher, UsbDevice, Path]) -> None:
    watcher, device, _ = docked
    assert not watcher.present(replace(device, sysfs=""))


def test_the_real_source_listens_and_looks() -> None:
    """This machine's own udev library and sysfs; no device is expected."""
    source = Udev()
    source.start()
    assert source.fileno() >= 0
    assert isinstance(source.scan(), list)
    assert source.read() == []
    source.stop()
