"""Preview: decide what a person needs to watch recordings, and have it made.

Whatever comes of it, nothing depends on it: a preview is no evidence and no fact, may be deleted, and is made again. What lies
in the vault already and was made of the same originals in the same way is taken as it is.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from mediad.catalog import evidence, previews, recordings
from mediad.catalog.ledger import Ledger
from mediad.errors import StorageError
from mediad.model import preview
from mediad.model.derived import About, PreviewFailed
from mediad.model.ids import Digest
from mediad.model.instants import stamp
from mediad.model.layout import suffix_of
from mediad.model.preview import Member, Overlay, Plan, Settings, Unplayable
from mediad.model.probe import Probe

REFERENCES = 8
"""Whole recordings of the same source that are looked at for one that tells how a broken one was coded."""


class Vault(Protocol):
    @property
    def name(self) -> str: ...

    def path_of(self, key: str) -> Path: ...


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be made of a recording, and out of what: its originals in order, then the reference if the plan names one."""

    recording: str
    plan: Plan
    sources: Sequence[Path]
    docking: str
    """That its first original came with."""
    fingerprint: str
    """Of the plan, and of the sidecar that it takes a track from: tells whether what lies there is still what would be made."""
    tracks: Sequence[tuple[Path, str]] = ()
    """Originals in which a GPS track was seen, with the suffix of their name."""


class Maker(Protocol):
    """Makes previews and keeps them in the vault."""

    @property
    def settings(self) -> Settings: ...

    @property
    def zone(self) -> ZoneInfo: ...

    def about(self, recording: str) -> About | None: ...

    def film(self, order: Order, told: Callable[[int], None]) -> About | PreviewFailed:
        """Of video or sound. ``told`` hears percent; what it raises ends the work. Raises MediadError if it cannot be done now."""

    def photos(self, orders: Sequence[Order]) -> Mapping[str, About | PreviewFailed]:
        """Of many photos at once."""

    def remove(self, recording: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a recording's preview: ``made`` (with its files), ``failed`` (with a code and a sentence), or ``gone``, since
    the recording is part of another one now."""

    recording: str
    state: str
    made_of: str
    detail: Mapping[str, Any]
    at: str

    def note(self, conn: Connection) -> None:
        """Keep it in the catalogue."""
        if self.state == "gone":
            previews.forget(conn, self.recording)
        else:
            previews.note(conn, self.recording, self.state, self.made_of, self.at, dict(self.detail))


def run(
    ledger: Ledger, vault: Vault, maker: Maker, names: Sequence[str], told: Callable[[str, int], None]
) -> list[Answer]:
    """Previews of some recordings. Raises MediadError if one cannot be made now; what was made by then is found again."""
    orders: list[Order] = []
    answers: list[Answer] = []

    def answer(recording: str, state: str, made_of: str, detail: Mapping[str, Any]) -> None:
        answers.append(Answer(recording, state, made_of, detail, stamp(ledger.clock())))

    for name in names:
        order = _order(ledger, vault, maker, name)
        if order is None:
            maker.remove(name)
            answer(name, "gone", "", {})
        elif isinstance(order, Unplayable):
            answer(name, "failed", "", {"code": order.code, "detail": order.sentence})
        elif (there := maker.about(name)) is not None and there.fingerprint == order.fingerprint:
            answer(name, "made", there.fingerprint, _told(there))
        else:
            orders.append(order)
    photos = [order for order in orders if order.plan.kind == "photo"]
    made: dict[str, About | PreviewFailed] = dict(maker.photos(photos)) if photos else {}
    for order in orders:
        if order.plan.kind != "photo":
            made[order.recording] = maker.film(order, lambda percent, name=order.recording: told(name, percent))  # type: ignore[misc]
    for order in orders:
        match made[order.recording]:
            case PreviewFailed() as why:
                detail = {"code": why.code, "detail": why.sentence}
                answer(order.recording, "failed", order.fingerprint, detail)
            case about:
                answer(order.recording, "made", about.fingerprint, _told(about))
    return answers


def _told(about: About) -> dict[str, Any]:
    return {
        "files": [{"name": f.name, "size": f.size} for f in about.files],
        "seconds": about.seconds,
        "video": about.video,
        "audio": about.audio,
        "encoder": about.encoder,
        "remarks": [{"code": r.code, "detail": r.detail} for r in about.remarks],
    }


def _order(ledger: Ledger, vault: Vault, maker: Maker, name: str) -> Order | Unplayable | None:
    """What to make; None if the recording is part of another one now."""
    with ledger.catalog.read() as conn:
        row = evidence.recording(conn, name)
        if row is None:
            return None
        rows = previews.to_show(conn, name, vault.name)
        others = _references(conn, vault, rows)
        beside = _sidecars(conn, vault, rows)
    for member in rows:
        if member.key is None:
            raise StorageError(f"vault {vault.name} has no healthy copy of {member.asset}", hint="see `mediad show`")
        if member.probe is None:
            raise StorageError(f"{member.asset} is not probed yet", hint="it is tried again by itself")
    members = [_member(r, maker.zone) for r in rows]
    known = [(o, _member(o, maker.zone)) for o in others if o.asset not in {r.asset for r in rows}]
    helper, reference = next((found for found in known if preview.helps(found[1].probe)), (None, None))
    plan = preview.plan(members, maker.settings, Overlay(row["label"], row["officer"]), reference)
    if isinstance(plan, Unplayable):
        return plan
    sources = [vault.path_of(r.key) for r in rows]
    if plan.reference == len(rows) and helper is not None:
        sources.append(vault.path_of(helper.key))
    tracks = [(path, m.suffix) for path, m in zip(sources, members, strict=False) if m.probe.track is not None]
    tracks += [(vault.path_of(r.key), suffix_of(r.path)) for r in beside]
    names = " ".join([plan.fingerprint, *(r.id for r in beside)])
    fingerprint = Digest.sha256(names.encode()).hex if beside else plan.fingerprint
    return Order(name, plan, sources, rows[0].docking, fingerprint, tracks)


def _sidecars(conn: Connection, vault: Vault, rows: Sequence[Any]) -> list[Any]:
    """Sidecars of some assets that hold a track."""
    named = [json.loads(r.timing)["sidecar"] for r in rows if r.timing is not None]
    told = recordings.probes_of(conn, [asset for asset in named if asset])
    return recordings.to_probe(conn, vault.name, [asset for asset, probe in told.items() if "track" in probe])


def _references(conn: Connection, vault: Vault, rows: Sequence[Any]) -> list[Any]:
    """Others of the same recorder, the nearest in time first, if one of these has lost its index: only then are they asked for."""
    probes = [Probe.from_json(json.loads(row.probe)) for row in rows if row.probe is not None]
    if not any("truncated" in probe.conditions and not probe.streams for probe in probes):
        return []
    timing = next((json.loads(row.timing) for row in rows if row.timing is not None), None)
    if timing is None:
        return []
    at = timing["started_at"]
    others = previews.siblings(conn, timing["source"], "video", vault.name, at, REFERENCES)
    return sorted(others, key=lambda o: abs(_start(json.loads(o.timing)["started_at"]) - _start(at)))


def _start(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _member(row: Any, zone: ZoneInfo) -> Member:
    started = json.loads(row.timing)["started_at"] if row.timing is not None else None
    start = _start(started).astimezone(zone) if started else None
    return Member(Probe.from_json(json.loads(row.probe)), row.size, row.sha256, suffix_of(row.path), start)
