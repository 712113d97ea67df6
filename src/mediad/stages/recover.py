"""Recover: what a killed process left behind, found by asking the catalogue and the vault.

A batch whose placements were committed is durable as a whole, so it is finished, not copied again: it is moved to its key
if that had not happened yet, then verified like any other. Staging that no placement names was never promised and goes.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

from mediad.catalog import evidence, work
from mediad.catalog.ledger import Ledger


class Vault(Protocol):
    @property
    def name(self) -> str: ...

    def check(self) -> None: ...

    def exists(self, key: str) -> bool: ...

    def staged(self, owner: str, batch_id: str) -> bool: ...

    def admit(self, owner: str, batch_id: str, key: str) -> None: ...

    def confirm(self, key: str) -> None: ...

    def owners(self) -> list[str]: ...

    def clear_staging(self, owner: str) -> None: ...


@dataclass(frozen=True, slots=True)
class OpenPlacement:
    """An original that was promised a key before its process ended."""

    asset: str
    key: str
    sha256: str
    detail: Mapping[str, Any]


def open_batches(ledger: Ledger, vault: Vault, abandoned: Callable[[str], bool]) -> list[list[OpenPlacement]]:
    """Batches of dead dockings that lie in the vault but are not recorded; those without bytes lose their reservation.

    ``abandoned`` says of a docking id whether no process holds its lock. Whoever calls this verifies the batches next.
    """
    with ledger.catalog.read() as conn:
        owners = {row.docking for row in work.placements(conn, vault.name)}
    dead = {docking for docking in owners if abandoned(docking)}
    with ledger.catalog.read() as conn:
        # Asked again after the locks: what a docking settled before it gave its lock back is not to be taken up.
        rows = [row for row in work.placements(conn, vault.name) if row.docking in dead]
    batches = []
    for (batch, docking), group in groupby(rows, key=lambda r: (r.batch, r.docking)):
        members = list(group)
        folder = members[0].key.rpartition("/")[0]
        if not vault.exists(folder) and vault.staged(docking, batch):
            vault.admit(docking, batch, folder)
        if vault.exists(folder):
            vault.confirm(folder)
            batches.append([_placement(m) for m in members])
        else:
            vault.check()  # "not there" is only believed of a vault that is
            digests = [m.sha256 for m in members]
            ledger.catalog.write(lambda conn, d=digests: work.settle(conn, vault.name, d))  # type: ignore[misc]
    return batches


def _placement(row: Any) -> OpenPlacement:
    detail = json.loads(row.detail)
    return OpenPlacement("ast-" + detail["recording"].removeprefix("rec-"), row.key, row.sha256, detail)


def abandoned_dockings(ledger: Ledger, abandoned: Callable[[str], bool]) -> list[str]:
    """Open dockings that nobody works on: each is to be closed as interrupted. One whose bytes are still on their way into a
    vault is left for the next pass: its record must not say of a file that is about to count that it was not reached."""
    with ledger.catalog.read() as conn:
        rows = evidence.open_dockings(conn)
    dead = [row.id for row in rows if abandoned(row.id)]
    with ledger.catalog.read() as conn:
        still_open = {row.id for row in evidence.open_dockings(conn)}  # one closed meanwhile gave its lock back as well
        waiting = work.dockings_with_placements(conn)
    return [docking for docking in dead if docking in still_open - waiting]


def clear_staging(ledger: Ledger, vault: Vault, abandoned: Callable[[str], bool]) -> int:
    """Remove the staging areas of dead dockings that no placement names any more; returns how many."""
    dead = [owner for owner in vault.owners() if abandoned(owner)]
    with ledger.catalog.read() as conn:
        needed = {row.docking for row in work.placements(conn, vault.name)}
    gone = [owner for owner in dead if owner not in needed]
    for owner in gone:
        vault.check()
        vault.clear_staging(owner)
    return len(gone)
