"""Sizes as people read them."""

import pytest

from mediad.model.sizes import human


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"), (1, "1 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (700_000, "683.6 KiB"), (2**20, "1.0 MiB"),
        (1_610_612_736, "1.5 GiB"), (2**40, "1.0 TiB"), (5000 * 2**40, "5000.0 TiB"), (-2048, "-2.0 KiB"),
    ],
)  # fmt: skip
def test_a_size_is_told_in_the_unit_that_fits(size: int, text: str) -> None:
    """No size but nothing is nothing."""
    assert human(size) == text
