"""What a run of a million questions would be: a simulation, from what a small run of this code has measured.

    simulated = simulate(Size(questions=1_000_000, solutions=4, steps=8), Servers(endpoints=8, tokens_per_second=2500))
    simulated.hours, simulated.limits[0]          how long, and what breaks first

Nothing is run: every figure is called simulated. Sizes follow from bytes and seconds per row of `MEASURED` (or of a run
of one's own, `measured(RUN)`); hours from a queue of shards that the endpoints work off, each with its own random
length; limits are those of file systems, of the Hub and of one machine's memory.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np

from medprm_hf.errors import ConfigError
from medprm_hf.recipe import Recipe
from medprm_hf.registry import near
from medprm_hf.runs.scale_sizes import GB, MEASURED, Measured


@dataclass(frozen=True)
class Size:
    """How large the run is."""

    questions: int = 1_000_000
    solutions: int = 4
    steps: int = 8
    rollouts: int = 16
    """Of each step."""
    stages: int = 8
    shard_questions: int = 40
    judged: bool = True
    image_bytes: float = 150_000.0
    """Of one question's image, 0 for text alone."""
    exports: int = 3
    label_model: bool = True
    """Whether merge learns from the whole run."""

    @property
    def answers(self) -> dict[str, float]:
        """Answers by stage: solutions (1.4 asked for one that is kept), rollouts of every step, verdicts."""
        made = self.questions * self.solutions
        return {
            "generate": 1.4 * made,
            "rollout": made * self.steps * self.rollouts,
            "judge": float(made * self.judged),
        }

    @property
    def requests(self) -> dict[str, float]:
        """Requests by stage: a question, a step or a solution each; n answers come with one."""
        made = self.questions * self.solutions
        return {
            "generate": 1.25 * self.questions,
            "rollout": float(made * self.steps * bool(self.rollouts)),
            "judge": float(made * self.judged),
        }

    @property
    def shards(self) -> int:
        """Shards of each stage."""
        return ceil(self.questions / self.shard_questions)


@dataclass(frozen=True)
class Servers:
    """Who answers, and how fast."""

    endpoints: int = 1
    tokens_per_second: float | None = 2500.0
    """Tokens that one endpoint writes, all its requests together."""
    requests_per_second: float | None = None
    """Requests that one endpoint takes, where a quota says so."""
    processes: int = 1
    """Processes that share the run."""
    answer_tokens: tuple[tuple[str, float], ...] = (("generate", 320.0), ("rollout", 160.0), ("judge", 440.0))
    """Tokens of one answer: 40 a step; a rollout writes half of a solution; a verdict has 55 a step."""

    def seconds(self, requests: float, answers: float, tokens: float) -> float:
        """Time of all endpoints for a stage: the slower of tokens and requests."""
        by_tokens = answers * tokens / (self.tokens_per_second * self.endpoints) if self.tokens_per_second else 0.0
        by_requests = requests / (self.requests_per_second * self.endpoints) if self.requests_per_second else 0.0
        return max(by_tokens, by_requests)


@dataclass(frozen=True)
class Limit:
    """Something that a larger run runs into."""

    what: str
    value: float
    limit: float
    unit: str
    breaks_at: float
    """Questions at which the limit is reached, all else equal."""
    way_out: str


@dataclass
class Simulated:
    """A run that was not made."""

    size: Size
    servers: Servers
    measured: Measured
    counts: dict[str, float] = field(default_factory=dict)
    bytes: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    hours: dict[str, float] = field(default_factory=dict)
    limits: list[Limit] = field(default_factory=list)
    """What breaks first comes first."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as `--json` prints them."""
        return {
            "simulated": True,
            "size": vars(self.size),
            "servers": {**vars(self.servers), "answer_tokens": dict(self.servers.answer_tokens)},
            "measured_on": self.measured.how,
            "counts": self.counts,
            "bytes": self.bytes,
            "memory_bytes": self.memory,
            "hours": self.hours,
            "limits": [vars(limit) for limit in self.limits],
        }


