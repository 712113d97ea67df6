"""Which recording is of which case, by a person's word: tags set and withdrawn, proposals accepted and dismissed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mediad.catalog import bureau, recordings, tags
from mediad.config import Config
from mediad.edges.activities import load_activities
from mediad.errors import NotFound, Refused, UsageError
from mediad.model import people
from mediad.model.acts import Actor
from mediad.model.calendar import day_of
from mediad.model.custody import Draft
from mediad.model.instants import rfc3339, stamp
from mediad.wiring.bureau import typed
from mediad.wiring.bureau.acts import Performed, perform
from mediad.wiring.station import new_id

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mediad.catalog.ledger import Ledger
    from mediad.model.cases import Case

LONGEST = 500
"""Characters of a field or a reason."""


@dataclass(frozen=True)
class Wanted:
    """What a tag is to say."""

    case: str
    activity: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Chosen:
    """Recordings by what they are: that start in a time, of an officer (a number), of a recorder, of a case."""

    first: datetime | None = None
    last: datetime | None = None
    officer: str = ""
    recorder: str = ""
    case: str = ""
    untagged: bool = False

    def __bool__(self) -> bool:
        return bool(self.first or self.last or self.officer or self.recorder or self.case or self.untagged)


def chosen(conn: Connection, config: Config, some: Chosen) -> list[str]:
    """The recordings that are meant, in order of their start. Raises NotFound for a recorder or case that is none, Refused for a
    number that several bear."""
    sources: set[str] = set()
    if some.recorder:
        known = bureau.recorder_names(conn).get(some.recorder)
        sources = {some.recorder} | (bureau.keys_of(conn, known) | {known} if known else set())
    return tags.find(
        conn,
        first=stamp(some.first) if some.first else None,
        last=stamp(some.last) if some.last else None,
        number=some.officer,
        person=_bearer(conn, config, some) if some.officer else "",
        sources=sources,
        cases=tags.family(conn, case_of(conn, some.case).id) if some.case else None,
        untagged=some.untagged,
    )


def _bearer(conn: Connection, config: Config, some: Chosen) -> str:
    """Who bore the number then. Nobody need have: recordings may bear a number that is not registered."""
    everybody = bureau.people(conn)
    if at := some.first or some.last:
        found = people.bearers(everybody, some.officer, day_of(at, config.unit.zone))
    else:
        found = [p for p in everybody if any(d.number == some.officer for d in (*p.certificates, *p.device_numbers))]
    if len(found) > 1:
        raise Refused(
            f"{some.officer} is the number of several people",
            code="several-persons",
            hint="--from and --until say when",
        )
    return found[0].id if found else ""


def case_of(conn: Connection, number: str) -> Case:
    """The case that a number means now: what it was merged into. Raises NotFound."""
    return tags.survivor(conn, named(conn, number))


def named(conn: Connection, number: str) -> Case:
    """The very case that has a number, also of one that was merged into another. Raises NotFound, which names numbers that begin
    so."""
    if (found := bureau.case_by_number(conn, number)) is not None:
        return found
    like = "、".join(bureau.numbers_like(conn, number))
    hint = f"there is {like}" if like else "`mediad case list` shows those that are registered"
    raise NotFound(f"{number} is the number of no case", hint=hint)


def _meant(conn: Connection, names: Iterable[str]) -> list[str]:
    """Recordings by their ids, old ones too. Raises NotFound."""
    found: dict[str, None] = {}
    for name in names:
        recording = recordings.recording_of(conn, name)
        if recording is None:
            raise NotFound(f"{name} is no recording", hint="`mediad recordings` lists what is there")
        found[recording] = None
    return list(found)


# --- tags ---------------------------------------------------------------------------------------------------------------


def tag(config: Config, names: Sequence[str], wanted: Wanted, *, also: bool = False) -> dict[str, Any]:
    """Say that recordings are of a case, and perhaps what they show of it. This stands for tags of other cases, unless it is
    ``also`` of them."""
    _check(config, wanted)

    def make(ledger: Ledger, _: Actor) -> list[Draft]:
        with ledger.catalog.read() as conn:
            return _drafts(conn, _meant(conn, names), wanted, also=also)

    return _told(perform(config, "tag", make))


def tag_many(config: Config, some: Chosen, wanted: Wanted, *, dry_run: bool) -> dict[str, Any]:
    """The same for all that is chosen and that nobody has decided about yet; what the rule had tagged is. ``dry_run``: only say
    which. Raises UsageError where nothing is chosen."""
    if not some:
        raise UsageError("nothing is chosen", hint="give IDs, or --from, --until, --officer or --recorder")
    _check(config, wanted)
    told: dict[str, Any] = {}

    def look(conn: Connection) -> list[str]:
        found = chosen(conn, config, some)
        heads, said, none = tags.heads(conn, found), tags.of(conn, found), tags.excused(conn, found)
        decided = none | {each for each in found if any(_by_person(row) for row in said.get(each, ()))}
        free = [each for each in found if each in heads and each not in decided]
        told.update(chosen=free, left=sum(each in heads for each in found) - len(free))
        case_of(conn, wanted.case)
        return free

    if dry_run:
        from mediad.wiring.station import open_ledger

        ledger = open_ledger(config)
        try:
            with ledger.catalog.read() as conn:
                look(conn)
        finally:
            ledger.catalog.close()
        return {**told, "tags": [], "waits": None}

    def make(ledger: Ledger, _: Actor) -> list[Draft]:
        with ledger.catalog.read() as conn:
            return _drafts(conn, look(conn), wanted, also=False)

    performed = _told(perform(config, "tag", make))
    return {**told, **performed}


def _by_person(row: tags.Tag) -> bool:
    return row.state == "set" and not row.by_rule


def _check(config: Config, wanted: Wanted) -> None:
    """Raise UsageError for an activity or a field that is none."""
    if wanted.activity:
        checked_fields(config, wanted.activity, wanted.fields)
    elif wanted.fields:
        name = next(iter(wanted.fields))
        raise UsageError(
            f"{name} is no field of a tag without an activity", hint="--activity says of what it is a field"
        )


def checked_fields(config: Config, activity: str, fields: Mapping[str, str]) -> dict[str, str]:
    """What is told of an activity, by its fields. Raises UsageError for an activity or a field that is none."""
    known = {a.key: a for a in load_activities(config.cases.activities)}
    if activity not in known:
        raise UsageError(f"{activity} is no activity", hint=f"one of {', '.join(known)}")
    own = known[activity].fields
    if wrong := next((name for name in fields if name not in own), None):
        raise UsageError(f"{wrong} is no field of {activity}", hint=f"its fields are {', '.join(own) or 'none'}")
    return {name: typed.text(text, name, LONGEST) for name, text in fields.items()}


def _drafts(conn: Connection, names: Collection[str], wanted: Wanted, *, also: bool) -> list[Draft]:
    case = case_of(conn, wanted.case)
    if none := sorted(tags.excused(conn, names)):
        raise Refused(
            f"somebody said that {none[0]} is of no duty",
            code="non-duty",
            hint="`mediad recordings non-duty ID --undo` first",
        )
    own = set(tags.family(conn, case.id))
    said = tags.of(conn, names)
    found = []
    for name in names:
        standing = [row for row in said.get(name, ()) if row.state == "set"]
        of_it = [row for row in standing if row.casefile in own]
        same = [row for row in of_it if row.activity == wanted.activity]
        fields = {**_fields(same), **{k: v.strip() for k, v in wanted.fields.items()}}
        others = [] if also else [row for row in standing if row.casefile not in own]
        known = any(
            not row.by_rule and (not wanted.activity or row.activity == wanted.activity) for row in of_it
        ) and fields == _fields(same)
        if known and not others:
            continue
        bare = [row for row in of_it if not row.activity]
        instead = {row.id for row in (*others, *same, *bare)}
        found.append(_set(name, case.id, wanted.activity, fields, instead, also=also))
    return found


def _fields(rows: Sequence[tags.Tag]) -> dict[str, str]:
    return {k: v for row in rows for k, v in row.fields.items()}


def _set(
    name: str, case: str, activity: str, fields: Mapping[str, str], supersedes: Collection[str], **more: Any
) -> Draft:
    detail = {
        "recording": name, "case": case, "activity": activity, "fields": dict(fields), "by_rule": False, "score": None,
        "reasons": [], "supersedes": sorted(supersedes), **more,
    }  # fmt: skip
    return Draft("tag.set", new_id("tag"), detail)


def untag(config: Config, names: Sequence[str], *, case: str = "", activity: str = "", why: str = "") -> dict[str, Any]:
    """Say that recordings are of no case (or not of this one) after all: the rule does not set it again. Raises Refused where there
    is no such tag."""
    typed.text(why, "a reason", LONGEST, empty=True)

    def make(ledger: Ledger, _: Actor) -> list[Draft]:
        with ledger.catalog.read() as conn:
            meant = _meant(conn, names)
            only = set(tags.family(conn, case_of(conn, case).id)) if case else None
            said = tags.of(conn, meant)
        found = []
        for name in meant:
            rows = [row for row in said.get(name, ()) if row.state == "set" and (only is None or row.casefile in only)]
            rows = [row for row in rows if not activity or row.activity == activity]
            if not rows:
                raise Refused(
                    f"{name} has no such tag", code="no-tag", hint="`mediad recordings --json` shows what has"
                )
            found += [
                Draft("tag.withdrawn", row.id, {"recording": name, "case": row.casefile, "activity": row.activity, "why": why})
                for row in rows
            ]  # fmt: skip
        return found

    return _told(perform(config, "tag", make))


def _told(performed: Performed) -> dict[str, Any]:
    done = [{"id": d.subject, "recording": d.detail["recording"], "case": d.detail["case"]} for d in performed.drafts]
    return {"tags": done, "waits": performed.waits or None}


# --- proposals ----------------------------------------------------------------------------------------------------------


def accept(config: Config, names: Sequence[str], *, case: str = "", activity: str = "") -> dict[str, Any]:
    """Take a proposal. Raises Refused where there is none, or several and no ``case``."""
    wanted = Wanted(case, activity)
    _check(config, wanted)

    def make(ledger: Ledger, _: Actor) -> list[Draft]:
        with ledger.catalog.read() as conn:
            found = []
            for name, rows in _waiting(conn, names, case):
                if len(rows) > 1:
                    raise Refused(
                        f"{name} may be of {len(rows)} cases", code="several-cases", hint="--case NO says of which"
                    )
                (row,) = rows
                standing = [each.id for each in tags.of(conn, [name]).get(name, ()) if each.state == "set"]
                found.append(
                    _set(name, row.casefile, activity, {}, standing, score=row.score, reasons=row.reasons.split(","))
                )
        return found

    return _told(perform(config, "tag", make))


def dismiss(config: Config, names: Sequence[str], *, case: str = "", why: str = "") -> dict[str, Any]:
    """Say that recordings are not of the cases that are proposed (or of this one): they are proposed no more."""
    typed.text(why, "a reason", LONGEST, empty=True)

    def make(ledger: Ledger, _: Actor) -> list[Draft]:
        with ledger.catalog.read() as conn:
            return [
                Draft(
                    "tag.dismissed",
                    new_id("tag"),
                    {"recording": name, "case": row.casefile, "activity": "", "fields": {}, "by_rule": False,
                     "score": row.score, "reasons": row.reasons.split(","), "why": why},
                )
                for name, rows in _waiting(conn, names, case)
                for row in rows
            ]  # fmt: skip

    return _told(perform(config, "tag", make))


def _waiting(conn: Connection, names: Sequence[str], case: str) -> list[tuple[str, list[Any]]]:
    meant = _meant(conn, names)
    only = case_of(conn, case).id if case else ""
    listed = tags.proposals(conn, meant)
    found = []
    for name in meant:
        rows = [row for row in listed.get(name, ()) if not only or row.casefile == only]
        if not rows:
            raise Refused(f"nothing like that is proposed for {name}", code="no-proposal", hint="`mediad proposals`")
        found.append((name, rows))
    return found


def proposals(config: Config) -> list[dict[str, Any]]:
    """What waits for a person, after everything that is due was matched; by the start of the recordings."""
    from mediad.wiring.bureau import matching, rules
    from mediad.wiring.station import Station

    station = Station(config, wait_for_space=False)
    try:
        rules.work_off(station)
        matching.work_off(station)
        station.parts.mirror()
        with station.ledger.catalog.read() as conn:
            listed = tags.proposals(conn)
            heads = tags.heads(conn, listed)
            numbers = tags.numbers(conn)
            names = {
                c.id: c.name for c in bureau.cases(conn, {row.casefile for rows in listed.values() for row in rows})
            }
    finally:
        station.close()
    return [
        {
            "recording": name,
            "started_at": rfc3339(head.started_at, config.unit.zone),
            "kind": head.kind,
            "cases": [
                {"id": row.casefile, "number": numbers.get(row.casefile, row.casefile), "name": names.get(row.casefile, ""),
                 "score": row.score, "reasons": row.reasons.split(",")}
                for row in listed[name]
            ],
        }
        for name, head in sorted(heads.items(), key=lambda item: (item[1].started_at, item[0]))
    ]  # fmt: skip
