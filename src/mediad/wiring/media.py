"""What the stages behind an ingest need of the world: rules of the station, parsers, and the maker of previews."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from mediad.edges.profiles import GENERIC
from mediad.model.profile import Profile

if TYPE_CHECKING:
    from mediad.wiring.station import Station


class StationRules:
    """Profiles by name, and the unit's zone."""

    def __init__(self, station: Station) -> None:
        self.zone: ZoneInfo = station.zone
        self._profiles = {p.name: p for p in reversed(station.profiles)}

    def profile(self, name: str) -> Profile:
        """The profile under which something was docked; the generic one if it is not there any more."""
        return self._profiles.get(name, GENERIC)
