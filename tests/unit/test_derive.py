"""Behind the ingest, as a whole: real clips on a card, docked, and worked off by the program itself in its real sandbox."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mediad.cli import derive as cli
from mediad.deriver import Deriver
from mediad.errors import Busy, CatalogError, MediadError, StorageError
from mediad.model.preview import Settings
from mediad.stages import preview as stage
from mediad.wiring.crew import Crew
from mediad.wiring.derive import Logged, _DaemonStation, deriver, run_deriver
from mediad.wiring.derive import derive as work_off
from tests.media import clip, length
from tests.support import Site, complaints, make_site, sha256

SHIPPED = Path(__file__).parents[2] / "config/recorders"
MORE = f'[devices]\nprofiles = ["{SHIPPED}"]\n[derive]\njobs = 2\npreset = "ultrafast"\n'
FOLDER = "DCIM/100ANDRO"
TAKE = (f"{FOLDER}/8888888_000123_20260922093000_0001.mp4", f"{FOLDER}/8888888_000123_20260922093002_0002.mp4")
FILM = f"{FOLDER}/8888888_000123_20260922103000_0003.mp4"
TEXT = f"{FOLDER}/8888888_000123_20260922113000_0004.mp4"
CUT = f"{FOLDER}/8888888_000123_20260922123000_0005.mp4"
PHOTO = f"{FOLDER}/IMG_20260922_133000.jpg"
GPX = FILM.replace(".mp4", ".gpx")
TRACK = """<?xml version="1.0"?><gpx version="1.1" creator="test" xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>
<trkpt lat="39.05" lon="121.80"><time>2026-09-22T02:30:00Z</time></trkpt>
<trkpt lat="39.06" lon="121.81"><time>2026-09-22T02:30:01Z</time></trkpt></trkseg></trk></gpx>
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Two segments of a take, a film to be encoded, a text, a film without its index, and a photo."""
    root = tmp_path_factory.mktemp("clips")
    made = {
        TAKE[0]: clip(root / "a.mp4", options="-metadata title=a"),
        TAKE[1]: clip(root / "b.mp4", options="-metadata title=b"),
        FILM: clip(root / "c.mp4", video="libx265", audio=""),
    }
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=640x480", "-frames:v", "1", root / "p.jpg"],
        check=True,
    )
    files = {name: path.read_bytes() for name, path in made.items()}
    whole = files[FILM]
    return files | {TEXT: b"this is no film\n", CUT: whole[: len(whole) // 2], PHOTO: (root / "p.jpg").read_bytes()}


def test_a_track_beside_a_film_is_its_track_also_if_it_comes_later(
    site: Site, clips: dict[str, bytes], tmp_path: Path
) -> None:
    """The sidecar is named as the film is; its whole track lies with the preview."""
    source = card(tmp_path / "card", {FILM: clips[FILM]})
    site.ingest(source, recorder="8888888")
    derive(site)
    card(source, {GPX: TRACK.encode()})
    site.ingest(source, recorder="8888888")
    derive(site)
    film = recordings(site)["10:30"]
    shown = json.loads(site.run("show", film["id"], "--json").stdout)
    assert shown["track"]["points"] == 2
    lying = json.loads((site.vault / "derived" / film["id"] / "track.geojson").read_text())
    assert lying["geometry"]["coordinates"][0][:2] == [121.80, 39.05]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path / "station", more=MORE)


def card(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, ns=(1_790_100_000 * 10**9,) * 2)
    return root


def derive(site: Site, *words: str, expect: int = 0) -> dict[str, Any]:
    done = site.run("derive", "--json", *words)
    assert done.returncode == expect, (done.returncode, done.stdout, done.stderr[-3000:])
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def recordings(site: Site) -> dict[str, dict[str, Any]]:
    """By the time of day at which they start."""
    return {r["started_at"][11:16]: r for r in json.loads(site.run("recordings", "--json").stdout)}


def previews(site: Site, recording: str) -> set[str]:
    folder = site.vault / "derived" / recording
    return {p.name for p in folder.iterdir()} if folder.exists() else set()


def test_a_card_becomes_recordings_that_can_be_watched(site: Site, clips: dict[str, bytes], tmp_path: Path) -> None:
    """A take of two is one; what has to be encoded is; a text named mp4 and a film without its index are findings and stop
    nothing; a film's pictures are found again with the help of another of the same recorder."""
    source = card(tmp_path / "card", clips)
    site.ingest(source, recorder="8888888")
    answer = derive(site, expect=1)
    assert (answer["probed"], answer["assembled"], answer["previews"]) == (6, 1, 4)
    assert {f["code"] for f in answer["findings"]} >= {"no-index", "unreadable"}
    found = recordings(site)
    assert found.keys() == {"09:30", "10:30", "11:30", "12:30", "13:30"}
    assert not any(r["provisional"] for r in found.values())
    take = found["09:30"]
    assert (len(take["assets"]), take["ended_at"][11:19]) == (2, "09:30:04")
    assert {"proxy.mp4", "poster.jpg", "sheet.jpg", "wave.png", "thumbs.jpg", "thumbs.vtt"} <= previews(
        site, take["id"]
    )
    assert length(site.vault / "derived" / take["id"] / "proxy.mp4") == pytest.approx(4.0, abs=2 / 25)
    assert {"proxy.mp4", "poster.jpg"} <= previews(site, found["10:30"]["id"])
    assert previews(site, found["11:30"]["id"]) == set()
    assert "proxy.mp4" in previews(site, found["12:30"]["id"]), "half of its pictures are there"
    assert {"poster.jpg", "proxy.jpg"} <= previews(site, found["13:30"]["id"])
    shown = json.loads(site.run("show", found["11:30"]["id"], "--json").stdout)
    assert "unreadable" in {f["code"] for f in shown["findings"]}
    asset = json.loads(site.run("show", take["assets"][0], "--json").stdout)
    assert asset["probe"]["streams"][0]["codec"] == "h264"
    assert asset["timing"]["time"]["source"] == "name"
    assert complaints(site, [clips[name] for name in clips]) == [], "no original was touched"
    assert derive(site)["probed"] == 0, "what was done is done"
    assert json.loads(site.run("fsck", "--json").stdout)["findings"] == []


