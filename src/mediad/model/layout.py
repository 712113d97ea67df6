"""Where things lie in a vault: the same keys on disk and in S3 (docs/architecture.md, vault layout).

A key is relative, uses ``/`` and names only what every file system and S3 take. Nothing here touches a disk.
"""

import re
import unicodedata
from datetime import date

ORIGINALS = "originals"
HANDOVERS = "handovers"
CUSTODY = "custody"
CASES = "cases"
DERIVED = "derived"
STAGING = ".staging"
MARKER = ".mediad-vault.json"
SIDECAR = "record.json"

MAX_RECORD_BYTES = 512 * 1024 * 1024
"""No sidecar, hand-over record or custody segment is larger; what is, somebody planted."""
MAX_LISTED_FILES = 500_000
"""So many files of one docking fit its hand-over record, at about a kilobyte each; most take half of that."""

MAX_BATCH_FILES = 1_000
MAX_BATCH_BYTES = 256 * 1024 * 1024

_SAFE = re.compile(r"[^A-Za-z0-9._\-一-鿿]+")
_SAFE_NAME_BYTES = 120
_RESERVED = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def preview_key(recording: str) -> str:
    """The folder in which a recording's preview lies, once it is made."""
    return f"{DERIVED}/{recording}"


def printable(raw: bytes) -> str:
    r"""A recorder's path as text for people: what is not UTF-8, and every control or direction mark, invisible character and
    odd blank, as ``\xNN``. The ideographic space stays: Chinese names have it.

    The result has no line breaks, no terminal escapes and no lone surrogates, so it may be shown, logged and put in JSON.
    """
    text = raw.decode("utf-8", "backslashreplace")
    if text.isprintable():  # nearly always; and a card may hold ten thousand names
        return text
    return "".join(_visible(c) for c in text)


_BLANKS = " \N{IDEOGRAPHIC SPACE}"


def _visible(c: str) -> str:
    if c in _BLANKS or not unicodedata.category(c).startswith(("C", "Z")):
        return c
    return "".join(f"\\x{b:02x}" for b in c.encode("utf-8", "surrogatepass"))


def suffix_of(path: bytes) -> str:
    """What stands behind the last dot of a name, as text in small letters without the dot; empty if it has none."""
    stem, dot, suffix = path.rpartition(b"/")[2].rpartition(b".")
    return printable(suffix).lower()[:16] if stem and dot else ""


def safe_name(raw: bytes, fallback: str = "file") -> str:
    """A name that every file system and S3 take, recognisable for people, at most 120 bytes, the suffix kept."""
    text = unicodedata.normalize("NFC", raw.decode("utf-8", "replace"))
    text = _SAFE.sub("_", text).strip("._- ")
    if not text or _RESERVED.match(text):
        text = f"{fallback}_{text}".rstrip("_")
    stem, dot, suffix = text.rpartition(".")
    if not dot or len(suffix) > 10 or not stem:
        stem, dot, suffix = text, "", ""
    return _cut(stem, _SAFE_NAME_BYTES - len(dot) - len(suffix.encode())) + dot + suffix


def _cut(text: str, limit: int) -> str:
    return text.encode("utf-8")[:limit].decode("utf-8", "ignore")


def batch_key(shelf: date, recorder: str, batch_id: str) -> str:
    """``originals/2026/11/23/<recorder>/<batch-id>``; the date is a shelf label fixed at ingest and never moves."""
    return f"{ORIGINALS}/{shelf:%Y/%m/%d}/{safe_name(recorder.encode())}/{batch_id}"


def original_name(asset: str, raw_path: bytes) -> str:
    """``<asset-id>-<safe name>`` inside the batch folder."""
    return f"{asset}-{safe_name(raw_path.rsplit(b'/', 1)[-1])}"


def handover_key(ended: date, docking: str) -> str:
    """``handovers/2026/11/23/<docking-id>/record.json``."""
    return f"{HANDOVERS}/{ended:%Y/%m/%d}/{docking}/{SIDECAR}"


def archive_key(case: str, number: int) -> str:
    """``cases/<case id>/archive-<n>.json``: the manifest of a case that is archived, and its supplements."""
    return f"{CASES}/{case}/archive-{number}.json"


def signed_key(record_key: str, version: int, suffix: str) -> str:
    """``handovers/2026/11/23/<docking-id>/record-1.json`` or ``.pdf``: what was signed, beside the record of the docking."""
    return f"{record_key.removesuffix('.json')}-{version}.{suffix}"


def giver_key(signed_key: str, number: int, suffix: str) -> str:
    """``handovers/2026/11/23/<docking-id>/record-1-giver-1.json`` or ``.pdf``: what whoever handed over signed of it."""
    return f"{signed_key.rpartition('.')[0]}-giver-{number}.{suffix}"


def segment_key(station: str, first_seq: int) -> str:
    """``custody/<station>/<first seq, 12 digits>.jsonl``."""
    return f"{segment_prefix(station)}{first_seq:012d}.jsonl"


def segment_prefix(station: str) -> str:
    return f"{CUSTODY}/{safe_name(station.encode())}/"


_SEGMENT = re.compile(r"^custody/([^/]+)/(\d{12})\.jsonl\Z")


def parse_segment_key(key: str) -> tuple[str, int] | None:
    """Station and first sequence number of a custody segment's key, or None."""
    match = _SEGMENT.match(key)
    return (match[1], int(match[2])) if match else None


_PART = r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._\-一-鿿]+"
_KEY = re.compile(rf"{_PART}(?:/{_PART})*\Z")


def check_key(key: str) -> str:
    """The key itself, if every part of it is safe. Raises ValueError; a wrong key is a fault of ours, never of a user."""
    if len(key) > 900 or not _KEY.match(key):
        raise ValueError(f"not a vault key: {key!r}")
    return key
