"""Hashes and seeds name what is stored: they may never change, whichever writer made the JSON under them."""

from __future__ import annotations

import hashlib
import json

from hypothesis import given
from hypothesis import strategies as st

from medprm_hf.ids import content_hash, stable_seed

PARTS = st.lists(st.one_of(st.text(), st.integers(), st.floats(allow_nan=False), st.none(), st.booleans()), max_size=6)


@given(PARTS)
def test_hash_is_that_of_plain_json(parts: list[str | int | float | None]) -> None:
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    try:
        assert content_hash(*parts) == hashlib.sha256(text.encode()).hexdigest()[:16]
    except UnicodeEncodeError:  # half of a surrogate pair has no bytes
        pass


def test_known_hashes_stay() -> None:
    assert content_hash("q1", 7, "\u00e9\x00\x7f\u2028\"\\/") == hashlib.sha256(
        '["q1",7,"\u00e9\\u0000\x7f\u2028\\"\\\\/"]'.encode()
    ).hexdigest()[:16]
    assert stable_seed("phantom", 2**70) == int(content_hash("phantom", 2**70), 16) >> 1