def test_a_film_without_its_index_is_helped_by_the_nearest_that_can_and_is_not_made_anew_for_a_nearer_one(
    clips: dict[str, bytes], tmp_path: Path
) -> None:
    """A recorder may be set otherwise in between. What is broken itself helps nobody."""
    ahead, behind, broken = (f"{FOLDER}/8888888_000123_20260922{t}_0009.mp4" for t in ("033000", "133000", "123500"))
    site = make_site(tmp_path / "station", more=MORE + "previews = false\n")
    source = card(tmp_path / "card", {ahead: clips[TAKE[0]], FILM: clips[FILM], CUT: clips[CUT], broken: b"\0" * 9999})
    site.ingest(source, recorder="8888888")
    with closing(site.open()) as station:

        class Maker:
            settings, zone = Settings(), station.zone

        def helper() -> tuple[str, str]:
            work_off(site.config, Logged(), threading.Event(), [])
            found = recordings(site)["12:30"]["id"]
            order = stage._order(station.ledger, station.vault, Maker(), found)  # type: ignore[arg-type]
            assert isinstance(order, stage.Order) and order.plan.reference == 1
            return order.sources[-1].name.partition("-")[2].partition("_20260922")[2][:4], order.fingerprint

        first = helper()
        assert first[0] == "1030"
        card(source, {behind: clips[TAKE[1]]})
        site.ingest(source, recorder="8888888")
        assert helper() == ("1330", first[1])


