"""The month in figures, as sums: in which one column a recording counts, and in whose rows what counts."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest

from mediad.model import report
from mediad.model.calendar import Month
from mediad.model.deadline import RECORDER, Ruling
from mediad.model.registers import Move
from mediad.model.report import Device, Filed, Recorded

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 20, tzinfo=UTC)
H = timedelta(hours=1)
MONTH = Month.of(2026, 11, ZONE)
MET = Recorded("李", "B-07", date(2026, 11, 3), 90.0, 100, "met", 1, NOW, explained=False, untagged=False)


@pytest.mark.parametrize(
    ("more", "column"),
    [
        ({}, "on_time_first"),
        ({"limb": 0, "due_at": None}, "on_time_first"),  # bounded: in time whatever its time was
        ({"limb": 2}, "on_time_second"),
        ({"state": "late"}, "late_without_reason"),
        ({"state": "late", "explained": True}, "late_with_reason"),
        ({"state": "untrusted", "due_at": None}, "untrusted"),
        ({"state": "not-applicable", "due_at": None}, "not_applicable"),
        ({"state": "open", "due_at": None}, "pending"),
        ({"state": "waiting", "due_at": NOW}, "pending"),
        ({"state": "waiting", "due_at": NOW - H}, "late_without_reason"),
    ],
)
def test_a_recording_counts_in_one_column(more: dict[str, Any], column: str) -> None:
    found = report.report(MONTH, "officer", [replace(MET, **more)], [], [], str, NOW).total.json()
    columns = [name for name in get_args(report.Outcome) if found[name]]
    assert (columns, found[column], found["recordings"]) == ([column], 1, 1)


def test_rates_are_of_what_the_rule_says_something_of() -> None:
    some = [MET, replace(MET, limb=2), replace(MET, state="late"), replace(MET, state="untrusted")]
    total = report.report(MONTH, "officer", [*some, replace(MET, state="not-applicable")], [], [], str, NOW).total
    assert (total.on_time, total.late, total.rate, total.json()["on_time_percent"]) == (2, 1, 50.0, 50.0)
    assert (total.json()["hours"], total.json()["bytes"]) == (round(5 * 90 / 3600, 2), 500)
    assert (total.not_back, total.lost, total.broken, total.cases) == (0, 0, 0, 0)
    assert set(total.json()) == {column for column, _, _ in report.COLUMNS}
    none = report.report(MONTH, "officer", [replace(MET, state="open")], [], [], str, NOW).total
    assert (none.rate, none.json()["on_time_percent"]) == (None, None)


def test_what_wants_no_case_is_not_counted_as_of_none() -> None:
    bare = replace(MET, untagged=True)
    some = [MET, bare, replace(bare, state="late"), replace(bare, state="not-applicable")]
    assert report.report(MONTH, "officer", some, [], [], str, NOW).total.untagged == 2


def test_each_counts_in_its_row_and_in_the_total_once() -> None:
    cases = [
        Filed("一科", frozenset({"李", "王"}), incomplete=True, late=False),
        Filed("", frozenset(), incomplete=False, late=True),
    ]
    some = [MET, replace(MET, carrier="", recorder="")]
    gone = [Device("B-07", "王", "lost"), Device("B-08", "", "not_back")]

    def rows(by: report.By) -> dict[str, tuple[int, int, int, int, int, int]]:
        made = report.report(MONTH, by, some, gone, cases, lambda who: {"李": "一科"}.get(who, ""), NOW)
        named = {**made.rows, "*": made.total}
        return {
            key: (s.recordings, s.lost, s.not_back, s.cases, s.cases_incomplete, s.archived_late)
            for key, s in named.items()
        }

    total = (2, 1, 1, 2, 1, 1)
    assert rows("officer") == {"李": (1, 0, 0, 1, 1, 0), "王": (0, 1, 0, 1, 1, 0), "": (1, 0, 1, 1, 0, 1), "*": total}
    assert rows("department") == {"一科": (1, 0, 0, 1, 1, 0), "": (1, 1, 1, 1, 0, 1), "*": total}
    assert rows("recorder") == {
        "B-07": (1, 1, 0, 0, 0, 0),
        "B-08": (0, 0, 1, 0, 0, 0),
        "": (1, 0, 0, 0, 0, 0),
        "*": total,
    }


def test_days_tell_on_time_late_and_the_others_apart() -> None:
    some = [MET, replace(MET, limb=2), replace(MET, state="late"), replace(MET, state="open", day=date(2026, 11, 1))]
    days = report.report(MONTH, "officer", some, [], [], str, NOW).days
    assert days == [report.Day(date(2026, 11, 1), other=1), report.Day(date(2026, 11, 3), on_time=2, late=1)]


def move(state: Any, at: datetime, carrier: str = "") -> Move:
    return Move("rcd-1", state, at, carrier)


def test_what_became_of_a_recorder_is_whose_it_was() -> None:
    def ruled(moves: Any, position: int, at: datetime) -> Ruling:
        return Ruling(RECORDER, "", "limit", MONTH.start + H, None, "after-issue")

    def found(*moves: Move, now: datetime = NOW) -> list[tuple[str, str]]:
        return [(d.what, d.carrier) for d in report.devices([moves], ruled, MONTH, now)]

    out = move("issued", MONTH.start, "李")
    assert found(out) == [("not_back", "李")]
    assert found(out, now=MONTH.start) == [], "the month has not begun"
    assert found(out, now=MONTH.start + H) == [], "the limit itself is in time"
    assert ("lost", "王") in found(out, move("lost", NOW, "王")), "whom that says"
    assert ("broken", "李") in found(out, move("broken", NOW)), "else to whom it had gone before"
    assert ("broken", "") in found(out, move("returned", NOW - H, "李"), move("broken", NOW))
    assert found(move("lost", NOW)) == [("lost", "")], "nobody knows whose it was"
    assert found(move("lost", MONTH.start - H)) == [], "of another month"


def test_a_recorder_that_was_docked_since_is_back_whatever_was_before() -> None:
    """It is the newest carrier's to bring, as long as any hand-out is past its limit; that it was docked late is another matter."""
    early, late = (
        Ruling(RECORDER, "", "limit", NOW + H, None, ""),
        Ruling(RECORDER, "", "limit", MONTH.start - H, None, ""),
    )
    met, met_late = replace(early, met_at=NOW), replace(late, met_at=NOW)
    away = replace(early, basis="open", due_at=None)
    outs = [move("issued", MONTH.start, "李"), move("issued", MONTH.start + H, "王")]

    def found(*rulings: Ruling) -> list[str]:
        devices = report.devices([outs], lambda _, position, at: rulings[position], MONTH, NOW)
        return [d.carrier for d in devices]

    before = [move("issued", MONTH.start - 2 * H, "李")]
    assert report.devices([before], lambda *_: late, MONTH, MONTH.start) == [], (
        "of a month that has not begun nothing is known"
    )
    assert [found(late, early), found(late, away), found(early, late)] == [["王"]] * 3
    assert [found(early, early), found(late, met), found(late, met_late), found(met_late, early)] == [[]] * 4


def test_no_recorder_has_cases() -> None:
    made = report.report(MONTH, "recorder", [MET], [], [Filed("", frozenset(), incomplete=True, late=True)], str, NOW)
    told = report.figures(made.rows["B-07"], "recorder")
    assert {name: told[name] for name in report.OF_CASES} == dict.fromkeys(report.OF_CASES)
    assert report.figures(made.total, None)["cases"] == 1
