"""The program `mediad`: commands, and the one table from errors to exit codes."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from mediad import __version__
from mediad.cli import common
from mediad.errors import (
    Busy,
    DeviceError,
    MediadError,
    NotFound,
    Refused,
    Stopping,
    StorageError,
    UsageError,
)

EXIT_CODES: tuple[tuple[type[MediadError], int], ...] = (
    (UsageError, 2),
    (NotFound, 3),
    (Refused, 4),
    (StorageError, 5),
    (Stopping, 6),
    (DeviceError, 5),
    (Busy, 6),
)
"""Which error ends the program how; docs/errors.md is held against it. 0 is fine, 1 means findings."""

app = typer.Typer(
    name="mediad",
    help="The daemon of a docking station for body cameras and other evidence media.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def exit_code(error: MediadError) -> int:
    """The exit code of an error; 5 for one that is in no row of the table."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 5)


@app.callback()
def _main(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Configuration; else MEDIAD_CONFIG, else /etc/mediad/mediad.toml."),
    ] = None,
) -> None:
    common.selected_config = config


@app.command()
def version() -> None:
    """Print the version."""
    print(f"mediad {__version__}")


def main() -> None:
    """Run the program; a user sees one clear sentence and what to do, never a traceback."""
    from mediad.cli import admin, audit, ingest, run, show, slots

    for family in (run, ingest, show, slots, audit, admin):
        family.register(app)
    try:
        app()
    except MediadError as e:
        print(f"mediad: {e.message}", file=sys.stderr)
        if e.hint:
            print(f"  -> {e.hint}", file=sys.stderr)
        sys.exit(exit_code(e))
    except BrokenPipeError:
        sys.exit(0)
    except OSError as e:  # what no edge has a better word for
        print(f"mediad: {e.strerror or e}{f': {e.filename!r}' if e.filename else ''}", file=sys.stderr)
        sys.exit(5)


if __name__ == "__main__":
    main()
