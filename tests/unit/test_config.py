"""The configuration: what is wrong is said with file, key and value; nothing misspelt is silently nothing."""

import json
from pathlib import Path

import pytest

from mediad.config import DEFAULT_FILE, config_file, load
from mediad.errors import ConfigError
from tests.support import make_card, make_site

GOOD = """\
[unit]
name = "监督所"
[station]
id = "hq-01"
[[vault]]
name = "local"
path = "var/vault"
"""


def write(tmp_path: Path, text: str = GOOD, more: str = "") -> Path:
    file = tmp_path / "mediad.toml"
    file.write_text(text + more, encoding="utf-8")
    return file


def complaint(file: Path, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(file, environ or {})
    assert caught.value.hint
    return caught.value.message


def test_the_shortest_configuration_is_enough_and_its_paths_are_relative_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path)
    monkeypatch.chdir("/")
    config = load(file, {})
    assert config.vault[0].path == tmp_path / "var/vault"
    assert config.catalog.url == f"sqlite:///{tmp_path / 'var/catalog.db'}"
    assert config.state == tmp_path / "var"
    assert config.runtime == tmp_path / "var/run"
    assert config.unit.zone.key == "Asia/Shanghai"
    assert config.devices.profiles[0] == tmp_path / "recorders"
    assert load(file, {}) == config


def test_the_shortest_configuration_reads_the_names_of_recorders(tmp_path: Path) -> None:
    """Where the Debian package is not installed, the profiles within the program count: none but the built-in one would guess
    nothing of a name."""
    site = make_site(tmp_path / "station")
    card = make_card(tmp_path / "card", {"DCIM/100MEDIA/8888888_123456_20260920100000_0001.mp4": b"x"})
    site.ingest_json(card)
    (shown,) = json.loads(site.run("recordings", "--json").stdout)
    assert (shown["started_at"], shown["officer"]) == ("2026-09-20T10:00:00+08:00", "123456")


def test_a_folder_that_is_not_the_shipped_one_stays_what_it_is(tmp_path: Path) -> None:
    config = load(write(tmp_path, GOOD, '[devices]\nprofiles = ["none"]\n'), {})
    assert config.devices.profiles == (tmp_path / "none",)


def test_absolute_paths_stay_and_a_relative_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, GOOD.replace("var/vault", "/srv/vault"), '[catalog]\nurl = "sqlite:////srv/c.db"\n')
    monkeypatch.chdir(tmp_path)
    config = load(Path("mediad.toml"), {})
    assert config.vault[0].path == Path("/srv/vault")
    assert config.catalog.url == "sqlite:////srv/c.db"
    assert config.state == Path("/srv")


