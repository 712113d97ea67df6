"""Mirror: copy the custody log into a vault as immutable segments. A slot says "safe to take" only behind its mirror.

The catalogue notes which segments it wrote (first and last event of each). So one listing of names tells at every start
whether any of them is gone, without reading a hundred thousand files; what is in them is for ``mediad custody verify``.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Protocol

from mediad.catalog import record, work
from mediad.catalog.ledger import Ledger
from mediad.errors import IntegrityError, KeyConflict
from mediad.model import custody
from mediad.model.custody import GENESIS, Draft, Event
from mediad.model.layout import parse_segment_key, segment_key, segment_prefix

_MAX_EVENTS = 5_000
_MAX_BYTES = 8 * 1024 * 1024
"""Where a segment is cut, so that whoever reads one never needs much memory. An event that is larger lies alone."""

Range = tuple[int, int]
"""First and last event."""


class Vault(Protocol):
    @property
    def name(self) -> str: ...

    def check(self) -> None: ...

    def put(self, key: str, data: bytes) -> bool: ...

    def get(self, key: str) -> bytes: ...

    def list(self, prefix: str) -> Iterator[str]: ...


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a vault's mirror told. ``reached`` is the last event that is in it, once ``missing`` is filled."""

    reached: int
    found: Sequence[Range]
    """Segments that the catalogue had not noted: their writer ended before it could, or the catalogue is new."""
    missing: Sequence[Range]
    """Events that were mirrored, or lie before some that are, and whose segments are gone."""


def mirror(ledger: Ledger, vault: Vault) -> int:
    """Write every event that the vault lacks; returns how many were written. Durable when it returns.

    Raises IntegrityError where the catalogue's note of how far the mirror reaches is not of its own log: nothing would be
    written then, and all would seem well.
    """
    written = 0
    while True:
        with ledger.catalog.read() as conn:
            noted = work.mirrored(conn, vault.name)
            newest = work.newest_segment(conn, vault.name)
        if noted is not None and noted[0] < newest:
            noted = None  # somebody put it back: what is there tells
        after = reconcile(ledger, vault) if noted is None else _believed(ledger, vault, *noted)
        done = _write(ledger, vault, after)
        if done == after:
            return written
        written += done - after


def _write(ledger: Ledger, vault: Vault, after: int, upto: int | None = None) -> int:
    """Write the segment behind event ``after``, at most to event ``upto``; returns the last event in it, ``after`` for none."""
    with ledger.catalog.read() as conn:
        events = _one_segment(work.events_after(conn, after, upto))
    if not events:
        return after
    key, last = segment_key(ledger.station, events[0].seq), events[-1]
    try:
        vault.put(key, custody.segment(events))
    except KeyConflict:
        # Another process of ours may have written this segment a moment earlier, shorter or longer than we would.
        last = _adopt(ledger, vault, events[0].seq)
    _note(ledger, vault, [(events[0].seq, last.seq)], last)
    return last.seq


def _one_segment(events: Iterable[Event]) -> list[Event]:
    taken: list[Event] = []
    size = 0
    for event in events:
        size += len(event.line().encode("utf-8")) + 1
        if taken and (size > _MAX_BYTES or len(taken) == _MAX_EVENTS):
            break
        taken.append(event)
    return taken


def reconcile(ledger: Ledger, vault: Vault) -> int:
    """Find out by looking how far the vault's mirror reaches, and that it is a mirror of this catalogue. What is gone from it
    is written again, with an alarm. Returns the last event that is in it.

    Raises IntegrityError if the mirror is ahead of the catalogue (the catalogue was rolled back or truncated) or tells another
    story: to write on would fork the chain.
    """
    seen = look(ledger, vault)
    if seen.missing:
        vault.check()  # an unmounted vault looks empty
        _raise_alarm(ledger, vault, seen)
        for first, last in seen.missing:
            after = first - 1
            while after < last:
                after = _write(ledger, vault, after, last)
    if seen.reached:
        _note(ledger, vault, seen.found, _ours(ledger, seen.reached))
    return seen.reached


def look(ledger: Ledger, vault: Vault) -> Look:
    """Compare the names of the vault's segments with those that the catalogue noted, and read what it had not. Writes nothing.

    Raises IntegrityError like ``reconcile``, and for a segment that no log of ours can have come to: it names it.
    """
    with ledger.catalog.read() as conn:  # before the listing: what others write meanwhile is in the listing alone
        believed, believed_hash = work.mirrored(conn, vault.name) or (0, GENESIS)
        noted = work.segments(conn, vault.name)
        head = record.head(conn)[0]
    _believed(ledger, vault, believed, believed_hash)
    if noted and max(noted.values()) > head:
        raise _beyond(vault, max(noted.values()))
    listed = {at[1] for key in vault.list(segment_prefix(ledger.station)) if (at := parse_segment_key(key))}
    newest = max(listed, default=0)  # read at every look, for a vault that was put back to an old copy, or another's
    found: list[Range] = []
    missing: list[Range] = []
    reached = 0
    order = sorted(noted.keys() | listed)
    for first, following in zip_longest(order, order[1:]):
        if first <= reached and first not in listed:
            raise _misnoted(vault, first, noted[first])
        if first <= reached:
            raise _stray(ledger, vault, first, "its events lie in the segment before it")
        if first > reached + 1:
            _must_hold(ledger, vault, first)
            missing.append((reached + 1, first - 1))
        if first not in listed:
            reached = noted[first]
            missing.append((first, reached))
        elif first in noted and first != newest and noted[first] + 1 == following:  # else the note may be wrong
            reached = noted[first]
        else:
            reached = _adopt(ledger, vault, first).seq
            found.append((first, reached))
    if reached < believed:
        missing.append((reached + 1, believed))
        reached = believed
    return Look(reached, found, missing)


