"""What people call what a limit is about: the label of a recorder, the number of a case. Nobody knows an id by heart."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from mediad.catalog import bureau, telling
from mediad.model.deadline import RECORDER
from mediad.model.registers import handed_out

if TYPE_CHECKING:
    from sqlalchemy import Connection


def called(conn: Connection, subjects: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Subjects, each with its ruling, to what they are called; those that have a name."""
    things = {name: str(body.get("docking", handed_out(name))) for name, body in subjects.items()}
    labels = telling.recorder_of(conn, set(things.values()))
    labels |= {case.id: case.numbers[0].number for case in bureau.cases(conn, _cases(subjects)) if case.numbers}
    return {name: labels[thing] for name, thing in things.items() if labels.get(thing)}


def _cases(subjects: Collection[str]) -> list[str]:
    return [name for name in subjects if name.startswith("cas-")]


def meant(conn: Connection, rule: str, typed: str) -> str:
    """The subject that somebody means who calls a recorder or a case by its name; of a recorder all that it was handed out."""
    if rule == RECORDER:
        return bureau.recorder_names(conn).get(typed, typed)
    case = bureau.case_by_number(conn, typed)
    return case.id if case is not None else typed
