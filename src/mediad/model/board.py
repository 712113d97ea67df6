"""What the station's screen says of each slot: Chinese first, for the person who stands before it."""

from dataclasses import dataclass, replace
from typing import Final, Literal

SlotState = Literal["idle", "detecting", "unlocking", "copying", "safe", "attention", "paused"]

WORDS: Final[dict[SlotState, tuple[str, str]]] = {
    "idle": ("空闲", "free"),
    "detecting": ("正在识别", "detecting"),
    "unlocking": ("正在解锁", "unlocking"),
    "copying": ("正在采集 请勿拔出", "copying, do not unplug"),
    "safe": ("可取走", "safe to take"),
    "attention": ("请叫管理员", "call the administrator"),
    "paused": ("暂停 请叫管理员", "paused, call the administrator"),
}
"""The words of each state, Chinese and English."""


@dataclass(frozen=True, slots=True)
class SlotView:
    """One slot as it is shown. Sizes in bytes, ``seconds`` since copying began, ``why`` one sentence for the administrator."""

    port: str
    name: str = ""
    state: SlotState = "idle"
    recorder: str = ""
    docking: str = ""
    files_done: int = 0
    files_total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0
    seconds: float = 0.0
    why: str = ""

    @property
    def words(self) -> tuple[str, str]:
        return WORDS[self.state]

    @property
    def minutes_left(self) -> int | None:
        """Whole minutes, rounded up, at the speed so far; None while nothing can be said."""
        if self.state != "copying" or self.bytes_done <= 0 or self.seconds < 1:
            return None
        left = max(0, self.bytes_total - self.bytes_done) * self.seconds / self.bytes_done
        return int(-(-left // 60))

    def as_json(self) -> dict[str, object]:
        """The slot as it stands in slots.json and ``mediad slots --json``."""
        return {
            "port": self.port, "name": self.name, "state": self.state, "words": list(self.words),
            "recorder": self.recorder, "docking": self.docking, "files_done": self.files_done,
            "files_total": self.files_total, "bytes_done": self.bytes_done, "bytes_total": self.bytes_total,
            "minutes_left": self.minutes_left, "why": self.why,
        }  # fmt: skip

    def freed(self) -> "SlotView":
        """The same slot with nothing in it."""
        return SlotView(self.port, self.name)

    def but(self, **changes: object) -> "SlotView":
        """The same slot with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]
