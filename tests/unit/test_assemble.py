"""From what is known of a docking's files to times and takes: real dockings of literal cards, in a real catalogue.

What the bytes would say is recorded by the test, so that each case has exactly the claims that it is about.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mediad.catalog import assembly, evidence, previews, recordings
from mediad.catalog import tables as t
from mediad.errors import NotFound
from mediad.model.custody import Draft
from mediad.stages import assemble
from mediad.wiring.media import StationRules
from mediad.wiring.station import Station
from tests.support import Site, make_card, make_site, noise

CHINA = ZoneInfo("Asia/Shanghai")
SHIFT = datetime(2026, 9, 22, 9, 30, tzinfo=CHINA)
GAT = "8888888_000123_{at:%Y%m%d%H%M%S}_{seq:04}{mark}.mp4"


def name(minute: float, seq: int, mark: str = "") -> str:
    return "DCIM/100ANDRO/" + GAT.format(at=SHIFT + timedelta(minutes=minute), seq=seq, mark=mark)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A station with the profiles that are shipped."""
    shipped = Path(__file__).parents[2] / "config/recorders"
    return make_site(tmp_path / "station", more=f'[devices]\nprofiles = ["{shipped}"]')


@pytest.fixture
def station(site: Site) -> Iterator[Station]:
    with closing(site.open()) as opened:
        yield opened


class Bureau:
    """A station at which cards are docked one after the other, and assembled."""

    def __init__(self, site: Site, station: Station, root: Path) -> None:
        self.site, self.station, self.root = site, station, root
        self.rules = StationRules(station)
        self.card = root / "card"

    def dock(
        self,
        files: Mapping[str, bytes],
        *,
        minutes: float = 5.0,
        probes: Mapping[str, Any] | None = None,
        written: datetime = SHIFT + timedelta(days=1),
        officer: str = "",
    ) -> str:
        """Put files on the card and dock it; every new video is ``minutes`` long unless ``probes`` (by name) says otherwise."""
        make_card(self.card, files, mtime_ns=int(written.timestamp() * 1e9))
        docking = self.site.ingest(self.card, recorder="8888888", officer=officer).docking
        usual = {
            "kind": "video", "container": "mov,mp4", "duration": minutes * 60,
            "streams": [{"kind": "video", "codec": "h264", "width": 1280, "height": 720, "frame_rate": 25.0}],
        }  # fmt: skip
        with self.station.ledger.catalog.read() as conn:
            rows = [r for r in assembly.files_of(conn, docking) if r.docking == docking]
        drafts = []
        for row in rows:
            own = (probes or {}).get(row.path.decode(), usual if row.path.endswith(b".mp4") else {"kind": "data"})
            drafts.append(Draft("asset.probed", row.asset, {"docking": docking, "probe": own}))
        self.station.ledger.record(drafts)
        return docking

    def assemble(self, docking: str) -> assemble.Outcome:
        return assemble.run(self.station.ledger, self.rules, docking)

    def recordings(self) -> list[dict[str, Any]]:
        with self.station.ledger.catalog.read() as conn:
            return list(evidence.recordings(conn))

    def names(self, recording: Mapping[str, Any]) -> list[str]:
        with self.station.ledger.catalog.read() as conn:
            return [evidence.asset(conn, a).path.decode().rpartition("/")[2] for a in recording["assets"]]  # type: ignore[union-attr]

    def timing(self, asset: str) -> dict[str, Any]:
        with self.station.ledger.catalog.read() as conn:
            found = recordings.timing_of(conn, asset)
        assert found is not None
        return found


@pytest.fixture
def bureau(site: Site, station: Station, tmp_path: Path) -> Bureau:
    return Bureau(site, station, tmp_path)


def at(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp)


def test_segments_of_one_take_are_one_recording_from_first_start_to_last_end(bureau: Bureau) -> None:
    docking = bureau.dock({name(5 * n, n + 1): noise(900, n) for n in range(3)} | {name(60, 9): noise(900, 9)})
    done = bureau.assemble(docking)
    assert (done.timed, done.joined) == (4, 1)
    take, alone = bureau.recordings()
    assert [n[-8:-4] for n in bureau.names(take)] == ["0001", "0002", "0003"]
    assert at(take["started_at"]) == SHIFT
    assert at(take["ended_at"]) == SHIFT + timedelta(minutes=15)
    assert (take["officer"], take["provisional"], take["confidence"]) == ("000123", False, "claimed")
    assert at(alone["started_at"]) == SHIFT + timedelta(minutes=60)


