"""Docking again, under another name, from another recorder, side by side, and broken off."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mediad.cli.progress import _Plain
from mediad.edges.source import OpenFile, SourceTree
from mediad.edges.vault import StagedBatch
from mediad.errors import Stopping, StorageError, VaultOffline
from mediad.model.evidence import DockingState
from mediad.session import Result
from mediad.wiring.docking import dock_path
from tests.support import MIB, OCTOBER, Site, complaints, make_card, make_site, noise, sha256

FILES: dict[str | bytes, bytes] = {"DCIM/a.mp4": noise(70_000, 1), "DCIM/b.jpg": noise(5_000, 2), "log.txt": b"text"}


@contextmanager
def opened_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Which source files are opened meanwhile: a file that is not opened is not read."""
    seen: list[bytes] = []
    real = SourceTree.open

    def recording(self: SourceTree, file: Any) -> OpenFile:
        seen.append(file.path)
        return real(self, file)

    with monkeypatch.context() as patched:
        patched.setattr(SourceTree, "open", recording)
        yield seen


def outcomes(result: Result) -> dict[str, str]:
    return {f["path"]: f["outcome"] for f in result.record["files"]}


# --- docked again -------------------------------------------------------------------------------------------------------


def test_an_unchanged_card_is_known_without_reading(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = make_card(tmp_path / "card", FILES)
    site.ingest(card, recorder="R1")
    with opened_files(monkeypatch) as seen:
        again = site.ingest(card, recorder="R1")
    assert seen == []
    assert set(outcomes(again).values()) == {"known"}
    assert (again.counts.skipped, again.counts.new, again.state) == (3, 0, DockingState.COMPLETE)
    assert all(f["sha256"] and f["asset"] and f["key"] for f in again.record["files"])
    assert complaints(site, FILES.values()) == []


def test_the_kernel_sees_no_read_of_a_known_file(site: Site, tmp_path: Path) -> None:
    """The same from outside: not one open of a file on the card."""
    from tests.support import program

    card = make_card(tmp_path / "card", FILES)
    site.ingest_json(card, "--recorder", "R1")
    trace = tmp_path / "trace"
    command = [program("strace", "strace"), "-f", "-e", "trace=openat,open", "-o", str(trace)]
    command += [
        sys.executable,
        "-m",
        "mediad.cli.main",
        "-c",
        str(site.config_file),
        "ingest",
        str(card),
        "--recorder",
        "R1",
    ]
    subprocess.run(command, check=True, capture_output=True)
    opened = trace.read_text()
    assert '"DCIM"' in opened, "the folder is listed"
    for name in ("a.mp4", "b.jpg", "log.txt"):
        assert f'{name}"' not in opened


def _grown(path: Path) -> None:
    before = path.stat()
    path.write_bytes(path.read_bytes() + b"+")
    os.utime(path, ns=(before.st_mtime_ns,) * 2)


def _later(path: Path) -> None:
    os.utime(path, ns=(path.stat().st_mtime_ns + 1,) * 2)


def _reborn(path: Path) -> None:
    """Another file under the same path, with the same size and time: only its birth tells."""
    before, size = path.stat(), path.stat().st_size
    path.unlink()
    path.write_bytes(noise(size, 99))
    os.utime(path, ns=(before.st_mtime_ns,) * 2)


@pytest.mark.parametrize(
    ("change", "outcome"),
    [(_grown, "stored"), (_later, "sighting"), (_reborn, "stored")],
    ids=["size", "mtime", "birth"],
)
def test_what_changed_is_read_again_and_nothing_else(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], outcome: str
) -> None:
    card = make_card(tmp_path / "card", FILES)
    site.ingest(card, recorder="R1")
    change(card / "DCIM/a.mp4")
    with opened_files(monkeypatch) as seen:
        again = site.ingest(card, recorder="R1")
    assert seen == [b"DCIM/a.mp4"]
    assert outcomes(again) == {"DCIM/a.mp4": outcome, "DCIM/b.jpg": "known", "log.txt": "known"}
    assert complaints(site, [*FILES.values(), (card / "DCIM/a.mp4").read_bytes()]) == []


