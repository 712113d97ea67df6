"""`mediad profile`: which profiles there are, and what one makes of a card, without taking anything."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from mediad import config as configuration
from mediad.cli import common, tell
from mediad.model.evidence import Kind
from mediad.model.facts import b64
from mediad.model.instants import rfc3339
from mediad.model.layout import printable
from mediad.model.probe import Remark
from mediad.model.profile import Profile

if TYPE_CHECKING:
    from mediad.wiring.profile import CardLook, FileLook

profile_app = typer.Typer(help="Recorder profiles (docs/profiles.md).", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]

_ZONE = "Asia/Shanghai"
"""As long as there is no configuration, which names the unit's."""
_CHOSEN = {
    "named": "指定 named",
    "matched": "自动匹配 the most particular that fits",
    "built-in": "无匹配 none fits: the built-in one",
}
_LEFT = {"excluded by": "配置排除", "not included by": "配置未列入"}
_REMARKS = {
    "times-disagree": "时间不一致",
    "clock-ahead": "时钟偏快",
    "hour-twice": "重复的一小时",
    "place-unclear": "次序不明",
    "members-overlap": "时间重叠",
}


def register(app: typer.Typer) -> None:
    app.add_typer(profile_app, name="profile")


def _settings() -> tuple[list[Profile], ZoneInfo]:
    """The profiles and the unit's zone by the configuration; without any, the shipped ones. Raises ConfigError."""
    from mediad.wiring.profile import profiles_of

    file = configuration.config_file(common.selected_config)
    if common.selected_config is None and not file.exists():
        common.tell(f"mediad: {file} does not exist: the shipped profiles and {_ZONE} count")
        return profiles_of([configuration.shipped(configuration.SHIPPED_PROFILES)]), ZoneInfo(_ZONE)
    config = common.load_config()
    return profiles_of(config.devices.profiles), config.unit.zone


@profile_app.command("list")
def profile_list(as_json: AsJson = False) -> None:
    """List the profiles, in the order in which they are preferred where several fit."""
    profiles, _ = _settings()
    ordered = sorted(profiles, key=lambda p: (p.match.keys, p.rank, p.name), reverse=True)
    if as_json:
        common.print_json(
            [
                {"name": p.name, "title": p.title, "attach": p.attach, "keys": p.match.keys, "rank": p.rank}
                for p in ordered
            ]
        )
        return
    for p in ordered:
        common.say(f"{p.name:18}  {p.attach:8}  {p.match.keys} 项 keys  rank {p.rank:>4}  {p.title}")


@profile_app.command("show")
def profile_show(
    name: Annotated[str, typer.Argument(help="A profile's name, or its file (*.toml).")], as_json: AsJson = False
) -> None:
    """Show every key of a profile as it counts, defaults and all."""
    from mediad.edges.profiles import as_keys
    from mediad.wiring.profile import profile_called

    profiles, _ = _settings()
    keys = as_keys(profile_called(profiles, name))
    if as_json:
        common.print_json(keys)
        return
    for key, value in keys.items():
        if isinstance(value, list):
            common.say(f"{key}:")
            for item in value:
                common.say(f"    {item}")
        else:
            common.say(f"{key}: {'' if value is None else str(value).lower() if isinstance(value, bool) else value}")


