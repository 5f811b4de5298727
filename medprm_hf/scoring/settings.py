"""What must be known of a trained process reward model besides its weights: `medprm.json` in its folder.

    {"version": 1, "layout": {"form": "chat", "plus": "+", …}, "base": "…", "temperature": 1.0, "threshold": 0.5,
     "labels": "merge", "simulated": false}

`medprm_seen.json` beside it holds hashes of the questions and images it was trained on, so that an evaluation on
them can be refused without publishing them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from medprm_hf.errors import ConfigError, StoreError
from medprm_hf.ids import content_hash

SETTINGS_FILE = "medprm.json"
SEEN_FILE = "medprm_seen.json"
VERSION = 1

Form = Literal["chat", "marker"]

STEP_PROMPT = """\
You check the reasoning of someone who answers a medical question, usually about an image. First you are \
given the question together with the first step of the solution; each later message is the next step. After \
every step reply with one character: "+" if the step is right, given the image, the question and the steps \
before it; "-" if it contains an error of observation, knowledge or logic, or builds on one."""
MARKER_PROMPT = """\
You check the reasoning of someone who answers a medical question. Given the question, passages that may help, and \
a solution step by step, judge after every step whether it is right."""


@dataclass(frozen=True)
class LayoutSettings:
    """How question, evidence, image and steps are put to the model; fixed in training, saved with it."""

    form: Form = "chat"
    """chat (VisualPRM: a turn a step) or marker (Med-PRM: a marker behind each step)."""
    plus: str = "+"
    """Token of a right step; where the tokenizer writes it with a blank before it, that token is taken."""
    minus: str = "-"
    """Token of a wrong step."""
    equal: str = ""
    """Token of a step that changes nothing ("=" for advantage labels); empty: there is none."""
    marker: str = " ки"
    """Marker form: stands behind each step, one token (Math-Shepherd, Med-PRM)."""
    system: str | None = None
    """System turn; null: our own for the form; empty: none."""
    question_head: str | None = None
    """Text before the question; null: VisualPRM's `### Question:` and line break, or Med-PRM's `Question: `."""
    process_head: str | None = None
    """Text between question and first step; null: VisualPRM's or Med-PRM's."""
    numbered: bool | None = None
    """Write `Step n: ` before each step; null: in the marker form."""
    solution_by: Literal["user", "assistant"] = "user"
    """Marker form: whose turn the solution stands in."""
    template: Literal["model", "plain"] = "model"
    """The checkpoint's own chat template, or our plain one for checkpoints without."""
    history: Literal["plus", "labels"] = "plus"
    """Chat form: the replies that later steps see: always `+` (as when scoring), or in training the labels."""
    unit: Literal["step", "solution"] = "step"
    """solution: the outcome baseline, one label for the whole solution."""
    max_length: int | None = None
    """Tokens at most; steps that do not fit are lost, and counted. null: no limit."""
    reserve: int = 1024
    """Of them kept free of evidence, for question and solution (Med-PRM: 1024)."""
    evidence: bool = True
    """Show the row's evidence passages."""
    image: bool = True
    """Show the row's image, where the model takes one."""

    def system_text(self) -> str:
        """The system turn in use."""
        if self.system is not None:
            return self.system
        return STEP_PROMPT if self.form == "chat" else MARKER_PROMPT

    def heads(self) -> tuple[str, str]:
        """Text before the question, and between question and first step."""
        own = ("### Question:\n", "\n\n### Solution Process:\n") if self.form == "chat" else (
            "Question: ", "\n\nExplanation: ")  # fmt: skip
        question = own[0] if self.question_head is None else self.question_head
        process = own[1] if self.process_head is None else self.process_head
        return question, process

    def is_numbered(self) -> bool:
        """Whether steps begin with `Step n: `."""
        return self.form == "marker" if self.numbered is None else self.numbered


