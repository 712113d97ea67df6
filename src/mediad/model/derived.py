"""What came of a preview: what was made, why nothing could be made, and the manifest that lies beside it.

The manifest (``about.json``) lies where others may write, so it is read like an answer of the sandbox: nothing is taken on trust.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from mediad.model.preview import Way
from mediad.model.probe import MAX_FINDINGS, Remark, clean

FORMAT: Final = "mediad-derived/1"
MAX_FILES: Final = 32
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,40}\Z")
_RECORDING: Final = re.compile(r"rec-[a-z2-7]{26}\Z")
_HEX: Final = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Made:
    """A preview that was made: names of its files, how, and how long it plays."""

    files: tuple[str, ...]
    seconds: float | None = None
    video: Way = "none"
    audio: Way = "none"
    encoder: str = ""
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True, slots=True)
class PreviewFailed:
    """The file itself does not allow a preview; trying again gives the same. Codes stand in docs/derive.md."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class AboutFile:
    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class About:
    """The manifest of a recording's preview; ``fingerprint`` is of the plan that it was made from."""

    recording: str
    fingerprint: str
    made_at: str
    seconds: float | None = None
    video: str = ""
    audio: str = ""
    encoder: str = ""
    tools: tuple[str, ...] = ()
    remarks: tuple[Remark, ...] = ()
    files: tuple[AboutFile, ...] = ()

    @classmethod
    def of(cls, made: Made, *, recording: str, fingerprint: str, made_at: str, tools: Sequence[str] = ()) -> "About":
        """Of what was just made; its files are known when they are installed."""
        return cls(
            recording=recording,
            fingerprint=fingerprint,
            made_at=made_at,
            seconds=made.seconds,
            video=made.video,
            audio=made.audio,
            encoder=made.encoder,
            tools=tuple(tools),
            remarks=made.remarks,
        )

    def with_files(self, files: Sequence[AboutFile]) -> "About":
        return replace(self, files=tuple(files))

    def file(self, name: str) -> AboutFile | None:
        return next((f for f in self.files if f.name == name), None)

    def as_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **{k: v for k, v in asdict(self).items() if v not in (None, "", (), [])}}

    @classmethod
    def from_json(cls, raw: object) -> "About | None":
        """The manifest, or None if it is none. Never raises."""
        if not isinstance(raw, Mapping) or raw.get("format") != FORMAT:
            return None
        recording, fingerprint = _text(raw, "recording"), _text(raw, "fingerprint")
        files = tuple(f for f in map(_file, _items(raw, "files")[:MAX_FILES]) if f)
        if not is_recording(recording) or not _HEX.match(fingerprint) or len(files) != len(_items(raw, "files")):
            return None
        seconds = raw.get("seconds")
        return cls(
            recording=recording,
            fingerprint=fingerprint,
            made_at=_text(raw, "made_at"),
            seconds=float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < 1e9 else None,
            video=_text(raw, "video"),
            audio=_text(raw, "audio"),
            encoder=_text(raw, "encoder"),
            tools=tuple(clean(t) for t in _items(raw, "tools")[:MAX_FINDINGS] if isinstance(t, str)),
            remarks=tuple(
                Remark(_text(r, "code"), _text(r, "detail"))
                for r in _items(raw, "remarks")[:MAX_FINDINGS]
                if isinstance(r, Mapping)
            ),
            files=files,
        )


def is_recording(name: str) -> bool:
    """Whether a name is a recording's, and so the name of a folder of previews."""
    return _RECORDING.match(name) is not None


def is_file_name(name: str) -> bool:
    """Whether a name may be one of a preview's files."""
    return _NAME.match(name) is not None


def _text(raw: Mapping[str, Any], key: str) -> str:
    value = raw.get(key)
    return clean(value) if isinstance(value, str) else ""


def _items(raw: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = raw.get(key)
    return value if isinstance(value, list | tuple) else ()


def _file(raw: object) -> AboutFile | None:
    if not isinstance(raw, Mapping):
        return None
    name, size, digest = raw.get("name"), raw.get("size"), raw.get("sha256")
    if not isinstance(name, str) or not isinstance(digest, str) or not isinstance(size, int) or size < 0:
        return None
    return AboutFile(name, size, digest) if is_file_name(name) and _HEX.match(digest) else None
