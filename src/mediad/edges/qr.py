"""QR codes, as rows of dark and light."""

import segno


def rows(text: str) -> list[str]:
    """A QR code without its quiet zone: one text per row, 1 for dark. A quarter of it may be dirty or torn."""
    code = segno.make_qr(text, error="q", boost_error=False)
    return ["".join("1" if module else "0" for module in row) for row in code.matrix]
