"""`make bench-full`: is an ingest slower with a million recordings in the catalogue than with none?

Two stations side by side, one empty and one whose catalogue holds a bureau's five years (the rows of ``bench/limits.py``, by
SQL and without events). The same new card goes into both, in turn and in alternating order, each from a cold page cache (but with
``--warm``) and with the start of the program: four large films, and photos by the thousand. Every round has a card of its own,
since known files would not be read. What is measured is printed as Markdown.
"""

import argparse
import os
import random
import shutil
import sqlite3
import statistics
import sys
from contextlib import closing
from pathlib import Path

from limits import populate  # beside this file
from run import HERE, MEDIAD, MIB, Bench, cold, timed


def station(root: Path, recordings: int) -> list[str]:
    """A station in ``root``, founded by its own program; the start of its command line."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    bench = Bench(root, 0)
    bench.fresh()
    command = bench.station()
    if recordings:
        with closing(sqlite3.connect(bench.out / "catalog.db")) as raw:
            populate(raw, recordings)
            raw.execute("ANALYZE")
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return command


def card(folder: Path, name: str, count: int, size: int) -> Path:
    """Random bytes that no other round has."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "DCIM").mkdir(parents=True)
    rng = random.Random(name)
    for n in range(count):
        with (folder / f"DCIM/{name}-{n:05}.{'mp4' if size >= MIB else 'jpg'}").open("wb") as file:
            for at in range(0, size, 8 * MIB):
                file.write(rng.randbytes(min(8 * MIB, size - at)))
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gib", type=float, default=2.0)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--warm", action="store_true", help="leave the page cache as it is, as a daemon finds it")
    asked = parser.parse_args()
    if not MEDIAD.exists() or os.geteuid() != 0:
        sys.exit("run as root, after `make setup`")
    root = Path(os.environ.get("BENCH_DIR", HERE / "var/bench")) / "full"
    stations = {"empty": station(root / "empty", 0), "full": station(root / "full", asked.recordings)}
    kinds = {
        f"4 films of {asked.gib / 4:g} GiB": (4, int(asked.gib * 1024 * MIB / 4)),
        f"{asked.photos} photos of 100 kB": (asked.photos, 100_000),
    }
    print("| | empty catalogue | full | speed with the full one |\n|---|---|---|---|")
    for kind, (count, size) in kinds.items():
        times: dict[str, list[float]] = {name: [] for name in stations}
        for n in range(asked.rounds):
            source = card(root / "card", f"round{n}", count, size)
            for name in stations if n % 2 else reversed(stations):
                if not asked.warm:
                    cold()
                times[name].append(timed([*stations[name], "ingest", str(source)]))
                print(f"  {kind}, round {n + 1}: {name}: {times[name][-1]:.2f} s", file=sys.stderr)
        middle = {name: statistics.median(t) for name, t in times.items()}
        shown = [f"{middle[name]:.2f} s ({min(t):.2f} to {max(t):.2f})" for name, t in times.items()]
        print(f"| {kind} | {shown[0]} | {shown[1]} | {middle['empty'] / middle['full']:.2f} |", flush=True)
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
