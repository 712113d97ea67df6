"""Ways in which recorders attach, when all goes well."""

from __future__ import annotations

from datetime import datetime
from itertools import combinations

import pytest
from cards import Part, make_card, write_tree
from station import VAULT_DIR, Station

MB = 1_000_000
SHIFT = {
    "DCIM/100MEDIA/8888888_000000_20261123093000_0001.mp4": 3 * MB,
    "DCIM/执法现场/照片 一.jpg": 20_000,
    "LOGS/a name that is longer than one entry of a directory takes.log": 7000,
}


@pytest.mark.parametrize("fs", ["exfat", "ext4"])
def test_card_with_another_file_system_is_copied(station: Station, fs: str) -> None:
    """exFAT is what 64 GB cards carry; ext4 must be mounted without replaying its journal."""
    digests = write_tree(station.work / "card", SHIFT)
    image = make_card(station.work / "card.img", Part(fs, station.work / "card"))
    before = image.read_bytes()
    station.resume()
    station.vm.plug("r1", image, port=3)
    station.until_state(3, "safe")
    station.judge(digests)
    assert image.read_bytes() == before, "something was written to the recorder"


def test_recorder_that_is_plugged_in_when_the_station_boots_is_copied(station: Station) -> None:
    digests = write_tree(station.work / "card", SHIFT)
    image = make_card(station.work / "card.img", Part("fat32", station.work / "card"))
    station.boot(usb=[station.plugged("r1", image, 2)])
    station.until_state(2, "safe")
    station.judge(digests)


def test_device_with_two_partitions_is_one_docking(station: Station) -> None:
    first = write_tree(station.work / "a", SHIFT)
    second = write_tree(station.work / "b", {"DCIM/101MEDIA/20261123100000_0009.mp4": MB, "track.log": 900}, seed=2)
    parts = (
        Part("fat32", station.work / "a", "VIDEO"),
        Part("exfat", station.work / "b", "LOG", serial=0xABCD0001),
    )
    image = make_card(station.work / "card.img", *parts)
    station.resume()
    station.vm.plug("r1", image, port=1)
    station.until_state(1, "safe")
    kept = station.judge(first, second)
    (record,) = kept.handovers
    assert len(record["files"]) == len(first) + len(second)


def test_four_recorders_behind_a_hub_run_side_by_side(station: Station) -> None:
    """Judged by what the hand-over records say about begin and end, not by a clock of the test."""
    trees, images = [], []
    for n in range(1, 5):
        files = {f"DCIM/100MEDIA/000000{n}_000000_20261123093000_0001.mp4": 6 * MB, f"DCIM/{n}.jpg": 9000}
        trees.append(write_tree(station.work / f"t{n}", files, seed=n))
        part = Part("fat32", station.work / f"t{n}", f"CARD{n}", serial=0x1000 + n)
        images.append(make_card(station.work / f"c{n}.img", part))
    station.resume()
    hub = station.vm.hub("hub1", 9)
    for n, image in enumerate(images, 1):
        station.vm.plug(f"r{n}", image, port=f"{hub}.{n}", bps=MB)
    for n in range(1, 5):
        station.until_state(f"{hub}.{n}", "safe")
    kept = station.judge(*trees)
    spans = [(moment(r["began_at"]), moment(r["ended_at"])) for r in kept.handovers]
    assert len(spans) == 4
    for (a, b), (c, d) in combinations(spans, 2):
        assert a < d and c < b, f"one after the other: {spans}"


def test_mtp_recorder_is_copied(station: Station) -> None:
    digests = write_tree(
        station.work / "mtp", {"DCIM/100ANDRO/VID_0001.mp4": 12 * MB + 5, "DCIM/100ANDRO/IMG_0002.jpg": 30_000}
    )
    station.resume()
    station.vm.plug_mtp("m1", station.work / "mtp", port=5)
    station.until_state(5, "safe")
    assert not station.mounted("fuse.jmtpfs"), "still mounted"
    station.judge(digests)


