"""``mediad`` with one step of the order left out or misplaced: the test of the order must notice each.

Started as ``python -m tests.faults.broken NAME ARGUMENTS...``.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

from mediad.cli import main
from mediad.edges import files, pump, vault
from mediad.stages import mirror, store, verify


def _without_sync() -> None:
    """Staged files are not made durable."""

    def seal(self: Any, name: str, sidecar: bytes) -> None:
        fd = os.open(name, os.O_WRONLY | os.O_CREAT, 0o440, dir_fd=self._fd)
        files.write_all(fd, sidecar)
        os.close(fd)
        os.fsync(self._fd)

    vault.StagedBatch.seal = seal  # type: ignore[method-assign]


def _placed_late() -> None:
    """The batch moves before its placements are committed."""
    reserve, admit = store._seal_and_reserve, vault.LocalVault.admit
    late: list[Callable[[], None]] = []

    def sealed_only(ledger: Any, docking: Any, batch: Any, name: str, new: Any) -> None:
        batch.seal("record.json", b"{}")
        seal = type(batch).seal

        def then() -> None:
            type(batch).seal = lambda *_: None
            reserve(ledger, docking, batch, name, new)
            type(batch).seal = seal

        late.append(then)

    def admitted(self: Any, *where: str) -> None:
        admit(self, *where)
        late.pop()()

    store._seal_and_reserve = sealed_only
    vault.LocalVault.admit = admitted  # type: ignore[method-assign]


def _rename_not_durable() -> None:
    """The parent folders are not synced after the rename."""

    def admit(self: Any, owner: str, batch_id: str, key: str) -> None:
        target = self.root / key
        self._folder(target.parent)
        (self._staging / owner / batch_id).rename(target)

    vault.LocalVault.admit = admit  # type: ignore[method-assign]


def _verified_from_cache() -> None:
    """The read back goes through the page cache."""
    real = os.open
    pump.os = type(
        "os", (), {**vars(os), "open": staticmethod(lambda p, f, *a, **k: real(p, f & ~os.O_DIRECT, *a, **k))}
    )  # type: ignore[attr-defined]


def _recorded_unverified() -> None:
    """Assets are recorded first and read back after."""
    read_back, record = verify._read_back, verify.Ledger.record
    late: list[Callable[[], Any]] = []

    def trusting(port: Any, placed: Any) -> Any:
        late.append(lambda: list(read_back(port, placed)))
        return [
            pump.ReadBack(pump.Digest("sha256", bytes.fromhex(p.sha256)), p.detail["size"], "direct") for p in placed
        ]

    def recorded(self: Any, *a: Any, **k: Any) -> Any:
        answer = record(self, *a, **k)
        while late:
            late.pop()()
        return answer

    verify._read_back = trusting
    verify.Ledger.record = recorded  # type: ignore[method-assign]


def _not_mirrored() -> None:
    """The report comes before the custody segment."""
    mirror.mirror = lambda *_: 0


VARIANTS = {
    "without-sync": _without_sync,
    "placed-late": _placed_late,
    "rename-not-durable": _rename_not_durable,
    "verified-from-cache": _verified_from_cache,
    "recorded-unverified": _recorded_unverified,
    "not-mirrored": _not_mirrored,
    "none": lambda: None,
}

if __name__ == "__main__":
    VARIANTS[sys.argv[1]]()
    sys.argv[:2] = ["mediad"]
    main.main()
