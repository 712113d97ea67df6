"""A real Chromium without a window, and a server on loopback: a page looks at films and reports what it saw.

The page itself posts its findings to the server, so nothing of the browser's debugging protocol is needed. The browser has an
empty profile, and everything that would call home is off.
"""

import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.support import program

TYPES = {".mp4": "video/mp4", ".vtt": "text/vtt", ".html": "text/html", ".jpg": "image/jpeg", ".png": "image/png"}
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-extensions", "--mute-audio",
    "--disable-dev-shm-usage", "--no-default-browser-check", "--autoplay-policy=no-user-gesture-required",
    "--proxy-server=direct://", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.told: queue.Queue[Any] = queue.Queue()


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        path = self.server.folder / unquote(self.path.partition("?")[0]).lstrip("/")
        try:
            content = path.read_bytes()
        except OSError:
            self.send_error(404)
            return
        first, last = 0, len(content) - 1
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes="):
            start, _, end = asked[6:].partition("-")
            first, last = int(start or 0), min(int(end or last), last)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Type", TYPES.get(path.suffix, "application/octet-stream"))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        with suppress(OSError):  # the browser may have seen enough
            self.wfile.write(content[first : last + 1])

    def do_POST(self) -> None:
        said = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
        self.server.told.put(json.loads(said))

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def _served(folder: Path) -> Iterator[_Server]:
    server = _Server(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def report(folder: Path, page: str, work: Path, *, seconds: float = 240) -> Mapping[str, Any]:
    """Open a page of a folder, and give back what it posts."""
    with _served(folder) as server, (work / "browser.log").open("wb") as log:
        address = f"http://127.0.0.1:{server.server_address[1]}/{page}"
        browser = subprocess.Popen(
            [program("chromium", "chromium"), *FLAGS, f"--user-data-dir={work / 'profile'}", address],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={"PATH": os.environ["PATH"], "HOME": str(work), "LANG": "C.UTF-8"},
        )  # fmt: skip
        try:
            told: Mapping[str, Any] = server.told.get(timeout=seconds)
            return told
        except queue.Empty:
            raise AssertionError(f"the browser said nothing: {(work / 'browser.log').read_text()[-2000:]}") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(browser.pid, signal.SIGKILL)
            browser.wait()
