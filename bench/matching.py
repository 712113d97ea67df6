"""Matching at size: a docking of 50 recordings among 1,000,000 in the catalogue and 20,000 cases, and a case that comes later.

Rows are written into the catalogue directly, so that it is there in minutes: the questions are the same. What is measured is the
stage alone, as the daemon runs it, from what is due to what is recorded. The bound is 1 s for the docking.

    .venv/bin/python bench/matching.py [--recordings N] [--cases N] [--keep FOLDER]
"""

import argparse
import json
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mediad import config as configuration
from mediad.catalog import tags
from mediad.model.cases import Case, CaseKind, Numbered
from mediad.model.custody import canonical
from mediad.model.deadline import STORAGE
from mediad.model.instants import stamp
from mediad.model.numbers import beginnings
from mediad.model.people import Dated, Person
from mediad.model.registers import case_json, person_json
from mediad.stages import match
from mediad.wiring.station import Station

OFFICERS = 40
RECORDERS = 30
YEARS = 5
LAST = datetime(2026, 9, 21, 12, tzinfo=UTC)
CONFIG = """\
[unit]
name = "bench"
[station]
id = "bench"
[[vault]]
name = "local"
path = "vault"
[catalog]
url = "sqlite:///catalog.db"
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--recordings", type=int, default=1_000_000)
    options.add_argument("--cases", type=int, default=20_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--keep", type=Path)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=Path(__file__).resolve().parent.parent / "var") as folder:
        root = given.keep or Path(folder)
        root.mkdir(parents=True, exist_ok=True)
        (root / "mediad.toml").write_text(CONFIG, encoding="utf-8")
        with closing(Station(configuration.load(root / "mediad.toml"), wait_for_space=False)) as station:
            fill(root / "catalog.db", given.recordings, given.cases)
            measure(station, given.rounds)


def fill(catalogue: Path, recordings: int, cases: int) -> None:
    """Five years of a bureau, nothing of it tagged: the worst that can be."""
    rng = random.Random(4)
    with closing(sqlite3.connect(catalogue)) as db:
        db.execute("PRAGMA synchronous = OFF")
        if db.execute("SELECT count(*) FROM recording").fetchone()[0]:
            return
        put(
            db,
            "person",
            ((f"per-{n:02}", f"officer {n}", "", 1, canonical(person_json(person(n)))) for n in range(OFFICERS)),
        )
        put(db, "casefile", (row for n in range(cases) for row in [casefile(rng, n, cases)]))
        every = [(row[0], json.loads(row[1])) for row in db.execute("SELECT id, detail FROM casefile")]
        put(db, "case_number", ((n["number"], case) for case, body in every for n in body["numbers"]))
        put(db, "case_handler", ((p, case) for case, body in every for p in body["handlers"]))
        put(db, "docking", ([docking()]))
        put(db, "recording", (recording(n, recordings) for n in range(recordings)))
        put(db, "asset", (asset(n, recordings) for n in range(recordings)))
        put(db, "recording_asset", ((f"rec-{n:07}", 0, f"ast-{n:07}") for n in range(recordings)))
        put(db, "timing", (timing(n, recordings) for n in range(recordings)))
        put(db, "deadline", (deadline(n, recordings) for n in range(recordings)))
        put(db, "untagged", ((f"rec-{n:07}", stamp(LAST), False) for n in range(recordings)))
        mentioned = {f"rec-{n:07}": f"外出检查{n % 977}-{n % 31}" for n in range(0, recordings, 10)}
        put(db, "mention", iter(mentioned.items()))
        put(db, "mention_part", ((part, text) for text in set(mentioned.values()) for part in beginnings(text)))
        db.commit()
        db.execute("ANALYZE")
        db.commit()


def put(db: sqlite3.Connection, table: str, rows: Iterator[Any] | list[Any]) -> None:
    columns = [row[1] for row in db.execute(f'PRAGMA table_info("{table}")')]
    marks = ",".join("?" * len(columns))
    batch: list[Any] = []
    for row in rows:
        batch.append(tuple(row[c] for c in columns) if isinstance(row, dict) else row)
        if len(batch) == 50_000:
            db.executemany(f'INSERT INTO "{table}" VALUES ({marks})', batch)
            batch.clear()
    db.executemany(f'INSERT INTO "{table}" VALUES ({marks})', batch)
    print(f"{table}: filled", flush=True)


def person(n: int) -> Person:
    return Person(f"per-{n:02}", f"21{n:04}", f"officer {n}", certificates=(Dated(f"21{n:04}"),))


def casefile(rng: random.Random, n: int, cases: int) -> dict[str, Any]:
    opened = LAST - timedelta(days=YEARS * 365 * (cases - n) / cases)
    ended = None if rng.random() < 0.1 else opened + timedelta(hours=rng.choice([3, 5, 24 * 30]))
    case = Case(
        f"cas-{n:06}", "case", CaseKind.PENALTY, (Numbered("立案号", f"大金卫罚[{opened.year}]{n}号"),), f"case {n}",
        handlers=frozenset({f"per-{n % OFFICERS:02}", f"per-{(n + 1) % OFFICERS:02}"}), opened=opened, act_ended=ended,
    )  # fmt: skip
    return {
        "id": case.id, "form": "case", "kind": "penalty", "name": case.name, "department": "", "opened": stamp(opened),
        "act_ended": stamp(ended) if ended else None, "archived": 0, "merged_into": "", "detail": canonical(case_json(case)),
    }  # fmt: skip


def when(n: int, recordings: int) -> str:
    return stamp(LAST - timedelta(days=YEARS * 365) * ((recordings - n) / recordings))


def docking() -> dict[str, Any]:
    return {
        "id": "dck-bench-000000", "recorder": "serial:R-1", "recorder_id": None, "label": "R-1", "registered": 0, "slot": "",
        "source": "/media/card", "channel": "body-camera", "profile": "generic", "officer": "", "actor": "bench",
        "opened_at": stamp(LAST), "seq": 1, "continues": None, "said": None, "zones": "{}", "state": "complete",
        "closed_at": stamp(LAST), "handover_key": "h", "handover_sha256": "0" * 64, "new": 0, "sightings": 0, "skipped": 0,
        "failed": 0, "bytes": 0,
    }  # fmt: skip


def recording(n: int, recordings: int) -> dict[str, Any]:
    at = when(n, recordings)
    return {
        "id": f"rec-{n:07}", "kind": "video", "started_at": at, "ended_at": at, "provisional": 0,
        "source": f"serial:R-{n % RECORDERS}", "label": f"R-{n % RECORDERS}", "officer": f"21{n % OFFICERS:04}",
        "channel": "body-camera", "important": 0, "confidence": "claimed", "lens": "", "joined": None,
    }  # fmt: skip


def asset(n: int, recordings: int) -> dict[str, Any]:
    at = when(n, recordings)
    return {
        "id": f"ast-{n:07}", "sha256": f"{n:064x}", "sm3": None, "size": 1, "kind": "video", "docking": "dck-bench-000000",
        "volume": "", "path": f"DCIM/外出检查{n % 977}-{n % 31}/{n:07}.MP4".encode(), "mtime_ns": 1, "captured_at": at,
        "captured_source": "name", "captured_confidence": "claimed", "stored_at": at,
    }  # fmt: skip


def timing(n: int, recordings: int) -> dict[str, Any]:
    at = when(n, recordings)
    return {
        "asset": f"ast-{n:07}", "source": f"serial:R-{n % RECORDERS}", "kind": "video", "started_at": at, "ended_at": at,
        "confidence": "claimed", "officer": f"21{n % OFFICERS:04}", "important": 0, "lens": "", "detail": "{}",
    }  # fmt: skip


def deadline(n: int, recordings: int) -> dict[str, Any]:
    at = when(n, recordings)
    return {
        "rule": STORAGE, "subject": f"rec-{n:07}", "state": "met", "due_at": at, "met_at": at,
        "carrier": f"per-{n % OFFICERS:02}", "ended_at": at, "justified": 0, "detail": "{}",
    }  # fmt: skip


def measure(station: Station, rounds: int) -> None:
    ledger = station.ledger
    with ledger.catalog.read() as conn:
        count = conn.exec_driver_sql("SELECT count(*) FROM recording").scalar_one()
        newest = [row[0] for row in conn.exec_driver_sql("SELECT id FROM recording ORDER BY started_at DESC LIMIT 500")]
        open_case = conn.exec_driver_sql(
            "SELECT id FROM casefile WHERE act_ended IS NULL ORDER BY id LIMIT 1"
        ).scalar_one()
        short_case = conn.exec_driver_sql(
            "SELECT id FROM casefile WHERE act_ended IS NOT NULL ORDER BY id DESC LIMIT 1"
        ).scalar_one()
    print(f"{count:,} recordings")
    tell("a docking of 50 recordings", [timed(station, newest[n * 50 : n * 50 + 50]) for n in range(rounds)])
    tell("a case that is imported late", [timed(station, [short_case]) for _ in range(rounds)])
    tell("one that never ended", [timed(station, [open_case]) for _ in range(rounds)])
    tell("1,000 numbers, asked of what mentions them", [asked(station) for _ in range(rounds)])


def asked(station: Station) -> tuple[float, float]:
    began, used = time.perf_counter(), time.process_time()
    with station.ledger.catalog.read() as conn:
        tags.recordings_that_mention(conn, (f"外出检查{n}-{n % 31}" for n in range(1_000)))
    return time.perf_counter() - began, time.process_time() - used


def timed(station: Station, subjects: list[str]) -> tuple[float, float]:
    """Seconds by the clock on the wall, and of the processor."""
    began, used = time.perf_counter(), time.process_time()
    match.run(station.ledger, station.zone, subjects)
    return time.perf_counter() - began, time.process_time() - used


def tell(what: str, rounds: list[tuple[float, float]]) -> None:
    wall, used = ([seconds[n] for seconds in rounds] for n in (0, 1))
    print(
        f"{what}: median {statistics.median(wall):.3f} s, most {max(wall):.3f} s (processor {statistics.median(used):.3f} s)"
    )


if __name__ == "__main__":
    main()
