"""What a unit wants signed besides (`acts.wants`) waits for everybody: for whoever types it, and for the watched folder."""

import json
import os
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mediad.errors import MediadError
from mediad.wiring.bureau import acts, alarms, keys, registers, trips
from mediad.wiring.bureau.inbox import take_file
from tests.audit_support import copy_site, found, fsck
from tests.signing_support import Pen, acting, approve, keyed, sign
from tests.support import Site, make_site

PEOPLE = """执法证件编号,姓名,账号,角色
210001,李明,liming,执法人员
210002,王芳,wangfang,批准人;执法人员
210003,赵强,zhaoq,批准人
210004,周敏,zhoumin,存储管理员
"""
WANTS = """[acts]
wants = { enter-trip = ["approver"], register-person = ["approver"], register-case = ["approver"] }
"""
INBOX = '[[inbox]]\nname = "enforcement"\npath = "%s"\nsettle_seconds = 0\n'
TRIP = {"officers": "210001", "left": "2026-09-01 08:00", "expected": "2026-09-03", "returned": "2026-09-04 18:00"}


def furnish(root: Path, more: str) -> Site:
    """People whom no approver signed for, and two approvers with keys; then what the unit wants."""
    site = make_site(root)
    (root / "people.csv").write_text(PEOPLE, encoding="utf-8")
    with acting("root"):
        registers.take(site.config, "people", root / "people.csv", good=False)
    keyed(site, "zhoumin", "wangfang", "zhaoq")
    make_site(root, more=more)
    return site


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Site:
    root = tmp_path_factory.mktemp("wanted") / "site"
    (root / "in").mkdir(parents=True)
    return furnish(root, WANTS + INBOX % "in")


@pytest.fixture
def site(template: Site, tmp_path: Path) -> Site:
    return copy_site(template, tmp_path / "copy")


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(MediadError) as caught:
        work()
    return caught.value.code


def enter(site: Site, what: str, login: str, /, **cells: str) -> tuple[str, str]:
    """What is entered, and the act that waits."""
    with acting(login):
        plan, performed = registers.enter(site.config, what, cells)
    assert performed is not None
    return str(plan.changes[0].entry.id), performed.waits


def approved(site: Site, trip: str) -> list[bool]:
    from mediad.catalog import bureau

    with closing(site.open()) as station, station.ledger.catalog.read() as conn:
        return [v.approved for v in bureau.trips_by_id(conn, [trip])[trip].versions]


# --- trips --------------------------------------------------------------------------------------------------------------


def test_an_approval_of_a_trip_is_a_signature_itself_and_waits_for_none(site: Site) -> None:
    """Also where entering a trip wants an approver: whoever signed for that has approved it, unless they went on it."""
    trip, waits = enter(site, "trips", "liming", **TRIP)
    assert site.rows("SELECT count(*) FROM trip") == [(0,)]
    sign(site, waits, "approver", "wangfang")
    assert approved(site, trip) == [True]
    mine, waits = enter(site, "trips", "liming", **{**TRIP, "officers": "210002"})
    sign(site, waits, "approver", "wangfang")
    assert approved(site, mine) == [False], "nobody approves a trip that they were on"
    assert refused(lambda: approve(site, mine, "wangfang")) == "own-act"
    approve(site, mine, "zhaoq")
    assert approved(site, mine) == [False, True]
    with acting("liming"):
        waits = str(trips.come_back(site.config, trip, datetime(2026, 9, 4, 1, tzinfo=UTC))["waits"])
    sign(site, waits, "approver", "zhaoq")
    assert approved(site, trip) == [True, True]
    assert found(fsck(site)) == set()


def test_who_reviewed_a_trip_may_approve_it(site: Site) -> None:
    make_site(site.root, more='[acts]\nwants = { enter-trip = ["reviewer"] }')
    trip, waits = enter(site, "trips", "liming", **TRIP)
    sign(site, waits, "reviewer", "wangfang")
    approve(site, trip, "wangfang")
    assert approved(site, trip) == [False, True]


def test_an_approval_is_not_to_want_a_signature_and_says_so(site: Site) -> None:
    make_site(site.root, more='[acts]\nwants = { approve-trip = ["approver"] }')
    with pytest.raises(MediadError, match="approve-trip wants no signature besides"):
        _ = site.config


# --- who has a part in it -----------------------------------------------------------------------------------------------


def test_nobody_signs_what_they_proposed_under_an_account_that_became_theirs_later(site: Site) -> None:
    _, waits = enter(site, "trips", "wf-old", **TRIP)
    _, theirs = enter(site, "people", "zhoumin", certificate="210002", name="王芳", login="wangfang,wf-old")
    sign(site, theirs, "approver", "zhaoq")
    assert refused(lambda: sign(site, waits, "approver", "wangfang")) == "own-act"
    with acting("wangfang"):
        acts.refuse(site.config, waits, "不去了")


