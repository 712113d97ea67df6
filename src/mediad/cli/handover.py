"""`mediad handover`: records of what was handed over (交接记录), their pages, signatures, and the register (交接登记簿)."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mediad.cli import common, tell
from mediad.errors import IntegrityError, NotFound, UsageError
from mediad.model import words

handover_app = typer.Typer(help="Hand-over records (交接记录).", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
Docking = Annotated[str, typer.Argument(help="A docking (dck-).")]
Giver = Annotated[str, typer.Option(help="Who hands over, by number, where it is not the carrier (代交人).")]
Carrier = Annotated[str, typer.Option(help="On whose behalf, by number; else the carrier's that is known.")]
Output = Annotated[
    Path | None, typer.Option(help="File to write; else standard output.", parser=common.given_path, metavar="FILE")
]

SIGNATURES = {"nothing": "无须签收", "waiting": "待签", "signed": "已签"}


def register(app: typer.Typer) -> None:
    app.add_typer(handover_app, name="handover")


@handover_app.command("list")
def handover_list(
    as_json: AsJson = False,
    limit: Annotated[int, typer.Option(help="Only the newest so many.")] = 50,
    waiting: Annotated[bool, typer.Option("--waiting", help="Only those that wait for a signature.")] = False,
) -> None:
    """List the newest dockings and their hand-overs."""
    from mediad.catalog import evidence, handovers
    from mediad.wiring.bureau.handover import waiting as waits

    config = common.load_config()
    with common.ledger(config) as ledger, ledger.catalog.read() as conn:
        dockings = evidence.dockings(conn, limit)
        if waiting:
            found = [h.docking for h in waits(conn, config)][-limit:]
            dockings = [row for row in (evidence.docking(conn, h) for h in found) if row is not None]
        states = handovers.states(conn, [r.id for r in dockings])
        rows = [{**tell.docking_row(r), **_signature(states.get(r.id))} for r in dockings]
    if as_json:
        common.print_json(rows)
        return
    for r in rows:
        began, state = tell.local(r["opened_at"], config.unit.zone), tell.both(words.STATES, r["state"])
        counts = f"新存 new {r['new']:>5}  失败 failed {r['failed']:>3}"
        signature = tell.both(SIGNATURES, r["signature"]) if r["signature"] else "-"
        where = f"{common.column(r['label'], 16)}  {common.column(state, 18)}"
        common.say(f"{began}  {where}  {counts}  {common.column(signature, 14)}  {r['id']}")


def _signature(handover: Any) -> dict[str, Any]:
    if handover is None:
        return {"handover": None, "signature": None, "signed_at": None}
    return {"handover": handover.docking, "signature": handover.state, "signed_at": handover.signed_at}


@handover_app.command("show")
def handover_show(
    docking: Docking,
    signed: Annotated[bool, typer.Option("--signed", help="As it was signed last, with its continuations.")] = False,
) -> None:
    """Print a docking's hand-over record, as it lies in the vault, if it is still the one that was recorded."""
    from mediad.catalog import evidence
    from mediad.wiring.bureau.handover import signed_record
    from mediad.wiring.look import read_first_vault

    config = common.load_config()
    if signed:
        common.print_raw(signed_record(config, docking))
        return
    with common.ledger(config) as ledger, ledger.catalog.read() as conn:
        row = evidence.docking(conn, docking)
        closed = [e.body() for e in evidence.events_of(conn, docking) if e.kind == "docking.closed"]
    if row is None or not closed:
        raise NotFound(f"{docking} has no hand-over record", hint="`mediad handover list` lists them")
    recorded = closed[-1]["handover"]
    data = read_first_vault(config, recorded["key"])
    if hashlib.sha256(data).hexdigest() != recorded["sha256"]:
        raise IntegrityError(
            f"{recorded['key']} is not the record whose digest stands in the custody log",
            hint="keep it as it is and run `mediad fsck`; a backup of the vault may hold the record",
        )
    common.print_raw(data)


@handover_app.command("pdf")
def handover_pdf(
    docking: Docking,
    output: Output = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="By what is known now, although it is signed.")] = False,
) -> None:
    """Print the page to sign as a PDF: as it was signed, else by what is known now."""
    from mediad.wiring.bureau.handover import page

    common.write_file(page(common.load_config(), docking, fresh=fresh), output)


