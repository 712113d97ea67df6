"""Reading a few bytes here and there of a file that may be of any size."""

import math
import os
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self


class Bytes:
    """A file read at places: short where it ends, empty beyond."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self.size = os.fstat(self._file.fileno()).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def at(self, place: int, length: int) -> bytes:
        return os.pread(self._file.fileno(), length, place) if place >= 0 and length > 0 else b""

    def number(self, place: int, length: int = 4, *, little: bool = False) -> int:
        """0 beyond the end; callers compare places with ``size`` first."""
        return int.from_bytes(self.at(place, length), "little" if little else "big")


def noise(data: bytes) -> float:
    """Bits of information per byte, 8 at most: what is encrypted or well compressed comes near it."""
    total = len(data)
    if not total:
        return 0.0
    return -sum(n / total * math.log2(n / total) for n in Counter(data).values())


def is_noise(file: Bytes, start: int) -> bool:
    """Whether every sample from here to the end looks random. Compressed media do too, so this means something only where
    their structure is missing."""
    length = file.size - start
    if length < 8192:
        return False
    samples = [file.at(start + length * part // 8, 4096) for part in range(8)]
    # 4,096 random bytes have about 7.95 bits per byte; text, zeros and tables far less
    return all(noise(sample) > 7.9 for sample in samples if len(sample) == 4096)
