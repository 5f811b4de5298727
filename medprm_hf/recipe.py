"""A recipe: one YAML file that says what to build, checked whole before the first model call.

    name: demo
    source: {name: phantom, count: 240}
    generate: {backend: "phantom:policy", prompt: bare, solutions: 4}
    rollout: {backend: "phantom:policy", prompt: bare, k: 8}
    judge: {backend: "simulated-judge:error=0.15"}
    merge: {policy: consensus}
    review: {reviewer: "simulated-expert:error=0.02"}

Each section is the spec of one stage (`specs.py`). Unknown keys are answered with near names; settings that
contradict each other are refused with both values and the way out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from medprm_hf.errors import ConfigError
from medprm_hf.ids import content_hash
from medprm_hf.labels.choosing import Fit
from medprm_hf.labels.merge import POLICIES
from medprm_hf.registry import near
from medprm_hf.specs import (
    DEFAULT_STAGES,
    Count,
    GenerateSpec,
    JudgeSpec,
    QuestionsSpec,
    RetrieveSpec,
    RolloutSpec,
    StageName,
)
from medprm_hf.specs_labels import CalibrateSpec, MergeSpec, ReviewSpec, SelectSpec
from medprm_hf.specs_report import ReportSpec
from medprm_hf.specs_train import TrainSpec


class SourceSpec(BaseModel):
    """Where the questions come from: a converter of `loading_scripts/` and its options."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str = "phantom"

    def options(self) -> dict[str, Any]:
        """Everything but the name: handed to the converter."""
        return dict(self.model_extra or {})


class Recipe(BaseModel):
    """A whole recipe; see the module's example."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    name: str = Field("run", pattern=r"^[A-Za-z0-9._-]+$")
    """Name of the run: the default directory is runs/NAME."""
    seed: int = 0
    """Added to the seed of every stage."""
    source: SourceSpec = SourceSpec()
    stages: tuple[StageName, ...] = DEFAULT_STAGES
    """Order of the stages; leave one out to do without it."""
    questions: QuestionsSpec = QuestionsSpec()
    generate: GenerateSpec = GenerateSpec()
    rollout: RolloutSpec = RolloutSpec()
    retrieve: RetrieveSpec = RetrieveSpec()
    judge: JudgeSpec = JudgeSpec()
    calibrate: CalibrateSpec = CalibrateSpec()
    merge: MergeSpec = MergeSpec()
    review: ReviewSpec = ReviewSpec()
    select: SelectSpec = SelectSpec()
    train: TrainSpec = TrainSpec()
    """Not a stage: what `medprm train` does with the finished dataset."""
    report: ReportSpec = ReportSpec()
    """Not a stage: the targets of the quality report."""
    exports: tuple[str, ...] = ("visualprm", "steps-jsonl", "medprm")
    """Format ids written beside the dataset."""
    shard_questions: Count = 40
    """Questions per shard: the unit of work, checkpoint and retry."""
    budget: Annotated[float, Field(ge=0)] | None = None
    """USD that the whole run may spend, over all sessions; then it stops and can be resumed."""
    prices: str | dict[str, Any] | None = None
    """A price file, or entries such as {"openai:my-model": {input: 0.1, output: 0.4}} (USD per 1,000,000 tokens)."""

    def model_post_init(self, _context: Any) -> None:
        """Refuses settings that contradict each other."""
        check(self)

    def spec(self, stage: StageName) -> Any:
        """The section of one stage, its seed moved by the recipe's."""
        from dataclasses import replace

        section = getattr(self, stage)
        return replace(section, seed=section.seed + self.seed) if hasattr(section, "seed") else section

    def fingerprint(self) -> str:
        """Hash of everything that decides the result (name, exports, money, training and report do not)."""
        return content_hash(self.model_dump_json(exclude={"name", "exports", "budget", "prices", "train", "report"}))


def check(recipe: Recipe) -> None:
    """Cross-checks of a recipe; raises ConfigError with both values and the way out."""
    stages = recipe.stages
    if len(set(stages)) < len(stages):
        raise ConfigError(f"stages: {', '.join(stages)} names one twice: each stage runs once")
    for name in ("generate", "select"):
        section = getattr(recipe, name)
        if section.min_steps > section.max_steps:
            raise ConfigError(
                f"{name}.min_steps={section.min_steps} is above {name}.max_steps={section.max_steps}: "
                f"lower the first or raise the second"
            )
    merge = recipe.merge
    if merge.low >= merge.high:
        raise ConfigError(
            f"merge.low={merge.low} is not below merge.high={merge.high}: between them lies what is uncertain"
        )
    if "rollout" in stages:
        _check_rollout(recipe)
    if "retrieve" in stages:
        recipe.retrieve.budget()
    if "judge" in stages:
        recipe.judge.judges()
    if "merge" in stages:
        _check_merge(recipe)


