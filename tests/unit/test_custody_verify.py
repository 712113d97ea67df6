"""`mediad custody`: a rewritten or truncated chain never passes, and the first broken link is named."""

import json
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from mediad.fsck import Report
from mediad.model.custody import Draft
from mediad.stages import mirror
from mediad.wiring import audit as wiring_audit
from tests.audit_support import (
    copy_site,
    flip,
    found,
    furnish,
    handovers,
    overwrite,
    rewrite_chain,
    segments,
    sql,
)
from tests.support import Site, make_card

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return furnish(tmp_path_factory.mktemp("custody"))


@pytest.fixture
def busy_site(template: Site, tmp_path: Path) -> Site:
    return copy_site(template, tmp_path / "copy")


def verify(site: Site) -> Report:
    return wiring_audit.verify_custody(site.config)


def _events(site: Site) -> int:
    return int(site.rows("SELECT max(seq) FROM custody")[0][0])


def _old_catalogue_back(site: Site, data: bytes) -> None:
    for path in site.catalogue.parent.glob("catalog.db-*"):
        path.unlink()
    site.catalogue.write_bytes(data)


def test_a_whole_chain_passes_and_is_compared_with_its_mirror(busy_site: Site) -> None:
    report = verify(busy_site)
    assert report.findings == []
    assert report.notes == []
    assert report.counts == {
        "events": _events(busy_site), "handovers": len(handovers(busy_site)), "segments": len(segments(busy_site)),
        "signatures": 4,
    }  # fmt: skip


@pytest.mark.parametrize("seq", [1, 2, 9])
def test_the_first_broken_link_is_named(busy_site: Site, seq: int) -> None:
    """Two events are changed; the earlier one is named."""
    for victim in (seq, seq + 3):
        sql(busy_site, "UPDATE custody SET detail = replace(detail, '{', '{\"x\":1,') WHERE seq = ?", victim)
    report = verify(busy_site)
    assert [(f.code, f.subject) for f in report.findings] == [("chain-hash", f"event {seq}")]


def test_every_event_is_guarded(busy_site: Site) -> None:
    """Whichever event's actor is changed, that one is named."""
    for seq in range(1, _events(busy_site) + 1):
        actor = busy_site.rows("SELECT actor FROM custody WHERE seq = ?", seq)[0][0]
        sql(busy_site, "UPDATE custody SET actor = 'somebody' WHERE seq = ?", seq)
        assert [(f.code, f.subject) for f in verify(busy_site).findings] == [("chain-hash", f"event {seq}")]
        sql(busy_site, "UPDATE custody SET actor = ? WHERE seq = ?", actor, seq)
    assert verify(busy_site).findings == []


def test_a_chain_rewritten_with_right_hashes_does_not_pass(busy_site: Site) -> None:
    """The mirror tells where the two part, and who approved something has signed the log up to there."""
    seq = busy_site.rows("SELECT seq FROM custody WHERE kind = 'docking.opened' LIMIT 1")[0][0]
    rewrite_chain(busy_site, seq, lambda detail: detail.update(officer="9999"))
    report = verify(busy_site)
    assert found(report) == {"mirror-forked", "chain-cut", "signature-wrong"}
    assert any(f"event {seq} " in f.detail for f in report.findings if f.code == "mirror-forked")


def test_a_chain_rewritten_in_the_vault_as_well_does_not_pass(busy_site: Site) -> None:
    """Catalogue and every segment agree, all hashes are right; hand-over records remember the head of their time, and so does what
    people have signed."""
    rewrite_chain(busy_site, 3, lambda detail: detail.update(officer="9999"))
    lines = {}
    names = "seq, at, station, actor, kind, subject, detail, prev, hash"
    from mediad.model.custody import Event

    for row in busy_site.rows(f"SELECT {names} FROM custody ORDER BY seq"):
        lines[row[0]] = Event(*row).line()
    paths = segments(busy_site)
    starts = [int(p.stem) for p in paths] + [_events(busy_site) + 1]
    for path, first, end in zip(paths, starts, starts[1:], strict=False):
        overwrite(path, lambda _, a=first, b=end: "".join(lines[n] + "\n" for n in range(a, b)).encode())  # type: ignore[misc]
    assert found(verify(busy_site)) == {"chain-cut", "signature-wrong"}


def test_a_truncated_catalogue_does_not_pass(busy_site: Site) -> None:
    last = _events(busy_site)
    sql(busy_site, "DELETE FROM custody WHERE seq > ?", last - 2)
    assert "mirror-ahead" in found(verify(busy_site))


def test_a_catalogue_cut_together_with_its_mirror_does_not_pass(busy_site: Site) -> None:
    """Only the hand-over records in the vault still name a later head of the chain."""
    old, count = busy_site.catalogue.read_bytes(), len(segments(busy_site))
    for _ in range(2):
        busy_site.ingest(make_card(busy_site.root / "again", {"a": b""}), recorder="R-7")
    for path in segments(busy_site)[count:]:
        path.unlink()
    _old_catalogue_back(busy_site, old)
    assert found(verify(busy_site)) == {"chain-cut"}


def test_a_cut_mirror_does_not_pass(busy_site: Site) -> None:
    segments(busy_site)[-1].unlink()
    assert found(verify(busy_site)) == {"segment-gap"}


