"""Store: reserve a place for each digest, and let the batch enter the vault by one rename.

The order is the point (DESIGN, section 5): everything in the batch is durable before a placement names it, a placement is
durable before the batch gets its key. Whatever is interrupted in between is finished by ``recover``.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Protocol

from mediad.catalog import evidence, work
from mediad.catalog.ledger import Ledger
from mediad.errors import NotFound, StorageError, VaultFull
from mediad.model import facts
from mediad.model.custody import canonical
from mediad.model.evidence import BatchPlan, Copied, Docking, Planned, ReadBack, kind_of
from mediad.model.ids import asset_id, recording_id
from mediad.model.instants import stamp
from mediad.model.layout import SIDECAR, batch_key


class Batch(Protocol):
    @property
    def id(self) -> str: ...

    def drop(self, name: str) -> None: ...

    def seal(self, sidecar_name: str, sidecar: bytes, /) -> None: ...

    def close(self) -> None: ...

    def discard(self) -> None: ...


class Vault(Protocol):
    @property
    def name(self) -> str: ...

    def is_own(self, key: str) -> bool: ...

    def size_of(self, key: str) -> int | None: ...

    def read_back(self, key: str) -> ReadBack: ...

    def check(self) -> None: ...

    def set_aside(self, key: str) -> str: ...

    def admit(self, owner: str, batch_id: str, key: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Placed:
    """One original under its key, not yet read back. ``detail`` is the state that its event will record, ``text`` the same as
    canonical JSON, made once: a batch may hold a thousand."""

    asset: str
    key: str
    sha256: str
    detail: Mapping[str, Any]
    text: str


@dataclass
class PlacedBatch:
    """``placed`` lie in the vault; ``sighted`` are known bytes (asset id and claim); ``waiting`` are being stored by somebody
    else at this moment and must be looked at again."""

    placed: list[Placed] = field(default_factory=list)
    sighted: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    waiting: list[tuple[Planned, Copied]] = field(default_factory=list)
    full: VaultFull | None = None
    """Set if the vault filled up before anything was promised: nothing of the batch stands, all of it is to be read again."""


def _detail(docking: Docking, planned: Planned, copied: Copied, vault: str, key: str) -> dict[str, Any]:
    digests = {d.algorithm: d.hex for d in copied.digests}
    return {
        **facts.seen(docking, copied.file),
        **digests,
        "kind": kind_of(copied.head, copied.file.path).value,
        "captured": {
            "value": stamp(planned.captured.value),
            "source": planned.captured.source,
            "confidence": planned.captured.confidence,
        },
        "recording": recording_id(copied.sha256.value),
        "label": docking.source.label,
        "officer": planned.officer,
        "important": planned.important,
        "channel": docking.channel,
        "vault": vault,
        "key": key,
    }


def store_batch(
    ledger: Ledger,
    docking: Docking,
    plan: BatchPlan,
    copied: Sequence[tuple[Planned, Copied]],
    batch: Batch,
    vault: Vault,
) -> PlacedBatch:
    """Take known bytes out of the batch, make the rest durable, reserve it, and admit it to the vault."""
    result = PlacedBatch()
    key = _place(docking, plan, batch.id, vault)
    known = _held(ledger, vault, {item.sha256.hex for _, item in copied})
    new: dict[str, Placed] = {}
    twins: list[tuple[Planned, Copied]] = []
    for planned, item in copied:
        digest = item.sha256.hex
        if digest in known:
            batch.drop(item.staged)
            result.sighted.append((known[digest].id, facts.seen(docking, item.file)))
        elif digest in new:
            twins.append((planned, item))
        else:
            file_key = f"{key}/{item.staged}"
            detail = _detail(docking, planned, item, vault.name, file_key)
            new[digest] = Placed(asset_id(item.sha256.value), file_key, digest, detail, canonical(detail))
    try:
        _seal_and_reserve(ledger, docking, batch, vault.name, new)
    except VaultFull as e:
        batch.discard()
        return PlacedBatch(full=e)
    batch.close()
    for planned, item in copied:
        digest = item.sha256.hex
        if digest not in known and digest not in new:
            result.waiting.append((planned, item))
    result.sighted += [
        (new[item.sha256.hex].asset, facts.seen(docking, item.file)) for _, item in twins if item.sha256.hex in new
    ]
    if new:
        vault.admit(docking.id, batch.id, key)
        result.placed.extend(new.values())
    else:
        batch.discard()
    return result


def _place(docking: Docking, plan: BatchPlan, batch_id: str, vault: Vault) -> str:
    """The key of a batch: on the shelf of its day; where that leads out of the vault, on that of the day it was docked, so that
    one folder that somebody moved away does not keep a recorder from being emptied."""
    key = batch_key(plan.shelf, docking.source.label, batch_id)
    if vault.is_own(key):
        return key
    today = docking.opened_at.astimezone(docking.unit_zone).date()
    return batch_key(today, docking.source.label, batch_id)


def _held(ledger: Ledger, vault: Vault, sha256: AbstractSet[str]) -> dict[str, Any]:
    """Digests of which the vault has a replica: not only by the catalogue's word, the medium must give the same bytes. What it does
    not give is recorded as lost, and stored again like new: the good bytes are at hand, and perhaps nowhere else."""
    with ledger.catalog.read() as conn:
        believed = evidence.held(conn, vault.name, sha256)
    held = {}
    for digest, row in believed.items():
        if why := _lost(vault, row):
            ledger.record(facts.lost(vault.name, row.id, row.key, digest, why))
        else:
            held[digest] = row
    return held


def _lost(vault: Vault, row: Any) -> str:
    """What is wrong with a replica, as a sentence; empty if the medium gives its bytes. Other bytes are set aside."""
    found = vault.size_of(row.key)
    if found is None:
        return facts.absent(None)
    what = facts.absent(found)
    if found == row.size:
        try:
            answer = vault.read_back(row.key)
        except NotFound:
            return facts.absent(None)
        except StorageError as e:
            vault.check()  # a vault that is gone altogether says nothing about single files
            return f"it cannot be read ({e.message})"
        if answer.digest.hex == row.sha256:
            return ""
        what = "other bytes are there"
    return f"{what}; set aside as {vault.set_aside(row.key)}"


def _seal_and_reserve(ledger: Ledger, docking: Docking, batch: Batch, vault: str, new: dict[str, Placed]) -> None:
    """Make the batch durable, then reserve all of it or nothing. What somebody else is storing at this moment leaves the
    batch and ``new``, and the batch is sealed anew: no sidecar ever names what its folder does not hold."""
    while new:
        batch.seal(SIDECAR, _sidecar(ledger.station, docking, batch.id, new.values()))
        rows = [
            {"vault": vault, "sha256": p.sha256, "key": p.key, "batch": batch.id, "docking": docking.id,
             "detail": p.text}
            for p in new.values()
        ]  # fmt: skip
        taken = ledger.catalog.write(lambda conn, rows=rows: work.reserve(conn, rows, ledger.clock()))  # type: ignore[misc]
        if not taken:
            return
        for digest in taken:
            batch.drop(new.pop(digest).key.rpartition("/")[2])


def _sidecar(station: str, docking: Docking, batch_id: str, placed: Iterable[Placed]) -> bytes:
    """What ingest knew of the batch, for whoever finds the folder without a catalogue."""
    head = canonical(
        {
            "format": "mediad-batch/1",
            "station": station,
            "batch": batch_id,
            "docking": docking.id,
            "recorder": {"key": docking.source.key, "label": docking.source.label},
        }
    )
    files = ",".join(f'{{"asset":"{p.asset}",{p.text[1:]}' for p in placed)
    return f'{head[:-1]},"files":[{files}]}}\n'.encode()


def resolve(
    ledger: Ledger, docking: Docking, waiting: Sequence[tuple[Planned, Copied]], vault: Vault
) -> tuple[list[tuple[str, Mapping[str, Any]]], list[tuple[Planned, Copied, str]], list[Planned]]:
    """Look at files again whose bytes somebody else was storing: sightings by now, still under way (with the docking that does
    it), or to be read again (the other's docking broke off before its bytes counted)."""
    known = _held(ledger, vault, {item.sha256.hex for _, item in waiting})
    with ledger.catalog.read() as conn:
        under_way = {row.sha256: row.docking for row in work.placements(conn, vault.name)}
    sighted: list[tuple[str, Mapping[str, Any]]] = []
    unsettled: list[tuple[Planned, Copied, str]] = []
    again: list[Planned] = []
    for planned, item in waiting:
        digest = item.sha256.hex
        if digest in known:
            sighted.append((known[digest].id, facts.seen(docking, item.file)))
        elif digest in under_way:
            unsettled.append((planned, item, under_way[digest]))
        else:
            again.append(planned)
    return sighted, unsettled, again
