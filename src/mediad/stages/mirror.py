"""Mirror: copy the custody log into a vault as immutable segments. A slot says "safe to take" only behind its mirror."""

from collections.abc import Iterator
from typing import Protocol

from mediad.catalog import work
from mediad.catalog.ledger import Ledger
from mediad.errors import IntegrityError, KeyConflict
from mediad.model import custody
from mediad.model.custody import GENESIS, Event
from mediad.model.layout import parse_segment_key, segment_key, segment_prefix

_MAX_EVENTS = 5_000


class Vault(Protocol):
    @property
    def name(self) -> str: ...

    def put(self, key: str, data: bytes) -> bool: ...

    def get(self, key: str) -> bytes: ...

    def list(self, prefix: str) -> Iterator[str]: ...


def mirror(ledger: Ledger, vault: Vault) -> int:
    """Write every event that the vault lacks; returns how many were written. Durable when it returns."""
    written = 0
    while True:
        with ledger.catalog.read() as conn:
            reached = work.mirrored(conn, vault.name)
        if reached is None:
            reached = reconcile(ledger, vault)
        with ledger.catalog.read() as conn:
            events = work.events_after(conn, reached[0], _MAX_EVENTS)
        if not events:
            return written
        key = segment_key(ledger.station, events[0].seq)
        try:
            vault.put(key, custody.segment(events))
            last = events[-1]
            written += len(events)
        except KeyConflict:
            # Another process of ours may have written this segment a moment earlier, shorter or longer than we would.
            last = _adopt(ledger, vault, key)
        _note(ledger, vault, last)


def reconcile(ledger: Ledger, vault: Vault) -> tuple[int, str]:
    """Find out by looking how far the vault's mirror reaches, and that it is a mirror of this catalogue.

    Raises IntegrityError if the mirror is ahead of the catalogue (the catalogue was rolled back or truncated) or tells another
    story: to write on would fork the chain.
    """
    keys = [k for k in vault.list(segment_prefix(ledger.station)) if parse_segment_key(k)]
    if not keys:
        return 0, GENESIS
    last = _adopt(ledger, vault, keys[-1])
    _note(ledger, vault, last)
    return last.seq, last.hash


def _note(ledger: Ledger, vault: Vault, last: Event) -> None:
    ledger.catalog.write(lambda conn: work.note_mirrored(conn, vault.name, last.seq, last.hash))


def _adopt(ledger: Ledger, vault: Vault, key: str) -> Event:
    """The last event of an existing segment, if the catalogue holds the very same event."""
    try:
        last = list(custody.parse_segment(vault.get(key)))[-1]
    except (ValueError, IndexError) as e:
        raise IntegrityError(f"custody segment {key} is damaged", hint="run `mediad custody verify`") from e
    with ledger.catalog.read() as conn:
        ours = work.event_at(conn, last.seq)
    if ours is None:
        raise IntegrityError(
            f"the vault's custody log reaches event {last.seq}, the catalogue ends before it",
            hint="the catalogue was rolled back or truncated: set it aside and run `mediad rebuild`",
            code="catalogue-behind-mirror",
        )
    if ours.hash != last.hash:
        raise IntegrityError(
            f"the vault's custody log and the catalogue differ at event {last.seq}",
            hint="run `mediad custody verify` and keep both as they are",
            code="chain-forked",
        )
    return last
