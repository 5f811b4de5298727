"""The recipe's `train` section: a process reward model from labelled solutions.

train: {form: marker, model: "phantom:base", loss: evidence, epochs: 3, lr: 2.0e-3}
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

_STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
InnerShare = Annotated[float, Field(gt=0, lt=1)]
Threshold = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, config=_STRICT)
class TrainSpec:
    """A process reward model from labelled solutions; what is null is the form's own default (`TRAIN_DEFAULTS`)."""

    form: Literal["chat", "marker", "two_towers"] = "chat"
    """chat (VisualPRM), marker (Med-PRM), or two_towers (a frozen text PRM that is shown images)."""
    model: str = "Qwen/Qwen2.5-VL-3B-Instruct"
    """Checkpoint that training begins with: a Hub id, a folder, or phantom:base; two_towers: a text PRM's folder."""
    data: str | None = None
    """A run's directory or any file that `medprm_hf.read` reads; null: the run of this recipe."""
    labels: Literal["final", "rollouts", "judge", "advantage"] = "final"
    """final (review, else merge), the rollouts' value, the judge's, or the change of expected accuracy (+ = -)."""
    threshold: Threshold = 0.0
    """Of rollouts: + where mc is above this."""
    loss: Literal["hard", "soft", "evidence", "counts"] = "hard"
    """hard labels, soft (label_p, else mc), evidence (label_p without its prior, noise averaged out), or counts
    (beta-binomial on rollouts right of read)."""
    concentration: Annotated[float, Field(gt=0)] = 8.0
    """Counts: of the beta-binomial; large is binomial."""
    balance: Literal["none", "class", "position"] = "position"
    """Weigh rare classes more: over all steps, or at each step position."""
    strength: Share = 1.0
    """1: classes count alike; 0: no balance."""
    confidence: bool = False
    """Weigh steps by how sure merge was, |2 P(right) - 1|."""
    curriculum: Share = 0.0
    """Share of training in which hard negatives (a wrong step, a right answer) are held back at first."""
    outcome: bool = False
    """The outcome baseline: one label for the whole solution, whether its answer is right."""
    epochs: Annotated[float, Field(gt=0)] | None = None
    lr: Annotated[float, Field(gt=0)] | None = None
    batch: Count | None = None
    """Solutions a device and step."""
    accumulate: Count | None = None
    """Steps whose gradients are added up."""
    warmup: Share | None = None
    """Share of the steps in which the learning rate rises."""
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    max_length: Count | None = None
    """Tokens at most; evidence is cut first, then steps are lost, and counted."""
    lora: Annotated[int, Field(ge=0)] = 0
    """Rank of LoRA adapters; 0 trains all weights."""
    freeze: tuple[str, ...] = ()
    """Parts of parameter names that are not trained, e.g. visual."""
    layout: dict[str, Any] = field(default_factory=dict)
    """Further settings of the layout: marker, plus, minus, equal, system, template, history, …"""
    trainer: dict[str, Any] = field(default_factory=dict)
    """Any key of TRL's SFTConfig: bf16, report_to, push_to_hub, hub_model_id, save_steps, deepspeed, …"""
    towers: dict[str, Any] = field(default_factory=dict)
    """Two towers: image_model, image_lr, fusion_lr, frozen_image_layers, references, reference_weight, …"""
    development: InnerShare = 0.1
    """Share of the questions (with their images) held back, for temperature and threshold."""
    seed: int = 0

    def value(self, name: str) -> Any:
        """A setting, or its form's default where it is null."""
        said = getattr(self, name)
        return TRAIN_DEFAULTS[self.form][name] if said is None else said


TRAIN_DEFAULTS: dict[str, dict[str, Any]] = {
    "chat": {"epochs": 1, "lr": 1e-5, "batch": 4, "accumulate": 16, "warmup": 0.05, "weight_decay": 0.05,
             "max_length": None},
    "marker": {"epochs": 3, "lr": 2e-6, "batch": 4, "accumulate": 16, "warmup": 0.05, "weight_decay": 0.0,
               "max_length": 4096},
    "two_towers": {"epochs": 4, "lr": 1e-4, "batch": 4, "accumulate": 16, "warmup": 0.05, "weight_decay": 0.01,
                   "max_length": 4096},
}  # fmt: skip
"""As VisualPRM (arXiv 2503.10291) and Med-PRM (arXiv 2506.11474) were trained; two towers: ours."""
