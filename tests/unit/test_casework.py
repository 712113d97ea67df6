"""A case from its activities to its archive: what it still wants, its frozen manifest, and the supplement to that."""

import csv
import io
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mediad.catalog.db import Catalog
from mediad.config import Config
from mediad.edges.login import login
from mediad.edges.vault import LocalVault
from mediad.errors import NotFound, Refused, UsageError
from mediad.model import archive as manifest_model
from mediad.model.custody import Draft
from mediad.model.words import MISSING
from mediad.wiring.bureau import acts, casework, filing, registers, spoken, tagging
from mediad.wiring.bureau.tagging import Wanted
from mediad.wiring.station import open_ledger
from tests.support import Site, complaints, make_card, noise, program, sha256
from tests.unit.test_matching import TAKEN, case, footage, site, tags, work_off

__all__ = ["site"]
ENDED = TAKEN + timedelta(days=9)
ENDS = ("act-not-ended", "not-concluded", "no-party", "no-handler")


def check(site: Site, number: str = "立-1") -> list[dict[str, Any]]:
    """What a case wants."""
    ledger = open_ledger(site.config)
    with closing(ledger.catalog), ledger.catalog.read() as conn:
        return list(casework.check(conn, site.config, number)["findings"])


def codes(site: Site, number: str = "立-1") -> list[tuple[str, str | None, bool]]:
    """The same, but for what only the archivist wants, and that all footage of these tests is late."""
    return [
        (f["code"], f["activity"], f["explained"])
        for f in check(site, number)
        if f["code"] not in (*ENDS, "late-unexplained")
    ]


def complete(site: Site, number: str = "立-1", **more: str) -> None:
    """A case that has all that an archivist wants but its end."""
    case(site, number, handlers="210001", party="某诊所", **more)


def ran(site: Site, *arguments: str, expect: int = 0) -> Any:
    done = site.run("case", *arguments, "--json")
    assert done.returncode == expect, (done.stdout, done.stderr)
    return json.loads(done.stdout) if done.stdout else None


# --- duty levels, end to end --------------------------------------------------------------------------------------------


def test_what_is_required_wants_a_record_and_a_reason_explains_but_does_not_end_it(site: Site) -> None:
    complete(site)
    casework.happened(site.config, "立-1", "seizure")
    assert codes(site) == [("not-recorded", "seizure", False)]
    casework.happened(site.config, "立-1", "seizure", act="no-recording", reason="设备故障")
    assert codes(site) == [("not-recorded", "seizure", True)]
    tagging.tag(site.config, [footage(site)], Wanted("立-1", "seizure"))
    assert codes(site) == []


def test_an_inspection_is_expected_and_wants_a_record_or_the_reason_with_its_author(site: Site) -> None:
    complete(site, kind="inspection")
    assert codes(site) == [("not-recorded", "on-site-inspection", False)]
    casework.happened(site.config, "立-1", "on-site-inspection", act="no-recording", reason="涉及商业秘密")
    assert codes(site) == []
    ((actor, detail),) = site.rows("SELECT actor, detail FROM custody WHERE kind = 'case.activity'")
    assert actor and json.loads(detail)["reason"] == "涉及商业秘密"


def test_simplified_procedure_wants_to_be_told_whether_it_is_disputed(site: Site) -> None:
    complete(site)
    for disputed, expected in ((None, ["disputed-unknown"]), (True, ["not-recorded"]), (False, [])):
        casework.happened(site.config, "立-1", "simplified-procedure", disputed=disputed)
        assert [code for code, *_ in codes(site)] == expected, disputed


def test_service_by_leaving_is_fulfilled_by_what_is_like_a_record(site: Site) -> None:
    complete(site)
    casework.happened(site.config, "立-1", "service-by-leaving")
    assert [code for code, *_ in codes(site)] == ["not-recorded"]
    casework.happened(site.config, "立-1", "service-by-leaving", equivalent="见证人签名及门牌照片")
    assert codes(site) == []


def test_what_is_as_needed_wants_nothing_and_a_mistake_is_taken_back(site: Site) -> None:
    complete(site)
    casework.happened(site.config, "立-1", "rectification-check")
    assert codes(site) == []
    casework.happened(site.config, "立-1", "service-by-announcement")
    assert [code for code, *_ in codes(site)] == ["not-recorded"]
    casework.happened(site.config, "立-1", "service-by-announcement", void=True)
    assert codes(site) == []


