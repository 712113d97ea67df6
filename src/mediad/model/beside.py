"""Which file beside a recording tells of it: sidecars by name, and which of several is really of this recording.

Names on FAT come in any case, and a recorder of capitals may be read by one of small letters; but where two names differ in nothing
else, they are two.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from mediad.model.evidence import Kind
from mediad.model.profile import Profile

WRITTEN_TOGETHER: Final = timedelta(hours=24)
"""A recorder closes a sidecar with its recording; one that was written a day apart is of another, unless it was seen beside it."""

_FIRST: Final = (Kind.VIDEO, Kind.AUDIO, Kind.PHOTO, Kind.DATA)
"""What a sidecar tells of, if several files bear its name: the recording rather than its thumbnail or index."""


def stem(path: bytes) -> bytes:
    """A path without its suffix."""
    folder, slash, name = path.rpartition(b"/")
    bare, dot, _ = name.rpartition(b".")
    return folder + slash + (bare if dot and bare else name)


def spellings(path: bytes) -> set[bytes]:
    """How a path may be written on a file system that does not mind case: all of it in one case, or its name."""
    folder, slash, name = path.rpartition(b"/")
    head = folder + slash
    return {path, path.upper(), path.lower(), head + name.upper(), head + name.lower()}


def pair_sidecars(profile: Profile, files: Mapping[bytes, Kind]) -> dict[bytes, bytes]:
    """Which file of a volume each sidecar tells of, if any: ``a.mp4.xml`` of ``a.mp4``, ``a.xml`` of the ``a.*`` in its folder that
    is no sidecar itself (by kind, then by name). A name in other case counts if none in the same does, and only one."""
    recordings = sorted((p for p in files if not profile.is_sidecar(p)), key=lambda p: (_FIRST.index(files[p]), p))
    owners = {p: p for p in recordings}
    for p in recordings:
        owners.setdefault(stem(p), p)
    folded: dict[bytes, list[bytes]] = defaultdict(list)
    for name in owners:
        folded[name.upper()].append(name)

    def owner(name: bytes) -> bytes | None:
        alike = folded.get(name.upper(), [])
        return owners.get(name) or (owners[alike[0]] if len(alike) == 1 else None)

    return {p: found for p in sorted(files) if profile.is_sidecar(p) and (found := owner(stem(p)))}


def is_of(asset: str, beside: str | None, apart: timedelta) -> bool:
    """Whether a sidecar that bears a recording's name is of that recording: names come again, above all behind a formatted card.
    ``beside`` is the recording that it lay beside when it came itself; if none, the two must have been written together."""
    return apart <= WRITTEN_TOGETHER if beside is None else beside == asset
