"""What every docking of a process shares: catalogue, vault, limits, and the one who mirrors."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from mediad.catalog.ledger import Ledger
from mediad.config import Ingest
from mediad.errors import IntegrityError
from mediad.stages import handover, ingest, mirror, recover, store, verify


class Space(Protocol):
    @property
    def free(self) -> int: ...

    @property
    def total(self) -> int: ...


class Batch(ingest.Batch, store.Batch, Protocol):
    def drop(self, name: str) -> None: ...


class Vault(store.Vault, verify.Vault, mirror.Vault, handover.Vault, recover.Vault, Protocol):
    @property
    def name(self) -> str: ...

    def admit(self, owner: str, batch_id: str, key: str) -> None: ...

    def put(self, key: str, data: bytes) -> bool: ...

    def get(self, key: str) -> bytes: ...

    def begin(self, owner: str, batch_id: str) -> Batch: ...

    def space(self) -> Space: ...


@dataclass
class Parts:
    """What every session of a process shares."""

    ledger: Ledger
    vault: Vault
    unit: str
    limits: Ingest
    new_id: Callable[[str], str]
    stop: threading.Event
    finish_others: Callable[[], object]
    """Finishes what dead dockings left open (``finish_open_work``): somebody may be waiting for their bytes."""
    worked_on: Callable[[str], bool]
    """Whether somebody is seen to work on a docking: its own process, or one that finishes what others left."""
    wait_for_space: bool = True
    """Whether a full vault is waited for (the daemon) or ends the docking (a one-shot command)."""
    untrue: IntegrityError | None = None
    """What the last mirroring said, if vault and catalogue do not tell one story: no docking can end well then."""
    _mirroring: threading.Lock = field(default_factory=threading.Lock)

    @property
    def algorithms(self) -> tuple[str, ...]:
        return ("sha256", "sm3") if self.limits.sm3 else ("sha256",)

    def mirror(self) -> None:
        """Mirror the custody log into the vault."""
        with self._mirroring:
            try:
                mirror.mirror(self.ledger, self.vault)
            except IntegrityError as e:
                self.untrue = e
                raise
            self.untrue = None
