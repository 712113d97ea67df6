"""Files made to open other files or addresses. Each is tried behind both walls (in the sandbox) and behind the inner one alone (the
demuxers and protocols that ffprobe may use), watched by strace and by a socket that must hear nothing."""

import json
import os
import select
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mediad.edges.media import Media, ProbeFile
from mediad.edges.sandbox import Sandbox
from mediad.model.evidence import Kind
from mediad.parsers import boxes
from mediad.parsers.binary import Bytes
from tests.clips import Clips, ffmpeg

SECRET_SIZE = (176, 144)
"""The size of the picture that must not be seen: no other clip here has it."""


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film beside, which shows by its size if it was opened."""
    path = tmp_path_factory.mktemp("secret") / "secret.ts"
    ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=size=176x144:rate=25:duration=1", "-c:v", "libx264", "-preset", "ultrafast", path
    )
    return path


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def with_reference(clip: Path, kind: bytes, place: bytes) -> bytes:
    """A QuickTime film whose picture data is said to be elsewhere (the index stands behind the data, so no offset moves)."""
    data = bytearray(clip.read_bytes())
    with Bytes(clip) as file:
        path = [b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"]
        chain = [next(boxes.find(file, tuple(path[: n + 1]))) for n in range(len(path))]
    entry = struct.pack(">I4sI", 12 + len(place), kind, 0) + place
    start = chain[-1].body + 8
    old = struct.unpack(">I", data[start : start + 4])[0]
    data[start : start + old] = entry
    for box in chain:
        size = struct.unpack(">I", data[box.start : box.start + 4])[0]
        data[box.start : box.start + 4] = struct.pack(">I", size + len(entry) - old)
    return bytes(data)


def movie(reference: bytes) -> bytes:
    """A reference movie: nothing but where the film is."""
    rdrf = struct.pack(">II4sI", 16 + 4 + len(reference), 0, b"url ", len(reference))
    rdrf = (
        struct.pack(">I4s", 8 + 12 + len(reference), b"rdrf")
        + struct.pack(">I4sI", 0, b"url ", len(reference))
        + reference
    )
    rmda = struct.pack(">I4s", 8 + len(rdrf), b"rmda") + rdrf
    rmra = struct.pack(">I4s", 8 + len(rmda), b"rmra") + rmda
    return b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + struct.pack(">I4s", 8 + len(rmra), b"moov") + rmra


def hostile(clips: Clips, file: str, address: str) -> dict[str, bytes]:
    """By name. ``file`` is the path of the secret film, ``address`` the listener's."""
    clip = clips.clip("mov", "h264", "none")
    return {
        "hls-file.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{file}\n#EXT-X-ENDLIST\n".encode(),
        "hls-http.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://{address}/a.ts\n#EXT-X-ENDLIST\n".encode(),
        "hls-key.mp4": f'#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-KEY:METHOD=AES-128,URI="http://{address}/k"\n#EXTINF:9,\n{file}\n'.encode(),
        "hls-bare.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{file}\n#EXT-X-ENDLIST\n".encode(),
        "concat.mp4": f"ffconcat version 1.0\nfile '{file}'\n".encode(),
        "sdp.mp4": (
            f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {address.split(':')[1]} RTP/AVP 96\n"
            "a=rtpmap:96 H264/90000\n"
        ).encode(),
        "dash.mp4": (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT9S" '
            'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="video/mp4">'
            f'<Representation id="1"><BaseURL>http://{address}/a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>'
        ).encode(),
        "asx.wmv": f"[Reference]\r\nRef1=http://{address}/a.asf\r\n".encode(),
        "ref-url.mov": with_reference(clip, b"url ", f"http://{address}/a.mov\0".encode()),
        "ref-file.mov": with_reference(clip, b"url ", f"file://{file}\0".encode()),
        "ref-alias.mov": with_reference(clip, b"alis", alias(file)),
        "rmra-http.mov": movie(f"http://{address}/a.mov\0".encode()),
        "rmra-file.mov": movie(f"file://{file}\0".encode()),
        "entity.xml": f'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "http://{address}/x">]><r><officer>&x;</officer></r>'.encode(),
        "entity-file.xml": f'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file://{file}">]><r><officer>&x;</officer></r>'.encode(),
        "svg.jpg": f'<svg xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href="http://{address}/a.png"/></svg>'.encode(),
    }  # fmt: skip


