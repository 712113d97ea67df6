"""The file of activities (执法环节). Raises ConfigError, which names file, activity and key."""

import re
import tomllib
from pathlib import Path
from typing import Any

from mediad.errors import ConfigError
from mediad.model.cases import CaseKind
from mediad.model.duty import Activity, Level

SHIPPED = Path(__file__).parent.parent / "activities.toml"
"""Those of the Implementation Measures."""

MOST = 200
LONGEST = 100
_KEY = re.compile(r"[a-z][a-z0-9-]{0,39}")
_TEXTS = ("key", "name", "english", "article", "duty")
_KEYS = {*_TEXTS, "kinds", "expected", "fields"}
_HINT = "docs/cases.md explains the file"


def load_activities(file: Path) -> tuple[Activity, ...]:
    """Read it; without a file of the unit's own, the shipped one counts."""
    if not file.exists():
        file = SHIPPED
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{file} cannot be read: {e}", hint="check its rights; it must be UTF-8") from e
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"{file} is not TOML: {e}", hint=_HINT) from e
    listed = raw.pop("activity", [])
    if raw or not isinstance(listed, list) or not 0 < len(listed) <= MOST:
        raise ConfigError(f"{file} holds [[activity]] tables, 1 to {MOST}, and nothing else", hint=_HINT)
    found = [_activity(file, n, each) for n, each in enumerate(listed, 1)]
    keys = [a.key for a in found]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise ConfigError(f"{file}: the activity {twice} is there twice", hint=_HINT)
    return tuple(found)


def _activity(file: Path, number: int, table: Any) -> Activity:
    if not isinstance(table, dict):
        raise ConfigError(f"{file}: activity {number} is no table", hint=_HINT)
    whose = f"{file}: activity {table.get('key', number)!r}"
    if unknown := set(table) - _KEYS:
        raise ConfigError(f"{whose}: {min(unknown)} is no key of an activity", hint=_HINT)
    for key in _TEXTS:
        text = table.get(key)
        if not isinstance(text, str) or not 0 < len(text) <= LONGEST or not text.isprintable():
            raise ConfigError(f"{whose}: {key} is a text of 1 to {LONGEST} printable characters", hint=_HINT)
    if not _KEY.fullmatch(table["key"]):
        raise ConfigError(f"{whose}: key has lower-case letters, digits and dashes, 40 at most", hint=_HINT)
    levels = [level.value for level in Level]
    if table["duty"] not in levels:
        raise ConfigError(f"{whose}: duty = {table['duty']!r} is none of {', '.join(levels)}", hint=_HINT)
    kinds, expected = _kinds(whose, "kinds", table), _kinds(whose, "expected", table)
    if kinds and expected - kinds:
        raise ConfigError(f"{whose}: it is expected in a kind of case that it is no part of", hint=_HINT)
    return Activity(
        table["key"], table["name"], table["english"], table["article"], Level(table["duty"]),
        kinds or frozenset(CaseKind), _fields(whose, table), expected,
    )  # fmt: skip


def _kinds(whose: str, key: str, table: dict[str, Any]) -> frozenset[CaseKind]:
    known = [kind.value for kind in CaseKind]
    named = table.get(key, [])
    if not isinstance(named, list) or any(each not in known for each in named):
        raise ConfigError(f"{whose}: {key} is a list of {', '.join(known)}", hint=_HINT)
    return frozenset(CaseKind(each) for each in named)


def _fields(whose: str, table: dict[str, Any]) -> dict[str, str]:
    fields = table.get("fields", {})
    good = isinstance(fields, dict) and all(
        _KEY.fullmatch(name) and isinstance(words, str) and 0 < len(words) <= LONGEST and words.isprintable()
        for name, words in fields.items()
    )
    if not good:
        raise ConfigError(f"{whose}: fields is a table of names, each with the words for people", hint=_HINT)
    return dict(fields)
