"""Mounting by udisks2 and systemd, against fakes of both on a real private dbus-daemon (the real ones: virtual dock).

What mediad concludes from a mount table is tested with literal mountinfo lines, taken from kernels 6.1 and 6.18.
"""

from __future__ import annotations

import itertools
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jeepney.io.blocking import DBusConnection

from mediad.edges import mountinfo, ptp
from mediad.edges.mount import Udisks
from mediad.edges.mtp import Mtp
from mediad.edges.ptp import DeviceInfo, Pipes, find_pipes, parse_device_info, read_device_info
from mediad.errors import Busy, DeviceError, DeviceGone, Refused
from mediad.model.slots import UsbDevice
from tests.fakes.dbus_services import FakeSystemd, FakeUdisks, private_bus

ROOT = "27 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
FAT = (
    "42 27 8:1 / /media/mediad/REC\\0401 ro,nosuid,nodev,noexec,relatime shared:9 - vfat /dev/sda1 "
    "ro,uid=998,gid=998,fmask=0022,dmask=0022,codepage=437,iocharset=ascii,shortname=mixed,utf8,flush,tz=UTC,errors=remount-ro\n"
)
EXT4 = "43 27 8:1 / /media/mediad/E ro,nosuid,nodev,noexec,relatime - ext4 /dev/sda1 ro,norecovery\n"
POINT = Path("/media/mediad/REC 1")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text(ROOT)
    return path


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[str]:
    with private_bus(tmp_path) as address:
        yield address


@pytest.fixture
def udisks2(bus: str, table: Path) -> Iterator[FakeUdisks]:
    service = FakeUdisks(bus, table, FAT)
    yield service
    service.stop(bus)


@pytest.fixture
def udisks(bus: str, table: Path, udisks2: FakeUdisks) -> Udisks:
    """The edge under test.  There is no /dev/sda1 here, so devices are found by their name in the table."""
    return Udisks(address=bus, table=table, timeout=5, appear_timeout=5, exists=lambda devnode: True)


def test_a_card_is_mounted_read_only_and_without_questions(udisks: Udisks, udisks2: FakeUdisks) -> None:
    assert udisks.mount("/dev/sda1", "vfat") == POINT
    ((member, (options,)),) = udisks2.calls
    assert member == "Mount"
    assert options == {
        "options": ("s", "ro,nosuid,nodev,noexec,tz=UTC"),
        "auth.no_user_interaction": ("b", True),
    }


@pytest.mark.parametrize(("fstype", "option"), [("ext4", "noload"), ("ext3", "noload"), ("xfs", "norecovery")])
def test_a_journal_is_never_replayed(udisks: Udisks, udisks2: FakeUdisks, fstype: str, option: str) -> None:
    udisks2.line = EXT4
    udisks.mount("/dev/sda1", fstype)
    assert udisks2.calls[0][1][0]["options"] == ("s", f"ro,nosuid,nodev,noexec,{option}")


def test_a_file_system_without_journal_gets_no_option_that_it_would_refuse(udisks: Udisks, udisks2: FakeUdisks) -> None:
    udisks2.line = EXT4.replace("ext4", "ext2").replace(",norecovery", "")
    udisks.mount("/dev/sda1", "ext2")
    assert udisks2.calls[0][1][0]["options"] == ("s", "ro,nosuid,nodev,noexec")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (FAT.replace(" ro,nosuid", " rw,nosuid"), Refused),
        (FAT.replace(" ro,uid", " rw,uid"), Refused),
        (FAT.replace(",noexec", ""), DeviceError),
    ],
    ids=["mount writable", "only the bind is read-only", "programs could run"],
)
def test_a_mount_that_is_not_as_asked_is_undone_and_refused(
    udisks: Udisks, udisks2: FakeUdisks, table: Path, line: str, error: type[Exception]
) -> None:
    udisks2.line = line
    with pytest.raises(error):
        udisks.mount("/dev/sda1", "vfat")
    assert table.read_text() == ROOT


def test_a_journal_that_was_replayed_is_noticed(udisks: Udisks, udisks2: FakeUdisks) -> None:
    udisks2.line = EXT4.replace(",norecovery", "")
    with pytest.raises(Refused, match="journal"):
        udisks.mount("/dev/sda1", "ext4")


def test_a_read_only_mount_by_somebody_else_is_used(udisks: Udisks, udisks2: FakeUdisks, table: Path) -> None:
    table.write_text(ROOT + FAT.replace(",noexec", ""))
    assert udisks.mount("/dev/sda1", "vfat") == POINT
    assert udisks2.calls == []


