"""A watched folder for tables: each is imported once, whatever happens, and none is touched."""

import json
import os
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mediad.config import Inbox
from mediad.edges.folders import FolderReady
from mediad.errors import UsageError
from mediad.model.settling import Signature
from mediad.wiring.bureau.inbox import InboxPart, in_order, take_file
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


@pytest.mark.parametrize(
    ("file", "data"),
    [("b.csv", b"\xff\xfe\x00"), ("b.csv", b""), ("b.csv", b"x" * 100_000), ("b.csv", b'"'), ("B.XLSX", b"PK\x03\x04")],
)
def test_what_is_no_table_is_told_once(site: Site, file: str, data: bytes) -> None:
    name = put(site, file, data)
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


def test_a_link_is_no_table_and_a_file_that_is_being_written_is_left_for_later(site: Site, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.csv").write_text(CASES, encoding="utf-8")
    (inbox(site).path / "link.csv").symlink_to(tmp_path / "elsewhere.csv")
    name = put(site, "growing.csv", CASES.encode())
    status = os.stat(inbox(site).path / "growing.csv")
    ready = FolderReady(inbox(site).path, {name: Signature(status.st_size, status.st_mtime_ns, status.st_ino)})
    put(site, "growing.csv", CASES.encode() + b"3,")
    with closing(site.open()) as station:
        assert not take_file(station, inbox(site), b"link.csv")
        assert not take_file(station, inbox(site), name, partial(ready.accepts, name))
    assert site.rows("SELECT count(*) FROM imported") == [(0,)]


def test_a_table_that_may_not_be_read_is_no_table_that_was_looked_at(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, real = put(site, "cases.csv", CASES.encode()), os.open

    def denied(path: Any, *more: Any) -> int:
        if os.fsencode(path).endswith(b"cases.csv"):
            raise PermissionError(13, "Permission denied")
        return real(path, *more)

    with closing(site.open()) as station:
        with monkeypatch.context() as patched:
            patched.setattr("mediad.edges.tabular.os.open", denied)
            with pytest.raises(UsageError, match="cannot be read"):
                take_file(station, inbox(site), name)
        assert take_file(station, inbox(site), name)


def test_tables_are_taken_in_the_order_in_which_they_were_written() -> None:
    files = {
        b"export-9.csv": Signature(1, 100, 1),
        b"export-10.csv": Signature(1, 200, 2),
        b"a.csv": Signature(1, 200, 3),
    }
    assert in_order(files) == [b"export-9.csv", b"a.csv", b"export-10.csv"]


def test_a_watched_folder_makes_nobody_an_approver(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    site = make_site(
        tmp_path / "station",
        more=f'[[inbox]]\nname = "staff"\npath = "{tmp_path}/in"\nwhat = "people"\nsettle_seconds = 0\n',
    )
    name = put(site, "staff.csv", b"certificate,name,roles,login\n1,x,approver,mallory\n")
    with closing(site.open()) as station:
        assert take_file(station, inbox(site), name)
    (told,) = [json.loads(row[0]) for row in site.rows("SELECT detail FROM custody WHERE kind = 'person.registered'")]
    assert (told["roles"], told["logins"]) == (["officer"], [])


def test_the_part_of_the_daemon_takes_what_is_put_in(site: Site) -> None:
    put(site, "before.csv", CASES.encode())
    with closing(site.open()) as station:
        part = InboxPart(station, inbox(site))
        part.start()
        try:
            put(site, "after.csv", CASES.replace("甲", "丁").replace("1,", "9,").encode())
            never, end = threading.Event(), time.monotonic() + 60
            while site.rows("SELECT count(*) FROM imported") != [(2,)]:
                assert part.healthy()
                assert time.monotonic() < end
                never.wait(0.05)
        finally:
            part.stop()
            assert part.join(20)
    assert sorted(row[0] for row in site.rows("SELECT name FROM casefile")) == ["丁", "甲"]