def test_clips_of_a_card_that_was_copied_without_its_times_stay_apart(bureau: Bureau) -> None:
    """Also when the next docking brings more of them, and those of the first are read from what is recorded."""
    lengths = {"a": 40.0, "b": 60.0, "c": 90.0, "d": 2.0}
    video = {"kind": "video", "container": "mov,mp4", "streams": [{"kind": "video", "codec": "h264"}]}
    for clips in ("ab", "cd"):
        files = {f"{clip}.mp4": noise(900, ord(clip)) for clip in clips}
        docking = bureau.dock(
            files, probes={f"{clip}.mp4": {**video, "duration": lengths[clip]} for clip in clips}, written=SHIFT
        )
        assert bureau.assemble(docking).joined == 0
    assert len(bureau.recordings()) == 4
    assert {r["confidence"] for r in bureau.recordings()} == {"estimated"}


def test_clips_by_file_time_alone_that_would_fit_together_stay_apart_over_dockings(bureau: Bureau) -> None:
    for clip, end in (("a", 0), ("b", 60)):
        probe = {
            "kind": "video",
            "container": "mov,mp4",
            "duration": 60.0,
            "streams": [{"kind": "video", "codec": "h264"}],
        }
        docking = bureau.dock(
            {f"{clip}.mp4": noise(900, end)}, probes={f"{clip}.mp4": probe}, written=SHIFT + timedelta(seconds=end)
        )
        assert bureau.assemble(docking).joined == 0


def test_what_was_recorded_by_file_time_alone_is_followed_by_no_later_docking(bureau: Bureau) -> None:
    """The later file has a time and a number in its name; the earlier one has none, and only seems to end where that begins."""
    assert bureau.assemble(bureau.dock({"DCIM/clip.mp4": noise(900, 1)}, minutes=1, written=SHIFT)).joined == 0
    later = f"DCIM/{SHIFT:%Y%m%d%H%M%S}_0001.mp4"
    assert bureau.assemble(bureau.dock({later: noise(900, 2)}, minutes=1)).joined == 0
    assert [r["confidence"] for r in bureau.recordings()] == ["estimated", "claimed"]


def test_assembling_again_changes_nothing_and_says_nothing(bureau: Bureau) -> None:
    docking = bureau.dock({name(5 * n, n + 1): noise(900, n) for n in range(3)})
    bureau.assemble(docking)
    before = bureau.site.rows("SELECT count(*) FROM custody")
    assert bureau.assemble(docking) == assemble.Outcome(0, 0)
    assert bureau.site.rows("SELECT count(*) FROM custody") == before


def test_a_segment_of_a_later_docking_joins_and_the_earliest_id_stays(bureau: Bureau) -> None:
    """The card was pulled after two of three; the third comes the next day. Old ids stay valid."""
    bureau.assemble(bureau.dock({name(0, 1): noise(900, 1), name(10, 3): noise(900, 3)}))
    first, third = bureau.recordings()
    bureau.assemble(bureau.dock({name(5, 2): noise(900, 2)}))
    (whole,) = bureau.recordings()
    assert [n[-8:-4] for n in bureau.names(whole)] == ["0001", "0002", "0003"]
    assert whole["id"] == first["id"]
    with bureau.station.ledger.catalog.read() as conn:
        assert recordings.recording_of(conn, third["id"]) == whole["id"]


def test_a_mark_given_afterwards_makes_the_recording_important(bureau: Bureau) -> None:
    """The recorder renames what the officer marks; the same bytes come back under the new name."""
    data = noise(900, 1)
    bureau.assemble(bureau.dock({name(0, 1): data}))
    (before,) = bureau.recordings()
    assert not before["important"]
    (bureau.card / name(0, 1)).unlink()
    bureau.assemble(bureau.dock({name(0, 1, "IMP").replace("100ANDRO", "101ANDRO"): data}))
    (after,) = bureau.recordings()
    assert (after["id"], after["important"]) == (before["id"], True)


