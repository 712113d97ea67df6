"""Limits from facts to rulings, each odd case of the notes on the regulation by name: events in a real catalogue, and the stage."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from mediad.catalog import due, handed, limits, reporting, tags, telling
from mediad.catalog import tables as t
from mediad.model.calendar import Month
from mediad.model.custody import Draft
from mediad.model.deadline import NO_CASE, RECORDER, Ruling
from mediad.model.instants import stamp
from mediad.model.registers import Move, hand_out
from mediad.model.report import devices
from mediad.stages import rule
from tests.bureau import CHINA, Bureau, File, H, at, bodies, open_bureau, rules

ENDED = at("2026-11-23 10:00")  # a Monday
M = timedelta(minutes=1)


@pytest.fixture
def bureau(tmp_path: Path) -> Iterator[Bureau]:
    with open_bureau(tmp_path) as opened:
        opened.li = opened.officer("李明", "辽A001", "000123")  # type: ignore[attr-defined]
        opened.wang = opened.officer("王芳", "辽A002", "000124")  # type: ignore[attr-defined]
        for label in ("A", "B"):
            opened.recorder(label)
        yield opened


def film(name: str = "a.mp4", ended: Any = ENDED, **more: Any) -> File:
    return File(name, ended, **{"officer": "000123", **more})


# --- Article 28 ---------------------------------------------------------------------------------------------------------


def test_what_is_stored_in_time_is_met_by_who_carried_it(bureau: Any) -> None:
    bureau.dock("A", ENDED + 8 * H, film())
    found = bureau.ruling(film().recording)
    assert (found["status"], found["reason"], found["carrier"], found["carrier_by"]) == (
        "met", "after-recording", bureau.li, "number",
    )  # fmt: skip
    assert bureau.rule_anew() == 0, "the same facts record nothing new"
    assert bureau.events(film().recording).count("deadline.ruled") == 1


def test_what_is_stored_after_24_hours_is_late_across_midnight_and_weekend(bureau: Any) -> None:
    friday = at("2026-11-27 23:50")
    bureau.dock("A", friday + 25 * H, film(ended=friday))
    assert bureau.status(film().recording) == "late"
    assert bureau.due(film().recording) == friday + 24 * H


def test_two_recorders_of_one_officer_count_each_recording_by_itself(bureau: Any) -> None:
    bureau.dock("A", ENDED + 8 * H, film("a.mp4"))
    bureau.dock("B", ENDED + 30 * H, film("b.mp4"))
    assert [bureau.status(film(n).recording) for n in ("a.mp4", "b.mp4")] == ["met", "late"]


def test_of_one_recorder_of_two_officers_on_a_trip_the_carriers_return_counts(bureau: Any) -> None:
    left = ENDED - 2 * H
    bureau.move("rcd-A", "issued", left - H, bureau.li)
    bureau.trip([bureau.li], left, returned=ENDED + 50 * H, entered=left)
    bureau.trip([bureau.wang], left, returned=ENDED + 30 * H, entered=left + H)
    bureau.dock("A", ENDED + 60 * H, film(officer=""))
    bureau.say(
        "recording.carried", film().recording, ENDED + 61 * H, carrier=bureau.li, co_officers=[bureau.wang], why=""
    )
    found = bureau.ruling(film().recording)
    assert (found["status"], found["limb"], found["carrier_by"], found["why"]) == ("met", 2, "person", "异地检查")
    assert bureau.due(film().recording) == ENDED + 74 * H
    bureau.say(
        "recording.carried", film().recording, ENDED + 62 * H, carrier=bureau.wang, co_officers=[bureau.li], why=""
    )
    bureau.move("rcd-A", "returned", ENDED + 63 * H)
    found = bureau.ruling(film().recording)
    # Who had the recorder counts beside the carrier, and the earlier return of both: thirty hours later.
    assert bureau.due(film().recording) == ENDED + 54 * H
    assert (found["status"], found["carrier"]) == ("late", bureau.wang)


def test_back_at_two_in_the_morning_counts_by_the_docking_and_gives_until_two_the_next_day(bureau: Any) -> None:
    ended, back = at("2026-09-29 09:00"), at("2026-10-01 02:00")  # National Day
    bureau.trip([bureau.li], ended - H, entered=ended - H)
    bureau.move("rcd-A", "issued", ended - 2 * H, bureau.li)
    assert bureau.dock("A", back)
    bureau.dock("A", at("2026-10-02 01:30"), film(ended=ended))
    assert bureau.due(film().recording) == at("2026-10-02 02:00")
    assert bureau.status(film().recording) == "met"
    assert bureau.ruling(film().recording)["limb"] == 2


def test_what_was_recorded_before_leaving_has_the_first_limb(bureau: Any) -> None:
    bureau.trip([bureau.li], ENDED + H, returned=ENDED + 90 * H)
    bureau.dock("A", ENDED + 91 * H, film())
    found = bureau.ruling(film().recording)
    assert (found["status"], found["limb"]) == ("late", 1)
    bureau.say("deadline.justified", film().recording, ENDED + 92 * H, rule="article-28-24h", text="突发任务")
    assert bureau.status(film().recording) == "late", "a reason explains, it does not undo"
    with bureau.ledger.catalog.read() as conn:
        assert film().recording not in {row.subject for row in limits.pressing(conn, stamp(bureau.now), 10)}


def test_a_clock_at_the_year_2000_is_met_if_even_the_earliest_possible_end_is_in_time(bureau: Any) -> None:
    bureau.move("rcd-A", "issued", ENDED, bureau.li)
    bureau.dock("A", ENDED + 9 * H, film(ended=at("2000-01-01 00:10"), confidence="untrusted", officer=""))
    found = bureau.ruling(film().recording)
    assert (found["status"], found["reason"], found["due_at"]) == ("met", "bounded", None)


def test_what_was_handed_in_before_it_was_docked_is_bounded_and_its_carriers_all_the_same(bureau: Any) -> None:
    bureau.move("rcd-A", "issued", ENDED, bureau.li)
    bureau.move("rcd-A", "returned", ENDED + 9 * H)
    docking = bureau.dock(
        "A", ENDED + 9 * H + M, film(ended=at("2000-01-01 00:10"), confidence="untrusted", officer="")
    )
    found = bureau.ruling(film().recording)
    assert (found["status"], found["reason"], found["carrier"]) == ("met", "bounded", bureau.li)
    assert bureau.ruling(docking, "handover-signature")["carrier"] == bureau.li


def test_what_was_handed_on_undocked_may_be_as_old_as_the_first_hand_out(bureau: Any) -> None:
    bureau.move("rcd-A", "issued", ENDED - 30 * H, bureau.li)
    bureau.move("rcd-A", "returned", ENDED - 20 * H)
    bureau.move("rcd-A", "issued", ENDED, bureau.wang)
    reset = {"ended": at("2000-01-01 00:10"), "confidence": "untrusted", "officer": ""}
    bureau.dock("A", ENDED + 9 * H, film(**reset))
    assert bureau.status(film().recording) == "untrusted"
    bureau.move("rcd-A", "issued", ENDED + 10 * H, bureau.wang)
    bureau.dock("A", ENDED + 12 * H, film("b.mp4", **reset))
    assert bureau.status(film("b.mp4").recording) == "met", "all of it was taken in between"


def test_a_hand_out_that_is_entered_after_the_docking_bounds_nothing(bureau: Any) -> None:
    """It would make anything be in time whose clock was wrong."""
    reset = {"ended": at("2000-01-01 00:10"), "confidence": "untrusted", "officer": ""}
    bureau.dock("A", ENDED + 40 * H, film(**reset))
    out = {
        "state": "issued",
        "at": stamp(ENDED + 30 * H),
        "carrier": bureau.li,
        "expected": None,
        "why": "",
        "presumed": "",
    }
    bureau.record(ENDED + 41 * H, Draft("recorder.moved", "rcd-A", out))
    found = bureau.ruling(film().recording)
    assert (found["status"], found["carrier"]) == ("untrusted", bureau.li)


def test_a_clock_at_the_year_2000_that_nothing_bounds_waits_for_a_person(bureau: Any) -> None:
    bureau.move("rcd-A", "issued", ENDED, bureau.li)
    bureau.dock("A", ENDED + 40 * H, film(ended=at("2000-01-01 00:10"), confidence="untrusted"))
    found = bureau.ruling(film().recording)
    assert (found["status"], found["due_at"]) == ("untrusted", None)
    detail = {"ended_at": stamp(ENDED + 20 * H), "started_at": None, "source": "值班记录", "why": "时钟"}
    bureau.say("recording.dated", film().recording, ENDED + 41 * H, **detail)
    assert bureau.status(film().recording) == "met"
    assert bureau.due(film().recording) == ENDED + 44 * H
    bureau.say("recording.dated", film().recording, ENDED + 42 * H, **{**detail, "ended_at": stamp(ENDED + H)})
    assert bureau.status(film().recording) == "late"
    assert bureau.events(film().recording).count("deadline.ruled") == 3


def test_a_segment_that_arrives_late_reopens_what_was_met_and_the_ruling_of_the_joined_goes(bureau: Any) -> None:
    one, two = film("a.mp4"), film("b.mp4", ENDED + timedelta(minutes=5))
    bureau.dock("A", ENDED + 8 * H, one)
    assert bureau.status(one.recording) == "met"
    bureau.dock("A", ENDED + 80 * H, two)
    assert bureau.status(two.recording) == "late"
    joined = {"assets": [one.asset, two.asset], "absorbed": [two.recording], "gaps": [], "remarks": []}
    bureau.say("recording.joined", one.recording, ENDED + 81 * H, **joined)
    assert bureau.status(one.recording) == "late"
    assert bureau.due(one.recording) == two.ended + 24 * H
    assert bureau.ruling(two.recording) is None


def test_a_card_that_was_pulled_at_file_3_of_5_leaves_two_that_are_due_and_are_met_when_they_come(bureau: Any) -> None:
    five = [film(f"{n}.mp4", ENDED + n * H, stored=n < 3) for n in range(5)]
    first = bureau.dock("A", ENDED + 8 * H, *five, officer="辽A001", done="interrupted")
    bureau.rule()
    assert [bureau.status(f.recording) for f in five[:3]] == ["met"] * 3

    def seen() -> list[Any]:
        with bureau.ledger.catalog.read() as conn:
            return [(name, body) for (_, name), body in sorted(bodies(conn).items()) if name.startswith("fil-")]

    assert {body["path"] for _, body in seen()} == {"DCIM/3.mp4", "DCIM/4.mp4"}
    assert {(body["state"], body["docking"], body["carrier"]) for _, body in seen()} == {("waiting", first, bureau.li)}
    assert {bureau.status(name, ENDED + 60 * H) for name, _ in seen()} == {"late"}
    rest = [film(f.name, f.ended) for f in five[3:]]
    bureau.dock("A", ENDED + 61 * H, *rest, continues=first)
    bureau.rule()
    assert {(body["state"], body["docking"]) for _, body in seen()} == {("late", first)}
    assert {body["recording"] for _, body in seen()} == {f.recording for f in rest}
    assert [bureau.status(f.recording) for f in rest] == ["late", "late"]
    assert bureau.rule_anew() == 0


def test_a_file_that_was_only_seen_and_has_no_true_time_is_untrusted(bureau: Any) -> None:
    bureau.dock("A", ENDED, film("x.mp4", at("2000-01-01 00:10"), stored=False), done="interrupted")
    bureau.rule()
    with bureau.ledger.catalog.read() as conn:
        (body,) = [body for (_, name), body in bodies(conn).items() if name.startswith("fil-")]
    assert body["state"] == "untrusted"


def test_a_file_that_two_dockings_saw_is_told_of_the_first(bureau: Any) -> None:
    odd = film("seen.mp4", at("2000-01-01 00:10"), stored=False, officer="")
    seen_by = []
    for hours in (1, 2):
        seen_by.append(bureau.dock("A", ENDED + hours * H, odd, done="interrupted"))
        bureau.rule()
    with bureau.ledger.catalog.read() as conn:
        (body,) = [body for (_, name), body in bodies(conn).items() if name.startswith("fil-")]
    assert (body["state"], body["docking"]) == ("untrusted", seen_by[0])


def test_a_docking_at_night_proves_the_return_before_the_one_that_was_entered(bureau: Any) -> None:
    bureau.move("rcd-A", "issued", ENDED - 3 * H, bureau.li)
    bureau.move("rcd-B", "issued", ENDED - 3 * H, bureau.li)
    bureau.trip([bureau.li], ENDED - 2 * H)
    night = ENDED + 41 * H
    bureau.dock("B", night)  # another recorder of theirs
    bureau.trip([bureau.li], ENDED - 2 * H, returned=ENDED + 70 * H, entered=ENDED + 71 * H)
    bureau.dock("A", ENDED + 72 * H, film())
    found = bureau.ruling(film().recording)
    assert bureau.due(film().recording) == night + 24 * H
    assert (found["status"], "return-after-docking" in found["remarks"]) == ("late", True)


def test_whoever_handed_another_recorder_in_just_before_it_was_docked_was_back(bureau: Any) -> None:
    for label in "AB":
        bureau.move(f"rcd-{label}", "issued", ENDED - 3 * H, bureau.li)
    bureau.trip([bureau.li], ENDED - 2 * H)
    night = ENDED + 41 * H
    bureau.move("rcd-B", "returned", night - M)
    bureau.dock("B", night)
    bureau.trip([bureau.li], ENDED - 2 * H, returned=ENDED + 70 * H, entered=ENDED + 71 * H)
    bureau.dock("A", ENDED + 72 * H, film())
    assert bureau.due(film().recording) == night + 24 * H


def test_what_was_handed_in_before_they_left_proves_no_return_whenever_it_is_docked(bureau: Any) -> None:
    for label in "AB":
        bureau.move(f"rcd-{label}", "issued", ENDED - 30 * H, bureau.li)
    bureau.move("rcd-B", "returned", ENDED - 3 * H)
    bureau.trip([bureau.li], ENDED - 2 * H)
    bureau.dock("B", ENDED + 5 * H)
    bureau.trip([bureau.li], ENDED - 2 * H, returned=ENDED + 60 * H, entered=ENDED + 60 * H)
    bureau.dock("A", ENDED + 70 * H, film())
    assert bureau.due(film().recording) == ENDED + 84 * H


def test_a_hand_out_that_is_entered_after_the_docking_says_who_brought_it(bureau: Any) -> None:
    bureau.dock("A", ENDED + 9 * H, film(ended=at("2000-01-01 00:10"), confidence="untrusted", officer=""))
    assert bureau.ruling(film().recording)["carrier"] == ""
    moved = {"state": "issued", "at": stamp(ENDED), "carrier": bureau.li, "expected": None, "why": "", "presumed": ""}
    bureau.say("recorder.moved", "rcd-A", ENDED + 10 * H, **moved)
    found = bureau.ruling(film().recording)
    assert found["carrier"] == bureau.li


def test_a_docking_of_a_recorder_that_somebody_else_has_by_now_proves_nothing(bureau: Any) -> None:
    bureau.move("rcd-B", "issued", ENDED - 90 * H, bureau.li)
    bureau.move("rcd-B", "returned", ENDED - 80 * H)
    bureau.move("rcd-B", "issued", ENDED - 79 * H, bureau.wang)
    bureau.trip([bureau.li], ENDED - 2 * H)
    bureau.dock("B", ENDED + 5 * H)
    bureau.trip([bureau.li], ENDED - 2 * H, returned=ENDED + 60 * H, entered=ENDED + 60 * H)
    bureau.dock("A", ENDED + 70 * H, film())
    assert bureau.due(film().recording) == ENDED + 84 * H


def test_an_open_trip_leaves_the_limit_open_until_they_are_back(bureau: Any) -> None:
    """What a terminal sends home while they are away proves no return."""
    bureau.trip([bureau.li], ENDED - H)
    bureau.dock("field", ENDED + 5 * H, film(stored=False), officer="辽A001", folder=True, done="incomplete")
    bureau.rule()
    with bureau.ledger.catalog.read() as conn:
        (name,) = [name for _, name in bodies(conn) if name.startswith("fil-")]
    assert bureau.status(name, ENDED + 40 * H) == "open"
    bureau.trip([bureau.li], ENDED - H, returned=ENDED + 41 * H, entered=ENDED + 41 * H)
    assert bureau.due(name) == ENDED + 65 * H


def test_a_trip_that_is_entered_later_counts_when_it_is_approved(bureau: Any) -> None:
    bureau.dock("A", ENDED + 60 * H, film())
    assert bureau.status(film().recording) == "late"
    left, entered = ENDED - H, ENDED + 61 * H
    bureau.trip([bureau.li], left, returned=ENDED + 50 * H, entered=entered)
    found = bureau.ruling(film().recording)
    assert (found["status"], found["remarks"]) == ("late", ["trip-wants-approval"])
    bureau.trip([bureau.li], left, returned=ENDED + 50 * H, entered=entered + H, approved_by=bureau.wang)
    found = bureau.ruling(film().recording)
    assert (found["status"], found["limb"], found["remarks"]) == ("met", 2, ["backdated"])
    assert bureau.events(film().recording).count("deadline.ruled") == 3, "each new status is a custody event"


def test_a_recorder_that_is_said_later_to_have_been_on_a_trip_was_entered_later(bureau: Any) -> None:
    """The trip of others, entered in time: what is added to it after the limit wants an approver like any other entry."""
    left, back = ENDED - H, ENDED + 50 * H
    bureau.dock("A", ENDED + 60 * H, film())
    trip = bureau.trip([bureau.wang], left, returned=back, entered=left)
    assert bureau.status(film().recording) == "late"
    detail = {"persons": [bureau.wang], "left": stamp(left), "expected": stamp(back), "returned": stamp(back), "reason": "异地检查",
              "void": False, "recorders": ["rcd-A"]}  # fmt: skip
    bureau.say("trip.registered", trip, ENDED + 61 * H, **detail, approved_by="")
    found = bureau.ruling(film().recording)
    assert (found["status"], found["remarks"]) == ("late", ["trip-wants-approval"])
    bureau.say("trip.registered", trip, ENDED + 62 * H, **detail, approved_by=bureau.wang)
    found = bureau.ruling(film().recording)
    assert (found["status"], found["remarks"]) == ("met", ["backdated"])


@pytest.mark.parametrize(("channel", "reason"), [("cctv", "channel-exempt"), ("legacy", "legacy")])
def test_cctv_and_legacy_are_not_applicable_with_the_reason(bureau: Any, channel: str, reason: str) -> None:
    bureau.dock("A", ENDED + 90 * H, film(), channel=channel)
    found = bureau.ruling(film().recording)
    assert (found["status"], found["reason"]) == ("not-applicable", reason)


def test_what_ended_before_the_rule_was_in_force_is_not_applicable(bureau: Any) -> None:
    bureau.dock("A", ENDED + 90 * H, film())
    found = bureau.ruling(film().recording, by=rules(effective_from="2026-12-01"))
    assert (found["status"], found["reason"]) == ("not-applicable", "before-the-rule")


def test_what_went_straight_into_the_enforcement_system_is_met_with_its_receipt(bureau: Any) -> None:
    bureau.dock("A", ENDED + 90 * H, film())
    assert bureau.status(film().recording) == "late"
    receipt = {"rule": "article-28-24h", "receipt": "HZ-1", "at": stamp(ENDED + 2 * H)}
    bureau.say("deadline.receipt", film().recording, ENDED + 91 * H, **receipt)
    found = bureau.ruling(film().recording)
    assert (found["status"], found["remarks"]) == ("met", ["receipt"])


def test_a_receipt_and_a_reason_go_with_a_recording_that_is_joined_into_another(bureau: Any) -> None:
    """Both stay where the recording is found by now, and the receipt is for its own files alone."""
    one, two = film("a.mp4"), film("b.mp4", ENDED + timedelta(minutes=5))
    bureau.dock("A", ENDED + 80 * H, one)
    bureau.dock("A", ENDED + 90 * H, two)
    receipt = {"rule": "article-28-24h", "receipt": "HZ-1", "at": stamp(ENDED + 2 * H)}
    bureau.say("deadline.receipt", two.recording, ENDED + 91 * H, **receipt)
    bureau.say("deadline.justified", two.recording, ENDED + 91 * H, rule="article-28-24h", text="突发任务")
    bureau.say("deadline.justified", one.recording, ENDED + 92 * H, rule="article-28-24h", text="道路中断")
    assert [bureau.status(f.recording) for f in (one, two)] == ["late", "met"]
    joined = {"assets": [one.asset, two.asset], "absorbed": [two.recording], "gaps": [], "remarks": []}
    bureau.say("recording.joined", one.recording, ENDED + 93 * H, **joined)
    found = bureau.ruling(one.recording)
    assert (found["status"], found["met_at"], found["remarks"]) == ("late", stamp(ENDED + 80 * H + M), ["receipt"])
    with bureau.ledger.catalog.read() as conn:
        (said,) = limits.receipts(conn, [one.recording])["article-28-24h", one.recording]
        assert (said.receipt.number, said.assets) == ("HZ-1", {two.asset})
        reason = limits.reasons_given(conn, [one.recording])["article-28-24h", one.recording]
        assert reason["text"] == "突发任务；道路中断"
        assert one.recording not in {row.subject for row in limits.pressing(conn, stamp(bureau.now), 10)}
    # Whoever still knows it by its old name is understood.
    bureau.say("deadline.receipt", two.recording, ENDED + 94 * H, **{**receipt, "receipt": "HZ-2"})
    assert bureau.ruling(one.recording)["met_at"] == stamp(ENDED + 2 * H), "entered for all of it"


def test_a_segment_that_arrives_late_reopens_what_a_receipt_had_met(bureau: Any) -> None:
    one, two = film("a.mp4"), film("b.mp4", ENDED + timedelta(minutes=5))
    bureau.dock("A", ENDED + 80 * H, one)
    receipt = {"rule": "article-28-24h", "receipt": "HZ-1", "at": stamp(ENDED + 2 * H)}
    bureau.say("deadline.receipt", one.recording, ENDED + 81 * H, **receipt)
    assert bureau.status(one.recording) == "met"
    bureau.dock("A", ENDED + 90 * H, two)
    joined = {"assets": [one.asset, two.asset], "absorbed": [two.recording], "gaps": [], "remarks": []}
    bureau.say("recording.joined", one.recording, ENDED + 91 * H, **joined)
    assert bureau.status(one.recording) == "late"


def test_a_vault_that_does_not_count_meets_nothing(bureau: Any) -> None:
    bureau.ledger.record([Draft("vault.registered", "local", {"marker": "m", "kind": "local", "dedicated": False})])
    bureau.dock("A", ENDED + H, film())
    assert bureau.status(film().recording, ENDED + 2 * H) == "due"


def test_whether_a_vault_counts_is_said_from_then_on_and_takes_nothing_away(bureau: Any) -> None:
    def counts(when: Any, dedicated: bool) -> None:
        bureau.record(
            when, Draft("vault.registered", "local", {"marker": "m", "kind": "local", "dedicated": dedicated})
        )
        assert bureau.rule_everything_due(), "all of it is ruled on anew"

    bureau.dock("A", ENDED + H, film())
    assert bureau.status(film().recording) == "met"
    counts(ENDED + 2 * H, False)
    assert bureau.status(film().recording) == "met", "it was in its place when that counted"
    later = film("b.mp4")
    seen = film("c.mp4", stored=False)
    bureau.dock("A", ENDED + 3 * H, later, seen)
    bureau.dock("A", ENDED + 4 * H, film("c.mp4"))
    assert bureau.status(later.recording) == "due"
    bureau.rule()
    with bureau.ledger.catalog.read() as conn:
        assert [body["state"] for (_, name), body in bodies(conn).items() if name[:4] == "fil-"] == ["waiting"]
    counts(ENDED + 30 * H, True)
    found = bureau.ruling(later.recording)
    assert (found["status"], found["met_at"]) == ("late", stamp(ENDED + 30 * H))
    assert bureau.status(film().recording) == "met"


def test_data_has_no_limit(bureau: Any) -> None:
    bureau.dock("A", ENDED + H, film(kind="data"))
    assert bureau.ruling(film().recording) is None


def test_a_number_that_is_registered_later_names_the_carrier_then(bureau: Any) -> None:
    bureau.dock("A", ENDED + H, film(officer="000999"))
    assert bureau.ruling(film().recording)["carrier_by"] == "nobody"
    zhao = bureau.officer("赵强", "辽A009", "000999")
    assert bureau.ruling(film().recording)["carrier"] == zhao


def test_a_giver_that_is_registered_later_names_the_carrier_and_who_hands_over(bureau: Any) -> None:
    """A number that was told at the docking, and stands in no name."""
    docking = bureau.dock("A", ENDED + H, film(officer=""), film("seen.mp4", stored=False), officer="辽A009")
    assert bureau.ruling(film().recording)["carrier_by"] == "nobody"
    zhao = bureau.officer("赵强", "辽A009")
    assert bureau.ruling(film().recording)["carrier"] == zhao
    assert bureau.ruling(docking, "handover-signature")["carrier"] == zhao
    with bureau.ledger.catalog.read() as conn:
        assert {body["carrier"] for (_, name), body in bodies(conn).items() if name[:4] == "fil-"} == {zhao}
        assert not due.subjects(conn, due.RULE)
    bureau.officer("赵小强", "辽A009")  # another name, and the same numbers
    with bureau.ledger.catalog.read() as conn:
        assert not due.subjects(conn, due.RULE), "what changes no number changes no limit"


def test_a_trip_of_a_recorder_reaches_a_file_that_was_only_seen_on_it(bureau: Any) -> None:
    bureau.dock("A", ENDED + H, film(stored=False, officer=""), done="interrupted")
    bureau.rule()
    with bureau.ledger.catalog.read() as conn:
        (name,) = [name for _, name in bodies(conn) if name.startswith("fil-")]
    assert bureau.status(name) == "due"
    bureau.trip([], ENDED - H, recorders=["rcd-A"], entered=ENDED + 2 * H)
    found = bureau.ruling(name)
    assert (found["limb"], bureau.due(name)) == (1, ENDED + 24 * H), "it was docked since they left"
    assert found["remarks"] == ["end-estimated", "back-in-time"]


def test_a_file_without_a_time_is_untrusted_and_a_folder_that_could_not_be_read_is_no_file(bureau: Any) -> None:
    nothing = datetime(1970, 1, 1, tzinfo=UTC)
    docking = bureau.dock("A", ENDED, film("x.mp4", nothing, stored=False), done="interrupted")
    bureau.rule()
    with bureau.ledger.catalog.read() as conn:
        (body,) = [body for (_, name), body in bodies(conn).items() if name.startswith("fil-")]
        assert body["state"] == "untrusted"
    claim = {"volume": "", "path_b64": "YnJva2Vu", "size": 0, "mtime_ns": 0, "outcome": "failed", "why": "unreadable"}
    bureau.say("docking.listed", docking, ENDED + H, files=[claim], known=[])
    bureau.rule_anew()
    with bureau.ledger.catalog.read() as conn:
        assert len([name for _, name in bodies(conn) if name.startswith("fil-")]) == 1


# --- recorders, hand-overs, the platform --------------------------------------------------------------------------------


def out(recorder: str, when: datetime = ENDED) -> str:
    return hand_out(recorder, stamp(when))


def test_a_recorder_that_is_not_docked_a_day_after_it_was_handed_out_is_late(bureau: Any) -> None:
    bureau.move("rcd-A", "issued", ENDED, bureau.li)
    assert bureau.due(out("rcd-A"), "recorder-back") == ENDED + 24 * H
    assert bureau.status(out("rcd-A"), ENDED + 25 * H, "recorder-back") == "late"
    bureau.dock("A", ENDED + 26 * H)
    found = bureau.ruling(out("rcd-A"), "recorder-back")
    assert (found["status"], found["reason"], found["carrier"]) == ("late", "after-issue", bureau.li)
    assert bureau.rule_anew() == 0


def test_a_recorder_is_back_in_time_by_docking(bureau: Any) -> None:
    bureau.move("rcd-A", "issued", ENDED, bureau.li, expected=stamp(ENDED + 50 * H))
    bureau.dock("A", ENDED + 49 * H)
    found = bureau.ruling(out("rcd-A"), "recorder-back")
    assert (found["status"], found["reason"]) == ("met", "after-expected")


def test_a_recorder_that_is_handed_in_and_not_docked_is_not_back(bureau: Any) -> None:
    """Only a docking ends it, or a report: what was recorded is still on it."""
    bureau.move("rcd-A", "issued", ENDED, bureau.li)
    bureau.move("rcd-A", "returned", ENDED + 5 * H)
    found = bureau.ruling(out("rcd-A"), "recorder-back")
    assert (found["status"], found["remarks"]) == ("due", ["returned-not-docked"])
    assert bureau.status(out("rcd-A"), ENDED + 25 * H, "recorder-back") == "late"
    bureau.dock("A", ENDED + 26 * H)
    found = bureau.ruling(out("rcd-A"), "recorder-back")
    assert (found["status"], found["remarks"], found["met_at"]) == ("late", [], stamp(ENDED + 26 * H))


def test_whoever_hands_a_recorder_on_undocked_does_not_end_the_limit(bureau: Any) -> None:
    again = ENDED + 20 * H
    bureau.move("rcd-A", "issued", ENDED, bureau.li)
    bureau.move("rcd-A", "returned", ENDED + 5 * H)
    bureau.move("rcd-A", "issued", again, bureau.wang)
    assert bureau.status(out("rcd-A"), ENDED + 25 * H, "recorder-back") == "late"
    bureau.move("rcd-A", "returned", ENDED + 26 * H)
    bureau.move("rcd-A", "lost", ENDED + 27 * H, why="不见")
    found = [bureau.ruling(out("rcd-A", at), "recorder-back") for at in (ENDED, again)]
    assert [(each["reason"], each["carrier"]) for each in found] == [
        ("recorder-lost", bureau.li), ("recorder-lost", bureau.wang),
    ]  # fmt: skip


def test_a_recorder_that_is_lost_or_broken_ends_its_limit_and_says_how(bureau: Any) -> None:
    for label, state in (("A", "lost"), ("B", "broken")):
        bureau.move(f"rcd-{label}", "issued", ENDED, bureau.li)
        bureau.move(f"rcd-{label}", state, ENDED + 30 * H, why="落水", presumed="两段视频")
        found = bureau.ruling(out(f"rcd-{label}"), "recorder-back")
        assert (found["status"], found["reason"], found["why"]) == ("not-applicable", f"recorder-{state}", "落水")


def test_a_recorder_on_its_carriers_trip_is_expected_a_day_after_the_return(bureau: Any) -> None:
    bureau.move("rcd-A", "issued", ENDED, bureau.li)
    assert bureau.status(out("rcd-A"), name="recorder-back") == "due"
    bureau.trip([bureau.li], ENDED + H)
    assert bureau.status(out("rcd-A"), ENDED + 40 * H, "recorder-back") == "open"
    bureau.trip([bureau.li], ENDED + H, returned=ENDED + 45 * H, entered=ENDED + 45 * H)
    assert bureau.due(out("rcd-A"), "recorder-back") == ENDED + 69 * H


def test_without_such_a_limit_no_recorder_is_ruled_on(bureau: Any) -> None:
    bureau.move("rcd-A", "issued", ENDED, bureau.li)
    assert bureau.ruling(out("rcd-A"), "recorder-back", rules(recorder_hours=0)) is None
    bureau.move("rcd-B", "issued", ENDED, bureau.li)
    assert bureau.status(out("rcd-B"), name="recorder-back") == "due"
    bureau.rule_anew(rules(recorder_hours=0))
    assert bureau.ruling(out("rcd-B"), "recorder-back")["reason"] == "no-limit"


def test_each_hand_out_of_a_recorder_is_judged_by_itself(bureau: Any) -> None:
    """That it goes out once more does not undo that it had come back late."""
    first, again = ENDED, ENDED + 60 * H
    bureau.move("rcd-A", "issued", first, bureau.li)
    bureau.dock("A", first + 30 * H)
    bureau.move("rcd-A", "returned", first + 31 * H)
    bureau.move("rcd-A", "issued", again, bureau.wang)
    found = [bureau.ruling(out("rcd-A", when), "recorder-back") for when in (first, again)]
    assert [(r["status"], r["carrier"]) for r in found] == [("late", bureau.li), ("due", bureau.wang)]
    bureau.dock("A", again + 5 * H)
    assert [bureau.status(out("rcd-A", when), name="recorder-back") for when in (first, again)] == ["late", "met"]
    assert bureau.rule_anew() == 0


def test_a_hand_out_is_ruled_on_without_the_trips_and_moves_of_later_years(bureau: Any) -> None:
    """With them a bureau's hand-outs of five years would cost its trips of five years each."""
    subject = hand_out("rcd-B", stamp(ENDED))
    bureau.move("rcd-B", "issued", ENDED, bureau.li)
    bureau.dock("B", ENDED + 9 * H)
    asked: list[str] = []
    event.listen(bureau.ledger.catalog._reader, "before_cursor_execute", lambda _c, _u, text, *_: asked.append(text))

    def cost() -> int:
        asked.clear()
        with bureau.ledger.catalog.read() as conn:
            (known,) = handed.handed_out(conn, [subject], 24 * H)
        assert (known[0].docked, known[0].trips, known[0].returned) == (ENDED + 9 * H, (), False)
        return len(asked)

    before = cost()
    for n in range(1, 4):
        bureau.trip([bureau.li], ENDED + 50 * n * H, returned=ENDED + (50 * n + 30) * H)
        bureau.move("rcd-B", "returned", ENDED + (50 * n - 2) * H)
        bureau.move("rcd-B", "issued", ENDED + (50 * n - 1) * H, bureau.li)
    assert cost() == before


