"""The order of an ingest batch, read from an strace of the real program (DESIGN: what must always hold).

``violations`` takes the system calls of one run and says which steps are missing or in the wrong place. A call counts as
done when it has returned, and as begun when it was entered: threads interleave.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

TRACED = (
    "openat,write,pwrite64,fsync,fdatasync,syncfs,rename,renameat,renameat2,link,linkat,preadv,preadv2,pread64,read"
)


@dataclass(frozen=True)
class Call:
    """One system call: where in the trace it was entered and where it returned."""

    name: str
    text: str
    begun: int
    done: int
    result: str

    @property
    def path(self) -> str:
        """What the descriptor in the first argument is of."""
        found = re.match(r"\d+<([^>]*)>", self.text)
        return found[1] if found else ""


def calls(trace: str) -> list[Call]:
    """Parse ``strace -f -y``; calls that were interrupted by another thread's are put together again."""
    found: list[Call] = []
    open_calls: dict[str, tuple[str, int]] = {}
    for n, line in enumerate(trace.splitlines()):
        thread, _, rest = line.partition(" ")
        rest = rest.lstrip()
        if rest.endswith("<unfinished ...>"):
            open_calls[thread] = (rest.removesuffix("<unfinished ...>"), n)
            continue
        begun = n
        if resumed := re.match(r"<\.\.\. \w+ resumed>", rest):
            head, begun = open_calls.pop(thread)
            rest = head + rest[resumed.end() :]
        if match := re.match(r"(\w+)\((.*)\)\s+= (.*)$", rest, re.DOTALL):
            found.append(Call(match[1], match[2], begun, n, match[3]))
    return found


class Trace:
    """Questions about one run."""

    def __init__(self, trace: str) -> None:
        self.all = calls(trace)

    def where(
        self, *names: str, on: str = "", having: Sequence[str] = (), after: int = -1, before: int = 10**9
    ) -> Iterator[Call]:
        """Calls begun behind ``after`` and done before ``before``; ``on`` is the end of their descriptor's path."""
        for call in self.all:
            if call.name not in names or call.begun <= after or call.done >= before:
                continue
            if call.path.endswith(on) and all(h in call.text for h in having):
                yield call

    def commit(self, texts: Sequence[str], after: int, before: int) -> Call | None:
        """The sync of the first commit with a page that holds all the texts."""
        pages = self.where("pwrite64", on="catalog.db-wal", having=texts, after=after, before=before)
        last = next((c.done for c in pages), before)
        return next(self.where("fdatasync", on="catalog.db-wal", after=last, before=before), None)


def violations(trace: Trace) -> list[str]:
    """What is wrong with the order of a run's batches; empty if all is right."""
    wrong: list[str] = []
    batches = {}
    entered = re.compile(r"\.staging/[^/]+/[^/]+/(bat-[a-z0-9-]+)\", .*\"([^\"]*/originals/[^\"]+/bat-[a-z0-9-]+)\"")
    for call in trace.where("rename", "renameat", "renameat2"):
        if found := entered.search(call.text):
            batches[found[1]] = (call, found[2])
    if not batches:
        return ["no batch entered the vault"]
    for batch, (rename, target) in batches.items():
        wrong += [f"{batch}: {w}" for w in _batch(trace, batch, rename, target)]
    if len(batches) != len({c.text for c, _ in batches.values()}):
        wrong.append("a batch entered twice")
    return wrong + _end(trace, max(c.done for c, _ in batches.values()))


