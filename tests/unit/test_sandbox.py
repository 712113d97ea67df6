"""The sandbox of the media parsers: what a program inside can see and take, and that nothing of it outlives its supervisor."""

import importlib.util
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mediad.edges import program
from mediad.edges.sandbox import MAX_INPUTS, Limits, Sandbox, end_left
from mediad.errors import StorageError
from tests.support import needs_root

SH = "/usr/bin/sh"
QUICK = Limits(cpu_seconds=5, seconds=20)


def sh(script: str, **more: object) -> program.Outcome:
    more.setdefault("limits", QUICK)
    return Sandbox().run([SH, "-c", script], **more)  # type: ignore[arg-type]


def test_it_can_be_had_here() -> None:
    """Its check runs a program inside and names the tool."""
    assert Sandbox().check().endswith("/bwrap")


def test_a_program_sees_its_inputs_its_output_and_no_other_file(tmp_path: Path) -> None:
    """Neither the folder beside an input, nor users' homes, nor the service's variables."""
    (tmp_path / "given").write_text("given")
    (tmp_path / "beside").write_text("secret")
    out = tmp_path / "out"
    out.mkdir()
    got = sh(
        f"cat /in/0001; ls /in / ; env; cat {tmp_path}/beside /etc/passwd /root/.bashrc /proc/1/environ; echo made > /out/x",
        inputs={"0001": tmp_path / "given"},
        output=out,
    )
    assert got.out.startswith(b"given")
    assert b"secret" not in got.out
    assert b"root:" not in got.out
    variables = {line.split("=")[0] for line in got.out.decode().splitlines() if "=" in line}
    assert variables <= {"PATH", "LANG", "HOME", "TZ", "PWD", "_", "OLDPWD", "SHLVL"}
    assert (out / "x").read_text() == "made\n"
    assert (out / "x").stat().st_uid == os.getuid()


def test_an_input_cannot_be_written(tmp_path: Path) -> None:
    """Originals are read-only inside, whoever runs the service."""
    (tmp_path / "a").write_text("evidence")
    got = sh("echo spoilt > /in/a; rm /in/a; mv /in/a /tmp/b; chmod 777 /in/a; echo done", inputs={"a": tmp_path / "a"})
    assert got.out == b"done\n"
    assert (tmp_path / "a").read_text() == "evidence"


def test_nothing_can_be_written_but_tmp_and_out(tmp_path: Path) -> None:
    """The file systems that bubblewrap makes of memory are closed; /tmp has a limit."""
    got = sh(
        "for d in / /dev /dev/shm /in /usr /proc; do touch $d/x 2>/dev/null && echo $d; done;"
        "head -c 99999999 /dev/zero >/tmp/x",
        limits=Limits(file_size=1 << 30, seconds=20),
    )
    assert got.out == b""
    assert b"No space" in got.err


def test_there_is_no_network() -> None:
    """Not even the loopback of the station."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"
        got = Sandbox().run([*Sandbox().python("code")[:-1], code], limits=QUICK)
        assert b"OSError" in got.err or b"refused" in got.err or b"unreachable" in got.err
        assert not select.select([server], [], [], 0)[0]


def test_no_capability_and_no_further_namespace() -> None:
    """What is left of rights is none, also for root."""
    got = sh("grep Cap /proc/self/status; unshare -U true && echo escaped; ls /proc | grep -c '^[0-9]'")
    lines = got.out.decode().splitlines()
    assert [line.split()[1] for line in lines[:5]] == ["0" * 16] * 5
    assert "escaped" not in lines
    assert int(lines[-1]) < 8  # no process but its own


def test_too_long_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    """Also what went to the background, and before ``run`` returns."""
    out = tmp_path / "out"
    out.mkdir()
    got = sh(
        "(while sleep 0.01; do echo x >> /out/x; done) & setsid sleep 1000",
        output=out,
        limits=Limits(seconds=1, cpu_seconds=50),
    )
    assert got.late
    size = (out / "x").stat().st_size
    assert size > 0
    assert [p for p in processes() if str(out) in p] == []
    assert (out / "x").stat().st_size == size


def test_what_a_program_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    """A daemon of its own does not go on writing after its answer."""
    out = tmp_path / "out"
    out.mkdir()
    got = sh("(trap '' HUP TERM; while sleep 0.01; do echo x >> /out/x; done) & sleep 0.2; echo done", output=out)
    assert got.out == b"done\n"
    size = (out / "x").stat().st_size if (out / "x").exists() else 0
    os.sync()
    assert ((out / "x").stat().st_size if (out / "x").exists() else 0) == size


@pytest.mark.parametrize(
    ("script", "limits", "code"),
    [
        ("exec sh -c 'while :; do :; done'", Limits(cpu_seconds=1, seconds=20), 128 + signal.SIGXCPU),
        ("exec head -c 3000000 /dev/zero > /out/x", Limits(file_size=1_000_000, seconds=20), 128 + signal.SIGXFSZ),
    ],
    ids=["cpu", "file size"],
)
def test_a_limit_ends_it_by_a_signal_of_its_own(tmp_path: Path, script: str, limits: Limits, code: int) -> None:
    """CPU seconds and the size of a file, told apart from being killed by the machine."""
    got = sh(script, output=tmp_path, limits=limits)
    assert got.code == code
    assert not got.late


def test_memory_is_limited() -> None:
    """An allocation above the limit fails inside; the machine does not feel it."""
    code = "bytearray(3 << 30)"
    got = Sandbox().run([*Sandbox().python("x")[:-1], code], limits=Limits(memory=1 << 30, seconds=20))
    assert got.code == 1
    assert b"MemoryError" in got.err


def test_many_files_or_many_bytes_in_the_output_end_it(tmp_path: Path) -> None:
    """A single file's limit does not bound their sum; the sum is watched from outside."""
    got = sh(
        "for i in $(seq 100); do head -c 500000 /dev/zero > /out/$i; done; sleep 25",
        output=tmp_path,
        limits=Limits(file_size=1_000_000, folder=5_000_000, seconds=30, cpu_seconds=30),
    )
    assert got.too_much
    assert not got.late


