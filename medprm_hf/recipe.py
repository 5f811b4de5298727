"""A recipe: one YAML file that says what to build, checked whole before the first model call.

    name: demo
    source: {name: phantom, count: 240}
    generate: {backend: "phantom:policy", prompt: bare, solutions: 4}
    rollout: {backend: "phantom:policy", prompt: bare, k: 8}
    judge: {backend: "simulated-judge:error=0.15"}
    merge: {policy: consensus}
    review: {reviewer: "simulated-expert:error=0.02"}

Each section is the spec of one stage (`stages/` adds the doing to it), so `Rollout(k=16)` in a notebook and
`rollout: {k: 16}` in a file are the same thing. Unknown keys are answered with near names; settings that
contradict each other are refused with both values and the way out.
"""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails

from medprm_hf.errors import ConfigError
from medprm_hf.ids import content_hash
from medprm_hf.labels.choosing import Fit, check_chance, settings_for
from medprm_hf.labels.merge import POLICIES
from medprm_hf.registry import near

_STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)

Count = Annotated[int, Field(ge=1)]
AtLeastTwo = Annotated[int, Field(ge=2)]
Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]
InnerShare = Annotated[float, Field(gt=0, lt=1)]
Threshold = Annotated[float, Field(ge=0, lt=1)]

StageName = Literal["questions", "generate", "rollout", "judge", "merge", "review", "select"]
DEFAULT_STAGES: tuple[StageName, ...] = (
    "questions",
    "generate",
    "rollout",
    "judge",
    "merge",
    "review",
    "select",
)


@dataclass(frozen=True, config=_STRICT)
class QuestionsSpec:
    """Which questions are worth asking; the rest are dropped with a reason."""

    name: ClassVar[StageName] = "questions"
    max_options: AtLeastTwo = 26
    """Questions with more options than this are dropped."""
    needs_answer: bool = True
    """Drop questions without a gold answer (rollouts need one; a judge does not)."""
    split: str | None = None
    """Split written to rows that have none."""


@dataclass(frozen=True, config=_STRICT)
class GenerateSpec:
    """Candidate solutions of each question."""

    name: ClassVar[StageName] = "generate"
    backend: str = "openai:gpt-4o-mini"
    """Model that writes them, as `kind:model?options`."""
    prompt: str = "steps"
    """`steps` (instruction to number the steps) or `bare` (question and options alone)."""
    solutions: Count = 4
    """Solutions kept per question (VisualPRM 4, Med-PRM 16)."""
    temperature: Temperature = 0.7
    top_p: TopP = 1.0
    max_tokens: Count = 1024
    greedy_first: bool = False
    """Draw the first solution at temperature 0."""
    min_steps: Count = 3
    max_steps: Count = 9
    """Solutions outside these are regenerated (3 to 9)."""
    unreadable: Literal["drop", "keep"] = "drop"
    """What happens to a solution whose answer cannot be read."""
    seed: int = 0


@dataclass(frozen=True, config=_STRICT)
class RolloutSpec:
    """Monte Carlo rollouts of every step prefix (Math-Shepherd; VisualPRM, section 3.2)."""

    name: ClassVar[StageName] = "rollout"
    backend: str = "openai:gpt-4o-mini"
    """Model that completes the prefixes."""
    prompt: str = "steps"
    """As in generate."""
    estimator: str = "fixed"
    """fixed, first_success, bisect, sequential, or first_error (ours: searches the first wrong step)."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Further settings of the estimator, by its own names."""
    k: Count = 16
    """Rollouts per prefix (VisualPRM 16; 32 for medicine; 4 for validation), or at most; first_error has none."""
    threshold: Threshold = 0.0
    """A step counts as right where mc is above this (tau); sequential takes 0 as its own, 0.15."""
    early_stop: bool = False
    """Sample nothing after the first step that is wrong; what was not sampled stays unknown."""
    chance: Literal["options", "empty_prefix", "none"] = "options"
    """Baseline: 1/n of n options, or the accuracy of k rollouts of the empty prefix (asked once a question)."""
    corrected: bool = False
    """Hold tau against (mc - chance) / (1 - chance)."""
    shuffle_options: bool = False
    """Show the options in other orders, a new one every few rollouts, so that a letter bias earns nothing."""
    options_shown: bool = True
    """false: the model answers in words, and the words are matched to the options."""
    temperature: Temperature = 0.7
    top_p: TopP = 1.0
    max_tokens: Count = 1024
    seed: int = 0

    def estimator_settings(self) -> dict[str, Any]:
        """What the estimator is made with; ConfigError where settings contradict each other."""
        check_chance(self.chance, self.corrected, self.options_shown, self.shuffle_options)
        own = {"k": self.k, "tau": self.threshold, "early_stop": self.early_stop, "corrected": self.corrected}
        return settings_for(self.estimator, own, self.settings)


