"""How recordings are classified (定密, Article 33), and what a vault may hold."""

import unicodedata
from collections.abc import Sequence
from typing import Final

SHIPPED: Final = ("公开", "内部", "秘密", "机密", "绝密")
"""Classifications, the lowest first."""


def classification(text: str, order: Sequence[str]) -> str | None:
    """The classification of the unit's that a text means; None for none of them."""
    plain = unicodedata.normalize("NFKC", text).strip()
    return plain if plain in order else None


def exceeds(classified: str, highest: str, order: Sequence[str]) -> bool:
    """Whether something is classified higher than a vault may hold. A vault of which nothing is said (empty) holds everything; a
    word that the unit does not have any more is higher than any other: a person has to look."""
    if not highest:
        return False
    return classified not in order or order.index(classified) > order.index(highest)