def test_mtp_recorder_pulled_in_the_middle_is_completed_at_the_next_dock(station: Station) -> None:
    """The FUSE mount dies with the recorder: short read, then ENOTCONN, even from close(2)."""
    files = {f"DCIM/100ANDRO/VID_000{n}.mp4": 12 * MB for n in range(3)}
    digests = write_tree(station.work / "mtp", files)
    station.resume()
    station.vm.plug_mtp("m1", station.work / "mtp", port=5)
    find = f"find {VAULT_DIR}/.staging {VAULT_DIR}/originals -name '*VID*' -size +1M | grep -q ."
    station.until("something is copied", lambda: station.vm.run(find)["rc"] == 0)
    station.vm.unplug("m1")
    station.until_state(5, "idle", "attention")
    station.vm.plug_mtp("m2", station.work / "mtp", port=5)
    station.until_state(5, "safe")
    assert not station.mounted("fuse.jmtpfs"), "still mounted"
    station.judge(digests)


def test_quick_unplug_and_plug_on_one_port_is_a_new_stay(station: Station) -> None:
    """Another recorder put into a port the moment the first one left is not taken for the first one."""
    first = write_tree(station.work / "a", SHIFT)
    second = write_tree(station.work / "b", {"DCIM/100MEDIA/20261123110000_0001.mp4": MB}, seed=2)
    one = make_card(station.work / "a.img", Part("fat32", station.work / "a", "ONE", serial=0xA))
    two = make_card(station.work / "b.img", Part("fat32", station.work / "b", "TWO", serial=0xB))
    station.resume()
    station.vm.plug("r1", one, port=1)
    station.until_state(1, "safe")
    station.vm.unplug("r1")
    station.vm.plug("r2", two, port=1)
    station.until("both dockings recorded", lambda: station.records() >= 2)
    station.until_state(1, "safe")
    # the very same recorder again: a new docking that finds everything known
    station.vm.unplug("r2")
    station.vm.plug("r2", two, port=1)
    station.until("a third docking recorded", lambda: station.records() >= 3)
    kept = station.judge(first, second)
    serials = sorted(r["recorder"]["key"] for r in kept.handovers)
    assert len(kept.handovers) == 3 and len(set(serials)) == 2, serials


def test_recorder_that_is_powered_off_is_safe_to_take_until_the_next_one_comes(station: Station) -> None:
    """`devices.power_off`: udisks2 cuts the power, so the recorder leaves the bus; it does not leave its slot."""
    digests = write_tree(station.work / "card", SHIFT)
    image = make_card(station.work / "card.img", Part("fat32", station.work / "card"))
    station.resume()
    station.configure(power_off="true")
    station.vm.plug("r1", image, port=1, serial="POWER0001")
    recorder = station.until_state(1, "safe")["recorder"]
    on_the_bus = "grep -qs POWER0001 /sys/bus/usb/devices/*/serial"
    station.until("the recorder is off the bus", lambda: station.vm.run(on_the_bus)["rc"] != 0)
    # Ports are told in the order in which they fell quiet: when the next one is done, the daemon has been told of the first.
    other = write_tree(station.work / "other", {"DCIM/100MEDIA/20261123110000_0001.mp4": MB}, seed=2)
    next_card = make_card(station.work / "other.img", Part("fat32", station.work / "other", "NEXT", serial=0xB0B1C2D3))
    station.vm.plug("r2", next_card, port=2)
    station.until_state(2, "safe")
    slot = station.slot(1)
    assert (slot["state"], slot["recorder"]) == ("safe", recorder), station.report()
    assert not station.mounted("vfat")
    # taken out and docked again: it has power again, and everything on it is known
    station.vm.unplug("r1")
    station.vm.plug("r1", image, port=1, serial="POWER0001")
    station.until("a third docking recorded", lambda: station.records() >= 3)
    station.until_state(1, "safe")
    kept = station.judge(digests, other)
    assert [r["state"] for r in kept.handovers] == ["complete"] * 3


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
