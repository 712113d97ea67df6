"""What the events of people, recorders, trips, cases, tags, limits and acts make of their tables. Each holds the whole new state.

What may change a ruling makes it due (``rule``), what may give a recording a case makes it due (``match``): with the fact, so that
nobody has to look for it.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import Connection, and_, delete, exists, or_, select, update

from mediad.catalog import apply_brought, apply_limits
from mediad.catalog import bureau_tables as b
from mediad.catalog import tables as t
from mediad.catalog.apply import Batch, Row, becomes_due, insert_new, upsert
from mediad.catalog.apply_limits import MATCH, RULE
from mediad.catalog.chunks import chunks
from mediad.catalog.wanting import answered, exempt
from mediad.model import registers, trips
from mediad.model.custody import Event, canonical
from mediad.model.instants import stamp
from mediad.model.numbers import number_key


def _person(conn: Connection, batch: Batch) -> None:
    for e, d in batch:
        row = {
            "id": e.subject,
            "name": d["name"],
            "department": d["department"],
            "active": d["active"],
            "detail": canonical(d),
        }
        upsert(conn, b.person, [row])
        conn.execute(delete(b.person_login).where(b.person_login.c.person == e.subject))
        upsert(conn, b.person_login, [{"login": login, "person": e.subject} for login in d["logins"]])
        n = b.person_number.c
        held = conn.execute(select(n.number, n.start, n.until).where(n.person == e.subject))
        before = {(number, start, until) for number, start, until in held}
        conn.execute(delete(b.person_number).where(n.person == e.subject))
        rows: list[Row] = [
            {"number": n["number"], "kind": kind, "person": e.subject, "position": at, "start": n["from"] or "",
             "until": n["until"] or ""}
            for kind, field in (("certificate", "certificates"), ("device", "device_numbers"))
            for at, n in enumerate(d[field])
        ]  # fmt: skip
        upsert(conn, b.person_number, rows)
        after = {(row["number"], row["start"], row["until"]) for row in rows}
        for some in chunks(sorted({number for number, _, _ in before ^ after})):
            apply_limits.ruled_again(conn, e.at, t.recording.c.officer.in_(some))
            apply_limits.docked_again(conn, e.at, t.docking.c.officer.in_(some))


def _key(*, withdrawn: bool) -> Callable[[Connection, Batch], None]:
    def rule(conn: Connection, batch: Batch) -> None:
        rows = [
            {"id": e.subject, "person": d["person"], "fingerprint": d["fingerprint"], "since": e.at, "until": d["until"],
             "withdrawn": withdrawn, "detail": canonical(d)}
            for e, d in batch
        ]  # fmt: skip
        upsert(conn, b.person_key, rows, keep=["since"])

    return rule


def _department(conn: Connection, batch: Batch) -> None:
    rows = [{"id": e.subject, "name": d["name"], "unit": d["unit"], "active": d["active"]} for e, d in batch]
    upsert(conn, b.department, rows)


def _recorder_moved(conn: Connection, batch: Batch) -> None:
    for e, d in batch:
        row = {
            "seq": e.seq,
            "recorder": e.subject,
            "state": d["state"],
            "at": d["at"],
            "carrier": d["carrier"],
            "detail": canonical(d),
        }
        upsert(conn, b.recorder_move, [row])
        apply_brought.moved(conn, e.subject, d["at"])
        # What came with a docking since then may have another carrier now; and somebody may have been back by that.
        apply_limits.docked_again(conn, e.at, t.docking.c.recorder_id == e.subject, t.docking.c.opened_at >= d["at"])
        apply_limits.carried_since(conn, e.at, [d["carrier"]] if d["carrier"] else [], d["at"])
        becomes_due(conn, RULE, [(each, e.at) for each in apply_limits.hand_outs(conn, e.subject, d["at"])])


def _trip(conn: Connection, batch: Batch) -> None:
    for e, d in batch:
        v = b.trip_version.c
        known = conn.execute(select(v.at, v.detail).where(v.trip == e.subject).order_by(v.seq))
        trip = registers.versions(e.subject, [*((row.at, json.loads(row.detail)) for row in known), (e.at, d)])
        since, until = (None if at is None else stamp(at) for at in trips.bounds(trip))
        row = {"id": e.subject, "left": d["left"], "expected": d["expected"], "returned": d["returned"], "void": d["void"],
               "since": since, "until": until, "detail": canonical(d)}  # fmt: skip
        upsert(conn, b.trip, [row])
        upsert(conn, b.trip_version, [{"seq": e.seq, "trip": e.subject, "at": e.at, "detail": canonical(d)}])
        was = set(conn.execute(select(b.trip_of.c.who).where(b.trip_of.c.trip == e.subject)).scalars())
        who = {*d["persons"], *d["recorders"]}
        conn.execute(delete(b.trip_of).where(b.trip_of.c.trip == e.subject))
        upsert(conn, b.trip_of, [{"who": each, "trip": e.subject} for each in sorted(who)])
        apply_limits.ruled_since(conn, e.at, who | was, since or d["left"])


def _case(conn: Connection, batch: Batch) -> None:
    """Many at a time: an ingest waits for the import of a table."""
    newest = {e.subject: d for e, d in batch}
    rows = [
        {"id": name, "form": d["form"], "kind": d["kind"], "name": d["name"], "department": d["department"],
         "opened": d["opened"], "act_ended": d["act_ended"], "archived": d["archived"] is not None,
         "merged_into": d["merged_into"], "detail": canonical(d)}
        for name, d in newest.items()
    ]  # fmt: skip
    upsert(conn, b.casefile, rows)
    for some in chunks(sorted(newest)):
        for table in (b.case_number, b.case_handler):
            conn.execute(delete(table).where(table.c.casefile.in_(some)))
    keys = {number_key(n["number"]): name for name, d in newest.items() for n in d["numbers"]}
    upsert(conn, b.case_number, [{"key": key, "casefile": name} for key, name in keys.items()])
    handlers = [{"person": person, "casefile": name} for name, d in newest.items() for person in d["handlers"]]
    upsert(conn, b.case_handler, handlers)
    becomes_due(conn, RULE, [(e.subject, e.at) for e, _ in batch])
    becomes_due(conn, MATCH, [(e.subject, e.at) for e, _ in batch])


def _activity(conn: Connection, batch: Batch) -> None:
    rows = [{"casefile": e.subject, "activity": d["activity"], "detail": canonical(d)} for e, d in batch]
    upsert(conn, b.case_activity, rows)


def _archived(conn: Connection, batch: Batch) -> None:
    rows = [
        {"casefile": e.subject, "number": d["number"], "vault": d["vault"], "key": d["key"], "sha256": d["sha256"], "at": e.at,
         "detail": canonical(d)}
        for e, d in batch
    ]  # fmt: skip
    upsert(conn, b.case_archive, rows)


def _tag_set(conn: Connection, batch: Batch) -> None:
    """A tag stands for those that it names, and a person's for those of the rule."""
    g = b.tag.c
    for e, d in batch:
        row = _tag_row(conn, e, d, "set")
        upsert(conn, b.tag, [row])
        older = and_(g.recording == row["recording"], g.id != e.subject, g.state == "set")
        named = g.id.in_(d["supersedes"])
        # The rule may have set one since a person looked; to be of that case also is another matter.
        instead = named if d["by_rule"] or d.get("also") else or_(named, g.by_rule.is_(True))
        conn.execute(update(b.tag).where(older, instead).values(state="superseded"))
        conn.execute(delete(b.untagged).where(b.untagged.c.recording == row["recording"]))
        conn.execute(delete(b.proposal).where(b.proposal.c.recording == row["recording"]))