def test_a_recorder_that_is_out_past_any_of_its_hand_outs_is_not_back_and_counts_once() -> None:
    moves = [
        Move("rcd-A", state, ENDED + n * H, "per-li")
        for n, state in ((0, "returned"), (1, "issued"), (20, "issued"), (21, "returned"))
    ]  # type: ignore[arg-type]
    month = Month.of(2026, 11, CHINA)

    def ruled(moves: Sequence[Move], n: int, _: datetime) -> Ruling:
        return Ruling(RECORDER, "x", "limit", moves[n].at + 24 * H, None, "after-issue")

    for hours, count in ((24, 0), (26, 1), (99, 1)):
        assert len(devices([moves], ruled, month, ENDED + hours * H)) == count, hours


def test_a_recorder_that_goes_out_twice_without_a_return_is_out_since_the_first_time(bureau: Any) -> None:
    first, again = ENDED, ENDED + 20 * H
    bureau.move("rcd-A", "issued", first, bureau.li)
    assert bureau.due(out("rcd-A"), "recorder-back") == first + 24 * H
    bureau.move("rcd-A", "issued", again, bureau.li, expected=stamp(again + 500 * H))
    assert bureau.status(out("rcd-A"), first + 25 * H, "recorder-back") == "late"
    assert bureau.status(out("rcd-A", again), first + 25 * H, "recorder-back") == "due"
    bureau.dock("A", again + 30 * H)
    assert [bureau.status(out("rcd-A", when), name="recorder-back") for when in (first, again)] == ["late", "met"]


