"""What the stages behind an ingest need of the world: rules of the station, parsers, and the maker of previews."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from mediad import __version__
from mediad.edges.derived import Derived
from mediad.edges.encoder import Encoder
from mediad.edges.media import Media, ProbeFile, Recovered
from mediad.edges.photos import Photo, Photos
from mediad.edges.profiles import GENERIC
from mediad.edges.sandbox import Sandbox
from mediad.errors import NotFound
from mediad.model.derived import About, Made, PreviewFailed
from mediad.model.evidence import Kind
from mediad.model.layout import printable
from mediad.model.preview import PHOTO_PROXY, POSTER, Settings
from mediad.model.probe import Probe
from mediad.model.profile import Profile

if TYPE_CHECKING:
    from mediad.config import Derive
    from mediad.stages.preview import Order
    from mediad.stages.probe import Original
    from mediad.wiring.station import Station

TRACK = "track.geojson"

MOST_BYTES = 64 * 1024**3
"""No derivative is larger."""


def sandbox(derive: Derive) -> Sandbox:
    """The sandbox, as the settings want it."""
    return Sandbox(nice=derive.nice, idle=derive.idle)


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

    def __init__(self, box: Sandbox) -> None:
        self._media = Media(box)

    def probe(self, originals: Sequence[Original]) -> Mapping[str, Probe]:
        """Asset to answer."""
        files = [ProbeFile(o.path, Kind(o.kind), _suffix(o.name)) for o in originals]
        answers = self._media.probe(files)
        return {o.asset: answer for o, answer in zip(originals, answers, strict=True)}


def _suffix(name: bytes) -> str:
    stem, dot, suffix = name.rpartition(b"/")[2].rpartition(b".")
    return printable(suffix).lower()[:16] if stem and dot else ""


class Previews:
    """Makes previews in the sandbox and keeps them in the first vault."""

    def __init__(self, station: Station, box: Sandbox, derived: Derived, threads: int) -> None:
        derive = station.config.derive
        self.zone = station.zone
        self.settings = Settings(
            height=derive.height,
            crf=derive.crf,
            preset=derive.preset,
            audio_kbps=derive.audio_kbps,
            overlay=derive.overlay,
        )
        self._derived, self._clock = derived, station.ledger.clock
        memory = derive.memory_mib * 1024**2
        self._media, self._photos = Media(box), Photos(box, memory=memory)
        self._encoder = Encoder(
            box,
            prefer=derive.encoder,
            threads=threads,
            memory=memory,
            slowest=derive.slowest,
            recover=self._recover,
        )

    def about(self, recording: str) -> About | None:
        return self._derived.read_about(recording)

    def remove(self, recording: str) -> None:
        self._derived.remove(recording)

    def film(self, order: Order, told: Callable[[int], None]) -> About | PreviewFailed:
        with self._derived.scratch(order.recording) as scratch:
            made = self._encoder.make(order.plan, order.sources, scratch, room=self._derived.room(), told=told)
            if isinstance(made, PreviewFailed):
                return made
            kept = scratch / "kept"
            names = [*made.files, *self._track(order, kept)]
            return self._install(order, kept, names, made, self._encoder.tools())

    def photos(self, orders: Sequence[Order]) -> Mapping[str, About | PreviewFailed]:
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
        return self._derived.install(order.recording, folder, {n: n for n in names}, about, most=MOST_BYTES)

    def _track(self, order: Order, folder: Path) -> list[str]:
        """The whole GPS track of the first original that has one."""
        for path, suffix in order.tracks:
            if (told := self._media.track(ProbeFile(path, Kind.VIDEO, suffix))) is not None:
                (folder / TRACK).write_bytes(told)
                return [TRACK]
        return []
