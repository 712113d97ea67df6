"""What can have become of a recorder, whatever its moves before."""

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mediad.model.moves import problems
from mediad.model.registers import RECORDER_STATES, Move
from mediad.wiring.bureau.handing import _HINTS

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
times = st.integers(-100, 100).map(lambda minutes: NOON + timedelta(minutes=minutes))
made = st.builds(
    Move, st.just("rcd-1"), st.sampled_from(RECORDER_STATES), times, st.sampled_from(["", "per-a", "per-b"]),
    st.none() | times, st.sampled_from(["", "落水"]),
)  # fmt: skip


@given(st.lists(made, max_size=8))
def test_whatever_people_enter_a_recorder_has_one_carrier_at_a_time_and_its_moves_are_in_order(
    tried: list[Move],
) -> None:
    kept: list[Move] = []
    for move in tried:
        found = list(problems(move, kept, NOON))
        assert {problem.code for problem in found} <= _HINTS.keys()
        if not found:
            kept.append(move)
    assert [m.at for m in kept] == sorted(m.at for m in kept)
    assert all(m.at <= NOON for m in kept)
    assert all(m.carrier for m in kept if m.state == "issued")
    assert all(m.why for m in kept if m.state in ("lost", "broken"))
    for before, after in itertools.pairwise(kept):
        assert not (before.state in ("lost", "broken") and after.state == "issued")
        assert not before.state == after.state == "returned"
        assert not (before.state == after.state == "issued" and before.carrier != after.carrier)


def test_an_ordinary_day_has_no_problem() -> None:
    out = Move("rcd-1", "issued", NOON - timedelta(hours=3), "per-a", NOON)
    assert list(problems(out, [], NOON)) == []
    assert list(problems(Move("rcd-1", "returned", NOON), [out], NOON)) == []