@dataclass(frozen=True, config=_STRICT)
class JudgeSpec:
    """A model that reads image, question, evidence and steps, and gives a verdict on each step."""

    name: ClassVar[StageName] = "judge"
    backend: str = "openai:gpt-4o-mini"
    """Model that judges."""
    temperature: Temperature = 0.0
    max_tokens: Count = 2048
    show_gold: bool = False
    """Show the judge the gold answer; hidden by default, so that it reads the image."""
    seed: int = 0


@dataclass(frozen=True, config=_STRICT)
class MergeSpec:
    """How rollouts and verdicts become one label a step."""

    name: ClassVar[StageName] = "merge"
    policy: str = "consensus"
    """consensus, judge_first, value, advantage, medprm or judge."""
    high: InnerShare = 0.7
    """Consensus: a + needs mc above this."""
    low: InnerShare = 0.3
    """Consensus: a - needs mc below this."""
    threshold: Threshold = 0.0
    """Value policy: + where mc is above this (tau)."""
    min_rollouts: Count = 1
    """Steps with fewer readable rollouts than this count as not sampled."""
    figure: Literal["mc", "corrected", "p_right"] = "mc"
    """What the rollouts say: raw expected accuracy, corrected for chance, or the estimator's P(right)."""
    band: Threshold = 0.0
    """Advantage policy: changes up to this size are neutral."""
    monotone: bool = False
    """Value policy: an unsampled step is - after the first -, and + before a + in front of it (as OmegaPRM reads)."""


@dataclass(frozen=True, config=_STRICT)
class ReviewSpec:
    """Who looks at the doubtful steps."""

    name: ClassVar[StageName] = "review"
    reviewer: str = "simulated-expert:error=0.02"
    """`simulated-expert:error=…` answers from the truth of the phantom world; people review in the Space."""
    share: Share = 1.0
    """Largest share of a shard's steps that is sent to review, doubtful ones first."""
    seed: int = 0


@dataclass(frozen=True, config=_STRICT)
class SelectSpec:
    """Which solutions are exported (M9); every dropped one keeps its reason."""

    name: ClassVar[StageName] = "select"
    min_steps: Count = 3
    max_steps: Count = 9


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
    judge: JudgeSpec = JudgeSpec()
    merge: MergeSpec = MergeSpec()
    review: ReviewSpec = ReviewSpec()
    select: SelectSpec = SelectSpec()
    exports: tuple[str, ...] = ("visualprm", "steps-jsonl", "medprm")
    """Format ids written beside the dataset."""
    shard_questions: Count = 40
    """Questions per shard: the unit of work, checkpoint and retry."""

    def model_post_init(self, _context: Any) -> None:
        """Refuses settings that contradict each other."""
        check(self)

    def spec(self, stage: StageName) -> Any:
        """The section of one stage, its seed moved by the recipe's."""
        from dataclasses import replace

        section = getattr(self, stage)
        return replace(section, seed=section.seed + self.seed) if hasattr(section, "seed") else section

    def fingerprint(self) -> str:
        """Hash of everything that decides the result (name and exports do not)."""
        return content_hash(self.model_dump_json(exclude={"name", "exports"}))


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
    if "merge" in stages:
        _check_merge(recipe)


def _check_rollout(recipe: Recipe) -> None:
    rollout, merge = recipe.rollout, recipe.merge
    rollout.estimator_settings()
    if "merge" in recipe.stages and merge.policy not in ("medprm", "judge"):
        names = ("estimator", "early_stop", "threshold", "corrected", "chance")
        ours = {name: getattr(rollout, name) for name in names}
        Fit(**ours, policy=merge.policy, figure=merge.figure, tau=merge.threshold, monotone=merge.monotone).check()


def _check_merge(recipe: Recipe) -> None:
    merge, stages = recipe.merge, recipe.stages
    if merge.policy not in POLICIES:
        raise ConfigError(f"merge.policy: unknown policy {merge.policy!r}{near(merge.policy, POLICIES)}")
    for needed in POLICIES[merge.policy].needs:
        if needed in stages and stages.index(needed) > stages.index("merge"):
            raise ConfigError(
                f"merge.policy={merge.policy} reads what {needed} writes, but stages=[{', '.join(stages)}] runs "
                f"{needed} after merge: put it before"
            )
        if needed not in stages:
            fits = [name for name, policy in POLICIES.items() if set(policy.needs) <= set(stages)]
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
