"""What a bureau adds to the furnished station: every kind of event of people, cases, limits and hand-overs, at least once."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mediad.model.custody import Draft
from mediad.wiring.bureau import (
    acts,
    casework,
    explain,
    filing,
    handing,
    keys,
    registers,
    rules,
    spoken,
    tagging,
    trips,
)
from mediad.wiring.bureau.tagging import Wanted
from tests.signing_support import Pen, acting, approve, keyed
from tests.support import Site

PEOPLE = """certificate,name,department,roles,login,device_number
210001,李明,监督一科,officer,liming,0123
210002,王芳,,approver,wangfang,
210003,周敏,,storage-administrator,zhoumin,
"""


def furnish_bureau(site: Site, folder: Path) -> None:
    """By the commands' own functions, as root."""
    config = site.config
    table = folder / "people.csv"
    table.write_text(PEOPLE, encoding="utf-8")
    registers.take(config, "people", table, good=False)
    registers.enter(config, "departments", {"name": "监督一科", "unit": "委托执法机构"})
    case = {
        "filing_number": "大金卫罚〔2026〕12号",
        "name": "某诊所案",
        "kind": "处罚",
        "opened": "2026-09-20",
        "party": "某诊所",
    }
    registers.enter(config, "cases", {**case, "handlers": "210001"})
    trip = {"officers": "210001", "left": "2026-09-21 08:00", "expected": "2026-09-23 18:00", "reason": "异地检查"}
    trips.come_back(
        config, registers.enter(config, "trips", trip)[0].changes[0].entry.id, datetime(2026, 9, 24, tzinfo=UTC)
    )
    _sign(site)
    handing.move(config, "R-1", "issued", carrier="210001", at=datetime(2026, 9, 20, tzinfo=UTC))
    films = [row[0] for row in site.rows("SELECT id FROM recording WHERE kind <> 'data' ORDER BY id")]
    one = films[0]
    tagging.tag(config, [one], Wanted("大金卫罚[2026]12号", "on-site-inspection"))
    casework.happened(config, "大金卫罚[2026]12号", "on-site-inspection")
    spoken.carry(config, one, "210001", [], "一同执法")
    spoken.classify(config, one, "内部", [])
    spoken.non_duty(config, films[-1], "测试")
    explain.mark_met(config, films[-1], "XZZF-1", datetime(2026, 9, 23, tzinfo=UTC))
    _waiting_acts(site)
    _told(site, one)
    _adopt(site)
    _say_why_late(site)
    casework.conclude(
        config, "大金卫罚[2026]12号", at=datetime(2026, 10, 2, tzinfo=UTC), act_ended=datetime(2026, 10, 1, tzinfo=UTC)
    )
    filing.archive(config, "大金卫罚[2026]12号", file_number="2026-0012", term="30年", place="A-3", receiver="档案室")


def _sign(site: Site) -> None:
    """Two have keys, one of which is withdrawn again; a trip is approved, and what waits for an approver has its signature."""
    keyed(site, "zhoumin", "wangfang", "liming")
    with acting("zhoumin"):
        keys.withdraw(site.config, Pen("liming").fingerprint, "丢失")
    approve(site, site.rows("SELECT id FROM trip")[0][0], "wangfang")


def _adopt(site: Site) -> None:
    with closing(site.open()) as station:
        rules.work_off(station)


def _say_why_late(site: Site) -> None:
    late = site.rows("SELECT subject FROM deadline WHERE state = 'late' AND rule = 'article-28-24h' ORDER BY subject")
    explain.justify(site.config, late[0][0], "article-28-24h", "设备故障")


def _told(site: Site, recording: str) -> None:
    notice = {"rule": "article-28-24h", "subject": recording, "limit": "", "step": 0}
    with closing(site.open()) as station:
        station.ledger.record([Draft("message.sent", "msg-x", {"person": "per-x", "way": "mail", "notices": [notice]})])


def _waiting_acts(site: Site) -> None:
    """One that waits, one that was refused."""

    def make(_ledger: Any, _actor: Any) -> list[Draft]:
        return [Draft("department.registered", "dep-x", {"name": "x", "unit": "", "active": True})]

    acts.perform(site.config, "export", make)
    acts.refuse(site.config, acts.perform(site.config, "export", make).waits, "不需要")
