"""The documents are held against the code: what they name exists, and what exists is named."""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import mediad
from mediad import deriver, errors
from mediad.cli import main as program
from mediad.config import Config
from mediad.edges import profiles
from mediad.edges.encoder import JOINED_AT_ONCE
from mediad.fsck import CODES
from mediad.model import patterns
from mediad.model.board import WORDS
from mediad.model.preview import MAX_SEGMENTS
from mediad.model.profile import Match, Profile, Unlock
from mediad.session import Stopping
from mediad.telemetry import METRICS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SRC = ROOT / "src/mediad"


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def rows(page: str, heading: str = "") -> Iterator[list[str]]:
    """Cells of the table rows of a page whose first cell is code; with ``heading`` only of that section."""
    body = text(page)
    if heading:
        body = re.split(r"(?m)^##+ ", body.split(f"\n## {heading}\n", 1)[1])[0]
    for line in body.splitlines():
        if re.match(r"\| `[^`]+` \|", line):
            cells = [c.strip() for c in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
            yield [cells[0].strip("`"), *cells[1:]]


# --- settings ---------------------------------------------------------------------------------------------------------


def settings(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting of the models, with its default (PydanticUndefined where it must be given)."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        inner = [a for a in (kind, *getattr(kind, "__args__", ())) if isinstance(a, type) and issubclass(a, BaseModel)]
        if inner:
            yield from settings(inner[0], f"{prefix}{name}.")
        else:
            yield prefix + name, field.default


def as_toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case tuple():
            return "[" + ", ".join(as_toml(v) for v in value) + "]"
        case dict():
            return "{" + ", ".join(f"{k} = {as_toml(v)}" for k, v in value.items()) + "}"
        case _:
            return f'"{value}"'


def test_every_setting_is_documented_with_its_default_and_no_other_is() -> None:
    documented = {row[0]: row[2] for row in rows("docs/settings.md")}
    assert documented.keys() == dict(settings()).keys()
    for key, default in settings():
        if default is PydanticUndefined:
            assert documented[key] == "required", key
        elif default is None:
            assert documented[key] not in ("", "required"), f"{key}: say what the default comes to"
        else:
            assert documented[key] == f"`{as_toml(default)}`", key


# --- metrics ----------------------------------------------------------------------------------------------------------


def exposed(name: str, kind: str) -> str:
    return name + {"counter": "_total", "info": "_info"}.get(kind, "")


def test_every_metric_is_documented_with_kind_and_labels_and_no_other_is() -> None:
    documented = {row[0]: row for row in rows("docs/metrics.md")}
    wanted = {exposed(name, kind): (kind, labels) for name, (kind, _, labels) in METRICS.items()}
    assert {n for n in documented if n.startswith("mediad_")} == wanted.keys()
    for name, (kind, labels) in wanted.items():
        assert documented[name][1] == kind, name
        told = re.sub(r"\([^)]*\)", "", documented[name][2])
        assert tuple(re.findall(r"`(\w+)`", told)) == labels, name


def test_alerts_name_metrics_that_exist() -> None:
    known = {exposed(name, kind) for name, (kind, _, _) in METRICS.items()}
    assert set(re.findall(r"\bmediad_\w+", text("docs/metrics.md"))) <= known


# --- errors -----------------------------------------------------------------------------------------------------------


def sources(folder: Path = SRC) -> Iterator[tuple[Path, ast.Module]]:
    for file in sorted(folder.rglob("*.py")):
        yield file, ast.parse(file.read_text(encoding="utf-8"), str(file))


def error_classes() -> list[type[errors.MediadError]]:
    found = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.MediadError)]
    return [*found, Stopping]


def raised_codes() -> Iterator[tuple[str, type[errors.MediadError]]]:
    """Codes given where an error is raised, literally or by a parameter ``code`` of the function around it."""
    classes = {c.__name__: c for c in error_classes()}
    for _, tree in sources():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in classes):
                continue
            for keyword in node.keywords:
                if keyword.arg == "code" and node.func.id != "Refused":  # those have a table of their own
                    literal = isinstance(keyword.value, ast.Constant)
                    for code in [ast.literal_eval(keyword.value)] if literal else handed_in(tree):
                        yield code, classes[node.func.id]


