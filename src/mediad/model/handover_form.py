"""The page of a hand-over record (交接记录) and the register (交接登记簿) in words: what the form prints, Chinese first.

A fact that is not known is None, which the form prints as a line to fill in by hand.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from mediad.model import board, sizes
from mediad.model.instants import minute
from mediad.model.reasons import words
from mediad.model.words import KINDS, OUTCOMES, STATES, STATUSES

Record = Mapping[str, Any]

TITLE: Final = "执法音像记录交接记录"
TITLE_EN: Final = "HAND-OVER RECORD OF AUDIO-VISUAL RECORDINGS"
MOST_FILES: Final = 1_000
"""Files that the annex names; the record names all of them."""
ON_THE_PAGE: Final = 6
"""So many files stand on the page itself; more have pages of their own."""
_HOW: Final = "扫码所得摘要应与储存器中该记录文件的 SHA-256 一致 The code names the digest of that file in the vault"
_MOST_LINES: Final = 4
_MOST_CASES: Final = 6
_MOST_LATE: Final = 2
_LONGEST_PATH: Final = 400

FINDINGS: Final = {
    "recorder-unregistered": "记录仪未登记", "identity-not-unique": "同一序列号同时出现在另一接口，全部文件均已重读",
    "too-many-files": "文件数超过上限，其余未采集", "interrupted": "采集中断", "device-gone": "记录仪中途拔出",
    "vault-full": "储存器已满", "stopping": "采集站停止运行",
}  # fmt: skip
"""Remarks of a docking's record in words; what it broke off for besides is said as on the screen (``board.SENTENCES``)."""


def when(at: str | None, zone: ZoneInfo, *, seconds: bool = True) -> str | None:
    """A time as it is written on forms."""
    if at is None:
        return None
    local = datetime.fromisoformat(at).astimezone(zone)
    return f"{local:%Y}年{local:%m}月{local:%d}日 " + f"{local:%H:%M:%S}"[: 8 if seconds else 5]


