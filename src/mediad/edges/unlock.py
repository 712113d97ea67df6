"""Unlock helpers: an external program per vendor that turns a control device into a disk and says whose
recorder it is.

Contract (documented for integrators in docs/unlock-helper.md; ``tests/fakes/unlock_helper.py`` follows it):

* Called as the profile's ``command``, an argument list, no shell, no arguments added; working directory
  ``/``; stdin is /dev/null; runs as the service's user under its restrictions, with read and write access to
  ``/dev/bus/usb`` nodes of group mediad.
* Environment, and nothing else but PATH and LANG: ``MEDIAD_SLOT`` (port path), ``MEDIAD_VID``, ``MEDIAD_PID``
  (four hex digits), ``MEDIAD_BUS``, ``MEDIAD_DEV`` (decimal), ``MEDIAD_DEVNODE`` (/dev/bus/usb/BBB/DDD),
  ``MEDIAD_SERIAL`` (of the USB descriptor).
* Password: if the profile names a secrets file, ``MEDIAD_PASSWORD_FD`` holds the number of an open
  descriptor; read it to its end.  It carries the file's content without the last line break, 4096 bytes at
  most.  Never in argv or environment.
* Answer: exit status 0 and on stdout one JSON object, ``{"serial", "officer", "officer_name", "unit",
  "unit_name", "clock"}``, all optional strings; other keys are ignored.  UTF-8, or GBK as vendors' libraries
  give it.  ``{}`` or nothing: unlocked, identity unknown.
* Any other exit status: not unlocked; the last line of stderr is shown to the administrator (the password is
  blotted out).
* Limits: the profile's time limit, 64 KiB of output; then it is killed with all its children.

The helper returns when the switch was *triggered*; the disk shows up later as a new stay on the same port.
"""

from __future__ import annotations

import json
import os
import stat
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from mediad.edges.program import MAX_SECRET, run
from mediad.errors import ConfigError, DeviceError
from mediad.model.carried import SlotIdentity
from mediad.model.slots import UsbDevice

MAX_FIELD = 200
"""Characters of one identity field; real ones have 30 at most."""

_KEYS = ("serial", "officer", "officer_name", "unit", "unit_name", "clock")


def unlock(device: UsbDevice, command: Sequence[str], *, secret_file: str = "", timeout: float = 60.0) -> SlotIdentity:
    """Run the helper for this device.  Raises ConfigError (helper or secrets file unusable) or DeviceError
    (not unlocked).
    """
    if not command:
        raise ConfigError("an unlock profile needs a command")
    secret = read_secret(Path(secret_file)) if secret_file else None
    environment = {
        "MEDIAD_SLOT": device.port,
        "MEDIAD_VID": device.vid,
        "MEDIAD_PID": device.pid,
        "MEDIAD_BUS": str(device.bus),
        "MEDIAD_DEV": str(device.dev),
        "MEDIAD_DEVNODE": f"/dev/bus/usb/{device.bus:03d}/{device.dev:03d}",
        "MEDIAD_SERIAL": device.serial.replace("\0", ""),
    }
    try:
        outcome = run(
            command,
            environment=environment,
            timeout=timeout,
            secret=secret,
            secret_variable="MEDIAD_PASSWORD_FD",  # noqa: S106  the name of a variable
        )
    except OSError as error:
        raise ConfigError(f"cannot run the unlock helper {command[0]}: {error.strerror}") from error
    if outcome.late:
        raise DeviceError(f"the unlock helper did not finish within {timeout:g} s on {device.port}")
    if outcome.too_much:
        raise DeviceError(f"the unlock helper wrote more than 64 KiB on {device.port}")
    if outcome.code != 0:
        said = _last_line(outcome.err, secret)
        raise DeviceError(
            f"the unlock helper ended with {outcome.code} on {device.port}" + (f": {said}" if said else "")
        )
    return parse_identity(outcome.out)


def parse_identity(data: bytes) -> SlotIdentity:
    """The helper's answer.  Raises DeviceError if it is no JSON object of strings."""
    text = decode(data).strip()
    if not text:
        return SlotIdentity()
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DeviceError(f"the unlock helper's answer is not JSON: {text[:80]!r}") from error
    if not isinstance(answer, dict):
        raise DeviceError("the unlock helper's answer is not a JSON object")
    fields = {}
    for key in _KEYS:
        value = answer.get(key)
        if value is not None and not isinstance(value, str | int):
            raise DeviceError(f"the unlock helper's answer has no text in {key!r}")
        fields[key] = "" if value is None else clean(str(value))
    return SlotIdentity(**fields)


def decode(data: bytes) -> str:
    """UTF-8 if it is that, else GB 18030 (which contains GBK and GB 2312), else what is left of UTF-8."""
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("utf-8", "replace")


def clean(text: str) -> str:
    """Without control and formatting characters (fixed-width vendor fields are padded with NUL), at most
    MAX_FIELD characters.
    """
    plain = "".join(char for char in text if not unicodedata.category(char).startswith("C"))
    return plain.strip()[:MAX_FIELD]


def read_secret(path: Path) -> bytes:
    """A secrets file's content without the last line break.  Raises ConfigError if it is missing, too long,
    or open to others.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_SECRET + 2)
    except OSError as error:
        raise ConfigError(f"cannot read the secrets file {path}: {error.strerror}") from error
    # the group may read: systemd credentials are shown so
    if not stat.S_ISREG(mode) or mode & 0o007:
        raise ConfigError(f"the secrets file {path} is open to every user", hint=f"chmod o= {path}")
    data = data.removesuffix(b"\n").removesuffix(b"\r")
    if len(data) > MAX_SECRET:
        raise ConfigError(f"the secrets file {path} has more than {MAX_SECRET} bytes")
    return data


def _last_line(data: bytes, secret: bytes | None) -> str:
    if secret:
        data = data.replace(secret, b"***")
    lines = [line for line in decode(data).splitlines() if line.strip()]
    return clean(lines[-1]) if lines else ""
