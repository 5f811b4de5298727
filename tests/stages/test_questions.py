"""questions: what is dropped, held, masked, sampled, and that nothing stands in two splits."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medprm_hf.errors import ConfigError
from medprm_hf.loading import complete_row
from medprm_hf.stages.base import Learner
from medprm_hf.stages.questions import Questions
from medprm_hf.text.domains import domain_of
from medprm_hf.together import split_by_hash

Row = dict[str, Any]
OPTIONS = ["pneumonia", "effusion", "normal"]


def picture(seed: int, form: str = "PNG", shift: int = 0) -> bytes:
    """A smooth random picture: re-coded or a little brighter it stays the same to the eye."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    rough = Image.fromarray(rng.integers(30, 220, (8, 8), dtype=np.uint8)).resize((128, 128), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    Image.fromarray((np.asarray(rough, np.int16) + shift).clip(0, 255).astype(np.uint8)).save(out, form)
    return out.getvalue()


def row(name: str, image: bytes | None = None, **more: Any) -> Row:
    base = {"question_id": name, "question": f"Which diagnosis does case {name} suggest?", "options": OPTIONS,
            "answer": "effusion", "answer_index": 1, "image": image}  # fmt: skip
    return complete_row({**base, **more})


def table(rows: list[Row]) -> dict[str, list[Any]]:
    return {name: [one[name] for one in rows] for name in rows[0]}


def result(rows: list[Row], **settings: Any) -> dict[str, tuple[str, str | None, str]]:
    """question_id -> (status, reason, split), the run cut into shards of two."""
    stage: Any = Questions(**settings)
    stage.check()
    shards = [table(rows[at : at + 2]) for at in range(0, len(rows), 2)]
    stage = replace(stage, learnt=stage.learn(iter(shards)))
    found: dict[str, tuple[str, str | None, str]] = {}
    for shard in shards:
        out = stage(shard)
        columns = (out["question_status"], out["question_reason"], out["split"])
        found |= dict(zip(shard["question_id"], zip(*columns, strict=True), strict=True))
    return found


def test_it_learns_over_the_run_and_what_was_learnt_is_no_setting() -> None:
    stage = Questions()
    assert isinstance(stage, Learner) and repr(replace(stage, learnt="{}")) == repr(stage)


PLANTED = [
    ({"question": "Mrs. Jane Doe has a cough. Which diagnosis?"}, "name in question"),
    (
        {"clinical_context": "Seen 03/14/2019, MRN 4711223."},
        "date in clinical_context, record_number in clinical_context",
    ),
    ({"options": ["Dr. Smith", "effusion", "x"]}, "name in options"),
    ({"turns": [{"role": "user", "text": "My phone is 555-123-4567."}]}, "phone in turns"),
    ({"options": [], "answer_index": None, "answer": "see jane@example.org"}, "email in answer"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "said"), PLANTED)
def test_texts_that_may_name_a_patient_are_held_masked_or_ignored(more: Row, said: str) -> None:
    status, reason, _ = result([row("q1", **more)])["q1"]
    assert status == "needs_review" and reason == f"identifiers: {said} (questions.identifiers: mask or ignore)"
    assert result([row("q1", **more)], identifiers="ignore")["q1"][0] == "kept"
    out = Questions(identifiers="mask")(table([row("q1", **more)]))
    assert out["question_status"] == ["kept"]
    shown = json.dumps([out[name] for name in ("question", "clinical_context", "options", "turns", "answer")])
    for word in ("Jane", "03/14", "4711223", "Smith", "555", "jane@"):
        assert word not in shown


def test_clean_text_and_pictures_are_kept_as_they_are() -> None:
    one = row("q1", picture(1), clinical_context="A 64-year-old man with cough since 2019.")
    out = Questions(burned_in="hold")(table([one]))
    assert (out["question_status"], out["question_reason"]) == (["kept"], [None])
    assert all(out[name] == [one[name]] for name in ("question", "options", "answer", "clinical_context", "turns"))


def test_images_that_were_refused_are_dropped_with_the_reason() -> None:
    found = result([row("q1", b"no image"), row("q2", image={"bytes": None, "path": "/no/DOE_JANE.png"})])
    assert found["q1"][0] == "dropped" and "cannot be decoded" in str(found["q1"][1])
    assert "the file cannot be read" in str(found["q2"][1]) and "DOE" not in str(found["q2"][1])


def test_the_diagnostic_filter_drops_by_kind() -> None:
    rows = [row("q1"), row("q2", question="How many nodules are there?"), row("q3", options=["yes", "no"],
            answer="no", answer_index=1)]  # fmt: skip
    assert [found[0] for found in result(rows).values()] == ["kept"] * 3
    strict = result(rows, keep="diagnostic")
    assert strict["q1"][0] == "kept" and str(strict["q2"][1]).startswith("kind: count is not diagnostic")
    assert str(strict["q3"][1]).startswith("kind: yes_no")


ASKED = (
    "A 60-year-old smoker coughs blood and has lost ten kilograms in half a year. Which diagnosis is most likely here?"
)


