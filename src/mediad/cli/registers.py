"""`mediad officer | department | trip | case`: registers, by single entries and by tables."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

import typer

from mediad.cli import common
from mediad.errors import UsageError
from mediad.model.instants import rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mediad.catalog.db import Catalog
    from mediad.config import Config
    from mediad.model.imports import Plan
    from mediad.wiring.bureau.acts import Performed


class _Entry(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=_Entry)

officer_app = typer.Typer(help="Registered people (执法人员 and others).", no_args_is_help=True)
department_app = typer.Typer(help="Departments (科室).", no_args_is_help=True)
trip_app = typer.Typer(help="Trips (外出).", no_args_is_help=True)
case_app = typer.Typer(help="Cases and enforcement activities (案件, 执法活动).", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
Newest = Annotated[
    int | None, typer.Option("--limit", min=1, help="Only the newest so many; else 50 as a table, all as JSON.")
]
_A_PAGE = 50
Table = Annotated[
    Path, typer.Argument(help="A table: CSV or JSON, UTF-8 or GB18030.", parser=common.given_path, metavar="TABLE")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")]
Good = Annotated[bool, typer.Option("--good", help="Take the good lines although others are bad.")]
Back = Annotated[
    bool, typer.Option("--back", help="Take also what goes back to what it was before, as in an older table.")
]


def register(app: typer.Typer) -> None:
    app.add_typer(officer_app, name="officer")
    app.add_typer(department_app, name="department")
    app.add_typer(trip_app, name="trip")
    app.add_typer(case_app, name="case")
    app.command()(imports)


# --- tables ---------------------------------------------------------------------------------------------------------


@officer_app.command("import")
def officer_import(
    table: Table, dry_run: DryRun = False, good: Good = False, back: Back = False, as_json: AsJson = False
) -> None:
    """Import people: certificate number, name, department, and what else is told. Exit code 2 if nothing was taken."""
    _import("people", table, dry_run, good, back, as_json)


@department_app.command("import")
def department_import(
    table: Table, dry_run: DryRun = False, good: Good = False, back: Back = False, as_json: AsJson = False
) -> None:
    """Import departments, each perhaps with a producing unit of its own. Exit code 2 if nothing was taken."""
    _import("departments", table, dry_run, good, back, as_json)


@trip_app.command("import")
def trip_import(
    table: Table, dry_run: DryRun = False, good: Good = False, back: Back = False, as_json: AsJson = False
) -> None:
    """Import trips: officers, when they left, are expected and came back. Exit code 2 if nothing was taken."""
    _import("trips", table, dry_run, good, back, as_json)


@case_app.command("import")
def case_import(
    table: Table, dry_run: DryRun = False, good: Good = False, back: Back = False, as_json: AsJson = False
) -> None:
    """Import cases: numbers, name, kind, and what else is told. Exit code 2 if nothing was taken."""
    _import("cases", table, dry_run, good, back, as_json)


def _import(what: str, table: Path, dry_run: bool, good: bool, back: bool, as_json: bool) -> None:
    from mediad.model.imports import NOTES
    from mediad.wiring.bureau import registers

    config = common.load_config()
    if dry_run:
        with common.ledger(config) as ledger:
            plan, performed = registers.preview(ledger, config, what, table, back=back), None
    else:
        plan, performed = registers.take(config, what, table, good=good, back=back)
    refused = any(f.code not in NOTES for f in plan.findings)
    taken = performed is not None
    if as_json:
        common.print_json(_as_json(what, plan, performed, taken))
    else:
        if dry_run:
            _preview(config, what, plan)
        _print(plan, performed, dry_run, taken)
    if refused and not (good and not dry_run):
        sys.exit(2)


def _as_json(what: str, plan: Plan[Any], performed: Performed | None, taken: bool) -> dict[str, Any]:
    from mediad.model.imports import turned

    return {
        "taken": taken, "new": sum(c.new for c in plan.changes), "changed": sum(not c.new for c in plan.changes),
        "same": plan.same, "waits": performed.waits or None if performed else None,
        "changes": [
            {"line": c.line, "id": c.entry.id, "new": c.new, "fields": list(c.fields),
             "turned": {name: list(values) for name, values in turned(what, c).items()}}
            for c in plan.changes
        ],
        "findings": [{"line": f.line, "code": f.code, "detail": f.detail} for f in plan.findings],
    }  # fmt: skip


def _preview(config: Config, what: str, plan: Plan[Any]) -> None:
    """Each entry that is new, and each field that would be different."""
    from mediad.catalog import bureau
    from mediad.model.imports import turned

    with common.ledger(config) as ledger, ledger.catalog.read() as conn:
        names = {person.id: person.name for person in bureau.people(conn)}
        names |= {each.id: each.name for each in (*bureau.departments(conn), *plan.departments)}
    for c in plan.changes:
        called = getattr(c.entry, "name", "") or c.entry.id
        common.say(f"  第{c.line}行 line {c.line}: {'新增 new' if c.new else '变更 changed'} {called}")
        for name, values in turned(what, c).items():
            at = [getattr(entry, name) for entry in (c.before, c.entry)]
            timed = any(isinstance(each, datetime) for each in at)
            shown = [minute(local(each, config.unit.zone)) for each in at] if timed else values
            common.say(f"    {name}: {' → '.join(_said(each, names) for each in shown)}")


def _said(value: Any, names: Mapping[str, str]) -> str:
    match value:
        case list():
            return "、".join(_said(each, names) for each in value) or "无"
        case dict():
            return " ".join(str(each) for each in value.values() if each)
        case bool():
            return "是" if value else "否"
        case _:
            return names.get(value, str(value)) if value else "无"


def _print(plan: Plan[Any], performed: Performed | None, dry_run: bool, taken: bool) -> None:
    from mediad.model.imports import NOTES

    for f in plan.findings:
        common.say(f"  第{f.line}行 line {f.line}: {f.detail} ({f.code})")
    new, bad = sum(c.new for c in plan.changes), len({f.line for f in plan.findings if f.code not in NOTES})
    word = "将会 would be: " if dry_run else "" if taken or not plan.changes else "未导入 nothing was taken: "
    common.say(
        f"{word}新增 new {new} · 变更 changed {len(plan.changes) - new} · 不变 same {plan.same} · 有误 bad {bad}"
    )
    if performed is not None and performed.waits:
        common.say(f"待签 waits for {', '.join(performed.wants)}: {performed.waits}")
    if performed is not None and performed.actor.person is None:
        common.tell(f"注意 note: the account {performed.actor.login} belongs to no registered person")


def imports(limit: Annotated[int, typer.Option(help="Only the newest so many.")] = 20, as_json: AsJson = False) -> None:
    """List tables that were imported, with what was wrong with them."""
    from mediad.catalog import acts as memory
    from mediad.catalog import bureau

    config = common.load_config()
    with common.ledger(config) as ledger, ledger.catalog.read() as conn:
        rows = bureau.imports(conn, limit)
        waiting = {act["id"] for act in memory.listed(conn, waiting=True)}
    if as_json:
        common.print_json(rows)
        return
    for r in rows:
        at = minute(local(datetime.fromisoformat(r["at"]), config.unit.zone))
        word = "已导入 taken" if r["taken"] else "未导入 not taken"
        if r.get("waits") in waiting:
            word = f"待签 waits for signatures ({r['waits']})"
        common.say(
            f"{at} {word} {r['what']:11} {r['name']}: 新增 new {r['new']}, 变更 changed {r['changed']}, 有误 bad {r['bad']}"
        )
        for f in r["findings"]:
            common.say(f"    第{f['line']}行 line {f['line']}: {f['detail']} ({f['code']})")
    common.say(f"{len(rows)} 次导入 imports")


# --- single entries -------------------------------------------------------------------------------------------------


def enter(what: str, cells: dict[str, str | None], as_json: bool) -> None:
    """One entry: what is None is not told."""
    from mediad.wiring.bureau import registers

    told = {name: value for name, value in cells.items() if value is not None}
    plan, performed = registers.enter(common.load_config(), what, told)
    if as_json:
        common.print_json(_as_json(what, plan, performed, performed is not None))
    elif performed is None:
        common.say("不变 this is registered already")
    else:
        _print(plan, performed, dry_run=False, taken=True)
        for c in plan.changes:
            common.say(c.entry.id)


@officer_app.command("add")
def officer_add(
    name: Annotated[str, typer.Option(help="姓名")],
    certificate: Annotated[
        str, typer.Option(help="执法证件编号; else --staff-number or --login names the person.")
    ] = "",
    formerly: Annotated[
        str | None, typer.Option(help="A certificate number that this person had before, and is known by.")
    ] = None,
    staff_number: Annotated[str, typer.Option(help="Number of somebody without a certificate.")] = "",
    login: Annotated[str | None, typer.Option(help="Account; several are parted by commas.")] = None,
    department: Annotated[str | None, typer.Option(help="科室")] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(
            help="officer, dock-operator, archivist, storage-administrator, approver or auditor; may be repeated."
        ),
    ] = None,
    device_number: Annotated[str | None, typer.Option(help="User number as it stands in names of files.")] = None,
    begins: Annotated[str | None, typer.Option("--from", help="First day of these numbers.")] = None,
    until: Annotated[str | None, typer.Option(help="Last day of these numbers.")] = None,
    device_from: Annotated[str | None, typer.Option(help="First day of the user number, if it is another.")] = None,
    device_until: Annotated[str | None, typer.Option(help="Last day of the user number, if it is another.")] = None,
    position: Annotated[str | None, typer.Option(help="职务")] = None,
    mail: Annotated[str | None, typer.Option(help="邮箱: where messages about limits go.")] = None,
    wecom: Annotated[str | None, typer.Option(help="Account in 企业微信.")] = None,
    dingtalk: Annotated[str | None, typer.Option(help="Account in 钉钉.")] = None,
    shared: Annotated[bool, typer.Option("--shared", help="An account that several people use.")] = False,
    left: Annotated[bool, typer.Option("--left", help="No longer active.")] = False,
    as_json: AsJson = False,
) -> None:
    """Register a person, or change what is told of one."""
    cells = {
        "certificate": certificate or None, "formerly": formerly, "name": name, "staff_number": staff_number or None,
        "login": login, "department": department, "roles": None if role is None else ";".join(role), "from": begins,
        "until": until, "device_number": device_number, "device_from": device_from, "device_until": device_until,
        "position": position, "shared": "yes" if shared else None, "active": "no" if left else None, "mail": mail,
        "wecom": wecom, "dingtalk": dingtalk,
    }  # fmt: skip
    enter("people", cells, as_json)


@officer_app.command("list")
def officer_list(as_json: AsJson = False) -> None:
    """List registered people."""
    from mediad.catalog import bureau
    from mediad.model.registers import person_json

    config = common.load_config()
    with common.ledger(config) as ledger, ledger.catalog.read() as conn:
        people = bureau.people(conn)
        departments = {d.id: d.name for d in bureau.departments(conn)}
        today = ledger.clock().astimezone(config.unit.zone).date()
    if as_json:
        common.print_json([{"id": p.id, **person_json(p), "department": departments.get(p.department)} for p in people])
        return
    for p in people:
        mark = " " if p.active else "×"
        roles = ",".join(sorted(p.roles))
        common.say(
            f"{mark} {p.certificate(today) or p.key:14} {common.column(p.name, 10)}"
            f" {common.column(departments.get(p.department, ''), 16)} {roles}"
        )
    common.say(f"{len(people)} 人 people")


@department_app.command("add")
def department_add(
    name: Annotated[str, typer.Argument(help="名称")],
    unit: Annotated[str | None, typer.Option(help="制作单位, if it is not the station's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Register a department, or give it another producing unit."""
    enter("departments", {"name": name, "unit": unit}, as_json)


