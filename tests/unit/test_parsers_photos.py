"""Photos: EXIF as exiftool writes it for several makers, the size of the picture, and what is missing of a broken one."""

import json
import struct
import zlib
from pathlib import Path

import pytest

from mediad.model.probe import Probe
from mediad.parsers.__main__ import answered
from tests.clips import Clips, cut

MAKERS = [
    ("Hytera", "VM780", "8888888"),
    ("Hikvision", "DS-MH2211", "D12345678"),
    ("Axon Enterprise", "Body 3", "X60A12345"),
    ("Canon", "Canon EOS R5", "032024001234"),
    ("海康威视", "执法记录仪", "甲-0001"),
]


def probed(path: Path) -> Probe:
    said = answered({"name": path.name, "suffix": path.suffix[1:]}, path.parent)
    return Probe.from_json(json.loads(json.dumps(said["probe"])))


@pytest.mark.parametrize("suffix", ["jpg", "tif", "png", "webp", "heic"])
def test_every_format_tells_time_maker_and_place(clips: Clips, suffix: str) -> None:
    """The same tags, written by exiftool, read back from each container."""
    # fmt: off
    path = clips.photo(suffix, Make="Acme", Model="Cam 7", SerialNumber="8888888", Software="V1.2",
                       DateTimeOriginal="2024:01:02 11:04:05", OffsetTimeOriginal="+08:00", SubSecTimeOriginal="250",
                       GPSLatitude="39.9042", GPSLatitudeRef="N", GPSLongitude="116.4074", GPSLongitudeRef="W", GPSAltitude="44.5",
                       GPSAltitudeRef="0", GPSDateStamp="2024:01:02", GPSTimeStamp="03:04:06")
    # fmt: on
    probe = probed(path)
    assert (probe.kind, probe.conditions, probe.remarks) == ("photo", (), ())
    assert probe.container == {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix)
    assert (probe.make, probe.model, probe.serial, probe.software) == ("Acme", "Cam 7", "8888888", "V1.2")
    picture = probe.stream("image")
    assert picture is not None
    assert (picture.width, picture.height, picture.rotation) == (160, 120, 0)
    assert [(s.source, s.value, s.means) for s in probe.stamps] == [
        ("exif", "2024-01-02T11:04:05.250000+08:00", "start"),
        ("gps", "2024-01-02T03:04:06+00:00", "start"),
    ]
    place = probe.position
    assert place is not None
    assert (place.latitude, place.longitude) == (pytest.approx(39.9042, abs=1e-5), pytest.approx(-116.4074, abs=1e-5))
    assert (place.altitude, place.at) == (44.5, "2024-01-02T03:04:06+00:00")


@pytest.mark.parametrize(("make", "model", "serial"), MAKERS)
def test_makers_are_read_as_they_write(clips: Clips, make: str, model: str, serial: str) -> None:
    """Latin and Chinese names; a time without a zone stays without one."""
    path = clips.photo("jpg", Make=make, Model=model, SerialNumber=serial, DateTimeOriginal="2024:06:30 08:00:00")
    probe = probed(path)
    assert probe.model == model or not make.isascii()
    if make.isascii():
        assert (probe.make, probe.model, probe.serial) == (make, model, serial)
    assert [s.value for s in probe.stamps] == ["2024-06-30T08:00:00"]


@pytest.mark.parametrize(("orientation", "rotation"), [(1, 0), (3, 180), (6, 90), (8, 270)])
def test_orientation_is_rotation_clockwise(clips: Clips, orientation: int, rotation: int) -> None:
    """As a viewer turns it."""
    picture = probed(clips.photo("jpg", Orientation=str(orientation))).stream("image")
    assert picture is not None
    assert picture.rotation == rotation


