"""The boxes of ISO media files (MP4, MOV, 3GP, HEIC), walked with bounds: what is missing, cut off, encrypted or impossible.

ffprobe says what a whole file holds; this says why it could not, and what a broken one still tells. Only headers are read.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mediad.model.probe import Remark
from mediad.parsers.binary import Bytes, is_noise

MAX_BOXES = 20_000
MAX_DEPTH = 12

_INSIDE = {
    b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"edts", b"udta", b"sinf", b"schi", b"iprp", b"ipco",
}  # fmt: skip
_ENTRIES = {b"vide": 78, b"soun": 28}
"""Bytes of a sample entry before the boxes in it, by the handler of the track."""
_ENCRYPTED = {b"encv", b"enca", b"enct", b"encs", b"pssh", b"senc", b"drmi", b"drms"}
_KNOWN_TOP = {
    b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid", b"meta", b"moof", b"mfra", b"sidx", b"styp", b"ssix",
    b"udta", b"pdin", b"prft", b"emsg", b"pssh", b"idat", b"PICT", b"ID32", b"mfhd", b"bloc", b"gps ", b"GPS ", b"junk",
}  # fmt: skip
_EPOCH = datetime(1904, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Box:
    """``clipped``: it says that it goes on beyond the end of what holds it."""

    kind: bytes
    start: int
    body: int
    end: int
    clipped: bool = False


@dataclass
class Found:
    """What the walk saw."""

    brand: str = ""
    index: bool = False
    fragments: bool = False
    media: list[tuple[int, int]] = field(default_factory=list)
    """Places of the media data: start and end of each mdat's body, cut at the end of the file."""
    clipped: str = ""
    """The outermost box that goes on beyond the end of the file."""
    broken: str = ""
    """What is impossible, and where."""
    trailing: int = 0
    """Bytes of something else behind a whole recording; some recorders append their own."""
    encrypted: str = ""
    noise: bool = False
    outside: bool = False
    """A reference to data in another file or at an address; nothing here follows it."""
    created: datetime | None = None
    modified: datetime | None = None
    pictures: list[tuple[int, int]] = field(default_factory=list)
    rotation: int | None = None

    @property
    def remarks(self) -> list[Remark]:
        told = []
        if not self.index and not self.fragments and self.media:
            told.append(Remark("no-index", "the index (moov) is missing: the recording was not finished"))
        if self.clipped:
            told.append(Remark("cut-off", f"box {self.clipped} goes on beyond the end of the file"))
        if self.broken:
            told.append(Remark("impossible-box", self.broken))
        if self.trailing:
            told.append(Remark("trailing-data", f"{self.trailing} bytes that are no box follow the recording"))
        if self.encrypted:
            told.append(Remark("encrypted", f"the file says that it is encrypted ({self.encrypted})"))
        if self.noise:
            told.append(Remark("noise", "after a known beginning nothing but noise follows, as in an encrypted file"))
        if self.outside:
            told.append(Remark("outside-reference", "it refers to another file or address, which was not opened"))
        return told


def walk(path: Path) -> Found:
    """Never raises for what the bytes are."""
    found = Found()
    with Bytes(path) as file:
        left = [MAX_BOXES]
        for box in _boxes(file, 0, file.size, left, found, top=True):
            if box.clipped:
                found.clipped = _name(box.kind)
            if box.kind in (b"ftyp", b"styp"):
                found.brand = found.brand or _name(file.at(box.body, 4))
            elif box.kind == b"mdat":
                found.media.append((box.body, box.end))
            elif box.kind == b"meta":
                _descend(file, box, left, found, 1, b"")
            elif box.kind in _INSIDE or box.kind in _ENCRYPTED:
                # an index that is cut off is none
                found.index |= box.kind == b"moov" and not box.clipped
                found.fragments |= box.kind == b"moof"
                _look(file, box, found)
                _descend(file, box, left, found, 1, b"")
    return found


def find(file: Bytes, path: tuple[bytes, ...], start: int = 0, end: int | None = None) -> Iterator[Box]:
    """Every box at a path of kinds, as ``(b"moov", b"trak", b"mdia")``."""
    for box in _boxes(file, start, file.size if end is None else end, [MAX_BOXES], Found()):
        if box.kind == path[0]:
            if len(path) == 1:
                yield box
            else:
                yield from find(file, path[1:], box.body, box.end)


