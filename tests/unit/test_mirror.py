"""The mirror of the custody log: what was taken from it comes back, and nothing foreign is taken for a part of it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mediad.catalog import work
from mediad.cli.audit import _Lines
from mediad.errors import IntegrityError, VaultFull, VaultOffline
from mediad.model.custody import Draft
from mediad.stages import mirror
from mediad.wiring import audit as wiring_audit
from mediad.wiring.station import Station
from tests.audit_support import copy_site, overwrite, segments, sql
from tests.support import Site, make_site

SMALL = 5
"""Segments of the furnished station."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = make_site(tmp_path_factory.mktemp("mirror") / "station")
    with closing(site.open()) as station:
        mirror.mirror(station.ledger, station.vault)
        for n in range(SMALL - 1):
            slots(station, f"s{n}", n + 2)
            mirror.mirror(station.ledger, station.vault)
    assert len(segments(site)) == SMALL
    return site


@pytest.fixture
def site(template: Site, tmp_path: Path) -> Site:
    return copy_site(template, tmp_path / "copy")


@pytest.fixture
def station(site: Site) -> Iterator[Station]:
    with closing(site.open()) as opened:
        yield opened


def slots(station: Station, name: str, count: int) -> None:
    station.ledger.record([Draft("slot.named", f"usb-{n}", {"name": name}) for n in range(count)])


def log(site: Site) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in segments(site)}


def alarms(site: Site) -> list[tuple[str, str]]:
    return site.rows("SELECT code, subject FROM alarm ORDER BY seq")


def settle(site: Site) -> list[str]:
    """Start, mirror, and let the auditor look."""
    with closing(site.open()) as station:
        mirror.mirror(station.ledger, station.vault)
    return [f.code for f in wiring_audit.fsck(site.config, _Lines(), quick=True).findings]


@pytest.mark.parametrize("gone", [[0], [2], [1, 2], [0, 3], [SMALL - 1], [3, 4], list(range(SMALL))], ids=repr)
def test_segments_that_are_gone_are_written_again_with_one_alarm(site: Site, gone: list[int]) -> None:
    """At the front, in the middle, at the end, or all: the same names with the same bytes, and a second start says nothing."""
    before = log(site)
    for path in [segments(site)[n] for n in gone]:
        path.unlink()
    assert settle(site) == []
    assert {name: data for name, data in log(site).items() if name in before} == before
    assert alarms(site) == [("mirror-missing", "local")]
    assert settle(site) == []
    assert len(alarms(site)) == 1


def test_a_second_loss_of_the_same_segment_is_a_second_alarm(site: Site) -> None:
    for _ in range(2):
        segments(site)[1].unlink()
        assert settle(site) == []
    assert len(alarms(site)) == 2


def test_a_log_that_was_taken_away_as_a_whole_comes_back_though_only_its_reach_was_noted(site: Site) -> None:
    """What an older catalogue knew: how far the mirror reached, of no segment."""
    sql(site, "DELETE FROM segment")
    for path in segments(site):
        path.unlink()
    assert settle(site) == []
    assert alarms(site) == [("mirror-missing", "local")]


@pytest.mark.parametrize("gone", [0, 2])
def test_a_gap_is_seen_also_where_no_segment_was_noted(site: Site, gone: int) -> None:
    before = log(site)
    sql(site, "DELETE FROM segment")
    segments(site)[gone].unlink()
    assert settle(site) == []
    assert {name: data for name, data in log(site).items() if name in before} == before
    assert alarms(site) == [("mirror-missing", "local")]


def test_a_segment_whose_writer_ended_before_it_could_note_it_is_taken_for_its_own(site: Site) -> None:
    """Killed between the vault and the catalogue: no alarm, and nothing is written twice."""
    before = log(site)
    with closing(site.open()) as station:
        slots(station, "late", 3)
        with station.ledger.catalog.read() as conn:
            after = work.mirrored(conn, "local")
        assert after is not None
        mirror.mirror(station.ledger, station.vault)
    sql(site, "DELETE FROM segment WHERE first > ?", after[0])
    sql(site, "UPDATE mirrored SET seq = ?, hash = ?", *after)
    assert settle(site) == []
    assert (alarms(site), len(log(site))) == ([], len(before) + 1)


