"""Talking to systemd: sd_notify(3) over its datagram socket. Without a service manager nothing happens."""

import os
import socket

SEND_SECONDS = 5.0
"""How long a manager that reads nothing is waited for: it must not stop the heart beat, and the end, for ever."""


def notify(*states: str) -> None:
    """Send states such as ``READY=1``, ``WATCHDOG=1``, ``STATUS=...``, ``STOPPING=1``, ``EXTEND_TIMEOUT_USEC=...``."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as s:
        s.settimeout(SEND_SECONDS)
        try:
            s.connect("\0" + address[1:] if address.startswith("@") else address)
            s.sendall("\n".join(states).encode())
        except OSError:
            return  # the manager restarts; it asks again by itself


def watchdog_seconds() -> float | None:
    """How often the manager wants to hear WATCHDOG=1, or None if it does not."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", "")
    if not usec.isdigit() or (pid.isdigit() and int(pid) != os.getpid()):
        return None
    return int(usec) / 1e6
