"""Telling people, put together: the ways of the configuration, a pass, and the thread of the daemon that makes one each minute."""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import structlog

from mediad.catalog import bureau
from mediad.config import Config
from mediad.edges import files
from mediad.edges.mail import Mail
from mediad.edges.webhook import Webhook
from mediad.errors import Busy, MediadError, NotFound, Refused
from mediad.model.custody import Draft
from mediad.model.people import Person, bearers
from mediad.model.telling import trial
from mediad.stages import notify
from mediad.stages.notify import Bureau, Told, Way
from mediad.wiring.bureau import rules
from mediad.wiring.bureau.acts import perform, who_may
from mediad.wiring.station import new_id, now, open_ledger
from mediad.wiring.threads import Threaded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection

    from mediad.catalog.ledger import Ledger
    from mediad.wiring.station import Station

_log = structlog.get_logger()

NOTIFY_LOCK = "notify.lock"
"""Held while people are told: two at once would tell the same."""

PASS_SECONDS = 60.0

_TEST = "test-message"


def ways_of(config: Config) -> list[Way]:
    """Every way that is configured."""
    found: list[Way] = []
    if (m := config.telling.mail) is not None:
        found.append(
            Mail(
                m.host, m.port, m.security, m.sender, credentials=m.credentials_file, ca_file=m.ca_file, timeout=m.timeout_seconds
            )
        )  # fmt: skip
    for w in config.telling.webhook:
        found.append(
            Webhook(
                w.name, w.kind, w.credentials_file, station=config.station.id, ca_file=w.ca_file, timeout=w.timeout_seconds
            )
        )  # fmt: skip
    return found


def bureau_of(conn: Connection, config: Config) -> Bureau:
    """Who tells, and by which rules: limits are those in force, as everywhere; how people are told is the file's."""
    zone, force = config.unit.zone, rules.rules_of(conn, config)
    telling = config.telling.rules(zone)
    return Bureau(config.unit.name, config.station.id, zone, telling, force.untagged, force.tagged_from)


def tell(station: Station, ways: Sequence[Way]) -> Told:
    """One pass. What is due to be ruled on is ruled first. Raises Busy if another process is at it."""
    with files.locked(station.locks / NOTIFY_LOCK, busy="another process is telling people"):
        with suppress(Busy):  # then another process rules; what it finds is told next time
            rules.work_off(station)
        with station.ledger.catalog.read() as conn:
            of = bureau_of(conn, station.config)
        return notify.run(station.ledger, of, ways, new_id, station.stop.is_set)


def listed(ledger: Ledger, config: Config) -> list[dict[str, Any]]:
    """What would go out now, and what a failure holds back. Writes nothing."""
    with ledger.catalog.read() as conn:
        found = notify.letters(conn, bureau_of(conn, config), ways_of(config), ledger.clock())
    return [
        {
            "person": each.person.id, "name": each.person.name, "way": each.way, "title": each.message.title,
            "text": each.message.text, "count": len(each.notices), "held_until": each.held or None, "why": each.why,
        }
        for each in found
    ]  # fmt: skip


def test(config: Config, who: str) -> list[dict[str, Any]]:
    """Send a person a message that tells nothing, by every way that reaches them; it is recorded like every other one. What a way
    says against it is told, not raised. No lock is held meanwhile: a server that hangs holds up nobody. Raises NotFound, and
    Refused where no way reaches the person."""
    ledger = open_ledger(config)
    with closing(ledger.catalog):
        who_may(ledger, config, _TEST)
        with ledger.catalog.read() as conn:
            person = _named(bureau.people(conn), who, config)
    ways = [way for way in ways_of(config) if way.reaches(person)]
    if not ways:
        raise Refused(
            f"no way that is configured reaches {person.name}",
            code="unreachable-person",
            hint="`mediad officer add ... --mail ADDRESS`, and [telling.mail] or [[telling.webhook]]",
        )
    text = trial(config.unit.name, config.station.id, now(), config.unit.zone)
    told: list[dict[str, Any]] = []
    sent: list[Draft] = []
    for way in ways:
        answer = {"person": person.id, "way": way.name, "to": way.reaches(person), "sent": True, "why": ""}
        try:
            way.send(person, text, now())
            sent.append(Draft("message.sent", new_id("msg"), notify.told_of(person, way.name, ())))
        except MediadError as e:
            answer |= {"sent": False, "why": e.message, "hint": e.hint}
        told.append(answer)
    if sent:
        perform(config, _TEST, lambda _ledger, _actor: sent)
    return told


def _named(people: list[Person], who: str, config: Config) -> Person:
    """The person of an id, number, account or name."""
    today = now().astimezone(config.unit.zone).date()
    found = [p for p in people if who == p.id or who in p.logins] or bearers(people, who, today)
    found = found or [p for p in people if p.name == who]
    if len(found) != 1:
        say = "is nobody" if not found else "is the name of several"
        raise NotFound(f"{who} {say}", hint="give the certificate number; `mediad officer list` shows everybody")
    return found[0]


class TellingPart(Threaded):
    """Tells people from a thread of its own: a server that hangs holds up nothing but other messages."""

    def __init__(self, one_pass: Callable[[], Told], seconds: float = PASS_SECONDS, ways: Sequence[str] = ()) -> None:
        super().__init__("telling")
        self._pass, self._seconds = one_pass, seconds
        self._trouble: dict[str, str] = {}
        self._left = dict.fromkeys(ways, 0)

    def trouble(self) -> str:
        """What fails, in one line for the health check; empty if nothing does."""
        return "; ".join(f"{way}: {why}" for way, why in sorted(self._trouble.items()))

    def samples(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        """Metrics of what waits, by way."""
        for way, n in self._left.items():
            yield "mediad_messages_waiting", (way,), n

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                done = self._pass()
                self._trouble = dict(done.trouble)
                self._left = {**dict.fromkeys(self._left, 0), **done.left}
                if done.sent:
                    _log.info("told", messages=done.sent, waiting=done.waiting)
            except Busy:
                pass
            except MediadError as e:
                self._trouble = {"telling": e.message}
                _log.error("nobody can be told now", code=e.code, why=e.message)
            except Exception as e:
                self._trouble = {"telling": f"an unexpected fault: {type(e).__name__}"}
                _log.exception("telling failed")
            self._stopping.wait(self._seconds)
