"""What happens on a slot, from "plugged in" to "safe to take": real bays and a real board before a world of paper."""

import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import ClassVar

import pytest

from mediad import bay
from mediad.bay import Bays, BoardProgress
from mediad.edges.board import Board
from mediad.edges.folders import FolderReady
from mediad.edges.mount import Udisks
from mediad.edges.usb import UsbWatcher
from mediad.errors import Busy, DeviceError, DeviceGone, MediadError, Stopping, StorageError, VaultFull, VaultOffline
from mediad.model.board import NOT_BACK, NOT_LET_GO, SENTENCES, TOO_EARLY
from mediad.model.carried import SlotIdentity
from mediad.model.evidence import Counts, DockingState, Outcome, SourceIdentity
from mediad.model.profile import Profile
from mediad.model.slots import SlotChange, UsbDevice, UsbVolume
from mediad.session import Result
from mediad.wiring import parts
from mediad.wiring.usb import UsbWorld
from tests.support import Site, make_site

PORT = "pci-0000:00:03.0-usb-0:1"
OTHER = "pci-0000:00:03.0-usb-0:2"
PATIENCE = 30.0


def volume(node: str = "/dev/sdb1", *, fstype: str = "vfat", partition: int = 1, uuid: str = "") -> UsbVolume:
    return UsbVolume(node, fstype, uuid or node[-1], "", partition, 1000)


def device(
    stay: str = "1", *volumes: UsbVolume, kind: str = "storage", port: str = PORT, serial: str = "REC-1"
) -> UsbDevice:
    given = volumes or ((volume(),) if kind == "storage" else ())
    return UsbDevice(port, kind, serial, "v", "m", "1d6b", "0104", 1, 5, given, stay)  # type: ignore[arg-type]


def result(error: MediadError | None = None, *, failed: int = 0) -> Result:
    state = DockingState.COMPLETE if error is None else DockingState.INTERRUPTED
    return Result("dck-1", state, Counts(new=1, failed=failed), {}, error=error)


