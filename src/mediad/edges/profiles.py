"""Reading recorder profiles (``*.toml``) into values. A wrong one is refused with file, key and value."""

import re
import tomllib
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

from mediad.errors import ConfigError
from mediad.model import patterns
from mediad.model.patterns import Fault
from mediad.model.profile import SOURCES, Attach, Match, Moment, Profile, TakeRule, TimeRule, Unlock

GENERIC = Profile(name="generic", title="any storage", rank=-100)
"""What is used where no profile fits: everything is taken, nothing is guessed."""

_FORM: dict[str, dict[str, type | tuple[type, ...]]] = {
    "": {"name": str, "title": str, "attach": str, "rank": int, "settle_seconds": (int, float)},
    "match": {"serial": str, "vendor": str, "model": str, "usb_id": str, "volume_label": str, "root_files": list},
    "unlock": {"command": list, "secret_file": str, "timeout_seconds": (int, float)},
    "layout": {"include": list, "exclude": list},
    "names": {"patterns": list, "zone": str},
    "time": {
        "order": list,
        "name_means": str,
        "container_means": str,
        "mtime_means": str,
        "container_zone": str,
        "exif_zone": str,
        "sidecar_zone": str,
        "file_zone": str,
        "prerecord_seconds": (int, float),
    },
    "clock": {"said": str, "zone": str},
    "takes": {"gap_seconds": (int, float), "segment_seconds": (int, float), "join": bool},
    "marks": {"important": list},
    "sidecars": {"suffixes": list},
}
_KEYS = [f"{section}.{key}" if section else key for section, form in _FORM.items() for key in form]
_MATCHED = ("serial", "vendor", "model", "usb_id", "volume_label")
_TYPES = {str: "a text, in quotes", int: "a whole number", (int, float): "a number of seconds",
          list: "a list of texts, in [ ]", bool: "true or false"}  # fmt: skip
_SHOWN = 200
"""Characters of a value that a complaint shows."""


def load_profiles(folders: Iterable[Path]) -> list[Profile]:
    """Every profile of the folders; where two share a name, the one of the earlier folder counts. Raises ConfigError, also of
    two of one name in one folder."""
    found: dict[str, Profile] = {}
    for folder in folders:
        here: dict[str, Path] = {}
        for file in sorted(folder.glob("*.toml")) if folder.is_dir() else ():
            profile = load_profile(file)
            if other := here.get(profile.name):
                raise ConfigError(
                    f"{file}: name = {profile.name!r} is that of {other.name} too", hint="give one of them another"
                )
            here[profile.name] = file
            found.setdefault(profile.name, profile)
    return list(found.values())


def load_profile(file: Path) -> Profile:
    """One profile. Raises ConfigError."""
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        hint = "a profile is a TOML file in UTF-8; patterns stand in single quotes"
        raise ConfigError(f"{file} cannot be read: {e}", hint=hint) from e
    top = {k: v for k, v in raw.items() if not isinstance(v, dict)}
    _check(file, "", top)
    for section, table in raw.items():
        if isinstance(table, dict):
            _check(file, section, table)
    match = dict(raw.get("match", {}))
    names = raw.get("names", {})
    unlock = raw.get("unlock")
    layout = raw.get("layout", {})
    profile = Profile(
        **{"name": "", **top},
        match=Match(**{**match, "root_files": tuple(match.get("root_files", ()))}),
        unlock=Unlock(**{**unlock, "command": tuple(unlock.get("command", ()))}) if unlock else None,
        include=tuple(layout.get("include", ("**",))),
        exclude=tuple(layout.get("exclude", ())),
        names=tuple(names.get("patterns", ())),
        name_zone=names.get("zone", ""),
        time=_time_rule(raw.get("time", {})),
        takes=TakeRule(**raw.get("takes", {})),
        clock_said=raw.get("clock", {}).get("said", "clock"),
        clock_zone=raw.get("clock", {}).get("zone", ""),
        important=tuple(raw.get("marks", {}).get("important", ())),
        sidecars=tuple(raw.get("sidecars", {}).get("suffixes", Profile.sidecars)),
    )
    _check_values(file, profile)
    return profile


def as_keys(profile: Profile) -> dict[str, Any]:
    """Every key of a profile with the value that counts, in the order of docs/profiles.md."""
    plain = {"layout.include": "include", "layout.exclude": "exclude", "names.patterns": "names", "names.zone": "name_zone",
             "clock.said": "clock_said", "clock.zone": "clock_zone", "marks.important": "important",
             "sidecars.suffixes": "sidecars"}  # fmt: skip
    found: dict[str, Any] = {}
    for section, form in _FORM.items():
        for key in form:
            full = f"{section}.{key}" if section else key
            part = getattr(profile, section) if section in ("match", "unlock", "time", "takes") else profile
            value = getattr(part, plain.get(full, key), None)
            found[full] = list(value) if isinstance(value, tuple) else value
    return found


def _time_rule(table: dict[str, Any]) -> TimeRule:
    return TimeRule(**{**table, "order": tuple(table.get("order", TimeRule.order))})


def _wrong(file: Path, key: str, value: object, what: str, hint: str) -> ConfigError:
    shown = repr(value)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
    return ConfigError(f"{file}: {key} = {shown} {what}", hint=hint)