@handover_app.command("giver")
def handover_giver(
    docking: Docking,
    officer: Annotated[str, typer.Option(help="Certificate or staff number of the carrier.")],
    as_json: AsJson = False,
) -> None:
    """Say who carried what is handed over, where nothing tells it."""
    from mediad.wiring.bureau.handover import name_giver

    told = name_giver(common.load_config(), docking, officer)
    if as_json:
        common.print_json(told)
    else:
        common.say(f"{told['handover']}: 交出人 giver {told['giver']}")


@handover_app.command("sign")
def handover_sign(
    dockings: Annotated[list[str] | None, typer.Argument(help="Dockings (dck-).")] = None,
    giver: Giver = "",
    on_behalf_of: Carrier = "",
    all_before: Annotated[str, typer.Option(help="Instead of ids: all that wait since before this time.")] = "",
    as_json: AsJson = False,
) -> None:
    """Sign as the receiver (接收人); then as who handed over (交出人), who signs the receiver's record. The record, its page and
    each signature are files in the vault."""
    from mediad.cli.registers import moment
    from mediad.wiring.bureau.handover import sign_all, sign_before

    config = common.load_config()
    if bool(dockings) == bool(all_before):
        raise UsageError(
            "give dockings, or --all-before TIME", hint="`mediad handover list --waiting` shows what waits"
        )
    if not all_before:
        _told(sign_all(config, dockings or [], giver=giver, on_behalf_of=on_behalf_of), [], 0, as_json)
        return
    if giver or on_behalf_of:
        raise UsageError("--giver is said of hand-overs that are named", hint="leave --all-before out")
    _told(*sign_before(config, moment(all_before, config.unit.zone)), as_json)


@handover_app.command("correct")
def handover_correct(
    docking: Docking,
    why: Annotated[str, typer.Option(help="What was wrong.")],
    giver: Giver = "",
    on_behalf_of: Carrier = "",
    as_json: AsJson = False,
) -> None:
    """Sign anew what is signed already: the new record supersedes the old one, which stays where it is."""
    from mediad.wiring.bureau.handover import sign_all

    _told(sign_all(common.load_config(), [docking], giver=giver, on_behalf_of=on_behalf_of, why=why), [], 0, as_json)


def _told(signed: list[dict[str, Any]], not_signed: list[dict[str, str]], left: int, as_json: bool) -> None:
    """What came of it; a page that the station could not draw is its failure, what waits for a person is none."""
    from mediad.edges.typst import UNDRAWN

    if as_json:
        common.print_json({"signed": signed, "not_signed": not_signed, "left": left})
    else:
        _say(signed, not_signed, left)
    if any(n["code"] in UNDRAWN for n in not_signed):
        sys.exit(5)


def _say(signed: list[dict[str, Any]], not_signed: list[dict[str, str]], left: int) -> None:
    for s in signed:
        if s["as"] == "giver":
            common.say(f"{s['handover']}: 交出人已签 signed by who handed over, 第 {s['version']} 版  {s['giver']}")
            common.say(f"  {s['page']['key']}")
            continue
        whose = f"（代 on behalf of {s['on_behalf_of']}）" if s["on_behalf_of"] else ""
        common.say(f"{s['handover']}: 已签收 signed, 第 {s['version']} 版  {s['giver']}{whose} → {s['receiver']}")
        common.say(f"  {s['page']['key']}")
    for n in not_signed:
        common.say(f"{n['handover']}: 未签 not signed: {n['why']} -> {n['hint']}")
    if left:
        common.say(f"另有 {left} 件待签 more are waiting: run it again")
    if not signed and not not_signed:
        common.say("没有待签的交接 nothing waits for a signature")


@handover_app.command("ledger")
def handover_ledger(
    month: Annotated[str, typer.Option(help="Year and month, such as 2026-11.")],
    output: Output = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print as CSV.")] = False,
) -> None:
    """Print the register of a month (交接登记簿): as a table, JSON, CSV, or with --output as a PDF."""
    from mediad.model.handover_form import REGISTER, register_cells
    from mediad.wiring.bureau.handover_register import csv_of, pdf_of, register_of

    config = common.load_config()
    rows = register_of(config, month)
    if as_csv:
        common.write_file(csv_of(config, rows), output)
    elif as_json:
        common.print_json(rows)
    elif output is not None:
        common.write_file(pdf_of(config, month, rows), output)
    else:
        cells = [register_cells(n, row, config.unit.zone) for n, row in enumerate(rows, 1)]
        for line in common.table([zh for zh, _ in REGISTER], cells) if cells else []:
            common.say(line)
        common.say(f"{len(rows)} 次交接 hand-overs")
