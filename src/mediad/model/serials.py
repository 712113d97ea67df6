"""Which serial numbers can name one device?  Pure.

Many cheap recorders, cards and readers give the same placeholder to a whole series: zeros, a counting row, a date, a
pattern, the name of the field.  Two devices under one serial would have their files taken for one another's, so whatever
looks made up is not believed; a real serial that happens to look so costs only that files are read again.
"""

import re
from itertools import pairwise

MIN_LENGTH = 5

_ROWS = ("0123456789", "0123456789abcdef", "abcdefghijklmnopqrstuvwxyz")
_UP = {pair for row in _ROWS for pair in pairwise(row + row[0])}
_DOWN = {(b, a) for a, b in _UP}
_YEAR, _MONTH, _DAY = r"(?:19[89]\d|20[0-4]\d)", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_DATE = re.compile(rf"{_YEAR}{_MONTH}{_DAY}|{_DAY}{_MONTH}{_YEAR}\d*\Z|{_YEAR}(?:0\d|1[0-2])\d*\Z")
_DEFAULTS = (
    "serial", "default", "unknown", "undefined", "notspecified", "notapplicable", "tobefilled", "example", "sample", "test",
    "demo", "null", "none", "usbdevice", "massstorage", "generic", "deadbeef", "cafebabe", "baadf00d", "feedface", "qwerty",
    "058f",  # card readers of one maker give its own vendor id and a constant
)  # fmt: skip


def given(number: str) -> str:
    """The number of a device or a person as it was set on a recorder; nothing where it never was, and is all zeros."""
    return number if number.strip("0 ._-") else ""


def plausible_serial(serial: str) -> bool:
    """Whether a serial number, or the UUID of a file system, may name one thing alone.  Case and separators do not count."""
    text = "".join(char for char in serial.lower() if char.isalnum())
    if len(text) < MIN_LENGTH or len(set(text)) < 3:
        return False
    halves = (text[0::2], text[1::2])
    return not (
        text.startswith(_DEFAULTS)
        or _DATE.match(text)
        or _mostly_one(text)
        or _repeats(text)
        or _counts(text)
        or (len(text) >= 8 and all(_counts(half) or _mostly_one(half) for half in halves))
    )


def _mostly_one(text: str) -> bool:
    """Three quarters are one character, or half of it is the zeros in front."""
    return max(map(text.count, set(text))) * 4 >= len(text) * 3 or len(text.lstrip("0")) * 2 <= len(text)


def _repeats(text: str) -> bool:
    """The same few characters over and over."""
    return any(text == (text[:n] * len(text))[: len(text)] for n in range(1, len(text) // 2 + 1))


def _counts(text: str) -> bool:
    """More than two thirds of the steps go up, or down, by one; a character that stays is no step."""
    steps = [pair for pair in pairwise(text) if pair[0] != pair[1]]
    up, down = sum(pair in _UP for pair in steps), sum(pair in _DOWN for pair in steps)
    return max(up, down) * 3 > len(steps) * 2
