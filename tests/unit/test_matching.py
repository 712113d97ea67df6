"""Recordings find their cases: at once, later, or by a person's hand; what a person said stands."""

import json
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, event

from mediad.catalog import bureau_tables
from mediad.catalog import tags as catalog_tags
from mediad.errors import Refused
from mediad.model.cases import Case, CaseKind, Numbered
from mediad.model.custody import Draft
from mediad.model.matching import Match, Matched, Scene, doubtful, match, naming
from mediad.model.numbers import beginnings, mentioned, mentions, number_key, telling
from mediad.stages.match import Outcome
from mediad.wiring.bureau import casework, filing, matching, registers, rules, spoken, tagging
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


def test_a_recording_of_which_a_person_says_when_it_was_finds_its_case(site: Site) -> None:
    """Its recorder's clock had told nonsense, and its carrier is who it was."""
    own = case(site, "立-1")
    card = make_card(site.root / "card", {"DCIM/1.MP4": noise(3000, 1)}, mtime_ns=946_684_800 * 10**9)
    site.ingest(card, officer="210001")
    work_off(site)
    assert tags(site) == []
    ((taken,),) = site.rows("SELECT id FROM recording")
    spoken.set_time(site.config, taken, TAKEN, None, "值班记录", "时钟错误")
    work_off(site)
    assert tags(site) == [(taken, own, "set", 1)]


def test_who_carried_what_has_no_true_time_is_asked_of_the_day_that_a_person_said(site: Site) -> None:
    """The number was borne then, and not on the day of the docking."""
    borne = {"from": "2026-09-01", "until": "2026-10-15"}
    registers.enter(site.config, "people", {"certificate": "310001", "name": "赵强", **borne})
    card = make_card(site.root / "card", {"DCIM/1.MP4": noise(3000, 1)}, mtime_ns=946_684_800 * 10**9)
    site.ingest(card)
    ((taken,),) = site.rows("SELECT id FROM recording")
    spoken.set_time(site.config, taken, TAKEN, None, "值班记录", "时钟错误")
    spoken.carry(site.config, taken, "310001", [], "")
    with pytest.raises(Refused, match="nobody's number"):
        spoken.carry(site.config, taken, "310009", [], "")


def test_a_co_officer_that_is_named_later_counts_and_never_decides_alone(site: Site) -> None:
    own = case(site, "立-1", handlers="210002")
    taken = footage(site)
    work_off(site)
    assert (tags(site), proposed(site)) == ([], [])
    spoken.carry(site.config, taken, "210001", ["210002"], "一同检查")
    work_off(site)
    assert proposed(site) == [(taken, own, 45, "window,co-officer")]
    later = case(site, "立-2", handlers="210002")
    work_off(site)
    assert {row[1] for row in proposed(site)} == {own, later}, "a case that comes later finds it as well"


def test_an_inspection_that_was_merged_still_finds_its_footage_and_it_is_the_cases(site: Site) -> None:
    inspection = case(site, "检-2026-0001", kind="inspection")
    whole = case(site, "立-1", handlers="210002", days=200)
    casework.merge(site.config, "检-2026-0001", "立-1")
    by_time, by_number = footage(site), footage(site, "DCIM/检-2026-0001", officer="", seed=2)
    work_off(site)
    assert sorted(tags(site)) == sorted([(by_time, whole, "set", 1), (by_number, whole, "set", 1)]), inspection


def test_what_is_proposed_for_an_inspection_is_proposed_for_the_case_that_takes_it_over(site: Site) -> None:
    case(site, "检-1", kind="inspection", hours=None)
    whole = case(site, "立-1", handlers="210002", days=200)
    taken = footage(site)
    work_off(site)
    casework.merge(site.config, "检-1", "立-1")
    work_off(site)
    assert [row[:2] for row in proposed(site)] == [(taken, whole)]
    tagging.dismiss(site.config, [taken])
    work_off(site)
    assert (tags(site)[0][2], proposed(site)) == ("dismissed", []), "that is said of the whole"


def test_a_rival_that_comes_later_lets_a_person_decide(site: Site) -> None:
    """Whichever of the two is imported first."""
    first = case(site, "立-1")
    taken = footage(site)
    work_off(site)
    second = case(site, "立-2")
    work_off(site)
    assert tags(site) == [(taken, first, "set", 1)]
    assert sorted(row[1] for row in proposed(site)) == sorted([first, second])
    before = site.rows("SELECT count(*) FROM custody")
    registers.enter(site.config, "people", {"certificate": "210001", "name": "李明", "device_number": "U-1"})
    work_off(site)
    assert site.rows("SELECT count(*) FROM custody")[0][0] == before[0][0] + 1, "to look again finds nothing new"
    tagging.accept(site.config, [taken], case="立-2")
    assert sorted(row[1:3] for row in tags(site)) == sorted([(first, "superseded"), (second, "set")])


