"""`mediad show` for people: nothing of a program's own forms, Chinese first, times as the unit's clock showed them."""

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mediad.cli import tell
from tests.support import make_card, make_site

CHINA = ZoneInfo("Asia/Shanghai")
REC, ONE, TWO = ("rec-" + "a" * 26, "ast-" + "a" * 26, "ast-" + "b" * 26)
EVENTS = [{"seq": 7, "at": "2026-11-20T02:00:00.000000Z", "actor": "wang", "kind": "asset.timed"}]


def test_what_was_just_stored_is_shown_without_a_programs_own_forms(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site")
    done = site.ingest_json(make_card(tmp_path / "card", {"DCIM/a.mp4": b"x", "DCIM/a.xml": b"y"}))
    (recording,) = [r for r in json.loads(site.run("recordings", "--json").stdout) if r["kind"] == "video"]
    for subject, words in {
        recording["id"]: ["视频 video", "开始 start: 2026-09-21 22:13:20", "尚未探测", "预览 preview: 尚无", *recording["assets"]],
        recording["assets"][0]: ["DCIM/a.mp4", "1 B (1 字节 bytes)", "尚未归并", "尚未探测", "副本 replica local"],
        done["docking"]: ["接入 docking", "完成 complete", "new: 2"],
    }.items():  # fmt: skip
        shown = site.run("show", subject)
        assert shown.returncode == 0, shown.stderr
        for word in [*words, "流转记录 custody events:"]:
            assert word in shown.stdout
        assert not any(form in shown.stdout for form in ("None", "{'", "['", "Z "))


def _recording(**changed: Any) -> list[str]:
    plain = {
        "id": REC, "kind": "video", "started_at": "2026-11-19T16:00:00.000000Z", "ended_at": "2026-11-19T17:00:05.000000Z",
        "provisional": False, "recorder": "07号", "officer": "", "channel": "body-camera", "important": False,
        "confidence": "claimed", "lens": "", "assets": [ONE, TWO], "gaps": [], "track": None, "position": None, "beside": [],
        "deadlines": [], "said": {},
        "preview": None, "findings": [], "events": EVENTS,
    }  # fmt: skip
    return list(tell.recording({**plain, **changed}, CHINA))


def test_a_take_is_told_with_its_gaps_its_preview_and_what_was_found() -> None:
    lines = _recording(
        important=True, lens="A", officer="000123", gaps=[{"after": ONE, "before": TWO, "seconds": 2.5}],
        beside=[{"recording": "rec-b", "lens": "B"}], position={"lat": 38.9, "lon": 121.6, "at": ""},
        track={"points": 2, "first": {"lat": 1.5}},
        preview={"state": "made", "at": "2026-11-20T02:00:00.000000Z", "files": [{"name": "proxy.mp4", "size": 2048}]},
        findings=[{"code": "times-disagree", "subject": ONE, "detail": "by an hour"}],
    )  # fmt: skip
    assert lines == [
        f"音像记录 recording {REC}  视频 video  ★ 重要 important",
        "  开始 start: 2026-11-20 00:00:00  设备自报 claimed",
        "  结束 end: 2026-11-20 01:00:05  时长 length 1:00:05",
        "  记录仪 recorder: 07号  镜头 lens A  人员 officer: 000123  来源 channel: body-camera",
        "  原始文件 originals: 2",
        f"    {ONE}  其后间隔 gap 2.5 s",
        f"    {TWO}",
        "  另一镜头 other lens B: rec-b",
        "  位置 position: lat 38.9, lon 121.6",
        '  轨迹 track: points 2, first {"lat": 1.5}',
        "  预览 preview: 已生成 made, 2026-11-20 10:00:00",
        f"    derived/{REC}/: proxy.mp4 (2.0 KiB)",
        f"  注意 note: {ONE}: by an hour (times-disagree)",
        "  流转记录 custody events:",
        "         7  2026-11-20 10:00:00  wang  asset.timed",
    ]


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"ended_at": "2026-11-19T16:00:00.000000Z"}, "  结束 end: 2026-11-20 00:00:00  时长 length ?"),
        ({"gaps": [{"after": ONE, "before": TWO, "seconds": -1.5}]}, f"    {ONE}  其后重叠 overlap 1.5 s"),
        ({"confidence": "untrusted"}, "  开始 start: 2026-11-20 00:00:00  不可信 untrusted"),
        ({"preview": {"state": "failed", "at": "2026-11-20T02:00:00Z", "files": []}},
         "  预览 preview: 无法生成 failed, 2026-11-20 10:00:00"),
    ],
)  # fmt: skip
def test_what_is_not_sure_is_said(changed: dict[str, Any], line: str) -> None:
    assert line in _recording(**changed)


