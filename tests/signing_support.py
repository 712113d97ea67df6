"""People who sign: keys that are made of a name, signatures as OpenSSH makes them, and acting under somebody's account."""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mediad.model.acts import Signature
from mediad.wiring.bureau import acts, keys, trips
from mediad.wiring.bureau.acts import Performed
from mediad.wiring.bureau.signing import proposed, statement
from tests.support import Site


def text(value: bytes) -> bytes:
    """A string as it travels in SSH."""
    return len(value).to_bytes(4) + value


def armored(blob: bytes) -> str:
    body = base64.b64encode(blob).decode()
    lines = [body[i : i + 70] for i in range(0, len(body), 70)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


@dataclass(frozen=True)
class Pen:
    """A key that is made of a name, so that it is the same each time."""

    name: str

    @property
    def private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(self.name.encode()).digest())

    @property
    def blob(self) -> bytes:
        return text(b"ssh-ed25519") + text(self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    @property
    def public(self) -> str:
        return f"ssh-ed25519 {base64.b64encode(self.blob).decode()} {self.name}@desk\n"

    @property
    def fingerprint(self) -> str:
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    def signature(
        self, message: bytes, *, namespace: bytes = b"mediad", digest: bytes = b"sha512", version: int = 1,
        reserved: bytes = b"", behind: bytes = b"",
    ) -> str:  # fmt: skip
        """What ``ssh-keygen -Y sign`` gives (PROTOCOL.sshsig), or what looks much like it."""
        hashed = hashlib.new(digest.decode(), message).digest()
        raw = self.private.sign(b"SSHSIG" + text(namespace) + text(reserved) + text(digest) + text(hashed))
        head = b"SSHSIG" + version.to_bytes(4) + text(self.blob) + text(namespace) + text(reserved) + text(digest)
        return armored(head + text(text(b"ssh-ed25519") + text(raw)) + behind)


@contextmanager
def acting(login: str) -> Iterator[None]:
    """Under an account of the operating system."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mediad.wiring.station.login", lambda: login)
        yield


def what_is_signed(site: Site, subject: str, as_: Signature = "approver") -> bytes:
    """The statement on an act or a trip."""
    from mediad.wiring.station import open_ledger

    ledger = open_ledger(site.config)
    try:
        with ledger.catalog.read() as conn:
            return statement(proposed(conn, subject), as_)
    finally:
        ledger.catalog.close()


def give_key(site: Site, login: str, registrar: str, name: str = "") -> Performed:
    """Register the key of whoever has an account, entered by another."""
    pen = Pen(name or login)
    proof = pen.signature(keys.statement(site.config, login, pen.public))
    with acting(registrar):
        return keys.add(site.config, login, pen.public, proof)


def keyed(site: Site, registrar: str, *logins: str) -> None:
    """Give people keys: the first one's comes without a signature, and they sign for the others'."""
    for login in logins:
        if waits := give_key(site, login, registrar).waits:
            sign(site, waits, "approver", logins[0])


def sign(site: Site, act: str, as_: Signature, login: str, *, pen: str = "") -> Performed:
    """Sign an act as whoever has an account."""
    with acting(login):
        return acts.sign(site.config, act, as_, Pen(pen or login).signature(what_is_signed(site, act, as_)))


def approve(site: Site, trip: str, login: str) -> None:
    """Approve a trip as whoever has an account."""
    with acting(login):
        trips.approve(site.config, trip, Pen(login).signature(what_is_signed(site, trip)))
