"""The custody chain: any change to any event, and any event taken out, put in or moved, is found."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediad.model import custody
from mediad.model.custody import GENESIS, Draft, Event

AT = "2026-11-24T08:00:00.000000Z"
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
drafts = st.builds(
    Draft,
    kind=st.sampled_from(["asset.stored", "file.failed", "x"]),
    subject=texts,
    detail=st.dictionaries(texts, values, max_size=4),
)


def chain(items: list[Draft], actor: str = "keeper") -> list[Event]:
    events: list[Event] = []
    for draft in items:
        prev = events[-1].hash if events else GENESIS
        events.append(custody.link(prev, len(events) + 1, AT, "hq-01", actor, draft))
    return events


chains = st.builds(chain, st.lists(drafts, min_size=1, max_size=6), texts)


@given(chains)
def test_a_chain_as_it_was_made_holds(events: list[Event]) -> None:
    assert custody.check_chain(events, station="hq-01") is None
    middle = len(events) // 2
    before = events[middle - 1].hash if middle else GENESIS
    assert custody.check_chain(events[middle:], station="hq-01", after=middle, prev=before) is None


@given(chains)
def test_a_segment_is_read_back_as_it_was_written(events: list[Event]) -> None:
    """Also with line breaks, quotes, control characters and any script in subjects, actors and details."""
    data = custody.segment(events)
    assert data.count(b"\n") == len(events)
    assert list(custody.parse_segment(data)) == events
    for event in events:
        assert json.loads(event.line())["detail"] == event.body()


def _other(name: str, value: Any) -> Any:
    """Another value for a field, close to the old one."""
    if name == "detail":
        return custody.canonical({**json.loads(value), "extra": 1})
    return value + 1 if isinstance(value, int) else f"{value}x"


@given(chains, st.data())
def test_any_change_of_any_field_is_found_and_names_the_event(events: list[Event], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(events) - 1))
    field = data.draw(st.sampled_from([f.name for f in dataclasses.fields(Event)]))
    changed = dataclasses.replace(events[at], **{field: _other(field, getattr(events[at], field))})
    broken = custody.check_chain([*events[:at], changed, *events[at + 1 :]], station="hq-01")
    assert broken is not None
    assert broken.seq == at + 1


@given(chains, st.data())
def test_an_event_taken_out_is_found(events: list[Event], data: st.DataObject) -> None:
    """Unless it is the last: that is what the mirrors are for (``custody verify`` compares with them)."""
    if len(events) < 2:
        return
    at = data.draw(st.integers(0, len(events) - 2))
    broken = custody.check_chain(events[:at] + events[at + 1 :], station="hq-01")
    assert broken is not None
    assert (broken.seq, broken.code) == (at + 1, "chain-gap")


@given(chains, st.data())
def test_an_event_taken_out_and_the_rest_renumbered_is_found(events: list[Event], data: st.DataObject) -> None:
    if len(events) < 2:
        return
    at = data.draw(st.integers(0, len(events) - 2))
    rest = [dataclasses.replace(e, seq=e.seq - 1) for e in events[at + 1 :]]
    assert custody.check_chain(events[:at] + rest, station="hq-01") is not None


@given(chains, st.data())
def test_two_events_swapped_are_found(events: list[Event], data: st.DataObject) -> None:
    if len(events) < 2:
        return
    at = data.draw(st.integers(0, len(events) - 2))
    swapped = list(events)
    swapped[at], swapped[at + 1] = swapped[at + 1], swapped[at]
    assert custody.check_chain(swapped, station="hq-01") is not None
    numbered = [dataclasses.replace(e, seq=n) for n, e in enumerate(swapped, 1)]
    assert custody.check_chain(numbered, station="hq-01") is not None


@given(chains, drafts, st.data())
def test_an_event_put_in_is_found(events: list[Event], draft: Draft, data: st.DataObject) -> None:
    """Even one that is linked well to the event before it."""
    at = data.draw(st.integers(0, len(events) - 1))
    prev = events[at - 1].hash if at else GENESIS
    inserted = custody.link(prev, at + 1, AT, "hq-01", "intruder", draft)
    if inserted == events[at]:
        return
    moved = [dataclasses.replace(e, seq=e.seq + 1) for e in events[at:]]
    assert custody.check_chain([*events[:at], inserted, *moved], station="hq-01") is not None
    assert custody.check_chain([*events[:at], inserted, *events[at:]], station="hq-01") is not None


@given(chains)
def test_a_chain_of_another_station_does_not_hold(events: list[Event]) -> None:
    broken = custody.check_chain(events, station="hq-02")
    assert broken is not None
    assert broken.code == "chain-station"


@given(chains, st.data())
@settings(max_examples=200)
def test_a_segment_with_any_byte_changed_does_not_pass(events: list[Event], data: st.DataObject) -> None:
    raw = bytearray(custody.segment(events))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        found = list(custody.parse_segment(bytes(raw)))
    except ValueError:
        return
    assert found != events
    assert custody.check_chain(found, station="hq-01") is not None


@given(chains, st.data())
def test_a_segment_cut_off_in_a_line_does_not_pass(events: list[Event], data: st.DataObject) -> None:
    raw = custody.segment(events)
    cut = data.draw(st.integers(1, len(raw) - 1))
    if raw[:cut].endswith(b"\n"):
        return
    with pytest.raises(ValueError, match=r".+"):
        list(custody.parse_segment(raw[:cut]))


@given(st.text(max_size=60) | st.builds(json.dumps, values))
def test_any_other_line_is_refused_and_raises_nothing_else(line: str) -> None:
    with pytest.raises(ValueError, match="custody event"):
        custody.parse_line(line)


@pytest.mark.parametrize("line", ["[" * 100_000, "{}", '{"seq": 1}', "null", '{"seq":NaN}'])
def test_lines_made_to_hurt_the_parser_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match="custody event"):
        custody.parse_line(line)


def test_an_empty_segment_has_no_events() -> None:
    assert list(custody.parse_segment(b"")) == []


def test_nan_has_no_canonical_form() -> None:
    with pytest.raises(ValueError, match=r".+"):
        custody.canonical({"x": float("nan")})
