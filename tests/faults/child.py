"""A process that runs ``mediad`` with a fault in it, many times over: everything is imported once, each run is a fork.

Started as ``python -m tests.faults.child``; takes one JSON order per line and answers each with one line: how the run ended.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.faults.syscalls import Faults


def _run(order: dict[str, Any]) -> None:
    """In the fork: standard streams to files, the fault installed, then the program as a user would call it."""
    out = Path(order["out"])
    for number, name in ((1, "stdout"), (2, "stderr")):
        fd = os.open(out / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(fd, number)
        os.close(fd)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    log = None
    if order["mode"] == "record":
        journal = os.open(out / "calls", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        write = os.write

        def log(line: str) -> None:
            write(journal, line.encode() + b"\n")

    if order["login"]:
        _stand_in(order["login"])
    if order["mode"] != "none":
        Faults(order["mode"], order.get("at", 0), log).install()
    from mediad.cli import main

    sys.argv = ["mediad", *order["arguments"]]
    main.main()


def _stand_in(login: str) -> None:
    """Under whose account the program runs; and forms are drawn at once, for how they are drawn is not what is attacked."""
    from mediad.edges import typst
    from mediad.wiring import station

    station.login = lambda: login
    typst.render = lambda template, data, at, **_: f"%PDF {template} {at} {data['number']}".encode()


def main() -> None:
    """Serve orders until the input ends."""
    # Loaded here once; no engine, thread or file of a run exists before the fork.
    import mediad.catalog.db
    import mediad.catalog.ledger
    import mediad.cli.cases
    import mediad.cli.derive
    import mediad.cli.handover
    import mediad.cli.ingest
    import mediad.cli.main
    import mediad.deriver
    import mediad.session
    import mediad.wiring.bureau.filing
    import mediad.wiring.bureau.handover
    import mediad.wiring.derive
    import mediad.wiring.docking
    import mediad.wiring.media  # noqa: F401

    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                _run(order)
                code = 0
            except SystemExit as e:
                code = e.code if isinstance(e.code, int) else 0 if e.code is None else 1
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
