"""Recordings find their cases: at once, later, or by a person's hand; what a person said stands."""

import json
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediad.model.cases import Case, CaseKind, Numbered
from mediad.model.matching import Scene, match
from mediad.model.numbers import mentioned, mentions, number_key, telling
from mediad.stages.match import Outcome
from mediad.wiring import matching, registers, rules
from tests.support import Site, make_card, make_site, noise

TAKEN = datetime.fromtimestamp(1_790_000_000, UTC)
"""When the footage of these tests was taken: 2026-09-21 21:33 at the station."""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = make_site(tmp_path / "station")
    site.ingest(make_card(tmp_path / "empty", {}))
    people = [("210001", "李明"), ("210002", "王芳")]
    for number, name in people:
        registers.enter(site.config, "people", {"certificate": number, "name": name})
    return site


def footage(site: Site, folder: str = "DCIM/100MEDIA", *, officer: str = "210001", seed: int = 1) -> str:
    """One recording, by somebody, in a folder of a card; its id."""
    card = make_card(site.root / f"card-{seed}", {f"{folder}/{seed:04}.MP4": noise(3000, seed)})
    before = {r[0] for r in site.rows("SELECT id FROM recording")}
    site.ingest(card, officer=officer)
    (new,) = {r[0] for r in site.rows("SELECT id FROM recording")} - before
    return str(new)


def case(
    site: Site, number: str, *, handlers: str = "210001", days: int = 0, hours: int | None = 3, **more: str
) -> str:
    """A case that was opened so many days before the footage, and took so many hours; its id."""
    opened = TAKEN - timedelta(days=days, hours=1)
    cells = {
        "filing_number": number,
        "name": f"{number}案",
        "kind": "penalty",
        "handlers": handlers,
        "opened": opened.isoformat(),
    }
    if hours is not None:
        cells["act_ended"] = (opened + timedelta(hours=hours)).isoformat()
    plan, _ = registers.enter(site.config, "cases", {**cells, **more})
    return str(plan.changes[0].entry.id)


def work_off(site: Site) -> Outcome:
    with closing(site.open()) as station:
        rules.work_off(station)
        done = matching.work_off(station)
        station.parts.mirror()
    return done


def tags(site: Site) -> list[tuple[Any, ...]]:
    return site.rows("SELECT recording, casefile, state, by_rule FROM tag ORDER BY at, id")


def proposed(site: Site) -> list[tuple[Any, ...]]:
    return site.rows("SELECT recording, casefile, score, reasons FROM proposal ORDER BY recording, casefile")


def test_footage_within_a_short_activity_of_its_officer_is_tagged(site: Site) -> None:
    own = case(site, "立-1")
    taken = footage(site)
    assert work_off(site) == Outcome(1, 1, 0)
    assert tags(site) == [(taken, own, "set", 1)]
    detail = json.loads(site.rows("SELECT detail FROM custody WHERE kind = 'tag.set'")[0][0])
    assert (detail["score"], detail["reasons"], detail["by_rule"]) == (80, ["carrier", "short-window"], True)


def test_a_case_that_is_imported_after_the_footage_finds_it(site: Site) -> None:
    taken, of_another = footage(site), footage(site, officer="210002", seed=2)
    assert work_off(site).tagged == 0
    own = case(site, "立-1")
    work_off(site)
    assert tags(site) == [(taken, own, "set", 1)], of_another


def test_a_case_that_is_imported_later_finds_footage_whose_folder_names_it(site: Site) -> None:
    taken = footage(site, "DCIM/大金卫罚（2026）第12号", officer="")
    work_off(site)
    own = case(site, "大金卫罚〔2026〕12号", days=300, hours=5)
    work_off(site)
    assert tags(site) == [(taken, own, "set", 1)]


def test_the_folder_that_was_given_may_bear_the_number(site: Site) -> None:
    own = case(site, "大金卫罚〔2026〕12号", days=300, hours=5)
    card = make_card(site.root / "大金卫罚[2026]12号", {"1.MP4": noise(3000, 3)})
    site.ingest(card)
    work_off(site)
    assert [row[1] for row in tags(site)] == [own]


def test_an_officer_who_is_registered_later_is_the_carrier_from_then_on(site: Site) -> None:
    own = case(site, "立-1")
    taken = footage(site, officer="U-00077")
    work_off(site)
    assert tags(site) == []
    registers.enter(site.config, "people", {"certificate": "210001", "name": "李明", "device_number": "U-00077"})
    work_off(site)
    assert tags(site) == [(taken, own, "set", 1)]


def test_rival_cases_are_proposed_and_neither_is_tagged(site: Site) -> None:
    cases = sorted([case(site, "立-1"), case(site, "立-2")])
    taken = footage(site)
    assert work_off(site) == Outcome(1, 0, 1)
    assert tags(site) == []
    assert proposed(site) == [(taken, each, 80, "carrier,short-window") for each in cases]
    assert site.run("fsck").returncode == 0


def test_a_long_case_is_proposed_and_not_tagged(site: Site) -> None:
    own = case(site, "立-1", days=40, hours=None)
    taken = footage(site)
    work_off(site)
    assert proposed(site) == [(taken, own, 55, "carrier,window")]


def test_a_rule_that_knows_better_supersedes_its_own_tag_and_edits_none(site: Site) -> None:
    first = case(site, "立-1")
    taken = footage(site, "DCIM/大金卫罚〔2026〕12号")
    work_off(site)
    named = case(site, "大金卫罚〔2026〕12号", days=90)
    work_off(site)
    assert sorted(tags(site)) == sorted([(taken, first, "superseded", 1), (taken, named, "set", 1)])
    assert site.run("fsck").returncode == 0


# --- pure ---------------------------------------------------------------------------------------------------------------

TEXTS = st.text("大金卫罚第号〔〕[]()-/ _abJC0123456789", max_size=40)


@given(TEXTS, TEXTS)
def test_what_a_text_could_hold_is_what_it_mentions(text: str, number: str) -> None:
    key = number_key(number)
    assert (key in mentioned(text)) == (telling(key) and mentions(text, key))


@given(TEXTS, st.integers(0, 39), st.integers(1, 40))
def test_a_number_within_a_text_is_found_exactly_where_it_is_mentioned(text: str, start: int, length: int) -> None:
    key = number_key(number_key(text)[start : start + length])
    assert (key in mentioned(text)) == (telling(key) and mentions(text, key))


@pytest.mark.parametrize("number", ["12", "20260921", "0921"])
def test_a_short_number_or_a_day_is_believed_from_a_sidecar_alone(number: str) -> None:
    some = Case("cas-a", "case", CaseKind.PENALTY, (Numbered("编号", number),), "案")
    scene = Scene("rec-a", TAKEN, TAKEN, texts=(number, f"{number}号"))
    assert match(scene, [some]).proposed == ()
    assert match(replace(scene, told=(number,)), [some]).clear is not None


def test_of_equal_cases_the_one_that_was_opened_nearest_is_told_first() -> None:
    far, near = (
        Case(f"cas-{n}", "case", CaseKind.PENALTY, (Numbered("编号", f"N-{n}"),), "案", handlers=frozenset({"p"}),
             opened=TAKEN - timedelta(days=n))
        for n in (1, 0)
    )  # fmt: skip
    found = match(Scene("rec-a", TAKEN, TAKEN, carrier="p"), [far, near])
    assert [m.case for m in found.proposed] == ["cas-0", "cas-1"]
