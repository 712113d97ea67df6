"""The page of a hand-over in words: what stands out, what is said of the unknown, and that it stays one page to sign."""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest

from mediad.edges import typst
from mediad.model import board
from mediad.model import handover_form as words
from mediad.model.acts import Actor
from mediad.model.handover import giver_of, person_by, receiving_refusal
from mediad.model.handover import party as words_of
from mediad.model.instants import stamp
from mediad.model.people import Dated, Person
from mediad.model.reasons import REASONS
from mediad.stages import sign
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
    assert offset(None, 0) == offset(500) == offset(-500) == "无明显偏差（不足 1 秒）"
    assert [offset(1_000), offset(-7_200_000), offset(86_400_000)] == [
        "记录仪时钟快 1 秒，已校正", "记录仪时钟慢 2 小时，已校正", "记录仪时钟快 1 天，已校正",
    ]  # fmt: skip
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


def test_a_person_is_found_by_a_number_that_is_theirs_that_day() -> None:
    last, next_ = date(2026, 6, 30), date(2026, 7, 1)
    li = Person(
        "per-1", "LN1", "李明", certificates=(Dated("LN1", None, last), Dated("LN9", next_)), device_numbers=(Dated("0123"),)
    )  # fmt: skip
    sun = Person("per-2", "staff:007", "孙丽")

    def found(number: str, day: date = next_) -> list[Person]:
        return person_by([li, sun], number, day)

    assert [found(number) for number in ("LN9", "０１２３", "007", "staff:007", " ００７")] == [
        [li],
        [li],
        [sun],
        [sun],
        [sun],
    ]
    assert [found("LN1", last), found("LN1"), found("7"), found("")] == [[li], [], [], []], (
        "one that has ended is nobody's"
    )


def test_who_may_receive_is_a_person_under_their_own_account_whom_the_station_names() -> None:
    wang = Person("per-1", "LN2", "王芳", logins=frozenset({"wangfang"}))
    desk = replace(wang, shared=True)

    def refused(signer: Actor, receivers: Collection[str] = (), parties: Collection[str] = ()) -> str | None:
        problem = receiving_refusal(signer, receivers, parties)
        return problem.code if problem else None

    mine = Actor("wangfang", wang)
    assert refused(mine) is refused(mine, {"per-1"}) is refused(mine, {"per-1", "per-2"}, {"per-3"}) is None
    assert (refused(mine, {"per-2"}), refused(mine, (), {"per-1"})) == ("not-receiver", "own-act")
    assert (refused(Actor("x")), refused(Actor("root", wang)), refused(Actor("duty", desk))) == (
        "nobody",
        "nobody",
        "shared",
    )
    held = replace(wang, certificates=(Dated("LN2", date(2026, 1, 1)),), position="科员", department="dep-1")
    assert words_of(held, date(2026, 1, 1), {"dep-1": "综合科"}) == {
        "person": "per-1", "name": "王芳", "certificate": "LN2", "position": "科员", "department": "综合科",
    }  # fmt: skip
    assert (words_of(held, date(2025, 1, 1), {}) or {})["certificate"] == ""
    assert words_of(None, date(2026, 1, 1), {}) is None


def test_the_places_say_who_has_signed_in_the_system_and_when() -> None:
    def said(of: dict[str, Any]) -> list[str | None]:
        return [place["said"] for place in words.page(of, ZONE, None)["signatures"]]

    assert said(record(version=0, confirmed_at=None)) == [None, None]
    assert said(record()) == [None, "王芳 已于 2026年11月23日 21:10:05 在系统中确认"]
    assert (
        said(record(giver_signed_at="2026-11-23T16:00:00.000000Z"))[0]
        == "李明 已于 2026年11月24日 00:00:00 在系统中确认"
    )


def values(**more: Any) -> dict[str, Any]:
    return {zh: cell["value"] for zh, cell in cells(record(**more)).items()}


