"""Limits as people meet them: the daemon's part that works them out, the commands that show them, and rules that are adopted."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mediad.catalog import due, evidence, limits
from mediad.catalog import tables as t
from mediad.catalog.apply import becomes_due
from mediad.cli import common, progress
from mediad.cli import main as program
from mediad.errors import Busy, MediadError, StorageError
from mediad.model import deadline, reasons, words
from mediad.model.custody import Draft
from mediad.model.instants import stamp
from mediad.model.people import Person
from mediad.model.registers import person_json
from mediad.stages import notify
from mediad.wiring.bureau import alarms, rules
from mediad.wiring.bureau.office import OfficePart, work_once
from mediad.wiring.bureau.pressing import pressing
from mediad.wiring.bureau.telling import bureau_of
from mediad.wiring.check import config_problems
from mediad.wiring.station import Station
from tests.bureau import bodies
from tests.support import Site, complaints, make_card, make_site, noise

HOUR = 3600 * 10**9
WANG = Person("per-wang", "1", "王芳")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A station whose vault counts, with three recordings and a text: two of an hour ago, one of two days ago."""
    made = make_site(tmp_path / "station", more="[acts]\nunmapped = 'flag'")
    text = made.config_file.read_text(encoding="utf-8").replace("volatile = true", "volatile = true\ndedicated = true")
    made.config_file.write_text(text, encoding="utf-8")
    now = int(datetime.now(UTC).timestamp() * 1e9)
    make_card(tmp_path / "new", {"a.jpg": b"\xff\xd8\xff" + noise(900, 1), "c.txt": b"notes"}, mtime_ns=now - HOUR)
    make_card(tmp_path / "old", {"b.jpg": b"\xff\xd8\xff" + noise(900, 2)}, mtime_ns=now - 48 * HOUR)
    for card in ("new", "old"):
        made.ingest(tmp_path / card, officer="辽A001")
    return made


@pytest.fixture
def station(site: Site) -> Iterator[Station]:
    with closing(site.open()) as opened:
        yield opened


def ask(site: Site, *arguments: str, expect: int = 0) -> Any:
    """A command in this process, with its JSON answer."""
    done = CliRunner().invoke(program.app, ["-c", str(site.config_file), *arguments])
    if isinstance(done.exception, MediadError):
        raise done.exception
    assert done.exit_code == expect, (done.output, done.exception)
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


@pytest.fixture(autouse=True)
def _families() -> None:
    """The commands stand on the program once."""
    if not program.app.registered_groups:
        from mediad.cli import acts, deadlines, recordings, registers, show, tags, trips

        for family in (show, recordings, deadlines, registers, trips, acts, tags):
            family.register(program.app)
    common.selected_config = None


def by_status(rows: list[dict[str, Any]], rule: str = "article-28-24h") -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        if row["rule"] == rule:
            found.setdefault(row["status"], []).append(row["subject"])
    return found


# --- the daemon ---------------------------------------------------------------------------------------------------------


def wait_for(what: Callable[[], bool]) -> None:
    """Until it is so; the test's own limit ends it else."""
    tick = threading.Event()
    for _ in range(3_000):
        if what():
            return
        tick.wait(0.01)
    raise AssertionError("it never came")


def test_the_daemon_works_limits_out_and_mirrors_what_it_recorded(site: Site, station: Station) -> None:
    part = OfficePart(station, poll=0.01)
    part.start()

    def done() -> bool:
        with station.ledger.catalog.read() as conn:
            return not due.subjects(conn, due.RULE) and not due.subjects(conn, due.MATCH)

    wait_for(done)
    wait_for(lambda: not complaints(site))  # mirrored as well
    assert part.healthy()
    part.stop()
    assert part.join(30)
    with station.ledger.catalog.read() as conn:
        assert sorted(body["state"] for (rule, _), body in bodies(conn).items() if "28" in rule) == [
            "late",
            "met",
        ]


def test_a_part_that_has_ended_is_not_healthy(station: Station) -> None:
    part = OfficePart(station)
    assert not part.healthy()


@pytest.mark.parametrize(
    "error", [Busy("it is locked"), StorageError("full", code="catalog-full"), ValueError("a fault")]
)
def test_what_cannot_be_worked_off_now_is_tried_again(station: Station, error: Exception) -> None:
    tries: list[int] = []

    def work(_: Station) -> int:
        tries.append(1)
        if len(tries) == 1:
            raise error
        return 0

    part = OfficePart(station, [work], poll=0.01)
    part.start()
    wait_for(lambda: len(tries) > 2)
    assert part.healthy()
    part.stop()
    assert part.join(30)


