"""A station with a little of everything, and the auditor's answer about it. Shared by the tests of fsck, custody and rebuild."""

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from mediad.catalog import tables
from mediad.cli.audit import _Lines
from mediad.fsck import Report
from mediad.model.custody import Draft
from mediad.wiring import audit as wiring_audit
from tests.bureau_support import furnish_bureau
from tests.support import OCTOBER, Site, make_card, make_site, noise

FIRST, SECOND, THIRD = noise(9_000, 1), noise(70_000, 2), noise(5_000, 3)


def furnish(root: Path, *, looked_into_too: bool = True) -> Site:
    """A station after seven dockings of two recorders and a folder: stored, sighted, known, rejected, failed, interrupted and
    continued; with a named slot, a registered recorder and an alarm; and some of it probed, timed and joined."""
    site = make_site(root / "station", more="sm3 = true")
    card = make_card(
        root / "card", {"DCIM/one.mp4": FIRST, "DCIM/two.jpg": SECOND, "DCIM/two again.jpg": SECOND, "empty": b""}
    )
    (card / "link").symlink_to("/etc/passwd")
    site.ingest(card, recorder="R-1", officer="0123")
    with closing(site.open()) as station:
        station.stop.set()  # breaks off before the first file is read
        from mediad.cli.progress import _Plain
        from mediad.wiring.docking import dock_path

        make_card(card, {"DCIM/three.mp4": THIRD})
        assert dock_path(station, card, _Plain("test"), recorder="R-1").state == "interrupted"
    site.ingest(card, recorder="R-1")
    other = make_card(root / "other", {b"\xff\xfe.mp4": FIRST, "sparse.bin": b""})
    os.truncate(other / "sparse.bin", 8 * 1024**4)  # larger than the vault's disk: fails without being read
    site.ingest(other, recorder="R-2")
    folder = make_card(root / "folder", {"dated_20260102030405.mp4": noise(3_000, 4)}, mtime_ns=OCTOBER + 10**15)
    site.ingest(folder)
    site.ingest(folder)
    with closing(site.open()) as station:
        station.ledger.record(
            [
                Draft("slot.named", "pci-0000:00:03.0-usb-0:1.2", {"name": "3号"}),
                Draft(
                    "recorder.registered",
                    "rcd-20260101t000000z-aaaaaaaaaaaaaaaa",
                    {"label": "R-1", "name": "一号", "profile": "generic", "keys": ["serial:R-1"]},
                ),
                Draft("alarm.raised", "test-01", {"code": "clock-jumped", "detail": "a test"}),
            ]
        )
        if looked_into_too:
            station.ledger.record(looked_into(site))
        station.finish_open_work()
    site.ingest(card, recorder="R-1")
    if looked_into_too:
        furnish_bureau(site, root)
    return site


def looked_into(site: Site) -> list[Draft]:
    """What is recorded when two assets are probed, timed, joined, and a clock was measured."""
    (one, docking, first), (two, _, second) = site.rows(
        "SELECT a.id, a.docking, m.recording FROM asset a JOIN recording_asset m ON m.asset = a.id ORDER BY a.id LIMIT 2"
    )
    timed = {
        "docking": docking, "source": "serial:R-1", "kind": "video", "started_at": "2026-09-22T01:30:00.000000Z",
        "ended_at": "2026-09-22T01:35:00.000000Z", "confidence": "claimed", "officer": "0123", "important": False, "lens": "",
        "remarks": [],
    }  # fmt: skip
    return [
        *(Draft("asset.probed", a, {"docking": docking, "probe": {"kind": "video"}}) for a in (one, two)),
        Draft("clock.measured", docking, {"offset_ms": 1_000, "source": "photo", "why": "a test"}),
        *(Draft("asset.timed", a, timed) for a in (one, two)),
        Draft("recording.joined", first, {"assets": [one, two], "absorbed": [second], "gaps": [], "remarks": []}),
    ]


