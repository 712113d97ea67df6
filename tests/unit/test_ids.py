"""Digests and the names made of them."""

import base64
import hashlib
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediad.model import ids

ID = re.compile(r"(ast|rec|dck|bat)-[a-z0-9-]{10,60}")
digests = st.binary(min_size=32, max_size=32)


@given(digests)
def test_an_asset_and_its_recording_carry_the_same_characters_of_the_digest(value: bytes) -> None:
    expected = base64.b32encode(value).decode().lower()[:26]
    assert ids.asset_id(value) == f"ast-{expected}"
    assert ids.recording_id(value) == f"rec-{expected}"
    assert ID.fullmatch(ids.asset_id(value))
    assert ID.fullmatch(ids.recording_id(value))


@given(digests, st.sampled_from(["sha256", "sm3"]))
def test_a_digest_differs_by_algorithm(value: bytes, algorithm: str) -> None:
    digest = ids.Digest(algorithm, value)
    assert str(digest) == f"{algorithm}:{value.hex()}"
    other = ids.Digest("sm3" if algorithm == "sha256" else "sha256", value)
    assert digest != other


@given(st.binary(max_size=64), st.text(max_size=10))
def test_what_is_no_digest_is_refused(value: bytes, algorithm: str) -> None:
    if len(value) == 32 and algorithm in ids.ALGORITHMS:
        return
    with pytest.raises(ValueError, match="not a"):
        ids.Digest(algorithm, value)


@given(st.binary())
def test_sha256_is_that_of_the_library(data: bytes) -> None:
    assert ids.Digest.sha256(data).hex == hashlib.sha256(data).hexdigest()


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC)),
    st.binary(min_size=10, max_size=10),
)
def test_stamped_ids_are_ids_and_sort_by_time(at: datetime, entropy: bytes) -> None:
    early = ids.stamped_id("dck", at.replace(microsecond=0), entropy)
    assert ID.fullmatch(early)
    assert ids.stamped_id("dck", at, entropy) == early
    if at.second < 59:
        assert early[:20] < ids.stamped_id("dck", at.replace(second=at.second + 1), entropy)[:20]
