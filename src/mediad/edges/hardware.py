"""Which video encoder is used: the first hardware encoder in which a real test encode succeeds, else software.

A driver that is installed says nothing: encoders fail for want of rights, of memory of the card, or of a licence for one more
session. So each candidate encodes a second of test picture in the sandbox, with the device nodes that it would get.
"""

import glob
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mediad.edges import commands
from mediad.edges.commands import SOFTWARE, Hardware
from mediad.edges.sandbox import Limits
from mediad.edges.step import MIB, Runs
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


class Choice:
    """The encoder that is used; tried once. Every file may still fall back to software."""

    def __init__(self, sandbox: Runs, prefer: str, found: Sequence[Hardware] | None = None) -> None:
        wanted = NAMES if prefer == "auto" else (prefer,) if prefer in NAMES else ()
        self._sandbox = sandbox
        self._candidates = [h for h in found if h.name in wanted] if found is not None else candidates(wanted)
        self._made: Hardware | None = None

    def made(self) -> Hardware:
        if self._made is None:
            self._made = next((h for h in self._candidates if self._works(h)), SOFTWARE)
        return self._made

    def _works(self, hardware: Hardware) -> bool:
        limits = Limits(cpu_seconds=30, seconds=60.0, memory=0, file_size=16 * MIB)
        with tempfile.TemporaryDirectory(prefix="mediad-trial-") as folder:
            try:
                outcome = self._sandbox.run(
                    commands.trial(hardware), output=Path(folder), limits=limits, devices=hardware.devices
                )
            except MediadError:
                return False
        return outcome.code == 0
