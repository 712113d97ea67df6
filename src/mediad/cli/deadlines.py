"""`mediad deadlines`: what every limit comes to now, what people say about it, and which rules are in force."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from tempfile import TemporaryFile
from typing import IO, Annotated, Any

import typer

from mediad.cli import common, progress
from mediad.cli.registers import minute, moment
from mediad.errors import UsageError
from mediad.model.deadline import STORAGE, UPLOAD
from mediad.model.words import RULES as NAMES
from mediad.model.words import STATUSES as WORDS

deadlines_app = typer.Typer(help="Limits (时限): show, justify, mark as met.", invoke_without_command=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]

_LONGEST_LIST = 50


def register(app: typer.Typer) -> None:
    app.add_typer(deadlines_app, name="deadlines")


@deadlines_app.callback(invoke_without_command=True)
def deadlines(
    context: typer.Context,
    as_json: AsJson = False,
    everything: Annotated[bool, typer.Option("--all", help="All limits, those that are met as well.")] = False,
) -> None:
    """Show what presses: what is late and unexplained, ends within a day, or waits for somebody. Exit code 1 if anything is late,
    or has no true time."""
    if context.invoked_subcommand is not None:
        return
    from mediad.wiring.bureau.pressing import pressing
    from mediad.wiring.bureau.rules import rules_of, shown

    config = common.load_config()
    unruled = 0
    # Of millions neither memory holds them, nor the catalogue while somebody leafs through them.
    with TemporaryFile("w+", encoding="utf-8") as kept:
        with common.ledger(config) as ledger, ledger.catalog.read() as conn:
            rules, now = rules_of(conn, config), ledger.clock()
            if as_json or everything:
                counts: Mapping[str, int] = Counter(_keep(kept, shown(conn, rules, now)))
                rows: Iterable[Mapping[str, Any]] = map(json.loads, kept)
            else:
                found = pressing(conn, rules, now)
                rows, counts, unruled = found.rows, found.counts, found.unruled
        if as_json:
            common.print_json_list(rows)
        else:
            _say(rows, counts, unruled)
    if counts.get("late") or counts.get("untrusted"):
        sys.exit(1)


def _keep(kept: IO[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Their states; they themselves are in the file afterwards, each in a line."""
    for r in rows:
        kept.write(json.dumps(r) + "\n")
        yield r["status"]
    kept.seek(0)


def _say(rows: Iterable[Mapping[str, Any]], counts: Mapping[str, int], unruled: int) -> None:
    for r in rows:
        due = minute(r["due_at"]) or "-"
        name = NAMES.get(r["rule"], r["rule"])
        state = common.column(f"{WORDS[r['status']]} {r['status']}", 25)
        common.say(f"{state} {due:16} {common.column(name, 18)} {r['subject']}")
        reason = r.get("justification")
        said = reason and f"理由 reason: {reason}"
        common.say("    " + "  ".join(part for part in (r["label"], r["carrier"], r["reason"], said) if part))
    told = (f"{WORDS[word]} {word} {counts[word]}" for word in WORDS if counts.get(word))
    common.say(" · ".join(told) or "没有时限 no limits")
    if unruled:
        common.say(f"另有 {unruled} 项待重新计算，以上为原结果 are still to be worked out: shown as they stood")


@deadlines_app.command("justify")
def deadlines_justify(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="What is late: a recording, a file, a case or its number, a recorder or its label."
        ),
    ],
    text: Annotated[str, typer.Option(help="The reason in writing.")],
    rule: Annotated[str, typer.Option(help="The rule, if not that of Article 28.")] = STORAGE,
    as_json: AsJson = False,
) -> None:
    """Give the reason for what is late (Article 28), with its author."""
    from mediad.wiring.bureau.explain import justify

    told = justify(common.load_config(), subject, rule, text)
    common.say_done(told, "subject", as_json)


@deadlines_app.command("mark-met")
def deadlines_mark_met(
    subject: Annotated[str, typer.Argument(metavar="ID", help="A recording (rec-).")],
    receipt: Annotated[str, typer.Option(help="Number that the other system gave.")],
    at: Annotated[str, typer.Option(help="When it was received there, such as 2026-11-24 09:30.")],
    rule: Annotated[str, typer.Option(help=f"The rule, if not that of Article 28: {UPLOAD}.")] = STORAGE,
    as_json: AsJson = False,
) -> None:
    """It went straight into the enforcement information system (Article 28), or to the supervision platform (Article 30): the
    receipt meets the limit."""
    from mediad.wiring.bureau.explain import mark_met

    config = common.load_config()
    told = mark_met(config, subject, receipt, moment(at, config.unit.zone), rule)
    common.say_done(told, "subject", as_json)


@deadlines_app.command("rules")
def deadlines_rules(
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Put the rules of the configuration in force: everything is ruled anew.")
    ] = False,
    again: Annotated[
        bool,
        typer.Option("--again", help="Rule on everything anew, though the rules are the same: nothing else is done."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show how the rules of the configuration differ from those in force, and which limits they would change. They have no effect
    before they are adopted."""
    from mediad.wiring.bureau import rules

    config = common.load_config()
    if again:
        if adopt or as_json:
            raise UsageError("--again stands alone", hint="`--adopt` rules on everything anew as well")
        rules.again(config)
        common.say("全部时限将重新计算 everything is ruled on anew, by the daemon or the next `mediad derive`")
        return
    with common.ledger(config) as ledger:
        with ledger.catalog.read() as conn:
            settings = rules.differing(conn, config)
        looked = progress.Count("看过的记录、案件等 looked at")
        changed = list(rules.changes(ledger, config, looked.add)) if settings else []
    counts = Counter((c["old"], c["new"]) for c in changed)
    waits = rules.adopt(config) if adopt else ""
    if as_json:
        told = [{"old": old, "new": new, "count": n} for (old, new), n in sorted(counts.items())]
        common.print_json(
            {"settings": settings, "counts": told, "changes": changed, "adopted": adopt, "waits": waits or None}
        )
        return
    for c in changed[:_LONGEST_LIST]:
        due = minute(c["new_due_at"]) or "-"
        common.say(f"{c['old']} → {c['new']}  {due:16}  {NAMES.get(c['rule'], c['rule'])}  {c['subject']}")
    if len(changed) > _LONGEST_LIST:
        common.say(f"… 另有 {len(changed) - _LONGEST_LIST} 项 more (--json)")
    for (old, new), n in sorted(counts.items()):
        common.say(f"{WORDS[old]} {old} → {WORDS[new]} {new}: {n}")
    common.say(
        f"有变的设置 settings that differ: {', '.join(settings)}" if settings else "设置与现行规则一致 nothing differs"
    )
    if waits:
        common.say(f"待签 waits for signatures: {waits}")
    elif adopt:
        common.say("已施行 in force")