def copy_site(template: Site, root: Path) -> Site:
    """The same station somewhere else."""
    shutil.copytree(template.root, root, symlinks=True)
    return Site(root)


def fsck(site: Site, *, quick: bool = False) -> Report:
    """What ``mediad fsck`` does, in this process."""
    return wiring_audit.fsck(site.config, _Lines(), quick=quick)


def found(report: Report) -> set[str]:
    """Codes of a report's findings."""
    return {f.code for f in report.findings}


def subjects(report: Report, code: str) -> list[str]:
    return [f.subject for f in report.findings if f.code == code]


@contextmanager
def database(site: Site) -> Iterator[sqlite3.Connection]:
    """The catalogue's file with the driver alone: a hand behind the log's back."""
    with closing(sqlite3.connect(site.catalogue)) as db:
        yield db
        db.commit()


def sql(site: Site, statement: str, *values: Any) -> None:
    with database(site) as db:
        assert db.execute(statement, values).rowcount != 0, f"nothing was damaged by {statement}"


def originals(site: Site) -> list[Path]:
    return [p for p in sorted(site.vault.glob("originals/*/*/*/*/*/*")) if p.name != "record.json"]


def sidecars(site: Site) -> list[Path]:
    return sorted(site.vault.glob("originals/*/*/*/*/*/record.json"))


def handovers(site: Site) -> list[Path]:
    return sorted(site.vault.glob("handovers/*/*/*/*/record.json"))


def segments(site: Site) -> list[Path]:
    return sorted(site.vault.glob("custody/test-01/*.jsonl"))


def key(site: Site, path: Path) -> str:
    return str(path.relative_to(site.vault))


def overwrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change a read-only file in place, as a fault or a hand with rights would: same name, same mode, same time."""
    status = path.stat()
    data = change(path.read_bytes())
    path.chmod(0o640)
    path.write_bytes(data)
    path.chmod(status.st_mode & 0o777)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def flip(at: int = 100) -> Callable[[bytes], bytes]:
    """One bit of one byte."""
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@contextmanager
def writable(folder: Path) -> Iterator[Path]:
    """A batch folder opened for the time of a block."""
    folder.chmod(0o750)
    yield folder
    folder.chmod(0o550)


def remove(path: Path) -> None:
    mode = path.parent.stat().st_mode & 0o777
    path.parent.chmod(0o750)
    path.unlink()
    path.parent.chmod(mode)


def facts(site: Site) -> dict[str, list[Any]]:
    """Every row of every fact table, in order."""
    answer = {}
    for table in tables.FACTS:
        names = ", ".join(f'"{c.name}"' for c in table.columns)
        order = ", ".join(f'"{c.name}"' for c in table.primary_key)
        answer[table.name] = site.rows(f'SELECT {names} FROM "{table.name}" ORDER BY {order}')
    return answer


def rewrite_chain(site: Site, seq: int, change: Callable[[dict[str, Any]], None]) -> None:
    """Change one event's detail in the catalogue and chain everything behind it anew, as a patient forger would."""
    from mediad.model.custody import GENESIS, Event, link

    names = "seq, at, station, actor, kind, subject, detail, prev, hash"
    with database(site) as db:
        prev = GENESIS
        for row in db.execute(f"SELECT {names} FROM custody ORDER BY seq").fetchall():
            event = Event(*row)
            detail = event.body()
            if event.seq == seq:
                change(detail)
            draft = Draft(event.kind, event.subject, detail)
            forged = link(prev, event.seq, event.at, event.station, event.actor, draft)
            prev = forged.hash
            db.execute(
                "UPDATE custody SET detail = ?, prev = ?, hash = ? WHERE seq = ?",
                (forged.detail, forged.prev, forged.hash, forged.seq),
            )
            db.execute("UPDATE mirrored SET hash = ? WHERE seq = ?", (forged.hash, forged.seq))


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_json(path: Path) -> Any:
    return json.loads(path.read_bytes())
