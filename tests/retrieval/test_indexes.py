"""Text and case indexes: found by meaning, extended without encoding twice, refused for another encoder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medprm_hf.errors import ConfigError, DataError, StoreError
from medprm_hf.phantom.questions import question_row
from medprm_hf.phantom.world import question_ids
from medprm_hf.retrieval.cases import Asked, CaseIndex, cases_of
from medprm_hf.retrieval.corpus import Corpus, passages_of
from medprm_hf.retrieval.encoders import TextEncoder, open_encoder
from medprm_hf.retrieval.images import open_image_encoder
from medprm_hf.retrieval.index import TextIndex
from medprm_hf.retrieval.queries import query_text
from tests.retrieval.conftest import BOOK, save_clip


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory, minilm: str) -> TextIndex:
    return TextIndex.build(passages_of(BOOK), tmp_path_factory.mktemp("index") / "book", minilm)


TURNS = [{"role": "user", "text": "Fever."}, {"role": "assistant", "text": "Hm."}]


def ids(index: TextIndex, query: str, k: int = 5, **weights: float) -> list[str]:
    return [hit.passage.id for hit in index.search([query], k, weights or {"lexical": 1.0, "dense": 1.0})[0]]


def test_words_meaning_and_both(book: TextIndex) -> None:
    question = "Myocardial infarction: what is its cause?"
    assert ids(book, question, lexical=1.0) == []
    assert ids(book, question, k=1, dense=1.0) == ["heart"]
    assert ids(book, question, k=1) == ["heart"]
    assert ids(book, "Which diuretic spares potassium?", k=2) == ["amiloride", "kidney"]


def test_a_batch_is_answered_in_order_and_an_empty_query_finds_nothing(book: TextIndex) -> None:
    found = book.search(["bile", "", "  ?", "three lobes"], 1)
    assert [[hit.passage.id for hit in hits] for hits in found] == [["liver"], [], [], ["lung"]]
    assert found[0][0].passage.license == "CC-BY-4.0" and found[0][0].passage.source == "book"


def test_an_index_is_extended_by_what_is_new(tmp_path: Path, minilm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    index = TextIndex.build(passages_of(BOOK[:3]), tmp_path / "i", minilm)
    encoded: list[int] = []
    plain = TextEncoder.passages
    monkeypatch.setattr(
        TextEncoder, "passages", lambda self, texts: (encoded.append(len(texts)), plain(self, texts))[1]
    )
    before = index.fingerprint
    assert index.extend(passages_of(BOOK)) == 2 and encoded == [2]
    assert index.extend(passages_of(BOOK)) == 0
    opened = TextIndex.open(tmp_path / "i", minilm)
    assert opened.fingerprint == index.fingerprint != before
    assert len(opened) == 5 and ids(opened, "Which diuretic spares potassium?", k=1) == ["amiloride"]
    assert opened.manifest["licenses"] == {"CC-BY-4.0": 5}


def test_an_index_of_another_encoder_is_refused_and_both_are_named(book: TextIndex, tmp_path: Path) -> None:
    model = open_encoder("minilm")._passages[0].auto_model.name_or_path  # the same weights, pooled in another way
    other = f"{model}?pooling=cls"
    with pytest.raises(ConfigError, match=r"built by encoder 'minilm' \(384 numbers\), asked for is '.*pooling=cls'"):
        TextIndex.open(book.folder, other)
    with pytest.raises(ConfigError, match="built by encoder 'minilm'.* asked for is 'none'"):
        TextIndex.open(book.folder, "none")
    same = TextIndex.open(book.folder, model)  # another name of the same encoder
    assert ids(same, "bile", k=1) == ["liver"]
    words = TextIndex.build(passages_of(BOOK), tmp_path / "words")
    with pytest.raises(ConfigError, match="built by encoder 'none', asked for is 'minilm'"):
        TextIndex.open(words.folder, "minilm")


@pytest.mark.parametrize(
    ("name", "said"),
    [("no/such-encoder", "minilm needs no network"), ("x?pool=cls", r"\?pooling=cls"), ("x?pooling=max", "no option")],
)
def test_encoders_that_cannot_be_opened(name: str, said: str, minilm: str) -> None:
    with pytest.raises(ConfigError, match=said):
        open_encoder(name)


def test_indexes_that_cannot_be_built_or_opened(tmp_path: Path, book: TextIndex) -> None:
    with pytest.raises(DataError, match="corpus is empty"):
        TextIndex.build(Corpus(), tmp_path / "empty")
    with pytest.raises(ConfigError, match="is there already"):
        TextIndex.build(passages_of(BOOK), book.folder)
    with pytest.raises(StoreError, match="holds no text index"):
        TextIndex.open(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("row", "query"),
    [
        ({"question": "Is it benign?", "options": ["yes", "no", "maybe"]}, "Is it benign?"),
        ({"question": "Which drug?", "options": ["Amiloride", "A", "12"]}, "Which drug? Amiloride"),
        ({"question": "", "options": None, "image": "x.png"}, ""),
        ({"question": "Now?", "turns": TURNS}, "Fever. Now?"),
        ({"question": "Drug?", "clinical_context": "Age 70.", "answer": "Amiloride"}, "Age 70. Drug?"),
    ],
)  # fmt: skip
def test_queries_hold_what_is_asked_and_never_the_answer(row: dict[str, Any], query: str) -> None:
    assert query_text(row) == query


def phantoms(n: int, **columns: Any) -> list[dict[str, Any]]:
    return [question_row(name) | columns for name in question_ids("train", n)]


@pytest.fixture(scope="module")
def case_index(tmp_path_factory: pytest.TempPathFactory, clip: str) -> CaseIndex:
    rows = phantoms(12)
    for n, row in enumerate(rows):
        row |= {"group": f"patient-{n // 3}", "split": "test" if n >= 9 else "train"}
    cases, rejected = cases_of(rows)
    assert not rejected
    return CaseIndex.build(cases, tmp_path_factory.mktemp("cases") / "cases", clip)


def neighbours(index: CaseIndex, asked: Asked, image: bytes, k: int = 5) -> list[str]:
    return [case.question_id for case, _ in index.similar([asked], index.encoder.images([image]), k)[0]]


def test_similar_cases_are_never_ones_own(case_index: CaseIndex) -> None:
    row = phantoms(1)[0]
    image, sha = row["image"]["bytes"], row["image_sha256"]
    names = [f"phantom-train-{n:06d}" for n in range(12)]
    stranger = Asked("other", None, "0" * 64, held_out=())
    assert neighbours(case_index, stranger, image)[0] == names[0]
    everyone = [
        (Asked(names[0], None, "", ()), {names[0]}),  # its own case
        (Asked("other", "patient-0", "", ()), set(names[:3])),  # its own patient
        (Asked("other", None, sha, ()), {names[0]}),  # its own image under another name
        (Asked("other", None, ""), set(names[9:])),  # a split that is held out
    ]
    for asked, hidden in everyone:
        assert set(neighbours(case_index, asked, image, k=12)) == set(names) - hidden
    scores = [score for _, score in case_index.similar([stranger], case_index.encoder.images([image]), 12)[0]]
    assert scores == sorted(scores, reverse=True) and scores[0] == pytest.approx(1, abs=1e-5)


def test_a_case_index_is_extended_by_what_is_new(tmp_path: Path, clip: str) -> None:
    cases, _ = cases_of(phantoms(6))
    index = CaseIndex.build(cases[:4], tmp_path / "c", clip)
    vectors = (tmp_path / "c" / "vectors" / "vectors.f32").read_bytes()
    assert index.extend(cases) == 2 and index.extend(cases) == 0
    assert (tmp_path / "c" / "vectors" / "vectors.f32").read_bytes().startswith(vectors)
    assert len(CaseIndex.open(tmp_path / "c", clip)) == 6


def test_a_case_index_of_another_encoder_is_refused(
    case_index: CaseIndex, clip: str, other_clip: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as refused:
        CaseIndex.open(case_index.folder, other_clip)
    assert clip in str(refused.value) and other_clip in str(refused.value)
    with pytest.raises(ConfigError, match=r"\(32 numbers\).*\(16 numbers\)"):
        CaseIndex.open(case_index.folder, save_clip(tmp_path / "narrow", seed=0, width=16))


def test_cases_that_cannot_be_shown_are_left_out_with_the_reason() -> None:
    good = phantoms(1)[0]
    rows = [
        good,
        good,
        good | {"question_id": "a", "image": None},
        good | {"question_id": "b", "image": {"bytes": b"no image", "path": None}},
        good | {"question_id": "c", "answer": None},
        good | {"question_id": "d", "license": None},
        good | {"question_id": "e", "answer": None, "diagnosis": "nodule"},
    ]
    cases, rejected = cases_of(rows)
    assert [case.question_id for case, _ in cases] == [good["question_id"], "e"]
    assert [case.diagnosis for case, _ in cases] == [good["answer"], "nodule"]
    said = ["stands there already", "no image", "cannot be decoded", "no diagnosis", "no license"]
    assert all(part in item.reason for part, item in zip(said, rejected, strict=True))


@pytest.mark.parametrize("name", ["ViT-B-32", "local-dir:/no/such/folder"])
def test_image_encoders_that_cannot_be_opened(name: str, clip: str) -> None:
    with pytest.raises(ConfigError, match="random weights|cannot be loaded"):
        open_image_encoder(name)


def test_an_image_has_the_same_vector_in_every_batch(clip: str) -> None:
    images = [row["image"]["bytes"] for row in phantoms(40)]
    encoder = open_image_encoder(clip)
    whole = encoder.images(images)
    assert np.allclose(whole[33:], encoder.images(images[33:]), atol=1e-5)
    assert np.linalg.norm(whole, axis=1) == pytest.approx(1, abs=1e-5)
