"""The custody chain, checked a second time and in another way: hashes are taken over bytes as they lie in the catalogue, in
the vaults' segments and in exported files. Nothing of ``model.custody`` is used; two programs must agree.
"""

import hashlib
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mediad.errors import MediadError
from mediad.fsck.signatures import Approvals
from mediad.model.evidence import Finding

_ZERO = "0" * 64
_HASH_FIELD = b',"hash":"'
_TAIL = len(_HASH_FIELD) + 64 + 2  # ,"hash":"<64 hex>"}

SIGNINGS = ("handover.signed", "handover.corrected", "handover.countersigned")
"""Kinds of event that say of a hand-over which record and page were signed."""
STORES = ("asset.stored", "replica.stored")
"""Kinds of event that say of a key that bytes were stored under it; their details are what the batch's sidecar says of them."""


def loads(text: str | bytes) -> Any:
    """JSON as mediad writes it. Raises ValueError for everything else, however it is wrong: no number that is none (NaN,
    Infinity, 1e999), and no nesting that has no end."""
    try:
        return json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except RecursionError as e:
        raise ValueError("it is nested too deeply") from e


def loads_object(data: bytes) -> dict[str, Any]:
    """The same of a document that is an object; empty for any other, and for none."""
    try:
        body = loads(data)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)


class Segments(Protocol):
    """Where segments are read from."""

    @property
    def name(self) -> str: ...

    def read(self, key: str) -> bytes: ...


