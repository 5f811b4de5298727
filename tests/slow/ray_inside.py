"""Runs on Ray, inside a network of their own (see test_ray.py): prints one JSON object per case.

unshare -rn sh -c 'ip link set lo up; exec python -m tests.slow.ray_inside RECIPE FOLDER'
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from medprm_hf.recipe import Recipe, load
from medprm_hf.runs.finish import finish
from medprm_hf.runs.pipeline import Run
from medprm_hf.runs.ways import Way, at_work
from tests.slow import killing

ON_RAY = Way(runner="ray", ray_address="auto")
KILLS = 5


def main(recipe: Recipe, folder: Path) -> None:
    """One cluster for all cases."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    case("one", ray, folder, recipe)
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    case("two", ray, folder, recipe)
    case("workers", ray, folder, recipe, kill_workers)
    case("node", ray, folder, recipe, lambda: kill_node(cluster, second, folder, recipe))
    ray.shutdown()
    cluster.shutdown()


def case(name: str, ray: Any, folder: Path, recipe: Recipe, disturb: Any = None) -> None:
    """One run on the cluster, disturbed meanwhile; says what happened."""
    log, said = Path(os.environ[killing.LOG]), list[Any]()
    log.unlink(missing_ok=True)
    thread = threading.Thread(target=lambda: said.append(disturb() if disturb else None))
    thread.start()
    began = time.perf_counter()
    run = Run.open(folder / name, recipe)
    with at_work(run, ON_RAY) as work:
        work.build(lambda *_: None)
        finish(run)
    seconds = round(time.perf_counter() - began, 1)
    thread.join()
    asked = [name for _, name in killing.log_lines(log)]
    print(
        json.dumps(
            {
                "case": name,
                "seconds": seconds,
                "nodes": alive(ray, 1 if name in ("one", "node") else 2),
                "workers": len({process for process, _ in killing.log_lines(log)}),
                "asked": len(asked),
                "distinct": len(set(asked)),
                "disturbed": said[0],
            }
        ),
        flush=True,
    )


def kill_node(cluster: Any, node: Any, folder: Path, recipe: Recipe) -> int:
    """Kills one machine once rollouts have begun; gives how many of their shards were done."""
    rollout = recipe.stages.index("rollout")
    while (
        not (folder / "node" / "recipe.yaml").is_file() or not (run := Run.open(folder / "node", recipe)).shard_count()
    ):
        time.sleep(0.05)
    while not run.done(rollout):
        time.sleep(0.02)
    done = run.done(rollout)
    cluster.remove_node(node, allow_graceful=False)
    return done


def alive(ray: Any, expected: int) -> int:
    """Machines of the cluster; one that was killed is noticed after a while."""
    until = time.monotonic() + 60
    while (found := sum(node["Alive"] for node in ray.nodes())) > expected and time.monotonic() < until:
        time.sleep(0.5)
    return found


def kill_workers() -> int:
    """Kills workers that answer, at random moments; gives how many."""
    return killing.kill_workers(Path(os.environ[killing.LOG]), random.Random(12), KILLS)


if __name__ == "__main__":
    main(load(Path(sys.argv[1])), Path(sys.argv[2]))
