"""A serial that a whole series of devices may carry names none of them."""

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediad.model.serials import plausible_serial

HEX = "0123456789abcdef"


@pytest.mark.parametrize(
    "serial",
    [
        "", "   ", "1", "1234", "A1B2", "0000000000", "12345678901234", "0123456789", "0123456789ABCDEF", "1234567890ABCDEF",
        "FEDCBA9876543210", "9876543210", "AABBCCDDEEFF", "AA:BB:CC:DD:EE:FF", "11-22-33-44-55-66", "112233445566",
        "0102030405060708", "1A2B3C4D5E6F", "ABCDEFGH", "abcabcabc", "12341234", "A5A5A5A5", "000000000001", "0000-000A",
        "000000001206", "100000000000", "FFFFFFFF0001", "20120501", "20120501030900000", "201206000001", "2012345678",
        "201200000000", "01012012", "2019-05-21-0001", "SN123456", "SerialNumber", "Serial No. 1", "default", "DEADBEEF",
        "To Be Filled By O.E.M.", "058F63666433", "TEST0001",
    ],
)  # fmt: skip
def test_a_placeholder_is_no_serial(serial: str) -> None:
    assert not plausible_serial(serial)


@pytest.mark.parametrize(
    "serial",
    [
        "REC0001", "RECr1", "GA12345", "DSJ-X5-0042", "4C530001230417112345", "AA00000000012977", "07A80C05B7DE1C36",
        "0A1B-33F7", "5f3c2a1e-77b0-4d1e-9f0e-8c2b6a4d9e10", "3061334D4E6F", "210213X7", "C100427", "E823_8FA6_BF53_0001",
    ],
)  # fmt: skip
def test_what_names_one_device_is_believed(serial: str) -> None:
    assert plausible_serial(serial)


@given(st.sampled_from(["0123456789", HEX, string.ascii_lowercase]), st.integers(0, 25), st.integers(5, 24),
       st.integers(1, 3), st.booleans())  # fmt: skip
def test_no_counting_row_is_believed_wherever_it_begins_and_however_often_it_says_each(
    row: str, start: int, length: int, times: int, down: bool
) -> None:
    text = "".join(row[(start + n) % len(row)] * times for n in range(length))
    assert not plausible_serial(text[::-1] if down else text)


@given(st.text(HEX, min_size=1, max_size=8), st.integers(2, 6))
def test_no_repeated_pattern_is_believed(unit: str, times: int) -> None:
    assert not plausible_serial(unit * times)


@given(st.text(HEX, min_size=1, max_size=8), st.integers(0, 8))
def test_a_number_behind_at_least_as_many_zeros_is_not_believed(number: str, more: int) -> None:
    assert not plausible_serial("0" * (len(number) + more) + number)


@given(st.dates().filter(lambda day: 1980 <= day.year < 2050), st.text(HEX, max_size=8))
def test_no_date_is_believed_whatever_follows_it(day: object, more: str) -> None:
    assert not plausible_serial(str(day) + more)


@given(st.text(string.ascii_letters + string.digits, max_size=24), st.lists(st.integers(0, 24), max_size=4))
def test_case_and_separators_do_not_matter(text: str, places: list[int]) -> None:
    spaced = text
    for place in places:
        spaced = spaced[:place] + "-: ._"[place % 5] + spaced[place:]
    assert plausible_serial(text) == plausible_serial(text.upper()) == plausible_serial(f" {spaced} ")


@pytest.mark.parametrize(("letters", "length"), [(HEX, 12), (HEX, 8), (string.digits, 10), (string.ascii_uppercase, 7)])
def test_a_rule_that_doubts_nearly_everything_would_be_useless(letters: str, length: int) -> None:
    """Of serials without any pattern hardly one in a hundred is doubted."""
    dice = random.Random(length)
    doubted = sum(not plausible_serial("".join(dice.choices(letters, k=length))) for _ in range(5_000))
    assert doubted < 50, doubted