def test_preservation_wants_reason_object_and_form(site: Site) -> None:
    complete(site)
    taken = footage(site)
    tagging.tag(site.config, [taken], Wanted("立-1", "preservation", {"reason": "可能灭失"}))
    assert [code for code, *_ in codes(site)] == ["field-missing", "field-missing"]
    tagging.tag(site.config, [taken], Wanted("立-1", "preservation", {"object": "药品十盒", "form": "先行登记保存"}))
    assert codes(site) == []


def test_preservation_of_which_nothing_was_recorded_wants_them_of_itself(site: Site) -> None:
    """Article 14 wants them in writing, whether there is a recording or not."""
    complete(site)
    ran(site, "happened", "立-1", "--activity", "preservation", "--field", "reason=可能灭失")
    assert [code for code, *_ in codes(site)] == ["field-missing", "field-missing"]
    ran(
        site, "happened", "立-1", "--activity", "preservation", "--field", "object=药品", "--field", "form=先行登记保存"
    )
    assert codes(site) == []
    tagging.tag(site.config, [footage(site)], Wanted("立-1", "preservation"))
    assert codes(site) == [], "what is told of the activity is told of its recordings"
    with pytest.raises(UsageError, match="no field of preservation"):
        casework.happened(site.config, "立-1", "preservation", fields={"colour": "x"})


def test_the_commands_say_in_chinese_what_is_wanted_and_exit_1_until_nothing_is(site: Site) -> None:
    complete(site)
    ran(site, "happened", "立-1", "--activity", "simplified-procedure", "--disputed", "yes")
    ran(site, "happened", "立-1", "--activity", "service-by-leaving", "--equivalent", "见证人签名")
    ran(site, "no-recording", "立-1", "--activity", "hearing", "--reason", "当事人申请不公开")
    done = site.run("case", "check", "立-1")
    assert (done.returncode, "未作音像记录" in done.stdout) == (1, True), done.stdout
    assert {f["code"] for f in ran(site, "check", "立-1", expect=1)["findings"]} == {"not-recorded", "not-concluded"}
    ran(site, "happened", "立-1", "--activity", "simplified-procedure", "--disputed", "no")
    ran(site, "conclude", "立-1", "--at", "2026-09-30 10:00")
    done = site.run("case", "check", "立-1")
    assert (done.returncode, "齐全" in done.stdout) == (0, True), done.stdout


def test_recordings_that_nobody_decided_about_or_explained_are_told(site: Site) -> None:
    complete(site), complete(site, "立-2")
    late = footage(site)  # stored weeks after it was taken, by the clock of these tests
    work_off(site)
    assert [code for code, *_ in codes(site)] == ["proposals-waiting"]
    tagging.tag(site.config, [late], Wanted("立-1"))
    assert [f["code"] for f in check(site) if f["code"] not in ENDS] == ["late-unexplained"]
    done = site.run("deadlines", "justify", late, "--text", "下乡未归")
    assert done.returncode == 0, done.stderr
    assert [f["code"] for f in check(site) if f["code"] not in ENDS] == []


def test_what_was_merged_counts_for_the_case(site: Site) -> None:
    complete(site), case(site, "检-1", kind="inspection")
    taken = footage(site)
    tagging.tag(site.config, [taken], Wanted("检-1", "on-site-inspection"))
    casework.happened(site.config, "检-1", "sampling")
    casework.merge(site.config, "检-1", "立-1")
    assert [(code, activity) for code, activity, _ in codes(site) if activity] == [("not-recorded", "sampling")]
    shown = ran(site, "show", "立-1")
    assert [(r["id"], r["recorder"], r["activities"]) for r in shown["recordings"]] == [
        (taken, "card-1", ["on-site-inspection"])
    ]
    with pytest.raises(Refused, match="that case itself"):
        casework.merge(site.config, "检-1", "立-1")


