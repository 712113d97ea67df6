"""`mediad recorder issue | return | lost | broken`: recorders that go out and come back."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mediad.cli import common
from mediad.cli.admin import recorder_app
from mediad.cli.registers import moment

Recorder = Annotated[str, typer.Argument(help="Its label, name, serial number or id.")]
At = Annotated[str, typer.Option(help="When; else now.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


def register(_app: typer.Typer) -> None:
    """These commands stand beside those of the recorder register."""


@recorder_app.command("issue")
def recorder_issue(
    recorder: Recorder,
    officer: Annotated[str, typer.Option(help="Certificate number of its carrier.")],
    at: At = "",
    expected: Annotated[str, typer.Option(help="When it is expected back.")] = "",
    as_json: AsJson = False,
) -> None:
    """Hand a recorder out (领用): from then on it is that carrier's, until it is returned."""
    _move(recorder, "issued", as_json, at, carrier=officer, expected=expected)


@recorder_app.command("return")
def recorder_return(recorder: Recorder, at: At = "", as_json: AsJson = False) -> None:
    """It is back (归还)."""
    _move(recorder, "returned", as_json, at)


@recorder_app.command("lost")
def recorder_lost(
    recorder: Recorder,
    why: Annotated[str, typer.Option(help="What happened.")],
    presumed: Annotated[str, typer.Option(help="What footage was on it, as far as anybody knows.")] = "",
    at: At = "",
    as_json: AsJson = False,
) -> None:
    """It is lost (丢失)."""
    _move(recorder, "lost", as_json, at, why=why, presumed=presumed)


@recorder_app.command("broken")
def recorder_broken(
    recorder: Recorder,
    why: Annotated[str, typer.Option(help="What happened.")],
    presumed: Annotated[str, typer.Option(help="What footage was on it, as far as anybody knows.")] = "",
    at: At = "",
    as_json: AsJson = False,
) -> None:
    """It is broken (损坏)."""
    _move(recorder, "broken", as_json, at, why=why, presumed=presumed)


def _move(recorder: str, state: Any, as_json: bool, at: str, *, expected: str = "", **more: str) -> None:
    from mediad.wiring.bureau.handing import move

    config = common.load_config()
    zone = config.unit.zone
    told = move(
        config,
        recorder,
        state,
        at=moment(at, zone) if at else None,
        expected=moment(expected, zone) if expected else None,
        **more,
    )
    common.say_done(told, "id", as_json)