def test_a_loaded_configuration_cannot_be_changed(tmp_path: Path) -> None:
    config = load(write(tmp_path), {})
    with pytest.raises(ValueError, match="frozen"):
        config.ingest.sm3 = True


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace('name = "监督所"', ""), ["unit.name is missing"]),
        (GOOD.replace('name = "监督所"', 'name = ""'), ["unit.name = ''"]),
        (GOOD.replace('[station]\nid = "hq-01"', ""), ["station is missing"]),
        (GOOD.replace("hq-01", "../x"), ["station.id = '../x'", "letters, digits"]),
        (GOOD.replace("hq-01", "x" * 41), ["station.id", "40 characters"]),
        (GOOD.replace('path = "var/vault"', ""), ["vault.1.path is missing"]),
        (GOOD.split("[[vault]]")[0], ["vault is missing"]),
        (GOOD + '[[vault]]\nname = "b"\npath = "b"\nkind = "tape"\n', ["vault.2.kind = 'tape'"]),
        (GOOD + '[[vault]]\nname = "local"\npath = "b"\n', ["'local' is given twice"]),
        (GOOD + "[ingest]\nreserve_byte = 1\n", ["ingest.reserve_byte is no setting"]),
        (GOOD + "[ingest]\nreserve_bytes = -1\n", ["ingest.reserve_bytes = -1"]),
        (GOOD + "[ingest]\nreserve_percent = 51\n", ["ingest.reserve_percent = 51"]),
        (GOOD + "[ingest]\nmax_files = 0\n", ["ingest.max_files = 0"]),
        (GOOD + "[ingest]\nmax_files = 500001\n", ["ingest.max_files = 500001"]),
        (GOOD + '[ingest]\nsm3 = "perhaps"\n', ["ingest.sm3 = 'perhaps'"]),
        (GOOD + "[igest]\n", ["igest is no setting"]),
        (GOOD + '[http]\nlisten = "here"\n', ["http.listen = 'here'"]),
        (GOOD + '[http]\nlisten = "127.0.0.1:70000"\n', ["http.listen = '127.0.0.1:70000'"]),
        (GOOD + '[log]\nlevel = "loud"\n', ["log.level = 'loud'"]),
        (GOOD + '[devices]\nunknown = "burn"\n', ["devices.unknown = 'burn'"]),
        (GOOD + '[devices]\nhook = "beep"\n', ["devices.hook"]),
        (GOOD + '[[folder]]\nname = "a b"\npath = "x"\n', ["folder.1.name = 'a b'"]),
        (GOOD + '[[folder]]\nname = "a"\npath = "x"\nchannel = "radio"\n', ["folder.1.channel = 'radio'"]),
        (GOOD + '[catalog]\nurl = "sqlite://"\n', ["catalog.url = 'sqlite://'"]),
        (GOOD.replace("[unit]", '[unit]\ntimezone = "Mars/Base"'), ["unit.timezone = 'Mars/Base'", "time zone"]),
        (GOOD.replace("[unit]", '[unit]\ntimezone = "../../etc/passwd"'), ["unit.timezone"]),
        (GOOD.replace("hq-01", "hq-01."), ["station.id = 'hq-01.'", "name a folder"]),
        (GOOD.replace("hq-01", "hq_"), ["station.id = 'hq_'"]),
        (GOOD.replace("hq-01", "CON"), ["station.id = 'CON'", "reserved"]),
        (GOOD.replace("hq-01", "nul.1"), ["station.id = 'nul.1'"]),
        (GOOD.replace('"local"', '"local-"'), ["vault.1.name = 'local-'"]),
        (GOOD + '[[vault]]\nname = "LOCAL"\npath = "b"\n', ["'local' is given twice"]),
        (
            GOOD + '[[folder]]\nname = "a"\npath = "x"\n[[folder]]\nname = "A"\npath = "y"\n',
            ["'folder a' is given twice"],
        ),
        (GOOD.replace("var/vault", ""), ["vault.1.path = ''", "no path"]),
        (GOOD.replace("var/vault", " "), ["vault.1.path = ' '"]),
        (GOOD.replace("var/vault", "a\\u0000b"), ["vault.1.path"]),
        (GOOD + '[[folder]]\nname = "a"\npath = ""\n', ["folder.1.path = ''", "no path"]),
        (GOOD.replace('id = "hq-01"', 'id = "hq-01"\nstate = ""'), ["station.state = ''"]),
        (GOOD.replace('id = "hq-01"', 'id = "hq-01"\nruntime = ""'), ["station.runtime = ''"]),
        (GOOD + '[devices]\nprofiles = ["recorders", ""]\n', ["devices.profiles.2 = ''"]),
        (GOOD + '[devices]\nhook = [""]\n', ["devices.hook.1 = ''"]),
        *(
            (GOOD + f'[catalog]\nurl = "{url}"\n', [f"catalog.url = '{url}'"])
            for url in (
                "",
                "var/catalog.db",
                "sqlite:var/catalog.db",
                "sqlite:///",
                "sqlite:////",
                "sqlite:///:memory:",
                "://x",
                "sqlite:///var/",
                "sqlite:///c.db?mode=memory",
                "postgresql://",
            )
        ),
        (GOOD + '[[folder]]\nname = "a"\npath = "x"\nrescan_seconds = inf\n', ["folder.1.rescan_seconds = inf"]),
        (GOOD + '[[folder]]\nname = "a"\npath = "x"\nsettle_seconds = nan\n', ["folder.1.settle_seconds = nan"]),
        (GOOD + "[ingest]\nreserve_percent = nan\n", ["ingest.reserve_percent = nan"]),
        ("unit = 1\n" + GOOD.split("[station]")[1], ["unit = 1"]),
        ("[unit\n", ["is not TOML"]),
    ],
)
def test_what_is_wrong_is_said_with_file_key_and_value(tmp_path: Path, text: str, words: list[str]) -> None:
    file = write(tmp_path, text)
    said = complaint(file)
    for word in [str(file), *words]:
        assert word in said


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("var/vault", "lies inside vault local"),
        ("var/vault/originals", "lies inside vault local"),
        ("var", "contains vault local"),
        (".", "contains vault local"),
        ("/", "contains vault local"),
        ("var/run", "lies inside the folder of the slot board"),
        ("link/inner", "lies inside vault local"),
        ("elsewhere", "contains the catalogue"),
    ],
)
def test_a_watched_folder_never_holds_or_lies_in_what_mediad_writes(tmp_path: Path, path: str, words: str) -> None:
    """It would be taken again and again, each time with the copy made before. Links do not hide it."""
    (tmp_path / "var/vault/inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("var/vault")
    text = GOOD.replace('id = "hq-01"', 'id = "hq-01"\nstate = "var"')
    if path == "elsewhere":
        text += '[catalog]\nurl = "sqlite:///elsewhere/catalog.db"\n'
    said = complaint(write(tmp_path, text, f'[[folder]]\nname = "a"\npath = "{path}"\n'))
    assert "folder.1.path" in said
    assert words in said


@pytest.mark.parametrize("path", ["variety", "var/drop"])
def test_a_watched_folder_beside_them_is_fine(tmp_path: Path, path: str) -> None:
    """Also below the state folder, where many keep everything of a station together."""
    config = load(write(tmp_path, more=f'[[folder]]\nname = "a"\npath = "{path}"\n'), {})
    assert config.folder[0].path == tmp_path / path


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('[catalog]\nurl = "sqlite:///var/vault/catalog.db"\n', ["catalog.url", "vault.1.path"]),
        ('[[vault]]\nname = "b"\npath = "var/vault"\n', ["vault.1.path", "vault.2.path"]),
        ('[[vault]]\nname = "b"\npath = "var/vault/originals/b"\n', ["vault.2.path", "vault.1.path"]),
        ('[[vault]]\nname = "b"\npath = "var/run/b"\n', ["vault.2.path", "station.runtime"]),
        ('[[folder]]\nname = "a"\npath = "in"\n[[folder]]\nname = "b"\npath = "link"\n', ["folder.1.path", "folder.2.path"]),
        ('[[folder]]\nname = "a"\npath = "in"\n[[folder]]\nname = "b"\npath = "in/b"\n', ["folder.2.path", "folder.1.path"]),
    ],
)  # fmt: skip
def test_places_that_would_write_into_one_another_are_refused(tmp_path: Path, more: str, words: list[str]) -> None:
    """And two folders that would take the same files."""
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to("in")
    said = complaint(write(tmp_path, more=more))
    assert all(word in said for word in words)


