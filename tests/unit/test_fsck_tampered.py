"""The auditor against a hand that knows the files: whatever stands in them is a finding with a subject, never an error of ours."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mediad.edges.reader import VaultReader
from mediad.fsck import Report
from mediad.wiring import audit as wiring_audit
from tests.audit_support import (
    copy_site,
    database,
    found,
    fsck,
    furnish,
    handovers,
    key,
    originals,
    overwrite,
    read_json,
    rewrite_chain,
    segments,
    sha256_of,
    sidecars,
    sql,
    subjects,
    writable,
)
from tests.support import MIB, Site, complaints, make_card, noise

DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return furnish(tmp_path_factory.mktemp("tampered"))


@pytest.fixture
def busy_site(template: Site, tmp_path: Path) -> Site:
    return copy_site(template, tmp_path / "copy")


def verify(site: Site) -> Report:
    return wiring_audit.verify_custody(site.config)


def _last_record(site: Site) -> Path:
    """The hand-over record of a docking that stored something."""
    return next(p for p in handovers(site) if read_json(p)["counts"]["new"])


# --- JSON that is none --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seq", [b"Infinity", b"NaN", b"1e999", b"-1", b"true", b'"7"', b"9" * 5_000, DEEP])
def test_a_record_that_names_no_event_is_a_finding(busy_site: Site, seq: bytes) -> None:
    """With the right digest in the log: whoever wrote it could write there as well. Without it, the digest tells."""
    record = _last_record(busy_site)
    docking = record.parent.name
    overwrite(record, lambda data: data.replace(b'"seq":', b'"seq":' + seq + b',"was":'))
    assert subjects(fsck(busy_site, quick=True), "handover-differs") == [docking]
    closing_event = busy_site.rows("SELECT seq FROM custody WHERE kind = 'docking.closed' AND subject = ?", docking)[0]
    rewrite_chain(busy_site, closing_event[0], lambda detail: detail["handover"].update(sha256=sha256_of(record)))
    for report in (fsck(busy_site, quick=True), verify(busy_site)):
        assert {"chain-cut", "handover-differs"} & found(report), report.findings
        assert docking in {f.subject for f in report.findings}


@pytest.mark.parametrize("seq", [b"Infinity", b"NaN", b"1e999", b'"7"', DEEP])
def test_a_segment_whose_line_has_no_number_is_broken(busy_site: Site, tmp_path: Path, seq: bytes) -> None:
    """Its hash is right, so only the number tells."""
    import hashlib

    def forge(data: bytes) -> bytes:
        first, _, rest = data.partition(b"\n")
        body = first[: -len(b',"hash":"') - 66].replace(b'"seq":1,', b'"seq":' + seq + b",") + b"}"
        assert body[:-1] not in first
        digest = hashlib.sha256(body).hexdigest().encode()
        return body[:-1] + b',"hash":"' + digest + b'"}\n' + rest

    victim = segments(busy_site)[0]
    overwrite(victim, forge)
    for report in (fsck(busy_site, quick=True), verify(busy_site)):
        assert subjects(report, "segment-broken") == [key(busy_site, victim)]
    out = tmp_path / "chain.jsonl"
    out.write_bytes(victim.read_bytes())
    done = busy_site.run("custody", "verify", "--file", out, "--json")
    assert (done.returncode, [f["code"] for f in json.loads(done.stdout)["findings"]]) == (1, ["chain-hash"])


@pytest.mark.parametrize(
    "detail", ["", "[]", "7", "{", '{"a":NaN}', '{"a":1e999}', DEEP.decode(), b"\x00\xff", b"\x00\xff".hex()]
)
def test_an_event_whose_detail_is_no_object_is_named(busy_site: Site, detail: str | bytes) -> None:
    sql(busy_site, "UPDATE custody SET detail = ? WHERE seq = 4", detail)
    for report in (fsck(busy_site, quick=True), verify(busy_site)):
        assert subjects(report, "chain-hash") == ["event 4"]


def test_text_that_is_no_utf8_is_a_finding_too(busy_site: Site) -> None:
    sql(busy_site, "UPDATE custody SET actor = CAST(X'FF41' AS TEXT) WHERE seq = 4")
    sql(busy_site, "UPDATE slot SET name = CAST(X'FF41' AS TEXT)")
    report = fsck(busy_site, quick=True)
    assert subjects(report, "chain-hash") == ["event 4"]
    assert busy_site.run("fsck", "--quick").returncode == 1


def test_an_event_that_cannot_be_applied_is_named(busy_site: Site) -> None:
    """The whole chain is right, but one event's detail is another kind of value: the log says of itself that it is odd."""
    seq = busy_site.rows("SELECT seq FROM custody WHERE kind = 'recorder.registered'")[0][0]
    rewrite_chain(busy_site, seq, lambda detail: detail.update(label=[1]))
    assert subjects(fsck(busy_site, quick=True), "log-unplayable") == [f"event {seq}"]