def test_a_hand_over_that_nobody_signs_in_three_days_is_late_and_counts_for_nothing_else(bureau: Any) -> None:
    docking = bureau.dock("A", ENDED + H, film(), officer="辽A001")
    closed = bureau.now
    assert bureau.due(docking, "handover-signature") == closed + 72 * H
    assert bureau.ruling(docking, "handover-signature")["carrier"] == bureau.li
    assert bureau.status(docking, closed + 73 * H, "handover-signature") == "late"
    bureau.say("handover.giver", docking, closed + 73 * H, giver=bureau.wang)
    assert bureau.ruling(docking, "handover-signature")["carrier"] == bureau.wang, "whom a person named is asked for it"
    signed = {"confirmed_at": stamp(closed + 74 * H), "version": 1, "giver": bureau.li, "on_behalf_of": ""}
    bureau.say("handover.signed", docking, closed + 74 * H, **signed)
    assert bureau.ruling(docking, "handover-signature")["met_at"] == stamp(closed + 74 * H)
    assert bureau.status(film().recording) == "met"


def test_a_docking_that_brought_nothing_wants_no_signature(bureau: Any) -> None:
    assert bureau.ruling(bureau.dock("A", ENDED), "handover-signature") is None


def test_data_of_a_terminal_is_uploaded_where_the_unit_says_so(bureau: Any) -> None:
    bureau.dock("A", ENDED + H, film(), channel="terminal")
    bureau.dock("B", ENDED + H, film("b.mp4"))
    assert bureau.ruling(film().recording, "article-30-upload") is None
    by = rules(upload_hours=48)
    bureau.rule_anew(by)
    assert bureau.due(film().recording, "article-30-upload", by) == ENDED + 48 * H
    assert bureau.ruling(film("b.mp4").recording, "article-30-upload", by) is None
    receipt = {"rule": "article-30-upload", "receipt": "PT-1", "at": stamp(ENDED + 3 * H)}
    bureau.say("deadline.receipt", film().recording, ENDED + 4 * H, **receipt)
    assert bureau.status(film().recording, name="article-30-upload", by=by) == "met"


