"""What the stages behind an ingest get of the world: settings arrive where they count, and dockings are kept apart."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog

from mediad import deriver
from mediad.config import Derive
from mediad.edges.commands import Hardware
from mediad.edges.derived import Derived
from mediad.edges.previews import Previews
from mediad.edges.program import Outcome
from mediad.edges.sandbox import Sandbox
from mediad.errors import StorageError
from mediad.model import preview
from mediad.model.derived import About
from mediad.model.evidence import Kind
from mediad.model.preview import Plan
from mediad.stages.preview import Order
from mediad.stages.probe import Original
from mediad.wiring import derive, media
from tests.media import clip, member_of
from tests.support import Site, make_card, make_site
from tests.unit.test_media import Faulty
from tests.unit.test_photos import picture

# --- settings ---------------------------------------------------------------------------------------------------------

MIB = 1024**2
REACHES: dict[str, tuple[Any, set[tuple[str, str, Any]]]] = {
    "jobs": (3, {("Crew", "jobs", 3)}),
    "threads": (5, {("Encoder", "threads", 5)}),
    "nice": (7, {("Sandbox", "nice", 7)}),
    "idle": (False, {("Sandbox", "idle", False)}),
    "memory_mib": (777, {(who, "memory", 777 * MIB) for who in ("Media", "Photos", "Encoder")}),
    "slowest": (3.5, {("Encoder", "slowest", 3.5)}),
    "previews": (False, {("World", "maker", None)}),
    "height": (432, {("Settings", "height", 432)}),
    "crf": (33, {("Settings", "crf", 33)}),
    "preset": ("fast", {("Settings", "preset", "fast")}),
    "audio_kbps": (48, {("Settings", "audio_kbps", 48)}),
    "encoder": ("software", {("Encoder", "prefer", "software")}),
    "overlay": (True, {("Settings", "overlay", True)}),
}
"""Each key of [derive]: another value than the default, and where it must arrive."""


def test_the_table_names_every_setting_and_no_default() -> None:
    assert REACHES.keys() == Derive.model_fields.keys()
    assert all(value != Derive.model_fields[key].default for key, (value, _) in REACHES.items())


def arrived(site: Site, monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str, Any]]:
    """With what `mediad derive` builds what it works with: the real ones, seen as they are made."""
    made: dict[str, list[set[tuple[str, str, Any]]]] = {}

    def watched(module: Any, name: str, told: Callable[..., Mapping[str, Any]]) -> None:
        real = getattr(module, name)

        def built(*args: Any, **more: Any) -> Any:
            made.setdefault(name, []).append({(name, key, value) for key, value in told(*args, **more).items()})
            return real(*args, **more)

        monkeypatch.setattr(module, name, built)

    for name in ("Sandbox", "Media", "Photos", "Encoder", "Settings"):
        watched(media, name, lambda *_, **more: {k: v for k, v in more.items() if not callable(v)})
    watched(derive, "Crew", lambda worker, jobs, *_, **__: {"jobs": jobs})
    watched(deriver, "World", lambda vault, parsers, rules, maker, *_: {"maker": maker and "there"})
    monkeypatch.setattr(media, "font", lambda: "/usr/share/fonts/some.ttf")
    derive.derive(site.config, derive.Logged(), threading.Event(), [], again=False)
    return set().union(
        *(set.intersection(*each) for each in made.values())
    )  # of several of a kind: what all of them got


@pytest.mark.parametrize("key", REACHES)
def test_each_setting_of_the_file_arrives_where_it_counts(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value, wanted = REACHES[key]
    written = f'"{value}"' if isinstance(value, str) else str(value).lower()
    site = make_site(tmp_path / "with", more=f"[derive]\n{key} = {written}\n")
    assert wanted <= arrived(site, monkeypatch)


# --- dockings ---------------------------------------------------------------------------------------------------------


def test_a_parser_that_one_docking_took_over_cannot_lie_about_another(tmp_path: Path) -> None:
    """It names the others of its sandbox and has its own answers for them: so nobody else's file may be there."""
    lie = (
        "[print(json.dumps({'name': n, 'probe': {'kind': 'data', 'make': 'liar'}}), flush=True) "
        "for n in ('0000', '0001', '0002')]"
    )
    originals = []
    for n, (text, docking) in enumerate([("FAULT", "dck-a"), ("mine", "dck-b"), ("other", "dck-a"), ("", "dck-b")]):
        path = tmp_path / f"{n}.xml"
        path.write_text(f"<r><officer>{n}</officer><note>{text}</note></r>")
        originals.append(Original(f"ast-{n}", path, b"DCIM/x.xml", Kind.DATA.value, docking))
    probes = media.Parsers(Derive(), Faulty(nice=0, idle=False, what=lie)).probe(originals)
    assert [probes[f"ast-{n}"].make for n in range(4)] == ["liar", "", "liar", ""]
    told = [probes[f"ast-{n}"].sidecar for n in (1, 3)]
    assert [s.officer if s else "" for s in told] == ["1", "3"]


