"""Photos: EXIF by exifread (JPEG, TIFF, HEIC, PNG, WebP), the size of the picture, and whether the file is whole.

No pixel is decoded here, so a picture that claims a size beyond all memory costs nothing; the size is what its head says.
"""

import contextlib
import io
import logging
import re
import zlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import exifread
from PIL import Image

from mediad.model.probe import Condition, Position, Probe, Remark, Stamp, Stream
from mediad.parsers import boxes
from mediad.parsers.binary import Bytes

MAX_CHUNKS: Final = 100_000
MAX_EXIF: Final = 1024**2
HUGE_PIXELS: Final = 200_000_000

_CLOCKWISE: Final = {1: 0, 2: 0, 3: 180, 4: 180, 5: 270, 6: 90, 7: 90, 8: 270}
_STAMPS: Final = (
    ("EXIF DateTimeOriginal", "EXIF SubSecTimeOriginal", "EXIF OffsetTimeOriginal", "start"),
    ("EXIF DateTimeDigitized", "EXIF SubSecTimeDigitized", "EXIF OffsetTimeDigitized", "unsaid"),
    ("Image DateTime", "EXIF SubSecTime", "EXIF OffsetTime", "unsaid"),
)
_DATE = re.compile(r"(\d{4})[:/.-](\d\d)[:/.-](\d\d)[ T](\d\d):(\d\d):(\d\d)")


def probe(path: Path) -> Probe:
    """What a photo says of itself."""
    kind, conditions, remarks = _whole(path)
    tags = _tags(path, kind)
    picture, found = _picture(path, kind)
    rotation = found.rotation if found and found.rotation is not None else _rotation(tags)
    width, height = picture or (None, None)
    if width and height and width * height > HUGE_PIXELS:
        remarks.append(Remark("huge-picture", f"it claims {width} by {height} pixels"))
    if picture is None and not tags and not conditions:
        conditions, remarks = ["unreadable"], [*remarks, Remark("not-read", "no picture was found in it")]
    return Probe(
        kind="photo",
        conditions=tuple(dict.fromkeys(conditions)),
        container=kind,
        streams=(Stream("image", codec=kind, width=width, height=height, rotation=rotation),) if picture else (),
        make=_text(tags, "Image Make"),
        model=_text(tags, "Image Model"),
        serial=_text(tags, "EXIF BodySerialNumber") or _text(tags, "Image CameraSerialNumber"),
        software=_text(tags, "Image Software"),
        stamps=tuple(_stamps(tags)),
        position=_position(tags),
        remarks=tuple(remarks),
        tool=f"exifread {exifread.__version__}",
    )


def _tags(path: Path, kind: str) -> Mapping[str, Any]:
    """Empty for what exifread cannot read, whichever way it fails over it."""
    logging.getLogger("exifread").setLevel(logging.CRITICAL)
    with contextlib.suppress(Exception), path.open("rb") as file:
        # exifread expects words before the TIFF part of a WebP that its specification does not know
        source = io.BytesIO(_webp_exif(path)) if kind == "webp" else file
        tags: Mapping[str, Any] = exifread.process_file(source, details=False)
        return tags
    return {}


def _webp_exif(path: Path) -> bytes:
    """The chunk with EXIF, which is a TIFF file of its own."""
    with Bytes(path) as file:
        place = 12
        for _ in range(MAX_CHUNKS):
            size = file.number(place + 4, little=True)
            if place + 8 > file.size:
                break
            if file.at(place, 4) == b"EXIF":
                return file.at(place + 8, min(size, MAX_EXIF)).removeprefix(b"Exif\0\0")
            place += 8 + size + (size & 1)
    return b""


def _text(tags: Mapping[str, Any], name: str) -> str:
    tag = tags.get(name)
    return str(getattr(tag, "values", tag) or "").strip("\0 ") if tag is not None else ""


def _rotation(tags: Mapping[str, Any]) -> int:
    values = getattr(tags.get("Image Orientation"), "values", [1])
    value = values[0] if isinstance(values, list) and values else 1
    return _CLOCKWISE.get(value, 0) if isinstance(value, int) else 0


# --- time and place ---------------------------------------------------------------------------------------------------


def _stamps(tags: Mapping[str, Any]) -> list[Stamp]:
    stamps = []
    for name, fraction, offset, means in _STAMPS:
        moment = _moment(_text(tags, name), _text(tags, fraction), _text(tags, offset))
        if moment:
            stamps.append(Stamp("exif", moment, "start" if means == "start" else "unsaid", name.split()[1]))
    if at := _gps_time(tags):
        stamps.append(Stamp("gps", at, "start", "GPSDateStamp"))
    return stamps


def _moment(text: str, fraction: str = "", offset: str = "") -> str:
    match = _DATE.match(text)
    if not match:
        return ""
    year, month, day, hour, minute, second = match.groups()
    part = f".{fraction[:6].ljust(3, '0')}" if re.fullmatch(r"\d{1,9}", fraction) and int(fraction) else ""
    zone = offset if re.fullmatch(r"[+-]\d\d:\d\d", offset) else ""
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(f"{year}-{month}-{day}T{hour}:{minute}:{second}{part}{zone}").isoformat()
    return ""


def _gps_time(tags: Mapping[str, Any]) -> str:
    """GPS time is UTC."""
    parts = _numbers(tags, "GPS GPSTimeStamp", 3)
    day = _text(tags, "GPS GPSDate").replace("-", ":")
    if parts is None or not re.fullmatch(r"\d{4}:\d\d:\d\d", day):
        return ""
    return _moment(f"{day} {int(parts[0]):02}:{int(parts[1]):02}:{int(parts[2]):02}", offset="+00:00")