def test_the_sum_and_the_number_of_files_are_limited_also_where_nobody_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four times what one file may have; and files that hold nothing cost the vault as well."""
    more = "for i in 1 2 3 4 5; do head -c 900000 /dev/zero > /out/$i; done; sleep 20"
    assert sh(more, output=tmp_path, limits=Limits(file_size=1_000_000, seconds=30)).too_much
    less = more.replace(" 4 5", "").replace("20", "0.6")
    for left in tmp_path.iterdir():
        left.unlink()
    assert not sh(less, output=tmp_path, limits=Limits(file_size=1_000_000, seconds=30)).too_much
    monkeypatch.setattr("mediad.edges.sandbox.MAX_ENTRIES", 50)
    assert sh("mkdir /out/d; for i in $(seq 60); do : > /out/d/$i; done; sleep 20", output=tmp_path).too_much


def test_a_program_has_a_session_of_its_own_and_limits_of_every_kind() -> None:
    """No terminal to write into; no core of an original's bytes; and no more open files or processes than it needs."""
    got = sh(
        "cut -d' ' -f6 /proc/self/stat; cat /proc/self/limits", limits=Limits(memory=1 << 30, file_size=1 << 20)
    ).out
    session, *lines = got.decode().splitlines()
    assert session != "0", "the session is one of outside"
    told = {line[:26].strip(): line[26:].split()[:2] for line in lines}
    assert told["Max core file size"] == ["0", "0"]
    assert told["Max open files"] == ["256", "256"]
    assert told["Max processes"] == ["160", "160"]
    assert told["Max address space"] == [str(1 << 30)] * 2
    assert told["Max file size"] == [str(1 << 20)] * 2
    assert told["Max cpu time"] == ["60", "62"]


def test_only_who_has_a_device_sees_what_the_kernel_says_of_devices() -> None:
    """Drivers look their card up there."""
    assert sh("ls /sys/dev/char", devices=["/dev/null"]).code == 0
    assert sh("ls /sys").code != 0


def test_a_folder_closed_to_be_unseen_counts_as_too_much(tmp_path: Path) -> None:
    """Taking the right to look away does not help (root looks anyway, and finds the bytes)."""
    got = sh(
        "mkdir /out/d; head -c 900000 /dev/zero >/out/d/x; chmod 0 /out/d; sleep 9",
        output=tmp_path,
        limits=Limits(folder=500_000, seconds=20),
    )
    (tmp_path / "d").chmod(0o700)
    assert got.too_much


def test_endless_answers_are_cut() -> None:
    """Standard output and error have a limit."""
    got = sh("yes", limits=Limits(output=100_000, seconds=20))
    assert got.too_much
    assert len(got.out) == 100_000