def test_questions_that_say_the_same_are_asked_once() -> None:
    png = picture(1)
    rows = [
        row("q1", png, question="What is shown?"), row("q2", png, question="what is  shown?"),
        row("q3", picture(2), question="What is shown?"), row("q4", png, question="What is the next step?"),
        row("q5", question=ASKED), row("q6", question=ASKED.replace("here?", "now?")),
        row("q7", question=ASKED, answer="normal", answer_index=2),
    ]  # fmt: skip
    found = result(rows)
    assert {name: reason for name, (_, reason, _) in found.items() if reason} == {
        "q2": "duplicate: says the same as q1", "q6": "duplicate: says the same as q5",
    }  # fmt: skip  # q7 asks the same and has another answer: not the same question, but never in another split
    assert all(status == "kept" for status, _, _ in result(rows, duplicates="keep").values())


def test_images_that_look_the_same_are_one_image_where_asked() -> None:
    rows = [row("q1", picture(1), question="What?"), row("q2", picture(1, "JPEG", shift=4), question="What?"),
            row("q3", picture(2), question="What?")]  # fmt: skip
    assert [found[0] for found in result(rows).values()] == ["kept"] * 3
    assert result(rows, image_distance=4)["q2"] == ("dropped", "duplicate: says the same as q1", "train")
    assert result(rows, image_distance=4)["q3"][0] == "kept"


def chained(count: int) -> list[Row]:
    """Cases that hang together in chains of five: by patient, image, likeness, text."""
    rows = []
    for n in range(count):
        rows += [
            row(f"a{n}", group=f"p{n}"),
            row(f"b{n}", picture(n), group=f"p{n}"),
            row(f"c{n}", picture(n), group=f"other{n}"),
            row(f"d{n}", picture(n, "JPEG"), group=f"third{n}"),
            row(f"e{n}", question=f"Which diagnosis does case a{n} suggest?", answer="normal", answer_index=2),
        ]  # fmt: skip
    return rows


def test_nothing_that_hangs_together_stands_in_two_splits() -> None:
    shares = {"train": 0.6, "development": 0.2, "test": 0.2}
    rows = chained(40)
    found = result(rows, splits=shares, image_distance=4)
    for n in range(40):
        assert len({found[f"{kind}{n}"][2] for kind in "abcde"}) == 1, n
    counts = [sum(found[f"a{n}"][2] == split for n in range(40)) for split in shares]
    assert counts[0] > 15 and min(counts) >= 3
    assert result(rows[::-1], splits=shares, image_distance=4) == {name: found[name] for name in reversed(found)}
    drawn = [split_by_hash(shares, "split", 0, f"p{n}") for n in range(3000)]
    assert [drawn.count(split) / 3000 for split in shares] == pytest.approx([0.6, 0.2, 0.2], abs=0.03)


def test_a_source_that_puts_one_patient_in_two_splits_is_mended() -> None:
    rows = [row("q1", group="p1", split="train"), row("q2", group="p1", split="test"), row("q3", group="p2"),
            row("q4", group="p1")]  # fmt: skip
    found = result(rows)
    assert found["q1"][:2] == (
        "dropped",
        "leak: its patient, image or text stands in test too, so it cannot be in train",
    )
    assert found["q2"] == ("kept", None, "test") and found["q4"] == ("kept", None, "test")
    assert found["q3"] == ("kept", None, "train")


def test_mixes_are_the_largest_sample_with_exactly_the_shares() -> None:
    levels = ["easy"] * 10 + ["medium"] * 10 + ["hard"] * 10
    rows = [row(f"q{n}", modality="chest_xray", difficulty=level) for n, level in enumerate(levels)]
    rows += [row("text"), row("odd", modality="ct_scan")]
    found = result(rows, difficulties={"radiology": {"easy": 0.3, "medium": 0.5, "hard": 0.2}})
    kept = [levels[n] for n in range(30) if found[f"q{n}"][0] == "kept"]
    assert [kept.count(level) for level in ("easy", "medium", "hard")] == [6, 10, 4]
    assert found["text"][0] == "kept" and str(found["odd"][1]).startswith("mix: radiology/None has no share")
    assert "mix: radiology/hard has more questions than its share" in {reason for _, reason, _ in found.values()}
    rows = [row(f"r{n}", modality="MRI") for n in range(9)] + [row(f"h{n}", modality="histology") for n in range(6)]
    found = result(rows, domains={"radiology": 0.25, "pathology": 0.75})
    assert sum(found[f"r{n}"][0] == "kept" for n in range(9)) == 2
    assert sum(found[f"h{n}"][0] == "kept" for n in range(6)) == 6


@pytest.mark.parametrize(("settings", "said"), [
    ({"splits": {"train": 0.5}}, "add up to 0.5"), ({"splits": {"trian": 1.0}}, "'trian' is none of train"),
    ({"domains": {"xray": 1.0}}, "'xray' is none of radiology"),
    ({"difficulties": {"radiology": {"easy": 0.4}}}, "difficulties.radiology: the shares add up to 0.4"),
])  # fmt: skip
def test_shares_that_are_none_are_refused(settings: Row, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Questions(**settings).check()


def test_domains_are_told_by_the_modality() -> None:
    told = {"chest_xray": "radiology", "ct_scan": "radiology", "CT": "radiology", "pathology": "pathology",
            "H&E slide": "pathology", "fundus photograph": "clinical", "dermoscopy": "clinical", "text": None,
            None: None, "phantom_axial": "radiology"}  # fmt: skip
    assert {name: domain_of(name) for name in told} == told