def test_the_month_counts_a_case_as_its_check_does_whichever_of_the_merged_has_the_reason(site: Site) -> None:
    for inspection, number in (("检-1", "立-1"), ("检-2", "立-2"), ("检-3", "立-3")):
        complete(site, number), case(site, inspection, kind="inspection")
        casework.happened(site.config, inspection, "sampling", act="no-recording", reason="设备故障")
        casework.happened(site.config, inspection, "on-site-inspection", act="no-recording", reason="设备故障")
        casework.merge(site.config, inspection, number)
        casework.happened(site.config, number, "sampling")
        casework.conclude(site.config, number, at=ENDED, act_ended=ENDED)
    assert [codes(site, number) for number in ("立-1", "立-2", "立-3")] == [[], [], []]
    done = site.run("report", "--month", f"{ENDED:%Y-%m}", "--json")
    total = json.loads(done.stdout)["total"]
    assert (total["cases"], total["cases_incomplete"]) == (3, 0)


def test_what_cannot_be_is_one_sentence(site: Site) -> None:
    complete(site)
    for wrong, error in (
        (lambda: casework.happened(site.config, "没有", "hearing"), NotFound),
        (lambda: casework.happened(site.config, "立-1", "dancing"), UsageError),
        (lambda: casework.happened(site.config, "立-1", "hearing", reason=" "), UsageError),
        (lambda: casework.merge(site.config, "立-1", "立-1"), Refused),
        (lambda: casework.conclude(site.config, "立-1", at=TAKEN.replace(year=2025), act_ended=None), Refused),
        (lambda: casework.conclude(site.config, "立-1", at=TAKEN.replace(year=2099), act_ended=None), Refused),
        (lambda: filing.archive(site.config, "立-1", file_number="1", term="10年", place="A", receiver="b"), Refused),
    ):
        with pytest.raises(error):
            wrong()
    assert not (site.vault / "cases").exists()


def test_the_duties_of_an_inspection_are_the_cases_that_took_it_over(site: Site) -> None:
    """To merge what was not recorded, or not reported, ends nothing."""
    complete(site), case(site, "检-1", kind="inspection", urgent="是")
    casework.merge(site.config, "检-1", "立-1")
    assert codes(site) == [("not-recorded", "on-site-inspection", False), ("not-reported", None, False)]
    work_off(site)
    assert site.rows("SELECT rule, state FROM deadline WHERE rule = 'article-8-urgent-report'") == [
        ("article-8-urgent-report", "waiting")
    ]


def test_what_became_part_of_a_case_by_mistake_stands_for_itself_again(site: Site) -> None:
    complete(site), complete(site, "检-1", kind="inspection")
    taken = footage(site)
    tagging.tag(site.config, [taken], Wanted("检-1", "on-site-inspection"))
    casework.merge(site.config, "检-1", "立-1")
    assert [r["id"] for r in ran(site, "show", "立-1")["recordings"]] == [taken]
    ran(site, "unmerge", "检-1")
    assert ran(site, "show", "立-1")["recordings"] == []
    assert [r["id"] for r in ran(site, "show", "检-1")["recordings"]] == [taken]
    with pytest.raises(Refused, match="part of no other"):
        casework.unmerge(site.config, "检-1")
    with pytest.raises(NotFound):
        casework.unmerge(site.config, "检-9")


def test_cases_cannot_become_part_of_one_another_by_a_table(site: Site) -> None:
    """Neither would have a limit any more."""
    for number in ("甲-1", "乙-1"):
        case(site, number)
    casework.merge(site.config, "甲-1", "乙-1")
    with pytest.raises(Refused, match="part of that case already"):
        registers.enter(
            site.config, "cases", {"filing_number": "乙-1", "name": "案", "kind": "penalty", "merged_into": "甲-1"}
        )


def test_a_file_of_data_is_no_audio_visual_record(site: Site) -> None:
    complete(site)
    card = make_card(site.root / "card-log", {"LOG/记录.txt": b"text"})
    site.ingest(card, officer="210001")
    ((name,),) = site.rows("SELECT id FROM recording WHERE kind = 'data'")
    tagging.tag(site.config, [name], Wanted("立-1", "seizure"))
    assert codes(site) == [("not-recorded", "seizure", False)]
    tagging.tag(site.config, [footage(site)], Wanted("立-1", "seizure"))
    assert codes(site) == []


