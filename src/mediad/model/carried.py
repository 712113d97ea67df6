"""What a recorder says of itself before its disk appears, carried by slot."""

from dataclasses import dataclass

from mediad.model.layout import printable


@dataclass(frozen=True, slots=True)
class SlotIdentity:
    """Who a recorder says it is, read before its disk appeared and carried by slot.  Claims; empty where not
    given.
    """

    serial: str = ""
    officer: str = ""
    officer_name: str = ""
    unit: str = ""
    unit_name: str = ""
    clock: str = ""
    """The recorder's own clock as it printed it, not interpreted."""
    heard_at: str = ""
    """The station's clock at that moment: both together tell how far the recorder's is off."""

    def told(self) -> dict[str, str] | None:
        """What is worth recording of it, printable and short; None if it said nothing."""
        fields = {
            name: printable(getattr(self, name).encode("utf-8", "surrogateescape"))[:_SAID_CHARACTERS]
            for name in self.__dataclass_fields__
        }
        given = {name: value for name, value in fields.items() if value}
        return given if given.keys() - {"heard_at"} else None


_SAID_CHARACTERS = 64
"""Of each thing that a recorder says; real ones have 30 at most."""


class Carried:
    """Identities that wait for the disk that follows them on the same port.  Pure; ``now`` is monotonic
    seconds.

    A recorder unlocks, leaves the bus, and comes back as a disk; an identity older than ``keep_seconds`` is
    not believed, because by then it may be another recorder.  It is handed out to one device only and stays
    with that device's port until it leaves.
    """

    def __init__(self, keep_seconds: float = 60.0) -> None:
        self._keep = keep_seconds
        self._waiting: dict[str, tuple[float, SlotIdentity]] = {}

    def put(self, port: str, identity: SlotIdentity, now: float) -> None:
        self._waiting[port] = (now, identity)

    def take(self, port: str, now: float) -> SlotIdentity | None:
        """The identity for the device that has just appeared on ``port``, once."""
        at, identity = self._waiting.pop(port, (0.0, None))
        return identity if identity is not None and now - at <= self._keep else None
