"""What belongs to the station: its recorders, their clocks, its slots."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mediad.config import Config
from mediad.errors import NotFound, Refused
from mediad.model.acts import Actor
from mediad.model.custody import Draft
from mediad.model.evidence import CLOCK_FLOOR
from mediad.model.ids import named_id
from mediad.model.layout import safe_name
from mediad.model.timing import LEEWAY
from mediad.wiring.bureau.acts import perform

if TYPE_CHECKING:
    from mediad.catalog.ledger import Ledger


def register_recorder(
    config: Config, serial: str, keys: Sequence[str], *, name: str = "", profile: str = ""
) -> dict[str, Any]:
    """Register a recorder under its keys, the first of which is made of ``serial``; or give the one that has this key already
    more of them. Returns what is registered now. Raises Refused if another recorder has one of the keys."""
    from mediad.catalog import evidence

    told: dict[str, Any] = {}

    def make(ledger: Ledger, _: Actor) -> list[Draft]:
        with ledger.catalog.read() as conn:
            owners = {key: row for key in keys if (row := evidence.registered_recorder(conn, [key])) is not None}
            known = {row["id"]: row for row in evidence.recorders(conn)}
        own = owners.get(keys[0])
        for key, owner in owners.items():
            if own is None or owner.id != own.id:
                raise Refused(
                    f"{key} is a key of recorder {owner.label} already",
                    hint="a key names one recorder; `mediad recorder list` shows whose it is",
                )
        before = known[own.id] if own is not None else {"label": safe_name(serial.encode(), "recorder")}
        after = {
            "label": before["label"], "name": name or before.get("name") or serial,
            "profile": profile or before.get("profile", ""), "keys": sorted({*keys, *before.get("keys", ())}),
        }  # fmt: skip
        told.update(after)
        # The id is made of the key, so that the same recorder has the same one at every station.
        return [
            Draft("recorder.registered", own.id if own is not None else named_id("rcd", "recorder", keys[0]), after)
        ]

    return perform(config, "register-recorder", make).answer("已登记 registered", **told)


def measure_clock(config: Config, photo: str, shown: datetime | None) -> dict[str, Any]:
    """Record how far a recorder's clock was off, by a photo that it took of a clock which showed ``shown``; it counts for all
    that came with the same docking, from the next assembling on. Returns docking and offset (recorder minus true time, in
    milliseconds). None withdraws what was measured at that docking. Raises NotFound, or Refused if nothing tells when the recorder
    believes to have taken it, or if ``shown`` cannot be true. Who may set times by hand may do this."""
    from mediad.catalog import evidence, recordings
    from mediad.model.instants import stamp

    told: dict[str, Any] = {}

    def make(ledger: Ledger, _: Actor) -> list[Draft]:
        with ledger.catalog.read() as conn:
            row, timing = evidence.asset(conn, photo), recordings.timing_of(conn, photo)
        if row is None:
            raise NotFound(f"{photo} is not in the catalogue", hint="give the asset (ast-) of the photo")
        if shown is None:
            told.update(docking=row.docking, offset_ms=None, source="withdrawn", why=f"measured by mistake: {photo}")
            return [Draft("clock.withdrawn", row.docking, {"why": told["why"]})]
        with ledger.catalog.read() as conn:
            opened = datetime.fromisoformat(evidence.docking(conn, row.docking).opened_at)  # type: ignore[union-attr]
        if not CLOCK_FLOOR <= shown <= opened + LEEWAY:
            raise Refused(
                f"no clock that was right showed {shown.isoformat(sep=' ')} on a photo docked at {stamp(opened)}",
                hint="give the time that the clock in the picture shows",
            )
        if timing is None or timing["kind"] != "photo":
            raise Refused(f"{photo} is no photo that was looked into", hint="`mediad derive` looks into what is stored")
        time = timing["time"]
        claimed = time.get("claimed_start")
        if not claimed or time["source"] == "gps":
            raise Refused(
                f"nothing tells by the recorder's own clock when {photo} was taken",
                hint="`mediad derive` looks into it; a photo without any time cannot serve",
            )
        offset = datetime.fromisoformat(claimed) - shown
        detail = {
            "offset_ms": round(offset.total_seconds() * 1000),
            "source": "photo",
            "why": f"{photo} shows {stamp(shown)}, the recorder says {claimed}",
        }
        told.update(docking=row.docking, **detail)
        return [Draft("clock.measured", row.docking, detail)]

    return perform(config, "set-time", make).answer("已记录 recorded", **told)


def name_slot(config: Config, port: str, name: str) -> dict[str, Any]:
    """Give a slot a name. Raises Refused if it is another one's."""
    from mediad.catalog import evidence

    def make(ledger: Ledger, _: Actor) -> list[Draft]:
        with ledger.catalog.read() as conn:
            other = next((p for p, n in evidence.slot_names(conn).items() if n == name and p != port), None)
        if other is not None:
            raise Refused(f"{name} is the name of {other} already", hint="each slot has a name of its own")
        return [Draft("slot.named", port, {"name": name})]

    return perform(config, "name-slot", make).answer("已命名 named", port=port, name=name)
