"""What is known of a recorder's clock at a docking."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from mediad.model.instants import instant, zone_of
from mediad.model.profile import Profile


@dataclass(frozen=True, slots=True)
class Clock:
    """``offset`` is the recorder's clock minus true time; None if unknown."""

    offset: timedelta | None = None
    source: Literal["device", "photo", "unknown"] = "unknown"
    why: str = ""
    """How it was measured, or why it could not be."""


UNKNOWN: Final = Clock()


def heard(said: Mapping[str, str] | None, profile: Profile, unit_zone: ZoneInfo) -> Clock:
    """The offset by what the recorder said of its clock before its disk appeared, and the station's time at which it was heard."""
    told = (said or {}).get(profile.clock_said, "") if profile.clock_said else ""
    if not told:
        return replace(UNKNOWN, why="the recorder did not tell its clock")
    own = instant(told, zone_of(profile.clock_zone, unit_zone))
    station = instant((said or {}).get("heard_at", ""), ZoneInfo("UTC"))
    if own is None or station is None:
        return replace(UNKNOWN, why=f"the recorder's clock cannot be read: {told[:40]}")
    return Clock(own - station, "device", f"it said {told[:40]}")
