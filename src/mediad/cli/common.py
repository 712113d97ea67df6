"""What the commands share: the configuration, the catalogue, and how results are printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediad import config as configuration
from mediad.config import Config

if TYPE_CHECKING:
    from mediad.catalog.ledger import Ledger

selected_config: Path | None = None
"""The --config option, set once before a command runs."""


def load_config() -> Config:
    """The configuration that counts. Raises ConfigError."""
    return configuration.load(configuration.config_file(selected_config))


@contextmanager
def ledger(config: Config) -> Iterator[Ledger]:
    """The catalogue as it is, closed at the end of the block."""
    from mediad.wiring.station import open_ledger

    opened = open_ledger(config)
    try:
        yield opened
    finally:
        opened.catalog.close()


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2, sort_keys=False)
    sys.stdout.write("\n")


def size(n: int | None) -> str:
    """Bytes for people, in binary units."""
    if n is None:
        return "?"
    value = float(n)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