@pytest.mark.parametrize("key", ["state", "runtime"])
def test_state_and_slot_board_are_not_kept_in_a_vault(tmp_path: Path, key: str) -> None:
    said = complaint(write(tmp_path, GOOD.replace('id = "hq-01"', f'id = "hq-01"\n{key} = "var/vault/originals"')))
    assert f"station.{key}" in said
    assert "vault.1.path" in said


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    said = complaint(write(tmp_path, GOOD.replace("hq-01", "?"), "[ingest]\nsm4 = 1\nmax_files = 0\n"))
    assert all(word in said for word in ("station.id", "ingest.sm4", "ingest.max_files"))


def test_a_missing_or_unreadable_file_is_said(tmp_path: Path) -> None:
    assert "does not exist" in complaint(tmp_path / "none.toml")
    assert "cannot be read" in complaint(tmp_path)
    file = tmp_path / "x.toml"
    file.write_bytes(b"\xff\xfe")
    assert "cannot be read" in complaint(file)


def test_the_environment_overrides_the_file_and_is_named_when_it_is_wrong(tmp_path: Path) -> None:
    file = write(tmp_path, more="[ingest]\nmax_files = 5\n")
    config = load(file, {"MEDIAD_INGEST__MAX_FILES": "7", "MEDIAD_LOG__LEVEL": "debug", "MEDIAD_INGEST__SM3": "true"})
    assert (config.ingest.max_files, config.log.level, config.ingest.sm3) == (7, "debug", True)
    said = complaint(file, {"MEDIAD_INGEST__MAX_FILES": "many"})
    assert "environment MEDIAD_INGEST__MAX_FILES" in said
    assert "'many'" in said
    assert "MEDIAD_INGEST__NONE" in complaint(file, {"MEDIAD_INGEST__NONE": "1"})
    assert "MEDIAD_VAULT__PATH" in complaint(file, {"MEDIAD_VAULT__PATH": "/x"})


