"""Hand-over records (交接记录): the bytes against the custody log, and what they tell against the catalogue's rows."""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mediad.catalog.audit import AuditCatalog
from mediad.errors import MediadError
from mediad.fsck.custody import Chain, check_handover_head, loads, loads_object
from mediad.fsck.records import Report
from mediad.fsck.vault import Look, docking_of
from mediad.model.layout import printable

_SHOWN = 5
"""Differences that are told of one record; one that is another record altogether differs in every line."""


def check_handovers(
    catalog: AuditCatalog,
    looks: Sequence[Look],
    chain: Chain,
    states: Mapping[str, str],
    report: Report,
    *,
    custody_only: bool = False,
) -> None:
    """Hand-over records both ways. ``custody_only`` asks only what the chain itself depends on."""
    for seq, docking in chain.reclosed:
        report.add("closed-twice", docking, f"event {seq} closes a docking that was closed before")
    for vault in (v for v in looks if v.online):
        check = _Check(catalog, vault, chain, states, report, custody_only=custody_only)
        for key in vault.handovers:
            check.one(key)
        for docking, handover in chain.closed.items():
            key = str(handover.get("key"))
            if handover.get("vault") == vault.name and key not in vault.handovers:
                if vault.reader.stat(key) is None:
                    report.add("handover-missing", docking, f"{key} is not in vault {vault.name}")
                else:  # closed after the vault was listed
                    check.one(key)
        if not custody_only:
            _check_signed(vault, chain, report)


def _check_signed(vault: Look, chain: Chain, report: Report) -> None:
    """What was signed lies beside the record of its docking, as it was signed. What lies there and was not signed, a signing that
    broke off has left."""
    for (name, key), (docking, sha256) in chain.signed.items():
        if name != vault.name:
            continue
        if vault.reader.stat(key) is None:
            report.add("handover-missing", docking, f"{key} was signed and is not in vault {vault.name}")
            continue
        report.count("signed")
        try:
            data = vault.reader.read(key)
        except MediadError as e:
            report.add("handover-differs", docking, e.message)
            continue
        if hashlib.sha256(data).hexdigest() != sha256:
            report.add(
                "handover-differs", docking, f"{key} is not what was signed: its digest stands in the custody log"
            )


class _Check:
    """The records of one vault."""

    def __init__(
        self, catalog: AuditCatalog, vault: Look, chain: Chain, states: Mapping[str, str], report: Report,
        *, custody_only: bool,
    ) -> None:  # fmt: skip
        self.catalog, self.vault, self.chain, self.states, self.report = catalog, vault, chain, states, report
        self.custody_only = custody_only

    def one(self, key: str) -> None:
        docking = docking_of(key)
        recorded = self.chain.closed.get(docking, {})
        ours = recorded.get("key") == key
        add = self.report.add
        try:
            data = self.vault.reader.read(key)
        except MediadError as e:
            add("handover-differs" if ours else "unreadable", docking if ours else key, e.message)
            return
        body = loads_object(data)
        if not ours and body.get("station", self.vault.station) != self.vault.station:
            return  # another station's
        self.report.count("handovers")
        if ours and hashlib.sha256(data).hexdigest() != recorded.get("sha256"):
            add("handover-differs", docking, f"{key} is not the record whose digest stands in the custody log")
            return
        broken_off = self.chain.broken is not None  # then the log was not read to its end
        known = self.states.get(docking) == "open" or (broken_off and docking in self.states)
        if not ours and not known and not self.custody_only:
            add("handover-orphan", docking, f"{key}: the catalogue knows no such hand-over")
        if (body or ours) and (finding := check_handover_head(docking, body, self.chain)) is not None:
            self.report.findings.append(finding)
        if ours and not self.custody_only:
            self._against_rows(docking, key, body)

    def _against_rows(self, docking: str, key: str, body: Mapping[str, Any]) -> None:
        wrong: list[str] = []
        with self.catalog.snapshot() as snap:
            row = snap.docking(docking)
            if row is None:
                wrong.append("the catalogue knows no such docking")
            elif body.get("format") != "mediad-handover/1" or not _are_lines(body.get("files")):
                wrong.append("it is no mediad-handover/1 record")
            else:
                wrong += _head_differs(body, docking, row)
                lines = body["files"]
                wrong += _counts_differ(body.get("counts"), lines, row)
                wrong += _files_differ(lines, snap.source_files(docking))
                wrong += _known_differ(lines, snap.listed_as_known(docking), snap.digests(_assets(lines)))
        if wrong:
            more = f", and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
            told = "; ".join(wrong[:_SHOWN])
            self.report.add("handover-differs", docking, f"{key} and the catalogue's rows differ: {told}{more}")


