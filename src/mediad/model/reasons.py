"""Why a ruling is as it is, in words: Chinese first, English second. One row per code; docs/deadlines.md is held against them."""

from collections.abc import Mapping
from typing import Final

REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "after-recording": ("自录制完成起计", "counted from the end of the recording"),
    "after-return": ("自返回单位起计", "counted from the return to the unit"),
    "trip-open": ("外出未归，时限未定", "a trip has not ended: the limit counts from the return"),
    "stored-before-return": ("返回前已入库", "stored before the return"),
    "bounded": (
        "时间不可信，但最早可能时间亦在时限内",
        "no time can be true, but even the earliest possible end was in time",
    ),
    "no-true-time": ("时间不可信，须由人员确定", "no time can be true: a person has to set it"),
    "channel-exempt": ("此来源不适用", "the rule is not applied to this channel"),
    "legacy": ("历史资料不适用", "taken over from an older system"),
    "before-signing": ("启用签收前的交接", "it was over when this station began to ask for signatures"),
    "before-the-rule": ("制度施行前形成", "it ended before the rule was in force"),
    "not-begun": ("尚未起算", "it has not begun"),
    "after-start": ("补报，自程序启动起计", "the report, counted from when it was begun"),
    "after-act": ("归档，自执法行为终结起计", "the archive, counted from the end of the act"),
    "after-issue": ("自领用起计", "counted from when it was handed out"),
    "after-expected": ("至约定归还时间", "until it was expected back"),
    "recorder-lost": ("记录仪已报失", "the recorder was reported lost"),
    "recorder-broken": ("记录仪已报损", "the recorder was reported broken"),
    "after-docking": ("签字，自接入起计", "the signature, counted from the docking"),
    "nothing-to-sign": ("无新文件，无须签字", "it brought nothing new: nothing is to be signed"),
    "no-limit": ("未设时限", "the unit sets no such limit"),
    # remarks
    "end-estimated": ("结束时间为估计", "its end is estimated"),
    "receipt": ("已直接存入执法信息系统", "it went straight into the enforcement information system"),
    "trip-wants-approval": ("补登的外出待批准", "a trip that was entered later waits for an approver"),
    "return-after-docking": (
        "登记的返回时间晚于接入时间，以接入为准",
        "the return that was entered lies after a docking: the docking counts",
    ),
    "backdated": ("外出为补登", "the trip was entered later"),
    "back-in-time": ("返回时尚在首个时限内", "they were back within the first limit"),
    "returned-not-docked": ("已归还，未接入", "it was handed in, and not docked"),
    "calendar-unknown": ("该年节假日未登记", "the holidays of that year are not entered"),
}


def words(code: str) -> tuple[str, str]:
    """Chinese and English of a code; the code itself for one of a newer program."""
    return REASONS.get(code, (code, code))


def sentence(reason: str, remarks: tuple[str, ...] = (), why: str = "") -> str:
    """All of it on one line."""
    zh = [words(c)[0] for c in (reason, *remarks)]
    en = [words(c)[1] for c in (reason, *remarks)]
    if why:
        zh[0], en[0] = f"{zh[0]}（{why}）", f"{en[0]} ({why})"
    return f"{'；'.join(zh)} {'; '.join(en)}"
