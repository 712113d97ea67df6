"""Fixtures of the virtual dock.  All scenarios are marked `dock`, the quick part `dock_smoke` too."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from golden import Golden, prepare  # noqa: E402  (found through the line above)
from station import Station  # noqa: E402


@pytest.hookimpl(tryfirst=True)  # before -m is looked at
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.dock)


@pytest.fixture(scope="session")
def golden() -> Golden:
    """Image, package and saved state, built when missing.  Needs root for that: asked for, never skipped."""
    if os.geteuid() != 0:
        pytest.fail("the virtual dock is built by root (apt, chroot): run `sudo make test-dock`")
    return prepare()


@pytest.fixture
def station(golden: Golden, request: pytest.FixtureRequest) -> Iterator[Station]:
    """A station of its own for every scenario, not yet switched on."""
    made = Station(re.sub(r"\W+", "-", request.node.name), golden)
    try:
        yield made
    finally:
        made.end()
