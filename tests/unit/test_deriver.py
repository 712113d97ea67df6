"""Steps behind the ingest, with parsers and makers that fail in each way: what one subject does must not hold up the others."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import structlog.testing

from mediad.catalog import due
from mediad.catalog import tables as t
from mediad.deriver import PASSING_TIMES, Deriver, Pauses, World
from mediad.errors import Busy, CatalogError, MediadError, Stopping, StorageError, VaultFull, VaultOffline
from mediad.model.backoff import look_again
from mediad.model.custody import Draft
from mediad.model.derived import About
from mediad.model.instants import stamp
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

    def __init__(self, error: Any, *names: bytes) -> None:
        self.error, self.names, self.asked = error, names, 0

    def probe(self, originals: Sequence[Original]) -> Mapping[str, Probe | MediadError]:
        self.asked += 1
        if any(o.name in self.names for o in originals):
            raise self.error
        return {o.asset: Probe("photo") for o in originals}


@pytest.fixture
def station(site: Site, tmp_path: Path) -> Iterator[Station]:
    site.ingest(make_card(tmp_path / "card", dict(FILES)))
    with closing(site.open()) as opened:
        yield opened


class Weather:
    """How the world is, and what time it is in it: whatever the subject, ``bad`` says why a stage cannot be worked on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.bad: dict[str, MediadError] = {}
        self.unfit: MediadError | None = None
        self.alone: Callable[[], AbstractContextManager[None]] = nullcontext

    def one(self) -> AbstractContextManager[None]:
        return self.alone()

    def check(self, stage: str) -> None:
        if stage in self.bad:
            raise self.bad[stage]

    def whole(self) -> None:
        if self.unfit is not None:
            raise self.unfit


def worker(
    station: Station, parsers: Parsers, watch: Watch, maker: Any = None, name: str = "wrk-test",
    weather: Weather | None = None, **more: Any,
) -> Deriver:  # fmt: skip
    weather, rules = weather or Weather(), StationRules(station)
    world = World(station.vault, parsers, rules, maker, weather.one, weather.check, weather.whole, set)
    stop, ledger = more.pop("stop", threading.Event()), more.pop("ledger", station.ledger)
    return Deriver(ledger, world, name, watch, stop, clock=lambda: weather.now, **more)


def every_name() -> list[bytes]:
    return [name.encode() for name in FILES]


def columns(site: Site, stage: str, names: str) -> list[tuple[Any, ...]]:
    return site.rows(f"SELECT DISTINCT {names} FROM due WHERE stage = ?", stage)


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
        def probe(self, originals: Sequence[Original]) -> Mapping[str, Probe | MediadError]:
            self.asked += 1
            return {o.asset: self.error if o.name in self.names else Probe("photo") for o in originals}

    watch, parsers = Watch(), Some(StorageError("late", code="sandbox-late"), b"DCIM/3.jpg")
    assert worker(station, parsers, watch).step()
    assert parsers.asked == 1
    assert site.rows("SELECT count(*) FROM probe") == [(4,)]
    assert site.rows("SELECT tries, why FROM due WHERE stage = 'probe'") == [(1, "late (sandbox-late)")]
    assert watch.done == 4


@pytest.mark.parametrize("code", ["storage", "sandbox-unfit"])
def test_what_meets_each_file_of_a_batch_is_no_fault_of_the_files(site: Site, station: Station, code: str) -> None:
    """A disk that was pulled shows as read errors first, a broken installation as parsers that end. What has its answer keeps it;
    of the others none is put off, counts as tried, or is told of."""

    class Some(Parsers):
        def probe(self, originals: Sequence[Original]) -> Mapping[str, Probe | MediadError]:
            return {o.asset: self.error if o.name in self.names else Probe("photo") for o in originals}

    watch, weather = Watch(), Weather()
    parsers = Some(StorageError("cannot be read", code=code), b"DCIM/3.jpg", b"DCIM/4.jpg")
    if code == "sandbox-unfit":
        weather.unfit = parsers.error
    else:
        weather.bad[due.PROBE] = VaultOffline("not mounted")
    deriver = worker(station, parsers, watch, weather=weather)
    assert not deriver.step(facts=True)
    assert site.rows("SELECT count(*) FROM probe") == [(3,)]
    assert columns(site, due.PROBE, "tries, owner, not_before") == [(0, None, "")]
    assert watch.findings == []


