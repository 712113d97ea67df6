"""Vault keys: whatever a card calls its files, keys stay within what every file system and S3 take."""

import json
import re
import unicodedata
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mediad.model import layout

NASTY = [
    b"../../etc/passwd", b"..", b".", b"", b"/", b"a/b\\c", "a∕b／c".encode(), b"a\nb\r\tc", b"\x1b[31mred\x07", b"\xff\xfe\x80",
    b"x" * 255, "\u202egpj.exe".encode(), b"CON", b"nul.txt", b"COM1.mp4", "e\u0301.jpg".encode(), "\u00e9.jpg".encode(), b"-rf",
    b"a" * 200 + b".mp4", "中文" * 60, b"name.with.dots.mp4", b"x.averyverylongsuffix", b".hidden",
    b"\x00", "\U0001f600.mov".encode(), b" ", b"___", b"a.", b"_.mp4",
]  # fmt: skip
raw_names = st.binary(max_size=300) | st.text(max_size=120).map(lambda t: t.encode("utf-8", "surrogatepass"))


def _bytes(value: bytes | str) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


@given(raw_names)
def test_a_safe_name_is_a_key_part_of_at_most_120_bytes(raw: bytes) -> None:
    name = layout.safe_name(raw)
    assert layout.check_key(name) == name
    assert "/" not in name
    assert len(name.encode()) <= 120
    assert not name.startswith((".", "-", " "))


@pytest.mark.parametrize("raw", [_bytes(n) for n in NASTY], ids=repr)
def test_names_made_to_hurt_become_safe_ones(raw: bytes) -> None:
    name = layout.safe_name(raw)
    assert layout.check_key(f"originals/{name}") == f"originals/{name}"
    assert len(name.encode()) <= 120
    assert name.split(".")[0].upper() not in ("CON", "NUL", "COM1", "")


@given(raw_names)
def test_a_safe_name_is_safe_already(raw: bytes) -> None:
    name = layout.safe_name(raw)
    assert layout.safe_name(name.encode()) == name


@given(st.from_regex(r"[A-Za-z0-9]{1,200}", fullmatch=True), st.sampled_from(["mp4", "jpg", "jpeg", "m2ts"]))
def test_the_suffix_is_kept(stem: str, suffix: str) -> None:
    name = layout.safe_name(f"x{stem}.{suffix}".encode())
    assert name.endswith(f".{suffix}")
    assert stem[:50] in name


def test_names_of_people_stay_readable() -> None:
    assert layout.safe_name("现场检查 01.mp4".encode()) == "现场检查_01.mp4"
    assert layout.original_name("ast-x", "DCIM/101/说明.txt".encode()) == "ast-x-说明.txt"


@given(raw_names)
@example("\u2028\u2029\u0085\u202e\ufeff".encode())
def test_a_printable_path_has_nothing_that_a_terminal_or_log_would_obey(raw: bytes) -> None:
    text = layout.printable(raw)
    assert not any(unicodedata.category(c).startswith(("C", "Zl", "Zp")) for c in text)
    assert "\n" not in text
    assert len(text.splitlines()) <= 1
    text.encode("utf-8")
    assert json.loads(json.dumps(text, ensure_ascii=False)) == text


def test_a_printable_path_shows_what_it_escapes() -> None:
    assert layout.printable(b"a\xffb\nc") == "a\\xffb\\x0ac"
    assert layout.printable("说明 1.txt".encode()) == "说明 1.txt"
    assert layout.printable("\u202etxt".encode()) == "\\xe2\\x80\\xaetxt"


def test_an_ideographic_space_is_shown_as_it_is() -> None:
    """Chinese names hold it; other blanks could hide what a name is."""
    name = "现场\u3000检查.mp4"
    assert layout.printable(name.encode()) == name
    assert layout.printable("a\u3000\u00a0\u200b\u2066b".encode()) == "a\u3000\\xc2\\xa0\\xe2\\x80\\x8b\\xe2\\x81\\xa6b"


@given(st.text(alphabet="ab 现场\u3000\n\t\u202e\u200b\u00a0\x7f", max_size=30))
def test_a_printable_path_tells_the_raw_one(text: str) -> None:
    """What is escaped can be read back, where the name itself has no backslash."""
    shown = layout.printable(text.encode())
    back = re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes.fromhex(m[1].decode()), shown.encode())
    assert back == text.encode()


@given(st.dates(), st.text(max_size=50), st.from_regex(r"bat-[a-z0-9-]{10,40}", fullmatch=True), raw_names)
def test_every_key_of_an_original_is_a_key(day: date, recorder: str, batch: str, raw: bytes) -> None:
    folder = layout.batch_key(day, recorder.encode("utf-8", "replace").decode(), batch)
    key = f"{folder}/{layout.original_name('ast-' + 'a' * 26, raw)}"
    assert layout.check_key(key) == key
    assert key.split("/")[0] == "originals"
    assert len(key.split("/")) == 7


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/etc",
        "a//b",
        "../x",
        "a/..",
        "a/./b",
        "a/\n",
        "a/b\n",
        "a/b ",
        "a" * 901,
        "a/\x00",
        "a\\b",
        "é",
        "a/",
        "originals/../../x",
    ],
)
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="not a vault key"):
        layout.check_key(key)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", fullmatch=True), st.integers(1, 10**12 - 1))
def test_segment_keys_say_where_they_begin_and_sort_in_order(station: str, seq: int) -> None:
    key = layout.segment_key(station, seq)
    assert layout.check_key(key) == key
    assert layout.parse_segment_key(key) == (layout.safe_name(station.encode()), seq)
    assert key.startswith(layout.segment_prefix(station))
    assert seq == 1 or layout.segment_key(station, seq - 1) < key


@pytest.mark.parametrize(
    "key",
    ["custody/a/1.jsonl", "custody/a/b/000000000001.jsonl", "x/a/000000000001.jsonl", "custody/a/000000000001.jsonl\n"],
)
def test_other_keys_are_no_segments(key: str) -> None:
    assert layout.parse_segment_key(key) is None


def test_two_stations_never_share_a_folder_of_segments() -> None:
    """Station ids are checked by the configuration to be plain, so that a safe name changes none of them."""
    for station in ("hq-01", "HQ-01", "a.b", "a_b"):
        assert layout.segment_prefix(station) == f"custody/{station}/"