def test_an_original_is_told_with_every_claim_of_its_time_and_what_its_bytes_say() -> None:
    claims: list[dict[str, Any]] = [
        {"source": "name", "means": "start", "value": "1999-12-31T16:00:00Z", "field": "", "why": "before 2015"},
        {"source": "exif", "means": "start", "value": "2026-11-20T02:00:00Z", "field": "DateTimeOriginal", "why": ""},
    ]
    answer: dict[str, Any] = {
        "id": ONE, "sha256": "ab" * 32, "sm3": None, "size": 5_000_000, "kind": "video", "original_path": "DCIM/a.mp4",
        "docking": "dck-1", "stored_at": "2026-11-20T02:00:00Z", "captured": {}, "events": EVENTS,
        "probe": {
            "kind": "video", "container": "mp4", "duration": 61.0, "conditions": ["truncated"], "make": "ACME", "serial": "7",
            "streams": [{"kind": "video", "codec": "h264", "width": 1280, "height": 720, "frame_rate": 25.0, "rotation": 90}],
            "remarks": [{"code": "no-index", "detail": "the index is missing"}],
        },
        "timing": {
            "started_at": "2026-11-20T02:00:00Z", "ended_at": "2026-11-20T02:01:01Z", "confidence": "corrected",
            "remarks": [], "sidecar": TWO,
            "time": {"source": "exif", "earliest": None, "latest": None, "offset_seconds": 90.0, "offset_source": "photo",
                     "candidates": claims},
        },
        "replicas": [{"vault": "local", "key": "originals/x", "method": "direct", "verified_at": "2026-11-20T02:00:00Z"}],
        "sightings": [{"docking": "dck-2", "recorder": "07号", "path": "DCIM/b.mp4", "outcome": "sighting"}],
    }  # fmt: skip
    assert list(tell.asset(answer, CHINA)) == [
        f"原始文件 original {ONE}  视频 video",
        "  原路径 path: DCIM/a.mp4",
        "  大小 size: 4.8 MiB (5,000,000 字节 bytes)",
        "  SHA-256: " + "ab" * 32,
        "  存入 stored: 2026-11-20 10:00:00  接入 docking dck-1",
        "  时间 time: 2026-11-20 10:00:00 – 2026-11-20 10:01:01  照片信息 exif, 已校正 corrected",
        "    时钟偏差 clock off by 90 s (photo): 已扣除 taken off",
        "    文件名 name: 开始 start 2000-01-01 00:00:00  ✗ before 2015",
        "    照片信息 exif DateTimeOriginal: 开始 start 2026-11-20 10:00:00",
        f"    附属文件 sidecar: {TWO}",
        "  内容 content: 视频 video, mp4, 0:01:01, 缺尾 truncated",
        "    video h264 1280x720 25 帧/秒 fps 旋转 rotated 90°",
        "    设备 recorder: ACME 7",
        "  副本 replica local: originals/x  核对 verified 2026-11-20 10:00:00 (direct)",
        "  见于 seen 重复 sighting: 07号  DCIM/b.mp4  dck-2",
        "  注意 note: the index is missing (no-index)",
        "  流转记录 custody events:",
        "         7  2026-11-20 10:00:00  wang  asset.timed",
    ]


def test_a_claim_at_the_end_of_all_dates_is_told_as_it_stands() -> None:
    """In the unit's zone there is no such time; a broken file must not hide all else that is known of it."""
    assert tell.local("9999-12-31T23:59:59Z", CHINA) == "9999-12-31 23:59:59Z"


def test_a_time_that_nothing_tells_is_bounded() -> None:
    time = {
        "source": "docking",
        "earliest": None,
        "latest": "2026-11-20T02:00:00Z",
        "offset_seconds": None,
        "candidates": [],
    }
    at = {"started_at": "2026-11-20T02:00:00Z", "ended_at": "2026-11-20T02:00:00Z"}
    told = list(tell._time({"timing": {**at, "confidence": "untrusted", "sidecar": None, "time": time}}, CHINA))
    assert told == [
        "  时间 time: 2026-11-20 10:00:00  接入时间 docking, 不可信 untrusted",
        "    只知在此之间 known is only that it lies between: ? … 2026-11-20 10:00:00",
    ]
