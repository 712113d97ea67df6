"""What a person types: one check for each kind of thing, whichever command asks."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from mediad.errors import Refused, UsageError
from mediad.model.people import Dated, Person
from mediad.wiring.bureau import typed

ZONE = ZoneInfo("Asia/Shanghai")
DAY = date(2026, 11, 24)
LI = Person("per-li", "1", "李明", certificates=(Dated("1"),), device_numbers=(Dated("7"),))
WANG = Person("per-wang", "2", "王芳", certificates=(Dated("2", until=date(2026, 1, 1)),), device_numbers=(Dated("7"),))


@pytest.mark.parametrize("wrong", ["", "  ", "x" * 11, "a\x1bb", "a\nb"])
def test_a_text_is_short_printable_and_not_empty(wrong: str) -> None:
    with pytest.raises(UsageError, match="a reason has 1 to 10 printable characters"):
        typed.text(wrong, "a reason", 10)


def test_a_text_may_be_empty_or_have_lines_where_that_is_said() -> None:
    assert typed.text(" 雨天 ", "a reason", 10) == "雨天"
    assert typed.text("一\n二", "a reason", 10, lines=True) == "一\n二"
    assert typed.text("", "a reason", 10, empty=True) == ""


@pytest.mark.parametrize(
    ("number", "code"), [("3", "unknown-person"), ("2", "unknown-person"), ("7", "several-persons")]
)
def test_a_number_is_one_persons_on_that_day(number: str, code: str) -> None:
    assert typed.bearer([LI, WANG], "1", DAY) is LI
    with pytest.raises(Refused) as e:
        typed.bearer([LI, WANG], number, DAY)
    assert e.value.code == code


def test_a_month_goes_from_midnight_to_midnight_of_the_unit() -> None:
    month = typed.month("2026-12", ZONE)
    assert (month.start, month.end) == (datetime(2026, 12, 1, tzinfo=ZONE), datetime(2027, 1, 1, tzinfo=ZONE))
    assert month.holds(month.start) and not month.holds(month.end) and not month.holds(None)


@pytest.mark.parametrize("wrong", ["2026-13", "2026-00", "2026", "26-11", "2026-11-01", "0000-01", "２０２６-11"])
def test_what_is_no_month_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError):
        typed.month(wrong, ZONE)
