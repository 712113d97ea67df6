"""Asking the parsers through the sandbox: batches, what ends them, and what is the file's fault and what the machine's."""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediad.edges import media
from mediad.edges.media import Media, ProbeFile
from mediad.edges.sandbox import MAX_INPUTS, Sandbox
from mediad.errors import Stopping, StorageError
from mediad.model.evidence import Kind
from tests.clips import Clips, cut

UTC = ZoneInfo("UTC")


def quick() -> Media:
    return Media(Sandbox(nice=0, idle=False))


@dataclass(frozen=True, slots=True)
class Faulty(Sandbox):
    """The real sandbox and the real parsers, but the one of sidecars does ``what`` over a file with FAULT in it."""

    what: str = ""

    def python(self, module: str, *args: str) -> list[str]:
        words = Sandbox.python(self, module, *args)
        paths, started = words[-1].split("sys.argv[1:]", 1)
        fault = (
            "import os,json\nimport mediad.parsers.sidecar as s\nreal = s.probe\n"
            f"def probe(path, suffix):\n    if b'FAULT' in path.read_bytes():\n        {self.what}\n    return real(path, suffix)\n"
            "s.probe = probe\n"
        )
        return [*words[:-1], f"{paths}\n{fault}sys.argv[1:]{started}"]


def faulty(what: str) -> Media:
    return Media(Faulty(nice=0, idle=False, what=what))


def sidecars(folder: Path, *texts: str) -> list[ProbeFile]:
    files = []
    for n, text in enumerate(texts):
        path = folder / f"{n}.xml"
        path.write_text(f"<r><officer>{n}</officer><note>{text}</note></r>")
        files.append(ProbeFile(path, Kind.DATA, "xml"))
    return files


def officers(probes: list[media.Probe | StorageError]) -> list[str]:
    return [p.sidecar.officer if isinstance(p, media.Probe) and p.sidecar else "" for p in probes]


def told(probes: list[media.Probe | StorageError]) -> list[media.Probe]:
    """Those that are answers about a file, which all must be."""
    assert all(isinstance(p, media.Probe) for p in probes), probes
    return [p for p in probes if isinstance(p, media.Probe)]


def test_every_file_of_a_docking_has_its_answer_in_order(clips: Clips, tmp_path: Path) -> None:
    """Video alone, photos and sidecars together; the order is that of the question."""
    files = [
        ProbeFile(clips.clip("mp4"), Kind.VIDEO, "mp4"),
        ProbeFile(clips.photo("jpg", Make="Acme"), Kind.PHOTO, "jpg"),
        *sidecars(tmp_path, "a"),
        ProbeFile(clips.clip("ts"), Kind.VIDEO, "ts"),
        ProbeFile(clips.photo("png"), Kind.PHOTO, "png"),
    ]
    probes = told(quick().probe(files))
    assert [p.container for p in probes] == ["mp4", "jpeg", "xml", "ts", "png"]
    assert [p.kind for p in probes] == ["video", "photo", "data", "video", "photo"]
    assert quick().probe([]) == []


def test_more_files_than_one_sandbox_takes(tmp_path: Path) -> None:
    """They are asked about in groups."""
    files = sidecars(tmp_path, *("x" for _ in range(MAX_INPUTS + 3)))
    assert officers(quick().probe(files)) == [str(n) for n in range(MAX_INPUTS + 3)]


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("os.abort()", "limit"),
        ("os._exit(3)", "parser-failed"),
        ("os.kill(os.getpid(), 11)", "limit"),
        ("bytearray(4 << 30)", "limit"),
        ("raise OSError('broken')", "parser-failed"),
        ("print('{' * 10)", ""),
        ("print('x' * 9_000_000)", "limit"),
    ],
)
def test_one_bad_file_of_a_batch_costs_the_others_nothing(tmp_path: Path, what: str, code: str) -> None:
    """Whatever a parser does over it: the others have their answers, and it has an honest one."""
    answers = faulty(what).probe(sidecars(tmp_path, "a", "b", "FAULT", "d", "e"))
    assert [o for n, o in enumerate(officers(answers)) if n != 2] == ["0", "1", "3", "4"]
    probes = told(answers)
    if code:
        assert (probes[2].kind, probes[2].conditions) == ("data", ("unreadable",))
        assert [r.code for r in probes[2].remarks] == [code]


