"""What is told to whom and when: nothing twice, nothing in a quiet time, nothing missed; and words that name nobody."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediad.model import telling
from mediad.model.deadline import ARCHIVE, RECORDER, STORAGE
from mediad.model.people import Person, Role
from mediad.model.telling import Notice, Quiet, Telling, Topic, due, known, message

SHANGHAI = ZoneInfo("Asia/Shanghai")
BEGIN = datetime(2026, 11, 20, tzinfo=UTC)
HOUR, MINUTE, DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(days=1)
LOUD = Quiet((), SHANGHAI)
NIGHT = Quiet(((time(21), time(7)),), SHANGHAI)


def person(n: int, *roles: Role, department: str = "", active: bool = True) -> Person:
    return Person(f"per-{n}", str(n), f"人{n}", department, frozenset(roles), active=active, mail=f"p{n}@example.org")


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).astimezone(UTC)


def rules(quiet: Quiet = LOUD, after_days: int = 3) -> Telling:
    return Telling((4 * HOUR, HOUR), after_days, quiet)


def topic(
    limit: datetime, subject: str = "rec-1", state: str = "waiting", persons: tuple[str, ...] = ("per-1",)
) -> Topic:
    return Topic(STORAGE, subject, state, limit, frozenset(persons), label="B-07", at=limit - DAY)


# --- over random times ----------------------------------------------------------------------------------------------------

minutes = st.integers(0, 3 * 1440)
clocks = st.builds(time, st.integers(0, 23), st.sampled_from([0, 10, 30, 59]))
zones = st.sampled_from([SHANGHAI, ZoneInfo("Europe/Berlin"), ZoneInfo("America/St_Johns")])
begins = st.sampled_from([BEGIN, *(datetime(2026, m, d, tzinfo=UTC) for m, d in ((3, 7), (3, 28), (10, 24), (10, 31)))])
"""An ordinary day, and those before which a clock is changed in one of the zones."""


def leaves_some(times: list[tuple[time, time]]) -> bool:
    taken = set()
    for start, end in times:
        first, last = start.hour * 60 + start.minute, end.hour * 60 + end.minute
        taken |= {m % 1440 for m in range(first, last if last > first else last + 1440)}
    return len(taken) < 1440 - 120  # an hour that a change of the clock takes away is not all that is left


quiets = st.builds(
    lambda times, zone: Quiet(tuple(times), zone),
    st.lists(st.tuples(clocks, clocks), max_size=3).filter(leaves_some), zones,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    quiet=quiets,
    begin=begins,
    limits=st.lists(minutes, min_size=1, max_size=5),
    known_after=st.lists(st.integers(-3000, 1440), min_size=5, max_size=5),
    gaps=st.lists(st.integers(3, 13), min_size=1, max_size=20),
)
def test_every_step_is_told_once_never_in_a_quiet_time_and_what_is_due_in_one_before_it(
    quiet: Quiet, begin: datetime, limits: list[int], known_after: list[int], gaps: list[int]
) -> None:
    """The station looks every few minutes for five days; for each step it is worked out here by when it has to be told."""
    of, people = rules(quiet, after_days=1), {"per-1": person(1)}
    topics = [
        (topic(begin + m * MINUTE, f"rec-{n}"), begin + (m + known_after[n]) * MINUTE) for n, m in enumerate(limits)
    ]
    rows: list[tuple[str, str, str, str, int]] = []
    told: list[tuple[datetime, Notice]] = []
    looks: list[datetime] = []
    now, n = begin, 0
    while now < begin + 5 * DAY:
        looks.append(now)
        here = [each for each, since in topics if since <= now]
        for who, notices in due(here, of, people, {w: known(rows).get(w, {}) for w in people}, now).items():
            for notice in notices:
                told.append((now, notice))
                rows.append((who, *notice.topic.key, notice.step))
        now += gaps[n % len(gaps)] * MINUTE
        n += 1
    keys = [(notice.topic.key, notice.step) for _, notice in told]
    assert len(keys) == len(set(keys))
    assert not any(quiet.within(at) for at, _ in told)
    for each, since in topics:
        mine = [(at, notice.step) for at, notice in told if notice.topic == each]
        assert [step for _, step in mine] == sorted(step for _, step in mine)  # never back
        for step in (-240, -60, 0, 1440):
            at = max(each.limit + step * MINUTE, since)
            first = min(when for when, s in mine if s >= step)
            by = next(
                look for look in looks if look >= at and not quiet.within(look)
            )  # the first look that may tell it
            assert first <= by
            if quiet.within(at) and any(at - 24 * HOUR <= look < at and not quiet.within(look) for look in looks):
                begins = max((look for look in looks if look < at and not quiet.within(look)), default=None)
                if begins is not None and since <= begins - 13 * MINUTE:  # it was known before the quiet time began
                    assert first <= begins


@given(quiet=quiets, begin=begins, at=minutes)
def test_whatever_a_clock_shows_in_a_quiet_time_is_quiet(quiet: Quiet, begin: datetime, at: int) -> None:
    """Also in the hour that comes twice, and around the one that never comes."""
    shown = (begin + at * MINUTE).astimezone(quiet.zone).time()
    if any(start <= shown < end if start < end else not end <= shown < start for start, end in quiet.times):
        assert quiet.within(begin + at * MINUTE)


@given(quiet=quiets, begin=begins, at=minutes, later=st.integers(0, 1440))
def test_a_step_that_has_come_stays_so(quiet: Quiet, begin: datetime, at: int, later: int) -> None:
    of, it = rules(quiet), topic(begin + DAY)
    first, second = begin + at * MINUTE, begin + (at + later) * MINUTE
    if quiet.within(first) or quiet.within(second):
        return
    assert first <= quiet.reach(first) <= quiet.reach(second)
    before, after = of.step(it, first, quiet.reach(first)), of.step(it, second, quiet.reach(second))
    if before is not None and second < it.limit + 4 * DAY:
        assert after is not None and before <= after


@pytest.mark.parametrize("times", [(time(2, 50), time(3, 10)), (time(22), time(2, 30)), (time(2, 10), time(2, 50))])
def test_a_quiet_time_over_a_change_of_the_clock_holds_and_ends(times: tuple[time, time]) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    quiet = Quiet((times,), berlin)
    for change in (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)):
        around = [change + n * MINUTE for n in range(-180, 180)]
        assert all(now <= quiet.reach(now) for now in around if not quiet.within(now))
        shown = [now for now in around if not quiet.within(now)]
        assert len(shown) > 60, "it is no longer than that"
    assert quiet.within(datetime(2026, 10, 25, 1, 15, tzinfo=UTC)), "the second time that it is 02:15"


# --- by example ------------------------------------------------------------------------------------------------------------


def told_at(of: Telling, it: Topic, *looks: datetime) -> list[tuple[int, int]]:
    """Which look told which step."""
    rows: list[tuple[str, str, str, str, int]] = []
    found = []
    for n, now in enumerate(looks):
        for notice in due([it], of, {"per-1": person(1)}, known(rows), now).get("per-1", []):
            rows.append(("per-1", *notice.topic.key, notice.step))
            found.append((n, notice.step))
    return found


def test_a_limit_is_told_four_hours_and_one_hour_before_at_it_and_then_daily() -> None:
    limit = local("2026-11-25 15:00")
    looks = [limit + n * HOUR for n in (-5, -4, -3, -1, 0, 1, 24, 25, 48, 72, 96, 97)]
    assert told_at(rules(), topic(limit), *looks) == [(1, -240), (3, -60), (4, 0), (6, 1440), (8, 2880), (9, 4320)]


def test_what_is_due_at_night_goes_out_before_the_night_with_the_words_of_then() -> None:
    of = rules(NIGHT)
    limit = local("2026-11-26 02:00")
    evening = local("2026-11-25 20:50")
    assert told_at(of, topic(limit), local("2026-11-25 20:30"), evening, local("2026-11-25 23:00")) == [(1, 0)]
    (said,) = due([topic(limit)], of, {"per-1": person(1)}, {}, evening).values()
    text = message("卫监所", "hq-01", said, evening, SHANGHAI).text
    assert "将到期" in text
    assert "2026-11-26 02:00（还有 5 小时 10 分）" in text


def test_a_pause_too_short_to_tell_anybody_in_is_none() -> None:
    """What is due after it goes out before both."""
    of = rules(Quiet(((time(21), time(23, 50)), (time(0), time(7))), SHANGHAI))
    pause = local("2026-11-25 23:55")
    assert told_at(of, topic(local("2026-11-26 02:00")), local("2026-11-25 20:50"), pause) == [(0, 0)]
    assert told_at(of, topic(local("2026-11-25 20:00")), pause, local("2026-11-26 07:00")) == [(1, 0)]


def test_what_becomes_known_at_night_waits_for_the_morning() -> None:
    it = topic(local("2026-11-25 20:00"))
    assert told_at(
        rules(NIGHT), it, local("2026-11-26 03:00"), local("2026-11-26 06:59"), local("2026-11-26 07:00")
    ) == [(2, 0)]


def test_a_station_that_was_off_tells_the_newest_step_alone() -> None:
    limit = local("2026-11-25 15:00")
    assert told_at(rules(), topic(limit), limit + 49 * HOUR, limit + 50 * HOUR) == [(0, 2880)]


def test_a_limit_that_moved_is_told_anew() -> None:
    limit = local("2026-11-25 15:00")
    row = [("per-1", *topic(limit).key, 0)]
    moved = topic(limit + 3 * DAY)
    assert due([moved], rules(), {"per-1": person(1)}, known(row), limit + 3 * DAY - HOUR)


def test_what_nobody_can_date_is_told_at_once_and_not_before() -> None:
    since = local("2026-11-25 15:00")
    it = topic(since, state="untrusted")
    assert told_at(rules(), it, since - HOUR, since, since + HOUR, since + DAY) == [(1, 0), (3, 1440)]


def test_the_approver_of_the_department_hears_of_it_once_it_is_late_and_the_inactive_never() -> None:
    people = {
        p.id: p
        for p in (
            person(1, department="dep-a"),
            person(2, Role.APPROVER, department="dep-a"), person(3, Role.APPROVER, department="dep-b"),
            person(4, Role.APPROVER), person(5, Role.STORAGE_ADMINISTRATOR), person(6, department="dep-c"),
            person(7, active=False),
        )
    }  # fmt: skip
    of, limit = rules(), local("2026-11-25 15:00")
    it = topic(limit)
    assert of.audience(it, -60, people) == {"per-1"}
    assert of.audience(it, 0, people) == {"per-1", "per-2"}
    assert of.audience(topic(limit, persons=("per-6",)), 0, people) == {"per-6", "per-4"}  # no approver of their own
    assert of.audience(topic(limit, persons=()), -60, people) == {
        "per-5"
    }  # nobody is concerned: nothing is told to nobody
    assert of.audience(topic(limit, persons=("per-7",)), -60, people) == {"per-5"}
    recorder = Topic(RECORDER, "rcd-1", "waiting", limit, frozenset({"per-1"}))
    assert of.audience(recorder, 0, people) == {"per-1", "per-5"}
    case = Topic(ARCHIVE, "cas-1", "waiting", limit, frozenset(), department="dep-b")
    assert of.audience(case, 0, people) == {"per-3"}
    own = Telling((HOUR,), 1, LOUD, {STORAGE: ("dock-operator", "concerned")}, {STORAGE: ()})
    assert own.audience(it, 0, people) == {"per-1"}


def test_one_message_gathers_and_names_recorder_time_count_and_limit_alone() -> None:
    now = local("2026-11-25 15:00")
    many = [Notice(topic(now + n * HOUR, f"rec-{n}"), -60) for n in range(1, 4)]
    late = Notice(topic(now - 26 * HOUR, "rec-9"), 1440)
    case = Notice(Topic(ARCHIVE, "cas-1", "waiting", now + DAY, frozenset({"per-1"})), -240)
    said = message("卫监所", "hq-01", [*many, late, case], now, SHANGHAI)
    assert said.title == "【执法记录】已逾期 1 项；将到期 4 项 1 overdue; 4 due soon"
    assert said.lines[2] == (
        "• 已逾期 · 音像记录入库（第28条）：记录仪 B-07，1 项，时间 2026-11-23 13:00，时限 2026-11-24 13:00（已过 1 天 2 小时）"
    )
    assert said.lines[4] == (
        "• 将到期 · 音像记录入库（第28条）：记录仪 B-07，3 项，时间 2026-11-24 16:00 至 18:00，"
        "最早时限 2026-11-25 16:00（还有 1 小时 0 分）"
    )
    assert said.lines[5].startswith(
        "  due soon · recordings to be stored (Article 28): recorder B-07, 3 items, first limit"
    )
    assert "per-1" not in said.text
    assert "人1" not in said.text
    assert said.key == message("x", "y", [case, late, *many[::-1]], now + HOUR, SHANGHAI).key
    assert said.key != message("x", "y", [late, *many], now, SHANGHAI).key


def test_a_long_message_is_cut_and_says_how_much_more_there_is() -> None:
    now = local("2026-11-25 15:00")
    said = message(
        "卫监所", "hq-01",
        [Notice(Topic(STORAGE, f"rec-{n}", "waiting", now, frozenset(), label=f"B-{n:03}"), 0) for n in range(100)], now, SHANGHAI,
    )  # fmt: skip
    assert len(said.lines) < 2 * telling.MOST_LINES + 8
    assert "• 另有 70 项 and 70 more" in said.lines


@pytest.mark.parametrize("rule", sorted(telling.SHIPPED))
def test_every_rule_has_words_and_an_audience(rule: str) -> None:
    assert telling.RULES[rule][0] != rule
    assert telling.SHIPPED[rule][0]
