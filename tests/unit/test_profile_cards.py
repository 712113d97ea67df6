"""The shipped profiles on cards as the field has them: real files in real folders, and what is made of each."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediad.edges.profiles import GENERIC, load_profiles
from mediad.edges.source import MAX_NAMES, SourceTree
from mediad.model.beside import pair_sidecars
from mediad.model.evidence import kind_of
from mediad.model.profile import DeviceFacts, Profile, choose
from mediad.wiring.profile import CardLook, FileLook, look_at

SHIPPED = [*load_profiles([Path(__file__).parents[2] / "config/recorders"]), GENERIC]
CHINA = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


def card(root: Path, *files: str, written: str = "2026-11-20T12:00:00+08:00") -> Path:
    """Files of a card, each with the given last write."""
    at = datetime.fromisoformat(written).timestamp()
    for name in files:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
        os.utime(file, (at, at))
    return root


def chosen(root: Path, label: str = "", vendor: str = "", kind: str = "storage") -> str:
    """The profile that a docking of the card would choose."""
    tree = SourceTree(root)
    names = tree.root_names()
    tree.close()
    facts = DeviceFacts(kind, vendor=vendor, labels=(label,) if label else (), root_files=names)  # type: ignore[arg-type]
    profile = choose(SHIPPED, facts)
    assert profile is not None
    return profile.name


def seen(root: Path, name: str = "") -> tuple[CardLook, dict[str, FileLook]]:
    look = look_at(SHIPPED, root, CHINA, NOW, name)
    return look, {f.path.decode(): f for f in look.files}


def told(file: FileLook) -> tuple[str, str, str, int | None, str, bool]:
    """Device, officer, time in the unit's zone, sequence, lens, importance."""
    n = file.name
    at = n.time.astimezone(CHINA).strftime("%Y-%m-%d %H:%M:%S") if n.time else ""
    return n.device, n.officer, at, n.seq, n.lens, n.important


@pytest.mark.parametrize(("path", "wanted"), [
    ("DCIM/8888888_000000_20260129205547_0001.mp4", ("8888888", "", "2026-01-29 20:55:47", 1, "", False)),
    ("DCIM/123456_1234567_20260504083000_0001IMP.mp4", ("1234567", "123456", "2026-05-04 08:30:00", 1, "", True)),
    ("DCIM/20260504083000_0001.mp4", ("", "", "2026-05-04 08:30:00", 1, "", False)),
    ("DCIM/1234567/123456/20260504083000_0001.mp4", ("1234567", "123456", "2026-05-04 08:30:00", 1, "", False)),
    ("DCIM/123456_1234567/VIDEO/20260504083000_0001IMP.mp4", ("1234567", "123456", "2026-05-04 08:30:00", 1, "", True)),
    ("DCIM/1234567/260504/20260504083000_0001.mp4", ("", "", "2026-05-04 08:30:00", 1, "", False)),
    ("DCIM/IMP/20260504083000_0001.mp4", ("", "", "2026-05-04 08:30:00", 1, "", True)),
    ("DCIM/8888888_000000_20260129205547_0001.mp4.xml", ("8888888", "", "2026-01-29 20:55:47", 1, "", False)),
])  # fmt: skip
def test_names_after_gat_947(tmp_path: Path, path: str, wanted: tuple[object, ...]) -> None:
    """Device first, officer first, short with both in the path (a day's folder is no officer), and the mark of importance."""
    card(tmp_path, path)
    assert chosen(tmp_path, label="DSJ-7") == "gat947"
    assert told(seen(tmp_path, "gat947")[1][path]) == wanted


