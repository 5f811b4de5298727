"""A run on Ray: `medprm build RECIPE --runner ray`, on this machine or on a cluster; the result is the local runner's.

    build_on_ray(run, "local", cpus=1, gpus=0, progress=print)

One Ray task a shard. The driver reads the shard's batch, a task anywhere makes the stage's columns of it, the driver
keeps them with their marker, and what a stage learns from the whole run the driver learns: the same calls in the same
order as `Run.do_shard`, so files are equal byte for byte, and a run may be begun on Ray and go on without it. A task
whose worker or machine dies is done again elsewhere; what it had been answered is in the journal (`ray_books.py`).

Why tasks, and not `ray.data.Dataset.map_batches`: Ray Data cuts blocks by its own sizes and has no marker for each, so
a shard could neither be resumed nor paid for once; an exception in one block ends the whole dataset; images come as
bare structs and features are lost. Here a shard is pickled as it is, images as the bytes that they were.

Each machine needs medprm-hf of the same version, and what the recipe names by path (a model, an index).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import yaml

from medprm_hf.backends.books import using
from medprm_hf.backends.stopping import check_stop
from medprm_hf.errors import ConfigError, MedPRMError, MissingExtraError, PendingError, StoppedError, StoreError
from medprm_hf.runs.money import PRICES
from medprm_hf.runs.pipeline import Progress, Run
from medprm_hf.runs.ray_books import distant_books, kept
from medprm_hf.runs.work import work_on
from medprm_hf.stages.base import Batch, Stage

RETRIES = 5
"""Times that a shard is done again because its worker died."""
AHEAD = 2
"""Shards that are handed out for each that can be worked on at once: the next is there when one ends."""


def build_on_ray(run: Run, address: str | None, cpus: float, gpus: float, progress: Progress) -> int:
    """Does what is not done, stage after stage, on Ray; gives the number of shards that were worked on.

    Args:
        run: as opened from its recipe; this process must work on it alone.
        address: `local` or None: a cluster of its own on this machine; `auto` or HOST:PORT: one that is there.
        cpus: CPUs that Ray keeps for a shard; `gpus`: its GPUs, for models in the worker (`vllm:`, `transformers:`).
        progress: called after each shard.
    """
    with run.opened(), _cluster(address) as ray, kept(ray, run.directory) as keeper:
        count = run.read_source(progress)
        task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES, scheduling_strategy="SPREAD")(_work)
        places = _places(ray, cpus, gpus)
        errand = _Errand(run, ray, task, ray.put(_prices(run)), keeper, places * AHEAD)
        return sum(errand.stage(index, count, progress) for index in range(len(run.stages)))


def _work(keeper: Any, stage: Stage, batch: Batch, budget: float | None, prices: Mapping[str, Any] | None) -> Any:
    """The task: columns and marker of a shard, or the error that the driver is to raise."""
    import ray

    books = distant_books(ray, keeper, budget, prices)
    try:
        with using(books):
            return work_on(stage, batch)
    except MedPRMError as error:
        return error
    finally:
        books.meter.close()


@dataclass
class _Errand:
    """What the driver does: hands shards out, keeps what comes back."""

    run: Run
    ray: Any
    task: Any
    prices: Any
    keeper: Any
    window: int
    _out: dict[Any, tuple[int, str]] = field(default_factory=dict)
    """Shard and fingerprint of each task that is under way."""

    def stage(self, index: int, count: int, progress: Progress) -> int:
        """One stage; raises after all that is under way has come back and is kept."""
        name, stage = str(self.run.stages[index].name), self.run.taught(index)
        todo, wrong, pending = self.run.todo(index), list[MedPRMError](), list[PendingError]()
        done = count - len(todo)
        progress(name, done, count)
        sent, waiting = self.ray.put(stage), iter(todo)
        while True:
            if not wrong:
                wrong += _stopped()
            if not wrong:
                self._hand_out(index, sent, waiting)
            if not self._out:
                break
            for error in self._take_in(index):
                if isinstance(error, PendingError):  # its batch is submitted: so may the other shards' be
                    pending.append(error)
                elif error is not None:
                    wrong.append(error)
                else:
                    done += 1
                    progress(name, done, count)
        if wrong:
            raise wrong[0]
        if pending:
            raise PendingError(f"{name}: {len(pending)} of {count} shards wait for batches. {pending[0]}", "batch")
        return len(todo)

    def _hand_out(self, index: int, stage: Any, waiting: Iterator[int]) -> None:
        while len(self._out) < self.window and (number := next(waiting, None)) is not None:
            fingerprint, batch = self.run.order(index, number)
            ref = self.task.remote(self.keeper, stage, batch, self.run.recipe.budget, self.prices)
            self._out[ref] = (number, fingerprint)

    def _take_in(self, index: int) -> Iterator[MedPRMError | None]:
        """Keeps what has come back; gives None for each shard, or what went wrong."""
        ready, _ = self.ray.wait(list(self._out), num_returns=1, timeout=1.0)
        for ref in ready:
            number, fingerprint = self._out.pop(ref)
            try:
                found = self.ray.get(ref)
            except self.ray.exceptions.RayError as error:
                yield self._lost(index, number, error)
                continue
            if isinstance(found, MedPRMError):
                yield found
                continue
            columns, marker = found
            self.run.keep(index, number, columns, {"fingerprint": fingerprint, **marker})
            yield None

    def _lost(self, index: int, number: int, error: Exception) -> MedPRMError:
        """What to say of a shard that Ray gave up."""
        cause = getattr(error, "cause", None)
        if isinstance(cause, Exception) and not isinstance(cause, MedPRMError):
            raise cause from error  # a bug: with its own traceback, as the local runner would show it
        said = str(error).strip().splitlines()[0]
        return StoreError(
            f"{self.run.stages[index].name}, shard {number}: its Ray worker died {RETRIES + 1} times ({said}). What is "
            f"finished is kept; give a shard more memory (shard_questions, --ray-cpus), then medprm resume "
            f"{self.run.directory} --runner ray"
        )


@contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """Ray, connected; a cluster of our own is stopped at the end, one that was there is left alone."""
    # Before ray is imported: nothing is sent to its makers, and workers answer Ctrl-C as we do.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise MissingExtraError("--runner ray", "ray", "ray") from error
    if address is not None and address.startswith("ray://"):
        raise ConfigError(
            f"--ray-address {address}: the Ray client is not supported; run medprm on a machine of the cluster (with "
            "`ray job submit`, say) and give --ray-address auto"
        )
    if ray.is_initialized():
        yield ray
        return
    where = address or "local"
    own = {"include_dashboard": False} if where == "local" else {}
    try:
        ray.init(address=where, log_to_driver=False, logging_level="error", **own)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"--ray-address {where}: no cluster answers ({error}); start one with `ray start --head`, or use local"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _places(ray: Any, cpus: float, gpus: float) -> int:
    """How many shards the cluster can work on at once; ConfigError where not even one."""
    there = ray.cluster_resources()
    wants = {"CPU": cpus, "GPU": gpus}
    most = min((int(there.get(name, 0) // each) for name, each in wants.items() if each), default=1)
    if most < 1:
        told = ", ".join(f"{each:g} {name}" for name, each in wants.items() if each)
        has = ", ".join(f"{there.get(name, 0):g} {name}" for name in wants)
        raise ConfigError(f"a shard wants {told} (--ray-cpus, --ray-gpus), and the cluster has {has}")
    return most


def _prices(run: Run) -> Mapping[str, Any] | None:
    """The run's own prices, for tasks that do not see its directory."""
    file = run.directory / PRICES
    if not file.is_file():
        return None
    found: Mapping[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


def _stopped() -> list[MedPRMError]:
    try:
        check_stop()
    except StoppedError as error:
        return [error]
    return []
