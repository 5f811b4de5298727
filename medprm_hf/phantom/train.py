"""Training the two checkpoints from scratch, on processor cores alone.

    base    perception and clean chains: it sees well and reasons rightly
    policy  the base, tuned on chains with systematic errors: it samples as a model that reasons badly does

Scenes are drawn fresh for every batch from series of the `train` split that nothing else uses, and noise
is drawn anew; so no scene is seen twice. Each process works on one core on its share of the batch and
gradients are averaged over gloo. Muon takes the matrices, AdamW the rest (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon/). One step is B x (50 prompt + 26 solution) tokens in bfloat16
with float32 weights.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from torch.nn import functional

from medprm_hf.errors import ConfigError
from medprm_hf.phantom import steps as text
from medprm_hf.phantom.chains import sampled_solution, true_solution
from medprm_hf.phantom.forward import FixedForward, normalised, to_patches
from medprm_hf.phantom.model import build, checkpoint, load, save
from medprm_hf.phantom.render import NOISE_SD, clean
from medprm_hf.phantom.world import Scene, scene_of

if TYPE_CHECKING:
    from medprm_hf.phantom.model import Model, Processor

LENGTH = 26
"""Tokens of the longest solution with its end."""
IGNORED = -100


@dataclass(frozen=True)
class Plan:
    """One training run."""

    name: str
    """base or policy."""
    steps: int
    """Optimizer steps."""
    batch: int
    """Questions in one step, over all processes."""
    muon_rate: float
    """Highest learning rate of the matrices."""
    adam_rate: float
    """Highest learning rate of embeddings, patch kernel, norms and biases."""
    seed: int
    """Seed of weights, scenes and noise."""
    processes: int
    """Worker processes, one core each."""
    compiled: bool
    """Whether the forward pass is compiled (where there is a C++ compiler; about 1.3 times faster)."""


def train_base(
    out: Path,
    *,
    steps: int = 3000,
    batch: int = 128,
    seed: int = 0,
    processes: int = 2,
    compiled: bool = True,
) -> Path:
    """Train the base from random weights and save it to `out`."""
    plan = Plan("base", steps, batch, 0.02, 1.5e-3, seed, processes, compiled)
    return _run(plan, None, out)


def train_policy(
    out: Path,
    *,
    base: Path | None = None,
    steps: int = 400,
    batch: int = 128,
    seed: int = 0,
    processes: int = 2,
    compiled: bool = True,
) -> Path:
    """Tune a base (the shipped one when null) on chains with systematic errors and save it to `out`."""
    plan = Plan("policy", steps, batch, 0.008, 6e-4, seed, processes, compiled)
    return _run(plan, base or checkpoint("base"), out)


def _run(plan: Plan, start: Path | None, out: Path) -> Path:
    """One process trains here, several meet at a local port."""
    if not hasattr(torch.optim, "Muon"):
        raise ConfigError(f"training the phantom models needs torch >= 2.9 (for Muon); this is {torch.__version__}")
    if plan.processes == 1:
        _train(plan, 0, start, out)
        return out
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spawn(_worker, args=(plan, start, out, port), nprocs=plan.processes)
    return out


def _worker(rank: int, plan: Plan, start: Path | None, out: Path, port: int) -> None:
    """One of several processes."""
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=plan.processes)
    _train(plan, rank, start, out)
    dist.destroy_process_group()


def _train(plan: Plan, rank: int, start: Path | None, out: Path) -> None:
    """A process's own model, fed with its share of every batch; the first process saves it."""
    model, processor = load(start) if start else build(plan.seed)
    model.train()
    began = time.perf_counter()
    _loop(plan, rank, model, processor, out)
    if rank == 0:
        save(model, processor, out)
        note = asdict(plan) | {"seconds": round(time.perf_counter() - began)}
        (out / "training.json").write_text(json.dumps(note, indent=2) + "\n")


