"""Tables of people, trips and cases: what they come to, and what is wrong with them, line by line."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediad.edges.tabular import parse_table, read_table
from mediad.errors import UsageError
from mediad.model import columns, registers
from mediad.model.cases import Archived, Case, CaseKind
from mediad.model.custody import canonical
from mediad.model.earlier import going_back
from mediad.model.imports import _TABLES, NOTES, Plan, body, plan
from mediad.model.lines import Known
from mediad.model.people import Dated, Role
from mediad.model.problems import Problem

ZONE = ZoneInfo("Asia/Shanghai")
PERSON_1 = "bugvvfp7nr75z3tzjv5tjygnot"
"""The first certificate number's own id: written down, since other stations have it too."""
NOW = datetime(2026, 11, 24, 4, tzinfo=UTC)
EMPTY = Known(ZONE, NOW)
PEOPLE = "执法证件编号,姓名,部门\n210001,李明,监督一科\n210002,王芳,监督二科\n"
CASES = "立案号,名称,类别,承办人,立案时间\n大金卫罚〔2026〕12号,某诊所案,行政处罚,210001,2026-09-01 09:00\n"


def read(what: str, text: str | bytes, known: Known = EMPTY) -> Plan[Any]:
    header, rows, _ = parse_table(text if isinstance(text, bytes) else text.encode(), "table.csv")
    return plan(what, header, rows, known)


def bureau() -> Known:
    return replace(EMPTY, people=[c.entry for c in read("people", PEOPLE).changes], recorders={"DSJ-01": "rcd-1"})


def codes(found: Plan[Any]) -> list[tuple[int, str]]:
    return [(f.line, f.code) for f in found.findings]


# --- what they come to --------------------------------------------------------------------------------------------------


def test_a_table_of_officers_is_new_once_and_the_same_from_then_on() -> None:
    first = read("people", PEOPLE)
    assert [(c.new, c.entry.name, c.entry.roles) for c in first.changes] == [
        (True, "李明", frozenset({Role.OFFICER})), (True, "王芳", frozenset({Role.OFFICER})),
    ]  # fmt: skip
    again = read("people", PEOPLE, bureau())
    assert (again.changes, again.same, again.findings) == ((), 2, ())