def test_a_record_of_which_all_is_known_reads_so() -> None:
    assert values() == {
        "交出人": "李明", "执法证件编号": "LN0002", "接收人": "王芳", "执法记录仪": "B-07", "设备序列号": "A1",
        "到达时间": "2026年11月23日 21:10:05", "存入时间": "2026年11月23日 21:10:05", "确认时间": "2026年11月23日 21:10:05",
        "时钟偏差": None, "音像记录": "1 条（视频 1）", "新存文件": "1 件，900 B（900 字节）", "音像总时长": "1 分",
        "记录起止": ["2026年11月23日 21:10 至 21:10"], "案件或执法活动": None,
        "核验情况": "新存 1 件均已写入储存器，并从介质回读核对一致", "24 小时时限": ["—"],
    }  # fmt: skip
    wide = {zh for zh, cell in cells(record()).items() if cell.get("wide")}
    assert wide == {"案件或执法活动", "核验情况", "24 小时时限"}
    page = words.page(record(), ZONE, None)
    assert (page["unit"], page["number"], page["foot"], page["notes"], page["code"]) == (
        "测试卫生监督所", "dck-1", "采集站 hq-01", [], None,
    )  # fmt: skip


def test_who_hands_over_in_the_place_of_another_stands_above_them() -> None:
    told = record(giver=party("赵强", "LN0003"), on_behalf_of=party("李明"))
    parties = words.page(told, ZONE, None)["sections"][0]["cells"]
    assert [(c["zh"], c["value"]) for c in parties] == [
        ("代交人", "赵强"), ("执法证件编号", "LN0003"), ("携带人", "李明"), ("执法证件编号", "LN0001"), ("接收人", "王芳"),
        ("执法证件编号", "LN0002"),
    ]  # fmt: skip
    assert [c["beside"] for c in parties if "beside" in c] == ["卫生监督一队"] * 3
    assert [s["zh"] for s in words.page(told, ZONE, None)["signatures"]] == ["代交人签名", "接收人签名"]
    assert [s["zh"] for s in words.page(record(), ZONE, None)["signatures"]] == ["交出人签名", "接收人签名"]


def test_a_position_stands_for_a_number_that_is_none_and_nobody_known_is_a_line_to_fill_in() -> None:
    archivist = {**party("孙丽", ""), "position": "档案管理人员"}
    told = values(giver=archivist, receiver=None)
    assert (told["交出人"], told["职务"], told["接收人"], told["证件编号或职务"]) == ("孙丽", "档案管理人员", "", "")
    assert "职务" not in values(giver={**archivist, "certificate": "LN0001"})


def test_a_recorder_is_named_by_what_tells_it_from_others() -> None:
    def named(key: str, registered: bool = False, label: str = "B-07") -> list[Any]:
        told = record(recorder={"id": None, "key": key, "label": label, "registered": registered})
        return [(c["zh"], c["value"]) for c in words.page(told, ZONE, None)["sections"][1]["cells"][:2]]

    assert named("serial:A1") == [("执法记录仪", "B-07（未登记）"), ("设备序列号", "A1")]
    assert named("fsuuid:1234-ABCD", True) == [("执法记录仪", "B-07"), ("存储卡标识", "1234-ABCD")]
    assert named("folder:/srv/hall") == [("来源文件夹", "B-07"), ("路径", "/srv/hall")]
    assert named("anonymous:x") == [("执法记录仪", "B-07（未登记）"), ("设备标识", None)]
    assert named("serial:" + "9" * 100, True, "长" * 40) == [("执法记录仪", "长" * 40), ("设备序列号", "9" * 100)]
    assert named("serial:" + "9" * 101, True, "长" * 41) == [
        ("执法记录仪", "长" * 39 + "…"),
        ("设备序列号", "9" * 99 + "…"),
    ]


