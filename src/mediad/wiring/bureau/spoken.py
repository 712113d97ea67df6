"""What people say about recordings: when one was, who carried the recorder, how it is classified, that it is of no duty."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mediad.catalog import bureau, casework, limits, recordings, tags
from mediad.catalog import evidence as memory
from mediad.config import Config
from mediad.errors import NotFound, Refused, UsageError
from mediad.model import secrecy
from mediad.model.acts import Actor
from mediad.model.calendar import day_of
from mediad.model.custody import Draft
from mediad.model.instants import minute, stamp
from mediad.wiring.bureau import typed
from mediad.wiring.bureau.acts import perform

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mediad.catalog.ledger import Ledger

LONGEST = 2_000

_Detail = Callable[["Connection", dict[str, Any], datetime], dict[str, Any]]
"""What is said of a recording, as the event holds it, by what is known of it now."""


def set_time(
    config: Config, subject: str, ended: datetime, started: datetime | None, source: str, why: str
) -> dict[str, Any]:
    """When a recording ended (and began), by a person: its limit counts from there. What its recorder said is kept. Raises Refused
    for what cannot have been."""
    source, why = _checked(source, "the source of the time"), _checked(why, "a reason")

    def detail(conn: Connection, recording: dict[str, Any], now: datetime) -> dict[str, Any]:
        if ended > now:
            raise Refused("that is in the future", code="future", hint="give a time that has been")
        docked = limits.docked_last(conn, recording["id"])
        if docked is not None and ended > docked:
            raise Refused(
                f"it had been docked by then, at {minute(docked, config.unit.zone)}",
                code="after-docking",
                hint="a recording ends before its file is docked: give the time at which it ended",
            )
        if started is not None and started > ended:
            raise Refused("it ends before it begins", code="ends-before-it-begins", hint="check both times")
        return {
            "ended_at": stamp(ended), "started_at": stamp(started) if started else None, "source": source,
            "why": why,
        }  # fmt: skip

    return _say(config, "set-time", "recording.dated", subject, detail, "时间已确定 the time is set")


def carry(config: Config, subject: str, officer: str, others: Sequence[str], why: str) -> dict[str, Any]:
    """Who carried the recorder, and who was with them, by certificate or device user number. Raises Refused for a number that is
    nobody's or of several, and for somebody who is named twice."""

    def detail(conn: Connection, recording: dict[str, Any], _: datetime) -> dict[str, Any]:
        day = day_of(_ended(conn, recording), config.unit.zone)
        people = bureau.people(conn)
        carrier = typed.bearer(people, officer, day).id
        with_them = [typed.bearer(people, number, day).id for number in others]
        if carrier in with_them or len(set(with_them)) < len(with_them):
            raise Refused("somebody is named twice", code="named-twice", hint="one carrier, and each co-officer once")
        return {"carrier": carrier, "co_officers": with_them, "why": why.strip()}

    return _say(config, "set-carrier", "recording.carried", subject, detail, "携带人已确定 the carrier is set")


def classify(config: Config, subject: str, classification: str, marks: Sequence[str]) -> dict[str, Any]:
    """How a recording is classified (定密), and marks such as 商业秘密 or 个人隐私. That a vault which holds it may not is told,
    and keeps nobody from saying so. Raises UsageError for a text that is none."""
    others = [_checked(text, "a mark") for text in marks]
    order = config.cases.classifications
    level = secrecy.classification(classification, order)
    if level is None:
        raise UsageError(
            f"{classification[:20]!r} is no classification", hint=f"one of {'、'.join(order)} (cases.classifications)"
        )

    above: list[str] = []

    def detail(conn: Connection, recording: dict[str, Any], _: datetime) -> dict[str, Any]:
        above.extend(too_high(conn, config, {recording["id"]: level}).get(recording["id"], ()))
        return {"classification": level, "marks": sorted(set(others))}

    told = _say(config, "classify", "recording.classified", subject, detail, "已定级 classified")
    if above:
        told["said"] += f"；超出存储许可 higher than may lie in {', '.join(above)}"
    return {**told, "above": above}


def too_high(conn: Connection, config: Config, classified: Mapping[str, str]) -> dict[str, list[str]]:
    """Recordings, given with their classifications, to the vaults that hold them and may not."""
    highest, order = {v.name: v.highest for v in config.vault}, config.cases.classifications
    lying = casework.lying_in(conn, sorted(classified))
    found = {
        name: [vault for vault in vaults if secrecy.exceeds(classified[name], highest.get(vault, ""), order)]
        for name, vaults in lying.items()
    }
    return {name: vaults for name, vaults in found.items() if vaults}


def non_duty(config: Config, subject: str, why: str, *, undo: bool = False) -> dict[str, Any]:
    """It is of no enforcement: it wants no case, and what the rule had tagged it with falls. It is kept all the same, and its limit
    stays. ``undo``: that was a mistake. Raises Refused for what a person has tagged, and where there is nothing to undo."""
    reason = _checked(why, "a reason")
    said = "不再是非执勤 of duty after all" if undo else "已标记为非执勤 of no duty"

    def make(ledger: Ledger, _: Actor) -> list[Draft]:
        with ledger.catalog.read() as conn:
            name = _named(conn, subject)["id"]
            names.append(name)
            excused = bool(tags.excused(conn, [name]))
            standing = [row for row in tags.of(conn, [name]).get(name, ()) if row.state == "set"]
        if undo and not excused:
            raise Refused(f"nobody said that {name} is of no duty", code="not-excused", hint="nothing was recorded")
        if not undo and any(not row.by_rule for row in standing):
            raise Refused(f"a person has said that {name} is of a case", code="tagged", hint="`mediad untag` first")
        return [Draft("recording.excused", name, {"reason": reason, "void": undo})]

    names: list[str] = []
    return perform(config, "non-duty", make).answer(said, recording=names[0])


def _named(conn: Connection, subject: str) -> dict[str, Any]:
    """The recording that an id means now. Raises NotFound."""
    name = recordings.recording_of(conn, subject)
    row = memory.recording(conn, name) if name else None
    if row is None:
        raise NotFound(f"{subject} is no recording", hint="`mediad recordings` lists what is there")
    return row


def _ended(conn: Connection, recording: Mapping[str, Any]) -> datetime:
    """When it ended, as far as anybody knows: by a person's word, else by what is to be believed of its recorder."""
    name = recording["id"]
    rows, dated = limits.parts_of(conn, [name]).get(name), limits.said(conn, [name], "dated").get(name)
    return limits.ended(rows, dated) if rows else datetime.fromisoformat(recording["ended_at"])


def _say(config: Config, act: str, kind: str, subject: str, detail: _Detail, said: str) -> dict[str, Any]:
    names: list[str] = []

    def make(ledger: Ledger, _: Actor) -> list[Draft]:
        with ledger.catalog.read() as conn:
            row = _named(conn, subject)
            names.append(row["id"])
            return [Draft(kind, row["id"], detail(conn, row, ledger.clock()))]

    performed = perform(config, act, make)
    return performed.answer(said, recording=names[0])


def _checked(text: str, what: str) -> str:
    return typed.text(text, what, LONGEST, lines=True)