def test_rows_that_somebody_deleted_come_back_with_the_daemons_start(station: Station) -> None:
    station.ledger.catalog.write(lambda conn: conn.execute(t.due.delete().where(t.due.c.stage.in_(due.BUREAU))))
    OfficePart(station).turn()
    with station.ledger.catalog.read() as conn:
        assert {rule for rule, _ in bodies(conn)} == {"article-28-24h", "handover-signature"}


def test_what_cannot_be_ruled_on_holds_up_nothing_else_and_is_told(station: Station) -> None:
    """A day that no calendar reaches, as a program of another time may have recorded it."""
    never = "9999-12-31T15:00:00.000000Z"
    case = {"form": "case", "kind": "penalty", "numbers": [{"type": "立案号", "number": "1"}], "name": "x", "opened": never,
            "department": "", "handlers": [], "act_ended": never, "archived": None, "merged_into": ""}  # fmt: skip
    station.ledger.record([Draft("case.registered", "cas-never", case)])
    work_once(station)
    with station.ledger.catalog.read() as conn:
        assert {rule for rule, _ in bodies(conn)} == {"article-28-24h", "handover-signature"}
        (failing,) = due.failing(conn)
        assert len(list(rules.shown(conn, rules.rules_of(conn, station.config), station.ledger.clock()))) == 4
    assert (failing.subject, failing.tries, "OverflowError" in failing.why) == ("cas-never", 1, True)
    assert work_once(station) == 0, "it is put off like any other failure"


