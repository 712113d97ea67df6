"""Video and sound: what real clips say of themselves, whole and broken. The parsers run here without their sandbox, over clips
that this test made; what strangers make is in test_parsers_hostile.py."""

import json
import os
import random
import struct
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mediad.model.probe import Probe
from mediad.parsers import boxes, length, recover, tags, track, walls
from mediad.parsers.__main__ import answered, probe
from tests.clips import CODECS, COMBINATIONS, PICTURE, Clips, cut, ffmpeg

SEEN_AS = {"h264": "h264", "h265": "hevc", "mjpeg": "mjpeg", "aac": "aac", "pcm": "pcm_s16le"}


def probed(path: Path, suffix: str | None = None) -> Probe:
    said = answered({"name": path.name, "suffix": path.suffix[1:] if suffix is None else suffix}, path.parent)
    return Probe.from_json(json.loads(json.dumps(said["probe"])))


def codes(probe: Probe) -> set[str]:
    return {r.code for r in probe.remarks}


@pytest.mark.parametrize(("container", "video", "sound"), COMBINATIONS)
def test_every_combination_is_read(clips: Clips, container: str, video: str, sound: str) -> None:
    """Container, codecs, size, rate and length, and no false alarm."""
    probe = probed(clips.clip(container, video, sound))
    assert (probe.kind, probe.container, probe.conditions, probe.remarks) == ("video", container, (), ())
    picture, heard = probe.stream("video"), probe.stream("audio")
    assert picture is not None
    assert (picture.codec, picture.width, picture.height, picture.variable) == (SEEN_AS[video], 160, 120, False)
    assert picture.frame_rate == pytest.approx(25, abs=0.1)
    assert (heard.codec if heard else "none") == SEEN_AS.get(sound, "none")
    assert probe.duration == pytest.approx(1.2, abs=0.25)
    assert probe.tool.startswith("ffprobe ")


def test_amr_in_a_file_named_wav_is_what_it_is(tmp_path: Path) -> None:
    """The bytes count, not the suffix."""
    frames = b"#!AMR\n" + (b"\x3c" + b"\x55" * 31) * 50
    (tmp_path / "a.wav").write_bytes(frames)
    probe = probed(tmp_path / "a.wav")
    assert (probe.kind, probe.container) == ("audio", "amr")
    heard = probe.stream("audio")
    assert heard is not None
    assert heard.codec == "amr_nb"
    assert probe.duration == pytest.approx(1.0, abs=0.1)


def test_sound_alone_is_sound(clips: Clips) -> None:
    """Also in a container that is usually video's."""
    for name, container in (("s.wav", "wav"), ("s.mp4", "mp4"), ("s.m4a", "mp4")):
        path = clips.made(name, "-map", "1:a", *(CODECS["pcm"] if name == "s.wav" else CODECS["aac"]))
        probe = probed(path)
        assert (probe.kind, probe.container, probe.conditions) == ("audio", container, ())


def test_a_variable_frame_rate_is_seen(clips: Clips) -> None:
    """Frames at uneven distances; one dropped frame is not that."""
    uneven = clips.made(
        "vfr.mp4", "-vf", "select='not(mod(n,5))+not(mod(n,3))'", "-vsync", "vfr", *CODECS["h264"], "-an"
    )
    dropped = clips.made("drop.mp4", "-vf", "select='not(eq(n,12))'", "-vsync", "vfr", *CODECS["h264"], "-an")
    for path, expected in ((uneven, True), (dropped, False)):
        picture = probed(path).stream("video")
        assert picture is not None
        assert picture.variable is expected


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_rotation_is_clockwise_as_a_player_turns_it(clips: Clips, angle: int) -> None:
    """ffmpeg turns the picture by itself to the same as when it is told our degrees."""
    path = clips.folder / f"turned-{angle}.mp4"
    ffmpeg("-i", clips.clip("mp4", "h264", "none"), "-c", "copy", "-metadata:s:v:0", f"rotate={angle}", path)
    picture = probed(path).stream("video")
    assert picture is not None
    by_hand = {90: "transpose=1", 180: "hflip,vflip", 270: "transpose=2"}[picture.rotation]
    turned, ours = clips.folder / "turned.raw", clips.folder / "ours.raw"
    raw = ["-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray"]
    ffmpeg("-i", path, *raw, turned)
    ffmpeg("-noautorotate", "-i", path, "-vf", by_hand, *raw, ours)
    assert turned.read_bytes() == ours.read_bytes()


