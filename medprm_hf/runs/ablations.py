"""`medprm ablate`: the pipeline with one thing changed at a time, each variant measured against the truth.

    medprm ablate --out runs/ablations            # medprm_hf/recipes/ablations/phantom.yaml
    medprm ablate mine.yaml --set source.n=400

Three kinds of variants, in one table with 95 % intervals (questions resampled) and the difference from the first of
their group, paired by question: **labels** (a run with other settings: its final labels), **images** (a shipped or own
PRM's labels of unseen solutions with the image, without, with another question's) and **targets** (PRMs trained on
the labels of the first variant towards hard, soft or counted targets; labels of unseen solutions). Truth is known in
the phantom world alone, so the recipe's source is that world. All runs share one journal: what one has asked, no other
asks again, and a second call computes nothing but what is new.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medprm_hf.errors import ConfigError
from medprm_hf.ids import content_hash
from medprm_hf.labels.agreement import apply_prior, bootstrap, bootstrap_difference, error_recall, fit_prior, macro_f1
from medprm_hf.phantom.guidelines import guideline_rows
from medprm_hf.recipe import Recipe, parse
from medprm_hf.runs.pipeline import Run
from medprm_hf.runs.signals import truth_of
from medprm_hf.schema import final_labels

SHIPPED = resources.files("medprm_hf") / "recipes"
Row = dict[str, Any]
Labels = list[list[str]]
Settings = dict[str, Any]
Say = Callable[[str], None]
JOURNAL, GUIDELINES = "journal.sqlite", "guidelines.jsonl"


class TestSize(BaseModel):
    """The unseen solutions on which PRMs are measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    questions: int = Field(100, ge=2)
    solutions: int = Field(4, ge=1)


class Ablations(BaseModel):
    """A file of variants; see recipes/ablations/phantom.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    recipe: str = "phantom"
    set: Settings = {}
    labels: dict[str, dict[str, Settings]] = {}
    test: TestSize = TestSize()
    images: str | None = None
    targets: dict[str, Settings] = {}


@dataclass(frozen=True)
class Outcome:
    """What one variant came to."""

    group: str
    variant: str
    macro_f1: float | None
    """Over + and -; None where it has no label."""
    interval: list[float] | None
    against: str
    """The variant that it is compared with: the first of its group."""
    difference: float | None
    """Its macro-F1 less that one's."""
    difference_interval: list[float] | None
    labelled: float
    """Share of the steps that have a label, 0..1."""
    location_recall: float | None
    """Share of the wrong `location` steps that it calls wrong; the answer never depends on them."""
    rollouts: float | None
    """Rollouts a solution, each delivered one counted; None where there are none."""
    solutions: int


def load(path: str | Path | None = None) -> Ablations:
    """Reads a file of variants; without a path the shipped one. ConfigError where it is not one."""
    file = SHIPPED / "ablations" / "phantom.yaml" if path is None else Path(path)
    if not file.is_file():
        raise ConfigError(f"no file of ablations at {path}: medprm ablate without a path takes the one that ships")
    try:
        return Ablations.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigError(f"{path or 'ablations'}: {error}") from None


def variant(spec: Ablations, changes: Settings, out: Path, settings: Sequence[str] = ()) -> Recipe:
    """The recipe of one variant: the base, the file's settings, those of the command, its own."""
    file = SHIPPED / f"{spec.recipe}.yaml"
    own = file if file.is_file() else Path(spec.recipe)
    if not own.is_file():
        raise ConfigError(f"recipe: no recipe at {spec.recipe}, and none of that name ships")
    base = yaml.safe_load(own.read_text(encoding="utf-8"))
    plain = (*_as_settings(spec.set, out), *settings, *_as_settings(changes, out))
    recipe = parse(base, (*plain, "name=ablations"), str(own))
    if recipe.source.name != "phantom":
        raise ConfigError(
            f"source.name={recipe.source.name}: ablations are measured against the truth, which only the phantom "
            "world has; for your own data take `medprm eval --ablate` and `medprm diff`"
        )
    return recipe


def _as_settings(changes: Mapping[str, Any], out: Path) -> Iterator[str]:
    for name, value in changes.items():
        yield f"{name}={json.dumps(value).replace('{out}', str(out))}"  # JSON is YAML