def test_standard_input_and_progress() -> None:
    """A request goes in whole, whatever its size; output is heard as it comes."""
    heard: list[bytes] = []
    got = sh("wc -c; echo two", stdin=b"x" * 3_000_000, told=heard.append)
    assert b"".join(heard) == b"3000000\ntwo\n"
    assert got.out == b""


def test_a_program_that_reads_nothing_gets_no_request_stuck() -> None:
    """A request larger than a pipe, to a program that closes its input or ends."""
    assert sh("exec 0<&-; echo done", stdin=b"x" * 3_000_000).out == b"done\n"


def test_what_progress_raises_ends_the_program() -> None:
    """So a stop of the service ends a long encoding."""

    def stop(_: bytes) -> None:
        raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        sh("echo begun; sleep 1000", told=stop)
    assert time.monotonic() - start < 120


def test_a_sandbox_killed_from_outside_is_no_fault_of_the_file() -> None:
    """As when the kernel has no memory left: the work is tried again later."""

    def kill(_: bytes) -> None:
        for pid in children(os.getpid()):
            if b"bwrap" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(StorageError) as caught:
        sh("echo begun; sleep 30", told=kill)
    assert (caught.value.code, caught.value.retry) == ("sandbox-killed", "later")


def test_a_killed_supervisor_leaves_nothing_running(tmp_path: Path) -> None:
    """SIGKILL, as after running out of memory: the kernel kills what it had started."""
    out = tmp_path / "out"
    out.mkdir()
    code = (
        "import sys; from pathlib import Path; from mediad.edges.sandbox import Sandbox, Limits;"
        f"Sandbox().run(['{SH}', '-c', 'echo $$; sleep 1000 & exec sleep 1000'], output=Path({str(out)!r}),"
        " told=lambda b: (sys.stdout.write(b.decode()), sys.stdout.flush()))"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert supervisor.stdout is not None
    with supervisor.stdout:
        supervisor.stdout.readline()
        bubblewraps = [pid for pid in children(supervisor.pid) for pid in (pid, *children(pid))]
        descriptors = [os.pidfd_open(pid) for pid in bubblewraps]
        assert len(descriptors) >= 2
        supervisor.kill()
        supervisor.wait()
        for descriptor in descriptors:
            assert select.select([descriptor], [], [], 10)[0], "still running"
            os.close(descriptor)
    assert [p for p in processes() if str(out) in p] == []


def test_an_input_that_is_refused_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    """A vault that is away is asked again and again, for as long as the service lives."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(StorageError):
            sh("true", inputs={"a": tmp_path / "gone"})
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("script", "spent"),
    [
        (
            "trap 'exit 255' XCPU; while :; do :; done",
            True,
        ),  # like ffmpeg, which hears the signal and ends in its own way
        ("trap '' XCPU; while :; do :; done", True),  # killed by the hard limit
        ("kill -9 $$", False),
        ("exit 255", False),
        ("exit 0", False),
    ],
)
def test_a_program_that_has_taken_its_processor_time_is_known_however_it_ends(script: str, spent: bool) -> None:
    """And one that somebody killed, or that gave up early, is not taken for one."""
    got = sh(script, limits=Limits(cpu_seconds=2, seconds=60))
    assert got.spent == spent and not got.late
    assert got.code in (255, 137, 0)


def test_what_a_dead_worker_left_is_ended_and_nobody_elses() -> None:
    """Found by the worker's name, which the program inside does not see. A bubblewrap that was killed while it built the sandbox
    goes on like this one."""
    started, ended = threading.Event(), threading.Event()
    said: list[bytes] = []

    def told(text: bytes) -> None:
        said.append(text)
        started.set()

    def supervise() -> None:
        with suppress(StorageError):  # killed from outside
            Sandbox(worker="wrk-one").run([SH, "-c", "env; exec sleep 300"], told=told)
        ended.set()

    thread = threading.Thread(target=supervise)
    thread.start()
    assert started.wait(20)
    end_left("wrk-on")
    end_left("wrk-two")
    assert not ended.is_set()
    end_left("wrk-one")
    assert ended.wait(20)
    thread.join()
    assert b"wrk-one" not in b"".join(said)


def test_a_missing_bubblewrap_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """No parser runs without its walls."""
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None if name == "bwrap" else which(name, path=path))
    with pytest.raises(StorageError) as caught:
        Sandbox().check()
    assert (caught.value.code, caught.value.hint) == ("sandbox", "apt install bubblewrap")


def test_forbidden_user_namespaces_are_said() -> None:
    """As on a hardened kernel or in a container: the message is bubblewrap's, the hint names the settings."""
    needs_root("taking user namespaces away")
    code = (
        "from mediad.edges.sandbox import Sandbox\nfrom mediad.errors import StorageError\n"
        "try: Sandbox().run(['/usr/bin/true'])\nexcept StorageError as e: print(e.code, '|', e.message, '|', e.hint)"
    )
    closed = ["bwrap", "--dev-bind", "/", "/", "--unshare-user", "--disable-userns", "--", sys.executable, "-c", code]
    got = subprocess.run(closed, capture_output=True, text=True, check=True)
    assert got.stdout.startswith("sandbox | the sandbox of the media parsers cannot be had: bwrap: ")
    assert "user namespaces are not allowed" in got.stdout


def test_an_ordinary_user_can_have_it(tmp_path: Path) -> None:
    """The service runs as one: nothing of this needs root."""
    needs_root("becoming an ordinary user")
    code = (
        f"import sys; sys.path.insert(0, '/code/src'); from mediad.edges.sandbox import Sandbox;"
        f"from pathlib import Path; print(Sandbox().run(['{SH}', '-c', 'id -u; echo x > /out/x'], output=Path('/out')).out)"
    )
    out = tmp_path / "out"
    out.mkdir()
    os.chown(out, 12345, 12345)
    # the code of a checkout may lie in a folder that is closed for others, so it is shown at another place
    package = Path(program.__file__).parents[2]
    # fmt: off
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-ec",
             f"mkdir -p /run/mediad-test/src /run/mediad-test/out; mount -t tmpfs x /run/mediad-test; cd /run/mediad-test;"
             f"mkdir src out; mount --bind {package} src; mount --bind {out} out;"
             f"exec setpriv --reuid 12345 --regid 12345 --clear-groups /usr/bin/python3 -c \"$0\"",
             code.replace("/code/src", "/run/mediad-test/src").replace("'/out')", "'/run/mediad-test/out')")]
    # fmt: on
    got = subprocess.run(words, capture_output=True, text=True, check=False)
    assert got.stderr == ""
    assert got.stdout == "b'65534\\n'\n"
    assert (out / "x").stat().st_uid == 12345


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "..", "a b", "x" * 65, "-\n"])
def test_names_of_inputs_are_ours(tmp_path: Path, name: str) -> None:
    """A name of a recorder never becomes a path inside."""
    (tmp_path / "a").write_text("")
    with pytest.raises(ValueError, match="not a name"):
        sh("true", inputs={name: tmp_path / "a"})


