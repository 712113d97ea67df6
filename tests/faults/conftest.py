"""The process that forks faulty runs, one per test worker, and the two scenes that are attacked."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import MIB, Site, make_card, make_site, noise

REPOSITORY = Path(__file__).parents[2]


@dataclass
class Forge:
    """Runs ``mediad`` with a fault. ``status`` is the exit code, negative for a signal, 70 for a traceback."""

    process: "subprocess.Popen[str]"

    def run(self, site: Site, *arguments: str | Path, mode: str = "none", at: int = 0, login: str = "") -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        order = {
            "mode": mode,
            "at": at,
            "login": login,
            "out": str(site.root),
            "arguments": ["-c", str(site.config_file), *map(str, arguments)],
        }
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        status: int = json.loads(self.process.stdout.readline())["status"]
        return status


@pytest.fixture(scope="session")
def forge() -> Iterator[Forge]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    yield Forge(process)
    assert process.stdin is not None
    process.stdin.close()
    process.wait(timeout=60)
    assert process.stdout is not None
    process.stdout.close()


EARLIER = {"old/known.jpg": noise(7_000, 1)}
CARD: dict[str | bytes, bytes] = {
    "DCIM/big.mp4": noise(9 * MIB + 17, 2),
    "DCIM/middle.mp4": noise(3 * MIB, 3),
    "DCIM/a.jpg": noise(5_000, 4),
    "DCIM/a copy.jpg": noise(5_000, 4),
    "DCIM/b.jpg": noise(6_001, 5),
    "DCIM/empty.txt": b"",
    "DCIM/known elsewhere.jpg": noise(7_000, 1),
    "DCIM/说明.txt": b"text",
}


@dataclass(frozen=True)
class Scene:
    """A station to copy (None: begin from nothing), a card, and the calls that an ingest of it makes there."""

    template: Path | None
    card: Path
    calls: tuple[str, ...]
    wanted: tuple[bytes, ...]

    def site(self, root: Path) -> Site:
        if self.template is not None:
            shutil.copytree(self.template, root, symlinks=True)
        return make_site(root)


def _recorded(forge: Forge, site: Site, card: Path) -> tuple[str, ...]:
    assert forge.run(site, "ingest", card, mode="record") == 0
    return tuple((site.root / "calls").read_text().splitlines())


@pytest.fixture(scope="session")
def from_nothing(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The very first ingest: catalogue, vault and chain are founded on the way."""
    root = tmp_path_factory.mktemp("nothing")
    card = make_card(root / "card", {"a.jpg": noise(5_000, 4), "empty": b""})
    return Scene(None, card, _recorded(forge, make_site(root / "probe"), card), (noise(5_000, 4), b""))


@pytest.fixture(scope="session")
def founded(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A station that has docked before, and a mixed card: large, middling, small, twins, empty, known from elsewhere."""
    root = tmp_path_factory.mktemp("founded")
    site = make_site(root / "template")
    assert forge.run(site, "ingest", make_card(root / "earlier", EARLIER)) == 0
    card = make_card(root / "card", CARD)
    probe = make_site(shutil.copytree(site.root, root / "probe"))
    return Scene(site.root, card, _recorded(forge, probe, card), (*CARD.values(), *EARLIER.values()))
