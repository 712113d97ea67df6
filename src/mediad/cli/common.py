"""What the commands share: the configuration, and how results are printed."""

import json
import sys
from pathlib import Path
from typing import Any

from mediad import config as configuration
from mediad.config import Config

selected_config: Path | None = None
"""The --config option, set once before a command runs."""


def load_config() -> Config:
    """The configuration that counts. Raises ConfigError."""
    return configuration.load(configuration.config_file(selected_config))


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2, sort_keys=False)
    sys.stdout.write("\n")
