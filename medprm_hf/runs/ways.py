"""How a run is carried out: alone, together with other processes, or on Ray; the result is the same.

with at_work(run, Way(share=True)) as work:
    work.build(progress)
    with work.finishing(): complete(run)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

from medprm_hf.errors import ConfigError
from medprm_hf.registry import near
from medprm_hf.runs.lock import one_at_a_time, together
from medprm_hf.runs.pipeline import Progress, Run
from medprm_hf.runs.sharing import about, build_shared, once

RUNNERS = ("local", "ray")


@dataclass(frozen=True)
class Way:
    """The command line's choice."""

    share: bool = False
    """Whether other processes may work on the run too."""
    own_journal: bool | None = None
    """With `share`: a journal for this process alone; None: where the run lies on a network file system."""
    runner: str = "local"
    ray_address: str | None = None
    """`local` (the default), `auto`, or the address of a cluster."""
    cpus: float = 1.0
    """CPUs of one shard on Ray."""
    gpus: float = 0.0
    """GPUs of one shard on Ray."""

    def __post_init__(self) -> None:
        if self.runner not in RUNNERS:
            raise ConfigError(f"no runner is called {self.runner!r}{near(self.runner, RUNNERS)}: {', '.join(RUNNERS)}")
        if self.share and self.runner == "ray":
            raise ConfigError("--share and --runner ray do not go together: Ray spreads the shards itself")
        if self.ray_address and self.runner != "ray":
            raise ConfigError(f"--ray-address {self.ray_address} needs --runner ray")


ALONE = Way()


@dataclass(frozen=True)
class Work:
    """A run that this process may work on."""

    build: Callable[[Progress], int]
    """Does what is to be done; gives the number of shards that were done here."""
    finishing: Callable[[], AbstractContextManager[object]] = nullcontext
    """Held while dataset, exports and report are written."""


@contextmanager
def at_work(run: Run, way: Way = ALONE) -> Iterator[Work]:
    """Comes to work on a run; StoreError where others are at it who do not share."""
    if way.share:
        with together(run.directory, about(run)) as leases:
            build = partial(build_shared, run, leases, own=way.own_journal)
            yield Work(build, lambda: once(leases, "finish"))
        return
    with one_at_a_time(run.directory):
        if way.runner == "ray":
            from medprm_hf.runs.ray_runner import build_on_ray

            yield Work(partial(build_on_ray, run, way.ray_address, way.cpus, way.gpus))
        else:
            yield Work(run.build)
