"""Robots over real HTTPS on loopback: their forms, their refusals, and that nothing but the right server gets the key."""

import base64
import hashlib
import hmac
import socket
import threading
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from mediad.edges.patience import at_most
from mediad.edges.webhook import MOST_BYTES, Kind, Webhook, cut
from mediad.errors import ConfigError, Undelivered
from mediad.model.deadline import STORAGE
from mediad.model.people import Person
from mediad.model.telling import Group, Message
from tests import servers

AT = datetime(2026, 11, 25, 8, 30, tzinfo=UTC)
WANG = Person("per-1", "210213001", "王芳", wecom="wangfang", dingtalk="ding123")
GROUP = Group(STORAGE, "soon", "B-07", 3, AT, AT, AT)
TEXT = Message("k" * 32, "【执法记录】将到期 3 项", ("卫监所 采集站 station hq-01", "", "• 将到期"), (GROUP,))


@pytest.fixture(scope="module")
def cert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return servers.certificate(tmp_path_factory.mktemp("cert"))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "robot.secret"
    file.touch(0o600)
    return file


def hook(kind: Kind, secret: Path, cert: Path | None, port: int, signs: str = "", timeout: float = 20) -> Webhook:
    secret.write_text(f"https://localhost:{port}/robot/send?key=SCHLUESSEL\n{signs}\n")
    return Webhook("robot", kind, secret, station="hq-01", ca_file=cert, timeout=timeout)


def failure(way: Webhook) -> Undelivered:
    with pytest.raises(Undelivered) as caught:
        way.send(WANG, TEXT, AT)
    assert "SCHLUESSEL" not in str(caught.value) + caught.value.hint
    return caught.value


def test_each_robot_gets_the_form_that_it_takes(cert: Path, secret: Path) -> None:
    with servers.https(cert) as (port, robot):
        for kind in ("wecom", "wecom-text", "dingtalk", "json"):
            hook(kind, secret, cert, port).send(WANG, TEXT, AT)
    assert {path for path, _ in robot.told} == {"/robot/send?key=SCHLUESSEL"}
    markdown, plain, ding, generic = (body for _, body in robot.told)
    assert markdown["msgtype"] == "markdown"
    assert markdown["markdown"]["content"] == f"**{TEXT.title}**\n{TEXT.text}<@wangfang>"
    assert plain == {
        "msgtype": "text",
        "text": {"content": f"{TEXT.title}\n{TEXT.text}", "mentioned_list": ["wangfang"]},
    }
    assert ding["markdown"]["title"] == TEXT.title
    assert ding["markdown"]["text"].endswith("\n\n@ding123")
    assert ding["at"] == {"atUserIds": ["ding123"], "isAtAll": False}
    assert generic["id"] == TEXT.key
    assert generic["person"] == "per-1"
    assert generic["items"] == [
        {"rule": STORAGE, "kind": "soon", "recorder": "B-07", "count": 3, "limit": "2026-11-25T08:30:00.000000Z"}
    ]
    assert "王芳" not in str(robot.told)


def test_dingtalk_is_signed_where_a_secret_is_set(cert: Path, secret: Path) -> None:
    with servers.https(cert) as (port, robot):
        hook("dingtalk", secret, cert, port, signs="SEC42").send(WANG, TEXT, AT)
    ((path, _),) = robot.told
    asked = parse_qs(urlsplit(path).query)
    assert asked["key"] == ["SCHLUESSEL"]
    assert asked["timestamp"] == ["1795595400000"]
    mac = hmac.digest(b"SEC42", b"1795595400000\nSEC42", hashlib.sha256)
    assert base64.b64decode(asked["sign"][0]) == mac


def test_whom_a_messenger_does_not_know_it_does_not_reach(secret: Path) -> None:
    unknown = Person("per-2", "2", "李明")
    reached = {kind: Webhook("robot", kind, secret, station="hq-01").reaches(unknown) for kind in MOST_BYTES}
    assert reached == {"wecom": "", "wecom-text": "", "dingtalk": "", "json": "per-2"}


