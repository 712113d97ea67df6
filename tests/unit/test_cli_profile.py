"""`mediad profile`: a look at a card that takes nothing and needs neither catalogue nor vault."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.support import Site, make_card, make_site

RECORDERS = Path(__file__).parents[2] / "config/recorders"
STEM = "DCIM/100/8888888_123456_20260920"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path / "station", more=f'[devices]\nprofiles = ["{RECORDERS}"]')


@pytest.fixture
def card(tmp_path: Path) -> Path:
    names = {f"{STEM}100000_0001.mp4": b"x", f"{STEM}100500_0002IMP.mp4": b"x", f"{STEM}100000_0001.xml": b"x",
             "DCIM/SEGTEMP/a.mp4": b"x", "DCIM/100/x.jpg": b"x"}  # fmt: skip
    root = make_card(tmp_path / "card", names)
    for name, at in ((f"{STEM}100000_0001.mp4", 1_789_869_900), (f"{STEM}100500_0002IMP.mp4", 1_789_870_000)):
        os.utime(root / name, (at, at))
    return root


def test_a_card_is_shown_file_by_file_and_nothing_is_touched(site: Site, card: Path) -> None:
    done = site.run("profile", "test", card, "--json")
    assert done.returncode == 0, done.stderr
    look = json.loads(done.stdout)
    assert (look["profile"], look["chosen"], look["zone"], look["more"]) == (
        "generic-dcim",
        "matched",
        "Asia/Shanghai",
        False,
    )
    files = {f["path"]: f for f in look["files"]}
    first = files[f"{STEM}100000_0001.mp4"]
    assert (first["taken"], first["device"], first["officer"], first["seq"]) == (True, "8888888", "123456", 1)
    assert (first["started_at"], first["source"]) == ("2026-09-20T10:00:00+08:00", "name")
    assert files[f"{STEM}100500_0002IMP.mp4"]["important"]
    assert files[f"{STEM}100000_0001.xml"]["sidecar_of"] == f"{STEM}100000_0001.mp4"
    assert (files["DCIM/SEGTEMP/a.mp4"]["taken"], files["DCIM/SEGTEMP/a.mp4"]["why"]) == (
        False,
        "excluded by the profile",
    )
    assert files["DCIM/100/x.jpg"]["source"] == "mtime"
    assert [t["files"] for t in look["takes"]] == [[f"{STEM}100000_0001.mp4", f"{STEM}100500_0002IMP.mp4"]]
    assert not site.catalogue.exists()
    assert not site.vault.exists()


def test_every_profile_says_why_it_was_not_chosen(site: Site, card: Path) -> None:
    look = json.loads(site.run("profile", "test", card, "--json").stdout)
    android = next(p for p in look["profiles"] if p["name"] == "android-dcim")
    assert not android["fits"]
    assert {k["key"]: k["fits"] for k in android["keys"]} == {"attach": True, "match.root_files": False}
    assert [p["name"] for p in look["profiles"] if p["fits"]] == ["generic-dcim", "generic-storage", "generic"]


def test_people_read_chinese_first_and_plain_lines_in_a_pipe(site: Site, card: Path) -> None:
    done = site.run("profile", "test", card, "--limit", "2")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("配置 profile generic-dcim")
    assert any(line.startswith("# 文件 file | 收否 taken") for line in lines)
    assert any("另有 3 个文件" in line for line in lines)
    assert any("一段 take" in line for line in lines)
    assert "未采集任何文件" in lines[-1]
    assert "\x1b" not in done.stdout


def test_a_profile_can_be_tried_before_it_is_put_in_place(site: Site, card: Path, tmp_path: Path) -> None:
    mine = tmp_path / "acme.toml"
    mine.write_text('name = "acme"\n[layout]\ninclude = ["**/*.jpg"]\n', encoding="utf-8")
    look = json.loads(site.run("profile", "test", card, "--profile", mine, "--json").stdout)
    assert (look["profile"], look["chosen"]) == ("acme", "named")
    assert [f["path"] for f in look["files"] if f["taken"]] == ["DCIM/100/x.jpg"]
    mine.write_text('name = "acme"\nnmae = 1\n', encoding="utf-8")
    wrong = site.run("profile", "test", card, "--profile", mine)
    assert wrong.returncode == 2
    assert "nmae" in wrong.stderr


def test_rules_that_no_file_needed_are_named(site: Site, card: Path, tmp_path: Path) -> None:
    """A mistyped glob or pattern, and a pattern behind another that fits everything that it would."""
    mine = tmp_path / "acme.toml"
    patterns = [r"(?P<seq>\d{4})(?:IMP)?\.mp4$", r"(?P<seq>\d{4})\.mp4$", r"^(?P<officer>\d{9})_"]
    layout = "[layout]\ninclude = ['DCIM/**']\nexclude = ['DCIM/SEGTMP/**']"
    quoted = ", ".join(f"'{p}'" for p in patterns)
    mine.write_text(f"name = 'acme'\n{layout}\n[names]\npatterns = [{quoted}]\n", encoding="utf-8")
    done = site.run("profile", "test", card, "--profile", mine)
    assert done.stdout.splitlines()[-5:-1] == [
        "未用到的规则 rules that no file here needed (mistyped, hidden by an earlier one, or not on this card):",
        "  layout.exclude: DCIM/SEGTMP/**", f"  names.patterns: {patterns[1]}", f"  names.patterns: {patterns[2]}"]  # fmt: skip
    look = json.loads(site.run("profile", "test", card, "--profile", mine, "--json").stdout)
    assert [(r["key"], r["files"]) for r in look["rules"]] == [
        ("layout.include", 5), ("layout.exclude", 0), *(("names.patterns", n) for n in (2, 0, 0))]  # fmt: skip


@pytest.mark.parametrize(("arguments", "code", "word"), [
    (("test", "/nowhere/card"), 3, "does not exist"), (("test", ""), 2, "empty"), (("test", "/etc/hostname"), 5, "not a folder"),
    (("test", "/", "--profile", "none"), 2, "no profile is called none"), (("show", "none"), 2, "no profile is called none"),
    (("show", "none.toml"), 2, "cannot be read")])  # fmt: skip
def test_what_is_not_there_is_said_in_a_sentence(site: Site, arguments: tuple[str, ...], code: int, word: str) -> None:
    done = site.run("profile", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_names_of_a_hostile_card_control_nothing(site: Site, tmp_path: Path) -> None:
    root = make_card(tmp_path / "card", {b"DCIM/\x1b[31m\xff\xe2\x80\xae.mp4": b"x", b"DCIM/\n\xff.xml": b"x"})
    plain = site.run("profile", "test", root)
    assert plain.returncode == 0
    assert "\x1b" not in plain.stdout
    assert "\u202e" not in plain.stdout
    look = json.loads(site.run("profile", "test", root, "--json").stdout)
    assert len(look["files"]) == 2


def test_profiles_are_listed_and_shown_with_every_key(site: Site) -> None:
    listed = json.loads(site.run("profile", "list", "--json").stdout)
    assert {p["name"] for p in listed} == {f.stem for f in RECORDERS.glob("*.toml")} | {"generic"}
    shown = json.loads(site.run("profile", "show", "dashcam", "--json").stdout)
    assert shown["match.root_files"] == ["CARDV"]
    assert shown["takes.gap_seconds"] == 3.0
    text = site.run("profile", "show", "dashcam").stdout
    assert "time.container_zone: UTC" in text
    assert "gat947" in site.run("profile", "list").stdout


def test_without_a_configuration_the_shipped_profiles_count(card: Path, tmp_path: Path) -> None:
    bare = Site(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "mediad.cli.main", "profile", "test", card, "--json"],
        env={**os.environ, "MEDIAD_CONFIG": str(bare.config_file)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "does not exist" in done.stderr
    assert json.loads(done.stdout)["zone"] == "Asia/Shanghai"


def test_what_lies_in_the_folder_of_important_files_is_important_from_its_ingest_on(site: Site, tmp_path: Path) -> None:
    names = {
        "DCIM/100ANDRO/20260920100000_0001.mp4": b"a",
        "DCIM/101ANDRO/20260920110000_0002.mp4": b"b",
        "DCIM/LOGS/x.log": b"c",
    }
    done = site.ingest_json(make_card(tmp_path / "android", names))
    assert done["new"] == 3
    marked = {r["started_at"]: r["important"] for r in json.loads(site.run("recordings", "--json").stdout)}
    assert marked["2026-09-20T11:00:00+08:00"]
    assert sum(marked.values()) == 1


def test_a_terminal_gets_a_table_that_fits_it_and_no_control_by_names(site: Site, tmp_path: Path) -> None:
    root = make_card(tmp_path / "card", {f"{STEM}100000_0001.mp4": b"x", b"DCIM/\x1b[31mred\xff.mp4": b"x"})
    command = [sys.executable, "-m", "mediad.cli.main", "-c", str(site.config_file), "profile", "test", str(root)]
    here, there = os.openpty()
    with subprocess.Popen(command, stdout=there, env={**os.environ, "COLUMNS": "80", "TERM": "xterm"}) as running:
        os.close(there)
        shown = b""
        while part := _some(here):
            shown += part
    os.close(here)
    assert running.returncode == 0
    text = shown.decode()
    assert "\x1b[1m文件" in text, "bold headings"
    assert "\x1b[31m" not in text
    table = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines() if "收 yes" in line]
    assert len(table) == 2
    assert all(cell_len(line) <= 80 for line in table)


def _some(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # EIO: nobody writes to it any more
        return b""