def _check_rollout(recipe: Recipe) -> None:
    rollout, merge = recipe.rollout, recipe.merge
    rollout.estimator_settings()
    if rollout.where == "unsure" and "judge" not in recipe.stages[: recipe.stages.index("rollout")]:
        raise ConfigError(
            f"rollout.where=unsure asks where the judge is not sure, but stages=[{', '.join(recipe.stages)}] does not "
            "run judge before rollout: put it there, or take where: all"
        )
    if "merge" in recipe.stages and merge.policy not in ("medprm", "judge"):
        names = ("estimator", "early_stop", "threshold", "corrected", "chance")
        ours = {name: getattr(rollout, name) for name in names}
        Fit(**ours, policy=merge.policy, figure=merge.figure, tau=merge.threshold, monotone=merge.monotone).check()


def _check_merge(recipe: Recipe) -> None:
    merge, stages = recipe.merge, recipe.stages
    if merge.policy not in POLICIES:
        raise ConfigError(f"merge.policy: unknown policy {merge.policy!r}{near(merge.policy, POLICIES)}")
    if merge.policy == "label_model" and not {"rollout", "judge"} & set(stages[: stages.index("merge")]):
        raise ConfigError(
            f"merge.policy=label_model weighs signals, but stages=[{', '.join(stages)}] runs neither rollout nor judge "
            "before merge: add one, better both"
        )
    for late, early in (("merge", "calibrate"), ("review", "calibrate")):
        if {late, early} <= set(stages) and stages.index(late) < stages.index(early):
            raise ConfigError(
                f"stages: {late} takes over what {early} writes, but [{', '.join(stages)}] runs {early} after {late}: "
                f"put {early} before {late}"
            )
    for needed in POLICIES[merge.policy].needs:
        if needed in stages and stages.index(needed) > stages.index("merge"):
            raise ConfigError(
                f"merge.policy={merge.policy} reads what {needed} writes, but stages=[{', '.join(stages)}] runs "
                f"{needed} after merge: put it before"
            )
        if needed not in stages:
            fits = [name for name, policy in POLICIES.items() if policy.needs and set(policy.needs) <= set(stages)]
            raise ConfigError(
                f"merge.policy={merge.policy} reads what the {needed} stage writes, but stages="
                f"[{', '.join(stages)}] leaves it out: add {needed}, or take policy {' or '.join(fits) or 'none'}"
            )
    counted = "k" in recipe.rollout.estimator_settings()
    if "rollout" in stages and counted and recipe.rollout.k < merge.min_rollouts:
        raise ConfigError(
            f"rollout.k={recipe.rollout.k} is below merge.min_rollouts={merge.min_rollouts}: "
            f"raise rollout.k or lower merge.min_rollouts"
        )


def load(path: str | Path, settings: tuple[str, ...] = ()) -> Recipe:
    """Reads a recipe file and applies `--set` settings such as `rollout.k=16`."""
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"no recipe at {file}: write one with `medprm init`")
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is not YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{file} holds a {type(data).__name__}, not sections: see `medprm init`")
    return parse(data, settings, str(file))


def parse(data: dict[str, Any], settings: tuple[str, ...] = (), where: str = "recipe") -> Recipe:
    """A recipe from plain values; `settings` are `section.key=value` with YAML values."""
    for setting in settings:
        data = _set(data, setting)
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{where}: {_explain(e)}" for e in error.errors())) from None


def _set(data: dict[str, Any], setting: str) -> dict[str, Any]:
    path, equals, value = setting.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {setting}: write it as section.key=value, for example rollout.k=16")
    head, _, rest = path.partition(".")
    if not rest:
        return {**data, head: yaml.safe_load(value)}
    inner = data.get(head) or {}
    if not isinstance(inner, dict):
        raise ConfigError(f"--set {setting}: {head} is a single value, not a section")
    return {**data, head: _set(inner, f"{rest}={value}")}


def _explain(error: ErrorDetails) -> str:
    at = ".".join(str(part) for part in error["loc"])
    if error["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        *section, key = (str(part) for part in error["loc"])
        return f"unknown key {at}{near(key, _keys(section))}"
    return f"{at}: {error['msg']} (found {error['input']!r})"


def _keys(section: list[str]) -> list[str]:
    if not section:
        return list(Recipe.model_fields)
    spec = Recipe.model_fields[section[0]].annotation
    return list(getattr(spec, "__dataclass_fields__", {}))
