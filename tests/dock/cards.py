"""Recorder cards as disk images: MBR, then FAT32, exFAT or ext4 partitions filled from a folder.

No mounting and no loop devices: FAT through mtools, ext4 through mke2fs, exFAT through a small writer here
(file system specification of exFAT, revision 1.00, sections 3, 6 and 7), so any host can make every card.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import struct
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
MBR_TYPE = {"fat32": 0x0C, "exfat": 0x07, "ext4": 0x83}
ENV = dict(os.environ, MTOOLS_SKIP_CHECK="1", LC_ALL="C.UTF-8", TZ="Asia/Shanghai")
# 2026-11-23 09:30 in the recorder's own clock, which runs in China's zone
RECORDED = 1795397400


@dataclass(frozen=True)
class Part:
    """One partition: `mb` MiB of `fs`, filled with `tree`."""

    fs: str
    tree: Path
    label: str = "RECORDER"
    serial: int = 0x12345678
    mb: int = 64


def write_tree(root: Path, files: Mapping[str, int | bytes], *, seed: int = 1) -> dict[str, str]:
    """Make files of given sizes (pseudo-random bytes) or contents; returns path -> SHA-256, computed here."""
    digests = {}
    for n, (name, what) in enumerate(sorted(files.items())):
        data = what if isinstance(what, bytes) else random.Random(f"{seed}/{name}").randbytes(what)
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (RECORDED + 60 * n, RECORDED + 60 * n))
        digests[name] = hashlib.sha256(data).hexdigest()
    return digests


def make_card(out: Path, *parts: Part) -> Path:
    """A sparse image with an MBR and the given partitions, each starting at a whole MiB."""
    out.unlink(missing_ok=True)
    total = 1 + sum(p.mb for p in parts)
    with out.open("wb") as f:
        f.truncate(total * MIB)
    table, at = b"", MIB
    for p in parts:
        table += struct.pack("<B3sB3sII", 0, b"\xfe\xff\xff", MBR_TYPE[p.fs], b"\xfe\xff\xff", at // 512, p.mb * 2048)
        at += p.mb * MIB
    with out.open("r+b") as f:
        # the disk signature feeds the partitions' PARTUUID
        f.seek(440)
        f.write(struct.pack("<IH", parts[0].serial, 0) + table.ljust(64, b"\0") + b"\x55\xaa")
    at = MIB
    for p in parts:
        {"fat32": _fat32, "exfat": _exfat, "ext4": _ext4}[p.fs](out, at, p)
        at += p.mb * MIB
    return out


def offset_in(image: Path, content: bytes) -> int:
    """Where the first 4 KiB of `content` lie in the image, in bytes; LookupError when they are not there."""
    at = image.read_bytes().find(content[:4096])
    if at < 0:
        raise LookupError(f"content not found in {image}")
    return at


def bad_sectors(image: Path, content: bytes, at: int = 0, sectors: int = 8) -> list[dict[str, object]]:
    """blkdebug rules that make `sectors` unreadable, `at` bytes into the file with that content."""
    first = (offset_in(image, content) + at) // 512
    return [{"event": "none", "iotype": "read", "sector": first + i, "errno": 5, "once": False} for i in range(sectors)]


def _run(*cmd: str) -> None:
    subprocess.run(cmd, env=ENV, check=True, capture_output=True)


def _fat32(image: Path, at: int, p: Part) -> None:
    label, serial = p.label, f"{p.serial:08x}"
    head = ["mkfs.vfat", "-F", "32", "-n", label, "-i", serial, "--offset", str(at // 512)]
    _run(*head, str(image), str(p.mb * 1024))
    tops = sorted(str(x) for x in p.tree.iterdir())
    if tops:
        _run("mcopy", "-s", "-m", "-i", f"{image}@@{at}", *tops, "::/")


def _ext4(image: Path, at: int, p: Part) -> None:
    part = image.with_suffix(".part")
    _run("mke2fs", "-q", "-t", "ext4", "-L", p.label, "-d", str(p.tree), str(part), f"{p.mb}M")
    # only root may look into it, which is a case of its own
    _run("debugfs", "-w", "-R", "rmdir lost+found", str(part))
    _splice(image, at, part)


def _exfat(image: Path, at: int, p: Part) -> None:
    part = image.with_suffix(".part")
    with part.open("wb") as f:
        f.truncate(p.mb * MIB)
    _run("mkfs.exfat", "-L", p.label[:11], "-c", "32K", str(part))
    with part.open("r+b") as f:
        f.seek(100)  # VolumeSerialNumber; the boot checksum below covers it
        f.write(struct.pack("<I", p.serial))
    _ExFat(part).fill(p.tree)
    _splice(image, at, part)


def _splice(image: Path, at: int, part: Path) -> None:
    """Copy a partition's image to its place, leaving holes where it has zeros."""
    with part.open("rb") as src, image.open("r+b") as dst:
        for n in range(part.stat().st_size // MIB):
            block = src.read(MIB)
            if block.strip(b"\0"):
                dst.seek(at + n * MIB)
                dst.write(block)
    part.unlink()


class _ExFat:
    """Writer for a freshly made exFAT volume: contiguous files, no fragmentation, never deletes."""

    def __init__(self, path: Path) -> None:
        self.data = bytearray(path.read_bytes())
        self.path = path
        fat, _length, heap, count, root = struct.unpack_from("<IIIII", self.data, 80)
        bytes_shift, cluster_shift = self.data[108], self.data[109]
        self.sector = 1 << bytes_shift
        self.fat, self.heap = fat * self.sector, heap * self.sector
        self.cluster = self.sector << cluster_shift
        self.count, self.root = count, root
        self._sign_boot_region()
        for i in range(0, self.cluster, 32):
            if self.data[self._pos(root) + i] == 0x81:
                (first,) = struct.unpack_from("<I", self.data, self._pos(root) + i + 20)
                self.bitmap = self._pos(first)
        self.free = 0
        while self.data[self.bitmap + self.free // 8] >> (self.free % 8) & 1:
            self.free += 1

    def _pos(self, cluster: int) -> int:
        return self.heap + (cluster - 2) * self.cluster

    def _sign_boot_region(self) -> None:
        for base in (0, 12 * self.sector):  # the main region and its backup
            self.data[base + 100 : base + 104] = self.data[100:104]
            check = 0
            for i in range(11 * self.sector):
                if i not in (106, 107, 112):  # flags and percentage in use change without a new checksum
                    check = (((check << 31) | (check >> 1)) + self.data[base + i]) & 0xFFFFFFFF
            end = base + 11 * self.sector
            self.data[end : end + self.sector] = struct.pack("<I", check) * (self.sector // 4)

    def fill(self, tree: Path) -> None:
        entries = self._directory(tree)
        at = self._pos(self.root)
        used = 0
        while self.data[at + used] != 0:
            used += 32
        if used + len(entries) > self.cluster:
            raise ValueError("too many names in the root for one cluster")
        self.data[at + used : at + used + len(entries)] = entries
        self.path.write_bytes(self.data)

    def _directory(self, folder: Path) -> bytes:
        return b"".join(self._entry(x) for x in sorted(folder.iterdir()))

    def _store(self, content: bytes) -> int:
        clusters = -(-len(content) // self.cluster)
        first = self.free
        if first + clusters > self.count:
            raise ValueError("card too small")
        for i in range(first, first + clusters):
            self.data[self.bitmap + i // 8] |= 1 << (i % 8)
        self.free += clusters
        at = self._pos(first + 2)
        self.data[at : at + len(content)] = content
        return first + 2

    def _entry(self, path: Path) -> bytes:
        """The entry set of one file or folder: file, stream extension, file names."""
        folder = path.is_dir()
        if folder:
            body = self._directory(path)
            body = body.ljust(max(1, -(-len(body) // self.cluster)) * self.cluster, b"\0")
        else:
            body = path.read_bytes()
        cluster = self._store(body) if body else 0
        name = path.name.encode("utf-16-le")
        names = -(-len(name) // 30)
        stamp = _dos_time(path.stat().st_mtime)
        zone = 0x80 | 8 * 4  # quarters of an hour east of UTC
        head = struct.pack(
            "<BBHHHIIIBBBBB7x",
            0x85,
            1 + names,
            0,
            0x10 if folder else 0x20,
            0,
            stamp,
            stamp,
            stamp,
            0,
            0,
            zone,
            zone,
            zone,
        )
        flags = 0x03 if body else 0x01  # allocated, contiguous
        stream = struct.pack(
            "<BBBBHHQIIQ",
            0xC0,
            flags,
            0,
            len(name) // 2,
            _name_hash(path.name),
            0,
            len(body),
            0,
            cluster,
            len(body),
        )
        tail = b"".join(struct.pack("<BB30s", 0xC1, 0, name[i : i + 30]) for i in range(0, len(name), 30))
        entries = bytearray(head + stream + tail)
        check = 0
        for i, b in enumerate(entries):
            if i not in (2, 3):
                check = (((check << 15) | (check >> 1)) + b) & 0xFFFF
        struct.pack_into("<H", entries, 2, check)
        return bytes(entries)


def _dos_time(seconds: float) -> int:
    t = time.gmtime(int(seconds) + 8 * 3600)
    return (t.tm_year - 1980) << 25 | t.tm_mon << 21 | t.tm_mday << 16 | t.tm_hour << 11 | t.tm_min << 5 | t.tm_sec // 2


def _name_hash(name: str) -> int:
    upper = "".join(c.upper() if len(c.upper()) == 1 else c for c in name)
    value = 0
    for b in upper.encode("utf-16-le"):
        value = (((value << 15) | (value >> 1)) + b) & 0xFFFF
    return value


def blank_disk(out: Path, mb: int, label: str) -> Path:
    """A sparse ext4 data disk for the station itself."""
    out.unlink(missing_ok=True)
    _run("mke2fs", "-q", "-t", "ext4", "-L", label, "-m", "0", "-E", "lazy_itable_init=0", str(out), f"{mb}M")
    return out


def dump_ext4(image: Path, out: Path) -> Path:
    """All files of a disk with ext4, read outside the machine that wrote it."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    # A journal left by a power cut is replayed on a copy, as the next mount would do.
    copy = out.with_suffix(".copy")
    # -U: the machine may still have the disk, but has unmounted and flushed it
    _run("qemu-img", "convert", "-U", "-O", "raw", str(image), str(copy))
    subprocess.run(["e2fsck", "-fp", str(copy)], stdout=subprocess.DEVNULL, check=False)
    subprocess.run(["debugfs", "-R", f"rdump / {out}", str(copy)], check=True, capture_output=True)
    copy.unlink()
    return out


def digests_of(files: Iterable[Path]) -> list[str]:
    return [hashlib.sha256(f.read_bytes()).hexdigest() for f in files]
