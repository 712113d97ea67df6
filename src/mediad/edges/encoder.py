"""Makes a preview as its plan says, step by step (``edges/step.py``), out of command lines of ffmpeg (``edges/commands.py``).

The cheapest way is tried first and its proxy held against the plan: length, streams, sound that keeps to the picture. What does
not hold is made in the next dearer way; the last way's proxy is kept with a remark, for something to watch is better than nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from mediad.edges import commands
from mediad.edges.commands import SOFTWARE, Hardware, Style
from mediad.edges.glyphs import FONTS
from mediad.edges.hardware import Choice, Chosen
from mediad.edges.proof import Found, Ways, alike, is_whole, look
from mediad.edges.sandbox import Limits
from mediad.edges.step import LONGEST, MIB, SMALL, Runs, Spoilt, Steps
from mediad.edges.whole import read_through
from mediad.model import tiles
from mediad.model.derived import Made, PreviewFailed
from mediad.model.preview import AVI, MOV, POSTER, PROXY, SHEET, THUMBS_VTT, WAVE, Plan, Segment, Way
from mediad.model.probe import Remark, clean
from mediad.model.tiles import THUMBS

_FAR_KEYS: Final = 10.0
"""Seconds between key frames beyond which they do not show a film any more."""

OUTPUT_SHARE, OUTPUT_RATE, OUTPUT_MORE = 4, 400_000, 1024 * MIB
"""All that is written for a preview is at most so many times its originals, so many bytes a second (plain sound, twice), and so
many bytes more."""

_PARTS, _JOINED = 0.84, 0.92  # shares of the progress

JOINED_AT_ONCE: Final = 190
"""So many inputs fit one sandbox (``MAX_INPUTS``), beside the list of them. A take of more is joined in rounds."""

_SOUND_TO_BLAME: Final = ("undecodable", "nothing-decoded", "crashed", "timeline")
"""Failures that may be of the sound alone, so that the picture is tried without."""

_BARE: Final = {"h264": "h264", "h265": "hevc"}

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


class Encoder:
    """``prefer``: ``auto``, ``software`` or the name of a hardware encoder; ``threads``: of one job; ``memory``: bytes that it may
    take; ``slowest``: how many times its own length of each thread; ``recover``: for films without an index; ``chosen`` hears once
    which video encoder is used, and why no other; ``looked`` is called while an original is read, and what it raises ends that."""

    def __init__(
        self, sandbox: Runs, *, prefer: str = "auto", threads: int = 1, memory: int = 2048 * MIB, slowest: float = 20.0,
        recover: Recover | None = None, choice: Choice | None = None, chosen: Chosen | None = None,
        looked: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._sandbox = sandbox
        self._looked = looked
        self._choice = choice or Choice(sandbox, prefer, chosen=chosen)
        self._threads = max(1, threads)
        self._memory = memory
        self._slowest = slowest
        self._recover = recover
        self._tools: tuple[str, ...] = ()

    def hardware(self) -> str:
        """Which video encoder is used; tried once, by a real encode."""
        return self._choice.made().name

    def tools(self) -> tuple[str, ...]:
        """The programs that make previews, with their versions."""
        if not self._tools:
            outcome = self._sandbox.run(["ffmpeg", "-version"], limits=Limits(cpu_seconds=10, seconds=60.0))
            first = outcome.out.decode("utf-8", "replace").partition("\n")[0].removeprefix("ffmpeg version ")
            self._tools = (clean(f"ffmpeg {first.partition(' ')[0]}"),)
        return self._tools

    def make(
        self, plan: Plan, sources: Sequence[Path], scratch: Path, *, room: int, told: Told | None = None
    ) -> Made | PreviewFailed:
        """Make the files of a plan for film or sound, in ``scratch/kept``. ``sources``: the members' originals in order, then the
        reference if the plan names one; ``room``: bytes that may be written. ``told`` hears percent; what it raises ends the work.

        A film is blamed, or its length doubted, only when the disk gives all of it. Raises MediadError for what is no fault of the
        file: no sandbox, no room, killed, too slow, an original that cannot be read."""
        most = int(OUTPUT_SHARE * plan.size + OUTPUT_RATE * min(plan.seconds or 7_200.0, LONGEST) + OUTPUT_MORE)
        steps = Steps(
            self._sandbox,
            scratch,
            room=min(room, most),
            capped=most < room,
            threads=self._threads,
            memory=self._memory,
            slowest=self._slowest,
        )
        made: Made | PreviewFailed
        hardware = self._choice.made() if any(video == "encode" for video, _ in plan.ladder) else SOFTWARE
        for encoder in dict.fromkeys((hardware, SOFTWARE)):
            try:
                made = _Job(steps, plan, sources, _Percent(told), self._recover).make(encoder)
            except Spoilt as e:
                made = e.failed
            if isinstance(made, Made):
                break
        if isinstance(made, PreviewFailed) or {r.code for r in made.remarks} & {"differs", "no-sound"}:
            read_through(sources, self._looked)
        return made


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
        self._style = Style(font(), "/in/text" if plan.text else "")
        self._unheard = ""
        """Why the sound was left out."""
        self._found: dict[int, tuple[Path, str, float]] = {}
        """Members without an index: the bare stream that was found in them, its codec and rate."""

    def make(self, hardware: Hardware) -> Made:
        self._steps.begin()
        if self._plan.text:
            self._steps.note("text", self._plan.text.encode())
        self._salvage()
        try:
            found, ways = self._best(hardware)
        except Spoilt as e:
            found, ways = self._muted(e, hardware)
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

    def _best(self, hardware: Hardware) -> tuple[Found, Ways]:
        """The first way whose proxy holds; the last, if none does."""
        same = alike(self._steps, self._plan, self._sources)
        ladder = [ways for ways in self._plan.ladder if ways[0] != "copy" or same[0]]
        for ways in ladder[:-1]:
            try:
                self._proxy(ways, hardware, same)
                if not (found := look(self._steps, self._plan, ways)).complaint:
                    return found, ways
            except Spoilt:
                if ways[0] == "encode" and hardware != SOFTWARE:
                    raise  # by software, before anything else
        self._proxy(ladder[-1], hardware, same)
        return look(self._steps, self._plan, ladder[-1]), ladder[-1]

    def _muted(self, why: Spoilt, hardware: Hardware) -> tuple[Found, Ways]:
        """The last way of all: the picture without its sound. Raises ``why`` if it was not the sound."""
        mute = self._plan.mute
        if mute is None or hardware != SOFTWARE or why.failed.code not in _SOUND_TO_BLAME:
            raise why
        self._plan, self._unheard = mute, why.failed.sentence
        try:
            return self._best(hardware)
        except Spoilt:
            raise why from None

    def _remarks(self, found: Found) -> list[Remark]:
        remarks = []
        if found.complaint:
            remarks.append(Remark("differs", found.complaint))
        if self._unheard:
            remarks.append(Remark("no-sound", f"its sound cannot be decoded: {self._unheard}"))
        if self._plan.skipped:
            remarks.append(Remark("skipped", f"{len(self._plan.skipped)} of its members cannot be shown"))
        if self._found:
            remarks.append(
                Remark("salvaged", f"{len(self._found)} of its members had lost their index, and their sound")
            )
        return remarks

    # --- the proxy --------------------------------------------------------------------------------------------------

    def _proxy(self, ways: Ways, hardware: Hardware, same: tuple[bool, bool]) -> None:
        self._forget([*self._steps.kept.glob("part-*"), *self._steps.kept.glob("joined-*")])  # of a way that failed
        if len(self._plan.segments) == 1:
            self._one(ways, hardware)
        elif ways[0] != "encode" and all(same):
            originals = [self._sources[s.member] for s in self._plan.segments]
            self._join(originals, ",".join(dict.fromkeys(s.demuxers for s in self._plan.segments)), ways, 0.0)
        else:
            self._by_parts(ways, hardware)

    def _one(self, ways: Ways, hardware: Hardware) -> None:
        source, path = self._opened(self._plan.segments[0], ways[0])
        if reserve := self._index_bytes(ways):
            self._wrap(source, ways, hardware, self._inputs({"000": path}), reserve, (0.0, _JOINED))
            if is_whole(self._steps.kept / PROXY):
                return
            # ffmpeg tells nobody that the index was larger than anybody would think: it is moved to the front afterwards
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
        done = 0.0
        parts: list[Path] = []
        for n, segment in enumerate(self._plan.segments):
            source, path = self._opened(segment, ways[0])
            node = commands.part(
                source, self._plan, segment, ways[0], "/out/part.mov", self._style, hardware, self._steps.threads
            )
            share = (segment.seconds or 60.0) / total
            self._steps.ffmpeg(
                [node], self._inputs({"000": path}), {"part.mov": f"part-{n}"}, length=segment.seconds,
                told=self._percent.span(_PARTS * done, _PARTS * (done + share)), hardware=hardware,
            )  # fmt: skip
            done += share
            parts.append(self._steps.kept / f"part-{n}")
        joined: Ways = ("none" if ways[0] == "none" else "copy", "none" if ways[1] == "none" else "encode")
        self._join(parts, MOV, joined, _PARTS)

    def _join(self, pieces: Sequence[Path], demuxers: str, ways: Ways, start: float) -> None:
        """Pieces alike become the proxy; more of them than fit one sandbox first become fewer, as they are. What is a piece of ours
        goes when it is joined. ``start`` is the share of the progress that is done."""
        rounds = 0
        while len(pieces) > JOINED_AT_ONCE:
            share = (_JOINED - start) / 2
            groups = [pieces[n : n + JOINED_AT_ONCE] for n in range(0, len(pieces), JOINED_AT_ONCE)]
            joined: list[Path] = []
            for n, group in enumerate(groups):
                source, inputs = self._listed(group, demuxers)
                told = self._percent.span(start + share * n / len(groups), start + share * (n + 1) / len(groups))
                node = commands.piece(source, self._plan, ways, "/out/piece.mov")
                name = f"joined-{rounds}-{n}"
                length = self._plan.seconds and self._plan.seconds * len(group) / len(pieces)
                self._steps.ffmpeg([node], inputs, {"piece.mov": name}, length=length, told=told)
                self._forget(group)
                joined.append(self._steps.kept / name)
            pieces, demuxers, start, rounds = joined, MOV, start + share, rounds + 1
        source, inputs = self._listed(pieces, demuxers)
        self._wrap(source, ways, SOFTWARE, inputs, 0, (start, _JOINED))
        self._forget(pieces)

    def _listed(self, pieces: Sequence[Path], demuxers: str) -> tuple[Any, dict[str, Path]]:
        """Pieces one after the other, as an input of ffmpeg."""
        names = {f"{n:03d}": path for n, path in enumerate(pieces)}
        more = {} if AVI in demuxers else {"fflags": "+genpts"}
        source = commands.opened("/in/list", f"concat,{demuxers}", self._steps.threads, f="concat", **more)
        return source, {**names, "list": self._steps.note("list", commands.listed(list(names)))}

    def _forget(self, pieces: Sequence[Path]) -> None:
        for path in pieces:
            if path.parent == self._steps.kept:  # and no original
                self._steps.forget(path.name)

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

    # --- pictures ---------------------------------------------------------------------------------------------------

    def _pictures(self, found: Found) -> list[str]:
        """Poster, contact sheet, thumbnails and waveform; each may be missing: a proxy alone is worth having."""
        seconds, picture = found.seconds, self._plan.video != "none" and all(found.size)
        sheet = tiles.sheet_grid(seconds, *found.size) if picture else None
        # Long films are shown by their key frames alone, which are found without reading the rest.
        keys = found.keys if sheet and found.keys <= min(sheet.interval * 1.01, _FAR_KEYS) else 0.0
        source = commands.shown(f"/in/{PROXY}", keys_only=keys > 0)
        nodes, names, wave = [], [], []
        if sheet:
            thumbs = tiles.thumbs_grid(seconds, *found.size, keys)
            nodes += commands.stills(source, seconds, (thumbs, sheet), self._style.font)
            names += [POSTER, SHEET, THUMBS]
        if self._plan.audio != "none":
            wave = [commands.wave(source, seconds)]
        made = self._drawn([*nodes, *wave], *names, *([WAVE] if wave else []))
        if not made and nodes and wave:  # one of them is to blame
            made = [*self._drawn(nodes, *names), *self._drawn(wave, WAVE)]
        if sheet and POSTER not in made:  # all of it is dark
            dark = commands.poster(commands.shown(f"/in/{PROXY}")["V:0"], seconds, bright=False)
            made += self._drawn([dark], POSTER)
        if THUMBS in made:
            self._steps.note(THUMBS_VTT, tiles.vtt(thumbs, seconds).encode())
            made.append(THUMBS_VTT)
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


def font() -> str:
    """A font with Chinese characters, or nothing: ffmpeg takes the first face of a file, so one whose first face is the right one
    is better."""
    there = [(face != 0, path) for path, face in FONTS if Path(path).is_file()]
    return min(there, default=(False, ""), key=lambda f: f[0])[1]