@pytest.mark.parametrize(
    ("what", "one", "other", "said"),
    [
        ("people", {"certificate": "1", "name": "甲", "login": "new"}, {"certificate": "2", "name": "乙", "login": "new"},
         "the account new is that of 甲"),
        ("cases", {"number": "7", "inspection_number": "1", "name": "甲", "kind": "检查"},
         {"number": "9", "inspection_number": "1", "name": "乙", "kind": "检查"}, "1 has become a number of 甲"),
    ],
)  # fmt: skip
def test_what_somebody_else_has_got_meanwhile_cannot_be_signed_any_more(
    site: Site, what: str, one: dict[str, str], other: dict[str, str], said: str
) -> None:
    _, second = enter(site, what, "zhoumin", **other)
    _, first = enter(site, what, "zhoumin", **one)
    sign(site, first, "approver", "wangfang")
    with pytest.raises(MediadError, match=said):
        sign(site, second, "approver", "wangfang")
    assert site.rows("SELECT count(*) FROM act WHERE state = 'done'") == [(2,)]


def test_an_account_of_nobody_withdraws_nobodys_key(site: Site) -> None:
    """Where no approver had a key any more, one could be registered without their signature."""
    for login in ("root", "guest"):
        with acting(login):
            assert refused(lambda: keys.withdraw(site.config, Pen("wangfang").fingerprint, "x")) == "nobody"
    with acting("zhoumin"):
        keys.withdraw(site.config, Pen("wangfang").fingerprint, "离任")


# --- departments --------------------------------------------------------------------------------------------------------


def test_a_department_is_registered_with_a_case_only_by_who_may_register_departments(site: Site) -> None:
    make_site(site.root)
    case = {"number": "1", "name": "甲", "kind": "检查", "department": "监督三科"}
    assert refused(lambda: enter(site, "cases", "liming", **case)) == "unknown-department"
    enter(site, "cases", "zhoumin", **case)
    enter(site, "cases", "liming", **{**case, "number": "2"})
    make_site(site.root, more='[acts]\nwants = { register-department = ["approver"] }')
    assert (
        refused(lambda: enter(site, "cases", "zhoumin", **{**case, "department": "监督四科"})) == "unknown-department"
    )


# --- the watched folder -------------------------------------------------------------------------------------------------

CASES = "编号,名称,类别,承办人\n1,甲,检查,\n2,乙,检查,210009\n"


def put(site: Site, text: str, *, at: int) -> bytes:
    file = site.config.inbox[0].path / "cases.csv"
    file.write_text(text, encoding="utf-8")
    os.utime(file, ns=(at, at))
    return b"cases.csv"


def take(site: Site, name: bytes) -> bool:
    with closing(site.open()) as station:
        return take_file(station, site.config.inbox[0], name)


def imported(site: Site) -> dict[str, Any]:
    return dict(json.loads(site.rows("SELECT detail FROM imported")[-1][0]))


def names(site: Site) -> set[str]:
    return {row[0] for row in site.rows("SELECT name FROM casefile")}


def test_what_a_watched_folder_brings_waits_for_the_signatures_that_the_unit_wants(site: Site) -> None:
    assert take(site, put(site, CASES, at=10**18))
    told = imported(site)
    assert (names(site), told["taken"]) == (set(), False)
    assert not take(site, b"cases.csv")
    assert not take(site, put(site, CASES, at=2 * 10**18)), "people answer for it already"
    with acting("root"):
        assert refused(lambda: sign(site, told["waits"], "approver", "root")) == "nobody"
    sign(site, told["waits"], "approver", "wangfang")
    assert (names(site), imported(site)["taken"]) == ({"甲"}, True)
    assert found(fsck(site)) == set()


def test_a_table_with_a_bad_line_is_read_again_when_it_is_put_in_anew_and_until_then_is_an_alarm(
    site: Site,
) -> None:
    make_site(site.root, more=INBOX % "in")
    assert take(site, put(site, CASES, at=10**18))
    assert (names(site), alarm(site)) == ({"甲"}, ["table-bad"])
    assert not take(site, b"cases.csv"), "as after a restart"
    assert not take(site, put(site, CASES, at=10**18 + 1)), "nothing has changed, and nothing is told"
    enter(site, "people", "zhoumin", certificate="210009", name="钱伟")
    enter(site, "cases", "liming", number="1", name="甲之一", kind="检查")
    assert take(site, put(site, CASES, at=10**18 + 2))
    assert (names(site), alarm(site)) == ({"甲之一", "乙"}, []), "what was taken is not taken a second time"
    assert not take(site, put(site, CASES, at=10**18 + 3))


def alarm(site: Site) -> list[str]:
    with closing(site.open()) as station, station.ledger.catalog.read() as conn:
        return [a["code"] for a in alarms.alarms_of(conn, site.config, station.ledger.clock())]
