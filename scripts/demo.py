"""`make demo`: a station under var/demo takes two sample recorders and a drop folder, and shows what came of it.

Makes two cards with short real clips and photos, starts the daemon, docks both cards at once beside it (there is no USB
here), puts one file into a watched folder, and sums up. On a terminal it then keeps running until Ctrl-C.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import ffmpeg
from rich.box import ROUNDED
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / "var/demo"
CONFIG = HOME / "mediad.toml"
CARDS = HOME / "cards"
INBOX = HOME / "inbox"
VAULT = HOME / "vault"
CATALOGUE = HOME / "catalog.db"
DAEMON_LOG = HOME / "daemon.log"
STATION = "demo-01"
ZONE = ZoneInfo("Asia/Shanghai")
START_SECONDS = 60
STOP_SECONDS = 100
PATIENCE_SECONDS = 300
"""Longer than any docking of the demo should take."""

SETTINGS = """\
# The station of `make demo`, written anew at each run. Every setting is described in docs/settings.md.
[unit]
name = "演示区卫生监督所"
timezone = "Asia/Shanghai"

[station]
id = "{station}"

[catalog]
url = "sqlite:///catalog.db"

[[vault]]
name = "local"
path = "vault"
volatile = true

[ingest]
reserve_bytes = {reserve}
reserve_percent = 0.0

[devices]
usb = {usb}
unknown = "ignore"    # a demo does not take the files of whatever is plugged into this machine
profiles = ["{profiles}"]

[[folder]]
name = "hall-cctv"
path = "inbox"
channel = "cctv"
settle_seconds = 1.0