def test_the_rule_takes_its_tag_back_when_nothing_speaks_for_it_any_more(site: Site) -> None:
    own = case(site, "立-1")
    taken = footage(site)
    work_off(site)
    registers.enter(
        site.config, "cases", {"filing_number": "立-1", "name": "案", "kind": "penalty", "handlers": "210002"}
    )
    work_off(site)
    assert tags(site) == [(taken, own, "lapsed", 1)]
    assert site.rows("SELECT recording FROM untagged") == [(taken,)]
    registers.enter(
        site.config, "cases", {"filing_number": "立-1", "name": "案", "kind": "penalty", "handlers": "210001"}
    )
    work_off(site)
    assert [row[1:] for row in tags(site)] == [(own, "lapsed", 1), (own, "set", 1)], "nobody said that it is not of it"
    assert site.run("fsck").returncode == 0


def test_what_was_joined_of_two_that_the_rule_had_tagged_is_of_one_case(site: Site) -> None:
    named, near = case(site, "大金卫罚〔2026〕12号", days=90), case(site, "立-1")
    first, second = footage(site, "DCIM/大金卫罚〔2026〕12号"), footage(site, seed=2)
    work_off(site)
    assert {row[0]: row[1] for row in tags(site)} == {first: named, second: near}
    assets = [row[0] for row in site.rows("SELECT id FROM asset ORDER BY stored_at")]
    with closing(site.open()) as station:
        joined = {"absorbed": [second], "assets": assets, "gaps": [], "remarks": []}
        station.ledger.record([Draft("recording.joined", first, joined)])
        station.parts.mirror()
    work_off(site)
    assert [row[:2] for row in tags(site) if row[2] == "set"] == [(first, named)]
    assert sorted(row[2] for row in tags(site)) == ["set", "superseded", "superseded"]


def test_a_persons_tag_and_that_of_an_archived_case_are_never_taken_back(site: Site) -> None:
    case(site, "立-1"), case(site, "立-2", handlers="210002", days=90)
    by_rule, by_person = footage(site), footage(site, officer="210002", seed=2)
    work_off(site)
    tagging.tag(site.config, [by_person], tagging.Wanted("立-1"))
    casework.conclude(site.config, "立-1", at=TAKEN + timedelta(days=1), act_ended=None)
    filing.archive(site.config, "立-1", file_number="DA-1", term="10年", place="A", receiver="b")
    registers.enter(
        site.config, "cases", {"filing_number": "立-1", "name": "案", "kind": "penalty", "handlers": "210002"}
    )
    work_off(site)
    assert {row[0]: row[2] for row in tags(site)} == {by_rule: "set", by_person: "set"}
    case(site, "立-3", days=40, hours=None)
    work_off(site)
    assert proposed(site) == [], "another case of the officer says nothing of what is archived"


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


@given(TEXTS, st.integers(0, 39), st.integers(1, 40))
def test_a_number_that_is_mentioned_begins_where_a_number_may_begin(text: str, start: int, length: int) -> None:
    key = number_key(number_key(text)[start : start + length])
    begun = any(part.startswith(key) for part in beginnings(text))
    assert begun or not mentions(text, key)
    assert len(beginnings(text)) <= len(number_key(text))


def test_a_case_that_comes_later_asks_an_index_who_mentions_it_and_not_every_mention() -> None:
    engine = create_engine("sqlite://")
    some = (bureau_tables.proposal, bureau_tables.mention, bureau_tables.mention_part)
    bureau_tables.metadata.create_all(engine, tables=some)
    texts = {
        "rec-a": "大金卫罚[2026]12号",
        "rec-b": "9月大金卫罚[2026]12号-2",
        "rec-c": "大金卫罚[2026]123号",
        "rec-d": "12",
        "rec-e": "A12",
    }
    said: list[str] = []
    with engine.begin() as conn:
        catalog_tags.note(conn, {}, {name: {text} for name, text in texts.items()})
        catalog_tags.note(conn, {"rec-a": []}, {"rec-e": set(), "rec-a": {texts["rec-a"]}})  # matched once more
        event.listen(engine, "before_cursor_execute", lambda *given: said.append(given[2]))
        asked = {
            key: catalog_tags.recordings_that_mention(conn, [key])
            for key in ("大金卫罚[2026]12号", "金卫罚[2026]12", "12", "卫罚[20")
        }
        one = next(statement for statement in said if "mention_part" in statement).replace("?", "'x'")
        plan = [row[-1] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}")]
    assert asked == {
        "大金卫罚[2026]12号": {"rec-a", "rec-b"}, "金卫罚[2026]12": {"rec-a", "rec-b", "rec-c"}, "12": {"rec-d"},
        "卫罚[20": {"rec-a", "rec-b", "rec-c"},
    }, "what goes on with more digits falls out when it is matched"  # fmt: skip
    assert plan
    assert all(step.startswith("SEARCH") for step in plan), plan


def test_a_text_holds_no_part_of_a_longer_number_nor_of_a_word() -> None:
    assert "JC-2026-1" in mentioned("现场JC-2026-1检查") & beginnings("JC-2026-1")
    assert "JC-2026-1" not in mentioned("JC-2026-12") | mentioned("AJC-2026-1") | beginnings("AJC-2026-1")
    assert "2026-1-A" not in mentioned("12026-1-A") | mentioned("2026-1-AB") | beginnings("12026-1-A")
    assert mentioned("1-23") == {"1-23"} and mentioned("1-2") == mentioned("20260921") == frozenset()
    assert max(map(len, mentioned("第" * 300))) == max(map(len, beginnings("第" * 300))) == 100


