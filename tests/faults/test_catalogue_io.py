"""SQLite's own system calls are killed or failed, with strace, since no wrapper in Python sees them.

As in test_killed.py: afterwards a clean run completes, and nothing is wrong anywhere. The positions cover every sync of the
catalogue's files and a spread of its writes.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.conftest import REPOSITORY, Forge, Scene
from tests.support import Site, complaints, make_card, make_site, noise, program

_CALLS = "pwrite64,fdatasync,fsync,ftruncate,unlink"


def under_strace(
    site: Site, arguments: Sequence[str | Path], options: Sequence[str]
) -> "subprocess.CompletedProcess[str]":
    """The program under strace. The exit code is the program's; a killed one gives -9."""
    strace = [
        program("strace", "strace"),
        "-f",
        "-o",
        str(site.root / "trace"),
        *options,
    ]  # --seccomp-bpf injects no signals
    command = [*strace, sys.executable, "-m", "mediad.cli.main", "-c", str(site.config_file), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=REPOSITORY)


def _inject(site: Site, card: Path, call: str, what: str, when: int) -> "subprocess.CompletedProcess[str]":
    paths = [
        o for suffix in ("", "-wal", "-journal", ".new", ".new-journal") for o in ("-P", f"{site.catalogue}{suffix}")
    ]
    return under_strace(
        site, ["ingest", card], [*paths, "-e", f"trace={_CALLS}", "-e", f"inject={call}:{what}:when={when}"]
    )


def _attack(forge: Forge, site: Site, card: Path, wanted: Sequence[bytes], call: str, what: str, when: int) -> bool:
    """Returns whether the fault was reached at all: behind the last call of its kind it is not."""
    done = _inject(site, card, call, what, when)
    where = f"{what} at {call} {when}"
    injected = "INJECTED" in (site.root / "trace").read_text() or done.returncode == -9
    assert done.returncode in ((-9, 0) if "SIGKILL" in what else (0, 1, 5)), (where, done.returncode, done.stderr)
    assert "Traceback" not in done.stderr, (where, done.stderr)
    for again in (1, 2):
        status = forge.run(site, "ingest", card, "--json")
        assert status == 0, (where, again, status, (site.root / "stderr").read_text())
        assert complaints(site, wanted) == [], (where, again)
    assert forge.run(site, "fsck", "--json") == 0, (where, json.loads((site.root / "stdout").read_text())["findings"])
    return injected


@pytest.mark.parametrize(
    ("call", "what", "positions"),
    [
        ("fdatasync", "signal=SIGKILL", range(1, 8)),
        ("fdatasync", "error=EIO", range(1, 8)),
        ("pwrite64", "signal=SIGKILL", range(2, 58, 7)),
        ("pwrite64", "error=EIO", range(5, 60, 11)),
        ("pwrite64", "error=ENOSPC", range(8, 60, 17)),
    ],
    ids=str,
)
def test_faults_of_the_catalogues_disk_during_an_ingest(
    forge: Forge,
    founded: Scene,
    tmp_path: Path,
    call: str,
    what: str,
    positions: range,
) -> None:
    """A commit that fails or dies leaves either all or nothing of it, and the next run goes on from there."""
    reached = [
        _attack(forge, founded.site(tmp_path / str(when)), founded.card, founded.wanted, call, what, when)
        for when in positions
    ]
    assert any(reached)
    assert reached[0]


@pytest.mark.parametrize(
    ("call", "positions"),
    [("fdatasync", range(1, 12, 2)), ("pwrite64", range(1, 120, 17)), ("unlink", range(1, 3))],
    ids=str,
)
def test_killed_while_the_catalogue_is_created(forge: Forge, tmp_path: Path, call: str, positions: range) -> None:
    """Half a set of tables is never taken for a catalogue, and never stands in the way of the next start."""
    card = make_card(tmp_path / "card", {"a.jpg": noise(5_000, 4)})
    reached = [
        _attack(forge, make_site(tmp_path / str(when)), card, [noise(5_000, 4)], call, "signal=SIGKILL", when)
        for when in positions
    ]
    assert reached[0]
