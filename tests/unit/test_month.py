"""A month in the life of a bureau: people, recorders, trips, late docks, wrong clocks and cases, put into a real catalogue as
events; and the report that they come to, worked out here by plain counting of what was made up.

The simulation decides what each thing is to be (in time, late, away on a trip), and makes the facts so; nothing here asks a rule.
"""

import csv
import hashlib
import io
import random
import re
from base64 import b64encode
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mediad.catalog import due
from mediad.catalog.record import record
from mediad.model.custody import Draft
from mediad.model.ids import asset_id, named_id, recording_id
from mediad.model.instants import stamp
from mediad.model.report import BYS, COLUMNS, OF_CASES, TOTAL, UNKNOWN, By
from mediad.stages import rule
from mediad.wiring.bureau import report as reports
from mediad.wiring.bureau import typed
from mediad.wiring.bureau.rules import rules_of
from tests.support import Site, make_site
from tests.unit.test_forms import one_line, text_of

ZONE = ZoneInfo("Asia/Shanghai")
OFFICERS, DEPARTMENTS, RECORDERS, CASES = 40, 4, 30, 200
FIRST, DAYS = datetime(2026, 10, 29, tzinfo=ZONE), 37
"""It begins before the month and ends after it: what lies at its edges must not be counted."""
END = datetime(2026, 12, 1, tzinfo=ZONE)
NOW = datetime(2027, 1, 15, tzinfo=UTC)
HOUR, MINUTE, DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(days=1)
FIELDS = (
    "recordings", "on_time_first", "on_time_second", "late_with_reason", "late_without_reason", "untrusted", "not_applicable",
    "pending", "untagged", "not_back", "lost", "broken", "cases", "cases_incomplete", "archived_late",
)  # fmt: skip


@dataclass
class Bureau:
    """What happens, and what it is to come to: per kind of row, row and column."""

    dice: random.Random
    events: list[tuple[datetime, list[Draft]]] = field(default_factory=list)
    count: dict[By, dict[str, Counter[str]]] = field(default_factory=lambda: {by: {} for by in BYS})
    total: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    recordings: int = 0
    late: list[str] = field(default_factory=list)
    tagged: list[str] = field(default_factory=list)

    def add(self, at: datetime, *drafts: Draft) -> None:
        self.events.append((at, list(drafts)))

    def counts(self, column: str, officer: str, recorder: str, n: int = 1) -> None:
        self.total[column] += n
        for by, key in (("officer", officer), ("department", department_of(officer)), ("recorder", recorder)):
            self.count[by].setdefault(key, Counter())[column] += n  # type: ignore[index]


def officer_id(n: int) -> str:
    return named_id("per", "person", f"2102130{n:03}")


def department_id(n: int) -> str:
    return named_id("dep", "department", f"第{n}大队")


def department_of(officer: str) -> str:
    return THEIRS.get(officer, "")


THEIRS = {officer_id(n): department_id(n % DEPARTMENTS) for n in range(OFFICERS)}


def recorder_id(n: int) -> str:
    return f"rcd-{n:02}"


def person(n: int) -> Draft:
    number = {"number": f"2102130{n:03}", "from": None, "until": None}
    body = {"key": number["number"], "name": f"警员{n:02}", "department": department_id(n % DEPARTMENTS), "roles": ["officer"],
            "logins": [], "position": "", "shared": False, "active": True,
            "certificates": [number], "device_numbers": []}  # fmt: skip
    return Draft("person.registered", officer_id(n), body)


def move(n: int, state: str, at: datetime, officer: str = "") -> Draft:
    body = {"state": state, "at": stamp(at), "carrier": officer, "expected": None, "why": "跌落", "presumed": ""}
    return Draft("recorder.moved", recorder_id(n), body)


