"""Clips for tests: made by ffmpeg, seconds long; and what ffprobe and the bytes themselves say of a proxy.

Nothing of mediad's media code is used here: a clip's probe is what ffprobe says, and whether picture and sound keep together is
seen in the decoded frames and samples.
"""

import array
import json
import struct
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from mediad.model.preview import Member
from mediad.model.probe import Condition, Probe, Stream
from tests.support import program

KINDS = {"video": "video", "audio": "audio", "subtitle": "subtitle"}


def ffmpeg(*words: str | Path | float) -> None:
    command = [program("ffmpeg", "ffmpeg"), "-v", "error", "-nostdin", "-y", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def clip(
    path: Path, *, seconds: float = 2.0, size: str = "192x108", rate: float = 25, video: str = "libx264", audio: str = "aac",
    options: str = "", beep: float | None = None, samples: int = 0,
) -> Path:  # fmt: skip
    """A film of test picture and tone; with ``beep`` it is black and silent but for a tenth of a second of white and tone
    from there on. ``audio`` or ``video`` may be empty for none; ``samples`` a second of sound, if not the usual ones."""
    flash = f"between(t,{beep},{(beep or 0) + 0.0999})"
    inputs: list[str | Path | float] = []
    if video:
        source = f"color=black:s={size}:r={rate}:d={seconds}" if beep is not None else (
            f"testsrc2=s={size}:r={rate}:d={seconds}"
        )  # fmt: skip
        inputs += ["-f", "lavfi", "-i", source]
    if audio:
        volume = f",volume='{flash}':eval=frame" if beep is not None else ""
        inputs += ["-f", "lavfi", "-i", f"sine=1000:r={samples or _rate(audio)}:d={seconds},asetnsamples=160{volume}"]
    more: list[str | Path | float] = []
    if video:
        if beep is not None:
            more += ["-vf", f"drawbox=c=white:t=fill:enable='{flash}'"]
        more += ["-c:v", video, "-pix_fmt", "yuvj420p" if video == "mjpeg" else "yuv420p"]
        if video.startswith("libx26"):
            more += ["-preset", "ultrafast", *(["-x265-params", "log-level=none"] if video == "libx265" else [])]
    if audio:
        more += ["-c:a", audio, "-ac", 1]
    ffmpeg(*inputs, *more, *options.split(), path)
    return path


def amr(path: Path, seconds: float = 2.0) -> Path:
    """Sound as radios and recorders write it; ffmpeg here reads it and cannot write it, so these are literal frames: 12.2
    kbit/s, one each 20 ms."""
    frames = (b"\x3c" + bytes((n * 37 + i * 11) % 251 for i in range(31)) for n in range(round(seconds * 50)))
    path.write_bytes(b"#!AMR\n" + b"".join(frames))
    return path


def bomb(path: Path, width: int, height: int) -> Path:
    """A PNG of few bytes that claims so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1_000_000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    return path


def _rate(audio: str) -> int:
    return 8_000 if audio == "libopencore_amrnb" or "amr" in audio else 44_100 if audio == "aac" else 16_000


def ask(path: Path, *words: str) -> Any:
    """What ffprobe says."""
    command = [
        program("ffprobe", "ffmpeg"),
        "-v",
        "error",
        "-show_format",
        "-show_streams",
        "-of",
        "json",
        *words,
        path,
    ]
    return json.loads(subprocess.run(command, capture_output=True, timeout=60, check=True).stdout)


def probe_of(path: Path, *conditions: Condition) -> Probe:
    """A probe as the parsers would give it."""
    said = ask(path)
    return Probe(
        "video" if any(s["codec_type"] == "video" for s in said["streams"]) else "audio",
        conditions=conditions,
        container=said["format"]["format_name"],
        duration=float(said["format"]["duration"]) if "duration" in said["format"] else None,
        streams=tuple(_stream(s) for s in said["streams"]),
    )


def _stream(said: dict[str, Any]) -> Stream:
    frames, _, seconds = said.get("avg_frame_rate", "0/0").partition("/")
    turn = next((-int(d["rotation"]) % 360 for d in said.get("side_data_list", ()) if "rotation" in d), 0)
    return Stream(
        said["codec_type"] if said["codec_type"] in KINDS else "data",
        codec=said.get("codec_name", ""),
        profile=said.get("profile", ""),
        width=said.get("width"),
        height=said.get("height"),
        pixel_format=said.get("pix_fmt", ""),
        frame_rate=float(frames) / float(seconds) if float(seconds or 0) else None,
        rotation=turn,
        sample_rate=int(said["sample_rate"]) if "sample_rate" in said else None,
        channels=said.get("channels"),
        duration=float(said["duration"]) if "duration" in said else None,
    )


def member_of(path: Path, *conditions: Condition, **changes: Any) -> Member:
    member = Member(probe_of(path, *conditions), path.stat().st_size, path.name)
    return replace(member, **changes)


def length(path: Path) -> float:
    return float(ask(path)["format"]["duration"])


def begin(path: Path) -> float:
    """The first time stamp of a file; a transport stream starts anywhere."""
    return float(ask(path)["format"].get("start_time", 0))


def stream_of(path: Path, kind: str) -> dict[str, Any]:
    return next((s for s in ask(path)["streams"] if s["codec_type"] == kind), {})


def flashes(path: Path) -> list[float]:
    """When the picture turns white, by decoding all frames as a player does."""
    command = [
        program("ffprobe", "ffmpeg"), "-v", "error", "-f", "lavfi", "-i", f"movie={path},signalstats", "-show_entries",
        "frame=pts_time:frame_tags=lavfi.signalstats.YAVG", "-of", "json",
    ]  # fmt: skip
    said = json.loads(subprocess.run(command, capture_output=True, timeout=60, check=True).stdout)["frames"]
    bright = [(float(f["pts_time"]), float(f["tags"]["lavfi.signalstats.YAVG"]) > 128) for f in said if "pts_time" in f]
    return [at for (_, before), (at, now) in zip([(0.0, False), *bright], bright, strict=False) if now and not before]


def beeps(path: Path, *, counted: bool = False) -> list[float]:
    """When sound begins after silence. ``counted``: by counting samples, as a player does that ignores time stamps."""
    even = [] if counted else ["-af", "aresample=async=1:min_hard_comp=0.001:first_pts=0"]
    command = [
        program("ffmpeg", "ffmpeg"), "-v", "error", "-i", path, "-vn", *even, "-ac", "1", "-ar", "8000", "-f", "s16le", "-",
    ]  # fmt: skip
    samples = array.array("h", subprocess.run(command, capture_output=True, timeout=60, check=True).stdout)
    found, silent = [], 400
    for n, sample in enumerate(samples):
        if abs(sample) > 1_500:
            if silent >= 400:
                found.append(n / 8000)
            silent = 0
        else:
            silent += 1
    return found
