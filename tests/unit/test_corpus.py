"""The corpus: what recorders in the field write, whole and broken, docked and worked off by the program itself in its real sandbox.

Each group is one card. What the generator of a file knows of it (codecs, size, length, maker) is held against what the program
says; what is broken is held against what a plain ffmpeg still decodes of it. Nothing of a file stops the others.
"""

import json
import os
import random
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mediad.edges.media import Media, ProbeFile
from mediad.edges.sandbox import Sandbox
from mediad.model.evidence import Kind
from tests.clips import CODECS, COMBINATIONS, PICTURE, Clips, ffmpeg
from tests.media import amr, ask, bomb, length
from tests.support import Site, complaints, make_site, program

SHIPPED = Path(__file__).parents[2] / "config/recorders"
MORE = f'[devices]\nprofiles = ["{SHIPPED}"]\n[derive]\njobs = 2\nidle = false\npreset = "ultrafast"\nheight = 144\n'
BEGAN = datetime(2026, 9, 20, tzinfo=ZoneInfo("Asia/Shanghai"))
FRAME = 1 / 25
SEEN_AS = {"h264": "h264", "h265": "hevc", "mjpeg": "mjpeg", "aac": "aac", "pcm": "pcm_s16le", "amr": "amr_nb"}
CUTS = 20
MAKERS = [("Hytera", "VM780"), ("Hikvision", "DS-MH2211"), ("Axon Enterprise", "Body 3"), ("Canon", "EOS R5")]


@dataclass(frozen=True)
class Known:
    """What the maker of a file knows. ``kind`` is empty where the bytes leave it open; ``whole``: nothing is wrong with it;
    ``plays``: a preview has to come of it (None: if a plain ffmpeg decodes something)."""

    data: bytes
    suffix: str
    kind: str = "video"
    video: str = ""
    audio: str = ""
    container: str = ""
    size: tuple[int, int] | None = None
    make: str = ""
    variable: bool = False
    track: bool = False
    whole: bool = True
    plays: bool | None = True


# --- the cards --------------------------------------------------------------------------------------------------------


def _films(clips: Clips, *containers: str) -> Iterator[Known]:
    for container, video, sound in COMBINATIONS:
        if container in containers:
            heard = "" if sound == "none" else sound
            data = clips.clip(container, video, sound).read_bytes()
            yield Known(data, container, "video", video, heard, container, (160, 120))


def _with_amr(clips: Clips, suffix: str) -> bytes:
    """ffmpeg puts into a film what it cannot encode itself."""
    path = clips.folder / f"amr.{suffix}"
    sound = amr(clips.folder / "sound.amr", 1.2)
    ffmpeg(*PICTURE, "-i", sound, "-map", "0:v", "-map", "1:a", *CODECS["h264"], "-c:a", "copy", path)
    return path.read_bytes()


def odd(clips: Clips) -> Iterator[Known]:
    """AMR, variable rate, GPS in a subtitle stream, photos of several makers and formats."""
    for suffix in ("3gp", "mov"):  # in an MP4 ffmpeg does not write it
        yield Known(_with_amr(clips, suffix), suffix, "video", "h264", "amr", suffix, (160, 120))
    yield Known(amr(clips.folder / "alone.amr", 1.2).read_bytes(), "wav", "audio", "", "amr", "amr")
    uneven = ("-vf", "select='not(mod(n,5))+not(mod(n,3))'", "-fps_mode", "vfr", "-an")
    for suffix, codec in (("mp4", "h264"), ("mkv", "h265")):
        data = clips.made(f"uneven.{suffix}", *uneven, *CODECS[codec]).read_bytes()
        yield Known(data, suffix, "video", codec, "", suffix, (160, 120), variable=True)
    for suffix in ("mp4", "mkv"):
        data = clips.with_track(suffix).read_bytes()
        yield Known(data, suffix, "video", "h264", "aac", suffix, (160, 120), track=True)
    for make, model in MAKERS:
        data = clips.photo("jpg", Make=make, Model=model, DateTimeOriginal="2026:09:20 08:00:00").read_bytes()
        yield Known(data, "jpg", "photo", container="jpeg", size=(160, 120), make=make)
    for suffix, container in (("heic", "heic"), ("tif", "tiff"), ("png", "png")):
        data = clips.photo(
            suffix, Make="Acme", Model=f"of {suffix}", DateTimeOriginal="2026:09:20 08:00:00"
        ).read_bytes()
        yield Known(data, suffix, "photo", container=container, size=(160, 120), make="Acme")