def test_the_same_table_gives_the_same_ids_on_every_station() -> None:
    known = replace(bureau(), cases=[])
    elsewhere = replace(EMPTY, people=tuple(reversed(bureau().people)))
    assert read("cases", CASES, known).changes == read("cases", CASES, elsewhere).changes
    assert read("people", PEOPLE).changes[0].entry.id == "per-" + PERSON_1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("ends", ["\r\n", "\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "，"])
def test_whatever_a_spreadsheet_saves_is_read(encoding: str, separator: str, ends: str) -> None:
    data = PEOPLE.replace(",", separator).replace("\n", ends).encode(encoding)
    assert [c.entry.name for c in read("people", data).changes] == ["李明", "王芳"]


@pytest.mark.parametrize(
    "row",
    [
        "'210001,李明",
        "‘210001,’李明",
        '"210001\t", 李明 ',
        "２１０００１,李明",
        "执法证件编号,姓名\n210001,李明",
        "210001,李明\n ,　\n,\n\n",
    ],
)
def test_what_spreadsheets_and_printers_add_around_a_cell_or_a_line_is_none_of_it(row: str) -> None:
    """An apostrophe or a tab keeps zeros, a header stands on each page, and lines below are empty."""
    found = read("people", f"执法证件编号,姓名\n{row}\n", bureau())
    assert (found.changes, found.findings, found.same) == ((), (), 1)


def test_a_title_above_the_columns_is_said_in_one_sentence() -> None:
    for title in ("2026年执法人员名册,,\n", "sep=,\n", "\n,,\n单位：某卫生监督所,,\n日期：,2026-3-5,\n"):
        (finding,) = read("people", title + PEOPLE).findings
        number = title.count("\n") + 1
        assert (finding.line, finding.code) == (1, "column-missing")
        assert finding.detail.startswith(f"line {number} names the columns:")
    assert {f.code for f in read("people", "甲,乙\n1,2\n").findings} == {"column-unknown", "column-missing"}


@pytest.mark.parametrize(
    ("text", "day"),
    [("2026/3/5", date(2026, 3, 5)), ("2026年3月5日", date(2026, 3, 5)), ("20260305", date(2026, 3, 5)),
     ("２０２６．３．５", None), ("２０２６/３/５", date(2026, 3, 5)), ("2026.3.5", date(2026, 3, 5)), ("20260230", None)],
)  # fmt: skip
def test_a_day_is_read_as_offices_write_it(text: str, day: date | None) -> None:
    read_as = columns.day(text)
    assert read_as == day if day else isinstance(read_as, Problem)
    times = {"": (0, 0, 0), " 9:30": (9, 30, 0), " 09:30:15.0": (9, 30, 15), " 9时30分": (9, 30, 0)}
    for tail, told in times.items() if day else ():
        assert columns.moment(text + tail, ZONE) == datetime(2026, 3, 5, *told, tzinfo=ZONE)


def test_a_chinese_time_may_follow_its_day_at_once_and_a_count_of_days_is_none() -> None:
    assert columns.moment("2026年3月5日9时30分", ZONE) == datetime(2026, 3, 5, 9, 30, tzinfo=ZONE)
    for text in ("46086", "46086.3958"):
        for found in (columns.day(text), columns.moment(text, ZONE)):
            assert isinstance(found, Problem)
            assert "Show its column as dates" in found.detail
    said = columns.day("460860")
    assert isinstance(said, Problem)
    assert "write it like 2026-11-24" in said.detail


def test_a_cell_that_was_merged_with_the_one_above_is_said_to_be_empty() -> None:
    (finding,) = read("cases", "编号,名称,类别\nJC-1,x,检查\nJC-2,y,\n").findings
    assert (finding.line, finding.detail.partition(" (")[0]) == (3, "the kind of case is empty")


def test_json_says_the_same_as_csv() -> None:
    text = """[{"certificate": "210001", "name": "李明", "department": "监督一科"},
               {"certificate": 210002, "name": "王芳", "department": "监督二科"}]"""
    assert [c.entry for c in read("people", text).changes] == [c.entry for c in read("people", PEOPLE).changes]


def test_numbers_of_json_stay_as_they_are_written() -> None:
    long = "9" * 5000
    _, rows, _ = parse_table(f'[{{"a": {long}, "b": 210001.0, "c": 1E5}}]'.encode(), "x")
    assert rows == [(1, [long, "210001.0", "1E5"])]


def test_english_headers_say_the_same_as_chinese_ones() -> None:
    assert read("people", PEOPLE.replace("执法证件编号,姓名,部门", "certificate,name,department")) == read(
        "people", PEOPLE
    )


def test_cells_that_a_spreadsheet_left_out_at_the_end_of_a_line_say_nothing() -> None:
    assert read("people", "certificate,name,department\n210001,李明\n", bureau()).same == 1
    assert read("people", "certificate,name,department\n210001,李明,\n", bureau()).changes[0].fields == ("department",)


def test_a_second_mark_in_front_is_no_part_of_a_header() -> None:
    assert len(read("people", b"\xef\xbb\xbf" * 2 + PEOPLE.encode()).changes) == 2


def test_a_header_is_known_as_a_whole_and_not_by_its_first_word() -> None:
    found = read("cases", "Number,name（必填）,kind,opened_by,act ended\n1,x,检查,李明,2026-09-01\n")
    assert [(f.code, "opened_by" in f.detail) for f in found.findings] == [("column-unknown", True)]
    assert (found.changes[0].entry.opened, found.changes[0].entry.act_ended is None) == (None, False)


def test_a_change_names_what_is_different() -> None:
    (change,) = read("people", PEOPLE.replace("监督一科", "监督三科"), bureau()).changes
    assert (change.new, change.fields, change.line) == (False, ("department",), 2)


def test_a_column_that_is_missing_leaves_things_as_they_are() -> None:
    (change,) = read("people", "certificate,name,login\n210001,李明,liming\n", bureau()).changes
    assert (change.fields, change.entry.department != "") == (("logins",), True)


def test_numbers_that_changed_hands_are_lines_of_their_own() -> None:
    text = "certificate,name,device_number,from,until\n210001,李明,000012,2026-01-01,2026-03-31\n210002,王芳,000012,2026-04-01,\n"
    found = read("people", text)
    assert found.findings == ()
    assert [c.entry.device_numbers for c in found.changes] == [
        (Dated("000012", date(2026, 1, 1), date(2026, 3, 31)),), (Dated("000012", date(2026, 4, 1)),),
    ]  # fmt: skip


def test_where_people_are_told_of_limits_is_read_kept_and_checked() -> None:
    told = read(
        "people", "执法证件编号,姓名,邮箱,企业微信,钉钉\n210001,李明,liming@example.org,li.ming,ding-1\n", bureau()
    )
    (person,) = (c.entry for c in told.changes)
    assert (person.mail, person.wecom, person.dingtalk) == ("liming@example.org", "li.ming", "ding-1")
    assert registers.person_of(person.id, body("people", person)) == person
    older = {k: v for k, v in body("people", person).items() if k not in ("mail", "wecom", "dingtalk")}
    assert registers.person_of(person.id, older).mail == ""  # an event of an older program
    for mail in ("liming", "a@b c", "a@", "<a@b.c>", "a@b.c, d@e.f"):
        assert codes(read("people", f'执法证件编号,姓名,邮箱\n210001,李明,"{mail}"\n', bureau())) == [
            (2, "bad-mail")
        ], mail
    for handle, code in (
        ("<all>", "bad-handle"),
        ("@all", "formula"),
        ("ALL", "bad-handle"),
    ):  # that would be everybody
        assert codes(read("people", f"执法证件编号,姓名,钉钉\n210001,李明,{handle}\n", bureau())) == [(2, code)]


def test_a_number_that_two_bear_at_once_is_a_finding_for_the_second() -> None:
    text = "certificate,name,device_number\n210001,李明,000012\n210002,王芳,000012\n"
    found = read("people", text)
    assert ([c.entry.name for c in found.changes], codes(found)) == (["李明"], [(3, "number-taken")])


def test_a_case_finds_its_handler_by_the_certificate_of_its_day() -> None:
    (change,) = read("cases", CASES, bureau()).changes
    case: Case = change.entry
    assert (case.kind, case.handlers) == (CaseKind.PENALTY, frozenset({bureau().people[0].id}))
    assert case.opened == datetime(2026, 9, 1, 1, tzinfo=UTC)


def test_a_case_is_found_again_under_any_of_its_numbers_and_gains_others() -> None:
    (first,) = read("cases", CASES, bureau()).changes
    known = replace(bureau(), cases=[first.entry])
    text = "立案号,文号,名称,类别\n大金卫罚[2026]第12号,文-7,某诊所案,处罚\n"
    (change,) = read("cases", text, known).changes
    assert [n.number for n in change.entry.numbers] == ["大金卫罚〔2026〕12号", "文-7"]
    assert change.entry.id == first.entry.id


def test_a_person_who_changes_one_thing_of_a_case_leaves_its_name_and_kind_unsaid_and_a_table_does_not() -> None:
    (first,) = read("cases", CASES, bureau()).changes
    known = replace(bureau(), cases=[first.entry])
    line = "立案号,名称,类别,当事人\n大金卫罚〔2026〕12号,,,某诊所\n"
    (changed,) = read("cases", line, replace(known, single=True)).changes
    assert (changed.fields, changed.entry.party) == (("party",), "某诊所")
    assert codes(read("cases", line, replace(bureau(), single=True))) == [(2, "bad-word")], "a new one has both"
    assert codes(read("cases", line, known)) == [(2, "bad-word")]


def test_a_trip_of_several_is_one_trip() -> None:
    text = "人员,外出时间,预计返回时间,事由,记录仪\n210001、210002,2026-09-01 08:00,2026-09-03 18:00,异地检查,DSJ-01\n"
    (change,) = read("trips", text, bureau()).changes
    assert (len(change.entry.persons), change.entry.recorders, change.entry.returned) == (2, frozenset({"rcd-1"}), None)
    back = text.replace("事由", "返回时间,事由").replace("18:00,异", "18:00,2026-09-03 20:00,异")
    (change,) = read("trips", back, replace(bureau(), trips=[change.entry])).changes
    assert (change.new, change.fields) == (False, ("returned",))


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("people", PEOPLE),
        (
            "people",
            "certificate,name,roles,login,from,until,active,shared\n1,甲,批准人、档案管理人员,a;b,2026-01-01,,否,是\n",
        ),
        ("departments", "名称,制作单位\n监督一科,委托执法机构\n"),
        ("cases", CASES),
        (
            "cases",
            "number,name,kind,form,urgent,opened,reported\n1,x,检查,执法活动,是,2026-1-2 3:04,2026年1月2日 5时06分\n",
        ),
    ],
)
def test_what_an_event_holds_is_read_again_as_it_was(what: str, text: str) -> None:
    of = {
        "people": registers.person_of,
        "departments": lambda name, body: registers.Department(name, **body),
        "cases": registers.case_of,
    }
    for change in read(what, text, bureau() if what == "cases" else EMPTY).changes:
        assert of[what](change.entry.id, body(what, change.entry)) == change.entry


