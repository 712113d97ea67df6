"""Before a film is blamed: whether the disk gives all of it, has room, and whether it is the sound alone."""

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mediad.edges import commands, media
from mediad.edges.encoder import Encoder
from mediad.edges.media import Media, ProbeFile
from mediad.edges.photos import Photo, Photos
from mediad.edges.program import Outcome
from mediad.edges.sandbox import Limits, Sandbox
from mediad.edges.step import SMALL, Spoilt, Steps, judge
from mediad.edges.whole import read_through
from mediad.errors import Stopping, StorageError, VaultFull
from mediad.model import preview
from mediad.model.derived import Made, PreviewFailed
from mediad.model.evidence import Kind
from mediad.model.preview import Member, Plan
from mediad.model.probe import Probe, Stream
from tests.media import clip, length, member_of, probe_of, stream_of
from tests.support import MIB, small_disk
from tests.unit.test_encoder_trouble import FILM, Ending
from tests.unit.test_encoder_trouble import SMALL as SETTINGS

BAD_DISK = Path(f"/proc/{os.getpid()}/mem")
"""A regular file whose first byte nobody can read: EIO."""


def make(sandbox: Any, scratch: Path, member: Member, source: Path, **more: Any) -> Any:
    plan = preview.plan([member], SETTINGS)
    assert isinstance(plan, Plan), plan
    scratch.mkdir(exist_ok=True)
    return Encoder(sandbox, prefer="software", **more).make(plan, [source], scratch, room=256 * MIB)


def box() -> Sandbox:
    return Sandbox(nice=0, idle=False)


# --- the disk ---------------------------------------------------------------------------------------------------------


def test_the_stand_in_for_a_bad_disk_is_one() -> None:
    with pytest.raises(OSError) as caught, BAD_DISK.open("rb", buffering=0) as file:
        file.read(1)
    assert caught.value.errno == errno.EIO and BAD_DISK.is_file()


