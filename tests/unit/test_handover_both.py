"""Both sign: the receiver makes the record, who handed over signs it later; each signature is a further file."""

import json
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mediad.catalog import handovers
from mediad.catalog.bureau import people as bureau_of
from mediad.errors import IntegrityError, Refused
from mediad.model.custody import Draft
from mediad.model.deadline import SIGNATURE
from mediad.model.instants import stamp
from mediad.model.people import Dated
from mediad.model.registers import person_json
from mediad.wiring.bureau import handover, handover_register, typed
from mediad.wiring.bureau.rules import rules_of, shown, work_off
from tests.audit_support import fsck
from tests.bureau import CHINA, File, H, at, bodies, open_bureau
from tests.handover_support import acts_as, bureau, dock, text_of
from tests.support import Site, sha256
from tests.unit.test_handover_signed import broken_and_continued, refused, state


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = bureau(tmp_path / "station")
    acts_as(monkeypatch, "wangfang")
    return site


def folder(site: Site, told: dict[str, Any]) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in (site.vault / Path(told["record"]["key"]).parent).iterdir()}


def test_who_handed_over_signs_the_receivers_record_by_a_further_file(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    docking = dock(site, "DSJ-1")
    (first,) = handover.sign_all(site.config, [docking])
    before = folder(site, first)
    acts_as(monkeypatch, "liming")
    (told,) = handover.sign_all(site.config, [docking])
    assert (told["as"], told["giver"], told["version"], first["as"]) == ("giver", "李明", 1, "receiver")
    after = folder(site, told)
    assert {name: after[name] for name in before} == before, "nothing is rewritten"
    assert after.keys() - before.keys() == {"record-1-giver-1.json", "record-1-giver-1.pdf"}
    signature = json.loads(after["record-1-giver-1.json"])
    assert signature["record"] == {"key": first["record"]["key"], "sha256": sha256(before["record-1.json"])}
    assert (signature["signer"]["certificate"], signature["login"]) == ("LN0001", "liming")
    text = text_of(handover.page(site.config, docking))
    assert "李明已于" in text and "王芳已于" in text
    assert sha256(before["record-1.json"]) in text, "the code is that of the record that both signed"
    ((actor, detail),) = site.rows("SELECT actor, detail FROM custody WHERE kind = 'handover.countersigned'")
    assert (actor, json.loads(detail)["countersigned"]["page"]) == ("liming", told["page"])
    assert state(site, docking) == ("signed", 1)
    assert site.rows("SELECT signed_at FROM handover") == [(first["confirmed_at"],)], "the receiver's time stays"
    report = fsck(site)
    assert (report.findings, report.counts["signed"]) == ([], 4)
    month = first["confirmed_at"][:7]
    rows = handover_register.register_of(site.config, month)
    assert rows[0]["giver_signed_at"] == told["confirmed_at"]
    assert "双方已签" in handover_register.csv_of(site.config, rows).decode("utf-8-sig")


def test_each_signs_once_in_that_order_and_nobody_for_another(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    docking = dock(site, "DSJ-1")
    acts_as(monkeypatch, "liming")
    assert "receiver signs first" in refused("not-receiver", site.config, [docking]).hint
    acts_as(monkeypatch, "wangfang")
    handover.sign_all(site.config, [docking], giver="LN0003")
    refused("signed-already", site.config, [docking])
    for login in ("liming", "duty", "stranger", "root"):  # the carrier on whose behalf it was is not who handed over
        acts_as(monkeypatch, login)
        refused("signed-already", site.config, [docking])
    acts_as(monkeypatch, "zhaoqiang")
    refused("not-receiver", site.config, [docking], why="更正")  # who handed over corrects nothing
    (told,) = handover.sign_all(site.config, [docking])
    assert (told["as"], told["giver"]) == ("giver", "赵强")
    refused("signed-already", site.config, [docking])


def test_a_correction_wants_the_signature_of_who_handed_over_anew(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    docking = dock(site, "DSJ-1")
    handover.sign_all(site.config, [docking])
    acts_as(monkeypatch, "liming")
    handover.sign_all(site.config, [docking])
    acts_as(monkeypatch, "wangfang")
    handover.sign_all(site.config, [docking], why="补正")
    assert "李明已于" not in text_of(handover.page(site.config, docking))
    acts_as(monkeypatch, "liming")
    (told,) = handover.sign_all(site.config, [docking])
    assert Path(told["record"]["key"]).name == "record-2-giver-1.json"
    assert fsck(site).findings == []
    wanted = site.rows("SELECT * FROM handover")
    site.lose_catalogue()
    assert site.run("rebuild").returncode == 0
    assert site.rows("SELECT * FROM handover") == wanted


def test_a_record_that_is_not_what_was_signed_is_signed_by_nobody_else(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    docking = dock(site, "DSJ-1")
    (told,) = handover.sign_all(site.config, [docking])
    record = site.vault / told["record"]["key"]
    record.chmod(0o640)
    record.write_bytes(record.read_bytes().replace("李明".encode(), "赵强".encode()))
    acts_as(monkeypatch, "liming")
    with pytest.raises(IntegrityError):
        handover.sign_all(site.config, [docking])


def test_a_tampered_or_missing_signature_is_found(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    docking = dock(site, "DSJ-1")
    handover.sign_all(site.config, [docking])
    acts_as(monkeypatch, "liming")
    (told,) = handover.sign_all(site.config, [docking])
    signature = site.vault / told["record"]["key"]
    whole = signature.read_bytes()
    signature.chmod(0o640)
    signature.write_bytes(whole.replace(b"liming", b"nobody"))
    assert "handover-differs" in {f.code for f in fsck(site).findings}
    signature.unlink()
    assert [(f.code, f.subject) for f in fsck(site).findings] == [("handover-missing", docking)]


def test_who_carried_it_stays_so_when_more_of_it_is_docked(site: Site) -> None:
    """What the receiver said of the first part, against what came with the docking, holds for the continuation."""

    def sign(first: str) -> None:
        handover.sign_all(site.config, [first], giver="LN0003", on_behalf_of="LN0003")

    first, _ = broken_and_continued(site, between=sign)
    (told,) = handover.sign_all(site.config, [first])
    assert (told["giver"], told["on_behalf_of"], told["version"]) == ("赵强", None, 2)


def test_a_page_is_printed_although_the_named_receiver_is_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number that has run out keeps nobody from signing on paper; in the system it is said."""
    site = bureau(tmp_path / "station", receiver='receiver = "LN9999"')
    docking = dock(site, "DSJ-1")
    assert "未签" in text_of(handover.page(site.config, docking))
    acts_as(monkeypatch, "wangfang")
    with pytest.raises(Refused, match="nobody's number"):
        handover.sign_all(site.config, [docking])


# --- the register ------------------------------------------------------------------------------------------------------------


def test_the_register_names_the_certificate_of_the_day_of_signing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    docking = dock(site, "DSJ-1")
    (told,) = handover.sign_all(site.config, [docking])
    signed = datetime.fromisoformat(told["confirmed_at"])
    day = signed.astimezone(site.config.unit.zone).date()
    with closing(site.open()) as station:
        with station.ledger.catalog.read() as conn:
            li = next(p for p in bureau_of(conn) if p.name == "李明")
        renewed = replace(li, certificates=(Dated("LN0001", until=day), Dated("LN0009", start=day + timedelta(days=1))))
        station.ledger.record([Draft("person.registered", li.id, person_json(renewed))])
    monkeypatch.setattr("mediad.wiring.station.now", lambda: signed + timedelta(days=3))
    (row,) = handover_register.register_of(site.config, f"{day:%Y-%m}")
    assert row["giver"]["certificate"] == "LN0001", "as on the page"


def test_a_month_is_the_units_and_what_goes_on_in_the_next_one_is_of_the_month_in_which_it_began(
    tmp_path: Path,
) -> None:
    with open_bureau(tmp_path) as made:
        made.recorder("A")

        def dock_at(when: str, **more: Any) -> str:
            return made.dock("A", at(when), File(when, at(when) - H), **more)

        october, first = dock_at("2026-10-31 23:59"), dock_at("2026-11-01 00:00")
        broken = dock_at("2026-11-30 23:58", done="interrupted")
        dock_at("2026-12-01 00:00", continues=broken)
        december = dock_at("2026-12-01 00:10")
        for month, wanted in (("2026-10", [october]), ("2026-11", [first, broken]), ("2026-12", [december])):
            bounds = typed.month(month, CHINA)
            with made.ledger.catalog.read() as conn:
                found = handovers.begun(conn, stamp(bounds.start), stamp(bounds.end))
            assert [h.docking for h in found] == wanted


# --- what was docked before anybody asked for signatures -------------------------------------------------------------------


def test_what_was_over_before_the_station_asked_for_signatures_is_late_for_nobody(site: Site) -> None:
    """A station that is upgraded has many dockings that nobody signed; its rules begin with its first start."""
    old = dock(site, "DSJ-1")
    ((closed,),) = site.rows("SELECT since FROM handover")
    begins = datetime.fromisoformat(closed) + timedelta(days=3, microseconds=1)
    with closing(site.open()) as station:
        station.ledger = replace(station.ledger, clock=lambda: begins)
        work_off(station)
    new = dock(site, "DSJ-2")
    with closing(site.open()) as station, station.ledger.catalog.read() as conn:
        rules, later = rules_of(conn, site.config), begins + timedelta(days=30)
        late = [row["subject"] for row in shown(conn, rules, later) if row["rule"] == SIGNATURE]
        assert late == [new]
        assert [h.docking for h in handover.waiting(conn, site.config)] == [new]
        assert {subject for rule, subject in bodies(conn) if rule == SIGNATURE} <= {new}
    assert [s["handover"] for s in handover.sign_before(site.config, later)[0]] == [new]
    assert handover.sign_all(site.config, [old])[0]["version"] == 1, "it may be signed all the same"
    with closing(site.open()) as station:
        work_off(station)
        with station.ledger.catalog.read() as conn:
            assert (SIGNATURE, old) not in bodies(conn), "and wants no reason for being late"