def test_what_is_docked_waits_for_nothing_that_other_rules_made_due(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_once(station)
    due.everything(station.ledger.catalog)
    becomes_due_now = stamp(station.ledger.clock())
    station.ledger.catalog.write(lambda conn: becomes_due(conn, due.RULE, [("dck-new", becomes_due_now)]))
    order: list[str] = []
    monkeypatch.setattr(rules, "_SOME", 1)
    monkeypatch.setattr(rules.rule, "run", lambda _ledger, _rules, subjects, _failed: order.extend(subjects) or 0)
    rules.work_off(station)
    assert order[0] == "dck-new"
    assert len(order) == 5


def test_metrics_tell_what_calls_for_a_person(station: Station) -> None:
    work_once(station)
    samples = {(name, labels): value for name, labels, value in alarms.deadline_samples(station)}
    assert samples["mediad_deadlines", ("article-28-24h", "late-unexplained")] == 1
    assert samples["mediad_untagged", ()] == samples["mediad_trips_overdue", ()] == 0


# --- what commands show -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("worked", [True, False])
def test_limits_are_shown_as_they_are_whether_or_not_somebody_worked_them_out(
    site: Site, worked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if worked:
        with closing(site.open()) as station:
            work_once(station)
    rows = ask(site, "deadlines", "--json", expect=1)
    assert {k: len(v) for k, v in by_status(rows).items()} == {"met": 1, "late": 1}
    assert all(row.keys() >= {"rule", "subject", "due_at", "met_at", "status", "reason"} for row in rows)
    assert rows == sorted(rows, key=lambda r: (r["rule"], r["due_at"] or "", r["subject"]))
    monkeypatch.setattr(rules, "_SOME", 1)
    assert ask(site, "deadlines", "--json", expect=1) == rows, "however few are read at a time"
    listed = ask(site, "recordings", "--json")
    assert [r["deadline"] and r["deadline"]["status"] for r in sorted(listed, key=lambda r: r["kind"])] == [
        None,
        "late",
        "met",
    ]
    limit = next(r["deadline"] for r in listed if r["deadline"])
    assert limit.keys() >= {"rule", "due_at", "met_at", "status", "reason"}
    assert limit["rule"] == "article-28-24h"
    assert limit["due_at"].endswith("+08:00")
    assert {(r["officer"], *r["officers"]) for r in listed} == {("辽A001", "辽A001")}
    shown = ask(site, "show", by_status(rows)["late"][0], "--json")
    assert [d["status"] for d in shown["deadlines"] if d["rule"] == "article-28-24h"] == ["late"]


def test_a_reason_for_what_is_late_stands_beside_it_and_it_stays_late(site: Site) -> None:
    (late,) = by_status(ask(site, "deadlines", "--json", expect=1))["late"]
    ask(site, "deadlines", "justify", late, "--text", "车辆故障", "--json")
    (row,) = [r for r in ask(site, "deadlines", "--json", expect=1) if r["subject"] == late]
    assert (row["status"], row["justification"]) == ("late", "车辆故障")
    (met,) = by_status(ask(site, "deadlines", "--json", expect=1))["met"]
    with pytest.raises(MediadError, match="is not late"):
        ask(site, "deadlines", "justify", met, "--text", "x")


def test_a_receipt_meets_what_was_late_and_none_is_of_the_future(site: Site) -> None:
    (late,) = by_status(ask(site, "deadlines", "--json", expect=1))["late"]
    two_days_ago = datetime.now(UTC) - timedelta(hours=47)
    local = two_days_ago.astimezone(site.config.unit.zone)
    with pytest.raises(MediadError, match="future"):
        ask(
            site, "deadlines", "mark-met", late, "--receipt", "1", "--at", f"{local + timedelta(days=9):%Y-%m-%d %H:%M}"
        )
    with pytest.raises(MediadError, match="no receipt meets"):
        ask(
            site,
            "deadlines",
            "mark-met",
            late,
            "--receipt",
            "1",
            "--at",
            f"{local:%Y-%m-%d %H:%M}",
            "--rule",
            "recorder-back",
        )
    with pytest.raises(MediadError, match="older than the recording"):
        ask(
            site, "deadlines", "mark-met", late, "--receipt", "1", "--at", f"{local - timedelta(days=9):%Y-%m-%d %H:%M}"
        )
    ask(site, "deadlines", "mark-met", late, "--receipt", "HZ-7", "--at", f"{local:%Y-%m-%d %H:%M}", "--json")
    rows = ask(site, "deadlines", "--json")
    assert by_status(rows).keys() == {"met"}
    assert [r["receipts"] for r in rows if r["subject"] == late] == [["HZ-7"]]


def test_what_has_a_name_is_shown_and_justified_by_it(site: Site, station: Station) -> None:
    now = station.ledger.clock()
    move = {"state": "issued", "carrier": "", "expected": None, "why": "", "presumed": ""}
    case = {"form": "case", "kind": "penalty", "numbers": [{"type": "立案号", "number": "浦卫立〔2026〕7号"}], "name": "某某案",
            "department": "", "handlers": [], "opened": stamp(now - timedelta(days=3)), "urgent": True, "act_ended": None,
            "archived": None, "merged_into": ""}  # fmt: skip
    station.ledger.record([
        Draft("recorder.registered", "rcd-7", {"label": "07号", "name": "07号", "profile": "", "keys": ["serial:7"]}),
        *(Draft("recorder.moved", "rcd-7", {**move, "at": stamp(now - timedelta(days=days))}) for days in (4, 2)),
        Draft("case.registered", "cas-7", case),
    ])  # fmt: skip
    with station.ledger.catalog.read() as conn:
        found = pressing(conn, rules.rules_of(conn, site.config), now).rows
    named = [row["label"] for row in found if row["subject"][:3] in ("cas", "rcd")]
    assert named == ["07号", "浦卫立〔2026〕7号", "07号"]
    shown = ask(site, "deadlines", expect=1)
    assert "    07号" in shown and "    浦卫立〔2026〕7号" in shown
    ask(site, "deadlines", "justify", "浦卫立[2026]7号", "--rule", "article-8-urgent-report", "--text", "系统故障")
    with pytest.raises(MediadError, match="late 2 times") as caught:
        ask(site, "deadlines", "justify", "07号", "--rule", "recorder-back", "--text", "忘带")
    first, second = str(caught.value.hint).removeprefix("one of ").split(", ")
    ask(site, "deadlines", "justify", first, "--rule", "recorder-back", "--text", "忘带")
    told = ask(site, "deadlines", "justify", "07号", "--rule", "recorder-back", "--text", "仍忘带", "--json")
    assert told["subject"] == "07号"
    rows = {row["subject"]: row for row in ask(site, "deadlines", "--json", expect=1)}
    assert [rows[name]["justification"] for name in (first, second, "cas-7")] == ["忘带", "仍忘带", "系统故障"]
    assert rows[second]["label"] == "07号"


def test_status_lists_what_calls_for_a_person(site: Site) -> None:
    """What was there before the station had rules came with an upgrade: nobody is told that it is of no case."""
    with closing(site.open()) as station:
        work_once(station)
        station.ledger.catalog.write(lambda conn: conn.exec_driver_sql(
            "INSERT INTO untagged (recording, since, exempt)"
            " SELECT id, '2026-01-01T00:00:00.000000Z', false FROM recording WHERE kind <> 'data'"
        ))  # fmt: skip
        with station.ledger.catalog.read() as conn:
            force = {**(limits.rules_in_force(conn) or {}), "by": ""}
        trip = {"persons": [WANG.id], "recorders": [], "left": "2026-03-01T00:00:00.000000Z",
                "expected": "2026-03-02T00:00:00.000000Z",
                "returned": None, "reason": "", "void": False, "approved_by": ""}  # fmt: skip
        known = Draft("person.registered", WANG.id, person_json(WANG))
        station.ledger.record(
            [known, Draft("trip.registered", "trp-1", trip), Draft("trip.registered", "trp-2", {**trip, "void": True})]
        )
        found = []
        older = "2025-12-31T00:00:00.000000Z"
        for since, effective, days in (
            (force["since"], None, 7),
            (older, None, 0),
            (older, None, 7),
            (force["since"], older[:10], 7),
        ):
            section = {**force["deadlines"], "effective_from": effective, "untagged_days": days}
            station.ledger.record([Draft("rules.adopted", "test-01", {**force, "since": since, "deadlines": section})])
            with station.ledger.catalog.read() as conn:
                topics = notify.topics(conn, bureau_of(conn, site.config), datetime(2026, 1, 8, tzinfo=UTC))
                alarm, _ = alarms.untagged(conn, site.config, datetime.now(UTC))
                listed = {each["code"] for each in alarms.alarms_of(conn, site.config, datetime.now(UTC))}
            assert ("untagged" in listed) == (alarm > 0)
            found.append((alarm, [topic.rule for topic in topics]))
    assert found == [*2 * [(0, [])], *2 * [(2, 2 * [deadline.TAG])]]
    codes = {a["code"]: a for a in ask(site, "status", "--json")["alarms"]}
    assert codes["deadline-late-unexplained"]["subject"] == "article-28-24h"
    assert codes["untagged"]["detail"].startswith("2 ")
    assert (codes["trip-overdue"]["subject"], codes["trip-overdue"]["detail"][-2:]) == ("trp-1", "王芳")
    assert not codes.keys() & {"deadline-open", "deadline-soon-late"}


# --- what people say of recordings --------------------------------------------------------------------------------------


def test_a_time_that_a_person_sets_counts_and_what_the_recorder_said_is_kept(site: Site) -> None:
    (late,) = by_status(ask(site, "deadlines", "--json", expect=1))["late"]
    before = next(r for r in ask(site, "recordings", "--json") if r["id"] == late)
    ended = (datetime.now(UTC) - timedelta(hours=3)).astimezone(site.config.unit.zone)
    said = ("--source", "值班记录", "--reason", "时钟慢了两天")
    ask(site, "recordings", "set-time", late, "--ended", f"{ended:%Y-%m-%d %H:%M}", *said, "--json")
    after = next(r for r in ask(site, "recordings", "--json") if r["id"] == late)
    assert (after["deadline"]["status"], after["confidence"]) == ("met", "set")
    assert after["ended_at"] == ended.replace(second=0, microsecond=0).isoformat()
    assert after["claimed"] == {k: before[k] for k in ("started_at", "ended_at")}
    assert ask(site, "show", late, "--json")["said"]["dated"]["source"] == "值班记录"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--ended", "2099-01-01 00:00"), "future"),
        (("--ended", "2026-11-01 09:00", "--started", "2026-11-01 10:00"), "before"),
    ],
)
def test_a_time_that_cannot_have_been_is_refused(site: Site, more: tuple[str, ...], says: str) -> None:
    recording = ask(site, "recordings", "--json")[0]["id"]
    with pytest.raises(MediadError, match=says):
        ask(site, "recordings", "set-time", recording, *more, "--source", "x", "--reason", "y")


