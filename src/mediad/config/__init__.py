"""The configuration: one TOML file and the environment, parsed once into frozen values.

Every setting is documented in docs/settings.md, which tests hold against the models below. Unknown keys are refused: a
misspelt limit must not silently be none. Relative paths are relative to the file.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from mediad.config.rules import Acts, Cases, Deadlines
from mediad.config.section import Section
from mediad.config.telling import TellingSection
from mediad.errors import ConfigError
from mediad.model.evidence import Channel
from mediad.model.layout import MAX_LISTED_FILES, safe_name

DEFAULT_FILE = Path("/etc/mediad/mediad.toml")
SHIPPED_PROFILES = Path("/usr/share/mediad/recorders")
_PREFIX = "MEDIAD_"
_SEPARATOR = "__"


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("is no time zone of the IANA database, such as Asia/Shanghai") from None
    return name


def _plain(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", name):
        raise ValueError("may hold letters, digits, dot, dash and underscore, 40 characters at most")
    if safe_name(name.encode()) != name:  # two names must never share one folder
        raise ValueError(
            "cannot name a folder everywhere: it ends in a dot, dash or underscore, or is reserved like con"
        )
    return name


def _filled(value: Any) -> Any:
    """An empty path would be the folder of the configuration, which nobody means."""
    if isinstance(value, str) and (not value.strip() or "\0" in value):
        raise ValueError("is no path")
    return value


def _url(text: str) -> str:
    scheme, slashes, rest = text.partition("://")
    if not slashes or not re.fullmatch(r"[a-z][a-z0-9]*(\+[a-z0-9_]+)?", scheme) or not rest.strip("/") or "\0" in text:
        raise ValueError("is no database URL such as sqlite:///var/catalog.db")
    if scheme == "sqlite" and (not rest.startswith("/") or rest.endswith("/") or ":memory:" in rest or "?" in rest):
        raise ValueError("names no file: write sqlite:///var/catalog.db")
    return text


def _listen(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError("is no address like 127.0.0.1:9470")
    return text


PlainName = Annotated[str, AfterValidator(_plain)]
FilledPath = Annotated[Path, BeforeValidator(_filled)]
FilledText = Annotated[str, Field(min_length=1)]


class Unit(Section):
    """Who keeps the records."""

    name: str = Field(min_length=1, description="name of the unit, as it stands on records and labels")
    timezone: Annotated[str, AfterValidator(_zone)] = Field("Asia/Shanghai", description="time zone of the unit")

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


def _several(value: object) -> object:
    """One text stands for a list of one."""
    return (value,) if isinstance(value, str) else value


class Station(Section):
    """This docking station."""

    id: PlainName = Field(description="id of the station; it names the custody chain and never changes")
    receiver: Annotated[tuple[str, ...], BeforeValidator(_several)] = Field(
        (),
        description="who receives what is handed over (接收人): certificate or staff number, or several; none: whoever may",
    )
    state: FilledPath | None = Field(
        None, description="folder of the slot board, and of locks without SQLite; default: the folder of the catalogue"
    )
    runtime: FilledPath | None = Field(None, description="folder for the slot board; default: `run` below `state`")


class CatalogSection(Section):
    """The catalogue."""

    url: Annotated[str, AfterValidator(_url)] = Field(
        "sqlite:///var/catalog.db", description="database URL; SQLite is the embedded default"
    )

    @property
    def file(self) -> Path | None:
        """The file of an SQLite catalogue."""
        return Path(self.url.removeprefix("sqlite:///")) if self.url.startswith("sqlite:///") else None


class VaultSection(Section):
    """One place that keeps originals. The first one receives what is docked."""

    name: PlainName = Field(description="name of the vault")
    kind: Literal["local"] = Field("local", description="kind of storage")
    path: FilledPath = Field(description="folder of the vault")
    dedicated: bool = Field(True, description="counts as the unit's dedicated storage (Article 28)")
    volatile: bool = Field(False, description="let the vault lie in memory (tmpfs); for trials alone")


class Ingest(Section):
    """How files are taken."""

    sm3: bool = Field(False, description="keep an SM3 digest (GB/T 32905) beside the SHA-256 of every original")
    reserve_bytes: int = Field(
        2 * 1024**3, ge=0, description="bytes of a vault that stay free; below that ingest pauses"
    )
    reserve_percent: float = Field(1.0, ge=0, le=50, description="percent of a vault that stay free, if that is more")
    max_files: int = Field(
        100_000,
        ge=1,
        le=MAX_LISTED_FILES,
        description="files looked at in one docking; a card with more calls for a person",
    )

    def reserve(self, total: int) -> int:
        """Free bytes of a vault of ``total`` bytes below which ingest pauses."""
        return max(self.reserve_bytes, int(total * self.reserve_percent / 100))


class Devices(Section):
    """What is plugged in."""

    usb: bool = Field(True, description="watch the USB ports")
    unknown: Literal["ingest", "ignore"] = Field(
        "ingest", description="a device that is no registered recorder: take its files and flag it, or leave it alone"
    )
    settle_seconds: float = Field(
        2.0, ge=0, le=60, description="quiet time after which a port's partitions are complete"
    )
    power_off: bool = Field(
        False, description="power the device off when it is safe to take (it then no longer charges)"
    )
    profiles: tuple[FilledPath, ...] = Field(
        (Path("recorders"), SHIPPED_PROFILES), description="folders of recorder profiles; a missing one is skipped"
    )
    hook: tuple[FilledText, ...] = Field(
        (), description="program and arguments run at each change of a slot (lamps, beep)"
    )


class Folder(Section):
    """A watched drop folder."""

    path: FilledPath = Field(description="the folder")
    name: PlainName = Field(description="its name in records and vault keys")
    channel: Channel = Field("manual", description="where such files come from")
    officer: str = Field("", description="who hands over what lies here, as a certificate number")
    settle_seconds: float = Field(10.0, ge=0, le=3600, description="a file unchanged for so long is complete")
    rescan_seconds: float = Field(
        300.0, ge=1, le=86_400, description="the folder is looked through again after so long"
    )


class Inbox(Section):
    """A watched folder for tables, such as the export of the enforcement information system."""

    path: FilledPath = Field(description="the folder; its files are read and left as they are")
    name: PlainName = Field(description="its name in records")
    what: Literal["people", "departments", "trips", "cases"] = Field("cases", description="what its tables hold")
    good: bool = Field(True, description="take the good lines of a table although others are bad")
    settle_seconds: float = Field(10.0, ge=0, le=3600, description="a file unchanged for so long is complete")
    rescan_seconds: float = Field(
        300.0, ge=1, le=86_400, description="the folder is looked through again after so long"
    )


class Derive(Section):
    """Probes, times, takes and previews, which a process of their own makes."""

    jobs: int = Field(0, ge=0, le=64, description="how many are worked on side by side; 0: half the processors")
    threads: int = Field(0, ge=0, le=64, description="threads of one encoder; 0: the processors divided by the jobs")
    nice: int = Field(19, ge=0, le=19, description="nice level of the parsers and encoders")
    idle: bool = Field(True, description="give parsers and encoders only what nobody else wants of processors and disk")
    memory_mib: int = Field(2048, ge=256, description="MiB of memory that one parser or encoder may take")
    slowest: float = Field(
        20.0, ge=1, description="how many times its own length a preview may take before it is given up"
    )
    previews: bool = Field(True, description="make previews; without, recordings are probed, timed and joined only")
    height: int = Field(720, ge=144, le=2160, description="height of proxies in pixels; nothing is enlarged")
    crf: int = Field(28, ge=10, le=51, description="quality of encoded proxies (x264's CRF): less is better and larger")
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium"] = Field(
        "veryfast", description="x264's preset: slower is smaller"
    )
    audio_kbps: int = Field(64, ge=16, le=320, description="kbit/s of encoded sound")
    encoder: Literal["auto", "software", "vaapi", "nvenc", "qsv"] = Field(
        "auto", description="video encoder; auto takes the first hardware that passes a real test, else software"
    )
    overlay: bool = Field(False, description="write time, recorder and officer into the picture of proxies")

    def parallel(self, processors: int) -> tuple[int, int]:
        """Jobs side by side, and threads of each, on a machine with so many processors."""
        jobs = self.jobs or max(1, processors // 2)
        return jobs, self.threads or max(1, processors // jobs)


class Http(Section):
    """Metrics and health over HTTP."""

    listen: Annotated[str, AfterValidator(_listen)] = Field(
        "127.0.0.1:9470", description="address and port of /metrics, /healthz and /readyz"
    )


class Log(Section):
    """Logging."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is written")


