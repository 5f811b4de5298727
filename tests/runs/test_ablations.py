"""`medprm ablate`: variants of one recipe on one journal, measured against the truth; refusals come first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from medprm_hf.errors import ConfigError
from medprm_hf.runs.ablations import SHIPPED, Ablations, ablate, figures, load, variant
from medprm_hf.runs.ablations_commands import resized, table

ALONE = ["questions", "generate", "rollout", "merge", "select"]
SMALL = {
    "recipe": "phantom",
    "set": {
        "source": {"name": "phantom", "split": "train", "n": 3},
        "generate.backend": "phantom:policy?journal=1",
        "rollout.backend": "phantom:policy?journal=1",
        "generate.solutions": 2,
        "rollout.k": 2,
    },
    "labels": {
        "signals": {
            "rollouts": {"stages": ALONE, "merge.policy": "value"},
            "judge": {"stages": ["questions", "generate", "judge", "merge", "select"], "merge.policy": "judge"},
        },
        "estimators": {"stops": {"stages": ALONE, "merge.policy": "value", "rollout.early_stop": True}},
    },
}


def test_variants_share_a_journal_and_go_on(tmp_path: Path) -> None:
    spec = Ablations.model_validate(SMALL)
    told: list[str] = []
    found = ablate(spec, tmp_path, say=told.append)
    assert [one.variant for one in found] == ["rollouts", "judge", "stops"]
    assert len({one.solutions for one in found}) == 1, "every variant labels the same solutions"
    rollouts, judge, stops = found
    assert rollouts.difference is None and judge.against == "rollouts" and stops.against == "stops"
    assert judge.rollouts is None and rollouts.rollouts is not None and stops.rollouts is not None
    assert stops.rollouts <= rollouts.rollouts and stops.labelled <= rollouts.labelled == 1.0
    kept = (tmp_path / "journal.sqlite").read_bytes()
    assert ablate(spec, tmp_path, say=told.append) == found
    assert (tmp_path / "journal.sqlite").read_bytes() == kept, "a second call asks nothing"
    assert len(json.loads((tmp_path / "ablations.json").read_text())) == 3
    lines = list(figures(found))
    assert {"case", "metric", "value", "unit", "goal", "holds", "interval"} == set(lines[0])
    assert not any(line["metric"] == "rollouts" for line in lines if line["case"] == "signals: judge")
    assert table(found).row_count == 5


def test_the_shipped_file_makes_recipes(tmp_path: Path) -> None:
    spec = load()
    for group, variants in spec.labels.items():
        for name, changes in variants.items():
            assert variant(spec, changes, tmp_path).stages[:2] == ("questions", "generate"), f"{group}: {name}"
    assert {variant(spec, changes, tmp_path).train.loss for changes in spec.targets.values()} == {
        "soft",
        "hard",
        "counts",
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"recipe": "nowhere.yaml"}, "no recipe at nowhere.yaml"),
        ({"set": {"source": {"name": "table", "path": "q.jsonl"}}}, "only the phantom world has"),
        ({"labels": {}, "targets": {"soft": {}}}, "labels has none"),
        ({"labels": {"signals": {"a": {"rollout.kk": 3}}}}, "unknown key rollout.kk"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(change: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        ablate(Ablations.model_validate(SMALL | change), tmp_path / "out", say=print)
    assert not (tmp_path / "out").exists()


def test_files_and_sizes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no file of ablations"):
        load(tmp_path / "none.yaml")
    (tmp_path / "odd.yaml").write_text(yaml.safe_dump({"variants": {}}))
    with pytest.raises(ConfigError, match="variants"):
        load(tmp_path / "odd.yaml")
    assert resized(Ablations(), ["test.questions=7"]).test.questions == 7
    with pytest.raises(ConfigError, match="test.questions=NUMBER"):
        resized(Ablations(), ["test.colour=7"])
    assert (SHIPPED / "ablations" / "phantom.yaml").is_file()


@pytest.mark.slow
def test_images_and_targets(tmp_path: Path) -> None:
    """A quarter of a minute: one tiny PRM is trained."""
    more = {
        "test": {"questions": 4, "solutions": 2},
        "images": "phantom:prm",
        "targets": {"soft": {"train.epochs": 1, "merge.policy": "value"}},
        "labels": {"signals": {"merged": {"stages": ["questions", "generate", "rollout", "judge", "merge", "select"]}}},
    }
    small = {**SMALL, "set": {**SMALL["set"], "source": {"name": "phantom", "split": "train", "n": 12}}}  # type: ignore[dict-item]
    found = ablate(Ablations.model_validate(small | more), tmp_path, say=print)
    names = [(one.group, one.variant) for one in found]
    assert names[1:4] == [("images", "image on"), ("images", "image off"), ("images", "image shuffled")]
    assert names[4:] == [("targets", "prior"), ("targets", "soft")]
    assert found[1].macro_f1 is not None and found[3].macro_f1 is not None
    assert found[1].macro_f1 > found[3].macro_f1, "it looks at the image"
