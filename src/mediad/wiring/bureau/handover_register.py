"""The register of hand-overs of a month (交接登记簿): rows, CSV and PDF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from mediad.catalog import handovers, limits
from mediad.config import Config
from mediad.edges import typst
from mediad.edges.tabular import csv_text
from mediad.model import handover_form as words
from mediad.model.instants import stamp
from mediad.wiring.bureau import typed
from mediad.wiring.bureau.handover import Facts
from mediad.wiring.station import open_ledger

Row = dict[str, Any]


def register_of(config: Config, month: str) -> list[Row]:
    """Hand-overs that began in a month (of the unit's calendar) and brought new files, in their order."""
    wanted = typed.month(month, config.unit.zone)
    ledger = open_ledger(config)
    try:
        with ledger.catalog.read() as conn:
            facts = Facts(conn, config, ledger.clock())
            return [
                _row(facts, h)
                for h in handovers.begun(conn, stamp(wanted.start), stamp(wanted.end))
                if h.state != "nothing"
            ]
    finally:
        ledger.catalog.close()


def _row(facts: Facts, handover: Any) -> Row:
    parts = handovers.dockings(facts.conn, handover.docking)
    ids = [p.id for p in parts]
    rulings = facts.rulings(ids)
    signed = handovers.signing(handover) if handover.state == "signed" else {}
    giver = facts.by_id(signed.get("giver") or facts.giver(handover, parts, rulings))
    at = datetime.fromisoformat(handover.signed_at) if signed else None  # a number that came later is not on the page
    recordings = handovers.recordings(facts.conn, limits.recordings_of_dockings(facts.conn, ids))
    return {
        "handover": handover.docking, "dockings": ids, "signature": handover.state, "version": handover.version,
        "arrived_at": parts[0].opened_at, "stored_at": handovers.stored_at(facts.conn, ids), "signed_at": handover.signed_at,
        "giver_signed_at": signed.get("countersigned", {}).get("at"), "recorder": parts[0].label, "giver": facts.party(giver, at),
        "on_behalf_of": facts.party(facts.by_id(signed.get("on_behalf_of", "")), at),
        "receiver": facts.party(facts.by_id(signed.get("receiver", "")), at),
        "recordings": sum(r.kind != "data" for r in recordings), "files": sum(p.new for p in parts),
        "bytes": sum(p.bytes for p in parts), "late": sum(r["status"] == "late" for r in rulings),
    }  # fmt: skip


def csv_of(config: Config, rows: Sequence[Mapping[str, Any]]) -> bytes:
    """For a spreadsheet: UTF-8 with a mark, and no cell that one would work out."""
    lines = [words.register_cells(n, row, config.unit.zone) for n, row in enumerate(rows, 1)]
    return csv_text([zh for zh, _ in words.REGISTER], lines)


def pdf_of(config: Config, month: str, rows: Sequence[Mapping[str, Any]]) -> bytes:
    """To be printed, on A4 across. It bears the time of its newest fact, so that the same facts make the same file."""
    data = words.register(rows, config.unit.zone, unit=config.unit.name, station=config.station.id, month=month)
    newest = max((at for row in rows for at in (row["arrived_at"], row["signed_at"]) if at), default="")
    at = datetime.fromisoformat(newest) if newest else typed.month(month, config.unit.zone).start
    return typst.render("form", data, at)
