"""What `mediad show` says to people: the answer that ``--json`` gives whole, in lines, Chinese first, times in the unit's zone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from mediad.cli import common
from mediad.model import instants, words
from mediad.model.layout import preview_key

SOURCES = {
    "name": "文件名", "container": "文件头", "exif": "照片信息", "sidecar": "附属文件", "gps": "卫星定位", "mtime": "修改时间",
    "docking": "接入时间", "duration": "时长", "start": "同开始时间",
}  # fmt: skip
CONFIDENCES = {"corrected": "已校正", "claimed": "设备自报", "estimated": "推算", "untrusted": "不可信"}
_CONDITIONS = {"truncated": "缺尾", "damaged": "损坏", "encrypted": "已加密", "unreadable": "无法读取"}
_SAID = {"dated": "人工定时", "carried": "携带人", "classified": "定级", "excused": "非执勤"}
_PREVIEWS = {"made": "已生成", "failed": "无法生成"}

_Answer = Mapping[str, Any]


def both(known: Mapping[str, str], word: str) -> str:
    """A word of ours in Chinese and as it stands in JSON."""
    return f"{known[word]} {word}" if word in known else word


def local(stamp: str, zone: ZoneInfo) -> str:
    """A time of the catalogue as people read it; at the end of all dates, which only a broken file claims, in UTC."""
    at = instants.local(stamp, zone)
    return at.strftime("%Y-%m-%d %H:%M:%S") + ("Z" if at.tzinfo is not zone else "")


def length(started_at: str, ended_at: str) -> str:
    """Hours, minutes and seconds; a question mark for none, since the end is not known then."""
    seconds = round((datetime.fromisoformat(ended_at) - datetime.fromisoformat(started_at)).total_seconds())
    return hours(seconds) if seconds else "?"


def hours(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def recording(r: _Answer, zone: ZoneInfo) -> Iterator[str]:
    mark = "  ★ 重要 important" if r["important"] else ""
    yield f"音像记录 recording {r['id']}  {both(words.KINDS, r['kind'])}{mark}"
    doubt = "" if r["provisional"] else f"  {both(CONFIDENCES, r['confidence'])}"
    yield f"  开始 start: {local(r['started_at'], zone)}{doubt}"
    if r["provisional"]:
        yield "  尚未探测，时间为暂定 not probed yet: the time is provisional, the end not known"
    elif r["kind"] in ("video", "audio"):
        yield f"  结束 end: {local(r['ended_at'], zone)}  时长 length {length(r['started_at'], r['ended_at'])}"
    lens = f"  镜头 lens {r['lens']}" if r["lens"] else ""
    yield f"  记录仪 recorder: {r['recorder']}{lens}  人员 officer: {r['officer'] or '-'}  来源 channel: {r['channel']}"
    gaps = {g["after"]: g["seconds"] for g in r["gaps"]}
    yield f"  原始文件 originals: {len(r['assets'])}"
    for asset in r["assets"]:
        gap = gaps.get(asset, 0.0)
        yield f"    {asset}" + (
            f"  其后间隔 gap {gap:g} s" if gap > 0 else f"  其后重叠 overlap {-gap:g} s" if gap else ""
        )
    for other in r["beside"]:
        yield f"  另一镜头 other lens {other['lens']}: {other['recording']}"
    yield from _place(r)
    if r["preview"] is None:
        yield "  预览 preview: 尚无 none yet"
    else:
        yield f"  预览 preview: {both(_PREVIEWS, r['preview']['state'])}, {local(r['preview']['at'], zone)}"
        if files := r["preview"]["files"]:
            names = ", ".join(f"{f['name']} ({common.size(f['size'])})" for f in files)
            yield f"    {preview_key(r['id'])}/: {names}"
    for limit in r["deadlines"]:
        due = f"  至 until {local(limit['due_at'], zone)}" if limit["due_at"] else ""
        yield f"  时限 limit {words.RULES.get(limit['rule'], limit['rule'])}: {both(words.STATUSES, limit['status'])}{due}"
        yield f"    {limit['reason']}"
    for what, said in r["said"].items():
        yield f"  {both(_SAID, what)}: " + ", ".join(
            f"{k} {_plain(v)}" for k, v in said.items() if v not in (None, "", [])
        )
    yield from _notes(r["findings"])
    yield from _events(r["events"], zone)


def asset(a: _Answer, zone: ZoneInfo) -> Iterator[str]:
    yield f"原始文件 original {a['id']}  {both(words.KINDS, a['kind'])}"
    yield f"  原路径 path: {a['original_path']}"
    yield f"  大小 size: {common.size(a['size'])} ({a['size']:,} 字节 bytes)"
    yield f"  SHA-256: {a['sha256']}"
    if a["sm3"]:
        yield f"  SM3: {a['sm3']}"
    yield f"  存入 stored: {local(a['stored_at'], zone)}  接入 docking {a['docking']}"
    yield from _time(a, zone)
    yield from _probe(a["probe"])
    for r in a["replicas"]:
        verified = f"核对 verified {local(r['verified_at'], zone)} ({r['method']})"
        yield f"  副本 replica {r['vault']}: {r['key']}  {verified}"
    for s in a["sightings"]:
        yield f"  见于 seen {both(words.OUTCOMES, s['outcome'])}: {s['recorder']}  {s['path']}  {s['docking']}"
    remarks = [*((a["probe"] or {}).get("remarks", ())), *((a["timing"] or {}).get("remarks", ()))]
    yield from _notes([{**r, "subject": ""} for r in remarks])
    yield from _events(a["events"], zone)


def docking(d: _Answer, zone: ZoneInfo) -> Iterator[str]:
    yield f"接入 docking {d['id']}  {both(words.STATES, d['state'])}"
    until = f" – {local(d['closed_at'], zone)}" if d["closed_at"] else ""
    yield f"  时间 time: {local(d['opened_at'], zone)}{until}"
    for key, value in d.items():
        if key in ("id", "state", "opened_at", "closed_at", "events") or value in (None, "", {}):
            continue
        yield f"  {key}: {_plain(value)}"
    yield from _events(d["events"], zone)


def docking_row(row: Any) -> dict[str, Any]:
    """A docking's row, with what is JSON in it as such."""
    said = json.loads(row.said) if row.said is not None else None
    return {**row._mapping, "said": said, "zones": json.loads(row.zones)}


