"""Recorders: their registration by several keys, what they say of themselves, and what is told of them afterwards."""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mediad.catalog.ledger import Ledger
from mediad.cli.progress import _Plain
from mediad.edges import files
from mediad.edges import origin as origins
from mediad.errors import Busy
from mediad.model.acts import Actor
from mediad.model.carried import SlotIdentity
from mediad.model.custody import Draft
from mediad.model.evidence import DockingState
from mediad.model.profile import Unlock
from mediad.model.slots import UsbDevice, UsbVolume
from mediad.wiring import usb
from mediad.wiring.bureau.acts import REGISTER_LOCK, perform
from mediad.wiring.docking import device_identity, dock_path
from mediad.wiring.station import Station, lock_folder
from mediad.wiring.usb import UsbWorld
from tests.audit_support import facts, fsck
from tests.support import Site, complaints, make_card, noise

UUID = "5F3C-2A1E"
FILES: Mapping[str | bytes, bytes] = {"DCIM/a.mp4": noise(9_000, 1), "b.jpg": noise(5_000, 2)}


@pytest.fixture
def station(site: Site) -> Iterator[Station]:
    with closing(site.open()) as opened:
        yield opened


def add(site: Site, *arguments: str, expect: int = 0) -> str:
    """`mediad recorder add`; returns what it said."""
    done = site.run("recorder", "add", *arguments)
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def listed(site: Site) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = json.loads(site.run("recorder", "list", "--json").stdout)
    return answer


def rebuilt(site: Site) -> None:
    """Everything once more from the vault alone; nothing of it may differ."""
    before = facts(site)
    done = site.run("rebuild", "--replace")
    assert done.returncode == 0, done.stderr
    assert facts(site) == before


# --- registration -------------------------------------------------------------------------------------------------------


def test_a_recorder_is_known_by_any_of_its_keys(site: Site) -> None:
    add(site, "R-1", "--serial", "USB-77", "--uuid", UUID, "--uuid", "AAAA-BBBB", "--name", "07号")
    (row,) = listed(site)
    assert row["id"].startswith("rcd-")
    assert (row["label"], row["name"]) == ("R-1", "07号")
    assert row["keys"] == ["fsuuid:5F3C-2A1E", "fsuuid:AAAA-BBBB", "serial:R-1", "serial:USB-77"]
    with closing(site.open()) as station:
        for key in row["keys"]:
            who = station.identify(["serial:nobody", key], "x")
            assert (who.recorder_id, who.key, who.label, who.registered) == (row["id"], key, "R-1", True)
        assert station.identify(["serial:nobody"], "x").recorder_id is None


def test_a_recorder_that_is_registered_again_keeps_its_id_and_all_that_is_not_said_anew(site: Site) -> None:
    add(site, "R-1", "--name", "07号", "--profile", "generic")
    (before,) = listed(site)
    add(site, "R-1", "--uuid", UUID)
    add(site, "R-1", "--serial", "USB-77", "--name", "08号")
    add(site, "USB-77")
    (after,) = listed(site)
    keys = ["fsuuid:5F3C-2A1E", "serial:R-1", "serial:USB-77"]
    assert after == {**before, "name": "08号", "keys": keys}, "the label and the day of its registration too"
    assert "fsuuid:5F3C-2A1E" in site.run("recorder", "list").stdout
    rebuilt(site)
    assert listed(site) == [after]


def test_a_key_of_another_recorder_is_refused(site: Site) -> None:
    add(site, "R-1", "--uuid", UUID)
    add(site, "R-2")
    before = listed(site)
    for arguments in (("R-2", "--uuid", UUID), ("R-3", "--serial", "R-1")):
        said = add(site, *arguments, expect=4)
        assert "is a key of recorder R-1 already" in said
        assert "->" in said
    assert listed(site) == before


def test_two_commands_never_register_at_one_moment(site: Site) -> None:
    """Else both could find a key free and give it to two recorders."""

    def make(_ledger: Ledger, _: Actor) -> list[Draft]:
        with pytest.raises(Busy), files.locked(lock_folder(site.config) / REGISTER_LOCK, busy="x"):
            pass
        return [Draft("slot.named", "usb-1", {"name": "1号"})]

    perform(site.config, "name-slot", make)
    assert site.rows("SELECT name FROM slot") == [("1号",)]


