"""Match: find the case that a recording is of. What is clear is tagged, what is not is proposed, and a person decides.

A recording is matched when it is there, when its times or its carrier change, and when a case comes later that may be its own. What
a person has said of a recording stands: the rule leaves it alone, and never sets or proposes what was withdrawn or dismissed.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from mediad.catalog import bureau, limits, recordings, tags
from mediad.catalog.ledger import Ledger
from mediad.errors import Busy
from mediad.model import matching
from mediad.model.cases import Case, merged
from mediad.model.custody import Draft
from mediad.model.ids import named_id
from mediad.model.instants import stamp
from mediad.model.layout import printable
from mediad.model.matching import SLACK, Match, Scene
from mediad.model.numbers import number_key, telling
from mediad.model.people import Numbers
from mediad.model.when import when

AT_A_TIME = 200
"""Recordings of one transaction."""
MOST = 2_000
"""So many recordings are tried for a case that was imported late and has not ended, from its opening on."""
_TRIES = 5
_NO_NUMBER = re.compile(r"\d*|\d{3}[0-9A-Z_]{5}")
"""Folders that cameras make (100MEDIA), and days, are asked for no number later."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many recordings were looked at, tagged, and left for a person to decide."""

    matched: int = 0
    tagged: int = 0
    proposed: int = 0

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(self.matched + other.matched, self.tagged + other.tagged, self.proposed + other.proposed)


@dataclass(frozen=True, slots=True)
class _Decided:
    drafts: Sequence[Draft]
    proposed: Mapping[str, Sequence[Match]]
    mentions: Mapping[str, Collection[str]]
    seen: Mapping[str, Any]
    """What was said of these recordings when it was decided."""


class _Changed(Exception):
    """A person was faster."""


def run(ledger: Ledger, zone: ZoneInfo, subjects: Sequence[str]) -> Outcome:
    """Match what is due: recordings (rec-), those of dockings (dck-), and those that may be of cases (cas-)."""
    with ledger.catalog.read() as conn:
        wanted = sorted(_recordings(conn, subjects))
    done = Outcome()
    for start in range(0, len(wanted), AT_A_TIME):
        done += _some(ledger, zone, wanted[start : start + AT_A_TIME])
    return done


def _recordings(conn: Connection, subjects: Sequence[str]) -> set[str]:
    kinds: dict[str, list[str]] = {}
    for subject in subjects:
        kinds.setdefault(subject[:3], []).append(subject)
    found = {recordings.resolve(conn, each) for each in kinds.get("rec", ())}
    found |= set(limits.recordings_of_dockings(conn, kinds.get("dck", ())))
    for case in bureau.cases(conn, kinds.get("cas", ())):
        found |= _may_be_of(conn, case)
    return found


def _may_be_of(conn: Connection, case: Case) -> set[str]:
    """Recordings that a case may be about, which was registered or changed: those that name it, those that its handlers made in
    its time, and those that it was proposed for, or that the rule had tagged with it."""
    found = set(tags.proposed_for(conn, case.id)) | set(tags.set_by_rule(conn, case.id))
    found |= tags.recordings_that_mention(conn, [n.key for n in case.numbers])
    if case.opened is not None and case.handlers and case.archived is None:
        end = case.act_ended or case.concluded
        last = stamp(_later(end, SLACK)) if end else stamp(datetime.max.replace(tzinfo=UTC))
        found |= set(tags.recordings_carried(conn, case.handlers, stamp(case.opened - SLACK), last, MOST))
    return found


def _some(ledger: Ledger, zone: ZoneInfo, wanted: Sequence[str]) -> Outcome:
    for _ in range(_TRIES):
        with ledger.catalog.read() as conn:
            decided = _decide(conn, zone, wanted)
        try:
            _record(ledger, decided)
        except _Changed:
            continue
        tagged = sum(draft.kind == "tag.set" for draft in decided.drafts)
        return Outcome(len(decided.seen), tagged, sum(bool(m) for m in decided.proposed.values()))
    raise Busy("somebody is tagging the same recordings", hint="it is tried again")


