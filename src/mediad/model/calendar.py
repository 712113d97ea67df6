"""Working days, and days that end at midnight in the unit's zone.

A statutory holiday (法定节假日) is announced each year, with weekend days that are worked instead (调休): both are lists that
somebody keeps. A year of which nothing is listed is not guessed at: its weekends are free, and ``known`` says that its holidays
are not known.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_SATURDAY: Final = 5
_LONGEST_REST: Final = 60
"""No run of free days is longer; a calendar that says so is wrong, and the day counts as it stands."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """``free``: holidays; ``worked``: days of a weekend that are worked; ``years``: those whose announcement is in it."""

    free: frozenset[date] = frozenset()
    worked: frozenset[date] = frozenset()
    years: frozenset[int] = frozenset()

    @classmethod
    def of(cls, free: Collection[date], worked: Collection[date]) -> "Calendar":
        return cls(frozenset(free), frozenset(worked), frozenset(d.year for d in (*free, *worked)))

    def works(self, day: date) -> bool:
        """Whether it is a working day."""
        return day in self.worked or (day.weekday() < _SATURDAY and day not in self.free)

    def known(self, day: date) -> bool:
        """Whether the holidays of its year are known."""
        return day.year in self.years

    def next_working(self, day: date) -> date:
        """The day itself if it is a working day, else the next one."""
        moved = day
        for _ in range(_LONGEST_REST):
            if self.works(moved):
                return moved
            moved += timedelta(days=1)
        return day


@dataclass(frozen=True, slots=True)
class Month:
    """A month in the unit's zone: from the first moment, until the last one is over."""

    name: str
    start: datetime
    end: datetime

    @classmethod
    def of(cls, year: int, month: int, zone: ZoneInfo) -> "Month":
        first = date(year, month, 1)
        after = date(year + month // 12, month % 12 + 1, 1)
        start, end = (datetime.combine(day, time(), zone).astimezone(UTC) for day in (first, after))
        return cls(f"{year:04}-{month:02}", start, end)

    def holds(self, at: datetime | None) -> bool:
        return at is not None and self.start <= at < self.end


def day_of(at: datetime, zone: ZoneInfo) -> date:
    """The unit's day in which an instant lies."""
    return at.astimezone(zone).date()


def end_of(day: date, zone: ZoneInfo) -> datetime:
    """24:00 of a day in the unit's zone, in UTC."""
    return datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)


def days_after(at: datetime, days: int, zone: ZoneInfo, calendar: Calendar | None) -> datetime:
    """24:00 of the last of so many days, counted from the day after ``at``; with a calendar, a last day that is free moves to the
    next working day."""
    last = day_of(at, zone) + timedelta(days=days)
    return end_of(calendar.next_working(last) if calendar is not None else last, zone)
