"""Notify: tell people of limits, and record what was told.

What is to be told follows from the facts, the clock and what was told before; nothing is kept but that. A way that fails (a mail
server that is down) is left alone for a while, longer each time; so is a person whom it cannot reach. What was handed over is
recorded, and not told again; should the recording itself fail, it goes out once more, with the same key.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Connection

from mediad.catalog import bureau
from mediad.catalog import telling as memory
from mediad.catalog.ledger import Ledger
from mediad.errors import MediadError
from mediad.model.backoff import MOST, put_off
from mediad.model.custody import Draft
from mediad.model.deadline import TAG
from mediad.model.instants import stamp
from mediad.model.people import Person
from mediad.model.registers import handed_out
from mediad.model.telling import TRIP, Message, Notice, Telling, Topic, chunked, due, known, message

_log = structlog.get_logger()

OF_ONE: Final = frozenset({"address-refused", "message-refused"})
"""Failures that say something of one person's address, and nothing of the way."""


class Way(Protocol):
    """How people are told: mail, or a robot."""

    name: str

    def reaches(self, person: Person) -> str:
        """Where; empty if it does not reach the person."""

    def send(self, person: Person, message: Message, at: datetime) -> None:
        """Raises MediadError unless the other side has taken it."""


@dataclass(frozen=True, slots=True)
class Bureau:
    """Who tells, and by which rules."""

    unit: str
    station: str
    zone: ZoneInfo
    telling: Telling
    untagged: timedelta | None
    """After so long a recording of no case is told of; None: never."""
    tagged_from: datetime | None = None
    """What was there before then wants no case."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What one person is to be told in one way now. ``held``: until when it waits, and why."""

    person: Person
    way: str
    notices: Sequence[Notice]
    message: Message
    held: str = ""
    why: str = ""


@dataclass(slots=True)
class Told:
    """What a pass came to. ``trouble``: way to why it fails; ``left``: way to how many messages of it wait."""

    sent: int = 0
    waiting: int = 0
    trouble: dict[str, str] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict, compare=False)

    def waits(self, way: str) -> None:
        self.waiting += 1
        self.left[way] = self.left.get(way, 0) + 1


def topics(conn: Connection, bureau_: Bureau, now: datetime) -> list[Topic]:
    """Everything that somebody may have to be told of by now."""
    since, until = stamp(bureau_.telling.since(now)), stamp(bureau_.telling.until(now))
    rows = memory.pressing(conn, since, until)
    cases = memory.cases_of(conn, [r.subject for r in rows if r.subject.startswith("cas-")])
    subjects = {
        r.subject: memory.docking_of(r.detail) if r.subject.startswith("fil-") else handed_out(r.subject) for r in rows
    }
    labels = memory.recorder_of(conn, set(subjects.values()))
    found = []
    for r in rows:
        department, handlers = cases.get(r.subject, ("", frozenset()))
        persons = handlers | ({r.carrier} if r.carrier else frozenset())
        at = datetime.fromisoformat(r.ended_at) if r.ended_at else None
        found.append(
            Topic(
                r.rule, r.subject, r.state, datetime.fromisoformat(r.due_at), persons, department,
                labels.get(subjects[r.subject], ""), at,
            )
        )  # fmt: skip
    found += [
        Topic(TRIP, trip, "waiting", datetime.fromisoformat(expected), persons)
        for trip, expected, persons in memory.away(conn, since, until)
    ]
    if bureau_.untagged is not None and not any(topic.rule == TAG for topic in found):
        found += _untagged(conn, bureau_, bureau_.untagged, now)
    return found


def _untagged(conn: Connection, bureau_: Bureau, after: timedelta, now: datetime) -> list[Topic]:
    since, until = bureau_.telling.since(now) - after, bureau_.telling.until(now) - after
    since = max(since, bureau_.tagged_from or since)
    return [
        Topic(
            TAG, r.recording, "waiting", datetime.fromisoformat(r.since) + after,
            frozenset({r.carrier} if r.carrier else ()), "", r.label, datetime.fromisoformat(r.ended_at),
        )
        for r in memory.untagged(conn, stamp(since), stamp(until))
    ]  # fmt: skip


