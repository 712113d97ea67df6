"""The catalogue with a pen: who writes for which station, by which clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

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
        given: Callable[[Connection], None] | None = None,
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
