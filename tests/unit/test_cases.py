"""Cases and their limits, which recordings are theirs, and what the duty to record still wants."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediad.model import duty
from mediad.model.calendar import Calendar, days_after
from mediad.model.cases import (
    Archived,
    ArchiveRule,
    Case,
    CaseKind,
    CaseRules,
    Numbered,
    merged,
    problems,
    rulings,
    within,
)
from mediad.model.deadline import ARCHIVE, URGENT, Status
from mediad.model.duty import Activity, Happened, Level, Tagged
from mediad.model.matching import Scene, match
from mediad.model.numbers import number_key

ZONE = ZoneInfo("Asia/Shanghai")
DAY = timedelta(days=1)
H = timedelta(hours=1)
OPENED = datetime(2026, 9, 1, 1, tzinfo=UTC)
NUMBERS = (Numbered("立案号", "大金卫罚〔2026〕12号"), Numbered("检查编号", "JC-1"))
CASE = Case("cas-a", "case", CaseKind.PENALTY, NUMBERS, "某诊所案", "某诊所", frozenset({"per-li"}), opened=OPENED)
YEAR = Calendar.of([date(2026, 10, d) for d in range(1, 8)], [date(2026, 9, 27), date(2026, 10, 10)])


def local(*when: int) -> datetime:
    return datetime(*when, tzinfo=ZONE).astimezone(UTC)  # type: ignore[misc, arg-type]


# --- Article 27 and Article 8 -------------------------------------------------------------------------------------------


def due(ended: datetime, calendar: Calendar | None = None, days: int = 30) -> datetime | None:
    (ruling,) = rulings(replace(CASE, act_ended=ended), CaseRules(archive=ArchiveRule(days, calendar=calendar)), ZONE)
    assert ruling.rule == ARCHIVE
    return ruling.due_at


def test_thirty_days_count_from_the_day_after_and_end_at_midnight() -> None:
    assert due(local(2026, 3, 5, 0, 1)) == local(2026, 4, 5)
    assert due(local(2026, 3, 5, 23, 59)) == local(2026, 4, 5)


def test_a_last_day_on_a_holiday_moves_to_the_next_working_day() -> None:
    assert due(local(2026, 9, 1, 12), YEAR) == local(2026, 10, 9), "1 October moves over the holidays to the 8th, 24:00"
    assert due(local(2026, 9, 1, 12)) == local(2026, 10, 2), "the unit may switch that off"


def test_a_weekend_day_that_is_worked_counts_as_it_stands() -> None:
    assert due(local(2026, 9, 10, 12), YEAR) == local(2026, 10, 11), "10 October is a Saturday that is worked"
    assert due(local(2026, 8, 28, 12), YEAR) == local(2026, 9, 28), "27 September is such a Sunday"
    assert due(local(2026, 8, 27, 12), YEAR) == local(2026, 9, 28), "the 26th is a Saturday: it moves to the 27th"


def test_a_year_whose_holidays_nobody_entered_is_a_remark() -> None:
    (ruling,) = rulings(replace(CASE, act_ended=local(2027, 3, 5)), CaseRules(archive=ArchiveRule(calendar=YEAR)), ZONE)
    assert ruling.remarks == ("calendar-unknown",)


def test_leap_days_count_and_years_end_in_between() -> None:
    assert due(local(2028, 1, 31, 12)) == local(2028, 3, 2), "the 30th day is the first of March"
    assert due(local(2028, 1, 30, 12)) == local(2028, 3, 1), "the 29th of February"
    assert due(local(2026, 12, 15, 12)) == local(2027, 1, 15)
    assert due(local(2026, 12, 31, 23)) == due(local(2026, 12, 31, 0)) == local(2027, 1, 31)


def test_another_law_may_say_otherwise_for_a_kind() -> None:
    kinds = {CaseKind.PENALTY: ArchiveRule(60, "concluded", "《某法》第X条")}
    case = replace(CASE, act_ended=local(2026, 3, 5), concluded=local(2026, 4, 1))
    (ruling,) = rulings(case, CaseRules(kinds=kinds), ZONE)
    assert (ruling.due_at, ruling.why) == (local(2026, 6, 1), "《某法》第X条")


def test_it_is_met_by_the_archivists_act() -> None:
    archived = Archived(local(2026, 4, 4, 12), "2026-0012", "30年", "A-3", "档案室", "0" * 64)
    (ruling,) = rulings(replace(CASE, act_ended=local(2026, 3, 5), archived=archived), CaseRules(), ZONE)
    assert ruling.status(local(2027, 1, 1)) is Status.MET


def test_an_urgent_case_is_reported_within_24_hours_of_its_start() -> None:
    case = replace(CASE, urgent=True)
    (ruling,) = rulings(case, CaseRules(), ZONE)
    assert (ruling.rule, ruling.due_at, ruling.status(OPENED + 25 * H)) == (URGENT, OPENED + 24 * H, Status.LATE)
    (ruling,) = rulings(replace(case, reported=OPENED + 24 * H), CaseRules(), ZONE)
    assert ruling.status(OPENED + 99 * H) is Status.MET


def test_what_began_before_the_rule_was_in_force_is_not_applicable() -> None:
    (ruling,) = rulings(replace(CASE, act_ended=local(2026, 3, 5)), CaseRules(since=local(2026, 3, 6)), ZONE)
    assert (ruling.status(local(2027, 1, 1)), ruling.reason) == (Status.NOT_APPLICABLE, "before-the-rule")
    urgent = replace(CASE, urgent=True)
    (ruling,) = rulings(urgent, CaseRules(since=OPENED + H), ZONE)
    assert (ruling.rule, ruling.reason) == (URGENT, "before-the-rule")
    (ruling,) = rulings(urgent, CaseRules(since=OPENED), ZONE)
    assert ruling.reason == "after-start", "what began in the moment it was put in force is subject to it"


def test_a_case_without_an_end_and_one_that_was_merged_have_no_limit() -> None:
    assert rulings(CASE, CaseRules(), ZONE) == []
    assert rulings(replace(CASE, act_ended=OPENED, merged_into="cas-b"), CaseRules(), ZONE) == []
    (ruling,) = rulings(replace(CASE, act_ended=OPENED, urgent=True, merged_into="cas-b"), CaseRules(), ZONE)
    assert ruling.rule == URGENT, "what was begun in an emergency is reported, whatever it became part of"


some_days = st.dates(date(2026, 1, 1), date(2027, 3, 1))
moments = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 1), timezones=st.just(UTC))


@given(moments, st.integers(0, 60), st.sets(some_days, max_size=40), st.sets(some_days, max_size=9))
def test_it_agrees_with_a_calendar_on_the_wall(ended: datetime, days: int, free: set[date], worked: set[date]) -> None:
    """Tear off a leaf a day: the first is that of the day after."""
    leaf = ended.astimezone(ZONE).date()
    for _ in range(days):
        leaf += DAY
    while leaf not in worked and (leaf.isoweekday() in (6, 7) or leaf in free):
        leaf += DAY
    found = days_after(ended, days, ZONE, Calendar.of(free, worked)).astimezone(ZONE)
    assert (found.date() - DAY, found.hour, found.minute) == (leaf, 0, 0)


# --- numbers, merging, what cannot be -----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["大金卫罚[2026]第12号", "jc-1", "ＪＣ－１"])
def test_any_of_its_numbers_finds_a_case(text: str) -> None:
    assert number_key(text) in {number.key for number in CASE.numbers}


def test_an_inspection_that_became_a_case_is_that_case_from_then_on() -> None:
    assert [merged({"a": "b", "b": "c"}, n) for n in "abcx"] == ["c", "c", "c", "x"]
    assert merged({"a": "b", "b": "a"}, "a") in "ab"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"numbers": ()}, "no-number"),
        ({"numbers": (Numbered("x", "1"), Numbered("y", "１"))}, "number-twice"),
        ({"numbers": (Numbered("x", "taken"),)}, "number-taken"),
        ({"name": "a\nb"}, "bad-name"),
        ({"act_ended": OPENED - H}, "ends-before-it-begins"),
        ({"act_ended": OPENED + 2 * H, "concluded": OPENED + H}, "ends-before-it-begins"),
        ({"reported": OPENED - H}, "ends-before-it-begins"),
        ({"opened": None, "urgent": True}, "no-start"),
        ({"merged_into": "cas-a"}, "merged-into-itself"),
    ],
)
def test_what_cannot_be_is_a_problem(change: dict[str, Any], code: str) -> None:
    assert [p.code for p in problems(replace(CASE, **change), {"TAKEN": "cas-z"}, ZONE)] == [code]
    assert not list(problems(CASE, {"TAKEN": "cas-z"}, ZONE))


def test_an_end_of_which_only_the_day_is_known_lies_not_before_a_beginning_on_it() -> None:
    opened = datetime(2026, 9, 3, 9, 30, tzinfo=ZONE)
    for day, wrong in ((2, True), (3, False), (4, False)):
        end = datetime(2026, 9, day, tzinfo=ZONE)
        for case in (
            replace(CASE, opened=opened, act_ended=end),
            replace(CASE, opened=opened, act_ended=opened, concluded=end),
        ):
            assert bool(list(problems(case, {}, ZONE))) is wrong, day
    midnight = datetime(2026, 9, 4, tzinfo=ZONE)
    assert list(problems(replace(CASE, opened=midnight, act_ended=midnight - timedelta(days=1)), {}, ZONE))
    assert not list(problems(replace(CASE, opened=opened, act_ended=opened), {}, ZONE))
    assert list(problems(replace(CASE, opened=opened, act_ended=opened - timedelta(microseconds=1)), {}, ZONE))


# --- matching -----------------------------------------------------------------------------------------------------------

SCENE = Scene("rec-a", OPENED + 2 * H, OPENED + 3 * H, "per-li")
OTHER = replace(CASE, id="cas-b", numbers=(Numbered("立案号", "大金卫罚〔2026〕13号"),))


BOTH = replace(CASE, act_ended=OPENED + 6 * H, handlers=frozenset({"per-li", "per-wang"}))
LATER = replace(SCENE, start=OPENED + 15 * H, end=OPENED + 16 * H)
TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("scene", "case", "score", "reasons"),
    [
        (replace(SCENE, texts=("JC-1",), important=True), BOTH, 100, ["number"]),
        (SCENE, BOTH, 80, ["carrier", "short-window"]),
        (SCENE, replace(BOTH, act_ended=None, concluded=OPENED + 6 * H), 80, ["carrier", "short-window"]),
        (SCENE, CASE, 55, ["carrier", "window"]),
        (LATER, BOTH, 40, ["carrier", "near"]),
        (LATER, replace(BOTH, act_ended=None, concluded=OPENED + 6 * H), 40, ["carrier", "near"]),
        (replace(SCENE, others=frozenset({"per-wang"})), BOTH, 90, ["carrier", "short-window", "co-officer"]),
        (replace(SCENE, carrier="per-x", others=frozenset({"per-wang"})), BOTH, 45, ["window", "co-officer"]),
        (replace(LATER, carrier="", others=frozenset({"per-wang"})), BOTH, 30, ["near", "co-officer"]),
        (replace(LATER, important=True), BOTH, 45, ["carrier", "near", "important"]),
    ],
)  # fmt: skip
def test_each_reason_has_its_score(scene: Scene, case: Case, score: int, reasons: list[str]) -> None:
    """As docs/cases.md has them."""
    (found,) = match(scene, [case], zone=ZONE).proposed
    assert (found.score, list(found.reasons)) == (score, reasons)


@pytest.mark.parametrize(
    ("moved", "wanted"),
    [
        ({"end": OPENED - 2 * H}, "short-window"), ({"end": OPENED - 2 * H - TICK}, "near"),
        ({"end": OPENED - 24 * H}, "near"), ({"end": OPENED - 24 * H - TICK}, None),
        ({"start": OPENED + 8 * H}, "short-window"), ({"start": OPENED + 8 * H + TICK}, "near"),
        ({"start": OPENED + 30 * H}, "near"), ({"start": OPENED + 30 * H + TICK}, None),
    ],
)  # fmt: skip
def test_the_time_of_a_case_ends_where_it_is_said_to_end(moved: dict[str, datetime], wanted: str | None) -> None:
    scene = replace(SCENE, **{"start": next(iter(moved.values())), "end": next(iter(moved.values())), **moved})
    found = match(scene, [BOTH], zone=ZONE).proposed
    assert [m.reasons[-1] for m in found] == ([wanted] if wanted else [])


def test_a_day_and_a_half_is_short_and_a_number_leads_enough_and_ten_are_proposed() -> None:
    for took, reason in ((36 * H, "short-window"), (36 * H + TICK, "window")):
        assert match(SCENE, [replace(BOTH, act_ended=OPENED + took)], zone=ZONE).proposed[0].reasons[-1] == reason
    rival = replace(BOTH, id="cas-b", numbers=())
    assert match(replace(SCENE, texts=("JC-1",)), [BOTH, rival]).clear is not None, "100 and 80"
    window = replace(rival, act_ended=None)
    assert match(SCENE, [BOTH, window]).clear is not None, "80 and 55"
    beside = replace(SCENE, others=frozenset({"per-wang"}))
    assert match(beside, [replace(BOTH, handlers=frozenset({"per-li"})), window]).clear is None, "80 and 65"
    many = [replace(rival, id=f"cas-{n:02}", opened=OPENED - n * H) for n in range(12)]
    assert [m.case for m in match(SCENE, many).proposed] == [f"cas-{n:02}" for n in range(10)]
    assert [m.case for m in match(SCENE, [replace(rival, id="cas-z"), rival]).proposed] == ["cas-b", "cas-z"]


def test_what_was_merged_twice_into_a_case_proposes_it_once_by_the_best_that_speaks_for_it() -> None:
    whole = replace(CASE, id="cas-w", numbers=(), handlers=frozenset())
    parts = [replace(BOTH, id="cas-p", numbers=()), replace(BOTH, id="cas-q", numbers=(), act_ended=None)]
    for order in (parts, parts[::-1]):
        found = match(SCENE, order, wholes=dict.fromkeys(("cas-p", "cas-q"), whole))
        assert [(m.case, m.score) for m in found.proposed] == [("cas-w", 80)]
        assert found.clear == found.proposed[0]


def test_a_number_in_a_folders_name_is_clear() -> None:
    scene = replace(SCENE, carrier="", texts=("DCIM/大金卫罚（2026）12号",))
    found = match(scene, [CASE, OTHER])
    assert found.clear is not None
    assert (found.clear.case, found.clear.reasons) == ("cas-a", ("number",))


def test_two_numbers_are_unclear() -> None:
    found = match(replace(SCENE, texts=("大金卫罚[2026]12号 大金卫罚[2026]13号",)), [CASE, OTHER])
    assert found.clear is None
    assert len(found.proposed) == 2


def test_a_handlers_recording_in_an_open_case_is_only_proposed() -> None:
    found = match(SCENE, [CASE])
    assert (found.clear, [m.case for m in found.proposed]) == (None, ["cas-a"])


def test_a_handlers_recording_during_a_short_activity_is_clear_if_it_has_no_rival() -> None:
    short = replace(CASE, act_ended=OPENED + 6 * H)
    assert match(SCENE, [short]).clear is not None
    assert match(SCENE, [short, replace(OTHER, act_ended=OPENED + 7 * H)]).clear is None


def test_a_time_that_cannot_be_true_proves_nothing() -> None:
    assert match(replace(SCENE, trusted=False), [replace(CASE, act_ended=OPENED + H)]).proposed == ()


def test_who_is_no_handler_and_what_lies_elsewhere_in_time_does_not_match() -> None:
    assert match(replace(SCENE, carrier="per-x"), [CASE]).proposed == ()
    assert match(replace(SCENE, start=OPENED - 3 * DAY, end=OPENED - 2 * DAY), [CASE]).proposed == ()
    assert match(replace(SCENE, carrier=""), [replace(CASE, handlers=frozenset({""}))]).proposed == ()


def test_what_was_merged_or_archived_takes_nothing_by_time() -> None:
    archived = replace(CASE, archived=Archived(OPENED, "1", "", "", "", ""))
    assert match(SCENE, [archived, replace(CASE, merged_into="cas-b")]).proposed == ()
    assert match(replace(SCENE, texts=("JC-1",)), [archived]).clear is not None


def test_a_look_before_the_case_was_opened_belongs_to_it() -> None:
    assert within(CASE, OPENED - 2 * H, OPENED - H, DAY)
    assert not within(CASE, OPENED - 2 * DAY, OPENED - 30 * H, DAY)


# --- the duty to record -------------------------------------------------------------------------------------------------

LEVELS = {level: Activity(level.value, "现场检查", "on-site inspection", "第十三条", level) for level in Level}


def wanting(level: Level, *, tagged: bool = False, **entered: Any) -> list[tuple[str, bool]]:
    tags = [Tagged("rec-a", level.value, {})] if tagged else []
    found = duty.check(CASE, list(LEVELS.values()), [Happened(level.value, **entered)], tags)
    return [(m.code, m.explained) for m in found]


@pytest.mark.parametrize("level", list(Level))
def test_a_recording_fulfils_every_level(level: Level) -> None:
    assert wanting(level, tagged=True) == []


@pytest.mark.parametrize(
    ("level", "entered", "found"),
    [
        (Level.REQUIRED, {}, [("not-recorded", False)]),
        (Level.REQUIRED, {"reason": "设备损坏"}, [("not-recorded", True)]),
        (Level.OR_REASON, {}, [("not-recorded", False)]),
        (Level.OR_REASON, {"reason": "涉及隐私"}, []),
        (Level.OR_REASON, {"reason": "  "}, [("not-recorded", False)]),
        (Level.OR_EQUIVALENT, {}, [("not-recorded", False)]),
        (Level.OR_EQUIVALENT, {"equivalent": "见证人签字"}, []),
        (Level.OR_EQUIVALENT, {"reason": "设备损坏"}, [("not-recorded", True)]),
        (Level.IF_DISPUTED, {}, [("disputed-unknown", False)]),
        (Level.IF_DISPUTED, {"disputed": False}, []),
        (Level.IF_DISPUTED, {"disputed": True}, [("not-recorded", False)]),
        (Level.AS_NEEDED, {}, []),
    ],
)
def test_each_level_wants_what_its_article_says(
    level: Level, entered: dict[str, Any], found: list[tuple[str, bool]]
) -> None:
    assert wanting(level, **entered) == found


def test_an_activity_that_is_expected_of_a_kind_is_missing_although_nobody_entered_it() -> None:
    expected = replace(LEVELS[Level.REQUIRED], expected=frozenset({CaseKind.PENALTY}))
    assert [m.code for m in duty.check(CASE, [expected], [], [])] == ["not-recorded"]
    assert duty.check(replace(CASE, kind=CaseKind.LICENSING), [expected], [], []) == []


def test_evidence_preservation_wants_reason_object_and_form() -> None:
    preservation = Activity("preservation", "证据保全", "evidence preservation", "第十四条", Level.AS_NEEDED,
                            fields={"reason": "启动理由", "object": "标的", "form": "形式"})  # fmt: skip
    found = duty.check(CASE, [preservation], [], [Tagged("rec-a", "preservation", {"reason": "易灭失", "form": " "})])
    assert [m.code for m in found] == ["field-missing", "field-missing"]
    assert "标的" in found[0].detail


def test_an_activity_that_nobody_configured_or_that_is_out_of_place_is_said() -> None:
    seizing = replace(LEVELS[Level.REQUIRED], kinds=frozenset({CaseKind.COMPULSION}))
    tags = [Tagged("rec-a", "required", {}), Tagged("rec-b", "dancing", {})]
    assert sorted(m.code for m in duty.check(CASE, [seizing], [], tags)) == [
        "activity-out-of-place",
        "unknown-activity",
    ]


def test_what_the_archivist_needs_before_archiving() -> None:
    assert [m.code for m in duty.before_archiving(replace(CASE, handlers=frozenset(), party="", urgent=True))] == [
        "act-not-ended", "not-concluded", "no-handler", "no-party", "not-reported",
    ]  # fmt: skip
    assert duty.before_archiving(replace(CASE, act_ended=OPENED, concluded=OPENED)) == []


def test_a_reason_has_its_own_author_and_no_other_entrys() -> None:
    said = {"void": False, "equivalent": "", "disputed": None, "fields": {}}
    own = {**said, "reason": "设备故障", "author": "", "author_login": "root"}
    merged_in = {**said, "reason": "涉及隐私", "author": "per-w", "author_login": "wang", "fields": {"form": "录像"}}
    found = duty.together([own, merged_in])
    assert found is not None
    assert (found["reason"], found["author"], found["author_login"]) == ("设备故障", "", "root")
    assert found["fields"] == {"form": "录像"}, "what one does not say, the next may"
    found = duty.together([{**own, "reason": "", "author_login": ""}, merged_in])
    assert found is not None
    assert (found["reason"], found["author"]) == ("涉及隐私", "per-w")
    assert duty.together([{**own, "void": True}]) is None
