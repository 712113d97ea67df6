"""What the station's screen says of each slot: Chinese first, for the person who stands before it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from mediad.errors import MediadError

SlotState = Literal["idle", "detecting", "unlocking", "copying", "safe", "attention", "paused"]

WORDS: Final[dict[SlotState, tuple[str, str]]] = {
    "idle": ("空闲", "free"),
    "detecting": ("正在识别", "detecting"),
    "unlocking": ("正在解锁", "unlocking"),
    "copying": ("正在采集 请勿拔出", "copying, do not unplug"),
    "safe": ("可取走", "safe to take"),
    "attention": ("请叫管理员", "call the administrator"),
    "paused": ("暂停 请叫管理员", "paused, call the administrator"),
}
"""The words of each state, Chinese and English."""

SENTENCES: Final[Mapping[str, str]] = {
    "usage": "命令用法有误", "config": "配置有误", "not-found": "找不到所要的内容", "refused": "设置或权限不允许",
    "storage": "储存器或目录读写出错", "vault-full": "储存器已满，腾出空间后自动继续", "catalog-full": "目录所在磁盘已满",
    "vault-offline": "储存器未接好，接好后自动继续", "integrity": "数据核对不符，请保持原样",
    "folder-elsewhere": "储存器里有文件夹被移到别处，请放回原处",
    "key-conflict": "储存器中的文件被改动，请保持原样", "chain-forked": "流转记录不一致，请保持原样",
    "catalogue-behind-mirror": "目录比储存器旧，请保持原样", "segment-broken": "流转记录损坏",
    "segment-stray": "流转记录有多余的一段，请保持原样", "chain-gap": "流转记录有缺失",
    "chain-link": "流转记录前后不接", "chain-hash": "流转记录被改动", "chain-station": "流转记录属于另一台采集站",
    "vault-other": "接上的是另一个储存器", "catalog": "目录无法使用", "catalogue-missing": "目录丢失",
    "device": "记录仪或存储卡出错，请重新插入", "device-gone": "拔出过早，请重新插入", "source": "有文件无法读取，请重新插入",
    "source-open": "有文件无法打开，请重新插入", "source-read": "读取出错，存储卡可能损坏",
    "source-changed": "文件仍在变化，请停止录像后重新插入", "source-not-folder": "这不是文件夹",
    "busy": "正被占用，稍后自动重试", "stopping": "采集程序正在停止，请稍后重新插入", "files-failed": "有文件未能采集",
    "folder": "收件文件夹无法使用，请检查", "sandbox": "解析沙箱不可用，收存照常",
    "sandbox-unfit": "解析程序不完整，收存照常，请叫管理员", "sandbox-late": "解析超时，稍后自动重试",
    "sandbox-killed": "解析程序被系统终止，稍后自动重试", "preview-slow": "生成预览过慢，稍后自动重试",
    "preview-killed": "预览程序被系统终止，稍后自动重试",
    "no-font": "缺少表格字体，请叫管理员", "form-late": "生成表格超时，请稍后重试", "form-failed": "表格无法生成，请叫管理员",
    "undelivered": "通知未送达，稍后自动重试", "unreachable": "通知服务器无法连接，稍后自动重试",
    "untrusted-server": "通知服务器证书不可信", "no-tls": "通知服务器不支持加密", "login-refused": "通知服务器拒绝登录",
    "address-refused": "通知地址被拒绝", "message-refused": "通知被拒收", "webhook-refused": "群机器人拒绝通知",
    "redirected": "通知地址被重定向，未发送",
    "part-stopped": "采集程序的一部分已停止", "unexpected": "采集程序出错", "error": "出错",
}  # fmt: skip
"""What an error says on the screen, by its code, without a space in it: behind the first one comes its English sentence."""

TOO_EARLY: Final = SENTENCES["device-gone"] + " it was taken out too early: dock it again"
NOT_BACK: Final = "已解锁，但没有作为磁盘出现，请拔下重新插入 it was unlocked but did not come back as a disk"
NOT_LET_GO: Final = "上一台记录仪尚未放开，请稍候 the recorder before this one is still being let go of"


def sentence(error: MediadError) -> str:
    """What the screen says of an error: Chinese first, then the error's own words."""
    return f"{SENTENCES.get(error.code, SENTENCES['error'])} {error.message}"


@dataclass(frozen=True, slots=True)
class SlotView:
    """One slot as it is shown. Sizes in bytes, ``seconds`` since copying began, ``why`` one sentence for the administrator."""

    port: str
    name: str = ""
    state: SlotState = "idle"
    recorder: str = ""
    docking: str = ""
    files_done: int = 0
    files_total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0
    seconds: float = 0.0
    why: str = ""

    @property
    def words(self) -> tuple[str, str]:
        return WORDS[self.state]

    @property
    def minutes_left(self) -> int | None:
        """Whole minutes, rounded up, at the speed so far; None while nothing can be said."""
        if self.state != "copying" or self.bytes_done <= 0 or self.seconds < 1:
            return None
        left = max(0, self.bytes_total - self.bytes_done) * self.seconds / self.bytes_done
        return int(-(-left // 60))

    def as_json(self) -> dict[str, object]:
        """The slot as it stands in slots.json and ``mediad slots --json``."""
        return {
            "port": self.port, "name": self.name, "state": self.state, "words": list(self.words),
            "recorder": self.recorder, "docking": self.docking, "files_done": self.files_done,
            "files_total": self.files_total, "bytes_done": self.bytes_done, "bytes_total": self.bytes_total,
            "minutes_left": self.minutes_left, "why": self.why,
        }  # fmt: skip

    def freed(self) -> "SlotView":
        """The same slot with nothing in it."""
        return SlotView(self.port, self.name)

    def came(self) -> "SlotView":
        """The same slot with something in it of which nothing is known yet."""
        return SlotView(self.port, self.name, "detecting")

    def attention(self, why: str, *, docking: str = "") -> "SlotView":
        """The same slot, where a person is needed."""
        return self.but(state="attention", why=why, docking=docking)

    def left(self) -> "SlotView":
        """The same slot after what was in it has left."""
        if self.state == "unlocking" or self.why == TOO_EARLY:
            return self  # an unlocked recorder comes back as a disk; what was told once must not vanish unread
        if self.state in ("safe", "idle", "attention") or not self.recorder:
            return self.freed()
        return self.attention(TOO_EARLY)

    def but(self, **changes: object) -> "SlotView":
        """The same slot with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]
