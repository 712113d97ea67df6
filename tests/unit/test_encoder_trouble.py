"""What goes wrong: files that are broken or hostile, machines that are short of something, hardware that only seems to be there."""

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mediad.edges import commands
from mediad.edges.commands import Hardware
from mediad.edges.encoder import Encoder
from mediad.edges.hardware import Choice, candidates
from mediad.edges.media import Media, ProbeFile
from mediad.edges.program import Outcome
from mediad.edges.sandbox import Limits, Sandbox
from mediad.edges.step import judge, last_line
from mediad.errors import MediadError, StorageError, VaultFull
from mediad.model import preview
from mediad.model.derived import Made, PreviewFailed
from mediad.model.evidence import Kind
from mediad.model.preview import Member, Plan, Settings
from mediad.model.probe import Probe
from tests import media
from tests.media import clip, member_of, probe_of

ROOM = 256 * 1024**2
SMALL = Settings(height=108, preset="ultrafast")


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(nice=0, idle=False)


def make(
    sandbox: Any, tmp_path: Path, members: Sequence[Member], sources: Sequence[Path], *, room: int = ROOM,
    encoder: Encoder | None = None, reference: Member | None = None,
) -> Any:  # fmt: skip
    plan = preview.plan(members, SMALL, reference=reference)
    assert isinstance(plan, Plan), plan
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    encoder = encoder or Encoder(sandbox, prefer="software")
    return encoder.make(plan, sources, scratch, room=room)


# --- files ------------------------------------------------------------------------------------------------------------

FILM = Probe(
    "video", container="mov,mp4,m4a", duration=2.0, streams=(preview.Stream("video", "h264", width=192, height=108),)
)
"""What a probe might have said of a file that now holds something else."""


@pytest.mark.parametrize("content", [b"", b"text\n" * 100, b"\0" * 5000, os.urandom(5000)])
def test_a_file_that_is_no_film_is_an_answer_with_a_sentence(sandbox: Sandbox, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    made = make(sandbox, tmp_path, [Member(FILM, len(content), "d")], [tmp_path / "a.mp4"])
    assert isinstance(made, PreviewFailed) and made.code == "undecodable"
    assert "/in/" not in made.sentence and "0x" not in made.sentence and made.sentence


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n/in/other\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /in/other\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><BaseURL>/in/other</BaseURL></MPD>",
    ],
    ids=["hls", "concat", "concat of a secret", "sdp", "dash"],
)
def test_a_playlist_opens_nothing_whatever_its_name_and_its_probe_say(
    sandbox: Sandbox, tmp_path: Path, content: bytes
) -> None:
    """Alone, and as a segment of a take whose other segment would be there to be opened."""
    (tmp_path / "a.mp4").write_bytes(content)
    film = clip(tmp_path / "b.mp4", options="-profile:v main")
    made = make(sandbox, tmp_path, [Member(FILM, 100, "d")], [tmp_path / "a.mp4"])
    assert isinstance(made, PreviewFailed), made
    made = make(sandbox, tmp_path, [member_of(film), replace(member_of(film), digest="d")], [film, tmp_path / "a.mp4"])
    assert isinstance(made, PreviewFailed), made


