"""Forms on paper: a packaged template and data make a PDF (PDF/A-2u), by Typst in a process of its own.

The same template, data and time give the same bytes. A template sees its data as JSON and nothing else: a name is never markup.
Fonts are those of Debian's fonts-noto-cjk and no others, so that a form looks the same at every station.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from mediad.edges import program
from mediad.errors import NotDrawn
from mediad.model.layout import printable

FORMS: Final = Path(__file__).parent.parent / "forms"
"""Where the templates lie; no template reads a file outside."""

FONTS: Final = "/usr/share/fonts/opentype/noto"
"""Where Debian puts the fonts of fonts-noto-cjk."""
_FONT_FILES: Final = ("NotoSansCJK-Regular.ttc", "NotoSansCJK-Bold.ttc", "NotoSerifCJK-Bold.ttc")
_SIMPLIFIED: Final = 2
"""The face of a collection that has the shapes of simplified Chinese."""

UNDRAWN: Final = frozenset({"form-failed", "form-late", "no-font"})
"""Codes of what keeps a form from being made."""
SECONDS: Final = 60.0
_MEMORY: Final = 3 * 1024**3
_MOST_BYTES: Final = 64 * 1024**2
_UNDEFINED: Final = "\U0010fffe"
_PLAIN: Final = frozenset("".join(map(chr, range(0x20, 0x7F))) + "\n")


def render(template: str, data: Mapping[str, Any], at: datetime, *, seconds: float = SECONDS) -> bytes:
    """The PDF of a form. ``template`` is a name in ``forms``, ``at`` when it says that it was made. Raises NotDrawn if
    the fonts are missing, or if it cannot be made in time."""
    told = {
        "template": str(FORMS / f"{template}.typ"), "fonts": _fonts(), "at": int(at.timestamp()),
        "data": json.dumps(_shown(data), ensure_ascii=False),
    }  # fmt: skip
    paths = os.pathsep.join(path for path in sys.path if path)
    outcome = program.run(
        [sys.executable, "-P", "-B", "-X", "utf8", "-m", __name__],
        environment={"PYTHONPATH": paths}, timeout=seconds, stdin=json.dumps(told).encode(), max_output=_MOST_BYTES,
    )  # fmt: skip
    what = f"the page of {_shown(data['number'])}" if "number" in data else f"the form {template}"
    if outcome.late:
        raise NotDrawn(f"{what} took longer than {seconds:g} s", code="form-late", hint="try again later")
    if outcome.code or outcome.too_much or not outcome.out.startswith(b"%PDF"):
        why = outcome.err.decode("utf-8", "replace").strip().splitlines()
        raise NotDrawn(
            f"{what} cannot be made: {why[-1] if why else 'it is too large'}",
            code="form-failed", hint="report this with the data that it was made of",
        )  # fmt: skip
    return outcome.out


def _fonts() -> str:
    missing = [name for name in _FONT_FILES if not Path(FONTS, name).is_file()]
    if missing:
        raise NotDrawn(
            f"forms need the font {missing[0]}, which is not installed", code="no-font",
            hint="apt-get install -y fonts-noto-cjk",
        )  # fmt: skip
    return FONTS


def _shown(value: Any) -> Any:
    """Data as it can be printed: what is no character of these fonts, controls something or turns the direction stands as
    ``\\xNN``, as everywhere where people read names of recorders."""
    if isinstance(value, str):
        return "".join(c if c in _PLAIN else _glyph(c) for c in value)
    if isinstance(value, Mapping):
        return {str(key): _shown(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(each) for each in value]
    return value


@lru_cache(maxsize=20_000)
def _glyph(c: str) -> str:
    raw = c.encode("utf-8", "surrogatepass")
    if (seen := printable(raw)) != c:
        return seen
    font, undefined = _face()
    return c if bytes(font.getmask(c)) != undefined else "".join(f"\\x{b:02x}" for b in raw)


@lru_cache(maxsize=1)
def _face() -> tuple[Any, bytes]:
    """The font that has all that can be shown, and how it draws what it has not."""
    from PIL import ImageFont

    font = ImageFont.truetype(str(Path(FONTS, _FONT_FILES[0])), 20, index=_SIMPLIFIED)
    return font, bytes(font.getmask(_UNDEFINED))


def _main() -> None:
    """The process that makes it: the order on standard input, the PDF on standard output."""
    import typst

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    told = json.load(sys.stdin.buffer)
    fonts = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[told["fonts"]])
    try:
        made = typst.compile(
            told["template"], root=str(FORMS), font_paths=fonts, ignore_system_fonts=True, sys_inputs={"data": told["data"]},
            format="pdf", pdf_standards="a-2u", timestamp=told["at"],
        )  # fmt: skip
    except typst.TypstError as e:
        sys.exit(e.message)
    sys.stdout.buffer.write(made)


if __name__ == "__main__":
    _main()
