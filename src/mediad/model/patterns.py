"""What may stand in a profile as a regular expression or a glob, and what is wrong with one that may not.

Python's engine tries one way of fitting after another, and a name that almost fits makes it try them all: ``(\\w+)*x`` doubles them
with each character, and all that time the whole process stands still. So the ways are counted before a pattern is used. Where one
character tells which way to go (``[^/]+/``) there is only one; where it does not (``.*\\.``) there are as many as a name has
characters, and each such place multiplies them. They are counted in bits, as the logarithm of an upper bound.
"""

import re
import warnings
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from math import log2
from re import _compiler, _parser  # type: ignore[attr-defined]  # the tree that ``re`` itself makes
from typing import Any, Final, NamedTuple

from mediad.model.evidence import Kind, kind_of

MAX_PATH: Final = 255
"""Characters of a path that patterns read; a longer one says nothing. Windows, for which cards are made, ends at 260."""
MAX_BITS: Final = 18
"""Two places that may end anywhere (8 bits each), and a few choices: a second at most for the worst name."""
MAX_PATTERN: Final = 1_000
"""Characters of a pattern."""
GROUPS: Final = {
    "device": 1, "officer": 1, "time": 14, "time12": 12, "date": 6, "clock": 6, "seq": 1, "lens": 1, "important": 1, "id": 1,
}  # fmt: skip
"""The groups that a pattern of names may have, and how many characters each must be able to hold. ``id`` says nothing."""
_SHORT: Final = {"time": "use time12 for 12 digits, or date and clock", "time12": "12 digits, yyMMddHHmmss",
                 "date": "6 or 8 digits", "clock": "6 digits, HHmmss"}  # fmt: skip


class Fault(NamedTuple):
    """What is wrong, and what to do about it."""

    what: str
    hint: str


# --- regular expressions ----------------------------------------------------------------------------------------------


@cache
def fault_of_pattern(pattern: str) -> Fault | None:
    """What is wrong with a regular expression, if anything."""
    if len(pattern) > MAX_PATTERN:
        return Fault(f"has {len(pattern):,} characters", f"at most {MAX_PATTERN:,}; write several patterns")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(pattern, re.IGNORECASE)
        bits = _cost(pattern)
    except Warning as e:
        return Fault(f"means something else than it seems to: {e}", r"write \[ for a bracket; [[:digit:]] is \d here")
    except (re.error, OverflowError, RecursionError) as e:
        return Fault(f"is no regular expression: {e}", "write it as Python's re module takes it")
    if bits > MAX_BITS:
        return Fault(
            "could take for ever on a name made for it: too many parts that may end anywhere",
            r"say where each part ends: [^_]+_ instead of .+_, \d{14} instead of \d+; repeat nothing that repeats itself",
        )
    return None


@cache
def fault_of_name_pattern(pattern: str) -> Fault | None:
    """What is wrong with a pattern that reads names, if anything."""
    if not pattern:
        return Fault("is empty", "leave it out: it would fit every name, and say nothing")
    if fault := fault_of_pattern(pattern):
        return fault
    widths = _widths(pattern)
    for group, most in widths.items():
        if group not in GROUPS:
            close = get_close_matches(group, GROUPS, 1)
            meant = f"did you mean {close[0]}? " if close else ""
            return Fault(f"has a group {group}, which says nothing", f"{meant}there are {', '.join(GROUPS)}")
        if most < GROUPS[group]:
            return Fault(
                f"has a group {group} of at most {most} characters, of {GROUPS[group]} that it needs", _SHORT[group]
            )
    if ("date" in widths) != ("clock" in widths):
        return Fault("has one of the groups date and clock", "a time needs both; or time, or time12")
    return None


def _cost(pattern: str) -> float:
    """Bits: log2 of the ways that the engine may try from one place of a name."""
    return _bits(_parser.parse(pattern, re.IGNORECASE), frozenset())


def _widths(pattern: str) -> dict[str, int]:
    """How many characters each named group can hold."""
    tree = _parser.parse(pattern, re.IGNORECASE)
    names = {number: name for name, number in tree.state.groupdict.items()}
    return {names[number]: body.getwidth()[1] for number, body in _groups(tree) if number in names}


def _groups(tree: Any) -> Iterator[tuple[int, Any]]:
    for op, arg in tree:
        if str(op) == "SUBPATTERN" and arg[0] is not None:
            yield arg[0], arg[3]
        for body in _inside(op, arg):
            yield from _groups(body)


def _inside(op: Any, arg: Any) -> list[Any]:
    """The trees within a node."""
    match str(op):
        case "SUBPATTERN":
            return [arg[3]]
        case "BRANCH":
            return list(arg[1])
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            return [arg[2]]
        case "ASSERT" | "ASSERT_NOT":
            return [arg[1]]
        case "ATOMIC_GROUP":
            return [arg]
        case "GROUPREF_EXISTS":
            return [body for body in arg[1:] if body is not None]
    return []


