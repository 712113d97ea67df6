"""The auditor: silent about everything that may happen to a healthy station, and exact about each kind of damage."""

import errno
import hashlib
import json
import os
import re
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mediad import fsck as auditor
from mediad.catalog import tables
from mediad.cli.progress import _Plain
from mediad.edges import files, reader
from mediad.errors import CatalogError, MediadError, VaultOffline
from mediad.model import layout
from mediad.model.custody import Draft, Event, link
from mediad.model.evidence import Outcome
from mediad.stages import mirror
from mediad.wiring.docking import dock_path
from mediad.wiring.station import lock_folder, open_ledger
from tests.audit_support import (
    SECOND,
    copy_site,
    database,
    flip,
    found,
    fsck,
    furnish,
    handovers,
    key,
    originals,
    overwrite,
    read_json,
    remove,
    rewrite_chain,
    segments,
    sidecars,
    sql,
    subjects,
    writable,
)
from tests.support import MIB, Site, make_card, noise, small_disk

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return furnish(tmp_path_factory.mktemp("fsck"))


@pytest.fixture
def busy_site(template: Site, tmp_path: Path) -> Site:
    """A copy of a station that has seen everything."""
    return copy_site(template, tmp_path / "copy")


# --- what is no finding -------------------------------------------------------------------------------------------------


def test_a_station_that_has_seen_everything_has_no_findings(busy_site: Site) -> None:
    """Failed and rejected files, a broken docking and its continuation, sightings and alarms are life, not damage."""
    report = fsck(busy_site)
    assert report.findings == []
    assert report.notes == []
    outcomes = {row[0] for row in busy_site.rows("SELECT DISTINCT outcome FROM source_file WHERE outcome IS NOT NULL")}
    assert outcomes == {Outcome.STORED, Outcome.SIGHTING, Outcome.REJECTED, Outcome.FAILED}
    assert {row[0] for row in busy_site.rows("SELECT state FROM docking")} == {"complete", "incomplete", "interrupted"}


def test_every_original_is_read_from_the_medium_and_counted(busy_site: Site) -> None:
    report = fsck(busy_site)
    count = len(originals(busy_site))
    assert report.counts["originals"] == report.counts["read_direct"] + report.counts.get("read_evicted", 0) == count
    assert report.counts["handovers"] == len(handovers(busy_site))
    assert report.counts["segments"] == len(segments(busy_site))
    assert report.counts["sidecars"] == len(sidecars(busy_site))


def test_quick_reads_no_original_and_says_so(busy_site: Site) -> None:
    _a_bit_of_an_original_flips(busy_site)
    report = fsck(busy_site, quick=True)
    assert report.findings == []
    assert not [what for what in report.counts if what.startswith("read_")]
    assert report.notes == ["quick: the bytes of originals were not read"]


class _Halt(_Plain):
    """Progress that stops the docking in the middle of a file until it is let go."""

    def __init__(self) -> None:
        super().__init__("halt")
        self.reached, self.go = threading.Event(), threading.Event()

    def moved(self, size: int) -> None:
        super().moved(size)
        if self.done > 3 * MIB:
            self.reached.set()
            assert self.go.wait(60)


def test_a_running_docking_is_no_finding(busy_site: Site, tmp_path: Path) -> None:
    """Half of a card is stored and recorded, the other half is being read: pending, and whoever is at it holds its lock."""
    card = make_card(tmp_path / "card", {"20260101/a.jpg": noise(4_000, 31), "big.mp4": noise(12 * MIB, 32)})
    os.utime(card / "20260101/a.jpg", ns=(10**18 + 7 * 10**17,) * 2)  # another shelf, so a batch of its own
    halt = _Halt()
    with closing(busy_site.open()) as station:
        docking = threading.Thread(target=dock_path, args=(station, card, halt), kwargs={"recorder": "R-9"})
        docking.start()
        try:
            assert halt.reached.wait(60)
            report = fsck(busy_site)
        finally:
            halt.go.set()
            docking.join()
    assert report.findings == []
    assert fsck(busy_site).findings == []


