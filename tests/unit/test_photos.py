"""Small pictures of photos: upright, of every kind that recorders write, and no photo keeps another from being drawn."""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mediad.edges.photos import Photo, Photos
from mediad.edges.program import Outcome
from mediad.edges.sandbox import MAX_INPUTS, Sandbox
from mediad.errors import StorageError
from mediad.model.derived import Made, PreviewFailed
from tests.media import bomb
from tests.support import program

ROOM = 256 * 1024**2


@pytest.fixture
def draw(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    (tmp_path / "scratch").mkdir()

    def drawn(*files: Path, height: int = 120, sandbox: Any = None) -> dict[str, Any]:
        photos = Photos(sandbox or Sandbox(nice=0, idle=False))
        jobs = [Photo(f.name, f) for f in files]
        return photos.make(jobs, tmp_path / "scratch", height=height, room=ROOM)

    return drawn


def picture(path: Path, size: tuple[int, int] = (400, 300), mode: str = "RGB", **more: Any) -> Path:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, "blue")
    image.paste("red", (0, 0, size[0] // 2, size[1]))
    image.convert(mode).save(path, **more)
    return path


def drawn(tmp_path: Path, name: str, which: str = "proxy.jpg") -> Image.Image:
    with Image.open(tmp_path / "scratch/kept" / name / which) as image:
        assert image.format == "JPEG"
        return image.convert("RGB")


def test_each_kind_of_photo_gets_a_poster_and_a_larger_picture(
    draw: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """JPEG, PNG with transparency and with a palette, TIFF, sixteen bits, grey, CMYK, WebP."""
    photos = [
        picture(tmp_path / "a.jpg"),
        picture(tmp_path / "b.png", mode="RGBA"),
        picture(tmp_path / "c.png", mode="P"),
        picture(tmp_path / "d.tif"),
        picture(tmp_path / "e.jpg", mode="CMYK"),
        picture(tmp_path / "f.webp", lossless=True),
        picture(tmp_path / "g.jpg", mode="L"),
    ]
    made = draw(*photos)
    assert all(isinstance(m, Made) and m.files == ("poster.jpg", "proxy.jpg") for m in made.values()), made
    for photo in photos:
        image = drawn(tmp_path, photo.name)
        assert image.size == (160, 120)
        left, right = image.getpixel((20, 60)), image.getpixel((140, 60))
        assert (left[0] > 200 and right[2] > 200) or photo.name == "g.jpg", (photo.name, left, right)  # type: ignore[index]


def test_a_heic_photo_is_drawn(draw: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    subprocess.run([program("heif-enc", "libheif-examples"), tmp_path / "a.png", "-o", tmp_path / "a.heic"], check=True,
                   capture_output=True)  # fmt: skip
    made = draw(tmp_path / "a.heic")
    assert isinstance(made["a.heic"], Made), made
    assert drawn(tmp_path, "a.heic").getpixel((20, 60))[0] > 200  # type: ignore[index]


@pytest.mark.parametrize(("turn", "where"), [(1, (20, 60)), (6, (45, 20)), (3, (140, 60)), (8, (45, 100))])
def test_a_photo_that_was_taken_sideways_is_drawn_upright(
    draw: Callable[..., dict[str, Any]], tmp_path: Path, turn: int, where: tuple[int, int]
) -> None:
    """Also when it is decoded at a fraction of its size; ``where`` the red half lies then."""
    exif = Image.Exif()
    exif[0x0112] = turn
    made = draw(picture(tmp_path / "a.jpg", (1600, 1200), exif=exif))
    assert isinstance(made["a.jpg"], Made), made
    image = drawn(tmp_path, "a.jpg")
    assert image.size == ((160, 120) if turn in (1, 3) else (90, 120))
    assert image.getpixel(where)[0] > 200, image.getpixel(where)  # type: ignore[index]


def test_a_small_photo_is_not_enlarged_and_nothing_of_its_exif_is_kept(
    draw: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    draw(picture(tmp_path / "a.jpg", (40, 30), exif=exif), height=720)
    with Image.open(tmp_path / "scratch/kept/a.jpg/proxy.jpg") as image:
        assert image.size == (40, 30) and not image.getexif()


def test_a_truncated_photo_is_drawn_as_far_as_it_goes(draw: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    whole = picture(tmp_path / "a.jpg", (1600, 1200)).read_bytes()
    (tmp_path / "b.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    assert isinstance(draw(tmp_path / "b.jpg")["b.jpg"], Made)


def test_what_is_no_photo_or_a_bomb_is_an_answer_and_the_others_are_drawn(
    draw: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "head.jpg").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF\0")
    (tmp_path / "ps.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    made = draw(
        picture(tmp_path / "first.jpg"), bomb(tmp_path / "bomb.png", 60_000, 60_000), tmp_path / "text.jpg",
        tmp_path / "empty.jpg", tmp_path / "head.jpg", tmp_path / "ps.jpg", picture(tmp_path / "last.jpg"),
    )  # fmt: skip
    assert isinstance(made["first.jpg"], Made) and isinstance(made["last.jpg"], Made)
    assert made["bomb.png"] == PreviewFailed("too-large", "the photo claims more pixels than any camera has")
    for name in ("text.jpg", "empty.jpg", "head.jpg", "ps.jpg"):
        assert isinstance(made[name], PreviewFailed) and made[name].code == "undecodable", made[name]


class Killing:
    """A stand-in for the parser, NOT the real one: it crashes over every photo whose file is named so."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.runs: list[int] = []
        self._real = Sandbox(nice=0, idle=False)

    def python(self, module: str, *args: str) -> list[str]:
        return self._real.python(module, *args)

    def run(self, argv: Sequence[str], *, inputs: Mapping[str, Path], **more: Any) -> Outcome:
        self.runs.append(len(inputs))
        if any(p.name == "killer.jpg" for p in inputs.values()):
            return Outcome(self.code, b"", b"")
        return self._real.run(argv, inputs=inputs, **more)


def test_a_photo_that_crashes_the_parser_costs_the_others_nothing(
    draw: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    sandbox = Killing(139)
    made = draw(
        picture(tmp_path / "a.jpg"), picture(tmp_path / "killer.jpg"), picture(tmp_path / "b.jpg"), sandbox=sandbox
    )
    assert isinstance(made["a.jpg"], Made) and isinstance(made["b.jpg"], Made)
    assert made["killer.jpg"] == PreviewFailed("crashed", "the decoder crashed (SIGSEGV)")
    assert sandbox.runs == [3, 1, 1, 1]


def test_a_parser_that_was_killed_from_outside_is_tried_again_later(
    draw: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match="killed"):
        draw(picture(tmp_path / "killer.jpg"), sandbox=Killing(137))


def test_many_photos_share_a_sandbox(draw: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    sandbox = Killing(139)
    source = picture(tmp_path / "0.jpg")
    files = [source]
    for n in range(1, MAX_INPUTS + 10):
        os.link(source, tmp_path / f"{n}.jpg")
        files.append(tmp_path / f"{n}.jpg")
    made = draw(*files, sandbox=sandbox)
    assert len(made) == MAX_INPUTS + 10 and all(isinstance(m, Made) for m in made.values())
    assert sandbox.runs == [MAX_INPUTS, 10]