def test_an_input_is_a_file_that_is_there(tmp_path: Path) -> None:
    """A link, a folder or a missing file is no input; the work is tried again later."""
    (tmp_path / "a").write_text("")
    (tmp_path / "link").symlink_to("a")
    for path in (tmp_path / "link", tmp_path, tmp_path / "missing"):
        with pytest.raises(StorageError):
            sh("true", inputs={"a": path})
    with pytest.raises(ValueError, match="inputs for one sandbox"):
        sh("true", inputs={str(n): tmp_path / "a" for n in range(MAX_INPUTS + 1)})


def test_our_python_runs_inside_with_its_libraries() -> None:
    """And sees this package and the parsers' libraries, but not the checkout around it."""
    got = Sandbox().run(Sandbox().python("mediad.model.layout", "-x", "a'b"), limits=QUICK)
    assert (got.code, got.err) == (0, b"")
    words = Sandbox().python("x")
    start = words[-1].split("try:")[0]
    code = (
        start
        + "import mediad,exifread,ffmpeg,PIL.Image,os;print(os.listdir(os.path.dirname(os.path.dirname(mediad.__file__))))"
    )
    got = Sandbox().run([*words[:-1], code], limits=QUICK)
    assert got.err == b""
    if not mediad_is_installed():
        assert got.out == b"['mediad']\n"


def test_niceness_and_idle_classes_hold_inside() -> None:
    """Nothing here can delay an ingest."""
    got = Sandbox(nice=7, idle=True).run([SH, "-c", "nice; chrt -p $$; ionice -p $$"], limits=QUICK)
    assert got.out.splitlines()[0] == b"%d" % min(os.nice(0) + 7, 19)
    assert b"SCHED_IDLE" in got.out
    assert b"idle" in got.out.splitlines()[-1]
    assert b"SCHED_OTHER" in Sandbox(nice=0, idle=False).run([SH, "-c", "chrt -p $$"], limits=QUICK).out


UNIT = Path(__file__).parents[2] / "systemd" / "mediad-derive.service"


