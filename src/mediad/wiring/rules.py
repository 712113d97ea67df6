"""The unit's limits at work: what is due to be ruled on, and what everything comes to now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from mediad.catalog import bureau, due, limits
from mediad.config import Config
from mediad.edges import files
from mediad.edges.holidays import load_calendar
from mediad.model import reasons
from mediad.model.backoff import put_off
from mediad.model.deadline import Status
from mediad.stages import rule
from mediad.stages.rule import Rules

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mediad.wiring.station import Station

RULE_LOCK = "rule.lock"
"""Held while rulings are worked out and recorded: two at once would record the same."""

_OWNER = "rule"
_SOME = 500


def rules_of(config: Config) -> Rules:
    """The limits as the configuration has them. Raises ConfigError for a calendar that cannot be read."""
    zone = config.unit.zone
    calendar = load_calendar(config.deadlines.calendar)
    return Rules(config.deadlines.storage(zone), config.deadlines.cases(zone, calendar), zone)


def work_off(station: Station) -> int:
    """Rule on everything that is due, and record what is new; returns how much was. Raises Busy if another process is at it."""
    ledger, rules = station.ledger, rules_of(station.config)
    recorded = 0
    with files.locked(station.locks / RULE_LOCK, busy="another process is working out limits", wait_seconds=10.0):
        while not station.stop.is_set():
            with ledger.catalog.read() as conn:
                # Whoever took some before is gone: only one at a time holds the lock.
                seen = due.waiting(conn, due.RULE, ledger.clock(), live=(), limit=_SOME)
            if not seen:
                break
            rows = ledger.catalog.write(partial(_take, seen, ledger.clock()))
            recorded += rule.run(ledger, rules, [row.subject for row in rows])
            ledger.catalog.write(partial(_answered, rows))
    return recorded


def _take(seen: Sequence[Any], now: datetime, conn: Connection) -> list[Any]:
    return due.take(conn, seen, _OWNER, now, put_off)


def _answered(rows: Sequence[Any], conn: Connection) -> None:
    for row in rows:  # what became due anew meanwhile is nobody's, and stays
        due.done(conn, due.RULE, row.subject, _OWNER)


def standing(conn: Connection, rules: Rules) -> dict[tuple[str, str], dict[str, Any]]:
    """Every ruling by rule and subject as it is now: what stands, and what is due to be ruled on worked out on the spot."""
    bodies = limits.bodies(conn)
    waiting = [*due.subjects(conn, due.RULE), *limits.without_ruling(conn)]
    for each in rule.rule_on(conn, rules, waiting):
        bodies[each.ruling.rule, each.ruling.subject] = each.body()
    return bodies


def status(body: dict[str, Any], now: datetime) -> Status:
    """What a ruling comes to at a moment."""
    if body["state"] != "waiting":
        return Status(body["state"])
    return Status.DUE if body["due_at"] and now <= datetime.fromisoformat(body["due_at"]) else Status.LATE


def shown(conn: Connection, rules: Rules, now: datetime) -> Iterable[dict[str, Any]]:
    """As `mediad deadlines --json` prints them: in the order of rule, limit and subject."""
    people = {p.id: p.name for p in bureau.people(conn)}
    listed = sorted(standing(conn, rules).items(), key=lambda item: (item[0][0], item[1]["due_at"] or "", item[0][1]))
    for (name, subject), body in listed:
        yield {
            "rule": name, "subject": subject, "due_at": _local(body["due_at"], rules), "met_at": _local(body["met_at"], rules),
            "status": status(body, now).value, "reason": reasons.sentence(body["reason"], tuple(body["remarks"]), body["why"]),
            "code": body["reason"], "remarks": body["remarks"], "limb": body["limb"] or None, "trip": body["trip"] or None,
            "ended_at": _local(body["ended_at"], rules), "carrier": people.get(body["carrier"]),
            **{k: body[k] for k in ("path", "docking", "recording") if k in body},
        }  # fmt: skip


def _local(text: str | None, rules: Rules) -> str | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(rules.zone).isoformat()
