"""Manifests of archived cases (归档): the bytes against the custody log, and the digests in them against the catalogue's rows."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from mediad.catalog.audit import AuditCatalog
from mediad.errors import MediadError
from mediad.fsck.custody import Chain, loads_object
from mediad.fsck.records import Report
from mediad.fsck.vault import Look, case_of

_FORMAT = "mediad-archive/1"
_SHOWN = 5


def check_archives(catalog: AuditCatalog, looks: Sequence[Look], chain: Chain, report: Report) -> None:
    """Manifests both ways: each that an event names is there with its digest, and no other one of ours is."""
    for vault in (v for v in looks if v.online):
        for key in vault.archives:
            _one(catalog, vault, key, chain, report)
        for key, (where, _, counts) in chain.archives.items():
            if where == vault.name and counts and key not in vault.archives:
                if vault.reader.stat(key) is None:
                    report.add("archive-missing", case_of(key) or key, f"{key} is not in vault {vault.name}")
                else:  # archived after the vault was listed
                    _one(catalog, vault, key, chain, report)


def _one(catalog: AuditCatalog, vault: Look, key: str, chain: Chain, report: Report) -> None:
    _, sha256, counts = chain.archives.get(key, ("", "", False))
    case = case_of(key) or key
    try:
        data = vault.reader.read(key)
    except MediadError as e:
        report.add("archive-differs" if sha256 else "unreadable", case if sha256 else key, e.message)
        return
    body = loads_object(data)
    if not sha256 and body.get("station", vault.station) != vault.station:
        return  # another station's
    report.count("archives")
    if not sha256:
        if key not in chain.explained and chain.broken is None:
            report.add("archive-orphan", case, f"{key}: no event of the custody log names it")
        return
    if hashlib.sha256(data).hexdigest() != sha256:
        report.add("archive-differs", case, f"{key} is not the manifest whose digest stands in the custody log")
    elif counts and (wrong := list(_against_rows(catalog, case, body))):
        more = f", and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        told = "; ".join(wrong[:_SHOWN])
        report.add("archive-differs", case, f"{key} and the catalogue's rows differ: {told}{more}")


def _against_rows(catalog: AuditCatalog, case: str, body: dict[str, Any]) -> Iterator[str]:
    """Whose manifest it is, and that every original in it is the catalogue's: assets never change."""
    try:
        files = {f["id"]: f["sha256"] for recording in body["recordings"] for f in recording["assets"]}
        if body["format"] != _FORMAT or body["case"]["id"] != case:
            yield f"it is no {_FORMAT} manifest of this case"
    except (KeyError, TypeError):
        yield f"it is no {_FORMAT} manifest"
        return
    with catalog.snapshot() as snap:
        known = snap.digests({asset for asset in files if isinstance(asset, str)})
    yield from (f"{asset} (sha256)" for asset, digest in files.items() if known.get(asset) != digest)