def _bits(tree: Any, follow: frozenset[str]) -> float:
    """The ways of a sequence, behind which stands one of ``follow``."""
    total = 0.0
    for op, arg in reversed(list(tree)):
        bodies = _inside(op, arg)
        begins, may_be_empty = _first(op, arg)
        if str(op).endswith("_REPEAT"):
            least, most, body = int(arg[0]), int(arg[1]), bodies[0]
            if _may_be_empty(body):
                total += log2(most + 1)
            elif least < most and begins & follow:
                total += log2(min(most, MAX_PATH) - min(least, MAX_PATH) + 1)
            total += _bits(body, follow | begins) * min(most, MAX_PATH)
        elif len(bodies) > 1:
            firsts = [_begins(body) for body in bodies]
            one_way = not any(map(_may_be_empty, bodies)) and len(frozenset().union(*firsts)) == sum(map(len, firsts))
            total += max(_bits(body, follow) for body in bodies) + (0 if one_way else log2(len(bodies)))
        elif bodies:
            total += _bits(bodies[0], follow)
        follow = begins | follow if may_be_empty else begins
    return total


_OTHERS: Final = ("字", "４", "\u3000", "—")
"""Beyond ASCII a class tells words, digits, white space and the rest apart."""
_ANY: Final = frozenset([*map(chr, range(128)), *_OTHERS])
"""Characters that stand for all."""


def _begins(tree: Any) -> frozenset[str]:
    """The characters with which a sequence can begin."""
    found: frozenset[str] = frozenset()
    for op, arg in tree:
        begins, may_be_empty = _first(op, arg)
        found |= begins
        if not may_be_empty:
            break
    return found


def _may_be_empty(tree: Any) -> bool:
    return bool(tree.getwidth()[0] == 0)


def _first(op: Any, arg: Any) -> tuple[frozenset[str], bool]:
    """The characters with which a node can begin, and whether it may be empty."""
    match str(op):
        case "LITERAL" | "NOT_LITERAL" | "IN":
            one = _compiler.compile(_parser.SubPattern(_parser.State(), [(op, arg)]), re.IGNORECASE)
            fitting = frozenset(c for c in _ANY if one.match(c))
            return fitting.union(_OTHERS) if _names_others(op, arg) else fitting, False
        case "ANY":
            return _ANY, False
        case "AT" | "ASSERT" | "ASSERT_NOT":
            return frozenset(), True
        case "GROUPREF" | "GROUPREF_EXISTS":
            return _ANY, True
    bodies = _inside(op, arg)
    empty = any(map(_may_be_empty, bodies)) or (str(op).endswith("_REPEAT") and arg[0] == 0)
    return frozenset().union(*map(_begins, bodies)), empty


def _names_others(op: Any, arg: Any) -> bool:
    """Whether a character or a class names one beyond ASCII."""
    if str(op) == "IN":
        return any(_names_others(*item) for item in arg)
    return str(op) in ("LITERAL", "NOT_LITERAL", "RANGE") and max(arg if isinstance(arg, tuple) else (arg,)) > 127


# --- globs and names --------------------------------------------------------------------------------------------------


def fault_of_path(path: str) -> Fault | None:
    """What is wrong with a glob or a path below a volume's root, if anything: what could never fit."""
    if not path:
        return Fault("is empty", "leave it out")
    if "\\" in path:
        return Fault("has a backslash", "folders are parted by /")
    if path.startswith("/"):
        return Fault(
            "begins with /, and no path does", f"paths begin below the volume's root: {path.lstrip('/') or '**'}"
        )
    if any(part in (".", "..") for part in path.split("/")) or "//" in path:
        return Fault("has a part that no path has", "paths begin below the volume's root, without . and ..")
    return None


def fault_of_glob(glob: str) -> Fault | None:
    """What is wrong with a glob, if anything."""
    if fault := fault_of_path(glob):
        return fault
    if glob.endswith("/"):
        return Fault("ends with /, and no file does", f"all of a folder is {glob}**")
    if glob.startswith(".") and "/" not in glob and kind_of(b"", glob.encode()) is not Kind.DATA:
        return Fault("fits only a file of that very name", f"files of that kind are **/*{glob}")
    return None


def fault_of_root_name(name: str) -> Fault | None:
    """What is wrong with a name that must stand in the root, or in a folder of the root, if anything."""
    if fault := fault_of_path(name):
        return fault
    if "*" in name or "?" in name:
        return Fault("is a glob", "root_files are names")
    if name.endswith("/") or name.count("/") > 1:
        return Fault("is no name in the root nor in a folder of the root", "such as DCIM or DCIM/100ANDRO")
    return None


def fault_of_suffix(suffix: str) -> Fault | None:
    """What is wrong with the suffix of a sidecar, if anything."""
    if not suffix or not suffix.isalnum():
        return Fault(
            "is no suffix", f"letters and digits, without dot: {suffix.rpartition('.')[2].strip('*') or 'xml'}"
        )
    return None
