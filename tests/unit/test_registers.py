"""Registers by their commands: people, departments, trips, cases, recorders handed out; who may, and who has to sign."""

import json
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

import mediad.cli.casefile
import mediad.cli.trips  # noqa: F401
from mediad.catalog import bureau
from mediad.cli import registers as cli
from mediad.edges.tabular import read_table
from mediad.errors import MediadError, NotFound, Refused, UsageError
from mediad.model.custody import Draft
from mediad.wiring.bureau import acts, casework, filing, registers, trips
from mediad.wiring.bureau.equipment import measure_clock, name_slot, register_recorder
from mediad.wiring.bureau.handing import move
from tests.audit_support import found, fsck
from tests.signing_support import acting, approve, keyed, sign
from tests.support import Site, make_site

PEOPLE = """执法证件编号,姓名,部门,账号,角色
210001,李明,监督一科,liming,执法人员
210002,王芳,监督二科,wangfang,批准人;执法人员
210003,赵强,,zhaoq,批准人
"""
CASES = (
    "立案号,名称,类别,承办人,立案时间\n大金卫罚〔2026〕12号,某诊所案,行政处罚,210001,2026-09-01 09:00\nx,y,dance,,\n"
)

As = Callable[[str], None]


@pytest.fixture
def as_login(monkeypatch: pytest.MonkeyPatch) -> As:
    """Act under an account of the operating system."""

    def become(login: str) -> None:
        monkeypatch.setattr("mediad.wiring.station.login", lambda: login)

    become("root")
    return become


@pytest.fixture
def office(site: Site, tmp_path: Path, as_login: As) -> Site:
    """A station that knows its people."""
    registers.take(site.config, "people", table(tmp_path, PEOPLE), good=False)
    return site


def table(folder: Path, text: str, name: str = "table.csv") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def events(site: Site, kind: str) -> list[dict[str, Any]]:
    return [json.loads(row[0]) for row in site.rows("SELECT detail FROM custody WHERE kind = ? ORDER BY seq", kind)]


def command(site: Site, *words: str | Path) -> Result:
    """A command in this process."""
    app = typer.Typer()
    cli.register(app)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mediad.cli.common.selected_config", site.config_file)
        return CliRunner().invoke(app, [*map(str, words)])


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(MediadError) as caught:
        work()
    return caught.value.code


def holds(site: Site) -> None:
    assert found(fsck(site)) == set()


# --- tables -------------------------------------------------------------------------------------------------------------


def test_a_table_with_a_bad_line_is_taken_as_a_whole_or_not_at_all(office: Site, tmp_path: Path) -> None:
    plan, performed = registers.take(office.config, "cases", table(tmp_path, CASES), good=False)
    assert (performed, [f.line for f in plan.findings]) == (None, [3])
    assert events(office, "case.registered") == []
    plan, performed = registers.take(office.config, "cases", table(tmp_path, CASES), good=True)
    assert performed is not None
    assert [e["name"] for e in events(office, "case.registered")] == ["某诊所案"]
    holds(office)


def test_what_was_wrong_with_a_table_stays_in_the_record(office: Site, tmp_path: Path) -> None:
    registers.take(office.config, "cases", table(tmp_path, CASES), good=False)
    told = events(office, "table.imported")[-1]
    assert (told["taken"], told["bad"], told["name"]) == (False, 1, "table.csv")
    assert told["findings"] == [{"line": 3, "code": "bad-word", "detail": told["findings"][0]["detail"]}]


def test_a_preview_writes_nothing(office: Site, tmp_path: Path) -> None:
    before = office.rows("SELECT count(*) FROM custody")
    done = office.run("case", "import", table(tmp_path, CASES), "--dry-run", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["taken"], told["new"], [f["line"] for f in told["findings"]]) == (2, False, 1, [3])
    assert office.rows("SELECT count(*) FROM custody") == before


