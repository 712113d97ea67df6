"""The configuration: one TOML file and the environment, parsed once into frozen values.

Every setting is documented in docs/settings.md, which tests hold against the models of sections.py. Unknown keys are refused: a
misspelt limit must not silently be none. Relative paths are relative to the file.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mediad.config.sections import (
    SHIPPED_PROFILES,
    CatalogSection,
    Config,
    Derive,
    Folder,
    Inbox,
    Ingest,
    VaultSection,
)
from mediad.errors import ConfigError

__all__ = [
    "DEFAULT_FILE", "SHIPPED_PROFILES", "CatalogSection", "Config", "Derive", "Folder", "Inbox", "Ingest", "VaultSection",
    "config_file", "load", "overlap", "own_places", "shipped",
]  # fmt: skip

DEFAULT_FILE = Path("/etc/mediad/mediad.toml")
_PREFIX = "MEDIAD_"
_SEPARATOR = "__"
_PACKAGED = Path(__file__).parent.parent / "recorders"


def config_file(option: Path | None, environ: Mapping[str, str] = os.environ) -> Path:
    """Which file counts: the option, else MEDIAD_CONFIG, else /etc/mediad/mediad.toml."""
    if option is not None:
        return option
    return Path(environ.get("MEDIAD_CONFIG") or DEFAULT_FILE)


def shipped(folder: Path) -> Path:
    """The folder of shipped profiles that is really there: that of the Debian package, else that within the program, as in a
    checkout. Other folders are as they are."""
    return _PACKAGED if folder == SHIPPED_PROFILES and not folder.is_dir() else folder


def load(file: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read and check a configuration. Raises ConfigError, which names file, key and value."""
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{file} does not exist", hint="give --config FILE, set MEDIAD_CONFIG, or create it"
        ) from None
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{file} cannot be read: {e}", hint="check its rights; it must be UTF-8") from e
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"{file} is not TOML: {e}", hint="mend that line") from e
    overrides = _override(raw, environ)
    try:
        config = Config.model_validate(raw)
    except ValidationError as e:
        raise ConfigError(_complaint(file, e, overrides), hint="see docs/settings.md") from e
    config = _resolve(config, file)
    for n, folder in enumerate(config.folder, 1):
        if own := overlap(config, folder.path):
            raise ConfigError(
                f"{file}: folder.{n}.path = {str(folder.path)!r}: {own}", hint="watch a folder of its own"
            )
    _check_apart(config, file)
    return config


def _check_apart(config: Config, file: Path) -> None:
    """Raise ConfigError where two places would write into one another, or two watched folders would take the same files."""
    vaults = [(f"vault.{n}.path", vault.path) for n, vault in enumerate(config.vault, 1)]
    watched = [(f"folder.{n}.path", folder.path) for n, folder in enumerate(config.folder, 1)]
    watched += [(f"inbox.{n}.path", inbox.path) for n, inbox in enumerate(config.inbox, 1)]
    own = [("catalog.url", config.catalog.file), ("station.state", config.station.state)]
    runtime = [("station.runtime", config.runtime)] if config.station.state or config.station.runtime else []
    pairs = [(inner, outer) for outer in vaults for inner in (*own, *runtime, *vaults)]  # a vault below state is fine
    pairs += [(inner, outer) for outer in runtime for inner in vaults]
    pairs += [(inner, outer) for outer in watched for inner in watched]
    for (key, path), (outer, place) in pairs:
        if path and key != outer and _and_above(place)[0] in _and_above(path):
            raise ConfigError(
                f"{file}: {key} = {str(path)!r} lies in {outer} = {str(place)!r}", hint="give each a folder of its own"
            )


def own_places(config: Config) -> frozenset[tuple[int, int]]:
    """The folders that mediad itself writes, as device and inode, as far as they are there."""
    catalogue = config.catalog.file
    places = [*(v.path for v in config.vault), config.station.state, config.station.runtime]
    places += [catalogue.parent if catalogue else None]
    found = (_and_above(path)[0] for path in places if path is not None)
    return frozenset(place for place in found if isinstance(place, tuple))


