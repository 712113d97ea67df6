"""`mediad status | recordings | show | vault`: what the station holds, for people and as JSON."""

import json
from typing import Annotated, Any

import typer

from mediad.cli import common, tell
from mediad.errors import NotFound
from mediad.model import words

recordings_app = typer.Typer(help="Recordings (音像记录), and what is said of them.", invoke_without_command=True)
vault_app = typer.Typer(help="Vaults (专用储存器).", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


def register(app: typer.Typer) -> None:
    app.command()(status)
    recordings_app.callback(invoke_without_command=True)(recordings)
    app.add_typer(recordings_app, name="recordings")
    app.command()(show)
    app.add_typer(vault_app, name="vault")


def status(as_json: AsJson = False) -> None:
    """Show sums, open dockings, alarms, and the vault's space."""
    from mediad.catalog import due, evidence, work
    from mediad.edges.board import known_board
    from mediad.wiring.bureau.alarms import alarms_of
    from mediad.wiring.look import vault_state

    config = common.load_config()
    with common.ledger(config) as ledger, ledger.catalog.read() as conn:
        totals = evidence.totals(conn)
        alarms = [
            {"at": r.at, "code": r.code, "subject": r.subject, "detail": r.detail} for r in evidence.alarms(conn, 20)
        ]
        opened = [
            {"docking": r.id, "recorder": r.label, "slot": r.slot, "since": r.opened_at}
            for r in evidence.open_dockings(conn)
        ]
        alarms += [
            {"at": r.closed_at, "code": "docking-incomplete", "subject": r.label, "detail": _left_behind(r)}
            for r in evidence.left_behind(conn, 20)
        ]
        unmirrored = work.unmirrored(conn, config.vault[0].name)
        waiting = {
            stage: {"waiting": n - tried, "put_off": tried, "since": since}
            for stage, (n, tried, since) in due.backlog(conn).items()
        }
        put_off = [
            {"stage": r.stage, "subject": r.subject, "tries": r.tries, "not_before": r.not_before, "why": r.why}
            for r in due.failing(conn)
        ]
        alarms += alarms_of(conn, config, ledger.clock())
    board = known_board(config.runtime)
    alarms += [
        {"at": None, "code": f"slot-{s['state']}", "subject": s["name"] or s["port"], "detail": s["why"]}
        for s in board["slots"] if s["state"] in ("attention", "paused")
    ]  # fmt: skip
    if board["message"]:
        alarms.append({"at": None, "code": "station", "subject": config.station.id, "detail": board["message"]})
    vaults = [vault_state(config, section) for section in config.vault]
    answer = {
        "station": config.station.id, "totals": totals, "open_dockings": opened, "alarms": alarms, "vaults": vaults,
        "unmirrored_events": unmirrored, "due": waiting, "put_off": put_off,
    }  # fmt: skip
    if as_json:
        common.print_json(answer)
        return
    common.say(f"采集站 station {config.station.id} · {config.unit.name}")
    common.say(f"  原始文件 originals {totals['assets']}, {common.size(totals['bytes'])} · 接入 dockings {totals['dockings']}"
          f" · 流转记录 custody events {totals['events']} (未镜像 not mirrored {unmirrored})")  # fmt: skip
    for v in vaults:
        common.say(
            f"  储存器 vault {v['name']}: {v['state']}, 可用 free {common.size(v['free'])} / {common.size(v['total'])}"
        )
    for stage, n in waiting.items():
        common.say(f"  {_DUE.get(stage, stage)} {stage}: 待处理 waiting {n['waiting']}, 推迟 put off {n['put_off']}")
    for p in put_off:
        if p["tries"]:
            common.say(f"  推迟 put off ({p['stage']}, {p['tries']} x): {p['subject']}: {p['why']}")
        else:
            common.say(f"  等待 waits ({p['stage']}): {p['why']}")
    for o in opened:
        common.say(f"  正在接入 docking {o['docking']}  {o['recorder']}  {o['slot']}")
    for a in alarms:
        common.say(f"  告警 alarm {a['code']}: {a['subject']}: {a['detail']}")


_DUE = {
    "probe": "探测", "assemble": "归并", "photo": "照片预览", "preview": "预览", "rule": "时限", "match": "匹配案件",
}  # fmt: skip


def _left_behind(docking: Any) -> str:
    """What to do about a docking that did not take everything: nothing else tells of it once the recorder is out of its slot."""
    folder = docking.recorder.startswith("folder:")
    again, dock_it_again = ("", "") if folder else ("，请重新插入", ", dock it again")
    if docking.state == "interrupted":
        return f"采集中断{again} its last docking broke off{dock_it_again}: {docking.id}"
    files = f"{docking.failed} files" if docking.failed else "something"
    return f"有文件未能采集{again} {files} could not be taken at its last docking{dock_it_again}: {docking.id}"


def recordings(
    context: typer.Context,
    as_json: AsJson = False,
    limit: Annotated[int, typer.Option(help="Only the newest so many (as a table).")] = 50,
    case: Annotated[str, typer.Option(help="Those of this case: any of its numbers.")] = "",
    officer: Annotated[str, typer.Option(help="Those of whom bears this number.")] = "",
    recorder: Annotated[str, typer.Option(help="Those of this recorder: its label, name, serial or key.")] = "",
    first: Annotated[str, typer.Option("--from", help="Those that start at this time or later.")] = "",
    until: Annotated[str, typer.Option(help="Those that start at this time or before, or on this day.")] = "",
    untagged: Annotated[bool, typer.Option("--untagged", help="Those that want a case and have none.")] = False,
) -> None:
    """List recordings (音像记录), all or those that are chosen."""
    if context.invoked_subcommand is not None:
        return
    from mediad.cli.tags import picked
    from mediad.wiring.bureau import listed
    from mediad.wiring.bureau.tagging import chosen

    config = common.load_config()
    some = picked(config, first, until, officer, recorder, case=case, untagged=untagged)
    with common.ledger(config) as ledger, ledger.catalog.read() as conn:
        only = set(chosen(conn, config, some)) if some else None
        rows = list(listed.recordings(conn, config, ledger.clock(), only))
    if as_json:
        common.print_json(rows)
        return
    for r in rows[-limit:]:
        mark = "★" if r["important"] else " "
        doubt = "?" if r["confidence"] == "untrusted" else " "
        lens = f" {r['lens']}" if r["lens"] else "  "
        began = f"{r['started_at'][:19].replace('T', ' ')}{doubt}{mark} {_length(r):>8}"
        kind, recorder = common.column(tell.both(words.KINDS, r["kind"]), 10), common.column(r["recorder"], 16)
        limit_words = common.column(_limit(r), 10)
        line = (
            f"{began}  {kind}  {recorder}{lens}  {r['officer'] or '-':12}  {limit_words}  {r['id']}  {r['case'] or ''}"
        )
        common.say(line.rstrip())
    common.say(
        f"{len(rows)} 条音像记录 recordings" + ("，以上为最近的 these are the newest" if len(rows) > limit else "")
    )
    for sign, says in {"★": "重要 important", "?": "时间或时长不明 time or length in doubt"}.items():
        if any(
            r["important"] if sign == "★" else r["confidence"] == "untrusted" or _length(r) == "?"
            for r in rows[-limit:]
        ):
            common.say(f"  {sign} {says}")


def _limit(recording: dict[str, Any]) -> str:
    """What its limit comes to, in one word; nothing where there is none."""
    limit = recording["deadline"]
    return words.STATUSES[limit["status"]] if limit else ""


def _length(recording: dict[str, Any]) -> str:
    """How long it is; nothing for a photo, and for what was not looked into."""
    if recording["provisional"] or recording["kind"] not in ("video", "audio"):
        return ""
    return tell.length(recording["started_at"], recording["ended_at"])


def show(
    subject: Annotated[str, typer.Argument(metavar="ID", help="An asset (ast-), recording (rec-) or docking (dck-).")],
    as_json: AsJson = False,
) -> None:
    """Show one asset, recording or docking, and its custody events (流转记录)."""
    from mediad.catalog import evidence

    config = common.load_config()
    with common.ledger(config) as ledger, ledger.catalog.read() as conn:
        answer = _asset(conn, subject) or _recording(conn, subject) or _docking(conn, subject)
        if answer is None:
            raise NotFound(f"{subject} is not in the catalogue", hint="`mediad recordings` lists what is there")
        if "assets" in answer:
            from mediad.wiring.bureau import listed

            answer |= listed.told_of(conn, config, answer["id"], ledger.clock())
        answer["events"] = [
            {"seq": e.seq, "at": e.at, "actor": e.actor, "kind": e.kind} for e in evidence.events_of(conn, subject)
        ]
    if as_json:
        common.print_json(answer)
        return
    told = tell.asset if "sha256" in answer else tell.recording if "assets" in answer else tell.docking
    for line in told(answer, config.unit.zone):
        common.say(line)


def _asset(conn: Any, subject: str) -> dict[str, Any] | None:
    from mediad.catalog import evidence, recordings
    from mediad.model.layout import printable

    row = evidence.asset(conn, subject)
    if row is None:
        return None
    return {
        "id": row.id, "sha256": row.sha256, "sm3": row.sm3, "size": row.size, "kind": row.kind,
        "original_path": printable(row.path), "docking": row.docking, "stored_at": row.stored_at,
        "captured": {"value": row.captured_at, "source": row.captured_source, "confidence": row.captured_confidence},
        "probe": recordings.probes_of(conn, [subject]).get(subject),
        "timing": recordings.timing_of(conn, subject),
        "replicas": [
            {"vault": r.vault, "key": r.key, "method": r.method, "verified_at": r.verified_at}
            for r in evidence.replicas(conn, subject)
        ],
        "sightings": [
            {"docking": s.docking, "recorder": s.label, "path": printable(s.path), "outcome": s.outcome}
            for s in evidence.sightings(conn, subject)
        ],
    }  # fmt: skip


def _recording(conn: Any, subject: str) -> dict[str, Any] | None:
    """A recording, also under an id that it had before it was joined: with what was found of its segments and its preview."""
    from mediad.catalog import evidence, previews, recordings

    found = recordings.recording_of(conn, subject) if subject.startswith("rec-") else None
    row = evidence.recording(conn, found) if found else None
    if row is None:
        return None
    joined = json.loads(row.pop("joined") or "{}")
    preview = previews.outcome(conn, row["id"])
    made = json.loads(preview.detail) if preview is not None else {}
    probes = recordings.probes_of(conn, row["assets"])
    timings = {asset: recordings.timing_of(conn, asset) or {} for asset in row["assets"]}
    beside = recordings.probes_of(conn, [t["sidecar"] for t in timings.values() if t.get("sidecar")])
    placed = [p for p in (*probes.values(), *beside.values()) if "track" in p or "position" in p]
    findings = [
        {"code": r["code"], "subject": asset, "detail": r["detail"]}
        for asset in row["assets"]
        for r in [
            *probes.get(asset, {}).get("remarks", ()),
            *timings[asset].get("remarks", ()),
        ]
    ]
    findings += [{**remark, "subject": row["id"]} for remark in joined.get("remarks", ())]
    if preview is not None and preview.state == "failed":
        findings.append({"code": made["code"], "subject": row["id"], "detail": made["detail"]})
    return {
        **{("recorder" if name == "label" else name): value for name, value in row.items()},
        "gaps": joined.get("gaps", []),
        "track": next((p["track"] for p in placed if "track" in p), None),
        "position": next((p["position"] for p in placed if "position" in p), None),
        "beside": [{"recording": r.id, "lens": r.lens} for r in previews.beside(conn, row["id"])],
        "preview": None
        if preview is None
        else {"state": preview.state, "at": preview.at, "files": made.get("files", [])},
        "findings": findings,
    }


def _docking(conn: Any, subject: str) -> dict[str, Any] | None:
    from mediad.catalog import evidence

    row = evidence.docking(conn, subject)
    return None if row is None else tell.docking_row(row)


@vault_app.command("list")
def vault_list(as_json: AsJson = False) -> None:
    """List the vaults and their space."""
    from mediad.wiring.look import vault_state

    config = common.load_config()
    answer = [vault_state(config, section) for section in config.vault]
    if as_json:
        common.print_json(answer)
        return
    for v in answer:
        common.say(
            f"{v['name']}  {v['kind']}  {v['state']}  {v['path']}  free {common.size(v['free'])} / {common.size(v['total'])}"
        )