def test_a_measured_clock_moves_the_recording_and_the_claim_is_kept(bureau: Bureau) -> None:
    """A photo of the station's clock showed afterwards that the recorder is 90 s ahead."""
    docking = bureau.dock({name(0, 1): noise(900, 1)})
    bureau.assemble(docking)
    bureau.station.ledger.record(
        [Draft("clock.measured", docking, {"offset_ms": 90_000, "source": "photo", "why": "x"})]
    )
    bureau.assemble(docking)
    (recording,) = bureau.recordings()
    assert at(recording["started_at"]) == SHIFT - timedelta(seconds=90)
    assert recording["confidence"] == "corrected"
    timing = bureau.timing(recording["assets"][0])
    assert at(timing["time"]["claimed_start"]) == SHIFT
    assert timing["time"]["offset_seconds"] == 90


def test_a_sidecar_tells_officer_and_begin_and_may_come_with_a_later_docking(bureau: Bureau) -> None:
    film, xml = "DCIM/100ANDRO/rec_a.mp4", "DCIM/100ANDRO/rec_a.xml"
    told = {
        "kind": "data", "sidecar": {"format": "xml", "officer": "000777", "device": "8888888"},
        "stamps": [{"source": "sidecar", "value": "2026-09-22T10:00:00", "means": "start", "field": "BeginTime"}],
    }  # fmt: skip
    first = bureau.dock({film: noise(900, 1)})
    bureau.assemble(first)
    (before,) = bureau.recordings()
    assert before["officer"] == ""
    second = bureau.dock({xml: b"<x/>"}, probes={xml: told})
    bureau.station.ledger.catalog.write(lambda conn: conn.execute(t.due.delete()))
    bureau.assemble(second)
    assert bureau.site.rows("SELECT count(*) FROM due WHERE stage = 'assemble' AND subject = ?", first) == [(1,)]
    bureau.assemble(first)
    (after,) = [r for r in bureau.recordings() if r["kind"] == "video"]
    assert after["officer"] == "000777"
    assert at(after["started_at"]) == datetime(2026, 9, 22, 10, tzinfo=CHINA)


def test_a_broken_last_segment_still_belongs_to_its_take(bureau: Bureau) -> None:
    """The battery was pulled: the index is missing, so nothing says how it is coded; its place is clear all the same."""
    files = {name(0, 1): noise(900, 1), name(5, 2): noise(900, 2), name(10, 3): noise(900, 3)}
    broken = {"kind": "video", "conditions": ["truncated"], "container": "mov,mp4"}
    bureau.assemble(bureau.dock(files, probes={name(10, 3): broken}))
    (take,) = bureau.recordings()
    assert len(take["assets"]) == 3


def test_a_clock_reset_in_the_middle_of_a_take_is_placed_by_its_number(bureau: Bureau) -> None:
    reset = "DCIM/100ANDRO/8888888_000123_20000101000000_0003.mp4"
    files = {name(0, 1): noise(900, 1), name(5, 2): noise(900, 2), reset: noise(900, 3)}
    bureau.assemble(bureau.dock(files, written=datetime(2000, 1, 1, tzinfo=CHINA)))
    (take,) = bureau.recordings()
    assert [n[-8:-4] for n in bureau.names(take)] == ["0001", "0002", "0003"]
    assert at(take["ended_at"]) == SHIFT + timedelta(minutes=15)
    placed = bureau.timing(take["assets"][2])
    assert placed["confidence"] == "estimated"
    assert "time-inferred" in [r["code"] for r in placed["remarks"]]
    assert at(placed["time"]["claimed_start"]).year in (1999, 2000)


def test_two_lenses_are_two_recordings_beside_each_other(bureau: Bureau) -> None:
    files = {f"DCIM/2026_0922_09300{n}_000{n}{lens}.MP4": noise(900, n) for n, lens in ((1, "A"), (2, "B"))}
    probe = {
        "kind": "video", "container": "mov,mp4", "duration": 60.0,
        "streams": [{"kind": "video", "codec": "h264", "width": 640, "height": 360}],
    }  # fmt: skip
    bureau.assemble(bureau.dock(files, probes=dict.fromkeys(files, probe)))
    front, rear = bureau.recordings()
    assert {front["lens"], rear["lens"]} == {"A", "B"}
    with bureau.station.ledger.catalog.read() as conn:
        assert [r.id for r in previews.beside(conn, front["id"])] == [rear["id"]]