def test_what_was_brought_is_told_with_what_nobody_knows_of_it() -> None:
    sums = {"count": 5, "kinds": {"video": 2, "photo": 3}, "seconds": 93_784.0, "without_length": 1, "from": AT,
            "until": "2026-11-24T16:00:00.000000Z", "untrusted": 2}  # fmt: skip
    told = values(recordings=sums)
    assert told["音像记录"] == "5 条（视频 2、照片 3）"
    assert told["音像总时长"] == "1 天 2 小时 3 分 4 秒（另有 1 条时长未知）"
    assert told["记录起止"] == ["2026年11月23日 21:10 起", "2026年11月25日 00:00 止", "另有 2 条时间不可信"]
    assert values(recordings={**sums, "seconds": None})["音像总时长"] is None
    assert values(recordings={**sums, "kinds": {"photo": 3}, "seconds": 0, "without_length": 0})["音像总时长"] == "—"
    assert values(recordings={**sums, "kinds": {"audio": 1}, "seconds": 0, "without_length": 0})["音像总时长"] == "0 秒"
    assert values(recordings={**sums, "from": None})["记录起止"] is None
    cases = [{"numbers": ["立-1", "检-1"], "name": "某诊所案"}, {"numbers": [], "name": "巡查"}]
    assert values(cases=cases)["案件或执法活动"] == ["立-1 某诊所案", "巡查"]
    assert values(cases=cases[1:] * 7)["案件或执法活动"] == ["巡查"] * 4 + ["……（共 7 件）", "巡查"]


def test_sums_are_of_what_is_known_and_what_is_not_is_counted_apart() -> None:
    def row(name: str, kind: str, seconds: int, confidence: str = "claimed", *, provisional: bool = False) -> Any:
        start = datetime(2026, 11, 23, 8, tzinfo=UTC)
        times = {"started_at": stamp(start), "ended_at": stamp(start + timedelta(seconds=seconds))}
        return SimpleNamespace(id=name, kind=kind, confidence=confidence, provisional=provisional, **times)

    some = [
        row("a", "video", 60), row("b", "audio", 30), row("c", "photo", 0), row("d", "data", 900),
        row("e", "video", 7, provisional=True), row("f", "video", 5, "untrusted"), row("g", "video", 3, "untrusted"),
    ]  # fmt: skip
    said = {"g": {"started_at": "2026-11-23T10:00:00.000000Z", "ended_at": "2026-11-23T10:00:03.000000Z"}}
    assert sign._sums(some, said) == {
        "count": 6, "kinds": {"video": 4, "audio": 1, "photo": 1, "data": 1}, "seconds": 93.0, "without_length": 2,
        "from": "2026-11-23T08:00:00.000000Z", "until": "2026-11-23T10:00:03.000000Z", "untrusted": 1,
    }  # fmt: skip
    unknown = sign._sums([row("f", "video", 5, "untrusted")], {})
    assert (unknown["seconds"], unknown["from"], unknown["until"]) == (None, None, None), "unknown is never zero"
    assert sign._sums([row("c", "photo", 0)], {})["seconds"] == 0


def test_a_file_that_a_broken_docking_did_not_reach_is_none_that_was_taken() -> None:
    row = {
        "docking": "dck-1",
        "volume": "",
        "path": b"DCIM/\xff.mp4",
        "size": 9,
        "asset": None,
        "sha256": None,
        "sm3": None,
    }
    told = sign._line(cast(Any, SimpleNamespace(**row, outcome=None, why=None)))
    assert (told["outcome"], told["why"], told["path"], "sm3" in told) == ("failed", "", r"DCIM/\xff.mp4", False)


