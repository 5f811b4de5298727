"""Priors learnt over a whole run, and rollouts that become solutions in a second one; scripted models throughout."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from medprm_hf import Generate, Rollout
from medprm_hf.backends import open_backend
from medprm_hf.backends.protocol import Request
from medprm_hf.errors import ConfigError
from medprm_hf.runs.shards import write_parquet
from medprm_hf.schema import features
from medprm_hf.stages.base import Learner
from medprm_hf.stages.pilot import pilot_rows
from tests.stages.scripts import BAD, GOOD, SOLVED_ON
from tests.stages.test_generate_rollout import batch, kept, question
from tests.stages.test_rollout_ways import solution

SCRIPTS = "scripted:tests.stages.scripts:"
Table = dict[str, list[Any]]


def run_of(questions: int, size: int) -> list[Table]:
    """Shards of so many questions each: two solutions a question, one good and one bad."""
    rows = [solution(f"q{i:03d}", text) for i in range(questions) for text in (GOOD, BAD)]
    return [batch(*rows[at : at + 2 * size]) for at in range(0, len(rows), 2 * size)]


# --- priors of the whole run ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 5, 40])
def test_a_pilot_is_the_same_however_the_run_is_cut(size: int) -> None:
    shards = [[dict(zip(t, row, strict=True)) for row in zip(*t.values(), strict=True)] for t in run_of(40, size)]
    rows = pilot_rows(shards, seed=0, able=lambda row: True, size=20)
    names = [row["question_id"] for row in rows]
    assert len(rows) == 20 and len(set(names)) == 10 and names[::2] == names[1::2]
    whole = [row for shard in shards for row in shard]
    assert names == [row["question_id"] for row in pilot_rows([whole], 0, lambda row: True, 20)]
    assert names != [row["question_id"] for row in pilot_rows([whole], 1, lambda row: True, 20)]
    assert len(pilot_rows([whole], 0, lambda row: True, 1000)) == 80


def test_estimators_that_learn_nothing_read_and_ask_nothing() -> None:
    class Untouched(list[Table]):
        def __iter__(self) -> Any:
            raise AssertionError("the shards were read")

    given = {"estimator": "first_error", "settings": {"priors": {}}}
    for settings in ({}, {"estimator": "first_success"}, {"estimator": "sequential"}, given):
        stage = Rollout(backend=SCRIPTS + "noisy", **settings)  # type: ignore[arg-type]
        assert isinstance(stage, Learner) and stage.learn(Untouched()) == ""


def test_small_shards_give_the_labels_of_large_ones() -> None:
    stage = Rollout(backend=SCRIPTS + "noisy", estimator="first_error")
    found = []
    for size in (1, 5, 60):
        shards = run_of(60, size)
        taught = replace(stage, learnt=stage.learn(shards))
        assert repr(taught) == repr(stage)  # what was learnt is no setting
        tables = [taught(shard) for shard in shards]
        found.append({name: [v for t in tables for v in t[name]] for name in ("p_right", "rollout_total")})
        assert [taught(shard) for shard in shards] == tables  # done again
    for other in found[1:]:
        assert other["rollout_total"] == found[0]["rollout_total"]
        for mine, theirs in zip(other["p_right"], found[0]["p_right"], strict=True):
            assert mine == pytest.approx(theirs, abs=1e-5)  # float32: sums over more rows round otherwise


def test_what_was_learnt_says_what_it_took_and_stands_in_every_row() -> None:
    stage = Rollout(backend=SCRIPTS + "noisy", estimator="first_error")
    learnt = stage.learn(run_of(30, 5))
    known = json.loads(learnt)
    assert known["pilot"]["solutions"] == 60 and known["pilot"]["questions"] == 30
    assert known["pilot"]["rollouts"] > 0 and known["pilot"]["rounds"] > 0
    table = replace(stage, learnt=learnt)(run_of(30, 5)[0])
    assert {method["learnt"] for method in table["rollout_method"]} == {
        json.dumps(known["priors"], separators=(",", ":"))
    }


def test_a_run_without_a_solution_learns_nothing() -> None:
    empty = batch(solution() | {"steps": [], "solution": None})
    assert Rollout(backend=SCRIPTS + "noisy", estimator="first_error").learn([empty]) == ""


def test_the_order_of_the_options_hangs_on_the_number_of_the_draw() -> None:
    spec = {"backend": SCRIPTS + "always_a", "estimator": "first_success", "shuffle_options": True}
    backend: Any = open_backend(SCRIPTS + "always_a")
    orders: dict[tuple[str, int], set[str]] = {}
    for batch_size in (1, 3, 7):
        before = len(backend.asked)
        Rollout(k=7, settings={"batch": batch_size}, **spec)(batch(solution("by-number")))  # type: ignore[arg-type]
        for request in backend.asked[before:]:
            for draw in range(request.first, request.first + request.n):
                orders.setdefault((request.key, draw), set()).add(request.messages[-1].text)
    assert len(orders) > 5 and all(len(shown) == 1 for shown in orders.values())


# --- rollouts that become solutions --------------------------------------------------------------------------


class Asked:
    """Requests of a script since it was made."""

    names: ClassVar[str] = SCRIPTS + "wanderer"

    def __init__(self) -> None:
        self.backend: Any = open_backend(self.names)
        self.before = len(self.backend.asked)

    @property
    def requests(self) -> list[Request]:
        return list(self.backend.asked[self.before :])


def first_run(folder: Path, **settings: Any) -> Table:
    """A run of one question: its table, written where a finished run has it."""
    table = Generate(backend=SCRIPTS + "solver", solutions=2)(kept(question()))
    table |= Rollout(backend=Asked.names, k=8, **settings)(table)
    file = folder / "dataset" / "data" / "train-00000.parquet"
    file.parent.mkdir(parents=True)
    write_parquet(file, table, features(tuple(table)))
    return table


def test_nothing_is_kept_unless_asked_for(tmp_path: Path) -> None:
    assert first_run(tmp_path)["rollout_solutions"] == [None, None]


def test_whole_distinct_readable_rollouts_are_kept(tmp_path: Path) -> None:
    table = first_run(tmp_path, keep_solutions=5)
    texts = [kept["text"] for row in table["rollout_solutions"] for kept in row]
    # Of 8 rollouts a prefix: as a solution stands, too short, without answer, too long, cut, and three that are new.
    first = "Step 1: A nodule is seen."
    assert texts[:3] == [f"{first}{SOLVED_ON.format(place)}" for place in (5, 6, 7)]
    assert len(texts) == len(set(texts)) == 5
    assert [kept["steps"] for kept in table["rollout_solutions"][0]][:3] == [1, 1, 1]
    assert first_run(tmp_path / "again", keep_solutions=5)["rollout_solutions"] == table["rollout_solutions"]


def test_shuffled_and_hidden_options_keep_nothing_that_others_would_misread(tmp_path: Path) -> None:
    for at, way in enumerate(({"shuffle_options": True}, {"options_shown": False})):
        table = first_run(tmp_path / str(at), keep_solutions=5, **way)
        orders = [request for request in Asked().backend.asked[-8:] if "A. none" not in request.messages[-1].text]
        assert orders and all(kept["text"].endswith("Answer: B") for row in table["rollout_solutions"] for kept in row)
    assert table["rollout_solutions"] == [[], []]


def test_a_second_run_takes_them_before_it_asks(tmp_path: Path) -> None:
    first = first_run(tmp_path, keep_solutions=4)
    asked = Asked()
    stage = Generate(backend=Asked.names, solutions=5, reuse_rollouts=str(tmp_path))
    stage.check()
    table = stage(kept(question()))
    assert asked.requests == []
    assert table["solution"][:2] == first["solution"] and table["generator"][:2] == first["generator"]
    assert [row["origin"] for row in table["generator"]] == ["model"] * 2 + ["rollout:q1-s0:1"] * 3
    assert table["generator"][2]["model"] == "scripted:tests.stages.scripts:wanderer"
    assert table["solution_id"] == [f"q1-s{i}" for i in range(5)]
    assert table["is_correct"][2:] == [True] * 3 and [len(s) for s in table["steps"][2:]] == [3] * 3
    assert stage(kept(question())) == table


def test_what_lacks_is_asked_for(tmp_path: Path) -> None:
    first_run(tmp_path, keep_solutions=1)
    table = Generate(backend=SCRIPTS + "solver", solutions=5, reuse_rollouts=str(tmp_path))(kept(question()))
    assert [row["origin"].split(":")[0] for row in table["generator"]] == ["model"] * 2 + ["rollout"] + ["model"] * 2
    other = Generate(backend=SCRIPTS + "solver", solutions=1, reuse_rollouts=str(tmp_path))(kept(question("q2")))
    assert other["generator"][0]["origin"] == "model"


def test_a_folder_without_a_run_or_without_kept_rollouts_is_refused(tmp_path: Path) -> None:
    stage = Generate(backend=SCRIPTS + "solver", reuse_rollouts=str(tmp_path))
    with pytest.raises(ConfigError, match=r"reuse_rollouts=.*no finished run there .*build it first"):
        stage.check()
    file = tmp_path / "old" / "dataset" / "data" / "train-00000.parquet"
    file.parent.mkdir(parents=True)
    write_parquet(file, {"question_id": ["q1"]}, features(("question_id",)))
    with pytest.raises(ConfigError, match=r"lacks .*rollout_solutions.*rollout\.keep_solutions=4"):
        replace(stage, reuse_rollouts=str(tmp_path / "old")).check()
