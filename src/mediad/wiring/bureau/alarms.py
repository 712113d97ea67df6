"""What calls for a person because time has passed: limits, recordings of no case, trips from which nobody said they are back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mediad.catalog import bureau, limits
from mediad.config import Config
from mediad.model.imports import NOTES
from mediad.model.instants import stamp
from mediad.wiring.bureau.rules import built, rules_of_file
from mediad.wiring.bureau.spoken import too_high

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mediad.wiring.station import Station

SOON = timedelta(hours=2)
"""How soon a limit ends that is worth an eye."""

_MOST = 20
_MOST_TABLES = 200
_WORDS = {
    "late": "逾期",
    "late-unexplained": "逾期未说明",
    "untrusted": "时间不可信",
}


def alarms_of(conn: Connection, config: Config, now: datetime) -> list[dict[str, Any]]:
    """As `mediad status` lists them."""
    found = [
        {
            "at": None,
            "code": f"deadline-{what}",
            "subject": rule,
            "detail": f"{_WORDS[what]} {what}: {n} (mediad deadlines)",
        }
        for (rule, what), n in sorted(limits.counts(conn, stamp(now), stamp(now + SOON)).items())
        if what in _WORDS
    ]
    n, oldest = untagged(conn, config, now)
    if n and oldest is not None:
        detail = f"{n} 条记录未关联案件 recordings are of no case yet"
        found.append({"at": oldest.since, "code": "untagged", "subject": oldest.recording, "detail": detail})
    classified = {name: said["classification"] for name, said in limits.said_of_all(conn, "classified").items()}
    found += [
        {"at": None, "code": "classified-above-vault", "subject": name,
         "detail": f"密级超出存储许可 {classified[name]}: higher than may lie in {', '.join(vaults)}"}
        for name, vaults in sorted(too_high(conn, config, classified).items())[:_MOST]
    ]  # fmt: skip
    people = {p.id: p.name for p in bureau.people(conn)}
    for row in limits.overdue_trips(conn, stamp(now))[:_MOST]:
        trip = bureau.trip(conn, row.id)
        who = "、".join(sorted(people.get(p, p) for p in trip.persons)) if trip else ""
        detail = f"外出逾期未登记返回 nobody entered that they are back: {who}".rstrip(": ")
        found.append({"at": row.expected, "code": "trip-overdue", "subject": row.id, "detail": detail})
    found += _tables(conn, config)
    return found


def _tables(conn: Connection, config: Config) -> list[dict[str, Any]]:
    """Inboxes in which tables lie of which not all was taken: one alarm each, with the newest."""
    folders = {inbox.name: inbox.path for inbox in config.inbox}
    bad = bureau.not_all_taken(conn, _MOST_TABLES)
    by: dict[str, list[dict[str, Any]]] = {}
    for each in bad:
        inbox = each.get("inbox")
        if inbox in folders and os.path.lexists(folders[inbox] / each["name"]):
            by.setdefault(inbox, []).append(each)
    return [
        {"at": lie[0]["at"], "code": "table-bad", "subject": inbox,
         "detail": f"{len(lie)} 份表有未导入的行 tables have lines that were not taken, the newest {lie[0]['name']}: "
                   f"{_first(lie[0])} (mediad imports)"}
        for inbox, lie in by.items()
    ]  # fmt: skip


def _first(table: Mapping[str, Any]) -> str:
    bad = next((f for f in table["findings"] if f["code"] not in NOTES), None)
    return "" if bad is None else f"第{bad['line']}行 line {bad['line']}: {bad['detail']}"


def untagged(conn: Connection, config: Config, now: datetime) -> tuple[int, Any]:
    """How many recordings were of no case for longer than the unit lets them, and the oldest of them."""
    rules = built(limits.rules_in_force(conn) or rules_of_file(config), config)
    if rules.untagged is None:
        return 0, None
    return limits.untagged(conn, stamp(now - rules.untagged), stamp(rules.tagged_from) if rules.tagged_from else "")


def deadline_samples(station: Station) -> Iterator[tuple[str, tuple[str, ...], float]]:
    """Metrics of what calls for a person because time has passed."""
    now = station.ledger.clock()
    with station.ledger.catalog.read() as conn:
        counts = limits.counts(conn, stamp(now), stamp(now + SOON))
        bare, _ = untagged(conn, station.config, now)
        trips = len(limits.overdue_trips(conn, stamp(now)))
    for (rule, what), n in counts.items():
        yield "mediad_deadlines", (rule, what), n
    yield "mediad_untagged", (), bare
    yield "mediad_trips_overdue", (), trips
