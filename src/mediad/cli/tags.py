"""`mediad tag | untag | proposals`: which recording is of which case."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mediad.cli import common
from mediad.cli.registers import moment
from mediad.errors import UsageError

if TYPE_CHECKING:
    from mediad.config import Config
    from mediad.wiring.bureau.tagging import Chosen

proposals_app = typer.Typer(help="Cases that recordings may be of (待确认).", invoke_without_command=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Recordings (rec-), or assets (ast-) of them.")]
OneCase = Annotated[str, typer.Option("--case", help="Any number of the case.")]
From = Annotated[str, typer.Option("--from", help="Those that start at this time or later.")]
Until = Annotated[str, typer.Option("--until", help="Those that start at this time or before, or on this day.")]
Officer = Annotated[str, typer.Option(help="Those of whom bears this number.")]
Recorder = Annotated[str, typer.Option(help="Those of this recorder: its label, name, serial or key.")]

REASONS = {
    "number": "编号相符 number", "carrier": "承办人 handler", "short-window": "时间相符 time",
    "window": "办案期间 while it was open", "near": "时间相近 shortly before or after",
    "co-officer": "同行承办人 co-officer", "important": "重要标记 mark",
}  # fmt: skip


def register(app: typer.Typer) -> None:
    app.command()(tag)
    app.command()(untag)
    app.add_typer(proposals_app, name="proposals")


def picked(config: Config, first: str, last: str, officer: str, recorder: str, **more: Any) -> Chosen:
    """What options choose."""
    from mediad.model import columns
    from mediad.wiring.bureau.tagging import Chosen

    def at(text: str) -> datetime | None:
        return moment(text, config.unit.zone) if text else None

    until = at(last)
    if until is not None and isinstance(columns.day(last), date):  # all of it
        until = moment(f"{last} 23:59:59", config.unit.zone).replace(microsecond=999_999)
    return Chosen(at(first), until, officer, recorder, **more)


def tag(
    case: Annotated[str, typer.Option(help="Any number of the case.")],
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Recordings (rec-), or assets (ast-) of them.")
    ] = None,
    activity: Annotated[str, typer.Option(help="Activity that they show (执法环节).")] = "",
    field: Annotated[
        list[str] | None, typer.Option(help="What the activity wants to be told, as name=value; may be repeated.")
    ] = None,
    also: Annotated[bool, typer.Option("--also", help="Tags of other cases stay.")] = False,
    first: From = "",
    until: Until = "",
    officer: Officer = "",
    recorder: Recorder = "",
    yes: Annotated[bool, typer.Option("--yes", help="Tag what is chosen, instead of only saying how many.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say that recordings are of a case: these, or all that are chosen and that nobody has decided about."""
    from mediad.wiring.bureau import tagging

    config = common.load_config()
    wanted = tagging.Wanted(case, activity, dict(common.pair(each) for each in field or ()))
    some = picked(config, first, until, officer, recorder)
    if ids and some:
        raise UsageError(
            "IDs and a choice exclude each other", hint="give IDs, or --from, --until, --officer, --recorder"
        )
    one_by_one = tagging.tag(config, ids, wanted, also=also) if ids else None
    told = one_by_one or tagging.tag_many(config, some, wanted, dry_run=not yes)
    if as_json:
        common.print_json(told)
        return
    if "chosen" in told:
        skipped = f"，人工已定不改 {told['left']} were decided by a person and stay" if told["left"] else ""
        common.say(f"选中 chosen {len(told['chosen'])}{skipped}")
        if not yes:
            for each in told["chosen"][:20]:
                common.say(f"  {each}")
            common.say("未标记 nothing was tagged: --yes tags them")
            return
    _print(told, "已标记 tagged")


def _print(told: dict[str, Any], done: str) -> None:
    if told["waits"]:
        common.say(f"待签 waits for signatures: {told['waits']}")
    else:
        common.say(f"{done} {len(told['tags'])}")


def untag(
    ids: Ids,
    case: Annotated[str, typer.Option(help="Only of this case.")] = "",
    activity: Annotated[str, typer.Option(help="Only of this activity.")] = "",
    why: Annotated[str, typer.Option(help="Why.")] = "",
    as_json: AsJson = False,
) -> None:
    """Say that recordings are not of their case after all."""
    from mediad.wiring.bureau.tagging import untag as withdraw

    told = withdraw(common.load_config(), ids, case=case, activity=activity, why=why)
    if as_json:
        common.print_json(told)
    else:
        _print(told, "已撤销 withdrawn")


@proposals_app.callback(invoke_without_command=True)
def proposals(context: typer.Context, as_json: AsJson = False) -> None:
    """List recordings that may be of a case, for a person to decide."""
    if context.invoked_subcommand is not None:
        return
    from mediad.wiring.bureau.tagging import proposals as waiting

    rows = waiting(common.load_config())
    if as_json:
        common.print_json(rows)
        return
    for r in rows:
        common.say(f"{r['started_at'][:19].replace('T', ' ')}  {r['recording']}")
        for c in r["cases"]:
            why = "、".join(REASONS.get(each, each) for each in c["reasons"])
            common.say(f"  {c['score']:3}  {c['number']}  {c['name']}  {why}")
    common.say(f"{len(rows)} 条待确认 recordings wait for a person")


@proposals_app.command("accept")
def proposals_accept(
    ids: Ids,
    case: OneCase = "",
    activity: Annotated[str, typer.Option(help="Activity that they show (执法环节).")] = "",
    as_json: AsJson = False,
) -> None:
    """Tag recordings with the case that is proposed for them."""
    from mediad.wiring.bureau.tagging import accept

    told = accept(common.load_config(), ids, case=case, activity=activity)
    if as_json:
        common.print_json(told)
    else:
        _print(told, "已标记 tagged")


@proposals_app.command("dismiss")
def proposals_dismiss(
    ids: Ids,
    case: OneCase = "",
    why: Annotated[str, typer.Option(help="Why.")] = "",
    as_json: AsJson = False,
) -> None:
    """They are not of the cases that are proposed: do not propose them again."""
    from mediad.wiring.bureau.tagging import dismiss

    told = dismiss(common.load_config(), ids, case=case, why=why)
    if as_json:
        common.print_json(told)
    else:
        _print(told, "已排除 dismissed")
