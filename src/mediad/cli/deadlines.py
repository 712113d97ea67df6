"""`mediad deadlines`: what every limit comes to now, and what people say about it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mediad.cli import common
from mediad.cli.registers import moment

deadlines_app = typer.Typer(help="Limits (时限): show, justify, mark as met.", invoke_without_command=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]

_WORDS = {
    "met": "已达标", "due": "期限内", "late": "逾期", "open": "未定", "untrusted": "时间不可信", "not-applicable": "不适用",
}  # fmt: skip
_NAMES = {
    "article-28-24h": "入库 storage", "article-8-urgent-report": "补报 report", "article-27-archive": "归档 archive",
}  # fmt: skip


def register(app: typer.Typer) -> None:
    app.add_typer(deadlines_app, name="deadlines")


@deadlines_app.callback(invoke_without_command=True)
def deadlines(
    context: typer.Context,
    as_json: AsJson = False,
    everything: Annotated[bool, typer.Option("--all", help="Those that are met as well.")] = False,
) -> None:
    """Show the limits that are not met. Exit code 1 if one is late, or cannot be told."""
    if context.invoked_subcommand is not None:
        return
    from mediad.wiring.rules import rules_of, shown

    config = common.load_config()
    rules = rules_of(config)
    with common.ledger(config) as ledger, ledger.catalog.read() as conn:
        rows = list(shown(conn, rules, ledger.clock()))
    if as_json:
        common.print_json(rows)
    else:
        quiet = ("met", "not-applicable")
        listed = [r for r in rows if everything or r["status"] not in quiet]
        for r in listed:
            due = str(r["due_at"] or "-")[:16].replace("T", " ")
            common.say(
                f"{_WORDS[r['status']]} {r['status']:10} {due:16} {_NAMES.get(r['rule'], r['rule'])}  {r['subject']}"
            )
            common.say(f"    {r['carrier'] or ''} {r['reason']}".rstrip())
        counts = {word: sum(r["status"] == word for r in rows) for word in _WORDS}
        common.say(" · ".join(f"{_WORDS[word]} {word} {n}" for word, n in counts.items() if n) or "没有时限 no limits")
    if any(r["status"] in ("late", "untrusted") for r in rows):
        sys.exit(1)


@deadlines_app.command("justify")
def deadlines_justify(
    subject: Annotated[str, typer.Argument(metavar="ID", help="What is late: a recording, a case, a file.")],
    text: Annotated[str, typer.Option(help="The reason in writing.")],
    rule: Annotated[str, typer.Option(help="The rule, if not that of Article 28.")] = "article-28-24h",
    as_json: AsJson = False,
) -> None:
    """Give the reason for what is late (Article 28), with its author."""
    from mediad.wiring.explain import justify

    told = justify(common.load_config(), subject, rule, text)
    _said(told, as_json)


@deadlines_app.command("mark-met")
def deadlines_mark_met(
    subject: Annotated[str, typer.Argument(metavar="ID", help="A recording (rec-).")],
    receipt: Annotated[str, typer.Option(help="Number that the enforcement information system gave.")],
    at: Annotated[str, typer.Option(help="When it was received there, such as 2026-11-24 09:30.")],
    as_json: AsJson = False,
) -> None:
    """It went straight into the enforcement information system: its receipt meets the limit."""
    from mediad.wiring.explain import mark_met

    config = common.load_config()
    told = mark_met(config, subject, receipt, moment(at, config.unit.zone))
    _said(told, as_json)


def _said(told: dict[str, str], as_json: bool) -> None:
    if as_json:
        common.print_json(told)
    else:
        common.say(f"{told['subject']}: {told['said']}")
