"""The tables of people, departments, trips and cases as offices keep them: their columns, and the words that stand in them."""

from collections.abc import Mapping
from typing import Final

from mediad.model.cases import CaseKind
from mediad.model.columns import Columns
from mediad.model.people import Role

PEOPLE: Final = Columns(
    {
        "certificate": ("执法证件编号", "执法证号", "证件编号", "证号"),
        "formerly": ("原执法证件编号", "原证件编号", "原证号"),
        "name": ("姓名",),
        "department": ("部门", "科室", "处室"),
        "roles": ("角色", "职责"),
        "login": ("账号", "帐号", "logins"),
        "position": ("职务",),
        "device_number": ("记录仪用户号", "设备用户号", "device_numbers"),
        "from": ("起始日期", "启用日期", "有效期起"),
        "until": ("截止日期", "停用日期", "有效期止"),
        "device_from": ("用户号起始日期", "用户号启用日期"),
        "device_until": ("用户号截止日期", "用户号停用日期"),
        "active": ("在职", "在岗"),
        "shared": ("公用账号",),
        "staff_number": ("工号", "人员编号"),
        "mail": ("邮箱", "电子邮箱", "邮件地址", "email"),
        "wecom": ("企业微信", "企业微信账号"),
        "dingtalk": ("钉钉", "钉钉账号"),
    },
    ("name",),
)
DEPARTMENTS: Final = Columns(
    {"name": ("名称", "部门", "科室"), "unit": ("制作单位", "单位"), "active": ("在用",)}, ("name",)
)
TRIPS: Final = Columns(
    {
        "officers": ("人员", "执法人员", "执法证件编号", "officer", "certificate"),
        "left": ("外出时间", "出发时间", "离开时间"),
        "expected": ("预计返回时间", "预计返回", "计划返回"),
        "returned": ("返回时间", "实际返回", "返回"),
        "reason": ("事由", "外出事由", "原因"),
        "recorders": ("执法记录仪", "记录仪"),
    },
    ("officers", "left", "expected"),
)
CASES: Final = Columns(
    {
        "number": ("编号", "案号", "案件编号"),
        "inspection_number": ("检查编号",),
        "filing_number": ("立案号", "立案编号"),
        "document_number": ("文号",),
        "file_number": ("案卷号", "档号"),
        "name": ("名称", "案件名称", "活动名称"),
        "kind": ("类别", "行为类别", "执法类别"),
        "form": ("形式",),
        "party": ("当事人", "行政相对人"),
        "handlers": ("承办人", "执法人员", "handler"),
        "department": ("部门", "承办机构", "科室"),
        "opened": ("立案时间", "开始时间", "启动时间", "立案日期"),
        "urgent": ("紧急", "情况紧急"),
        "reported": ("补报时间",),
        "act_ended": ("行为终结时间", "执法行为终结时间", "终结日期"),
        "concluded": ("结案时间", "结案日期", "办结时间"),
        "merged_into": ("并入", "并入案件"),
    },
    ("name", "kind"),
)
NUMBER_TYPES: Final = {
    "number": "编号", "inspection_number": "检查编号", "filing_number": "立案号",
    "document_number": "文号", "file_number": "案卷号",
}  # fmt: skip
KINDS: Final[Mapping[str, str]] = {
    **{k.value: k.value for k in CaseKind},
    **dict.fromkeys(("许可", "行政许可"), "licensing"), **dict.fromkeys(("处罚", "行政处罚"), "penalty"),
    **dict.fromkeys(("强制", "行政强制"), "compulsion"), **dict.fromkeys(("检查", "行政检查"), "inspection"),
}  # fmt: skip
FORMS: Final[Mapping[str, str]] = {
    "case": "case", "案件": "case", "案卷": "case", "activity": "activity", "执法活动": "activity", "活动": "activity",
}  # fmt: skip
ROLES: Final[Mapping[str, str]] = {
    **{r.value: r.value for r in Role}, "执法人员": "officer", "采集员": "dock-operator", "采集站管理员": "dock-operator",
    "档案管理人员": "archivist", "存储管理员": "storage-administrator", "批准人": "approver", "负责人": "approver",
    "审计": "auditor", "审计人员": "auditor",
}  # fmt: skip
