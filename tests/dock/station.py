"""One docking station under test: a machine its slots, and the judges of what it kept."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cards import dump_ext4
from golden import Golden, overlay
from vm import VM

# The guest's USB controller as udev names it; a slot is this and the port QEMU was told.
CONTROLLER = "pci-0000:00:05.0-usb-0:"
STATE_DIR, VAULT_DIR = "/var/lib/mediad", "/var/lib/mediad/vault"


@dataclass
class Kept:
    """What the vault's disk holds, read on the host after the station let go of it."""

    root: Path
    originals: dict[str, str]  # key -> SHA-256
    handovers: list[dict[str, Any]]
    staging: list[str]

    @property
    def digests(self) -> Counter[str]:
        return Counter(self.originals.values())


class Station:
    """The machine, from power-on to the end of a scenario."""

    def __init__(self, name: str, golden: Golden) -> None:
        self.vm = VM(name)
        self.golden = golden
        shutil.rmtree(self.vm.dir, ignore_errors=True)
        self.vm.dir.mkdir(parents=True)
        self.work = self.vm.dir / "work"
        self.work.mkdir()
        self.root = overlay(golden.root, self.vm.dir / "root.qcow2", "qcow2")
        self.disks = [overlay(d, self.vm.dir / f"{d.stem}.qcow2", "raw") for d in (golden.state, golden.vault)]

    # ---- power -------------------------------------------------------------------------------------------

    def resume(self) -> Station:
        """Go on from the saved state: the daemon runs, nothing is docked."""
        self.vm.start(self.disks, root=self.root, incoming=self.golden.ram)
        return self

    def boot(self, usb: Sequence[Sequence[str]] = ()) -> Station:
        """Switch on, with the recorders in `usb` (see plugged()) already in their ports."""
        self.vm.start(self.disks, root=self.root, usb=usb)
        return self

    def plugged(self, id: str, image: Path, port: str | int) -> list[str]:
        """A recorder that is in its port when the machine is switched on."""
        drive = f"file={image},format=raw,if=none,id=n-{id}"
        device = f"usb-storage,id={id},drive=n-{id},bus=xhci.0,port={port},serial=REC{id},removable=on"
        return ["-drive", drive, "-device", device]

    def powercut(self) -> None:
        self.vm.powercut()

    def end(self) -> None:
        if self.vm.alive():
            self.vm.powercut()
        for f in (self.root, *self.disks):
            f.unlink(missing_ok=True)

    # ---- what the station says ---------------------------------------------------------------------------

    def mediad(self, *args: str, check: bool = True) -> Any:
        """Run a reporting command as the service's user; its JSON."""
        r = self.vm.run("runuser -u mediad -- mediad " + " ".join(args), timeout=300)
        if r["rc"] not in ((0, 1) if check else range(256)):
            raise RuntimeError(f"mediad {args}: rc={r['rc']}\n{r['out']}{r['err']}")
        try:
            return json.loads(r["out"])
        except ValueError as e:
            raise RuntimeError(f"mediad {args}: no JSON, rc={r['rc']}\n{r['out']}{r['err']}") from e

    def records(self) -> int:
        """How many hand-over records the vault holds now."""
        return int(self.vm.run(f"find {VAULT_DIR}/handovers -name record.json | wc -l")["out"])

    def mounted(self, fstype: str) -> bool:
        return f" - {fstype} " in self.vm.run("cat /proc/self/mountinfo", check=True)["out"]

    def slots(self) -> dict[str, dict[str, Any]]:
        """Slots by QEMU port ("1", "9.2"), as the daemon publishes them for its screen."""
        text = self.vm.run("cat /run/mediad/slots.json")["out"]
        if not text:
            return {}
        found = json.loads(text)["slots"]
        return {s["port"].removeprefix(CONTROLLER): s for s in found}

    def slot(self, port: str | int) -> dict[str, Any]:
        return self.slots().get(str(port), {"state": "idle"})

    def until(self, what: str, done: Callable[[], Any], timeout: float = 180) -> Any:
        """Wait for a condition; on failure say what was waited for and what the station shows."""
        end = time.monotonic() + timeout
        while True:
            if got := done():
                return got
            if time.monotonic() > end:
                raise AssertionError(f"not within {timeout:.0f} s: {what}\n{self.report()}")
            time.sleep(0.25)  # the guest and the hypervisor's counters send no events: they have to be asked

    def until_state(self, port: str | int, *states: str, timeout: float = 180) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            slot = self.slot(port)
            return slot if slot["state"] in states else None

        return dict(self.until(f"slot {port} says {' or '.join(states)}", there, timeout))

    def until_read(self, id: str, size: int, timeout: float = 180) -> None:
        """Wait until the machine has read that much from a recorder, as the hypervisor counts it."""
        self.until(f"{size} bytes read from {id}", lambda: self.bytes_read(id) >= size, timeout)

    def bytes_read(self, id: str) -> int:
        for b in self.vm.qmp("query-blockstats"):
            if f"/{id}/" in b.get("qdev", "") + "/":
                return int(b["stats"]["rd_bytes"])
        raise LookupError(id)

    def journal(self, unit: str = "mediad.service") -> str:
        return str(self.vm.run(f"journalctl -o cat --no-pager -b -u {unit}")["out"])

    def report(self) -> str:
        if not self.vm.alive():
            return "the machine is off"
        cmd = (
            "cat /run/mediad/slots.json; echo; systemctl status --no-pager -l mediad.service | head -20; "
            "journalctl -o short-monotonic --no-pager -b | tail -60; "
            "lsblk -o NAME,FSTYPE,SIZE,MOUNTPOINTS; df -h /var/lib/mediad/vault"
        )
        return str(self.vm.run(cmd)["out"])

    # ---- settings ----------------------------------------------------------------------------------------

    def write(self, path: str, text: str, mode: str = "644") -> None:
        self.vm.run(f"install -D -m {mode} /dev/stdin {path}", stdin=text, check=True)

    def restart(self) -> None:
        self.vm.run("systemctl restart mediad.service", timeout=300, check=True)

    def configure(self, **replace: str) -> None:
        """Replace whole lines `key = ...` of the configuration and restart the daemon."""
        for key, value in replace.items():
            self.vm.run(f"sed -i 's|^{key} = .*|{key} = {value}|' /etc/mediad/mediad.toml", check=True)
            found = self.vm.run(f"grep -qF '{key} = {value}' /etc/mediad/mediad.toml")["rc"] == 0
            assert found, f"no setting {key}"
        self.restart()

    # ---- judges ------------------------------------------------------------------------------------------

    def audit(self) -> None:
        """The station's own auditors find nothing, while the daemon runs."""
        for words in (("fsck", "--json"), ("custody", "verify", "--json")):
            answer = self.mediad(*words)
            assert answer["findings"] == [], f"{words}: {answer['findings']}\n{self.report()}"
            assert answer["checked"], f"{words} looked at nothing"

    def kept(self) -> Kept:
        """Stop the daemon, let go of the vault's disk, and read that disk outside the machine."""
        self.vm.run("systemctl stop mediad-derive.service mediad.service", timeout=300, check=True)
        result = self.vm.run("systemctl show -P Result mediad.service")["out"].strip()
        assert result == "success", f"the daemon did not stop in order: {result}\n{self.report()}"
        self.vm.run(f"umount {VAULT_DIR}", check=True)
        out = dump_ext4(self.disks[1], self.work / "vault")
        self.vm.run(f"mount {VAULT_DIR}", check=True)
        return read_vault(out)

    def judge(self, *trees: Mapping[str, str], absent: Sequence[str] = ()) -> Kept:
        """The whole verdict: auditors content, and the vault holds the bytes of these trees, each once."""
        self.audit()
        kept = self.kept()
        want = Counter({d: 1 for tree in trees for d in tree.values() if d not in absent})
        assert kept.digests == want, (
            f"missing {sorted((want - kept.digests).elements())}, "
            f"too many or foreign {sorted((kept.digests - want).elements())}: {sorted(kept.originals)}"
        )
        assert kept.staging == [], f"left in staging: {kept.staging}"
        return kept


def read_vault(root: Path) -> Kept:
    originals, handovers, staging = {}, [], []
    for f in sorted(p for p in root.rglob("*") if p.is_file()):
        key = f.relative_to(root).as_posix()
        if key.startswith("originals/") and f.name != "record.json":
            originals[key] = hashlib.sha256(f.read_bytes()).hexdigest()
        elif key.startswith("handovers/") and f.name == "record.json":
            handovers.append(json.loads(f.read_bytes()))
        elif key.startswith(".staging/"):
            staging.append(key)
    return Kept(root, originals, handovers, staging)
