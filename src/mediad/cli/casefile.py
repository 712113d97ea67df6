"""`mediad case list | show`: cases as people read them, times in the unit's zone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mediad.cli import common
from mediad.cli.registers import Newest, by_and_by, case_app, local, minute, these_are_the_newest
from mediad.model.words import CASE_FORMS, CASE_KINDS

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from mediad.model.cases import Case

AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]

_TIMES = {
    "opened": "立案 opened",
    "reported": "补报 reported",
    "act_ended": "行为终结 act ended",
    "concluded": "结案 concluded",
}


def register(_app: typer.Typer) -> None:
    """The commands are those of `mediad case`, which cli/registers.py adds."""


@case_app.command("list")
def case_list(limit: Newest = None, as_json: AsJson = False) -> None:
    """List cases, the last to be opened first."""
    from mediad.catalog import bureau

    config = common.load_config()
    with common.ledger(config) as ledger:
        with ledger.catalog.read() as conn:
            ids, names = bureau.newest_cases(conn), {p.id: p.name for p in bureau.people(conn)}
        found = (_row(c, names, config.unit.zone) for c in by_and_by(ledger.catalog, bureau.cases, ids, limit, as_json))
        if as_json:
            common.print_json_list(found)
            return
        for r in found:
            number = r["numbers"][0]["number"] if r["numbers"] else r["id"]
            kind = f"{CASE_KINDS[r['kind']]} {r['kind']}"
            standing = common.column(_standing(r), 17)
            common.say(f"{common.column(number, 26)} {kind:13} {_day(r['opened']):10} {standing}  {r['name']}")
        common.say(f"{len(ids)} 件 cases{these_are_the_newest(ids, limit)}")


@case_app.command("show")
def case_show(
    number: Annotated[str, typer.Argument(help="Any of its numbers, or its id.")], as_json: AsJson = False
) -> None:
    """Show a case."""
    from mediad.catalog import bureau
    from mediad.wiring.bureau.casework import belongings
    from mediad.wiring.bureau.tagging import named

    config = common.load_config()
    zone = config.unit.zone
    with common.ledger(config) as ledger, ledger.catalog.read() as conn:
        case = named(conn, number)
        names = {p.id: p.name for p in bureau.people(conn)}
        told = {**_row(case, names, zone), **belongings(conn, case, zone)}
    if as_json:
        common.print_json(told)
        return
    for line in _lines(told):
        common.say(line)


def _row(case: Case, names: Mapping[str, str], zone: ZoneInfo) -> dict[str, Any]:
    from mediad.model.registers import case_json

    archived = case.archived
    return {
        "id": case.id, **case_json(case), "handlers": [names.get(h, h) for h in sorted(case.handlers)],
        "opened": local(case.opened, zone), "reported": local(case.reported, zone),
        "act_ended": local(case.act_ended, zone), "concluded": local(case.concluded, zone),
        **({"archived": case_json(case)["archived"] | {"at": local(archived.at, zone)}} if archived else {}),
    }  # fmt: skip


def _day(time: str | None) -> str:
    return (time or "")[:10]


def _standing(row: Mapping[str, Any]) -> str:
    if row["merged_into"]:
        return "已并入 merged"
    if row["archived"]:
        return "已归档 archived"
    return "已结案 concluded" if row["concluded"] else "办理中 open"


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    yield f"{CASE_FORMS[told['form']]} {told['form']} {told['id']}  {CASE_KINDS[told['kind']]} {told['kind']}  {_standing(told)}"
    for n in told["numbers"]:
        yield f"  {n['type']} number: {n['number']}"
    for key, words in (("name", "名称 name"), ("party", "当事人 party"), ("department", "承办机构 department")):
        if told[key]:
            yield f"  {words}: {told[key]}"
    if told["handlers"]:
        yield f"  承办人 handlers: {'、'.join(told['handlers'])}"
    if told["urgent"]:
        yield "  情况紧急，先行启动 begun in an emergency"
    for key, words in _TIMES.items():
        if told[key]:
            yield f"  {words}: {minute(told[key])}"
    if told["merged_into"]:
        yield f"  并入 merged into: {told['merged_into']}"
    for other in told["merged"]:
        yield f"  已并入本案 part of it: {other}"
    yield f"  音像记录 recordings: {len(told['recordings'])}"
    for r in told["recordings"]:
        activities = " ".join(sorted(set(r["activities"])))
        yield f"    {minute(r['started_at'])}  {r['recorder']}  {r['id']}  {activities}".rstrip()
    for a in told["activities"]:
        why = a["reason"] or a["equivalent"]
        yield f"  环节 activity {a['activity']}" + (f": {why}" if why else "")
    if archived := told["archived"]:
        yield f"  归档 archived: {minute(archived['at'])}  案卷号 {archived['file_number']}  保管期限 {archived['term']}"
        yield f"    存放 place: {archived['place']}  接收人 receiver: {archived['receiver']}"
    for each in told["archives"]:
        yield f"  清单 manifest {each['number']}: {minute(each['at'])}  {each['key']}"