def test_an_older_table_goes_back_to_nothing_but_by_a_persons_word(office: Site, tmp_path: Path) -> None:
    older = table(tmp_path, CASES.replace("x,y,dance,,\n", ""), "older.csv")
    newer = table(
        tmp_path, older.read_text("utf-8").replace("某诊所案", "某医院案").replace("210001", "210002"), "newer.csv"
    )
    for each in (older, newer):
        registers.take(office.config, "cases", each, good=False)
    plan, performed = registers.take(office.config, "cases", older, good=False)
    assert (performed, plan.same, [f.code for f in plan.findings]) == (None, 1, ["goes-back"])
    assert [e["name"] for e in events(office, "case.registered")] == ["某诊所案", "某医院案"]
    told = events(office, "table.imported")[-1]
    assert (told["taken"], told["bad"], [f["code"] for f in told["findings"]]) == (True, 0, ["goes-back"])
    done = command(office, "case", "import", older, "--dry-run")
    assert (done.exit_code, "第2行 line 2: name, handlers: it is what it was before" in done.stdout) == (0, True)
    assert "变更 changed 0 · 不变 same 1 · 有误 bad 0" in done.stdout
    done = command(office, "case", "import", older, "--dry-run", "--back")
    assert (
        "第2行 line 2: 变更 changed 某诊所案\n    name: 某医院案 → 某诊所案\n    handlers: 王芳 → 李明\n" in done.stdout
    )
    plan, performed = registers.take(office.config, "cases", older, good=False, back=True)
    assert (plan.changes[0].fields, [f.code for f in plan.findings]) == (("name", "handlers"), ["goes-back"])
    assert events(office, "case.registered")[-1]["name"] == "某诊所案"
    with closing(office.open()) as station:
        watched, _ = registers.take_for(station, "cases", read_table(newer), registers.Watched("x", 0), good=True)
    assert (watched.changes, [f.code for f in watched.findings]) == ((), ["goes-back"])
    registers.enter(
        office.config, "cases", {"filing_number": "大金卫罚〔2026〕12号", "name": "某医院案", "kind": "处罚"}
    )
    assert events(office, "case.registered")[-1]["name"] == "某医院案"
    for what, text in (("departments", "名称,制作单位\n监督一科,{}\n"), ("people", "执法证件编号,姓名,职务\n210001,李明,{}\n"),
                       ("trips", "人员,外出时间,预计返回时间,事由\n210001,2026-09-01,2026-09-03,{}\n")):  # fmt: skip
        for word in ("甲", "乙", "甲"):
            plan, _ = registers.take(office.config, what, table(tmp_path, text.format(word)), good=False)
        assert (plan.changes, [f.code for f in plan.findings]) == ((), ["goes-back"])
    holds(office)