def _check(file: Path, section: str, table: dict[str, Any]) -> None:
    """Names and types of the keys of one table."""
    form = _FORM.get(section)
    if form is None:
        raise ConfigError(f"{file}: [{section}] is no section of a profile", hint=_meant(section, filter(None, _FORM)))
    for key, value in table.items():
        full = f"{section}.{key}" if section else key
        if key not in form:
            if full in _FORM:
                raise ConfigError(f"{file}: {full} is a section", hint=f"write [{full}] once, and its keys below")
            elsewhere = [name for name in _KEYS if name.rpartition(".")[2] == key]
            hint = f"it belongs into [{elsewhere[0].partition('.')[0]}]" if elsewhere else _meant(full, _KEYS)
            raise ConfigError(f"{file}: {full} is no setting of a profile", hint=hint)
        wrong_item = isinstance(value, list) and not all(isinstance(v, str) for v in value)
        if not isinstance(value, form[key]) or isinstance(value, bool) != (form[key] is bool) or wrong_item:
            raise _wrong(file, full, value, "has the wrong type", f"it is {_TYPES[form[key]]}")


def _meant(word: str, words: Iterable[str]) -> str:
    close = get_close_matches(word, list(words), 1)
    return f"did you mean {close[0]}?" if close else "see docs/profiles.md"


def _check_values(file: Path, profile: Profile) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", profile.name):
        what = "is no name: lower-case letters, digits and dashes, at most 40"
        raise _wrong(file, "name", profile.name, what, "name the profile")
    if profile.name == GENERIC.name:
        raise _wrong(file, "name", profile.name, "is that of the built-in profile", "give it another name")
    if profile.attach not in get_args(Attach):
        raise _wrong(file, "attach", profile.attach, "is no way of attaching", ", ".join(get_args(Attach)))
    if (profile.attach == "unlock") != (profile.unlock is not None and any(profile.unlock.command[:1])):
        raise ConfigError(f"{file}: attach = 'unlock' goes with unlock.command", hint="see docs/unlock-helper.md")
    _check_texts(file, profile)
    _check_zones(file, profile)
    _check_time(file, profile)
    if profile.match.usb_id and profile.match.keys == 1:
        raise ConfigError(
            f"{file}: match.usb_id alone matches unrelated products",
            hint="add serial, vendor, model, volume_label or root_files",
        )


def _check_texts(file: Path, profile: Profile) -> None:
    """Patterns, globs and names: what could never fit, say nothing or take for ever."""
    m = profile.match
    if not profile.include:
        raise _wrong(file, "layout.include", [], "takes nothing", "leave it out, and everything is taken")
    given: list[tuple[str, Iterable[str], Callable[[str], Fault | None]]] = [
        *((f"match.{k}", (getattr(m, k),), patterns.fault_of_pattern) for k in _MATCHED),
        ("match.root_files", m.root_files, patterns.fault_of_root_name),
        ("layout.include", profile.include, patterns.fault_of_glob),
        ("layout.exclude", profile.exclude, patterns.fault_of_glob),
        ("names.patterns", profile.names, patterns.fault_of_name_pattern),
        ("marks.important", profile.important, patterns.fault_of_glob),
        ("sidecars.suffixes", profile.sidecars, patterns.fault_of_suffix),
    ]
    for key, texts, fault_of in given:
        for text in texts:
            if fault := fault_of(text):
                raise _wrong(file, key, text, fault.what, fault.hint)


def _check_zones(file: Path, profile: Profile) -> None:
    zones = {
        f"time.{k}": getattr(profile.time, k) for k in ("container_zone", "exif_zone", "sidecar_zone", "file_zone")
    }
    for key, zone in {"names.zone": profile.name_zone, "clock.zone": profile.clock_zone, **zones}.items():
        try:
            _ = zone and ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise _wrong(file, key, zone, "is no time zone", "use a name like Asia/Shanghai") from None


def _check_time(file: Path, profile: Profile) -> None:
    rule, takes = profile.time, profile.takes
    for word in rule.order:
        if word not in SOURCES:
            hint = f"{_meant(word, SOURCES)} each once: {', '.join(SOURCES)}"
            raise _wrong(file, "time.order", word, "is no source of a time", hint)
    if not rule.order or len(set(rule.order)) != len(rule.order):
        raise _wrong(file, "time.order", list(rule.order), "is no order", "each once: " + ", ".join(SOURCES))
    for key in ("name_means", "container_means", "mtime_means"):
        if getattr(rule, key) not in get_args(Moment):
            raise _wrong(file, f"time.{key}", getattr(rule, key), "is no moment", " or ".join(get_args(Moment)))
    seconds = {
        "settle_seconds": (profile.settle_seconds, 0, 60),
        "unlock.timeout_seconds": (profile.unlock.timeout_seconds if profile.unlock else 1, 1, 600),
        "time.prerecord_seconds": (rule.prerecord_seconds, 0, 3_600),
        "takes.gap_seconds": (takes.gap_seconds, 0, 3_600),
        "takes.segment_seconds": (takes.segment_seconds, 0, 86_400),
    }
    for key, (value, least, most) in seconds.items():
        if not least <= value <= most:
            raise _wrong(file, key, value, "is out of bounds", f"seconds, {least} to {most}")