def _tag_row(conn: Connection, event: Event, detail: Mapping[str, Any], state: str) -> Row:
    return {"id": event.subject, "recording": _now(conn, detail["recording"]), "casefile": detail["case"],
            "activity": detail["activity"], "state": state, "by_rule": detail["by_rule"], "at": event.at,
            "detail": canonical(detail)}  # fmt: skip


def _tag_withdrawn(conn: Connection, batch: Batch) -> None:
    """By a person; or the rule takes back its own, which lapsed: that is no word about the case."""
    for e, d in batch:
        state = "lapsed" if d.get("lapsed") else "withdrawn"
        conn.execute(update(b.tag).where(b.tag.c.id == e.subject).values(state=state))
        recording = conn.execute(select(b.tag.c.recording).where(b.tag.c.id == e.subject)).scalar()
        left = exists().where(b.tag.c.recording == recording, b.tag.c.state == "set")
        if recording is not None and not conn.execute(select(left)).scalar():
            _wants_a_case(conn, {recording: e.at})
            becomes_due(conn, MATCH, [(recording, e.at)])


def _tag_dismissed(conn: Connection, batch: Batch) -> None:
    """A person said that a recording is not of a case: the rule does not ask again. What has no rival any more may be clear."""
    for e, d in batch:
        row = _tag_row(conn, e, d, "dismissed")
        upsert(conn, b.tag, [row])
        p = b.proposal.c
        conn.execute(delete(b.proposal).where(p.recording == row["recording"], p.casefile == d["case"]))
        becomes_due(conn, MATCH, [(row["recording"], e.at)])