class Config(Section):
    """The whole configuration."""

    unit: Unit
    station: Station
    catalog: CatalogSection = Field(default_factory=CatalogSection)  # type: ignore[arg-type]
    vault: tuple[VaultSection, ...] = Field(min_length=1)
    ingest: Ingest = Field(default_factory=Ingest)  # type: ignore[arg-type]
    devices: Devices = Field(default_factory=Devices)  # type: ignore[arg-type]
    folder: tuple[Folder, ...] = ()
    inbox: tuple[Inbox, ...] = ()
    derive: Derive = Field(default_factory=Derive)  # type: ignore[arg-type]
    deadlines: Deadlines = Field(default_factory=Deadlines)  # type: ignore[arg-type]
    acts: Acts = Field(default_factory=Acts)  # type: ignore[arg-type]
    cases: Cases = Field(default_factory=Cases)  # type: ignore[arg-type]
    telling: TellingSection = Field(default_factory=TellingSection)  # type: ignore[arg-type]
    http: Http = Field(default_factory=Http)  # type: ignore[arg-type]
    log: Log = Field(default_factory=Log)  # type: ignore[arg-type]

    @property
    def state(self) -> Path:
        """Folder of the slot board by default, and of the locks of a catalogue that is no file."""
        if self.station.state is not None:
            return self.station.state
        raise ConfigError("station.state has no value", hint="set it where the catalogue is not SQLite")

    @property
    def runtime(self) -> Path:
        """Folder for the slot board."""
        return self.station.runtime or self.state / "run"


def config_file(option: Path | None, environ: Mapping[str, str] = os.environ) -> Path:
    """Which file counts: the option, else MEDIAD_CONFIG, else /etc/mediad/mediad.toml."""
    if option is not None:
        return option
    return Path(environ.get("MEDIAD_CONFIG") or DEFAULT_FILE)


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
            "devices": config.devices.model_copy(update={"profiles": tuple(at(p) for p in config.devices.profiles)}),
            "folder": tuple(f.model_copy(update={"path": at(f.path)}) for f in config.folder),
        }
    )