[http]
listen = "127.0.0.1:{port}"
"""


class DemoError(Exception):
    """What makes the demo impossible, in a sentence."""


@dataclass
class Card:
    """A sample recorder: its serial, what people call it, and its files as name, seconds (0: a photo) and age in hours."""

    serial: str
    name: str
    folder: str
    clips: Sequence[tuple[str, int, float]]
    color: str
    profile: str
    files: int = 0
    size: int = 0
    child: subprocess.Popen[bytes] | None = None
    answer: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return CARDS / self.serial


TWO_CARDS = (
    Card(
        "8888001", "01号 执法记录仪", "DCIM/100MEDIA",
        (
            ("{serial}_000123_{t:%Y%m%d%H%M%S}_0001.mp4", 8, 30),
            ("{serial}_000123_{t:%Y%m%d%H%M%S}_0002IMP.mp4", 10, 30 - 8 / 3600),  # goes on where the first ends
            ("{serial}_000123_{t:%Y%m%d%H%M%S}_0003.jpg", 0, 5),
            ("{serial}_000123_{t:%Y%m%d%H%M%S}_0004.mp4", 6, 4.8),
        ),
        "testsrc2",
        "gat947",
    ),
    Card(
        "DSJ-X5-0042", "02号 现场记录仪", "DCIM/100CVR",
        (
            ("{t:%Y}_{t:%m%d}_{t:%H%M%S}_001A.MP4", 9, 52),
            ("{t:%Y}_{t:%m%d}_{t:%H%M%S}_002A.MP4", 7, 27),
            ("IMG_{t:%Y%m%d}_{t:%H%M%S}.jpg", 0, 3.5),
            ("IMG_{t:%Y%m%d}_{t:%H%M%S}.jpg", 0, 3.4),
        ),
        "smptehdbars",
        "generic-dcim",
    ),
)  # fmt: skip


# --- sample cards -----------------------------------------------------------------------------------------------------


def clip(path: Path, seconds: int, source: str, note: str, *, big: bool = True) -> None:
    """A real clip: H.264 picture with a little noise, so that it has the size of footage, and an AAC tone."""
    size, rate = ("1280x720", 15) if big else ("640x360", 10)
    picture = ffmpeg.input(f"{source}=size={size}:rate={rate}:duration={seconds}", f="lavfi").filter(
        "noise", alls=9, allf="t"
    )
    tone = ffmpeg.input(f"sine=frequency=440:duration={seconds}", f="lavfi")
    part = path.with_name(path.name + ".part")
    job = ffmpeg.output(
        picture, tone, str(part), f="mp4", vcodec="libx264", preset="ultrafast", crf=26, pix_fmt="yuv420p", acodec="aac",
        metadata=f"comment={note}",
    )  # fmt: skip
    encode(job, part, path)


def photo(path: Path, source: str, note: str) -> None:
    part = path.with_name(path.name + ".part")
    picture = ffmpeg.input(f"{source}=size=1920x1080:rate=1", f="lavfi").filter(
        "noise", alls=12, all_seed=sum(map(ord, note))
    )
    job = ffmpeg.output(
        picture, str(part), f="image2", vcodec="mjpeg", vframes=1, **{"q:v": 4}, update=1, metadata=f"comment={note}"
    )
    encode(job, part, path)


def encode(job: Any, part: Path, path: Path) -> None:
    try:
        ffmpeg.run(job, quiet=True, overwrite_output=True)
    except FileNotFoundError:
        raise DemoError("ffmpeg is missing: run `make setup`") from None
    except ffmpeg.Error as e:
        raise DemoError(f"ffmpeg could not make {path.name}: {e.stderr.decode(errors='replace')[-400:]}") from e
    part.rename(path)


def make_card(card: Card, say: Any) -> None:
    """Fill a card once; a second run finds it as it was, like a recorder that is docked again."""
    ready = card.path.with_suffix(".ready")
    if not ready.exists():
        say(f"正在制作样卡 making sample card {card.serial} ...")
        shutil.rmtree(card.path, ignore_errors=True)
        now = datetime.now(ZONE).replace(microsecond=0)
        folder = card.path / card.folder
        folder.mkdir(parents=True)
        for name, seconds, age in card.clips:
            taken = now - timedelta(hours=age)
            path = folder / name.format(serial=card.serial, t=taken)
            if seconds:
                clip(path, seconds, card.color, path.name)
            else:
                photo(path, card.color, path.name)
            os.utime(path, (taken.timestamp() + seconds,) * 2)
        buffer = card.path / "DCIM/SEGTEMP/prerecord.mp4"  # a pre-record buffer is no recording: it is listed and left
        buffer.parent.mkdir()
        buffer.write_bytes(b"\0" * 4096)
        ready.touch()
    kept = [p.stat().st_size for p in card.path.rglob("*") if p.is_file() and "SEGTEMP" not in p.parts]
    card.files, card.size = len(kept), sum(kept)


# --- the station ------------------------------------------------------------------------------------------------------


def mediad(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "mediad.cli.main", "--config", str(CONFIG), *map(str, arguments)]


def ask(*arguments: str) -> Any:
    """The JSON answer of a command; None if this version has no such command."""
    done = subprocess.run(mediad(*arguments, "--json"), capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        if "No such command" in done.stderr:
            return None
        raise DemoError(f"mediad {' '.join(arguments)} failed: {done.stderr.strip()}")
    return json.loads(done.stdout)


def configure() -> int:
    """Write the configuration with a free port; returns the port."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
    usable = Path("/run/udev/control").exists() and Path("/run/dbus/system_bus_socket").exists()
    text = SETTINGS.format(
        station=STATION, port=port, usb=str(usable).lower(), profiles=ROOT / "config/recorders", reserve=64 * 2**20
    )
    CONFIG.write_text(text, encoding="utf-8")
    return port


def fetch(port: int, page: str) -> tuple[int, str]:
    """A page of the daemon; status 0 while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()
    except OSError:
        return 0, ""


@contextmanager
def daemon(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The real daemon as a child, ready; stopped in order at the end."""
    with DAEMON_LOG.open("ab") as log:
        child = subprocess.Popen(mediad("run"), stdout=log, stderr=log, start_new_session=True)
    try:
        end = time.monotonic() + START_SECONDS
        while fetch(port, "/readyz")[0] != 200:
            if child.poll() is not None or time.monotonic() > end:
                tail = DAEMON_LOG.read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
                raise DemoError("the daemon did not become ready:\n  " + "\n  ".join(tail))
            time.sleep(0.1)
        yield child
    finally:
        stop(child)


