"""Behind the dock: the second service probes, joins and previews what was stored, and is fenced in."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from cards import Part, make_card
from station import VAULT_DIR, Station

UNIT = "mediad-derive.service"
TAKE = ("DCIM/100MEDIA/8888888_000000_20261123093000_0001.mp4", "DCIM/100MEDIA/8888888_000000_20261123093002_0002.mp4")


@pytest.mark.dock_smoke
def test_a_take_of_two_segments_becomes_one_recording_with_one_proxy(station: Station) -> None:
    """The packaged service, its sandbox and the real parsers: what the recorder cut apart is one video again."""
    for n, name in enumerate(TAKE):
        film(station.work / "card" / name, seconds=2, tone=440 + 110 * n)
    image = make_card(station.work / "card.img", Part("fat32", station.work / "card"))
    station.resume()
    station.vm.run(f"systemctl start {UNIT}", timeout=300, check=True)
    station.vm.plug("r1", image, port=1)
    station.until_state(1, "safe")
    station.until("a proxy is made", lambda: proxy_of(station), timeout=300)
    (recording,) = station.mediad("recordings", "--json")
    assert len(recording["assets"]) == 2
    assert not recording["provisional"]
    assert recording["started_at"].startswith("2026-11-23T09:30:00")
    proxy = proxy_of(station)
    probe = "ffprobe -v error -show_entries format=duration -of csv=p=0"
    seconds = float(station.vm.run(f"{probe} {proxy}", check=True)["out"])
    assert abs(seconds - 4) < 0.2, seconds
    station.judge(originals(station.work / "card"))


def test_the_second_service_is_unprivileged_without_network_and_fenced_in(station: Station) -> None:
    """Namespaces are its only freedom: bubblewrap needs them."""
    station.resume()
    station.vm.run(f"systemctl start {UNIT}", timeout=300, check=True)
    pid = station.vm.run(f"systemctl show -P MainPID {UNIT}", check=True)["out"].strip()
    lines = station.vm.run(f"cat /proc/{pid}/status", check=True)["out"].splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert "0" not in status["Uid"].split()
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    links = station.vm.run(f"nsenter -t {pid} -n ip -o link 2>/dev/null || nsenter -t {pid} -n cat /proc/net/dev")[
        "out"
    ]
    assert "lo" in links
    assert "eth" not in links and "ens" not in links and "enp" not in links, links
    told = station.vm.run(f"systemd-analyze security --no-pager {UNIT}", check=True)["out"]
    overall = float(told.rsplit(f"exposure level for {UNIT}:", 1)[1].split()[0])
    assert overall <= 3.0, told


def proxy_of(station: Station) -> str:
    return str(station.vm.run(f"find {VAULT_DIR}/derived -name proxy.mp4 2>/dev/null")["out"]).strip()


def film(out: Path, *, seconds: int, tone: int) -> None:
    """A small H.264 and AAC recording."""
    out.parent.mkdir(parents=True, exist_ok=True)
    pictures = f"testsrc2=size=320x240:rate=25:duration={seconds}"
    sound = f"sine=frequency={tone}:duration={seconds}"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", pictures, "-f", "lavfi", "-i", sound]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-y", str(out)]
    subprocess.run(command, check=True)


def originals(card: Path) -> dict[str, str]:

    files = (f for f in sorted(card.rglob("*")) if f.is_file())
    return {f.relative_to(card).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
