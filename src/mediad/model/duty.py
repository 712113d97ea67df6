"""The duty to record: which activity (执法环节) of a case wants an audio-visual record, and what is missing.

Levels and articles are those of ``config/activities.toml``. What happened in a case is entered by a person (``Happened``); a
recording is tagged with the activity that it shows.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from mediad.model.cases import Case, CaseKind


class Level(StrEnum):
    """``REQUIRED``: Article 15, a reason explains and the finding stays. ``OR_REASON``: Article 13, or the reason in writing.
    ``IF_DISPUTED``: Article 18. ``OR_EQUIVALENT``: Article 21, audio-visual means or the like. ``AS_NEEDED``: Articles 13 and
    24."""

    REQUIRED = "required"
    OR_REASON = "required-or-reason"
    IF_DISPUTED = "required-if-disputed"
    OR_EQUIVALENT = "required-or-equivalent"
    AS_NEEDED = "as-needed"


@dataclass(frozen=True, slots=True)
class Activity:
    """A kind of act. ``kinds``: cases that it can be part of; ``fields``: what a tag of it has to say, with the words for
    people."""

    key: str
    name: str
    english: str
    article: str
    level: Level
    kinds: frozenset[CaseKind] = frozenset(CaseKind)
    fields: Mapping[str, str] = field(default_factory=dict)
    expected: frozenset[CaseKind] = frozenset()
    """Kinds of case in which it is expected to have happened."""


@dataclass(frozen=True, slots=True)
class Happened:
    """That an activity took place in a case. ``reason``: why there is no recording, in writing;
    ``equivalent``: what stands in its stead; ``disputed`` None: nobody said whether it easily causes dispute."""

    activity: str
    reason: str = ""
    equivalent: str = ""
    disputed: bool | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    """What it wants to be told, as far as it is told of the activity and not of a recording."""
    entered: bool = True
    """A person entered it; else it is only shown, or expected."""


AUTHOR: Final = ("author", "author_login")
"""Of a reason: the person who gave it (by id, empty for nobody who is registered), and the account."""


def together(entries: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What was said of one activity in a case and in what was merged into it, the case itself first: what one entry does not say,
    the next may, and a reason keeps its author. What was entered by mistake is left out; None if nothing is left."""
    valid = [body for body in entries if not body["void"]]
    if not valid:
        return None
    found = {
        name: next((body[name] for body in valid if body.get(name) not in ("", None, {})), value)
        for name, value in valid[0].items()
    }
    reasoned = next((body for body in valid if body["reason"]), {})
    return {**found, **{name: reasoned.get(name, "") for name in AUTHOR}}


@dataclass(frozen=True, slots=True)
class Tagged:
    """A recording's tag as far as the duty goes. ``seen`` False: it is no audio-visual record, but data."""

    recording: str
    activity: str
    fields: Mapping[str, str]
    seen: bool = True


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that is missing. ``explained``: there is a reason in writing, and the finding stays."""

    code: str
    activity: str
    detail: str
    explained: bool = False


def check(
    case: Case,
    activities: Sequence[Activity],
    happened: Iterable[Happened],
    tags: Iterable[Tagged],
    parts: Collection[CaseKind] = (),
) -> list[Missing]:
    """What the duty to record still wants of a case. ``parts``: kinds of what was merged into it; their duties are its own now."""
    kinds = {case.kind, *parts}
    known = {a.key: a for a in activities}
    shown = list(tags)
    took = {h.activity: h for h in happened}
    for tag in shown:  # what is shown has happened
        if tag.activity:
            took.setdefault(tag.activity, Happened(tag.activity, entered=False))
    for activity in activities:
        if kinds & activity.expected:
            took.setdefault(activity.key, Happened(activity.key, entered=False))
    found: list[Missing] = []
    for key, entered in took.items():
        if (of := known.get(key)) is None:
            found.append(Missing("unknown-activity", key, f"{key} is no activity of the configuration"))
            continue
        if not kinds & of.kinds:
            found.append(Missing("activity-out-of-place", key, f"{of.name} is no part of a case of kind {case.kind}"))
        own = [t for t in shown if t.activity == key]
        found += _unfulfilled(of, entered, any(t.seen for t in own))
        found += _fields(of, entered, own)
    return found


def _unfulfilled(of: Activity, entered: Happened, recorded: bool) -> Iterator[Missing]:
    if recorded or of.level is Level.AS_NEEDED:
        return
    explained = bool(entered.reason.strip())
    if of.level is Level.REQUIRED:
        yield Missing("not-recorded", of.key, f"{of.name}: {of.article} wants an audio-visual record", explained)
    elif of.level is Level.OR_REASON and not explained:
        yield Missing(
            "not-recorded", of.key, f"{of.name}: {of.article} wants an audio-visual record, or the reason in writing"
        )
    elif of.level is Level.OR_EQUIVALENT and not entered.equivalent.strip():
        yield Missing(
            "not-recorded", of.key, f"{of.name}: {of.article} wants an audio-visual record or its like", explained
        )
    elif of.level is Level.IF_DISPUTED and entered.disputed is None:
        yield Missing("disputed-unknown", of.key, f"{of.name}: say whether it easily causes dispute ({of.article})")
    elif of.level is Level.IF_DISPUTED and entered.disputed:
        yield Missing(
            "not-recorded", of.key, f"{of.name}: it easily causes dispute, and {of.article} wants a record", explained
        )


def _fields(of: Activity, entered: Happened, own: Sequence[Tagged]) -> Iterator[Missing]:
    """What is told of the activity is told of each recording; what is not, each has to tell, or the activity itself if nothing was
    recorded of it."""
    for name, words in of.fields.items():
        if entered.fields.get(name, "").strip():
            continue
        for tag in own:
            if not tag.fields.get(name, "").strip():
                yield Missing("field-missing", of.key, f"{tag.recording}: {of.name} wants {words} ({of.article})")
        if entered.entered and not own:
            yield Missing("field-missing", of.key, f"{of.name} wants {words} ({of.article})")


def before_archiving(case: Case, parts: Iterable[Case] = ()) -> list[Missing]:
    """What the archivist still needs, besides the recordings. ``parts``: what was merged into the case."""
    found = []
    if case.act_ended is None:
        found.append(Missing("act-not-ended", "", "the enforcement act has not ended: Article 27 counts from there"))
    if case.concluded is None:
        found.append(Missing("not-concluded", "", "the case is not concluded"))
    if not case.handlers:
        found.append(Missing("no-handler", "", "nobody is named as its handler (Article 10)"))
    if not case.party.strip() and case.form == "case":
        found.append(Missing("no-party", "", "the party is not named"))
    if any(each.urgent and each.reported is None for each in (case, *parts)):
        found.append(Missing("not-reported", "", "what was begun in an emergency was never filed (Article 8)"))
    return found