@pytest.mark.parametrize("moment", ["0000:00:00 00:00:00", "2024:13:45 99:99:99", "    :  :     :  :  ", "yesterday"])
def test_a_time_that_is_none_is_left_out(clips: Clips, tmp_path: Path, moment: str) -> None:
    """What recorders write whose clock was never set."""
    data = clips.photo("jpg", DateTimeOriginal="2024:01:02 11:04:05").read_bytes()
    assert data.count(b"2024:01:02 11:04:05") == 1
    (tmp_path / "a.jpg").write_bytes(data.replace(b"2024:01:02 11:04:05", moment.ljust(19).encode()))
    probe = probed(tmp_path / "a.jpg")
    assert probe.stamps == ()
    assert probe.conditions == ()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "heic", "tif"])
def test_a_photo_cut_at_twenty_places_is_known_to_be_cut(clips: Clips, tmp_path: Path, suffix: str) -> None:
    """Truncated, or unreadable where too little is left; a TIFF is only known by its directory at the end."""
    whole = clips.photo(suffix)
    size = whole.stat().st_size
    for part in range(20):
        length = max(1, size * (part * 5 + 2) // 101)
        probe = probed(cut(whole, tmp_path / f"{part}.{suffix}", length))
        assert probe.kind == "photo"
        assert set(probe.conditions) & {"truncated", "unreadable", "damaged"}, (length, size, probe)
        assert probe.remarks


def test_a_flipped_bit_of_a_png_is_seen(clips: Clips, tmp_path: Path) -> None:
    """Its check sums tell."""
    data = bytearray(clips.photo("png").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    assert probed(tmp_path / "a.png").conditions == ("damaged",)


def test_flipped_bytes_end_in_an_answer(clips: Clips, tmp_path: Path) -> None:
    """Each byte of the head of a JPEG in turn."""
    whole = clips.photo(
        "jpg", Make="Acme", DateTimeOriginal="2024:01:02 11:04:05", GPSLatitude="39.9", GPSLongitude="116.4"
    ).read_bytes()
    path = tmp_path / "a.jpg"
    for place in range(3, 400, 2):
        data = bytearray(whole)
        data[place] ^= 0xFF
        path.write_bytes(data)
        probe = probed(path)
        assert "parser-failed" not in {r.code for r in probe.remarks}, (place, probe)


def test_an_image_bomb_costs_nothing(tmp_path: Path) -> None:
    """50,000 by 50,000 pixels, whose data unfold from nothing: the head is read, no pixel is."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    zeros = zlib.compressobj(9)
    unfolds = b"".join(zeros.compress(bytes(1 << 20)) for _ in range(64)) + zeros.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 6, 0, 0, 0))
    texts = chunk(b"zTXt", b"Comment\0\0" + unfolds)
    (tmp_path / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + head + texts + chunk(b"IDAT", unfolds) + chunk(b"IEND", b"")
    )
    probe = probed(tmp_path / "bomb.png")
    assert probe.kind == "photo"
    assert "parser-failed" not in {r.code for r in probe.remarks}
    picture = probe.stream("image")
    if picture is not None:
        assert (picture.width, picture.height) == (50_000, 50_000)
        assert "huge-picture" in {r.code for r in probe.remarks}
    (tmp_path / "plain.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", unfolds) + chunk(b"IEND", b""))
    assert "huge-picture" in {r.code for r in probed(tmp_path / "plain.png").remarks}


def test_what_is_no_photo_is_unreadable(tmp_path: Path) -> None:
    """Text named jpg, and a head without anything."""
    for name, data in (
        ("a.jpg", b"no photo\n" * 50),
        ("b.jpg", b"\xff\xd8\xff"),
        ("c.heic", b"\0\0\0\x18ftypheic" + bytes(12)),
        ("d.bmp", b"BM" + bytes(9)),
    ):
        (tmp_path / name).write_bytes(data)
        probe = probed(tmp_path / name)
        assert probe.kind == "photo"
        assert set(probe.conditions) & {"unreadable", "truncated", "damaged"}, name
        assert probe.remarks
