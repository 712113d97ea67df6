"""Identities: digests and the names made of them."""

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

ALGORITHMS = {"sha256": 32, "sm3": 32}
"""Algorithm names and digest sizes in bytes. SHA-256 (FIPS 180-4) always; SM3 (GB/T 32905-2016) where configured."""

_ID_CHARACTERS = 26


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A digest is always algorithm and bytes; two digests of different algorithms are never equal."""

    algorithm: str
    value: bytes

    def __post_init__(self) -> None:
        if ALGORITHMS.get(self.algorithm) != len(self.value):
            raise ValueError(f"not a {self.algorithm} digest: {len(self.value)} bytes")

    @property
    def hex(self) -> str:
        return self.value.hex()

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"

    @classmethod
    def sha256(cls, data: bytes) -> "Digest":
        return cls("sha256", hashlib.sha256(data).digest())


@lru_cache(maxsize=4096)
def _asset_characters(sha256: bytes) -> str:
    """The characters that an asset and its first recording share; asked for several times while a batch is stored."""
    return _base32(sha256[:20])[:_ID_CHARACTERS]  # 26 characters come from the first 17 bytes


def _base32(value: bytes) -> str:
    return base64.b32encode(value).decode("ascii").lower().rstrip("=")


def asset_id(sha256: bytes) -> str:
    """``ast-`` and 26 base32 characters (130 bits) of the SHA-256: one asset per digest, wherever it is seen."""
    return "ast-" + _asset_characters(sha256)


def recording_id(sha256: bytes) -> str:
    """``rec-`` and the same characters: every asset is born as a recording of its own."""
    return "rec-" + _asset_characters(sha256)


def born_as(asset: str) -> str:
    """The recording as which an asset was born: the id stays valid, whatever it is joined into."""
    return "rec-" + asset.removeprefix("ast-")


def stamped_id(prefix: str, at: datetime, entropy: bytes) -> str:
    """An id that sorts by time and is never used twice: prefix, UTC second, and 16 base32 characters of entropy (10 bytes)."""
    return f"{prefix}-{at:%Y%m%dt%H%M%Sz}-{_base32(entropy[:10])}"


def short_digest(data: bytes) -> str:
    """16 base32 characters of a SHA-256: file names for locks, volume names. Not evidence."""
    return _base32(hashlib.sha256(data).digest())[:16]


def named_id(prefix: str, what: str, key: str) -> str:
    """An id made of a name, the same on every station: prefix and 26 base32 characters of the SHA-256 of what it is and its key."""
    digest = hashlib.sha256(b"\0".join((what.encode(), key.encode()))).digest()
    return f"{prefix}-{_base32(digest[:20])[:_ID_CHARACTERS]}"