def letters(conn: Connection, of: Bureau, ways: Sequence[Way], now: datetime) -> list[Letter]:
    """What is to be told now, and in which way; what a failure holds back is among it. Writes nothing."""
    everything = topics(conn, of, now)
    people = {p.id: p for p in bureau.people(conn)}
    failures = memory.failures(conn)
    reached = {p.id for p in people.values() if any(way.reaches(p) for way in ways)}
    found = []
    for way in ways:
        told = known(memory.told(conn, {topic.subject for topic in everything}, way.name))
        for person_id, notices in sorted(due(everything, of.telling, people, told, now, reached).items()):
            person = people[person_id]
            if not way.reaches(person):
                continue
            row = _held(failures, way.name, person_id, now)
            found.append(
                Letter(
                    person, way.name, notices, message(of.unit, of.station, notices, now, of.zone),
                    row.not_before if row else "", row.why if row else "",
                )
            )  # fmt: skip
    return found


def _held(failures: Mapping[str, memory.Failure], way: str, person: str, now: datetime) -> memory.Failure | None:
    """What holds a letter back. What is put off for longer than anything ever is, was so by a clock that was ahead then."""
    for name in (way, f"{person} {way}"):
        row = failures.get(name)
        if row is not None and stamp(now) < row.not_before <= stamp(now + MOST):
            return row
    return None


def run(
    ledger: Ledger,
    of: Bureau,
    ways: Sequence[Way],
    new_id: Callable[[str], str],
    stopping: Callable[[], bool] = lambda: False,
) -> Told:
    """Tell what is to be told now. Nothing of what a way or a server does ends the pass."""
    with ledger.catalog.read() as conn:
        waiting = letters(conn, of, ways, ledger.clock())
        failures = memory.failures(conn)
    by_name = {way.name: way for way in ways}
    done, down = Told(), set[str]()
    taken: set[tuple[str, str, str]] = set()
    for letter in waiting:
        if letter.held:
            done.trouble.setdefault(letter.way, letter.why)
        if stopping() or letter.held or letter.way in down:
            done.waits(letter.way)
            continue
        if of.telling.quiet.within(ledger.clock()):  # it has begun while others were told
            done.waits(letter.way)
            continue
        # Two persons of one address: the same words go there once, and both are told.
        same = (letter.way, by_name[letter.way].reaches(letter.person), letter.message.key)
        failure = _tell(ledger, by_name[letter.way], letter, failures, new_id, there=same in taken)
        if failure is None:
            taken.add(same)
            done.sent += 1
            continue
        done.waits(letter.way)
        done.trouble[letter.way] = failure[1]
        if failure[0] not in OF_ONE:
            down.add(letter.way)
    wanted = {name for each in waiting for name in (each.way, f"{each.person.id} {each.way}")}
    if gone := failures.keys() - wanted:  # nobody needs it any more
        ledger.catalog.write(lambda conn: memory.worked(conn, gone))
    return done


def _tell(
    ledger: Ledger,
    way: Way,
    letter: Letter,
    failures: Mapping[str, memory.Failure],
    new_id: Callable[[str], str],
    *,
    there: bool,
) -> tuple[str, str] | None:
    """Tell one person, unless it is ``there`` already; the code and the sentence of what kept it from them."""
    both = (way.name, f"{letter.person.id} {way.name}")
    try:
        if not there:
            way.send(letter.person, letter.message, ledger.clock())
    except MediadError as e:
        code, why = e.code, e.message
    except Exception as e:  # a fault of ours ends neither the pass nor the thread
        _log.exception("telling failed", way=way.name)
        code, why = "unexpected", f"an unexpected fault: {type(e).__name__}"
    else:
        told = [
            Draft("message.sent", new_id("msg"), told_of(letter.person, way.name, some))
            for some in chunked(letter.notices)
        ]
        ledger.record(told, also=(lambda conn: memory.worked(conn, both)) if failures.keys() & set(both) else None)
        return None
    name = both[1] if code in OF_ONE else both[0]
    before = failures.get(name)
    tries = before.tries + 1 if before is not None else 1
    now = ledger.clock()
    ledger.catalog.write(
        partial(memory.failed, subject=name, since=stamp(now), again=stamp(now + put_off(tries)), tries=tries, why=why)
    )
    _log.warning("not told", way=way.name, person=letter.person.id, code=code, why=why, tries=tries)
    return code, why


def told_of(person: Person, way: str, notices: Sequence[Notice]) -> dict[str, object]:
    """As the event holds it: who, how, and of what; no words."""
    return {
        "person": person.id, "way": way,
        "notices": [
            {"rule": rule, "subject": subject, "limit": limit, "step": n.step}
            for n in notices for rule, subject, limit in [n.topic.key]
        ],
    }  # fmt: skip
