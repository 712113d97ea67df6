"""`make bench-limits`: limits in a catalogue of a million recordings: what is due ruled on, what presses, what the metrics ask.

The catalogue is made by SQL, straight into the tables, without an event: five years of a bureau with 40 officers, 30 recorders,
50,000 dockings, 12,000 trips. It is kept between runs (``BENCH_DIR``, default var/bench). Every statement that is timed is also
explained: a walk over a table of that size is named and makes the exit code 1. What is measured is printed as Markdown.
"""

import argparse
import json
import os
import random
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import event

from mediad.catalog import db, due, limits
from mediad.catalog.apply import becomes_due
from mediad.catalog.db import Catalog
from mediad.catalog.ledger import Ledger
from mediad.config.rules import Deadlines
from mediad.model.calendar import Calendar
from mediad.model.instants import stamp
from mediad.stages import rule
from mediad.stages.rule import Rules
from mediad.wiring.bureau.pressing import pressing

OFFICERS, RECORDERS, TRIPS, OF_DOCKING = 40, 30, 12_000, 20
NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
SPAN = timedelta(days=5 * 365)
H = timedelta(hours=1)
LARGE = {
    "recording",
    "recording_asset",
    "asset",
    "timing",
    "replica",
    "deadline",
    "docking",
    "untagged",
    "explained",
    "trip_version",
    "recorder_move",
}

