"""`PRMTrainer`: TRL's SFTTrainer with a loss on step ends; accelerate, FSDP, DeepSpeed, PEFT and resume come with it.

    trainer = PRMTrainer(
        model, batcher=Batcher(layout), examples=examples, balance=balance, args=PRMConfig(output_dir="prm")
    )
    trainer.train()

A batch holds, beside the model's inputs: `positions` (B, S), -1 where there is no step; `labels` (B, S), the class,
-100 where unknown; `probs` and `scale` (B, S, C), `counts` (B, S, 2) and `evidence` (B, S) as in `loss.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from medprm_hf.errors import ConfigError
from medprm_hf.training.data import Batcher, Example
from medprm_hf.training.loss import bare, beta_binomial, cross_entropy, from_evidence, step_logits
from medprm_hf.training.targets import Balance

OWN = ("positions", "labels", "probs", "scale", "counts", "evidence")
LAST_GOOD = "last-good"
"""Folder of the weights that are kept when a loss is no number."""


@dataclass
class PRMConfig(SFTConfig):  # type: ignore[misc]
    """TRL's SFTConfig, with what a PRM needs set, and five settings of our own."""

    loss: str = field(default="hard", metadata={"help": "hard, soft, evidence or counts."})
    concentration: float = field(default=8.0, metadata={"help": "Of the beta-binomial, for counts."})
    evidence_alone: float = field(
        default=0.5, metadata={"help": "Share of training over which the model's belief joins the evidence."}
    )
    curriculum: float = field(default=0.0, metadata={"help": "Share of training that holds hard negatives back."})
    group_rates: dict[str, float] | None = field(
        default=None, metadata={"help": "Learning rate of parameters whose name begins with a key."}
    )

    def __post_init__(self) -> None:
        self.remove_unused_columns = False
        self.dataset_kwargs: dict[str, Any] | None = {**(self.dataset_kwargs or {}), "skip_prepare_dataset": True}
        self.max_length = None  # the layout cuts, by whole steps
        if self.packing or self.padding_free:
            raise ConfigError("packing and padding_free would move the step ends: leave them out of train.trainer")
        super().__post_init__()


class PRMCollator:
    """Examples by their number to a batch; what depends on chance is not here, so that a resumed run sees the same."""

    def __init__(self, batcher: Batcher, examples: Sequence[Example], balance: Balance) -> None:
        self.batcher, self.examples, self.balance = batcher, examples, balance
        self.layout = batcher.layout

    def __call__(self, features: Sequence[dict[str, int]]) -> dict[str, Any]:
        """The batch of the rows that the features name."""
        chosen = [self.examples[feature["row"]] for feature in features]
        laid, batch = self.batcher.inputs(chosen)
        steps = max(len(one.positions) for one in laid)
        classes = len(self.layout.label_ids)
        positions = torch.full((len(laid), steps), -1)
        labels = torch.full((len(laid), steps), -100)
        probs, scale = torch.zeros(2, len(laid), steps, classes)
        counts = torch.zeros(len(laid), steps, 2, dtype=torch.long)
        evidence = torch.zeros(len(laid), steps)
        for row, (example, one) in enumerate(zip(chosen, laid, strict=True)):
            targets, n = example.targets, len(one.positions)
            weighted = targets.weights[:, None] * self.balance.of(len(targets.weights))
            positions[row, :n] = torch.tensor(one.positions)
            labels[row, :n] = torch.from_numpy(targets.classes[:n])
            probs[row, :n] = torch.from_numpy(targets.probs[:n]).float()
            scale[row, :n] = torch.from_numpy(weighted[:n]).float()
            evidence[row, :n] = torch.from_numpy(self.balance.evidence(targets)[:n]).float()
            counts[row, :n] = torch.from_numpy(targets.counts[:n])
            if self.layout.settings.history == "labels":
                self._show_labels(batch["input_ids"][row], one.replies, targets.classes)
        own = (positions, labels, probs, scale, counts, evidence)
        return batch | dict(zip(OWN, own, strict=True))

    def _show_labels(self, ids: Tensor, replies: Sequence[int], classes: np.ndarray[Any, Any]) -> None:
        """The replies that later steps see become the known labels (as VisualPRM is trained)."""
        for place, known in zip(replies, classes, strict=False):
            if known >= 0:
                ids[place] = self.layout.label_ids[int(known)]


class Curriculum(torch.utils.data.Sampler[int]):
    """All rows once an epoch, in an order of its own; hard ones come late while training is young."""

    def __init__(self, hard: Sequence[bool], share: float, epochs: float, seed: int) -> None:
        self.hard, self.share, self.epochs, self.seed, self.epoch = np.array(hard, float), share, epochs, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Which epoch comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.hard)

    def __iter__(self) -> Iterator[int]:
        noise = np.random.default_rng([self.seed, self.epoch]).random(len(self.hard))
        # Beyond the share of training that it takes, the order is pure chance.
        young = max(0.0, 1 - self.epoch / max(self.share * self.epochs, 1e-9)) if self.share else 0.0
        yield from np.argsort(noise + young * self.hard).tolist()


class StopAtNoNumber(TrainerCallback):  # type: ignore[misc]
    """Gradients that are no numbers never reach the weights: these are kept, and training stops."""

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Looks at every gradient."""
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
                raise NoNumberError(state.global_step + 1, f"gradient of {name}")


class NoNumberError(ConfigError):
    """The loss or a gradient is not a finite number."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(f"{what} is not a finite number at step {step}")


