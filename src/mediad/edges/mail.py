"""Mail: one message to one person over SMTP, made safe by STARTTLS or TLS with the server's certificate checked."""

from __future__ import annotations

import smtplib
import socket
import ssl
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP as SMTP_LINES
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mediad.edges.patience import at_most
from mediad.edges.secrets import secret_lines
from mediad.errors import ConfigError, Undelivered
from mediad.model.ids import short_digest

if TYPE_CHECKING:
    from mediad.model.people import Person
    from mediad.model.telling import Message

Security = Literal["starttls", "tls", "none"]

_CLOSING = 421
"""What a server says that cannot serve anybody now (RFC 5321, 3.8)."""


class Mail:
    """The mail server. Credentials are read anew for each message, so that another password needs no restart."""

    name = "mail"

    def __init__(
        self,
        host: str,
        port: int,
        security: Security,
        sender: str,
        *,
        credentials: Path | None = None,
        ca_file: Path | None = None,
        timeout: float = 30.0,
    ) -> None:
        self._host, self._port, self._security, self._sender = host, port, security, sender
        self._credentials, self._ca_file, self._timeout = credentials, ca_file, timeout

    def reaches(self, person: Person) -> str:
        """The person's address; empty for none."""
        return person.mail

    def send(self, person: Person, message: Message, at: datetime) -> None:
        """Hand the message over to the server. Raises Undelivered; when it returns, the server has taken it."""
        login = secret_lines(self._credentials, "user, password", 2)[:2] if self._credentials else None
        if login is not None and not "".join(login).isascii():
            raise ConfigError(
                f"user and password in {self._credentials} may hold ASCII characters alone", hint="SMTP has no others"
            )
        letter = self._letter(person.mail, message, at)
        try:
            self._hand_over(letter, person.mail, login)
        except smtplib.SMTPRecipientsRefused as e:
            code = next(iter(e.recipients.values()))[0]
            raise self._refused("takes no mail for this address", code, "address-refused") from None
        except smtplib.SMTPAuthenticationError as e:
            raise Undelivered(
                f"the mail server {self._host} refuses the login ({e.smtp_code})",
                code="login-refused",
                hint="check telling.mail.credentials_file",
            ) from None
        except smtplib.SMTPNotSupportedError:
            raise Undelivered(
                f"the mail server {self._host} offers no STARTTLS or no login",
                code="no-tls",
                hint="check telling.mail.port and telling.mail.security",
            ) from None
        except smtplib.SMTPDataError as e:
            raise self._refused("does not take the message", e.smtp_code, "message-refused") from None
        except ssl.SSLError as e:
            raise Undelivered(
                f"no safe connection to the mail server {self._host}: {e.reason or type(e).__name__}",
                code="untrusted-server",
                hint="its certificate must name it and be signed by a known authority (telling.mail.ca_file)",
            ) from None
        except smtplib.SMTPResponseException as e:
            raise Undelivered(f"the mail server {self._host} refuses ({e.smtp_code})") from None
        except (smtplib.SMTPException, OSError, EOFError) as e:
            why = (
                "it did not answer in time"
                if isinstance(e, TimeoutError)
                else getattr(e, "strerror", None) or "it hung up"
            )
            raise Undelivered(
                f"the mail server {self._host}:{self._port} cannot be reached: {why}",
                code="unreachable",
                hint="it is tried again",
            ) from None

    def _refused(self, what: str, code: int, kind: Literal["address-refused", "message-refused"]) -> Undelivered:
        said = f"the mail server {self._host} {what} ({code})"
        if code == _CLOSING:  # whatever it was asked, that is what it says to everybody
            return Undelivered(said)
        if kind == "address-refused":
            return Undelivered(said, code="address-refused")
        return Undelivered(said, code="message-refused")

    def _letter(self, to: str, message: Message, at: datetime) -> EmailMessage:
        letter = EmailMessage(policy=SMTP_LINES)
        letter["From"] = self._sender
        letter["To"] = to
        letter["Subject"] = message.title
        letter["Date"] = format_datetime(at)
        letter["Message-ID"] = f"<{message.key}.{short_digest(to.encode())}@{_host_of(self._sender)}>"
        letter["Auto-Submitted"] = "auto-generated"
        letter.set_content(message.text, charset="utf-8", cte="base64")
        return letter

    def _hand_over(self, letter: EmailMessage, to: str, login: list[str] | None) -> None:
        opened: list[smtplib.SMTP] = []
        context = ssl.create_default_context(cafile=self._ca_file)
        with at_most(self._timeout, lambda: opened[0].sock if opened else None):
            client: smtplib.SMTP
            if self._security == "tls":
                client = _Safe(opened, self._host, self._port, self._timeout, context=context)
            else:
                client = _Plain(opened, self._host, self._port, self._timeout)
            try:
                if self._security == "starttls":
                    client.starttls(context=context)
                if login is not None:
                    client.login(*login)
                client.send_message(letter, self._sender, [to])
            finally:
                client.close()  # whether it says goodbye does not matter any more


def _host_of(address: str) -> str:
    return address.rpartition("@")[2]


class _Plain(smtplib.SMTP):
    """It is known from its first moment on, so that it can be shut down while it waits for the server's greeting."""

    def __init__(self, known: list[smtplib.SMTP], host: str, port: int, timeout: float, **more: Any) -> None:
        known.append(self)
        super().__init__(host, port, local_hostname=socket.gethostname(), timeout=timeout, **more)


class _Safe(smtplib.SMTP_SSL):
    def __init__(self, known: list[smtplib.SMTP], host: str, port: int, timeout: float, **more: Any) -> None:
        known.append(self)
        super().__init__(host, port, local_hostname=socket.gethostname(), timeout=timeout, **more)