def alias(path: str) -> bytes:
    """A QuickTime alias record with an absolute path, as ffmpeg reads it (type 18, then its end)."""
    name = path.rsplit("/", 1)[-1].encode()
    head = bytes(4) + struct.pack(">HH", 150 + 4 + len(path) + 4, 2) + bytes(2)
    volume = bytes([4]) + b"disk".ljust(27, b"\0")
    file = bytes([min(len(name), 63)]) + name[:63].ljust(63, b"\0")
    tail = struct.pack(">HH", 18, len(path)) + path.encode() + b"\0" * (len(path) & 1) + b"\xff\xff\0\0"
    return (head + volume + bytes(12) + file + bytes(16) + bytes(20) + bytes(12) + tail)[:600]


def test_the_secret_would_be_seen(clips: Clips, secret: Path, tmp_path: Path) -> None:
    """The trap works: ffprobe without our walls opens the film beside through the playlist."""
    path = tmp_path / "a.m3u8"
    path.write_bytes(hostile(clips, str(secret), "127.0.0.1:1")["hls-bare.mp4"])
    words = [
        "ffprobe",
        "-v",
        "quiet",
        "-show_entries",
        "stream=width",
        "-of",
        "csv=p=0",
        "-allowed_extensions",
        "ALL",
        str(path),
    ]
    assert "176" in subprocess.run(words, capture_output=True, text=True, check=False).stdout


def test_in_the_sandbox_nothing_else_is_opened(
    clips: Clips, secret: Path, listener: socket.socket, tmp_path: Path
) -> None:
    """Even where the film lies in the same sandbox under a known name: each answer is about its own file."""
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    files = []
    for name, data in hostile(clips, "/in/0000", address).items():
        (tmp_path / name).write_bytes(data)
        files.append(ProbeFile(tmp_path / name, Kind.DATA, name.rsplit(".", 1)[-1]))
    probes = Media(Sandbox(nice=0, idle=False)).probe([ProbeFile(secret, Kind.DATA, "ts"), *files])
    seen = probes[0].stream("video")
    assert seen is not None
    assert (seen.width, seen.height) == SECRET_SIZE
    for file, probe in zip(files, probes[1:], strict=True):
        assert all((s.width, s.height) != SECRET_SIZE for s in probe.streams), (file, probe)
        if file.path.name.startswith("ref-"):
            assert "outside-reference" in {r.code for r in probe.remarks}, (file, probe)
        elif not file.path.name.startswith("rmra"):
            assert probe.conditions == ("unreadable",), (file, probe)
    assert not select.select([listener], [], [], 0)[0]


def test_without_the_sandbox_nothing_else_is_opened(
    clips: Clips, secret: Path, listener: socket.socket, tmp_path: Path
) -> None:
    """The inner wall alone: strace sees no opening of the film and no connection."""
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    names = []
    for name, data in hostile(clips, str(secret), address).items():
        (tmp_path / name).write_bytes(data)
        names.append(name)
    code = (
        "import json,sys; from pathlib import Path; from mediad.parsers.__main__ import answered\n"
        f"for n in {names!r}:\n"
        "  for a in ('probe', 'track'):\n"
        f"    print(json.dumps(answered({{'name': n, 'as': a, 'suffix': n.rsplit('.', 1)[-1]}}, Path({str(tmp_path)!r}))))"
    )
    trace = tmp_path / "trace"
    words = [
        "strace",
        "-f",
        "-qq",
        "-o",
        str(trace),
        "-e",
        "trace=open,openat,openat2,connect,sendto",
        sys.executable,
        "-c",
        code,
    ]
    done = subprocess.run(
        words, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    )
    assert len(done.stdout.splitlines()) == 2 * len(names)
    assert not any(
        "176" in json.dumps(json.loads(line).get("probe", {}).get("streams", [])) for line in done.stdout.splitlines()
    )
    calls = trace.read_text(errors="replace").splitlines()
    assert any("hls-file.mp4" in call for call in calls), "nothing was traced"
    assert [call for call in calls if "secret.ts" in call] == []
    assert [call for call in calls if "AF_INET" in call] == []
    assert not select.select([listener], [], [], 0)[0]