def simulate(size: Size, servers: Servers, known: Measured = MEASURED, seed: int = 0) -> Simulated:
    """The whole run on paper.

    Args:
        size: of the run.
        servers: that answer it.
        known: bytes and seconds of a row.
        seed: of the shards' random lengths.
    """
    made = size.questions * size.solutions
    found = Simulated(size, servers, known)
    tables = size.shards * (size.stages + 1)
    found.counts = {
        "questions": size.questions,
        "solutions": made,
        "steps": made * size.steps,
        "shards of a stage": size.shards,
        "files": 2 * tables,
        **{f"requests: {stage}": count for stage, count in size.requests.items()},
        **{f"answers: {stage}": count for stage, count in size.answers.items()},
    }
    images = size.questions * size.image_bytes
    found.bytes = {
        "source": size.questions * known.question_bytes + images,
        "stages": made * known.columns_bytes,
        "markers": size.shards * known.marker_bytes,
        "journal": sum(size.answers.values()) * known.journal_answer,
        "dataset": made * known.dataset_bytes + images,
        "exports": size.exports * (made * known.export_bytes + images),
    }
    rows = size.shard_questions * size.solutions
    found.memory = {
        "a process on one shard": known.base_memory
        + rows * known.row_memory
        + 3 * size.shard_questions * size.image_bytes,
        "writing dataset and report": known.base_memory + 8 * (32 << 20) + 8.0 * size.questions,
        "what merge learns": known.base_memory + made * size.steps * known.learnt_memory * size.label_model,
    }
    found.hours = _hours(size, servers, known, seed)
    found.limits = sorted(_limits(found), key=lambda limit: limit.breaks_at)
    return found


def of_recipe(recipe: Recipe, given: Mapping[str, float]) -> tuple[Size, Servers]:
    """Size and servers as a recipe has them, and as `given` has them instead; ConfigError for a name of neither."""
    mean = (recipe.generate.min_steps + recipe.generate.max_steps) / 2
    known: dict[str, float | None] = {
        "questions": 1_000_000,
        "steps": mean,
        "image_kb": 150,
        "endpoints": 1,
        "tokens_per_second": 2500,
        "requests_per_second": None,
        "processes": 1,
    }
    for name in given:
        if name not in known:
            raise ConfigError(f"--assume {name}: a simulation has no such figure{near(name, known)}")
    figures = {**known, **given}
    size = Size(
        questions=int(figures["questions"] or 0),
        solutions=recipe.generate.solutions,
        steps=round(figures["steps"] or 0),
        rollouts=recipe.rollout.k if "rollout" in recipe.stages else 0,
        judged="judge" in recipe.stages,
        stages=len(recipe.stages),
        shard_questions=recipe.shard_questions,
        image_bytes=1000 * (figures["image_kb"] or 0),
        exports=len(recipe.exports),
        label_model="merge" in recipe.stages and recipe.merge.policy == "label_model",
    )
    if size.questions < 1 or size.steps < 1 or min(figures["endpoints"] or 0, figures["processes"] or 0) < 1:
        raise ConfigError("a simulation needs at least 1 question, step, endpoint and process")
    servers = Servers(
        int(figures["endpoints"] or 1),
        figures["tokens_per_second"],
        figures["requests_per_second"],
        int(figures["processes"] or 1),
    )
    return size, servers


def queue_seconds(shards: int, mean: float, workers: int, seed: int, spread: float = 0.3) -> float:
    """Time until `workers` have worked off shards of random (log-normal) length, each taking the next when free."""
    if not mean:
        return 0.0
    lengths = np.random.default_rng(seed).lognormal(-(spread**2) / 2, spread, shards) * mean
    free = [0.0] * min(workers, shards)
    for length in lengths:
        heapq.heapreplace(free, free[0] + float(length))
    return max(free)


