"""The process that forks faulty runs, one per test worker."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import Site

REPOSITORY = Path(__file__).parents[2]


@dataclass
class Forge:
    """Runs ``mediad`` with a fault. ``status`` is the exit code, negative for a signal, 70 for a traceback."""

    process: "subprocess.Popen[str]"

    def run(self, site: Site, *arguments: str | Path, mode: str = "none", at: int = 0) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        order = {
            "mode": mode,
            "at": at,
            "out": str(site.root),
            "arguments": ["-c", str(site.config_file), *map(str, arguments)],
        }
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        status: int = json.loads(self.process.stdout.readline())["status"]
        return status


@pytest.fixture(scope="session")
def forge() -> Iterator[Forge]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    yield Forge(process)
    assert process.stdin is not None
    process.stdin.close()
    process.wait(timeout=60)
    assert process.stdout is not None
    process.stdout.close()
