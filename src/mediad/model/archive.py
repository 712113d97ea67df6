"""The manifest of a case that is archived (归档), and the list by which it is handed over to the archive (归档移交清册).

A manifest is frozen: it says what the case file held when the archivist took it, with the digest of every original. What comes
later makes a supplement, a manifest of its own that names the one before it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

from mediad.model.custody import canonical
from mediad.model.ids import Digest
from mediad.model.instants import local, minute
from mediad.model.sizes import human
from mediad.model.words import KINDS, MISSING

FORMAT: Final = "mediad-archive/1"
LOST: Final = (
    "前一份清单已不在储存器中，变更情况无从比对 the manifest before it is lost, so what changed cannot be told"
)

ON_THE_PAGE: Final = 3
"""So many files stand on the page to sign; more have pages of their own."""

_OF_THE_ACT: Final = ("format", "number", "archive", "supplements", "added", "removed", "changed", "chain")
"""What a manifest says of the act of archiving; the rest is what was archived."""


def contents(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What was archived: two manifests of the same contents say the same of a case."""
    return {key: value for key, value in manifest.items() if key not in _OF_THE_ACT}


def words(manifest: Mapping[str, Any]) -> list[str]:
    """What the archivist said of the file."""
    return [manifest["archive"][name] for name in ("file_number", "term", "place", "receiver")]