class World:
    """Notes every call, and does what the test tells it to."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.calls: list[str] = []
        self.results: list[Result | Callable[[], Result]] = []
        self.mount_errors: dict[str, MediadError] = {}
        self.vault_troubles: list[MediadError] = []
        self.unmount_errors: list[MediadError] = []
        self.wanted_unknown = True
        self.registered = True
        self.profile: Profile | None = Profile("locked", attach="unlock")
        self.said = SlotIdentity(serial="SAID-7", officer="000123")
        self.unlock_error: MediadError | None = None
        self.powers_off = False
        self.here = True
        self.told: list[SlotIdentity | None] = []
        self.broken: Mapping[str, str] = {}
        self.docked: dict[str, threading.Event] = defaultdict(threading.Event)

    def control_profile(self, device: UsbDevice) -> Profile | None:
        return self.profile

    def unlock(self, device: UsbDevice, profile: Profile) -> SlotIdentity:
        self.calls.append("unlock")
        if self.unlock_error:
            raise self.unlock_error
        return self.said

    def identify(self, device: UsbDevice, carried: SlotIdentity | None) -> SourceIdentity:
        serial = carried.serial if carried else device.serial
        return SourceIdentity(f"serial:{serial}", serial, identified=True, registered=self.registered)

    def wanted(self, identity: SourceIdentity) -> bool:
        return self.wanted_unknown

    def mtp_serial(self, device: UsbDevice) -> UsbDevice:
        self.calls.append("mtp serial")
        return device

    def settle_seconds(self, device: UsbDevice) -> float:
        return 0.0

    def mount(self, device: UsbDevice, volume: UsbVolume | None) -> Path:
        node = volume.devnode if volume else "mtp"
        self.calls.append(f"mount {node}")
        if node in self.mount_errors:
            raise self.mount_errors[node]
        return Path("/media") / node.strip("/")

    def unmount(self, device: UsbDevice) -> None:
        self.calls.append(f"unmount {device.stay}")
        if self.unmount_errors:
            raise self.unmount_errors.pop(0)

    def power_off(self, device: UsbDevice) -> bool:
        self.calls.append("power off?")
        return self.powers_off

    def present(self, device: UsbDevice) -> bool:
        return self.here

    def dock(
        self,
        device: UsbDevice,
        mounts: Mapping[str, Path],
        broken: Mapping[str, str],
        progress: BoardProgress,
        identity: SourceIdentity,
        said: SlotIdentity | None,
    ) -> Result:
        self.calls.append(f"dock {identity.label} {sorted(mounts)}")
        self.told.append(said)
        self.broken = broken
        progress.begin(2, 100)
        progress.settled(Outcome.STORED, 50)
        progress.moved(50)
        self.docked[device.stay].set()
        answer = self.results.pop(0) if self.results else result()
        return answer() if callable(answer) else answer

    def vault_trouble(self) -> MediadError | None:
        self.calls.append("vault?")
        return self.vault_troubles.pop(0) if self.vault_troubles else None

    def finish_open_work(self) -> object:
        self.calls.append("finish open work")
        return None


class Station:
    """Bays with a world and a board, and the states that each slot went through."""

    def __init__(self, folder: Path) -> None:
        self.world = World()
        self.states: list[tuple[str, str, tuple[str, ...]]] = []
        self.reached: dict[str, threading.Event] = defaultdict(threading.Event)
        self.board = Board(folder, self._state)
        self.bays = Bays(self.world, self.board)

    def _state(self, slot: str, state: str) -> None:
        self.states.append((slot, state, tuple(self.world.calls)))
        self.reached[state].set()

    def plug(self, device: UsbDevice) -> None:
        self.bays.change(SlotChange(device.port, device))

    def pull(self, port: str = PORT) -> None:
        self.bays.change(SlotChange(port, None))

    def settle(self) -> None:
        assert self.bays.finish(PATIENCE), "a bay hangs"

    def went(self, port: str = PORT) -> list[str]:
        return [state for slot, state, _ in self.states if slot == port]

    @property
    def state(self) -> str:
        return self.board.view(PORT).state

    @property
    def why(self) -> str:
        return self.board.view(PORT).why


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path)
    yield made
    made.world.stop.set()
    made.bays.finish(PATIENCE)


class Timer:
    """A timer that rings when the test says so."""

    made: ClassVar[list["Timer"]] = []

    def __init__(self, _seconds: float, act: Callable[..., None], args: tuple[object, ...]) -> None:
        self.daemon = False
        self.ring = lambda: act(*args)
        self.made.append(self)

    def start(self) -> None: ...


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> list[Timer]:
    monkeypatch.setattr(Timer, "made", [])
    monkeypatch.setattr(bay.threading, "Timer", Timer)
    return Timer.made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once."""
    monkeypatch.setattr(bay, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(bay, "UNMOUNT_SECONDS", 0.0)


def held(gate: threading.Event, answer: Result | None = None) -> Callable[[], Result]:
    """A docking that ends only when the test lets it."""

    def dock() -> Result:
        assert gate.wait(PATIENCE)
        return answer or result()

    return dock


# --- the usual way ----------------------------------------------------------------------------------------------------


def test_a_recorder_is_detected_copied_and_then_safe(station: Station) -> None:
    station.plug(device())
    station.settle()
    assert station.went() == ["detecting", "copying", "safe"]
    view = station.board.view(PORT)
    assert (view.recorder, view.docking, view.files_done, view.files_total) == ("REC-1", "dck-1", 1, 2)


def test_it_is_unmounted_before_it_is_called_safe(station: Station) -> None:
    station.plug(device())
    station.settle()
    calls = next(calls for _, state, calls in station.states if state == "safe")
    assert "unmount 1" in calls
    assert station.world.calls.index("unmount 1") > station.world.calls.index("dock REC-1 ['1']")


def test_a_slot_is_free_again_when_a_safe_recorder_is_taken(station: Station) -> None:
    station.plug(device())
    station.settle()
    station.pull()
    assert station.state == "idle"
    assert station.board.view(PORT).recorder == ""


def test_recorders_are_taken_side_by_side(station: Station) -> None:
    gate = threading.Event()
    station.world.results = [held(gate)]
    station.plug(device("1"))
    assert station.world.docked["1"].wait(PATIENCE)
    station.plug(device("2", port=OTHER, serial="REC-2"))
    assert station.world.docked["2"].wait(PATIENCE), "the second waits for the first"
    gate.set()
    station.settle()
    assert station.went(OTHER)[-1] == station.went()[-1] == "safe"


def test_every_partition_is_docked_in_one_docking_and_a_broken_one_is_reported(station: Station) -> None:
    station.world.mount_errors = {"/dev/sdb2": DeviceError("the file system is damaged")}
    station.plug(device("1", volume("/dev/sdb1"), volume("/dev/sdb2"), volume("/dev/sdb3", fstype="iso9660")))
    station.settle()
    assert [c for c in station.world.calls if c.startswith("dock")] == ["dock REC-1 ['1']"]
    assert station.world.broken == {"2": "the file system is damaged"}


def test_volumes_of_one_uuid_are_kept_apart(station: Station) -> None:
    station.plug(device("1", volume("/dev/sdb1", uuid="same"), volume("/dev/sdb2", uuid="same")))
    station.settle()
    assert "dock REC-1 ['same', 'same+']" in station.world.calls


def test_an_mtp_recorder_tells_its_serial_and_is_mounted_as_a_whole(station: Station) -> None:
    station.plug(device(kind="mtp"))
    station.settle()
    assert station.world.calls[:3] == ["mtp serial", "mount mtp", "dock REC-1 ['mtp']"]
    assert station.state == "safe"


def test_a_reader_without_a_card_leaves_the_slot_free(station: Station) -> None:
    station.plug(UsbDevice(PORT, "storage", "X", "v", "m", "1", "2", 1, 5, (), "1"))
    station.settle()
    assert station.state == "idle"
    assert station.world.calls == []


# --- taken away -------------------------------------------------------------------------------------------------------


def test_a_recorder_pulled_in_the_middle_calls_for_attention(station: Station) -> None:
    gate = threading.Event()
    station.world.results = [held(gate, result(DeviceGone("the recorder was taken away")))]
    station.plug(device())
    assert station.world.docked["1"].wait(PATIENCE)
    station.pull()
    assert station.state == "attention", "told at once, not when the docking has ended"
    gate.set()
    station.settle()
    assert station.state == "attention"
    assert "拔出过早" in station.why
    assert "safe" not in station.went()
    assert "unmount 1" in station.world.calls


def test_a_recorder_pulled_between_the_last_file_and_the_word_leaves_a_free_slot(station: Station) -> None:
    gate = threading.Event()
    station.world.results = [held(gate)]
    station.plug(device())
    assert station.world.docked["1"].wait(PATIENCE)
    station.pull()
    gate.set()
    station.settle()
    assert station.state == "idle"
    assert "safe" not in station.went()


def test_a_pull_during_a_power_off_that_fails_leaves_a_free_slot(station: Station) -> None:
    def pulled(_device: UsbDevice) -> bool:
        station.pull()
        raise DeviceGone("it left")

    station.world.power_off = pulled  # type: ignore[method-assign]
    station.plug(device())
    station.settle()
    assert station.state == "idle"
    assert "attention" not in station.went(), "nothing was lost by it"


def test_a_recorder_that_is_gone_before_the_watcher_has_seen_it_is_told_until_the_next_one_comes(
    station: Station,
) -> None:
    """Reading fails at once, the port needs a moment to settle: the second news must not wipe out the first."""
    station.world.results = [result(DeviceGone("the recorder was taken away"))]
    station.plug(device("1"))
    station.settle()
    station.pull()
    assert (station.state, station.why) == ("attention", TOO_EARLY)
    station.plug(device("2"))
    station.settle()
    assert station.state == "safe"


def test_a_recorder_that_vanishes_while_it_is_mounted_was_taken_too_early(station: Station) -> None:
    station.world.mount_errors = {"/dev/sdb1": DeviceGone("it left the bus")}
    station.plug(device())
    station.settle()
    assert (station.state, station.why) == ("attention", TOO_EARLY)


def test_nothing_is_shown_of_a_docking_whose_recorder_has_left(station: Station) -> None:
    """The session notices it later than the port: what it goes on to say must not put the slot back to copying."""
    gate, progress = threading.Event(), []

    def dock(device: UsbDevice, *args: object) -> Result:
        progress.append(args[2])
        station.world.docked[device.stay].set()
        assert gate.wait(PATIENCE)
        args[2].begin(9, 9)  # type: ignore[attr-defined]
        args[2].paused(VaultFull("full"))  # type: ignore[attr-defined]
        args[2].paused(None)  # type: ignore[attr-defined]
        return result(DeviceGone("gone"))

    station.world.dock = dock  # type: ignore[method-assign, assignment]
    station.plug(device())
    assert station.world.docked["1"].wait(PATIENCE)
    station.pull()
    gate.set()
    station.settle()
    assert station.went()[-1] in ("attention", "idle")
    assert "copying" not in station.went()


def test_another_device_in_the_place_of_a_safe_recorder_is_not_called_safe_for_a_moment(station: Station) -> None:
    """Swapped within the time that a port takes to settle, so that its leaving is never told; a mouse says nothing of itself."""
    station.plug(device("1"))
    station.settle()
    station.world.profile = None
    station.plug(device("2", kind="control"))
    assert station.state == "idle"
    assert station.board.view(PORT).recorder == ""
    gate = threading.Event()
    station.world.results = [held(gate)]
    station.plug(device("3"))
    assert station.state in ("detecting", "copying")
    gate.set()
    station.settle()


def test_a_late_partition_takes_back_the_word_at_once(station: Station) -> None:
    station.plug(device("1", volume("/dev/sdb1")))
    station.settle()
    assert station.state == "safe"
    gate = threading.Event()
    station.world.results = [held(gate)]
    station.plug(device("1", volume("/dev/sdb1"), volume("/dev/sdb2")))
    assert station.state in ("detecting", "copying")
    gate.set()
    station.settle()
    assert station.state == "safe"


def test_a_card_pulled_out_of_its_reader_in_the_middle_calls_for_attention(station: Station) -> None:
    gate = threading.Event()
    station.world.results = [held(gate, result(DeviceGone("no medium")))]
    station.plug(device("1"))
    assert station.world.docked["1"].wait(PATIENCE)
    station.plug(UsbDevice(PORT, "storage", "X", "v", "m", "1", "2", 1, 5, (), "1.1"))
    gate.set()
    station.settle()
    assert (station.state, station.why) == ("attention", TOO_EARLY)


def test_a_second_stay_waits_until_the_first_has_unmounted(station: Station) -> None:
    gate = threading.Event()
    station.world.results = [held(gate, result(DeviceGone("gone")))]
    station.plug(device("1"))
    assert station.world.docked["1"].wait(PATIENCE)
    station.plug(device("2"))
    assert not station.world.docked["2"].is_set()
    gate.set()
    station.settle()
    calls = station.world.calls
    assert calls.index("unmount 1") < calls.index("mount /dev/sdb1", calls.index("mount /dev/sdb1") + 1)
    assert station.state == "safe"


def test_what_was_mounted_is_unmounted_when_the_recorder_leaves_before_the_rest_is_mounted(station: Station) -> None:
    station.world.mount_errors = {"/dev/sdb2": DeviceGone("it left the bus")}
    station.plug(device("1", volume("/dev/sdb1"), volume("/dev/sdb2")))
    station.settle()
    assert station.world.calls == ["mount /dev/sdb1", "mount /dev/sdb2", "unmount 1"]


# --- late partitions --------------------------------------------------------------------------------------------------


def test_a_late_partition_docks_the_same_stay_again_and_only_then_it_is_safe(station: Station) -> None:
    gate = threading.Event()
    station.world.results = [held(gate)]
    station.world.powers_off = True
    station.plug(device("1", volume("/dev/sdb1")))
    assert station.world.docked["1"].wait(PATIENCE)
    station.plug(device("1", volume("/dev/sdb1"), volume("/dev/sdb2")))
    gate.set()
    station.settle()
    assert [c for c in station.world.calls if c.startswith("dock")] == ["dock REC-1 ['1']", "dock REC-1 ['1', '2']"]
    assert station.went() == ["detecting", "copying", "detecting", "copying", "safe"]
    assert station.world.calls.count("power off?") == 1, "powered off before its second partition was read"


def test_hearing_the_same_again_docks_nothing(station: Station) -> None:
    station.plug(device("1", volume("/dev/sdb1"), volume("/dev/sdb2")))
    station.plug(device("1", volume("/dev/sdb1")))
    station.settle()
    assert len([c for c in station.world.calls if c.startswith("dock")]) == 1


# --- unlocking --------------------------------------------------------------------------------------------------------


def test_an_unlocked_recorder_carries_its_identity_to_its_disk(station: Station) -> None:
    station.plug(device("1", kind="control"))
    station.settle()
    assert station.state == "unlocking"
    station.pull()
    assert station.state == "unlocking", "it only changes its face"
    station.plug(device("2"))
    station.settle()
    assert "dock SAID-7 ['1']" in station.world.calls
    assert station.world.told == [station.world.said]
    assert station.went() == ["unlocking", "detecting", "copying", "safe"]


def test_the_identity_is_not_believed_of_the_recorder_after_it(station: Station) -> None:
    station.plug(device("1", kind="control"))
    station.settle()
    station.pull()
    station.plug(device("2"))
    station.settle()
    station.pull()
    station.plug(device("3", serial="REC-9"))
    station.settle()
    assert station.world.calls[-4:] == ["mount /dev/sdb1", "dock REC-9 ['1']", "unmount 3", "power off?"]


def test_a_late_partition_of_an_unlocked_recorder_keeps_the_identity(station: Station) -> None:
    station.plug(device("1", kind="control"))
    station.settle()
    station.plug(device("2", volume("/dev/sdb1")))
    station.settle()
    station.plug(device("2", volume("/dev/sdb1"), volume("/dev/sdb2")))
    station.settle()
    assert "dock SAID-7 ['1', '2']" in station.world.calls


def test_a_mouse_is_no_recorder(station: Station) -> None:
    station.world.profile = None
    station.plug(device(kind="control"))
    station.settle()
    assert station.world.calls == []
    assert station.went() == []


def test_a_recorder_that_cannot_be_unlocked_calls_for_attention(station: Station) -> None:
    station.world.unlock_error = DeviceError("the password is wrong")
    station.plug(device(kind="control"))
    station.settle()
    assert (station.state, station.why) == ("attention", f"{SENTENCES['device']} the password is wrong")


def test_an_unlocked_recorder_that_does_not_come_back_calls_for_attention(
    station: Station, timers: list[Timer]
) -> None:
    station.plug(device(kind="control"))
    station.settle()
    station.pull()
    timers[0].ring()
    assert (station.state, station.why) == ("attention", NOT_BACK)


def test_the_patience_for_one_recorder_is_not_that_for_the_next(station: Station, timers: list[Timer]) -> None:
    """The first was unlocked and taken away; the second has only just been unlocked when the first one's time is over."""
    for stay in ("1", "2"):
        station.plug(device(stay, kind="control"))
        station.settle()
    timers[0].ring()
    assert station.state == "unlocking"
    timers[1].ring()
    assert station.state == "attention"


def test_a_recorder_taken_away_while_it_cannot_be_unlocked_does_not_stay_unlocking(station: Station) -> None:
    """Leaving the bus is what an unlocked recorder does; this one was not."""

    def pulled(_device: UsbDevice, _profile: Profile) -> SlotIdentity:
        station.pull()
        raise DeviceError("it does not answer")

    station.world.unlock = pulled  # type: ignore[method-assign]
    station.plug(device(kind="control"))
    station.settle()
    assert (station.state, station.why) == ("attention", "记录仪或存储卡出错，请重新插入 it does not answer")


# --- who is not known -------------------------------------------------------------------------------------------------


def test_an_unregistered_device_is_left_alone_where_that_is_configured(station: Station) -> None:
    station.world.registered, station.world.wanted_unknown = False, False
    station.plug(device())
    station.settle()
    assert station.world.calls == []
    assert station.state == "idle"


def test_an_unregistered_device_is_taken_by_default(station: Station) -> None:
    station.world.registered = False
    station.plug(device())
    station.settle()
    assert station.state == "safe"


# --- trouble ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
def test_a_docking_that_the_vault_broke_off_is_tried_again_by_itself(station: Station) -> None:
    station.world.results = [result(VaultOffline("the vault is away")), result(VaultOffline("still")), result()]
    station.plug(device())
    station.settle()
    assert station.went() == ["detecting", "copying", "attention", "copying", "attention", "copying", "safe"]
    assert station.world.calls.count("finish open work") == 2
    assert station.world.calls.count("unmount 1") == 3


@pytest.mark.usefixtures("impatient")
def test_a_vault_that_cannot_even_take_the_record_is_waited_for(station: Station) -> None:
    """Closing the docking fails as well, so that it stays open; it is finished before the next try."""

    def away() -> Result:
        raise VaultOffline("the vault is away")

    station.world.results = [away, result()]
    station.plug(device())
    station.settle()
    assert station.went()[-2:] == ["copying", "safe"]
    assert "attention" in station.went()
    assert station.world.calls.count("finish open work") == 1


@pytest.mark.usefixtures("impatient")
def test_the_recorder_is_not_listed_again_before_the_vault_is_back(station: Station) -> None:
    station.world.results = [result(VaultOffline("away"))]
    station.world.vault_troubles = [VaultOffline("still away"), VaultOffline("and still")]
    station.plug(device())
    station.settle()
    calls = [c for c in station.world.calls if c in ("vault?", "dock REC-1 ['1']")]
    assert calls == ["dock REC-1 ['1']", "vault?", "vault?", "vault?", "dock REC-1 ['1']"]
    assert station.state == "safe"


def test_each_try_is_waited_for_twice_as_long_as_the_one_before_up_to_five_minutes(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def hurried(_run: object, seconds: float) -> bool:
        waits.append(seconds)
        return False

    monkeypatch.setattr(station.bays, "_hurried", hurried)
    station.world.results = [result(VaultOffline("away"))] * 7
    station.world.vault_troubles = [VaultOffline("still")]  # looking at the vault costs nothing
    station.plug(device())
    station.settle()
    assert waits == [15, 15, 30, 60, 120, 240, 300, 300]


def test_a_recorder_taken_while_it_waits_for_the_vault_does_not_keep_the_next_one_waiting(station: Station) -> None:
    station.world.results = [result(VaultOffline("the vault is away"))]
    station.plug(device("1"))
    assert station.reached["attention"].wait(PATIENCE)
    station.plug(device("2"))
    assert station.bays.finish(bay.RETRY_SECONDS / 2)
    assert station.state == "safe"


def test_a_late_partition_does_not_wait_for_the_vault_with_the_first(station: Station) -> None:
    station.world.results = [result(VaultOffline("the vault is away"))]
    station.plug(device("1", volume("/dev/sdb1")))
    assert station.reached["attention"].wait(PATIENCE)
    station.plug(device("1", volume("/dev/sdb1"), volume("/dev/sdb2")))
    assert station.bays.finish(bay.RETRY_SECONDS / 2)
    assert station.state == "safe"


def test_stopping_does_not_wait_for_the_vault(station: Station) -> None:
    station.world.results = [result(VaultOffline("the vault is away"))]
    station.plug(device("1"))
    assert station.reached["attention"].wait(PATIENCE)
    station.world.stop.set()
    assert station.bays.finish(bay.RETRY_SECONDS / 2)
    assert station.state == "attention"


@pytest.mark.usefixtures("impatient")
def test_a_recorder_that_is_gone_is_not_tried_again(station: Station) -> None:
    station.world.here = False
    station.world.results = [result(VaultOffline("the vault is away"))]
    station.plug(device())
    station.settle()
    assert len([c for c in station.world.calls if c.startswith("dock")]) == 1


@pytest.mark.usefixtures("impatient")
def test_a_docking_that_a_shutdown_broke_off_is_not_tried_again(station: Station) -> None:
    station.world.results = [result(Stopping("mediad is stopping"))]
    station.plug(device())
    station.settle()
    assert station.state == "attention"
    assert len([c for c in station.world.calls if c.startswith("dock")]) == 1


def test_files_that_failed_call_for_attention_though_the_docking_ended(station: Station) -> None:
    station.world.results = [result(failed=3)]
    station.plug(device())
    station.settle()
    assert (station.state, station.why) == ("attention", "有文件未能采集 3 files could not be taken")
    assert "power off?" not in station.world.calls


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("trouble", [Busy("target is busy"), DeviceError("/dev/sdb1 is still mounted")])
def test_a_recorder_that_stays_mounted_is_not_called_safe_until_it_is_let_go(
    station: Station, trouble: MediadError
) -> None:
    """Only unmounting is tried again, not the docking."""
    station.world.unmount_errors = [trouble] * 3
    station.plug(device())
    station.settle()
    assert station.went() == ["detecting", "copying", "attention", "safe"]
    assert station.world.calls == ["mount /dev/sdb1", "dock REC-1 ['1']", *["unmount 1"] * 4, "power off?"]


def test_while_something_holds_a_recorder_the_slot_says_so_and_stopping_ends_that(station: Station) -> None:
    station.world.unmount_errors = [Busy("target is busy")] * 9
    station.plug(device())
    assert station.reached["attention"].wait(PATIENCE)
    assert station.why == "正被占用，稍后自动重试 target is busy"
    station.world.stop.set()
    station.settle()
    assert station.state == "attention"
    assert "safe" not in station.went()


def test_a_recorder_held_by_something_may_be_taken_all_the_same_and_frees_its_slot(station: Station) -> None:
    station.world.unmount_errors = [Busy("target is busy")] * 2
    station.plug(device())
    assert station.reached["attention"].wait(PATIENCE)
    station.pull()
    station.settle()
    assert station.state == "idle"
    assert station.world.calls[-1] == "unmount 1", "its dead mount is taken away"


@pytest.mark.usefixtures("impatient")
def test_a_recorder_waits_for_the_one_before_it_but_not_without_a_word(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as an MTP recorder whose file system hangs until its unit is killed."""
    monkeypatch.setattr(bay, "LET_GO_SECONDS", 0.0)
    gate = threading.Event()
    station.world.results = [held(gate)]
    station.plug(device("1"))
    assert station.world.docked["1"].wait(PATIENCE)
    station.plug(device("2"))
    assert station.reached["attention"].wait(PATIENCE)
    assert station.why == NOT_LET_GO
    gate.set()
    station.settle()
    assert station.state == "safe"


def test_a_fault_of_the_program_calls_for_attention_and_the_slot_goes_on(station: Station) -> None:
    def bug() -> Result:
        raise KeyError("x")

    station.world.results = [bug]
    station.plug(device("1"))
    station.settle()
    assert station.state == "attention"
    assert "KeyError" in station.why
    station.plug(device("2"))
    station.settle()
    assert station.state == "safe"


def test_a_full_vault_shows_pause_and_then_goes_on(tmp_path: Path) -> None:
    board = Board(tmp_path)
    progress = BoardProgress(lambda make: board.change(PORT, make))
    progress.begin(1, 10)
    progress.paused(VaultFull("full"))
    assert (board.view(PORT).state, board.view(PORT).why) == ("paused", f"{SENTENCES['vault-full']} full")
    progress.paused(None)
    assert (board.view(PORT).state, board.view(PORT).why) == ("copying", "")


# --- power ------------------------------------------------------------------------------------------------------------


def test_powering_off_comes_after_unmounting_and_before_safe(station: Station) -> None:
    station.world.powers_off = True
    station.plug(device())
    station.settle()
    assert station.world.calls[-2:] == ["unmount 1", "power off?"]
    assert "power off?" in next(calls for _, state, calls in station.states if state == "safe")


def test_a_recorder_that_cannot_be_powered_off_is_safe_all_the_same(station: Station) -> None:
    def stubborn(_device: UsbDevice) -> bool:
        raise DeviceError("it has no switch")

    station.world.power_off = stubborn  # type: ignore[method-assign]
    station.plug(device())
    station.settle()
    assert station.state == "safe"


def test_a_recorder_without_power_is_safe_to_take_until_the_next_one_comes(station: Station) -> None:
    """Powered off, it leaves the bus, but not its slot."""

    def off(_device: UsbDevice) -> bool:
        station.pull()
        return True

    station.world.power_off = off  # type: ignore[method-assign]
    station.plug(device("1"))
    station.settle()
    station.pull()
    assert (station.state, station.board.view(PORT).recorder) == ("safe", "REC-1")
    assert "attention" not in station.went()
    gate = threading.Event()
    station.world.results = [held(gate)]
    station.plug(device("2", serial="REC-2"))
    assert station.state != "safe"
    gate.set()
    station.settle()
    assert station.board.view(PORT).recorder == "REC-2"


@pytest.mark.parametrize("powered_off", [True, False])
def test_a_partition_that_shows_up_while_power_is_cut_is_docked_before_the_slot_says_safe(
    station: Station, powered_off: bool
) -> None:
    late = [device("1", volume("/dev/sdb1"), volume("/dev/sdb2"))]

    def off(_device: UsbDevice) -> bool:
        if late:
            station.plug(late.pop())
        return powered_off

    station.world.power_off = off  # type: ignore[method-assign]
    station.plug(device("1", volume("/dev/sdb1")))
    station.settle()
    station.settle()
    assert station.went().count("safe") == 1
    assert "dock REC-1 ['1', '2']" in next(calls for _, state, calls in station.states if state == "safe")


# --- the world, as it is wired --------------------------------------------------------------------------------------------


def test_the_vault_is_asked_without_looking_at_any_recorder(site: Site, tmp_path: Path) -> None:
    with closing(site.open()) as opened:
        world = UsbWorld(opened, UsbWatcher(1.0))
        assert world.vault_trouble() is None
        site.vault.rename(tmp_path / "away")
        site.vault.mkdir()
        assert isinstance(world.vault_trouble(), VaultOffline)
        site.vault.rmdir()
        (tmp_path / "away").rename(site.vault)
        assert world.vault_trouble() is None
        shutil.rmtree(site.vault / ".staging")
        assert isinstance(world.vault_trouble(), StorageError)


def test_a_volume_that_is_held_counts_more_than_one_that_went_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = {"/dev/sdb1": DeviceGone("it left"), "/dev/sdb2": Busy("held")}

    def unmount(_udisks: Udisks, devnode: str) -> None:
        raise errors[devnode]

    monkeypatch.setattr(Udisks, "unmount", unmount)
    with closing(site.open()) as opened, pytest.raises(Busy):
        UsbWorld(opened, UsbWatcher(1.0)).unmount(device("1", volume("/dev/sdb1"), volume("/dev/sdb2")))


def test_a_drop_folder_at_which_the_program_failed_does_not_go_on_saying_that_it_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "drop").mkdir()
    site = make_site(tmp_path / "station", more=f'[[folder]]\nname = "drop"\npath = "{tmp_path}/drop"\n')

    def bug(_station: object, _folder: object, _accepts: object, progress: BoardProgress) -> None:
        progress.begin(1, 1)
        raise KeyError("x")

    monkeypatch.setattr(parts, "dock_folder", bug)
    board = Board(tmp_path / "run")
    with closing(site.open()) as opened:
        part = parts.FolderPart(opened, site.config.folder[0], board)
        part._dock(FolderReady(tmp_path / "drop", {}))
    view = board.view("folder:drop")
    assert (view.state, view.why.split(" ")[0]) == ("attention", SENTENCES["unexpected"])