def test_a_film_that_the_disk_does_not_give_is_not_called_undecodable(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        make(box(), tmp_path / "scratch", Member(FILM, 100, "d"), BAD_DISK)
    assert caught.value.retry == "later" and "cannot be read" in caught.value.message


def test_a_film_of_which_the_disk_gives_a_part_is_not_called_shorter_than_it_is(tmp_path: Path) -> None:
    """A stand-in for a disk of which one block is bad, NOT a real one: the decoder is given the first part of the film."""
    film = clip(tmp_path / "a.mp4", video="mpeg4", audio="", seconds=1)

    class Partly(Sandbox):
        def run(self, argv: Sequence[str], *, inputs: Mapping[str, Path] | None = None, **more: Any) -> Outcome:  # type: ignore[override]
            given = {n: film if p == BAD_DISK else p for n, p in (inputs or {}).items()}
            return super().run(argv, inputs=given, **more)

    probe = Probe("video", container="mp4", duration=9.0, streams=probe_of(film).streams)
    with pytest.raises(StorageError, match="cannot be read"):
        make(Partly(nice=0, idle=False), tmp_path / "scratch", Member(probe, 100, "d"), BAD_DISK)


def test_a_photo_that_the_disk_does_not_give_is_not_called_undecodable(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        Photos(box()).make([Photo("a", BAD_DISK)], tmp_path, height=90, room=64 * MIB)


class Crashing(Sandbox):
    """A stand-in for a parser, NOT the real one, that is ended by a signal: as where a part of a file is mapped into memory, and
    the disk does not give it."""

    def run(self, argv: Sequence[str], **more: Any) -> Outcome:
        return Outcome(135, b"", b"")


def test_a_photo_over_which_the_parser_crashed_is_read_through_before_it_is_blamed(tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_bytes(b"x")
    made = Photos(Crashing()).make([Photo("b", tmp_path / "b.jpg")], tmp_path, height=90, room=64 * MIB)
    assert made["b"] == PreviewFailed("crashed", "the decoder crashed (SIGBUS)")
    with pytest.raises(StorageError, match="cannot be read"):
        Photos(Crashing()).make([Photo("a", BAD_DISK)], tmp_path, height=90, room=64 * MIB)


def test_a_file_over_which_a_parser_crashed_is_read_through_before_that_becomes_a_fact() -> None:
    (answer,) = Media(Crashing()).probe([ProbeFile(BAD_DISK, Kind.VIDEO, "mp4")])
    assert isinstance(answer, StorageError) and answer.retry == "later"
    (answer,) = Media(Crashing()).probe([ProbeFile(Path(__file__), Kind.VIDEO, "mp4")])
    assert isinstance(answer, Probe) and [r.code for r in answer.remarks] == ["limit"]


def test_a_stop_ends_the_reading_of_an_original(tmp_path: Path) -> None:
    """Of many gigabytes it takes minutes."""

    def looked() -> None:
        raise Stopping("stopping")

    (tmp_path / "a.mp4").write_bytes(b"x" * 100)
    with pytest.raises(Stopping):
        make(box(), tmp_path / "scratch", Member(FILM, 100, "d"), tmp_path / "a.mp4", looked=looked)
    seen: list[int] = []
    (tmp_path / "b").write_bytes(bytes(9 * MIB))
    read_through([tmp_path / "b"], lambda: seen.append(1))
    assert len(seen) == 3


# --- room -------------------------------------------------------------------------------------------------------------

FULL = Outcome(1, b"", b"av_interleaved_write_frame(): No space left on device\nConversion failed!\n")


def test_a_full_disk_is_no_fault_of_the_film(tmp_path: Path) -> None:
    """A disk of its own that is really full, and the real ffmpeg."""
    film = clip(tmp_path / "a.mp4", options="-profile:v main")
    with small_disk(tmp_path / "disk", 64 * 1024) as disk, pytest.raises(VaultFull) as caught:
        make(box(), disk / "scratch", member_of(film), film)
    assert caught.value.retry == "later"


def test_a_film_that_speaks_of_a_full_disk_is_not_believed(tmp_path: Path) -> None:
    """Its words come through the decoder's; the disk itself is asked. Once more is tried: others may have made room meanwhile."""
    film = clip(tmp_path / "a.mp4", video="mpeg4", audio="", seconds=0.4)
    made = make(Ending(FULL), tmp_path / "scratch", member_of(film), film)
    assert isinstance(made, PreviewFailed) and made.code == "undecodable"
    assert os.listdir(tmp_path / "scratch/kept") == []


def test_a_disk_that_has_room_again_is_tried_once_more(tmp_path: Path) -> None:
    class Once(Sandbox):
        said = False

        def run(self, argv: Sequence[str], **more: Any) -> Outcome:
            if argv[0] == "ffmpeg" and not Once.said:
                Once.said = True
                return FULL
            return super().run(argv, **more)

    film = clip(tmp_path / "a.mp4", video="mpeg4", audio="", seconds=0.4)
    made = make(Once(nice=0, idle=False), tmp_path / "scratch", member_of(film), film)
    assert isinstance(made, Made) and made.remarks == ()


def test_what_ended_well_is_believed_whatever_it_complained_of() -> None:
    judge(Outcome(0, b"", FULL.err), full=lambda: True)


# --- sound ------------------------------------------------------------------------------------------------------------


def test_a_film_whose_sound_nobody_can_decode_is_shown_without_it(tmp_path: Path) -> None:
    """As of a recorder with a codec of its own: the pictures can be seen, and the manifest says what is missing."""
    whole = clip(tmp_path / "whole.mov", video="mpeg4", audio="pcm_s16le")
    film = tmp_path / "a.mov"
    film.write_bytes(whole.read_bytes().replace(b"sowt", b"zzzz"))
    member = member_of(film)
    assert member.probe.stream("audio") is not None
    made = make(box(), tmp_path / "scratch", member, film)
    assert isinstance(made, Made), made
    assert (made.video, made.audio) == ("encode", "none")
    assert [r.code for r in made.remarks] == ["no-sound"] and "Decoder" in made.remarks[0].detail
    assert "wave.png" not in made.files and {"proxy.mp4", "poster.jpg"} <= set(made.files)
    proxy = tmp_path / "scratch/kept/proxy.mp4"
    assert length(proxy) == pytest.approx(2.0, abs=0.1) and not stream_of(proxy, "audio")


def test_a_take_with_a_segment_whose_sound_nobody_can_decode_is_shown_without_any(tmp_path: Path) -> None:
    whole = clip(tmp_path / "whole.mov", video="mpeg4", audio="pcm_s16le", seconds=1)
    film = tmp_path / "a.mov"
    film.write_bytes(whole.read_bytes().replace(b"sowt", b"zzzz"))
    plan = preview.plan([member_of(whole), member_of(film)], SETTINGS)
    assert isinstance(plan, Plan)
    made = Encoder(box(), prefer="software").make(plan, [whole, film], tmp_path, room=256 * MIB)
    assert isinstance(made, Made) and [r.code for r in made.remarks] == ["no-sound"], made
    assert length(tmp_path / "kept/proxy.mp4") == pytest.approx(2.0, abs=0.1)


def test_a_film_whose_picture_is_to_blame_says_why_the_picture_is(tmp_path: Path) -> None:
    """What the way without sound complains of is not what a person asked for."""
    whole = clip(tmp_path / "whole.mov", video="mjpeg", audio="pcm_s16le")
    film = tmp_path / "a.mov"
    film.write_bytes(whole.read_bytes().replace(b"jpeg", b"zzzz"))
    streams = (Stream("video", "", width=192, height=108), Stream("audio", "", channels=1))
    member = Member(Probe("video", container="mp4", duration=2.0, streams=streams), 100, "d")
    made = make(box(), tmp_path / "scratch", member, film)
    assert isinstance(made, PreviewFailed) and made.code == "undecodable"


# --- limits -----------------------------------------------------------------------------------------------------------


def test_every_thread_of_a_job_is_counted(tmp_path: Path) -> None:
    """Those of filters too: a machine of many processors is shared with the ingest."""
    seen: list[list[str]] = []

    class Seeing(Ending):
        def run(self, argv: Sequence[str], **more: Any) -> Outcome:
            seen.append(list(argv))
            return self.outcome

    film = clip(tmp_path / "a.mp4", video="mpeg4", seconds=0.4)
    make(Seeing(Outcome(1, b"", b"x")), tmp_path / "scratch", member_of(film), film, threads=3)
    for words in seen:
        told = {words[n]: words[n + 1] for n in range(len(words) - 1) if "threads" in words[n]}
        assert told["-filter_threads"] == told["-filter_complex_threads"] == "3"
        assert told["-threads"] == told["-threads:v"] == "3"
    still = commands.compiled(commands.poster(commands.shown("/in/x")["V:0"], 2.0, bright=False), threads=3)
    assert still[still.index("-threads:v") + 1] == "1", "one picture"


def test_a_broken_film_that_complains_without_end_is_tried_once_more_in_silence(tmp_path: Path) -> None:
    """What it says is bounded; what it shows may be worth having."""
    said: list[str] = []

    class Loud(Ending):
        def run(self, argv: Sequence[str], **more: Any) -> Outcome:
            said.append(argv[list(argv).index("-v") + 1])
            return Outcome(-9, b"", b"x" * (8 * MIB), too_much=True)

    steps = Steps(Loud(Outcome(0, b"", b"")), tmp_path, room=256 * MIB)
    steps.begin()
    node = commands.poster(commands.shown("/in/x")["V:0"], 2.0, bright=False)
    with pytest.raises(Spoilt) as caught:
        steps.ffmpeg([node], {}, {})
    assert said == ["error", "quiet"] and caught.value.failed.code == "too-large"


def test_a_program_killed_for_what_it_wrote_is_at_fault_itself() -> None:
    with pytest.raises(Spoilt, match="more comes out of it"):
        judge(Outcome(137, b"", b"", too_much=True))


def test_no_limit_grows_with_a_claim_beyond_the_longest_take_and_a_picture_has_its_own(tmp_path: Path) -> None:
    steps = Steps(Ending(FULL), tmp_path, room=256 * MIB, threads=2, slowest=20.0)
    steps.begin()
    endless, longest = steps.limits(0, 1e12), steps.limits(0, 24 * 3600.0 * 190)
    assert endless == longest and steps.limits(SMALL, 1.0).file_size == SMALL
    assert isinstance(endless, Limits) and steps.limits(0, 1.0).file_size == 256 * MIB


def test_a_step_may_write_what_those_before_it_left(tmp_path: Path) -> None:
    """And what is larger than a picture may be is not taken over as one."""
    steps = Steps(Ending(FULL), tmp_path, room=100 * MIB)
    steps.begin()
    steps.note("a", bytes(40 * MIB))
    assert steps.left() == 60 * MIB and steps.limits(0, 1.0).folder == 60 * MIB
    (steps.fresh() / "b").write_bytes(bytes(1001))
    with pytest.raises(Spoilt) as caught:
        steps.take(tmp_path / "out", "b", "b", 1000)
    assert caught.value.failed.code == "hostile"
    steps.take(tmp_path / "out", "b", "b", 1001)
    assert sorted(os.listdir(steps.kept)) == ["a", "b"]


def test_the_tracks_of_many_files_share_what_one_recording_may_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is thinned as it is read, so that a week of segments does not fill the memory."""
    monkeypatch.setattr(media, "MAX_POINTS", 10)
    points = [("", n) for n in range(101)]
    for most in (2, 3, 10, 100, 101):
        thinned = media._thinned(points, most)
        assert len(thinned) <= most and (thinned[0], thinned[-1]) == (points[0], points[-1])
    assert media._thinned(points[:10], 10) == points[:10]

    class Telling(Media):
        def _ask_one(self, file: ProbeFile, question: Mapping[str, str], **more: Path | None) -> dict[str, Any]:
            places = [[n, n] for n in range(9)]
            return {"track": {"geometry": {"coordinates": places}, "properties": {"times": [""] * 9}}}

    made = Telling(box()).track([ProbeFile(tmp_path, Kind.VIDEO)] * 2, media.ZoneInfo("UTC"))
    assert made is not None and made.count(b"[") - 2 <= 10