def _cut(whole: bytes, suffix: str, kind: str) -> Iterator[Known]:
    for part in range(CUTS):
        data = whole[: len(whole) * (part * 5 + 2) // 101]
        yield Known(data, suffix, kind, whole=False, plays=None)


def cut_mp4(clips: Clips) -> Iterator[Known]:
    """Without the index: what plays is found again with the help of a whole one."""
    whole = clips.clip("mp4", "h264", "none").read_bytes()
    yield Known(whole, "mp4", "video", "h264", "", "mp4", (160, 120))
    yield from _cut(whole, "mp4", "video")


def cut_avi(clips: Clips) -> Iterator[Known]:
    yield from _cut(clips.clip("avi", "mjpeg", "none").read_bytes(), "avi", "video")


def cut_ts(clips: Clips) -> Iterator[Known]:
    yield from _cut(clips.clip("ts", "h264", "none").read_bytes(), "ts", "video")


def cut_jpeg(clips: Clips) -> Iterator[Known]:
    yield from _cut(clips.photo("jpg", Make="Acme").read_bytes(), "jpg", "photo")


def flipped(clips: Clips) -> Iterator[Known]:
    """Bytes turned at random places, beyond the first few."""
    chance = random.Random(11)
    for suffix, video in (("mp4", "h264"), ("avi", "mjpeg"), ("mkv", "h264"), ("ts", "h264"), ("jpg", "")):
        whole = clips.clip(suffix, video, "none").read_bytes() if video else clips.photo("jpg").read_bytes()
        for _ in range(3):
            data = bytearray(whole)
            for _ in range(6):
                data[chance.randrange(16, len(data))] ^= 1 << chance.randrange(8)
            yield Known(bytes(data), suffix, "video" if video else "photo", whole=False, plays=None)


def strange(clips: Clips) -> Iterator[Known]:
    """Nothing, text, noise, zeros, wrong names, an image bomb."""
    yield Known(b"", "mp4", whole=False, plays=False)
    yield Known(b"this is a text\n" * 50, "mp4", whole=False, plays=False)
    yield Known(random.Random(5).randbytes(40_000), "avi", whole=False, plays=False)
    yield Known(bytes(40_000), "mov", whole=False, plays=False)
    yield Known(clips.clip("mkv", "h264", "none").read_bytes(), "mp4", "video", "h264", "", "mkv", (160, 120))
    yield Known(clips.clip("mp4", "h264", "none").read_bytes(), "jpg", "video", "h264", "", "mp4", (160, 120))
    yield Known(clips.photo("jpg", Make="Acme").read_bytes(), "avi", "photo", container="jpeg", make="Acme")
    data = bomb(clips.folder / "bomb.png", 60_000, 60_000).read_bytes()
    yield Known(data, "png", "photo", whole=False, plays=False)


GROUPS: dict[str, Callable[[Clips], Iterator[Known]]] = {
    "mp4": lambda clips: _films(clips, "mp4"),
    "mov": lambda clips: _films(clips, "mov"),
    "mkv": lambda clips: _films(clips, "mkv"),
    "avi and ts": lambda clips: _films(clips, "avi", "ts"),
    "odd": odd,
    "cut mp4": cut_mp4,
    "cut avi": cut_avi,
    "cut ts": cut_ts,
    "cut jpeg": cut_jpeg,
    "flipped": flipped,
    "strange": strange,
}


# --- the judge --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """What the program says of one file: its recording, the asset, and where its preview lies."""

    recording: dict[str, Any]
    asset: dict[str, Any]
    preview: Path

    @property
    def probe(self) -> dict[str, Any]:
        return dict(self.asset["probe"])

    def stream(self, kind: str) -> dict[str, Any]:
        return next((s for s in self.probe.get("streams", ()) if s["kind"] == kind), {})

    def codes(self) -> set[str]:
        return {r["code"] for r in self.probe.get("remarks", ())}


def worked_off(site: Site, card: Path, files: Sequence[Known]) -> dict[str, Told]:
    """Dock the files and derive; by name. Each is written ten minutes after the one before, so that none is of a take."""
    for n, known in enumerate(files):
        path = card / name_of(n, known)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(known.data)
        os.utime(path, (moment := (BEGAN + timedelta(minutes=10 * n)).timestamp(), moment))
    site.ingest(card, recorder="8888888")
    done = site.run("derive", "--json", timeout=600)
    assert done.returncode in (0, 1), (done.returncode, done.stderr[-3000:])
    findings = json.loads(done.stdout)["findings"]
    assert (done.returncode == 1) == bool(findings)
    assert bool(findings) >= (not all(k.whole for k in files)), "something is broken, and nobody was told"
    assert [f for f in findings if f["code"].endswith("-later")] == [], "no file is the world's fault"
    assert site.rows("SELECT stage, subject, why FROM due") == []
    told = {}
    for recording in json.loads(site.run("recordings", "--json").stdout):
        (asset,) = recording["assets"]
        said = json.loads(site.run("show", asset, "--json").stdout)
        told[Path(said["original_path"]).name] = Told(recording, said, site.vault / "derived" / recording["id"])
    return told


def name_of(n: int, known: Known) -> str:
    moment = BEGAN + timedelta(minutes=10 * n)
    return f"DCIM/100ANDRO/8888888_000123_{moment:%Y%m%d%H%M%S}_{n + 1:04}.{known.suffix}"


def decodes(known: Known, folder: Path) -> float:
    """How many seconds of picture a plain ffmpeg makes of it; a photo that can be drawn counts as one."""
    path = folder / f"plain.{known.suffix}"
    path.write_bytes(known.data)
    words = [
        program("ffmpeg", "ffmpeg"),
        "-v",
        "quiet",
        "-nostdin",
        "-i",
        str(path),
        "-map",
        "0:v:0",
        "-f",
        "framecrc",
        "-",
    ]
    done = subprocess.run(words, capture_output=True, timeout=60, check=False)
    frames = [line for line in done.stdout.splitlines() if line and not line.startswith(b"#")]
    return len(frames) * (FRAME if known.kind == "video" else 1.0)


def wrong_with(known: Known, told: Told, folder: Path) -> Iterator[str]:
    """Whatever differs from what is known."""
    probe, conditions = told.probe, set(told.probe.get("conditions", ()))
    if told.recording["provisional"]:
        yield "it is still provisional"
    if known.kind and probe["kind"] != known.kind:
        yield f"it is a {probe['kind']}, not a {known.kind}"
    if known.whole:
        yield from _wrong_probe(known, told)
        if conditions:
            yield f"nothing is wrong with it, but it is {conditions}: {probe.get('remarks')}"
    elif conditions and not told.codes():
        yield f"it is {conditions}, and nothing says why"
    yield from _wrong_preview(known, told, folder)


def _wrong_probe(known: Known, told: Told) -> Iterator[str]:
    seen, heard = told.stream("image" if known.kind == "photo" else "video"), told.stream("audio")
    pairs = [
        ("container", told.probe["container"], known.container),
        ("video", seen.get("codec", "") if known.kind == "video" else "", SEEN_AS.get(known.video, "")),
        ("audio", heard.get("codec", ""), SEEN_AS.get(known.audio, "")),
        ("make", told.probe.get("make", ""), known.make),
        ("variable", seen.get("variable", False), known.variable),
        ("track", "track" in told.probe, known.track),
    ]
    if known.size:
        pairs.append(("size", (seen.get("width"), seen.get("height")), known.size))
    yield from (f"{what} is {said!r}, not {meant!r}" for what, said, meant in pairs if said != meant)
    if known.kind != "photo" and abs(told.probe["duration"] - 1.2) > 0.26:  # sound comes in blocks of 128 ms
        yield f"it is {told.probe['duration']} s long"


def _wrong_preview(known: Known, told: Told, folder: Path) -> Iterator[str]:
    there = {p.name for p in told.preview.iterdir()} if told.preview.exists() else set()
    seconds = 0.0 if known.plays is not None else decodes(known, folder)
    plays = known.plays if known.plays is not None else seconds > 0
    proxy = told.preview / ("proxy.jpg" if told.probe["kind"] == "photo" else "proxy.mp4")
    if not plays:
        if known.plays is False and there:
            yield f"a preview of nothing: {there}"
        return
    if proxy.name not in there:
        yield f"it can be decoded ({seconds:.2f} s), but there is no {proxy.name}"
    elif proxy.suffix == ".mp4":
        path = folder / f"whole.{known.suffix}"
        path.write_bytes(known.data)
        meant = seconds or shown(path)
        if abs(shown(proxy) - meant) > FRAME + 0.001:
            yield f"its proxy shows {shown(proxy):.3f} s, not {meant:.3f} s"


def shown(path: Path) -> float:
    """Seconds from the first picture to the end of the last one; of sound alone, its length."""
    packets = ask(path, "-show_packets", "-select_streams", "v")["packets"]
    times = [float(p.get("pts_time", p.get("dts_time", "nan"))) for p in packets]
    return max(times) - min(times) + FRAME if times else length(path)


@pytest.mark.parametrize("group", GROUPS)
def test_every_file_of_the_corpus_becomes_a_recording(clips: Clips, tmp_path: Path, group: str) -> None:
    """With a right or an honestly unknown probe, and a preview if there is anything to see or hear; nothing is left due, nothing
    is put off, the exit code tells of findings alone, and no original is touched."""
    files = list(GROUPS[group](clips))
    site = make_site(tmp_path / "station", more=MORE)
    told = worked_off(site, tmp_path / "card", files)
    distinct = {known.data: name_of(n, known) for n, known in reversed(list(enumerate(files)))}
    assert told.keys() == {Path(name).name for name in distinct.values()}, "each is one recording"
    wrong = [
        f"{name}: {what}"
        for n, known in enumerate(files)
        if (name := Path(name_of(n, known)).name) in told
        for what in wrong_with(known, told[name], tmp_path)
    ]
    assert not wrong, "\n".join(wrong)
    assert complaints(site, [k.data for k in files]) == []


# --- beyond 4 GiB -----------------------------------------------------------------------------------------------------

GIB4 = 4 * 1024**3


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + size]
        at += size


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, kind) + body


