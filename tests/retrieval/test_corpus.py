"""Corpus reader, chunking and duplicates: what is kept, what is left out and why."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.retrieval.chunking import chunks, count_tokens, fit
from medprm_hf.retrieval.corpus import CorpusSettings, passages_of, read_corpus
from medprm_hf.text.duplicates import twins
from tests.retrieval.conftest import BOOK, passage

Write = Callable[..., Path]
WORDS = [f"word{n}" for n in range(60)]


@settings(max_examples=60, deadline=None)
@given(st.text("ab. \n!?-é1", max_size=400), st.integers(1, 30), st.data())
def test_passages_cover_the_document_within_their_size(text: str, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size // 2))
    pieces = list(chunks(text, size, overlap))
    covered = set()
    for offset, piece in pieces:
        assert text[offset : offset + len(piece)] == piece
        assert 0 < count_tokens(piece) <= size
        covered |= set(range(offset, offset + len(piece)))
    assert all(i in covered for i, sign in enumerate(text) if not sign.isspace())
    assert [offset for offset, _ in pieces] == sorted({offset for offset, _ in pieces})


def test_cuts_fall_between_sentences_and_neighbours_overlap() -> None:
    text = " ".join(f"Sentence {n} says one thing." for n in range(40))
    pieces = [piece for _, piece in chunks(text, 48, 12)]
    assert all(piece.endswith(".") and piece.startswith("Sentence") for piece in pieces)
    assert all(one.split(". ")[-1].rstrip(".") in two for one, two in zip(pieces, pieces[1:], strict=False))


def test_a_passage_of_20000_characters_is_cut() -> None:
    corpus = passages_of([passage("long", "word and another word; " * 900)], CorpusSettings(near=2.0))
    texts = [item.text for item in corpus.passages] + list(corpus.same_as)
    assert len(texts) > 20 and all(count_tokens(text) <= 256 for text in texts)
    unbroken = passages_of([passage("unbroken", "x" * 20_000)], CorpusSettings(near=2.0))
    assert unbroken.passages and max(count_tokens(p.text) for p in unbroken.passages) <= 256


def test_overlap_that_leaves_no_way_forward_is_refused() -> None:
    with pytest.raises(ConfigError, match="overlap 5 .* chunk size 8"):
        list(chunks("a b c", 8, 5))


def test_fit_leaves_out_what_is_too_long() -> None:
    assert fit(["one two three", "one " * 50, "four"], 5) == [0, 2]
    assert fit(["one"], 0) == []


@pytest.mark.parametrize(
    ("texts", "same"),
    [
        ([], {}),
        (["a", "b"], {}),
        (["Rest.", "rest. ", "REST."], {1: 0, 2: 0}),
        ([" ".join(WORDS), " ".join([*WORDS[:-1], "other"])], {1: 0}),
        (["one two three four five six", "six five four three two one"], {}),
    ],
)  # fmt: skip
def test_twins(texts: list[str], same: dict[int, int]) -> None:
    assert twins(texts) == same


def test_a_near_twin_of_a_left_out_one_points_to_the_one_that_stays() -> None:
    words = [f"w{n}" for n in range(200)]
    texts = [" ".join(words), " ".join([*words[:-1], "x"]), " ".join([*words[:-1], "x"])]
    assert twins(texts) == {1: 0, 2: 0}


def test_files_of_every_kind_with_their_rejects(tmp_path: Path, jsonl: Write) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    jsonl(
        BOOK[0], '{"id": "broken", "text": "no end', "[1]", passage("empty", "  "), {"id": "x", "text": "No licence."}
    )
    parquet.write_table(
        pa.Table.from_pylist([{**BOOK[1], "licence": "CC0-1.0", "license": None}]), tmp_path / "b.parquet"
    )
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("Plain text about the spleen.")
    (tmp_path / "latin.md").write_bytes(b"caf\xe9")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    corpus = read_corpus([tmp_path], CorpusSettings(source="given"))
    assert {p.id: (p.source, p.license) for p in corpus.passages} == {
        "liver": ("book", "CC0-1.0"),
        "lung": ("book", "CC-BY-4.0"),
    }
    reasons = {item.where: item.reason for item in corpus.rejected}
    assert "not JSON" in reasons["corpus.jsonl:2"]
    assert "list, not an object" in reasons["corpus.jsonl:3"]
    assert "no text" in reasons["corpus.jsonl:4"]
    assert "no licence" in reasons["corpus.jsonl:5"] and "no licence" in reasons["notes/a.txt"]
    assert "cannot be read" in reasons["latin.md"] and ".png is not read" in reasons["picture.png"]
    licensed = read_corpus([tmp_path], CorpusSettings(source="given", license="CC0-1.0"))
    assert {"notes/a.txt", "x"} <= {p.id for p in licensed.passages}


def test_ids_stay_unique_and_repetitions_say_as_what_they_stay(jsonl: Write) -> None:
    path = jsonl(BOOK[0], passage("lung", "Another text under the same id."), passage("again", BOOK[0]["text"].upper()))
    corpus = read_corpus([path])
    assert [p.id for p in corpus.passages] == ["lung"]
    assert corpus.same_as == {"again": "lung"}
    assert "stands in the corpus already" in corpus.rejected[0].reason


@pytest.mark.parametrize("lines", [[], ["{broken"], [{"text": "no licence"}]])
def test_an_empty_corpus_is_refused_with_the_reasons(jsonl: Write, lines: list[object]) -> None:
    with pytest.raises(DataError, match="no passage that can be used"):
        read_corpus([jsonl(*lines)])


def test_no_such_path(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no corpus at"):
        read_corpus([tmp_path / "nowhere"])


def test_the_fingerprint_is_of_the_passages() -> None:
    one, two = passages_of(BOOK), passages_of([*BOOK, json.loads(json.dumps(BOOK[0])) | {"id": "twin"}])
    assert one.fingerprint() == two.fingerprint()
    assert one.fingerprint() != passages_of(BOOK[:-1]).fingerprint()
