"""What others rely on: the rooms of the house, the JSON of the commands, the exit codes, the custody log's form, and that
nothing deletes what was admitted. On real stations in temporary folders, by the program itself."""

import ast
import io
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from mediad.catalog import tables
from mediad.catalog.record import KINDS
from mediad.cli import main as program
from mediad.cli.progress import _Plain
from mediad.wiring.docking import dock_path
from tests.support import Site, make_card, make_site, noise, sha256

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src/mediad"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A station that has docked a card with one file of each outcome that a readable card can give."""
    root = tmp_path_factory.mktemp("contracts")
    card = make_card(
        root / "card",
        {
            "DCIM/8888888_000000_20261101101010_0001IMP.mp4": b"\0\0\0\x18ftypmp42" + noise(9_000, 1),
            "DCIM/copy.jpg": b"\xff\xd8\xff" + noise(5_000, 2),
            "DCIM/copy of it.jpg": b"\xff\xd8\xff" + noise(5_000, 2),
            "note.txt": b"",
        },
    )
    (card / "link").symlink_to("note.txt")
    site = make_site(root / "station", more="[devices]\nprofiles = []")
    site.ingest_json(card)
    return site


def called(site: Site, *arguments: str) -> tuple[int, str, str]:
    """The program in this process, which saves the time that Python needs to start: exit code, output, errors."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["mediad", "--config", str(site.config_file), *arguments])
        with pytest.raises(SystemExit) as ended:
            program.main()
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


def answer(site: Site, *arguments: str) -> Any:
    code, out, err = called(site, *arguments, "--json")
    assert code == 0, (out[-1000:], err[-2000:])
    return json.loads(out)


# --- the house --------------------------------------------------------------------------------------------------------


def test_imports_go_only_downwards() -> None:
    """The contracts of import-linter in pyproject.toml; each says in its name why."""
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


TAKES_AWAY = {"unlink", "rmtree", "rmdir", "remove", "removedirs", "ftruncate", "truncate"}
MAY_TAKE_AWAY = {
    "cli/audit.py:export": "a file that this command had begun",
    "catalog/db.py:migrate": "what a killed creation of a catalogue left",
    "catalog/swap.py:discard": "a catalogue that a rebuild did not finish",
    "edges/board.py:Board._write": "the slot board, when it cannot be replaced",
    "edges/derived.py:_remove": "previews, and what is being made of them",
    "edges/files.py:_nameless": "its own temporary file",
    "edges/staged.py:StagedBatch.drop": "a file of a batch in staging",
    "edges/staged.py:StagedBatch.seal": "an earlier sidecar in staging",
    "edges/staged.py:StagedBatch.discard": "a batch in staging",
    "edges/previews.py:Previews.remove": "the preview of a recording",
    "edges/step.py:_clear": "pieces of a preview in its scratch folder",
    "edges/vault.py:LocalVault.probe_medium": "its own probe in staging",
    "edges/vault.py:LocalVault.check_writable": "its own probe in staging",
    "edges/vault.py:LocalVault.clear_staging": "a dead process's staging",
    "parsers/recover.py:recover": "a stream in its output folder in which nothing was found",
    "stages/preview.py:run": "the preview of a recording that is part of another one now",
    "wiring/derive.py:_only_one": "lock files of workers that are dead",
    "wiring/derive.py:_named": "a lock file",
    "wiring/station.py:Station.finish_open_work": "a lock file",
    "wiring/station.py:Station._held": "a lock file",
}


def test_nothing_deletes_what_was_admitted() -> None:
    """Every place that could take a file away is known, and none of them can reach originals, records or the log."""
    found = set()
    for file in sorted(SRC.rglob("*.py")):
        for name, function in functions(ast.parse(file.read_text(encoding="utf-8"))):
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in TAKES_AWAY:
                    on_a_list = ast.unparse(node.func.value) == "self._names"
                    found |= set() if on_a_list else {f"{file.relative_to(SRC)}:{name}"}
    assert found == MAY_TAKE_AWAY.keys()


def functions(tree: ast.Module) -> list[tuple[str, ast.FunctionDef]]:
    found = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found.append((node.name, node))
        elif isinstance(node, ast.ClassDef):
            found += [(f"{node.name}.{n.name}", n) for n in node.body if isinstance(n, ast.FunctionDef)]
    return found


def test_nothing_stands_in_a_room_that_nobody_uses() -> None:
    """What only a test or a benchmark calls is no part of the program, and what it shows of itself shows nothing of that."""
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in sorted(SRC.rglob("*.py"))}
    used = {each for tree in trees.values() for each in named_elsewhere(tree)}
    unused = []
    for file, tree in trees.items():
        module = "mediad." + file.relative_to(SRC).with_suffix("").as_posix().replace("/", ".")
        here = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        if module.split(".")[1] in ("catalog", "edges", "model", "stages", "wiring") and "migrations" not in module:
            own = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
            unused += [f"{module}:{name}" for name in own if name not in here and (module, name) not in used]
    assert unused == []


def named_elsewhere(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Modules of the program and names in them that a file imports, or asks of a module that it has imported."""
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for each in node.names:
                modules[each.asname or each.name] = f"{node.module}.{each.name}"
                yield node.module, each.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            yield modules[node.value.id], node.attr