def test_too_much_processor_time_is_the_files_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endless loop over one file."""
    monkeypatch.setattr(media, "CPU_SECONDS", 1)
    probes = faulty("while True: pass").probe(sidecars(tmp_path, "a", "FAULT"))
    assert officers(probes) == ["0", ""]
    assert [r.code for r in told(probes)[1].remarks] == ["limit"]


@pytest.mark.parametrize(
    ("what", "code"), [("os.kill(os.getpid(), 9)", "sandbox-killed"), ("__import__('time').sleep(60)", "sandbox-late")]
)
def test_what_is_the_machines_fault_is_tried_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, code: str
) -> None:
    """Killed for lack of memory, or starved of time by more urgent work."""
    monkeypatch.setattr(media, "SECONDS", 2.0)
    first, culprit, last = faulty(what).probe(sidecars(tmp_path, "a", "FAULT", "c"))
    assert officers([first, last]) == ["0", "2"], "the others have their answers"
    assert isinstance(culprit, StorageError) and (culprit.code, culprit.retry) == (code, "later")


def test_what_the_disk_does_is_no_fact_about_a_file(tmp_path: Path) -> None:
    """An original of which a block cannot be read just now is asked about again later; the others have their answers."""
    what = "raise OSError(5, os.strerror(5))"
    first, culprit = faulty(what).probe(sidecars(tmp_path, "a", "FAULT"))
    assert officers([first]) == ["0"]
    assert isinstance(culprit, StorageError) and culprit.retry == "later"


def test_a_stop_ends_what_runs_in_the_sandbox(tmp_path: Path) -> None:
    """Within a second, whatever it does, and without an answer about the file."""

    def looked() -> None:
        raise Stopping("stopping")

    begun = time.monotonic()
    with pytest.raises(Stopping):
        Media(Faulty(nice=0, idle=False, looked=looked, what="while True: pass")).probe(sidecars(tmp_path, "FAULT"))
    assert time.monotonic() - begun < 60


def test_a_missing_original_is_the_machines_fault(tmp_path: Path) -> None:
    """The vault is gone: no answer about the file."""
    (answer,) = quick().probe([ProbeFile(tmp_path / "gone.mp4", Kind.VIDEO, "mp4")])
    assert isinstance(answer, StorageError) and answer.retry == "later"


def test_without_a_sandbox_nobody_is_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is no matter of one file."""
    monkeypatch.setattr("mediad.edges.sandbox._tool", lambda *_: "/nonexistent/bwrap")
    with pytest.raises(StorageError) as caught:
        quick().probe(sidecars(tmp_path, "a", "b"))
    assert caught.value.code == "sandbox"


def test_answers_under_another_name_are_none(tmp_path: Path) -> None:
    """A parser that was taken over cannot speak for the files that come after it, only for itself."""
    lie = "print(json.dumps({'name': '0001', 'probe': {'kind': 'video', 'make': 'liar'}}))"
    (probe,) = told(faulty(lie).probe(sidecars(tmp_path, "FAULT")))
    assert probe.make == ""


def test_a_track_and_the_lack_of_one(clips: Clips, tmp_path: Path) -> None:
    """As GeoJSON of numbers alone."""
    said = quick().track([ProbeFile(clips.with_track("mp4"), Kind.VIDEO, "mp4")], UTC)
    assert said is not None
    assert len(json.loads(said)["geometry"]["coordinates"]) == 3
    assert quick().track([ProbeFile(clips.clip("mp4"), Kind.VIDEO, "mp4"), sidecars(tmp_path, "a")[0]], UTC) is None
    assert quick().track([], UTC) is None


