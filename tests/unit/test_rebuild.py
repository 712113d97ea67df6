"""Rebuild: the catalogue is lost, the vault alone restores every fact, and takes in what the log did not get to know."""

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from mediad.catalog import audit, swap
from mediad.cli.progress import _Plain
from mediad.edges.vault import LocalVault
from mediad.errors import (
    Busy,
    CatalogError,
    IntegrityError,
    MediadError,
    NotFound,
    Refused,
    StorageError,
    VaultFull,
    VaultOffline,
)
from mediad.model.ids import asset_id
from mediad.stages import mirror as mirroring
from mediad.wiring import audit as wiring_audit
from mediad.wiring.docking import dock_path
from mediad.wiring.station import OPEN_LOCK, lock_folder
from tests.audit_support import (
    copy_site,
    facts,
    flip,
    fsck,
    furnish,
    key,
    originals,
    overwrite,
    remove,
    segments,
    writable,
)
from tests.support import OCTOBER, Site, complaints, make_card, make_site, noise


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return furnish(tmp_path_factory.mktemp("rebuild"))


@pytest.fixture
def busy_site(template: Site, tmp_path: Path) -> Site:
    return copy_site(template, tmp_path / "copy")


def lose(site: Site) -> None:
    """The catalogue's disk is gone."""
    for path in site.catalogue.parent.glob("catalog.db*"):
        path.unlink()


def rebuild(site: Site, *, vault: str = "", replace: bool = False) -> wiring_audit.Rebuilt:
    return wiring_audit.rebuild(site.config, vault, lambda _seq: None, replace=replace)


def files_of(site: Site) -> list[str]:
    return sorted(p.name for p in site.catalogue.parent.glob("catalog.db*"))


# --- every fact ---------------------------------------------------------------------------------------------------------


def test_every_fact_comes_back(busy_site: Site) -> None:
    """Two recorders and a folder; stored, sighted, known, failed, rejected; broken off and continued; slot, recorder, alarm."""
    before = facts(busy_site)
    assert all(before.values()), "a fact table is empty, so this test proves nothing of it"
    events = busy_site.rows("SELECT * FROM custody ORDER BY seq")
    lose(busy_site)
    result = rebuild(busy_site)
    assert facts(busy_site) == before
    assert busy_site.rows("SELECT * FROM custody WHERE seq <= ? ORDER BY seq", len(events)) == events
    assert (result.events, result.originals, result.dockings_closed, result.findings) == (len(events), 0, 0, [])
    assert fsck(busy_site).findings == []
    assert complaints(busy_site) == []


def test_the_rebuild_itself_is_an_event(busy_site: Site) -> None:
    reached = busy_site.rows("SELECT seq, hash FROM custody ORDER BY seq DESC LIMIT 1")[0]
    lose(busy_site)
    rebuild(busy_site)
    kind, detail = busy_site.rows("SELECT kind, detail FROM custody ORDER BY seq DESC LIMIT 1")[0]
    assert kind == "catalogue.rebuilt"
    assert json.loads(detail) == {"vault": "local", "reached": reached[0], "hash": reached[1], "replaced": None}


def test_the_station_goes_on_after_it(busy_site: Site, tmp_path: Path) -> None:
    """What is known is still known, and a new file is taken."""
    lose(busy_site)
    rebuild(busy_site)
    card = make_card(tmp_path / "next", {"next.mp4": noise(2_000, 60)})
    assert busy_site.ingest(card, recorder="R-1").counts.new == 1
    assert busy_site.ingest(card, recorder="R-1").counts.skipped == 1
    assert fsck(busy_site).findings == []


def test_it_can_be_lost_again_and_again(busy_site: Site) -> None:
    before = facts(busy_site)
    for _ in range(3):
        lose(busy_site)
        rebuild(busy_site)
    assert facts(busy_site) == before
    assert fsck(busy_site).findings == []


# --- what the log did not get to know -----------------------------------------------------------------------------------


class _Broken(StorageError):
    pass


