"""`make soak`: dock, change, pull and kill at random for SOAK_SECONDS, then judge.

A real daemon watches two drop folders while `mediad ingest` takes cards beside it. Files come, grow, are renamed, doubled,
replaced and removed, also in the middle of a copy; some are real films, and `mediad run --only derive` or `mediad derive` works
them off beside it all. Daemons, ingests and derivations get SIGKILL or SIGTERM at random; the vault fills up and is emptied again
(as root, on a file system of its own). At the end everything is taken and derived once more in peace, and judged by `mediad fsck`,
by `mediad custody verify`, by digests that this script computed when it made the files, and by a preview for every film.

SOAK_SEED repeats the choices of an earlier run (not its timing). Exit code 1 on any finding; the folder is then kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SECONDS = float(os.environ.get("SOAK_SECONDS", "3600"))
SEED = int(os.environ.get("SOAK_SEED") or random.SystemRandom().randrange(10**6))
CARDS = 3
FOLDERS = 2
MIB = 2**20
BUDGET = 600 * MIB
"""New bytes of a whole run, so that a long one fits into the vault too."""
IMAGE_BYTES = 1536 * MIB
RESERVE = 24 * MIB
LARGEST = 12 * MIB
STOP_SECONDS = 120.0
TAKE_SECONDS = 180.0
STATION = "soak-01"

CONFIG = """\
[unit]
name = "soak"
[station]
id = "{station}"
[catalog]
url = "sqlite:///var/catalog.db"
[[vault]]
name = "local"
path = "vault"
volatile = true
[ingest]
reserve_bytes = {reserve}
reserve_percent = 0.0
[devices]
usb = false
profiles = ["{profiles}"]
[derive]
jobs = 1
preset = "ultrafast"
height = 144
[http]
listen = "127.0.0.1:{port}"
"""
FOLDER = """
[[folder]]
name = "drop{n}"
path = "drop{n}"
channel = "{channel}"
settle_seconds = 1.0
rescan_seconds = 20.0
"""


def dice_of(name: str) -> random.Random:
    """The choices of one actor; the same for the same seed."""
    return random.Random(f"{SEED} {name}")  # noqa: S311 - chance, not secrecy


class Truth:
    """What this script put into the world: every content that ever existed, and what was promised to be stored."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.contents: set[str] = set()
        self.films: set[str] = set()
        self.promised: set[str] = set()
        self.budget = BUDGET
        self.counts: Counter[str] = Counter()
        self.findings: list[str] = []

    def made(self, data: bytes, *, film: bool = False) -> None:
        digest = hashlib.sha256(data).hexdigest()
        with self._lock:
            self.contents.add(digest)
            if film:
                self.films.add(digest)

    def spend(self, size: int) -> bool:
        with self._lock:
            if self.budget < size:
                return False
            self.budget -= size
            return True

    def promise(self, digests: set[str]) -> None:
        with self._lock:
            self.promised |= digests

    def count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1

    def finding(self, text: str) -> None:
        with self._lock:
            self.findings.append(text)
        say(f"FINDING {text}")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


# --- cards and folders that change ------------------------------------------------------------------------------------


