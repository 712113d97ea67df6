"""`mediad run`: the daemon."""

import typer

from mediad.cli import common


def register(app: typer.Typer) -> None:
    app.command()(run)


def run() -> None:
    """Run the daemon: watch ports and folders, dock, store, serve metrics. Logs go to standard error as JSON lines."""
    from mediad import telemetry
    from mediad.wiring.daemon import run_daemon

    config = common.load_config()
    telemetry.set_up_logs(config.log.level)
    run_daemon(config)
