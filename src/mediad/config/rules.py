"""The unit's rules: limits in numbers, and which acts want whose signature. The defaults are those of the Implementation
Measures."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from mediad.config.section import Section
from mediad.model import secrecy
from mediad.model.acts import ACTS, NEVER_SIGNED, TWO_PERSON, Act, Signature
from mediad.model.calendar import Calendar
from mediad.model.cases import ArchiveRule, CaseKind, CaseRules
from mediad.model.deadline import StorageRule
from mediad.model.evidence import Channel
from mediad.model.spans import SpanRules


class ArchiveOf(Section):
    """Another law's limit for one kind of case."""

    kind: CaseKind = Field(description="kind of case: licensing, penalty, compulsion, inspection")
    days: int = Field(ge=1, le=3650, description="days until the case file is archived")
    start: Literal["act-ended", "concluded"] = Field("act-ended", description="what the days count from")
    basis: str = Field("", max_length=200, description="the law, regulation or rule that says so")


class Deadlines(Section):
    """Limits, and how they are counted."""

    storage_hours: float = Field(
        24, gt=0, le=8760, description="hours until a recording is in dedicated storage (Article 28)"
    )
    second_limb: Literal["return-after-limit", "any-trip"] = Field(
        "return-after-limit",
        description="which trips give so many hours from the return instead: those with a return after the limit, or any",
    )
    backdated_trips: Literal["approve", "count"] = Field(
        "approve", description="a trip that is entered after the limit (补登) waits for an approver, or counts at once"
    )
    effective_from: dt.date | None = Field(
        None, description="day from which the rules are in force; what ended before is not applicable"
    )
    exempt_channels: tuple[Channel, ...] = Field(
        ("cctv", "legacy"), description="channels that Article 28 is not applied to"
    )
    urgent_hours: float = Field(
        24, gt=0, le=8760, description="hours until what began in an emergency is reported (Article 8)"
    )
    archive_days: int = Field(30, ge=1, le=3650, description="days until the case file is archived (Article 27)")
    archive_moves: bool = Field(True, description="a last day that is no working day moves to the next one")
    calendar: Path = Field(
        Path("calendar.toml"), description="file of holidays and worked weekends; else the shipped one"
    )
    archive: tuple[ArchiveOf, ...] = Field((), description="kinds of case of which another law says otherwise")
    upload_hours: float = Field(
        0, ge=0, le=8760, description="hours until terminal data is uploaded to the platform (Article 30); 0: no limit"
    )
    sign_days: int = Field(3, ge=0, le=365, description="days until a hand-over is signed; 0: no limit")
    untagged_days: int = Field(
        7, ge=0, le=365, description="days after which a recording of no case is an alarm; 0: never"
    )
    recorder_hours: float = Field(
        24, ge=0, le=8760, description="hours until a recorder that was handed out is docked; 0: no limit"
    )

    def storage(self, zone: ZoneInfo) -> StorageRule:
        """Article 28 as the rules see it."""
        return StorageRule(
            dt.timedelta(hours=self.storage_hours), self.second_limb, self.backdated_trips, self._since(zone),
            frozenset(self.exempt_channels),
        )  # fmt: skip

    def cases(self, zone: ZoneInfo, calendar: Calendar) -> CaseRules:
        """Articles 8 and 27 as the rules see them."""
        days = calendar if self.archive_moves else None
        kinds = {a.kind: ArchiveRule(a.days, a.start, a.basis, days) for a in self.archive}
        return CaseRules(
            dt.timedelta(hours=self.urgent_hours),
            ArchiveRule(self.archive_days, calendar=days),
            kinds,
            self._since(zone),
        )

    def spans(self, zone: ZoneInfo) -> SpanRules:
        """The limits that begin with one fact and end with another."""
        upload, back = (dt.timedelta(hours=hours) or None for hours in (self.upload_hours, self.recorder_hours))
        return SpanRules(
            upload, dt.timedelta(days=self.sign_days) or None, back, self.backdated_trips, self._since(zone)
        )

    def _since(self, zone: ZoneInfo) -> dt.datetime | None:
        if self.effective_from is None:
            return None
        return dt.datetime.combine(self.effective_from, dt.time(), zone).astimezone(dt.UTC)


def _wanted(wants: Mapping[str, tuple[Signature, ...]]) -> Mapping[str, tuple[Signature, ...]]:
    for name, signatures in wants.items():
        if name not in ACTS:
            raise ValueError(f"{name} is no act: {', '.join(sorted(ACTS))}")
        if len(set(signatures)) != len(signatures):
            raise ValueError(f"{name} names a signature twice")
        if signatures and name in NEVER_SIGNED:
            raise ValueError(f"{name} wants no signature besides")
        if name in TWO_PERSON and "approver" not in signatures:
            raise ValueError(f"{name} cannot do without its approver")
    return wants


class Acts(Section):
    """Who must sign what (承办人, 审核人, 批准人; Article 34)."""

    unmapped: Literal["flag", "refuse"] = Field(
        "flag",
        description="an account of no registered person: it acts under its own name and is flagged, or is refused",
    )
    wants: Annotated[Mapping[str, tuple[Signature, ...]], AfterValidator(_wanted)] = Field(
        {}, description="act to the signatures that it wants besides its handler: reviewer, approver, or both"
    )

    def act(self, name: str) -> Act:
        """An act, with the signatures that this unit wants of it."""
        shipped = ACTS[name]
        return replace(shipped, wants=tuple(self.wants.get(name, shipped.wants)))


class Cases(Section):
    """Cases and what is recorded of them."""

    activities: Path = Field(
        Path("activities.toml"),
        description="file of activities (执法环节) and duties; the shipped one if it is missing",
    )
    classifications: tuple[Annotated[str, Field(min_length=1, max_length=20)], ...] = Field(
        secrecy.SHIPPED, min_length=1, description="classifications of recordings (密级), the lowest first"
    )
    terms: tuple[Annotated[str, Field(min_length=1, max_length=20)], ...] = Field(
        ("永久", "30年", "10年", "长期", "短期"),
        min_length=1,
        description="terms (保管期限) for which a case file may be kept",
    )
