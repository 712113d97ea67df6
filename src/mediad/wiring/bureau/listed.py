"""Recordings as commands list them: with who carried the recorder, their limit, and what people said of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from mediad.catalog import bureau, evidence, limits, tags
from mediad.config import Config
from mediad.model.calendar import day_of
from mediad.model.deadline import STORAGE
from mediad.model.instants import rfc3339
from mediad.model.people import Person, bearers
from mediad.model.when import when
from mediad.wiring.bureau.rules import brief, fresh, rules_of, storage_standing

if TYPE_CHECKING:
    from sqlalchemy import Connection

SET = "set"
"""Confidence of a time that a person has set."""


def recordings(
    conn: Connection, config: Config, now: datetime, only: Collection[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Every recording, or some, in the order in which they begin by what their recorders say."""
    zone = config.unit.zone
    rules = rules_of(conn, config)
    standing = storage_standing(conn, rules)
    dated, carried, excused = (limits.said_of_all(conn, what) for what in ("dated", "carried", "excused"))
    people = {p.id: p for p in bureau.people(conn)}
    cases, numbers = tags.shown(conn), tags.numbers(conn)
    for r in evidence.recordings(conn):
        if only is not None and r["id"] not in only:
            continue
        ruling = standing.get(r["id"]) if r["kind"] != "data" else None
        said = dated.get(r["id"])
        own = cases.get(r["id"], [])
        yield {
            "id": r["id"], "kind": r["kind"], **_times(r, said, zone), "provisional": r["provisional"],
            "recorder": r["label"], **_officers(r, ruling, said, carried.get(r["id"]), people, zone), "channel": r["channel"],
            "case": numbers.get(own[0][0], own[0][0]) if own else None,
            "activities": [activity for _, activity in own if activity],
            "important": r["important"], "assets": r["assets"],
            "deadline": brief(STORAGE, ruling, rules, now) if ruling else None, "lens": r["lens"] or None,
            "non_duty": excused.get(r["id"], {}).get("reason"),
        }  # fmt: skip


def told_of(conn: Connection, config: Config, recording: str, now: datetime) -> dict[str, Any]:
    """The limits of one recording, and what people said of it."""
    rules = rules_of(conn, config)
    said = {
        what: limits.said(conn, [recording], what).get(recording)
        for what in ("dated", "carried", "classified", "excused")
    }
    rulings = fresh(conn, rules, [recording])
    return {
        "deadlines": [brief(name, body, rules, now) for (name, _), body in sorted(rulings.items())],
        "said": {what: detail for what, detail in said.items() if detail},
    }


def _times(r: Mapping[str, Any], said: Mapping[str, Any] | None, zone: ZoneInfo) -> dict[str, Any]:
    """When it was: as a person said, if one did; what its recorder says is kept beside it."""
    claimed = {"started_at": rfc3339(r["started_at"], zone), "ended_at": rfc3339(r["ended_at"], zone)}
    if said is None:
        return {**claimed, "confidence": r["confidence"], "claimed": None}
    began, ended = when(r["started_at"], r["ended_at"], said)
    return {"started_at": rfc3339(began, zone), "ended_at": rfc3339(ended, zone), "confidence": SET, "claimed": claimed}


def _officers(
    r: Mapping[str, Any],
    ruling: Mapping[str, Any] | None,
    dated: Mapping[str, Any] | None,
    said: Mapping[str, Any] | None,
    people: Mapping[str, Person],
    zone: ZoneInfo,
) -> dict[str, Any]:
    """Carrier and co-officers by their certificate numbers of that day; what the recording says, where nobody is registered."""
    day = day_of(when(r["started_at"], r["ended_at"], dated)[1], zone)
    by_number = bearers(people.values(), r["officer"], day) if r["officer"] else []
    carrier = people.get((ruling or {}).get("carrier", "")) or (by_number[0] if len(by_number) == 1 else None)
    number = (carrier.certificate(day) if carrier else "") or r["officer"] or (carrier.name if carrier else "")
    others = [people[each] for each in (said or {}).get("co_officers", ()) if each in people]
    return {
        "officer": number or None,
        "officers": [each for each in (number, *(o.certificate(day) or o.name for o in others)) if each],
        "names": [each.name for each in (carrier, *others) if each],
    }