def test_one_original_over_which_a_whole_parser_ends_as_if_it_were_not_holds_up_no_other(
    site: Site, station: Station
) -> None:
    """What a file has taken over may end as it likes; so may what it left no memory to load a library."""
    watch, parsers = Watch(), Parsers(StorageError("is not whole", code="sandbox-unfit"), b"DCIM/3.jpg")
    assert worker(station, parsers, watch).step()
    assert site.rows("SELECT count(*) FROM probe") == [(4,)]
    assert columns(site, due.PROBE, "tries, owner, why") == [(1, None, "is not whole (sandbox-unfit)")]
    assert [code for _, code, _ in watch.findings] == ["probe-later"]


def test_an_original_that_the_vault_has_lost_is_asked_for_less_and_less_often(site: Site, station: Station) -> None:
    """A minute, two, four: not every minute for ever."""
    (lost,) = site.rows("SELECT asset FROM replica LIMIT 1")
    station.ledger.catalog.write(lambda conn: conn.execute(t.replica.update().values(state="lost")))
    waits = []
    for _ in range(3):
        due.at_once(station.ledger.catalog, set())
        before = station.ledger.clock()
        assert worker(station, Parsers(StorageError("none")), Watch()).step()
        ((tries, at),) = site.rows("SELECT tries, not_before FROM due WHERE subject = ?", lost[0])
        waits.append((tries, round((datetime.fromisoformat(at) - before).total_seconds() / 60)))
    assert waits == [(1, 1), (2, 2), (3, 4)]


def test_a_stop_counts_as_no_try(site: Site, station: Station) -> None:
    parsers = Parsers(Stopping("mediad is stopping"), *(name.encode() for name in FILES))
    with pytest.raises(Stopping):
        worker(station, parsers, Watch()).step()
    assert columns(site, due.PROBE, "tries, owner, not_before, why") == [(0, None, "", "")]


def test_previews_that_the_settings_do_not_want_do_not_wait_for_ever(site: Site, station: Station) -> None:
    deriver = worker(station, Parsers(StorageError("none")), Watch(), maker=None)
    while deriver.step():
        pass
    assert site.rows("SELECT count(*) FROM due WHERE stage NOT IN ('rule', 'match')") == [(0,)]
    due.refill(station.ledger.catalog)
    assert site.rows("SELECT DISTINCT stage, count(*) FROM due WHERE stage NOT IN ('rule', 'match')") == [("photo", 5)]


class Maker:
    """Makes nothing, and remembers what lies where; ``meanwhile`` happens while it works."""

    settings, zone = Settings(), ZoneInfo("Asia/Shanghai")

    def __init__(self) -> None:
        self.lying: dict[str, str] = {}
        self.meanwhile: Any = None
        self.removed: list[str] = []
        self.refused: dict[str, MediadError] = {}

    def about(self, recording: str) -> About | None:
        found = self.lying.get(recording)
        return About(recording, found, "") if found else None

    def photos(self, orders: Sequence[Order]) -> Mapping[str, About]:
        if self.meanwhile is not None:
            act, self.meanwhile = self.meanwhile, None
            act()
        for order in orders:
            if order.recording in self.refused:
                raise self.refused[order.recording]
        for order in orders:
            self.lying[order.recording] = order.fingerprint
        return {o.recording: About(o.recording, o.fingerprint, "") for o in orders}

    def remove(self, recording: str) -> None:
        self.removed.append(recording)
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
    assert site.rows("SELECT count(*) FROM due WHERE stage NOT IN ('rule', 'match')") == [(0,)]