def test_a_docking_names_the_registration(site: Site, tmp_path: Path) -> None:
    card = make_card(tmp_path / "card", FILES)
    stranger = site.ingest(card, recorder="R-1")
    add(site, "R-1", "--name", "07号")
    (row,) = listed(site)
    known = site.ingest(card, recorder="R-1")
    assert (stranger.record["recorder"]["id"], known.record["recorder"]["id"]) == (None, row["id"])
    opened = [json.loads(d) for (d,) in site.rows("SELECT detail FROM custody WHERE kind = 'docking.opened'")]
    assert [(d["recorder"], d["recorder_id"]) for d in opened] == [("serial:R-1", None), ("serial:R-1", row["id"])]
    assert complaints(site, FILES.values()) == []
    assert fsck(site).findings == []
    rebuilt(site)


def test_key_and_label_are_called_so_wherever_an_original_is_told_of(site: Site, tmp_path: Path) -> None:
    """In a docking `recorder` is the key; nothing else may use the word for the label."""
    site.ingest(make_card(tmp_path / "card", FILES), recorder="R 1")
    (detail,) = {d for (d,) in site.rows("SELECT detail FROM custody WHERE kind = 'asset.stored' LIMIT 1")}
    sidecar = json.loads(next(site.vault.glob("originals/*/*/*/*/*/record.json")).read_bytes())
    for told in (json.loads(detail), *sidecar["files"]):
        assert (told["source"], told["label"], "recorder" in told) == ("serial:R 1", "R_1", False)
    assert set(site.rows("SELECT source, label FROM recording")) == {("serial:R 1", "R_1")}
    recordings = json.loads(site.run("recordings", "--json").stdout)
    assert {r["recorder"] for r in recordings} == {"R_1"}
    shown = json.loads(site.run("show", recordings[0]["id"], "--json").stdout)
    assert (shown["recorder"], shown["source"]) == ("R_1", "serial:R 1")


# --- what it says of itself ---------------------------------------------------------------------------------------------


def device() -> UsbDevice:
    volume = UsbVolume("/dev/sdb1", "vfat", UUID, "REC", 1, 1000)
    return UsbDevice("p1", "storage", "", "v", "DSJ", "1d6b", "0104", 1, 5, (volume,), "1")


class Watcher:
    def present(self, device: UsbDevice, grace_seconds: float = 0.0) -> bool:
        return True


def docked(station: Station, card: Path, said: SlotIdentity | None) -> Mapping[str, Any]:
    world = UsbWorld(station, Watcher())  # type: ignore[arg-type]
    identity = device_identity(station, device(), said)
    return world.dock(device(), {UUID: card}, {}, _Plain("test"), identity, said).record  # type: ignore[arg-type]


def test_what_a_recorder_said_stands_in_the_log_and_in_the_record(site: Site, tmp_path: Path) -> None:
    """Its own clock beside the station's is the only evidence of how far it is off."""
    said = SlotIdentity(
        serial="GA12345", officer="000123", officer_name="王\u202e小明", unit_name="x" * 500, clock="2026-11-23 09:30:00",
        heard_at="2026-11-23T01:31:12.000000Z",
    )  # fmt: skip
    with closing(site.open()) as station:
        record = docked(station, make_card(tmp_path / "card", FILES), said)
    assert record["said"] == {
        "serial": "GA12345", "officer": "000123", "officer_name": r"王\xe2\x80\xae小明", "unit_name": "x" * 64,
        "clock": "2026-11-23 09:30:00", "heard_at": "2026-11-23T01:31:12.000000Z",
    }  # fmt: skip
    assert record["officer"] == "000123"
    (opened,) = [json.loads(d) for (d,) in site.rows("SELECT detail FROM custody WHERE kind = 'docking.opened'")]
    assert opened["said"] == record["said"]
    shown = json.loads(site.run("show", record["docking"], "--json").stdout)
    assert (shown["said"], shown["zones"]) == (record["said"], record["zones"])
    assert json.loads(site.run("handover", "list", "--json").stdout)[0]["said"] == record["said"]
    assert complaints(site, FILES.values()) == []
    assert fsck(site).findings == []
    rebuilt(site)


@pytest.mark.parametrize("said", [None, SlotIdentity(), SlotIdentity(heard_at="2026-11-23T01:31:12.000000Z")])
def test_a_recorder_that_said_nothing_is_recorded_as_such(
    station: Station, tmp_path: Path, said: SlotIdentity | None
) -> None:
    assert docked(station, make_card(tmp_path / "card", FILES), said)["said"] is None