def test_nobody_was_recording_any_more_when_the_file_was_docked(site: Site, station: Station) -> None:
    """Else a limit could be made to begin after what meets it."""
    now = station.ledger.clock()
    opened = {"opened_at": stamp(now - timedelta(hours=3))}
    station.ledger.catalog.write(lambda conn: conn.execute(t.docking.update().values(opened)))
    recording = ask(site, "recordings", "--json")[0]["id"]
    for hours, refused in ((2, True), (4, False)):
        ended = f"{(now - timedelta(hours=hours)).astimezone(site.config.unit.zone):%Y-%m-%d %H:%M}"
        said = ("recordings", "set-time", recording, "--ended", ended, "--source", "x", "--reason", "y")
        with pytest.raises(MediadError, match="had been docked by then") if refused else nullcontext():
            ask(site, *said)


def test_carrier_and_co_officers_are_told_by_their_numbers(site: Site) -> None:
    for number, name in (("辽A001", "李明"), ("辽A002", "王芳")):
        ask(site, "officer", "add", "--certificate", number, "--name", name)
    recording = next(r["id"] for r in ask(site, "recordings", "--json") if r["deadline"])
    ask(site, "recordings", "carrier", recording, "--officer", "辽A002", "--co", "辽A001")
    told = next(r for r in ask(site, "recordings", "--json") if r["id"] == recording)
    assert (told["officer"], told["officers"], told["names"]) == ("辽A002", ["辽A002", "辽A001"], ["王芳", "李明"])
    for wrong in (("--officer", "辽A009"), ("--officer", "辽A001", "--co", "辽A001")):
        with pytest.raises(MediadError, match=r"nobody's number|named twice"):
            ask(site, "recordings", "carrier", recording, *wrong)
    for hours in (1, 25):  # what is entered after the limit wants an approver, and that is said
        left = (datetime.now(UTC) - timedelta(hours=hours)).astimezone(site.config.unit.zone)
        times = ("--left", f"{left:%Y-%m-%d %H:%M}", "--expected", f"{left + timedelta(hours=9):%Y-%m-%d %H:%M}")
        told = CliRunner().invoke(
            program.app, ["-c", str(site.config_file), "trip", "add", "--officer", "辽A001", *times]
        )
        assert ("补登" in told.output) == (hours == 25), told.output


