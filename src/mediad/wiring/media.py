"""What the stages behind an ingest need of the world: rules of the station, parsers, and the maker of previews."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar
from zoneinfo import ZoneInfo

import structlog

from mediad import __version__
from mediad.edges.derived import Derived
from mediad.edges.encoder import Encoder, font
from mediad.edges.files import storage_error
from mediad.edges.hardware import Choice
from mediad.edges.media import Media, ProbeFile, Recovered
from mediad.edges.photos import Photo, Photos
from mediad.edges.profiles import GENERIC
from mediad.edges.sandbox import Sandbox
from mediad.errors import MediadError, NotFound, Stopping, StorageError
from mediad.model.derived import About, Made, PreviewFailed
from mediad.model.evidence import Kind
from mediad.model.layout import suffix_of
from mediad.model.preview import PHOTO_PROXY, POSTER, Settings
from mediad.model.probe import Probe, Remark
from mediad.model.profile import Profile

if TYPE_CHECKING:
    from mediad.config import Derive
    from mediad.stages.preview import Order
    from mediad.stages.probe import Original
    from mediad.wiring.station import Station

_log = structlog.get_logger()

TRACK = "track.geojson"

MOST_BYTES = 64 * 1024**3
"""No derivative is larger."""


def sandbox(derive: Derive, worker: str = "", stop: threading.Event | None = None) -> Sandbox:
    """The sandbox of a worker, as the settings want it. With ``stop`` whatever runs in it ends when that is set, by Stopping."""

    def looked() -> None:
        if stop is not None and stop.is_set():
            raise Stopping("mediad is stopping", hint="it is done at the next start")

    return Sandbox(nice=derive.nice, idle=derive.idle, worker=worker, looked=looked)


def memory(derive: Derive) -> int:
    """Bytes that one parser or encoder may take."""
    return derive.memory_mib * 1024**2


class _Docked(Protocol):
    @property
    def docking(self) -> str: ...


_D = TypeVar("_D", bound=_Docked)


def by_docking(several: Iterable[_D]) -> list[list[_D]]:
    """Files of different dockings never share a sandbox: who takes a parser over by one of them could lie about the others."""
    found: dict[str, list[_D]] = {}
    for one in several:
        found.setdefault(one.docking, []).append(one)
    return list(found.values())


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


class Previews:
    """Makes previews in the sandbox and keeps them in the first vault. ``anew``: recordings of which the preview that is there does
    not count."""

    def __init__(
        self, station: Station, box: Sandbox, derived: Derived, threads: int, anew: Collection[str] = ()
    ) -> None:  # fmt: skip
        derive = station.config.derive
        self._anew = set(anew)
        self._no_font = derive.overlay and not font()
        self.zone = station.zone
        self.settings = Settings(
            height=derive.height,
            crf=derive.crf,
            preset=derive.preset,
            audio_kbps=derive.audio_kbps,
            overlay=derive.overlay and not self._no_font,  # else all would be encoded for nothing
        )
        self._derived, self._clock = derived, station.ledger.clock
        self._media, self._photos = Media(box, memory=memory(derive)), Photos(box, memory=memory(derive))
        self._encoder = Encoder(
            box,
            prefer=derive.encoder,
            threads=threads,
            memory=memory(derive),
            slowest=derive.slowest,
            recover=self._recover,
            chosen=_tell_encoder,
        )

    def about(self, recording: str) -> About | None:
        return None if recording in self._anew else self._derived.read_about(recording)

    def remove(self, recording: str) -> None:
        self._derived.remove(recording)

    def film(self, order: Order, told: Callable[[int], None]) -> About | PreviewFailed:
        with self._derived.scratch(order.recording) as scratch:
            made = self._encoder.make(order.plan, order.sources, scratch, room=self._derived.room(), told=told)
            if isinstance(made, PreviewFailed):
                return made
            if self._no_font and order.plan.video != "none":
                why = "no font with Chinese characters is installed, so nothing is written into the picture"
                made = replace(made, remarks=(*made.remarks, Remark("no-font", why)))
            kept = scratch / "kept"
            names = [*made.files, *self._track(order, kept)]
            return self._install(order, kept, names, made, self._encoder.tools())

    def photos(self, orders: Sequence[Order]) -> Mapping[str, About | PreviewFailed]:
        answers: dict[str, About | PreviewFailed] = {}
        for some in by_docking(orders):
            answers |= self._photos_together(some)
        return answers

    def _photos_together(self, orders: Sequence[Order]) -> dict[str, About | PreviewFailed]:
        asked = [Photo(order.recording, order.sources[order.plan.segments[0].member]) for order in orders]
        with self._derived.scratch("photos") as scratch:
            room = self._derived.room()
            found = self._photos.make(asked, scratch, height=self.settings.height, room=room)
            answers: dict[str, About | PreviewFailed] = {}
            for order in orders:
                made = found[order.recording]
                if isinstance(made, PreviewFailed):
                    answers[order.recording] = made
                else:
                    folder = scratch / "kept" / order.recording
                    answers[order.recording] = self._install(
                        order, folder, [POSTER, PHOTO_PROXY], made, self._photos.tools()
                    )
            return answers

    def _recover(self, original: Path, folder: Path, reference: Path | None) -> Recovered | None:
        return self._media.recover(ProbeFile(original, Kind.VIDEO), folder, reference)

    def _install(self, order: Order, folder: Path, names: Sequence[str], made: Made, tools: Sequence[str]) -> About:
        about = About.of(
            made,
            recording=order.recording,
            fingerprint=order.fingerprint,
            made_at=self._clock().isoformat(timespec="seconds"),
            tools=[f"mediad {__version__}", *tools],
        )
        written = self._derived.install(order.recording, folder, {n: n for n in names}, about, most=MOST_BYTES)
        self._anew.discard(order.recording)
        return written

    def _track(self, order: Order, folder: Path) -> list[str]:
        """The whole GPS track, of all originals and sidecars that have one."""
        files = [ProbeFile(path, Kind.VIDEO, suffix) for path, suffix in order.tracks]
        if (told := self._media.track(files, self.zone)) is None:
            return []
        try:
            (folder / TRACK).write_bytes(told)
        except OSError as e:
            raise storage_error(e, "writing a track") from e
        return [TRACK]


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