def test_a_damaged_segment_is_named(busy_site: Site) -> None:
    victim = segments(busy_site)[2]
    overwrite(victim, flip(30))
    assert [(f.code, f.subject) for f in verify(busy_site).findings] == [
        ("segment-broken", f"custody/test-01/{victim.name}")
    ]


def test_every_byte_of_a_segment_is_guarded(busy_site: Site) -> None:
    """A flipped bit anywhere in a segment is seen, line breaks included."""
    victim = segments(busy_site)[0]
    size = victim.stat().st_size
    for at in [*range(0, size, 37), size - 1, size - 2]:
        overwrite(victim, flip(at))
        assert "segment-broken" in found(verify(busy_site)), at
        overwrite(victim, flip(at))
    assert verify(busy_site).findings == []


def test_a_vault_that_is_offline_is_a_note(busy_site: Site) -> None:
    """The chain in the catalogue is still checked; what could not be compared is said."""
    busy_site.vault.rename(busy_site.root / "elsewhere")
    report = verify(busy_site)
    assert report.findings == []
    assert [n for n in report.notes if "was not compared" in n]
    (busy_site.vault).mkdir()
    assert [n for n in verify(busy_site).notes if "was not compared" in n]


def test_an_unmirrored_event_is_behind_only_when_nothing_runs(busy_site: Site) -> None:
    with closing(busy_site.open()) as station:
        station.ledger.record([Draft("slot.named", "usb-1", {"name": "new"})])
        assert found(verify(busy_site)) == {"mirror-behind"}
        mirror.mirror(station.ledger, station.vault)
        assert verify(busy_site).findings == []


# --- export -------------------------------------------------------------------------------------------------------------


def test_an_exported_chain_is_verified_on_its_own(busy_site: Site, tmp_path: Path) -> None:
    """By mediad without a catalogue, and by the program in the documentation without mediad."""
    out = tmp_path / "chain.jsonl"
    assert busy_site.run("custody", "export", "--out", out).returncode == 0
    assert out.read_bytes() == b"".join(p.read_bytes() for p in segments(busy_site))
    busy_site.catalogue.unlink()
    done = busy_site.run("custody", "verify", "--file", out, "--json")
    assert (done.returncode, json.loads(done.stdout)["findings"]) == (0, [])
    program = tmp_path / "check.py"
    text = (REPOSITORY / "docs/recovery.md").read_text(encoding="utf-8")
    program.write_text(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[0])
    assert _python(program, out).returncode == 0
    overwrite(out, flip(700))
    assert _python(program, out).returncode != 0
    done = busy_site.run("custody", "verify", "--file", out, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["findings"][0]["code"] == "chain-hash"


def _python(program: Path, file: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, str(program), str(file)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda lines: lines[:3] + lines[4:], "chain-gap"),
        (lambda lines: lines[1:], "chain-gap"),
        (lambda lines: [*lines[:-1], lines[-1][:-1]], "chain-hash"),
        (lambda lines: [*lines[:4], b"{}\n", *lines[5:]], "chain-hash"),
    ],
)
def test_an_export_that_was_cut_or_filled_does_not_pass(
    busy_site: Site, tmp_path: Path, change: object, code: str
) -> None:
    lines = b"".join(p.read_bytes() for p in segments(busy_site)).splitlines(keepends=True)
    out = tmp_path / "chain.jsonl"
    out.write_bytes(b"".join(change(lines)))  # type: ignore[operator]
    done = busy_site.run("custody", "verify", "--file", out, "--json")
    assert [f["code"] for f in json.loads(done.stdout)["findings"]] == [code]


def test_an_export_never_overwrites(busy_site: Site, tmp_path: Path) -> None:
    out = tmp_path / "chain.jsonl"
    out.write_text("mine")
    assert busy_site.run("custody", "export", "--out", out).returncode == 4
    assert out.read_text() == "mine"


# --- show ---------------------------------------------------------------------------------------------------------------


def test_show_tells_what_was_recorded_of_a_subject(busy_site: Site) -> None:
    asset = busy_site.rows("SELECT subject FROM custody WHERE kind = 'asset.sighted' ORDER BY seq LIMIT 1")[0][0]
    done = busy_site.run("custody", "show", "--subject", asset, "--json")
    events = json.loads(done.stdout)
    assert done.returncode == 0
    assert {e["subject"] for e in events} == {asset}
    assert [e["kind"] for e in events][:2] == ["asset.stored", "asset.sighted"]
    assert events[0]["detail"]["sha256"]
    assert asset in busy_site.run("custody", "show", "--subject", asset).stdout


def test_show_gives_the_newest_in_order(busy_site: Site) -> None:
    events = json.loads(busy_site.run("custody", "show", "--limit", "3", "--json").stdout)
    assert [e["seq"] for e in events] == [_events(busy_site) - 2, _events(busy_site) - 1, _events(busy_site)]
    assert busy_site.run("custody", "show", "--subject", "ast-nothing").returncode == 3


def test_the_command_exits_1_for_findings_and_5_without_a_catalogue(busy_site: Site) -> None:
    assert busy_site.run("custody", "verify").returncode == 0
    sql(busy_site, "UPDATE custody SET actor = 'x' WHERE seq = 4")
    done = busy_site.run("custody", "verify", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["findings"][0]["subject"] == "event 4"
    busy_site.catalogue.unlink()
    assert busy_site.run("custody", "verify").returncode == 5