def test_times_place_and_maker_of_the_container(clips: Clips) -> None:
    """MP4's creation time (UTC), QuickTime's own with its zone, ISO 6709, maker and model."""
    # fmt: off
    path = clips.made("tags.mov", *CODECS["h264"], *CODECS["aac"], "-movflags", "use_metadata_tags",
                      "-metadata", "creation_time=2024-01-02T03:04:05Z", "-metadata", "com.apple.quicktime.make=Acme",
                      "-metadata", "com.apple.quicktime.model=Cam 7",
                      "-metadata", "com.apple.quicktime.location.ISO6709=+39.9042-116.4074+044.2/",
                      "-metadata", "com.apple.quicktime.creationdate=2024-01-02T11:04:04+0800", "-metadata", "serial=8888888")
    # fmt: on
    probe = probed(path)
    assert (probe.make, probe.model, probe.serial) == ("Acme", "Cam 7", "8888888")
    assert [(s.value, s.means) for s in probe.stamps] == [
        ("2024-01-02T11:04:04+08:00", "start"),
        ("2024-01-02T03:04:05+00:00", "unsaid"),
    ]
    assert probe.position is not None
    assert (probe.position.latitude, probe.position.longitude, probe.position.altitude) == (39.9042, -116.4074, 44.2)


def test_a_head_written_at_both_ends_names_both_moments() -> None:
    """Creation and modification are as far apart as the recording is long: then they are its start and its end."""
    began, ended = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2024, 1, 2, 3, 9, 5, tzinfo=UTC)
    found = boxes.Found(created=began, modified=ended)
    stamps = tags.stamps({"creation_time": "2024-01-02T03:04:05Z"}, found, 300.4, [])
    assert [(s.value, s.means) for s in stamps] == [(began.isoformat(), "start"), (ended.isoformat(), "end")]
    assert [s.means for s in tags.stamps({}, found, 100.0, [])] == ["unsaid"]


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
def test_a_track_in_a_subtitle_stream_is_read(clips: Clips, container: str) -> None:
    """``$G:`` texts; the recorder's clock in them is no GPS time, and the whole track can be had as GeoJSON."""
    path = clips.with_track(container)
    probe = probed(path)
    assert probe.track is not None
    assert probe.track.points == 3
    assert probe.track.box == (39.9042, 116.4074, 39.9062, 116.4094)
    assert probe.stream("subtitle") is not None
    ends = [(s.source, s.value, s.means) for s in probe.stamps if s.field == "track"]
    assert ends == [("container", "2024-01-02T11:04:05", "start"), ("container", "2024-01-02T11:04:07", "end")]
    line = answered({"name": path.name, "as": "track", "suffix": container}, path.parent)["track"]
    assert line["geometry"]["coordinates"] == [[116.4074, 39.9042], [116.4084, 39.9052], [116.4094, 39.9062]]


# --- broken ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", ["mp4", "mov", "avi", "mkv", "ts"])
def test_a_clip_cut_at_twenty_places_is_known_to_be_cut(clips: Clips, tmp_path: Path, container: str) -> None:
    """Truncated, or unreadable where nothing is left to say so; a transport stream cut between packets may pass for whole."""
    whole = clips.clip(container)
    size = whole.stat().st_size
    for part in range(20):
        length = size * (part * 5 + 2) // 101
        probe = probed(cut(whole, tmp_path / f"cut-{part}.{container}", length))
        assert probe.kind == "video"
        on_edge = container == "ts" and length % 188 == 0
        assert on_edge or set(probe.conditions) & {"truncated", "unreadable"}, (length, probe)
        assert probe.remarks
        assert probe.duration is None or probe.duration < 1.7


