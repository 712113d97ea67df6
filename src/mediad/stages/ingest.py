"""Ingest: read each file of a batch once, and let that read feed the staged copy and its digests together."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from mediad.errors import DeviceGone, MediadError, SourceError
from mediad.model.evidence import BatchPlan, Copied, Planned, SourceFile
from mediad.model.ids import Digest, asset_id
from mediad.model.layout import original_name

_AHEAD = 32
_SMALL = 2 * 1024 * 1024
"""So many files of at most so many bytes are asked for ahead: cards and disks answer several requests faster than one by one."""


class OpenFile(Protocol):
    @property
    def fd(self) -> int: ...

    def check_unchanged(self) -> None: ...


class Source(Protocol):
    """Where files are read from, and whether it is still there: an emptied or pulled card must not look like an empty one."""

    def open(self, file: SourceFile) -> AbstractContextManager[OpenFile]: ...

    def read_ahead(self, files: Sequence[SourceFile]) -> None: ...

    def present(self) -> bool: ...


class Taken(Protocol):
    @property
    def size(self) -> int: ...

    @property
    def digests(self) -> tuple[Digest, ...]: ...

    @property
    def head(self) -> bytes: ...


class Batch(Protocol):
    """A batch folder in a vault's staging area."""

    def take(
        self, source: int, name: str, size: int, algorithms: Sequence[str], progress: Callable[[int], None], /
    ) -> Taken: ...

    def rename(self, old: str, new: str) -> None: ...

    def drop(self, name: str) -> None: ...

    def discard(self) -> None: ...


@dataclass
class CopiedBatch:
    """What came of reading a batch. ``stopped`` says why the files in ``unread`` were not read."""

    plan: BatchPlan
    copied: list[tuple[Planned, Copied]] = field(default_factory=list)
    failed: list[tuple[Planned, SourceError]] = field(default_factory=list)
    unread: list[Planned] = field(default_factory=list)
    stopped: MediadError | None = None


def copy_batch(
    plan: BatchPlan, batch: Batch, source: Source, algorithms: Sequence[str], progress: Callable[[int], None]
) -> CopiedBatch:
    """Read the files of a batch one by one. One that cannot be read fails alone; a pulled source or a full vault ends it."""
    try:
        return _copy_all(plan, batch, source, algorithms, progress)
    except BaseException:
        batch.discard()  # nothing of it was promised, and nobody else knows of it
        raise


def _copy_all(
    plan: BatchPlan, batch: Batch, source: Source, algorithms: Sequence[str], progress: Callable[[int], None]
) -> CopiedBatch:
    result = CopiedBatch(plan)
    seen: set[Digest] = set()
    for n, planned in enumerate(plan.files):
        if n % _AHEAD == 0:
            source.read_ahead([p.file for p in plan.files[n : n + _AHEAD] if p.file.size <= _SMALL])
        part = f"{n}.part"
        try:
            taken = _copy(planned.file, part, batch, source, algorithms, progress)
        except SourceError as e:
            if source.present():
                result.failed.append((planned, e))
                continue
            result.stopped = DeviceGone(
                "the recorder was taken away", hint="dock it again: what is stored is not read again"
            )
        except MediadError as e:
            result.stopped = e
        else:
            result.copied.append((planned, _settle(planned.file, part, taken, batch, seen)))
            continue
        result.unread.extend(plan.files[n:])
        break
    return result


def _settle(file: SourceFile, part: str, taken: Taken, batch: Batch, seen: set[Digest]) -> Copied:
    """Give the staged file its name; a twin of one in the same batch leaves it at once (``staged`` is then empty)."""
    sha256 = taken.digests[0]
    if sha256 in seen:
        batch.drop(part)
        name = ""
    else:
        name = original_name(asset_id(sha256.value), file.path)
        batch.rename(part, name)
        seen.add(sha256)
    return Copied(file, name, taken.digests, taken.head)


def _copy(
    file: SourceFile,
    name: str,
    batch: Batch,
    source: Source,
    algorithms: Sequence[str],
    progress: Callable[[int], None],
) -> Taken:
    with source.open(file) as opened:
        taken = batch.take(opened.fd, name, file.size, algorithms, progress)
        try:
            if taken.size != file.size:
                raise SourceError(
                    f"it ended at byte {taken.size} of {file.size}", code="source-changed", hint="dock it again"
                )
            opened.check_unchanged()
        except SourceError:
            batch.drop(name)
            raise
    return taken