@profile_app.command("test")
def profile_test(
    path: Annotated[
        Path,
        typer.Argument(help="A mounted card, or a folder made like one.", parser=common.given_path, metavar="PATH"),
    ],
    profile: Annotated[
        str, typer.Option(help="Use this profile (a name, or a file *.toml), whatever would match.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="List at most so many files (as a table).")] = 200,
    as_json: AsJson = False,
) -> None:
    """Show what a profile makes of a card, file by file, without taking anything."""
    from mediad.wiring.profile import look_at
    from mediad.wiring.station import now

    profiles, zone = _settings()
    look = look_at(profiles, path, zone, now(), profile)
    if as_json:
        common.print_json(_as_json(look))
    else:
        _print(look, limit)


# --- JSON -------------------------------------------------------------------------------------------------------------


def _as_json(look: CardLook) -> dict[str, Any]:
    return {
        "path": common.plain(look.path),
        "profile": look.profile.name,
        "chosen": look.chosen,
        "zone": look.zone.key,
        "file_zone": look.file_zone,
        "profiles": [
            {
                "name": v.profile.name, "fits": v.fits, "rank": v.profile.rank, "keys": [
                    {"key": k.key, "wanted": k.wanted, "found": common.plain(k.found), "fits": k.fits} for k in v.keys
                ],
            }
            for v in look.verdicts
        ],
        "files": [_file_json(f, look.zone) for f in look.files],
        "rules": [{"key": r.key, "rule": r.rule, "files": r.files} for r in look.rules],
        "takes": [
            {
                "files": [_shown(s.asset) for s in t.members],
                "started_at": rfc3339(t.started_at, look.zone),
                "ended_at": rfc3339(t.ended_at, look.zone),
                "trusted": t.trusted,
                "gaps": [g.seconds for g in t.gaps],
                "remarks": [{"code": r.code, "detail": r.detail} for r in t.remarks],
            }
            for t in look.takes
        ],
        "more": look.more,
    }  # fmt: skip


def _file_json(f: FileLook, zone: ZoneInfo) -> dict[str, Any]:
    timed, name = f.timed, f.name
    return {
        "path": printable(f.path), "path_b64": b64(f.path), "size": f.size, "taken": not f.why, "why": f.why,
        "kind": f.kind.value, "device": name.device, "officer": name.officer,
        "started_at": rfc3339(timed.started_at, zone) if timed else None,
        "ended_at": rfc3339(timed.ended_at, zone) if timed else None,
        "source": timed.source if timed else None, "confidence": timed.confidence if timed else None,
        "name_time": rfc3339(name.time, zone) if name.time else None, "seq": name.seq, "lens": name.lens,
        "important": name.important, "sidecar_of": printable(f.describes) if f.describes else None,
    }  # fmt: skip


def _shown(path: str) -> str:
    return printable(path.encode("utf-8", "surrogateescape"))


# --- for people -------------------------------------------------------------------------------------------------------

_COLUMNS = (
    "文件 file",
    "收否 taken",
    "设备 device",
    "人员 officer",
    "时间 time",
    "依据 by",
    "序号 seq",
    "镜头 lens",
    "备注 notes",
)


def _print(look: CardLook, limit: int) -> None:
    common.say(f"配置 profile {look.profile.name} {look.profile.title}: {_CHOSEN[look.chosen]}")
    for v in look.verdicts:
        mark = "符合 fits" if v.fits else "不符 no"
        keys = "; ".join(f"{k.key} {k.wanted} " + ("✓" if k.fits else f"✗ ({k.found or '无 none'})") for k in v.keys)
        common.say(f"  {mark:8}  {v.profile.name}: {keys}")
    clock = f"; 卡上文件时间 file times: {look.file_zone}" if look.file_zone else ""
    common.say(f"时区 zone {look.zone.key}{clock}")
    _rows([_row(f, look.zone) for f in look.files[:limit]])
    if len(look.files) > limit:
        common.say(f"……另有 {len(look.files) - limit} 个文件 more files: --limit, --json")
    joined = [t for t in look.takes if len(t.members) > 1]
    for t in joined:
        common.say(f"一段 take {rfc3339(t.started_at, look.zone)[:19]} – {rfc3339(t.ended_at, look.zone)[11:19]}:"
                   f" {len(t.members)} 个文件 files: {', '.join(_shown(s.asset) for s in t.members)}")  # fmt: skip
        for r in t.remarks:
            common.say(f"  {_remark(r)}")
    if look.files and (unused := [r for r in look.rules if not r.files]):
        common.say(
            "未用到的规则 rules that no file here needed (mistyped, hidden by an earlier one, or not on this card):"
        )
        for rule in unused:
            common.say(f"  {rule.key}: {rule.rule}")
    common.say(_sum(look, len(joined)))


def _row(f: FileLook, zone: ZoneInfo) -> tuple[str, ...]:
    path = printable(f.path)
    if f.why or f.timed is None:
        return (
            path,
            "不收 no",
            "",
            "",
            "",
            "",
            "",
            "",
            next((z + " " for w, z in _LEFT.items() if f.why.startswith(w)), "") + f.why,
        )
    n, t = f.name, f.timed
    when = rfc3339(t.started_at, zone)[:19].replace("T", " ") if t.trusted else ""
    by = tell.both(tell.SOURCES, t.source) if t.trusted else tell.both(tell.CONFIDENCES, t.confidence)
    notes = [
        "★ 重要 important" if n.important else "",
        f"从属 sidecar of {printable(f.describes.rpartition(b'/')[2])}" if f.describes else "",
        *(f"{tell.both(tell.SOURCES, c.source)} 不可能 cannot be: {c.why}" for c in t.candidates if c.why),
        *(_remark(r) for r in t.remarks if r.code != "no-true-time" and f.kind is not Kind.DATA),
    ]
    return (
        path, "收 yes", n.device, n.officer, when, by,
        "" if n.seq is None else str(n.seq), n.lens, "; ".join(note for note in notes if note),
    )  # fmt: skip


def _remark(remark: Remark) -> str:
    return f"{_REMARKS.get(remark.code, remark.code)}: {remark.detail}"


def _rows(rows: list[tuple[str, ...]]) -> None:
    """A table on a terminal, tab-separated lines in a pipe."""
    if not sys.stdout.isatty():
        common.say("# " + " | ".join(_COLUMNS))
        for row in rows:
            common.say(" | ".join(cell or "-" for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    seq, lens = (any(row[at] for row in rows) for at in (6, 7))  # most recorders have no second lens
    table = Table(box=None, header_style="bold", pad_edge=False, expand=True)
    table.add_column("文件\nfile", overflow="fold", ratio=3)
    table.add_column("收否\ntaken", no_wrap=True)
    table.add_column("设备/人员\ndevice", no_wrap=True)
    table.add_column("时间 time\n依据 by", no_wrap=True)
    table.add_column("序号\nseq", no_wrap=True) if seq else None
    table.add_column("镜头\nlens", no_wrap=True) if lens else None
    table.add_column("备注\nnotes", overflow="fold", ratio=2)
    for path, taken, device, officer, when, by, number, side, notes in rows:
        one = [path, taken, _stacked(device, officer), _stacked(when, by), *[number] * seq, *[side] * lens, notes]
        style = "dim" if taken.startswith("不") else ""
        table.add_row(*(Text("\n".join(map(common.plain, cell.split("\n")))) for cell in one), style=style)
    Console(highlight=False).print(table)


def _stacked(upper: str, lower: str) -> str:
    return f"{upper or '-'}\n{lower}" if lower else upper


def _sum(look: CardLook, joined: int) -> str:
    kinds = Counter(f.kind.value for f in look.files if not f.why)
    left = sum(1 for f in look.files if f.why)
    told = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
    unnamed = sum(1 for f in look.files if not f.why and f.kind.value != "data" and f.name.time is None)
    parts = [f"收 taken {sum(kinds.values())} ({told or '-'})", f"不收 left {left}", f"合并 joined {joined}"]
    parts += [f"文件名无时间 names without a time {unnamed}"] if unnamed else []
    parts += ["未看完 there is more"] if look.more else []
    return (
        "; ".join(parts)
        + " — 未采集任何文件 nothing was taken; 时长未知 lengths are not known before the bytes are read"
    )