def test_a_cut_clip_is_as_long_as_what_can_be_read(clips: Clips, tmp_path: Path) -> None:
    """The index of a fast-start MP4 still names the whole length."""
    whole = clips.made("fast.mp4", *CODECS["h264"], *CODECS["aac"], "-movflags", "+faststart")
    probe = probed(cut(whole, tmp_path / "a.mp4", whole.stat().st_size * 2 // 3))
    assert probe.conditions == ("truncated",)
    assert probe.duration is not None
    assert 0.3 < probe.duration < 1.0
    assert "shorter-than-declared" in codes(probe)


def test_a_missing_index_is_said(clips: Clips, tmp_path: Path) -> None:
    """The recorder lost its power; what there is is the media data."""
    whole = clips.clip("mp4")
    start = whole.read_bytes().index(b"moov") - 4
    probe = probed(cut(whole, tmp_path / "a.mp4", start))
    assert probe.conditions == ("truncated",)
    assert "no-index" in codes(probe)


@pytest.mark.parametrize("container", ["mp4", "avi", "mkv", "ts"])
def test_flipped_bytes_end_in_an_answer(clips: Clips, tmp_path: Path, container: str) -> None:
    """Any answer but a failure of the parser; a clip with untouched head is still video."""
    whole = clips.clip(container).read_bytes()
    chance = random.Random(7)
    for number in range(8):
        data = bytearray(whole)
        for _ in range(4 + number):
            data[chance.randrange(16, len(data))] ^= 1 << chance.randrange(8)
        path = tmp_path / f"{number}.{container}"
        path.write_bytes(data)
        probe = probed(path)
        assert probe.kind in ("video", "audio")
        assert "parser-failed" not in codes(probe), probe


def test_what_is_no_media_is_unreadable_and_says_why(tmp_path: Path) -> None:
    """No bytes, text, zeros, noise."""
    for name, data, code in (
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"this is a text\n" * 100, "not-read"),
        ("zeros.avi", bytes(50_000), "not-read"),
        ("noise.mp4", os.urandom(100_000), "noise"),
    ):
        (tmp_path / name).write_bytes(data)
        probe = probed(tmp_path / name)
        assert probe.conditions == ("unreadable",), name
        assert code in codes(probe), probe


def test_a_wrong_suffix_misleads_nobody(clips: Clips, tmp_path: Path) -> None:
    """An MKV named mp4, a photo named avi, an MP4 named jpg."""
    for source, name, kind, container in (
        (clips.clip("mkv"), "a.mp4", "video", "mkv"),
        (clips.photo("jpg"), "b.avi", "photo", "jpeg"),
        (clips.clip("mp4"), "c.jpg", "video", "mp4"),
    ):
        (tmp_path / name).write_bytes(source.read_bytes())
        probe = probed(tmp_path / name)
        assert (probe.kind, probe.container, probe.conditions) == (kind, container, ())


def test_a_film_behind_the_first_bytes_of_a_photo_is_a_film(clips: Clips, tmp_path: Path) -> None:
    """A mask must not take a recording's length, and with it its deadline, away. A broken photo stays one."""
    film = clips.clip("ts").read_bytes()
    path = tmp_path / "masked.ts"
    path.write_bytes(b"\xff\xd8\xff\xe0" + film)
    found = probed(path)
    assert (found.kind, found.stream("video") is not None) == ("video", True)
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(500))
    assert probed(path).kind == "photo"