def test_a_reason_keeps_its_author_whoever_speaks_of_the_activity_later(site: Site) -> None:
    complete(site), case(site, "检-1", kind="inspection")
    registers.enter(
        site.config, "people", {"certificate": "210002", "name": "王芳", "login": login(), "roles": "officer,approver"}
    )
    casework.happened(site.config, "检-1", "hearing", act="no-recording", reason="涉及隐私")
    registers.enter(site.config, "people", {"certificate": "210002", "name": "王芳", "login": ""})
    casework.happened(site.config, "检-1", "hearing", disputed=False)
    casework.merge(site.config, "检-1", "立-1")
    casework.happened(site.config, "立-1", "hearing")
    casework.conclude(site.config, "立-1", at=ENDED, act_ended=None)
    filing.archive(site.config, "立-1", **FILED)
    body = json.loads(manifests(site)[0].read_bytes())
    (hearing,) = body["activities"]
    assert (hearing["reason"], hearing["author"]["name"], hearing["author"]["login"]) == ("涉及隐私", "王芳", login())


def test_a_mistake_is_taken_back_with_its_reason_also_in_what_was_merged(site: Site) -> None:
    complete(site), case(site, "检-1")
    casework.happened(site.config, "检-1", "hearing", act="no-recording", reason="误填")
    casework.merge(site.config, "检-1", "立-1")
    assert codes(site) == []
    casework.happened(site.config, "立-1", "hearing", void=True)
    casework.happened(site.config, "立-1", "hearing")
    assert codes(site) == [("not-recorded", "hearing", False)], "the reason went with it"
    assert casework.happened(site.config, "立-1", "hearing")["said"].startswith("不变")


# --- the archive --------------------------------------------------------------------------------------------------------

FILED = {"file_number": "DA-2026-0012", "term": "30年", "place": "3号柜", "receiver": "档案室"}


@pytest.fixture
def concluded(site: Site) -> tuple[Site, str]:
    """A case with one recording, concluded; the name of its file is a formula to those who know full-width signs."""
    complete(site)
    site.ingest(make_card(site.root / "card-1", {"DCIM/=1+1/＝1+1.MP4": noise(3000, 1)}), officer="210001")
    ((taken,),) = site.rows("SELECT id FROM recording")
    tagging.tag(site.config, [taken], Wanted("立-1", "hearing"))
    casework.conclude(site.config, "立-1", at=ENDED, act_ended=None)
    return site, taken


def replace_wants(site: Site, act: str) -> Config:
    """A configuration by which an act wants an approver."""
    config = site.config
    return config.model_copy(update={"acts": config.acts.model_copy(update={"wants": {act: ("approver",)}})})


def manifests(site: Site) -> list[Path]:
    return sorted((site.vault / "cases").rglob("*.json"))


def fsck(site: Site) -> list[tuple[str, str]]:
    done = site.run("fsck", "--json")
    return [(f["code"], f["subject"]) for f in json.loads(done.stdout)["findings"]]


def test_an_archive_is_a_frozen_manifest_whose_digest_is_in_the_custody_log(concluded: tuple[Site, str]) -> None:
    site, taken = concluded
    given = [text for name, value in FILED.items() for text in ("--" + name.replace("_", "-"), value)]
    told = ran(site, "archive", "立-1", *given)
    (file,) = manifests(site)
    data = file.read_bytes()
    assert (told["sha256"], told["key"]) == (sha256(data), str(file.relative_to(site.vault)))
    assert file.stat().st_mode & 0o333 == 0
    body = json.loads(data)
    ((asset, digest, size),) = site.rows("SELECT id, sha256, size FROM asset")
    (recording,) = body["recordings"]
    assert (recording["id"], recording["carrier"]["name"]) == (taken, "李明")
    assert [(a["id"], a["sha256"], a["size"]) for a in recording["assets"]] == [(asset, digest, size)]
    assert [t["activity"] for t in recording["tags"]] == ["hearing"]
    assert (body["archive"]["file_number"], body["case"]["party"], body["number"]) == ("DA-2026-0012", "某诊所", 1)
    assert [m["code"] for m in body["missing"]] == ["late-unexplained"]
    ((event,),) = site.rows("SELECT detail FROM custody WHERE kind = 'case.archived'")
    assert json.loads(event)["sha256"] == sha256(data)
    shown = ran(site, "show", "da-2026-0012")  # its file number finds it
    assert shown["archived"]["manifest"] == sha256(data)
    assert fsck(site) == []
    assert complaints(site) == []