def test_a_certificate_number_that_passed_on_is_of_two_people() -> None:
    was = [c.entry for c in read("people", "certificate,name,until\n210001,李明,2026-06-30\n").changes]
    (change,) = read("people", "certificate,name,from\n210001,王芳,2026-07-01\n", replace(EMPTY, people=was)).changes
    assert (change.new, change.entry.name, change.entry.id != was[0].id) == (True, "王芳", True)
    both = replace(EMPTY, people=[*was, change.entry])
    again = read("people", "certificate,name,from\n210001,王芳,2026-07-01\n", both)
    assert (again.same, again.changes, again.findings) == (1, (), ())
    assert codes(read("people", "certificate,name\n210001,赵强\n", replace(both, single=True))) == [(2, "number-taken")]


def test_only_a_person_changes_a_name_a_table_may_have_a_number_twice() -> None:
    other = "certificate,name\n210001,王五\n"
    assert codes(read("people", other, bureau())) == [(2, "name-differs")]
    (change,) = read("people", other, replace(bureau(), single=True)).changes
    assert (change.fields, change.entry.id) == (("name",), "per-" + PERSON_1)


def test_a_person_keeps_their_id_when_they_get_a_certificate() -> None:
    known = replace(EMPTY, people=[c.entry for c in read("people", "姓名,账号,工号\n赵强,zhaoq,7\n").changes])
    for column, cell in (("账号", "zhaoq"), ("工号", "7")):
        (change,) = read("people", f"执法证件编号,姓名,{column}\n210009,赵强,{cell}\n", known).changes
        assert (change.new, change.entry.id) == (False, known.people[0].id)


def test_another_certificate_is_the_same_person_s_if_the_line_names_the_former_one() -> None:
    text = "certificate,formerly,name,from\n210777,210001,李明,2026-07-01\n"
    (change,) = read("people", text, bureau()).changes
    assert (change.entry.id, [d.number for d in change.entry.certificates]) == ("per-" + PERSON_1, ["210001", "210777"])
    assert read("people", text, replace(bureau(), people=[change.entry])).same == 1
    assert codes(read("people", text.replace("李明", "王五"), bureau())) == [(2, "unknown-person")]


def test_an_end_alone_ends_what_was_borne_then_and_days_told_anew_stand_for_what_they_overlap() -> None:
    people = [c.entry for c in read("people", "certificate,name,from\n210001,李明,2026-01-01\n").changes]
    for days, held in (
        (",2026-06-30", Dated("210001", date(2026, 1, 1), date(2026, 6, 30))),
        ("2025-06-01,", Dated("210001", date(2025, 6, 1))),
    ):
        known = replace(EMPTY, people=people)
        (change,) = read("people", f"certificate,name,from,until\n210001,李明,{days}\n", known).changes
        assert change.entry.certificates == (held,)


def test_a_user_number_has_days_of_its_own() -> None:
    text = "certificate,name,from,device_number,device_from,device_until\n1,甲,2020-01-01,0012,2026-01-01,2026-03-31\n"
    (change,) = read("people", text).changes
    assert (change.entry.certificates, change.entry.device_numbers) == (
        (Dated("1", date(2020, 1, 1)),), (Dated("0012", date(2026, 1, 1), date(2026, 3, 31)),),
    )  # fmt: skip