@dataclass(frozen=True, slots=True)
class Seeing(Sandbox):
    """The real sandbox; which files came into it together."""

    together: list[set[str]] = field(default_factory=list)

    def run(self, argv: Sequence[str], *, inputs: Mapping[str, Path] | None = None, **more: Any) -> Outcome:  # type: ignore[override]
        self.together.append({path.name for path in (inputs or {}).values()})
        return Sandbox.run(self, argv, inputs=inputs, **more)


def recording(n: int) -> str:
    return "rec-" + "abcdefg"[n] * 26


def order(n: int, docking: str, path: Path, maker: Previews, tracks: Sequence[tuple[Path, str]] = ()) -> Order:
    plan = preview.plan([member_of(path)], maker.settings)
    assert isinstance(plan, Plan), plan
    return Order(recording(n), plan, [path], docking, plan.fingerprint, tracks)


def previews(site: Site, station: Any, box: Sandbox, jobs: int = 1, **more: Any) -> Previews:
    return media.previews(station, box, Derived(station.vault, "test-01", lambda: 0), jobs, 1, **more)


def test_photos_of_different_dockings_are_not_drawn_in_one_sandbox(tmp_path: Path) -> None:
    site = make_site(tmp_path / "station")
    box = Seeing(nice=0, idle=False)
    with closing(site.open()) as station:
        maker = previews(site, station, box)
        photos = [picture(tmp_path / f"{n}.jpg") for n in range(4)]
        orders = []
        for n, path in enumerate(photos):
            plan = Plan("photo", (preview.Segment(0, "", None, 0.0, picture=True, sound=False),), fingerprint="f" * 64)
            orders.append(Order(recording(n), plan, [path], "dck-ab"[: 5 + n % 2], plan.fingerprint))
        made = maker.photos(orders)
    assert len(made) == 4 and all(isinstance(m, About) for m in made.values())
    assert box.together == [{"0.jpg", "2.jpg"}, {"1.jpg", "3.jpg"}]


# --- tracks -----------------------------------------------------------------------------------------------------------


def gpx(path: Path, *points: tuple[float, str]) -> Path:
    inner = "".join(f'<trkpt lat="39.0" lon="{lon}"><time>{at}</time></trkpt>' for lon, at in points)
    path.write_text(
        '<?xml version="1.0"?><gpx version="1.1" creator="t" xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>'
        f"{inner}</trkseg></trk></gpx>"
    )
    return path


def test_the_track_of_a_take_is_that_of_all_its_members(tmp_path: Path) -> None:
    """In order of time, whichever file tells it; what a second file tells of the same moment is not there twice."""
    site = make_site(tmp_path / "station", more='[derive]\nencoder = "software"\npreset = "ultrafast"\n')
    film = clip(tmp_path / "a.mp4", options="-profile:v main", audio="")
    tracks = [
        gpx(tmp_path / "b.gpx", (121.3, "2026-09-22T02:30:03Z"), (121.4, "2026-09-22T02:30:04Z")),
        gpx(tmp_path / "a.gpx", (121.1, "2026-09-22T02:30:01Z"), (121.2, "2026-09-22T02:30:02Z")),
        gpx(tmp_path / "c.gpx", (129.0, "2026-09-22T10:30:02+08:00"), (121.5, "2026-09-22T02:30:05Z")),
    ]
    with closing(site.open()) as station:
        maker = previews(site, station, Sandbox(nice=0, idle=False))
        about = maker.film(order(0, "dck-a", film, maker, [(t, "gpx") for t in tracks]), lambda _: None)
    assert isinstance(about, About) and about.file("track.geojson"), about
    told = json.loads((site.vault / "derived" / recording(0) / "track.geojson").read_text())
    assert [place[0] for place in told["geometry"]["coordinates"]] == [121.1, 121.2, 121.3, 121.4, 121.5]
    assert len(told["properties"]["times"]) == 5


