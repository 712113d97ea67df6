"""What the commands share: the configuration, the catalogue, and how results are printed."""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediad import config as configuration
from mediad.config import Config
from mediad.errors import UsageError
from mediad.model import sizes
from mediad.model.layout import printable

if TYPE_CHECKING:
    from mediad.catalog.ledger import Ledger

selected_config: Path | None = None
"""The --config option, set once before a command runs."""


def load_config() -> Config:
    """The configuration that counts. Raises ConfigError."""
    return configuration.load(configuration.config_file(selected_config))


@contextmanager
def ledger(config: Config) -> Iterator[Ledger]:
    """The catalogue as it is, closed at the end of the block."""
    from mediad.wiring.station import open_ledger

    opened = open_ledger(config)
    try:
        yield opened
    finally:
        opened.catalog.close()


def given_path(text: str) -> Path:
    """An empty path would be the current folder: an unset variable in a script must not take that."""
    if not text:
        raise UsageError("the path is empty", hint="give a mounted card or a folder; . is the current folder")
    return Path(text)


def plain(value: object) -> str:
    r"""Text as a terminal may show it: names on cards, in vaults and in catalogues are no friends. What controls a terminal, turns
    the direction of writing or is no character at all stands as ``\xNN``."""
    text = str(value)
    if text.isprintable():
        return text
    try:
        return printable(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return printable(text.encode("utf-8", "surrogatepass"))


def read_text(path: Path, most: int = 65_536) -> str:
    """A small text that a person gives; ``-`` is standard input."""
    try:
        if str(path) == "-":
            return (sys.stdin.buffer.read(most) if sys.stdin else b"").decode("utf-8")
        with open(path, "rb") as f:
            return f.read(most).decode("utf-8")
    except OSError as e:
        raise UsageError(f"{plain(path)} cannot be read: {e.strerror}", hint="give it on standard input, as -") from e
    except UnicodeDecodeError:
        raise UsageError(f"{plain(path)} is no text", hint="give the file as it was made") from None


def say(line: object = "") -> None:
    """One line of a result, on standard output."""
    with _output():
        sys.stdout.write(plain(line) + "\n")


def column(text: str, width: int) -> str:
    """A text in a column: a Chinese character takes two places."""
    from rich.cells import cell_len

    return text + " " * (width - cell_len(text))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of columns as wide as what is in them; what is empty is a dash."""
    from rich.cells import cell_len

    shown = [list(heads), *([plain(cell) or "-" for cell in row] for row in rows)]
    widths = [max(map(cell_len, cells)) for cells in zip(*shown, strict=True)]
    for line in shown:
        yield "  ".join(column(cell, width) for cell, width in zip(line, widths, strict=True)).rstrip()


def tell(line: object) -> None:
    """One line about what is going on, on standard error. Nobody has to listen."""
    with suppress(OSError):
        sys.stderr.write(plain(line) + "\n")
        sys.stderr.flush()


def tell_fault(error: BaseException) -> None:
    """Where an error of ours came from, for whoever mends it."""
    for part in traceback.format_exception(error):
        for line in part.rstrip("\n").split("\n"):
            tell(line)


def print_json(value: Any) -> None:
    """One JSON document on standard output: UTF-8 where that is what it takes, and nothing in it that controls a terminal."""
    with _output():
        sys.stdout.write(_json(value) + "\n")


def print_json_list(values: Iterable[Any]) -> None:
    """The same of a list that is too long to be held in memory."""
    between = "[\n  "
    with _output():
        for value in values:
            # Within a text a new line is written as two characters.
            sys.stdout.write(between + _json(value).replace("\n", "\n  "))
            between = ",\n  "
        sys.stdout.write("[]\n" if between[0] == "[" else "\n]\n")


def _json(value: Any) -> str:
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    text = json.dumps(value, ensure_ascii=not unicode, indent=2, sort_keys=False)
    return _UNUSUAL.sub(_escaped, text)


_UNUSUAL = re.compile(r"[^\n -~\u4e00-\u9fff]+")
"""What is worth looking at more closely; documents of ten thousand files are printed."""


def _escaped(match: re.Match[str]) -> str:
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in match[0])


def pair(text: str) -> tuple[str, str]:
    """What an option says as name=value."""
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{text} is no name=value")
    return name.strip(), value


def say_done(told: dict[str, Any], subject: str, as_json: bool) -> None:
    """What came of an act: ``told[subject]`` names what it was about, ``told["said"]`` what was done."""
    if as_json:
        print_json(told)
    else:
        say(f"{told[subject]}: {told['said']}")


def print_raw(data: bytes) -> None:
    """A document as it lies in a vault, byte by byte; only a terminal gets it made harmless."""
    with _output():
        if sys.stdout.isatty():
            sys.stdout.write("\n".join(plain(line) for line in data.decode("utf-8", "surrogateescape").split("\n")))
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(data)


def write_file(data: bytes, to: Path | None) -> None:
    """A file that was made: under its name, whole or not at all; without one on standard output, which must not be a terminal."""
    from mediad.edges.files import replace_atomic

    if to is None:
        if sys.stdout.isatty():
            raise UsageError("this is no text for a terminal", hint="--output FILE, or lead it into a program")
        with _output():
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
        return
    try:
        replace_atomic(to, data, 0o640)
    except OSError as e:
        raise UsageError(f"{plain(to)} cannot be written: {e.strerror}", hint="check the folder and its rights") from e
    tell(f"{to}: {size(len(data))}")


PIPE_CLOSED = 141
"""How shells see a program that SIGPIPE ended: who read the output went away before the end, so nobody knows what it said."""

_lost = 0
"""Exit code of a command whose output could not be written to its end, if nothing worse is to be said; 0 while it could."""


@contextmanager
def _output() -> Iterator[None]:
    """A command goes on when nobody takes its output any more: it may be in the middle of something, and its exit code counts."""
    global _lost  # noqa: PLW0603 - there is one standard output
    try:
        yield
    except BrokenPipeError:
        _lost = PIPE_CLOSED
        _forget_output()
    except OSError as e:
        _lost = 5
        _forget_output()
        tell(f"mediad: the output cannot be written: {e.strerror}")


def finish_output(code: int) -> int:
    """Write out what is left; returns the exit code, which is not 0 if not everything could be written."""
    with _output():
        sys.stdout.flush()
    return code or _lost


def _forget_output() -> None:
    """What is said from now on has no place to go; without this the interpreter would complain at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def check_arguments(arguments: Iterable[str]) -> None:
    """Only the name of a file may be bytes that are no text. Raises UsageError."""
    for argument in arguments:
        if not argument.isprintable() and not os.path.lexists(argument):
            try:
                argument.encode("utf-8")
            except UnicodeEncodeError:
                raise UsageError(f"{plain(argument)} is no text in UTF-8, and no file has that name") from None


def use_closed_streams() -> None:
    """A standard stream that was closed (``>&-``) leads nowhere. Its number must not go to a file that is opened later: what a
    library prints would be written into that."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for the life of the process
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def use_any_locale() -> None:
    """Print whatever there is in every locale: what cannot be shown is escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def size(n: int | None) -> str:
    """Bytes for people, in binary units."""
    return "?" if n is None else sizes.human(n)
