"""The words of the command line, a run of scripted models, a trained PRM; and what labels become when many speak."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from medprm_hf.cli import app
from medprm_hf.errors import ConfigError, DataError, PublishError
from medprm_hf.hub import HubRepo
from medprm_hf.publishing.checking import check_contribution, check_places
from medprm_hf.publishing.commands import evaluation_of, policy_of
from medprm_hf.publishing.contributions import (
    Contribution,
    LabelLine,
    SolutionLine,
    contribution_id,
    parse,
    text_sha,
)
from medprm_hf.publishing.known import Known
from medprm_hf.publishing.merging import Word, settled
from medprm_hf.publishing.models import Evaluation, is_model, publish_model
from medprm_hf.publishing.opening import open_material
from medprm_hf.publishing.publish import publish
from medprm_hf.recipe import parse as recipe_of
from medprm_hf.runs.commands import build_run
from tests.hub.fixtures import TestHub
from tests.publishing.tables import CARD, row, rows, table, wish

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of scripted models over six text questions."""
    folder = tmp_path_factory.mktemp("run")
    questions = [
        {"question_id": f"q{i}", "question": f"What is next after finding number {i} in word{i}?", "license": "MIT",
         "options": ["none", "CT", "biopsy"], "answer": "CT", "source": "ours"} for i in range(6)
    ]  # fmt: skip
    file = folder / "questions.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in questions))
    plain = {
        "name": "small", "source": {"name": "table", "path": str(file)},
        "stages": ["questions", "generate", "rollout", "judge", "merge", "select"],
        "generate": {"backend": "scripted:tests.stages.scripts:solver", "solutions": 2},
        "rollout": {"backend": "scripted:tests.stages.scripts:solver", "k": 4},
        "judge": {"backend": "scripted:tests.stages.scripts:judge"},
    }  # fmt: skip
    build_run(folder / "run", recipe_of(plain, ()))
    return folder / "run"


def test_a_run_is_published_with_its_own_figures(run: Path, tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["publish", str(run), "--dry-run", "--allow", "card"])
    assert shown.exit_code == 0, shown.output
    assert "solutions  train" in shown.output and "nothing was pushed" in shown.output
    assert not (run / "published").exists()
    outcome = publish(run, None, out=tmp_path / "out", wish=wish(tmp_path, allow=("card",)))
    assert outcome.published is not None
    text = (tmp_path / "out/README.md").read_text()
    assert "fingerprint `" in text and "Of 6 questions taken in, 0 were dropped" in text
    assert outcome.published.written["solutions"]["train"].rows == 12
    assert open_material(run).facts["run"]["counts"]["solutions"] == 12


def test_the_words_of_the_command_line(run: Path, tmp_path: Path) -> None:
    asked = CliRunner()
    for arguments, message in (
        (["publish", str(run), "--allow", "licence"], "never let through"),
        (["publish", str(run), "--restricted", "maybe"], "--restricted is 'maybe'; it is one of refuse, ids, drop"),
        (["publish", str(tmp_path / "nothing"), "--dry-run"], "nothing at"),
        (["publish", str(run), "--to", "no-slash"], "is no name of a repo"),
        (["publish", str(run), "--cleared", str(tmp_path / "gone")], "cannot be read"),
    ):
        found = asked.invoke(app, arguments)
        assert found.exit_code == 1 and message in str(found.exception), arguments
    nc = table(tmp_path, [one | {"license": "CC BY-NC 4.0"} for one in rows(2)])
    shown = asked.invoke(app, ["publish", str(nc), "--dry-run"])
    assert shown.exit_code == 1 and "nothing was built" in shown.output and "--restricted ids" in shown.output
    for word in ("publish", "contribute", "review-pr"):
        text = asked.invoke(app, [word, "--help"]).output
        assert "Example: medprm" in text.replace("\n", " ")


