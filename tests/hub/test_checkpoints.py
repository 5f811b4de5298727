"""Checkpoints of runs on the Hub: killed here, resumed there; failures are told and do not stop; what is pushed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from medprm_hf.backends.journals.journal import Journal
from medprm_hf.backends.journals.journal_copy import packed, take_in
from medprm_hf.errors import ConfigError, HubError
from medprm_hf.hub import HubRepo
from medprm_hf.recipe import Recipe, parse
from medprm_hf.runs.commands import build_run, resume_run
from medprm_hf.runs.hub import PACKED, Checkpoints, HubTarget, branch_of, bring
from medprm_hf.runs.pipeline import Run
from tests.backends.steady_server import FAULTS, steady
from tests.hub.fixtures import ROOT, TestHub

SOLVER = "scripted:tests.stages.scripts:solver"
RESULTS = ("dataset/data/train-00000-of-00001.parquet", "steps.jsonl", "visualprm.jsonl")
KEY = "sk-a-key-that-nobody-may-see"


def questions(folder: Path, count: int) -> Path:
    rows = [
        {"question_id": f"q{i}", "question": f"Follow-up of {i}?", "options": ["none", "CT", "biopsy"], "answer": "CT"}
        for i in range(count)
    ]
    file = folder / "questions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def recipe(folder: Path, name: str = "small", solver: str = SOLVER, count: int = 6) -> Recipe:
    plain: dict[str, Any] = {
        "name": name,
        "source": {"name": "table", "path": str(questions(folder, count))},
        "stages": ["questions", "generate", "rollout", "merge", "select"],
        "generate": {"backend": solver, "solutions": 2},
        "rollout": {"backend": solver, "k": 4},
        "exports": ["steps-jsonl", "visualprm"],
        "shard_questions": 2,
        "merge": {"policy": "value", "threshold": 0.0},
    }
    return parse(plain)


def target(hub: TestHub, name: str, role: str = "owner", **options: Any) -> HubTarget:
    return HubTarget(HubRepo(name, "dataset", hub.token(role), hub.url), **options)


def markers(directory: Path) -> dict[str, bytes]:
    found = (directory / "shards").rglob("[0-9]*.json")
    return {str(file.relative_to(directory)): file.read_bytes() for file in found}


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "medprm_hf.cli", *map(str, words)]


@pytest.mark.slow
def test_a_killed_run_goes_on_in_an_empty_directory_elsewhere(hub: TestHub, tmp_path: Path) -> None:
    name, environment = hub.name(), {**hub.environment("owner", tmp_path), "TEST_KEY": KEY}
    with steady(tmp_path, 0.15, 1.0, "--without", *FAULTS) as server:
        solver = f"openai:steady?base_url={server.url}&api_key_env=TEST_KEY&concurrency=2"
        made = recipe(tmp_path, "killed", solver, count=12)
        os.environ["TEST_KEY"] = KEY
        build_run(tmp_path / "whole", made)
        asked_in_all = len(server.lines())
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(made.model_dump(mode="json")))
        here, there = tmp_path / "here" / "run", tmp_path / "there" / "run"
        push = ("--hub", name, "--hub-every", "1", "--hub-token-env", "HF_TOKEN")
        words = command("build", tmp_path / "recipe.yaml", "--out", here, *push)
        first = subprocess.Popen(words, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        repo, branch = hub.repo("owner", name), branch_of(Run.resume(tmp_path / "whole"))
        while not (any("rollout" in c.title for c in commits(repo, branch)) and PACKED in repo.files(branch)):
            assert first.poll() is None, first.communicate()[0].decode()
            time.sleep(0.05)
        first.kill()
        first.communicate()
        pushed = repo.head(branch)
        repo.snapshot(tmp_path / "pushed", pushed, under="shards")
        repo.fetch(PACKED, tmp_path / PACKED, pushed)
        shutil.rmtree(tmp_path / "here")
        (tmp_path / "questions.jsonl").unlink()  # the other machine has nothing
        before = server.lines()
        done = subprocess.run(
            command("resume", there, *push), env=environment, cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        asked_again = server.lines()[len(before) :]
    kept = markers(tmp_path / "pushed")
    assert kept and kept.items() <= markers(there).items(), "no finished shard was done again"
    for file in RESULTS:
        assert (there / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file
    take_in(tmp_path / "taken.sqlite", tmp_path / PACKED)
    with Journal(tmp_path / "taken.sqlite") as journal:
        known = {row[0] for row in journal.query("SELECT text FROM answers")}
    assert known.isdisjoint(text for line in asked_again for text in line.get("texts", ())), "paid for twice"
    assert 0 < len(asked_again) < asked_in_all
    there_now = set(repo.files(branch))
    assert {f"shards/rollout/{n:05d}.parquet" for n in range(6)} | {"report.json", "run.json", PACKED} <= there_now
    repo.snapshot(tmp_path / "all", branch)
    take_in(tmp_path / "all" / "plain.sqlite", tmp_path / "all" / PACKED)
    for file in filter(Path.is_file, (tmp_path / "all").rglob("*")):
        assert KEY.encode() not in file.read_bytes() and b"hf_owner" not in file.read_bytes(), file
    assert KEY not in done.stdout + done.stderr and "hf_owner" not in done.stdout + done.stderr


def commits(repo: HubRepo, branch: str) -> list[Any]:
    try:
        return list(repo._api.list_repo_commits(repo.name, repo_type="dataset", revision=branch))
    except Exception:
        return []  # neither repo nor branch yet


def test_an_interrupted_run_goes_on_elsewhere_with_equal_bytes(hub: TestHub, tmp_path: Path) -> None:
    made, name = recipe(tmp_path), hub.name()
    build_run(tmp_path / "whole", made)
    run = Run.open(tmp_path / "here", made)

    def stop(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("rollout", 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Checkpoints(run, target(hub, name)) as checkpoints:
        run.build(checkpoints.counting(stop))
    (tmp_path / "questions.jsonl").unlink()
    assert bring(tmp_path / "there", target(hub, name)) == 3 + 3 + 3 + 2
    before = markers(tmp_path / "there")
    assert before == markers(tmp_path / "here")
    resume_run(tmp_path / "there")
    assert before.items() <= markers(tmp_path / "there").items()
    for file in RESULTS:
        assert (tmp_path / "there" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file


def test_a_finished_run_is_there_whole_and_comes_back_without_work(hub: TestHub, tmp_path: Path) -> None:
    name, said = hub.name(), list[str]()
    build_run(tmp_path / "a", recipe(tmp_path), target(hub, name))
    repo = hub.repo("owner", name)
    assert repo.is_private()
    assert repo.files() == [".gitattributes"], "main is left alone"
    assert bring(tmp_path / "b", target(hub, name), said.append) == 3 * 6
    assert said == [f"from {name}@{branch_of(Run.resume(tmp_path / 'a'))}: 18 shards"]
    assert markers(tmp_path / "a") == markers(tmp_path / "b")
    assert Run.resume(tmp_path / "b").build() == 0
    assert bring(tmp_path / "b", target(hub, name)) == 0
    (tmp_path / "b" / "shards" / "rollout" / "00001.json").unlink()
    assert bring(tmp_path / "b", target(hub, name)) == 1, "only the half shard"
    assert markers(tmp_path / "a") == markers(tmp_path / "b")
    resume_run(tmp_path / "b", hub=target(hub, name))
    for file in RESULTS:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
    assert not list((tmp_path / "b").rglob("*.tmp")) and not list((tmp_path / "b").rglob(".hub-*"))


def test_a_push_that_fails_is_told_tried_again_and_never_stops_the_run(hub: TestHub, tmp_path: Path) -> None:
    run, said = Run.open(tmp_path / "a", recipe(tmp_path)), list[str]()
    with Checkpoints(run, target(hub, hub.name(), every=0.05), said.append) as checkpoints:
        hub.fault("commit", 403, times=2)

        def slowly(stage: str, done: int, total: int) -> None:
            time.sleep(0.05)

        assert run.build(checkpoints.counting(slowly)) == 15
        until = time.monotonic() + 20
        while len(said) < 2 and time.monotonic() < until:
            time.sleep(0.05)
    assert [line.split(":")[0] for line in said[:2]] == [
        "checkpoint not pushed, the run goes on and it is tried again"
    ] * 2
    assert said[-1].startswith("checkpoints are on the Hub: http")
    assert "shards/select/00002.json" in checkpoints.target.repo.files(checkpoints.branch)


def test_a_hub_that_goes_away_leaves_the_run_whole(hub: TestHub, tmp_path: Path) -> None:
    run, said = Run.open(tmp_path / "a", recipe(tmp_path)), list[str]()
    with Checkpoints(run, target(hub, hub.name()), said.append) as checkpoints:
        hub.fault("commit", 403, times=9)
        assert run.build() == 15
    assert said[-1].startswith("not all checkpoints are on the Hub") and "resume with --hub once more" in said[-1]
    hub.server.app.faults.waiting.clear()
    resume_run(tmp_path / "a", hub=checkpoints.target)
    assert "shards/select/00002.json" in checkpoints.target.repo.files(checkpoints.branch)


def test_what_cannot_work_is_refused_before_anything_is_asked(hub: TestHub, tmp_path: Path) -> None:
    made = recipe(tmp_path)
    public = hub.repo()
    with pytest.raises(ConfigError, match="is public, and checkpoints show every question.*--hub-public"):
        build_run(tmp_path / "a", made, target(hub, public.name))
    with pytest.raises(HubError, match="needs write rights"):
        build_run(tmp_path / "b", made, target(hub, public.name, "stranger", public=True))
    with pytest.raises(HubError, match="holds no run .no branch run-"):
        resume_run(tmp_path / "c", hub=target(hub, public.name))
    assert not list(tmp_path.rglob("*.parquet")) and not (tmp_path / "c").exists()
    build_run(tmp_path / "a", made, target(hub, public.name, public=True, journal=False))
    assert PACKED not in public.files(branch_of(Run.resume(tmp_path / "a")))


def test_the_right_one_of_several_runs_is_brought(hub: TestHub, tmp_path: Path) -> None:
    name = hub.name()
    branches = {}
    for run, count in (("first", 2), ("second", 4)):
        build_run(tmp_path / run, recipe(tmp_path, run, count=count), target(hub, name))
        branches[run] = branch_of(Run.resume(tmp_path / run))
        questions(tmp_path, count)
    assert len(set(branches.values())) == 1, "the same recipe, so the same branch"
    build_run(
        tmp_path / "third",
        parse({**recipe(tmp_path).model_dump(mode="json"), "name": "third", "seed": 5}),
        target(hub, name),
    )
    with pytest.raises(
        ConfigError, match=r"holds several runs: run-\w+ \(second\), run-\w+ \(third\); name one: --hub"
    ):
        bring(tmp_path / "other", target(hub, name))
    bring(tmp_path / "new" / "third", target(hub, name))
    assert Run.resume(tmp_path / "new" / "third").recipe.seed == 5
    bring(tmp_path / "other", target(hub, name, branch=branches["first"]))
    assert Run.resume(tmp_path / "other").recipe.seed == 0


def test_journals_are_joined_and_nothing_is_overwritten(tmp_path: Path) -> None:
    from medprm_hf.backends.journals.journal import Entry, place_names
    from medprm_hf.backends.protocol import Completion, Message, Request

    def journal(file: str, answers: dict[str, str]) -> Path:
        with Journal(tmp_path / file) as own:
            for question, text in answers.items():
                request = Request((Message("user", question),))
                own.record([Entry(place_names("m", request)[0], "m", request, 0, Completion(text, "stop", 1))])
        return tmp_path / file

    here, other = journal("a.sqlite", {"q1": "one", "q2": "two"}), journal("b.sqlite", {"q3": "three", "q2": "TWO"})
    assert take_in(here, packed(other, tmp_path / "b.zst")) == 1
    assert take_in(here, tmp_path / "b.zst") == 0
    with Journal(here) as own:
        assert sorted(row[0] for row in own.query("SELECT text FROM answers")) == ["one", "three", "two"]
    (tmp_path / "c.sqlite").touch()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_the_command_line_says_what_is_pushed_and_reads_the_token_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from medprm_hf.cli import app

    for word in ("build", "resume"):
        told = " ".join(CliRunner().invoke(app, [word, "--help"], env={"COLUMNS": "200"}).output.split())
        assert "the whole text of every question and answer (keys never)" in told
        assert "made private where it is missing" in told
    monkeypatch.delenv("NOBODY_SET_THIS", raising=False)
    words = ["resume", str(tmp_path), "--hub", "org/x", "--hub-token-env", "NOBODY_SET_THIS"]
    failed = CliRunner().invoke(app, words).exception
    assert isinstance(failed, ConfigError) and "NOBODY_SET_THIS: this environment variable is not set" in str(failed)
    failed = CliRunner().invoke(app, ["resume", str(tmp_path), "--hub", "no-org"]).exception
    assert isinstance(failed, HubError) and "write it as org/name" in str(failed)


def test_journal_and_ledger_travel_and_are_joined(hub: TestHub, tmp_path: Path) -> None:
    from medprm_hf.backends.journals.journal import Entry, place_names
    from medprm_hf.backends.protocol import Completion, Message, Request

    def answered(directory: Path, *questions: str) -> None:
        with Journal(directory / "journal.sqlite") as journal:
            for question in questions:
                request = Request((Message("user", question),))
                journal.record([Entry(place_names("m", request)[0], "m", request, 0, Completion(question, "stop", 1))])

    def known(directory: Path) -> list[str]:
        with Journal(directory / "journal.sqlite", readonly=True) as journal:
            return sorted(row[0] for row in journal.query("SELECT text FROM answers"))

    where = target(hub, hub.name())
    run = Run.open(tmp_path / "a", recipe(tmp_path))
    answered(run.directory, "one")
    (run.directory / "spent.jsonl").write_text('{"by": "a"}\n{"by": "a"}\n')
    with Checkpoints(run, where) as checkpoints:
        assert checkpoints.push() == 2, "the recipe and the ledger; the journal goes by itself"
        pushed = where.repo.head(checkpoints.branch)
        assert checkpoints.push(last=True) == 0
        assert where.repo.head(checkpoints.branch) == pushed, "nothing new, no commit"
        answered(run.directory, "two")
        assert checkpoints.push() == 0
        assert where.repo.head(checkpoints.branch) == pushed, "a journal is not pushed all the time"
    assert where.repo.head(checkpoints.branch) != pushed, "but at the end"
    answered(Run.open(tmp_path / "b", recipe(tmp_path)).directory, "two", "three")
    (tmp_path / "b" / "spent.jsonl").write_text('{"by": "a"}\n{"by": "b"}\n')
    assert bring(tmp_path / "b", where) == 0
    assert known(tmp_path / "b") == ["one", "three", "two"]
    assert (tmp_path / "b" / "spent.jsonl").read_text() == '{"by": "a"}\n{"by": "a"}\n{"by": "b"}\n'
    assert bring(tmp_path / "c", target(hub, where.repo.name, journal=False)) == 0
    assert not (tmp_path / "c" / "journal.sqlite").exists()


@pytest.mark.slow
def test_the_run_does_not_wait_for_a_slow_hub(hub: TestHub, tmp_path: Path) -> None:
    run, where = Run.open(tmp_path / "a", recipe(tmp_path)), target(hub, hub.name(), every=0.05)
    with Checkpoints(run, where) as checkpoints:
        first = where.repo.head(checkpoints.branch)
        hub.fault("commit", None, seconds=8)
        assert run.build(checkpoints.counting(lambda *_: time.sleep(0.05))) == 15
        assert any("/commit/" in path for _, path, _ in hub.asked(where.repo.name)), "a push has begun"
        assert where.repo.head(checkpoints.branch) == first, "and has not ended"
    assert "shards/select/00002.json" in where.repo.files(checkpoints.branch)