def test_a_preview_that_was_deleted_is_made_again_when_it_is_asked_for(
    site: Site, clips: dict[str, bytes], tmp_path: Path
) -> None:
    site.ingest(card(tmp_path / "card", {FILM: clips[FILM]}))
    derive(site)
    (film,) = recordings(site).values()
    proxy = site.vault / "derived" / film["id"] / "proxy.mp4"
    before = proxy.stat().st_ino
    assert derive(site, film["id"])["previews"] == 1
    assert proxy.stat().st_ino == before, "it was there, made of the same bytes in the same way"
    for path in sorted((site.vault / "derived").rglob("*"), reverse=True):
        path.parent.chmod(0o755)
        path.unlink() if path.is_file() else path.rmdir()
    assert derive(site, film["assets"][0])["previews"] == 1, "asked by the id of its asset"
    assert proxy.exists()
    assert site.run("derive", "rec-nothing").returncode == 3


def test_again_makes_a_preview_anew_that_is_there_and_right(
    site: Site, clips: dict[str, bytes], tmp_path: Path
) -> None:
    """Of a film and of a photo; what is not named is left alone, and what says the same as before is no new fact; without a name
    it is refused, and says how it is meant."""
    site.ingest(card(tmp_path / "card", {FILM: clips[FILM], PHOTO: clips[PHOTO], TAKE[0]: clips[TAKE[0]]}))
    derive(site)
    found = recordings(site)
    lying = {at: site.vault / "derived" / found[at]["id"] / "poster.jpg" for at in ("09:30", "10:30", "13:30")}
    before = {at: path.stat().st_ino for at, path in lying.items()}
    facts = site.rows("SELECT count(*) FROM custody")
    answer = derive(site, "--again", found["10:30"]["id"], found["13:30"]["id"])
    assert (answer["probed"], answer["assembled"], answer["previews"]) == (2, 1, 2)
    assert site.rows("SELECT count(*) FROM custody") == facts
    assert {at for at, path in lying.items() if path.stat().st_ino != before[at]} == {"10:30", "13:30"}
    assert complaints(site) == []
    refused = site.run("derive", "--again")
    assert refused.returncode == 2 and "--again ID" in refused.stderr and "--previews" in refused.stderr
    assert site.run("derive", "--previews", found["10:30"]["id"]).returncode == 2


def test_all_previews_that_are_missing_or_out_of_date_are_made_when_that_is_asked_for(
    site: Site, clips: dict[str, bytes], tmp_path: Path
) -> None:
    """The folder was lost; then one is missing; then the settings are others. What is there and right is not made twice."""
    site.ingest(card(tmp_path / "card", {FILM: clips[FILM], PHOTO: clips[PHOTO]}))
    derive(site)
    ids = [r["id"] for r in recordings(site).values()]
    subprocess.run(["rm", "-rf", site.vault / "derived"], check=True)
    assert derive(site)["previews"] == 0, "nobody has asked"
    assert derive(site, "--previews")["previews"] == 2
    posters = [site.vault / "derived" / name / "poster.jpg" for name in ids]
    made = [p.stat().st_ino for p in posters]
    subprocess.run(["rm", "-rf", posters[0].parent], check=True)
    derive(site, "--previews")
    assert posters[0].exists() and posters[1].stat().st_ino == made[1]
    text = site.config_file.read_text()
    site.config_file.write_text(text.replace("[derive]\n", "[derive]\nheight = 144\n"))
    derive(site, "--previews")
    assert all(p.stat().st_ino != inode for p, inode in zip(posters, made, strict=True))
    site.config_file.write_text(text.replace("[derive]\n", "[derive]\npreviews = false\n"))
    refused = site.run("derive", "--previews")
    assert refused.returncode == 4 and "derive.previews" in refused.stderr