def test_encryption_is_said(clips: Clips, tmp_path: Path) -> None:
    """By the container (Common Encryption), or by noise after a known head."""
    # fmt: off
    sealed = clips.made("cenc.mp4", *CODECS["h264"], *CODECS["aac"], "-encryption_scheme", "cenc-aes-ctr",
                        "-encryption_key", "76a6c65c5ea762046bd749a2e632ccbb",
                        "-encryption_kid", "a7e61c373e219033c21091fa607bf3b8")
    # fmt: on
    assert "encrypted" in probed(sealed).conditions
    (tmp_path / "own.mp4").write_bytes(clips.clip("mp4").read_bytes()[:32] + os.urandom(60_000))
    probe = probed(tmp_path / "own.mp4")
    assert probe.conditions == ("encrypted",)
    assert "noise" in codes(probe)


def test_an_index_with_impossible_boxes_is_damaged(clips: Clips, tmp_path: Path) -> None:
    """A box inside goes on beyond what holds it."""
    data = bytearray(clips.clip("mp4").read_bytes())
    place = data.index(b"minf") - 4
    data[place : place + 4] = struct.pack(">I", 0x7FFFFFF)
    (tmp_path / "a.mp4").write_bytes(data)
    probe = probed(tmp_path / "a.mp4")
    assert "damaged" in probe.conditions
    assert "impossible-box" in codes(probe)


def test_what_a_recorder_appends_is_no_damage(clips: Clips, tmp_path: Path) -> None:
    """Its own data behind a whole recording, in no box; or zeros up to a whole cluster."""
    whole = clips.clip("mp4").read_bytes()
    for extra, code in ((b"GPSDATA:" + bytes(range(200)), "trailing-data"), (bytes(4096), "")):
        (tmp_path / "a.mp4").write_bytes(whole + extra)
        probe = probed(tmp_path / "a.mp4")
        assert probe.conditions == ()
        assert codes(probe) == ({code} if code else set())


