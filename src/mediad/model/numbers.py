"""Numbers of cases and papers (文号, 案卷号): many ways to write one, and one key under which it is found.

Brackets around the year come in a dozen styles, full-width characters and blanks come from forms, 第 stands before the number or
does not. All of them mean the same number; what was typed is what is shown.
"""

import re
import unicodedata
from typing import Final

from mediad.model.problems import Problem

LONGEST: Final = 100
_BRACKETS: Final = str.maketrans(
    dict.fromkeys("〔【「『〖〈《﹝({<⟨❲", "[") | dict.fromkeys("〕】」』〗〉》﹞)}>⟩❳", "]")
)
_DASHES: Final = str.maketrans(dict.fromkeys("‐‑‒–—―−﹣", "-"))


def number_key(text: str) -> str:
    """The key of a number: empty if nothing is left of it."""
    plain = unicodedata.normalize("NFKC", text).translate(_BRACKETS).translate(_DASHES)
    plain = "".join(c for c in plain if not c.isspace() and unicodedata.category(c)[0] != "C")
    return re.sub(r"第(?=\d)", "", plain).upper()


def checked_number(text: str) -> str | Problem:
    """A number as it may be kept: trimmed, printable, not too long, and with a key."""
    plain = text.strip()
    if len(plain) > LONGEST or not plain.isprintable() or not re.search(r"[^\W_]", number_key(plain)):
        return Problem("bad-number", f"{plain[:40]!r} is no number")
    return plain


def mentions(text: str, key: str) -> bool:
    """Whether a text (the name of a folder, a word of a sidecar) holds a number, and not a longer one that holds it."""
    if not key:
        return False
    before = r"(?<!\d)" if key[0].isdigit() else r"(?<![A-Z])" if key[0].isascii() and key[0].isalpha() else ""
    after = r"(?!\d)" if key[-1].isdigit() else r"(?![A-Z])" if key[-1].isascii() and key[-1].isalpha() else ""
    return re.search(before + re.escape(key) + after, number_key(text)) is not None
