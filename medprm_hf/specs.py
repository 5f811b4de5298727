"""The spec of each stage: plain values with defaults, what they mean, and which contradict each other.

`stages/` adds the doing to each, so `Rollout(k=16)` in a notebook and `rollout: {k: 16}` in a recipe file are the
same thing. A section of a recipe is one of these.
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from medprm_hf.errors import ConfigError
from medprm_hf.labels.choosing import check_chance, settings_for

_STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)

Count = Annotated[int, Field(ge=1)]
AtLeastTwo = Annotated[int, Field(ge=2)]
Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]
InnerShare = Annotated[float, Field(gt=0, lt=1)]
_ANY_PREFIX = ("fixed", "first_success", "sequential")  # estimators to which each prefix is its own question
Threshold = Annotated[float, Field(ge=0, lt=1)]

StageName = Literal["questions", "generate", "rollout", "retrieve", "judge", "calibrate", "merge", "review", "select"]
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
class WriteSpec:
    """A vision model that writes questions for images that have none."""

    backend: str | None = None
    """Model that writes, as `kind:model?options`; null: images without a question are dropped."""
    prompt: Literal["diagnostic", "findings"] = "diagnostic"
    """What the question should ask for."""
    retries: Annotated[int, Field(ge=0, le=5)] = 2
    """Times that an answer which cannot be used is sent back with what is wrong with it."""
    temperature: Temperature = 0.7
    max_tokens: Count = 1024
    seed: int = 0


@dataclass(frozen=True, config=_STRICT)
class QuestionsSpec:
    """Which questions are worth asking; the rest are dropped with a reason."""

    name: ClassVar[StageName] = "questions"
    max_options: AtLeastTwo = 26
    """Questions with more options than this are dropped."""
    needs_answer: bool = True
    """Drop questions without a gold answer (rollouts need one; a judge does not)."""
    identifiers: Literal["hold", "mask", "ignore"] = "hold"
    """Texts that may name a patient: held back for a person, masked by their kind, or taken as they are."""
    burned_in: Literal["hold", "ignore"] = "ignore"
    """Images in which writing is suspected: held back for a person (DICOM sources: hold), or taken as they are."""
    keep: Literal["all", "diagnostic"] = "all"
    """diagnostic: only questions for a diagnosis, next step or finding; no yes/no, counting, technique, anatomy."""
    duplicates: Literal["drop", "keep"] = "drop"
    """Questions that say the same of the same image (or of none): the first is kept, or all."""
    image_distance: Annotated[int, Field(ge=0, le=8)] | None = None
    """Bits of 64 in which two images' perceptual hashes may differ to count as one image; null: equal bytes alone."""
    split: str | None = None
    """Split written to rows that have none."""
    splits: dict[str, Share] | None = None
    """Shares of the splits for rows that have none, such as {train: 0.8, development: 0.1, test: 0.1}."""
    domains: dict[str, Share] | None = None
    """Shares of radiology, pathology and clinical to sample down to (published: 0.4, 0.3, 0.3)."""
    difficulties: dict[str, dict[str, Share]] | None = None
    """Per domain the shares of easy, medium, hard to sample down to (radiology 0.3, 0.5, 0.2; see docs)."""
    write: WriteSpec = WriteSpec()
    """Questions for images without one."""
    reviewer: str | None = None
    """`store:PATH`: what people said of questions in the Space counts: keep, correct or reject (docs/reviewing.md)."""
    hold_written: bool = False
    """Questions that a model wrote wait for a person's word."""
    seed: int = 0
    """Seed of splits and samples."""

    @property
    def backend(self) -> str | None:
        """The model that writes questions, which the run counts and pays for; None for none."""
        return self.write.backend


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
    reuse_rollouts: str | None = None
    """Finished run whose solutions, then the rollouts it kept (rollout.keep_solutions), are taken before the model
    is asked."""
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
    where: Literal["all", "unsure"] = "all"
    """unsure: only prefixes whose last step the judge, which must run before, is not sure of (judge_first; k: 4)."""
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
    keep_solutions: Annotated[int, Field(ge=0)] = 0
    """Completions kept per question that would be new solutions, for a second run's generate.reuse_rollouts."""
    temperature: Temperature = 0.7
    top_p: TopP = 1.0
    max_tokens: Count = 1024
    seed: int = 0

    def estimator_settings(self) -> dict[str, Any]:
        """What the estimator is made with; ConfigError where settings contradict each other."""
        check_chance(self.chance, self.corrected, self.options_shown, self.shuffle_options)
        if self.where == "unsure" and self.estimator not in _ANY_PREFIX:
            raise ConfigError(
                f"rollout.where=unsure leaves prefixes out, which rollout.estimator={self.estimator} needs: take "
                f"{' or '.join(_ANY_PREFIX)}, or where: all"
            )
        own = {"k": self.k, "tau": self.threshold, "early_stop": self.early_stop, "corrected": self.corrected}
        return settings_for(self.estimator, own, self.settings)


@dataclass(frozen=True, config=_STRICT)
class CorpusFile:
    """A file or folder of passages; `source` and `license` hold for the rows that name none."""

    path: str
    """JSONL, Parquet, .txt or .md, or a folder of them."""
    license: str | None = None
    """Licence of its rows; a row without one is left out."""
    source: str | None = None
    """Where it comes from; its name if left out."""


