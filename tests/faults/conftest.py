"""Faulty runs, and the two scenes that are attacked."""

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests import program
from tests.faults.attack import attack
from tests.faults.syscalls import Mode
from tests.support import MIB, Site, make_card, make_site, noise

REPOSITORY = Path(__file__).parents[2]


class Forge:
    """Runs ``mediad`` with a fault; what it says is in ``stdout`` and ``stderr`` of the site's folder."""

    def run(self, site: Site, *arguments: str | Path, mode: Mode | None = None, at: int = 0, login: str = "") -> int:
        """Its exit code, negative for a signal, 70 for a traceback."""
        attacked = partial(attack, mode, at, login, site.root)
        words = ["-c", str(site.config_file), *map(str, arguments)]
        return program.fork(words, site.root, timeout=600, prepare=attacked)


@pytest.fixture(scope="session")
def forge() -> Forge:
    return Forge()


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