def test_previews_that_are_not_wanted_end_no_worker_over_a_busy_catalogue(
    site: Site, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    weather = Weather()
    deriver, drop = worker(station, Parsers(StorageError("none")), Watch(), weather=weather), due.drop

    def busy(*_: Any) -> None:
        raise Busy("locked")

    monkeypatch.setattr(due, "drop", busy)
    while deriver.step():
        pass
    assert columns(site, due.PHOTO, "tries") == [(0,)]
    monkeypatch.setattr(due, "drop", drop)
    weather.now += look_again(1)
    assert not deriver.step()
    assert site.rows("SELECT count(*) FROM due WHERE stage NOT IN ('rule', 'match')") == [(0,)]


# --- the world's fault ----------------------------------------------------------------------------------------------


def test_a_vault_that_is_gone_is_charged_to_no_file_and_is_told_once(site: Site, station: Station) -> None:
    """Nothing is put off, so all goes on at once when it is back; till then it is looked at less and less often."""
    watch, weather = Watch(), Weather()
    parsers = Parsers(VaultOffline("not mounted"), *every_name())
    deriver = worker(station, parsers, watch, weather=weather)
    with structlog.testing.capture_logs() as log:
        tried = []
        for second in range(200):
            weather.now = float(second)
            before = parsers.asked
            assert not deriver.step(facts=True)
            tried += [second] * (parsers.asked - before)
        assert tried == [0, 2, 6, 14, 30, 62, 122, 182]
        assert deriver.waits()
        assert columns(site, due.PROBE, "tries, owner, not_before") == [(0, None, "")]
        assert sorted(r[0] for r in site.rows("SELECT why FROM due WHERE stage = 'probe'")) == [
            "", "", "", "", "not mounted (vault-offline)",
        ]  # fmt: skip
        parsers.names = ()
        weather.now += look_again(99)
        assert deriver.step()
    assert site.rows("SELECT count(*) FROM probe") == [(5,)]
    assert not deriver.waits()
    assert [(line["event"], line["code"]) for line in log] == [
        ("waiting", "vault-offline"),
        ("going on", "vault-offline"),
    ]
    assert watch.findings == []


def test_one_worker_at_a_time_looks_whether_the_world_is_back() -> None:
    """Who began before the pause is no further failure, and its success says nothing of the world now."""
    now = 0.0
    pauses = Pauses(lambda: now)
    first, second = pauses.begin(due.PROBE), pauses.begin(due.PROBE)
    assert first == second == 0.0
    now = 1.0
    pauses.failed(due.PROBE, first, VaultOffline("not mounted"))
    pauses.failed(due.PROBE, second, VaultOffline("not mounted"))
    pauses.well(due.PROBE, second)
    assert pauses.begin(due.PHOTO) == now
    now = 3.0
    looks = pauses.begin(due.PROBE)
    assert looks == 3.0, "two seconds after the first failure"
    assert pauses.begin(due.PROBE) is None, "the others wait for who looks"
    pauses.well(due.PROBE, looks)
    assert pauses.begin(due.PROBE) == 3.0


def test_nobody_waits_for_what_another_worker_has_done_meanwhile(site: Site, station: Station) -> None:
    """Another one was assembling, and then assembled this as well."""
    weather, parsers = Weather(), Parsers(StorageError("none"))
    deriver = worker(station, parsers, Watch(), weather=weather, once=True)
    assert deriver.step(), "probes"

    def busy() -> AbstractContextManager[None]:
        raise Busy("another process is assembling")

    weather.alone = busy
    assert not deriver.step()
    assert deriver.waits()
    other = worker(station, parsers, Watch(), name="wrk-other")
    while other.step():
        pass
    assert not deriver.waits()


def test_a_full_vault_keeps_only_previews_waiting(site: Site, station: Station, tmp_path: Path) -> None:
    """Probes and takes of what is docked meanwhile are found, by the same threads."""
    weather, maker, watch = Weather(), Maker(), Watch()
    weather.bad[due.PHOTO] = VaultFull("no room")

    def full() -> None:
        maker.meanwhile = full
        raise VaultFull("no room")

    maker.meanwhile = full
    deriver = worker(station, Parsers(StorageError("none")), watch, maker, weather=weather)
    while deriver.step():
        pass
    assert columns(site, due.PHOTO, "tries, not_before") == [(0, "")]
    site.ingest(make_card(tmp_path / "second", {"DCIM/9.jpg": b"\xff\xd8\xff" + noise(900, 9)}))
    while deriver.step():
        pass
    assert site.rows("SELECT stage, count(*) FROM due WHERE stage NOT IN ('rule', 'match') GROUP BY stage") == [
        ("photo", 6)
    ]
    assert watch.findings == []
    maker.meanwhile, weather.now = None, 2.0
    assert deriver.step()
    assert site.rows("SELECT count(*) FROM due WHERE stage NOT IN ('rule', 'match')") == [(0,)]


def test_one_film_that_finds_no_room_where_there_is_some_is_put_off_alone(site: Site, station: Station) -> None:
    maker = Maker()
    deriver = worker(station, Parsers(StorageError("none")), Watch(), maker)
    assert deriver.step() and deriver.step()
    large = site.rows("SELECT min(id) FROM recording")[0][0]
    maker.refused = {large: VaultFull("no room is left for a preview")}
    assert deriver.step()
    assert site.rows("SELECT subject, tries FROM due WHERE stage NOT IN ('rule', 'match')") == [(large, 1)]
    assert not deriver.waits()


@pytest.mark.parametrize("error", [Busy("locked"), StorageError("disk is full", code="catalog-full")])
def test_what_passes_by_itself_in_the_catalogue_ends_no_worker(
    site: Site, station: Station, error: MediadError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may come at any write: when something is taken, answered, put off, or given back."""
    real = station.ledger.catalog.write
    for bad in range(1, 6):
        calls = 0

        def write(work: Any) -> Any:
            nonlocal calls
            calls += 1
            if bad <= calls <= bad + 1:  # what is given back after the first fails as well  # noqa: B023
                raise error
            return real(work)

        station.ledger.catalog.write(lambda conn: due.again(conn, due.PROBE, ids(site), station.ledger.clock()))
        weather = Weather()
        with monkeypatch.context() as patch:
            patch.setattr(station.ledger.catalog, "write", write)
            deriver = worker(station, Parsers(StorageError("none"), b"DCIM/3.jpg"), Watch(), Maker(), weather=weather)
            for _ in range(20):
                deriver.step()
                weather.now += 2.0
        left = site.rows("SELECT subject, tries, owner FROM due WHERE stage NOT IN ('rule', 'match')")
        assert [(tries, owner) for _, tries, owner in left] == [(1, None)], f"the write number {bad} was refused"


def ids(site: Site) -> list[str]:
    return [row[0] for row in site.rows("SELECT id FROM asset")]


def test_a_catalogue_that_cannot_be_used_ends_the_worker(
    site: Site, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_work: Any) -> Any:
        raise CatalogError("the catalogue is damaged")

    monkeypatch.setattr(station.ledger.catalog, "write", broken)
    with pytest.raises(CatalogError):
        worker(station, Parsers(StorageError("none")), Watch()).step()


def test_who_else_assembles_is_waited_for_and_no_docking_is_charged(site: Site, station: Station) -> None:
    weather, watch = Weather(), Watch()
    deriver = worker(station, Parsers(StorageError("none")), watch, Maker(), weather=weather)
    assert deriver.step()

    def busy() -> AbstractContextManager[None]:
        raise Busy("another process is assembling")

    weather.alone = busy
    assert not deriver.step()
    assert site.rows("SELECT tries, not_before, why FROM due WHERE stage = 'assemble'") == [
        (0, "", "another process is assembling (busy)")
    ]
    weather.alone, weather.now = nullcontext, 2.0
    assert deriver.step()
    assert watch.findings == []


@pytest.mark.parametrize(
    ("error", "times"), [(VaultOffline("not mounted"), 1), (Busy("locked"), PASSING_TIMES)], ids=["vault", "busy"]
)
def test_a_person_who_waits_is_told_soon_what_cannot_be_done_now(
    site: Site, station: Station, error: MediadError, times: int
) -> None:
    """Once of the whole stage. What is likely to pass is waited for some times."""
    watch, weather = Watch(), Weather()
    parsers = Parsers(error, *every_name())
    deriver = worker(station, parsers, watch, weather=weather, once=True)
    for _ in range(9):
        deriver.step()
        weather.now += look_again(99)
    assert parsers.asked == times
    assert [code for _, code, _ in watch.findings] == ["probe-later"]
    assert not deriver.waits()
    assert columns(site, due.PROBE, "tries, not_before") == [(0, "")]


def test_a_person_who_waits_is_told_once_what_failed(site: Site, station: Station) -> None:
    """It was put off, also while it was tried: in the same run it is not tried again, however long that takes."""
    watch = Watch()
    parsers = Parsers(StorageError("cannot be read"), b"DCIM/3.jpg")
    now = station.ledger.clock()
    deriver = worker(station, parsers, watch, once=True, ledger=replace(station.ledger, clock=lambda: now))
    while deriver.step():
        now += timedelta(hours=1)
    assert [code for _, code, _ in watch.findings] == ["probe-later"]
    assert site.rows("SELECT tries FROM due WHERE stage NOT IN ('rule', 'match')") == [(1,)]


# --- whose turn it is -------------------------------------------------------------------------------------------------


def test_a_worker_that_stops_in_the_middle_of_a_batch_that_failed_leaves_the_rest(site: Site, station: Station) -> None:
    stop = threading.Event()

    class Last(Parsers):
        def probe(self, originals: Sequence[Original]) -> Mapping[str, Probe | MediadError]:
            if len(originals) == 1:
                stop.set()
            return super().probe(originals)

    parsers = Last(StorageError("killed"), b"DCIM/4.jpg")
    with pytest.raises(Stopping):
        worker(station, parsers, Watch(), stop=stop).step()
    assert parsers.asked == 2
    assert len(columns(site, due.PROBE, "subject")) in (4, 5)
    assert columns(site, due.PROBE, "owner") == [(None,)]


def test_a_film_that_failed_twice_waits_twice_as_long(site: Site, station: Station) -> None:
    """Whatever it was that failed: an error of the world's parts, or a fault of ours."""
    now = station.ledger.clock()
    ledger = replace(station.ledger, clock=lambda: now)
    for error in (StorageError("killed"), ZeroDivisionError("ours")):
        station.ledger.catalog.write(lambda conn: due.again(conn, due.PROBE, ids(site), now))
        parsers = Parsers(error, *every_name())
        for minutes in (1, 2, 4):
            due.at_once(station.ledger.catalog, set())
            with structlog.testing.capture_logs():
                assert worker(station, parsers, Watch(), ledger=ledger).step()
            assert columns(site, due.PROBE, "not_before") == [(stamp(now + timedelta(minutes=minutes)),)]


def test_what_another_thread_of_this_worker_has_is_not_taken_twice(site: Site, station: Station) -> None:
    inner: list[bool] = []

    class Asking(Parsers):
        def probe(self, originals: Sequence[Original]) -> Mapping[str, Probe | MediadError]:
            if not inner:
                inner.append(False)
                inner[0] = deriver.step(facts=True)
            return super().probe(originals)

    parsers = Asking(StorageError("none"))
    deriver = worker(station, parsers, Watch())
    assert deriver.step()
    assert (parsers.asked, inner) == (1, [False])


def test_what_was_handed_over_last_can_be_watched_first_and_the_oldest_are_not_forgotten(
    site: Site, station: Station
) -> None:
    """Of four previews one is the oldest that is due."""
    maker = Maker()
    deriver = worker(station, Parsers(StorageError("none")), Watch(), maker)
    now = station.ledger.clock()
    for n in range(8):  # recordings that are no more: each is a step of its own
        at = now + timedelta(seconds=n)
        station.ledger.catalog.write(lambda conn, n=n, at=at: due.again(conn, due.PREVIEW, [f"rec-{n}"], at))  # type: ignore[misc]
    while deriver.step():
        pass
    assert [name for name in maker.removed if len(name) == 5] == [f"rec-{n}" for n in (7, 6, 5, 0, 4, 3, 2, 1)]


def test_a_thread_for_facts_makes_no_previews(site: Site, station: Station) -> None:
    deriver = worker(station, Parsers(StorageError("none")), Watch(), Maker())
    while deriver.step(facts=True):
        pass
    assert site.rows("SELECT DISTINCT stage FROM due WHERE stage NOT IN ('rule', 'match')") == [("photo",)]


# --- answers ----------------------------------------------------------------------------------------------------------


def test_an_answer_that_is_recorded_already_is_no_new_fact(site: Site, station: Station) -> None:
    """What is probed again and says the same stands once in the log, and its docking is not assembled anew; what says something
    else now is recorded."""
    deriver = worker(station, Parsers(StorageError("none")), Watch(), Maker())
    while deriver.step():
        pass
    events = "SELECT count(*) FROM custody"
    before = site.rows(events)
    station.ledger.catalog.write(lambda conn: due.again(conn, due.PROBE, ids(site), station.ledger.clock()))
    watch = Watch()
    again = worker(station, Parsers(StorageError("none")), watch, Maker())
    assert again.step() and not again.step()
    assert (
        site.rows(events),
        site.rows("SELECT count(*) FROM due WHERE stage NOT IN ('rule', 'match')"),
        watch.done,
    ) == (before, [(0,)], 5)
    changed = ids(site)[0]
    station.ledger.record([Draft("asset.probed", changed, {"docking": docking(site), "probe": {"kind": "video"}})])
    station.ledger.catalog.write(lambda conn: due.again(conn, due.PROBE, ids(site), station.ledger.clock()))
    assert worker(station, Parsers(StorageError("none")), Watch(), Maker()).step()
    assert site.rows("SELECT count(*) FROM custody WHERE kind = 'asset.probed'") == [(5 + 1 + 1,)]


def docking(site: Site) -> str:
    return str(site.rows("SELECT id FROM docking")[0][0])


def test_the_preview_of_what_is_part_of_another_recording_now_is_removed(site: Site, station: Station) -> None:
    maker = Maker()
    deriver = worker(station, Parsers(StorageError("none")), Watch(), maker)
    while deriver.step():
        pass
    first, second = (row[0] for row in site.rows("SELECT id FROM recording ORDER BY id LIMIT 2"))
    members = [
        row[0] for row in site.rows("SELECT asset FROM recording_asset WHERE recording IN (?, ?)", first, second)
    ]
    joined = {"assets": members, "absorbed": [second], "gaps": [], "remarks": []}
    assert second in maker.lying
    station.ledger.record([Draft("recording.joined", first, joined)])
    while deriver.step():
        pass
    assert second not in maker.lying
    assert site.rows("SELECT count(*) FROM preview WHERE recording = ?", second) == [(0,)]