def test_classification_and_non_duty_are_kept_with_the_recording(site: Site) -> None:
    recording = ask(site, "recordings", "--json")[0]["id"]
    ask(site, "recordings", "classify", recording, "--as", "内部", "--mark", "个人隐私")
    ask(site, "recordings", "non-duty", recording, "--reason", "设备测试")
    said = ask(site, "show", recording, "--json")["said"]
    assert (said["classified"]["classification"], said["classified"]["marks"]) == ("内部", ["个人隐私"])
    assert next(r for r in ask(site, "recordings", "--json") if r["id"] == recording)["non_duty"] == "设备测试"
    with pytest.raises(MediadError, match="is no recording"):
        ask(site, "recordings", "non-duty", "rec-none", "--reason", "x")


# --- rules are facts ----------------------------------------------------------------------------------------------------


def change(site: Site, text: str) -> None:
    with site.config_file.open("a", encoding="utf-8") as f:
        f.write(f"\n[deadlines]\n{text}\n")


def test_rules_of_a_changed_file_have_no_effect_before_they_are_adopted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(site.open()) as station:
        work_once(station)
    assert ask(site, "deadlines", "rules", "--json")["settings"] == []
    change(site, "storage_hours = 100")
    monkeypatch.setattr(progress._Plain, "_EVERY_SECONDS", 0)
    told = CliRunner().invoke(program.app, ["-c", str(site.config_file), "deadlines", "rules"])
    assert "looked at: 2" in told.output, "of many it is told how far it is"
    assert by_status(ask(site, "deadlines", "--json", expect=1)).keys() == {"met", "late"}
    told = ask(site, "deadlines", "rules", "--json")
    assert told["settings"] == ["deadlines.storage_hours"]
    assert {"old": "late", "new": "met", "count": 1} in told["counts"]
    assert sorted((c["old"], c["new"]) for c in told["changes"]) == [("late", "met"), ("met", "met")]
    assert "deadlines.storage_hours" in dict(config_problems(site.config))
    ask(site, "deadlines", "rules", "--adopt")
    assert by_status(ask(site, "deadlines", "--json")).keys() == {"met"}, "also before anybody works it out"
    with closing(site.open()) as station:
        work_once(station)
        with station.ledger.catalog.read() as conn:
            kinds = [e.kind for e in evidence.events_of(conn, "test-01")]
            assert {body["state"] for (rule, _), body in bodies(conn).items() if "28" in rule} == {"met"}
        station.parts.mirror()
    assert kinds.count("rules.adopted") == 2
    assert ask(site, "deadlines", "rules", "--json")["settings"] == []
    assert site.run("fsck").returncode == 0