@pytest.mark.parametrize(("path", "wanted"), [
    ("DCIM/100/8888888_000000_20260129205547_0001.mp4", ("8888888", "", "2026-01-29 20:55:47", 1, "", False)),
    ("DCIM/100/123456_1234567_20260504083000_0001IMP.mp4", ("1234567", "123456", "2026-05-04 08:30:00", 1, "", True)),
    ("DCIM/100/2026_0101_060101_001A.MP4", ("", "", "2026-01-01 06:01:01", 1, "A", False)),
    ("DCIM/100/20260504083000_0004.mp4", ("", "", "2026-05-04 08:30:00", 4, "", False)),
    ("DCIM/100/IMG_20260504_083000.jpg", ("", "", "2026-05-04 08:30:00", None, "", False)),
    ("DCIM/100/VID20260504083000.mp4", ("", "", "2026-05-04 08:30:00", None, "", False)),
    ("DCIM/260504/083000.mp4", ("", "", "2026-05-04 08:30:00", None, "", False)),
    ("DCIM/260504/VID_083000_0012.mp4", ("", "", "2026-05-04 08:30:00", 12, "", False)),
    ("DCIM/100/DSC00001.JPG", ("", "", "", None, "", False)),
    ("DCIM/261332/083000.mp4", ("", "", "", None, "", False)),
])  # fmt: skip
def test_names_of_any_camera(tmp_path: Path, path: str, wanted: tuple[object, ...]) -> None:
    card(tmp_path, path)
    look, files = seen(tmp_path)
    assert (look.profile.name, look.chosen) == ("generic-dcim", "matched")
    assert told(files[path]) == wanted


@pytest.mark.parametrize(("name", "seq", "lens"), [
    ("ABCD1234567820260504083000.mp4", None, ""),
    ("ABCD12345678_20260504_083000_0001A.MP4", 1, "A"),
    ("ABCD12345678-20260504083000_0012IMP.mp4", 12, ""),
])  # fmt: skip
def test_names_of_the_ambarella_type(tmp_path: Path, name: str, seq: int | None, lens: str) -> None:
    card(tmp_path, f"DCIM/{name}")
    assert chosen(tmp_path, vendor="Ambarella") == "ambarella"
    assert told(seen(tmp_path, "ambarella")[1][f"DCIM/{name}"]) == (
        "", "", "2026-05-04 08:30:00", seq, lens, "IMP" in name)  # fmt: skip


def test_front_and_rear_of_a_dashcam_are_two_takes(tmp_path: Path) -> None:
    names = [f"CARDV/Movie/2026_0101_06{m:02}01_00{m}{lens}.MP4" for m in (1, 2) for lens in "AB"]
    for n, name in enumerate(names):
        card(tmp_path, name, written=f"2026-01-01T06:0{n // 2 + 2}:01+08:00")
    card(tmp_path, "CARDV/Movie/RO/2026_0101_070101_009A.MP4", "CARDV/EMR/2026_0101_080101_010B.MP4")
    look, files = seen(tmp_path)
    assert look.profile.name == "dashcam"
    assert sorted([s.asset for s in t.members] for t in look.takes if len(t.members) > 1) == [
        [names[0], names[2]], [names[1], names[3]]]  # fmt: skip
    assert [f for f, look in files.items() if look.name.important] == [
        "CARDV/EMR/2026_0101_080101_010B.MP4", "CARDV/Movie/RO/2026_0101_070101_009A.MP4"]  # fmt: skip


def test_an_android_type_keeps_what_is_important_apart_and_its_buffer_is_left(tmp_path: Path) -> None:
    card(
        tmp_path,
        "DCIM/100ANDRO/8888888_123456_20261120100000_0001.mp4",
        "DCIM/101ANDRO/8888888_123456_20261120110000_0002.mp4",
        "DCIM/100ANDRO/VID260504083000.mp4",
        "DCIM/SEGTEMP/seg0.mp4",
        "DCIM/LOGS/2026-11-20.log",
    )
    look, files = seen(tmp_path)
    assert look.profile.name == "android-dcim"
    assert told(files["DCIM/101ANDRO/8888888_123456_20261120110000_0002.mp4"])[-1] is True
    assert told(files["DCIM/100ANDRO/8888888_123456_20261120100000_0001.mp4"])[-1] is False
    assert told(files["DCIM/100ANDRO/VID260504083000.mp4"])[2] == "2026-05-04 08:30:00"
    assert files["DCIM/SEGTEMP/seg0.mp4"].why == "excluded by the profile"
    assert not files["DCIM/LOGS/2026-11-20.log"].why


