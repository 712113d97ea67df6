"""What is done to a run of ``mediad`` before it begins: a fault in it, or a list of its calls, or another account."""

import os
from pathlib import Path

from tests.faults.syscalls import Faults, Mode


def attack(mode: Mode | None, at: int, login: str, out: Path) -> None:
    """In the process of the run (``tests/program.py``); ``record`` writes the calls into the file ``calls`` of a folder."""
    log = None
    if mode == "record":
        journal = os.open(out / "calls", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        write = os.write

        def log(line: str) -> None:
            write(journal, line.encode() + b"\n")

    if login:
        _stand_in(login)
    if mode:
        Faults(mode, at, log).install()


def _stand_in(login: str) -> None:
    """Under whose account the program runs; and forms are drawn at once, for how they are drawn is not what is attacked."""
    from mediad.edges import typst
    from mediad.wiring import station

    station.login = lambda: login
    typst.render = lambda template, data, at, **_: f"%PDF {template} {at} {data['number']}".encode()