def test_no_vault_is_touched_inside_a_transaction(concluded: tuple[Site, str], monkeypatch: pytest.MonkeyPatch) -> None:
    site, _ = concluded
    inside, touched = [0], []
    read = Catalog.read

    @contextmanager
    def counted(catalog: Catalog) -> Iterator[Any]:
        with read(catalog) as conn:
            inside[0] += 1
            try:
                yield conn
            finally:
                inside[0] -= 1

    def watched(name: str) -> Callable[..., Any]:
        work = getattr(LocalVault, name)

        def call(*args: Any, **more: Any) -> Any:
            touched.append((name, inside[0]))
            return work(*args, **more)

        return call

    monkeypatch.setattr(Catalog, "read", counted)
    for name in ("open", "put", "get"):
        monkeypatch.setattr(LocalVault, name, watched(name))
    filing.archive(site.config, "立-1", **FILED)
    casework.happened(site.config, "立-1", "sampling")
    filing.archive(site.config, "立-1")
    ledger = open_ledger(site.config)
    with closing(ledger.catalog):
        assert filing.inventory(ledger, site.config, "立-1")["lines"]
    assert {name for name, _ in touched} == {"open", "put", "get"}
    assert {depth for _, depth in touched} == {0}, touched


def test_what_comes_later_makes_a_supplement_that_names_the_first(concluded: tuple[Site, str]) -> None:
    site, taken = concluded
    filing.archive(site.config, "立-1", **FILED)
    with pytest.raises(Refused, match="nothing has changed"):
        filing.archive(site.config, "立-1")
    later = footage(site, seed=2)
    tagging.tag(site.config, [later], Wanted("立-1"))
    told = filing.archive(site.config, "立-1")
    assert told["archive"] == 2
    first, second = (json.loads(f.read_bytes()) for f in manifests(site))
    assert second["supplements"]["sha256"] == sha256(manifests(site)[0].read_bytes())
    assert (second["added"], second["removed"]) == ([later], [])
    assert {r["id"] for r in second["recordings"]} == {taken, later}
    assert [r["id"] for r in first["recordings"]] == [taken], "the first is as it was"
    assert second["archive"]["term"] == "30年"
    shown = ran(site, "show", "立-1")
    assert [a["number"] for a in shown["archives"]] == [1, 2]
    assert shown["archived"]["manifest"] == shown["archives"][0]["sha256"], "the limit was met by the first"
    assert fsck(site) == []


def test_what_has_changed_since_it_was_archived_is_told_until_there_is_a_supplement(
    concluded: tuple[Site, str],
) -> None:
    """A segment of an archived recording that comes late, above all."""
    site, taken = concluded
    filing.archive(site.config, "立-1", **FILED)
    assert "archive-behind" not in {code for code, *_ in codes(site)}
    footage(site, seed=2)
    (assets,) = [[row[0] for row in site.rows("SELECT id FROM asset ORDER BY stored_at")]]
    with closing(site.open()) as station:
        absorbed = [name for (name,) in site.rows("SELECT id FROM recording") if name != taken]
        joined = {"absorbed": absorbed, "assets": assets, "gaps": [], "remarks": []}
        station.ledger.record([Draft("recording.joined", taken, joined)])
        station.parts.mirror()
    assert [code for code, *_ in codes(site)] == ["archive-behind"]
    filing.archive(site.config, "立-1")
    assert codes(site) == []
    body = json.loads(manifests(site)[1].read_bytes())
    assert (body["added"], body["removed"], body["changed"]) == ([], [], [taken])
    assert len(body["recordings"][0]["assets"]) == 2
    assert "变更 changed 1" in str(
        manifest_model.page(body, site.config.unit.zone, {"rows": [], "sha256": "", "key": ""})["notes"]
    )
    tagging.untag(site.config, [taken])
    assert [code for code, *_ in codes(site)] == ["archive-behind"]
    assert fsck(site) == []