def test_the_service_leaves_the_sandbox_what_it_needs(tmp_path: Path) -> None:
    """The kernel mounts a new /proc for an ordinary user only where nothing of the old one is covered; and each system call that
    building the sandbox takes (seen by strace) is in the unit's filter (asked of systemd)."""
    lines = UNIT.read_text().splitlines()
    settings = [line.split("=", 1) for line in lines if "=" in line and not line.startswith("#")]
    names = {name for name, _ in settings}
    assert not names & {
        "ProtectProc",
        "ProcSubset",
        "ProtectKernelTunables",
        "ProtectKernelLogs",
        "InaccessiblePaths",
        "RootDirectory",
    }
    code = "from mediad.edges.sandbox import Sandbox; Sandbox().check()"
    trace = tmp_path / "trace"
    subprocess.run(["strace", "-f", "-qq", "-o", trace, sys.executable, "-c", code], check=True)
    used = set(re.findall(r"^\d+ +([a-z0-9_]+)\(", trace.read_text(errors="replace"), re.MULTILINE))
    assert {"pivot_root", "mount"} <= used
    said = subprocess.run(["systemd-analyze", "syscall-filter"], capture_output=True, text=True, check=True).stdout
    groups: dict[str, set[str]] = {}
    for line in said.splitlines():
        if line.startswith("@"):
            groups[line.strip()] = members = set()
        elif (name := line.partition("#")[0].strip()) and groups:
            members.add(name)

    def calls(name: str) -> set[str]:
        return {name} if not name.startswith("@") else {c for m in groups[name] for c in calls(m)}

    allowed: set[str] = set()
    for name, value in settings:
        if name == "SystemCallFilter":
            named = {c for part in value.lstrip("~").split() for c in calls(part)}
            allowed = allowed - named if value.startswith("~") else allowed | named
    assert used <= allowed, sorted(used - allowed)


def test_the_layout_of_the_debian_package_works() -> None:
    """The system's Python, and package and libraries in one folder below /usr, as packaging/build-deb.sh lays them."""
    needs_root("showing a folder at another place")
    own = Path(program.__file__).parents[1]
    site = Path(importlib.util.find_spec("exifread").origin).parents[1]  # type: ignore[union-attr,arg-type]
    code = (
        "import sys; sys.path.insert(0, '/usr/local/lib/mediad')\n"
        "from mediad.edges.sandbox import Sandbox\n"
        "box = Sandbox(); words = box.python('mediad.parsers')\n"
        'got = box.run(words, stdin=b\'{"files": [{"name": "gone", "suffix": "mp4"}]}\')\n'
        "print(words[0], got.code, got.out.decode()[:60], got.err.decode())"
    )
    # fmt: off
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-ec",
             f"mount -t tmpfs x /usr/local/lib; mkdir /usr/local/lib/mediad; ln -s {own} {site}/exifread {site}/ffmpeg {site}/PIL "
             f"{site}/pillow.libs {site}/pillow_heif {site}/future {site}/past /usr/local/lib/mediad/; cd /usr/local/lib/mediad;"
             "for f in *; do t=$(readlink $f); rm $f; mkdir $f; test -d $t && mount --bind $t $f; done;"
             'exec /usr/bin/python3 -I -c "$0"', code]
    # fmt: on
    got = subprocess.run(words, capture_output=True, text=True, check=False)
    assert got.stdout.startswith("/usr/bin/python3"), got.stderr
    assert ' 0 {"name": "gone", "later": "' in got.stdout, got.stdout + got.stderr


def mediad_is_installed() -> bool:
    return program.__file__.startswith("/usr/")


def children(pid: int) -> list[int]:
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def processes() -> list[str]:
    """The command lines of all processes that have one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def test_the_sandbox_is_tried_as_promptly_as_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """What may only run when nothing else wants to would seem to be missing on a station that copies on all its processors."""
    commands: list[list[str]] = []

    def run(argv: list[str], **more: Any) -> program.Outcome:
        commands.append(argv)
        return program.run(argv, **more)

    monkeypatch.setattr("mediad.edges.sandbox.run_program", run)
    Sandbox(nice=19, idle=True).check()
    assert commands
    assert not any("--idle" in argv or "-c3" in argv or argv[argv.index("-n") + 1] != "0" for argv in commands)


def test_a_machine_that_is_too_busy_to_answer_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mediad.edges.sandbox.CHECK_SECONDS", 0.0)
    with pytest.raises(StorageError, match="overloaded"):
        Sandbox().check()