MAY_KNOW_OF_PREVIEWS = {"edges/derived.py", "model/layout.py"}
MAY_USE_PREVIEWS = {"edges/previews.py", "wiring/derive.py", "wiring/media.py"}


def test_nothing_but_the_makers_of_previews_knows_where_they_lie() -> None:
    """Neither ingest, nor auditor, nor rebuild can be misled by what lies there: a vault knows what is its own, and this is not."""
    knows, uses = set(), set()
    for file in sorted(SRC.rglob("*.py")):
        name = file.relative_to(SRC).as_posix()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            path = isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("derived/")
            if path or (isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node).endswith("DERIVED")):
                knows.add(name)
            elif isinstance(node, ast.ImportFrom) and node.module == "mediad.edges.derived":
                uses.add(name)
            elif (
                isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and "'derived'" in ast.unparse(node.right)
            ):
                knows.add(name)
    assert knows == MAY_KNOW_OF_PREVIEWS
    assert uses == MAY_USE_PREVIEWS


def test_previews_that_come_and_go_change_no_result(tmp_path: Path) -> None:
    """The whole folder is removed and put back again and again, while one docks, audits and rebuilds; the same is done beside it
    at a station where there never was any. Files in it are called as originals are, and one is an original's very bytes."""
    cards = [
        make_card(
            tmp_path / f"card-{n}",
            {f"DCIM/{n}-{i}.mp4": b"\0\0\0\x18ftypmp42" + noise(40_000, 100 * n + i) for i in range(40)},
        )
        for n in range(2)
    ]
    told, turns = [], 0
    for name in ("with", "without"):
        site = make_site(tmp_path / name)
        site.ingest_json(cards[0])
        over = threading.Event()
        folder = site.vault / "derived"

        def come_and_go(folder: Path = folder, over: threading.Event = over) -> None:
            nonlocal turns
            while not over.is_set():
                for n in range(8):
                    inside = folder / f"rec-{'abcdefgh'[n] * 26}"
                    inside.mkdir(parents=True)
                    shutil.copy(cards[n % 2] / f"DCIM/{n % 2}-{n}.mp4", inside / "proxy.mp4")
                    (inside / "record.json").write_text("{}")
                shutil.rmtree(folder)
                turns += 1

        with ThreadPoolExecutor(1) as pool:
            going = pool.submit(come_and_go) if name == "with" else None
            try:
                seen = []
                for command in (
                    ("ingest", cards[1]),
                    ("fsck",),
                    ("rebuild", "--replace"),
                    ("fsck",),
                    ("ingest", cards[0]),
                ):
                    before = turns
                    done = site.run(*command, "--json")
                    assert going is None or turns > before, "it went on beside it"
                    seen.append((done.returncode, without_names(json.loads(done.stdout))))
            finally:
                over.set()
            if going is not None:
                going.result()
        told.append(seen)
    assert told[0] == told[1]
    assert [code for code, _ in told[0]] == [0] * 5


