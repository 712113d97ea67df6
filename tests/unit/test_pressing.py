"""What presses is what the list of all limits says of it, whether or not somebody has worked it out, and however much there is."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mediad.catalog import due
from mediad.model.custody import Draft
from mediad.wiring.bureau import pressing as at_work
from mediad.wiring.bureau import rules as wiring_rules
from mediad.wiring.bureau.pressing import pressing
from mediad.wiring.bureau.rules import shown
from tests.bureau import Bureau, File, H, at, open_bureau, rules

NOW = at("2026-11-25 12:00")


@pytest.fixture
def bureau(tmp_path: Path) -> Iterator[Bureau]:
    """One of each: met, late with and without a reason, soon late, due in time, open, untrusted, not applicable."""
    with open_bureau(tmp_path) as made:
        li = made.officer("李明", "辽A001")
        for label in ("A", "B"):
            made.recorder(label)
        made.trip([li], NOW - 9 * H, expected=NOW + 9 * H)
        files = [
            File("met.mp4", NOW - 60 * H, officer="x"), File("late.mp4", NOW - 90 * H, officer="x"),
            File("told.mp4", NOW - 90 * H, officer="x"), File("odd.mp4", at("2000-01-01 00:00"), "untrusted", officer="x"),
        ]  # fmt: skip
        made.dock("A", NOW - 50 * H, *files)
        made.dock("B", NOW - 2 * H, File("away.mp4", NOW - 3 * H, officer="辽A001"))
        seen = [File("soon.mp4", NOW - 20 * H, stored=False), File("due.mp4", NOW + 3 * H, stored=False)]
        made.dock("A", NOW - 1 * H, *seen, done="interrupted")
        made.dock("C", NOW - 1 * H, File("cctv.mp4", NOW - 99 * H), channel="cctv", folder=True)
        made.ruling(files[2].recording)
        made.say("deadline.justified", files[2].recording, NOW, rule="article-28-24h", text="设备故障")
        yield made


def everything(bureau: Bureau) -> tuple[list[dict[str, Any]], Counter[str]]:
    with bureau.ledger.catalog.read() as conn:
        rows = list(shown(conn, rules(), NOW))
    soon = (NOW + at_work.AHEAD).astimezone(UTC)
    pressing_now = [
        r for r in rows
        if not r["justification"]
        and (r["status"] in ("late", "open", "untrusted") or (r["status"] == "due" and datetime.fromisoformat(r["due_at"]) <= soon))
    ]  # fmt: skip
    return pressing_now, Counter(r["status"] for r in rows)


@pytest.mark.parametrize("worked", [True, False])
def test_what_presses_is_of_the_list_of_all_what_somebody_has_to_see(bureau: Bureau, worked: bool) -> None:
    if worked:
        bureau.rule()
    else:
        due.everything(bureau.ledger.catalog)
        bureau.dock("B", NOW, File("new.mp4", NOW - 80 * H, officer="x"))
    wanted, counts = everything(bureau)
    with bureau.ledger.catalog.read() as conn:
        found = pressing(conn, rules(), NOW)
    assert {(r["rule"], r["subject"]) for r in found.rows} == {(r["rule"], r["subject"]) for r in wanted}
    quiet = ("met", "not-applicable")  # most of what there is after some years: counting it would be a walk
    assert {k: n for k, n in found.counts.items() if n} == {k: n for k, n in counts.items() if k not in quiet}
    assert not found.counts.keys() & set(quiet)
    assert {"met", "late", "due", "untrusted", "not-applicable"} <= counts.keys()
    assert found.unruled == 0
    dues = [r["due_at"] for r in found.rows if r["due_at"]]
    assert dues == sorted(dues) and dues, "the most pressing first"


def test_of_too_much_at_once_it_is_shown_what_stood_and_how_much_is_still_to_be_worked_out(
    bureau: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    bureau.rule()
    bureau.record(NOW, Draft("rules.adopted", "hq-01", {"deadlines": {}, "calendar": {}}))
    lenient = rules(storage_hours=8_000)
    late, kinds = {}, {}
    for most in (2_000, 3):
        monkeypatch.setattr(wiring_rules, "AT_ONCE", most)
        with bureau.ledger.catalog.read() as conn:
            found = pressing(conn, lenient, NOW)
            late[most] = [r["subject"] for r in found.rows if r["status"] == "late" and r["rule"] == "article-28-24h"]
            kinds[most] = (found.unruled > 0, "late" in {row["status"] for row in shown(conn, lenient, NOW)})
    assert (late[2_000], kinds[2_000]) == ([], (False, False))
    assert (len(late[3]), kinds[3]) == (1, (True, True))


def test_no_more_are_shown_than_anybody_reads(bureau: Bureau, monkeypatch: pytest.MonkeyPatch) -> None:
    bureau.rule()
    monkeypatch.setattr(at_work, "MOST", 2)
    with bureau.ledger.catalog.read() as conn:
        found = pressing(conn, rules(), NOW)
    assert len(found.rows) == 2
    assert sum(found.counts.values()) > 2, "but all of them are counted"
