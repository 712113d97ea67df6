"""What is looked at before a station is opened: whose it is, whether its disk is there, and whether nobody rebuilds."""

from __future__ import annotations

import os
import pwd
from contextlib import AbstractContextManager

from mediad.config import Config, VaultSection
from mediad.edges import files, mountinfo
from mediad.errors import Refused, VaultOffline
from mediad.model.layout import STAGING


def check_owner(config: Config) -> None:
    """Refuse to write as another user than the one whose catalogue it is: what root writes, the service cannot read any more.
    Where there is none yet, root makes none in another user's folder."""
    from mediad.catalog.db import sqlite_path

    catalogue = sqlite_path(config.catalog.url)
    if catalogue is None:
        return
    try:
        owner = catalogue.stat().st_uid
    except OSError:
        try:
            owner = catalogue.parent.stat().st_uid if os.geteuid() == 0 else os.geteuid()
        except OSError:
            return  # nothing is there that could be anybody's
    if owner != os.geteuid():
        raise Refused(
            f"the catalogue belongs to the user {user_name(owner)}, this is {user_name(os.geteuid())}",
            hint=f"sudo -u {user_name(owner)} mediad ...",
        )


def check_mounted(section: VaultSection) -> None:
    """Refuse to make a new vault on the system's disk where another disk is meant to be."""
    if point := mountinfo.missing(section.path):
        raise VaultOffline(
            f"vault {section.name}: nothing is mounted at {point}, where a disk is meant to be",
            hint="mount it; or take it out of /etc/fstab, or systemd's mount unit away, if the vault is to lie on this disk",
        )


def vault_held(config: Config, section: VaultSection, *, alone: bool) -> AbstractContextManager[None]:
    """Hold this station's part of a vault: together, by whoever has the station open; alone, by a rebuild. So two catalogues, each
    with its own locks, do not take one vault from each other."""
    folder = section.path / STAGING / config.station.id
    busy = f"vault {section.name} is in use" if alone else f"a catalogue is being rebuilt from vault {section.name}"
    hint = "stop mediad first: systemctl stop mediad mediad-derive" if alone else "try again when it has finished"
    return files.folder_locked(folder, alone=alone, busy=busy, hint=hint)


def user_name(uid: int) -> str:
    """A user's name, or the number of one without."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
