"""What tests of a whole station share: a station in a temporary folder, cards made of literal files, and a judge.

The judge here is written from the design alone (digests computed by the test, SQL on the catalogue file, the vault as it
lies on the disk); it calls none of mediad's code but the form of custody events and of printed names. ``mediad fsck`` is
a second judge.
"""

import base64
import hashlib
import json
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from mediad import config as configuration
from mediad.cli.progress import _Plain
from mediad.config import Config
from mediad.model import custody
from mediad.model.layout import printable
from mediad.session import Result
from mediad.wiring.docking import dock_path
from mediad.wiring.station import Station
from tests.program import run as run_program

MIB = 1024 * 1024
CONFIG = """\
[unit]
name = "测试卫生监督所"
[station]
id = "test-01"
[[vault]]
name = "local"
path = "{vault}"
volatile = true  # some tests, and some machines, have their disks in memory
[ingest]
reserve_bytes = {reserve}
reserve_percent = 0.0
{more}
"""
OCTOBER = 1_790_000_000 * 10**9
"""A file time that can be true, in nanoseconds."""


@dataclass(frozen=True)
class Site:
    """A station that lives in one folder."""

    root: Path

    @property
    def config_file(self) -> Path:
        return self.root / "mediad.toml"

    @property
    def config(self) -> Config:
        return configuration.load(self.config_file, {})

    @property
    def vault(self) -> Path:
        return self.config.vault[0].path

    @property
    def catalogue(self) -> Path:
        return self.root / "var/catalog.db"

    def open(self, *, wait_for_space: bool = False) -> Station:
        """The station, opened in this process; close it."""
        return Station(self.config, wait_for_space=wait_for_space)

    def ingest(self, card: Path, **options: Any) -> Result:
        """What ``mediad ingest`` does, in this process."""
        with closing(self.open()) as station:
            station.finish_open_work()
            return dock_path(station, card, _Plain("test"), **options)

    def run(self, *arguments: str | Path, timeout: float = 120, **more: Any) -> "subprocess.CompletedProcess[str]":
        """The program itself, in a process of its own; with ``more`` started as people start it."""
        if not more:
            return run_program(["-c", str(self.config_file), *map(str, arguments)], timeout=timeout)
        command = [sys.executable, "-m", "mediad.cli.main", "-c", str(self.config_file), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **more)

    def ingest_json(self, card: Path, *options: str, expect: int = 0, timeout: float = 120) -> dict[str, Any]:
        """``mediad ingest --json`` in a process of its own; its exit code must be the expected one."""
        done = self.run("ingest", card, "--json", *options, timeout=timeout)
        assert done.returncode == expect, (done.returncode, done.stdout[-2000:], done.stderr[-4000:])
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def lose_catalogue(self) -> None:
        """As if its disk were gone."""
        for part in ("", "-wal", "-shm"):
            Path(f"{self.catalogue}{part}").unlink(missing_ok=True)

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Rows of the catalogue, read with the driver alone."""
        with closing(sqlite3.connect(f"file:{self.catalogue}?mode=ro", uri=True)) as db:
            return db.execute(query, values).fetchall()


def make_site(root: Path, *, vault: Path | None = None, reserve: int = 0, more: str = "") -> Site:
    """Write a station's configuration into a folder."""
    root.mkdir(parents=True, exist_ok=True)
    site = Site(root)
    site.config_file.write_text(CONFIG.format(vault=vault or "var/vault", reserve=reserve, more=more), encoding="utf-8")
    return site


def noise(size: int, seed: int) -> bytes:
    """The same incompressible bytes for the same seed."""
    return random.Random(seed).randbytes(size)