def test_the_hundred_and_first_folder_of_an_ordinary_camera_marks_nothing(tmp_path: Path) -> None:
    card(tmp_path, "DCIM/100ANDRO/20261120100000_0001.mp4", "DCIM/101ANDRO/20261120100500_0002.mp4")
    look, files = seen(tmp_path)
    assert look.profile.name == "generic-dcim"
    assert not any(f.name.important for f in files.values())


def test_files_data_is_known_by_its_label(tmp_path: Path) -> None:
    path = "files/data/8888888_123456_20261120100000_0001.mp4"
    card(tmp_path, path, "files/config/settings.db")
    assert chosen(tmp_path, label="BODYCAM") == "files-data"
    assert chosen(tmp_path, label="STICK") == "generic-storage"
    files = seen(tmp_path, "files-data")[1]
    assert told(files[path])[:2] == ("8888888", "123456")
    assert files["files/config/settings.db"].why == "not included by the profile"


def test_axis_names_are_in_utc_and_read_in_drop_folders(tmp_path: Path) -> None:
    path = "up/li_ming_B8A44F001122_20260101T000000Z.mkv"
    card(tmp_path, path)
    assert chosen(tmp_path, kind="folder") == "drop-folder"
    assert told(seen(tmp_path, "drop-folder")[1][path])[:3] == ("B8A44F001122", "li_ming", "2026-01-01 08:00:00")


def test_sidecars_belong_to_the_recording_of_their_name(tmp_path: Path) -> None:
    stem = "DCIM/100/8888888_123456_20261120100000_0001"
    card(
        tmp_path, f"{stem}.mp4", f"{stem}.XML", f"{stem}.mp4.gpx", f"{stem}.log", "DCIM/8888888.xml", "DCIM/LOGS/1.log"
    )
    files = seen(tmp_path)[1]
    paired = {path: f.describes for path, f in files.items()}
    mp4 = f"{stem}.mp4".encode()
    assert paired == {
        f"{stem}.mp4": None, f"{stem}.XML": mp4, f"{stem}.mp4.gpx": mp4, f"{stem}.log": mp4, "DCIM/8888888.xml": None,
        "DCIM/LOGS/1.log": None}  # fmt: skip