def test_an_open_placement_is_pending(busy_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vault went offline between the rename and the read-back: the next start finishes it, so it is no finding."""

    def offline(*_: object) -> None:
        raise VaultOffline("the vault went offline")

    def goes_offline(*_: object) -> None:
        patch.setattr(station.vault, "check", offline)
        offline()

    card = make_card(tmp_path / "card", {"late.mp4": noise(4_000, 33)})
    with closing(busy_site.open()) as station, monkeypatch.context() as patch:
        patch.setattr(station.vault, "read_back", goes_offline)
        with pytest.raises(VaultOffline):
            dock_path(station, card, _Plain("test"), recorder="R-8")
    assert busy_site.rows("SELECT count(*) FROM placement") == [(1,)]
    assert found(fsck(busy_site)) == {"docking-abandoned", "mirror-behind"}, "and nothing about the bytes"
    with closing(busy_site.open()) as station:
        assert station.finish_open_work().originals == 1
    assert fsck(busy_site).findings == []


def test_another_station_in_the_same_vault_is_left_alone(busy_site: Site, tmp_path: Path) -> None:
    other = busy_site.root.parent / "neighbour"
    other.mkdir()
    text = busy_site.config_file.read_text().replace("test-01", "test-02").replace("var/vault", str(busy_site.vault))
    (other / "mediad.toml").write_text(text)
    neighbour = Site(other)
    neighbour.ingest(make_card(tmp_path / "theirs", {"x.mp4": noise(2_000, 50)}), recorder="R-5")
    assert fsck(busy_site).findings == []
    assert fsck(neighbour).findings == []


# --- each damage, its finding -------------------------------------------------------------------------------------------

Damage = Callable[[Site], None]
_CASES: list[tuple[str, set[str], Damage]] = []


def _case(*codes: str) -> Callable[[Damage], Damage]:
    def note(damage: Damage) -> Damage:
        _CASES.append((damage.__name__.strip("_"), set(codes), damage))
        return damage

    return note


@_case("catalogue-damaged")
def _a_page_of_the_catalogue_belongs_to_nothing(site: Site) -> None:
    with database(site) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("DELETE FROM sqlite_master WHERE name = 'asset_docking'")


@_case("catalogue-station")
def _the_catalogue_is_of_another_station(site: Site) -> None:
    site.config_file.write_text(site.config_file.read_text().replace("test-01", "test-77"))


@_case("chain-gap")
def _an_event_is_deleted(site: Site) -> None:
    sql(site, "DELETE FROM custody WHERE seq = 5")


@_case("chain-link")
def _an_event_is_linked_to_nothing(site: Site) -> None:
    sql(site, "UPDATE custody SET prev = ? WHERE seq = 5", "0" * 64)


@_case("chain-hash")
def _an_event_is_changed(site: Site) -> None:
    sql(site, """UPDATE custody SET detail = replace(detail, '"officer":"0123"', '"officer":"9999"') WHERE seq = 3""")


@_case("chain-hash")
def _an_event_is_spaced_out(site: Site) -> None:
    """The same values, but not the text that was hashed."""
    sql(site, "UPDATE custody SET detail = ' ' || detail WHERE seq = 4")


@_case("chain-station")
def _an_event_is_of_another_station(site: Site) -> None:
    sql(site, "UPDATE custody SET station = 'test-99' WHERE seq = 5")


@_case("log-unplayable")
def _an_original_is_stored_twice_in_the_log(site: Site) -> None:
    with closing(site.open()) as station:
        head = site.rows("SELECT * FROM custody ORDER BY seq DESC LIMIT 1")[0]
        again = Event(*site.rows("SELECT * FROM custody WHERE kind = 'asset.stored' LIMIT 1")[0])
        forged = link(head[8], head[0] + 1, head[1], "test-01", "root", Draft(again.kind, again.subject, again.body()))
        with database(site) as db:
            db.execute(
                "INSERT INTO custody VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", [getattr(forged, n) for n in forged.__slots__]
            )
        mirror.mirror(station.ledger, station.vault)


@_case("facts-differ", "handover-differs")
def _a_table_is_changed_behind_the_log(site: Site) -> None:
    sql(site, "UPDATE docking SET officer = '9999'")


@_case("asset-without-replica", "facts-differ")
def _a_replica_row_is_deleted(site: Site) -> None:
    sql(site, "DELETE FROM replica WHERE asset = (SELECT min(asset) FROM replica)")


@_case("asset-lost")
def _an_original_is_lost_and_the_log_says_so(site: Site) -> None:
    asset, key = site.rows("SELECT asset, key FROM replica ORDER BY asset")[0]
    with closing(site.open()) as station:
        station.ledger.record([Draft("replica.lost", asset, {"vault": "local", "key": key, "why": "it is gone"})])
        station.finish_open_work()
    remove(site.vault / key)


@_case("asset-without-recording", "facts-differ")
def _a_recording_loses_its_asset(site: Site) -> None:
    sql(site, "DELETE FROM recording_asset WHERE asset = (SELECT min(asset) FROM recording_asset)")


@_case("replica-without-asset", "facts-differ", "handover-differs", "archive-differs")
def _an_asset_row_is_deleted(site: Site) -> None:
    sql(site, "DELETE FROM asset WHERE id = (SELECT min(id) FROM asset)")


@_case("closed-twice")
def _a_docking_is_closed_again(site: Site) -> None:
    docking, detail = site.rows("SELECT subject, detail FROM custody WHERE kind = 'docking.closed' LIMIT 1")[0]
    with closing(site.open()) as station:
        station.ledger.record([Draft("docking.closed", docking, json.loads(detail))])
        mirror.mirror(station.ledger, station.vault)


@_case("docking-abandoned")
def _a_docking_is_left_open(site: Site) -> None:
    with closing(site.open()) as station:
        body = json.loads(site.rows("SELECT detail FROM custody WHERE kind = 'docking.opened' LIMIT 1")[0][0])
        station.ledger.record([Draft("docking.opened", "dck-20260101t000000z-aaaaaaaaaaaaaaaa", body)])
        mirror.mirror(station.ledger, station.vault)


@_case("vault-offline")
def _the_vault_is_not_mounted(site: Site) -> None:
    (site.vault / ".mediad-vault.json").unlink()


@_case("vault-offline")
def _another_disk_is_mounted(site: Site) -> None:
    overwrite(site.vault / ".mediad-vault.json", lambda _: b'{"format": "mediad-vault/1", "id": "vault-other"}\n')


@_case("vault-offline")
def _a_top_folder_lies_behind_a_link(site: Site) -> None:
    """Somebody moved it to a larger disk: mediad refuses such a vault."""
    (site.vault / "originals").rename(site.root / "moved")
    (site.vault / "originals").symlink_to(site.root / "moved")


@_case("vault-offline")
def _the_staging_area_lies_behind_a_link(site: Site) -> None:
    (site.vault / ".staging/test-01").rename(site.root / "moved")
    (site.vault / ".staging/test-01").symlink_to(site.root / "moved")


@_case("stray-file", "original-missing")
def _a_folder_of_originals_lies_behind_a_link(site: Site) -> None:
    """The link is told, and that the vault holds nothing of what is behind it."""
    shelf = site.vault / "originals/2026"
    shelf.rename(site.root / "moved")
    shelf.symlink_to(site.root / "moved")


@_case("stray-file")
def _a_folder_takes_the_place_of_the_next_segment(site: Site) -> None:
    """Nothing more can be mirrored."""
    segments(site)[0].with_name("000000999999.jsonl").mkdir()


@_case("stray-file")
def _a_folder_takes_the_place_of_an_original(site: Site) -> None:
    with writable(originals(site)[0].parent) as folder:
        (folder / "ast-aaaaaaaaaaaaaaaaaaaaaaaaaa-x.mp4").mkdir()


@_case("catalogue-damaged")
def _a_trigger_drops_what_is_written(site: Site) -> None:
    with database(site) as db:
        db.execute("CREATE TRIGGER x BEFORE INSERT ON source_file BEGIN SELECT raise(ignore); END")


@_case("catalogue-damaged")
def _a_view_is_added(site: Site) -> None:
    with database(site) as db:
        db.execute("CREATE VIEW x AS SELECT 1")


@_case("catalogue-damaged")
def _an_index_is_dropped(site: Site) -> None:
    with database(site) as db:
        db.execute("DROP INDEX docking_state")


@_case("original-missing")
def _an_original_is_deleted(site: Site) -> None:
    remove(originals(site)[0])


@_case("original-differs")
def _a_bit_of_an_original_flips(site: Site) -> None:
    overwrite(next(p for p in originals(site) if p.stat().st_size == len(SECOND)), flip(60_000))


@_case("original-differs")
def _an_original_is_cut(site: Site) -> None:
    overwrite(next(p for p in originals(site) if p.stat().st_size == len(SECOND)), lambda data: data[:-1])


@_case("original-writable")
def _an_original_may_be_written(site: Site) -> None:
    originals(site)[0].chmod(0o640)


@_case("original-orphan")
def _a_file_is_slipped_into_a_batch(site: Site) -> None:
    with writable(originals(site)[0].parent) as folder:
        (folder / "ast-aaaaaaaaaaaaaaaaaaaaaaaaaa-x.mp4").write_bytes(b"x")


@_case("half-file")
def _a_half_copied_file_is_visible(site: Site) -> None:
    with writable(originals(site)[0].parent) as folder:
        (folder / "0.part").write_bytes(b"x")


@_case("half-file")
def _a_half_written_record_is_visible(site: Site) -> None:
    (handovers(site)[0].parent / "put-0123456789abcdef").write_bytes(b"{")


@_case("stray-file")
def _a_link_lies_among_the_originals(site: Site) -> None:
    (site.vault / "originals/2026/elsewhere").symlink_to("/etc")


@_case("stray-file")
def _something_else_lies_in_the_custody_log(site: Site) -> None:
    (segments(site)[0].parent / "notes.txt").write_text("x")


@_case("sidecar-missing")
def _a_sidecar_is_deleted(site: Site) -> None:
    remove(sidecars(site)[0])


@_case("sidecar-broken")
def _a_sidecar_is_cut(site: Site) -> None:
    overwrite(sidecars(site)[0], lambda data: data[: len(data) // 2])


@_case("sidecar-broken")
def _a_sidecar_is_of_another_batch(site: Site) -> None:
    data = sidecars(site)[0].read_bytes()
    overwrite(sidecars(site)[1], lambda _: data)


@_case("sidecar-differs")
def _a_sidecar_tells_another_time(site: Site) -> None:
    overwrite(sidecars(site)[0], lambda data: re.sub(rb'"mtime_ns":\d', b'"mtime_ns":7', data, count=1))


@_case("sidecar-differs")
def _a_sidecar_names_what_nobody_knows(site: Site) -> None:
    """As when an original and every row of it were taken away: its sidecar still speaks."""
    body = read_json(sidecars(site)[0])
    ghost = {**body["files"][0], "key": body["files"][0]["key"] + "x"}
    overwrite(sidecars(site)[0], lambda _: json.dumps({**body, "files": [*body["files"], ghost]}).encode())


@_case("handover-missing")
def _a_handover_record_is_deleted(site: Site) -> None:
    handovers(site)[0].unlink()


@_case("handover-differs")
def _a_handover_record_is_changed(site: Site) -> None:
    record = next(path for path in handovers(site) if b'"0123"' in path.read_bytes())
    overwrite(record, lambda data: data.replace(b'"0123"', b'"9999"'))


@_case("handover-orphan")
def _a_handover_record_of_no_docking(site: Site) -> None:
    folder = handovers(site)[0].parent.parent / "dck-20260101t000000z-aaaaaaaaaaaaaaaa"
    folder.mkdir()
    (folder / "record.json").write_bytes(handovers(site)[0].read_bytes())
    (folder / "record.json").chmod(0o440)


@_case("record-writable")
def _records_may_be_written(site: Site) -> None:
    for path in (sidecars(site)[0], handovers(site)[0], segments(site)[0]):
        path.chmod(0o640)


@_case("segment-gap")
def _a_segment_is_deleted(site: Site) -> None:
    segments(site)[2].unlink()


@_case("segment-gap")
def _the_last_segments_are_deleted(site: Site) -> None:
    for path in segments(site)[-2:]:
        path.unlink()


@_case("segment-broken")
def _a_bit_of_a_segment_flips(site: Site) -> None:
    overwrite(segments(site)[1], flip(200))


@_case("segment-broken")
def _the_last_segment_ends_in_the_middle(site: Site) -> None:
    overwrite(segments(site)[-1], lambda data: data[:-20])


@_case("segment-broken")
def _a_segment_repeats_what_stands_before_it(site: Site) -> None:
    copy = segments(site)[1].with_name("000000000002.jsonl")
    copy.write_bytes(segments(site)[0].read_bytes().split(b"\n")[1] + b"\n")
    copy.chmod(0o440)


@_case("mirror-ahead")
def _an_old_copy_of_the_catalogue_is_put_back(site: Site) -> None:
    old = site.catalogue.read_bytes()
    with closing(site.open()) as station:
        station.ledger.record([Draft("slot.named", "usb-1", {"name": "later"})])
        mirror.mirror(station.ledger, station.vault)
    for path in site.catalogue.parent.glob("catalog.db-*"):
        path.unlink()
    site.catalogue.write_bytes(old)


@_case("mirror-forked")
def _the_catalogue_goes_on_in_another_way(site: Site) -> None:
    _an_old_copy_of_the_catalogue_is_put_back(site)
    ledger = open_ledger(site.config)
    ledger.record([Draft("slot.named", "usb-1", {"name": "another"})])
    ledger.catalog.close()


@_case("mirror-forked", "chain-cut", "signature-wrong")
def _the_whole_chain_is_written_anew(site: Site) -> None:
    """Every hash is right again; the mirror, the hand-over records and who approved remember. (The unit's name is no row of a later
    event.)"""
    rewrite_chain(site, 1, lambda detail: detail.update(unit="另一单位"))
    sql(site, "UPDATE station SET unit = '另一单位'")


@_case("chain-cut", "handover-orphan")
def _catalogue_and_mirror_are_cut_together(site: Site) -> None:
    """A docking without anything new is made undone in both; its hand-over record still names a later head."""
    old, count = site.catalogue.read_bytes(), len(segments(site))
    card = site.root / "known"
    for _ in range(2):
        site.ingest(make_card(card, {"a": b""}), recorder="R-7")
    for path in segments(site)[count:]:
        path.unlink()
    for path in site.catalogue.parent.glob("catalog.db-*"):
        path.unlink()
    site.catalogue.write_bytes(old)


@_case("archive-missing")
def _a_manifest_is_gone(site: Site) -> None:
    _manifest(site).unlink()


@_case("archive-differs")
def _a_manifest_was_changed(site: Site) -> None:
    overwrite(_manifest(site), lambda data: data.replace(b"]", b" ]", 1))


@_case("archive-differs")
def _a_manifest_names_an_original_that_the_catalogue_does_not_know(site: Site) -> None:
    """The event was written with it: only the originals themselves tell."""
    case = _manifest(site).parent.name
    recordings = [{"assets": [{"id": "ast-none", "sha256": "0" * 64}]}]
    body = {"format": "mediad-archive/1", "station": "test-01", "case": {"id": case}, "recordings": recordings}
    data, key = json.dumps(body).encode(), f"cases/{case}/archive-2.json"
    with closing(site.open()) as station:
        station.vault.put(key, data)
        detail = {"number": 2, "vault": "local", "key": key, "sha256": hashlib.sha256(data).hexdigest(), "passed": []}
        station.ledger.record([Draft("case.archived", case, detail)])
        mirror.mirror(station.ledger, station.vault)


@_case("archive-orphan")
def _a_manifest_was_planted(site: Site) -> None:
    planted = _manifest(site).with_name("archive-3.json")
    planted.write_bytes(b'{"format": "mediad-archive/1", "station": "test-01"}')
    planted.chmod(0o440)


def _manifest(site: Site) -> Path:
    (found,) = site.vault.glob("cases/*/*.json")
    return found


@_case("mirror-behind")
def _the_mirror_lacks_the_newest_event(site: Site) -> None:
    ledger = open_ledger(site.config)
    ledger.record([Draft("slot.named", "usb-1", {"name": "unmirrored"})])
    ledger.catalog.close()


@_case("set-aside")
def _bytes_were_set_aside(site: Site) -> None:
    (site.vault / "set-aside").mkdir()
    (site.vault / "set-aside/0a-ast-x.mp4").write_bytes(b"other bytes")


@pytest.mark.parametrize(("codes", "damage"), [case[1:] for case in _CASES], ids=[case[0] for case in _CASES])
def test_a_damage_is_found_for_what_it_is(busy_site: Site, codes: set[str], damage: Damage) -> None:
    damage(busy_site)
    report = fsck(busy_site)
    assert found(report) == codes, report.findings


def test_a_folder_or_a_trigger_that_stops_the_station_is_named_by_the_quick_look_and_by_custody_verify_as_well(
    busy_site: Site,
) -> None:
    from mediad.wiring import audit as wiring_audit

    _a_trigger_drops_what_is_written(busy_site)
    _a_folder_takes_the_place_of_the_next_segment(busy_site)
    assert found(fsck(busy_site, quick=True)) == {"catalogue-damaged", "stray-file"}
    assert "catalogue-damaged" in found(wiring_audit.verify_custody(busy_site.config))


def test_another_disk_mounted_within_the_vault_is_told(busy_site: Site) -> None:
    """Over the custody log, the vault is none to mediad; deeper down, it is a matter for itself."""
    (busy_site.vault / "originals/2020/01").mkdir(parents=True)
    with small_disk(busy_site.vault / "originals/2020/01", 16 * MIB):
        assert subjects(fsck(busy_site, quick=True), "stray-file") == ["originals/2020/01"]
    with small_disk(busy_site.vault / "custody", 16 * MIB):
        assert found(fsck(busy_site, quick=True)) == {"vault-offline"}


@pytest.mark.parametrize("table", [t.name for t in tables.FACTS])
def test_a_change_behind_the_log_is_seen_in_every_table(busy_site: Site, table: str) -> None:
    """One value of one row, changed with SQL: no table is left out of the replay."""
    columns = {
        "station": "unit", "vault": "registered_at", "recorder": "name", "recorder_key": "key", "slot": "name", "docking": "slot",
        "source_file": "why", "asset": "stored_at", "replica": "verified_at", "recording": "officer",
        "recording_asset": "position", "claim": "inode", "alarm": "detail",
        "recording_alias": "recording", "probe": "detail", "timing": "officer", "clock": "detail",
        "person": "name", "person_login": "person", "person_number": "until", "person_key": "withdrawn",
        "department": "unit", "recorder_move": "carrier",
        "trip": "expected", "trip_version": "at", "trip_of": "who", "casefile": "name", "case_number": "key",
        "case_handler": "person", "case_activity": "detail", "case_archive": "sha256", "tag": "activity", "said_of": "at",
        "deadline": "met_at", "explained": "detail", "act": "state", "rules": "detail", "imported": "bad",
        "handover": "since", "handover_part": "handover", "told": "at", "brought": "person", "counted": "since",
    }  # fmt: skip
    sql(busy_site, f'UPDATE "{table}" SET "{columns[table]}" = 77 WHERE rowid = (SELECT min(rowid) FROM "{table}")')
    report = fsck(busy_site)
    assert "facts-differ" in found(report)
    assert all(s.startswith(table + " ") for s in subjects(report, "facts-differ"))


def test_a_row_that_no_event_made_is_seen(busy_site: Site) -> None:
    sql(busy_site, "INSERT INTO slot VALUES ('usb-9', 'nobody said so')")
    assert [(f.code, f.subject) for f in fsck(busy_site).findings] == [("facts-differ", "slot usb-9")]


def test_subjects_name_what_is_damaged(busy_site: Site) -> None:
    victim = originals(busy_site)[0]
    overwrite(victim, flip(0) if victim.stat().st_size else lambda _: b"x")
    asset = victim.name[:30]
    report = fsck(busy_site)
    assert [(f.code, f.subject) for f in report.findings] == [("original-differs", asset)]
    assert key(busy_site, victim) in report.findings[0].detail


# --- faults of the medium -----------------------------------------------------------------------------------------------


def test_a_read_error_is_told_from_a_missing_original(busy_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk answers EIO for one file: that one is unreadable, all others are checked."""
    victim = next(p for p in originals(busy_site) if p.stat().st_size == len(SECOND))
    inode, real = victim.stat().st_ino, os.preadv

    def preadv(fd: int, *arguments: object) -> int:
        if os.fstat(fd).st_ino == inode:
            raise OSError(errno.EIO, "Input/output error")
        return real(fd, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "preadv", preadv)
    assert [(f.code, f.subject) for f in fsck(busy_site).findings] == [("original-unreadable", victim.name[:30])]


def test_a_folder_that_cannot_be_listed_is_unreadable(busy_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its originals may be there, so each is looked up by name before anything is said of it."""
    victim, real = originals(busy_site)[0].parent, os.scandir

    def scandir(path: object) -> object:
        if Path(str(path)) == victim:
            raise OSError(errno.EIO, "Input/output error")
        return real(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", scandir)
    assert [(f.code, f.subject) for f in fsck(busy_site).findings] == [("unreadable", key(busy_site, victim))]


def test_a_file_system_without_direct_reads_is_read_with_its_cache_dropped(
    busy_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EINVAL is how such a file system answers O_DIRECT; the method says what was done instead."""
    real = os.open

    def no_direct(path: object, flags: int, *arguments: object, **more: object) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(path, flags, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", no_direct)
    report = fsck(busy_site)
    assert report.findings == []
    assert "read_direct" not in report.counts
    assert report.counts["read_evicted"] + report.counts.get("read_cached", 0) == len(originals(busy_site))


def test_a_vault_folder_that_is_gone_cannot_be_judged(busy_site: Site) -> None:
    busy_site.vault.rename(busy_site.root / "elsewhere")
    with pytest.raises(VaultOffline):
        fsck(busy_site)


def test_a_catalogue_that_is_no_database_cannot_be_judged(busy_site: Site) -> None:
    busy_site.catalogue.write_bytes(b"not a database at all, but long enough to look like one" * 100)
    with pytest.raises(CatalogError):
        fsck(busy_site)


# --- who is at work -----------------------------------------------------------------------------------------------------


def test_a_mirror_behind_is_a_note_while_its_docking_is_at_work(busy_site: Site) -> None:
    """Between the record and the mirror of a live docking there is nothing to complain about."""
    _a_docking_is_left_open(busy_site)
    lock = lock_folder(busy_site.config) / "dck-20260101t000000z-aaaaaaaaaaaaaaaa.lock"
    ledger = open_ledger(busy_site.config)
    with files.locked(lock, busy="held by the test"):
        ledger.record([Draft("alarm.raised", "x", {"code": "test", "detail": "unmirrored"})])
        report = fsck(busy_site, quick=True)
    ledger.catalog.close()
    assert report.findings == []
    assert [n for n in report.notes if "is behind while something is running" in n]
    assert found(fsck(busy_site, quick=True)) == {"docking-abandoned", "mirror-behind"}


# --- the command --------------------------------------------------------------------------------------------------------


def test_the_command_prints_json_and_exits_by_what_it_found(busy_site: Site) -> None:
    done = busy_site.run("fsck", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["findings"]) == (0, [])
    assert answer["checked"] == sum(
        answer["counts"][k] for k in ("events", "originals", "sidecars", "handovers", "archives", "segments")
    )
    remove(originals(busy_site)[0])
    done = busy_site.run("fsck", "--json", "--quick")
    answer = json.loads(done.stdout)
    assert done.returncode == 1
    assert [set(f) for f in answer["findings"]] == [{"code", "subject", "detail"}]
    assert "original-missing" in busy_site.run("fsck").stdout


def test_the_command_exits_5_where_nothing_can_be_judged(busy_site: Site) -> None:
    busy_site.vault.rename(busy_site.root / "elsewhere")
    assert busy_site.run("fsck").returncode == 5
    busy_site.catalogue.unlink()
    done = busy_site.run("fsck")
    assert done.returncode == 5
    assert "mediad rebuild" in done.stderr


# --- the list of codes --------------------------------------------------------------------------------------------------


def test_every_code_has_a_test_that_makes_its_damage() -> None:
    elsewhere = {"original-unreadable", "unreadable", "signature-missing"}  # the last in test_signing
    shown = {code for _, codes, _ in _CASES for code in codes} | elsewhere
    assert shown == set(auditor.CODES)


def test_the_documentation_lists_every_code_and_no_other() -> None:
    text = (REPOSITORY / "docs/fsck.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([a-z-]+)` \|", text, flags=re.MULTILINE))
    assert documented == set(auditor.CODES)


def test_no_code_is_given_that_is_not_listed() -> None:
    """Codes stand in the source as first arguments; each must be in the list."""
    source = "".join(path.read_text(encoding="utf-8") for path in sorted((REPOSITORY / "src/mediad/fsck").glob("*.py")))
    given = set(re.findall(r'(?:add|fail|break_at|Finding)\(\s*(?:\w+, )?"([a-z]+-[a-z-]+)"', source))
    assert given, "the pattern fits no call any more"
    assert given <= set(auditor.CODES)


def test_the_largest_docking_that_can_be_set_has_a_record_that_all_can_read(busy_site: Site) -> None:
    """One limit for who writes and who audits, said twice."""
    assert reader._RECORD_LIMIT == layout.MAX_RECORD_BYTES
    for path in handovers(busy_site):
        lines = read_json(path)["files"]
        line = max((len(json.dumps(f)) for f in lines), default=0)
        assert line * layout.MAX_LISTED_FILES < layout.MAX_RECORD_BYTES, path


def test_the_auditor_uses_nothing_of_the_writers() -> None:
    """No stage, no edge but its reader (and that one alone), nothing of the writers' chain code."""
    for path in (REPOSITORY / "src/mediad/fsck").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"mediad\.(stages|edges|session|model\.custody)", text), path
    reader = (REPOSITORY / "src/mediad/edges/reader.py").read_text(encoding="utf-8")
    imports = set(re.findall(r"^from (mediad\S*) import", reader, flags=re.MULTILINE))
    assert imports == {"mediad.errors"}
    assert not re.search(r"O_WRONLY|O_RDWR|O_CREAT|\.write|unlink|rename|chmod|mkdir", reader)


def test_errors_of_the_auditor_are_all_typed(busy_site: Site) -> None:
    """A wrong configuration of the vault's place is an error of ours, not a traceback."""
    config = busy_site.config
    moved = replace_vault(config, Path("/nonexistent"))
    from mediad.cli.audit import _Lines
    from mediad.wiring import audit as wiring_audit

    with pytest.raises(MediadError):
        wiring_audit.fsck(moved, _Lines(), quick=True)


def replace_vault(config: object, path: Path) -> object:
    section = config.vault[0].model_copy(update={"path": path})  # type: ignore[attr-defined]
    return config.model_copy(update={"vault": (section,)})  # type: ignore[attr-defined]