def test_starts_that_fail_one_after_the_other_raise_the_alarm_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vault without room: the service is started again every few seconds."""
    from mediad.edges.vault import LocalVault

    def full(*_: object) -> bool:
        raise VaultFull("no space left")

    segments(site)[1].unlink()
    with monkeypatch.context() as patch:
        patch.setattr(LocalVault, "put", full)
        for _ in range(3):
            with pytest.raises(VaultFull):
                site.open()
    assert len(alarms(site)) == 1
    assert settle(site) == []
    assert len(alarms(site)) == 1


@pytest.mark.parametrize("name", ["000000999999.jsonl", "000000000000.jsonl"])
@pytest.mark.parametrize("content", ["", "rubbish", "copy"])
def test_a_planted_segment_is_named_and_nothing_is_written(site: Site, name: str, content: str) -> None:
    """An error of one sentence, and the auditor finds it as well; once it is moved away all is well."""
    planted = segments(site)[0].with_name(name)
    planted.write_bytes(segments(site)[0].read_bytes() if content == "copy" else content.encode())
    before = log(site)
    with pytest.raises(IntegrityError, match=name) as e:
        site.open()
    assert e.value.code == "segment-stray"
    assert "move it out" in e.value.hint
    assert log(site) == before
    assert wiring_audit.verify_custody(site.config).findings
    planted.unlink()
    assert settle(site) == []
    assert alarms(site) == []


@pytest.mark.parametrize("content", [b"", b"rubbish\n", b'{"seq": 1}\n'])
def test_a_planted_segment_at_the_very_next_place_is_named(site: Site, content: bytes) -> None:
    head = site.rows("SELECT max(seq) FROM custody")[0][0]
    planted = segments(site)[0].with_name(f"{head + 1:012d}.jsonl")
    planted.write_bytes(content)
    with pytest.raises(IntegrityError, match=planted.name):
        site.open()


def test_a_planted_segment_within_another_is_named(site: Site) -> None:
    """Its events lie in the segment before it already."""
    last = segments(site)[-1]
    planted = last.with_name(f"{int(last.stem) + 1:012d}.jsonl")
    planted.write_bytes(b"".join(last.read_bytes().splitlines(keepends=True)[1:]))
    with pytest.raises(IntegrityError, match=planted.name) as e:
        site.open()
    assert e.value.code == "segment-stray"


def test_a_segment_of_another_story_is_refused(site: Site) -> None:
    """A vault that was put back to another's copy, and a catalogue whose end was rewritten."""
    overwrite(segments(site)[-1], lambda data: data.replace(b'"s3"', b'"sX"'))
    with pytest.raises(IntegrityError, match=r"damaged|differ"):
        site.open()


def test_a_catalogue_that_was_cut_is_refused(site: Site) -> None:
    sql(site, "DELETE FROM custody WHERE seq = (SELECT max(seq) FROM custody)")
    with pytest.raises(IntegrityError) as e:
        site.open()
    assert e.value.code == "catalogue-behind-mirror"


@pytest.mark.parametrize("change", ["seq = 999999", "hash = 'X'"])
def test_what_the_catalogue_believes_of_a_mirror_is_held_against_its_own_log(
    site: Site, station: Station, change: str
) -> None:
    """Else nothing more would be written to the vault, and dockings would be "safe to take" all the same."""
    before = log(site)
    slots(station, "new", 1)
    sql(site, f"UPDATE mirrored SET {change}")
    with pytest.raises(IntegrityError):
        mirror.mirror(station.ledger, station.vault)
    assert log(site) == before


def test_a_note_of_a_mirror_that_was_put_back_overwrites_and_doubles_nothing(site: Site, station: Station) -> None:
    """To the middle of a segment: the next one would repeat its events, and never be mended."""
    before = log(site)
    slots(station, "new", 1)
    sql(site, "UPDATE mirrored SET (seq, hash) = (SELECT seq, hash FROM custody WHERE seq = 6)")
    assert mirror.mirror(station.ledger, station.vault) == 1
    assert log(site).items() > before.items()
    assert wiring_audit.verify_custody(site.config).findings == []