@department_app.command("list")
def department_list(as_json: AsJson = False) -> None:
    """List departments."""
    from mediad.catalog import bureau

    config = common.load_config()
    with common.ledger(config) as ledger, ledger.catalog.read() as conn:
        departments = bureau.departments(conn)
    if as_json:
        common.print_json(
            [{"id": d.id, "name": d.name, "unit": d.unit or config.unit.name, "active": d.active} for d in departments]
        )
        return
    for d in departments:
        common.say(f"{common.column(d.name, 16)} {d.unit or config.unit.name}")


@case_app.command("add")
def case_add(
    number: Annotated[
        str, typer.Option(help="编号 (another type: --filing-number, --inspection-number, --document-number).")
    ] = "",
    name: Annotated[str, typer.Option(help="名称; of a new one.")] = "",
    kind: Annotated[
        str, typer.Option(help="licensing, penalty, compulsion or inspection (许可, 处罚, 强制, 检查); of a new one.")
    ] = "",
    filing_number: Annotated[str | None, typer.Option(help="立案号")] = None,
    inspection_number: Annotated[str | None, typer.Option(help="检查编号")] = None,
    document_number: Annotated[str | None, typer.Option(help="文号")] = None,
    form: Annotated[str | None, typer.Option(help="case or activity (案件, 执法活动).")] = None,
    party: Annotated[str | None, typer.Option(help="当事人")] = None,
    handler: Annotated[list[str] | None, typer.Option(help="Certificate number of a 承办人; may be repeated.")] = None,
    department: Annotated[str | None, typer.Option(help="承办机构")] = None,
    opened: Annotated[str | None, typer.Option(help="When it was opened.")] = None,
    urgent: Annotated[bool, typer.Option("--urgent", help="Begun in an emergency (Article 8).")] = False,
    reported: Annotated[str | None, typer.Option(help="When an urgent one was reported.")] = None,
    act_ended: Annotated[str | None, typer.Option(help="When the enforcement act ended.")] = None,
    concluded: Annotated[str | None, typer.Option(help="When it was concluded.")] = None,
    merged_into: Annotated[str | None, typer.Option(help="Number of the case that took it over.")] = None,
    as_json: AsJson = False,
) -> None:
    """Register a case, or change what is told of one: any of its numbers finds it."""
    cells = {
        "number": number or None, "name": name, "kind": kind, "filing_number": filing_number,
        "inspection_number": inspection_number, "document_number": document_number, "form": form, "party": party,
        "handlers": None if handler is None else ";".join(handler), "department": department, "opened": opened,
        "urgent": "yes" if urgent else None, "reported": reported, "act_ended": act_ended, "concluded": concluded,
        "merged_into": merged_into,
    }  # fmt: skip
    enter("cases", cells, as_json)


