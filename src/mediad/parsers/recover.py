"""The playable part of an MP4 or MOV without its index: a recorder whose battery was pulled wrote the
pictures, but not where they are.

The media data is walked for H.264 or H.265 units with their lengths before them, as such files hold them; what lies between (sound)
is stepped over. They are written one after another with start codes (Annex B), which every decoder reads. The parameter sets come
from among the units, or from a whole recording of the same recorder (``reference``), since most recorders keep them in the index.

What it cannot do: sound (AAC has no marks of its own in such a file), Motion JPEG, the true times of pictures (the rate comes from
the reference; a variable one is lost), units longer than ``MAX_UNIT``, and lengths of other than four bytes.
"""

import itertools
import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from mediad.parsers import boxes
from mediad.parsers.binary import Bytes

MAX_UNIT: Final = 16 * 1024**2
SMALL_UNIT: Final = 64 * 1024
MAX_ALONE: Final = 2 * 1024**2
START: Final = b"\0\0\0\1"
WINDOW: Final = 1024**2
BEGINNING: Final = 32 * 1024**2
Codec = Literal["h264", "h265"]

_H264_TYPES: Final = {1, 5, 6, 7, 8, 9}
_H265_TYPES: Final = {*range(10), *range(16, 22), 32, 33, 34, 35, 39, 40}
_CANDIDATE: Final[dict[Codec, re.Pattern[bytes]]] = {
    # a length below MAX_UNIT, then a head that begins a picture or what stands before one
    "h264": re.compile(rb"(?=\0[\0-\xff]{3}[\x01\x21\x41\x61\x25\x45\x65\x06\x27\x47\x67\x09])", re.DOTALL),
    "h265": re.compile(rb"(?=\0[\0-\xff]{3}[\x00\x02\x26\x28\x2a\x40\x42\x46\x4e]\x01)", re.DOTALL),
}


@dataclass(frozen=True, slots=True)
class Reference:
    """What a whole recording of the same recorder tells."""

    codec: Codec
    sets: tuple[bytes, ...]
    rate: float | None


def recover(path: Path, output: Path, reference: Path | None = None) -> dict[str, Any]:
    """Write ``recovered.h264`` or ``.h265`` into ``output`` and say what is in it; without one, say why."""
    found = boxes.walk(path)
    areas = [(start, end if found.index else path.stat().st_size) for start, end in found.media[:1]] or [
        (0, path.stat().st_size)
    ]
    known = _reference(reference) if reference else None
    start, end = areas[0]
    if end - start < 16:
        return {"reason": "no-media"}
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        end = _written(data, start, end)
        codec = known.codec if known else _codec(data, start, end)
        if codec is None:
            return {"reason": "no-pictures"}
        inside = _own_sets(data, start, end, codec)
        if not inside and not known:
            return {"reason": "no-parameter-sets", "codec": codec}
        target = output / f"recovered.{codec}"
        frames = count = 0
        with target.open("wb") as out:
            for unit in () if inside or known is None else known.sets:
                out.write(START + unit)
            for place, length in _units(data, start, end, codec):
                out.write(START)
                out.write(data[place : place + length])
                frames += _begins_picture(data, place, codec)
                count += 1
            size = out.tell()
    if not frames:
        target.unlink()
        return {"reason": "no-pictures"}
    return {
        "codec": codec, "frames": frames, "units": count, "bytes": size, "rate": known.rate if known else None, "own_sets": inside,
    }  # fmt: skip


def _units(data: mmap.mmap, start: int, end: int, codec: Codec) -> Iterator[tuple[int, int]]:
    """Place and length of each unit. After something else the next is only believed if another
    follows it, or by its looks."""
    place = start
    trusted = False
    while place + 6 <= end:
        length = _unit(data, place, end, codec)
        followed = length > 0 and _followed(data, place + 4 + length, end, codec)
        if length and (trusted or followed or _stands_alone(data, place + 4, length, codec)):
            yield place + 4, length
            place += 4 + length
            trusted = trusted or followed  # of what stands alone, nothing follows
            continue
        trusted = False
        place = _candidate(data, place + 1, end, codec)


def _candidate(data: mmap.mmap, place: int, end: int, codec: Codec) -> int:
    """The next place where a unit may begin; ``end`` if there is none."""
    match = _CANDIDATE[codec].search(data, place, end)
    return match.start() if match else end


def _written(data: mmap.mmap, start: int, end: int) -> int:
    """Where what was written ends: some recorders reserve the whole file first, which leaves zeros behind a break."""
    while end > start:
        window = data[max(start, end - WINDOW) : end]
        rest = window.rstrip(b"\0")
        end -= len(window) - len(rest)
        if rest:
            break
    return end


def _stands_alone(data: mmap.mmap, place: int, length: int, codec: Codec) -> bool:
    """Whether a unit is believed though sound follows it, as in most recordings: it begins a picture, and is so small that its
    length begins with two zero bytes, which compressed sound hardly has; a larger one must be a key picture."""
    if not _begins_picture(data, place, codec):
        return False
    key = data[place] & 31 == 5 if codec == "h264" else 16 <= data[place] >> 1 < 22
    if length >= (MAX_ALONE if key else SMALL_UNIT):
        return False
    end, at, inside = place + length, place + 1, 0
    while (at := _candidate(data, at, end, codec)) < end:
        size = _unit(data, at, end, codec)
        inside += 0 < size < SMALL_UNIT and _begins_picture(data, at + 4, codec)
        if inside == 2:  # a picture holds no pictures: by chance sound looked like a length
            return False
        at += 1
    return True


def _followed(data: mmap.mmap, place: int, end: int, codec: Codec) -> bool:
    return place >= end - 8 or bool(_unit(data, place, end, codec)) or _CANDIDATE[codec].match(data, place) is not None


