"""Digests and the names made of them."""

import base64
import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediad.model import ids

digests = st.binary(min_size=32, max_size=32)


@given(digests)
def test_an_asset_and_its_recording_carry_the_same_characters_of_the_digest(value: bytes) -> None:
    expected = base64.b32encode(value).decode().lower()[:26]
    assert ids.asset_id(value) == f"ast-{expected}"
    assert ids.recording_id(value) == f"rec-{expected}"
    assert ids.is_id(ids.asset_id(value))
    assert ids.is_id(ids.recording_id(value))


@given(digests, st.sampled_from(["sha256", "sm3"]))
def test_a_digest_survives_its_text_and_differs_by_algorithm(value: bytes, algorithm: str) -> None:
    digest = ids.Digest(algorithm, value)
    assert ids.Digest.parse(str(digest)) == digest
    other = ids.Digest("sm3" if algorithm == "sha256" else "sha256", value)
    assert digest != other


@given(st.binary(max_size=64), st.text(max_size=10))
def test_what_is_no_digest_is_refused(value: bytes, algorithm: str) -> None:
    if len(value) == 32 and algorithm in ids.ALGORITHMS:
        return
    with pytest.raises(ValueError, match="not a"):
        ids.Digest(algorithm, value)


@pytest.mark.parametrize("text", ["", "sha256", "sha256:xy", "md5:" + "0" * 32, "sha256:" + "0" * 63, ":" + "0" * 64])
def test_text_that_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        ids.Digest.parse(text)


@given(st.binary())
def test_sha256_is_that_of_the_library(data: bytes) -> None:
    assert ids.Digest.sha256(data).hex == hashlib.sha256(data).hexdigest()


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC)),
    st.binary(min_size=10, max_size=10),
)
def test_stamped_ids_are_ids_and_sort_by_time(at: datetime, entropy: bytes) -> None:
    early = ids.stamped_id("dck", at.replace(microsecond=0), entropy)
    assert ids.is_id(early)
    assert ids.stamped_id("dck", at, entropy) == early
    if at.second < 59:
        assert early[:20] < ids.stamped_id("dck", at.replace(second=at.second + 1), entropy)[:20]


@pytest.mark.parametrize(
    "text", ["", "ast-", "../x", "ast-" + "A" * 26, "xyz-" + "a" * 26, "rec-" + "a" * 61, "ast-" + "a" * 26 + "\n"]
)
def test_other_text_is_no_id(text: str) -> None:
    assert not ids.is_id(text)
