"""Numbers of cases and papers (文号, 案卷号): many ways to write one, and one key under which it is found.

Brackets around the year come in a dozen styles, full-width characters and blanks come from forms, 第 stands before the number or
does not. All of them mean the same number; what was typed is what is shown.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

from mediad.model.problems import Problem

LONGEST: Final = 100
_BRACKETS: Final = str.maketrans(
    dict.fromkeys("〔【「『〖〈《﹝({<⟨❲", "[") | dict.fromkeys("〕】」』〗〉》﹞)}>⟩❳", "]")
)
_DASHES: Final = str.maketrans(dict.fromkeys("‐‑‒–—―−﹣", "-"))


TELLING: Final = 4
"""So many characters a number has at least that is believed wherever it stands in a text."""
_LONGEST_DATE: Final = 8
LONGEST_TEXT: Final = 255


@lru_cache(maxsize=65_536)
def number_key(text: str) -> str:
    """The key of a number: empty if nothing is left of it."""
    plain = unicodedata.normalize("NFKC", text).translate(_BRACKETS).translate(_DASHES)
    plain = "".join(c for c in plain if not c.isspace() and unicodedata.category(c)[0] != "C")
    return re.sub(r"第(?=\d)", "", plain).upper()


def rounded(text: str) -> bool:
    """Whether a spreadsheet took a number for a quantity, and lost digits of it: 2.10001E+11, 210001.0."""
    return re.fullmatch(r"\d+(\.\d+)?E\+?\d+|\d+\.0+", text.strip(), re.IGNORECASE) is not None


def checked_number(text: str) -> str | Problem:
    """A number as it may be kept: trimmed, printable, not too long, and with a key."""
    plain = text.strip()
    if len(plain) > LONGEST or not plain.isprintable() or not re.search(r"[^\W_]", number_key(plain)):
        return Problem("bad-number", f"{plain[:40]!r} is no number")
    if rounded(plain):
        return Problem("bad-number", f"{plain} was rounded by a spreadsheet: keep its column as text")
    return plain


def mentions(text: str, key: str) -> bool:
    """Whether a text (the name of a folder, a word of a sidecar) holds a number, and not a longer one that holds it."""
    if not key:
        return False
    before = r"(?<!\d)" if key[0].isdigit() else r"(?<![A-Z])" if key[0].isascii() and key[0].isalpha() else ""
    after = r"(?!\d)" if key[-1].isdigit() else r"(?![A-Z])" if key[-1].isascii() and key[-1].isalpha() else ""
    return re.search(before + re.escape(key) + after, number_key(text)) is not None


def telling(key: str) -> bool:
    """Whether a number is one wherever it stands: a 12, or what may be a day, is something else more often."""
    return len(key) >= TELLING and not (key.isdigit() and len(key) <= _LONGEST_DATE)


@lru_cache(maxsize=4_096)
def mentioned(text: str) -> frozenset[str]:
    """Every key of a telling number that a text could hold: what ``mentions`` says yes to. So the numbers of all cases need not
    be gone through."""
    plain = number_key(text[:LONGEST_TEXT])
    starts = _starts(plain)
    ends = [n for n in range(1, len(plain) + 1) if n == len(plain) or not _one_word(plain[n], plain[n - 1])]
    spans = (plain[a:z] for a in starts for z in ends if TELLING <= z - a <= LONGEST)
    return frozenset(key for key in spans if telling(key))


def beginnings(text: str) -> frozenset[str]:
    """What stands in a text from each place on at which a number may begin: one of them begins with every key of a number that it
    mentions. So a number is looked up where texts are in order."""
    plain = number_key(text[:LONGEST_TEXT])
    return frozenset(plain[at : at + LONGEST] for at in _starts(plain))


def _starts(plain: str) -> list[int]:
    return [n for n in range(len(plain)) if n == 0 or not _one_word(plain[n - 1], plain[n])]


def _one_word(beside: str, edge: str) -> bool:
    """Whether a number that ends in ``edge`` goes on with what stands beside it."""
    if edge.isdigit():
        return re.fullmatch(r"\d", beside) is not None
    return edge.isascii() and edge.isalpha() and beside.isascii() and beside.isalpha()