def test_a_fragmented_recording_needs_no_index_at_its_end(clips: Clips, tmp_path: Path) -> None:
    """Whole it is whole; cut off it is played up to the last fragment."""
    whole = clips.made("frag.mp4", *CODECS["h264"], *CODECS["aac"], "-movflags", "frag_keyframe+empty_moov")
    assert probed(whole).conditions == ()
    probe = probed(cut(whole, tmp_path / "a.mp4", whole.stat().st_size // 2))
    assert probe.conditions == ("truncated",)
    assert "no-index" not in codes(probe)
    assert probe.duration is not None
    assert 0.2 < probe.duration < 1.2


def test_a_file_beyond_4_gib_is_walked_at_once(clips: Clips, tmp_path: Path) -> None:
    """Sizes of 64 bits, and no reading of what lies between (the hole takes no room on the disk)."""
    whole = clips.clip("mp4").read_bytes()
    moov = whole.index(b"moov") - 4
    hole = 5 * 1024**3
    path = tmp_path / "large.mp4"
    with path.open("wb") as file:
        file.write(whole[:32] + struct.pack(">I4sQ", 1, b"mdat", hole))
        file.seek(32 + hole)
        file.write(whole[moov:])
    found = boxes.walk(path)
    assert (found.index, found.clipped, found.broken) == (True, "", "")
    assert found.media == [(48, 32 + hole)]
    os.truncate(path, 4 * 1024**3 - 1)
    assert boxes.walk(path).clipped == "mdat"


# --- recovering -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("video", ["h264", "h265"])
@pytest.mark.parametrize("sound", ["aac", "none"])
def test_the_pictures_of_an_unfinished_recording_are_found_again(
    clips: Clips, tmp_path: Path, video: str, sound: str
) -> None:
    """Parameter sets from a whole recording of the same recorder; all pictures but the last few decode."""
    whole = clips.clip("mp4", video, sound)
    broken = cut(whole, tmp_path / "broken.mp4", whole.read_bytes().index(b"moov") - 4)
    said = recover.recover(broken, tmp_path, whole)
    assert said["codec"] == video
    assert said["frames"] == 30
    assert said["rate"] == 25
    assert decoded(tmp_path / f"recovered.{video}") == 30


def test_half_a_recording_gives_half_of_its_pictures(clips: Clips, tmp_path: Path) -> None:
    """Cut in the middle of the media data."""
    whole = clips.clip("mp4", "h264", "aac")
    broken = cut(whole, tmp_path / "broken.mp4", whole.stat().st_size // 2)
    said = recover.recover(broken, tmp_path, whole)
    assert 8 <= said["frames"] <= 22
    assert abs(decoded(tmp_path / "recovered.h264") - said["frames"]) <= 1


def test_parameter_sets_among_the_pictures_need_no_reference(clips: Clips, tmp_path: Path) -> None:
    """Some recorders repeat them before each key frame."""
    # fmt: off
    whole = clips.made("inband.mp4", *CODECS["h264"], "-an", "-bsf:v", "dump_extra=freq=keyframe")
    # fmt: on
    broken = cut(whole, tmp_path / "broken.mp4", whole.read_bytes().index(b"moov") - 4)
    said = recover.recover(broken, tmp_path)
    assert (said["codec"], said["own_sets"]) == ("h264", True)
    assert decoded(tmp_path / "recovered.h264") == said["frames"] == 30


def test_without_parameter_sets_nothing_is_claimed(clips: Clips, tmp_path: Path) -> None:
    """And no file is left that nothing could show."""
    whole = clips.clip("mp4", "h264", "none")
    broken = cut(whole, tmp_path / "broken.mp4", whole.read_bytes().index(b"moov") - 4)
    assert recover.recover(broken, tmp_path)["reason"] == "no-parameter-sets"
    (tmp_path / "noise.mp4").write_bytes(os.urandom(200_000))
    assert "reason" in recover.recover(tmp_path / "noise.mp4", tmp_path)
    assert not list(tmp_path.glob("recovered.*"))


def decoded(path: Path) -> int:
    """How many pictures a decoder makes of it."""
    # fmt: off
    words = ["ffprobe", "-v", "quiet", "-count_frames", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", str(path)]
    # fmt: on
    return int(
        subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip().splitlines()[0].strip(",")
    )


# --- whatever comes ---------------------------------------------------------------------------------------------------

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"\0\0\0\x18ftypisom", b"\0\0\0\x08moov", b"\0\0\0\x10moov\0\0\0\x08trak"]),
)
@FUZZ
def test_the_walk_takes_any_bytes(tmp_path: Path, data: bytes, head: bytes) -> None:
    """It ends, and raises nothing."""
    path = tmp_path / "x.mp4"
    path.write_bytes(head + data)
    found = boxes.walk(path)
    assert all(0 <= start <= end <= path.stat().st_size for start, end in found.media)
    recover.recover(path, tmp_path)


def test_boxes_within_boxes_have_an_end(tmp_path: Path) -> None:
    """Depth and number have limits."""
    data = b""
    for _ in range(5000):
        data = struct.pack(">I4s", len(data) + 8, b"moov") + data
    (tmp_path / "deep.mp4").write_bytes(data)
    boxes.walk(tmp_path / "deep.mp4")
    (tmp_path / "many.mp4").write_bytes(b"\0\0\0\x08moov" * 100_000)
    boxes.walk(tmp_path / "many.mp4")


@given(st.text(max_size=200))
@FUZZ
def test_texts_of_positions_may_be_anything(text: str) -> None:
    """Positions are on the globe."""
    for point in track.of_text(f"$G:{text}\n$GPRMC,{text}".encode()):
        assert abs(point.latitude) <= 90
        assert abs(point.longitude) <= 180


LEAVES = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20)
KEYS = st.sampled_from(sorted(Probe.__dataclass_fields__)) | st.text(max_size=8)