def test_the_stations_clock_is_kept_with_what_a_recorder_says(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = SlotIdentity(serial="GA12345", clock="2020-01-01 00:00:00")
    monkeypatch.setattr(usb, "unlock", lambda *_, **__: said)
    profile = replace(station.profiles[-1], attach="unlock", unlock=Unlock(("true",)))
    heard = UsbWorld(station, Watcher()).unlock(device(), profile)  # type: ignore[arg-type]
    assert (heard.serial, heard.clock) == (said.serial, said.clock)
    assert heard.heard_at.startswith("20")
    assert heard.heard_at.endswith("Z")


@pytest.mark.parametrize(("wall_clock", "zones"), [(True, {UUID: "Asia/Shanghai"}), (False, {})])
def test_the_zone_that_was_assumed_for_file_times_is_recorded(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wall_clock: bool, zones: dict[str, str]
) -> None:
    monkeypatch.setattr(origins, "wall_clock", lambda _path: wall_clock)
    assert docked(station, make_card(tmp_path / "card", FILES), None)["zones"] == zones


# --- what is left on it -------------------------------------------------------------------------------------------------


def left(site: Site) -> list[tuple[str, str]]:
    """Recorders of which `mediad status` says that not everything was taken."""
    alarms = json.loads(site.run("status", "--json").stdout)["alarms"]
    return [(a["subject"], a["detail"]) for a in alarms if a["code"] == "docking-incomplete"]


def test_a_recorder_whose_last_docking_did_not_take_everything_is_listed_until_it_did(
    site: Site, tmp_path: Path
) -> None:
    """Its slot says so only while it is plugged in, and there is no alarm."""
    card = make_card(tmp_path / "card", FILES)
    with closing(site.open()) as station:
        station.stop.set()
        broken = dock_path(station, card, _Plain("test"), recorder="R-1")
        assert broken.state is DockingState.INTERRUPTED
    site.ingest(make_card(tmp_path / "other", {"c.mp4": b"c"}), recorder="R-2")
    ((subject, detail),) = left(site)
    assert subject == "R-1"
    assert detail.startswith("采集中断，请重新插入 ")
    assert broken.docking in detail
    assert "告警 alarm docking-incomplete: R-1: 采集中断" in site.run("status").stdout
    sparse = card / "sparse.bin"
    with open(sparse, "wb") as f:
        f.truncate(8 * 1024**4)  # larger than the vault's disk: fails without being read
    assert site.ingest(card, recorder="R-1").state is DockingState.INCOMPLETE
    ((_, detail),) = left(site)
    assert detail.startswith("有文件未能采集，请重新插入 1 files could not be taken")
    sparse.unlink()
    site.ingest(card, recorder="R-1")
    assert left(site) == []


def test_nobody_is_asked_to_dock_a_folder(site: Site, tmp_path: Path) -> None:
    folder = make_card(tmp_path / "exports", {"a.mp4": b"a", "sparse.bin": b""})
    with open(folder / "sparse.bin", "r+b") as f:
        f.truncate(8 * 1024**4)
    docking = site.ingest(folder).docking
    assert left(site) == [
        ("exports", f"有文件未能采集 1 files could not be taken at its last docking: {docking}"),
    ]


def test_a_recorder_is_the_same_one_by_whichever_key_it_was_docked(site: Site, tmp_path: Path) -> None:
    add(site, "R-1", "--serial", "USB-77")
    card = make_card(tmp_path / "card", FILES)
    with closing(site.open()) as station:
        station.stop.set()
        dock_path(station, card, _Plain("test"), recorder="R-1")
    assert len(left(site)) == 1
    site.ingest(card, recorder="USB-77")
    assert left(site) == []


# --- the vault's registration -------------------------------------------------------------------------------------------


def test_a_vault_that_is_dedicated_no_more_is_registered_again(site: Site) -> None:
    """Whether originals lie in a dedicated store counts by the log, so the log must tell when that changed."""
    site.open().close()
    text = site.config_file.read_text(encoding="utf-8")
    before = site.rows("SELECT registered_at, dedicated FROM vault")[0]
    other = "false" if before[1] else "true"
    site.config_file.write_text(
        text.replace('name = "local"', f'name = "local"\ndedicated = {other}'), encoding="utf-8"
    )
    for _ in range(2):
        with closing(site.open()) as station:
            station.finish_open_work()
    registered = [json.loads(d) for (d,) in site.rows("SELECT detail FROM custody WHERE kind = 'vault.registered'")]
    assert [d["dedicated"] for d in registered] == [bool(before[1]), not before[1]]
    assert registered[0]["marker"] == registered[1]["marker"]
    assert site.rows("SELECT registered_at, dedicated FROM vault") == [(before[0], 1 - before[1])]
    site.run("slots", "name", "usb-1", "1号")  # mirrors
    rebuilt(site)