def test_lines_about_one_person_say_nothing_in_two_ways() -> None:
    assert codes(read("people", "certificate,name,login\n1,甲,a\n1,甲,b\n")) == [(3, "line-twice")]
    head = "certificate,name,login,device_number,device_from,device_until\n1,甲,a,0012,2026-01-01,2026-03-31\n"
    assert codes(read("people", head + "1,甲,,0012,2026-03-01,\n")) == [(3, "line-twice")]
    found = read("people", head + "1,甲,,0012,2026-07-01,\n")
    assert (found.findings, found.changes[-1].entry.logins) == ((), frozenset({"a"}))
    again = read("people", head + "1,甲,,0012,2026-07-01,\n", replace(EMPTY, people=[found.changes[-1].entry]))
    assert (again.changes, again.same) == ((), 2)


def test_a_table_that_nobody_has_looked_at_gives_no_rights() -> None:
    text = "certificate,name,roles,login,shared,active\n210001,李明,approver,evil,no,yes\n210009,赵强,approver,x,,\n"
    found = read("people", text, replace(bureau(), watched=True))
    assert codes(found) == [(1, "column-of-rights")]
    assert found.findings[0].detail.startswith("roles, login, shared, active: ")
    assert read("people", PEOPLE, replace(EMPTY, watched=True)).findings == ()
    assert [(c.entry.name, c.entry.roles, c.entry.logins) for c in found.changes] == [
        ("赵强", frozenset({Role.OFFICER}), frozenset()),
    ]  # fmt: skip


def test_of_a_department_a_watched_table_says_whether_it_is_in_use() -> None:
    (change,) = read("departments", "名称,在用\n监督一科,否\n", replace(EMPTY, watched=True)).changes
    assert change.entry.active is False
    known = replace(
        EMPTY, departments=[change.entry], earlier=lambda _: [replace(change.entry, active=True), change.entry]
    )
    again = read("departments", "名称,在用\n监督一科,是\n", known)
    assert (again.changes, codes(again)) == ((), [(2, "goes-back")])


def test_nobody_gives_rights_to_themselves() -> None:
    own = bureau().people[0].id
    for column, cell in (("roles", "officer;approver"), ("login", "second")):
        text = f"certificate,name,{column}\n210001,李明,{cell}\n"
        assert codes(read("people", text, replace(bureau(), actor=own))) == [(2, "own-rights")]
        assert codes(read("people", text, replace(bureau(), actor="per-other"))) == []
    assert codes(read("people", "certificate,name,roles\n210001,李明,\n", replace(bureau(), actor=own))) == []
    shared = replace(bureau(), people=[replace(bureau().people[0], shared=True)], actor=own)
    assert codes(read("people", "certificate,name,shared\n210001,李明,否\n", shared)) == [(2, "own-rights")]


def test_who_has_no_certificate_is_no_officer_by_default() -> None:
    assert read("people", "name,login\n赵强,zhaoq\n").changes[0].entry.roles == frozenset()


def test_a_trip_that_changes_wants_its_approval_anew() -> None:
    text = "officers,left,expected,reason\n210001,2026-09-01 08:00,2026-09-03,{}\n"
    (trip,) = (replace(c.entry, approved_by="per-a") for c in read("trips", text.format("异地"), bureau()).changes)
    known = replace(bureau(), trips=[trip])
    assert read("trips", text.format("异地"), known).same == 1
    assert read("trips", text.format("出差"), known).changes[0].entry.approved_by == ""


def test_an_older_table_undoes_no_time_that_was_entered_since() -> None:
    trip = "officers,left,expected,returned\n210001,2026-09-01 08:00,2026-09-03,{}\n"
    trips = [c.entry for c in read("trips", trip.format("2026-09-03 10:00"), bureau()).changes]
    known = replace(bureau(), trips=trips)
    assert (read("trips", trip.format(""), known).same, read("trips", trip.format("-"), known).changes[0].fields) == (
        1, ("returned",),
    )  # fmt: skip
    assert read("trips", trip.format(""), replace(known, single=True)).changes[0].fields == ("returned",)
    case = "number,name,kind,opened,reported,act_ended,concluded\n1,x,检查,{}\n"
    times = "2026-09-01,2026-09-02,2026-09-03,2026-09-04"
    cases = [c.entry for c in read("cases", case.format(times), bureau()).changes]
    assert read("cases", case.format(",,,"), replace(bureau(), cases=cases)).same == 1


def test_an_older_table_sets_nothing_back_unless_a_person_says_so() -> None:
    text = "立案号,文号,名称,类别,当事人,承办人,行为终结时间\n立1,{}\n"
    states = [bureau()]
    for cells in ("文1,甲案,检查,,210001,", "文2,乙案,处罚,某诊所,210001;210002,2026-09-01"):
        (change,) = read("cases", text.format(cells), states[-1]).changes
        states.append(replace(bureau(), cases=[change.entry]))
    (first,), (case,) = states[1].cases, states[2].cases
    left = replace(case, numbers=case.numbers[::2])  # 文1 was entered by mistake, and taken back
    known = replace(bureau(), cases=[left], earlier={case.id: [first, case, left]}.__getitem__)
    older = read("cases", text.format("文1;文3,甲案,检查,,210001,2026-09-02"), known)
    assert codes(older) == [(2, "goes-back")]
    assert older.findings[0].detail.startswith("kind, numbers, name, party, handlers: it is what it was before")
    (change,) = older.changes
    assert (change.fields, [n.number for n in change.entry.numbers]) == (
        ("numbers", "act_ended"),
        ["立1", "文2", "文3"],
    )
    (only,) = read("cases", text.format("文2,甲案,处罚,某诊所,210001;210002,2026-09-01"), known).findings
    assert only.detail.startswith("name: it is what it was before")
    same = read("cases", text.format("文1,甲案,检查,,210001,"), known)
    assert (same.changes, same.same, codes(same)) == ((), 1, [(2, "goes-back")])
    (change,) = read("cases", text.format("文1,甲案,检查,,210001,-"), replace(known, back=True)).changes
    assert change.fields == ("kind", "numbers", "name", "party", "handlers", "act_ended")


