"""What presses now, as `mediad deadlines` shows it to people: what is late and unexplained, ends within a day, or waits for
somebody. It costs what presses, and not what there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mediad.catalog import bureau, limits
from mediad.model.deadline import Status
from mediad.model.instants import stamp
from mediad.wiring.bureau.called import called
from mediad.wiring.bureau.rules import Body, brief, fresh, on_the_spot, status

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mediad.stages.rule import Rules

AHEAD = timedelta(hours=24)
"""What ends within that is shown before it is late."""

MOST = 200
"""So many are shown, the most pressing first."""


@dataclass(frozen=True, slots=True)
class Pressing:
    """``rows`` as ``wiring.rules.brief`` makes them, with subject, label and carrier; ``counts``: status to how many limits have
    it, but for those that are met or not applicable; ``unruled``: subjects that are due to be ruled on anew and are told here as
    they stood before."""

    rows: Sequence[Mapping[str, Any]]
    counts: Mapping[str, int]
    unruled: int


def pressing(conn: Connection, rules: Rules, now: datetime) -> Pressing:
    """What presses by what is known now. Writes nothing."""
    waiting, left = on_the_spot(conn)
    known = fresh(conn, rules, waiting)
    stood = limits.rulings(conn, {subject for _, subject in known})
    soon = stamp(now + AHEAD)
    standing = {(row.rule, row.subject): limits.body_of(row) for row in limits.pressing(conn, soon, MOST + len(stood))}
    bodies: dict[tuple[str, str], Body] = {key: body for key, body in standing.items() if key not in known}
    told = limits.reasons_given(conn, sorted({subject for _, subject in known}))
    bodies |= {key: body for key, body in known.items() if _presses(body, soon) and key not in told}
    counts = Counter(limits.statuses(conn, stamp(now)))
    counts.subtract(status(body, now).value for key, body in stood.items() if key in known)
    counts.update(status(body, now).value for body in known.values())
    people = {p.id: p.name for p in bureau.people(conn)}
    listed = sorted(bodies.items(), key=lambda each: (each[1]["due_at"] is None, each[1]["due_at"] or "", each[0]))
    labels = called(conn, {subject: body for (_, subject), body in listed[:MOST]})
    rows = [
        {
            **brief(rule, body, rules, now, subject=subject),
            "label": labels.get(subject),
            "carrier": people.get(body["carrier"]),
        }
        for (rule, subject), body in listed[:MOST]
    ]
    shown = (each.value for each in Status if each not in (Status.MET, Status.NOT_APPLICABLE))
    return Pressing(rows, {each: counts[each] for each in shown}, left)


def _presses(body: Body, soon: str) -> bool:
    if body["state"] == "waiting":
        return bool(body["due_at"] <= soon)
    return body["state"] in ("late", "open", "untrusted")
