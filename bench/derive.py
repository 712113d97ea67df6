"""Previews against plain commands: encoding against one ffmpeg command of the same settings, re-wrapping against cp.

Both sides run in turn, with the same threads and priority, on the same disk (``BENCH_DIR``, default var/bench), five rounds,
medians. Each side works for at least a minute altogether (``--quick``: two rounds of seconds, to try the script). What is measured
is printed as Markdown.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HERE / "src"), str(HERE)]

from tests.media import member_of  # noqa: E402

from mediad.edges.encoder import Encoder  # noqa: E402
from mediad.edges.program import Outcome  # noqa: E402
from mediad.edges.sandbox import Sandbox  # noqa: E402
from mediad.model import preview  # noqa: E402
from mediad.model.derived import Made  # noqa: E402
from mediad.model.preview import Plan, Settings  # noqa: E402

THREADS = len(os.sched_getaffinity(0))
SETTINGS = Settings()
ROOM = 64 * 1024**3


class Timed:
    """The sandbox, with the time of what it runs for the proxy itself, apart from the small pictures."""

    def __init__(self) -> None:
        self._real = Sandbox(nice=0, idle=False)
        self.proxy = 0.0

    def python(self, module: str, *args: str) -> list[str]:
        return self._real.python(module, *args)

    def run(self, argv: Sequence[str], **more: Any) -> Outcome:
        start = time.monotonic()
        try:
            return self._real.run(argv, **more)
        finally:
            self.proxy += time.monotonic() - start if "/out/proxy.mp4" in argv else 0.0


def ffmpeg(*words: str | Path | float) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, words)], check=True)


def film(folder: Path, name: str, seconds: int, codec: str) -> Path:
    """Moving noise, as hard to encode as a street; ten seconds, again and again."""
    path, piece = folder / f"{name}-{seconds}.mp4", folder / f"{name}-piece.mp4"
    if not path.exists():
        picture = ("-f", "lavfi", "-i", "testsrc2=s=1920x1080:r=30:d=10,noise=alls=10:allf=t")
        sound = ("-f", "lavfi", "-i", "sine=440:r=48000:d=10")
        coded = (
            "-c:v",
            codec,
            "-preset",
            "ultrafast",
            "-b:v",
            "12M",
            "-g",
            60,
            "-profile:v",
            "main",
            "-pix_fmt",
            "yuv420p",
        )
        quiet = ("-x265-params", "log-level=none") if codec == "libx265" else ()
        ffmpeg(*picture, *sound, *coded, *quiet, "-c:a", "aac", piece)
        ffmpeg("-stream_loop", seconds // 10 - 1, "-i", piece, "-c", "copy", path)
    return path


def ours(source: Path) -> tuple[float, Plan]:
    """Make a whole preview; the seconds that its proxy took, and the plan."""
    plan = preview.plan([member_of(source)], SETTINGS)
    assert isinstance(plan, Plan)
    sandbox = Timed()
    with tempfile.TemporaryDirectory(dir=source.parent) as scratch:
        made = Encoder(sandbox, prefer="software", threads=THREADS).make(plan, [source], Path(scratch), room=ROOM)
        assert isinstance(made, Made), made
        assert not made.remarks, made
        os.sync()
    return sandbox.proxy, plan


def plain(source: Path, plan: Plan) -> None:
    """What one would type."""
    target = source.parent / "plain.mp4"
    ffmpeg("-threads", THREADS, "-i", source, "-vf", f"scale={plan.width}:{plan.height}", "-c:v", "libx264", "-preset",
           SETTINGS.preset, "-crf", SETTINGS.crf, "-pix_fmt", "yuv420p", "-profile:v", "high", "-threads", THREADS,
           "-force_key_frames", "expr:gte(t,n_forced*2)", "-c:a", "copy", "-movflags", "+faststart", target)  # fmt: skip
    os.sync()
    target.unlink()


def copied(source: Path) -> None:
    target = source.parent / "copied.mp4"
    subprocess.run(["cp", "--reflink=never", source, target], check=True)
    os.sync()
    target.unlink()


def measured(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what it gave."""
    start = time.monotonic()
    answer = work()
    return time.monotonic() - start, answer


def compare(title: str, peer: str, source: Path, against: Callable[[], Any], rounds: int) -> None:
    results: dict[str, list[float]] = {"mediad, proxy and all pictures": [], "mediad, its proxy alone": [], peer: []}
    whole, alone, theirs = results.values()
    for n in range(rounds + 1):  # the first is for the cache, and does not count
        clock, (proxy, _) = measured(lambda: ours(source))
        other, _ = measured(against)
        if n:
            whole.append(clock)
            alone.append(proxy)
            theirs.append(other)
    base = statistics.median(theirs)
    print(f"\n### {title}\n\n{source.stat().st_size / 1e6:.0f} MB; medians of {rounds}.\n")
    print("| | seconds | times |\n|---|---|---|")
    for name, values in results.items():
        print(f"| {name} | {statistics.median(values):.2f} | {statistics.median(values) / base:.3f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=240, help="length of the film that is encoded")
    chosen = parser.parse_args()
    rounds = chosen.rounds or (2 if chosen.quick else 5)
    folder = Path(os.environ.get("BENCH_DIR", HERE / "var/bench")) / "derive"
    folder.mkdir(parents=True, exist_ok=True)
    version = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout.split()[2]
    print(f"{THREADS} threads, ffmpeg {version}")
    encoded = film(folder, "hevc", 20 if chosen.quick else chosen.seconds, "libx265")
    _, plan = ours(encoded)
    compare("Encoding", "one ffmpeg command", encoded, lambda: plain(encoded, plan), rounds)
    wrapped = film(folder, "h264", 60 if chosen.quick else 3600, "libx264")
    # copying is fast: enough rounds for a minute of work
    more = rounds if chosen.quick else max(rounds, round(60 / max(1.0, measured(lambda: copied(wrapped))[0])))
    compare("Re-wrapping", "cp", wrapped, lambda: copied(wrapped), more)
    if chosen.quick:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