def handed_in(tree: ast.Module) -> set[str]:
    """Codes that a module hands on: the chain's (model/custody.py), and literals of the calls of its own ``_broken``."""
    chain = ast.parse((SRC / "model/custody.py").read_text(encoding="utf-8"))
    found = set()
    for node in [*ast.walk(chain), *ast.walk(tree)]:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Broken", "_broken"):
            found |= {a.value for a in node.args[1:] if isinstance(a, ast.Constant)}
        elif isinstance(node, ast.FunctionDef) and node.name == "_broken":
            found |= {d.value for d in node.args.defaults if isinstance(d, ast.Constant)}
    return found


def test_every_error_code_is_documented_with_exit_code_and_retry_class_and_no_other_is() -> None:
    wanted = {c.default_code: (program.exit_code(c("")), c.retry) for c in error_classes()}
    wanted |= {code: (program.exit_code(c("")), c.retry) for code, c in raised_codes()}
    documented = {row[0]: (int(row[1]), row[2]) for row in rows("docs/errors.md", "Errors")}
    assert documented == wanted


def refusals() -> set[str]:
    """Codes of what is refused: literal ones, and those of problems and bad lines."""
    found = set()
    for _, tree in sources():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            match ast.unparse(node.func):
                case "Refused":
                    told = [k.value for k in node.keywords if k.arg == "code"]
                case "Problem" | "Bad":
                    told = node.args[:1]
                case "BadLine":
                    told = node.args[1:2]
                case _:
                    continue
            found |= {
                each.value for value in told for each in ast.walk(value)
                if isinstance(each, ast.Constant) and isinstance(each.value, str)
            }  # fmt: skip
    return found


def test_every_refusal_of_an_entry_or_act_is_documented_and_no_other_is() -> None:
    documented = {row[0] for row in rows("docs/errors.md", "Refusals")}
    assert documented == refusals()


def test_all_error_classes_are_known_to_these_tests() -> None:
    """A class outside errors.py would escape them."""
    defined = {
        node.name
        for file, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any("default_code" in ast.dump(n) for n in node.body)
    }
    assert defined == {c.__name__ for c in error_classes()}


def test_every_exit_code_is_documented() -> None:
    documented = set(re.findall(r"(?m)^\| (\d) \|", text("docs/errors.md")))
    used = {0, 1} | {code for _, code in program.EXIT_CODES}
    for _, tree in sources(SRC / "cli"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "sys.exit":
                used |= {a.value for a in node.args if isinstance(a, ast.Constant)}
    assert documented == {str(code) for code in used}


def test_findings_of_hand_over_records_and_alarms_are_documented() -> None:
    findings, alarms = set(), set()
    for file, tree in sources():
        if file.parent.name == "fsck":
            continue  # their codes are those of docs/fsck.md
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func) == "Finding"
                and isinstance(node.args[0], ast.Constant)
                and file.name != "rebuild.py"  # what it tells are codes of docs/fsck.md, and alarms
            ):
                findings.add(node.args[0].value)
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".raise_alarm"):
                alarms.add(ast.literal_eval(node.args[0]))
            elif isinstance(node, ast.Dict) and ("stages" in file.parts or file.name == "facts.py"):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "code" and isinstance(value, ast.Constant):
                        alarms.add(value.value)
    assert {row[0] for row in rows("docs/errors.md", "Findings in a hand-over record")} >= findings
    assert {row[0] for row in rows("docs/errors.md", "Alarms")} == alarms


