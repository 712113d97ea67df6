"""The catalogue with a pen: who writes for which station, by which clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from mediad.catalog import tables as t
from mediad.catalog.db import Catalog
from mediad.catalog.record import record
from mediad.model.custody import Draft, Event

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Ledger:
    """Writes facts in the name of ``actor`` (the operating system's login) at ``station``. Safe to use from many threads."""

    catalog: Catalog
    station: str
    actor: str
    clock: Clock

    def record(
        self,
        drafts: Sequence[Draft],
        also: Callable[[Connection], None] | None = None,
        given: Callable[[Connection], object] | None = None,
    ) -> list[Event]:
        """Record facts, and whatever ``also`` changes, in one transaction; ``given`` looks first, and raises if they may not
        be recorded any more. Durable when it returns."""

        def work(conn: Connection) -> list[Event]:
            if given is not None:
                given(conn)
            events = record(conn, drafts, at=self.clock(), station=self.station, actor=self.actor)
            if also is not None:
                also(conn)
            return events

        return self.catalog.write(work)

    def raise_alarm(self, code: str, subject: str, detail: str) -> None:
        """Record an alarm, unless the same was raised of the same subject before: a trouble that stays is one alarm."""

        def work(conn: Connection) -> None:
            a = t.alarm.c
            if conn.execute(select(a.seq).where(a.code == code, a.subject == subject).limit(1)).first() is None:
                draft = Draft("alarm.raised", subject, {"code": code, "detail": detail})
                record(conn, [draft], at=self.clock(), station=self.station, actor=self.actor)

        self.catalog.write(work)