@pytest.mark.parametrize("number", ["12", "20260921", "0921", "A-1"])
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


def timed(case_id: str, opened: datetime, hours: float = 2, **more: Any) -> Case:
    numbers = more.pop("numbers", (Numbered("编号", f"NR-{case_id}"),))
    ended = opened + timedelta(hours=hours)
    return Case(case_id, "case", CaseKind.INSPECTION, numbers, "案", handlers=frozenset({"p"}), opened=opened,
                act_ended=ended, **more)  # fmt: skip


SEEN = Scene("rec-a", TAKEN, TAKEN, carrier="p")


def test_the_inspection_of_the_day_is_clear_beside_those_of_the_days_before_and_after() -> None:
    days = [timed(f"cas-{n}", TAKEN + timedelta(days=n, hours=-1)) for n in (-1, 0, 1)]
    found = match(SEEN, days)
    assert found.clear is not None
    assert (found.clear.case, found.clear.reasons) == ("cas-0", ("carrier", "short-window"))
    assert match(SEEN, [days[0], days[2]]).clear is None, "what is only near is never clear"
    assert [m.reasons for m in match(SEEN, days[:1]).proposed] == [("carrier", "near")]


def test_of_an_end_of_which_only_the_day_is_known_the_whole_day_counts() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    midnight = TAKEN.astimezone(zone).replace(hour=0, minute=0, second=0)
    of_that_day = timed("cas-a", midnight.astimezone(UTC), 0)
    assert match(SEEN, [of_that_day], zone=zone).clear is not None
    assert match(SEEN, [of_that_day]).clear is None, "elsewhere it is no midnight"


def test_a_number_that_is_the_beginning_of_another_one_there_is_not_named() -> None:
    short, long = (timed(f"cas-{n}", TAKEN - timedelta(days=99), numbers=(Numbered("编号", n),))
                   for n in ("JC-2026-1", "JC-2026-1-3"))  # fmt: skip
    for text, named in (("JC-2026-1-3现场", {long.id}), ("JC-2026-1", {short.id}), ("JC-2026-1-3 JC-2026-1", {long.id, short.id}),
                        ("JC-2026-12", set()), ("JC-2026-1-31", {short.id})):  # fmt: skip
        scene = Scene("rec-a", TAKEN, TAKEN, texts=(text,))
        assert {m.case for m in match(scene, [short, long]).proposed} == named, text
    assert match(Scene("r", TAKEN, TAKEN, told=("JC-2026-1",)), [short, long]).clear is not None


@given(st.lists(TEXTS, max_size=3), st.lists(TEXTS, max_size=4))
def test_the_longest_number_that_stands_there_is_always_named(texts: list[str], numbers: list[str]) -> None:
    keys = {number_key(n) for n in numbers}
    scene = Scene("rec-a", TAKEN, TAKEN, texts=tuple(texts))
    named = naming(scene, keys)
    could = {key for key in keys if telling(key) and any(mentions(text, key) for text in texts)}
    assert named <= could
    assert bool(named) == bool(could)
    assert max(map(len, named), default=0) == max(map(len, could), default=0)


def test_what_a_recorder_marked_decides_nothing_by_itself() -> None:
    long = timed("cas-a", TAKEN - timedelta(days=20), 24 * 40)
    for important in (False, True):
        scene = replace(SEEN, important=important, others=frozenset({"p"}))
        assert match(scene, [long]).clear is None
        assert match(replace(scene, carrier="x", others=frozenset()), [long]).proposed == ()


def test_cases_that_were_merged_in_a_circle_take_nothing() -> None:
    circle = [timed("cas-a", TAKEN, merged_into="cas-b"), timed("cas-b", TAKEN, merged_into="cas-a")]
    assert match(SEEN, circle).proposed == ()


@pytest.mark.parametrize(
    ("scores", "ours", "asked"),
    [
        ({"a": 80, "b": 55}, {"a"}, False),
        ({"a": 80, "b": 80}, {"a"}, True),
        ({"a": 55}, {"a"}, True),
        ({"b": 55}, {"a"}, True),
        ({}, {"a"}, True),
        ({"a": 100, "b": 100}, {"a", "b"}, False),
        ({"b": 100}, {"a"}, False),
    ],
)
def test_a_person_is_asked_of_what_the_rule_had_taken_for_clear_and_is_not(
    scores: dict[str, int], ours: set[str], asked: bool
) -> None:
    ranked = tuple(Match(case, points, ()) for case, points in sorted(scores.items(), key=lambda s: -s[1]))
    clear = (
        ranked[0] if scores in ({"a": 80, "b": 55}, {"b": 100}) else None
    )  # what is clear is tagged, and nobody is asked
    assert doubtful(Matched(clear, ranked), ours) == asked
