"""Verify: read what was placed back from the medium, and only then record that it is an asset with a replica.

What does not come back as it went in is set aside, kept, and raises an alarm; the file then counts as failed and is taken
again at the next docking.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, Protocol

from sqlalchemy import Connection

from mediad.catalog import evidence, work
from mediad.catalog.ledger import Ledger
from mediad.errors import NotFound, StorageError
from mediad.model import facts
from mediad.model.custody import Draft
from mediad.model.evidence import Outcome, ReadBack
from mediad.model.instants import stamp

_SIDE_BY_SIDE = 4
_SMALL = 4 * 1024 * 1024


class Placed(Protocol):
    @property
    def asset(self) -> str: ...

    @property
    def key(self) -> str: ...

    @property
    def sha256(self) -> str: ...

    @property
    def detail(self) -> Mapping[str, Any]: ...


class Vault(Protocol):
    @property
    def name(self) -> str: ...

    def read_back(self, key: str) -> ReadBack: ...

    def set_aside(self, key: str) -> str: ...

    def check(self) -> None: ...


Claims = Sequence[tuple[str, Mapping[str, Any]]]
"""Asset id and claim, per sighting."""


def verify_batch(
    ledger: Ledger, vault: Vault, placed: Sequence[Placed], sighted: Claims, failed: Sequence[Draft] = ()
) -> list[tuple[Outcome, int]]:
    """Read back, then record assets, replicas, recordings, sightings and failures in one transaction.

    Returns outcome and size of every file. Raises StorageError only where the vault as a whole does not answer, or bad bytes
    cannot be moved out of the originals; nothing is recorded then, and the open placements say what to finish.
    """
    drafts: list[Draft] = []
    outcomes: list[tuple[Outcome, int]] = []
    bad: set[str] = set()
    answers = _read_back(vault, placed)
    with ledger.catalog.read() as conn:
        assets = evidence.assets_by_digest(conn, [p.sha256 for p in placed])
    verified_at = stamp(ledger.clock())
    for item, answer in zip(placed, answers, strict=True):
        size = int(item.detail["size"])
        if isinstance(answer, ReadBack) and answer.digest.hex == item.sha256 and answer.size == size:
            detail = {**item.detail, "method": answer.method, "verified_at": verified_at}
            if item.sha256 in assets:  # an asset already, of which this vault had no replica (any more)
                drafts.append(Draft("replica.stored", item.asset, detail))
                drafts.append(facts.sighted(item.asset, item.detail))
                outcomes.append((Outcome.SIGHTING, size))
            else:
                drafts.append(Draft("asset.stored", item.asset, detail))
                outcomes.append((Outcome.STORED, size))
        else:
            bad.add(item.asset)
            drafts += _mismatch(vault, item, answer)
            outcomes.append((Outcome.FAILED, size))
    for asset, claim in sighted:
        if asset in bad:
            drafts.append(facts.failed(claim["docking"], claim, "its twin could not be verified"))
            outcomes.append((Outcome.FAILED, int(claim["size"])))
        else:
            drafts.append(facts.sighted(asset, claim))
            outcomes.append((Outcome.SIGHTING, int(claim["size"])))
    drafts.extend(failed)
    outcomes += [(Outcome.FAILED, int(d.detail["size"])) for d in failed]
    drafts.sort(
        key=lambda d: _ORDER.get(d.kind, 9)
    )  # stable: events of one kind together, assets before their sightings

    def also(conn: Connection) -> None:
        work.settle(conn, vault.name, [p.sha256 for p in placed])

    if drafts:
        ledger.record(drafts, also=also)
    return outcomes


_ORDER = {"asset.stored": 0, "replica.stored": 1, "asset.sighted": 2, "file.failed": 3, "alarm.raised": 4}


def _read_back(vault: Vault, placed: Sequence[Placed]) -> Iterable[ReadBack | StorageError | NotFound]:
    def one(item: Placed) -> ReadBack | StorageError | NotFound:
        try:
            return vault.read_back(item.key)
        except (StorageError, NotFound) as e:
            vault.check()  # a vault that is gone altogether says nothing about single files
            return e

    if len(placed) > 1 and all(p.detail["size"] <= _SMALL for p in placed):
        shares = [placed[n::_SIDE_BY_SIDE] for n in range(_SIDE_BY_SIDE)]
        with ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="verify") as pool:
            found = dict(chain.from_iterable(pool.map(lambda share: [(item.key, one(item)) for item in share], shares)))
        return [found[item.key] for item in placed]
    return [one(p) for p in placed]


def _mismatch(vault: Vault, item: Placed, answer: ReadBack | StorageError | NotFound) -> list[Draft]:
    why = "other bytes came back than were written" if isinstance(answer, ReadBack) else str(answer)
    # Not found: a process that was killed between moving it and recording that has set it aside already.
    then = "" if isinstance(answer, NotFound) else f"; set aside as {vault.set_aside(item.key)}"
    return facts.unlike(item.key, item.asset, item.detail, item.sha256, why, then)
