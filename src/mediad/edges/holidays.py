"""The calendar file: holidays, and weekend days that are worked, by year. Raises ConfigError."""

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

from mediad.errors import ConfigError
from mediad.model.calendar import Calendar

_HINT = 'a year looks like: [2026] free = ["2026-10-01..2026-10-07"] worked = ["2026-10-10"]'
_LONGEST_DAYS = 60


SHIPPED = Path(__file__).parent.parent / "calendar.toml"
"""The years that the State Council had announced when this was shipped."""


def load_calendar(file: Path) -> Calendar:
    """Read it; without a file of the unit's own, the shipped one counts."""
    if not file.exists():
        file = SHIPPED
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{file} cannot be read: {e}", hint="check its rights; it must be UTF-8") from e
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"{file} is not TOML: {e}", hint=_HINT) from e
    free: list[date] = []
    worked: list[date] = []
    for year, table in raw.items():
        if not year.isdigit() or not isinstance(table, dict) or set(table) - {"free", "worked", "source"}:
            raise ConfigError(f"{file}: {year} is no year with free and worked days", hint=_HINT)
        for name, into in (("free", free), ("worked", worked)):
            listed = table.get(name, [])
            if not isinstance(listed, list):
                raise ConfigError(f"{file}: {year}.{name} is no list of days", hint=_HINT)
            for each in listed:
                days = _days(file, f"{year}.{name}", each)
                if any(d.year != int(year) for d in days):
                    raise ConfigError(f"{file}: {year}.{name} = {each!r} lies in another year", hint=_HINT)
                into.extend(days)
    if both := set(free) & set(worked):
        raise ConfigError(f"{file}: {min(both)} is free and worked", hint=_HINT)
    return Calendar.of(free, worked)


def _days(file: Path, key: str, value: Any) -> list[date]:
    """One day, or all from one to another: ``2026-10-01..2026-10-07``."""
    if isinstance(value, date):
        return [value]
    try:
        first, _, last = str(value).partition("..")
        start = date.fromisoformat(first.strip())
        end = date.fromisoformat(last.strip()) if last else start
    except ValueError:
        raise ConfigError(f"{file}: {key} = {value!r} is no day", hint=_HINT) from None
    if not 0 <= (end - start).days <= _LONGEST_DAYS:
        raise ConfigError(f"{file}: {key} = {value!r} is no run of days", hint=_HINT)
    return [date.fromordinal(n) for n in range(start.toordinal(), end.toordinal() + 1)]
