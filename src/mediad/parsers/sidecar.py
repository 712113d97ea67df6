"""Files beside a recording, of the same name: XML with officer, device and times, GPX, NMEA. And data of which nothing is known.

Recorders after GA/T 947 and their makers name the elements in English, in Pinyin or its initials, or in Chinese; a value stands as
the element's text, as an attribute, or as ``<item name="..." value="..."/>``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final
from xml.parsers import expat

from mediad.model.probe import Format, Position, Probe, Remark, SidecarClaims, Stamp
from mediad.parsers import gpx, nmea, track
from mediad.parsers.xmltext import MAX_BYTES, Element, Refused, parse

_NAMES: Final[dict[str, str]] = {
    "officer": "officer officerid officerno officernum officernumber policeno policeid policenum policenumber policecode "
    "userid userno usercode "
    "jybh jyh jinghao mjbh mj_bh jy_bh syzbh ryjh 警号 警员编号 民警编号 警员号 使用者编号 人员编号",
    "officer_name": "officername policename username jyxm jy_xm mjxm mj_xm xm syzxm 姓名 警员姓名 民警姓名 使用者姓名",
    "device": "device deviceid deviceno devicenum devicenumber devicecode devid devno dev_id serial serialno serialnumber sn "
    "cpxh cpbh sbbh sbxlh zfybh zfjlybh imei 设备编号 设备号 产品序号 产品编号 执法记录仪编号 序列号",
    "unit": "unit unitid unitno unitcode unitname org orgid orgcode orgname dept deptid deptname department "
    "dwbh dwmc dwdm jgdm jgmc dw bmbh bmmc 单位 单位编号 单位名称 单位代码 部门 部门名称 机构代码",
    "case": "case caseid caseno casenumber incident incidentid jqbh jqh ajbh ajh jjbh 警情编号 案件编号 接警编号 警情号",
    "important": "important importance imp key keyfile iskey mark marked "
    "zybj zybz zdbj zdwj sfzd wjbz 重要 重要标记 重点 重点文件 重点标记",
    "start": "start starttime begin begintime startdate begindate recordtime recordstarttime shoottime shootingtime capturetime "
    "createtime "
    "kssj pssj lzkssj sxkssj 开始时间 拍摄时间 录制开始时间 起始时间",
    "end": "end endtime stop stoptime finishtime recordendtime jssj lzjssj sxjssj 结束时间 录制结束时间 终止时间",
}
_MEANING: Final = {name: key for key, names in _NAMES.items() for name in names.split()}
_LATITUDE: Final = {"lat", "latitude", "wd", "纬度"}
_LONGITUDE: Final = {"lon", "lng", "long", "longitude", "jd", "经度"}
_TIME: Final = {"time", "datetime", "date", "gpstime", "sj", "时间"}
_YES: Final = {"1", "true", "yes", "y", "是", "重要", "重点"}
_MOMENT = re.compile(
    r"(\d{4})\D{0,2}?(\d{1,2})\D{0,2}?(\d{1,2})\D{0,2}?(\d{1,2})\D?(\d{2})\D?(\d{2})(?:\.\d+)?秒?\s*(Z|[+-]\d\d:?\d\d)?\s*\Z"
)


@dataclass
class Read:
    """What a sidecar says."""

    format: Format | None = None
    claims: dict[str, str] = field(default_factory=dict)
    points: list[Position] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)


def probe(path: Path, suffix: str) -> Probe:
    """``data`` in any case; with claims if it is of a known kind."""
    told = read(path, suffix)
    stamps = [
        Stamp("sidecar", moment, "start" if key == "start" else "end", key)
        for key in ("start", "end")
        if (moment := when(told.claims.get(key, "")))
    ]
    stamps += track.stamps(told.points, "sidecar")
    said = {k: v for k, v in told.claims.items() if k not in ("start", "end", "important")}
    important = told.claims.get("important", "").strip().lower() in _YES
    return Probe(
        kind="data",
        conditions=("unreadable",) if told.remarks and told.format is None else (),
        container=told.format or "",
        stamps=tuple(stamps),
        position=told.points[0] if told.points else None,
        track=track.summary(told.points),
        sidecar=SidecarClaims(told.format, important=important, **said) if told.format else None,
        remarks=tuple(told.remarks),
        tool="mediad sidecar",
    )


def read(path: Path, suffix: str) -> Read:
    """By what it looks like; the suffix only says whether not being readable is worth a remark."""
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    plain = data[:4096].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    if plain.startswith(b"<"):
        return _xml(data)
    if suffix.lower() in ("xml", "gpx"):
        return Read(remarks=[Remark("bad-xml", "it is named as XML, and is none")])
    if data[:MAX_BYTES].count(b"\0") == 0 and (points := track.of_text(data[:MAX_BYTES])):
        return Read("nmea", points=points)
    return Read()


def _xml(data: bytes) -> Read:
    try:
        root = parse(data)
    except Refused as error:
        return Read(remarks=[Remark("xml-refused", str(error))])
    except expat.ExpatError as error:
        return Read(remarks=[Remark("bad-xml", f"not well-formed: {error}")])
    if root.name == "gpx":
        return Read("gpx", points=gpx.points(root))
    told = Read("xml")
    for name, value in _pairs(root):
        meaning = _MEANING.get(re.sub(r"[\s.:-]", "", name.lower())) or _MEANING.get(
            re.sub(r"[\s_.:-]", "", name.lower())
        )
        if meaning and value.strip():
            told.claims.setdefault(meaning, value.strip())
    told.points = _points(root)
    if not told.points:
        texts = "\n".join(e.text for e in root.walk() if "$G" in e.text or "RMC" in e.text or "GGA" in e.text)
        told.points = track.of_text(texts.encode("utf-8", "replace"))
    return told


def _pairs(root: Element) -> Iterator[tuple[str, str]]:
    """Every name with its value, in each of the three forms."""
    for element in root.walk():
        attributes = element.attributes
        if "name" in attributes and ("value" in attributes or element.text.strip()):
            yield attributes["name"], attributes.get("value", element.text)
        if not element.children:
            yield element.name, element.text or attributes.get("value", "")
        yield from attributes.items()


def _points(root: Element) -> list[Position]:
    """Elements that hold a latitude and a longitude, as attributes or as children."""
    found = []
    for element in root.walk():
        texts = dict(element.attributes) | {c.name: c.text for c in element.children if not c.children}
        latitude, longitude = _degrees(texts, _LATITUDE), _degrees(texts, _LONGITUDE)
        spot = None if latitude is None or longitude is None else nmea.place(latitude, "N", longitude, "E")
        if spot is not None:
            at = next((m for k, v in texts.items() if k in _TIME and (m := when(v))), "")
            found.append(Position(*spot, at=at))
    return found


def _degrees(texts: dict[str, str], names: set[str]) -> float | None:
    value = next((v.strip() for k, v in texts.items() if k in names), "")
    match = re.fullmatch(r"([NSEWnsew]?)\s*(-?\d{1,3}(?:\.\d{1,12})?)\s*°?\s*([NSEWnsew]?)", value)
    if not match:
        return None
    return -float(match[2]) if (match[1] or match[3]).upper() in ("S", "W") else float(match[2])


def when(text: str) -> str:
    """``2024-01-02 03:04:05``, ``20240102030405``, ``2024/1/2 3:04:05``, ``2024年01月02日03时04分05秒``: ISO 8601, or
    nothing. In the recorder's zone unless it says one."""
    match = _MOMENT.match(text.strip().replace("T", " "))
    if not match:
        return ""
    year, month, day, hour, minute, second = (int(g) for g in match.groups()[:6])
    zone = (match[7] or "").replace("Z", "+00:00")
    try:
        return datetime.fromisoformat(
            f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{zone}"
        ).isoformat()
    except ValueError:
        return ""
