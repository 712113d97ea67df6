"""The manifest of a case that is archived (归档), and the list by which it is handed over to the archive (归档移交清册).

A manifest is frozen: it says what the case file held when the archivist took it, with the digest of every original. What comes
later makes a supplement, a manifest of its own that names the one before it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

FORMAT: Final = "mediad-archive/1"

_OF_THE_ACT: Final = ("format", "number", "archive", "supplements", "added", "removed", "chain")
"""What a manifest says of the act of archiving; the rest is what was archived."""


def contents(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What was archived: two manifests of the same contents say the same of a case."""
    return {key: value for key, value in manifest.items() if key not in _OF_THE_ACT}


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


def table(lines: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The list as rows of text, the headings first."""
    return [list(COLUMNS.values()), *([_cell(line[column]) for column in COLUMNS] for line in lines)]


def _cell(value: Any) -> str:
    """Text of a cell: one that begins like a formula is none, whatever opens the table."""
    text = "、".join(value) if isinstance(value, list) else str(value)
    return f"'{text}" if text[:1] in "=+-@\t\r" and text[:1] else text
