"""The command lines of ffmpeg that make a preview, as graphs of ffmpeg-python; nothing here runs anything.

Every input may be opened by the demuxers that its probe names and by no other, and from files and pipes only: a playlist or a
reference movie leads nowhere. Paths are those inside the sandbox.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import ffmpeg

from mediad.model.preview import AVI, MOV, POSTER, SHEET, WAVE, Plan, Segment, Way
from mediad.model.tiles import THUMBS, Grid

SOUND_RATE: Final = 48_000
_EVEN_SOUND: Final = {"async": 1, "min_hard_comp": 0.01, "first_pts": 0}
"""Silence where sound is missing, a cut where there is too much: sound then keeps to the picture by mere counting."""

_DARK: Final = 28
"""Average brightness (16 is black, 235 white) below which a picture makes no poster."""

_CLOCK_UNITS: Final = 90_000
_KEY_SECONDS: Final = 2
_GLOBAL: Final = ("-nostdin", "-hide_banner", "-y", "-progress", "pipe:1", "-stats_period", "2")


@dataclass(frozen=True, slots=True)
class Hardware:
    """A video encoder of ffmpeg: the device nodes it needs, what stands before the inputs and what the picture goes through."""

    name: str
    codec: str
    before: tuple[tuple[str, str], ...] = ()
    filters: tuple[tuple[str, tuple[str, ...]], ...] = ()
    quality: str = "crf"
    devices: tuple[str, ...] = ()


SOFTWARE: Final = Hardware("software", "libx264")


@dataclass(frozen=True, slots=True)
class Style:
    """How pictures are written on: a font file, and the file with the line of text (nothing is expanded in it)."""

    font: str = ""
    text: str = ""


def opened(path: str, demuxers: str, threads: int = 1, **more: Any) -> Any:
    """An input that only these demuxers may open."""
    return ffmpeg.input(
        path, protocol_whitelist="file,pipe", format_whitelist=demuxers, threads=threads, **more
    )  # fmt: skip


def silence(channels: int, seconds: float | None) -> Any:
    layout = "stereo" if channels == 2 else "mono"
    length = "" if seconds is None else f":d={seconds:.6f}"
    return ffmpeg.input(f"anullsrc=r={SOUND_RATE}:cl={layout}{length}", f="lavfi", format_whitelist="lavfi")


def listed(paths: Sequence[str]) -> bytes:
    """The text of a list for the concat demuxer; the paths are ours."""
    return b"ffconcat version 1.0\n" + b"".join(f"file {p}\n".encode() for p in paths)


def compiled(
    *outputs: Any, verbose: str = "error", before: Sequence[tuple[str, str]] = (), threads: int = 1
) -> list[str]:
    """The whole command line. ``threads``: of each filter, which would else take all processors."""
    node = outputs[0] if len(outputs) == 1 else ffmpeg.merge_outputs(*outputs)
    filters = ("-filter_threads", str(threads), "-filter_complex_threads", str(threads))
    words: list[str] = node.global_args(*_GLOBAL, *filters, "-v", verbose).compile(cmd="ffmpeg")
    return [words[0], *(word for pair in before for word in pair), *words[1:]]


# --- picture and sound ------------------------------------------------------------------------------------------------


def picture(source: Any, plan: Plan, segment: Segment, style: Style, hardware: Hardware) -> Any:
    """The filters from a decoded picture to the encoder: upright (ffmpeg turns it), with square pixels, in the proxy's size."""
    video = source["V:0"].filter("scale", "trunc(iw*max(sar,1)/2)*2", "trunc(ih/min(max(sar,0.01),1)/2)*2")
    if plan.width:
        video = video.filter(
            "scale", plan.width, plan.height, force_original_aspect_ratio="decrease", force_divisible_by=2
        ).filter("pad", plan.width, plan.height, -1, -1)  # fmt: skip
    else:
        video = video.filter("scale", -2, f"trunc(min(ih,{plan.settings.height})/2)*2")
    video = video.filter("setsar", 1)
    size = max(12, (plan.height or plan.settings.height) // 24)
    look = {
        "fontfile": style.font, "fontsize": size, "fontcolor": "white", "box": 1, "boxcolor": "black@0.5",
        "boxborderw": size // 4, "x": size // 2,
    }  # fmt: skip
    if style.font and segment.clock is not None:
        clock = "%{pts:gmtime:" + str(int(segment.clock)) + ":%F %T}"
        video = video.filter("drawtext", text=clock, y=size // 2, **look)
    if style.font and style.text:
        video = video.filter("drawtext", textfile=style.text, expansion="none", y=f"h-th-{size // 2}", **look)
    if hardware.filters:
        for name, arguments in hardware.filters:
            video = video.filter(name, *arguments)
        return video
    return video.filter("format", "yuv420p")


def picture_options(plan: Plan, way: Way, hardware: Hardware, threads: int) -> dict[str, Any]:
    """How the picture is written. All segments of a take get the same headers, whatever their frame rates."""
    if way == "none":
        return {}
    if way == "copy":  # an AVI gives one time stamp a picture: they are shown as they are stored
        return {"c:v": "copy"} | ({"bsf:v": "setts=pts=DTS"} if plan.segments[0].demuxers == AVI else {})
    options: dict[str, Any] = {
        "c:v": hardware.codec,
        "fps_mode": "vfr",
        "enc_time_base": f"1:{_CLOCK_UNITS}",
        "force_key_frames": f"expr:gte(t,n_forced*{_KEY_SECONDS})",
        "video_track_timescale": _CLOCK_UNITS,
        hardware.quality: plan.settings.crf,
        "threads:v": threads,
    }
    if hardware == SOFTWARE:
        options |= {"preset": plan.settings.preset, "profile:v": "high", "level:v": _level(plan)}
    else:
        options["g"] = max(1, round(plan.rate * _KEY_SECONDS))
    return options


def _level(plan: Plan) -> str:
    blocks = -(-plan.width // 16) * -(-plan.height // 16)
    pace = blocks * plan.rate
    return "4.0" if blocks <= 8_192 and pace <= 245_760 else "4.2" if blocks <= 8_704 and pace <= 522_240 else "5.2"


def sound_options(plan: Plan, way: Way) -> dict[str, Any]:
    if way == "copy":
        adts = any(s.demuxers in ("mpegts", "aac") for s in plan.segments)
        return {"c:a": "copy"} | ({"bsf:a": "aac_adtstoasc"} if adts else {})
    if way == "encode":
        return {"c:a": "aac", "b:a": f"{plan.settings.audio_kbps}k", "ar": SOUND_RATE, "ac": plan.channels}
    return {}


def even_sound(stream: Any) -> Any:
    return stream.filter("aresample", SOUND_RATE, **_EVEN_SOUND)


def _wrapped(reserve: int) -> dict[str, Any]:
    """An MP4 with its index at the front, and nothing that the original says of itself. With ``reserve`` bytes kept free for the
    index, its picture need not be moved back a second time."""
    front: dict[str, Any] = {"moov_size": reserve} if reserve else {"movflags": "+faststart"}
    return {"f": "mp4", "map_metadata": -1, "map_chapters": -1, **front}


def proxy(
    source: Any, plan: Plan, ways: tuple[Way, Way], target: str, style: Style, hardware: Hardware,
    *, threads: int, reserve: int = 0,
) -> Any:  # fmt: skip
    """The proxy in one go, out of one input."""
    video, audio = ways
    streams = []
    if video != "none":
        streams.append(picture(source, plan, plan.segments[0], style, hardware) if video == "encode" else source["V:0"])
    if audio != "none":
        streams.append(even_sound(source["a:0"]) if audio == "encode" else source["a:0"])
    options = picture_options(plan, video, hardware, threads) | sound_options(plan, audio)
    return ffmpeg.output(*streams, target, **options, **_wrapped(reserve))


def piece(source: Any, plan: Plan, ways: tuple[Way, Way], target: str) -> Any:
    """Several segments that are alike, one after the other, as they are."""
    streams = [source[name] for name, way in zip(("V:0", "a:0"), ways, strict=True) if way != "none"]
    options = picture_options(plan, ways[0], SOFTWARE, 1) | ({"c:a": "copy"} if ways[1] != "none" else {})
    return ffmpeg.output(*streams, target, f="mov", map_metadata=-1, map_chapters=-1, **options)


def part(
    source: Any, plan: Plan, segment: Segment, video: Way, target: str, style: Style, hardware: Hardware, threads: int
) -> Any:
    """One segment in the form that all of a take have: picture as in the proxy, sound uncompressed, so that it can be joined
    without the lead-in that every compressed piece has."""
    streams, options = [], picture_options(plan, video, hardware, threads)
    if video != "none":
        streams.append(picture(source, plan, segment, style, hardware) if video == "encode" else source["V:0"])
    if plan.audio != "none":
        sound = even_sound(source["a:0"]) if segment.sound else silence(plan.channels, segment.seconds)["a:0"]
        streams.append(sound)
        options |= {"c:a": "pcm_s16le", "ar": SOUND_RATE, "ac": plan.channels}
        if not segment.sound and segment.seconds is None:
            options["shortest"] = None
    return ffmpeg.output(*streams, target, f="mov", map_metadata=-1, map_chapters=-1, **options)


def signatures(sources: Sequence[tuple[Any, Segment]], plan: Plan, target: str) -> Any:
    """What the segments' streams are, by their own headers."""
    streams = []
    for source, segment in sources:
        streams += [source["V:0"]] if plan.video != "none" else []
        streams += [source["a:0"]] if segment.sound else []
    return ffmpeg.output(*streams, target, c="copy", f="framehash", hash="sha256", **{"frames:v": 1, "frames:a": 1})


# --- pictures for finding one's way -----------------------------------------------------------------------------------


def shown(path: str, *, keys_only: bool = False) -> Any:
    """A proxy, for looking at; with ``keys_only`` other pictures are neither decoded nor read."""
    options: dict[str, Any] = {"discard:v": "nokey", "skip_frame:v": "nokey"} if keys_only else {}
    return opened(path, MOV, **options)


def stills(source: Any, seconds: float, grids: tuple[Grid, Grid], font: str) -> list[Any]:
    """Poster, contact sheet and thumbnails of a proxy."""
    thumbs, sheet = grids
    shared = source["V:0"].filter_multi_output("split", 3)
    return [
        poster(shared[0], seconds, bright=True),
        _tiled(shared[1], thumbs).output(f"/out/{THUMBS}", **_jpeg(6)),
        _tiled(shared[2], sheet, font).output(f"/out/{SHEET}", **_jpeg(4)),
    ]


def poster(video: Any, seconds: float, *, bright: bool) -> Any:
    """The most usual picture of the first minute; ``bright``: of those that are not dark, which may be none."""
    video = video.filter("trim", end=min(60.0, max(1.0, seconds))).filter("fps", 2, round="near")
    if bright:
        video = video.filter("signalstats").filter(
            "metadata", mode="select", key="lavfi.signalstats.YAVG", value=_DARK, function="greater"
        )
    return video.filter("thumbnail", 30).output(f"/out/{POSTER}", **_jpeg(4))


def _tiled(video: Any, grid: Grid, font: str = "") -> Any:
    video = video.filter("fps", f"1/{grid.interval:.6f}", start_time=0, round="down", eof_action="pass")
    video = video.filter("scale", grid.width, grid.height).filter("setsar", 1)
    if font:
        video = video.filter(
            "drawtext", text="%{pts:gmtime:0:%T}", fontfile=font, fontsize=max(12, grid.height // 9), fontcolor="white",
            box=1, boxcolor="black@0.5", boxborderw=3, x=6, y="h-th-6",
        )  # fmt: skip
    return video.filter("tile", f"{grid.columns}x{grid.rows}", nb_frames=grid.count)


def _jpeg(quality: int) -> dict[str, Any]:
    return {"frames:v": 1, "q:v": quality, "c:v": "mjpeg", "pix_fmt": "yuvj420p", "f": "image2", "update": 1,
            "map_metadata": -1, "threads:v": 1}  # fmt: skip


def wave(source: Any, seconds: float) -> Any:
    """The waveform. ffmpeg keeps all samples of it in memory: the longer it is, the fewer a second are taken."""
    rate = int(min(8_000, max(500, 50_000_000 / max(seconds, 1.0))))
    sound = source["a:0"].filter("aresample", rate).filter("aformat", channel_layouts="mono")
    drawn = sound.filter("showwavespic", s="1200x120", colors="0x3b82f6")
    return drawn.output(
        f"/out/{WAVE}", f="image2", update=1, map_metadata=-1, **{"frames:v": 1, "c:v": "png", "threads:v": 1}
    )


def trial(hardware: Hardware) -> list[str]:
    """A real encode of a second of test picture."""
    video = ffmpeg.input("testsrc2=size=640x360:rate=25:duration=1", f="lavfi", format_whitelist="lavfi")["v:0"]
    for name, arguments in hardware.filters:
        video = video.filter(name, *arguments)
    output = video.output("/out/trial.mp4", f="mp4", **{"c:v": hardware.codec, hardware.quality: 26})
    return compiled(output, before=hardware.before)
