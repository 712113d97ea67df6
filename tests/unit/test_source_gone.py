"""A source whose mount died under it."""

import errno
import os
from pathlib import Path

import pytest

from mediad.edges import source


def test_close_of_a_dead_mount_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FUSE answers close(2) with ENOTCONN after a pull; the docking must still be handed over as interrupted."""
    (tmp_path / "a.mp4").write_bytes(b"abc")
    tree = source.SourceTree(tmp_path)
    assert [f.path for f in tree.walk()] == [b"a.mp4"]
    close, fd = os.close, tree._fd

    def dead(number: int) -> None:
        close(number)
        if number == fd:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

    monkeypatch.setattr(os, "close", dead)
    tree.close()
    assert tree._fd == -1
