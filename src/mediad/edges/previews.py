"""Makes previews in the sandbox and keeps them in the first vault: film, photos, track, and the manifest beside them."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar
from zoneinfo import ZoneInfo

from mediad import __version__
from mediad.edges.derived import Derived
from mediad.edges.encoder import Encoder
from mediad.edges.files import storage_error
from mediad.edges.media import Media, ProbeFile
from mediad.edges.photos import Photo, Photos
from mediad.errors import StorageError
from mediad.model.derived import About, Made, PreviewFailed
from mediad.model.evidence import Kind
from mediad.model.preview import PHOTO_PROXY, POSTER, Plan, Settings
from mediad.model.probe import Remark

TRACK = "track.geojson"

MOST_BYTES = 64 * 1024**3
"""No derivative is larger."""


class Docked(Protocol):
    """What came with a docking."""

    @property
    def docking(self) -> str: ...


class Order(Docked, Protocol):
    """What is to be made of a recording, and out of what (``stages/preview.py``)."""

    @property
    def recording(self) -> str: ...
    @property
    def plan(self) -> Plan: ...
    @property
    def sources(self) -> Sequence[Path]: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def tracks(self) -> Sequence[tuple[Path, str]]: ...


_D = TypeVar("_D", bound=Docked)


def by_docking(several: Iterable[_D]) -> list[list[_D]]:
    """Files of different dockings never share a sandbox: who takes a parser over by one of them could lie about the others."""
    found: dict[str, list[_D]] = {}
    for one in several:
        found.setdefault(one.docking, []).append(one)
    return list(found.values())


class Previews:
    """``jobs``: how many are made at a time, which share the room; ``remarks``: what every film's manifest says besides; ``anew``:
    recordings of which the preview that is there does not count."""

    def __init__(
        self, derived: Derived, media: Media, encoder: Encoder, photos: Photos, settings: Settings, zone: ZoneInfo,
        clock: Callable[[], datetime], *, jobs: int = 1, remarks: Sequence[Remark] = (), anew: Collection[str] = (),
    ) -> None:  # fmt: skip
        self.settings, self.zone = settings, zone
        self._derived, self._media, self._encoder, self._photos = derived, media, encoder, photos
        self._clock, self._jobs, self._remarks, self._anew = clock, jobs, tuple(remarks), set(anew)

    def about(self, recording: str) -> About | None:
        return None if recording in self._anew else self._derived.read_about(recording)

    def remove(self, recording: str) -> None:
        self._derived.remove(recording)

    def film(self, order: Order, told: Callable[[int], None]) -> About | PreviewFailed:
        with self._derived.scratch(order.recording) as scratch:
            track, remarks = self._track(order)  # first: what fails here must not throw away an hour's encode
            made = self._encoder.make(order.plan, order.sources, scratch, room=self._room(), told=told)
            if isinstance(made, PreviewFailed):
                return made
            if order.plan.video != "none":
                remarks += self._remarks
            made = replace(made, remarks=(*made.remarks, *remarks))
            kept = scratch / "kept"
            return self._install(order, kept, [*made.files, *_written(kept, track)], made, self._encoder.tools())

    def photos(self, orders: Sequence[Order]) -> Mapping[str, About | PreviewFailed]:
        answers: dict[str, About | PreviewFailed] = {}
        for some in by_docking(orders):
            answers |= self._photos_together(some)
        return answers

    def _photos_together(self, orders: Sequence[Order]) -> dict[str, About | PreviewFailed]:
        asked = [Photo(order.recording, order.sources[order.plan.segments[0].member]) for order in orders]
        with self._derived.scratch("photos") as scratch:
            found = self._photos.make(asked, scratch, height=self.settings.height, room=self._room())
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

    def _room(self) -> int:
        """Of one job: all of them together must not take more than there is."""
        return self._derived.room() // self._jobs

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

    def _track(self, order: Order) -> tuple[bytes | None, tuple[Remark, ...]]:
        """The whole GPS track, of all originals and sidecars that have one; without it the film is still worth having."""
        files = [ProbeFile(path, Kind.VIDEO, suffix) for path, suffix in order.tracks]
        try:
            return self._media.track(files, self.zone), ()
        except StorageError as e:
            return None, (Remark("no-track", f"its track could not be read: {e.message}"),)


def _written(folder: Path, track: bytes | None) -> list[str]:
    if track is None:
        return []
    try:
        (folder / TRACK).write_bytes(track)
    except OSError as e:
        raise storage_error(e, "writing a track") from e
    return [TRACK]