def changes(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> dict[str, list[str] | None]:
    """Recordings that one manifest has beyond another, that it lacks, and of which it says something else, such as another file
    of a recording that came late. None of it can be told where the one ``before`` is lost."""
    if before is None:
        return dict.fromkeys(("added", "removed", "changed"))
    then, now = ({r["id"]: canonical(r) for r in each["recordings"]} for each in (before, after))
    return {
        "added": sorted(now.keys() - then.keys()), "removed": sorted(then.keys() - now.keys()),
        "changed": sorted(name for name in now.keys() & then.keys() if now[name] != then[name]),
    }  # fmt: skip


def digest(held: Mapping[str, Any]) -> str:
    """What a case holds, as one value that is another one when that changes."""
    return Digest.sha256(canonical(held).encode("utf-8")).hex


COLUMNS: Final[Mapping[str, str]] = {
    "row": "序号", "file_number": "案卷号", "case": "案件编号", "name": "案件名称", "recording": "音像记录", "kind": "类型",
    "started_at": "开始时间", "ended_at": "结束时间", "carrier": "采集人", "recorder": "执法记录仪", "activities": "执法环节",
    "file": "文件名", "size": "字节数", "sha256": "SHA-256", "term": "保管期限",
}  # fmt: skip
"""What the list holds of each file, with the heading of its column."""


def inventory(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The list: one line per file, in order of recordings."""
    case, act = manifest["case"], manifest["archive"]
    head = {"file_number": act["file_number"], "case": case["numbers"][0]["number"], "name": case["name"]}
    lines: list[dict[str, Any]] = []
    for recording in manifest["recordings"]:
        told = {
            "recording": recording["id"], "kind": recording["kind"], "started_at": recording["started_at"],
            "ended_at": recording["ended_at"], "carrier": recording["carrier"]["name"], "recorder": recording["recorder"],
            "activities": [tag["name"] for tag in recording["tags"] if tag["activity"]],
        }  # fmt: skip
        for file in recording["assets"]:
            own = {"file": file["path"].rpartition("/")[2], "size": file["size"], "sha256": file["sha256"]}
            lines.append({"row": len(lines) + 1, **head, **told, **own, "term": act["term"]})
    return lines


def table(lines: Sequence[Mapping[str, Any]], zone: ZoneInfo) -> list[list[str]]:
    """The list as rows of text, the headings first; times by the unit's clock."""
    return [list(COLUMNS.values()), *([_cell(line[column], column, zone) for column in COLUMNS] for line in lines)]


def _cell(value: Any, column: str, zone: ZoneInfo) -> str:
    if column in ("started_at", "ended_at"):
        return f"{local(value, zone):%Y-%m-%d %H:%M:%S}"
    if column == "kind":
        return KINDS[value]
    return "、".join(value) if isinstance(value, list) else str(value)


_LIST: Final[Sequence[tuple[str, str, dict[str, Any]]]] = (
    ("row", "No.", {"right": True}), ("started_at", "Start", {}), ("kind", "Kind", {}),
    ("carrier", "Recorded by", {"parts": 3}), ("recorder", "Recorder", {"parts": 3}), ("activities", "Activity", {"parts": 4}),
    ("file", "File", {"parts": 5}), ("size", "Bytes", {"right": True}), ("sha256", "Digest of the bytes", {"mono": True}),
)  # fmt: skip


def page(manifest: Mapping[str, Any], zone: ZoneInfo, code: Mapping[str, Any]) -> dict[str, Any]:
    """What the form prints of the list. ``code``: the rows of the QR code, the digest of the manifest, and where that lies."""
    case, act, lines = manifest["case"], manifest["archive"], inventory(manifest)
    numbers = [f"{n['type']} {n['number']}" for n in case["numbers"]]
    cells = [
        ("案卷号/档号", "File number", act["file_number"], {"large": True}), ("保管期限", "Kept for", act["term"], {}),
        ("案件名称", "Case", case["name"], {"wide": True}), ("编号", "Numbers", numbers, {}),
        ("当事人", "Party", case["party"], {}), ("承办机构", "Department", _department(case), {}),
        ("承办人", "Handlers", [f"{h['name']} {h['certificate']}" for h in case["handlers"]], {}),
        ("行为终结", "Act ended", _moment(case["act_ended"], zone), {}),
        ("结案时间", "Concluded", _moment(case["concluded"], zone), {}),
        ("音像记录", "Recordings", f"{len(manifest['recordings'])} 条，{len(lines)} 个文件", {}),
        ("大小", "Size", human(sum(line["size"] for line in lines)), {}),
        ("纸质案卷存放", "Paper file", act["place"], {}), ("归档时间", "Archived", minute(act["at"], zone), {}),
    ]  # fmt: skip
    shown = [[_shown(line[name], name, zone) for name, *_ in _LIST] for line in lines]
    return {
        "unit": manifest["unit"], "title": "归档移交清册", "title_en": "LIST OF WHAT IS HANDED OVER TO THE ARCHIVE",
        "number": f"{act['file_number']} · {manifest['number']}", "foot": f"采集站 {manifest['station']}",
        "landscape": True, "notes": _notes(manifest),
        "sections": [
            {"zh": "案卷", "en": "Case file", "cells": [{"zh": z, "en": e, "value": v, **more} for z, e, v, more in cells]}
        ],
        "signatures": [
            {"zh": "移交人", "en": "Handed over by"},
            {"zh": "档案管理人员", "en": "Archivist", "said": act["archivist"]["name"] or act["login"]},
            {"zh": "接收人", "en": "Received by", "said": act["receiver"]},
        ],
        "code": {
            "zh": "归档清单摘要", "en": "SHA-256 of the manifest", "rows": code["rows"], "digest": code["sha256"],
            "lines": [code["key"]],
        },
        "tables": [
            {"zh": "音像记录文件", "en": "Files", "page": len(lines) > ON_THE_PAGE, "rows": shown,
             "columns": [{"zh": COLUMNS[name], "en": english, **more} for name, english, more in _LIST]}
        ],
    }  # fmt: skip


def _notes(manifest: Mapping[str, Any]) -> list[str]:
    """What a reader has to know first: that it is a supplement, that something was missing."""
    found = []
    if (before := manifest["supplements"]) is not None:
        listed = [manifest.get(name, ()) for name in ("added", "removed", "changed")]
        told = "新增 added {}, 移除 removed {}, 变更 changed {}".format(*(len(each or ()) for each in listed))
        if None in listed:
            told = f"{LOST} (SHA-256 {before['sha256'][:16]}…)"
        found.append(f"补充归档 Supplement to {before['key']}: {told}")
    if manifest["missing"]:
        found.append(f"归档时尚缺 missing then: {'、'.join(_missing(manifest['missing']))}")
    return found


def _missing(findings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What was missing, each kind once; the manifest tells of each."""
    for (code, explained), n in Counter((each["code"], each["explained"]) for each in findings).items():
        yield f"{MISSING.get(code, code)}{'（已说明原因）' if explained else ' '}{n} 项"


def _department(case: Mapping[str, Any]) -> list[str]:
    """With the unit that it makes its records as, if that is another one."""
    of = case["department"]
    return [text for text in (of["name"], of["unit"]) if text]


def _moment(at: str | None, zone: ZoneInfo) -> str:
    """A time that somebody entered, or a day."""
    return minute(at, zone).removesuffix(" 00:00")


def _shown(value: Any, name: str, zone: ZoneInfo) -> str | None:
    """A cell of the list; None where something is to be filled in by hand."""
    match name:
        case "carrier":
            return value or None
        case "started_at":
            return minute(value, zone)
        case "size":
            return f"{value:,}"
        case "sha256":
            return f"{value[:32]}\n{value[32:]}"
    return _cell(value, name, zone)
