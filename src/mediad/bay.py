"""One bay of the station: what happens on a slot from "plugged in" to "safe to take".

Each stay of a device has its own thread, so recorders are taken side by side, each at its own speed.
"""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import structlog

from mediad.errors import DeviceGone, MediadError
from mediad.model.board import SlotState, SlotView
from mediad.model.evidence import DockingState, Outcome, SourceIdentity
from mediad.model.profile import Profile
from mediad.model.slots import Carried, SlotChange, SlotIdentity, UsbDevice, UsbVolume
from mediad.session import Result

_log = structlog.get_logger()

RETRY_SECONDS = 15.0
"""How long a docking that a vault's trouble broke off waits before it is tried again."""

LOOK_SECONDS = 0.5
"""How often the wait for that looks whether it is still wanted."""

DISK_SECONDS = 60.0
"""How long an unlocked recorder may take to come back as a disk; settling takes 5 to 20 s."""


class World(Protocol):
    """What a bay needs of the world; wiring provides it."""

    stop: threading.Event

    def control_profile(self, device: UsbDevice) -> Profile | None: ...

    def unlock(self, device: UsbDevice, profile: Profile) -> SlotIdentity: ...

    def identify(self, device: UsbDevice, carried: SlotIdentity | None) -> SourceIdentity: ...

    def wanted(self, identity: SourceIdentity) -> bool: ...

    def mtp_serial(self, device: UsbDevice) -> UsbDevice: ...

    def settle_seconds(self, device: UsbDevice) -> float: ...

    def mount(self, device: UsbDevice, volume: UsbVolume | None) -> Path: ...

    def unmount(self, device: UsbDevice) -> None: ...

    def power_off(self, device: UsbDevice) -> bool: ...

    def present(self, device: UsbDevice) -> bool: ...

    def dock(
        self,
        device: UsbDevice,
        mounts: Mapping[str, Path],
        broken: Mapping[str, str],
        progress: "BoardProgress",
        identity: SourceIdentity,
        officer: str,
    ) -> Result: ...

    def finish_open_work(self) -> object: ...


class Board(Protocol):
    def view(self, port: str) -> SlotView: ...

    def show(self, view: SlotView) -> None: ...


class BoardProgress:
    """A docking's progress on the slot board."""

    def __init__(self, board: Board, port: str) -> None:
        self._board, self._port = board, port
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def _change(self, **changes: object) -> None:
        self._board.show(self._board.view(self._port).but(**changes))

    def begin(self, files: int, size: int) -> None:
        self._began = time.monotonic()
        with self._lock:
            self._change(state="copying", files_total=files, files_done=0, bytes_total=size, bytes_done=0, why="")

    def moved(self, size: int) -> None:
        with self._lock:
            done = self._board.view(self._port).bytes_done + size
            self._change(bytes_done=done, seconds=time.monotonic() - self._began)

    def settled(self, outcome: Outcome, size: int) -> None:  # noqa: ARG002 - the port's form
        with self._lock:
            self._change(files_done=self._board.view(self._port).files_done + 1)

    def paused(self, reason: MediadError | None) -> None:
        with self._lock:
            self._change(state="paused" if reason else "copying", why=reason.message if reason else "")


