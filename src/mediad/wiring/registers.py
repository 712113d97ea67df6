"""Registers: tables that are imported, and single entries, which are tables of one line. A preview writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediad.catalog import bureau
from mediad.config import Config
from mediad.edges.tabular import read_table
from mediad.errors import Refused
from mediad.model.custody import Draft
from mediad.model.imports import KINDS_OF_EVENTS, Known, Plan, body, plan
from mediad.wiring.acts import Performed, perform

if TYPE_CHECKING:
    from mediad.catalog.ledger import Ledger

ACTS = {
    "people": "register-person",
    "departments": "register-department",
    "trips": "enter-trip",
    "cases": "register-case",
}

NOTES = ("column-unknown",)
"""What is said of a table and keeps nothing of it back: exports have more columns than anybody needs."""


def known(ledger: Ledger, config: Config) -> Known:
    """What the registers hold."""
    with ledger.catalog.read() as conn:
        return Known(
            zone=config.unit.zone, today=ledger.clock().astimezone(config.unit.zone).date(), people=bureau.people(conn),
            departments=bureau.departments(conn), cases=bureau.cases(conn), trips=bureau.trips(conn),
            recorders=bureau.recorder_names(conn),
        )  # fmt: skip


def preview(ledger: Ledger, config: Config, what: str, path: Path) -> Plan[Any]:
    """What a table would change."""
    header, rows, _ = read_table(path)
    return plan(what, header, rows, known(ledger, config))


def take(config: Config, what: str, path: Path, *, good: bool) -> tuple[Plan[Any], Performed | None]:
    """Import a table: all of it, or nothing if a line is bad; with ``good`` its good lines."""
    header, rows, _ = read_table(path)
    return _take(config, what, header, rows, good=good)


def enter(config: Config, what: str, cells: Mapping[str, str]) -> tuple[Plan[Any], Performed | None]:
    """One entry. Raises Refused, with the reason, if it cannot be."""
    found, performed = _take(config, what, list(cells), [(1, list(cells.values()))], good=False)
    if found.findings:
        raise Refused(
            "; ".join(f.detail for f in found.findings), code=found.findings[0].code, hint="nothing was recorded"
        )
    return found, performed


def _take(
    config: Config, what: str, header: Sequence[str], rows: Sequence[tuple[int, Sequence[str]]], *, good: bool
) -> tuple[Plan[Any], Performed | None]:
    plans: list[Plan[Any]] = []

    def make(ledger: Ledger, _: Any) -> list[Draft]:
        found = plan(what, header, rows, known(ledger, config))
        plans.append(found)
        if not good and any(f.code not in NOTES for f in found.findings):
            return []
        return [Draft(KINDS_OF_EVENTS[what], c.entry.id, body(what, c.entry)) for c in found.changes]

    performed = perform(config, ACTS[what], make)
    return plans[0], performed if performed.drafts or performed.waits else None