@pytest.mark.parametrize("what", [b"[]", b"{}", b"7", DEEP, b'{"a":NaN}', b"\xff", b""])
@pytest.mark.parametrize("which", [sidecars, handovers, segments])
def test_a_record_of_any_content_is_a_finding(
    busy_site: Site, which: Callable[[Site], list[Path]], what: bytes
) -> None:
    overwrite(which(busy_site)[0], lambda _: what)
    assert found(fsck(busy_site, quick=True)) & {"sidecar-broken", "handover-differs", "segment-broken"}
    verify(busy_site)


def test_a_marker_of_any_content_is_another_vault(busy_site: Site) -> None:
    for content in (DEEP, b"[]", b"\xff", b'{"id": 7}'):
        overwrite(busy_site.vault / ".mediad-vault.json", lambda _, c=content: c)  # type: ignore[misc]
        assert found(fsck(busy_site, quick=True)) == {"vault-offline"}
    (busy_site.vault / ".mediad-vault.json").unlink()
    os.mkfifo(busy_site.vault / ".mediad-vault.json")
    assert found(fsck(busy_site, quick=True)) == {"vault-offline"}, "and it does not wait for anybody to write into it"


# --- cells that hold what their columns may not ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "value", "subject"),
    [
        ("custody.actor", b"\x00\xff", "custody 1"),
        ("asset.path", "text", "asset "),
        ("asset.size", "many", "asset "),
        ("asset.sha256", b"\xff", "asset "),
        ("replica.key", b"\xff", "replica "),
        ("replica.asset", 7.5, None),
        ("mirrored.seq", "x", "mirrored local"),
        ("mirrored.hash", b"\xff", "mirrored local"),
        ("recording.provisional", 7, "recording "),
        ("recording.important", "yes", "recording "),
        ("docking.id", b"\xff", "docking "),
        ("docking.closed_at", b"\xff", "docking "),
        ("source_file.path", "text", "source_file "),
        ("source_file.size", "many", "source_file "),
        ("claim.path", 7, "claim "),
        ("vault.marker", b"\xff", "vault local"),
        ("station.unit", b"\xff", "station test-01"),
        ("alarm.seq", "x", "alarm x"),
    ],
)
def test_a_value_of_another_kind_is_a_finding(busy_site: Site, cell: str, value: object, subject: str | None) -> None:
    """SQLite takes anything anywhere: both commands go to their end and name the row, whatever a cell holds."""
    table, column = cell.split(".")
    sql(busy_site, f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = (SELECT min(rowid) FROM "{table}")', value)
    report = fsck(busy_site)
    assert report.findings
    if subject is not None:
        assert any(s.startswith(subject) for s in subjects(report, "catalogue-damaged")), report.findings
    verify(busy_site)
    for command in (("fsck", "--quick"), ("fsck", "--quick", "--json")):
        done = busy_site.run(*command)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)


