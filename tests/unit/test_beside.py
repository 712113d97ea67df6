"""Which file beside a recording tells of it, and of which of several recordings."""

from datetime import timedelta

import pytest

from mediad.model.beside import WRITTEN_TOGETHER, is_of, pair_sidecars, spellings, stem
from mediad.model.evidence import kind_of
from mediad.model.profile import Profile
from mediad.model.serials import given


def paired(*names: str) -> dict[str, str]:
    files = {name.encode(): kind_of(b"", name.encode()) for name in names}
    return {s.decode(): owner.decode() for s, owner in pair_sidecars(Profile("x"), files).items()}


@pytest.mark.parametrize("beside", ["a.idx", "a.jpg", "a.dat", "a.JPG"])
def test_a_sidecar_is_of_the_film_and_not_of_what_lies_beside_it(beside: str) -> None:
    """A thumbnail and an index come first by name."""
    assert paired(beside, "a.mp4", "a.xml") == {"a.xml": "a.mp4"}


def test_of_one_kind_the_first_by_name_counts_and_sound_before_photos() -> None:
    assert paired("a.jpg", "a.wav", "a.xml")["a.xml"] == "a.wav"
    assert paired("a.idx", "a.jpg", "a.xml")["a.xml"] == "a.jpg"
    assert paired("a.mov", "a.mp4", "a.xml")["a.xml"] == "a.mov"


def test_a_whole_name_counts_before_a_stem() -> None:
    assert paired("a.idx", "a.idx.xml", "a.mp4", "a.xml") == {"a.idx.xml": "a.idx", "a.xml": "a.mp4"}
    assert paired("a.mp4.mov", "a.mp4", "a.mp4.xml")["a.mp4.xml"] == "a.mp4"


def test_names_in_the_same_case_belong_together_and_others_only_if_there_is_none() -> None:
    assert paired("Rec.mp4", "Rec.xml", "rec.mp4", "rec.xml") == {"Rec.xml": "Rec.mp4", "rec.xml": "rec.mp4"}
    assert paired("rec.mp4", "REC.XML") == {"REC.XML": "rec.mp4"}
    assert paired("rec.jpg", "rec.mp4", "REC.XML") == {"REC.XML": "rec.mp4"}
    assert paired("rec.mp4", "REC.MP4.xml") == {"REC.MP4.xml": "rec.mp4"}
    assert paired("Rec.mp4", "rec.mp4", "REC.XML") == {}, "it could be of either"


def test_a_stem_is_the_path_without_suffix_also_where_folders_have_dots() -> None:
    assert stem(b"100.A/rec.mp4") == b"100.A/rec"
    assert stem(b"100.A/rec") == b"100.A/rec"
    assert stem(b"100.A/.xml") == b"100.A/.xml"


def test_a_path_may_be_written_in_one_case_or_its_name_alone() -> None:
    assert spellings(b"Dcim/Rec") == {b"Dcim/Rec", b"DCIM/REC", b"dcim/rec", b"Dcim/REC", b"Dcim/rec"}


def test_a_sidecar_is_of_what_it_lay_beside_else_of_what_was_written_together() -> None:
    near, far = WRITTEN_TOGETHER, WRITTEN_TOGETHER + timedelta(seconds=1)
    assert is_of("ast-a", "ast-a", far)
    assert not is_of("ast-a", "ast-b", timedelta())
    assert is_of("ast-a", None, near)
    assert not is_of("ast-a", None, far)


@pytest.mark.parametrize(("number", "known"), [
    ("000123", "000123"), ("000000", ""), ("0", ""), ("0000-0000", ""), ("", ""), ("A00000", "A00000")])  # fmt: skip
def test_a_number_of_zeros_was_never_set(number: str, known: str) -> None:
    assert given(number) == known