def _hours(size: Size, servers: Servers, known: Measured, seed: int) -> dict[str, float]:
    """Hours by stage; those that ask nothing take their reading and writing."""
    tokens, hours = dict(servers.answer_tokens), dict[str, float]()
    for place, (stage, requests) in enumerate(size.requests.items()):
        asking = servers.seconds(requests, size.answers[stage], tokens[stage])
        # The endpoints are shared: with P processes each shard takes P times its share, and P are under way.
        each = asking / size.shards * servers.processes + known.shard_seconds
        hours[stage] = queue_seconds(size.shards, each, servers.processes, seed + place) / 3600
    silent = max(0, size.stages - len(size.requests))
    work = size.shards * known.shard_seconds * (silent + 1) / servers.processes
    hours["other stages and source"] = work / 3600
    learnt = size.questions * size.solutions * size.steps * known.learnt_seconds * size.label_model
    hours["merge learns, one process"] = learnt / 3600
    hours["dataset, exports and report"] = size.questions * size.solutions * 0.6e-3 * (1 + size.exports) / 3600
    return hours


def _limits(found: Simulated) -> list[Limit]:
    """Each limit with the size at which it is met; all that is counted here grows as the questions do."""
    size, files, memory = found.size, found.counts["files"], found.memory
    folder = 2 * size.shards
    disk = sum(found.bytes.values())
    learnt = memory["what merge learns"] - found.measured.base_memory
    fewer = "a larger shard_questions (200 instead of 40: a fifth of the files)"
    cases = [
        ("memory while merge learns (label_model)", learnt, 64 * GB, "bytes", "a machine with more memory for that one "
         "step (with --share any process may do it), or a merge policy that learns nothing (consensus, value)"),
        ("files of a stage in one folder, on the Hub", folder, 10_000, "files", f"--hub with {fewer}"),
        ("files of a run on one branch of the Hub", files, 100_000, "files", f"--hub with {fewer}, or without "
         "--hub: dataset/ has few files"),
        ("files of a stage in one folder, NFS or Lustre", folder, 200_000, "files", fewer),
        ("journal copied for --hub within an hour at 100 MB/s", found.bytes["journal"], 360 * GB, "bytes",
         "--no-hub-journal"),
        ("disk of 4 TB", disk, 4000 * GB, "bytes", "fewer exports (`medprm export` makes them when they are wanted)"),
        ("journal on one disk of 2 TB", found.bytes["journal"], 2000 * GB, "bytes", "several runs, each with a part of "
         "the questions"),
    ]  # fmt: skip
    return [
        Limit(what, value, limit, unit, size.questions * limit / value, way_out)
        for what, value, limit, unit, way_out in cases
        if value
    ]


def lines_of(found: Simulated) -> Sequence[str]:
    """What a person reads."""
    size, servers = found.size, found.servers
    rate = [f"{servers.tokens_per_second:,.0f} tokens/s"] if servers.tokens_per_second else []
    rate += [f"{servers.requests_per_second:,.0f} requests/s"] if servers.requests_per_second else []
    total = sum(found.hours.values())
    return [
        f"simulated, not run: {size.questions:,} questions x {size.solutions} solutions x {size.steps} steps, "
        f"{size.rollouts} rollouts a step",
        f"with {servers.endpoints} endpoints of {' and '.join(rate)} and {servers.processes} processes; sizes measured "
        f"on {found.measured.how}",
        "",
        *(f"  {name:<30} {value:>18,.0f}" for name, value in found.counts.items()),
        "",
        *(f"  {name:<30} {value / GB:>15,.1f} GB" for name, value in found.bytes.items()),
        "",
        *(f"  memory: {name:<30} {value / GB:>7,.1f} GB" for name, value in found.memory.items()),
        "",
        *(f"  {name:<30} {value:>16,.1f} h" for name, value in found.hours.items()),
        f"  {'in all':<30} {total:>16,.1f} h",
        "",
        "what breaks first (at so many questions):",
        *(f"  {limit.breaks_at:>14,.0f}  {limit.what}: {limit.way_out}" for limit in found.limits),
    ]
