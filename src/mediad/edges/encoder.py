"""Makes a preview as its plan says, step by step (``edges/step.py``), out of command lines of ffmpeg (``edges/commands.py``).

The cheapest way is tried first and its proxy held against the plan: length, streams, sound that keeps to the picture. What does
not hold is made in the next dearer way; the last way's proxy is kept with a remark, for something to watch is better than nothing.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Protocol

from mediad.edges import commands
from mediad.edges.commands import SOFTWARE, Hardware, Style
from mediad.edges.glyphs import FONTS
from mediad.edges.hardware import Choice
from mediad.edges.sandbox import Limits
from mediad.edges.step import MIB, SMALL, Runs, Spoilt, Steps, judge
from mediad.model import tiles
from mediad.model.derived import Made, PreviewFailed
from mediad.model.preview import AVI, MOV, POSTER, PROXY, SHEET, THUMBS_VTT, WAVE, Plan, Segment, Way
from mediad.model.probe import Remark
from mediad.model.tiles import THUMBS

_DRIFT: Final = 0.06
"""Seconds that counted sound may differ from its time stamps; two frames of sound are not heard."""

_SAMPLES: Final = {"aac": 1024, "mp3": 1152}
_KEYS_OF: Final = 30  # seconds of a proxy whose key frames are looked at
_PARTS, _JOINED = 0.84, 0.92  # shares of the progress

_BARE: Final = {"h264": "h264", "h265": "hevc"}

Ways = tuple[Way, Way]
Told = Callable[[int], None]


class Recovered(Protocol):
    """A bare stream that was found in a film without an index."""

    @property
    def path(self) -> Path: ...

    @property
    def codec(self) -> str: ...

    @property
    def rate(self) -> float | None: ...


Recover = Callable[[Path, Path, Path | None], Recovered | None]
"""From an original, into a folder, with the help of a whole original of the same recorder (``edges/media.py``)."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What a proxy turned out to be; ``keys``: seconds from key frame to key frame, ``complaint``: what does not hold."""

    seconds: float
    keys: float
    complaint: str


class Encoder:
    """``prefer``: ``auto``, ``software`` or the name of a hardware encoder; ``threads``: of one job; ``memory``: bytes that it may
    take; ``slowest``: how many times its own length of each thread; ``recover``: for films without an index."""

    def __init__(
        self, sandbox: Runs, *, prefer: str = "auto", threads: int = 1, memory: int = 2048 * MIB, slowest: float = 20.0,
        recover: Recover | None = None, choice: Choice | None = None,
    ) -> None:  # fmt: skip
        self._sandbox = sandbox
        self._choice = choice or Choice(sandbox, prefer)
        self._threads = max(1, threads)
        self._memory = memory
        self._slowest = slowest
        self._recover = recover

    def hardware(self) -> str:
        """Which video encoder is used; tried once, by a real encode."""
        return self._choice.made().name

    def make(
        self, plan: Plan, sources: Sequence[Path], scratch: Path, *, room: int, told: Told | None = None
    ) -> Made | PreviewFailed:
        """Make the files of a plan for film or sound, in ``scratch/kept``. ``sources``: the members' originals in order, then the
        reference if the plan names one; ``room``: bytes that may be written. ``told`` hears percent; what it raises ends the work.

        Raises MediadError for what is no fault of the file: no sandbox, no room, killed, too slow."""
        steps = Steps(
            self._sandbox, scratch, room=room, threads=self._threads, memory=self._memory, slowest=self._slowest
        )
        hardware = self._choice.made() if any(video == "encode" for video, _ in plan.ladder) else SOFTWARE
        for encoder in dict.fromkeys((hardware, SOFTWARE)):
            try:
                return _Job(steps, plan, sources, _Percent(told), self._recover).make(encoder)
            except Spoilt as e:
                failed = e.failed
        return failed


class _Percent:
    """Tells whole percent, never backwards; steps tell their own share of a span."""

    def __init__(self, told: Told | None) -> None:
        self._told = told
        self._last = -1

    def span(self, start: float, end: float) -> Callable[[float], None]:
        return lambda share: self._say(start + (end - start) * share)

    def _say(self, share: float) -> None:
        if self._told and (percent := int(100 * share)) > self._last:
            self._last = percent
            self._told(percent)