KEYS = st.sampled_from(["geometry", "properties", "coordinates", "times"])
LEAVES = st.none() | st.floats() | st.integers() | st.text(max_size=5)


@given(
    st.recursive(
        LEAVES | st.builds(list) | st.builds(dict),
        lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(KEYS, inner, min_size=1, max_size=6),
        max_leaves=12,
    )
)
def test_a_track_may_be_anything(said: object) -> None:
    """What is no track is none."""
    made = media._geojson(media._in_order(list(media._points(said)), UTC))
    assert made is None or json.loads(made)["type"] == "Feature"


def test_tracks_of_impossible_places_are_none() -> None:
    """Numbers must be finite, and on the globe."""
    good = {
        "geometry": {"coordinates": [[1, 2], [3.0, 4.0, 5.0]]},
        "properties": {"times": ["", "2024-01-02T03:04:05"]},
    }
    assert len(list(media._points(good))) == 2
    for bad in ([[1, 2], [181, 0]], [[1, 2], [float("nan"), 0]], [[1, 2]], [[1, 2], [True, 2]], [[1, 2], ["a", 2]]):
        assert not list(media._points({"geometry": {"coordinates": bad}, "properties": {"times": [""] * len(bad)}}))


def test_points_without_a_time_stay_behind_the_one_before() -> None:
    """A time without a zone is one of the station's."""
    points = [("2026-01-01T10:00:05", "c"), ("", "d"), ("2026-01-01T02:00:01+00:00", "a"), ("nonsense", "b")]
    ordered = media._in_order(points, ZoneInfo("Asia/Shanghai"))
    assert [place for _, place in ordered] == ["a", "b", "c", "d"]


def test_an_unfinished_recording_is_recovered_through_the_sandbox(clips: Clips, tmp_path: Path) -> None:
    """Into the folder given, from the original read-only."""
    whole = clips.clip("mp4")
    broken = cut(whole, tmp_path / "broken.mp4", whole.read_bytes().index(b"moov") - 4)
    out = tmp_path / "out"
    out.mkdir()
    found = quick().recover(ProbeFile(broken, Kind.VIDEO, "mp4"), out, reference=whole)
    assert found is not None
    assert (found.codec, found.frames, found.rate) == ("h264", 30, 25.0)
    assert found.path.stat().st_size > 1000
    assert quick().recover(ProbeFile(broken, Kind.VIDEO, "mp4"), out) is None


def test_reserved_room_behind_a_break_is_no_part_of_it(clips: Clips, tmp_path: Path) -> None:
    """A recorder that reserves the whole file first leaves zeros behind what it wrote (a hole here)."""
    whole = clips.clip("mp4")
    broken = cut(whole, tmp_path / "broken.mp4", whole.read_bytes().index(b"moov") - 4)
    os.truncate(broken, 200_000_000)
    out = tmp_path / "out"
    out.mkdir()
    found = quick().recover(ProbeFile(broken, Kind.VIDEO, "mp4"), out, reference=whole)
    assert found is not None
    assert found.frames == 30


def test_a_large_original_may_be_mapped_into_memory(tmp_path: Path) -> None:
    """Which counts as address space, so the limit grows with it; and what is written may be as large as it."""
    path = tmp_path / "large.mp4"
    path.touch()
    os.truncate(path, 5_000_000_000)
    limits = media._limits([path], 2 << 30, writes=True)
    assert limits.memory >= 5_000_000_000 + (1 << 30)
    assert limits.file_size >= 5_000_000_000
    assert media._limits([path], 2 << 30, writes=False).memory < 5_000_000_000


def test_a_link_is_no_recovered_file(tmp_path: Path) -> None:
    """What a parser leaves in its folder is only taken if it is a file of its own."""
    (tmp_path / "secret").write_text("x")
    (tmp_path / "recovered.h264").symlink_to(tmp_path / "secret")
    assert not media._regular(tmp_path / "recovered.h264")
    os.link(tmp_path / "secret", tmp_path / "hard")
    assert not media._regular(tmp_path / "hard")
