"""An installation that lacks something: that is said, tried again later, and never becomes a fact about a file.

What is missing is really not there inside the sandbox: a module is not on the path, a program is not in any folder, or is one that
cannot be started.
"""

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest

from mediad.edges import sandbox
from mediad.edges.encoder import Encoder
from mediad.edges.media import Media, ProbeFile
from mediad.edges.photos import Photo, Photos
from mediad.edges.sandbox import Sandbox
from mediad.errors import StorageError
from mediad.model import preview
from mediad.model.evidence import Kind
from mediad.model.preview import Plan, Settings
from tests.media import clip, member_of
from tests.unit.test_photos import picture

OWN, *LIBRARIES = sandbox._code()
NEEDED = ("exifread", "ffmpeg", "PIL", "pillow", "pi_heif", "_pillow", "future", "past")


def without_module(monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    """The libraries that lie beside one another are shown one by one, but for one."""
    site = Path(str(importlib.util.find_spec("exifread").origin)).parents[1]  # type: ignore[union-attr]
    names = [n for n in os.listdir(site) if n.startswith(NEEDED) and not n.endswith("-info") and n != hidden]
    monkeypatch.setattr(sandbox, "_code", lambda: (OWN, *((str(site / n), f"/libraries/{n}") for n in names)))
    monkeypatch.setattr(sandbox, "_paths", lambda: (os.path.dirname(OWN[1]), "/libraries"))


def without_programs(monkeypatch: pytest.MonkeyPatch, _: str = "") -> None:
    monkeypatch.setitem(sandbox.ENVIRONMENT, "PATH", "/nonexistent")


def broken_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """As after an update that took a library away: it is there, and ends at once."""
    script = tmp_path / "broken"
    script.write_text("#!/bin/sh\necho 'error while loading shared libraries: libx264.so' >&2\nexit 127\n")
    script.chmod(0o755)
    walls = sandbox._walls
    more = ["--ro-bind", str(script), f"/usr/bin/{name}"]
    monkeypatch.setattr(sandbox, "_walls", lambda *args: [*walls(*args)[:-6], *more, *walls(*args)[-6:]])


def box() -> Sandbox:
    return Sandbox(nice=0, idle=False)


def unfit(caught: Any, name: str) -> None:
    error = caught.value if isinstance(caught, pytest.ExceptionInfo) else caught
    assert isinstance(error, StorageError), error
    assert (error.code, error.retry) == ("sandbox-unfit", "later") and name in error.message and error.hint


def test_all_that_is_needed_is_there_even_if_it_is_shown_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests below hide is what they fail by."""
    without_module(monkeypatch, "")
    assert box().check().endswith("/bwrap")


@pytest.mark.parametrize("name", ["exifread", "ffmpeg", "PIL", "pillow_heif"])
def test_a_missing_module_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    without_module(monkeypatch, name)
    with pytest.raises(StorageError) as caught:
        box().check()
    unfit(caught, name)


@pytest.mark.parametrize("name", ["ffmpeg", "ffprobe"])
def test_a_program_that_cannot_run_is_said_at_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    broken_program(monkeypatch, tmp_path, name)
    with pytest.raises(StorageError) as caught:
        box().check()
    unfit(caught, "libx264.so")


def test_missing_programs_are_said_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    without_programs(monkeypatch)
    with pytest.raises(StorageError) as caught:
        box().check()
    unfit(caught, "ffprobe and ffmpeg")


def test_no_photo_is_called_unreadable_for_a_missing_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_module(monkeypatch, "exifread")
    photos = [ProbeFile(picture(tmp_path / f"{n}.jpg"), Kind.PHOTO, "jpg") for n in range(2)]
    answers = Media(box()).probe(photos)
    assert len(answers) == 2
    for answer in answers:
        unfit(answer, "exifread")


def test_no_photo_is_called_undecodable_for_a_missing_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_module(monkeypatch, "pillow_heif")
    with pytest.raises(StorageError) as caught:
        Photos(box()).make([Photo("a", picture(tmp_path / "a.jpg"))], tmp_path, height=90, room=1 << 28)
    unfit(caught, "pillow_heif")


@pytest.mark.parametrize("broken", [False, True])
def test_no_film_is_called_unreadable_for_a_missing_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broken: bool
) -> None:
    film = clip(tmp_path / "a.mp4", seconds=0.4)
    if broken:
        broken_program(monkeypatch, tmp_path, "ffprobe")
    else:
        without_programs(monkeypatch)
    (answer,) = Media(box()).probe([ProbeFile(film, Kind.VIDEO, "mp4")])
    unfit(answer, "ffprobe")


@pytest.mark.parametrize("name", ["ffmpeg", "ffprobe"])
def test_no_film_is_called_undecodable_for_a_missing_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """Neither when it is made, nor when what was made is looked at."""
    film = clip(tmp_path / "a.mp4", seconds=0.4)
    plan = preview.plan([member_of(film)], Settings(height=108, preset="ultrafast"))
    assert isinstance(plan, Plan)
    broken_program(monkeypatch, tmp_path, name)
    with pytest.raises(StorageError) as caught:
        Encoder(box(), prefer="software").make(plan, [film], tmp_path, room=1 << 28)
    unfit(caught, "libx264.so")
