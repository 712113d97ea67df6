"""`make bench`: the same card through mediad and its peers, in turn, as medians and ratios; memory, idle cost, re-dock.

Every case starts from a cold page cache (root is needed to drop it), and every target lies on the same disk, under
``BENCH_DIR`` (default: var/bench). The limit to measure against is ``cp`` with ``sync`` and one cold direct read of the copy.
What is measured is printed as Markdown, good or bad; docs/benchmarks.md keeps it.
"""

import argparse
import json
import os
import random
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
MEDIAD = HERE / ".venv/bin/mediad"
MIB = 1024 * 1024


class Bench:
    """A working folder on the disk under test."""

    def __init__(self, root: Path, rounds: int) -> None:
        self.root, self.rounds = root, rounds
        self.out = root / "out"
        root.mkdir(parents=True, exist_ok=True)

    # --- cards ------------------------------------------------------------------------------------------------------

    def card(self, name: str, sizes: Iterator[tuple[str, int]]) -> Path:
        """A folder of random bytes; kept between runs if it is complete."""
        folder = self.root / name
        done = folder / ".complete"
        marker = self.root / f"{name}.complete"
        if marker.exists():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        rng = random.Random(name)
        for path, size in sizes:
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("wb") as f:
                left = size
                while left:
                    n = min(left, 8 * MIB)
                    f.write(rng.randbytes(n))
                    left -= n
        marker.touch()
        done.unlink(missing_ok=True)
        return folder

    # --- cases ------------------------------------------------------------------------------------------------------

    def fresh(self) -> None:
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()

    def station(self, extra: str = "") -> list[str]:
        """A new station in ``out``; the start of its command line."""
        config = self.out / "mediad.toml"
        config.write_text(
            f'[unit]\nname = "bench"\n[station]\nid = "bench"\n[[vault]]\nname = "local"\npath = "vault"\n'
            f'[catalog]\nurl = "sqlite:///catalog.db"\n{extra}'
        )
        command = [str(MEDIAD), "--config", str(config)]
        (self.out / "empty").mkdir()
        timed([*command, "ingest", str(self.out / "empty")])  # founding the station is no part of a docking
        return command

    def turn(self, cases: dict[str, Callable[[], list[list[str]]]]) -> dict[str, list[float]]:
        """Run all cases in turn, so that they meet the same weather; seconds per case and round."""
        times: dict[str, list[float]] = {name: [] for name in cases}
        for n in range(self.rounds):
            for name, prepare in cases.items():
                self.fresh()
                total = 0.0
                for command in prepare():
                    cold()
                    total += timed(command)
                times[name].append(total)
                print(f"  round {n + 1}: {name}: {total:.2f} s", file=sys.stderr)
        return times

    def peers(self, card: Path, *, small: bool) -> dict[str, Callable[[], list[list[str]]]]:
        src, dst = str(card), str(self.out / "copy")
        loop = 'for f; do dd if="$f" of=/dev/null bs=4M iflag=direct status=none; done'
        each = (
            "cat >/dev/null" if small else f"-n 64 sh -c '{loop}' _"
        )  # ten thousand dd would measure fork, not the disk
        direct = f"find {dst} -type f -print0 | xargs -0 {each}"
        ocopy = os.environ.get("OCOPY") or shutil.which("ocopy")
        found = {
            "limit: cp + sync, one cold direct read": lambda: [sh(f"cp -r {src} {dst} && sync"), sh(direct)],
            "mediad ingest": lambda: [[*self.station(), "ingest", src]],
            "cp + sync (no proof)": lambda: [sh(f"cp -r {src} {dst} && sync")],
            "rsync -a, cold rsync -ac": lambda: [sh(f"rsync -a {src}/ {dst}/ && sync"), sh(f"rsync -ac {src}/ {dst}/")],
            "rclone copy, cold check --download": lambda: [
                sh(f"rclone -q copy {src} {dst} && sync"), sh(f"rclone -q check --download {src} {dst}")
            ],
        }  # fmt: skip
        if ocopy:
            found["ocopy (no durability)"] = lambda: [["mkdir", dst], [ocopy, src, dst]]
        return found


def sh(line: str) -> list[str]:
    return ["sh", "-c", line]


