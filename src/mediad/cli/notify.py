"""`mediad notify`: tell people of limits now, show what would go out, or try whether a person is reached."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import Annotated

import typer

from mediad.cli import common
from mediad.errors import Undelivered, UsageError


def register(app: typer.Typer) -> None:
    app.command()(notify)


def notify(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would go out; send and record nothing.")
    ] = False,
    test: Annotated[
        str, typer.Option(metavar="PERSON", help="Send this person a test message: number, account or name.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Tell people of limits (消息提醒), which the daemon does each minute. Exit code 6 if something could not be sent."""
    if dry_run and test:
        raise UsageError("--dry-run sends nothing, and --test is to send something", hint="give one of them")
    if test:
        _test(test, as_json)
    elif dry_run:
        _show(as_json)
    else:
        _tell(as_json)


def _show(as_json: bool) -> None:
    from mediad.wiring.bureau.telling import listed

    config = common.load_config()
    with common.ledger(config) as ledger:
        rows = listed(ledger, config)
    if as_json:
        common.print_json(rows)
        return
    for r in rows:
        held = f"  待重试 held until {r['held_until']}: {r['why']}" if r["held_until"] else ""
        common.say(f"== {r['name']} ({r['way']})  {r['title']}{held}")
        for line in r["text"].splitlines():
            common.say(f"   {line}")
    common.say(f"{len(rows)} 条消息 messages")


def _tell(as_json: bool) -> None:
    from mediad import telemetry
    from mediad.wiring.bureau.telling import tell, ways_of
    from mediad.wiring.station import Station

    telemetry.set_up_logs("error")
    config = common.load_config()
    ways = ways_of(config)
    if not ways:
        raise UsageError(
            "there is no way to tell anybody", hint="[telling.mail] or [[telling.webhook]], docs/telling.md"
        )
    with closing(Station(config, wait_for_space=False)) as station:
        done = tell(station, ways)
        station.finish_open_work()
    if as_json:
        common.print_json({"sent": done.sent, "waiting": done.waiting, "trouble": done.trouble})
    else:
        common.say(f"已发送 sent {done.sent} · 待发送 waiting {done.waiting}")
        for way, why in sorted(done.trouble.items()):
            common.say(f"  ✗ {way}: {why}")
    if done.waiting:
        sys.exit(6)


def _test(person: str, as_json: bool) -> None:
    from mediad.wiring.bureau.telling import test as send

    rows = send(common.load_config(), person)
    if as_json:
        common.print_json(rows)
    else:
        for r in rows:
            common.say(f"✓ {r['way']}: 已发送 sent to {r['to']}" if r["sent"] else f"✗ {r['way']}: {r['why']}")
    if failed := [r for r in rows if not r["sent"]]:
        raise Undelivered(f"{len(failed)} of {len(rows)} ways failed", hint=failed[0].get("hint", ""))