def _unit(data: mmap.mmap, place: int, end: int, codec: Codec) -> int:
    """The length of the unit that begins here with its length, or 0."""
    length = int.from_bytes(data[place : place + 4], "big")
    if not 3 <= length <= MAX_UNIT or place + 4 + length > end:
        return 0
    head = data[place + 4 : place + 12]
    return length if (_h264 if codec == "h264" else _h265)(head) else 0


def _h264(head: bytes) -> bool:
    kind, weight = head[0] & 31, head[0] >> 5
    if head[0] & 128 or kind not in _H264_TYPES:
        return False
    if kind in (6, 9):
        return weight == 0
    if kind in (5, 7, 8) and weight == 0:
        return False
    if kind == 7:
        return head[1] in (66, 77, 88, 100, 110, 122, 244, 44) and 9 <= head[3] <= 62
    if kind == 8:
        return True
    first, rest = _golomb(head[1:], 0)
    shape, rest = _golomb(head[1:], rest)
    parameters, _ = _golomb(head[1:], rest)
    return 0 <= first < 65_536 and 0 <= shape <= 9 and 0 <= parameters < 256 and (kind != 5 or shape in (2, 4, 7, 9))


def _h265(head: bytes) -> bool:
    kind = head[0] >> 1
    return not head[0] & 129 and kind in _H265_TYPES and head[1] >> 3 == 0 and 1 <= head[1] & 7 <= 4


def _golomb(data: bytes, bit: int) -> tuple[int, int]:
    """An unsigned Exp-Golomb number and the bit after it; -1 where the bytes end."""
    number, total = int.from_bytes(data, "big"), len(data) * 8
    zeros = 0
    while bit + zeros < total and not number >> (total - 1 - bit - zeros) & 1:
        zeros += 1
    last = bit + 2 * zeros + 1
    if last > total:
        return -1, total
    return (number >> (total - last) & ((1 << zeros + 1) - 1)) - 1, last


def _begins_picture(data: mmap.mmap, place: int, codec: Codec) -> bool:
    if codec == "h264":
        return data[place] & 31 in (1, 5) and bool(data[place + 1] & 128)
    return data[place] >> 1 < 22 and bool(data[place + 2] & 128)


def _is_set(data: mmap.mmap, place: int, codec: Codec) -> bool:
    return data[place] & 31 == 7 if codec == "h264" else data[place] >> 1 == 33


def _codec(data: mmap.mmap, start: int, end: int) -> Codec | None:
    """By which kind of units there are more near the beginning."""
    scores: dict[Codec, int] = {codec: sum(1 for _ in _some(data, start, end, codec, 200)) for codec in _CANDIDATE}
    best = max(scores, key=lambda codec: scores[codec])
    return best if scores[best] >= 2 else None


def _some(data: mmap.mmap, start: int, end: int, codec: Codec, most: int) -> Iterator[tuple[int, int]]:
    """The first units, as far as they lie in the first ``BEGINNING`` bytes."""
    return itertools.islice(_units(data, start, min(end, start + BEGINNING), codec), most)


def _own_sets(data: mmap.mmap, start: int, end: int, codec: Codec) -> bool:
    """Whether the parameter sets are among the first units."""
    return any(_is_set(data, place, codec) for place, _ in _some(data, start, end, codec, 2000))


# --- a whole recording of the same recorder ---------------------------------------------------------------------------


def _reference(path: Path) -> Reference | None:
    with Bytes(path) as file:
        for media in boxes.find(file, (b"moov", b"trak", b"mdia")):
            for table in boxes.find(file, (b"minf", b"stbl", b"stsd"), media.body, media.end):
                for entry in boxes.find(file, (b"avc1",), table.body + 8, table.end):
                    for record in boxes.find(file, (b"avcC",), entry.body + 78, entry.end):
                        return Reference("h264", tuple(_avc_sets(file.at(record.body, 4096))), _rate(file, media))
                for name in (b"hvc1", b"hev1"):
                    for entry in boxes.find(file, (name,), table.body + 8, table.end):
                        for record in boxes.find(file, (b"hvcC",), entry.body + 78, entry.end):
                            return Reference("h265", tuple(_hevc_sets(file.at(record.body, 4096))), _rate(file, media))
    return None


def _avc_sets(record: bytes) -> Iterator[bytes]:
    place = 5
    for mask in (31, 255):
        if place >= len(record):
            return
        count, place = record[place] & mask, place + 1
        for _ in range(count):
            length = int.from_bytes(record[place : place + 2], "big")
            yield record[place + 2 : place + 2 + length]
            place += 2 + length


def _hevc_sets(record: bytes) -> Iterator[bytes]:
    place = 23
    for _ in range(record[22] if len(record) > 22 else 0):
        count = int.from_bytes(record[place + 1 : place + 3], "big")
        place += 3
        for _ in range(min(count, 16)):
            length = int.from_bytes(record[place : place + 2], "big")
            yield record[place + 2 : place + 2 + length]
            place += 2 + length


def _rate(file: Bytes, media: boxes.Box) -> float | None:
    """Pictures a second, from how long most of them last."""
    head = next(boxes.find(file, (b"mdhd",), media.body, media.end), None)
    times = next(boxes.find(file, (b"minf", b"stbl", b"stts"), media.body, media.end), None)
    if head is None or times is None:
        return None
    scale = file.number(head.body + (20 if file.number(head.body, 1) == 1 else 12))
    runs = min(file.number(times.body + 4), 10_000)
    counted = [(file.number(times.body + 8 + 8 * n), file.number(times.body + 12 + 8 * n)) for n in range(runs)]
    length = max(counted, default=(0, 0))[1]
    return round(scale / length, 4) if length and scale and scale / length < 1000 else None