class Bays:
    """All bays. ``change`` is told what the USB watcher sees; ``finish`` waits for what is under way."""

    def __init__(self, world: World, board: Board) -> None:
        self._world, self._board = world, board
        self._carried = Carried()
        self._threads: dict[str, threading.Thread] = {}
        self._stays: dict[str, tuple[str, frozenset[str]]] = {}
        self._gone: dict[str, threading.Event] = {}
        self._said: dict[str, tuple[str, SlotIdentity | None]] = {}
        self._lock = threading.Lock()

    def change(self, change: SlotChange) -> None:
        """A device came, left, or began a new stay."""
        port, device = change.port, change.device
        with self._lock:
            stay, volumes = self._stays.get(port, ("", frozenset()))
            if device is not None and device.stay == stay:
                now = frozenset(v.devnode for v in device.volumes)
                if now <= volumes:
                    return
                # A partition that took its time: the same recorder is docked once more, what is stored is known by then.
                gone = self._gone[port]
                self._stays[port] = (stay, volumes | now)
            else:
                if port in self._gone:
                    self._gone.pop(port).set()
                self._stays.pop(port, None)
                if device is None:
                    self._left(port)
                    return
                gone = self._gone[port] = threading.Event()
                self._stays[port] = (device.stay, frozenset(v.devnode for v in device.volumes))
            before = self._threads.get(port)
            thread = threading.Thread(target=self._run, args=(device, gone, before), name=f"bay {port}", daemon=True)
            self._threads[port] = thread
        thread.start()

    def finish(self, timeout: float) -> bool:
        """Wait for every bay to end; False if one did not within ``timeout`` seconds."""
        end = time.monotonic() + timeout
        with self._lock:
            threads = list(self._threads.values())
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(t.is_alive() for t in threads)

    def _left(self, port: str) -> None:
        view = self._board.view(port)
        if view.state == "safe" or view.state in ("idle", "attention") or not view.recorder:
            self._board.show(view.freed())
        elif view.state != "unlocking":  # an unlocked recorder leaves the bus and comes back as a disk
            self._show(port, "attention", "it was taken out too early: dock it again 拔出过早，请重新插入")

    def _show(self, port: str, state: SlotState, why: str = "", **more: object) -> None:
        self._board.show(self._board.view(port).but(state=state, why=why, **more))

    def _run(self, device: UsbDevice, gone: threading.Event, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()  # the stay before this one unmounts first
        log = _log.bind(slot=device.port, kind=device.kind, serial=device.serial)
        try:
            self._serve(device, gone, log)
        except MediadError as e:
            log.error("slot needs a person", code=e.code, why=e.message)
            if not gone.is_set():
                self._show(device.port, "attention", e.message)
        except Exception as e:
            log.exception("slot failed")
            if not gone.is_set():
                self._show(device.port, "attention", f"an unexpected fault: {type(e).__name__}; see the log")

    def _serve(self, device: UsbDevice, gone: threading.Event, log: structlog.typing.FilteringBoundLogger) -> None:
        world, port = self._world, device.port
        if device.kind == "control":
            profile = world.control_profile(device)
            if profile is None:
                log.debug("no recorder")
                return
            self._show(port, "unlocking", recorder=device.serial or device.model)
            self._carried.put(port, world.unlock(device, profile), time.monotonic())
            log.info("unlocked", profile=profile.name)
            timer = threading.Timer(DISK_SECONDS, self._check_disk, (port,))
            timer.daemon = True
            timer.start()
            return
        if device.kind == "storage" and not device.volumes:
            log.info("no medium")
            self._board.show(self._board.view(port).freed())
            return
        self._board.show(self._board.view(port).freed().but(state="detecting"))
        carried = self._carried_by(device)
        if device.kind == "mtp":
            device = world.mtp_serial(device)
        identity = world.identify(device, carried)
        if not identity.registered and not world.wanted(identity):
            log.warning("unregistered device left alone", recorder=identity.key)
            self._board.show(self._board.view(port).freed())
            return
        self._show(port, "detecting", recorder=identity.label)
        if gone.wait(world.settle_seconds(device)):
            return
        officer = carried.officer if carried else ""
        result, error = self._try(device, identity, officer)
        while error is not None and self._again(error, device, gone):
            self._show(port, "attention", error.message)
            if not self._patience(gone):
                return
            result, error = self._try(device, identity, officer, once_more=True)
        if result is None:
            raise error or MediadError("the docking left no record")
        self._conclude(device, result, gone, log)

    def _try(
        self, device: UsbDevice, identity: SourceIdentity, officer: str, *, once_more: bool = False
    ) -> tuple[Result | None, MediadError | None]:
        """One docking, after what an earlier try left open was finished. A vault that is gone cannot even take its record:
        then there is an error and no result."""
        try:
            if once_more:
                self._world.finish_open_work()
            result = self._dock(device, identity, officer)
        except MediadError as e:
            return None, e
        return result, result.error

    def _patience(self, gone: threading.Event) -> bool:
        """Wait before another try; False at once if the recorder leaves or mediad stops: others wait for this bay."""
        end = time.monotonic() + RETRY_SECONDS
        while (left := end - time.monotonic()) > 0:
            if gone.wait(min(left, LOOK_SECONDS)) or self._world.stop.is_set():
                return False
        return True

    def _check_disk(self, port: str) -> None:
        if self._board.view(port).state == "unlocking":
            self._show(
                port, "attention", "it was unlocked but did not come back as a disk: unplug it and dock it again"
            )

    def _carried_by(self, device: UsbDevice) -> SlotIdentity | None:
        """What the recorder said before its disk appeared; kept for all of its stay."""
        stay, said = self._said.get(device.port, ("", None))
        if stay != device.stay:
            said = self._carried.take(device.port, time.monotonic())
            self._said[device.port] = (device.stay, said)
        return said

    def _dock(self, device: UsbDevice, identity: SourceIdentity, officer: str) -> Result:
        """Mount, dock, unmount. Whatever happens, the recorder is not left mounted."""
        try:
            mounts, broken = self._mount(device)
            progress = BoardProgress(self._board, device.port)
            return self._world.dock(device, mounts, broken, progress, identity, officer)
        finally:
            with suppress(DeviceGone):
                self._world.unmount(device)

    def _mount(self, device: UsbDevice) -> tuple[dict[str, Path], dict[str, str]]:
        mounts: dict[str, Path] = {}
        broken: dict[str, str] = {}
        if device.kind == "mtp":
            return {"mtp": self._world.mount(device, None)}, broken
        useful = [v for v in device.volumes if v.fstype != "iso9660"] or list(device.volumes)
        for volume in useful:
            key = volume.uuid or f"part{volume.partition}"
            while key in mounts or key in broken:
                key += "+"
            try:
                mounts[key] = self._world.mount(device, volume)
            except DeviceGone:
                raise
            except MediadError as e:
                broken[key] = e.message
        return mounts, broken

    def _again(self, error: MediadError, device: UsbDevice, gone: threading.Event) -> bool:
        """Whether a docking is to be repeated by itself: the vault had trouble, and the recorder is still here."""
        return error.retry == "later" and not gone.is_set() and self._world.present(device)

    def _conclude(
        self, device: UsbDevice, result: Result, gone: threading.Event, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        port = device.port
        if gone.is_set() or isinstance(result.error, DeviceGone):
            if not isinstance(result.error, DeviceGone) and result.error is None and not result.counts.failed:
                self._board.show(self._board.view(port).freed())  # it left between the last file and this line
            else:
                self._show(port, "attention", "it was taken out too early: dock it again 拔出过早，请重新插入")
            return
        if result.error is not None or result.counts.failed or result.state is not DockingState.COMPLETE:
            failed = f"{result.counts.failed} files could not be taken"
            why = (
                result.error.message if result.error else failed if result.counts.failed else f"it ended {result.state}"
            )
            self._end(port, gone, "attention", why, result.docking)
            return
        with self._lock:
            if self._threads.get(port) is not threading.current_thread():
                return  # a late partition of this stay is docked next: not safe to take yet
        with suppress(MediadError):
            if self._world.power_off(device):
                log.info("powered off")
        self._end(port, gone, "safe", "", result.docking)

    def _end(self, port: str, gone: threading.Event, state: SlotState, why: str, docking: str) -> None:
        """Show how it ended, unless the recorder has left meanwhile: a free slot must not go on saying "safe to take"."""
        with self._lock:
            if not gone.is_set():
                self._show(port, state, why, docking=docking)
