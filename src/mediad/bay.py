"""One bay of the station: what happens on a slot from "plugged in" to "safe to take".

Each stay of a device has its own thread, so recorders are taken side by side, each at its own speed. What a thread shows goes
through ``Bays._show``, ``_call`` and ``_release``, which drop the word of a stay that is over: a slot speaks only of what is in it.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import structlog

from mediad.errors import DeviceGone, MediadError
from mediad.model.board import NOT_BACK, NOT_LET_GO, TOO_EARLY, SlotView, sentence
from mediad.model.carried import Carried, SlotIdentity
from mediad.model.evidence import DockingState, Outcome, SourceIdentity
from mediad.model.profile import Profile
from mediad.model.slots import SlotChange, UsbDevice, UsbVolume
from mediad.session import Result

_log = structlog.get_logger()

RETRY_SECONDS = 15.0
"""How long a docking that the vault's trouble broke off waits at first; each try lists the whole recorder, so twice as long
after each."""

RETRY_MOST_SECONDS = 300.0

UNMOUNT_SECONDS = 5.0
"""The same for a recorder that cannot be unmounted, because something holds it."""

DISK_SECONDS = 60.0
"""How long an unlocked recorder may take to come back as a disk; settling takes 5 to 20 s."""

LET_GO_SECONDS = 30.0
"""How long a recorder waits without a word for the one before it on its port to be unmounted."""

Make = Callable[[SlotView], SlotView]


class World(Protocol):
    """What a bay needs of the world; wiring provides it. Every call but ``dock`` ends within minutes, whatever a device does."""

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

    def vault_trouble(self) -> MediadError | None: ...

    def dock(
        self,
        device: UsbDevice,
        mounts: Mapping[str, Path],
        broken: Mapping[str, str],
        progress: "BoardProgress",
        identity: SourceIdentity,
        said: SlotIdentity | None,
    ) -> Result: ...

    def finish_open_work(self) -> object: ...


class Board(Protocol):
    def change(self, port: str, make: Make) -> None: ...


class BoardProgress:
    """A docking's progress on the slot board; ``change`` is told what to make of the slot's view."""

    def __init__(self, change: Callable[[Make], None]) -> None:
        self._change = change
        self._began = time.monotonic()

    def begin(self, files: int, size: int) -> None:
        self._began = time.monotonic()
        self._change(
            lambda v: v.but(
                state="copying", why="", files_total=files, files_done=0, bytes_total=size, bytes_done=0, seconds=0.0
            )
        )

    def moved(self, size: int) -> None:
        seconds = time.monotonic() - self._began
        self._change(lambda v: v.but(bytes_done=v.bytes_done + size, seconds=seconds))

    def settled(self, outcome: Outcome, size: int) -> None:  # noqa: ARG002 - the port's form
        self._change(lambda v: v.but(files_done=v.files_done + 1))

    def paused(self, reason: MediadError | None) -> None:
        self._change(lambda v: v.but(state="paused" if reason else "copying", why=sentence(reason) if reason else ""))


class Stay:
    """One stay of one device: what was seen of it, and whether it is over."""

    def __init__(self, device: UsbDevice) -> None:
        self.name = device.stay
        self.volumes = _nodes(device)
        self.gone = threading.Event()
        self.asked = False
        self.said: SlotIdentity | None = None
        """What the recorder said before its disk appeared; asked for once."""
        self.powering_off = False
        """Its leaving the bus is our doing then, and means nothing."""


class Run:
    """One docking of a stay; a partition that shows up late begins another one. ``hurry``: nothing is worth waiting for."""

    def __init__(self, device: UsbDevice, stay: Stay) -> None:
        self.device, self.stay, self.port = device, stay, device.port
        self.hurry = threading.Event()
        self.thread: threading.Thread | None = None
        self.log = _log.bind(slot=device.port, kind=device.kind, serial=device.serial)


class Bays:
    """All bays. ``change`` is told what the USB watcher sees; ``finish`` waits for what is under way."""

    def __init__(self, world: World, board: Board) -> None:
        self._world, self._board = world, board
        self._carried = Carried()
        self._runs: dict[str, Run] = {}
        """The newest of each port; it stays here when its device has left."""
        self._lock = threading.Lock()

    def change(self, change: SlotChange) -> None:
        """A device came, left, or began a new stay. A card reader without a card is as good as nothing."""
        port, device = change.port, change.device
        with self._lock:
            before = self._runs.get(port)
            if device is None or (device.kind == "storage" and not device.volumes):
                stays = before is not None and before.stay.powering_off and device is None
                if before is not None:
                    before.stay.gone.set()
                    before.hurry.set()
                if not stays:  # else it is still in its slot, only without power
                    self._board.change(port, SlotView.left)
                return
            if before is not None and not before.stay.gone.is_set() and before.stay.name == device.stay:
                stay = before.stay
                if _nodes(device) <= stay.volumes:
                    return
                # A partition that took its time: the same recorder is docked once more, what is stored is known by then.
                stay.volumes |= _nodes(device)
                stay.powering_off = False
                self._board.change(port, lambda view: view if view.state in ("copying", "paused") else view.came())
            else:
                if before is not None:
                    before.stay.gone.set()
                stay = Stay(device)
                if device.kind != "control":
                    self._board.change(port, SlotView.came)
                elif before is not None:  # it may be a mouse, of which nothing more is said
                    self._board.change(port, SlotView.freed)
            if before is not None:
                before.hurry.set()
            run = self._runs[port] = Run(device, stay)
            thread = before.thread if before is not None else None
            run.thread = threading.Thread(target=self._run, args=(run, thread), name=f"bay {port}", daemon=True)
            run.thread.start()

    def finish(self, timeout: float) -> bool:
        """Wait for every bay to end; False if one did not within ``timeout`` seconds. If mediad stops, none waits for anything."""
        end = time.monotonic() + timeout
        with self._lock:
            runs = list(self._runs.values())
        for run in runs:
            if self._world.stop.is_set():
                run.hurry.set()
        threads = [run.thread for run in runs if run.thread is not None]
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(t.is_alive() for t in threads)

    # --- what may be shown ------------------------------------------------------------------------------------------

    def _show(self, run: Run, make: Make) -> None:
        """Show how it goes, while the device is there."""
        with self._lock:
            if self._runs[run.port].stay is run.stay and not run.stay.gone.is_set():
                self._board.change(run.port, make)

    def _call(self, run: Run, why: str, docking: str = "") -> None:
        """Call for a person, if nothing has come since; that a recorder has left has been told already."""
        with self._lock:
            if self._is_last(run):
                gone = run.stay.gone.is_set()
                self._board.change(
                    run.port, lambda v: v if gone and v.state != "unlocking" else v.attention(why, docking=docking)
                )

    def _release(self, run: Run, docking: str) -> None:
        """Everything is stored and it is unmounted: safe to take, or free if it was taken in the last moment."""
        with self._lock:
            if self._is_last(run):
                here = run.stay.powering_off or not run.stay.gone.is_set()
                self._board.change(
                    run.port, lambda v: v.but(state="safe", why="", docking=docking) if here else v.freed()
                )

    def _is_last(self, run: Run) -> bool:
        return self._runs[run.port] is run

    # --- one run ----------------------------------------------------------------------------------------------------

    def _run(self, run: Run, before: threading.Thread | None) -> None:
        try:
            if before is not None:  # what was docked before is unmounted first
                before.join(LET_GO_SECONDS)
                if before.is_alive():
                    self._show(run, lambda view: view.attention(NOT_LET_GO))
                    before.join()
            self._serve(run)
        except DeviceGone as e:
            run.log.warning("taken out too early", why=e.message)
            self._call(run, TOO_EARLY)
        except MediadError as e:
            run.log.error("slot needs a person", code=e.code, why=e.message)
            self._call(run, sentence(e))
        except Exception as e:
            run.log.exception("slot failed")
            fault = MediadError(f"an unexpected fault: {type(e).__name__}; see the log", code="unexpected")
            self._call(run, sentence(fault))

    def _serve(self, run: Run) -> None:
        world, device, stay = self._world, run.device, run.stay
        if device.kind == "control":
            self._unlock(run)
            return
        self._show(run, SlotView.came)
        if not stay.asked:
            stay.asked, stay.said = True, self._carried.take(run.port, time.monotonic())
        if device.kind == "mtp":
            device = run.device = world.mtp_serial(device)
        identity = world.identify(device, stay.said)
        if not identity.registered and not world.wanted(identity):
            run.log.warning("unregistered device left alone", recorder=identity.key)
            self._show(run, SlotView.freed)
            return
        self._show(run, lambda view: view.but(recorder=identity.label))
        if run.hurry.wait(world.settle_seconds(device)):
            return
        self._conclude(run, self._dock_until_done(run, identity))

    def _unlock(self, run: Run) -> None:
        device = run.device
        profile = self._world.control_profile(device)
        if profile is None:
            run.log.debug("no recorder")
            return
        self._show(run, lambda view: view.but(state="unlocking", recorder=device.serial or device.model))
        self._carried.put(run.port, self._world.unlock(device, profile), time.monotonic())
        run.log.info("unlocked", profile=profile.name)
        timer = threading.Timer(DISK_SECONDS, self._check_disk, (run,))
        timer.daemon = True
        timer.start()

    def _check_disk(self, run: Run) -> None:
        """The time in which it should have come back is over; if anything has come since, that is another run."""
        with self._lock:
            if self._is_last(run):
                self._board.change(run.port, lambda v: v.attention(NOT_BACK) if v.state == "unlocking" else v)

    def _dock_until_done(self, run: Run, identity: SourceIdentity) -> Result | None:
        """Dock, and again as long as it is the vault that has trouble and the recorder is here. None if waiting was cut short."""
        result, error = self._try(run, identity)
        delay = RETRY_SECONDS
        while error is not None and error.retry == "later" and self._is_here(run):
            self._call(run, sentence(error))
            if self._hurried(run, delay):
                return None
            error = self._world.vault_trouble()
            if error is None:
                delay = min(2 * delay, RETRY_MOST_SECONDS)
                result, error = self._try(run, identity, once_more=True)
        if result is None:
            raise error or MediadError("the docking left no record")
        return result

    def _try(
        self, run: Run, identity: SourceIdentity, *, once_more: bool = False
    ) -> tuple[Result | None, MediadError | None]:
        """One docking, after what an earlier try left open was finished. A vault that is gone cannot even take its record:
        then there is an error and no result."""
        try:
            if once_more:
                self._world.finish_open_work()
            result = self._dock(run, identity)
        except MediadError as e:
            return None, e
        return result, result.error

    def _is_here(self, run: Run) -> bool:
        return not run.stay.gone.is_set() and self._world.present(run.device)

    def _hurried(self, run: Run, seconds: float) -> bool:
        """Wait; True, and at once, if the recorder leaves, another run of it begins, or mediad stops."""
        return self._world.stop.is_set() or run.hurry.wait(seconds)

    def _dock(self, run: Run, identity: SourceIdentity) -> Result:
        """Mount, dock, unmount. Whatever happens, the recorder is not left mounted."""
        try:
            mounts, broken = self._mount(run.device)
            progress = BoardProgress(lambda make: self._show(run, make))
            return self._world.dock(run.device, mounts, broken, progress, identity, run.stay.said)
        finally:
            self._unmount(run)

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

    def _unmount(self, run: Run) -> None:
        """Until it is done: something may hold the mount. When waiting is over there is one last try, which raises."""
        delay, over = UNMOUNT_SECONDS, False
        while True:
            try:
                self._world.unmount(run.device)
            except DeviceGone:
                return
            except MediadError as e:
                run.log.warning("not unmounted", code=e.code, why=e.message)
                if over:
                    raise
                self._call(run, sentence(e))
                over = self._hurried(run, delay)
                delay = min(2 * delay, RETRY_MOST_SECONDS)
            else:
                return

    def _conclude(self, run: Run, result: Result | None) -> None:
        if result is None:
            return
        if isinstance(result.error, DeviceGone):
            self._call(run, TOO_EARLY, result.docking)
            return
        problem = _problem(result)
        if problem is not None:
            self._call(run, sentence(problem), result.docking)
            return
        with self._lock:
            if not self._is_last(run):
                return  # a late partition of this stay is docked next: not safe to take yet
            run.stay.powering_off = not run.stay.gone.is_set()
        off = False
        with suppress(MediadError):
            off = run.stay.powering_off and self._world.power_off(run.device)
        with self._lock:
            run.stay.powering_off = off and self._is_last(run)
        if off:
            run.log.info("powered off")
        self._release(run, result.docking)


def _nodes(device: UsbDevice) -> frozenset[str]:
    return frozenset(v.devnode for v in device.volumes)


def _problem(result: Result) -> MediadError | None:
    """Why a docking does not let its recorder go."""
    if result.error is not None:
        return result.error
    if result.counts.failed:
        return MediadError(f"{result.counts.failed} files could not be taken", code="files-failed")
    if result.state is not DockingState.COMPLETE:
        return MediadError(f"it ended {result.state}", code="files-failed")
    return None
