"""`mediad slots`: what is on each slot, on the station's own screen or as JSON; and teaching slots their names."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mediad.cli import common
from mediad.errors import NotFound, UsageError

if TYPE_CHECKING:
    from mediad.edges.usb import UsbWatcher

slots_app = typer.Typer(help="Slots of the station: show, watch, name.", invoke_without_command=True)


def register(app: typer.Typer) -> None:
    app.add_typer(slots_app, name="slots")


@slots_app.callback(invoke_without_command=True)
def slots(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the board as JSON.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing the board, large, on this screen.")] = False,
) -> None:
    """Show what is on each slot."""
    if context.invoked_subcommand is not None:
        return
    from mediad.edges.board import daemon_runs, is_young, known_board, read_board, stamp

    config = common.load_config()
    if watch:
        from mediad.cli.screen import watch_board

        watch_board(
            config.unit.name,
            config.station.id,
            lambda: read_board(config.runtime),
            stamp=lambda: stamp(config.runtime),
            runs=daemon_runs,
            young=is_young,
            zone=config.unit.zone,
        )
        return
    board = known_board(config.runtime)
    if as_json:
        common.print_json(board)
        return
    for said in (board["news"], board["message"]):
        if said:
            common.say(said)
    for slot in board["slots"]:
        common.say(line(slot))
    if not board["slots"] and not board["news"]:
        common.say("没有接口 no slots yet: dock a recorder, or teach one with `mediad slots teach NAME`")


def line(slot: dict[str, Any]) -> str:
    """One slot in one line."""
    parts = [slot["name"] or slot["port"], f"{slot['words'][0]} {slot['words'][1]}"]
    if slot["recorder"]:
        parts.append(slot["recorder"])
    if slot["state"] in ("copying", "paused"):
        parts.append(f"{slot['files_done']}/{slot['files_total']} 个文件 files")
        if slot["minutes_left"] is not None:
            parts.append(f"约 {slot['minutes_left']} 分钟 minutes left")
    if slot["why"]:
        parts.append(slot["why"])
    return "  ".join(parts)


@slots_app.command()
def name(
    port: Annotated[str, typer.Argument(help="USB port path, as `mediad slots` shows it.")],
    new_name: Annotated[str, typer.Argument(metavar="NAME", help="What people call the slot, e.g. 3号.")],
) -> None:
    """Give a slot a name."""
    _name(port, _checked(new_name))


@slots_app.command()
def teach(
    new_name: Annotated[str, typer.Argument(metavar="NAME", help="What people call the slot, e.g. 3号.")],
    timeout: Annotated[float, typer.Option(help="How many seconds to wait for a device.")] = 60.0,
) -> None:
    """Name the slot that a device is plugged into next."""
    from mediad.edges.usb import UsbWatcher

    new_name = _checked(new_name)
    watcher = UsbWatcher(settle_seconds=SETTLE_SECONDS)
    watcher.start()
    try:
        watcher.wait(SETTLE_SECONDS + 0.1)  # what is plugged in already
        common.tell(f"请将任意设备插入 {new_name} plug any device into {new_name}")
        port = _next_port(watcher, timeout)
    finally:
        watcher.stop()
    _name(port, new_name)


SETTLE_SECONDS = 0.5


def _next_port(watcher: UsbWatcher, seconds: float) -> str:
    """The port that a device comes to next; what leaves meanwhile says nothing."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        for change in watcher.wait(left):
            if change.device is not None:
                return change.port
    raise NotFound("no device was plugged in", hint="try again, and plug one in when asked")


def _checked(new_name: str) -> str:
    if not new_name.strip() or len(new_name) > 40 or not new_name.isprintable():
        raise UsageError("a slot's name has 1 to 40 printable characters")
    return new_name.strip()


def _name(port: str, new_name: str) -> None:
    from mediad.wiring.bureau.equipment import name_slot

    told = name_slot(common.load_config(), port, new_name)
    common.say(f"{port}: {told['said']}" if told["waits"] else f"{port} = {new_name}")
