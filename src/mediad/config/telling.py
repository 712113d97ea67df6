"""Who is told of limits, when, and by which ways."""

import datetime as dt
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from mediad.config.section import Section
from mediad.model.telling import LEAD, Quiet, Telling, Who, unknown_rules

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Mail(Section):
    """The mail server (SMTP)."""

    host: str = Field(min_length=1, description="name of the server, as it stands in its certificate")
    port: int = Field(587, ge=1, le=65535, description="587 for STARTTLS, 465 for TLS")
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="how the connection is made safe; none is for a server on this machine alone"
    )
    sender: str = Field(pattern=r"^[^\s@<>]+@[^\s@<>]+$", description="address that messages come from")
    credentials_file: Path | None = Field(
        None, description="file of two lines: user and password; without it nobody logs in"
    )
    ca_file: Path | None = Field(None, description="certificates to believe instead of the system's")
    timeout_seconds: float = Field(30, ge=1, le=300, description="one message, from the first to the last byte")

    @model_validator(mode="after")
    def _safe(self) -> "Mail":
        if self.security == "none" and self.host not in LOOPBACK:
            raise ValueError(f"security = none is for {', '.join(LOOPBACK)} alone: a password would cross the network")
        return self


class Webhook(Section):
    """A robot of a messenger, or another program that takes JSON."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$", description="what it is called, unique")
    kind: Literal["wecom", "wecom-text", "dingtalk", "json"] = Field(
        description="企业微信 as Markdown or as text, 钉钉, or plain JSON"
    )
    credentials_file: Path = Field(
        description="file: on its first line the address (https), which holds the key; on the second the secret of 钉钉"
    )
    ca_file: Path | None = Field(None, description="certificates to believe instead of the system's")
    timeout_seconds: float = Field(15, ge=1, le=300, description="one message, from the first to the last byte")


def _windows(texts: tuple[str, ...]) -> tuple[str, ...]:
    free = [True] * 1440
    for text in texts:
        start, end = _window(text)
        first, last = (t.hour * 60 + t.minute for t in (start, end))
        for minute in range(first, last if last > first else last + 1440):
            free[minute % 1440] = False
    stretch = max(map(len, "".join("x" if f else " " for f in free * 2).split()), default=0)
    if stretch < LEAD.total_seconds() / 60:
        raise ValueError("leaves no quarter of an hour in which anybody could be told")
    return texts


def _window(text: str) -> tuple[dt.time, dt.time]:
    found = re.fullmatch(r"(\d\d):(\d\d)-(\d\d):(\d\d)", text)
    wrong = f"{text!r} is no time of the day such as 21:00-07:00"
    if found is None:
        raise ValueError(wrong)
    try:
        start, end = (dt.time(int(found[n]), int(found[n + 1])) for n in (1, 3))
    except ValueError:
        raise ValueError(wrong) from None
    return start, end


def _rules(to: Mapping[str, tuple[Who, ...]]) -> Mapping[str, tuple[Who, ...]]:
    if wrong := unknown_rules(to):
        raise ValueError(f"{wrong[0]} is no rule that anybody is told of")
    return to


Audience = Annotated[Mapping[str, tuple[Who, ...]], AfterValidator(_rules)]


class TellingSection(Section):
    """Messages about limits."""

    before_hours: tuple[Annotated[float, Field(gt=0, le=168)], ...] = Field(
        (4.0, 1.0), description="so many hours before a limit"
    )
    after_days: int = Field(14, ge=0, le=365, description="at the limit, and daily for so many days after it")
    quiet: Annotated[tuple[str, ...], AfterValidator(_windows)] = Field(
        (), description="times of the day when nobody is told; what is due in one goes out before it"
    )
    to: Audience = Field({}, description="rule to whom it is told, instead of what is shipped")
    late_to: Audience = Field({}, description="rule to whom it is told besides once the limit has passed")
    mail: Mail | None = None
    webhook: tuple[Webhook, ...] = ()

    @model_validator(mode="after")
    def _unique(self) -> "TellingSection":
        names = ["mail", *(w.name for w in self.webhook)]
        if double := {n for n in names if names.count(n) > 1}:
            raise ValueError(f"the name {double.pop()!r} is given twice, or is that of the mail")
        return self

    def rules(self, zone: ZoneInfo) -> Telling:
        """As the model sees it."""
        before = tuple(dt.timedelta(hours=h) for h in self.before_hours)
        return Telling(before, self.after_days, Quiet(tuple(map(_window, self.quiet)), zone), self.to, self.late_to)

    def at(self, base: Path) -> "TellingSection":
        """With its paths made absolute."""

        def moved(section: Mail | Webhook) -> dict[str, Path | None]:
            files = {"credentials_file": section.credentials_file, "ca_file": section.ca_file}
            return {name: base / path if path else None for name, path in files.items()}

        mail = self.mail.model_copy(update=moved(self.mail)) if self.mail else None
        hooks = tuple(w.model_copy(update=moved(w)) for w in self.webhook)
        return self.model_copy(update={"mail": mail, "webhook": hooks})
