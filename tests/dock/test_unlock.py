"""A recorder that hides its disk until a helper has talked to it; its identity is known only before that."""

from __future__ import annotations

from cards import Part, make_card, write_tree
from station import STATE_DIR, Station

MB = 1_000_000

PROFILE = """\
name = "dock-unlock"
title = "recorder behind a password"
attach = "unlock"
rank = 10

[match]
usb_id = "08e6:4433"
model = "CCID"

[unlock]
command = ["/usr/local/lib/fake-unlock"]
secret_file = "/etc/mediad/secrets/fake"
timeout_seconds = 60
"""

# Answers in GBK, as vendors' libraries do, and leaves a mark for the test, which then "switches" the device.
HELPER = f"""\
#!/usr/bin/python3 -I
import json, os, sys
secret = os.read(int(os.environ["MEDIAD_PASSWORD_FD"]), 100)
if secret != b"000000":
    sys.exit("wrong password")
answer = {{"serial": "GA12345", "officer": "210213", "officer_name": "王卫", "unit_name": "卫生监督所"}}
sys.stdout.buffer.write(json.dumps(answer, ensure_ascii=False).encode("gbk"))
open("{STATE_DIR}/unlocked", "w").write(os.environ["MEDIAD_SLOT"])
"""


def test_identity_read_before_the_unlock_is_carried_to_the_disk_on_the_same_port(station: Station) -> None:
    digests = write_tree(station.work / "card", {"DCIM/100MEDIA/0001.mp4": MB, "DCIM/0002.jpg": 9000})
    image = make_card(station.work / "card.img", Part("fat32", station.work / "card"))
    station.resume()
    station.write("/etc/mediad/recorders/dock-unlock.toml", PROFILE)
    station.write("/usr/local/lib/fake-unlock", HELPER, "755")
    station.vm.run("install -d -m 750 -g mediad /etc/mediad/secrets", check=True)
    station.write("/etc/mediad/secrets/fake", "000000\n", "440")
    station.vm.run("chgrp mediad /etc/mediad/secrets/fake", check=True)
    station.restart()
    station.vm.plug_device("c1", "usb-ccid", port=4)
    station.until("the helper was run", lambda: station.vm.run(f"test -s {STATE_DIR}/unlocked")["rc"] == 0)
    station.vm.unplug("c1")
    station.vm.plug("r1", image, port=4, serial="0000")
    station.until_state(4, "safe")
    (record,) = station.judge(digests).handovers
    assert "GA12345" in record["recorder"]["key"], record["recorder"]
    assert record["officer"] == "210213", record
    assert record["said"]["officer"] == "210213", record
    assert record["said"]["heard_at"] < record["began_at"], record
