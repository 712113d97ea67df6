"""Tags: which recording is of which case, what is only proposed, and what matching asks to find out.

What a person said of a recording and a case (set, withdrawn, dismissed) stands in ``tag``; what the rule could not decide in
``proposal``, which is no fact and made again when its recording is matched again.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, and_, delete, exists, insert, or_, select

from mediad.catalog import bureau_tables as b
from mediad.catalog import limits
from mediad.catalog import tables as t
from mediad.catalog.apply import insert_new
from mediad.catalog.chunks import chunks
from mediad.catalog.recordings import of_kind
from mediad.catalog.wanting import answered, exempt
from mediad.model import registers
from mediad.model.cases import Case, merged
from mediad.model.deadline import STORAGE
from mediad.model.duty import Tagged
from mediad.model.instants import stamp
from mediad.model.matching import Match
from mediad.model.numbers import beginnings, telling
from mediad.model.when import when


@dataclass(frozen=True, slots=True)
class Tag:
    """What was said of a recording and a case, by a person (``by``, by id; empty for an account of nobody) or the rule
    (``by_rule``, with its ``reasons``), and what became of it."""

    id: str
    recording: str
    casefile: str
    activity: str
    state: Literal["set", "superseded", "withdrawn", "dismissed"]
    by_rule: bool
    at: str
    fields: Mapping[str, str]
    reasons: Sequence[str]
    by: str


def _tag(row: Any) -> Tag:
    detail = json.loads(row.detail)
    return Tag(
        row.id, row.recording, row.casefile, row.activity, row.state, row.by_rule, row.at, detail["fields"], detail["reasons"],
        detail.get("by", ""),
    )  # fmt: skip


def of(conn: Connection, recordings: Iterable[str]) -> dict[str, list[Tag]]:
    """Recording to all that was ever said of its cases, in order."""
    g = b.tag.c
    found: dict[str, list[Tag]] = {}
    for chunk in chunks(sorted(set(recordings))):
        for row in conn.execute(select(b.tag).where(g.recording.in_(chunk)).order_by(g.at, g.id)):
            found.setdefault(row.recording, []).append(_tag(row))
    return found


def tagged(conn: Connection, whose: Mapping[str, str]) -> dict[str, list[Tagged]]:
    """Case to the tags by which recordings are of it or of what was merged into it. ``whose`` as ``families`` gives it."""
    found: dict[str, list[Tagged]] = {}
    listed = of_cases(conn, whose)
    data = set(of_kind(conn, "data", sorted({tag.recording for tag in listed})))
    for tag in listed:
        shown = Tagged(tag.recording, tag.activity, tag.fields, seen=tag.recording not in data)
        found.setdefault(whose[tag.casefile], []).append(shown)
    return found


def of_cases(conn: Connection, cases: Iterable[str]) -> list[Tag]:
    """Tags of cases that are set, in the order of their recordings."""
    g = b.tag.c
    query = select(b.tag).where(g.state == "set").order_by(g.recording, g.at, g.id)
    return [_tag(row) for chunk in chunks(sorted(cases)) for row in conn.execute(query.where(g.casefile.in_(chunk)))]


def shown(conn: Connection) -> dict[str, list[tuple[str, str]]]:
    """Every tagged recording to its cases, each with the activity; a person's tags before the rule's, the newest first."""
    g = b.tag.c
    query = select(g.recording, g.casefile, g.activity).where(g.state == "set")
    found: dict[str, list[tuple[str, str]]] = {}
    for row in conn.execute(query.order_by(g.recording, g.by_rule, g.at.desc(), g.id)):
        found.setdefault(row.recording, []).append((row.casefile, row.activity))
    return found


def numbers(conn: Connection) -> dict[str, str]:
    """Case to the number by which people call it: its first, or that of the case which it was merged into."""
    into: dict[str, str] = {}
    first: dict[str, str] = {}
    for row in conn.execute(select(b.casefile.c.id, b.casefile.c.merged_into, b.casefile.c.detail)):
        listed = json.loads(row.detail)["numbers"]
        first[row.id] = listed[0]["number"] if listed else row.id
        if row.merged_into:
            into[row.id] = row.merged_into
    return {case: first.get(merged(into, case), first[case]) for case in first}


def family(conn: Connection, case_id: str) -> list[str]:
    """A case and all that was merged into it, over any number of steps; itself first."""
    return list(families(conn, [case_id]))


def families(conn: Connection, cases: Sequence[str]) -> dict[str, str]:
    """These cases, and all that was merged into them over any number of steps, to which of them each belongs; themselves first."""
    c = b.casefile.c
    found = {case: case for case in cases}
    fresh = list(cases)
    while fresh:
        query = select(c.id, c.merged_into).order_by(c.id)
        rows = [row for chunk in chunks(fresh) for row in conn.execute(query.where(c.merged_into.in_(chunk)))]
        new = {row.id: found[row.merged_into] for row in rows if row.id not in found}
        found |= new
        fresh = list(new)
    return found


def survivor(conn: Connection, case: Case) -> Case:
    """What a case has become part of; itself if it was not merged."""
    seen = {case.id}
    while case.merged_into and case.merged_into not in seen:
        row = conn.execute(select(b.casefile.c.detail).where(b.casefile.c.id == case.merged_into)).scalar()
        if row is None:
            break
        case = registers.case_of(case.merged_into, json.loads(row))
        seen.add(case.id)
    return case


# --- what matching asks -------------------------------------------------------------------------------------------------


def heads(conn: Connection, recordings: Iterable[str]) -> dict[str, Any]:
    """Recording to its times and marks. Data is none that a case is about."""
    r = t.recording.c
    query = select(r.id, r.kind, r.started_at, r.ended_at, r.important, r.confidence).where(r.kind != "data")
    return {
        row.id: row for chunk in chunks(sorted(set(recordings))) for row in conn.execute(query.where(r.id.in_(chunk)))
    }


def places(conn: Connection, recordings: Iterable[str]) -> dict[str, list[Any]]:
    """Recording to the raw paths of its files, and where the folder lay, if it came from one."""
    m, a, k = t.recording_asset.c, t.asset.c, t.docking.c
    query = select(m.recording, a.path, k.recorder, k.source)
    query = query.join(t.asset, a.id == m.asset).join(t.docking, k.id == a.docking).order_by(m.recording, m.position)
    found: dict[str, list[Any]] = {}
    for chunk in chunks(sorted(set(recordings))):
        for row in conn.execute(query.where(m.recording.in_(chunk))):
            found.setdefault(row.recording, []).append(row)
    return found


def excused(conn: Connection, recordings: Iterable[str]) -> set[str]:
    """Those of which a person said that they are of no duty."""
    s = b.said_of.c
    query = select(s.recording).where(s.what == "excused")
    return {
        each
        for chunk in chunks(sorted(set(recordings)))
        for each in conn.execute(query.where(s.recording.in_(chunk))).scalars()
    }


def cases_near(conn: Connection, persons: Collection[str], first: str, last: str) -> list[Case]:
    """Cases of these handlers that are not archived, were opened by ``last``, and had not ended before ``first``."""
    c, h = b.casefile.c, b.case_handler.c
    query = (
        select(c.id, c.detail)
        .distinct()
        .join(b.case_handler, h.casefile == c.id)
        .where(c.archived.is_(False), c.opened <= last)
        .where(or_(c.act_ended.is_(None), c.act_ended >= first))
    )
    return [
        registers.case_of(row.id, json.loads(row.detail))
        for chunk in chunks(sorted(persons))
        for row in conn.execute(query.where(h.person.in_(chunk)))
    ]


def cases_named(conn: Connection, keys: Collection[str]) -> set[str]:
    """Cases that have one of these numbers."""
    n = b.case_number.c
    return {
        each
        for chunk in chunks(sorted(keys))
        for each in conn.execute(select(n.casefile).where(n.key.in_(chunk))).scalars()
    }


def recordings_that_mention(conn: Connection, keys: Iterable[str]) -> set[str]:
    """Recordings on whose folders, or in whose sidecars, a number may stand: what goes on with more of it falls out when it is
    matched."""
    m, p = b.mention.c, b.mention_part.c
    query = select(m.recording).join(b.mention_part, p.text == m.text)
    found: set[str] = set()
    for key in keys:
        begins = and_(p.part >= key, p.part < key + _LAST) if telling(key) else p.part == key
        found |= set(conn.execute(query.where(begins)).scalars())
    return found


_LAST = "\U0010ffff"
"""What comes after every other character."""


def recordings_carried(conn: Connection, persons: Collection[str], first: str, last: str, limit: int) -> list[str]:
    """Recordings of these carriers, or with them as co-officers, that ended in a time and that no person has tagged, the earliest
    first."""
    d, g, s = b.deadline.c, b.tag.c, b.said_of.c
    tagged = exists().where(g.recording == d.subject, g.state == "set", g.by_rule.is_(False))
    some = sorted(persons)
    beside = select(s.recording).where(s.what == "carried", or_(*(s.detail.contains(f'"{each}"') for each in some)))
    query = select(d.subject).where(d.rule == STORAGE, d.subject.startswith("rec-"), ~tagged)
    query = query.where(d.ended_at >= first, d.ended_at <= last).order_by(d.ended_at, d.subject).limit(limit)
    found = [*conn.execute(query.where(d.carrier.in_(some))).scalars()]
    with_them = list(conn.execute(beside).scalars())
    for chunk in chunks(with_them):
        found += conn.execute(query.where(d.subject.in_(chunk))).scalars()
    return list(dict.fromkeys(found))


def set_by_rule(conn: Connection, case_id: str) -> list[str]:
    """Recordings that the rule has tagged with a case."""
    g = b.tag.c
    query = select(g.recording).where(g.casefile == case_id, g.state == "set", g.by_rule.is_(True))
    return list(conn.execute(query).scalars())


def proposed_for(conn: Connection, case_id: str) -> list[str]:
    """Recordings that are proposed for a case."""
    p = b.proposal.c
    return list(conn.execute(select(p.recording).where(p.casefile == case_id)).scalars())


def note(conn: Connection, proposed: Mapping[str, Sequence[Match]], mentions: Mapping[str, Collection[str]]) -> None:
    """What waits for a person from now on, and what may name a case, of each recording that was matched."""
    for table, some in ((b.proposal, proposed), (b.mention, mentions)):
        for chunk in chunks(sorted(some)):
            conn.execute(delete(table).where(table.c.recording.in_(chunk)))
    rows = [
        {"recording": recording, "casefile": m.case, "score": m.score, "reasons": ",".join(m.reasons)}
        for recording, matches in proposed.items()
        for m in matches
    ]
    if rows:
        conn.execute(insert(b.proposal), rows)
    texts = [{"recording": recording, "text": each} for recording, said in mentions.items() for each in sorted(said)]
    if texts:
        conn.execute(insert(b.mention), texts)
        distinct = sorted({row["text"] for row in texts})
        parts = [{"part": part, "text": text} for text in distinct for part in sorted(beginnings(text))]
        insert_new(conn, b.mention_part, parts)


# --- what people ask ----------------------------------------------------------------------------------------------------


def proposals(conn: Connection, recordings: Collection[str] | None = None) -> dict[str, list[Row[Any]]]:
    """Recording to the cases that are proposed for it, the best first."""
    p = b.proposal.c
    query = select(b.proposal).order_by(p.recording, p.score.desc(), p.casefile)
    found: dict[str, list[Row[Any]]] = {}
    for chunk in [None] if recordings is None else chunks(sorted(recordings)):
        for row in conn.execute(query if chunk is None else query.where(p.recording.in_(chunk))):
            found.setdefault(row.recording, []).append(row)
    return found


def find(
    conn: Connection,
    *,
    first: str | None = None,
    last: str | None = None,
    number: str = "",
    person: str = "",
    sources: Collection[str] = (),
    cases: Collection[str] | None = None,
    untagged: bool = False,
) -> list[str]:
    """Recordings in order of their start, which is what a person said, if one did: that start in a time; whose carrier bears a
    ``number``, being ``person`` if that is registered; of a recorder, by its keys and its id; of cases; that want a case and have
    none."""
    r, d, g = t.recording.c, b.deadline.c, b.tag.c
    query = select(r.id, r.started_at, r.ended_at)
    if number:
        ruled = and_(d.rule == STORAGE, d.subject == r.id, d.carrier != "")
        by_number = and_(r.officer == number, ~exists().where(ruled))
        query = query.where(or_(by_number, exists().where(ruled, d.carrier == person)) if person else by_number)
    if sources:
        query = query.where(or_(r.source.in_(sorted(sources)), r.label.in_(sorted(sources))))
    if cases is not None:
        query = query.where(exists().where(g.recording == r.id, g.state == "set", g.casefile.in_(sorted(cases))))
    if untagged:
        query = query.where(r.kind != "data", ~answered(r.id), ~exempt(r.id))
    dated = limits.said_of_all(conn, "dated")
    since = [] if first is None else [r.started_at >= first]
    until = [] if last is None else [r.started_at <= last]
    rows = list(conn.execute(query.where(*since, *until)))
    if since or until:  # what the recorders of these say may be any time
        rows += [row for chunk in chunks(sorted(dated)) for row in conn.execute(query.where(r.id.in_(chunk)))]
    starts = {row.id: stamp(when(row.started_at, row.ended_at, dated.get(row.id))[0]) for row in rows}
    found = ((at, name) for name, at in starts.items() if (first or at) <= at <= (last or at))
    return [name for _, name in sorted(found)]