def codes(names: set[str], *places: str) -> set[str]:
    """First arguments of calls of these names in some modules or folders: literals, one of two, or what a variable is set to."""

    def literals(tree: ast.Module, value: ast.expr) -> Iterator[str]:
        if isinstance(value, ast.Constant):
            yield value.value
        elif isinstance(value, ast.IfExp):
            yield from (*literals(tree, value.body), *literals(tree, value.orelse))
        elif isinstance(value, ast.Name):
            for node in ast.walk(tree):
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == value.id:
                    yield from literals(tree, node.value)

    return {
        code
        for file, tree in sources()
        if any(file.relative_to(SRC).as_posix().startswith(place) for place in places)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in names and node.args
        for code in literals(tree, node.args[0])
    }


def test_every_remark_on_files_times_and_takes_is_documented_and_no_other_is() -> None:
    documented = {row[0] for row in rows("docs/derive.md", "Remark codes")}
    assert documented == codes({"Remark"}, "parsers/", "model/", "stages/", "edges/media.py")


def test_every_remark_on_previews_and_every_reason_for_none_is_documented_and_no_other_is() -> None:
    documented = {row[0] for row in rows("docs/derive.md", "Previews") if "." not in row[0]}
    said_by_thumbs = {
        value.value
        for file, tree in sources(SRC / "parsers")
        if file.name == "thumbs.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == "code" and isinstance(value, ast.Constant)
    }
    why_none = codes({"Spoilt", "PreviewFailed", "Unplayable"}, "edges/", "model/preview.py", "stages/", "wiring/")
    remarks = codes(
        {"Remark"},
        "edges/encoder.py",
        "edges/photos.py",
        "edges/step.py",
        "edges/proof.py",
        "edges/previews.py",
        "wiring/",
    )
    assert said_by_thumbs
    assert documented == why_none | remarks | said_by_thumbs


def test_how_much_comes_together_is_documented() -> None:
    """Files of one sandbox, and segments of one take."""
    assert deriver.PROBES == deriver.PHOTOS
    assert f"share a sandbox, up to {deriver.PROBES};" in text("docs/derive.md")
    assert text("docs/threats.md").count(f"({deriver.PROBES} at most, of one docking)") == 2
    (row,) = [row for row in rows("docs/derive.md", "Previews") if row[0] == "too-many-segments"]
    assert f"more than {MAX_SEGMENTS:,} segments" in row[1]
    assert f"one sandbox ({JOINED_AT_ONCE})" in text("docs/derive.md")


def test_slot_states_are_documented_in_the_words_of_the_screen() -> None:
    documented = {row[0]: row[1] for row in rows("docs/errors.md", "Slot states")}
    assert documented == {state: words[0] for state, words in WORDS.items()}
    for state, (chinese, _) in WORDS.items():
        for page in ("README.md", "README.zh.md"):
            assert chinese.split()[0] in text(page), f"{page} does not explain {state}"


# --- commands ---------------------------------------------------------------------------------------------------------


