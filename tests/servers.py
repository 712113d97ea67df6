"""Real servers on loopback for what is sent out: SMTP with STARTTLS or TLS and a throw-away certificate, HTTPS, and ones that
misbehave."""

import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_server, socket
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.support import program


def certificate(folder: Path) -> Path:
    """A key and a certificate for localhost that nobody but this test believes, in one file."""
    folder.mkdir(parents=True, exist_ok=True)
    key, cert, both = folder / "key.pem", folder / "cert.pem", folder / "both.pem"
    command = [program("openssl", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
               "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
               "-addext", "subjectAltName=DNS:localhost"]  # fmt: skip
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    return both


def server_side(cert: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert)
    return context


class Mailbox:
    """What a mail server does, and what it took. ``refuse``: addresses that it does not take, ``refusal``: what it says then;
    ``answer``: what it says to a message."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.envelopes: list[tuple[str, list[str]]] = []
        self.refuse: set[str] = set()
        self.refusal = "550 no such mailbox"
        self.answer = "250 taken"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refuse:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answer.startswith("250"):
            self.envelopes.append((envelope.mail_from, list(envelope.rcpt_tos)))
            self.letters.append(cast(EmailMessage, message_from_bytes(envelope.content, policy=default)))
        return self.answer


@contextmanager
def smtp(
    cert: Path, *, tls: bool = False, starttls: bool = True, login: tuple[str, str] | None = None
) -> Iterator[tuple[int, Mailbox]]:
    """A mail server, and its port."""
    box = Mailbox()

    def known(_server: Any, _session: Any, _envelope: Any, _mechanism: str, said: Any) -> AuthResult:
        right = isinstance(said, LoginPassword) and (said.login.decode(), said.password.decode()) == login
        return AuthResult(success=right, handled=False)

    port = free_port()
    more: dict[str, Any] = {"require_starttls": True, "tls_context": server_side(cert)} if starttls and not tls else {}
    if login is not None:
        more |= {"auth_required": True, "authenticator": known, "auth_require_tls": not tls}
    controller = Controller(
        box, hostname="localhost", port=port, ssl_context=server_side(cert) if tls else None, **more
    )
    controller.start()
    try:
        yield port, box
    finally:
        controller.stop()


def free_port() -> int:
    with create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


class Robot:
    """What a web server was told, and what it answers."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.status = 200
        self.answer: bytes = b'{"errcode":0,"errmsg":"ok"}'
        self.headers: dict[str, str] = {}


@contextmanager
def https(cert: Path) -> Iterator[tuple[int, Robot]]:
    """A web server that takes JSON, and its port."""
    robot = Robot()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            robot.told.append((self.path, json.loads(body)))
            self.send_response(robot.status)
            for name, value in robot.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(robot.answer)))
            self.end_headers()
            self.wfile.write(robot.answer)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    server.socket = server_side(cert).wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], robot
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def raw(serve: Callable[[socket], None]) -> Iterator[int]:
    """A server that does with each connection what it is given to do, and its port. What it leaves open is closed at the end."""
    listening = create_server(("127.0.0.1", 0))
    opened: list[socket] = []

    def work() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                opened.append(connection)
                with suppress(OSError):
                    serve(connection)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        with suppress(OSError):
            listening.shutdown(2)
        listening.close()
        for each in opened:
            each.close()
        thread.join()


def silent(connection: socket) -> None:
    """It is there, and says nothing."""


def dies_in_the_middle(connection: socket) -> None:
    """SMTP without TLS that takes all of a message and is gone before it says so."""
    with connection, connection.makefile("rwb") as f:

        def say(line: bytes) -> None:
            f.write(line + b"\r\n")
            f.flush()

        say(b"220 here")
        while line := f.readline():
            if line.upper().startswith(b"DATA"):
                say(b"354 go on")
                while f.readline() not in (b".\r\n", b""):
                    pass
                return
            say(b"250 ok")


def drips(connection: socket) -> None:
    """It says one byte at a time and never comes to an end: no single read of it takes long."""
    while True:
        connection.sendall(b"2")
        threading.Event().wait(0.02)
