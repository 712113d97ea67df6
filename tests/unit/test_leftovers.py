"""What killed dockings left is finished one by one: a leftover that cannot be is told once, and keeps nothing else up."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path

import pytest

from mediad.cli.progress import _Plain
from mediad.errors import IntegrityError, MediadError, StorageError, VaultFull, VaultOffline
from mediad.model.custody import Draft, canonical
from mediad.model.evidence import DockingState
from mediad.model.layout import handover_key
from mediad.stages import handover, recover
from mediad.wiring.docking import dock_path
from tests.support import Site, complaints, make_card, noise, sha256

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


# --- who waits for the bytes of a leftover ----------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two minutes of looking are over at once."""
    monkeypatch.setattr("mediad.session._LOOK_SECONDS", 0.0)
    monkeypatch.setattr("mediad.session._LOOK_MOST_SECONDS", 0.0)


@pytest.mark.usefixtures("impatient")
def test_bytes_of_a_leftover_that_cannot_be_finished_are_not_waited_for_for_ever(left: Site) -> None:
    """The file is failed, with the reason, and the rest of the card is taken: the slot calls for the administrator."""
    ((first, batch),) = left.rows("SELECT docking, batch FROM placement WHERE sha256 = ?", sha256(FIRST))
    spoil(left, f"UPDATE placement SET detail = '{{' WHERE batch = '{batch}'")
    result = left.ingest(make_card(left.root / "again", {"0.mp4": FIRST, "new.mp4": noise(500, 9)}), recorder="R9")
    why = {f["path"]: (f["outcome"], f["why"]) for f in result.record["files"]}
    assert why["0.mp4"] == ("failed", f"its bytes belong to an unfinished docking, see the alarm: {first}")
    assert (why["new.mp4"][0], result.state) == ("stored", "incomplete")
    assert alarms(left) == [("unfinished", batch), ("unfinished", first)]


@pytest.mark.usefixtures("impatient")
def test_bytes_of_a_docking_whose_lock_file_was_deleted_are_not_waited_for_for_ever(left: Site) -> None:
    """Somebody else is here, so the docking may not be called abandoned; but nobody can be seen to work on it either."""
    with closing(left.open()) as other:
        ((first,),) = left.rows("SELECT id FROM docking WHERE recorder = 'serial:R0'")
        other._lock(first).unlink()
        result = left.ingest(make_card(left.root / "again", {"0.mp4": FIRST}), recorder="R9")
        assert (result.counts.failed, result.state) == (1, "incomplete")
        assert left.rows("SELECT state FROM docking WHERE id = ?", first) == [("open",)]
    left.ingest(make_card(left.root / "later", {"x.mp4": noise(500, 9)}), recorder="R8")
    assert left.rows("SELECT state FROM docking WHERE id = ?", first) == [("interrupted",)], (
        "whoever is alone finishes it"
    )