@dataclass
class Chain:
    """A chain that was walked: the hash of every event, the first link that does not hold, and what the events told of
    evidence."""

    station: str
    head: int = 0
    broken: Finding | None = None
    closed: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Docking to the ``handover`` of its last ``docking.closed``."""
    reclosed: list[tuple[int, str]] = field(default_factory=list)
    """Every further ``docking.closed`` of a docking: its number and the docking."""
    signed: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """Vault and key of every record and page that was signed, to the docking and the SHA-256."""
    stored: dict[tuple[str, str], int] = field(default_factory=dict)
    """Vault and key of every original that was ever stored, to the number of the event that says so."""
    explained: set[str] = field(default_factory=set)
    """Keys that an alarm speaks of, or an act that waits for signatures."""
    archives: dict[str, tuple[str, str, bool]] = field(default_factory=dict)
    """Key of every manifest of an archived case: its vault, its digest, and whether it counts (or was passed over)."""
    approvals: Approvals = field(default_factory=Approvals)
    """What was signed, and by whose keys."""
    subjects: dict[int, str] = field(default_factory=dict)
    """Subjects of the newest events, for telling who is at work."""
    _hashes: bytearray = field(default_factory=bytearray)

    def hash_at(self, seq: int) -> str | None:
        """The recorded hash of an event, or None behind the head."""
        return self._hashes[32 * (seq - 1) : 32 * seq].hex() if 1 <= seq <= self.head else None

    def _add(self, seq: int, digest: str) -> None:
        self._hashes += bytes.fromhex(digest)
        self.head = seq

    def break_at(self, seq: int, code: str, detail: str) -> None:
        if self.broken is None:
            self.broken = Finding(code, f"event {seq}", detail)

    def walk(self, rows: Iterable[Any], tick: Callable[[int], None] = lambda _n: None) -> "Chain":
        """Check events as the catalogue holds them (rows with its columns), in order. Returns itself."""
        prev = _ZERO
        for expected, row in enumerate(rows, start=1):
            if row.seq != expected:
                self.break_at(expected, "chain-gap", f"event {expected} is missing in the catalogue; {row.seq} follows")
                return self
            self._check(row, prev)
            prev = row.hash
            self._add(row.seq, row.hash if _is_hash(row.hash) else _ZERO)
            tick(1)
        return self

    def _check(self, row: Any, prev: str) -> None:
        seq = row.seq
        if odd := [name for name in _TEXTS if not isinstance(getattr(row, name), str)]:
            self.break_at(seq, "chain-hash", f"event {seq} was changed: its {', '.join(odd)} is no text")
        elif row.station != self.station:
            self.break_at(seq, "chain-station", f"event {seq} is of station {row.station}")
        elif row.prev != prev:
            self.break_at(seq, "chain-link", f"event {seq} does not follow the one before it")
        else:
            try:
                detail = loads(row.detail)
                whole = {"seq": seq, "at": row.at, "station": row.station, "actor": row.actor, "kind": row.kind,
                         "subject": row.subject, "detail": detail, "prev": row.prev}  # fmt: skip
                good = _dump(detail) == row.detail and _sha256(_dump(whole).encode("utf-8")) == row.hash
            except (ValueError, RecursionError):
                good, detail = False, None
            if good:
                self._note(seq, row.kind, row.subject, detail)
                if self.broken is None:  # behind a break nothing says what was signed
                    self.approvals.note(row, detail)
            else:
                self.break_at(
                    seq, "chain-hash", f"event {seq} ({row.kind} {row.subject}) was changed after it was recorded"
                )

    def _note(self, seq: int, kind: str, subject: str, detail: Any) -> None:
        if not isinstance(detail, dict):
            return
        self.subjects[seq] = subject
        self.subjects.pop(seq - 1000, None)
        if kind == "docking.closed" and isinstance(detail.get("handover"), dict):
            if subject in self.closed:
                self.reclosed.append((seq, subject))
            self.closed[subject] = detail["handover"]
        elif kind in SIGNINGS:
            of_giver = detail.get("countersigned")
            for part in (
                each.get(name) for each in (detail, of_giver) if isinstance(each, dict) for name in ("record", "page")
            ):
                if isinstance(part, dict):
                    self.signed[str(part.get("vault")), str(part.get("key"))] = (subject, str(part.get("sha256")))
        elif kind in STORES:
            self.stored[str(detail.get("vault")), str(detail.get("key"))] = seq
        elif kind == "alarm.raised" and "key" in detail:
            self.explained.add(str(detail["key"]))
        elif kind == "case.archived":
            self._note_archive(detail)
        elif kind == "act.proposed" and isinstance(detail.get("effect"), list):
            for effect in detail["effect"]:
                if isinstance(effect, dict) and isinstance(effect.get("detail"), dict):
                    self.explained.add(str(effect["detail"].get("key")))

    def _note_archive(self, detail: Mapping[str, Any]) -> None:
        vault = str(detail.get("vault"))
        self.archives[str(detail.get("key"))] = vault, str(detail.get("sha256")), True
        passed = detail.get("passed")
        for each in passed if isinstance(passed, list) else ():
            if isinstance(each, dict):
                self.archives.setdefault(str(each.get("key")), (vault, str(each.get("sha256")), False))


_TEXTS = ("at", "station", "actor", "kind", "subject", "detail", "prev", "hash")


def _dump(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _is_hash(text: object) -> bool:
    return isinstance(text, str) and len(text) == 64 and all(c in "0123456789abcdef" for c in text)


@dataclass(frozen=True, slots=True)
class Line:
    """One event of a segment: its place, its link and its own hash, which is the hash of its bytes."""

    seq: int
    prev: str
    hash: str


class BadLine(ValueError):
    """Bytes that are no event, or not the event that their hash speaks of."""


def read_line(line: bytes, station: str) -> Line:
    """Check one line by its bytes: without its ``hash`` field it has that hash. Raises BadLine."""
    try:
        event = loads(line)
        told = event["hash"]
        if not _is_hash(told) or line[-_TAIL:] != _HASH_FIELD + told.encode() + b'"}':
            raise BadLine("it does not end in its hash")
        if _sha256(line[:-_TAIL] + b"}") != told:
            raise BadLine(f"event {event['seq']} was changed after it was recorded")
        if event["station"] != station:
            raise BadLine(f"event {event['seq']} is of station {event['station']}")
        seq, prev = event["seq"], event["prev"]
        if type(seq) is not int or not isinstance(prev, str):
            raise BadLine("its number or its link is none")
        return Line(seq, prev, told)
    except BadLine:
        raise
    except (KeyError, TypeError, ValueError) as e:
        raise BadLine("a line is no custody event") from e


def check_file(lines: Iterable[bytes], station: str | None) -> tuple[int, Finding | None]:
    """Verify a whole chain as exported: how many events hold, and the first link that does not. ``lines`` as a binary file
    gives them; ``station`` None takes that of the first event."""
    seq, prev = 0, _ZERO
    for raw in lines:
        try:
            if not raw.endswith(b"\n"):
                raise BadLine("the file ends in the middle of a line")
            if station is None:
                station = _station_of(raw)
            line = read_line(raw[:-1], station)
            if line.seq != seq + 1:
                return seq, Finding("chain-gap", f"event {seq + 1}", f"event {seq + 1} is missing; {line.seq} follows")
            if line.prev != prev:
                return seq, Finding("chain-link", f"event {line.seq}", "it does not follow the one before it")
        except BadLine as e:
            return seq, Finding("chain-hash", f"event {seq + 1}", str(e))
        seq, prev = line.seq, line.hash
    if seq == 0:
        return 0, Finding("chain-gap", "event 1", "there is no event at all: nothing is proven")
    return seq, None


def _station_of(raw: bytes) -> str:
    try:
        return str(loads(raw)["station"])
    except (KeyError, TypeError, ValueError) as e:
        raise BadLine("a line is no custody event") from e


@dataclass
class Mirror:
    """What a vault's segments hold. ``reached`` is the last event in them; ``whole`` is false after a gap or a broken one."""

    reached: int = 0
    whole: bool = True
    segments: int = 0
    findings: list[Finding] = field(default_factory=list)
    ranges: dict[int, int] = field(default_factory=dict)
    """First to last event of every segment that holds."""

    def fail(self, code: str, subject: str, detail: str) -> None:
        self.whole = False
        self.findings.append(Finding(code, subject, detail))


