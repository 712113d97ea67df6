"""Previews of photos: many in one sandbox (``mediad.parsers.thumbs``), since building one takes longer than a photo."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from mediad.edges import handed
from mediad.edges.files import make_new_dir, storage_error
from mediad.edges.program import Outcome
from mediad.edges.sandbox import MAX_INPUTS
from mediad.edges.step import MIB, Runs, Spoilt, Steps, judge_file, judge_machine
from mediad.edges.whole import read_through, unreadable_now
from mediad.model.derived import Made, PreviewFailed
from mediad.model.preview import PHOTO_PROXY, POSTER
from mediad.model.probe import clean

POSTER_HEIGHT: Final = 360
_PICTURE_BYTES: Final = 16 * MIB
_SECONDS_EACH: Final = 30.0
_WHICH: Final = {"poster": POSTER, "proxy": PHOTO_PROXY}


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo to be drawn. ``name``: of the recording, and of the folder that its pictures come into."""

    name: str
    source: Path


class Photos:
    """``looked`` is called while an original is read for its own sake, and what it raises ends that."""

    def __init__(
        self, sandbox: Runs, *, memory: int = 2048 * MIB, looked: Callable[[], None] = lambda: None
    ) -> None:  # fmt: skip
        self._sandbox = sandbox
        self._looked = looked
        self._memory = memory

    @staticmethod
    def tools() -> tuple[str, ...]:
        """The libraries that draw them, with their versions."""
        return tuple(f"{name} {version(name)}" for name in ("pillow", "pillow-heif"))

    def make(
        self, photos: Sequence[Photo], scratch: Path, *, height: int, room: int
    ) -> dict[str, Made | PreviewFailed]:  # fmt: skip
        """Pictures of each photo in ``scratch/kept/<name>/``, or why there are none. A photo that ends the parser is found by
        asking again for each that has no answer, and none is blamed before the disk has given all of it. Raises MediadError for
        what is no fault of a photo."""
        steps = Steps(self._sandbox, scratch, room=room, memory=self._memory)
        steps.begin()
        made: dict[str, Made | PreviewFailed] = {}
        for first in range(0, len(photos), MAX_INPUTS):
            group = photos[first : first + MAX_INPUTS]
            _, left = self._together(steps, group, height, made)
            for photo in left:
                outcome, gone = self._together(steps, [photo], height, made)
                if gone:
                    made[photo.name] = _culprit(outcome)
        read_through([p.source for p in photos if isinstance(made[p.name], PreviewFailed)], self._looked)
        return made

    def _together(
        self, steps: Steps, photos: Sequence[Photo], height: int, made: dict[str, Made | PreviewFailed]
    ) -> tuple[Outcome, list[Photo]]:
        """One run; those that have no answer."""
        names = [f"{n:04d}" for n in range(len(photos))]
        request = {"photos": names, "heights": {"poster": min(POSTER_HEIGHT, height), "proxy": height}}
        inputs = dict(zip(names, (p.source for p in photos), strict=True))
        seconds = 60.0 + _SECONDS_EACH * len(photos)
        outcome, out = steps.python("thumbs", inputs=inputs, stdin=json.dumps(request).encode(), seconds=seconds)
        if len(photos) == 1:
            judge_machine(outcome, steps.full)  # of many, each is asked for again
        told = handed.answers(outcome.out)
        left = []
        for name, photo in zip(names, photos, strict=True):
            said = told.get(name)
            if said is None:
                left.append(photo)
            elif said.get("later"):
                raise unreadable_now(photo.source)
            elif said.get("ok") is not True:
                made[photo.name] = PreviewFailed(clean(str(said.get("code", ""))), clean(str(said.get("detail", ""))))
            else:
                made[photo.name] = _taken(steps, out, name, photo)
        return outcome, left


def _taken(steps: Steps, out: Path, name: str, photo: Photo) -> Made | PreviewFailed:
    try:
        make_new_dir(steps.kept / photo.name)
        for which, final in _WHICH.items():
            steps.take(out, f"{name}.{which}.jpg", f"{photo.name}/{final}", _PICTURE_BYTES)
    except Spoilt as e:
        return e.failed
    except OSError as e:
        raise storage_error(e, "taking over a preview") from e
    return Made(tuple(_WHICH.values()))


def _culprit(outcome: Outcome) -> PreviewFailed:
    """The photo over which the parser ended."""
    try:
        judge_file(outcome)
    except Spoilt as e:
        return e.failed
    return PreviewFailed("undecodable", "it cannot be decoded")
