"""Reading profiles from files: the shipped ones are right, a wrong one is refused by file, key and value."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from mediad.edges.profiles import GENERIC, as_keys, load_profile, load_profiles
from mediad.errors import ConfigError
from mediad.model.profile import DeviceFacts, TakeRule, TimeRule, choose

SHIPPED = Path(__file__).parents[2] / "config/recorders"
CHINA = ZoneInfo("Asia/Shanghai")


def _write(tmp_path: Path, text: str, name: str = "p.toml") -> Path:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return file


def test_every_shipped_profile_is_read_and_named_after_its_file() -> None:
    files = sorted(SHIPPED.glob("*.toml"))
    assert len(files) >= 4
    assert [load_profile(f).name for f in files] == [f.stem for f in files]


@pytest.mark.parametrize(
    ("path", "device", "officer", "time", "important"),
    [
        (b"DCIM/8888888_000000_20160129205547_0001.mp4", "8888888", "", "2016-01-29T12:55:47+00:00", False),
        (b"DCIM/123456_1234567_20170504083000_0001IMP.mp4", "1234567", "123456", "2017-05-04T00:30:00+00:00", True),
        (b"DCIM/20170504083000_0001.mp4", "", "", "2017-05-04T00:30:00+00:00", False),
    ],
)
def test_names_of_the_field_are_read_by_the_shipped_profile(
    path: bytes, device: str, officer: str, time: str, important: bool
) -> None:
    found = load_profile(SHIPPED / "gat947.toml").parse_name(path, CHINA)
    assert (found.device, found.officer, found.important) == (device, officer, important)
    assert found.time is not None
    assert found.time.isoformat() == time


def test_a_card_with_dcim_gets_its_profile_and_any_other_disk_one_that_takes_all() -> None:
    profiles = [*load_profiles([SHIPPED]), GENERIC]
    camera = choose(profiles, DeviceFacts("storage", root_files=frozenset({"DCIM"})))
    assert camera is not None
    assert "dcim" in camera.name or camera.name == "gat947"
    plain = choose(profiles, DeviceFacts("storage"))
    assert plain is not None
    assert plain.wants(b"any/where.bin")


def test_a_folder_that_comes_first_wins_and_a_missing_one_is_skipped(tmp_path: Path) -> None:
    _write(tmp_path, 'name = "mtp"\ntitle = "mine"\nattach = "mtp"\n')
    found = {p.name: p for p in load_profiles([tmp_path / "none", tmp_path, SHIPPED])}
    assert found["mtp"].title == "mine"
    assert len(found) == len(list(SHIPPED.glob("*.toml")))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = ", ["cannot be read"]),
        ('nmae = "x"', ["nmae", "no setting"]),
        ('name = "x"\n[macth]\n', ["[macth]", "no section"]),
        ('name = "x"\n[match]\nvid = "1"', ["match.vid", "no setting"]),
        ("name = 1", ["name = 1", "wrong type"]),
        ('name = "x"\nrank = true', ["rank = True", "wrong type"]),
        ('name = "x"\n[layout]\ninclude = [1]', ["layout.include", "wrong type"]),
        ('name = "Ä b"', ["name = 'Ä b'", "lower-case"]),
        ('name = "x"\nattach = "ftp"', ["attach = 'ftp'"]),
        ('name = "x"\nattach = "unlock"', ["unlock.command"]),
        ('name = "x"\n[unlock]\ncommand = ["a"]', ["unlock.command"]),
        ('name = "x"\n[match]\nserial = "("', ["match.serial = '('", "no regular expression"]),
        ('name = "x"\n[names]\npatterns = ["("]', ["names.patterns = '('", "no regular expression"]),
        ('name = "x"\n[names]\nzone = "Mars/Base"', ["names.zone = 'Mars/Base'", "no time zone"]),
        ('name = "x"\n[time]\nfile_zone = "../x"', ["time.file_zone", "no time zone"]),
        ('name = "x"\n[match]\nusb_id = "4255:0001"', ["match.usb_id alone"]),
        ("title = 'no name'", ["name"]),
        ('name = "x"\n[time]\norder = ["name", "moon"]', ["time.order", "moon"]),
        ('name = "x"\n[time]\norder = ["name", "name"]', ["time.order"]),
        ('name = "x"\n[time]\norder = []', ["time.order"]),
        ('name = "x"\n[time]\nname_means = "middle"', ["time.name_means = 'middle'"]),
        ('name = "x"\n[time]\nmtime_means = ""', ["time.mtime_means"]),
        ('name = "x"\n[time]\ncontainer_zone = "Mars/Base"', ["time.container_zone = 'Mars/Base'", "no time zone"]),
        ('name = "x"\n[clock]\nzone = "Mars/Base"', ["clock.zone", "no time zone"]),
        ('name = "x"\n[time]\nprerecord_seconds = -1', ["time.prerecord_seconds = -1"]),
        ('name = "x"\n[takes]\ngap_seconds = nan', ["takes.gap_seconds = nan"]),
        ('name = "x"\n[takes]\nsegment_seconds = 1e9', ["takes.segment_seconds"]),
        ('name = "x"\n[takes]\njoin = 1', ["takes.join = 1", "wrong type"]),
        ('name = "x"\n[marks]\nimportant = "x"', ["marks.important", "wrong type"]),
        ('name = "x"\n[sidecars]\nsuffixes = [1]', ["sidecars.suffixes", "wrong type"]),
        ("rank = 1" + "0" * 5_000, ["cannot be read"]),
        ("x = " + "[" * 5_000, ["cannot be read"]),
        ('name = "generic"', ["name = 'generic'", "built-in"]),
        ('name = "x"\nsettle_seconds = 1e9', ["settle_seconds = 1000000000.0", "out of bounds"]),
        (
            'name = "x"\nattach = "unlock"\n[unlock]\ncommand = ["/a"]\ntimeout_seconds = 0',
            ["unlock.timeout_seconds = 0"],
        ),
        ('name = "x"\nattach = "unlock"\n[unlock]\ncommand = [""]', ["unlock.command"]),
        ('name = "x"\n[names]\npatterns = [""]', ["names.patterns = ''", "empty"]),
        ('name = "x"\n[match]\nserial = "x{99999999999}"', ["match.serial", "no regular expression", "too large"]),
        (f'name = "x"\n[names]\npatterns = ["{"(" * 495}{")" * 495}"]', ["names.patterns", "recursion"]),
        (f'name = "x"\n[names]\npatterns = ["{"x" * 1_001}"]', ["names.patterns", "1,001 characters", "xxx..."]),
        ("name = 'x'\n[names]\npatterns = ['[[:digit:]]+']", ["names.patterns", "something else"]),
        ('name = "x"\n[layout]\ninclude = []', ["layout.include = []", "takes nothing"]),
        ('name = "x"\n[match]\nroot_files = ["DCIM/100/x"]', ["match.root_files", "root"]),
        ('name = "x"\n[match]\nroot_files = ["DC*"]', ["match.root_files", "glob"]),
        ('name = "x"\n[sidecars]\nsuffixes = [".xml"]', ["sidecars.suffixes = '.xml'", "no suffix"]),
    ],
)
def test_a_wrong_profile_is_refused_by_file_key_and_value(tmp_path: Path, text: str, words: list[str]) -> None:
    file = _write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_profile(file)
    for word in [str(file), *words]:
        assert word in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('nmae = "x"', "did you mean name?"),
        ('name = "x"\n[macth]', "did you mean match?"),
        ('name = "x"\n[layout]\nexlude = []', "did you mean layout.exclude?"),
        ('name = "x"\ninclude = ["**"]', "it belongs into [layout]"),
        ('name = "x"\nmatch = 1', "write [match] once"),
        ('name = "x"\n[[match]]\nvendor = "a"', "write [match] once"),
        ('name = "x"\nrank = "1"', "a whole number"),
        ('name = "x"\n[time]\norder = ["exfi"]', "did you mean exif?"),
        ('name = "x"\n[time]\norder = ["name", "name"]', "each once"),
        ("name = 'x'\n[names]\npatterns = ['(?P<officier>.)']", "did you mean officer?"),
        ("name = 'x'\n[names]\npatterns = ['(?P<sequence>.)']", "there are device, officer, time, time12"),
        ("name = 'x'\n[names]\npatterns = ['(?P<time>\\d{12})']", "time12"),
        ("name = 'x'\n[names]\npatterns = ['(?P<date>\\d{8})']", "both"),
        ('name = "x"\n[names]\npatterns = ["\\d"]', "single quotes"),
        ('name = "x"\n[layout]\ninclude = [".mp4"]', "**/*.mp4"),
        ('name = "x"\n[layout]\ninclude = ["/DCIM/**"]', "DCIM/**"),
        ('name = "x"\n[layout]\nexclude = ["DCIM/SEGTEMP/"]', "DCIM/SEGTEMP/**"),
        ("name = 'x'\n[marks]\nimportant = ['DCIM\\IMP\\**']", "parted by /"),
        ("name = 'x'\n[layout]\ninclude = ['./DCIM/**']", "without . and .."),
        ("name = 'x'\n[sidecars]\nsuffixes = ['*.xml']", "without dot: xml"),
    ],
)
def test_a_complaint_says_what_to_write_instead(tmp_path: Path, text: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_profile(_write(tmp_path, text))
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    "pattern",
    [r"(\w+)*x", r"(?:a|ab)*c", r"(\d+\s*)+x", r"(?:a?){30}a{30}", r"(?=(\w+)*x)y", r".*a.*b.*c.*", r"\w*\w*\w*x",
     r"(?:^){1000000000}x", r"(?:(?P<id>.)(?P=id)?)*x", r"(第|\w\w?)*x", r"第*第*第*第*x",
     r"(?P<device>.+)_(?P<officer>.+)_(?P<time>.+)_x"],
)  # fmt: skip
def test_a_pattern_that_a_hostile_name_could_hold_up_is_refused(tmp_path: Path, pattern: str) -> None:
    """Nested repetitions, alternatives of one beginning in a repetition, and too many parts that may end anywhere."""
    with pytest.raises(ConfigError, match="could take for ever") as caught:
        load_profile(_write(tmp_path, f"name = 'x'\n[names]\npatterns = ['{pattern}']"))
    assert r"[^_]+_ instead of .+_" in (caught.value.hint or "")
    with pytest.raises(ConfigError, match="could take for ever"):
        load_profile(_write(tmp_path, f"name = 'x'\n[match]\nserial = '{pattern}'"))


@pytest.mark.parametrize(
    "pattern",
    [r".*(?P<time>\d{14}).*", r"(?:[^/]+/)*(?P<seq>\d+)", r"(?:ab|cd)+x", r"^(?P<device>.+)_(?P<officer>.+)_\d+$", r"\D*\.\w+$",
     r"(?P<device>[^_]+)_(?P<officer>[^_]+)_(?P<time>[^_]+)_(?P<seq>\d+)", r"(?i:vid|img)?_?(?P<time>\d{14})", r"第(?P<seq>\d+)段",
     r"(?>\w+)-(?P<id>.)(?P=id)", r"(?P<lens>A)?(?(lens)1|2)\b"],
)  # fmt: skip
def test_an_ordinary_pattern_is_taken(tmp_path: Path, pattern: str) -> None:
    assert load_profile(_write(tmp_path, f"name = 'x'\n[names]\npatterns = ['{pattern}']")).names == (pattern,)


def test_two_profiles_of_one_name_in_one_folder_are_refused(tmp_path: Path) -> None:
    _write(tmp_path, 'name = "x"', "a.toml")
    _write(tmp_path, 'name = "x"', "b.toml")
    with pytest.raises(ConfigError, match=r"b\.toml: name = 'x' is that of a\.toml too"):
        load_profiles([tmp_path])


def test_a_profile_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_bytes(b'name = "\xff"')
    with pytest.raises(ConfigError, match="cannot be read"):
        load_profile(file)


def test_every_key_of_a_profile_is_read(tmp_path: Path) -> None:
    file = _write(
        tmp_path,
        """name = "x"
        [time]
        order = ["gps", "name"]
        name_means = "end"
        container_means = "end"
        mtime_means = "start"
        container_zone = ""
        exif_zone = "UTC"
        sidecar_zone = "Asia/Tokyo"
        file_zone = "Europe/Berlin"
        prerecord_seconds = 30
        [clock]
        said = "unit_name"
        zone = "UTC"
        [takes]
        gap_seconds = 5
        segment_seconds = 300
        join = false
        [marks]
        important = ["**/IMP/**"]
        [sidecars]
        suffixes = ["gps"]
        """,
    )
    found = load_profile(file)
    assert found.time == TimeRule(
        ("gps", "name"), "end", "end", "start", "", "UTC", "Asia/Tokyo", "Europe/Berlin", prerecord_seconds=30
    )
    assert found.takes == TakeRule(5, 300, join=False)
    assert (found.clock_said, found.clock_zone) == ("unit_name", "UTC")
    assert (found.important, found.sidecars, found.file_zone) == (("**/IMP/**",), ("gps",), "Europe/Berlin")
    keys = as_keys(found)
    assert (keys["time.order"], keys["takes.join"], keys["clock.said"]) == (["gps", "name"], False, "unit_name")
