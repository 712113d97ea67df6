"""Telling people from a real catalogue: once, by a clock that is moved by hand, whatever servers do; and what is recorded of it."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mediad.catalog import telling as memory
from mediad.catalog.db import Catalog
from mediad.catalog.ledger import Ledger
from mediad.edges.files import lock_is_free
from mediad.errors import ConfigError, MediadError, Undelivered
from mediad.model.custody import Draft
from mediad.model.instants import stamp
from mediad.model.people import Dated, Person, Role
from mediad.model.registers import hand_out, person_json
from mediad.model.telling import Message
from mediad.stages import notify
from mediad.stages.notify import Told
from mediad.wiring.bureau import telling as wired
from mediad.wiring.bureau.acts import REGISTER_LOCK
from mediad.wiring.bureau.rules import rules_of_file
from mediad.wiring.bureau.telling import TellingPart, bureau_of, tell, ways_of
from mediad.wiring.station import lock_folder, new_id
from tests import servers
from tests.support import Site, make_card, make_site

NOON = datetime(2026, 11, 25, 4, 0, tzinfo=UTC)
"""12:00 in the unit's zone."""
HOUR = timedelta(hours=1)
WANG = Person("per-wang", "1", "王芳", "dep-a", frozenset({Role.OFFICER}), mail="wang@example.org", wecom="wang")
LI = Person(
    "per-li", "2", "李明", "dep-a", frozenset({Role.APPROVER}), mail="li@example.org", certificates=(Dated("2"),)
)
MUTE = Person("per-mute", "3", "张伟", "dep-a", frozenset({Role.OFFICER}))


@dataclass
class Clock:
    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Post:
    """A way that keeps what it is given, or fails as it is told."""

    name: str = "mail"
    got: list[tuple[str, Message]] = field(default_factory=list)
    fails: dict[str, MediadError | Exception] = field(default_factory=dict)
    """Person, or ``*``, to how it fails."""
    tried: int = 0

    def reaches(self, person: Person) -> str:
        return person.mail

    def send(self, person: Person, message: Message, at: datetime) -> None:
        self.tried += 1
        if error := self.fails.get(person.id) or self.fails.get("*"):
            raise error
        self.got.append((person.id, message))

    def told(self) -> list[str]:
        return [who for who, _ in self.got]


@dataclass
class Office:
    """A station with people, and a hand on its clock."""

    site: Site
    ledger: Ledger
    clock: Clock

    def ruled(
        self,
        subject: str,
        due: datetime | None,
        *,
        rule: str = "article-28-24h",
        state: str = "waiting",
        carrier: str = WANG.id,
    ) -> None:
        at = None if due is None else stamp(due)
        body = {"rule": rule, "state": state, "due_at": at, "met_at": None, "carrier": carrier,
                "ended_at": None if due is None else stamp(due - 24 * HOUR), "reason": "after-recording", "remarks": [], "why": "",
                "limb": 1, "trip": ""}  # fmt: skip
        self.ledger.record([Draft("deadline.ruled", subject, body)])

    def tell(self, *ways: Any) -> Told:
        with self.ledger.catalog.read() as conn:
            of = bureau_of(conn, self.site.config)
        return notify.run(self.ledger, of, ways, new_id)

    def sent(self) -> list[dict[str, Any]]:
        rows = self.site.rows("SELECT detail FROM custody WHERE kind = 'message.sent' ORDER BY seq")
        return [json.loads(text) for (text,) in rows]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    site = make_site(tmp_path / "station", more='[telling]\nquiet = ["21:00-07:00"]\nafter_days = 3')
    site.open().close()
    clock = Clock()
    ledger = Ledger(Catalog(site.config.catalog.url), "test-01", "tester", clock)
    with closing(ledger.catalog):
        ledger.record([Draft("person.registered", p.id, person_json(p)) for p in (WANG, LI, MUTE)])
        yield Office(site, ledger, clock)


# --- once, and recorded -----------------------------------------------------------------------------------------------------


def test_a_limit_is_told_at_each_step_once_and_recorded_without_words(office: Office) -> None:
    office.ruled("rec-a", NOON + HOUR)
    office.ruled("rec-b", NOON + HOUR)
    post = Post()
    assert office.tell(post).sent == 1
    assert office.tell(post).sent == 0
    office.clock.now += HOUR
    assert office.tell(post).sent == 2  # late: the approver of the department as well
    assert post.told() == ["per-wang", "per-li", "per-wang"]
    assert "2 项" in post.got[0][1].title
    first = office.sent()[0]
    limit = stamp(NOON + HOUR)
    assert first == {
        "person": "per-wang", "way": "mail",
        "notices": [
            {"rule": "article-28-24h", "subject": s, "limit": limit, "step": -60} for s in ("rec-a", "rec-b")
        ],
    }  # fmt: skip


