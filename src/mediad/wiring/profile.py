"""What a profile would make of a card or folder: a look that takes nothing, writes nothing and needs no catalogue or vault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

from mediad.edges.origin import Origin, origin
from mediad.edges.profiles import GENERIC, load_profile, load_profiles
from mediad.edges.source import SourceTree
from mediad.errors import NotFound, SourceError, UsageError
from mediad.model.beside import pair_sidecars
from mediad.model.evidence import Kind, Rejected, SourceFile, from_ns, kind_of
from mediad.model.layout import MAX_LISTED_FILES
from mediad.model.profile import DeviceFacts, KeyFit, NameFacts, Profile, choose, glob, key_fits
from mediad.model.segments import Rule, Segment
from mediad.model.takes import Take, takes
from mediad.model.timing import AssetFacts, Timed, time_asset


@dataclass(frozen=True)
class Verdict:
    """Whether a profile fits, key by key."""

    profile: Profile
    keys: Sequence[KeyFit]

    @property
    def fits(self) -> bool:
        return all(k.fits for k in self.keys)


@dataclass(frozen=True)
class FileLook:
    """What a profile makes of one file. ``why`` says why it would not be taken; empty if it would. ``describes`` is the path of
    the recording that it is a sidecar of."""

    path: bytes
    size: int
    why: str
    kind: Kind = Kind.DATA
    name: NameFacts = field(default_factory=NameFacts)
    timed: Timed | None = None
    describes: bytes | None = None


@dataclass(frozen=True)
class RuleUse:
    """How many files a glob of the profile fits, or a pattern was read by: the first that fits a name that is taken."""

    key: str
    rule: str
    files: int


@dataclass(frozen=True)
class CardLook:
    """What a profile makes of a card. ``chosen`` says how it was found: ``named``, ``matched``, or ``built-in`` where none fits."""

    path: Path
    origin: Origin
    profile: Profile
    chosen: str
    verdicts: Sequence[Verdict]
    zone: ZoneInfo
    file_zone: str
    """Zone of its wall clock file times; empty where its file system keeps instants."""
    files: Sequence[FileLook]
    rules: Sequence[RuleUse]
    takes: Sequence[Take]
    more: bool
    """Whether there is more than was looked at."""


def profiles_of(folders: Sequence[Path]) -> list[Profile]:
    """Every profile that can be chosen."""
    return [*load_profiles(folders), GENERIC]


def profile_called(profiles: Sequence[Profile], name: str) -> Profile:
    """A profile by its name, or by its file. Raises ConfigError of a wrong file, UsageError if there is none of that name."""
    if name.endswith(".toml"):
        return load_profile(Path(name))
    found = next((p for p in profiles if p.name == name), None)
    if found is None:
        raise UsageError(f"no profile is called {name}", hint="one of " + ", ".join(p.name for p in profiles))
    return found


def look_at(profiles: Sequence[Profile], path: Path, zone: ZoneInfo, now: datetime, name: str = "") -> CardLook:
    """Look at a mounted card or a folder as a docking would. Raises NotFound, SourceError or DeviceError of a wrong path."""
    named = profile_called(profiles, name) if name else None
    try:
        found = origin(path)
    except (OSError, ValueError, RuntimeError) as e:
        raise SourceError(f"{path} cannot be looked at: {e}", hint="give a card's mount or a folder") from e
    if not found.path.exists():
        raise NotFound(f"{path} does not exist", hint="give a card's mount or a folder")
    with closing(SourceTree(found.path)) as tree:
        facts = DeviceFacts("storage", found.serial, found.vendor, found.model, "", (found.label,), tree.root_names())
        profile = named or choose(profiles, facts)
        chosen = "named" if named else "matched" if profile else "built-in"
        profile = profile or GENERIC
        entries = tree.walk()
        listed = sorted(islice(entries, MAX_LISTED_FILES), key=lambda e: e.path)
        more = next(entries, None) is not None
    zones = {True: ZoneInfo(profile.file_zone) if profile.file_zone else zone, False: None}
    files = list(_looks(profile, listed, zone, zones[found.wall_clock], now))
    return CardLook(
        path=found.path,
        origin=found,
        profile=profile,
        chosen=chosen,
        verdicts=[Verdict(p, key_fits(p, facts)) for p in profiles],
        zone=zone,
        file_zone=(profile.file_zone or zone.key) if found.wall_clock else "",
        files=files,
        rules=list(_uses(profile, files)),
        takes=takes(_segments(files), Rule.of(profile)),
        more=more,
    )


def _uses(profile: Profile, files: Sequence[FileLook]) -> Iterator[RuleUse]:
    paths = [f.path.decode("utf-8", "surrogateescape") for f in files]
    globs = {"layout.include": profile.include, "layout.exclude": profile.exclude, "marks.important": profile.important}
    for key, rules in globs.items():
        for rule in rules:
            fitting = glob(rule)
            yield RuleUse(key, rule, sum(1 for path in paths if fitting.match(path)))
    read = Counter(profile.name_pattern(f.path)[0] for f in files if not f.why)
    yield from (RuleUse("names.patterns", rule, read[rule]) for rule in profile.names)


def _looks(
    profile: Profile, listed: Sequence[SourceFile | Rejected], zone: ZoneInfo, file_zone: ZoneInfo | None, now: datetime
) -> Iterator[FileLook]:
    wanted = [e for e in listed if isinstance(e, SourceFile) and profile.wants(e.path)]
    pairs = pair_sidecars(profile, {e.path: kind_of(b"", e.path) for e in wanted})
    for entry in listed:
        if isinstance(entry, Rejected):
            yield FileLook(entry.path, entry.size, entry.why)
        elif not profile.wants(entry.path):
            which = "excluded by" if profile.excludes(entry.path) else "not included by"
            yield FileLook(entry.path, entry.size, f"{which} the profile")
        else:
            yield _file(profile, entry, zone, file_zone, now, pairs)


def _file(
    profile: Profile,
    file: SourceFile,
    zone: ZoneInfo,
    file_zone: ZoneInfo | None,
    now: datetime,
    pairs: Mapping[bytes, bytes],
) -> FileLook:
    kind = kind_of(b"", file.path)
    name = profile.parse_name(file.path, zone)
    mtime = from_ns(file.mtime_ns, file_zone)
    facts = AssetFacts("", kind, name, mtime, None, (), docked_at=now, stored_at=now, mtime_zone=file_zone)
    return FileLook(file.path, file.size, "", kind, name, time_asset(facts, profile, zone), pairs.get(file.path))


def _segments(files: Sequence[FileLook]) -> Iterator[Segment]:
    """As far as names and file times tell: how a file is coded, and how long it is, only its bytes say."""
    for n, file in enumerate(files):
        if file.timed is not None and file.kind in (Kind.VIDEO, Kind.AUDIO):
            path = file.path.decode("utf-8", "surrogateescape")
            yield Segment(
                asset=path, recording=path, source="", volume="", kind=file.kind, start=file.timed.started_at,
                end=file.timed.ended_at, trusted=file.timed.trusted,
                seq=file.name.seq, lens=file.name.lens, device=file.name.device, order=n, officer=file.name.officer,
                claimed=file.timed.claimed_start, estimated=file.timed.source == "mtime",
            )  # fmt: skip