LONG = "8888888_123456_20260504083000_0001"
SWAPPED = "123456_8888888_20260504083000_0002IMP"
SHORT = "20260504083000_0003"
WHOLE = "8888888 123456 08:30 #1"
WHOLE_SWAPPED = "8888888 123456 08:30 #2 !"
LEFT = dict.fromkeys(("lost+found", "lost+found/a.mp4", "System Volume Information/a"), "left")
APPLE = dict.fromkeys((".Trashes/a.mp4", ".Spotlight-V100/a"), "left")
CARDS: dict[str, dict[str, str]] = {
    "ambarella": {
        "DCIM/100/ABCD12345678_20260504_083000_0001A.MP4": "08:30 #1 A",
        "DCIM/SEGTEMP/a.mp4": "left",
        **LEFT,
    },
    "android-dcim": {
        f"DCIM/100ANDRO/{LONG}.mp4": WHOLE,
        f"DCIM/100ANDRO/{SHORT}.mp4": "08:30 #3",
        f"DCIM/101ANDRO/{SHORT}IMP.mp4": "08:30 #3 !",
        "DCIM/101ANDRO/a.mp4": "!",
        "DCIM/100ANDRO/IMG_20260504_083000.jpg": "08:30",
        "DCIM/100ANDRO/260504083000_0004.mp4": "08:30 #4",
        "DCIM/SEGTEMP/a.mp4": "left",
        "Android/data/a.db": "left",
        "DCIM/.thumbnails/a.jpg": "left",
        "lost+found": "left",
        "lost+found/a.mp4": "left",
    },
    "dashcam": {
        "CARDV/Movie/2026_0504_083000_001A.MP4": "08:30 #1 A",
        "CARDV/Movie/RO/2026_0504_083000_002B.MP4": "08:30 #2 B !",
        "CARDV/RO/2026_0504_083000_003.MP4": "08:30 #3 !",
        "CARDV/EMR/2026_0504_083000_004.MP4": "08:30 #4 !",
        **LEFT,
    },
    "drop-folder": {
        "hall/zhang_B8A44F001122_20260504T003000Z.mkv": "B8A44F001122 zhang 08:30",
        f"{LONG}.mp4": WHOLE,
        f"{SWAPPED}.mp4": WHOLE_SWAPPED,
        "CAM20260504-083000.mp4": "08:30",
        "lost+found/a.mp4": "",
    },
    "files-data": {f"files/data/{LONG}.mp4": WHOLE, f"files/data/{SHORT}.mp4": "08:30 #3", "maps/a.bin": "left"},
    "gat947": {
        f"DCIM/{LONG}.mp4": WHOLE,
        f"DCIM/{SWAPPED}.mp4": WHOLE_SWAPPED,
        f"DCIM/8888888/123456/{SHORT}.mp4": "8888888 123456 08:30 #3",
        f"DCIM/123456_8888888/VIDEO/{SHORT}.mp4": "8888888 123456 08:30 #3",
        f"DCIM/{SHORT}.mp4": "08:30 #3",
        f"DCIM/IMP/{SHORT}.mp4": "08:30 #3 !",
        "DCIM/SEGTEMP/a.mp4": "left",
        **LEFT,
    },
    "generic-dcim": {
        f"DCIM/100/{LONG}.mp4": WHOLE,
        f"DCIM/100/{SWAPPED}.mp4": WHOLE_SWAPPED,
        "DCIM/100/2026_0504_083000_001A.MP4": "08:30 #1 A",
        "DCIM/100/VID20260504083000.mp4": "08:30",
        "DCIM/260504/VID_083000_0012.mp4": "08:30 #12",
        "MISC/a.bin": "",
        "DCIM/SEGTEMP/a.mp4": "left",
        **LEFT,
        **APPLE,
    },
    "generic-storage": {"any/CAM20260504-083000.mp4": "08:30", "DCIM/SEGTEMP/a.mp4": "", **LEFT, **APPLE},
    "mtp": {
        f"Internal storage/DCIM/{LONG}.mp4": WHOLE,
        "Internal storage/DCIM/VID20260504083000.mp4": "08:30",
        "Internal storage/DCIM/SEGTEMP/a.mp4": "left",
        "Internal storage/Android/data/a.db": "left",
        "Internal storage/DCIM/.thumbnails/a.jpg": "left",
    },
}


@pytest.mark.parametrize("name", [p.name for p in SHIPPED if p is not GENERIC])
def test_every_rule_of_a_shipped_profile_is_needed_by_a_file_that_says_what_for(tmp_path: Path, name: str) -> None:
    """Each file on a card of its own; what is made of it in short: device, officer, time, number, lens, importance."""

    def short(file: FileLook) -> str:
        n = file.name
        at = n.time.astimezone(CHINA).strftime("%H:%M") if n.time else ""
        number = "" if n.seq is None else f"#{n.seq}"
        return "left" if file.why else " ".join(
            part for part in (n.device, n.officer, at, number, n.lens, "!" * n.important) if part)  # fmt: skip

    made, used = {}, dict[tuple[str, str], int]()
    for at, path in enumerate(CARDS[name]):
        look, files = seen(card(tmp_path / str(at), path), name)
        made[path] = short(files[path])
        for rule in look.rules:
            used[rule.key, rule.rule] = used.get((rule.key, rule.rule), 0) + rule.files
    assert made == CARDS[name]
    assert [rule for rule, files in used.items() if not files] == []