@given(
    st.recursive(
        LEAVES | st.builds(list) | st.builds(dict),
        lambda i: st.lists(i, min_size=1, max_size=4) | st.dictionaries(KEYS, i, min_size=1, max_size=6),
        max_leaves=30,
    )
)
@FUZZ
def test_an_answer_may_be_anything(answer: Any) -> None:
    """What comes out of the sandbox never raises, and reads the same again."""
    probe = Probe.from_json(answer)
    assert Probe.from_json(json.loads(json.dumps(probe.as_json()))) == probe


def test_the_program_answers_line_by_line(clips: Clips) -> None:
    """A request of several files; one that the disk does not give is put off, and ends nothing."""
    request = {"files": [{"name": "missing", "suffix": "mp4"}, {"name": "gone", "as": "track"}]}
    done = subprocess.run(
        [sys.executable, "-m", "mediad.parsers"], input=json.dumps(request).encode(), capture_output=True, check=True
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(a["name"], "No such file" in a["later"]) for a in answers] == [("missing", True), ("gone", True)]


def test_a_read_error_of_the_disk_is_no_answer(tmp_path: Path) -> None:
    """The memory of a process is a file whose first bytes give a read error."""
    memory = Path("/proc/self/mem")
    with pytest.raises(walls.DiskError, match="Input/output error"):
        probe(memory, "mp4")
    with pytest.raises(OSError, match="Input/output error"):
        walls.disk_said("/in/000: Input/output error", memory)
    (tmp_path / "short").write_bytes(b"short")
    walls.disk_said("/in/000: Input/output error", tmp_path / "short")  # a demuxer's word for data that ends


def test_a_jump_of_the_time_stamps_is_no_length(clips: Clips, tmp_path: Path) -> None:
    """Two halves of a transport stream whose clocks are a day apart, or go back: what plays is what is in them."""
    for n, offset in enumerate((0, 90_000)):
        ffmpeg(*PICTURE, *CODECS["h264"], "-output_ts_offset", str(offset), "-f", "mpegts", tmp_path / f"{n}.ts")
    for order in ((0, 1), (1, 0)):
        joined = tmp_path / "joined.ts"
        joined.write_bytes(b"".join((tmp_path / f"{n}.ts").read_bytes() for n in order))
        found = probe(joined, "ts")
        assert found.duration == pytest.approx(2.4, abs=0.1)
        assert "clock-jumps" in [r.code for r in found.remarks]
    whole = probe(clips.clip("ts"), "ts")
    assert whole.duration == pytest.approx(1.2, abs=0.25) and not whole.remarks


def test_a_length_that_no_bytes_could_fill_is_measured(tmp_path: Path) -> None:
    """A film of thirty pictures, a hundred seconds apart from one to the next, would play for an hour."""
    path = tmp_path / "slow.mkv"
    ffmpeg(*PICTURE, *CODECS["h264"], "-bsf:v", "setts=ts=N*100000:duration=40", path)
    found = probe(path, "mkv")
    assert found.duration is not None and found.duration < 5
    assert [r.code for r in found.remarks] == ["clock-jumps"]


def test_all_programs_of_a_file_share_its_processor_time(tmp_path: Path) -> None:
    """Each gets what those before it have left; then none is started any more, and what is known by then is told."""
    script = (
        "import resource, subprocess, sys\n"
        "from mediad.parsers import walls\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (4, 6))\n"
        "walls.begin()\n"
        "for _ in range(9):\n"
        "    walls.budget()\n"
        "    subprocess.run([sys.executable, '-c', 'import time\\nwhile time.process_time() < 1.2: pass'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert "Spent" in done.stderr


def test_a_film_that_takes_too_long_to_measure_is_told_without_its_length(
    clips: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ffprobe said first stands."""

    def spent(path: Path) -> None:
        raise walls.Spent("too long")

    monkeypatch.setattr(length, "_played", spent)
    found = probe(clips.clip("ts"), "ts")
    assert (found.duration, [s.codec for s in found.streams]) == (None, ["h264", "aac"])
    assert [r.code for r in found.remarks] == ["limit"]
