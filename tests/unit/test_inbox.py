"""A watched folder for tables: each is imported once, whatever happens, and none is touched."""

import os
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from mediad.config import Inbox
from mediad.wiring.inbox import InboxPart, take_file
from tests.audit_support import found, fsck
from tests.support import Site, make_site

CASES = "编号,名称,类别\n1,甲,检查\n2,乙,dance\n"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "in").mkdir()
    return make_site(
        tmp_path / "station", more=f'[[inbox]]\nname = "enforcement"\npath = "{tmp_path}/in"\nsettle_seconds = 0\n'
    )


def inbox(site: Site) -> Inbox:
    return site.config.inbox[0]


def put(site: Site, name: str, data: bytes) -> bytes:
    (inbox(site).path / name).write_bytes(data)
    return os.fsencode(name)


def test_the_good_lines_of_a_table_are_taken_once_and_the_file_stays(site: Site) -> None:
    name = put(site, "cases.csv", CASES.encode("gb18030"))
    with closing(site.open()) as station:
        assert take_file(station, inbox(site), name)
        assert not take_file(station, inbox(site), name), "the same bytes are not read again"
        again = put(site, "copy.csv", CASES.encode("gb18030"))
        assert not take_file(station, inbox(site), again), "nor under another name"
        assert take_file(station, inbox(site), put(site, "cases.csv", (CASES + "3,丙,处罚\n").encode()))
    assert [row[0] for row in site.rows("SELECT name FROM casefile ORDER BY name")] == ["丙", "甲"]
    assert {row[0] for row in site.rows("SELECT actor FROM custody WHERE kind = 'case.registered'")} == {
        "inbox:enforcement"
    }
    assert (inbox(site).path / "cases.csv").exists()
    assert found(fsck(site)) == set()


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"", b"x" * 100_000, b'"'])
def test_what_is_no_table_is_told_once(site: Site, data: bytes) -> None:
    name = put(site, "broken.csv", data)
    with closing(site.open()) as station:
        assert take_file(station, inbox(site), name)
        assert not take_file(station, inbox(site), name)
    assert site.rows("SELECT taken, bad FROM imported") == [(0, 1)]


def test_other_files_links_and_what_is_gone_are_left_alone(site: Site) -> None:
    put(site, "notes.docx", b"x")
    put(site, ".hidden.csv", CASES.encode())
    os.mkfifo(inbox(site).path / "pipe.csv")
    with closing(site.open()) as station:
        for name in (b"notes.docx", b".hidden.csv", b"pipe.csv", b"gone.csv"):
            assert not take_file(station, inbox(site), name)
    assert site.rows("SELECT count(*) FROM custody WHERE kind = 'table.imported'") == [(0,)]


def test_the_part_of_the_daemon_takes_what_is_put_in(site: Site) -> None:
    put(site, "before.csv", CASES.encode())
    with closing(site.open()) as station:
        part = InboxPart(station, inbox(site))
        part.start()
        try:
            put(site, "after.csv", CASES.replace("甲", "丁").replace("1,", "9,").encode())
            never, end = threading.Event(), time.monotonic() + 10
            while site.rows("SELECT count(*) FROM imported") != [(2,)]:
                assert part.healthy()
                assert time.monotonic() < end
                never.wait(0.05)
        finally:
            part.stop()
            assert part.join(20)
    assert sorted(row[0] for row in site.rows("SELECT name FROM casefile")) == ["丁", "甲"]
