"""What killed dockings left is finished one by one: a leftover that cannot be is told once, and keeps nothing else up."""

import json
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from mediad.cli.progress import _Plain
from mediad.errors import MediadError, StorageError, VaultFull, VaultOffline
from mediad.model.layout import handover_key
from mediad.stages import recover
from mediad.wiring.docking import dock_path
from tests.support import Site, complaints, make_card, noise

FIRST, SECOND = noise(3_000, 1), noise(4_000, 2)


def _fails(*_: object, **__: object) -> None:
    raise StorageError("the power went")


@pytest.fixture
def left(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Two dockings that ended between the promise and the rename, so each left an open batch."""
    for n, data in enumerate((FIRST, SECOND)):
        card = make_card(tmp_path / f"card{n}", {f"{n}.mp4": data})
        with closing(site.open()) as station, monkeypatch.context() as patch:
            patch.setattr(station.vault, "admit", _fails)
            patch.setattr("mediad.session.handover.close_docking", _fails)
            with pytest.raises(MediadError):
                dock_path(station, card, _Plain("x"), recorder=f"R{n}")
    assert site.rows("SELECT count(*) FROM placement") == [(2,)]
    assert site.rows("SELECT count(*) FROM docking WHERE state = 'open'") == [(2,)]
    return site


def spoil(site: Site, statement: str) -> None:
    with closing(sqlite3.connect(site.catalogue)) as db, db:
        db.execute(statement)


def alarms(site: Site) -> list[tuple[str, str]]:
    return [tuple(row) for row in site.rows("SELECT code, subject FROM alarm ORDER BY seq")]


@pytest.mark.parametrize("detail", ["{", "[]", "{}", "null", '{"recording": 1}', '{"recording": "rec-x"}'])
def test_a_promise_that_cannot_be_understood_keeps_no_other_batch_and_no_docking_up(left: Site, detail: str) -> None:
    ((batch, docking),) = left.rows("SELECT batch, docking FROM placement ORDER BY batch LIMIT 1")
    spoil(left, f"UPDATE placement SET detail = '{detail}' WHERE batch = '{batch}'")
    with closing(left.open()) as station:
        for _ in range(3):
            done = station.finish_open_work()
            assert [f.subject for f in done.trouble] == [batch]
    assert left.rows("SELECT batch FROM placement") == [(batch,)]
    assert left.rows("SELECT id FROM docking WHERE state = 'open'") == [(docking,)], "its record would be wrong"
    assert left.rows("SELECT count(*) FROM asset") == [(1,)]
    assert alarms(left) == [("unfinished", batch)], "told once, not at every pass"
    card = make_card(left.root / "later", {"x.mp4": noise(500, 9)})
    assert left.ingest_json(card)["new"] == 1, "an ingest goes on"


def test_a_batch_that_cannot_be_set_aside_keeps_no_other_up(left: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk gives an error for one file, and cannot move it away either: the vault as a whole is there."""
    ((batch, key),) = left.rows("SELECT batch, key FROM placement ORDER BY batch LIMIT 1")
    with closing(left.open()) as station:
        real = station.vault.read_back

        def broken(wanted: str) -> object:
            if wanted == key:
                raise StorageError("Input/output error while reading back")
            return real(wanted)

        with monkeypatch.context() as patch:
            patch.setattr(station.vault, "read_back", broken)
            patch.setattr(station.vault, "set_aside", _fails)
            done = station.finish_open_work()
        assert [(f.code, f.subject) for f in done.trouble] == [("storage", batch)]
        assert (done.originals, len(done.closed)) == (1, 1)
        done = station.finish_open_work()
        assert (done.originals, len(done.closed), done.trouble) == (1, 1, [])
    assert alarms(left) == [("unfinished", batch)]
    assert complaints(left, [FIRST, SECOND]) == []


def test_a_fault_of_ours_in_one_batch_keeps_no_other_up(left: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    real = recover.take_in
    batches: list[str] = []

    def faulty(ledger: object, vault: object, batch: recover.OpenBatch) -> object:
        batches.append(batch.id)
        if len(batches) == 1:
            raise PermissionError(13, "Permission denied")
        return real(ledger, vault, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(recover, "take_in", faulty)
    with closing(left.open()) as station:
        done = station.finish_open_work()
    assert [(f.code, f.subject) for f in done.trouble] == [("unexpected", batches[0])]
    assert done.originals == 1


def test_a_docking_that_cannot_be_closed_keeps_no_other_open(left: Site) -> None:
    """Somebody cut the record of one docking that was never closed."""
    (first, opened), (second, _) = left.rows("SELECT id, opened_at FROM docking ORDER BY id")
    day = datetime.fromisoformat(opened).astimezone(left.config.unit.zone).date()
    record = left.vault / handover_key(day, first)
    record.parent.mkdir(parents=True)
    record.write_bytes(b"{")
    with closing(left.open()) as station:
        for _ in range(2):
            done = station.finish_open_work()
            assert [(f.code, f.subject) for f in done.trouble] == [("key-conflict", first)]
    assert left.rows("SELECT id, state FROM docking ORDER BY id") == [(first, "open"), (second, "interrupted")]
    assert alarms(left) == [("unfinished", first)]


def test_a_full_vault_keeps_the_daemon_from_nothing_and_is_no_alarm(
    left: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither record nor log have room: staging is cleared all the same, and the next pass makes up for it."""
    with closing(left.open()) as station:
        with monkeypatch.context() as patch:

            def full(*_: object) -> bool:
                raise VaultFull("no space left")

            patch.setattr(station.vault, "put", full)
            done = station.finish_open_work()
        assert (done.originals, done.closed) == (2, [])
        assert {f.code for f in done.trouble} == {"vault-full"}
        assert alarms(left) == []
        assert len(station.finish_open_work().closed) == 2
    assert complaints(left, [FIRST, SECOND]) == []


def test_a_vault_that_goes_away_ends_the_pass_and_is_no_alarm(left: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise VaultOffline("vault local is not mounted")

    with closing(left.open()) as station:
        with monkeypatch.context() as patch:
            patch.setattr(station.vault, "confirm", gone)
            with pytest.raises(VaultOffline):
                station.finish_open_work()
        assert alarms(left) == []
        assert station.finish_open_work().originals == 2


def test_a_lock_that_cannot_be_asked_leaves_its_docking_and_no_other(left: Site) -> None:
    ((first,), (second,)) = left.rows("SELECT id FROM docking ORDER BY id")
    with closing(left.open()) as station:
        lock = station._lock(first)
        lock.unlink()
        lock.symlink_to(lock)  # opening it fails with ELOOP, whoever asks
        done = station.finish_open_work()
    assert [f.subject for f in done.trouble] == [first]
    assert done.closed == [second]
    assert alarms(left) == [("unfinished", first)]


def test_a_stop_is_seen_between_two_batches(left: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left is finished by the next start."""
    with closing(left.open()) as station:
        real = recover.take_in

        def stops(*arguments: object) -> object:
            station.stop.set()
            return real(*arguments)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(recover, "take_in", stops)
            done = station.finish_open_work()
        assert (done.originals, done.closed, done.trouble) == (1, [], [])
    assert left.rows("SELECT count(*) FROM placement") == [(1,)]
    with closing(left.open()) as station:
        done = station.finish_open_work()
        assert (done.originals, len(done.closed)) == (1, 2)
    assert complaints(left, [FIRST, SECOND]) == []
    assert json.loads(left.run("fsck", "--json").stdout)["findings"] == []
