"""Estimates: published costs done again, arithmetic on a recipe by hand, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medprm_hf.backends.money.prices import PriceTable
from medprm_hf.errors import ConfigError
from medprm_hf.labels.monte_carlo import ESTIMATORS
from medprm_hf.recipe import Recipe, parse
from medprm_hf.runs.costs import Range, Work, money_range, spread, total
from medprm_hf.runs.costs_commands import read_assumptions, show_estimate, show_published
from medprm_hf.runs.estimate import as_dict, estimate, model_of
from medprm_hf.runs.published import PUBLISHED
from medprm_hf.runs.rollout_counts import rollout_counts
from medprm_hf.specs import RolloutSpec


@pytest.mark.parametrize(
    ("name", "low", "high", "within"),
    [
        ("Med-PRM labels", 20, 20, 0.03),
        ("VisualProcessBench annotation", 1443, 1443, 0.0),
        ("hybrid labels", 620, 620, 0.0),
        ("10,000 questions", 3900, 4300, 0.0),
    ],
)
def test_published_costs_are_done_again(name: str, low: float, high: float, within: float) -> None:
    figure = next(figure for figure in PUBLISHED if figure.name == name)
    usd = figure.usd(PriceTable())
    assert usd is not None
    assert figure.stated == (low, high)
    assert usd.low == pytest.approx(low, rel=within or 1e-6)
    assert usd.high == pytest.approx(high, rel=within or 1e-6)
    assert all(each.how.startswith(("published", "chosen", "follows", "gemini")) for each in figure.assumptions)


def test_the_hybrid_stands_beside_experts_alone() -> None:
    figure = next(figure for figure in PUBLISHED if figure.name == "hybrid labels")
    assert figure.beside_usd(PriceTable()) == spread(5000.0)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [
        {"question_id": f"q{i}", "question": "Follow-up?", "options": ["none", "CT"], "answer": "CT"} for i in range(10)
    ]
    file = tmp_path / "questions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def recipe(table: Path, *settings: str, **sections: Any) -> Recipe:
    plain = {
        "source": {"name": "table", "path": str(table)},
        "stages": ["questions", "generate", "rollout", "judge", "merge", "select"],
        "generate": {"solutions": 2},
        "rollout": {"k": 4},
        **sections,
    }
    return parse(plain, settings)


KNOWN = {
    "steps": spread(5),
    "step_tokens": spread(40),
    "asks": spread(1),
    "solve_prompt": spread(180),
    "judge_prompt": spread(525),
    "verdict_tokens": spread(50),
    "rollouts": spread(16),
}


def test_the_sum_by_hand(table: Path) -> None:
    found = estimate(recipe(table), KNOWN)
    works = {work.stage: work for work in found.works}
    generate, rollout, judge = works["generate"], works["rollout"], works["judge"]
    assert generate.units == spread(20)
    assert generate.tokens()[1] == spread(20 * (5 * 40 + 20))
    assert rollout.units == spread(320)
    assert rollout.tokens()[1].likely == 320 * (100 + 20)
    assert rollout.tokens()[0].likely == 20 * 4 * (180 + 20 + 100)  # one request a prefix, the last one answers itself
    assert judge.tokens() == (spread(20 * (525 + 5 * 55)), spread(20 * (5 * 50 + 20)))
    by_hand = 20 * (800 * 0.15 + 270 * 0.60) / 1e6
    usd = judge.usd(found.prices)
    assert usd is not None
    assert usd.likely == pytest.approx(by_hand)
    assert found.labels == spread(100)
    assert found.all_expert == spread(50.0)
    assert found.usd is not None and found.per_label is not None and found.all_rollout is not None
    assert found.per_label.likely == pytest.approx(found.usd.likely / 100)
    assert found.all_rollout.likely == pytest.approx(rollout.usd(found.prices).likely)  # type: ignore[union-attr]


def test_every_figure_is_said_with_where_it_is_from(table: Path) -> None:
    found = estimate(recipe(table))
    names = {each.name: each for each in found.assumptions}
    assert names["questions"].value == spread(10)
    assert "measured on 10 rows" in names["solve_prompt"].how
    assert "measured on 10 rows" in names["judge_prompt"].how
    assert all(each.how for each in found.assumptions)
    assert found.usd is not None
    assert 0 < found.usd.low < found.usd.likely < found.usd.high
    assert json.loads(json.dumps(as_dict(found)))["prices_date"] == found.prices.date


def test_unknown_and_local_are_never_zero(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unknown = recipe(table, generate={"backend": "openai:gpt-99"})
    found = show_estimate(unknown)
    assert found.usd is None
    assert found.per_label is None
    said = " ".join(capsys.readouterr().out.split())
    assert "in all unknown" in said
    assert "no price is known for openai:gpt-99" in said
    local = recipe(
        table,
        stages=["questions", "generate", "rollout", "merge", "select"],
        generate={"backend": "openai:q?base_url=http://127.0.0.1:8000/v1"},
        rollout={"backend": "phantom:policy"},
        merge={"policy": "value"},
    )
    show_estimate(local)
    said = capsys.readouterr().out
    assert "local" in said
    assert "no review stage" in said


def test_prices_of_the_recipe_count(table: Path) -> None:
    priced = recipe(table, generate={"backend": "openai:gpt-99"}, prices={"openai:gpt-99": {"input": 1, "output": 1}})
    assert estimate(priced).usd is not None


def test_evidence_and_review_cost(table: Path) -> None:
    stages = ["questions", "generate", "rollout", "judge", "merge", "review", "select"]
    found = estimate(recipe(table, stages=stages, review={"reviewer": "people"}), KNOWN | {"doubtful": spread(0.3)})
    review = next(work for work in found.works if work.stage == "review")
    assert review.usd(found.prices) == pytest.approx(spread(100 * 0.3 * 0.5))
    simulated = estimate(recipe(table, stages=stages), KNOWN)
    assert next(work for work in simulated.works if work.stage == "review").usd(simulated.prices) == spread(0.0)


def test_images_are_counted_by_the_provider_s_rule() -> None:
    stages = ["questions", "generate", "judge", "merge", "select"]
    plain = {"source": {"name": "phantom", "split": "test", "n": 5}, "stages": stages}
    tokens = {}
    for model in ("openai:gpt-4o-mini", "openai:gpt-4o", "gemini:gemini-2.5-flash"):
        sections = {name: {"backend": model} for name in ("generate", "judge", "rollout")}
        found = estimate(parse({**plain, **sections, "merge": {"policy": "judge"}}))
        tokens[model] = next(each.value.likely for each in found.assumptions if each.name == f"image_tokens {model}")
    assert tokens == {"openai:gpt-4o-mini": 8500, "openai:gpt-4o": 255, "gemini:gemini-2.5-flash": 258}


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_rollout_counts_of_every_estimator(name: str) -> None:
    found = rollout_counts(RolloutSpec(estimator=name, k=8), steps=6.0, wrong=0.4)
    assert 0 < found.requests <= found.rollouts <= 8 * 5


def test_fixed_rollouts_are_k_a_prefix_but_the_last() -> None:
    found = rollout_counts(RolloutSpec(estimator="fixed", k=8), steps=6.0, wrong=0.4)
    assert (found.rollouts, found.requests) == (40, 5)
    assert rollout_counts(RolloutSpec(estimator="fixed", k=8, early_stop=True), 6.0, 1.0).rollouts < 40


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["stps=7"], "no such figure; did you mean steps"),
        (["steps"], "NAME=NUMBER"),
        (["steps=1:2"], "NAME=NUMBER"),
        (["steps=-1"], "NAME=NUMBER"),
        (["steps=many"], "NAME=NUMBER"),
    ],
)
def test_assumptions_that_cannot_be_used(table: Path, given: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        estimate(recipe(table), read_assumptions(given))


def test_assumptions_are_read() -> None:
    assert read_assumptions(["steps=7", "asks=1:2:3"]) == {"steps": spread(7), "asks": Range(1, 2, 3)}


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("openai:gpt-4o", ("openai:gpt-4o", False, False)),
        ("openai:gpt-4o?batch=1", ("openai:gpt-4o", False, True)),
        ("openai:Qwen/Q?base_url=http://127.0.0.1:8000/v1", ("openai:Qwen/Q", True, False)),
        ("openai:x?base_url=https://api.somebody.ai/v1", ("openai:x", False, False)),
        ("phantom:policy", ("phantom:policy", True, False)),
        ("simulated-judge:error=0.15", ("simulated-judge:error=0.15", True, False)),
    ],
)
def test_what_a_spec_names(spec: str, found: tuple[str, bool, bool]) -> None:
    assert model_of(spec, PriceTable()) == found


def test_batch_halves(table: Path) -> None:
    one = Work("judge", "verdict", spread(10), "openai:gpt-4o", prompt_tokens=spread(1000))
    two = Work("judge", "verdict", spread(10), "openai:gpt-4o", batch=True, prompt_tokens=spread(1000))
    prices = PriceTable()
    assert total([one], prices) == total([two, two], prices)
    assert money_range(total([one], prices)) == "$0.025"


def test_the_published_costs_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    show_published()
    assert "published $1,443, here $1,443.00" in capsys.readouterr().out
    show_published(as_json=True)
    assert len(json.loads(capsys.readouterr().out)) == 4