@pytest.mark.parametrize("note", [(100, 200), (6, 6)], ids=["beyond the log", "within another"])
def test_a_note_of_a_segment_that_was_never_written_is_named_as_the_catalogues_fault(
    site: Site, note: tuple[int, int]
) -> None:
    """No file is blamed that is not there; the auditor finds it as well, and rebuilding mends it."""
    sql(site, "INSERT INTO segment VALUES ('local', ?, ?)", *note)
    with pytest.raises(IntegrityError, match="the catalogue notes") as e:
        site.open()
    assert "rebuild" in e.value.hint
    for report in (wiring_audit.fsck(site.config, _Lines(), quick=True), wiring_audit.verify_custody(site.config)):
        assert f"segment local/{note[0]}" in [f.subject for f in report.findings if f.code == "facts-differ"]
    wiring_audit.rebuild(site.config, "", lambda _n: None, replace=True)
    assert settle(site) == []


@pytest.mark.parametrize("by", [-1, 1])
def test_a_note_that_gives_a_segment_another_end_blames_no_segment_and_is_mended(site: Site, by: int) -> None:
    """The auditor names it; the next start looks into the segment itself and notes what is there."""
    first = int(segments(site)[2].stem)
    before = log(site)
    sql(site, "UPDATE segment SET last = last + ? WHERE first = ?", by, first)
    report = wiring_audit.verify_custody(site.config)
    assert f"segment local/{first}" in [f.subject for f in report.findings]
    assert settle(site) == []
    assert (log(site), alarms(site)) == (before, [])


def test_an_older_catalogue_is_refused(site: Site, tmp_path: Path) -> None:
    """A backup was put back: the vault's log goes on behind it."""
    older = site.catalogue.read_bytes()
    with closing(site.open()) as station:
        slots(station, "newer", 2)
        mirror.mirror(station.ledger, station.vault)
    site.catalogue.write_bytes(older)
    for part in ("-wal", "-shm"):
        site.catalogue.with_name(site.catalogue.name + part).unlink(missing_ok=True)
    with pytest.raises(IntegrityError) as e:
        site.open()
    assert e.value.code == "catalogue-behind-mirror"


def test_a_vault_that_is_not_there_raises_no_alarm(station: Station, site: Site) -> None:
    """Its mount point is empty, and so is its log."""
    site.vault.rename(site.vault.with_name("elsewhere"))
    site.vault.mkdir()
    with pytest.raises(VaultOffline):
        mirror.reconcile(station.ledger, station.vault)
    assert alarms(site) == []


def test_a_segment_ends_before_it_grows_too_large(station: Station, site: Site) -> None:
    """By bytes; an event that is larger alone lies alone."""
    before = set(log(site))
    big = "x" * (3 * 1024 * 1024)
    huge = "y" * (9 * 1024 * 1024)
    details = [big, big, big, huge, big]
    station.ledger.record([Draft("slot.named", f"usb-{n}", {"name": d}) for n, d in enumerate(details)])
    mirror.mirror(station.ledger, station.vault)
    new = [data for name, data in log(site).items() if name not in before]
    assert [data.count(b"\n") for data in new] == [2, 1, 1, 1]
    assert [len(data) > 8 * 1024 * 1024 for data in new] == [False, False, True, False]
    assert settle(site) == []


def test_a_segment_holds_at_most_five_thousand_events(station: Station, site: Site) -> None:
    before = set(log(site))
    slots(station, "many", 5_003)
    mirror.mirror(station.ledger, station.vault)
    assert [data.count(b"\n") for name, data in log(site).items() if name not in before] == [5_000, 3]


def test_a_start_reads_one_segment_however_many_there_are(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are enough; what is in the files is for the auditor."""
    read: list[str] = []
    real = station.vault.get
    monkeypatch.setattr(station.vault, "get", lambda key: (read.append(key), real(key))[1])
    mirror.reconcile(station.ledger, station.vault)
    assert len(read) == 1