# --- what is due, and what calls for a person ---------------------------------------------------------------------------


def lost(bureau: Any, *stages: str, **since: str) -> None:
    """Whatever was due is gone, and a start looks for it."""
    bureau.ledger.catalog.write(lambda conn: conn.execute(t.due.delete()))
    since = since or {"signed": "", "out": ""}
    named = {{"signed": due.TO_SIGN, "out": due.OUT}[kind]: start for kind, start in since.items()}
    due.refill(bureau.ledger.catalog, stages or due.BUREAU, since=named)


def test_rows_that_somebody_deleted_come_back_from_the_facts(bureau: Any) -> None:
    bureau.dock("A", ENDED + H, film(), film("seen.mp4", stored=False), done="interrupted")
    bureau.move("rcd-B", "issued", ENDED, bureau.li)
    lost(bureau)
    assert bureau.rule() == 4  # the recording, the file, the recorder, the signature
    lost(bureau)
    assert bureau.rule() == 0, "what waits is looked at again, and nothing is new of it"


STORY: dict[str, Callable[[Any], object]] = {
    "a docking": lambda b: b.dock("A", ENDED + 60 * H, film(), officer="辽A001"),
    "a trip that was approved": lambda b: [
        b.dock("A", ENDED + 60 * H, film()),
        b.rule(),
        b.trip([b.li], ENDED - H, returned=ENDED + 50 * H, entered=ENDED + 61 * H, approved_by=b.wang),
    ],
    "a return": lambda b: [
        b.trip([b.li], ENDED - H),
        b.dock("field", ENDED + H, film(stored=False), officer="辽A001", folder=True, done="incomplete"),
        b.rule(),
        b.trip([b.li], ENDED - H, returned=ENDED + 41 * H, entered=ENDED + 41 * H),
    ],
    "a time that a person set": lambda b: [
        b.dock("A", ENDED + 40 * H, film(ended=at("2000-01-01 00:10"), confidence="untrusted")),
        b.rule(),
        b.say("recording.dated", film().recording, ENDED + 41 * H, ended_at=stamp(ENDED), started_at=None, source="", why=""),
    ],
    "a receipt": lambda b: [
        b.dock("A", ENDED + 90 * H, film()),
        b.rule(),
        b.say("deadline.receipt", film().recording, ENDED + 91 * H, rule="article-28-24h", receipt="1", at=stamp(ENDED + 2 * H)),
    ],
    "what came of a file that was seen": lambda b: [
        b.dock("A", ENDED + H, film(stored=False), done="interrupted"),
        b.rule(),
        b.dock("A", ENDED + 3 * H, film()),
    ],
    "a recorder that is lost": lambda b: [
        b.move("rcd-B", "issued", ENDED, b.li),
        b.rule(),
        b.move("rcd-B", "lost", ENDED + 30 * H, why="落水"),
    ],
    "a signature": lambda b: [
        docking := b.dock("A", ENDED + H, film()),
        b.rule(),
        b.say(
            "handover.signed", docking, ENDED + 80 * H, confirmed_at=stamp(ENDED + 80 * H), version=1, giver=b.li, on_behalf_of="",
        ),
    ],
    "a case": lambda b: b.case("cas-1", opened=ENDED, act_ended=ENDED + 9 * H, urgent=True),
    "the report of an urgent case": lambda b: [
        b.case("cas-1", opened=ENDED, urgent=True),
        b.rule(),
        b.case("cas-1", opened=ENDED, urgent=True, reported=ENDED + 3 * H),
    ],
}  # fmt: skip


