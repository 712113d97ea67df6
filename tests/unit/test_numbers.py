"""Any way to write a number finds it, and no other number does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediad.model.numbers import checked_number, mentions, number_key
from mediad.model.problems import Problem

SAME = [
    "大金卫罚〔2026〕12号", "大金卫罚[2026]12号", "大金卫罚【2026】12号", "大金卫罚（2026）12号", "大金卫罚(2026)第12号",
    "大金卫罚〔２０２６〕１２号", " 大金卫罚 ﹝2026﹞ 12 号 ", "大金卫罚［2026］第１２号", "大金卫罚<2026>12号",
]  # fmt: skip


@pytest.mark.parametrize("text", SAME)
def test_every_style_of_brackets_and_width_is_the_same_number(text: str) -> None:
    assert number_key(text) == "大金卫罚[2026]12号"


def test_numbers_that_differ_stay_apart() -> None:
    apart = ["A-1", "A-01", "A-11", "B-1", "A1"]
    assert len({number_key(n) for n in apart}) == len(apart)


def test_dashes_and_letters_of_any_kind_are_one() -> None:
    assert len({number_key(n) for n in ("xzjc–2026–3", "XZJC-2026-3", "ｘｚｊｃ－２０２６－３")}) == 1


@pytest.mark.parametrize("text", ["", "  ", "〔〕", "a\nb", "x" * 101, "\u202e", "___"])
def test_what_is_no_number_is_a_problem(text: str) -> None:
    assert isinstance(checked_number(text), Problem)


def test_a_number_is_kept_as_it_was_typed() -> None:
    assert checked_number(" 大金卫罚〔2026〕12号 ") == "大金卫罚〔2026〕12号"


@pytest.mark.parametrize(
    ("text", "key", "found"),
    [
        ("DCIM/大金卫罚（2026）12号 现场检查/a.mp4", "大金卫罚[2026]12号", True),
        ("case 112", "12", False), ("case 123", "12", False), ("case-12.", "12", True), ("ABC1", "BC1", False), ("x", "", False),
    ],
)  # fmt: skip
def test_a_number_is_found_in_a_name_but_not_within_a_longer_one(text: str, key: str, found: bool) -> None:
    assert mentions(text, key) is found


@given(st.text())
def test_keys_are_stable_and_short_of_blanks(text: str) -> None:
    key = number_key(text)
    assert not any(c.isspace() for c in key)
    assert number_key(key) == key or any(ord(c) > 127 for c in key)
