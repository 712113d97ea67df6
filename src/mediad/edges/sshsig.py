"""Signatures as ``ssh-keygen -Y sign`` makes them, with Ed25519 keys (OpenSSH, PROTOCOL.sshsig): read strictly, and verified.

A private key never comes here: a person signs by themselves, with a file, an agent or a card.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

from mediad.errors import Refused
from mediad.model.signing import NAMESPACE

LONGEST: Final = 16 * 1024
"""A signature has some 300 characters, a line with a key some 100."""

_TYPE: Final = b"ssh-ed25519"
_MAGIC: Final = b"SSHSIG"
_BEGIN: Final = "-----BEGIN SSH SIGNATURE-----"
_END: Final = "-----END SSH SIGNATURE-----"
_HASHES: Final = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}
_HOW: Final = f"`ssh-keygen -Y sign -n {NAMESPACE} -f KEY STATEMENT` makes one"


class _Odd(Exception):
    """Bytes that are not what they have to be."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """32 bytes of an Ed25519 key."""

    raw: bytes

    @property
    def blob(self) -> bytes:
        return _string(_TYPE) + _string(self.raw)

    @property
    def line(self) -> str:
        """As it stands in ``id_ed25519.pub``, without the comment."""
        return f"{_TYPE.decode()} {_base64(self.blob)}"

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` prints it."""
        return "SHA256:" + _base64(hashlib.sha256(self.blob).digest()).rstrip("=")


@dataclass(frozen=True, slots=True)
class Verified:
    """A signature that holds: by which key, and the signature itself (the armored blob, as base64 without line breaks)."""

    key: PublicKey
    signature: str


def read_key(text: str) -> PublicKey:
    """One line of a public key file. Raises Refused."""
    words = text.split()
    try:
        if len(text) > LONGEST or len(words) < 2 or text.strip().count("\n"):
            raise _Odd("it is not one line of type, key and comment")
        if words[0] != _TYPE.decode():
            raise _Odd(f"its type is {words[0][:40]}")
        return _key(_unbase64(words[1]))
    except _Odd as e:
        raise Refused(
            f"this is no public Ed25519 key: {e}",
            code="bad-key",
            hint="`ssh-keygen -t ed25519` makes one; give its .pub",
        ) from e


def verified(armored: str, message: bytes) -> Verified:
    """A signature that holds over a message. Raises Refused for anything else."""
    try:
        blob = _unarmored(armored)
        key, digest, raw = _parts(blob)
    except _Odd as e:
        raise Refused(f"this is no signature for mediad: {e}", code="bad-signature", hint=_HOW) from e
    signed = b"".join((_MAGIC, *map(_string, (NAMESPACE.encode(), b"", digest, _HASHES[digest](message).digest()))))
    if not _holds(key, raw, signed):
        raise Refused(
            "the signature is not of this statement as it stands now",
            code="not-this-statement",
            hint="print the statement anew, and sign it without changing it",
        )
    return Verified(key, _base64(blob))


def _holds(key: PublicKey, raw: bytes, signed: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key.raw).verify(raw, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _unarmored(text: str) -> bytes:
    if len(text) > LONGEST:
        raise _Odd("it is too long")
    lines = text.strip().splitlines()
    if len(lines) < 3 or lines[0] != _BEGIN or lines[-1] != _END:
        raise _Odd(f"it does not stand between {_BEGIN} and {_END}")
    return _unbase64("".join(lines[1:-1]))


def _parts(blob: bytes) -> tuple[PublicKey, bytes, bytes]:
    """The key, the name of the hash, and the 64 bytes of a signature."""
    if blob[:10] != _MAGIC + b"\0\0\0\1":
        raise _Odd("it does not begin as version 1 of such a signature")
    public, namespace, reserved, digest, signature = _strings(blob[10:], 5)
    if namespace != NAMESPACE.encode():
        raise _Odd(f"its namespace is {namespace[:40].decode('utf-8', 'replace')!r}, not {NAMESPACE!r}")
    if reserved:
        raise _Odd("what is reserved in it is not empty")
    if digest not in _HASHES:
        raise _Odd("its hash is neither sha512 nor sha256")
    key = _key(public)
    kind, raw = _strings(signature, 2)
    if kind != _TYPE or len(raw) != 64:
        raise _Odd("it is not made with Ed25519")
    return key, digest, raw


def _key(blob: bytes) -> PublicKey:
    kind = blob[4 : 4 + int.from_bytes(blob[:4])]
    if kind != _TYPE:
        raise _Odd(f"the key is of type {kind[:40].decode('utf-8', 'replace')}, not {_TYPE.decode()}")
    _, raw = _strings(blob, 2)
    if len(raw) != 32:
        raise _Odd("the key has not 32 bytes")
    return PublicKey(raw)


def _strings(data: bytes, count: int) -> list[bytes]:
    """Exactly so many strings, each behind its length, and nothing behind them."""
    found = []
    for _ in range(count):
        end = 4 + int.from_bytes(data[:4])
        if len(data) < max(4, end):
            raise _Odd("it ends too early")
        found.append(data[4:end])
        data = data[end:]
    if data:
        raise _Odd("something stands behind its end")
    return found


def _string(value: bytes) -> bytes:
    return len(value).to_bytes(4) + value


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _unbase64(text: str) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as e:
        raise _Odd("it is no base64") from e
    if _base64(value) != text:
        raise _Odd("it is no base64 as it is written")
    return value
