"""The judge stage with scripted judges: votes, retries, citations, premises, images, P(+), the hidden gold answer."""

from __future__ import annotations

import base64
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import medprm_hf.stages.judge as stage_file
from medprm_hf.backends.protocol import Completion, Failure, Request
from medprm_hf.backends.scripted import Rule, ScriptedBackend
from medprm_hf.errors import ConfigError
from medprm_hf.phantom.simulated import SimulatedJudge
from medprm_hf.recipe import parse
from medprm_hf.schema import features, written_by
from medprm_hf.stages.judge import Judge
from medprm_hf.stages.rollout import Rollout

STEPS = ["A thick rim is seen.", "It is an abscess."]
Table = dict[str, list[Any]]


def png(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8), shade).save(file, "PNG")
    return file.getvalue()


def table(**more: Any) -> Table:
    """One solution; `more` replaces columns."""
    row: dict[str, Any] = {
        "question_id": "q1", "image": {"bytes": png(10)}, "question": "What is it?", "options": [],
        "answer": "Metastasis", "clinical_context": None, "solution_id": "q1-s0", "steps": STEPS, "errors": [],
    }  # fmt: skip
    return {name: [value] for name, value in {**row, **more}.items()}


def verdicts(labels: str, **more: Any) -> str:
    return json.dumps({"steps": [{"step": n, "label": label, **more} for n, label in enumerate(labels, start=1)]})


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Any:
    """judged(script or {name: script}, table, **settings) -> (added columns of the one row, requests)."""

    def run(script: Rule | dict[str, Rule], rows: Table, **settings: Any) -> tuple[dict[str, Any], list[Request]]:
        scripts = script if isinstance(script, dict) else {"judge": script}
        opened = {name: ScriptedBackend(rule, model=name) for name, rule in scripts.items()}
        monkeypatch.setattr(stage_file, "open_backend", opened.__getitem__)
        names = {"backends": tuple(scripts)} if len(scripts) > 1 else {"backend": "judge"}
        added = Judge(**names, **settings)(rows)
        assert set(added) == {*written_by("judge"), "errors"}
        return {name: values[0] for name, values in added.items()}, [r for one in opened.values() for r in one.asked]

    return run


def kinds(row: dict[str, Any]) -> list[str]:
    return [error["kind"] for error in row["errors"]]


# --- the hidden gold answer ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{}, {"per": "step"}, {"mode": "premise"}, {"samples": 3, "temperature": 0.7}], ids=str
)
def test_the_gold_answer_reaches_no_request_unless_asked_for(judged: Any, settings: dict[str, Any]) -> None:
    def prose(request: Request, place: int) -> str:
        return "I would rather talk."  # every retry is asked, too

    for shown in (False, True):
        row, asked = judged(prose, table(answer_index=[None]), show_gold=shown, **settings)
        texts = [message.text for request in asked for message in request.messages]
        assert len(asked) >= 2 and any("Metastasis" in text for text in texts) == shown
        assert "Metastasis" not in json.dumps([dict(request.about) for request in asked])
        assert row["judge"]["gold_shown"] == shown


def test_which_option_is_gold_changes_nothing_that_is_sent(judged: Any) -> None:
    options = ["Cyst", "Abscess", "Metastasis", "Haematoma"]
    sent = []
    for index, answer in enumerate(options):
        rows = table(options=options, answer=answer, answer_index=index, is_correct=index == 1, final_answer="B")
        sent.append(judged(lambda r, p: verdicts("++"), rows)[1])
    assert all(requests == sent[0] for requests in sent)
    prompt = sent[0][0].messages[0].text
    assert [prompt.index(f"{letter}. {option}") for letter, option in zip("ABCD", options, strict=True)] == sorted(
        prompt.index(option) for option in (f"{letter}. {o}" for letter, o in zip("ABCD", options, strict=True))
    )


# --- votes ---------------------------------------------------------------------------------------------------


