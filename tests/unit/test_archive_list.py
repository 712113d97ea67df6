"""The list by which a case is handed over to the archive (归档移交清册): each file, and what a reader has to know first."""

from typing import Any
from zoneinfo import ZoneInfo

from mediad.model import archive

ZONE = ZoneInfo("Asia/Shanghai")
CODE = {"rows": ["1"], "sha256": "c" * 64, "key": "cases/cas-1/archive-2.json"}


def recording(name: str, *files: tuple[str, int], carrier: str = "李明", activity: str = "现场检查") -> dict[str, Any]:
    tags = [{"activity": "on-site-inspection", "name": activity}] if activity else []
    return {
        "id": name, "kind": "video", "started_at": "2026-11-23T23:10:05.000000Z", "ended_at": "2026-11-24T00:10:06.000000Z",
        "carrier": {"name": carrier}, "recorder": "B-07", "tags": [*tags, {"activity": "", "name": ""}],
        "assets": [{"path": path, "size": size, "sha256": "ab" * 32} for path, size in files],
    }  # fmt: skip


def manifest(**more: Any) -> dict[str, Any]:
    case = {
        "name": "某诊所案", "party": "某诊所",
        "numbers": [{"type": "立案号", "number": "立-1"}, {"type": "案卷号", "number": "D-1"}],
        "department": {"name": "监督一科", "unit": "委托执法机构"}, "handlers": [{"name": "李明", "certificate": "210001"}],
        "act_ended": "2026-11-24T16:00:00.000000Z", "concluded": "2026-11-25T01:30:00.000000Z",
    }  # fmt: skip
    act = {
        "at": "2026-11-26T02:00:00.000000Z", "file_number": "D-1", "term": "30年", "place": "A-3", "receiver": "档案室",
        "archivist": {"name": "孙丽"}, "login": "sunli",
    }  # fmt: skip
    return {
        "unit": "测试局", "station": "hq-01", "number": 1, "case": case, "archive": act, "missing": [], "supplements": None,
        "added": [], "removed": [], "changed": [],
        "recordings": [recording("rec-1", ("DCIM/a.mp4", 1000), ("DCIM/b.mp4", 2048)), recording("rec-2", ("c.jpg", 5))], **more,
    }  # fmt: skip


def test_the_list_has_a_line_per_file_with_what_its_recording_says() -> None:
    head, first, second, third = archive.table(archive.inventory(manifest()), ZONE)
    assert head == list(archive.COLUMNS.values())
    assert dict(zip(archive.COLUMNS, second, strict=True)) == {
        "row": "2", "file_number": "D-1", "case": "立-1", "name": "某诊所案", "recording": "rec-1", "kind": "视频",
        "started_at": "2026-11-24 07:10:05", "ended_at": "2026-11-24 08:10:06", "carrier": "李明", "recorder": "B-07",
        "activities": "现场检查", "file": "b.mp4", "size": "2048", "sha256": "ab" * 32, "term": "30年",
    }  # fmt: skip
    assert [first[0], third[0], third[4], third[11]] == ["1", "3", "rec-2", "c.jpg"]


