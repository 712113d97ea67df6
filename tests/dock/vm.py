#!/usr/bin/env python3
"""One QEMU virtual machine that plays the docking station; standard library only.

    vm = VM("name"); vm.start(disks=[...]); vm.run("lsblk"); vm.plug("r1", card); vm.unplug("r1")

By hand: `vm.py start [--disk data.img] | run CMD | plug ID IMG [--bps N] [--port N] | plug-mtp ID DIR
| unplug ID | powercut | stop | hmp LINE`, with `--name` for more than one machine.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qmp import QMP

CHECKOUT = Path(__file__).resolve().parents[2]


def lab_dir() -> Path:
    """Where images and running machines are kept: $MEDIAD_DOCKVM, else var/dockvm in the checkout."""
    return Path(os.environ.get("MEDIAD_DOCKVM") or CHECKOUT / "var" / "dockvm").resolve()


def pick_accel() -> str:
    """KVM only where it is the hardware kind.

    A host whose /dev/kvm is a software module runs a stock kernel by emulating it one instruction at a time,
    far slower than QEMU's own translator (TCG).  $MEDIAD_DOCKVM_ACCEL overrides.
    """
    if forced := os.environ.get("MEDIAD_DOCKVM_ACCEL"):
        return forced
    hardware = any(Path("/sys/module", m).exists() for m in ("kvm_intel", "kvm_amd"))
    return "kvm" if hardware and os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg"


class VM:
    """A machine by name; its sockets, console log and pid file are in `<lab>/run/<name>/`."""

    def __init__(self, name: str = "vm", lab: Path | None = None) -> None:
        self.lab = lab or lab_dir()
        self.dir = self.lab / "run" / name
        self.share = self.dir / "share"
        # a socket's path may have 107 characters, which a checkout and a long scenario name exceed
        short = hashlib.sha256(str(self.dir).encode()).hexdigest()[:12]
        self.sockets = Path(tempfile.gettempdir()) / f"mediad-dock-{short}"
        self.pid = 0
        self.boot_seconds = 0.0
        self._proc: subprocess.Popen[bytes] | None = None
        self._qmp: QMP | None = None
        self._channel: socket.socket | None = None
        self._waiting: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    # ---- life cycle --------------------------------------------------------------------------------------

    def start(
        self,
        disks: Sequence[Path] = (),
        *,
        root: Path | None = None,
        incoming: Path | None = None,
        mem: str = "2G",
        cpus: int = 2,
        timeout: float = 420,
        usb: Sequence[Sequence[str]] = (),
        keep: bool = False,
    ) -> VM:
        """Start and wait until commands can be run in the guest.

        `disks` are images, in the guest /dev/vdb, /dev/vdc ...; they persist.  `root` is a qcow2
        overlay of the base image that persists as well; without it the root disk is thrown away.
        `incoming` is a file made by save(): it needs the overlay and disks as they were then.  `usb` are
        further QEMU arguments, e.g. a card that is plugged in before the machine is switched on.  The machine
        dies with this process, however that ends, unless `keep` is set.
        """
        self.share.mkdir(parents=True, exist_ok=True)
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        # QEMU is given sockets that listen already: whoever connects is answered as soon as it can, or told that it died.
        listening = [self._listen(name) for name in ("agent", "qmp")]
        cmd = self._command(disks, root, mem, cpus, *(s.fileno() for s in listening))
        for words in usb:
            cmd += words
        if incoming:
            cmd += ["-incoming", f"exec:cat {incoming}"]
        if not keep:
            cmd = ["setpriv", "--pdeathsig", "KILL", "--", *cmd]
        began = time.monotonic()
        with (self.dir / "qemu.log").open("wb") as log:
            # qemu reads file names on the 9p share and the MTP folder in the process's locale
            self._proc = subprocess.Popen(
                cmd,
                env=dict(os.environ, LC_ALL="C.UTF-8"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                pass_fds=[s.fileno() for s in listening],
            )
        self.pid = self._proc.pid
        (self.dir / "pid").write_text(str(self.pid))
        for s in listening:
            s.close()
        try:
            self._qmp = QMP(self.sockets / "qmp")
        except ConnectionError as e:
            raise self._died() from e
        self.wait_agent(timeout)
        self.boot_seconds = time.monotonic() - began
        if incoming:
            self.run(f"date -s @{time.time():.3f}", check=True)  # the guest's clock stood still
        self.run(
            "mkdir -p /host && mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 host /host",
            check=True,
        )
        return self

    def _listen(self, name: str) -> socket.socket:
        path = self.sockets / name
        path.unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(path))
        sock.listen(1)
        return sock

    def _died(self) -> RuntimeError:
        return RuntimeError("qemu died: " + (self.dir / "qemu.log").read_text())

    def _command(
        self, disks: Sequence[Path], root: Path | None, mem: str, cpus: int, agent: int, monitor: int
    ) -> list[str]:
        drive = (
            # writeback: with an unsafe cache the overlay's own tables would be lost by SIGKILL
            f"file={root},format=qcow2,if=none,id=root,cache=writeback"
            if root
            else f"file={self.lab}/base.ext4,format=raw,if=none,id=root,snapshot=on,cache=unsafe"
        )
        cmd = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-M", "q35"]
        if pick_accel() == "kvm":
            cmd += ["-accel", "kvm", "-cpu", "host,arch-capabilities=off"]
        else:
            cmd += ["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max,la57=off"]
        append = "root=/dev/vda rw console=ttyS0 quiet loglevel=4 fsck.mode=skip mitigations=off"
        cmd += [
            "-smp",
            str(cpus),
            "-m",
            mem,
            "-kernel",
            f"{self.lab}/vmlinux",
            "-initrd",
            f"{self.lab}/initrd",
        ]
        cmd += ["-append", append, "-drive", drive, "-device", "virtio-blk-pci,drive=root,serial=root"]
        cmd += ["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]
        cmd += ["-chardev", f"socket,id=ag,fd={agent},server=on,wait=off"]
        cmd += ["-device", "virtserialport,chardev=ag,name=lab.0"]
        cmd += ["-chardev", f"file,id=con,path={self.dir}/console.log", "-serial", "chardev:con"]
        cmd += ["-chardev", f"socket,id=mon,fd={monitor},server=on,wait=off", "-mon", "chardev=mon,mode=control"]
        cmd += ["-fsdev", f"local,id=h,path={self.share},security_model=none"]
        cmd += ["-device", "virtio-9p-pci,fsdev=h,mount_tag=host", "-device", "qemu-xhci,id=xhci,p2=15,p3=15"]
        for i, disk in enumerate(disks):
            fmt = "qcow2" if disk.suffix == ".qcow2" else "raw"
            cmd += ["-drive", f"file={disk},format={fmt},if=none,id=d{i},cache=writeback"]
            cmd += ["-device", f"virtio-blk-pci,drive=d{i},serial=data{i}"]
        return cmd

    def save(self, path: Path) -> None:
        """Write the running state to a file, then power off.  No data disk mounted, no recorder plugged."""
        self.run("umount /host; sync; echo 3 >/proc/sys/vm/drop_caches", check=True)
        part = path.with_suffix(".part")
        self.qmp("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
        self.qmp("migrate", uri=f"exec:cat > {part}")
        while (status := self.qmp.wait("MIGRATION", timeout=600)["data"]["status"]) not in ("completed", "failed"):
            pass
        self.powercut()
        if status != "completed":
            raise RuntimeError("saving the running state: " + status)
        part.rename(path)

    def attach(self) -> VM:
        """Take over a machine that another process started."""
        self.pid = int((self.dir / "pid").read_text())
        self._qmp = self._qmp or QMP(self.sockets / "qmp")
        return self

    @property
    def qmp(self) -> QMP:
        if self._qmp is None:
            raise RuntimeError("the machine is not running")
        return self._qmp

    def powercut(self) -> None:
        """Pull the plug: the guest's memory is gone, page cache included.

        Of a raw disk all is kept that QEMU was given.  Of a qcow2 overlay only what was flushed: QEMU
        keeps the tables of newly written clusters in memory until a flush, as drives do with data.
        """
        os.kill(self.pid, signal.SIGKILL)
        self._reap()

    def stop(self) -> None:
        """Shut down in order; after 60 s without success by force."""
        with contextlib.suppress(OSError, TimeoutError):  # it may be going down already
            self.run("sync; systemctl poweroff --no-block", timeout=20)
        with contextlib.suppress(ProcessLookupError):
            process = os.pidfd_open(self.pid)
            try:
                if not select.select([process], [], [], 60)[0]:
                    os.kill(self.pid, signal.SIGKILL)
            finally:
                os.close(process)
        self._reap()

    def alive(self) -> bool:
        if self._proc is not None:
            return self._proc.poll() is None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return self.pid != 0

    def _reap(self) -> None:
        if self._proc is not None:
            self._proc.wait()
        if self._qmp is not None:
            self._qmp.close()
        if self._channel is not None:
            self._channel.close()
        shutil.rmtree(self.sockets, ignore_errors=True)
        self._qmp = self._channel = None

    # ---- commands in the guest ---------------------------------------------------------------------------

    def _connect(self) -> None:
        if self._channel is not None:
            return
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(self.sockets / "agent"))
        self._channel, self._waiting = sock, {}
        threading.Thread(target=self._reader, args=(sock,), daemon=True).start()

    def _reader(self, sock: socket.socket) -> None:
        buf = b""
        while True:
            try:
                data = sock.recv(1 << 16)
            except OSError:
                data = b""
            if not data:
                for w in list(self._waiting.values()):
                    w["done"].set()
                return
            buf += data
            while b"\n" in buf:
                line, buf = buf.split(b"\n", 1)
                try:
                    m = json.loads(line)
                except ValueError:
                    continue
                if w := self._waiting.pop(m.get("id"), None):
                    w["reply"] = m
                    w["done"].set()

    def _send(self, **req: Any) -> dict[str, Any]:
        self._connect()
        req["id"] = uuid.uuid4().hex
        w = self._waiting[req["id"]] = {"done": threading.Event(), "reply": None}
        with self._lock:
            assert self._channel is not None
            self._channel.sendall(json.dumps(req).encode() + b"\n")
        return w

    def wait_agent(self, timeout: float) -> None:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            w = self._send(ping=1)
            if w["done"].wait(0.25) and w["reply"]:
                return
            if not self.alive():
                raise self._died()
        raise TimeoutError(f"no answer from the guest; see {self.dir}/console.log")

    def spawn(self, sh: str, stdin: str = "", timeout: float | None = None) -> Callable[..., dict[str, Any]]:
        """Start a command in the guest; returns a function that waits for `{rc, out, err}`."""
        w = self._send(sh=sh, stdin=stdin, timeout=timeout)

        def get(t: float | None = None) -> dict[str, Any]:
            if not w["done"].wait(t):
                raise TimeoutError(sh)
            if w["reply"] is None:
                raise ConnectionError("the machine went away")
            return dict(w["reply"])

        return get

    def run(self, sh: str, stdin: str = "", timeout: float = 180, check: bool = False) -> dict[str, Any]:
        r = self.spawn(sh, stdin, timeout)(timeout + 20)
        if check and r["rc"]:
            raise RuntimeError(f"rc={r['rc']} {sh}\n{r['out']}{r['err']}")
        return r

    # ---- recorders ---------------------------------------------------------------------------------------

    def hub(self, id: str, port: int, ports: int = 8) -> str:
        """Plug in a hub; its downstream ports are `<port>.1`, `<port>.2` ... on the same bus."""
        self.qmp("device_add", driver="usb-hub", id=id, bus="xhci.0", port=str(port), ports=ports)
        return str(port)

    def plug(
        self,
        id: str,
        image: Path,
        *,
        bps: int = 0,
        bus: str = "xhci.0",
        port: str | int | None = None,
        serial: str | None = None,
        inject: list[dict[str, Any]] | None = None,
    ) -> None:
        """Hot-plug a card image.  `bps` throttles (bytes a second); `inject` is a blkdebug inject-error list,
        e.g. `[{"event": "none", "iotype": "read", "sector": 4096, "errno": 5}]`."""
        node: dict[str, Any] = {"driver": "file", "filename": str(Path(image).resolve())}
        if inject:
            node = {"driver": "blkdebug", "image": node, "inject-error": inject}
        node = {"driver": "raw", "file": node}
        if bps:
            limits = {"bps-total": bps}
            self.qmp("object-add", **{"qom-type": "throttle-group", "id": f"tg-{id}", "limits": limits})
            node = {"driver": "throttle", "throttle-group": f"tg-{id}", "file": node}
        self.qmp("blockdev-add", **{**node, "node-name": f"n-{id}", "read-only": False})
        device = {"driver": "usb-storage", "id": id, "drive": f"n-{id}", "bus": bus, "removable": True}
        device["serial"] = serial or f"REC{id}"
        if port:
            device["port"] = str(port)
        self.qmp("device_add", **device)

    def throttle(self, id: str, bps: int) -> None:
        """Another speed for a recorder that was plugged with one; 0 lifts the limit."""
        self.qmp("qom-set", path=f"/objects/tg-{id}", property="limits", value={"bps-total": bps})

    def plug_mtp(self, id: str, folder: Path, *, bus: str = "xhci.0", port: str | int | None = None) -> None:
        more = {"port": str(port)} if port else {}
        self.qmp(
            "device_add",
            driver="usb-mtp",
            id=id,
            rootdir=str(Path(folder).resolve()),
            bus=bus,
            readonly=True,
            desc="Recorder",
            **more,
        )

    def plug_device(self, id: str, driver: str, *, bus: str = "xhci.0", port: str | int, **more: Any) -> None:
        """Any other USB device QEMU knows, e.g. a control device that is no disk."""
        self.qmp("device_add", driver=driver, id=id, bus=bus, port=str(port), **more)

    def unplug(self, id: str) -> None:
        """Yank it: USB needs no consent from the guest."""
        self.qmp("device_del", id=id)
        self.qmp.wait("DEVICE_DELETED", device=id)
        for cmd, args in (("blockdev-del", {"node-name": f"n-{id}"}), ("object-del", {"id": f"tg-{id}"})):
            with contextlib.suppress(RuntimeError):  # was not throttled, or not a disk
                self.qmp(cmd, **args)


def main() -> None:
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("op")
    a.add_argument("args", nargs="*")
    a.add_argument("--name", default="vm")
    a.add_argument("--disk", action="append", default=[], type=Path)
    a.add_argument("--root", type=Path)
    a.add_argument("--incoming", type=Path)
    a.add_argument("--bps", type=int, default=0)
    a.add_argument("--port")
    o = a.parse_args()
    vm = VM(o.name)
    if o.op == "start":
        vm.start(disks=o.disk, root=o.root, incoming=o.incoming, keep=True)
        print(f"pid {vm.pid}, {pick_accel()}, usable after {vm.boot_seconds:.2f} s")
        return
    vm.attach()
    if o.op == "run":
        r = vm.run(" ".join(o.args))
        sys.stdout.write(r["out"])
        sys.stderr.write(r["err"])
        sys.exit(r["rc"])
    elif o.op == "plug":
        vm.plug(o.args[0], Path(o.args[1]), bps=o.bps, port=o.port)
    elif o.op == "plug-mtp":
        vm.plug_mtp(o.args[0], Path(o.args[1]), port=o.port)
    elif o.op == "unplug":
        vm.unplug(*o.args)
    elif o.op == "powercut":
        vm.powercut()
    elif o.op == "stop":
        vm.stop()
    elif o.op == "hmp":
        print(vm.qmp("human-monitor-command", **{"command-line": " ".join(o.args)}))
    else:
        a.error("unknown " + o.op)


if __name__ == "__main__":
    main()
