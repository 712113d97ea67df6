"""`mediad acts`: what waits for a reviewer or an approver (审核人, 批准人), and how they sign it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mediad.cli import common
from mediad.errors import UsageError

if TYPE_CHECKING:
    from mediad.model.acts import Signature
    from mediad.model.custody import Event

acts_app = typer.Typer(help="Acts that wait for signatures (待签).", invoke_without_command=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
ActId = Annotated[str, typer.Argument(metavar="ACT", help="The act (act-).")]
As = Annotated[str, typer.Option("--as", help="reviewer (审核人) or approver (批准人).")]
SignatureFile = Annotated[
    Path,
    typer.Option(
        "--signature",
        parser=common.given_path,
        metavar="FILE",
        help="What ssh-keygen -Y sign made; - for standard input.",
    ),
]


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
                "signed": {role: names.get(who, who) for role, who in a["signed"].items()},
                "keys": {role: given["fingerprint"] for role, given in a.get("signatures", {}).items()}, "why": a.get("why", ""),
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


@acts_app.command("show")
def acts_show(
    act: ActId,
    raw: Annotated[bool, typer.Option("--raw", help="The very bytes whose SHA-256 stands in the statement.")] = False,
) -> None:
    """Show all that is to be, as JSON."""
    event = _proposed(act)
    if raw:
        common.print_raw(event.detail.encode("utf-8"))
    else:
        common.print_json(event.body())


@acts_app.command("statement")
def acts_statement(act: ActId, as_: As) -> None:
    """Print what a reviewer or an approver signs."""
    from mediad.wiring.bureau.signing import statement

    common.print_raw(statement(_proposed(act), _role(as_)))


@acts_app.command("sign")
def acts_sign(act: ActId, as_: As, signature: SignatureFile) -> None:
    """Sign as the reviewer or the approver, under your own account and with your own key."""
    from mediad.wiring.bureau.acts import sign

    done = sign(common.load_config(), act, _role(as_), common.read_text(signature))
    said = {"reviewer": "已审核 reviewed", "approver": "已批准 approved"}[as_]
    common.say(f"{act}: {'已生效 it has effect now' if not done.waits else said}")


def _proposed(act: str) -> Event:
    from mediad.wiring.bureau.signing import proposed

    with common.ledger(common.load_config()) as ledger, ledger.catalog.read() as conn:
        return proposed(conn, act)


def _role(text: str) -> Signature:
    from mediad.model.signing import ROLES

    for role in ROLES:
        if role == text:
            return role
    raise UsageError(f"{text} signs nothing", hint="--as reviewer, or --as approver")


@acts_app.command("refuse")
def acts_refuse(act: ActId, why: Annotated[str, typer.Option(help="Why it is to have no effect.")]) -> None:
    """It is to have no effect."""
    from mediad.wiring.bureau.acts import refuse

    refuse(common.load_config(), act, why)
    common.say(f"{act}: 已退回 refused")