def make_card(root: Path, files: Mapping[str | bytes, bytes], *, mtime_ns: int = OCTOBER) -> Path:
    """A card with these files; each gets a time of its own that can be true."""
    for n, (name, data) in enumerate(files.items()):
        path = os.path.join(os.fsencode(root), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
        os.utime(path, ns=(mtime_ns + n * 10**9,) * 2)
    root.mkdir(parents=True, exist_ok=True)
    return root


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def needs_root(what: str) -> None:
    """Tests that mount or make device nodes need root; without it they fail and say how to run them."""
    if os.geteuid() != 0:
        pytest.fail(f"{what} needs root: run `sudo make test`, or `sudo .venv/bin/python -m pytest` on this file")


def program(name: str, package: str) -> str:
    """A program that a test cannot do without; a missing one fails the test and says how to get it."""
    from shutil import which

    found = which(name)
    if found is None:
        pytest.fail(f"{name} is missing: apt-get install -y {package}")
    return found


# --- the judge --------------------------------------------------------------------------------------------------------


def complaints(site: Site, wanted: Iterable[bytes] = (), *, station: str = "test-01", idle: bool = True) -> list[str]:
    """Everything that is wrong with a station at rest; ``wanted`` are contents that must be stored, each exactly once.

    ``idle`` also asks that nothing is left open: no placement, no docking, nothing in staging, every event mirrored.
    """
    vault = site.vault
    wrong: list[str] = []
    files = {str(p.relative_to(vault)): p for p in vault.rglob("*") if not p.is_dir()}
    staged = {k for k in files if k.startswith(".staging/")}
    kept = {k: p for k, p in files.items() if k not in staged and k != ".mediad-vault.json"}
    wrong += _originals(site, kept, list(wanted))
    wrong += _chain(site, kept, station, idle=idle)
    wrong += _handovers(site, kept)
    for key in kept:
        if key.split("/")[0] not in ("originals", "handovers", "cases", "custody", "derived"):
            wrong.append(f"unexpected in the vault: {key}")
    if idle:
        wrong += [f"left in staging: {k}" for k in sorted(staged)]
        wrong += [f"open placement: {r}" for r in site.rows("SELECT key FROM placement")]
        wrong += [f"open docking: {r}" for r in site.rows("SELECT id FROM docking WHERE state = 'open'")]
    return wrong


def _originals(site: Site, kept: Mapping[str, Path], wanted: list[bytes]) -> list[str]:
    wrong = []
    recorded = {
        key: (digest, size, asset, method)
        for key, digest, size, asset, method in site.rows(
            "SELECT r.key, a.sha256, a.size, a.id, r.method FROM replica r JOIN asset a ON a.id = r.asset"
            " WHERE r.state = 'healthy'"
        )
    }
    promised = {r[0] for r in site.rows("SELECT key FROM placement")}
    lying = {k for k in kept if k.startswith("originals/") and not k.endswith("/record.json")}
    wrong += [f"not recorded: {k}" for k in sorted(lying - set(recorded) - promised)]
    wrong += [f"recorded but not there: {k}" for k in sorted(set(recorded) - lying)]
    for key in lying & set(recorded):
        digest, size, asset, method = recorded[key]
        data = kept[key].read_bytes()
        if sha256(data) != digest or len(data) != size:
            wrong.append(f"other bytes than recorded: {key}")
        if asset != "ast-" + base64.b32encode(bytes.fromhex(digest)).decode().lower()[:26]:
            wrong.append(f"asset {asset} is not named after its digest")
        if method not in ("direct", "evicted"):
            wrong.append(f"{key} was verified by {method}")
        if kept[key].stat().st_mode & 0o333:
            wrong.append(f"{key} may be written")
    stored = [r[0] for r in site.rows("SELECT sha256 FROM asset")]
    for data in set(wanted):
        if stored.count(sha256(data)) != 1:
            wrong.append(f"{len(data)} bytes {sha256(data)[:12]} are stored {stored.count(sha256(data))} times")
    wrong += _sidecars(site, kept, lying)
    return wrong


def _sidecars(site: Site, kept: Mapping[str, Path], lying: set[str]) -> list[str]:
    wrong = []
    named: set[str] = set()
    alarmed = {json.loads(r[0]).get("key") for r in site.rows("SELECT detail FROM custody WHERE kind = 'alarm.raised'")}
    stored = {}
    for subject, text in site.rows(
        "SELECT subject, detail FROM custody WHERE kind IN ('asset.stored', 'replica.stored')"
    ):
        detail = json.loads(text)
        stored[detail["key"]] = {"asset": subject} | {
            k: v for k, v in detail.items() if k not in ("method", "verified_at")
        }
    for key, path in kept.items():
        if key.startswith("originals/") and key.endswith("/record.json"):
            try:
                files = {f["key"]: f for f in json.loads(path.read_bytes())["files"]}
            except ValueError:
                wrong.append(f"not whole: {key}")
                continue
            named |= set(files)
            wrong += [f"{key} tells another story of {k}" for k, f in files.items() if k in stored and stored[k] != f]
    wrong += [f"in no sidecar: {k}" for k in sorted(lying - named)]
    wrong += [f"in a sidecar but not there: {k}" for k in sorted(named - lying - alarmed)]
    return wrong


def _chain(site: Site, kept: Mapping[str, Path], station: str, *, idle: bool) -> list[str]:
    wrong = []
    names = "seq, at, station, actor, kind, subject, detail, prev, hash"
    events = [custody.Event(*row) for row in site.rows(f"SELECT {names} FROM custody ORDER BY seq")]
    if broken := custody.check_chain(events, station=station):
        wrong.append(f"chain: {broken}")
    mirrored: list[custody.Event] = []
    for key in sorted(k for k in kept if k.startswith("custody/")):
        part = list(custody.parse_segment(kept[key].read_bytes()))
        if part[0].seq != len(mirrored) + 1 or key != f"custody/{station}/{part[0].seq:012d}.jsonl":
            wrong.append(f"segment {key} begins with event {part[0].seq} after {len(mirrored)}")
        mirrored += part
    if mirrored != events[: len(mirrored)]:
        wrong.append("the mirror is not the beginning of the catalogue's chain")
    if idle and len(mirrored) != len(events):
        wrong.append(f"mirrored are {len(mirrored)} of {len(events)} events")
    return wrong


def _handovers(site: Site, kept: Mapping[str, Path]) -> list[str]:
    wrong = []
    closed = {key: (i, digest) for i, key, digest in site.rows(
        "SELECT id, handover_key, handover_sha256 FROM docking WHERE state <> 'open'")}  # fmt: skip
    for key, (docking, digest) in closed.items():
        if key not in kept or sha256(kept[key].read_bytes()) != digest:
            wrong.append(f"hand-over record of {docking} is missing or another one: {key}")
        else:
            wrong += [f"hand-over record of {docking}: {what}" for what in _told(site, docking, kept[key])]
    closings = site.rows("SELECT subject, count(*) FROM custody WHERE kind = 'docking.closed' GROUP BY subject")
    wrong += [f"{docking} was closed {n} times" for docking, n in closings if n != 1]
    opened = {r[0] for r in site.rows("SELECT id FROM docking WHERE state = 'open'")}
    for key in kept:
        if key.startswith("handovers/") and key not in closed and key.split("/")[-2] not in opened:
            wrong.append(f"hand-over record of no docking: {key}")
    return wrong


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _told(site: Site, docking: str, path: Path) -> list[str]:
    """What a record tells, against the rows of its docking: sums and state, and of every file what became of it."""
    try:
        body = json.loads(path.read_bytes())
        lines = [
            (f["volume"], base64.b64decode(f["path_b64"]), f["path"], f["size"], f["outcome"], f["asset"], f["sha256"], f["why"])
            for f in body["files"] if f["outcome"] != "known"
        ]  # fmt: skip
        known = [(f["volume"], f["path_b64"], f["size"], f["asset"], f["sha256"]) for f in body["files"]
                 if f["outcome"] == "known"]  # fmt: skip
        head = [body[n] for n in ("state", "officer", "actor", "slot", "source", "channel", "profile", "continues")]
        head += [None if body["said"] is None else _canonical(body["said"]), _canonical(body["zones"])]
        head += [body["recorder"][n] for n in ("id", "key", "label", "registered")]
        counts = [body["counts"][n] for n in ("new", "sightings", "skipped", "failed", "bytes")]
    except (ValueError, KeyError, TypeError) as e:
        return [f"it cannot be read ({e!r})"]
    row = site.rows(
        "SELECT state, officer, actor, slot, source, channel, profile, continues, said, zones,"
        " recorder_id, recorder, label, registered, new, sightings, skipped, failed, bytes FROM docking WHERE id = ?", docking,
    )[0]  # fmt: skip
    wrong = [] if [*head, *counts] == list(row) else [f"it says {[*head, *counts]}, the catalogue {row}"]
    rows = site.rows(
        "SELECT f.volume, f.path, f.size, coalesce(f.outcome, 'failed'), f.asset, a.sha256,"
        " CASE WHEN f.outcome IS NULL THEN 'not reached: the docking broke off' ELSE f.why END"
        " FROM source_file f LEFT JOIN asset a ON a.id = f.asset WHERE f.docking = ?", docking,
    )  # fmt: skip
    meant = [(volume, path, printable(path), *rest) for volume, path, *rest in rows]
    wrong += [f"files differ: {line}" for line in lines if line not in meant]
    wrong += [f"it lacks a file: {line}" for line in meant if line not in lines]
    for outcome, sums in (("stored", 0), ("sighting", 1), ("failed", 3)):
        if sum(1 for line in lines if line[4] == outcome) != counts[sums]:
            wrong.append(f"its sum of {outcome} is not that of its lines")
    digests = dict(site.rows("SELECT id, sha256 FROM asset"))
    listings = site.rows("SELECT detail FROM custody WHERE kind = 'docking.listed' AND subject = ?", docking)
    listed = [
        (volume, path, size, asset, digests[asset])
        for text, in listings for volume, path, size, _, asset in json.loads(text)["known"]
    ]  # fmt: skip
    return wrong if sorted(known) == sorted(listed) else [*wrong, "its known files are not those of its listing"]


# --- small disks ------------------------------------------------------------------------------------------------------


@contextmanager
def small_disk(where: Path, size: int, kind: Literal["tmpfs", "ext4"] = "tmpfs") -> Iterator[Path]:
    """A file system of its own with so many bytes, mounted for the time of the block."""
    needs_root(f"mounting a {kind}")
    where.mkdir(parents=True, exist_ok=True)
    if kind == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(where)], check=True)
    else:
        image = where.with_name(f"{where.name}.img")
        with open(image, "wb") as f:
            f.truncate(size)
        subprocess.run([program("mkfs.ext4", "e2fsprogs"), "-q", "-m", "0", str(image)], check=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(where)], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)