class _Job:
    def __init__(
        self, steps: Steps, plan: Plan, sources: Sequence[Path], percent: _Percent, recover: Recover | None
    ) -> None:
        self._steps = steps
        self._plan = plan
        self._sources = sources
        self._percent = percent
        self._recover = recover
        self._style = Style(_font(), "/in/text" if plan.text else "")
        self._found: dict[int, tuple[Path, str, float]] = {}
        """Members without an index: the bare stream that was found in them, its codec and rate."""

    def make(self, hardware: Hardware) -> Made:
        self._steps.begin()
        if self._plan.text:
            self._steps.note("text", self._plan.text.encode())
        self._salvage()
        found, ways = self._best(hardware)
        there = {PROXY, *self._pictures(found)}
        self._percent.span(0, 1)(1.0)
        return Made(
            files=tuple(n for n in self._plan.files if n in there),
            seconds=found.seconds,
            video=ways[0],
            audio=ways[1],
            encoder=hardware.name if ways[0] == "encode" else "",
            remarks=tuple(self._remarks(found)),
        )

    def _best(self, hardware: Hardware) -> tuple[_Found, Ways]:
        """The first way whose proxy holds; the last, if none does."""
        alike = self._alike()
        ladder = [ways for ways in self._plan.ladder if ways[0] != "copy" or alike[0]]
        for ways in ladder[:-1]:
            try:
                self._proxy(ways, hardware, alike)
                if not (found := self._look(ways)).complaint:
                    return found, ways
            except Spoilt:
                continue
        self._proxy(ladder[-1], hardware, alike)
        return self._look(ladder[-1]), ladder[-1]

    def _remarks(self, found: _Found) -> list[Remark]:
        remarks = []
        if found.complaint:
            remarks.append(Remark("differs", found.complaint))
        if self._plan.skipped:
            remarks.append(Remark("skipped", f"{len(self._plan.skipped)} of its members cannot be shown"))
        if self._found:
            remarks.append(
                Remark("salvaged", f"{len(self._found)} of its members had lost their index, and their sound")
            )
        return remarks

    # --- the proxy --------------------------------------------------------------------------------------------------

    def _proxy(self, ways: Ways, hardware: Hardware, alike: tuple[bool, bool]) -> None:
        if len(self._plan.segments) == 1:
            self._one(ways, hardware)
        elif ways[0] != "encode" and all(alike):
            originals = {f"{n:03d}": self._sources[s.member] for n, s in enumerate(self._plan.segments)}
            demuxers = ",".join(("concat", *dict.fromkeys(s.demuxers for s in self._plan.segments)))
            self._join(originals, demuxers, ways, (0.0, _JOINED))
        else:
            self._by_parts(ways, hardware)

    def _one(self, ways: Ways, hardware: Hardware) -> None:
        source, path = self._opened(self._plan.segments[0], ways[0])
        if reserve := self._index_bytes(ways):
            try:
                self._wrap(source, ways, hardware, self._inputs({"000": path}), reserve, (0.0, _JOINED))
                return
            except Spoilt:
                pass  # an index larger than anybody would think: then it is moved to the front afterwards
        self._wrap(source, ways, hardware, self._inputs({"000": path}), 0, (0.0, _JOINED))

    def _index_bytes(self, ways: Ways) -> int:
        """Room for the index of a proxy that is only re-wrapped; 0 if it cannot be guessed well."""
        if ways[0] != "copy" or not self._plan.sure:
            return 0
        frames = 1.2 * self._plan.rate * 28 + 1.2 * 48 * 24
        return int(65_536 + (self._plan.seconds or 0.0) * frames)

    def _by_parts(self, ways: Ways, hardware: Hardware) -> None:
        """Each segment brought into the same form, then joined."""
        total = sum(s.seconds or 60.0 for s in self._plan.segments)
        done, parts = 0.0, {}
        for n, segment in enumerate(self._plan.segments):
            source, path = self._opened(segment, ways[0])
            node = commands.part(
                source, self._plan, segment, ways[0], "/out/part.mov", self._style, hardware, self._steps.threads
            )
            share = (segment.seconds or 60.0) / total
            self._steps.ffmpeg(
                [node], self._inputs({"000": path}), {"part.mov": f"part-{n:03d}"}, length=segment.seconds,
                told=self._percent.span(_PARTS * done, _PARTS * (done + share)), hardware=hardware,
            )  # fmt: skip
            done += share
            parts[f"{n:03d}"] = self._steps.kept / f"part-{n:03d}"
        joined: Ways = ("none" if ways[0] == "none" else "copy", "none" if ways[1] == "none" else "encode")
        self._join(parts, f"concat,{MOV}", joined, (_PARTS, _JOINED))
        for path in parts.values():
            self._steps.forget(path.name)

    def _join(self, names: Mapping[str, Path], demuxers: str, ways: Ways, span: tuple[float, float]) -> None:
        inputs = {**names, "list": self._steps.note("list", commands.listed(sorted(names)))}
        more = {} if AVI in demuxers else {"fflags": "+genpts"}
        source = commands.opened("/in/list", demuxers, self._steps.threads, f="concat", **more)
        self._wrap(source, ways, SOFTWARE, inputs, 0, span)

    def _wrap(
        self, source: Any, ways: Ways, hardware: Hardware, inputs: Mapping[str, Path], reserve: int,
        span: tuple[float, float],
    ) -> None:  # fmt: skip
        node = commands.proxy(
            source,
            self._plan,
            ways,
            f"/out/{PROXY}",
            self._style,
            hardware,
            threads=self._steps.threads,
            reserve=reserve,
        )
        told = self._percent.span(*span)
        self._steps.ffmpeg([node], inputs, {PROXY: PROXY}, length=self._plan.seconds, told=told, hardware=hardware)

    def _opened(self, segment: Segment, video: Way) -> tuple[Any, Path]:
        threads = self._steps.threads
        if segment.member in self._found:
            path, codec, rate = self._found[segment.member]
            return commands.opened("/in/000", codec, threads, framerate=f"{rate:.6f}"), path
        more = {"fflags": "+genpts"} if video == "copy" and segment.demuxers != AVI else {}
        return commands.opened("/in/000", segment.demuxers, threads, **more), self._sources[segment.member]

    def _inputs(self, names: Mapping[str, Path]) -> dict[str, Path]:
        return {**names, "text": self._steps.kept / "text"} if self._plan.text else dict(names)

    # --- looking ----------------------------------------------------------------------------------------------------

    def _alike(self) -> tuple[bool, bool]:
        """Whether the segments' pictures, and their sound, can be joined as they are: by the headers of their own streams."""
        segments = self._plan.segments
        if self._plan.video == "encode" or any(s.salvage for s in segments):
            return False, False
        if self._plan.video == "copy" and any(s.demuxers == AVI for s in segments) and not self._in_order():
            return False, False
        if len(segments) == 1:
            return True, True
        names = {f"{n:03d}": self._sources[s.member] for n, s in enumerate(segments)}
        sources = [commands.opened(f"/in/{n:03d}", s.demuxers) for n, s in enumerate(segments)]
        try:
            self._steps.ffmpeg(
                [commands.signatures(sources, self._plan, "/out/heads")],
                names,
                {"heads": "heads"},
                most=SMALL,
                length=60.0,
            )
        except Spoilt:
            return False, False
        heads = _heads((self._steps.kept / "heads").read_text("ascii", "replace"))
        return len(heads["video"]) <= 1, len(heads["audio"]) <= 1 and len({s.sound for s in segments}) == 1

    def _in_order(self) -> bool:
        """Whether all are AVIs that store their pictures in the order in which they are shown: an AVI says no other order."""
        for segment in self._plan.segments:
            try:
                said = self._asked(self._sources[segment.member], AVI, "stream=codec_type,has_b_frames")
                reordered = [s["has_b_frames"] for s in said["streams"] if s["codec_type"] == "video"]
            except (Spoilt, KeyError, TypeError):
                return False
            if segment.demuxers != AVI or reordered[:1] != [0]:
                return False
        return True

    def _look(self, ways: Ways) -> _Found:
        """Hold the proxy against the plan."""
        entries = "stream=codec_type,codec_name,duration,nb_frames,sample_rate:packet=codec_type,pts_time,flags"
        said = self._asked(
            self._steps.kept / PROXY, MOV, f"format=duration:{entries}", "-read_intervals", f"%+{_KEYS_OF}"
        )
        try:
            return self._judged(said, ways)
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise Spoilt("nothing-decoded", "nothing of it can be decoded") from e

    def _asked(self, path: Path, demuxers: str, entries: str, *more: str) -> Any:
        """What ffprobe says of a file."""
        argv = [
            "ffprobe", "-v", "error", "-protocol_whitelist", "file,pipe", "-format_whitelist", demuxers, "-show_entries",
            entries, *more, "-of", "json", "/in/film",
        ]  # fmt: skip
        limits = Limits(cpu_seconds=120, seconds=600.0, memory=2048 * MIB, file_size=MIB, output=64 * MIB)
        outcome = self._steps.sandbox.run(argv, inputs={"film": path}, limits=limits)
        judge(outcome)
        try:
            return json.loads(outcome.out)
        except (ValueError, RecursionError) as e:
            raise Spoilt("nothing-decoded", "nothing of it can be decoded") from e

    def _judged(self, said: Any, ways: Ways) -> _Found:
        plan = self._plan
        seconds = float(said["format"]["duration"])
        streams = {s["codec_type"]: s for s in reversed(said["streams"])}
        if int(streams.get(plan.kind, {}).get("nb_frames", 0)) < 1:
            raise Spoilt("nothing-decoded", "nothing of it can be decoded")
        keys = [
            float(p["pts_time"])
            for p in said.get("packets", ())
            if p["codec_type"] == "video" and "K" in p["flags"] and "pts_time" in p
        ]
        spacing = max((b - a for a, b in pairwise(keys)), default=min(seconds, _KEYS_OF))
        complaint = ""
        if plan.sure and abs(seconds - (plan.seconds or 0.0)) > plan.tolerance + 0.001:
            complaint = f"it plays {seconds:.2f} s, its members say {plan.seconds:.2f} s"
        elif ways[1] != "none" and "audio" not in streams:
            complaint = "its sound is missing"
        elif ways[1] == "copy" and _drifts(streams["audio"]) and len(plan.segments) > 1:
            complaint = "its sound would drift away from the picture"
        return _Found(seconds, spacing, complaint)

    # --- pictures ---------------------------------------------------------------------------------------------------

    def _pictures(self, found: _Found) -> list[str]:
        """Poster, contact sheet, thumbnails and waveform; each may be missing: a proxy alone is worth having."""
        plan, proxy, seconds = self._plan, f"/in/{PROXY}", found.seconds
        made: list[str] = []
        if plan.video != "none" and plan.width:
            size = (plan.width, plan.height)
            grids = (tiles.thumbs_grid(seconds, *size), tiles.sheet_grid(seconds, *size))
            keys_only = found.keys <= 1.01 * min(g.interval for g in grids)
            made += self._drawn(
                commands.stills(proxy, seconds, grids, self._style.font, keys_only=keys_only), POSTER, SHEET, THUMBS
            )
            if POSTER not in made:  # all of it is dark
                dark = commands.poster(commands.opened(proxy, MOV)["V:0"], seconds, bright=False)
                made += self._drawn([dark], POSTER)
            if THUMBS in made:
                self._steps.note(THUMBS_VTT, tiles.vtt(grids[0], seconds).encode())
                made.append(THUMBS_VTT)
        if plan.audio != "none":
            made += self._drawn([commands.wave(proxy, seconds)], WAVE)
        return made

    def _drawn(self, nodes: Sequence[Any], *names: str) -> list[str]:
        told = self._percent.span(_JOINED, 0.99)
        inputs, length = {PROXY: self._steps.kept / PROXY}, self._plan.seconds
        try:
            self._steps.ffmpeg(nodes, inputs, {}, perhaps=names, most=SMALL, length=length, told=told)
        except Spoilt:
            return []
        return [n for n in names if (self._steps.kept / n).exists()]

    # --- films without an index -------------------------------------------------------------------------------------

    def _salvage(self) -> None:
        """Look for what plays in members that lost their index."""
        helper = self._plan.reference
        for segment in (s for s in self._plan.segments if s.salvage):
            out = self._steps.fresh()
            reference = None if helper is None else self._sources[helper]
            answer = self._recover(self._sources[segment.member], out, reference) if self._recover else None
            if answer is None or answer.codec not in _BARE:
                raise Spoilt("index-lost", "its index is missing, and nothing in it plays without")
            name = f"found-{segment.member:03d}"
            self._steps.take(out, answer.path.name, name)
            rate = answer.rate if answer.rate and 1 <= answer.rate <= 240 else self._plan.rate
            self._found[segment.member] = (self._steps.kept / name, _BARE[answer.codec], rate)


