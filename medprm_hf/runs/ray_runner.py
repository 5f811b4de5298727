"""A run on Ray: `medprm build RECIPE --runner ray`, on this machine or on a cluster; the result is the local runner's.

    build_on_ray(run, "local", cpus=1, gpus=0, progress=print)

As many actors as the cluster has places, each given a shard at a time. The driver reads the shard's batch, an actor
makes the stage's columns of it, the driver keeps them with their marker, and what a stage learns from the whole run the
driver learns: the same calls in the same order as `Run.do_shard`, so files are equal byte for byte, and a run may be
begun on Ray and go on without it. A shard whose actor or machine dies is done again elsewhere; what it had been
answered is in the journal (`ray_books.py`).

Why actors, and not tasks: a model in the worker stays loaded, and waiting for the journal gives no CPU away (Ray would
start another process for each wait). Why not `ray.data.Dataset.map_batches`: Ray Data cuts blocks by its own sizes and
has no marker for each, so a shard could neither be resumed nor paid for once; an exception in one block ends the whole
dataset; images come as bare structs and features are lost. Here a shard is pickled as it is, images as the bytes that
they were.

Each machine needs medprm-hf of the same version, and what the recipe names by path (a model, an index).
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
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
"""Times that a shard is done again because its worker died, and that a worker which does not start is tried again."""


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
        actor = ray.remote(num_cpus=cpus, num_gpus=gpus, scheduling_strategy="SPREAD")(_Worker)
        errand = _Errand(run, ray, partial(actor.remote, keeper, run.recipe.budget, _prices(run)))
        for _ in range(_places(ray, cpus, gpus)):
            errand.hire()
        return sum(errand.stage(index, count, progress) for index in range(len(run.stages)))


class _Worker:
    """The actor: works on one shard after the other; models that it has opened stay open."""

    def __init__(self, keeper: Any, budget: float | None, prices: Mapping[str, Any] | None) -> None:
        self._given = keeper, budget, prices

    def ready(self) -> bool:
        """Answers once the actor has a place."""
        return True

    def work(self, stage: Stage, batch: Batch) -> Any:
        """Columns and marker of a shard, or the error that the driver is to raise."""
        import ray

        books = distant_books(ray, *self._given)
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
    engage: Callable[[], Any]
    """Makes an actor; it starts when the cluster has a place for it."""
    _starting: dict[Any, Any] = field(default_factory=dict)
    """Actors by what tells that they are ready."""
    _free: list[Any] = field(default_factory=list)
    _out: dict[Any, tuple[int, str, Any]] = field(default_factory=dict)
    """Shard, fingerprint and actor of each work that is under way."""
    _deaths: Counter[tuple[int, int]] = field(default_factory=Counter)
    """By stage and shard; -1 for actors that did not start."""

    def hire(self) -> None:
        """Engages one more actor."""
        actor = self.engage()
        self._starting[actor.ready.remote()] = actor

    def stage(self, index: int, count: int, progress: Progress) -> int:
        """One stage; raises after all that is under way has come back and is kept."""
        name, stage = str(self.run.stages[index].name), self.run.taught(index)
        waiting, wrong, pending = deque(self.run.todo(index)), list[MedPRMError](), list[PendingError]()
        todo, done, sent = len(waiting), count - len(waiting), self.ray.put(stage)
        progress(name, done, count)
        while True:
            wrong += [] if wrong else _stopped()
            while not wrong and waiting and self._free:
                self._hand_out(index, sent, waiting.popleft())
            if not self._out and (wrong or not waiting):
                break
            for outcome in self._take_in(index, waiting):
                if isinstance(outcome, PendingError):  # its batch is submitted: so may the other shards' be
                    pending.append(outcome)
                elif outcome is not None:
                    wrong.append(outcome)
                else:
                    done += 1
                    progress(name, done, count)
        if wrong:
            raise wrong[0]
        if pending:
            raise PendingError(f"{name}: {len(pending)} of {count} shards wait for batches. {pending[0]}", "batch")
        return todo

    def _hand_out(self, index: int, stage: Any, number: int) -> None:
        fingerprint, batch = self.run.order(index, number)
        actor = self._free.pop()
        self._out[actor.work.remote(stage, batch)] = (number, fingerprint, actor)

    def _take_in(self, index: int, waiting: deque[int]) -> Iterator[MedPRMError | None]:
        """Keeps what has come back; gives None for each shard that is done, or what went wrong."""
        ready, _ = self.ray.wait([*self._out, *self._starting], num_returns=1, timeout=1.0)
        for ref in ready:
            number, fingerprint, actor = self._out.pop(ref) if ref in self._out else (-1, "", self._starting.pop(ref))
            try:
                found = self.ray.get(ref)
            except self.ray.exceptions.RayError as error:
                yield from self._lost(index, number, error, waiting)
                continue
            self._free.append(actor)
            if number < 0:
                continue
            if isinstance(found, MedPRMError):
                yield found
                continue
            columns, marker = found
            self.run.keep(index, number, columns, {"fingerprint": fingerprint, **marker})
            yield None

    def _lost(self, index: int, number: int, error: Exception, waiting: deque[int]) -> Iterator[MedPRMError]:
        """An actor died: another is engaged, and its shard waits again; unless that has happened too often."""
        cause = getattr(error, "cause", None)
        if isinstance(cause, Exception):
            raise cause from error  # a bug: with its own traceback, as the local runner would show it
        self._deaths[index, number] += 1
        self.hire()
        if self._deaths[index, number] <= RETRIES:
            waiting.extendleft([number] if number >= 0 else [])
            return
        said = str(error).strip().splitlines()[0]
        what = f"{self.run.stages[index].name}, shard {number}: its" if number >= 0 else "a"
        yield StoreError(
            f"{what} Ray worker died {RETRIES + 1} times ({said}). What is finished is kept; give a shard more memory "
            f"(shard_questions, --ray-cpus), then medprm resume {self.run.directory} --runner ray"
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