def test_what_was_seen_and_not_stored_anew_is_told_apart() -> None:
    def checked(**counts: int) -> str:
        return str(
            values(counts={"new": 0, "sightings": 0, "skipped": 0, "failed": 0, "bytes": 0, **counts})["核验情况"]
        )

    assert checked() == "没有文件"
    assert checked(failed=2) == "失败 2 件：未能采集，仍在记录仪上"
    assert checked(sightings=1) == "重复 1 件，不重复存储"
    assert checked(new=1, sightings=2, skipped=3) == (
        "新存 1 件均已写入储存器，并从介质回读核对一致；重复 2 件，已有或不收 3 件，不重复存储"
    )
    twice = [{"docking": d, "code": "interrupted", "subject": "", "detail": ""} for d in ("dck-1", "dck-2")]
    assert values(findings=twice)["核验情况"].count(words.FINDINGS["interrupted"]) == 1


def test_the_limit_is_summed_up_and_what_is_late_is_told_with_its_reason() -> None:
    def limits(*rulings: dict[str, Any]) -> list[str]:
        return list(values(rulings=list(rulings))["24 小时时限"])

    assert limits(ruling("met"), ruling("met"), ruling("not-applicable")) == ["按时 2 条；不适用 1 条"]
    assert limits(ruling("late", "设备故障"), ruling("late")) == [
        "逾期 2 条", "逾期：应于 2026年11月23日 21:10 前存入；理由：设备故障",
        "逾期：应于 2026年11月23日 21:10 前存入；尚无书面理由",
    ]  # fmt: skip
    assert limits(*[ruling("late", "长" * 61)] * 3)[1:] == [
        *[f"逾期：应于 2026年11月23日 21:10 前存入；理由：{'长' * 59}…"] * 2, "……（逾期共 3 条，其余见记录文件）",
    ]  # fmt: skip
    assert limits({**ruling("late"), "due_at": None})[1].startswith("逾期：应于 （未定） 前存入")
    for status in ("untrusted", "open"):
        first, other = ({**ruling(status), "reason": reason} for reason in ("no-true-time", "trip-open"))
        assert limits(first, other)[-1] == f"未定：{REASONS['no-true-time'][0]}"


def test_dockings_are_told_where_there_were_several_or_one_broke_off() -> None:
    one = record()["dockings"][0]
    broken = {**one, "state": "interrupted"}
    assert "接入经过" not in values()
    assert values(dockings=[broken, one])["接入经过"] == [
        "第 1 次：2026年11月23日 21:10:05 至 2026年11月23日 21:10:05，中断",
        "第 2 次：2026年11月23日 21:10:05 至 2026年11月23日 21:10:05，完成",
    ]  # fmt: skip
    assert len(values(dockings=[one] * 2)["接入经过"]) == 2, "two that were complete"
    assert [line[:5] for line in values(dockings=[broken] * 4)["接入经过"]] == [f"第 {n} 次" for n in range(1, 5)]
    many = values(dockings=[broken] * 4 + [one])["接入经过"]
    assert [line[:5] for line in many] == ["第 1 次", "第 2 次", "……（共 ", "第 5 次"]
    assert "接入经过" in values(dockings=[{**one, "state": "incomplete"}])


def test_the_first_lines_say_what_the_page_is_worth() -> None:
    def notes(**more: Any) -> list[str]:
        return list(words.page(record(**more), ZONE, None)["notes"])

    before = {"version": 1, "sha256": "ab" * 32}
    assert notes(supersedes=before, version=2, why="交出人有误") == [
        f"第 2 版，取代第 1 版（摘要 {'ab' * 8}…）。更正理由：交出人有误"
    ]
    told = notes(supersedes=before, version=0)
    assert told == [
        f"待重新确认，取代第 1 版（摘要 {'ab' * 8}…）。续采后重新确认",
        "未签：接收人尚未在系统中确认。 Not signed yet.",
    ]
    assert notes(files=0) == ["本次接入没有新文件，无须签收。 Nothing new: nothing to sign."]
    one = record()["dockings"][0]
    assert "请重新插入" in notes(dockings=[one, {**one, "state": "interrupted"}])[0]
    assert notes(dockings=[{**one, "state": "interrupted"}, one]) == [], "it was continued"