def test_the_commands_say_what_came_of_a_table(site: Site, tmp_path: Path) -> None:
    def run(*words: str | Path) -> Result:
        return command(site, *words)

    assert "新增 new 3" in run("officer", "import", table(tmp_path, PEOPLE)).stdout
    assert "不变 same 3" in run("officer", "import", table(tmp_path, PEOPLE)).stdout
    assert "3 人 people" in run("officer", "list").stdout
    done = run("case", "import", table(tmp_path, CASES))
    assert (done.exit_code, "第3行 line 3" in done.stdout, "未导入" in done.stdout) == (2, True, True)
    assert run("case", "import", table(tmp_path, CASES), "--good").exit_code == 0
    shown = json.loads(run("case", "show", "大金卫罚[2026]第12号", "--json").stdout)
    assert (shown["name"], shown["handlers"]) == ("某诊所案", ["李明"])
    assert shown["opened"] == "2026-09-01T09:00:00+08:00", "in the unit's zone, not in that of the catalogue"
    assert "立案 opened: 2026-09-01 09:00" in run("case", "show", "大金卫罚〔2026〕12号").stdout
    assert "2026-09-01 办理中 open" in run("case", "list").stdout
    registers.take(
        site.config,
        "cases",
        table(tmp_path, "编号,名称,类别,立案时间\nJ1,甲,检查,2026-08-01\nJ2,乙,检查,\n"),
        good=False,
    )
    listed = json.loads(run("case", "list", "--json").stdout)
    assert [c["name"] for c in listed] == ["某诊所案", "甲", "乙"], "the last to be opened first"
    shown = run("case", "list", "--limit", "2").stdout
    assert ("某诊所案" in shown, "乙" in shown, "3 件 cases，以上为最近的" in shown) == (True, False, True)
    timed = table(
        tmp_path,
        "编号,文号,名称,类别,立案时间,部门,紧急\nJ1,文1,甲,检查,2026-08-01 08:30,监督三科,是\nJ3,,丙,检查,,,\n",
    )
    assert run("case", "import", timed, "--dry-run").stdout == (
        "  第2行 line 2: 变更 changed 甲\n    numbers: 编号 J1 → 编号 J1、文号 文1\n    department: 无 → 监督三科\n"
        "    opened: 2026-08-01 00:00 → 2026-08-01 08:30\n    urgent: 否 → 是\n  第3行 line 3: 新增 new 丙\n"
        "将会 would be: 新增 new 1 · 变更 changed 1 · 不变 same 0 · 有误 bad 0\n"
    )
    (told, _) = json.loads(run("case", "import", timed, "--dry-run", "--json").stdout)["changes"]
    assert told["turned"]["urgent"] == [False, True]
    trip = "人员,外出时间,预计返回时间,返回时间,事由\n"
    days = "".join(f"210001,2026-09-0{n},2026-09-03,{back},{n}\n" for n, back in ((1, ""), (2, "2026-09-02"), (3, "")))
    registers.take(site.config, "trips", table(tmp_path, trip + days), good=False)
    listed = json.loads(run("trip", "list", "--open", "--json").stdout)
    assert [(t["reason"], t["officers"], t["returned"]) for t in listed] == [
        ("3", ["李明"], None),
        ("1", ["李明"], None),
    ]
    assert site.run("case", "show", "nothing").returncode == 3
    assert "there is 大金卫罚[2026]12号" in site.run("case", "show", "大金卫罚〔2026〕").stderr
    assert "有误 bad 1" in run("imports").stdout
    assert "Traceback" not in site.run("case", "import", tmp_path / "missing.csv").stderr


def test_a_department_that_a_table_names_is_registered_with_it(office: Site) -> None:
    assert [e["name"] for e in events(office, "department.registered")] == ["监督一科", "监督二科"]
    registers.enter(office.config, "departments", {"name": "监督一科", "unit": "委托执法机构"})
    registers.enter(office.config, "people", {"certificate": "210004", "name": "孙丽", "department": "监督一科"})
    assert [(e["name"], e["unit"]) for e in events(office, "department.registered")][2:] == [
        ("监督一科", "委托执法机构")
    ]


def test_nothing_of_a_person_is_overwritten_without_trace(office: Site) -> None:
    registers.enter(office.config, "people", {"certificate": "210001", "name": "李明", "position": "科长"})
    first, second = [e for e in events(office, "person.registered") if e["key"] == "210001"]
    assert (first["position"], second["position"]) == ("", "科长")
    assert second["logins"] == first["logins"]


def test_a_single_entry_that_cannot_be_is_refused_with_its_reason(office: Site) -> None:
    taken = {"certificate": "210009", "name": "别人", "login": "wangfang"}
    assert refused(lambda: registers.enter(office.config, "people", taken)) == "login-taken"
    assert (
        refused(lambda: registers.enter(office.config, "cases", {"number": "1", "name": "x", "kind": "dance"}))
        == "bad-word"
    )


def test_a_pipe_is_no_table(office: Site, tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="is no file"):
        registers.take(office.config, "cases", tmp_path / "pipe", good=True)


# --- who may, and who has to sign ---------------------------------------------------------------------------------------


def test_an_account_of_nobody_acts_under_its_own_name_and_is_flagged(office: Site) -> None:
    assert [row[0] for row in office.rows("SELECT DISTINCT actor FROM custody WHERE kind = 'person.registered'")] == [
        "root"
    ]
    assert {e["by"] for e in events(office, "person.registered")} == {""}


def test_nobody_makes_themselves_an_approver(office: Site, as_login: As) -> None:
    own = {"certificate": "210004", "name": "孙丽", "roles": "archivist", "login": "sunli"}
    registers.enter(office.config, "people", own)
    as_login("sunli")
    more = {**own, "roles": "archivist;approver"}
    assert refused(lambda: registers.enter(office.config, "people", more)) == "own-rights"
    as_login("wangfang")
    registers.enter(office.config, "people", more)
    assert events(office, "person.registered")[-1]["roles"] == ["approver", "archivist"]