def test_what_was_met_is_told_no_more_and_what_was_met_late_until_somebody_says_why(office: Office) -> None:
    office.ruled("rec-a", NOON + HOUR)
    office.ruled("rec-b", NOON - HOUR, state="late")
    office.ruled("rec-a", NOON + HOUR, state="met")
    post = Post()
    office.tell(post)
    assert [m.groups[0].kind for _, m in post.got] == ["reason", "reason"]
    office.clock.now += 24 * HOUR
    assert office.tell(post).sent == 2
    office.ledger.record([Draft("deadline.justified", "rec-b", {"rule": "article-28-24h", "text": "设备故障"})])
    office.clock.now += 24 * HOUR
    assert office.tell(post).sent == 0


def test_nobody_is_told_in_a_quiet_time_and_what_is_due_in_it_before(office: Office) -> None:
    office.ruled("rec-a", NOON + 12 * HOUR)  # 00:00
    post = Post()
    office.clock.now = NOON + 8 * HOUR + timedelta(minutes=50)  # 20:50
    assert office.tell(post).sent == 2
    assert {m.groups[0].kind for _, m in post.got} == {"soon"}
    office.ruled("rec-b", NOON)
    office.clock.now = NOON + 13 * HOUR
    assert office.tell(post).sent == 0
    office.clock.now = NOON + 19 * HOUR  # 07:00
    assert office.tell(post).sent == 2


def test_a_quiet_time_that_begins_while_people_are_told_ends_the_pass(office: Office) -> None:
    office.ruled("rec-a", NOON - HOUR)
    office.clock.now = NOON + 9 * HOUR - timedelta(seconds=1)

    class Slow(Post):
        def send(self, person: Person, message: Message, at: datetime) -> None:
            super().send(person, message, at)
            office.clock.now += timedelta(minutes=1)

    done = office.tell(Slow())
    assert (done, done.left) == (Told(1, 1), {"mail": 1})


def test_who_has_no_address_is_not_told_and_holds_nobody_up(office: Office) -> None:
    office.ruled("rec-a", NOON, carrier=MUTE.id)
    assert office.tell(Post()) == Told(1)


def test_what_concerns_nobody_whom_any_way_reaches_goes_to_the_storage_administrators(office: Office) -> None:
    keeper = Person("per-keep", "9", "孙丽", "", frozenset({Role.STORAGE_ADMINISTRATOR}), mail="sun@example.org")
    office.ledger.record([Draft("person.registered", keeper.id, person_json(keeper))])
    office.ruled("rec-a", NOON + HOUR, carrier=MUTE.id)
    post = Post()
    office.tell(post)
    assert post.told() == [keeper.id]


def test_trips_overdue_and_recordings_of_no_case_are_told(office: Office) -> None:
    trip = {"persons": [WANG.id], "recorders": [], "left": stamp(NOON - 9 * HOUR), "expected": stamp(NOON), "returned": None,
            "reason": "检查", "void": False, "approved_by": ""}  # fmt: skip
    office.ledger.record([Draft("trip.registered", "trp-1", trip)])
    post = Post()
    office.clock.now = NOON + timedelta(minutes=1)
    office.tell(post)
    assert {n["rule"] for s in office.sent() for n in s["notices"]} == {"trip-back"}
    assert "检查" not in post.got[0][1].text
    office.ledger.record([Draft("trip.registered", "trp-1", {**trip, "returned": stamp(NOON)})])
    office.clock.now += 24 * HOUR
    assert office.tell(post).sent == 0