def test_variables_of_others_are_left_alone(tmp_path: Path) -> None:
    file = write(tmp_path)
    assert load(file, {"MEDIAD_CONFIG": "x", "MEDIADX_A__B": "1", "OTHER__X": "1"}) == load(file, {})


def test_which_file_counts() -> None:
    assert config_file(Path("a"), {"MEDIAD_CONFIG": "b"}) == Path("a")
    assert config_file(None, {"MEDIAD_CONFIG": "b"}) == Path("b")
    assert config_file(None, {"MEDIAD_CONFIG": ""}) == DEFAULT_FILE
    assert config_file(None, {}) == DEFAULT_FILE


def test_the_program_says_it_in_one_sentence_and_ends_with_2(tmp_path: Path) -> None:
    from tests.support import Site

    write(tmp_path, more="[ingest]\nmax_file = 5\n")
    done = Site(tmp_path).run("config", "check")
    assert done.returncode == 2
    assert "ingest.max_file is no setting" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_profile_is_said_by_the_same_check(tmp_path: Path) -> None:
    from tests.support import Site

    write(tmp_path)
    (tmp_path / "recorders").mkdir()
    (tmp_path / "recorders/p.toml").write_text('name = "x"\n[names]\npatterns = ["("]\n')
    done = Site(tmp_path).run("config", "check")
    assert done.returncode == 2
    assert "names.patterns" in done.stderr


def test_how_people_are_told_is_checked_and_its_files_lie_beside_the_configuration(tmp_path: Path) -> None:
    mail = '[telling.mail]\nhost = "mail.example.org"\nsender = "m@example.org"\ncredentials_file = "mail.secret"\n'
    hook = '[[telling.webhook]]\nname = "group"\nkind = "dingtalk"\ncredentials_file = "/etc/hook"\n'
    told = load(write(tmp_path, more=f'[telling]\nquiet = ["21:00-07:00"]\n{mail}{hook}'), {}).telling
    assert told.mail is not None
    assert told.mail.credentials_file == tmp_path / "mail.secret"
    assert told.webhook[0].credentials_file == Path("/etc/hook")
    for more, words in (
        ('[telling]\nquiet = ["00:00-12:00", "12:10-00:00"]\n', "quarter of an hour"),
        ('[telling]\nquiet = ["25:00-07:00"]\n', "no time of the day"),
        ('[telling]\nquiet = ["night"]\n', "no time of the day"),
        ('[telling]\nto = { other = ["approver"] }\n', "no rule"),
        ('[telling]\nto = { tagged = ["boss"] }\n', "telling.to"),
        (mail + 'security = "none"\n', "localhost"),
        (hook + hook, "given twice"),
        (hook.replace("group", "mail"), "given twice"),
    ):
        assert words in complaint(write(tmp_path, more=more)), more
