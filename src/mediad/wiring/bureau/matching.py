"""Recordings and cases that are due to be matched, worked off beside the dockings, and by commands that show what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from mediad.catalog import due
from mediad.edges import files
from mediad.model.backoff import put_off
from mediad.stages import match
from mediad.stages.match import Outcome

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from mediad.wiring.station import Station

MATCH_LOCK = "match.lock"
"""Held while recordings are matched: two at once would tag the same."""

_OWNER = "match"
_SOME = 200


def work_off(station: Station) -> Outcome:
    """Match everything that is due; returns what came of it. Rule first: where a case comes later than the footage, who carried
    what is asked of the rulings. Raises Busy if another process is at it."""
    ledger = station.ledger
    done = Outcome()
    with files.locked(station.locks / MATCH_LOCK, busy="another process is matching recordings", wait_seconds=10.0):
        while not station.stop.is_set():
            with ledger.catalog.read() as conn:
                # Whoever took some before is gone: only one at a time holds the lock.
                seen = due.waiting(conn, due.MATCH, ledger.clock(), live=(), limit=_SOME)
            if not seen:
                break
            rows = ledger.catalog.write(partial(_take, seen, ledger.clock()))
            done += match.run(ledger, station.zone, [row.subject for row in rows])
            ledger.catalog.write(partial(_answered, rows))
    return done


def _take(seen: Sequence[Any], now: datetime, conn: Connection) -> list[Any]:
    return due.take(conn, seen, _OWNER, now, put_off)


def _answered(rows: Sequence[Any], conn: Connection) -> None:
    for row in rows:  # what became due anew meanwhile is nobody's, and stays
        due.done(conn, due.MATCH, row.subject, _OWNER)