def _batch(trace: Trace, batch: str, rename: Call, target: str) -> list[str]:
    folder = target.rpartition("/")[0]
    # 1 write all
    writes = [c for c in trace.where("write") if f"/{batch}/" in c.path]
    if not writes:
        return ["nothing was written"]
    written = max(c.done for c in writes)
    # 2 make it durable: each file, or the file system; then the folder's names
    staged = {c.path for c in writes}
    synced = max((c.done for c in trace.where("syncfs", on=batch, after=written, before=rename.begun)), default=0)
    durable = 0
    for path in staged:
        last = max(c.done for c in writes if c.path == path)
        own = list(trace.where("fsync", on=_final(trace, path), after=last, before=rename.begun))
        own += trace.where("fsync", on=path, after=last, before=rename.begun)
        if not own and not synced:
            return [f"{path} was not durable before the batch moved"]
        durable = max(durable, min((c.done for c in own), default=0))
    named = next(trace.where("fsync", on=f"/{batch}", after=written, before=rename.begun), None)
    if named is None:
        return ["the batch's folder was not synced before it moved"]
    durable = max(durable, named.done, synced)
    # 3 placements committed
    placed = trace.commit([batch], durable, rename.begun)
    if placed is None:
        return ["no placement was committed between the sync and the rename"]
    # 4 rename, 5 fsync of both parents
    staging = rename.text.split('"')[1].rpartition("/")[0]
    parents = [next(trace.where("fsync", on=p, after=rename.done), None) for p in (folder, staging)]
    wrong = ["a parent folder was not synced after the rename" for p in parents if p is None]
    moved = max((p.done for p in parents if p is not None), default=rename.done)
    # 6 read back past the cache
    originals = {c.text.split('"')[1] for c in trace.where("openat", having=[f"{target}/ast-"]) if c.result[0] != "-"}
    reads = [c for c in trace.where("openat", having=[f'"{target}/ast-', "O_DIRECT"]) if c.result[0] != "-"]
    if not reads or {c.text.split('"')[1] for c in reads} != originals:
        return [*wrong, "an original was not read back with O_DIRECT"]
    if min(c.begun for c in reads) < moved:
        wrong.append("an original was read back before its name was durable")
    if len(originals) < len({_final(trace, p) for p in staged if "/ast-" in _final(trace, p)}):
        wrong.append("not every original was read back")
    got = max(
        c.done
        for c in [*trace.where("preadv", "preadv2", after=moved), *reads]
        if c in reads or f"{target}/ast-" in c.path
    )
    # 7 assets committed, and not earlier
    if trace.commit(["verified_at", batch], named.begun, got) is not None:
        wrong.append("assets were committed before everything was read back")
    if trace.commit(["verified_at", batch], got, 10**9) is None:
        wrong.append("assets were not committed after the read back")
    return wrong


def _final(trace: Trace, staged: str) -> str:
    """The name that a staged file was given in its batch."""
    folder, _, name = staged.rpartition("/")
    for call in trace.where("renameat", "renameat2", on=folder, having=[f'"{name}"']):
        if found := re.search(rf'"{re.escape(name)}", .*"([^"]+)"', call.text):
            return f"{folder}/{found[1]}"
    return staged


def _end(trace: Trace, last_batch: int) -> list[str]:
    """The hand-over record and the custody segment are durable before the program says anything."""
    said = next(iter(sorted(c.begun for c in trace.where("write") if c.text.startswith("1<"))), None)
    if said is None:
        return ["nothing was reported"]
    wrong = []
    record = _linked(trace, "handovers/", "record.json", last_batch, said)
    if record is None:
        return ["no durable hand-over record before the report"]
    closed = trace.commit(["docking.closed"], record, said)
    if closed is None:
        return ["the docking was not closed after its record"]
    if _linked(trace, "custody/", ".jsonl", closed.done, said) is None:
        wrong.append("the custody segment was not durable before the report")
    return wrong


def _linked(trace: Trace, folder: str, suffix: str, after: int, before: int) -> int | None:
    """Where an object was linked whole and its folder synced: write, fsync, link, fsync of the folder."""
    for link in trace.where("linkat", having=[folder, suffix], after=after, before=before):
        path = re.findall(r"<([^>]*)>, \"[^\"]*\"", link.text)[-1]
        content = [c for c in trace.where("fsync", after=after, before=link.begun) if "/.staging/" in c.path]
        for synced in trace.where("fsync", on=path, after=link.done, before=before):
            if content:
                return synced.done
    return None