def test_what_the_log_says_is_what_the_tables_say(bureau: Bureau) -> None:
    """Rebuilt from the vault's log alone the recordings are the same."""
    bureau.assemble(bureau.dock({name(0, 1): noise(900, 1), name(10, 3): noise(900, 3)}))
    bureau.assemble(bureau.dock({name(5, 2): noise(900, 2)}))
    bureau.station.parts.mirror()
    kept = ("recording", "recording_asset", "recording_alias", "timing", "probe")
    before = {table: sorted(map(str, bureau.site.rows(f"SELECT * FROM {table}"))) for table in kept}
    bureau.station.close()
    bureau.site.catalogue.unlink()
    assert bureau.site.run("rebuild").returncode == 0
    assert {table: sorted(map(str, bureau.site.rows(f"SELECT * FROM {table}"))) for table in kept} == before
    assert json.loads(bureau.site.run("fsck", "--json").stdout)["findings"] == []


def test_a_photo_of_the_stations_clock_measures_the_recorders(bureau: Bureau) -> None:
    """The command takes the claimed time, not a corrected one: said twice it comes to the same."""
    photo = "DCIM/100ANDRO/8888888_000123_20260922095000_0007.jpg"
    picture = {"kind": "photo", "streams": [{"kind": "image", "width": 640, "height": 480}]}
    docking = bureau.dock({name(0, 1): noise(900, 1), photo: b"\xff\xd8\xff" + noise(900, 2)}, probes={photo: picture})
    bureau.assemble(docking)
    asset = next(r["assets"][0] for r in bureau.recordings() if r["kind"] == "photo")
    for _ in range(2):
        done = bureau.site.run("recorder", "clock", asset, "--shown", "2026-09-22 09:48:20")
        assert done.returncode == 0, done.stderr
        assert "100 s 快 ahead" in done.stdout
        bureau.assemble(docking)
    film = next(r for r in bureau.recordings() if r["kind"] == "video")
    assert at(film["started_at"]) == SHIFT - timedelta(seconds=100)
    for wrong, code in (
        (["ast-nothing", "--shown", "2026-09-22 09:48:20"], 3),
        ([asset, "--shown", "half past nine"], 2),
    ):
        assert bureau.site.run("recorder", "clock", *wrong).returncode == code


TOLD = {"kind": "data", "sidecar": {"format": "xml", "officer": "000777"}}


def test_dockings_with_a_sidecar_for_each_other_come_to_an_end(bureau: Bureau) -> None:
    """Each wakes the other once; then everything is said."""
    names = [f"DCIM/100ANDRO/rec_{n}" for n in "ab"]
    first = bureau.dock(
        {f"{names[0]}.mp4": noise(900, 1), f"{names[1]}.xml": b"<b/>"}, probes={f"{names[1]}.xml": TOLD}
    )
    second = bureau.dock(
        {f"{names[1]}.mp4": noise(900, 2), f"{names[0]}.xml": b"<a/>"}, probes={f"{names[0]}.xml": TOLD}
    )
    waiting = {first, second}
    for _ in range(8):
        for docking in sorted(waiting):
            bureau.station.ledger.catalog.write(lambda conn: conn.execute(t.due.delete()))
            bureau.assemble(docking)
            waiting = (waiting - {docking}) | {
                r[0] for r in bureau.site.rows("SELECT subject FROM due WHERE stage = 'assemble'")
            }
        if not waiting:
            break
    assert not waiting
    assert {r["officer"] for r in bureau.recordings() if r["kind"] == "video"} == {"000777"}


