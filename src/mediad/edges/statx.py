"""statx(2): Python 3.11 knows no birth time."""

import ctypes
import os

from mediad.model.evidence import in_64_bits


class _Time(ctypes.Structure):
    _fields_ = (("sec", ctypes.c_int64), ("nsec", ctypes.c_uint32), ("pad", ctypes.c_int32))


class _Statx(ctypes.Structure):
    _fields_ = (
        ("mask", ctypes.c_uint32), ("blksize", ctypes.c_uint32), ("attributes", ctypes.c_uint64),
        ("nlink", ctypes.c_uint32), ("uid", ctypes.c_uint32), ("gid", ctypes.c_uint32), ("mode", ctypes.c_uint16),
        ("pad0", ctypes.c_uint16), ("ino", ctypes.c_uint64), ("size", ctypes.c_uint64), ("blocks", ctypes.c_uint64),
        ("attributes_mask", ctypes.c_uint64), ("atime", _Time), ("btime", _Time), ("ctime", _Time), ("mtime", _Time),
        ("rdev_major", ctypes.c_uint32), ("rdev_minor", ctypes.c_uint32),
        ("dev_major", ctypes.c_uint32), ("dev_minor", ctypes.c_uint32), ("rest", ctypes.c_uint64 * 14),
    )  # fmt: skip


class Info:
    """What a directory entry is, without following it; times in nanoseconds since 1970."""

    __slots__ = ("birth_ns", "changed_ns", "device", "inode", "mode", "mtime_ns", "size")

    def __init__(self, raw: _Statx) -> None:
        self.mode, self.size, self.inode = raw.mode, raw.size, raw.ino
        self.device = os.makedev(raw.dev_major, raw.dev_minor)
        self.mtime_ns = in_64_bits(raw.mtime.sec * 1_000_000_000 + raw.mtime.nsec)
        self.changed_ns = in_64_bits(raw.ctime.sec * 1_000_000_000 + raw.ctime.nsec)
        has_birth = raw.mask & _BTIME
        self.birth_ns = in_64_bits(raw.btime.sec * 1_000_000_000 + raw.btime.nsec) if has_birth else None


_BASIC, _BTIME = 0x7FF, 0x800
_NOFOLLOW = 0x100
_statx_call = ctypes.CDLL(None, use_errno=True).statx


def statx(directory: int, name: bytes) -> Info:
    """Look at a name in an open folder. Raises OSError."""
    raw = _Statx()
    if _statx_call(directory, name, _NOFOLLOW, _BASIC | _BTIME, ctypes.byref(raw)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return Info(raw)
