"""Fixtures of a whole station in a temporary folder."""

from pathlib import Path

import pytest

from tests.support import Site, make_site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A station that was never started, with a vault in the test's own folder."""
    return make_site(tmp_path / "station")
