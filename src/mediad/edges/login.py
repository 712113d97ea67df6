"""Who acts: the login of the person behind this process.

The kernel keeps the login that a session began with (``/proc/self/loginuid``, set by pam_loginuid); it survives sudo and su and
cannot be set by the person. Where there is none (a service, a container) sudo's word counts, else the process's own user.
Environment variables that a person may set (LOGNAME, USER) say nothing.
"""

import os
import pwd
from pathlib import Path

_UNSET = 2**32 - 1


def login(loginuid: Path = Path("/proc/self/loginuid")) -> str:
    """The login's name, or ``uid:N`` for a user without one."""
    try:
        uid = int(loginuid.read_text())
    except (OSError, ValueError):
        uid = _UNSET
    if uid == _UNSET:
        uid = _sudo_uid() or os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid:{uid}"


def _sudo_uid() -> int | None:
    """Who called sudo. Only believed where the user really changed: then sudo set it."""
    text = os.environ.get("SUDO_UID", "")
    return int(text) if text.isdigit() and int(text) != os.getuid() else None
