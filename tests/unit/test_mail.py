"""Mail over real SMTP on loopback: taken, refused, hanging, dying in the middle; never over an unsafe connection."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mediad.edges.mail import Mail
from mediad.errors import ConfigError, Undelivered
from mediad.model.people import Person
from mediad.model.telling import Message
from tests import servers

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH")  # it does not see that all of it is TLS
AT = datetime(2026, 11, 25, 8, 30, tzinfo=UTC)
WANG = Person("per-1", "210213001", "王芳", mail="wangfang@example.org")
TEXT = Message("k" * 32, "【执法记录】将到期 1 项 1 due soon", ("卫监所 采集站 station hq-01", "", "• 将到期"))
SECRET = "geheim-123"


@pytest.fixture(scope="module")
def cert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return servers.certificate(tmp_path_factory.mktemp("cert"))


@pytest.fixture
def login(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "mail.secret"
    file.write_text(f"station\n{SECRET}\n", encoding="utf-8")
    file.chmod(0o600)
    yield file


def mail(port: int, ca: Path | None, security: str = "starttls", timeout: float = 20, **more: Path) -> Mail:
    return Mail("localhost", port, security, "mediad@example.org", ca_file=ca, timeout=timeout, **more)  # type: ignore[arg-type]


def failure(way: Mail) -> Undelivered:
    with pytest.raises(Undelivered) as caught:
        way.send(WANG, TEXT, AT)
    assert caught.value.retry == "later"
    assert SECRET not in str(caught.value) + caught.value.hint
    return caught.value


@pytest.mark.parametrize("tls", [False, True])
def test_a_message_is_handed_over_safely_by_whom_the_server_knows(cert: Path, login: Path, tls: bool) -> None:
    with servers.smtp(cert, tls=tls, login=("station", SECRET)) as (port, box):
        mail(port, cert, "tls" if tls else "starttls", credentials=login).send(WANG, TEXT, AT)
    (letter,) = box.letters
    assert box.envelopes == [("mediad@example.org", ["wangfang@example.org"])]
    assert letter["Subject"] == TEXT.title
    assert letter.get_content().splitlines() == TEXT.text.splitlines()
    assert letter["Message-ID"].startswith(f"<{TEXT.key}.")
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["Date"].datetime == AT


def test_the_same_message_has_the_same_name_for_the_same_person_and_another_for_others(cert: Path) -> None:
    with servers.smtp(cert) as (port, box):
        for person in (WANG, WANG, Person("per-2", "2", "李明", mail="liming@example.org")):
            mail(port, cert).send(person, TEXT, AT)
    first, again, other = (letter["Message-ID"] for letter in box.letters)
    assert first == again != other


def test_a_server_that_nobody_vouches_for_gets_neither_password_nor_message(
    cert: Path, login: Path, tmp_path: Path
) -> None:
    stranger = servers.certificate(tmp_path / "stranger")
    with servers.smtp(stranger, login=("station", SECRET)) as (port, box):
        assert failure(mail(port, cert, credentials=login)).code == "untrusted-server"
        assert failure(mail(port, None, credentials=login)).code == "untrusted-server"
    assert box.letters == []


def test_a_certificate_for_another_name_is_not_believed(cert: Path) -> None:
    with servers.smtp(cert) as (port, _):
        way = Mail("127.0.0.1", port, "starttls", "mediad@example.org", ca_file=cert)
        with pytest.raises(Undelivered) as caught:
            way.send(WANG, TEXT, AT)
    assert caught.value.code in ("untrusted-server", "unreachable")  # the name may also lead nowhere


def test_without_starttls_nothing_is_sent(cert: Path) -> None:
    with servers.smtp(cert, starttls=False) as (port, box):
        assert failure(mail(port, cert)).code == "no-tls"
    assert box.letters == []


def test_a_wrong_password_an_unknown_address_and_a_message_that_is_not_taken_are_told_apart(
    cert: Path, login: Path
) -> None:
    with servers.smtp(cert, login=("station", "another")) as (port, _):
        assert failure(mail(port, cert, credentials=login)).code == "login-refused"
    with servers.smtp(cert) as (port, box):
        box.refuse = {WANG.mail}
        assert failure(mail(port, cert)).code == "address-refused"
        box.refuse, box.answer = set(), "452 no room"
        assert failure(mail(port, cert)).code == "message-refused"
        box.answer = "421 closing"
        assert failure(mail(port, cert)).code == "undelivered", "it says so to everybody"
        box.refuse, box.refusal = {WANG.mail}, "421 closing"
        assert failure(mail(port, cert)).code == "undelivered"


def test_a_server_that_is_not_there_hangs_or_dies_in_the_middle_is_unreachable(cert: Path) -> None:
    assert failure(mail(servers.free_port(), cert)).code == "unreachable"
    with servers.raw(servers.silent) as port:
        assert failure(mail(port, cert, timeout=0.3)).code == "unreachable"
    for greeting, code in ((b"421 too busy\r\n", "undelivered"), (b"", "unreachable")):
        with servers.raw(lambda connection, said=greeting: (connection.sendall(said), connection.close())) as port:  # type: ignore[misc]
            assert failure(mail(port, None, "none")).code == code
    with servers.raw(servers.drips) as port:  # what it began to say may count as an answer: that it ends is what counts
        assert failure(mail(port, cert, timeout=0.3)).code in ("unreachable", "undelivered")
    with servers.raw(servers.dies_in_the_middle) as port:
        assert failure(mail(port, None, "none")).code == "unreachable"


def test_credentials_that_others_may_read_are_not_used(cert: Path, login: Path) -> None:
    login.chmod(0o644)
    with pytest.raises(ConfigError, match="open to every user"):
        mail(servers.free_port(), cert, credentials=login).send(WANG, TEXT, AT)
    login.chmod(0o600)
    login.write_text("station\n密码\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="ASCII"):
        mail(servers.free_port(), cert, credentials=login).send(WANG, TEXT, AT)
    login.write_text("station\n")
    with pytest.raises(ConfigError, match="user, password"):
        mail(servers.free_port(), cert, credentials=login).send(WANG, TEXT, AT)