def test_a_writable_mount_by_somebody_else_is_left_alone(udisks: Udisks, udisks2: FakeUdisks, table: Path) -> None:
    foreign = FAT.replace(" ro,", " rw,")
    table.write_text(ROOT + foreign)
    with pytest.raises(Refused, match="writable"):
        udisks.mount("/dev/sda1", "vfat")
    assert table.read_text() == ROOT + foreign
    assert udisks2.calls == []


def test_an_unknown_file_system_is_told_without_asking(udisks: Udisks, udisks2: FakeUdisks) -> None:
    with pytest.raises(DeviceError, match="no file system"):
        udisks.mount("/dev/sda1", "")
    assert udisks2.calls == []


def test_udisks2_may_hear_of_the_device_later_than_we_do(udisks: Udisks, udisks2: FakeUdisks) -> None:
    udisks2.fail = ["org.freedesktop.DBus.Error.UnknownMethod"] * 2
    assert udisks.mount("/dev/sda1", "vfat") == POINT
    assert len(udisks2.calls) == 3


@pytest.mark.parametrize(
    ("name", "error", "word"),
    [
        ("org.freedesktop.UDisks2.Error.NotAuthorized", Refused, "not allowed"),
        ("org.freedesktop.UDisks2.Error.NotAuthorizedCanObtain", Refused, "not allowed"),
        ("org.freedesktop.UDisks2.Error.OptionNotPermitted", Refused, "option"),
        ("org.freedesktop.UDisks2.Error.DeviceBusy", Busy, "cannot mount"),
        ("org.freedesktop.UDisks2.Error.Failed", DeviceError, "cannot mount"),
    ],
)
def test_failures_are_typed(udisks: Udisks, udisks2: FakeUdisks, name: str, error: type[Exception], word: str) -> None:
    udisks2.fail = [name]
    with pytest.raises(error, match=word):
        udisks.mount("/dev/sda1", "vfat")


def test_a_device_that_goes_away_while_it_is_mounted_is_gone(bus: str, table: Path, udisks2: FakeUdisks) -> None:
    udisks2.fail = ["org.freedesktop.UDisks2.Error.Failed"]
    with pytest.raises(DeviceGone):
        Udisks(address=bus, table=table, exists=lambda devnode: False).mount("/dev/sda1", "vfat")


def test_without_a_bus_it_says_so(tmp_path: Path, table: Path) -> None:
    with pytest.raises(DeviceError, match="D-Bus"):
        Udisks(address=f"unix:path={tmp_path}/none", table=table).mount("/dev/sda1", "vfat")


def test_unmounting_takes_every_mount_and_none_is_success(udisks: Udisks, udisks2: FakeUdisks, table: Path) -> None:
    udisks.unmount("/dev/sda1")
    assert udisks2.calls == []
    table.write_text(ROOT + FAT + FAT)
    udisks.unmount("/dev/sda1")
    assert table.read_text() == ROOT
    assert [call[1][0]["force"] for call in udisks2.calls] == [("b", False)] * 2


def test_a_mount_in_use_is_busy(udisks: Udisks, udisks2: FakeUdisks, table: Path) -> None:
    table.write_text(ROOT + FAT)
    udisks2.busy = True
    with pytest.raises(Busy, match="busy"):
        udisks.unmount("/dev/sda1")


def test_the_dead_mount_of_a_pulled_card_is_forced_away(bus: str, table: Path, udisks2: FakeUdisks) -> None:
    table.write_text(ROOT + FAT)
    Udisks(address=bus, table=table, exists=lambda devnode: False).unmount("/dev/sda1")
    assert udisks2.calls[0][1][0]["force"] == ("b", True)
    assert table.read_text() == ROOT


def test_power_off_goes_to_the_drive_and_a_gone_drive_is_success(
    udisks: Udisks, udisks2: FakeUdisks, bus: str, table: Path
) -> None:
    udisks.power_off("/dev/sda1")
    assert [call[0] for call in udisks2.calls] == ["Get", "PowerOff"]
    udisks2.fail = ["org.freedesktop.DBus.Error.UnknownObject"]
    Udisks(address=bus, table=table, exists=lambda devnode: False).power_off("/dev/sda1")


def test_the_version_of_udisks2_can_be_asked(udisks: Udisks) -> None:
    assert udisks.available() == "2.9.4"