def test_a_file_that_was_moved_is_archived_once_more_and_the_limit_stays_met(concluded: tuple[Site, str]) -> None:
    site, _ = concluded
    first = filing.archive(site.config, "立-1", **FILED)
    with pytest.raises(Refused, match="its file number is DA-2026-0012"):
        filing.archive(site.config, "立-1", file_number="DA-2026-9999")
    filing.archive(site.config, "立-1", place="5号柜", term="永久", file_number="da-2026-0012")
    shown = ran(site, "show", "立-1")["archived"]
    assert (shown["place"], shown["term"], shown["file_number"]) == ("5号柜", "永久", "DA-2026-0012")
    assert shown["manifest"] == first["sha256"]
    with closing(site.open()) as station:
        kept = [filing.manifest(station.ledger, site.config, "立-1", supplement=n)["number"] for n in (1, 2, 0)]
    assert kept == [1, 2, 2]
    with pytest.raises(Refused, match="nothing has changed"):
        filing.archive(site.config, "立-1", place="5号柜")
    complete(site, "立-2")
    for number, into in (("立-2", "立-1"), ("立-1", "立-2")):
        with pytest.raises(Refused, match="closed"):
            casework.merge(site.config, number, into)


@pytest.mark.parametrize("term", ["30", "三十年", "forever", "99年"])
def test_a_case_is_kept_for_a_term_that_the_unit_has(concluded: tuple[Site, str], term: str) -> None:
    site, _ = concluded
    with pytest.raises(UsageError, match="no term"):
        filing.archive(site.config, "立-1", **{**FILED, "term": term})
    assert not (site.vault / "cases").exists()


def test_names_are_those_of_the_day_at_the_unit_and_the_department_stands_with_its_own_unit(site: Site) -> None:
    """A case is opened on a day, that is at midnight: it is the day before in Greenwich."""
    registers.enter(
        site.config, "people", {"certificate": "310001", "name": "赵强", "from": "2026-09-21", "until": "2026-09-22"}
    )
    registers.enter(site.config, "departments", {"name": "监督所", "unit": "委托执法机构"})
    complete(site, department="监督所")
    opened = {"opened": "2026-09-21", "handlers": "310001"}
    registers.enter(site.config, "cases", {"filing_number": "立-1", "name": "案", "kind": "penalty", **opened})
    casework.conclude(site.config, "立-1", at=ENDED, act_ended=None)
    registers.enter(
        site.config, "cases", {"filing_number": "立-2", "name": "案", "kind": "penalty", "concluded": "2026-09-25"}
    )
    with pytest.raises(Refused, match="when its act ended"):
        filing.archive(site.config, "立-2", **FILED)
    archivist = {"certificate": "310002", "name": "孙丽", "roles": "archivist", "login": login()}
    registers.enter(site.config, "people", archivist)
    filing.archive(site.config, "立-1", **FILED)
    body = json.loads(manifests(site)[0].read_bytes())
    assert (body["archive"]["archivist"]["name"], body["archive"]["login"]) == ("孙丽", login())
    assert [h["certificate"] for h in body["case"]["handlers"]] == ["310001"]
    assert (body["case"]["department"]["name"], body["case"]["department"]["unit"]) == ("监督所", "委托执法机构")


def test_a_manifest_says_of_a_recording_when_it_was_by_a_persons_word(concluded: tuple[Site, str]) -> None:
    site, taken = concluded
    spoken.set_time(site.config, taken, TAKEN - timedelta(days=3), None, "值班记录", "时钟错误")
    filing.archive(site.config, "立-1", **FILED)
    (recording,) = json.loads(manifests(site)[0].read_bytes())["recordings"]
    assert recording["ended_at"].startswith("2026-09-18")
    assert recording["claimed"]["ended_at"].startswith("2026-09-21")
    assert recording["claimed"]["why"] == "时钟错误"


def test_an_archive_that_waits_for_a_signature_is_nothing_wrong_whatever_becomes_of_it(
    concluded: tuple[Site, str],
) -> None:
    site, _ = concluded
    config = replace_wants(site, "archive-case")
    waits = filing.archive(config, "立-1", **FILED)["waits"]
    assert fsck(site) == [] and "archived" not in str(site.rows("SELECT archived FROM casefile WHERE archived"))
    acts.refuse(config, waits, "缺页")
    assert fsck(site) == []
    told = filing.archive(site.config, "立-1", **FILED)
    assert told["archive"] == 2, "a number is used once"
    assert fsck(site) == []