def test_a_docking_of_their_recorder_shows_that_they_are_back(office: Office) -> None:
    """Nobody is told to enter a return that a docking has proven."""
    trip = {"persons": [WANG.id], "recorders": [], "left": stamp(NOON - 9 * HOUR), "expected": stamp(NOON), "returned": None,
            "reason": "", "void": False, "approved_by": ""}  # fmt: skip
    move = {
        "state": "issued",
        "at": stamp(NOON - 10 * HOUR),
        "carrier": WANG.id,
        "expected": None,
        "why": "",
        "presumed": "",
    }
    docking = {"recorder": "serial:1", "recorder_id": "rcd-1", "label": "B-07", "registered": True, "slot": "",
               "source": "", "channel": "body-camera", "profile": "generic", "officer": "", "continues": None, "said": None,
               "zones": {}}  # fmt: skip
    recorders = [
        Draft("recorder.registered", name, {"label": name, "name": "", "profile": "", "keys": [f"serial:{name}"]})
        for name in ("rcd-1", "rcd-0")
    ]
    others = [
        ("issued", NOON - 99 * HOUR, WANG.id),
        ("returned", NOON - 90 * HOUR, ""),
        ("issued", NOON - 9 * HOUR, LI.id),
    ]
    had = [
        Draft("recorder.moved", "rcd-0", {**move, "state": state, "at": stamp(when), "carrier": whose})
        for state, when, whose in others
    ]
    office.ledger.record(
        [*recorders, *had, Draft("recorder.moved", "rcd-1", move), Draft("trip.registered", "trp-1", trip)]
    )
    office.clock.now = NOON + HOUR
    other = {**docking, "recorder": "serial:0", "recorder_id": "rcd-0"}
    office.ledger.record([Draft("docking.opened", "dck-0", other)])  # that of a colleague by now
    with office.ledger.catalog.read() as conn:
        assert len(memory.away(conn, stamp(NOON - HOUR), stamp(NOON + HOUR))) == 1
    office.ledger.record([Draft("docking.opened", "dck-1", docking)])
    with office.ledger.catalog.read() as conn:
        assert memory.away(conn, stamp(NOON - HOUR), stamp(NOON + HOUR)) == []


def test_after_how_long_a_recording_of_no_case_is_told_is_a_rule_that_was_adopted(office: Office) -> None:
    """A file that was changed since has no effect by itself, as with the alarm and every limit."""
    body = rules_of_file(office.site.config)
    for days, adopted in ((7, body), (2, {**body, "deadlines": {**body["deadlines"], "untagged_days": 2}})):
        office.ledger.record([Draft("rules.adopted", "test-01", adopted)])
        with office.ledger.catalog.read() as conn:
            assert bureau_of(conn, office.site.config).untagged == timedelta(days=days)
    never = {**body, "deadlines": {**body["deadlines"], "untagged_days": 0}}
    office.ledger.record([Draft("rules.adopted", "test-01", never)])
    with office.ledger.catalog.read() as conn:
        assert bureau_of(conn, office.site.config).untagged is None


def test_a_recorder_is_named_by_its_label_whichever_of_its_hand_outs_is_late(office: Office) -> None:
    known = {"label": "B-07", "name": "", "profile": "", "keys": ["serial:1"]}
    office.ledger.record([Draft("recorder.registered", "rcd-1", known)])
    office.ruled(hand_out("rcd-1", stamp(NOON - 24 * HOUR)), NOON + HOUR, rule="recorder-back")
    with office.ledger.catalog.read() as conn:
        (topic,) = notify.topics(conn, bureau_of(conn, office.site.config), NOON)
    assert topic.label == "B-07"


def test_what_nobody_can_date_is_told_once_a_day(office: Office) -> None:
    office.ruled("rec-a", None, state="untrusted")
    post = Post()
    assert office.tell(post).sent == 2
    assert office.tell(post).sent == 0
    office.clock.now += 24 * HOUR
    assert office.tell(post).sent == 2
    assert all(s["notices"][0]["limit"] == "" for s in office.sent())


# --- servers that fail ---------------------------------------------------------------------------------------------------


def test_a_way_that_fails_is_left_alone_for_longer_each_time_and_nothing_is_lost(office: Office) -> None:
    office.ruled("rec-a", NOON)
    post, other = Post(fails={"*": Undelivered("no server")}), Post("robot")
    assert office.tell(post, other) == Told(2, 2, {"mail": "no server"})
    assert post.tried == 1  # who is next is not tried by a way that is down
    office.clock.now += timedelta(seconds=59)
    assert office.tell(post, other) == Told(0, 2, {"mail": "no server"})
    assert post.tried == 1
    for wait in (1, 2, 4, 8):  # minutes
        office.clock.now += timedelta(minutes=wait)
        office.tell(post)
    assert post.tried == 5
    with office.ledger.catalog.read() as conn:
        assert memory.failures(conn)["mail"].tries == 5
    post.fails.clear()
    office.clock.now += timedelta(minutes=16)
    assert office.tell(post, other) == Told(2)
    with office.ledger.catalog.read() as conn:
        assert memory.failures(conn) == {}
    assert [s["way"] for s in office.sent()] == ["robot", "robot", "mail", "mail"]