def overlap(config: Config, folder: Path) -> str:
    """Why a folder cannot be a source: it holds, or lies in, what mediad itself writes, and would be taken again and again.
    Empty if it can. Compared by what the paths lead to, so links and bind mounts do not hide it."""
    places = [(f"vault {v.name}", v.path) for v in config.vault]
    if config.station.state is not None:
        places.append(("the folder of the slot board", config.runtime))
        places.append(("the state folder", config.station.state))  # a folder of its own below that is fine
    if config.catalog.file is not None:
        places.append(("the catalogue", config.catalog.file))
    above = _and_above(folder)
    for name, place in places:
        if name != "the state folder" and _and_above(place)[0] in above:
            return f"lies inside {name}, {place}"
        if above[0] in _and_above(place):
            return f"contains {name}, {place}"
    return ""


def _and_above(path: Path) -> list[tuple[int, int] | Path]:
    """A path and every folder above it: as device and inode, or by name where nothing is yet."""
    real = Path(os.path.realpath(path))
    found: list[tuple[int, int] | Path] = []
    for each in (real, *real.parents):
        try:
            status = os.stat(each)
        except OSError:
            found.append(each)
        else:
            found.append((status.st_dev, status.st_ino))
    return found


def _override(raw: dict[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """Settings from the environment: MEDIAD_<SECTION>__<KEY>, for sections that are no lists. Returns key to variable."""
    used = {}
    for variable, value in environ.items():
        if not variable.startswith(_PREFIX) or _SEPARATOR not in variable:
            continue
        section, _, key = variable[len(_PREFIX) :].lower().partition(_SEPARATOR)
        table = raw.setdefault(section, {})
        if not isinstance(table, dict):
            raise ConfigError(f"environment {variable}: {section} is a list", hint="set it in the file")
        table[key] = value
        used[f"{section}.{key}"] = variable
    return used


def _complaint(file: Path, error: ValidationError, overrides: Mapping[str, str]) -> str:
    lines = []
    for e in error.errors():
        key = ".".join(str(p + 1) if isinstance(p, int) else p for p in e["loc"])
        variable = next((v for k, v in overrides.items() if k == key or k.startswith(f"{key}.")), None)
        where = f"environment {variable}" if variable else str(file)
        if e["type"] == "missing":
            lines.append(f"{where}: {key} is missing")
        elif e["type"] == "extra_forbidden":
            lines.append(f"{where}: {key} is no setting")
        else:
            reason = e["msg"].removeprefix("Value error, ")
            lines.append(f"{where}: {key} = {e['input']!r}: {reason[0].lower()}{reason[1:]}")
    return "; ".join(lines)


def _resolve(config: Config, file: Path) -> Config:
    """Make every path absolute and fill the defaults that depend on another setting."""
    base = file.resolve().parent

    def at(path: Path) -> Path:
        return base / path

    url = config.catalog.url
    state = config.station.state
    if url.startswith("sqlite:///"):
        database = at(Path(url.removeprefix("sqlite:///")))
        url = f"sqlite:///{database}"
        state = state or database.parent
    runtime = config.station.runtime
    names = [v.name.lower() for v in config.vault] + [f"folder {f.name.lower()}" for f in config.folder]
    names += [f"inbox {i.name.lower()}" for i in config.inbox]
    if double := {n for n in names if names.count(n) > 1}:
        raise ConfigError(
            f"{file}: the name {double.pop()!r} is given twice", hint="names of vaults and folders are unique"
        )
    return config.model_copy(
        update={
            "station": config.station.model_copy(
                update={"state": at(state) if state else None, "runtime": at(runtime) if runtime else None}
            ),
            "catalog": config.catalog.model_copy(update={"url": url}),
            "inbox": tuple(i.model_copy(update={"path": at(i.path)}) for i in config.inbox),
            "vault": tuple(v.model_copy(update={"path": at(v.path)}) for v in config.vault),
            "deadlines": config.deadlines.model_copy(update={"calendar": at(config.deadlines.calendar)}),
            "cases": config.cases.model_copy(update={"activities": at(config.cases.activities)}),
            "telling": config.telling.at(base),
            "devices": config.devices.model_copy(
                update={"profiles": tuple(shipped(at(p)) for p in config.devices.profiles)}
            ),
            "folder": tuple(f.model_copy(update={"path": at(f.path)}) for f in config.folder),
        }
    )
