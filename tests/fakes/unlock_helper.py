#!/usr/bin/python3
"""A fake vendor helper that keeps to the contract in mediad/edges/unlock.py.  It unlocks nothing.

The password it accepts is ``abc123``.  If a program ``switch`` lies beside this script it is run with bus and
device number, where a real helper would send its control transfer; the virtual dock uses that. Unit tests
pick another behaviour with the first argument: hang, flood, gbk, fail, leave-child, not-json, empty,
echo-password.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

PASSWORD = b"abc123"
IDENTITY = {
    "serial": "8888888",
    "officer": "123456",
    "officer_name": "王小明",
    "unit": "210200",
    "unit_name": "卫生监督所",
    "clock": "2026-11-23 10:00:00",
}


def password() -> bytes:
    number = os.environ.get("MEDIAD_PASSWORD_FD")
    if number is None:
        return b""
    with os.fdopen(int(number), "rb") as file:
        return file.read()


def main() -> int:
    mode = sys.argv[1] if len(sys.argv) > 1 else ""
    given = password()
    if mode == "hang":
        subprocess.Popen(["sleep", "1000"])
        signal.pause()
    if mode == "flood":
        while True:
            sys.stdout.write("x" * 65536)
    if mode == "fail":
        print("device says: busy", file=sys.stderr)
        return 7
    if mode == "leave-child":
        subprocess.Popen(["sleep", "1000"])
    if mode == "not-json":
        print("hello")
        return 0
    if mode == "empty":
        return 0
    if mode == "environment":
        print(json.dumps({"serial": json.dumps(dict(os.environ)).replace('"', "'")[:190], "unit": " ".join(sys.argv)}))
        return 0
    if mode == "echo-password":
        print(f"wrong password {given.decode()}", file=sys.stderr)
        return 1
    if given != PASSWORD:
        print("wrong password", file=sys.stderr)
        return 1
    switch = Path(__file__).with_name("switch")
    if switch.exists():
        subprocess.run([str(switch), os.environ["MEDIAD_BUS"], os.environ["MEDIAD_DEV"]], check=True)
    text = json.dumps(IDENTITY, ensure_ascii=False)
    sys.stdout.buffer.write(text.encode("gbk" if mode == "gbk" else "utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
