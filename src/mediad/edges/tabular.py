"""Tables that come as files: CSV and JSON, in UTF-8 or GB18030, with a size that a person can have typed. Raises UsageError."""

import csv
import hashlib
import io
import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mediad.errors import UsageError

MOST_BYTES = 32 * 1024**2
LONGEST_LINE = 64 * 1024
MOST_LINES = 200_000
MOST_COLUMNS = 200

_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How files of spreadsheet programs begin."""

Row = tuple[int, list[str]]
"""The number of a line in its file, from 1, and its cells."""


@dataclass(frozen=True, slots=True)
class Table:
    """A file that is a table: its ``header``, the ``rows`` behind it, and the SHA-256 (hex) of its bytes."""

    name: str
    header: Sequence[str]
    rows: Sequence[Row]
    encoding: str
    sha256: str


def read_table(path: Path) -> Table:
    """Read a file. A pipe or a device is none."""
    data = read_bytes(path)
    header, rows, encoding = parse_table(data, str(path))
    return Table(path.name, header, rows, encoding, hashlib.sha256(data).hexdigest())


def read_bytes(
    path: Path, *, follow: bool = True, accepts: Callable[[int, int], bool] = lambda _size, _mtime_ns: True
) -> bytes:
    """The bytes of a file that may be a table: never more than one may have, plus one. Not ``follow``: a link is none.
    ``accepts``: whether it is still the file that is meant, by size and time of its last write, before it is read and after."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        with open(os.open(path, flags), "rb") as f:  # a pipe must not hold us up
            _seen(path, f.fileno(), accepts)
            data = f.read(MOST_BYTES + 1)
            _seen(path, f.fileno(), accepts)
            return data
    except OSError as e:
        raise UsageError(f"{path} cannot be read: {e.strerror}", hint="check the path and its rights") from e


def _seen(path: Path, descriptor: int, accepts: Callable[[int, int], bool]) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{path} is no file", hint="give a CSV or JSON file")
    if not accepts(status.st_size, status.st_mtime_ns):
        raise UsageError(f"{path} is being written", hint="it is read when that is over")


def parse_table(data: bytes, name: str) -> tuple[Sequence[str], list[Row], str]:
    """The same of bytes."""
    if len(data) > MOST_BYTES:
        raise UsageError(f"{name} is larger than {MOST_BYTES // 1024**2} MiB", hint="cut it into several files")
    if data.startswith(_WORKBOOKS):
        raise UsageError(f"{name} is a workbook", hint="save its sheet as CSV UTF-8")
    text, encoding = _decoded(data, name)
    rows = _json(text, name) if text.lstrip()[:1] in ("[", "{") else _csv(text, name)
    listed: list[Row] = []
    for row in rows:
        if len(listed) > MOST_LINES:
            raise UsageError(f"{name} has more than {MOST_LINES} lines", hint="cut it into several files")
        listed.append(row)
    if not listed:
        raise UsageError(f"{name} is empty", hint="the first line names the columns")
    return listed[0][1], listed[1:], encoding


def _decoded(data: bytes, name: str) -> tuple[str, str]:
    """UTF-8 (with or without a mark), UTF-16 with one, else GB18030: whatever a spreadsheet here saves."""
    marks = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
    for encoding in (next((e for mark, e in marks if data.startswith(mark)), "utf-8"), "gb18030"):
        try:
            text = data.decode(encoding)
        except UnicodeError:
            continue
        if "\0" in text:
            break
        if encoding == "gb18030" and (mixed := _in_utf8(data)):
            raise UsageError(
                f"{name}: line {mixed} is UTF-8, and others are not",
                hint="save it once more as CSV UTF-8, and look at that line",
            )
        return text.lstrip("\ufeff"), encoding.removesuffix("-sig")
    at = _first_bad(data)
    raise UsageError(
        f"{name} is neither UTF-8 nor GB18030: line {data[:at].count(10) + 1} holds other bytes",
        hint="save it once more as CSV UTF-8",
    )