def _font() -> str:
    """A font with Chinese characters: ffmpeg takes the first face of a file, so one whose first face is the right one is better."""
    there = [(face != 0, path) for path, face in FONTS if Path(path).is_file()]
    return min(there, default=(False, ""), key=lambda f: f[0])[1]


_HEAD: Final = re.compile(r"#(extradata|media_type|codec_id|dimensions|sar|sample_rate|channel\w*) (\d+)[:,] *(.*)")


def _heads(text: str) -> dict[str, set[tuple[str, ...]]]:
    """What ``framehash`` says of the streams, by kind: equal ones once."""
    streams: dict[str, list[str]] = {}
    for line in text.splitlines():
        if m := _HEAD.match(line):
            streams.setdefault(m[2], []).append(f"{m[1]} {m[3]}")
    found: dict[str, set[tuple[str, ...]]] = {"video": set(), "audio": set()}
    for said in streams.values():
        kind = next((s.removeprefix("media_type ") for s in said if s.startswith("media_type")), "")
        found.setdefault(kind, set()).add(tuple(sorted(said)))
    return found


def _drifts(sound: Mapping[str, Any]) -> bool:
    """Whether sound that is played by mere counting would be elsewhere at the end than its time stamps say."""
    samples = _SAMPLES.get(str(sound["codec_name"]))
    if samples is None:
        return False
    counted = int(sound["nb_frames"]) * samples / int(sound["sample_rate"])
    return abs(counted - float(sound["duration"])) > _DRIFT