def test_a_name_is_changed_by_an_entry_and_by_no_table(office: Site, tmp_path: Path) -> None:
    plan, performed = registers.take(
        office.config, "people", table(tmp_path, "certificate,name\n210001,李大明\n"), good=True
    )
    assert ([f.code for f in plan.findings], performed) == (["name-differs"], None)
    registers.enter(office.config, "people", {"certificate": "210001", "name": "李大明"})
    assert [e["name"] for e in events(office, "person.registered")][-1] == "李大明"


def test_a_unit_may_refuse_accounts_of_nobody(tmp_path: Path, as_login: As) -> None:
    site = make_site(tmp_path / "strict", more='[acts]\nunmapped = "refuse"')
    assert refused(lambda: registers.enter(site.config, "departments", {"name": "监督一科"})) == "unmapped"


def test_a_person_without_the_role_is_refused(office: Site, as_login: As) -> None:
    as_login("liming")
    assert refused(lambda: registers.enter(office.config, "departments", {"name": "监督三科"})) == "no-right"
    as_login("wangfang")
    registers.enter(office.config, "departments", {"name": "监督三科"})
    assert events(office, "department.registered")[-1]["by"] == person(office, "210002")


def person(site: Site, certificate: str) -> str:
    return str(site.rows("SELECT person FROM person_number WHERE number = ?", certificate)[0][0])


def signed_unit(tmp_path: Path, as_login: As) -> Site:
    site = make_site(tmp_path / "unit", more='[acts]\nwants = { classify = ["reviewer", "approver"] }')
    registers.take(site.config, "people", table(tmp_path, PEOPLE), good=False)
    return site


def have_keys(site: Site, *logins: str) -> None:
    """They have keys, entered by a registrar."""
    registrar = {"certificate": "210008", "name": "周敏", "login": "zhoumin", "roles": "storage-administrator"}
    with acting("root"):
        registers.enter(site.config, "people", registrar)
    keyed(site, "zhoumin", *logins)


def propose(site: Site) -> str:
    def make(_ledger: Any, _actor: Any) -> list[Draft]:
        return [Draft("department.registered", "dep-x", {"name": "x", "unit": "", "active": True})]

    return acts.perform(site.config, "classify", make).waits


def effect(site: Site) -> list[dict[str, Any]]:
    return [e for e in events(site, "department.registered") if e["name"] == "x"]


def test_an_act_that_wants_signatures_has_no_effect_before_the_last_one(tmp_path: Path, as_login: As) -> None:
    site = signed_unit(tmp_path, as_login)
    have_keys(site, "wangfang", "zhaoq")
    as_login("liming")
    act = propose(site)
    assert effect(site) == []
    assert refused(lambda: sign(site, act, "approver", "liming")) == "not-yet"
    assert refused(lambda: sign(site, act, "reviewer", "liming")) == "own-act"
    sign(site, act, "reviewer", "zhaoq")
    assert effect(site) == []
    assert refused(lambda: sign(site, act, "approver", "zhaoq")) == "own-act"
    assert refused(lambda: sign(site, act, "approver", "root")) == "nobody"
    sign(site, act, "approver", "wangfang")
    (done,) = effect(site)
    assert done["signed"] == {
        n: person(site, c) for n, c in (("handler", "210001"), ("reviewer", "210003"), ("approver", "210002"))
    }
    assert refused(lambda: sign(site, act, "approver", "wangfang")) == "refused"
    holds(site)


def test_a_table_that_changes_nothing_waits_for_no_signature(tmp_path: Path) -> None:
    site = make_site(tmp_path / "unit", more='[acts]\nwants = { register-case = ["approver"] }')
    bad = table(tmp_path, "number,name,kind\n1,x,dance\n")
    plan, performed = registers.take(site.config, "cases", bad, good=False)
    assert (performed, len(plan.findings)) == (None, 1)
    assert events(site, "act.proposed") == []
    assert len(events(site, "table.imported")) == 1
    _, performed = registers.take(site.config, "cases", table(tmp_path, "number,name,kind\n1,x,检查\n"), good=False)
    assert performed is not None
    assert performed.waits