@pytest.mark.parametrize("year", [1970, 1980, 2000, 2014, "next week"])
def test_a_time_that_cannot_be_true_is_always_read(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, year: int | str
) -> None:
    """After a clock reset a recorder repeats paths and times: to skip such a file could lose evidence."""
    card = make_card(tmp_path / "card", FILES)
    at = datetime.now(UTC) + timedelta(days=7) if isinstance(year, str) else datetime(year, 1, 1, tzinfo=UTC)
    os.utime(card / "DCIM/a.mp4", (at.timestamp(),) * 2)
    site.ingest(card, recorder="R1")
    with opened_files(monkeypatch) as seen:
        again = site.ingest(card, recorder="R1")
    assert seen == [b"DCIM/a.mp4"]
    assert outcomes(again)["DCIM/a.mp4"] == "sighting"
    assert complaints(site, FILES.values()) == []


def test_a_card_without_identity_must_show_the_very_same_files(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder is known by path, size, time, device and inode; a copy of it in its place is read."""
    card = make_card(tmp_path / "card", FILES)
    site.ingest(card)
    with opened_files(monkeypatch) as seen:
        assert set(outcomes(site.ingest(card)).values()) == {"known"}
    assert seen == []
    shutil.copytree(card, tmp_path / "copy", copy_function=shutil.copy2)
    shutil.rmtree(card)
    (tmp_path / "copy").rename(card)
    with opened_files(monkeypatch) as seen:
        again = site.ingest(card)
    assert len(seen) == 3
    assert set(outcomes(again).values()) == {"sighting"}
    assert complaints(site, FILES.values()) == []


def test_another_recorder_with_the_same_paths_is_not_believed(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = make_card(tmp_path / "card", FILES)
    site.ingest(card, recorder="R1")
    with opened_files(monkeypatch) as seen:
        other = site.ingest(card, recorder="R2")
    assert len(seen) == 3
    assert set(outcomes(other).values()) == {"sighting"}
    assert complaints(site, FILES.values()) == []


def test_a_file_renamed_by_the_important_button_is_a_sighting(site: Site, tmp_path: Path) -> None:
    """The recorder renames and moves what the officer marked: the same bytes come back under a new name."""
    card = make_card(tmp_path / "card", FILES)
    site.ingest(card, recorder="R1")
    (card / "IMP").mkdir()
    (card / "DCIM/a.mp4").rename(card / "IMP/aIMP.mp4")
    again = site.ingest(card, recorder="R1")
    assert outcomes(again) == {"IMP/aIMP.mp4": "sighting", "DCIM/b.jpg": "known", "log.txt": "known"}
    assert complaints(site, FILES.values()) == []
    assert set(outcomes(site.ingest(card, recorder="R1")).values()) == {"known"}


def test_a_file_that_could_not_be_read_is_tried_at_each_docking(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad sector: the file fails, never half of it is called whole, and it is tried again."""
    card = make_card(tmp_path / "card", {"bad.mp4": noise(9 * MIB, 1), "good.jpg": b"good"})
    real = os.preadv

    def bad_sector(fd: int, buffers: Any, offset: int, *rest: Any) -> int:
        if offset >= 4 * MIB and os.readlink(f"/proc/self/fd/{fd}") == str(card / "bad.mp4"):
            raise OSError(5, "Input/output error")
        return real(fd, buffers, offset, *rest)

    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(os, "preadv", bad_sector)
            hurt = site.ingest(card, recorder="R1")
        assert outcomes(hurt)["bad.mp4"] == "failed"
        assert hurt.state is DockingState.INCOMPLETE
        assert complaints(site, [b"good"]) == []
        assert sha256(noise(4 * MIB, 1)) not in {r[0] for r in site.rows("SELECT sha256 FROM asset")}
    assert outcomes(site.ingest(card, recorder="R1")) == {"bad.mp4": "stored", "good.jpg": "known"}
    assert complaints(site, [b"good", noise(9 * MIB, 1)]) == []


# --- broken off ---------------------------------------------------------------------------------------------------------


def test_a_docking_that_is_stopped_is_interrupted_and_the_next_goes_on_where_it_was(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = {f"{d}/{n}.mp4": noise(MIB, 10 * d + n) for d in range(8) for n in range(2)}
    card = tmp_path / "card"
    for d in range(8):  # a batch a day; the reader is at most two batches ahead of what is settled
        make_card(card, {k: v for k, v in days.items() if k.startswith(f"{d}/")}, mtime_ns=OCTOBER + d * 86_400 * 10**9)
    with closing(site.open()) as station:

        class Stops(_Plain):
            def settled(self, outcome: Any, size: int) -> None:
                super().settled(outcome, size)
                station.stop.set()

        broken = dock_path(station, card, Stops("x"), recorder="R1")
    assert broken.state is DockingState.INTERRUPTED
    assert isinstance(broken.error, Stopping)
    assert complaints(site) == []
    stored = [p for p, o in outcomes(broken).items() if o == "stored"]
    assert 0 < len(stored) < 16
    assert all("not reached" in f["why"] for f in broken.record["files"] if f["outcome"] == "failed")
    with opened_files(monkeypatch) as seen:
        rest = site.ingest(card, recorder="R1")
    assert len(seen) == 16 - len(stored)
    assert (rest.state, rest.record["continues"]) == (DockingState.COMPLETE, broken.docking)
    assert complaints(site, days.values()) == []
    assert site.ingest(card, recorder="R1").record["continues"] is None


def test_a_card_that_is_gone_after_the_listing_is_interrupted_not_empty(site: Site, tmp_path: Path) -> None:
    """A pulled FAT card lists as empty without an error."""
    from mediad.edges.source import SourceSet
    from mediad.model.evidence import SourceIdentity
    from mediad.model.profile import Profile

    card = make_card(tmp_path / "card", {})
    identity = SourceIdentity("serial:R1", "R1", identified=True)
    with closing(site.open()) as station:
        source = SourceSet([SourceTree(card)], lambda: False)
        with station.session(source, identity=identity, profile=Profile("generic"), progress=_Plain("x")) as session:
            result = session.run()
    assert result.state is DockingState.INTERRUPTED
    assert complaints(site) == []


def test_a_card_pulled_in_the_middle_keeps_what_was_whole(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The read error of a pulled card ends the docking; one of a card that is still there fails one file alone."""
    card = make_card(tmp_path / "card", {"a.jpg": b"a", "b.mp4": noise(3 * MIB, 1), "c.jpg": b"c"})
    there = True
    real = os.preadv

    def pulled(fd: int, buffers: Any, offset: int, *rest: Any) -> int:
        nonlocal there
        if os.readlink(f"/proc/self/fd/{fd}") == str(card / "b.mp4"):
            there = False
            raise OSError(5, "Input/output error")
        return real(fd, buffers, offset, *rest)

    from mediad.wiring import docking

    with monkeypatch.context() as patched:
        patched.setattr(os, "preadv", pulled)
        patched.setattr(docking, "_is_there", lambda *_: there)
        result = site.ingest(card, recorder="R1")
    assert result.state is DockingState.INTERRUPTED
    assert outcomes(result) == {"a.jpg": "stored", "b.mp4": "failed", "c.jpg": "failed"}
    assert complaints(site, [b"a"]) == []
    again = site.ingest(card, recorder="R1")
    assert outcomes(again) == {"a.jpg": "known", "b.mp4": "stored", "c.jpg": "stored"}
    assert again.record["continues"] == result.docking


# --- side by side -------------------------------------------------------------------------------------------------------


def test_the_same_bytes_from_two_recorders_at_one_moment_are_one_asset(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have copied and sealed the same bytes before either could reserve them; the loser waits and has a sighting."""
    shared = {f"{n}.jpg": noise(4_000 + n, n) for n in range(5)}
    cards = [make_card(tmp_path / f"card{n}", {**shared, f"own{n}.jpg": b"%d" % n}) for n in range(2)]
    gate = threading.Barrier(2, timeout=60)
    met = threading.local()
    real = StagedBatch.seal

    def seal(self: StagedBatch, name: str, sidecar: bytes) -> None:
        real(self, name, sidecar)
        if not getattr(met, "done", False):
            met.done = True
            gate.wait()

    monkeypatch.setattr(StagedBatch, "seal", seal)
    results: dict[int, Result] = {}
    with closing(site.open()) as station:

        def dock(n: int) -> None:
            results[n] = dock_path(station, cards[n], _Plain("x"), recorder=f"R{n}")

        threads = [threading.Thread(target=dock, args=(n,)) for n in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(120)
    assert {r.state for r in results.values()} == {DockingState.COMPLETE}
    for name in shared:
        assert sorted(outcomes(r)[name] for r in results.values()) == ["sighting", "stored"]
    assert complaints(site, [*shared.values(), b"0", b"1"]) == []


def test_of_two_ingests_of_one_source_the_loser_says_so_and_exits_6(site: Site, tmp_path: Path) -> None:
    card = make_card(tmp_path / "card", FILES)
    begun, go_on = threading.Event(), threading.Event()

    class Slow(_Plain):
        def begin(self, files: int, size: int) -> None:
            begun.set()
            assert go_on.wait(120)

    with closing(site.open()) as station:
        thread = threading.Thread(target=dock_path, args=(station, card, Slow("x")))
        thread.start()
        assert begun.wait(60)
        loser = site.run("ingest", card, "--json")
        go_on.set()
        thread.join(60)
    assert loser.returncode == 6
    assert "is being docked already" in loser.stderr
    assert loser.stdout == ""
    assert site.rows("SELECT state FROM docking") == [("complete",)]
    assert complaints(site, FILES.values()) == []


def test_a_running_docking_is_not_taken_for_a_broken_one(site: Site, tmp_path: Path) -> None:
    """Another process that starts meanwhile and finishes what is abandoned leaves a living docking alone."""
    card, other = make_card(tmp_path / "card", FILES), make_card(tmp_path / "other", {"x": b"x"})
    begun, go_on = threading.Event(), threading.Event()

    class Slow(_Plain):
        def begin(self, files: int, size: int) -> None:
            begun.set()
            assert go_on.wait(120)

    results: list[Result] = []
    with closing(site.open()) as station:
        thread = threading.Thread(target=lambda: results.append(dock_path(station, card, Slow("x"))))
        thread.start()
        assert begun.wait(60)
        site.ingest_json(other)
        assert site.rows("SELECT state FROM docking ORDER BY opened_at") == [("open",), ("complete",)]
        go_on.set()
        thread.join(60)
    assert results[0].state is DockingState.COMPLETE
    assert complaints(site, [*FILES.values(), b"x"]) == []


def test_processes_docking_different_sources_share_one_catalogue(site: Site, tmp_path: Path) -> None:
    """Four at once from the very first start: one chain, one asset per digest, nothing lost."""
    shared = {f"same{n}.jpg": noise(20_000, n) for n in range(20)}
    cards = [
        make_card(
            tmp_path / f"card{c}", {**shared, **{f"own{n}.jpg": noise(5_000, 1_000 * c + 100 + n) for n in range(20)}}
        )
        for c in range(4)
    ]
    command = [sys.executable, "-m", "mediad.cli.main", "-c", str(site.config_file), "ingest", "--json"]
    running = [
        subprocess.Popen([*command, str(c)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for c in cards
    ]
    for process in running:
        _, said = process.communicate(timeout=180)
        assert process.returncode == 0, said
    wanted = {d for c in cards for d in (p.read_bytes() for p in c.iterdir())}
    assert len(wanted) == 100
    assert complaints(site, wanted) == []
    assert site.rows("SELECT count(*) FROM asset") == [(100,)]
    assert site.rows("SELECT count(*) FROM source_file WHERE outcome NOT IN ('stored', 'sighting')") == [(0,)]


# --- what the program says ----------------------------------------------------------------------------------------------


def test_the_json_names_every_file_with_size_digest_and_outcome(site: Site, tmp_path: Path) -> None:
    card = make_card(tmp_path / "card", FILES)
    (card / "link").symlink_to("x")
    answer = site.ingest_json(card, "--recorder", "R1", "--officer", "C-1", "--channel", "terminal")
    assert {"docking", "recorder", "new", "sightings", "skipped", "failed", "bytes", "files"} <= set(answer)
    assert (answer["recorder"], answer["new"], answer["skipped"]) == ("serial:R1", 3, 1)
    assert answer["bytes"] == sum(map(len, FILES.values()))
    for line in answer["files"]:
        assert {"path", "path_b64", "size", "sha256", "asset", "outcome", "why"} <= set(line)
        if line["outcome"] == "stored":
            assert line["sha256"] == sha256(FILES[line["path"]])
    assert site.rows("SELECT officer, channel FROM docking") == [("C-1", "terminal")]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["ingest", "/does/not/exist"], 5, "No such file"),
        (["ingest", "/etc/passwd"], 5, "not a folder"),
        (["ingest", "/tmp", "--channel", "telepathy"], 2, "telepathy is no channel"),
        (["ingest"], 2, "Missing argument"),
    ],
)
def test_a_wrong_call_ends_with_one_sentence(site: Site, arguments: list[str], code: int, words: str) -> None:
    done = site.run(*arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_what_mediad_writes_itself_is_never_a_source(site: Site, tmp_path: Path) -> None:
    """A docking of the vault, or of a folder around it, would copy its own copies; and an empty path is no folder."""
    site.ingest_json(make_card(tmp_path / "card", FILES))
    before = site.rows("SELECT count(*) FROM docking")
    (tmp_path / "way").symlink_to(site.vault)
    for place in (
        site.root,
        site.vault,
        site.vault / "originals",
        site.config.state,
        tmp_path,
        tmp_path / "way",
    ):
        done = site.run("ingest", place)
        assert done.returncode == 4, (place, done.stderr)
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) <= 2
    empty = site.run("ingest", "", cwd=tmp_path / "card")
    assert (empty.returncode, "empty" in empty.stderr) == (2, True)
    assert site.rows("SELECT count(*) FROM docking") == before
    here = site.run("ingest", ".", cwd=tmp_path / "card")
    assert here.returncode == 0, here.stderr
    assert complaints(site, FILES.values()) == []


def test_a_vault_that_is_not_mounted_stops_everything_before_it_begins(site: Site, tmp_path: Path) -> None:
    card = make_card(tmp_path / "card", FILES)
    site.ingest_json(card)
    site.vault.rename(tmp_path / "elsewhere")
    site.vault.mkdir()
    done = site.run("ingest", card)
    assert done.returncode == 5
    assert "not mounted or empty" in done.stderr
    assert list(site.vault.iterdir()) == []


def test_a_lost_catalogue_is_not_made_anew_over_a_vault_with_custody(site: Site, tmp_path: Path) -> None:
    card = make_card(tmp_path / "card", FILES)
    site.ingest_json(card)
    for part in site.catalogue.parent.glob("catalog.db*"):
        part.unlink()
    done = site.run("ingest", card)
    assert done.returncode == 5
    assert "mediad rebuild" in done.stderr
    assert not site.catalogue.exists()


def test_a_catalogue_of_another_station_is_refused(site: Site, tmp_path: Path) -> None:
    card = make_card(tmp_path / "card", FILES)
    site.ingest_json(card)
    site.config_file.write_text(site.config_file.read_text().replace("test-01", "test-02"))
    done = site.run("ingest", card)
    assert done.returncode == 4
    assert "belongs to station test-01" in done.stderr


def test_sm3_is_kept_beside_sha256_where_configured(tmp_path: Path) -> None:
    import hashlib

    site = make_site(tmp_path / "station", more="sm3 = true")
    site.ingest_json(make_card(tmp_path / "card", {"a": noise(9 * MIB, 1), "b": b"b"}))
    assert dict(site.rows("SELECT sha256, sm3 FROM asset")) == {
        sha256(d): hashlib.new("sm3", d).hexdigest() for d in (noise(9 * MIB, 1), b"b")
    }
    assert complaints(site, [noise(9 * MIB, 1), b"b"]) == []


def test_bytes_that_come_back_wrong_are_set_aside_and_never_an_asset(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk lied: the file failed, an alarm stands in the log, the bytes are kept, and the next docking takes it again."""
    from mediad.edges.vault import LocalVault

    card = make_card(tmp_path / "card", FILES)
    real = LocalVault.admit

    def damaging(self: LocalVault, owner: str, batch_id: str, key: str) -> None:
        real(self, owner, batch_id, key)
        hurt = next((self.root / key).glob("ast-*a.mp4"))
        hurt.chmod(0o640)
        with open(hurt, "r+b") as f:
            f.write(b"\0\1\2\3")
        hurt.chmod(0o440)

    with monkeypatch.context() as patched:
        patched.setattr(LocalVault, "admit", damaging)
        result = site.ingest(card, recorder="R1")
    assert outcomes(result)["DCIM/a.mp4"] == "failed"
    assert result.state is DockingState.INCOMPLETE
    assert [r[0] for r in site.rows("SELECT code FROM alarm")] == ["verify-mismatch"]
    assert len(list(site.vault.glob("set-aside/*a.mp4"))) == 1
    assert [c for c in complaints(site) if "set-aside" not in c] == []
    assert outcomes(site.ingest(card, recorder="R1")) == {
        "DCIM/a.mp4": "stored",
        "DCIM/b.jpg": "known",
        "log.txt": "known",
    }
    assert [c for c in complaints(site, FILES.values()) if "set-aside" not in c] == []


def test_an_unmounted_vault_keeps_what_it_was_promised(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unmounted between the reservation and the rename: an empty mount point is no proof that the bytes never arrived."""
    card = make_card(tmp_path / "card", {"a.mp4": noise(MIB, 1)})
    with closing(site.open()) as station, monkeypatch.context() as patch:

        def fails(*_: object) -> None:
            raise StorageError("the disk went away")

        patch.setattr(station.vault, "admit", fails)
        with pytest.raises(StorageError, match="the disk went away"):
            dock_path(station, card, _Plain("x"), recorder="R1")
    # Its record would say of a file that is about to count that it was not reached: so it is not closed yet.
    assert site.rows("SELECT state FROM docking") == [("open",)]
    with closing(site.open()) as station:
        away = station.vault.root.with_name("unmounted")
        station.vault.root.rename(away)
        station.vault.root.mkdir()
        with pytest.raises(VaultOffline):
            station.finish_open_work()
        station.vault.root.rmdir()
        away.rename(station.vault.root)
        assert station.finish_open_work().originals == 1
    assert complaints(site, [noise(MIB, 1)]) == []


def test_a_file_that_is_longer_than_it_says_is_never_called_whole(site: Site) -> None:
    """The kernel's own files claim no bytes and have some; an MTP object beyond 4 GiB does the same."""
    result = site.ingest(Path("/proc/sys/kernel/random"))
    of = {f["path"]: f for f in result.record["files"]}
    assert result.state is DockingState.INCOMPLETE
    assert (of["boot_id"]["outcome"], of["boot_id"]["why"]) == ("failed", "it is longer than it says")
    assert complaints(site) == []


def test_a_damaged_record_in_the_way_is_one_alarm(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody cut the hand-over record of a docking that was never closed: an alarm for a person, no traceback."""
    card = make_card(tmp_path / "card", {"a.mp4": noise(1_000, 1)})
    with closing(site.open()) as station, monkeypatch.context() as patch:
        real = station.vault.put

        def cut(key: str, data: bytes) -> bool:
            if not key.startswith("handovers/"):
                return real(key, data)
            real(key, data[:50])
            raise StorageError("the power went")

        patch.setattr(station.vault, "put", cut)
        with pytest.raises(StorageError):
            dock_path(station, card, _Plain("x"), recorder="R1")
    with closing(site.open()) as station:
        for _ in range(2):
            (trouble,) = station.finish_open_work().trouble
            assert trouble.code == "key-conflict"
    assert [tuple(r) for r in site.rows("SELECT code, subject FROM alarm")] == [("unfinished", trouble.subject)]
    assert site.run("ingest", card).returncode == 0, "others go on"