NASTY = "#panic(1) $x$ *粗* _斜_ `码` [链] @引 <标> // 注 \\ \" ' =1+1"


def test_what_people_typed_is_text_on_the_page_and_in_no_path(site: Site) -> None:
    complete(site)
    number = ("DA/2026'\"#12" + "〔长〕" * 40)[:100]
    registers.enter(
        site.config, "cases", {"filing_number": "立-1", "name": NASTY, "kind": "penalty", "party": "甲" * 1500}
    )
    taken = footage(site, "DCIM/#read(“x”)")
    tagging.tag(site.config, [taken], Wanted("立-1"))
    casework.conclude(site.config, "立-1", at=ENDED, act_ended=None)
    filing.archive(site.config, "立-1", file_number=number, term="１０年", place=NASTY[:100], receiver=NASTY[:100])
    (file,) = manifests(site)
    assert file.name == "archive-1.json"
    page_ = site.root / "a.pdf"
    ran(site, "inventory", number, "--pdf", str(page_))
    text = subprocess.run(
        [program("pdftotext", "poppler-utils"), "-layout", page_, "-"], capture_output=True, text=True, check=True
    ).stdout
    assert "#panic(1)" in text and "10年" in text


def test_the_list_for_the_archive_has_a_line_per_file_and_no_formula(concluded: tuple[Site, str]) -> None:
    site, _ = concluded
    filing.archive(site.config, "立-1", **FILED)
    out = site.root / "list.csv"
    told = ran(site, "inventory", "立-1", "--csv", str(out))
    rows = list(csv.reader(io.StringIO(out.read_text(encoding="utf-8-sig"))))
    ((digest,),) = site.rows("SELECT sha256 FROM asset")
    assert rows[0][:3] == ["序号", "案卷号", "案件编号"]
    assert len(rows) == 2 and digest in rows[1] and "听证" in rows[1]
    assert [line["sha256"] for line in told["lines"]] == [digest]
    assert (told["lines"][0]["file"], rows[1][11]) == ("＝1+1.MP4", "'＝1+1.MP4")


def test_the_list_as_a_page_names_every_digest_and_is_the_same_each_time(concluded: tuple[Site, str]) -> None:
    site, _ = concluded
    told = filing.archive(site.config, "立-1", **FILED)
    pages = [site.root / name for name in ("a.pdf", "b.pdf")]
    for page in pages:
        ran(site, "inventory", "立-1", "--pdf", str(page))
    assert pages[0].read_bytes() == pages[1].read_bytes()
    text = subprocess.run(
        [program("pdftotext", "poppler-utils"), "-layout", pages[0], "-"], capture_output=True, text=True, check=True
    ).stdout
    ((digest,),) = site.rows("SELECT sha256 FROM asset")
    flat = re.sub(r"\s", "", text)
    for wanted in ("归档移交清册", "DA-2026-0012", "30年", "档案室", "李明", "听证", digest[:16], told["sha256"][:16]):
        assert wanted in flat, wanted


@pytest.mark.parametrize("damage", ["changed", "gone", "planted", "writable"])
def test_fsck_sees_what_becomes_of_a_manifest(concluded: tuple[Site, str], damage: str) -> None:
    site, _ = concluded
    told = filing.archive(site.config, "立-1", **FILED)
    (file,) = manifests(site)
    file.parent.chmod(0o755)
    if damage == "changed":
        file.chmod(0o640)
        file.write_bytes(file.read_bytes().replace("李明".encode(), "王芳".encode()))
        file.chmod(0o440)
    elif damage == "gone":
        file.unlink()
    elif damage == "planted":
        copy = file.with_name("archive-7.json")
        copy.write_bytes(file.read_bytes())
        copy.chmod(0o440)
    else:
        file.chmod(0o640)
    case_id = file.parent.name
    expected = {
        "changed": ("archive-differs", case_id), "gone": ("archive-missing", case_id), "planted": ("archive-orphan", case_id),
        "writable": ("record-writable", told["key"]),
    }  # fmt: skip
    assert fsck(site) == [expected[damage]]
    if damage == "changed":
        done = site.run("case", "inventory", "立-1")
        assert (done.returncode, "custody log" in done.stderr) == (5, True)
        done = site.run("case", "archive", "立-1")
        assert (done.returncode, "not the manifest" in done.stderr) == (5, True), "no supplement to what it is not"
        file.unlink()
    if damage in ("changed", "gone"):
        again = filing.archive(site.config, "立-1")
        assert (again["archive"], again["lost"]) == (2, told["key"]), "nothing need have changed for it"
        body = json.loads((site.vault / again["key"]).read_bytes())
        assert body["supplements"] == {"key": told["key"], "sha256": told["sha256"]}
        assert [len(body["recordings"]), body["added"], body["removed"], body["changed"]] == [1, None, None, None]
        page = manifest_model.page(body, site.config.unit.zone, {"rows": [], "sha256": "", "key": ""})
        assert "无从比对" in page["notes"][0] and told["sha256"][:16] in page["notes"][0]
        assert fsck(site) == [("archive-missing", case_id)], "the loss stays a finding, and nothing else is one"
        with pytest.raises(Refused, match="nothing has changed"):
            filing.archive(site.config, "立-1")


