"""Small pictures of photos, by Pillow: the program inside the sandbox for the previews of photos.

The request on standard input: ``{"photos": ["0001", ...], "heights": {"poster": 360, "proxy": 720}}``, names below /in. For each
photo it writes ``/out/<name>.<which>.jpg`` and says one JSON line, at once: ``{"name": ..., "ok": true}``, or with ``code`` and
``detail`` instead, or with ``later`` where the disk failed, which says nothing of the photo. What goes wrong with one photo is an
answer about that photo; only its being killed ends this program, and then edges/photos.py asks again for those that have no answer.
"""

import json
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pillow_heif
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError, features

from mediad.parsers import walls

INPUTS = Path("/in")
OUTPUT = Path("/out")

MAX_PIXELS: Final = 220_000_000
"""A camera of 200 megapixels; what claims more is a bomb."""

FORMATS: Final = ("JPEG", "PNG", "TIFF", "HEIF", "BMP", "WEBP")
NEEDED: Final = ("jpg", "zlib", "libtiff", "webp")
QUALITY: Final = 82


def main() -> None:
    prepare()
    request = json.load(sys.stdin)
    for name in request["photos"]:
        try:
            said = {"name": name} | draw(INPUTS / name, OUTPUT, name, request["heights"])
        except walls.DiskError as error:
            said = {"name": name, "later": str(error)[:200]}
        sys.stdout.write(json.dumps(said, ensure_ascii=False) + "\n")
        sys.stdout.flush()


def prepare() -> None:
    """Readers and limits of this process. Raises ImportError for a reader that this Pillow was built without."""
    if missing := [name for name in NEEDED if not features.check(name)]:
        raise ImportError(f"Pillow here lacks {', '.join(missing)}")
    Image.init()
    pillow_heif.register_heif_opener(thumbnails=False)
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow warns from there on, and refuses twice as many
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    warnings.simplefilter("ignore")


def draw(path: Path, output: Path, name: str, heights: Mapping[str, int]) -> dict[str, Any]:
    """Write the pictures, the largest first: each is made of the one before. Of a truncated photo as much is drawn as there is."""
    try:
        with Image.open(path, formats=FORMATS) as photo:
            said = {"ok": True, "width": photo.width, "height": photo.height}
            picture = _loaded(photo, max(heights.values()))
    except (Image.DecompressionBombError, MemoryError):
        return {"code": "too-large", "detail": "the photo claims more pixels than any camera has"}
    except UnidentifiedImageError:
        return {"code": "undecodable", "detail": "it is no photo of a known kind"}
    except ImportError:
        raise
    except Exception as error:
        if walls.of_the_disk(error):
            raise walls.DiskError(str(error)) from error
        return {"code": "undecodable", "detail": f"{type(error).__name__}: {error}"[:200]}
    for which, height in sorted(heights.items(), key=lambda h: -h[1]):
        picture = _fitted(picture, height)
        picture.save(output / f"{name}.{which}.jpg", "JPEG", quality=QUALITY, optimize=True, progressive=True)
    return said


def _loaded(photo: Image.Image, height: int) -> Image.Image:
    """The photo upright and in plain colours. A JPEG is decoded at a fraction of its size where that is enough."""
    if photo.width * photo.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    turned = photo.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    seen = photo.width if turned else photo.height
    share = min(1.0, height / seen)
    photo.draft("RGB", (max(1, int(photo.width * share)), max(1, int(photo.height * share))))
    picture = ImageOps.exif_transpose(photo)
    if picture.mode in ("RGBA", "LA", "PA", "P"):
        ground = Image.new("RGBA", picture.size, "white")
        ground.alpha_composite(picture.convert("RGBA"))
        picture = ground
    elif picture.mode.startswith(("I", "F")):
        picture = picture.convert("F").point(lambda v: v / 256)  # sixteen bits a sample
    return picture.convert("RGB")


def _fitted(picture: Image.Image, height: int) -> Image.Image:
    """At most so high, and at most four times as wide; never enlarged."""
    share = min(1.0, height / picture.height, 4 * height / picture.width)
    if share == 1.0:
        return picture
    size = (max(1, round(picture.width * share)), max(1, round(picture.height * share)))
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


if __name__ == "__main__":
    main()