DETAIL = {
    "rule": "article-28-24h", "state": "met", "due_at": None, "met_at": None, "limb": 1, "trip": "", "why": "",
    "reason": "after-recording", "remarks": [], "ended_at": None, "carrier": "", "carrier_by": "number",
}  # fmt: skip


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def build(path: Path, recordings: int) -> None:
    """The catalogue, if it is not there yet."""
    done = path.with_suffix(f".{recordings}.complete")
    if done.exists():
        return
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    db.migrate(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA journal_mode=MEMORY")
        raw.execute("INSERT INTO station VALUES ('hq-01', 'bench', ?)", (stamp(NOW - SPAN),))
        raw.execute("INSERT INTO vault VALUES ('local', 'm', 'local', 1, ?)", (stamp(NOW - SPAN),))
        raw.execute("INSERT INTO counted VALUES ('local', '', NULL)")
        populate(raw, recordings)
        raw.execute("PRAGMA journal_mode=WAL")
    done.touch()


def populate(raw: sqlite3.Connection, recordings: int) -> None:
    """The five years, into the catalogue of a station that exists and has a vault ``local``."""
    raw.commit()  # neither can be said within a transaction
    raw.execute("PRAGMA synchronous=OFF")
    raw.execute("PRAGMA foreign_keys=OFF")
    registers(raw)
    dockings = recordings // OF_DOCKING
    for table, rows_of in (("docking", docking_rows), ("recorder_move", move_rows), ("brought", brought_rows)):
        fill(raw, table, rows_of(dockings))
    for table, make in RECORDING_TABLES.items():
        fill(raw, table, (make(n, dockings) for n in range(recordings)))
    fill(raw, "untagged", ((rec(n), stamp(ended(n // OF_DOCKING, dockings)), False) for n in range(0, recordings, 100)))
    raw.execute(
        "INSERT INTO explained SELECT rule, subject, 'justified', subject, due_at, '[]', '{\"text\":\"x\"}'"
        " FROM deadline WHERE justified"
    )
    raw.commit()


def fill(raw: sqlite3.Connection, table: str, rows: Iterator[tuple[Any, ...]]) -> None:
    first = next(rows)
    statement = f"INSERT INTO {table} VALUES ({','.join('?' * len(first))})"
    raw.execute(statement, first)
    raw.executemany(statement, rows)
    raw.commit()


def rec(n: int) -> str:
    return f"rec-{n:026}"


def docked(docking: int, dockings: int) -> datetime:
    return NOW - SPAN * (dockings - docking) / dockings


def ended(docking: int, dockings: int) -> datetime:
    return docked(docking, dockings) - 6 * H


def registers(raw: sqlite3.Connection) -> None:
    for n in range(OFFICERS):
        number = f"{n:06}"
        detail = {
            "key": number, "name": f"李明{n}", "department": "", "roles": [],
            "logins": [], "position": "", "shared": False,
            "active": True, "certificates": [{"number": number, "from": None, "until": None}], "device_numbers": [],
        }  # fmt: skip
        raw.execute("INSERT INTO person VALUES (?, ?, '', 1, ?)", (f"per-{n}", f"李明{n}", canonical(detail)))
    for n in range(RECORDERS):
        raw.execute("INSERT INTO recorder VALUES (?, ?, '', '', ?)", (f"rcd-{n}", f"R{n}", stamp(NOW - SPAN)))
        raw.execute("INSERT INTO recorder_key VALUES (?, ?)", (f"serial:{n}", f"rcd-{n}"))
    rng = random.Random(1)
    for n in range(TRIPS):
        person = f"per-{rng.randrange(OFFICERS)}"
        left = NOW - SPAN * rng.random()
        ended_at = stamp(left + 50 * H) if n < TRIPS - 20 else None
        for version, back in enumerate((None, ended_at)):
            detail = {
                "persons": [person], "recorders": [], "left": stamp(left), "expected": stamp(left + 48 * H), "returned": back,
                "reason": "异地检查", "void": False, "approved_by": "",
            }  # fmt: skip
            if not version:
                raw.execute(
                    "INSERT INTO trip VALUES (?, ?, ?, ?, 0, ?, ?, ?)",
                    (f"trp-{n}", stamp(left), detail["expected"], ended_at, stamp(left), ended_at, canonical(detail)),
                )
                raw.execute("INSERT INTO trip_of VALUES (?, ?)", (person, f"trp-{n}"))
            raw.execute(
                "INSERT INTO trip_version VALUES (?, ?, ?, ?)",
                (2 * n + version, f"trp-{n}", stamp(left + version * 50 * H), canonical(detail)),
            )
    raw.commit()


def docking_rows(dockings: int) -> Iterator[tuple[Any, ...]]:
    for n in range(dockings):
        at, recorder = stamp(docked(n, dockings)), n % RECORDERS
        yield (
            f"dck-{n:026}", f"serial:{recorder}", f"rcd-{recorder}", f"R{recorder}", 1, "1", "", "body-camera", "generic",
            f"{n % OFFICERS:06}", "dock", at, n, None, None, "{}", "complete", at, None, None, OF_DOCKING, 0, 0, 0, 10,
        )  # fmt: skip


def move_rows(dockings: int) -> Iterator[tuple[Any, ...]]:
    for n in range(dockings):
        for step, (state, before) in enumerate((("issued", 9 * H), ("returned", timedelta()))):
            at = stamp(docked(n, dockings) - before)
            who = f"per-{n % OFFICERS}" if state == "issued" else ""
            detail = {"state": state, "at": at, "carrier": who, "expected": None, "why": "", "presumed": ""}
            yield 2 * n + step, f"rcd-{n % RECORDERS}", state, at, who, canonical(detail)


def brought_rows(dockings: int) -> Iterator[tuple[Any, ...]]:
    for n in range(dockings):
        at = stamp(docked(n, dockings))
        yield f"dck-{n:026}", f"per-{n % OFFICERS}", at, at


def _asset(n: int, dockings: int) -> tuple[Any, ...]:
    at = stamp(ended(n // OF_DOCKING, dockings))
    return (
        f"ast-{n:026}", f"{n:064x}", None, 10, "video", f"dck-{n // OF_DOCKING:026}", "", f"{n}.mp4".encode(), 0, at, "mtime",
        "estimated", stamp(docked(n // OF_DOCKING, dockings)),
    )  # fmt: skip


def _recording(n: int, dockings: int) -> tuple[Any, ...]:
    end, k = ended(n // OF_DOCKING, dockings), n // OF_DOCKING
    times = stamp(end - timedelta(minutes=5)), stamp(end)
    return (
        rec(n), "video", *times, 0, f"serial:{k % RECORDERS}", f"R{k % RECORDERS}", f"{k % OFFICERS:06}", "body-camera", 0,
        "claimed", "", None,
    )  # fmt: skip


def _timing(n: int, dockings: int) -> tuple[Any, ...]:
    end, k = ended(n // OF_DOCKING, dockings), n // OF_DOCKING
    return (
        f"ast-{n:026}", f"serial:{k % RECORDERS}", "video", stamp(end - timedelta(minutes=5)), stamp(end), "claimed",
        f"{k % OFFICERS:06}", 0, "", '{"time":{"earliest":null,"latest":null}}',
    )  # fmt: skip


def _deadline(n: int, dockings: int) -> tuple[Any, ...]:
    """Of a thousand 935 are met, 50 were late (all but one with a reason), 14 are not applicable, one has no true time; and of the
    newest hundred nothing is in yet."""
    k = n // OF_DOCKING
    end, met = ended(k, dockings), stamp(docked(k, dockings))
    state = (
        "met" if n % 1000 < 935 else "late" if n % 1000 < 985 else "not-applicable" if n % 1000 < 999 else "untrusted"
    )
    if k >= dockings - 5:
        state, met = "waiting", ""
    told = state == "late" and n % 1000 != 935
    limit = None if state in ("not-applicable", "untrusted") else stamp(end + 24 * H)
    detail = {
        **DETAIL,
        "state": state,
        "due_at": limit,
        "met_at": met or None,
        "ended_at": stamp(end),
        "carrier": f"per-{k % OFFICERS}",
    }
    return (
        "article-28-24h",
        rec(n),
        state,
        limit,
        met or None,
        f"per-{k % OFFICERS}",
        stamp(end),
        told,
        canonical(detail),
    )


RECORDING_TABLES: dict[str, Callable[[int, int], tuple[Any, ...]]] = {
    "asset": _asset,
    "replica": lambda n, _: ("local", f"ast-{n:026}", f"originals/{n}", None, "direct", stamp(NOW), "healthy"),
    "recording": _recording,
    "recording_asset": lambda n, _: (rec(n), 0, f"ast-{n:026}"),
    "timing": _timing,
    "deadline": _deadline,
}


# --- measuring ----------------------------------------------------------------------------------------------------------


class Watched:
    """The statements that were executed, to be explained afterwards."""

    def __init__(self, catalog: Catalog) -> None:
        self.seen: dict[str, Any] = {}
        for engine in (catalog._reader, catalog._writer):
            event.listen(engine, "before_cursor_execute", self._note)

    def _note(self, _c: Any, _cursor: Any, statement: str, parameters: Any, _x: Any, many: bool) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")) and not many:
            self.seen.setdefault(statement, parameters)

    def walks(self, path: Path) -> list[str]:
        """Statements that walk over a large table."""
        found = []
        with closing(sqlite3.connect(path)) as raw:
            for statement, parameters in self.seen.items():
                for *_, step in raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters):
                    words = step.split()
                    if words[0] == "SCAN" and words[1] in LARGE:
                        found.append(f"{step}: {' '.join(statement.split())[:160]}")
        return found


def timed(what: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    times, answer = [], None
    for _ in range(rounds):
        began = time.perf_counter()
        answer = what()
        times.append(time.perf_counter() - began)
    return statistics.median(times), answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    path = Path(os.environ.get("BENCH_DIR", "var/bench")).resolve() / f"limits-{asked.recordings}/catalog.db"
    build(path, asked.recordings)
    catalog = Catalog(f"sqlite:///{path}")
    ledger = Ledger(catalog, "hq-01", "bench", lambda: NOW)
    zone = ZoneInfo("Asia/Shanghai")
    section = Deadlines()  # type: ignore[call-arg]
    rules = Rules(section.storage(zone), section.cases(zone, Calendar()), section.spans(zone), zone)
    due.drop(catalog, [due.RULE])  # what the run before found missing
    watched = Watched(catalog)
    newest = [rec(n) for n in range(asked.recordings - 200, asked.recordings)]
    spread = [rec(n) for n in random.Random(2).sample(range(asked.recordings), 200)]
    # Once for all, so that what is new of them is recorded before anything is timed.
    rule.run(ledger, rules, [*newest, *spread])

    def again(subjects: list[str]) -> int:
        catalog.write(lambda conn: becomes_due(conn, due.RULE, [(each, stamp(NOW)) for each in subjects]))
        began = time.perf_counter()
        with catalog.read() as conn:
            seen = due.waiting(conn, due.RULE, NOW, live=(), limit=500)
        catalog.write(lambda conn: due.take_all(conn, seen, "bench", NOW, lambda _: H))
        new = rule.run(ledger, rules, [row.subject for row in seen])
        catalog.write(lambda conn: due.done_all(conn, due.RULE, [row.subject for row in seen], "bench"))
        spent.append(time.perf_counter() - began)
        return new

    soon = stamp(NOW + 2 * H)

    def ask(question: Callable[[Any], Any]) -> Callable[[], Any]:
        def asking() -> Any:
            with catalog.read() as conn:
                return question(conn)

        return asking

    spent: list[float] = []
    print(f"| {asked.recordings:,} recordings, median of {asked.rounds} | |\n|---|---|")
    for what, subjects in (
        ("the newest 200 that are due, worked off", newest),
        ("200 of five years, worked off", spread),
    ):
        spent.clear()
        new = sum(again(subjects) for _ in range(asked.rounds))
        print(f"| {what} ({new} new) | {statistics.median(spent) * 1e3:.0f} ms |")
        took, _ = timed(ask(lambda conn, s=subjects: rule.rule_on(conn, rules, s)), asked.rounds)
        print(f"| of that, the rules and their facts | {took * 1e3:.0f} ms |")
    for what, question in (
        (
            "the board: late, soon late, open, untrusted, and how many of each (`mediad deadlines`)",
            lambda conn: pressing(conn, rules, NOW),
        ),
        ("what the metrics count", lambda conn: limits.counts(conn, stamp(NOW), soon)),
        ("recordings of no case for too long", lambda conn: limits.untagged(conn, stamp(NOW - timedelta(days=7)))),
        ("trips past their expected return", lambda conn: limits.overdue_trips(conn, stamp(NOW))),
    ):
        took, _ = timed(ask(question), asked.rounds)
        print(f"| {what} | {took * 1e3:.0f} ms |")
    walks = watched.walks(path)
    began = time.perf_counter()
    due.refill(catalog, [due.RULE], since={due.TO_SIGN: "", due.OUT: ""})
    print(f"| what is missing among the due, at a start | {time.perf_counter() - began:.1f} s |")
    catalog.close()
    for walk in walks:
        print(f"a walk over a large table: {walk}", file=sys.stderr)
    sys.exit(1 if walks else 0)


if __name__ == "__main__":
    main()
