"""The folder of previews: exchanged whole, never trusted, never in the way of evidence."""

import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mediad.edges import derived as module
from mediad.edges.derived import Derived
from mediad.edges.pump import BufferPool
from mediad.edges.vault import LocalVault
from mediad.errors import StorageError, VaultFull, VaultOffline
from mediad.model.derived import About, AboutFile, Made
from mediad.model.probe import Remark
from tests.support import make_card, make_site, noise, sha256

RECORDING = "rec-" + "a" * 26
OTHER = "rec-" + "b" * 26
ABOUT = About(RECORDING, "0" * 64, "2026-11-24T16:00:00Z", seconds=3.0, video="copy", remarks=(Remark("a", "b"),))


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[LocalVault]:
    made = LocalVault("local", tmp_path / "vault", "test-01", BufferPool(2), volatile=True)
    made.register("marker-1")
    made.open("marker-1")
    yield made


@pytest.fixture
def previews(vault: LocalVault) -> Derived:
    return Derived(vault, "test-01", lambda: 0)


def proxy(vault: LocalVault) -> Path:
    return vault.root / "derived" / RECORDING / "proxy.mp4"


def install(previews: Derived, content: bytes = b"proxy", recording: str = RECORDING) -> About:
    with previews.scratch() as scratch:
        (scratch / "made").write_bytes(content)
        about = About(recording, "0" * 64, "2026-11-24T16:00:00Z")
        return previews.install(recording, scratch, {"proxy.mp4": "made"}, about, most=1000)


def test_a_preview_lies_whole_in_its_folder_and_its_manifest_names_every_file(
    vault: LocalVault, previews: Derived
) -> None:
    """What is read back is what was installed; nobody may write to it, and no working folder is left."""
    with previews.scratch("job") as scratch:
        (scratch / "p").write_bytes(b"proxy")
        (scratch / "q").write_bytes(b"poster")
        names = {"proxy.mp4": "p", "poster.jpg": "q"}
        written = previews.install(RECORDING, scratch, names, ABOUT, most=1000)
    assert {(f.name, f.size, f.sha256) for f in written.files} == {
        ("proxy.mp4", 5, sha256(b"proxy")),
        ("poster.jpg", 6, sha256(b"poster")),
    }
    assert previews.read_about(RECORDING) == written
    folder = vault.root / "derived" / RECORDING
    assert sorted(os.listdir(folder)) == ["about.json", "poster.jpg", "proxy.mp4"]
    assert {stat.S_IMODE((folder / n).stat().st_mode) for n in os.listdir(folder)} == {0o440}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o550
    assert os.listdir(vault.root / "derived/.work-test-01") == []


def test_a_new_preview_takes_the_place_of_the_old_one_as_a_whole(vault: LocalVault, previews: Derived) -> None:
    install(previews, b"old")
    (vault.root / "derived" / RECORDING).chmod(0o750)
    (vault.root / "derived" / RECORDING / "more").write_bytes(b"stray")
    install(previews, b"new!")
    assert sorted(os.listdir(vault.root / "derived" / RECORDING)) == ["about.json", "proxy.mp4"]
    assert proxy(vault).read_bytes() == b"new!"
    assert os.listdir(vault.root / "derived/.work-test-01") == []


