"""Assembling a docking of many files asks the catalogue in batches: what it costs is what there is, not a query for each file."""

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from mediad.catalog import assembly, previews
from mediad.catalog.record import stamp
from mediad.model.custody import Draft
from mediad.model.ids import asset_id, recording_id
from mediad.stages import assemble
from mediad.wiring.media import StationRules
from mediad.wiring.station import Station
from tests.support import Site, make_site

BEGAN = datetime(2026, 9, 22, 1, 30, tzinfo=UTC)
SHIPPED = Path(__file__).parents[2] / "config/recorders"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path / "station", more=f'[devices]\nprofiles = ["{SHIPPED}"]')


def docked(station: Station, count: int, suffix: str, probe: dict[str, Any]) -> str:
    """The facts of a docking of so many probed files, without their bytes."""
    docking = f"dck-20260923t000000z-{count:016}"
    source = "serial:8888888"
    opened = Draft(
        "docking.opened", docking,
        {"recorder": source, "recorder_id": None, "label": "8888888", "registered": False, "slot": "", "source": "/card",
         "channel": "usb", "profile": "gat947", "officer": "", "continues": None, "said": None, "zones": {}},
    )  # fmt: skip
    listed, stored, probed = [], [], []
    for n in range(count):
        at = BEGAN + timedelta(minutes=3 * n)
        sha = hashlib.sha256(f"{count} {n}".encode())
        path = f"DCIM/8888888_000123_{at + timedelta(hours=8):%Y%m%d%H%M%S}_{n % 10_000:04}.{suffix}"
        file = {"volume": "", "path_b64": b64encode(path.encode()).decode(), "size": 100,
                "mtime_ns": int(at.timestamp()) * 10**9, "birth_ns": None}  # fmt: skip
        listed.append(file)
        asset = asset_id(sha.digest())
        stored.append(
            Draft("asset.stored", asset,
                  {**file, "source": source, "device": 0, "inode": 0, "docking": docking, "sha256": sha.hexdigest(),
                   "kind": probe["kind"], "captured": {"value": stamp(at), "source": "name", "confidence": "claimed"},
                   "recording": recording_id(sha.digest()), "label": "8888888", "officer": "", "important": False,
                   "channel": "usb", "vault": "local", "key": f"originals/x/{asset}.{suffix}", "method": "direct",
                   "verified_at": stamp(at)})
        )  # fmt: skip
        probed.append(Draft("asset.probed", asset, {"docking": docking, "probe": probe}))
    for drafts in ([opened, Draft("docking.listed", docking, {"files": listed, "known": []})], stored, probed):
        station.ledger.record(drafts)
    return docking


@contextmanager
def statements() -> Iterator[list[str]]:
    """Every statement that is sent to a database meanwhile."""
    seen: list[str] = []

    def heard(_conn: Any, _cursor: Any, statement: str, _parameters: Any, _context: Any, _many: bool) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", heard)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", heard)


PHOTO = {"kind": "photo", "container": "jpeg", "streams": [{"kind": "image", "width": 1920, "height": 1080}]}
FILM = {"kind": "video", "container": "mp4", "duration": 100.0,
        "streams": [{"kind": "video", "codec": "h264", "width": 1280, "height": 720, "frame_rate": 25.0}]}  # fmt: skip


@pytest.mark.parametrize(("suffix", "probe"), [("jpg", PHOTO), ("mp4", FILM)])
def test_many_files_are_assembled_by_few_questions(site: Site, suffix: str, probe: dict[str, Any]) -> None:
    """A thousand files more cost what their transactions cost, and some chunks of keys: far from one statement each."""
    counts = {}
    with closing(site.open()) as station:
        rules = StationRules(station)
        for count in (250, 1250):
            docking = docked(station, count, suffix, probe)
            with statements() as seen:
                assert assemble.run(station.ledger, rules, docking).timed == count
            counts[count] = len(seen)
    few, many = counts.values()
    assert many - few < 1000 / 10, counts


def test_what_lies_near_is_found_by_an_index_and_not_by_walking_the_history(site: Site) -> None:
    """Whatever assembling and previews ask about a recorder looks up its own rows, by what narrows them."""
    asked: list[tuple[str, Any]] = []
    with closing(site.open()) as station, station.ledger.catalog.read() as conn:
        event.listen(
            conn, "before_cursor_execute", lambda _c, _cursor, sql, values, _x, _many: asked.append((sql, values))
        )
        assembly.namesakes(conn, "serial:1", "", [b"DCIM/a", b"DCIM/b"])
        assembly.beside_in(conn, "dck-1", "", b"DCIM/a")
        assembly.around(conn, {"serial:1", "rcd-1"}, [("2026", "2027"), ("2028", "2029")], set())
        assembly.last_complete(conn, {"serial:1", "rcd-1"}, 9, ["7A3C-19F2"])
        previews.beside(conn, "rec-1")
        plans = [
            {row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)} for sql, values in list(asked)
        ]
    wanted = [
        "claim USING INDEX sqlite_autoindex_claim_1 (source=? AND volume=? AND path>? AND path<?)",
        "source_file USING INDEX sqlite_autoindex_source_file_1 (docking=? AND volume=? AND path>? AND path<?)",
        "timing USING INDEX timing_source (source=? AND started_at>? AND started_at<?)",
        "docking USING INDEX docking_recorder (recorder=? AND state=? AND seq<?)",
        "recording USING INDEX recording_source (source=? AND started_at<?)",
    ]
    for plan, index in zip(plans, wanted, strict=True):
        assert f"SEARCH {index}" in plan, plan
        assert not [step for step in plan if step.startswith("SCAN")], plan