def _must_hold(ledger: Ledger, vault: Vault, first: int) -> None:
    """Before a segment that does not follow the one before it, there are events; only a log of ours can give them."""
    with ledger.catalog.read() as conn:
        if work.event_at(conn, first - 1) is None:
            raise _stray(ledger, vault, first, f"the custody log holds no event {first - 1} that it could follow")


def _believed(ledger: Ledger, vault: Vault, seq: int, event_hash: str) -> int:
    """The event up to which the catalogue believes a mirror to reach, if its own log holds that event."""
    if seq > 0:
        with ledger.catalog.read() as conn:
            event = work.event_at(conn, seq)
        if event is None:
            raise _beyond(vault, seq)
        if event.hash != event_hash:
            raise _forked(f"event {seq}")
    return seq


def _beyond(vault: Vault, seq: int) -> IntegrityError:
    return IntegrityError(
        f"the catalogue notes that the log in vault {vault.name} reaches event {seq}, but its own log ends before it",
        hint="the catalogue was rolled back, cut or changed: set it aside and run `mediad rebuild`",
        code="catalogue-behind-mirror",
    )


def _misnoted(vault: Vault, first: int, last: int) -> IntegrityError:
    return IntegrityError(
        f"the catalogue notes a custody segment of events {first} to {last} in vault {vault.name}, which cannot be:"
        " they lie in the segment before it",
        hint="somebody changed the catalogue: `mediad fsck`, then set it aside and run `mediad rebuild`",
    )


def _stray(ledger: Ledger, vault: Vault, first: int, why: str) -> IntegrityError:
    return IntegrityError(
        f"vault {vault.name} holds {segment_key(ledger.station, first)}, which mediad has not written: {why}",
        hint="keep that file, but move it out of the vault's custody folder; see `mediad custody verify`",
        code="segment-stray",
    )


def _note(ledger: Ledger, vault: Vault, parts: Sequence[Range], last: Event) -> None:
    ledger.catalog.write(lambda conn: work.note_mirrored(conn, vault.name, parts, last.seq, last.hash))


def _raise_alarm(ledger: Ledger, vault: Vault, seen: Look) -> None:
    """Say once what is gone. Starts that fail for want of room, one after the other, do not say the same each time."""
    some = ", ".join(f"{first} to {last}" for first, last in seen.missing[:5])
    more = f" and {len(seen.missing) - 5} more" if len(seen.missing) > 5 else ""
    detail = f"events {some}{more} of {seen.reached} were gone from vault {vault.name} and are written again"
    draft = Draft("alarm.raised", vault.name, {"code": "mirror-missing", "detail": detail})
    with ledger.catalog.read() as conn:
        newest = work.event_at(conn, record.head(conn)[0])
    if newest is None or (newest.kind, newest.subject, newest.body()) != (draft.kind, draft.subject, draft.detail):
        ledger.record([draft])


def _adopt(ledger: Ledger, vault: Vault, first: int) -> Event:
    """The last event of an existing segment, if it holds the very events of the catalogue."""
    key = segment_key(ledger.station, first)
    data = vault.get(key)
    try:
        events = list(custody.parse_segment(data))
        last = events[-1]
    except (ValueError, IndexError) as e:
        raise _damaged(key) from e
    if _ours(ledger, last.seq, key).hash != last.hash:
        raise _forked(f"event {last.seq} ({key})")
    with ledger.catalog.read() as conn:
        if events != list(work.events_after(conn, first - 1, last.seq)):
            raise _damaged(key)
    return last


def _ours(ledger: Ledger, seq: int, key: str = "") -> Event:
    """The catalogue's event of that number."""
    with ledger.catalog.read() as conn:
        event = work.event_at(conn, seq)
    if event is None:
        where = f" ({key})" if key else ""
        raise IntegrityError(
            f"the vault's custody log reaches event {seq}{where}, the catalogue ends before it",
            hint="the catalogue was rolled back or truncated: set it aside and run `mediad rebuild`",
            code="catalogue-behind-mirror",
        )
    return event


def _forked(where: str) -> IntegrityError:
    return IntegrityError(
        f"the vault's custody log and the catalogue differ at {where}",
        hint="run `mediad custody verify` and keep both as they are",
        code="chain-forked",
    )


def _damaged(key: str) -> IntegrityError:
    return IntegrityError(f"custody segment {key} is damaged", hint="run `mediad custody verify`")
