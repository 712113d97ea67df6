"""`mediad slots teach`: the port that a device comes to next gets the name. Real watcher, udev's place taken by a pipe."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mediad.cli import common
from mediad.cli import slots as commands
from mediad.edges import usb as edge
from mediad.errors import NotFound
from mediad.model.slots import UsbFact
from tests.support import Site
from tests.unit.test_slots import PORT_1, PORT_2_3, usb
from tests.unit.test_usb import Source


class Asked(threading.Event):
    """Notices that the person was asked to plug something in."""

    def __call__(self, _line: object) -> None:
        self.set()


@pytest.fixture
def source(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    """A bus on which one device is there already, and a station that was started once."""
    site.open().close()
    source = Source([usb("1-1", "scan")])
    monkeypatch.setattr(edge, "Udev", lambda _sysfs: source)
    monkeypatch.setattr(commands, "SETTLE_SECONDS", 0.1)
    monkeypatch.setattr(common, "selected_config", site.config_file)
    yield source


def _when_asked(monkeypatch: pytest.MonkeyPatch, source: Source, *facts: UsbFact) -> threading.Thread:
    asked = Asked()
    monkeypatch.setattr(common, "tell", asked)
    hand = threading.Thread(target=lambda: [asked.wait(30), *(source.send(fact) for fact in facts)])
    hand.start()
    return hand


def test_the_port_that_a_device_comes_to_gets_the_name(
    site: Site, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = _when_asked(monkeypatch, source, usb("1-2.3"))
    commands.teach("3号", timeout=30)
    hand.join()
    assert site.rows("SELECT port, name FROM slot") == [(PORT_2_3, "3号")]


def test_what_is_taken_out_meanwhile_does_not_end_the_waiting(
    site: Site, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has both hands full takes the old recorder out first."""
    asked = Asked()
    monkeypatch.setattr(common, "tell", asked)
    told: list[object] = []
    wait = edge.UsbWatcher.wait

    def watched(watcher: edge.UsbWatcher, timeout: float | None) -> list[object]:
        changes = wait(watcher, timeout)
        if asked.is_set() and changes and changes[0].device is None:
            told.append(changes[0].port)
            source.send(usb("1-2.3"))  # only when the removal alone was told
        return list(changes)

    monkeypatch.setattr(edge.UsbWatcher, "wait", watched)
    hand = threading.Thread(target=lambda: (asked.wait(30), source.send(usb("1-1", "remove"))))
    hand.start()
    commands.teach("3号", timeout=30)
    hand.join()
    assert told == [PORT_1]
    assert site.rows("SELECT port, name FROM slot") == [(PORT_2_3, "3号")]


def test_without_a_device_nothing_is_named(site: Site, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by what was plugged in before, nor by what leaves."""
    hand = _when_asked(monkeypatch, source, usb("1-1", "remove"))
    with pytest.raises(NotFound):
        commands.teach("3号", timeout=0.5)
    hand.join()
    assert site.rows("SELECT port, name FROM slot") == []


def test_a_name_that_another_slot_has_is_refused_with_a_sentence(site: Site, tmp_path: Path) -> None:
    site.open().close()
    assert site.run("slots", "name", "usb-1", "3号").returncode == 0
    done = site.run("slots", "name", "usb-2", "3号")
    assert (done.returncode, "3号 is the name of usb-1 already" in done.stderr) == (4, True)