def test_an_act_whose_subject_has_changed_meanwhile_cannot_be_signed(tmp_path: Path, as_login: As) -> None:
    site = signed_unit(tmp_path, as_login)
    as_login("liming")
    act = propose(site)
    as_login("zhaoq")
    with closing(site.open()) as station:  # somebody else was at it
        station.ledger.record(
            [Draft("department.registered", "dep-x", {"name": "y", "unit": "", "active": True, "by": ""})]
        )
    assert refused(lambda: sign(site, act, "reviewer", "zhaoq")) == "refused"


def test_a_refused_act_never_has_effect(tmp_path: Path, as_login: As) -> None:
    site = signed_unit(tmp_path, as_login)
    as_login("liming")
    act = propose(site)
    as_login("stranger")
    assert refused(lambda: acts.refuse(site.config, act, "no")) == "nobody"
    as_login("wangfang")
    acts.refuse(site.config, act, "理由不足")
    assert refused(lambda: sign(site, act, "reviewer", "zhaoq")) == "refused"
    with pytest.raises(NotFound):
        acts.refuse(site.config, "act-none", "x")


# --- cases ---


def test_a_number_that_was_entered_by_mistake_can_be_taken_back_and_be_anothers(office: Site) -> None:
    first = {"filing_number": "罚〔2026〕1号", "document_number": "文7", "name": "甲", "kind": "处罚"}
    registers.enter(office.config, "cases", first)
    other = {"filing_number": "罚〔2026〕2号", "document_number": "文7", "name": "乙", "kind": "处罚"}
    assert refused(lambda: registers.enter(office.config, "cases", other)) == "two-filing-numbers"
    assert casework.withdraw_number(office.config, "罚[2026]1号", "文７")["said"].endswith("withdrawn")
    assert refused(lambda: casework.withdraw_number(office.config, "罚[2026]1号", "罚【2026】1号")) == "no-number"
    with pytest.raises(NotFound):
        casework.withdraw_number(office.config, "罚[2026]1号", "文7")
    plan, _ = registers.enter(office.config, "cases", other)
    assert (plan.changes[0].new, plan.changes[0].entry.name) == (True, "乙")
    holds(office)


def test_an_archived_case_is_concluded_at_no_other_time_and_keeps_its_file_number(office: Site) -> None:
    known = {"filing_number": "罚〔2026〕1号", "name": "甲", "kind": "处罚", "handlers": "210001", "party": "某诊所"}
    registers.enter(office.config, "cases", known)
    then = datetime(2026, 10, 1, tzinfo=UTC)
    casework.conclude(office.config, "罚[2026]1号", at=then, act_ended=None)
    filing.archive(office.config, "罚[2026]1号", file_number="档-1", term="30年", place="A", receiver="档案室")
    later = then + timedelta(days=9)
    assert refused(lambda: casework.conclude(office.config, "罚[2026]1号", at=later, act_ended=None)) == "archived"
    assert refused(lambda: casework.withdraw_number(office.config, "罚[2026]1号", "档－1")) == "archived"


# --- trips --------------------------------------------------------------------------------------------------------------


def a_trip(site: Site) -> str:
    plan, _ = registers.enter(
        site.config, "trips", {"officers": "210001", "left": "2026-09-01 08:00", "expected": "2026-09-03"}
    )
    return str(plan.changes[0].entry.id)


def test_each_change_of_a_trip_is_a_version_of_it(office: Site, as_login: As) -> None:
    as_login("liming")
    trip = a_trip(office)
    trips.come_back(office.config, trip, None)
    have_keys(office, "wangfang")
    approve(office, trip, "wangfang")
    with closing(office.open()) as station, station.ledger.catalog.read() as conn:
        found = bureau.trips_by_id(conn, [trip])[trip]
        (listed,) = bureau.trip_times(
            conn, [person(office, "210001")], found.versions[0].left, found.versions[0].left
        ).values()
        assert [found_trip for found_trip, _, _ in listed] == [trip]
    assert [(v.returned is not None, v.approved) for v in found.versions] == [
        (False, False),
        (True, False),
        (True, True),
    ]
    holds(office)