class Source:
    """A folder whose files change at random. Only its own thread changes it."""

    def __init__(self, path: Path, truth: Truth, dice: random.Random, film: bytes) -> None:
        self.path, self.truth, self.dice, self.film = path, truth, dice, film
        self.number = 0
        path.mkdir(parents=True)

    def files(self) -> list[Path]:
        return sorted(p for p in self.path.rglob("*") if p.is_file() and not p.name.startswith(".part-"))

    def change(self) -> None:
        """One random change."""
        kinds: list[tuple[int, Callable[[], None]]] = [
            (8, self.new), (2, self.double), (2, self.rename), (3, self.grow), (2, self.replace), (1, self.remove),
        ]  # fmt: skip
        weights = [w for w, _ in kinds]
        self.dice.choices([k for _, k in kinds], weights)[0]()

    def data(self) -> bytes | None:
        if self.dice.random() < 0.25:
            data = self.film + box(b"free", self.dice.randbytes(200))  # one more film, of other bytes
            self.truth.made(data, film=True)
            return data if self.truth.spend(len(data)) else None
        size = self.dice.choice((0, 1, 300, 4096, 65_537, self.dice.randrange(MIB), self.dice.randrange(LARGEST)))
        return self.dice.randbytes(size) if self.truth.spend(size) else None

    def name(self) -> Path:
        self.number += 1
        stamp = f"202611{self.dice.randrange(1, 24):02d}{self.dice.randrange(24):02d}{self.dice.randrange(60):02d}00"
        made = self.dice.choice(
            (
                f"DCIM/100MEDIA/8888888_000123_{stamp}_{self.number:04d}.mp4",
                f"DCIM/100MEDIA/IMG_{stamp[:8]}_{stamp[8:]}_{self.number}.jpg",
                f"现场 {self.number}.MP4",
                f"{self.number}/{'深' * 20}/a.bin",
            )
        )
        return self.path / made

    def new(self) -> None:
        """A new file, at once or by and by."""
        data = self.data()
        if data is None:
            return
        self.truth.made(data)
        path = self.name()
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.dice.random() < 0.5:
            part = path.with_name(f".part-{self.number}")
            part.write_bytes(data)
            self.truth.made(b"")
            part.rename(path)
            return
        cuts = sorted(self.dice.randrange(len(data) + 1) for _ in range(2))
        with path.open("wb", buffering=0) as f:
            self.truth.made(b"")
            for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True):
                self.truth.made(data[:b])  # a state that may be seen, and is then a content of its own
                write_all(f.fileno(), data[a:b])
                time.sleep(self.dice.random() * 0.2)

    def grow(self) -> None:
        files = [p for p in self.files() if p.stat().st_size < LARGEST]
        if not files:
            return
        path = self.dice.choice(files)
        more = self.dice.randbytes(self.dice.randrange(1, 200_000))
        if self.truth.spend(path.stat().st_size + len(more)):
            data = path.read_bytes() + more
            self.truth.made(data)
            with path.open("ab", buffering=0) as f:
                for n in range(0, len(more), MIB):
                    write_all(f.fileno(), more[n : n + MIB])

    def double(self) -> None:
        if files := self.files():
            path = self.name()
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".part-{self.number}")
            shutil.copyfile(self.dice.choice(files), part)
            part.rename(path)

    def rename(self) -> None:
        if files := self.files():
            path = self.name()
            path.parent.mkdir(parents=True, exist_ok=True)
            self.dice.choice(files).rename(path)

    def replace(self) -> None:
        """Other bytes of the same length under the same name."""
        files = self.files()
        path = self.dice.choice(files) if files else None
        if path is not None and self.truth.spend(path.stat().st_size):
            data = self.dice.randbytes(path.stat().st_size)
            self.truth.made(data)
            part = path.with_name(f".part-{self.number}r")
            part.write_bytes(data)
            part.rename(path)

    def remove(self) -> None:
        if files := self.files():
            self.dice.choice(files).unlink()


def box(kind: bytes, body: bytes) -> bytes:
    return (len(body) + 8).to_bytes(4, "big") + kind + body


def small_film(folder: Path) -> bytes:
    """Half a second of test picture and tone that every browser plays."""
    path = folder / "film.mp4"
    source = "testsrc2=s=96x96:r=10:d=0.5"
    words = ["-f", "lavfi", "-i", source, "-f", "lavfi", "-i", "sine=d=0.5", "-c:v", "libx264", "-pix_fmt", "yuv420p"]
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *words, "-c:a", "aac", path], check=True)
    return path.read_bytes()


def write_all(fd: int, data: bytes) -> None:
    """One write, so that no state in between can be seen; the kernel takes it whole on a local disk."""
    if data and os.write(fd, data) != len(data):
        raise OSError("short write to a card: the disk is full")


# --- the station ------------------------------------------------------------------------------------------------------


