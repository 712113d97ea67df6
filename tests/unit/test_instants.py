"""Instants as they are written for programs and for people, at any time at all."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediad.model.instants import minute, rfc3339, stamp

CHINA = ZoneInfo("Asia/Shanghai")


@given(st.datetimes(timezones=st.just(UTC)))
def test_what_is_written_for_programs_is_the_same_instant_to_the_second(at: datetime) -> None:
    assert at - datetime.fromisoformat(rfc3339(at, CHINA)) == timedelta(microseconds=at.microsecond)
    assert rfc3339(stamp(at), CHINA) == rfc3339(at, CHINA)


@pytest.mark.parametrize("end", [datetime.min, datetime.max])
def test_the_ends_of_all_dates_are_written_too(end: datetime) -> None:
    at = end.replace(tzinfo=UTC)
    for zone in (CHINA, ZoneInfo("America/New_York")):
        assert abs(datetime.fromisoformat(rfc3339(at, zone)) - at) < timedelta(seconds=1)
        assert len(minute(at, zone)) >= len("1-01-01 00:00")


def test_people_read_the_wall_clock_of_the_unit() -> None:
    at = datetime(2026, 11, 23, 16, 30, 59, tzinfo=UTC)
    assert (minute(at, CHINA), rfc3339(at, CHINA)) == ("2026-11-24 00:30", "2026-11-24T00:30:59+08:00")
