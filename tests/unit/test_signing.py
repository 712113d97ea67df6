"""Approvals are signed with each person's own key: whose account and key both must be, and what the auditor makes of it later."""

import base64
import hashlib
import json
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from mediad.cli import acts as cli_acts
from mediad.cli import keys as cli_keys
from mediad.edges.sshsig import read_key, verified
from mediad.errors import MediadError, Refused
from mediad.model.custody import Draft
from mediad.model.signing import Key, key_id
from mediad.stages import mirror
from mediad.wiring.audit import verify_custody
from mediad.wiring.bureau import acts, keys, registers
from tests.audit_support import copy_site, found, fsck, rewrite_chain, subjects
from tests.signing_support import Pen, acting, armored, give_key, keyed, sign, text, what_is_signed
from tests.support import Site, make_site

PEOPLE = """执法证件编号,姓名,账号,角色
210001,李明,liming,执法人员
210002,王芳,wangfang,批准人;执法人员
210003,赵强,zhaoq,批准人
210004,周敏,zhoumin,存储管理员
"""
WANTS = '[acts]\nwants = { classify = ["reviewer", "approver"], tag = ["approver"] }'


def furnish(root: Path) -> Site:
    site = make_site(root, more=WANTS)
    table = root / "people.csv"
    table.write_text(PEOPLE, encoding="utf-8")
    with acting("root"):
        registers.take(site.config, "people", table, good=False)
    return site