def _are_lines(files: Any) -> bool:
    texts = ("volume", "path", "path_b64", "outcome")
    return isinstance(files, list) and all(
        isinstance(f, dict)
        and all(isinstance(f.get(name), str) for name in texts)
        and type(f.get("size")) is int
        and isinstance(f.get("asset"), str | None)
        for f in files
    )


_ROW = {
    "state": "state", "slot": "slot", "source": "source", "channel": "channel", "profile": "profile", "officer": "officer",
    "actor": "actor", "began_at": "opened_at", "ended_at": "closed_at", "continues": "continues",
}  # fmt: skip
_RECORDER = {"id": "recorder_id", "key": "recorder", "label": "label", "registered": "registered"}


def _head_differs(body: Mapping[str, Any], docking: str, row: Any) -> list[str]:
    recorder = body.get("recorder")
    recorder = recorder if isinstance(recorder, dict) else {}
    wrong = [name for name, column in _ROW.items() if body.get(name) != getattr(row, column)]
    wrong += [f"recorder.{n}" for n, column in _RECORDER.items() if recorder.get(n) != getattr(row, column)]
    wrong += [name for name in ("said", "zones") if body.get(name, ...) != _parsed(getattr(row, name))]
    if body.get("docking") != docking:
        wrong.append("docking")
    return wrong


def _parsed(text: Any) -> Any:
    try:
        return None if text is None else loads(text)
    except (ValueError, TypeError):
        return ...


def _counts_differ(counts: Any, lines: Sequence[Mapping[str, Any]], row: Any) -> list[str]:
    """The record's sums against the row, and against its own lines (files of a folder that were known have no line)."""
    counts = counts if isinstance(counts, dict) else {}
    names = ("new", "sightings", "skipped", "failed", "bytes")
    wrong = [f"counts.{name}" for name in names if counts.get(name) != getattr(row, name)]
    outcomes = [line["outcome"] for line in lines]
    listed = {
        "new": outcomes.count("stored"), "sightings": outcomes.count("sighting"), "failed": outcomes.count("failed"),
        "bytes": sum(line["size"] for line in lines if line["outcome"] == "stored"),
    }  # fmt: skip
    wrong += [f"counts.{name} against its own lines" for name, n in listed.items() if counts.get(name) != n]
    return wrong


def _files_differ(lines: Sequence[Mapping[str, Any]], rows: Iterable[Any]) -> list[str]:
    """Every line but those of known files is a row, and every row a line."""
    told = {(f["volume"], f["path_b64"]): f for f in lines if f["outcome"] != "known"}
    wrong: list[str] = []
    for row in rows:
        name = printable(row.path)
        line = told.pop((row.volume, base64.b64encode(row.path).decode("ascii")), None)
        if line is None:
            wrong.append(f"{name} is not in it")
            continue
        reached = row.outcome is not None  # else the docking broke off before it was read
        meant = {
            "outcome": row.outcome if reached else "failed", "asset": row.asset, "sha256": row.sha256, "size": row.size,
            "path": name, **({"why": row.why} if reached else {}),
        }  # fmt: skip
        if fields := [field for field, value in meant.items() if line.get(field) != value]:
            wrong.append(f"{name} ({', '.join(fields)})")
    return wrong + [f"{f['path']} is only in it" for f in told.values()]


def _known_differ(
    lines: Sequence[Mapping[str, Any]], listed: Iterator[tuple[Any, ...]], digests: Mapping[str, str]
) -> list[str]:
    """Files that were known without reading stand in the docking's listing; their digests are those of their assets."""
    known = {(f["volume"], f["path_b64"], f["size"], f["asset"]): f for f in lines if f["outcome"] == "known"}
    wrong = [f"{f['path']} (sha256)" for f in known.values() if f.get("sha256") != digests.get(f["asset"])]
    meant = set(listed)
    wrong += [f"{f['path']} was not listed as known" for told, f in known.items() if told not in meant]
    if missing := len(meant - known.keys()):
        wrong.append(f"{missing} files that were listed as known are not in it")
    return wrong


def _assets(lines: Iterable[Mapping[str, Any]]) -> set[str]:
    return {f["asset"] for f in lines if isinstance(f.get("asset"), str)}
