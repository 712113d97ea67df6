"""What the stages behind an ingest need of the world: rules of the station, parsers, and the maker of previews."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import structlog

from mediad.edges.encoder import Encoder, font
from mediad.edges.hardware import Choice
from mediad.edges.media import Media, ProbeFile, Recovered
from mediad.edges.photos import Photos
from mediad.edges.previews import Previews, by_docking
from mediad.edges.profiles import GENERIC
from mediad.edges.sandbox import Sandbox
from mediad.errors import MediadError, NotFound, Stopping, StorageError
from mediad.model.evidence import Kind
from mediad.model.layout import suffix_of
from mediad.model.preview import Settings
from mediad.model.probe import Probe, Remark
from mediad.model.profile import Profile

if TYPE_CHECKING:
    from mediad.config import Derive
    from mediad.edges.derived import Derived
    from mediad.stages.probe import Original
    from mediad.wiring.station import Station

_log = structlog.get_logger()

NO_FONT = Remark("no-font", "no font with Chinese characters is installed, so nothing is written into the picture")


def sandbox(derive: Derive, worker: str = "", stop: threading.Event | None = None) -> Sandbox:
    """The sandbox of a worker, as the settings want it. With ``stop`` whatever runs in it ends when that is set, by Stopping."""

    def looked() -> None:
        if stop is not None and stop.is_set():
            raise Stopping("mediad is stopping", hint="it is done at the next start")

    return Sandbox(nice=derive.nice, idle=derive.idle, worker=worker, looked=looked)


def memory(derive: Derive) -> int:
    """Bytes that one parser or encoder may take."""
    return derive.memory_mib * 1024**2


class StationRules:
    """Profiles by name, and the unit's zone."""

    def __init__(self, station: Station) -> None:
        self.zone: ZoneInfo = station.zone
        self._profiles = {p.name: p for p in reversed([*station.profiles, GENERIC])}

    def known(self, name: str) -> Profile | None:
        """A profile by name, if there is such a one."""
        return self._profiles.get(name)

    def profile(self, name: str) -> Profile:
        """The profile under which something was docked. Raises NotFound if it is not there any more."""
        found = self.known(name)
        if found is None:
            raise NotFound(
                f"recorder profile {name}, under which it was docked, is not there any more",
                hint="put it back into a folder of devices.profiles",
            )
        return found


class Parsers:
    """Asks the sandboxed parsers about originals."""

    def __init__(self, derive: Derive, box: Sandbox) -> None:
        self._media = Media(box, memory=memory(derive))

    def probe(self, originals: Sequence[Original]) -> Mapping[str, Probe | MediadError]:
        """Asset to answer, or to why there is none now."""
        answers: dict[str, Probe | MediadError] = {}
        for some in by_docking(originals):
            files = [ProbeFile(o.path, Kind(o.kind), suffix_of(o.name)) for o in some]
            answers |= zip((o.asset for o in some), self._media.probe(files), strict=True)
        return answers


def previews(
    station: Station, box: Sandbox, derived: Derived, jobs: int, threads: int, anew: Collection[str] = ()
) -> Previews:  # fmt: skip
    """The maker of previews, as the settings want it; ``anew``: recordings of which the preview that is there does not count."""
    derive = station.config.derive
    most = memory(derive)
    no_font = derive.overlay and not font()
    media = Media(box, memory=most)

    def recover(original: Path, folder: Path, reference: Path | None) -> Recovered | None:
        return media.recover(ProbeFile(original, Kind.VIDEO), folder, reference)

    return Previews(
        derived,
        media,
        Encoder(
            box,
            prefer=derive.encoder,
            threads=threads,
            memory=most,
            slowest=derive.slowest,
            recover=recover,
            chosen=_tell_encoder,
            looked=box.looked,
        ),
        Photos(box, memory=most, looked=box.looked),
        Settings(
            height=derive.height,
            crf=derive.crf,
            preset=derive.preset,
            audio_kbps=derive.audio_kbps,
            overlay=derive.overlay and not no_font,  # else all would be encoded for nothing
        ),
        station.zone,
        station.ledger.clock,
        jobs=jobs,
        remarks=[NO_FONT] if no_font else [],
        anew=anew,
    )


def _tell_encoder(name: str, why: str) -> None:
    """Once a process: who pays for a graphics card wants to know that it is not used."""
    if why:
        _log.warning("video encoder", encoder=name, why=why)
    else:
        _log.info("video encoder", encoder=name)


def encoder_used(derive: Derive) -> str:
    """Which video encoder is used, by a real test encode, and why no other. Raises StorageError if the one that is set is not."""
    choice = Choice(sandbox(derive), derive.encoder)
    name = choice.made().name
    if derive.encoder not in ("auto", name):
        raise StorageError(
            f"derive.encoder is {derive.encoder}, and {name} is used: {choice.why}",
            hint="the driver, the rights of the service's user on the device node (groups video, render), DeviceAllow= in the unit",
        )
    return f"{name} ({choice.why})" if choice.why else name