def test_nobody_approves_a_trip_that_they_entered_and_root_none_at_all(office: Site, as_login: As) -> None:
    as_login("wangfang")
    trip = a_trip(office)
    assert refused(lambda: approve(office, trip, "wangfang")) == "own-act"
    assert refused(lambda: approve(office, trip, "root")) == "nobody"
    assert refused(lambda: approve(office, trip, "liming")) == "no-right"


def test_nobody_approves_a_trip_that_they_had_a_part_in_whoever_changed_it_last(office: Site, as_login: As) -> None:
    as_login("wangfang")
    trip = a_trip(office)
    as_login("liming")
    trips.come_back(office.config, trip, None)
    assert refused(lambda: approve(office, trip, "wangfang")) == "own-act"
    have_keys(office, "zhaoq")
    approve(office, trip, "zhaoq")
    assert refused(lambda: approve(office, trip, "liming")) == "no-right", "although it is approved"
    own = {"officers": "210002", "left": "2026-09-01 08:00", "expected": "2026-09-03"}
    mine = str(registers.enter(office.config, "trips", own)[0].changes[0].entry.id)
    assert refused(lambda: approve(office, mine, "wangfang")) == "own-act", "who was on it"


def test_a_trip_that_is_changed_after_its_approval_has_to_be_approved_anew(office: Site, as_login: As) -> None:
    as_login("liming")
    trip = a_trip(office)
    have_keys(office, "wangfang")
    approve(office, trip, "wangfang")
    trips.make_void(office.config, trip, "取消")
    assert [e["approved_by"] != "" for e in events(office, "trip.registered")] == [False, True, False]


def test_a_trip_cannot_end_before_it_begins_nor_before_it_has_ended(office: Site) -> None:
    trip = a_trip(office)
    assert (
        refused(lambda: trips.come_back(office.config, trip, datetime(2026, 8, 1, tzinfo=UTC)))
        == "ends-before-it-begins"
    )
    later = datetime.now(UTC) + timedelta(hours=1)
    assert refused(lambda: trips.come_back(office.config, trip, later)) == "future"
    with pytest.raises(NotFound):
        trips.come_back(office.config, "trp-none", None)


# --- recorders ----------------------------------------------------------------------------------------------------------


def test_a_recorder_has_one_carrier_at_a_time(office: Site) -> None:
    register_recorder(office.config, "8888888", ["serial:8888888"], name="01号")
    move(office.config, "01号", "issued", carrier="210001")
    assert refused(lambda: move(office.config, "8888888", "issued", carrier="210002")) == "two-carriers"
    move(office.config, "01号", "returned")
    move(office.config, "01号", "issued", carrier="210002")
    assert [e["state"] for e in events(office, "recorder.moved")] == ["issued", "returned", "issued"]
    holds(office)


def test_what_cannot_have_become_of_a_recorder_is_refused(office: Site) -> None:
    register_recorder(office.config, "8888888", ["serial:8888888"], name="01号")
    assert refused(lambda: move(office.config, "01号", "issued")) == "nobody"
    assert refused(lambda: move(office.config, "01号", "issued", carrier="999")) == "unknown-person"
    assert (
        refused(lambda: move(office.config, "01号", "issued", carrier="210001", at=datetime(2099, 1, 1, tzinfo=UTC)))
        == "future"
    )
    assert refused(lambda: move(office.config, "01号", "lost")) == "no-reason"
    move(office.config, "01号", "lost", why="落水", presumed="检查录像约20分钟")
    assert (
        refused(lambda: move(office.config, "01号", "issued", carrier="210001", at=datetime(2020, 1, 1, tzinfo=UTC)))
        == "out-of-order"
    )
    with pytest.raises(NotFound):
        move(office.config, "99号", "returned")