def without_names(value: Any) -> Any:
    """An answer without what is another one each time: ids, times, paths and hashes of records."""
    if isinstance(value, dict):
        return {k: without_names(v) for k, v in value.items() if not NAMED.search(k)}
    if isinstance(value, list):
        return [without_names(v) for v in value]
    return re.sub(r"[a-z]{3}-[a-z2-7]{26}|" + r"/tmp/\S+", "x", value) if isinstance(value, str) else value


NAMED = re.compile("docking$|asset|seconds|_at$|key$|handover|path_b64|^path$|replaced|recorder|source")


# --- JSON -------------------------------------------------------------------------------------------------------------


def test_ingest_tells_its_outcome_in_the_fields_of_the_contract(tmp_path: Path) -> None:
    site = make_site(tmp_path / "station", more="[devices]\nprofiles = []")
    card = make_card(tmp_path / "card", {"a.mp4": noise(4_000, 1), "twin.mp4": noise(4_000, 1), b"\xff.jpg": b"x"})
    (card / "link").symlink_to("a.mp4")
    told = site.ingest_json(card)
    assert told.keys() >= {"docking", "recorder", "new", "sightings", "skipped", "failed", "bytes", "files"}
    assert (told["new"], told["sightings"], told["skipped"], told["failed"]) == (2, 1, 1, 0)
    assert told["bytes"] == 4_001
    for file in told["files"]:
        assert file.keys() >= {"path", "path_b64", "size", "sha256", "asset", "outcome", "why"}
    outcomes = {f["path"]: f["outcome"] for f in told["files"]}
    assert outcomes["link"] == "rejected"
    assert outcomes[r"\xff.jpg"] == "stored"
    assert sorted([outcomes["a.mp4"], outcomes["twin.mp4"]]) == ["sighting", "stored"]
    digests = {f["path"]: f["sha256"] for f in told["files"]}
    assert digests["a.mp4"] == digests["twin.mp4"] == sha256(noise(4_000, 1))
    again = site.ingest_json(card)
    assert (again["new"], again["sightings"], again["skipped"], again["bytes"]) == (0, 0, 4, 0)
    assert {f["outcome"] for f in again["files"]} == {"known", "rejected"}


def test_recordings_are_listed_in_the_fields_of_the_contract(site: Site) -> None:
    listed = answer(site, "recordings")
    assert len(listed) == 3
    for recording in listed:
        assert recording.keys() >= {
            "id", "kind", "started_at", "ended_at", "recorder", "officer", "officers", "channel", "case", "important",
            "assets", "deadline",
        }  # fmt: skip
        assert recording["id"].startswith("rec-")
        assert all(a.startswith("ast-") for a in recording["assets"])
        assert re.search(r"[+-]\d\d:\d\d$", recording["started_at"]), "RFC 3339 with offset"
        assert isinstance(recording["officers"], list)
    assert sorted(r["kind"] for r in listed) == ["data", "photo", "video"]


def test_an_asset_is_shown_in_the_fields_of_the_contract(site: Site) -> None:
    (video,) = [r for r in answer(site, "recordings") if r["kind"] == "video"]
    shown = answer(site, "show", video["assets"][0])
    assert shown.keys() >= {"id", "sha256", "size", "original_path", "captured", "probe", "replicas"}
    (replica,) = shown["replicas"]
    assert replica.keys() >= {"vault", "key", "method", "verified_at"}
    assert replica["method"] in ("direct", "evicted", "get")
    assert sha256((site.vault / replica["key"]).read_bytes()) == shown["sha256"]
    assert answer(site, "show", video["id"])["assets"] == video["assets"]