@pytest.mark.parametrize("when", ["before the work", "at the end of it", "in the middle of it"])
def test_all_previews_removed_while_one_is_made_is_tried_again_later(
    vault: LocalVault, previews: Derived, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """An administrator makes room, at the worst moment: that is said, and the next one finds its folder again."""
    if when == "before the work":  # behind the back of whom has just opened the folder
        real = os.mkdir

        def mkdir(path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
            if str(path).startswith("job-"):
                shutil.rmtree(vault.root / "derived")
            real(path, mode, dir_fd=dir_fd)

        monkeypatch.setattr(module.os, "mkdir", mkdir)
    with pytest.raises(StorageError) as caught, previews.scratch() as scratch:
        (scratch / "made").write_bytes(b"proxy")
        shutil.rmtree(vault.root / "derived")
        if when == "in the middle of it":
            (scratch / "more").write_bytes(b"proxy")
        previews.install(RECORDING, scratch, {"proxy.mp4": "made"}, ABOUT, most=1000)
    assert (caught.value.code, caught.value.retry) == ("storage", "later") and caught.value.hint
    monkeypatch.undo()
    with pytest.raises(StorageError, match="was removed"):
        previews.install(RECORDING, vault.root / "gone", {"proxy.mp4": "made"}, ABOUT, most=1000)
    assert install(previews).file("proxy.mp4")
    with pytest.raises(FileNotFoundError), previews.scratch() as scratch:
        (scratch / "no such folder" / "x").write_bytes(b"")  # a fault of ours is not hidden


def test_a_crash_at_any_step_leaves_the_old_or_the_new_preview(
    previews: Derived, vault: LocalVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each system call that changes names is made to end the work once, before and after it is done."""

    class Crash(BaseException):
        pass

    old = install(previews, b"old")
    seen = set()
    for step in range(40):
        calls = iter(range(1000))

        def counted(function: object, calls: Iterator[int] = calls, step: int = step) -> object:
            def call(*arguments: object, **more: object) -> object:
                if (n := next(calls)) == 2 * step:
                    raise Crash
                answer = function(*arguments, **more)  # type: ignore[operator]
                if n == 2 * step + 1:
                    raise Crash
                return answer

            return call

        with monkeypatch.context() as patch:
            for name in ("rename", "mkdir", "unlink", "fsync"):
                patch.setattr(module.os, name, counted(getattr(os, name)))
            patch.setattr(module, "_rename", counted(module._rename))
            patch.setattr(module, "_remove", lambda *_: None)  # a process that is gone removes nothing
            try:
                install(previews, b"newer")
                done = True
            except Crash:
                done = False
        about = previews.read_about(RECORDING)
        assert about is not None, f"nothing whole is there after a crash at step {step}"
        content = proxy(vault).read_bytes()
        assert (content, about.file("proxy.mp4").size) in [(b"old", 3), (b"newer", 5)]  # type: ignore[union-attr]
        seen.add(content)
        previews.clear()
        if done:
            break
        assert install(previews, b"old").files == old.files
    assert done and seen == {b"old", b"newer"}
    assert not (vault.root / "derived/.work-test-01").exists()


def test_a_file_system_that_cannot_exchange_folders_gets_the_new_one_all_the_same(
    vault: LocalVault, previews: Derived, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_rename", lambda *_: 22)  # EINVAL: what NFS answers
    install(previews, b"old")
    install(previews, b"new")
    assert proxy(vault).read_bytes() == b"new"


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "folder", "large", "missing"])
def test_only_plain_files_of_a_bounded_size_are_taken_from_a_sandbox(
    vault: LocalVault, previews: Derived, kind: str
) -> None:
    """Whatever else stands under the expected name is refused; the preview before stays."""
    install(previews, b"old")
    secret = vault.root / "secret"
    secret.write_bytes(b"secret")
    with previews.scratch() as scratch:
        made = scratch / "made"
        match kind:
            case "link":
                made.symlink_to(secret)
            case "hard link":
                os.link(secret, made)
            case "pipe":
                os.mkfifo(made)
            case "folder":
                made.mkdir()
            case "large":
                made.write_bytes(b"x" * 1001)
        with pytest.raises(StorageError):
            previews.install(RECORDING, scratch, {"proxy.mp4": "made"}, ABOUT, most=1000)
    assert proxy(vault).read_bytes() == b"old"
    assert secret.read_bytes() == b"secret" and stat.S_IMODE(secret.stat().st_mode) == 0o644
    assert os.listdir(vault.root / "derived/.work-test-01") == []


def test_a_link_in_place_of_a_recordings_folder_is_replaced_and_leads_nowhere(
    vault: LocalVault, previews: Derived, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "proxy.mp4").write_bytes(b"theirs")
    install(previews)
    folder = vault.root / "derived" / OTHER
    folder.symlink_to(elsewhere)
    assert previews.read_about(OTHER) is None
    install(previews, b"mine", OTHER)
    assert not folder.is_symlink() and (folder / "proxy.mp4").read_bytes() == b"mine"
    assert (elsewhere / "proxy.mp4").read_bytes() == b"theirs"


def test_removing_a_link_removes_the_link_alone(vault: LocalVault, previews: Derived, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/file").write_bytes(b"theirs")
    install(previews)
    (vault.root / "derived" / OTHER).symlink_to(tmp_path / "elsewhere")
    assert previews.remove(OTHER) is True
    assert (tmp_path / "elsewhere/file").exists() and not (vault.root / "derived" / OTHER).is_symlink()


@pytest.mark.parametrize("planted", ["derived", "derived/.work-test-01"])
def test_a_folder_of_previews_that_leads_elsewhere_is_not_written_to(
    vault: LocalVault, previews: Derived, tmp_path: Path, planted: str
) -> None:
    """``derived`` or the working folder as a link: refused, and nothing appears where it points."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (vault.root / planted).parent.mkdir(exist_ok=True)
    (vault.root / planted).symlink_to(elsewhere)
    with pytest.raises(VaultOffline), previews.scratch():
        raise AssertionError("a scratch folder was made through a link")
    assert os.listdir(elsewhere) == []
    if planted == "derived":
        assert previews.read_about(RECORDING) is None
        with pytest.raises(VaultOffline):
            previews.clear()
    else:
        previews.clear()  # the link goes, what it points to stays
        assert elsewhere.is_dir() and not (vault.root / planted).is_symlink()


def test_a_preview_that_lacks_a_file_or_has_another_size_is_none(vault: LocalVault, previews: Derived) -> None:
    """What somebody changed, or half removed, is made again."""
    install(previews)
    folder = vault.root / "derived" / RECORDING
    folder.chmod(0o750)
    (folder / "proxy.mp4").chmod(0o640)
    (folder / "proxy.mp4").write_bytes(b"longer than it was")
    assert previews.read_about(RECORDING) is None
    (folder / "proxy.mp4").unlink()
    assert previews.read_about(RECORDING) is None
    (folder / "proxy.mp4").symlink_to(vault.root / ".mediad-vault.json")
    assert previews.read_about(RECORDING) is None


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", '{"format": "mediad-derived/1"}', "[" * 100_000,
        json.dumps({**ABOUT.as_json(), "files": [{"name": "../../etc/passwd", "size": 1, "sha256": "0" * 64}]}),
        json.dumps({**ABOUT.as_json(), "files": [{"name": "proxy.mp4", "size": -1, "sha256": "0" * 64}]}),
        json.dumps({**ABOUT.as_json(), "fingerprint": "x"}),
        json.dumps({**ABOUT.as_json(), "recording": OTHER}),
    ],
)  # fmt: skip
def test_a_manifest_that_somebody_planted_is_none(vault: LocalVault, previews: Derived, text: str) -> None:
    folder = vault.root / "derived" / RECORDING
    folder.mkdir(parents=True)
    (folder / "about.json").write_text(text)
    assert previews.read_about(RECORDING) is None


def test_a_manifest_reads_back_as_it_was_written() -> None:
    made = Made(("proxy.mp4",), 3.5, "copy", "encode", "", (Remark("differs", "it plays 3 s"),))
    about = About.of(
        made, recording=RECORDING, fingerprint="f" * 64, made_at="2026-11-24T16:00:00Z", tools=["ffmpeg 5"]
    )
    about = about.with_files([AboutFile("proxy.mp4", 5, "0" * 64)])
    assert About.from_json(json.loads(json.dumps(about.as_json()))) == about


def test_a_vault_without_room_above_its_reserve_takes_no_preview(vault: LocalVault) -> None:
    previews = Derived(vault, "test-01", lambda: vault.space().free + 1)
    with pytest.raises(VaultFull), previews.scratch():
        raise AssertionError("a scratch folder was made in a full vault")
    assert not (vault.root / "derived").exists()


def test_a_vault_that_is_not_mounted_gets_no_folder_of_previews(vault: LocalVault, previews: Derived) -> None:
    (vault.root / ".mediad-vault.json").unlink()
    with pytest.raises(VaultOffline), previews.scratch():
        raise AssertionError("a scratch folder was made in an empty mount point")
    with pytest.raises(VaultOffline):
        previews.remove(RECORDING)
    assert not (vault.root / "derived").exists()


def test_what_a_killed_process_left_is_removed_at_the_next_start(vault: LocalVault, previews: Derived) -> None:
    """Also with folders that cannot be entered, and without touching previews or another station's work."""
    install(previews)
    left = vault.root / "derived/.work-test-01/job-1/out"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"half")
    left.chmod(0o000)
    other = vault.root / "derived/.work-test-02/job"
    other.mkdir(parents=True)
    previews.clear()
    assert not (vault.root / "derived/.work-test-01").exists() and other.is_dir()
    assert previews.read_about(RECORDING) is not None


def test_removing_says_whether_there_was_anything(previews: Derived, vault: LocalVault) -> None:
    assert previews.remove(RECORDING) is False
    install(previews)
    assert previews.remove(RECORDING) is True
    assert not (vault.root / "derived" / RECORDING).exists() and previews.remove(RECORDING) is False


@pytest.mark.parametrize("name", ["../originals", "rec-short", "", ".work-test-01", "rec-" + "A" * 26])
def test_a_name_that_is_no_recordings_never_becomes_a_path(previews: Derived, name: str) -> None:
    for call in (previews.remove, previews.read_about):
        with pytest.raises(ValueError, match="recording"):
            call(name)


def test_the_auditor_neither_complains_of_previews_nor_counts_them(tmp_path: Path) -> None:
    """Whole, half and planted ones: a sound vault stays sound, and originals that are gone are not found among them."""
    site = make_site(tmp_path / "site")
    content = b"\0\0\0\x18ftypmp42" + noise(5_000, 1)
    site.ingest_json(make_card(tmp_path / "card", {"DCIM/a.mp4": content}))
    folder = site.vault / "derived" / RECORDING
    folder.mkdir(parents=True)
    (folder / "proxy.mp4").write_bytes(content)
    (folder / "about.json").write_text("{}")
    (site.vault / "derived/.work-test-01").mkdir()
    (site.vault / "derived/link").symlink_to("/etc")
    assert site.run("fsck", "--json").returncode == 0
    original = next((site.vault / "originals").glob("*/*/*/*/*/ast-*"))
    original.parent.chmod(0o750)
    original.unlink()
    done = site.run("fsck", "--json")
    assert done.returncode == 1 and "missing" in done.stdout