def test_a_manifest_that_no_event_came_to_name_is_passed_over_by_the_next(concluded: tuple[Site, str]) -> None:
    """The power went between writing it and recording it."""
    site, _ = concluded
    ((case_id,),) = site.rows("SELECT id FROM casefile")
    folder = site.vault / "cases" / case_id
    folder.mkdir(parents=True)
    left = folder / "archive-1.json"
    left.write_bytes(b'{"format":"mediad-archive/1","station":"test-01"}\n')
    left.chmod(0o440)
    told = filing.archive(site.config, "立-1", **FILED)
    assert told["archive"] == 2
    assert fsck(site) == []
    os.chmod(left, 0o640)
    left.write_bytes(b"{}")
    os.chmod(left, 0o440)
    assert fsck(site) == [("archive-differs", case_id)]


def test_who_is_no_archivist_cannot_archive(concluded: tuple[Site, str]) -> None:
    site, _ = concluded
    registers.enter(site.config, "people", {"certificate": "210001", "name": "李明", "login": login()})
    with pytest.raises(Refused, match="archivist"):
        filing.archive(site.config, "立-1", file_number="1-1", term="10年", place="A", receiver="b")
    assert not (site.vault / "cases").exists()


def test_an_archive_comes_back_with_a_rebuild(concluded: tuple[Site, str]) -> None:
    site, _ = concluded
    told = filing.archive(site.config, "立-1", **FILED)
    for file in site.catalogue.parent.glob("catalog.db*"):
        if file.is_file():
            file.unlink()
    done = site.run("rebuild")
    assert done.returncode == 0, done.stderr
    assert site.rows("SELECT number, key, sha256 FROM case_archive") == [(1, told["key"], told["sha256"])]
    assert [row[2] for row in tags(site)] == ["set"]
    assert fsck(site) == []


def test_every_code_of_a_check_has_its_words() -> None:
    import ast

    from mediad.model import duty

    found = set()
    for module in (duty, casework):
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func) == "Missing"
                and isinstance(node.args[0], ast.Constant)
            ):
                found.add(node.args[0].value)
    assert found == set(MISSING)


def test_who_only_looks_changes_nothing_of_a_case(concluded: tuple[Site, str]) -> None:
    site, taken = concluded
    auditor = {"certificate": "210009", "name": "孙敏", "login": login(), "roles": "auditor"}
    registers.enter(site.config, "people", auditor)
    before = site.rows("SELECT count(*) FROM custody")
    for act in (
        lambda: tagging.tag(site.config, [taken], Wanted("立-1", "sampling")),
        lambda: tagging.untag(site.config, [taken]),
        lambda: spoken.non_duty(site.config, taken, "误录"),
        lambda: spoken.classify(site.config, taken, "内部", []),
        lambda: casework.happened(site.config, "立-1", "hearing", act="no-recording", reason="x"),
        lambda: casework.merge(site.config, "立-1", "立-1"),
        lambda: casework.unmerge(site.config, "立-1"),
        lambda: casework.conclude(site.config, "立-1", at=ENDED, act_ended=None),
        lambda: filing.archive(site.config, "立-1", **FILED),
    ):
        with pytest.raises(Refused, match="孙敏 has none of the roles"):
            act()
    assert site.rows("SELECT count(*) FROM custody") == before
