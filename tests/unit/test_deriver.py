"""Steps behind the ingest, with parsers and makers that fail in each way: what one subject does must not hold up the others."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest

from mediad.deriver import Deriver, World
from mediad.errors import StorageError, VaultOffline
from mediad.model.probe import Probe
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


def worker(station: Station, parsers: Parsers, watch: Watch) -> Deriver:
    rules: Any = StationRules(station)
    world = World(station.vault, parsers, rules, None, nullcontext, set)
    return Deriver(station.ledger, world, "wrk-test", watch, threading.Event())


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


def test_a_vault_that_is_gone_puts_off_the_whole_batch_at_once(site: Site, station: Station) -> None:
    """Nothing is gained by asking for each."""
    parsers = Parsers(VaultOffline("not mounted"), *(name.encode() for name in FILES))
    assert worker(station, parsers, Watch()).step()
    assert parsers.asked == 1
    assert site.rows("SELECT count(*), min(tries) FROM due WHERE stage = 'probe'") == [(5, 1)]
