"""Who is docked, and what that proves: only what a device gives itself lets its files be recognised unread."""

import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mediad.cli.progress import _Plain
from mediad.edges import origin as origins
from mediad.edges import source, statx
from mediad.edges.origin import Origin
from mediad.model.carried import SlotIdentity
from mediad.model.custody import Draft
from mediad.model.evidence import SourceIdentity
from mediad.model.slots import UsbDevice, UsbVolume
from mediad.wiring.docking import device_identity, dock_path
from mediad.wiring.station import Station
from mediad.wiring.usb import LiveKeys, UsbWorld
from tests.support import MIB, Site, complaints, make_card, noise, small_disk

SERIAL, UUID, PLACEHOLDER = "4C530001230417112345", "5F3C-2A1E", "0123456789ABCDEF"
FILES: dict[str | bytes, bytes] = {"DCIM/a.mp4": noise(9_000, 1), "b.jpg": noise(5_000, 2)}
OTHERS: dict[str | bytes, bytes] = {"DCIM/a.mp4": noise(9_000, 3), "b.jpg": noise(5_000, 4)}
"""The same paths and sizes, and by ``make_card`` the same times, with other bytes."""


@pytest.fixture
def station(site: Site) -> Iterator[Station]:
    with closing(site.open()) as opened:
        yield opened


