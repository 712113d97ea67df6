"""What cannot have become of a recorder (领用, 归还, 丢失, 损坏): it has one carrier at a time, and moves come in their order."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from mediad.model.problems import Problem
from mediad.model.registers import Move


def problems(new: Move, before: Sequence[Move], now: datetime) -> Iterator[Problem]:
    """What keeps a move from being recorded behind those before it, which are given in their order."""
    last = before[-1] if before else None
    if new.at > now:
        yield Problem("future", "that is in the future")
    if last is not None and new.at < last.at:
        yield Problem("out-of-order", f"it was {last.state} at {last.at.isoformat()} already")
    if new.state == "issued":
        if not new.carrier:
            yield Problem("nobody", "a recorder is handed out to somebody")
        if last is not None and last.state == "issued" and last.carrier != new.carrier:
            yield Problem("two-carriers", "it is out already, with somebody else")
        if last is not None and last.state in ("lost", "broken"):
            yield Problem("not-back", f"it is {last.state}, and nobody has said that it is back")
        if new.expected is not None and new.expected < new.at:
            yield Problem("ends-before-it-begins", "it is expected back before it goes out")
    if new.state == "returned" and (last is None or last.state == "returned"):
        yield Problem("not-out", "it is at the unit already: nobody was handed it")
    if new.state in ("lost", "broken") and not new.why:
        yield Problem("no-reason", f"{new.state} wants to be told how")