def test_a_cell_without_a_value_is_a_finding(busy_site: Site) -> None:
    """Where the schema itself was changed, so that it may be empty."""
    with database(busy_site) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_master SET sql = replace(sql, 'NOT NULL', '') WHERE type = 'table'")
    for cell in ("custody.actor", "asset.path", "mirrored.seq", "docking.state", "source_file.why"):
        table, column = cell.split(".")
        sql(busy_site, f'UPDATE "{table}" SET "{column}" = NULL WHERE rowid = (SELECT min(rowid) FROM "{table}")')
    report = fsck(busy_site)
    tables = {s.split()[0] for s in subjects(report, "catalogue-damaged")}
    assert {"custody", "asset", "mirrored", "docking", "source_file"} <= tables
    assert verify(busy_site).findings


def test_yes_and_no_are_compared_as_they_are_stored(busy_site: Site) -> None:
    """Whatever reads a 7 as yes: it is another value than the log says."""
    sql(busy_site, "UPDATE recording SET provisional = 7")
    assert subjects(fsck(busy_site, quick=True), "facts-differ")


@pytest.mark.parametrize(
    ("change", "value"), [("hash = ?", "0" * 64), ("seq = seq - ?", 1), ("seq = seq + ?", 900), ("vault = ?", "other")]
)
def test_how_far_a_mirror_is_believed_to_reach_is_compared_with_the_log(
    busy_site: Site, change: str, value: object
) -> None:
    sql(busy_site, f"UPDATE mirrored SET {change}", value)
    for report in (fsck(busy_site, quick=True), verify(busy_site)):
        assert [s for s in subjects(report, "facts-differ") if s.startswith("mirrored ")]


@pytest.mark.parametrize("docking", ["../../../etc/passwd", "dck-\x00", "", "dck-" + "a" * 5_000, "a/b"])
def test_an_open_docking_of_any_name_is_abandoned(busy_site: Site, docking: str) -> None:
    sql(
        busy_site,
        "INSERT INTO docking SELECT ?, recorder, recorder_id, label, registered, slot, source, channel, profile, officer, actor,"
        " opened_at, seq, continues, said, zones, 'open', NULL, NULL, NULL, 0, 0, 0, 0, 0 FROM docking LIMIT 1",
        docking,
    )
    assert docking in subjects(fsck(busy_site, quick=True), "docking-abandoned")


@pytest.mark.parametrize("name", ["../../outside", "/etc/passwd", "a\x00b", "a\ud800b", "x" * 9_000, ""])
def test_a_replica_key_of_any_form_is_not_followed(busy_site: Site, name: str) -> None:
    """Nothing outside the vault is looked at, and no form of a key ends the auditor."""
    raw = name.encode("utf-8", "surrogatepass")
    sql(busy_site, "UPDATE replica SET key = CAST(? AS TEXT) WHERE rowid = (SELECT min(rowid) FROM replica)", raw)
    codes = found(fsck(busy_site))
    assert "facts-differ" in codes
    assert codes & {"original-missing", "original-unreadable"}


# --- reservations -------------------------------------------------------------------------------------------------------


def _reserve(site: Site, docking: str, path: Path, detail: str = "{}") -> None:
    sql(
        site, "INSERT INTO placement VALUES ('local', ?, ?, 'bat-x', ?, ?, '2026-01-01T00:00:00Z')",
        sha256_of(path), key(site, path), docking, detail,
    )  # fmt: skip


def _plant(site: Site) -> Path:
    with writable(originals(site)[0].parent) as folder:
        planted = folder / "ast-aaaaaaaaaaaaaaaaaaaaaaaaaa-planted.mp4"
        planted.write_bytes(b"planted")
        planted.chmod(0o440)
    return planted


def test_only_an_open_docking_reserves_a_place(busy_site: Site) -> None:
    """A docking is not closed over bytes on their way, so what a closed one reserved explains nothing."""
    planted = _plant(busy_site)
    closed = busy_site.rows("SELECT id FROM docking WHERE state = 'complete' LIMIT 1")[0][0]
    _reserve(busy_site, closed, planted)
    assert subjects(fsck(busy_site, quick=True), "original-orphan") == [key(busy_site, planted)]