def check_mirror(vault: Segments, keys: Sequence[tuple[int, str]], chain: Chain) -> Mirror:
    """Check segments (first sequence number and key, in order) by themselves and against the catalogue's chain."""
    mirror = Mirror()
    expected: int | None = 1  # None behind a broken segment: what comes next cannot be linked to it
    prev: str | None = _ZERO
    forked = False
    for first, key in keys:
        mirror.segments += 1
        if expected is not None and first != expected:
            prev = None
            if first > expected:
                mirror.fail(
                    "segment-gap", key, f"events {expected} to {first - 1} are in no segment of vault {vault.name}"
                )
            else:
                mirror.fail("segment-broken", key, f"event {first} is in the segment before it as well")
        seq = first
        try:
            for line in _lines(vault.read(key), chain.station):
                if line.seq != seq:
                    raise BadLine(f"event {seq} is missing, {line.seq} follows")
                if prev is not None and line.prev != prev:
                    raise BadLine(f"event {seq} does not follow the one before it")
                mirror.reached, prev = seq, line.hash
                forked = forked or _against(mirror, vault.name, key, line, chain)
                seq += 1
            expected = seq
            mirror.ranges[first] = seq - 1
        except (BadLine, MediadError) as e:
            mirror.fail("segment-broken", key, str(e))
            expected = prev = None
    if mirror.reached > chain.head and not forked and chain.broken is None:
        last = f"custody log of vault {vault.name}"
        mirror.findings.append(
            Finding("mirror-ahead", last, f"it reaches event {mirror.reached}, the catalogue ends at {chain.head}:"
                    " the catalogue was cut or is an old copy")
        )  # fmt: skip
    return mirror


def _lines(data: bytes, station: str) -> Iterator[Line]:
    if not data.endswith(b"\n"):
        raise BadLine("the segment ends in the middle of a line")
    for raw in io.BytesIO(data):  # line by line: a segment may be large
        yield read_line(raw[:-1], station)


def stored_keys(vault: Segments, keys: Iterable[str], station: str) -> set[str]:
    """Keys under which a custody log in a vault says that bytes were stored: the log of another station, which is read line by
    line as far as it holds, and judged by that station's own auditor."""
    found: set[str] = set()
    for key in keys:
        try:
            for raw in io.BytesIO(vault.read(key)):
                if any(f'"kind":"{kind}"'.encode() in raw for kind in STORES):
                    read_line(raw[:-1], station)
                    found.add(str(loads(raw)["detail"]["key"]))
        except (MediadError, KeyError, TypeError, ValueError):
            continue
    return found


def _against(mirror: Mirror, vault: str, key: str, line: Line, chain: Chain) -> bool:
    """Whether this event is another one than the catalogue's; said once, for the first."""
    ours = chain.hash_at(line.seq)
    if ours is None or ours == line.hash or chain.broken is not None:
        return False
    mirror.findings.append(
        Finding("mirror-forked", key, f"event {line.seq} in vault {vault} is another one than the catalogue's:"
                " one of the two chains was rewritten")
    )  # fmt: skip
    return True


def check_handover_head(docking: str, body: Mapping[str, Any], chain: Chain) -> Finding | None:
    """A hand-over record names the event that was the chain's head when it was written; the chain must still hold it."""
    head = body.get("chain")
    seq, digest = (head.get("seq"), head.get("hash")) if isinstance(head, dict) else (None, None)
    if type(seq) is not int or seq < 0 or not _is_hash(digest):
        return Finding("chain-cut", docking, "its hand-over record names no event of the custody log")
    if seq > chain.head:
        if chain.broken is not None:
            return None  # said already, and the chain was not read to its end
        return Finding("chain-cut", docking, f"its hand-over record names event {seq}, the chain ends at {chain.head}")
    if digest != (chain.hash_at(seq) if seq else _ZERO):
        return Finding("chain-cut", docking, f"its hand-over record names another event {seq} than the chain holds")
    return None