def test_samples_vote_and_every_ballot_is_kept(judged: Any) -> None:
    answers = ["+-", "++", "+-", "?-", "00"]
    row, asked = judged(lambda r, place: verdicts(answers[place]), table(), samples=5, temperature=0.7, retries=0)
    assert (row["judge_labels"], row["judge_ballots"]) == (["+", "-"], [list("+++?0"), list("-+--0")])
    assert row["judge_confidence"] == ["medium", "medium"]
    assert row["judge_votes"][0] == {"right": 3, "wrong": 0, "neutral": 1, "unread": 1, "share": 0.6}
    assert len(asked) == 1 and asked[0].n == 5 and row["judge"]["voters"] == ["judge"] * 5
    assert kinds(row) == ["unparsed"]


def test_several_judges_vote_and_a_tie_is_unknown(judged: Any) -> None:
    scripts = {"a": lambda r, p: verdicts("++"), "b": lambda r, p: verdicts("+-")}
    row, asked = judged(scripts, table())
    assert row["judge_labels"] == ["+", "?"] and row["judge_confidence"] == ["high", None]
    assert row["judge_reasons"][1] == "unread: a tie: 1 + and 1 -"
    assert (row["judge"]["model"], row["judge"]["voters"]) == ("a, b", ["a", "b"])
    assert [request.key for request in asked] == ["q1-s0/judge", "q1-s0/judge2"]


def test_a_judge_that_fails_is_no_vote(judged: Any) -> None:
    scripts = {"a": lambda r, p: Failure("timeout", "120 s"), "b": lambda r, p: verdicts("+-")}
    row, _ = judged(scripts, table())
    assert row["judge_labels"] == ["+", "-"] and row["judge_confidence"] == ["low", "low"] and kinds(row) == ["timeout"]


def test_settings_that_cannot_work_are_refused() -> None:
    for section, said in (
        ({"samples": 5}, "the same answer 5 times"),
        ({"backends": ["scripted:x:y", "scripted:x:y"]}, "names one twice"),
    ):
        with pytest.raises(ConfigError, match=said):
            parse({"judge": section})
    with pytest.raises(ConfigError, match="judge before rollout"):
        parse({"rollout": {"where": "unsure"}})
    with pytest.raises(ConfigError, match="estimator=bisect"):
        Rollout(where="unsure", estimator="bisect").estimator_settings()


# --- broken answers ------------------------------------------------------------------------------------------