@dataclass(frozen=True)
class PRMSettings:
    """The content of medprm.json."""

    layout: LayoutSettings = LayoutSettings()
    kind: Literal["language", "two_towers"] = "language"
    """A language or vision-language model of transformers, or our MedPRMTwoTower."""
    base: str = ""
    """Name of the checkpoint that training began with."""
    offsets: tuple[float, ...] = ()
    """What balance in training added to logit(+) - logit(-) at each step position (beyond the last, that one holds)."""
    temperature: float = 1.0
    """Divides the difference of the two logits, less its offset; fitted on development data."""
    threshold: float = 0.5
    """A step counts as right where its score is above; fixed on development data."""
    aggregator: str = "min"
    """Step scores to one response score."""
    trained_on: Mapping[str, Any] = field(default_factory=dict)
    """Plain facts for the card: rows, steps, label source, simulated or not, seed."""

    def scores(self, differences: Sequence[float]) -> list[float]:
        """P(step is right), 0..1, [num_steps], from logit(+) - logit(-) of the first steps of one solution."""
        offsets = self.offsets or (0.0,)
        shifted = [value - offsets[min(place, len(offsets) - 1)] for place, value in enumerate(differences)]
        return [0.5 * (1 + math.tanh(value / self.temperature / 2)) for value in shifted]


def save_settings(folder: str | Path, settings: PRMSettings) -> Path:
    """Writes medprm.json into a checkpoint's folder."""
    file = Path(folder) / SETTINGS_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"version": VERSION, **asdict(settings)}, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return file


def load_settings(folder: str | Path) -> PRMSettings:
    """Reads medprm.json; ConfigError where the checkpoint has none, or a newer one."""
    file = Path(folder) / SETTINGS_FILE
    if not file.is_file():
        raise ConfigError(
            f"{folder} has no {SETTINGS_FILE}: it was not trained by `medprm train`. Write one with "
            "scoring.settings.save_settings that says form and tokens"
        )
    data = json.loads(file.read_text(encoding="utf-8"))
    if data.pop("version", 0) != VERSION:
        raise StoreError(f"{file} has another version than {VERSION}: use the medprm-hf that wrote it")
    layout = data.pop("layout", {})
    unknown = set(data) - {item.name for item in fields(PRMSettings)}
    unknown |= set(layout) - {item.name for item in fields(LayoutSettings)}
    if unknown:
        raise ConfigError(f"{file} has unknown keys {', '.join(sorted(unknown))}: use the medprm-hf that wrote it")
    offsets = tuple(data.pop("offsets", ()))
    return PRMSettings(layout=LayoutSettings(**layout), offsets=offsets, **data)


@dataclass(frozen=True)
class Seen:
    """What a model was trained on, as hashes."""

    questions: frozenset[str]
    images: frozenset[str]

    def has(self, row: Mapping[str, Any]) -> bool:
        """Whether the row's question or image was in training, by id or by the hash of its bytes."""
        question, image = row.get("question_id"), row.get("image_sha256")
        return (question is not None and _hash(question) in self.questions) or (
            image is not None and _hash(image) in self.images
        )


def _hash(name: str) -> str:
    return content_hash("seen", name)


def save_seen(folder: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes medprm_seen.json from the rows of training."""
    questions, images = set(), set()
    for row in rows:
        if row.get("question_id"):
            questions.add(_hash(row["question_id"]))
        if row.get("image_sha256"):
            images.add(_hash(row["image_sha256"]))
    said = {"questions": sorted(questions), "images": sorted(images)}
    (Path(folder) / SEEN_FILE).write_text(json.dumps(said) + "\n", encoding="utf-8")


def load_seen(folder: str | Path) -> Seen | None:
    """What the checkpoint says it was trained on; None where it says nothing."""
    file = Path(folder) / SEEN_FILE
    if not file.is_file():
        return None
    data = json.loads(file.read_text(encoding="utf-8"))
    return Seen(frozenset(data["questions"]), frozenset(data["images"]))