def cold() -> None:
    """Write everything out and drop the page cache."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


def timed(command: list[str]) -> float:
    began = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    took = time.monotonic() - began
    if done.returncode:
        sys.exit(f"{command}: exit {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return took


def table(title: str, times: dict[str, list[float]], size: int) -> None:
    """Median, spread, MB/s, and the ratio to the limit and to the rsync pair."""
    medians = {name: statistics.median(t) for name, t in times.items()}
    limit = next(v for k, v in medians.items() if k.startswith("limit"))
    rsync = next(v for k, v in medians.items() if k.startswith("rsync"))
    print(
        f"\n### {title}\n\n| | median | min to max | MB/s | to the limit | to the rsync pair |\n|---|---|---|---|---|---|"
    )
    for name, m in medians.items():
        low, high = min(times[name]), max(times[name])
        print(
            f"| {name} | {m:.2f} s | {low:.2f} to {high:.2f} | {size / m / 1e6:.0f} | {m / limit:.2f} | {m / rsync:.2f} |"
        )


def redock(bench: Bench, card: Path) -> None:
    """A re-dock of an unchanged card, as a command of its own and including its start."""
    bench.fresh()
    base = bench.station()
    timed([*base, "ingest", str(card)])
    warm = [timed([*base, "ingest", str(card)]) for _ in range(max(3, bench.rounds))]
    started = [timed([*base, "version"]) for _ in range(3)]
    print(f"\n### Re-dock of the unchanged photo card\n\n{statistics.median(warm):.2f} s median of {len(warm)}"
          f" ({min(warm):.2f} to {max(warm):.2f}); `mediad version` alone takes {statistics.median(started):.2f} s")  # fmt: skip


def memory_and_idle(bench: Bench, gib: float) -> None:
    """One daemon with eight drop folders, each fed through a throttled writer; then the same daemon idle."""
    bench.fresh()
    folders = [bench.out / f"drop{n}" for n in range(8)]
    extra = '[devices]\nusb = true\n[http]\nlisten = "127.0.0.1:9479"\n'
    for n, folder in enumerate(folders):
        folder.mkdir()
        extra += f'[[folder]]\npath = "{folder}"\nname = "drop{n}"\nsettle_seconds = 1\n'
    size = int(gib * 1024) * MIB
    for folder in folders:
        with (folder / "take.mp4").open("wb") as f:
            for _ in range(size // MIB):
                f.write(os.urandom(MIB))
    daemon = subprocess.Popen([*bench.station(extra), "run"], stderr=subprocess.DEVNULL)
    try:
        peak = 0
        end = time.monotonic() + 900
        while time.monotonic() < end and stored() < 8:
            peak = max(peak, rss(daemon.pid))
            time.sleep(0.1)
        if stored() < 8:
            sys.exit("the eight folders were not taken within 15 minutes")
        print("\n### Memory\n")
        print(
            f"One daemon, eight folder docks of {size / 1e9:.1f} GB each side by side: peak {peak / MIB:.0f} MiB resident"
        )
        time.sleep(5)
        before = cpu_seconds(daemon.pid)
        seconds = 60
        time.sleep(seconds)
        share = (cpu_seconds(daemon.pid) - before) / seconds * 100
        print("\n### Idle\n")
        print(f"{share:.3f} % of a core over {seconds} s, eight folders and the USB ports watched;"
              f" {rss(daemon.pid) / MIB:.0f} MiB resident")  # fmt: skip
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)


def stored() -> int:
    try:
        with urllib.request.urlopen("http://127.0.0.1:9479/metrics", timeout=5) as answer:
            found = re.search(rb'mediad_files_total\{outcome="stored"\} (\d+)', answer.read())
    except OSError:
        return 0
    return int(found[1]) if found else 0


def rss(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    return int(found[1]) * 1024 if found else 0


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gib", type=float, default=3.0, help="size of the video card")
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--only", choices=["large", "photos", "redock", "memory"], action="append")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("root is needed: the page cache must be dropped between cases")
    bench = Bench(Path(os.environ.get("BENCH_DIR") or HERE / "var/bench"), options.rounds)
    wanted = options.only or ["large", "photos", "redock", "memory"]
    n = max(1, int(options.gib * 2))
    videos = bench.card(f"videos-{n}", ((f"DCIM/100MEDIA/{i:04}.MP4", 512 * MIB) for i in range(n)))
    photos = bench.card(
        f"photos-{options.photos}", ((f"DCIM/{100 + i // 1000}PHOTO/IMG_{i:05}.JPG", 100_000) for i in range(options.photos))
    )  # fmt: skip
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d %H:%M')}, rounds {options.rounds}"
    )
    if "large" in wanted:
        table(f"{n} × 512 MiB", bench.turn(bench.peers(videos, small=False)), n * 512 * MIB)
    if "photos" in wanted:
        table(
            f"{options.photos} photos of 100 kB", bench.turn(bench.peers(photos, small=True)), options.photos * 100_000
        )
    if "redock" in wanted:
        redock(bench, photos)
    if "memory" in wanted:
        memory_and_idle(bench, options.gib / 2)
    print(json.dumps({"maxrss_children_kb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}), file=sys.stderr)


if __name__ == "__main__":
    main()
