"""AVI and WAV, MPEG transport streams and Matroska: whether the file is as long as it says."""

from pathlib import Path

from mediad.model.probe import Condition, Remark
from mediad.parsers.binary import Bytes

Verdict = tuple[list[Condition], list[Remark]]
_NOTHING: Verdict = ([], [])


def riff(path: Path) -> Verdict:
    """AVI and WAV: a chain of RIFF chunks (an AVI beyond 1 GiB has several), each with its size. A recorder writes the sizes when
    it finishes a recording."""
    with Bytes(path) as file:
        place = 0
        while place + 12 <= file.size and file.at(place, 4) == b"RIFF" and place < 1 << 45:
            size = file.number(place + 4, 4, little=True)
            if size in (0, 0xFFFFFFFF):
                return _cut(
                    Remark("unfinished", "the size in the head was never written: the recording was not finished")
                )
            if place + 8 + size > file.size:
                missing = place + 8 + size - file.size
                return _cut(Remark("cut-off", f"{missing} bytes of what the head says are missing"))
            if place == 0 and file.at(8, 4) == b"WAVE" and (short := _short_data(file)):
                return _cut(Remark("cut-off", short))
            place += 8 + size + (size & 1)
    return _NOTHING


def _short_data(file: Bytes) -> str:
    place = 12
    for _ in range(1000):
        if place + 8 > file.size:
            return ""
        size = file.number(place + 4, 4, little=True)
        if file.at(place, 4) == b"data":
            missing = place + 8 + size - file.size
            return f"{missing} bytes of sound are missing" if missing > 0 and size != 0xFFFFFFFF else ""
        place += 8 + size + (size & 1)
    return ""


def transport(path: Path) -> Verdict:
    """Packets of 188 bytes (192 with a time stamp, on cards of cameras), each beginning with 0x47."""
    with Bytes(path) as file:
        head = file.at(0, 4096)
        step, first = (192, 4) if head[4:5] == b"\x47" and head[196:197] == b"\x47" else (188, 0)
        packets = (file.size - first) // step
        places = {packets * part // 64 for part in range(64)} if packets else set()
        lost = sum(file.at(first + place * step, 1) != b"\x47" for place in places)
        conditions: list[Condition] = []
        remarks: list[Remark] = []
        if lost:
            conditions.append("damaged")
            remarks.append(Remark("lost-sync", f"{lost} of {len(places)} packets looked at do not begin as they must"))
        elif file.size % step:
            conditions.append("truncated")
            remarks.append(Remark("cut-off", f"the last packet has {file.size % step} of {step} bytes"))
    return conditions, remarks


def matroska(path: Path) -> Verdict:
    """The size of the segment. An unknown one is written while recording, and by some recorders for good."""
    with Bytes(path) as file:
        place = 0
        for _ in range(100):
            kind, kind_length = _number(file, place, keep=True)
            size, size_length = _number(file, place + kind_length)
            if not kind_length or not size_length:
                break
            body = place + kind_length + size_length
            if kind == 0x18538067:
                if size == (1 << 7 * size_length) - 1:
                    return [], [Remark("unfinished", "the size of the segment was never written")]
                if body + size > file.size:
                    return _cut(Remark("cut-off", f"{body + size - file.size} bytes of the segment are missing"))
                return _NOTHING
            place = body + size
            if place >= file.size:
                break
        if place > file.size:
            return _cut(Remark("cut-off", "the file ends in its head"))
    return _NOTHING


def _number(file: Bytes, place: int, *, keep: bool = False) -> tuple[int, int]:
    """A number of EBML and how many bytes it takes (0: there is none); ``keep`` its length mark, as identifiers do."""
    first = file.at(place, 1)
    if not first or not first[0]:
        return 0, 0
    length = 9 - first[0].bit_length()
    raw = file.at(place, length)
    if len(raw) < length:
        return 0, 0
    value = int.from_bytes(raw, "big")
    return (value if keep else value & ((1 << 7 * length) - 1)), length


def _cut(remark: Remark) -> Verdict:
    return ["truncated"], [remark]