@pytest.fixture
def no_births(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that keeps no birth times."""
    monkeypatch.setattr(statx, "_BTIME", 0)


def says(monkeypatch: pytest.MonkeyPatch, **what: str) -> None:
    """Every path is the root of a mounted card that says this of itself."""
    monkeypatch.setattr(origins, "origin", lambda path: Origin(path.resolve(), **what))


def device(port: str, serial: str = "", uuid: str = "", stay: str = "1") -> UsbDevice:
    volume = UsbVolume("/dev/sdb1", "vfat", uuid, "REC", 1, 1000)
    return UsbDevice(port, "storage", serial, "v", "DSJ", "1d6b", "0104", 1, 5, (volume,), stay)


def outcomes(record: Mapping[str, Any]) -> dict[str, str]:
    return {f["path"]: f["outcome"] for f in record["files"]}


def found(record: Mapping[str, Any]) -> set[str]:
    return {f["code"] for f in record["findings"]}


# --- what a person types ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_births")
def test_two_cards_under_one_typed_serial_are_both_read(site: Site, tmp_path: Path) -> None:
    """Nothing but their bytes tells them apart: a typed serial is a claim, so device and inode must be the same too."""
    first, second = make_card(tmp_path / "1", FILES), make_card(tmp_path / "2", OTHERS)
    site.ingest(first, recorder="R1")
    result = site.ingest(second, recorder="R1")
    assert set(outcomes(result.record).values()) == {"stored"}
    assert result.record["recorder"]["key"] == "serial:R1", "the claim stands in the record"
    assert complaints(site, [*FILES.values(), *OTHERS.values()]) == []


@pytest.mark.usefixtures("no_births")
def test_a_registered_serial_that_was_typed_proves_nothing_either(site: Site, station: Station, tmp_path: Path) -> None:
    detail = {"label": "07", "name": "07号", "profile": "", "keys": ["serial:R1"]}
    station.ledger.record([Draft("recorder.registered", "rcd-07", detail)])
    for card, files in (("1", FILES), ("2", OTHERS)):
        result = dock_path(station, make_card(tmp_path / card, files), _Plain("test"), recorder="R1")
        assert set(outcomes(result.record).values()) == {"stored"}
        assert result.record["recorder"]["label"] == "07"
        assert "recorder-unregistered" not in found(result.record)


@pytest.mark.parametrize(
    ("typed", "said", "key", "identified"),
    [
        ("", {}, "folder:", False),
        ("R1", {}, "serial:R1", False),
        ("", {"serial": SERIAL}, f"serial:{SERIAL}", True),
        (SERIAL, {"serial": SERIAL}, f"serial:{SERIAL}", True),
        ("R1", {"serial": SERIAL}, "serial:R1", False),
        ("R1", {"serial": PLACEHOLDER, "uuid": UUID}, "serial:R1", True),
        ("", {"serial": PLACEHOLDER, "uuid": UUID}, f"fsuuid:{UUID}", True),
        ("", {"serial": PLACEHOLDER, "uuid": "1234-5678"}, "folder:", False),
    ],
)
def test_a_source_is_identified_by_what_its_device_gives(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, said: dict[str, str], key: str,
    identified: bool,
) -> None:  # fmt: skip
    """Seen by what counts: whether another file under the same path, size and time, with another inode, is read."""
    says(monkeypatch, **said)
    monkeypatch.setattr(statx, "_BTIME", 0)
    card = make_card(tmp_path / "card", FILES)
    dock_path(station, card, _Plain("test"), recorder=typed)
    card.rename(tmp_path / "before")
    make_card(card, OTHERS)
    record = dock_path(station, card, _Plain("test"), recorder=typed).record
    assert record["recorder"]["key"].startswith(key)
    assert set(outcomes(record).values()) == ({"known"} if identified else {"stored"})


def test_what_a_recorder_said_before_its_disk_appeared_counts_if_it_can_name_one(station: Station) -> None:
    said = device_identity(station, device("p1", "", ""), SlotIdentity(serial="GA12345"))
    assert (said.key, said.identified) == ("serial:GA12345", True)
    unset = device_identity(station, device("p1", "", UUID), SlotIdentity(serial="0000000"))
    assert (unset.key, unset.identified) == (f"fsuuid:{UUID}", True)
    nobody = device_identity(station, device("p1", PLACEHOLDER, ""), None)
    assert (nobody.key, nobody.identified) == ("anonymous:p1/1", False)


def test_a_registered_placeholder_gives_name_and_profile_and_no_more(station: Station) -> None:
    detail = {"label": "07", "name": "07号", "profile": "gat947", "keys": [f"serial:{PLACEHOLDER}"]}
    station.ledger.record([Draft("recorder.registered", "rcd-07", detail)])
    who = device_identity(station, device("p1", PLACEHOLDER, ""), None)
    assert (who.label, who.profile, who.registered, who.identified) == ("07", "gat947", True, False)


def test_a_file_rewritten_in_place_with_its_old_time_is_read(site: Site, tmp_path: Path) -> None:
    """Same path, size, mtime, birth time and inode; only when it last changed, which no writer sets back, tells."""
    with small_disk(tmp_path / "disk", MIB) as disk:
        card = make_card(disk / "card", FILES)
        site.ingest(card)
        before = (card / "b.jpg").stat()
        (card / "b.jpg").write_bytes(OTHERS["b.jpg"])
        os.utime(card / "b.jpg", ns=(before.st_mtime_ns,) * 2)
        assert (card / "b.jpg").stat().st_ino == before.st_ino
        assert outcomes(site.ingest(card).record) == {"DCIM/a.mp4": "known", "b.jpg": "stored"}
        assert set(outcomes(site.ingest(card).record).values()) == {"known"}
    assert complaints(site, [*FILES.values(), OTHERS["b.jpg"]]) == []


# --- one card, docked by both ways ------------------------------------------------------------------------------------


def test_a_card_docked_by_hand_and_in_a_bay_is_one(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its volume has the same name in both, so neither reads what the other took."""
    card = make_card(tmp_path / "card", FILES)
    says(monkeypatch, serial=SERIAL, uuid=UUID)
    by_hand = dock_path(station, card, _Plain("test")).record
    assert {f["volume"] for f in by_hand["files"]} == {UUID}
    world, paper = bays(station, device("p1", SERIAL, UUID))
    in_bay = dock(world, paper.devices[0], card)
    assert set(outcomes(in_bay.record).values()) == {"known"}
    again = dock_path(station, card, _Plain("test")).record
    assert set(outcomes(again).values()) == {"known"}


# --- one key on two slots -----------------------------------------------------------------------------------------------


class Watcher:
    """Which devices are plugged in."""

    def __init__(self, *devices: UsbDevice) -> None:
        self.devices = list(devices)

    def present(self, device: UsbDevice, grace_seconds: float = 0.0) -> bool:
        return device in self.devices


def bays(station: Station, *devices: UsbDevice) -> tuple[UsbWorld, Watcher]:
    watcher = Watcher(*devices)
    return UsbWorld(station, watcher), watcher  # type: ignore[arg-type]


def dock(world: UsbWorld, device: UsbDevice, card: Path, progress: Any = None) -> Any:
    identity = world.identify(device, None)
    return world.dock(device, {device.volumes[0].uuid: card}, {}, progress or _Plain("test"), identity, None)


@pytest.mark.usefixtures("no_births")
def test_a_key_on_two_slots_names_neither_and_the_record_says_so(station: Station, site: Site, tmp_path: Path) -> None:
    one, two = device("p1", SERIAL, UUID), device("p2", SERIAL, UUID)
    world, watcher = bays(station, one)
    assert "identity-not-unique" not in found(dock(world, one, make_card(tmp_path / "1", FILES)).record)
    watcher.devices.append(two)
    twin = dock(world, two, make_card(tmp_path / "2", OTHERS))
    assert len(site.rows("SELECT id FROM docking")) == 2, "read at once, not by a second docking"
    assert set(outcomes(twin.record).values()) == {"stored"}
    assert "identity-not-unique" in found(twin.record)
    assert "p1" in next(f["detail"] for f in twin.record["findings"] if f["code"] == "identity-not-unique")
    assert "identity-not-unique" in found(dock(world, one, tmp_path / "1").record)
    watcher.devices.remove(two)
    alone = dock(world, one, tmp_path / "1")
    assert "identity-not-unique" not in found(alone.record)


class Late:
    """Notices another recorder the moment its own docking begins to read."""

    def __init__(self, notice: Any) -> None:
        self._notice = notice

    def begin(self, files: int, size: int) -> None:
        self._notice()

    def __getattr__(self, _name: str) -> Any:
        return lambda *_: None


@pytest.mark.usefixtures("no_births")
def test_what_was_recognised_before_the_twin_came_is_read_after_all(
    station: Station, site: Site, tmp_path: Path
) -> None:
    """Two recorders of one serial: the second shows up while the first is docked, and one of them had been here before."""
    one, two = device("p1", SERIAL, UUID), device("p2", SERIAL, UUID)
    world, watcher = bays(station, one)
    dock(world, one, make_card(tmp_path / "1", FILES))

    def notice() -> None:
        watcher.devices.append(two)
        world.identify(two, None)

    result = dock(world, one, make_card(tmp_path / "2", OTHERS), Late(notice))
    assert set(outcomes(result.record).values()) == {"stored"}
    assert "identity-not-unique" in found(result.record)
    assert complaints(site, [*FILES.values(), *OTHERS.values()]) == []


def test_a_recorder_that_moved_to_another_slot_is_no_twin_of_itself() -> None:
    old, new = device("p1", SERIAL, UUID), device("p2", SERIAL, UUID, stay="2")
    watcher = Watcher(new)
    live = LiveKeys(watcher.present)
    live.note(old, "serial:x")
    live.note(new, "serial:x")
    identity = SourceIdentity("serial:x", "x", identified=True)
    assert live.sure(new, identity) == identity


@pytest.mark.usefixtures("no_births")
def test_inode_numbers_of_a_file_system_that_makes_them_up_identify_nothing(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of a FAT card, given by itself: another card at the same mount point may show the same numbers."""
    monkeypatch.setattr(source, "_OWN_TIMES", set())
    card = make_card(tmp_path / "card/DCIM", {"a.jpg": b"a"})
    assert outcomes(site.ingest(card).record) == {"a.jpg": "stored"}
    assert outcomes(site.ingest(card).record) == {"a.jpg": "sighting"}, "it was read"