@pytest.mark.parametrize("what", STORY)
def test_what_a_fact_made_due_is_found_again_whoever_lost_the_row(bureau: Any, what: str) -> None:
    STORY[what](bureau)
    lost(bureau, due.RULE)
    assert bureau.rule() > 0
    assert bureau.rule_anew() == 0, "nothing that changed was left out"


def test_what_wants_a_case_is_found_again_whoever_lost_the_row(bureau: Any) -> None:
    bureau.dock("A", ENDED + H, film())
    with bureau.ledger.catalog.read() as conn:
        before = set(due.subjects(conn, due.MATCH))
    lost(bureau)
    with bureau.ledger.catalog.read() as conn:
        assert set(due.subjects(conn, due.MATCH)) == {film().recording} <= before


def test_where_hand_overs_and_hand_outs_have_no_limit_a_start_asks_for_none(bureau: Any) -> None:
    docking = bureau.dock("A", ENDED + H, film())
    bureau.move("rcd-B", "issued", ENDED + H, bureau.li)
    bureau.rule(rules(sign_days=0, recorder_hours=0))
    later = stamp(ENDED + 2 * H)
    out = hand_out("rcd-B", stamp(ENDED + H))
    for since, missing in (
        ({"signed": later}, []), ({"out": later}, []), ({"signed": ""}, [f"sig-{docking}"]), ({"out": ""}, [out]),
    ):  # fmt: skip
        lost(bureau, **since)
        with bureau.ledger.catalog.read() as conn:
            assert due.subjects(conn, due.RULE) == missing


