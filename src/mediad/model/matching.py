"""Which case a recording is of: a score and its reasons. Clear is tagged, unclear is proposed, and a person decides.

A number that stands in a folder's name or a sidecar was put there by a person, and says more than anything else. Who wore the
recorder and when says less: an officer has several cases at a time. So nothing is clear that has a rival.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from mediad.model.cases import Case, all_of_it, within
from mediad.model.numbers import LONGEST_TEXT, mentioned, mentions, number_key, telling

NUMBER: Final = 100
SHORT: Final = 80
"""A handler's recording within the time of an activity that took no longer than a day and a half."""
HANDLER: Final = 55
"""A handler's recording while the case was open."""
NEAR: Final = 40
"""A handler's recording shortly before or after."""
BESIDE: Final = 10
"""A co-officer is a handler as well; so much less if only a co-officer is."""
MARKED: Final = 5
"""The recorder marked it as important."""

CLEAR: Final = 80
LEAD: Final = 20
"""What is tagged without a person has at least this score, and so much more than the next."""

SLACK: Final = timedelta(hours=24)
"""So long before a case is opened, and after its act has ended, what its handlers record may be of it."""
MARGIN: Final = timedelta(hours=2)
"""So long before and after, it is taken for what was recorded in that time."""

_SHORT: Final = timedelta(hours=36)


@dataclass(frozen=True, slots=True)
class Scene:
    """A recording as far as matching goes. ``texts``: names of folders, which may hold a number; ``told``: what sidecars say is
    the number; ``carrier`` and ``others`` ids of persons."""

    recording: str
    start: datetime
    end: datetime
    carrier: str = ""
    others: frozenset[str] = frozenset()
    texts: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    important: bool = False
    trusted: bool = True

    def named(self) -> frozenset[str]:
        """The numbers that it may name."""
        return frozenset().union(*map(mentioned, (*self.texts, *self.told)), map(number_key, self.told)) - {""}


@dataclass(frozen=True, slots=True)
class Match:
    """A case that a recording may be of. ``reasons`` are codes."""

    case: str
    score: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Matched:
    """``clear``: the one to tag without asking; None if a person has to decide among ``proposed`` (best first)."""

    clear: Match | None
    proposed: tuple[Match, ...]


def score(
    scene: Scene, case: Case, slack: timedelta = SLACK, keys: AbstractSet[str] | None = None, zone: tzinfo = UTC
) -> Match | None:
    """How well they fit; None if not at all. A time that cannot be true proves nothing. ``keys``: the numbers that the scene
    names, if that is known; ``zone`` that of the unit, in which an end at midnight is a day of which nobody said the hour."""
    named = naming(scene, (n.key for n in case.numbers)) if keys is None else keys
    if any(n.key in named for n in case.numbers):
        return Match(case.id, NUMBER, ("number",))
    carried, beside = bool(scene.carrier) and scene.carrier in case.handlers, bool(scene.others & case.handlers)
    if not scene.trusted or not (carried or beside) or not within(case, scene.start, scene.end, slack):
        return None
    if _during(scene, case, zone):
        last = case.act_ended or case.concluded
        short = last is not None and case.opened is not None and last - case.opened <= _SHORT
        points, time = (SHORT, "short-window") if short and carried else (HANDLER, "window")
    else:
        points, time = NEAR, "near"
    reasons = (["carrier"] if carried else []) + [time] + (["co-officer"] if beside else [])
    points += BESIDE * (beside if carried else -1)
    if scene.important:
        points, reasons = points + MARKED, [*reasons, "important"]
    return Match(case.id, points, tuple(reasons))


def _during(scene: Scene, case: Case, zone: tzinfo) -> bool:
    last = case.act_ended or case.concluded
    last = None if last is None else all_of_it(last, zone)
    begun = case.opened is not None and scene.end >= case.opened - MARGIN
    return begun and (last is None or scene.start <= last + MARGIN)


def naming(scene: Scene, keys: Iterable[str]) -> set[str]:
    """Which of these numbers a recording names. One that is part of a longer one there is not named by that."""
    known = sorted({key for key in keys if key}, key=lambda key: (-len(key), key))
    found = set(map(number_key, scene.told)).intersection(known)
    for text in (*scene.texts, *scene.told):
        left = number_key(text[:LONGEST_TEXT])
        for key in known:
            if telling(key) and mentions(left, key):
                found.add(key)
                left = left.replace(key, "|")
    return found


def match(
    scene: Scene,
    cases: Iterable[Case],
    *,
    wholes: Mapping[str, Case] | None = None,
    slack: timedelta = SLACK,
    most: int = 10,
    zone: tzinfo = UTC,
) -> Matched:
    """The cases that a recording may be of. What was merged stands for what it is part of now (``wholes``: case to that), by its
    own numbers and times; what is archived takes only what names its number."""
    some = list(cases)
    could = scene.named()
    keys = naming(scene, (n.key for case in some for n in case.numbers if n.key in could))
    found: dict[str, tuple[int, timedelta, str, Match]] = {}
    for case in some:
        whole = (wholes or {}).get(case.id, case)
        fit = score(scene, case, slack, keys, zone)
        if fit is None or whole.merged_into or (whole.archived is not None and "number" not in fit.reasons):
            continue
        away = abs(scene.start - case.opened) if case.opened else timedelta.max
        ranked = (-fit.score, away, whole.id, replace(fit, case=whole.id))
        found[whole.id] = min(ranked, found.get(whole.id, ranked), key=lambda r: r[:3])
    best = [fit for *_, fit in sorted(found.values(), key=lambda r: r[:3])]
    return Matched(_clear(best), tuple(best[:most]))


def _clear(ranked: Sequence[Match]) -> Match | None:
    if not ranked or ranked[0].score < CLEAR:
        return None
    rival = ranked[1].score if len(ranked) > 1 else 0
    return ranked[0] if ranked[0].score - rival >= LEAD else None


def doubtful(matched: Matched, ours: AbstractSet[str]) -> bool:
    """Whether a person has to decide of a recording that the rule took for one of ``ours``: that is not clear any more, since
    another case fits about as well, or the case is another one."""
    best = max((m.score for m in matched.proposed if m.case in ours), default=0)
    rivals = any(m.case not in ours and best - m.score < LEAD for m in matched.proposed)
    return matched.clear is None and (best < CLEAR or rivals)