@pytest.mark.usefixtures("hub")
def test_three_people_on_the_command_line(hub: TestHub, tmp_path: Path) -> None:
    """Owner publishes, contributor contributes, owner merges: as in docs/publishing.md."""
    name = hub.name()
    (tmp_path / "card.yaml").write_text(CARD)
    run, mine = table(tmp_path / "a", rows(4)), table(tmp_path / "b", [row(0, 1, labels=["+", "-", "+"])])

    def medprm(who: str, *words: str) -> str:
        done = subprocess.run([sys.executable, "-m", "medprm_hf.cli", *words], env=hub.environment(who, tmp_path / who),
                              cwd=ROOT, capture_output=True, text=True, timeout=120)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "pushed to" in medprm(
        "owner", "publish", str(run), "--to", name, "--card", str(tmp_path / "card.yaml"), "--public"
    )
    assert "pull request #1 is open" in medprm("contributor", "contribute", str(mine), "--to", name, "--note", "Look.")
    assert "is merged" in medprm("owner", "review-pr", name, "1", "--merge")
    repo = HubRepo(name, "dataset", hub.token("owner"), hub.url)
    assert repo.pull_request(1).status == "merged" and repo.pull_request(1).description.startswith("Look.")


@pytest.fixture
def prm(tmp_path: Path) -> Path:
    """A folder like that of a trained PRM; its weights are no weights."""
    folder = tmp_path / "prm"
    folder.mkdir()
    settings = {"version": 1, "layout": {"form": "chat"}, "base": "phantom:base", "temperature": 1.1, "threshold": 0.5,
                "aggregator": "min", "trained_on": {"solutions": 12, "steps": {"+": 20, "-": 10}, "labels": "final",
                "loss": "soft", "balance": "none", "seed": 0, "simulated": True}}  # fmt: skip
    content = {"medprm.json": json.dumps(settings), "config.json": "{}", "model.safetensors": "x", "optimizer.pt": "x",
               "train.json": '{"survey": ["12 of 12 solutions"]}', "run.py": "print()"}  # fmt: skip
    for name, text in content.items():
        (folder / name).write_text(text)
    return folder


def evaluation() -> Evaluation:
    steps = {"macro_f1": 0.62, "interval": [0.6, 0.64], "f1_right": 0.8, "f1_wrong": 0.44, "ece": 0.03,
             "ece_interval": None, "kappa": None}  # fmt: skip
    report = {"name": "prm", "notes": [], "model": {"steps": steps}, "data": {"name": "Bench", "truth": "review"},
              "counts": {"questions": 5, "solutions": 9, "steps": 30}}  # fmt: skip
    return Evaluation(report, "model-index:\n- name: prm\n  results: []\n")


def test_a_model_is_pushed_without_pickles_and_with_its_figures(hub: TestHub, prm: Path, tmp_path: Path) -> None:
    assert is_model(prm)
    repo = HubRepo(hub.name(), "model", hub.token("owner"), hub.url)
    outcome = publish_model(prm, repo, evaluation=evaluation(), wish=wish(tmp_path))
    assert outcome.commit is not None
    assert repo.files() == [
        ".gitattributes",
        "README.md",
        "config.json",
        "medprm.json",
        "model.safetensors",
        "train.json",
    ]
    text = repo.read("README.md").decode()
    assert "| Step macro-F1 | 0.620 | 0.600 to 0.640 |" in text and "Cohen" not in text
    header = yaml.safe_load(text.split("---")[1])
    assert header["model-index"] == [{"name": "prm", "results": []}] and "base_model" not in header
    assert "**Simulated:**" in text and "not for clinical use" in text


