"""Rollouts on a real vLLM server: what prefix caching and n in one call save.

    MEDPRM_VLLM_VENV=… python tests/benchmarks/vllm_rollouts.py [--prefixes 8] [--rollouts 16] [--json]

A server with the phantom policy is started on this machine (CPU, float32), and asked for the same rollouts in four
ways: with and without prefix caching, all n of a prefix in one call or each in a call of its own. Each repeat takes
other scenes, so that nothing is cached beforehand. A server caches whole blocks (32 tokens here; vLLM's default on
a CPU is 128, longer than a phantom question), so each question has earlier turns of some 250 tokens before it, as
a consultation or a judge's evidence would.

    wall_s            from requests to texts; the median of the repeats
    prompt_tokens     what the calls sent (usage): every call pays for its whole prompt
    computed_tokens   of these, tokens that the server really computed: asked less found in its prefix cache
                      (vllm:prefix_cache_queries_total - vllm:prefix_cache_hits_total)

Completions draw with seeds, so that both ways ask for comparable work; sampled tokens are counted beside.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

from medprm_hf.backends import Backend, Message, Request, Sampling, open_backend
from medprm_hf.ids import content_hash
from medprm_hf.phantom.chains import true_solution
from medprm_hf.phantom.model import checkpoint
from medprm_hf.phantom.questions import question_row
from medprm_hf.phantom.world import question_ids, scene_of
from medprm_hf.text.prompts import solve_prompt
from tests.vllm_server import VllmServer, vllm_binary, vllm_server

CASES = 6
BLOCK = 32
SAMPLING = Sampling(temperature=0.8, max_tokens=64, seed=1)
QUERIES, HITS = "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total"
PROMPTS = "vllm:prompt_tokens_total"


def requests_of(scenes: list[str], n: int) -> list[Request]:
    """One request for n rollouts of each scene: its first three true steps are the prefix."""
    made = []
    for name in scenes:
        row = question_row(name)
        text = solve_prompt(row["question"], row["options"], style="bare")
        earlier = Message(
            "user", "\n\n".join(step for other in case_ids(name) for step in true_solution(scene_of(other)))
        )
        prefix = "\n\n".join(true_solution(scene_of(name))[:3])
        key = f"{name}/rollout/{content_hash(prefix)}"
        made.append(Request((earlier, Message("user", text, (row["image"]["bytes"],))), n, SAMPLING, prefix, key))
    return made


def case_ids(name: str) -> list[str]:
    """The scenes of the earlier cases of a conversation: the same length for all, other cases for each."""
    number = int(name.rsplit("-", 1)[1])
    return [f"phantom-train-{CASES * number + i:06d}" for i in range(CASES)]


def single(requests: list[Request]) -> list[Request]:
    """The same rollouts, each in a request of its own."""
    return [replace(one, n=1, key=f"{one.key}/{place}") for one in requests for place in range(one.n)]


def counters(server: VllmServer) -> dict[str, float]:
    """The server's counters, labels summed."""
    with urllib.request.urlopen(server.base_url.removesuffix("/v1") + "/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    found: dict[str, float] = {}
    for line in lines:
        if line.startswith("vllm:"):
            name, value = line.rsplit(" ", 1)
            found[name.split("{", 1)[0]] = found.get(name.split("{", 1)[0], 0.0) + float(value)
    return found


def ask(server: VllmServer, backend: Backend, requests: list[Request]) -> dict[str, float]:
    """The figures of one repeat."""
    before, usage, begun = counters(server), backend.usage.completion_tokens, time.perf_counter()
    replies = backend.complete(requests)
    wall, after = time.perf_counter() - begun, counters(server)
    failed = [place for reply in replies for place in reply.places if place not in reply.completions]
    if failed:
        raise SystemExit(f"{len(failed)} rollouts failed, the first: {failed[0]}")
    rise = {name: after.get(name, 0.0) - before.get(name, 0.0) for name in (QUERIES, HITS, PROMPTS)}
    return {
        "wall_s": wall,
        "calls": len(requests),
        "rollouts": sum(len(reply.completions) for reply in replies),
        "sampled_tokens": backend.usage.completion_tokens - usage,
        "prompt_tokens": sum(reply.prompt_tokens for reply in replies),
        "server_prompt_tokens": rise[PROMPTS],
        "cache_hits": rise[HITS],
        "computed_tokens": (rise[QUERIES] or rise[PROMPTS]) - rise[HITS],
    }


def measure(caching: bool, prefixes: int, rollouts: int, repeats: int, log: Path) -> dict[str, dict[str, float]]:
    """Both ways on one server; medians over the repeats, each on scenes of its own."""
    scenes = question_ids("test", prefixes * (2 * repeats + 2))
    pieces = [scenes[i : i + prefixes] for i in range(0, len(scenes), prefixes)]
    found: dict[str, list[dict[str, float]]] = {"n_in_one_call": [], "single_calls": []}
    flags = ("--enable-prefix-caching" if caching else "--no-enable-prefix-caching", "--block-size", str(BLOCK))
    with vllm_server(checkpoint("policy"), "phantom-policy", log, flags=flags) as server:
        backend = open_backend(f"openai:{server.name}?base_url={server.base_url}")
        ask(server, backend, requests_of(pieces.pop(), 2))  # warms both ways up
        ask(server, backend, single(requests_of(pieces.pop(), 2)))
        for _ in range(repeats):
            found["n_in_one_call"].append(ask(server, backend, requests_of(pieces.pop(), rollouts)))
            found["single_calls"].append(ask(server, backend, single(requests_of(pieces.pop(), rollouts))))
        backend.close()
    return {
        way: {name: statistics.median(each[name] for each in runs) for name in runs[0]} for way, runs in found.items()
    }


UNITS = {"wall_s": "s", "calls": "requests", "rollouts": "completions"}


def figures(found: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """One object a figure; ratios of the cached server's two ways last."""
    rows = [
        {"case": case, "metric": name, "value": round(value, 3), "unit": UNITS.get(name, "tokens"), "goal": None,
         "holds": None}
        for case, values in found.items()
        for name, value in values.items()
    ]  # fmt: skip
    base = found["cached/n_in_one_call"]
    for case, values in found.items():
        for name in ("wall_s", "computed_tokens"):
            rows.append({"case": case, "metric": f"{name}_vs_cached_n", "value": round(values[name] / base[name], 2),
                         "unit": "x", "goal": None, "holds": None})  # fmt: skip
    return rows


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--prefixes", type=int, default=8)
    parser.add_argument("--rollouts", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args()
    if vllm_binary() is None:
        raise SystemExit("no vLLM venv: set MEDPRM_VLLM_VENV, or make .venv-vllm with ../shared/tools/vllm-cpu-venv")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for caching, name in ((True, "cached"), (False, "uncached")):
            ways = measure(caching, given.prefixes, given.rollouts, given.repeats, Path(folder) / f"{name}.log")
            found |= {f"{name}/{way}": values for way, values in ways.items()}
    for figure in figures(found):
        if given.json:
            print(json.dumps(figure))
        else:
            print(f"{figure['case']:24} {figure['metric']:28} {figure['value']:12.2f} {figure['unit']}")


if __name__ == "__main__":
    main()