def _moved(kind: bytes, body: bytes, by: int) -> bytes:
    """An index whose chunks lie so much farther behind, in offsets of 64 bits."""
    if kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        return _box(kind, b"".join(_moved(k, b, by) for k, b in _boxes(body)))
    if kind == b"stco":
        (count,) = struct.unpack_from(">I", body, 4)
        places = struct.unpack_from(f">{count}I", body, 8)
        return _box(b"co64", body[:8] + struct.pack(f">{count}Q", *(p + by for p in places)))
    return _box(kind, body)


@pytest.mark.parametrize("place", ["index at the boundary", "pictures across the boundary", "index far beyond"])
def test_a_film_beyond_4_gib_is_read_whole(clips: Clips, tmp_path: Path, place: str) -> None:
    """Sizes and offsets of 64 bits; what lies before the pictures is a hole, which takes no room on the disk."""
    parts = dict(_boxes(clips.clip("mp4").read_bytes()))
    pictures, head = parts[b"mdat"], _box(b"ftyp", parts[b"ftyp"])
    before = sum(len(b) + 8 for k, b in _boxes(clips.clip("mp4").read_bytes()) if k in (b"ftyp", b"free")) + 8
    start = {
        "index at the boundary": GIB4 - len(pictures),
        "pictures across the boundary": GIB4 - len(pictures) // 2,
        "index far beyond": GIB4 + 1024**3,
    }[place]
    path = tmp_path / "large.mp4"
    with path.open("wb") as file:
        file.write(head + struct.pack(">I4sQ", 1, b"mdat", start + len(pictures) - len(head)))
        file.seek(start)
        file.write(pictures + _moved(b"moov", parts[b"moov"], start - before))
    assert path.stat().st_blocks * 512 < 1024**2
    (probe,) = Media(Sandbox(nice=0, idle=False)).probe([ProbeFile(path, Kind.VIDEO, "mp4")])
    assert (probe.container, probe.conditions, probe.remarks) == ("mp4", (), ())
    picture, sound = probe.stream("video"), probe.stream("audio")
    assert picture is not None and sound is not None
    assert (picture.codec, picture.width, picture.height, sound.codec) == ("h264", 160, 120, "aac")
    assert probe.duration == pytest.approx(1.2, abs=0.25)
    os.truncate(path, GIB4 - 1)
    (probe,) = Media(Sandbox(nice=0, idle=False)).probe([ProbeFile(path, Kind.VIDEO, "mp4")])
    assert "truncated" in probe.conditions
