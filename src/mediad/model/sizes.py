"""Sizes for people."""


def human(size: int) -> str:
    """Bytes in the binary unit that fits, with one decimal: a small vault has no "0 MiB"."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
