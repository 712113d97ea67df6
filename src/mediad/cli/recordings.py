"""`mediad recordings set-time | carrier | classify | non-duty`: what people say about recordings."""

from __future__ import annotations

from typing import Annotated

import typer

from mediad.cli import common
from mediad.cli.registers import moment
from mediad.cli.show import recordings_app

Id = Annotated[str, typer.Argument(metavar="ID", help="A recording (rec-), or one of its originals (ast-).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


def register(_app: typer.Typer) -> None:
    """These commands stand beside the list of recordings."""


@recordings_app.command("set-time")
def recordings_set_time(
    recording: Id,
    ended: Annotated[str, typer.Option(help="When it ended, such as 2026-11-24 09:30.")],
    source: Annotated[str, typer.Option(help="What says so, such as the log of the duty room.")],
    reason: Annotated[str, typer.Option(help="Why its own time is not believed.")],
    started: Annotated[str, typer.Option(help="When it began; else so much before as it is long.")] = "",
    as_json: AsJson = False,
) -> None:
    """Say when a recording was, where its recorder's clock was wrong: its limit counts from there."""
    from mediad.wiring.bureau.spoken import set_time

    config = common.load_config()
    zone = config.unit.zone
    began = moment(started, zone) if started else None
    common.say_done(set_time(config, recording, moment(ended, zone), began, source, reason), "recording", as_json)


@recordings_app.command("carrier")
def recordings_carrier(
    recording: Id,
    officer: Annotated[str, typer.Option(help="Certificate or device user number of the carrier.")],
    co: Annotated[list[str] | None, typer.Option("--co", help="The same of a co-officer; may be given again.")] = None,
    reason: Annotated[str, typer.Option(help="Why, where the recording says otherwise.")] = "",
    as_json: AsJson = False,
) -> None:
    """Say who carried the recorder, and who was with them."""
    from mediad.wiring.bureau.spoken import carry

    common.say_done(carry(common.load_config(), recording, officer, co or [], reason), "recording", as_json)


@recordings_app.command("classify")
def recordings_classify(
    recording: Id,
    classification: Annotated[str, typer.Option("--as", help="How it is classified, such as 内部.")],
    mark: Annotated[
        list[str] | None, typer.Option("--mark", help="A mark such as 个人隐私; may be given again.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say how a recording is classified, with marks of what it shows (Article 33)."""
    from mediad.wiring.bureau.spoken import classify

    common.say_done(classify(common.load_config(), recording, classification, mark or []), "recording", as_json)


@recordings_app.command("non-duty")
def recordings_non_duty(
    recording: Id,
    reason: Annotated[str, typer.Option(help="Why it is of no enforcement; with --undo, why it is after all.")],
    undo: Annotated[bool, typer.Option("--undo", help="That was a mistake: it wants a case again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say that a recording is of no enforcement: it wants no case, and is kept all the same."""
    from mediad.wiring.bureau.spoken import non_duty

    common.say_done(non_duty(common.load_config(), recording, reason, undo=undo), "recording", as_json)