def test_what_waits_for_a_signature_is_not_told_as_done(tmp_path: Path, as_login: As) -> None:
    wants = '[acts]\nwants = { move-recorder = ["approver"], enter-trip = ["approver"] }'
    site = make_site(tmp_path / "unit", more=wants)
    registers.take(site.config, "people", table(tmp_path, PEOPLE), good=False)
    register_recorder(site.config, "8888888", ["serial:8888888"], name="01号")
    said = [
        move(site.config, "01号", "issued", carrier="210001"),
        trips.come_back(site.config, approved_trip(site), None),
    ]
    assert all(each["waits"] and each["said"].startswith("待签") for each in said), said
    assert events(site, "recorder.moved") == []


def approved_trip(site: Site) -> str:
    """A trip of a unit where an approver has to agree to each."""
    cells = {"officers": "210001", "left": "2026-09-21 08:00", "expected": "2026-09-23 18:00"}
    plan, performed = registers.enter(site.config, "trips", cells)
    have_keys(site, "wangfang")
    sign(site, performed.waits if performed else "", "approver", "wangfang")
    return plan.changes[0].entry.id


def test_nothing_is_handed_to_who_has_left_nor_what_is_lost_to_anybody(office: Site) -> None:
    register_recorder(office.config, "8888888", ["serial:8888888"], name="01号")
    assert refused(lambda: move(office.config, "01号", "returned")) == "not-out"
    with pytest.raises(UsageError):
        move(office.config, "01号", "lost", why="落水\x1b[2J")
    move(office.config, "01号", "lost", why="落水")
    assert refused(lambda: move(office.config, "01号", "issued", carrier="210001")) == "not-back"
    move(office.config, "01号", "returned")
    registers.enter(office.config, "people", {"certificate": "210001", "name": "李明", "active": "no"})
    assert refused(lambda: move(office.config, "01号", "issued", carrier="210001")) == "inactive"


def test_two_of_a_name_are_nobodys_name(office: Site) -> None:
    for serial in ("1111111", "2222222"):
        register_recorder(office.config, serial, [f"serial:{serial}"], name="01号")
    with pytest.raises(NotFound):
        move(office.config, "01号", "returned")


def test_refusals_are_exit_code_4_and_one_sentence(office: Site) -> None:
    done = office.run("trip", "void", "trp-none", "--reason", "x")
    assert done.returncode == 3
    done = office.run("officer", "add", "--name", "别人", "--certificate", "210009", "--login", "wangfang")
    assert (done.returncode, "Traceback" in done.stderr, "王芳" in done.stderr) == (4, False, True)
    assert isinstance(Refused("x"), MediadError)


# --- recorders, clocks and slots are registers as well -------------------------------------------------------------------


def test_who_registers_recorders_names_slots_or_measures_clocks_has_a_right_to(office: Site, as_login: As) -> None:
    auditor = {"staff_number": "5", "name": "陈静", "login": "chenjing", "roles": "审计人员"}
    registers.enter(office.config, "people", auditor)
    as_login("liming")  # an officer
    assert refused(lambda: register_recorder(office.config, "8888888", ["serial:8888888"])) == "no-right"
    assert refused(lambda: name_slot(office.config, "usb-1", "3号")) == "no-right"
    as_login("chenjing")  # an auditor writes nothing
    assert refused(lambda: measure_clock(office.config, "ast-x", None)) == "no-right"
    assert events(office, "recorder.registered") == events(office, "slot.named") == []
    as_login("root")
    register_recorder(office.config, "8888888", ["serial:8888888"])
    name_slot(office.config, "usb-1", "3号")
    assert [events(office, kind)[0]["by"] for kind in ("recorder.registered", "slot.named")] == ["", ""]
    holds(office)


def test_where_times_that_are_set_want_a_signature_a_measured_clock_does(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def ask(_config: Any, name: str, _make: Any) -> None:
        asked.append(name)
        raise Refused("x")

    monkeypatch.setattr("mediad.wiring.bureau.equipment.perform", ask)
    with pytest.raises(Refused):
        measure_clock(site.config, "ast-x", None)
    assert asked == ["set-time"]


def test_a_recorder_has_the_same_id_at_every_station(site: Site, tmp_path: Path) -> None:
    there = make_site(tmp_path / "there")
    ids = set()
    for each in (site, there):
        register_recorder(each.config, "8888888", ["serial:8888888"], name=each.root.name)
        ids.add(each.rows("SELECT id FROM recorder")[0][0])
    assert len(ids) == 1
