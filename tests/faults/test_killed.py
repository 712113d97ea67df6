"""Killed, or failed, at every step of an ingest: afterwards a clean run completes and nothing is wrong anywhere.

Each case is the real program on a real vault and a real catalogue; one of its system calls (tests/faults/syscalls.py) is the
last one, fails, or finds the disk full. ``MEDIAD_FAULTS=all`` takes every call also where the default takes every second.
"""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.faults.conftest import CARD, Forge, Scene
from tests.support import Site, complaints, make_card, make_site

PARTS = 6


def _positions(scene: Scene, part: int, parts: int, step: int = 1) -> range:
    """Every ``step``-th call, dealt out to ``parts`` tests; two beyond the recorded ones, since threads vary the count."""
    return range(1 + part * step, len(scene.calls) + 3, step * parts)


def _step() -> int:
    return 1 if os.environ.get("MEDIAD_FAULTS") == "all" else 2


def _states(site: Site) -> dict[str, str]:
    if not site.catalogue.exists() or not site.rows("SELECT 1 FROM sqlite_master WHERE name = 'docking'"):
        return {}
    return dict(site.rows("SELECT id, state FROM docking"))


def _attack(forge: Forge, scene: Scene, root: Path, mode: str, at: int) -> list[str]:
    """One run with the fault, then clean runs, each judged; everything found wrong, with the call it belongs to."""
    site = scene.site(root)
    call = scene.calls[at - 1] if at <= len(scene.calls) else f"{at} beyond"
    status = forge.run(site, "ingest", scene.card, mode=mode, at=at)
    wrong = []
    if mode == "kill":
        allowed: tuple[int, ...] = (-9,) if at < len(scene.calls) - 2 else (-9, 0)
    else:
        allowed = (0, 1, 5)
    said = (root / "stderr").read_text()
    if status not in allowed or "Traceback" in said:
        wrong.append(f"the run ended with {status}: {said[-1500:]}")
    before = _states(site)
    given = {i for i, state in before.items() if state == "open"}
    handed = {
        i: json.loads(p.read_bytes())["state"]
        for i in given
        for p in site.vault.glob(f"handovers/*/*/*/{i}/record.json")
    }

    for again in (1, 2):
        status = forge.run(site, "ingest", scene.card, "--json")
        if status != 0:
            wrong.append(f"clean run {again} ended with {status}: {(root / 'stderr').read_text()[-1500:]}")
            break
        answer = json.loads((root / "stdout").read_text())
        if again == 2 and {f["outcome"] for f in answer["files"]} != {"known"}:
            wrong.append(f"not known at the second clean run: {answer['files']}")
        wrong += [f"clean run {again}: {w}" for w in complaints(site, scene.wanted)]
        after = _states(site)
        for docking in given:
            expected = handed.get(docking, "interrupted")
            if after[docking] != expected:
                wrong.append(f"broken docking {docking} is {after[docking]}, not {expected}")
            if again == 1 and expected == "interrupted":
                follows = site.rows("SELECT id FROM docking WHERE continues = ?", docking)
                if len(follows) != 1:
                    wrong.append(f"{docking} is continued by {follows}")
    status = forge.run(site, "fsck", "--json")
    found = json.loads((root / "stdout").read_text() or '{"findings": ["no answer"]}')["findings"]
    wrong += [f"fsck ({status}): {f}" for f in found]
    shutil.rmtree(root)
    return [f"{mode} at {call}: {w}" for w in wrong]


def _sweep(forge: Forge, scene: Scene, root: Path, mode: str, positions: range) -> None:
    assert len(positions) > 1
    wrong = [w for at in positions for w in _attack(forge, scene, root / f"at-{at}", mode, at)]
    assert not wrong, "\n".join(wrong)


def test_the_recorded_calls_are_those_of_the_design(founded: Scene) -> None:
    """The wrapper sees the steps it is there to attack; one that is called another way would escape it."""
    kinds = [c.split()[1] for c in founded.calls]
    for kind in ("create", "write", "fsync", "syncfs", "rename", "link", "mkdir", "unlink", "chmod", "direct"):
        assert kind in kinds, kind
    assert kinds.count("direct") == len(set(CARD.values())), "what is new, and the vault's copy of what is known"


