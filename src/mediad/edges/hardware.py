"""Which video encoder is used: the first hardware encoder in which a real test encode succeeds, else software.

A driver that is installed says nothing: encoders fail for want of rights, of memory of the card, or of a licence for one more
session. So each candidate encodes a second of test picture in the sandbox, with the device nodes that it would get.
"""

import glob
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from mediad.edges import commands
from mediad.edges.commands import SOFTWARE, Hardware
from mediad.edges.sandbox import Limits
from mediad.edges.step import MIB, Runs, last_line
from mediad.errors import MediadError

NAMES: Final = ("vaapi", "nvenc", "qsv")


def candidates(names: Sequence[str] = NAMES) -> list[Hardware]:
    """What could be there, by the device nodes of this machine; better ones first."""
    cards = sorted(glob.glob("/dev/dri/renderD*"))
    nvidia = tuple(d for d in sorted(glob.glob("/dev/nvidia*")) if Path(d).is_char_device())
    found = []
    for card in cards:
        vaapi = Hardware(
            "vaapi", "h264_vaapi", (("-vaapi_device", card),), (("format", ("nv12",)), ("hwupload", ())), "qp", (card,)
        )
        qsv = Hardware("qsv", "h264_qsv", (), (("format", ("nv12",)),), "global_quality", (card,))
        found += [vaapi, qsv]
    if nvidia:
        found.append(Hardware("nvenc", "h264_nvenc", (), (("format", ("yuv420p",)),), "cq", nvidia))
    return sorted((h for h in found if h.name in names), key=lambda h: names.index(h.name))


Chosen = Callable[[str, str], None]
"""Hears the name of the encoder that is used, and why none that would come before it."""


class Choice:
    """The encoder that is used; tried once, and then ``chosen`` is told. Every film may still fall back to software."""

    def __init__(
        self, sandbox: Runs, prefer: str, found: Sequence[Hardware] | None = None, chosen: Chosen | None = None
    ) -> None:  # fmt: skip
        self._wanted = NAMES if prefer == "auto" else (prefer,) if prefer in NAMES else ()
        self._sandbox = sandbox
        self._candidates = (
            [h for h in found if h.name in self._wanted] if found is not None else candidates(self._wanted)
        )
        self._chosen = chosen
        self._lock = threading.Lock()
        self._made: Hardware | None = None
        self.why = ""
        """Why it is none of those that would come before it."""

    def made(self) -> Hardware:
        with self._lock:
            if self._made is None:
                self._made = self._first()
                if self._chosen is not None:
                    self._chosen(self._made.name, self.why)
        return self._made

    def _first(self) -> Hardware:
        """The first that works."""
        there = {h.name for h in self._candidates}
        failed = [f"{name}: no device node of it is there" for name in self._wanted if name not in there]
        made = SOFTWARE
        for hardware in self._candidates:
            if not (complaint := self._complaint(hardware)):
                made = hardware
                break
            failed.append(f"{hardware.name}: {complaint}")
        self.why = "; ".join(failed)
        return made

    def _complaint(self, hardware: Hardware) -> str:
        """Why a real encode fails; nothing if it succeeds."""
        limits = Limits(cpu_seconds=30, seconds=60.0, memory=0, file_size=16 * MIB)
        with tempfile.TemporaryDirectory(prefix="mediad-trial-") as folder:
            try:
                outcome = self._sandbox.run(
                    commands.trial(hardware), output=Path(folder), limits=limits, devices=hardware.devices
                )
            except MediadError as e:
                return e.message
        return "" if outcome.code == 0 else last_line(outcome.err) or f"its test encode ended with {outcome.code}"
