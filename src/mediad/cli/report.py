"""`mediad report`: the month in figures."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mediad.cli import common
from mediad.errors import UsageError


class By(StrEnum):
    DEPARTMENT = "department"
    OFFICER = "officer"
    RECORDER = "recorder"


def register(app: typer.Typer) -> None:
    app.command()(report)


def report(
    month: Annotated[str, typer.Option(help="The month, such as 2026-11.")],
    by: Annotated[By, typer.Option(help="A row for each department, officer or recorder.")] = By.DEPARTMENT,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print as CSV, for a spreadsheet.")] = False,
    pdf: Annotated[str, typer.Option(metavar="FILE", help="Write a printable report with charts to this file.")] = "",
) -> None:
    """The month in figures (Articles 34 and 35): recordings, on time or late, recorders, cases."""
    from mediad.wiring.bureau import report as made_by
    from mediad.wiring.bureau import typed

    if as_json + as_csv + bool(pdf) > 1:
        raise UsageError("--json, --csv and --pdf are three forms of one report", hint="give one of them")
    config = common.load_config()
    wanted = typed.month(month, config.unit.zone)
    with common.ledger(config) as ledger, ledger.catalog.read() as conn:
        made = made_by.make(conn, config, wanted, by.value, ledger.clock())
    if as_json:
        common.print_json(made_by.as_json(made, config))
    elif as_csv:
        common.print_raw(made_by.as_csv(made))
    elif pdf:
        common.write_file(made_by.as_pdf(made, config), Path(pdf))
        common.say(f"{pdf}: {wanted.name}")
    else:
        _print(made_by.as_json(made, config))


_SHOWN = (
    ("recordings", "记录 recordings"), ("on_time_first", "按时1 on time 1"), ("on_time_second", "按时2 on time 2"),
    ("late_with_reason", "逾期有说明 late, reason"), ("late_without_reason", "逾期无说明 late, none"),
    ("untrusted", "时间不可信 untrusted"), ("not_applicable", "不适用 n/a"), ("pending", "未定 pending"),
    ("untagged", "无案件 no case"), ("not_back", "未归还 not back"), ("lost", "丢失 lost"), ("broken", "损坏 broken"),
    ("cases", "案件 cases"), ("cases_incomplete", "不全 incomplete"), ("archived_late", "逾期归档 archived late"),
)  # fmt: skip


def _print(answer: dict[str, object]) -> None:
    rows = answer["rows"]
    assert isinstance(rows, list)  # noqa: S101
    common.say(f"{answer['unit']} · {answer['month']} · {answer['made_at']}")
    for row in [*rows, {"name": "合计 total", **answer["total"]}]:  # type: ignore[dict-item]
        rate = "" if row["on_time_percent"] is None else f" · 按时率 on time {row['on_time_percent']}%"
        common.say(f"{row['name']}  {row['hours']} h · {common.size(row['bytes'])}{rate}")
        common.say("    " + " · ".join(f"{words} {row[key]}" for key, words in _SHOWN if row[key]))
    if answer["unstored"]:
        common.say(f"未入库 seen on recorders and not stored: {answer['unstored']}")