def _position(tags: Mapping[str, Any]) -> Position | None:
    north, east = _numbers(tags, "GPS GPSLatitude", 3), _numbers(tags, "GPS GPSLongitude", 3)
    if north is None or east is None:
        return None
    latitude, longitude = (round(n[0] + n[1] / 60 + n[2] / 3600, 8) for n in (north, east))
    if latitude > 90 or longitude > 180 or (latitude, longitude) == (0, 0):
        return None
    height = _numbers(tags, "GPS GPSAltitude", 1)
    below = getattr(tags.get("GPS GPSAltitudeRef"), "values", [0])
    return Position(
        -latitude if _text(tags, "GPS GPSLatitudeRef") == "S" else latitude,
        -longitude if _text(tags, "GPS GPSLongitudeRef") == "W" else longitude,
        None if height is None else -height[0] if list(below)[:1] == [1] else height[0],
        _gps_time(tags),
    )


def _numbers(tags: Mapping[str, Any], name: str, count: int) -> list[float] | None:
    values = getattr(tags.get(name), "values", None)
    with contextlib.suppress(TypeError, ValueError, ZeroDivisionError, OverflowError):
        numbers = [float(v) for v in values or ()]
        if len(numbers) == count and all(0 <= n < 1e6 for n in numbers):
            return numbers
    return None


# --- the picture and the file -----------------------------------------------------------------------------------------


def _picture(path: Path, kind: str) -> tuple[tuple[int, int] | None, boxes.Found | None]:
    """Width and height as stored; of a HEIC file its largest picture (its tiles and thumbnail are smaller)."""
    if kind in ("heic", "avif"):
        found = boxes.walk(path)
        return max(found.pictures, key=lambda p: p[0] * p[1], default=None), found
    Image.MAX_IMAGE_PIXELS = None  # nothing is decoded
    with contextlib.suppress(Exception), Image.open(path) as image:
        return image.size, None
    return None, None


def _whole(path: Path) -> tuple[str, list[Condition], list[Remark]]:
    """The format by its first bytes, and what is missing at its end."""
    with Bytes(path) as file:
        head = file.at(0, 32)
        if head.startswith(b"\xff\xd8\xff"):
            return "jpeg", *_jpeg(file, path)
        if head.startswith(b"\x89PNG"):
            return "png", *_png(file)
        if head[4:8] == b"ftyp":
            found = boxes.walk(path)
            cut = bool(found.clipped) or not _has_items(file)
            bad = bool(found.broken) and not cut
            conditions: list[Condition] = ["truncated"] if cut else ["damaged"] if bad else []
            remarks = [r for r in found.remarks if r.code != "no-index"] or (
                [Remark("cut-off", "what says where the picture lies is missing")] if cut else []
            )
            return ("avif" if head[8:12] == b"avif" else "heic"), conditions, remarks
        if head[8:12] == b"WEBP":
            missing = file.number(4, little=True) + 8 - file.size
            return "webp", *(_cut(f"{missing} bytes of what the head says are missing") if missing > 0 else ([], []))
        if head[:4] in (b"II*\0", b"MM\0*"):
            first = file.number(4, little=head[:2] == b"II")
            return "tiff", *(_cut("its directory lies beyond the end") if first + 2 > file.size else ([], []))
    return "", [], []


def _has_items(file: Bytes) -> bool:
    return any(True for _ in boxes.find(file, (b"meta",)))


def _jpeg(file: Bytes, path: Path) -> tuple[list[Condition], list[Remark]]:
    """Segments up to the scan, then its end mark: in the scan itself no FF D9 can be."""
    place = 2
    for _ in range(MAX_CHUNKS):
        mark = file.at(place, 2)
        if len(mark) < 2:
            return _cut("it ends before its picture")
        if mark[0] != 0xFF:
            return ["damaged"], [Remark("impossible-segment", f"no segment can begin at byte {place}")]
        if mark[1] in (0xFF, 0x01, *range(0xD0, 0xD8)):
            place += 1 if mark[1] == 0xFF else 2
            continue
        if mark[1] == 0xDA:
            return ([], []) if _holds(path, place, b"\xff\xd9") else _cut("the end of its picture is missing")
        if mark[1] == 0xD9:
            return ["damaged"], [Remark("no-picture", "it ends without a picture")]
        place += 2 + max(2, file.number(place + 2, 2))
    return ["damaged"], [Remark("impossible-segment", "too many segments")]


def _holds(path: Path, start: int, mark: bytes) -> bool:
    with path.open("rb") as stream:
        stream.seek(start)
        last = b""
        while chunk := stream.read(1 << 20):
            if mark in last + chunk:
                return True
            last = chunk[-1:]
    return False


def _png(file: Bytes) -> tuple[list[Condition], list[Remark]]:
    """Chunks with their check sums, up to the last one."""
    place = 8
    for _ in range(MAX_CHUNKS):
        length, kind = file.number(place), file.at(place + 4, 4)
        if place + 12 + length > file.size:
            return _cut("it ends in the middle of a chunk")
        sum_ = zlib.crc32(kind)
        for part in range(place + 8, place + 8 + length, 1 << 20):
            sum_ = zlib.crc32(file.at(part, min(1 << 20, place + 8 + length - part)), sum_)
        if sum_ != file.number(place + 8 + length):
            return ["damaged"], [Remark("check-sum", f"the chunk at byte {place} does not match its check sum")]
        if kind == b"IEND":
            return [], []
        place += 12 + length
    return ["damaged"], [Remark("impossible-segment", "too many chunks")]


def _cut(why: str) -> tuple[list[Condition], list[Remark]]:
    return ["truncated"], [Remark("cut-off", why)]
