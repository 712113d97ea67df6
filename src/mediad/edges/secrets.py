"""Files that hold secrets. What is in them stands in no log, message or argument."""

from pathlib import Path

from mediad.edges.unlock import decode, read_secret
from mediad.errors import ConfigError


def secret_lines(path: Path, names: str, least: int) -> list[str]:
    """The lines of such a file, without space around them. ``names`` says what they are. Raises ConfigError if there are fewer than
    wanted, or if it is missing or open to others."""
    found = [line.strip() for line in decode(read_secret(path)).splitlines()]
    if len([line for line in found[:least] if line]) < least:
        raise ConfigError(f"the secrets file {path} lacks a line: {names}", hint="one on each line, nothing else")
    return found
