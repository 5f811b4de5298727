"""From a spec and rows to a trained, calibrated checkpoint that `medprm score` reads. What `medprm train` does.

report = train(TrainSpec(form="marker", model="phantom:base"), rows, Path("runs/demo/prm"))

OUT/                 weights, processor, medprm.json, medprm_seen.json, README.md: the model
OUT/checkpoints/     of the trainer; a killed run goes on from the last one
OUT/train.json       spec, survey and figures
"""

from __future__ import annotations

import json
import math
import shutil
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medprm_hf.errors import ConfigError, StoreError
from medprm_hf.ids import content_hash
from medprm_hf.scoring.layout import Layout
from medprm_hf.scoring.settings import SEEN_FILE, SETTINGS_FILE, PRMSettings, save_seen, save_settings
from medprm_hf.specs_train import TrainSpec
from medprm_hf.training.calibrate import calibrated, logits_of
from medprm_hf.training.data import (
    Album,
    Batcher,
    Example,
    Prefixes,
    Survey,
    examples_of,
    fitting,
    image_hash,
    parted,
)
from medprm_hf.training.models import (
    fit_embeddings,
    freeze,
    group_rates,
    layout_settings,
    load_model,
    load_processor,
    lora,
    model_path,
)
from medprm_hf.training.targets import Balance, check_classes, fit_balance

Say = Callable[[str], None]
SPEC_FILE = "train.json"


@dataclass
class Prepared:
    """Everything that is decided before the first step."""

    layout: Layout
    training: list[Example]
    development: list[Example]
    balance: Balance
    survey: Survey
    classes: dict[str, int]


def train(
    spec: TrainSpec, rows: Iterable[dict[str, Any]], out: Path, *, say: Say = print, resume: bool = True
) -> dict[str, Any]:
    """Trains on rows of the canonical table and writes the checkpoint to `out`; gives its report.

    Raises DataError where the rows cannot teach anything, ConfigError where settings cannot work, StoreError where
    `out` holds a training with another spec.
    """
    held = list(rows)
    _same_spec(spec, held, out)
    teaching, developing, said = parted(held, spec.development, spec.seed)
    prepared = prepare(spec, teaching, developing)
    for line in [*said, *prepared.survey.lines(), f"labels: {_said(prepared.classes)}"]:
        say(line)
    _, trainer = make_trainer(spec, prepared, out, say)
    last = _last_checkpoint(out) if resume else None
    if last:
        say(f"going on from {last.name}")
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    return _finish(spec, prepared, trainer, teaching, out)


def prepare(spec: TrainSpec, teaching: Sequence[Any], developing: Sequence[Any]) -> Prepared:
    """Layout, examples, balance and survey; refuses what cannot be learnt from."""
    processor = load_processor(model_path(spec.model))
    layout = Layout.open(processor, layout_settings(spec), add_marker=True)
    survey = Survey()
    prefixes = Prefixes(layout)
    references = Album(teaching)
    training = examples_of(teaching, spec, survey, references)
    classes = check_classes([example.targets for example in training])
    training = fitting(training, prefixes, survey)
    development = (
        fitting(examples, prefixes, Survey())
        if (examples := examples_of(developing, spec, Survey(), references))
        else []
    )
    balance = fit_balance([example.targets for example in training], spec.balance, spec.strength)
    return Prepared(layout, training, development, balance, survey, classes)


def make_trainer(spec: TrainSpec, prepared: Prepared, out: Path, say: Say = print) -> tuple[Any, Any]:
    """(model, trainer), ready to train."""
    import torch

    from medprm_hf.training.trainer import PRMTrainer

    torch.manual_seed(spec.seed)
    layout = prepared.layout
    if spec.form == "two_towers":
        from medprm_hf.training.towers import build_towers

        model, added = build_towers(spec), False
    else:
        model = load_model(model_path(spec.model))
        added = fit_embeddings(model, layout)
        if prepared.survey.with_image and not layout.sees:
            say(f"images are not shown: {type(model).__name__} takes text alone")
    frozen = freeze(model, spec.freeze)
    if frozen:
        say(f"frozen: {frozen:,} of {sum(p.numel() for p in model.parameters()):,} numbers")
    trainer = PRMTrainer(
        model,
        batcher=batcher_for(spec, layout, model),
        examples=prepared.training,
        development=prepared.development if "eval_strategy" in spec.trainer else (),
        balance=prepared.balance,
        args=trainer_config(spec, len(prepared.training), out),
        peft_config=lora(spec, layout, added),
    )
    return model, trainer


def batcher_for(spec: TrainSpec, layout: Layout, model: Any) -> Batcher:
    """Two towers are shown the images beside the tokens."""
    if spec.form != "two_towers":
        return Batcher(layout)
    from medprm_hf.training.towers import TowerBatcher

    return TowerBatcher(layout, model)


