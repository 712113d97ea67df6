"""`mediad run`: the daemon."""

from enum import StrEnum
from typing import Annotated

import typer

from mediad.cli import common


def register(app: typer.Typer) -> None:
    app.command()(run)


class Part(StrEnum):
    """What a daemon does, if not all that needs no sandbox."""

    DERIVE = "derive"


def run(
    only: Annotated[Part | None, typer.Option(help="derive: probe and preview what is stored, dock nothing.")] = None,
) -> None:
    """Run the daemon: watch ports and folders, dock, store, serve metrics. Logs go to standard error as JSON lines. What is stored
    is probed and previewed by a second daemon, `mediad run --only derive`, so that no foreign media comes near an ingest."""
    from mediad import telemetry
    from mediad.wiring.daemon import run_daemon
    from mediad.wiring.derive import run_deriver

    config = common.load_config()
    telemetry.set_up_logs(config.log.level)
    if only is Part.DERIVE:
        run_deriver(config)
    else:
        run_daemon(config)