def _now(conn: Connection, recording: str) -> str:
    """The recording that an id means by now."""
    a = t.recording_alias.c
    return conn.execute(select(a.recording).where(a.alias == recording)).scalar() or recording


def _said(what: str) -> Callable[[Connection, Batch], None]:
    """A person's word about a recording stands for the one before. Another time or carrier may make it that of another case."""

    def rule(conn: Connection, batch: Batch) -> None:
        rows = [
            {"recording": _now(conn, e.subject), "what": what, "at": e.at, "detail": canonical(d)} for e, d in batch
        ]
        for row in rows:
            upsert(conn, b.said_of, [row])
        becomes_due(conn, RULE, [(row["recording"], row["at"]) for row in rows])
        if what in ("carried", "dated"):
            becomes_due(conn, MATCH, [(row["recording"], row["at"]) for row in rows])

    return rule


def _excused(conn: Connection, batch: Batch) -> None:
    """Of no duty, a recording wants no case, and tags of the rule fall; if that was a mistake (``void``), nothing was said, and it
    wants one again."""
    s, g = b.said_of.c, b.tag.c
    for e, d in batch:
        recording = _now(conn, e.subject)
        if d.get("void"):
            conn.execute(delete(b.said_of).where(s.recording == recording, s.what == "excused"))
            _wants_a_case(conn, {recording: e.at})
            becomes_due(conn, MATCH, [(recording, e.at)])
            continue
        upsert(conn, b.said_of, [{"recording": recording, "what": "excused", "at": e.at, "detail": canonical(d)}])
        by_rule = and_(g.recording == recording, g.state == "set", g.by_rule.is_(True))
        conn.execute(update(b.tag).where(by_rule).values(state="lapsed"))
        for table in (b.untagged, b.proposal):
            conn.execute(delete(table).where(table.c.recording == recording))


def _wants_a_case(conn: Connection, recordings: Mapping[str, str]) -> None:
    """Since when recordings are of no case: those of them that are, and whether they want one."""
    r = t.recording.c
    for chunk in chunks(list(recordings)):
        bare = select(r.id, exempt(r.id).label("exempt")).where(r.id.in_(chunk), r.kind != "data", ~answered(r.id))
        rows = [{"recording": row.id, "since": recordings[row.id], "exempt": row.exempt} for row in conn.execute(bare)]
        insert_new(conn, b.untagged, rows)


