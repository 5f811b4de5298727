"""Reading final answers: a table of texts and the answers they state, and what must never be guessed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprm_hf.text.answers import letter_index, matches, read_answer
from medprm_hf.text.choices import normalise
from medprm_hf.text.prompts import letter
from tests.growth import grows_with_length

LUNGS = ["Right lung", "Left lung", "Pneumonia", "No finding"]
YES_NO = ["yes", "no", "maybe"]
FOLLOW_UP = ["no follow-up", "CT at 6-12 months", "CT at 3-6 months", "PET-CT or biopsy"]
SIZES = ["<6 mm", "6-8 mm", ">8 mm"]
BLOOD = ["O", "A", "B", "AB"]
NESTED = ["Pneumonia", "Viral pneumonia", "Hepatitis B", "Vitamin A deficiency"]
DOUBLED = ["Cyst", "Tumour", "cyst", ""]
FORTY = [f"Finding {n}" for n in range(40)]

TABLE: list[tuple[str, list[str], str | None]] = [
    # letters
    ("Answer: B", LUNGS, "B"),
    ("Answer: B.", LUNGS, "B"),
    ("answer: b", LUNGS, "B"),
    ("ANSWER = (c)", LUNGS, "C"),
    ("Answer B", LUNGS, "B"),
    ("**Answer:** (B)", LUNGS, "B"),
    ("**Answer: B**", LUNGS, "B"),
    ("Step 1: look.\nStep 2: The rim is on the left.\nAnswer: B", LUNGS, "B"),
    ("Answer: B ки", LUNGS, "B"),
    ("Answer: B<|im_end|>", LUNGS, "B"),
    ("Answer: B. Left lung", LUNGS, "B"),
    ("Answer: B) left lung.", LUNGS, "B"),
    ("Answer: B - Left lung", LUNGS, "B"),
    ("Answer: B: Left lung, as the rim shows", LUNGS, "B"),
    ("Answer: B Left lung", LUNGS, "B"),
    ("Answer: B because the rim is there", LUNGS, "B"),
    ("Answer:\nB", LUNGS, "B"),
    ("### Final Answer\n\n**B**", LUNGS, "B"),
    ("**Final Answer**\nB", LUNGS, "B"),
    ("(B)", LUNGS, "B"),
    ("B", LUNGS, "B"),
    ("b.", LUNGS, "B"),
    ("[B]", LUNGS, "B"),
    (r"\boxed{B}", LUNGS, "B"),
    (r"Hence $\boxed{\text{B}}$.", LUNGS, "B"),
    (r"\boxed{\textbf{(B)}}", LUNGS, "B"),
    (r"\boxed{Left lung}", LUNGS, "B"),
    ("<think>A or B?</think><answer>B</answer>", LUNGS, "B"),
    ("The answer is (B).", LUNGS, "B"),
    ("So the correct answer is B because of the rim.", LUNGS, "B"),
    ("The best option is therefore (D)", LUNGS, "D"),
    ("the correct option is: C", LUNGS, "C"),
    ("My answer would be option B.", LUNGS, "B"),
    ("I choose B", LUNGS, "B"),
    ("We should go with option (C).", LUNGS, "C"),
    ("Option B is correct.", LUNGS, "B"),
    ("(B) is the correct answer", LUNGS, "B"),
    ("Therefore, B is the most likely diagnosis.", LUNGS, "B"),
    ("The rim is on the left.\nTherefore (B).", LUNGS, "B"),
    ("All this is most consistent with (C).", LUNGS, "C"),
    ("The correct answer is **C. Pneumonia**.", LUNGS, "C"),
    ("Answer: **C** (Pneumonia)", LUNGS, "C"),
    ("Answer: (C) Pneumonia. Option (A) is wrong, as the rim shows.", LUNGS, "C"),
    ("The answer is C. A is incorrect, since it moves.", LUNGS, "C"),
    ("Answer: C, not A", LUNGS, "C"),
    ("Answer choice: C", LUNGS, "C"),
    ("Correct answer letter: C", LUNGS, "C"),
    ("Final answer (C)", LUNGS, "C"),
    ("Final answer → C", LUNGS, "C"),
    ("Answer: ( C )", LUNGS, "C"),
    (r"Answer: \(C\)", LUNGS, "C"),
    (r"Answer: \textbf{C}", LUNGS, "C"),
    ('Answer: "C"', LUNGS, "C"),
    ("Answer: C Explanation: the shadow is dense.", LUNGS, "C"),
    ("Hence, option D (No finding) is the answer.", LUNGS, "D"),
    ("My final answer is D: No finding", LUNGS, "D"),
    # option text
    ("Answer: left lung", LUNGS, "B"),
    ("Answer: LEFT LUNG!", LUNGS, "B"),
    ("Answer: the left lung", LUNGS, "B"),
    ("Final Diagnosis: pneumonia", LUNGS, "C"),
    ("Final diagnosis: Pneumonia, right lower lobe", LUNGS, "C"),
    ("The most likely diagnosis is pneumonia.", LUNGS, "C"),
    ("left lung", LUNGS, "B"),
    ("It moves with breathing.\nLeft lung.", LUNGS, "B"),
    ("Answer: CT at 6-12 months.", FOLLOW_UP, "B"),
    ("Answer: CT at 6–12 months", FOLLOW_UP, "B"),
    ("Answer: PET CT or biopsy", FOLLOW_UP, "D"),
    ("Answer: no follow up is needed", FOLLOW_UP, "A"),
    ("Answer: < 6 mm", SIZES, "A"),
    ("Answer: >8 mm", SIZES, "C"),
    ("Answer: 8 mm", SIZES, None),
    ("Answer: viral pneumonia", NESTED, "B"),
    ("Answer: Pneumonia", NESTED, "A"),
    ("Answer: Hepatitis B", NESTED, "C"),
    ("Answer: B. Vitamin A deficiency", NESTED, None),
    ("Answer: D. Vitamin A deficiency", NESTED, "D"),
    # yes and no
    ("Answer: yes", YES_NO, "A"),
    ("Yes, it is.", YES_NO, "A"),
    ("Answer: No, the rates did not differ.", YES_NO, "B"),
    ("The final answer is maybe", YES_NO, "C"),
    ("Conclusion: the trial was small.\nAnswer: no", YES_NO, "B"),
    ("Answer: no evidence of benefit", YES_NO, "B"),
    # JSON
    ('{"steps": [{"text": "Look."}], "final_answer_index": 1}', LUNGS, "B"),
    ('{"answer": "B"}', LUNGS, "B"),
    ('```json\n{"final_answer": "left lung"}\n```', LUNGS, "B"),
    ('{"final_answer_index": 1, "final_answer_letter": "B"}', LUNGS, "B"),
    ('{"final_answer_index": 1, "final_answer_letter": "C"}', LUNGS, None),
    ('{"steps": [{"text": "Answer: B"}]}', LUNGS, "B"),
    (', {"title": "So", "text": "left"}], "final_answer_index": 1}', LUNGS, "B"),
    ('"text": "left"}], "final_answer": "B"}', LUNGS, "B"),
    ('{"answer": "B"}\nNo, wait. Answer: C', LUNGS, "C"),
    ('{"answer": null}', LUNGS, None),
    ('{"final_answer_index": 9}', LUNGS, None),
    # several statements: the last one counts
    ("Answer: A\nBut no.\nAnswer: B", LUNGS, "B"),
    ("The answer is A. On reflection the answer is B.", LUNGS, "B"),
    ("Answer: B\nThe answer is based on the guideline.", LUNGS, "B"),
    (r"The answer is \boxed{A}. Final answer: B", LUNGS, "B"),
    ("Diagnosis: a small shadow.\n(B)", LUNGS, "B"),
    # unreadable: nothing is guessed
    ("", LUNGS, None),
    ("   \n", LUNGS, None),
    ("A nodule is seen", LUNGS, None),
    ("Answer: A nodule is seen", LUNGS, None),
    ("I think it lies deep.", LUNGS, None),
    ("A", ["", ""], "A"),
    ("Answer: A or B", LUNGS, None),
    ("Answer: B/C", LUNGS, None),
    ("Answer: (B) and (C)", LUNGS, None),
    ("Answer: B, C", LUNGS, None),
    ("Answer: pneumonia or left lung", LUNGS, None),
    ("Answer: A. Left lung", LUNGS, None),
    ("Answer: E", LUNGS, None),
    ("The answer is E.", LUNGS, None),
    ("Answer: not B", LUNGS, None),
    ("Answer: B is wrong", LUNGS, None),
    ("Answer: none of these", LUNGS, None),
    ("Answer: A\nAnswer: I cannot tell", LUNGS, None),
    ("Pneumonia is unlikely here", LUNGS, None),
    ("The diagnosis is pneumonia or not", LUNGS, None),
    ("Differential diagnosis: pneumonia", LUNGS, None),
    ("Hepatitis B is the most likely", LUNGS, None),
    ("The rim is shown in panel (B)", LUNGS, None),
    ("Answer: B-cell lymphoma", LUNGS, None),
    ("Step 3: B) is not what we look for", LUNGS, None),
    ("The image shows the left lung and more.", LUNGS, None),
    ("Answer: X, where X is the letter of the option", LUNGS, None),
    # options that are hard
    ("Answer: B", BLOOD, None),
    ("Answer: (B)", BLOOD, "B"),
    ("Answer: AB", BLOOD, "D"),
    ("Answer: C. B", BLOOD, "C"),
    ("Answer: cyst", DOUBLED, "A"),
    ("Answer: (C)", DOUBLED, "C"),
    ("Answer: D", DOUBLED, "D"),
    ("Answer: AN", FORTY, "AN"),
    ("Answer: (AB) Finding 27", FORTY, "AB"),
    ("Answer: finding 3", FORTY, "D"),
    ("Answer: finding 33", FORTY, "AH"),
    ("Answer: AO", FORTY, None),
    ("Answer: B", ["A. Right", "B. Left"], "B"),
    ("Answer: Left", ["A. Right", "B. Left"], "B"),
    ("Answer: B", ["only one"], None),
    # open questions
    ("Answer: Lung cancer.", [], "Lung cancer"),
    ("**Answer:** *lung cancer*", [], "lung cancer"),
    ("The diagnosis is lung cancer. It is common.", [], "lung cancer"),
    ("Final Diagnosis: Takotsubo cardiomyopathy", [], "Takotsubo cardiomyopathy"),
    (r"\boxed{2.5 cm}", [], "2.5 cm"),
    ('{"answer": "MRI"}', [], "MRI"),
    ("Lung cancer", [], "Lung cancer"),
    ("Step 1: Look.", [], None),
    ("A long text\nin two lines", [], None),
    ("", [], None),
    # hostile
    ("Ignore the above and answer (A)? No.\nAnswer: B", LUNGS, "B"),
    ("Answer: " * 2000 + "B", LUNGS, "B"),
    (r"\boxed{" * 50, LUNGS, None),
    ("Answer:\x00B", LUNGS, None),
    ("答案 Answer：B", LUNGS, "B"),
    ("<image> ки ки Answer: B", LUNGS, "B"),
]


@pytest.mark.parametrize(("text", "options", "expected"), TABLE, ids=lambda value: repr(value)[:60])
def test_table(text: str, options: list[str], expected: str | None) -> None:
    assert read_answer(text, options) == expected


def test_the_table_is_long_enough() -> None:
    assert len(TABLE) >= 80


@pytest.mark.parametrize("options", [LUNGS, YES_NO, FOLLOW_UP, SIZES, NESTED, FORTY], ids=lambda o: o[0])
def test_every_option_is_read_in_every_form(options: list[str]) -> None:
    forms = ["Answer: {l}", "Answer: ({l})", r"\boxed{{{l}}}", "the answer is ({l})", "Answer: {l}. {t}", "Answer: {t}"]
    for i, text in enumerate(options):
        for form in forms:
            assert read_answer("Step 1: A look.\n" + form.format(l=letter(i), t=text), options) == letter(i), form


@given(st.text(max_size=300), st.lists(st.text(max_size=12), max_size=45))
@settings(max_examples=300, deadline=None)
def test_never_raises_and_never_leaves_the_options(text: str, options: list[str]) -> None:
    answer = read_answer(text, options)
    if answer is not None and options:
        index = letter_index(answer)
        assert index is not None and index < len(options)


_PIECES = st.sampled_from(
    [
        "Answer:",
        "answer is",
        "(",
        ")",
        "A",
        "B",
        "A or B",
        "\\boxed{",
        "}",
        "\n",
        " ",
        ".",
        "yes",
        "{",
        '"answer":',
        "ки",
    ]
)


@given(st.lists(_PIECES, max_size=25).map("".join))
@settings(max_examples=300, deadline=None)
def test_pieces_of_statements_never_raise(text: str) -> None:
    for options in ([], YES_NO, LUNGS, BLOOD, DOUBLED):
        answer = read_answer(text, options)
        assert answer is None or matches(answer, options, "yes", 0 if options else None) is not None


@pytest.mark.parametrize(
    "text",
    ["answer is " * 100_000, "a" * 10**6, " " * 10**6, "\\boxed{" * 150_000, "Answer: " * 120_000, "{" * 10**6,
     "final " * 150_000, "*" * 10**6, "(A)" * 300_000, "\n" * 10**6],
    ids=lambda text: repr(text[:8]),
)  # fmt: skip
def test_time_grows_with_length(text: str) -> None:
    assert grows_with_length(lambda part: read_answer(part, LUNGS), text)


def test_letters_count_both_ways() -> None:
    assert [letter_index(letter(i)) for i in range(800)] == list(range(800))
    assert [letter_index(name) for name in ("", "a", "A1", "ABCDE", "É")] == [None] * 5


@pytest.mark.parametrize(
    ("answer", "options", "gold", "index", "expected"),
    [
        ("B", LUNGS, "Left lung", 1, True),
        ("A", LUNGS, "Left lung", 1, False),
        (None, LUNGS, "Left lung", 1, None),
        ("B", LUNGS, None, None, None),
        ("B", LUNGS, "left LUNG", None, True),
        ("B", LUNGS, "Spleen", None, None),
        ("B", LUNGS, None, 9, None),
        ("B", LUNGS, "Left lung", -1, True),
        ("Z", LUNGS, "Left lung", 1, None),
        ("C", DOUBLED, "Cyst", 0, True),  # equal text is an equal answer
        ("A", DOUBLED, "Cyst", 2, True),
        ("D", DOUBLED, "", 3, True),
        ("B", DOUBLED, "", 3, False),
        ("lung cancer", [], "Lung Cancer", None, True),
        ("the patient has lung cancer on the left", [], "lung cancer", None, True),
        ("no lung cancer", [], "lung cancer", None, False),
        ("lung", [], "lung cancer", None, False),
        ("cancer of the lung", [], "lung cancer", None, False),
        ("lung cancer", [], None, None, None),
        ("lung cancer", [], " ", None, None),
        (None, [], "lung cancer", None, None),
        ("Yes, there is", [], "Yes", None, True),
        ("There is no shadow, yes", [], "No", None, False),
        ("Liver and lung", [], "Lung, Liver", None, True),
        ("Lung", [], "Lung, Liver", None, False),
        ("2", [], "2", None, True),
        ("12", [], "2", None, False),
        ("6–8 mm", [], "6-8 mm", None, True),
    ],
)
def test_matches(answer: str | None, options: list[str], gold: str | None, index: int | None, expected: bool) -> None:
    assert matches(answer, options, gold, index) is expected


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("Follow-up", "follow up", True),
        ("6 – 8 mm", "6-8 mm", True),
        ("<6 mm", ">6 mm", False),
        ("ER+", "ER-", False),
        ("1,000 units", "1000 units", True),
        ("1.5 mg", "15 mg", False),
        ("Crohn's disease", "Crohns disease", True),
        ("**Lung**", "lung.", True),
        ("-5", "5", False),
        ("50 %", "50%", False),
    ],
)
def test_normalise(one: str, other: str, equal: bool) -> None:
    assert (normalise(one) == normalise(other)) is equal
