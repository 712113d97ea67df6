#!/usr/bin/python3
"""Guest side of the virtual docking station: one JSON object per line on a virtio-serial port.

`{"id":1,"sh":"...","stdin":"","timeout":60}` -> `{"id":1,"rc":0,"out":"...","err":"..."}`;
`{"id":1,"ping":1}` -> `{"id":1,"hello":"<uptime>"}`.
Every request runs in its own thread, so that a watching command and a copy can run together.
"""

import fcntl
import json
import os
import signal
import subprocess
import threading

PORT = "/dev/virtio-ports/lab.0"
ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}


def text(data):
    return (data or b"").decode("utf-8", "backslashreplace")


def uptime():
    with open("/proc/uptime", encoding="ascii") as f:
        return f.read().split()[0]


def main():
    # The port tells by SIGIO that the host has connected; blocked, so that one that comes early waits for `sigwait`.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGIO})
    fd = os.open(PORT, os.O_RDWR)
    fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
    lock = threading.Lock()

    def send(obj):
        data = (json.dumps(obj) + "\n").encode()
        with lock:
            while data:
                data = data[os.write(fd, data) :]

    def work(req):
        rep = {"id": req["id"]}
        try:
            done = subprocess.run(
                ["/bin/bash", "-c", req["sh"]],
                input=req.get("stdin", "").encode(),
                capture_output=True,
                check=False,
                timeout=req.get("timeout"),
                env=ENV,
            )
            rep.update(rc=done.returncode, out=text(done.stdout), err=text(done.stderr))
        except subprocess.TimeoutExpired as e:
            rep.update(rc=124, out=text(e.stdout), err="timeout")
        except Exception as e:  # the host must always get an answer
            rep.update(rc=125, out="", err=repr(e))
        send(rep)

    send({"id": 0, "hello": uptime()})
    buf = b""
    while True:
        chunk = os.read(fd, 65536)
        if not chunk:  # the host side is closed: read() then returns nothing at once
            signal.sigwait({signal.SIGIO})
            continue
        buf += chunk
        while b"\n" in buf:
            line, buf = buf.split(b"\n", 1)
            try:
                req = json.loads(line)
            except ValueError:
                continue
            if req.get("ping"):
                send({"id": req["id"], "hello": uptime()})
            else:
                threading.Thread(target=work, args=(req,), daemon=True).start()


main()
