"""Cards made to hurt: every name on them is stored or reported, nothing outside is touched, and what people see stays clean."""

import base64
import json
import os
import socket
import stat
import subprocess
import unicodedata
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from mediad.edges.source import OpenFile, SourceTree
from mediad.model.evidence import DockingState
from tests.support import MIB, OCTOBER, Site, complaints, make_card, make_site, needs_root, noise, sha256, small_disk

NAMES: tuple[bytes, ...] = (
    b"...",
    b"..hidden",
    b"..\\..\\windows",
    "a\u2215b.mp4".encode(),
    "a\uff0fb.mp4".encode(),
    b"line\nbreak\r.jpg",
    b"tab\tbell\x07back\x08.jpg",
    b"\x1b[31mred\x1b[0m\x1b]0;title\x07.mp4",
    b"\x9b31m.mp4",
    b"\xff\xfe\xfd.mp4",
    b"\xed\xa0\x80.mp4",
    b"\xc0\xaf.mp4",
    b"n" * 251 + b".mp4",
    ("长" * 83 + ".mp4").encode(),
    "\u202egpm.exe".encode(),
    "\u200f\u200e\u2066x.jpg".encode(),
    "\ufeffbom.txt".encode(),
    "line\u2028paragraph\u2029.txt".encode(),
    b"CASE.JPG",
    b"case.jpg",
    "\u00e9.jpg".encode(),
    "e\u0301.jpg".encode(),
    "\ufb01.txt".encode(),
    b"fi.txt",
    b" leading",
    b"trailing ",
    b"-rf",
    b"--json",
    b"*",
    b"$(touch pwned).mp4",
    b"'; DROP TABLE asset; --",
    b"record.json",
    b"con",
    b"NUL.txt",
    b"%2e%2e%2f.mp4",
    b'"quoted".json',
    b"{braces}[bold].txt",
    b"\\x41.txt",
)


def _regular(card: Path) -> dict[bytes, bytes]:
    """Every regular file of a card by its path, read by the test itself."""
    found = {}
    for folder, _, names in os.walk(os.fsencode(card)):
        for name in names:
            path = os.path.join(folder, name)
            if stat.S_ISREG(os.lstat(path).st_mode):
                with open(path, "rb") as f:
                    found[os.path.relpath(path, os.fsencode(card))] = f.read()
    return found


def _by_path(answer: dict[str, Any]) -> dict[bytes, dict[str, Any]]:
    lines = {base64.b64decode(f["path_b64"]): f for f in answer["files"]}
    assert len(lines) == len(answer["files"]), "a path is named twice"
    return lines


