"""Which case a recording is of: a score and its reasons. Clear is tagged, unclear is proposed, and a person decides.

A number that stands in a folder's name or a sidecar was put there by a person, and says more than anything else. Who wore the
recorder and when says less: an officer has several cases at a time. So nothing is clear that has a rival.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from mediad.model.cases import Case, within
from mediad.model.numbers import mentioned, number_key

NUMBER: Final = 100
SHORT: Final = 80
"""A handler's recording within the time of an activity that took no longer than a day and a half."""
HANDLER: Final = 55
"""A handler's recording while the case was open."""
BESIDE: Final = 10
"""A co-officer is a handler as well."""
MARKED: Final = 5
"""The recorder marked it as important."""

CLEAR: Final = 80
LEAD: Final = 20
"""What is tagged without a person has at least this score, and so much more than the next."""

SLACK: Final = timedelta(hours=24)
"""So long before a case is opened, and after its act has ended, what its handlers record may be of it."""

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


def score(scene: Scene, case: Case, slack: timedelta, keys: AbstractSet[str] | None = None) -> Match | None:
    """How well they fit; None if not at all. A time that cannot be true proves nothing. ``keys``: those of the scene, if they are
    at hand."""
    points, reasons = 0, []
    named = scene.named() if keys is None else keys
    if any(n.key in named for n in case.numbers):
        points, reasons = NUMBER, ["number"]
    elif (
        scene.trusted
        and within(case, scene.start, scene.end, slack)
        and scene.carrier in case.handlers
        and scene.carrier
    ):
        last = case.act_ended or case.concluded
        short = last is not None and case.opened is not None and last - case.opened <= _SHORT
        points, reasons = (SHORT, ["carrier", "short-window"]) if short else (HANDLER, ["carrier", "window"])
        if scene.others & case.handlers:
            points, reasons = points + BESIDE, [*reasons, "co-officer"]
        if scene.important:
            points, reasons = points + MARKED, [*reasons, "important"]
    return Match(case.id, min(points, NUMBER), tuple(reasons)) if points else None


def match(scene: Scene, cases: Iterable[Case], *, slack: timedelta = SLACK, most: int = 10) -> Matched:
    """The cases that a recording may be of. What was merged stands for nothing of its own, and what is archived takes only what
    names its number."""
    found: list[tuple[int, timedelta, str, Match]] = []
    keys = scene.named()
    for case in cases:
        if case.merged_into:
            continue
        fit = score(scene, case, slack, keys)
        if fit is not None and (case.archived is None or "number" in fit.reasons):
            away = abs(scene.start - case.opened) if case.opened else timedelta.max
            found.append((-fit.score, away, case.id, fit))
    ranked = [fit for *_, fit in sorted(found)]
    return Matched(_clear(ranked), tuple(ranked[:most]))


def _clear(ranked: Sequence[Match]) -> Match | None:
    if not ranked or ranked[0].score < CLEAR:
        return None
    rival = ranked[1].score if len(ranked) > 1 else 0
    return ranked[0] if ranked[0].score - rival >= LEAD else None