def _loop(plan: Plan, rank: int, model: Model, processor: Processor, out: Path) -> None:
    optimizers = _optimizers(plan, model)
    loss_of = _loss_function(plan, FixedForward(model, processor, LENGTH))
    batches = _batches(plan, rank, processor)
    began = time.perf_counter()
    for step in range(plan.steps):
        patches, inputs, targets = next(batches)
        loss = loss_of(patches, inputs, targets)
        loss.backward()
        _average_gradients(model, plan.processes)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["highest"] * _schedule(step / plan.steps)
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)
        if rank == 0 and step % 50 == 49:
            seconds = time.perf_counter() - began
            print(f"{plan.name} step {step + 1}/{plan.steps} loss {loss:.4f} {seconds:.0f} s", flush=True)
        if rank == 0 and step % 500 == 499:
            save(model, processor, out)


def _schedule(done: float) -> float:
    """Factor on the learning rate: up over the first 3 %, flat, down to zero over the last 60 %."""
    return min(done / 0.03 + 0.02, 1.0, (1 - done) / 0.6)


def _optimizers(plan: Plan, model: Model) -> list[torch.optim.Optimizer]:
    """Muon for the matrices; AdamW for embeddings (looked up, not multiplied), kernel, norms and biases."""
    embedding = model.get_input_embeddings().weight
    matrices = [p for p in model.parameters() if p.ndim == 2 and p is not embedding]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    muon = torch.optim.Muon([{"params": matrices, "highest": plan.muon_rate}], lr=plan.muon_rate, weight_decay=0.01)
    adam = torch.optim.AdamW([{"params": rest, "highest": plan.adam_rate}], lr=plan.adam_rate, weight_decay=0.0)
    return [muon, adam]


def _average_gradients(model: Model, processes: int) -> None:
    if processes == 1:
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= processes
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def _loss_function(plan: Plan, forward: nn.Module) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Mean cross-entropy of the solution's tokens."""

    def loss(patches: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        logits = forward(patches, inputs).float()
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)

    can_compile = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    chosen = torch.compile(loss) if plan.compiled and can_compile else loss

    def mixed(patches: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return chosen(patches, inputs, targets)

    return mixed


def _batches(plan: Plan, rank: int, processor: Processor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Endless fresh batches: patches (B, 64, 64), inputs (B, S), targets (B, S) with padding ignored."""
    rng = np.random.default_rng([plan.seed, rank, len(plan.name)])
    size = plan.batch // plan.processes
    series = 1000 + 10 * plan.seed + (5 if plan.name == "policy" else 0) + rank
    encode = _encoder(processor)
    index = 0
    while True:
        names = [f"phantom-train-s{series}-{index + i:06d}" for i in range(size)]
        scenes = [scene_of(name) for name in names]
        index += size
        planes = np.stack([clean(scene) for scene in scenes])
        planes += rng.normal(0.0, NOISE_SD, planes.shape).astype(np.float32)
        images = torch.from_numpy(planes.clip(0.0, 1.0).astype(np.float32))
        tokens = torch.tensor([encode(_solution(plan, scene, rng)) for scene in scenes])
        inputs = tokens.clamp(min=0)
        yield to_patches(normalised(images, processor)), inputs, tokens


def _solution(plan: Plan, scene: Scene, rng: np.random.Generator) -> list[str]:
    return true_solution(scene) if plan.name == "base" else sampled_solution(scene, rng)


def _encoder(processor: Processor) -> Callable[[list[str]], list[int]]:
    """Solution to tokens and end of turn, padded to LENGTH with IGNORED; few texts, so remembered."""
    known: dict[str, list[int]] = {}
    tokenizer = processor.tokenizer

    def encode(steps: list[str]) -> list[int]:
        solution = text.join(steps)
        if solution not in known:
            ids = [*tokenizer(solution)["input_ids"], tokenizer.eos_token_id]
            known[solution] = ids + [IGNORED] * (LENGTH - len(ids))
        return known[solution]

    return encode