def test_each_file_stands_in_the_annex_with_its_digest() -> None:
    failed = {"path": "x" * 401, "size": 2048, "outcome": "failed", "sha256": None}
    seen = {"path": "DCIM/2.mp4", "size": 1, "outcome": "sighting", "sha256": "12" * 32}
    (annex,) = words.page(record(files=1) | {"files": [failed, seen]}, ZONE, None)["tables"]
    assert annex["rows"] == [
        ["1", f"{'x' * 200} … {'x' * 200}", "2.0 KiB", "失败", "—"],
        ["2", "DCIM/2.mp4", "1 B", "重复", f"{'12' * 16}\n{'12' * 16}"],
    ]  # fmt: skip
    assert (
        words.page(record() | {"files": [{**failed, "path": "x" * 400}]}, ZONE, None)["tables"][0]["rows"][0][1]
        == "x" * 400
    )
    assert (annex["page"], len(annex["notes"]), annex["notes"][0][:5]) == (False, 1, "共 2 件")
    assert words.page(record(0), ZONE, None)["tables"] == []
    for files, apart in ((6, False), (7, True)):
        page = words.page(record(files), ZONE, {"rows": [], "sha256": "", "key": "k"})
        assert (page["tables"][0]["page"], "另页" in page["code"]["lines"][-1]) == (apart, apart)
        assert page["code"]["lines"][0] == "k"
    (long,) = words.page(record(1_001), ZONE, None)["tables"]
    assert (len(long["rows"]), "仅列前 1000 件" in long["notes"][1]) == (1_000, True)
    assert len(words.page(record(1_000), ZONE, None)["tables"][0]["notes"]) == 1


def handed(**more: Any) -> dict[str, Any]:
    """A line of the register."""
    return {
        "handover": "dck-1", "signature": "signed", "arrived_at": AT, "signed_at": AT, "giver_signed_at": None, "recorder": "B-07",
        "giver": party("李明"), "on_behalf_of": None, "receiver": party("王芳", "LN0002"), "recordings": 3, "files": 4,
        "bytes": 2048, "late": 0, **more,
    }  # fmt: skip


def test_a_hand_over_is_one_line_of_the_register() -> None:
    def line(**more: Any) -> list[str]:
        return words.register_cells(7, handed(**more), ZONE)

    assert line() == [
        "7", "2026-11-23 21:10", "B-07", "李明", "LN0001", "王芳", "2026-11-23 21:10", "3", "4", "2.0 KiB", "0", "已签", "dck-1",
    ]  # fmt: skip
    assert line(giver_signed_at=AT)[11] == "双方已签"
    assert line(on_behalf_of=party("赵强"))[3] == "李明（代 赵强）"
    assert line(giver={**party("孙丽", ""), "position": "档案管理人员"})[4] == "档案管理人员"
    waits = line(signature="waiting", giver=None, receiver=None, signed_at=None)
    assert (waits[3:7], waits[11]) == (["", "", "", ""], "待签")


def test_the_register_sums_up_the_month() -> None:
    rows = [handed(late=2), handed(signature="waiting", late=1, receiver=None, signed_at=None), handed()]
    page = words.register(rows, ZONE, unit="测试局", station="hq-01", month="2026-09")
    (table,) = page["tables"]
    assert table["notes"] == ["共 3 次交接，音像记录 9 条，新存文件 12 件，6.0 KiB；待签 1 次；有逾期记录的 2 次"]
    assert (page["number"], table["zh"], page["unit"], page["foot"], page["landscape"]) == (
        "2026年09月", "2026 年 9 月", "测试局", "采集站 hq-01", True,
    )  # fmt: skip
    assert [row[0] for row in table["rows"]] == ["1", "2", "3"]
    assert table["rows"][1][5] is None, "a line to fill in by hand"
    assert [c["zh"] for c in table["columns"] if c["right"]] == ["序号", "记录", "文件", "大小", "逾期"]


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
