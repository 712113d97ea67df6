"""The state every scenario starts from: the package installed, the daemon running and idle, nothing docked.

Made once per package and kept: booting takes 15 to 40 s without KVM, going on from a saved state a second.
The key covers the base image, the package, this recipe and the emulator, so that nothing stale is ever used.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cards import blank_disk
from vm import CHECKOUT, VM, lab_dir, pick_accel

HERE = Path(__file__).resolve().parent
STATE_MB, VAULT_MB = 256, 768

# What the station's administrator would write, plus short waits.
CONFIG = (HERE / "station.toml").read_text()

DROP_IN = """\
# The vault is a disk of its own: without it the daemon must not start: an empty folder is no vault.
[Unit]
RequiresMountsFor=/var/lib/mediad/vault
"""


@dataclass(frozen=True)
class Golden:
    """Paths of a prepared station: root overlay, two data disks, the running state that belongs to them."""

    root: Path
    state: Path
    vault: Path
    ram: Path


def build_package() -> Path:
    """The package of this checkout; built when its sources changed."""
    if given := os.environ.get("MEDIAD_DEB"):
        return Path(given).resolve()
    done = subprocess.run(
        [str(CHECKOUT / "packaging" / "build-deb.sh")],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
    )
    return CHECKOUT / done.stdout.splitlines()[-1]


def prepare() -> Golden:
    """Build what is missing of image, package and saved state.  Safe to call from several processes."""
    lab = lab_dir()
    lab.mkdir(parents=True, exist_ok=True)
    subprocess.run([str(HERE / "image.sh")], check=True, env=dict(os.environ, MEDIAD_DOCKVM=str(lab)))
    with (lab / ".golden.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        deb = build_package()
        key = _key(lab, deb)
        home = lab / "golden" / key
        golden = Golden(home / "root.qcow2", home / "state.img", home / "vault.img", home / "ram")
        if not golden.ram.exists():
            shutil.rmtree(lab / "golden", ignore_errors=True)
            home.mkdir(parents=True)
            _make(golden, deb)
        return golden


def _key(lab: Path, deb: Path) -> str:
    qemu = subprocess.run(["qemu-system-x86_64", "--version"], check=True, capture_output=True).stdout
    h = hashlib.sha256(qemu + pick_accel().encode())
    for f in (lab / "base.key", deb, HERE / "golden.py", HERE / "vm.py", HERE / "station.toml"):
        h.update(f.read_bytes())
    return h.hexdigest()[:16]


def _make(golden: Golden, deb: Path) -> None:
    lab = lab_dir()
    overlay(lab / "base.ext4", golden.root, "raw")
    blank_disk(golden.state, STATE_MB, "state")
    blank_disk(golden.vault, VAULT_MB, "vault")
    vm = VM("golden")
    vm.start([golden.state, golden.vault], root=golden.root)
    try:
        shutil.copy(deb, vm.share / "mediad.deb")
        install(vm)
        vm.save(golden.ram)
    except BaseException:
        if vm.alive():
            vm.powercut()
        raise


def install(vm: VM) -> None:
    """Install the package as an administrator would, configure it and start the service."""
    vm.run("dpkg -i /host/mediad.deb", timeout=600, check=True)
    vm.run("cat >/etc/mediad/mediad.toml", stdin=CONFIG, check=True)
    for unit in ("mediad", "mediad-derive"):
        vm.run(f"mkdir -p /etc/systemd/system/{unit}.service.d", check=True)
        vm.run(f"cat >/etc/systemd/system/{unit}.service.d/vault.conf", stdin=DROP_IN, check=True)
    vm.run(
        "systemctl daemon-reload; systemctl start var-lib-mediad-vault.mount || exit 1; "
        "chown mediad:mediad /var/lib/mediad/vault; rmdir /var/lib/mediad/vault/lost+found; "
        "systemd-tmpfiles --create; systemctl start udisks2 polkit",
        check=True,
    )
    # /var/lib/mediad was mounted before the package made its user
    vm.run("chown mediad:mediad /var/lib/mediad; chmod 0750 /var/lib/mediad", check=True)
    vm.run("systemctl start mediad.service", timeout=300, check=True)


def overlay(base: Path, out: Path, fmt: str) -> Path:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", fmt, str(out)], check=True)
    return out