def test_what_a_complete_docking_did_not_find_was_not_there_then(
    bureau: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same card was docked and all of it taken; a file that claims to be older than that has a clock that is wrong. But not
    if it lay there already and was left."""
    from mediad.edges import origin

    card = origin.Origin(bureau.card, uuid="7A3C-19F2")
    monkeypatch.setattr(origin, "origin", lambda _path: card)
    first = bureau.dock({name(0, 1): noise(900, 1)})
    left = {
        "docking": first,
        "volume": "7A3C-19F2",
        "path": name(-90, 5).encode(),
        "size": 900,
        "mtime_ns": 0,
        "why": "left",
    }
    bureau.station.ledger.catalog.write(lambda conn: conn.execute(t.source_file.insert().values(left)))
    bureau.assemble(first)
    bureau.assemble(bureau.dock({name(-60, 9): noise(900, 9), name(-90, 5): noise(900, 5)}))
    (new,) = [r for r in bureau.recordings() if r["confidence"] == "untrusted"]
    assert bureau.names(new)[0].endswith("0009.mp4")
    new = next(r for r in bureau.recordings() if r["confidence"] == "untrusted")
    timing = bureau.timing(new["assets"][0])
    assert at(timing["time"]["claimed_start"]) == SHIFT - timedelta(minutes=60)
    assert "did not find it" in timing["time"]["candidates"][0]["why"]


def test_a_docking_whose_clock_was_ahead_is_no_witness(bureau: Bureau, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the station's clock was a year ahead: that must not spoil every later docking until that day."""
    from mediad.edges import origin

    monkeypatch.setattr(origin, "origin", lambda _path: origin.Origin(bureau.card, uuid="7A3C-19F2"))
    ahead = bureau.dock({name(0, 1): noise(900, 1)})
    year = "2027-11-24T00:00:00.000000Z"
    bureau.station.ledger.catalog.write(
        lambda conn: conn.execute(t.docking.update().where(t.docking.c.id == ahead).values(opened_at=year))
    )
    bureau.assemble(bureau.dock({name(60, 2): noise(900, 2)}))
    assert {r["confidence"] for r in bureau.recordings() if r["assets"] and not r["provisional"]} == {"claimed"}


def test_without_its_profile_a_docking_waits_and_loses_nothing(bureau: Bureau) -> None:
    """A profile that was removed or renamed: names and marks would say nothing, and clips would be joined by their file times."""
    docking = bureau.dock({name(0, 1, "IMP"): noise(900, 1), name(120, 2): noise(900, 2)})
    bureau.assemble(docking)
    before = bureau.recordings()
    bureau.station.profiles = []
    bureau.rules = StationRules(bureau.station)
    with pytest.raises(NotFound, match="is not there any more"):
        bureau.assemble(docking)
    assert bureau.recordings() == before


def test_a_mark_is_never_taken_back(bureau: Bureau) -> None:
    """Not by a profile that was changed since, either."""
    docking = bureau.dock({name(0, 1, "IMP"): noise(900, 1)})
    bureau.station.profiles = [replace(p, names=(), important=()) for p in bureau.station.profiles]
    bureau.rules = StationRules(bureau.station)
    for _ in range(2):
        bureau.assemble(docking)
        assert [r["important"] for r in bureau.recordings()] == [True]


NAME = "DCIM/100ANDRO/MOVI0001"
MARKED = {"kind": "data", "sidecar": {"format": "xml", "officer": "ZHANG01", "important": True}}
MONTH = timedelta(days=30)


def officers(bureau: Bureau) -> list[tuple[str, bool]]:
    return [(r["officer"], r["important"]) for r in bureau.recordings() if r["kind"] == "video"]


def test_a_sidecar_of_another_day_is_not_of_a_new_file_with_the_old_name(bureau: Bureau) -> None:
    """The card was formatted, and the recorder counts from the start again."""
    bureau.assemble(
        bureau.dock(
            {f"{NAME}.mp4": noise(900, 1), f"{NAME}.xml": b"<a/>"}, probes={f"{NAME}.xml": MARKED}, written=SHIFT
        )
    )
    for path in (f"{NAME}.mp4", f"{NAME}.xml"):
        (bureau.card / path).unlink()
    bureau.assemble(bureau.dock({f"{NAME}.mp4": noise(900, 2)}, written=SHIFT + MONTH))
    assert officers(bureau) == [("ZHANG01", True), ("", False)]
    (bureau.card / f"{NAME}.mp4").unlink()
    bureau.assemble(bureau.dock({f"{NAME}.mp4": noise(900, 3)}, written=SHIFT + timedelta(hours=1)))
    assert officers(bureau).count(("ZHANG01", True)) == 1, "also of the same day: that sidecar has its recording"


def test_a_new_files_sidecar_is_not_of_an_old_one_with_its_name(bureau: Bureau) -> None:
    first = bureau.dock({f"{NAME}.mp4": noise(900, 1)}, written=SHIFT)
    bureau.assemble(first)
    (bureau.card / f"{NAME}.mp4").unlink()
    bureau.assemble(
        bureau.dock(
            {f"{NAME}.mp4": noise(900, 2), f"{NAME}.xml": b"<a/>"},
            probes={f"{NAME}.xml": MARKED},
            written=SHIFT + MONTH,
        )
    )
    bureau.assemble(first)
    assert officers(bureau) == [("", False), ("ZHANG01", True)]


def test_two_officers_are_two_recordings_also_if_only_the_docking_names_them(bureau: Bureau) -> None:
    """Nobody's recording is absorbed by another one's."""
    short = ["DCIM/20260922093000_0001.mp4", "DCIM/20260922093500_0002.mp4"]
    bureau.assemble(bureau.dock({short[0]: noise(900, 1)}, officer="A00001"))
    bureau.assemble(bureau.dock({short[1]: noise(900, 2)}, officer="B00002"))
    assert [(r["officer"], len(r["assets"])) for r in bureau.recordings()] == [("A00001", 1), ("B00002", 1)]


def test_a_take_goes_on_across_the_registration_of_its_recorder(bureau: Bureau) -> None:
    bureau.assemble(bureau.dock({name(0, 1): noise(900, 1)}))
    assert bureau.site.run("recorder", "add", "8888888", "--name", "07号").returncode == 0
    bureau.assemble(bureau.dock({name(5, 2): noise(900, 2)}))
    (take,) = bureau.recordings()
    assert len(take["assets"]) == 2


@pytest.mark.parametrize("shown", ["1970-01-01T00:00:00", "9999-12-31T23:59:59", "0001-01-01T00:00:00"])
def test_a_clock_that_cannot_have_been_right_measures_nothing(bureau: Bureau, shown: str) -> None:
    photo = "DCIM/100ANDRO/8888888_000123_20260922095000_0007.jpg"
    picture = {"kind": "photo", "streams": [{"kind": "image", "width": 640, "height": 480}]}
    docking = bureau.dock({photo: b"\xff\xd8\xff" + noise(900, 2)}, probes={photo: picture})
    bureau.assemble(docking)
    done = bureau.site.run("recorder", "clock", bureau.recordings()[0]["assets"][0], "--shown", shown)
    assert done.returncode in (2, 4), done.stderr
    assert "at fault" not in done.stderr


def test_a_measured_clock_can_be_withdrawn(bureau: Bureau) -> None:
    docking = bureau.dock({name(0, 1): noise(900, 1)})
    bureau.station.ledger.record(
        [Draft("clock.measured", docking, {"offset_ms": 90_000, "source": "photo", "why": "x"})]
    )
    bureau.assemble(docking)
    (film,) = bureau.recordings()
    assert bureau.site.run("recorder", "clock", film["assets"][0], "--withdraw").returncode == 0
    bureau.assemble(docking)
    (film,) = bureau.recordings()
    assert (at(film["started_at"]), film["confidence"]) == (SHIFT, "claimed")
    assert bureau.site.run("recorder", "clock", film["assets"][0]).returncode == 2, "one of the two"


def test_a_sidecar_that_came_alone_is_only_of_the_newest_file_of_its_name_and_day(bureau: Bureau) -> None:
    """Two files bore that name; the one that is gone from the card does not get what was written for the other."""
    dockings = []
    for n, written in ((1, SHIFT - MONTH), (2, SHIFT), (3, SHIFT)):
        dockings.append(bureau.dock({f"{NAME}.mp4": noise(900, n)}, written=written))
        bureau.assemble(dockings[-1])
        (bureau.card / f"{NAME}.mp4").unlink()
    bureau.assemble(bureau.dock({f"{NAME}.xml": b"<a/>"}, probes={f"{NAME}.xml": MARKED}, written=SHIFT))
    for docking in dockings:
        bureau.assemble(docking)
    by_asset = {a: r["officer"] for r in bureau.recordings() for a in r["assets"] if r["kind"] == "video"}
    with bureau.station.ledger.catalog.read() as conn:
        newest = assembly.namesakes(conn, "serial:8888888", "", [NAME.encode()])[NAME.encode()]
    (film,) = [row.asset for path, row in newest.items() if path.endswith(b".mp4")]
    assert {asset for asset, officer in by_asset.items() if officer} == {film}


def test_a_sidecar_that_came_alone_long_before_is_of_no_later_file(bureau: Bureau) -> None:
    bureau.assemble(bureau.dock({f"{NAME}.xml": b"<a/>"}, probes={f"{NAME}.xml": MARKED}, written=SHIFT))
    bureau.assemble(bureau.dock({f"{NAME}.mp4": noise(900, 1)}, written=SHIFT + MONTH))
    assert officers(bureau) == [("", False)]