@pytest.mark.parametrize("command", [("fsck",), ("custody", "verify")])
def test_the_auditor_answers_in_the_fields_of_the_contract(site: Site, command: tuple[str, ...]) -> None:
    told = answer(site, *command)
    assert told.keys() >= {"checked", "findings"}
    assert told["findings"] == []
    assert told["checked"] > 0


def documented(heading: str) -> str:
    """A section of docs/json.md."""
    body = (ROOT / "docs/json.md").read_text(encoding="utf-8")
    return re.split(r"(?m)^##+ ", body.split(f"### {heading}", 1)[1])[0]


def keys_below(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {k for v in value.values() for k in keys_below(v)}
    return {k for v in value for k in keys_below(v)} if isinstance(value, list) else set()


@pytest.mark.parametrize(
    ("heading", "pattern"),
    [("Hand-over record", "handovers/*/*/*/*/record.json"), ("Sidecar", "originals/*/*/*/*/*/record.json")],
)
def test_every_field_of_a_record_is_documented(site: Site, heading: str, pattern: str) -> None:
    files = list(site.vault.glob(pattern))
    assert files
    for file in files:
        for key in keys_below(json.loads(file.read_bytes())):
            assert re.search(rf"\b{key}\b", documented(heading)), f"{heading}: {key}"


def test_every_field_that_a_command_prints_is_documented(site: Site) -> None:
    (docking,) = answer(site, "handover", "list")
    asset = answer(site, "recordings")[0]["assets"][0]
    body = (ROOT / "docs/json.md").read_text(encoding="utf-8")
    for command in [
        ("recordings",), ("show", asset), ("show", docking["id"]), ("status",), ("vault", "list"), ("slots",),
        ("handover", "list"), ("fsck",),
    ]:  # fmt: skip
        printed = answer(site, *command)
        printed.pop("counts", None) if isinstance(printed, dict) else None
        for key in keys_below(printed):
            assert re.search(rf"\b{key}\b", body), f"{command}: {key}"


# --- the custody log --------------------------------------------------------------------------------------------------


def test_the_custody_table_is_the_only_one_with_prev_and_hash(site: Site) -> None:
    names = [r[0] for r in site.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    columns = {name: {r[1] for r in site.rows(f'PRAGMA table_info("{name}")')} for name in names}
    assert [name for name, found in columns.items() if {"prev", "hash"} <= found] == ["custody"]
    assert [t.name for t in tables.metadata.sorted_tables if {"prev", "hash"} <= {c.name for c in t.columns}] == [
        "custody"
    ]


def test_every_kind_of_event_is_documented() -> None:
    assert set(re.findall(r"(?m)^\| `([a-z]+\.[a-z]+)` \|", documented("Custody segment"))) >= KINDS


def test_events_of_a_real_log_have_the_fields_that_are_documented(site: Site) -> None:
    told = {
        kind: row
        for row in documented("Custody segment").splitlines()
        for kind in re.findall(r"^\| `([a-z]+\.[a-z]+)` \|", row)
    }
    sidecar = documented("Sidecar")
    for file in (site.vault / "custody/test-01").iterdir():
        for line in file.read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            assert event.keys() == {"actor", "at", "detail", "hash", "kind", "prev", "seq", "station", "subject"}
            row = told[event["kind"]] + (sidecar if event["kind"] == "asset.stored" else "")
            for key in event["detail"]:
                assert f"`{key}`" in row, f"{event['kind']}: {key}"


def test_the_documented_way_of_checking_a_chain_by_hand_works_and_notices_a_change(site: Site, tmp_path: Path) -> None:
    """A few lines of Python from docs/architecture.md, without mediad."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"(?ms)^```python\n(.*?)^```", page)
    segments = tmp_path / "custody"
    segments.mkdir()
    for file in (site.vault / "custody/test-01").iterdir():
        (segments / file.name).write_bytes(file.read_bytes())

    def check() -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-I", "-c", code, str(segments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    ((count, head),) = site.rows("SELECT seq, hash FROM custody ORDER BY seq DESC LIMIT 1")
    assert check().stdout == f"{count} events, head {head}\n"
    last = max(segments.iterdir())
    last.write_bytes(last.read_bytes().replace(b'"complete"', b'"Complete"', 1))
    assert "changed" in check().stderr


# --- exit codes -------------------------------------------------------------------------------------------------------


def test_exit_code_1_means_that_a_file_could_not_be_taken(tmp_path: Path) -> None:
    site = make_site(tmp_path / "station", more="max_files = 1")
    told = site.ingest_json(make_card(tmp_path / "card", {"a": b"a", "b": b"b"}), expect=1)
    assert told["state"] == "incomplete"
    assert told["failed"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("show",),
        ("recordings", "--nonsense"),
        ("ingest", ".", "--channel", "radio"),
        ("recorder", "add", " "),
    ],
)
def test_exit_code_2_means_bad_usage(site: Site, arguments: tuple[str, ...]) -> None:
    assert called(site, *arguments)[0] == 2


@pytest.mark.parametrize("more", ["max_fles = 1", "sm3 = 'perhaps'", "]"])
def test_exit_code_2_means_a_wrong_configuration_and_the_sentence_names_it(tmp_path: Path, more: str) -> None:
    site = make_site(tmp_path, more=more)
    code, out, err = called(site, "config", "check")
    assert code == 2
    assert str(site.config_file) in err
    assert "->" in err
    assert out == ""


def test_exit_code_3_means_not_found(site: Site) -> None:
    code, out, err = called(site, "show", "ast-aaaaaaaaaaaaaaaaaaaaaaaaaa")
    assert code == 3
    assert "->" in err
    assert out == ""


def test_exit_code_4_means_refused(tmp_path: Path) -> None:
    """Another station's catalogue is not written to."""
    site = make_site(tmp_path / "station")
    card = make_card(tmp_path / "card", {"a": b"a"})
    site.ingest(card)
    site.config_file.write_text(site.config_file.read_text().replace("test-01", "test-02"))
    assert site.run("ingest", card).returncode == 4


def test_exit_code_5_means_that_a_vault_is_not_there(tmp_path: Path) -> None:
    site = make_site(tmp_path / "station")
    card = make_card(tmp_path / "card", {"a": b"a"})
    site.ingest(card)
    (site.vault / ".mediad-vault.json").unlink()
    before = sorted(site.vault.rglob("*"))
    assert site.run("ingest", make_card(tmp_path / "card", {"b": b"b"})).returncode == 5
    assert sorted(site.vault.rglob("*")) == before


def test_exit_code_6_means_that_somebody_else_docks_this_source(tmp_path: Path) -> None:
    site = make_site(tmp_path / "station")
    card = make_card(tmp_path / "card", {"a": b"a"})
    codes = []

    class Beside(_Plain):
        """Starts a second ingest of the card while the first one is in the middle of it."""

        def begin(self, files: int, size: int) -> None:
            super().begin(files, size)
            codes.append(site.run("ingest", card).returncode)

    with closing(site.open()) as station:
        assert dock_path(station, card, Beside("first")).counts.new == 1
    assert codes == [6]


def test_a_missing_catalogue_is_not_made_anew_over_a_custody_log(tmp_path: Path) -> None:
    site = make_site(tmp_path / "station")
    card = make_card(tmp_path / "card", {"a": b"a"})
    site.ingest(card)
    for file in site.catalogue.parent.glob("catalog.db*"):
        file.unlink()
    done = site.run("ingest", card)
    assert done.returncode == 5
    assert "mediad rebuild" in done.stderr
    assert not site.catalogue.exists()