def dock(b: Bureau, label: str, recorder: str | None, at: datetime, films: list[dict[str, Any]]) -> None:
    """A docking with these films, all stored at that time: what each is was decided by whoever made it up."""
    name = f"dck-{len(b.events):06}"
    source = f"serial:{label}" if recorder else f"folder:{label}"
    opened = {"recorder": source, "recorder_id": recorder, "label": label, "registered": recorder is not None, "slot": "",
              "source": "", "channel": "body-camera", "profile": "generic", "officer": "", "continues": None, "said": None,
              "zones": {}}  # fmt: skip
    stored, timed = [], []
    for film in films:
        digest = hashlib.sha256(f"{name} {len(stored)}".encode())
        asset, trusted = asset_id(digest.digest()), film.get("trusted", True)
        captured = {
            "value": stamp(film["start"]),
            "source": "name",
            "confidence": "claimed" if trusted else "untrusted",
        }
        path = b64encode(f"DCIM/{len(stored)}.mp4".encode()).decode()
        stored.append(Draft("asset.stored", asset, {
            "volume": "", "path_b64": path, "size": film["size"], "mtime_ns": 1, "birth_ns": None, "source": source, "device": 0,
            "inode": 0, "docking": name, "sha256": digest.hexdigest(), "kind": "video", "captured": captured,
            "recording": recording_id(digest.digest()), "label": label, "officer": film.get("number", ""), "important": False,
            "channel": film.get("channel", "body-camera"), "vault": "local", "key": f"originals/{name}/{asset}.mp4",
            "method": "direct", "verified_at": stamp(at),
        }))  # fmt: skip
        timed.append(Draft("asset.timed", asset, {
            "docking": name, "source": source, "kind": "video", "started_at": stamp(film["start"]), "ended_at": stamp(film["end"]),
            "confidence": captured["confidence"], "officer": film.get("number", ""), "important": False, "lens": "", "time": {},
        }))  # fmt: skip
        film["id"] = recording_id(digest.digest())
    closed = {"state": "complete", "ended_at": stamp(at), "handover": {"key": f"handovers/{name}", "sha256": "0" * 64},
              "counts": {"new": len(films), "sightings": 0, "skipped": 0, "failed": 0, "bytes": 0}, "findings": []}  # fmt: skip
    b.add(at, Draft("docking.opened", name, opened))
    b.add(at, *stored)
    b.add(at, *timed)
    b.add(at, Draft("docking.closed", name, closed))
    tags = [tag for film in films for tag in _counted(b, film, recorder or label, at)]
    b.add(at + MINUTE, *tags)


def _counted(b: Bureau, film: dict[str, Any], recorder: str, stored: datetime) -> list[Draft]:
    """Plain counting: a film belongs to November by its end, or by when it was stored where nobody knows that."""
    b.recordings += 1
    known = film["end"] if film.get("trusted", True) else stored
    tagged = b.dice.random() < 0.7
    tags = [tag(film["id"], "cas-none")] if tagged else []
    late = film["is"] == "late"
    if late and (explained := b.dice.random() < 0.5):
        b.add(NOW - DAY, Draft("deadline.justified", film["id"], {"rule": "article-28-24h", "text": "设备故障"}))
    if (known.astimezone(ZONE).year, known.astimezone(ZONE).month) != (2026, 11):
        return tags
    column = f"late_{'with' if explained else 'without'}_reason" if late else film["is"]
    who = film["officer"]
    b.counts("recordings", who, recorder)
    b.counts(column, who, recorder)
    b.counts("untagged", who, recorder, not tagged and film["is"] != "not_applicable")
    for key in {"*", who, department_of(who), recorder}:
        b.seconds[key] += int((film["end"] - film["start"]).total_seconds())
        b.bytes[key] += film["size"]
    return tags


def tag(recording: str, case: str, activity: str = "") -> Draft:
    body = {"recording": recording, "case": case, "activity": activity, "fields": {}, "by_rule": False, "score": None,
            "reasons": [], "supersedes": []}  # fmt: skip
    return Draft("tag.set", named_id("tag", "tag", f"{recording}\0{case}"), body)


