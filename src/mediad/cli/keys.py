"""`mediad key`: the public keys with which people sign."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from mediad.cli import common
from mediad.cli.acts import SignatureFile
from mediad.cli.registers import AsJson, local
from mediad.errors import UsageError

key_app = typer.Typer(help="Public keys with which people sign (签名公钥).", no_args_is_help=True)

Person = Annotated[str, typer.Argument(metavar="PERSON", help="Whose key: certificate or staff number, or account.")]
KeyFile = Annotated[
    Path,
    typer.Option(
        "--key", parser=common.given_path, metavar="FILE", help="The public key (.pub); - for standard input."
    ),
]


YEARS_END = 3000


def register(app: typer.Typer) -> None:
    app.add_typer(key_app, name="key")


@key_app.command("list")
def key_list(as_json: AsJson = False) -> None:
    """List keys: whose, from when, until when, and who vouched for them."""
    from mediad.catalog import bureau, keys

    config = common.load_config()
    with common.ledger(config) as ledger, ledger.catalog.read() as conn:
        names = {p.id: p.name for p in bureau.people(conn)}
        now = ledger.clock()
        known = keys.keys(conn)
    rows = [
        {
            "id": k.id, "person": names.get(k.person, k.person), "fingerprint": k.fingerprint, "public": k.detail["public"],
            "from": local(k.since, config.unit.zone), "until": local(k.until, config.unit.zone),
            "state": "in-force" if k.in_force(now) else "withdrawn" if k.withdrawn else "expired",
            "why": k.detail.get("why", ""), "by": names.get(k.registered_by, k.registered_by),
            "approved_by": names.get(k.approved_by, k.approved_by) or None,
        }
        for k in known
    ]  # fmt: skip
    if as_json:
        common.print_json(rows)
        return
    words = {"in-force": "有效 in force", "withdrawn": "已撤销 withdrawn", "expired": "已到期 expired"}
    for r in rows:
        vouched = r["approved_by"] or "无 nobody (首个 first)"
        who, state = common.column(str(r["person"]), 10), common.column(words[str(r["state"])], 18)
        common.say(f"{who} {state} {r['fingerprint']}  登记 by {r['by']}  批准 approved by {vouched}")
    common.say(f"{len(rows)} 把公钥 keys")


@key_app.command("statement")
def key_statement(person: Person, key: KeyFile) -> None:
    """Print what a person signs with their new key."""
    from mediad.wiring.bureau.keys import statement

    common.print_raw(statement(common.load_config(), person, common.read_text(key)))


@key_app.command("add")
def key_add(
    person: Person,
    key: KeyFile,
    signature: SignatureFile,
    until: Annotated[str, typer.Option(help="Last day on which it is in force; else until it is withdrawn.")] = "",
) -> None:
    """Register a person's key: another person than the one whose it is. An approver signs for it. Both files may come on standard
    input, the key first."""
    from mediad.wiring.bureau.keys import add

    config = common.load_config()
    end = _end(until, config.unit.zone) if until else None
    public = common.read_text(key)
    if str(key) == str(signature) == "-":
        public, _, signed = public.partition("\n")
    else:
        signed = common.read_text(signature)
    done = add(config, person, public, signed, until=end)
    if done.waits:
        common.say(f"待签 waits for {', '.join(done.wants)}: {done.waits}")
        return
    common.say(f"{done.drafts[0].subject}: 已登记 registered")
    common.tell(
        "注意 note: no approver has a key yet, so none has signed for this one; write its fingerprint down on paper"
    )


@key_app.command("withdraw")
def key_withdraw(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its fingerprint (SHA256:...) or id (key-).")],
    why: Annotated[str, typer.Option(help="Why it is not to count any more.")],
) -> None:
    """A key is lost, or its person has left: it does not count any more. What it has signed stays signed."""
    from mediad.wiring.bureau.keys import withdraw

    common.say(f"{withdraw(common.load_config(), key, why).fingerprint}: 已撤销 withdrawn")


def _end(text: str, zone: ZoneInfo) -> datetime:
    """The end of a day of the unit's zone. Raises UsageError."""
    from mediad.model import columns

    found = columns.day(text)
    if not isinstance(found, date) or found.year >= YEARS_END:
        raise UsageError(f"{text} is no day", hint="write it like 2027-11-24")
    return datetime.combine(found + timedelta(days=1), time(), zone)