# --- what they share ------------------------------------------------------------------------------------------------


def moment(text: str, zone: ZoneInfo) -> datetime:
    """A time of the unit's zone as a person types it. Raises UsageError."""
    from mediad.model import columns

    found = columns.moment(text, zone)
    if not isinstance(found, datetime):
        raise UsageError(f"{text or 'an empty text'} is no time", hint="write it like 2026-11-24 09:30")
    return found


def by_and_by(
    catalog: Catalog,
    read: Callable[[Any, Sequence[str]], Iterable[T]],
    ids: Sequence[str],
    limit: int | None,
    as_json: bool,
) -> Iterator[T]:
    """Entries in the order of their ``ids``, some hundreds at a time: whoever reads slowly holds neither all of them nor the
    catalogue."""
    from mediad.catalog.chunks import chunks

    for some in chunks(ids[: limit or (None if as_json else _A_PAGE)]):
        with catalog.read() as conn:
            found = {entry.id: entry for entry in read(conn, some)}
        yield from (found[each] for each in some if each in found)


def these_are_the_newest(ids: Sequence[str], limit: int | None) -> str:
    """What is said below a table that leaves some out."""
    return "，以上为最近的 these are the newest" if len(ids) > (limit or _A_PAGE) else ""


def minute(time: str | None) -> str:
    """A time to the minute, as tables show it."""
    return (time or "")[:16].replace("T", " ")


def local(at: datetime | None, zone: ZoneInfo) -> str | None:
    """A time as people read it."""
    return None if at is None else rfc3339(at, zone)
