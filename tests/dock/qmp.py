"""The part of QEMU's machine protocol that the virtual dock needs."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any


class QMP:
    """Minimal QMP client; keeps every event it sees until somebody waits for it."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(path))
        self.file = self.sock.makefile("rwb")
        self.events: list[dict[str, Any]] = []
        self._read()
        self("qmp_capabilities")

    def close(self) -> None:
        self.file.close()
        self.sock.close()

    def _read(self) -> dict[str, Any]:
        line = self.file.readline()
        if not line:
            raise ConnectionError("QEMU closed its monitor")
        return dict(json.loads(line))

    def __call__(self, cmd: str, **args: Any) -> Any:
        self.file.write(json.dumps({"execute": cmd, "arguments": args}).encode() + b"\n")
        self.file.flush()
        while True:
            m = self._read()
            if "event" in m:
                self.events.append(m)
            elif "error" in m:
                raise RuntimeError(f"{cmd}: {m['error']['desc']}")
            elif "return" in m:
                return m["return"]

    def wait(self, name: str, timeout: float = 10, **about: Any) -> dict[str, Any]:
        """The next event of that name with these data; TimeoutError after `timeout` seconds."""
        self.sock.settimeout(timeout)
        try:
            while True:
                for i, m in enumerate(self.events):
                    if m["event"] == name and about.items() <= m.get("data", {}).items():
                        return self.events.pop(i)
                self.events.append(self._read())
        finally:
            self.sock.settimeout(None)
