"""The custody log: facts as events in a chain of hashes, one chain per station.

An event's hash is the SHA-256 of its canonical JSON without ``hash``; that JSON holds ``prev``, the hash of the event
before it (64 zeros for the first), so no event can be changed, taken out or put between without breaking every later one.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

FORMAT: Final = "mediad-custody/1"
"""How events are written and hashed; the first event of a chain names it."""

GENESIS: Final = "0" * 64
"""``prev`` of the first event of a station."""

Detail = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Draft:
    """A fact about to be recorded. ``detail`` holds the whole new state, as plain JSON values."""

    kind: str
    subject: str
    detail: Detail


@dataclass(frozen=True, slots=True)
class Event:
    """A recorded fact. ``at`` is RFC 3339 in UTC; ``detail`` its canonical JSON text, hashed as it stands."""

    seq: int
    at: str
    station: str
    actor: str
    kind: str
    subject: str
    detail: str
    prev: str
    hash: str

    def body(self) -> dict[str, Any]:
        """The detail as values."""
        value: dict[str, Any] = json.loads(self.detail)
        return value

    def line(self) -> str:
        """The event as one line of a custody segment, without the line break."""
        head = _head(self.seq, self.at, self.station, self.actor, self.kind, self.subject, self.detail, self.prev)
        return f'{head[:-1]},"hash":"{self.hash}"}}'


def canonical(value: object) -> str:
    """JSON with sorted keys, no spaces and no escapes beyond what JSON demands: one text per value. Raises ValueError for NaN."""
    return _ENCODER.encode(value)


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _head(seq: int, at: str, station: str, actor: str, kind: str, subject: str, detail: str, prev: str) -> str:
    # Written out rather than dumped as one value: the detail is already canonical, and batches hold a thousand events.
    return (
        f'{{"actor":{canonical(actor)},"at":"{at}","detail":{detail},"kind":"{kind}","prev":"{prev}",'
        f'"seq":{seq},"station":{canonical(station)},"subject":{canonical(subject)}}}'
    )


def link(prev: str, seq: int, at: str, station: str, actor: str, draft: Draft) -> Event:
    """Chain a draft behind ``prev``."""
    text = canonical(draft.detail)
    head = _head(seq, at, station, actor, draft.kind, draft.subject, text, prev)
    digest = hashlib.sha256(head.encode("utf-8")).hexdigest()
    return Event(seq, at, station, actor, draft.kind, draft.subject, text, prev, digest)


def computed_hash(event: Event) -> str:
    """The hash that the event must carry."""
    e = event
    head = _head(e.seq, e.at, e.station, e.actor, e.kind, e.subject, e.detail, e.prev)
    return hashlib.sha256(head.encode("utf-8")).hexdigest()


def parse_line(line: str) -> Event:
    """Read one line of a segment. Raises ValueError for anything that ``Event.line`` would not have written."""
    try:
        raw = json.loads(line)
        event = Event(
            raw["seq"], raw["at"], raw["station"], raw["actor"], raw["kind"], raw["subject"],
            canonical(raw["detail"]), raw["prev"], raw["hash"],
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, RecursionError) as e:
        raise ValueError("not a custody event") from e
    if event.line() != line:
        raise ValueError("not the canonical form of a custody event")
    return event


@dataclass(frozen=True, slots=True)
class Broken:
    """The first link of a chain that does not hold: at which sequence number, and why."""

    seq: int
    code: str
    detail: str


def check_chain(events: Iterable[Event], *, station: str, after: int = 0, prev: str = GENESIS) -> Broken | None:
    """Check that events follow ``after``/``prev`` without a gap, a foreign station, a wrong link or a wrong hash.

    Returns the first break, or None. Reads the iterable once, keeps nothing.
    """
    seq = after
    for event in events:
        seq += 1
        if event.seq != seq:
            return Broken(seq, "chain-gap", f"event {seq} is missing, {event.seq} follows")
        if event.station != station:
            return Broken(seq, "chain-station", f"event {seq} is of station {event.station}")
        if event.prev != prev:
            return Broken(seq, "chain-link", f"event {seq} does not follow the event before it")
        if computed_hash(event) != event.hash:
            return Broken(seq, "chain-hash", f"event {seq} was changed after it was recorded")
        prev = event.hash
    return None


def segment(events: Iterable[Event]) -> bytes:
    """The bytes of a custody segment."""
    return "".join(event.line() + "\n" for event in events).encode("utf-8")


def parse_segment(data: bytes) -> Iterator[Event]:
    """The events of a segment. Raises ValueError at the first line that is none, and for a last line without its break."""
    text = data.decode("utf-8")
    if text and not text.endswith("\n"):
        raise ValueError("the segment ends in the middle of a line")
    for line in text.split("\n")[:-1]:
        yield parse_line(line)