@pytest.mark.parametrize("detail", ["{", "[]", "{}", DEEP.decode(), '{"key": "elsewhere", "sha256": "x"}'])
def test_a_reservation_that_describes_nothing_is_a_finding(busy_site: Site, detail: str) -> None:
    planted = _plant(busy_site)
    _reserve(busy_site, busy_site.rows("SELECT id FROM docking LIMIT 1")[0][0], planted, detail)
    assert f"placement {key(busy_site, planted)}" in subjects(fsck(busy_site, quick=True), "catalogue-damaged")


# --- hand-over records against rows ---------------------------------------------------------------------------------------


def _forge_record(site: Site, change: Callable[[dict[str, Any]], None]) -> str:
    """Change a record, and its digest in log and catalogue with every hash behind it: the bytes are in order then."""
    record = _last_record(site)
    docking = record.parent.name
    body = read_json(record)
    change(body)
    data = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    overwrite(record, lambda _: data)
    seq = site.rows("SELECT seq FROM custody WHERE kind = 'docking.closed' AND subject = ?", docking)[0][0]
    rewrite_chain(site, seq, lambda detail: detail["handover"].update(sha256=sha256_of(record)))
    sql(site, "UPDATE docking SET handover_sha256 = ? WHERE id = ?", sha256_of(record), docking)
    return docking


def _stored(body: dict[str, Any]) -> dict[str, Any]:
    line: dict[str, Any] = next(f for f in body["files"] if f["outcome"] == "stored")
    return line


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.update(state="interrupted"),
        lambda body: body.update(officer="9999"),
        lambda body: body["recorder"].update(label="other"),
        lambda body: body["recorder"].update(id="rcd-other"),
        lambda body: body.update(said={"serial": "other"}),
        lambda body: body.update(zones={"x": "Asia/Shanghai"}),
        lambda body: body["counts"].update(failed=7),
        lambda body: body["counts"].update(bytes=7),
        lambda body: _stored(body).update(outcome="failed"),
        lambda body: _stored(body).update(asset="ast-" + "a" * 26),
        lambda body: _stored(body).update(sha256="0" * 64),
        lambda body: _stored(body).update(size=7),
        lambda body: _stored(body).update(path="another name"),
        lambda body: _stored(body).update(why="because"),
        lambda body: _stored(body).update(path_b64="YW5vdGhlcg=="),
        lambda body: _stored(body).update(asset=["ast-x"]),
        lambda body: body["files"].remove(_stored(body)),
        lambda body: body["files"].append({**_stored(body), "path_b64": "bW9yZQ==", "outcome": "rejected"}),
        lambda body: body["files"].append({**_stored(body), "outcome": "known"}),
        lambda body: body.update(files="none"),
    ],
)
def test_what_a_record_tells_is_compared_with_the_rows(busy_site: Site, change: Callable[[Any], None]) -> None:
    """Even where its digest stands in the log: every field that a row holds as well. Both judges see it."""
    docking = _forge_record(busy_site, change)
    assert subjects(fsck(busy_site, quick=True), "handover-differs") == [docking]
    assert [c for c in complaints(busy_site) if docking in c]


def test_a_line_of_a_known_file_must_stand_in_the_listing(busy_site: Site) -> None:
    card = busy_site.root / "again"
    make_card(card, {"k.mp4": noise(2_000, 71)})
    busy_site.ingest(card, recorder="R-9")
    busy_site.ingest(card, recorder="R-9")
    assert fsck(busy_site, quick=True).findings == []
    docking = busy_site.rows("SELECT id FROM docking WHERE recorder = 'serial:R-9' ORDER BY opened_at DESC")[0][0]
    record = next(p for p in handovers(busy_site) if p.parent.name == docking)
    assert [f["outcome"] for f in read_json(record)["files"]] == ["known"]
    seq = busy_site.rows("SELECT seq FROM custody WHERE kind = 'docking.listed' AND subject = ?", docking)[0][0]
    rewrite_chain(busy_site, seq, lambda detail: detail["known"][0].__setitem__(2, 77))
    assert docking in subjects(fsck(busy_site, quick=True), "handover-differs")