def test_a_model_is_refused_with_its_reasons(prm: Path, tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="nothing was measured: medprm eval"):
        publish_model(prm, HubRepo("org/x", "model"), wish=wish(tmp_path))
    other = evaluation()
    other = Evaluation({**other.report, "name": "phantom:prm", "notes": ["9 solutions were in training."]}, other.index)
    outcome = publish_model(prm, None, evaluation=other, out=tmp_path / "out", dry_run=True, wish=wish(tmp_path))
    assert [one.message for one in outcome.refusing] == [
        "the evaluation is of phantom:prm: measure the model that is published",
        "the evaluation says: 9 solutions were in training.",
    ]  # fmt: skip
    assert "**9 solutions were in training.**" in (tmp_path / "out" / "README.md").read_text()
    (prm / "train.json").write_text('{"data": "/home/jane/secret.jsonl"}')
    (prm / "model.safetensors").unlink()
    outcome = publish_model(prm, None, dry_run=True, wish=wish(tmp_path))
    assert [one.message for one in outcome.findings if one.severity == "error"] == [
        "there are no weights (*.safetensors)", "train.json names a path or address of this machine: take it out",
    ]  # fmt: skip
    assert outcome.published is None
    with pytest.raises(ConfigError, match="is no report of `medprm eval`"):
        evaluation_of(prm / "config.json", lambda report: report["model"])


def test_an_unfinished_run_and_settings_that_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "run" / "shards").mkdir(parents=True)
    with pytest.raises(DataError, match="is not finished: medprm resume"):
        open_material(tmp_path / "run")
    with pytest.raises(ConfigError, match="--benchmark is 'all'"):
        policy_of(benchmark="all")


def word(
    author: str, label: str, at: str = "1", kind: str = "label", step: int = 1, text: str = "It is calcified."
) -> Word:
    line = LabelLine.model_validate({"kind": kind, "solution_id": "q1-s1", "step": step, "text_sha": text_sha(text),
                                     "label": label})  # fmt: skip
    return Word(author, at, line)


@pytest.mark.parametrize(
    ("there", "words", "label", "state"),
    [
        ("-", [], "-", "merged"),
        ("-", [word("a", "-")], "-", "merged"),
        ("-", [word("a", "+")], "-", "disputed"),
        ("-", [word("a", "+"), word("a", "-")], "-", "merged"),
        ("-", [word("a", "-"), word("b", "+")], "-", "disputed"),
        ("?", [word("a", "+")], "+", "contributed"),
        ("?", [word("a", "+"), word("b", "+")], "+", "contributed"),
        ("?", [word("a", "+"), word("b", "-")], "?", "disputed"),
        ("-", [word("a", "+"), word("o", "0", kind="adjudication")], "0", "adjudicated"),
        ("-", [word("o", "+", kind="adjudication"), word("o", "-", kind="adjudication")], "-", "adjudicated"),
    ],
)
def test_what_labels_become(there: str, words: list[Word], label: str, state: str) -> None:
    one = row(1, 1, labels=["+", there, "-"])
    out, stale = settled(one, words)
    assert (out["labels"][1], out["label_state"][1], stale) == (label, state, 0)
    assert out["merged_labels"] == ["+", there, "-"] and out["label_state"][0] == "merged"
    assert [d["reviewer"] for d in out["reviews"][1]] == [f"hub:{w.author}" for w in words]
    assert one["labels"] == ["+", there, "-"] and one["reviews"] == [[], [], []], "the row itself is not touched"


def test_words_about_another_text_change_nothing_and_are_counted() -> None:
    for stale in (word("a", "+", text="Something else."), word("a", "+", step=9)):
        out, count = settled(row(1, 1), [stale])
        assert (out["labels"], count, out["reviews"]) == (["+", "-", "-"], 1, [[], [], []])


