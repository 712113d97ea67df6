"""What the daemon does beside its dockings: limits of what came in, and the cases that it is of. It needs neither a recorder nor
the sandbox of foreign media."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import structlog

from mediad.catalog import due
from mediad.errors import MediadError, Stopping
from mediad.wiring.bureau import matching, rules
from mediad.wiring.station import Station
from mediad.wiring.threads import Threaded

_log = structlog.get_logger()

Work = Callable[[Station], int]
"""Works off what is due of one kind, and returns how many facts it recorded."""

WORK: Sequence[Work] = (rules.work_off, lambda station: matching.work_off(station).tagged)
"""Limits first: matching asks the rulings who carried what."""

POLL_SECONDS = 2.0
"""How often it is looked whether something is due. The look costs one query."""

RETRY_MOST_SECONDS = 300.0


def work_once(station: Station, work: Sequence[Work] = WORK) -> int:
    """Work off everything that is due now; returns how many facts were recorded. Raises Busy if another process is at it."""
    return sum(each(station) for each in work)


class OfficePart(Threaded):
    """Works off what is due, again and again, in a thread of its own. What cannot be done now (the catalogue is busy, its disk is
    full) is tried again, less and less often; evidence waits for none of it."""

    def __init__(self, station: Station, work: Sequence[Work] = WORK, *, poll: float = POLL_SECONDS) -> None:
        super().__init__("office")
        self._station, self._work, self._poll = station, work, poll
        self._refilled = False

    def _run(self) -> None:
        delay, said = self._poll, ""
        while not self._stopping.wait(delay if said or self._refilled else 0):
            try:
                self.turn()
                delay, said = self._poll, ""
            except Stopping:
                return
            except Exception as e:
                code = e.code if isinstance(e, MediadError) else "unexpected"
                if code != said:  # a trouble that stays is told once
                    _log.error(
                        "what is due cannot be worked off",
                        code=code,
                        why=str(e),
                        exc_info=not isinstance(e, MediadError),
                    )
                delay, said = min(2 * max(delay, self._poll), RETRY_MOST_SECONDS), code

    def turn(self) -> int:
        """Everything that is due now, once; what was recorded is in the vault's log at the end. The first time it is looked
        behind it for what is missing among the due: that may take a while, and nobody waits for it."""
        recorded = work_once(self._station, self._work)
        if not self._refilled:
            due.refill(self._station.ledger.catalog, due.BUREAU, since=rules.limited_since(self._station))
            self._refilled = True
            recorded += work_once(self._station, self._work)
        if recorded:
            began = time.monotonic()
            self._station.parts.mirror()
            _log.info("worked off", recorded=recorded, mirrored_seconds=round(time.monotonic() - began, 3))
        return recorded
