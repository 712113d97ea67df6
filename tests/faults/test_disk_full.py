"""The vault's disk is full: nothing half is left, the sentence is clear, and it goes on when there is room.

On disks of their own that are really full, not on errors made up.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Literal

import pytest

from mediad.cli.progress import _Plain
from mediad.errors import MediadError, VaultFull
from mediad.model.evidence import DockingState
from mediad.session import Result
from mediad.wiring.docking import dock_path
from tests.support import MIB, OCTOBER, complaints, make_card, make_site, noise, small_disk

SIZE = 40 * MIB
DAY = 86_400 * 10**9


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    kind: Literal["tmpfs", "ext4"] = request.param
    with small_disk(tmp_path / "disk", SIZE, kind) as mounted:
        yield mounted


def _cards(root: Path, days: int, per_day: int = 2) -> tuple[Path, dict[str, bytes]]:
    """Files of 3 MiB on several shelf dates: so several batches, of which some fit."""
    files = {}
    for day in range(days):
        part = {f"{day}/{n}.mp4": noise(3 * MIB, 100 * day + n) for n in range(per_day)}
        make_card(root, dict(part), mtime_ns=OCTOBER + day * DAY)
        files.update(part)
    return root, files


def _fill(disk: Path, leave: int) -> Path:
    """Take up the disk's space until so many bytes are left."""
    ballast = disk / "ballast"
    free = os.statvfs(disk)
    with open(ballast, "ab", buffering=0) as f:
        with suppress(OSError):  # ext4 wants blocks for its own lists as well
            os.posix_fallocate(f.fileno(), 0, max(1, free.f_bavail * free.f_frsize - leave))
        f.seek(0, os.SEEK_END)
        with suppress(OSError):
            while os.statvfs(disk).f_bavail * free.f_frsize > leave:
                f.write(bytes(4096))
    return ballast


def test_an_ingest_that_does_not_fit_stops_with_5_keeps_what_fitted_and_goes_on_later(
    disk: Path, tmp_path: Path
) -> None:
    """The first batches are stored and known; the rest is taken when there is room again."""
    site = make_site(tmp_path / "station", vault=disk / "vault")
    card, files = _cards(tmp_path / "card", 4)
    ballast = _fill(disk, 16 * MIB)
    answer = site.ingest_json(card, expect=5)
    assert answer["state"] == "incomplete"
    assert 0 < answer["new"] < len(files)
    assert any(f["code"] == "vault-full" for f in answer["findings"])
    done = site.run("ingest", card)
    assert done.returncode == 5
    assert "vault local has" in done.stderr
    assert "MiB free" in done.stderr
    assert "make room" in done.stderr
    assert complaints(site) == []
    ballast.unlink()
    assert site.ingest_json(card)["state"] == "complete"
    assert complaints(site, files.values()) == []


def test_the_reserve_of_a_vault_is_kept_free(disk: Path, tmp_path: Path) -> None:
    site = make_site(tmp_path / "station", vault=disk / "vault", reserve=30 * MIB)
    card, _ = _cards(tmp_path / "card", 4)
    site.ingest_json(card, expect=5)
    free = os.statvfs(disk)
    assert free.f_bavail * free.f_frsize >= 30 * MIB - MIB
    assert complaints(site) == []


class _Filling(_Plain):
    """Fills the disk at the moment when the first bytes are copied, behind the check for room."""

    def __init__(self, disk: Path) -> None:
        super().__init__("x")
        self.disk = disk
        self.filled = False
        self.pauses: list[MediadError | None] = []
        self.waiting = threading.Event()

    def moved(self, size: int) -> None:
        super().moved(size)
        if not self.filled:
            self.filled = True
            _fill(self.disk, 0)

    def paused(self, reason: MediadError | None) -> None:
        self.pauses.append(reason)
        if reason is not None:
            self.waiting.set()


