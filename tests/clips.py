"""Real media for tests, made once per session with ffmpeg, exiftool and heif-enc: as small as they can be."""

import subprocess
from functools import cached_property
from pathlib import Path

from tests.media import ffmpeg

PICTURE = ["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=1.2"]
SOUND = ["-f", "lavfi", "-i", "sine=duration=1.2:sample_rate=8000"]
CODECS = {
    "h264": ["-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-pix_fmt", "yuv420p"],
    "h265": ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=10"],
    "mjpeg": ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p"],
    "aac": ["-c:a", "aac"],
    "pcm": ["-c:a", "pcm_s16le"],
    "none": ["-an"],
}
CONTAINERS = {"mp4": "mp4", "mov": "mov", "avi": "avi", "mkv": "matroska", "ts": "mpegts"}
COMBINATIONS = [
    (container, video, sound)
    for container in CONTAINERS
    for video in ("h264", "h265", "mjpeg")
    for sound in ("aac", "pcm", "none")
    # what a container does not permit, or ffmpeg does not write
    if not (container == "ts" and (video == "mjpeg" or sound == "pcm"))
    and not (container == "mp4" and sound == "pcm")
    and not (container == "avi" and video == "h265")
]
SUBTITLES = (
    "1\n00:00:00,000 --> 00:00:00,400\n$G:2024-01-02 11:04:05-N39.904200-E116.407400\n\n"
    "2\n00:00:00,400 --> 00:00:00,800\n$G:2024-01-02 11:04:06-N39.905200-E116.408400\n\n"
    "3\n00:00:00,800 --> 00:00:01,200\n$G:2024-01-02 11:04:07-N39.906200-E116.409400\n\n"
)


class Clips:
    """Each is made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def clip(self, container: str, video: str = "h264", sound: str = "aac") -> Path:
        """1.2 seconds of test picture."""
        path = self.folder / f"{video}-{sound}.{container}"
        if not path.exists():
            source = [*PICTURE] if sound == "none" else [*PICTURE, *SOUND]
            ffmpeg(*source, *CODECS[video], *CODECS[sound], "-f", CONTAINERS[container], path)
        return path

    def made(self, name: str, *words: str) -> Path:
        """A clip of its own: ``words`` between the sources and the name."""
        path = self.folder / name
        if not path.exists():
            ffmpeg(*PICTURE, *SOUND, *words, path)
        return path

    @cached_property
    def subtitles(self) -> Path:
        path = self.folder / "gps.srt"
        path.write_text(SUBTITLES)
        return path

    def with_track(self, container: str) -> Path:
        path = self.folder / f"track.{container}"
        if not path.exists():
            kind = "srt" if container == "mkv" else "mov_text"
            # fmt: off
            ffmpeg(*PICTURE, *SOUND, "-i", self.subtitles, "-map", "0", "-map", "1", "-map", "2", *CODECS["h264"], *CODECS["aac"],
                   "-c:s", kind, path)
            # fmt: on
        return path

    def photo(self, suffix: str = "jpg", size: str = "160x120", **tags: str) -> Path:
        """A picture with EXIF as exiftool writes it. Always a new file."""
        number = len(list(self.folder.glob(f"photo-*.{suffix}")))
        path = self.folder / f"photo-{number}.{suffix}"
        if suffix == "heic":
            plain = self.photo("png", size)
            subprocess.run(["heif-enc", "-q", "30", plain, "-o", path], check=True, capture_output=True)
        else:
            kind = ["-c:v", "libwebp"] if suffix == "webp" else ["-c:v", "tiff"] if suffix == "tif" else []
            ffmpeg("-f", "lavfi", "-i", f"testsrc2=size={size}:duration=1:rate=1", "-frames:v", "1", *kind, path)
        if tags:
            words = [f"-{name}={value}" for name, value in tags.items()]
            subprocess.run(["exiftool", "-q", "-overwrite_original", "-n", *words, path], check=True)
        return path


def cut(source: Path, target: Path, size: int) -> Path:
    """The first ``size`` bytes of a file."""
    target.write_bytes(source.read_bytes()[:size])
    return target