def stint(b: Bureau, n: int, day: datetime, who: int) -> int:
    """A recorder goes out with somebody for a day, or for a trip, and comes back; returns after how many days it may go out
    again."""
    dice, officer = b.dice, officer_id(who)
    issued = day + 8 * HOUR
    b.add(issued, move(n, "issued", issued, officer))
    kind = dice.choices(["normal", "late", "trip", "trip-late", "clock", "clock-late"], [80, 8, 6, 2, 2, 2])[0]
    starts = [day + 9 * HOUR + dice.randrange(8 * 60) * MINUTE for _ in range(dice.randrange(3, 8))]
    films: list[dict[str, Any]] = []
    for start in starts:
        length = dice.randrange(30, 1800) * timedelta(seconds=1)
        film = {"start": start, "end": start + length, "size": dice.randrange(10**6, 10**9),
                "officer": officer, "number": dice.choice(["", f"2102130{who:03}"]), "is": "on_time_first"}  # fmt: skip
        films.append(film)
    free, back = 1, day + 17 * HOUR + dice.randrange(180) * MINUTE + 30 * MINUTE
    if kind == "late":
        free, back = 3, day + 2 * DAY + 17 * HOUR + 31 * MINUTE  # the last film ended at 17:30 at the latest
        for film in films:
            film["is"] = "late"
    elif kind.startswith("trip"):
        free, returned = 5, day + 2 * DAY + 20 * HOUR
        back = returned + (30 * HOUR if kind == "trip-late" else dice.randrange(1, 23) * HOUR)
        trip = {"persons": [officer], "recorders": [], "left": stamp(issued + 15 * MINUTE), "expected": stamp(returned),
                "returned": None, "reason": "跨区检查", "void": False, "approved_by": ""}  # fmt: skip
        name = f"trp-{len(b.events)}"
        b.add(issued, Draft("trip.registered", name, trip))
        b.add(returned, Draft("trip.registered", name, {**trip, "returned": stamp(returned)}))
        for film in films:
            film["is"] = "late" if kind == "trip-late" else "on_time_second"
    elif kind.startswith("clock"):
        # The recorder believes in the year 2000. It cannot have recorded before it went out: docked within a day it was in time.
        free, back = (1, back) if kind == "clock" else (4, day + 3 * DAY)
        for film in films:
            length = film["end"] - film["start"]
            film |= {"trusted": False, "start": datetime(2000, 1, 1, tzinfo=UTC), "end": datetime(2000, 1, 1, tzinfo=UTC) + length,
                     "number": "", "is": "on_time_first" if kind == "clock" else "untrusted"}  # fmt: skip
    if kind in ("late", "clock-late") and issued + DAY < END < back:
        b.counts("not_back", officer, recorder_id(n))
    dock(b, f"B-{n:02}", recorder_id(n), back, films)
    b.add(back + MINUTE, move(n, "returned", back + MINUTE))
    return free


def case(b: Bureau, n: int) -> None:
    """A case whose act ends on some day around the month; what is missing of it, and when it was archived, was thrown."""
    dice = b.dice
    ended = FIRST + dice.randrange(DAYS * 24) * HOUR
    kind = dice.choice(["inspection", "penalty"])
    handlers = sorted({officer_id(dice.randrange(OFFICERS)) for _ in range(2)})
    department, name = department_id(dice.randrange(DEPARTMENTS)), f"cas-{n:03}"
    proof = dice.choice(["recorded", "reason", "nothing"])
    archived = dice.choice([ended + 20 * DAY, ended + 41 * DAY, None])
    party = "" if n % 10 == 0 else "某单位"
    file = {"at": stamp(archived), "file_number": f"档{n}", "term": "30年", "place": "一柜", "receiver": handlers[0],
            "manifest": "0" * 64} if archived else None  # fmt: skip
    body = {"form": "case", "kind": kind, "numbers": [{"type": "立案号", "number": f"卫罚立〔2026〕{n}号"}],
            "name": f"=案件{n}", "party": party, "handlers": handlers, "department": department, "urgent": False,
            "opened": stamp(ended - 3 * DAY), "reported": None,
            "act_ended": stamp(ended), "concluded": stamp(ended) if archived or n % 2 else None, "archived": file,
            "merged_into": ""}  # fmt: skip
    b.add(ended, Draft("case.registered", name, body))
    if proof == "recorded":
        b.add(ended, tag(f"rec-of-{n}", name, "on-site-inspection"))
    elif proof == "reason":
        said = {
            "activity": "on-site-inspection",
            "void": False,
            "reason": "现场不具备条件",
            "equivalent": "",
            "disputed": None,
        }
        b.add(ended, Draft("case.activity", name, said))
    if n % 5 == 0 and kind == "penalty":  # what was sealed wants a record; the reason why there is none explains it
        b.add(ended, Draft("case.activity", name, {"activity": "sealing", "void": False, "reason": "设备故障",
                                                   "equivalent": "", "disputed": None}))  # fmt: skip
    if (ended.year, ended.month) != (2026, 11):
        return
    columns = ["cases"]
    # One without its party wants it; that one is not concluded yet is no gap.
    columns += ["cases_incomplete"] if not party or (kind == "inspection" and proof == "nothing") else []
    columns += ["archived_late"] if archived is None or archived == ended + 41 * DAY else []
    for column in columns:
        b.total[column] += 1
        b.count["department"].setdefault(department, Counter())[column] += 1
        for handler in handlers:
            b.count["officer"].setdefault(handler, Counter())[column] += 1


