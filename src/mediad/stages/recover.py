"""Recover: what a killed process left behind, found by asking the catalogue and the vault.

A batch whose placements were committed is durable as a whole, so it is finished, not copied again: it is moved to its key
if that had not happened yet, then verified like any other. Staging that no placement names was never promised and goes.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

from mediad.catalog import evidence, work
from mediad.catalog.ledger import Ledger
from mediad.errors import IntegrityError


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


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch of a dead docking that is not recorded: what it was promised, as it stands in the catalogue."""

    id: str
    docking: str
    rows: Sequence[Any]

    @property
    def folder(self) -> str:
        return str(self.rows[0].key).rpartition("/")[0]


def open_batches(ledger: Ledger, vault: Vault, abandoned: Callable[[str], bool]) -> list[OpenBatch]:
    """Batches of dead dockings that are promised places and not recorded; each is to be taken in.

    ``abandoned`` says of a docking id whether no process holds its lock.
    """
    with ledger.catalog.read() as conn:
        owners = {row.docking for row in work.placements(conn, vault.name)}
    dead = {docking for docking in owners if abandoned(docking)}
    with ledger.catalog.read() as conn:
        # Asked again after the locks: what a docking settled before it gave its lock back is not to be taken up.
        rows = [row for row in work.placements(conn, vault.name) if row.docking in dead]
    return [OpenBatch(*key, list(group)) for key, group in groupby(rows, key=lambda r: (r.batch, r.docking))]


def take_in(ledger: Ledger, vault: Vault, batch: OpenBatch) -> tuple[list[OpenPlacement], IntegrityError | None]:
    """See to it that a batch lies at its key, and return what is to be verified next. One whose bytes never arrived loses its
    reservations. A reservation that cannot be understood stays as it is: it is returned as what is to be raised once the others
    of the batch are recorded."""
    arrived = vault.exists(batch.folder)
    if not arrived and not vault.staged(batch.docking, batch.id):
        vault.check()  # "not there" is only believed of a vault that is
        digests = [row.sha256 for row in batch.rows]
        ledger.catalog.write(lambda conn: work.settle(conn, vault.name, digests))
        return [], None
    placements: list[OpenPlacement] = []
    wrong: IntegrityError | None = None
    for row in batch.rows:
        try:
            placements.append(_placement(row))
        except IntegrityError as e:
            wrong = wrong or e
    if not arrived:
        vault.admit(batch.docking, batch.id, batch.folder)
    vault.confirm(batch.folder)
    return placements, wrong


def _placement(row: Any) -> OpenPlacement:
    try:
        detail = json.loads(row.detail)
        asset = "ast-" + detail["recording"].removeprefix("rec-")
    except (ValueError, LookupError, TypeError, AttributeError) as e:
        raise IntegrityError(
            f"what was promised {row.key} cannot be understood", hint="keep everything as it is and run `mediad fsck`"
        ) from e
    return OpenPlacement(asset, row.key, row.sha256, detail)


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


def out_of_reach(ledger: Ledger, vault: Vault, abandoned: Callable[[str], bool]) -> Counter[str]:
    """Other vaults that dead dockings promised originals to, and how many: only the vault that is written to is looked into."""
    with ledger.catalog.read() as conn:
        rows = work.promised_elsewhere(conn, vault.name)
    found: Counter[str] = Counter()
    for row in rows:
        if abandoned(row.docking):
            found[row.vault] += row.n
    return found


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
