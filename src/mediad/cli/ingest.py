"""`mediad ingest`: dock any mounted card or folder once, and see it through to stored."""

import gc
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from mediad.cli import common
from mediad.cli.progress import for_terminal
from mediad.errors import Busy, UsageError


def register(app: typer.Typer) -> None:
    app.command()(ingest)


def ingest(
    path: Annotated[
        Path, typer.Argument(help="A mounted card, or any folder.", parser=common.given_path, metavar="PATH")
    ],
    recorder: Annotated[str, typer.Option(help="Serial number of the recorder (a claim, kept as such).")] = "",
    officer: Annotated[str, typer.Option(help="Certificate number of who hands over (a claim, kept as such).")] = "",
    channel: Annotated[str, typer.Option(help="body-camera, terminal, cctv or manual.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Dock PATH once: copy, verify, record, hand over. Exit code 1 if a file could not be taken."""
    from mediad import telemetry
    from mediad.model.evidence import CHANNELS
    from mediad.wiring.docking import dock_path
    from mediad.wiring.station import Station

    if channel and channel not in CHANNELS:
        raise UsageError(f"{channel} is no channel", hint=f"one of {', '.join(CHANNELS)}")
    # What was imported stays for good; without this the collector walks through it again and again while lists are made.
    gc.freeze()
    gc.set_threshold(50_000)
    config = common.load_config()
    telemetry.set_up_logs("warning")
    station = Station(config, wait_for_space=False)
    stop_on_signal(station.stop)
    try:
        station.finish_open_work()
        with for_terminal(path.name) as progress:
            result = dock_path(station, path, progress, recorder=recorder, officer=officer, channel=channel)
    finally:
        station.close()
    if as_json:
        common.print_json(_as_json(result.record))
    else:
        _print(result.record)
    if result.error is not None:
        raise result.error
    if result.state != "complete":
        sys.exit(1)


def stop_on_signal(stop: threading.Event) -> Callable[[], bool]:
    """Let the first signal end what is under way in order, and the second at once. Returns whether there was one."""
    told: list[int] = []

    def handler(number: int, _frame: FrameType | None) -> None:
        if told:
            raise Busy("stopped twice", hint="what is stored stays stored")
        told.append(number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)
    return lambda: bool(told)


_FIELDS = ("path", "path_b64", "size", "sha256", "asset", "outcome", "why", "volume", "key")


def _as_json(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "docking": record["docking"],
        "recorder": record["recorder"]["key"],
        "state": record["state"],
        **record["counts"],
        "findings": record["findings"],
        "files": [{k: f.get(k) for k in _FIELDS} for f in record["files"]],
    }


def _print(record: dict[str, Any]) -> None:
    c = record["counts"]
    state = {"complete": "完成 complete", "incomplete": "不完整 incomplete", "interrupted": "中断 interrupted"}
    common.say(f"交接 hand-over  {record['docking']}")
    stored = f"新存 {c['new']} new ({common.size(c['bytes'])}), 重复 {c['sightings']} seen before under another name"
    common.say(f"  {state[record['state']]}: {stored}, 跳过 {c['skipped']} skipped, 失败 {c['failed']} failed")
    for f in record["files"]:
        if f["outcome"] == "failed":
            common.say(f"  失败 failed: {f['path']}: {f['why']}")
    for f in record["findings"]:
        common.say(f"  注意 note: {f['detail']} ({f['code']})")
