"""What `mediad config check` finds beyond the form of the settings: places and names that the station could not run with."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from mediad.config import Config
from mediad.edges.profiles import GENERIC, load_profiles
from mediad.errors import MediadError, UsageError


def profile_names(config: Config) -> list[str]:
    """Every profile that a registration may name."""
    return [p.name for p in (*load_profiles(config.devices.profiles), GENERIC)]


def check_profile(config: Config, name: str) -> None:
    """Raise UsageError if there is no such profile."""
    if name and name not in (names := profile_names(config)):
        raise UsageError(f"no profile is called {name}", hint="one of " + ", ".join(names))


def config_problems(config: Config) -> Iterator[tuple[str, str]]:
    """Settings that are well formed but cannot work: the key, and what is wrong with its value."""
    file = config.catalog.file
    if file is None:
        yield (
            "catalog.url",
            f"{config.catalog.url.partition(':')[0]} is not built in yet: write sqlite:///var/catalog.db",
        )
    elif why := _no_folder(file.parent):
        yield "catalog.url", why
    state = config.station.state
    if state is not None and (file is None or state != file.parent) and (why := _no_folder(state)):
        yield "station.state", why
    runtime = config.station.runtime  # systemd makes it with the service, so it need not be there
    if runtime is not None and runtime.exists() and (why := _no_folder(runtime)):
        yield "station.runtime", why
    for n, vault in enumerate(config.vault, 1):
        if why := _no_folder(vault.path):
            yield f"vault.{n}.path", why
    for n, drop in enumerate(config.folder, 1):
        if not drop.path.is_dir():
            yield f"folder.{n}.path", f"{drop.path} is no folder, or not there yet"
        elif not os.access(drop.path, os.R_OK | os.X_OK):
            yield f"folder.{n}.path", f"{drop.path} may not be read"
    folders = config.devices.profiles
    if not any(p.is_dir() for p in folders):
        yield "devices.profiles", "none of these folders exists: " + ", ".join(map(str, folders))
    if config.devices.hook and shutil.which(config.devices.hook[0]) is None:
        yield "devices.hook", f"{config.devices.hook[0]} is no program that can be run"
    if why := _no_address(config.http.listen):
        yield "http.listen", why
    yield from _registered(config)


def _no_folder(folder: Path) -> str:
    """Why a folder cannot be used or made; empty if it can."""
    here = folder
    while not here.exists() and here != here.parent:
        here = here.parent
    if not here.is_dir():
        return f"{folder} cannot be made: {here} is no folder"
    if not os.access(here, os.W_OK | os.X_OK):
        return f"{here} may not be written by this user" + ("" if here == folder else f", so {folder} cannot be made")
    return ""


def _no_address(listen: str) -> str:
    """Why nothing can listen there; empty if it can, or something (a running mediad) does so already."""
    host, _, port = listen.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host.strip("[]"), int(port)))
    except OSError as e:
        return "" if e.errno == errno.EADDRINUSE else f"{listen} is no address of this machine ({e.strerror})"
    except UnicodeError:
        return f"{listen} is no address"
    return ""


def _registered(config: Config) -> Iterator[tuple[str, str]]:
    """What the catalogue, if there is one, knows by other names: vaults and the profiles of recorders."""
    from mediad.catalog import db, evidence
    from mediad.wiring.bureau.rules import differing
    from mediad.wiring.station import open_ledger, renamed_vault

    try:
        if config.catalog.file is None or not db.exists(config.catalog.url):
            return
        ledger = open_ledger(config)
    except MediadError as e:
        yield "catalog.url", e.message
        return
    try:
        with ledger.catalog.read() as conn:
            station, recorders, vaults = evidence.station(conn), evidence.recorders(conn), evidence.vaults(conn)
            rules = differing(conn, config)
    finally:
        ledger.catalog.close()
    if station is not None and station.id != config.station.id:
        yield "station.id", f"the catalogue belongs to station {station.id}, and the id never changes"
    for key in rules:
        yield (
            key,
            "it is not the rule in force: `mediad deadlines rules` shows what it would change, and puts it in force",
        )
    names = profile_names(config)
    for row in recorders:
        if row["profile"] and row["profile"] not in names:
            yield (
                "devices.profiles",
                f"recorder {row['label']} is registered with profile {row['profile']}, which is in no folder",
            )
    registered = {row.name: row.marker for row in vaults}
    for n, section in enumerate(config.vault, 1):
        if old := renamed_vault(section, config, registered):
            yield (
                f"vault.{n}.name",
                f"the vault in {section.path} is registered as {old}: names of vaults do not change",
            )