@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_every_call_of_an_ingest(forge: Forge, founded: Scene, tmp_path: Path, part: int) -> None:
    """SIGKILL at each call (half a write done): the next run finishes, all digests are there exactly once, the broken docking is
    recorded as interrupted, and the run after that finds everything known."""
    _sweep(forge, founded, tmp_path, "kill", _positions(founded, part, PARTS))


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("mode", ["eio", "enospc", "full"])
def test_an_error_at_every_call_of_an_ingest(
    forge: Forge, founded: Scene, tmp_path: Path, mode: str, part: int
) -> None:
    """One call fails, or the disk is full from there on: the run says so without a traceback, the next one completes."""
    _sweep(forge, founded, tmp_path, mode, _positions(founded, part, PARTS, _step()))


@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_every_call_of_the_very_first_ingest(
    forge: Forge, from_nothing: Scene, tmp_path: Path, part: int
) -> None:
    """Also while catalogue, vault marker and chain are being founded."""
    _sweep(forge, from_nothing, tmp_path, "kill", _positions(from_nothing, part, PARTS))


@pytest.mark.parametrize("part", range(PARTS))
def test_an_error_at_every_call_of_the_very_first_ingest(
    forge: Forge, from_nothing: Scene, tmp_path: Path, part: int
) -> None:
    """A failing disk during the founding leaves nothing that the next start cannot go on from."""
    _sweep(forge, from_nothing, tmp_path, "eio", _positions(from_nothing, part, PARTS, _step()))


def _at(scene: Scene, kind: str, having: str = "", behind: int = 0) -> int:
    """The number of the first recorded call of a kind, or of the one so many behind it."""
    return next(n for n, c in enumerate(scene.calls, 1) if c.split()[1] == kind and having in c) + behind


def _reading_back(scene: Scene) -> int:
    """The number of the call that begins to read back what was placed; before that, the vault's copies of sightings are read."""
    moved = _at(scene, "rename", "/bat-")
    return next(n for n, c in enumerate(scene.calls, 1) if n > moved and c.split()[1] == "direct")


@pytest.mark.parametrize("moment", ["sealed", "moved", "reading back"])
def test_a_killed_dockings_bytes_docked_from_another_card_are_one_asset(
    forge: Forge, founded: Scene, tmp_path: Path, moment: str
) -> None:
    """Whoever comes next finishes what the dead one promised, and its own files are then sightings."""
    at = {
        "sealed": _at(founded, "rename", "/bat-"),
        "moved": _at(founded, "rename", "/bat-", 1),
        "reading back": _reading_back(founded),
    }
    site = founded.site(tmp_path / "station")
    assert forge.run(site, "ingest", founded.card, mode="kill", at=at[moment]) == -9
    promised = site.rows("SELECT count(*) FROM placement")[0][0]
    assert promised > 0
    other = make_card(tmp_path / "other", CARD)
    assert forge.run(site, "ingest", other, "--json", "--recorder", "R2") == 0
    outcomes = [f["outcome"] for f in json.loads((site.root / "stdout").read_text())["files"]]
    assert outcomes.count("sighting") == len(CARD)
    assert complaints(site, founded.wanted) == []
    assert forge.run(site, "fsck", "--json") == 0


def test_killed_while_finishing_what_was_killed(forge: Forge, founded: Scene, tmp_path: Path) -> None:
    """The recovery itself may die at any call; the next one finishes both."""
    broken = founded.site(tmp_path / "broken")
    assert forge.run(broken, "ingest", founded.card, mode="kill", at=_reading_back(founded)) == -9
    probe = make_site(shutil.copytree(broken.root, tmp_path / "probe", symlinks=True))
    assert forge.run(probe, "ingest", founded.card, mode="record") == 0
    total = len((probe.root / "calls").read_text().splitlines())
    assert total > 30
    for at in range(1, total + 1, _step()):
        site = make_site(shutil.copytree(broken.root, tmp_path / str(at), symlinks=True))
        assert forge.run(site, "ingest", founded.card, mode="kill", at=at) in (-9, 0)
        assert forge.run(site, "ingest", founded.card, "--json") == 0, (site.root / "stderr").read_text()
        assert complaints(site, founded.wanted) == [], at
        assert forge.run(site, "fsck", "--json") == 0, at
        shutil.rmtree(site.root)
