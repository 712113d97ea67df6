"""The calendar file: what ships, and what is wrong with one that somebody wrote."""

from datetime import date
from pathlib import Path

import pytest

from mediad.edges.holidays import load_calendar
from mediad.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "config/calendar.toml"


def test_the_shipped_years_are_known_and_balance() -> None:
    """A worked weekend day is a Saturday or Sunday, and a holiday week stands for each."""
    calendar = load_calendar(SHIPPED)
    assert calendar.years == {2025, 2026}
    assert all(day.weekday() >= 5 for day in calendar.worked)
    assert not calendar.free & calendar.worked
    assert [calendar.works(date(2026, *d)) for d in ((2, 14), (2, 15), (2, 24), (9, 20), (10, 8), (10, 10))] == [
        True, False, True, True, True, True,
    ]  # fmt: skip
    assert calendar.next_working(date(2026, 10, 1)) == date(2026, 10, 8)
    assert not calendar.known(date(2027, 1, 1))


def test_without_a_file_of_the_units_own_the_shipped_one_counts(tmp_path: Path) -> None:
    assert load_calendar(tmp_path / "none.toml") == load_calendar(SHIPPED)
    own = tmp_path / "calendar.toml"
    own.write_text("", encoding="utf-8")
    assert load_calendar(own).years == frozenset(), "an empty file says that no year is known"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[2026", "is not TOML"),
        ("x = 1", "x is no year"),
        ("[2026]\nfreee = []", "2026 is no year"),
        ('[2026]\nfree = ["soon"]', "'soon' is no day"),
        ('[2026]\nfree = ["2025-12-31"]', "lies in another year"),
        ('[2026]\nfree = ["2026-10-07..2026-10-01"]', "is no run of days"),
        ('[2026]\nfree = ["2026-01-01..2026-12-31"]', "is no run of days"),
        ('[2026]\nfree = ["2026-10-01"]\nworked = [2026-10-01]', "is free and worked"),
        ("[2026]\nfree = [1]", "1 is no day"),
        ("[2026]\nfree = 7", "free is no list"),
    ],
)
def test_what_is_wrong_with_a_calendar_is_said_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "calendar.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=words) as caught:
        load_calendar(file)
    assert str(file) in caught.value.message


def test_what_is_no_text_is_said(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_bytes(b"\xff\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_calendar(tmp_path / "c.toml")