@functools.cache
def commands() -> dict[str, Any]:
    """Every command that can be run, by its full name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["mediad", "version"])
        with pytest.raises(SystemExit):
            program.main()
    found: dict[str, Any] = {}

    def walk(command: Any, name: str) -> None:
        children = getattr(command, "commands", {})
        if not children or getattr(command, "invoke_without_command", False):
            found[name] = command
        for child, inner in children.items():
            walk(inner, f"{name} {child}")

    walk(typer.main.get_command(program.app), "mediad")
    return found


def sections() -> dict[str, str]:
    parts = re.split(r"(?m)^### `(mediad[^`]*)`\n", text("docs/cli.md"))
    return {name: re.split(r"(?m)^## ", body)[0] for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def test_every_command_has_its_section_and_no_other_has() -> None:
    assert sections().keys() == commands().keys()


def test_every_option_stands_in_its_commands_section_and_no_other_does() -> None:
    for name, command in commands().items():
        options = {o for p in command.params for o in p.opts if o.startswith("--")}
        body = sections()[name]
        assert set(re.findall(r"(?<![\w-])--[a-z-]+", body)) - {"--help"} == options - {"--help"}, name


def test_every_command_and_option_explains_itself() -> None:
    for name, command in commands().items():
        assert command.help, name
        for p in command.params:
            if any(o.startswith("--") and o != "--limit" for o in p.opts):
                assert p.help, f"{name} {p.opts}"


def test_commands_that_the_documents_show_exist() -> None:
    known = commands().keys()
    groups = {name.rsplit(" ", 1)[0] for name in known}
    for page in pages():
        for shown in re.findall(r"`(?:sudo -u mediad )?mediad ([a-z][a-z ]*[a-z])", text(page)):
            words = shown.split()
            names = {" ".join(["mediad", *words[:n]]) for n in (1, 2)}
            assert names & (known | groups), f"{page}: mediad {shown}"


# --- profiles ---------------------------------------------------------------------------------------------------------


def test_every_key_of_a_profile_is_documented_with_its_default_and_no_other_is() -> None:
    keys = {f"{section}.{key}" if section else key for section, form in profiles._FORM.items() for key in form}
    documented = {row[0]: row[2] for row in rows("docs/profiles.md")}
    assert documented.keys() == keys
    p, m, u = Profile("x"), Match(), Unlock(())
    defaults = {
        "title": p.title, "attach": p.attach, "rank": p.rank, "settle_seconds": p.settle_seconds,
        **{f"match.{k}": getattr(m, k) for k in profiles._FORM["match"]},
        "unlock.secret_file": u.secret_file, "unlock.timeout_seconds": u.timeout_seconds,
        "layout.include": p.include, "layout.exclude": p.exclude, "names.patterns": p.names,
        "names.zone": p.name_zone, **{f"time.{k}": getattr(p.time, k) for k in profiles._FORM["time"]},
        **{f"takes.{k}": getattr(p.takes, k) for k in profiles._FORM["takes"]},
        "clock.said": p.clock_said, "clock.zone": p.clock_zone, "marks.important": p.important,
        "sidecars.suffixes": p.sidecars,
    }  # fmt: skip
    for key in keys:
        if key in defaults:
            assert documented[key] == f"`{as_toml(defaults[key])}`", key
        else:
            assert documented[key].startswith("required"), key


def test_what_a_pattern_may_be_is_documented() -> None:
    table = text("docs/profiles.md").split("| Group | What it is |\n|---|---|\n")[1].split("\n\n")[0]
    groups = [name for row in table.splitlines() for name in row.split("|")[1].strip().split(", ")]
    assert groups == list(patterns.GROUPS)
    page = " ".join(text("docs/profiles.md").split())
    assert f"A path of more than {patterns.MAX_PATH} characters" in page
    assert f"In a pattern of at most {patterns.MAX_PATTERN:,} characters" in page


def test_shipped_profiles_are_named() -> None:
    for file in (ROOT / "config/recorders").glob("*.toml"):
        assert f"`{file.stem}`" in text("docs/profiles.md")


def test_the_profile_and_the_configurations_that_are_shown_are_right(tmp_path: Path) -> None:
    from mediad import config

    (shown,) = [b for b in blocks("docs/profiles.md", "toml") if "attach" in b]
    (tmp_path / "acme.toml").write_text(shown, encoding="utf-8")
    profiles.load_profile(tmp_path / "acme.toml")
    for page in ("README.md", "docs/settings.md"):
        minimal = blocks(page, "toml")[0]
        (tmp_path / "mediad.toml").write_text(minimal, encoding="utf-8")
        config.load(tmp_path / "mediad.toml", {})
    for folder in blocks("docs/settings.md", "toml")[1:]:
        (tmp_path / "mediad.toml").write_text(minimal + folder, encoding="utf-8")
        config.load(tmp_path / "mediad.toml", {})
    config.load(ROOT / "config/mediad.toml", {})


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", text(page))


# --- architecture -----------------------------------------------------------------------------------------------------


def defined(file: Path) -> set[str]:
    """Functions, classes and methods (``Class.method``) of a module."""
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{n.name}" for n in node.body if isinstance(n, ast.FunctionDef)}
    return found


def test_functions_and_tests_that_documents_name_exist() -> None:
    body = text("docs/architecture.md") + text("docs/deadlines.md")
    named = re.findall(r"`((?:\w+/)*\w+\.py):([A-Za-z_.]+)`", body)
    assert len(named) > 40
    for file, name in named:
        assert name in defined(SRC / file), f"{file}:{name}"
    tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", body)
    assert len(tests) > 10
    for file, name in tests:
        assert name in defined(ROOT / file), f"{file}::{name}"


def test_the_invariants_table_has_every_line_and_only_codes_that_fsck_knows() -> None:
    section = text("docs/architecture.md").split("\n## Invariants\n", 1)[1].split("\n## ", 1)[0]
    lines = [
        [c.strip() for c in line.strip("|").split("|")] for line in section.splitlines() if re.match(r"\| \d", line)
    ]
    assert [line[0] for line in lines] == [str(n) for n in range(1, 11)]
    for line in lines:
        assert set(re.findall(r"`([a-z-]+)`", line[3])) <= CODES.keys(), line[3]
        assert all(line[:3]), line


def test_every_room_has_its_line() -> None:
    section = text("docs/architecture.md").split("\n## Rooms", 1)[1].split("\n## ", 1)[0]
    for entry in SRC.iterdir():
        name = entry.stem.partition("_")[0]
        if name and not name.startswith((".", "py")) and (entry.suffix == ".py" or (entry / "__init__.py").exists()):
            assert f"`{name}`" in section, entry.name


@pytest.mark.parametrize("room", ["stages", "wiring"])
def test_the_line_of_a_room_says_what_each_file_in_it_is_for(room: str) -> None:
    (line,) = (line for line in text("docs/architecture.md").splitlines() if line.startswith(f"| `{room}` |"))
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]*)`", line))))
    assert {file.stem for file in (SRC / room).glob("*.py")} - {"__init__"} <= named


# --- every page -------------------------------------------------------------------------------------------------------


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def pages() -> list[str]:
    found = list(ROOT.glob("*.md")) + list(DOCS.glob("*.md")) + list((ROOT / "tests").rglob("*.md"))
    return sorted(str(p.relative_to(ROOT)) for p in found)


def anchors(page: Path) -> set[str]:
    """Anchors of the headings, as code hosts make them."""
    found = set()
    for heading in re.findall(r"(?m)^#+ (.+)$", page.read_text(encoding="utf-8")):
        plain = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
        found.add(plain.replace(" ", "-"))
    return found


def test_every_relative_link_leads_somewhere() -> None:
    for page in pages():
        body = re.sub(r"(?ms)^```.*?^```", "", text(page))
        for link in re.findall(r"\]\(([^)\s]+)\)", body):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (ROOT / page).parent / path if path else ROOT / page
            assert target.exists(), f"{page}: {link}"
            if anchor:
                assert anchor in anchors(target), f"{page}: {link}"


def test_the_changelog_tells_of_this_version() -> None:
    assert re.search(rf"(?m)^## {re.escape(mediad.__version__)}\b", text("CHANGELOG.md"))


def test_the_readme_opens_with_the_two_commands_and_make_knows_what_is_shown() -> None:
    first = blocks("README.md", "sh")[0].split("\n")
    assert first[:2] == ["make demo", "make test"]
    targets = set(re.findall(r"(?m)^([a-z-]+):", text("Makefile")))
    for page in pages():
        assert set(re.findall(r"`make\s+([a-z-]+)`", text(page))) <= targets, page


def test_every_page_can_be_found_from_the_readme() -> None:
    for page in DOCS.glob("*.md"):
        assert f"docs/{page.name}" in text("README.md"), page.name


def test_no_page_names_this_machine_and_no_file_an_index_of_packages() -> None:
    """Pins name no index, and nothing tracked says where it was written."""
    places = re.compile(
        rb"/(?:home|work|Users)/[a-z]\w*/|/tmp/[a-z]\w*\.md|pypi\.org|pythonhosted|--index-url|index-url *="
    )
    for file in tracked():
        if file != Path(__file__).resolve():
            found = places.search(file.read_bytes())
            assert found is None, f"{file.relative_to(ROOT)}: {found.group()!r}"
