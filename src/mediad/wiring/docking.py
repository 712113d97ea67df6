"""Docking a path, a drop folder, or a USB recorder on an opened station."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from mediad.config import Folder
from mediad.edges.source import BrokenVolume, SettledTree, SourceSet, SourceTree
from mediad.model.evidence import SourceIdentity
from mediad.model.layout import printable
from mediad.model.profile import DeviceFacts
from mediad.model.slots import SlotIdentity, UsbDevice, plausible_serial
from mediad.wiring.station import Station

if TYPE_CHECKING:
    from mediad.session import Progress, Result


def dock_path(
    station: Station, path: Path, progress: Progress, *, recorder: str = "", officer: str = "", channel: str = ""
) -> Result:
    """Dock a mounted card or a folder once."""
    from mediad.edges.origin import origin

    found = origin(path)
    tree = SourceTree(found.path)
    with closing(SourceSet([tree], lambda: _is_there(found.path, tree))) as source:
        recorder, officer, where = _text(recorder), _text(officer), _text(str(found.path))
        keys = [f"serial:{recorder}"] if recorder else []
        keys += [f"serial:{found.serial}"] if plausible_serial(found.serial) else []
        keys += [f"fsuuid:{found.uuid}"] if found.uuid else []
        label = recorder or found.serial or found.label or found.uuid or found.path.name or "folder"
        identity = station.identify(keys or [f"folder:{where}"], label)
        facts = DeviceFacts("storage", found.serial, found.vendor, found.model, "", (found.label,), tree.root_names())
        with station.session(
            source,
            identity=identity,
            profile=station.profile_for(facts, identity.profile),
            progress=progress,
            where=where,
            channel=channel or ("body-camera" if identity.identified else "manual"),
            officer=officer,
            wall_clock={"": found.wall_clock},
        ) as session:
            return session.run()


def _text(given: str) -> str:
    """An argument or path as text that can be stored and shown, whatever bytes it is made of."""
    return printable(os.fsencode(given))


def dock_folder(
    station: Station, folder: Folder, accepts: Callable[[bytes, int, int], bool], progress: Progress
) -> Result | None:
    """Dock what is complete in a drop folder; None if nothing of it is new. The folder's name is its registration."""
    tree = SourceTree(folder.path)
    source = SourceSet([tree], lambda: _is_there(folder.path, tree), [SettledTree(tree, accepts)])
    with closing(source):
        identity = SourceIdentity(f"folder:{folder.path}", folder.name, identified=False, registered=True)
        with station.session(
            source,
            identity=identity,
            profile=station.profile_for(DeviceFacts("folder", root_files=tree.root_names())),
            progress=progress,
            where=str(folder.path),
            channel=folder.channel,
            officer=folder.officer,
            name_known=False,
        ) as session:
            return session.run_if_new()


def device_facts(device: UsbDevice, root_files: frozenset[str] = frozenset()) -> DeviceFacts:
    """What a profile may be matched by."""
    labels = tuple(v.label for v in device.volumes if v.label)
    usb_id = f"{device.vid}:{device.pid}"
    return DeviceFacts(device.kind, device.serial, device.vendor, device.model, usb_id, labels, root_files)


def device_identity(station: Station, device: UsbDevice, carried: SlotIdentity | None) -> SourceIdentity:
    """Who is docked: what it said before its disk appeared, else its serial, else its file system."""
    said = carried.serial if carried else ""
    keys = [f"serial:{said}"] if said else []
    keys += [f"serial:{device.serial}"] if plausible_serial(device.serial) else []
    keys += [f"fsuuid:{v.uuid}" for v in device.volumes if v.uuid]
    labels = [said, device.serial if plausible_serial(device.serial) else "", *(v.label for v in device.volumes)]
    label = next((text for text in labels if text), device.model or "recorder")
    return station.identify(
        keys or [f"anonymous:{device.port}/{device.stay}"], label
    )  # never known: every file is read


def dock_device(
    station: Station,
    device: UsbDevice,
    mounts: Mapping[str, Path],
    broken: Mapping[str, str],
    progress: Progress,
    *,
    identity: SourceIdentity,
    officer: str,
    present: Callable[[], bool],
) -> Result:
    """Dock a mounted USB recorder. ``mounts`` is where each volume lies, ``broken`` why a volume could not be mounted."""
    from mediad.edges.origin import wall_clock

    trees: list[SourceTree] = []
    try:
        for volume, path in mounts.items():
            trees.append(SourceTree(path, volume))
        seen: list[SourceTree | SettledTree | BrokenVolume] = [*trees]
        seen += [BrokenVolume(volume, why) for volume, why in broken.items()]
        names = frozenset[str]().union(*(tree.root_names() for tree in trees))
        with station.session(
            SourceSet(trees, present, seen),
            identity=identity,
            profile=station.profile_for(device_facts(device, names), identity.profile),
            progress=progress,
            slot=device.port,
            where=f"usb:{device.port}",
            officer=officer,
            wall_clock={volume: wall_clock(path) for volume, path in mounts.items()},
        ) as session:
            return session.run()
    finally:
        for tree in trees:
            tree.close()


def _is_there(path: Path, tree: SourceTree) -> bool:
    """Whether a path still is the folder that was opened: after an unmount it is another one, on another device."""
    try:
        return os.stat(path).st_dev == tree.device
    except OSError:
        return False
