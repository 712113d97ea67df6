"""Whatever comes, leaves, comes back, fails or stops in whatever order: the slot board tells no lie about what is in a slot."""

import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mediad import bay
from mediad.bay import Bays, BoardProgress
from mediad.edges.board import Board
from mediad.errors import Busy, DeviceError, DeviceGone, MediadError, Stopping, VaultOffline
from mediad.model.board import SlotView
from mediad.model.carried import SlotIdentity
from mediad.model.evidence import Counts, DockingState, SourceIdentity
from mediad.model.profile import Profile
from mediad.model.slots import SlotChange, UsbDevice, UsbVolume
from mediad.session import Result

PORTS = ("usb-0:1", "usb-0:2")
PATIENCE = 60.0


@dataclass
class Question:
    """Something that a bay asks of the world, and waits for until the machine answers."""

    what: str
    device: UsbDevice
    progress: BoardProgress | None = None
    answer: Any = None
    answered: threading.Event = field(default_factory=threading.Event)


class Truth:
    """The world: what is really in each slot, what of it was handed over, and what the bays are waiting for."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.here: dict[str, UsbDevice | None] = dict.fromkeys(PORTS)
        self.whole: set[UsbDevice] = set()
        """Devices, each with the volumes that it had, of which everything was handed over and which are unmounted."""
        self.complete: set[UsbDevice] = set()
        self.off: dict[str, UsbDevice] = {}
        self.powers_off = False
        self.open: list[Question] = []
        self.changed = threading.Condition()

    def ask(self, what: str, device: UsbDevice, progress: BoardProgress | None = None) -> Any:
        question = Question(what, device, progress)
        with self.changed:
            self.open.append(question)
            self.changed.notify_all()
        assert question.answered.wait(PATIENCE)
        if isinstance(question.answer, Exception):
            raise question.answer
        return question.answer

    def present(self, device: UsbDevice) -> bool:
        now = self.here[device.port]
        return now is not None and now.stay == device.stay

    # --- bay.World --------------------------------------------------------------------------------------------------

    def control_profile(self, device: UsbDevice) -> Profile | None:
        return Profile("locked", attach="unlock") if device.model == "locked" else None

    def unlock(self, device: UsbDevice, profile: Profile) -> SlotIdentity:
        return SlotIdentity(**self.ask("unlock", device))

    def identify(self, device: UsbDevice, carried: SlotIdentity | None) -> SourceIdentity:
        return SourceIdentity(f"serial:{device.stay}", device.stay, identified=True, registered=True)

    def wanted(self, identity: SourceIdentity) -> bool:
        return True

    def mtp_serial(self, device: UsbDevice) -> UsbDevice:
        return device

    def settle_seconds(self, device: UsbDevice) -> float:
        return 0.0

    def mount(self, device: UsbDevice, volume: UsbVolume | None) -> Path:
        if not self.present(device):
            raise DeviceGone("it left")
        return Path("/media")

    def unmount(self, device: UsbDevice) -> None:
        try:
            if self.present(device):
                self.ask("unmount", device)
        except DeviceGone:
            self._is_unmounted(device)
            raise
        self._is_unmounted(device)

    def _is_unmounted(self, device: UsbDevice) -> None:
        if device in self.complete:
            self.whole.add(device)

    def power_off(self, device: UsbDevice) -> bool:
        if self.powers_off and self.present(device):
            self.off[device.port] = device
            return True
        return False

    def vault_trouble(self) -> MediadError | None:
        return None

    def dock(
        self,
        device: UsbDevice,
        mounts: Mapping[str, Path],
        broken: Mapping[str, str],
        progress: BoardProgress,
        identity: SourceIdentity,
        said: SlotIdentity | None,
    ) -> Result:
        progress.begin(1, 1)
        result: Result = self.ask("dock", device, progress)
        if result.state is DockingState.COMPLETE and not result.counts.failed:
            self.complete.add(device)
        return result

    def finish_open_work(self) -> object:
        return None


def ended(error: MediadError | None = None, failed: int = 0) -> Result:
    state = DockingState.COMPLETE if error is None else DockingState.INTERRUPTED
    return Result("dck-1", state, Counts(failed=failed), {}, error=error)


WELL: dict[str, Any] = {"dock": ended, "unmount": lambda: None, "unlock": dict}
BADLY: dict[str, Any] = {
    "dock": (
        lambda: ended(failed=1), lambda: ended(DeviceGone("gone")), lambda: ended(VaultOffline("away")),
        lambda: VaultOffline("not even its record"), lambda: ended(Stopping("stopping")), lambda: KeyError("a fault of ours"),
    ),
    "unmount": (lambda: Busy("held"), lambda: DeviceError("it will not"), lambda: DeviceGone("gone")),
    "unlock": (lambda: DeviceError("wrong password"), lambda: DeviceGone("gone")),
}  # fmt: skip


class AnyOrder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.timers: list[Any] = []
        self.kept = (bay.RETRY_SECONDS, bay.UNMOUNT_SECONDS, bay.threading.Timer)
        bay.RETRY_SECONDS = bay.UNMOUNT_SECONDS = 0.0
        bay.threading.Timer = self._timer  # type: ignore[misc, assignment]
        self.world = Truth()
        self.board = Board(Path(self.folder.name))
        self.bays = Bays(self.world, self.board)
        self.told: dict[str, UsbDevice | None] = dict.fromkeys(PORTS)
        self.stays = 0

    def _timer(self, _seconds: float, act: Any, args: tuple[Any, ...]) -> Any:
        self.timers.append(lambda: act(*args))
        return type("Timer", (), {"start": lambda self: None})()

    def teardown(self) -> None:
        self.world.stop.set()
        end = time.monotonic() + PATIENCE
        while not self.bays.finish(0.01):
            assert time.monotonic() < end, "a bay hangs"
            for question in self._take():
                self._answer(question, Stopping("stopping") if question.what != "unmount" else None)
        bay.RETRY_SECONDS, bay.UNMOUNT_SECONDS, bay.threading.Timer = self.kept  # type: ignore[misc]
        self.folder.cleanup()

    # --- what may happen --------------------------------------------------------------------------------------------

    @initialize(powers_off=st.booleans())
    def configure(self, powers_off: bool) -> None:
        self.world.powers_off = powers_off

    @rule(
        port=st.sampled_from(PORTS), kind=st.sampled_from(["card", "card", "two", "mtp", "locked", "mouse", "reader"])
    )
    def comes(self, port: str, kind: str) -> None:
        """Also in the place of one whose leaving is never told, because the port had not settled."""
        self.stays += 1
        count = {"card": 1, "two": 2}.get(kind, 0)
        volumes = tuple(UsbVolume(f"/dev/sd{n}", "vfat", str(n), "", n, 1) for n in range(count))
        device_kind: Any = {"mtp": "mtp", "locked": "control", "mouse": "control"}.get(kind, "storage")
        self._tell(port, UsbDevice(port, device_kind, "S", "v", kind, "1", "2", 1, 1, volumes, str(self.stays)))

    @rule(port=st.sampled_from(PORTS))
    def another_partition(self, port: str) -> None:
        now = self.world.here[port]
        if now is not None and now.kind == "storage" and port not in self.world.off:
            more = UsbVolume(f"/dev/sd{len(now.volumes)}", "vfat", str(len(now.volumes)), "", 9, 1)
            self._tell(port, UsbDevice(**{**_fields(now), "volumes": (*now.volumes, more)}))

    @rule(port=st.sampled_from(PORTS))
    def leaves(self, port: str) -> None:
        if self.told[port] is not None:
            self._tell(port, None)

    @rule(port=st.sampled_from(PORTS))
    def is_gone_before_it_is_told(self, port: str) -> None:
        self.world.here[port] = None

    @precondition(lambda self: self.world.open)
    @rule(data=st.data(), well=st.booleans())
    def world_answers(self, data: st.DataObject, well: bool) -> None:
        question = data.draw(st.sampled_from(self.world.open))
        answer = WELL[question.what] if well else data.draw(st.sampled_from(BADLY[question.what]))
        self._take(question)
        self._answer(question, answer())

    @precondition(lambda self: self.world.open)
    @rule(port=st.sampled_from(PORTS))
    def all_goes_well(self, port: str) -> None:
        while questions := [q for q in self.world.open if q.device.port == port]:
            self._take(questions[0])
            self._answer(questions[0], WELL[questions[0].what]())
            self._rest()

    @precondition(lambda self: self.world.open)
    @rule(data=st.data())
    def docking_goes_on(self, data: st.DataObject) -> None:
        progress = data.draw(st.sampled_from(self.world.open)).progress
        if progress is not None:
            progress.moved(1)
            progress.paused(data.draw(st.sampled_from([None, VaultOffline("full")])))

    @precondition(lambda self: self.timers)
    @rule(data=st.data())
    def patience_is_over(self, data: st.DataObject) -> None:
        self.timers.pop(data.draw(st.integers(0, len(self.timers) - 1)))()

    # --- what must hold ---------------------------------------------------------------------------------------------

    @invariant()
    def the_board_tells_no_lie(self) -> None:
        self._rest()
        for port in PORTS:
            self._check(port)

    def _check(self, port: str) -> None:
        view, told, off = self.board.view(port), self.told[port], self.world.off.get(port)
        if view.state == "safe":
            assert told in self.world.whole or off in self.world.whole, f"{view} of {told}"
        if view.recorder and view.state in ("detecting", "copying", "paused"):
            runs = [q.device for q in self.world.open if q.device.port == port]
            assert runs, f"nobody is at it, for ever: {view}"

    def _tell(self, port: str, device: UsbDevice | None) -> None:
        before = self.told[port]
        self.told[port] = self.world.here[port] = device
        if device is not None and (before is None or before.stay != device.stay):
            self.world.off.pop(port, None)
        self.bays.change(SlotChange(port, device))
        view = self.board.view(port)
        self._check_told(port, view, device)

    def _check_told(self, port: str, view: SlotView, device: UsbDevice | None) -> None:
        """What holds as soon as the port has told it, before any bay has done anything about it."""
        if device is None:
            off = self.world.off.get(port) is not None and view.state == "safe"
            assert view.state in ("idle", "attention", "unlocking") or off, view
        elif view.state == "safe":
            assert device in self.world.whole or self.world.off.get(port) in self.world.whole, view

    # --- how it is driven -------------------------------------------------------------------------------------------

    def _take(self, question: Question | None = None) -> list[Question]:
        with self.world.changed:
            taken = [q for q in self.world.open if question is None or q is question]
            self.world.open = [q for q in self.world.open if q not in taken]
        return taken

    def _answer(self, question: Question, answer: Any) -> None:
        question.answer = answer
        question.answered.set()

    def _rest(self) -> None:
        """Until every bay has ended or waits for an answer."""
        end = time.monotonic() + PATIENCE
        with self.world.changed:
            while busy := self._busy():
                assert time.monotonic() < end, f"a bay hangs: {busy}"
                self.world.changed.wait(0.001)

    def _busy(self) -> list[str]:
        waiting = {q.device.port for q in self.world.open}
        return [
            port
            for port, run in self.bays._runs.items()
            if port not in waiting and run.thread is not None and run.thread.is_alive()
        ]


def _fields(device: UsbDevice) -> dict[str, Any]:
    return {name: getattr(device, name) for name in UsbDevice.__dataclass_fields__}


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