@pytest.fixture(scope="module")
def nobody_has_keys(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return furnish(tmp_path_factory.mktemp("signing") / "without")


@pytest.fixture(scope="module")
def template(nobody_has_keys: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Two approvers with keys, and an act that waits for one of them. What is refused writes nothing, so tests of that share it."""
    site = copy_site(nobody_has_keys, tmp_path_factory.mktemp("signing") / "with")
    keyed(site, "zhoumin", "wangfang", "zhaoq")
    propose(site)
    return site


@pytest.fixture
def site(template: Site, tmp_path: Path) -> Site:
    return copy_site(template, tmp_path / "copy")


@pytest.fixture
def without(nobody_has_keys: Site, tmp_path: Path) -> Site:
    return copy_site(nobody_has_keys, tmp_path / "copy")


def propose(site: Site, what: str = "tag", login: str = "liming") -> str:
    def make(_ledger: Any, _actor: Any) -> list[Draft]:
        return [Draft("department.registered", "dep-x", {"name": "x", "unit": "", "active": True})]

    with acting(login):
        return acts.perform(site.config, what, make).waits


def waiting(site: Site) -> str:
    return str(site.rows("SELECT id FROM act WHERE state = 'proposed'")[0][0])


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(MediadError) as caught:
        work()
    return caught.value.code


def give(site: Site, signature: str, *, as_: Any = "approver", login: str = "wangfang") -> Any:
    with acting(login):
        return acts.sign(site.config, waiting(site), as_, signature)


def number_of(site: Site, kind: str) -> int:
    return int(site.rows("SELECT max(seq) FROM custody WHERE kind = ?", kind)[0][0])


# --- with OpenSSH itself ------------------------------------------------------------------------------------------------


def ssh_keygen(*words: str | Path, given: bytes = b"") -> bytes:
    return subprocess.run(["ssh-keygen", *map(str, words)], input=given, capture_output=True, check=True).stdout


def new_key(folder: Path, name: str, kind: str = "ed25519") -> Path:
    size = ["-b", "2048"] if kind == "rsa" else []
    ssh_keygen("-q", "-t", kind, *size, "-N", "", "-C", name, "-f", folder / name)
    return folder / name


def command(site: Site, login: str, *words: str | Path, given: str = "") -> Result:
    app = typer.Typer()
    for family in (cli_acts, cli_keys):
        family.register(app)
    with acting(login), pytest.MonkeyPatch.context() as patch:
        patch.setattr("mediad.cli.common.selected_config", site.config_file)
        return CliRunner().invoke(app, [*map(str, words)], input=given)


def test_a_key_and_an_approval_by_the_commands_and_with_the_tools_that_people_have(
    without: Site, tmp_path: Path
) -> None:
    """As in docs/signing.md, from the first key to what the auditor says."""
    key = new_key(tmp_path, "wang")
    said = command(without, "wangfang", "key", "statement", "210002", "--key", f"{key}.pub").stdout
    assert said.splitlines()[1] == "采集站 station: test-01"
    proof = ssh_keygen("-Y", "sign", "-n", "mediad", "-f", key, given=said.encode()).decode()
    done = command(
        without, "zhoumin", "key", "add", "wangfang", "--key", "-", "--signature", "-", "--until", "2099-12-31",
        given=Path(f"{key}.pub").read_text(encoding="utf-8") + proof,
    )  # fmt: skip
    assert (done.exit_code, "已登记" in done.stdout) == (0, True)
    act = propose(without)
    statement = command(without, "wangfang", "acts", "statement", act, "--as", "approver").stdout
    assert "身份 as: approver 批准人" in statement.splitlines()
    signature = ssh_keygen("-Y", "sign", "-n", "mediad", "-f", key, given=statement.encode()).decode()
    done = command(without, "wangfang", "acts", "sign", act, "--as", "approver", "--signature", "-", given=signature)
    assert (done.exit_code, "已生效" in done.stdout) == (0, True)
    report = fsck(without)
    assert (report.findings, report.counts["signatures"]) == ([], 2)
    _anybody_can_verify_it(without, act, statement, tmp_path, (tmp_path / "wang.pub").read_text(encoding="utf-8"))
    listed = command(without, "liming", "key", "list").stdout
    assert ssh_keygen("-l", "-f", f"{key}.pub").decode().split()[1] in listed
    assert "王芳" in listed


def _anybody_can_verify_it(site: Site, act: str, statement: str, folder: Path, public: str) -> None:
    """Without mediad: the signature as it stands in the log, by ssh-keygen."""
    stored = "$.signatures.approver.signature"
    ((blob,),) = site.rows(f"SELECT json_extract(detail, '{stored}') FROM act WHERE id = ?", act)
    (folder / "sig").write_text(f"-----BEGIN SSH SIGNATURE-----\n{blob}\n-----END SSH SIGNATURE-----\n")
    (folder / "allowed").write_text(f"wang {public}")
    words = ("-Y", "verify", "-n", "mediad", "-I", "wang", "-f", folder / "allowed", "-s", folder / "sig")
    assert b"Good" in ssh_keygen(*words, given=statement.encode())


def test_what_is_shown_of_an_act_is_what_the_statement_vouches_for(template: Site) -> None:
    act = waiting(template)
    shown = command(template, "wangfang", "acts", "show", act, "--raw").stdout_bytes
    assert json.loads(shown) == json.loads(command(template, "wangfang", "acts", "show", act).stdout)
    assert f"sha256: {hashlib.sha256(shown).hexdigest()}\n".encode() in what_is_signed(template, act)
    assert b"dep-x" in shown


def test_keys_of_other_kinds_are_neither_registered_nor_believed(template: Site, tmp_path: Path) -> None:
    rsa, nist = new_key(tmp_path, "rsa", "rsa"), new_key(tmp_path, "nist", "ecdsa")
    message = what_is_signed(template, waiting(template))
    for key in (rsa, nist):
        signature = ssh_keygen("-Y", "sign", "-n", "mediad", "-f", key, given=message).decode()
        assert refused(lambda s=signature: give(template, s)) == "bad-signature"  # type: ignore[misc]
        public = Path(f"{key}.pub").read_text(encoding="utf-8")
        assert refused(lambda p=public: keys.statement(template.config, "liming", p)) == "bad-key"  # type: ignore[misc]


def test_a_private_key_is_no_public_one(template: Site, tmp_path: Path) -> None:
    key = new_key(tmp_path, "mine").read_text(encoding="utf-8")
    with pytest.raises(Refused) as caught:
        keys.statement(template.config, "liming", key)
    assert caught.value.code == "bad-key"
    assert not any(line in str(caught.value) for line in key.splitlines()[1:-1])


# --- what is no signature -----------------------------------------------------------------------------------------------

WANG = Pen("wangfang")


def slack(signature: str) -> str:
    """The same bytes in other letters: what the last letter says beyond them is not looked at by whoever decodes."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    body, end = signature.split("=", 1)
    return body[:-1] + letters[letters.index(body[-1]) + 1] + "=" + end


NOT_OURS: dict[str, Callable[[bytes], str]] = {
    "namespace": lambda m: WANG.signature(m, namespace=b"file"),
    "namespace-longer": lambda m: WANG.signature(m, namespace=b"mediad2"),
    "version": lambda m: WANG.signature(m, version=2),
    "reserved": lambda m: WANG.signature(m, reserved=b"x"),
    "hash": lambda m: WANG.signature(m, digest=b"sha3_256"),
    "trailing": lambda m: WANG.signature(m, behind=b"\0"),
    "other-frame": lambda m: WANG.signature(m).replace("SSH SIGNATURE", "PGP SIGNATURE"),
    "other-base64": lambda m: slack(WANG.signature(m)),
    "text-behind": lambda m: WANG.signature(m) + "more\n",
    "text-before": lambda m: "more\n" + WANG.signature(m),
    "twice": lambda m: WANG.signature(m) * 2,
    "empty": lambda m: "",
    "garbage": lambda m: "-----BEGIN SSH SIGNATURE-----\n!!!!\n-----END SSH SIGNATURE-----",
    "nothing-in-it": lambda m: armored(b""),
    "only-magic": lambda m: armored(b"SSHSIG\0\0\0\1"),
    "long": lambda m: armored(bytes(100_000)),
    "key-of-31-bytes": lambda m: armored(
        b"SSHSIG\0\0\0\1" + text(text(b"ssh-ed25519") + text(bytes(31))) + text(b"mediad") + text(b"") + text(b"sha512")
        + text(text(b"ssh-ed25519") + text(bytes(64)))
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", NOT_OURS)
def test_what_is_not_exactly_a_signature_for_mediad_is_refused(what: str) -> None:
    with pytest.raises(Refused) as caught:
        verified(NOT_OURS[what](b"message"), b"message")
    assert caught.value.code == "bad-signature"


@pytest.mark.parametrize("digest", [b"sha256", b"sha512"])
def test_both_hashes_of_openssh_are_taken(digest: bytes) -> None:
    assert verified(WANG.signature(b"m", digest=digest), b"m").key == read_key(WANG.public)


@given(st.binary(max_size=400), st.integers(0, 2**16))
def test_any_change_of_any_bit_is_refused_and_nothing_else_comes_of_it(noise: bytes, where: int) -> None:
    blob = bytearray(base64.b64decode("".join(WANG.signature(b"m").splitlines()[1:-1])))
    blob[where % len(blob)] ^= 1 << where % 8
    for odd in (armored(bytes(blob)), armored(noise), noise.decode("latin-1")):
        with pytest.raises(Refused):
            verified(odd, b"m")


@given(st.text(max_size=200))
def test_what_is_no_key_is_refused_and_nothing_else_comes_of_it(noise: str) -> None:
    for odd in (noise, f"ssh-ed25519 {noise}", f"ssh-rsa {WANG.public.split()[1]}"):
        with pytest.raises(Refused):
            read_key(odd)


# --- whose signature, and of what ---------------------------------------------------------------------------------------


def test_a_signature_of_another_act_role_or_station_is_none_of_this(site: Site, tmp_path: Path) -> None:
    act = waiting(site)
    right = what_is_signed(site, act)
    other = [
        what_is_signed(site, propose(site, "classify")),
        what_is_signed(site, act, "reviewer"),
        right.replace(b"test-01", b"test-02"),
        right + b"\n",
        right.replace(b"\n", b"\r\n"),
    ]
    for message in other:
        assert refused(lambda m=message: give_to(site, act, WANG.signature(m))) == "not-this-statement"  # type: ignore[misc]
    give_to(site, act, WANG.signature(right))
    again = propose(site)
    assert refused(lambda: give_to(site, again, WANG.signature(right))) == "not-this-statement"
    assert found(fsck(site)) == set()


def give_to(site: Site, act: str, signature: str) -> None:
    with acting("wangfang"):
        acts.sign(site.config, act, "approver", signature)


def test_account_and_key_must_both_be_the_signers(template: Site) -> None:
    message = what_is_signed(template, waiting(template))
    by_zhao, by_stranger = Pen("zhaoq").signature(message), Pen("stranger").signature(message)
    assert refused(lambda: give(template, by_zhao, login="wangfang")) == "other-key"
    assert refused(lambda: give(template, by_stranger, login="wangfang")) == "other-key"
    assert refused(lambda: give(template, WANG.signature(message), login="root")) == "nobody"
    assert refused(lambda: give(template, WANG.signature(message), login="liming")) == "no-right"


def test_a_key_counts_until_its_last_day_and_not_after_it_is_withdrawn(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    act, begin = waiting(site), datetime.now(UTC)
    end = begin + timedelta(days=10)
    pen = Pen("new")
    with acting("zhoumin"):
        proof = pen.signature(keys.statement(site.config, "wangfang", pen.public))
        waits = keys.add(site.config, "wangfang", pen.public, proof, until=end).waits
    sign(site, waits, "approver", "zhaoq")
    signature = pen.signature(what_is_signed(site, act))
    monkeypatch.setattr("mediad.wiring.station.now", lambda: end)
    assert refused(lambda: give_to(site, act, signature)) == "key-over"
    monkeypatch.setattr("mediad.wiring.station.now", lambda: end - timedelta(seconds=30))
    assert refused(lambda: give_to(site, act, signature)) == "key-over", "it might be recorded after its end"
    with acting("wangfang"):
        keys.withdraw(site.config, pen.fingerprint, "丢失")
    monkeypatch.setattr("mediad.wiring.station.now", lambda: begin - timedelta(days=1))  # a clock that was set back
    assert refused(lambda: give_to(site, act, signature)) == "key-over"
    monkeypatch.undo()
    sign(site, act, "approver", "wangfang")
    assert found(fsck(site)) == set()


def test_what_was_signed_stays_signed_when_its_key_is_withdrawn(site: Site) -> None:
    sign(site, waiting(site), "approver", "wangfang")
    with acting("zhoumin"):
        keys.withdraw(site.config, WANG.fingerprint, "离任")
    assert found(fsck(site)) == set()


def a_key(**more: Any) -> Key:
    since = datetime(2026, 9, 1, tzinfo=UTC)
    detail = {"person": "per-x", "public": "p", "fingerprint": "SHA256:x", "until": None, "proof": "s", "by": "per-z"}
    told: dict[str, Any] = {"since": since, "until": since + timedelta(days=9), "withdrawn": False, "detail": detail}
    return Key(**{"id": "key-x", "person": "per-x", "fingerprint": "SHA256:x", **told, **more})


def test_a_key_is_in_force_from_its_registration_to_its_end_unless_it_is_withdrawn() -> None:
    key, tick = a_key(), timedelta(microseconds=1)
    end = key.since + timedelta(days=9)
    when = (key.since - tick, key.since, end - tick, end)
    assert [key.in_force(at) for at in when] == [False, True, True, False]
    assert a_key(until=None).in_force(end)
    assert not a_key(withdrawn=True).in_force(key.since)


def test_a_withdrawn_key_still_tells_who_entered_and_who_approved_it() -> None:
    key = a_key()
    assert (key.registered_by, key.approved_by) == ("per-z", "")
    signed = a_key(detail={**key.detail, "signed": {"handler": "per-z", "approver": "per-w"}})
    gone = signed.gone("丢失")
    kept = {name: key.detail[name] for name in ("person", "public", "fingerprint", "until", "proof")}
    assert gone == {**kept, "registered_by": "per-z", "approved_by": "per-w", "why": "丢失"}
    after = a_key(detail={**gone, "by": "per-other"})
    assert (after.registered_by, after.approved_by) == ("per-z", "per-w")
    assert a_key(detail={**key.gone("丢失"), "by": "per-other"}).approved_by == ""


# --- registering keys ---------------------------------------------------------------------------------------------------


def test_nobody_registers_their_own_key_and_no_account_of_nobody_does(without: Site) -> None:
    assert refused(lambda: give_key(without, "wangfang", "wangfang")) == "own-key"
    assert refused(lambda: give_key(without, "wangfang", "root")) == "nobody"
    assert refused(lambda: give_key(without, "wangfang", "liming")) == "no-right"
    assert without.rows("SELECT * FROM person_key") == []


def test_whoever_registers_a_key_shows_that_its_person_has_it(without: Site) -> None:
    pen, other = Pen("wangfang"), Pen("other")
    statement = keys.statement(without.config, "wangfang", pen.public)
    of_zhao = keys.statement(without.config, "zhaoq", pen.public)
    with acting("zhoumin"):
        for proof, code in (
            (other.signature(statement), "other-key"),
            (pen.signature(of_zhao), "not-this-statement"),
            (pen.signature(statement.replace(b"test-01", b"test-02")), "not-this-statement"),
        ):
            assert refused(lambda p=proof: keys.add(without.config, "wangfang", pen.public, p)) == code  # type: ignore[misc]


def test_a_key_is_registered_once_and_for_one_person(site: Site) -> None:
    assert refused(lambda: give_key(site, "liming", "zhoumin", "wangfang")) == "key-taken"
    with acting("wangfang"):
        keys.withdraw(site.config, WANG.fingerprint, "丢失")
    assert refused(lambda: give_key(site, "wangfang", "zhoumin")) == "key-taken"


def test_an_approver_signs_for_every_key_as_soon_as_one_can(without: Site) -> None:
    assert give_key(without, "wangfang", "zhoumin").waits == ""
    waits = give_key(without, "zhaoq", "zhoumin").waits
    assert without.rows("SELECT count(*) FROM person_key") == [(1,)]
    assert refused(lambda: sign(without, waits, "approver", "zhaoq")) == "other-key", "it is no key yet"
    sign(without, waits, "approver", "wangfang")
    assert without.rows("SELECT count(*) FROM person_key") == [(2,)]
    assert without.rows("SELECT * FROM alarm") == []
    assert found(fsck(without)) == set()


def test_where_no_approver_has_a_key_any_more_one_begins_anew_with_an_alarm(site: Site) -> None:
    with acting("zhoumin"):
        for name in ("wangfang", "zhaoq"):
            keys.withdraw(site.config, Pen(name).fingerprint, "丢失")
    assert give_key(site, "wangfang", "zhoumin", "again").waits == ""
    assert site.rows("SELECT code FROM alarm") == [("keys-anew",)]
    assert found(fsck(site)) == set()


def test_only_registrars_withdraw_keys_of_others(site: Site) -> None:
    with acting("liming"):
        assert refused(lambda: keys.withdraw(site.config, WANG.fingerprint, "x")) == "no-right"
    with acting("wangfang"):
        assert refused(lambda: keys.withdraw(site.config, WANG.fingerprint, " ")) == "usage"
        assert refused(lambda: keys.withdraw(site.config, "SHA256:none", "x")) == "not-found"


def test_no_option_takes_the_signature_away(tmp_path: Path) -> None:
    site = make_site(tmp_path / "a", more="[acts]\nwants = { register-key = [] }")
    assert refused(lambda: site.config) == "config"


# --- the auditor --------------------------------------------------------------------------------------------------------


def test_what_was_approved_before_there_were_keys_is_no_finding(without: Site) -> None:
    """A station that was there before: its log tells acts without signatures, and goes on with them."""
    old = propose(without)
    _approved_as_before(without, old)
    act = propose(without)
    keyed(without, "zhoumin", "wangfang")
    sign(without, act, "approver", "wangfang")
    assert found(fsck(without)) == set()


def written(site: Site, *drafts: Draft) -> None:
    """Events that no act made."""
    with closing(site.open()) as station:
        station.ledger.record(drafts)
        mirror.mirror(station.ledger, station.vault)


def _approved_as_before(site: Site, act: str) -> None:
    """The events of an older program."""
    body, effect, who = _done(site, act, {"approver": "wangfang"})
    written(site, Draft("act.signed", act, {**body, "signed": who, "state": "done"}), *effect)


def _done(site: Site, act: str, by: dict[str, str]) -> tuple[dict[str, Any], list[Draft], dict[str, str]]:
    """An act as it was proposed, what it comes to, and who signed it, by their accounts."""
    body = json.loads(site.rows("SELECT detail FROM act WHERE id = ?", act)[0][0])
    who = {role: person(site, login) for role, login in by.items()}
    signed = {"handler": body["handler"], **who}
    return body, [Draft(e["kind"], e["subject"], {**e["detail"], "signed": signed}) for e in body["effect"]], who


def person(site: Site, login: str) -> str:
    return str(site.rows("SELECT person FROM person_login WHERE login = ?", login)[0][0])


def forge(site: Site, act: str, pens: dict[str, str], **by: str) -> None:
    """Write into the log what the commands would have refused: each of ``by`` signs an act as it should be signed."""
    body, effect, who = _done(site, act, by)
    given: dict[str, Any] = {}
    for role, login in by.items():
        pen, statement = Pen(pens.get(login, login)), what_is_signed(site, act, role)  # type: ignore[arg-type]
        signature = verified(pen.signature(statement), statement).signature
        given[role] = {"key": key_id(pen.fingerprint), "fingerprint": pen.fingerprint, "signature": signature}
    told = {**body, "signed": who, "signatures": given, "state": "done"}
    written(site, Draft("act.signed", act, told), *effect)


def test_an_approval_without_a_signature_is_found_once_there_are_keys(site: Site) -> None:
    act = waiting(site)
    _approved_as_before(site, act)
    assert [(f.code, f.subject) for f in fsck(site).findings] == [("signature-missing", act)]


def test_a_fact_that_claims_signatures_which_nobody_gave_is_found(site: Site) -> None:
    detail = {"name": "y", "unit": "", "active": True, "by": "", "signed": {"handler": "", "approver": "per-x"}}
    written(site, Draft("department.registered", "dep-y", detail))
    assert subjects(fsck(site), "signature-missing") == ["dep-y"]


def _with_a_withdrawn_key(site: Site) -> str:
    with acting("wangfang"):
        keys.withdraw(site.config, WANG.fingerprint, "丢失")
    forge(site, waiting(site), {}, approver="wangfang")
    return "not in force"


def _with_an_expired_key(site: Site) -> str:
    forge(site, waiting(site), {}, approver="wangfang")
    rewrite_chain(site, first_of(site, "key.registered"), lambda d: d.update(until="2020-01-01T00:00:00.000000Z"))
    return "not in force"


def _by_its_handler(site: Site) -> str:
    forge(site, propose(site, login="wangfang"), {}, approver="wangfang")
    return "has a part in it"


def _by_no_approver(site: Site) -> str:
    sign(site, give_key(site, "liming", "zhoumin").waits, "approver", "wangfang")
    forge(site, propose(site, login="zhaoq"), {}, approver="liming")
    return "was no approver"


def _by_one_of_two(site: Site) -> str:
    forge(site, propose(site, "classify"), {}, reviewer="zhaoq")
    return "without its approver"


def _by_one_for_two(site: Site) -> str:
    forge(site, propose(site, "classify"), {}, reviewer="zhaoq", approver="zhaoq")
    return "signed in two roles"


def _by_the_key_of_another(site: Site) -> str:
    forge(site, waiting(site), {"wangfang": "zhaoq"}, approver="wangfang")
    return "no such key"


def _by_a_key_of_nobody(site: Site) -> str:
    forge(site, waiting(site), {"wangfang": "stranger"}, approver="wangfang")
    return "no such key"


def _a_key_a_second_time(site: Site) -> str:
    written(site, Draft("key.registered", key_id(WANG.fingerprint), keys_of(site, "wangfang")))
    return "registered before"


def _trip(site: Site, **more: Any) -> Draft:
    times = {"left": "2026-09-01T00:00:00.000000Z", "returned": None, "expected": "2026-09-02T00:00:00.000000Z"}
    told = {"persons": [], "recorders": [], **times, "reason": "", "void": False, "approved_by": "", "by": ""}
    return Draft("trip.registered", "trp-x", {**told, **more})


def _a_trip_without_a_signature(site: Site) -> str:
    written(site, _trip(site), _trip(site, approved_by=person(site, "zhaoq")))
    return "has given no signature"


def _a_trip_by_who_went_on_it(site: Site) -> str:
    return _approved_trip(site, {"persons": [person(site, "zhaoq")]})


def _a_trip_by_who_entered_it_before_the_last(site: Site) -> str:
    return _approved_trip(site, {"by": person(site, "zhaoq")}, {"reason": "x"})


def _approved_trip(site: Site, *versions: dict[str, Any], **changed: Any) -> str:
    written(site, *(_trip(site, **each) for each in versions))
    statement = what_is_signed(site, "trp-x")
    signature = verified(Pen("zhaoq").signature(statement), statement).signature
    given = {"key": key_id(Pen("zhaoq").fingerprint), "signature": signature}
    agreed = {**versions[-1], **changed, "approved_by": person(site, "zhaoq"), "approval": given}
    with acting("zhaoq"):
        written(site, _trip(site, **agreed))
    return "has a part in it"


def _a_trip_that_was_changed_with_its_approval(site: Site) -> str:
    _approved_trip(site, {"by": person(site, "liming")}, returned="2026-09-09T00:00:00.000000Z")
    return "is not what was approved"


def _by_who_has_left(site: Site) -> str:
    sign(site, give_key(site, "liming", "zhoumin").waits, "approver", "wangfang")
    with acting("zhoumin"):
        registers.enter(site.config, "people", {"certificate": "210001", "name": "李明", "active": "no"})
    act = propose(site, "classify", "zhoumin")
    with acting("zhaoq"):
        forge(site, act, {}, reviewer="liming", approver="zhaoq")
    return "could sign nothing"


def _under_the_account_of_another(site: Site) -> str:
    with acting("zhaoq"):
        forge(site, waiting(site), {}, approver="wangfang")
    return "under an account of its approver"


def _under_the_account_of_its_handler(site: Site) -> str:
    with acting("liming"):
        forge(site, waiting(site), {}, approver="wangfang")
    return "has a part in it"


def _by_its_handler_before_the_account_was_theirs(site: Site) -> str:
    act = propose(site, login="wf-old")
    with acting("zhoumin"):
        registers.enter(site.config, "people", {"certificate": "210002", "name": "王芳", "login": "wangfang,wf-old"})
    with acting("wangfang"):
        forge(site, act, {}, approver="wangfang")
    return "has a part in it"


def _by_another_reviewer_than_the_one_who_signed(site: Site) -> str:
    act = propose(site, "classify")
    sign(site, act, "reviewer", "wangfang")
    with acting("zhaoq"):
        forge(site, act, {}, reviewer="zhoumin", approver="zhaoq")
    return "reviewer has no such key"


def _a_key(site: Site, login: str, pen: Pen, subject: str, by: str) -> Draft:
    """With its proof in order."""
    statement = keys.statement(site.config, login, pen.public)
    proof = verified(pen.signature(statement), statement).signature
    detail = {"person": person(site, login), "public": read_key(pen.public).line, "fingerprint": pen.fingerprint,
              "until": None, "proof": proof, "by": by}  # fmt: skip
    return Draft("key.registered", subject, detail)


def _withdraw_all(site: Site) -> None:
    with acting("zhoumin"):
        for name in ("wangfang", "zhaoq"):
            keys.withdraw(site.config, Pen(name).fingerprint, "丢失")


def _a_key_under_another_name(site: Site) -> str:
    _withdraw_all(site)
    written(site, _a_key(site, "liming", WANG, "key-x", person(site, "zhoumin")))
    return "registered before"


def _a_key_that_its_person_has_entered(site: Site) -> str:
    _withdraw_all(site)
    written(site, _a_key(site, "wangfang", Pen("n"), "key-x", person(site, "wangfang")))
    return "nobody but its person"


def _a_key_that_nobody_has_entered(site: Site) -> str:
    _withdraw_all(site)
    written(site, _a_key(site, "wangfang", Pen("n"), "key-x", ""))
    return "nobody but its person"


def _a_key_anew_without_an_alarm(site: Site) -> str:
    _withdraw_all(site)
    written(site, _a_key(site, "wangfang", Pen("n"), "key-x", person(site, "zhoumin")), _trip(site))
    return "no alarm tells that"


@pytest.mark.parametrize(
    "forged",
    [
        _a_trip_that_was_changed_with_its_approval, _by_who_has_left, _under_the_account_of_another,
        _under_the_account_of_its_handler, _by_its_handler_before_the_account_was_theirs,
        _by_another_reviewer_than_the_one_who_signed, _a_key_under_another_name, _a_key_that_its_person_has_entered,
        _a_key_that_nobody_has_entered, _a_key_anew_without_an_alarm,
        _with_a_withdrawn_key, _with_an_expired_key, _by_its_handler, _by_no_approver, _by_one_of_two, _by_one_for_two,
        _by_the_key_of_another, _by_a_key_of_nobody, _a_key_a_second_time, _a_trip_without_a_signature,
        _a_trip_by_who_went_on_it, _a_trip_by_who_entered_it_before_the_last,
    ],
)  # fmt: skip
def test_what_the_commands_refuse_the_auditor_finds(site: Site, forged: Callable[[Site], str]) -> None:
    what = forged(site)
    details = [f.detail for f in fsck(site, quick=True).findings if f.code.startswith("signature-")]
    assert [detail for detail in details if what in detail], details


def keys_of(site: Site, login: str) -> dict[str, Any]:
    query = "SELECT detail FROM person_key WHERE person = ?"
    return dict(json.loads(site.rows(query, person(site, login))[0][0]))


def first_of(site: Site, kind: str) -> int:
    return int(site.rows("SELECT min(seq) FROM custody WHERE kind = ?", kind)[0][0])


@pytest.fixture(scope="module")
def signed(template: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = copy_site(template, tmp_path_factory.mktemp("signing") / "signed")
    sign(site, waiting(site), "approver", "wangfang")
    assert found(fsck(site)) == set()
    return site


def _other_signature(detail: dict[str, Any]) -> None:
    given = detail["signatures"]["approver"]
    given["signature"] = (
        given["signature"][:-8] + ("A" if given["signature"][-8] != "A" else "B") + given["signature"][-7:]
    )


def _other_key(detail: dict[str, Any]) -> None:
    detail["signatures"]["approver"]["key"] = key_id(Pen("zhaoq").fingerprint)


def _another_person(detail: dict[str, Any]) -> None:
    detail["signed"]["approver"] = "per-other"


def _garbage(detail: dict[str, Any]) -> None:
    detail["signatures"] = ["x"]


@pytest.mark.parametrize("forged", [_other_signature, _other_key, _another_person, _garbage])
def test_a_signature_that_was_changed_is_found_though_the_chain_was_made_whole_again(
    signed: Site, tmp_path: Path, forged: Callable[[dict[str, Any]], None]
) -> None:
    site = copy_site(signed, tmp_path / "copy")
    rewrite_chain(site, number_of(site, "act.signed"), forged)
    assert "signature-wrong" in found(fsck(site, quick=True))
    assert "signature-wrong" in found(verify_custody(site.config))


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("act.proposed", lambda d: d.update(subject="dep-other")),
        ("department.registered", lambda d: d.update(name="other")),
        ("person.registered", lambda d: d.update(name="other")),  # long before: the statement names the chain's hash
    ],
)
def test_what_was_signed_for_cannot_be_changed_afterwards(
    signed: Site, tmp_path: Path, kind: str, change: Callable[[dict[str, Any]], None]
) -> None:
    site = copy_site(signed, tmp_path / "copy")
    rewrite_chain(site, number_of(site, kind), change)
    assert "signature-wrong" in found(fsck(site, quick=True))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda d: d.update(proof=d["proof"][:-8] + "AAAAAAAA"), "signature-wrong"),
        (lambda d: d.update(fingerprint="SHA256:x"), "signature-wrong"),
    ],
)
def test_a_key_that_was_put_under_somebody_is_found(
    site: Site, change: Callable[[dict[str, Any]], Any], code: str
) -> None:
    rewrite_chain(site, number_of(site, "key.registered"), change)
    assert code in found(fsck(site, quick=True))


def test_a_key_that_root_writes_into_the_log_alone_is_found(site: Site) -> None:
    """With its proof in order: what is missing is the approver who could have signed for it."""
    written(site, _a_key(site, "wangfang", Pen("of root"), "key-x", ""))
    assert subjects(fsck(site, quick=True), "signature-missing") == ["key-x"]