def test_an_address_that_is_refused_holds_up_nobody_else(office: Office) -> None:
    office.ruled("rec-a", NOON)
    post = Post(fails={"per-li": Undelivered("no such mailbox", code="address-refused")})
    assert office.tell(post) == Told(1, 1, {"mail": "no such mailbox"})
    office.ruled("rec-b", NOON, carrier=LI.id)
    office.ruled("rec-c", NOON)
    assert office.tell(post) == Told(1, 1, {"mail": "no such mailbox"})  # who comes after it is told
    assert post.told() == ["per-wang", "per-wang"]


def test_two_persons_of_one_address_are_told_the_same_once_and_each_what_is_their_own(office: Office) -> None:
    twin = replace(LI, id="per-twin", key="9", certificates=())
    office.ledger.record([Draft("person.registered", twin.id, person_json(twin))])
    office.ruled("rec-a", NOON)
    post = Post()
    assert office.tell(post) == Told(3)
    assert len(post.got) == 2, "the carrier, and both approvers by one message"
    assert {s["person"] for s in office.sent()} == {WANG.id, LI.id, twin.id}
    for own in (LI, twin):
        office.ruled(f"rec-{own.id}", NOON + HOUR, carrier=own.id)
    assert office.tell(post) == Told(2)
    assert len(post.got) == 4, "of other recordings"


def test_a_fault_of_ours_and_a_wrong_file_end_no_pass(office: Office) -> None:
    office.ruled("rec-a", NOON)
    broken, wrong, post = (
        Post("a", fails={"*": KeyError("x")}),
        Post("b", fails={"*": ConfigError("no file")}),
        Post("c"),
    )
    done = office.tell(broken, wrong, post)
    assert done.sent == 2
    assert done.trouble == {"a": "an unexpected fault: KeyError", "b": "no file"}


def test_a_clock_that_was_ahead_puts_nothing_off_for_ever(office: Office) -> None:
    office.ruled("rec-a", NOON)
    post = Post(fails={"*": Undelivered("no server")})
    office.clock.now += timedelta(days=2)
    office.tell(post)
    post.fails.clear()
    office.clock.now = NOON
    assert office.tell(post).sent == 2


def test_what_nobody_needs_any_more_waits_for_no_server(office: Office) -> None:
    office.ruled("rec-a", NOON)
    office.tell(Post(fails={"*": Undelivered("no server")}))
    office.ruled("rec-a", NOON, state="met")
    office.tell(Post())
    with office.ledger.catalog.read() as conn:
        assert memory.failures(conn) == {}


# --- the program -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return servers.certificate(tmp_path_factory.mktemp("cert"))


@pytest.fixture
def late(tmp_path: Path, cert: Path) -> Iterator[tuple[Site, servers.Mailbox]]:
    """A station with a mail server, and a recording that was docked two hours too late."""
    with servers.smtp(cert) as (port, box):
        more = f'[telling.mail]\nhost = "localhost"\nport = {port}\nsender = "mediad@example.org"\nca_file = "{cert}"\n'
        site = make_site(tmp_path / "station", more=more)
        taken = datetime.now(UTC) - 26 * HOUR
        card = make_card(
            tmp_path / "card", {"a.jpg": b"\xff\xd8\xff" + b"x" * 5000}, mtime_ns=int(taken.timestamp()) * 10**9
        )
        site.ingest(card, recorder="B-07")
        with closing(site.open()) as station:
            station.ledger.record([Draft("person.registered", p.id, person_json(p)) for p in (LI, MUTE)])
        yield site, box


def called(site: Site, *arguments: str) -> tuple[int, Any, str]:
    done = site.run("notify", *arguments, "--json")
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def test_the_program_shows_what_would_go_out_tells_it_and_has_nothing_left(late: tuple[Site, servers.Mailbox]) -> None:
    site, box = late
    assert called(site, "--dry-run")[1] == []  # nothing is ruled yet, and a look writes nothing
    site.run("notify")
    assert len(box.letters) == 1
    text = box.letters[0].get_content()
    assert "记录仪 B-07" in text
    assert "已逾期办结，待书面说明" in text
    assert box.letters[0]["To"] == LI.mail
    assert called(site, "--dry-run")[:2] == (0, [])
    assert called(site)[:2] == (0, {"sent": 0, "waiting": 0, "trouble": {}})
    assert site.run("fsck").returncode == 0