BROKEN = {
    "prose": ("The first is fine, the second is -.", "??", "no verdicts in JSON"),
    "few": (verdicts("+"), "+?", "no verdict for this step"),
    "many": (verdicts("+++"), "??", "a verdict for step 3 of 2"),
    "both": (verdicts("+").replace('"+"', '"+/-"'), "??", "label '+/-' is none of + - 0"),
    "cut": ('{"steps": [{"step": 1, "label": "+"}, {"step": 2, "la', "+?", "no verdict for this step"),
    "empty": ("", "??", "no verdicts in JSON"),
    "array": ("[1, 2]", "??", "no verdicts in JSON"),
    "html": ("<b>+</b><i>-</i>", "??", "no verdicts in JSON"),
    "number": ('{"steps": [{"step": 1, "label": 7}, {"step": 2, "label": null}]}', "??", "label '7' is none of + - 0"),
    "repeated": (verdicts("+-").replace('"step": 2', '"step": 1'), "??", "verdicts that disagree: + and -"),
    "deep": ("[" * 9000, "??", "no verdicts in JSON"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_answers_stay_unread_and_are_asked_for_once_more(judged: Any, name: str) -> None:
    answer, labels, reason = BROKEN[name]
    row, asked = judged(lambda r, p: answer, table())
    assert ("".join(row["judge_labels"]), kinds(row)) == (labels, ["unparsed"])
    assert reason in row["judge_reasons"][labels.index("?")]
    first, again = asked
    assert again.messages[0] == first.messages[0] and reason in again.messages[2].text and again.n == 1
    assert again.messages[1].text == (answer[:4000] or "(nothing)") and again.schema == first.schema
    assert row["judge"]["repaired"] == 0


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("per", ["solution", "step"])
def test_a_mended_answer_is_taken_and_no_error_stays(judged: Any, name: str, per: str) -> None:
    def mends(request: Request, place: int) -> str:
        if len(request.messages) == 1:
            return BROKEN[name][0] if per == "solution" else "prose"
        only = request.about.get("only")
        return verdicts("+-") if only is None else json.dumps({"step": only, "label": "+-"[only - 1]})

    row, asked = judged(mends, table(), per=per)
    assert row["judge_labels"] == ["+", "-"] and kinds(row) == []
    assert row["judge"]["repaired"] == (1 if per == "solution" else 2) == len(asked) / 2


def test_a_worse_second_answer_and_a_failed_retry_change_nothing(judged: Any) -> None:
    for second in ("prose", Failure("timeout", "120 s")):
        row, _ = judged(lambda r, p, s=second: s if len(r.messages) > 1 else verdicts("+"), table(), retries=2)
        assert row["judge_labels"] == ["+", "?"]
    assert judged(lambda r, p: "prose", table(), retries=0)[1][1:] == []


def test_a_failed_request_leaves_its_steps_unknown_with_the_reason(judged: Any) -> None:
    def fails_on_two(request: Request, place: int) -> str | Failure:
        return Failure("http_500", "no") if request.about["only"] == 2 else '{"label": "-"}'

    row, _ = judged(fails_on_two, table(), per="step")
    assert row["judge_labels"] == ["-", "?"] and kinds(row) == ["http_500"]
    assert row["judge_reasons"][1] == "unread: no answer (http_500)"


def test_rows_that_cannot_be_judged(judged: Any) -> None:
    row, asked = judged(lambda r, p: verdicts("++"), table(steps=[]))
    assert row["judge_labels"] == [] and not asked
    row, asked = judged(lambda r, p: verdicts("++"), table(image={"bytes": b"no image"}))
    assert row["judge_labels"] == ["?", "?"] and kinds(row) == ["image"] and not asked
    assert row["judge_ballots"] == [[], []] and row["judge_votes"][0]["share"] is None
    row, asked = judged(lambda r, p: verdicts("++"), table(image=None), mode="premise")
    assert row["judge_labels"] == ["+", "+"] and len(asked) == 1 and row["judge_premises"] == [[], []]


# --- what a verdict holds ------------------------------------------------------------------------------------

EVIDENCE = [
    {"id": "g1", "text": "A thick rim  suggests an abscess.", "source": "s", "license": "l", "score": 1.0},
    {"id": "[2] <x>", "text": "Cysts have thin walls.", "source": "s", "license": "l", "score": 0.5},
]


def test_invented_citations_are_marked_and_sound_ones_kept(judged: Any) -> None:
    said = ["g1", {"id": "2] x", "quote": "thin walls"}, {"id": "passage g1", "quote": "THICK RIM suggests"}, "g7",
            {"id": "g1", "quote": "always malignant"}]  # fmt: skip
    row, _ = judged(lambda r, p: verdicts("++", citations=said), table(evidence=EVIDENCE))
    checks = {(c["id"], c["quote"]): c["status"] for c in row["judge_citation_checks"][0]}
    assert checks == {
        ("[2] <x>", "thin walls"): "quoted", ("g1", "THICK RIM suggests"): "quoted", ("g7", None): "not_given",
        ("g1", "always malignant"): "not_in_passage",
    }  # fmt: skip
    assert sorted(row["judge_citations"][0]) == ["[2] <x>", "g1"]
    assert kinds(row) == ["citation"] * 4 and "step 1 cites 'g7': not_given" in [e["message"] for e in row["errors"]]
    row, _ = judged(lambda r, p: verdicts("++", citations=["g1"]), table())
    assert row["judge_citations"] == [[], []]  # no passage was shown


def test_every_field_reaches_its_column(judged: Any) -> None:
    more = {
        "checks": {"follows": "+", "medical": "-", "image": "0"}, "correction": "It is a cyst.", "confidence": "low",
        "error": "Factual error", "reason": "thin wall",
    }  # fmt: skip
    row, _ = judged(lambda r, p: verdicts("+-", **more), table())
    assert row["judge_checks"][1] == {"follows": "+", "medical": "-", "image": "0"}
    assert (row["judge_corrections"][1], row["judge_errors"][1]) == ("It is a cyst.", "factual_error")
    assert (row["judge_confidence"], row["judge_reasons"][1]) == (["low", "low"], "thin wall")
    told = {name: [row[name]] for name in written_by("judge")}
    from datasets import Dataset

    kept = Dataset.from_dict(told, features=features(written_by("judge")))[0]
    assert kept["judge"] == row["judge"] and kept["judge_votes"] == row["judge_votes"]


def test_p_plus_of_the_label_tokens(judged: Any) -> None:
    tokens = ['{"steps":[{"step":1,"label":"', "+", '"},{"step":2,"label":"', "-", '"}]}']
    top = [{"+": math.log(0.8), "-": math.log(0.1)}, {"-": math.log(0.6), "+": math.log(0.4)}]
    listed = tuple({"+": top[0], "-": top[1]}.get(token, {token: -0.01}) for token in tokens)
    drawn = tuple(candidates[token] for token, candidates in zip(tokens, listed, strict=True))
    answer = Completion("".join(tokens), "stop", 5, drawn, listed)
    row, asked = judged(lambda r, p: answer, table())
    assert row["judge_p_plus"] == pytest.approx([0.8 / 0.9, 0.4]) and asked[0].logprobs == 5
    row, asked = judged(lambda r, p: verdicts("+-"), table(), logprobs=0)
    assert row["judge_p_plus"] == [None, None] and asked[0].logprobs == 0


def test_prompts_have_fingerprints(judged: Any) -> None:
    prints = {
        judged(lambda r, p: verdicts("++"), table(), **settings)[0]["judge"]["prompt"]
        for settings in ({}, {"criteria": "Is the side right?"}, {"per": "step"}, {"mode": "premise"})
    }
    assert len(prints) == 4


# --- images and premises -------------------------------------------------------------------------------------


def test_images_of_similar_cases_follow_the_patient_s(judged: Any, tmp_path: Path) -> None:
    for name, shade in (("c1", 50), ("c3", 90)):
        (tmp_path / f"{name}.png").write_bytes(png(shade))
    lines = [{"question_id": n, "image": f"{n}.png", "question": "?", "answer": "Cyst"} for n in ("c1", "c3")]
    (tmp_path / "cases.jsonl").write_text("\n".join(map(json.dumps, lines)))
    cases = [{"question_id": n, "diagnosis": "Cyst", "similarity": 0.9} for n in ("c1", "c2", "c3")]
    settings = {"cases": str(tmp_path / "cases.jsonl"), "case_images": 2}
    _, (asked,) = judged(lambda r, p: verdicts("++"), table(similar_cases=cases), **settings)
    assert asked.messages[0].images == (png(10), png(50), png(90))
    assert "those of similar case 1, 3." in asked.messages[0].text
    _, (asked,) = judged(lambda r, p: verdicts("++"), table(similar_cases=cases))
    assert asked.messages[0].images == (png(10),)


def test_premises_are_listed_blind_and_checked_alone_before_the_verdict(judged: Any) -> None:
    def looks(request: Request, place: int) -> str:
        if request.about.get("asks") == "claims":
            return json.dumps({"steps": [{"step": 1, "claims": ["a thick rim", "a second lesion"]}]})
        if request.about.get("asks") == "seen":
            return json.dumps({"seen": "yes" if "thick rim" in request.messages[0].text else "no", "reason": "."})
        return verdicts("-+")

    rows = {name: values * 2 for name, values in table().items()} | {"solution_id": ["q1-s0", "q1-s1"]}
    row, asked = judged(looks, rows, mode="premise")
    lists, seen, verdict = asked[:2], asked[2:4], asked[4:]
    assert row["judge_premises"] == [
        [{"claim": "a thick rim", "seen": "+"}, {"claim": "a second lesion", "seen": "-"}], [],
    ]  # fmt: skip
    assert all(request.messages[0].images == () for request in lists)
    assert len(seen) == 2  # two solutions claim the same of one image: asked once
    for request in seen:
        text = request.messages[0].text
        assert request.messages[0].images == (png(10),)
        assert not any(other in text for other in ("What is it?", "abscess", STEPS[0]))
    assert all("a second lesion: the image does not show this" in r.messages[0].text for r in verdict)
    assert row["judge"]["mode"] == "premise" and len(verdict) == 2


def test_premises_that_cannot_be_read_leave_the_verdict_standing(judged: Any) -> None:
    row, asked = judged(lambda r, p: "prose" if "asks" in r.about else verdicts("+-"), table(), mode="premise")
    assert row["judge_labels"] == ["+", "-"] and kinds(row) == ["unparsed"]
    assert len(asked) == 3  # the list, once more, and the verdict
    simulated = SimulatedJudge().complete([Request((), about={"question_id": "phantom-test-000001", "asks": "claims"})])
    assert isinstance(simulated[0].places[0], Failure)


def test_a_consultation_s_earlier_turns_are_shown(judged: Any) -> None:
    turns = [{"role": "user", "text": "My side hurts."}, {"role": "assistant", "text": "Since when?"}]
    _, (asked,) = judged(lambda r, p: verdicts("++"), table(turns=turns))
    assert "turn 2 of the assistant>\nSince when?" in asked.messages[0].text


# --- with other stages ---------------------------------------------------------------------------------------


def test_the_simulated_judge_answers_samples_and_single_steps() -> None:
    rows = table(question_id="phantom-test-000001", image=None, steps=["Nodules: one.", "Type: solid.", "Answer: B."])
    many = Judge(backend="simulated-judge:error=0.4", samples=9, temperature=0.7)(rows)
    assert len({tuple(ballot) for ballot in zip(*many["judge_ballots"][0], strict=True)}) > 1
    step = Judge(backend="simulated-judge:error=0.15", per="step")(rows)
    assert set(step["judge_labels"][0]) <= {"+", "-"} and step["errors"] == [[]]


def test_judge_first_samples_only_where_the_judge_is_unsure() -> None:
    rows = table(
        steps=["A nodule is seen.", "It is solid.", "It measures 7 mm.", "Answer: B"], options=["x", "y"], answer="y",
        answer_index=1, solution="", final_answer="B", is_correct=True, turns=None, image=None,
        judge_labels=["+", "?", "-", "+"], judge_confidence=["high", None, "low", "high"],
    )  # fmt: skip
    done = Rollout(backend="scripted:tests.stages.scripts:solver", k=4, where="unsure")(rows)
    assert done["rollout_total"][0] == [0, 4, 4, 0] and done["expected_accuracy"][0][0] is None
    every = Rollout(backend="scripted:tests.stages.scripts:solver", k=4)(rows)
    assert every["rollout_total"][0][0] == 4 and every["rollout_correct"][0][1:3] == done["rollout_correct"][0][1:3]
    without = {name: values for name, values in rows.items() if not name.startswith("judge")}
    with pytest.raises(ConfigError, match="put judge before rollout"):
        Rollout(backend="scripted:tests.stages.scripts:solver", k=4, where="unsure")(without)


def test_images_are_sent_as_they_are(judged: Any) -> None:
    _, (asked,) = judged(lambda r, p: verdicts("++"), table())
    assert base64.b64encode(asked.messages[0].images[0]) == base64.b64encode(png(10))
