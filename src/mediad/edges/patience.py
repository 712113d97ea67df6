"""How long a whole conversation over the network may take: time limits of single reads are no limit for one who sends a byte at a
time."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

_AGAIN_SECONDS = 0.2


@contextlib.contextmanager
def at_most(seconds: float, connection: Callable[[], socket.socket | None]) -> Iterator[None]:
    """Shut the connection down under whoever reads or writes it, once the time is over; and again, should it be another one by then
    (one that was made safe, one that was opened late)."""
    over = threading.Event()

    def shut() -> None:
        ended = over.wait(seconds)
        while not ended:
            with contextlib.suppress(OSError):
                if (open_one := connection()) is not None:
                    open_one.shutdown(socket.SHUT_RDWR)
            ended = over.wait(_AGAIN_SECONDS)

    threading.Thread(target=shut, name="patience", daemon=True).start()
    try:
        yield
    finally:
        over.set()
