"""What becomes of a case: what took place in it, whether the duty to record is fulfilled, and its end: merged, concluded,
archived."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mediad.catalog import bureau, casework, evidence, limits, tags
from mediad.config import Config
from mediad.edges.activities import load_activities
from mediad.edges.pump import BufferPool
from mediad.errors import IntegrityError, NotFound, Refused, UsageError
from mediad.model import archive as manifests
from mediad.model import cases, duty
from mediad.model.acts import Actor
from mediad.model.cases import Archived, Case, Numbered
from mediad.model.custody import Draft
from mediad.model.deadline import STORAGE
from mediad.model.duty import Missing
from mediad.model.ids import Digest
from mediad.model.instants import rfc3339
from mediad.model.numbers import checked_number, number_key
from mediad.model.problems import Problem
from mediad.model.registers import case_json
from mediad.stages import archive as stage
from mediad.stages import rule
from mediad.wiring import typed
from mediad.wiring.acts import perform
from mediad.wiring.rules import rules_of
from mediad.wiring.spoken import too_high
from mediad.wiring.station import open_vault
from mediad.wiring.tagging import LONGEST, case_of, checked_fields

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from sqlalchemy import Connection

    from mediad.catalog.ledger import Ledger
    from mediad.edges.vault import LocalVault
    from mediad.model.duty import Activity

FILE_NUMBER = "案卷号"


# --- the duty to record -------------------------------------------------------------------------------------------------


def check(conn: Connection, config: Config, number: str) -> dict[str, Any]:
    """What a case still wants: records, fields, reasons, and what the archivist needs. Raises NotFound."""
    case = case_of(conn, number)
    found = _missing(conn, config, case, load_activities(config.cases.activities), _rulings(conn, config, case))
    found += _since_archived(conn, case)
    return {
        "case": case.id, "number": case.numbers[0].number, "name": case.name,
        "findings": [
            {"code": m.code, "subject": case.id, "detail": m.detail, "activity": m.activity or None, "explained": m.explained}
            for m in found
        ],
    }  # fmt: skip


def _rulings(conn: Connection, config: Config, case: Case) -> dict[str, dict[str, Any]]:
    """What Article 28 comes to for its recordings, by what is known now."""
    names = sorted({row.recording for row in tags.of_cases(conn, tags.family(conn, case.id))})
    return {
        each.ruling.subject: each.body()
        for each in rule.rule_on(conn, rules_of(conn, config), names)
        if each.ruling.rule == STORAGE
    }


def _missing(
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
    reasons = limits.explained(conn, names, STORAGE)
    for name in names:
        state = rulings.get(name, {}).get("state")
        if state == "untrusted":
            found.append(Missing("time-unknown", "", f"{name}: nobody has said when it was recorded (Article 28)"))
        elif state == "late" and (name, "justified") not in reasons:
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
        if not left:
            raise Refused("it has no other number", code="no-number", hint="enter the right one first")
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
            _possible(conn, after)
            if problem := next(cases.closed(case, after), None):
                raise Refused(problem.detail, code=problem.code, hint="nothing was recorded")
        return [] if after == case else [Draft("case.registered", case.id, case_json(after))]

    return perform(config, act, make).answer(said, number=number)


def _possible(conn: Connection, case: Case) -> None:
    """Raise Refused for what cannot be."""
    problem: Problem | None = next(cases.problems(case, casework.owners(conn, [n.key for n in case.numbers])), None)
    if problem is not None:
        raise Refused(problem.detail, code=problem.code, hint="nothing was recorded")


# --- the archive --------------------------------------------------------------------------------------------------------


def archive(
    config: Config, number: str, *, file_number: str = "", term: str = "", place: str = "", receiver: str = ""
) -> dict[str, Any]:
    """The archivist takes the case over: its manifest is frozen in the vault. What comes later makes a supplement, for which what
    is not given is as it was. Raises Refused for a case that is not concluded, and where nothing has changed."""
    told: dict[str, Any] = {}

    def make(ledger: Ledger, actor: Actor) -> list[Draft]:
        now = ledger.clock()
        with ledger.catalog.read() as conn:
            case = case_of(conn, number)
            taken = _taken(config, case, now, actor, file_number=file_number, term=term, place=place, receiver=receiver)
            after = _filed(conn, case, taken)
            rulings, activities = _rulings(conn, config, case), load_activities(config.cases.activities)
            missing = [
                {"code": m.code, "activity": m.activity, "detail": m.detail, "explained": m.explained}
                for m in _missing(conn, config, case, activities, rulings)
            ]
            people = {p.id: p for p in bureau.people(conn)}
            departments = {d.id: d for d in bureau.departments(conn)}
            facts = stage.Told(
                config.unit.name, config.station.id, config.unit.zone, activities, people, departments, rulings, missing
            )  # fmt: skip
            gathered = stage.gather(conn, config.vault[0].name, after, taken, facts)
        kept = stage.keep(_vault(ledger, config), gathered)
        told.update(
            findings=missing, key=kept.detail["key"], sha256=kept.detail["sha256"], archive=kept.detail["number"]
        )
        first = case.archived or Archived(now, taken.file_number, "", "", "", kept.detail["sha256"])
        archived = replace(first, term=taken.term, place=taken.place, receiver=taken.receiver)
        after = replace(after, archived=archived)
        return [kept] if after == case else [kept, Draft("case.registered", case.id, case_json(after))]

    performed = perform(config, "archive-case", make)
    return performed.answer("已归档 archived", number=number, **told)


def _taken(config: Config, case: Case, now: datetime, actor: Actor, **given: str) -> stage.Taken:
    """What the archivist says; for a supplement, what was said before counts where nothing is."""
    if case.concluded is None or case.act_ended is None:
        raise Refused("the case is not concluded", code="not-concluded", hint="`mediad case conclude` first")
    before = case.archived
    said = {name: text.strip() or (getattr(before, name) if before else "") for name, text in given.items()}
    for name, text in said.items():
        if not text:
            option = "--" + name.replace("_", "-")
            raise UsageError(f"archiving wants {option}", hint="--file-number, --term, --place and --receiver")
        typed.text(text, name, 100)
    said["term"] = unicodedata.normalize("NFKC", said["term"])
    if given["term"] and said["term"] not in config.cases.terms:
        raise UsageError(f"{said['term']} is no term", hint=f"one of {'、'.join(config.cases.terms)} (cases.terms)")
    if before is not None:
        if number_key(said["file_number"]) != number_key(before.file_number):
            raise Refused(
                f"its file number is {before.file_number}", code="other-file-number", hint="a supplement keeps it"
            )
        said["file_number"] = before.file_number
    return stage.Taken(at=now, archivist=actor.person.id if actor.person else "", login=actor.login, **said)


def _filed(conn: Connection, case: Case, taken: stage.Taken) -> Case:
    """The case with its file number, which finds it from now on."""
    if isinstance(found := checked_number(taken.file_number), Problem):
        raise UsageError(found.detail, hint="--file-number is 案卷号 or 档号")
    numbered = Numbered(FILE_NUMBER, found)
    known = any(n.key == numbered.key for n in case.numbers)
    after = case if known else replace(case, numbers=(*case.numbers, numbered))
    _possible(conn, after)
    return after


def _vault(ledger: Ledger, config: Config) -> LocalVault:
    """The first vault, seen to be the registered one."""
    section = config.vault[0]
    with ledger.catalog.read() as conn:
        markers = {row.name: row.marker for row in evidence.vaults(conn)}
    vault = open_vault(section, config, BufferPool())
    vault.open(markers[section.name])
    return vault


def manifest(ledger: Ledger, config: Config, number: str, *, supplement: int = 0) -> dict[str, Any]:
    """A manifest of a case as it lies in the vault, if it is still the one that was recorded; the newest, or one by its number.
    Raises NotFound, IntegrityError."""
    with ledger.catalog.read() as conn:
        case = case_of(conn, number)
        rows = [row for row in casework.archives(conn, case.id) if supplement in (0, row.number)]
    if not rows:
        raise NotFound(f"{number} has no such archive", hint="`mediad case archive` makes it")
    data = open_vault(config.vault[0], config, BufferPool()).get(rows[-1].key)
    if Digest.sha256(data).hex != rows[-1].sha256:
        raise IntegrityError(
            f"{rows[-1].key} is not the manifest whose digest stands in the custody log",
            hint="keep it and run `mediad fsck`",
        )
    return {**json.loads(data), "sha256": rows[-1].sha256, "key": rows[-1].key}


def inventory(ledger: Ledger, config: Config, number: str, *, supplement: int = 0) -> dict[str, Any]:
    """The list by which a case file is handed over to the archive (归档移交清册)."""
    found = manifest(ledger, config, number, supplement=supplement)
    lines = manifests.inventory(found)
    return {
        "case": found["case"]["id"], "name": found["case"]["name"], "number": found["number"], "archive": found["archive"],
        "key": found["key"], "sha256": found["sha256"], "supplements": found["supplements"], "lines": lines,
        "recordings": len(found["recordings"]), "bytes": sum(line["size"] for line in lines),
    }  # fmt: skip


def inventory_page(ledger: Ledger, config: Config, number: str, *, supplement: int = 0) -> bytes:
    """The same list as a PDF to sign; the same bytes each time."""
    from mediad.edges import qr, typst

    found = manifest(ledger, config, number, supplement=supplement)
    rows = qr.rows(f"mediad:{found['case']['id']}:sha256:{found['sha256']}")
    code = {"rows": rows, "sha256": found["sha256"], "key": found["key"]}
    data = manifests.page(found, config.unit.zone, code)
    return typst.render("form", data, datetime.fromisoformat(found["archive"]["at"]))


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
            for name, shown in recordings.items()
        ],
        "activities": list(casework.activities(conn, own).values()),
        "archives": [
            {"number": row.number, "at": rfc3339(row.at, zone), "key": row.key, "sha256": row.sha256}
            for row in casework.archives(conn, case.id)
        ],
    }
