"""The sections of the configuration: names, kinds, bounds and defaults. docs/settings.md is held against them."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mediad.config.rules import Acts, Cases, Deadlines
from mediad.config.section import Section
from mediad.config.telling import TellingSection
from mediad.errors import ConfigError
from mediad.model.evidence import Channel
from mediad.model.layout import MAX_LISTED_FILES, safe_name

SHIPPED_PROFILES = Path("/usr/share/mediad/recorders")
"""Where the Debian package shows them. Where it is not installed, those that lie within the program count."""


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
    highest: str = Field(
        "",
        max_length=20,
        description="highest classification that it may hold (Article 33); empty: the unit does not say",
    )
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
        (Path("recorders"), SHIPPED_PROFILES),
        description="folders of recorder profiles; a missing one is skipped",
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

    @model_validator(mode="after")
    def _classified(self) -> Self:
        for n, vault in enumerate(self.vault, 1):
            if vault.highest and vault.highest not in self.cases.classifications:
                raise ValueError(f"vault.{n}.highest = {vault.highest!r} is none of cases.classifications")
        return self

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