class PRMTrainer(SFTTrainer):  # type: ignore[misc]
    """Trains the tokens + and - at step ends."""

    _tag_names = ["medprm-hf", "process-reward-model"]
    _name = "PRM"

    def __init__(
        self,
        model: Any,
        *,
        batcher: Batcher,
        examples: Sequence[Example],
        balance: Balance,
        args: PRMConfig,
        development: Sequence[Example] = (),
        **rest: Any,
    ) -> None:
        self.layout, self.examples = batcher.layout, [*examples, *development]
        self.trained = len(examples)
        held = Dataset.from_dict({"row": range(self.trained, len(self.examples))}) if development else None
        super().__init__(
            model=model,
            args=args,
            data_collator=PRMCollator(batcher, self.examples, balance),
            train_dataset=Dataset.from_dict({"row": range(self.trained)}),
            eval_dataset=held,
            processing_class=self.layout.processor,
            **rest,
        )
        self.add_callback(StopAtNoNumber())
        # Losses are sums over steps, divided by the steps of all micro-batches: the Trainer must not divide again.
        self.model_accepts_loss_kwargs = True
        self._loss_shifts_labels = False

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        hard = [example.hard_negative for example in self.examples[: self.trained]]
        return Curriculum(hard, self.args.curriculum, self.args.num_train_epochs, self.args.seed)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Mean loss of the known steps of all micro-batches of an optimizer step."""
        own = {name: inputs[name] for name in OWN}
        rest = {name: value for name, value in inputs.items() if name not in OWN}
        logits = step_logits(model, rest, own["positions"], self.layout.label_ids)
        if self.args.loss == "counts":
            total = beta_binomial(logits, own["counts"], own["scale"], self.args.concentration)
        elif self.args.loss == "evidence":
            total = from_evidence(logits, own["evidence"], own["scale"], self._trust())
        else:
            total = cross_entropy(logits, own["probs"] * own["scale"])
        known = own["labels"] != -100
        items = known.sum() if num_items_in_batch is None else torch.as_tensor(num_items_in_batch)
        loss = total / items.to(total.device).clamp(min=1)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # gradients are averaged over the processes
        if self.model.training and not torch.isfinite(loss):
            raise NoNumberError(self.state.global_step + 1, "the loss")
        self._note(logits.detach(), own["labels"], known)
        return (loss, {"logits": logits}) if return_outputs else loss

    def _trust(self) -> float:
        """How much the model's own belief counts beside the evidence, 0..1: rising over the first half of training."""
        if not self.model.training or not self.args.evidence_alone:
            return 1.0
        done = self.state.global_step / max(self.state.max_steps, 1)
        return float(min(1.0, done / self.args.evidence_alone))

    def _note(self, logits: Tensor, labels: Tensor, known: Tensor) -> None:
        """Share of the known steps whose likeliest class is right, for the log."""
        mode = "train" if self.model.training else "eval"
        hits = self.accelerator.gather_for_metrics(((logits.argmax(-1) == labels) & known).sum()).sum()
        steps = self.accelerator.gather_for_metrics(known.sum()).sum()
        if steps > 0:
            self._metrics[mode]["step_accuracy"].append((hits / steps).item())

    def prediction_step(self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None) -> Any:
        """Loss alone: figures on development data come from `calibrate.py`."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            return self.compute_loss(model, inputs).detach(), None, None

    def create_optimizer(self, model: Any = None) -> Any:
        """As the Trainer's, with learning rates of their own for groups of parameters."""
        optimizer = super().create_optimizer(model)
        if self.args.group_rates and not getattr(optimizer, "medprm_grouped", False):
            _regroup(optimizer, self.model if model is None else model, self.args.group_rates)
        return optimizer

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """The weights of a checkpoint, by the model's own `from_pretrained`.

        The Trainer's loads the file's names as they stand, and not strictly; vision models are saved under older names
        than they have in memory, so nothing would be loaded, and training would quietly go on from the base.
        """
        inner = bare(self.model if model is None else model)
        plain = inner is self.model and not (self.is_fsdp_enabled or self.is_deepspeed_enabled)
        if not plain:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        saved = type(inner).from_pretrained(resume_from_checkpoint, dtype=inner.dtype)
        inner.load_state_dict(saved.state_dict())

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Trains; where a loss or gradient is no number, keeps the weights before it and says so."""
        try:
            return super().train(*args, **kwargs)
        except NoNumberError as error:
            kept = Path(self.args.output_dir) / LAST_GOOD
            self.save_model(str(kept))
            raise ConfigError(
                f"{error}: training stopped, the weights before it are in {kept}. Lower train.lr "
                f"({self.args.learning_rate:g}), lower max_grad_norm, or train in float32 or bfloat16"
            ) from None


def _regroup(optimizer: Any, model: Any, rates: dict[str, float]) -> None:
    """Splits the optimizer's groups by the beginnings of parameter names."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        by_rate: dict[float, list[Any]] = {}
        for parameter in group["params"]:
            name = names.get(id(parameter), "")
            rate = next((rate for start, rate in rates.items() if name.startswith(start)), group["lr"])
            by_rate.setdefault(rate, []).append(parameter)
        groups += [{**group, "params": own, "lr": rate} for rate, own in by_rate.items()]
    optimizer.param_groups[:] = groups
    optimizer.medprm_grouped = True