def test_of_dated_numbers_an_older_table_takes_back_neither_days_nor_what_came_since() -> None:
    person = bureau().people[0]
    ended = replace(person, certificates=(Dated("210001", None, date(2026, 6, 30)), Dated("210777", date(2026, 7, 1))))
    known = replace(bureau(), people=[ended], earlier=lambda _: [person, ended])
    text = "certificate,name,from,until\n210001,李明,{}\n"
    assert read("people", text.format(","), known).same == 1
    for had, days in (((None, date(2026, 5, 31)), ",2026-05-31"), ((date(2026, 1, 1), None), "2026-01-01,")):
        was = replace(person, certificates=(Dated("210001", *had),))
        again = read("people", text.format(days), replace(known, earlier=lambda _, was=was: [was, person, ended]))
        assert (again.changes, codes(again)) == ((), [(2, "goes-back")])


def test_a_trip_that_was_made_void_stays_so_whatever_a_table_says_and_holds_nothing_up() -> None:
    text = "officers,left,expected\n210001,2026-09-01 08:00,2026-09-03\n210002,2026-09-01 08:00,2026-09-03\n"
    first, _ = (c.entry for c in read("trips", text, bureau()).changes)
    found = read("trips", text, replace(bureau(), trips=[replace(first, void=True)]))
    assert (codes(found), len(found.changes)) == ([(2, "trip-void")], 1)
    assert set(NOTES) == {"trip-void", "column-of-rights", "column-unknown", "goes-back"}


def test_a_trip_is_called_after_its_officers_so_its_recorders_can_be_corrected() -> None:
    text = "officers,left,expected,recorders\n210001,2026-09-01 08:00,2026-09-03,{}\n"
    (first,) = (c.entry for c in read("trips", text.format("DSJ-01"), bureau()).changes)
    known = replace(bureau(), trips=[first])
    assert read("trips", text.format(""), known).changes[0].fields == ("recorders",)
    assert read("trips", "officers,left,expected\n210001,2026-09-01 08:00,2026-09-03\n", known).same == 1
    alone = "officers,left,expected,recorders\n,2026-09-01 08:00,2026-09-03,DSJ-01\n"
    assert read("trips", alone, known).changes[0].new


def test_a_recorder_is_on_two_trips_at_once_only_with_somebody_who_is_on_both() -> None:
    head = "officers,left,expected,returned,recorders\n210001,2026-09-01 08:00,2026-09-03,{},DSJ-01\n"
    late = "210002,2026-09-02 08:00,2026-09-04,,DSJ-01\n"
    assert codes(read("trips", head.format("") + late, bureau())) == [(3, "two-carriers")]
    assert codes(read("trips", head.format("2026-09-01 18:00") + late, bureau())) == []
    assert codes(read("trips", head.format("") + late.replace("210002", "210001;210002"), bureau())) == []
    assert codes(read("trips", head.format("") + late.replace("DSJ-01", ""), bureau())) == []
    (first,) = (c.entry for c in read("trips", head.format(""), bureau()).changes)
    void = replace(bureau(), trips=[replace(first, void=True)])
    assert codes(read("trips", head.replace("210001", "210002").format(""), void)) == []


def test_numbers_may_hold_strokes_and_people_may_be_typed_in_any_width() -> None:
    found = read("cases", "number,name,kind\nJC/2026/1,x,检查\nJC/2026/2,y,检查\n")
    assert [[n.number for n in c.entry.numbers] for c in found.changes] == [["JC/2026/1"], ["JC/2026/2"]]
    assert read("people", "certificate,name\n２１０ ００１,李明\n", bureau()).same == 1
    (change,) = read("cases", CASES.replace("210001", "２１０００１"), bureau()).changes
    assert change.entry.handlers == frozenset({bureau().people[0].id})


def test_a_case_may_be_merged_into_one_that_a_later_line_brings() -> None:
    found = read("cases", "number,name,kind,merged_into\n1,x,检查,2\n2,y,处罚,\n")
    assert (found.findings, [(c.line, c.entry.merged_into != "") for c in found.changes]) == (
        (),
        [(3, False), (2, True)],
    )


def test_a_line_may_have_the_numbers_of_a_case_and_of_what_was_merged_into_it() -> None:
    first = [c.entry for c in read("cases", "number,name,kind,merged_into\n1,x,检查,2\n2,y,处罚,\n3,z,检查,\n").changes]
    known = replace(EMPTY, cases=first)
    text = "inspection_number,filing_number,document_number,name,kind\n1,2,9,y,处罚\n"
    (change,) = read("cases", text, known).changes
    assert [n.number for n in change.entry.numbers] == ["2", "9"]
    assert codes(read("cases", text.replace("9", "3"), known)) == [(2, "number-taken")]


def test_a_circle_of_merges_and_one_with_the_archive_are_refused() -> None:
    """A circle would be nobody's, and have no limit at all."""
    one, two, three = (c.entry for c in read("cases", "number,name,kind\n1,x,检查\n2,y,检查\n3,z,检查\n").changes)
    text = "number,name,kind,merged_into\n1,x,检查,2\n2,y,检查,3\n3,z,检查,1\n"
    found = read("cases", text, replace(EMPTY, cases=[one, two, three]))
    assert (codes(found), len(found.changes)) == ([(4, "merged-already")], 2)
    assert codes(read("cases", "number,name,kind,merged_into\n1,x,检查,1\n", replace(EMPTY, cases=[one]))) == [
        (2, "merged-into-itself")
    ]
    shut = replace(two, archived=Archived(NOW, "档1", "30年", "a", "b", "0" * 64))
    for cases in ([one, shut], [replace(one, archived=shut.archived), two]):
        assert codes(read("cases", "number,name,kind,merged_into\n1,x,检查,2\n", replace(EMPTY, cases=cases))) == [
            (2, "archived")
        ]