def joined(conn: Connection, survivor: str, gone: list[str], at: str) -> None:
    """Recordings became one: tags are the one's, a word about one of them is about the one unless that has its own, limits of what
    is gone are none. Each reason for being late, and each receipt, goes with what it was said of."""
    if not gone:
        return
    for chunk in chunks(gone):
        conn.execute(update(b.tag).where(b.tag.c.recording.in_(chunk)).values(recording=survivor))
        s = b.said_of.c
        for row in conn.execute(select(b.said_of).where(s.recording.in_(chunk)).order_by(s.at, s.recording)).all():
            own = conn.execute(select(s.at).where(s.recording == survivor, s.what == row.what)).scalar()
            if own is None or own < row.at:
                upsert(conn, b.said_of, [{**row._mapping, "recording": survivor}])
        conn.execute(delete(b.said_of).where(s.recording.in_(chunk)))
        x = b.explained.c
        conn.execute(update(b.explained).where(x.subject.in_(chunk)).values(subject=survivor))
        conn.execute(delete(b.deadline).where(b.deadline.c.subject.in_(chunk)))
        for table in (b.proposal, b.untagged, b.mention):
            conn.execute(delete(table).where(table.c.recording.in_(chunk)))
    u = b.untagged.c
    conn.execute(delete(b.untagged).where(u.recording == survivor, answered(u.recording)))
    told = select(b.explained.c.rule).where(b.explained.c.subject == survivor, b.explained.c.what == "justified")
    late = and_(b.deadline.c.subject == survivor, b.deadline.c.rule.in_(told))
    conn.execute(update(b.deadline).where(late).values(justified=True))
    becomes_due(conn, RULE, [(survivor, at)])
    becomes_due(conn, MATCH, [(survivor, at)])


def _act(state: str) -> Callable[[Connection, Batch], None]:
    def rule(conn: Connection, batch: Batch) -> None:
        for e, d in batch:
            row = {"id": e.subject, "what": d["what"], "subject": d["subject"], "state": d.get("state", state), "at": e.at,
                   "detail": canonical(d)}  # fmt: skip
            upsert(conn, b.act, [row])

    return rule


def _imported(conn: Connection, batch: Batch) -> None:
    names = ("what", "name", "taken", "bad")
    rows = [{"id": e.subject, **{n: d[n] for n in names}, "at": e.at, "detail": canonical(d)} for e, d in batch]
    upsert(conn, b.imported, rows)


def _message(conn: Connection, batch: Batch) -> None:
    rows = [
        {"subject": n["subject"], "rule": n["rule"], "limit_at": n["limit"], "person": d["person"], "way": d["way"],
         "step": n["step"], "at": e.at, "message": e.subject}
        for e, d in batch for n in d["notices"]
    ]  # fmt: skip
    upsert(conn, b.told, rows)


def timed(conn: Connection, recordings: Mapping[str, str]) -> None:
    """Recordings have times now, or others: recording to when that was recorded."""
    becomes_due(conn, RULE, recordings.items())
    becomes_due(conn, MATCH, recordings.items())
    _wants_a_case(conn, recordings)


APPLY: Final[Mapping[str, Callable[[Connection, Batch], None]]] = {
    "person.registered": _person,
    "key.registered": _key(withdrawn=False),
    "key.withdrawn": _key(withdrawn=True),
    "department.registered": _department,
    "recorder.moved": _recorder_moved,
    "trip.registered": _trip,
    "case.registered": _case,
    "case.activity": _activity,
    "case.archived": _archived,
    "tag.set": _tag_set,
    "tag.withdrawn": _tag_withdrawn,
    "tag.dismissed": _tag_dismissed,
    "recording.carried": _said("carried"),
    "recording.dated": _said("dated"),
    "recording.classified": _said("classified"),
    "recording.excused": _excused,
    "act.proposed": _act("proposed"),
    "act.signed": _act("proposed"),
    "act.refused": _act("refused"),
    "table.imported": _imported,
    "message.sent": _message,
}
