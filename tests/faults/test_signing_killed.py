"""Killed at every step of signing a hand-over, by its receiver and by who handed over: it is signed or it is not, the same command
completes it, nothing in the vault is rewritten, and the auditor finds nothing."""

import os
import shutil
from pathlib import Path

import pytest

from tests.audit_support import fsck
from tests.faults.conftest import Forge
from tests.handover_support import bureau, dock
from tests.support import Site, make_site

RECEIVER, GIVER = "wangfang", "liming"


@pytest.fixture(scope="module", params=[RECEIVER, GIVER])
def unsigned(
    request: pytest.FixtureRequest, forge: Forge, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Site, str, str, list[str]]:
    """A station with a hand-over to sign, whose turn it is, and the calls that the signing makes."""
    root = tmp_path_factory.mktemp("signing")
    site = bureau(root / "template")
    docking = dock(site, "DSJ-1")
    if request.param == GIVER:
        assert forge.run(site, "handover", "sign", docking, login=RECEIVER) == 0
    probe = make_site(shutil.copytree(site.root, root / "probe", symlinks=True))
    assert forge.run(probe, "handover", "sign", docking, login=request.param, mode="record") == 0
    return site, docking, request.param, (probe.root / "calls").read_text().splitlines()


def _positions(kinds: list[str]) -> list[int]:
    """Calls behind which something else is there than before; ``MEDIAD_FAULTS=all``: every one."""
    takes = os.environ.get("MEDIAD_FAULTS") == "all"
    return [at for at, kind in enumerate(kinds, 1) if takes or kind in ("create", "write", "link") or at == len(kinds)]


def signings(site: Site) -> list[str]:
    kinds = ("handover.signed", "handover.countersigned")
    return [kind for (kind,) in site.rows("SELECT kind FROM custody WHERE kind IN (?, ?) ORDER BY seq", *kinds)]


def vault_of(site: Site) -> dict[str, bytes]:
    return {
        f.relative_to(site.vault).as_posix(): f.read_bytes() for f in site.vault.rglob("handovers/**/*") if f.is_file()
    }


def test_killed_at_every_call_of_signing(
    forge: Forge, unsigned: tuple[Site, str, str, list[str]], tmp_path: Path
) -> None:
    template, docking, who, calls = unsigned
    kinds = [call.split()[1] for call in calls]
    assert [kinds.count(kind) for kind in ("write", "link")] == [3, 3], "the record, its page, and the log's segment"
    wanted = [*signings(template), "handover.signed" if who == RECEIVER else "handover.countersigned"]
    for at in _positions(kinds):
        site = make_site(shutil.copytree(template.root, tmp_path / str(at), symlinks=True))
        status = forge.run(site, "handover", "sign", docking, login=who, mode="kill", at=at)
        assert status in ((-9,) if at < len(calls) - 2 else (-9, 0)), calls[at - 1]
        broken = signings(site)
        assert broken in (wanted, wanted[:-1]), calls[at - 1]
        left = vault_of(site)
        again = forge.run(site, "handover", "sign", docking, login=who)
        said = (site.root / "stderr").read_text()
        assert again == (4 if broken == wanted else 0), (calls[at - 1], said)
        assert "Traceback" not in said
        assert signings(site) == wanted, calls[at - 1]
        assert {name: data for name, data in vault_of(site).items() if name in left} == left, "nothing is rewritten"
        report = fsck(site)
        assert (report.findings, report.counts["signed"]) == ([], 2 * len(wanted)), calls[at - 1]
        shutil.rmtree(site.root)