def test_a_contribution_reads_back_as_it_was_written() -> None:
    line = word("a", "+").line
    one = Contribution("a", contribution_id([line]), "2026-01-02T03:04:05Z", (line,))
    assert parse(one.dumps(), "x") == one
    assert one.path == f"contributions/a/{one.id}.jsonl"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"[]\n", "line 1: row"),
        (
            b'{"kind":"contribution","id":"0123456789abcdef","author":"a","at":"2026-01-02T03:04:05Z"}\n',
            "nothing below",
        ),
        (
            b'{"kind":"contribution","schema":99,"id":"0123456789abcdef","author":"a","at":"2026-01-02T03:04:05Z"}\n',
            "schema",
        ),
        (b"x" * (2 << 20), "at most 1048576"),
    ],
)
def test_a_broken_contribution_says_where(data: bytes, message: str) -> None:
    from medprm_hf.errors import FormatError

    with pytest.raises(FormatError, match=message):
        parse(data, "x")


OWN = f"contributions/alice/{'0' * 16}"
PICTURE = f"{OWN}/{'a' * 16}.png"


@pytest.mark.parametrize(
    ("changes", "sizes", "message"),
    [
        ({f"{OWN}.jsonl": "added", PICTURE: "added"}, {}, None),
        ({}, {}, "changes nothing"),
        ({f"{OWN}.jsonl": "added"}, {f"{OWN}.jsonl": 1 << 40}, "is too large"),
        ({f"{OWN}.jsonl": "added", PICTURE: "added"}, {PICTURE: 1 << 30}, "is too large"),
        ({f"{OWN}.jsonl": "changed"}, {}, "what was contributed before is changed"),
        ({f"{OWN}.jsonl": "deleted"}, {}, "what was contributed before is deleted"),
        ({f"{OWN}.jsonl": "added", "contributions/alice/../../README.md": "added"}, {}, "climbs out of its folder"),
        ({f"{OWN}.jsonl": "added", "/etc/passwd": "added"}, {}, "climbs out of its folder"),
        ({f"{OWN}.jsonl": "added", "a\u202egnp.exe": "added"}, {}, "climbs out of its folder"),
        ({f"{OWN}.jsonl": "added", ".gitattributes": "changed"}, {}, "files that are not its own"),
        ({f"{OWN}.jsonl": "added", f"{OWN}/x.py": "added"}, {}, "files that are not its own"),
        ({f"{OWN}.jsonl": "added", f"contributions/alice/{'1' * 16}.jsonl": "added"}, {}, "holds 2 contributions"),
        ({f"{OWN}.jsonl": "added", PICTURE.replace("0", "1"): "added"}, {}, "another contribution"),
        ({OWN.replace("alice", "bob") + ".jsonl": "added"}, {}, "in the name of somebody else than alice"),
        ({f"x{n}": "added" for n in range(3000)}, {}, "3000 files, at most 2000"),
    ],
)  # fmt: skip
def test_where_a_pull_request_may_write(changes: dict[str, str], sizes: dict[str, int], message: str | None) -> None:
    found = check_places(changes, sizes, "alice")
    assert [one.severity for one in found] == (["error"] if message else []), found
    assert message is None or message in found[0].message


def test_a_thing_is_said_once_and_of_what_is_there(tmp_path: Path) -> None:
    publish(table(tmp_path, rows(4)), None, out=tmp_path / "out", wish=wish(tmp_path))
    known = Known.at(tmp_path / "out", "org/x")
    assert (len(known.questions), len(known.solutions), known.solutions["q1-s1"].labels) == (4, 8, "+--")
    one, again = word("a", "-").line, word("a", "+").line
    new = SolutionLine(question_id="q1", solution_id="n", steps=["Yes."], labels=["+"])
    nowhere = SolutionLine(question_id="q99", solution_id="m", steps=["Yes."], labels=["?"])
    lines = (one, again, new, new, nowhere)
    found = check_contribution(Contribution("a", contribution_id(lines), "x", lines), {}, known)
    said = " | ".join(finding.message for finding in found)
    for message in ("2 x a name or step comes twice (n, q1-s1/1)", "a solution is of no question that is there (m)",
                    "a solution has no label (m)", "labels contradict those there"):  # fmt: skip
        assert message in said, said