def test_what_fails_is_shown_by_dry_run_and_status_and_is_the_exit_code(late: tuple[Site, servers.Mailbox]) -> None:
    site, box = late
    box.answer = "452 no room"
    code, answer, _ = called(site)
    assert code == 6
    assert answer["waiting"] == 1
    (held,) = called(site, "--dry-run")[1]
    assert held["held_until"]
    assert "452" in held["why"]
    status = json.loads(site.run("status", "--json").stdout)
    assert status["due"]["notify"]["put_off"] == 1
    assert "452" in next(p["why"] for p in status["put_off"] if p["stage"] == "notify")


def test_a_test_message_reaches_a_person_and_is_recorded(late: tuple[Site, servers.Mailbox]) -> None:
    site, box = late
    code, answer, _ = called(site, "--test", "李明")
    assert (code, answer) == (0, [{"person": LI.id, "way": "mail", "to": LI.mail, "sent": True, "why": ""}])
    assert "测试消息" in box.letters[0].get_content()
    (row,) = site.rows("SELECT detail FROM custody WHERE kind = 'message.sent'")
    assert json.loads(row[0])["notices"] == []
    box.refuse = {LI.mail}
    code, answer, _ = called(site, "--test", "2")
    assert (code, answer[0]["sent"]) == (6, False)
    assert "address" in answer[0]["why"]
    assert called(site, "--test", "张伟")[0] == 4
    assert called(site, "--test", "nobody")[0] == 3
    assert called(site, "--test", "李明", "--dry-run")[0] == 2


def test_no_other_command_waits_while_a_server_is_asked_to_take_a_test_message(
    late: tuple[Site, servers.Mailbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, _ = late
    free: list[bool] = []

    class Slow(Post):
        def send(self, person: Person, message: Message, at: datetime) -> None:
            free.append(lock_is_free(lock_folder(site.config) / REGISTER_LOCK))

    monkeypatch.setattr(wired, "ways_of", lambda _: [Slow()])
    assert [row["sent"] for row in wired.test(site.config, "李明")] == [True]
    assert free == [True]
    assert site.rows("SELECT count(*) FROM custody WHERE kind = 'message.sent'") == [(1,)]


def test_without_a_way_there_is_nothing_to_notify_by(tmp_path: Path) -> None:
    site = make_site(tmp_path / "station")
    site.open().close()
    assert called(site)[0] == 2
    assert ways_of(site.config) == []


def test_another_process_that_tells_is_not_joined(late: tuple[Site, servers.Mailbox]) -> None:
    from mediad.edges import files
    from mediad.wiring.station import lock_folder

    site, box = late
    with files.locked(lock_folder(site.config) / "notify.lock", busy=""):
        assert called(site)[0] == 6
    assert box.letters == []


# --- the daemon's part ---------------------------------------------------------------------------------------------------


def test_the_daemons_part_goes_on_whatever_a_pass_comes_to_and_says_what_fails() -> None:
    passes: Iterator[Any] = iter(
        [Told(1), Told(0, 3, {"mail": "no server"}, {"mail": 3}), Undelivered("no disk"), KeyError("x"), Told(2)]
    )
    said: list[str] = []
    counted: list[dict[str, float]] = []
    over = threading.Event()

    def one_pass() -> Told:
        said.append(part.trouble())
        counted.append({way: n for _, (way,), n in part.samples()})
        outcome = next(passes, None)
        if outcome is None:
            over.set()
            return Told()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    part = TellingPart(one_pass, seconds=0, ways=["mail"])
    part.start()
    assert over.wait(10)
    assert part.healthy()
    part.stop()
    assert part.join(10)
    assert part.healthy()  # it was asked to end
    assert counted[:3] == [{"mail": 0}, {"mail": 0}, {"mail": 3}]
    assert said[:6] == ["", "", "mail: no server", "telling: no disk", "telling: an unexpected fault: KeyError", ""]


def test_a_server_that_hangs_holds_up_the_parts_thread_alone(late: tuple[Site, servers.Mailbox]) -> None:
    """While a message hangs the station docks, and the part says that it is well."""
    site, _ = late
    hangs, go_on = threading.Event(), threading.Event()

    class Hanging(Post):
        def send(self, person: Person, message: Message, at: datetime) -> None:
            hangs.set()
            assert go_on.wait(30)
            super().send(person, message, at)

    post = Hanging()
    with closing(site.open()) as station:
        part = TellingPart(lambda: tell(station, [post]), seconds=60)
        part.start()
        assert hangs.wait(30)
        station.ledger.record([Draft("slot.named", "usb-1", {"name": "1"})])
        assert station.finish_open_work().trouble == []
        station.healthy()
        assert part.healthy()
        assert not part.join(0)
        go_on.set()
        part.stop()
        assert part.join(30)
    assert post.told() == [LI.id]
