"""Docking a path, a drop folder, or a USB recorder on an opened station."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mediad.config import Folder, overlap, own_places
from mediad.edges.source import BrokenVolume, GivenTree, SettledTree, SourceSet, SourceTree, Volume
from mediad.errors import DeviceError, Refused
from mediad.model.carried import SlotIdentity
from mediad.model.evidence import Outcome, Rejected, SourceIdentity
from mediad.model.layout import printable
from mediad.model.profile import DeviceFacts
from mediad.model.serials import plausible_serial
from mediad.model.slots import UsbDevice
from mediad.wiring.station import Station

if TYPE_CHECKING:
    from mediad.session import Progress, Result


def dock_path(
    station: Station, path: Path, progress: Progress, *, recorder: str = "", officer: str = "", channel: str = ""
) -> Result:
    """Dock a mounted card or a folder once."""
    from mediad.edges.origin import origin

    found = origin(path)
    if own := overlap(station.config, found.path):
        raise Refused(f"{_text(str(found.path))} {own}", hint="give a mounted card, or a folder of its own")
    # the same name for a card's volume as in a bay
    tree = SourceTree(found.path, found.uuid, own_places(station.config))
    with closing(SourceSet([tree], lambda: _is_there(found.path, tree), [GivenTree(tree)])) as source:
        recorder, officer, where = _text(recorder), _text(officer), _text(str(found.path))
        serial = found.serial if plausible_serial(found.serial) else ""
        label = recorder or serial or found.label or found.uuid or found.path.name or "folder"
        identity = _identity(
            station,
            typed=recorder,
            serials=[found.serial],
            uuids=[found.uuid],
            otherwise=f"folder:{where}",
            label=label,
        )
        facts = DeviceFacts("storage", found.serial, found.vendor, found.model, "", (found.label,), tree.root_names())
        with station.session(
            source,
            identity=identity,
            profile=station.profile_for(facts, identity.profile),
            progress=progress,
            where=where,
            channel=channel or ("manual" if identity.key.startswith("folder:") else "body-camera"),
            officer=officer,
            wall_clock={tree.volume: found.wall_clock},
        ) as session:
            return session.run()


def _identity(
    station: Station, *, typed: str = "", serials: Sequence[str], uuids: Sequence[str], otherwise: str, label: str
) -> SourceIdentity:
    """Who a source is, and whether it proved it.

    What a person typed names a source but proves nothing: two cards may be docked under one typed serial. A source is
    *identified* if the device itself gives a plausible serial (the typed one, if one was typed), or a file system with a
    plausible UUID. What cannot name one source alone still finds its registration, and so label and profile.
    """
    own = [s for s in serials if plausible_serial(s)]
    volumes = [u for u in uuids if plausible_serial(u)]
    keys = [f"serial:{s}" for s in (typed, *own) if s] + [f"fsuuid:{u}" for u in volumes]
    claimed = [f"serial:{s}" for s in serials if s] + [f"fsuuid:{u}" for u in uuids if u]
    identity = station.identify([*(keys or [otherwise]), *claimed], label)
    return replace(identity, identified=bool(volumes) or (typed in own if typed else bool(own)))


def _text(given: str) -> str:
    """An argument or path as text that can be stored and shown, whatever bytes it is made of."""
    return printable(os.fsencode(given))


def dock_folder(
    station: Station,
    folder: Folder,
    accepts: Callable[[bytes, int, int], bool],
    progress: Progress,
    told: set[Rejected],
) -> Result | None:
    """Dock what is complete in a drop folder; None if nothing of it is new. The folder's name is its registration.

    ``told`` is kept from docking to docking by the caller: what is no file to take and stands in a record already. Entries that
    are not there any more leave it.
    """
    if own := overlap(station.config, folder.path):
        raise Refused(f"{folder.path} {own}", hint="watch a folder of its own")
    try:
        tree = SourceTree(folder.path, own=own_places(station.config))
    except DeviceError as e:
        raise DeviceError(e.message, code="folder", hint="make or mount it; it is looked at again by itself") from e
    settled = SettledTree(tree, accepts, told)
    with closing(SourceSet([tree], lambda: _is_there(folder.path, tree), [settled])) as source:
        identity = SourceIdentity(f"folder:{folder.path}", folder.name, identified=False, registered=True)
        profile = station.profile_for(DeviceFacts("folder", root_files=tree.root_names()))
        with station.session(
            source,
            identity=identity,
            profile=profile,
            progress=progress,
            where=str(folder.path),
            channel=folder.channel,
            officer=folder.officer,
            name_known=False,
        ) as session:
            result = session.run_if_new(told)
        seen = {r for r in settled.rejected if r.outcome is Outcome.REJECTED or not profile.excludes(r.path)}
        told &= seen
        if result is not None:
            told |= seen
        return result


def device_facts(device: UsbDevice, root_files: frozenset[str] = frozenset()) -> DeviceFacts:
    """What a profile may be matched by."""
    labels = tuple(v.label for v in device.volumes if v.label)
    usb_id = f"{device.vid}:{device.pid}"
    return DeviceFacts(device.kind, device.serial, device.vendor, device.model, usb_id, labels, root_files)


def device_identity(station: Station, device: UsbDevice, carried: SlotIdentity | None) -> SourceIdentity:
    """Who is docked: what it said before its disk appeared, else its serial, else its file system; else another one each time."""
    serials = [carried.serial if carried else "", device.serial]
    names = [*(s for s in serials if plausible_serial(s)), *(v.label for v in device.volumes), device.model, "recorder"]
    return _identity(
        station,
        serials=serials,
        uuids=[v.uuid for v in device.volumes],
        otherwise=f"anonymous:{device.port}/{device.stay}",
        label=next(name for name in names if name),
    )


def dock_device(
    station: Station,
    device: UsbDevice,
    mounts: Mapping[str, Path],
    broken: Mapping[str, str],
    progress: Progress,
    *,
    identity: SourceIdentity,
    said: SlotIdentity | None,
    present: Callable[[], bool],
) -> Result:
    """Dock a mounted USB recorder. ``mounts`` is where each volume lies, ``broken`` why a volume could not be mounted."""
    from mediad.edges.origin import wall_clock

    trees: list[SourceTree] = []
    try:
        for volume, path in mounts.items():
            trees.append(SourceTree(path, volume))
        seen: list[Volume] = [*trees]
        seen += [BrokenVolume(volume, why) for volume, why in broken.items()]
        names = frozenset[str]().union(*(tree.root_names() for tree in trees))
        with station.session(
            SourceSet(trees, present, seen),
            identity=identity,
            profile=station.profile_for(device_facts(device, names), identity.profile),
            progress=progress,
            slot=device.port,
            where=f"usb:{device.port}",
            officer=said.officer if said else "",
            said=said.told() if said else None,
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
