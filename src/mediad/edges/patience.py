"""How long a whole conversation over the network may take: time limits of single reads are no limit for one who sends a byte at a
time."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def at_most(seconds: float, connection: Callable[[], socket.socket | None]) -> Iterator[None]:
    """Shut the connection down under whoever reads or writes it, once the time is over."""

    def shut() -> None:
        with contextlib.suppress(OSError):
            if (open_one := connection()) is not None:
                open_one.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
