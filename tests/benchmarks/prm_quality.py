"""What a PRM is worth, by what its labels were: the phantom world end to end, from the policy's solutions to Best-of-8.

    python tests/benchmarks/prm_quality.py --json            the full set: 1,200 questions x 4, seeds 0 1 2, hours
    python tests/benchmarks/prm_quality.py --questions 100 --training 200 --seeds 0 --only hybrid

For each label set (`prm_labels.py`) and seed a PRM is trained from the shipped base; a seed changes training questions,
their solutions, rollouts, verdicts, the expert and the order of training. All are measured on the same solutions of
other questions: 8 each, sampled once. Truth is used for measuring alone, and for the set called `truth`, the ceiling.

    macro_f1             of steps, threshold fixed on development labels; interval: questions resampled
    ece                  15 bins of equal width, of P(right) against the truth
    location_f1          F1 of wrong on the steps that say where the nodule lies, which rollouts cannot see
    best_of_8_HOW        share of right answers of the highest response score; vote_HOW: weighted vote
    over_majority_HOW    best_of_8 less the majority's share, paired by question

Beside them pass@1, majority, pass@8, the step-index prior (of the training truth), and `base_logprob`: no PRM at all,
the base model's own log-probability of each step. Means over seeds. Trained checkpoints stay in --cache, so that a run
that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from medprm_hf.labels.aggregate import aggregate, best_of_n, majority, weighted_vote
from medprm_hf.labels.agreement import _macro, apply_prior, confusion, error_recall, fit_prior, percentiles, resample
from medprm_hf.labels.scaling import best_threshold
from medprm_hf.scoring.layout import Layout
from medprm_hf.scoring.settings import LayoutSettings, load_settings
from medprm_hf.specs_train import TrainSpec
from medprm_hf.training.calibrate import logits_of
from medprm_hf.training.data import Batcher, Survey, examples_of
from medprm_hf.training.models import load_model, load_processor, model_path
from medprm_hf.training.run import train

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks.prm_labels import SETS, Row, labelled, table, truth_of  # noqa: E402

AGGREGATORS = ("mean", "min", "last")
LAYOUT: dict[str, Any] = {
    "system": "", "question_head": "", "process_head": "", "numbered": False, "solution_by": "assistant",
    "marker": "\n\n",
}  # fmt: skip
"""The base model's own way of writing: solution in the assistant's turn, its blank line as the marker."""
GOALS = {"macro_f1": 0.88, "ece": 0.05, "location_f1": 0.8, "over_majority_last": 0.15}
Scores = list[list[float]]


def spec_of(name: str, seed: int, epochs: float) -> TrainSpec:
    """How every PRM of the benchmark is trained."""
    return TrainSpec(
        form="marker",
        model="phantom:base",
        loss="hard" if name in ("truth", "judge", "rollouts") else "soft",
        epochs=epochs,
        lr=1.5e-3,
        batch=16,
        accumulate=1,
        freeze=("visual",),
        layout=LAYOUT,
        trainer={"bf16": True, "disable_tqdm": True, "logging_steps": 100},
        development=0.1,
        seed=seed,
    )


def prm_scores(folder: Path, rows: Sequence[Row]) -> tuple[Scores, float]:
    """(calibrated P(right) of each step of each row, the model's threshold)."""
    settings = load_settings(folder)
    layout = Layout.open(load_processor(str(folder)), settings.layout)
    examples = examples_of(labelled("judge", rows_with_judge(rows), 0), TrainSpec(form="marker"), Survey())
    logits = logits_of(load_model(str(folder)), Batcher(layout), examples, batch=32)
    return [settings.scores((one[:, 0] - one[:, 1]).tolist()) for one in logits], settings.threshold


def rows_with_judge(rows: Sequence[Row]) -> list[Row]:
    """Rows that pass as labelled: scoring needs no label, examples do."""
    return [{**row, "judge_labels": ["+"] * len(row["steps"])} for row in rows]


def base_scores(rows: Sequence[Row]) -> Scores:
    """Probability of each step's text under the base model: no PRM at all."""
    import torch

    path = model_path("phantom:base")
    model, processor = load_model(path).eval(), load_processor(path)
    layout = Layout.open(processor, LayoutSettings(form="marker", **LAYOUT))
    examples = examples_of(labelled("judge", rows_with_judge(rows), 0), TrainSpec(form="marker"), Survey())
    found: Scores = []
    for start in range(0, len(examples), 32):
        laid = [layout.lay(example.case) for example in examples[start : start + 32]]
        batch = layout.collate(laid)
        with torch.no_grad():
            surprise = model(**batch).logits[:, :-1].float().log_softmax(-1)
        given = surprise.gather(-1, batch["input_ids"][:, 1:, None])[..., 0]
        for row, one in enumerate(laid):
            starts = [one.shared, *(end + 1 for end in one.positions[:-1])]
            found.append([
                float(given[row, first - 1 : end - 1].sum().exp())
                for first, end in zip(starts, one.positions, strict=True)
            ])  # fmt: skip
    return found


# --- figures -------------------------------------------------------------------------------------------------


class Test:
    """The test solutions, grouped by question."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.truth = [truth_of(row) for row in rows]
        self.labels = [["+" if step.right else "-" for step in truth] for truth in self.truth]
        groups: dict[str, list[int]] = {}
        for i, row in enumerate(rows):
            groups.setdefault(row["question_id"], []).append(i)
        self.groups = list(groups.values())
        self.answers = [row["final_answer"] for row in rows]
        self.gold = [chr(ord("A") + rows[own[0]]["answer_index"]) for own in self.groups]

    def share(self, answers: Sequence[str | None]) -> np.ndarray[Any, Any]:
        """1 where the question's answer is right, (questions,)."""
        return np.array([float(answer == gold) for answer, gold in zip(answers, self.gold, strict=True)])

    def majority(self) -> np.ndarray[Any, Any]:
        """Right by majority vote, (questions,)."""
        return self.share([majority([self.answers[i] for i in own]) for own in self.groups])

    def chosen(self, scores: Scores, how: str, vote: bool) -> np.ndarray[Any, Any]:
        """Right by Best-of-8 or by weighted vote, (questions,)."""
        pick = weighted_vote if vote else best_of_n
        return self.share([
            pick([self.answers[i] for i in own], [aggregate(scores[i], how) for i in own]) for own in self.groups
        ])  # fmt: skip

    def counts(self, said: list[list[str]]) -> np.ndarray[Any, Any]:
        """Confusion by question, (questions, 6)."""
        by_row = confusion(said, self.labels)
        return np.array([by_row[own].sum(0) for own in self.groups])


def figures(test: Test, seeds: Sequence[tuple[Scores, float]]) -> Iterator[tuple[str, float, list[float] | None]]:
    """(metric, mean over seeds, interval) of one label set; `seeds` holds scores and threshold of each."""
    said = [[["+" if p > threshold else "-" for p in row] for row in scores] for scores, threshold in seeds]
    counts = [test.counts(one) for one in said]
    yield "macro_f1", *_mean([float(_macro(one.sum(0))) for one in counts], percentiles(resample(sum(counts), _macro)))
    flat = np.array([[p for row in scores for p in row] for scores, _ in seeds])
    right = np.array([label == "+" for row in test.labels for label in row])
    yield "auc", float(np.mean([roc_auc_score(right, one) for one in flat])), None
    yield "ece", float(np.mean([ece(one, right) for one in flat])), None
    yield "location_f1", float(np.mean([location_f1(test, one) for one in said])), None
    kinds = [[step.kind for step in truth] for truth in test.truth]
    for kind, recall in error_recall(said[0], kinds).items():
        yield f"recall_{kind}", recall.share, None
    baseline = test.majority()
    for how in AGGREGATORS:
        for vote in (False, True):
            hits = np.mean([test.chosen(scores, how, vote) for scores, _ in seeds], axis=0)
            yield f"{'vote' if vote else 'best_of_8'}_{how}", float(hits.mean()), interval(hits)
            if not vote:
                yield f"over_majority_{how}", float((hits - baseline).mean()), interval(hits - baseline)


def _mean(values: list[float], spread: list[float] | None) -> tuple[float, list[float] | None]:
    return float(np.mean(values)), spread


def interval(per_question: np.ndarray[Any, Any], resamples: int = 2000) -> list[float]:
    """95 % of the resampled means, [low, high]."""
    rng = np.random.default_rng(0)
    picks = rng.integers(0, len(per_question), (resamples, len(per_question)))
    return [float(q) for q in np.quantile(per_question[picks].mean(1), (0.025, 0.975))]


def ece(p: np.ndarray[Any, Any], right: np.ndarray[Any, Any], bins: int = 15) -> float:
    """Expected calibration error of P(right), bins of equal width."""
    where = np.minimum((p * bins).astype(int), bins - 1)
    gaps = [abs(p[where == b].mean() - right[where == b].mean()) * (where == b).mean() for b in set(where.tolist())]
    return float(sum(gaps))


def location_f1(test: Test, said: list[list[str]]) -> float:
    """F1 of - on the steps that say where the nodule lies."""
    pairs = [
        (label == "-", not truth.right)
        for row, labels, truths in zip(test.rows, said, test.truth, strict=True)
        for text, label, truth in zip(row["steps"], labels, truths, strict=True)
        if text.startswith("Largest:")
    ]
    hits = sum(a and b for a, b in pairs)
    return 2 * hits / max(1, sum(a for a, _ in pairs) + sum(b for _, b in pairs))


# --- the run -------------------------------------------------------------------------------------------------


def line(case: str, metric: str, value: float, spread: list[float] | None) -> dict[str, Any]:
    """One figure; the goals are those of the hybrid."""
    goal = GOALS.get(metric) if case == "hybrid" else None
    holds = None
    if goal is not None:
        holds = value < goal if metric == "ece" else value >= goal
        if metric.startswith("over_majority") and spread:
            holds = holds and spread[0] > 0.10
    shown = None if spread is None else [round(edge, 4) for edge in spread]
    return {"case": case, "metric": metric, "value": round(value, 4), "unit": "0..1", "goal": goal, "holds": holds,
            "interval": shown}  # fmt: skip


def baselines(test: Test, cache: Path, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What needs no PRM."""
    right = np.array([float(row["is_correct"] is True) for row in test.rows])
    per_question = np.array([right[own].mean() for own in test.groups])
    for name, values in {
        "pass@1": per_question,
        "majority": test.majority(),
        "pass@8": np.array([right[own].max() for own in test.groups]),
    }.items():
        yield line(name, "share_right", float(values.mean()), interval(values))
    training = table("train", given.training, 4, given.seeds[0], True, cache)
    prior = fit_prior([["+" if step.right else "-" for step in truth_of(row)] for row in training])
    counts = test.counts([apply_prior(prior, len(row["steps"])) for row in test.rows])
    yield line("prior", "macro_f1", float(_macro(counts.sum(0))), percentiles(resample(counts, _macro)))
    development = labelled("hybrid", table("development", 200, 4, 0, True, cache), 0)
    p = base_scores(development)
    hard = [p for row in development for p in row["label_p"]]
    threshold = best_threshold([value for row in p for value in row], hard)
    for metric, value, spread in figures(test, [(base_scores(test.rows), threshold)]):
        yield line("base_logprob", metric, value, spread)


def run(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All figures."""
    import torch

    torch.set_num_threads(1)
    cache = Path(given.cache)
    test = Test(table("test", given.questions, 8, 0, False, cache))
    if not given.skip_baselines:
        yield from baselines(test, cache, given)
    for name in given.only:
        seeds = []
        for seed in given.seeds:
            folder = cache / f"prm-{name}-{given.training}-e{given.epochs:g}-s{seed}"
            if not (folder / "medprm.json").is_file():
                training = table("train", given.training, 4, seed, True, cache)
                rows = labelled(name, training, seed)
                with redirect_stdout(sys.stderr):  # the trainer prints its log
                    train(
                        spec_of(name, seed, given.epochs), rows, folder, say=lambda text: print(text, file=sys.stderr)
                    )
            seeds.append(prm_scores(folder, test.rows))
        for metric, value, spread in figures(test, seeds):
            yield line(name, metric, value, spread)


def ship(trained: Path, out: Path, test: Test) -> None:
    """Writes a trained checkpoint as it lies in the package: bf16, with settings and a card measured on just that."""
    import shutil

    from medprm_hf.phantom.model import load, save
    from medprm_hf.training.card import write_card

    save(*load(trained), out)
    for name in ("medprm.json", "medprm_seen.json", "train.json"):
        shutil.copy(trained / name, out / name)
    write_card(out, load_settings(out), json.loads((out / "train.json").read_text(encoding="utf-8")))
    card = (out / "README.md").read_text(encoding="utf-8")
    for found, better in (("# prm\n", "# medprm-hf phantom prm\n"), ('"prm"', '"phantom:prm"'),
                          ("base_model: phantom:base", "license: apache-2.0")):  # fmt: skip
        card = card.replace(found, better)
    rows = [
        f"| {metric} | {value:.3f} | {'' if spread is None else f'{spread[0]:.3f} to {spread[1]:.3f}'} |"
        for metric, value, spread in figures(test, [prm_scores(out, test.rows)])
    ]
    held = f"\n## On the truth\n{len(test.groups)} questions of the test split, 8 solutions each; majority vote "
    held += f"{test.majority().mean():.3f} (`tests/benchmarks/prm_quality.py`):\n\n"
    head = "| figure | value | 95 % interval (questions resampled) |\n|---|---|---|\n"
    (out / "README.md").write_text(card + held + head + "\n".join(rows) + "\n", encoding="utf-8")


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--questions", type=int, default=400, help="test questions, 8 solutions each")
    parser.add_argument("--training", type=int, default=1200, help="training questions, 4 solutions each")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=float, default=4.0)
    parser.add_argument("--only", nargs="*", choices=list(SETS), default=list(SETS))
    parser.add_argument("--skip-baselines", action="store_true")
    parser.add_argument("--cache", default="runs/prm_quality")
    parser.add_argument(
        "--ship", metavar="FOLDER", help="write the hybrid's first seed there as the shipped checkpoint"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args()
    for figure in run(given):
        if given.json:
            print(json.dumps(figure), flush=True)
        else:
            spread = figure["interval"]
            shown = f"  {spread[0]:.3f} to {spread[1]:.3f}" if spread else ""
            print(f"{figure['case']:14} {figure['metric']:20} {figure['value']:8.3f}{shown}", flush=True)
    if given.ship:
        trained = Path(given.cache) / f"prm-hybrid-{given.training}-e{given.epochs:g}-s{given.seeds[0]}"
        ship(trained, Path(given.ship), Test(table("test", given.questions, 8, 0, False, Path(given.cache))))


if __name__ == "__main__":
    main()
