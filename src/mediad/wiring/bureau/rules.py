"""The unit's limits at work: the rules in force, what is due to be ruled on, and what everything comes to now."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mediad.catalog import bureau, due, limits
from mediad.catalog.apply_limits import EVERYTHING
from mediad.catalog.chunks import chunks
from mediad.config import Config
from mediad.config.rules import Deadlines
from mediad.edges import files
from mediad.edges.holidays import load_calendar
from mediad.errors import CatalogError
from mediad.model import reasons
from mediad.model.acts import Actor
from mediad.model.backoff import put_off
from mediad.model.calendar import Calendar
from mediad.model.custody import Draft
from mediad.model.deadline import STORAGE, Status, status_at
from mediad.model.instants import stamp
from mediad.stages import rule
from mediad.stages.rule import Rules
from mediad.wiring.bureau.acts import perform, who_may
from mediad.wiring.bureau.called import called
from mediad.wiring.station import now, open_ledger

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mediad.catalog.ledger import Ledger
    from mediad.wiring.station import Station

RULE_LOCK = "rule.lock"
"""Held while rulings are worked out and recorded: two at once would record the same."""

AT_ONCE = 2_000
"""So many subjects are worked out on the spot where limits are shown: some seconds, however many rulings there are."""

_OWNER = "rule"
_SOME = 500

Body = Mapping[str, Any]
"""Rules as the event ``rules.adopted`` holds them."""


# --- which rules --------------------------------------------------------------------------------------------------------


def rules_of_file(config: Config) -> dict[str, Any]:
    """The limits that the configuration has, with the days of its calendar: all that rulings depend on. Raises ConfigError for a
    calendar that cannot be read."""
    calendar = load_calendar(config.deadlines.calendar)
    days = {"free": calendar.free, "worked": calendar.worked}
    return {
        "deadlines": config.deadlines.model_dump(mode="json", exclude={"calendar"}),
        "calendar": {name: sorted(day.isoformat() for day in some) for name, some in days.items()},
    }


def rules_of(conn: Connection, config: Config) -> Rules:
    """The rules in force; those of the configuration as long as none were adopted."""
    return built(limits.rules_in_force(conn) or adopted(config, None, now()), config)


def adopted(config: Config, force: Body | None, at: datetime) -> dict[str, Any]:
    """The rules of the file, as they are adopted. ``since``: when this station first had any."""
    return {**rules_of_file(config), "since": stamp(at) if force is None else force.get("since")}


def built(body: Body, config: Config) -> Rules:
    """Rules as the stage wants them. Raises CatalogError for some that this program does not understand."""
    known = Deadlines.model_fields
    try:
        section = Deadlines(**{key: value for key, value in body["deadlines"].items() if key in known})
        free, worked = ({date.fromisoformat(day) for day in body["calendar"][name]} for name in ("free", "worked"))
    except (ValidationError, KeyError, ValueError, TypeError) as e:
        raise CatalogError(
            f"the rules in force cannot be read: {e}", hint="`mediad deadlines rules --adopt` puts others in force"
        ) from e
    zone = config.unit.zone
    cases = section.cases(zone, Calendar.of(free, worked))
    untagged = timedelta(days=section.untagged_days) or None
    asked = datetime.fromisoformat(body["since"]) if body.get("since") else None
    storage, spans = section.storage(zone), replace(section.spans(zone), asked=asked)
    return Rules(storage, cases, spans, zone, untagged, storage.since or asked)


def differing(conn: Connection, config: Config) -> list[str]:
    """Settings of the file that are not those in force; none while none were adopted."""
    force, file = limits.rules_in_force(conn), rules_of_file(config)
    if force is None:
        return []
    sections = (("deadlines", f"deadlines.{key}") for key in {**force["deadlines"], **file["deadlines"]})
    names = [(section, name, name.partition(".")[2]) for section, name in sections]
    told = [name for section, name, key in names if force[section].get(key) != file[section].get(key)]
    return sorted(told) + (["deadlines.calendar"] if force["calendar"] != file["calendar"] else [])


def adopt(config: Config) -> str:
    """Put the rules of the file in force, if they are not so already; everything is due anew then. Returns the act that waits for
    signatures, where the unit wants some."""

    def make(ledger: Ledger, _: Actor) -> list[Draft]:
        with ledger.catalog.read() as conn:
            force = limits.rules_in_force(conn)
        file = rules_of_file(config)
        same = force is not None and all(force[key] == file[key] for key in file)
        return [] if same else [Draft("rules.adopted", ledger.station, adopted(config, force, ledger.clock()))]

    return perform(config, "adopt-rules", make).waits


def changes(ledger: Ledger, config: Config, looked: Callable[[int], None] = lambda _: None) -> Iterator[dict[str, Any]]:
    """What the rules of the file would change, compared with those in force: each limit with another state or another time. Of
    millions it takes hours: ``looked`` is told after each page how many more subjects were looked at."""
    with ledger.catalog.read() as conn:
        force = rules_of(conn, config)
        file = built(adopted(config, limits.rules_in_force(conn), ledger.clock()), config)
    at = ledger.clock()
    for some in due.of_rules(ledger.catalog):
        with ledger.catalog.read() as conn:
            old, new = (
                {(each.ruling.rule, each.ruling.subject): each.body() for each in rule.rule_on(conn, rules, some)}
                for rules in (force, file)
            )
        kinds = {"dck" if subject.startswith(due.TO_SIGN) else subject[:3] for subject in some}
        for key in sorted(key for key in old.keys() | new.keys() if key[1][:3] in kinds):
            was, will = (_state(bodies.get(key), at) for bodies in (old, new))
            dates = [bodies.get(key, {}).get("due_at") for bodies in (old, new)]
            if was != will or dates[0] != dates[1]:
                yield {
                    "rule": key[0], "subject": key[1], "old": was, "new": will,
                    "old_due_at": local(dates[0], force), "new_due_at": local(dates[1], force),
                }  # fmt: skip
        looked(len(some))


def _state(body: Body | None, now: datetime) -> str:
    return Status.NOT_APPLICABLE.value if body is None else status(body, now).value


def again(config: Config) -> None:
    """Make everything due to be ruled on though no rule changed: should a ruling that is met have missed a fact, it is mended by
    that. It is no fact itself, and what is ruled as before is none either."""
    ledger = open_ledger(config)
    with closing(ledger.catalog):
        who_may(ledger, config, "adopt-rules")
        ledger.catalog.write(lambda conn: due.again(conn, due.RULE, [EVERYTHING], ledger.clock()))


# --- what is due --------------------------------------------------------------------------------------------------------


def work_off(station: Station) -> int:
    """Rule on everything that is due, and record what is new; returns how much was. The first time the rules of the configuration
    are put in force. Raises Busy if another process is at it."""
    ledger = station.ledger
    recorded = 0
    with files.locked(station.locks / RULE_LOCK, busy="another process is working out limits", wait_seconds=10.0):
        rules = _in_force(station)
        while not station.stop.is_set():
            with ledger.catalog.read() as conn:
                # Whoever took some before is gone: only one at a time holds the lock. After other rules were put in force there may
                # be a million: what is docked meanwhile waits for none of them.
                seen = due.waiting(conn, due.RULE, ledger.clock(), live=(), limit=_SOME, newest=True)
            if not seen:
                break
            ledger.catalog.write(partial(_take, seen, ledger.clock()))
            subjects = [row.subject for row in seen]
            if EVERYTHING in subjects:
                rules = _in_force(station)
                due.everything(ledger.catalog)
            failed: dict[str, str] = {}
            recorded += rule.run(ledger, rules, subjects, failed)
            ledger.catalog.write(partial(_answered, seen, failed, ledger.clock()))
    return recorded


def limited_since(station: Station) -> dict[str, str]:
    """From when on hand-overs and hand-outs have a limit, as a stamp, in the words of ``due``; those that have none are not in
    it."""
    with station.ledger.catalog.read() as conn:
        spans = rules_of(conn, station.config).spans
    signed = max((at for at in (spans.since, spans.signed_from) if at is not None), default=None)
    limited = ((due.TO_SIGN, spans.sign, signed), (due.OUT, spans.back, spans.since))
    return {kind: stamp(first) if first else "" for kind, limit, first in limited if limit is not None}


def _in_force(station: Station) -> Rules:
    with station.ledger.catalog.read() as conn:
        force = limits.rules_in_force(conn)
    if force is None:
        force = adopted(station.config, None, station.ledger.clock())
        station.ledger.record([Draft("rules.adopted", station.config.station.id, {**force, "by": ""})])
    return built(force, station.config)


def _take(seen: Sequence[Any], now: datetime, conn: Connection) -> None:
    due.take_all(conn, seen, _OWNER, now, put_off)


def _answered(seen: Sequence[Any], failed: Mapping[str, str], now: datetime, conn: Connection) -> None:
    due.done_all(conn, due.RULE, [row.subject for row in seen if row.subject not in failed], _OWNER)
    for row in seen:
        if row.subject in failed:
            due.later(conn, due.RULE, row.subject, _OWNER, now + put_off(row.tries + 1), failed[row.subject])


# --- what it comes to ---------------------------------------------------------------------------------------------------


def storage_standing(conn: Connection, rules: Rules) -> dict[str, Body]:
    """Recording to its ruling by Article 28 as it is now: what stands, and what is due to be ruled on worked out on the spot."""
    bodies: dict[str, Body] = dict(limits.storage_rulings(conn))
    now = fresh(conn, rules, _not_ruled(conn))
    return bodies | {name: body for (rule_name, name), body in now.items() if rule_name == STORAGE}


def fresh(conn: Connection, rules: Rules, subjects: Collection[str]) -> dict[tuple[str, str], Body]:
    """Rulings of some subjects as they are now."""
    return {
        (each.ruling.rule, each.ruling.subject): each.body()
        for some in chunks(sorted(set(subjects)))
        for each in rule.rule_on(conn, rules, some)
    }


def unruled(conn: Connection, rules: Rules) -> dict[tuple[str, str], Body]:
    """What is due to be ruled on, as it is now. What came by a docking that is under way is not among it."""
    return fresh(conn, rules, on_the_spot(conn)[0])


def on_the_spot(conn: Connection) -> tuple[list[str], int]:
    """What is due to be ruled on, to be worked out where limits are shown; and how much is not, since it is too much, such as after
    other rules were put in force: of that it is shown what stood."""
    waiting = due.subjects(conn, due.RULE)
    if EVERYTHING in waiting:
        waiting += due.all_of_rules(conn)
    return (waiting, 0) if len(waiting) <= AT_ONCE else ([], len(waiting))


def _not_ruled(conn: Connection) -> list[str]:
    bare = limits.without_ruling(conn)
    return [*on_the_spot(conn)[0], *(bare if len(bare) <= AT_ONCE else ())]


def status(body: Body, now: datetime) -> Status:
    """What a ruling comes to at a moment."""
    return status_at(body["state"], datetime.fromisoformat(body["due_at"]) if body["due_at"] else None, now)


def shown(conn: Connection, rules: Rules, now: datetime) -> Iterator[dict[str, Any]]:
    """As `mediad deadlines --json` prints them: in the order of rule, limit and subject. There may be millions: what stands is read
    some at a time, and what is due to be ruled on is worked out on the spot."""
    people = {p.id: p.name for p in bureau.people(conn)}
    known = fresh(conn, rules, _not_ruled(conn))
    anew = sorted((name, body["due_at"] or "", subject) for (name, subject), body in known.items())
    stands = (key for key in limits.in_order(conn) if (key[0], key[2]) not in known)
    listed = heapq.merge(stands, anew)
    while some := list(itertools.islice(listed, _SOME)):
        yield from _shown(conn, rules, now, [(name, subject) for name, _, subject in some], known, people)


def _shown(
    conn: Connection, rules: Rules, now: datetime, some: Sequence[tuple[str, str]], known: Mapping[tuple[str, str], Body],
    people: Mapping[str, str],
) -> Iterator[dict[str, Any]]:  # fmt: skip
    subjects = sorted({subject for _, subject in some})
    bodies: dict[tuple[str, str], Body] = {**limits.rulings(conn, subjects), **known}
    told, received = limits.reasons_given(conn, subjects), limits.receipts(conn, subjects)
    labels = called(conn, {subject: bodies[name, subject] for name, subject in some})
    for name, subject in some:
        body = bodies[name, subject]
        yield {
            **brief(name, body, rules, now, subject=subject), "code": body["reason"], "remarks": body["remarks"],
            "label": labels.get(subject),
            "limb": body["limb"] or None, "trip": body["trip"] or None, "ended_at": local(body["ended_at"], rules),
            "carrier": people.get(body["carrier"]), "justification": told.get((name, subject), {}).get("text"),
            "justified_by": people.get(told.get((name, subject), {}).get("by", "")),
            "receipts": [r.receipt.number for r in received.get((name, subject), ())],
            **{k: body[k] for k in ("path", "docking", "recording") if k in body},
        }  # fmt: skip


def brief(name: str, body: Body, rules: Rules, now: datetime, **more: str) -> dict[str, Any]:
    """The fields that a limit has wherever it is shown."""
    return {
        "rule": name, **more, "due_at": local(body["due_at"], rules), "met_at": local(body["met_at"], rules),
        "status": status(body, now).value, "reason": reasons.sentence(body["reason"], tuple(body["remarks"]), body["why"]),
    }  # fmt: skip


def local(text: str | None, rules: Rules) -> str | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(rules.zone).isoformat()
