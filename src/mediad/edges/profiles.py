"""Reading recorder profiles (``*.toml``) into values. A wrong one is refused with file, key and value."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from mediad.errors import ConfigError
from mediad.model.profile import SOURCES, Match, Profile, TakeRule, TimeRule, Unlock

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


def load_profiles(folders: Iterable[Path]) -> list[Profile]:
    """Every profile of the folders; where two share a name, the one of the earlier folder counts. Raises ConfigError."""
    found: dict[str, Profile] = {}
    for folder in folders:
        if folder.is_dir():
            for file in sorted(folder.glob("*.toml")):
                profile = load_profile(file)
                found.setdefault(profile.name, profile)
    return list(found.values())


def load_profile(file: Path) -> Profile:
    """One profile. Raises ConfigError."""
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise ConfigError(f"{file} cannot be read: {e}", hint="a profile is a TOML file in UTF-8") from e
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


def _check(file: Path, section: str, table: dict[str, Any]) -> None:
    form = _FORM.get(section)
    if form is None:
        raise ConfigError(f"{file}: [{section}] is no section of a profile", hint="see docs/profiles.md")
    for key, value in table.items():
        full = f"{section}.{key}" if section else key
        if key not in form:
            raise ConfigError(f"{file}: {full} is no setting of a profile", hint="see docs/profiles.md")
        wrong_item = isinstance(value, list) and not all(isinstance(v, str) for v in value)
        if not isinstance(value, form[key]) or isinstance(value, bool) != (form[key] is bool) or wrong_item:
            raise ConfigError(f"{file}: {full} = {value!r} has the wrong type", hint="see docs/profiles.md")


def _check_values(file: Path, profile: Profile) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", profile.name):
        raise ConfigError(
            f"{file}: name = {profile.name!r}: lower-case letters, digits and dashes", hint="name the profile"
        )
    if profile.attach not in ("storage", "mtp", "folder", "unlock"):
        raise ConfigError(f"{file}: attach = {profile.attach!r}", hint="storage, mtp, folder or unlock")
    if (profile.attach == "unlock") != (profile.unlock is not None and bool(profile.unlock.command)):
        raise ConfigError(f"{file}: attach = 'unlock' goes with unlock.command", hint="see docs/profiles.md")
    m = profile.match
    for key, pattern in [*((f"match.{k}", getattr(m, k)) for k in ("serial", "vendor", "model", "usb_id", "volume_label")),
                         *(("names.patterns", p) for p in profile.names)]:  # fmt: skip
        try:
            re.compile(pattern)
        except re.error as e:
            raise ConfigError(f"{file}: {key} = {pattern!r} is no regular expression: {e}", hint="mend it") from e
    _check_time(file, profile)
    zones = {k: getattr(profile.time, k) for k in ("container_zone", "exif_zone", "sidecar_zone", "file_zone")}
    named = {f"time.{k}": zone for k, zone in zones.items()}
    for key, zone in {"names.zone": profile.name_zone, "clock.zone": profile.clock_zone, **named}.items():
        try:
            _ = zone and ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise ConfigError(
                f"{file}: {key} = {zone!r} is no time zone", hint="use a name like Asia/Shanghai"
            ) from None
    if m.usb_id and m.keys == 1:
        raise ConfigError(
            f"{file}: match.usb_id alone matches unrelated products",
            hint="add serial, vendor, model, volume_label or root_files",
        )


def _check_time(file: Path, profile: Profile) -> None:
    rule, takes = profile.time, profile.takes
    if not rule.order or len(set(rule.order)) != len(rule.order) or not set(rule.order) <= set(SOURCES):
        raise ConfigError(f"{file}: time.order = {list(rule.order)!r}", hint="each once: " + ", ".join(SOURCES))
    for key in ("name_means", "container_means", "mtime_means"):
        if getattr(rule, key) not in ("start", "end"):
            raise ConfigError(f"{file}: time.{key} = {getattr(rule, key)!r}", hint="start or end")
    seconds = {
        "time.prerecord_seconds": (rule.prerecord_seconds, 3_600),
        "takes.gap_seconds": (takes.gap_seconds, 3_600),
        "takes.segment_seconds": (takes.segment_seconds, 86_400),
    }
    for key, (value, most) in seconds.items():
        if not 0 <= value <= most:
            raise ConfigError(f"{file}: {key} = {value!r}", hint=f"seconds, 0 to {most}")