def _in_utf8(data: bytes) -> int:
    """The first line with Chinese in UTF-8 of a table that is not UTF-8 as a whole; 0 for none. GB18030 would make other characters
    of it, and nobody would be told."""
    for n, line in enumerate(data.split(b"\n"), 1):
        if not line.isascii():
            try:
                if any("\u3000" <= c <= "\uffef" for c in line.decode("utf-8")):
                    return n
            except UnicodeDecodeError:
                continue
    return 0


def _first_bad(data: bytes) -> int:
    """Where it stops to be a text in the encoding in which it is one the longest."""
    at = data.find(b"\0")
    for encoding in ("utf-8", "gb18030"):
        try:
            data.decode(encoding)
        except UnicodeDecodeError as e:
            at = max(at, e.start)
    return max(at, 0)


def _csv(text: str, name: str) -> Iterator[Row]:
    """Comma, semicolon or tab, whichever the header has most of. A line that is too long would be somebody's mistake or worse."""
    if "\n" not in text:
        text = text.replace("\r", "\n")  # as an old Macintosh writes it
    longest = max(map(len, text.split("\n")), default=0)
    if longest > LONGEST_LINE:
        at = next(n for n, line in enumerate(text.split("\n"), 1) if len(line) > LONGEST_LINE)
        raise UsageError(f"{name}: line {at} has {longest} characters", hint=f"a line has at most {LONGEST_LINE}")
    head = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(",;\t，", key=head.count)
    reader = csv.reader(
        io.StringIO(text.replace("，", ",") if delimiter == "，" else text),
        delimiter="," if delimiter == "，" else delimiter,
        strict=True,
    )
    before = 0
    try:
        for row in reader:
            begins, before = before + 1, reader.line_num
            if len(row) > MOST_COLUMNS:
                raise UsageError(
                    f"{name}: line {begins} has {len(row)} cells", hint=f"a table has at most {MOST_COLUMNS}"
                )
            if any(cell.strip() for cell in row):
                yield begins, row
    except csv.Error as e:
        raise UsageError(f"{name}: line {reader.line_num}: {e}", hint="is a quotation mark missing?") from e


def _json(text: str, name: str) -> Iterator[Row]:
    """A list of objects whose values are texts, numbers, yes and no, nothing, or lists of texts."""
    if text.count("{") + text.count("[") > 2 * MOST_LINES:  # small as a file, and large as objects
        raise UsageError(f"{name} has more than {MOST_LINES} lines", hint="cut it into several files")
    try:
        # Numbers stay as they are written: a certificate number is none to reckon with.
        listed = json.loads(text, object_pairs_hook=_once, parse_int=str, parse_float=str, parse_constant=_no_number)
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            raise UsageError(f"{name} is no list of objects", hint='like [{"number": "...", "name": "..."}]')
        listed = [{key: _cell(value) for key, value in each.items()} for each in listed]
    except (ValueError, RecursionError) as e:
        raise UsageError(f"{name} is not JSON: {e}", hint="a list of objects is wanted") from e
    columns = list(dict.fromkeys(key for each in listed for key in each))
    if len(columns) > MOST_COLUMNS:
        raise UsageError(f"{name} has {len(columns)} columns", hint=f"a table has at most {MOST_COLUMNS}")
    if columns:
        yield 0, columns
    for n, each in enumerate(listed, 1):
        yield n, [each.get(c, "") for c in columns]


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object; one that says something twice says nothing."""
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"an object has two of {key[:40]!r}")
        found[key] = value
    return found


def _no_number(text: str) -> object:
    raise ValueError(f"{text} is no number")


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list():
            return ";".join(map(_cell, value))
        case dict():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(value)


def csv_text(header: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    """A table as a spreadsheet opens it: UTF-8 with a mark. What a spreadsheet would work out as a formula is text in it."""
    out = io.StringIO()
    csv.writer(out).writerows([[_harmless(str(cell)) for cell in row] for row in (header, *rows)])
    return out.getvalue().encode("utf-8-sig", "backslashreplace")


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def _harmless(cell: str) -> str:
    return (
        f"'{cell}" if cell.lstrip(" \N{IDEOGRAPHIC SPACE}").startswith(_FORMULA) or cell.startswith(_FORMULA) else cell
    )
