"""`mediad trip add | return | void | approve | list`: who is away, and back."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mediad.cli import common
from mediad.cli.acts import SignatureFile
from mediad.cli.registers import AsJson, Newest, by_and_by, enter, local, minute, moment, these_are_the_newest, trip_app

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo

    from mediad.model.registers import TripEntry


def register(_app: typer.Typer) -> None:
    """The commands are those of `mediad trip`, which cli/registers.py adds."""


@trip_app.command("add")
def trip_add(
    officer: Annotated[list[str], typer.Option(help="Certificate number; may be repeated.")],
    left: Annotated[str, typer.Option(help="When they left, such as 2026-11-24 08:00.")],
    expected: Annotated[str, typer.Option(help="When they are expected back.")],
    returned: Annotated[str | None, typer.Option(help="When they came back, if they did.")] = None,
    reason: Annotated[str, typer.Option(help="事由")] = "",
    recorder: Annotated[list[str] | None, typer.Option(help="Recorder that is away; may be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """Enter a trip. What is entered after the limit (补登) waits for an approver: `mediad trip approve`."""
    cells = {
        "officers": ";".join(officer), "left": left, "expected": expected, "returned": returned, "reason": reason,
        "recorders": ";".join(recorder) if recorder else None,
    }  # fmt: skip
    enter("trips", cells, as_json)
    from mediad.wiring.station import now

    config = common.load_config()
    limit = moment(left, config.unit.zone) + timedelta(hours=config.deadlines.storage_hours)
    if limit < now() and config.deadlines.backdated_trips == "approve":
        common.tell(
            "补登 entered later: where a limit had passed by now it counts when an approver agrees (mediad trip approve)"
        )


@trip_app.command("return")
def trip_return(
    trip: Annotated[str, typer.Argument(metavar="TRIP", help="The trip (trp-).")],
    at: Annotated[str, typer.Option(help="When they came back; else now.")] = "",
    as_json: AsJson = False,
) -> None:
    """They are back."""
    from mediad.wiring.bureau.trips import come_back

    config = common.load_config()
    told = come_back(config, trip, moment(at, config.unit.zone) if at else None)
    common.say_done(told, "id", as_json)


@trip_app.command("void")
def trip_void(
    trip: Annotated[str, typer.Argument(metavar="TRIP", help="The trip (trp-).")],
    reason: Annotated[str, typer.Option(help="Why it never was.")],
    as_json: AsJson = False,
) -> None:
    """It was entered by mistake."""
    from mediad.wiring.bureau.trips import make_void

    common.say_done(make_void(common.load_config(), trip, reason), "id", as_json)


@trip_app.command("approve")
def trip_approve(
    trip: Annotated[str, typer.Argument(metavar="TRIP", help="The trip (trp-).")],
    signature: SignatureFile,
    as_json: AsJson = False,
) -> None:
    """Agree to a trip that was entered late (补登): an approver signs what `mediad acts statement TRIP --as approver` prints."""
    from mediad.wiring.bureau.trips import approve

    common.say_done(approve(common.load_config(), trip, common.read_text(signature)), "id", as_json)


@trip_app.command("list")
def trip_list(
    still_open: Annotated[bool, typer.Option("--open", help="Only those who are not back.")] = False,
    limit: Newest = None,
    as_json: AsJson = False,
) -> None:
    """List trips, the last to leave first."""
    from mediad.catalog import bureau

    config = common.load_config()
    with common.ledger(config) as ledger:
        with ledger.catalog.read() as conn:
            ids = bureau.newest_trips(conn, still_open=still_open)
            names = {p.id: p.name for p in bureau.people(conn)}
        trips = by_and_by(ledger.catalog, bureau.trips, ids, limit, as_json)
        found = (_row(trip, names, config.unit.zone) for trip in trips)
        if as_json:
            common.print_json_list(found)
            return
        for r in found:
            back = "作废 void" if r["void"] else minute(r["returned"]) or "未归 away"
            common.say(
                f"{minute(r['left'])} → {back:16} {common.column('、'.join(r['officers']), 20)} {r['reason']}  {r['id']}"
            )
        common.say(f"{len(ids)} 次外出 trips{these_are_the_newest(ids, limit)}")


def _row(trip: TripEntry, names: Mapping[str, str], zone: ZoneInfo) -> dict[str, Any]:
    return {
        "id": trip.id, "officers": [names.get(p, p) for p in sorted(trip.persons)], "recorders": sorted(trip.recorders),
        "left": local(trip.left, zone), "expected": local(trip.expected, zone), "returned": local(trip.returned, zone),
        "reason": trip.reason, "void": trip.void, "approved_by": names.get(trip.approved_by) or trip.approved_by or None,
    }  # fmt: skip