def test_what_is_missing_is_found_page_by_page_and_a_hand_out_that_was_entered_twice_is_one(
    bureau: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "ROWS", 2)
    for n in (0, 1, 1, 2, 3):
        bureau.move("rcd-B", "issued", ENDED + n * H, bureau.li)
    outs = [hand_out("rcd-B", stamp(ENDED + n * H)) for n in range(4)]
    lost(bureau)
    with bureau.ledger.catalog.read() as conn:
        assert due.subjects(conn, due.RULE) == outs
    assert [each for some in due.of_rules(bureau.ledger.catalog) for each in some] == outs


def test_all_that_is_ruled_on_anew_is_so_once(bureau: Any) -> None:
    """A hand-over is about its signature then: what the docking brought is there by itself."""
    docking = bureau.dock("A", ENDED + H, film())
    bureau.rule()
    due.everything(bureau.ledger.catalog)
    with bureau.ledger.catalog.read() as conn:
        assert due.subjects(conn, due.RULE) == [film().recording, f"sig-{docking}"]
        found = rule.rule_on(conn, rules(), [f"sig-{docking}"])
    assert [(each.ruling.subject, each.same) for each in found] == [(docking, True)]


def test_the_rest_of_a_docking_that_broke_off_changes_nothing_about_the_signature_of_the_whole(bureau: Any) -> None:
    first = bureau.dock("A", ENDED + H, film(), film("b.mp4", stored=False), done="interrupted")
    rest = bureau.dock("A", ENDED + 2 * H, film("b.mp4"), continues=first)
    bureau.rule()
    with bureau.ledger.catalog.read() as conn:
        assert all(each.same for each in rule.rule_on(conn, rules(), [rest]))