class Site:
    """One station in a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "mediad.toml"
        self.vault = root / "vault"
        self.log = (root / "daemon.log").open("ab")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        text = CONFIG.format(station=STATION, reserve=RESERVE, profiles=ROOT / "config/recorders", port=port)
        for n in range(FOLDERS):
            text += FOLDER.format(n=n, channel=("cctv", "terminal")[n % 2])
        self.config.write_text(text, encoding="utf-8")

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "mediad.cli.main", "--config", str(self.config), *map(str, arguments)]

    def ask(self, *arguments: str | Path) -> tuple[int, Any, str]:
        done = subprocess.run(self.command(*arguments, "--json"), capture_output=True, text=True, check=False)
        try:
            return done.returncode, json.loads(done.stdout), done.stderr
        except ValueError:
            return done.returncode, None, done.stderr

    def daemon(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = self.command(*(arguments or ("run",)))
        return subprocess.Popen(command, stdout=self.log, stderr=self.log, start_new_session=True)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.root / 'var/catalog.db'}?mode=ro", uri=True, timeout=30)) as db:
            return db.execute(query).fetchall()


@contextmanager
def own_disk(mountpoint: Path, image: Path) -> Iterator[bool]:
    """A small ext4 of its own for the vault; False where that cannot be had."""
    mountpoint.mkdir()
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    quiet: dict[str, Any] = {"capture_output": True, "env": {**os.environ, "PATH": path}}
    mounted = False
    if os.geteuid() == 0:
        try:
            with image.open("wb") as f:
                f.truncate(IMAGE_BYTES)
            subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True, **quiet)
            subprocess.run(["mount", "-o", "loop", image, mountpoint], check=True, **quiet)
            mounted = True
        except (OSError, subprocess.CalledProcessError):
            image.unlink(missing_ok=True)
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", mountpoint], check=False)


def fill(site: Site, truth: Truth, dice: random.Random, stop: threading.Event) -> None:
    """Vault-full episodes: a ballast file leaves less than the reserve, or next to nothing, for some seconds."""
    ballast = site.vault / ".ballast"
    while not stop.wait(dice.uniform(6, 20)):
        free = shutil.disk_usage(site.vault).free
        size = free - dice.choice((0, 200_000, 3 * MIB, RESERVE - 2 * MIB))
        if size <= 0:
            continue
        try:
            with ballast.open("wb") as f:
                os.posix_fallocate(f.fileno(), 0, size)
        except OSError:  # somebody was faster; full is full
            pass
        truth.count("vault-full episodes")
        stop.wait(dice.uniform(2, 7))
        ballast.unlink(missing_ok=True)


# --- actors -----------------------------------------------------------------------------------------------------------


def keep_daemon(site: Site, truth: Truth, dice: random.Random, stop: threading.Event) -> None:
    """Start the daemon again and again; end it by SIGKILL or SIGTERM."""
    while not stop.is_set():
        child = site.daemon()
        truth.count("daemon starts")
        end = time.monotonic() + dice.uniform(1, 25)
        while time.monotonic() < end and child.poll() is None and not stop.is_set():
            stop.wait(0.2)
        if child.poll() is not None:
            if child.returncode not in (5, 6):  # a full vault may keep it from opening
                truth.finding(f"the daemon ended by itself with {child.returncode}: see daemon.log")
            stop.wait(1)
        elif dice.random() < 0.6 and not stop.is_set():
            child.kill()
            child.wait()
            truth.count("daemon killed")
        else:
            end_in_order(child, truth)


def keep_deriving(site: Site, truth: Truth, dice: random.Random, stop: threading.Event) -> None:
    """Work off what is due, by the daemon or once; end it by SIGKILL or SIGTERM, often when it has only just begun."""
    while not stop.wait(dice.uniform(0, 2)):
        once = dice.random() < 0.3
        child = site.daemon("derive") if once else site.daemon("run", "--only", "derive")
        truth.count("derivations")
        end = time.monotonic() + dice.choice((dice.uniform(0.5, 4), dice.uniform(4, 30)))
        while time.monotonic() < end and child.poll() is None and not stop.is_set():
            stop.wait(0.1)
        if child.poll() is not None:
            if child.returncode not in ((0, 1, 5, 6) if once else (5, 6)):
                truth.finding(f"the derivation ended by itself with {child.returncode}: see daemon.log")
        elif dice.random() < 0.6:
            child.kill()
            child.wait()
            truth.count("derivations killed")
        else:
            end_in_order(child, truth, (0, 1, 5, 6))


def end_in_order(child: subprocess.Popen[bytes], truth: Truth, right: tuple[int, ...] = (0,)) -> None:
    child.terminate()
    try:
        code = child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        truth.finding(f"the daemon did not stop within {STOP_SECONDS:.0f} s of SIGTERM")
        return
    truth.count("daemon stopped in order")
    if code not in (*right, -signal.SIGTERM):  # before its handler is there, SIGTERM simply ends it
        truth.finding(f"the daemon ended with {code} after SIGTERM: see daemon.log")


def dock_cards(site: Site, card: Source, truth: Truth, dice: random.Random, stop: threading.Event) -> None:
    """Change a card, dock it, now and then pull the plug of the process, or dock it twice at once."""
    serial = card.path.name
    while not stop.is_set():
        for _ in range(dice.randrange(1, 5)):
            card.change()
        children = [start_ingest(site, card.path, serial) for _ in range(2 if dice.random() < 0.1 else 1)]
        for child in children:
            truth.count("ingests")
            if dice.random() < 0.35:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(dice.uniform(0.3, 4))
                if child.poll() is None:
                    child.kill()
                    truth.count("ingests killed")
            elif dice.random() < 0.4:
                card.change()  # in the middle of it
        for child in children:
            judge_ingest(child, serial, truth)


def start_ingest(site: Site, card: Path, serial: str) -> subprocess.Popen[str]:
    command = site.command("ingest", card, "--recorder", serial, "--json")
    out = tempfile.TemporaryFile("w+", dir=site.root)  # noqa: SIM115 - closed when judged
    child = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, text=True, start_new_session=True)
    child.stdout = out  # type: ignore[assignment]
    return child


def judge_ingest(child: subprocess.Popen[str], serial: str, truth: Truth) -> None:
    assert child.stderr is not None and child.stdout is not None  # noqa: S101 - made by start_ingest
    errors = child.stderr.read()
    code = child.wait()
    child.stdout.seek(0)
    told = child.stdout.read()
    child.stderr.close()
    child.stdout.close()
    if code not in (0, 1, 5, 6, -signal.SIGKILL) or "Traceback" in errors:
        truth.finding(f"the ingest of {serial} ended with {code}: {errors.strip()[-1500:]}")
    if code == 5 and "free, needs" not in errors and "space" not in errors:
        truth.finding(f"the ingest of {serial} met trouble that nobody made: {errors.strip()[-600:]}")
    if code in (0, 1):
        answer = json.loads(told)
        stored = {f["sha256"] for f in answer["files"] if f["outcome"] in ("stored", "sighting", "known")}
        truth.promise(stored - {None})


def drop_files(folder: Source, dice: random.Random, stop: threading.Event) -> None:
    while not stop.wait(dice.uniform(0.2, 3)):
        folder.change()


# --- the end ----------------------------------------------------------------------------------------------------------


class Judge:
    """Counts what holds and what does not."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self.passed = self.failed = 0

    def check(self, what: str, wrong: list[str]) -> None:
        if wrong:
            self.failed += 1
            say(
                f"FAILED {what}: "
                + "; ".join(wrong[:8])
                + (f" ... and {len(wrong) - 8} more" if len(wrong) > 8 else "")
            )
        else:
            self.passed += 1
            say(f"passed {what}")


