"""The packaged service: who it runs as, how it is fenced in, what it leaves alone."""

from __future__ import annotations

from cards import Part, make_card, write_tree
from station import Station

MB = 1_000_000


def test_daemon_is_unprivileged_and_fenced_in(station: Station) -> None:
    """`systemd-analyze security` says 2.0 or better; the process has no capability and is not root."""
    station.resume()
    pid = station.vm.run("systemctl show -P MainPID mediad.service", check=True)["out"].strip()
    lines = station.vm.run(f"cat /proc/{pid}/status", check=True)["out"].splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert "0" not in status["Uid"].split()
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    told = station.vm.run("systemd-analyze security --no-pager mediad.service", check=True)["out"]
    overall = float(told.rsplit("exposure level for mediad.service:", 1)[1].split()[0])
    assert overall <= 2.0, told


def test_unregistered_device_is_left_alone_and_logged_when_so_configured(station: Station) -> None:
    tree = station.work / "card"
    write_tree(tree, {"somebody's holiday.mp4": MB})
    image = make_card(station.work / "card.img", Part("fat32", tree, "STICK"))
    station.resume()
    station.configure(unknown='"ignore"')
    station.vm.plug("r1", image, port=1, serial="NOBODY")
    station.until("the device is logged as ignored", lambda: left_alone(station, "NOBODY"))
    assert not station.mounted("vfat")
    kept = station.judge()
    assert kept.handovers == []


def test_package_can_be_removed_without_touching_evidence(station: Station) -> None:
    digests = write_tree(station.work / "card", {"DCIM/0001.jpg": 20_000})
    image = make_card(station.work / "card.img", Part("fat32", station.work / "card"))
    station.resume()
    station.vm.plug("r1", image, port=1)
    station.until_state(1, "safe")
    station.judge(digests)
    station.vm.run("dpkg --purge mediad", timeout=300, check=True)
    left = station.vm.run("find /var/lib/mediad/vault/originals -name '*.jpg' | wc -l")["out"].strip()
    assert left == "1"
    assert station.vm.run("test -e /usr/lib/mediad || test -e /usr/bin/mediad")["rc"] == 1


def left_alone(station: Station, serial: str) -> bool:
    return any(serial in line and "left alone" in line for line in station.journal().splitlines())
