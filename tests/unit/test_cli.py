"""What every command promises: one clear sentence, a right exit code, nothing that controls a terminal, in every locale."""

import json
import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mediad import __version__
from mediad.cli import common
from mediad.model.custody import Draft
from tests.audit_support import copy_site, furnish, handovers, overwrite, sql
from tests.support import Site, make_card, make_site

REPOSITORY = Path(__file__).parents[2]
EVIL = "\x1b[31mred\x07\x9b2J\u202egnp.exe\r\n\x7f"
LOOKING = [
    ("status",), ("recordings",), ("slots",), ("recorder", "list"), ("handover", "list"), ("vault", "list"), ("fsck", "--quick"),
    ("custody", "show", "--limit", "1000"), ("custody", "verify"), ("config", "check"), ("doctor",),
]  # fmt: skip


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return furnish(tmp_path_factory.mktemp("cli"))


@pytest.fixture
def busy_site(template: Site, tmp_path: Path) -> Site:
    return copy_site(template, tmp_path / "copy")


# --- faults -------------------------------------------------------------------------------------------------------------


def test_a_long_list_is_printed_as_any_other_is_without_holding_it(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[object] = [{"a": "李\n明\x1b", "b": [1, {"c": []}]}, 2, "x"]
    for some in (rows, rows[:1], []):
        common.print_json(some)
        whole = capsys.readouterr().out
        common.print_json_list(iter(some))
        assert capsys.readouterr().out == whole


def test_a_fault_of_ours_is_one_sentence_and_exit_5(busy_site: Site) -> None:
    """A time that is none was put into the catalogue; no edge expects that."""
    sql(busy_site, "UPDATE recording SET started_at = 'yesterday'")
    done = busy_site.run("recordings")
    assert done.returncode == 5
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("mediad: mediad is at fault (ValueError: ")
    assert "MEDIAD_DEBUG=1" in done.stderr
    told = busy_site.run("recordings", env={**os.environ, "MEDIAD_DEBUG": "1"})
    assert told.returncode == 5
    assert "Traceback" in told.stderr
    assert "show.py" in told.stderr


# --- who reads the output -----------------------------------------------------------------------------------------------


def _with_reader_gone(site: Site, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command with an output whose reader has gone already."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "mediad.cli.main", "-c", str(site.config_file), *arguments]
    try:
        return subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    finally:
        os.close(write)


def test_the_version_is_told_as_other_programs_tell_it(site: Site) -> None:
    assert site.run("--version").stdout == site.run("version").stdout == f"mediad {__version__}\n"


@pytest.mark.parametrize(
    "command", [("version",), ("recordings", "--json"), ("custody", "show", "--limit", "1000"), ("fsck", "--quick")]
)
def test_an_output_that_nobody_reads_is_no_success(busy_site: Site, command: tuple[str, ...]) -> None:
    done = _with_reader_gone(busy_site, *command)
    assert (done.returncode, "rror" in done.stderr) == (common.PIPE_CLOSED, False)


def test_findings_stay_findings_when_nobody_reads_them(busy_site: Site) -> None:
    sql(busy_site, "UPDATE custody SET actor = 'x' WHERE seq = 4")
    assert _with_reader_gone(busy_site, "custody", "verify", "--json").returncode == 1
    assert _with_reader_gone(busy_site, "show", "ast-nothing").returncode == 3


def test_a_full_disk_behind_the_output_is_told(busy_site: Site) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "mediad.cli.main", "-c", str(busy_site.config_file), "recordings"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    assert done.returncode == 5
    assert done.stderr == "mediad: the output cannot be written: No space left on device\n"


def test_an_ingest_goes_on_when_nobody_reads_its_progress(tmp_path: Path) -> None:
    site = make_site(tmp_path / "station")
    card = make_card(tmp_path / "card", {"a": b"1"})
    read, write = os.pipe()
    os.close(read)
    code = "import sys; from mediad.cli import common; common.tell('x'); common.tell('y'); from mediad.cli.main import main; main()"
    command = [sys.executable, "-c", code, "-c", str(site.config_file), "ingest", str(card)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=write, text=True, check=False, timeout=120)
    finally:
        os.close(write)
    assert "新存 1 new" in done.stdout
    assert site.rows("SELECT state FROM docking") == [("complete",)]


# --- locales ------------------------------------------------------------------------------------------------------------

_LOCALES = [
    {"LANG": "C"}, {"LC_ALL": "POSIX"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1:strict"},
]  # fmt: skip


@pytest.mark.parametrize("locale", _LOCALES, ids=lambda x: "-".join(f"{k}={v}" for k, v in x.items()))
def test_every_locale_can_show_everything(busy_site: Site, locale: dict[str, str]) -> None:
    """Chinese words, raw names that are no UTF-8, and a path on the command line that is none."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONIO", "PYTHONUTF8"))}
    command = [sys.executable, "-m", "mediad.cli.main", "-c", str(busy_site.config_file)]
    for arguments in (*LOOKING[:4], ("recordings", "--json"), ("show", os.fsdecode(b"ast-\xff")), ("--help",)):
        done = subprocess.run([*command, *arguments], capture_output=True, env=clean | locale, check=False, timeout=120)
        assert b"Traceback" not in done.stderr
        assert done.returncode == (2 if arguments[0] == "show" else 0), done.stderr
        if "--json" in arguments:
            assert json.loads(done.stdout)


# --- what reaches the terminal ------------------------------------------------------------------------------------------


def _harmless(text: str) -> bool:
    return all(c.isprintable() or c == "\n" for c in text)


@pytest.fixture
def evil_site(busy_site: Site) -> Site:
    """Whatever a device or a catalogue can say says something to the terminal; told by the log, so nothing is tampered with."""
    with closing(busy_site.open()) as station:
        docking = json.loads(busy_site.rows("SELECT detail FROM custody WHERE kind = 'docking.opened' LIMIT 1")[0][0])
        said = {"label": EVIL, "slot": EVIL, "officer": EVIL, "source": EVIL, "recorder": f"serial:{EVIL}",
                "said": {"clock": EVIL}, "zones": {EVIL: EVIL}}  # fmt: skip
        station.ledger.record(
            [
                Draft("slot.named", f"usb-{EVIL}", {"name": EVIL}),
                Draft(
                    "recorder.registered",
                    EVIL,
                    {"label": EVIL, "name": EVIL, "profile": EVIL, "keys": [f"serial:{EVIL}"]},
                ),
                Draft("alarm.raised", EVIL, {"code": EVIL, "detail": EVIL}),
                Draft("docking.opened", "dck-20260101t000000z-aaaaaaaaaaaaaaaa", {**docking, **said}),
            ]
        )
    run = busy_site.config.runtime
    run.mkdir(parents=True, exist_ok=True)
    slot = {
        "port": EVIL, "name": EVIL, "state": "attention", "words": [EVIL, EVIL], "recorder": EVIL, "docking": EVIL,
        "files_done": 0, "files_total": 0, "bytes_done": 0, "bytes_total": 0, "minutes_left": None, "why": EVIL,
    }  # fmt: skip
    (run / "slots.json").write_text(json.dumps({"message": EVIL, "slots": [slot], "daemon": {"pid": 0, "began": ""}}))
    return busy_site


@pytest.mark.parametrize("command", LOOKING, ids="-".join)
def test_nothing_that_a_device_says_controls_the_terminal(evil_site: Site, command: tuple[str, ...]) -> None:
    for arguments in (command, (*command, "--json")):
        done = evil_site.run(*arguments)
        assert "Traceback" not in done.stderr
        assert _harmless(done.stdout), [c for c in done.stdout if not c.isprintable()]
        assert _harmless(done.stderr)


def test_an_argument_does_not_control_the_terminal_either(busy_site: Site) -> None:
    for arguments in (
        ("show", EVIL),
        ("ingest", EVIL),
        ("custody", "show", "--subject", EVIL),
        ("recorder", "add", EVIL),
    ):
        done = busy_site.run(*arguments)
        assert done.returncode in (2, 3, 5)
        assert _harmless(done.stderr), done.stderr


def test_json_of_evil_names_is_their_json(evil_site: Site) -> None:
    """Escaped, not changed: a program gets what the log holds."""
    names = {r["name"] for r in json.loads(evil_site.run("recorder", "list", "--json").stdout)}
    assert EVIL in names


def test_every_line_goes_through_one_door() -> None:
    for path in (REPOSITORY / "src/mediad/cli").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w.])print\(|typer\.echo|click\.echo", text), path
        assert path.name == "common.py" or not re.search(r"std(out|err)\.write", text), path


# --- recorders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [("\x1b[2J",), ("R-1", "--name", "a\nb"), ("R-1", "--uuid", "\x00".replace("\x00", "\x07"))]
)
def test_a_recorder_is_registered_under_printable_names_only(busy_site: Site, arguments: tuple[str, ...]) -> None:
    before = busy_site.rows("SELECT max(seq) FROM custody")
    done = busy_site.run("recorder", "add", *arguments)
    assert (done.returncode, "printable" in done.stderr) == (2, True)
    assert busy_site.rows("SELECT max(seq) FROM custody") == before


def test_a_recorder_gets_a_profile_that_there_is(busy_site: Site) -> None:
    done = busy_site.run("recorder", "add", "R-9", "--profile", "nosuch")
    assert done.returncode == 2
    assert "no profile is called nosuch" in done.stderr
    assert "one of ambarella, " in done.stderr and ", generic" in done.stderr
    assert busy_site.run("recorder", "add", "R-9", "--profile", "generic").returncode == 0


# --- the configuration --------------------------------------------------------------------------------------------------


def _check(site: Site, change: str = "", **swap: str) -> tuple[int, dict[str, str]]:
    text = site.config_file.read_text(encoding="utf-8")
    for old, new in swap.items():
        text = text.replace(old.replace("_", " "), new)
    site.config_file.write_text(text + change, encoding="utf-8")
    done = site.run("config", "check", "--json")
    assert done.stdout, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert site.run("config", "check").returncode == done.returncode
    return done.returncode, {f["key"]: f["detail"] for f in answer["findings"]}


def test_a_configuration_that_works_has_no_findings(tmp_path: Path) -> None:
    assert _check(make_site(tmp_path / "s")) == (0, {})


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ('[catalog]\nurl = "postgresql://db/mediad"\n', "catalog.url"),
        ('[catalog]\nurl = "sqlite:///mediad.toml/none/catalog.db"\n', "catalog.url"),
        ('[catalog]\nurl = "sqlite:///mediad.toml/catalog.db"\n', "catalog.url"),
        ('[http]\nlisten = "203.0.113.7:9470"\n', "http.listen"),
        ('[http]\nlisten = "no host:9470"\n', "http.listen"),
        ('[devices]\nprofiles = ["nowhere"]\n', "devices.profiles"),
        ('[devices]\nhook = ["no-such-lamp"]\n', "devices.hook"),
        ('[[folder]]\nname = "hall"\npath = "nowhere"\n', "folder.1.path"),
    ],
)
def test_a_setting_that_cannot_work_is_named(tmp_path: Path, settings: str, key: str) -> None:
    code, findings = _check(make_site(tmp_path / "s"), settings)
    assert (code, list(findings)) == (2, [key])


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    site = make_site(tmp_path / "s")
    text = site.config_file.read_text(encoding="utf-8")
    site.config_file.write_text(
        text.replace('id = "test-01"', 'id = "test-01"\nstate = "mediad.toml/none"'), encoding="utf-8"
    )
    assert list(_check(site)[1]) == ["station.state"]


def test_a_registered_profile_that_is_gone_is_named(busy_site: Site) -> None:
    with closing(busy_site.open()) as station:
        detail = {"label": "R-2", "name": "二号", "profile": "acme", "keys": ["serial:R-2"]}
        station.ledger.record([Draft("recorder.registered", "rcd-2", detail)])
    code, findings = _check(busy_site)
    assert (code, list(findings)) == (2, ["devices.profiles"])
    assert "acme" in findings["devices.profiles"]


def test_a_vault_under_another_name_is_told_by_its_own(busy_site: Site) -> None:
    text = busy_site.config_file.read_text(encoding="utf-8")
    busy_site.config_file.write_text(text.replace('name = "local"', 'name = "main"'), encoding="utf-8")
    done = busy_site.run("ingest", busy_site.root)
    assert done.returncode == 2
    assert "is registered as local, the configuration calls it main" in done.stderr
    assert 'write name = "local"' in done.stderr
    assert list(_check(busy_site)[1]) == ["vault.1.name"]


# --- records ------------------------------------------------------------------------------------------------------------


def test_a_handover_record_is_shown_byte_by_byte_and_only_if_it_is_the_recorded_one(busy_site: Site) -> None:
    record = handovers(busy_site)[0]
    docking = record.parent.name
    done = busy_site.run("handover", "show", docking)
    assert (done.returncode, done.stdout) == (0, record.read_text(encoding="utf-8"))
    overwrite(record, lambda data: data.replace(b'"state":"', b'"state":"not '))
    done = busy_site.run("handover", "show", docking)
    assert (done.returncode, done.stdout) == (5, "")
    assert "is not the record whose digest stands in the custody log" in done.stderr


def test_an_exported_chain_without_events_proves_nothing(busy_site: Site, tmp_path: Path) -> None:
    empty = tmp_path / "chain.jsonl"
    empty.touch()
    done = busy_site.run("custody", "verify", "--file", empty, "--json")
    assert done.returncode == 1
    assert [f["code"] for f in json.loads(done.stdout)["findings"]] == ["chain-gap"]


def test_a_tampered_catalogue_is_not_exported(busy_site: Site, tmp_path: Path) -> None:
    sql(busy_site, "UPDATE custody SET actor = X'00FF' WHERE seq = 4")
    done = busy_site.run("custody", "export", "--out", tmp_path / "chain.jsonl")
    assert done.returncode == 5
    assert "event 4" in done.stderr
    assert not (tmp_path / "chain.jsonl").exists()


# --- closed streams -----------------------------------------------------------------------------------------------------


def _closed(site: Site, streams: str, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "mediad.cli.main", "-c", str(site.config_file), *map(str, arguments)]
    shell = ["sh", "-c", f'exec "$@" {streams}', "sh", *command]
    return subprocess.run(shell, capture_output=True, text=True, timeout=120, check=False)


def test_a_closed_output_changes_neither_work_nor_exit_code(tmp_path: Path) -> None:
    site = make_site(tmp_path / "station")
    card = make_card(tmp_path / "card", {"a.mp4": b"abc"})
    done = _closed(site, ">&-", "ingest", card)
    assert (done.returncode, "Traceback" in done.stderr, "fault" in done.stderr) == (0, False, False), done.stderr
    assert _closed(site, ">&- 2>&-", "ingest", card).returncode == 0
    assert _closed(site, "<&- >&- 2>&-", "recordings", "--json").returncode == 0
    assert _closed(site, "2>&-", "show", "ast-none").returncode == 3
    assert json.loads(_closed(site, "2>&-", "recordings", "--json").stdout)[0]["kind"] == "video"


def test_a_file_never_gets_the_number_of_a_closed_output(tmp_path: Path) -> None:
    """Else what a library prints would stand in the catalogue."""
    code = (
        "from mediad.cli import common; common.use_closed_streams(); import os;"
        f"fd = os.open({str(tmp_path / 'x')!r}, os.O_CREAT); raise SystemExit(0 if fd > 2 else 1)"
    )
    done = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", code], check=False)
    assert done.returncode == 0


# --- databases that are not built in ------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["postgresql://db/mediad", "oracle+nosuch://db/mediad"])
def test_a_database_without_its_driver_is_a_configuration_error(tmp_path: Path, url: str) -> None:
    site = make_site(tmp_path / "station", more=f'[catalog]\nurl = "{url}"')
    text = site.config_file.read_text(encoding="utf-8")
    site.config_file.write_text(text.replace('id = "test-01"', 'id = "test-01"\nstate = "var"'), encoding="utf-8")
    for arguments in (("status",), ("ingest", tmp_path), ("catalog", "upgrade")):
        done = site.run(*arguments)
        assert (done.returncode, "at fault" in done.stderr) == (2, False), done.stderr
        assert "only SQLite works yet" in done.stderr