def test_mount_tables_are_read_with_their_escapes() -> None:
    mount = mountinfo.parse((ROOT + FAT).encode())[1]
    assert (mount.device, mount.point, mount.fstype, mount.source) == ("8:1", POINT, "vfat", "/dev/sda1")
    assert mount.read_only and "tz=UTC" in mount.super_options
    assert mountinfo.parse(b"nonsense\n\n1 2 3 - x\n") == []
    assert any(m.point == Path("/proc") or m.point == Path("/") for m in mountinfo.mounts())


def test_waiting_for_the_mount_table_ends_in_time() -> None:
    begin = time.monotonic()
    assert not mountinfo.wait_for(lambda table: False, 0.1)
    assert 0.1 <= time.monotonic() - begin < 60
    assert mountinfo.wait_for(bool, 0.0)


RECORDER = UsbDevice(port="p", kind="mtp", serial="PORT-2", vendor="", model="", vid="46f4", pid="0004", bus=1, dev=5)


@pytest.fixture
def mtp(bus: str, table: Path, tmp_path: Path) -> Iterator[Callable[..., tuple[Mtp, FakeSystemd]]]:
    """An Mtp edge and a systemd whose start makes the mount appear."""
    services: list[FakeSystemd] = []
    line = f"50 27 0:60 / {tmp_path}/mtp/1-5 ro,nosuid,nodev,noexec - fuse.jmtpfs jmtpfs ro,user_id=998,group_id=998\n"

    def start(_: str) -> str:
        table.write_text(ROOT + line)
        return "done"

    def stop(_: str) -> str:
        table.write_text(ROOT)
        return "done"

    def make(
        on_start: Callable[[str], str] = start, on_stop: Callable[[str], str] = stop, timeout: float = 5
    ) -> tuple[Mtp, FakeSystemd]:
        services.append(FakeSystemd(bus, on_start, on_stop))
        (tmp_path / "usb/001").mkdir(parents=True)
        (tmp_path / "usb/001/005").touch()
        edge = Mtp(
            address=bus,
            mounts=tmp_path / "mtp",
            table=table,
            timeout=timeout,
            devices=tmp_path / "usb",
            gone_timeout=timeout,
        )
        return edge, services[0]

    make.start = start  # type: ignore[attr-defined]
    yield make
    for service in services:
        service.stop(bus)


def test_an_mtp_recorder_is_mounted_by_its_unit_and_let_go(
    mtp: Callable[..., tuple[Mtp, FakeSystemd]], tmp_path: Path, table: Path
) -> None:
    edge, systemd = mtp()
    assert edge.mount(RECORDER) == tmp_path / "mtp/1-5"
    assert edge.mount(RECORDER) == tmp_path / "mtp/1-5", "mounted already"
    edge.unmount(RECORDER)
    assert table.read_text() == ROOT
    jobs = [call for call in systemd.calls if call[0] != "Subscribe"]
    unit = ("mediad-mtp@1-5.service", "replace")
    assert jobs == [("StartUnit", unit), ("StopUnit", unit)]


def test_an_mtp_recorder_that_cannot_be_opened_is_a_device_error(
    mtp: Callable[..., tuple[Mtp, FakeSystemd]], tmp_path: Path
) -> None:
    edge, _ = mtp(lambda unit: "failed")
    with pytest.raises(DeviceError, match="cannot open"):
        edge.mount(RECORDER)
    (tmp_path / "usb/001/005").unlink()
    with pytest.raises(DeviceGone):
        edge.mount(RECORDER)


def test_an_mtp_recorder_that_hangs_while_it_is_opened_or_let_go_is_given_up_in_time(
    mtp: Callable[..., tuple[Mtp, FakeSystemd]], table: Path
) -> None:
    edge, _ = mtp(lambda unit: "", lambda unit: "", timeout=0.1)
    with pytest.raises(DeviceError, match="timeout"):
        edge.mount(RECORDER)
    table.write_text(ROOT + f"50 27 0:60 / {edge.point(RECORDER)} ro - fuse.jmtpfs jmtpfs ro\n")
    with pytest.raises(DeviceError, match="still mounted"):
        edge.unmount(RECORDER)


