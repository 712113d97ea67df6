"""Steps behind the ingest, with parsers and makers that fail in each way: what one subject does must not hold up the others."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mediad.catalog import due
from mediad.catalog import tables as t
from mediad.deriver import Deriver, World
from mediad.errors import MediadError, Stopping, StorageError, VaultOffline
from mediad.model.derived import About
from mediad.model.preview import Settings
from mediad.model.probe import Probe
from mediad.stages.preview import Order
from mediad.stages.probe import Original
from mediad.wiring.media import StationRules
from mediad.wiring.station import Station
from tests.support import Site, make_card, noise

FILES = {f"DCIM/{n}.jpg": b"\xff\xd8\xff" + noise(900, n) for n in range(5)}


class Watch:
    def __init__(self) -> None:
        self.findings: list[tuple[str, str, str]] = []
        self.done = 0

    def began(self, stage: str, subjects: Sequence[str]) -> None: ...

    def percent(self, subject: str, percent: float) -> None: ...

    def finding(self, subject: str, code: str, detail: str) -> None:
        self.findings.append((subject, code, detail))

    def ended(self, stage: str, subjects: Sequence[str], done: int) -> None:
        self.done += done


class Parsers:
    """Answers, but for the originals named so it raises, as often as they are among those that it is asked about."""

    def __init__(self, error: BaseException, *names: bytes) -> None:
        self.error, self.names, self.asked = error, names, 0

    def probe(self, originals: Sequence[Original]) -> Mapping[str, Probe]:
        self.asked += 1
        if any(o.name in self.names for o in originals):
            raise self.error
        return {o.asset: Probe("photo") for o in originals}


@pytest.fixture
def station(site: Site, tmp_path: Path) -> Iterator[Station]:
    site.ingest(make_card(tmp_path / "card", dict(FILES)))
    with closing(site.open()) as opened:
        yield opened


def worker(station: Station, parsers: Parsers, watch: Watch, maker: Any = None, name: str = "wrk-test") -> Deriver:
    rules: Any = StationRules(station)
    world = World(station.vault, parsers, rules, maker, nullcontext, set)
    return Deriver(station.ledger, world, name, watch, threading.Event())


@pytest.mark.parametrize("error", [StorageError("killed", code="sandbox-killed"), ZeroDivisionError("ours")])
def test_one_original_that_fails_its_batch_is_put_off_alone(
    site: Site, station: Station, error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of a batch that failed is asked for by itself; so one poisoned file never starves the others."""
    watch, parsers = Watch(), Parsers(error, b"DCIM/3.jpg")
    deriver = worker(station, parsers, watch)
    assert deriver.step()
    assert site.rows("SELECT count(*) FROM probe") == [(4,)]
    ((stage, tries, owner),) = site.rows("SELECT stage, tries, owner FROM due WHERE stage = 'probe'")
    assert (stage, tries, owner) == ("probe", 1, None)
    assert watch.done == 4
    assert [code for _, code, _ in watch.findings] == ["probe-later"]
    assert deriver.step(), "the docking is assembled without it"
    assert not deriver.step()


def test_the_others_of_a_batch_are_recorded_at_once_beside_one_that_was_late(site: Site, station: Station) -> None:
    """Nobody is asked about twice: the answers that are there are kept, and the culprit is put off."""

    class Some(Parsers):
        def probe(self, originals: Sequence[Original]) -> Mapping[str, Probe | MediadError]:  # type: ignore[override]
            self.asked += 1
            return {o.asset: self.error if o.name in self.names else Probe("photo") for o in originals}  # type: ignore[misc]

    watch, parsers = Watch(), Some(StorageError("late", code="sandbox-late"), b"DCIM/3.jpg")
    assert worker(station, parsers, watch).step()
    assert parsers.asked == 1
    assert site.rows("SELECT count(*) FROM probe") == [(4,)]
    assert site.rows("SELECT tries, why FROM due WHERE stage = 'probe'") == [(1, "late (sandbox-late)")]
    assert watch.done == 4