def test_a_disk_that_fills_up_while_files_are_copied_leaves_nothing_half(disk: Path, tmp_path: Path) -> None:
    """Somebody else fills the disk to the last byte: not even a hand-over record fits. Nothing is promised that is not there."""
    site = make_site(tmp_path / "station", vault=disk / "vault")
    site.ingest(make_card(tmp_path / "first", {"x": b"x"}))
    card, files = _cards(tmp_path / "card", 2)
    with closing(site.open()) as station, pytest.raises(VaultFull, match="no space left"):
        result = dock_path(station, card, _Filling(disk))
        if result.error is not None:
            raise result.error
    assert complaints(site, [b"x"], idle=False) == []
    done = site.run("ingest", card)
    assert done.returncode == 5
    assert "no space left" in done.stderr or "MiB free" in done.stderr
    assert "Traceback" not in done.stderr
    assert complaints(site, [b"x"], idle=False) == []
    (disk / "ballast").unlink()
    assert site.ingest_json(card)["state"] == "complete"
    assert complaints(site, [*files.values(), b"x"]) == []


def test_the_daemon_waits_for_room_and_goes_on_by_itself(disk: Path, tmp_path: Path) -> None:
    """The slot pauses with the reason; when there is room, the same docking ends complete."""
    site = make_site(tmp_path / "station", vault=disk / "vault")
    card, files = _cards(tmp_path / "card", 2)
    progress = _Filling(disk)
    results: list[Result] = []
    with closing(site.open(wait_for_space=True)) as station:
        thread = threading.Thread(target=lambda: results.append(dock_path(station, card, progress)), daemon=True)
        thread.start()
        assert progress.waiting.wait(60)
        assert complaints(site, idle=False) == []
        (disk / "ballast").unlink()
        thread.join(60)
    assert results
    assert results[0].state is DockingState.COMPLETE
    assert isinstance(progress.pauses[0], VaultFull)
    assert progress.pauses[-1] is None
    assert complaints(site, files.values()) == []


def test_a_waiting_docking_can_be_stopped(disk: Path, tmp_path: Path) -> None:
    site = make_site(tmp_path / "station", vault=disk / "vault")
    card, files = _cards(tmp_path / "card", 2)
    progress = _Filling(disk)
    results: list[Result] = []

    with closing(site.open(wait_for_space=True)) as station:

        def dock() -> None:
            results.append(dock_path(station, card, progress))

        thread = threading.Thread(target=dock, daemon=True)
        thread.start()
        assert progress.waiting.wait(60)
        (disk / "ballast").unlink()
        _fill(disk, 2 * MIB)  # room for the record, not for the files
        station.stop.set()
        thread.join(60)
    assert results
    assert results[0].state is DockingState.INTERRUPTED
    assert complaints(site) == []
    (disk / "ballast").unlink()
    assert site.ingest_json(card)["state"] == "complete"
    assert complaints(site, files.values()) == []


def test_no_inodes_left_is_a_full_disk_too(tmp_path: Path) -> None:
    """Twenty thousand small files need no space but names."""
    import subprocess

    from tests.support import needs_root

    needs_root("mounting a tmpfs")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m,nr_inodes=150", "none", str(disk)], check=True)
    try:
        site = make_site(tmp_path / "station", vault=disk / "vault")
        card = make_card(tmp_path / "card", {f"{n}.jpg": b"%d" % n for n in range(300)})
        done = site.run("ingest", card)
        assert done.returncode == 5
        assert "no space left" in done.stderr
        subprocess.run(["mount", "-o", "remount,nr_inodes=2000", str(disk)], check=True)
        assert site.ingest_json(card)["state"] == "complete"
        assert complaints(site, [b"0", b"299"]) == []
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize("leave", [0, 20_000, 60_000, 120_000, 300_000])
def test_catalogue_and_vault_on_one_full_disk(disk: Path, tmp_path: Path, leave: int) -> None:
    """The catalogue cannot grow either: the run ends with 5, and goes on when there is room."""
    site = make_site(disk / "station")
    site.ingest_json(make_card(tmp_path / "first", {"x": b"x"}))
    card = make_card(tmp_path / "card", {f"{n}.jpg": noise(2_000, n) for n in range(120)})
    ballast = _fill(disk, leave)
    done = site.run("ingest", card)
    assert done.returncode == 5, done.stderr
    assert "Traceback" not in done.stderr
    ballast.unlink()
    assert site.ingest_json(card)["state"] == "complete"
    assert complaints(site, [b"x", *(noise(2_000, n) for n in range(120))]) == []
