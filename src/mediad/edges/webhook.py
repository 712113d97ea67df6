"""Webhooks: one message as a POST over HTTPS, in the form that a messenger's robot takes. Redirects are refused, for the address
holds the key, and nobody else is to have it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import ssl
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote_plus, urlsplit

from mediad.edges.patience import at_most
from mediad.edges.secrets import secret_lines
from mediad.errors import ConfigError, Undelivered
from mediad.model.instants import stamp

if TYPE_CHECKING:
    from mediad.model.people import Person
    from mediad.model.telling import Message

Kind = Literal["wecom", "wecom-text", "dingtalk", "json"]

MOST_BYTES: Mapping[Kind, int] = {"wecom": 4096, "wecom-text": 2048, "dingtalk": 20_000, "json": 1_000_000}
"""What the robots take of a text, in bytes of UTF-8."""

_LONGEST_ANSWER = 64 * 1024


class Webhook:
    """A robot, or another program that takes JSON."""

    def __init__(
        self,
        name: str,
        kind: Kind,
        credentials: Path,
        *,
        station: str,
        ca_file: Path | None = None,
        timeout: float = 15.0,
    ) -> None:
        self.name = name
        self._kind, self._credentials, self._station = kind, credentials, station
        self._ca_file, self._timeout = ca_file, timeout

    def reaches(self, person: Person) -> str:
        """What the messenger calls the person; empty for none, who is then not told by it."""
        if self._kind == "json":
            return person.id
        return person.dingtalk if self._kind == "dingtalk" else person.wecom

    def send(self, person: Person, message: Message, at: datetime) -> None:
        """Raises Undelivered unless the other side says that it has taken it; ConfigError for an address that is none."""
        lines = secret_lines(self._credentials, "address, and for 钉钉 the secret on a second line", 1)
        host, port, target, query = self._address(lines[0])
        if self._kind == "dingtalk" and len(lines) > 1 and lines[1]:
            query = "&".join(filter(None, (query, signed(lines[1], at))))
        body = json.dumps(self._body(person, message, at), ensure_ascii=False).encode()
        status, answer = self._post(host, port, f"{target}?{query}" if query else target, body)
        if 300 <= status < 400:
            raise Undelivered(
                f"{self.name}: {host} answers with a redirect ({status}), which is not followed",
                code="redirected",
                hint="write the right address into its credentials_file",
            )
        if not 200 <= status < 300:
            raise Undelivered(f"{self.name}: {host} answers with {status}", code="webhook-refused")
        if self._kind != "json" and (said := _error_of(answer)) != 0:
            raise Undelivered(f"{self.name}: {host} does not take it (errcode {said})", code="webhook-refused")

    def _address(self, text: str) -> tuple[str, int, str, str]:
        """Host, port, path and query; nothing of them is said, for they hold the key."""
        try:
            url = urlsplit(text)
            host, port = url.hostname, url.port or 443
        except ValueError:
            host, port = None, 0
        if (
            not host
            or url.scheme != "https"
            or url.username is not None
            or not text.isascii()
            or not text.isprintable()
        ):
            raise ConfigError(f"the address in {self._credentials} is not like https://host/path")
        return host, port, url.path or "/", url.query

    def _post(self, host: str, port: int, target: str, body: bytes) -> tuple[int, bytes]:
        context = ssl.create_default_context(cafile=self._ca_file)
        connection = http.client.HTTPSConnection(host, port, timeout=self._timeout, context=context)
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "mediad", "Connection": "close"}
        try:
            with at_most(self._timeout, lambda: connection.sock):
                connection.request("POST", target, body, headers)
                response = connection.getresponse()
                return response.status, response.read(_LONGEST_ANSWER)
        except ssl.SSLError as e:
            raise Undelivered(
                f"{self.name}: no safe connection to {host}: {e.reason or type(e).__name__}",
                code="untrusted-server",
                hint="its certificate must name it and be signed by a known authority",
            ) from None
        except (OSError, http.client.HTTPException) as e:
            why = (
                "it did not answer in time"
                if isinstance(e, TimeoutError)
                else getattr(e, "strerror", None) or "it hung up"
            )
            raise Undelivered(
                f"{self.name}: {host} cannot be reached: {why}", code="unreachable", hint="it is tried again"
            ) from None
        finally:
            connection.close()

    def _body(self, person: Person, message: Message, at: datetime) -> dict[str, Any]:
        handle, most = self.reaches(person), MOST_BYTES[self._kind]
        match self._kind:
            case "wecom":
                text = f"**{message.title}**\n{unmarked(message.text)}"
                mention = f"<@{handle}>"
                return {
                    "msgtype": "markdown",
                    "markdown": {"content": f"{cut(text, most - len(mention.encode()))}{mention}"},
                }
            case "wecom-text":
                text = cut(f"{message.title}\n{message.text}", most)
                return {"msgtype": "text", "text": {"content": text, "mentioned_list": [handle]}}
            case "dingtalk":
                mention = f"@{handle}"
                text = cut(
                    "\n\n".join((f"**{message.title}**", *map(unmarked, message.lines))),
                    most - len(mention.encode()) - 2,
                )
                return {
                    "msgtype": "markdown", "markdown": {"title": message.title, "text": f"{text}\n\n{mention}"},
                    "at": {"atUserIds": [handle], "isAtAll": False},
                }  # fmt: skip
            case _:
                return {
                    "id": message.key, "station": self._station, "at": stamp(at), "person": person.id, "title": message.title,
                    "text": message.text,
                    "items": [
                        {"rule": g.rule, "kind": g.kind, "recorder": g.label, "count": g.count,
                         "limit": stamp(g.limit) if g.limit else None}
                        for g in message.groups
                    ],
                }  # fmt: skip


_MARKS = str.maketrans({c: chr(ord(c) + 0xFEE0) for c in "[]<>*_#~|@"})
"""Each in full width."""


def unmarked(text: str) -> str:
    """A text that Markdown shows as it is. The name of a recorder may come from a card: it makes no link, and calls nobody."""
    return text.translate(_MARKS).replace("://", "：//")


def signed(secret: str, at: datetime) -> str:
    """The two parameters by which 钉钉 knows who sends: the time in milliseconds, and an HMAC-SHA256 of it and the secret."""
    timestamp = str(round(at.timestamp() * 1000))
    mac = hmac.new(secret.encode(), f"{timestamp}\n{secret}".encode(), hashlib.sha256).digest()
    return f"timestamp={timestamp}&sign={quote_plus(base64.b64encode(mac))}"


def cut(text: str, most: int) -> str:
    """The beginning of a text that fits, at the end of a line."""
    if len(text.encode()) <= most:
        return text
    end = "…\n"
    head = text.encode()[: most - len(end.encode())].decode("utf-8", "ignore")
    return head[: head.rfind("\n") + 1] + end


def _error_of(answer: bytes) -> object:
    """The robot's own code; 0 is that it took the message."""
    try:
        said = json.loads(answer)
    except (ValueError, RecursionError):
        return "none: it is no JSON"
    code = said.get("errcode") if isinstance(said, dict) else None
    return code if isinstance(code, int) else "none"