def test_a_vault_that_is_gone_puts_off_the_whole_batch_at_once(site: Site, station: Station) -> None:
    """Nothing is gained by asking for each."""
    parsers = Parsers(VaultOffline("not mounted"), *(name.encode() for name in FILES))
    assert worker(station, parsers, Watch()).step()
    assert parsers.asked == 1
    assert site.rows("SELECT count(*), min(tries) FROM due WHERE stage = 'probe'") == [(5, 1)]


def test_an_original_that_the_vault_has_lost_is_asked_for_less_and_less_often(site: Site, station: Station) -> None:
    """A minute, two, four: not every minute for ever."""
    (lost,) = site.rows("SELECT asset FROM replica LIMIT 1")
    station.ledger.catalog.write(lambda conn: conn.execute(t.replica.update().values(state="lost")))
    waits = []
    for _ in range(3):
        deriver = Deriver(
            station.ledger,
            worker(station, Parsers(StorageError("none")), Watch())._world,
            "wrk-test",
            Watch(),
            threading.Event(),
            patient=False,
        )
        before = station.ledger.clock()
        assert deriver.step()
        ((tries, at),) = site.rows("SELECT tries, not_before FROM due WHERE subject = ?", lost[0])
        waits.append((tries, round((datetime.fromisoformat(at) - before).total_seconds() / 60)))
    assert waits == [(1, 1), (2, 2), (3, 4)]


def test_a_stop_counts_as_no_try(site: Site, station: Station) -> None:
    parsers = Parsers(Stopping("mediad is stopping"), *(name.encode() for name in FILES))
    assert worker(station, parsers, Watch()).step()
    assert site.rows("SELECT DISTINCT tries, owner, not_before FROM due WHERE stage = 'probe'") == [(0, None, "")]


def test_previews_that_the_settings_do_not_want_do_not_wait_for_ever(site: Site, station: Station) -> None:
    deriver = worker(station, Parsers(StorageError("none")), Watch(), maker=None)
    while deriver.step():
        pass
    assert site.rows("SELECT count(*) FROM due") == [(0,)]
    station.ledger.catalog.write(due.refill)
    assert site.rows("SELECT DISTINCT stage, count(*) FROM due") == [("photo", 5)]


class Maker:
    """Makes nothing, and remembers what lies where; ``meanwhile`` happens while it works."""

    settings, zone = Settings(), ZoneInfo("Asia/Shanghai")

    def __init__(self) -> None:
        self.lying: dict[str, str] = {}
        self.meanwhile: Any = None

    def about(self, recording: str) -> About | None:
        found = self.lying.get(recording)
        return About(recording, found, "") if found else None

    def photos(self, orders: Sequence[Order]) -> Mapping[str, About]:
        if self.meanwhile is not None:
            act, self.meanwhile = self.meanwhile, None
            act()
        for order in orders:
            self.lying[order.recording] = order.fingerprint
        return {o.recording: About(o.recording, o.fingerprint, "") for o in orders}

    def remove(self, recording: str) -> None:
        self.lying.pop(recording, None)


def test_a_slow_worker_whose_preview_is_out_of_date_does_not_have_the_last_word(site: Site, station: Station) -> None:
    """While one draws, another one does the same of newer facts and ends first: what the slow one puts in its place is seen."""
    maker = Maker()
    slow = worker(station, Parsers(StorageError("none")), Watch(), maker, "wrk-slow")
    fast = worker(station, Parsers(StorageError("none")), Watch(), maker, "wrk-fast")
    assert slow.step(), "probes"
    assert slow.step(), "assembles"

    def meanwhile() -> None:
        names = [r[0] for r in site.rows("SELECT id FROM recording")]
        station.ledger.catalog.write(lambda conn: due.again(conn, due.PHOTO, names, station.ledger.clock()))
        while fast.step():
            pass
        maker.lying.update(dict.fromkeys(names, "of newer facts"))

    maker.meanwhile = meanwhile
    assert slow.step()
    assert site.rows("SELECT count(*) FROM due WHERE stage = 'photo'") == [(5,)], "each is looked at once more"
    while slow.step():
        pass
    assert site.rows("SELECT count(*) FROM due") == [(0,)]
