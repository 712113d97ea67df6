"""Probe: ask the parsers what the bytes of originals say, and record it.

The parsers run in a sandbox and never fail: what cannot be parsed is an answer (``unreadable``, with a remark). What raises here is
the world's fault, not the file's, and is tried again later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mediad.catalog import recordings
from mediad.catalog.ledger import Ledger
from mediad.errors import MediadError, StorageError, VaultOffline
from mediad.model.custody import Draft, canonical
from mediad.model.probe import Probe


class Vault(Protocol):
    """Where originals can be read by their path, and only read."""

    @property
    def name(self) -> str: ...

    def path_of(self, key: str) -> Path: ...


@dataclass(frozen=True, slots=True)
class Original:
    """An original as parsers get it: where it lies, the raw path that it had on the recorder, and the docking that stored it."""

    asset: str
    path: Path
    name: bytes
    kind: str
    docking: str


class Parsers(Protocol):
    def probe(self, originals: Sequence[Original]) -> Mapping[str, Probe | MediadError]:
        """Asset to answer, or to why there is none now. Raises MediadError if there is no way to ask about any."""


@dataclass(slots=True)
class Outcome:
    """Assets that have their answer, those among them of which the same was recorded before, and those that are tried again later,
    with the reason."""

    done: dict[str, Probe] = field(default_factory=dict)
    same: set[str] = field(default_factory=set)
    later: dict[str, MediadError] = field(default_factory=dict)


def run(ledger: Ledger, vault: Vault, parsers: Parsers, assets: Sequence[str]) -> Outcome:
    """Probe these assets; one transaction of answers. An answer that is recorded already is no new fact. Raises MediadError if none
    could be asked about."""
    outcome = Outcome()
    with ledger.catalog.read() as conn:
        rows = recordings.to_probe(conn, vault.name, assets)
        before = recordings.probes_of(conn, assets)
    originals = []
    for row in rows:
        try:
            originals.append(Original(row.id, vault.path_of(row.key), row.path, row.kind, row.docking))
        except VaultOffline:
            raise
        except MediadError as e:
            outcome.later[row.id] = e
    for gone in set(assets) - {row.id for row in rows}:
        outcome.later[gone] = StorageError(f"vault {vault.name} has no healthy copy of it", hint="see `mediad show`")
    if originals:
        for asset, answer in parsers.probe(originals).items():
            if isinstance(answer, Probe):
                outcome.done[asset] = answer
            else:
                outcome.later[asset] = answer
    dockings = {row.id: row.docking for row in rows}
    told = {asset: probe.as_json() for asset, probe in outcome.done.items()}
    outcome.same = {a for a in told if a in before and canonical(before[a]) == canonical(told[a])}
    ledger.record(
        [
            Draft("asset.probed", asset, {"docking": dockings[asset], "probe": probe})
            for asset, probe in told.items()
            if asset not in outcome.same
        ]
    )
    return outcome