def bureau() -> Bureau:
    b = Bureau(random.Random(20261101))
    for n in range(DEPARTMENTS):
        b.add(
            FIRST, Draft("department.registered", department_id(n), {"name": f"第{n}大队", "unit": "", "active": True})
        )
    for n in range(OFFICERS):
        b.add(FIRST, person(n))
    for n in range(RECORDERS):
        body = {"label": f"B-{n:02}", "name": f"{n}号", "profile": "", "keys": [f"serial:B-{n:02}"]}
        b.add(FIRST, Draft("recorder.registered", recorder_id(n), body))
    busy = dict.fromkeys(range(RECORDERS), 0)
    away = dict.fromkeys(range(OFFICERS), 0)
    for day in range(DAYS - 2):
        free = [
            o for o in range(OFFICERS) if away[o] <= day and (o > 3 or day < 20)
        ]  # the first four are in the stories
        b.dice.shuffle(free)
        for n in range(RECORDERS - 4):  # the last four have stories of their own
            if busy[n] <= day and free:
                who = free.pop()
                busy[n] = away[who] = day + stint(b, n, FIRST + day * DAY, who)
    stories(b)
    for n in range(CASES):
        case(b, n)
    return b


def stories(b: Bureau) -> None:
    """A recorder that is lost, one that breaks, one that is not brought back, and one that is away on a trip at the month's end."""
    lost, broken, gone, trip = range(RECORDERS - 4, RECORDERS)
    at = datetime(2026, 11, 20, 8, tzinfo=ZONE)
    who = [officer_id(n) for n in range(4)]
    for n, officer in zip((lost, broken, gone, trip), who, strict=True):
        b.add(at, move(n, "issued", at, officer))
    b.add(at + 5 * HOUR, move(lost, "lost", at + 5 * HOUR))
    b.add(at + 6 * HOUR, move(broken, "broken", at + 6 * HOUR))
    b.counts("lost", who[0], recorder_id(lost))
    b.counts("broken", who[1], recorder_id(broken))
    b.counts("not_back", who[2], recorder_id(gone))
    away = {"persons": [], "recorders": [recorder_id(trip)], "left": stamp(at), "expected": stamp(at + 30 * DAY), "returned": None,
            "reason": "驻点", "void": False, "approved_by": ""}  # fmt: skip
    b.add(at, Draft("trip.registered", "trp-away", away))
    hall = [
        {"start": at + n * HOUR, "end": at + n * HOUR + 10 * MINUTE, "size": 1000, "officer": "", "channel": "cctv",
         "is": "not_applicable"}
        for n in range(60)
    ]  # fmt: skip
    dock(b, "hall", None, at + 4 * DAY, hall)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Bureau]:
    """A station that has lived through the month, with everything ruled."""
    site, b = make_site(tmp_path_factory.mktemp("month") / "station"), bureau()
    with closing(site.open()) as station:
        ledger = station.ledger
        events = sorted(b.events, key=lambda e: e[0])  # stable: what happens at one time stays in its order

        def live(conn: Any) -> None:
            for at, of_then in groupby(events, key=lambda e: e[0]):
                drafts = [draft for _, some in of_then for draft in some]
                record(conn, drafts, at=at.astimezone(UTC), station="test-01", actor="tester")

        ledger.catalog.write(live)
        with ledger.catalog.read() as conn:
            subjects, rules = due.subjects(conn, due.RULE), rules_of(conn, site.config)
        rule.run(ledger, rules, subjects)
        ledger.catalog.write(lambda conn: conn.exec_driver_sql("DELETE FROM due WHERE stage = 'rule'"))
    return site, b