def digest(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def take_the_rest(site: Site, cards: list[Source], folders: list[Source], truth: Truth, judge: Judge) -> None:
    """One undisturbed daemon takes what lies in the folders, one undisturbed ingest each what is on the cards."""
    waiting = {digest(p) for f in folders for p in f.files()}
    child = site.daemon()
    end = time.monotonic() + TAKE_SECONDS
    missing = waiting
    try:
        while missing and time.monotonic() < end and child.poll() is None:
            time.sleep(0.5)
            with contextlib.suppress(sqlite3.Error):
                missing = waiting - {r[0] for r in site.rows("SELECT sha256 FROM asset")}
    finally:
        end_in_order(child, truth)
    judge.check(f"the daemon took all {len(waiting)} contents of the drop folders by itself", sorted(missing))
    wrong, again = [], []
    for card in cards:
        code, answer, errors = site.ask("ingest", card.path, "--recorder", card.path.name)
        if code != 0 or answer is None or answer["failed"]:
            wrong.append(f"{card.path.name} ended with {code}: {errors.strip()[-500:]}")
        code, answer, errors = site.ask("ingest", card.path, "--recorder", card.path.name)
        if code != 0 or answer is None or answer["new"] or answer["sightings"]:
            again.append(f"{card.path.name} ended with {code}, {answer and answer['new']} new: {errors.strip()[-500:]}")
    judge.check("a clean docking takes everything on each card", wrong)
    judge.check("the docking after it finds nothing to do", again)


def derive_the_rest(site: Site, truth: Truth, judge: Judge) -> None:
    """One undisturbed `mediad derive` works off all that is due."""
    code, answer, errors = site.ask("derive")
    wrong = [] if code in (0, 1) and answer is not None else [f"it ended with {code}: {errors.strip()[-500:]}"]
    wrong += [f"due: {row}" for row in site.rows("SELECT stage, subject, why FROM due")]
    wrong += [f"{row[0]} is provisional" for row in site.rows("SELECT id FROM recording WHERE provisional")]
    wrong += [f"left: {path}" for path in (site.vault / "derived").glob(".work-*/*")]
    wrong += [f"left: {path}" for path in (site.root / "var").glob("locks-*/wrk-*")]
    judge.check("a clean derivation works off all", wrong)
    query = "SELECT a.sha256, m.recording FROM asset a JOIN recording_asset m ON m.asset = a.id"
    films = {recording for sha, recording in site.rows(query) if sha in truth.films}
    whole = {r for r in films if whole_preview(site.vault / "derived" / r)}
    judge.check(f"all {len(films)} recordings of films have a whole preview", sorted(films - whole))
    words = os.fsencode(site.root)
    running = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"bwrap" in (line := (entry / "cmdline").read_bytes()) and words in line:
                running.append(f"process {entry.name}")
    judge.check("no sandbox is left", running)


def whole_preview(folder: Path) -> bool:
    try:
        told = {f["name"]: f["sha256"] for f in json.loads((folder / "about.json").read_bytes())["files"]}
        return "proxy.mp4" in told and all(digest(folder / name) == sha for name, sha in told.items())
    except (OSError, ValueError, KeyError):
        return False


def judge_all(site: Site, cards: list[Source], folders: list[Source], truth: Truth, judge: Judge) -> None:
    judge.check("nothing unexpected happened on the way", truth.findings)
    code, report, errors = site.ask("fsck")
    found = [f"{f['code']} {f['subject']}: {f['detail']}" for f in report["findings"]] if report else [errors.strip()]
    judge.check("mediad fsck finds nothing", found if found or code == 0 else [f"exit code {code}"])
    code, report, errors = site.ask("custody", "verify")
    found = [f"{f['code']} {f['detail']}" for f in report["findings"]] if report else [errors.strip()]
    judge.check("mediad custody verify finds nothing", found if found or code == 0 else [f"exit code {code}"])
    assets = {r[0]: r[1] for r in site.rows("SELECT a.sha256, r.key FROM asset a JOIN replica r ON r.asset = a.id")}
    lying = {str(p.relative_to(site.vault)): digest(p) for p in (site.vault / "originals").rglob("*") if p.is_file()}
    originals = {k: d for k, d in lying.items() if not k.endswith("/record.json")}
    wrong = [f"{k} holds other bytes than recorded" for d, k in assets.items() if originals.get(k) != d]
    wrong += [f"{k} is in no record" for k in originals.keys() - set(assets.values())]
    twice = [d for d, n in Counter(originals.values()).items() if n > 1]
    judge.check(f"all {len(assets)} originals lie in the vault, once, with the bytes recorded", wrong + twice)
    judge.check("no original is a content that never existed", sorted(set(assets) - truth.contents))
    now = {digest(p): p for s in (*cards, *folders) for p in s.files()}
    judge.check(
        f"all {len(now)} contents on cards and in folders are stored",
        [str(p) for d, p in now.items() if d not in assets],
    )
    judge.check(
        f"all {len(truth.promised)} contents reported as stored are stored", sorted(truth.promised - set(assets))
    )
    left = [f"open docking {r[0]}" for r in site.rows("SELECT id FROM docking WHERE state = 'open'")]
    left += [f"promised key {r[0]}" for r in site.rows("SELECT key FROM placement")]
    staging = site.vault / ".staging"
    left += [f"in staging: {p.relative_to(staging)}" for p in staging.rglob("*") if p.is_file()]
    handed = site.rows("SELECT id, handover_key FROM docking WHERE state <> 'open'")
    left += [f"no hand-over record of {i}" for i, key in handed if not key or not (site.vault / key).is_file()]
    judge.check(f"nothing is left over, and all {len(handed)} dockings are handed over", left)


def soak(root: Path) -> Judge:
    truth = Truth()
    judge = Judge(truth)
    with own_disk(root / "vault", root / "vault.img") as small:
        site = Site(root)
        film = small_film(root)
        cards = [Source(root / f"cards/REC-{n}", truth, dice_of(f"card {n}"), film) for n in range(CARDS)]
        folders = [Source(root / f"drop{n}", truth, dice_of(f"folder {n}"), film) for n in range(FOLDERS)]
        stop = threading.Event()
        work: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
            (keep_daemon, (site, truth, dice_of("daemon"), stop)),
            (keep_deriving, (site, truth, dice_of("derive"), stop)),
        ]
        work += [(dock_cards, (site, c, truth, dice_of(f"dock {n}"), stop)) for n, c in enumerate(cards)]
        work += [(drop_files, (f, dice_of(f"drop {n}"), stop)) for n, f in enumerate(folders)]
        if small:
            work.append((fill, (site, truth, dice_of("fill"), stop)))
        else:
            say("left out: vault-full episodes (they need root and a loop device)")

        def actor(what: Callable[..., None], arguments: tuple[Any, ...]) -> None:
            try:
                what(*arguments)
            except Exception as e:
                truth.finding(f"the soak's own {what.__name__} failed: {type(e).__name__}: {e}")
                raise

        threads = [threading.Thread(target=actor, args=job, name=job[0].__name__) for job in work]
        try:
            for thread in threads:
                thread.start()
            end = time.monotonic() + SECONDS
            while (left := end - time.monotonic()) > 0:
                stop.wait(min(30.0, left))
                say(
                    ", ".join(f"{n} {what}" for what, n in sorted(truth.counts.items()))
                    + f"; {max(0, left - 30):.0f} s to go"
                )
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        take_the_rest(site, cards, folders, truth, judge)
        derive_the_rest(site, truth, judge)
        judge_all(site, cards, folders, truth, judge)
        site.log.close()
    counts = ", ".join(f"{n} {what}" for what, n in sorted(truth.counts.items()))
    say(f"seed {SEED}, {SECONDS:.0f} s, {len(truth.contents)} contents; {counts}")
    return judge


def main() -> int:
    base = ROOT / "var"
    base.mkdir(exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix="soak-", dir=base))
    say(f"seed {SEED} (SOAK_SEED), {SECONDS:.0f} s (SOAK_SECONDS), in {root.relative_to(ROOT)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    judge = soak(root)
    if judge.failed:
        say(
            f"kept for a look: {root.relative_to(ROOT)}"
            + ("; the vault is vault.img" if (root / "vault.img").exists() else "")
        )
    else:
        shutil.rmtree(root, onerror=unlock)
    print(f"{judge.passed} passed, {judge.failed} failed")
    return 1 if judge.failed else 0


def unlock(function: Callable[[str], None], path: str, _why: object) -> None:
    """Batch folders of a vault are read-only; an ordinary user has to open them to take them away."""
    os.chmod(os.path.dirname(path), 0o700)
    with contextlib.suppress(OSError):
        function(path)


if __name__ == "__main__":
    sys.exit(main())
