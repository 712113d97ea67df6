"""The end of a case: the archivist takes it over (归档), its manifest is frozen in the vault, and the list for the archive is
drawn up (归档移交清册)."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mediad.catalog import bureau, casework
from mediad.config import Config
from mediad.edges.activities import load_activities
from mediad.errors import IntegrityError, NotFound, Refused, UsageError
from mediad.model import archive as manifests
from mediad.model.acts import Actor
from mediad.model.cases import Archived, Case, Numbered
from mediad.model.custody import Draft
from mediad.model.ids import Digest
from mediad.model.numbers import checked_number, number_key
from mediad.model.problems import Problem
from mediad.model.registers import case_json
from mediad.stages import archive as stage
from mediad.wiring.bureau import casework as work
from mediad.wiring.bureau import typed
from mediad.wiring.bureau.acts import perform_at
from mediad.wiring.bureau.tagging import case_of
from mediad.wiring.look import read_first_vault

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mediad.catalog.ledger import Ledger
    from mediad.wiring.station import Station

FILE_NUMBER = "案卷号"


def archive(
    config: Config, number: str, *, file_number: str = "", term: str = "", place: str = "", receiver: str = ""
) -> dict[str, Any]:
    """The archivist takes the case over: its manifest is frozen in the vault. What comes later makes a supplement, for which what
    is not given is as it was. Raises Refused for a case that is not concluded, and where nothing has changed."""
    told: dict[str, Any] = {}

    def make(station: Station, actor: Actor) -> list[Draft]:
        now = station.ledger.clock()
        with station.ledger.catalog.read() as conn:
            case = case_of(conn, number)
            taken = _taken(config, case, now, actor, file_number=file_number, term=term, place=place, receiver=receiver)
            after = _filed(conn, config, case, taken)
            rulings, activities = work.rulings(conn, config, case), load_activities(config.cases.activities)
            missing = [
                {"code": m.code, "activity": m.activity, "detail": m.detail, "explained": m.explained}
                for m in work.missing(conn, config, case, activities, rulings)
            ]
            people = {p.id: p for p in bureau.people(conn)}
            departments = {d.id: d for d in bureau.departments(conn)}
            facts = stage.Told(
                config.unit.name, config.station.id, config.unit.zone, activities, people, departments, rulings, missing
            )  # fmt: skip
            gathered = stage.gather(conn, config.vault[0].name, after, taken, facts)
        kept, lost = stage.keep(station.vault, gathered)
        told.update(
            findings=missing, key=kept.detail["key"], sha256=kept.detail["sha256"], archive=kept.detail["number"],
            lost=lost or None,
        )  # fmt: skip
        first = case.archived or Archived(now, taken.file_number, "", "", "", kept.detail["sha256"])
        archived = replace(first, term=taken.term, place=taken.place, receiver=taken.receiver)
        after = replace(after, archived=archived)
        return [kept] if after == case else [kept, Draft("case.registered", case.id, case_json(after))]

    performed = perform_at(config, "archive-case", make)
    return performed.answer("已归档 archived", number=number, **told)


def _taken(config: Config, case: Case, now: datetime, actor: Actor, **given: str) -> stage.Taken:
    """What the archivist says; for a supplement, what was said before counts where nothing is."""
    if case.concluded is None or case.act_ended is None:
        what = "the case is not concluded" if case.concluded is None else "nobody has said when its act ended"
        raise Refused(what, code="not-concluded", hint="`mediad case conclude --act-ended TIME` first")
    before = case.archived
    said = {name: text.strip() or (getattr(before, name) if before else "") for name, text in given.items()}
    for name, text in said.items():
        if not text:
            option = "--" + name.replace("_", "-")
            raise UsageError(f"archiving wants {option}", hint="--file-number, --term, --place and --receiver")
        typed.text(text, name, 100)
    said["term"] = unicodedata.normalize("NFKC", said["term"])
    if given["term"] and said["term"] not in config.cases.terms:
        raise UsageError(f"{said['term']} is no term", hint=f"one of {'、'.join(config.cases.terms)} (cases.terms)")
    if before is not None:
        if number_key(said["file_number"]) != number_key(before.file_number):
            raise Refused(
                f"its file number is {before.file_number}", code="other-file-number", hint="a supplement keeps it"
            )
        said["file_number"] = before.file_number
    return stage.Taken(at=now, archivist=actor.person.id if actor.person else "", login=actor.login, **said)


def _filed(conn: Connection, config: Config, case: Case, taken: stage.Taken) -> Case:
    """The case with its file number, which finds it from now on."""
    if isinstance(found := checked_number(taken.file_number), Problem):
        raise UsageError(found.detail, hint="--file-number is 案卷号 or 档号")
    numbered = Numbered(FILE_NUMBER, found)
    known = any(n.key == numbered.key for n in case.numbers)
    after = case if known else replace(case, numbers=(*case.numbers, numbered))
    work.possible(conn, config, after)
    return after


def manifest(ledger: Ledger, config: Config, number: str, *, supplement: int = 0) -> dict[str, Any]:
    """A manifest of a case as it lies in the vault, if it is still the one that was recorded; the newest, or one by its number.
    Raises NotFound, IntegrityError."""
    with ledger.catalog.read() as conn:
        case = case_of(conn, number)
        rows = [row for row in casework.archives(conn, case.id) if supplement in (0, row.number)]
    if not rows:
        raise NotFound(f"{number} has no such archive", hint="`mediad case archive` makes it")
    try:
        data = read_first_vault(config, rows[-1].key)
    except NotFound as e:
        hint = "put it back from a backup and run `mediad fsck`; `mediad case archive` makes a supplement that does without it"
        raise NotFound(e.message, hint=hint) from None
    if Digest.sha256(data).hex != rows[-1].sha256:
        raise IntegrityError(
            f"{rows[-1].key} is not the manifest whose digest stands in the custody log",
            hint="keep it and run `mediad fsck`",
        )
    return {**json.loads(data), "sha256": rows[-1].sha256, "key": rows[-1].key}


def inventory(ledger: Ledger, config: Config, number: str, *, supplement: int = 0) -> dict[str, Any]:
    """The list by which a case file is handed over to the archive (归档移交清册)."""
    found = manifest(ledger, config, number, supplement=supplement)
    lines = manifests.inventory(found)
    return {
        "case": found["case"]["id"], "name": found["case"]["name"], "number": found["number"], "archive": found["archive"],
        "key": found["key"], "sha256": found["sha256"], "supplements": found["supplements"], "lines": lines,
        "recordings": len(found["recordings"]), "bytes": sum(line["size"] for line in lines),
    }  # fmt: skip


def inventory_page(ledger: Ledger, config: Config, number: str, *, supplement: int = 0) -> bytes:
    """The same list as a PDF to sign; the same bytes each time."""
    from mediad.edges import qr, typst

    found = manifest(ledger, config, number, supplement=supplement)
    rows = qr.rows(f"mediad:{found['case']['id']}:sha256:{found['sha256']}")
    code = {"rows": rows, "sha256": found["sha256"], "key": found["key"]}
    data = manifests.page(found, config.unit.zone, code)
    return typst.render("form", data, datetime.fromisoformat(found["archive"]["at"]))
