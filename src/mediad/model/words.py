"""Codes in Chinese, for terminal and paper alike: kinds of recordings and cases, what became of dockings and files, what limits
come to."""

from collections.abc import Mapping
from typing import Final

from mediad.model.deadline import ARCHIVE, RECORDER, SIGNATURE, STORAGE, UPLOAD, URGENT

KINDS: Final[Mapping[str, str]] = {"video": "视频", "audio": "音频", "photo": "照片", "data": "数据"}
STATES: Final[Mapping[str, str]] = {
    "open": "进行中", "complete": "完成", "incomplete": "不完整", "interrupted": "中断",
}  # fmt: skip
"""States of a docking."""
OUTCOMES: Final[Mapping[str, str]] = {
    "stored": "新存", "sighting": "重复", "known": "已有", "rejected": "不收", "failed": "失败",
}  # fmt: skip
"""What became of a file at a docking."""
STATUSES: Final[Mapping[str, str]] = {
    "met": "按时", "due": "期限内", "late": "逾期", "open": "未定", "untrusted": "时间不可信", "not-applicable": "不适用",
}  # fmt: skip
"""What a limit comes to; docs/deadlines.md is held against it."""
CASE_KINDS: Final[Mapping[str, str]] = {
    "licensing": "许可", "penalty": "处罚", "compulsion": "强制", "inspection": "检查",
}  # fmt: skip
CASE_FORMS: Final[Mapping[str, str]] = {"case": "案件", "activity": "执法活动"}
RULES: Final[Mapping[str, str]] = {
    STORAGE: "入库 storage", URGENT: "补报 report", ARCHIVE: "归档 archive", UPLOAD: "上传 upload",
    SIGNATURE: "交接签字 signature", RECORDER: "设备归还 recorder",
}  # fmt: skip
"""A rule in a column; in a sentence: ``model/telling.py``."""
MISSING: Final[Mapping[str, str]] = {
    "not-recorded": "未作音像记录", "disputed-unknown": "未说明是否易引起争议", "field-missing": "记录事项不全",
    "unknown-activity": "未配置的执法环节", "activity-out-of-place": "与案件类别不符", "act-not-ended": "执法行为未终结",
    "not-concluded": "未结案", "no-handler": "无承办人", "no-party": "无当事人", "not-reported": "紧急启动未补报",
    "time-unknown": "录制时间不明", "late-unexplained": "逾期入库未说明原因", "original-lost": "原始文件缺失",
    "proposals-waiting": "有音像记录待确认", "archive-behind": "归档后有变化",
    "above-vault": "密级超出存储许可",
}  # fmt: skip
"""What the check of a case finds, by its code."""
