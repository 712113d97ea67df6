"""Hand-overs: who may sign for what, what lies in the vault afterwards, and what a page tells."""

import csv
import io
import json
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mediad.cli import common
from mediad.cli import handover as cli
from mediad.cli.progress import _Plain
from mediad.edges import typst
from mediad.edges.tabular import csv_text
from mediad.errors import IntegrityError, NotDrawn, NotFound, Refused, StorageError, UsageError
from mediad.model.instants import stamp
from mediad.wiring.bureau import handover, handover_register, spoken
from mediad.wiring.docking import dock_path
from tests.audit_support import fsck
from tests.handover_support import acts_as, bureau, dock, pages_of, recent, register, text_of
from tests.support import Site, make_card, noise, program, sha256

SOON = timedelta(minutes=5)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A station whose receiver 王芳 is at its keyboard."""
    site = bureau(tmp_path / "station")
    acts_as(monkeypatch, "wangfang")
    return site


def state(site: Site, docking: str) -> tuple[str, int]:
    query = (
        "SELECT h.state, h.version FROM handover h JOIN handover_part p ON p.handover = h.docking WHERE p.docking = ?"
    )
    return tuple(site.rows(query, docking)[0])  # type: ignore[return-value]


def refused(code: str, *arguments: Any, **more: Any) -> Refused:
    with pytest.raises(Refused) as told:
        handover.sign_all(*arguments, **more)
    assert told.value.code == code
    return told.value


# --- signing -------------------------------------------------------------------------------------------------------------


def test_a_signed_hand_over_lies_in_the_vault_beside_its_record_and_in_the_log(site: Site) -> None:
    docking = dock(site, "DSJ-1", 2)
    before = (site.vault / site.rows("SELECT handover_key FROM docking")[0][0]).read_bytes()
    (told,) = handover.sign_all(site.config, [docking])
    assert (told["giver"], told["receiver"], told["on_behalf_of"], told["version"]) == ("李明", "王芳", None, 1)
    folder = site.vault / Path(told["record"]["key"]).parent
    assert sorted(f.name for f in folder.iterdir()) == ["record-1.json", "record-1.pdf", "record.json"]
    assert (folder / "record.json").read_bytes() == before, "nothing is rewritten"
    for part in ("record", "page"):
        data = (site.vault / told[part]["key"]).read_bytes()
        assert sha256(data) == told[part]["sha256"]
        assert (site.vault / told[part]["key"]).stat().st_mode & 0o222 == 0
    (event,) = site.rows("SELECT actor, detail FROM custody WHERE kind = 'handover.signed'")
    detail = json.loads(event[1])
    assert (event[0], detail["record"], detail["page"]) == ("wangfang", told["record"], told["page"])
    assert detail["confirmed_at"] == site.rows("SELECT signed_at FROM handover")[0][0] == told["confirmed_at"]
    assert state(site, docking) == ("signed", 1)
    report = fsck(site)
    assert (report.findings, report.counts["signed"]) == ([], 2)


def test_the_record_tells_who_what_when_and_the_digests(site: Site) -> None:
    docking = dock(site, "DSJ-1", 2, hours=50)
    handover.sign_all(site.config, [docking])
    record = json.loads(handover.signed_record(site.config, docking))
    assert (record["giver"]["certificate"], record["receiver"]["certificate"]) == ("LN0001", "LN0002")
    assert record["arrived_at"] <= record["stored_at"] <= record["confirmed_at"]
    assert (record["counts"]["new"], record["recordings"]["kinds"], record["counts"]["bytes"]) == (
        2,
        {"photo": 2},
        1800,
    )
    assert [r["status"] for r in record["rulings"]] == ["late", "late"]
    assert [d["docking"] for d in record["dockings"]] == [docking]
    files = {f["path"]: f["sha256"] for f in record["files"]}
    card = site.root / "card-DSJ-1-0"
    assert files == {f.relative_to(card).as_posix(): sha256(f.read_bytes()) for f in card.rglob("*.jpg")}


def test_the_span_of_what_was_handed_over_is_by_the_times_that_a_person_set(site: Site) -> None:
    docking = dock(site, "DSJ-1", 1)
    ((recording,),) = site.rows("SELECT id FROM recording")
    ended = datetime.now(UTC).replace(microsecond=0) - timedelta(days=90)
    spoken.set_time(site.config, recording, ended, ended - timedelta(hours=1), "值班记录", "时钟快")
    handover.sign_all(site.config, [docking])
    sums = json.loads(handover.signed_record(site.config, docking))["recordings"]
    assert (sums["from"], sums["until"]) == (stamp(ended - timedelta(hours=1)), stamp(ended))


def test_signing_late_changes_nothing_about_article_28(site: Site) -> None:
    from mediad.wiring.bureau.rules import rules_of, shown

    docking = dock(site, "DSJ-1")

    def ruled() -> list[Any]:
        with closing(site.open()) as station, station.ledger.catalog.read() as conn:
            days = station.ledger.clock() + timedelta(days=30)
            return [r for r in shown(conn, rules_of(conn, site.config), days) if r["rule"] == "article-28-24h"]

    before = ruled()
    assert [r["status"] for r in before] == ["met"]
    handover.sign_all(site.config, [docking])
    assert ruled() == before


def test_only_the_stations_receiver_signs_under_an_account_of_their_own(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    docking = dock(site, "DSJ-1")
    for login, code in (("root", "nobody"), ("stranger", "nobody"), ("duty", "shared"), ("zhaoqiang", "not-receiver")):
        acts_as(monkeypatch, login)
        refused(code, site.config, [docking])
        with pytest.raises(Refused) as told:
            handover.sign_before(site.config, datetime.now(UTC) + SOON)
        assert told.value.code == code, "in a batch as well"
    assert state(site, docking) == ("waiting", 0)
    assert list(site.vault.rglob("record-*")) == []


def test_nobody_receives_from_themselves_and_without_a_named_receiver_anybody_else_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = bureau(tmp_path / "station", receiver="")
    mine = dock(site, "DSJ-1", officer="LN0002")
    acts_as(monkeypatch, "wangfang")
    refused("own-act", site.config, [mine])
    refused("own-act", site.config, [mine], giver="LN0001", on_behalf_of="LN0002")
    acts_as(monkeypatch, "zhaoqiang")
    assert handover.sign_all(site.config, [mine])[0]["receiver"] == "赵强"


def test_several_receivers_may_be_named_and_an_archivist_by_staff_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = bureau(tmp_path / "station", receiver='receiver = ["LN0002", "007"]')
    archivist = {"number": "007", "name": "孙丽", "roles": "archivist", "login": "sunli", "position": "档案管理人员"}
    register(site, [{("staff_number" if k == "number" else k): v for k, v in archivist.items()}])
    docking = dock(site, "DSJ-1")
    with closing(site.open()) as station, station.ledger.catalog.read() as conn:
        facts = handover.Facts(conn, site.config, station.ledger.clock())
        assert ({p.name for p in facts.receivers()}, facts.only_receiver()) == ({"王芳", "孙丽"}, None)
    acts_as(monkeypatch, "sunli")
    (told,) = handover.sign_all(site.config, [docking])
    assert told["receiver"] == "孙丽"
    text = text_of(handover.page(site.config, docking))
    assert "职务Position档案管理人员" in text and "孙丽已于" in text


def test_what_brought_nothing_new_wants_no_signature(site: Site) -> None:
    dock(site, "DSJ-1")
    again = site.ingest(site.root / "card-DSJ-1-0", recorder="DSJ-1", officer="LN0001").docking
    assert state(site, again) == ("nothing", 0)
    refused("nothing-to-sign", site.config, [again])
    assert "没有新文件" in text_of(handover.page(site.config, again))


def test_it_is_signed_once_and_a_docking_that_is_none_is_not_found(site: Site) -> None:
    docking = dock(site, "DSJ-1")
    with pytest.raises(NotFound):
        handover.sign_all(site.config, ["dck-none"])
    with pytest.raises(NotFound, match="never signed"):
        handover.signed_record(site.config, docking)
    handover.sign_all(site.config, [docking, docking])
    refused("signed-already", site.config, [docking])
    assert site.rows("SELECT count(*) FROM custody WHERE kind = 'handover.signed'") == [(1,)]


def test_named_hand_overs_are_signed_all_or_none(site: Site) -> None:
    good, bad = dock(site, "DSJ-1"), dock(site, "DSJ-2", officer="")
    refused("giver-unknown", site.config, [good, bad])
    assert [state(site, d) for d in (good, bad)] == [("waiting", 0)] * 2
    assert list(site.vault.rglob("record-*")) == []


def test_a_batch_signs_what_it_can_and_says_what_waits_for_a_person(site: Site) -> None:
    known, other = dock(site, "DSJ-1"), dock(site, "DSJ-3", officer="LN0003")
    unknown = dock(site, "DSJ-2", officer="")
    signed, bad, left = handover.sign_before(site.config, datetime.now(UTC) - timedelta(hours=1))
    assert (signed, bad, left) == ([], [], 0), "none of them was waiting then"
    signed, bad, left = handover.sign_before(site.config, datetime.now(UTC) + SOON)
    assert ({s["handover"] for s in signed}, left) == ({known, other}, 0)
    assert [(b["handover"], b["code"]) for b in bad] == [(unknown, "giver-unknown")]
    assert handover.name_giver(site.config, unknown, "LN0003")["giver"] == "赵强"
    (told,), bad, _ = handover.sign_before(site.config, datetime.now(UTC) + SOON)
    assert (told["handover"], told["giver"], bad) == (unknown, "赵强", [])
    with pytest.raises(Refused, match="is signed"):
        handover.name_giver(site.config, unknown, "LN0001")
    assert fsck(site).findings == []


def test_a_page_that_cannot_be_drawn_keeps_no_other_from_being_signed(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, bad, two = dock(site, "DSJ-1"), dock(site, "DSJ-2"), dock(site, "DSJ-3")

    def drawn(template: str, data: Any, at: datetime) -> bytes:
        if data["number"] == bad:
            raise NotDrawn(f"the page of {bad} cannot be made: out of ink", hint="report it")
        return b"%PDF"

    monkeypatch.setattr(typst, "render", drawn)
    with pytest.raises(NotDrawn, match=bad):
        handover.sign_all(site.config, [one, bad])
    assert [state(site, d) for d in (one, bad)] == [("waiting", 0)] * 2, "those that are named are signed all or none"
    monkeypatch.setattr(common, "load_config", lambda: site.config)
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.handover_sign(all_before="2099-01-01", as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (ended.value.code, {s["handover"] for s in told["signed"]}, told["left"]) == (5, {one, two}, 0)
    ((name, code, why),) = [(n["handover"], n["code"], n["why"]) for n in told["not_signed"]]
    assert (name, code, "out of ink" in why) == (bad, "form-failed", True)
    assert [state(site, d) for d in (one, bad, two)] == [("signed", 2), ("waiting", 0), ("signed", 1)]
    assert fsck(site).findings == [], "nor is what had been laid for nothing"


def test_a_batch_is_bounded_and_says_how_many_are_left(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "MOST", 1)
    dock(site, "DSJ-9", officer="")  # the oldest waits for a person, and takes nobody's place
    dock(site, "DSJ-1"), dock(site, "DSJ-2")
    assert [
        len(part) if isinstance(part, list) else part
        for part in handover.sign_before(site.config, datetime.now(UTC) + SOON)
    ] == [1, 1, 1]
    with pytest.raises(UsageError):
        handover.sign_all(site.config, ["dck-1", "dck-2"])


# --- who gives -----------------------------------------------------------------------------------------------------------


def test_another_hands_over_on_behalf_of_the_carrier(site: Site) -> None:
    one, two = dock(site, "DSJ-1"), dock(site, "DSJ-2", officer="")
    (told,) = handover.sign_all(site.config, [one], giver="LN0003")
    assert (told["giver"], told["on_behalf_of"]) == ("赵强", "李明")
    text = text_of(handover.page(site.config, one))
    assert "代交人Handedoverby赵强" in text and "代交人签名" in text and "李明" in text
    (told,) = handover.sign_all(site.config, [two], giver="LN0003", on_behalf_of="LN0001")
    assert (told["giver"], told["on_behalf_of"]) == ("赵强", "李明")
    with pytest.raises(UsageError):
        handover.sign_all(site.config, [one], on_behalf_of="LN0001")
    refused("unknown-person", site.config, [dock(site, "DSJ-4")], giver="LN9999")


def test_a_folder_has_its_default_giver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mediad.wiring.docking import dock_folder

    drop = make_card(tmp_path / "drop", {"cctv_20260102.mp4": noise(3_000, 9)})
    site = bureau(
        tmp_path / "station",
        more=f'[[folder]]\nname = "drop"\npath = "{drop}"\nofficer = "LN0003"\nchannel = "cctv"\nsettle_seconds = 1',
    )
    with closing(site.open()) as station:
        done = dock_folder(station, site.config.folder[0], lambda *_: True, _Plain("test"), set())
    assert done is not None
    acts_as(monkeypatch, "wangfang")
    assert handover.sign_all(site.config, [done.docking])[0]["giver"] == "赵强"


# --- a broken docking and its continuation ---------------------------------------------------------------------------------


def broken_and_continued(site: Site, *, between: Callable[[str], object] = lambda first: None) -> tuple[str, str]:
    """A docking that is stopped in its second batch, when its first is stored, and the one that takes the rest."""
    card = make_card(site.root / "broken", {"a/one.jpg": noise(900, 71)}, mtime_ns=recent(50.0))
    make_card(card, {"b/two.mp4": noise(3_000_000, 72)}, mtime_ns=recent())
    with closing(site.open()) as station:

        class Stops(_Plain):
            def moved(self, size: int) -> None:
                super().moved(size)
                if self.done > 1_000:
                    station.stop.set()

        first = dock_path(station, card, Stops("test"), recorder="DSJ-1", officer="LN0001")
    assert (first.state, first.counts.new) == ("interrupted", 1)
    between(first.docking)
    second = site.ingest(card, recorder="DSJ-1", officer="LN0001")
    return first.docking, second.docking


def test_a_broken_docking_and_its_continuation_are_one_record(site: Site) -> None:
    first, second = broken_and_continued(site)
    assert state(site, second) == state(site, first)
    draft = text_of(handover.page(site.config, second))
    assert "第1次" in draft and "中断" in draft and "第2次" in draft and "未签" in draft
    (told,) = handover.sign_all(site.config, [second, first])
    assert told["handover"] == first
    record = json.loads(handover.signed_record(site.config, second))
    assert [d["docking"] for d in record["dockings"]] == [first, second]
    assert {Path(f["path"]).name for f in record["files"] if f["outcome"] == "stored"} == {"one.jpg", "two.mp4"}
    assert fsck(site).findings == []


def test_a_continuation_of_what_is_signed_is_signed_anew_and_supersedes_it(site: Site) -> None:
    first, second = broken_and_continued(site, between=lambda first: handover.sign_all(site.config, [first]))
    assert state(site, first) == ("waiting", 1)
    month = datetime.now(site.config.unit.zone).strftime("%Y-%m")
    (row,) = handover_register.register_of(site.config, month)
    assert (row["signature"], row["receiver"], len(row["dockings"])) == ("waiting", None, 2), (
        "the whole is not signed yet"
    )
    (told,) = handover.sign_all(site.config, [second])
    assert (told["handover"], told["version"], state(site, second)) == (first, 2, ("signed", 2))
    text = text_of(handover.page(site.config, first))
    assert "第2版，取代第1版" in text and "续采后重新确认" in text
    assert fsck(site).findings == []


# --- corrections ---------------------------------------------------------------------------------------------------------


def test_a_correction_supersedes_and_rewrites_nothing(site: Site) -> None:
    docking = dock(site, "DSJ-1")
    refused("not-signed", site.config, [docking], why="交出人登记有误")
    (one,) = handover.sign_all(site.config, [docking])
    kept = {p: (site.vault / one[p]["key"]).read_bytes() for p in ("record", "page")}
    with pytest.raises(UsageError):
        handover.sign_all(site.config, [docking], why=" ")
    (two,) = handover.sign_all(site.config, [docking], giver="LN0003", on_behalf_of="LN0001", why="交出人登记有误")
    assert (two["version"], two["giver"], two["on_behalf_of"]) == (2, "赵强", "李明")
    assert {p: (site.vault / one[p]["key"]).read_bytes() for p in kept} == kept
    record = json.loads(handover.signed_record(site.config, docking))
    assert record["supersedes"] == {"version": 1, "sha256": one["record"]["sha256"]}
    assert "更正理由：交出人登记有误" in text_of(handover.page(site.config, docking))
    (three,) = handover.sign_all(site.config, [docking], why="补正")
    assert (three["version"], three["giver"], three["on_behalf_of"]) == (3, "赵强", "李明"), "the parties stay"
    assert fsck(site).findings == []
    wanted = site.rows("SELECT * FROM handover")
    site.lose_catalogue()
    assert site.run("rebuild").returncode == 0
    assert site.rows("SELECT * FROM handover") == wanted


def test_a_signing_that_broke_off_leaves_a_number_out_and_no_finding(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    docking = dock(site, "DSJ-1")

    def dies(*_: object, **__: object) -> None:
        raise StorageError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr("mediad.catalog.ledger.Ledger.record", dies)
        with pytest.raises(StorageError):
            handover.sign_all(site.config, [docking])
    assert len(list(site.vault.rglob("record-1.*"))) == 2
    assert fsck(site).findings == []
    (told,) = handover.sign_all(site.config, [docking])
    assert (told["version"], state(site, docking)) == (2, ("signed", 2))
    assert fsck(site).findings == []


def test_the_auditor_sees_what_is_missing_or_changed_of_what_was_signed(site: Site) -> None:
    docking = dock(site, "DSJ-1")
    (told,) = handover.sign_all(site.config, [docking])
    page, record = (site.vault / told[part]["key"] for part in ("page", "record"))
    whole = page.read_bytes()
    page.chmod(0o640)
    page.write_bytes(whole + b"%")
    assert {f.code for f in fsck(site).findings} == {"handover-differs", "record-writable"}
    with pytest.raises(IntegrityError):
        handover.page(site.config, docking)
    page.write_bytes(whole)
    page.chmod(0o440)
    record.chmod(0o640)
    record.unlink()
    assert [(f.code, f.subject) for f in fsck(site).findings] == [("handover-missing", docking)]


# --- the page ------------------------------------------------------------------------------------------------------------


def test_the_page_tells_all_that_article_28_wants_to_see(site: Site) -> None:
    docking = dock(site, "DSJ-1", 3, hours=50)
    handover.sign_all(site.config, [docking])
    text = text_of(handover.page(site.config, docking))
    for told in (
        "测试卫生监督所", "执法音像记录交接记录", "交出人Handedoverby李明", "编号Certificateno.LN0001",
        "接收人Receivedby王芳", "编号Certificateno.LN0002",
        "到达时间", "存入时间", "确认时间", "DSJ-1（未登记）", "3条（照片3）", "3件，2.6KiB（2,700字节）", "时钟偏差",
        "新存3件均已写入储存器，并从介质回读核对一致", "逾期3条", "尚无书面理由", "王芳已于", "第1页/共1页", docking,
    ):  # fmt: skip
        assert told in text, told
    for row in site.rows("SELECT sha256 FROM asset"):
        assert row[0] in text.replace("\n", "") or (row[0][:32] in text and row[0][32:] in text)


def test_the_code_on_the_page_names_the_record_that_lies_in_the_vault(site: Site, tmp_path: Path) -> None:
    docking = dock(site, "DSJ-1")
    drawn = tmp_path / "page"
    (told,) = handover.sign_all(site.config, [docking])
    draw = [program("pdftoppm", "poppler-utils"), "-r", "150", "-png", "-singlefile", "-", str(drawn)]
    subprocess.run(draw, input=handover.page(site.config, docking), check=True, timeout=60, capture_output=True)
    read = [program("zbarimg", "zbar-tools"), "-q", "--raw", f"{drawn}.png"]
    code = subprocess.run(read, capture_output=True, check=True, timeout=60).stdout.decode().strip()
    assert code == f"mediad:{docking}:sha256:{sha256((site.vault / told['record']['key']).read_bytes())}"


def test_what_is_missing_is_a_line_to_fill_in_and_a_fresh_page_says_that_it_is_not_signed(site: Site) -> None:
    docking = dock(site, "DSJ-1", officer="")
    text = text_of(handover.page(site.config, docking))
    assert "未签" in text and "证件编号或职务" in text and "None" not in text and "李明" not in text
    handover.name_giver(site.config, docking, "LN0001")
    handover.sign_all(site.config, [docking])
    assert "未签" in text_of(handover.page(site.config, docking, fresh=True))
    assert handover.page(site.config, docking) == handover.page(site.config, docking)


def test_hostile_names_of_a_card_are_printed_and_nothing_more(site: Site) -> None:
    names = ['#image("_etc_passwd").jpg', "*粗*_斜_$x$.jpg", "a\x07\u202egpj.jpg", b"\xff\xfe.jpg"]
    card = make_card(site.root / "hostile", {name: noise(900, n) for n, name in enumerate(names)})
    docking = site.ingest(card, recorder='#panic("x")', officer="LN0001").docking
    text = text_of(handover.page(site.config, docking))
    for told in (names[0], names[1], r"a\x07\xe2\x80\xaegpj.jpg", r"\xff\xfe.jpg", '#panic("x")'):
        assert told in text, told


def test_three_hundred_files_go_over_pages_with_header_and_number(site: Site) -> None:
    docking = dock(site, "DSJ-1", 300)
    pdf = handover.page(site.config, docking)
    assert pages_of(pdf) == 9
    text = text_of(pdf)
    assert text.count("记录仪上的文件") == 8 and text.count("共9页") == 9
    assert all(f"DSJ-1_{n:04}.jpg" in text for n in range(300))


# --- the register ----------------------------------------------------------------------------------------------------------


def test_the_register_of_a_month_lists_what_was_handed_over(site: Site) -> None:
    one = dock(site, "DSJ-1", hours=50)
    brought = {"DCIM/1.jpg": noise(900, 1), "DCIM/2.jpg": noise(900, 2), "notes.txt": b"no recording"}
    card = make_card(site.root / "card-DSJ-2", brought, mtime_ns=recent())
    two = site.ingest(card, recorder="DSJ-2").docking
    site.ingest(card, recorder="DSJ-2")  # nothing new: not in the register
    handover.sign_all(site.config, [one], giver="LN0003")
    month = datetime.now(site.config.unit.zone).strftime("%Y-%m")
    rows = handover_register.register_of(site.config, month)
    assert [(r["handover"], r["signature"], r["files"], r["recordings"], r["late"]) for r in rows] == [
        (one, "signed", 1, 1, 1), (two, "waiting", 3, 2, 0),
    ]  # fmt: skip
    assert (rows[0]["giver"]["name"], rows[0]["on_behalf_of"]["name"], rows[0]["receiver"]["name"]) == (
        "赵强",
        "李明",
        "王芳",
    )
    assert rows[1]["giver"] is None
    lines = handover_register.csv_of(site.config, rows).decode("utf-8-sig").splitlines()
    assert lines[0].startswith("序号,到达时间,执法记录仪,交出人") and len(lines) == 3
    assert "赵强（代 李明）" in lines[1]
    pdf = handover_register.pdf_of(site.config, month, rows)
    text = text_of(pdf)
    assert pages_of(pdf) == 1
    assert "执法音像记录交接登记簿" in text and "共2次交接" in text and "待签1次" in text and one in text
    assert handover_register.pdf_of(site.config, month, rows) == pdf
    assert handover_register.register_of(site.config, "2001-12") == []
    for wrong in ("2026-13", "2026", "0000-01", "1999-12", "2026-11-01", "二〇二六-11"):
        with pytest.raises(UsageError):
            handover_register.register_of(site.config, wrong)


def test_no_cell_of_the_register_is_a_formula() -> None:
    cells = ["=1+1", "+1", "-1", "@a", "\t=1", "  =1", "＝1", "\u3000＋1", "李明", "3 - 1", ""]
    read = list(csv.reader(io.StringIO(csv_text(["栏"], [[c] for c in cells]).decode("utf-8-sig"))))
    assert [row[0] if row else "" for row in read] == ["栏", *(f"'{c}" for c in cells[:8]), *cells[8:]]


def test_the_commands_say_it_to_people_and_programs(site: Site, tmp_path: Path) -> None:
    docking = dock(site, "DSJ-1")
    waiting = json.loads(site.run("handover", "list", "--waiting", "--json").stdout)
    assert [(r["id"], r["handover"], r["signature"]) for r in waiting] == [(docking, docking, "waiting")]
    made = tmp_path / "page.pdf"
    assert site.run("handover", "pdf", docking, "--output", made).returncode == 0
    assert made.read_bytes().startswith(b"%PDF")
    assert site.run("handover", "sign").returncode == 2
    done = site.run("handover", "sign", docking)  # this account is nobody's
    assert (done.returncode, "cannot sign" in done.stderr) == (4, True)
    month = datetime.now(site.config.unit.zone).strftime("%Y-%m")
    head, line, sums = site.run("handover", "ledger", "--month", month).stdout.splitlines()
    assert (sums, head.index("交接编号") > head.index("交出人"), docking in line) == ("1 次交接 hand-overs", True, True)
    assert json.loads(site.run("handover", "ledger", "--month", month, "--json").stdout)[0]["handover"] == docking
    nowhere = tmp_path / "no" / "page.pdf"
    failed = site.run("handover", "pdf", docking, "--output", nowhere)
    assert (failed.returncode, "Traceback" in failed.stderr, "cannot be written" in failed.stderr) == (2, False, True)


def test_a_page_without_fonts_is_one_clear_sentence(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    docking = dock(site, "DSJ-1")
    monkeypatch.setattr(typst, "FONTS", str(site.root))
    with pytest.raises(StorageError, match="font"):
        handover.sign_all(site.config, [docking])
    assert state(site, docking) == ("waiting", 0)