def trainer_config(spec: TrainSpec, examples: int, out: Path) -> Any:
    """TRL's config of a spec; `spec.trainer` has the last word."""
    import torch

    from medprm_hf.training.trainer import PRMConfig

    batch, accumulate = spec.value("batch"), spec.value("accumulate")
    steps = math.ceil(math.ceil(examples / batch) / accumulate * spec.value("epochs"))
    own: dict[str, Any] = {
        "output_dir": str(out / "checkpoints"),
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": accumulate,
        "num_train_epochs": spec.value("epochs"),
        "learning_rate": spec.value("lr"),
        "lr_scheduler_type": "cosine",
        "warmup_steps": math.ceil(spec.value("warmup") * steps),
        "weight_decay": spec.value("weight_decay"),
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "max_grad_norm": 1.0,
        "seed": spec.seed,
        "data_seed": spec.seed,
        "loss": spec.loss,
        "concentration": spec.concentration,
        "curriculum": spec.curriculum,
        "group_rates": group_rates(spec),
        "save_strategy": "steps",
        "save_steps": max(1, min(500, steps // 4)),
        "save_total_limit": 2,
        "logging_steps": max(1, min(20, steps // 10)),
        "report_to": "none",
        "gradient_checkpointing": torch.cuda.is_available(),
        "bf16": torch.cuda.is_available(),
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(),
    }
    try:
        with warnings.catch_warnings():  # TRL still goes by the old name of activation checkpointing
            warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*", category=FutureWarning)
            return PRMConfig(**{**own, **spec.trainer})
    except TypeError as error:
        raise ConfigError(f"train.trainer: {error}; its keys are those of TRL's SFTConfig") from None


def _finish(spec: TrainSpec, prepared: Prepared, trainer: Any, teaching: Sequence[Any], out: Path) -> dict[str, Any]:
    """Weights, processor, settings and report."""
    from medprm_hf.training.card import write_card

    facts = {
        "solutions": len(prepared.training),
        "steps": prepared.classes,
        "labels": spec.labels,
        "loss": spec.loss,
        "balance": spec.balance,
        "seed": spec.seed,
        "simulated": any(str(row.get("source")) == "phantom" for row in teaching),
    }
    settings = PRMSettings(
        prepared.layout.settings,
        "two_towers" if spec.form == "two_towers" else "language",
        base=spec.model,
        offsets=tuple(round(offset, 4) for offset in prepared.balance.offsets()),
        trained_on=facts,
    )
    sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    trained = _save_weights(trainer, out, sharded)
    if not trainer.is_world_process_zero():
        return {}
    figures: dict[str, Any] = {"development_solutions": 0, "fitted": False}
    if prepared.development and not sharded:  # the parts of a sharded model cannot score on their own
        batcher = batcher_for(spec, prepared.layout, trained)
        logits = logits_of(trained, batcher, prepared.development)
        posterior = spec.labels == "final" and spec.loss in ("soft", "evidence")
        evidence = prepared.balance if posterior else None
        settings, figures = calibrated(settings, logits, prepared.development, evidence)
    prepared.layout.processor.save_pretrained(out)
    save_settings(out, settings)
    save_seen(out, [{**row, "image_sha256": image_hash(row)} for row in teaching])
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    report = {
        "spec": asdict(spec),
        "survey": prepared.survey.lines(),
        "classes": prepared.classes,
        "losses": losses,
        "figures": figures,
        "temperature": settings.temperature,
        "threshold": settings.threshold,
        "seconds": round(trainer.state.log_history[-1].get("train_runtime", 0.0), 1),
    }
    _write(out, {**_identity(spec), **report})
    write_card(out, settings, report)
    if trainer.args.push_to_hub:
        for name in (SETTINGS_FILE, SEEN_FILE, SPEC_FILE):  # the Trainer sends its own folder
            shutil.copy(out / name, trainer.args.output_dir)
        trainer.push_to_hub()
    return report


def _save_weights(trainer: Any, out: Path, sharded: bool) -> Any:
    """Writes the weights, adapters merged; gives the whole model."""
    trained = trainer.model
    if sharded:
        trainer.save_model(str(out))  # every process has its part in this
        return trained
    if hasattr(trained, "merge_and_unload"):
        trained = trained.merge_and_unload()
    if trainer.is_world_process_zero():
        trained.save_pretrained(out)
    return trained


def _said(classes: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in classes.items() if count)


def _identity(spec: TrainSpec, rows: Sequence[Any] | None = None) -> dict[str, Any]:
    return {"fingerprint": content_hash(json.dumps(asdict(spec), sort_keys=True))}


def _same_spec(spec: TrainSpec, rows: Sequence[Any], out: Path) -> None:
    """A folder holds one training: another spec would go on from foreign weights."""
    file = out / SPEC_FILE
    if file.is_file():
        before = json.loads(file.read_text(encoding="utf-8")).get("fingerprint")
        if before != _identity(spec)["fingerprint"]:
            raise StoreError(
                f"{out} holds a model trained with other settings (see {file.name}): name another folder with --out, "
                "or delete it"
            )
    _write(out, _identity(spec) if not file.is_file() else json.loads(file.read_text(encoding="utf-8")))


def _write(out: Path, content: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n"
    (out / SPEC_FILE).write_text(text, encoding="utf-8")


def _last_checkpoint(out: Path) -> Path | None:
    """The newest whole checkpoint of the trainer."""
    found = [
        folder
        for folder in (out / "checkpoints").glob("checkpoint-*")
        if (folder / "trainer_state.json").is_file() and folder.name.split("-")[-1].isdigit()
    ]
    return max(found, key=lambda folder: int(folder.name.split("-")[-1]), default=None)