def test_a_robot_that_says_no_is_no_success(cert: Path, secret: Path) -> None:
    with servers.https(cert) as (port, robot):
        for answer in (b'{"errcode":45009}', b'{"errcode":"0"}', b"<html>", b"[]", b""):
            robot.answer = answer
            assert failure(hook("wecom", secret, cert, port)).code == "webhook-refused"
        hook("json", secret, cert, port).send(WANG, TEXT, AT)  # of another program only the status counts
        robot.status = 503
        assert failure(hook("json", secret, cert, port)).code == "webhook-refused"


def test_a_redirect_is_not_followed(cert: Path, secret: Path) -> None:
    with servers.https(cert) as (port, robot), servers.https(cert) as (elsewhere, other):
        robot.status, robot.headers = 307, {"Location": f"https://localhost:{elsewhere}/"}
        assert failure(hook("wecom", secret, cert, port)).code == "redirected"
        assert other.told == []


def test_only_https_to_a_server_that_somebody_vouches_for(cert: Path, secret: Path, tmp_path: Path) -> None:
    with servers.https(servers.certificate(tmp_path / "stranger")) as (port, robot):
        assert failure(hook("wecom", secret, cert, port)).code == "untrusted-server"
        assert failure(hook("wecom", secret, None, port)).code == "untrusted-server"
        assert robot.told == []
    for wrong in (
        "http://localhost/x", "localhost/x", "https://user:pass@localhost/x", "https:///x", "https://localhost:x?SCHLUESSEL",
        "https://[localhost/SCHLUESSEL", "https://localhost/密SCHLUESSEL", "https://localhost/SCHLUESSEL x\x7f",
    ):  # fmt: skip
        secret.write_text(wrong)
        with pytest.raises(ConfigError) as told:
            Webhook("robot", "wecom", secret, station="hq-01").send(WANG, TEXT, AT)
        assert "SCHLUESSEL" not in str(told.value)


def test_a_recorders_name_is_no_markdown_and_calls_nobody(cert: Path, secret: Path) -> None:
    """It may come from a card: a link to anywhere, or a call to everybody."""
    line = "• 将到期：记录仪 [登录](https://evil.example) <@all> @all <font color=red>*"
    text = Message("k" * 32, "将到期", (line,))
    with servers.https(cert) as (port, robot):
        for kind in ("wecom", "dingtalk"):
            hook(kind, secret, cert, port).send(WANG, text, AT)
    wecom, ding = robot.told[0][1]["markdown"]["content"], robot.told[1][1]["markdown"]["text"]
    shown = "• 将到期：记录仪 ［登录］(https：//evil.example) ＜＠all＞ ＠all ＜font color=red＞＊"
    assert shown in wecom and shown in ding
    assert (wecom.count("<@"), ding.count("@")) == (1, 1), "whom it is for, and nobody else"


def test_a_server_that_is_not_there_hangs_or_never_ends_is_unreachable(cert: Path, secret: Path) -> None:
    assert failure(hook("wecom", secret, cert, servers.free_port())).code == "unreachable"
    with servers.raw(servers.silent) as port:
        assert failure(hook("wecom", secret, cert, port, timeout=0.3)).code == "unreachable"


def test_a_connection_that_is_there_only_when_the_time_is_over_is_shut_as_well() -> None:
    """A slow handshake must not take the limit of what follows with it."""
    ours, theirs = socket.socketpair()
    late: list[socket.socket] = []
    with ours, theirs, at_most(0.05, lambda: late[0] if late else None):
        began = threading.Event()
        threading.Timer(0.2, lambda: (late.append(ours), began.set())).start()
        assert began.wait(10)
        assert ours.recv(1) == b"", "nobody said anything, and nobody hung up but the limit"


@pytest.mark.parametrize("most", [60, 100, 2048])
def test_a_text_is_cut_at_a_line_and_fits(most: int) -> None:
    text = "".join(f"第{n}行 line {n}\n" for n in range(400))
    shown = cut(text, most)
    assert len(shown.encode()) <= most
    assert shown.endswith("\n…\n")
    assert text.startswith(shown.removesuffix("…\n"))
    assert cut("短", most) == "短"