def test_what_the_shipped_profiles_say_of_times_and_takes() -> None:
    """Buffers of up to a minute are usual among recorders that are worn; the camera of a hall never stops."""
    assert {p.name for p in SHIPPED if p.time.prerecord_seconds == 60} == {"gat947", "android-dcim"}
    assert {p.name for p in SHIPPED if not p.takes.join} == {"drop-folder"}


@pytest.mark.parametrize(
    ("root", "label", "vendor", "wanted"),
    [
        (("DCIM/100",), "", "", "generic-dcim"),
        (("DCIM/100",), "DSJ-7", "", "gat947"),
        (("DCIM/100",), "", "Ambarella", "ambarella"),
        (("DCIM/100",), "DSJ-7", "Ambarella", "gat947"),
        (("DCIM/100ANDRO", "DCIM/LOGS"), "DSJ-7", "Ambarella", "android-dcim"),
        (("DCIM/LOGS",), "", "", "generic-dcim"),
        (("DCIM/100ANDRO",), "", "", "generic-dcim"),
        (("CARDV/Movie", "DCIM/100"), "", "", "dashcam"),
        (("files/data",), "BODYCAM", "", "files-data"),
        (("files/data",), "", "", "generic-storage"),
        (("any",), "DSJ-7", "Ambarella", "generic-storage"),
    ],
)
def test_a_card_gets_the_profile_that_knows_it_best(
    tmp_path: Path, root: tuple[str, ...], label: str, vendor: str, wanted: str
) -> None:
    for folder in root:
        (tmp_path / folder).mkdir(parents=True)
    assert chosen(tmp_path, label, vendor) == wanted


@pytest.mark.parametrize("kind", ["storage", "mtp"])
def test_a_profile_of_the_station_comes_before_the_shipped_ones_for_everything_else(
    kind: Literal["storage", "mtp"],
) -> None:
    own = Profile("a", attach=kind)
    assert choose([*SHIPPED, own], DeviceFacts(kind)) is own


def test_a_card_without_anything_known_is_taken_whole(tmp_path: Path) -> None:
    card(tmp_path, "a/b.bin", "20261120100000.mp4")
    look, files = seen(tmp_path)
    assert look.profile.name == "generic-storage"
    assert not any(f.why for f in files.values())


def test_names_one_folder_down_choose_a_profile_and_links_are_not_followed(tmp_path: Path) -> None:
    outside = card(tmp_path / "outside", "100ANDRO/x")
    root = card(tmp_path / "card", "files/data/x", "top")
    (root / "DCIM").symlink_to(outside)
    tree = SourceTree(root)
    assert tree.root_names() == {"files", "files/data", "top", "DCIM"}
    tree.close()


def test_a_crowded_card_is_looked_at_in_part(tmp_path: Path) -> None:
    card(tmp_path, *(f"d/{n}" for n in range(MAX_NAMES + 5)))
    tree = SourceTree(tmp_path)
    assert len(tree.root_names()) == MAX_NAMES + 1
    tree.close()


likely = st.from_regex(
    rb"(DCIM/)?([0-9A-Za-z]{6,7}[_/]){0,3}[0-9_T]{4,20}[_-]?[0-9]{0,4}[ABFR]?(IMP)?(\.mp4)?(\.xml)?", fullmatch=True
)


@pytest.mark.parametrize("profile", SHIPPED, ids=lambda p: p.name)
@given(st.one_of(st.binary(max_size=80), likely))
def test_no_name_is_too_odd_for_a_shipped_profile(profile: Profile, path: bytes) -> None:
    found = profile.parse_name(path, CHINA)
    assert found.time is None or found.time.tzinfo is UTC
    assert found.seq is None or found.seq >= 0
    assert profile.wants(path) in (True, False)


@given(st.lists(st.binary(min_size=1, max_size=12), max_size=8))
def test_a_sidecar_is_paired_with_another_file_that_is_there(paths: list[bytes]) -> None:
    kinds = {path: kind_of(b"", path) for path in paths}
    for sidecar, owner in pair_sidecars(Profile("x", sidecars=("a", "xml")), kinds).items():
        assert {sidecar, owner} <= set(paths)
        assert sidecar != owner