def page(record: Record, zone: ZoneInfo, code: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the form prints of a hand-over. ``code``: the rows of the QR code, the digest it holds, and where that record lies."""
    files = record["files"]
    return {
        "unit": record["unit"], "title": TITLE, "title_en": TITLE_EN, "number": record["handover"],
        "foot": f"采集站 {record['station']}", "notes": list(_notes(record)),
        "sections": [
            {"zh": "一、交接双方", "en": "Parties", "cells": list(_parties(record))},
            {"zh": "二、记录仪与时间", "en": "Recorder and times", "cells": list(_times(record, zone))},
            {"zh": "三、交接内容", "en": "What was handed over", "cells": list(_contents(record, zone))},
            {"zh": "四、核验与时限", "en": "Verification and limits", "cells": list(_checks(record, zone))},
        ],
        "signatures": [] if _nothing(record) else _places(record, zone),
        "code": None if code is None else {
            "zh": "记录摘要", "en": "SHA-256 of the record", "rows": code["rows"], "digest": code["sha256"],
            "lines": [code["key"], _HOW, *_apart(files)],
        },
        "tables": [_annex(files)] if files else [],
    }  # fmt: skip


def _apart(files: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    if len(files) > ON_THE_PAGE:
        yield f"附文件清单 {len(files)} 件，另页 The files are listed on pages of their own"


def _nothing(record: Record) -> bool:
    return not record["counts"]["new"]


def _notes(record: Record) -> Iterable[str]:
    if before := record["supersedes"]:
        told = f"第 {record['version']} 版" if record["version"] else "待重新确认"
        why = f"更正理由：{record['why']}" if record["why"] else "续采后重新确认"
        yield f"{told}，取代第 {before['version']} 版（摘要 {before['sha256'][:16]}…）。{why}"
    if _nothing(record):
        yield "本次接入没有新文件，无须签收。 Nothing new: nothing to sign."
    elif not record["version"]:
        yield "未签：接收人尚未在系统中确认。 Not signed yet."
    if record["dockings"][-1]["state"] == "interrupted":
        yield "采集中断，记录仪上可能还有未采集的文件，请重新插入。 The docking broke off: dock the recorder again."


def _cell(zh: str, en: str, value: object, **more: object) -> dict[str, Any]:
    return {"zh": zh, "en": en, "value": value, **more}


def _parties(record: Record) -> Iterable[dict[str, Any]]:
    if record["on_behalf_of"]:
        yield from _person("代交人", "Handed over by", record["giver"])
        yield from _person("携带人", "On behalf of", record["on_behalf_of"])
    else:
        yield from _person("交出人", "Handed over by", record["giver"])
    yield from _person("接收人", "Received by", record["receiver"])


def _person(zh: str, en: str, party: Mapping[str, str] | None) -> Iterable[dict[str, Any]]:
    """Name and number; the position where there is no certificate."""
    told = party or {"name": "", "certificate": "", "position": "", "department": ""}
    yield _cell(zh, en, told["name"], large=True, beside=told["department"])
    if told["position"] and not told["certificate"]:
        yield _cell("职务", "Position", told["position"])
    else:
        number = "执法证件编号" if told["certificate"] else "证件编号或职务"
        yield _cell(number, "Certificate no." if told["certificate"] else "Number or position", told["certificate"])


def _times(record: Record, zone: ZoneInfo) -> Iterable[dict[str, Any]]:
    recorder = record["recorder"]
    kind, _, key = recorder["key"].partition(":")
    folder = kind == "folder"
    known = "" if recorder["registered"] or folder else "（未登记）"
    yield _cell(
        "来源文件夹" if folder else "执法记录仪",
        "Folder" if folder else "Recorder",
        _short(recorder["label"], 40) + known,
    )
    what = {"serial": "设备序列号", "fsuuid": "存储卡标识", "folder": "路径"}.get(kind, "设备标识")
    what_en = {"serial": "Serial", "folder": "Path"}.get(kind, "Identity")
    yield _cell(what, what_en, None if kind == "anonymous" else _short(key))
    yield _cell("到达时间", "Arrived", when(record["arrived_at"], zone))
    yield _cell("存入时间", "Stored", when(record["stored_at"], zone) or ("—" if _nothing(record) else None))
    yield _cell("确认时间", "Confirmed", when(record["confirmed_at"], zone) or ("—" if _nothing(record) else None))
    yield _cell("时钟偏差", "Clock offset", _offset(record["clock"]))
    if len(record["dockings"]) > 1 or record["dockings"][0]["state"] != "complete":
        lines = [
            f"第 {n} 次：{when(d['began_at'], zone)} 至 {when(d['ended_at'], zone)}，{STATES.get(d['state'], d['state'])}"
            for n, d in enumerate(record["dockings"], 1)
        ]
        yield _cell("接入经过", "Dockings", _some(lines), wide=True)


def _short(text: str, most: int = 100) -> str:
    """The beginning of what is longer than anybody reads on a form; the record has it whole."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _some(lines: Sequence[str], unit: str = "次", most: int = _MOST_LINES) -> list[str]:
    """The first and the last of many."""
    if len(lines) <= most:
        return list(lines)
    return [*lines[: most - 2], f"……（共 {len(lines)} {unit}）", lines[-1]]


def _offset(clocks: Sequence[Mapping[str, Any]]) -> str | None:
    """The offset that was measured last; None where none was: unknown is not zero."""
    known = [c["offset_ms"] for c in clocks if c["offset_ms"] is not None]
    if not known:
        return None
    seconds = round(abs(known[-1]) / 1000)
    if not seconds:
        return "无明显偏差（不足 1 秒）"
    return f"记录仪时钟{'快' if known[-1] > 0 else '慢'} {_length(seconds)}，已校正"


def _length(seconds: float) -> str:
    whole = round(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    parts = [(days, "天"), (hours, "小时"), (minutes, "分"), (whole % 60, "秒")]
    return " ".join(f"{n} {unit}" for n, unit in parts if n) or "0 秒"


def _contents(record: Record, zone: ZoneInfo) -> Iterable[dict[str, Any]]:
    sums, counts = record["recordings"], record["counts"]
    kinds = "、".join(f"{KINDS[kind]} {n}" for kind, n in sums["kinds"].items())
    yield _cell("音像记录", "Recordings", f"{sums['count']} 条" + (f"（{kinds}）" if kinds else ""))
    yield _cell(
        "新存文件", "New files", f"{counts['new']} 件，{sizes.human(counts['bytes'])}（{counts['bytes']:,} 字节）"
    )
    played = sums["kinds"].keys() & {"video", "audio"}
    lasts = None if sums["seconds"] is None else _length(sums["seconds"]) if played else "—"
    if sums["without_length"] and lasts:
        lasts += f"（另有 {sums['without_length']} 条时长未知）"
    yield _cell("音像总时长", "Duration", lasts)
    none = ["—"] if _nothing(record) else None
    yield _cell("记录起止", "Span of time", _span(sums, zone) or none)
    cases = [_short(" ".join(filter(None, (next(iter(c["numbers"]), ""), c["name"])))) for c in record["cases"]]
    yield _cell("案件或执法活动", "Cases", _some(cases, "件", _MOST_CASES) or none, wide=True)


def _span(sums: Mapping[str, Any], zone: ZoneInfo) -> list[str] | None:
    """From when to when; on one line within a day."""
    if not sums["from"]:
        return None
    begin, end = when(sums["from"], zone, seconds=False) or "", when(sums["until"], zone, seconds=False) or ""
    day, _, clock = end.partition(" ")
    lines = [f"{begin} 至 {clock}"] if begin.startswith(day) else [f"{begin} 起", f"{end} 止"]
    return [*lines, *([f"另有 {sums['untrusted']} 条时间不可信"] if sums["untrusted"] else [])]


def _checks(record: Record, zone: ZoneInfo) -> Iterable[dict[str, Any]]:
    counts = record["counts"]
    lines = []
    if counts["new"]:
        lines.append(f"新存 {counts['new']} 件均已写入储存器，并从介质回读核对一致")
    if counts["failed"]:
        lines.append(f"失败 {counts['failed']} 件：未能采集，仍在记录仪上")
    known = [
        f"重复 {counts['sightings']} 件" if counts["sightings"] else "",
        f"已有或不收 {counts['skipped']} 件" if counts["skipped"] else "",
    ]
    if told := "，".join(filter(None, known)):
        lines.append(f"{told}，不重复存储")
    for code in dict.fromkeys(f["code"] for f in record["findings"]):
        lines.append(FINDINGS.get(code) or board.SENTENCES.get(code, code))
    late = any(r["status"] == "late" for r in record["rulings"])
    yield _cell("核验情况", "Findings", "；".join(lines) or "没有文件", wide=True, alert=counts["failed"] > 0)
    yield _cell("24 小时时限", "Limit of Article 28", _limits(record["rulings"], zone) or ["—"], wide=True, alert=late)


def _limits(rulings: Sequence[Mapping[str, Any]], zone: ZoneInfo) -> list[str]:
    """The sums; then what is not in time, each with its limit and its reason in writing."""
    counted = {word: sum(r["status"] == status for r in rulings) for status, word in STATUSES.items()}
    lines = ["；".join(f"{word} {n} 条" for word, n in counted.items() if n)] if any(counted.values()) else []
    late = [r for r in rulings if r["status"] == "late"]
    for r in late[:_MOST_LATE]:
        reason = f"理由：{_short(r['justified'], 60)}" if r["justified"] else "尚无书面理由"
        lines.append(f"逾期：应于 {when(r['due_at'], zone, seconds=False) or '（未定）'} 前存入；{reason}")
    if len(late) > _MOST_LATE:
        lines.append(f"……（逾期共 {len(late)} 条，其余见记录文件）")
    if unsure := [r for r in rulings if r["status"] in ("untrusted", "open")]:
        lines.append(f"未定：{words(unsure[0]['reason'])[0]}")
    return lines


def _places(record: Record, zone: ZoneInfo) -> list[dict[str, Any]]:
    giver = (
        ("代交人签名", "Signature of who hands over")
        if record["on_behalf_of"]
        else ("交出人签名", "Signature of who hands over")
    )
    return [
        {"zh": giver[0], "en": giver[1], "said": _said(record["giver"], record.get("giver_signed_at"), zone)},
        {"zh": "接收人签名", "en": "Signature of the receiver", "said": _said(record["receiver"], record["confirmed_at"], zone)},
    ]  # fmt: skip


def _said(party: Mapping[str, Any] | None, at: str | None, zone: ZoneInfo) -> str | None:
    return f"{party['name']} 已于 {when(at, zone)} 在系统中确认" if party and at else None


def _annex(files: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    notes = [f"共 {len(files)} 件。新存：存入储存器的原始文件；重复：内容与已存文件一致；失败：未能采集。"]
    if len(files) > MOST_FILES:
        notes.append(f"仅列前 {MOST_FILES} 件，全部文件见记录文件 only the first are listed here, the record names all")
    return {
        "zh": "附：文件清单", "en": "Annex: files", "page": len(files) > ON_THE_PAGE, "notes": notes,
        "columns": [
            {"zh": "序号", "en": "No.", "right": True},
            {"zh": "记录仪上的文件", "en": "File on the recorder", "parts": 1},
            {"zh": "大小", "en": "Size", "right": True},
            {"zh": "结果", "en": "Outcome"},
            {"zh": "SHA-256", "en": "Digest of the bytes", "mono": True},
        ],
        "rows": [
            [str(n), _name(f), sizes.human(f["size"]), OUTCOMES.get(f["outcome"], f["outcome"]), _halves(f["sha256"])]
            for n, f in enumerate(files[:MOST_FILES], 1)
        ],
    }  # fmt: skip


def _name(file: Mapping[str, Any]) -> str:
    """The path, with the middle left out of one that nobody would read."""
    path = str(file["path"])
    return path if len(path) <= _LONGEST_PATH else f"{path[: _LONGEST_PATH // 2]} … {path[-_LONGEST_PATH // 2 :]}"


def _halves(digest: str | None) -> str:
    return "—" if not digest else f"{digest[:32]}\n{digest[32:]}"


# --- the register of a month -------------------------------------------------------------------------------------------

REGISTER: Final = (
    ("序号", "No."), ("到达时间", "Arrived"), ("执法记录仪", "Recorder"), ("交出人", "Handed over by"),
    ("证件编号", "Certificate no."), ("接收人", "Received by"), ("确认时间", "Confirmed"), ("记录", "Recordings"),
    ("文件", "Files"), ("大小", "Size"), ("逾期", "Late"), ("签收", "Signature"), ("交接编号", "Hand-over"),
)  # fmt: skip
"""Columns of the 交接登记簿."""
SIGNATURES: Final = {"waiting": "待签", "signed": "已签", "both": "双方已签"}


def register_cells(n: int, row: Mapping[str, Any], zone: ZoneInfo) -> list[str]:
    """One hand-over as a line of the register, in the order of its columns."""
    giver = row["giver"] or {"name": "", "certificate": "", "position": ""}
    name = giver["name"] + (f"（代 {row['on_behalf_of']['name']}）" if row["on_behalf_of"] else "")
    signed = SIGNATURES["both" if row["giver_signed_at"] else row["signature"]]
    return [
        str(n), minute(row["arrived_at"], zone), row["recorder"], name, giver["certificate"] or giver["position"],
        row["receiver"]["name"] if row["receiver"] else "", minute(row["signed_at"], zone), str(row["recordings"]),
        str(row["files"]), sizes.human(row["bytes"]), str(row["late"]), signed, row["handover"],
    ]  # fmt: skip


def register(
    rows: Sequence[Mapping[str, Any]], zone: ZoneInfo, *, unit: str, station: str, month: str
) -> dict[str, Any]:
    """What the form prints of a month."""
    right = {"序号", "记录", "文件", "大小", "逾期"}
    calm = {"逾期": ["0"], "签收": [SIGNATURES["signed"], SIGNATURES["both"]]}
    parts = {"执法记录仪": 4, "交出人": 5, "证件编号": 4, "接收人": 3}
    year, _, number = month.partition("-")
    sums = (
        f"共 {len(rows)} 次交接，音像记录 {sum(r['recordings'] for r in rows)} 条，新存文件 {sum(r['files'] for r in rows)} 件，"
        f"{sizes.human(sum(r['bytes'] for r in rows))}；待签 {sum(r['signature'] == 'waiting' for r in rows)} 次；"
        f"有逾期记录的 {sum(r['late'] > 0 for r in rows)} 次"
    )
    return {
        "unit": unit, "title": "执法音像记录交接登记簿", "title_en": "REGISTER OF HAND-OVERS", "number": f"{year}年{number}月",
        "foot": f"采集站 {station}", "landscape": True,
        "tables": [
            {
                "zh": f"{year} 年 {int(number)} 月", "en": "One line for each hand-over that brought new files", "notes": [sums],
                "columns": [
                    {"zh": zh, "en": en, "right": zh in right, "mono": zh == "交接编号", "calm": calm.get(zh),
                     **({"parts": parts[zh]} if zh in parts else {})}
                    for zh, en in REGISTER
                ],
                "rows": [[cell or None for cell in register_cells(n, row, zone)] for n, row in enumerate(rows, 1)],
            }
        ],
        "signatures": [],
    }  # fmt: skip