def _record(ledger: Ledger, decided: _Decided) -> None:
    def given(conn: Connection) -> None:
        if _said(conn, decided.seen) != decided.seen:
            raise _Changed

    def also(conn: Connection) -> None:
        tags.note(conn, decided.proposed, decided.mentions)

    if decided.seen:
        ledger.record(decided.drafts, also=also, given=given)


def _said(conn: Connection, wanted: Collection[str]) -> dict[str, Any]:
    """What decides whether the rule may say anything: all that was said of the cases of a recording, and whether it is of no
    duty."""
    told, none = tags.of(conn, wanted), tags.excused(conn, wanted)
    return {name: (name in none, [(row.id, row.state) for row in told.get(name, ())]) for name in wanted}


def _decide(conn: Connection, zone: ZoneInfo, wanted: Sequence[str]) -> _Decided:
    scenes = scenes_of(conn, zone, wanted)
    told = tags.of(conn, scenes)
    none = tags.excused(conn, scenes)
    near = _near(conn, scenes)
    known = _known(conn, near, {row.casefile for rows in told.values() for row in rows})
    into = {case.id: case.merged_into for case in known.values()}
    wholes = {case: known.get(merged(into, case), known[case]) for case in known}
    cases = _Cases(near)
    drafts: list[Draft] = []
    proposed: dict[str, Sequence[Match]] = dict.fromkeys(scenes, ())
    for name, scene in scenes.items():
        rows = told.get(name, [])
        standing = [row for row in rows if row.state == "set"]
        if name in none or any(not row.by_rule for row in standing):
            continue
        refused = {merged(into, row.casefile) for row in _refused(rows)}
        ours = {merged(into, row.casefile) for row in standing}
        some = (case for case in cases.of(scene) if merged(into, case.id) not in refused)
        found = matching.match(scene, some, wholes=wholes, zone=zone)
        if any(case in wholes and wholes[case].archived is not None for case in ours):  # that stays as it is
            proposed[name] = found.proposed if found.clear is not None and found.clear.case not in ours else ()
            continue
        if found.clear is not None:
            if ours != {found.clear.case}:
                drafts.append(_tag(name, found.clear, len(rows), [row.id for row in standing]))
            continue
        lapsed = [row for row in standing if _lapsed(scene, known.get(row.casefile), zone)]
        drafts += [_lapse(row) for row in lapsed]
        ours -= {merged(into, row.casefile) for row in lapsed}
        proposed[name] = found.proposed if not ours or matching.doubtful(found, ours) else ()
    return _Decided(drafts, proposed, {name: _mentions(scene) for name, scene in scenes.items()}, _said(conn, scenes))


def _refused(rows: Sequence[tags.Tag]) -> list[tags.Tag]:
    """What a person said a recording is not of: withdrawn, dismissed, or superseded by theirs. What the rule gave up by itself may
    come back."""
    theirs = [n for n, row in enumerate(rows) if not row.by_rule and row.state != "dismissed"]
    until = max(theirs, default=-1)
    return [
        row
        for n, row in enumerate(rows)
        if row.state in ("withdrawn", "dismissed") or (row.state == "superseded" and n < until)
    ]


def _lapsed(scene: Scene, case: Case | None, zone: ZoneInfo) -> bool:
    """Whether nothing speaks any more for a tag that the rule set: the case, the time or the carrier is another one since."""
    return case is not None and matching.score(scene, case, zone=zone) is None


def _lapse(row: tags.Tag) -> Draft:
    detail = {"recording": row.recording, "case": row.casefile, "activity": row.activity, "why": "", "lapsed": True}
    return Draft("tag.withdrawn", row.id, detail)


def _tag(recording: str, match: Match, before: int, supersedes: Sequence[str]) -> Draft:
    tag_id = named_id("tag", "tag", f"{recording}\0{before}")  # tags only ever become more
    return Draft(
        "tag.set",
        tag_id,
        {
            "recording": recording, "case": match.case, "activity": "", "fields": {}, "by_rule": True, "score": match.score,
            "reasons": list(match.reasons), "supersedes": list(supersedes),
        },
    )  # fmt: skip


