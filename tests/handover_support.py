"""What tests of hand-overs share: a station with people, who acts, and what a page says."""

import csv
import io
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mediad.wiring import station
from mediad.wiring.bureau import registers
from tests.support import Site, make_card, make_site, noise, program

PEOPLE = [
    {"certificate": "LN0001", "name": "李明", "roles": "officer", "login": "liming"},
    {"certificate": "LN0002", "name": "王芳", "roles": "dock-operator", "login": "wangfang"},
    {"certificate": "LN0003", "name": "赵强", "roles": "officer", "login": "zhaoqiang"},
    {"certificate": "LN0004", "name": "值班台", "roles": "dock-operator", "login": "duty", "shared": "是"},
]
HOUR = timedelta(hours=1)


def bureau(root: Path, *, receiver: str = 'receiver = "LN0002"', more: str = "") -> Site:
    """A station whose receiver is 王芳."""
    site = make_site(root, more=more)
    text = site.config_file.read_text(encoding="utf-8")
    site.config_file.write_text(text.replace('id = "test-01"', f'id = "test-01"\n{receiver}'), encoding="utf-8")
    register(site, PEOPLE)
    return site


def register(site: Site, people: list[Mapping[str, str]] | list[dict[str, str]]) -> None:
    header = sorted({column for person in people for column in person})
    out = io.StringIO()
    csv.writer(out).writerows([header, *[[person.get(column, "") for column in header] for person in people]])
    table = site.root / "people.csv"
    table.write_text(out.getvalue(), encoding="utf-8")
    plan, _ = registers.take(site.config, "people", table, good=False)
    assert not plan.findings, plan.findings


def acts_as(monkeypatch: pytest.MonkeyPatch, login: str) -> None:
    """Whose account the commands of this test are given under."""
    monkeypatch.setattr(station, "login", lambda: login)


def recent(hours: float = 2.0) -> int:
    """A file time so long ago, in nanoseconds."""
    return int((datetime.now(UTC) - timedelta(hours=hours)).timestamp()) * 10**9


def dock(site: Site, name: str, files: int = 1, *, officer: str = "LN0001", hours: float = 2.0, seed: int = 0) -> str:
    """Dock a card with so many small files that are new; returns the docking."""
    made = {f"DCIM/{name}_{n:04}.jpg": noise(900, hash((name, seed)) % 10**6 + n) for n in range(files)}
    card = make_card(site.root / f"card-{name}-{seed}", made, mtime_ns=recent(hours))
    return site.ingest(card, recorder=name, officer=officer).docking


def text_of(pdf: bytes) -> str:
    """What stands in a PDF, without blanks."""
    told = [program("pdftotext", "poppler-utils"), "-raw", "-", "-"]
    return "".join(subprocess.run(told, input=pdf, capture_output=True, check=True, timeout=60).stdout.decode().split())


def pages_of(pdf: bytes) -> int:
    told = [program("pdfinfo", "poppler-utils"), "-"]
    out = subprocess.run(told, input=pdf, capture_output=True, check=True, timeout=60).stdout.decode()
    return int(next(line.split()[1] for line in out.splitlines() if line.startswith("Pages:")))


def rows(site: Site, query: str, *values: Any) -> list[Any]:
    return site.rows(query, *values)