def test_a_track_that_cannot_be_read_costs_neither_the_film_nor_an_hour_of_encoding(tmp_path: Path) -> None:
    """It is read first; and without it the film is there, with a remark."""
    site = make_site(tmp_path / "station", more='[derive]\nencoder = "software"\npreset = "ultrafast"\n')
    film = clip(tmp_path / "a.mp4", options="-profile:v main", audio="", seconds=0.4)
    good = gpx(tmp_path / "a.gpx", (121.1, "2026-09-22T02:30:01Z"), (121.2, "2026-09-22T02:30:02Z"))
    box = Seeing(nice=0, idle=False)
    with closing(site.open()) as station:
        maker = previews(site, station, box)
        about = maker.film(
            order(0, "dck-a", film, maker, [(good, "gpx"), (tmp_path / "gone.gpx", "gpx")]), lambda _: None
        )
    assert isinstance(about, About) and [r.code for r in about.remarks] == ["no-track"]
    assert "gone.gpx" in about.remarks[0].detail
    assert about.file("proxy.mp4") and not about.file("track.geojson")
    assert box.together[0] == {"a.gpx"}, "before anything was made"


def test_jobs_share_the_room_of_the_vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each of them might fill it."""
    monkeypatch.setattr(Derived, "room", lambda self: 400 * MIB)
    site = make_site(tmp_path / "station", more='[derive]\nencoder = "software"\npreset = "ultrafast"\n')
    film = clip(tmp_path / "a.mp4", options="-profile:v main", audio="", seconds=0.4)
    allowed: list[int] = []

    class Measuring(Sandbox):
        def run(self, argv: Sequence[str], *, limits: Any = None, **more: Any) -> Outcome:  # type: ignore[override]
            allowed.append(limits.folder)
            return Sandbox.run(self, argv, limits=limits, **more)

    with closing(site.open()) as station:
        maker = previews(site, station, Measuring(nice=0, idle=False), jobs=4)
        assert isinstance(maker.film(order(0, "dck-a", film, maker), lambda _: None), About)
    assert max(allowed) == 100 * MIB


# --- what is asked for and cannot be ----------------------------------------------------------------------------------


def test_an_overlay_without_a_font_is_said_and_nothing_is_encoded_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediad.edges.encoder.FONTS", ())
    site = make_site(tmp_path / "station", more="[derive]\noverlay = true\n")
    film = clip(tmp_path / "a.mp4", options="-profile:v main")
    with closing(site.open()) as station:
        maker = previews(site, station, Sandbox(nice=0, idle=False))
        about = maker.film(order(0, "dck-a", film, maker), lambda _: None)
    assert isinstance(about, About)
    assert about.video == "copy" and [r.code for r in about.remarks] == ["no-font"]


def test_hardware_that_is_set_and_fails_is_logged_once_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for the device node, NOT a real one: no encoder can use it, and the real trial says why."""
    filters = (("format", ("nv12",)), ("hwupload", ()))
    card = Hardware("vaapi", "h264_vaapi", (("-vaapi_device", "/dev/null"),), filters, "qp", ("/dev/null",))
    monkeypatch.setattr("mediad.edges.hardware.candidates", lambda _: [card])
    site = make_site(tmp_path / "station", more='[derive]\nencoder = "vaapi"\npreset = "ultrafast"\nheight = 144\n')
    film = clip(tmp_path / "a.mp4", video="mpeg4", audio="", seconds=0.4)
    with closing(site.open()) as station, structlog.testing.capture_logs() as logs:
        maker = previews(site, station, Sandbox(nice=0, idle=False))
        for n in range(2):
            about = maker.film(order(n, "dck-a", film, maker), lambda _: None)
            assert isinstance(about, About) and about.encoder == "software"
    said = [line for line in logs if line["event"] == "video encoder"]
    assert len(said) == 1 and said[0]["log_level"] == "warning" and said[0]["encoder"] == "software"
    assert said[0]["why"].startswith("vaapi: ") and len(said[0]["why"]) > 20
    with pytest.raises(StorageError, match=r"derive\.encoder is vaapi, and software is used: vaapi: "):
        media.encoder_used(site.config.derive)


def test_the_doctor_names_the_encoder_that_is_used(tmp_path: Path) -> None:
    site = make_site(tmp_path / "station", more='[derive]\nencoder = "software"\n')
    site.ingest(make_card(tmp_path / "card", {"a.txt": b"a"}))
    checks = json.loads(site.run("doctor", "--json").stdout)
    (told,) = [c for c in checks if "video encoder" in c["what"]]
    assert told["ok"] and told["detail"] == "software" and not told["needed"]
