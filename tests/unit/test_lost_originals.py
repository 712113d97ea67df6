"""Known means: this vault holds it. What a vault has lost is read and stored again as soon as a recorder still has it."""

import errno
import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from mediad.edges import pump
from mediad.edges.vault import LocalVault
from mediad.errors import StorageError, VaultOffline
from mediad.model.evidence import DockingState
from mediad.wiring import station as station_module
from tests.audit_support import fsck
from tests.support import MIB, OCTOBER, Site, complaints, make_card, noise
from tests.unit.test_ingest import FILES, opened_files, outcomes

VIDEO = "DCIM/a.mp4"


def original_of(site: Site, name: str) -> Path:
    """Where the vault keeps the newest replica of a file of the card."""
    (row,) = site.rows(
        "SELECT r.key FROM replica r JOIN asset a ON a.id = r.asset WHERE a.path = ? AND r.state = 'healthy'",
        name.encode(),
    )
    return site.vault / row[0]


def alarms(site: Site) -> list[str]:
    return [row[0] for row in site.rows("SELECT code FROM alarm ORDER BY seq")]


def remove(path: Path) -> None:
    path.parent.chmod(0o750)
    path.unlink()
    path.parent.chmod(0o550)


def cut(path: Path) -> None:
    path.chmod(0o640)
    os.truncate(path, 1_000)
    path.chmod(0o440)


@pytest.mark.parametrize("harm", [remove, cut])
def test_an_original_that_the_vault_has_lost_is_stored_again_from_a_recorder_that_still_has_it(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: object
) -> None:
    """Docked again, the same card is read where the vault has lost bytes, and there alone; an alarm tells of the loss."""
    card = make_card(tmp_path / "card", FILES)
    site.ingest(card, recorder="R1")
    lost = original_of(site, VIDEO)
    harm(lost)  # type: ignore[operator]
    assert [f.code for f in fsck(site).findings] != []
    with opened_files(monkeypatch) as seen:
        again = site.ingest(card, recorder="R1")
    assert seen == [VIDEO.encode()]
    assert outcomes(again) == {VIDEO: "sighting", "DCIM/b.jpg": "known", "log.txt": "known"}
    assert again.state is DockingState.COMPLETE
    assert original_of(site, VIDEO).read_bytes() == FILES[VIDEO]
    assert not lost.exists()
    assert alarms(site) == ["original-lost"]
    assert [c for c in complaints(site, FILES.values()) if "set-aside" not in c] == []
    assert [f.code for f in fsck(site).findings] == (["set-aside"] if harm is cut else [])


def rot(path: Path) -> None:
    path.chmod(0o640)
    path.write_bytes(bytes(path.stat().st_size))
    path.chmod(0o440)


def test_rotten_bytes_are_replaced_by_the_good_ones_that_were_just_read(site: Site, tmp_path: Path) -> None:
    """A sighting is read back from the vault before the recorder's copy is let go: it may be the only good one."""
    site.ingest(make_card(tmp_path / "card", FILES), recorder="R1")
    rot(original_of(site, VIDEO))
    again = site.ingest(make_card(tmp_path / "other", {"copy.mp4": FILES[VIDEO]}), recorder="R2")
    assert (outcomes(again), again.state) == ({"copy.mp4": "sighting"}, DockingState.COMPLETE)
    assert original_of(site, VIDEO).read_bytes() == FILES[VIDEO]
    assert alarms(site) == ["original-lost"]
    assert {f.code for f in fsck(site).findings} == {"set-aside"}


