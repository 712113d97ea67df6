"""Numbers as ffprobe writes them: as text, or not at all."""

import contextlib


def number(value: object) -> float | None:
    """A number of a sensible size; None for anything else."""
    with contextlib.suppress(TypeError, ValueError):
        read = float(value)  # type: ignore[arg-type]
        if abs(read) < 1e12:
            return read
    return None


def whole(value: object) -> int | None:
    """The same without what stands behind the point."""
    read = number(value)
    return None if read is None else int(read)
