"""`mediad acts`: what waits for a reviewer or an approver (审核人, 批准人)."""

from __future__ import annotations

from typing import Annotated

import typer

from mediad.cli import common

acts_app = typer.Typer(help="Acts that wait for signatures (待签).", invoke_without_command=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
ActId = Annotated[str, typer.Argument(metavar="ACT", help="The act (act-).")]


def register(app: typer.Typer) -> None:
    app.add_typer(acts_app, name="acts")


@acts_app.callback(invoke_without_command=True)
def acts(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Those that are done or refused as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """List acts that wait for signatures."""
    if context.invoked_subcommand is not None:
        return
    from mediad.catalog import acts as memory
    from mediad.catalog import bureau

    with common.ledger(common.load_config()) as ledger, ledger.catalog.read() as conn:
        names = {p.id: p.name for p in bureau.people(conn)}
        rows = [
            {
                "id": a["id"], "at": a["at"], "what": a["what"], "subject": a["subject"], "state": a["state"],
                "handler": names.get(a["handler"]) or a["login"], "wants": [w for w in a["wants"] if w not in a["signed"]],
                "signed": {role: names.get(who, who) for role, who in a["signed"].items()}, "why": a.get("why", ""),
            }
            for a in memory.listed(conn, waiting=not everything)
        ]  # fmt: skip
    if as_json:
        common.print_json(rows)
        return
    for r in rows:
        waits = f"待 waits for {', '.join(r['wants'])}" if r["state"] == "proposed" else r["state"]
        common.say(f"{r['id']}  {r['what']}  {r['subject']}  承办 handler {r['handler']}  {waits}")
    common.say(f"{len(rows)} 项 acts")


@acts_app.command("review")
def acts_review(act: ActId) -> None:
    """Sign as the reviewer (审核人)."""
    from mediad.wiring.acts import sign

    done = sign(common.load_config(), act, "reviewer")
    common.say(f"{act}: {'已生效 it has effect now' if not done.waits else '已审核 reviewed'}")


@acts_app.command("approve")
def acts_approve(act: ActId) -> None:
    """Sign as the approver (批准人)."""
    from mediad.wiring.acts import sign

    done = sign(common.load_config(), act, "approver")
    common.say(f"{act}: {'已生效 it has effect now' if not done.waits else '已批准 approved'}")


@acts_app.command("refuse")
def acts_refuse(act: ActId, why: Annotated[str, typer.Option(help="Why it is to have no effect.")]) -> None:
    """It is to have no effect."""
    from mediad.wiring.acts import refuse

    refuse(common.load_config(), act, why)
    common.say(f"{act}: 已退回 refused")
