"""Fixtures of a whole station in a temporary folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.clips import Clips
from tests.support import Site, make_site


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """A test that sets up logging leaves no trace of it for the next one."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A station that was never started, with a vault in the test's own folder."""
    return make_site(tmp_path / "station")


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    """Real media, made once."""
    return Clips(tmp_path_factory.mktemp("clips"))