def _power_cut(site: Site, card: Path, patch: pytest.MonkeyPatch, *, at: str, calls: int = 1) -> None:
    """Dock a card; from the ``calls``-th call of a vault's method on, the vault answers nothing, as if the power were gone."""
    real = getattr(LocalVault, at)
    count = 0

    def cut(self: LocalVault, *arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count >= calls:
            patch.setattr(LocalVault, "put", _gone)
            patch.setattr(LocalVault, "check", _gone)
            raise _Broken("the power is gone")
        return real(self, *arguments)

    station = site.open()
    patch.setattr(LocalVault, at, cut)
    with closing(station), pytest.raises(MediadError):
        dock_path(station, card, _Plain("test"), recorder="R-3")


def _gone(*_: object) -> Any:
    raise _Broken("the power is gone")


def test_a_batch_that_no_event_knows_is_taken_in(
    busy_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The power went after the rename and before the record, and the catalogue was lost: not even the docking is known."""
    files = {"DCIM/a.mp4": noise(3_000, 70), "DCIM/b.jpg": noise(4_000, 71)}
    card = make_card(tmp_path / "card", files)
    with monkeypatch.context() as patch:
        _power_cut(busy_site, card, patch, at="read_back")
    assert busy_site.rows("SELECT count(*) FROM placement") == [(2,)]
    lose(busy_site)
    result = rebuild(busy_site)
    assert (result.originals, result.dockings_closed, [f.code for f in result.findings]) == (2, 1, [UNKNOWN])
    assert fsck(busy_site).findings == []
    assert complaints(busy_site, files.values()) == []
    docking = busy_site.rows("SELECT id, state, new FROM docking WHERE recorder = 'serial:R-3'")
    assert [row[1:] for row in docking] == [("interrupted", 2)]
    handover = json.loads(next(busy_site.vault.glob(f"handovers/*/*/*/{docking[0][0]}/record.json")).read_bytes())
    assert [f["outcome"] for f in handover["files"]] == ["stored", "stored"]
    again = busy_site.ingest(card, recorder="R-3")
    assert (again.counts.new, again.counts.skipped) == (0, 2)


def test_a_batch_recorded_but_never_mirrored_is_taken_in(
    busy_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything was recorded, then the power went before the first segment of this docking was written."""
    card = make_card(tmp_path / "card", {"a.mp4": noise(3_000, 72)})
    with monkeypatch.context() as patch:
        _power_cut(busy_site, card, patch, at="put")
    assert busy_site.rows("SELECT count(*) FROM placement") == [(0,)]
    lose(busy_site)
    assert rebuild(busy_site).originals == 1
    assert fsck(busy_site).findings == []
    assert complaints(busy_site, [noise(3_000, 72)]) == []


def test_a_handover_record_written_but_never_recorded_is_kept(
    busy_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The power went between the hand-over record and its event: the docking is closed with that very record."""
    card = make_card(tmp_path / "card", {"a.mp4": noise(3_000, 73)})
    real = LocalVault.put

    def put(self: LocalVault, name: str, data: bytes) -> bool:
        created = real(self, name, data)
        if name.startswith("handovers/"):
            raise _Broken("the power is gone")
        return created

    station = busy_site.open()
    with closing(station), monkeypatch.context() as patch, pytest.raises(MediadError):
        patch.setattr(LocalVault, "put", put)
        dock_path(station, card, _Plain("test"), recorder="R-3")
    lose(busy_site)
    assert rebuild(busy_site).dockings_closed == 1
    assert busy_site.rows("SELECT state, new FROM docking WHERE recorder = 'serial:R-3'") == [("complete", 1)]
    assert fsck(busy_site).findings == []


def test_bytes_that_do_not_match_their_sidecar_are_set_aside_with_an_alarm(
    busy_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = make_card(tmp_path / "card", {"a.mp4": noise(3_000, 74), "b.mp4": noise(3_000, 75)})
    with monkeypatch.context() as patch:
        _power_cut(busy_site, card, patch, at="read_back")
    unknown = {key(busy_site, p) for p in originals(busy_site)} - {
        r[0] for r in busy_site.rows("SELECT key FROM replica")
    }
    victim = busy_site.vault / min(unknown)
    overwrite(victim, flip())
    lose(busy_site)
    result = rebuild(busy_site)
    assert (result.originals, [f.code for f in result.findings]) == (1, [UNKNOWN, "verify-mismatch"])
    assert not victim.exists()
    assert [row[0] for row in busy_site.rows("SELECT code FROM alarm ORDER BY seq")] == [
        "clock-jumped",
        UNKNOWN,
        "verify-mismatch",
    ]
    assert [f.code for f in fsck(busy_site).findings] == ["set-aside"]
    assert busy_site.ingest(card, recorder="R-3").counts.new == 1


def test_bytes_without_a_sidecar_are_left_and_told(busy_site: Site) -> None:
    with writable(originals(busy_site)[0].parent) as folder:
        (folder / "ast-aaaaaaaaaaaaaaaaaaaaaaaaaa-x.mp4").write_bytes(b"x")
    lose(busy_site)
    result = rebuild(busy_site)
    assert [f.code for f in result.findings] == ["original-orphan"]
    assert [f.code for f in fsck(busy_site).findings] == ["original-orphan"]


def test_another_stations_batches_are_not_taken_in(busy_site: Site, tmp_path: Path) -> None:
    other = tmp_path / "neighbour"
    other.mkdir()
    text = busy_site.config_file.read_text().replace("test-01", "test-02").replace("var/vault", str(busy_site.vault))
    (other / "mediad.toml").write_text(text)
    Site(other).ingest(make_card(tmp_path / "theirs", {"x.mp4": noise(2_000, 50)}), recorder="R-5")
    before = facts(busy_site)
    lose(busy_site)
    assert rebuild(busy_site).originals == 0
    assert facts(busy_site) == before
    assert fsck(busy_site).findings == []


def test_staging_of_the_lost_catalogue_is_cleared(busy_site: Site) -> None:
    """Nothing in it was ever promised."""
    left = (
        busy_site.vault / ".staging/test-01/dck-20260101t000000z-aaaaaaaaaaaaaaaa/bat-20260101t000000z-aaaaaaaaaaaaaaaa"
    )
    left.mkdir(parents=True)
    (left / "0.part").write_bytes(b"half")
    lose(busy_site)
    rebuild(busy_site)
    assert complaints(busy_site) == []


# --- sidecars that somebody planted -------------------------------------------------------------------------------------

PLANTED = "originals/2026/01/02/R-9/bat-20260101t000000z-bbbbbbbbbbbbbbbb"


UNKNOWN = "adopted-unwitnessed"
"""What a rebuild says of a docking that only a sidecar tells of."""


def plant(
    site: Site, data: bytes, change: Callable[[dict[str, Any]], Any] = lambda _: None, name: str = PLANTED
) -> Path:
    """A batch folder that no event names, with a sidecar as ingest writes them, changed."""
    digest = sha256(data).digest()
    folder = site.vault / name
    key = f"{name}/{asset_id(digest)}-x.mp4"
    docking = "dck-20260101t000000z-" + name[-16:]
    file = {
        "asset": asset_id(digest), "birth_ns": None, "captured": {"confidence": "low", "source": "mtime",
        "value": "2026-01-02T03:04:05.000000Z"}, "channel": "body-camera", "device": 1, "docking": docking, "important": False,
        "inode": 2, "key": key, "kind": "video", "mtime_ns": OCTOBER, "officer": "", "path": "x.mp4", "path_b64": "eC5tcDQ=",
        "label": "R-9", "recording": "rec-" + asset_id(digest)[4:], "sha256": digest.hex(), "size": len(data),
        "source": "serial:R-9", "vault": "local", "volume": "",
    }  # fmt: skip
    body = {"format": "mediad-batch/1", "station": "test-01", "batch": folder.name, "docking": docking,
            "recorder": {"key": "serial:R-9", "label": "R-9"}, "files": [file]}  # fmt: skip
    change(body)
    folder.mkdir(parents=True)
    (site.vault / key).write_bytes(data)
    (folder / "record.json").write_bytes(body["raw"] if "raw" in body else json.dumps(body).encode())
    for path in folder.iterdir():
        path.chmod(0o440)
    folder.chmod(0o550)
    return folder


def _first(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda body: body["files"][0].update(values)


BAD: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a segment as its file": _first(key="custody/test-01/000000000001.jsonl"),
    "another batch's file": _first(key="originals/2026/01/02/R-9/bat-x/ast-x"),
    "a key that leads out": _first(key=f"{PLANTED}/../../../../../../custody/test-01/000000000001.jsonl"),
    "a part of a key that leads out": _first(key=f"{PLANTED}/.."),
    "a key below its file": _first(key=f"{PLANTED}/a/b"),
    "an absolute key": _first(key="/etc/passwd"),
    "itself as its file": _first(key=f"{PLANTED}/record.json"),
    "a key that is no text": _first(key=7),
    "captured is a number": _first(captured=7),
    "captured says nothing": _first(captured={}),
    "captured is no time": _first(captured={"value": "yesterday", "source": "mtime", "confidence": "low"}),
    "captured has no zone": _first(
        captured={"value": "2026-01-02T03:04:05.000000", "source": "mtime", "confidence": "low"}
    ),
    "a negative size": _first(size=-1),
    "a size in words": _first(size="5"),
    "a size that is a truth": _first(size=True),
    "a size with a fraction": _first(size=1.5),
    "a size beyond the catalogue": _first(size=2**64),
    "a time beyond the catalogue": _first(mtime_ns=2**63),
    "a birth in words": _first(birth_ns="x"),
    "an inode that is none": _first(inode=None),
    "a docking that leads out": lambda body: (body.update(docking="../../x"), _first(docking="../../x")(body)),
    "a docking of its own": _first(docking="dck-other"),
    "a digest of another file": _first(sha256="0" * 64),
    "a digest that is none": _first(sha256="xyz"),
    "a path that is none": _first(path_b64="!!"),
    "importance in words": _first(important="yes"),
    "a kind that is none": _first(kind="evil"),
    "half a character": _first(path="\ud800"),
    "no number": _first(size=float("nan")),
    "a field too few": lambda body: body["files"][0].pop("officer"),
    "the same file twice": lambda body: body["files"].append(body["files"][0]),
    "no file": lambda body: body.update(files=[7]),
    "no files": lambda body: body.update(files={}),
    "no recorder": lambda body: body.update(recorder="R-9"),
    "no batch": lambda body: body.update(batch="bat-other"),
    "another format": lambda body: body.update(format="mediad-batch/2"),
    "a list": lambda body: body.update(raw=b"[]"),
    "nothing": lambda body: body.update(raw=b""),
    "rubbish": lambda body: body.update(raw=b"\xff\x00"),
    "a deep pit": lambda body: body.update(raw=b"[" * 100_000),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Site:
    root = tmp_path_factory.mktemp("planted")
    site = make_site(root / "station")
    site.ingest(make_card(root / "card", {"a.mp4": noise(3_000, 90)}), recorder="R-1")
    return site


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_a_sidecar_that_cannot_be_right_is_told_and_nothing_is_moved(
    small: Site, tmp_path: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    """Whoever can write into the vault can plant one: it names a custody segment as its file, leads out, or is no sidecar."""
    site = copy_site(small, tmp_path / "copy")
    folder = plant(site, b"planted", change)
    before = {top: tree(site.vault / top) for top in ("originals", "custody", "handovers")}
    facts_before = facts(site)
    lose(site)
    result = rebuild(site)
    assert [(f.code, f.subject) for f in result.findings] == [("sidecar-broken", f"{PLANTED}/{'record.json'}")]
    assert result.originals == 0
    assert {top: tree(site.vault / top) for top in ("originals", "handovers")} == {
        top: before[top] for top in ("originals", "handovers")
    }
    assert tree(site.vault / "custody").items() >= before["custody"].items()
    assert not (site.vault / "set-aside").exists()
    assert (facts(site), folder.is_dir()) == (facts_before, True)


def test_a_planted_sidecar_that_is_right_is_taken_in_but_not_in_silence(small: Site, tmp_path: Path) -> None:
    """So the tests above fail for the one thing that they change. It may be the last docking before the catalogue was lost, so it
    is taken; but nobody saw that docking, and that is a finding and an alarm."""
    site = copy_site(small, tmp_path / "copy")
    plant(site, b"planted")
    lose(site)
    result = rebuild(site)
    assert (result.originals, [f.code for f in result.findings]) == (1, [UNKNOWN])
    assert site.rows("SELECT code, subject FROM alarm") == [(UNKNOWN, result.findings[0].subject)]
    assert fsck(site).findings == []


def test_a_batch_planted_into_a_docking_that_was_closed_stays_an_orphan(small: Site, tmp_path: Path) -> None:
    """No docking is closed while bytes of it are on their way."""
    site = copy_site(small, tmp_path / "copy")
    docking = site.rows("SELECT id FROM docking")[0][0]
    folder = plant(site, b"planted", lambda body: (body.update(docking=docking), _first(docking=docking)(body)))
    before, events = facts(site), site.rows("SELECT count(*) FROM custody")[0][0]
    lose(site)
    result = rebuild(site)
    assert (result.originals, [f.code for f in result.findings]) == (0, ["original-orphan"])
    assert site.rows("SELECT count(*) FROM custody") == [(events + 1,)]  # that it was rebuilt
    assert (facts(site), len(list(folder.iterdir()))) == (before, 2)
    assert "original-orphan" in [f.code for f in fsck(site).findings]


def test_a_file_of_another_size_in_the_place_of_an_original_is_set_aside(small: Site, tmp_path: Path) -> None:
    """As when a recorder brings the bytes again: it is told for what it is, and does not stay at the key."""
    site = copy_site(small, tmp_path / "copy")
    overwrite(originals(site)[0], lambda data: data[:7])
    plant(site, noise(3_000, 90))
    lose(site)
    result = rebuild(site)
    assert {f.code for f in result.findings} == {UNKNOWN, "original-lost", "set-aside"}
    assert "7 bytes are there" in next(f.detail for f in result.findings if f.code == "original-lost")
    assert [p.read_bytes() for p in (site.vault / "set-aside").iterdir()] == [noise(3_000, 90)[:7]]
    assert [f.code for f in fsck(site).findings] == ["set-aside"]


def test_bytes_that_lie_in_the_vault_twice_are_set_aside_and_seen_once_more(small: Site, tmp_path: Path) -> None:
    """The asset keeps its replica; the unknown batch's file is a sighting of it."""
    site = copy_site(small, tmp_path / "copy")
    folder = plant(site, noise(3_000, 90))
    lose(site)
    result = rebuild(site)
    assert (result.originals, [f.code for f in result.findings]) == (0, [UNKNOWN, "original-twice"])
    assert [p.name for p in folder.iterdir()] == ["record.json"]
    assert [p.read_bytes() for p in (site.vault / "set-aside").iterdir()] == [noise(3_000, 90)]
    assert site.rows("SELECT outcome FROM source_file WHERE docking LIKE 'dck-20260101%'") == [("sighting",)]
    assert site.rows("SELECT code FROM alarm") == [(UNKNOWN,), ("original-twice",)]
    assert [f.code for f in fsck(site).findings] == ["set-aside"]


def test_an_unknown_batch_stands_in_for_an_original_that_is_gone(small: Site, tmp_path: Path) -> None:
    """The asset's only replica was deleted: the bytes that are still there become its replica, and an alarm tells of the other."""
    site = copy_site(small, tmp_path / "copy")
    remove(originals(site)[0])
    folder = plant(site, noise(3_000, 90))
    lose(site)
    result = rebuild(site)
    assert (result.originals, [f.code for f in result.findings]) == (1, [UNKNOWN, "original-lost"])
    assert [row[0].rpartition("/")[0] for row in site.rows("SELECT key FROM replica WHERE state = 'healthy'")] == [
        PLANTED
    ]
    assert site.rows("SELECT code FROM alarm") == [(UNKNOWN,), ("original-lost",)]
    assert len(list(folder.iterdir())) == 2


def test_of_two_unknown_batches_with_the_same_bytes_one_is_taken_in(small: Site, tmp_path: Path) -> None:
    site = copy_site(small, tmp_path / "copy")
    plant(site, b"planted")
    plant(site, b"planted", name=PLANTED.replace("bbbb", "cccc"))
    lose(site)
    result = rebuild(site)
    assert (result.originals, [f.code for f in result.findings]) == (1, [UNKNOWN, UNKNOWN, "original-twice"])
    assert [f.code for f in fsck(site).findings] == ["set-aside"]


def test_the_twin_of_bytes_that_came_back_wrong_stays_where_it_is(small: Site, tmp_path: Path) -> None:
    """It may be the good one: nobody has read it."""
    site = copy_site(small, tmp_path / "copy")
    overwrite(next(plant(site, b"planted").glob("ast-*")), flip(3))
    good = next(plant(site, b"planted", name=PLANTED.replace("bbbb", "cccc")).glob("ast-*"))
    lose(site)
    result = rebuild(site)
    assert [f.code for f in result.findings] == [UNKNOWN, UNKNOWN, "verify-mismatch", "original-orphan"]
    assert good.read_bytes() == b"planted"


# --- what does not succeed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["install", "set_aside"])
def test_a_rebuild_that_fails_before_the_swap_leaves_the_vault_as_it_was(
    small: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """With an unknown batch and a broken sidecar in it: the log does not grow by a line, nothing is moved or made."""
    site = copy_site(small, tmp_path / "copy")
    overwrite(next(plant(site, b"planted").glob("ast-*")), flip(3))
    before = tree(site.vault)
    with monkeypatch.context() as patch, pytest.raises(StorageError):
        real = getattr(swap, at)

        def fail(*arguments: str) -> Any:
            if arguments[-1] == site.config.catalog.url or at == "set_aside":
                raise StorageError("the disk is gone")
            return real(*arguments)

        patch.setattr(swap, at, fail)
        rebuild(site, replace=True)
    assert tree(site.vault) == before


def test_a_rebuild_that_fails_behind_the_swap_says_so_and_the_next_start_goes_on(
    small: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = copy_site(small, tmp_path / "copy")
    plant(site, b"planted")
    log = tree(site.vault / "custody")
    lose(site)
    with monkeypatch.context() as patch, pytest.raises(StorageError, match="the new catalogue is in place") as e:
        patch.setattr(LocalVault, "put", _gone)
        rebuild(site)
    assert "start mediad" in e.value.hint
    assert tree(site.vault / "custody") == log
    with closing(site.open()) as station:
        assert len(station.finish_open_work().closed) == 1
    assert site.rows("SELECT count(*) FROM asset") == [(2,)]
    assert fsck(site).findings == []


def test_a_rebuild_whose_log_finds_no_room_in_the_vault_does_not_succeed(
    small: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only the new catalogue knows could be lost with it."""
    site = copy_site(small, tmp_path / "copy")
    lose(site)
    real = LocalVault.put

    def full(self: LocalVault, name: str, data: bytes) -> bool:
        if name.startswith("custody/"):
            raise VaultFull("no space left")
        return real(self, name, data)

    with monkeypatch.context() as patch, pytest.raises(VaultFull, match="the new catalogue is in place"):
        patch.setattr(LocalVault, "put", full)
        rebuild(site)
    with closing(site.open()) as station:
        assert station.finish_open_work().trouble == []
    assert fsck(site).findings == []


def test_another_vaults_log_that_ends_before_the_first_ones_is_refused_before_the_swap(busy_site: Site) -> None:
    """Every start after it would refuse to write."""
    from mediad.model.custody import Draft

    with closing(busy_site.open()) as station:
        detail = {"marker": "vault-second", "kind": "local", "dedicated": True}
        station.ledger.record([Draft("vault.registered", "nas", detail)])
        mirroring.mirror(station.ledger, station.vault)
        nas = busy_site.root / "nas"
        shutil.copytree(busy_site.vault, nas)
        overwrite(nas / ".mediad-vault.json", lambda _: b'{"id": "vault-second"}')
        station.ledger.record([Draft("slot.named", "usb-9", {"name": "later"})])
        mirroring.mirror(station.ledger, station.vault)
    busy_site.config_file.write_text(busy_site.config_file.read_text() + '\n[[vault]]\nname = "nas"\npath = "nas"\n')
    lose(busy_site)
    before = tree(busy_site.vault)
    with pytest.raises(IntegrityError) as e:
        rebuild(busy_site, vault="nas")
    assert (e.value.code, files_of(busy_site)) == ("catalogue-behind-mirror", [])
    assert tree(busy_site.vault) == before


def test_two_catalogues_replaced_in_the_same_second_are_both_kept(
    small: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = copy_site(small, tmp_path / "copy")
    moment = wiring_audit.now()
    monkeypatch.setattr(wiring_audit, "now", lambda: moment)
    old, kept = [], []
    for _ in range(3):
        old.append(site.catalogue.read_bytes())
        replaced = rebuild(site, replace=True).replaced
        assert replaced is not None
        kept.append(Path(replaced))
    assert [path.read_bytes() for path in kept] == old
    told = [
        json.loads(row[0])["replaced"]
        for row in site.rows("SELECT detail FROM custody WHERE kind = 'catalogue.rebuilt'")
    ]
    assert [path.name.removeprefix("catalog.db.") for path in kept] == told


# --- what is refused ----------------------------------------------------------------------------------------------------


def test_an_existing_catalogue_is_refused(busy_site: Site) -> None:
    before = busy_site.catalogue.read_bytes()
    with pytest.raises(Refused):
        rebuild(busy_site)
    assert busy_site.catalogue.read_bytes() == before
    assert busy_site.run("rebuild").returncode == 4


def test_a_damaged_catalogue_is_refused_as_well(busy_site: Site) -> None:
    busy_site.catalogue.write_bytes(b"rubbish" * 1000)
    with pytest.raises(Refused):
        rebuild(busy_site)
    assert rebuild(busy_site, replace=True).replaced
    assert fsck(busy_site).findings == []


def test_replace_keeps_the_old_one(busy_site: Site) -> None:
    before = facts(busy_site)
    old = busy_site.catalogue.read_bytes()
    result = rebuild(busy_site, replace=True)
    assert result.replaced is not None
    assert Path(result.replaced).read_bytes() == old
    assert facts(busy_site) == before
    assert json.loads(busy_site.rows("SELECT detail FROM custody ORDER BY seq DESC LIMIT 1")[0][0])["replaced"]


def test_replace_says_what_the_vault_lacks(busy_site: Site) -> None:
    from mediad.model.custody import Draft
    from mediad.wiring.station import open_ledger

    ledger = open_ledger(busy_site.config)
    ledger.record([Draft("slot.named", "usb-1", {"name": "unmirrored"})])
    ledger.catalog.close()
    assert "goes on to event" in rebuild(busy_site, replace=True).notes[0]


def test_a_catalogue_in_use_is_left_alone(busy_site: Site) -> None:
    """A daemon that has it open would go on writing into the renamed file. The lock is asked for in another process."""
    with closing(busy_site.open()):
        done = busy_site.run("rebuild", "--replace")
        assert done.returncode == 6
        assert "in use" in done.stderr
    assert busy_site.run("rebuild", "--replace").returncode == 0


def test_a_broken_chain_is_refused_and_nothing_is_made(busy_site: Site) -> None:
    """The first broken link is named."""
    victim = segments(busy_site)[3]
    overwrite(victim, flip(90))
    lose(busy_site)
    with pytest.raises(IntegrityError, match=victim.name):
        rebuild(busy_site)
    assert files_of(busy_site) == []
    assert busy_site.run("rebuild").returncode == 5


@pytest.mark.parametrize("which", [0, 2])
def test_a_gap_is_refused(busy_site: Site, which: int) -> None:
    segments(busy_site)[which].unlink()
    lose(busy_site)
    with pytest.raises(IntegrityError, match="missing") as e:
        rebuild(busy_site)
    assert e.value.code == "chain-gap"
    assert files_of(busy_site) == []


def test_a_broken_chain_leaves_the_old_catalogue_where_it_was(busy_site: Site) -> None:
    overwrite(segments(busy_site)[3], flip(90))
    old = busy_site.catalogue.read_bytes()
    with pytest.raises(IntegrityError):
        rebuild(busy_site, replace=True)
    assert busy_site.catalogue.read_bytes() == old
    assert "catalog.db" in files_of(busy_site)
    assert not [name for name in files_of(busy_site) if "rebuilding" in name or "replaced" in name]


def test_an_empty_vault_has_nothing_to_rebuild_from(tmp_path: Path) -> None:
    site = make_site(tmp_path / "new")
    site.vault.mkdir(parents=True)
    with pytest.raises(NotFound):
        rebuild(site)
    assert site.run("rebuild").returncode == 3
    assert not site.catalogue.exists()


def test_a_vault_that_is_not_the_registered_one_is_refused(busy_site: Site) -> None:
    """A copied custody log on another disk is no vault."""
    overwrite(busy_site.vault / ".mediad-vault.json", lambda _: b'{"format": "mediad-vault/1", "id": "vault-other"}\n')
    lose(busy_site)
    with pytest.raises(IntegrityError) as e:
        rebuild(busy_site)
    assert e.value.code == "vault-other"
    assert files_of(busy_site) == []


def test_an_unknown_vault_is_not_found(busy_site: Site) -> None:
    lose(busy_site)
    with pytest.raises(NotFound):
        rebuild(busy_site, vault="nas")


def test_another_vault_stands_in_for_a_lost_first_one(busy_site: Site) -> None:
    """The first vault's disk is gone with the catalogue; a copy of it, registered under its own name, has the log."""
    from mediad.model.custody import Draft

    marker = json.loads((busy_site.vault / ".mediad-vault.json").read_bytes())["id"]
    with closing(busy_site.open()) as station:
        detail = {"marker": "vault-second", "kind": "local", "dedicated": True}
        station.ledger.record([Draft("vault.registered", "nas", detail)])
        mirroring.mirror(station.ledger, station.vault)
    before = facts(busy_site)
    nas = busy_site.root / "nas"
    shutil.copytree(busy_site.vault, nas)
    overwrite(nas / ".mediad-vault.json", lambda data: data.replace(marker.encode(), b"vault-second"))
    shutil.rmtree(busy_site.vault)
    busy_site.vault.mkdir()
    busy_site.config_file.write_text(busy_site.config_file.read_text() + '\n[[vault]]\nname = "nas"\npath = "nas"\n')
    lose(busy_site)
    with pytest.raises((VaultOffline, IntegrityError, NotFound)):
        rebuild(busy_site)
    result = rebuild(busy_site, vault="nas")
    assert facts(busy_site) == before
    assert len(result.notes) == 1


# --- left-overs ---------------------------------------------------------------------------------------------------------


def test_a_write_ahead_log_that_was_left_behind_is_not_played_into_the_new_catalogue(busy_site: Site) -> None:
    """Somebody deleted catalog.db alone: its -wal belongs to no other database."""
    with closing(busy_site.open()) as station:
        station.finish_open_work()
        wal = Path(f"{busy_site.catalogue}-wal")
        kept = wal.read_bytes() if wal.exists() else b""
        before = facts(busy_site)
    lose(busy_site)
    wal.write_bytes(kept or b"\x00" * 4096)
    result = rebuild(busy_site)
    assert result.replaced is not None
    assert Path(f"{result.replaced}-wal").exists()
    assert facts(busy_site) == before
    assert fsck(busy_site).findings == []


def test_an_interrupted_rebuild_is_simply_run_again(busy_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ended before the last rename: there is no catalogue, and nothing of the half one is believed."""
    before = facts(busy_site)
    lose(busy_site)

    real = swap.install

    def stop(built: str, url: str) -> None:
        if url == busy_site.config.catalog.url:
            raise KeyboardInterrupt
        real(built, url)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(swap, "install", stop)
        rebuild(busy_site)
    assert files_of(busy_site) == []
    for left in ("", "-wal", ".new", ".new-journal"):
        Path(f"{busy_site.catalogue}.rebuilding{left}").write_bytes(b"left by a power cut")
    rebuild(busy_site)
    assert facts(busy_site) == before
    assert not [name for name in files_of(busy_site) if "rebuilding" in name]
    assert fsck(busy_site).findings == []


def test_a_station_without_its_catalogue_asks_for_a_rebuild(busy_site: Site) -> None:
    lose(busy_site)
    with pytest.raises(CatalogError) as e:
        busy_site.open()
    assert (e.value.code, "mediad rebuild" in e.value.hint) == ("catalogue-missing", True)


def test_only_one_rebuild_at_a_time(busy_site: Site) -> None:
    from mediad.edges import files

    lose(busy_site)
    with files.locked(lock_folder(busy_site.config) / OPEN_LOCK, busy="held by the test"), pytest.raises(Busy):
        rebuild(busy_site)


def test_the_command_tells_as_json_what_it_did(busy_site: Site) -> None:
    lose(busy_site)
    done = busy_site.run("rebuild", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 0
    assert set(answer) == {"vault", "events", "replaced", "adopted", "dockings_closed", "notes", "findings"}
    assert answer["vault"] == "local"
    assert busy_site.run("fsck", "--quick").returncode == 0


def test_whether_a_catalogue_is_open_is_asked_without_touching_it(busy_site: Site) -> None:
    assert not audit.in_use(busy_site.config.catalog.url)
    assert not audit.in_use(f"sqlite:///{busy_site.root}/nothing.db")
