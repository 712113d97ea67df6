"""`make bench-derive`, second half: what works behind an ingest, and whether it is felt in front.

1. How many photos a second are probed, assembled and recorded.
2. The same ingest with the second daemon encoding all it can, and without it, in turn: medians and their ratio. Each begins after
   the same pause, since the second daemon needs time to start while the disk recovers from what the round before wrote.

Working folder, cold caches and medians as in run.py.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from run import HERE, MEDIAD, MIB, Bench, cold, timed

CALM = 15.0
"""Seconds before each ingest that is timed."""


def photos(bench: Bench, count: int) -> Path:
    """Photos of 100 kB as a phone takes them, each with its own EXIF and bytes."""
    from PIL import ExifTags, Image

    folder = bench.root / f"exif-{count}"
    if (bench.root / f"exif-{count}.complete").exists():
        return folder
    rng = random.Random("exif")
    picture = Image.effect_noise((640, 480), 60).convert("RGB")
    for n in range(count):
        exif = Image.Exif()
        exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "bench", "DSJ-1"
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = f"2026:09:22 10:{n // 60 % 60:02}:{n % 60:02}"
        file = folder / f"DCIM/{100 + n // 1000}ANDRO/IMG_20260922_{n:06}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.save(file, quality=60, exif=exif)
        with file.open("ab") as f:  # bytes behind the end of the picture make each its own
            f.write(rng.randbytes(max(16, 100_000 - file.stat().st_size)))
    (bench.root / f"exif-{count}.complete").touch()
    return folder


def films(bench: Bench, count: int, seconds: int) -> Path:
    """H.265 films that have to be encoded, each with its own picture."""
    folder = bench.root / f"hevc-{count}x{seconds}"
    if (bench.root / f"{folder.name}.complete").exists():
        return folder
    (folder / "DCIM").mkdir(parents=True, exist_ok=True)
    for n in range(count):
        source = f"testsrc2=size=1920x1080:rate=30:duration={seconds}:sar=1/1,hue=h={n * 20}"
        command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", source, "-f", "lavfi", "-i"]
        command += [f"sine=frequency={300 + n}:duration={seconds}", "-c:v", "libx265", "-preset", "ultrafast"]
        command += ["-x265-params", "log-level=none", "-pix_fmt", "yuv420p", "-c:a", "aac"]
        subprocess.run([*command, str(folder / f"DCIM/film{n}.mp4")], check=True)
    (bench.root / f"{folder.name}.complete").touch()
    return folder


@contextmanager
def deriving(command: list[str]) -> Iterator[None]:
    """The second daemon, from when it encodes for the first time."""
    daemon = subprocess.Popen([*command, "run", "--only", "derive"], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 120
        while subprocess.run(["pgrep", "-x", "ffmpeg"], capture_output=True, check=False).returncode:
            if time.monotonic() > end or daemon.poll() is not None:
                sys.exit("the second daemon encodes nothing")
            time.sleep(0.1)
        yield
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(120)


def probe_rate(bench: Bench, count: int) -> None:
    card, rates = photos(bench, count), []
    for n in range(bench.rounds):
        bench.fresh()
        command = bench.station("[derive]\npreviews = false\n")
        timed([*command, "ingest", str(card)])
        cold()
        took = timed([*command, "derive"])
        rates.append(count / took)
        print(f"  round {n + 1}: {took:.1f} s", file=sys.stderr)
    spread = f"{min(rates):.0f} to {max(rates):.0f}"
    print(f"- {count} photos of 100 kB probed, timed and recorded: {statistics.median(rates):.0f} a second (median of"
          f" {bench.rounds}, {spread}), with the start of the program and the mirroring of the log.")  # fmt: skip


def felt_in_front(bench: Bench, gib: float, queue: int, seconds: int) -> None:
    size = int(gib * 1024 * MIB / 4)
    card = bench.card("videos-4", ((f"DCIM/v{n}.mp4", size) for n in range(4)))
    waiting = films(bench, queue, seconds)
    times: dict[str, list[float]] = {"queue full": [], "no previews": []}
    for n in range(bench.rounds):
        for name in times if n % 2 else reversed(times):
            bench.fresh()
            command = bench.station()
            timed([*command, "ingest", str(waiting)])
            cold()
            busy = name == "queue full"
            with deriving(command) if busy else nullcontext():
                time.sleep(CALM)
                times[name].append(timed([*command, "ingest", str(card)]))
                left = subprocess.run(["pgrep", "-cx", "ffmpeg"], capture_output=True, check=False).stdout
                if busy and left.strip() == b"0":
                    print("  nothing was being encoded at the end: make the queue longer", file=sys.stderr)
            print(f"  round {n + 1}: {name}: {times[name][-1]:.2f} s", file=sys.stderr)
    full, empty = (statistics.median(times[name]) for name in ("queue full", "no previews"))
    print(f"- Ingest of {gib:g} GiB while the second daemon encodes: {full:.2f} s ({min(times['queue full']):.2f} to"
          f" {max(times['queue full']):.2f}), without it {empty:.2f} s ({min(times['no previews']):.2f} to"
          f" {max(times['no previews']):.2f}): {empty / full:.2f} of the speed (aimed at: at least 0.95).")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--photos", type=int, default=10_000, help="none: the first part is left out")
    parser.add_argument("--gib", type=float, default=3.0)
    parser.add_argument("--queue", type=int, default=6, help="films that wait")
    parser.add_argument("--seconds", type=int, default=60, help="length of each")
    chosen = parser.parse_args()
    if not MEDIAD.exists() or os.geteuid() != 0:
        sys.exit("run as root, after `make setup`")
    bench = Bench(Path(os.environ.get("BENCH_DIR", HERE / "var/bench")), chosen.rounds)
    print(json.dumps({"cores": len(os.sched_getaffinity(0)), **vars(chosen)}), file=sys.stderr)
    if chosen.photos:
        probe_rate(bench, chosen.photos)
    felt_in_front(bench, chosen.gib, chosen.queue, chosen.seconds)


if __name__ == "__main__":
    main()
