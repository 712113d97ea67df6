"""What is known of a case beside its own entry: activities that took place, its recordings, its archives, what it still wants."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, func, select

from mediad.catalog import bureau, tags
from mediad.catalog import bureau_tables as b
from mediad.catalog import tables as t
from mediad.catalog.chunks import chunks
from mediad.model.cases import Case
from mediad.model.duty import Happened, together


def activities(conn: Connection, cases: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Activity to what a person said of it, in a case and what was merged into it (the case itself first)."""
    return _activities(conn, dict.fromkeys(cases, "")).get("", {})


def _activities(conn: Connection, whose: Mapping[str, str]) -> dict[str, dict[str, dict[str, Any]]]:
    a = b.case_activity.c
    said: dict[tuple[str, str], list[tuple[int, dict[str, Any]]]] = {}
    order = {case: n for n, case in enumerate(whose)}
    for chunk in chunks(list(whose)):
        for row in conn.execute(select(b.case_activity).where(a.casefile.in_(chunk)).order_by(a.activity)):
            entry = (order[row.casefile], json.loads(row.detail))
            said.setdefault((whose[row.casefile], row.activity), []).append(entry)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for (case, activity), entries in said.items():
        body = together(entry for _, entry in sorted(entries, key=lambda each: each[0]))
        if body is not None:
            found.setdefault(case, {})[activity] = body
    return found


def happened(conn: Connection, whose: Mapping[str, str]) -> dict[str, list[Happened]]:
    """Case to what took place in it, as people said. ``whose`` as ``tags.families`` gives it."""
    return {
        case: [_happened(key, body) for key, body in said.items()] for case, said in _activities(conn, whose).items()
    }


def _happened(key: str, body: Mapping[str, Any]) -> Happened:
    return Happened(key, body["reason"], body["equivalent"], body["disputed"], body.get("fields", {}))


def parts(conn: Connection, whose: Mapping[str, str]) -> dict[str, list[Case]]:
    """Case to what was merged into it. ``whose`` as ``tags.families`` gives it."""
    found: dict[str, list[Case]] = {}
    for part in bureau.cases(conn, [each for each, whole in whose.items() if each != whole]):
        found.setdefault(whose[part.id], []).append(part)
    return found


def held(conn: Connection, cases: Sequence[str]) -> dict[str, Any]:
    """What belongs to these cases by now, so that it can be told whether that is as it was: files and tags of each recording, and
    what people said of activities."""
    shown: dict[str, list[str]] = {}
    for row in tags.of_cases(conn, cases):
        shown.setdefault(row.recording, []).append(row.id)
    files = originals(conn, list(shown))
    return {
        "recordings": {
            name: {"assets": [file["id"] for file in files.get(name, ())], "tags": sorted(own)}
            for name, own in shown.items()
        },
        "activities": activities(conn, cases),
    }


def activity(conn: Connection, case_id: str, key: str) -> dict[str, Any] | None:
    """What was said of an activity in this very case."""
    a = b.case_activity.c
    detail = conn.execute(select(a.detail).where(a.casefile == case_id, a.activity == key)).scalar()
    return None if detail is None else dict(json.loads(detail))


def owners(conn: Connection, keys: Collection[str]) -> dict[str, str]:
    """Key of a number to the case that has it."""
    n = b.case_number.c
    return {
        row.key: row.casefile
        for chunk in chunks(sorted(keys))
        for row in conn.execute(select(n.key, n.casefile).where(n.key.in_(chunk)))
    }


def archives(conn: Connection, case_id: str) -> list[Row[Any]]:
    """The manifests of a case, the first and its supplements."""
    a = b.case_archive.c
    return list(conn.execute(select(b.case_archive).where(a.casefile == case_id).order_by(a.number)))


def waiting(conn: Connection, cases: Sequence[str]) -> int:
    """How many recordings are proposed for these cases."""
    p = b.proposal.c
    query = select(func.count(func.distinct(p.recording)))
    return sum(conn.execute(query.where(p.casefile.in_(chunk))).scalar_one() for chunk in chunks(cases))


def lost(conn: Connection, recordings: Sequence[str]) -> list[str]:
    """Recordings of which no vault holds a file any more."""
    m, r = t.recording_asset.c, t.replica.c
    held = exists().where(and_(r.asset == m.asset, r.state == "healthy"))
    query = select(m.recording).distinct().where(~held).order_by(m.recording)
    return [
        each for chunk in chunks(recordings) for each in conn.execute(query.where(m.recording.in_(chunk))).scalars()
    ]


def lying_in(conn: Connection, recordings: Sequence[str]) -> dict[str, list[str]]:
    """Recording to the vaults that hold a file of it."""
    m, r = t.recording_asset.c, t.replica.c
    query = select(m.recording, r.vault).distinct().join(t.replica, r.asset == m.asset).where(r.state == "healthy")
    found: dict[str, list[str]] = {}
    for chunk in chunks(recordings):
        for row in conn.execute(query.where(m.recording.in_(chunk)).order_by(m.recording, r.vault)):
            found.setdefault(row.recording, []).append(row.vault)
    return found


def originals(conn: Connection, recordings: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Recording to its files in order, with digests, as a manifest names them."""
    m, a = t.recording_asset.c, t.asset.c
    query = select(m.recording, a.id, a.sha256, a.sm3, a.size, a.path).join(t.asset, a.id == m.asset)
    found: dict[str, list[dict[str, Any]]] = {}
    for chunk in chunks(recordings):
        for row in conn.execute(query.where(m.recording.in_(chunk)).order_by(m.recording, m.position)):
            file = {"id": row.id, "sha256": row.sha256, "size": row.size, "path": row.path}
            found.setdefault(row.recording, []).append(file | ({"sm3": row.sm3} if row.sm3 else {}))
    return found


def takes(conn: Connection, recordings: Sequence[str]) -> Mapping[str, Any]:
    """Recording to its row."""
    r = t.recording.c
    return {
        row.id: row for chunk in chunks(recordings) for row in conn.execute(select(t.recording).where(r.id.in_(chunk)))
    }
