"""The order of an ingest batch, asserted from what the kernel was really asked to do.

A SIGKILL does not lose the page cache, so killing alone cannot prove that anything was durable when it had to be.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.broken import VARIANTS
from tests.faults.conftest import REPOSITORY, Forge, Scene
from tests.faults.order import TRACED, Trace, calls, violations
from tests.support import MIB, OCTOBER, Site, make_card, make_site, noise, program

DAY = 86_400 * 10**9


def _traced(site: Site, card: Path, variant: str) -> Trace:
    trace = site.root / "trace"
    command = [
        program("strace", "strace"),
        "-f",
        "-y",
        "--seccomp-bpf",
        "-s",
        "5000",
        "-o",
        str(trace),
        "-e",
        f"trace={TRACED}",
    ]
    command += [
        sys.executable,
        "-m",
        "tests.faults.broken",
        variant,
        "-c",
        str(site.config_file),
        "ingest",
        str(card),
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    return Trace(trace.read_text(errors="replace"))


@pytest.fixture(scope="session")
def station(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A founded station's folder and a card of three shelf dates: so three batches, whose work overlaps."""
    root = tmp_path_factory.mktemp("order")
    site = make_site(root / "template")
    site.ingest(make_card(root / "earlier", {"x": b"x"}))
    card = root / "card"
    for day in range(3):
        files = {f"{day}/{n}.jpg": noise(3_000 + n, 10 * day + n) for n in range(6)}
        make_card(
            card, {**files, f"{day}/video.mp4": noise((day + 3) * 2 * MIB + 5, day)}, mtime_ns=OCTOBER + day * DAY
        )
    return site.root, card


def _copy(template: Path, root: Path) -> Site:
    from shutil import copytree

    return make_site(copytree(template, root))


def test_every_batch_is_written_synced_placed_moved_read_back_and_recorded_in_this_order(
    station: tuple[Path, Path], tmp_path: Path
) -> None:
    """Three overlapping batches; then hand-over record, closing, custody segment, and only then the report."""
    trace = _traced(_copy(station[0], tmp_path / "s"), station[1], "none")
    assert violations(trace) == []
    moved = list(trace.where("rename", "renameat2", having=["/originals/"]))
    assert len(moved) == 3
    sealing = min(c.begun for c in trace.where("write", on="/record.json"))
    assert list(trace.where("write", on=".part", after=sealing)), "no batch was read while another was stored"
    for file in (p for p in station[1].rglob("*") if p.is_file()):
        read = sum(int(c.result) for c in trace.where("preadv", "preadv2", "pread64", "read", on=str(file)))
        assert read == file.stat().st_size, f"one read of the source feeds copy and digests: {file} gave {read} bytes"


@pytest.mark.parametrize(
    ("variant", "complaint"),
    [
        ("without-sync", "was not durable before the batch moved"),
        ("placed-late", "no placement was committed between the sync and the rename"),
        ("rename-not-durable", "a parent folder was not synced after the rename"),
        ("verified-from-cache", "was not read back with O_DIRECT"),
        ("recorded-unverified", "assets were committed before everything was read back"),
        ("not-mirrored", "the custody segment was not durable before the report"),
    ],
)
def test_a_wrong_order_is_noticed(station: tuple[Path, Path], tmp_path: Path, variant: str, complaint: str) -> None:
    """The same program with one step left out or misplaced must not pass."""
    assert variant in VARIANTS
    found = violations(_traced(_copy(station[0], tmp_path / "s"), station[1], variant))
    assert any(complaint in w for w in found), found


def test_calls_of_several_threads_are_put_together() -> None:
    """A call interrupted by another thread's counts from its entry to its return."""
    text = '7 fsync(3</a> <unfinished ...>\n8 write(4</b>, "x", 1) = 1\n7 <... fsync resumed>) = 0\n'
    write, fsync = calls(text)
    assert (fsync.name, fsync.begun, fsync.done, fsync.text) == ("fsync", 0, 2, "3</a> ")
    assert (write.begun, write.done) == (1, 1)


def test_what_a_killed_docking_moved_is_made_durable_before_it_is_recorded(
    forge: Forge, founded: Scene, tmp_path: Path
) -> None:
    """Killed between the rename and the sync of the parent folder: the name may be lost in a power cut until somebody syncs it."""
    at = next(n for n, c in enumerate(founded.calls, 1) if " rename " in c and "/bat-" in c) + 1
    site = founded.site(tmp_path / "station")
    assert forge.run(site, "ingest", founded.card, mode="kill", at=at) == -9
    (batch,) = {r[0] for r in site.rows("SELECT batch FROM placement")}
    (folder,) = site.vault.glob(f"originals/*/*/*/*/{batch}")
    trace = _traced(site, founded.card, "none")
    recorded = trace.commit(["verified_at", batch], -1, 10**9)
    assert recorded is not None
    reads = list(trace.where("openat", having=[f"{folder}/ast-", "O_DIRECT"], before=recorded.begun))
    assert len(reads) >= 5
    for above in [folder, *folder.parents]:
        assert list(trace.where("fsync", on=str(above), before=min(r.begun for r in reads))), above
        if above == site.vault:
            break