def made(site: Site, by: By, month: str = "2026-11") -> reports.Made:
    with closing(site.open()) as station, station.ledger.catalog.read() as conn:
        return reports.make(conn, site.config, typed.month(month, site.config.unit.zone), by, NOW)


@pytest.mark.parametrize("by", BYS)
def test_the_report_is_what_plain_counting_comes_to(lived: tuple[Site, Bureau], by: By) -> None:
    site, b = lived
    answer = reports.as_json(made(site, by), site.config)
    assert b.recordings > 3_000
    assert all(b.total[column] for column in FIELDS if column != "pending"), b.total  # everything has happened
    assert {f: answer["total"][f] for f in FIELDS} == {f: b.total[f] for f in FIELDS}
    rows = {row["id"] or "": row for row in answer["rows"]}
    wanted = b.count[by]
    assert rows.keys() == wanted.keys()
    for key, counts in wanted.items():
        has = [f for f in FIELDS if by != "recorder" or f not in OF_CASES]
        assert {f: rows[key][f] for f in has} == {f: counts[f] for f in has}, key
        assert all(rows[key][f] is None for f in FIELDS if f not in has), "no case is a recorder's"
        assert (rows[key]["bytes"], rows[key]["hours"]) == (b.bytes[key], round(b.seconds[key] / 3600, 2)), key
    assert (answer["total"]["bytes"], answer["total"]["hours"]) == (b.bytes["*"], round(b.seconds["*"] / 3600, 2))
    days = answer["days"]
    assert sum(d["on_time"] + d["late"] + d["other"] for d in days) == b.total["recordings"]
    assert {d["day"][:7] for d in days} == {"2026-11"}


def test_months_beside_it_have_what_lies_there_and_an_empty_one_is_empty(lived: tuple[Site, Bureau]) -> None:
    site, b = lived
    months = [made(site, "department", month).report.total for month in ("2026-10", "2026-11", "2026-12")]
    assert sum(m.recordings for m in months) == b.recordings
    assert all(m.recordings for m in months)
    empty = reports.as_json(made(site, "officer", "2025-02"), site.config)
    assert empty["rows"] == []
    assert empty["total"]["on_time_percent"] is None


def test_the_forms_say_the_same_and_a_name_is_no_formula(lived: tuple[Site, Bureau]) -> None:
    site, b = lived
    found = made(site, "officer")
    evil = {**found.names, officer_id(0): "=HYPERLINK(\"x\")", officer_id(1): "＠SUM(A1)", officer_id(2): "李,\"明\""}  # fmt: skip
    found = replace(found, names=evil)
    table = reports.as_csv(found)
    assert table.startswith(b"\xef\xbb\xbf")
    head, *lines = csv.reader(io.StringIO(table.decode("utf-8-sig")))
    assert head[1] == "记录数 recordings"
    rows = {line[0]: dict(zip([c for c, _, _ in COLUMNS], line[1:], strict=True)) for line in lines}
    assert {"'=HYPERLINK(\"x\")", "'＠SUM(A1)", "李,\"明\"", UNKNOWN, TOTAL} <= rows.keys()  # fmt: skip
    assert int(rows[TOTAL]["late_without_reason"]) == b.total["late_without_reason"]
    printed = one_line(text_of(reports.as_pdf(found, site.config)))
    assert "执法音像记录月报" in printed
    assert f"{b.total['recordings']:,}" in printed
    assert '=HYPERLINK("x")' in printed  # paper computes nothing


def test_the_program_prints_and_writes_it(lived: tuple[Site, Bureau], tmp_path: Path) -> None:
    site, b = lived
    done = site.run("report", "--month", "2026-11", "--by", "recorder")
    assert done.returncode == 0, done.stderr
    assert f"记录 recordings {b.total['recordings']}" in done.stdout
    pdf = tmp_path / "r.pdf"
    assert site.run("report", "--month", "2026-11", "--pdf", pdf).returncode == 0
    assert pdf.read_bytes().startswith(b"%PDF")
    for wrong in (("--month", "2026-13"), ("--month", "11"), ("--month", "2026-11", "--csv", "--json")):
        assert site.run("report", *wrong).returncode == 2, wrong


def test_every_figure_is_documented() -> None:
    body = (Path(__file__).resolve().parents[2] / "docs/reports.md").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^\| `(\w+)` \|", body) == [name for name, _, _ in COLUMNS]