def test_films_cut_or_bent_anywhere_give_a_preview_or_a_reason_and_nothing_else(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """Two containers, each cut and with bytes flipped at places that differ; as damaged as the probe would say."""
    dice = random.Random(5)
    outcomes = []
    for suffix in ("mp4", "avi"):
        whole = clip(tmp_path / f"a.{suffix}", seconds=1).read_bytes()
        for n in range(5):
            content = bytearray(whole[: len(whole) * (n + 1) // 6] if n % 2 else whole)
            for _ in range(40):
                content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
            path = tmp_path / f"{n}.{suffix}"
            path.write_bytes(content)
            try:
                probe = probe_of(path, "damaged")
            except subprocess.CalledProcessError:
                probe = replace(FILM, container=suffix, conditions=("damaged",))
            if isinstance(preview.plan([Member(probe, 1, "d")], SMALL), Plan):
                outcomes.append(make(sandbox, tmp_path, [Member(probe, 1, "d")], [path]))
    assert all(isinstance(o, Made | PreviewFailed) for o in outcomes)
    assert any(isinstance(o, Made) for o in outcomes)


def test_a_film_whose_probe_names_another_length_is_made_and_says_so(sandbox: Sandbox, tmp_path: Path) -> None:
    film = clip(tmp_path / "a.mp4", options="-profile:v main")
    member = member_of(film)
    made = make(sandbox, tmp_path, [replace(member, probe=replace(member.probe, duration=9.0))], [film])
    assert isinstance(made, Made) and [r.code for r in made.remarks] == ["differs"]
    assert made.seconds == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("audio", ["aac", ""])
def test_a_film_without_its_index_is_shown_with_the_help_of_another_of_the_same_recorder(
    sandbox: Sandbox, tmp_path: Path, audio: str
) -> None:
    """As a pulled battery leaves it: pictures, sound between every two of them, and nothing that says where they are."""
    whole = clip(tmp_path / "whole.mp4", options="-profile:v main", seconds=3, audio=audio)
    content = whole.read_bytes()
    lost = tmp_path / "lost.mp4"
    lost.write_bytes(content[: content.index(b"moov") - 4])

    def recover(path: Path, output: Path, reference: Path | None) -> Any:
        return Media(sandbox).recover(ProbeFile(path, Kind.VIDEO, "mp4"), output, reference)

    encoder = Encoder(sandbox, prefer="software", recover=recover)
    member = Member(Probe("video", conditions=("truncated",), container="mov,mp4"), lost.stat().st_size, "d")
    made = make(sandbox, tmp_path, [member], [lost, whole], encoder=encoder, reference=member_of(whole))
    assert isinstance(made, Made), made
    assert made.seconds == pytest.approx(3.0, abs=0.1) and [r.code for r in made.remarks] == ["salvaged"]
    assert made.files == ("proxy.mp4", "poster.jpg", "sheet.jpg", "thumbs.jpg", "thumbs.vtt")
    made = make(sandbox, tmp_path, [member], [lost], encoder=Encoder(sandbox, prefer="software"))
    assert made == PreviewFailed("index-lost", "its index is missing, and nothing in it plays without")


def test_a_film_without_its_index_that_needs_no_help_has_all_pictures(sandbox: Sandbox, tmp_path: Path) -> None:
    """Its parameter sets are among its pictures; how large they are is known when they are decoded."""
    whole = clip(tmp_path / "whole.mp4", options="-bsf:v dump_extra=freq=keyframe", seconds=3, audio="")
    content = whole.read_bytes()
    lost = tmp_path / "lost.mp4"
    lost.write_bytes(content[: content.index(b"moov") - 4])

    def recover(path: Path, output: Path, reference: Path | None) -> Any:
        return Media(sandbox).recover(ProbeFile(path, Kind.VIDEO, "mp4"), output, reference)

    member = Member(Probe("video", conditions=("truncated",), container="mp4"), lost.stat().st_size, "d")
    made = make(sandbox, tmp_path, [member], [lost], encoder=Encoder(sandbox, prefer="software", recover=recover))
    assert isinstance(made, Made), made
    assert made.files == ("proxy.mp4", "poster.jpg", "sheet.jpg", "thumbs.jpg", "thumbs.vtt")
    with Image.open(tmp_path / "scratch/kept/thumbs.jpg") as sprite:
        assert sprite.height % 90 == 0 and sprite.width % 160 == 0


def test_an_index_that_is_larger_than_was_kept_free_goes_to_the_front_all_the_same(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediad.edges.encoder._Job._index_bytes", lambda *_: 200)
    film = clip(tmp_path / "a.mp4", options="-profile:v main")
    made = make(sandbox, tmp_path, [member_of(film)], [film])
    assert isinstance(made, Made) and (made.video, made.remarks) == ("copy", ())
    head = (tmp_path / "scratch/kept/proxy.mp4").read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")


# --- the machine ------------------------------------------------------------------------------------------------------


class Ending:
    """A stand-in for the sandbox, NOT the real one: every program ends so."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def python(self, module: str, *args: str) -> list[str]:
        raise AssertionError

    def run(self, argv: Sequence[str], **more: Any) -> Outcome:
        return self.outcome


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (Outcome(-9, b"", b"", late=True), StorageError),
        (Outcome(137, b"", b""), StorageError),
        (Outcome(153, b"", b""), VaultFull),
    ],
)
def test_what_is_the_machines_fault_is_tried_again_later(
    tmp_path: Path, outcome: Outcome, kind: type[MediadError]
) -> None:
    film = clip(tmp_path / "a.mp4", video="mjpeg")
    with pytest.raises(kind) as raised:
        make(Ending(outcome), tmp_path, [member_of(film)], [film])
    assert raised.value.retry == "later"


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome(139, b"", b""), "crashed"),
        (Outcome(152, b"", b"", spent=True), "too-slow"),
        (Outcome(255, b"", b"", spent=True), "too-slow"),
        (Outcome(137, b"", b"", spent=True), "too-slow"),
        (Outcome(-9, b"", b"", too_much=True), "too-large"),
        (Outcome(1, b"", b"[mov @ 0x55d] moov atom not found\n/in/000: Invalid data found when processing input\n"),
         "undecodable"),
        (Outcome(1, b"", b"Cannot allocate memory\n"), "too-large"),
    ],
)  # fmt: skip
def test_what_is_the_files_fault_is_an_answer(tmp_path: Path, outcome: Outcome, code: str) -> None:
    film = clip(tmp_path / "a.mp4", video="mjpeg")
    made = make(Ending(outcome), tmp_path, [member_of(film)], [film])
    assert isinstance(made, PreviewFailed) and made.code == code


def test_a_vault_without_room_for_a_proxy_is_tried_again_later(sandbox: Sandbox, tmp_path: Path) -> None:
    film = clip(tmp_path / "a.mp4", options="-profile:v main")
    with pytest.raises(VaultFull):
        make(sandbox, tmp_path, [member_of(film)], [film], room=1024**2)


@pytest.mark.parametrize("when", ["before", "after"])
def test_previews_that_are_removed_while_one_is_made_are_no_fault_of_the_film(tmp_path: Path, when: str) -> None:
    """Somebody deletes the folder with all that is in it, before ffmpeg opens its file or behind its back."""

    class Removing(Sandbox):
        def run(self, argv: Sequence[str], **more: Any) -> Outcome:
            output = more.get("output")
            if output is None:
                return super().run(argv, **more)
            if when == "before":  # what is bound stays, and nothing can be made in it
                outcome = Outcome(1, b"", b"/out/proxy.mp4: No such file or directory\n")
            else:
                outcome = super().run(argv, **more)
            shutil.rmtree(output.parent)
            return outcome

    film = clip(tmp_path / "a.mp4", video="mjpeg", audio="")
    with pytest.raises(StorageError) as raised:
        make(Removing(nice=0, idle=False), tmp_path, [member_of(film)], [film])
    assert raised.value.retry == "later"


def test_time_stamps_that_lead_far_beyond_the_film_end_its_encoding(sandbox: Sandbox, tmp_path: Path) -> None:
    """A second of sound every day: the silence between would be filled for as long as there is room."""
    film = tmp_path / "a.mkv"
    media.ffmpeg("-f", "lavfi", "-i", "sine=1000:d=9:r=8000,asetnsamples=8000", "-c:a", "pcm_s16le",
                 "-bsf:a", "setts=ts=N*86400000", film)  # fmt: skip
    member = member_of(film)
    member = replace(member, probe=replace(member.probe, duration=9.0))
    made = make(sandbox, tmp_path, [member], [film])
    assert isinstance(made, PreviewFailed) and made.code == "timeline", made


def test_a_film_of_which_far_more_comes_than_it_is_itself_is_at_fault_and_not_the_disk(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much room there is; it is not tried again and again."""
    monkeypatch.setattr("mediad.edges.encoder.OUTPUT_MORE", 0)
    film = clip(tmp_path / "a.mp4", options="-profile:v main")
    made = make(sandbox, tmp_path, [member_of(film)], [film])
    assert isinstance(made, PreviewFailed) and made.code == "too-large", made


def test_the_last_line_of_a_program_is_said_without_addresses_and_escapes() -> None:
    said = b"first\n[h264 @ 0x5581a8] \x1b[31mno frame!\n/in/000: Invalid data \xe2\x80\xae found\nConversion failed!\n"
    assert last_line(said) == "Invalid data \\xe2\\x80\\xae found"
    assert last_line(b"[mov,mp4 @ 0x55] [x @ 0x1] bad\n") == "bad"
    assert last_line(b"") == ""
    judge(Outcome(0, b"", b"a warning"))


class Planting:
    """A stand-in for a decoder that a file took over, NOT the real one: it writes something else than a film."""

    def __init__(self, plant: Callable[[Path], None]) -> None:
        self._plant = plant

    def python(self, module: str, *args: str) -> list[str]:
        raise AssertionError

    def run(self, argv: Sequence[str], *, output: Path | None = None, **more: Any) -> Outcome:
        if output is not None:
            self._plant(output)
        return Outcome(0, b"{}", b"")


def test_what_a_decoder_that_was_taken_over_writes_is_not_taken_over(tmp_path: Path) -> None:
    """A link, a second name of another file, a pipe: none of them gets past the folder that it was written into."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    film = clip(tmp_path / "a.mp4", video="mjpeg")
    plants: list[Callable[[Path], None]] = [
        lambda out: (out / "proxy.mp4").symlink_to(secret),
        lambda out: os.link(secret, out / "proxy.mp4"),
        lambda out: os.mkfifo(out / "proxy.mp4"),
        lambda out: (out / "proxy.mp4").mkdir(),
    ]
    for plant in plants:
        made = make(Planting(plant), tmp_path, [member_of(film)], [film])
        assert isinstance(made, PreviewFailed) and made.code == "hostile", made
        assert os.listdir(tmp_path / "scratch/kept") == []
    assert secret.read_text() == "secret"


# --- hardware ---------------------------------------------------------------------------------------------------------

VAAPI = Hardware("vaapi", "h264_vaapi", quality="qp", devices=("/dev/null",))
NVENC = Hardware("nvenc", "h264_nvenc", quality="cq", devices=("/dev/null",))


class Pretending:
    """A stand-in for hardware, NOT the real one: encoders that are said to be there are really libx264, and fail over real
    films where it is said so."""

    def __init__(self, works: Sequence[str], fails_on_films: bool = False) -> None:
        self._real = Sandbox(nice=0, idle=False)
        self._works = works
        self._fails_on_films = fails_on_films
        self.used: list[str] = []

    def python(self, module: str, *args: str) -> list[str]:
        return self._real.python(module, *args)

    def run(self, argv: Sequence[str], *, devices: Sequence[str] = (), **more: Any) -> Outcome:
        words = list(argv)
        codec = next((w for w in words if w in ("h264_vaapi", "h264_nvenc", "libx264")), "")
        trial = any("trial" in w for w in words)
        self.used += [codec + (" trial" if trial else "")] if codec else []
        if codec.startswith("h264_"):
            assert list(devices) == ["/dev/null"]
            if codec not in self._works or (self._fails_on_films and not trial):
                return Outcome(1, b"", b"[h264_vaapi @ 0x1] No usable encoding profile found.\n")
            quality = words.index("-qp") if "-qp" in words else words.index("-cq")
            words[quality] = "-crf"
            words[words.index(codec)] = "libx264"
        return self._real.run(words, **more)


def encoder_of(sandbox: Pretending, prefer: str) -> Encoder:
    return Encoder(sandbox, choice=Choice(sandbox, prefer, [VAAPI, NVENC]))


@pytest.mark.parametrize(
    ("prefer", "works", "chosen"),
    [
        ("auto", ["h264_vaapi", "h264_nvenc"], "vaapi"),
        ("auto", ["h264_nvenc"], "nvenc"),
        ("auto", [], "software"),
        ("nvenc", ["h264_vaapi", "h264_nvenc"], "nvenc"),
        ("nvenc", ["h264_vaapi"], "software"),
        ("software", ["h264_vaapi"], "software"),
    ],
)
def test_the_first_encoder_in_which_a_real_encode_succeeds_is_used(prefer: str, works: list[str], chosen: str) -> None:
    sandbox = Pretending(works)
    encoder = encoder_of(sandbox, prefer)
    assert encoder.hardware() == chosen
    tried = list(sandbox.used)
    assert encoder.hardware() == chosen and sandbox.used == tried, "it was tried twice"


@pytest.mark.parametrize(
    ("prefer", "works", "why"),
    [
        ("auto", ["h264_vaapi"], ("vaapi", "qsv: no device node of it is there")),
        (
            "auto",
            ["h264_nvenc"],
            ("nvenc", "qsv: no device node of it is there; vaapi: No usable encoding profile found."),
        ),
        ("vaapi", [], ("software", "vaapi: No usable encoding profile found.")),
        ("vaapi", ["h264_vaapi"], ("vaapi", "")),
        ("qsv", [], ("software", "qsv: no device node of it is there")),
        ("software", [], ("software", "")),
    ],
)
def test_it_is_told_once_which_encoder_is_used_and_why_no_other(prefer: str, works: list[str], why: Any) -> None:
    told: list[tuple[str, str]] = []
    choice = Choice(Pretending(works), prefer, [VAAPI, NVENC], lambda *said: told.append(said))
    with ThreadPoolExecutor(4) as pool:
        assert len({made.name for made in pool.map(lambda _: choice.made(), range(4))}) == 1
    assert told == [why]


def test_a_film_is_encoded_by_hardware_and_one_that_it_fails_on_by_software(tmp_path: Path) -> None:
    film = clip(tmp_path / "a.mp4", video="mjpeg")
    sandbox = Pretending(["h264_vaapi"])
    made = make(sandbox, tmp_path, [member_of(film)] * 2, [film] * 2, encoder=encoder_of(sandbox, "auto"))
    assert isinstance(made, Made) and made.encoder == "vaapi", made
    sandbox = Pretending(["h264_vaapi"], fails_on_films=True)
    made = make(sandbox, tmp_path, [member_of(film)], [film], encoder=encoder_of(sandbox, "auto"))
    assert isinstance(made, Made) and made.encoder == "software"
    assert sandbox.used == ["h264_vaapi trial", "h264_vaapi", "libx264"]
    assert media.length(tmp_path / "scratch/kept/proxy.mp4") == pytest.approx(2.0, abs=0.1)


def test_hardware_that_is_not_there_is_software(sandbox: Sandbox) -> None:
    """With the real sandbox and ffmpeg: a device that is no graphics card fails the trial."""
    assert Choice(sandbox, "auto", [VAAPI]).made() == commands.SOFTWARE
    assert all(h.devices for h in candidates())


def test_each_hardware_encoder_has_a_command_line_that_ffmpeg_can_read() -> None:
    """As far as it can be told without the hardware: devices come before the inputs, pictures go up to the card."""
    card = Hardware("vaapi", "h264_vaapi", (("-vaapi_device", "/dev/dri/renderD128"),),
                    (("format", ("nv12",)), ("hwupload", ())), "qp", ("/dev/dri/renderD128",))  # fmt: skip
    words = commands.trial(card)
    assert words[1:3] == ["-vaapi_device", "/dev/dri/renderD128"]
    assert "format=nv12" in " ".join(words) and "hwupload" in " ".join(words)


def test_a_job_has_limits_that_grow_with_its_length(tmp_path: Path) -> None:
    """Of processor, clock, memory and bytes; never more than there is room for."""
    seen: list[Limits] = []

    class Seeing(Ending):
        def run(self, argv: Sequence[str], *, limits: Limits, **more: Any) -> Outcome:  # type: ignore[override]
            seen.append(limits)
            return self.outcome

    film = clip(tmp_path / "a.mp4", video="mjpeg")
    member = member_of(film)
    longer = replace(member, probe=replace(member.probe, duration=3600.0))
    joined = Seeing(Outcome(1, b"", b"x"))
    take = [member_of(clip(tmp_path / "b.avi", options="-profile:v main"))] * 2  # its originals are looked at first
    make(joined, tmp_path, take, [tmp_path / "b.avi"] * 2, encoder=Encoder(joined, prefer="software", memory=ROOM))
    for m in (member, longer):
        sandbox = Seeing(Outcome(1, b"", b"x"))
        make(sandbox, tmp_path, [m], [film], encoder=Encoder(sandbox, prefer="software", memory=ROOM, slowest=10))
    assert all(limits.file_size <= ROOM and limits.folder <= ROOM and limits.memory == ROOM for limits in seen)
    assert seen[0].seconds < 1000 and seen[-1].seconds > 36_000 and seen[-1].cpu_seconds < seen[-1].seconds