def test_the_page_to_sign_says_what_is_handed_over_to_whom() -> None:
    page = archive.page(manifest(), ZONE, CODE)
    (section,) = page["sections"]
    assert {cell["zh"]: cell["value"] for cell in section["cells"]} == {
        "案卷号/档号": "D-1", "保管期限": "30年", "案件名称": "某诊所案", "编号": ["立案号 立-1", "案卷号 D-1"], "当事人": "某诊所",
        "承办机构": ["监督一科", "委托执法机构"], "承办人": ["李明 210001"], "行为终结": "2026-11-25",
        "结案时间": "2026-11-25 09:30",
        "音像记录": "2 条，3 个文件", "大小": "3.0 KiB", "纸质案卷存放": "A-3", "归档时间": "2026-11-26 10:00",
    }  # fmt: skip
    assert [(s["zh"], s.get("said")) for s in page["signatures"]] == [
        ("移交人", None), ("档案管理人员", "孙丽"), ("接收人", "档案室"),
    ]  # fmt: skip
    assert (page["unit"], page["number"], page["foot"], page["landscape"], page["notes"]) == (
        "测试局", "D-1 · 1", "采集站 hq-01", True, [],
    )  # fmt: skip
    assert (page["code"]["digest"], page["code"]["rows"], page["code"]["lines"]) == ("c" * 64, ["1"], [CODE["key"]])
    (listed,) = page["tables"]
    assert [column["zh"] for column in listed["columns"]] == [
        "序号", "开始时间", "类型", "采集人", "执法记录仪", "执法环节", "文件名", "字节数", "SHA-256",
    ]  # fmt: skip
    assert listed["rows"][1] == [
        "2", "2026-11-24 07:10", "视频", "李明", "B-07", "现场检查", "b.mp4", "2,048", f"{'ab' * 16}\n{'ab' * 16}",
    ]  # fmt: skip


def test_few_files_stand_on_the_page_itself_and_what_is_unknown_is_filled_in_by_hand() -> None:
    few = manifest(recordings=[recording("rec-1", *[("a.mp4", 1)] * 3, carrier="", activity="")])
    (listed,) = archive.page(few, ZONE, CODE)["tables"]
    assert (listed["page"], listed["rows"][0][3], listed["rows"][0][5]) == (False, None, "")
    many = manifest(recordings=[recording("rec-1", *[("a.mp4", 1)] * 4)])
    assert archive.page(many, ZONE, CODE)["tables"][0]["page"] is True
    nobody = manifest()
    nobody["archive"]["archivist"]["name"] = ""
    nobody["case"] |= {"act_ended": None, "department": {"name": "", "unit": ""}}
    page = archive.page(nobody, ZONE, CODE)
    told = {cell["zh"]: cell["value"] for cell in page["sections"][0]["cells"]}
    assert (page["signatures"][1]["said"], told["行为终结"], told["承办机构"]) == ("sunli", "", [])


def test_a_reader_is_told_first_that_it_is_a_supplement_and_what_was_missing() -> None:
    before = {"key": "cases/cas-1/archive-1.json", "sha256": "d" * 64}
    codes = ["late-unexplained", "not-recorded", "late-unexplained", "new-code"]
    missing = [{"code": code, "explained": code == "not-recorded"} for code in codes]
    told = manifest(supplements=before, added=["a"], removed=["b", "c"], changed=["d"] * 3, missing=missing)
    supplement, note = archive.page(told, ZONE, CODE)["notes"]
    assert before["key"] in supplement and "新增 added 1, 移除 removed 2, 变更 changed 3" in supplement
    assert note.endswith("逾期入库未说明原因 2 项、未作音像记录（已说明原因）1 项、new-code 1 项")
    (lost,) = archive.page(manifest(supplements=before, **archive.changes(None, {})), ZONE, CODE)["notes"]
    assert archive.LOST in lost and "d" * 16 in lost and "d" * 17 not in lost


def test_what_has_changed_is_told_recording_by_recording() -> None:
    before, after = (
        manifest(),
        manifest(recordings=[recording("rec-2", ("c.jpg", 6)), recording("rec-3", ("d.jpg", 1))]),
    )
    assert archive.changes(before, after) == {"added": ["rec-3"], "removed": ["rec-1"], "changed": ["rec-2"]}
    assert archive.changes(before, manifest()) == {"added": [], "removed": [], "changed": []}


def test_the_act_of_archiving_is_no_part_of_what_was_archived() -> None:
    later = manifest(number=2, supplements={}, added=["x"])
    later["archive"]["at"] = "2027-01-01T00:00:00.000000Z"
    assert archive.contents(later) == archive.contents(manifest())
    assert archive.words(later) == ["D-1", "30年", "A-3", "档案室"]
    later["missing"] = [{"code": "no-party"}]
    assert archive.contents(later) != archive.contents(manifest())