@dataclass(frozen=True, config=_STRICT)
class RetrieveSpec:
    """Passages and similar cases for each question, searched without its answer (M5)."""

    name: ClassVar[StageName] = "retrieve"
    corpus: tuple[CorpusFile, ...] = ()
    """Passages to index, once, in `indexes`."""
    index: str | None = None
    """Folder of a text index (`medprm index`), instead of a corpus."""
    cases: str | None = None
    """Similar cases: a table with image and diagnosis (or answer), a case index, or `run` (the run's own cases)."""
    encoder: str = "medcpt"
    """medcpt, pubmedbert, minilm (needs no network), none (BM25 alone), or any encoder's name or path."""
    image_encoder: str = "hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"
    """Any open_clip name with its weights, or local-dir:PATH."""
    passages: Count = 12
    """Passages shown at most: 12 of 256 tokens fill the 3,072."""
    similar: Count = 5
    """Similar cases shown at most."""
    lexical_weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of BM25 in the fusion of ranks."""
    dense_weight: Annotated[float, Field(ge=0)] = 4.0
    """Weight of the encoder in the fusion of ranks (measured: docs/evidence.md)."""
    chunk_tokens: Count = 256
    """Tokens of a passage at most."""
    chunk_overlap: Annotated[int, Field(ge=0)] = 32
    """Tokens that neighbouring passages share at most."""
    total_tokens: Count = 4096
    """Tokens of the judge's prompt in all (Med-PRM)."""
    document_tokens: Count = 3072
    """Of these, for passages at most."""
    reserved_tokens: Annotated[int, Field(ge=0)] = 1024
    """Of these, kept for question and solution at least."""
    held_out: tuple[str, ...] = ("development", "test")
    """Splits whose cases are shown to nobody."""
    indexes: str = "runs/indexes"
    """Folder in which built indexes lie, named by what they hold."""

    def budget(self) -> int:
        """Tokens for passages; ConfigError where the three limits or the weights contradict each other."""
        if self.document_tokens + self.reserved_tokens > self.total_tokens:
            raise ConfigError(
                f"retrieve.document_tokens={self.document_tokens} and retrieve.reserved_tokens={self.reserved_tokens} "
                f"are more than retrieve.total_tokens={self.total_tokens}: lower one or raise the last"
            )
        if self.lexical_weight == 0 and (self.dense_weight == 0 or self.encoder == "none"):
            raise ConfigError("retrieve.lexical_weight=0 leaves nothing to search by: raise it, or give an encoder")
        if self.chunk_overlap > self.chunk_tokens // 2:
            raise ConfigError(
                f"retrieve.chunk_overlap={self.chunk_overlap} is above half of retrieve.chunk_tokens="
                f"{self.chunk_tokens}: lower the first or raise the second"
            )
        if self.corpus and self.index:
            raise ConfigError("retrieve.corpus and retrieve.index are both given: leave one of them out")
        if not (self.corpus or self.index or self.cases):
            raise ConfigError("retrieve has nothing to search: give retrieve.corpus, retrieve.index or retrieve.cases")
        return self.document_tokens


@dataclass(frozen=True, config=_STRICT)
class JudgeSpec:
    """A model that reads image, question, evidence and steps, and gives a verdict on each step (docs/judging.md)."""

    name: ClassVar[StageName] = "judge"
    backend: str = "openai:gpt-4o-mini"
    """Model that judges."""
    backends: tuple[str, ...] = ()
    """Several judges, instead of `backend`; their verdicts are put to the vote."""
    samples: Count = 1
    """Times that each judge is asked; all its answers have a vote."""
    per: Literal["solution", "step"] = "solution"
    """One call for all steps of a solution, or one a step (dearer; the judge sees no later step)."""
    mode: Literal["verdict", "premise"] = "verdict"
    """premise: first list what each step claims to see, and check each claim alone against the image."""
    criteria: str = ""
    """What is asked of every step, in your words; empty: text/judging.py's CRITERIA."""
    premise_criteria: str = ""
    """What is asked of each claim; empty: text/premises.py's CHECK."""
    cases: str | None = None
    """Table with the images of similar cases (the one of retrieve.cases), held in memory."""
    case_images: Annotated[int, Field(ge=0)] = 0
    """Images of similar cases that the judge is shown at most."""
    retries: Annotated[int, Field(ge=0)] = 1
    """Times that an answer that cannot be read is asked for again, with what is wrong with it."""
    logprobs: Annotated[int, Field(ge=0, le=20)] = 5
    """Candidates asked for per token, of which P(+) is computed where the backend gives them; 0: none."""
    temperature: Temperature = 0.0
    max_tokens: Count = 2048
    show_gold: bool = False
    """Show the judge the gold answer; hidden by default, so that it reads the image."""
    seed: int = 0

    def judges(self) -> tuple[str, ...]:
        """The judges' backends; ConfigError where their settings contradict each other."""
        if self.samples > 1 and self.temperature == 0:
            raise ConfigError(
                f"judge.samples={self.samples} at judge.temperature=0 is the same answer {self.samples} times: raise "
                "judge.temperature (0.7), or take samples: 1"
            )
        if len(set(self.backends)) < len(self.backends):
            raise ConfigError(
                f"judge.backends names one twice ({', '.join(self.backends)}): ask it more often by judge.samples"
            )
        return self.backends or (self.backend,)


def backends_of(section: Any) -> tuple[str, ...]:
    """The models that a section asks; none for one that asks no model."""
    if isinstance(section, JudgeSpec):
        return section.judges()
    asked = getattr(section, "backend", None)
    return (asked,) if asked else ()