def test_a_pipe_is_told_how_much_is_done_of_how_much(
    site: Site, clips: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A line per report here, where it is one in five seconds otherwise; of all that is due, and of what is asked for alone."""
    monkeypatch.setattr(cli._Lines, "EVERY_SECONDS", 0.0)
    site.ingest(card(tmp_path / "card", {FILM: clips[FILM], TAKE[0]: clips[TAKE[0]], PHOTO: clips[PHOTO]}))
    work_off(site.config, cli._Lines(), threading.Event(), [])
    told = capsys.readouterr().err
    assert "probe 3/3" in told and "assemble 1/1" in told and "photos 1/1" in told and "preview 2/2" in told
    film = recordings(site)["10:30"]["id"]
    work_off(site.config, cli._Lines(), threading.Event(), [film], again=True)
    told = capsys.readouterr().err
    assert f"{film} 100 %" in told and "preview 1/1" in told and "preview 2/2" not in told
    monkeypatch.setattr(cli._Lines, "EVERY_SECONDS", 5.0)
    lines = cli._Lines()
    for percent in range(100):
        lines.percent(film, percent)
    assert capsys.readouterr().err == ""


def test_what_was_joined_later_leaves_no_preview_of_its_own(
    site: Site, clips: dict[str, bytes], tmp_path: Path
) -> None:
    source = card(tmp_path / "card", {TAKE[1]: clips[TAKE[1]]})
    site.ingest(source, recorder="8888888")
    derive(site)
    (alone,) = recordings(site).values()
    card(source, {TAKE[0]: clips[TAKE[0]]})
    site.ingest(source, recorder="8888888")
    derive(site)
    (whole,) = recordings(site).values()
    assert whole["id"] == alone["id"], "the segment that was ingested first gives the id"
    assert length(site.vault / "derived" / whole["id"] / "proxy.mp4") == pytest.approx(4.0, abs=2 / 25)
    assert [p.name for p in (site.vault / "derived").iterdir() if p.name.startswith("rec-")] == [whole["id"]]


def test_without_a_sandbox_nothing_is_parsed_and_nothing_is_lost(
    site: Site, clips: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ingest does not feel it; who derives is told what is missing; everything stays due."""
    site.ingest(card(tmp_path / "card", {FILM: clips[FILM]}))
    with monkeypatch.context() as without:
        found = shutil.which
        without.setattr(shutil, "which", lambda name, **more: None if name == "bwrap" else found(name, **more))
        with pytest.raises(StorageError) as told:
            work_off(site.config, Logged(), threading.Event(), [], again=False)
    assert "bwrap" in told.value.message
    assert "bubblewrap" in told.value.hint
    assert site.rows("SELECT stage, tries FROM due WHERE stage NOT IN ('rule', 'match') ORDER BY stage") == [
        ("assemble", 0),
        ("probe", 0),
    ]
    derive(site)
    assert site.rows("SELECT count(*) FROM due") == [(0,)]


def test_a_full_vault_puts_previews_off_and_says_so(site: Site, clips: dict[str, bytes], tmp_path: Path) -> None:
    """Previews never take what an ingest may need; facts are found all the same."""
    site.ingest(card(tmp_path / "card", {FILM: clips[FILM]}))
    full = site.config_file.read_text().replace("reserve_bytes = 0", f"reserve_bytes = {2**60}")
    kept = site.config_file.read_text()
    site.config_file.write_text(full)
    answer = derive(site, expect=1)
    assert [f["code"] for f in answer["findings"]] == ["preview-later"]
    assert not next(iter(recordings(site).values()))["provisional"]
    status = json.loads(site.run("status", "--json").stdout)
    assert status["due"]["preview"] | {"since": ""} == {"waiting": 1, "put_off": 0, "since": ""}
    assert [(p["stage"], p["tries"], "vault-full" in p["why"]) for p in status["put_off"]] == [("preview", 0, True)]
    assert "等待 waits (preview)" in site.run("status").stdout
    site.config_file.write_text(kept)
    derive(site)
    assert json.loads(site.run("status", "--json").stdout)["due"] == {}


def test_previews_leave_an_ingest_twice_its_reserve(site: Site, clips: dict[str, bytes], tmp_path: Path) -> None:
    """There is room for an ingest, which goes on; previews wait before they could bring it to its reserve."""
    reserve = int(shutil.disk_usage(site.root).free * 0.6)
    site.config_file.write_text(site.config_file.read_text().replace("reserve_bytes = 0", f"reserve_bytes = {reserve}"))
    site.ingest(card(tmp_path / "card", {FILM: clips[FILM]}))
    answer = derive(site, expect=1)
    assert (answer["probed"], [f["code"] for f in answer["findings"]]) == (1, ["preview-later"])
    status = json.loads(site.run("status", "--json").stdout)
    assert "vault-full" in status["put_off"][0]["why"]


@pytest.mark.parametrize("planted", ["link", "file"])
def test_what_lies_in_the_place_of_the_previews_keeps_only_them_waiting(
    site: Site, clips: dict[str, bytes], tmp_path: Path, planted: str
) -> None:
    """Probes, times and takes are found; previews are made as soon as it is gone."""
    site.ingest(card(tmp_path / "card", {FILM: clips[FILM]}))
    there = site.vault / "derived"
    if planted == "link":
        there.symlink_to(tmp_path)
    else:
        there.write_bytes(b"")
    answer = derive(site, expect=1)
    assert (answer["probed"], answer["assembled"], [f["code"] for f in answer["findings"]]) == (1, 1, ["preview-later"])
    there.unlink()
    assert derive(site)["previews"] == 1


def test_a_worker_that_begins_leaves_alone_what_another_one_is_making(site: Site, clips: dict[str, bytes]) -> None:
    """What lies in the work folder belongs to whoever lives; once nobody does, the next one clears it away."""
    site.run("ingest", site.root, "--json")  # founds the station
    with closing(site.open()) as station:
        left = site.vault / "derived" / f".work-{site.config.station.id}" / "film-1"
        with deriver(station, Logged()):
            left.mkdir(parents=True)
            with deriver(station, Logged()):
                assert left.exists()
        assert left.exists()
        with deriver(station, Logged()):
            assert not left.exists()


def test_a_station_without_previews_does_not_fill_in_what_it_drops(
    site: Site, clips: dict[str, bytes], tmp_path: Path
) -> None:
    text = site.config_file.read_text()
    site.config_file.write_text(text.replace("[derive]\n", "[derive]\npreviews = false\n"))
    site.ingest(card(tmp_path / "card", {FILM: clips[FILM]}))
    derive(site)
    assert site.rows("SELECT count(*) FROM due WHERE stage NOT IN ('rule', 'match')") == [(0,)]
    with closing(site.open()) as station, deriver(station, Logged()):
        assert site.rows("SELECT count(*) FROM due WHERE stage NOT IN ('rule', 'match')") == [(0,)]
    site.config_file.write_text(text)
    assert derive(site)["previews"] == 1


def test_a_recording_of_a_docking_that_is_not_probed_yet_can_be_asked_for(
    site: Site, clips: dict[str, bytes], tmp_path: Path
) -> None:
    """All that came with it is probed first, since takes are found in all of it; of other dockings nothing is done."""
    site.ingest(card(tmp_path / "first", {FILM: clips[FILM], TEXT: clips[TEXT]}))
    site.ingest(card(tmp_path / "second", {PHOTO: clips[PHOTO]}))
    ((film,),) = site.rows(
        "SELECT recording FROM recording_asset JOIN asset ON id = asset WHERE path = ?", FILM.encode()
    )
    answer = derive(site, film, expect=1)
    assert (answer["probed"], answer["assembled"], answer["previews"]) == (2, 1, 1)


# --- the daemon -------------------------------------------------------------------------------------------------------


class Daemon:
    """`mediad run --only derive`, with its log."""

    def __init__(self, site: Site) -> None:
        command = [sys.executable, "-m", "mediad.cli.main", "-c", str(site.config_file), "run", "--only", "derive"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def until(self, word: str) -> None:
        """Read the log up to a line with this word."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if word in line:
                return
        raise AssertionError(f"it ended without {word}")

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)
        return self.process.returncode


@pytest.fixture
def daemon(site: Site) -> Iterator[Daemon]:
    site.config_file.write_text(site.config_file.read_text() + '[log]\nlevel = "debug"\n')
    site.run("ingest", site.root, "--json")  # founds the station; a folder around the vault is refused
    started = Daemon(site)
    yield started
    started.process.kill()
    started.process.communicate()


def test_the_second_daemon_works_off_what_is_docked_beside_it(
    site: Site, daemon: Daemon, clips: dict[str, bytes], tmp_path: Path
) -> None:
    daemon.until('"running"')
    site.ingest(card(tmp_path / "card", {TAKE[0]: clips[TAKE[0]]}))
    daemon.until('"stage": "preview"')
    (film,) = recordings(site).values()
    assert "proxy.mp4" in previews(site, film["id"])
    second = site.run("run", "--only", "derive")
    assert second.returncode == 6
    assert "works on this catalogue already" in second.stderr
    assert daemon.end() == 0
    assert site.rows("SELECT count(*) FROM due WHERE stage NOT IN ('rule', 'match')") == [(0,)]
    assert not list(site.root.glob("var/locks-*/wrk-*"))


@pytest.fixture
def handlers() -> Iterator[None]:
    """The daemon sets signal handlers; give the old ones back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("fault", [CatalogError("the catalogue was moved away"), ZeroDivisionError("ours")])
def test_a_daemon_whose_workers_have_ended_ends_as_well(
    site: Site, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """At once and by itself, with the fault, so that the service manager starts it anew."""
    site.run("ingest", site.root, "--json")  # founds the station

    def step(_self: Deriver, *, facts: bool = False) -> bool:
        raise fault

    monkeypatch.setattr(Deriver, "step", step)
    hung: list[bool] = []

    def end() -> None:
        hung.append(True)
        os.kill(os.getpid(), signal.SIGTERM)

    guard = threading.Timer(30.0, end)
    guard.start()
    try:
        with pytest.raises(type(fault)):
            run_deriver(site.config)
    finally:
        guard.cancel()
    assert hung == []


def test_what_passes_by_itself_does_not_make_the_daemon_ill(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manager would kill it, and with it the films that are being made; what does not pass is told."""
    site.run("ingest", site.root, "--json")
    with closing(site.open()) as station, deriver(station, Logged()) as worker:
        looked = _DaemonStation(station, Crew(worker, 1, station.stop, lambda: None, until_idle=False))

        def check() -> None:
            raise error

        monkeypatch.setattr(station.ledger.catalog, "check", check)
        error: MediadError = Busy("another process is writing to the catalogue")
        looked.healthy()
        error = CatalogError("the catalogue was moved away")
        with pytest.raises(CatalogError):
            looked.healthy()


def test_a_killed_worker_leaves_its_work_to_the_next(
    site: Site, daemon: Daemon, clips: dict[str, bytes], tmp_path: Path
) -> None:
    """Killed in the middle of a film: no program goes on running, and the next worker takes what it had."""
    daemon.until('"running"')
    long = clip(tmp_path / "long.mp4", video="libx265", audio="", seconds=6, size="1280x720", rate=30)
    site.ingest(card(tmp_path / "card", {FILM: long.read_bytes()}))
    daemon.until('"stage": "assemble"')
    daemon.process.kill()
    daemon.process.wait()
    assert site.rows("SELECT count(*) FROM recording WHERE provisional = 0") == [(1,)]
    derive(site)
    (film,) = recordings(site).values()
    assert length(site.vault / "derived" / film["id"] / "proxy.mp4") == pytest.approx(6.0, abs=1 / 30)
    leftovers = [p.name for p in (site.vault / "derived").iterdir() if not p.name.startswith("rec-")]
    assert [name for name in leftovers if list((site.vault / "derived" / name).iterdir())] == []


def test_an_original_is_never_opened_for_writing(site: Site, clips: dict[str, bytes], tmp_path: Path) -> None:
    """Bytes, mode, size and times of every original are what they were."""
    site.ingest(card(tmp_path / "card", clips), recorder="8888888")

    def state() -> dict[str, tuple[Any, ...]]:
        found = {}
        for path in sorted((site.vault / "originals").rglob("*.*")):
            s = path.stat()
            found[path.name] = (s.st_ino, s.st_mode, s.st_size, s.st_mtime_ns, s.st_ctime_ns, sha256(path.read_bytes()))
        return found

    before = state()
    derive(site, expect=1)
    assert state() == before