def test_a_number_that_was_taken_back_makes_another_case() -> None:
    (case,) = (c.entry for c in read("cases", "number,filing_number,name,kind\n1,2,x,检查\n").changes)
    left = replace(case, numbers=case.numbers[1:])
    (change,) = read("cases", "number,name,kind\n1,y,检查\n", replace(EMPTY, cases=[left])).changes
    assert (change.new, change.entry.id != case.id) == (True, True)


def test_what_the_limits_of_an_archived_case_count_from_changes_no_more() -> None:
    (case,) = (c.entry for c in read("cases", "number,name,kind,act_ended\n1,x,检查,2026-09-01\n").changes)
    known = replace(EMPTY, cases=[replace(case, archived=Archived(NOW, "档1", "30年", "a", "b", "0" * 64))])
    assert codes(read("cases", "number,name,kind,act_ended\n1,x,检查,2026-10-01\n", known)) == [(2, "archived")]
    assert len(read("cases", "number,filing_number,name,kind\n1,2,x,检查\n", known).changes) == 1


# --- what is wrong with them --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "text", "found"),
    [
        ("people", "certificate,department\n1,x\n", [(1, "column-missing")]),
        ("people", "name,姓名,certificate\nx,y,1\n", [(1, "column-twice")]),
        ("people", "name,certificate,shoe size\nx,1,43\n", [(1, "column-unknown")]),
        ("people", "name,certificate\nx,\n", [(2, "no-number")]),
        ("people", "name,certificate\n,1\n", [(2, "bad-name")]),
        ("people", "certificate,name\n1,x\n合计,3人\n", [(3, "bad-number")]),
        ("people", "name,certificate\n=1+1,1\ny,@SUM(A1)\nz,+cmd|x\nw,-2+3\n", [(n, "formula") for n in (2, 3, 4, 5)]),
        ("people", "name,certificate,roles\nx,1,king\n", [(2, "bad-word")]),
        ("people", "name,certificate,from\nx,1,2026-02-30\n", [(2, "bad-date")]),
        ("people", "name,certificate,from,until\ny,2,2026-05-01,2026-04-01\n", [(2, "ends-before-it-begins")]),
        ("people", "name,certificate\nx,1,2,3\n", [(2, "too-many-cells")]),
        ("people", "name,certificate\n" + "x" * 2001 + ",1\n", [(2, "cell-too-long")]),
        ("people", "name,certificate\na\u0007b,1\n", [(2, "unprintable")]),
        ("cases", "number,name,kind\n1,x,dance\n", [(2, "bad-word")]),
        ("cases", "number,name,kind\n1,x,检查\n１,y,检查\n", [(3, "line-twice")]),
        ("cases", "number,filing_number,name,kind\n1,１,x,检查\n", []),
        ("cases", "number,name,kind,handlers\n1,x,检查,999\n", [(2, "unknown-person")]),
        ("cases", "number,name,kind,opened\n1,x,检查,yesterday\n", [(2, "bad-time")]),
        ("cases", "number,name,kind,opened,act_ended\n1,x,检查,2026-02-02,2026-02-01\n", [(2, "ends-before-it-begins")]),
        ("cases", "number,name,kind,merged_into\n1,x,检查,7\n", [(2, "unknown-case")]),
        ("cases", "number,name,kind\n,x,检查\n", [(2, "no-number")]),
        ("trips", "officers,left,expected\n210001,2026-01-02 08:00,2026-01-01\n", [(2, "ends-before-it-begins")]),
        ("trips", "officers,left,expected,returned\n210001,2026-01-02,2026-01-03,2026-01-01\n", [(2, "ends-before-it-begins")]),
        ("trips", "officers,left,expected,recorders\n210001,2026-01-02,2026-01-03,X\n", [(2, "unknown-recorder")]),
        ("trips", "officers,left,expected\n,2026-01-02,2026-01-03\n", [(2, "nobody")]),
        ("trips", "officers,left,expected\n210001,,2026-01-03\n", [(2, "no-time")]),
        ("departments", "name\n" + "x" * 61 + "\n", [(2, "bad-name")]),
        ("people", "certificate,name,department\n1,x," + "x" * 61 + "\n", [(2, "bad-name")]),
        ("people", "certificate,name,position\n1,x,\u202ey\n2,y,a\u2028b\n", [(2, "unprintable"), (3, "unprintable")]),
        ("people", "certificate,name\n2.10001E+11,x\n210001.0,y\n", [(2, "bad-number"), (3, "bad-number")]),
        ("cases", "number,name,kind\n2.10001E+11,x,检查\n", [(2, "bad-number")]),
        ("cases", "number,name,kind\n1,+1234+cmd|x!A0,检查\n2,＝1+1,检查\n3,+86 411-1234,检查\n", [(2, "formula"), (3, "formula")]),
        ("cases", "number,name,kind,opened\n1,x,检查,0001-01-01\n", [(2, "bad-time")]),
        ("cases", "number,name,kind,opened\n1,x,检查,9999-12-31T23:59-12:00\n", [(2, "bad-time")]),
        ("cases", "number,name,kind,act_ended\n1,x,检查,2026-11-24 12:01\n2,y,检查,2026-11-24 12:00\n", [(2, "future")]),
        ("people", "certificate,name,from\n1,x,0001-01-01\n", [(2, "bad-date")]),
        ("trips", "officers,left,expected,returned\n210001,2026-01-02,2026-01-03,2099-01-01\n", [(2, "future")]),
    ],
)  # fmt: skip
def test_each_bad_line_has_its_number_and_its_reason(what: str, text: str, found: list[tuple[int, str]]) -> None:
    assert codes(read(what, text, bureau())) == found