@pytest.mark.usefixtures("impatient")
def test_bytes_that_somebody_is_seen_to_bring_are_waited_for(left: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as its lock is held, however often one has to look."""
    from mediad.edges import files
    from mediad.stages import store

    with closing(left.open()) as station:
        ((first,),) = left.rows("SELECT id FROM docking WHERE recorder = 'serial:R0'")
        alive = ExitStack()
        alive.enter_context(files.locked(station._lock(first), busy=""))
        looks, real = [], store.resolve

        def counted(*arguments: object) -> object:
            looks.append(1)
            if len(looks) == 50:
                alive.close()
            return real(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(store, "resolve", counted)
        result = dock_path(station, make_card(left.root / "again", {"0.mp4": FIRST}), _Plain("x"), recorder="R9")
        assert (result.counts.sightings, result.state) == (1, "complete")
        assert len(looks) >= 50


def test_a_promise_that_cannot_be_understood_keeps_no_other_file_of_its_batch_up(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = make_card(tmp_path / "card", {"a.mp4": FIRST, "b.mp4": SECOND})
    with closing(site.open()) as station, monkeypatch.context() as patch:
        patch.setattr(station.vault, "admit", _fails)
        with pytest.raises(MediadError):
            dock_path(station, card, _Plain("x"), recorder="R1")
    ((spoilt,),) = site.rows("SELECT sha256 FROM placement ORDER BY key LIMIT 1")
    spoil(site, f"UPDATE placement SET detail = '{{' WHERE sha256 = '{spoilt}'")
    with closing(site.open()) as station:
        done = station.finish_open_work()
        assert (done.originals, len(done.trouble), done.closed) == (1, 1, [])
        assert station.finish_open_work().originals == 0
    assert site.rows("SELECT sha256 FROM placement") == [(spoilt,)]


# --- the hand-over record of a leftover ---------------------------------------------------------------------------------------


def _record_of(site: Site, docking: str) -> Path:
    ((opened,),) = site.rows("SELECT opened_at FROM docking WHERE id = ?", docking)
    day = datetime.fromisoformat(opened).astimezone(site.config.unit.zone).date()
    return site.vault / handover_key(day, docking)


def test_a_docking_whose_bytes_are_on_their_way_gets_no_record(left: Site) -> None:
    """A record in the vault stays; it must not tell of bytes too early."""
    ((first,),) = left.rows("SELECT id FROM docking WHERE recorder = 'serial:R0'")
    with closing(left.open()) as station, pytest.raises(IntegrityError, match="not verified yet"):
        handover.close_docking(
            station.ledger, station.vault, first, DockingState.INTERRUPTED, unit="x", zone=station.zone
        )
    assert not _record_of(left, first).exists()


@pytest.fixture
def written(left: Site, monkeypatch: pytest.MonkeyPatch) -> tuple[Site, str, Path]:
    """The power went between a docking's record and its end."""
    with closing(left.open()) as station, monkeypatch.context() as patch:
        patch.setattr(type(station.ledger), "record", _fails_to_close(type(station.ledger).record))
        assert station.finish_open_work().closed == []
    ((first,),) = left.rows("SELECT id FROM docking WHERE recorder = 'serial:R0'")
    return left, first, _record_of(left, first)


def _fails_to_close(real: Callable[..., object]) -> Callable[..., object]:
    def record(ledger: object, drafts: Sequence[Draft], *more: object, **named: object) -> object:
        if any(draft.kind == "docking.closed" for draft in drafts):
            raise StorageError("the power went")
        return real(ledger, drafts, *more, **named)

    return record


def test_a_record_that_was_written_before_the_power_went_stands(written: tuple[Site, str, Path]) -> None:
    left, first, record = written
    before = record.read_bytes()
    with closing(left.open()) as station:
        assert first in station.finish_open_work().closed
    assert record.read_bytes() == before
    assert complaints(left, [FIRST, SECOND]) == []


@pytest.mark.parametrize(
    "planted",
    [
        {"counts": {"new": 3, "sightings": 0, "skipped": 0, "failed": 0, "bytes": 9}},
        {"counts": {"new": 1, "sightings": 0, "skipped": 7, "failed": 0, "bytes": 3_000}},
        {"files": []},
        {"officer": "somebody else"},
        {"state": "open"},
        {"state": "fine"},
        {"state": []},
        {"state": None},
        {"ended_at": "yesterday"},
        {"findings": {}},
        {"findings": ["x"]},
        {"chain": 7},
        {"more": 1},
    ],
)
def test_a_planted_record_becomes_no_fact(written: tuple[Site, str, Path], planted: dict[str, object]) -> None:
    """What a found record says would stand in the custody chain: so it must be what the catalogue says, or it is an alarm."""
    left, first, record = written
    body = {k: v for k, v in (json.loads(record.read_bytes()) | planted).items() if v is not None}
    record.chmod(0o640)
    record.write_bytes((canonical(body) + "\n").encode())
    with closing(left.open()) as station:
        done = station.finish_open_work()
        assert [(f.code, f.subject) for f in done.trouble] == [("key-conflict", first)]
        assert left.rows("SELECT state FROM docking WHERE id = ?", first) == [("open",)]
        assert ("unfinished", first) in alarms(left)
        record.rename(left.root / "planted.json")
        assert station.finish_open_work().closed == [first], "as the hint says: moved away, it is written anew"


def test_what_was_promised_to_a_vault_that_is_not_the_first_any_more_is_told(left: Site) -> None:
    """Nobody looks into that vault: the docking stays open, and somebody must put the vaults in order again."""
    text = left.config_file.read_text()
    second = '[[vault]]\nname = "second"\nkind = "local"\npath = "var/second"\n'
    left.config_file.write_text(text.replace("[[vault]]", f"{second}[[vault]]", 1))
    with closing(left.open()) as station:
        for _ in range(2):
            assert [(f.code, f.subject) for f in station.finish_open_work().trouble] == [("refused", "local")]
    assert alarms(left) == [("unfinished", "local")]
    left.config_file.write_text(text)
    with closing(left.open()) as station:
        assert len(station.finish_open_work().closed) == 2
