"""When a recording was: what its recorder says, and what a person said instead."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mediad.model.instants import stamp
from mediad.model.when import when

times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))
lengths = st.timedeltas(timedelta(), timedelta(hours=24))


@given(times, lengths, times, st.none() | lengths)
def test_what_a_person_said_counts_and_a_length_that_nobody_spoke_of_stays(
    start: datetime, length: timedelta, told: datetime, lasted: timedelta | None
) -> None:
    claimed = (stamp(start), stamp(start + length))
    assert when(*claimed, None) == (start, start + length)
    said: dict[str, Any] = {"ended_at": stamp(told), "started_at": None if lasted is None else stamp(told - lasted)}
    began, ended = when(*claimed, said)
    assert ended == told
    assert ended - began == (length if lasted is None else lasted)


def test_an_end_before_its_start_is_no_length() -> None:
    at = datetime(2026, 11, 24, tzinfo=UTC)
    assert when(stamp(at), stamp(at - timedelta(hours=1)), {"ended_at": stamp(at), "started_at": None}) == (at, at)