def ablate(spec: Ablations, out: Path, settings: Sequence[str] = (), say: Say = print) -> list[Outcome]:
    """Carries all variants out and writes OUT/ablations.json; a second call goes on where the first was stopped."""
    recipes = {
        (group, name): variant(spec, changes, out, settings)
        for group, variants in spec.labels.items()
        for name, changes in variants.items()
    }  # everything that cannot work is refused here
    targets = {name: variant(spec, changes, out, settings) for name, changes in spec.targets.items()}
    if targets and not recipes:
        raise ConfigError("targets: PRMs are trained on the labels of the first variant, and labels has none")
    out.mkdir(parents=True, exist_ok=True)
    passages = "\n".join(json.dumps(row) for row in guideline_rows())
    (out / GUIDELINES).write_text(passages, encoding="utf-8")
    found: list[Outcome] = []
    first: list[Row] = []
    for group, variants in spec.labels.items():
        rows = {name: built(recipes[group, name], out, f"{group}: {name}", say) for name in variants}
        first = first or next(iter(rows.values()))
        found += compare(group, rows, {name: labels_of(own) for name, own in rows.items()})
    if spec.images or targets:
        from medprm_hf.runs import ablations_prm as prm

        recipe = variant(spec, {}, out, settings)
        test = prm.test_rows(recipe, spec.test.questions, spec.test.solutions, out)
        if spec.images:
            said = prm.image_labels(spec.images, test, say)
            found += compare("images", dict.fromkeys(said, test), said)
        if targets:
            said = prm.target_labels({name: one.train for name, one in targets.items()}, first, test, out, say)
            found += compare("targets", dict.fromkeys(said, test), {"prior": prior(first, test), **said})
    (out / "ablations.json").write_text(json.dumps([vars(one) for one in found], indent=2) + "\n", encoding="utf-8")
    return found


def built(recipe: Recipe, out: Path, name: str, say: Say) -> list[Row]:
    """Solutions of a variant's run, with what is measured of them."""
    say(f"{name} …")
    run = Run.open(out / content_hash(recipe.fingerprint())[:12], recipe)
    with run.opened(journal=out / JOURNAL):
        count = run.read_source()
        for index in range(len(run.stages)):
            todo = run.todo(index)
            stage = run.taught(index)
            for number in todo:
                run.do_shard(index, number, stage)
    rows: list[Row] = []
    for number in range(count):
        table = run.table(number, run.columns)
        rows += [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    return [row for row in rows if row["steps"]]


def labels_of(rows: Sequence[Row]) -> Labels:
    """Final labels: the review's where there is one, else merge's."""
    return [list(final_labels(row["labels"], row.get("review_labels") or ["?"] * len(row["labels"]))) for row in rows]


def truth(rows: Sequence[Row]) -> Labels:
    """What is true of every step."""
    return [["+" if step.right else "-" for step in truth_of(row)] for row in rows]


def prior(training: Sequence[Row], test: Sequence[Row]) -> Labels:
    """The step-index prior: the majority label of the position, fitted on the training's truth."""
    fitted = fit_prior(truth(training))
    return [list(apply_prior(fitted, len(row["steps"]))) for row in test]


def compare(group: str, rows: Mapping[str, Sequence[Row]], said: Mapping[str, Labels]) -> list[Outcome]:
    """A group's variants beside its first one; `rows` gives each one's solutions (of a prior: the others')."""
    reference = next(iter(said))
    some = next(iter(rows.values()))
    base = said[reference]
    base_f1 = macro_f1(base, truth(rows.get(reference, some))).macro_f1
    found = []
    for name, labels in said.items():
        own = rows.get(name, some)
        if [row["solution_id"] for row in own] != [row["solution_id"] for row in some]:
            raise ConfigError(f"{group}: {name} has other solutions than {reference}: variants differ after generate")
        found.append(_outcome(group, name, own, labels, None if name == reference else (reference, base, base_f1)))
    return found


def _outcome(
    group: str, name: str, rows: Sequence[Row], labels: Labels, reference: tuple[str, Labels, float | None] | None
) -> Outcome:
    """One variant's figures; `reference` is None for the first of a group."""
    true, groups = truth(rows), [row["question_id"] for row in rows]
    kinds = [[step.kind for step in truth_of(row)] for row in rows]
    recall = error_recall(labels, kinds).get("location")
    counts = [sum(row["rollout_total"]) for row in rows if row.get("rollout_total")]
    score = macro_f1(labels, true).macro_f1
    against, others, their_score = reference or (name, labels, None)
    return Outcome(
        group=group,
        variant=name,
        macro_f1=score,
        interval=bootstrap(labels, true, groups),
        against=against,
        difference=None if score is None or their_score is None else score - their_score,
        difference_interval=None if reference is None else bootstrap_difference(labels, others, true, groups),
        labelled=sum(label in "+-" for row in labels for label in row) / max(1, sum(map(len, labels))),
        location_recall=recall.share if recall else None,
        rollouts=sum(counts) / len(rows) if counts else None,
        solutions=len(rows),
    )


def figures(found: Sequence[Outcome]) -> Iterator[dict[str, Any]]:
    """One object a figure, as the benchmarks print them."""
    for one in found:
        case = f"{one.group}: {one.variant}"
        for metric, value, unit, interval in (
            ("macro_f1", one.macro_f1, "share", one.interval),
            (f"macro_f1 less {one.against}", one.difference, "share", one.difference_interval),
            ("labelled", one.labelled, "share", None),
            ("recall_location", one.location_recall, "share", None),
            ("rollouts", one.rollouts, "a solution", None),
        ):
            if value is not None:
                yield {"case": case, "metric": metric, "value": round(value, 4), "unit": unit, "goal": None,
                       "holds": None, "interval": interval and [round(edge, 4) for edge in interval]}  # fmt: skip
