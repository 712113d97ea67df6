"""Killed, or failed, at every step of archiving a case: it is archived, or not at all, and the same command once more completes it;
no manifest lies in the vault that the custody log does not know, and two judges find nothing."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from mediad.wiring.bureau import casework, registers, tagging
from mediad.wiring.bureau.tagging import Wanted
from tests.audit_support import fsck
from tests.faults.conftest import Forge
from tests.support import Site, complaints, make_card, make_site, noise

FILM = noise(3_000, 90)
ARCHIVE = (
    "case",
    "archive",
    "立-1",
    "--file-number",
    "DA-1",
    "--term",
    "30年",
    "--place",
    "3号柜",
    "--receiver",
    "档案室",
)


@dataclass(frozen=True)
class Scene:
    """A concluded case with a recording, and the calls that archiving it makes."""

    template: Path
    calls: tuple[str, ...]


@pytest.fixture(scope="session")
def concluded(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    root = tmp_path_factory.mktemp("concluded")
    site = make_site(root / "template")
    site.ingest(make_card(root / "card", {"a.mp4": FILM}), recorder="R-1")
    registers.enter(
        site.config, "cases", {"filing_number": "立-1", "name": "某诊所案", "kind": "处罚", "opened": "2026-09-20"}
    )
    ((film,),) = site.rows("SELECT id FROM recording")
    tagging.tag(site.config, [film], Wanted("立-1"))
    casework.conclude(site.config, "立-1", at=None, act_ended=None)
    probe = Site(shutil.copytree(site.root, root / "probe", symlinks=True))
    assert forge.run(probe, *ARCHIVE, mode="record") == 0, (probe.root / "stderr").read_text()
    return Scene(site.root, tuple((probe.root / "calls").read_text().splitlines()))


def _attack(forge: Forge, scene: Scene, root: Path, mode: str, at: int) -> list[str]:
    site = Site(shutil.copytree(scene.template, root, symlinks=True))
    status = forge.run(site, *ARCHIVE, mode=mode, at=at)
    said = (root / "stderr").read_text()
    wrong = []
    if status not in ((-9, 0) if mode == "kill" else (0, 5)) or "Traceback" in said:
        wrong.append(f"it ended with {status}: {said[-1500:]}")
    archived = site.rows("SELECT number FROM case_archive")
    if bool(archived) != bool(site.rows("SELECT 1 FROM casefile WHERE archived")):
        wrong.append("it is half archived")
    again = forge.run(site, *ARCHIVE)
    if again != (4 if archived else 0):
        wrong.append(f"after {status} the same command ended with {again}: {(root / 'stderr').read_text()[-1500:]}")
    if len(site.rows("SELECT 1 FROM case_archive")) != 1:
        wrong.append(f"it is archived as {site.rows('SELECT key FROM case_archive')}")
    wrong += complaints(site, (FILM,)) + [f"fsck: {f}" for f in fsck(site).findings]
    shutil.rmtree(root)
    call = scene.calls[at - 1][:200] if at <= len(scene.calls) else f"{at} beyond"
    return [f"{mode} at {call}: {w}" for w in wrong]


def test_the_manifest_is_durable_before_anything_says_that_it_is_there(concluded: Scene) -> None:
    """The manifest with its folder first, then the segment with the fact that names it; the catalogue has recorded that between."""
    kinds = [call.split()[1] for call in concluded.calls]
    first, second = (n for n, kind in enumerate(kinds) if kind == "link")
    for link in (first, second):
        assert kinds[link - 2 : link + 2] == ["write", "fsync", "link", "fsync"], concluded.calls
    assert any("cases" in call for call in concluded.calls[:first])
    assert not any("custody" in call for call in concluded.calls[:first]), "nothing is mirrored before"


@pytest.mark.parametrize("mode", ["kill", "eio", "full"])
def test_an_archive_that_breaks_off_is_completed_by_the_same_command(
    forge: Forge, concluded: Scene, tmp_path: Path, mode: str
) -> None:
    """At every call, dealt out to the modes; MEDIAD_FAULTS=all takes all in each."""
    every = os.environ.get("MEDIAD_FAULTS") == "all"
    step, shift = (1, 0) if every or mode == "kill" else (4, 2 * ("eio", "full").index(mode))
    positions = range(1 + shift, len(concluded.calls) + 2, step)
    wrong = [w for at in positions for w in _attack(forge, concluded, tmp_path / f"at-{at}", mode, at)]
    assert not wrong, "\n".join(wrong)
