"""What becomes of a case: what took place in it, whether the duty to record is fulfilled, and that it is merged or concluded."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mediad.catalog import bureau, casework, limits, tags
from mediad.config import Config
from mediad.edges.activities import load_activities
from mediad.errors import NotFound, Refused
from mediad.model import archive as manifests
from mediad.model import cases, duty
from mediad.model.acts import Actor
from mediad.model.cases import Case
from mediad.model.custody import Draft
from mediad.model.deadline import STORAGE
from mediad.model.duty import Missing
from mediad.model.instants import rfc3339
from mediad.model.numbers import number_key
from mediad.model.problems import Problem
from mediad.model.registers import case_json
from mediad.stages import rule
from mediad.wiring.bureau import typed
from mediad.wiring.bureau.acts import perform
from mediad.wiring.bureau.rules import rules_of
from mediad.wiring.bureau.spoken import too_high
from mediad.wiring.bureau.tagging import LONGEST, case_of, checked_fields

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from sqlalchemy import Connection

    from mediad.catalog.ledger import Ledger
    from mediad.model.duty import Activity

# --- the duty to record -------------------------------------------------------------------------------------------------


def check(conn: Connection, config: Config, number: str) -> dict[str, Any]:
    """What a case still wants: records, fields, reasons, and what the archivist needs. Raises NotFound."""
    case = case_of(conn, number)
    found = checked(conn, config, case, load_activities(config.cases.activities), rulings(conn, config, case))
    return {
        "case": case.id, "number": case.numbers[0].number, "name": case.name,
        "findings": [
            {"code": m.code, "subject": case.id, "detail": m.detail, "activity": m.activity or None, "explained": m.explained}
            for m in found
        ],
    }  # fmt: skip


def rulings(conn: Connection, config: Config, case: Case) -> dict[str, dict[str, Any]]:
    """What Article 28 comes to for its recordings, by what is known now."""
    names = sorted({row.recording for row in tags.of_cases(conn, tags.family(conn, case.id))})
    return {
        each.ruling.subject: each.body()
        for each in rule.rule_on(conn, rules_of(conn, config), names)
        if each.ruling.rule == STORAGE
    }


def checked(
    conn: Connection,
    config: Config,
    case: Case,
    activities: Sequence[Activity],
    stored: Mapping[str, Mapping[str, Any]],
) -> list[Missing]:
    """What a case still wants, and what came to it after its archive. ``stored``: what Article 28 comes to for its recordings."""
    return missing(conn, config, case, activities, stored) + _since_archived(conn, case)


def missing(
    conn: Connection,
    config: Config,
    case: Case,
    activities: Sequence[Activity],
    rulings: Mapping[str, Mapping[str, Any]],
) -> list[Missing]:
    whose = tags.families(conn, [case.id])
    shown = tags.tagged(conn, whose).get(case.id, [])
    parts = casework.parts(conn, whose).get(case.id, [])
    took = casework.happened(conn, whose).get(case.id, ())
    found = duty.check(case, activities, took, shown, [part.kind for part in parts])
    names = sorted({tag.recording for tag in shown})
    reasons = limits.reasons_given(conn, names, STORAGE)
    for name in names:
        state = rulings.get(name, {}).get("state")
        if state == "untrusted":
            found.append(Missing("time-unknown", "", f"{name}: nobody has said when it was recorded (Article 28)"))
        elif state == "late" and (STORAGE, name) not in reasons:
            found.append(Missing("late-unexplained", "", f"{name}: it was stored late, without a reason in writing"))
    found += [
        Missing("original-lost", "", f"{name}: no vault holds all of it any more")
        for name in casework.lost(conn, names)
    ]
    classified = {name: said["classification"] for name, said in limits.said(conn, names, "classified").items()}
    found += [
        Missing(
            "above-vault",
            "",
            f"{name}: it is classified {classified[name]}, higher than may lie in {', '.join(vaults)}",
        )
        for name, vaults in sorted(too_high(conn, config, classified).items())
    ]
    if n := casework.waiting(conn, list(whose)):
        found.append(
            Missing("proposals-waiting", "", f"of {n} recordings nobody has said whether they are of this case")
        )
    if case.form == "case" or case.act_ended or case.concluded:
        found += duty.before_archiving(case, parts)
    return found


def _since_archived(conn: Connection, case: Case) -> list[Missing]:
    """That something belongs to an archived case which no manifest of it holds, or belongs to it no more."""
    rows = casework.archives(conn, case.id)
    held = json.loads(rows[-1].detail).get("holds") if rows else None
    if held is None or held == manifests.digest(casework.held(conn, tags.family(conn, case.id))):
        return []
    return [Missing("archive-behind", "", f"what is of it is not what {rows[-1].key} holds: archive a supplement")]


def happened(
    config: Config,
    number: str,
    activity: str,
    *,
    act: str = "register-case",
    reason: str | None = None,
    equivalent: str | None = None,
    disputed: bool | None = None,
    fields: Mapping[str, str] | None = None,
    void: bool = False,
) -> dict[str, Any]:
    """Say that an activity took place in a case, and what there is of it; or (``void``) that this was a mistake, also of what was
    merged into it. What is None stays as it was said before. The author of a reason is who records it. Raises UsageError for an
    activity, or a field of it, that is none."""
    more = checked_fields(config, activity, fields or {})
    given = {
        name: None if told is None else typed.text(told, "a reason", LONGEST)
        for name, told in (("reason", reason), ("equivalent", equivalent))
    }

    def make(ledger: Ledger, actor: Actor) -> list[Draft]:
        with ledger.catalog.read() as conn:
            case = case_of(conn, number)
            said = {each: casework.activity(conn, each, activity) for each in tags.family(conn, case.id)}
        entered = {each: body for each, body in said.items() if body is not None and not body["void"]}
        if void:
            return [Draft("case.activity", each, {**_words(body), "void": True}) for each, body in entered.items()]
        was = entered.get(case.id, {"activity": activity, **_NOTHING_SAID})
        after = {**_words(was), "void": False, **{name: told for name, told in given.items() if told is not None}}
        after["fields"] = {**after["fields"], **more}
        if disputed is not None:
            after["disputed"] = disputed
        if reason is not None and after["reason"] != was["reason"]:
            after.update(author=actor.person.id if actor.person else "", author_login=actor.login)
        return [] if case.id in entered and after == _words(was) else [Draft("case.activity", case.id, after)]

    return perform(config, act, make).answer("已记录 recorded", number=number)


_NOTHING_SAID: Mapping[str, Any] = {
    "reason": "",
    "equivalent": "",
    "disputed": None,
    "fields": {},
    "void": False,
    "author": "",
    "author_login": "",
}


def _words(said: Mapping[str, Any]) -> dict[str, Any]:
    """What an entry says of its activity, and not whose act it was."""
    return {name: said.get(name, empty) for name, empty in {"activity": "", **_NOTHING_SAID}.items()}


# --- its end ------------------------------------------------------------------------------------------------------------


def merge(config: Config, number: str, into: str) -> dict[str, Any]:
    """An inspection has become part of a case: its recordings and activities are the case's from now on. Raises Refused for what
    is merged already, or archived."""

    def change(conn: Connection, case: Case, _now: datetime) -> Case:
        target = case_of(conn, into)
        if case.id in (target.id, *tags.family(conn, target.id)):
            raise Refused(
                "it is a part of that case already, or that case itself",
                code="merged-already",
                hint="nothing was recorded",
            )
        if case.archived or target.archived:
            raise Refused(
                "what is archived is closed", code="archived", hint="tag the recordings; archive a supplement"
            )
        return replace(case, merged_into=target.id)

    return _change(config, "register-case", number, change, "已并入 merged")


def unmerge(config: Config, number: str) -> dict[str, Any]:
    """It was a mistake that something became part of a case: it stands for itself again. ``number`` is one of its own. Raises
    NotFound, and Refused where it cannot be."""

    def make(ledger: Ledger, _: Actor) -> list[Draft]:
        with ledger.catalog.read() as conn:
            part = bureau.case_by_number(conn, number)
        if part is None:
            raise NotFound(
                f"{number} is the number of no case", hint="`mediad case list` shows those that are registered"
            )
        if not part.merged_into:
            raise Refused(f"{number} is part of no other case", code="not-merged", hint="nothing was recorded")
        return [Draft("case.registered", part.id, case_json(replace(part, merged_into="")))]

    return perform(config, "register-case", make).answer("已恢复独立 it stands for itself again", number=number)


def withdraw_number(config: Config, number: str, wrong: str) -> dict[str, Any]:
    """A number was entered by mistake: it finds the case no more, and may be another one's. Raises NotFound, and Refused where it
    cannot be."""

    def change(_: Connection, case: Case, _now: datetime) -> Case:
        left = tuple(n for n in case.numbers if n.key != number_key(wrong))
        if left == case.numbers:
            raise NotFound(f"{wrong} is no number of this case", hint="`mediad case show` lists its numbers")
        if case.archived and number_key(case.archived.file_number) == number_key(wrong):
            raise Refused("it is archived under this number", code="archived", hint="a supplement keeps it")
        return replace(case, numbers=left)

    return _change(config, "register-case", number, change, "已撤销编号 withdrawn")


def conclude(config: Config, number: str, *, at: datetime | None, act_ended: datetime | None) -> dict[str, Any]:
    """The case is concluded (结案), at a time or now; its act has ended then, if nobody said when. Raises Refused for a time of the
    future."""

    def change(_: Connection, case: Case, now: datetime) -> Case:
        concluded = at or now
        ended = act_ended or case.act_ended or concluded
        if max(concluded, ended) > now:
            raise Refused("that is in the future", code="future", hint="give a time that has been")
        return replace(case, concluded=concluded, act_ended=ended)

    return _change(config, "conclude-case", number, change, "已结案 concluded")


def _change(
    config: Config, act: str, number: str, change: Callable[[Connection, Case, datetime], Case], said: str
) -> dict[str, Any]:
    def make(ledger: Ledger, _: Actor) -> list[Draft]:
        with ledger.catalog.read() as conn:
            case = case_of(conn, number)
            after = change(conn, case, ledger.clock())
            possible(conn, config, after)
            if problem := next(cases.closed(case, after), None):
                raise Refused(problem.detail, code=problem.code, hint="nothing was recorded")
        return [] if after == case else [Draft("case.registered", case.id, case_json(after))]

    return perform(config, act, make).answer(said, number=number)


def possible(conn: Connection, config: Config, case: Case) -> None:
    """Raise Refused for what cannot be."""
    owners = casework.owners(conn, [n.key for n in case.numbers])
    problem: Problem | None = next(cases.problems(case, owners, config.unit.zone), None)
    if problem is not None:
        raise Refused(problem.detail, code=problem.code, hint="nothing was recorded")


def belongings(conn: Connection, case: Case, zone: ZoneInfo) -> dict[str, Any]:
    """What is shown of a case beside its own entry, times in a zone."""
    own = tags.family(conn, case.id)
    recordings: dict[str, list[str]] = {}
    for row in tags.of_cases(conn, own):
        recordings.setdefault(row.recording, []).extend([row.activity] if row.activity else [])
    takes = casework.takes(conn, list(recordings))
    return {
        "merged": own[1:],
        "recordings": [
            {
                "id": name,
                "started_at": rfc3339(takes[name].started_at, zone),
                "recorder": takes[name].label,
                "activities": shown,
            }
            for name, shown in sorted(recordings.items(), key=lambda item: (takes[item[0]].started_at, item[0]))
        ],
        "activities": list(casework.activities(conn, own).values()),
        "archives": [
            {"number": row.number, "at": rfc3339(row.at, zone), "key": row.key, "sha256": row.sha256}
            for row in casework.archives(conn, case.id)
        ],
    }