def test_a_record_of_hundreds_of_mebibytes_is_read(busy_site: Site) -> None:
    """A card of a million files has one; it is no damage to be large."""
    large = busy_site.vault / "large.json"
    with large.open("wb") as f:
        f.truncate(300 * MIB)
    assert len(VaultReader("local", busy_site.vault).read("large.json")) == 300 * MIB
    large.unlink()


# --- sidecars -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field",
    [
        "officer",
        "label",
        "channel",
        "captured",
        "kind",
        "important",
        "source",
        "path",
        "recording",
        "device",
        "birth_ns",
    ],
)
def test_every_field_of_a_sidecar_is_compared_with_its_event(busy_site: Site, field: str) -> None:
    def change(data: bytes) -> bytes:
        body = json.loads(data)
        assert field in body["files"][0]
        body["files"][0][field] = {"value": "2026-01-01T00:00:00Z"} if field == "captured" else "other"
        return json.dumps(body).encode()

    victim = sidecars(busy_site)[0]
    overwrite(victim, change)
    assert subjects(fsck(busy_site, quick=True), "sidecar-differs")[0] == key(busy_site, victim)


def test_the_head_of_a_sidecar_is_compared_with_its_events(busy_site: Site) -> None:
    for change in ({"docking": "dck-other"}, {"recorder": {"key": "serial:X", "label": "X"}}):
        victim = sidecars(busy_site)[0]
        before = victim.read_bytes()
        overwrite(victim, lambda data, c=change: json.dumps(json.loads(data) | c).encode())  # type: ignore[misc]
        assert set(subjects(fsck(busy_site, quick=True), "sidecar-differs")) == {key(busy_site, victim)}
        overwrite(victim, lambda _, b=before: b)  # type: ignore[misc]


def test_a_sidecar_that_is_silent_about_a_file_does_not_hide_it(busy_site: Site) -> None:
    planted = _plant(busy_site)
    assert subjects(fsck(busy_site, quick=True), "original-orphan") == [key(busy_site, planted)]


def test_a_sidecar_of_another_station_does_not_hide_what_lies_beside_it(busy_site: Site) -> None:
    """In a folder of ours, and in one of its own: only that station's custody log in this vault would explain the bytes."""
    victim = sidecars(busy_site)[0]
    planted = _plant(busy_site)
    overwrite(victim, lambda data: data.replace(b'"station":"test-01"', b'"station":"test-99"'))
    report = fsck(busy_site, quick=True)
    assert key(busy_site, victim) in subjects(report, "sidecar-differs")
    assert key(busy_site, planted) in subjects(report, "original-orphan")


def test_a_folder_that_claims_another_station_is_believed_only_with_its_log(busy_site: Site) -> None:
    folder = busy_site.vault / "originals/2026/01/01/other/bat-20260101t000000z-aaaaaaaaaaaaaaaa"
    folder.mkdir(parents=True)
    body = read_json(sidecars(busy_site)[0])
    name = str(folder.relative_to(busy_site.vault) / "ast-aaaaaaaaaaaaaaaaaaaaaaaaaa-x.mp4")
    body |= {"station": "test-99", "batch": folder.name, "files": [{**body["files"][0], "key": name}]}
    (busy_site.vault / name).write_bytes(b"planted")
    (folder / "record.json").write_text(json.dumps(body))
    for path in folder.iterdir():
        path.chmod(0o440)
    assert subjects(fsck(busy_site, quick=True), "original-orphan") == [name]
    (busy_site.vault / ".staging/test-99" / body["docking"]).mkdir(parents=True)
    report = fsck(busy_site, quick=True)
    assert report.findings == []
    assert [n for n in report.notes if name in n], "while its docking is at work there, it may be recorded yet"


def test_a_sidecar_that_names_no_file_of_its_folder_is_broken(busy_site: Site) -> None:
    victim, other = sidecars(busy_site)[:2]
    elsewhere = read_json(other)["files"]
    for files in ([], elsewhere, read_json(victim)["files"] * 2):
        overwrite(victim, lambda data, f=files: json.dumps(json.loads(data) | {"files": f}).encode())  # type: ignore[misc]
        assert subjects(fsck(busy_site, quick=True), "sidecar-broken") == [key(busy_site, victim)]