def test_everything_is_ruled_on_anew_where_somebody_asks_for_it(site: Site) -> None:
    """A fact that was missed, since its row was lost, is found by that."""
    with closing(site.open()) as station:
        work_once(station)
        (met,) = [name for (rule, name), body in bodies_of(station).items() if "28" in rule and body["state"] == "met"]
        dated = {"ended_at": "2026-01-01T00:00:00.000000Z", "started_at": None, "source": "x", "why": "x", "by": ""}
        station.ledger.record([Draft("recording.dated", met, dated)])
        station.ledger.catalog.write(lambda conn: conn.execute(t.due.delete()))
        assert work_once(station) == 0
        assert bodies_of(station)["article-28-24h", met]["state"] == "met"
    before = len(site.rows("SELECT seq FROM custody"))
    ask(site, "deadlines", "rules", "--again")
    assert len(site.rows("SELECT seq FROM custody")) == before, "it is no fact"
    with closing(site.open()) as station:
        assert work_once(station) == 1
        assert bodies_of(station)["article-28-24h", met]["state"] == "late"
    with pytest.raises(MediadError, match="stands alone"):
        ask(site, "deadlines", "rules", "--again", "--adopt")


def bodies_of(station: Station) -> dict[tuple[str, str], dict[str, Any]]:
    with station.ledger.catalog.read() as conn:
        return bodies(conn)


def test_a_calendar_that_is_changed_is_another_rule(site: Site) -> None:
    with closing(site.open()) as station:
        work_once(station)
    (site.root / "calendar.toml").write_text('[2027]\nfree = ["2027-01-01"]\n', encoding="utf-8")
    assert ask(site, "deadlines", "rules", "--json")["settings"] == ["deadlines.calendar"]


def test_rules_of_a_newer_program_count_as_far_as_they_are_known(site: Site) -> None:
    body = rules.rules_of_file(site.config)
    newer = {**body, "deadlines": {**body["deadlines"], "moon_hours": 3, "storage_hours": 5.0}}
    assert rules.built(newer, site.config).storage.limit == timedelta(hours=5)
    with pytest.raises(MediadError, match="cannot be read"):
        rules.built({"deadlines": {"storage_hours": "never"}, "calendar": {"free": [], "worked": []}}, site.config)


def test_every_reason_is_documented_in_its_words_and_no_other_is() -> None:
    page = (Path(__file__).parents[2] / "docs/deadlines.md").read_text(encoding="utf-8").split("## Reason codes")[1]
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert {code.strip("`"): tuple(words) for code, *words in rows} == dict(reasons.REASONS)


def test_every_status_is_documented_in_the_word_that_terminal_and_paper_have_for_it() -> None:
    page = (Path(__file__).parents[2] / "docs/deadlines.md").read_text(encoding="utf-8")
    lines = page.split("## States")[1].split("\n## ")[0].splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]
    assert {code.strip("`"): word for code, word, _ in rows} == dict(words.STATUSES)
    assert set(words.STATUSES) == set(deadline.Status)


def test_every_reason_that_a_rule_gives_has_its_words() -> None:
    """Codes stand as literals in the modules of the rules, and nowhere else."""
    folder = Path(deadline.__file__).parent
    source = "".join((folder / name).read_text(encoding="utf-8") for name in ("deadline.py", "spans.py", "cases.py"))
    given = {code for code in reasons.REASONS if f'"{code}"' in source}
    assert given == reasons.REASONS.keys(), "words of a code that no rule gives"
    for pattern in (r'(?:reason|remarks) = [^\n]*?"([a-z]+(?:-[a-z]+)+)"', r'Ruling\([^)]*?"([a-z]+-[a-z-]+)"[^)"]*\)'):
        assert set(re.findall(pattern, source)) <= reasons.REASONS.keys() | {"not-applicable"}