def scenes_of(conn: Connection, zone: ZoneInfo, wanted: Collection[str]) -> dict[str, Scene]:
    """What is known of recordings, as far as matching goes. Data is left out."""
    heads = tags.heads(conn, wanted)
    names = sorted(heads)
    parts = limits.parts_of(conn, names)
    told, dated = limits.said(conn, names, "carried"), limits.said(conn, names, "dated")
    outs, people = bureau.Outs(conn), Numbers(bureau.people(conn))
    sidecars = {name: _sidecars(rows) for name, rows in parts.items()}
    claims = recordings.probes_of(conn, sorted({each for some in sidecars.values() for each in some}))
    places = tags.places(conn, names)
    found: dict[str, Scene] = {}
    for name, rows in parts.items():
        head, said = heads[name], dated.get(name)
        who = limits.carrier_of(rows, people, outs, told.get(name, {}), said, zone)
        start, end = when(head.started_at, head.ended_at, said)
        numbers = (claims.get(each, {}).get("sidecar") for each in sidecars[name])
        found[name] = Scene(
            recording=name,
            start=start,
            end=end,
            carrier=who.person,
            others=frozenset(told.get(name, {}).get("co_officers", ())),
            texts=tuple(dict.fromkeys(text for place in places.get(name, ()) for text in _folders(place))),
            told=tuple(dict.fromkeys(each["case"] for each in numbers if each and each.get("case"))),
            important=head.important,
            trusted=bool(said) or head.confidence != "untrusted",
        )
    return found


def _sidecars(rows: Sequence[Any]) -> list[str]:
    """The files that lay beside those of a recording and speak of them."""
    timed = (json.loads(row.detail) for row in rows if row.detail)
    return [each["sidecar"] for each in timed if each.get("sidecar")]


def _folders(place: Any) -> list[str]:
    """The names of the folders that a file lay in. Of a folder that was given, its own name is one too."""
    *folders, _ = printable(place.path).split("/")
    given = [place.source.rstrip("/").rpartition("/")[2]] if place.recorder.startswith("folder:") else []
    return [name for name in (*given, *folders) if name]


def _mentions(scene: Scene) -> set[str]:
    """What a case may have as its number that is not known yet."""
    said = {number_key(text) for text in scene.told}
    folders = {number_key(text) for text in scene.texts}
    return (said | {text for text in folders if telling(text) and not _NO_NUMBER.fullmatch(text)}) - {""}


def _near(conn: Connection, scenes: Mapping[str, Scene]) -> dict[str, Case]:
    """The cases that any of these may be of: those whose number they name, and those of their carriers near in time."""
    keys = frozenset().union(*(scene.named() for scene in scenes.values()))
    found = {case.id: case for case in bureau.cases(conn, tags.cases_named(conn, keys))}
    carriers = {who for scene in scenes.values() for who in (scene.carrier, *scene.others) if who}
    if carriers:
        first = min(scene.start for scene in scenes.values())
        last = max(scene.end for scene in scenes.values())
        near = tags.cases_near(conn, carriers, stamp(first - SLACK), stamp(_later(last, SLACK)))
        found |= {case.id: case for case in near}
    return found


def _known(conn: Connection, some: Mapping[str, Case], more: Collection[str]) -> dict[str, Case]:
    """These cases, ``more`` by their ids, and all that any of them has become part of."""
    known = dict(some)
    while wanted := {*more, *(case.merged_into for case in known.values())} - {""} - known.keys():
        found = bureau.cases(conn, wanted)
        known |= {case.id: case for case in found}
        if len(found) < len(wanted):
            break
    return known


def _later(at: datetime, by: timedelta) -> datetime:
    try:
        return at + by
    except OverflowError:
        return at


class _Cases:
    """Cases by those who handle them and by their numbers: most are of other people, and a scene need not be held against them."""

    def __init__(self, cases: Mapping[str, Case]) -> None:
        self._by: dict[str, list[Case]] = {}
        for case in cases.values():
            for each in {*case.handlers, *(f"number {n.key}" for n in case.numbers)}:
                self._by.setdefault(each, []).append(case)

    def of(self, scene: Scene) -> list[Case]:
        """Those that a scene may be of."""
        names = [who for who in (scene.carrier, *sorted(scene.others)) if who]
        names += [f"number {key}" for key in scene.named()]
        return list({case.id: case for name in names for case in self._by.get(name, ())}.values())