def test_good_lines_stand_beside_bad_ones() -> None:
    found = read("cases", "number,name,kind,department\n1,x,检查,一科\n2,y,dance,二科\n3,z,处罚,一科\n")
    assert ([c.line for c in found.changes], codes(found)) == ([2, 4], [(3, "bad-word")])
    assert [d.name for d in found.departments] == ["一科"], "what a bad line names is not registered"
    nothing = read("cases", "number,name\n1,x\n")
    assert (nothing.changes, nothing.same, nothing.departments) == ((), 0, ())


def test_numbers_of_several_cases_on_one_line_are_no_merge() -> None:
    known = replace(EMPTY, cases=[c.entry for c in read("cases", "number,name,kind\n1,x,检查\n2,y,处罚\n").changes])
    assert codes(read("cases", "number,filing_number,name,kind\n1,2,x,检查\n", known)) == [(2, "number-taken")]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"name\n\xff\xfe\x00\x81", "neither UTF-8 nor GB18030"),
        ("name\n李".encode() + "明\n".encode("gb18030") + b"\xff", "neither UTF-8 nor GB18030"),
        (b"name\n" + b"x" * 100_000, "line 2 has 100000 characters"),
        (b'name\n"x\n', "unexpected end of data"),
        (b'[{"name": ', "is not JSON"),
        (b'{"name": 1}', "no list of objects"),
        (b"[" * 100_000, "is not JSON"),
        (b"[1]", "no list of objects"),
        ("name\n李明,x\n王".encode("gb18030") + b"\xc8\n", "GB18030: line 3 holds"),
        ("name\n李明,x\n王".encode() + b"\xff\n", "GB18030: line 3 holds"),
        (b"PK\x03\x04rest", "is a workbook"),
        (b'[{"a":1,"a":2}]', "two of 'a'"),
        (b'[{"a":NaN}]', "NaN is no number"),
        ("name,x\n李明,1\n".encode() + "王芳,1\n".encode("gb18030"), "line 2 is UTF-8, and others are not"),
        (b"[" + b",".join(b'{"k%d":1}' % n for n in range(201)) + b"]", "201 columns"),
        (b"a," * 201, "line 1 has 202 cells"),
        (b"a\n" * 200_002, "more than 200000 lines"),
        (b"[" + b"{}," * 400_001, "more than 200000 lines"),
    ],
)
def test_what_is_no_table_is_refused_as_a_whole(data: bytes, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_table(data, "table.csv")


def test_json_of_any_depth_is_a_table_or_is_refused() -> None:
    refused = 0
    for depth in range(sys.getrecursionlimit() // 2, sys.getrecursionlimit() + 50, 25):
        for opens, shuts in (("[", "]"), ('{"a":', "}")):
            try:
                parse_table(f'[{{"a":{opens * depth}1{shuts * depth}}}]'.encode(), "x")
            except UsageError:
                refused += 1
    assert refused


def test_a_line_of_100_mb_is_refused_without_being_read(tmp_path: Path) -> None:
    big = tmp_path / "big.csv"
    with big.open("wb") as f:
        f.write(b"name,certificate\n")
        f.truncate(100 * 1000**2)
    with pytest.raises(UsageError, match="larger than 32 MiB"):
        read_table(big)


def test_a_table_that_is_not_there_is_said() -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_table(Path("/nonexistent/table.csv"))


def test_quoted_cells_may_hold_line_breaks_and_lines_keep_their_numbers() -> None:
    found = read("people", 'certificate,name,position\n1,甲,"科\n长"\n2,,x\n')
    assert codes(found) == [(2, "unprintable"), (4, "bad-name")]


# --- over anything ------------------------------------------------------------------------------------------------------

HEADERS = {
    "people": "certificate name roles from", "departments": "name unit", "trips": "officers left expected returned",
    "cases": "number name kind handlers opened",
}  # fmt: skip
cells = st.text(max_size=30) | st.sampled_from(
    ["2026-01-01", "210001", "检查", "是", "2026-01-01 10:00", "李明", "=1", ""]
)


@given(st.sampled_from(["people", "departments", "trips", "cases"]), st.lists(st.lists(cells, max_size=9), max_size=6))
def test_any_table_ends_as_changes_and_findings(what: str, rows: Sequence[Sequence[str]]) -> None:
    header = HEADERS[what].split()
    numbered = list(enumerate(rows, 2))
    found = plan(what, header, numbered, bureau())
    told = {f.line for f in found.findings} | {c.line for c in found.changes}
    assert told <= {n for n, _ in numbered} | {1}
    assert len([r for _, r in numbered if any(c.strip() for c in r)]) == len(told - {1}) + found.same
    for change in found.changes:
        assert body(what, change.entry)


def few(*values: str) -> st.SearchStrategy[str]:
    return st.sampled_from(["", *values])


DAYS = few("2026-01-01", "2026-06-30", "2026-03-01")
NUMBERS = few("1", "2", "1;3", "立〔2026〕1号", "立[2026]第1号")
COLLIDING = {
    "people": {"certificate": few("1", "2", "１"), "name": few("甲", "乙"), "login": few("a", "b", "a;b"),
               "staff_number": few("7"), "department": few("一科", "二科"), "roles": few("officer", "approver"), "from": DAYS,
               "until": DAYS, "device_number": few("001", "002"), "device_from": DAYS, "active": few("是", "否")},
    "departments": {"name": few("一科", "二科"), "unit": few("x", "y"), "active": few("否", "是")},
    "trips": {"officers": few("210001", "210001;210002"), "left": few("2026-09-01 08:00", "2026-09-01"),
              "expected": few("2026-09-03", "2026-09-04"), "returned": few("2026-09-03", "2026-09-02", "-"),
              "reason": few("a", "b"), "recorders": few("DSJ-01")},
    "cases": {"number": NUMBERS, "filing_number": few("立1", "立2"), "inspection_number": NUMBERS, "name": few("甲", "乙"),
              "kind": few("检查", "处罚"), "opened": DAYS, "act_ended": DAYS, "merged_into": NUMBERS, "handlers": few("210001")},
}  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.data(), st.sampled_from(sorted(COLLIDING)), st.booleans())
def test_a_table_that_was_imported_changes_nothing_when_it_is_imported_again(
    data: Any, what: str, watched: bool
) -> None:
    columns_ = data.draw(st.lists(st.sampled_from(sorted(COLLIDING[what])), unique=True, min_size=2))
    header = list(dict.fromkeys([*columns_, *_TABLES[what][0].wanted]))
    rows = data.draw(st.lists(st.tuples(*(COLLIDING[what][c] for c in header)), max_size=5))
    known = replace(bureau(), watched=watched)
    first = plan(what, header, list(enumerate(rows, 2)), known)
    there = {each.id: each for each in getattr(known, what)} | {c.entry.id: c.entry for c in first.changes}
    after = replace(known, **{"departments": first.departments, what: list(there.values())})
    again = plan(what, header, list(enumerate(rows, 2)), after)
    assert again.changes == (), (header, rows)
    assert {f.line for f in again.findings} == {f.line for f in first.findings}


@settings(max_examples=50, deadline=None)
@given(st.data(), st.sampled_from(["departments", "trips", "cases"]))
def test_a_table_before_the_last_one_comes_too_late_whatever_it_says(data: Any, what: str) -> None:
    header = sorted(COLLIDING[what])
    known, earlier = bureau(), {}
    rows = [data.draw(st.lists(st.tuples(*(COLLIDING[what][c] for c in header)), max_size=4)) for _ in range(2)]
    for n in (0, 1, 0):
        known = replace(known, earlier=earlier.__getitem__)
        found = plan(what, header, list(enumerate(rows[n], 2)), known)
        there = {each.id: each for each in getattr(known, what)}
        for change in found.changes:
            assert change.new or not going_back(there[change.entry.id], change.entry, earlier[change.entry.id])
            earlier = {**earlier, change.entry.id: [*earlier.get(change.entry.id, ()), change.entry]}
            there[change.entry.id] = change.entry
        known = replace(known, **{"departments": [*known.departments, *found.departments], what: list(there.values())})


HOSTILE = st.sampled_from(
    ["'", "＝1", "-", "无", "20260305", "46086", "9999-12-31 23:59", "2026-01-01T00:00:00+24:00", "210001", "检查", "\ufeff",
     "\0", "\u202e", "\ud800", "a" * 2001, "〔2026〕", "1;2", ",", "\t", '"', "\r", "\n", "，", "\x1a", "\x85", "²", "{", "["]
)  # fmt: skip


@st.composite
def files(draw: Any, what: str) -> bytes:
    """A table of a kind as somebody's program may have left it: in some encoding, anything in its cells, perhaps broken."""
    names = [each for name, others in _TABLES[what][0].headers.items() for each in (name, *others)]
    cell = st.lists(HOSTILE | st.text(max_size=3), max_size=3).map("".join)
    head = [*_TABLES[what][0].wanted, *draw(st.lists(st.sampled_from(names) | cell, max_size=4))]
    rows = [head, *draw(st.lists(st.lists(cell, max_size=8), max_size=4))]
    text = draw(st.sampled_from(["\n", "\r\n", "\r"])).join(draw(st.sampled_from(",;\t，")).join(row) for row in rows)
    if draw(st.booleans()):
        text = json.dumps([dict(zip(head, row, strict=False)) for row in rows[1:]])
    data: bytes = text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])), "surrogatepass")
    if draw(st.booleans()):
        data = text.encode("gb18030", "replace")
    at = draw(st.integers(0, len(data)))
    return data[:at] + draw(st.just(b"") | st.binary(max_size=3)) + data[at + draw(st.integers(0, 2)) :]


@settings(max_examples=50, deadline=None)
@given(st.data(), st.sampled_from(sorted(COLLIDING)), st.booleans())
def test_any_bytes_are_a_plan_with_the_lines_that_are_wrong_or_are_refused(data: Any, what: str, single: bool) -> None:
    for given_bytes in (data.draw(files(what)), data.draw(st.binary(max_size=200))):
        try:
            header, rows, _ = parse_table(given_bytes, "x")
        except UsageError:
            continue
        found = plan(what, header, rows, replace(bureau(), single=single))
        assert {f.line for f in found.findings} | {c.line for c in found.changes} <= {n for n, _ in rows} | {1}
        for change in found.changes:
            canonical(body(what, change.entry)).encode()


@given(st.text(max_size=40))
def test_a_cell_is_a_time_or_a_problem(text: str) -> None:
    assert isinstance(columns.moment(text, ZONE), datetime | Problem | None)
    assert isinstance(columns.day(text), date | Problem | None)
