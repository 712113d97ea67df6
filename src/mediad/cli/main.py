"""The program `mediad`: commands, and the one table from errors to exit codes."""

import os
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
    Undelivered,
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
    (Undelivered, 6),
)
"""Which error ends the program how; docs/errors.md is held against it. 0 is fine, 1 means findings."""

DEBUG = "MEDIAD_DEBUG"
"""Environment variable: if set, a fault of ours shows where it is."""

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


def _say_version(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit


@app.callback()
def _main(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Configuration; else MEDIAD_CONFIG, else /etc/mediad/mediad.toml."),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_say_version)
    ] = False,
) -> None:
    common.selected_config = config


@app.command()
def version() -> None:
    """Print the version."""
    common.say(f"mediad {__version__}")


def main() -> None:
    """Run the program; a user sees one clear sentence and what to do, never a traceback."""
    common.use_closed_streams()
    common.use_any_locale()
    add_commands(app)
    sys.exit(common.finish_output(_run()))


def add_commands(to: typer.Typer) -> None:
    """Every family of commands, in the order in which help shows them."""
    from mediad.cli import (
        acts,
        admin,
        audit,
        casefile,
        cases,
        deadlines,
        derive,
        handing,
        handover,
        ingest,
        keys,
        notify,
        profile,
        recordings,
        registers,
        report,
        run,
        show,
        slots,
        tags,
        trips,
    )

    families = (
        run, ingest, derive, show, recordings, handover, deadlines, registers, trips, casefile, cases, handing, acts, keys, tags,
        notify, report, slots, audit, profile, admin,
    )  # fmt: skip
    for family in families:
        family.register(to)


def _run() -> int:
    """The exit code of a command."""
    try:
        common.check_arguments(sys.argv[1:])
        app()
    except SystemExit as e:
        return e.code if isinstance(e.code, int) else 0 if e.code is None else 5
    except MediadError as e:
        common.tell(f"mediad: {e.message}")
        if e.hint:
            common.tell(f"  -> {e.hint}")
        return exit_code(e)
    except OSError as e:  # what no edge has a better word for
        common.tell(f"mediad: {e.strerror or e}{f': {e.filename!r}' if e.filename else ''}")
        return 5
    except Exception as e:
        common.tell(f"mediad: mediad is at fault ({type(e).__name__}: {str(e)[:200]})")
        if os.environ.get(DEBUG):
            common.tell_fault(e)
        else:
            common.tell(
                f"  -> report it with what {DEBUG}=1 mediad ... prints; `mediad fsck` tells whether the records are in order"
            )
        return 5
    return 0


if __name__ == "__main__":
    main()