def test_counts_and_the_board_of_what_presses(bureau: Any) -> None:
    bureau.dock("A", ENDED + 30 * H, film("late.mp4"), officer="辽A001")
    bureau.dock("A", ENDED + 31 * H, film("soon.mp4", ENDED + 8 * H, stored=False), done="interrupted")
    bureau.dock("A", ENDED + 31 * H, film("odd.mp4", at("2000-01-01 00:00"), confidence="untrusted"))
    bureau.rule()
    now = ENDED + 31 * H
    with bureau.ledger.catalog.read() as conn:
        counts = limits.counts(conn, stamp(now), stamp(now + 2 * H))
        pressing = [row.state for row in limits.pressing(conn, stamp(now + 2 * H), 10)]
    storage = {what: n for (rule, what), n in counts.items() if rule == "article-28-24h"}
    assert storage == {"late-unexplained": 1, "soon-late": 1, "untrusted": 1}
    assert pressing == ["late", "waiting", "untrusted"]
    with bureau.ledger.catalog.read() as conn:
        counts = limits.counts(conn, stamp(now + 3 * H), stamp(now + 5 * H))
    assert counts["article-28-24h", "late"] == 1


def test_what_is_of_no_case_for_a_week_is_counted_until_it_is_said_to_be_of_no_duty(bureau: Any) -> None:
    bureau.dock("A", ENDED + H, film())
    with bureau.ledger.catalog.read() as conn:
        n, oldest = limits.untagged(conn, stamp(ENDED + 2 * H))
    assert (n, oldest.recording) == (1, film().recording)
    bureau.say("recording.excused", film().recording, ENDED + 3 * H, reason="设备测试")
    with bureau.ledger.catalog.read() as conn:
        assert limits.untagged(conn, stamp(ENDED + 99 * H)) == (0, None)
    assert bureau.status(film().recording) == "met", "it is kept and counted all the same"


