"""The program inside the sandbox.

The request: ``{"files": [{"name": "0001", "as": "probe", "suffix": "mp4"}, ...]}``; ``name`` is the file's below /in, ``as`` what
is asked: ``probe``, ``track`` or ``recover`` (with ``reference``: the name of a whole recording of the same recorder). The answer
is one line each, in order, written at once: ``{"name": ..., "probe": {...}}``, ``{"name": ..., "track": {GeoJSON}}``,
``{"name": ..., "recovered": {...}}``, or ``{"name": ..., "later": ...}`` where the disk failed, which says nothing of the file.
What goes wrong with one file is an answer about that file; only its being killed ends this program, and then edges/media.py asks
again for those that have no answer.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mediad.model.evidence import HEAD_BYTES, Kind, kind_of
from mediad.model.probe import Position, Probe, Remark
from mediad.parsers import exif, media, recover, sidecar, track, walls

INPUTS = Path("/in")
OUTPUT = Path("/out")


def main() -> None:
    request = json.load(sys.stdin)
    walls.whole()
    for asked in request["files"]:
        walls.begin()
        try:
            answer = {"name": asked["name"]} | answered(asked)
        except (walls.DiskError, OSError) as error:
            if not isinstance(error, walls.DiskError) and not walls.of_the_disk(error):
                raise
            answer = {"name": asked["name"], "later": str(error)[:200]}
        sys.stdout.write(json.dumps(answer, ensure_ascii=False, allow_nan=False) + "\n")
        sys.stdout.flush()


def answered(asked: Mapping[str, Any], inputs: Path = INPUTS, output: Path = OUTPUT) -> dict[str, Any]:
    path = inputs / asked["name"]
    suffix = str(asked.get("suffix", ""))
    match asked.get("as", "probe"):
        case "track":
            return {"track": track.geojson(_points(path, suffix))}
        case "recover":
            reference = inputs / asked["reference"] if asked.get("reference") else None
            return {"recovered": recover.recover(path, output, reference)}
        case _:
            return {"probe": Probe.from_json(probe(path, suffix).as_json()).as_json()}


def _points(path: Path, suffix: str) -> Sequence[Position]:
    """Every position of a recording or of a sidecar; none of what cannot be read."""
    with path.open("rb") as file:
        kind = kind_of(file.read(HEAD_BYTES), f"x.{suffix}".encode())
    return sidecar.read(path, suffix).points if kind is Kind.DATA else media.points(path)


def probe(path: Path, suffix: str) -> Probe:
    """What the bytes say. Every parser may fail over them, each in its own way: that is an answer, and it says how."""
    kind = Kind.DATA
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        kind = kind_of(head, f"x.{suffix}".encode())
        if not head:
            return Probe(kind.value, conditions=("unreadable",), remarks=(Remark("empty", "the file has no bytes"),))
        if kind is Kind.PHOTO:
            return _photo(path, kind_of(b"", f"x.{suffix}".encode()))
        if kind is Kind.DATA:
            return sidecar.probe(path, suffix)
        return media.probe(path, kind.value)
    except ImportError:  # a fault of the installation, and none of the file
        raise
    except Exception as error:
        if walls.of_the_disk(error):
            raise walls.DiskError(str(error)) from error
        code = "limit" if isinstance(error, MemoryError | RecursionError | walls.Spent) else "parser-failed"
        return Probe(
            kind.value, conditions=("unreadable",), remarks=(Remark(code, f"{type(error).__name__}: {error}"[:200]),)
        )


def _photo(path: Path, named: Kind) -> Probe:
    """A photo by its first bytes; but where the name says film or sound and no whole photo follows, that may be a mask."""
    photo = exif.probe(path)
    if photo.conditions and named in (Kind.VIDEO, Kind.AUDIO):
        film = media.probe(path, named.value)
        if film.streams:
            return film
    return photo


if __name__ == "__main__":
    main()
