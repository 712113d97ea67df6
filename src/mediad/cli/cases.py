"""`mediad case check | happened | no-recording | merge | unmerge | conclude | archive | inventory`: what becomes of a case."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mediad.cli import common
from mediad.cli.registers import case_app, moment
from mediad.model.words import MISSING

if TYPE_CHECKING:
    from collections.abc import Sequence

AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
Number = Annotated[str, typer.Argument(metavar="NO", help="Any number of the case, or its id.")]
Activity = Annotated[str, typer.Option(help="Its key in the file of activities (执法环节).")]
Disputed = Annotated[Literal["yes", "no"] | None, typer.Option(help="Whether it easily causes dispute (Article 18).")]


def register(_app: typer.Typer) -> None:
    """The commands are those of `mediad case`, which cli/registers.py adds."""


@case_app.command("check")
def case_check(number: Number, as_json: AsJson = False) -> None:
    """Check what a case still wants: records of activities, their fields, and what the archivist needs. Exit code 1 for
    findings."""
    from mediad.wiring.bureau import casework

    config = common.load_config()
    with common.ledger(config) as ledger, ledger.catalog.read() as conn:
        told = casework.check(conn, config, number)
    if as_json:
        common.print_json(told)
    else:
        common.say(f"{told['number']} {told['name']}")
        _findings(told["findings"])
        common.say(f"{len(told['findings'])} 项 findings" if told["findings"] else "齐全 nothing is missing")
    if told["findings"]:
        sys.exit(1)


def _findings(findings: Sequence[dict[str, Any]]) -> None:
    for f in findings:
        explained = "（已说明原因 explained）" if f["explained"] else ""
        common.say(f"  {MISSING.get(f['code'], f['code'])}{explained}: {f['detail']} ({f['code']})")


@case_app.command("happened")
def case_happened(
    number: Number,
    activity: Activity,
    disputed: Disputed = None,
    equivalent: Annotated[
        str | None, typer.Option(help="What stands in the stead of an audio-visual record (Article 21).")
    ] = None,
    field: Annotated[
        list[str] | None, typer.Option(help="What the activity wants to be told, as name=value; may be repeated.")
    ] = None,
    void: Annotated[bool, typer.Option("--void", help="It was entered by mistake, and never took place.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say that an activity took place in a case."""
    from mediad.wiring.bureau.casework import happened

    told = happened(
        common.load_config(), number, activity, equivalent=equivalent, disputed=None if disputed is None else disputed == "yes",
        fields=dict(common.pair(each) for each in field or ()), void=void,
    )  # fmt: skip
    common.say_done(told, "number", as_json)


@case_app.command("no-recording")
def case_no_recording(
    number: Number,
    activity: Activity,
    reason: Annotated[str, typer.Option(help="Why there is no audio-visual record (Article 13).")],
    as_json: AsJson = False,
) -> None:
    """Give the reason in writing why an activity was not recorded."""
    from mediad.wiring.bureau.casework import happened

    common.say_done(
        happened(common.load_config(), number, activity, act="no-recording", reason=reason), "number", as_json
    )


@case_app.command("merge")
def case_merge(
    number: Number,
    into: Annotated[str, typer.Option(help="Any number of the case that it becomes part of.")],
    as_json: AsJson = False,
) -> None:
    """Make an inspection part of a case: what was recorded for it is the case's from now on."""
    from mediad.wiring.bureau.casework import merge

    common.say_done(merge(common.load_config(), number, into), "number", as_json)


@case_app.command("unmerge")
def case_unmerge(number: Number, as_json: AsJson = False) -> None:
    """Take a merging back: the inspection stands for itself again, with what it had brought."""
    from mediad.wiring.bureau.casework import unmerge

    common.say_done(unmerge(common.load_config(), number), "number", as_json)


@case_app.command("withdraw-number")
def case_withdraw_number(
    number: Number,
    wrong: Annotated[str, typer.Argument(metavar="NUMBER", help="The number that it never had.")],
    as_json: AsJson = False,
) -> None:
    """Take back a number that was entered by mistake: it finds the case no more, and may be another one's."""
    from mediad.wiring.bureau.casework import withdraw_number

    common.say_done(withdraw_number(common.load_config(), number, wrong), "number", as_json)


@case_app.command("conclude")
def case_conclude(
    number: Number,
    at: Annotated[str, typer.Option(help="When it was concluded; else now.")] = "",
    act_ended: Annotated[
        str, typer.Option(help="When the enforcement act ended, if that is not entered yet; else then.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Conclude a case (结案)."""
    from mediad.wiring.bureau.casework import conclude

    config = common.load_config()
    times = [moment(text, config.unit.zone) if text else None for text in (at, act_ended)]
    common.say_done(conclude(config, number, at=times[0], act_ended=times[1]), "number", as_json)


@case_app.command("archive")
def case_archive(
    number: Number,
    file_number: Annotated[str, typer.Option(help="案卷号 or 档号")] = "",
    term: Annotated[str, typer.Option(help="保管期限, such as 永久 or 30年")] = "",
    place: Annotated[str, typer.Option(help="Where the paper file lies.")] = "",
    receiver: Annotated[str, typer.Option(help="接收人")] = "",
    as_json: AsJson = False,
) -> None:
    """Archive a case (归档), the archivist's act: freeze its manifest in the vault. Once more: a supplement with what came
    since."""
    from mediad.model.archive import LOST
    from mediad.wiring.bureau.filing import archive

    told = archive(common.load_config(), number, file_number=file_number, term=term, place=place, receiver=receiver)
    if as_json:
        common.print_json(told)
        return
    _findings(told["findings"])
    if told["lost"]:
        common.say(f"  {LOST}: {told['lost']} (mediad fsck)")
    common.say(f"{number}: {told['said']}  {told['key']}  SHA-256 {told['sha256']}")


@case_app.command("inventory")
def case_inventory(
    number: Number,
    supplement: Annotated[int, typer.Option(help="Which archive: 1, or a supplement; else the newest.")] = 0,
    out: Annotated[Path | None, typer.Option("--csv", help="Write it to this file as CSV.")] = None,
    page: Annotated[Path | None, typer.Option("--pdf", help="Write it to this file as a page to sign.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the list by which a case file is handed over to the archive (归档移交清册)."""
    from mediad.edges.tabular import csv_text
    from mediad.model.archive import COLUMNS, table
    from mediad.model.instants import minute
    from mediad.wiring.bureau.filing import inventory, inventory_page

    config = common.load_config()
    with common.ledger(config) as ledger:
        told = inventory(ledger, config, number, supplement=supplement)
        drawn = inventory_page(ledger, config, number, supplement=supplement) if page is not None else b""
    if out is not None:
        head, *lines = table(told["lines"], config.unit.zone)
        common.write_file(csv_text(head, lines), out)
    if page is not None:
        common.write_file(drawn, page)
    if as_json:
        common.print_json(told)
    elif out is None and page is None:
        act = told["archive"]
        common.say(
            f"归档移交清册 {act['file_number']}  {told['name']}  {act['term']}  接收人 receiver {act['receiver']}"
        )
        shown = ("row", "started_at", "carrier", "file", "sha256")
        cells = [
            [minute(line[c], config.unit.zone) if c == "started_at" else str(line[c]) for c in shown]
            for line in told["lines"]
        ]
        for text in common.table([COLUMNS[c] for c in shown], cells):
            common.say(text)
        common.say(f"{told['recordings']} 条音像记录 recordings, {common.size(told['bytes'])}")
