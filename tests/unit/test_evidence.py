"""What travels: times, kinds, batches and sums, for any input a card can offer."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediad.model import evidence
from mediad.model.evidence import CapturedAt, Counts, Kind, Outcome, Planned, SourceFile

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
CHINA = ZoneInfo("Asia/Shanghai")
instants = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 28), timezones=st.just(UTC))
zones = st.sampled_from([CHINA, ZoneInfo("UTC"), ZoneInfo("America/New_York"), ZoneInfo("Pacific/Kiritimati")])


@given(st.integers(-(2**63), 2**63 - 1), zones | st.none())
def test_any_file_time_is_an_instant(ns: int, zone: ZoneInfo | None) -> None:
    found = evidence.from_ns(ns, zone)
    assert found.tzinfo is UTC


def test_wall_clock_time_is_read_in_the_zone_of_the_recorder() -> None:
    """FAT mounted with tz=UTC shows 08:00 on the recorder's clock as 08:00 UTC; in China it was midnight UTC."""
    shown = datetime(2026, 11, 24, 8, tzinfo=UTC)
    assert evidence.from_ns(int(shown.timestamp()) * 10**9, CHINA) == datetime(2026, 11, 24, 0, tzinfo=UTC)
    assert evidence.from_ns(int(shown.timestamp()) * 10**9) == shown


@given(instants | st.none(), instants, instants)
def test_the_start_of_a_recording_is_always_known_and_trusted_only_if_it_can_be_true(
    named: datetime | None, mtime: datetime, docked: datetime
) -> None:
    found = evidence.captured_at(named, mtime, docked)
    assert found.value == {"name": named, "mtime": mtime, "docking": docked}[found.source]
    if found.source != "docking":
        assert evidence.trusted_time(found.value, docked)
    if named is not None and evidence.trusted_time(named, docked):
        assert (found.source, found.confidence) == ("name", "claimed")
    assert (found.confidence == "untrusted") == (found.source == "docking")


@pytest.mark.parametrize(
    ("when", "trusted"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), False),
        (datetime(1980, 1, 1, tzinfo=UTC), False),
        (datetime(2000, 1, 1, tzinfo=UTC), False),
        (datetime(2014, 12, 31, tzinfo=UTC), False),
        (datetime(2015, 1, 1, tzinfo=UTC), True),
        (NOW, True),
        (NOW + timedelta(hours=14), True),
        (NOW + timedelta(days=2), False),
        (datetime(2099, 1, 1, tzinfo=UTC), False),
    ],
)
def test_a_clock_that_was_reset_or_runs_ahead_is_not_trusted(when: datetime, trusted: bool) -> None:
    assert evidence.trusted_time(when, NOW) is trusted


@given(st.binary(max_size=600), st.binary(max_size=40))
def test_every_file_has_a_kind(head: bytes, path: bytes) -> None:
    assert evidence.kind_of(head, path) in Kind


@pytest.mark.parametrize(
    ("head", "path", "kind"),
    [
        (b"\0\0\0\x18ftypmp42", b"x.bin", Kind.VIDEO),
        (b"\0\0\0\x18ftypheic", b"x.mp4", Kind.PHOTO),
        (b"\0\0\0\x18ftypM4A ", b"x", Kind.AUDIO),
        (b"\xff\xd8\xff\xe0", b"x.mp4", Kind.PHOTO),
        (b"RIFF\0\0\0\0AVI LIST", b"x.jpg", Kind.VIDEO),
        (b"RIFF\0\0\0\0WAVEfmt ", b"x.mp4", Kind.AUDIO),
        (b"#!AMR\n", b"x.wav", Kind.AUDIO),
        (b"\x47" + bytes(187) + b"\x47" + bytes(187), b"x", Kind.VIDEO),
        (bytes(4) + b"\x47" + bytes(187) + bytes(4)[:0] + b"\x47" + bytes(100), b"x", Kind.VIDEO),
        (b"", b"DCIM/A.MP4", Kind.VIDEO),
        (b"plain", b"x.JPG", Kind.PHOTO),
        (b"plain", b"log.txt", Kind.DATA),
        (b"", b"mp4", Kind.VIDEO),
        (b"", b"", Kind.DATA),
    ],
)
def test_the_kind_is_read_from_the_bytes_and_only_then_from_the_name(head: bytes, path: bytes, kind: Kind) -> None:
    assert evidence.kind_of(head, path) is kind


def _planned(n: int, size: int, at: datetime) -> Planned:
    file = SourceFile("", f"{n:04}".encode(), size, 0)
    return Planned(file, CapturedAt(at, "mtime", "estimated"), "", important=False)


plans = st.lists(
    st.tuples(st.integers(0, 120), st.integers(-3, 3), st.integers(0, 23)).map(
        lambda t: (t[0], NOW + timedelta(days=t[1], hours=t[2]))
    ),
    max_size=40,
)


@given(plans, zones, st.integers(1, 7), st.integers(1, 150))
@settings(max_examples=300)
def test_batches_hold_every_file_once_within_the_limits_and_one_date_each(
    files: list[tuple[int, datetime]], zone: ZoneInfo, max_files: int, max_bytes: int
) -> None:
    planned = [_planned(n, size, at) for n, (size, at) in enumerate(files)]
    batches = evidence.plan_batches(planned, zone, max_files=max_files, max_bytes=max_bytes)
    assert sorted(p.file.path for b in batches for p in b.files) == [p.file.path for p in planned]
    for batch in batches:
        assert 1 <= len(batch.files) <= max_files
        assert batch.bytes <= max_bytes or len(batch.files) == 1
        assert {evidence.shelf_date(p.captured, zone) for p in batch.files} == {batch.shelf}
    assert [b.shelf for b in batches] == sorted(b.shelf for b in batches)


def test_no_files_make_no_batch() -> None:
    assert evidence.plan_batches([], CHINA, max_files=1, max_bytes=1) == []


@given(st.lists(st.tuples(st.sampled_from(Outcome), st.integers(0, 2**40))))
def test_sums_count_every_file_once_and_bytes_only_of_new_ones(items: list[tuple[Outcome, int]]) -> None:
    counts = Counts()
    for outcome, size in items:
        counts.add(outcome, size)
    assert counts.new + counts.sightings + counts.skipped + counts.failed == len(items)
    assert counts.bytes == sum(size for outcome, size in items if outcome is Outcome.STORED)
