"""The month's report, gathered and put into the forms in which it is given out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mediad.catalog import bureau, handed, limits, reporting, tags
from mediad.config import Config
from mediad.edges.activities import load_activities
from mediad.edges.tabular import csv_text
from mediad.model import report, sizes
from mediad.model.calendar import Month, day_of
from mediad.model.deadline import ARCHIVE, STORAGE, Ruling, Status
from mediad.model.instants import minute, rfc3339, stamp
from mediad.model.registers import Move
from mediad.model.report import COLUMNS, NAMES, TOTAL, UNKNOWN, By, Filed, Recorded, Report, Sums
from mediad.model.spans import recorder_back
from mediad.wiring.bureau import casework
from mediad.wiring.bureau.rules import rules_of, status, unruled

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mediad.stages.rule import Rules

    Rulings = Mapping[tuple[str, str], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Made:
    """A report, with what its rows are called, and how many files were seen on recorders and are not stored."""

    report: Report
    names: Mapping[str, str]
    unstored: int
    at: datetime

    def rows(self) -> list[tuple[str, str, Sums]]:
        """Id, name and figures, in the order of names; what nobody knows last."""
        named = [(key, self.names.get(key, key) if key else UNKNOWN, sums) for key, sums in self.report.rows.items()]
        return sorted(named, key=lambda row: (not row[0], row[1], row[0]))


def make(conn: Connection, config: Config, month: Month, by: By, now: datetime) -> Made:
    """The report by what is known now. Writes nothing."""
    people = {p.id: p for p in bureau.people(conn)}
    keys, labels = reporting.recorder_keys(conn), reporting.recorder_labels(conn)
    rules = rules_of(conn, config)
    fresh = unruled(conn, rules)
    recorded = list(_recordings(conn, rules, fresh, month, keys, labels))

    def out(moves: Sequence[Move], position: int, at: datetime) -> Ruling:
        return recorder_back(handed.of_move(conn, moves, position, rules.spans.back, at), rules.spans)

    devices = report.devices(bureau.moves(conn).values(), out, month, now)
    found = report.report(
        month, by, recorded, devices, _cases(conn, config, fresh, month, now),
        lambda person: people[person].department if person in people else "", now,
    )  # fmt: skip
    names: dict[By, dict[str, str]] = {
        "department": {d.id: d.name for d in bureau.departments(conn)},
        "officer": {p.id: p.name for p in people.values()},
        "recorder": labels,
    }
    return Made(found, names[by], reporting.unstored(conn, stamp(month.start), stamp(month.end)), now)


def _recordings(
    conn: Connection, rules: Rules, unruled_: Rulings, month: Month, keys: Mapping[str, str], labels: Mapping[str, str]
) -> Iterable[Recorded]:
    """What belongs to the month: what stands, and what is due to be ruled on worked out on the spot."""
    fresh = {
        subject: body for (name, subject), body in unruled_.items() if name == STORAGE and subject.startswith("rec-")
    }
    start, end = stamp(month.start), stamp(month.end)
    standing = (row for row in reporting.recordings(conn, start, end) if row.id not in fresh)
    for row in (*standing, *reporting.these(conn, list(fresh))):
        body = fresh.get(row.id)
        body = json.loads(row.detail) if body is None else body
        at = datetime.fromisoformat(body["ended_at"] or row.stored_at)
        if not month.holds(at):
            continue
        known = keys.get(row.source, row.source if row.source in labels else "")
        seconds = datetime.fromisoformat(row.ended_at) - datetime.fromisoformat(row.started_at)
        yield Recorded(
            carrier=body["carrier"], recorder=known or row.label, day=day_of(at, rules.zone), seconds=seconds.total_seconds(),
            size=int(row.size), state=body["state"], limb=body["limb"],
            due_at=datetime.fromisoformat(body["due_at"]) if body["due_at"] else None,
            explained=bool(row.explained), untagged=bool(row.untagged),
        )  # fmt: skip


def _cases(conn: Connection, config: Config, fresh: Rulings, month: Month, now: datetime) -> Iterable[Filed]:
    """Cases as `mediad case check` sees them. That one is not concluded yet is no gap in its record."""
    ids = reporting.cases(conn, stamp(month.start), stamp(month.end))
    whose = tags.families(conn, ids)
    activities = load_activities(config.cases.activities)
    tagged = {row.recording for row in tags.of_cases(conn, whose)}
    rulings: Rulings = {**limits.rulings(conn, [*ids, *tagged]), **fresh}
    stored = {subject: body for (rule, subject), body in rulings.items() if rule == STORAGE}
    for case in bureau.cases(conn, ids):
        missing = casework.checked(conn, config, case, activities, stored)
        archiving = rulings.get((ARCHIVE, case.id))
        yield Filed(
            case.department, case.handlers, any(not m.explained and m.code != "not-concluded" for m in missing),
            archiving is not None and status(archiving, now) is Status.LATE,
        )  # fmt: skip


# --- given out ------------------------------------------------------------------------------------------------------------


def as_json(made: Made, config: Config) -> dict[str, Any]:
    """As `mediad report --json` prints it."""
    of = made.report
    return {
        "month": of.month.name, "by": of.by, "unit": config.unit.name, "station": config.station.id,
        "made_at": rfc3339(made.at, config.unit.zone),
        "rows": [{"id": key or None, "name": name, **report.figures(sums, of.by)} for key, name, sums in made.rows()],
        "total": of.total.json(), "unstored": made.unstored,
        "days": [{"day": d.day.isoformat(), "on_time": d.on_time, "late": d.late, "other": d.other} for d in of.days],
    }  # fmt: skip


def as_csv(made: Made) -> bytes:
    """A table for a spreadsheet."""
    by = made.report.by
    rows = [*((name, report.figures(sums, by)) for _, name, sums in made.rows()), (TOTAL, made.report.total.json())]
    lines = [[name, *("" if of[c] is None else of[c] for c, _, _ in COLUMNS)] for name, of in rows]
    return csv_text([" ".join(NAMES[made.report.by]), *(f"{zh} {en}" for _, zh, en in COLUMNS)], lines)


def as_pdf(made: Made, config: Config) -> bytes:
    """The printable report with its charts."""
    from mediad.edges.typst import render

    return render("report", form_data(made, config), made.at)


def form_data(made: Made, config: Config) -> dict[str, Any]:
    """What the printed report is made of."""
    of, zone = made.report, config.unit.zone
    zh, en = NAMES[of.by]
    return {
        "unit": config.unit.name, "station": config.station.id, "month": of.month.name,
        "made": minute(made.at, zone), "by": {"zh": zh, "en": en}, "unstored": made.unstored,
        "total": _printed(TOTAL, of.total, None), "rows": [_printed(name, sums, of.by) for _, name, sums in made.rows()],
        "days": [
            {"day": d, **{"on_time": 0, "late": 0, "other": 0}, **known.get(d, {})}
            for known in [{d.day.day: {"on_time": d.on_time, "late": d.late, "other": d.other} for d in of.days}]
            for d in range(1, (of.month.end.astimezone(zone) - timedelta(hours=12)).day + 1)
        ],
        "columns": [{"key": key, "zh": zh_, "en": en_} for key, zh_, en_ in COLUMNS],
    }  # fmt: skip


def _printed(name: str, sums: Sums, by: By | None) -> dict[str, Any]:
    figures = report.figures(sums, by)
    shown = {key: "–" if value is None else f"{value:,}" for key, value in figures.items()}
    shown |= {"hours": f"{figures['hours']:,.1f}", "bytes": sizes.human(sums.bytes)}
    parts = [sums.on_time_first, sums.on_time_second, sums.late_with_reason, sums.late_without_reason, sums.untrusted,
             sums.not_applicable + sums.pending]  # fmt: skip
    return {"name": name, "figures": shown, "parts": parts, "count": sums.recordings}