def stop(child: subprocess.Popen[bytes]) -> None:
    """Ask a child to stop in order; kill it only if it does not. A second Ctrl-C does not hurry it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def rows(query: str, *values: Any) -> list[tuple[Any, ...]]:
    """Rows of the catalogue, read beside the daemon."""
    with closing(sqlite3.connect(f"file:{CATALOGUE}?mode=ro", uri=True, timeout=10)) as db:
        return db.execute(query, values).fetchall()


# --- docking, watched -------------------------------------------------------------------------------------------------


@dataclass
class State:
    """How far one source is: files and bytes stored, and how its docking ended, if it did."""

    files: int
    size: int
    ended: str = ""


def state_of(label: str, since: str) -> State:
    """How far the newest docking of a source is, from the catalogue and the staging area."""
    found = rows(
        "SELECT id, state, new + sightings + skipped FROM docking WHERE label = ? AND opened_at >= ? ORDER BY opened_at DESC",
        label, since,
    )  # fmt: skip
    if not found:
        return State(0, 0)
    docking, state, files = found[0]
    stored, size = rows("SELECT count(*), coalesce(sum(size), 0) FROM asset WHERE docking = ?", docking)[0]
    if state != "open":
        return State(files, size, state)
    for folder, _, names in os.walk(VAULT / ".staging" / STATION / docking):
        for name in names:
            try:
                size += os.stat(os.path.join(folder, name)).st_size
            except OSError:  # it has just moved into the vault
                continue
    return State(stored, size)


def dock_all(console: Console, cards: Sequence[Card], dropped: Path) -> None:
    """Dock both cards at once and let the daemon find the dropped file; show how far each is until all are done."""
    since = datetime.now(tz=ZoneInfo("UTC")).isoformat()[:19]
    for card in cards:
        log = (HOME / f"ingest-{card.serial}.log").open("wb")
        command = mediad("ingest", card.path, "--recorder", card.serial, "--json")
        with log, (HOME / f"ingest-{card.serial}.json").open("wb") as out:
            card.child = subprocess.Popen(command, stdout=out, stderr=log, start_new_session=True)
    bars = Progress(
        TextColumn("  [bold]{task.description}"), BarColumn(36), TextColumn("{task.fields[count]} 个文件 files"),
        DownloadColumn(binary_units=True), TextColumn("[bold green]{task.fields[word]}"), console=console,
    )  # fmt: skip
    tasks = {c.serial: bars.add_task(c.name, total=c.size, count=f"0/{c.files}", word="") for c in cards}
    tasks["hall-cctv"] = bars.add_task("大厅监控 hall-cctv", total=dropped.stat().st_size, count="0/1", word="")
    said: dict[str, str] = {}
    end = time.monotonic() + PATIENCE_SECONDS
    with Live(bars, console=console, refresh_per_second=8) if console.is_terminal else bars_off():
        waiting = set(tasks)
        while waiting:
            if time.monotonic() > end:
                raise DemoError(f"these did not end within {PATIENCE_SECONDS} s: {', '.join(sorted(waiting))}")
            for label in sorted(waiting):
                now = state_of(label, since)
                card = next((c for c in cards if c.serial == label), None)
                if card is None:
                    done, total = bool(now.ended), dropped.stat().st_size
                else:
                    done, total = card.child is not None and card.child.poll() is not None, card.size
                left = f"{min(now.files, card.files if card else 1)}/{card.files if card else 1}"
                word = ("可取走 safe to take" if card else "已采集 taken") if done else ""
                bars.update(tasks[label], completed=total if done else now.size, count=left, word=word)
                line = f"  {label:12} {left} 个文件 files {word}".rstrip()
                if not console.is_terminal and said.get(label) != line:
                    said[label] = line
                    console.print(line)
                if done:
                    waiting.discard(label)
            time.sleep(0.1)
    for card in cards:
        finish(card)


@contextmanager
def bars_off() -> Iterator[None]:
    yield


def finish(card: Card) -> None:
    """Read what an ingest answered."""
    code = card.child.wait() if card.child else None
    out = HOME / f"ingest-{card.serial}.json"
    if code != 0:
        log = (HOME / f"ingest-{card.serial}.log").read_text(encoding="utf-8", errors="replace")
        raise DemoError(f"the docking of {card.serial} ended with {code}: {log.strip()[-600:]}")
    card.answer = json.loads(out.read_bytes())


def derive(console: Console) -> None:
    """What the second daemon does behind an ingest, done here at once."""
    console.print("正在探测、归并、生成预览 probing, finding takes, making previews ...")
    done = subprocess.run(mediad("derive"), stdout=subprocess.DEVNULL, check=False)
    if done.returncode not in (0, 1):
        raise DemoError(f"mediad derive ended with {done.returncode}")


# --- summary ----------------------------------------------------------------------------------------------------------


def summary(console: Console, cards: Sequence[Card], port: int, since: str) -> bool:
    """Print what came of it; returns whether everything holds."""
    console.print()
    handovers(console, since)
    recordings(console)
    places(console)
    good = judged(console)
    metrics(console, port)
    seen = [c for c in cards if not c.answer.get("new")]
    if seen:
        names = "、".join(c.name for c in seen)
        console.print(f"{names}: 再次接入，已存文件不再读取 docked again, nothing was read twice\n")
    return good


def head(chinese: str, english: str) -> str:
    return f"[bold]{chinese}[/bold] [dim]{english}[/dim]"


def new_table(chinese: str, english: str, *columns: tuple[str, Mapping[str, Any]]) -> Table:
    table = Table(title=head(chinese, english), title_justify="left", title_style="", border_style="dim", box=ROUNDED)
    for name, options in columns:
        table.add_column(name, **options)
    return table


def handovers(console: Console, since: str) -> None:
    """The hand-over records of this run: what each says, and where it lies."""
    right = {"justify": "right"}
    table = new_table(
        "交接记录", "hand-over records", ("来源 source", {}), ("状态 state", {}), ("新存 new", right), ("重复 seen", right),
        ("已有或不收 known, left", right), ("失败 failed", right),
    )  # fmt: skip
    words = {"complete": "[green]完成 complete[/]", "incomplete": "[red]不完整 incomplete[/]"}
    listed = [d for d in reversed(ask("handover", "list")) if d["opened_at"] >= since]
    for d in listed:
        state = words.get(d["state"], f"[yellow]{d['state']}[/]")
        table.add_row(d["label"], state, *(str(d[k]) for k in ("new", "sightings", "skipped", "failed")))
    console.print(table)
    for d in listed:
        record = json.loads((VAULT / d["handover_key"]).read_bytes())
        line(console, f"{VAULT.relative_to(ROOT) / d['handover_key']}")
        for f in [f for f in record["files"] if f.get("sha256")][:2]:
            line(console, f"  {f['path']}  {f['size'] / 2**20:.1f} MiB  SHA-256 {f['sha256'][:16]}…")
        for f in [f for f in record["files"] if f["outcome"] == "rejected"]:
            line(console, f"  {f['path']}  不收 left on the recorder: 预录缓冲 its pre-record buffer")
    console.print()


def line(console: Console, text: str) -> None:
    """A detail; never broken, so that paths can be copied."""
    console.print(Text("  " + text, style="dim"), soft_wrap=True)


def recordings(console: Console) -> None:
    table = new_table(
        "音像记录", "recordings", ("开始 start", {"no_wrap": True}), ("时长 s", {"justify": "right"}), ("类型", {"no_wrap": True}),
        ("段", {"justify": "right"}), ("记录仪 recorder", {"no_wrap": True}), ("人员 officer", {"no_wrap": True}),
        ("重要", {"justify": "center"}), ("预览", {"justify": "center"}),
        ("编号 id", {"overflow": "ellipsis", "no_wrap": True, "max_width": 20}),
    )  # fmt: skip
    kinds = {"video": "视频", "photo": "照片", "audio": "音频", "data": "数据"}
    listed = sorted(ask("recordings"), key=lambda r: r["started_at"])
    for r in listed[-12:]:
        mark = "[yellow]★[/]" if r["important"] else ""
        started = r["started_at"][:19].replace("T", " ")
        length = datetime.fromisoformat(r["ended_at"]) - datetime.fromisoformat(r["started_at"])
        shown = "[green]✓[/]" if (VAULT / "derived" / r["id"] / "about.json").exists() else ""
        seconds = f"{length.total_seconds():.0f}" if r["kind"] in ("video", "audio") else ""
        table.add_row(
            started,
            seconds,
            kinds[r["kind"]],
            str(len(r["assets"])),
            r["recorder"],
            r["officer"] or "-",
            mark,
            shown,
            r["id"],
        )
    console.print(table)
    made = [r for r in listed if len(r["assets"]) > 1 and (VAULT / "derived" / r["id"] / "proxy.mp4").exists()]
    for r in made[-1:]:
        line(console, f"预览 preview {(VAULT / 'derived' / r['id'] / 'proxy.mp4').relative_to(ROOT)}")
    if len(listed) > 12:
        line(console, f"共 {len(listed)} 条，以上为最近 12 条 the newest 12 of {len(listed)}")
    console.print()


def places(console: Console) -> None:
    """Where the originals lie."""
    sizes = [p.stat().st_size for p in (VAULT / "originals").rglob("*") if p.is_file() and p.name != "record.json"]
    console.print(
        f"{head('原始文件', 'originals')}  {len(sizes)} 个文件 files, {sum(sizes) / 2**20:.1f} MiB, 只读 read-only"
    )
    line(console, f"{(VAULT / 'originals').relative_to(ROOT)}/")
    for (key,) in rows("SELECT key FROM replica ORDER BY verified_at DESC LIMIT 1"):
        line(console, f"例如 such as {key.removeprefix('originals/')}")
    console.print()


def judged(console: Console) -> bool:
    """Let the auditor look; whether it found nothing."""
    report = ask("fsck")
    title = head("核查", "mediad fsck")
    if report is None:
        console.print(f"{title}  [dim]本版本尚无此命令 not in this version[/dim]\n")
        return True
    if report["findings"]:
        codes = ", ".join(f"{f['code']} {f['subject']}" for f in report["findings"])
        console.print(f"{title}  [bold red]发现问题 findings[/]: {codes}\n")
        return False
    console.print(f"{title}  [green]一切正常 everything holds[/] ({report['checked']} 项已核查 checked)\n")
    return True


SHOWN = (
    "mediad_assets", "mediad_stored_bytes_total", "mediad_dockings_total", "mediad_custody_events_total", "mediad_vault_up",
)  # fmt: skip


def metrics(console: Console, port: int) -> None:
    """The address, and a few of what is there."""
    status, page = fetch(port, "/metrics")
    if status != 200:
        raise DemoError(f"/metrics answered {status}")
    console.print(f"{head('监控指标', 'metrics')}  http://127.0.0.1:{port}/metrics")
    for sample in page.splitlines():
        if sample.startswith(SHOWN):
            name, _, value = sample.rpartition(" ")
            line(console, f"{name} {float(value):.0f}")
    console.print()


# --- the story --------------------------------------------------------------------------------------------------------


def register(cards: Sequence[Card]) -> None:
    """Register both recorders, once."""
    known = {key for r in ask("recorder", "list") for key in r["keys"]}
    for card in cards:
        if f"serial:{card.serial}" not in known:
            command = mediad("recorder", "add", card.serial, "--name", card.name, "--profile", card.profile)
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def drop_file() -> Path:
    """Put a new export into the drop folder, as a network share would: written in place."""
    now = datetime.now(ZONE)
    path = INBOX / f"hall_{now:%Y%m%d_%H%M%S}.mp4"
    made = HOME / path.name
    clip(made, 3, "rgbtestsrc", f"{now.isoformat()} {secrets.token_hex(4)}", big=False)
    with made.open("rb") as source, path.open("wb") as target:
        shutil.copyfileobj(source, target)
    made.unlink()
    return path


def story(console: Console) -> bool:
    for folder in (HOME, CARDS, INBOX):
        folder.mkdir(parents=True, exist_ok=True)
    cards = TWO_CARDS
    console.print(
        Panel.fit(
            "[bold]mediad 演示[/bold]  两台执法记录仪同时接入  [dim]two recorders docked at once[/dim]",
            border_style="blue",
        )
    )
    for card in cards:
        make_card(card, console.print)
    port = configure()
    with daemon(port):
        try:
            register(cards)
            console.print(f"采集站已启动 the station runs  [dim]日志 log {DAEMON_LOG.relative_to(ROOT)}[/dim]")
            since = datetime.now(tz=ZoneInfo("UTC")).isoformat()[:19]
            dropped = drop_file()
            dock_all(console, cards, dropped)
            derive(console)
            good = summary(console, cards, port, since)
            if console.is_terminal and sys.stdin.isatty():
                console.print("采集站继续运行，按 Ctrl-C 结束 the station keeps running, Ctrl-C ends it")
                line(
                    console,
                    f"另开终端试试 in another terminal: .venv/bin/mediad -c {CONFIG.relative_to(ROOT)} slots --watch",
                )
                try:
                    signal.pause()
                except KeyboardInterrupt:
                    console.print("\n正在有序停止 stopping in order ...")
        finally:
            for card in cards:
                if card.child is not None:
                    stop(card.child)
    line(console, f"再看看 look further: .venv/bin/mediad -c {CONFIG.relative_to(ROOT)} recordings，show 编号 ID，fsck")
    console.print(
        "演示结束 the demo is over: [bold green]一切正常 all is well[/]"
        if good
        else "[bold red]演示发现问题 the demo has findings[/]"
    )
    return good


def main() -> int:
    width = None if sys.stdout.isatty() else 118
    console = Console(highlight=False, width=width, soft_wrap=False)

    def asked(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, asked)
    try:
        return 0 if story(console) else 1
    except DemoError as e:
        console.print(f"[bold red]demo:[/] {e}", markup=True)
        return 1
    except KeyboardInterrupt:
        console.print("\n已中止 stopped")
        return 130


if __name__ == "__main__":
    sys.exit(main())
