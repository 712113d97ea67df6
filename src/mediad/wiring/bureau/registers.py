"""Registers: tables that are imported, and single entries, which are tables of one line. A preview writes nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediad.catalog import bureau
from mediad.config import Config
from mediad.edges.tabular import Table, read_table
from mediad.errors import Refused
from mediad.model.acts import Actor, refusal
from mediad.model.columns import BadLine
from mediad.model.custody import Draft
from mediad.model.ids import named_id
from mediad.model.imports import KINDS_OF_EVENTS, NOTES, Plan, body, entry_of, plan
from mediad.model.layout import printable
from mediad.model.lines import Known
from mediad.wiring.bureau.acts import Make, Performed, acting, perform, perform_for

if TYPE_CHECKING:
    from mediad.catalog.ledger import Ledger
    from mediad.wiring.station import Station

ACTS = {
    "people": "register-person",
    "departments": "register-department",
    "trips": "enter-trip",
    "cases": "register-case",
}

IMPORTED = "table.imported"


@dataclass(frozen=True, slots=True)
class Watched:
    """Where the daemon found a table: in which inbox, and when it was written there. ``before``: how its bytes were imported, if
    they were."""

    inbox: str
    mtime_ns: int
    before: Mapping[str, Any] | None = None

    @property
    def source(self) -> str:
        return f"inbox:{self.inbox}"

    @property
    def old(self) -> bool:
        """Whether nothing is to be read of it: no line was bad, or it was not put in anew, or people answer for it."""
        b = self.before
        return b is not None and (not b["bad"] or b.get("mtime_ns", 0) >= self.mtime_ns or bool(b.get("waits")))


MOST_TOLD = 200
"""So many findings of one table stand in its event; how many lines are bad stands there in any case."""


def known(
    ledger: Ledger,
    config: Config,
    what: str,
    actor: Actor,
    *,
    single: bool = False,
    watched: bool = False,
    back: bool = False,
) -> Known:
    """What the registers hold, for a table of ``what``."""
    also = config.acts.act("register-department")
    may = set(also.wants) <= set(config.acts.act(ACTS[what]).wants)
    may = may and (watched or refusal(also, actor, unmapped=config.acts.unmapped) is None)
    with ledger.catalog.read() as conn:
        return Known(
            zone=config.unit.zone, now=ledger.clock(), people=bureau.people(conn), departments=bureau.departments(conn),
            cases=bureau.cases(conn), trips=bureau.trips(conn), recorders=bureau.recorder_names(conn),
            single=single, watched=watched, back=back, actor=actor.person.id if actor.person else "", new_departments=may,
        )  # fmt: skip


def planned(ledger: Ledger, what: str, table: Table, there: Known) -> Plan[Any]:
    """What a table comes to. What it changes is held against what that was before; a person who makes a single entry sees that."""
    with ledger.catalog.read() as conn:

        def earlier(name: str) -> list[Any]:
            return [entry_of(what, name, said) for said in bureau.told_of(conn, KINDS_OF_EVENTS[what], name)]

        return plan(what, table.header, table.rows, there if there.single else replace(there, earlier=earlier))


def preview(ledger: Ledger, config: Config, what: str, path: Path, *, back: bool = False) -> Plan[Any]:
    """What a table would change, if the one who asks imported it."""
    return planned(ledger, what, read_table(path), known(ledger, config, what, acting(ledger), back=back))


def take(
    config: Config, what: str, path: Path, *, good: bool, back: bool = False
) -> tuple[Plan[Any], Performed | None]:
    """Import a table: all of it, or nothing if a line is bad; with ``good`` its good lines. That it was imported is a fact as well,
    with what was wrong with it. ``back``: also what goes back to what it was before."""
    table = read_table(path)
    plans: list[Plan[Any]] = []
    performed = perform(config, ACTS[what], _make(config, what, table, plans, good=good, back=back))
    return plans[0], performed if _took(performed) else None


def take_for(station: Station, what: str, table: Table, watched: Watched, *, good: bool) -> tuple[Plan[Any], Performed]:
    """The same by the daemon, for a folder that the configuration names. It gives nobody a right."""
    plans: list[Plan[Any]] = []
    make = _make(station.config, what, table, plans, good=good, watched=watched)
    performed = perform_for(station, ACTS[what], make, watched.source)
    return plans[0], performed


def refuse_for(station: Station, what: str, table: Table, why: BadLine, watched: Watched) -> None:
    """A file that is no table at all: that is a fact as well, so that it is told, and not read again and again."""
    found: Plan[Any] = Plan((), 0, (why,))
    perform_for(
        station,
        ACTS[what],
        lambda _ledger, _actor: [_imported(what, table, found, watched, taken=False)],
        watched.source,
    )


def enter(config: Config, what: str, cells: Mapping[str, str]) -> tuple[Plan[Any], Performed | None]:
    """One entry. Raises Refused, with the reason, if it cannot be."""
    plans: list[Plan[Any]] = []
    table = Table("", list(cells), [(1, list(cells.values()))], "utf-8", "")
    performed = perform(config, ACTS[what], _make(config, what, table, plans, good=False, single=True))
    if found := plans[0].findings:
        raise Refused("; ".join(f.detail for f in found), code=found[0].code, hint="nothing was recorded")
    return plans[0], performed if _took(performed) else None


def _took(performed: Performed) -> bool:
    return bool(performed.waits) or any(d.kind != IMPORTED for d in performed.drafts)


def _make(
    config: Config, what: str, table: Table, plans: list[Plan[Any]], *, good: bool, watched: Watched | None = None,
    **how: bool,
) -> Make:  # fmt: skip
    def make(ledger: Ledger, actor: Actor) -> list[Draft]:
        found = planned(ledger, what, table, known(ledger, config, what, actor, watched=watched is not None, **how))
        plans.append(found)
        refused = not good and any(f.code not in NOTES for f in found.findings)
        changes = () if refused else found.changes
        drafts = [Draft("department.registered", d.id, body("departments", d)) for d in found.departments if changes]
        drafts += [Draft(KINDS_OF_EVENTS[what], c.entry.id, body(what, c.entry)) for c in changes]
        if not table.sha256:
            return drafts
        told = _imported(what, table, found, watched, taken=not refused)
        nothing_new = watched and watched.before and told.detail["findings"] == watched.before["findings"]
        return drafts if nothing_new and not drafts else [*drafts, told]

    return make


def _imported(what: str, table: Table, found: Plan[Any], watched: Watched | None, *, taken: bool) -> Draft:
    """That a table was read, and what was wrong with it: what an office exported, and was not taken, leaves a trace."""
    new = sum(c.new for c in found.changes)
    bad = len({f.line for f in found.findings if f.code not in NOTES})
    detail = {
        "what": what, "name": plain_name(table.name), "sha256": table.sha256, "encoding": table.encoding, "taken": taken,
        "new": new, "changed": len(found.changes) - new, "same": found.same, "bad": bad,
        "findings": [{"line": f.line, "code": f.code, "detail": f.detail} for f in found.findings[:MOST_TOLD]],
        **({"inbox": watched.inbox, "mtime_ns": watched.mtime_ns} if watched else {}),
    }  # fmt: skip
    return Draft(IMPORTED, import_id(what, table.sha256), detail)


def import_id(what: str, sha256: str) -> str:
    """What the import of certain bytes as a certain table is called."""
    return named_id("imp", what, sha256)


def plain_name(name: str) -> str:
    """The name of a file as an event may hold it."""
    return printable(os.fsencode(name))[:200]
