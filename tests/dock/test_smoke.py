"""The three things that must never break: docking, pulling out in the middle, losing power in the middle."""

from __future__ import annotations

import pytest
from cards import Part, make_card, write_tree
from station import Station

pytestmark = pytest.mark.dock_smoke

MB = 1_000_000
SHIFT = {
    "DCIM/100MEDIA/8888888_000000_20261123093000_0001.mp4": 3 * MB,
    "DCIM/100MEDIA/8888888_000000_20261123093500_0002.mp4": 2 * MB,
    "DCIM/执法现场/照片 一.jpg": 20_000,
    "DCIM/执法现场/录音.wav": 70_000,
}
LONG = {
    "DCIM/100MEDIA/8888888_000000_20261123093000_0001.mp4": 2 * MB,
    "DCIM/100MEDIA/8888888_000000_20261123093500_0002.mp4": 24 * MB,
    "DCIM/100MEDIA/8888888_000000_20261123094500_0003.mp4": 2 * MB,
}


def test_docked_recorder_is_copied_recorded_unmounted_and_safe_to_take(station: Station) -> None:
    """A FAT32 card with Chinese names: every byte arrives, the record lists it, the slot says so."""
    digests = write_tree(station.work / "card", SHIFT)
    image = make_card(station.work / "card.img", Part("fat32", station.work / "card"))
    before = image.read_bytes()
    station.resume()
    station.vm.plug("r1", image, port=1)
    station.until_state(1, "safe")
    assert not station.mounted("vfat"), "the card is still mounted"
    kept = station.judge(digests)
    (record,) = kept.handovers
    assert {f["path"]: f["sha256"] for f in record["files"]} == digests
    assert record["slot"].endswith("-usb-0:1")
    assert record["state"] == "complete"
    assert image.read_bytes() == before, "something was written to the recorder"


def test_recorder_pulled_in_the_middle_of_a_file_is_completed_at_the_next_dock(station: Station) -> None:
    """Nothing twice, no half file; the broken docking has its own record, as interrupted."""
    digests = write_tree(station.work / "card", LONG)
    image = make_card(station.work / "card.img", Part("fat32", station.work / "card"))
    station.resume()
    station.vm.plug("r1", image, port=1, bps=4 * MB)
    station.until_read("r1", 12 * MB)
    station.vm.unplug("r1")
    station.until_state(1, "idle", "attention")
    station.audit()
    station.vm.plug("r1", image, port=1)
    station.until_state(1, "safe")
    kept = station.judge(digests)
    assert [r["state"] for r in in_order(kept.handovers)] == ["interrupted", "complete"]


def test_power_cut_in_the_middle_of_an_ingest_loses_nothing(station: Station) -> None:
    """QEMU is killed while a file is copied; the recorder, still in its port, is finished after the boot."""
    digests = write_tree(station.work / "card", LONG)
    image = make_card(station.work / "card.img", Part("fat32", station.work / "card"))
    station.resume()
    station.vm.plug("r1", image, port=1, bps=4 * MB)
    station.until_read("r1", 12 * MB)
    station.powercut()
    station.boot(usb=[station.plugged("r1", image, 1)])
    station.until_state(1, "safe")
    kept = station.judge(digests)
    assert [r["state"] for r in in_order(kept.handovers)] == ["interrupted", "complete"]


def in_order(records: list[dict[str, str]]) -> list[dict[str, str]]:
    return sorted(records, key=lambda r: r["began_at"])