def test_an_original_that_cannot_be_read_any_more_is_stored_again(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bad sectors in the vault: what lies there stays where it is, and a second, proven copy stands for the asset."""
    site.ingest(make_card(tmp_path / "card", FILES), recorder="R1")
    bad, real = original_of(site, VIDEO), pump.read_back

    def sectors(path: Path, algorithm: str, pool: pump.BufferPool) -> object:
        if path == bad:
            raise OSError(errno.EIO, "Input/output error")
        return real(path, algorithm, pool)

    with monkeypatch.context() as patch:
        patch.setattr(pump, "read_back", sectors)
        site.ingest(make_card(tmp_path / "other", {"copy.mp4": FILES[VIDEO]}), recorder="R2")
    assert original_of(site, VIDEO) != bad
    assert alarms(site) == ["original-lost"]
    assert fsck(site).findings == []


def test_a_vault_that_goes_away_during_the_read_back_condemns_nothing(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unmounted at that moment: bytes that cannot be found prove nothing, and the next start finishes what was promised."""
    card = make_card(tmp_path / "card", FILES)
    away = site.vault.with_name("unmounted")
    real = pump.read_back

    def unmounted(path: Path, algorithm: str, pool: pump.BufferPool) -> object:
        if "/originals/" in str(path) and not away.exists():
            site.vault.rename(away)
            site.vault.mkdir()
        return real(path, algorithm, pool)

    with monkeypatch.context() as patch:
        patch.setattr(pump, "read_back", unmounted)
        with pytest.raises(VaultOffline):
            site.ingest(card, recorder="R1")
    site.vault.rmdir()
    away.rename(site.vault)
    assert set(outcomes(site.ingest(card, recorder="R1")).values()) == {"known"}
    assert complaints(site, FILES.values()) == []
    assert fsck(site).findings == []


def test_a_docking_from_a_future_does_not_vouch_for_a_file(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The station's clock was ahead and is right again: what changed since seems to have changed before. It is read."""
    card = make_card(tmp_path / "card", {"a.mp4": noise(MIB, 1)})
    ahead = station_module.now() + timedelta(days=300)
    with monkeypatch.context() as patch:
        patch.setattr(station_module, "now", lambda: ahead)
        site.ingest(card, recorder="R1")
    before = (card / "a.mp4").stat()
    with open(card / "a.mp4", "r+b") as f:
        f.write(noise(MIB, 2))
    os.utime(card / "a.mp4", ns=(before.st_mtime_ns,) * 2)
    assert outcomes(site.ingest(card, recorder="R1")) == {"a.mp4": "stored"}
    assert complaints(site, [noise(MIB, 1), noise(MIB, 2)]) == []


def test_another_recorder_with_the_same_bytes_brings_them_back_as_well(site: Site, tmp_path: Path) -> None:
    """A sighting counts only of bytes that are there."""
    site.ingest(make_card(tmp_path / "card", FILES), recorder="R1")
    remove(original_of(site, VIDEO))
    again = site.ingest(make_card(tmp_path / "other", {"copy.mp4": FILES[VIDEO]}), recorder="R2")
    assert outcomes(again) == {"copy.mp4": "sighting"}
    assert original_of(site, VIDEO).read_bytes() == FILES[VIDEO]
    assert complaints(site, FILES.values()) == []
    assert fsck(site).findings == []


def test_what_brings_an_original_back_is_read_back_from_the_medium_first(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second copy must be proven like the first; until then the asset has no replica, and the auditor says so."""
    card = make_card(tmp_path / "card", FILES)
    site.ingest(card, recorder="R1")
    remove(original_of(site, VIDEO))

    def unreadable(*_: object) -> object:
        raise StorageError("the disk does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(LocalVault, "read_back", unreadable)
        again = site.ingest(card, recorder="R1")
    assert outcomes(again)[VIDEO] == "failed"
    assert again.state is DockingState.INCOMPLETE
    assert site.rows("SELECT state, count(*) FROM replica GROUP BY state ORDER BY state") == [
        ("healthy", 2),
        ("lost", 1),
    ]
    assert "asset-lost" in [f.code for f in fsck(site).findings]
    assert outcomes(site.ingest(card, recorder="R1"))[VIDEO] == "sighting"
    assert {f.code for f in fsck(site).findings} == {"set-aside"}


def test_a_hiccup_of_the_disk_does_not_condemn_good_bytes(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that fails once is tried again before anything is set aside."""
    real, hurt = pump.read_back, set[Path]()

    def hiccup(path: Path, algorithm: str, pool: pump.BufferPool) -> object:
        if path not in hurt and "/originals/" in str(path):
            hurt.add(path)
            raise OSError(errno.EIO, "the disk does not answer")
        return real(path, algorithm, pool)

    with monkeypatch.context() as patch:
        patch.setattr(pump, "read_back", hiccup)
        result = site.ingest(make_card(tmp_path / "card", FILES), recorder="R1")
    assert result.state is DockingState.COMPLETE
    assert len(hurt) == len(FILES)
    assert complaints(site, FILES.values()) == []


def test_a_vault_that_becomes_the_first_gets_the_bytes(site: Site, tmp_path: Path) -> None:
    """Another vault's replica says nothing about this one."""
    card = make_card(tmp_path / "card", FILES)
    site.ingest(card, recorder="R1")
    text = site.config_file.read_text(encoding="utf-8")
    site.config_file.write_text(text.replace('name = "local"', 'name = "second"').replace("var/vault", "var/second"))
    again = site.ingest(card, recorder="R1")
    assert set(outcomes(again).values()) == {"sighting"}
    stored = {p.read_bytes() for p in (site.root / "var/second/originals").rglob("ast-*")}
    assert stored == set(FILES.values())
    assert outcomes(site.ingest(card, recorder="R1")) == dict.fromkeys(FILES, "known")


def test_a_catalogue_rebuilt_after_a_loss_is_the_same(site: Site, tmp_path: Path) -> None:
    """Loss and return are facts: they are in the log, so a rebuild knows them."""
    card = make_card(tmp_path / "card", FILES)
    site.ingest(card, recorder="R1")
    remove(original_of(site, VIDEO))
    site.ingest(card, recorder="R1")
    before = site.rows("SELECT * FROM replica ORDER BY asset")
    assert site.run("rebuild", "--replace").returncode == 0
    assert site.rows("SELECT * FROM replica ORDER BY asset") == before
    assert fsck(site).findings == []


def test_a_time_far_before_its_docking_does_not_vouch_for_a_file(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that starts anew in 2018 gives the same path, size and time to other footage: such files are read each time."""
    old = OCTOBER - 8 * 365 * 86_400 * 10**9
    card = make_card(tmp_path / "card", {"a.mp4": noise(MIB, 1)}, mtime_ns=old)
    site.ingest(card, recorder="R1")
    path = card / "a.mp4"
    with open(path, "r+b") as f:
        f.write(noise(MIB, 2))
    os.utime(path, ns=(old, old))
    with opened_files(monkeypatch) as seen:
        again = site.ingest(card, recorder="R1")
    assert seen == [b"a.mp4"]
    assert outcomes(again) == {"a.mp4": "stored"}
    assert complaints(site, [noise(MIB, 1), noise(MIB, 2)]) == []


def test_a_batch_that_does_not_fit_does_not_hold_back_the_others(site: Site, tmp_path: Path) -> None:
    """A sparse file claims more than is free, but less than the vault has: what fits is stored, then the docking ends."""
    free, total = os.statvfs(tmp_path), shutil.disk_usage(tmp_path).total
    claimed = (free.f_bavail * free.f_frsize + total) // 2
    card = make_card(tmp_path / "card", {"a.bin": b"", "b.mp4": noise(MIB, 1), "c.jpg": noise(5_000, 2)})
    os.truncate(card / "a.bin", claimed)
    result = site.ingest(card, recorder="R1")
    assert outcomes(result) == {"a.bin": "failed", "b.mp4": "stored", "c.jpg": "stored"}
    assert result.error is not None
    assert result.error.code == "vault-full"
    assert complaints(site, [noise(MIB, 1), noise(5_000, 2)]) == []


def test_a_folder_of_old_originals_behind_a_link_keeps_no_recorder_from_being_emptied(
    site: Site, tmp_path: Path
) -> None:
    """Somebody moved an old month to a larger disk: what is there is not the vault's. The recorder's files are read and stored
    anew, where the vault is whole; so are new ones of the same day. Nothing goes through the link."""
    then = 1_700_000_000 * 10**9
    old, new = noise(3_000, 60), noise(4_000, 61)
    card = make_card(tmp_path / "old card", {"old.mp4": old}, mtime_ns=then)
    site.ingest(card, recorder="R-old")
    shelf = site.vault / "originals/2023/11"
    moved = tmp_path / "larger disk"
    shelf.rename(moved)
    shelf.symlink_to(moved)
    before = sorted(moved.rglob("*"))
    make_card(card, {"old.mp4": old, "new.mp4": new}, mtime_ns=then)
    result = site.ingest(card, recorder="R-old")
    assert (result.state, result.counts.failed) == ("complete", 0)
    keys = [row[0] for row in site.rows("SELECT key FROM replica WHERE state = 'healthy'")]
    assert not [key for key in keys if key.startswith("originals/2023/11/")]
    assert sorted((site.vault / key).read_bytes() for key in keys if "/R-old/" in key) == sorted((old, new))
    assert sorted(moved.rglob("*")) == before
    assert alarms(site) == ["original-lost"]
    assert {f.code for f in fsck(site).findings} == {"stray-file"}
