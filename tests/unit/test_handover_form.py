"""The page of a hand-over in words: what stands out, what is said of the unknown, and that it stays one page to sign."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mediad.edges import typst
from mediad.model import board
from mediad.model import handover_form as words
from mediad.model.handover import giver_of
from tests.handover_support import pages_of

ZONE = ZoneInfo("Asia/Shanghai")
AT = "2026-11-23T13:10:05.000000Z"


def party(name: str, certificate: str = "LN0001") -> dict[str, str]:
    return {"person": "per-1", "name": name, "certificate": certificate, "position": "", "department": "卫生监督一队"}


def record(files: int = 1, **more: Any) -> dict[str, Any]:
    """A record as it is signed, with so many files."""
    listed = [
        {"docking": "dck-1", "path": f"DCIM/{n}.mp4", "size": 900, "outcome": "stored", "sha256": "0" * 64, "why": ""}
        for n in range(files)
    ]
    state = "complete"
    return {
        "handover": "dck-1", "version": 1, "unit": "测试卫生监督所", "station": "hq-01", "channel": "body-camera", "slot": "",
        "recorder": {"id": "rcd-1", "key": "serial:A1", "label": "B-07", "registered": True},
        "dockings": [{"docking": "dck-1", "state": state, "began_at": AT, "ended_at": AT, "record": {"key": "k", "sha256": ""}}],
        "giver": party("李明"), "on_behalf_of": None, "receiver": party("王芳", "LN0002"), "arrived_at": AT,
        "stored_at": AT if files else None, "confirmed_at": AT if files else None,
        "counts": {"new": files, "sightings": 0, "skipped": 0, "failed": 0, "bytes": 900 * files},
        "recordings": {"count": files, "kinds": {"video": files} if files else {}, "seconds": 60.0 * files, "without_length": 0,
                       "from": AT if files else None, "until": AT if files else None, "untrusted": 0},
        "clock": [], "cases": [], "findings": [], "rulings": [], "files": listed, "supersedes": None, "why": "", **more,
    }  # fmt: skip


def cells(of: dict[str, Any]) -> dict[str, Any]:
    sections = words.page(of, ZONE, None)["sections"]
    return {cell["zh"]: cell for section in sections for cell in section["cells"]}


def ruling(status: str, justified: str = "") -> dict[str, Any]:
    return {"status": status, "due_at": AT, "reason": "after-recording", "justified": justified}


def test_what_is_late_or_could_not_be_taken_stands_out() -> None:
    calm = cells(record(rulings=[ruling("met")]))
    assert not calm["24 小时时限"]["alert"] and not calm["核验情况"]["alert"]
    assert cells(record(rulings=[ruling("met"), ruling("late", "设备故障")]))["24 小时时限"]["alert"]
    failed = record()
    failed["counts"]["failed"] = 1
    assert cells(failed)["核验情况"]["alert"]
    columns = {
        c["zh"]: c["calm"]
        for c in words.register([], ZONE, unit="", station="", month="2026-11")["tables"][0]["columns"]
    }
    assert (columns["逾期"], columns["签收"]) == (["0"], ["已签", "双方已签"])


@pytest.mark.parametrize("code", ["source-read", "device-gone", "vault-full", *sorted(words.FINDINGS)])
def test_remarks_are_in_words_that_the_two_who_sign_read(code: str) -> None:
    told = cells(record(findings=[{"docking": "dck-1", "code": code, "subject": "", "detail": ""}]))["核验情况"][
        "value"
    ]
    assert code not in told
    assert (words.FINDINGS.get(code) or board.SENTENCES[code]) in told


def test_where_nothing_was_brought_nothing_is_left_to_fill_in() -> None:
    assert {zh for zh, cell in cells(record(0)).items() if not cell["value"]} <= {"时钟偏差"}
    assert words.page(record(0), ZONE, None)["signatures"] == []


def test_what_was_not_measured_is_a_line_to_fill_in_and_unknown_is_never_zero() -> None:
    def offset(*measured: int | None) -> Any:
        return cells(record(clock=[{"offset_ms": each, "source": ""} for each in measured]))["时钟偏差"]["value"]

    assert (offset(), offset(None)) == (None, None)
    assert offset(None, 0) == "无明显偏差（不足 1 秒）"
    assert (offset(90_000), offset(5, -3_723_000)) == (
        "记录仪时钟快 1 分 30 秒，已校正",
        "记录仪时钟慢 1 小时 2 分 3 秒，已校正",
    )


@pytest.mark.parametrize(
    ("told", "named", "carried", "gives"),
    [
        ("a", ["b"], ["c"], "a"), ("", ["b", "b"], ["c"], "b"), ("", ["", "b"], [], "b"), ("", [], ["c", ""], "c"),
        ("", ["b", "c"], ["b"], ""), ("", [], ["b", "c"], ""), ("", [], [], ""),
    ],
)  # fmt: skip
def test_who_hands_over_is_said_or_clear_and_never_one_of_several(
    told: str, named: list[str], carried: list[str], gives: str
) -> None:
    assert giver_of(told, named, carried) == gives


def test_the_places_say_who_has_signed_in_the_system_and_when() -> None:
    def said(of: dict[str, Any]) -> list[str | None]:
        return [place["said"] for place in words.page(of, ZONE, None)["signatures"]]

    assert said(record(version=0, confirmed_at=None)) == [None, None]
    assert said(record()) == [None, "王芳 已于 2026年11月23日 21:10:05 在系统中确认"]
    assert (
        said(record(giver_signed_at="2026-11-23T16:00:00.000000Z"))[0]
        == "李明 已于 2026年11月24日 00:00:00 在系统中确认"
    )


def test_the_fullest_record_is_one_page_to_sign_and_its_files_are_elsewhere() -> None:
    """Many cases with long names, many dockings, many late: the first and the last of them, and how many there are."""
    name = (
        "涉及未取得公共场所卫生许可证擅自营业、从业人员未持有效健康合格证明从事直接为顾客服务工作等多项线索的联合检查"
        * 2
    )
    full = record(
        7, cases=[{"id": f"cas-{n}", "numbers": [f"卫监检〔2026〕{n:04}号"], "name": name} for n in range(30)],
        rulings=[ruling("late", name) for _ in range(7)], on_behalf_of=party("赵强"),
        findings=[{"docking": "dck-1", "code": code, "subject": "", "detail": ""} for code in words.FINDINGS],
        supersedes={"version": 1, "sha256": "ab" * 32}, version=2, why="交出人登记有误",
    )  # fmt: skip
    full["dockings"] = [{**full["dockings"][0], "state": "interrupted"}] * 9
    shown = cells(full)["案件或执法活动"]["value"]
    assert (len(shown), shown[-2], shown[-1][:14]) == (6, "……（共 30 件）", "卫监检〔2026〕0029号")
    code = {"rows": ["1" * 45] * 45, "sha256": "0" * 64, "key": "handovers/2026/11/23/dck-1/record-1.json"}
    page = words.page(full, ZONE, code)
    assert page["code"]["lines"][-1].startswith("附文件清单 7 件")
    assert pages_of(typst.render("form", page, datetime(2026, 11, 23, tzinfo=UTC))) == 2, (
        "the page, and that of the files"
    )