def _boxes(file: Bytes, start: int, end: int, left: list[int], found: Found, *, top: bool = False) -> Iterator[Box]:
    place = start
    while end - place >= 8 and left[0] > 0:
        left[0] -= 1
        size, kind, body = file.number(place), file.at(place + 4, 4), place + 8
        if size == 1:
            size, body = file.number(place + 8, 8), place + 16
        elif size == 0:
            if not top:
                return  # a list in QuickTime's user data ends so
            if kind == b"\0\0\0\0":
                return  # padding
            size = end - place
        if size < body - place or not _plausible(kind) or (top and kind not in _KNOWN_TOP and place + size > end):
            _impossible(file, place, kind, found, top=top)
            return
        yield Box(kind, place, body, min(place + size, end), clipped=place + size > end)
        place += size


def _impossible(file: Bytes, place: int, kind: bytes, found: Found, *, top: bool) -> None:
    if top and (found.index or found.fragments) and found.media:
        found.trailing = file.size - place
    elif top and not found.index and not found.media and is_noise(file, place):
        found.noise = True
    elif not found.broken:
        found.broken = f"no box can begin at byte {place} ({kind.hex()})"


def _plausible(kind: bytes) -> bool:
    return len(kind) == 4 and all(32 <= c < 127 or c == 0xA9 for c in kind)


def _descend(file: Bytes, box: Box, left: list[int], found: Found, depth: int, handler: bytes) -> None:
    if depth > MAX_DEPTH or left[0] <= 0:
        return
    body = box.body
    if box.kind == b"meta" and file.at(body + 4, 4) not in (b"hdlr", b"keys"):
        body += 4  # ISO has version and flags here, QuickTime has not
    if box.kind in (b"stsd", b"dref"):
        body += 8
    for inner in _boxes(file, body, box.end, left, found):
        if inner.clipped and not box.clipped and not found.broken:
            found.broken = f"box {_name(inner.kind)} at byte {inner.start} goes on beyond {_name(box.kind)}"
        if inner.kind == b"hdlr":
            handler = file.at(inner.body + 8, 4)
        if box.kind == b"dref":
            _reference(file, inner, found)
            continue
        _look(file, inner, found)
        if box.kind == b"stsd" and handler in _ENTRIES:
            inside = Box(b"", inner.start, min(inner.body + _ENTRIES[handler], inner.end), inner.end)
            _descend(file, inside, left, found, depth + 1, handler)
        elif inner.kind in _INSIDE or inner.kind in (b"stsd", b"meta", b"dinf", b"dref", b"rmra", b"rmda"):
            _descend(file, inner, left, found, depth + 1, handler)


def _reference(file: Bytes, entry: Box, found: Found) -> None:
    """An entry of a data reference: bit 0 of its flags says that the data is in this file."""
    found.outside |= not file.number(entry.body + 1, 3) & 1


def _look(file: Bytes, box: Box, found: Found) -> None:
    if box.kind in _ENCRYPTED and not found.encrypted:
        found.encrypted = _name(box.kind)
    elif box.kind == b"rdrf":
        found.outside = True
    elif box.kind == b"mvhd":
        width = 8 if file.number(box.body, 1) == 1 else 4
        found.created = _time(file.number(box.body + 4, width))
        found.modified = _time(file.number(box.body + 4 + width, width))
    elif box.kind == b"ispe" and len(found.pictures) < 1000:
        found.pictures.append((file.number(box.body + 4), file.number(box.body + 8)))
    elif box.kind == b"irot" and found.rotation is None:
        found.rotation = (360 - 90 * (file.number(box.body, 1) & 3)) % 360


def _time(seconds: int) -> datetime | None:
    """Seconds since 1904; 0 is no time. Some recorders count from 1970, which shows as a time before it."""
    if not 0 < seconds < 1 << 33:
        return None
    return _EPOCH + timedelta(seconds=seconds)


def _name(kind: bytes) -> str:
    return kind.decode("latin-1").strip()