def test_what_no_duty_covers_wants_no_case_and_no_list_counts_it(bureau: Any) -> None:
    """The hall's CCTV fills a week; nobody ever says of which case each hour of it is."""
    hall, ours = film("hall.mp4"), film("ours.mp4")
    bureau.dock("hall", ENDED + H, hall, channel="cctv", folder=True)
    bureau.dock("A", ENDED + H, ours)

    def told() -> list[list[str]]:
        later = stamp(ENDED + 99 * H)
        with bureau.ledger.catalog.read() as conn:
            n, oldest = limits.untagged(conn, later)
            topics = sorted(row.recording for row in telling.untagged(conn, "", later))
            month = sorted(
                row.id for row in reporting.these(conn, [hall.recording, ours.recording])
                if row.untagged and row.state not in NO_CASE
            )  # fmt: skip
            assert (n, oldest.recording) == (len(topics), topics[0])
            return [topics, sorted(tags.find(conn, untagged=True)), month]

    both = sorted([hall.recording, ours.recording])
    for exempt, counted in ((("cctv",), [ours.recording]), ((), both), (("cctv",), [ours.recording])):
        due.everything(bureau.ledger.catalog)
        bureau.rule(rules(exempt_channels=exempt))
        assert told() == [counted] * 3, exempt
    bureau.say("recording.excused", hall.recording, ENDED + 3 * H, reason="设备测试")
    bureau.say("recording.excused", hall.recording, ENDED + 4 * H, reason="", void=True)
    assert told() == [[ours.recording]] * 3, "what comes to be of no case again is exempt as well"


def test_a_trip_past_its_expected_return_is_listed_until_the_return_is_entered(bureau: Any) -> None:
    trip = bureau.trip([bureau.li], ENDED, expected=ENDED + 5 * H)
    for later, listed in ((4, []), (6, [trip])):
        with bureau.ledger.catalog.read() as conn:
            assert [row.id for row in limits.overdue_trips(conn, stamp(ENDED + later * H))] == listed
    bureau.trip([bureau.li], ENDED, expected=ENDED + 5 * H, returned=ENDED + 7 * H, entered=ENDED + 7 * H)
    with bureau.ledger.catalog.read() as conn:
        assert limits.overdue_trips(conn, stamp(ENDED + 9 * H)) == []
