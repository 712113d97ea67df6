"""How a segment is coded, as far as it tells segments of one take from others.

What is compared is recorded in events as a text (``signature``), which is read again here; what an older version wrote is read the
same way.
"""

import re
from dataclasses import dataclass
from typing import Final

from mediad.model.probe import Probe

UNKNOWN: Final = "unknown"
"""The signature of what says nothing of itself: its index is missing, since the battery was pulled."""

_RATES: Final = (5.0, 10.0, 12.5, 15.0, 20.0, 25.0, 30.0, 50.0, 60.0, 100.0, 120.0, 240.0)
"""What recorders are set to. An average is off by the frames that the dark or a busy card cost, and 29.97 is 30."""

_VIDEO: Final = re.compile(r"(?P<form>.+ \w+x\w+) (?P<rate>\d{1,9})")
_AUDIO: Final = re.compile(r".+ (?:\d+|None) (?:\d+|None)")


@dataclass(frozen=True, slots=True)
class Coding:
    """What cannot differ within one take. ``rate``: the nominal frame rate that the average is nearest to; None if that is not
    known. ``audio`` is None where there is no sound: a microphone that was muted parts no take."""

    container: str
    video: str
    rate: float | None
    audio: str | None

    @classmethod
    def read(cls, signature: str) -> "Coding | None":
        """Of a recorded signature; None if that says nothing."""
        if signature in ("", UNKNOWN):
            return None
        container, video, rate, audio = [], "", None, None
        for part in signature.split(", "):
            if found := _VIDEO.fullmatch(part):
                video, rate = found["form"], _nominal(int(found["rate"]))
            elif _AUDIO.fullmatch(part):
                audio = part
            else:
                container.append(part)
        return cls(", ".join(container), video, rate, audio)


def signature(probe: Probe) -> str:
    """How a file is coded, as a text to record."""
    if not probe.streams:
        return UNKNOWN
    video, audio = probe.stream("video"), probe.stream("audio")
    parts = [probe.container]
    if video is not None:
        parts.append(f"{video.codec} {video.width}x{video.height} {round(video.frame_rate or 0)}")
    if audio is not None:
        parts.append(f"{audio.codec} {audio.sample_rate} {audio.channels}")
    return ", ".join(parts)


def _nominal(rate: int) -> float | None:
    return min(_RATES, key=lambda nominal: max(nominal / rate, rate / nominal)) if rate else None
