"""What goes wrong: bad sectors, a full vault, a service stopped in the middle."""

from __future__ import annotations

from cards import Part, bad_sectors, make_card, write_tree
from station import VAULT_DIR, Station

MB = 1_000_000
FOUR = {f"DCIM/100MEDIA/0000001_000000_2026112309{n}000_000{n}.mp4": 8 * MB for n in range(4)}


def test_file_with_bad_sectors_fails_alone_and_the_slot_calls_for_the_administrator(station: Station) -> None:
    """The others are stored, no partial file is called whole, and a later dock brings the rest."""
    name = "DCIM/100MEDIA/8888888_000000_20261123093500_0002.mp4"
    files = {
        name: 3 * MB,
        "DCIM/100MEDIA/8888888_000000_20261123093000_0001.mp4": MB,
        "DCIM/0003.jpg": 20_000,
    }
    digests = write_tree(station.work / "card", files)
    image = make_card(station.work / "card.img", Part("fat32", station.work / "card"))
    content = (station.work / "card" / name).read_bytes()
    station.resume()
    station.vm.plug("r1", image, port=1, inject=bad_sectors(image, content, at=MB // 4096 * 4096))
    station.until_state(1, "attention", timeout=300)
    station.audit()
    kept = station.kept()
    assert sorted(kept.originals.values()) == sorted(d for n, d in digests.items() if n != name)
    (record,) = kept.handovers
    outcome = {f["path"]: f["outcome"] for f in record["files"]}
    assert outcome[name] == "failed"
    assert [n for n, o in outcome.items() if o != "stored"] == [name]
    station.vm.unplug("r1")
    station.vm.run("systemctl start mediad.service", timeout=300, check=True)
    station.vm.plug("r1", image, port=1)
    station.until_state(1, "safe")
    station.judge(digests)


def test_names_lost_in_a_bad_sector_of_a_folder_are_never_called_complete(station: Station) -> None:
    """Linux's FAT driver skips a folder's sector that it cannot read and reports no error: only the disk's error count tells."""
    names = [f"DCIM/100MEDIA/CLIP{n:04d}.JPG" for n in range(40)]  # 16 to a sector
    digests = write_tree(station.work / "card", dict.fromkeys(names, 20_000))
    image = make_card(station.work / "card.img", Part("fat32", station.work / "card"))
    station.resume()
    station.vm.plug("r1", image, port=1, inject=bad_sectors(image, b"CLIP0025JPG", sectors=1))
    station.until_state(1, "attention", timeout=300)
    station.audit()
    (record,) = station.kept().handovers
    outcome = {f["path"]: f["outcome"] for f in record["files"]}
    assert record["state"] == "incomplete"
    assert [n for n, o in outcome.items() if o != "stored"] == ["."]
    missing = set(names) - set(outcome)
    assert names[25] in missing and len(missing) < len(names), "the scenario itself: the kernel leaves some names out"
    station.vm.unplug("r1")
    station.vm.run("systemctl start mediad.service", timeout=300, check=True)
    station.vm.plug("r1", image, port=1)
    station.until_state(1, "safe")
    station.judge(digests)


def test_full_vault_pauses_with_an_alarm_and_goes_on_when_there_is_room(station: Station) -> None:
    digests = write_tree(station.work / "card", FOUR)
    image = make_card(station.work / "card.img", Part("fat32", station.work / "card"))
    station.resume()
    # leave 16 MB: enough to begin, too little for the card
    free = int(station.vm.run(f"df -B1 --output=avail {VAULT_DIR} | tail -1", check=True)["out"])
    station.vm.run(f"fallocate -l {free - 16 * MB} {VAULT_DIR}/ballast", check=True)
    station.vm.plug("r1", image, port=1)
    station.until_state(1, "paused", timeout=300)
    station.audit()
    assert station.mediad("status", "--json")["alarms"], "no alarm is raised"
    station.vm.run(f"rm {VAULT_DIR}/ballast", check=True)
    station.until_state(1, "safe", timeout=300)
    station.judge(digests)


def test_disk_full_at_once_loses_nothing(station: Station) -> None:
    """The room goes away behind the daemon's back while it copies: ENOSPC in the middle of a file."""
    digests = write_tree(station.work / "card", FOUR)
    image = make_card(station.work / "card.img", Part("fat32", station.work / "card"))
    station.resume()
    station.vm.plug("r1", image, port=1, bps=3 * MB)
    station.until_read("r1", 10 * MB)
    station.vm.run(f"dd if=/dev/zero of={VAULT_DIR}/ballast bs=1M oflag=direct; true", timeout=300)
    station.until_state(1, "paused", "attention", timeout=300)
    station.audit()
    station.vm.run(f"rm {VAULT_DIR}/ballast", check=True)
    station.until_state(1, "safe", timeout=300)
    station.judge(digests)


def test_service_stopped_in_the_middle_of_a_copy_loses_nothing(station: Station) -> None:
    files = {
        "DCIM/100MEDIA/0001.mp4": 2 * MB,
        "DCIM/100MEDIA/0002.mp4": 24 * MB,
        "DCIM/100MEDIA/0003.mp4": MB,
    }
    digests = write_tree(station.work / "card", files)
    image = make_card(station.work / "card.img", Part("fat32", station.work / "card"))
    station.resume()
    station.vm.plug("r1", image, port=1, bps=4 * MB)
    station.until_read("r1", 12 * MB)
    station.vm.run("systemctl stop mediad.service", timeout=300, check=True)
    assert station.vm.run("systemctl show -P Result mediad.service")["out"].strip() == "success"
    assert not station.mounted("vfat"), "the card stays mounted after the stop"
    station.vm.throttle("r1", 0)
    station.vm.run("systemctl start mediad.service", timeout=300, check=True)
    station.until_state(1, "safe")
    station.judge(digests)