def _clean(text: str) -> None:
    """Nothing that a terminal or a log reader would obey."""
    dirty = {c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert not dirty, dirty


def test_names_made_to_hurt_are_stored_like_any_other(site: Site, tmp_path: Path) -> None:
    """Also two names that are equal after case folding or normalisation: both are there, with their own bytes."""
    card = make_card(tmp_path / "card", {b"DCIM/" + n: noise(50 + i, i) for i, n in enumerate(NAMES)})
    done = site.run("ingest", card, "--json")
    assert done.returncode == 0, done.stderr
    lines = _by_path(json.loads(done.stdout))
    expected = _regular(card)
    assert set(lines) == set(expected)
    for path, data in expected.items():
        assert (lines[path]["outcome"], lines[path]["sha256"], lines[path]["size"]) == (
            "stored",
            sha256(data),
            len(data),
        )
        assert lines[path]["key"].isprintable()
    assert complaints(site, expected.values()) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["card", "station"]
    _clean(done.stdout + done.stderr)


def test_what_people_read_stays_clean(site: Site, tmp_path: Path) -> None:
    """Texts, JSON, logs and the record in the vault, also where such a file fails or is not taken."""
    card = make_card(tmp_path / "card", dict.fromkeys(NAMES, b""))
    for n in NAMES:
        (card / os.fsdecode(b"L" + n[:200])).symlink_to("/etc/passwd")
        broken = card / os.fsdecode(b"S" + n[:200])
        broken.touch()
        os.truncate(broken, 8 * 2**40)
    for options in ([], ["--json"]):
        done = site.run("ingest", card, *options)
        assert done.returncode == 1, done.stderr
        _clean(done.stdout + done.stderr)
    for record in site.vault.glob("handovers/**/record.json"):
        _clean(record.read_text(encoding="utf-8"))
    for segment in site.vault.glob("custody/**/*.jsonl"):
        _clean(segment.read_text(encoding="utf-8"))


def test_links_are_reported_and_never_followed(site: Site, tmp_path: Path) -> None:
    """To files and folders outside, up the tree, to themselves, to nothing."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_bytes(b"secret outside")
    card = make_card(tmp_path / "card", {"DCIM/real.jpg": b"real"})
    for name, target in {
        "file": outside / "secret.txt", "folder": outside, "root": Path("/"), "up": Path(".."), "loop": Path("loop"),
        "nothing": Path("nowhere"), "inside": Path("DCIM/real.jpg"), "shadow": Path("/etc/shadow"),
    }.items():  # fmt: skip
        (card / name).symlink_to(target)
    answer = site.ingest_json(card)
    lines = _by_path(answer)
    assert (answer["new"], answer["skipped"], answer["failed"]) == (1, 8, 0)
    assert {
        lines[n.encode()]["outcome"] for n in ("file", "folder", "root", "up", "loop", "nothing", "inside", "shadow")
    } == {"rejected"}
    assert all("symbolic link" in f["why"] for f in answer["files"] if f["outcome"] == "rejected")
    assert complaints(site, [b"real"]) == []
    assert not any(p.read_bytes() == b"secret outside" for p in site.vault.rglob("*") if p.is_file())


def test_a_folder_swapped_for_a_link_after_the_listing_is_not_entered(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = make_card(tmp_path / "outside", {"a.jpg": b"evil"})
    card = make_card(tmp_path / "card", {"DCIM/a.jpg": b"good", "z/b.jpg": b"b"})
    real = SourceTree.open

    def swapping(self: SourceTree, file: Any) -> OpenFile:
        if (card / "DCIM").is_dir() and not (card / "DCIM").is_symlink():
            (card / "DCIM").rename(card / "moved")
            (card / "DCIM").symlink_to(outside)
            self._forget()
        return real(self, file)

    monkeypatch.setattr(SourceTree, "open", swapping)
    result = site.ingest(card)
    assert result.state is DockingState.INCOMPLETE
    assert {f["path"]: f["outcome"] for f in result.record["files"]} == {"DCIM/a.jpg": "failed", "z/b.jpg": "stored"}
    assert sha256(b"evil") not in {r[0] for r in site.rows("SELECT sha256 FROM asset")}


def test_devices_pipes_and_sockets_are_reported_and_never_opened(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_root("making device nodes")
    card = make_card(tmp_path / "card", {"real.jpg": b"real"})
    os.mkfifo(card / "pipe")
    os.mknod(card / "null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(card / "disk", 0o600 | stat.S_IFBLK, os.makedev(7, 250))
    monkeypatch.chdir(card)  # a socket's path has 108 bytes at most
    with socket.socket(socket.AF_UNIX) as s:
        s.bind("socket")
        answer = site.ingest_json(card)
    why = {f["path"]: f["why"] for f in answer["files"] if f["outcome"] == "rejected"}
    assert {k: v.split(",")[0] for k, v in why.items()} == {
        "pipe": "a pipe",
        "null": "a character device",
        "disk": "a block device",
        "socket": "a socket",
    }
    assert (answer["new"], answer["failed"]) == (1, 0)


def test_another_disk_mounted_in_a_card_is_not_entered(site: Site, tmp_path: Path) -> None:
    card = make_card(tmp_path / "card", {"real.jpg": b"real"})
    with small_disk(card / "inner", MIB) as inner:
        (inner / "x.jpg").write_bytes(b"inner")
        answer = site.ingest_json(card, expect=1)
    assert {f["path"]: f["outcome"] for f in answer["files"]} == {"real.jpg": "stored", "inner": "failed"}
    assert answer["state"] == "incomplete", "the folder above mounts was hardly what was meant"


def test_a_folder_that_holds_only_a_link_to_the_card_is_not_called_complete(site: Site, tmp_path: Path) -> None:
    (tmp_path / "asked").mkdir()
    (tmp_path / "asked/card").symlink_to(make_card(tmp_path / "card", {"a.jpg": b"a"}))
    answer = site.ingest_json(tmp_path / "asked", expect=1)
    assert answer["state"] == "incomplete"
    assert {f["path"]: f["outcome"] for f in answer["files"]} == {"card": "rejected", ".": "failed"}
    make_card(tmp_path / "asked", {"b.jpg": b"b"})
    assert site.ingest_json(tmp_path / "asked")["state"] == "complete", "a link beside a file is just passed over"


@pytest.mark.parametrize("inner", ["var/vault", "var"])
def test_what_mediad_writes_is_not_entered_where_it_is_mounted_below_a_source(
    site: Site, tmp_path: Path, inner: str
) -> None:
    """A bind mount is on the same device: only its inode tells. It would be taken again at each docking, ever larger."""
    needs_root("a bind mount")
    card = make_card(tmp_path / "card", {"a.jpg": b"a"})
    site.ingest(card)
    (card / "inner").mkdir()
    subprocess.run(["mount", "--bind", str(site.root / inner), str(card / "inner")], check=True)
    try:
        answer = site.ingest_json(card, expect=1)
    finally:
        subprocess.run(["umount", "--lazy", str(card / "inner")], check=True)
    assert {f["path"]: f["outcome"] for f in answer["files"]} == {"a.jpg": "known", "inner": "failed"}
    assert "mediad itself" in {f["path"]: f["why"] for f in answer["files"]}["inner"]


def test_a_sparse_file_of_any_claimed_size_fails_with_a_reason_and_fills_nothing(site: Site, tmp_path: Path) -> None:
    card = make_card(tmp_path / "card", {"a.jpg": b"a", "z.jpg": b"z"})
    (card / "huge.mp4").touch()
    os.truncate(card / "huge.mp4", 15 * 2**40)
    answer = site.ingest_json(card, expect=1)
    line = _by_path(answer)[b"huge.mp4"]
    assert (line["outcome"], line["size"]) == ("failed", 15 * 2**40)
    assert "larger than the whole vault" in line["why"]
    assert (answer["new"], answer["failed"], answer["state"]) == (2, 1, "incomplete")
    assert complaints(site, [b"a", b"z"]) == []


def test_a_file_that_finds_no_room_now_does_not_hold_back_the_rest_of_the_card(tmp_path: Path) -> None:
    """A sparse file that an empty vault could hold, older than everything else: the others are taken first."""
    with small_disk(tmp_path / "disk", 24 * MIB) as disk:
        site = make_site(tmp_path / "station", vault=disk / "vault", reserve=4 * MIB)
        card = make_card(tmp_path / "card", {f"{n}.jpg": b"%d" % n for n in range(5)})
        (card / "huge.mp4").touch()
        os.truncate(card / "huge.mp4", 22 * MIB)
        os.utime(card / "huge.mp4", ns=(OCTOBER - 10 * 86_400 * 10**9,) * 2)
        done = site.run("ingest", card, "--json")
        assert done.returncode == 5, done.stderr
        assert "in reserve" in done.stderr
        answer = json.loads(done.stdout)
        assert (answer["new"], answer["state"]) == (5, "incomplete")
        assert complaints(site, [b"%d" % n for n in range(5)]) == []


def test_a_sparse_file_that_fits_is_stored_as_what_it_reads_like(site: Site, tmp_path: Path) -> None:
    card = tmp_path / "card"
    card.mkdir()
    (card / "holes.mp4").touch()
    os.truncate(card / "holes.mp4", 12 * MIB + 1)
    site.ingest_json(card)
    assert complaints(site, [bytes(12 * MIB + 1)]) == []


def test_empty_files_are_kept(site: Site, tmp_path: Path) -> None:
    card = make_card(tmp_path / "card", {"a.mp4": b"", "b.mp4": b"", "c/d": b""})
    answer = site.ingest_json(card)
    assert (answer["new"], answer["sightings"]) == (1, 2)
    assert complaints(site, [b""]) == []


def test_an_empty_card_is_a_docking_like_any_other(site: Site, tmp_path: Path) -> None:
    answer = site.ingest_json(make_card(tmp_path / "card", {}))
    assert (answer["state"], answer["files"]) == ("complete", [])
    assert complaints(site) == []


def test_names_of_one_file_are_stored_once(site: Site, tmp_path: Path) -> None:
    card = make_card(tmp_path / "card", {"a.mp4": noise(5_000, 1)})
    os.link(card / "a.mp4", card / "b.mp4")
    answer = site.ingest_json(card)
    assert (answer["new"], answer["sightings"]) == (1, 1)
    assert complaints(site, [noise(5_000, 1)]) == []


def test_twenty_thousand_small_files(site: Site, tmp_path: Path) -> None:
    """All stored, and all known without reading when docked again."""
    card = tmp_path / "card"
    for folder in range(20):
        (card / f"{folder:03}").mkdir(parents=True)
        for n in range(1_000):
            path = card / f"{folder:03}/{n:04}.jpg"
            path.write_bytes(b"%d" % (folder * 1_000 + n))
            os.utime(path, ns=(OCTOBER, OCTOBER))
    answer = site.ingest_json(card, "--recorder", "R1", timeout=600)
    assert (answer["new"], answer["failed"], answer["state"]) == (20_000, 0, "complete")
    assert complaints(site, [b"0", b"19999"]) == []
    again = site.ingest_json(card, "--recorder", "R1")
    assert (again["skipped"], again["new"], again["sightings"]) == (20_000, 0, 0)


def _nest(card: Path, name: bytes, levels: int, leaves: Collection[int]) -> None:
    """Folders in folders, made by descriptors: no path name needs to reach there."""
    card.mkdir()
    fd = os.open(card, os.O_RDONLY)
    for level in range(levels):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
        if level in leaves:
            leaf = os.open(b"leaf.jpg", os.O_WRONLY | os.O_CREAT, dir_fd=fd)
            os.write(leaf, b"level %d" % level)
            os.close(leaf)
    os.close(fd)


def test_a_folder_200_levels_deep(site: Site, tmp_path: Path) -> None:
    name = b"d" * 19
    _nest(tmp_path / "card", name, 200, (50, 199))
    answer = site.ingest_json(tmp_path / "card")
    lines = _by_path(answer)
    assert lines[b"/".join([name] * 200 + [b"leaf.jpg"])]["outcome"] == "stored"
    assert answer["new"] == 2
    assert complaints(site, [b"level 50", b"level 199"]) == []


def test_paths_without_measure_are_reported_once_and_fill_no_record(site: Site, tmp_path: Path) -> None:
    """Three hundred files below five hundred long folders: one line for the folder where it becomes too much."""
    _nest(tmp_path / "card", b"d" * 200, 500, (3, *range(200, 500)))
    answer = site.ingest_json(tmp_path / "card", expect=1)
    assert (answer["new"], answer["failed"], answer["state"]) == (1, 1, "incomplete")
    (failed,) = [f for f in answer["files"] if f["outcome"] == "failed"]
    assert "longer than 4096 bytes" in failed["why"]
    assert len(base64.b64decode(failed["path_b64"])) < 300
    assert sum(p.stat().st_size for p in site.vault.rglob("*") if p.is_file()) < 100_000
    assert complaints(site, [b"level 3"]) == []


def test_files_with_paths_too_long_are_reported_by_their_folder_and_the_others_are_taken(
    site: Site, tmp_path: Path
) -> None:
    """4,096 bytes are taken, one more is not; two such folders are told apart though they begin alike."""
    card = tmp_path / "card"
    inner = "/".join(["d" * 200] * 19)  # 3,818 bytes
    for last in "ab":
        folder = card / inner / (last * 100)
        os.makedirs(folder)
        room = 4096 - len(f"{inner}/{last * 100}/")
        fd = os.open(folder, os.O_RDONLY)
        for name, data in (("f" * room, f"fits {last}"), ("g" * (room + 1), "one byte more")):
            leaf = os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=fd)
            os.write(leaf, data.encode())
            os.close(leaf)
        os.mkdir("h" * (room + 1), dir_fd=fd)
        os.close(fd)
    answer = site.ingest_json(card, expect=1)
    assert (answer["new"], answer["failed"]) == (2, 2)
    failed = [f for f in answer["files"] if f["outcome"] == "failed"]
    assert all(f["why"].startswith("2 entries") for f in failed)
    assert len({f["path_b64"] for f in failed}) == 2
    assert complaints(site, [b"fits a", b"fits b"]) == []


def test_a_folder_too_deep_is_reported(site: Site, tmp_path: Path) -> None:
    card = tmp_path / "card"
    card.mkdir()
    fd = os.open(card, os.O_RDONLY)
    for _ in range(520):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    answer = site.ingest_json(card, expect=1)
    assert [f["outcome"] for f in answer["files"]] == ["failed"]
    assert "folders deep" in answer["files"][0]["why"]


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_cannot_be_read_fails_alone(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """As an unreadable file or folder, or a bad sector under one; the rest is taken, and the docking is incomplete."""
    card = make_card(tmp_path / "card", {"a.jpg": b"a", "dir/b.jpg": b"b", "locked": b"c", "z.jpg": b"z"})
    real = os.open
    hurt = b"locked" if what == "file" else b"dir"

    def denying(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if path == hurt:
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *rest, **more)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", denying)
        result = site.ingest(card)
    lines = {f["path"]: f for f in result.record["files"]}
    assert lines[hurt.decode()]["outcome"] == "failed"
    assert "Permission denied" in lines[hurt.decode()]["why"]
    assert result.state is DockingState.INCOMPLETE
    assert complaints(site, [b"a", b"z"]) == []
    site.ingest(card)
    assert complaints(site, [b"a", b"b", b"c", b"z"]) == []


# --- files that change while they are read ------------------------------------------------------------------------------


def _grow(path: Path) -> None:
    with open(path, "ab") as f:
        f.write(b"more")


def _shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _vanish(path: Path) -> None:
    path.unlink(missing_ok=True)


def _become_a_link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/etc/passwd")


def _touch(path: Path) -> None:
    os.utime(path, ns=(OCTOBER + 10**12, OCTOBER + 10**12))


def _replaced(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(b"another file altogether")


def _changing(monkeypatch: pytest.MonkeyPatch, target: bytes, change: Callable[[], None], at: tuple[int, ...]) -> None:
    """Change the file at given looks at it: the first is when it was opened, the second when it was read."""
    looks = 0
    real = OpenFile.check_unchanged

    def check(self: OpenFile) -> None:
        nonlocal looks
        if self._file.path == target:
            looks += 1
            if looks in at:
                change()
        real(self)

    monkeypatch.setattr(OpenFile, "check_unchanged", check)


@pytest.mark.parametrize("size", [5_000, 9 * MIB])
@pytest.mark.parametrize("look", [1, 2], ids=["when-opened", "when-read"])
@pytest.mark.parametrize("change", [_grow, _shrink, _touch, _replaced], ids=lambda f: f.__name__.strip("_"))
def test_a_file_that_changes_once_is_read_again_and_stored_as_it_then_is(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], look: int, size: int
) -> None:
    """What was half old and half new is never called whole."""
    card = make_card(tmp_path / "card", {"a.jpg": b"a", "live.mp4": noise(size, 3), "z.jpg": b"z"})
    _changing(monkeypatch, b"live.mp4", lambda: change(card / "live.mp4"), (look,))
    result = site.ingest(card)
    line = next(f for f in result.record["files"] if f["path"] == "live.mp4")
    now = (card / "live.mp4").read_bytes()
    if change is _replaced:
        # The open file did not change: its bytes are whole, and the name's new file is taken at the next docking.
        assert (line["outcome"], line["sha256"]) == ("stored", sha256(noise(size, 3)))
        site.ingest(card)
    else:
        assert (line["outcome"], line["sha256"]) == ("stored", sha256(now))
    assert complaints(site, [b"a", now, b"z"]) == []
    stored = {r[0] for r in site.rows("SELECT sha256 FROM asset")}
    assert stored <= {sha256(d) for d in (b"a", b"z", now, noise(size, 3))}


@pytest.mark.parametrize("change", [_grow, _touch], ids=lambda f: f.__name__.strip("_"))
def test_a_file_that_never_rests_fails_and_is_taken_at_the_next_docking(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    card = make_card(tmp_path / "card", {"live.mp4": noise(5_000, 3), "z.jpg": b"z"})
    times = iter(range(100))

    def again() -> None:
        _grow(card / "live.mp4") if change is _grow else os.utime(
            card / "live.mp4", ns=(OCTOBER + 10**12 + next(times),) * 2
        )

    with monkeypatch.context() as patched:
        _changing(patched, b"live.mp4", again, (2, 4, 6))
        result = site.ingest(card)
    line = next(f for f in result.record["files"] if f["path"] == "live.mp4")
    assert (line["outcome"], result.state) == ("failed", DockingState.INCOMPLETE)
    assert "changed while it was read" in line["why"]
    assert complaints(site, [b"z"]) == []
    assert site.ingest(card).state is DockingState.COMPLETE
    assert complaints(site, [b"z", (card / "live.mp4").read_bytes()]) == []


@pytest.mark.parametrize("change", [_vanish, _become_a_link], ids=lambda f: f.__name__.strip("_"))
@pytest.mark.parametrize("moment", ["before-opening", "when-read"])
def test_a_file_that_is_gone_is_reported(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], moment: str
) -> None:
    """Before it is opened it fails; once it is open its bytes are whole and are kept, whatever its name has become."""
    card = make_card(tmp_path / "card", {"a.jpg": b"a", "live.mp4": noise(5_000, 3)})
    if moment == "when-read":
        _changing(monkeypatch, b"live.mp4", lambda: change(card / "live.mp4"), (2,))
    else:
        real = SourceTree.open

        def opening(self: SourceTree, file: Any) -> OpenFile:
            if file.path == b"live.mp4":
                change(card / "live.mp4")
            return real(self, file)

        monkeypatch.setattr(SourceTree, "open", opening)
    result = site.ingest(card)
    line = next(f for f in result.record["files"] if f["path"] == "live.mp4")
    if moment == "when-read":
        assert (line["outcome"], line["sha256"]) == ("stored", sha256(noise(5_000, 3)))
    else:
        assert line["outcome"] == "failed"
        assert line["why"] == ("it vanished" if change is _vanish else "Too many levels of symbolic links")
    assert complaints(site, [b"a"]) == []
    assert sha256(Path("/etc/passwd").read_bytes()) not in {r[0] for r in site.rows("SELECT sha256 FROM asset")}


@pytest.mark.parametrize("when", ["2400-01-01", "1901-12-14", "1970-01-01", "2262-04-12"])
def test_a_file_time_out_of_all_reason_does_not_end_the_docking(site: Site, tmp_path: Path, when: str) -> None:
    """ext4 and XFS hold times that 64 bits of nanoseconds do not."""
    from datetime import UTC, datetime

    card = make_card(tmp_path / "card", {"a.jpg": b"a", "b.jpg": b"b"})
    at = int(datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp())
    os.utime(card / "a.jpg", (at, at))
    assert site.ingest_json(card)["new"] == 2
    assert site.ingest_json(card)["failed"] == 0
    assert complaints(site, [b"a", b"b"]) == []


def test_a_card_whose_own_name_is_no_utf8_is_docked(site: Site, tmp_path: Path) -> None:
    card = tmp_path / os.fsdecode(b"card\xff\x1b[31m")
    make_card(card, {"a.jpg": b"a"})
    done = site.run("ingest", card, "--json")
    assert done.returncode == 0, done.stderr
    _clean(done.stdout + done.stderr)
    assert site.ingest_json(card)["skipped"] == 1
    assert complaints(site, [b"a"]) == []


def test_more_files_than_allowed_are_reported_not_forgotten(tmp_path: Path) -> None:
    site = make_site(tmp_path / "station", more="max_files = 5")
    answer = site.ingest_json(make_card(tmp_path / "card", {f"{n}": b"%d" % n for n in range(9)}), expect=1)
    assert (answer["new"], answer["failed"], answer["state"]) == (5, 1, "incomplete")
    assert any(f["code"] == "too-many-files" for f in answer["findings"])
    assert complaints(site) == []