def test_a_bus_that_is_lost_while_a_recorder_is_opened_is_a_device_error(
    mtp: Callable[..., tuple[Mtp, FakeSystemd]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise ConnectionResetError("the bus is gone")

    edge, _ = mtp()
    monkeypatch.setattr(DBusConnection, "recv_until_filtered", lost)
    with pytest.raises(DeviceError, match="lost the system D-Bus"):
        edge.mount(RECORDER)


def test_a_bus_that_hangs_up_or_answers_nothing_is_a_device_error(tmp_path: Path, table: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "mute"))
        listening.listen()
        with pytest.raises(DeviceError, match="D-Bus"):
            Udisks(address=f"unix:path={tmp_path}/mute", table=table).mount("/dev/sda1", "vfat")


def test_starting_the_unit_may_be_forbidden(mtp: Callable[..., tuple[Mtp, FakeSystemd]]) -> None:
    edge, systemd = mtp()
    systemd.fail = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
    with pytest.raises(Refused, match="not allowed"):
        edge.mount(RECORDER)


def test_stopping_a_unit_that_is_not_there_is_success(mtp: Callable[..., tuple[Mtp, FakeSystemd]]) -> None:
    edge, systemd = mtp()
    systemd.fail = "org.freedesktop.systemd1.NoSuchUnit"
    edge.unmount(RECORDER)


def test_the_serial_of_the_descriptor_is_used_where_mtp_gives_none(
    mtp: Callable[..., tuple[Mtp, FakeSystemd]],
) -> None:
    edge, _ = mtp()
    assert edge.serial(RECORDER) == "PORT-2"
    with pytest.raises(DeviceGone):
        read_device_info(Path("/dev/bus/usb/999/999"))


def ptp_string(text: str) -> bytes:
    return b"\0" if not text else bytes([len(text) + 1]) + (text + "\0").encode("utf-16-le")


def test_device_info_is_read_field_by_field() -> None:
    data = struct.pack("<HIH", 100, 6, 100) + ptp_string("microsoft.com: 1.0;") + b"\0\0"
    for codes in ([0x1001, 0x1002], [], [0x5001], [], [0x3000]):
        data += struct.pack(f"<I{len(codes)}H", len(codes), *codes)
    data += ptp_string("记录仪厂") + ptp_string("DSJ-1") + ptp_string("1.0") + ptp_string("8888888")
    assert parse_device_info(data) == DeviceInfo("记录仪厂", "DSJ-1", "1.0", "8888888")
    for end in range(len(data)):
        with pytest.raises(DeviceError):
            parse_device_info(data[:end])


@pytest.mark.parametrize("piece", [b"", b"x"], ids=["nothing", "byte by byte"])
def test_a_device_that_never_ends_its_answer_is_given_up(monkeypatch: pytest.MonkeyPatch, piece: bytes) -> None:
    calls = itertools.count()

    def bulk(_descriptor: int, endpoint: int, buffer: Any, _length: int) -> int:
        call = next(calls)
        assert call < 100_000, "it is asked for ever"
        if endpoint != 0x81:
            return 12
        sent = struct.pack("<IHHI", 1 << 20, 2, 0x1001, 0) if call == 1 else piece  # "a megabyte follows"
        buffer[: len(sent)] = sent
        return len(sent)

    monkeypatch.setattr(ptp, "_bulk", bulk)
    monkeypatch.setattr(ptp, "_ALL_SECONDS", 0.01)
    with pytest.raises(DeviceError, match="in time"):
        ptp._exchange(-1, Pipes(0, 0x02, 0x81))


def interface(number: int, klass: int, *endpoints: tuple[int, int]) -> bytes:
    head = bytes([9, 4, number, 0, len(endpoints), klass, 1, 1, 0])
    return head + b"".join(bytes([7, 5, address, kind, 0, 2, 0]) for address, kind in endpoints)


def test_the_still_image_interface_is_preferred_to_a_vendors_own() -> None:
    device, config = bytes([18, 1]) + bytes(16), bytes([9, 2]) + bytes(7)
    mtp_pipes = ((0x81, 2), (0x02, 2), (0x83, 3))
    vendor, image = interface(0, 0xFF, *mtp_pipes), interface(1, 0x06, (0x84, 2), (0x05, 2), (0x86, 3))
    assert find_pipes(device + config + vendor + image) == Pipes(1, 0x05, 0x84)
    assert find_pipes(device + config + vendor) == Pipes(0, 0x02, 0x81)
    disk = interface(0, 0x08, (0x81, 2), (0x02, 2))
    assert find_pipes(device + config + disk) is None
    assert find_pipes(b"") is None