def _time(a: _Answer, zone: ZoneInfo) -> Iterator[str]:
    """When it was taken, and every claim with what became of it."""
    if (t := a["timing"]) is None:
        c = a["captured"]
        told = f"{both(SOURCES, c['source'])}, {both(CONFIDENCES, c['confidence'])}"
        yield f"  时间 time: {local(c['value'], zone)}  {told}，尚未归并 not assembled yet"
        return
    how = t["time"]
    told = f"{both(SOURCES, how['source'])}, {both(CONFIDENCES, t['confidence'])}"
    end = f" – {local(t['ended_at'], zone)}" if t["ended_at"] != t["started_at"] else ""
    yield f"  时间 time: {local(t['started_at'], zone)}{end}  {told}"
    if how["earliest"] or how["latest"]:
        bounds = " … ".join(local(at, zone) if at else "?" for at in (how["earliest"], how["latest"]))
        yield f"    只知在此之间 known is only that it lies between: {bounds}"
    if how["offset_seconds"] is not None:
        yield f"    时钟偏差 clock off by {how['offset_seconds']:g} s ({how['offset_source']}): 已扣除 taken off"
    for c in how["candidates"]:
        means = "开始 start" if c["means"] == "start" else "结束 end"
        refused = f"  ✗ {c['why']}" if c["why"] else ""
        yield (
            f"    {both(SOURCES, c['source'])} {c['field']}".rstrip() + f": {means} {local(c['value'], zone)}{refused}"
        )
    if t["sidecar"]:
        yield f"    附属文件 sidecar: {t['sidecar']}"


def _probe(probe: _Answer | None) -> Iterator[str]:
    if probe is None:
        yield "  内容 content: 尚未探测 not probed yet"
        return
    conditions = ", ".join(both(_CONDITIONS, c) for c in probe.get("conditions", ()))
    lasts = hours(probe["duration"]) if probe.get("duration") else ""
    parts = (both(words.KINDS, probe["kind"]), probe.get("container"), lasts, conditions)
    yield "  内容 content: " + ", ".join(part for part in parts if part)
    for s in probe.get("streams", ()):
        size = f"{s['width']}x{s['height']}" if s.get("width") and s.get("height") else ""
        rate = f"{s['frame_rate']:g} 帧/秒 fps" if s.get("frame_rate") else ""
        sound = f"{s['sample_rate']} Hz" if s.get("sample_rate") else ""
        turned = f"旋转 rotated {s['rotation']}°" if s.get("rotation") else ""
        told = (s["kind"], s.get("codec"), s.get("profile"), size, rate, sound, turned)
        yield "    " + " ".join(word for word in told if word)
    if maker := " ".join(probe[key] for key in ("make", "model", "serial") if probe.get(key)):
        yield f"    设备 recorder: {maker}"
    yield from _place(probe)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _place(of: _Answer) -> Iterator[str]:
    """A position and a track, with what is empty left out."""
    for label, key in (("位置 position", "position"), ("轨迹 track", "track")):
        if value := of.get(key):
            yield f"  {label}: " + ", ".join(
                f"{k} {_plain(v)}" for k, v in value.items() if v not in (None, "", [], {})
            )


def _notes(findings: Sequence[_Answer]) -> Iterator[str]:
    for f in findings:
        subject = f"{f['subject']}: " if f["subject"] else ""
        yield f"  注意 note: {subject}{f['detail']} ({f['code']})"


def _events(events: Sequence[_Answer], zone: ZoneInfo) -> Iterator[str]:
    yield "  流转记录 custody events:"
    for e in events:
        yield f"    {e['seq']:>6}  {local(e['at'], zone)}  {e['actor']}  {e['kind']}"
