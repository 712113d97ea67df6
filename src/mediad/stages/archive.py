"""Archive: freeze what a case holds in a manifest, in the vault, under a key that never changes (归档).

The manifest comes first and the fact that names it, with its digest, after. A manifest that no fact came to name, since the power
went in between, is passed over by the next one, which names it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from mediad.catalog import casework, limits, tags, work
from mediad.errors import IntegrityError, KeyConflict, NotFound, Refused
from mediad.model.archive import FORMAT, changes, contents, digest, words
from mediad.model.calendar import day_of
from mediad.model.cases import Case
from mediad.model.custody import GENESIS, Draft, canonical
from mediad.model.deadline import STORAGE
from mediad.model.duty import Activity
from mediad.model.ids import Digest
from mediad.model.instants import stamp
from mediad.model.layout import archive_key, printable
from mediad.model.people import Person
from mediad.model.registers import Department, case_json
from mediad.model.when import when


class Vault(Protocol):
    @property
    def name(self) -> str: ...

    def put(self, key: str, data: bytes) -> bool: ...

    def get(self, key: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Taken:
    """What the archivist says: 案卷号/档号, 保管期限, place of the paper file, 接收人; who that is and when."""

    at: datetime
    file_number: str
    term: str
    place: str
    receiver: str
    archivist: str = ""
    login: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What others have worked out of the case: the station's names, its activities and people, the ruling of each recording, and
    what is missing."""

    unit: str
    station: str
    zone: ZoneInfo
    activities: Sequence[Activity]
    people: Mapping[str, Person]
    departments: Mapping[str, Department] = field(default_factory=dict)
    rulings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    missing: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Before:
    """The newest manifest of a case by what was recorded of it."""

    number: int
    key: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the next manifest of a case is to hold (``holds``: by which it is told later whether that is still so), and the one
    before it, if there is one."""

    case: str
    body: Mapping[str, Any]
    before: Before | None
    holds: str


def gather(conn: Connection, vault: str, case: Case, taken: Taken, told: Told) -> Gathered:
    """What a case holds now. ``vault``: name of the one in which its manifest is to lie."""
    rows = casework.archives(conn, case.id)
    before = Before(rows[-1].number, rows[-1].key, rows[-1].sha256) if rows else None
    seq, chain_hash = work.mirrored(conn, vault) or (0, GENESIS)
    body: dict[str, Any] = {
        "format": FORMAT, "unit": told.unit, "station": told.station, "case": _case(conn, case, told),
        "recordings": _recordings(conn, case, told), "activities": _activities(conn, case, told),
        "missing": [dict(each) for each in told.missing],
        "archive": {
            "at": stamp(taken.at), "file_number": taken.file_number, "term": taken.term, "place": taken.place,
            "receiver": taken.receiver, "archivist": _person(told, taken.archivist, taken.at), "login": taken.login,
        },
        "supplements": None, "added": [], "removed": [], "changed": [], "chain": {"seq": seq, "hash": chain_hash},
    }  # fmt: skip
    return Gathered(case.id, body, before, digest(casework.held(conn, tags.family(conn, case.id))))


def keep(vault: Vault, gathered: Gathered) -> tuple[Draft, str]:
    """Write the next manifest of a case; returns the fact that is to name it, and the key of the one before if that is lost: it is
    named by what was recorded of it, and what has changed cannot be told. Raises Refused where nothing has changed since the last
    one, IntegrityError where other bytes lie in its place."""
    body, before, lost = dict(gathered.body), gathered.before, ""
    if before is not None:
        last = _last(vault, before)
        if last and contents(last) == contents(json.loads(canonical(body))) and words(last) == words(body):
            raise Refused(
                "nothing has changed since it was archived", code="nothing-new", hint="`mediad case inventory`"
            )
        lost = "" if last else before.key
        body |= {"supplements": {"key": before.key, "sha256": before.sha256}, **changes(last, body)}
    return _put(vault, gathered.case, before.number + 1 if before else 1, body, gathered.holds), lost


def _last(vault: Vault, before: Before) -> dict[str, Any] | None:
    """The manifest before; None if it is not in the vault any more, which is a finding of `mediad fsck`."""
    try:
        data = vault.get(before.key)
    except NotFound:
        return None
    if Digest.sha256(data).hex != before.sha256:
        raise IntegrityError(
            f"{before.key} is not the manifest that was recorded",
            hint="run `mediad fsck`; put it back from a backup, or keep what lies there elsewhere: a supplement can do without",
        )
    return dict(json.loads(data))


def _put(vault: Vault, case_id: str, number: int, body: dict[str, Any], holds: str) -> Draft:
    passed: list[dict[str, str]] = []
    while True:
        key = archive_key(case_id, number)
        data = (canonical({**body, "number": number}) + "\n").encode("utf-8")
        try:
            vault.put(key, data)
        except KeyConflict:
            passed.append({"key": key, "sha256": Digest.sha256(vault.get(key)).hex})
            number += 1
            continue
        act = body["archive"]
        return Draft(
            "case.archived",
            case_id,
            {
                "number": number, "vault": vault.name, "key": key, "sha256": Digest.sha256(data).hex, "passed": passed,
                "recordings": len(body["recordings"]), "holds": holds,
                **{name: act[name] for name in ("at", "file_number", "term", "place", "receiver")},
            },
        )  # fmt: skip


def _case(conn: Connection, case: Case, told: Told) -> dict[str, Any]:
    body = case_json(case)
    del body["archived"]
    at = case.opened or case.concluded
    of = told.departments.get(case.department)
    department = {"id": case.department, "name": of.name if of else "", "unit": of.unit if of else ""}
    return {
        **body, "id": case.id, "merged": tags.family(conn, case.id)[1:], "department": department,
        "handlers": [_person(told, each, at) for each in sorted(case.handlers)],
    }  # fmt: skip


def _person(told: Told, person_id: str, at: datetime | None) -> dict[str, str]:
    found = told.people.get(person_id)
    if found is None:
        return {"id": person_id, "name": "", "certificate": ""}
    return {"id": person_id, "name": found.name, "certificate": found.certificate(day_of(at, told.zone)) if at else ""}


def _recordings(conn: Connection, case: Case, told: Told) -> list[dict[str, Any]]:
    rows: dict[str, list[tags.Tag]] = {}
    for row in tags.of_cases(conn, tags.family(conn, case.id)):
        rows.setdefault(row.recording, []).append(row)
    names = sorted(rows)
    takes, files = casework.takes(conn, names), casework.originals(conn, names)
    carried, classified = limits.said(conn, names, "carried"), limits.said(conn, names, "classified")
    reasons = limits.reasons_given(conn, names, STORAGE)
    dated = limits.said(conn, names, "dated")
    times = {name: _times(takes[name], dated.get(name)) for name in names}
    activities = {a.key: a.name for a in told.activities}
    found = []
    for name in sorted(names, key=lambda n: (times[n]["started_at"], n)):
        take, ruled = takes[name], told.rulings.get(name, {})
        at = datetime.fromisoformat(times[name]["started_at"])
        found.append({
            "id": name, "kind": take.kind, **times[name], "channel": take.channel,
            "recorder": take.label, "carrier": _person(told, ruled.get("carrier", ""), at), "officer": take.officer,
            "co_officers": [_person(told, p, at) for p in carried.get(name, {}).get("co_officers", ())],
            "classification": classified.get(name), "deadline": {k: ruled.get(k) for k in ("state", "due_at", "met_at", "reason")},
            "justification": reasons.get((STORAGE, name), {}).get("text"),
            "tags": [_tag(row, activities) for row in rows[name]],
            "assets": [{**file, "path": printable(file["path"])} for file in files.get(name, ())],
        })  # fmt: skip
    return found


def _times(take: Any, dated: Mapping[str, Any] | None) -> dict[str, Any]:
    """When it was; as a person said, if one did, and then what its recorder says beside it."""
    claimed = {"started_at": take.started_at, "ended_at": take.ended_at}
    if dated is None:
        return {**claimed, "claimed": None}
    began, ended = when(take.started_at, take.ended_at, dated)
    return {
        "started_at": stamp(began),
        "ended_at": stamp(ended),
        "claimed": {**claimed, "why": dated["why"], "source": dated["source"]},
    }


def _tag(tag: tags.Tag, activities: Mapping[str, str]) -> dict[str, Any]:
    return {
        "id": tag.id, "case": tag.casefile, "activity": tag.activity, "name": activities.get(tag.activity, tag.activity),
        "fields": dict(tag.fields), "by_rule": tag.by_rule, "reasons": list(tag.reasons), "at": tag.at, "by": tag.by,
    }  # fmt: skip


def _activities(conn: Connection, case: Case, told: Told) -> list[dict[str, Any]]:
    names = {a.key: (a.name, a.article) for a in told.activities}
    said = casework.activities(conn, tags.family(conn, case.id))
    return [
        {
            "activity": key, "name": names.get(key, (key, ""))[0], "article": names.get(key, (key, ""))[1],
            "reason": body["reason"], "equivalent": body["equivalent"], "disputed": body["disputed"],
            "fields": body.get("fields", {}), "by": body.get("by", ""),
            "author": {**_person(told, body["author"], case.opened), "login": body["author_login"]} if body["reason"] else None,
        }
        for key, body in sorted(said.items())
    ]  # fmt: skip
