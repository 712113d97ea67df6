"""Unlock helpers: the contract, and what happens to those that break it.  Real processes, a fake helper."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediad.edges.unlock import MAX_FIELD, decode, parse_identity, read_secret, unlock
from mediad.errors import ConfigError, DeviceError
from mediad.model.carried import SlotIdentity
from mediad.model.slots import UsbDevice

HELPER = Path(__file__).parent.parent / "fakes" / "unlock_helper.py"
DEVICE = UsbDevice(
    port="pci-0000:00:03.0-usb-0:1.2",
    kind="control",
    serial="S1",
    vendor="V",
    model="M",
    vid="4255",
    pid="0001",
    bus=1,
    dev=23,
)
WHO = SlotIdentity(
    serial="8888888",
    officer="123456",
    officer_name="王小明",
    unit="210200",
    unit_name="卫生监督所",
    clock="2026-11-23 10:00:00",
)


def command(mode: str = "") -> list[str]:
    return [sys.executable, str(HELPER), *([mode] if mode else [])]


@pytest.fixture
def secret(tmp_path: Path) -> str:
    path = tmp_path / "secret"
    path.write_text("abc123\n")
    path.chmod(0o600)
    return str(path)


def none_left(argument: str) -> bool:
    """Whether processes with this argument end; SIGKILL takes effect a moment after it was sent."""
    end = time.monotonic() + 60
    while running(argument):
        if time.monotonic() > end:
            return False
    return True


def running(argument: str) -> list[int]:
    """Processes of this machine whose command line holds the argument."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and argument.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("mode", ["", "gbk"], ids=["UTF-8", "GBK"])
def test_the_password_comes_over_a_descriptor_and_the_identity_is_read(secret: str, mode: str) -> None:
    assert unlock(DEVICE, command(mode), secret_file=secret) == WHO


def test_a_wrong_password_is_a_device_error_with_what_the_helper_said(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("000000")
    path.chmod(0o600)
    with pytest.raises(DeviceError, match="wrong password"):
        unlock(DEVICE, command(), secret_file=str(path))


def test_the_password_is_blotted_out_of_messages(secret: str) -> None:
    with pytest.raises(DeviceError, match=r"wrong password \*\*\*") as caught:
        unlock(DEVICE, command("echo-password"), secret_file=secret)
    assert "abc123" not in str(caught.value)


def test_the_helper_sees_the_device_and_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for helpers")
    dump = (
        "import json,os; print(json.dumps({'unit': ' '.join(sorted(os.environ)), 'clock': ' '.join("
        "os.environ['MEDIAD_'+k] for k in ('SLOT','VID','PID','BUS','DEV','DEVNODE','SERIAL'))}))"
    )
    identity = unlock(DEVICE, [sys.executable, "-I", "-c", dump])
    names = set(identity.unit.split()) - {"LC_CTYPE"}
    expected = "SLOT VID PID BUS DEV DEVNODE SERIAL"
    assert names == {"PATH", "LANG", *(f"MEDIAD_{name}" for name in expected.split())}
    assert identity.clock == "pci-0000:00:03.0-usb-0:1.2 4255 0001 1 23 /dev/bus/usb/001/023 S1"


def test_a_helper_that_hangs_is_killed_with_its_children() -> None:
    begin = time.monotonic()
    with pytest.raises(DeviceError, match="did not finish within 1 s"):
        unlock(DEVICE, ["/bin/sh", "-c", "sleep 8171 & sleep 8171"], timeout=1)
    assert time.monotonic() - begin < 120
    assert none_left("8171")


def test_a_child_left_behind_neither_delays_the_answer_nor_survives() -> None:
    begin = time.monotonic()
    script = 'sleep 8172 & echo \'{"serial": "A"}\''
    assert unlock(DEVICE, ["/bin/sh", "-c", script]).serial == "A"
    assert time.monotonic() - begin < 120
    assert none_left("8172")


def test_a_helper_that_writes_without_end_is_killed() -> None:
    with pytest.raises(DeviceError, match="more than 64 KiB"):
        unlock(DEVICE, command("flood"))


def test_a_failing_helper_is_a_device_error() -> None:
    with pytest.raises(DeviceError, match=r"ended with 7 .*: device says: busy"):
        unlock(DEVICE, command("fail"))


@pytest.mark.parametrize("mode", ["empty"])
def test_no_answer_means_unlocked_and_unknown(mode: str) -> None:
    assert unlock(DEVICE, command(mode)) == SlotIdentity()


@pytest.mark.parametrize("answer", [b"hello", b"[1]", b"3", b'{"serial": ["x"]}', b'{"serial": {}}', b"[" * 9999])
def test_an_answer_that_is_no_object_of_texts_is_refused(answer: bytes) -> None:
    with pytest.raises(DeviceError):
        parse_identity(answer)


def test_a_missing_helper_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="cannot run"):
        unlock(DEVICE, ["/no/such/helper"])
    with pytest.raises(ConfigError, match="command"):
        unlock(DEVICE, [])


def test_padding_control_characters_and_length_are_cleaned() -> None:
    answer = '{"serial": "1234567\\u0000\\u0000", "officer_name": " \\u202e王\\n", "unit": 42, "unit_name": "%s"}'
    identity = parse_identity((answer % ("x" * 999)).encode())
    assert (identity.serial, identity.officer_name, identity.unit) == ("1234567", "王", "42")
    assert len(identity.unit_name) == MAX_FIELD


def test_a_secrets_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("abc123\r\n")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="open to every user"):
        read_secret(path)
    path.chmod(0o440)
    assert read_secret(path) == b"abc123"
    with pytest.raises(ConfigError, match="cannot read"):
        read_secret(tmp_path / "none")
    with pytest.raises(ConfigError):
        read_secret(tmp_path)


def test_no_descriptor_is_left_open(secret: str) -> None:
    before = os.listdir("/proc/self/fd")
    unlock(DEVICE, command(), secret_file=secret)
    with pytest.raises(ConfigError):
        unlock(DEVICE, ["/no/such/helper"], secret_file=secret)
    assert len(os.listdir("/proc/self/fd")) == len(before)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_identity_or_a_device_error(data: bytes) -> None:
    try:
        identity = parse_identity(data)
    except DeviceError:
        return
    assert isinstance(identity, SlotIdentity)


@given(st.text(max_size=50))
def test_text_in_utf_8_is_read_as_such(text: str) -> None:
    encoded = text.encode("utf-8", "ignore")
    assert decode(encoded) == encoded.decode("utf-8-sig")
